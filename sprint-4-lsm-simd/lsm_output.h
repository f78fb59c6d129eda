/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_output.h - entries in order into tables of a size: what flushes and compactions share.
 *
 * What need not be kept is dropped on the way (lsm_keep). A table is ended behind the key with
 * which it has its size, so the versions of one key stand in one table. Tables divide the keys
 * among them: one reaches from where the one before it was ended to where it is ended itself,
 * and a range tombstone is cut there, so that tables of a run never overlap.
 *
 * Large values go to a blob file, as do those that stood in a blob file of which little is
 * alive: that is how such files come to be given up.
 *
 * Threads: an output belongs to one.
 */
#ifndef LSM_OUTPUT_H
#define LSM_OUTPUT_H

#include "lsm_compaction.h"

struct lsm_output_config {
	const struct lsm_work *work;
	const struct lsm_version
		*version; /* whose blob files entries refer to; NULL: none */
	struct lsm_keep_config keep;
	unsigned int level;
	uint64_t run;         /* as of lsm_edit_add() */
	uint64_t table_bytes; /* UINT64_MAX: all into one table */
	struct kv_slice begin,
		end; /* only keys in it; end.data NULL: to the end of all */
	int (*pace)(void *arg, uint64_t bytes); /* as struct lsm_work's; may be NULL */
	void *pace_arg;
	/* Why a source of the cursor gave an error; may be NULL. */
	const struct kv_msg *(*reason)(const struct lsm_cursor *source);
	struct lsm_edit *edit; /* gets what is finished */
	struct lsm_work_stats *stats;
};

/* Writes all entries of the cursor that are in the range, and all range tombstones of
 * c->keep.tombstones, cut to it. Files are synced. On error files that stand in the edit are
 * there still, and no others: see lsm_work_undo(). */
int lsm_output(const struct lsm_output_config *c, struct lsm_cursor *from,
	       struct kv_msg *why);

#endif /* LSM_OUTPUT_H */
