/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_history.h - random histories: the same operations on an engine and on the oracle
 * (the array engine), compared after each step; a history that fails is shrunk.
 *
 * A history is a function of its seed, of the config below and of the engine's caps and
 * limits, so a failure is replayed by its seed alone: KV_SEED=0x... in the environment of
 * any test that uses this.
 */
#ifndef KV_HISTORY_H
#define KV_HISTORY_H

#include "kv_conformance.h"

struct kv_history_config {
	uint64_t seed; /* of the first history; the i-th runs with seed + i */
	unsigned int histories,
		steps;          /* how many, and how many steps each; 0: 1 and 300 */
	unsigned int key_space; /* distinct keys; small makes collisions and deletes bite;
				        * 0: 30 */
	/* Bytes; lengths are drawn up to these, mostly short, and within the engine's limits.
	 * 0: 300 and 5000. */
	size_t key_max, value_max;
	bool reopen; /* close and reopen in between, if the engine persists */
	unsigned int
		shrink_ms; /* how long to look for a shorter failing history; 0: 5000 */
};

/* Runs them all. On the first difference prints the seed, what was expected and what came,
 * then the shortest failing history that shrinking found, one step a line, and returns 1;
 * else 0. */
unsigned int kv_history_run(const struct kv_target *t, const struct kv_history_config *c,
			    struct kv_report *r);

/* KV_SEED of the environment (decimal, or hexadecimal after 0x), else init. Tests print
 * what they use. */
uint64_t kv_history_seed(uint64_t init);

#endif /* KV_HISTORY_H */
