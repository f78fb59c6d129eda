/* SPDX-License-Identifier: MIT */
/*
 * hash_crash_tests.c - the hash engine through every crash of random histories (see
 * kv_crash.h), with segments and checkpoints so small that sealing, recycling, cleaning
 * and checkpoints happen within them; then with calls to the device that fail on top.
 *
 * KV_TORTURE=seconds goes on with other seeds, and looks at more disks of each: for so long,
 * and for a million disks at least. KV_STATES=n goes on for n disks. Under sanitizers and
 * Valgrind fewer positions are looked at.
 */
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../hash_engine.h"
#include "kv_crash.h"

#include <time.h>

#define SMALL "segment_bytes=64k,leaf=16,checkpoint_bytes=60k,clean_percent=10"

static const struct kv_crash_config variants[] = {
	{ .name = "mapped", .options = SMALL ",table=swiss", .steps = 150 },
	{ .name = "written",
	  .options = SMALL ",map=off,table=cuckoo,function=crc32c",
	  .steps = 150 },
	{ .name = "cleaning",
	  .options = "segment_bytes=64k,leaf=16,clean_percent=5,checkpoint_bytes=0,"
		     "table=robin-hood",
	  .steps = 120,
	  .keys = 8,
	  .value_max = 6000 },
	{ .name = "unsynced", .options = SMALL, .steps = 60, .no_sync = true },
	{ .name = "large",
	  .options = SMALL ",table=linear",
	  .steps = 60,
	  .keys = 6,
	  .value_max = 20000,
	  .huge_bytes = 100000 },
	{ .name = "clients",
	  .options = SMALL ",table=chaining",
	  .clients = 3,
	  .keys = 6,
	  .steps = 60,
	  .preempt = 20 },
	{ .name = "clients-written",
	  .options = SMALL ",map=off,group_ms=10",
	  .clients = 2,
	  .keys = 8,
	  .steps = 60,
	  .value_max = 5000,
	  .preempt = 10 },
};

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

struct seen { /* what must have happened for the histories to be worth their crashes */
	uint64_t states, recoveries, cleaned, checkpoints, recycled;
};

static void add_stat(void *arg, const char *name, uint64_t value)
{
	struct seen *s = arg;

	if (!strcmp(name, "segments_cleaned"))
		s->cleaned += value;
	if (!strcmp(name, "checkpoints"))
		s->checkpoints += value;
	if (!strcmp(name, "log_segments_recycled"))
		s->recycled += value;
}

static unsigned int slower(void)
{
	return (unsigned int)(1000 / test_draws(1000));
}

static unsigned int torture_seconds(void)
{
	const char *s = getenv("KV_TORTURE");

	return s ? (unsigned int)strtoul(s, NULL, 10) : 0;
}

/* How many disks to go on for; 0: no further than the quick form. */
static uint64_t states_wanted(void)
{
	const char *s = getenv("KV_STATES");

	return s ? strtoull(s, NULL, 10) : torture_seconds() ? 1000000 : 0;
}

static void run(struct kv_crash_config *c, struct seen *seen)
{
	struct kv_crash_report r;

	c->ops = &hash_engine;
	c->every *= slower();
	c->stats = add_stat;
	c->stats_arg = seen;
	if (kv_crash_run(c, &r))
		fail_msg("%s ./hash_crash_tests", r.failed);
	seen->states += r.states + r.recoveries;
	seen->recoveries += r.recoveries;
}

static void run_variants(uint64_t seed, bool more, struct seen *seen)
{
	size_t i;

	for (i = 0; i < VARIANTS; i++) {
		struct kv_crash_config c = variants[i];

		c.seed = seed;
		c.every = 1;
		c.samples = more ? 4 : 2;
		c.exhaustive = more ? 64 : 16;
		c.thorough = more ? 1 : 3;
		c.again = more ? 40 : 100;
		run(&c, seen);
	}
	print_message("seed %llu: %llu disks, %llu of them after two crashes; %llu "
		      "segments cleaned, %llu recycled, %llu checkpoints\n",
		      (unsigned long long)seed, (unsigned long long)seen->states,
		      (unsigned long long)seen->recoveries,
		      (unsigned long long)seen->cleaned,
		      (unsigned long long)seen->recycled,
		      (unsigned long long)seen->checkpoints);
}

static void test_survive_every_crash(void **state)
{
	uint64_t seed = kv_history_seed(1);
	struct seen seen = { 0 };

	(void)state;
	run_variants(seed, false, &seen);
	if (getenv("KV_CRASH"))
		return;
	assert_true(seen.cleaned && seen.checkpoints && seen.recycled);
	assert_true(slower() > 1 || seen.states >= 10000);
}

/* ---- with failing calls ---- */

static const struct {
	const char *name;
	unsigned int calls;
	enum env_sim_effect effect;
	int error;
	const char *options;
} faults[] = {
	{ "sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, SMALL },
	{ "sync-drop", 1u << SIM_SYNC, SIM_DROP, -EIO, SMALL },
	{ "sync-written", 1u << SIM_SYNC, SIM_FAIL, -EIO, SMALL ",map=off" },
	{ "sync-drop-written", 1u << SIM_SYNC, SIM_DROP, -EIO, SMALL ",map=off" },
	{ "write", 1u << SIM_WRITE, SIM_FAIL, -EIO, SMALL ",map=off" },
	{ "write-short", 1u << SIM_WRITE, SIM_SHORT, -ENOSPC, SMALL ",map=off" },
	{ "room", 1u << SIM_ALLOCATE, SIM_FAIL, -ENOSPC, SMALL },
	{ "names", 1u << SIM_SYNC_DIR | 1u << SIM_RENAME | 1u << SIM_UNLINK, SIM_FAIL,
	  -EIO, SMALL },
	{ "open", 1u << SIM_OPEN | 1u << SIM_MKDIR, SIM_FAIL, -EMFILE, SMALL },
	{ "truncate", 1u << SIM_TRUNCATE | 1u << SIM_MAP, SIM_FAIL, -EIO, SMALL },
};

enum { FAULTS = sizeof(faults) / sizeof(faults[0]), EACH = 3, NTH_MAX = 60 };

static void run_fault(size_t i, unsigned int k, uint64_t seed, unsigned int every,
		      struct seen *seen)
{
	struct env_sim_fault fault = {
		.calls = faults[i].calls,
		.effect = faults[i].effect,
		.error = faults[i].error,
		/* Spread, and another each time. */
		.nth = 1 + (seed * 37 + i * 11 + k * (NTH_MAX / EACH)) % NTH_MAX,
	};
	struct kv_crash_config c = {
		.options = faults[i].options,
		.seed = seed,
		.steps = 100,
		.keys = 8,
		.value_max = 5000,
		.fault = &fault,
		.every = every,
		.samples = 1,
		.exhaustive = 4,
		.thorough = 2,
		.again = 40,
	};
	char name[64];

	(void)snprintf(name, sizeof(name), "fault-%s-%u", faults[i].name, k);
	c.name = name;
	run(&c, seen);
}

static void run_faults(uint64_t seed, unsigned int every, struct seen *seen)
{
	unsigned int k;
	size_t i;

	for (i = 0; i < FAULTS; i++)
		for (k = 0; k < EACH; k++)
			run_fault(i, k, seed, every, seen);
	print_message("seed %llu: %llu disks of histories in which a call failed\n",
		      (unsigned long long)seed, (unsigned long long)seen->states);
}

static void test_survive_crashes_after_a_failed_call(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	run_faults(kv_history_seed(1), 9, &seen);
}

/* ---- the test itself ---- */

/* A seed is a history: without that a failure could not be replayed. */
static void test_repeat_a_history_by_its_seed(void **state)
{
	uint64_t trace[2][VARIANTS];
	size_t i, round;

	(void)state;
	for (round = 0; round < 2; round++)
		for (i = 0; i < VARIANTS; i++) {
			struct kv_crash_config c = variants[i];
			struct kv_crash_report r;

			c.ops = &hash_engine;
			c.seed = 7;
			c.every = UINT32_MAX;
			if (kv_crash_run(&c, &r))
				fail_msg("%s ./hash_crash_tests", r.failed);
			trace[round][i] = r.trace;
		}
	assert_memory_equal(trace[0], trace[1], sizeof(trace[0]));
}

static void test_torture(void **state)
{
	uint64_t seed = kv_history_seed(1);
	time_t end = time(NULL) + torture_seconds();
	struct seen seen = { 0 }, failing = { 0 };

	(void)state;
	if (!states_wanted() || getenv("KV_CRASH"))
		skip();
	while (time(NULL) < end || seen.states + failing.states < states_wanted()) {
		run_variants(++seed, true, &seen);
		run_faults(seed, 1, &failing);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_survive_every_crash),
		LEAK_CHECKED(test_survive_crashes_after_a_failed_call),
		LEAK_CHECKED(test_repeat_a_history_by_its_seed),
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
