/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_index.c - see hash_index.h.
 *
 * A shard's directory has 2^depth pointers; a leaf of depth d stands in 2^(depth - d) of
 * them, side by side. Splitting a leaf whose depth is the directory's doubles the
 * directory first. Both are replaced, never changed under a reader's eyes: a new directory
 * is published by one store, so are the two new leaves, and what they replace is retired.
 */
#include "hash_index.h"
#include "hash_pool.h"
#include "hash_table_internal.h"

enum {
	DIRECTORY_BITS_MAX = HASH_PREFIX_BITS - HASH_SHARD_BITS,
	FIND_ATTEMPTS = 64, /* before a reader waits for the writer */
	KINDS = HASH_POOL_SIZES,
};

/* The table follows, so that its place is known without a load. */
struct hash_leaf {
	_Alignas(HASH_TABLE_ALIGN) struct epoch_item item;
	/* constant */
	struct hash_index *index;
	uint8_t depth, kind;
};

_Static_assert((int)HASH_POOL_ALIGN == (int)HASH_TABLE_ALIGN, "pieces hold tables");

struct hash_directory {
	struct epoch_item item;
	unsigned int depth;
	struct hash_leaf *leaf[]; /* atomic: 2^depth */
};

struct hash_shard {
	_Alignas(64) struct port_mutex lock;
	uint32_t limit; /* constant: entries at which a leaf is full */
	uint8_t kind;   /* constant: of its leaves */
	/* protected by lock */
	uint64_t leaves, splits, longest;
};

struct hash_index {
	/* constant */
	struct hash_index_config config;
	uint32_t capacity[KINDS];     /* of a leaf */
	struct hash_home home[KINDS]; /* in a table of that capacity */
	struct epoch *epoch;

	/* Atomic; stored under its shard's lock, but not beside it: readers need it, and
	 * the lock's cache line is the writers'. */
	_Alignas(64) struct hash_directory *directory[HASH_SHARDS];

	struct hash_pool pool; /* leaves */

	struct hash_shard shard[HASH_SHARDS];
};

/* ---- leaves and directories ---- */

static struct hash_table *table_of(struct hash_leaf *leaf)
{
	return (struct hash_table *)(leaf + 1);
}

static struct hash_leaf *leaf_new(struct hash_index *ix, unsigned int kind,
				  unsigned int depth)
{
	struct hash_leaf *leaf;

	/* Rather than grow: leaves that were split and are not looked at any more. */
	if (hash_pool_wants(&ix->pool, kind))
		(void)epoch_collect(ix->epoch);
	leaf = hash_pool_take(&ix->pool, kind);
	if (!leaf)
		return NULL;
	*leaf = (struct hash_leaf){
		.index = ix,
		.depth = (uint8_t)depth,
		.kind = (uint8_t)kind,
	};
	ix->config.table->init(table_of(leaf), ix->capacity[kind]);
	return leaf;
}

static void leaf_free(struct hash_leaf *leaf)
{
	if (leaf)
		hash_pool_give(&leaf->index->pool, leaf->kind, leaf);
}

static void leaf_reclaim(struct epoch_item *item)
{
	leaf_free(container_of(item, struct hash_leaf, item));
}

static void directory_reclaim(struct epoch_item *item)
{
	port_free(container_of(item, struct hash_directory, item));
}

static struct hash_directory *directory_new(unsigned int depth)
{
	size_t n = (size_t)1 << depth;
	struct hash_directory *d =
		port_alloc(sizeof(struct hash_directory) + n * sizeof(d->leaf[0]));

	if (!d)
		return NULL;
	memset(d, 0, sizeof(*d) + n * sizeof(d->leaf[0]));
	d->depth = depth;
	return d;
}

static size_t directory_place(const struct hash_directory *d, uint64_t hash)
{
	uint64_t below_shard = hash << HASH_SHARD_BITS;

	return d->depth ? (size_t)(below_shard >> (64 - d->depth)) : 0;
}

unsigned int hash_index_shard(uint64_t hash)
{
	return (unsigned int)(hash >> (64 - HASH_SHARD_BITS));
}

static struct hash_leaf *leaf_of(struct hash_index *ix, uint64_t hash)
{
	const struct hash_directory *d =
		port_load_acquire(&ix->directory[hash_index_shard(hash)]);

	return port_load_acquire(&d->leaf[directory_place(d, hash)]);
}

/* ---- life ---- */

/* 2^(-i/8), in 4096ths: the capacity of each kind of leaf beside the largest. */
static const uint16_t share[KINDS] = { 4096, 3756, 3444, 3158, 2896, 2656, 2435, 2233 };

static void plan_leaves(struct hash_index *ix)
{
	const struct hash_index_config *c = &ix->config;
	size_t size[KINDS];
	unsigned int i;

	for (i = 0; i < KINDS; i++) {
		ix->capacity[i] = (uint32_t)((uint64_t)c->capacity * share[i] / share[0]);
		if (ix->capacity[i] < HASH_TABLE_MIN)
			ix->capacity[i] = HASH_TABLE_MIN;
		ix->home[i] = c->table->home(ix->capacity[i]);
		size[i] = sizeof(struct hash_leaf) + c->table->bytes(ix->capacity[i]);
	}
	hash_pool_init(&ix->pool, size);
}

/* So many bits of directory that the expected entries fit without a split. */
static unsigned int first_depth(const struct hash_index *ix, const struct hash_shard *s)
{
	uint64_t each = ix->config.expected_entries / HASH_SHARDS;
	unsigned int depth = 0;

	/* Leaves are not filled evenly: plan for three quarters. */
	while (depth < DIRECTORY_BITS_MAX && each >> depth > s->limit / 4 * 3)
		depth++;
	return depth;
}

static int shard_init(struct hash_index *ix, struct hash_shard *s,
		      struct hash_directory **at)
{
	unsigned int depth = first_depth(ix, s);
	struct hash_directory *d = directory_new(depth);
	size_t i;

	*at = d;
	if (!d)
		return -ENOMEM;
	for (i = 0; i < (size_t)1 << depth; i++) {
		d->leaf[i] = leaf_new(ix, s->kind, depth);
		if (!d->leaf[i])
			return -ENOMEM;
		s->leaves++;
	}
	return 0;
}

int hash_index_new(const struct hash_index_config *c, struct epoch *epoch,
		   struct hash_index **out)
{
	struct hash_index *ix = port_alloc_aligned(64, sizeof(*ix));
	unsigned int i;
	int error = 0;

	if (!ix)
		return -ENOMEM;
	memset(ix, 0, sizeof(*ix));
	ix->config = *c;
	ix->epoch = epoch;
	plan_leaves(ix);
	for (i = 0; i < HASH_SHARDS; i++) {
		struct hash_shard *s = &ix->shard[i];

		port_mutex_init(&s->lock);
		s->kind = i % KINDS;
		s->limit = (uint32_t)((uint64_t)ix->capacity[s->kind] * c->load_percent /
				      100);
		if (!error)
			error = shard_init(ix, s, &ix->directory[i]);
	}
	if (error) {
		hash_index_free(ix);
		return error;
	}
	*out = ix;
	return 0;
}

void hash_index_free(struct hash_index *ix)
{
	unsigned int i;

	if (!ix)
		return;
	/* Leaves that were split wait there to come back to the pool. */
	(void)epoch_collect(ix->epoch);
	for (i = 0; i < HASH_SHARDS; i++) {
		port_free(ix->directory[i]);
		port_mutex_destroy(&ix->shard[i].lock);
	}
	hash_pool_destroy(&ix->pool); /* with all leaves */
	port_free_aligned(ix);
}

/* ---- readers ---- */

/* The line where a search begins, and the next, in which a chunk goes on. Nothing of the leaf
 * is read for it: its head may not be in the cache either, and the two come at once. */
static void prefetch_home(const struct hash_index *ix, const struct hash_table *t,
			  uint64_t hash)
{
	const struct hash_home *home = &ix->home[hash_index_shard(hash) % KINDS];
	const uint8_t *line = hash_home_line(home, t, hash);

	__builtin_prefetch(line);
	__builtin_prefetch(line + 64);
}

bool hash_index_find(struct hash_index *ix, uint64_t hash, hash_match_fn *match,
		     void *arg, uint64_t *address, struct hash_witness *witness)
{
	struct hash_shard *s = &ix->shard[hash_index_shard(hash)];
	unsigned int attempt;
	bool found = false;

	for (attempt = 0; attempt <= FIND_ATTEMPTS; attempt++) {
		bool wait = attempt == FIND_ATTEMPTS, settled;
		struct hash_table *t;
		uint64_t version;

		if (wait)
			port_mutex_lock(&s->lock);
		t = table_of(leaf_of(ix, hash));
		prefetch_home(ix, t, hash);
		version = port_load_acquire(&t->version);
		found = ix->config.table->find(t, hash, match, arg, address, NULL);
		/* What was found was there. Nothing found says nothing while a writer moves
		 * entries; an odd version or another one than before is such a writer. */
		if (witness)
			*witness = (struct hash_witness){ &t->version, version };
		settled = !(version & 1) && port_read_again(&t->version) == version;
		if (wait)
			port_mutex_unlock(&s->lock);
		if (settled || wait || (found && !witness))
			break;
	}
	return found;
}

bool hash_witness_holds(const struct hash_witness *w)
{
	return !(w->seen & 1) && port_read_again(w->version) == w->seen;
}

void hash_index_prefetch(struct hash_index *ix, uint64_t hash)
{
	const struct hash_table *t = table_of(leaf_of(ix, hash));

	__builtin_prefetch(t);
	prefetch_home(ix, t, hash);
}

size_t hash_index_candidates(struct hash_index *ix, uint64_t hash, uint64_t *address,
			     size_t n)
{
	return ix->config.table->candidates(table_of(leaf_of(ix, hash)), hash, address,
					    n);
}

/* ---- writers ---- */

void hash_index_lock(struct hash_index *ix, unsigned int shard)
{
	port_mutex_lock(&ix->shard[shard].lock);
}

void hash_index_lock_within(struct hash_index *ix, unsigned int shard,
			    struct port_mutex *outer)
{
	port_mutex_lock_within(&ix->shard[shard].lock, outer);
}

void hash_index_unlock(struct hash_index *ix, unsigned int shard)
{
	port_mutex_unlock(&ix->shard[shard].lock);
}

static void leaf_change(struct hash_leaf *leaf)
{
	port_write_begin(&table_of(leaf)->version);
}

static void leaf_changed(struct hash_leaf *leaf)
{
	port_write_end(&table_of(leaf)->version);
}

bool hash_index_find_locked(struct hash_index *ix, uint64_t hash, hash_match_fn *match,
			    void *arg, uint64_t *address)
{
	struct hash_table *t = table_of(leaf_of(ix, hash));

	prefetch_home(ix, t, hash);
	return ix->config.table->find(t, hash, match, arg, address, NULL);
}

static bool same_address(void *arg, uint64_t address)
{
	return *(uint64_t *)arg == address;
}

bool hash_index_holds(struct hash_index *ix, uint64_t hash, uint64_t address)
{
	uint64_t found;

	return hash_index_find_locked(ix, hash, same_address, &address, &found);
}

static int double_directory(struct hash_index *ix, struct hash_directory **at)
{
	/* EXERCISE 2.4 begin: a new one, published, then the old one retired
	 *|	return -ENOSPC;
	 */
	struct hash_directory *old = *at, *d;
	size_t i;

	if (old->depth == DIRECTORY_BITS_MAX)
		return -ENOSPC;
	d = directory_new(old->depth + 1);
	if (!d)
		return -ENOMEM;
	for (i = 0; i < (size_t)1 << d->depth; i++)
		d->leaf[i] = old->leaf[i / 2];
	port_store_release(at, d);
	old->item.free = directory_reclaim;
	epoch_retire(ix->epoch, &old->item);
	return 0;
	/* EXERCISE 2.4 end */
}

/* The bit of the hash that tells a leaf's two halves apart. */
static bool in_upper_half(const struct hash_leaf *leaf, uint64_t hash)
{
	/* EXERCISE 2.4 begin: behind the bits of shard and depth
	 *|	return false;
	 */
	return hash >> (63 - HASH_SHARD_BITS - leaf->depth) & 1;
	/* EXERCISE 2.4 end */
}

static int distribute(struct hash_leaf *leaf, struct hash_leaf *const half[2])
{
	/* EXERCISE 2.4 begin: each entry goes to its half
	 *|	return -ENOSPC;
	 */
	const struct hash_table_ops *ops = leaf->index->config.table;
	struct hash_entry entry;
	uint32_t cursor = 0;
	int error = 0;

	while (!error && ops->next(table_of(leaf), &cursor, &entry)) {
		struct hash_leaf *to = half[in_upper_half(leaf, entry.hash)];

		error = ops->insert(table_of(to), entry.hash, entry.address);
	}
	return error;
	/* EXERCISE 2.4 end */
}

static int split(struct hash_index *ix, struct hash_shard *s, uint64_t hash)
{
	/* EXERCISE 2.4 begin: first all that can fail, then publish and retire
	 *|	return -ENOSPC;
	 */
	struct hash_leaf *leaf = leaf_of(ix, hash), *half[2] = { NULL, NULL };
	struct hash_directory **at = &ix->directory[hash_index_shard(hash)], *d;
	size_t i, first, n;
	int error = 0;

	if (leaf->depth == (*at)->depth)
		error = double_directory(ix, at);
	if (error)
		return error;
	half[0] = leaf_new(ix, s->kind, leaf->depth + 1u);
	half[1] = leaf_new(ix, s->kind, leaf->depth + 1u);
	error = half[0] && half[1] ? distribute(leaf, half) : -ENOMEM;
	if (error) {
		leaf_free(half[0]);
		leaf_free(half[1]);
		return error;
	}
	d = *at;
	n = (size_t)1 << (d->depth - leaf->depth);
	first = directory_place(d, hash) & ~(n - 1);
	/* Left odd for ever: who looks into the old leaf later must look again. */
	leaf_change(leaf);
	for (i = 0; i < n; i++)
		port_store_release(&d->leaf[first + i], half[i >= n / 2]);
	s->leaves++;
	s->splits++;
	if (s->longest < table_of(leaf)->count)
		s->longest = table_of(leaf)->count;
	leaf->item.free = leaf_reclaim;
	epoch_retire(ix->epoch, &leaf->item);
	return 0;
	/* EXERCISE 2.4 end */
}

int hash_index_insert(struct hash_index *ix, uint64_t hash, uint64_t address)
{
	/* EXERCISE 2.4 begin: split until there is room
	 *|	return -ENOSPC;
	 */
	struct hash_shard *s = &ix->shard[hash_index_shard(hash)];
	int error;

	for (;;) {
		struct hash_leaf *leaf = leaf_of(ix, hash);

		error = -ENOSPC;
		if (table_of(leaf)->count < s->limit) {
			leaf_change(leaf);
			error = ix->config.table->insert(table_of(leaf), hash, address);
			leaf_changed(leaf);
		}
		if (error != -ENOSPC)
			return error;
		error = split(ix, s, hash);
		if (error)
			return error;
	}
	/* EXERCISE 2.4 end */
}

bool hash_index_replace(struct hash_index *ix, uint64_t hash, uint64_t from, uint64_t to)
{
	struct hash_leaf *leaf = leaf_of(ix, hash);
	bool done;

	leaf_change(leaf);
	done = ix->config.table->replace(table_of(leaf), hash, from, to);
	leaf_changed(leaf);
	return done;
}

bool hash_index_remove(struct hash_index *ix, uint64_t hash, uint64_t address)
{
	struct hash_leaf *leaf = leaf_of(ix, hash);
	bool done;

	leaf_change(leaf);
	done = ix->config.table->remove(table_of(leaf), hash, address);
	leaf_changed(leaf);
	return done;
}

/* ---- walking ---- */

int hash_index_walk_leaf(struct hash_index *ix, uint32_t *prefix, hash_entry_fn *fn,
			 void *arg)
{
	uint64_t hash = (uint64_t)*prefix << (64 - HASH_PREFIX_BITS);
	unsigned int shard = hash_index_shard(hash);
	struct hash_entry entry;
	struct hash_leaf *leaf;
	uint32_t cursor = 0;
	int error = 0;

	hash_index_lock(ix, shard);
	leaf = leaf_of(ix, hash);
	while (!error && ix->config.table->next(table_of(leaf), &cursor, &entry)) {
		entry.hash |= (uint64_t)shard << (64 - HASH_SHARD_BITS);
		error = fn(arg, &entry);
	}
	*prefix += 1u << (DIRECTORY_BITS_MAX - leaf->depth);
	hash_index_unlock(ix, shard);
	return error;
}

void hash_index_stats(struct hash_index *ix, struct hash_index_stats *out)
{
	unsigned int i;

	*out = (struct hash_index_stats){
		.bytes = sizeof(*ix) + hash_pool_bytes(&ix->pool),
	};
	for (i = 0; i < HASH_SHARDS; i++) {
		struct hash_shard *s = &ix->shard[i];
		const struct hash_directory *d;
		size_t j, step;

		hash_index_lock(ix, i);
		d = ix->directory[i];
		out->leaves += s->leaves;
		out->splits += s->splits;
		if (out->longest_split_entries < s->longest)
			out->longest_split_entries = s->longest;
		out->bytes += sizeof(*d) + (sizeof(d->leaf[0]) << d->depth);
		for (j = 0; j < (size_t)1 << d->depth; j += step) {
			struct hash_leaf *leaf = d->leaf[j];

			step = (size_t)1 << (d->depth - leaf->depth);
			out->entries += table_of(leaf)->count;
		}
		hash_index_unlock(ix, i);
	}
}
