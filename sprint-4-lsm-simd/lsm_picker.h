/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_picker.h - what to compact next: pure functions of a version and a layout.
 *
 *   lazy     tiers above, one run at the bottom: few rewrites, and yet most keys have one
 *            place (Dayan, Idreos, "Dostoevsky", 2018). The default.
 *   leveled  one run a level, each level "ratio" times the one above (LevelDB, RocksDB)
 *   tiered   up to "ratio" runs a level, merged into one of the level below (Cassandra); the
 *            last level there is has one run in any style
 *
 *   lsm_picker.c  how urgent what is
 *   lsm_pick.c    what that means in tables
 *
 * Who carries out a pick marks all tables of its sources busy as long as it works.
 */
#ifndef LSM_PICKER_H
#define LSM_PICKER_H

#include "lsm_version.h"

enum lsm_style { LSM_LAZY, LSM_LEVELED, LSM_TIERED };

struct lsm_layout {
	enum lsm_style style;
	unsigned int ratio;        /* between sizes of levels; runs of a tier */
	unsigned int flushed_runs; /* of level 0 that are merged at once */
	uint64_t level_bytes;      /* of level 1 */
	uint64_t table_bytes;      /* of a table that a compaction writes */
	uint64_t piece_bytes;      /* of input that one compaction takes, about */
	uint64_t
		wide_bytes; /* that a table may make others wait to be merged with it: one
			      * whose keys lie far apart is cut in two first; 0: any */
	unsigned int
		blob_live_percent; /* below it a blob file's values are written anew */
	unsigned int
		delete_percent; /* tombstones in a table that make it worth a merge */
	/* Nobody reads at a sequence below this one, nor will: what is deleted at or before it
	 * can go at the bottom. LSM_SEQUENCE_MAX: there is no snapshot; 0: not known, and no
	 * table is written again only to be rid of what is deleted. */
	uint64_t settled;
};

/* Tables of one run, in order. Those before begin, if any, were merged by earlier pieces and
 * can perhaps go now: they are part of the source so that they are marked busy. */
struct lsm_source {
	struct lsm_table **table;
	size_t tables;
};

struct lsm_pick {
	unsigned int from, to;     /* levels */
	uint64_t run;              /* of level to, that takes the outputs; 0: a new one */
	struct lsm_source *source; /* newest first */
	size_t sources;
	uint64_t bytes;
	/* Only keys in [begin, end) are merged; end.data NULL with end_open. */
	struct kv_buf begin, end;
	bool end_open;
	struct kv_buf
		cut; /* no table that comes of it has keys on both sides; empty: any may */
	bool move; /* nothing to merge with: the tables change their level as they are */
	bool bottom;      /* nothing older than the sources has keys in the range */
	uint64_t *remove; /* tables that are done with when it is */
	size_t removes;
	/* Sets the level's progress when committed; see struct lsm_level. */
	bool progress;
	uint64_t progress_run;
	const char *reason; /* "level 0 has 4 runs", ... for stats and a person */
};

/* The most urgent work that touches no busy table. 1: *out is it; 0: there is none; -ENOMEM. */
int lsm_pick(const struct lsm_version *v, const struct lsm_layout *l,
	     struct lsm_pick *out);
/* What makes a range compact, step by step: call it, carry out what it says, and call it again
 * until it gives 0. [begin, end) goes into the deepest level that has any of it; tables that
 * reach beyond the range stay. All of the store (begin empty, end.data NULL) goes level by level
 * in pieces. Then tables with deleted entries that can go (layout.settled), and those with
 * values in poor blob files, are written again. */
int lsm_pick_range(const struct lsm_version *v, const struct lsm_layout *l,
		   struct kv_slice begin, struct kv_slice end, struct lsm_pick *out);
void lsm_pick_free(struct lsm_pick *p);

/* Bytes that compactions have yet to read and write until the version has the layout's shape:
 * what writers are slowed down by. */
uint64_t lsm_debt(const struct lsm_version *v, const struct lsm_layout *l);

#endif /* LSM_PICKER_H */
