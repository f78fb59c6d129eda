/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_tests.c - tables against a model, in all shapes; what is refused; what is read when.
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
	for (access = SST_READ; access <= SST_MAP; access++) {
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
	for (access = SST_READ; access <= SST_MAP; access++) {
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
	for (access = SST_READ; access <= SST_MAP; access++) {
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

/* ---- what is refused ---- */

static void refuse(const char *a, uint64_t a_stamp, const char *b, uint64_t b_stamp,
		   const char *value)
{
	struct sst_builder_config c;
	struct sst_builder *builder;
	struct file *f;
	struct scene s;

	scene_begin(&s, NULL);
	c = scene_builder(&s);
	assert_ok(&s, sst_builder_new(&c, &builder, &s.why));
	assert_ok(&s, sst_builder_add(builder, kv_str(a), lsm_key_hash(kv_str(a)),
				      a_stamp, kv_str(""), &s.why));
	assert_int_equal(sst_builder_add(builder, kv_str(b), lsm_key_hash(kv_str(b)),
					 b_stamp, kv_str(value), &s.why),
			 -EINVAL);
	assert_non_null(strstr(s.why.text, TABLE));
	sst_builder_abandon(builder);
	assert_int_equal(env_open(s.env, TABLE, ENV_READ, &f), -ENOENT);
	scene_end(&s);
}

static void test_entries_out_of_order_are_refused(void **state)
{
	const uint64_t put = lsm_stamp(9, LSM_PUT);

	(void)state;
	refuse("b", put, "a", put, "");
	refuse("b", put, "b", put, "");
	refuse("b", put, "b", lsm_stamp(10, LSM_PUT), "");
	refuse("ab", put, "a", put, "");
	refuse("a", put, "", put, "");
	refuse("a", put, "b", lsm_stamp(9, LSM_DELETE), "a value");
	refuse("a", put, "b", lsm_stamp(9, LSM_BLOB), "no reference");
	refuse("a", put, "b", lsm_stamp(9, (enum lsm_kind)3), "");
	sst_builder_abandon(NULL);
}

static void test_impossible_shapes_are_refused(void **state)
{
	struct sst_builder *b = NULL;
	struct scene s;
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct sst_builder_config c;

		scene_begin(&s, NULL);
		c = scene_builder(&s);
		if (i == 0)
			c.shape.block_bytes = 0;
		else if (i == 1)
			c.shape.restart_interval = 0;
		else if (i == 2)
			c.shape.partition_bytes = 1;
		else
			c.shape.compression = 2;
		assert_int_equal(sst_builder_new(&c, &b, &s.why),
				 i == 3 ? -EOPNOTSUPP : -EINVAL);
		assert_null(b);
		scene_end(&s);
	}
}

static void test_an_existing_file_is_not_overwritten(void **state)
{
	struct sst_builder_config c;
	struct model m = { 0 };
	struct sst_builder *b;
	struct scene s;

	(void)state;
	core_random_start();
	model_add(&m, kv_str("a"), lsm_stamp(1, LSM_PUT), kv_str("b"));
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	c = scene_builder(&s);
	assert_int_equal(sst_builder_new(&c, &b, &s.why), -EEXIST);
	assert_ok(&s, scene_try_open(&s, SST_READ));
	check_all(&s, &m, 3);
	scene_end(&s);
	model_free(&m);
}

static void test_a_table_in_anothers_place_is_found_out(void **state)
{
	struct sst_config c = { .store_id = STORE_ID };
	struct model m = { 0 };
	struct sst_expect x;
	struct sst *t = NULL;
	struct scene s;

	(void)state;
	model_add(&m, kv_str("a"), lsm_stamp(1, LSM_PUT), kv_str("b"));
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	c.env = s.env;
	c.cache = s.cache;
	x = (struct sst_expect){ s.summary.bytes, s.summary.footer_crc };
	assert_int_equal(sst_open(&c, TABLE, FILE_ID + 1, &x, &t, &s.why), -EBADMSG);
	assert_non_null(strstr(s.why.text, "number"));
	c.store_id++;
	assert_int_equal(sst_open(&c, TABLE, FILE_ID, &x, &t, &s.why), -EBADMSG);
	assert_non_null(strstr(s.why.text, "another store"));
	/* Nothing is known of it: it says itself what it is. */
	assert_ok(&s, sst_open(&c, TABLE, 0, NULL, &s.t, &s.why));
	assert_int_equal(sst_file(s.t), FILE_ID);
	sst_close(s.t);
	s.t = NULL;
	c.store_id--;
	x.bytes++;
	assert_int_equal(sst_open(&c, TABLE, FILE_ID, &x, &t, &s.why), -EBADMSG);
	x.bytes--;
	x.footer_crc++;
	assert_int_equal(sst_open(&c, TABLE, FILE_ID, &x, &t, &s.why), -EBADMSG);
	assert_int_equal(sst_open(&c, "no.sst", FILE_ID, &x, &t, &s.why), -ENOENT);
	assert_null(t);
	scene_end(&s);
	model_free(&m);
}

static void change_footer(struct scene *s, unsigned int at, uint8_t to)
{
	uint8_t footer[SST_FOOTER_BYTES];
	uint64_t offset = s->summary.bytes - sizeof(footer);
	struct file *f;
	size_t got;

	assert_int_equal(env_open(s->env, TABLE, ENV_READ | ENV_WRITE, &f), 0);
	assert_int_equal(file_read(f, offset, footer, sizeof(footer), &got), 0);
	footer[at] = to;
	s->summary.footer_crc = port_crc32c(0, footer, sizeof(footer) - 4);
	port_put_le32(footer + sizeof(footer) - 4, s->summary.footer_crc);
	assert_int_equal(file_write(f, offset, footer, sizeof(footer)), 0);
	file_close(f);
}

static void test_newer_formats_are_refused_and_newer_minors_read(void **state)
{
	static const struct {
		unsigned int at;
		uint8_t to, back;
		int error;
	} each[] = {
		{ 8, 2, 1, -EPROTONOSUPPORT },
		{ 8, 0, 1, -EPROTONOSUPPORT },
		{ 10, 7, 0, 0 },
		{ 16, 1, 0, -EPROTONOSUPPORT },
		{ 23, 0x80, 0, -EPROTONOSUPPORT },
	};
	struct model m = { 0 };
	struct scene s;
	size_t i;

	(void)state;
	model_add(&m, kv_str("a"), lsm_stamp(1, LSM_PUT), kv_str("b"));
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		change_footer(&s, each[i].at, each[i].to);
		assert_int_equal(scene_try_open(&s, SST_READ), each[i].error);
		if (each[i].error)
			assert_non_null(strstr(s.why.text, "newer"));
		scene_close(&s);
		change_footer(&s, each[i].at, each[i].back);
	}
	assert_ok(&s, scene_try_open(&s, SST_READ));
	scene_end(&s);
	model_free(&m);
}

/* ---- what is read, and when ---- */

static const struct recipe many = {
	.keys = KEYS_USER, .n = 3000, .value_max = 100, .versions = 1
};

static void many_scene(struct scene *s, struct model *m, const struct sst_shape *shape)
{
	core_random_start();
	memset(m, 0, sizeof(*m));
	model_cook(m, &many);
	scene_begin(s, shape);
	assert_ok(s, scene_try_build(s, m, NULL, 0));
	assert_ok(s, scene_try_open(s, SST_READ));
}

static uint64_t reads(struct scene *s)
{
	return env_sim_calls(s->sim, 1u << SIM_READ);
}

static void test_a_warm_cache_reads_nothing(void **state)
{
	struct kv_buf value = { 0 };
	struct model m;
	struct scene s;
	uint64_t before;
	int i;

	(void)state;
	many_scene(&s, &m, NULL);
	before = reads(&s);
	check_get_at(&s, &m, m.e[777].key, LSM_SEQUENCE_MAX, &value);
	assert_int_equal(reads(&s), before + 3); /* filter, index, data */
	for (i = 0; i < 3; i++)
		check_get_at(&s, &m, m.e[777].key, LSM_SEQUENCE_MAX, &value);
	assert_int_equal(reads(&s), before + 3);
	kv_buf_free(&value);
	scene_end(&s);
	model_free(&m);
}

static void test_a_filter_saves_reading_data(void **state)
{
	struct kv_buf value = { 0 };
	struct model m;
	struct scene s;
	uint64_t before;
	char key[32];
	int i;

	(void)state;
	many_scene(&s, &m, NULL);
	check_walks(&s, &m, 0);
	sst_close(s.t);
	lsm_cache_forget(s.cache, FILE_ID);
	assert_ok(&s, scene_try_open(&s, SST_READ));
	before = reads(&s);
	for (i = 0; i < 2000; i++) {
		(void)sprintf(key, "user%020llu", (unsigned long long)core_random());
		check_get_at(&s, &m, kv_str(key), LSM_SEQUENCE_MAX, &value);
		(void)sst_may_have(s.t, lsm_key_hash(kv_str(key)), kv_str(key));
	}
	/* Each filter once, and what one in a hundred keys read in vain. */
	assert_true(reads(&s) - before < 2000 / 4);
	kv_buf_free(&value);
	scene_end(&s);
	model_free(&m);
}

static void test_wanted_reads_are_those_of_a_get(void **state)
{
	struct kv_buf value = { 0 };
	struct sst_want w;
	struct model m;
	struct scene s;
	unsigned int i, n;
	int packed;

	(void)state;
	for (packed = 0; packed < 2; packed++) {
		struct sst_shape shape = usual_shape;

		shape.compression = packed && sst_can_lz4() ? SST_LZ4 : SST_PLAIN;
		many_scene(&s, &m, &shape);
		for (i = 0; i < 300; i++) {
			struct kv_slice key = m.e[core_random_below(m.n)].key;
			uint64_t before;

			for (n = 0; sst_want(s.t, key, lsm_key_hash(key), &w); n++) {
				assert_true(n < SST_WANTS);
				s.env->ops->read_many(s.env, &w.read, 1);
				sst_want_done(&w);
			}
			before = reads(&s);
			check_get_at(&s, &m, key, LSM_SEQUENCE_MAX, &value);
			assert_int_equal(reads(&s), before);
		}
		scene_end(&s);
		model_free(&m);
	}
	kv_buf_free(&value);
}

static void test_wanted_blocks_that_are_bad_are_not_kept(void **state)
{
	struct kv_buf value = { 0 };
	struct sst_want w;
	struct model m;
	struct scene s;

	(void)state;
	many_scene(&s, &m, NULL);
	assert_true(sst_want(s.t, m.e[5].key, lsm_key_hash(m.e[5].key), &w));
	s.env->ops->read_many(s.env, &w.read, 1);
	((uint8_t *)w.read.data)[3] ^= 1;
	sst_want_done(&w);
	assert_true(sst_want(s.t, m.e[5].key, lsm_key_hash(m.e[5].key), &w));
	w.read.error = -EIO;
	sst_want_done(&w);
	check_get_at(&s, &m, m.e[5].key, LSM_SEQUENCE_MAX, &value);
	kv_buf_free(&value);
	scene_end(&s);
	model_free(&m);
}

static void test_a_long_scan_reads_ahead_and_leaves_the_cache_alone(void **state)
{
	struct lsm_cache_stats stats;
	struct model m;
	struct scene s;
	struct lsm_cursor *c;
	uint64_t before;
	size_t i;

	(void)state;
	many_scene(&s, &m, NULL);
	before = reads(&s);
	assert_ok(&s, sst_cursor(s.t, SST_COLD | SST_READAHEAD, &c, &s.why));
	for (i = 0; i < m.n; i++)
		assert_int_equal(lsm_next(c), 0);
	assert_int_equal(lsm_next(c), -ENOENT);
	lsm_cursor_close(c);
	/* 16, 32, 64, ... KiB of the data, and the index's partitions. */
	lsm_cache_stats(s.cache, &stats);
	assert_true(reads(&s) - before <= stats.blocks + 6);
	assert_true(stats.blocks < s.summary.bytes / 512 / 4);
	scene_end(&s);
	model_free(&m);
}

static void test_a_scan_that_is_not_cold_fills_the_cache(void **state)
{
	struct model m;
	struct scene s;
	uint64_t before;

	(void)state;
	many_scene(&s, &m, NULL);
	check_walks(&s, &m, 0);
	before = reads(&s);
	check_walks(&s, &m, 0);
	assert_int_equal(reads(&s), before);
	scene_end(&s);
	model_free(&m);
}

static void test_without_a_cache_all_is_read_each_time(void **state)
{
	struct lsm_cache *cache;
	struct model m;
	struct scene s;

	(void)state;
	many_scene(&s, &m, NULL);
	scene_close(&s);
	cache = s.cache;
	s.cache = NULL;
	assert_ok(&s, scene_try_open(&s, SST_READ));
	check_all(&s, &m, 100);
	sst_close(s.t);
	s.t = NULL;
	s.cache = cache;
	scene_end(&s);
	model_free(&m);
}

/* ---- errors ---- */

static void test_a_bad_block_is_read_once_more(void **state)
{
	struct env_sim_fault once = { .calls = 1u << SIM_READ,
				      .nth = 1,
				      .effect = SIM_SHORT };
	struct kv_buf value = { 0 };
	struct model m;
	struct scene s;
	int i;

	(void)state;
	many_scene(&s, &m, NULL);
	for (i = 1; i <= 3; i++) {
		once.nth = (uint64_t)i;
		env_sim_fault(s.sim, &once);
		check_get_at(&s, &m, m.e[i * 900].key, LSM_SEQUENCE_MAX, &value);
		assert_true(env_sim_fault_fired(s.sim));
	}
	env_sim_fault(s.sim, NULL);
	kv_buf_free(&value);
	scene_end(&s);
	model_free(&m);
}

static void test_an_error_says_where_and_leads_outside(void **state)
{
	struct kv_buf value = { 0 };
	uint64_t stamp;
	struct lsm_cursor *c;
	struct model m;
	struct scene s;
	int error = 0;

	(void)state;
	many_scene(&s, &m, NULL);
	/* Some byte of the first block. */
	assert_int_equal(env_sim_flip(s.sim, TABLE, 300, 4), 0);
	assert_int_equal(sst_get(s.t, m.e[0].key, lsm_key_hash(m.e[0].key),
				 LSM_SEQUENCE_MAX, &stamp, &value, &s.why),
			 -EBADMSG);
	assert_non_null(strstr(s.why.text, TABLE));
	assert_non_null(strstr(s.why.text, "offset 0"));
	assert_int_equal(sst_verify(s.t, NULL, &s.why), -EBADMSG);
	assert_ok(&s, sst_cursor(s.t, 0, &c, &s.why));
	assert_int_equal(lsm_next(c), -EBADMSG);
	assert_non_null(strstr(sst_cursor_why(c)->text, "offset 0"));
	assert_int_equal(lsm_prev(c), 0); /* from outside: the last */
	assert_null(sst_cursor_why(c));
	check_at(c, &m, m.n - 1);
	while (!error)
		error = lsm_prev(c);
	assert_int_equal(error, -EBADMSG);
	assert_int_equal(lsm_seek(c, m.e[0].key, UINT64_MAX), -EBADMSG);
	assert_int_equal(lsm_seek(c, m.e[100].key, UINT64_MAX), 0);
	check_at(c, &m, 100);
	lsm_cursor_close(c);
	kv_buf_free(&value);
	scene_end(&s);
	model_free(&m);
}

static int pace(void *arg, uint64_t bytes)
{
	uint64_t *left = arg;

	if (bytes > *left)
		return -ECANCELED;
	*left -= bytes;
	return 0;
}

static void test_a_pacer_sees_all_bytes_and_can_end_the_work(void **state)
{
	struct sst_builder_config c;
	struct sst_builder *b;
	struct model m = { 0 };
	uint64_t left = 1 << 20;
	struct file *f;
	struct scene s;
	int error = 0;
	size_t i, round;

	(void)state;
	core_random_start();
	model_cook(&m, &many);
	scene_begin(&s, NULL);
	c = scene_builder(&s);
	c.pace = pace;
	c.pace_arg = &left;
	for (round = 0; round < 2; round++) {
		error = 0;
		assert_ok(&s, sst_builder_new(&c, &b, &s.why));
		for (i = 0; !error && i < m.n; i++)
			error = sst_builder_add(b, m.e[i].key, lsm_key_hash(m.e[i].key),
						m.e[i].stamp, m.e[i].value, &s.why);
		if (!error)
			error = sst_builder_finish(b, &s.summary, &s.why);
		else
			sst_builder_abandon(b);
		if (round)
			break;
		assert_ok(&s, error);
		assert_int_equal(left, (1 << 20) - s.summary.bytes);
		sst_summary_free(&s.summary);
		assert_int_equal(s.env->ops->unlink(s.env, TABLE), 0);
		left = 100 << 10;
	}
	assert_int_equal(error, -ECANCELED);
	assert_int_equal(env_open(s.env, TABLE, ENV_READ, &f), -ENOENT);
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
		LEAK_CHECKED(test_entries_out_of_order_are_refused),
		LEAK_CHECKED(test_impossible_shapes_are_refused),
		LEAK_CHECKED(test_an_existing_file_is_not_overwritten),
		LEAK_CHECKED(test_a_table_in_anothers_place_is_found_out),
		LEAK_CHECKED(test_newer_formats_are_refused_and_newer_minors_read),
		LEAK_CHECKED(test_a_warm_cache_reads_nothing),
		LEAK_CHECKED(test_a_filter_saves_reading_data),
		LEAK_CHECKED(test_wanted_reads_are_those_of_a_get),
		LEAK_CHECKED(test_wanted_blocks_that_are_bad_are_not_kept),
		LEAK_CHECKED(test_a_long_scan_reads_ahead_and_leaves_the_cache_alone),
		LEAK_CHECKED(test_a_scan_that_is_not_cold_fills_the_cache),
		LEAK_CHECKED(test_without_a_cache_all_is_read_each_time),
		LEAK_CHECKED(test_a_bad_block_is_read_once_more),
		LEAK_CHECKED(test_an_error_says_where_and_leads_outside),
		LEAK_CHECKED(test_a_pacer_sees_all_bytes_and_can_end_the_work),
		LEAK_CHECKED(test_a_dump_shows_blocks_entries_and_tombstones),
		LEAK_CHECKED(test_golden_bytes_of_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
