/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_pick.c - what every pick is made of: which tables of a run have keys in a range, which
 * are at work already, what is older, and the lists that a pick owns.
 */
#include "lsm_picker_internal.h"

/* ---- tables and ranges of keys ---- */

bool lsm_pick_is_before(struct kv_slice key, const struct lsm_bound *end)
{
	int order = end->open ? -1 : kv_compare(key, end->key);

	return order < 0 || (!order && end->included);
}

struct lsm_bound lsm_pick_later(struct lsm_bound a, struct lsm_bound b)
{
	int order;

	if (a.open || b.open)
		return a.open ? a : b;
	order = kv_compare(a.key, b.key);
	return order > 0 || (!order && a.included) ? a : b;
}

size_t lsm_pick_meet(const struct lsm_run *r, struct kv_slice begin,
		     const struct lsm_bound *end, size_t *first)
{
	size_t low, high = r->tables;

	(void)lsm_run_overlap(r, begin, kv_slice(NULL, 0), first);
	low = *first;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (lsm_pick_is_before(lsm_pick_smallest(r->table[mid]), end))
			low = mid + 1;
		else
			high = mid;
	}
	return low - *first;
}

bool lsm_pick_any_busy(struct lsm_table *const *table, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (table[i]->busy)
			return true;
	return false;
}

bool lsm_pick_all_busy(const struct lsm_run *r)
{
	size_t i;

	for (i = 0; i < r->tables; i++)
		if (!r->table[i]->busy)
			return false;
	return r->tables > 0;
}

/* ---- what is older ---- */

bool lsm_pick_is_oldest(const struct lsm_version *v, unsigned int level, uint64_t run,
			struct kv_slice begin, const struct lsm_bound *end)
{
	size_t r, first;

	for (; level < LSM_LEVELS; level++, run = UINT64_MAX)
		for (r = 0; r < v->level[level].runs; r++)
			if (v->level[level].run[r].id < run &&
			    lsm_pick_meet(&v->level[level].run[r], begin, end, &first))
				return false;
	return true;
}

bool lsm_is_oldest(const struct lsm_version *v, unsigned int level, uint64_t run,
		   const struct sst_summary *range)
{
	const struct lsm_bound end = { lsm_pick_slice(&range->largest),
				       range->largest_open, !range->largest_excluded };

	return lsm_pick_is_oldest(v, level, run, lsm_pick_slice(&range->smallest), &end);
}

/* ---- where to ---- */

size_t lsm_unfinished_runs(const struct lsm_shape *s, unsigned int level)
{
	return level && s->v->level[level - 1].progress.len && s->v->level[level].runs &&
	       !lsm_is_leveled(s, level);
}

const struct lsm_run *lsm_pick_target(const struct lsm_shape *s, unsigned int from)
{
	const struct lsm_level *to = &s->v->level[from + 1];

	if (!to->runs)
		return NULL;
	return lsm_is_leveled(s, from + 1) || s->v->level[from].progress.len ? to->run
									     : NULL;
}

/* ---- the pick itself ---- */

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

int lsm_pick_give_up(struct lsm_pick *p, int result)
{
	lsm_pick_free(p);
	return result;
}

int lsm_pick_add_source(struct lsm_pick *p, struct lsm_table *const *table, size_t n)
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

int lsm_pick_set_keys(struct lsm_pick *p, struct kv_slice begin,
		      const struct lsm_bound *end)
{
	int error = kv_buf_set(&p->begin, begin.data, begin.len);

	p->end_open = end->open;
	if (!error && !end->open)
		error = kv_buf_set(&p->end, end->key.data, end->key.len);
	return error;
}
