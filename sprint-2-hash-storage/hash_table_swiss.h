/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_swiss.h - the Swiss-style table's memory, and its look-up as inline functions.
 *
 * hash_table_swiss.c tells how the table works. The look-ups stand here so that a caller
 * who knows its strategy can have them, and its own match function, without a call:
 *
 *	if (t->ops == &hash_table_swiss)
 *		found = swiss_find(t, hash, match, arg, &address, NULL);
 *
 * They are members of hash_table_swiss too, with the meaning that hash_table.h gives.
 *
 * A chunk, two cache lines:
 *
 *    0    11 control bytes, one a slot: 0 when it is empty, else 0x80 and 7 bits of tag
 *   14    how many entries passed this chunk because it was full, 16 bits
 *   16    11 entries, of which 6 lie in the first line
 *  104    11 times bits 57..42 of the hash, 16 bits each; the writer's
 */
#ifndef HASH_TABLE_SWISS_H
#define HASH_TABLE_SWISS_H

#include "../sprint-1-core-memory/vec128.h"
#include "hash_table_internal.h"

enum {
	SWISS_SLOTS = 11,                     /* in a chunk */
	SWISS_LANES = (1 << SWISS_SLOTS) - 1, /* a mask of them all */
	SWISS_REACH = 16,                     /* chunks where an entry may lie */
	SWISS_CONTROL_BITS = 7,               /* of the tag in a control byte */
	SWISS_FULL = 1 << SWISS_CONTROL_BITS,
};

struct swiss_chunk {
	_Alignas(HASH_TABLE_ALIGN) uint8_t control[SWISS_SLOTS]; /* atomic */
	uint8_t unused[3];
	uint16_t overflow;           /* atomic */
	uint64_t entry[SWISS_SLOTS]; /* atomic */
	uint16_t upper[SWISS_SLOTS]; /* the writer's: of the hash */
};

_Static_assert(offsetof(struct swiss_chunk, overflow) == 14,
	       "a vector holds the control");
_Static_assert(offsetof(struct swiss_chunk, entry) == 16, "entries follow the control");
_Static_assert(sizeof(struct swiss_chunk) == 2 * HASH_LINE, "a chunk is two lines");

struct swiss {
	struct hash_table base;
	uint32_t chunks; /* constant after create */
	struct swiss_chunk chunk[];
};

static inline const struct swiss *swiss_const(const struct hash_table *t)
{
	return (const struct swiss *)t;
}

/* The control byte of a full slot. */
static inline uint8_t swiss_control(uint64_t hash)
{
	return (uint8_t)(SWISS_FULL | (hash_tag(hash) & (SWISS_FULL - 1)));
}

/* The mark of an entry that lies at home, one more for each chunk that it passed: what the
 * control byte does not hold of the tag, and in its place how many it passed. As a reach is
 * shorter than that field, no entry's mark is that of HASH_EMPTY. */
static inline uint32_t swiss_mark(uint64_t hash)
{
	return hash_tag(hash) & ~(uint32_t)(SWISS_FULL - 1);
}

/* The control bytes, each as it was at some moment of the load; the rest is of no meaning.
 * A vector's load is not atomic in C's words, but no machine tears a byte. To
 * ThreadSanitizer, which knows words alone, it is made of atomic loads, so that it still
 * checks who stores. */
static inline vec128 swiss_load(const struct swiss_chunk *c)
{
#if PORT_TSAN
	uint8_t control[16] = { 0 };
	int i;

	for (i = 0; i < SWISS_SLOTS; i++)
		control[i] = port_load_relaxed(&c->control[i]);
	return vec128_load(control);
#else
	return vec128_load_aligned(c);
#endif
}

/* Bit i is set when slot i has this control byte. */
static inline uint32_t swiss_equal(const struct swiss_chunk *c, uint8_t control)
{
	return vec128_mask8(vec128_equal8(swiss_load(c), vec128_splat8(control))) &
	       SWISS_LANES;
}

/* Bit i is set when slot i is empty. */
static inline uint32_t swiss_empty(const struct swiss_chunk *c)
{
	return ~vec128_mask8(swiss_load(c)) & SWISS_LANES;
}

/* The chunk where a hash goes on after chunk i: a step of its own, so that hashes that meet
 * in one full chunk part again. The chunks are a prime, so that the way leads to all. */
static inline uint32_t swiss_step(const struct swiss *s, uint64_t hash)
{
	/* 2^32 over the golden ratio: spreads the tags over the whole range. */
	return 1 + hash_scale(hash_tag(hash) * 0x9e3779b1u, s->chunks - 1);
}

static inline uint32_t swiss_after(const struct swiss *s, uint32_t i, uint64_t hash)
{
	uint32_t next = i + swiss_step(s, hash);

	return next < s->chunks ? next : next - s->chunks;
}

static inline const void *swiss_line(const struct hash_table *t, uint64_t hash)
{
	const struct swiss *s = swiss_const(t);

	return &s->chunk[hash_place(hash, s->chunks)];
}

static inline bool swiss_find(const struct hash_table *t, uint64_t hash,
			      hash_match_fn *match, void *arg, uint64_t *address,
			      uint32_t *probes)
{
	const struct swiss *s = swiss_const(t);
	uint32_t i = hash_place(hash, s->chunks), n;
	const uint32_t mark = swiss_mark(hash);
	const uint8_t control = swiss_control(hash);
	bool found = false;

	for (n = 0; n < SWISS_REACH; i = swiss_after(s, i, hash)) {
		const struct swiss_chunk *c = &s->chunk[i];
		uint32_t lanes = swiss_equal(c, control);

		for (; lanes && !found; lanes &= lanes - 1) {
			uint64_t entry =
				port_load_acquire(&c->entry[__builtin_ctz(lanes)]);

			if (hash_entry_mark(entry) != mark + n)
				continue;
			*address = hash_entry_address(entry);
			found = match(arg, *address);
		}
		n++;
		if (found || port_load_relaxed(&c->overflow) == 0)
			break;
	}
	if (probes)
		*probes += n;
	return found;
}

static inline size_t swiss_candidates(const struct hash_table *t, uint64_t hash,
				      uint64_t *address, size_t max)
{
	const struct swiss *s = swiss_const(t);
	uint32_t i = hash_place(hash, s->chunks), n;
	const uint32_t mark = swiss_mark(hash);
	const uint8_t control = swiss_control(hash);
	size_t got = 0;

	for (n = 0; n < SWISS_REACH; n++, i = swiss_after(s, i, hash)) {
		const struct swiss_chunk *c = &s->chunk[i];
		uint32_t lanes = swiss_equal(c, control);

		for (; lanes && got < max; lanes &= lanes - 1) {
			uint64_t entry =
				port_load_acquire(&c->entry[__builtin_ctz(lanes)]);

			if (hash_entry_mark(entry) == mark + n)
				address[got++] = hash_entry_address(entry);
		}
		if (port_load_relaxed(&c->overflow) == 0)
			break;
	}
	return got;
}

#endif /* HASH_TABLE_SWISS_H */
