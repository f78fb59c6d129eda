/* SPDX-License-Identifier: MIT */
/*
 * kv_judge.h - what must be true of a store's files, damaged or not, whichever engine's they
 * are: of their check, of salvage, and of a program that opens them.
 *
 * The store holds keys and values of hash_store_fixture.h. No byte of its directory may be
 * written by check or salvage, and nothing may stay open. What is expected of a certain damage
 * is left to who plants it.
 *
 * Threads: one at a time.
 */
#ifndef KV_JUDGE_H
#define KV_JUDGE_H

#include "../../sprint-1-core-memory/kv_inspect.h"
#include "hash_store_fixture.h"

enum { JUDGE_KEYS = 64 };

/* Whose files they are, and what is in them; constant. */
struct judge_subject {
	const struct kv_ops *ops;
	const struct kv_inspect_ops *inspect;
	const char *options;
	unsigned int keys;                       /* numbered from 0; JUDGE_KEYS at most */
	size_t (*value_bytes)(unsigned int key); /* as fixture_value() takes them */
	size_t line_bytes; /* every line of the files' structure is shorter */
};

struct judge_outcome {
	unsigned int facts, notes, faults;
	char text[4096]; /* of notes and faults */
	struct kv_msg why;
	int error;
};

struct judge_salvaged {
	struct judge_outcome found;
	const struct judge_subject *of;
	unsigned int version[JUDGE_KEYS]; /* 0: not given */
	bool doubtful[JUDGE_KEYS];
};

/* A kv_finding_fn: counts and writes down; arg is a struct judge_outcome. */
int judge_note(void *arg, const struct kv_finding *f);

/* Calls that change a disk, so far. */
uint64_t judge_changes(struct env_sim *disk);

/* The store's directory is "store". Errors are in the outcome. */
struct judge_outcome judge_check(const struct judge_subject *of, struct env_sim *disk);
struct judge_salvaged judge_salvage(const struct judge_subject *of, struct env_sim *disk);

/* Prints the structure of the files, to nobody: 0, or the error. *lines: how many. */
int judge_structure(const struct judge_subject *of, struct env_sim *disk,
		    unsigned int *lines);

/* 0: the store opens, verifies, and each key has the version that truth[] says, 0 being none. A
 * key below of->keys in `except` may have any. Errors: of the open, of a read, of the
 * verification. A wrong answer fails the test. */
int judge_use(const struct judge_subject *of, struct env_sim *disk,
	      const unsigned int *truth, unsigned int except, const char *damage);

/* How many disks were found how. */
struct judge_tally {
	uint64_t faults, notes, silent;
};

void judge_count(struct judge_tally *t, const struct judge_outcome *o);
void judge_print(const char *name, const struct judge_tally *t);

/* ---- whole tests ---- */

/* Check, salvage and structure of the disk with each allocation failed, or with ever fewer of
 * them: -ENOMEM, until all are there. */
void judge_out_of_memory(const struct judge_subject *of, struct env_sim *disk, bool each);

/* The store is open in kv, which is closed: its files are left alone. */
void judge_busy(const struct judge_subject *of, struct env_sim *disk, struct kv *kv);

/* No directory, an empty one, and one with a single empty file of the name; NULL: not that. */
void judge_no_store(const struct judge_subject *of, const char *name);

#endif /* KV_JUDGE_H */
