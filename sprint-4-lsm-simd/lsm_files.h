/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files.h - the directory of an LSM store that nobody has open, as it lies there.
 *
 *   lsm_files.c          the names, STORE, the manifest: which files make the store
 *   lsm_files_log.c      all segments of a log, record by record: what is good, what is missing
 *   lsm_files_check.c    the findings; the table of kv_inspect.h
 *   lsm_files_dump.c     the structure as text, of the store or of one file
 *   lsm_files_salvage.c  what can be saved
 *
 * Nothing of this writes into the directory, and none of it trusts a byte that has no CRC.
 *
 * Threads: what is opened here belongs to one at a time.
 */
#ifndef LSM_FILES_H
#define LSM_FILES_H

#include "../sprint-1-core-memory/kv_inspect.h"
#include "../sprint-2-hash-storage/log_raw.h"
#include "lsm_store.h"
#include "lsm_version_internal.h"

struct lsm_teller {
	kv_finding_fn *found;
	void *arg;
};

/* ---- lsm_files_log.c: the write-ahead log, and the manifest, which is one too ---- */

struct lsm_segment {
	uint64_t named, number; /* by its name; by its header, or by its name again */
	uint64_t size, store_id, segment_bytes;
	uint32_t units;
	bool damaged; /* the header is: taken for what the name says */
	bool ignored; /* another store's, or a copy, or of a newer format */
};

struct lsm_gap {        /* a place without records */
	uint64_t named; /* the file; of one that is missing the number */
	bool missing;
	uint64_t offset, bytes; /* in the file; bytes 0: the segment stops there */
	uint64_t begin, end;    /* positions that may have held records */
	bool open;              /* nothing good stands behind it in its segment */
	bool damaged;           /* its file is cut short, or its header is damaged */
	bool old;               /* nothing of it is needed */
	bool fault;             /* it held what was durable and is needed */
	struct kv_msg why;
};

struct lsm_log_files {
	char dir[ENV_PATH_MAX];
	struct lsm_segment *segment; /* by number */
	size_t segments, cap;
	uint64_t id, segment_bytes; /* 0: nobody knows */
	/* what reading came to */
	struct lsm_gap *gap;
	size_t gaps, gap_cap;
	uint64_t records, bytes, promise; /* all below was durable, as the records say */
	bool ended, closed; /* the last segment has its end mark; all was durable then */
};

/* Names and headers. A directory that is not there is a log without segments. id and bytes: as
 * the store says, or 0: as its first good segment says. */
int lsm_log_files_open(struct lsm_log_files *l, struct env *env, uint64_t id,
		       uint64_t segment_bytes);
/* Every record of every segment; then knows what is missing. What is before position is not
 * needed; position 0: the log begins where its first segment does. */
int lsm_log_files_read(struct lsm_log_files *l, struct env *env, uint64_t position,
		       log_record_fn *fn, void *arg);
/* The faults, and notes of what was torn. name: what stands before a file's name. */
int lsm_log_files_tell(const struct lsm_log_files *l, const struct lsm_teller *t,
		       const char *name);
/* Something durable is lost; *end: of its positions. */
bool lsm_log_files_lost(const struct lsm_log_files *l, uint64_t *end);
void lsm_log_files_free(struct lsm_log_files *l);

/* ---- lsm_files.c ---- */

struct lsm_found { /* a table or blob file that lies there */
	uint64_t number;
	enum lsm_file_type type;
};

struct lsm_files {
	struct env *env;
	const char *dir; /* the caller's */
	struct env_lock *lock;
	int identity_error; /* of STORE; -ENOENT: it is missing */
	struct kv_msg identity_why;
	struct lsm_identity identity; /* if STORE does not say it, as the files do */
	struct lsm_found *file;       /* by number */
	size_t files;
	bool manifest_there;
	size_t temporaries, strangers;
	char stranger[64]; /* the name of the first */
	struct lsm_log_files log, manifest;
	/* The manifest is whole: the tables, blob files and position in the log that count. */
	bool known;
	struct kv_msg manifest_why;
	struct lsm_state state;
	bool begun; /* reading it: a whole version was met, */
	uint64_t serial;
	uint64_t edits;
};

/* -EBUSY: a process has the store open; -ENOENT: no file of an LSM store here; -EPROTONOSUPPORT;
 * -ENOMEM. After an error there is nothing to close. */
int lsm_files_open(struct env *env, const char *dir, struct lsm_files *out,
		   struct kv_msg *why);
void lsm_files_close(struct lsm_files *f);
enum kv_recognised lsm_files_recognise(struct env *env, const char *dir);
/* The table or blob file as the manifest has it; NULL: it has it not. */
const struct lsm_table *lsm_files_table(const struct lsm_files *f, uint64_t number);
const struct lsm_blob_file *lsm_files_blob(const struct lsm_files *f, uint64_t number);
/* table NULL: of which nothing is known. */
int lsm_files_open_table(const struct lsm_files *f, uint64_t number,
			 const struct lsm_table *table, struct sst **out,
			 struct kv_msg *why);

/* ---- lsm_files_check.c, lsm_files_dump.c, lsm_files_salvage.c: kv_inspect.h ---- */

int lsm_tell(const struct lsm_teller *t, enum kv_found kind, const char *file,
	     uint64_t offset, uint64_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* What is wrong with names, STORE and the manifest: for check and for salvage. */
int lsm_tell_files(const struct lsm_teller *t, const struct lsm_files *f);
/* "00000000002a.sst" into 32 bytes. */
char *lsm_short_name(char *out, uint64_t number, enum lsm_file_type type);
int lsm_files_structure(struct env *env, const char *dir, kv_line_fn *line, void *arg,
			struct kv_msg *why);
int lsm_files_structure_of(struct env *env, const char *path, kv_line_fn *line, void *arg,
			   struct kv_msg *why);
int lsm_files_salvage(struct env *env, const char *dir, kv_salvage_fn *pair,
		      kv_finding_fn *found, void *arg, struct kv_msg *why);

#endif /* LSM_FILES_H */
