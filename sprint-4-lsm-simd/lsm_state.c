/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_state.c - a version in the making: another one taken apart, changed by an edit, and put
 * together again.
 *
 * An edit names few tables of thousands, so a pass over all of them looks each up in what the
 * edit names. The same code takes in a manifest, record after record, and makes one version of
 * it at the end.
 */
#include "lsm_version_internal.h"

/* ---- references ---- */

void lsm_table_free(struct lsm_table *t)
{
	if (!t)
		return;
	if (t->sst)
		sst_close(t->sst);
	sst_summary_free(&t->summary);
	port_free(t);
}

bool lsm_table_unref(struct lsm_table *t)
{
	return port_fetch_add(&t->references, (uint32_t)-1) == 1;
}

void lsm_blob_file_free(struct lsm_blob_file *b)
{
	if (!b)
		return;
	if (b->blob)
		lsm_blob_close(b->blob);
	port_free(b);
}

bool lsm_blob_file_unref(struct lsm_blob_file *b)
{
	return port_fetch_add(&b->references, (uint32_t)-1) == 1;
}

static void table_put(struct lsm_table *t)
{
	if (lsm_table_unref(t))
		lsm_table_free(t);
}

static void blob_file_put(struct lsm_blob_file *b)
{
	if (lsm_blob_file_unref(b))
		lsm_blob_file_free(b);
}

/* ---- the state ---- */

void lsm_state_free(struct lsm_state *s)
{
	unsigned int level;
	size_t i;

	for (i = 0; i < s->places; i++)
		table_put(s->place[i].table);
	for (i = 0; i < s->blobs; i++)
		blob_file_put(s->blob[i]);
	for (level = 0; level < LSM_LEVELS; level++)
		kv_buf_free(&s->progress[level].key);
	port_free(s->place);
	port_free(s->blob);
	memset(s, 0, sizeof(*s));
}

/* Takes the reference over, also when it fails. */
static int add_place(struct lsm_state *s, struct lsm_table *t, unsigned int level,
		     uint64_t run)
{
	struct lsm_place *room = lsm_list_room(s->place, s->places, sizeof(*room));

	if (!room) {
		table_put(t);
		return -ENOMEM;
	}
	s->place = room;
	s->place[s->places++] = (struct lsm_place){ t, run, level };
	return 0;
}

static int add_blob(struct lsm_state *s, struct lsm_blob_file *b)
{
	struct lsm_blob_file **room = lsm_list_room(s->blob, s->blobs, sizeof(*room));

	if (!room) {
		blob_file_put(b);
		return -ENOMEM;
	}
	s->blob = room;
	s->blob[s->blobs++] = b;
	return 0;
}

int lsm_state_set_progress(struct lsm_state *s, unsigned int level, uint64_t run,
			   struct kv_slice key)
{
	s->progress[level].run = key.len ? run : 0;
	return kv_buf_set(&s->progress[level].key, key.data, key.len);
}

static int add_level(struct lsm_state *s, unsigned int level, const struct lsm_level *l)
{
	size_t r, t;
	int error = lsm_state_set_progress(s, level, l->progress_run,
					   kv_slice(l->progress.data, l->progress.len));

	for (r = 0; r < l->runs; r++)
		for (t = 0; !error && t < l->run[r].tables; t++) {
			(void)port_fetch_add(&l->run[r].table[t]->references, 1);
			error = add_place(s, l->run[r].table[t], level, l->run[r].id);
		}
	return error;
}

int lsm_state_from(struct lsm_state *s, const struct lsm_version *v)
{
	unsigned int level;
	size_t i;
	int error = 0;

	s->log_position = v->log_position;
	for (level = 0; !error && level < LSM_LEVELS; level++)
		error = add_level(s, level, &v->level[level]);
	for (i = 0; !error && i < v->blobs; i++) {
		(void)port_fetch_add(&v->blob[i].file->references, 1);
		error = add_blob(s, v->blob[i].file);
	}
	return error;
}

/* ---- applying an edit ---- */

static int compare_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static size_t find_number(const uint64_t *number, size_t n, uint64_t wanted)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (number[mid] < wanted)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && number[low] == wanted ? low : n;
}

static int drop_removed(struct lsm_state *s, const struct lsm_edit *e, struct kv_msg *why)
{
	uint64_t *number;
	size_t i, kept = 0, found;

	if (!e->removes)
		return 0;
	number = port_alloc(e->removes * sizeof(*number));
	if (!number)
		return -ENOMEM;
	memcpy(number, e->remove, e->removes * sizeof(*number));
	port_sort(number, e->removes, sizeof(*number), compare_number);
	for (i = 0; i < s->places; i++) {
		if (find_number(number, e->removes, s->place[i].table->number) ==
		    e->removes)
			s->place[kept++] = s->place[i];
		else
			table_put(s->place[i].table);
	}
	port_free(number);
	found = s->places - kept;
	s->places = kept;
	return found == e->removes
		       ? 0
		       : kv_fail(why, -EINVAL,
				 "an edit removes %zu tables, of which %zu are there",
				 e->removes, found);
}

/* What is added to runs that are being merged away has yet to be merged. */
static int lower_progress(struct lsm_state *s, unsigned int level, uint64_t run,
			  const struct sst_summary *added)
{
	const struct lsm_progress *p = &s->progress[level];
	struct kv_slice smallest = kv_slice(added->smallest.data, added->smallest.len);

	if (!p->key.len || run > p->run ||
	    kv_compare(smallest, kv_slice(p->key.data, p->key.len)) >= 0)
		return 0;
	return lsm_state_set_progress(s, level, p->run, smallest);
}

static int compare_move(const void *a, const void *b)
{
	return compare_number(&((const struct lsm_edit_move *)a)->number,
			      &((const struct lsm_edit_move *)b)->number);
}

/* Moves are many when a whole level moves: sorted like removals. */
static int move_tables(struct lsm_state *s, const struct lsm_edit *e, uint64_t new_run,
		       struct kv_msg *why)
{
	struct lsm_edit_move *move;
	uint64_t *number;
	size_t i, at, found = 0;
	int error = 0;

	if (!e->moves)
		return 0;
	move = port_alloc(e->moves * (sizeof(*move) + sizeof(*number)));
	if (!move)
		return -ENOMEM;
	number = (uint64_t *)(move + e->moves);
	memcpy(move, e->move, e->moves * sizeof(*move));
	port_sort(move, e->moves, sizeof(*move), compare_move);
	for (i = 0; i < e->moves; i++)
		number[i] = move[i].number;
	for (i = 0; !error && i < s->places; i++) {
		struct lsm_place *p = &s->place[i];

		at = find_number(number, e->moves, p->table->number);
		if (at == e->moves)
			continue;
		p->level = move[at].level;
		p->run = move[at].run ? move[at].run : new_run;
		error = lower_progress(s, p->level, p->run, &p->table->summary);
		found++;
	}
	port_free(move);
	if (error || found == e->moves)
		return error;
	return kv_fail(why, -EINVAL, "an edit moves %zu tables, of which %zu are there",
		       e->moves, found);
}

static int add_table(struct lsm_state *s, const struct lsm_edit_add *add, uint64_t run)
{
	struct lsm_table *t = port_alloc(sizeof(*t));
	int error;

	if (!t)
		return -ENOMEM;
	*t = (struct lsm_table){ .number = add->number, .references = 1 };
	error = sst_summary_copy(&t->summary, &add->summary);
	if (error) {
		lsm_table_free(t);
		return error;
	}
	error = add_place(s, t, add->level, run);
	return error ? error : lower_progress(s, add->level, run, &add->summary);
}

static int add_blob_file(struct lsm_state *s, const struct lsm_edit_blob *add)
{
	struct lsm_blob_file *b = port_alloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	*b = (struct lsm_blob_file){ .number = add->number,
				     .summary = add->summary,
				     .references = 1 };
	return add_blob(s, b);
}

static int check_levels(const struct lsm_edit *e, struct kv_msg *why)
{
	unsigned int level = e->has_progress ? e->progress_level : 0;
	size_t i;

	for (i = 0; i < e->adds; i++)
		level = level < e->add[i].level ? e->add[i].level : level;
	for (i = 0; i < e->moves; i++)
		level = level < e->move[i].level ? e->move[i].level : level;
	return level < LSM_LEVELS
		       ? 0
		       : kv_fail(why, -EINVAL, "an edit speaks of level %u", level);
}

int lsm_state_apply(struct lsm_state *s, const struct lsm_edit *e, uint64_t new_run,
		    struct kv_msg *why)
{
	size_t i;
	int error = check_levels(e, why);

	if (!error)
		error = drop_removed(s, e, why);
	if (!error)
		error = move_tables(s, e, new_run, why);
	for (i = 0; !error && i < e->blobs; i++)
		error = add_blob_file(s, &e->blob[i]);
	for (i = 0; !error && i < e->adds; i++)
		error = add_table(s, &e->add[i], e->add[i].run ? e->add[i].run : new_run);
	if (!error && e->has_progress)
		error = lsm_state_set_progress(
			s, e->progress_level, e->progress_run,
			kv_slice(e->progress.data, e->progress.len));
	if (!error && e->log_position)
		s->log_position = e->log_position;
	return error == -ENOMEM ? kv_fail(why, error, "no memory for a version") : error;
}

/* The least key of a table that is in the runs up to progress_run and that nobody works on: the
 * compaction has not seen it, else it were busy. */
static const struct kv_buf *least_unseen(const struct lsm_level *l, uint64_t progress_run)
{
	const struct kv_buf *least = NULL;
	size_t r, t;

	for (r = 0; r < l->runs; r++)
		for (t = 0; l->run[r].id <= progress_run && t < l->run[r].tables; t++) {
			const struct lsm_table *table = l->run[r].table[t];
			const struct kv_buf *key = &table->summary.smallest;

			if (!table->busy &&
			    (!least || kv_compare(kv_slice(key->data, key->len),
						  kv_slice(least->data, least->len)) < 0))
				least = key;
		}
	return least;
}

int lsm_edit_bound_progress(struct lsm_edit *e, const struct lsm_version *v)
{
	const struct kv_buf *least;

	if (!e->has_progress || e->progress_level >= LSM_LEVELS)
		return 0;
	least = least_unseen(&v->level[e->progress_level], e->progress_run);
	if (!least || kv_compare(kv_slice(e->progress.data, e->progress.len),
				 kv_slice(least->data, least->len)) <= 0)
		return 0;
	return kv_buf_set(&e->progress, least->data, least->len);
}

/* ---- putting a version together ---- */

static int compare_blob(const void *a, const void *b)
{
	return compare_number(&(*(struct lsm_blob_file *const *)a)->number,
			      &(*(struct lsm_blob_file *const *)b)->number);
}

static int compare_place(const void *a, const void *b)
{
	const struct lsm_place *x = a, *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	if (x->run != y->run)
		return x->run > y->run ? -1 : 1;
	return kv_compare(
		kv_slice(x->table->summary.smallest.data, x->table->summary.smallest.len),
		kv_slice(y->table->summary.smallest.data,
			 y->table->summary.smallest.len));
}

/* live[i] of blob[i], which are sorted. */
static int count_live(const struct lsm_state *s, uint64_t *live, struct kv_msg *why)
{
	size_t i, j;

	for (i = 0; i < s->places; i++) {
		const struct lsm_table *t = s->place[i].table;

		for (j = 0; j < t->summary.blobs; j++) {
			struct lsm_blob_file key = { .number = t->summary.blob[j].file };
			struct lsm_blob_file *k = &key, **at = s->blob;
			size_t low = 0, high = s->blobs;

			while (low < high) {
				size_t mid = low + (high - low) / 2;

				if (at[mid]->number < k->number)
					low = mid + 1;
				else
					high = mid;
			}
			if (low == s->blobs || at[low]->number != k->number)
				return kv_fail(
					why, -EINVAL,
					"table %llu refers to blob file %llu, which "
					"there is not",
					(unsigned long long)t->number,
					(unsigned long long)k->number);
			live[low] += t->summary.blob[j].bytes;
		}
	}
	return 0;
}

static uint64_t *live_new(struct lsm_state *s, int *error, struct kv_msg *why)
{
	uint64_t *live = port_alloc((s->blobs + 1) * sizeof(*live));

	*error = live ? 0 : -ENOMEM;
	if (!live)
		return NULL;
	memset(live, 0, (s->blobs + 1) * sizeof(*live));
	if (s->blobs)
		port_sort(s->blob, s->blobs, sizeof(*s->blob), compare_blob);
	*error = count_live(s, live, why);
	return live;
}

int lsm_state_drop_blobs(struct lsm_state *s, struct kv_msg *why)
{
	size_t i, kept = 0;
	int error;
	uint64_t *live = live_new(s, &error, why);

	for (i = 0; !error && i < s->blobs; i++) {
		if (live[i])
			s->blob[kept++] = s->blob[i];
		else
			blob_file_put(s->blob[i]);
	}
	if (!error)
		s->blobs = kept;
	port_free(live);
	return error;
}

static size_t count_runs(const struct lsm_state *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->places; i++)
		n += !i || s->place[i].level != s->place[i - 1].level ||
		     s->place[i].run != s->place[i - 1].run;
	return n;
}

/* Places are sorted. */
static void fill_levels(struct lsm_version *v, const struct lsm_state *s)
{
	struct lsm_run *r = NULL;
	size_t i, runs = 0;

	for (i = 0; i < s->places; i++) {
		const struct lsm_place *p = &s->place[i];
		struct lsm_level *l = &v->level[p->level];

		v->table[i] = p->table;
		if (!i || p->level != p[-1].level || p->run != p[-1].run) {
			r = &v->run[runs++];
			*r = (struct lsm_run){ .id = p->run, .table = &v->table[i] };
			if (!l->runs++)
				l->run = r;
		}
		r->tables++;
		r->bytes += p->table->summary.bytes;
		l->bytes += p->table->summary.bytes;
		v->bytes += p->table->summary.bytes;
	}
}

static int fill_tombstones(struct lsm_version *v, const struct lsm_state *s)
{
	const struct lsm_tombstones **set;
	size_t i, n = 0;
	int error;

	for (i = 0; i < s->places; i++)
		n += s->place[i].table->sst && s->place[i].table->summary.tombstones;
	if (!n)
		return 0;
	set = port_alloc(n * sizeof(*set));
	if (!set)
		return -ENOMEM;
	for (n = i = 0; i < s->places; i++)
		if (s->place[i].table->sst && s->place[i].table->summary.tombstones)
			set[n++] = sst_tombstones(s->place[i].table->sst);
	error = lsm_tombstones_union(set, n, &v->tombstones);
	port_free(set);
	return error;
}

static int version_new(const struct lsm_state *s, struct lsm_version **out)
{
	struct lsm_version *v = port_alloc(sizeof(*v));

	if (!v)
		return -ENOMEM;
	memset(v, 0, sizeof(*v));
	v->table = port_alloc((s->places + 1) * sizeof(struct lsm_table *));
	v->run = port_alloc((count_runs(s) + 1) * sizeof(*v->run));
	v->blob = port_alloc((s->blobs + 1) * sizeof(*v->blob));
	v->log_position = s->log_position;
	v->references = 1;
	if (!v->table || !v->run || !v->blob) {
		lsm_version_free(v);
		return -ENOMEM;
	}
	fill_levels(v, s);
	*out = v;
	return 0;
}

/* What the state owned is the version's now. Progress in runs that are gone is over. */
static void take_over(struct lsm_version *v, struct lsm_state *s)
{
	unsigned int level;

	for (level = 0; level < LSM_LEVELS; level++) {
		struct lsm_level *l = &v->level[level];

		l->progress_run = s->progress[level].run;
		l->progress = s->progress[level].key;
		if (l->runs && l->run[l->runs - 1].id <= l->progress_run)
			continue;
		kv_buf_free(&l->progress);
		l->progress_run = 0;
	}
	port_free(s->place);
	port_free(s->blob);
	memset(s, 0, sizeof(*s));
}

int lsm_state_version(struct lsm_state *s, struct lsm_versions *owner,
		      struct lsm_version **out, struct kv_msg *why)
{
	struct lsm_version *v = NULL;
	uint64_t *live;
	size_t i;
	int error;

	live = live_new(s, &error, why);
	if (!error && s->places)
		port_sort(s->place, s->places, sizeof(*s->place), compare_place);
	if (!error)
		error = version_new(s, &v);
	for (i = 0; !error && i < s->blobs; i++)
		v->blob[v->blobs++] = (struct lsm_blob_place){ s->blob[i], live[i] };
	port_free(live);
	if (!error)
		error = fill_tombstones(v, s);
	if (!error)
		error = lsm_version_check(v, why);
	if (error) {
		lsm_version_free(v);
		return error == -EBADMSG  ? -EINVAL
		       : error == -ENOMEM ? kv_fail(why, error, "no memory for a version")
					  : error;
	}
	v->owner = owner;
	take_over(v, s);
	*out = v;
	return 0;
}
