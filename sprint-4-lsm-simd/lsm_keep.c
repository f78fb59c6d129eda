/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_keep.c - which entries a flush or a compaction need not write.
 *
 * The snapshots cut the sequences into stripes: all entries of one stripe are seen by the same
 * readers, those at the snapshot that ends it and at later ones; the last stripe is the
 * newest state's. Of a key's entries in one stripe only the newest is ever seen. An entry that
 * a range tombstone of its own stripe covers is seen by nobody.
 *
 * A tombstone hides what is older. Where nothing older lies below it, it hides entries of the
 * merge alone; in the oldest stripe all of these are dropped with it, and it has done its
 * work. In a later stripe an older one's entry may still need to be hidden, so it stays until
 * the snapshot goes.
 */
#include "lsm_merge.h"

#include "neon_lsm_ops.h"

/* The first snapshot that sees the sequence; c->snapshots: the newest state alone does. */
static size_t stripe_of(const struct lsm_keep_config *c, uint64_t sequence)
{
	/* EXERCISE 4.8 begin: binary search
	 *|	return 0;
	 */
	size_t low = 0, high = c->snapshots, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (c->snapshot[middle] < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
	/* EXERCISE 4.8 end */
}

static uint64_t stripe_end(const struct lsm_keep_config *c, size_t stripe)
{
	return stripe < c->snapshots ? c->snapshot[stripe] : LSM_SEQUENCE_MAX;
}

int lsm_keep_begin(struct lsm_keep *k, const struct lsm_keep_config *c)
{
	*k = (struct lsm_keep){ .config = *c };
	return 0;
}

int lsm_keep(struct lsm_keep *k, struct kv_slice key, uint64_t stamp)
{
	/* EXERCISE 4.8 begin: is it seen by anybody?
	 *|	return 1;
	 */
	const struct lsm_keep_config *c = &k->config;
	uint64_t sequence = lsm_sequence(stamp), last = lsm_sequence(k->stamp);
	size_t stripe = stripe_of(c, sequence);
	int error;

	if (k->started && !lsm_key_compare(kv_slice(k->key.data, k->key.len), key)) {
		k->stamp = stamp;
		if (stripe == stripe_of(c, last)) {
			k->dropped_versions++;
			return 0;
		}
	} else {
		error = kv_buf_set(&k->key, key.data, key.len);
		if (error)
			return error;
		k->stamp = stamp;
		k->started = true;
	}
	if (c->tombstones &&
	    lsm_tombstones_cover(c->tombstones, key, stripe_end(c, stripe)) > sequence) {
		k->dropped_covered++;
		return 0;
	}
	if (c->bottom && !stripe && lsm_kind(stamp) == LSM_DELETE) {
		k->dropped_tombstones++;
		return 0;
	}
	return 1;
	/* EXERCISE 4.8 end */
}

void lsm_keep_end(struct lsm_keep *k)
{
	kv_buf_free(&k->key);
}

bool lsm_keep_tombstone(const struct lsm_keep_config *c, const struct lsm_tombstone *t)
{
	/* EXERCISE 4.8 begin: does it hide anything that a newer one does not?
	 *|	return true;
	 */
	size_t stripe = stripe_of(c, t->sequence);

	if (c->bottom && !stripe)
		return false;
	return lsm_tombstones_cover(c->tombstones, t->begin, stripe_end(c, stripe)) <=
	       t->sequence;
	/* EXERCISE 4.8 end */
}
