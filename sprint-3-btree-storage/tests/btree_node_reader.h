/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_reader.h - every reading function of btree_node.h on a page that may be
 * anything: for tests and for the fuzz target.
 */
#ifndef BTREE_NODE_READER_H
#define BTREE_NODE_READER_H

#include "../btree_node.h"

/* Calls them all, and looks at each byte that they give. Aborts when an answer is not within
 * bounds. */
void btree_node_read_all(const struct btree_node *n, const struct btree_shape *shape,
			 struct kv_slice key);
/* What btree_node_check() has passed can be used: aborts unless each key finds itself and
 * the keys between its neighbours, and the entries can be dealt out and back. */
void btree_node_demand_consistent(const struct btree_node *n,
				  const struct btree_shape *shape);

#endif /* BTREE_NODE_READER_H */
