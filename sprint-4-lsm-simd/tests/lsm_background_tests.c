/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_background_tests.c - the tasks that compact one store beside each other: none takes what
 * another is at.
 *
 * lsm_versions_commit() is wrapped by the linker: what another task does at once when an edit
 * has been committed is done there.
 */
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../lsm_store.h"

#include <unistd.h>

enum { KEYS = 2000, BYTES = 60, MS = 1000000 };

static uint64_t taken; /* the number of a table that another compaction has; 0: none */

int __real_lsm_versions_commit(struct lsm_versions *vs, struct lsm_edit *e,
			       struct kv_msg *why);
int __wrap_lsm_versions_commit(struct lsm_versions *vs, struct lsm_edit *e,
			       struct kv_msg *why);

static struct lsm_table *find_table(struct lsm_version *v, uint64_t number)
{
	unsigned int level;
	size_t r, t;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++)
				if (v->level[level].run[r].table[t]->number == number)
					return v->level[level].run[r].table[t];
	return NULL;
}

/* A table that was moved is picked again as soon as it is there. */
int __wrap_lsm_versions_commit(struct lsm_versions *vs, struct lsm_edit *e,
			       struct kv_msg *why)
{
	int error = __real_lsm_versions_commit(vs, e, why);
	struct lsm_table *t;

	if (error || taken || !e->moves)
		return error;
	t = find_table(lsm_versions_lock(vs), e->move[0].number);
	assert_non_null(t);
	assert_false(t->busy);
	t->busy = true;
	taken = t->number;
	lsm_versions_unlock(vs);
	return 0;
}

/* A table in two compactions at once is missing when the second one commits. */
static void test_moved_table_is_left_to_the_compaction_that_picks_it_next(void **state)
{
	struct env_sim *sim =
		env_sim_new(&(struct env_sim_config){ .seed = 1, .no_journal = true });
	struct env *env = env_sim_env(sim);
	struct kv_msg why = { "" };
	struct lsm_table *t;
	unsigned int i;
	struct kv *kv;

	(void)state;
	taken = 0;
	if (kv_open(&lsm_engine, env, "store",
		    "memory_bytes=1m,memtable_bytes=16k,segment_bytes=64k,table_bytes=4k,"
		    "style=leveled,ratio=2,flushed_runs=1,huge=off",
		    &kv, &why))
		fail_msg("%s", why.text);
	for (i = 0; i < KEYS; i++) /* in order: tables that move as they are */
		assert_int_equal(fixture_put(kv, i, 1, BYTES, KV_NONE), 0);
	env->ops->sleep_ns(env, 20ull * MS);
	assert_true(taken);
	t = find_table(lsm_versions_lock(lsm_store(kv)->versions), taken);
	assert_non_null(t);
	assert_true(t->busy);
	t->busy = false;
	lsm_versions_unlock(lsm_store(kv)->versions);
	assert_int_equal(kv_compact(kv), 0);
	assert_int_equal(fixture_stat(kv, "compaction_error"), 0);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(
			test_moved_table_is_left_to_the_compaction_that_picks_it_next),
	};

	(void)alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
