/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_compact_tests.c - compaction beside writers who leave dead bytes behind faster than it
 * clears them up: it ends, and others get their turn; and beside snapshots.
 */
#include "env_sim.h"
#include "hash_store_fixture.h"

#define OPTIONS "segment_bytes=64k,leaf=16,clean_rate=0,checkpoint_bytes=100k"

enum { HOT = 10, VALUE = 3000, WARM = 300, MOST = 20000, SEEDS = 6 };

struct stage {
	struct env_sim *sim;
	struct kv *kv;
	unsigned int written, failed;
	bool done;
};

static void write_on(void *arg)
{
	struct stage *s = arg;

	while (!s->done && s->written < MOST) {
		unsigned int n = s->written++;

		s->failed += fixture_put(s->kv, n % HOT, n, VALUE, KV_NONE) != 0;
		env_sim_yield(s->sim);
	}
}

/* Two callers at once, so that one must wait for the other, and both for the task. */
static void compact_beside_writers(void *arg)
{
	struct stage *s = arg;

	s->failed += kv_compact(s->kv) != 0;
}

static void run(uint64_t seed)
{
	struct stage s = { .done = false };
	struct env_task *writer, *other;
	struct kv_msg why = { "" };
	unsigned int i;
	struct env *env;

	s.sim = env_sim_new(&(struct env_sim_config){
		.seed = seed, .no_journal = true, .preempt = 4 });
	env = env_sim_env(s.sim);
	if (kv_open(&hash_engine, env, "store", OPTIONS, &s.kv, &why))
		fail_msg("%s", why.text);
	for (i = 0; i < WARM; i++)
		assert_int_equal(fixture_put(s.kv, i % HOT, i, VALUE, KV_NONE), 0);
	writer = env_sim_spawn_client(s.sim, write_on, &s);
	other = env_sim_spawn_client(s.sim, compact_beside_writers, &s);
	assert_int_equal(kv_compact(s.kv), 0);
	env->ops->join(env, other);
	/* It was not the writer's end that it waited for. */
	if (s.written >= MOST)
		fail_msg("seed %llu: compaction did not end before the writer did",
			 (unsigned long long)seed);
	s.done = true;
	env->ops->join(env, writer);
	assert_int_equal(s.failed, 0);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(s.sim);
}

static void test_compaction_ends_beside_a_writer_who_never_rests(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++)
		run(seed);
}

/* Deletes that a snapshot keeps in the index are moved by cleaning, and go with the snapshot
 * or with the next cleaning all the same. */
static void test_moved_deletes_leave_the_index_behind_their_snapshot(void **state)
{
	struct env_sim *sim =
		env_sim_new(&(struct env_sim_config){ .seed = 9, .no_journal = true });
	struct kv_snapshot *snap;
	struct kv_msg why;
	struct kv *kv;
	unsigned int i;

	(void)state;
	assert_int_equal(
		kv_open(&hash_engine, env_sim_env(sim), "store", OPTIONS, &kv, &why), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(fixture_put(kv, i, 1, VALUE, KV_NONE), 0);
	assert_int_equal(kv_snapshot(kv, &snap), 0);
	for (i = 0; i < 90; i++)
		assert_int_equal(fixture_delete(kv, i, i % 2 ? KV_SYNC : KV_NONE), 0);
	for (i = 0; i < 100; i++) /* seals the deletes' segment */
		assert_int_equal(fixture_put(kv, 90 + i % 10, 2 + i, VALUE, KV_NONE), 0);
	assert_int_equal(kv_compact(kv), 0);
	assert_true(fixture_stat(kv, "segments_cleaned") > 2);
	assert_int_equal(fixture_stat(kv, "index_entries"), 100);
	kv_release(kv, snap);
	for (i = 0; i < 200; i++)
		assert_int_equal(fixture_put(kv, 90 + i % 10, 200 + i, VALUE, KV_NONE),
				 0);
	assert_int_equal(kv_compact(kv), 0);
	assert_int_equal(fixture_stat(kv, "keys"), 10);
	assert_int_equal(fixture_stat(kv, "index_entries"), 10);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_compaction_ends_beside_a_writer_who_never_rests),
		LEAK_CHECKED(test_moved_deletes_leave_the_index_behind_their_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
