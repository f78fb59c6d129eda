/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_cache.h - two caches in one budget: blocks of tables, and above them records.
 *
 * The block cache holds checked, unpacked blocks by {file number, offset}. It is split into
 * shards by hash, each with its lock, and charged by bytes. What goes when it is full: CLOCK
 * (one bit, set by a hit, so that a hit moves nothing) or LRU. Blocks that a long scan brings
 * in come in cold: they go first, unless somebody else asks for them (scan resistance).
 *
 * The record cache holds newest values by key. It answers without looking at any table, so it
 * must never hold a value that a table in use is newer than; see lsm_records_*().
 *
 * Threads: all, but for *_free().
 */
#ifndef LSM_CACHE_H
#define LSM_CACHE_H

#include "lsm_entry.h"

/* ---- lsm_cache.c: blocks ---- */

struct lsm_cache;

enum lsm_cache_policy { LSM_CLOCK, LSM_LRU };

struct lsm_block { /* a block in memory; while held it stays, also when the cache drops it */
	const uint8_t *data;
	size_t bytes;
	void *pin; /* the cache's */
};

struct lsm_cache_config {
	uint64_t bytes; /* the budget; lsm_cache_resize() changes it */
	enum lsm_cache_policy policy;
	unsigned int shards; /* power of two; 0: chosen by bytes */
	bool huge;           /* memory in huge pages where there are any */
	bool lock; /* keep it from being swapped out, if it is of 8 MiB or more */
};

int lsm_cache_new(const struct lsm_cache_config *c, struct lsm_cache **out);
void lsm_cache_free(struct lsm_cache *c); /* no block is held any more */
/* Takes effect at once; what is held may exceed it until it is given back. */
void lsm_cache_resize(struct lsm_cache *c, uint64_t bytes);

/* True: *out is held until lsm_cache_release(). */
bool lsm_cache_find(struct lsm_cache *c, uint64_t file, uint64_t offset,
		    struct lsm_block *out);
/* Memory for a block that is about to be read: held, not yet to be found. -ENOMEM. The caller
 * fills out->data (writable until then) and calls lsm_cache_insert(), or releases it. */
int lsm_cache_alloc(struct lsm_cache *c, size_t bytes, struct lsm_block *out);
/* Makes it findable; still held. When another thread was first, *b becomes the other's. cold:
 * goes first. */
void lsm_cache_insert(struct lsm_cache *c, uint64_t file, uint64_t offset, bool cold,
		      struct lsm_block *b);
void lsm_cache_release(struct lsm_cache *c, struct lsm_block *b);
/* A file of so many bytes was deleted. Takes as long as the file has pages, or the cache blocks,
 * whichever is less. UINT64_MAX: who knows how large it was. */
void lsm_cache_forget(struct lsm_cache *c, uint64_t file, uint64_t bytes);

struct lsm_cache_stats {
	uint64_t hits, misses, inserts, evictions, bytes, held_bytes, blocks;
	uint64_t locked_bytes; /* that will not be swapped out */
	uint64_t forget_looks; /* blocks that lsm_cache_forget() has looked at */
};
void lsm_cache_stats(struct lsm_cache *c, struct lsm_cache_stats *out);

/* ---- lsm_records.c: records ---- */

struct lsm_records;

/*
 * How it stays right. What is in memtables is looked at before it, so it holds what tables
 * say. That changes when a memtable is flushed: the engine installs the version with the new
 * table, then calls lsm_records_turn(), then lsm_records_remove() for each key of the memtable,
 * and only then stops reading the memtable. A reader notes lsm_records_generation() before it
 * takes its view of the store, and what it found is taken in only when no turn came since.
 */
/* 0 bytes: *out NULL, which every call below takes for a cache of nothing. lock: keep it from
 * being swapped out, but for its index. -ENOMEM. */
int lsm_records_new(uint64_t bytes, bool lock, struct lsm_records **out);
void lsm_records_free(struct lsm_records *r);
/* Smaller: what is in it goes. Larger: as soon as the rings' records allow; the index stays as
 * large as it was made, so that several times as much serves small records little. */
void lsm_records_resize(struct lsm_records *r, uint64_t bytes);

uint64_t lsm_records_generation(const struct lsm_records *r);
void lsm_records_turn(struct lsm_records *r);
void lsm_records_remove(struct lsm_records *r, struct kv_slice key, uint64_t hash);
void lsm_records_clear(struct lsm_records *r); /* after a range delete was flushed */

/* 0: value is set. -ENOENT: not in here (it says nothing of the store). -ENOMEM. */
int lsm_records_get(struct lsm_records *r, struct kv_slice key, uint64_t hash,
		    struct kv_buf *value);
/* Takes a copy in, or not: full, too large, a turn since generation. */
void lsm_records_offer(struct lsm_records *r, struct kv_slice key, uint64_t hash,
		       struct kv_slice value, uint64_t generation);
void lsm_records_prefetch(const struct lsm_records *r, uint64_t hash);
void lsm_records_stats(struct lsm_records *r, struct lsm_cache_stats *out);

#endif /* LSM_CACHE_H */
