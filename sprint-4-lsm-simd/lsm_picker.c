/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_picker.c - how far a version is from the layout's shape, and what is most urgent.
 *
 * Each level has a score in thousandths; from 1000 on there is work, and the highest is tried
 * first. A level that nobody works on gets more from above, so its score rises: none starves.
 *
 * The bottom, the deepest level that has tables, is not limited by those above but they by it:
 * a level is as large as the bottom divided by "ratio" once for each level between. When the
 * bottom is larger than its level's own limit it becomes the next level, as it is. So what is
 * obsolete above the bottom stays a small share of it, however full the levels are (RocksDB's
 * dynamic level sizes; Dong et al., "Optimizing Space Amplification in RocksDB", 2017). In a
 * lazy store it waits until that share is as much as its level holds: a tier that must be
 * merged on as soon as it has anything is one write of it more, for nothing.
 */
#include "lsm_picker_internal.h"

enum {
	DUE = 1000,
	LAZY_SPACE_PERCENT = 25, /* what may stand above the bottom of a lazy store */
	NO_LEVEL = LSM_LEVELS,
};

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- the shape ---- */

static struct lsm_shape shape_of(const struct lsm_version *v, const struct lsm_layout *l)
{
	struct lsm_shape s = { .v = v, .l = l };
	unsigned int level;

	for (level = 1; level < LSM_LEVELS; level++)
		if (v->level[level].runs)
			s.bottom = level;
	return s;
}

bool lsm_is_leveled(const struct lsm_shape *s, unsigned int level)
{
	if (!level)
		return false;
	if (level == LSM_LEVELS - 1 || s->l->style == LSM_LEVELED)
		return true;
	return s->l->style == LSM_LAZY && level >= s->bottom;
}

/* What a level may hold by the layout alone. */
static uint64_t level_limit(const struct lsm_layout *l, unsigned int level)
{
	/* EXERCISE 4.7 begin: level_bytes, times ratio for each level more
	 *|	return l->level_bytes;
	 */
	uint64_t limit = l->level_bytes;

	while (--level && limit < UINT64_MAX / l->ratio)
		limit *= l->ratio;
	return limit;
	/* EXERCISE 4.7 end */
}

/* What a leveled level above the bottom may hold. */
static uint64_t level_target(const struct lsm_shape *s, unsigned int level)
{
	/* EXERCISE 4.7 begin: the bottom divided; not below a table
	 *|	return level_limit(s->l, level);
	 */
	uint64_t limit = level_limit(s->l, level), bottom = s->v->level[s->bottom].bytes;
	unsigned int i;

	for (i = level; i < s->bottom; i++)
		bottom /= s->l->ratio;
	/* Smaller than a table it can't be. */
	bottom = larger(bottom, s->l->table_bytes);
	return bottom < limit ? bottom : limit;
	/* EXERCISE 4.7 end */
}

static bool bottom_is_too_large(const struct lsm_shape *s, unsigned int level)
{
	uint64_t limit;

	if (!level || level != s->bottom || level == LSM_LEVELS - 1 ||
	    !lsm_is_leveled(s, level) || s->v->level[level].runs != 1)
		return false;
	limit = level_limit(s->l, level);
	if (s->l->style == LSM_LAZY)
		limit = lsm_share(100, LAZY_SPACE_PERCENT, limit);
	return s->v->level[level].bytes > limit;
}

/* ---- scores ---- */

struct counts {
	uint64_t entries, deletes, bytes;
	uint64_t hiding; /* bytes of tables that have range tombstones */
};

static void count_run(const struct lsm_run *r, struct counts *c)
{
	size_t t;

	for (t = 0; t < r->tables; t++) {
		const struct sst_summary *s = &r->table[t]->summary;

		c->entries += s->entries;
		c->deletes += s->deletes;
		c->bytes += s->bytes;
		c->hiding += s->tombstones ? s->bytes : 0;
	}
}

/* Deleted entries hold space in the runs below: they must come down. */
static uint64_t delete_score(const struct lsm_shape *s, unsigned int level)
{
	struct counts own = { 0 }, below = { 0 };
	unsigned int i;
	size_t r;

	for (r = 0; r < s->v->level[level].runs; r++) {
		count_run(&s->v->level[level].run[r], &own);
		if (r)
			count_run(&s->v->level[level].run[r], &below);
	}
	if (!own.deletes && !own.hiding)
		return 0;
	for (i = level + 1; i < LSM_LEVELS; i++)
		for (r = 0; r < s->v->level[i].runs; r++)
			count_run(&s->v->level[i].run[r], &below);
	if (!below.entries)
		return 0;
	/* How much a range tombstone hides nobody knows. */
	if (own.hiding && below.bytes >= own.hiding)
		return DUE;
	return s->l->delete_percent
		       ? lsm_share(own.deletes, below.entries,
				   (uint64_t)DUE * 100 / s->l->delete_percent)
		       : 0;
}

static uint64_t bytes_above_bottom(const struct lsm_shape *s)
{
	uint64_t bytes = 0;
	unsigned int level;

	for (level = 1; level < s->bottom; level++)
		bytes += s->v->level[level].bytes;
	return bytes;
}

static uint64_t tier_score(const struct lsm_shape *s, unsigned int level)
{
	/* EXERCISE 4.7 begin: how many of the runs that are enough
	 *|	return 0;
	 */
	const struct lsm_level *l = &s->v->level[level];
	size_t runs = l->runs - lsm_unfinished_runs(s, level);
	uint64_t score;

	if (!runs)
		return 0;
	score = runs * DUE / (level ? s->l->ratio : s->l->flushed_runs);
	if (level && s->l->style == LSM_LAZY && level + 1 == s->bottom)
		score = larger(score, lsm_share(bytes_above_bottom(s),
						s->v->level[s->bottom].bytes,
						DUE * 100 / LAZY_SPACE_PERCENT));
	return score;
	/* EXERCISE 4.7 end */
}

static uint64_t level_score(const struct lsm_shape *s, unsigned int level)
{
	/* EXERCISE 4.7 begin: 1000 and more: there is work
	 *|	return 0;
	 */
	const struct lsm_level *l = &s->v->level[level];
	uint64_t score;

	if (!l->runs || level == LSM_LEVELS - 1)
		return 0;
	if (!lsm_is_leveled(s, level))
		score = tier_score(s, level);
	else if (l->runs > 1) /* of another style, before */
		score = l->runs * DUE;
	else if (level == s->bottom)
		score = bottom_is_too_large(s, level) ? 2 * DUE : 0;
	else
		score = lsm_share(l->bytes, level_target(s, level), DUE);
	if (l->progress.len)
		score = larger(score, DUE);
	return score < DUE ? larger(score, delete_score(s, level)) : score;
	/* EXERCISE 4.7 end */
}

/* ---- tables that are worth writing again where they are ---- */

static bool is_poor(const struct lsm_shape *s, const struct lsm_blob_place *b)
{
	return lsm_share(b->live, b->file->summary.record_bytes, 100) <
	       s->l->blob_live_percent;
}

static const struct lsm_blob_place *blob_place(const struct lsm_version *v, uint64_t file)
{
	size_t low = 0, high = v->blobs;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->blob[mid].file->number < file)
			low = mid + 1;
		else
			high = mid;
	}
	return low < v->blobs && v->blob[low].file->number == file ? &v->blob[low] : NULL;
}

/* Bytes of large values that would be written anew out of blob files that are mostly dead. */
static uint64_t poor_bytes(const struct lsm_shape *s, const struct sst_summary *t)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < t->blobs; i++) {
		const struct lsm_blob_place *b = blob_place(s->v, t->blob[i].file);

		if (b && is_poor(s, b))
			bytes += t->blob[i].bytes;
	}
	return bytes;
}

/* Would what is deleted in it go? Only where nobody reads that far back. */
static bool has_waste(const struct lsm_shape *s, unsigned int level,
		      const struct lsm_run *run, const struct sst_summary *t, bool any)
{
	if (t->max_sequence > s->l->settled || (!t->deletes && !t->tombstones))
		return false;
	if (!any && !t->tombstones &&
	    lsm_share(t->deletes, t->entries, 100) < s->l->delete_percent)
		return false;
	return lsm_is_oldest(s->v, level, run->id, t);
}

struct again { /* the best table so far */
	const struct lsm_run *run;
	unsigned int level;
	size_t at;
	uint64_t worth; /* bytes */
	const char *reason;
};

static void judge_table(const struct lsm_shape *s, unsigned int level,
			const struct lsm_run *run, size_t at, bool blobs,
			struct again *best)
{
	const struct sst_summary *t = &run->table[at]->summary;
	uint64_t poor = blobs ? poor_bytes(s, t) : 0;

	if (poor > best->worth)
		*best = (struct again){ run, level, at, poor,
					"blob files have too little that is live" };
	if (t->bytes > best->worth && has_waste(s, level, run, t, false))
		*best = (struct again){ run, level, at, t->bytes,
					"a table has many deleted entries" };
}

static int pick_rewrite(const struct lsm_shape *s, struct lsm_pick *out)
{
	struct again best = { 0 };
	unsigned int level;
	bool blobs = false;
	size_t i, r;
	int result;

	for (i = 0; i < s->v->blobs && !blobs; i++)
		blobs = is_poor(s, &s->v->blob[i]);
	for (level = 1; level < LSM_LEVELS; level++)
		for (r = 0; r < s->v->level[level].runs; r++) {
			const struct lsm_run *run = &s->v->level[level].run[r];

			for (i = 0; i < run->tables; i++)
				if (!run->table[i]->busy)
					judge_table(s, level, run, i, blobs, &best);
		}
	if (!best.run)
		return 0;
	result = lsm_pick_again(s, best.level, best.run, best.at, out);
	out->reason = best.reason;
	return result;
}

/* ---- the most urgent ---- */

static const char *reason_of(const struct lsm_shape *s, unsigned int level)
{
	if (s->v->level[level].progress.len)
		return "a merge of runs goes on";
	if (!level)
		return "level 0 has enough runs";
	if (bottom_is_too_large(s, level))
		return "the bottom has outgrown its level";
	return lsm_is_leveled(s, level) ? "a level is larger than it should be"
					: "a level has enough runs";
}

static int pick_level(const struct lsm_shape *s, unsigned int level, struct lsm_pick *out)
{
	const struct lsm_level *l = &s->v->level[level];
	const char *reason = reason_of(s, level);
	uint64_t target;
	int result;

	if (bottom_is_too_large(s, level)) {
		result = lsm_pick_descent(s, level, out);
	} else if (!lsm_is_leveled(s, level) || l->progress.len || l->runs > 1) {
		result = lsm_pick_merge(s, level, out);
	} else {
		target = level_target(s, level);
		result = lsm_pick_table(s, level,
					l->bytes > target ? l->bytes - target : 1, out);
	}
	if (result == 1)
		out->reason = reason;
	return result;
}

int lsm_pick(const struct lsm_version *v, const struct lsm_layout *l,
	     struct lsm_pick *out)
{
	/* EXERCISE 4.7 begin: the highest score that has something to do
	 *|	return 0;
	 */
	const struct lsm_shape s = shape_of(v, l);
	uint64_t score[LSM_LEVELS];
	unsigned int level, best;
	int result = 0;

	for (level = 0; level < LSM_LEVELS; level++)
		score[level] = level_score(&s, level);
	while (!result) {
		best = NO_LEVEL;
		for (level = 0; level < LSM_LEVELS; level++)
			if (score[level] >= DUE &&
			    (best == NO_LEVEL || score[level] > score[best]))
				best = level;
		if (best == NO_LEVEL)
			return pick_rewrite(&s, out);
		score[best] = 0;
		result = pick_level(&s, best, out);
	}
	return result;
	/* EXERCISE 4.7 end */
}

/* ---- by hand ---- */

/* The first table of one run that has something that can go. */
static int pick_waste(const struct lsm_shape *s, struct kv_slice begin,
		      struct kv_slice end, struct lsm_pick *out)
{
	unsigned int level;
	size_t r, i, n, first;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < s->v->level[level].runs; r++) {
			const struct lsm_run *run = &s->v->level[level].run[r];

			n = lsm_run_overlap(run, begin, end, &first);
			for (i = first; i < first + n; i++)
				if (!run->table[i]->busy &&
				    (has_waste(s, level, run, &run->table[i]->summary,
					       true) ||
				     poor_bytes(s, &run->table[i]->summary)))
					return lsm_pick_again(s, level, run, i, out);
		}
	return 0;
}

/* All of the store: level after level into the next, piece by piece, so that it takes little
 * space at a time. */
static int pick_all(const struct lsm_shape *s, struct lsm_pick *out)
{
	unsigned int level;
	int result = 0;

	for (level = 0; !result && level < LSM_LEVELS - 1; level++) {
		const struct lsm_level *l = &s->v->level[level];

		if (l->runs && (level < s->bottom || l->runs > 1 || !level))
			result = lsm_pick_merge(s, level, out);
	}
	return result;
}

int lsm_pick_range(const struct lsm_version *v, const struct lsm_layout *l,
		   struct kv_slice begin, struct kv_slice end, struct lsm_pick *out)
{
	const struct lsm_shape s = shape_of(v, l);
	int result;

	result = !begin.len && !end.data ? pick_all(&s, out)
					 : lsm_pick_between(&s, begin, end, out);
	if (!result)
		result = pick_waste(&s, begin, end, out);
	if (result == 1)
		out->reason = "asked for";
	return result;
}

/* ---- debt ---- */

uint64_t lsm_debt(const struct lsm_version *v, const struct lsm_layout *l)
{
	const struct lsm_shape s = shape_of(v, l);
	uint64_t debt = 0, down = 0, bytes, target, into;
	unsigned int level;

	for (level = 0; level < LSM_LEVELS - 1; level++) {
		bytes = v->level[level].bytes + down;
		if (lsm_is_leveled(&s, level)) {
			target = level >= s.bottom ? UINT64_MAX : level_target(&s, level);
			down = bytes > target ? bytes - target : 0;
			if (v->level[level].runs > 1)
				down = bytes;
		} else {
			down = tier_score(&s, level) >= DUE ||
					       v->level[level].progress.len
				       ? bytes
				       : 0;
		}
		/* Each byte that comes down is merged with what lies there. */
		into = lsm_is_leveled(&s, level + 1) && bytes
			       ? lsm_share(down, bytes, v->level[level + 1].bytes)
			       : 0;
		debt += 2 * down + 2 * (into < v->level[level + 1].bytes
						? into
						: v->level[level + 1].bytes);
	}
	return debt;
}
