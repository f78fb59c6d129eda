/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node.h - one page of the tree: sorted keys in a slotted page.
 *
 *   +--------+--------+---------+------ - - ------+---------------------------+
 *   | header | heads  | slots   |   free room     | records: key suffix, value|
 *   +--------+--------+---------+------ - - ------+---------------------------+
 *   0        64       64+4*cap  64+12*cap         heap                 page end
 *
 * All keys of a node lie between two fences, [lower, upper), and so begin with what the
 * fences have in common: the prefix, which is stored once. A head is the first four bytes
 * behind the prefix as a big-endian number, so that comparing heads is comparing bytes;
 * heads stand together, so that a search looks at a few cache lines, several heads at a
 * time (btree_search.h), and only among equal heads at the keys themselves. After Graefe,
 * "Modern B-Tree Techniques" (2011), and Leis et al., LeanStore (2018).
 *
 * The root, and the first and the last node of each level, lie at an end of all keys: their
 * fences have nothing in common, and if all keys begin alike, so would all heads. So in a node
 * without a prefix, heads leave out what its keys share (as many bytes as the header has room
 * for), though the records have it.
 *
 * A leaf (level 0) maps keys to values. An inner node's entry i has a separator, the lower
 * bound of the keys of its child, and the child (struct btree_child) as its value; entry 0's
 * separator is the lower fence and is stored as an empty suffix with head 0. A child's page
 * stands in the slot, where a search ends, so that the way down needs no record; its CRC in the
 * record.
 *
 * The fences are the last bytes of the page, first lower, then upper. A record without bytes
 * lies nowhere: its `at` is 0.
 *
 * Everything here works on memory alone: no pager, no allocation, no locks. Functions marked
 * "optimistic" may run while the node is being changed by another thread, or is no node any
 * more: they read each field once, stay within the page and end, and their answer is worth
 * nothing until the caller has validated the page's version.
 *
 * Format: docs/FORMATS.md. Fields are little-endian, as every machine that this builds for.
 */
#ifndef BTREE_NODE_H
#define BTREE_NODE_H

#include "../sprint-1-core-memory/kv.h"

enum {
	BTREE_PAGE_MIN = 4 << 10,
	BTREE_PAGE_MAX = 64 << 10,
	BTREE_KEY_MAX =
		512, /* so that the smallest page holds two fences and four keys */
	BTREE_NODE_HEADER = 64,
	BTREE_CAP_STEP = 16, /* heads and slots are made room for so many at a time */
	BTREE_PREFIX_START = 16,
	BTREE_CHILD_BYTES = 4, /* that an inner node's record has behind the key */
};

enum btree_page_kind {
	BTREE_PAGE_NODE = 1,
	BTREE_PAGE_OVERFLOW = 2, /* part of a large value */
	BTREE_PAGE_FREE_MAP = 3,
	BTREE_PAGE_SUPER = 4,
};

/* How every page begins. */
struct btree_page_header {
	uint32_t crc;   /* CRC32C of the rest of the page; made when it is written */
	uint32_t page;  /* its own number */
	uint64_t birth; /* generation in which the page was made */
	uint8_t kind;   /* enum btree_page_kind */
	uint8_t level;  /* of a node: 0 is a leaf */
	uint16_t pad;
	uint32_t used; /* of an overflow or map page: bytes behind this header */
};

struct btree_slot {
	uint16_t at; /* of the record: key suffix, then value; or the child's CRC */
	uint16_t key_bytes; /* of the suffix */
	union {
		struct {
			uint16_t value_bytes;
			uint16_t flags; /* enum btree_slot_flag */
		};
		uint32_t child; /* of an inner node: its page */
	};
};

enum btree_slot_flag {
	BTREE_SLOT_OVERFLOW = 1, /* the value is a struct btree_overflow */
};

struct btree_node { /* 64 bytes, at the beginning of the page */
	struct btree_page_header page;
	uint16_t count; /* entries */
	uint16_t cap;   /* room for so many heads and slots */
	uint32_t heap;  /* offset of the lowest record; page size when there is none */
	uint32_t dead;  /* bytes above heap that belong to no entry */
	uint16_t
		prefix_bytes; /* what all keys begin with: the beginning of the lower fence */
	uint16_t lower_at, lower_bytes;
	uint16_t upper_at, upper_bytes;
	uint8_t unbounded;    /* 1: there is no upper fence */
	uint8_t shared_bytes; /* without a prefix: what all keys begin with nevertheless */
	/* The prefix's first bytes, or the shared ones, then zeroes: a search mostly needs no
	 * more of it, and so one cache line less. */
	uint8_t prefix_start[BTREE_PREFIX_START];
};

struct btree_child { /* an inner entry's value */
	uint32_t page;
	uint32_t crc; /* of the child as it was last written; see btree_pager.h */
};

struct btree_overflow { /* a large value */
	uint32_t page;  /* the first of a run */
	uint32_t bytes; /* of the value */
	uint64_t birth; /* of the run's pages */
	uint32_t crc;   /* CRC32C of the value */
	uint32_t zero;
};

_Static_assert(sizeof(struct btree_page_header) == 24, "format");
_Static_assert(sizeof(struct btree_slot) == 8, "format");
_Static_assert(sizeof(struct btree_node) == BTREE_NODE_HEADER, "format");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

struct btree_shape { /* of a store's nodes; constant while it is open */
	uint32_t page_bytes;
	uint32_t
		max_keys; /* branching factor: at most so many entries a node; at least 4 */
};

/* A key that need not lie in one piece: prefix, then suffix. */
struct btree_key {
	struct kv_slice prefix, suffix;
};

/* ---- making ---- */

/* An empty node. upper.data NULL: unbounded. The page's header but for kind and level is the
 * caller's. The fences lie elsewhere. */
void btree_node_init(struct btree_node *n, const struct btree_shape *shape,
		     unsigned int level, struct kv_slice lower, struct kv_slice upper);

/* ---- reading; optimistic ---- */

/* The first entry whose key is >= key; count when there is none. *found: it is equal. Of an
 * inner node's entry 0, what is stored counts: it is below every key but the prefix itself. */
unsigned int btree_node_lower_bound(const struct btree_node *n,
				    const struct btree_shape *shape, struct kv_slice key,
				    bool *found);
/* The value of the entry that has the key, and its flags; false when there is none. */
bool btree_node_find(const struct btree_node *n, const struct btree_shape *shape,
		     struct kv_slice key, struct kv_slice *value, unsigned int *flags);
/* Of an inner node: the entry whose child has the key: the last whose separator is <= key. */
unsigned int btree_node_child_index(const struct btree_node *n,
				    const struct btree_shape *shape, struct kv_slice key);
/* The entry's value and flags; an empty value when i or the record is not within the page. */
struct kv_slice btree_node_value(const struct btree_node *n,
				 const struct btree_shape *shape, unsigned int i,
				 unsigned int *flags);
struct btree_child btree_node_child(const struct btree_node *n,
				    const struct btree_shape *shape, unsigned int i);
/* Lies in the page. Of an inner node's entry 0 it is the lower fence. */
struct btree_key btree_node_key(const struct btree_node *n,
				const struct btree_shape *shape, unsigned int i);
/* A leaf's entry for a cursor: its key into out, of BTREE_KEY_MAX bytes, its length into
 * *key_bytes; its value and flags as btree_node_value(). */
struct kv_slice btree_node_show(const struct btree_node *n,
				const struct btree_shape *shape, unsigned int i,
				void *out, size_t *key_bytes, unsigned int *flags);
/* Adds a leaf's entries from i on to a block: see kv_next_many(). Ends before the first that has
 * no room or whose value is elsewhere, and returns which that is. */
unsigned int btree_node_pack(const struct btree_node *n, const struct btree_shape *shape,
			     unsigned int i, struct kv_block *b);
/* Into out, of at least BTREE_KEY_MAX bytes; returns its length. */
size_t btree_node_key_copy(const struct btree_node *n, const struct btree_shape *shape,
			   unsigned int i, void *out);
struct kv_slice btree_node_lower(const struct btree_node *n,
				 const struct btree_shape *shape);
/* data NULL: unbounded. */
struct kv_slice btree_node_upper(const struct btree_node *n,
				 const struct btree_shape *shape);
/* btree_node_child_index(), and the page of the child there. */
uint32_t btree_node_route(const struct btree_node *n, const struct btree_shape *shape,
			  struct kv_slice key, unsigned int *index);
/* Asks the processor for the lines that a search begins with. */
void btree_node_prefetch(const struct btree_node *n, const struct btree_shape *shape);
/* Asks it for the lines that showing the first entries needs, but for their records. */
void btree_node_prefetch_slots(const struct btree_node *n,
			       const struct btree_shape *shape);
/* Asks it for an entry's record, as far as it begins: none when there is no entry i. */
void btree_node_prefetch_record(const struct btree_node *n,
				const struct btree_shape *shape, unsigned int i);

/* ---- changing; the caller excludes all other threads but optimistic readers ---- */

/* What an entry's key and value may have together, so that a full node can be split for it.
 * It goes to the left or to the right of where it belongs. If it fitted neither, then both
 * sides together, with it on each, the old fences, the new one twice and a step of heads and
 * slots twice, would take more than two pages; the sides and the old fences take one. */
static inline size_t btree_entry_max(const struct btree_shape *shape)
{
	return (shape->page_bytes - BTREE_NODE_HEADER) / 2 - BTREE_KEY_MAX -
	       (BTREE_CAP_STEP + 1) * (4 + sizeof(struct btree_slot));
}

/* Bytes that an entry takes, its head and slot included, with the whole key counted: an
 * upper bound. */
static inline size_t btree_entry_bytes(size_t key_bytes, size_t value_bytes)
{
	return key_bytes + value_bytes + 4 + sizeof(struct btree_slot);
}

/* Whether an entry with this key fits, after tidying up if need be. */
bool btree_node_fits(const struct btree_node *n, const struct btree_shape *shape,
		     struct kv_slice key, size_t value_bytes);
/* At i, which lower_bound gave; btree_node_fits() has said yes. The key is within the
 * fences, and of an inner node's entry 0 it is the lower fence. Key and value lie outside
 * the node. */
void btree_node_insert(struct btree_node *n, const struct btree_shape *shape,
		       unsigned int i, struct kv_slice key, struct kv_slice value,
		       unsigned int flags);
/* Filling a new node in one pass: room for so many entries, each behind the others, and in the
 * end the heads of all. They fit, and nobody reads the node before that. */
void btree_node_fill_begin(struct btree_node *n, unsigned int count);
void btree_node_fill(struct btree_node *n, struct kv_slice key, struct kv_slice value,
		     unsigned int flags);
void btree_node_fill_end(struct btree_node *n);
/* Gives entry i another value, in place when it is no longer than the old one. false: it
 * does not fit, and nothing has changed. The value lies outside the node. */
bool btree_node_set_value(struct btree_node *n, const struct btree_shape *shape,
			  unsigned int i, struct kv_slice value, unsigned int flags);
void btree_node_set_child(struct btree_node *n, const struct btree_shape *shape,
			  unsigned int i, struct btree_child child);
/* When an inner node's entry 0 goes, the next one's separator becomes the lower fence. */
void btree_node_remove(struct btree_node *n, const struct btree_shape *shape,
		       unsigned int i);

/* Bytes in use: header, fences, heads, slots and live records. */
size_t btree_node_used(const struct btree_node *n, const struct btree_shape *shape);
/* Of what fences leave, at least so much is to be in use (or, with a small branching factor,
 * so many of max_keys): half. A root is excused. */
bool btree_node_underfull(const struct btree_node *n, const struct btree_shape *shape);

struct btree_split {
	unsigned int at;            /* the first entry of the right node */
	unsigned int key_bytes;     /* of the separator */
	uint8_t key[BTREE_KEY_MAX]; /* separator: the shortest that parts them */
};

/* Where to part a full node so that an entry for key (at index i, so many value bytes) has
 * room on its side: a new one, or, when entry i has that key already, one with a longer
 * value. In the middle of max_keys entries; else near the middle of the bytes, where the
 * separator is short: a side gets 7/16 of them at least, unless entries are too large for
 * that; at the end when the entry comes behind all others and append says that the load is
 * sorted: then the left node stays full. s->at may be a leaf's count (the new entry alone
 * goes right). The new entry goes right when its key >= the separator; of an inner node it
 * is never the first there, so that both nodes lead right already without it. There is such
 * a place if no entry exceeds btree_entry_max(). */
void btree_node_split_point(const struct btree_node *n, const struct btree_shape *shape,
			    unsigned int i, struct kv_slice key, size_t value_bytes,
			    bool append, struct btree_split *s);
/* Moves entries from s->at on into right, an uninitialised page, and sets both fences.
 * scratch: page_bytes that the caller lends. */
void btree_node_split(struct btree_node *left, struct btree_node *right,
		      const struct btree_shape *shape, const struct btree_split *s,
		      void *scratch);

/* Whether both would fit into one. They are neighbours: right's lower fence is left's upper. */
bool btree_node_can_merge(const struct btree_node *left, const struct btree_node *right,
			  const struct btree_shape *shape);
/* Moves all of right's entries into left, whose upper fence becomes right's. separator: what
 * the parent has for right; an inner node's entry 0 gets its key back from it. */
void btree_node_merge(struct btree_node *left, const struct btree_node *right,
		      const struct btree_shape *shape, struct kv_slice separator,
		      void *scratch);
/* Moves entries between neighbours so that both are as full as can be, and says the new
 * separator (s->key; s->at: how many entries left has now). Returns false, and changes
 * nothing, when no balance makes both of them fuller than the emptier one was: in bytes with
 * whole keys, or in entries where those of both are more than max_keys. scratch: twice
 * page_bytes. */
bool btree_node_balance(struct btree_node *left, struct btree_node *right,
			const struct btree_shape *shape, struct kv_slice separator,
			struct btree_split *s, void *scratch);

/* ---- trusting ---- */

/* Whether this is a node in every respect that the page alone can tell: bounds, order of
 * keys, heads, fences, overlaps, sums. For pages from disk (after their CRC) and verify.
 * -EBADMSG, with what is wrong. */
int btree_node_check(const struct btree_node *n, const struct btree_shape *shape,
		     struct kv_msg *why);

#endif /* BTREE_NODE_H */
