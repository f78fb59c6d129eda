/* SPDX-License-Identifier: MIT */
/*
 * kv_crash_suite.h - the tests of kv_crash.h that every engine runs, of a table of what is the
 * engine's own: options that make much happen in short histories, calls that fail, how closely
 * to look, and what must have happened for the histories to be worth their crashes.
 *
 * KV_STATES=n goes on with other seeds, for n disks at least. KV_TORTURE=seconds does so for so
 * long, and for a million disks at least, and looks at more disks of each seed. Under sanitizers
 * and Valgrind fewer positions are looked at.
 */
#ifndef KV_CRASH_SUITE_H
#define KV_CRASH_SUITE_H

#include "kv_crash.h"

enum { KV_CRASH_COUNTERS = 12 };

struct kv_crash_fault {
	const char *name;
	unsigned int calls;
	enum env_sim_effect effect;
	int error;
	const char *path; /* NULL: any */
	const char *options;
};

struct kv_crash_counter { /* of the engine's statistics; it must have moved */
	const char *name;
	uint64_t by_open; /* what each open adds by itself */
};

struct kv_crash_depth { /* see kv_crash_config */
	unsigned int
		every; /* times the variant's own; 0: every position of each variant */
	unsigned int samples, exhaustive, thorough, again;
};

/* Constant. */
struct kv_crash_suite {
	const char *program; /* its name, for the command that repeats a failure */
	const struct kv_ops *ops;

	const struct kv_crash_config
		*variant; /* name, options, the histories' sizes, every */
	size_t variants;
	struct kv_crash_depth quick, torture;
	uint64_t least; /* disks of the quick form */

	const struct kv_crash_fault *fault;
	size_t faults;
	struct kv_crash_config failing; /* steps, keys and so on of these histories */
	unsigned int failing_every, failing_every_in_torture;
	unsigned int
		failing_when_slow; /* histories of each fault under sanitizers and the
					 * like; 0: as many as elsewhere */

	struct kv_crash_counter counter[KV_CRASH_COUNTERS]; /* up to one without a name */
};

/* The program's own, which it defines. */
extern const struct kv_crash_suite crash_suite;

/* ---- its tests, for the program's group ---- */

/* The histories of all variants, and every crash of them. */
void test_survive_every_crash(void **state);

/* Histories in which a call of the device fails, each kind of call several times. */
void test_survive_crashes_after_a_failed_call(void **state);

/* A seed is a history: without that a failure could not be replayed. */
void test_repeat_a_history_by_its_seed(void **state);

/* Both with other seeds, as KV_TORTURE and KV_STATES say; skipped where they say nothing. */
void test_torture(void **state);

/* By how much fewer positions are looked at here: 1 where nothing slows the program down. */
unsigned int kv_crash_slower(void);

#endif /* KV_CRASH_SUITE_H */
