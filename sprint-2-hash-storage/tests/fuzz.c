/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * fuzz.c - see fuzz.h.
 */
#include "fuzz.h"
#include "../log_format.h"

static int result = -EINVAL;

int fuzz_result(void)
{
	return result;
}

void fuzz_demand(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "%s: %s\n", fuzz_target.name, what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	result = size > fuzz_target.head && size <= fuzz_target.max
			 ? fuzz_target.run(data, size)
			 : -EINVAL;
	return 0;
}

uint8_t *fuzz_copy(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	fuzz_demand(copy, "no memory");
	memcpy(copy, p, n);
	return copy;
}

void fuzz_write_file(struct env *env, const char *path, const uint8_t *p, size_t n)
{
	struct file *f = NULL;

	fuzz_demand(!env_open(env, path, ENV_WRITE | ENV_CREATE, &f), "no file");
	fuzz_demand(!file_write(f, 0, p, n), "no write");
	fuzz_demand(!file_sync(f), "no sync");
	file_close(f);
}

/* ---- the log's checksums ---- */

void fuzz_mend_segment_header(uint8_t *p, size_t size, uint64_t store_id, uint64_t number,
			      uint64_t segment_bytes)
{
	if (size < LOG_SEGMENT_HEADER_BYTES)
		return;
	memcpy(p, LOG_MAGIC, 8);
	port_put_le64(p + 16, store_id);
	port_put_le64(p + 24, number);
	port_put_le64(p + 32, segment_bytes);
	port_put_le32(p + 60, port_crc32c(0, p, 60));
}

static void mend_records(uint8_t *p, size_t size, uint32_t id, bool in_group)
{
	size_t at = 0;

	while (at < size && size - at >= LOG_HEADER_BYTES) {
		uint8_t *r = p + at;
		uint32_t len = port_get_le32(r + 4);

		if (len > size - at - LOG_HEADER_BYTES)
			return;
		port_put_le32(r + 8, id);
		if (r[23] == LOG_TYPE_GROUP && !in_group)
			mend_records(r + LOG_HEADER_BYTES, len, id, true);
		port_put_le32(
			r, log_record_crc(r, port_crc32c(0, r + LOG_HEADER_BYTES, len)));
		at += (size_t)log_record_bytes(len);
	}
}

void fuzz_mend_records(uint8_t *p, size_t size, uint64_t store_id, uint64_t number)
{
	if (size > LOG_SEGMENT_HEADER_BYTES)
		mend_records(p + LOG_SEGMENT_HEADER_BYTES,
			     size - LOG_SEGMENT_HEADER_BYTES, log_id(store_id, number),
			     false);
}
