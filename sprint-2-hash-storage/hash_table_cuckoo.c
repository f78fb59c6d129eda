/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_cuckoo.c - two buckets for each entry, and who is in the way moves to its
 * other one.
 *
 * Pagh, Rodler, "Cuckoo hashing" (2001); buckets of several slots after Dietzfelbinger,
 * Weidling (2005), here 8 in one cache line. An entry's other bucket follows from the
 * bucket where it lies and its tag, so that it moves without its key being read, as in
 * Fan, Andersen, Kaminsky, "MemC3" (2013); and the shortest chain of moves is found before
 * anything moves, as in Li et al., "Algorithmic improvements for fast concurrent cuckoo
 * hashing" (2014).
 *
 * Invariant: an entry lies in one of its two buckets, and the numbers of these add up to
 * what its tag says, modulo the buckets. So the step to the other is its own inverse, and
 * their count need not be a power of two.
 *
 * Cost: never more than two lines for a search, however full the table, but nearly always
 * both for a miss; the second does not depend on the first, yet is waited for only after
 * it. A search for room is short until the table is nearly full: it is held to 15/16,
 * where two buckets of 8 could go on to 0.99.
 */
#include "hash_table_internal.h"

enum {
	CUCKOO_SLOTS = HASH_LINE / sizeof(uint64_t), /* in a bucket */
	/* Buckets that a search for room visits. */
	CUCKOO_SEARCH = PORT_FRAME_BYTES / 8 < 256 ? PORT_FRAME_BYTES / 8 : 256,
};

struct cuckoo_bucket {
	uint64_t entry[CUCKOO_SLOTS]; /* atomic */
};

struct cuckoo {
	struct hash_table base;

	/* constant after create */
	uint32_t buckets;

	struct cuckoo_bucket *bucket;
	uint16_t *upper; /* the writer's: of the hash, a slot each */
};

static struct cuckoo *cuckoo(struct hash_table *t)
{
	return container_of(t, struct cuckoo, base);
}

static const struct cuckoo *cuckoo_const(const struct hash_table *t)
{
	return (const struct cuckoo *)t;
}

/* The other bucket of an entry with this tag; it may be the same one. */
static uint32_t other(const struct cuckoo *c, uint32_t tag, uint32_t bucket)
{
	/* 2^32 over the golden ratio: spreads the tags over the whole range. */
	uint32_t sum = hash_scale(tag * 0x9e3779b1u, c->buckets);

	return sum >= bucket ? sum - bucket : sum + c->buckets - bucket;
}

static uint32_t cuckoo_buckets(uint32_t capacity)
{
	uint32_t slots = (capacity * 16 + 14) / 15;

	return (slots + CUCKOO_SLOTS - 1) / CUCKOO_SLOTS;
}

static size_t cuckoo_bytes(uint32_t capacity)
{
	const size_t each = CUCKOO_SLOTS * (sizeof(uint64_t) + sizeof(uint16_t));

	if (!hash_capacity_is_valid(capacity))
		return 0;
	return HASH_TABLE_STRUCT_BYTES(struct cuckoo) + cuckoo_buckets(capacity) * each;
}

static void cuckoo_init(struct hash_table *t, uint32_t capacity)
{
	const size_t head = HASH_TABLE_STRUCT_BYTES(struct cuckoo);
	struct cuckoo *c = cuckoo(t);

	hash_table_begin(t, &hash_table_cuckoo, capacity, head, cuckoo_bytes(capacity));
	c->buckets = cuckoo_buckets(capacity);
	c->bucket = (struct cuckoo_bucket *)((char *)c + head);
	c->upper = (uint16_t *)(c->bucket + c->buckets);
	memset(c->bucket, 0xff, c->buckets * sizeof(*c->bucket));
}

static bool cuckoo_find(const struct hash_table *t, uint64_t hash, hash_match_fn *match,
			void *arg, uint64_t *address, uint32_t *probes)
{
	const struct cuckoo *c = cuckoo_const(t);
	uint32_t bucket = hash_place(hash, c->buckets), tag = hash_tag(hash), n = 0, i;
	bool found = false;

	while (n < 2 && !found) {
		const uint64_t *slot = c->bucket[bucket].entry;

		for (i = 0; i < CUCKOO_SLOTS && !found; i++) {
			uint64_t entry = hash_entry_load(&slot[i]);

			if (hash_entry_mark(entry) != tag || entry == HASH_EMPTY ||
			    !hash_entry_confirm(&slot[i], entry))
				continue;
			*address = hash_entry_address(entry);
			found = match(arg, *address);
		}
		bucket = other(c, tag, bucket);
		n++;
	}
	if (probes)
		*probes += n;
	return found;
}

static size_t cuckoo_candidates(const struct hash_table *t, uint64_t hash,
				uint64_t *address, size_t n)
{
	const struct cuckoo *c = cuckoo_const(t);
	uint32_t home = hash_place(hash, c->buckets), tag = hash_tag(hash), bucket = home;
	size_t got = 0;
	uint32_t i;

	do {
		const uint64_t *slot = c->bucket[bucket].entry;

		for (i = 0; i < CUCKOO_SLOTS && got < n; i++) {
			uint64_t entry = hash_entry_load(&slot[i]);

			if (hash_entry_mark(entry) == tag && entry != HASH_EMPTY &&
			    hash_entry_confirm(&slot[i], entry))
				address[got++] = hash_entry_address(entry);
		}
		bucket = other(c, tag, bucket);
	} while (bucket != home);
	return got;
}

static struct hash_home cuckoo_home(uint32_t capacity)
{
	return (struct hash_home){
		.places = cuckoo_buckets(capacity),
		.first = HASH_TABLE_STRUCT_BYTES(struct cuckoo),
		.each = sizeof(struct cuckoo_bucket),
	};
}

/* ---- the writer's ---- */

/* The slot of a bucket that holds exactly this; CUCKOO_SLOTS when none does. */
static uint32_t slot_of(const struct cuckoo *c, uint32_t bucket, uint64_t entry)
{
	uint32_t i = 0;

	while (i < CUCKOO_SLOTS && c->bucket[bucket].entry[i] != entry)
		i++;
	return i;
}

static void place(struct cuckoo *c, uint32_t bucket, uint32_t slot, uint64_t entry,
		  uint16_t upper)
{
	c->upper[bucket * CUCKOO_SLOTS + slot] = upper;
	hash_entry_store(&c->bucket[bucket].entry[slot], entry);
}

/* A search for room visits buckets breadth first, each by the entry that would move there
 * from a slot of the bucket before it. So the path that it finds is a shortest one: it
 * never comes to the same bucket twice, and no entry on it moves twice. */
struct cuckoo_step {
	uint32_t bucket;
	int16_t from;  /* the step before; -1 for the first of a path */
	uint16_t slot; /* of that step's bucket */
};

/* Fills step with a search that starts in these two buckets; returns the step at which
 * there is an empty slot, -1 for none. */
static int search_room(const struct cuckoo *c, uint32_t home, uint32_t second,
		       struct cuckoo_step *step)
{
	int n = 0, i, slot;

	step[n++] = (struct cuckoo_step){ .bucket = home, .from = -1 };
	step[n++] = (struct cuckoo_step){ .bucket = second, .from = -1 };
	for (i = 0; i < n; i++) {
		uint32_t bucket = step[i].bucket;

		if (slot_of(c, bucket, HASH_EMPTY) < CUCKOO_SLOTS)
			return i;
		for (slot = 0; slot < CUCKOO_SLOTS && n < CUCKOO_SEARCH; slot++) {
			uint64_t entry = c->bucket[bucket].entry[slot];

			step[n++] = (struct cuckoo_step){
				.bucket = other(c, hash_entry_mark(entry), bucket),
				.from = (int16_t)i,
				.slot = (uint16_t)slot,
			};
		}
	}
	return -1;
}

/* Moves the entries on the path that leads to step i, the last one first: a reader meets
 * an entry twice rather than never. Returns the slot that is to be overwritten, of the
 * path's first bucket. */
static uint32_t move_along(struct cuckoo *c, const struct cuckoo_step *step, int i,
			   uint32_t *bucket)
{
	uint32_t slot = slot_of(c, step[i].bucket, HASH_EMPTY);

	while (step[i].from >= 0) {
		uint32_t from = step[step[i].from].bucket;

		place(c, step[i].bucket, slot, c->bucket[from].entry[step[i].slot],
		      c->upper[from * CUCKOO_SLOTS + step[i].slot]);
		slot = step[i].slot;
		i = step[i].from;
	}
	*bucket = step[i].bucket;
	return slot;
}

static int cuckoo_insert(struct hash_table *t, uint64_t hash, uint64_t address)
{
	struct cuckoo *c = cuckoo(t);
	uint32_t tag = hash_tag(hash), home = hash_place(hash, c->buckets), bucket, slot;
	struct cuckoo_step step[CUCKOO_SEARCH];
	int found;

	if (t->count == t->capacity)
		return -ENOSPC;
	found = search_room(c, home, other(c, tag, home), step);
	if (found < 0)
		return -ENOSPC;
	slot = move_along(c, step, found, &bucket);
	place(c, bucket, slot, hash_entry(tag, address), hash_upper(hash));
	t->count++;
	return 0;
}

/* Where exactly this entry is; NULL when it is not there. */
static uint64_t *cuckoo_locate(struct cuckoo *c, uint64_t hash, uint64_t address)
{
	uint64_t wanted = hash_entry(hash_tag(hash), address);
	uint32_t bucket = hash_place(hash, c->buckets), slot;

	slot = slot_of(c, bucket, wanted);
	if (slot == CUCKOO_SLOTS) {
		bucket = other(c, hash_tag(hash), bucket);
		slot = slot_of(c, bucket, wanted);
	}
	return slot == CUCKOO_SLOTS ? NULL : &c->bucket[bucket].entry[slot];
}

static bool cuckoo_replace(struct hash_table *t, uint64_t hash, uint64_t from,
			   uint64_t to)
{
	uint64_t *slot = cuckoo_locate(cuckoo(t), hash, from);

	if (!slot)
		return false;
	hash_entry_store(slot, hash_entry(hash_tag(hash), to));
	return true;
}

static bool cuckoo_remove(struct hash_table *t, uint64_t hash, uint64_t address)
{
	uint64_t *slot = cuckoo_locate(cuckoo(t), hash, address);

	if (!slot)
		return false;
	hash_entry_store(slot, HASH_EMPTY);
	t->count--;
	return true;
}

static bool cuckoo_next(const struct hash_table *t, uint32_t *cursor,
			struct hash_entry *entry)
{
	const struct cuckoo *c = cuckoo_const(t);

	while (*cursor < c->buckets * CUCKOO_SLOTS) {
		uint32_t i = (*cursor)++, bucket = i / CUCKOO_SLOTS;
		uint64_t e = c->bucket[bucket].entry[i % CUCKOO_SLOTS];

		if (e == HASH_EMPTY)
			continue;
		/* If this is the second bucket, it is the first of a hash that has the
		 * same two. */
		entry->address = hash_entry_address(e);
		entry->hash = hash_from_parts(c->upper[i], hash_entry_mark(e), bucket,
					      c->buckets);
		return true;
	}
	return false;
}

const struct hash_table_ops hash_table_cuckoo = {
	.name = "cuckoo",
	.bytes = cuckoo_bytes,
	.init = cuckoo_init,
	.find = cuckoo_find,
	.candidates = cuckoo_candidates,
	.home = cuckoo_home,
	.insert = cuckoo_insert,
	.replace = cuckoo_replace,
	.remove = cuckoo_remove,
	.next = cuckoo_next,
};
