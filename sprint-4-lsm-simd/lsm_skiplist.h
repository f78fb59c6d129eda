/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_skiplist.h - entries in order: a skip list that is only ever inserted into.
 *
 * Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees" (1990), with insertion by
 * compare-and-swap of the predecessor's link, level by level from the lowest (Fraser 2004).
 * Since nothing is removed, a link that was read stays good, and readers only read.
 *
 * A node is one piece of memory: its links, the highest level first, the struct, key, value.
 * So the links of the low levels, most often used, stand in one cache line with the head.
 *
 * Threads: inserts and reads from any, side by side. Nodes' memory is the caller's.
 */
#ifndef LSM_SKIPLIST_H
#define LSM_SKIPLIST_H

#include "lsm_entry.h"

enum { LSM_SKIPLIST_LEVELS = 12 }; /* one of four nodes goes on to the next level */

struct lsm_node {
	/* constant */
	uint64_t
		head; /* the key's first 8 bytes, big-endian, zeros behind a shorter one */
	uint64_t stamp;
	uint32_t key_bytes, value_bytes;
	/* the memtable's side hash */
	struct lsm_node *chain;  /* constant */
	struct lsm_node *newest; /* atomic */
};

struct lsm_skiplist {
	/* atomic */
	uint32_t levels; /* that have a node */
	struct lsm_node
		*tail[LSM_SKIPLIST_LEVELS]; /* the last node or one before; NULL */
	struct lsm_node *first[LSM_SKIPLIST_LEVELS]; /* links of `root`, highest first */
	/* constant */
	struct lsm_node root; /* stands before all; right behind its links */
};

_Static_assert(offsetof(struct lsm_skiplist, root) ==
		       offsetof(struct lsm_skiplist, first) +
			       LSM_SKIPLIST_LEVELS * sizeof(struct lsm_node *),
	       "the root's links stand where every node's do");

static inline struct kv_slice lsm_node_key(const struct lsm_node *n)
{
	return kv_slice(n + 1, n->key_bytes);
}

static inline struct kv_slice lsm_node_value(const struct lsm_node *n)
{
	return kv_slice((const uint8_t *)(n + 1) + n->key_bytes, n->value_bytes);
}

static inline bool lsm_node_is(const struct lsm_node *n, struct kv_slice key)
{
	return n->key_bytes == key.len && (!key.len || !memcmp(n + 1, key.data, key.len));
}

void lsm_skiplist_init(struct lsm_skiplist *l);

/* How high a node is to be: 1 to LSM_SKIPLIST_LEVELS, from random bits. */
unsigned int lsm_skiplist_height(uint64_t random);
/* Bytes of a node, a multiple of 8. */
size_t lsm_node_bytes(unsigned int height, size_t key_bytes, size_t value_bytes);
/* Makes one in lsm_node_bytes() of memory at a multiple of 8. Copies both. */
struct lsm_node *lsm_node_make(void *memory, unsigned int height, struct kv_slice key,
			       uint64_t stamp, struct kv_slice value);
/* No node with this key and stamp is in the list. */
void lsm_skiplist_insert(struct lsm_skiplist *l, struct lsm_node *n, unsigned int height);

/* The first node at or behind (key, stamp); the last one before it; NULL: none. */
struct lsm_node *lsm_skiplist_find(const struct lsm_skiplist *l, struct kv_slice key,
				   uint64_t stamp);
struct lsm_node *lsm_skiplist_before(const struct lsm_skiplist *l, struct kv_slice key,
				     uint64_t stamp);
struct lsm_node *lsm_skiplist_first(const struct lsm_skiplist *l);
struct lsm_node *lsm_skiplist_last(const struct lsm_skiplist *l);
struct lsm_node *lsm_skiplist_next(const struct lsm_node *n);

#endif /* LSM_SKIPLIST_H */
