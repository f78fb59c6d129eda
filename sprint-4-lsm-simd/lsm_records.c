/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_records.c - the record cache: see lsm_cache.h.
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
#include "lsm_cache.h"

#include "../sprint-1-core-memory/port_range.h"

enum {
	LINE = 64,
	SLOTS = 7,
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

/* A slot: tag, mark, place in the ring in units of 16 bytes, plus one; 0 when it is free. */
#define SLOT_MARK  ((uint64_t)1 << 47)
#define SLOT_PLACE (SLOT_MARK - 1)

struct bucket {
	uint64_t version; /* odd while it is changed */
	uint64_t slot[SLOTS];
};

_Static_assert(sizeof(struct bucket) == LINE, "a bucket is one cache line");

struct record { /* in the ring, at a multiple of 16; then the key, then the value */
	uint64_t hash;
	uint32_t key_bytes, value_bytes;
};

enum { UNIT = sizeof(struct record) };
#define PADDING UINT32_MAX /* as key_bytes: nothing, of value_bytes whole units */

struct shard {
	/* constant */
	_Alignas(LINE) struct bucket *bucket; /* atomic */
	uint64_t buckets;
	uint8_t *base;  /* of the ring */
	size_t chances; /* bytes of `moving` */
	/* protected by lock */
	_Alignas(LINE) struct port_mutex lock;
	struct port_range ring;
	uint64_t capacity,
		wanted; /* of the ring: as it is, and as soon as it is in one piece */
	uint64_t head, tail,
		used; /* where the next one goes; the oldest one; bytes between */
	uint64_t blocks, inserts, evictions;
	uint8_t *moving; /* records that are to stay */
	size_t moving_bytes;
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

static inline struct bucket *bucket_of(const struct shard *s, uint64_t hash)
{
	return &s->bucket[((uint32_t)hash * s->buckets) >> 32];
}

static inline uint64_t tag_of(uint64_t hash)
{
	return hash >> 32 << 48;
}

static inline struct record *record_of(const struct shard *s, uint64_t slot)
{
	return (struct record *)(void *)(s->base + ((slot & SLOT_PLACE) - 1) * UNIT);
}

static inline bool slot_may_be(uint64_t slot, uint64_t tag)
{
	return slot && (slot ^ tag) >> 48 == 0;
}

static uint64_t record_bytes(uint64_t key_bytes, uint64_t value_bytes)
{
	return (UNIT + key_bytes + value_bytes + UNIT - 1) / UNIT * UNIT;
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

/* ---- under a shard's lock: the index ---- */

static int find_slot(const struct shard *s, const struct bucket *b, struct kv_slice key,
		     uint64_t hash)
{
	int i;

	for (i = 0; i < SLOTS; i++) {
		const uint64_t slot = port_load_relaxed(&b->slot[i]);
		const struct record *rec;

		if (!slot_may_be(slot, tag_of(hash)))
			continue;
		rec = record_of(s, slot);
		if (rec->key_bytes == key.len &&
		    (!key.len || !memcmp(rec + 1, key.data, key.len)))
			return i;
	}
	return -1;
}

/* The slot that names this place. */
static int find_place(const struct shard *s, const struct bucket *b,
		      const struct record *rec)
{
	int i;

	for (i = 0; i < SLOTS; i++) {
		const uint64_t slot = port_load_relaxed(&b->slot[i]);

		if (slot && record_of(s, slot) == rec)
			return i;
	}
	return -1;
}

static void clear_slot(struct shard *s, struct bucket *b, int i)
{
	port_write_begin(&b->version);
	port_store_relaxed(&b->slot[i], (uint64_t)0);
	port_write_end(&b->version);
	s->blocks--;
}

/* How many bytes in front of slot's record the ring's oldest one stands. */
static uint64_t youth_of(const struct shard *s, uint64_t slot)
{
	const uint64_t place = ((slot & SLOT_PLACE) - 1) * UNIT;

	return place >= s->tail ? place - s->tail : place + s->capacity - s->tail;
}

/* Which of a full bucket's records goes: the oldest of those that were not hit. */
static int slot_to_go(const struct shard *s, const struct bucket *b)
{
	uint64_t least = UINT64_MAX;
	int i, oldest = 0;

	for (i = 0; i < SLOTS; i++) {
		const uint64_t slot = port_load_relaxed(&b->slot[i]);
		const uint64_t marked = slot & SLOT_MARK; /* more than any place */

		if ((youth_of(s, slot) | marked) < least) {
			least = youth_of(s, slot) | marked;
			oldest = i;
		}
	}
	return oldest;
}

static int free_slot(struct shard *s, struct bucket *b)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (!port_load_relaxed(&b->slot[i]))
			return i;
	i = slot_to_go(s, b);
	clear_slot(s, b, i);
	s->evictions++;
	return i;
}

/* ---- under a shard's lock: the ring ---- */

static void try_to_grow(struct shard *s)
{
	if (s->wanted > s->capacity && s->head >= s->tail &&
	    !(s->used && s->head == s->tail) && !port_range_grow(&s->ring, s->wanted))
		s->capacity = s->wanted;
}

/* Little of the ring, so that all that moves and one more have room in it. */
static size_t chances_of(const struct shard *s)
{
	return s->capacity / 4 < s->chances ? s->capacity / 4 : s->chances;
}

/* The oldest record leaves the ring; one that was hit is kept in `moving` if there is room. */
static void drop_oldest(struct shard *s)
{
	const struct record *rec = (const void *)(s->base + s->tail);
	uint64_t bytes = rec->value_bytes;

	if (rec->key_bytes != PADDING) {
		struct bucket *b = bucket_of(s, rec->hash);
		int i = find_place(s, b, rec);

		bytes = record_bytes(rec->key_bytes, rec->value_bytes);
		if (i >= 0 && port_load_relaxed(&b->slot[i]) & SLOT_MARK &&
		    bytes + s->moving_bytes <= chances_of(s)) {
			memcpy(s->moving + s->moving_bytes, rec, bytes);
			s->moving_bytes += bytes;
		} else if (i >= 0) {
			s->evictions++;
		}
		if (i >= 0)
			clear_slot(s, b, i);
	}
	s->used -= bytes;
	s->tail += bytes;
	if (s->tail == s->capacity)
		s->tail = 0;
	if (!s->used)
		s->head = s->tail = 0;
	try_to_grow(s);
}

/* Is there room for so many bytes in one piece? Goes to the ring's begin for it. */
static bool has_room(struct shard *s, uint64_t bytes)
{
	if (s->used && s->head <= s->tail)
		return s->tail - s->head >= bytes;
	if (s->capacity - s->head >= bytes)
		return true;
	if (s->head < s->capacity) {
		struct record *pad = (void *)(s->base + s->head);

		/* No slot names this place. */
		port_store_relaxed(&pad->key_bytes, PADDING);
		port_store_relaxed(&pad->value_bytes, (uint32_t)(s->capacity - s->head));
		s->used += s->capacity - s->head;
	}
	s->head = 0;
	return s->tail >= bytes;
}

/* There is room. */
static void append(struct shard *s, struct kv_slice key, uint64_t hash,
		   struct kv_slice value)
{
	const uint64_t bytes = record_bytes(key.len, value.len);
	struct record *rec = (void *)(s->base + s->head);
	struct bucket *b = bucket_of(s, hash);
	const int i = free_slot(s, b);

	port_write_begin(&b->version);
	port_store_relaxed(&rec->hash, hash);
	port_store_relaxed(&rec->key_bytes, (uint32_t)key.len);
	port_store_relaxed(&rec->value_bytes, (uint32_t)value.len);
	if (key.len)
		memcpy(rec + 1, key.data, key.len);
	if (value.len)
		memcpy((uint8_t *)(rec + 1) + key.len, value.data, value.len);
	port_store_relaxed(&b->slot[i], tag_of(hash) | (s->head / UNIT + 1));
	port_write_end(&b->version);
	s->blocks++;
	s->used += bytes;
	s->head += bytes;
	if (s->head == s->capacity)
		s->head = 0;
}

static void append_moving(struct shard *s)
{
	size_t at = 0;

	while (at < s->moving_bytes) {
		const struct record *rec = (const void *)(s->moving + at);
		const uint8_t *key = (const uint8_t *)(rec + 1);

		append(s, kv_slice(key, rec->key_bytes), rec->hash,
		       kv_slice(key + rec->key_bytes, rec->value_bytes));
		at += record_bytes(rec->key_bytes, rec->value_bytes);
	}
	s->moving_bytes = 0;
}

static void clear_shard(struct shard *s)
{
	uint64_t i;

	for (i = 0; i < s->buckets; i++) {
		struct bucket *b = &s->bucket[i];
		int k;

		port_write_begin(&b->version);
		for (k = 0; k < SLOTS; k++)
			port_store_relaxed(&b->slot[k], (uint64_t)0);
		port_write_end(&b->version);
	}
	s->blocks = 0;
	s->head = s->tail = s->used = 0;
	try_to_grow(s);
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
			clear_shard(s);
			s->capacity = ring;
			port_range_discard(&s->ring, ring, s->ring.ready);
		}
		try_to_grow(s);
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
	i = find_slot(s, b, key, hash);
	if (i >= 0)
		clear_slot(s, b, i);
	port_mutex_unlock(&s->lock);
}

void lsm_records_clear(struct lsm_records *r)
{
	unsigned int i;

	for (i = 0; r && i < r->shards; i++) {
		port_mutex_lock(&r->shard[i].lock);
		clear_shard(&r->shard[i]);
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
	       find_slot(s, bucket_of(s, hash), key, hash) < 0;
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
		while (!has_room(s, bytes + s->moving_bytes))
			drop_oldest(s);
		append_moving(s);
		append(s, key, hash, value);
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
