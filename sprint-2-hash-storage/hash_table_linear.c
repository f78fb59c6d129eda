/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_linear.c - linear probing: whose place is taken goes to the next free one.
 *
 * Knuth, "Notes on open addressing" (1963) and The Art of Computer Programming, vol. 3,
 * 6.4, algorithm L for insertion and R for removal.
 *
 * Invariant: between an entry's home and the slot where it lies no slot is empty, so that
 * a search may end at the first empty one. Removal keeps it without tombstones: it moves
 * later entries of the run back into the hole, as far as their homes allow.
 *
 * Cost: at load a, a hit looks at (1 + 1 / (1 - a)) / 2 slots and a miss at
 * (1 + 1 / (1 - a)^2) / 2: 3 and 13 at the 0.8 where this table is full. Eight slots lie
 * in a cache line and the next line is fetched ahead, so the hits are nearly as cheap as
 * they look; the misses, and the runs that grow into one another, are the price. How far
 * each entry lies from home is kept in bytes beside the slots, which only the writer reads.
 */
#include "hash_table_internal.h"

enum { LINEAR_REACH = 255 }; /* slots from its home on where an entry may lie */

struct linear {
	struct hash_table base;

	/* constant after create */
	uint32_t slots;

	uint64_t *entry;       /* atomic */
	uint16_t *upper;       /* the writer's: of the hash */
	uint8_t *displacement; /* the writer's: slots from home */
};

static struct linear *linear(struct hash_table *t)
{
	return container_of(t, struct linear, base);
}

static const struct linear *linear_const(const struct hash_table *t)
{
	return (const struct linear *)t;
}

static uint32_t after(const struct linear *l, uint32_t slot)
{
	return slot + 1 == l->slots ? 0 : slot + 1;
}

static uint32_t linear_slots(uint32_t capacity)
{
	return capacity + capacity / 4;
}

static size_t linear_bytes(uint32_t capacity)
{
	const size_t each = sizeof(uint64_t) + sizeof(uint16_t) + sizeof(uint8_t);

	if (!hash_capacity_is_valid(capacity))
		return 0;
	return HASH_TABLE_STRUCT_BYTES(struct linear) + linear_slots(capacity) * each;
}

static void linear_init(struct hash_table *t, uint32_t capacity)
{
	const size_t head = HASH_TABLE_STRUCT_BYTES(struct linear);
	struct linear *l = linear(t);

	hash_table_begin(t, &hash_table_linear, capacity, head, linear_bytes(capacity));
	l->slots = linear_slots(capacity);
	l->entry = (uint64_t *)((char *)l + head);
	l->upper = (uint16_t *)(l->entry + l->slots);
	l->displacement = (uint8_t *)(l->upper + l->slots);
	memset(l->entry, 0xff, l->slots * sizeof(*l->entry));
}

static bool linear_find(const struct hash_table *t, uint64_t hash, hash_match_fn *match,
			void *arg, uint64_t *address, uint32_t *probes)
{
	/* EXERCISE 2.2 begin: from home on, up to the first empty slot or the reach
	 *|	return false;
	 */
	const struct linear *l = linear_const(t);
	uint32_t slot = hash_place(hash, l->slots), n = 0;
	bool found = false;

	while (n < LINEAR_REACH && !found) {
		uint64_t entry = hash_entry_load(&l->entry[slot]);

		n++;
		if (entry == HASH_EMPTY)
			break;
		if (hash_entry_mark(entry) == hash_tag(hash) &&
		    hash_entry_confirm(&l->entry[slot], entry)) {
			*address = hash_entry_address(entry);
			found = match(arg, *address);
		}
		slot = after(l, slot);
	}
	if (probes)
		*probes += n;
	return found;
	/* EXERCISE 2.2 end */
}

static size_t linear_candidates(const struct hash_table *t, uint64_t hash,
				uint64_t *address, size_t n)
{
	const struct linear *l = linear_const(t);
	uint32_t slot = hash_place(hash, l->slots), i;
	size_t got = 0;

	for (i = 0; i < LINEAR_REACH && got < n; i++, slot = after(l, slot)) {
		uint64_t entry = hash_entry_load(&l->entry[slot]);

		if (entry == HASH_EMPTY)
			break;
		if (hash_entry_mark(entry) == hash_tag(hash) &&
		    hash_entry_confirm(&l->entry[slot], entry))
			address[got++] = hash_entry_address(entry);
	}
	return got;
}

static struct hash_home linear_home(uint32_t capacity)
{
	return (struct hash_home){
		.places = linear_slots(capacity),
		.first = HASH_TABLE_STRUCT_BYTES(struct linear),
		.each = sizeof(uint64_t),
	};
}

static int linear_insert(struct hash_table *t, uint64_t hash, uint64_t address)
{
	/* EXERCISE 2.2 begin: into the first empty slot from home on
	 *|	return -ENOSPC;
	 */
	struct linear *l = linear(t);
	uint32_t slot = hash_place(hash, l->slots), n = 0;

	if (t->count == t->capacity)
		return -ENOSPC;
	while (hash_entry_load(&l->entry[slot]) != HASH_EMPTY) {
		if (++n == LINEAR_REACH)
			return -ENOSPC;
		slot = after(l, slot);
	}
	l->upper[slot] = hash_upper(hash);
	l->displacement[slot] = (uint8_t)n;
	hash_entry_store(&l->entry[slot], hash_entry(hash_tag(hash), address));
	t->count++;
	return 0;
	/* EXERCISE 2.2 end */
}

/* The writer's: the slot of exactly this entry; l->slots when there is none. */
static uint32_t linear_locate(const struct linear *l, uint64_t hash, uint64_t address)
{
	/* EXERCISE 2.2 begin: as a search, for exactly this entry at home
	 *|	return l->slots;
	 */
	uint64_t wanted = hash_entry(hash_tag(hash), address);
	uint32_t home = hash_place(hash, l->slots), slot = home, n;

	for (n = 0; n < LINEAR_REACH; n++, slot = after(l, slot)) {
		uint64_t entry = hash_entry_load(&l->entry[slot]);

		if (entry == HASH_EMPTY)
			break;
		if (entry == wanted && l->displacement[slot] == n)
			return slot;
	}
	return l->slots;
	/* EXERCISE 2.2 end */
}

static bool linear_replace(struct hash_table *t, uint64_t hash, uint64_t from,
			   uint64_t to)
{
	struct linear *l = linear(t);
	uint32_t slot = linear_locate(l, hash, from);

	if (slot == l->slots)
		return false;
	hash_entry_store(&l->entry[slot], hash_entry(hash_tag(hash), to));
	return true;
}

static bool linear_remove(struct hash_table *t, uint64_t hash, uint64_t address)
{
	/* EXERCISE 2.2 begin: the hole wanders to the end of the run
	 *|	return false;
	 */
	struct linear *l = linear(t);
	uint32_t hole = linear_locate(l, hash, address), slot = hole, gap = 0;

	if (hole == l->slots)
		return false;
	/* An entry that lies gap slots behind the hole may fill it when its home does not
	 * lie behind the hole too. Beyond the reach none can. */
	while (++gap < LINEAR_REACH) {
		slot = after(l, slot);
		if (hash_entry_load(&l->entry[slot]) == HASH_EMPTY)
			break;
		if (l->displacement[slot] < gap)
			continue;
		l->upper[hole] = l->upper[slot];
		l->displacement[hole] = (uint8_t)(l->displacement[slot] - gap);
		hash_entry_store(&l->entry[hole], l->entry[slot]);
		hole = slot;
		gap = 0;
	}
	hash_entry_store(&l->entry[hole], HASH_EMPTY);
	t->count--;
	return true;
	/* EXERCISE 2.2 end */
}

static bool linear_next(const struct hash_table *t, uint32_t *cursor,
			struct hash_entry *entry)
{
	const struct linear *l = linear_const(t);

	while (*cursor < l->slots) {
		uint32_t slot = (*cursor)++, home;
		uint64_t e = hash_entry_load(&l->entry[slot]);

		if (e == HASH_EMPTY)
			continue;
		home = (slot + l->slots - l->displacement[slot]) % l->slots;
		entry->address = hash_entry_address(e);
		entry->hash = hash_from_parts(l->upper[slot], hash_entry_mark(e), home,
					      l->slots);
		return true;
	}
	return false;
}

const struct hash_table_ops hash_table_linear = {
	.name = "linear",
	.bytes = linear_bytes,
	.init = linear_init,
	.find = linear_find,
	.candidates = linear_candidates,
	.home = linear_home,
	.insert = linear_insert,
	.replace = linear_replace,
	.remove = linear_remove,
	.next = linear_next,
};
