/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_memtable.c - the skip list, a hash of keys beside it, and range tombstones: see
 * lsm_memtable.h.
 *
 * The side hash is an array of slots. A slot has the address of a node, from which the nodes of
 * other keys follow by their `chain`, and sixteen bits that say which hashes are among them: a
 * filter in the pointer's spare bits, so that a key that is not there costs one cache line. In
 * a chain stands the node of each key's first version to come; its `newest` is the version
 * with the greatest stamp, from which the older ones follow in the list. A chain only grows, at
 * its beginning, by compare-and-swap of the slot: who succeeds has seen all that was in it, so
 * a key stands in it once.
 *
 * An entry is in the list before it is in the hash.
 */
#include "lsm_arena.h"
#include "lsm_skiplist.h"

#include "neon_lsm_ops.h"

enum {
	ENTRY_BYTES = 128, /* an entry may be expected to have: a slot for each */
	SLOTS_MIN = 64,
	FILTER_BITS = 16,
};

/*
 * Range tombstones as they stood at some time, in several sets. A new one is merged with those
 * before it that are not much larger, as runs of an LSM-tree are (Bentley and Saxe, 1980): so
 * each tombstone is copied a logarithmic number of times, and a reader looks into a logarithmic
 * number of sets. What readers may still look at stays until the memtable goes.
 */
struct range_list {
	struct range_list *older;
	struct lsm_tombstones *own; /* the set that was made for this list; NULL: none */
	size_t sets;
	const struct lsm_tombstones *set[]; /* the largest first */
};

struct lsm_range_room {
	struct range_list *made;
};

struct lsm_memtable {
	/* constant */
	struct lsm_memory *memory;
	struct lsm_chunk *table; /* its memory is `slot` */
	uint64_t *slot;          /* atomic: address << 16 | filter */
	uint64_t mask;           /* slots, less one */
	/* atomic */
	struct range_list *ranges; /* the newest; written by one thread at a time */
	uint64_t range_bytes;
	bool hashed; /* all of it is in the side hash */
	/* by their own rules */
	_Alignas(64) struct lsm_arena arena;
	_Alignas(64) uint64_t entries; /* atomic */
	_Alignas(64) struct lsm_skiplist list;
};

/* ---- making, and memory ---- */

/* For at most so many bytes. */
static int table_new(struct lsm_memtable *t, uint64_t bytes)
{
	uint64_t n = SLOTS_MIN;

	while (n * ENTRY_BYTES < bytes && n < SIZE_MAX / 32)
		n *= 2;
	t->table = lsm_memory_take(t->memory, n * sizeof(*t->slot));
	if (!t->table)
		return -ENOMEM;
	t->slot = (uint64_t *)(void *)lsm_chunk_memory(t->table);
	t->mask = n - 1;
	memset(t->slot, 0, n * sizeof(*t->slot));
	return 0;
}

int lsm_memtable_new(struct lsm_memory *m, uint64_t bytes, struct lsm_memtable **out)
{
	struct lsm_memtable *t = port_alloc_aligned(64, sizeof(*t));
	int error;

	if (!t)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	t->memory = m;
	t->hashed = true;
	lsm_arena_init(&t->arena, m);
	lsm_skiplist_init(&t->list);
	error = table_new(t, bytes);
	if (error)
		lsm_memtable_free(t);
	else
		*out = t;
	return error;
}

int lsm_memtable_prepare(struct lsm_memtable *t, uint64_t bytes)
{
	return lsm_arena_prepare(&t->arena, bytes);
}

void lsm_memtable_free(struct lsm_memtable *t)
{
	struct range_list *r, *older;

	if (!t)
		return;
	for (r = t->ranges; r; r = older) {
		older = r->older;
		lsm_tombstones_free(r->own);
		port_free(r);
	}
	if (t->table)
		lsm_memory_give(t->memory, t->table);
	lsm_arena_free(&t->arena);
	port_free_aligned(t);
}

size_t lsm_memtable_entry_bytes(size_t key_bytes, size_t value_bytes)
{
	return lsm_node_bytes(LSM_SKIPLIST_LEVELS, key_bytes, value_bytes);
}

int lsm_memtable_reserve(struct lsm_memtable *t, size_t bytes, struct lsm_room *room)
{
	int error;

	if (bytes > SIZE_MAX - 8)
		return -ENOMEM;
	bytes = (bytes + 7) & ~(size_t)7;
	error = lsm_arena_reserve(&t->arena, bytes, &room->at);
	if (!error)
		room->end = room->at + bytes;
	return error;
}

void lsm_memtable_done(struct lsm_memtable *t, struct lsm_room *room)
{
	if (room->at < room->end)
		lsm_arena_return(&t->arena, room->at, room->end);
	room->at = room->end = NULL;
}

uint64_t lsm_memtable_bytes(const struct lsm_memtable *t)
{
	return lsm_arena_bytes(&t->arena) + port_load_relaxed(&t->range_bytes);
}

uint64_t lsm_memtable_entries(const struct lsm_memtable *t)
{
	return port_load_relaxed(&t->entries);
}

/* ---- the side hash ---- */

static inline uint64_t *slot_of(const struct lsm_memtable *t, uint64_t hash)
{
	return &t->slot[hash & t->mask];
}

static inline uint64_t filter_bit(uint64_t hash) /* by bits that choose no slot */
{
	return (uint64_t)1 << (hash >> 60);
}

static inline struct lsm_node *slot_node(uint64_t slot)
{
	return (struct lsm_node *)(uintptr_t)((int64_t)slot >> FILTER_BITS);
}

static inline uint64_t slot_value(const struct lsm_node *n, uint64_t filter)
{
	return (uint64_t)(uintptr_t)n << FILTER_BITS | filter;
}

static struct lsm_node *chain_find(struct lsm_node *n, const struct lsm_node *end,
				   struct kv_slice key)
{
	while (n != end && !lsm_node_is(n, key))
		n = n->chain;
	return n == end ? NULL : n;
}

/* n is a version of the key whose first one is `first`. */
static void raise_newest(struct lsm_node *first, struct lsm_node *n)
{
	struct lsm_node *newest = port_load_acquire(&first->newest);

	while (newest->stamp < n->stamp && !port_cas(&first->newest, &newest, n))
		;
}

static void hash_insert(struct lsm_memtable *t, uint64_t hash, struct lsm_node *n)
{
	uint64_t *slot = slot_of(t, hash);
	uint64_t old = port_load_acquire(slot), filter = filter_bit(hash), new;
	struct lsm_node *seen = NULL, *first;

	/* Where addresses have more bits than a slot has for them, the list is searched. */
	if (slot_node(slot_value(n, 0)) != n) {
		port_store_release(&t->hashed, false);
		return;
	}
	do {
		first = old & filter ? chain_find(slot_node(old), seen, lsm_node_key(n))
				     : NULL;
		if (first) {
			raise_newest(first, n);
			return;
		}
		seen = slot_node(old);
		n->chain = seen;
		new = slot_value(n, filter | (old & (((uint64_t)1 << FILTER_BITS) - 1)));
	} while (!port_cas(slot, &old, new));
}

void lsm_memtable_prefetch(const struct lsm_memtable *t, uint64_t hash)
{
	__builtin_prefetch(slot_of(t, hash));
}

/* ---- entries ---- */

void lsm_memtable_insert(struct lsm_memtable *t, struct lsm_room *room,
			 struct kv_slice key, uint64_t hash, uint64_t stamp,
			 struct kv_slice value)
{
	const unsigned int height =
		lsm_skiplist_height((hash ^ stamp) * 0x9e3779b97f4a7c15u >> 32);
	struct lsm_node *n = lsm_node_make(room->at, height, key, stamp, value);

	room->at += lsm_node_bytes(height, key.len, value.len);
	lsm_memtable_prefetch(t, hash);
	lsm_skiplist_insert(&t->list, n, height);
	hash_insert(t, hash, n);
	(void)port_fetch_add(&t->entries, (uint64_t)1);
}

/* The newest version of key, NULL: there is none; or some later one. */
static const struct lsm_node *newest_of(const struct lsm_memtable *t, struct kv_slice key,
					uint64_t hash)
{
	const uint64_t slot = port_load_acquire(slot_of(t, hash));
	const struct lsm_node *first;

	if (!(slot & filter_bit(hash)))
		return NULL;
	first = chain_find(slot_node(slot), NULL, key);
	return first ? port_load_acquire(&first->newest) : NULL;
}

/* Many versions may be newer than wanted: a few steps, then a search. */
static const struct lsm_node *version_at(const struct lsm_memtable *t,
					 const struct lsm_node *n, struct kv_slice key,
					 uint64_t wanted)
{
	int steps;

	for (steps = 0; steps < 8; steps++) {
		if (!n || n->stamp <= wanted)
			return n && lsm_node_is(n, key) ? n : NULL;
		n = lsm_skiplist_next(n);
		if (n && !lsm_node_is(n, key))
			return NULL;
	}
	n = lsm_skiplist_find(&t->list, key, wanted);
	return n && lsm_node_is(n, key) ? n : NULL;
}

bool lsm_memtable_get(const struct lsm_memtable *t, struct kv_slice key, uint64_t hash,
		      uint64_t sequence, uint64_t *stamp, struct kv_slice *value)
{
	const uint64_t wanted = lsm_seek_stamp(sequence);
	const struct lsm_node *n;

	if (port_load_acquire(&t->hashed)) {
		n = newest_of(t, key, hash);
		if (n && n->stamp > wanted)
			n = version_at(t, n, key, wanted);
	} else {
		n = lsm_skiplist_find(&t->list, key, wanted);
		if (n && !lsm_node_is(n, key))
			n = NULL;
	}
	if (!n)
		return false;
	*stamp = n->stamp;
	*value = lsm_node_value(n);
	return true;
}

/* ---- range tombstones ---- */

/* How many of the older sets stay as they are beside one of so many; the others are merged into
 * it, so that each set has more than twice as many as the next. */
static size_t sets_that_stay(const struct range_list *old, size_t count)
{
	size_t n = old ? old->sets : 0;

	while (n && (n == LSM_RANGE_SETS - 1 ||
		     lsm_tombstones_count(old->set[n - 1]) <= 2 * count))
		count += lsm_tombstones_count(old->set[--n]);
	return n;
}

/* The set of d, whose sequences come later. */
static int set_of_later(const struct lsm_tombstone *d, size_t n,
			struct lsm_tombstones **out)
{
	struct lsm_tombstone *later;
	size_t i;
	int error;

	if (n > SIZE_MAX / sizeof(*later))
		return -ENOMEM;
	later = port_alloc(n * sizeof(*later));
	if (!later)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		later[i] = d[i];
		later[i].sequence += LSM_TOMBSTONE_LATER;
	}
	error = lsm_tombstones_new(later, n, out);
	port_free(later);
	return error;
}

/* The list with one set more, which takes the place of those that it was merged with. */
static int list_with(struct range_list *old, struct lsm_tombstones *new,
		     struct range_list **out)
{
	const size_t had = old ? old->sets : 0;
	const size_t stay = new ? sets_that_stay(old, lsm_tombstones_count(new)) : had;
	struct range_list *l = port_alloc(sizeof(*l) + (had + 1) * sizeof(l->set[0]));
	int error = 0;

	if (!l)
		return -ENOMEM;
	*l = (struct range_list){ .older = old, .sets = stay };
	if (had)
		memcpy(l->set, old->set, had * sizeof(l->set[0]));
	l->set[had] = new;
	if (stay < had) {
		error = lsm_tombstones_union(&l->set[stay], had - stay + 1, &l->own);
		l->set[stay] = l->own;
	} else {
		l->own = new;
	}
	if (error) {
		port_free(l);
		return error;
	}
	if (stay < had)
		lsm_tombstones_free(new);
	l->sets += new != NULL;
	*out = l;
	return 0;
}

int lsm_memtable_reserve_ranges(struct lsm_memtable *t, const struct lsm_tombstone *d,
				size_t n, struct lsm_range_room **room)
{
	struct lsm_range_room *r = port_alloc(sizeof(*r));
	struct lsm_tombstones *new = NULL;
	int error;

	if (!r)
		return -ENOMEM;
	error = set_of_later(d, n, &new);
	if (!error)
		error = list_with(port_load_relaxed(&t->ranges), new, &r->made);
	if (!error) {
		*room = r;
		return 0;
	}
	lsm_tombstones_free(new);
	port_free(r);
	return error;
}

void lsm_memtable_insert_ranges(struct lsm_memtable *t, struct lsm_range_room *room,
				uint64_t sequence)
{
	struct range_list *made = room->made;

	lsm_tombstones_settle(made->own, sequence);
	(void)port_fetch_add(&t->range_bytes, sizeof(*made) +
						      made->sets * sizeof(made->set[0]) +
						      lsm_tombstones_bytes(made->own));
	port_store_release(&t->ranges, made);
	port_free(room);
}

void lsm_memtable_cancel_ranges(struct lsm_memtable *t, struct lsm_range_room *room)
{
	(void)t;
	lsm_tombstones_free(room->made->own);
	port_free(room->made);
	port_free(room);
}

int lsm_memtable_delete_range(struct lsm_memtable *t, const struct lsm_tombstone *d)
{
	struct lsm_tombstone now = *d;
	struct lsm_range_room *room;
	int error;

	now.sequence = 0;
	error = lsm_memtable_reserve_ranges(t, &now, 1, &room);
	if (!error)
		lsm_memtable_insert_ranges(t, room, d->sequence);
	return error;
}

const struct lsm_tombstones *const *lsm_memtable_tombstones(const struct lsm_memtable *t,
							    size_t *n)
{
	const struct range_list *newest = port_load_acquire(&t->ranges);

	*n = newest ? newest->sets : 0;
	return newest ? newest->set : NULL;
}

uint64_t lsm_memtable_cover(const struct lsm_memtable *t, struct kv_slice key,
			    uint64_t limit)
{
	size_t i, n;
	const struct lsm_tombstones *const *set = lsm_memtable_tombstones(t, &n);
	uint64_t cover = 0, c;

	for (i = 0; i < n; i++) {
		c = lsm_tombstones_cover(set[i], key, limit);
		if (c > cover)
			cover = c;
	}
	return cover;
}

/* ---- cursor ---- */

struct memtable_cursor {
	struct lsm_cursor base;
	const struct lsm_memtable *table;
	const struct lsm_node *at; /* NULL: outside */
};

static int cursor_at(struct memtable_cursor *c, const struct lsm_node *n)
{
	c->at = n;
	if (!n)
		return -ENOENT;
	c->base.key = lsm_node_key(n);
	c->base.stamp = n->stamp;
	c->base.value = lsm_node_value(n);
	return 0;
}

static int cursor_seek(struct lsm_cursor *base, struct kv_slice key, uint64_t stamp)
{
	struct memtable_cursor *c = container_of(base, struct memtable_cursor, base);

	return cursor_at(c, lsm_skiplist_find(&c->table->list, key, stamp));
}

static int cursor_next(struct lsm_cursor *base)
{
	struct memtable_cursor *c = container_of(base, struct memtable_cursor, base);
	const struct lsm_node *n =
		c->at ? lsm_skiplist_next(c->at) : lsm_skiplist_first(&c->table->list);

	if (n)
		__builtin_prefetch(lsm_skiplist_next(n));
	return cursor_at(c, n);
}

static int cursor_prev(struct lsm_cursor *base)
{
	struct memtable_cursor *c = container_of(base, struct memtable_cursor, base);

	return cursor_at(c, c->at ? lsm_skiplist_before(&c->table->list,
							lsm_node_key(c->at), c->at->stamp)
				  : lsm_skiplist_last(&c->table->list));
}

static void cursor_close(struct lsm_cursor *base)
{
	port_free(container_of(base, struct memtable_cursor, base));
}

static const struct lsm_cursor_ops cursor_ops = {
	.seek = cursor_seek,
	.next = cursor_next,
	.prev = cursor_prev,
	.close = cursor_close,
};

int lsm_memtable_cursor(struct lsm_memtable *t, struct lsm_cursor **out)
{
	struct memtable_cursor *c = port_alloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->base.ops = &cursor_ops;
	c->table = t;
	*out = &c->base;
	return 0;
}
