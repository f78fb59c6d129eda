/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_reading_tests.c - what is read of a table, and when; what a read that goes wrong says, and
 * that it leads no further.
 */
#include "sst_fixture.h"

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
	lsm_cache_forget(s.cache, FILE_ID, s.summary.bytes);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_a_warm_cache_reads_nothing),
		LEAK_CHECKED(test_a_filter_saves_reading_data),
		LEAK_CHECKED(test_wanted_reads_are_those_of_a_get),
		LEAK_CHECKED(test_wanted_blocks_that_are_bad_are_not_kept),
		LEAK_CHECKED(test_a_long_scan_reads_ahead_and_leaves_the_cache_alone),
		LEAK_CHECKED(test_a_scan_that_is_not_cold_fills_the_cache),
		LEAK_CHECKED(test_without_a_cache_all_is_read_each_time),
		LEAK_CHECKED(test_a_bad_block_is_read_once_more),
		LEAK_CHECKED(test_an_error_says_where_and_leads_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
