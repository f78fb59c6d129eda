/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_paper_store.h - a store without files, for tests of pickers: tables are lists of entries in
 * memory, versions are real ones, and a compaction merges the lists as the engine merges files.
 *
 * Keys are numbers, written big-endian in two bytes. It knows what each key's newest entry is,
 * so that what can be read through a version can be compared with it.
 */
#ifndef LSM_PAPER_STORE_H
#define LSM_PAPER_STORE_H

#include "../lsm_picker.h"
#include "../lsm_version_internal.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

enum {
	PAPER_KEYS = 400,
	PAPER_ENTRY_BYTES = 100,
	PAPER_TABLES = 1 << 16, /* ever made */
	PAPER_WORK = 4,         /* compactions at once */
};

struct paper_entry {
	uint16_t key;
	bool deleted;
	uint64_t sequence;
};

struct paper_tombstone {
	uint16_t begin, end; /* end PAPER_KEYS: to the end of all keys */
	uint64_t sequence;
};

struct paper_table {
	struct paper_entry *entry;
	struct paper_tombstone *tombstone;
	size_t entries, tombstones;
};

struct paper_work { /* a pick that is being carried out */
	bool is;
	struct lsm_version *version;
	struct lsm_pick pick;
};

struct paper_store {
	uint64_t random, seed;
	struct lsm_layout layout;
	struct lsm_version *current;
	struct paper_table table[PAPER_TABLES]; /* by number */
	uint64_t next, sequence;
	struct paper_entry newest[PAPER_KEYS]; /* sequence 0: never written */
	struct paper_work work[PAPER_WORK];
	uint64_t flushed_bytes, written_bytes, picks, moves;
	uint64_t entries_merged_max; /* of one compaction */
};

static inline uint64_t paper_random(struct paper_store *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

static inline void paper_key(uint8_t out[2], size_t key)
{
	out[0] = (uint8_t)(key >> 8);
	out[1] = (uint8_t)key;
}

static inline size_t paper_number(const struct kv_buf *key)
{
	const uint8_t *p = key->data;

	if (!key->len)
		return 0;
	assert_int_equal(key->len, 2);
	return (size_t)(p[0] << 8 | p[1]);
}

/* ---- tables ---- */

static inline int paper_compare(const void *a, const void *b)
{
	const struct paper_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->sequence < y->sequence) - (x->sequence > y->sequence);
}

/* A summary, and the table's number; takes the lists over. */
static inline uint64_t paper_table(struct paper_store *s, const struct paper_table *t,
				   struct sst_summary *out)
{
	size_t least = SIZE_MAX, last = 0, i;
	bool excluded = false, open = false;
	uint8_t key[2];

	*out = (struct sst_summary){ .min_sequence = UINT64_MAX };
	for (i = 0; i < t->entries; i++) {
		const struct paper_entry *e = &t->entry[i];

		least = e->key < least ? e->key : least;
		if (e->key > last || (e->key == last && excluded)) {
			last = e->key;
			excluded = false;
		}
		out->deletes += e->deleted;
		out->min_sequence =
			e->sequence < out->min_sequence ? e->sequence : out->min_sequence;
		out->max_sequence =
			e->sequence > out->max_sequence ? e->sequence : out->max_sequence;
	}
	for (i = 0; i < t->tombstones; i++) {
		const struct paper_tombstone *d = &t->tombstone[i];

		least = d->begin < least ? d->begin : least;
		open |= d->end == PAPER_KEYS;
		if (d->end > last) {
			last = d->end;
			excluded = true;
		}
		out->min_sequence =
			d->sequence < out->min_sequence ? d->sequence : out->min_sequence;
		out->max_sequence =
			d->sequence > out->max_sequence ? d->sequence : out->max_sequence;
	}
	assert_true(t->entries || t->tombstones);
	paper_key(key, least);
	assert_int_equal(kv_buf_set(&out->smallest, key, 2), 0);
	paper_key(key, last);
	if (!open)
		assert_int_equal(kv_buf_set(&out->largest, key, 2), 0);
	out->largest_open = open;
	out->largest_excluded = !open && excluded;
	out->entries = t->entries;
	out->tombstones = t->tombstones;
	out->bytes = (t->entries + t->tombstones) * PAPER_ENTRY_BYTES;
	assert_true(s->next < PAPER_TABLES);
	s->table[s->next] = *t;
	return s->next++;
}

/* ---- versions ---- */

/* As lsm_versions_commit() does it. */
static inline void paper_commit(struct paper_store *s, struct lsm_edit *e)
{
	struct lsm_state state = { 0 };
	struct lsm_version *v = NULL;
	struct kv_msg why = { "" };
	int error = lsm_edit_bound_progress(e, s->current);

	if (!error)
		error = lsm_state_from(&state, s->current);
	if (!error)
		error = lsm_state_apply(&state, e, s->next++, &why);
	if (!error)
		error = lsm_state_version(&state, NULL, &v, &why);
	if (error)
		fail_msg("KV_SEED=%llu: %d: %s", (unsigned long long)s->seed, error,
			 why.text);
	lsm_state_free(&state);
	lsm_version_unref(s->current);
	s->current = v;
	lsm_edit_free(e);
}

static inline void paper_begin(struct paper_store *s, uint64_t seed,
			       const struct lsm_layout *layout)
{
	struct lsm_state empty = { 0 };

	memset(s, 0, sizeof(*s));
	s->random = seed * 0x9e3779b97f4a7c15u + 1;
	s->seed = seed;
	s->layout = *layout;
	s->next = 1;
	assert_int_equal(lsm_state_version(&empty, NULL, &s->current, NULL), 0);
}

static inline void paper_end(struct paper_store *s)
{
	size_t i;

	for (i = 0; i < PAPER_WORK; i++)
		assert_false(s->work[i].is);
	lsm_version_unref(s->current);
	for (i = 0; i < s->next; i++) {
		free(s->table[i].entry);
		free(s->table[i].tombstone);
	}
}

/* ---- reading ---- */

static inline uint64_t paper_cover(const struct paper_store *s, size_t key)
{
	const struct lsm_version *v = s->current;
	uint64_t cover = 0;
	unsigned int level;
	size_t r, t, i;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++) {
				const struct paper_table *p = &s->table[v->level[level]
										.run[r]
										.table[t]
										->number];

				for (i = 0; i < p->tombstones; i++)
					if (p->tombstone[i].begin <= key &&
					    key < p->tombstone[i].end &&
					    p->tombstone[i].sequence > cover)
						cover = p->tombstone[i].sequence;
			}
	return cover;
}

/* The newest entry as a get finds it; NULL: none, or deleted. */
static inline const struct paper_entry *paper_get(const struct paper_store *s, size_t key)
{
	uint64_t cover = paper_cover(s, key);
	unsigned int level;
	uint8_t bytes[2];
	size_t r, i;

	paper_key(bytes, key);
	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < s->current->level[level].runs; r++) {
			const struct lsm_table *t = lsm_run_find(
				&s->current->level[level].run[r], kv_slice(bytes, 2));
			const struct paper_table *p = t ? &s->table[t->number] : NULL;

			for (i = 0; p && i < p->entries; i++)
				if (p->entry[i].key == key)
					return p->entry[i].deleted ||
							       p->entry[i].sequence <
								       cover
						       ? NULL
						       : &p->entry[i];
		}
	return NULL;
}

static inline void paper_check(const struct paper_store *s)
{
	struct kv_msg why = { "" };
	size_t key;

	if (lsm_version_check(s->current, &why))
		fail_msg("KV_SEED=%llu: %s", (unsigned long long)s->seed, why.text);
	for (key = 0; key < PAPER_KEYS; key++) {
		const struct paper_entry *e = paper_get(s, key), *is = &s->newest[key];
		uint64_t wanted = is->sequence && !is->deleted ? is->sequence : 0;

		if ((e ? e->sequence : 0) != wanted)
			fail_msg("KV_SEED=%llu: key %zu: sequence %llu, wanted %llu",
				 (unsigned long long)s->seed, key,
				 (unsigned long long)(e ? e->sequence : 0),
				 (unsigned long long)wanted);
	}
}

static inline uint64_t paper_live_bytes(const struct paper_store *s)
{
	uint64_t n = 0;
	size_t key;

	for (key = 0; key < PAPER_KEYS; key++)
		n += s->newest[key].sequence && !s->newest[key].deleted;
	return n * PAPER_ENTRY_BYTES;
}

/* ---- writing ---- */

static inline void paper_flush(struct paper_store *s, struct paper_table *t)
{
	struct lsm_edit e = { 0 };
	struct sst_summary summary;
	uint64_t number;

	if (t->entries)
		qsort(t->entry, t->entries, sizeof(*t->entry), paper_compare);
	number = paper_table(s, t, &summary);
	s->flushed_bytes += summary.bytes;
	assert_int_equal(lsm_edit_add(&e, 0, 0, number, &summary), 0);
	paper_commit(s, &e);
}

/* n writes of keys in [low, high), each key once; deletes of a hundred are deletes. */
static inline void paper_write(struct paper_store *s, size_t n, size_t low, size_t high,
			       unsigned int deletes)
{
	struct paper_table t = { .entry = malloc((n + 1) * sizeof(*t.entry)) };
	bool seen[PAPER_KEYS] = { false };
	size_t i;

	for (i = 0; i < n; i++) {
		size_t key = low + paper_random(s) % (high - low);
		struct paper_entry e = { (uint16_t)key, paper_random(s) % 100 < deletes,
					 ++s->sequence };

		if (seen[key])
			continue;
		seen[key] = true;
		t.entry[t.entries++] = s->newest[key] = e;
	}
	paper_flush(s, &t);
}

static inline void paper_delete_range(struct paper_store *s, size_t begin, size_t end)
{
	struct paper_table t = { .tombstone = malloc(sizeof(*t.tombstone)),
				 .tombstones = 1 };
	size_t key;

	*t.tombstone =
		(struct paper_tombstone){ (uint16_t)begin, (uint16_t)end, ++s->sequence };
	for (key = begin; key < end; key++)
		s->newest[key].sequence = 0;
	paper_flush(s, &t);
}

/* ---- compactions ---- */

static inline void paper_busy(const struct lsm_pick *p, bool busy)
{
	size_t i, j;

	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables; j++) {
			assert_int_equal(p->source[i].table[j]->busy, !busy);
			p->source[i].table[j]->busy = busy;
		}
}

/* 1: one was begun; 0: nothing is to be done, or too much is under way. */
static inline int paper_start(struct paper_store *s, const struct lsm_pick *pick)
{
	size_t i;

	for (i = 0; s->work[i].is; i++)
		assert_true(i + 1 < PAPER_WORK);
	s->work[i] = (struct paper_work){ true, s->current, *pick };
	lsm_version_ref(s->current);
	paper_busy(pick, true);
	s->picks++;
	s->moves += pick->move;
	return 1;
}

/* Entries of the sources in [begin, end), the newest of each key, without what tombstones
 * hide; the tombstones cut to the range. */
static inline void paper_merge(struct paper_store *s, const struct lsm_pick *p,
			       size_t begin, size_t end, struct paper_table *out)
{
	struct paper_entry newest[PAPER_KEYS];
	uint64_t cover[PAPER_KEYS] = { 0 }, merged = 0;
	size_t i, j, k, n = 0, key;

	memset(newest, 0, sizeof(newest));
	memset(out, 0, sizeof(*out));
	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables; j++)
			n += s->table[p->source[i].table[j]->number].tombstones;
	out->tombstone = malloc((n + 1) * sizeof(*out->tombstone));
	out->entry = malloc(PAPER_KEYS * sizeof(*out->entry));
	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables; j++) {
			const struct paper_table *t =
				&s->table[p->source[i].table[j]->number];

			for (k = 0; k < t->entries; k++) {
				const struct paper_entry *e = &t->entry[k];

				if (e->key < begin || e->key >= end)
					continue;
				merged++;
				if (e->sequence > newest[e->key].sequence)
					newest[e->key] = *e;
			}
			for (k = 0; k < t->tombstones; k++) {
				struct paper_tombstone d = t->tombstone[k];

				d.begin = d.begin < begin ? (uint16_t)begin : d.begin;
				d.end = d.end > end ? (uint16_t)end : d.end;
				if (d.begin >= d.end)
					continue;
				for (key = d.begin; key < d.end; key++)
					cover[key] = cover[key] > d.sequence ? cover[key]
									     : d.sequence;
				if (!p->bottom)
					out->tombstone[out->tombstones++] = d;
			}
		}
	for (key = begin; key < end && key < PAPER_KEYS; key++)
		if (newest[key].sequence && newest[key].sequence >= cover[key] &&
		    !(newest[key].deleted && p->bottom))
			out->entry[out->entries++] = newest[key];
	if (merged > s->entries_merged_max)
		s->entries_merged_max = merged;
}

/* The part of all that lies in [begin, end), as a table. */
static inline void paper_cut(struct paper_store *s, const struct paper_table *all,
			     size_t begin, size_t end, const struct lsm_pick *p,
			     struct lsm_edit *e)
{
	struct paper_table t = { .entry = malloc((all->entries + 1) * sizeof(*t.entry)),
				 .tombstone = malloc((all->tombstones + 1) *
						     sizeof(*t.tombstone)) };
	struct sst_summary summary;
	uint64_t number;
	size_t i;

	for (i = 0; i < all->entries; i++)
		if (all->entry[i].key >= begin && all->entry[i].key < end)
			t.entry[t.entries++] = all->entry[i];
	for (i = 0; i < all->tombstones; i++) {
		struct paper_tombstone d = all->tombstone[i];

		d.begin = d.begin < begin ? (uint16_t)begin : d.begin;
		d.end = d.end > end ? (uint16_t)end : d.end;
		if (d.begin < d.end)
			t.tombstone[t.tombstones++] = d;
	}
	if (!t.entries && !t.tombstones) {
		free(t.entry);
		free(t.tombstone);
		return;
	}
	number = paper_table(s, &t, &summary);
	s->written_bytes += summary.bytes;
	assert_int_equal(lsm_edit_add(e, p->to, p->run, number, &summary), 0);
}

static inline void paper_write_tables(struct paper_store *s, const struct lsm_pick *p,
				      struct lsm_edit *e)
{
	size_t begin = paper_number(&p->begin);
	size_t end = p->end_open ? PAPER_KEYS : paper_number(&p->end), at = begin, key;
	size_t most = (size_t)(s->layout.table_bytes / PAPER_ENTRY_BYTES), n = 0, i = 0;
	struct paper_table all;

	paper_merge(s, p, begin, end, &all);
	for (key = begin; key < end; key++) {
		for (; i < all.entries && all.entry[i].key == key; i++)
			n++;
		if (n >= most || (p->cut.len && key + 1 == paper_number(&p->cut))) {
			paper_cut(s, &all, at, key + 1, p, e);
			at = key + 1;
			n = 0;
		}
	}
	paper_cut(s, &all, at, end, p, e);
	free(all.entry);
	free(all.tombstone);
}

static inline void paper_finish(struct paper_store *s, size_t i)
{
	struct paper_work *w = &s->work[i];
	const struct lsm_pick *p = &w->pick;
	struct lsm_edit e = { 0 };
	size_t j, k;

	for (j = 0; p->move && j < p->sources; j++)
		for (k = 0; k < p->source[j].tables; k++)
			assert_int_equal(lsm_edit_move(&e, p->source[j].table[k]->number,
						       p->to, p->run),
					 0);
	for (j = 0; j < p->removes; j++)
		assert_int_equal(lsm_edit_remove(&e, p->remove[j]), 0);
	if (!p->move)
		paper_write_tables(s, p, &e);
	if (p->progress) {
		e.has_progress = true;
		e.progress_level = p->from;
		e.progress_run = p->progress_run;
		assert_int_equal(kv_buf_set(&e.progress, p->end.data, p->end.len), 0);
	}
	paper_commit(s, &e);
	paper_busy(p, false);
	lsm_pick_free(&w->pick);
	lsm_version_unref(w->version);
	w->is = false;
}

/* What is most urgent, begun and ended; 0: there was nothing. */
static inline int paper_step(struct paper_store *s)
{
	struct lsm_pick p;
	int result = lsm_pick(s->current, &s->layout, &p);

	assert_true(result >= 0);
	if (!result)
		return 0;
	(void)paper_start(s, &p);
	for (result = 0; !s->work[result].is; result++)
		;
	paper_finish(s, (size_t)result);
	return 1;
}

static inline void paper_finish_all(struct paper_store *s)
{
	size_t i;

	for (i = 0; i < PAPER_WORK; i++)
		if (s->work[i].is)
			paper_finish(s, i);
}

/* Until nothing is left to do; how many compactions that took. */
static inline unsigned int paper_settle(struct paper_store *s)
{
	unsigned int n = 0;

	paper_finish_all(s);
	while (paper_step(s))
		if (++n > 2000)
			fail_msg("KV_SEED=%llu: there is always more to do",
				 (unsigned long long)s->seed);
	return n;
}

#endif /* LSM_PAPER_STORE_H */
