/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_fuzz.h - the flags of an input of btree_node_fuzz.c, for its test.
 */
#ifndef BTREE_NODE_FUZZ_H
#define BTREE_NODE_FUZZ_H

enum btree_node_fuzz_flags {
	BTREE_FUZZ_PAGE_SIZE = 7, /* 4 KiB shifted by so many, modulo 5 */
	BTREE_FUZZ_MEND = 1 << 3, /* kind, heads and sums are made right */
};

#endif /* BTREE_NODE_FUZZ_H */
