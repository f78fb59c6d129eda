/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_index.h - an extendible directory of small hash tables: hash to log position.
 *
 * The highest bits of a hash choose a leaf by way of a directory (Fagin et al.,
 * "Extendible Hashing", 1979); a full leaf alone is split into two, so no operation pays
 * for a whole rehash, and the longest pause is the split of one leaf. A leaf's table is
 * one of five strategies (hash_table.h).
 *
 * Good hashes fill all leaves alike, so leaves of one size would all split at about the same
 * time, and just then be half empty. Shards have leaves of eight sizes, spread evenly over
 * the octave: at any time an eighth of them has just been split, and the memory an entry
 * takes is nearly the same at every size of the index.
 *
 * Threads: readers take no lock: epoch.h keeps leaves alive that were split, and a leaf's
 * version tells a reader who found nothing whether a writer was there meanwhile. Writers
 * lock the shard (the highest HASH_SHARD_BITS bits) that the hash belongs to; whoever
 * holds several locks took them in ascending order.
 */
#ifndef HASH_INDEX_H
#define HASH_INDEX_H

#include "epoch.h"
#include "hash_table.h"

enum {
	HASH_SHARD_BITS = 6,
	HASH_SHARDS = 1 << HASH_SHARD_BITS,
	HASH_PREFIX_BITS = 22, /* of a hash, for shard and directory together */

	/* Counted up whenever an entry's hash comes to stand for other hashes: by the sizes
	 * of leaves, or by which bits are whose. Then older checkpoints are of no use. */
	HASH_INDEX_LAYOUT = 1,
};

struct hash_index;

struct hash_index_config {
	const struct hash_table_ops *table;
	uint32_t capacity; /* of the largest leaf; of the least a little over half */
	unsigned int load_percent; /* a leaf splits when it is this full */
	uint64_t expected_entries; /* leaves made at once; 0: the least */
};

/* An empty index; -ENOMEM. The epoch is the caller's, and what is retired goes to it. */
int hash_index_new(const struct hash_index_config *c, struct epoch *epoch,
		   struct hash_index **out);
/* No reader is inside the epoch, which lives on. */
void hash_index_free(struct hash_index *ix);

/* ---- readers: inside an epoch ---- */

/* What a look-up saw, for who must know later whether it still holds. */
struct hash_witness {
	const uint64_t *version;
	uint64_t seen;
};

/* True and the address when match() says so of one. witness may be NULL. */
bool hash_index_find(struct hash_index *ix, uint64_t hash, hash_match_fn *match,
		     void *arg, uint64_t *address, struct hash_witness *witness);
/* No writer has changed that leaf since. */
bool hash_witness_holds(const struct hash_witness *w);

/* For look-ups in batches: asks for the memory that find will touch first; then, when that
 * has come, gives the addresses whose tags fit. */
void hash_index_prefetch(struct hash_index *ix, uint64_t hash);
size_t hash_index_candidates(struct hash_index *ix, uint64_t hash, uint64_t *address,
			     size_t n);

/* ---- writers: under the shard's lock ---- */

unsigned int hash_index_shard(uint64_t hash);
void hash_index_lock(struct hash_index *ix, unsigned int shard);
/* As hash_index_lock(), of several shards together, under outer. */
void hash_index_lock_within(struct hash_index *ix, unsigned int shard,
			    struct port_mutex *outer);
void hash_index_unlock(struct hash_index *ix, unsigned int shard);

bool hash_index_find_locked(struct hash_index *ix, uint64_t hash, hash_match_fn *match,
			    void *arg, uint64_t *address);
/* The entry of that hash and exactly that address is in it. */
bool hash_index_holds(struct hash_index *ix, uint64_t hash, uint64_t address);
/* The key is not in it. Splits where it must. -ENOMEM; -ENOSPC when even splitting does
 * not make room (far too many equal hashes). */
int hash_index_insert(struct hash_index *ix, uint64_t hash, uint64_t address);
bool hash_index_replace(struct hash_index *ix, uint64_t hash, uint64_t from, uint64_t to);
bool hash_index_remove(struct hash_index *ix, uint64_t hash, uint64_t address);

/*
 * Walks the index leaf by leaf. *prefix, 0 at first, is where the next leaf begins among
 * 2^HASH_PREFIX_BITS; fn is called for each entry of one leaf under its shard's lock, then
 * *prefix is that of the leaf behind it; at 2^HASH_PREFIX_BITS all is done. An entry that
 * is there from the first call to the last is met exactly once. Non-zero from fn ends the
 * walk with it. entry.hash stands for the hash: it is the same from bit 63 to 42, and this
 * index and others like it treat both alike (see hash_table.h).
 */
typedef int hash_entry_fn(void *arg, const struct hash_entry *entry);
int hash_index_walk_leaf(struct hash_index *ix, uint32_t *prefix, hash_entry_fn *fn,
			 void *arg);

struct hash_index_stats {
	uint64_t entries, leaves, splits, longest_split_entries;
	uint64_t bytes; /* of memory, all that the index has taken */
};
void hash_index_stats(struct hash_index *ix, struct hash_index_stats *out);

#endif /* HASH_INDEX_H */
