/* SPDX-License-Identifier: MIT */
/*
 * kv_crash.h - one crash test for every persistent engine: a random history in the
 * simulator, a crash at each of its positions, and what must hold of the disk then.
 *
 * A history is a function of its seed: clients put, delete, delete ranges where the engine
 * can, and write batches at all three levels of durability, hold snapshots, sync, compact,
 * back up, close and reopen. What was acknowledged is noted with the position from which a
 * crash must keep it. Then each disk that a crash can leave (env_sim_explore) is opened, and
 *
 *   - opening succeeds, and kv_verify() finds nothing;
 *   - what is there is a prefix of each client's writes: batches whole or not at all,
 *     everything in it that was acknowledged `sync` (or `group`, and group_ms is over, or
 *     was followed by kv_sync() or kv_close()), and nothing that had not begun;
 *   - opening again changes nothing; writing works, and what is written is there after a
 *     close;
 *   - a crash during the recovery, or during the writes after it, does no harm either;
 *   - a backup that was acknowledged is there in full, and a part of one passes for none.
 *
 * A disk that fails is printed with the command that builds it again:
 *
 *	KV_SEED=0x2a KV_CRASH=cleaning@511:subset:3+17:torn:9 ./hash_crash_tests
 *
 * After ALICE (Pillai et al., "All File Systems Are Not Created Equal", 2014) and
 * SQLite's crash tests. Link kv_crash*.c and what env_sim.h wants.
 */
#ifndef KV_CRASH_H
#define KV_CRASH_H

#include "env_sim.h"

struct kv_crash_config {
	const char *name; /* of the variant, without '@' or blanks */
	const struct kv_ops *ops;
	const char *options;
	uint64_t seed;
	unsigned int
		clients;    /* tasks that write at once; 0: 1. Only a lone one reopens and
			       * backs up */
	unsigned int steps; /* of each client; 0: 100 */
	unsigned int keys;  /* of each client; 0: 16 */
	size_t value_max;   /* bytes; 0: 2000 */
	size_t huge_bytes;  /* of one value in 32; 0: none is huge */
	unsigned int preempt; /* see env_sim_config */
	bool no_snapshots;
	bool no_sync; /* nothing but `none` and `group`, and no kv_sync() */
	/* What goes wrong while the history runs; it ends with the first write that fails. */
	const struct env_sim_fault *fault;
	/* What stands between the engine and the simulator; NULL: nothing. The env that it
	 * returns is good until the next call. */
	struct env *(*wrap)(void *arg, struct env *home);
	void *wrap_arg;
	/* The engine's counters, before each close of the history; NULL: nobody asks. */
	kv_stat_fn *stats;
	void *stats_arg;

	/* See env_sim_explore. */
	unsigned int every, samples, exhaustive;
	unsigned int thorough; /* one disk in so many is reopened and written to; 0: 1 */
	unsigned int again;    /* one disk in so many crashes once more; 0: none does */
};

struct kv_crash_report {
	uint64_t writes;     /* of the history */
	uint64_t positions;  /* where it can crash */
	uint64_t states;     /* disks that were checked, */
	uint64_t recoveries; /* and of these, disks that had crashed twice */
	uint64_t trace;      /* env_sim_trace() of the history */
	char failed[1536];   /* what was wrong, with which disk, and the replay command */
};

/* 0, or 1 and r->failed. With KV_CRASH in the environment only the disk that it describes
 * is built and checked, and variants of other names pass without a look. KV_SEED is the
 * caller's to read, by kv_history_seed(). */
int kv_crash_run(const struct kv_crash_config *c, struct kv_crash_report *r);

#endif /* KV_CRASH_H */
