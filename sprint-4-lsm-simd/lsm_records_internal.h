/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_records_internal.h - a shard of the record cache: what lsm_records.c, which finds records
 * without a lock and says what comes in, and lsm_records_shard.c, which keeps index and ring in
 * step, have in common.
 */
#ifndef LSM_RECORDS_INTERNAL_H
#define LSM_RECORDS_INTERNAL_H

#include "lsm_cache.h"

#include "../sprint-1-core-memory/port_range.h"

enum { LINE = 64, SLOTS = 7 };

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

/* ---- lsm_records_shard.c: all under the shard's lock ---- */

/* The slot of the bucket that has this key; -1: none. */
int lsm_shard_find(const struct shard *s, const struct bucket *b, struct kv_slice key,
		   uint64_t hash);
void lsm_shard_forget(struct shard *s, struct bucket *b, int i);
/* The ring gets what it is to have, if it is in one piece. */
void lsm_shard_grow(struct shard *s);
/* The oldest record leaves the ring; one that was hit is kept in `moving` if there is room. */
void lsm_shard_drop_oldest(struct shard *s);
/* Is there room for so many bytes in one piece? Goes to the ring's begin for it. */
bool lsm_shard_has_room(struct shard *s, uint64_t bytes);
/* There is room. */
void lsm_shard_append(struct shard *s, struct kv_slice key, uint64_t hash,
		      struct kv_slice value);
void lsm_shard_append_moving(struct shard *s);
void lsm_shard_clear(struct shard *s);

#endif /* LSM_RECORDS_INTERNAL_H */
