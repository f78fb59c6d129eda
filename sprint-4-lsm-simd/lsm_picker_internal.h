/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_picker_internal.h - what lsm_picker.c, which decides what is most urgent, knows of
 * those that say what that means in tables, lsm_pick_merge.c and lsm_pick_table.c, and what
 * these have in common, lsm_pick.c.
 */
#ifndef LSM_PICKER_INTERNAL_H
#define LSM_PICKER_INTERNAL_H

#include "lsm_picker.h"

/* a / b of so much, without overflow; of nothing: all, unless a is 0. */
static inline uint64_t lsm_share(uint64_t a, uint64_t b, uint64_t of)
{
	if (!b)
		return a ? UINT32_MAX : 0;
	return of && a > UINT64_MAX / of ? a / b * of : a * of / b;
}

/* All that is asked of a version again and again. */
struct lsm_shape {
	const struct lsm_version *v;
	const struct lsm_layout *l;
	unsigned int
		bottom; /* the deepest level that has tables; 0: none below level 0 */
};

/* Has this level one run, if it has the layout's shape? */
bool lsm_is_leveled(const struct lsm_shape *s, unsigned int level);
/* Runs of a level that a merge from above is not yet done with: they stay out of the next. */
size_t lsm_unfinished_runs(const struct lsm_shape *s, unsigned int level);

/* ---- tables and ranges of keys: lsm_pick.c ---- */

/* Where keys end. */
struct lsm_bound {
	struct kv_slice key;
	bool open, included;
};

static inline struct kv_slice lsm_pick_slice(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static inline struct kv_slice lsm_pick_smallest(const struct lsm_table *t)
{
	return lsm_pick_slice(&t->summary.smallest);
}

static inline struct lsm_bound lsm_pick_end(const struct lsm_table *t)
{
	return (struct lsm_bound){ lsm_pick_slice(&t->summary.largest),
				   t->summary.largest_open,
				   !t->summary.largest_excluded };
}

bool lsm_pick_is_before(struct kv_slice key, const struct lsm_bound *end);
struct lsm_bound lsm_pick_later(struct lsm_bound a, struct lsm_bound b);
/* Tables of r with keys in [begin, end]: the first, and how many. */
size_t lsm_pick_meet(const struct lsm_run *r, struct kv_slice begin,
		     const struct lsm_bound *end, size_t *first);
bool lsm_pick_any_busy(struct lsm_table *const *table, size_t n);
bool lsm_pick_all_busy(const struct lsm_run *r);
/* Has no run that is older than this one keys there? */
bool lsm_pick_is_oldest(const struct lsm_version *v, unsigned int level, uint64_t run,
			struct kv_slice begin, const struct lsm_bound *end);
/* The run of a level that takes what comes from above; NULL: a new one. */
const struct lsm_run *lsm_pick_target(const struct lsm_shape *s, unsigned int from);

/* ---- the pick itself: lsm_pick.c ---- */

/* Ends a function that failed or found that nothing can be done: frees, returns result. */
int lsm_pick_give_up(struct lsm_pick *p, int result);
int lsm_pick_add_source(struct lsm_pick *p, struct lsm_table *const *table, size_t n);
int lsm_pick_set_keys(struct lsm_pick *p, struct kv_slice begin,
		      const struct lsm_bound *end);

/* ---- what can be picked: lsm_pick_merge.c, lsm_pick_table.c ---- */

/* Each: 1, *out is the pick; 0: it can't be done now; -ENOMEM. */

/* The runs of a level, or a piece of them, into the next level. */
int lsm_pick_merge(const struct lsm_shape *s, unsigned int level, struct lsm_pick *out);
/* A table of a leveled level, or some neighbours, into the next one. */
int lsm_pick_table(const struct lsm_shape *s, unsigned int level, uint64_t excess,
		   struct lsm_pick *out);
/* All of a level one level deeper, as it is. */
int lsm_pick_descent(const struct lsm_shape *s, unsigned int level, struct lsm_pick *out);
/* One table again: of a run that stays where it is. */
int lsm_pick_again(const struct lsm_shape *s, unsigned int level,
		   const struct lsm_run *run, size_t at, struct lsm_pick *out);
/* The same, and cut in two: no key of the one is less than key, none of the other is more. */
int lsm_pick_split(const struct lsm_shape *s, unsigned int level,
		   const struct lsm_run *run, size_t at, struct kv_slice key,
		   struct lsm_pick *out);
/* What of [begin, end) is above the deepest level that has any, into that one. */
int lsm_pick_between(const struct lsm_shape *s, struct kv_slice begin,
		     struct kv_slice end, struct lsm_pick *out);
/* Does any run that is older than this one hold keys of the table's range? */
bool lsm_is_oldest(const struct lsm_version *v, unsigned int level, uint64_t run,
		   const struct sst_summary *range);

#endif /* LSM_PICKER_INTERNAL_H */
