/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_snapshot.c - snapshots, cursors, and deletes that must stay in the index for them.
 *
 * A snapshot is a position: its readers see records that were written before it. Two
 * sweeps over the shards' locks make that exact. After the first, every delete knows that
 * there is a snapshot and leaves its entry in the index, as the way to older versions.
 * After the second, whatever was written before the position is in the index.
 *
 * While a snapshot is held, segments that were cleaned since stay on disk, so a snapshot
 * held for long costs space.
 */
#include "hash_store.h"

void hash_sweep(struct hash_store *s)
{
	unsigned int i;

	for (i = 0; i < HASH_SHARDS; i++) {
		hash_index_lock(s->index, i);
		hash_index_unlock(s->index, i);
	}
}

int hash_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct hash_store *s = hash_store(kv);
	struct kv_snapshot *snap = port_alloc(sizeof(*snap));

	if (!snap)
		return -ENOMEM;
	memset(snap, 0, sizeof(*snap));
	snap->references = 1;
	port_mutex_lock(&s->lock);
	snap->serial = s->next_serial++;
	snap->older = s->newest;
	if (s->newest)
		s->newest->newer = snap;
	s->newest = snap;
	port_store_release(&s->snapshots, s->snapshots + 1);
	port_mutex_unlock(&s->lock);
	hash_sweep(s);
	snap->view.synced = log_synced(s->log);
	snap->view.end = log_end(s->log);
	hash_sweep(s);
	*out = snap;
	return 0;
}

/* ---- deletes in the index ---- */

/* Takes the entry out if it still is that delete and no snapshot has come since. */
static bool dig_out(struct hash_store *s, const struct hash_grave *g)
{
	unsigned int shard = hash_index_shard(g->hash);
	bool done;

	hash_index_lock(s->index, shard);
	done = !port_load_acquire(&s->snapshots);
	if (done && hash_index_holds(s->index, g->hash, g->address))
		(void)hash_index_remove(s->index, g->hash, g->address);
	hash_index_unlock(s->index, shard);
	return done;
}

void hash_bury(struct hash_store *s, uint64_t hash, uint64_t address)
{
	struct hash_grave g = { hash, address }, *grown;

	if (dig_out(s, &g))
		return;
	port_mutex_lock(&s->lock);
	if (s->graves == s->graves_cap) {
		size_t cap = s->graves_cap ? s->graves_cap * 2 : 64;

		grown = port_realloc(s->grave, s->graves_cap * sizeof(*grown),
				     cap * sizeof(*grown));
		/* Without memory the entry stays until its segment is cleaned. */
		if (!grown) {
			port_mutex_unlock(&s->lock);
			return;
		}
		s->grave = grown;
		s->graves_cap = cap;
	}
	s->grave[s->graves++] = g;
	port_mutex_unlock(&s->lock);
}

/* The last snapshot has gone. */
static void dig_out_all(struct hash_store *s)
{
	struct hash_grave *grave;
	size_t n, i;

	port_mutex_lock(&s->lock);
	grave = s->grave;
	n = s->graves;
	s->grave = NULL;
	s->graves = s->graves_cap = 0;
	port_mutex_unlock(&s->lock);
	for (i = 0; i < n; i++)
		hash_bury(s, grave[i].hash, grave[i].address);
	port_free(grave);
}

static void put_snapshot(struct hash_store *s, struct kv_snapshot *snap)
{
	bool last, gone;

	port_mutex_lock(&s->lock);
	gone = --snap->references == 0;
	if (gone) {
		if (snap->newer)
			snap->newer->older = snap->older;
		else
			s->newest = snap->older;
		if (snap->older)
			snap->older->newer = snap->newer;
		port_store_release(&s->snapshots, s->snapshots - 1);
	}
	last = gone && !s->snapshots;
	port_mutex_unlock(&s->lock);
	if (!gone)
		return;
	port_free(snap);
	if (last)
		dig_out_all(s);
	hash_cleaner_wake(s);
}

void hash_release(struct kv *kv, struct kv_snapshot *snap)
{
	put_snapshot(hash_store(kv), snap);
}

/* ---- cursors ---- */

/*
 * A cursor walks the index leaf by leaf, in the order of hashes. It copies a leaf's
 * addresses under the shard's lock and reads the records later; a split in between divides
 * what it has not reached and never moves what it has.
 */
struct hash_cursor {
	struct kv_cursor base;
	struct hash_store *store;
	struct kv_snapshot *snap;
	uint32_t prefix; /* of the next leaf */
	uint64_t *address;
	size_t n, cap, next;         /* of the leaf that was copied */
	struct kv_buf scratch, pair; /* pair: key, then value */
};

static int collect(void *arg, const struct hash_entry *entry)
{
	struct hash_cursor *c = arg;

	if (entry->address >= HASH_PENDING)
		return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 256;
		uint64_t *grown = port_realloc(c->address, c->cap * sizeof(*grown),
					       cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		c->address = grown;
		c->cap = cap;
	}
	c->address[c->n++] = entry->address;
	return 0;
}

static void cursor_outside(struct hash_cursor *c)
{
	c->prefix = 0;
	c->n = c->next = 0;
	c->base.key = c->base.value = kv_slice(NULL, 0);
}

/* The pair that the snapshot sees behind an index entry: 0, or -ENOENT when it sees none.
 * The copied address may be stale: the record was moved by cleaning, and its segment is
 * kept for this very snapshot. */
static int cursor_read(struct hash_cursor *c, uint64_t address)
{
	struct hash_store *s = c->store;
	unsigned int slot = epoch_enter(s->epoch);
	struct hash_record r;
	int error = hash_view_read(s, &c->snap->view, address * LOG_ALIGN, &c->scratch,
				   &r, NULL);

	if (!error && (r.type & HASH_TYPE) != HASH_PUT)
		error = -ENOENT;
	if (!error)
		error = kv_buf_set(&c->pair, r.key.data, r.key.len);
	if (!error)
		error = kv_buf_append(&c->pair, r.value.data, r.value.len);
	epoch_leave(s->epoch, slot);
	if (error)
		return error;
	c->base.key = kv_slice(c->pair.data, r.key.len);
	c->base.value = kv_slice((uint8_t *)c->pair.data + r.key.len, r.value.len);
	return 0;
}

static int hash_cursor_next(struct kv_cursor *cursor)
{
	struct hash_cursor *c = container_of(cursor, struct hash_cursor, base);
	int error = -ENOENT;

	while (error == -ENOENT) {
		if (c->next < c->n) {
			error = cursor_read(c, c->address[c->next++]);
			continue;
		}
		if (c->prefix >= 1u << HASH_PREFIX_BITS)
			break;
		c->n = c->next = 0;
		error = hash_index_walk_leaf(c->store->index, &c->prefix, collect, c);
		if (!error)
			error = -ENOENT;
	}
	if (error)
		cursor_outside(c);
	return error;
}

static void hash_cursor_close(struct kv_cursor *cursor)
{
	struct hash_cursor *c = container_of(cursor, struct hash_cursor, base);

	put_snapshot(c->store, c->snap);
	kv_buf_free(&c->scratch);
	kv_buf_free(&c->pair);
	port_free(c->address);
	port_free(c);
}

static const struct kv_cursor_ops hash_cursor_ops = {
	.next = hash_cursor_next,
	.close = hash_cursor_close,
};

int hash_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	struct hash_store *s = hash_store(kv);
	struct hash_cursor *c = port_alloc(sizeof(*c));
	int error = 0;

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->base.ops = &hash_cursor_ops;
	c->store = s;
	c->snap = snap;
	if (snap) {
		port_mutex_lock(&s->lock);
		snap->references++;
		port_mutex_unlock(&s->lock);
	} else {
		error = hash_snapshot(kv, &c->snap);
	}
	if (error) {
		port_free(c);
		return error;
	}
	*out = &c->base;
	return 0;
}
