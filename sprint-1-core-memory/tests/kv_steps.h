/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_steps.h - a random history as data, so that it can be replayed and shrunk.
 *
 * Private to kv_history.c (makes one from a seed, reports), kv_replay.c (does it to the
 * engine and to the oracle) and kv_shrink.c (makes it shorter while it still fails).
 */
#ifndef KV_STEPS_H
#define KV_STEPS_H

#include "kv_check.h"
#include "kv_history.h"

enum {
	STEP_EDITS = 20, /* steps of one batch, keys of one multi_get */
	STEP_SNAPSHOTS = 6,
	STEP_CURSORS = 4,
	STEP_NEWEST = STEP_SNAPSHOTS, /* in place of a snapshot: none */
	STEP_NO_END = UINT16_MAX,     /* in place of a key: to the end */
};

enum step_type {
	STEP_WRITE,     /* edit[0..n) as one kv_write() */
	STEP_GET,       /* edit[0].key at snapshot */
	STEP_MULTI_GET, /* edit[0..n).key at snapshot */
	STEP_SNAPSHOT,  /* into snapshot, whose old one is released first */
	STEP_RELEASE,   /* snapshot */
	STEP_CURSOR,    /* into cursor, over snapshot */
	STEP_SEEK,      /* cursor to edit[0].key */
	STEP_NEXT,      /* cursor, n times */
	STEP_PREV,      /* cursor, n times */
	STEP_CLOSE,     /* cursor */
	STEP_CHECK,     /* all content, newest and of every snapshot */
	STEP_COMPACT,
	STEP_SYNC,
	STEP_VERIFY,
	STEP_REOPEN, /* after giving back cursors and snapshots */
	STEP_BACKUP, /* and compares what it holds */
	STEP_TYPES,
};

struct step_edit {
	uint8_t type;      /* enum kv_op_type */
	uint16_t key, end; /* indexes of keys; end of a range or STEP_NO_END */
	uint32_t value_len, value_tag; /* its bytes are a function of both */
};

struct step {
	uint8_t type;             /* enum step_type */
	uint8_t snapshot, cursor; /* slots */
	uint8_t how;              /* enum kv_durability */
	uint16_t n;
	struct step_edit edit[STEP_EDITS];
};

struct history {
	uint64_t seed;
	struct kv_slice *key;
	unsigned char
		*key_memory; /* of all: places of one size, which shrinking reuses */
	size_t n_keys;
	struct step *step;
	size_t n;
};

struct history_failure {
	size_t step;    /* h->n: the check after the last */
	char text[900]; /* "get "a": expected ..., came ..." */
};

/* Runs h on fresh stores. True when engine and oracle differ, and then *f says where. */
bool history_replay(const struct kv_target *t, const struct history *h,
		    struct history_failure *f);

/* Makes h, which fails with *f, as short as can be in about ms milliseconds; *f becomes
 * how the shorter one fails. Returns how many histories it tried. */
unsigned int history_shrink(const struct kv_target *t, struct history *h,
			    struct history_failure *f, unsigned int ms);

/* One line: put "a" = value 7 of 512 bytes. */
void history_print_step(const struct history *h, const struct step *s, FILE *out);

/* The value of an edit, into buf. */
int history_value(const struct step_edit *e, struct kv_buf *buf);

#endif /* KV_STEPS_H */
