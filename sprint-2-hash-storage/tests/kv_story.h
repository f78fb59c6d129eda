/* SPDX-License-Identifier: MIT */
/*
 * kv_story.h - a store of an engine that orders its keys, whose story is known, and faults
 * planted in its files: the check of the files finds each of them, or it is harmless; and
 * salvage gives what is left, and says what may be old.
 *
 * Each fault is planted in a copy of the store's disk. Then
 *   - the files are checked, and the copy is opened and verified as a program would: what the
 *     open or the verification refuses must have been a fault; and where no fault was found,
 *     salvage must give every pair, and none in doubt;
 *   - what salvage gives must have been written once, and what is not the newest version of its
 *     key must be in doubt;
 *   - all that kv_judge.h says is true.
 */
#ifndef KV_STORY_H
#define KV_STORY_H

#include "kv_judge.h"

enum { STORY_KEYS = 60, STORY_PAGE = 4096 };

struct story {
	const struct judge_subject *of;
	struct env_sim *disk;            /* nobody has it open */
	unsigned int writes[STORY_KEYS]; /* versions up to this were written */
	unsigned int truth[STORY_KEYS];  /* the newest; 0: deleted */
	unsigned int
		last; /* of this key the newest stands in the log's last record: nothing
			    * behind it proves that it was durable */
};

/* Of a subject: some values are on a page of their own, some of middle size. */
size_t story_value_bytes(unsigned int key);

/* An empty disk of the seed; end with story_end(). */
void story_begin(struct story *st, const struct judge_subject *of, uint64_t seed);
void story_end(struct story *st);
struct kv *story_open(const struct story *st);

/* Puts and deletes; overwrites, a range deleted, a batch. Each opens the store and closes it. */
void story_first_session(struct story *st);
void story_second_session(struct story *st);

/* Both sessions; with, behind them, writes of a process that was killed. */
void story_make_closed(struct story *st, const struct judge_subject *of);
void story_make_killed(struct story *st, const struct judge_subject *of);

/* ---- judging ---- */

struct story_tally {
	struct judge_tally found;
	unsigned int most_missing, most_in_doubt; /* of one disk */
};

/* Of what salvage gave: nothing false, and nothing old that is not in doubt. How many pairs are
 * missing, how many in doubt. */
void story_expect_honest(const struct story *st, const struct judge_salvaged *s,
			 const char *damage, unsigned int *missing,
			 unsigned int *in_doubt);

/* disk is the story's with a fault in it; damage is its name. */
struct judge_outcome story_judge(const struct story *st, struct env_sim *disk,
				 const char *damage, struct story_tally *t);
void story_print(const char *name, const struct story_tally *t);

/* ---- files ---- */

/* Names below the store's directory, without those whose bytes mean nothing. */
struct story_names {
	char name[64][40];
	size_t n;
	const char *folder; /* as story_list() goes through it */
	bool inside;
};

/* folder: one in the store whose files are listed as well; NULL: none. */
void story_list(struct env_sim *disk, const char *folder, struct story_names *out);
struct file *story_open_file(struct env_sim *disk, const char *name);
uint64_t story_file_bytes(struct env_sim *disk, const char *name);
void story_read_file(struct env_sim *disk, const char *name, struct kv_buf *out);
bool story_is_zero(const void *bytes, size_t n);

/* A copy of the disk with one byte of a file changed, or the file cut or gone, judged. */
struct judge_outcome story_flip(const struct story *st, const char *name, uint64_t offset,
				uint8_t mask, struct story_tally *t);
struct judge_outcome story_cut(const struct story *st, const char *name, uint64_t size,
			       struct story_tally *t);
struct judge_outcome story_lose(const struct story *st, const char *name,
				struct story_tally *t);

#endif /* KV_STORY_H */
