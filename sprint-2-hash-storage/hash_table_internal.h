/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_internal.h - what the collision strategies share: the parts of a hash, the
 * entry in one atomic word, a table's memory.
 *
 * An entry is 16 bits that tell entries apart (the tag, and where a strategy wants it how
 * far from home the entry lies) above the 48 bits of the address:
 *
 *    63      48 47                          0
 *   +----------+-----------------------------+
 *   |   mark   |           address           |   all ones: no entry
 *   +----------+-----------------------------+
 *
 * Being one word, it is moved and replaced by one store, and no reader sees half of it.
 */
#ifndef HASH_TABLE_INTERNAL_H
#define HASH_TABLE_INTERNAL_H

#include "hash_table.h"

#define HASH_EMPTY        UINT64_MAX
#define HASH_ADDRESS_MASK ((1ull << HASH_ADDRESS_BITS) - 1)

enum { HASH_LINE = 64 }; /* bytes of a cache line */

static inline uint64_t hash_entry(uint32_t mark, uint64_t address)
{
	return (uint64_t)mark << HASH_ADDRESS_BITS | address;
}

static inline uint32_t hash_entry_mark(uint64_t entry)
{
	return (uint32_t)(entry >> HASH_ADDRESS_BITS);
}

static inline uint64_t hash_entry_address(uint64_t entry)
{
	return entry & HASH_ADDRESS_MASK;
}

static inline uint64_t hash_entry_load(const uint64_t *slot)
{
	return port_load_relaxed(slot);
}

/* Loads an entry again that looked right, so that what its address points to is seen as
 * the writer left it. False when it has changed meanwhile: then the caller's version has
 * changed too, and it will look anew. */
static inline bool hash_entry_confirm(const uint64_t *slot, uint64_t entry)
{
	return port_load_acquire(slot) == entry;
}

static inline void hash_entry_store(uint64_t *slot, uint64_t entry)
{
	port_store_release(slot, entry);
}

/* ---- the parts of a hash ---- */

enum { HASH_PLACE_BITS = 26, HASH_TAG_BITS = 16 };

static inline uint16_t hash_upper(uint64_t hash)
{
	return (uint16_t)(hash >> (HASH_PLACE_BITS + HASH_TAG_BITS));
}

static inline uint32_t hash_tag(uint64_t hash)
{
	return (uint32_t)(hash >> HASH_PLACE_BITS) & 0xffff;
}

/* One of n by 32 random bits: a multiplication in place of a division, after Lemire, "Fast
 * random integer generation in an interval" (2019). n need not be a power of two. */
static inline uint32_t hash_scale(uint32_t random, uint32_t n)
{
	return (uint32_t)(((uint64_t)random * n) >> 32);
}

static inline uint32_t hash_place(uint64_t hash, uint32_t n)
{
	return hash_scale((uint32_t)(hash << (32 - HASH_PLACE_BITS)), n);
}

/* A hash that has these parts, place being one of n. */
static inline uint64_t hash_from_parts(uint16_t upper, uint32_t tag, uint32_t place,
				       uint32_t n)
{
	uint64_t low = (((uint64_t)place << HASH_PLACE_BITS) + n - 1) / n;

	return (uint64_t)upper << (HASH_PLACE_BITS + HASH_TAG_BITS) |
	       (uint64_t)tag << HASH_PLACE_BITS | low;
}

/* The memory that a search for the hash touches first. Nothing of the table is read. */
static inline const void *hash_home_line(const struct hash_home *home,
					 const struct hash_table *t, uint64_t hash)
{
	return (const uint8_t *)t + home->first +
	       (size_t)hash_place(hash, home->places) * home->each;
}

/* ---- a table's memory: its arrays behind its struct ---- */

static inline bool hash_capacity_is_valid(uint32_t capacity)
{
	return capacity >= HASH_TABLE_MIN && capacity <= HASH_TABLE_MAX;
}

/* A strategy's struct is this many bytes, so that its arrays begin on a cache line. */
#define HASH_TABLE_STRUCT_BYTES(type) \
	((sizeof(type) + HASH_LINE - 1) & ~(size_t)(HASH_LINE - 1))

/* Zeros, with what a struct hash_table at its beginning says. head: of the strategy's struct;
 * bytes: of all. */
static inline void hash_table_begin(struct hash_table *t,
				    const struct hash_table_ops *ops, uint32_t capacity,
				    size_t head, size_t bytes)
{
	memset(t, 0, head);
	t->ops = ops;
	t->capacity = capacity;
	t->bytes = bytes;
}

#endif /* HASH_TABLE_INTERNAL_H */
