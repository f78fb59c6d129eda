/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_fuzz.h - what the fuzz targets of the hash engine share: real stores to start from,
 * and what is done to a store made of whatever bytes.
 *
 * The keys of a real store are "key00" and on; a value says which key and which version it
 * is of. So when damaged files are opened, a value that nobody ever put is noticed.
 */
#ifndef HASH_FUZZ_H
#define HASH_FUZZ_H

#include "../hash_engine.h"
#include "env_sim.h"
#include "fuzz.h"

enum {
	HASH_FUZZ_KEYS = 40,
	HASH_FUZZ_SEGMENT = 64 << 10,
	HASH_FUZZ_FILES = 32,
};

#define HASH_FUZZ_OPTIONS "segment_bytes=64k,leaf=16,clean_rate=0"

enum hash_fuzz_kind {
	HASH_FUZZ_CLOSED,  /* one segment, and an INDEX of all of it */
	HASH_FUZZ_BEHIND,  /* ... of the half of it: the process was killed */
	HASH_FUZZ_RETIRED, /* one segment, and a record that one before it was given up */
	HASH_FUZZ_MANY,    /* several segments, some given up, an INDEX */
	HASH_FUZZ_KINDS,
};

struct hash_fuzz_store {
	struct hash_fuzz_file {
		char name[32];
		uint8_t *bytes;
		size_t n;
	} file[HASH_FUZZ_FILES];
	size_t files;
	unsigned int version[HASH_FUZZ_KEYS]; /* 0: not there */
	unsigned int pairs;
};

/* Made once, kept for the life of the process. */
const struct hash_fuzz_store *hash_fuzz_store(enum hash_fuzz_kind kind);
const struct hash_fuzz_file *hash_fuzz_find(const struct hash_fuzz_store *s,
					    const char *name);
/* Writes all files but STORE's and INDEX's into dir "store", which it makes. */
void hash_fuzz_put_logs(struct env *env, const struct hash_fuzz_store *s);

/*
 * Opens "store" and uses it: reads, writes, compacts, verifies, closes, opens again, and
 * demands that what was there is there. truth, unless NULL, is the store that it is of:
 * values are of its keys, and where no checkpoint was used they are exactly its own.
 * file_bytes: of all files, to which memory must be in proportion. Returns the pairs met,
 * or the error of opening.
 */
int hash_fuzz_use(struct env *env, const char *options,
		  const struct hash_fuzz_store *truth, size_t file_bytes);

#endif /* HASH_FUZZ_H */
