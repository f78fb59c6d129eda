/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table.h - a table of fixed capacity that finds a 48-bit address by a 64-bit hash.
 *
 * Five collision strategies behind one small interface. A table holds no keys: an entry is
 * a tag of the hash and an address, and the caller's match function reads the key at the
 * address, which a wrong tag almost always spares it. Growth is not a table's affair: the
 * index (hash_index.h) splits a full table into two.
 *
 * A hash is used in three parts, so that none repeats what another has already told:
 *
 *   bits 63..58   the index's, which chooses its shard by them; not kept, as they are the
 *                 same in all of a table's entries
 *   bits 57..42   the index's, which chooses the table by them; kept beside the entry, for
 *                 the split, so that no key is read for it
 *   bits 41..26   the tag, in the entry
 *   bits 25..0    where in the table
 *
 * Threads: one writer at a time; readers (find, candidates, line) at any time without a
 * lock, as hash_index.h wraps them in a version check: a reader beside a writer may miss
 * an entry that is there, meet one twice or meet one that is gone, but its work is
 * bounded and every address that it meets was in the table. What the writer did before an
 * insert or replace is seen by who finds that address. Every load of an entry is an atomic
 * one; a SIMD probe's finds are loaded again.
 */
#ifndef HASH_TABLE_H
#define HASH_TABLE_H

#include "../sprint-1-core-memory/port.h"

#define HASH_ADDRESS_BITS 48
#define HASH_ADDRESS_MAX \
	((1ull << HASH_ADDRESS_BITS) - 2) /* all ones is not an address */

enum {
	HASH_TABLE_MIN = 16, /* capacities */
	HASH_TABLE_MAX = 65536,
	HASH_TABLE_ALIGN = 128, /* two cache lines, which many processors pair */
};

struct hash_table { /* a strategy's own struct begins with this */
	const struct hash_table_ops *ops;
	/* Atomic; for who wraps readers (hash_index.h), odd while the writer is at it. Here,
	 * because a reader needs this line in any case. */
	uint64_t version;
	size_t bytes;      /* of memory, all of it */
	uint32_t capacity; /* entries that fit */
	uint32_t count;    /* entries in it; the writer's */
};

/* True when the key at address is the one that is looked for. */
typedef bool hash_match_fn(void *arg, uint64_t address);

struct hash_entry {
	/* Stands for the hash that it was inserted with: bits 63..58 are 0, bits 57..42 the
	 * same, and every table of this strategy and capacity treats both alike. */
	uint64_t hash;
	uint64_t address;
};

/* Where a search begins, known without a look at the table: so a caller asks for that memory
 * while the table's own first line is still on its way. */
struct hash_home {
	uint32_t places; /* a hash begins at one of so many */
	uint32_t first;  /* bytes from the table's begin to the first of them */
	uint32_t each;   /* bytes from one to the next */
};

struct hash_table_ops {
	const char *name; /* "chaining", "linear", "robin-hood", "cuckoo", "swiss" */

	/* How much memory a table of this capacity wants; 0 when the capacity is not in
	 * HASH_TABLE_MIN .. HASH_TABLE_MAX. */
	size_t (*bytes)(uint32_t capacity);
	/* Makes an empty table of so much memory, which is the caller's and begins at a
	 * multiple of HASH_TABLE_ALIGN. A table holds nothing else that must be freed. */
	void (*init)(struct hash_table *t, uint32_t capacity);

	/* The address whose tag fits and that matches; false when there is none, and then
	 * *address is of no meaning. probes, unless NULL, is raised by the entries (chaining,
	 * linear, robin hood) or groups of them (cuckoo, swiss) looked at. */
	bool (*find)(const struct hash_table *t, uint64_t hash, hash_match_fn *match,
		     void *arg, uint64_t *address, uint32_t *probes);
	/* Like find, but of tags alone: the candidates, at most n. For batched look-ups that
	 * prefetch records before they compare keys. */
	size_t (*candidates)(const struct hash_table *t, uint64_t hash, uint64_t *address,
			     size_t n);
	/* Of every table of this capacity, which is in range; see hash_home_line() in
	 * hash_table_internal.h. */
	struct hash_home (*home)(uint32_t capacity);

	/* The key is not in it. -ENOSPC when it cannot be placed, nothing changed: the
	 * caller splits. That is at capacity, or before it where too many hashes want the
	 * same place. */
	int (*insert)(struct hash_table *t, uint64_t hash, uint64_t address);
	/* Changes the entry that has exactly this address; false when there is none. */
	bool (*replace)(struct hash_table *t, uint64_t hash, uint64_t from, uint64_t to);
	bool (*remove)(struct hash_table *t, uint64_t hash, uint64_t address);

	/* Every entry, in no order; *cursor starts at 0; false past the last. The writer's;
	 * a change ends the walk. */
	bool (*next)(const struct hash_table *t, uint32_t *cursor,
		     struct hash_entry *entry);
};

extern const struct hash_table_ops hash_table_chaining, hash_table_linear,
	hash_table_robin_hood, hash_table_cuckoo, hash_table_swiss;

/* The strategy by its name; NULL when there is none. i-th: NULL past the last. */
const struct hash_table_ops *hash_table_find(const char *name);
const struct hash_table_ops *hash_table_get(size_t i);

/* A table in memory of its own; -EINVAL for a capacity out of range, -ENOMEM. */
int hash_table_create(const struct hash_table_ops *ops, uint32_t capacity,
		      struct hash_table **out);
void hash_table_free(struct hash_table *t); /* NULL is allowed */

#endif /* HASH_TABLE_H */
