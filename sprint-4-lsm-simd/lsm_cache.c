/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_cache.c - the block cache: see lsm_cache.h.
 *
 * A shard is a hash table with a list through it and a lock over both. The list has the order
 * in which blocks go: the last one first. A new block comes in as the first, a cold one as
 * the last. What a hit does is all that the policies differ in:
 *
 *   LRU    it moves the block to the front;
 *   CLOCK  it sets a mark. A block that is to go and is marked loses the mark and moves to the
 *          front instead (Corbato, "A Paging Experiment with the Multics System", 1968; this
 *          list is the clock's face, cut open at the hand).
 *
 * Blocks that begin in one page of a file stand in neighbouring buckets, so that a file's can
 * be found page by page when it is deleted.
 *
 * A block is one allocation, a line of header and the bytes. Its count of holders changes by
 * atomic additions, so that giving it back takes no lock; it only grows from zero under the
 * lock, so what the lock's owner sees without a holder has none. It comes from slabs of huge
 * pages where that was asked for and is worth it, and is charged with what it takes there.
 */
#include "lsm_cache.h"
#include "lsm_slab.h"

enum {
	LINE = 64,
	SHARDS_MAX = 64,
	SHARD_BYTES =
		4 << 20,     /* a shard has at least so many, where it is for us to say */
	BLOCK_BYTES = 4096,  /* what a block may be expected to have */
	PAGE = 4096,         /* of a file, whose blocks are neighbours */
	NEAR = 8,            /* buckets, that is a line, for a page; a power of two */
	HUGE_FROM = 8 << 20, /* bytes of a cache for which slabs pay */
	HOLDER = 2,          /* block.refs is HOLDER for each, and FINDABLE */
	FINDABLE = 1,
};

struct block {
	/* constant */
	uint64_t file, offset;
	size_t bytes;   /* header included */
	uint32_t slack; /* that its slab has beyond them */
	bool in_slab;
	/* protected by the shard's lock */
	struct block *next_in_bucket;
	struct block *newer,
		*older;  /* in the list; the shard's `list` is its both ends */
	uint32_t marked; /* by a hit */
	/* atomic */
	uint32_t refs;
};

_Static_assert(sizeof(struct block) <= LINE, "a block's header is one line");

struct shard {
	_Alignas(LINE) struct port_mutex lock;
	/* protected by lock */
	struct block **bucket;
	uint64_t mask; /* buckets, less one */
	struct block list;
	uint64_t bytes, blocks;
	uint64_t hits, misses, inserts, evictions, looks;
};

struct lsm_cache {
	/* constant */
	struct lsm_slabs *slabs; /* NULL: none */
	enum lsm_cache_policy policy;
	unsigned int shards;
	/* atomic */
	uint64_t bytes; /* the budget */
	uint64_t loose; /* held, but not to be found: new, or dropped */
	struct shard shard[];
};

static struct block *block_of(const struct lsm_block *b)
{
	return b->pin;
}

static void block_out(struct block *e, struct lsm_block *out)
{
	out->data = (const uint8_t *)e + LINE;
	out->bytes = e->bytes - LINE;
	out->pin = e;
}

static uint64_t charge_of(const struct block *e)
{
	return (uint64_t)e->bytes + e->slack;
}

static struct block *block_new(struct lsm_cache *c, size_t bytes)
{
	struct block *e = NULL;
	bool in_slab = c->slabs && bytes <= LSM_SLAB_MAX;

	if (in_slab)
		e = lsm_slabs_take(c->slabs, bytes);
	in_slab = e;
	if (!e)
		e = port_alloc_aligned(LINE, bytes);
	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	e->bytes = bytes;
	e->in_slab = in_slab;
	e->slack = in_slab ? (uint32_t)(lsm_slabs_room(bytes) - bytes) : 0;
	return e;
}

static void block_free(struct lsm_cache *c, struct block *e)
{
	if (e->in_slab)
		lsm_slabs_give(c->slabs, e);
	else
		port_free_aligned(e);
}

static uint64_t hash_of(uint64_t file, uint64_t offset)
{
	uint64_t h = (file * 0x9e3779b97f4a7c15u ^ offset / PAGE) * 0xd6e8feb86659fd93u;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h ^ (offset / (PAGE / NEAR) & (NEAR - 1));
}

/* The shard by the upper bits, the bucket in it by the lower ones. */
static struct shard *shard_of(struct lsm_cache *c, uint64_t hash)
{
	return &c->shard[(hash >> 40) & (c->shards - 1)];
}

/* ---- under a shard's lock ---- */

static struct block **bucket_of(const struct shard *s, uint64_t hash)
{
	return &s->bucket[hash & s->mask];
}

static struct block *find_block(const struct shard *s, uint64_t hash, uint64_t file,
				uint64_t offset)
{
	struct block *e = *bucket_of(s, hash);

	while (e && (e->offset != offset || e->file != file))
		e = e->next_in_bucket;
	return e;
}

static void list_remove(struct block *e)
{
	e->newer->older = e->older;
	e->older->newer = e->newer;
}

static void list_put(struct shard *s, struct block *e, bool last)
{
	e->newer = last ? s->list.newer : &s->list;
	e->older = last ? &s->list : s->list.older;
	e->newer->older = e;
	e->older->newer = e;
}

static void list_to_front(struct shard *s, struct block *e)
{
	list_remove(e);
	list_put(s, e, false);
}

/* Out of table and list. Nobody finds it any more; who holds it goes on. */
static void unlink_block(struct shard *s, struct block *e)
{
	struct block **p = bucket_of(s, hash_of(e->file, e->offset));

	while (*p != e)
		p = &(*p)->next_in_bucket;
	*p = e->next_in_bucket;
	list_remove(e);
	s->bytes -= charge_of(e);
	s->blocks--;
}

/* Drops e, and adds it to *gone when it is for the caller to free. */
static void drop_block(struct lsm_cache *c, struct shard *s, struct block *e,
		       struct block **gone)
{
	const uint64_t bytes = charge_of(e);

	unlink_block(s, e);
	(void)port_fetch_add(&c->loose, bytes);
	if (port_fetch_add(&e->refs, (uint32_t)-FINDABLE) == FINDABLE) {
		(void)port_fetch_add(&c->loose, (uint64_t)-bytes);
		e->next_in_bucket = *gone;
		*gone = e;
	}
}

static uint64_t shard_limit(const struct lsm_cache *c)
{
	const uint64_t bytes = port_load_relaxed(&c->bytes);
	const uint64_t loose = port_load_relaxed(&c->loose);

	return loose < bytes ? (bytes - loose) / c->shards : 0;
}

/* Until there is room for so many bytes, or nothing is left that may go. Each block is looked
 * at twice at most: marked or held ones go to the front. */
static void make_room(struct lsm_cache *c, struct shard *s, size_t bytes,
		      struct block **gone)
{
	/* EXERCISE 4.9 begin: from the last one on; marked and held ones stay */
	uint64_t looks = 2 * s->blocks;
	const uint64_t limit = shard_limit(c);

	while (s->bytes + bytes > limit && looks--) {
		struct block *e = s->list.newer; /* the last one */

		if (e->marked || port_load_acquire(&e->refs) != FINDABLE) {
			e->marked = 0;
			list_to_front(s, e);
			continue;
		}
		drop_block(c, s, e, gone);
		s->evictions++;
	}
	/* EXERCISE 4.9 end */
}

static void free_blocks(struct lsm_cache *c, struct block *gone)
{
	struct block *next;

	for (; gone; gone = next) {
		next = gone->next_in_bucket;
		block_free(c, gone);
	}
}

/* Twice the buckets, where there is memory for them: else chains grow a little longer. */
static void grow_table(struct shard *s)
{
	const uint64_t n = (s->mask + 1) * 2;
	struct block **bucket = port_alloc(n * sizeof(*bucket)), *e;

	if (!bucket)
		return;
	memset(bucket, 0, n * sizeof(*bucket));
	port_free(s->bucket);
	s->bucket = bucket;
	s->mask = n - 1;
	for (e = s->list.older; e != &s->list; e = e->older) {
		struct block **p = bucket_of(s, hash_of(e->file, e->offset));

		e->next_in_bucket = *p;
		*p = e;
	}
}

/* ---- making and freeing ---- */

static int shard_init(struct shard *s, uint64_t bytes)
{
	uint64_t n = 16;

	while (n * BLOCK_BYTES < bytes)
		n *= 2;
	s->bucket = port_alloc(n * sizeof(*s->bucket));
	if (!s->bucket)
		return -ENOMEM;
	memset(s->bucket, 0, n * sizeof(*s->bucket));
	s->mask = n - 1;
	s->list.newer = s->list.older = &s->list;
	port_mutex_init(&s->lock);
	return 0;
}

static unsigned int choose_shards(const struct lsm_cache_config *config)
{
	unsigned int n = 1;

	if (config->shards)
		return config->shards;
	while (n < SHARDS_MAX && (uint64_t)SHARD_BYTES * n * 2 <= config->bytes)
		n *= 2;
	return n;
}

int lsm_cache_new(const struct lsm_cache_config *config, struct lsm_cache **out)
{
	const unsigned int shards = choose_shards(config);
	const size_t bytes = sizeof(struct lsm_cache) + shards * sizeof(struct shard);
	struct lsm_cache *c;

	if (shards & (shards - 1))
		return -EINVAL;
	c = port_alloc_aligned(LINE, bytes);
	if (!c)
		return -ENOMEM;
	memset(c, 0, bytes);
	c->policy = config->policy;
	c->bytes = config->bytes;
	if ((config->huge || config->lock) && config->bytes >= HUGE_FROM &&
	    lsm_slabs_new(config->lock, &c->slabs)) {
		lsm_cache_free(c);
		return -ENOMEM;
	}
	for (; c->shards < shards; c->shards++) {
		int error = shard_init(&c->shard[c->shards], config->bytes / shards);

		if (error) {
			lsm_cache_free(c);
			return error;
		}
	}
	*out = c;
	return 0;
}

void lsm_cache_free(struct lsm_cache *c)
{
	unsigned int i;

	if (!c)
		return;
	for (i = 0; i < c->shards; i++) {
		struct shard *s = &c->shard[i];
		struct block *gone = NULL;

		while (s->blocks)
			drop_block(c, s, s->list.newer, &gone);
		free_blocks(c, gone);
		port_mutex_destroy(&s->lock);
		port_free(s->bucket);
	}
	lsm_slabs_free(c->slabs);
	port_free_aligned(c);
}

void lsm_cache_resize(struct lsm_cache *c, uint64_t bytes)
{
	unsigned int i;

	port_store_release(&c->bytes, bytes);
	for (i = 0; i < c->shards; i++) {
		struct block *gone = NULL;

		port_mutex_lock(&c->shard[i].lock);
		make_room(c, &c->shard[i], 0, &gone);
		port_mutex_unlock(&c->shard[i].lock);
		free_blocks(c, gone);
	}
}

/* ---- what readers do ---- */

bool lsm_cache_find(struct lsm_cache *c, uint64_t file, uint64_t offset,
		    struct lsm_block *out)
{
	/* EXERCISE 4.9 begin: a hit: one holder more, and what the policy does
	 *|	return false;
	 */
	const uint64_t hash = hash_of(file, offset);
	struct shard *s = shard_of(c, hash);
	struct block *e;

	port_mutex_lock(&s->lock);
	e = find_block(s, hash, file, offset);
	if (e) {
		(void)port_fetch_add(&e->refs, (uint32_t)HOLDER);
		s->hits++;
		if (c->policy == LSM_LRU)
			list_to_front(s, e);
		else
			e->marked = 1;
	} else {
		s->misses++;
	}
	port_mutex_unlock(&s->lock);
	if (e)
		block_out(e, out);
	return e;
	/* EXERCISE 4.9 end */
}

int lsm_cache_alloc(struct lsm_cache *c, size_t bytes, struct lsm_block *out)
{
	struct block *e = NULL;

	if (bytes <= SIZE_MAX - 2 * (size_t)LINE)
		e = block_new(c, LINE + bytes);
	if (!e)
		return -ENOMEM;
	e->refs = HOLDER;
	(void)port_fetch_add(&c->loose, charge_of(e));
	block_out(e, out);
	return 0;
}

/* Another thread's block of the same place, held; or NULL, and e is in. */
static struct block *insert_block(struct lsm_cache *c, struct shard *s, struct block *e,
				  uint64_t hash, bool cold, struct block **gone)
{
	/* EXERCISE 4.9 begin: somebody may have been first
	 *|	return NULL;
	 */
	struct block *first = find_block(s, hash, e->file, e->offset);

	if (first) {
		(void)port_fetch_add(&first->refs, (uint32_t)HOLDER);
		return first;
	}
	(void)port_fetch_add(&c->loose, -charge_of(e));
	make_room(c, s, charge_of(e), gone);
	if (charge_of(e) >
	    shard_limit(c)) { /* it stays loose, and goes with its last holder */
		(void)port_fetch_add(&c->loose, charge_of(e));
		return NULL;
	}
	if (s->blocks > 2 * s->mask)
		grow_table(s);
	(void)port_fetch_add(&e->refs, (uint32_t)FINDABLE);
	e->next_in_bucket = *bucket_of(s, hash);
	*bucket_of(s, hash) = e;
	list_put(s, e, cold);
	s->bytes += charge_of(e);
	s->blocks++;
	s->inserts++;
	return NULL;
	/* EXERCISE 4.9 end */
}

void lsm_cache_insert(struct lsm_cache *c, uint64_t file, uint64_t offset, bool cold,
		      struct lsm_block *b)
{
	const uint64_t hash = hash_of(file, offset);
	struct shard *s = shard_of(c, hash);
	struct block *e = block_of(b), *first, *gone = NULL;

	e->file = file;
	e->offset = offset;
	port_mutex_lock(&s->lock);
	first = insert_block(c, s, e, hash, cold, &gone);
	port_mutex_unlock(&s->lock);
	free_blocks(c, gone);
	if (first) {
		lsm_cache_release(c, b);
		block_out(first, b);
	}
}

void lsm_cache_release(struct lsm_cache *c, struct lsm_block *b)
{
	/* EXERCISE 4.9 begin: the last holder of a loose block frees it
	 *|	*b = (struct lsm_block){ NULL, 0, NULL };
	 */
	struct block *e = block_of(b);

	if (!e)
		return;
	/* The last holder of what cannot be found any more. */
	if (port_fetch_add(&e->refs, (uint32_t)-HOLDER) == HOLDER) {
		(void)port_fetch_add(&c->loose, -charge_of(e));
		block_free(c, e);
	}
	*b = (struct lsm_block){ NULL, 0, NULL };
	/* EXERCISE 4.9 end */
}

static uint64_t blocks_of(struct lsm_cache *c)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < c->shards; i++) {
		port_mutex_lock(&c->shard[i].lock);
		n += c->shard[i].blocks;
		port_mutex_unlock(&c->shard[i].lock);
	}
	return n;
}

static void forget_page(struct lsm_cache *c, uint64_t file, uint64_t page)
{
	const uint64_t hash = hash_of(file, page * PAGE);
	struct shard *s = shard_of(c, hash);
	struct block *e, *next, *gone = NULL;
	unsigned int i;

	port_mutex_lock(&s->lock);
	for (i = 0; i < NEAR; i++) {
		for (e = *bucket_of(s, hash ^ i); e; e = next) {
			next = e->next_in_bucket;
			s->looks++;
			if (e->file == file)
				drop_block(c, s, e, &gone);
		}
	}
	port_mutex_unlock(&s->lock);
	free_blocks(c, gone);
}

static void forget_by_walking(struct lsm_cache *c, uint64_t file)
{
	unsigned int i;

	for (i = 0; i < c->shards; i++) {
		struct shard *s = &c->shard[i];
		struct block *e, *older, *gone = NULL;

		port_mutex_lock(&s->lock);
		for (e = s->list.older; e != &s->list; e = older) {
			older = e->older;
			s->looks++;
			if (e->file == file)
				drop_block(c, s, e, &gone);
		}
		port_mutex_unlock(&s->lock);
		free_blocks(c, gone);
	}
}

void lsm_cache_forget(struct lsm_cache *c, uint64_t file, uint64_t bytes)
{
	const uint64_t last = bytes / PAGE;
	uint64_t page;

	if (last >= blocks_of(c)) {
		forget_by_walking(c, file);
		return;
	}
	for (page = 0; page <= last; page++)
		forget_page(c, file, page);
}

void lsm_cache_stats(struct lsm_cache *c, struct lsm_cache_stats *out)
{
	unsigned int i;

	*out = (struct lsm_cache_stats){ 0 };
	out->held_bytes = port_load_acquire(&c->loose);
	out->bytes = out->held_bytes;
	out->locked_bytes = c->slabs ? lsm_slabs_locked(c->slabs) : 0;
	for (i = 0; i < c->shards; i++) {
		struct shard *s = &c->shard[i];
		struct block *e;

		port_mutex_lock(&s->lock);
		out->hits += s->hits;
		out->misses += s->misses;
		out->inserts += s->inserts;
		out->evictions += s->evictions;
		out->forget_looks += s->looks;
		out->bytes += s->bytes;
		out->blocks += s->blocks;
		for (e = s->list.older; e != &s->list; e = e->older)
			if (port_load_acquire(&e->refs) != FINDABLE)
				out->held_bytes += charge_of(e);
		port_mutex_unlock(&s->lock);
	}
}
