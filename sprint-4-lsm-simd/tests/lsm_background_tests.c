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

/* ---- what readers were looking at ---- */

/* Whoever gets a key while the last work is done keeps what that replaced, and is gone soon. */
static void test_what_a_get_kept_goes_without_more_work(void **state)
{
	struct env_sim *sim =
		env_sim_new(&(struct env_sim_config){ .seed = 1, .no_journal = true });
	struct env *env = env_sim_env(sim);
	uint64_t kept;
	struct kv_msg why = { "" };
	unsigned int i, slot;
	struct kv *kv;

	(void)state;
	if (kv_open(&lsm_engine, env, "store",
		    "memory_bytes=1m,memtable_bytes=48k,segment_bytes=64k,huge=off", &kv,
		    &why))
		fail_msg("%s", why.text);
	for (i = 0; i < KEYS; i++)
		assert_int_equal(fixture_put(kv, i, 1, BYTES, KV_NONE), 0);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(fixture_put(kv, i, 2, BYTES, KV_NONE), 0);
	slot = epoch_enter(lsm_store(kv)->epoch);
	assert_int_equal(kv_compact(kv), 0);
	env->ops->sleep_ns(env, 3000ull * MS);
	kept = fixture_stat(kv, "unlinked_bytes");
	epoch_leave(lsm_store(kv)->epoch, slot);
	env->ops->sleep_ns(env, 3000ull * MS);
	assert_true(fixture_stat(kv, "unlinked_bytes") >= kept + KEYS * BYTES);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
}

/* ---- the rate ---- */

#define UNPACED                                                                \
	"memory_bytes=1m,memtable_bytes=48k,segment_bytes=64k,table_bytes=1m," \
	"block_bytes=1k,flushed_runs=64,huge=off"

static struct kv *open_store(struct env *env, const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&lsm_engine, env, "store", options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static uint64_t bytes_of_work(struct kv *kv)
{
	return fixture_stat(kv, "flush_bytes") + fixture_stat(kv, "blob_written_bytes") +
	       fixture_stat(kv, "compaction_read_bytes") +
	       fixture_stat(kv, "compaction_written_bytes");
}

static void work_at_a_rate(const char *options, uint64_t rate)
{
	struct env_sim *sim =
		env_sim_new(&(struct env_sim_config){ .seed = 1, .no_journal = true });
	struct env *env = env_sim_env(sim);
	struct kv *kv = open_store(env, options);
	uint64_t begun = env->ops->now_ns(env), bytes;
	double seconds;
	unsigned int i;

	for (i = 0; i < 3 * KEYS; i++)
		assert_int_equal(fixture_put(kv, i % KEYS, i / KEYS + 1, 200, KV_NONE),
				 0);
	assert_int_equal(kv_compact(kv), 0);
	seconds = (double)(env->ops->now_ns(env) - begun) / 1e9;
	bytes = bytes_of_work(kv);
	assert_true(bytes > 1000000);
	/* What a merge read last is less than a pause is made for, and not counted. */
	if ((double)bytes > 1.1 * seconds * (double)rate ||
	    (double)bytes < 0.8 * seconds * (double)rate)
		fail_msg("%s: %llu bytes in %.3f s", options, (unsigned long long)bytes,
			 seconds);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
}

static void test_work_keeps_its_rate(void **state)
{
	(void)state;
	work_at_a_rate(UNPACED ",rate=300000", 300000);
	work_at_a_rate(UNPACED ",rate=1m", 1 << 20);
	work_at_a_rate(UNPACED ",rate=2999999,blob_bytes=100,threads=2", 2999999);
}

/* A compaction that waits for its rate is given up at once. */
static void test_slow_work_does_not_keep_a_store_from_closing(void **state)
{
	struct env_sim *sim =
		env_sim_new(&(struct env_sim_config){ .seed = 1, .no_journal = true });
	struct env *env = env_sim_env(sim);
	struct kv *kv = open_store(env, UNPACED);
	uint64_t begun;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3 * KEYS; i++)
		assert_int_equal(fixture_put(kv, i % KEYS, i / KEYS + 1, 200, KV_NONE),
				 0);
	assert_int_equal(kv_close(kv), 0);
	kv = open_store(env, "memory_bytes=1m,memtable_bytes=48k,table_bytes=1m,"
			     "flushed_runs=1,rate=4k,huge=off");
	env->ops->sleep_ns(env, 10ull * MS);
	begun = env->ops->now_ns(env);
	assert_int_equal(kv_close(kv), 0);
	assert_true(env->ops->now_ns(env) - begun < 1000ull * MS);
	env_sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(
			test_moved_table_is_left_to_the_compaction_that_picks_it_next),
		LEAK_CHECKED(test_what_a_get_kept_goes_without_more_work),
		LEAK_CHECKED(test_work_keeps_its_rate),
		LEAK_CHECKED(test_slow_work_does_not_keep_a_store_from_closing),
	};

	(void)alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
