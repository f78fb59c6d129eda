/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_block_tests.c - one block: what was written is found and walked, whatever the keys; and
 * whatever the bytes are, reading stays inside them.
 */
#include "sst_fixture.h"

struct block {
	uint8_t *bytes;
	size_t n;
	struct sst_block b;
};

static void build(struct block *out, const struct model *m, unsigned int interval)
{
	struct sst_block_builder b;
	size_t i, bound;
	uint8_t *room;

	sst_block_builder_init(&b, interval);
	for (i = 0; i < m->n; i++)
		assert_int_equal(
			sst_block_builder_add(
				&b, m->e[i].key,
				i ? lsm_key_shared(m->e[i - 1].key, m->e[i].key) : 99,
				m->e[i].stamp, m->e[i].value),
			0);
	bound = b.bound;
	room = fixture_alloc(bound);
	out->n = sst_block_builder_finish(&b, room);
	assert_true(out->n <= bound);
	/* Exactly as large as it is, so that reading behind it is seen. */
	out->bytes = fixture_alloc(out->n);
	memcpy(out->bytes, room, out->n);
	free(room);
	sst_block_builder_free(&b);
	assert_int_equal(sst_block_open(&out->b, out->bytes, out->n), 0);
}

static void check_here(const struct sst_walk *w, const struct model *m, size_t i)
{
	assert_true(same_slice(kv_slice(w->key.data, w->key.len), m->e[i].key));
	assert_true(same_slice(w->e.value, m->e[i].value));
	assert_int_equal(w->e.stamp, m->e[i].stamp);
}

static void check_walk(const struct block *b, const struct model *m)
{
	struct sst_walk w = { 0 };
	size_t i;

	sst_walk_begin(&w, &b->b);
	for (i = 0; i < m->n; i++) {
		assert_int_equal(sst_walk_next(&w), 0);
		check_here(&w, m, i);
	}
	assert_int_equal(sst_walk_next(&w), -ENOENT);
	for (i = m->n; i--;) {
		assert_int_equal(sst_walk_prev(&w), 0);
		check_here(&w, m, i);
	}
	assert_int_equal(sst_walk_prev(&w), -ENOENT);
	sst_walk_free(&w);
}

static void check_finds(const struct block *b, const struct model *m, size_t rounds)
{
	struct sst_walk w = { 0 };
	struct sst_entry e;
	uint8_t bytes[1024];
	size_t i, k;

	sst_walk_begin(&w, &b->b);
	for (k = 0; k < rounds; k++) {
		struct kv_slice key = kv_slice(bytes, near_key(m, bytes));
		uint64_t stamp = core_random_below(3)
					 ? m->e[core_random_below(m->n)].stamp
					 : UINT64_MAX;

		i = model_seek(m, key, stamp);
		assert_int_equal(sst_block_find(&b->b, key, stamp, &e),
				 i == m->n                      ? SST_END
				 : same_slice(m->e[i].key, key) ? SST_FOUND
								: SST_AFTER);
		assert_int_equal(sst_walk_seek(&w, key, stamp), i < m->n ? 0 : -ENOENT);
		if (i < m->n) {
			check_here(&w, m, i);
			assert_int_equal(e.stamp, m->e[i].stamp);
			assert_true(same_slice(e.value, m->e[i].value));
		}
		if (b->b.restarts != b->b.count)
			continue;
		assert_int_equal(sst_index_floor(&b->b, key, stamp),
				 i < m->n && !lsm_entry_compare(m->e[i].key,
								m->e[i].stamp, key, stamp)
					 ? (int64_t)i
					 : (int64_t)i - 1);
	}
	sst_walk_free(&w);
}

static void test_blocks_of_all_keys_and_intervals(void **state)
{
	static const unsigned int intervals[] = { 1, 2, 3, 8, 16, 1000 };
	static const size_t sizes[] = { 1, 2, 5, 40, 700 };
	size_t i, j, k, rounds = test_draws(300) + 5;

	(void)state;
	core_random_start();
	for (i = 0; i < 6; i++)
		for (j = 0; j < 5; j++)
			for (k = 0; k < 4; k++) {
				const struct recipe r = { .keys = (enum keys)k,
							  .n = sizes[j],
							  .value_max = 40,
							  .versions = 1 + i % 3,
							  .deletes = 5 };
				struct model m = { 0 };
				struct block b;

				model_cook(&m, &r);
				build(&b, &m, intervals[i]);
				check_walk(&b, &m);
				check_finds(&b, &m, rounds);
				free(b.bytes);
				model_free(&m);
			}
	print_message("seed 0x%x\n", CORE_SEED);
}

static void test_heads_that_tie_are_told_apart_by_keys(void **state)
{
	static const char *const keys[] = { "",           "\0",    "\0\0\0\0",
					    "\0\0\0\0\0", "aaaa",  "aaaa\0",
					    "aaaab",      "aaaac", "aaab" };
	static const uint8_t lens[] = { 0, 1, 4, 5, 4, 5, 5, 5, 4 };
	unsigned int interval;
	struct model m = { 0 };
	struct block b;
	size_t i;

	(void)state;
	core_random_start();
	for (i = 0; i < 9; i++) {
		model_add(&m, kv_slice(keys[i], lens[i]), lsm_stamp(90, LSM_PUT),
			  kv_str("new"));
		model_add(&m, kv_slice(keys[i], lens[i]), lsm_stamp(80, LSM_PUT),
			  kv_str("old"));
	}
	for (interval = 1; interval < 5; interval++) {
		build(&b, &m, interval);
		check_walk(&b, &m);
		check_finds(&b, &m, 2000);
		free(b.bytes);
	}
	model_free(&m);
}

static void test_a_prefix_that_all_keys_share_stands_once(void **state)
{
	struct model m = { 0 };
	struct block b;
	char key[64];
	int i;

	(void)state;
	core_random_start();
	for (i = 0; i < 100; i++) {
		(void)sprintf(key, "the-same-for-all-of-them-%04d", i);
		model_add(&m, kv_str(key), lsm_stamp(7, LSM_PUT), kv_str(""));
	}
	build(&b, &m, 10);
	assert_int_equal(b.b.prefix_bytes, strlen("the-same-for-all-of-them-00"));
	assert_int_equal(b.b.width, 0); /* of one sequence nothing is stored */
	assert_true(b.n < SST_BLOCK_HEADER + 27 + 10 * 8 + 100 * 4);
	check_walk(&b, &m);
	check_finds(&b, &m, 500);
	free(b.bytes);
	model_free(&m);
}

static void test_an_empty_block_has_nothing(void **state)
{
	struct model m = { 0 };
	struct sst_entry e;
	struct block b;

	(void)state;
	build(&b, &m, 4);
	check_walk(&b, &m);
	assert_int_equal(sst_block_find(&b.b, kv_str("a"), 1, &e), SST_END);
	assert_int_equal(sst_index_floor(&b.b, kv_str("a"), 1), -1);
	assert_int_equal(sst_index_entry(&b.b, 0, &e), -EBADMSG);
	free(b.bytes);
}

static void test_a_mark_stands_before_every_version(void **state)
{
	struct model m = { 0 };
	struct block b;

	(void)state;
	model_add(&m, kv_str("a"), SST_BEFORE_ALL, kv_str("1"));
	model_add(&m, kv_str("b"), SST_BEFORE_ALL, kv_str("2"));
	model_add(&m, kv_str("b"), lsm_stamp(50, LSM_PUT), kv_str("3"));
	build(&b, &m, 1);
	assert_int_equal(sst_index_floor(&b.b, kv_str("a"), UINT64_MAX), 0);
	assert_int_equal(sst_index_floor(&b.b, kv_str("b"), UINT64_MAX), 1);
	assert_int_equal(sst_index_floor(&b.b, kv_str("b"), lsm_seek_stamp(51)), 1);
	assert_int_equal(sst_index_floor(&b.b, kv_str("b"), lsm_seek_stamp(50)), 1);
	assert_int_equal(sst_index_floor(&b.b, kv_str("b"), lsm_stamp(50, LSM_PUT)), 2);
	assert_int_equal(sst_index_floor(&b.b, kv_str(""), 0), -1);
	free(b.bytes);
	model_free(&m);
}

/* ---- bytes that nobody wrote ---- */

static void read_all(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = fixture_alloc(n);
	struct sst_walk w = { 0 };
	struct sst_block b;
	struct sst_entry e;
	size_t steps = 0;

	memcpy(copy, bytes, n);
	if (sst_block_open(&b, copy, n)) {
		free(copy);
		return;
	}
	sst_walk_begin(&w, &b);
	while (!sst_walk_next(&w))
		assert_true(++steps <= n);
	while (!sst_walk_prev(&w))
		assert_true(++steps <= 3 * n);
	(void)sst_walk_seek(&w, kv_str("user5"), 77);
	(void)sst_block_find(&b, kv_str("user3"), UINT64_MAX, &e);
	(void)sst_index_floor(&b, kv_str("user9"), 3);
	(void)sst_index_entry(&b, b.count / 2, &e);
	sst_walk_free(&w);
	free(copy);
}

static void test_damaged_blocks_are_read_within_their_bytes(void **state)
{
	static const unsigned int intervals[] = { 1, 4 };
	static const uint8_t values[] = { 0, 0x7f, 0x80, 0xff };
	struct recipe r = { .keys = KEYS_USER, .n = 40, .value_max = 30, .versions = 3 };
	size_t i, j, k;

	(void)state;
	core_random_start();
	for (i = 0; i < 2; i++) {
		struct model m = { 0 };
		struct block b;

		model_cook(&m, &r);
		build(&b, &m, intervals[i]);
		for (j = 0; j <= b.n; j++)
			read_all(b.bytes, j);
		for (j = 0; j < b.n; j++) {
			uint8_t was = b.bytes[j];

			for (k = 0; k < 8; k++) {
				b.bytes[j] = was ^ (uint8_t)(1u << k);
				read_all(b.bytes, b.n);
			}
			for (k = 0; k < 4; k++) {
				b.bytes[j] = values[k];
				read_all(b.bytes, b.n);
			}
			b.bytes[j] = was;
		}
		free(b.bytes);
		model_free(&m);
	}
}

static void test_varints_of_all_lengths(void **state)
{
	uint8_t b[SST_VARINT_MAX + 1];
	uint64_t v, got;
	unsigned int i;
	uint8_t *end;

	(void)state;
	for (i = 0; i < 64; i++) {
		v = ((uint64_t)1 << i) + (i % 3) - 1;
		end = sst_put_varint(b, v);
		assert_true(end - b <= SST_VARINT_MAX);
		assert_ptr_equal(sst_get_varint(b, end, &got), end);
		assert_int_equal(got, v);
		assert_null(sst_get_varint(b, end - 1, &got));
	}
	end = sst_put_varint(b, UINT64_MAX);
	assert_int_equal(end - b, SST_VARINT_MAX);
	assert_ptr_equal(sst_get_varint(b, end, &got), end);
	assert_int_equal(got, UINT64_MAX);
	b[9] = 2; /* more than 64 bits */
	assert_null(sst_get_varint(b, end, &got));
	memset(b, 0x80, sizeof(b)); /* no end */
	assert_null(sst_get_varint(b, b + sizeof(b), &got));
}

/* If this fails, tables that people have can't be read any more: then the format's version
 * must change, and docs/FORMATS.md with it. */
static void test_golden_bytes_of_a_block(void **state)
{
	struct model m = { 0 };
	struct block b;

	(void)state;
	model_add(&m, kv_str("keya1"), lsm_stamp(400, LSM_PUT), kv_str("one"));
	model_add(&m, kv_str("keya2"), lsm_stamp(1000, LSM_DELETE), kv_str(""));
	model_add(&m, kv_str("keyc"), lsm_stamp(401, LSM_PUT), kv_str(""));
	model_add(&m, kv_str("keyc"), lsm_stamp(400, LSM_PUT), kv_str("x"));
	build(&b, &m, 2);
	assert_bytes(b.bytes, b.n,
		     "04000000"
		     "02000000"         /* entries, restart points */
		     "9001000000000002" /* from sequence 400 on, two bytes each */
		     "03000000"
		     "6b6579" /* prefix "key" */
		     "00003161"
		     "00000063" /* heads "a1", "c" */
		     "00000000"
		     "0e000000" /* where their entries are */
		     "100d0000"
		     "6131"
		     "6f6e65" /* "a1" put "one" */
		     "09005802"
		     "32" /* "a", shared, and "2" deleted at 1000 */
		     "08010100"
		     "63" /* "c" put "" at 401 */
		     "01050000"
		     "78"); /* "c" put "x" at 400 */
	free(b.bytes);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_blocks_of_all_keys_and_intervals),
		LEAK_CHECKED(test_heads_that_tie_are_told_apart_by_keys),
		LEAK_CHECKED(test_a_prefix_that_all_keys_share_stands_once),
		LEAK_CHECKED(test_an_empty_block_has_nothing),
		LEAK_CHECKED(test_a_mark_stands_before_every_version),
		LEAK_CHECKED(test_damaged_blocks_are_read_within_their_bytes),
		LEAK_CHECKED(test_varints_of_all_lengths),
		LEAK_CHECKED(test_golden_bytes_of_a_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
