/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_merge.h - many sorted sources as one, and what of it is worth keeping.
 *
 *   lsm_merge.c   a k-way merge by a tree of losers (Knuth, vol. 3, 5.4.1) that goes on with
 *                 the winner as long as it beats the runner-up: runs cost one comparison
 *   lsm_keep.c    which entries a flush or a compaction need not write
 */
#ifndef LSM_MERGE_H
#define LSM_MERGE_H

#include "lsm_tombstones.h"

/* A cursor over the union of n cursors, which it owns from then on, also when it gives an
 * error. Of equal entries (key and stamp) only the first source's is seen. */
int lsm_merge(struct lsm_cursor **source, size_t n, struct lsm_cursor **out);
/* The source whose move made the last one of c fail, to ask it why; c itself when it is no
 * merge (that of a single source is the source). NULL: the last move did not fail. */
const struct lsm_cursor *lsm_merge_failed(const struct lsm_cursor *c);

struct lsm_keep_config {
	const uint64_t
		*snapshot; /* sequences that somebody reads at, ascending; the newest
				   * state counts as one more */
	size_t snapshots;
	const struct lsm_tombstones *tombstones; /* of the sources */
	/* What is older than the sources has none of these keys. A tombstone has then done its
	 * work once no snapshot is older than it. */
	bool bottom;
};

struct lsm_keep {
	struct lsm_keep_config config;
	struct kv_buf key; /* of the last entry */
	uint64_t stamp;    /* of the last entry */
	bool started;
	uint64_t dropped_versions, dropped_tombstones, dropped_covered;
};

int lsm_keep_begin(struct lsm_keep *k, const struct lsm_keep_config *c);
/* Entries in order. 1: write it; 0: nobody will see it, or it has done its work; -ENOMEM. */
int lsm_keep(struct lsm_keep *k, struct kv_slice key, uint64_t stamp);
void lsm_keep_end(struct lsm_keep *k);
/* Must this fragment of a range tombstone be written? It is one of c->tombstones, or a part
 * of one. */
bool lsm_keep_tombstone(const struct lsm_keep_config *c, const struct lsm_tombstone *t);

#endif /* LSM_MERGE_H */
