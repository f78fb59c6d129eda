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
		.keep = { .snapshot = w->snapshot,
			  .snapshots = w->snapshots,
			  .tombstones = lsm_memtable_tombstones(t) },
		.table_bytes = UINT64_MAX,
		.begin = { "", 0 },
		.pace = w->pace,
		.pace_arg = w->pace_arg,
		.edit = edit,
		.stats = stats,
	};
	uint64_t begun = w->env->ops->now_ns(w->env);
	struct lsm_cursor *from;
	int error = lsm_memtable_cursor(t, &from);

	if (error)
		return kv_fail(why, error, "no memory to flush a memtable");
	error = lsm_output(&c, from, why);
	lsm_cursor_close(from);
	if (error) {
		lsm_work_undo(w, edit);
		lsm_edit_free(edit);
	}
	stats->ns += w->env->ops->now_ns(w->env) - begun;
	return error;
}
