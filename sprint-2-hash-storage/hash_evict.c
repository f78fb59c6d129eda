/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_evict.c - a store as a cache: pairs are dropped to make room for others.
 *
 * What was written longest ago goes first, a segment of the log at a time, for then all of the
 * segment is dead and costs no moving (first in, first out, as in flash caches: McAllister et
 * al., "Kangaroo", 2021). A pair that cleaning has moved counts as written then. Dropping is
 * deleting: readers, snapshots and recovery know of nothing new.
 *
 * The keys are noted while nobody else cleans, so that the segment stays; the deletes come
 * after that, because they may need cleaning themselves.
 */
#include "hash_store.h"

struct eviction {
	struct hash_store *store;
	struct log_segment oldest; /* of those from number next on */
	uint64_t next;
	bool found;
	struct kv_buf keys; /* each: its length (4), then itself */
	uint64_t bytes;     /* of their records */
	uint64_t pairs;
};

static int note_oldest(void *arg, const struct log_segment *seg)
{
	struct eviction *e = arg;

	if (seg->number < e->next || !seg->sealed || seg->damaged || !seg->live)
		return 0;
	e->oldest = *seg;
	e->found = true;
	return 1;
}

/* Of a pair whose newest version this is. */
static int note_key(void *arg, const struct log_record *r)
{
	struct eviction *e = arg;
	struct hash_store *s = e->store;
	struct hash_record h;
	uint8_t len[4];
	uint64_t hash;
	bool lives;
	int error;

	if ((r->type & HASH_TYPE) != HASH_PUT)
		return 0;
	error = hash_record_parse(r, &h);
	if (error)
		return error;
	hash = hash_key(s, h.key);
	hash_index_lock(s->index, hash_index_shard(hash));
	lives = hash_index_holds(s->index, hash, r->position / LOG_ALIGN);
	hash_index_unlock(s->index, hash_index_shard(hash));
	if (!lives)
		return 0;
	port_put_le32(len, (uint32_t)h.key.len);
	error = kv_buf_append(&e->keys, len, sizeof(len));
	if (!error)
		error = kv_buf_append(&e->keys, h.key.data, h.key.len);
	e->bytes += r->end - r->position;
	return error;
}

/* Of the first segment that has any: others may have deleted what stood in one, and a
 * snapshot may hold what nobody else sees. */
static int note_keys(struct eviction *e)
{
	struct hash_store *s = e->store;
	int error = 0;

	port_mutex_lock(&s->lock);
	hash_work_take(s);
	port_mutex_unlock(&s->lock);
	do {
		e->found = false;
		(void)log_segments(s->log, note_oldest, e);
		if (e->found)
			error = log_scan(s->log, e->oldest.number, note_key, e, NULL);
		e->next = e->oldest.number + 1;
	} while (!error && e->found && !e->keys.len);
	port_mutex_lock(&s->lock);
	hash_work_give(s, 0);
	port_mutex_unlock(&s->lock);
	return error;
}

static int delete_keys(struct eviction *e)
{
	const uint8_t *p = e->keys.data, *end = p + e->keys.len;
	int error = 0;

	while (!error && p < end) {
		size_t len = port_get_le32(p);
		struct kv_op op = { .type = KV_DELETE, .key = { p + 4, len } };

		error = hash_write(&e->store->base, &op, 1, KV_NONE);
		e->pairs += !error;
		p += 4 + len;
	}
	return error;
}

/* *bytes and *pairs grow by what went; both stay when nothing could. Under evict_lock: the room
 * that is kept for deletes is enough for one. */
static int evict_oldest(struct hash_store *s, uint64_t *bytes, uint64_t *pairs)
{
	struct eviction e = { .store = s };
	int error = note_keys(&e);

	if (!error)
		error = delete_keys(&e);
	kv_buf_free(&e.keys);
	*bytes += e.bytes;
	*pairs += e.pairs;
	port_mutex_lock(&s->lock);
	s->stat_evicted += e.pairs;
	port_mutex_unlock(&s->lock);
	return error;
}

/* Who waited for another's eviction tries its own luck first. */
int hash_evict_segment(struct hash_store *s)
{
	uint64_t bytes = 0, pairs = 0, before = port_load_acquire(&s->evictions);
	int error = 0;

	port_mutex_lock(&s->evict_lock);
	if (s->evictions == before) {
		error = evict_oldest(s, &bytes, &pairs);
		if (!error && !pairs)
			error = -ENOSPC;
		if (!error)
			port_store_release(&s->evictions, before + 1);
	}
	port_mutex_unlock(&s->evict_lock);
	return error;
}

int hash_evict(struct kv *kv, uint64_t bytes, uint64_t *evicted)
{
	struct hash_store *s = hash_store(kv);
	uint64_t gone = 0, before, pairs = 0;
	int error = 0;

	while (!error && gone < bytes) {
		before = gone;
		port_mutex_lock(&s->evict_lock);
		error = evict_oldest(s, &gone, &pairs);
		port_mutex_unlock(&s->evict_lock);
		if (gone == before)
			break;
		if (!error)
			error = hash_make_space(s);
		if (error == -ENOSPC) /* a snapshot or a reader is in the way */
			error = 0;
	}
	hash_cleaner_wake(s);
	if (evicted)
		*evicted = pairs;
	return error;
}
