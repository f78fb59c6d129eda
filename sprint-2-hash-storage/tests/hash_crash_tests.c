/* SPDX-License-Identifier: MIT */
/*
 * hash_crash_tests.c - the hash engine through every crash of random histories (see
 * kv_crash.h), with segments, leaves and checkpoints so small that sealing, splitting,
 * cleaning and checkpoints happen within them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../hash_engine.h"
#include "kv_crash.h"

#define SMALL "segment_bytes=64k,leaf=16,checkpoint_bytes=60k"

static const struct kv_crash_config variants[] = {
	{ .name = "mapped", .options = SMALL ",clean_percent=10", .steps = 120 },
	{ .name = "written",
	  .options = SMALL ",clean_percent=10,map=off,table=cuckoo",
	  .steps = 120 },
	{ .name = "large",
	  .options = SMALL ",clean_percent=5,table=linear",
	  .steps = 60,
	  .keys = 6,
	  .value_max = 20000,
	  .huge_bytes = 100000 },
	{ .name = "clients",
	  .options = SMALL ",clean_percent=10,table=chaining",
	  .clients = 3,
	  .keys = 6,
	  .steps = 50,
	  .preempt = 20 },
};

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

struct seen { /* what must have happened for the histories to be worth their crashes */
	uint64_t cleaned, checkpoints, recycled;
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

static void test_survive_every_crash(void **state)
{
	uint64_t seed = kv_history_seed(1), states = 0;
	struct seen seen = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < VARIANTS; i++) {
		struct kv_crash_config c = variants[i];
		struct kv_crash_report r;

		c.ops = &hash_engine;
		c.seed = seed;
		c.samples = 2;
		c.exhaustive = 16;
		c.thorough = 3;
		c.again = 150;
		c.stats = add_stat;
		c.stats_arg = &seen;
		if (kv_crash_run(&c, &r))
			fail_msg("%s ./hash_crash_tests", r.failed);
		print_message("%s: %llu writes, %llu positions, %llu disks, %llu of them "
			      "crashed twice\n",
			      c.name, (unsigned long long)r.writes,
			      (unsigned long long)r.positions,
			      (unsigned long long)(r.states + r.recoveries),
			      (unsigned long long)r.recoveries);
		states += r.states + r.recoveries;
	}
	print_message("seed %llu: %llu disks; %llu segments cleaned, %llu recycled, %llu "
		      "checkpoints\n",
		      (unsigned long long)seed, (unsigned long long)states,
		      (unsigned long long)seen.cleaned, (unsigned long long)seen.recycled,
		      (unsigned long long)seen.checkpoints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survive_every_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
