/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_chaining.c - separate chaining: a list for each place.
 *
 * The oldest answer to a collision (Luhn, 1953; Knuth vol. 3, 6.4, algorithm C), with
 * nodes from a pool and 32-bit links, so that a node is 16 bytes and nothing is allocated
 * after create.
 *
 * Invariant: a node is in the chain of its own bucket, or in the list of free nodes, but
 * never in both and never twice.
 *
 * Cost: with as many buckets as nodes, at load a, a hit looks at 1 + a / 2 nodes and a
 * miss at a, fewer than any other strategy; but each look, and the bucket before it, is
 * a cache line of its own, and one waits for the other. Removal is a matter of one link.
 *
 * A reader who stands on a node that is removed and used anew goes on in another chain; as
 * links may lead it anywhere then, it counts its steps.
 */
#include "hash_table_internal.h"

#define CHAINING_NONE UINT32_MAX

enum { CHAINING_REACH = 128 }; /* nodes in a chain */

struct chaining_node {
	/* atomic */
	uint64_t entry;
	uint32_t next;

	/* the writer's */
	uint16_t upper; /* of the hash */
	uint16_t bucket;
};

_Static_assert(HASH_TABLE_MAX <= UINT16_MAX + 1, "a bucket's number has 16 bits");
_Static_assert(sizeof(struct chaining_node) == 16, "an entry takes at most 16 bytes");

struct chaining {
	struct hash_table base;

	struct chaining_node *node; /* capacity of them */
	uint32_t *bucket;           /* atomic: the first nodes of as many chains */

	/* the writer's */
	uint32_t free; /* node; its next is the next free one */
};

static struct chaining *chaining(struct hash_table *t)
{
	return container_of(t, struct chaining, base);
}

static const struct chaining *chaining_const(const struct hash_table *t)
{
	return (const struct chaining *)t;
}

static size_t chaining_bytes(uint32_t capacity)
{
	const size_t each = sizeof(struct chaining_node) + sizeof(uint32_t);

	if (!hash_capacity_is_valid(capacity))
		return 0;
	return HASH_TABLE_STRUCT_BYTES(struct chaining) + capacity * each;
}

static void chaining_init(struct hash_table *t, uint32_t capacity)
{
	const size_t head = HASH_TABLE_STRUCT_BYTES(struct chaining);
	struct chaining *c = chaining(t);
	uint32_t i;

	hash_table_begin(t, &hash_table_chaining, capacity, head,
			 chaining_bytes(capacity));
	c->node = (struct chaining_node *)((char *)c + head);
	c->bucket = (uint32_t *)(c->node + capacity);
	for (i = 0; i < capacity; i++) {
		c->bucket[i] = CHAINING_NONE;
		c->node[i] = (struct chaining_node){ .entry = HASH_EMPTY, .next = i + 1 };
	}
	c->node[capacity - 1].next = CHAINING_NONE;
}

static uint32_t *chaining_bucket(const struct chaining *c, uint64_t hash)
{
	return &c->bucket[hash_place(hash, c->base.capacity)];
}

static bool chaining_find(const struct hash_table *t, uint64_t hash, hash_match_fn *match,
			  void *arg, uint64_t *address, uint32_t *probes)
{
	const struct chaining *c = chaining_const(t);
	uint32_t i = port_load_acquire(chaining_bucket(c, hash)), n = 0;
	bool found = false;

	while (i != CHAINING_NONE && n < CHAINING_REACH && !found) {
		const struct chaining_node *node = &c->node[i];
		uint64_t entry = port_load_acquire(&node->entry);

		n++;
		if (hash_entry_mark(entry) == hash_tag(hash) && entry != HASH_EMPTY) {
			*address = hash_entry_address(entry);
			found = match(arg, *address);
		}
		i = port_load_acquire(&node->next);
	}
	if (probes)
		*probes += n;
	return found;
}

static size_t chaining_candidates(const struct hash_table *t, uint64_t hash,
				  uint64_t *address, size_t n)
{
	const struct chaining *c = chaining_const(t);
	uint32_t i = port_load_acquire(chaining_bucket(c, hash)), steps = 0;
	size_t got = 0;

	for (; i != CHAINING_NONE && steps < CHAINING_REACH && got < n; steps++) {
		uint64_t entry = port_load_acquire(&c->node[i].entry);

		if (hash_entry_mark(entry) == hash_tag(hash) && entry != HASH_EMPTY)
			address[got++] = hash_entry_address(entry);
		i = port_load_acquire(&c->node[i].next);
	}
	return got;
}

static struct hash_home chaining_home(uint32_t capacity)
{
	return (struct hash_home){
		.places = capacity,
		.first = (uint32_t)(HASH_TABLE_STRUCT_BYTES(struct chaining) +
				    capacity * sizeof(struct chaining_node)),
		.each = sizeof(uint32_t),
	};
}

static int chaining_insert(struct hash_table *t, uint64_t hash, uint64_t address)
{
	struct chaining *c = chaining(t);
	uint32_t *bucket = chaining_bucket(c, hash), i, n = 0;
	struct chaining_node *node;

	if (c->free == CHAINING_NONE)
		return -ENOSPC;
	for (i = *bucket; i != CHAINING_NONE; i = c->node[i].next) {
		if (++n == CHAINING_REACH)
			return -ENOSPC;
	}
	i = c->free;
	node = &c->node[i];
	c->free = node->next;
	node->upper = hash_upper(hash);
	node->bucket = (uint16_t)(bucket - c->bucket);
	hash_entry_store(&node->entry, hash_entry(hash_tag(hash), address));
	port_store_release(&node->next, *bucket);
	port_store_release(bucket, i);
	t->count++;
	return 0;
}

/* The writer's: the link that leads to exactly this entry; NULL when there is none. */
static uint32_t *chaining_locate(struct chaining *c, uint64_t hash, uint64_t address)
{
	uint64_t wanted = hash_entry(hash_tag(hash), address);
	uint32_t *link = chaining_bucket(c, hash);

	while (*link != CHAINING_NONE && c->node[*link].entry != wanted)
		link = &c->node[*link].next;
	return *link == CHAINING_NONE ? NULL : link;
}

static bool chaining_replace(struct hash_table *t, uint64_t hash, uint64_t from,
			     uint64_t to)
{
	struct chaining *c = chaining(t);
	uint32_t *link = chaining_locate(c, hash, from);

	if (!link)
		return false;
	hash_entry_store(&c->node[*link].entry, hash_entry(hash_tag(hash), to));
	return true;
}

static bool chaining_remove(struct hash_table *t, uint64_t hash, uint64_t address)
{
	struct chaining *c = chaining(t);
	uint32_t *link = chaining_locate(c, hash, address), i;

	if (!link)
		return false;
	i = *link;
	port_store_release(link, c->node[i].next);
	hash_entry_store(&c->node[i].entry, HASH_EMPTY);
	port_store_release(&c->node[i].next, c->free);
	c->free = i;
	t->count--;
	return true;
}

static bool chaining_next(const struct hash_table *t, uint32_t *cursor,
			  struct hash_entry *entry)
{
	const struct chaining *c = chaining_const(t);

	while (*cursor < t->capacity) {
		const struct chaining_node *node = &c->node[(*cursor)++];

		if (node->entry == HASH_EMPTY)
			continue;
		entry->address = hash_entry_address(node->entry);
		entry->hash = hash_from_parts(node->upper, hash_entry_mark(node->entry),
					      node->bucket, t->capacity);
		return true;
	}
	return false;
}

const struct hash_table_ops hash_table_chaining = {
	.name = "chaining",
	.bytes = chaining_bytes,
	.init = chaining_init,
	.find = chaining_find,
	.candidates = chaining_candidates,
	.home = chaining_home,
	.insert = chaining_insert,
	.replace = chaining_replace,
	.remove = chaining_remove,
	.next = chaining_next,
};
