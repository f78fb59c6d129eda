/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_manifest_fuzz.c - the manifest's records as a fuzz target (fuzz.h): whatever they say,
 * taking them in ends with a version or an error; and a version that came of it is the same
 * again when it is written as a whole and read.
 *
 * An input is a byte that is not looked at, then records: two bytes of length, and so many
 * bytes. The log's headers and checksums are log_fuzz.c's.
 */
#include "../lsm_version_internal.h"

#include "../../sprint-2-hash-storage/tests/fuzz.h"

enum { SEEDS = 4 };

/* As when a store is opened. */
static int take_in(struct lsm_state *s, struct kv_slice record)
{
	struct kv_msg why = { "" };
	struct lsm_change c;
	unsigned int level;
	int error = lsm_manifest_decode(&c, record, &why);

	fuzz_demand(!error || error == -EBADMSG || error == -EPROTONOSUPPORT,
		    "an error that the bytes can't account for");
	fuzz_demand(!error || why.text[0], "an error without a word");
	if (error)
		return error;
	if (c.whole)
		lsm_state_free(s);
	error = lsm_state_apply(s, &c.edit, 0, &why);
	fuzz_demand(!error || (error == -EINVAL && why.text[0]),
		    "an edit is refused without a word");
	for (level = 0; !error && level < LSM_LEVELS; level++)
		if (c.progress_set & 1u << level)
			error = lsm_state_set_progress(
				s, level, c.progress[level].run,
				kv_slice(c.progress[level].key.data,
					 c.progress[level].key.len));
	lsm_change_free(&c);
	return error;
}

static void check_again(const struct lsm_version *v)
{
	struct kv_buf one = { 0 }, two = { 0 };
	struct lsm_version *again = NULL;
	struct lsm_state s = { 0 };

	fuzz_demand(!lsm_manifest_encode_version(&one, v, 1, UINT64_MAX), "no bytes");
	fuzz_demand(!take_in(&s, kv_slice(one.data, one.len)),
		    "what was written is not read");
	fuzz_demand(!lsm_state_version(&s, NULL, &again, NULL), "no version");
	fuzz_demand(!lsm_manifest_encode_version(&two, again, 1, UINT64_MAX), "no bytes");
	fuzz_demand(one.len == two.len && !memcmp(one.data, two.data, one.len),
		    "it is another version when it is read again");
	lsm_version_unref(again);
	kv_buf_free(&one);
	kv_buf_free(&two);
}

static int run(const uint8_t *data, size_t size)
{
	struct lsm_state s = { 0 };
	struct lsm_version *v = NULL;
	size_t at = 1;
	int error = 0, records = 0;

	while (!error && size - at >= 2) {
		size_t n = port_get_le16(data + at);
		uint8_t *copy;

		at += 2;
		n = n < size - at ? n : size - at;
		copy = fuzz_copy(data + at, n);
		error = take_in(&s, kv_slice(copy, n));
		free(copy);
		at += n;
		records++;
	}
	if (!error)
		error = lsm_state_drop_blobs(&s, NULL);
	if (!error)
		error = lsm_state_version(&s, NULL, &v, NULL);
	if (!error)
		check_again(v);
	lsm_version_unref(v);
	lsm_state_free(&s);
	return error ? error : records;
}

/* ---- seeds ---- */

static void add(struct lsm_edit *e, unsigned int level, uint64_t run, uint64_t number,
		uint8_t first)
{
	uint8_t last = (uint8_t)(first + 9);
	struct sst_summary s = { .bytes = 4096,
				 .entries = 7,
				 .deletes = first % 3,
				 .max_sequence = number,
				 .footer_crc = 0x1234 };

	fuzz_demand(!kv_buf_set(&s.smallest, &first, 1), "no memory");
	fuzz_demand(!kv_buf_set(&s.largest, &last, 1), "no memory");
	if (number % 2) {
		s.blob = port_alloc(sizeof(*s.blob));
		fuzz_demand(s.blob != NULL, "no memory");
		s.blob[0] = (struct sst_blob_use){ 2, 100 };
		s.blobs = 1;
	}
	fuzz_demand(!lsm_edit_add(e, level, run, number, &s), "no memory");
}

static size_t put(uint8_t *out, struct lsm_edit *e, bool whole, uint64_t serial)
{
	struct kv_buf b = { 0 };
	size_t n;

	fuzz_demand(!lsm_manifest_encode_edit(&b, e, 50, serial, 100), "no bytes");
	if (whole)
		((uint8_t *)b.data)[2] = 1;
	port_put_le16(out, (uint16_t)b.len);
	memcpy(out + 2, b.data, b.len);
	n = b.len + 2;
	kv_buf_free(&b);
	lsm_edit_free(e);
	return n;
}

static size_t seed(unsigned int i, uint8_t *out)
{
	const struct lsm_blob_summary blob = { 500, 400, 4 };
	struct lsm_edit e = { 0 };
	size_t n = 1;

	out[0] = 0;
	add(&e, 2, 3, 4, 10);
	add(&e, 2, 3, 5, 30);
	fuzz_demand(!lsm_edit_blob(&e, 2, &blob), "no memory");
	n += put(out + n, &e, true, 1);
	if (i >= 1) {
		add(&e, 0, 0, 6, 10);
		e.log_position = 800;
		n += put(out + n, &e, false, 2);
	}
	if (i >= 2) {
		fuzz_demand(!lsm_edit_remove(&e, 4), "no memory");
		fuzz_demand(!lsm_edit_move(&e, 6, 1, 9), "no memory");
		n += put(out + n, &e, false, 3);
	}
	if (i >= 3) {
		add(&e, 1, 9, 7, 60);
		e.has_progress = true;
		e.progress_level = 1;
		e.progress_run = 9;
		fuzz_demand(!kv_buf_set(&e.progress, "x", 1), "no memory");
		n += put(out + n, &e, false, 4);
	}
	return n;
}

const struct fuzz_target fuzz_target = {
	.name = "lsm_manifest_fuzz",
	.head = 1,
	.max = 32 << 10,
	.seeds = SEEDS,
	.seed = seed,
	.run = run,
};
