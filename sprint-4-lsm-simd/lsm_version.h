/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_version.h - which files make the store: versions, the edits between them, the manifest.
 *
 *   lsm_version.c   a version: levels of runs of tables; finding in it
 *   lsm_state.c     making a version of another and an edit
 *   lsm_run.c       one run: which of its tables, and a cursor over them
 *   lsm_edit.c      what a flush or a compaction changes
 *   lsm_manifest.c  its bytes in the manifest
 *   lsm_versions.c  the current version; committing edits; the manifest; files no longer used
 *   lsm_versions_open.c  reading the manifest; what a crash left
 *   lsm_picker.c    what to compact next: lsm_picker.h
 *
 * A level holds runs, the newest first; a run holds tables whose keys don't overlap, in order.
 * Each flush makes a run of level 0. In a leveled store every level below has one run; in a
 * tiered one several; a lazy-leveled one has several in each but the last.  What stands in a
 * newer run, or in a level further up, is newer, for each key.
 *
 * A version does not change. Readers keep it by a reference; its files are removed when no
 * version refers to them any more. The manifest is a log (log.h) of edits: a store is opened by
 * applying them all. From time to time the whole version is written as one edit, and the
 * manifest before it given up (LevelDB's MANIFEST).
 *
 * An edit is committed in this order: the files synced by who made them, the directory synced,
 * the edit appended and synced, the version published, what it no longer uses unlinked.
 */
#ifndef LSM_VERSION_H
#define LSM_VERSION_H

#include "lsm_blob.h"
#include "sst.h"

enum { LSM_LEVELS = 8 };

struct lsm_table { /* of one or several versions */
	/* constant */
	uint64_t number; /* of its file: lsm_file_name() */
	struct sst_summary summary;
	struct sst *sst; /* open as long as this is there */
	/* atomic */
	uint32_t references;
	/* protected by the versions' lock: a compaction has it */
	bool busy;
};

struct lsm_run {
	uint64_t id; /* grows: of one level, larger is newer */
	struct lsm_table **table;
	size_t tables;
	uint64_t bytes;
};

struct lsm_level {
	struct lsm_run *run; /* newest first */
	size_t runs;
	uint64_t bytes;
	/* Of a merge of the runs up to progress_run into the level below, piece by piece: what
	 * is less than this key has been merged already. Empty: nothing. */
	uint64_t progress_run;
	struct kv_buf progress;
};

struct lsm_blob_file {
	uint64_t number;
	struct lsm_blob_summary summary;
	struct lsm_blob *blob;
	uint32_t references; /* atomic */
};

struct lsm_blob_place { /* a blob file in a version */
	struct lsm_blob_file *file;
	uint64_t live; /* record bytes that the version's tables refer to */
};

struct lsm_version {
	struct lsm_level level[LSM_LEVELS];
	struct lsm_blob_place *blob; /* by number */
	size_t blobs;
	struct lsm_tombstones *tombstones; /* of all tables; NULL mostly */
	uint64_t log_position;             /* what the log has before it is in tables */
	uint64_t bytes;                    /* of all tables */
	struct lsm_table **table;          /* what the runs' tables stand in */
	struct lsm_run *run;               /* what the levels' runs stand in */
	struct lsm_versions *owner;        /* NULL: a version of no store */
	uint32_t references;               /* atomic */
	struct lsm_version *zombie;        /* see lsm_versions_purge() */
};

void lsm_version_ref(struct lsm_version *v);
/* Any thread; frees nothing itself but hands what is over to lsm_versions_purge(). */
void lsm_version_unref(struct lsm_version *v);

/* The newest entry of key at or before sequence, tables alone. As sst_get(); an LSM_BLOB is
 * resolved, so *stamp says LSM_PUT or LSM_DELETE. Range tombstones of the version count: what
 * they hide is an LSM_DELETE with their sequence. */
int lsm_version_get(struct lsm_version *v, struct kv_slice key, uint64_t hash,
		    uint64_t sequence, uint64_t *stamp, struct kv_buf *value,
		    struct kv_msg *why);
/* The blob that ref speaks of; NULL: the version has none. */
struct lsm_blob *lsm_version_blob(const struct lsm_version *v, uint64_t file);
/* Tables of a run that may hold keys in [begin, end): the first, and how many. end.data NULL:
 * no end. */
size_t lsm_run_overlap(const struct lsm_run *r, struct kv_slice begin,
		       struct kv_slice end, size_t *first);
/* The one table of a run that may hold key; NULL: none. */
struct lsm_table *lsm_run_find(const struct lsm_run *r, struct kv_slice key);
/* A cursor over one run; tables are opened for reading as it comes to them. flags:
 * enum sst_cursor_flags. The caller keeps the version. r itself need not stay, only the tables
 * that it points to. */
int lsm_run_cursor(const struct lsm_run *r, unsigned int flags, struct lsm_cursor **out,
		   struct kv_msg *why);
/* Why its last move gave -EBADMSG or -EIO; NULL when it did not. */
const struct kv_msg *lsm_run_cursor_why(const struct lsm_cursor *c);
/* Is key behind all that a table of this summary holds? */
bool sst_summary_ends_before(const struct sst_summary *s, struct kv_slice key);
/* Every invariant that can be checked without reading files. */
int lsm_version_check(const struct lsm_version *v, struct kv_msg *why);

/* ---- edits ---- */

struct lsm_edit_add {
	unsigned int level;
	uint64_t run; /* of that level; 0: a new one, the same for all with 0 */
	uint64_t number;
	struct sst_summary summary; /* the edit's own */
};

struct lsm_edit_blob {
	uint64_t number;
	struct lsm_blob_summary summary;
};

struct lsm_edit_move { /* a table to another level, as it is (a trivial move) */
	uint64_t number;
	unsigned int level;
	uint64_t run; /* 0: the new one */
};

/* A table that is added to a run at or below a level's progress_run takes that level's progress
 * back to its smallest key, and so does, when progress is set, a table of those runs that is not
 * busy: the compaction that sets it has not seen it. So what is below progress has been merged
 * whatever else was going on. */
struct lsm_edit { /* starts as {0}; lists grow by the functions below */
	struct lsm_edit_add *add;
	struct lsm_edit_blob *blob;
	struct lsm_edit_move *move;
	uint64_t *remove; /* tables' numbers */
	size_t adds, blobs, moves, removes;
	uint64_t log_position; /* 0: unchanged */
	bool has_progress;     /* sets level[progress_level]'s */
	unsigned int progress_level;
	uint64_t progress_run;
	struct kv_buf progress;
};

int lsm_edit_add(struct lsm_edit *e, unsigned int level, uint64_t run, uint64_t number,
		 struct sst_summary *summary); /* takes its content over */
int lsm_edit_blob(struct lsm_edit *e, uint64_t number, const struct lsm_blob_summary *s);
int lsm_edit_move(struct lsm_edit *e, uint64_t number, unsigned int level, uint64_t run);
int lsm_edit_remove(struct lsm_edit *e, uint64_t number);
void lsm_edit_free(struct lsm_edit *e);

/* ---- the versions of a store ---- */

struct lsm_versions;

enum lsm_file_type { LSM_FILE_TABLE, LSM_FILE_BLOB };
/* dir/NNNNNNNNNNNN.sst or .blob; out of ENV_PATH_MAX. */
int lsm_file_name(char *out, const char *dir, uint64_t number, enum lsm_file_type type);

struct lsm_versions_config {
	struct env *env;
	const char *dir; /* tables and blob files; the manifest is in dir/manifest */
	uint64_t store_id;
	struct lsm_cache *cache;
	enum sst_access access;
	/* Called with each new current version (its reference is lent), before commit
	 * returns, one at a time and in order: where the engine makes a new view. May be
	 * NULL. Must not fail: what it needs it has prepared. */
	void (*installed)(void *arg, struct lsm_version *v);
	void *arg;
};

int lsm_versions_create(const struct lsm_versions_config *c, struct lsm_versions **out,
			struct kv_msg *why);
/* Applies the manifest, opens every table and blob file, and removes files that are in no
 * version: what a crash left of work under way. */
int lsm_versions_open(const struct lsm_versions_config *c, struct lsm_versions **out,
		      struct kv_msg *why);
/* Nobody holds a version any more. */
int lsm_versions_close(struct lsm_versions *vs);

struct lsm_version *lsm_versions_current(struct lsm_versions *vs); /* with a reference */
/* For a new file, from 1 on. Never given twice, also not after a crash, as long as the crash
 * left anything of the file to be seen. */
uint64_t lsm_versions_number(struct lsm_versions *vs);
/* Opens what the edit adds, logs and syncs it, makes the new version the current one. Tables
 * that it moved are busy no longer: where they are now no compaction has seen them. One edit at a time; any thread. On error nothing
 * has changed, and the files that it would have added are the caller's to remove; but after a
 * failed sync the manifest is latched: they may be in it, so nothing is removed, and every
 * later commit gives -EROFS. */
int lsm_versions_commit(struct lsm_versions *vs, struct lsm_edit *e, struct kv_msg *why);
bool lsm_versions_latched(const struct lsm_versions *vs);
/* For pickers: current, and busy flags that stay as they are until unlock. */
struct lsm_version *lsm_versions_lock(struct lsm_versions *vs);
void lsm_versions_unlock(struct lsm_versions *vs);

/* Unlinks files that nobody uses any more and frees versions; background tasks call it. Returns
 * bytes of disk that came free. */
uint64_t lsm_versions_purge(struct lsm_versions *vs);
bool lsm_versions_are_over(const struct lsm_versions *vs); /* some, for it to free */

void lsm_versions_stats(struct lsm_versions *vs, kv_stat_fn *emit, void *arg);

#endif /* LSM_VERSION_H */
