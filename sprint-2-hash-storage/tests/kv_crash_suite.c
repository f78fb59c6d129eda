/* SPDX-License-Identifier: MIT */
/*
 * kv_crash_suite.c - see kv_crash_suite.h.
 */
#include "kv_crash_suite.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { EACH = 3, NTH_MAX = 60, VARIANTS_MAX = 16 };

struct seen {
	uint64_t states, recoveries;
	uint64_t count[KV_CRASH_COUNTERS];
};

static void add_stat(void *arg, const char *name, uint64_t value)
{
	struct seen *seen = arg;
	const struct kv_crash_counter *c = crash_suite.counter;
	size_t i;

	for (i = 0; i < KV_CRASH_COUNTERS && c[i].name; i++)
		if (!strcmp(name, c[i].name))
			seen->count[i] += value - c[i].by_open;
}

unsigned int kv_crash_slower(void)
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
	const struct kv_crash_suite *s = &crash_suite;
	struct kv_crash_report r;

	c->ops = s->ops;
	c->every *= kv_crash_slower();
	c->stats = add_stat;
	c->stats_arg = seen;
	if (kv_crash_run(c, &r))
		fail_msg("%s ./%s", r.failed, s->program);
	seen->states += r.states + r.recoveries;
	seen->recoveries += r.recoveries;
}

static void print_seen(uint64_t seed, const struct seen *seen)
{
	const struct kv_crash_counter *c = crash_suite.counter;
	size_t i;

	print_message("seed %llu: %llu disks, %llu of them after two crashes;",
		      (unsigned long long)seed, (unsigned long long)seen->states,
		      (unsigned long long)seen->recoveries);
	for (i = 0; i < KV_CRASH_COUNTERS && c[i].name; i++)
		print_message("%s %s %llu", i ? "," : "", c[i].name,
			      (unsigned long long)seen->count[i]);
	print_message("\n");
}

static void run_variants(uint64_t seed, const struct kv_crash_depth *d, struct seen *seen)
{
	const struct kv_crash_suite *s = &crash_suite;
	size_t i;

	for (i = 0; i < s->variants; i++) {
		struct kv_crash_config c = s->variant[i];

		c.seed = seed;
		c.every = d->every ? d->every * (c.every ? c.every : 1) : 1;
		c.samples = d->samples;
		c.exhaustive = d->exhaustive;
		c.thorough = d->thorough;
		c.again = d->again;
		run(&c, seen);
	}
	print_seen(seed, seen);
}

void test_survive_every_crash(void **state)
{
	const struct kv_crash_suite *s = &crash_suite;
	struct seen seen = { 0 };
	size_t i;

	(void)state;
	run_variants(kv_history_seed(1), &s->quick, &seen);
	if (getenv("KV_CRASH"))
		return;
	for (i = 0; i < KV_CRASH_COUNTERS && s->counter[i].name; i++)
		if (!seen.count[i])
			fail_msg("%s is 0: nothing crashed in it", s->counter[i].name);
	assert_true(kv_crash_slower() > 1 || seen.states >= s->least);
}

/* ---- with failing calls ---- */

static void run_fault(size_t i, unsigned int k, uint64_t seed, unsigned int every,
		      struct seen *seen)
{
	const struct kv_crash_fault *f = &crash_suite.fault[i];
	struct env_sim_fault fault = {
		.calls = f->calls,
		.effect = f->effect,
		.error = f->error,
		.path = f->path,
		/* Spread, and another each time. */
		.nth = 1 + (seed * 37 + i * 11 + k * (NTH_MAX / EACH)) % NTH_MAX,
	};
	struct kv_crash_config c = crash_suite.failing;
	char name[64];

	(void)snprintf(name, sizeof(name), "fault-%s-%u", f->name, k);
	c.name = name;
	c.options = f->options;
	c.seed = seed;
	c.fault = &fault;
	c.every = every;
	c.samples = 1;
	c.exhaustive = 4;
	c.thorough = 2;
	c.again = 40;
	run(&c, seen);
}

static void run_faults(uint64_t seed, unsigned int every, struct seen *seen)
{
	const struct kv_crash_suite *s = &crash_suite;
	unsigned int k, each = kv_crash_slower() > 1 && s->failing_when_slow
				       ? s->failing_when_slow
				       : EACH;
	size_t i;

	for (i = 0; i < s->faults; i++)
		for (k = 0; k < each; k++)
			run_fault(i, k, seed, every, seen);
	print_message("seed %llu: %llu disks of histories in which a call failed\n",
		      (unsigned long long)seed, (unsigned long long)seen->states);
}

void test_survive_crashes_after_a_failed_call(void **state)
{
	const struct kv_crash_suite *s = &crash_suite;
	struct seen seen = { 0 };

	(void)state;
	run_faults(kv_history_seed(1), s->failing_every, &seen);
}

/* ---- the test itself ---- */

void test_repeat_a_history_by_its_seed(void **state)
{
	const struct kv_crash_suite *s = &crash_suite;
	uint64_t trace[2][VARIANTS_MAX];
	size_t i, round;

	(void)state;
	assert_true(s->variants <= VARIANTS_MAX);
	for (round = 0; round < 2; round++)
		for (i = 0; i < s->variants; i++) {
			struct kv_crash_config c = s->variant[i];
			struct kv_crash_report r;

			c.ops = s->ops;
			c.seed = 7;
			c.every = UINT32_MAX;
			if (kv_crash_run(&c, &r))
				fail_msg("%s ./%s", r.failed, s->program);
			trace[round][i] = r.trace;
		}
	assert_memory_equal(trace[0], trace[1], s->variants * sizeof(trace[0][0]));
}

void test_torture(void **state)
{
	const struct kv_crash_suite *s = &crash_suite;
	uint64_t seed = kv_history_seed(1);
	time_t end = time(NULL) + torture_seconds();
	struct seen seen = { 0 }, failing = { 0 };
	const bool deep = torture_seconds();

	(void)state;
	if (!states_wanted() || getenv("KV_CRASH"))
		skip();
	while (time(NULL) < end || seen.states + failing.states < states_wanted()) {
		run_variants(++seed, deep ? &s->torture : &s->quick, &seen);
		run_faults(seed, deep ? s->failing_every_in_torture : s->failing_every,
			   &failing);
	}
}
