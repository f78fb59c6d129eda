/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_swiss.c - a Swiss-style table: a chunk's control bytes, compared at once, tell which
 * of its slots are worth a look.
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
 *
 * A chunk, two cache lines:
 *
 *    0    11 control bytes, one a slot: 0 when it is empty, else 0x80 and 7 bits of tag
 *   14    how many entries passed this chunk because it was full, 16 bits
 *   16    11 entries, of which 6 lie in the first line
 *  104    11 times bits 57..42 of the hash, 16 bits each; the writer's
 */
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
	uint32_t chunks; /* constant after init */
	struct swiss_chunk chunk[];
};

static struct swiss *swiss(struct hash_table *t)
{
	return container_of(t, struct swiss, base);
}

static const struct swiss *swiss_const(const struct hash_table *t)
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

/* ---- making one ---- */

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

/* ---- readers ---- */

static struct hash_home swiss_home(uint32_t capacity)
{
	return (struct hash_home){
		.places = swiss_chunks(capacity),
		.first = sizeof(struct swiss),
		.each = sizeof(struct swiss_chunk),
	};
}

static bool swiss_find(const struct hash_table *t, uint64_t hash, hash_match_fn *match,
		       void *arg, uint64_t *address, uint32_t *probes)
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

static size_t swiss_candidates(const struct hash_table *t, uint64_t hash,
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

/* ---- the writer ---- */

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
	.home = swiss_home,
	.insert = swiss_insert,
	.replace = swiss_replace,
	.remove = swiss_remove,
	.next = swiss_next,
};
