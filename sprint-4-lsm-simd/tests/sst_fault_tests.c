/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_fault_tests.c - tables when files fail and memory ends: at n = 1, 2, ... until nothing
 * fires. What is answered is right or an error; nothing leaks; no half of a table stays.
 */
#include "sst_fixture.h"

static const struct lsm_tombstone range = { { "user5", 5 }, { "user7", 5 }, 77 };

/* Large enough for several writes. */
static void cook(struct model *m)
{
	const struct recipe r = { .keys = KEYS_USER,
				  .n = 1200,
				  .value_max = 1000,
				  .versions = 2,
				  .deletes = 9,
				  .blobs = 11 };

	core_random_start();
	memset(m, 0, sizeof(*m));
	model_cook(m, &r);
}

static struct sst_shape fault_shape(void)
{
	struct sst_shape shape = usual_shape;

	shape.block_bytes = 4096;
	shape.compression = sst_can_lz4() ? SST_LZ4 : SST_PLAIN;
	return shape;
}

/* More than an empty file, which opening may leave when it has no memory itself. */
static bool is_there(struct scene *s)
{
	uint64_t size = 0;
	struct file *f;

	if (env_open(s->env, TABLE, ENV_READ, &f))
		return false;
	assert_int_equal(f->ops->size(f, &size), 0);
	file_close(f);
	return size;
}

/* ---- writing ---- */

static void build_with_file_faults(const struct model *m, enum env_sim_effect effect,
				   int error)
{
	struct env_sim_fault fault = { .calls = 1u << SIM_WRITE | 1u << SIM_SYNC |
						1u << SIM_OPEN,
				       .error = error,
				       .effect = effect };
	const struct sst_shape shape = fault_shape();
	struct scene s;
	bool fired = true;
	int came;

	for (fault.nth = 1; fired; fault.nth++) {
		scene_begin(&s, &shape);
		env_sim_fault(s.sim, &fault);
		came = scene_try_build(&s, m, &range, 1);
		fired = env_sim_fault_fired(s.sim);
		env_sim_fault(s.sim, NULL);
		if (fired) {
			assert_int_equal(came, error);
			assert_non_null(strstr(s.why.text, TABLE));
			assert_false(is_there(&s));
		} else {
			assert_ok(&s, came);
		}
		scene_end(&s);
	}
	assert_true(fault.nth > 5);
}

static void test_a_build_that_fails_leaves_no_file(void **state)
{
	struct model m;

	(void)state;
	cook(&m);
	build_with_file_faults(&m, SIM_FAIL, -EIO);
	build_with_file_faults(&m, SIM_FAIL, -ENOSPC);
	build_with_file_faults(&m, SIM_SHORT, -ENOSPC);
	model_free(&m);
}

static void test_a_build_without_memory_leaves_no_file(void **state)
{
	const struct sst_shape shape = fault_shape();
	struct model m;
	struct scene s;
	bool fired = true;
	uint64_t n;
	int came;

	(void)state;
	cook(&m);
	for (n = 1; fired; n++) {
		scene_begin(&s, &shape);
		port_fault_set(n, true);
		came = scene_try_build(&s, &m, &range, 1);
		fired = port_fault_fired();
		port_fault_set(0, false);
		if (fired) {
			assert_int_equal(came, -ENOMEM);
			assert_false(is_there(&s));
		} else {
			assert_ok(&s, came);
		}
		scene_end(&s);
	}
	assert_true(n > 30);
	model_free(&m);
}

static void test_a_full_disk_is_told_and_space_comes_back(void **state)
{
	struct model m;
	struct scene s;

	(void)state;
	cook(&m);
	scene_begin(&s, NULL);
	env_sim_set_capacity(s.sim, 100 << 10);
	assert_int_equal(scene_try_build(&s, &m, NULL, 0), -ENOSPC);
	assert_false(is_there(&s));
	env_sim_set_capacity(s.sim, 64 << 20);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	scene_end(&s);
	model_free(&m);
}

/* ---- reading ---- */

static int no_line(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	return 0;
}

static int scan(struct scene *s, const struct model *m, unsigned int flags)
{
	struct lsm_cursor *c;
	int error = sst_cursor(s->t, flags, &c, &s->why);
	size_t i;

	if (error)
		return error;
	for (i = 0; !error && i < m->n; i++) {
		error = lsm_next(c);
		if (!error)
			check_at(c, m, i);
	}
	if (!error)
		error = lsm_seek(c, m->e[m->n / 3].key, m->e[m->n / 3].stamp);
	if (!error)
		check_at(c, m, m->n / 3);
	if (!error)
		error = lsm_prev(c);
	if (!error)
		check_at(c, m, m->n / 3 - 1);
	if (error) {
		assert_non_null(sst_cursor_why(c));
		s->why = *sst_cursor_why(c);
	}
	lsm_cursor_close(c);
	return error;
}

static int get_some(struct scene *s, const struct model *m)
{
	struct kv_buf value = { 0 };
	uint64_t stamp;
	int error = 0;
	size_t i;

	for (i = 0; !error && i < m->n; i += 97) {
		const struct entry *e = &m->e[i];

		error = sst_get(s->t, e->key, lsm_key_hash(e->key),
				lsm_sequence(e->stamp), &stamp, &value, &s->why);
		if (!error)
			assert_int_equal(stamp, e->stamp);
	}
	kv_buf_free(&value);
	return error;
}

static int use_table(struct scene *s, const struct model *m, enum sst_access access)
{
	int error = scene_try_open(s, access);

	if (!error)
		error = scan(s, m, 0);
	if (!error)
		error = scan(s, m, SST_COLD | SST_READAHEAD);
	if (!error)
		error = get_some(s, m);
	if (!error)
		error = sst_verify(s->t, NULL, &s->why);
	if (!error)
		error = sst_dump(s->t, true, no_line, NULL, &s->why);
	scene_close(s);
	return error;
}

static void read_with_file_faults(const struct model *m, enum sst_access access,
				  const struct env_sim_fault *f, bool heals)
{
	const struct sst_shape shape = fault_shape();
	struct env_sim_fault fault = *f;
	struct scene s;
	bool fired = true;
	int came;

	scene_begin(&s, &shape);
	assert_ok(&s, scene_try_build(&s, m, &range, 1));
	for (fault.nth = 1; fired; fault.nth++) {
		env_sim_fault(s.sim, &fault);
		came = use_table(&s, m, access);
		fired = env_sim_fault_fired(s.sim);
		env_sim_fault(s.sim, NULL);
		if (!fired || heals)
			assert_ok(&s, came);
		else if (came) /* reading ahead may fail: then the block is read alone */
			assert_int_equal(came, f->effect == SIM_SHORT ? -EBADMSG : -EIO);
		if (came)
			assert_non_null(strstr(s.why.text, TABLE));
	}
	assert_true(fault.nth > 5);
	scene_end(&s);
}

static void test_a_read_that_fails_is_an_error_and_no_answer(void **state)
{
	const struct env_sim_fault once = { .calls = SIM_ANY & ~(1u << SIM_MAP) },
				   good = { .calls = 1u << SIM_READ, .for_good = true },
				   cut = { .calls = 1u << SIM_READ,
					   .effect = SIM_SHORT,
					   .for_good = true };
	struct model m;

	(void)state;
	cook(&m);
	read_with_file_faults(&m, SST_READ, &once, false);
	read_with_file_faults(&m, SST_MAP, &once, false);
	read_with_file_faults(&m, SST_READ, &good, false);
	read_with_file_faults(&m, SST_READ, &cut, false);
	read_with_file_faults(&m, SST_DIRECT, &once, false);
	read_with_file_faults(&m, SST_DIRECT, &good, false);
	model_free(&m);
}

static void test_a_short_read_is_made_again(void **state)
{
	const struct env_sim_fault cut = { .calls = 1u << SIM_READ, .effect = SIM_SHORT };
	struct model m;

	(void)state;
	cook(&m);
	read_with_file_faults(&m, SST_READ, &cut, true);
	model_free(&m);
}

static void test_without_a_map_a_table_is_read(void **state)
{
	const struct env_sim_fault fault = { .calls = 1u << SIM_MAP, .nth = 1 };
	struct model m;
	struct scene s;

	(void)state;
	cook(&m);
	scene_begin(&s, NULL);
	assert_ok(&s, scene_try_build(&s, &m, NULL, 0));
	env_sim_fault(s.sim, &fault);
	assert_ok(&s, use_table(&s, &m, SST_MAP));
	assert_true(env_sim_fault_fired(s.sim));
	env_sim_fault(s.sim, NULL);
	scene_end(&s);
	model_free(&m);
}

static void read_without_memory(const struct model *m, enum sst_access access)
{
	const struct sst_shape shape = fault_shape();
	/* After the first hundreds only some are tried: blocks are much alike. */
	struct scene s;
	bool fired = true;
	uint64_t n;
	int came;

	scene_begin(&s, &shape);
	assert_ok(&s, scene_try_build(&s, m, &range, 1));
	for (n = 1; fired; n += n < 200 ? 1 : 31) {
		port_fault_set(n, true);
		came = use_table(&s, m, access);
		fired = port_fault_fired();
		port_fault_set(0, false);
		if (!fired)
			assert_ok(&s, came);
		else if (came)
			assert_int_equal(came, -ENOMEM);
	}
	assert_true(n > 30);
	scene_end(&s);
}

static void test_reading_without_memory_is_an_error_and_no_answer(void **state)
{
	struct model m;

	(void)state;
	cook(&m);
	read_without_memory(&m, SST_READ);
	read_without_memory(&m, SST_MAP);
	read_without_memory(&m, SST_DIRECT);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_a_build_that_fails_leaves_no_file),
		LEAK_CHECKED(test_a_build_without_memory_leaves_no_file),
		LEAK_CHECKED(test_a_full_disk_is_told_and_space_comes_back),
		LEAK_CHECKED(test_a_read_that_fails_is_an_error_and_no_answer),
		LEAK_CHECKED(test_a_short_read_is_made_again),
		LEAK_CHECKED(test_without_a_map_a_table_is_read),
		LEAK_CHECKED(test_reading_without_memory_is_an_error_and_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
