/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance.h - holds any engine to kv.h.
 *
 * No test framework in it: a cmocka test, a peer's test and `kvbench doctor` call the same
 * functions. Each check runs on a fresh store and is skipped, visibly, where the engine's
 * caps leave its subject out.
 */
#ifndef KV_CONFORMANCE_H
#define KV_CONFORMANCE_H

#include "../kv.h"

/* What a target owns up to not doing, for peers whose libraries cannot. The checks that it
 * concerns are skipped, with that reason. None of our own engines sets any. */
enum kv_lenient {
	KV_LENIENT_BUSY = 1 << 0, /* a second open of an open store is not refused */
	KV_LENIENT_SEEK_BOUNDS = 1 << 1, /* seek() wants a key that could be stored */
	KV_LENIENT_NO_PARENT = 1 << 2,   /* open() makes missing parents too */
	KV_LENIENT_ONE_STORE = 1 << 3,   /* there is but one: a device of the kernel */
};

struct kv_target {
	const struct kv_ops *ops;
	const char *options; /* for kv_open(); may be NULL */
	struct env *env;
	const char
		*scratch; /* an existing directory; each store is a new name below it */
	void (*remove_store)(
		const char *dir); /* deletes a closed store; NULL if none is on disk */
	size_t huge_value;        /* bytes of the largest value to try; 0: 16 MiB */
	unsigned int lenient;     /* enum kv_lenient */
};

struct kv_report {
	unsigned int passed, failed, skipped;
	FILE *out;    /* "ok NAME", "not ok NAME: where: what was expected, what came",
		       * "skip NAME: why"; NULL: nothing is written */
	bool verbose; /* else only what is not ok */
	const char *only; /* the name of one check to run; NULL: all */
};

/* Every function, every error, empty, huge and binary keys and values, batches, snapshot
 * isolation, cursors while writing, threads, reopen, backup, options. Returns failures
 * found. KV_CHECK=name in the environment stands for r->only when that is NULL. */
unsigned int kv_conformance(const struct kv_target *t, struct kv_report *r);

/* Random histories against the array engine; see kv_history.h. */

#endif /* KV_CONFORMANCE_H */
