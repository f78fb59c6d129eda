/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_work_fault_tests.c - flushes and compactions when the disk fails, memory ends, a table
 * is damaged, or somebody wants them to end.
 *
 * Whatever it is: an error that says what was the matter, an empty edit, no file more than
 * before, nothing held, and the store as it was. With the cause gone, the same work succeeds.
 */
#include "lsm_work_fixture.h"

static struct work_world world;

/* Some flushes on a compacted store with blob files, and a pick of all of it. */
static struct lsm_version *prepare(struct work_world *w, struct lsm_pick *p)
{
	struct lsm_version *v;
	unsigned int i;

	work_open(w, CORE_SEED);
	w->work.blob_live_percent = 101; /* any value in a blob file is written anew */
	for (i = 0; i < 4; i++) {
		work_put_some(w, 120);
		if (i == 1)
			work_snapshot(w);
		work_flush(w);
		if (i == 1)
			work_compact_all(w);
	}
	/* The manifest's log has its next segment made by a task of its own, beforehand. */
	w->env->ops->sleep_ns(w->env, 1000000000);
	v = lsm_versions_current(w->versions);
	work_pick_whole(v, 1, p);
	return v;
}

struct before {
	struct work_files files;
	uint64_t allocations;
	unsigned int live; /* of the simulator */
};

static struct before note(struct work_world *w)
{
	return (struct before){ work_files(w), port_fault_live(), env_sim_live(w->sim) };
}

static void check_nothing_is_left(struct work_world *w, const struct before *b,
				  const struct lsm_edit *e)
{
	static const struct lsm_edit empty;
	struct work_files files = work_files(w);

	assert_int_equal(files.n, b->files.n);
	assert_int_equal(files.hash, b->files.hash);
	assert_int_equal(port_fault_live(), b->allocations);
	assert_int_equal(env_sim_live(w->sim), b->live);
	assert_memory_equal(e, &empty, sizeof(empty));
}

/* What is tried with faults: a compaction of everything, or a flush. */
struct work_case {
	bool flush;
	unsigned int parts;
	struct lsm_version *version;
	struct lsm_pick pick;
	struct lsm_memtable *memtable;
};

static void case_begin(struct work_world *w, struct work_case *c)
{
	c->version = prepare(w, &c->pick);
	w->work.parts = c->parts;
	if (c->flush) {
		work_put_some(w, 150);
		c->memtable = work_memtable(w);
	}
}

static int case_try(struct work_world *w, struct work_case *c, struct lsm_edit *e)
{
	w->why.text[0] = '\0';
	w->paces = 0;
	if (c->flush)
		return lsm_flush(&w->work, c->memtable, e, &w->stats, &w->why);
	return work_try(w, c->version, &c->pick, e);
}

/* It has succeeded at last. */
static void case_end(struct work_world *w, struct work_case *c, struct lsm_edit *e)
{
	assert_true(e->adds > 0);
	if (c->flush) {
		w->flushed = w->writes;
		lsm_memtable_free(c->memtable);
	}
	work_free_pick(&c->pick);
	lsm_version_unref(c->version);
	work_commit(w, e);
	work_check(w);
	work_close(w);
}

static struct work_case cases[] = { { .flush = true, .parts = 1 },
				    { .parts = 1 },
				    { .parts = 3 } };
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void fail_nth_calls(struct work_case *c, enum env_sim_effect effect, int error)
{
	unsigned int calls = SIM_ANY & ~(1u << SIM_UNLINK);
	struct work_world *w = &world;
	struct lsm_edit e = { 0 };
	uint64_t nth, failures = 0;

	case_begin(w, c);
	for (nth = 1;; nth++) {
		struct env_sim_fault f = {
			.calls = calls, .nth = nth, .error = error, .effect = effect
		};
		struct before b = note(w);
		bool fired;
		int got;

		env_sim_fault(w->sim, &f);
		got = case_try(w, c, &e);
		fired = env_sim_fault_fired(w->sim);
		env_sim_fault(w->sim, NULL);
		if (!fired) {
			assert_int_equal(got, 0);
			break;
		}
		if (got) {
			assert_true(got == error || got == -EBADMSG);
			assert_true(w->why.text[0]);
			check_nothing_is_left(w, &b, &e);
			failures++;
			continue;
		}
		/* It could do without, as without a task. */
		lsm_work_undo(&w->work, &e);
		lsm_edit_free(&e);
		check_nothing_is_left(w, &b, &e);
	}
	assert_true(failures > 5);
	case_end(w, c, &e);
}

static void test_nth_call_of_the_disk_fails(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < CASES; i++) {
		fail_nth_calls(&cases[i], SIM_FAIL, -EIO);
		fail_nth_calls(&cases[i], SIM_SHORT, -ENOSPC);
	}
}

static void test_nth_allocation_fails(void **state)
{
	struct work_world *w = &world;
	size_t i;

	(void)state;
	for (i = 0; i < CASES; i++) {
		struct work_case *c = &cases[i];
		struct lsm_edit e = { 0 };
		uint64_t nth, failures = 0;

		case_begin(w, c);
		for (nth = 1;; nth++) {
			struct before b = note(w);
			bool fired;
			int got;

			port_fault_set(nth, true);
			got = case_try(w, c, &e);
			fired = port_fault_fired();
			port_fault_set(0, false);
			if (!fired) {
				assert_int_equal(got, 0);
				break;
			}
			if (got) {
				assert_int_equal(got, -ENOMEM);
				assert_true(w->why.text[0]);
				failures++;
			} else {
				lsm_work_undo(&w->work, &e);
				lsm_edit_free(&e);
			}
			check_nothing_is_left(w, &b, &e);
		}
		assert_true(failures > 10);
		case_end(w, c, &e);
	}
}

static void test_disk_fills_up_and_is_emptied_again(void **state)
{
	struct work_world *w = &world;
	size_t i;

	(void)state;
	for (i = 0; i < CASES; i++) {
		struct work_case *c = &cases[i];
		struct lsm_edit e = { 0 };
		uint64_t space;
		struct before b;

		case_begin(w, c);
		b = note(w);
		assert_int_equal(w->env->ops->free_space(w->env, "store", &space), 0);
		env_sim_set_capacity(w->sim, ((uint64_t)1 << 40) - space + 4096);
		assert_int_equal(case_try(w, c, &e), -ENOSPC);
		assert_true(w->why.text[0]);
		check_nothing_is_left(w, &b, &e);
		env_sim_set_capacity(w->sim, (uint64_t)1 << 40);
		assert_int_equal(case_try(w, c, &e), 0);
		case_end(w, c, &e);
	}
}

static void test_work_ends_when_it_is_told_to(void **state)
{
	struct work_world *w = &world;
	size_t i;

	(void)state;
	for (i = 0; i < CASES; i++) {
		struct work_case *c = &cases[i];
		struct lsm_edit e = { 0 };
		uint64_t ended = 0;

		case_begin(w, c);
		for (w->end_at = 1;; w->end_at++) {
			struct before b = note(w);
			int got = case_try(w, c, &e);

			if (!got)
				break;
			assert_int_equal(got, -ECANCELED);
			check_nothing_is_left(w, &b, &e);
			ended++;
		}
		assert_true(ended >= 2);
		w->end_at = 0;
		case_end(w, c, &e);
	}
}

/* In the simulator the tasks of the other parts begin when the first one's has ended. */
static void test_part_that_fails_ends_the_others(void **state)
{
	struct env_sim_fault f = { .calls = 1u << SIM_OPEN, .nth = 1, .path = ".sst" };
	struct work_case c = { .parts = 3 };
	struct work_world *w = &world;
	struct lsm_edit e = { 0 };
	struct before b;

	(void)state;
	case_begin(w, &c);
	w->work.blob_threshold = 0; /* so that a table is the first to be opened */
	w->end_at = UINT64_MAX;
	b = note(w);
	env_sim_fault(w->sim, &f);
	assert_int_equal(case_try(w, &c, &e), -EIO);
	assert_true(env_sim_fault_fired(w->sim));
	env_sim_fault(w->sim, NULL);
	assert_int_equal(w->paces, 0);
	check_nothing_is_left(w, &b, &e);
	assert_int_equal(case_try(w, &c, &e), 0);
	assert_true(w->paces > 3);
	case_end(w, &c, &e);
}

/* One bit of a source changes: the compaction says which file, and leaves all as it is. */
static void test_damaged_source_is_told(void **state)
{
	struct work_world *w = &world;
	unsigned int i, told = 0;

	(void)state;
	for (i = 0; i < 40; i++) {
		struct lsm_edit e = { 0 };
		struct lsm_pick p;
		struct lsm_version *v = prepare(w, &p);
		struct lsm_source *s = &p.source[core_random_below(p.sources)];
		struct lsm_table *t = s->table[core_random_below(s->tables)];
		char path[ENV_PATH_MAX];
		struct before b;
		int error;

		assert_int_equal(lsm_file_name(path, "store", t->number, LSM_FILE_TABLE),
				 0);
		/* Data blocks are first in the file: any byte of its first half counts. */
		assert_int_equal(env_sim_flip(w->sim, path,
					      core_random_below(t->summary.bytes / 2),
					      (uint8_t)(1u << core_random_below(8))),
				 0);
		w->work.parts = 1 + i % 2;
		b = note(w);
		error = work_try(w, v, &p, &e);
		if (error) {
			assert_int_equal(error, -EBADMSG);
			assert_non_null(strstr(w->why.text, path));
			check_nothing_is_left(w, &b, &e);
			told++;
		} else {
			lsm_work_undo(&w->work, &e);
			lsm_edit_free(&e);
		}
		work_free_pick(&p);
		lsm_version_unref(v);
		work_close(w);
	}
	assert_true(told > 20);
}

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		FAULT_TEST(test_nth_call_of_the_disk_fails),
		FAULT_TEST(test_nth_allocation_fails),
		FAULT_TEST(test_disk_fills_up_and_is_emptied_again),
		FAULT_TEST(test_work_ends_when_it_is_told_to),
		FAULT_TEST(test_part_that_fails_ends_the_others),
		FAULT_TEST(test_damaged_source_is_told),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
