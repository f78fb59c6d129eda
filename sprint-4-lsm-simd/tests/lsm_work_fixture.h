/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_work_fixture.h - a store made of versions alone, for the tests of flushes and
 * compactions: tables on the simulated disk, and a list of all writes that says what must be
 * in them.
 *
 * Keys are few. What a value must be follows from the sequence of its write. Snapshots are
 * sequences that are read at as long as the world is there.
 */
#ifndef LSM_WORK_FIXTURE_H
#define LSM_WORK_FIXTURE_H

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../lsm_compaction.h"
#include "../neon_lsm_ops.h"

enum { WORK_KEYS = 150, WORK_WRITES = 4000, WORK_SNAPSHOTS = 4, WORK_VALUE_MAX = 300 };

struct work_write {
	uint64_t sequence;
	enum lsm_kind kind;
	bool range; /* deletes [key, end) */
	unsigned int key, end;
	size_t value_bytes;
};

struct work_world {
	struct env_sim *sim;
	struct env *env;
	struct lsm_memory *memory;
	struct lsm_versions *versions;
	struct lsm_work work;
	struct lsm_work_stats stats;
	struct kv_msg why;

	struct work_write write[WORK_WRITES]; /* ascending */
	size_t writes, flushed;               /* the first of them are in tables */
	uint64_t sequence;
	uint64_t snapshot[WORK_SNAPSHOTS];
	uint64_t paces, end_at; /* work is told to end at the so manieth; 0: never */
};

static inline struct kv_slice work_slice(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static inline struct kv_slice work_key(unsigned int n, char buffer[16])
{
	return kv_slice(buffer, (size_t)snprintf(buffer, 16, "key%05u", n));
}

static inline void work_fill(uint64_t sequence, uint8_t *value, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		value[i] = (uint8_t)(sequence * 37 + i * 11);
}

static inline int work_pace(void *arg, uint64_t bytes)
{
	struct work_world *w = arg;

	assert_true(bytes > 0);
	return w->end_at && ++w->paces >= w->end_at ? -ECANCELED : 0;
}

static inline void work_open(struct work_world *w, uint64_t seed)
{
	struct env_sim_config sim = { .seed = seed, .no_journal = true };
	struct lsm_versions_config c = { .dir = "store", .store_id = 77 };
	unsigned int level;

	memset(w, 0, sizeof(*w));
	w->sim = env_sim_new(&sim);
	w->env = c.env = env_sim_env(w->sim);
	assert_int_equal(w->env->ops->mkdir(w->env, "store"), 0);
	assert_int_equal(lsm_memory_new(0, false, &w->memory), 0);
	if (lsm_versions_create(&c, &w->versions, &w->why))
		fail_msg("%s", w->why.text);
	w->work = (struct lsm_work){
		.env = w->env,
		.dir = "store",
		.versions = w->versions,
		.store_id = 77,
		.table_bytes = 3000,
		.blob_file_bytes = 4000,
		.blob_threshold = 100,
		.blob_live_percent = 50,
		.snapshot = w->snapshot,
		.parts = 1,
		.pace = work_pace,
		.pace_arg = w,
	};
	for (level = 0; level < LSM_LEVELS; level++)
		w->work.shape[level] = (struct sst_shape){ .block_bytes = 400,
							   .partition_bytes = 200,
							   .restart_interval = 4,
							   .filter_bits = 10 };
}

static inline void work_close(struct work_world *w)
{
	(void)lsm_versions_purge(w->versions);
	assert_int_equal(lsm_versions_close(w->versions), 0);
	lsm_memory_free(w->memory);
	env_sim_free(w->sim);
}

/* ---- writes ---- */

static inline void work_put(struct work_world *w, const struct work_write *what)
{
	assert_true(w->writes < WORK_WRITES);
	w->write[w->writes] = *what;
	w->write[w->writes++].sequence = ++w->sequence;
}

static inline void work_snapshot(struct work_world *w)
{
	if (w->work.snapshots < WORK_SNAPSHOTS)
		w->snapshot[w->work.snapshots++] = w->sequence;
}

static inline void work_put_some(struct work_world *w, unsigned int n)
{
	while (n--) {
		struct work_write d = { .kind = core_random_below(4) ? LSM_PUT
								     : LSM_DELETE };

		d.key = (unsigned int)core_random_below(WORK_KEYS);
		d.range = !core_random_below(60);
		d.end = d.key + (unsigned int)core_random_below(WORK_KEYS / 4);
		if (d.kind == LSM_PUT)
			d.value_bytes = core_random_below(4)
						? core_random_below(60)
						: core_random_below(WORK_VALUE_MAX);
		work_put(w, &d);
	}
}

static inline void work_insert(struct lsm_memtable *t, const struct work_write *d)
{
	char begin[16], end[16];
	uint8_t value[WORK_VALUE_MAX];
	struct kv_slice key = work_key(d->key, begin);
	struct lsm_tombstone range = { key, work_key(d->end, end), d->sequence };
	struct lsm_room room;

	if (d->range) {
		assert_int_equal(lsm_memtable_delete_range(t, &range), 0);
		return;
	}
	work_fill(d->sequence, value, d->value_bytes);
	assert_int_equal(
		lsm_memtable_reserve(t, lsm_memtable_entry_bytes(key.len, d->value_bytes),
				     &room),
		0);
	lsm_memtable_insert(t, &room, key, lsm_key_hash(key),
			    lsm_stamp(d->sequence, d->kind),
			    kv_slice(value, d->value_bytes));
	lsm_memtable_done(t, &room);
}

/* What has not been flushed, as a memtable. */
static inline struct lsm_memtable *work_memtable(struct work_world *w)
{
	struct lsm_memtable *t;
	size_t i;

	assert_int_equal(lsm_memtable_new(w->memory, 1 << 16, &t), 0);
	for (i = w->flushed; i < w->writes; i++)
		work_insert(t, &w->write[i]);
	return t;
}

static inline void work_commit(struct work_world *w, struct lsm_edit *e)
{
	if (lsm_versions_commit(w->versions, e, &w->why))
		fail_msg("%s", w->why.text);
	lsm_edit_free(e);
	(void)lsm_versions_purge(w->versions);
}

static inline void work_flush(struct work_world *w)
{
	struct lsm_memtable *t = work_memtable(w);
	struct lsm_edit e = { 0 };

	if (lsm_flush(&w->work, t, &e, &w->stats, &w->why))
		fail_msg("%s", w->why.text);
	work_commit(w, &e);
	lsm_memtable_free(t);
	w->flushed = w->writes;
}

/* ---- what must be there ---- */

/* seen[k]: index + 1 of the write whose value a reader at the sequence sees; 0: none. */
static inline void work_model(const struct work_world *w, uint64_t at,
			      size_t seen[WORK_KEYS])
{
	size_t i;
	unsigned int k;

	memset(seen, 0, WORK_KEYS * sizeof(*seen));
	for (i = 0; i < w->flushed && w->write[i].sequence <= at; i++) {
		const struct work_write *d = &w->write[i];

		if (!d->range)
			seen[d->key] = d->kind == LSM_PUT ? i + 1 : 0;
		for (k = d->key; d->range && k < d->end && k < WORK_KEYS; k++)
			seen[k] = 0;
	}
}

static inline void work_check_at(struct work_world *w, struct lsm_version *v, uint64_t at)
{
	size_t seen[WORK_KEYS];
	struct kv_buf value = { 0 };
	uint8_t want[WORK_VALUE_MAX];
	unsigned int k;

	work_model(w, at, seen);
	for (k = 0; k < WORK_KEYS; k++) {
		const struct work_write *d = seen[k] ? &w->write[seen[k] - 1] : NULL;
		char buffer[16];
		struct kv_slice key = work_key(k, buffer);
		uint64_t stamp = 0;
		int error = lsm_version_get(v, key, lsm_key_hash(key), at, &stamp, &value,
					    &w->why);

		if (error && error != -ENOENT)
			fail_msg("%s", w->why.text);
		if (!d) {
			assert_true(error || lsm_kind(stamp) == LSM_DELETE);
			continue;
		}
		assert_int_equal(error, 0);
		assert_int_equal(lsm_kind(stamp), LSM_PUT);
		assert_int_equal(lsm_sequence(stamp), d->sequence);
		assert_int_equal(value.len, d->value_bytes);
		work_fill(d->sequence, want, d->value_bytes);
		assert_memory_equal(value.len ? value.data : want, want, value.len);
	}
	kv_buf_free(&value);
}

/* Files of tables and blobs, and a hash of their names. */
struct work_files {
	size_t n;
	uint64_t hash;
};

static inline int work_count_file(void *arg, const char *name)
{
	struct work_files *f = arg;

	if (strstr(name, ".sst") || strstr(name, ".blob")) {
		f->n++;
		f->hash += lsm_key_hash(kv_str(name));
	}
	return 0;
}

static inline struct work_files work_files(struct work_world *w)
{
	struct work_files f = { 0 };

	assert_int_equal(w->env->ops->list(w->env, "store", work_count_file, &f), 0);
	return f;
}

static inline size_t work_tables(const struct lsm_version *v)
{
	size_t n = 0, r;
	unsigned int level;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			n += v->level[level].run[r].tables;
	return n;
}

/* Every byte of every table. */
static inline void work_verify_tables(struct work_world *w, const struct lsm_version *v)
{
	unsigned int level;
	size_t r, t;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++)
				if (sst_verify(v->level[level].run[r].table[t]->sst, NULL,
					       &w->why))
					fail_msg("%s", w->why.text);
}

/* The newest state and every snapshot are as written, the version is sound, and its files are
 * all there are. */
static inline void work_check(struct work_world *w)
{
	struct lsm_version *v = lsm_versions_current(w->versions);
	size_t i;

	if (lsm_version_check(v, &w->why))
		fail_msg("%s", w->why.text);
	work_verify_tables(w, v);
	for (i = 0; i < w->work.snapshots; i++)
		work_check_at(w, v, w->snapshot[i]);
	work_check_at(w, v, LSM_SEQUENCE_MAX);
	assert_int_equal(work_files(w).n, work_tables(v) + v->blobs);
	lsm_version_unref(v);
}

/* ---- picks ---- */

static inline void work_add_source(struct lsm_pick *p, struct lsm_table *const *table,
				   size_t n, bool remove)
{
	struct lsm_source *s;
	size_t i;

	s = port_realloc(p->source, p->sources * sizeof(*s),
			 (p->sources + 1) * sizeof(*s));
	assert_non_null(s);
	p->source = s;
	s += p->sources++;
	s->tables = n;
	s->table = port_alloc(n * sizeof(struct lsm_table *));
	assert_non_null(s->table);
	memcpy(s->table, table, n * sizeof(struct lsm_table *));
	for (i = 0; remove && i < n; i++) {
		uint64_t *r = port_realloc(p->remove, p->removes * sizeof(*r),
					   (p->removes + 1) * sizeof(*r));

		assert_non_null(r);
		p->remove = r;
		r[p->removes++] = table[i]->number;
	}
}

static inline void work_free_pick(struct lsm_pick *p)
{
	size_t i;

	for (i = 0; i < p->sources; i++)
		port_free(p->source[i].table);
	port_free(p->source);
	port_free(p->remove);
	kv_buf_free(&p->begin);
	kv_buf_free(&p->end);
	memset(p, 0, sizeof(*p));
}

static inline bool work_is_empty_below(const struct lsm_version *v, unsigned int level)
{
	for (; level < LSM_LEVELS; level++)
		if (v->level[level].runs)
			return false;
	return true;
}

/* All runs of the first levels into one of level to. */
static inline void work_pick_whole(const struct lsm_version *v, unsigned int to,
				   struct lsm_pick *p)
{
	unsigned int level;
	size_t r;

	*p = (struct lsm_pick){ .to = to, .end_open = true };
	for (level = 0; level <= to; level++)
		for (r = 0; r < v->level[level].runs; r++)
			work_add_source(p, v->level[level].run[r].table,
					v->level[level].run[r].tables, true);
	p->bottom = work_is_empty_below(v, to + 1);
}

/* The oldest runs of a level into a new run of the next. */
static inline void work_pick_tier(const struct lsm_version *v, unsigned int level,
				  struct lsm_pick *p)
{
	const struct lsm_level *l = &v->level[level];
	size_t r = core_random_below(l->runs);

	*p = (struct lsm_pick){ .from = level, .to = level + 1, .end_open = true };
	for (; r < l->runs; r++)
		work_add_source(p, l->run[r].table, l->run[r].tables, true);
	p->bottom = work_is_empty_below(v, level + 1);
}

static inline void work_set_end(struct lsm_pick *p, const struct sst_summary *s)
{
	p->end_open = s->largest_open;
	assert_int_equal(kv_buf_set(&p->end, s->largest.data, s->largest.len), 0);
	if (!s->largest_excluded)
		assert_int_equal(kv_buf_append(&p->end, "", 1), 0);
}

/* A table of the oldest run of a level, and what it overlaps in the newest of the next. */
static inline void work_pick_piece(const struct lsm_version *v, unsigned int level,
				   struct lsm_pick *p)
{
	const struct lsm_level *below = &v->level[level + 1];
	const struct lsm_run *r = &v->level[level].run[v->level[level].runs - 1];
	struct lsm_table *t = r->table[core_random_below(r->tables)];
	struct kv_slice smallest;
	size_t first = 0, n = 0;

	*p = (struct lsm_pick){ .from = level, .to = level + 1 };
	work_add_source(p, &t, 1, true);
	work_set_end(p, &t->summary);
	if (below->runs) {
		p->run = below->run[0].id;
		n = lsm_run_overlap(&below->run[0], work_slice(&t->summary.smallest),
				    p->end_open ? kv_slice(NULL, 0) : work_slice(&p->end),
				    &first);
	}
	smallest = work_slice(&t->summary.smallest);
	if (n) {
		struct lsm_table *const *m = &below->run[0].table[first];

		work_add_source(p, m, n, true);
		if (kv_compare(work_slice(&m[0]->summary.smallest), smallest) < 0)
			smallest = work_slice(&m[0]->summary.smallest);
		if (!p->end_open &&
		    !sst_summary_ends_before(&m[n - 1]->summary, work_slice(&p->end)))
			work_set_end(p, &m[n - 1]->summary);
	}
	assert_int_equal(kv_buf_set(&p->begin, smallest.data, smallest.len), 0);
	p->bottom = below->runs < 2 && work_is_empty_below(v, level + 2);
	p->move = !n && core_random_below(2);
	if (p->move)
		p->removes = 0;
}

/* A stretch of everything once more, to the end of the store; nothing is removed. */
static inline void work_pick_copy(const struct lsm_version *v, unsigned int to,
				  struct lsm_pick *p)
{
	unsigned int begin = (unsigned int)core_random_below(WORK_KEYS), end;
	char buffer[16];
	struct kv_slice key = work_key(begin, buffer);

	work_pick_whole(v, to, p);
	p->removes = 0;
	assert_int_equal(kv_buf_set(&p->begin, key.data, key.len), 0);
	end = begin + 1 + (unsigned int)core_random_below(WORK_KEYS);
	key = work_key(end, buffer);
	p->end_open = false;
	assert_int_equal(kv_buf_set(&p->end, key.data, key.len), 0);
}

/* True: one was picked. */
static inline bool work_pick_any(const struct lsm_version *v, struct lsm_pick *p)
{
	unsigned int last = LSM_LEVELS, level;

	while (last && !v->level[last - 1].runs)
		last--;
	if (!last)
		return false;
	do {
		level = (unsigned int)core_random_below(last);
	} while (!v->level[level].runs);
	switch (core_random_below(8)) {
	case 0:
		work_pick_whole(v, level, p);
		return true;
	case 1:
		if (last == LSM_LEVELS)
			return false;
		work_pick_copy(v, last, p);
		return true;
	case 2:
	case 3:
		if (level + 1 == LSM_LEVELS)
			return false;
		work_pick_tier(v, level, p);
		return true;
	default:
		if (level + 1 == LSM_LEVELS)
			return false;
		work_pick_piece(v, level, p);
		return true;
	}
}

static inline int work_try(struct work_world *w, struct lsm_version *v,
			   const struct lsm_pick *p, struct lsm_edit *e)
{
	w->paces = 0;
	return lsm_compact(&w->work, v, p, e, &w->stats, &w->why);
}

static inline void work_compact(struct work_world *w, struct lsm_version *v,
				struct lsm_pick *p)
{
	struct lsm_edit e = { 0 };

	if (work_try(w, v, p, &e))
		fail_msg("%s", w->why.text);
	work_free_pick(p);
	lsm_version_unref(v);
	work_commit(w, &e);
}

/* All of it into one run of the last level that there is, or of level 1. */
static inline void work_compact_all(struct work_world *w)
{
	struct lsm_version *v = lsm_versions_current(w->versions);
	unsigned int to = 1;
	struct lsm_pick p;

	while (!work_is_empty_below(v, to + 1))
		to++;
	work_pick_whole(v, to, &p);
	work_compact(w, v, &p);
}

#endif /* LSM_WORK_FIXTURE_H */
