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

enum {
	DIRECTORY_BITS_MAX = HASH_PREFIX_BITS - HASH_SHARD_BITS,
	FIND_ATTEMPTS = 64, /* before a reader waits for the writer */
};

struct hash_leaf {
	struct epoch_item item;
	uint64_t version; /* atomic; odd while a writer is at it */
	/* constant */
	struct hash_table *table;
	unsigned int depth;
};

struct hash_directory {
	struct epoch_item item;
	unsigned int depth;
	struct hash_leaf *leaf[]; /* atomic: 2^depth */
};

struct hash_shard {
	_Alignas(64) struct port_mutex lock;
	struct hash_directory *directory; /* atomic; stored under lock */
	/* protected by lock */
	uint64_t leaves, splits, longest;
};

struct hash_index {
	/* constant */
	struct hash_index_config config;
	uint32_t limit; /* entries at which a leaf is full */
	struct epoch *epoch;

	struct hash_shard shard[HASH_SHARDS];
};

/* ---- leaves and directories ---- */

static struct hash_leaf *leaf_new(const struct hash_index *ix, unsigned int depth)
{
	struct hash_leaf *leaf = port_alloc(sizeof(*leaf));

	if (!leaf)
		return NULL;
	memset(leaf, 0, sizeof(*leaf));
	leaf->depth = depth;
	if (ix->config.table->create(ix->config.capacity, &leaf->table)) {
		port_free(leaf);
		return NULL;
	}
	return leaf;
}

static void leaf_free(struct hash_leaf *leaf)
{
	if (!leaf)
		return;
	leaf->table->ops->free(leaf->table);
	port_free(leaf);
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
	struct hash_shard *s = &ix->shard[hash_index_shard(hash)];
	const struct hash_directory *d = port_load_acquire(&s->directory);

	return port_load_acquire(&d->leaf[directory_place(d, hash)]);
}

/* ---- life ---- */

/* So many bits of directory that the expected entries fit without a split. */
static unsigned int first_depth(const struct hash_index *ix)
{
	uint64_t each = ix->config.expected_entries / HASH_SHARDS;
	unsigned int depth = 0;

	/* Leaves are not filled evenly: plan for three quarters. */
	while (depth < DIRECTORY_BITS_MAX && each >> depth > ix->limit / 4 * 3)
		depth++;
	return depth;
}

static int shard_init(struct hash_index *ix, struct hash_shard *s, unsigned int depth)
{
	struct hash_directory *d = directory_new(depth);
	size_t i;

	s->directory = d;
	if (!d)
		return -ENOMEM;
	for (i = 0; i < (size_t)1 << depth; i++) {
		d->leaf[i] = leaf_new(ix, depth);
		if (!d->leaf[i])
			return -ENOMEM;
		s->leaves++;
	}
	return 0;
}

static void shard_destroy(struct hash_shard *s)
{
	struct hash_directory *d = s->directory;
	size_t i, n = d ? (size_t)1 << d->depth : 0, step;

	for (i = 0; i < n; i += step) {
		struct hash_leaf *leaf = d->leaf[i];

		step = leaf ? (size_t)1 << (d->depth - leaf->depth) : 1;
		leaf_free(leaf);
	}
	port_free(d);
	port_mutex_destroy(&s->lock);
}

int hash_index_new(const struct hash_index_config *c, struct epoch *epoch,
		   struct hash_index **out)
{
	struct hash_index *ix = port_alloc_aligned(64, sizeof(*ix));
	unsigned int i, depth;
	int error = 0;

	if (!ix)
		return -ENOMEM;
	memset(ix, 0, sizeof(*ix));
	ix->config = *c;
	ix->epoch = epoch;
	ix->limit = (uint32_t)((uint64_t)c->capacity * c->load_percent / 100);
	depth = first_depth(ix);
	for (i = 0; i < HASH_SHARDS; i++) {
		port_mutex_init(&ix->shard[i].lock);
		if (!error)
			error = shard_init(ix, &ix->shard[i], depth);
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
	for (i = 0; i < HASH_SHARDS; i++)
		shard_destroy(&ix->shard[i]);
	port_free_aligned(ix);
}

/* ---- readers ---- */

bool hash_index_find(struct hash_index *ix, uint64_t hash, hash_match_fn *match,
		     void *arg, uint64_t *address, struct hash_witness *witness)
{
	struct hash_shard *s = &ix->shard[hash_index_shard(hash)];
	unsigned int attempt;
	bool found = false;

	for (attempt = 0; attempt <= FIND_ATTEMPTS; attempt++) {
		bool wait = attempt == FIND_ATTEMPTS, settled;
		struct hash_leaf *leaf;
		uint64_t version;

		if (wait)
			port_mutex_lock(&s->lock);
		leaf = leaf_of(ix, hash);
		version = port_load_acquire(&leaf->version);
		found = leaf->table->ops->find(leaf->table, hash, match, arg, address,
					       NULL);
		/* What was found was there. Nothing found says nothing while a writer moves
		 * entries; an odd version or another one than before is such a writer. */
		if (witness)
			*witness = (struct hash_witness){ &leaf->version, version };
		settled = !(version & 1) && port_read_again(&leaf->version) == version;
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
	const struct hash_table *t = leaf_of(ix, hash)->table;
	const uint8_t *line = t->ops->line(t, hash);

	__builtin_prefetch(line);
	__builtin_prefetch(line + 64);
}

size_t hash_index_candidates(struct hash_index *ix, uint64_t hash, uint64_t *address,
			     size_t n)
{
	const struct hash_table *t = leaf_of(ix, hash)->table;

	return t->ops->candidates(t, hash, address, n);
}

/* ---- writers ---- */

void hash_index_lock(struct hash_index *ix, unsigned int shard)
{
	port_mutex_lock(&ix->shard[shard].lock);
}

void hash_index_unlock(struct hash_index *ix, unsigned int shard)
{
	port_mutex_unlock(&ix->shard[shard].lock);
}

static void leaf_change(struct hash_leaf *leaf)
{
	port_write_begin(&leaf->version);
}

static void leaf_changed(struct hash_leaf *leaf)
{
	port_write_end(&leaf->version);
}

bool hash_index_find_locked(struct hash_index *ix, uint64_t hash, hash_match_fn *match,
			    void *arg, uint64_t *address)
{
	const struct hash_table *t = leaf_of(ix, hash)->table;

	return t->ops->find(t, hash, match, arg, address, NULL);
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

static int double_directory(struct hash_index *ix, struct hash_shard *s)
{
	struct hash_directory *old = s->directory, *d;
	size_t i;

	if (old->depth == DIRECTORY_BITS_MAX)
		return -ENOSPC;
	d = directory_new(old->depth + 1);
	if (!d)
		return -ENOMEM;
	for (i = 0; i < (size_t)1 << d->depth; i++)
		d->leaf[i] = old->leaf[i / 2];
	port_store_release(&s->directory, d);
	old->item.free = directory_reclaim;
	epoch_retire(ix->epoch, &old->item);
	return 0;
}

/* The bit of the hash that tells a leaf's two halves apart. */
static bool in_upper_half(const struct hash_leaf *leaf, uint64_t hash)
{
	return hash >> (63 - HASH_SHARD_BITS - leaf->depth) & 1;
}

static int distribute(const struct hash_leaf *leaf, struct hash_leaf *const half[2])
{
	const struct hash_table_ops *ops = leaf->table->ops;
	struct hash_entry entry;
	uint32_t cursor = 0;
	int error = 0;

	while (!error && ops->next(leaf->table, &cursor, &entry)) {
		struct hash_table *t = half[in_upper_half(leaf, entry.hash)]->table;

		error = ops->insert(t, entry.hash, entry.address);
	}
	return error;
}

static int split(struct hash_index *ix, struct hash_shard *s, uint64_t hash)
{
	struct hash_leaf *leaf = leaf_of(ix, hash), *half[2] = { NULL, NULL };
	struct hash_directory *d;
	size_t i, first, n;
	int error = 0;

	if (leaf->depth == s->directory->depth)
		error = double_directory(ix, s);
	if (error)
		return error;
	half[0] = leaf_new(ix, leaf->depth + 1);
	half[1] = leaf_new(ix, leaf->depth + 1);
	error = half[0] && half[1] ? distribute(leaf, half) : -ENOMEM;
	if (error) {
		leaf_free(half[0]);
		leaf_free(half[1]);
		return error;
	}
	d = s->directory;
	n = (size_t)1 << (d->depth - leaf->depth);
	first = directory_place(d, hash) & ~(n - 1);
	/* Left odd for ever: who looks into the old leaf later must look again. */
	leaf_change(leaf);
	for (i = 0; i < n; i++)
		port_store_release(&d->leaf[first + i], half[i >= n / 2]);
	s->leaves++;
	s->splits++;
	if (s->longest < leaf->table->count)
		s->longest = leaf->table->count;
	leaf->item.free = leaf_reclaim;
	epoch_retire(ix->epoch, &leaf->item);
	return 0;
}

int hash_index_insert(struct hash_index *ix, uint64_t hash, uint64_t address)
{
	struct hash_shard *s = &ix->shard[hash_index_shard(hash)];
	int error;

	for (;;) {
		struct hash_leaf *leaf = leaf_of(ix, hash);

		error = -ENOSPC;
		if (leaf->table->count < ix->limit) {
			leaf_change(leaf);
			error = leaf->table->ops->insert(leaf->table, hash, address);
			leaf_changed(leaf);
		}
		if (error != -ENOSPC)
			return error;
		error = split(ix, s, hash);
		if (error)
			return error;
	}
}

bool hash_index_replace(struct hash_index *ix, uint64_t hash, uint64_t from, uint64_t to)
{
	struct hash_leaf *leaf = leaf_of(ix, hash);
	bool done;

	leaf_change(leaf);
	done = leaf->table->ops->replace(leaf->table, hash, from, to);
	leaf_changed(leaf);
	return done;
}

bool hash_index_remove(struct hash_index *ix, uint64_t hash, uint64_t address)
{
	struct hash_leaf *leaf = leaf_of(ix, hash);
	bool done;

	leaf_change(leaf);
	done = leaf->table->ops->remove(leaf->table, hash, address);
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
	while (!error && leaf->table->ops->next(leaf->table, &cursor, &entry))
		error = fn(arg, &entry);
	*prefix += 1u << (DIRECTORY_BITS_MAX - leaf->depth);
	hash_index_unlock(ix, shard);
	return error;
}

void hash_index_stats(struct hash_index *ix, struct hash_index_stats *out)
{
	unsigned int i;

	*out = (struct hash_index_stats){ .bytes = sizeof(*ix) };
	for (i = 0; i < HASH_SHARDS; i++) {
		struct hash_shard *s = &ix->shard[i];
		size_t j, step;

		hash_index_lock(ix, i);
		out->leaves += s->leaves;
		out->splits += s->splits;
		if (out->longest_split_entries < s->longest)
			out->longest_split_entries = s->longest;
		out->bytes += sizeof(*s->directory) +
			      (sizeof(s->directory->leaf[0]) << s->directory->depth);
		for (j = 0; j < (size_t)1 << s->directory->depth; j += step) {
			const struct hash_leaf *leaf = s->directory->leaf[j];

			step = (size_t)1 << (s->directory->depth - leaf->depth);
			out->entries += leaf->table->count;
			out->bytes +=
				sizeof(*leaf) + leaf->table->ops->memory(leaf->table);
		}
		hash_index_unlock(ix, i);
	}
}
