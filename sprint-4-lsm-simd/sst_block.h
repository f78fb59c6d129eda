/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_block.h - one block: entries in order, keys delta-encoded, restart points to search.
 *
 *   0   4  entries            20      prefix bytes: what all keys begin with
 *   4   4  restart points     20 + p  heads: 4 bytes a restart point
 *   8   7  smallest sequence  ...     offsets of restart points' entries: 4 bytes each
 *   15  1  bytes a sequence   ...     entries
 *   16  4  prefix bytes (p)
 *
 * An entry: one byte, of which 3 bits are how many bytes of the key behind the prefix are
 * shared with the entry before, 5 bits how many are not (all ones: a varint with the rest
 * follows); a varint of the value's length << 2 | kind; the sequence less the smallest, in as
 * many bytes as the block says; the key's unshared bytes; the value. At a restart point
 * nothing is shared. Its head is the first four bytes of its key behind the prefix, as a
 * big-endian number that is stored little-endian, so that a search among restart points is
 * one over numbers that stand side by side (as a B+tree node's heads).
 *
 * Index blocks are such blocks too: a restart point at each entry, and a mark for a kind
 * where the entry stands before every version of its key.
 *
 * A block's bytes are not trusted: whatever they are, no function here reads outside them.
 * Threads: a block may be read by any number; a walk and a builder belong to one.
 */
#ifndef SST_BLOCK_H
#define SST_BLOCK_H

#include "sst_format.h"

enum { SST_BLOCK_HEADER = 20 };

/* Stands before every version of a key; LSM_SEQUENCE_MAX and a kind that no entry has. */
#define SST_BEFORE_ALL UINT64_MAX

struct sst_block {
	const uint8_t *prefix, *heads, *offsets, *entries, *end;
	uint64_t smallest;
	uint32_t count, restarts, prefix_bytes;
	unsigned int width; /* bytes a sequence */
};

struct sst_entry { /* decoded; its pointers go into the block */
	const uint8_t *at, *next, *key;
	struct kv_slice value;
	uint64_t stamp;
	uint32_t shared, unshared; /* behind the prefix; key has the unshared bytes */
};

/* body: without the trailer. -EBADMSG. */
int sst_block_open(struct sst_block *b, const uint8_t *body, size_t bytes);

enum sst_found {
	SST_FOUND, /* e is the first entry at or behind (key, stamp), and has the key */
	SST_AFTER, /* ... and has a greater key */
	SST_END,   /* there is no such entry */
};
/* enum sst_found, or -EBADMSG. */
int sst_block_find(const struct sst_block *b, struct kv_slice key, uint64_t stamp,
		   struct sst_entry *e);

/* Of an index block: the number of the last entry at or before (key, stamp), -1 when there is
 * none; or -EBADMSG. */
int64_t sst_index_floor(const struct sst_block *b, struct kv_slice key, uint64_t stamp);
/* The i-th entry of an index block. -EBADMSG. */
int sst_index_entry(const struct sst_block *b, uint32_t i, struct sst_entry *e);

/* ---- entry by entry ---- */

struct sst_walk {
	struct sst_block b;
	struct sst_entry e; /* at NULL: outside */
	struct kv_buf key;  /* of e, whole */
};

/* 0, -ENOENT (no further entry; outside then), -EBADMSG, -ENOMEM. begin: onto another block,
 * outside; the key's memory is kept. */
void sst_walk_begin(struct sst_walk *w, const struct sst_block *b);
int sst_walk_first(struct sst_walk *w);
int sst_walk_last(struct sst_walk *w);
int sst_walk_next(struct sst_walk *w); /* from outside: first */
int sst_walk_prev(struct sst_walk *w); /* from outside: last */
int sst_walk_seek(struct sst_walk *w, struct kv_slice key, uint64_t stamp);
void sst_walk_free(struct sst_walk *w);

/* ---- writing ---- */

struct sst_pending {       /* an entry that waits for its block's end */
	size_t key, value; /* where in bytes */
	uint64_t stamp;
	uint32_t key_len, value_len, shared;
};

struct sst_block_builder {
	struct sst_pending *entry;
	size_t count, cap, bound, estimate;
	struct kv_buf bytes; /* keys and values as they came */
	uint64_t min, max;   /* sequences */
	unsigned int interval;
};

void sst_block_builder_init(struct sst_block_builder *b, unsigned int interval);
void sst_block_builder_free(struct sst_block_builder *b);
/* shared: how many first bytes the key shares with the one before; any for the first. Copies.
 * -ENOMEM. */
int sst_block_builder_add(struct sst_block_builder *b, struct kv_slice key, size_t shared,
			  uint64_t stamp, struct kv_slice value);
/* Writes at most b->bound bytes, returns how many, and is empty again. */
size_t sst_block_builder_finish(struct sst_block_builder *b, uint8_t *out);

#endif /* SST_BLOCK_H */
