/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.7: compaction.
 */
#include "../../../harness/learn/learn.h"
#include "../../tests/hash_store_fixture.h"

#define SOURCE  "the comment at the top of sprint-2-hash-storage/hash_clean.c"
#define CHAPTER "docs/sprint-2-hash-storage.md, \"Cleaning\""
/* Nothing is cleaned but by kv_compact(), and an index is written at close alone. */
#define OPTIONS \
	"segment_bytes=64k,leaf=16,clean_rate=0,clean_percent=100,checkpoint_bytes=0"

enum { SEGMENT = 64 << 10, VALUE = 2000, KEYS = 200, FILL = 5000 };

struct stage {
	struct env_sim *sim;
	struct kv *kv;
};

static void open_store(struct stage *s, struct env_sim *sim)
{
	struct kv_msg why = { "" };
	int error;

	s->sim = sim;
	error = kv_open(&hash_engine, env_sim_env(sim), "store", OPTIONS, &s->kv, &why);
	learn_expect(!error, "the store opens", "%d: %s", error, why.text);
}
static void begin(struct stage *s, bool journal)
{
	open_store(s, env_sim_new(&(struct env_sim_config){ .seed = 1,
							    .no_journal = !journal }));
}
static void end(struct stage *s)
{
	learn_error("kv_close()", kv_close(s->kv), 0);
	env_sim_free(s->sim);
}
/* Another process, on the disk that this one leaves: no index was written. */
static void reopen_killed(struct stage *s)
{
	struct env_sim *before = s->sim;
	struct env_sim_point p = { env_sim_position(before), SIM_LOSE_NONE, 0 };
	struct env_sim *after = env_sim_crash(before, &p, false);

	end(s);
	open_store(s, after);
}

static void put(struct stage *s, unsigned int key, unsigned int version)
{
	learn_error("kv_put()", fixture_put(s->kv, key, version, VALUE, KV_NONE), 0);
}
/* Dead bytes at the log's end: one key, again and again. */
static void fill(struct stage *s, unsigned int n)
{
	while (n--)
		put(s, FILL, n);
}
/* The key's version, 0: not there. */
static unsigned int version_at(struct stage *s, struct kv_snapshot *snap,
			       unsigned int key)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	unsigned int version = 0;
	int error = snap ? kv_get_at(s->kv, snap, fixture_key(k, key), &value)
			 : kv_get(s->kv, fixture_key(k, key), &value);

	if (!error)
		version = fixture_version(key, VALUE, value.data, value.len);
	kv_buf_free(&value);
	learn_expect(!error || error == -ENOENT, learn_text("key %u can be read", key),
		     "error %d", error);
	return version;
}
static void must_have(struct stage *s, unsigned int key, unsigned int version,
		      const char *when)
{
	learn_number(learn_text("the version of key %u %s (0: not there)", key, when),
		     version_at(s, NULL, key), version);
}
static void compact(struct stage *s)
{
	learn_error("kv_compact()", kv_compact(s->kv), 0);
	learn_expect(fixture_stat(s->kv, "segments_cleaned") > 0,
		     "at least one segment was cleaned", "none");
}

static void test_dead_bytes_come_back(void **state)
{
	unsigned int i, version;
	uint64_t before, after;
	struct stage s;

	(void)state;
	begin(&s, false);
	for (version = 1; version <= 10; version++)
		for (i = 0; i < KEYS; i++)
			put(&s, i, version);
	before = fixture_stat(s.kv, "segment_bytes");
	compact(&s);
	after = fixture_stat(s.kv, "segment_bytes");
	learn_expect(after < before / 4,
		     learn_text("less than a quarter of %llu bytes in segments, of which "
				"nine tenths were dead",
				(unsigned long long)before),
		     "%llu", (unsigned long long)after);
	learn_number("the segments given back, of those that were cleaned",
		     fixture_stat(s.kv, "segments_reclaimed"),
		     fixture_stat(s.kv, "segments_cleaned"));
	end(&s);
}

static void test_what_lives_is_found(void **state)
{
	unsigned int i, round;
	struct stage s;

	(void)state;
	begin(&s, true);
	for (round = 1; round <= 6; round++) {
		for (i = 0; i < KEYS; i++)
			if (round == 1 || i % round == 0)
				put(&s, i, round);
		fill(&s, 70);
		if (round >= 3)
			compact(&s);
	}
	for (round = 0; round < 2; round++) {
		for (i = 0; i < KEYS; i++) {
			unsigned int version = 6;

			while (version > 1 && i % version)
				version--;
			must_have(&s, i, version,
				  round ? "in another process" : "after compaction");
		}
		if (!round)
			reopen_killed(&s);
	}
	end(&s);
}

static void test_what_is_dead_is_not_moved(void **state)
{
	unsigned int i;
	uint64_t moved;
	struct stage s;

	(void)state;
	begin(&s, false);
	for (i = 0; i < KEYS; i++)
		put(&s, i, 1);
	fill(&s, 300);
	compact(&s);
	moved = fixture_stat(s.kv, "clean_moved_bytes");
	learn_expect(moved <= 2 * SEGMENT,
		     "little moved, for segments are all alive or all dead",
		     "%llu bytes moved", (unsigned long long)moved);
	end(&s);
}

/* Each old segment keeps an old put of a deleted key, and nearly all of it lives. */
static void put_and_delete_few(struct stage *s)
{
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		put(s, i, 1);
	fill(s, 40);
	for (i = 5; i < KEYS; i += 50)
		learn_error("kv_delete()", fixture_delete(s->kv, i, KV_NONE), 0);
	fill(s, 200);
}

static void test_the_deleted_stay_deleted(void **state)
{
	unsigned int i;
	struct stage s;

	(void)state;
	begin(&s, true);
	put_and_delete_few(&s);
	compact(&s);
	for (i = 0; i < KEYS; i++)
		must_have(&s, i, i % 50 != 5, "after compaction");
	reopen_killed(&s);
	for (i = 0; i < KEYS; i++)
		must_have(&s, i, i % 50 != 5, "in another process");
	end(&s);
}

static void test_deletes_go_in_the_end(void **state)
{
	unsigned int i;
	uint64_t bytes;
	struct stage s;

	(void)state;
	begin(&s, false);
	for (i = 0; i < 6000; i++)
		learn_error("kv_put()", fixture_put(s.kv, i, 1, 10, KV_NONE), 0);
	for (i = 0; i < 6000; i++)
		learn_error("kv_delete()", fixture_delete(s.kv, i, KV_NONE), 0);
	fill(&s, 100);
	compact(&s);
	bytes = fixture_stat(s.kv, "segment_bytes");
	learn_expect(bytes <= 3 * SEGMENT,
		     "at most three segments, after all but one pair was deleted",
		     "%llu bytes", (unsigned long long)bytes);
	learn_expect(fixture_stat(s.kv, "deletes_dropped") >= 5900,
		     "nearly 6000 deletes dropped, by the statistics", "%llu",
		     (unsigned long long)fixture_stat(s.kv, "deletes_dropped"));
	end(&s);
}

static void test_snapshots_see_what_they_saw(void **state)
{
	struct kv_snapshot *snap;
	unsigned int i;
	struct stage s;

	(void)state;
	begin(&s, false);
	for (i = 0; i < KEYS; i++)
		put(&s, i, 1);
	learn_error("kv_snapshot()", kv_snapshot(s.kv, &snap), 0);
	for (i = 0; i < KEYS; i++)
		if (i % 3)
			put(&s, i, 2);
		else
			(void)fixture_delete(s.kv, i, KV_NONE);
	fill(&s, 100);
	compact(&s);
	fill(&s, 300); /* files that were given back are written again */
	for (i = 0; i < KEYS; i++)
		learn_number(learn_text("the version of key %u in the snapshot", i),
			     version_at(&s, snap, i), 1);
	for (i = 0; i < KEYS; i++)
		must_have(&s, i, i % 3 ? 2 : 0, "outside of the snapshot");
	kv_release(s.kv, snap);
	fill(&s, 40);
	compact(&s);
	learn_expect(fixture_stat(s.kv, "segment_bytes") < 14 * SEGMENT,
		     "the snapshot's space comes back when it is released", "%llu bytes",
		     (unsigned long long)fixture_stat(s.kv, "segment_bytes"));
	end(&s);
}

static void test_power_may_fail_at_any_time(void **state)
{
	struct stage s, after;
	size_t from, to, at;
	unsigned int i;

	(void)state;
	begin(&s, true);
	for (i = 0; i < KEYS / 2; i++) {
		put(&s, i, 1);
		fill(&s, 2);
	}
	learn_error("kv_sync()", kv_sync(s.kv), 0);
	from = env_sim_position(s.sim);
	compact(&s);
	fill(&s, 100);
	to = env_sim_position(s.sim);
	for (at = from; at <= to; at += (to - from) / 24 + 1) {
		struct env_sim_point p = { at, SIM_LOSE_ALL, 0 };

		open_store(&after, env_sim_crash(s.sim, &p, false));
		for (i = 0; i < KEYS / 2; i++)
			must_have(&after, i, 1, "when power fails during compaction");
		end(&after);
	}
	end(&s);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_dead_bytes_come_back, 2, CHAPTER),
	LEARN_TEST(test_what_lives_is_found, 3, SOURCE),
	LEARN_TEST(test_what_is_dead_is_not_moved, 2, SOURCE),
	LEARN_TEST(test_the_deleted_stay_deleted, 3, CHAPTER),
	LEARN_TEST(test_deletes_go_in_the_end, 2, SOURCE),
	LEARN_TEST(test_snapshots_see_what_they_saw, 2, CHAPTER),
	LEARN_TEST(test_power_may_fail_at_any_time, 3, SOURCE),
};

LEARN_MAIN_NO_SPEED(tests)
