/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_pick.c - a decision as a list of tables: which are merged, over which keys, which are
 * done with then.
 *
 * A merge of runs is done in pieces, so that neither its time nor the space that it takes for a
 * while grows with the store. A piece ends where no table of the target is cut. A table of the
 * sources that reaches beyond the end stays, although part of it stands below as well then. That
 * is harmless as long as whatever hides some of its entries stays too: so a newer table stays
 * if its keys overlap with those of an older one that does. The next piece begins where this
 * one ended; tables that lie before that are done with as soon as no older one keeps them.
 */
#include "lsm_picker_internal.h"

/* Where keys end. */
struct bound {
	struct kv_slice key;
	bool open, included;
};

/* What is to be merged. */
struct plan {
	const struct lsm_run **run; /* newest first */
	size_t runs;
	const struct lsm_run *target; /* the oldest; NULL: a new run */
	bool from_the_first; /* nothing before begin has yet to be merged: tables that
			      * begin before it are taken, and may go */
};

static struct kv_slice slice(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static struct kv_slice smallest_of(const struct lsm_table *t)
{
	return slice(&t->summary.smallest);
}

static struct bound end_of(const struct lsm_table *t)
{
	return (struct bound){ slice(&t->summary.largest), t->summary.largest_open,
			       !t->summary.largest_excluded };
}

static bool is_before(struct kv_slice key, const struct bound *end)
{
	int order = end->open ? -1 : kv_compare(key, end->key);

	return order < 0 || (!order && end->included);
}

/* Does a table end at or before the place where all keys are less than end? */
static bool ends_within(const struct lsm_table *t, const struct bound *end)
{
	int order;

	if (end->open || t->summary.largest_open)
		return end->open;
	order = kv_compare(slice(&t->summary.largest), end->key);
	return order < 0 || (!order && (end->included || t->summary.largest_excluded));
}

static struct bound later(struct bound a, struct bound b)
{
	int order;

	if (a.open || b.open)
		return a.open ? a : b;
	order = kv_compare(a.key, b.key);
	return order > 0 || (!order && a.included) ? a : b;
}

/* Tables of r with keys in [begin, end]: the first, and how many. */
static size_t meet(const struct lsm_run *r, struct kv_slice begin,
		   const struct bound *end, size_t *first)
{
	size_t low, high = r->tables;

	(void)lsm_run_overlap(r, begin, kv_slice(NULL, 0), first);
	low = *first;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (is_before(smallest_of(r->table[mid]), end))
			low = mid + 1;
		else
			high = mid;
	}
	return low - *first;
}

static bool any_busy(struct lsm_table *const *table, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (table[i]->busy)
			return true;
	return false;
}

static bool all_busy(const struct lsm_run *r)
{
	size_t i;

	for (i = 0; i < r->tables; i++)
		if (!r->table[i]->busy)
			return false;
	return r->tables > 0;
}

/* ---- what is older ---- */

static bool is_older_free(const struct lsm_version *v, unsigned int level, uint64_t run,
			  struct kv_slice begin, const struct bound *end)
{
	size_t r, first;

	for (; level < LSM_LEVELS; level++, run = UINT64_MAX)
		for (r = 0; r < v->level[level].runs; r++)
			if (v->level[level].run[r].id < run &&
			    meet(&v->level[level].run[r], begin, end, &first))
				return false;
	return true;
}

bool lsm_is_oldest(const struct lsm_version *v, unsigned int level, uint64_t run,
		   const struct sst_summary *range)
{
	const struct bound end = { slice(&range->largest), range->largest_open,
				   !range->largest_excluded };

	return is_older_free(v, level, run, slice(&range->smallest), &end);
}

/* ---- from a plan to a pick ---- */

void lsm_pick_free(struct lsm_pick *p)
{
	size_t i;

	for (i = 0; i < p->sources; i++)
		port_free(p->source[i].table);
	port_free(p->source);
	port_free(p->remove);
	kv_buf_free(&p->begin);
	kv_buf_free(&p->end);
	kv_buf_free(&p->cut);
	memset(p, 0, sizeof(*p));
}

/* Ends a function that failed or found that nothing can be done. */
static int give_up(struct lsm_pick *p, int result)
{
	lsm_pick_free(p);
	return result;
}

static int add_source(struct lsm_pick *p, struct lsm_table *const *table, size_t n)
{
	struct lsm_source *s = &p->source[p->sources];
	size_t i;

	s->table = port_alloc(n * sizeof(struct lsm_table *));
	if (!s->table)
		return -ENOMEM;
	memcpy(s->table, table, n * sizeof(struct lsm_table *));
	s->tables = n;
	p->sources++;
	for (i = 0; i < n; i++)
		p->bytes += table[i]->summary.bytes;
	return 0;
}

static int set_keys(struct lsm_pick *p, struct kv_slice begin, const struct bound *end)
{
	int error = kv_buf_set(&p->begin, begin.data, begin.len);

	p->end_open = end->open;
	if (!error && !end->open)
		error = kv_buf_set(&p->end, end->key.data, end->key.len);
	return error;
}

/* What of a run is a source of the piece. */
static size_t source_of(const struct plan *plan, const struct lsm_run *r,
			struct kv_slice begin, const struct bound *end, size_t *first)
{
	if (r == plan->target || !plan->from_the_first)
		return meet(r, begin, end, first);
	*first = 0;
	return meet(r, kv_slice(NULL, 0), end, first);
}

/* Sources and the room for what is removed. 1, or 0 when some table is busy. */
static int take_sources(const struct plan *plan, struct kv_slice begin,
			const struct bound *end, struct lsm_pick *p)
{
	size_t i, first, n, all = 0;
	int error = 0;

	p->source = port_alloc((plan->runs + 1) * sizeof(*p->source));
	if (!p->source)
		return -ENOMEM;
	for (i = 0; !error && i < plan->runs + 1; i++) {
		const struct lsm_run *r = i < plan->runs ? plan->run[i] : plan->target;

		n = r ? source_of(plan, r, begin, end, &first) : 0;
		if (!n)
			continue;
		if (any_busy(&r->table[first], n))
			return 0;
		error = add_source(p, &r->table[first], n);
		all += n;
	}
	p->remove = error ? NULL : port_alloc((all + 1) * sizeof(*p->remove));
	return p->remove ? 1 : -ENOMEM;
}

/* The keys of tables that stay: none may be hidden by what goes. */
struct stay {
	bool left, right; /* there are some at that side */
	struct bound left_end;
	struct kv_slice right_begin;
};

static void keep(struct stay *s, const struct lsm_table *t, bool left)
{
	if (left) {
		s->left_end = s->left ? later(s->left_end, end_of(t)) : end_of(t);
		s->left = true;
	} else {
		if (!s->right || kv_compare(smallest_of(t), s->right_begin) < 0)
			s->right_begin = smallest_of(t);
		s->right = true;
	}
}

static bool is_kept(const struct stay *s, const struct lsm_table *t, bool *left)
{
	const struct bound right = { s->right_begin, false, false };

	*left = s->left && is_before(smallest_of(t), &s->left_end);
	return *left || (s->right && !ends_within(t, &right));
}

/* Which tables go, decided from the oldest source to the newest. */
static void choose_removed(const struct plan *plan, struct kv_slice begin,
			   const struct bound *end, struct lsm_pick *p)
{
	struct stay stay = { 0 };
	size_t i = p->sources, j;

	while (i--) {
		const struct lsm_source *s = &p->source[i];

		/* From the right, so that what stays there is known to its neighbours. */
		for (j = s->tables; j--;) {
			const struct lsm_table *t = s->table[j];
			bool cut_left = !plan->from_the_first &&
					kv_compare(smallest_of(t), begin) < 0;
			bool left = cut_left;

			if (cut_left || !ends_within(t, end) || is_kept(&stay, t, &left))
				keep(&stay, t, left);
			else
				p->remove[p->removes++] = t->number;
		}
	}
}

/* ---- where a piece ends ---- */

struct walk { /* over the tables of several runs by their smallest keys */
	size_t *at;
	const struct lsm_run **run;
	size_t runs;
};

static struct lsm_table *walk_next(struct walk *w)
{
	struct lsm_table *least = NULL;
	size_t i, from = 0;

	for (i = 0; i < w->runs; i++) {
		struct lsm_table *t =
			w->at[i] < w->run[i]->tables ? w->run[i]->table[w->at[i]] : NULL;

		if (t && (!least || kv_compare(smallest_of(t), smallest_of(least)) < 0)) {
			least = t;
			from = i;
		}
	}
	if (least)
		w->at[from]++;
	return least;
}

/* Runs of the plan and its target. */
static int walk_begin(struct walk *w, const struct plan *plan)
{
	size_t n = plan->runs + 1;

	w->at = port_alloc(n * (sizeof(*w->at) + sizeof(struct lsm_run *)));
	if (!w->at)
		return -ENOMEM;
	memset(w->at, 0, n * sizeof(*w->at));
	w->run = (const struct lsm_run **)(w->at + n);
	memcpy(w->run, plan->run, plan->runs * sizeof(struct lsm_run *));
	w->runs = plan->runs;
	if (plan->target)
		w->run[w->runs++] = plan->target;
	return 0;
}

/* Would key cut a table of the target in two? */
static bool cuts_target(const struct plan *plan, struct kv_slice key)
{
	struct lsm_table *t = plan->target ? lsm_run_find(plan->target, key) : NULL;

	return t && kv_compare(smallest_of(t), key) < 0;
}

/* Bytes of a run's tables behind begin; of those that end before key, unless that is NULL. */
static uint64_t bytes_between(const struct lsm_run *r, struct kv_slice begin,
			      const struct kv_slice *key)
{
	uint64_t bytes = 0;
	size_t i, n, first;

	n = lsm_run_overlap(r, begin, key ? *key : kv_slice(NULL, 0), &first);
	for (i = first; i < first + n; i++)
		if (!key || sst_summary_ends_before(&r->table[i]->summary, *key))
			bytes += r->table[i]->summary.bytes;
	return bytes;
}

struct extent {                   /* of all that a plan has yet to merge */
	uint64_t sources, target; /* bytes */
};

static struct extent extent_of(const struct plan *plan, struct kv_slice begin)
{
	struct extent e = { 0 };
	size_t i;

	for (i = 0; i < plan->runs; i++)
		e.sources += bytes_between(plan->run[i], begin, NULL);
	if (plan->target)
		e.target = bytes_between(plan->target, begin, NULL);
	return e;
}

/* About how much of the plan lies between begin and key: what ends there, or, where the keys
 * of tables from above are spread over all of the target's, the same share as of the target. */
static uint64_t piece_bytes(const struct plan *plan, const struct extent *all,
			    struct kv_slice begin, struct kv_slice key)
{
	uint64_t ended = 0, target, sources;
	size_t i;

	for (i = 0; i < plan->runs; i++)
		ended += bytes_between(plan->run[i], begin, &key);
	if (!plan->target)
		return ended;
	target = bytes_between(plan->target, begin, &key);
	sources = all->target ? lsm_share(target, all->target, all->sources) : 0;
	return target + (sources > ended ? sources : ended);
}

/* The first place where enough lies between begin and it. */
static int piece_end(const struct plan *plan, struct kv_slice begin, uint64_t bytes,
		     struct bound *end)
{
	const struct extent all = extent_of(plan, begin);
	struct walk w;
	struct lsm_table *t;
	int error = walk_begin(&w, plan);

	*end = (struct bound){ .open = true };
	if (error)
		return error;
	while ((t = walk_next(&w))) {
		struct kv_slice key = smallest_of(t);

		if (kv_compare(key, begin) > 0 && !cuts_target(plan, key) &&
		    piece_bytes(plan, &all, begin, key) >= bytes) {
			*end = (struct bound){ .key = key };
			break;
		}
	}
	port_free(w.at);
	return 0;
}

/* 1: no two tables of all these runs overlap. */
static int are_disjoint(const struct plan *plan)
{
	const struct lsm_table *last = NULL, *t;
	struct walk w;
	int result = walk_begin(&w, plan);

	if (result)
		return result;
	for (result = 1; result && (t = walk_next(&w)); last = t)
		if (last && !sst_summary_ends_before(&last->summary, smallest_of(t)))
			result = 0;
	port_free(w.at);
	return result;
}

/* ---- merges of runs ---- */

size_t lsm_unfinished_runs(const struct lsm_shape *s, unsigned int level)
{
	return level && s->v->level[level - 1].progress.len && s->v->level[level].runs &&
	       !lsm_is_leveled(s, level);
}

/* The run of a level that takes what comes from above; NULL: a new one. */
static const struct lsm_run *target_of(const struct lsm_shape *s, unsigned int from)
{
	const struct lsm_level *to = &s->v->level[from + 1];

	if (!to->runs)
		return NULL;
	return lsm_is_leveled(s, from + 1) || s->v->level[from].progress.len ? to->run
									     : NULL;
}

static int pick_move(const struct plan *plan, struct lsm_pick *out)
{
	const struct bound all = { .open = true };
	size_t i;
	int error = 0;

	out->source = port_alloc((plan->runs + 1) * sizeof(*out->source));
	if (!out->source)
		return give_up(out, -ENOMEM);
	for (i = 0; !error && i < plan->runs; i++) {
		if (any_busy(plan->run[i]->table, plan->run[i]->tables))
			return give_up(out, 0);
		error = add_source(out, plan->run[i]->table, plan->run[i]->tables);
	}
	if (!error)
		error = set_keys(out, kv_slice(NULL, 0), &all);
	out->move = true;
	return error ? give_up(out, error) : 1;
}

/* Bytes of the plan's tables that begin and end within a table of its target. */
static uint64_t bytes_within(const struct plan *plan, const struct lsm_table *t)
{
	const struct kv_slice end = slice(&t->summary.largest);
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < plan->runs; i++)
		bytes += bytes_between(plan->run[i], smallest_of(t),
				       t->summary.largest_open ? NULL : &end);
	return bytes;
}

/* Where to cut a table of the target so that about half of those bytes are on each side. False:
 * no table of the plan begins within it. */
static bool middle_of(const struct plan *plan, const struct lsm_table *t, uint64_t bytes,
		      struct kv_slice *key)
{
	const struct bound end = end_of(t);
	uint64_t before = 0;
	bool found = false;
	struct lsm_table *u;
	struct walk w;

	if (walk_begin(&w, plan))
		return false;
	while ((u = walk_next(&w)) && is_before(smallest_of(u), &end)) {
		if (kv_compare(smallest_of(u), smallest_of(t)) <= 0)
			continue;
		*key = smallest_of(u);
		found = true;
		if (before >= bytes / 2)
			break;
		before += u->summary.bytes;
	}
	port_free(w.at);
	return found;
}

/* A table of the target whose keys lie so far apart that a piece, which can't end within it,
 * would take too many tables of the plan: it is cut in two first. 0: there is none. */
static int pick_wide(const struct lsm_shape *s, const struct plan *plan,
		     struct kv_slice begin, const struct bound *end, struct lsm_pick *out)
{
	size_t i, first, n = plan->target ? meet(plan->target, begin, end, &first) : 0;

	for (i = 0; s->l->wide_bytes && i < n; i++) {
		struct lsm_table *t = plan->target->table[first + i];
		uint64_t bytes = bytes_within(plan, t);
		struct kv_slice key;

		if (bytes > s->l->wide_bytes && !t->busy &&
		    middle_of(plan, t, bytes, &key))
			return lsm_pick_split(s, out->to, plan->target, first + i, key,
					      out);
	}
	return 0;
}

static int pick_piece(const struct lsm_shape *s, const struct plan *plan,
		      struct lsm_pick *out)
{
	const struct lsm_level *from = &s->v->level[out->from];
	struct kv_slice begin = slice(&from->progress);
	struct lsm_table *t = plan->target ? lsm_run_find(plan->target, begin) : NULL;
	struct bound end;
	int result;

	/* Progress that was taken back may lie within a table of the target. */
	if (t && kv_compare(smallest_of(t), begin) < 0)
		begin = smallest_of(t);
	result = piece_end(plan, begin, s->l->piece_bytes, &end);
	if (!result && (result = pick_wide(s, plan, begin, &end, out)))
		return result;
	if (!result)
		result = take_sources(plan, begin, &end, out);
	if (result <= 0)
		return give_up(out, result);
	result = set_keys(out, begin, &end);
	if (result)
		return give_up(out, result);
	choose_removed(plan, begin, &end, out);
	out->bottom = is_older_free(
		s->v, out->to, plan->target ? plan->target->id : UINT64_MAX, begin, &end);
	/* All at once needs no note, unless there is one to be cleared. */
	out->progress = !end.open || from->progress.len;
	out->progress_run = plan->run[0]->id;
	return 1;
}

int lsm_pick_merge(const struct lsm_shape *s, unsigned int level, struct lsm_pick *out)
{
	const struct lsm_level *from = &s->v->level[level];
	const struct lsm_run **run;
	struct plan plan = { .from_the_first = true };
	size_t i = from->progress.len ? 0 : lsm_unfinished_runs(s, level);
	int result;

	memset(out, 0, sizeof(*out));
	run = port_alloc((from->runs + 1) * sizeof(struct lsm_run *));
	if (!run)
		return -ENOMEM;
	for (; i < from->runs; i++)
		if (!from->progress.len || from->run[i].id <= from->progress_run)
			run[plan.runs++] = &from->run[i];
	plan.run = run;
	plan.target = target_of(s, level);
	out->from = level;
	out->to = level + 1;
	out->run = plan.target ? plan.target->id : 0;
	if (!plan.runs || (plan.target && all_busy(plan.target)))
		result = 0;
	else
		result = from->progress.len ? 0 : are_disjoint(&plan);
	if (result == 1)
		result = pick_move(&plan, out);
	else if (!result && plan.runs && !(plan.target && all_busy(plan.target)))
		result = pick_piece(s, &plan, out);
	port_free(run);
	return result;
}

int lsm_pick_descent(const struct lsm_shape *s, unsigned int level, struct lsm_pick *out)
{
	const struct lsm_run *run = &s->v->level[level].run[0];
	const struct plan plan = { .run = &run, .runs = 1 };
	unsigned int above = level - 1;
	size_t r;

	memset(out, 0, sizeof(*out));
	/* What comes from above goes into this run: it must have arrived. */
	if (s->v->level[above].progress.len)
		return 0;
	for (r = 0; r < s->v->level[above].runs; r++)
		if (any_busy(s->v->level[above].run[r].table,
			     s->v->level[above].run[r].tables))
			return 0;
	out->from = level;
	out->to = level + 1;
	return pick_move(&plan, out);
}

/* ---- tables of a leveled level ---- */

/* Can tables first .. first + n of the target be merged with, or, n being 0, can something come
 * between its neighbours? A compaction may write a table over a gap between its sources, so a
 * busy neighbour makes the gap beside it busy as well. */
static bool is_free(const struct lsm_run *target, size_t first, size_t n)
{
	size_t from = first ? first - 1 : 0, to = first + n;

	if (to < target->tables)
		to++;
	return !any_busy(&target->table[from], to - from);
}

/* Bytes of the target that the table would be merged with; UINT64_MAX: some are busy. */
static uint64_t overlap_bytes(const struct lsm_run *target, const struct lsm_table *t)
{
	/* EXERCISE 4.7 begin: meet(), then is_free()
	 *|	return 0;
	 */
	const struct bound end = end_of(t);
	uint64_t bytes = 0;
	size_t first, n, i;

	if (!target)
		return 0;
	n = meet(target, smallest_of(t), &end, &first);
	if (!is_free(target, first, n))
		return UINT64_MAX;
	for (i = 0; i < n; i++)
		bytes += target->table[first + i]->summary.bytes;
	return bytes;
	/* EXERCISE 4.7 end */
}

/* The table whose move costs the least for a byte; deleted entries are worth more, as they
 * give space back. r->tables: none can be moved. */
static size_t cheapest(const struct lsm_run *r, const struct lsm_run *target)
{
	/* EXERCISE 4.7 begin: the least cost a byte moved
	 *|	return r->tables;
	 */
	uint64_t least = UINT64_MAX, cost, overlap;
	size_t i, found = r->tables;

	for (i = 0; i < r->tables; i++) {
		const struct sst_summary *s = &r->table[i]->summary;
		uint64_t worth = 1 + (s->entries ? 4 * s->deletes / s->entries : 0) +
				 4 * (s->tombstones > 0);

		overlap = r->table[i]->busy ? UINT64_MAX
					    : overlap_bytes(target, r->table[i]);
		if (overlap == UINT64_MAX)
			continue;
		cost = overlap / worth / (s->bytes / 1024 + 1);
		if (cost < least) {
			least = cost;
			found = i;
		}
	}
	return found;
	/* EXERCISE 4.7 end */
}

/* How many tables from at on: more while there is room for more in a piece. */
static size_t neighbours(const struct lsm_shape *s, const struct lsm_run *r,
			 const struct lsm_run *target, size_t at, uint64_t excess)
{
	uint64_t own = r->table[at]->summary.bytes, all, more;
	size_t n = 1;

	all = own + overlap_bytes(target, r->table[at]);
	for (; at + n < r->tables && own < excess; n++) {
		const struct lsm_table *t = r->table[at + n];

		more = t->busy ? UINT64_MAX : overlap_bytes(target, t);
		if (more == UINT64_MAX || t->summary.bytes + more > s->l->piece_bytes ||
		    all > s->l->piece_bytes - t->summary.bytes - more)
			break;
		own += t->summary.bytes;
		all += t->summary.bytes + more;
	}
	return n;
}

/* Tables at .. at + n of r, all of them, with what they meet in the target. */
static int pick_whole(const struct lsm_shape *s, const struct lsm_run *r, size_t at,
		      size_t n, const struct lsm_run *target, struct lsm_pick *out)
{
	struct kv_slice begin = smallest_of(r->table[at]);
	struct bound last = end_of(r->table[at + n - 1]), end = { .open = true };
	size_t first = 0, met = target ? meet(target, begin, &last, &first) : 0, i;
	int error = 0;

	out->source = port_alloc(2 * sizeof(*out->source));
	out->remove = port_alloc((n + met) * sizeof(*out->remove));
	if (!out->source || !out->remove)
		return give_up(out, -ENOMEM);
	if (any_busy(&r->table[at], n) ||
	    (target && (!is_free(target, first, met) || all_busy(target))))
		return give_up(out, 0);
	error = add_source(out, &r->table[at], n);
	if (!error && met)
		error = add_source(out, &target->table[first], met);
	out->move = target != r && !met;
	for (i = 0; !out->move && i < n; i++)
		out->remove[out->removes++] = r->table[at + i]->number;
	for (i = 0; i < met; i++)
		out->remove[out->removes++] = target->table[first + i]->number;
	if (met) {
		last = later(last, end_of(target->table[first + met - 1]));
		if (kv_compare(smallest_of(target->table[first]), begin) < 0)
			begin = smallest_of(target->table[first]);
	}
	/* Behind the last key of the sources, and before what is not merged of the target. */
	if (target && first + met < target->tables)
		end = (struct bound){ .key = smallest_of(target->table[first + met]) };
	if (!error)
		error = set_keys(out, begin, &end);
	if (error)
		return give_up(out, error);
	out->bottom = is_older_free(s->v, out->to, target ? target->id : UINT64_MAX,
				    begin, &last);
	return 1;
}

int lsm_pick_table(const struct lsm_shape *s, unsigned int level, uint64_t excess,
		   struct lsm_pick *out)
{
	const struct lsm_run *r = &s->v->level[level].run[0];
	const struct lsm_run *target = target_of(s, level);
	size_t at = cheapest(r, target), first, met;
	struct bound end;

	memset(out, 0, sizeof(*out));
	if (at == r->tables)
		return 0;
	end = end_of(r->table[at]);
	met = target ? meet(target, smallest_of(r->table[at]), &end, &first) : 0;
	/* One that meets much of the target is cut in two first. */
	if (met > 1 && s->l->wide_bytes &&
	    overlap_bytes(target, r->table[at]) > s->l->wide_bytes)
		return lsm_pick_split(s, level, r, at,
				      smallest_of(target->table[first + met / 2]), out);
	out->from = level;
	out->to = level + 1;
	out->run = target ? target->id : 0;
	return pick_whole(s, r, at, neighbours(s, r, target, at, excess), target, out);
}

int lsm_pick_again(const struct lsm_shape *s, unsigned int level,
		   const struct lsm_run *run, size_t at, struct lsm_pick *out)
{
	const struct lsm_table *t = run->table[at];
	struct bound end = { .open = true };
	int error;

	memset(out, 0, sizeof(*out));
	out->from = out->to = level;
	out->run = run->id;
	out->source = port_alloc(sizeof(*out->source));
	out->remove = port_alloc(sizeof(*out->remove));
	if (!out->source || !out->remove)
		return give_up(out, -ENOMEM);
	error = add_source(out, &run->table[at], 1);
	if (at + 1 < run->tables)
		end = (struct bound){ .key = smallest_of(run->table[at + 1]) };
	if (!error)
		error = set_keys(out, smallest_of(t), &end);
	if (error)
		return give_up(out, error);
	out->remove[out->removes++] = t->number;
	out->bottom = lsm_is_oldest(s->v, level, run->id, &t->summary);
	return 1;
}

int lsm_pick_split(const struct lsm_shape *s, unsigned int level,
		   const struct lsm_run *run, size_t at, struct kv_slice key,
		   struct lsm_pick *out)
{
	int result = lsm_pick_again(s, level, run, at, out);

	if (result == 1 && kv_buf_set(&out->cut, key.data, key.len))
		return give_up(out, -ENOMEM);
	return result;
}

/* ---- a range ---- */

/* The deepest level and its oldest run that have keys there. NULL: none. */
static const struct lsm_run *deepest_run(const struct lsm_version *v,
					 struct kv_slice begin, const struct bound *end,
					 unsigned int *level)
{
	size_t r, first;

	for (*level = LSM_LEVELS; (*level)--;)
		for (r = v->level[*level].runs; r--;)
			if (meet(&v->level[*level].run[r], begin, end, &first))
				return &v->level[*level].run[r];
	return NULL;
}

/* The range grows so that it cuts no table of the target. */
static void widen(const struct lsm_run *target, struct kv_slice *begin, struct bound *end)
{
	size_t first, n = meet(target, *begin, end, &first);

	if (!n)
		return;
	if (kv_compare(smallest_of(target->table[first]), *begin) < 0)
		*begin = smallest_of(target->table[first]);
	if (ends_within(target->table[first + n - 1], end))
		return;
	*end = (struct bound){ .open = first + n == target->tables };
	if (!end->open)
		end->key = smallest_of(target->table[first + n]);
}

static bool removes_from_above(const struct lsm_pick *p, const struct lsm_run *target)
{
	size_t i, first, met = 0;
	const struct bound all = { .open = true };

	for (i = 0; i < p->removes; i++) {
		size_t t, n = meet(target, kv_slice(NULL, 0), &all, &first);

		for (t = 0; t < n; t++)
			met += target->table[t]->number == p->remove[i];
	}
	return p->removes > met;
}

int lsm_pick_between(const struct lsm_shape *s, struct kv_slice begin,
		     struct kv_slice end, struct lsm_pick *out)
{
	struct bound to = { end, !end.data, false };
	struct plan plan = { 0 };
	const struct lsm_run **run;
	unsigned int level;
	size_t r, n = 0;
	int result;

	memset(out, 0, sizeof(*out));
	plan.target = deepest_run(s->v, begin, &to, &out->to);
	if (!plan.target)
		return 0;
	widen(plan.target, &begin, &to);
	for (level = 0; level <= out->to; level++)
		n += s->v->level[level].runs;
	run = port_alloc((n + 1) * sizeof(struct lsm_run *));
	if (!run)
		return -ENOMEM;
	plan.run = run;
	for (level = 0; level <= out->to; level++)
		for (r = 0; r < s->v->level[level].runs &&
			    &s->v->level[level].run[r] != plan.target;
		     r++)
			run[plan.runs++] = &s->v->level[level].run[r];
	out->run = plan.target->id;
	result = take_sources(&plan, begin, &to, out);
	port_free(run);
	if (result == 1 && set_keys(out, begin, &to))
		result = -ENOMEM;
	if (result <= 0)
		return give_up(out, result);
	choose_removed(&plan, begin, &to, out);
	out->bottom = is_older_free(s->v, out->to, out->run, begin, &to);
	/* If nothing above comes to its end here, it has been done before. */
	return removes_from_above(out, plan.target) ? 1 : give_up(out, 0);
}
