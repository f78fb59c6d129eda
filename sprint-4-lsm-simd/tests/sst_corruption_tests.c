/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_corruption_tests.c - tables that are not what was written: the right answer or -EBADMSG,
 * never a wrong one, "not found", or a crash. And sst_verify() finds all of it.
 */
#include "sst_fixture.h"

static const struct lsm_tombstone range = { { "b", 1 }, { "c", 1 }, 77 };

static void small_scene(struct scene *s, struct model *m, bool packed)
{
	struct sst_shape shape = { .block_bytes = 128,
				   .partition_bytes = 128,
				   .restart_interval = 3,
				   .filter_bits = 10 };
	char key[32], value[128];
	int i;

	core_random_start();
	memset(m, 0, sizeof(*m));
	for (i = 0; i < 24; i++) {
		(void)sprintf(key, "key%05d", i * 7);
		memset(value, 'a' + i, sizeof(value));
		model_add(m, kv_str(key), lsm_stamp(500 + (uint64_t)i, LSM_PUT),
			  kv_slice(value, packed ? 100 : 20));
		if (i % 5 == 0)
			model_add(m, kv_str(key), lsm_stamp(5, LSM_DELETE), kv_str(""));
	}
	shape.compression = packed && sst_can_lz4() ? SST_LZ4 : SST_PLAIN;
	scene_begin(s, &shape);
	assert_ok(s, scene_try_build(s, m, &range, 1));
}

static bool right_or_refused(int error, int want)
{
	return error == want || error == -EBADMSG;
}

/* Every question that the table can be asked; returns whether one was refused. */
static bool ask_points(struct scene *s, const struct model *m)
{
	struct kv_buf value = { 0 };
	bool refused = false;
	uint64_t stamp;
	size_t i;
	int error;

	for (i = 0; i < m->n; i++) {
		const struct entry *e = &m->e[i];

		error = sst_get(s->t, e->key, lsm_key_hash(e->key),
				lsm_sequence(e->stamp), &stamp, &value, &s->why);
		assert_true(right_or_refused(error, 0));
		refused |= error != 0;
		if (error)
			continue;
		assert_int_equal(stamp, e->stamp);
		if (lsm_kind(stamp) == LSM_PUT)
			assert_true(
				same_slice(kv_slice(value.data, value.len), e->value));
		assert_true(sst_may_have(s->t, lsm_key_hash(e->key), e->key));
	}
	error = sst_get(s->t, kv_str("key00001"), lsm_key_hash(kv_str("key00001")),
			LSM_SEQUENCE_MAX, &stamp, &value, &s->why);
	assert_true(right_or_refused(error, -ENOENT));
	kv_buf_free(&value);
	return refused || error == -EBADMSG;
}

static bool ask_walks(struct scene *s, const struct model *m, unsigned int flags)
{
	struct lsm_cursor *c;
	bool refused = false;
	int error = 0;
	size_t i;

	assert_int_equal(sst_cursor(s->t, flags, &c, &s->why), 0);
	for (i = 0; i < m->n && !error; i++) {
		error = lsm_next(c);
		assert_true(right_or_refused(error, 0));
		if (!error)
			check_at(c, m, i);
	}
	refused |= error != 0;
	if (!error)
		assert_true(right_or_refused(lsm_next(c), -ENOENT));
	lsm_cursor_close(c);
	assert_int_equal(sst_cursor(s->t, flags, &c, &s->why), 0);
	for (error = 0, i = m->n; i-- && !error;) {
		error = lsm_prev(c);
		assert_true(right_or_refused(error, 0));
		if (!error)
			check_at(c, m, i);
	}
	lsm_cursor_close(c);
	return refused || error;
}

static int take_any(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	return 0;
}

/* Returns whether the damage was noticed in opening or verifying. */
static bool ask_all(struct scene *s, const struct model *m, enum sst_access access)
{
	int error = scene_try_open(s, access), verified;
	bool refused;

	assert_true(right_or_refused(error, 0));
	if (error) {
		assert_non_null(strstr(s->why.text, TABLE));
		return true;
	}
	assert_int_equal(lsm_tombstones_cover(sst_tombstones(s->t), kv_str("bb"), 99),
			 77);
	refused = ask_points(s, m);
	refused |= ask_walks(s, m, 0);
	refused |= ask_walks(s, m, SST_COLD | SST_READAHEAD);
	verified = sst_verify(s->t, NULL, &s->why);
	assert_true(right_or_refused(verified, 0));
	if (refused)
		assert_int_equal(verified, -EBADMSG);
	assert_true(right_or_refused(sst_dump(s->t, true, take_any, NULL, &s->why), 0));
	scene_close(s);
	return verified != 0;
}

static void test_every_flipped_byte_is_noticed(void **state)
{
	uint64_t at, step = test_scale() > 1 ? 5 : 1;
	struct model m;
	struct scene s;
	int packed;

	(void)state;
	for (packed = 0; packed < 2; packed++) {
		small_scene(&s, &m, packed);
		for (at = 0; at < s.summary.bytes; at += step) {
			uint8_t mask = (uint8_t)(1u << core_random_below(8));
			enum sst_access access = at / step % 2 ? SST_MAP : SST_READ;

			assert_int_equal(env_sim_flip(s.sim, TABLE, at, mask), 0);
			if (!ask_all(&s, &m, access))
				fail_msg("byte %llu of %llu, mask %02x: not noticed",
					 (unsigned long long)at,
					 (unsigned long long)s.summary.bytes, mask);
			assert_int_equal(env_sim_flip(s.sim, TABLE, at, mask), 0);
		}
		assert_false(ask_all(&s, &m, SST_READ));
		assert_false(ask_all(&s, &m, SST_MAP));
		assert_false(ask_all(&s, &m, SST_DIRECT));
		scene_end(&s);
		model_free(&m);
	}
	print_message("seed 0x%x\n", CORE_SEED);
}

static void test_a_file_that_was_cut_is_refused(void **state)
{
	struct sst_config c = { .store_id = STORE_ID };
	struct sst_expect x;
	struct sst *t = NULL;
	struct model m;
	struct scene s;
	struct file *f;
	uint64_t size;

	(void)state;
	small_scene(&s, &m, false);
	c.env = s.env;
	c.cache = s.cache;
	x = (struct sst_expect){ s.summary.bytes, s.summary.footer_crc };
	assert_int_equal(env_open(s.env, TABLE, ENV_READ | ENV_WRITE, &f), 0);
	for (size = s.summary.bytes; size--;) {
		assert_int_equal(f->ops->truncate(f, size), 0);
		assert_int_equal(sst_open(&c, TABLE, FILE_ID, &x, &t, &s.why), -EBADMSG);
		assert_int_equal(sst_open(&c, TABLE, FILE_ID, NULL, &t, &s.why),
				 -EBADMSG);
	}
	assert_null(t);
	file_close(f);
	scene_end(&s);
	model_free(&m);
}

static void copy_bytes(struct scene *s, uint64_t from, uint64_t to, size_t n, bool swap)
{
	uint8_t *a = fixture_alloc(n), *b = fixture_alloc(n);
	struct file *f;
	size_t got;

	assert_int_equal(env_open(s->env, TABLE, ENV_READ | ENV_WRITE, &f), 0);
	assert_int_equal(file_read(f, from, a, n, &got), 0);
	assert_int_equal(file_read(f, to, b, n, &got), 0);
	assert_int_equal(file_write(f, to, a, n), 0);
	if (swap)
		assert_int_equal(file_write(f, from, b, n), 0);
	file_close(f);
	free(a);
	free(b);
}

/* Two neighbouring stretches of n bytes change places; where n is a block's length these are
 * whole blocks, whose CRCs are right by themselves: it is the place that is wrong. */
static void test_blocks_in_each_others_place_are_noticed(void **state)
{
	struct sst_shape shape = { .block_bytes = 128,
				   .partition_bytes = 1024,
				   .restart_interval = 4,
				   .filter_bits = 10 };
	struct model m = { 0 };
	struct scene s;
	char key[16];
	size_t n;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		(void)sprintf(key, "k%05d", i);
		model_add(&m, kv_str(key), lsm_stamp(7, LSM_PUT), kv_str("0123456789"));
	}
	scene_begin(&s, &shape);
	assert_ok(&s, scene_try_build(&s, &m, &range, 1));
	for (n = 60; n < 200; n++) {
		copy_bytes(&s, 0, n, n, true);
		assert_true(ask_all(&s, &m, n % 2 ? SST_MAP : SST_READ));
		copy_bytes(&s, 0, n, n, true);
	}
	assert_false(ask_all(&s, &m, SST_READ));
	scene_end(&s);
	model_free(&m);
}

/* A table of the same number and store, with other values: as long, block for block. */
static void test_a_table_with_other_content_is_noticed(void **state)
{
	struct sst_expect x;
	struct sst_config c = { .store_id = STORE_ID };
	struct model m;
	struct scene s;
	struct sst *t = NULL;

	(void)state;
	small_scene(&s, &m, false);
	x = (struct sst_expect){ s.summary.bytes, s.summary.footer_crc };
	sst_summary_free(&s.summary);
	assert_int_equal(s.env->ops->unlink(s.env, TABLE), 0);
	((char *)(uintptr_t)m.e[3].value.data)[0] ^= 1;
	m.e[m.n - 1].stamp += 256; /* the largest sequence is among the properties */
	assert_ok(&s, scene_try_build(&s, &m, &range, 1));
	assert_int_equal(s.summary.bytes, x.bytes);
	c.env = s.env;
	c.cache = s.cache;
	assert_int_not_equal(s.summary.footer_crc, x.footer_crc);
	assert_int_equal(sst_open(&c, TABLE, FILE_ID, &x, &t, &s.why), -EBADMSG);
	assert_null(t);
	scene_end(&s);
	model_free(&m);
}

/* A block of an older file of the same length, that a lost write left in its place. */
static void test_a_block_of_another_file_is_noticed(void **state)
{
	uint8_t old[4096];
	struct model m;
	struct scene s;
	struct sst_builder_config c;
	struct sst_builder *b;
	struct file *f;
	size_t got, i;

	(void)state;
	small_scene(&s, &m, false);
	c = scene_builder(&s);
	c.path = "older.sst";
	c.file = FILE_ID - 1;
	assert_ok(&s, sst_builder_new(&c, &b, &s.why));
	for (i = 0; i < m.n; i++)
		assert_ok(&s, sst_builder_add(b, m.e[i].key, lsm_key_hash(m.e[i].key),
					      m.e[i].stamp, m.e[i].value, &s.why));
	{
		struct sst_summary summary;

		assert_ok(&s, sst_builder_finish(b, &summary, &s.why));
		sst_summary_free(&summary);
	}
	assert_int_equal(env_open(s.env, "older.sst", ENV_READ, &f), 0);
	assert_int_equal(file_read(f, 0, old, 512, &got), 0);
	file_close(f);
	/* The same bytes but for the CRCs, which know whose they are. */
	assert_int_equal(env_open(s.env, TABLE, ENV_WRITE, &f), 0);
	assert_int_equal(file_write(f, 0, old, 512), 0);
	file_close(f);
	assert_true(ask_all(&s, &m, SST_READ));
	assert_true(ask_all(&s, &m, SST_MAP));
	scene_end(&s);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_every_flipped_byte_is_noticed),
		LEAK_CHECKED(test_a_file_that_was_cut_is_refused),
		LEAK_CHECKED(test_blocks_in_each_others_place_are_noticed),
		LEAK_CHECKED(test_a_table_with_other_content_is_noticed),
		LEAK_CHECKED(test_a_block_of_another_file_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
