/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_refusal_tests.c - what a builder does not take, and what is not opened as a table; work that
 * is ended from outside.
 */
#include "sst_fixture.h"

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

/* ---- ended from outside ---- */

static int pace(void *arg, uint64_t bytes)
{
	uint64_t *left = arg;

	if (bytes > *left)
		return -ECANCELED;
	*left -= bytes;
	return 0;
}

static const struct recipe many = {
	.keys = KEYS_USER, .n = 3000, .value_max = 100, .versions = 1
};

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_entries_out_of_order_are_refused),
		LEAK_CHECKED(test_impossible_shapes_are_refused),
		LEAK_CHECKED(test_an_existing_file_is_not_overwritten),
		LEAK_CHECKED(test_a_table_in_anothers_place_is_found_out),
		LEAK_CHECKED(test_newer_formats_are_refused_and_newer_minors_read),
		LEAK_CHECKED(test_a_pacer_sees_all_bytes_and_can_end_the_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
