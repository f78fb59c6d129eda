/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_compaction.h - the work itself: a memtable into a table, tables into tables.
 *
 *   lsm_output.c      entries in order into tables of a size, large values into blob files
 *                     (lsm_output.h)
 *   lsm_flush.c       a memtable into a run of level 0
 *   lsm_compaction.c  what a pick says, in one part or in several side by side
 *
 * Both make files and an edit; committing it is the caller's. They know nothing of the engine,
 * so that they can be tested without one.
 */
#ifndef LSM_COMPACTION_H
#define LSM_COMPACTION_H

#include "lsm_memtable.h"
#include "lsm_merge.h"
#include "lsm_picker.h"

struct lsm_work { /* what both need to know; constant while they work */
	struct env *env;
	const char *dir;
	struct lsm_versions *versions; /* for numbers */
	uint64_t store_id;
	struct sst_shape shape[LSM_LEVELS]; /* of tables of a level */
	uint64_t table_bytes;
	uint64_t blob_file_bytes;
	uint32_t blob_threshold; /* larger values go to blob files; 0: none */
	unsigned int
		blob_live_percent; /* values of emptier blob files are written anew */
	const uint64_t *snapshot;  /* ascending */
	size_t snapshots;
	size_t buffer_bytes; /* of a part, for what it reads and writes; 0: what is best */
	unsigned int parts;  /* subcompactions side by side, at most */
	/* Before each write of so many bytes, and each read; sleeps to keep the rate, and
	 * says by non-zero that the work is to end. Any thread. */
	int (*pace)(void *arg, uint64_t bytes);
	void *pace_arg;
};

struct lsm_work_stats {
	uint64_t read_bytes, written_bytes, blob_bytes; /* of files */
	uint64_t entries_in, entries_out, dropped, blobs_rewritten;
	uint64_t ns;
};

/* The memtable, to which nobody inserts any more, as a run of level 0: an edit, which was
 * empty, gets it; files are synced. Nothing to write: it stays empty. On error it is empty, and
 * no file is left. stats grow. */
int lsm_flush(const struct lsm_work *w, struct lsm_memtable *t, struct lsm_edit *edit,
	      struct lsm_work_stats *stats, struct kv_msg *why);

/* Carries out a pick of version v, to which the caller has a reference. As above; the edit also
 * removes or moves the pick's tables and sets the progress. -ECANCELED or whatever pace() said
 * when it was ended. */
int lsm_compact(const struct lsm_work *w, struct lsm_version *v, const struct lsm_pick *p,
		struct lsm_edit *edit, struct lsm_work_stats *stats, struct kv_msg *why);

/* Removes the files that an edit would add, after a commit that failed without a latch. */
void lsm_work_undo(const struct lsm_work *w, const struct lsm_edit *edit);

#endif /* LSM_COMPACTION_H */
