/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_tombstones.h - range deletes: which stretches of the key space were deleted, and when.
 *
 * A range tombstone [begin, end) with sequence s hides every entry in it whose sequence is
 * less than s. They are few, so they are kept beside the entries, not among them: each source
 * (memtable, table) has a list; a set is the union of lists, cut into fragments that do not
 * overlap and are found by binary search (Pebble's and RocksDB's fragmented range deletes).
 *
 * A set does not change once it is made: any thread may read it.
 */
#ifndef LSM_TOMBSTONES_H
#define LSM_TOMBSTONES_H

#include "lsm_entry.h"

struct lsm_tombstone { /* borrowed; end.data NULL: to the end of all keys */
	struct kv_slice begin, end;
	uint64_t sequence;
};

struct lsm_tombstones; /* NULL is the empty set, everywhere */

/* Copies the keys. An empty or inverted range is left out. *out NULL when none is left. */
int lsm_tombstones_new(const struct lsm_tombstone *t, size_t n,
		       struct lsm_tombstones **out);
/* The union; each may be NULL. */
int lsm_tombstones_union(const struct lsm_tombstones *const *set, size_t n,
			 struct lsm_tombstones **out);
void lsm_tombstones_free(struct lsm_tombstones *set);

/* For tombstones whose sequence is not known yet when memory for them is taken: those that were
 * made with LSM_TOMBSTONE_LATER + n get the sequence base + n. Before anybody else sees set. */
#define LSM_TOMBSTONE_LATER ((uint64_t)1 << 63)
void lsm_tombstones_settle(struct lsm_tombstones *set, uint64_t base);

/* The largest sequence <= limit of a tombstone that covers key; 0: none does. An entry with
 * sequence s (<= limit) is hidden when s < it. */
uint64_t lsm_tombstones_cover(const struct lsm_tombstones *set, struct kv_slice key,
			      uint64_t limit);

/* Fragments in order of begin, of one stretch newest first; to write them into a table. */
size_t lsm_tombstones_count(const struct lsm_tombstones *set);
struct lsm_tombstone lsm_tombstones_at(const struct lsm_tombstones *set, size_t i);
size_t lsm_tombstones_bytes(const struct lsm_tombstones *set); /* of memory */

#endif /* LSM_TOMBSTONES_H */
