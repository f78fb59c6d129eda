/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_robin_hood.c - linear probing that shares the way evenly: who is farther from
 * home takes the slot of one who is nearer.
 *
 * Celis, Larson, Munro, "Robin Hood hashing" (1985); removal by backward shift.
 *
 * Invariant: no slot between an entry's home and where it lies is empty or holds an entry
 * that is nearer to its own home than the searcher would be there. So entries lie in the
 * order of their homes, and a search ends as soon as it meets one that is nearer to home
 * than itself: the misses cost what the hits do, also in a table that is nearly full.
 *
 * The mark is 10 bits of tag and 6 of displacement. A searcher knows the displacement that
 * its entry must have at each step, so both are compared at once; an entry's home and the
 * tag tell it apart, which 10 bits do well because on average one entry has that home.
 *
 * Cost: at load a, a hit looks at (1 + 1 / (1 - a)) / 2 slots on average and a miss at as
 * many: 4.5 at the 7/8 where this table is full. Insertion moves all entries that follow
 * up to the next empty slot: the writer pays for the readers, and a reader who meets a
 * move has to look anew.
 */
#include "hash_table_internal.h"

enum {
	ROBIN_TAG_BITS = 10,
	ROBIN_REACH_BITS = 6,
	ROBIN_REACH = 1 << ROBIN_REACH_BITS, /* slots where an entry may lie */
};

#define ROBIN_ONE_FARTHER (1ull << HASH_ADDRESS_BITS) /* added to an entry */

struct robin {
	struct hash_table base;

	/* constant after create */
	uint32_t slots;

	uint64_t *entry; /* atomic */
	uint16_t *upper; /* the writer's: of the hash */
};

static struct robin *robin(struct hash_table *t)
{
	return container_of(t, struct robin, base);
}

static const struct robin *robin_const(const struct hash_table *t)
{
	return (const struct robin *)t;
}

static uint32_t after(const struct robin *r, uint32_t slot)
{
	return slot + 1 == r->slots ? 0 : slot + 1;
}

static uint32_t before(const struct robin *r, uint32_t slot)
{
	return slot == 0 ? r->slots - 1 : slot - 1;
}

/* The mark of an entry that lies at home; one more for each slot from there. */
static uint32_t mark_at_home(uint64_t hash)
{
	return (hash_tag(hash) & ((1u << ROBIN_TAG_BITS) - 1)) << ROBIN_REACH_BITS;
}

static uint32_t displacement(uint64_t entry)
{
	return hash_entry_mark(entry) & (ROBIN_REACH - 1);
}

/* An entry with this displacement cannot lie in entry's slot or behind it. */
static bool ends_search(uint64_t entry, uint32_t n)
{
	return entry == HASH_EMPTY || displacement(entry) < n;
}

static uint32_t robin_slots(uint32_t capacity)
{
	return (capacity * 8 + 6) / 7;
}

static size_t robin_bytes(uint32_t capacity)
{
	const size_t each = sizeof(uint64_t) + sizeof(uint16_t);

	if (!hash_capacity_is_valid(capacity))
		return 0;
	return HASH_TABLE_STRUCT_BYTES(struct robin) + robin_slots(capacity) * each;
}

static void robin_init(struct hash_table *t, uint32_t capacity)
{
	const size_t head = HASH_TABLE_STRUCT_BYTES(struct robin);
	struct robin *r = robin(t);

	hash_table_begin(t, &hash_table_robin_hood, capacity, head,
			 robin_bytes(capacity));
	r->slots = robin_slots(capacity);
	r->entry = (uint64_t *)((char *)r + head);
	r->upper = (uint16_t *)(r->entry + r->slots);
	memset(r->entry, 0xff, r->slots * sizeof(*r->entry));
}

static bool robin_find(const struct hash_table *t, uint64_t hash, hash_match_fn *match,
		       void *arg, uint64_t *address, uint32_t *probes)
{
	/* EXERCISE 2.3 begin: ends at an entry that is nearer to its home
	 *|	return false;
	 */
	const struct robin *r = robin_const(t);
	uint32_t slot = hash_place(hash, r->slots), mark = mark_at_home(hash), n = 0;
	bool found = false;

	while (n < ROBIN_REACH && !found) {
		uint64_t entry = hash_entry_load(&r->entry[slot]);

		if (ends_search(entry, n++))
			break;
		if (hash_entry_mark(entry) == mark &&
		    hash_entry_confirm(&r->entry[slot], entry)) {
			*address = hash_entry_address(entry);
			found = match(arg, *address);
		}
		slot = after(r, slot);
		mark++;
	}
	if (probes)
		*probes += n;
	return found;
	/* EXERCISE 2.3 end */
}

static size_t robin_candidates(const struct hash_table *t, uint64_t hash,
			       uint64_t *address, size_t n)
{
	const struct robin *r = robin_const(t);
	uint32_t slot = hash_place(hash, r->slots), mark = mark_at_home(hash), i;
	size_t got = 0;

	for (i = 0; i < ROBIN_REACH && got < n; i++) {
		uint64_t entry = hash_entry_load(&r->entry[slot]);

		if (ends_search(entry, i))
			break;
		if (hash_entry_mark(entry) == mark &&
		    hash_entry_confirm(&r->entry[slot], entry))
			address[got++] = hash_entry_address(entry);
		slot = after(r, slot);
		mark++;
	}
	return got;
}

static struct hash_home robin_home(uint32_t capacity)
{
	return (struct hash_home){
		.places = robin_slots(capacity),
		.first = HASH_TABLE_STRUCT_BYTES(struct robin),
		.each = sizeof(uint64_t),
	};
}

/* Moves the run that begins at slot one farther, so that slot may be overwritten. The last
 * moves first: a reader meets an entry twice rather than never. */
static int make_room(struct robin *r, uint32_t slot)
{
	/* EXERCISE 2.3 begin: look for the end, and only then move
	 *|	return -ENOSPC;
	 */
	uint32_t end = slot;

	for (; r->entry[end] != HASH_EMPTY; end = after(r, end)) {
		if (displacement(r->entry[end]) == ROBIN_REACH - 1)
			return -ENOSPC;
	}
	while (end != slot) {
		uint32_t from = before(r, end);

		r->upper[end] = r->upper[from];
		hash_entry_store(&r->entry[end], r->entry[from] + ROBIN_ONE_FARTHER);
		end = from;
	}
	return 0;
	/* EXERCISE 2.3 end */
}

static int robin_insert(struct hash_table *t, uint64_t hash, uint64_t address)
{
	/* EXERCISE 2.3 begin: takes the slot of the first who is nearer to home
	 *|	return -ENOSPC;
	 */
	struct robin *r = robin(t);
	uint32_t slot = hash_place(hash, r->slots), n = 0;

	if (t->count == t->capacity)
		return -ENOSPC;
	while (!ends_search(r->entry[slot], n)) {
		if (++n == ROBIN_REACH)
			return -ENOSPC;
		slot = after(r, slot);
	}
	if (make_room(r, slot) < 0)
		return -ENOSPC;
	r->upper[slot] = hash_upper(hash);
	hash_entry_store(&r->entry[slot], hash_entry(mark_at_home(hash) + n, address));
	t->count++;
	return 0;
	/* EXERCISE 2.3 end */
}

/* The writer's: the slot of exactly this entry; r->slots when there is none. */
static uint32_t robin_locate(const struct robin *r, uint64_t hash, uint64_t address)
{
	uint64_t wanted = hash_entry(mark_at_home(hash), address);
	uint32_t slot = hash_place(hash, r->slots), n;

	for (n = 0; n < ROBIN_REACH && !ends_search(r->entry[slot], n); n++) {
		if (r->entry[slot] == wanted)
			return slot;
		slot = after(r, slot);
		wanted += ROBIN_ONE_FARTHER;
	}
	return r->slots;
}

static bool robin_replace(struct hash_table *t, uint64_t hash, uint64_t from, uint64_t to)
{
	struct robin *r = robin(t);
	uint32_t slot = robin_locate(r, hash, from);

	if (slot == r->slots)
		return false;
	hash_entry_store(&r->entry[slot],
			 hash_entry(hash_entry_mark(r->entry[slot]), to));
	return true;
}

static bool robin_remove(struct hash_table *t, uint64_t hash, uint64_t address)
{
	/* EXERCISE 2.3 begin: those behind come one nearer
	 *|	return false;
	 */
	struct robin *r = robin(t);
	uint32_t hole = robin_locate(r, hash, address), slot;

	if (hole == r->slots)
		return false;
	/* All that follow come one nearer, up to one who is at home. */
	for (;; hole = slot) {
		slot = after(r, hole);
		if (ends_search(r->entry[slot], 1))
			break;
		r->upper[hole] = r->upper[slot];
		hash_entry_store(&r->entry[hole], r->entry[slot] - ROBIN_ONE_FARTHER);
	}
	hash_entry_store(&r->entry[hole], HASH_EMPTY);
	t->count--;
	return true;
	/* EXERCISE 2.3 end */
}

static bool robin_next(const struct hash_table *t, uint32_t *cursor,
		       struct hash_entry *entry)
{
	const struct robin *r = robin_const(t);

	while (*cursor < r->slots) {
		uint32_t slot = (*cursor)++, home;
		uint64_t e = r->entry[slot];

		if (e == HASH_EMPTY)
			continue;
		home = (slot + r->slots - displacement(e)) % r->slots;
		entry->address = hash_entry_address(e);
		entry->hash = hash_from_parts(r->upper[slot],
					      hash_entry_mark(e) >> ROBIN_REACH_BITS,
					      home, r->slots);
		return true;
	}
	return false;
}

const struct hash_table_ops hash_table_robin_hood = {
	.name = "robin-hood",
	.bytes = robin_bytes,
	.init = robin_init,
	.find = robin_find,
	.candidates = robin_candidates,
	.home = robin_home,
	.insert = robin_insert,
	.replace = robin_replace,
	.remove = robin_remove,
	.next = robin_next,
};
