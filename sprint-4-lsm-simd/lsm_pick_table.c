/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_pick_table.c - a table of a run as a pick: moved down with what it meets there, written
 * again where it is, or cut in two.
 */
#include "lsm_picker_internal.h"

/* ---- tables of a leveled level ---- */

/* Can tables first .. first + n of the target be merged with, or, n being 0, can something come
 * between its neighbours? A compaction may write a table over a gap between its sources, so a
 * busy neighbour makes the gap beside it busy as well. */
static bool is_free(const struct lsm_run *target, size_t first, size_t n)
{
	size_t from = first ? first - 1 : 0, to = first + n;

	if (to < target->tables)
		to++;
	return !lsm_pick_any_busy(&target->table[from], to - from);
}

/* Bytes of the target that the table would be merged with; UINT64_MAX: some are busy. */
static uint64_t overlap_bytes(const struct lsm_run *target, const struct lsm_table *t)
{
	/* EXERCISE 4.7 begin: lsm_pick_meet(), then is_free()
	 *|	return 0;
	 */
	const struct lsm_bound end = lsm_pick_end(t);
	uint64_t bytes = 0;
	size_t first, n, i;

	if (!target)
		return 0;
	n = lsm_pick_meet(target, lsm_pick_smallest(t), &end, &first);
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
	struct kv_slice begin = lsm_pick_smallest(r->table[at]);
	struct lsm_bound last = lsm_pick_end(r->table[at + n - 1]),
			 end = { .open = true };
	size_t first = 0, met = target ? lsm_pick_meet(target, begin, &last, &first) : 0,
	       i;
	int error = 0;

	out->source = port_alloc(2 * sizeof(*out->source));
	out->remove = port_alloc((n + met) * sizeof(*out->remove));
	if (!out->source || !out->remove)
		return lsm_pick_give_up(out, -ENOMEM);
	if (lsm_pick_any_busy(&r->table[at], n) ||
	    (target && (!is_free(target, first, met) || lsm_pick_all_busy(target))))
		return lsm_pick_give_up(out, 0);
	error = lsm_pick_add_source(out, &r->table[at], n);
	if (!error && met)
		error = lsm_pick_add_source(out, &target->table[first], met);
	out->move = target != r && !met;
	for (i = 0; !out->move && i < n; i++)
		out->remove[out->removes++] = r->table[at + i]->number;
	for (i = 0; i < met; i++)
		out->remove[out->removes++] = target->table[first + i]->number;
	if (met) {
		last = lsm_pick_later(last, lsm_pick_end(target->table[first + met - 1]));
		if (kv_compare(lsm_pick_smallest(target->table[first]), begin) < 0)
			begin = lsm_pick_smallest(target->table[first]);
	}
	/* Behind the last key of the sources, and before what is not merged of the target. */
	if (target && first + met < target->tables)
		end = (struct lsm_bound){ .key = lsm_pick_smallest(
						  target->table[first + met]) };
	if (!error)
		error = lsm_pick_set_keys(out, begin, &end);
	if (error)
		return lsm_pick_give_up(out, error);
	out->bottom = lsm_pick_is_oldest(s->v, out->to, target ? target->id : UINT64_MAX,
					 begin, &last);
	return 1;
}

int lsm_pick_table(const struct lsm_shape *s, unsigned int level, uint64_t excess,
		   struct lsm_pick *out)
{
	const struct lsm_run *r = &s->v->level[level].run[0];
	const struct lsm_run *target = lsm_pick_target(s, level);
	size_t at = cheapest(r, target), first, met;
	struct lsm_bound end;

	memset(out, 0, sizeof(*out));
	if (at == r->tables)
		return 0;
	end = lsm_pick_end(r->table[at]);
	met = target ? lsm_pick_meet(target, lsm_pick_smallest(r->table[at]), &end,
				     &first)
		     : 0;
	/* One that meets much of the target is cut in two first. */
	if (met > 1 && s->l->wide_bytes &&
	    overlap_bytes(target, r->table[at]) > s->l->wide_bytes)
		return lsm_pick_split(s, level, r, at,
				      lsm_pick_smallest(target->table[first + met / 2]),
				      out);
	out->from = level;
	out->to = level + 1;
	out->run = target ? target->id : 0;
	return pick_whole(s, r, at, neighbours(s, r, target, at, excess), target, out);
}

int lsm_pick_again(const struct lsm_shape *s, unsigned int level,
		   const struct lsm_run *run, size_t at, struct lsm_pick *out)
{
	const struct lsm_table *t = run->table[at];
	struct lsm_bound end = { .open = true };
	int error;

	memset(out, 0, sizeof(*out));
	out->from = out->to = level;
	out->run = run->id;
	out->source = port_alloc(sizeof(*out->source));
	out->remove = port_alloc(sizeof(*out->remove));
	if (!out->source || !out->remove)
		return lsm_pick_give_up(out, -ENOMEM);
	error = lsm_pick_add_source(out, &run->table[at], 1);
	if (at + 1 < run->tables)
		end = (struct lsm_bound){ .key = lsm_pick_smallest(run->table[at + 1]) };
	if (!error)
		error = lsm_pick_set_keys(out, lsm_pick_smallest(t), &end);
	if (error)
		return lsm_pick_give_up(out, error);
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
		return lsm_pick_give_up(out, -ENOMEM);
	return result;
}
