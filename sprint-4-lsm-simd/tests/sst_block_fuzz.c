/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_block_fuzz.c - the block reader as a fuzz target (fuzz.h): whatever the bytes are, a
 * walk ends, stays inside them, and what it passes forward it passes backward.
 *
 *   0   1   not used
 *   1       the body of a block
 */
#include "../../sprint-2-hash-storage/tests/fuzz.h"
#include "../neon_lsm_ops.h"
#include "../sst_block.h"

enum { HEAD = 1 };

static uint32_t see(const struct sst_walk *w, uint32_t crc)
{
	crc = port_crc32c(crc, w->key.data, w->key.len);
	return port_crc32c(crc, w->e.value.data, w->e.value.len);
}

/* Entries up to the end, or the error; each is looked for as well. */
static int walk(const struct sst_block *b, struct sst_walk *w, struct sst_walk *other)
{
	uint32_t crc = 0;
	int error, n = 0;

	sst_walk_begin(w, b);
	sst_walk_begin(other, b);
	while (!(error = sst_walk_next(w))) {
		struct kv_slice key = kv_slice(w->key.data, w->key.len);
		struct sst_entry e;

		crc = see(w, crc);
		if (n++ < 64) {
			(void)sst_walk_seek(other, key, w->e.stamp);
			(void)sst_block_find(b, key, UINT64_MAX, &e);
			(void)sst_index_floor(b, key, w->e.stamp);
		}
	}
	fuzz_demand(error == -ENOENT || error == -EBADMSG, "an error of another kind");
	while (!(error = sst_walk_prev(w)))
		crc = see(w, crc);
	fuzz_demand(error == -ENOENT || error == -EBADMSG, "an error of another kind");
	(void)crc;
	return n;
}

static int run(const uint8_t *data, size_t size)
{
	uint8_t *bytes = fuzz_copy(data + HEAD, size - HEAD);
	struct sst_walk w = { 0 }, other = { 0 };
	struct sst_block b;
	struct sst_entry e;
	uint32_t i;
	int result = sst_block_open(&b, bytes, size - HEAD);

	if (!result) {
		result = walk(&b, &w, &other);
		fuzz_demand(result <= (int)size, "more entries than bytes");
		for (i = 0; i < b.restarts && i < 100; i++)
			(void)sst_index_entry(&b, i, &e);
	}
	sst_walk_free(&w);
	sst_walk_free(&other);
	free(bytes);
	return result;
}

static size_t seed(unsigned int i, uint8_t *out)
{
	struct sst_block_builder b;
	char key[64], before[64] = "";
	unsigned int k, n = 3 + i * 9;
	size_t bytes;

	sst_block_builder_init(&b, 1 + i % 5 * 3);
	for (k = 0; k < n; k++) {
		(void)snprintf(key, sizeof(key), i % 2 ? "user%06u" : "k%u",
			       100000 + k / 2);
		fuzz_demand(!sst_block_builder_add(
				    &b, kv_str(key),
				    lsm_key_shared(kv_str(before), kv_str(key)),
				    lsm_stamp(900 - k % 2 - i, LSM_PUT),
				    kv_slice("0123456789abcdefghijklmno", k % 25)),
			    "no memory");
		memcpy(before, key, sizeof(key));
	}
	out[0] = 0;
	bytes = sst_block_builder_finish(&b, out + HEAD);
	sst_block_builder_free(&b);
	return HEAD + bytes;
}

const struct fuzz_target fuzz_target = {
	.name = "sst_block_fuzz",
	.head = HEAD,
	.max = 20000,
	.seeds = 10,
	.seed = seed,
	.run = run,
};
