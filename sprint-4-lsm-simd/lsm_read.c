/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_read.c - get and multi-get: memtables, newest first, then the record cache, then tables.
 *
 * The first entry of the key that is found is the newest, for what is looked at first is newer.
 * Only range tombstones are looked for everywhere: one hides what is older than itself.
 */
#include "lsm_store.h"

enum {
	/* Keys that are looked for together, and blocks that are read side by side. */
	TOGETHER = PORT_FRAME_BYTES / 40 < 64 ? PORT_FRAME_BYTES / 40 : 64,
	READS = PORT_FRAME_BYTES / 160 < 64 ? PORT_FRAME_BYTES / 160 : 64,
	ROUNDS = 8,
};

struct look { /* what one call looks at */
	struct lsm_store *s;
	const struct lsm_view *view;
	uint64_t sequence, generation;
	bool newest;
};

/* The newest range tombstone in memory that covers the key; 0: none. */
static uint64_t cover_in_memory(const struct look *l, struct kv_slice key)
{
	uint64_t cover = 0, c;
	unsigned int i;

	for (i = 0; i < l->view->mems; i++) {
		c = lsm_memtable_cover(l->view->mem[i]->table, key, l->sequence);
		if (c > cover)
			cover = c;
	}
	return cover;
}

/* 0, -ENOENT: the answer; -EAGAIN: memtables know nothing of the key. */
static int get_from_memory(const struct look *l, struct kv_slice key, uint64_t hash,
			   struct kv_buf *value)
{
	uint64_t stamp, cover = cover_in_memory(l, key);
	struct kv_slice found;
	unsigned int i;

	for (i = 0; i < l->view->mems; i++) {
		if (!lsm_memtable_get(l->view->mem[i]->table, key, hash, l->sequence,
				      &stamp, &found))
			continue;
		lsm_count(&l->s->stat_mem_hits, 1);
		if (lsm_kind(stamp) == LSM_DELETE || lsm_sequence(stamp) < cover)
			return -ENOENT;
		return kv_buf_set(value, found.data, found.len);
	}
	return cover ? -ENOENT : -EAGAIN;
}

static int get_from_tables(const struct look *l, struct kv_slice key, uint64_t hash,
			   struct kv_buf *value)
{
	uint64_t stamp;
	int error = lsm_version_get(l->view->version, key, hash, l->sequence, &stamp,
				    value, NULL);

	if (!error && lsm_kind(stamp) == LSM_DELETE)
		error = -ENOENT;
	if (!error && l->newest && l->s->records)
		lsm_records_offer(l->s->records, key, hash,
				  kv_slice(value->data, value->len), l->generation);
	return error;
}

static int get_one(const struct look *l, struct kv_slice key, uint64_t hash,
		   struct kv_buf *value)
{
	int error = get_from_memory(l, key, hash, value);

	if (error == -EAGAIN && l->newest && l->s->records) {
		error = lsm_records_get(l->s->records, key, hash, value);
		if (error == -ENOENT)
			error = -EAGAIN;
	}
	if (error == -EAGAIN)
		error = get_from_tables(l, key, hash, value);
	if (error)
		value->len = 0;
	return error;
}

/* Within an epoch. */
static struct look look_at(struct lsm_store *s, struct kv_snapshot *snap)
{
	struct look l = { .s = s, .newest = !snap };

	/* Before the view: what is found there may be remembered only if no memtable has been
	 * flushed since. */
	if (l.newest && s->records)
		l.generation = lsm_records_generation(s->records);
	l.view = lsm_view_look(s, &l.sequence);
	if (snap)
		l.sequence = snap->sequence;
	return l;
}

int lsm_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
	    struct kv_buf *value)
{
	struct lsm_store *s = lsm_store(kv);
	uint64_t hash = lsm_key_hash(key);
	unsigned int slot = epoch_enter(s->epoch);
	struct look l = look_at(s, snap);
	int error = get_one(&l, key, hash, value);

	epoch_leave(s->epoch, slot);
	return error;
}

/* ---- several ---- */

struct ask { /* a key that memory does not answer */
	struct kv_slice key;
	uint64_t hash;
	size_t index;
};

/* The blocks of tables that the keys need and memory does not have, side by side. What can't be
 * had this way is read, or fails, when its turn comes. */
static size_t wants_of(const struct look *l, const struct ask *ask, struct sst_want *want,
		       size_t room)
{
	const struct lsm_version *v = l->view->version;
	struct lsm_table *t;
	unsigned int level;
	size_t run, n = 0;

	for (level = 0; level < LSM_LEVELS; level++) {
		for (run = 0; run < v->level[level].runs && n < room; run++) {
			t = lsm_run_find(&v->level[level].run[run], ask->key);
			if (t && sst_want(t->sst, ask->key, ask->hash, &want[n]))
				n++;
		}
	}
	return n;
}

static void read_together(const struct look *l, const struct ask *ask, size_t n)
{
	struct env *env = l->s->base.env;
	struct sst_want want[READS];
	struct file_read read[READS];
	size_t i, wants;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		for (wants = 0, i = 0; i < n && wants < READS; i++)
			wants += wants_of(l, &ask[i], want + wants, READS - wants);
		if (!wants)
			return;
		for (i = 0; i < wants; i++)
			read[i] = want[i].read;
		env->ops->read_many(env, read, wants);
		for (i = 0; i < wants; i++) {
			want[i].read = read[i];
			sst_want_done(&want[i]);
		}
	}
}

static bool may_be_cold(const struct look *l)
{
	struct lsm_cache_stats c;

	if (l->s->option[LSM_ACCESS] == SST_MAP)
		return false;
	lsm_cache_stats(l->s->cache, &c);
	return c.bytes < l->view->version->bytes;
}

/* A record that came in after a later flush may be newer than the view. To one key that is a
 * get that came later; several keys are to be of one moment. */
static bool get_record(const struct look *l, struct kv_slice key, uint64_t hash,
		       struct kv_buf *value)
{
	struct lsm_records *r = l->s->records;

	return l->newest && r && !lsm_records_get(r, key, hash, value) &&
	       lsm_records_generation(r) == l->generation;
}

/* Up to TOGETHER keys. */
static void get_some(const struct look *l, size_t n, const struct kv_slice *key,
		     struct kv_buf *value, int *error)
{
	struct lsm_store *s = l->s;
	struct ask ask[TOGETHER];
	uint64_t hash[TOGETHER];
	size_t i, asks = 0;
	unsigned int m;

	for (i = 0; i < n; i++) {
		hash[i] = lsm_key_hash(key[i]);
		for (m = 0; m < l->view->mems; m++)
			lsm_memtable_prefetch(l->view->mem[m]->table, hash[i]);
		if (l->newest && s->records)
			lsm_records_prefetch(s->records, hash[i]);
	}
	for (i = 0; i < n; i++) {
		error[i] = get_from_memory(l, key[i], hash[i], &value[i]);
		if (error[i] == -EAGAIN && get_record(l, key[i], hash[i], &value[i]))
			error[i] = 0;
		if (error[i] == -EAGAIN)
			ask[asks++] = (struct ask){ key[i], hash[i], i };
	}
	if (asks > 1 && may_be_cold(l))
		read_together(l, ask, asks);
	for (i = 0; i < asks; i++)
		error[ask[i].index] =
			get_from_tables(l, ask[i].key, ask[i].hash, &value[ask[i].index]);
	for (i = 0; i < n; i++)
		if (error[i])
			value[i].len = 0;
}

int lsm_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		  const struct kv_slice *key, struct kv_buf *value, int *error)
{
	struct lsm_store *s = lsm_store(kv);
	unsigned int slot = epoch_enter(s->epoch);
	struct look l = look_at(s, snap);
	size_t i, some;

	for (i = 0; i < n; i += some) {
		some = n - i < TOGETHER ? n - i : TOGETHER;
		get_some(&l, some, key + i, value + i, error + i);
	}
	epoch_leave(s->epoch, slot);
	return 0;
}
