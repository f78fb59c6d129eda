/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_records_shard.c - index and ring of a shard of the record cache, under its lock: see
 * lsm_records.c for the idea.
 */
#include "lsm_records_internal.h"

/* ---- the index ---- */

int lsm_shard_find(const struct shard *s, const struct bucket *b, struct kv_slice key,
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

void lsm_shard_forget(struct shard *s, struct bucket *b, int i)
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
	lsm_shard_forget(s, b, i);
	s->evictions++;
	return i;
}

/* ---- the ring ---- */

void lsm_shard_grow(struct shard *s)
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

void lsm_shard_drop_oldest(struct shard *s)
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
			lsm_shard_forget(s, b, i);
	}
	s->used -= bytes;
	s->tail += bytes;
	if (s->tail == s->capacity)
		s->tail = 0;
	if (!s->used)
		s->head = s->tail = 0;
	lsm_shard_grow(s);
}

bool lsm_shard_has_room(struct shard *s, uint64_t bytes)
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

void lsm_shard_append(struct shard *s, struct kv_slice key, uint64_t hash,
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

void lsm_shard_append_moving(struct shard *s)
{
	size_t at = 0;

	while (at < s->moving_bytes) {
		const struct record *rec = (const void *)(s->moving + at);
		const uint8_t *key = (const uint8_t *)(rec + 1);

		lsm_shard_append(s, kv_slice(key, rec->key_bytes), rec->hash,
				 kv_slice(key + rec->key_bytes, rec->value_bytes));
		at += record_bytes(rec->key_bytes, rec->value_bytes);
	}
	s->moving_bytes = 0;
}

void lsm_shard_clear(struct shard *s)
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
	lsm_shard_grow(s);
}
