/* SPDX-License-Identifier: MIT */
/*
 * env_liar.h - an env between an engine and its home that makes the classic mistakes of
 * durability in the engine's name: for testing whether a crash test would notice.
 *
 * What an engine forgets to ask for, and what its env does not do, are the same thing to
 * the disk. So a mistake planted here stands for any engine that makes it.
 */
#ifndef ENV_LIAR_H
#define ENV_LIAR_H

#include "../env.h"

enum env_lie {
	LIE_SYNC = 1 << 0,      /* a file's sync does nothing */
	LIE_SYNC_DIR = 1 << 1,  /* a directory's sync does nothing */
	LIE_SYNC_LATE = 1 << 2, /* a sync does what the one before it should have done */
	LIE_SYNC_RENAMED = 1 << 3, /* a new file is synced only after its rename */
	LIE_SYNC_ERROR = 1 << 4,   /* a sync that failed is called a sync */
	LIE_SYNC_RETRY = 1 << 5,   /* a sync that failed is done again */
	LIE_DIR_ERROR = 1 << 6,    /* the same for a directory's */
	LIE_WRITE_ERROR = 1 << 7,  /* a write that failed is called a write */
	LIE_WRITE_SHORT = 1 << 8,  /* every eighth write leaves its last sector out */
	LIE_RENAME_COPY = 1 << 9,  /* a rename copies, and does not sync the copy */
	LIE_IN_PLACE = 1 << 10,    /* name.tmp is name itself */
	LIE_TRUNCATE = 1 << 11,    /* a file is cut at a sector, some bytes too early */
	LIE_SYNC_HALF = 1 << 13,   /* every other sync of a file does nothing */
	LIE_MAP_PRIVATE = 1 << 12, /* stores to a map reach the file when it ends */
};

struct env_liar_file;

struct env_liar {
	struct env env; /* what the engine gets */
	struct env *home;
	unsigned int lies;
	const char *only; /* paths that contain it; NULL: all */
	uint64_t writes, syncs;
	struct env_liar_file *owed; /* a file whose sync is due */
};

/* For kv_crash_config.wrap; arg is a struct env_liar with lies and only set. */
struct env *env_liar_wrap(void *arg, struct env *home);
/* Frees what it kept; nothing may be open any more. */
void env_liar_end(struct env_liar *l);

#endif /* ENV_LIAR_H */
