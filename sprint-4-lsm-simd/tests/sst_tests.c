/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_tests.c - tables against a model, in all shapes; what a table says of itself, as a summary
 * and as text; its golden bytes.
 */
#include "sst_fixture.h"

static void round_trip(const struct sst_shape *shape, const struct recipe *r,
		       size_t rounds)
{
	enum sst_access access;
	struct model m = { 0 };
	struct sst_summary seen;
	struct scene s;

	model_cook(&m, r);
	scene_begin(&s, shape);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	assert_int_equal(s.summary.entries, m.n);
	for (access = SST_READ; access <= SST_DIRECT; access++) {
		assert_ok(&s, scene_try_open(&s, access));
		check_all(&s, &m, rounds);
		scene_close(&s);
	}
	assert_ok(&s, scene_try_open(&s, SST_READ));
	assert_ok(&s, sst_verify(s.t, &seen, &s.why));
	assert_int_equal(seen.bytes, s.summary.bytes);
	assert_int_equal(seen.blobs, s.summary.blobs);
	assert_int_equal(seen.value_bytes, s.summary.value_bytes);
	sst_summary_free(&seen);
	scene_end(&s);
	model_free(&m);
}

static void test_tables_of_all_shapes(void **state)
{
	static const uint32_t blocks[] = { 512, 1024, 4096, 65536 };
	static const uint16_t intervals[] = { 1, 4, 16 };
	size_t i, j, k, rounds = test_draws(100) + 2;

	(void)state;
	core_random_start();
	for (i = 0; i < 4; i++)
		for (j = 0; j < 3; j++)
			for (k = 0; k < 4; k++) {
				const struct sst_shape shape = {
					.block_bytes = blocks[i],
					.partition_bytes = k % 2 ? 256 : 4096,
					.restart_interval = intervals[j],
					.filter_bits = (i + j + k) % 3 ? 10 : 0,
					.compression = (j + k) % 2 && sst_can_lz4()
							       ? SST_LZ4
							       : SST_PLAIN,
				};
				const struct recipe r = { .keys = (enum keys)k,
							  .n = 1200 / test_scale() + 40,
							  .value_max = 100,
							  .versions = 1 + k % 3,
							  .deletes = 7,
							  .blobs = k == 1 ? 5 : 0 };

				round_trip(&shape, &r, rounds);
			}
	print_message("seed 0x%x\n", CORE_SEED);
}

static void test_large_keys_and_values(void **state)
{
	static uint8_t key[KV_KEY_MAX], value[1 << 20];
	enum sst_access access;
	struct model m = { 0 };
	struct scene s;
	int i;

	(void)state;
	core_random_start();
	core_random_bytes(value, sizeof(value));
	memset(key, 'k', sizeof(key));
	model_add(&m, kv_slice("", 0), lsm_stamp(9, LSM_PUT), kv_slice("", 0));
	for (i = 0; i < 8; i++) {
		key[sizeof(key) - 1] = (uint8_t)(i * 30);
		model_add(&m, kv_slice(key, sizeof(key)), lsm_stamp(8, LSM_PUT),
			  kv_slice(value, i % 3 ? (size_t)i : sizeof(value)));
	}
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	for (access = SST_READ; access <= SST_DIRECT; access++) {
		assert_ok(&s, scene_try_open(&s, access));
		check_all(&s, &m, 40);
		scene_close(&s);
	}
	scene_end(&s);
	model_free(&m);
}

static void test_versions_of_one_key_over_many_blocks_and_partitions(void **state)
{
	struct kv_buf value = { 0 };
	enum sst_access access;
	struct model m = { 0 };
	struct scene s;
	uint64_t i;

	(void)state;
	core_random_start();
	model_add(&m, kv_str("k"), lsm_stamp(5, LSM_PUT), kv_str("before"));
	for (i = 3000; i; i--)
		model_add(&m, kv_str("key"), lsm_stamp(2 * i, LSM_PUT),
			  kv_slice("0123456789abcdefghij", i % 20));
	model_add(&m, kv_slice("key\0", 4), lsm_stamp(5, LSM_PUT), kv_str("behind"));
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	for (access = SST_READ; access <= SST_DIRECT; access++) {
		assert_ok(&s, scene_try_open(&s, access));
		for (i = 0; i <= 6001; i++)
			check_get_at(&s, &m, kv_str("key"), i, &value);
		check_all(&s, &m, 100);
		scene_close(&s);
	}
	kv_buf_free(&value);
	scene_end(&s);
	model_free(&m);
}

/* ---- range tombstones, summaries ---- */

static void assert_key(const struct kv_buf *b, const char *want)
{
	assert_true(same_slice(kv_slice(b->data, b->len), kv_str(want)));
}

static void test_tombstones_alone_make_a_table(void **state)
{
	const struct lsm_tombstone range[] = {
		{ kv_str("m"), kv_str("q"), 30 },
		{ kv_str("c"), kv_str("n"), 20 },
	};
	const struct model none = { 0 };
	struct scene s;

	(void)state;
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, NULL, range, 2));
	assert_int_equal(s.summary.entries, 0);
	assert_key(&s.summary.smallest, "c");
	assert_key(&s.summary.largest, "q");
	assert_true(s.summary.largest_excluded);
	assert_int_equal(s.summary.min_sequence, 20);
	assert_int_equal(s.summary.max_sequence, 30);
	assert_ok(&s, scene_try_open(&s, SST_READ));
	check_all(&s, &none, 0);
	assert_int_equal(lsm_tombstones_cover(sst_tombstones(s.t), kv_str("mm"), 99), 30);
	assert_int_equal(lsm_tombstones_cover(sst_tombstones(s.t), kv_str("mm"), 29), 20);
	assert_int_equal(lsm_tombstones_cover(sst_tombstones(s.t), kv_str("q"), 99), 0);
	scene_end(&s);
}

static void test_a_summary_covers_entries_and_tombstones(void **state)
{
	const struct lsm_tombstone inside = { kv_str("c"), kv_str("d"), 20 },
				   open = { kv_str("c"), kv_slice(NULL, 0), 50 },
				   up_to = { kv_str("a"), kv_str("f"), 3 };
	struct model m = { 0 };
	struct scene s;

	(void)state;
	model_add(&m, kv_str("b"), lsm_stamp(10, LSM_PUT), kv_str("1234"));
	model_add(&m, kv_str("f"), lsm_stamp(40, LSM_PUT), kv_str("5"));
	model_add(&m, kv_str("f"), lsm_stamp(30, LSM_DELETE), kv_str(""));
	scene_begin(&s, NULL);

	assert_ok(&s, scene_try_build(&s, &m, &inside, 1));
	assert_key(&s.summary.smallest, "b");
	assert_key(&s.summary.largest, "f");
	assert_false(s.summary.largest_open || s.summary.largest_excluded);
	assert_int_equal(s.summary.deletes, 1);
	assert_int_equal(s.summary.tombstones, 1);
	assert_int_equal(s.summary.key_bytes, 3);
	assert_int_equal(s.summary.value_bytes, 5);
	assert_int_equal(s.summary.min_sequence, 10);
	sst_summary_free(&s.summary);
	assert_int_equal(s.env->ops->unlink(s.env, TABLE), 0);

	assert_ok(&s, scene_try_build(&s, &m, &open, 1));
	assert_true(s.summary.largest_open);
	assert_int_equal(s.summary.max_sequence, 50);
	sst_summary_free(&s.summary);
	assert_int_equal(s.env->ops->unlink(s.env, TABLE), 0);

	/* The range ends before "f", which is there itself. */
	assert_ok(&s, scene_try_build(&s, &m, &up_to, 1));
	assert_key(&s.summary.smallest, "a");
	assert_key(&s.summary.largest, "f");
	assert_false(s.summary.largest_excluded);
	assert_int_equal(s.summary.min_sequence, 3);
	assert_ok(&s, scene_try_open(&s, SST_MAP));
	check_all(&s, &m, 20);
	scene_end(&s);
	model_free(&m);
}

static void test_uses_of_blob_files_are_summed(void **state)
{
	static const uint64_t files[] = { 7, 3, 7, 9, 3, 7 };
	uint8_t value[LSM_BLOB_REF_BYTES];
	struct model m = { 0 };
	uint64_t want[10] = { 0 };
	struct scene s;
	char key[8];
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		const struct lsm_blob_ref ref = { .file = files[i],
						  .offset = 4096 + i,
						  .value_bytes = 1000 * (uint32_t)i };

		(void)sprintf(key, "k%zu", i);
		lsm_blob_ref_put(value, &ref);
		model_add(&m, kv_str(key), lsm_stamp(5, LSM_BLOB),
			  kv_slice(value, sizeof(value)));
		want[files[i]] += lsm_blob_record_bytes(2, 1000 * i);
	}
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	assert_int_equal(s.summary.blobs, 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(s.summary.blob[i].file, i == 0 ? 3 : i == 1 ? 7 : 9);
		assert_int_equal(s.summary.blob[i].bytes, want[s.summary.blob[i].file]);
	}
	assert_ok(&s, scene_try_open(&s, SST_READ));
	assert_ok(&s, sst_verify(s.t, NULL, &s.why));
	scene_end(&s);
	model_free(&m);
}

/* ---- text, golden bytes ---- */

struct lines {
	size_t n, refuse;
	struct kv_buf text;
};

static int take_line(void *arg, const char *text)
{
	struct lines *l = arg;

	if (l->n++ == l->refuse)
		return -ECANCELED;
	(void)kv_buf_append(&l->text, text, strlen(text));
	(void)kv_buf_append(&l->text, "\n", 1);
	return 0;
}

static void tiny_scene(struct scene *s, struct model *m)
{
	static const struct sst_shape shape = { .block_bytes = 128,
						.partition_bytes = 128,
						.restart_interval = 2,
						.filter_bits = 10 };
	const struct lsm_tombstone range = { kv_str("x"), kv_slice(NULL, 0), 77 };

	memset(m, 0, sizeof(*m));
	model_add(m, kv_str("apple"), lsm_stamp(1000, LSM_PUT), kv_str("red"));
	model_add(m, kv_str("apple"), lsm_stamp(999, LSM_DELETE), kv_str(""));
	model_add(m, kv_str("apricot\n"), lsm_stamp(1001, LSM_PUT), kv_str("orange"));
	scene_begin(s, &shape);
	assert_ok(s, scene_try_build(s, m, &range, 1));
	assert_ok(s, scene_try_open(s, SST_READ));
}

static void test_a_dump_shows_blocks_entries_and_tombstones(void **state)
{
	struct lines l = { .refuse = SIZE_MAX };
	struct model m;
	struct scene s;

	(void)state;
	tiny_scene(&s, &m);
	assert_ok(&s, sst_dump(s.t, true, take_line, &l, &s.why));
	assert_int_equal(kv_buf_append(&l.text, "", 1), 0);
	assert_non_null(strstr(l.text.data, "table 42 of store 1122334455667788"));
	assert_non_null(strstr(l.text.data, "entries 3 (deletes 1)"));
	assert_non_null(strstr(l.text.data, "'apple' @999 delete\n"));
	assert_non_null(strstr(l.text.data, "'apricot\\x0a' @1001 put 6 bytes 'orange'"));
	assert_non_null(strstr(l.text.data, "delete range @77 from 'x' on"));
	l.refuse = l.n + 3;
	assert_int_equal(sst_dump(s.t, true, take_line, &l, &s.why), -ECANCELED);
	kv_buf_free(&l.text);
	scene_end(&s);
	model_free(&m);
}

/* If this fails, tables that people have can't be read any more: then the format's version
 * must change, and docs/FORMATS.md with it. */
static void test_golden_bytes_of_a_table(void **state)
{
	uint8_t bytes[1024];
	struct model m;
	struct scene s;
	struct file *f;
	size_t got;

	(void)state;
	tiny_scene(&s, &m);
	assert_int_equal(env_open(s.env, TABLE, ENV_READ, &f), 0);
	assert_int_equal(file_read(f, 0, bytes, sizeof(bytes), &got), 0);
	file_close(f);
	assert_int_equal(got, s.summary.bytes);
	assert_bytes(bytes, got,
		     "0300000002000000e70300000000000102000000617000656c706f6369720000"
		     "00000c000000180d01706c657265640300003019027269636f740a6f72616e67"
		     "6500feae9dbf0000000000000000000000000000000000000000000000000000"
		     "0000000000000000000000000000000000000000000000000000000000000000"
		     "0000000001000000000000000800080000000000000000400000000000000100"
		     "0000010000000080000000000400040000000000000009044000000080000000"
		     "00ab7facf60100000001000000ffffffffffffff00050000006170706c650000"
		     "000000000000000b0046007146886d010000004d01007800936f034103000000"
		     "0000000001000000000000000100000000000000120000000000000009000000"
		     "000000004d00000000000000e903000000000000010000000000000001000000"
		     "000000004600000000000000ef000000000000000d0000008000000080000000"
		     "02000a07000100000500000008000000000000006170706c6561707269636f74"
		     "0a009b88d3630100000001000000ffffffffffffff00050000006170706c6500"
		     "00000000000000009301c5000000000000002a00000080000000000000004500"
		     "000000000000000000000100000000fa4953934b564c534d5353540100000000"
		     "000000000000000000000088776655443322112a000000000000008601000000"
		     "0000004d000000fa495393fc000000000000008a0000009b88d3630000000000"
		     "0000000000000000000000000000000000000000000000000000000000000000"
		     "000000000000000000000000000000cff3f67b");
	scene_end(&s);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_tables_of_all_shapes),
		LEAK_CHECKED(test_large_keys_and_values),
		LEAK_CHECKED(test_versions_of_one_key_over_many_blocks_and_partitions),
		LEAK_CHECKED(test_tombstones_alone_make_a_table),
		LEAK_CHECKED(test_a_summary_covers_entries_and_tombstones),
		LEAK_CHECKED(test_uses_of_blob_files_are_summed),
		LEAK_CHECKED(test_a_dump_shows_blocks_entries_and_tombstones),
		LEAK_CHECKED(test_golden_bytes_of_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
