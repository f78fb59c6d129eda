/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_internal.h - what the parts of the node share: where things stand in the page,
 * bytes as numbers, and a node's header as an optimistic reader takes it.
 */
#ifndef BTREE_NODE_INTERNAL_H
#define BTREE_NODE_INTERNAL_H

#include "btree_node.h"

/* Eight bytes of the page as one load, whatever they were stored as. */
typedef uint64_t __attribute__((may_alias)) btree_word;

enum { BTREE_ENTRY_FIXED = 4 + sizeof(struct btree_slot) }; /* head and slot */

/* ---- places ---- */

static inline uint8_t *node_base(const struct btree_node *n)
{
	return (uint8_t *)(uintptr_t)n;
}

static inline uint32_t *node_heads(const struct btree_node *n)
{
	return (uint32_t *)(void *)(node_base(n) + BTREE_NODE_HEADER);
}

static inline struct btree_slot *node_slots(const struct btree_node *n)
{
	return (struct btree_slot *)(void *)(node_base(n) + BTREE_NODE_HEADER +
					     (size_t)n->cap * 4);
}

/* Where the records end and the fences begin. */
static inline uint32_t node_floor(const struct btree_node *n,
				  const struct btree_shape *shape)
{
	return shape->page_bytes - n->lower_bytes - n->upper_bytes;
}

static inline unsigned int node_cap_for(unsigned int count)
{
	unsigned int steps = (count + BTREE_CAP_STEP - 1) / BTREE_CAP_STEP;

	return (steps ? steps : 1) * BTREE_CAP_STEP;
}

/* A slot's bytes of key and value. */
static inline uint32_t slot_bytes(const struct btree_slot *s, bool inner)
{
	return (uint32_t)s->key_bytes + (inner ? BTREE_CHILD_BYTES : s->value_bytes);
}

/* ---- bytes as numbers: in the order of memcmp ---- */

static inline uint64_t load_64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint32_t load_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* The first four of n bytes, with zeroes behind. */
static inline uint32_t head_of(const uint8_t *p, size_t n)
{
	if (n >= 4)
		return load_be32(p);
	if (n >= 2)
		return load_be16(p) << 16 | (n == 3 ? (uint32_t)p[2] << 8 : 0);
	return n ? (uint32_t)p[0] << 24 : 0;
}

/* Of an entry's key suffix, in a node whose keys share so much. */
static inline uint32_t suffix_head(const uint8_t *suffix, size_t n, unsigned int shared)
{
	return n > shared ? head_of(suffix + shared, n - shared) : 0;
}

/* n < 8 bytes; their numbers compare as they do. The two halves overlap: where the first
 * ones are equal, so is the overlap. */
static inline uint64_t tail_of(const uint8_t *p, size_t n)
{
	if (n >= 4)
		return (uint64_t)load_be32(p) << 32 | load_be32(p + n - 4);
	if (n >= 2)
		return (uint64_t)load_be16(p) << 16 | load_be16(p + n - 2);
	return n ? *p : 0;
}

/* As memcmp, without a call: keys are short. */
static inline int bytes_compare(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint64_t x, y;

	for (; n >= 8; a += 8, b += 8, n -= 8) {
		x = load_64(a);
		y = load_64(b);
		if (x != y)
			return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
	}
	x = tail_of(a, n);
	y = tail_of(b, n);
	return (x > y) - (x < y);
}

/* How many bytes both begin with. */
static inline size_t bytes_common(const uint8_t *a, size_t an, const uint8_t *b,
				  size_t bn)
{
	size_t n = an < bn ? an : bn, i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* ---- a header, read once ---- */

/* All of it lies within the page, and count entries too, whatever the page has. */
struct node_view {
	const uint8_t *base;
	const uint32_t *head;
	const struct btree_slot *slot;
	uint32_t page_bytes;
	unsigned int count;
	unsigned int prefix_bytes, shared_bytes; /* one of them is 0 */
	bool inner;
	bool keyless;          /* entry 0 does not share it */
	const uint8_t *prefix; /* or what is shared */
};

static inline uint64_t node_word(const struct btree_node *n, size_t at)
{
	return port_load_relaxed((const btree_word *)(const void *)(node_base(n) + at));
}

static inline void node_view(struct node_view *v, const struct btree_node *n,
			     const struct btree_shape *shape)
{
	const uint64_t sizes = node_word(n, offsetof(struct btree_node, count));
	const uint64_t fences = node_word(n, offsetof(struct btree_node, dead));
	unsigned int count = sizes & 0xffff, cap = sizes >> 16 & 0xffff;
	unsigned int prefix = fences >> 32 & 0xffff,
		     lower_at = (unsigned int)(fences >> 48);
	const unsigned int shared = port_load_relaxed(&n->shared_bytes);

	cap &= ~(BTREE_CAP_STEP - 1u); /* keeps slots aligned */
	if (BTREE_NODE_HEADER + cap * BTREE_ENTRY_FIXED > shape->page_bytes)
		cap = 0;
	if (lower_at > shape->page_bytes || prefix > shape->page_bytes - lower_at)
		prefix = 0;
	v->base = node_base(n);
	v->head = node_heads(n);
	v->slot = (const struct btree_slot *)(const void *)(v->base + BTREE_NODE_HEADER +
							    (size_t)cap * 4);
	v->page_bytes = shape->page_bytes;
	v->count = count < cap ? count : cap;
	v->prefix_bytes = prefix;
	v->shared_bytes = prefix || shared > BTREE_PREFIX_START ? 0 : shared;
	v->inner = port_load_relaxed(&n->page.level);
	v->keyless = v->shared_bytes && v->inner;
	v->prefix = prefix <= BTREE_PREFIX_START ? n->prefix_start : v->base + lower_at;
}

_Static_assert(offsetof(struct btree_node, count) == 24 &&
		       offsetof(struct btree_node, cap) == 26,
	       "node_view() takes eight bytes at once");
_Static_assert(offsetof(struct btree_node, dead) == 32 &&
		       offsetof(struct btree_node, prefix_bytes) == 36 &&
		       offsetof(struct btree_node, lower_at) == 38,
	       "node_view() takes eight bytes at once");
_Static_assert((BTREE_CAP_STEP & (BTREE_CAP_STEP - 1)) == 0, "node_view() masks with it");

/* Entry i's slot, i < count; one that does not fit the page becomes an empty record. */
static inline struct btree_slot node_view_slot(const struct node_view *v, unsigned int i)
{
	const uint64_t w =
		port_load_relaxed((const btree_word *)(const void *)&v->slot[i]);
	const struct btree_slot s = { .at = (uint16_t)w,
				      .key_bytes = (uint16_t)(w >> 16),
				      .child = (uint32_t)(w >> 32) };

	if (s.at > v->page_bytes || slot_bytes(&s, v->inner) > v->page_bytes - s.at)
		return (struct btree_slot){ .at = 0 };
	return s;
}

/* ---- building (btree_node.c) ---- */

/* A record for an entry of a node that has the room: key without the node's prefix, value
 * behind it; an inner node's value is a struct btree_child. */
struct btree_slot node_put_record(struct btree_node *n, struct btree_key suffix,
				  struct kv_slice value, unsigned int flags);
/* Of a node whose slots and records are there: finds what its keys share, and makes all
 * heads. */
void node_make_heads(struct btree_node *n);

#endif /* BTREE_NODE_INTERNAL_H */
