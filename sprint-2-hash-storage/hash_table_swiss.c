/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_swiss.c - a Swiss-style table: sixteen control bytes tell at once which slots
 * are worth a look.
 *
 * Abseil's "Swiss tables" (Benzaquen, Kulukundis, 2017-2018) keep a byte of hash a slot
 * and compare a group of them by one vector instruction; F14 (Bronson, Shi, "Open-sourcing
 * F14", 2019) puts a group's bytes and slots side by side in a chunk and counts who
 * overflowed it. This is F14's layout with entries of 8 bytes: a chunk is 11 slots in two
 * neighbouring cache lines. The vector code is vec128.h's: SSE2, NEON or plain C.
 *
 * Who finds a chunk full goes on by a step that its tag gives (Knuth, vol. 3, 6.4,
 * algorithm D), so that no long runs of full chunks grow.
 *
 * Invariant: an entry lies in the first chunk on its way that had an empty slot when it
 * came, and each full chunk that it passed has counted it. So a search may end at the
 * first chunk whose count is zero, and removal undoes the counting: there are no
 * tombstones, and nothing is ever rebuilt.
 *
 * Cost: hits and misses both look at little more than one chunk, also at the 7/8 where the
 * table is full. A miss mostly touches one line; a hit one or two, and mostly one: the
 * lowest empty slot is taken first and the control bytes' line has 6 slots, which at half
 * the load hold nearly all.
 */
#include "hash_table_swiss.h"

static struct swiss *swiss(struct hash_table *t)
{
	return container_of(t, struct swiss, base);
}

static bool is_prime(uint32_t n)
{
	uint32_t d = 2;

	while (d * d <= n && n % d)
		d++;
	return d * d > n;
}

static uint32_t swiss_chunks(uint32_t capacity)
{
	uint32_t slots = (capacity * 8 + 6) / 7;
	uint32_t chunks = (slots + SWISS_SLOTS - 1) / SWISS_SLOTS;

	while (!is_prime(chunks))
		chunks++;
	return chunks;
}

static size_t swiss_bytes(uint32_t capacity)
{
	if (!hash_capacity_is_valid(capacity))
		return 0;
	return sizeof(struct swiss) + swiss_chunks(capacity) * sizeof(struct swiss_chunk);
}

static void swiss_init(struct hash_table *t, uint32_t capacity)
{
	struct swiss *s = swiss(t);
	uint32_t i;

	hash_table_begin(t, &hash_table_swiss, capacity, sizeof(*s),
			 swiss_bytes(capacity));
	s->chunks = swiss_chunks(capacity);
	for (i = 0; i < s->chunks; i++) {
		memset(&s->chunk[i], 0, sizeof(s->chunk[i]));
		memset(s->chunk[i].entry, 0xff, sizeof(s->chunk[i].entry));
	}
}

/* Adds change to the counts of the first n chunks on a hash's way. */
static void count_overflow(struct swiss *s, uint64_t hash, uint32_t n, int change)
{
	uint32_t i = hash_place(hash, s->chunks);

	for (; n > 0; n--, i = swiss_after(s, i, hash)) {
		uint16_t *overflow = &s->chunk[i].overflow;

		port_store_relaxed(overflow, (uint16_t)(*overflow + change));
	}
}

static int swiss_insert(struct hash_table *t, uint64_t hash, uint64_t address)
{
	struct swiss *s = swiss(t);
	uint32_t i = hash_place(hash, s->chunks), n = 0, empty, slot;
	struct swiss_chunk *c;

	if (t->count == t->capacity)
		return -ENOSPC;
	/* Both lines will be written to: they come side by side, not one after the other. */
	__builtin_prefetch(s->chunk[i].upper, 1);
	while (!(empty = swiss_empty(&s->chunk[i]))) {
		if (++n == SWISS_REACH)
			return -ENOSPC;
		i = swiss_after(s, i, hash);
	}
	c = &s->chunk[i];
	slot = (uint32_t)__builtin_ctz(empty);
	/* The counts come first: a search goes on to an entry that is not there yet rather
	 * than stop before one that is. */
	count_overflow(s, hash, n, 1);
	c->upper[slot] = hash_upper(hash);
	hash_entry_store(&c->entry[slot], hash_entry(swiss_mark(hash) + n, address));
	port_store_release(&c->control[slot], swiss_control(hash));
	t->count++;
	return 0;
}

struct swiss_place {
	struct swiss_chunk *chunk; /* NULL: no such entry */
	uint32_t slot;
	uint32_t passed; /* chunks on the way to it */
};

/* The writer's: where exactly this entry is. */
static struct swiss_place swiss_locate(struct swiss *s, uint64_t hash, uint64_t address)
{
	uint64_t mark = swiss_mark(hash);
	uint32_t i = hash_place(hash, s->chunks), n;

	for (n = 0; n < SWISS_REACH; n++, i = swiss_after(s, i, hash)) {
		struct swiss_chunk *c = &s->chunk[i];
		uint32_t lanes = swiss_equal(c, swiss_control(hash));

		for (; lanes; lanes &= lanes - 1) {
			uint32_t slot = (uint32_t)__builtin_ctz(lanes);

			if (c->entry[slot] == hash_entry((uint32_t)mark + n, address))
				return (struct swiss_place){ c, slot, n };
		}
		if (c->overflow == 0)
			break;
	}
	return (struct swiss_place){ NULL, 0, 0 };
}

static bool swiss_replace(struct hash_table *t, uint64_t hash, uint64_t from, uint64_t to)
{
	struct swiss_place p = swiss_locate(swiss(t), hash, from);

	if (!p.chunk)
		return false;
	hash_entry_store(&p.chunk->entry[p.slot],
			 hash_entry(swiss_mark(hash) + p.passed, to));
	return true;
}

static bool swiss_remove(struct hash_table *t, uint64_t hash, uint64_t address)
{
	struct swiss *s = swiss(t);
	struct swiss_place p = swiss_locate(s, hash, address);

	if (!p.chunk)
		return false;
	port_store_release(&p.chunk->control[p.slot], 0);
	hash_entry_store(&p.chunk->entry[p.slot], HASH_EMPTY);
	count_overflow(s, hash, p.passed, -1);
	t->count--;
	return true;
}

/* A hash that stands for that of an entry in chunk i: its way led there. */
static uint64_t hash_of(const struct swiss *s, uint32_t i, uint32_t mark, uint8_t control,
			uint16_t upper)
{
	uint32_t passed = mark % SWISS_FULL, tag = mark - passed + control % SWISS_FULL;
	uint32_t step = swiss_step(s, hash_from_parts(0, tag, 0, s->chunks));
	uint32_t way = passed * step % s->chunks;

	return hash_from_parts(upper, tag, (i + s->chunks - way) % s->chunks, s->chunks);
}

static bool swiss_next(const struct hash_table *t, uint32_t *cursor,
		       struct hash_entry *entry)
{
	const struct swiss *s = swiss_const(t);

	while (*cursor < s->chunks * SWISS_SLOTS) {
		uint32_t i = *cursor / SWISS_SLOTS, slot = (*cursor)++ % SWISS_SLOTS;
		const struct swiss_chunk *c = &s->chunk[i];
		uint32_t mark = hash_entry_mark(c->entry[slot]);

		if (c->control[slot] == 0)
			continue;
		entry->address = hash_entry_address(c->entry[slot]);
		entry->hash = hash_of(s, i, mark, c->control[slot], c->upper[slot]);
		return true;
	}
	return false;
}

const struct hash_table_ops hash_table_swiss = {
	.name = "swiss",
	.bytes = swiss_bytes,
	.init = swiss_init,
	.find = swiss_find,
	.candidates = swiss_candidates,
	.line = swiss_line,
	.insert = swiss_insert,
	.replace = swiss_replace,
	.remove = swiss_remove,
	.next = swiss_next,
};
