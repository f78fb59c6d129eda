/* SPDX-License-Identifier: MIT */
/*
 * table_check.h - what the graders of the collision strategies share: hashes that want a
 * given slot, look-ups by address, and a history against a list.
 */
#ifndef TABLE_CHECK_H
#define TABLE_CHECK_H

#include "../../harness/learn/learn.h"
#include "../hash_table_internal.h"

static const struct hash_table_ops *ops; /* the strategy that is graded */

static struct hash_table *table_new(uint32_t capacity)
{
	struct hash_table *t = NULL;

	learn_error("hash_table_create()", hash_table_create(ops, capacity, &t), 0);
	return t;
}

/* A hash whose home is this slot; slots are counted round. */
static uint64_t hash_at(const struct hash_table *t, uint32_t slot, uint32_t tag)
{
	uint32_t n = ops->home(t->capacity).places;

	return hash_from_parts((uint16_t)(tag * 7), tag, slot % n, n);
}
static uint32_t slots_of(const struct hash_table *t)
{
	return ops->home(t->capacity).places;
}

static void put(struct hash_table *t, uint64_t hash, uint64_t address)
{
	learn_error(learn_text("insert of address %llu", (unsigned long long)address),
		    ops->insert(t, hash, address), 0);
}

struct wanted {
	uint64_t address;
	uint32_t asked, probes;
};
static bool is_wanted(void *arg, uint64_t address)
{
	struct wanted *w = arg;

	w->asked++;
	return address == w->address;
}
static bool finds(const struct hash_table *t, uint64_t hash, struct wanted *w)
{
	uint64_t found = 0;

	return ops->find(t, hash, is_wanted, w, &found, &w->probes) &&
	       found == w->address;
}
static void must_find(const struct hash_table *t, uint64_t hash, uint64_t address,
		      const char *when)
{
	struct wanted w = { .address = address };

	learn_expect(finds(t, hash, &w),
		     learn_text("find finds address %llu %s", (unsigned long long)address,
				when),
		     "not found");
}
static void must_miss(const struct hash_table *t, uint64_t hash, uint64_t address,
		      const char *when)
{
	struct wanted w = { .address = address };

	learn_expect(!finds(t, hash, &w),
		     learn_text("address %llu is not found %s",
				(unsigned long long)address, when),
		     "found");
}

/* Entries in the order of slots; their number. */
static uint32_t walk(const struct hash_table *t, struct hash_entry *entry, uint32_t most)
{
	uint32_t cursor = 0, n = 0;

	while (n < most && ops->next(t, &cursor, &entry[n]))
		n++;
	return n;
}

/* Inserts and removes at random, at a third or at the full of the capacity, against a list. */
static void history(uint32_t capacity, uint32_t most, uint32_t steps)
{
	struct hash_table *t = table_new(capacity);
	static struct hash_entry in[1024], seen[1024];
	uint64_t next = 1;
	uint32_t n = 0, i, k, found;

	for (i = 0; i < steps; i++) {
		if (n < most && (n == 0 || learn_random(2))) {
			in[n].hash = learn_random(1ull << 58);
			in[n].address = next++;
			if (!ops->insert(t, in[n].hash, in[n].address))
				n++;
		} else if (n) {
			k = (uint32_t)learn_random(n);
			learn_expect(ops->remove(t, in[k].hash, in[k].address),
				     "remove() finds what was inserted",
				     "false in step %u", i);
			must_miss(t, in[k].hash, in[k].address, "after it was removed");
			in[k] = in[--n];
		}
		learn_number("the table's count", t->count, n);
		if (i % 16)
			continue;
		for (k = 0; k < n; k++)
			must_find(t, in[k].hash, in[k].address,
				  learn_text("after %u inserts and removes", i));
		found = walk(t, seen, 1024);
		learn_number("the entries that next() gives", found, n);
		for (k = 0; k < found; k++)
			must_find(t, seen[k].hash, seen[k].address,
				  "by the hash that next() gave");
	}
	hash_table_free(t);
}

#endif /* TABLE_CHECK_H */
