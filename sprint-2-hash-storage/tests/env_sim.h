/* SPDX-License-Identifier: MIT */
/*
 * env_sim.h - a home of env.h for tests: a disk in memory that forgets what was not
 * synced, a scheduler that a seed decides, and every fault a device can show.
 *
 * An engine runs in it unchanged. What it does to the disk is written to a journal, and
 * from the journal come the disks that a crash at any moment may leave. Each is a
 * simulator of its own, so that the engine recovers in it, and can crash again while it
 * does. After SQLite's test VFS, ALICE (Pillai et al., "All File Systems Are Not Created
 * Equal", 2014) and FoundationDB's simulation.
 *
 *	static int check(void *arg, struct env_sim *disk, size_t at)
 *	{
 *		struct history *h = arg; // acked[i]: see below
 *		int error = kv_open(h->ops, env_sim_env(disk), "store", OPTS, &kv, &why);
 *		... every i with h->acked[i] <= at is there; what else is there is a prefix ...
 *		return kv_close(kv);     // non-zero ends the exploration
 *	}
 *
 *	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = seed });
 *	kv_open(h->ops, env_sim_env(sim), "store", OPTS, &kv, &why);
 *	for (i = 0; i < n; i++) {
 *		kv_put(kv, h->key[i], h->value[i], KV_SYNC);
 *		h->acked[i] = env_sim_position(sim); // a crash from here on must keep it
 *	}
 *	kv_close(kv);
 *	struct env_sim_explore e = { .samples = 16, .check = check, .arg = h };
 *	if (env_sim_explore(sim, &e))
 *		fail_msg("%s", e.failed); // says how to build this one disk again
 *	env_sim_free(sim);
 *
 * Crashes during recovery: set .journal, and in check(), after kv_open(), explore the
 * disk itself from 0 to env_sim_position(disk).
 *
 * What a crash may leave, for bytes: each 512-byte sector that was written since the last
 * sync of its file, as it was then or as any write since left it, independently of the
 * others; the file's size likewise. For names: the changes of a directory since its last
 * sync, up to any of them. Stores to a map are found by comparison before each journaled
 * call, and within one sector they may be torn as well. Truncation orders what is before
 * it and behind it.
 *
 * Thousands of disks a second, if the engine's files are small: what it reads and maps
 * while it opens is most of the work, so take segments of 64 KiB, not of megabytes.
 *
 * Memory of the simulator's own is not port_alloc's, except for what env.h hands out
 * (files, locks, tasks, conditions): so port_fault.c fails and counts the right ones.
 * Misuse (a deadlock, a store through a read-only map, a leak at the end) prints a
 * sentence and aborts.
 *
 * Threads: the creating thread and the tasks spawned through env.h; one runs at a time.
 * They switch in cond_wait, join, sleep, env_sim_yield() and where a lock is taken; with
 * config.preempt at any lock or file call too. Link all of env_sim*.c but the tests:
 * env_sim_lock.c stands before the C library's locks, so that a task which finds one
 * taken lets the others run.
 */
#ifndef ENV_SIM_H
#define ENV_SIM_H

#include "../env.h"

struct env_sim;

struct env_sim_config {
	uint64_t seed;           /* of schedule, env->random, faults' places, sampling */
	uint64_t capacity_bytes; /* of the disk, in blocks of 4 KiB; 0: 1 TiB */
	bool no_journal;         /* no crashes will be asked for: faster, less memory */
	bool no_map;             /* map() is -EOPNOTSUPP */
	bool no_allocate;        /* allocate() is -EOPNOTSUPP */
	bool spurious;           /* cond_wait wakes for nothing, one time in eight */
	unsigned int preempt;    /* one lock or file call in so many switches; 0: none */
};

struct env_sim *env_sim_new(const struct env_sim_config *c); /* NULL: all zeroes */
struct env *env_sim_env(struct env_sim *sim);
/* Nothing may be open, mapped, locked or running any more. NULL is allowed. */
void env_sim_free(struct env_sim *sim);
/* Files, maps, locks, conditions and tasks that were handed out and not given back. */
unsigned int env_sim_live(struct env_sim *sim);

/* How much has happened to the disk so far: a crash point. Counts stores to maps too. */
size_t env_sim_position(struct env_sim *sim);
/* A hash of every call and every scheduling decision: equal for equal runs. */
uint64_t env_sim_trace(struct env_sim *sim);

/* ---- tasks ---- */

/* A thread of the test's own as a task, joined by env->join(). */
struct env_task *env_sim_spawn_client(struct env_sim *sim, env_task_fn *fn, void *arg);
void env_sim_yield(struct env_sim *sim); /* another may run */

/* ---- faults ---- */

enum env_sim_call { /* what can be made to fail; a mask of 1u << these */
		    SIM_READ,
		    SIM_WRITE,
		    SIM_SYNC,
		    SIM_ALLOCATE,
		    SIM_TRUNCATE,
		    SIM_SIZE,
		    SIM_MAP,
		    SIM_OPEN,
		    SIM_UNLINK,
		    SIM_RENAME,
		    SIM_MKDIR,
		    SIM_RMDIR,
		    SIM_LIST,
		    SIM_SYNC_DIR,
		    SIM_LOCK,
		    SIM_SPACE,
		    SIM_SPAWN,
		    SIM_CALLS, /* their number */
		    SIM_ANY = (1 << SIM_CALLS) - 1,
};

enum env_sim_effect {
	SIM_FAIL,      /* error, nothing done; a failed sync has forgotten what was to be
			* written (pages clean), though the process still reads it */
	SIM_SHORT,     /* half of a read, without an error; half of a write, with it */
	SIM_DROP,      /* sync: as SIM_FAIL, and the process reads the old bytes again */
	SIM_LOSE,      /* write: reported as done, and nothing was; sync: likewise */
	SIM_MISDIRECT, /* write: reported as done, and went to another block of the file */
};

struct env_sim_fault {
	unsigned int calls; /* mask */
	uint64_t nth;       /* the nth such call from now; 1 is the next */
	bool for_good;      /* and all such calls after it */
	int error;          /* negative errno; 0: -EIO */
	enum env_sim_effect effect;
	const char *path; /* only files whose path contains it; NULL: all; borrowed */
};

/* One at a time; NULL ends it. */
void env_sim_fault(struct env_sim *sim, const struct env_sim_fault *f);
bool env_sim_fault_fired(struct env_sim *sim); /* since env_sim_fault() */
uint64_t env_sim_calls(struct env_sim *sim, unsigned int calls); /* so far, of a mask */

void env_sim_set_capacity(struct env_sim *sim, uint64_t bytes);
/* Bytes at rest change: xors one with mask, durably. -EINVAL beyond the end. */
int env_sim_flip(struct env_sim *sim, const char *path, uint64_t offset, uint8_t mask);

/* ---- crashes ---- */

enum env_sim_loss {
	SIM_LOSE_ALL,  /* only what was synced is there */
	SIM_LOSE_NONE, /* all is there: the process died, the machine did not */
	SIM_ZEROS,     /* names and sizes, but none of the unsynced bytes */
	SIM_PREFIX,    /* the first of the unsynced changes; choice: how many */
	SIM_TORN,      /* the first choice / 16 of them, and a part of the next */
	SIM_SUBSET,    /* choice: the how-manieth of all subsets of sectors and names */
	SIM_RANDOM,    /* choice: a seed for a subset; stores torn within a sector too */
};

struct env_sim_point {
	size_t at; /* a position */
	enum env_sim_loss loss;
	uint64_t choice;
};

/* The disk that a crash leaves there; NULL when there is no such choice. The new
 * simulator is independent of sim, journals if told to, and starts without faults. */
struct env_sim *env_sim_crash(struct env_sim *sim, const struct env_sim_point *p,
			      bool journal);
/* How many SIM_SUBSET choices a position has; limit + 1 when there are more. */
uint64_t env_sim_subsets(struct env_sim *sim, size_t at, uint64_t limit);
/* The same disk, everything durable: a process that stopped in an orderly way. */
struct env_sim *env_sim_copy(struct env_sim *sim, bool journal);
/* "crash at 17 (sync store/a.log) subset 3", of each crash that led here. */
const char *env_sim_origin(struct env_sim *sim);
unsigned int env_sim_depth(struct env_sim *sim); /* crashes that led here */

/* 0, or an error that ends the exploration. disk is freed by the caller, who wants
 * nothing open in it any more. */
typedef int env_sim_check_fn(void *arg, struct env_sim *disk, size_t at);

struct env_sim_explore {
	size_t from, to;         /* positions, both included; to 0: the end */
	size_t every;            /* only each so manieth position; 0: each */
	unsigned int exhaustive; /* all subsets where there are no more; 0: 1024 */
	unsigned int samples;    /* else so many prefixes, torn and random ones; 0: 8 */
	bool journal;            /* disks journal, so that they can be explored as well */
	env_sim_check_fn *check;
	void *arg;

	/* what came of it */
	uint64_t states;
	char failed[512]; /* the disk that check() refused */
};

/* Checks disk after disk. Returns what check() did. */
int env_sim_explore(struct env_sim *sim, struct env_sim_explore *e);

#endif /* ENV_SIM_H */
