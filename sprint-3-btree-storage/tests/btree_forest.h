/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_forest.h - nodes of one level side by side, and beside them what they should hold.
 *
 * Together the nodes have all keys there are, as one level of a tree has; instead of parents
 * there is an array. A step changes nodes as the tree would (insert, split; remove, merge,
 * balance) and the model, a sorted array, too; then the nodes that it touched are checked
 * and compared.
 */
#ifndef BTREE_FOREST_H
#define BTREE_FOREST_H

#include "../btree_node.h"

enum { BTREE_FOREST_PAIRS = 2000, BTREE_FOREST_NODES = 2000 };

struct btree_forest_pair {
	struct kv_slice key, value; /* each malloc()ed alone */
	unsigned int flags;
};

struct btree_forest {
	struct btree_shape shape;
	unsigned int level;
	struct btree_node *node[BTREE_FOREST_NODES];
	unsigned int nodes;
	struct btree_forest_pair pair[BTREE_FOREST_PAIRS];
	unsigned int pairs;
	void *scratch;
	struct btree_split split;
	unsigned int splits, merges, balances; /* that there were any */
};

struct btree_forest *btree_forest_new(uint32_t page_bytes, uint32_t max_keys,
				      unsigned int level);
void btree_forest_free(struct btree_forest *f);

/* Of an inner level the value is a struct btree_child, and flags are 0. */
void btree_forest_put(struct btree_forest *f, struct kv_slice key, struct kv_slice value,
		      unsigned int flags, bool append);
/* Of an inner level a node's first entry stays. */
void btree_forest_delete(struct btree_forest *f, struct kv_slice key);
/* Seeks the key, whether it is there or not. */
void btree_forest_seek(struct btree_forest *f, struct kv_slice key);
/* Every node, fences between neighbours, every pair. */
void btree_forest_verify(struct btree_forest *f);

#endif /* BTREE_FOREST_H */
