/* SPDX-License-Identifier: MIT */
/*
 * kv_mutant.h - the crash test tested, for any engine: whether it notices a mistake that was
 * planted. See hash_mutant_tests.c.
 *
 * Who includes it says before which engine (MUTANT_ENGINE), through which histories[] it is
 * led, and how many they are (HISTORIES).
 */
#ifndef KV_MUTANT_H
#define KV_MUTANT_H

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "env_liar.h"
#include "kv_crash.h"

enum { SEEDS = 3, SYNCS = 40 };

struct trial {
	struct env_sim_fault fault; /* while its nth is not 0 */
	struct env_liar *liar;
	uint64_t disks;
	struct kv_crash_report r;
};

static bool caught_by(struct trial *t, size_t i, uint64_t seed, unsigned int every)
{
	struct kv_crash_config c = histories[i];

	c.name = "mutant";
	c.ops = &MUTANT_ENGINE;
	c.seed = seed;
	c.steps = c.steps ? c.steps : 100;
	c.keys = c.keys ? c.keys : 8;
	c.value_max = c.value_max ? c.value_max : 5000;
	c.every = every;
	c.samples = 2;
	c.exhaustive = 8;
	c.thorough = 2;
	c.again = 30;
	c.fault = t->fault.nth ? &t->fault : NULL;
	c.wrap = t->liar ? env_liar_wrap : NULL;
	c.wrap_arg = t->liar;
	(void)kv_crash_run(&c, &t->r);
	t->disks += t->r.states + t->r.recoveries;
	if (t->liar)
		env_liar_end(t->liar);
	return *t->r.failed;
}

/* Coarsely first: most mistakes show soon; those in making a store only near its begin. */
static bool caught(struct trial *t, bool at_creation)
{
	static const unsigned int every[] = { 37, 11, 3, 1 };
	uint64_t seed;
	size_t i, k;

	for (k = at_creation ? 3 : 0; k < sizeof(every) / sizeof(every[0]); k++)
		for (seed = 1; seed <= SEEDS; seed++)
			for (i = 0; i < HISTORIES; i++)
				if (caught_by(t, i, seed, every[k]))
					return true;
	return false;
}

/* The same with calls that fail, each step-th in turn, in both homes of the log. */
static bool caught_with_fault(struct trial *t, unsigned int fail, uint64_t step)
{
	static const unsigned int every[] = { 41, 7 };
	uint64_t nth;
	size_t k;

	for (k = 0; k < sizeof(every) / sizeof(every[0]); k++)
		for (nth = 1; nth <= SYNCS; nth += step) {
			t->fault = (struct env_sim_fault){
				.calls = fail,
				.nth = nth,
				.effect = nth % 2 ? SIM_FAIL : SIM_DROP,
			};
			if (caught_by(t, nth % 2, 1, every[k]))
				return true;
		}
	return false;
}

static void tell(const char *name, const struct trial *t)
{
	char first[128];

	(void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(t->r.failed, "\n"),
		       t->r.failed);
	print_message("%-28s caught at disk %llu: %s\n", name,
		      (unsigned long long)t->disks, first);
}

static size_t stride(void)
{
	return test_draws(1000) < 1000 ? 8 : 1;
}

struct mutant_lie {
	const char *name;
	unsigned int lies;
	const char *only;
	unsigned int fail; /* calls of the device that fail; 0: none */
	bool at_creation;  /* to be looked for near the store's making */
};

/* Tells how each was caught; returns how many were not. */
static size_t catch_each_lie(const struct mutant_lie *lies, size_t n)
{
	size_t i, missed = 0;

	for (i = 0; i < n; i += stride()) {
		struct env_liar liar = { .lies = lies[i].lies, .only = lies[i].only };
		struct trial t = { .liar = &liar };

		if (lies[i].fail ? caught_with_fault(&t, lies[i].fail, 1)
				 : caught(&t, lies[i].at_creation)) {
			tell(lies[i].name, &t);
			continue;
		}
		print_error("%s: not caught in %llu disks\n", lies[i].name,
			    (unsigned long long)t.disks);
		missed++;
	}
	return missed;
}

/* The same for mistakes between the engine's files: name[1] on, each made while *mistake is its
 * number. */
static size_t catch_each_mistake(unsigned int *mistake, const char *const *name, size_t n)
{
	size_t i, missed = 0;

	for (i = 1; i < n; i += stride()) {
		struct trial t = { 0 };
		bool yes;

		*mistake = (unsigned int)i;
		yes = caught(&t, false);
		*mistake = 0;
		if (yes) {
			tell(name[i], &t);
			continue;
		}
		print_error("%s: not caught in %llu disks\n", name[i],
			    (unsigned long long)t.disks);
		missed++;
	}
	return missed;
}

/* Odd, so that both homes and both effects take their turns. */
static uint64_t fault_step(void)
{
	return getenv("KV_TORTURE") ? 1 : 9;
}

/* Without a mistake the same histories pass: it is the mistakes that are caught. With calls
 * that fail, one in nine does; under KV_TORTURE all. */
static void test_pass_without_mistakes(void **state)
{
	struct env_liar honest = { 0 };
	struct trial t = { .liar = &honest };
	size_t i;

	(void)state;
	for (i = 0; i < HISTORIES; i += stride())
		if (caught_by(&t, i, 1, 37))
			fail_msg("%s", t.r.failed);
	t.liar = NULL;
	if (stride() == 1 && caught_with_fault(&t, 1u << SIM_SYNC, fault_step()))
		fail_msg("%s", t.r.failed);
}

#endif /* KV_MUTANT_H */
