/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_write.c - put, delete, batches: append to the log, then point the index at it.
 *
 * Both happen under the lock of the key's shard, so for each key the order of records in
 * the log is the order in which the index saw them, and replaying the log gives the index
 * back. What can fail is done first: a new key takes its place in the index before its
 * record is written (as a pending address that no reader follows), so a write that runs
 * out of memory or space has changed nothing.
 *
 * Durability comes after the locks: the writer waits for the log's group commit. Until
 * then readers pass over a record that says HASH_SYNC, to the version before.
 */
#include "hash_store.h"

enum {
	DEAD_SHARE = 16,  /* of a segment, in one shard: time to look for work */
	FILES_BESIDE = 8, /* that the log may keep for segments to come */
};

struct change { /* one step of a write on its way */
	const struct kv_op *op;
	uint64_t hash;
	uint64_t pending;       /* the index entry's address if it is new, else 0 */
	bool found;             /* the index has an entry of this key ... */
	struct hash_record old; /* ... to this record: key and value are not kept */
	bool buried; /* the index now points at a delete, to be taken out later */
	uint8_t head[HASH_HEAD_BYTES];
	struct kv_slice part[3];
};

static unsigned int record_type(const struct kv_op *op, enum kv_durability how)
{
	return (op->type == KV_PUT ? HASH_PUT : HASH_DELETE) |
	       (how == KV_SYNC ? HASH_SYNC : 0);
}

/* Under the shard's lock: what the index has of the key. */
static int look_up(struct hash_store *s, struct change *c, struct kv_buf *scratch)
{
	struct hash_lookup l = { .store = s, .key = c->op->key, .buf = scratch };
	uint64_t address;

	c->found = hash_index_find_locked(s->index, c->hash, hash_lookup_match, &l,
					  &address);
	if (c->found && l.error)
		return l.error == -ENOENT ? -EBADMSG : l.error;
	c->old = l.record;
	return 0;
}

/* A delete of what everybody sees as absent leaves no trace. */
static bool is_idle(struct hash_store *s, const struct change *c)
{
	if (c->op->type != KV_DELETE)
		return false;
	return !c->found || ((c->old.type & HASH_TYPE) == HASH_DELETE &&
			     hash_view_sees(s, &hash_view_newest, &c->old));
}

/* Takes a place in the index if the key is new. i tells pending entries apart. */
static int reserve(struct hash_store *s, struct change *c, size_t i)
{
	int error;

	if (c->found)
		return 0;
	c->pending = HASH_PENDING + i;
	error = hash_index_insert(s->index, c->hash, c->pending);
	if (error)
		c->pending = 0;
	return error;
}

static void unreserve(struct hash_store *s, const struct change *c)
{
	if (c->pending)
		(void)hash_index_remove(s->index, c->hash, c->pending);
}

static void describe(struct change *c, struct log_item *item, unsigned int type)
{
	uint64_t prev = c->found ? c->old.position : 0;

	port_put_le64(c->head, hash_head(prev, c->op->key.len));
	c->part[0] = kv_slice(c->head, sizeof(c->head));
	c->part[1] = c->op->key;
	c->part[2] = c->op->value;
	*item = (struct log_item){
		.type = type,
		.sequence = LOG_SEQUENCE_POSITION,
		.part = c->part,
		.parts = c->op->type == KV_PUT ? 3 : 2,
	};
}

/* Small records may kill large ones: the cleaner hears not of new segments alone. */
static void count_dead(struct hash_store *s, struct hash_shard_count *n, uint64_t bytes)
{
	n->dead_bytes += bytes;
	if (n->dead_bytes * DEAD_SHARE < s->option[HASH_SEGMENT_BYTES])
		return;
	n->dead_bytes = 0;
	hash_cleaner_wake(s);
}

/* Counts what the change did to live bytes and keys. */
static void count(struct hash_store *s, const struct change *c, uint64_t position,
		  uint64_t bytes)
{
	struct hash_shard_count *n = &s->count[hash_index_shard(c->hash)];
	bool was_put = c->found && (c->old.type & HASH_TYPE) == HASH_PUT;
	bool is_put = c->op->type == KV_PUT;

	hash_count_record(s, is_put ? HASH_PUT : HASH_DELETE, position, (int64_t)bytes);
	if (c->found) {
		hash_count_record(s, c->old.type, c->old.position,
				  -(int64_t)c->old.bytes);
		count_dead(s, n, c->old.bytes);
	}
	n->live_bytes +=
		(is_put ? (int64_t)bytes : 0) - (was_put ? (int64_t)c->old.bytes : 0);
	n->keys += is_put - was_put;
}

/* Points the index at the record. A delete that all see takes the entry away instead. */
static void publish(struct hash_store *s, struct change *c, const struct log_item *item)
{
	uint64_t from = c->pending ? c->pending : c->old.position / LOG_ALIGN;
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < item->parts; i++)
		bytes += item->part[i].len;
	count(s, c, item->position, log_record_bytes(bytes));
	if (item->type == HASH_DELETE && !port_load_acquire(&s->snapshots)) {
		(void)hash_index_remove(s->index, c->hash, from);
		return;
	}
	(void)hash_index_replace(s->index, c->hash, from, item->position / LOG_ALIGN);
	c->buried = c->op->type == KV_DELETE;
}

/* After the record is visible: waits for durability, and clears up behind a delete. */
static int settle(struct hash_store *s, const struct change *c,
		  const struct log_item *item, size_t n, enum kv_durability how)
{
	uint64_t last = item[n - 1].position;
	int error = 0;
	size_t i;

	if (how == KV_SYNC)
		error = log_sync(s->log, last);
	else if (how == KV_GROUP)
		log_sync_later(s->log, last);
	for (i = 0; !error && i < n; i++)
		if (c[i].buried)
			hash_bury(s, c[i].hash, item[i].position / LOG_ALIGN);
	return error;
}

/* A delete of nothing still promises that the key is gone: an earlier delete of it may
 * not be durable yet. */
static int settle_idle(struct hash_store *s, enum kv_durability how)
{
	uint64_t end = log_end(s->log);

	if (how == KV_SYNC)
		return log_sync(s->log, end - 1);
	if (how == KV_GROUP)
		log_sync_later(s->log, end - 1);
	return 0;
}

static void tell_cleaner(struct hash_store *s, uint64_t position)
{
	uint64_t number = position / s->option[HASH_SEGMENT_BYTES];

	if (port_load_relaxed(&s->sealed_seen) == number)
		return;
	port_store_relaxed(&s->sealed_seen, number);
	port_store_relaxed(&s->pace_due, true);
	hash_cleaner_wake(s);
}

/* Whether so large a record would fit if all pairs were dropped; else none should be. */
static bool can_ever_fit(struct hash_store *s, uint64_t bytes)
{
	struct env *env = s->base.env;
	uint64_t beside = FILES_BESIDE * s->option[HASH_SEGMENT_BYTES], room;

	return env->ops->free_space(env, s->dir, &room) ||
	       bytes <= room + log_file_bytes(s->log) + beside;
}

/* After an attempt that failed: 0 when another is worth it. No lock is held, so others may
 * take the room first. */
static int make_room(struct hash_store *s, int error, uint64_t bytes, unsigned int flags)
{
	if (error == -EAGAIN)
		error = log_wait_room(s->log, bytes, flags);
	if (error == -ENOSPC)
		error = hash_make_space(s);
	if (error == -ENOSPC && s->option[HASH_EVICT] && !(flags & LOG_URGENT) &&
	    can_ever_fit(s, bytes))
		error = hash_evict_segment(s);
	return error;
}

/* One attempt under the shard's lock. -EAGAIN: the log needs a new segment first. */
static int try_one(struct hash_store *s, struct change *c, struct log_item *item,
		   enum kv_durability how, unsigned int flags, bool *idle)
{
	unsigned int shard = hash_index_shard(c->hash);
	struct kv_buf scratch = { 0 };
	int error;

	hash_index_lock(s->index, shard);
	error = look_up(s, c, &scratch);
	*idle = !error && is_idle(s, c);
	if (error || *idle)
		goto out;
	error = reserve(s, c, 0);
	if (error)
		goto out;
	describe(c, item, record_type(c->op, how));
	error = log_append(s->log, item, 1, flags | LOG_NOWAIT);
	if (error)
		unreserve(s, c);
	else
		publish(s, c, item);
out:
	hash_index_unlock(s->index, shard);
	kv_buf_free(&scratch);
	return error;
}

static int write_one(struct hash_store *s, const struct kv_op *op, enum kv_durability how)
{
	struct change c = { .op = op, .hash = hash_key(s, op->key) };
	unsigned int flags = op->type == KV_DELETE ? LOG_URGENT : 0;
	struct log_item item = { 0 };
	bool idle;
	int error;

	while ((error = try_one(s, &c, &item, how, flags, &idle))) {
		c.pending = 0;
		error = make_room(s, error, log_items_bytes(&item, 1), flags);
		if (error)
			return error;
	}
	if (idle)
		return settle_idle(s, how);
	tell_cleaner(s, item.position);
	return settle(s, &c, &item, 1, how);
}

/* ---- batches ---- */

static int compare_changes(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->op > y->op) - (x->op < y->op);
}

/* Of several steps on one key only the last will ever be seen. c is sorted. */
static size_t drop_superseded(struct change *c, size_t n)
{
	size_t i, j, kept = 0;

	for (i = 0; i < n; i++) {
		for (j = i + 1; j < n && c[j].hash == c[i].hash; j++)
			if (!kv_compare(c[j].op->key, c[i].op->key))
				break;
		if (j == n || c[j].hash != c[i].hash)
			c[kept++] = c[i];
	}
	return kept;
}

static uint64_t shards_of(const struct change *c, size_t n)
{
	uint64_t shards = 0;
	size_t i;

	for (i = 0; i < n; i++)
		shards |= 1ull << hash_index_shard(c[i].hash);
	return shards;
}

/* Under batch_lock: only a batch holds several of them. */
static void lock_shards(struct hash_store *s, uint64_t shards)
{
	for (; shards; shards &= shards - 1)
		hash_index_lock_within(s->index, (unsigned int)__builtin_ctzll(shards),
				       &s->batch_lock);
}

static void unlock_shards(struct hash_store *s, uint64_t shards)
{
	for (; shards; shards &= shards - 1)
		hash_index_unlock(s->index, (unsigned int)__builtin_ctzll(shards));
}

/* Under all locks: looks up and reserves; *kept are no idle steps, and come first in
 * item[] and work[]. */
static int prepare(struct hash_store *s, struct change *c, size_t n, size_t *kept)
{
	struct kv_buf scratch = { 0 };
	size_t i;
	int error = 0;

	*kept = 0;
	for (i = 0; !error && i < n; i++) {
		struct change swap = c[*kept];

		error = look_up(s, &c[i], &scratch);
		if (error || is_idle(s, &c[i]))
			continue;
		error = reserve(s, &c[i], i);
		/* Idle ones go behind: another attempt looks at them again. */
		c[*kept] = c[i];
		if (*kept != i)
			c[i] = swap;
		*kept += 1;
	}
	kv_buf_free(&scratch);
	return error;
}

static int append_batch(struct hash_store *s, struct change *c, struct log_item *item,
			size_t n, enum kv_durability how, unsigned int flags)
{
	size_t i;
	int error;

	for (i = 0; i < n; i++)
		describe(&c[i], &item[i],
			 record_type(c[i].op, how) | (n > 1 ? HASH_BATCH : 0));
	error = log_append(s->log, item, n, flags | LOG_NOWAIT);
	if (error)
		return error;
	/* Readers pass over the batch until the whole index points at it. */
	port_store_release(&s->batch_floor, item[0].position);
	for (i = 0; i < n; i++)
		publish(s, &c[i], &item[i]);
	port_store_release(&s->batch_floor, UINT64_MAX);
	return 0;
}

/* One attempt under the locks; *kept says how many of c were written. */
static int try_batch(struct hash_store *s, struct change *c, struct log_item *item,
		     size_t n, enum kv_durability how, unsigned int flags, size_t *kept)
{
	uint64_t shards = shards_of(c, n);
	size_t i;
	int error;

	port_mutex_lock(&s->batch_lock);
	lock_shards(s, shards);
	error = prepare(s, c, n, kept);
	if (!error && *kept)
		error = append_batch(s, c, item, *kept, how, flags);
	for (i = 0; error && i < *kept; i++) {
		unreserve(s, &c[i]);
		c[i].pending = 0;
	}
	unlock_shards(s, shards);
	port_mutex_unlock(&s->batch_lock);
	return error;
}

static int write_changes(struct hash_store *s, struct change *c, struct log_item *item,
			 size_t n, enum kv_durability how)
{
	unsigned int flags = LOG_URGENT;
	size_t i, kept;
	int error;

	for (i = 0; i < n; i++)
		if (c[i].op->type == KV_PUT)
			flags = 0;
	while ((error = try_batch(s, c, item, n, how, flags, &kept))) {
		error = make_room(s, error, log_items_bytes(item, kept), flags);
		if (error)
			return error;
	}
	if (!kept)
		return settle_idle(s, how);
	tell_cleaner(s, item[kept - 1].position);
	return settle(s, c, item, kept, how);
}

static int write_batch(struct hash_store *s, const struct kv_op *op, size_t n,
		       enum kv_durability how)
{
	struct change *c = NULL;
	struct log_item *item = NULL;
	size_t i;
	int error = -ENOMEM;

	if (n >= HASH_ADDRESS_MAX - HASH_PENDING)
		return -EINVAL;
	c = port_alloc(n * sizeof(*c));
	item = port_alloc(n * sizeof(*item));
	if (!c || !item)
		goto out;
	memset(c, 0, n * sizeof(*c));
	memset(item, 0, n * sizeof(*item));
	for (i = 0; i < n; i++) {
		c[i].op = &op[i];
		c[i].hash = hash_key(s, op[i].key);
	}
	port_sort(c, n, sizeof(*c), compare_changes);
	n = drop_superseded(c, n);
	error = write_changes(s, c, item, n, how);
out:
	port_free(item);
	port_free(c);
	return error;
}

int hash_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how)
{
	struct hash_store *s = hash_store(kv);

	if (port_load_relaxed(&s->pace_due))
		hash_pace_writer(s);
	return n == 1 ? write_one(s, op, how) : write_batch(s, op, n, how);
}
