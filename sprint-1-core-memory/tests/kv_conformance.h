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

struct kv_target {
	const struct kv_ops *ops;
	const char *options; /* for kv_open(); may be NULL */
	struct env *env;
	const char *scratch; /* an existing directory; each store is a new name below it */
	void (*remove_store)(const char *dir); /* deletes a closed store; NULL if none is on disk */
	size_t huge_value;   /* bytes of the largest value to try; 0: 16 MiB */
};

struct kv_report {
	unsigned int passed, failed, skipped;
	FILE *out;    /* "ok NAME", "not ok NAME: what was expected, what came", "skip NAME: why" */
	bool verbose; /* else only what is not ok */
};

/* Every function, every error, empty, huge and binary keys and values, batches, snapshot
 * isolation, cursors while writing, reopen, options. Returns failures found. */
unsigned int kv_conformance(const struct kv_target *t, struct kv_report *r);

/* Random histories against the array engine; see kv_history.h. */

#endif /* KV_CONFORMANCE_H */
