/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_flush.c - a memtable into a run of level 0, which is one table.
 *
 * A key that was written often while the memtable was filled is written once, and once more for
 * each snapshot between. Tombstones stay: what they hide lies in older tables.
 */
#include "lsm_output.h"

int lsm_flush(const struct lsm_work *w, struct lsm_memtable *t, struct lsm_edit *edit,
	      struct lsm_work_stats *stats, struct kv_msg *why)
{
	struct lsm_output_config c = {
		.work = w,
		.keep = { .snapshot = w->snapshot, .snapshots = w->snapshots },
		.table_bytes = UINT64_MAX,
		.begin = { "", 0 },
		.pace = w->pace,
		.pace_arg = w->pace_arg,
		.edit = edit,
		.stats = stats,
	};
	uint64_t begun = w->env->ops->now_ns(w->env);
	const struct lsm_tombstones *const *set;
	struct lsm_tombstones *ranges;
	struct lsm_cursor *from = NULL;
	size_t n;
	int error;

	set = lsm_memtable_tombstones(t, &n);
	error = lsm_tombstones_union(set, n, &ranges);
	if (!error)
		error = lsm_memtable_cursor(t, &from);
	if (error) {
		lsm_tombstones_free(ranges);
		return kv_fail(why, error, "no memory to flush a memtable");
	}
	c.keep.tombstones = ranges;
	error = lsm_output(&c, from, why);
	lsm_cursor_close(from);
	lsm_tombstones_free(ranges);
	if (error) {
		lsm_work_undo(w, edit);
		lsm_edit_free(edit);
	}
	stats->ns += w->env->ops->now_ns(w->env) - begun;
	return error;
}
