/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_records.c - the record cache: see lsm_cache.h; what is done under a shard's lock is
 * in lsm_records_shard.c.
 *
 * A shard has an index and a ring. The index is buckets of one cache line: a version and seven
 * slots, each with a tag of the hash, the place of a record, and a mark. The ring holds the
 * records, appended one behind the other; what is oldest makes room. If it was hit since it
 * came, its mark says so, and it is appended once more: that is CLOCK, with a face of bytes.
 * So any sizes pack without gaps, and the memory is what was given.
 *
 * Who gets takes no lock: it notes the bucket's version, copies the record, and has it when the
 * version is still the same (a sequence lock). Who changes a bucket, holding the shard's lock,
 * makes its version odd, then changes slots, and writes a record that one of them names. A
 * place in the ring is written to again only after the slot that named it was cleared so;
 * the ring's memory is never unmapped meanwhile.
 */
#include "lsm_records_internal.h"

enum {
	SHARDS_MAX = 16,
	SHARD_BYTES =
		1 << 20, /* a shard has at least so many, unless it is the only one */
	BUCKET_SHARE = 128 * 5, /* bytes of budget for each bucket: five records in it */
	RECORD_MAX = 64 << 10,
	CHANCES = 16 << 10, /* bytes of marked records that stay, for one that comes */
	COUNTERS = 16,
	GROWTH = 4, /* times that it may grow, where there are addresses for it */
	HUGE_FROM = 4 << 20,
	RETRIES = 64,
};

struct counter { /* a line for each of some threads */
	_Alignas(LINE) uint64_t hits;
	uint64_t misses;
};

struct lsm_records {
	/* constant */
	unsigned int shards;
	size_t index_bytes;
	struct bucket *index; /* of all shards */
	/* atomic */
	_Alignas(LINE) uint64_t generation;
	struct counter counter[COUNTERS];
	struct shard shard[];
};

static inline struct shard *shard_of(const struct lsm_records *r, uint64_t hash)
{
	return (struct shard *)(uintptr_t)&r->shard[(hash >> 56) & (r->shards - 1)];
}

/* ---- getting ---- */

/* Threads have stacks of their own, so a stack's address spreads them over the counters. */
static struct counter *counter_of(struct lsm_records *r)
{
	uint64_t place = (uintptr_t)__builtin_frame_address(0) >> 16;

	return &r->counter[((place * 0x9e3779b97f4a7c15u) >> 56) % COUNTERS];
}

/* What a look at a bucket gave: 0, -ENOENT, -ENOMEM, or -EAGAIN: it was changed meanwhile. */
static int look_at_record(const struct shard *s, const struct bucket *b, uint64_t version,
			  uint64_t slot, struct kv_slice key, struct kv_buf *value)
{
	const struct record *rec = record_of(s, slot);
	uint32_t key_bytes, value_bytes;
	int error;

	port_optimistic_begin();
	key_bytes = port_load_relaxed(&rec->key_bytes);
	value_bytes = port_load_relaxed(&rec->value_bytes);
	port_optimistic_end();
	/* From here on the lengths are those of a record that was there. */
	if (port_read_again(&b->version) != version)
		return -EAGAIN;
	if (key_bytes != key.len)
		return -ENOENT;
	error = kv_buf_reserve(value, value_bytes);
	if (error)
		return error;
	port_optimistic_begin();
	error = key.len && memcmp(rec + 1, key.data, key.len) ? -ENOENT : 0;
	if (!error && value_bytes)
		memcpy(value->data, (const uint8_t *)(rec + 1) + key.len, value_bytes);
	port_optimistic_end();
	if (port_read_again(&b->version) != version)
		return -EAGAIN;
	if (!error)
		value->len = value_bytes;
	return error;
}

static int look_at_bucket(const struct shard *s, struct bucket *b, struct kv_slice key,
			  uint64_t hash, struct kv_buf *value)
{
	const uint64_t version = port_load_acquire(&b->version);
	int i, error;

	if (version & 1)
		return -EAGAIN;
	for (i = 0; i < SLOTS; i++) {
		uint64_t slot = port_load_relaxed(&b->slot[i]);

		if (!slot_may_be(slot, tag_of(hash)))
			continue;
		error = look_at_record(s, b, version, slot, key, value);
		if (error == -ENOENT)
			continue;
		if (!error && !(slot & SLOT_MARK))
			(void)port_cas(&b->slot[i], &slot, slot | SLOT_MARK);
		return error;
	}
	/* A slot may have been filled, or have moved, on the way. */
	return port_read_again(&b->version) == version ? -ENOENT : -EAGAIN;
}

int lsm_records_get(struct lsm_records *r, struct kv_slice key, uint64_t hash,
		    struct kv_buf *value)
{
	struct counter *counter;
	struct shard *s;
	int error, tries;

	value->len = 0;
	if (!r)
		return -ENOENT;
	s = shard_of(r, hash);
	for (tries = 0; tries < RETRIES; tries++) {
		error = look_at_bucket(s, bucket_of(s, hash), key, hash, value);
		if (error != -EAGAIN)
			break;
	}
	counter = counter_of(r);
	if (error == -ENOMEM)
		return error;
	(void)port_fetch_add(error ? &counter->misses : &counter->hits, (uint64_t)1);
	return error ? -ENOENT : 0;
}

void lsm_records_prefetch(const struct lsm_records *r, uint64_t hash)
{
	if (r)
		__builtin_prefetch(bucket_of(shard_of(r, hash), hash));
}

/* ---- making and freeing ---- */

/* Bytes of a shard's ring when all have so many: what the index leaves. */
static uint64_t ring_bytes(const struct lsm_records *r, uint64_t bytes)
{
	const uint64_t left = bytes > r->index_bytes ? bytes - r->index_bytes : 0;
	const uint64_t ring = left / r->shards / UNIT * UNIT;

	return ring > 2 * UNIT ? ring : 2 * UNIT;
}

static int shard_init(struct shard *s, uint64_t bytes, bool lock)
{
	int error;

	port_mutex_init(&s->lock);
	s->capacity = s->wanted = bytes;
	s->chances = bytes / 4 < CHANCES ? bytes / 4 : CHANCES;
	s->moving = port_alloc_aligned(UNIT, s->chances);
	if (!s->moving)
		return -ENOMEM;
	error = port_range_reserve(&s->ring,
				   port_range_is_free() ? bytes * GROWTH : bytes, bytes,
				   (bytes >= HUGE_FROM ? PORT_RANGE_HUGE : 0u) |
					   (lock ? PORT_RANGE_LOCK : 0u));
	if (!error)
		error = port_range_grow(&s->ring, bytes);
	s->base = s->ring.base;
	return error ? -ENOMEM : 0;
}

static int index_new(struct lsm_records *r, uint64_t buckets)
{
	unsigned int i;

	r->index_bytes = buckets * r->shards * sizeof(struct bucket);
	if (r->index_bytes >= PORT_HUGE_BYTES) {
		r->index_bytes = (r->index_bytes + PORT_HUGE_BYTES - 1) /
				 PORT_HUGE_BYTES * PORT_HUGE_BYTES;
		r->index = port_alloc_huge(r->index_bytes);
	} else {
		r->index = port_alloc_aligned(LINE, r->index_bytes);
	}
	if (!r->index)
		return -ENOMEM;
	memset(r->index, 0, r->index_bytes);
	for (i = 0; i < r->shards; i++) {
		r->shard[i].bucket = r->index + i * buckets;
		r->shard[i].buckets = buckets;
	}
	return 0;
}

int lsm_records_new(uint64_t bytes, bool lock, struct lsm_records **out)
{
	unsigned int shards = 1, i;
	struct lsm_records *r;
	size_t whole;
	int error;

	*out = NULL;
	if (!bytes)
		return 0;
	while (shards < SHARDS_MAX && (uint64_t)SHARD_BYTES * shards * 2 <= bytes)
		shards *= 2;
	whole = sizeof(*r) + shards * sizeof(struct shard);
	r = port_alloc_aligned(LINE, whole);
	if (!r)
		return -ENOMEM;
	memset(r, 0, whole);
	r->shards = shards;
	error = index_new(r, bytes / shards / BUCKET_SHARE + 1);
	for (i = 0; i < shards && !error; i++)
		error = shard_init(&r->shard[i], ring_bytes(r, bytes), lock);
	if (error)
		lsm_records_free(r);
	else
		*out = r;
	return error;
}

void lsm_records_free(struct lsm_records *r)
{
	unsigned int i;

	if (!r)
		return;
	for (i = 0; i < r->shards; i++) {
		struct shard *s = &r->shard[i];

		if (!s->wanted) /* the making ended before it */
			break;
		port_range_release(&s->ring);
		port_free_aligned(s->moving);
		port_mutex_destroy(&s->lock);
	}
	if (r->index_bytes >= PORT_HUGE_BYTES)
		port_free_huge(r->index, r->index_bytes);
	else
		port_free_aligned(r->index);
	port_free_aligned(r);
}

void lsm_records_resize(struct lsm_records *r, uint64_t bytes)
{
	unsigned int i;

	for (i = 0; r && i < r->shards; i++) {
		struct shard *s = &r->shard[i];
		uint64_t ring = ring_bytes(r, bytes);

		port_mutex_lock(&s->lock);
		if (ring > s->ring.bytes)
			ring = s->ring.bytes / UNIT * UNIT;
		s->wanted = ring;
		if (ring < s->capacity) {
			lsm_shard_clear(s);
			s->capacity = ring;
			port_range_discard(&s->ring, ring, s->ring.ready);
		}
		lsm_shard_grow(s);
		port_mutex_unlock(&s->lock);
	}
}

/* ---- changing ---- */

uint64_t lsm_records_generation(const struct lsm_records *r)
{
	return r ? port_load_acquire(&r->generation) : 0;
}

void lsm_records_turn(struct lsm_records *r)
{
	if (r)
		(void)port_fetch_add(&r->generation, (uint64_t)1);
}

void lsm_records_remove(struct lsm_records *r, struct kv_slice key, uint64_t hash)
{
	struct shard *s;
	struct bucket *b;
	int i;

	if (!r)
		return;
	s = shard_of(r, hash);
	b = bucket_of(s, hash);
	port_mutex_lock(&s->lock);
	i = lsm_shard_find(s, b, key, hash);
	if (i >= 0)
		lsm_shard_forget(s, b, i);
	port_mutex_unlock(&s->lock);
}

void lsm_records_clear(struct lsm_records *r)
{
	unsigned int i;

	for (i = 0; r && i < r->shards; i++) {
		port_mutex_lock(&r->shard[i].lock);
		lsm_shard_clear(&r->shard[i]);
		port_mutex_unlock(&r->shard[i].lock);
	}
}

/* The generation is looked at under the lock: whoever raised it removes its keys later, or has
 * removed this one, under the same lock. */
static bool may_come_in(const struct lsm_records *r, const struct shard *s,
			struct kv_slice key, uint64_t hash, uint64_t bytes,
			uint64_t generation)
{
	return port_load_acquire(&r->generation) == generation &&
	       bytes <= s->capacity / 8 &&
	       lsm_shard_find(s, bucket_of(s, hash), key, hash) < 0;
}

void lsm_records_offer(struct lsm_records *r, struct kv_slice key, uint64_t hash,
		       struct kv_slice value, uint64_t generation)
{
	struct shard *s;
	uint64_t bytes;

	if (!r || key.len > RECORD_MAX || value.len > RECORD_MAX)
		return;
	s = shard_of(r, hash);
	bytes = record_bytes(key.len, value.len);
	port_mutex_lock(&s->lock);
	if (may_come_in(r, s, key, hash, bytes, generation)) {
		while (!lsm_shard_has_room(s, bytes + s->moving_bytes))
			lsm_shard_drop_oldest(s);
		lsm_shard_append_moving(s);
		lsm_shard_append(s, key, hash, value);
		s->inserts++;
	}
	port_mutex_unlock(&s->lock);
}

void lsm_records_stats(struct lsm_records *r, struct lsm_cache_stats *out)
{
	unsigned int i;

	*out = (struct lsm_cache_stats){ 0 };
	if (!r)
		return;
	for (i = 0; i < COUNTERS; i++) {
		out->hits += port_load_relaxed(&r->counter[i].hits);
		out->misses += port_load_relaxed(&r->counter[i].misses);
	}
	out->bytes = r->index_bytes;
	for (i = 0; i < r->shards; i++) {
		struct shard *s = &r->shard[i];

		port_mutex_lock(&s->lock);
		out->bytes += s->used;
		out->locked_bytes += s->ring.locked;
		out->blocks += s->blocks;
		out->inserts += s->inserts;
		out->evictions += s->evictions;
		port_mutex_unlock(&s->lock);
	}
}
