/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_memtable.h - the newest writes, sorted, in memory, until they are flushed.
 *
 *   lsm_arena.c     memory that is only ever added to, taken early, kept and used again
 *   lsm_skiplist.c  the order: a lock-free skip list (Pugh 1990; inserted by compare-and-swap
 *                   as Fraser's and RocksDB's), nothing is ever removed from it
 *   lsm_memtable.c  entries in the list, a hash of keys beside it, the range tombstones
 *
 * The head of a node is the first bytes of its key as a number, so that most comparisons
 * touch no second line. Point reads skip the list: a side hash leads from a key to the node
 * of its newest version, from which the older ones follow in the list.
 *
 * Threads: inserts from several at once; reads, from any, wait for nobody. Whoever reads
 * keeps the memtable alive: by an epoch, or by a reference of the engine's.
 */
#ifndef LSM_MEMTABLE_H
#define LSM_MEMTABLE_H

#include "lsm_tombstones.h"

struct lsm_memtable;
struct lsm_memory; /* arenas' chunks, kept for the next memtable */

/* At most keep_bytes of unused chunks are kept; huge: in huge pages where there are any. */
int lsm_memory_new(uint64_t keep_bytes, bool huge, struct lsm_memory **out);
void lsm_memory_free(struct lsm_memory *m);            /* no memtable uses it any more */
uint64_t lsm_memory_bytes(const struct lsm_memory *m); /* taken, used or not */

/* For about this many bytes of entries; it takes more when it has to. */
int lsm_memtable_new(struct lsm_memory *m, uint64_t bytes, struct lsm_memtable **out);
/* Takes memory for so many bytes now, so that inserts need not wait for it. Before
 * the first insert. -ENOMEM. */
int lsm_memtable_prepare(struct lsm_memtable *t, uint64_t bytes);
void lsm_memtable_free(struct lsm_memtable *t);

/* Bytes of arena that an entry takes at most, its node included. */
size_t lsm_memtable_entry_bytes(size_t key_bytes, size_t value_bytes);

/* Memory for entries of so many bytes (the sum of lsm_memtable_entry_bytes()), so that
 * inserting them cannot fail. Each thread reserves, then inserts, then gives the rest back by
 * lsm_memtable_done(). -ENOMEM leaves all as it was. */
struct lsm_room {
	char *at, *end;
};
int lsm_memtable_reserve(struct lsm_memtable *t, size_t bytes, struct lsm_room *room);
void lsm_memtable_done(struct lsm_memtable *t, struct lsm_room *room);

/* Copies both. The pair (key, stamp) is new. hash: lsm_key_hash() of key. */
void lsm_memtable_insert(struct lsm_memtable *t, struct lsm_room *room,
			 struct kv_slice key, uint64_t hash, uint64_t stamp,
			 struct kv_slice value);

/* Adds a range tombstone. One thread at a time; readers meanwhile see it or not. -ENOMEM. */
int lsm_memtable_delete_range(struct lsm_memtable *t, const struct lsm_tombstone *d);
/* The same for several whose sequences are not yet known: t[i].sequence is what each will have
 * above the one that inserting gives. Making room may fail, inserting can't; one or the other
 * ends *room. From reserving to then no other range is added. */
struct lsm_range_room;
int lsm_memtable_reserve_ranges(struct lsm_memtable *t, const struct lsm_tombstone *d,
				size_t n, struct lsm_range_room **room);
void lsm_memtable_insert_ranges(struct lsm_memtable *t, struct lsm_range_room *room,
				uint64_t sequence);
void lsm_memtable_cancel_ranges(struct lsm_memtable *t, struct lsm_range_room *room);
/* The sets whose union they are, as of now, LSM_RANGE_SETS at most; good as long as the memtable
 * is (older sets stay, too). */
enum { LSM_RANGE_SETS = 48 };
const struct lsm_tombstones *const *lsm_memtable_tombstones(const struct lsm_memtable *t,
							    size_t *n);
/* lsm_tombstones_cover() of them all. */
uint64_t lsm_memtable_cover(const struct lsm_memtable *t, struct kv_slice key,
			    uint64_t limit);

/* The newest version of key at or before sequence: its stamp and value, which lies in the
 * memtable. False: it has none. Range tombstones are not looked at. */
bool lsm_memtable_get(const struct lsm_memtable *t, struct kv_slice key, uint64_t hash,
		      uint64_t sequence, uint64_t *stamp, struct kv_slice *value);
/* Asks the processor for the side hash's line for a key. */
void lsm_memtable_prefetch(const struct lsm_memtable *t, uint64_t hash);

/* A cursor over all entries, also those that are inserted meanwhile. -ENOMEM. */
int lsm_memtable_cursor(struct lsm_memtable *t, struct lsm_cursor **out);

uint64_t
lsm_memtable_bytes(const struct lsm_memtable *t); /* arena used, tombstones too */
uint64_t lsm_memtable_entries(const struct lsm_memtable *t);

#endif /* LSM_MEMTABLE_H */
