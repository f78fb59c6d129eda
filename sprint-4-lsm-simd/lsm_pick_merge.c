/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_pick_merge.c - a merge of runs as a list of tables: which are merged, over which keys, which are
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

/* What is to be merged. */
struct plan {
	const struct lsm_run **run; /* newest first */
	size_t runs;
	const struct lsm_run *target; /* the oldest; NULL: a new run */
	bool from_the_first; /* nothing before begin has yet to be merged: tables that
			      * begin before it are taken, and may go */
};

/* Does a table end at or before the place where all keys are less than end? */
static bool ends_within(const struct lsm_table *t, const struct lsm_bound *end)
{
	int order;

	if (end->open || t->summary.largest_open)
		return end->open;
	order = kv_compare(lsm_pick_slice(&t->summary.largest), end->key);
	return order < 0 || (!order && (end->included || t->summary.largest_excluded));
}

/* What of a run is a source of the piece. */
static size_t source_of(const struct plan *plan, const struct lsm_run *r,
			struct kv_slice begin, const struct lsm_bound *end, size_t *first)
{
	if (r == plan->target || !plan->from_the_first)
		return lsm_pick_meet(r, begin, end, first);
	*first = 0;
	return lsm_pick_meet(r, kv_slice(NULL, 0), end, first);
}

/* Sources and the room for what is removed. 1, or 0 when some table is busy. */
static int take_sources(const struct plan *plan, struct kv_slice begin,
			const struct lsm_bound *end, struct lsm_pick *p)
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
		if (lsm_pick_any_busy(&r->table[first], n))
			return 0;
		error = lsm_pick_add_source(p, &r->table[first], n);
		all += n;
	}
	p->remove = error ? NULL : port_alloc((all + 1) * sizeof(*p->remove));
	return p->remove ? 1 : -ENOMEM;
}

/* The keys of tables that stay: none may be hidden by what goes. */
struct stay {
	bool left, right; /* there are some at that side */
	struct lsm_bound left_end;
	struct kv_slice right_begin;
};

static void keep(struct stay *s, const struct lsm_table *t, bool left)
{
	if (left) {
		s->left_end = s->left ? lsm_pick_later(s->left_end, lsm_pick_end(t))
				      : lsm_pick_end(t);
		s->left = true;
	} else {
		if (!s->right || kv_compare(lsm_pick_smallest(t), s->right_begin) < 0)
			s->right_begin = lsm_pick_smallest(t);
		s->right = true;
	}
}

static bool is_kept(const struct stay *s, const struct lsm_table *t, bool *left)
{
	const struct lsm_bound right = { s->right_begin, false, false };

	*left = s->left && lsm_pick_is_before(lsm_pick_smallest(t), &s->left_end);
	return *left || (s->right && !ends_within(t, &right));
}

/* Which tables go, decided from the oldest source to the newest. */
static void choose_removed(const struct plan *plan, struct kv_slice begin,
			   const struct lsm_bound *end, struct lsm_pick *p)
{
	struct stay stay = { 0 };
	size_t i = p->sources, j;

	while (i--) {
		const struct lsm_source *s = &p->source[i];

		/* From the right, so that what stays there is known to its neighbours. */
		for (j = s->tables; j--;) {
			const struct lsm_table *t = s->table[j];
			bool cut_left = !plan->from_the_first &&
					kv_compare(lsm_pick_smallest(t), begin) < 0;
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

		if (t && (!least || kv_compare(lsm_pick_smallest(t),
					       lsm_pick_smallest(least)) < 0)) {
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

	return t && kv_compare(lsm_pick_smallest(t), key) < 0;
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
		     struct lsm_bound *end)
{
	const struct extent all = extent_of(plan, begin);
	struct walk w;
	struct lsm_table *t;
	int error = walk_begin(&w, plan);

	*end = (struct lsm_bound){ .open = true };
	if (error)
		return error;
	while ((t = walk_next(&w))) {
		struct kv_slice key = lsm_pick_smallest(t);

		if (kv_compare(key, begin) > 0 && !cuts_target(plan, key) &&
		    piece_bytes(plan, &all, begin, key) >= bytes) {
			*end = (struct lsm_bound){ .key = key };
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
		if (last &&
		    !sst_summary_ends_before(&last->summary, lsm_pick_smallest(t)))
			result = 0;
	port_free(w.at);
	return result;
}

/* ---- merges of runs ---- */

static int pick_move(const struct plan *plan, struct lsm_pick *out)
{
	const struct lsm_bound all = { .open = true };
	size_t i;
	int error = 0;

	out->source = port_alloc((plan->runs + 1) * sizeof(*out->source));
	if (!out->source)
		return lsm_pick_give_up(out, -ENOMEM);
	for (i = 0; !error && i < plan->runs; i++) {
		if (lsm_pick_any_busy(plan->run[i]->table, plan->run[i]->tables))
			return lsm_pick_give_up(out, 0);
		error = lsm_pick_add_source(out, plan->run[i]->table,
					    plan->run[i]->tables);
	}
	if (!error)
		error = lsm_pick_set_keys(out, kv_slice(NULL, 0), &all);
	out->move = true;
	return error ? lsm_pick_give_up(out, error) : 1;
}

/* Bytes of the plan's tables that begin and end within a table of its target. */
static uint64_t bytes_within(const struct plan *plan, const struct lsm_table *t)
{
	const struct kv_slice end = lsm_pick_slice(&t->summary.largest);
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < plan->runs; i++)
		bytes += bytes_between(plan->run[i], lsm_pick_smallest(t),
				       t->summary.largest_open ? NULL : &end);
	return bytes;
}

/* Where to cut a table of the target so that about half of those bytes are on each side. False:
 * no table of the plan begins within it. */
static bool middle_of(const struct plan *plan, const struct lsm_table *t, uint64_t bytes,
		      struct kv_slice *key)
{
	const struct lsm_bound end = lsm_pick_end(t);
	uint64_t before = 0;
	bool found = false;
	struct lsm_table *u;
	struct walk w;

	if (walk_begin(&w, plan))
		return false;
	while ((u = walk_next(&w)) && lsm_pick_is_before(lsm_pick_smallest(u), &end)) {
		if (kv_compare(lsm_pick_smallest(u), lsm_pick_smallest(t)) <= 0)
			continue;
		*key = lsm_pick_smallest(u);
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
		     struct kv_slice begin, const struct lsm_bound *end,
		     struct lsm_pick *out)
{
	size_t i, first,
		n = plan->target ? lsm_pick_meet(plan->target, begin, end, &first) : 0;

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
	struct kv_slice begin = lsm_pick_slice(&from->progress);
	struct lsm_table *t = plan->target ? lsm_run_find(plan->target, begin) : NULL;
	struct lsm_bound end;
	int result;

	/* Progress that was taken back may lie within a table of the target. */
	if (t && kv_compare(lsm_pick_smallest(t), begin) < 0)
		begin = lsm_pick_smallest(t);
	result = piece_end(plan, begin, s->l->piece_bytes, &end);
	if (!result && (result = pick_wide(s, plan, begin, &end, out)))
		return result;
	if (!result)
		result = take_sources(plan, begin, &end, out);
	if (result <= 0)
		return lsm_pick_give_up(out, result);
	result = lsm_pick_set_keys(out, begin, &end);
	if (result)
		return lsm_pick_give_up(out, result);
	choose_removed(plan, begin, &end, out);
	out->bottom = lsm_pick_is_oldest(
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
	plan.target = lsm_pick_target(s, level);
	out->from = level;
	out->to = level + 1;
	out->run = plan.target ? plan.target->id : 0;
	if (!plan.runs || (plan.target && lsm_pick_all_busy(plan.target)))
		result = 0;
	else
		result = from->progress.len ? 0 : are_disjoint(&plan);
	if (result == 1)
		result = pick_move(&plan, out);
	else if (!result && plan.runs && !(plan.target && lsm_pick_all_busy(plan.target)))
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
		if (lsm_pick_any_busy(s->v->level[above].run[r].table,
				      s->v->level[above].run[r].tables))
			return 0;
	out->from = level;
	out->to = level + 1;
	return pick_move(&plan, out);
}

/* ---- a range ---- */

/* The deepest level and its oldest run that have keys there. NULL: none. */
static const struct lsm_run *deepest_run(const struct lsm_version *v,
					 struct kv_slice begin,
					 const struct lsm_bound *end, unsigned int *level)
{
	size_t r, first;

	for (*level = LSM_LEVELS; (*level)--;)
		for (r = v->level[*level].runs; r--;)
			if (lsm_pick_meet(&v->level[*level].run[r], begin, end, &first))
				return &v->level[*level].run[r];
	return NULL;
}

/* The range grows so that it cuts no table of the target. */
static void widen(const struct lsm_run *target, struct kv_slice *begin,
		  struct lsm_bound *end)
{
	size_t first, n = lsm_pick_meet(target, *begin, end, &first);

	if (!n)
		return;
	if (kv_compare(lsm_pick_smallest(target->table[first]), *begin) < 0)
		*begin = lsm_pick_smallest(target->table[first]);
	if (ends_within(target->table[first + n - 1], end))
		return;
	*end = (struct lsm_bound){ .open = first + n == target->tables };
	if (!end->open)
		end->key = lsm_pick_smallest(target->table[first + n]);
}

static bool removes_from_above(const struct lsm_pick *p, const struct lsm_run *target)
{
	size_t i, first, met = 0;
	const struct lsm_bound all = { .open = true };

	for (i = 0; i < p->removes; i++) {
		size_t t, n = lsm_pick_meet(target, kv_slice(NULL, 0), &all, &first);

		for (t = 0; t < n; t++)
			met += target->table[t]->number == p->remove[i];
	}
	return p->removes > met;
}

int lsm_pick_between(const struct lsm_shape *s, struct kv_slice begin,
		     struct kv_slice end, struct lsm_pick *out)
{
	struct lsm_bound to = { end, !end.data, false };
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
	if (result == 1 && lsm_pick_set_keys(out, begin, &to))
		result = -ENOMEM;
	if (result <= 0)
		return lsm_pick_give_up(out, result);
	choose_removed(&plan, begin, &to, out);
	out->bottom = lsm_pick_is_oldest(s->v, out->to, out->run, begin, &to);
	/* If nothing above comes to its end here, it has been done before. */
	return removes_from_above(out, plan.target) ? 1 : lsm_pick_give_up(out, 0);
}
