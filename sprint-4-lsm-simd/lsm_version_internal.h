/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_version_internal.h - what the files of lsm_version.h and their tests
 * know of each other.
 */
#ifndef LSM_VERSION_INTERNAL_H
#define LSM_VERSION_INTERNAL_H

#include "../sprint-2-hash-storage/log.h"
#include "lsm_version.h"

/* ---- a version in the making ---- */

struct lsm_place { /* where a table stands */
	struct lsm_table *table;
	uint64_t run;
	unsigned int level;
};

struct lsm_progress {
	uint64_t run;
	struct kv_buf key; /* empty: none */
};

/* Tables and blob files in any order, each with a reference. Starts as {0}. */
struct lsm_state {
	struct lsm_place *place;
	struct lsm_blob_file **blob;
	size_t places, blobs; /* room as lsm_list_room() makes it */
	struct lsm_progress progress[LSM_LEVELS];
	uint64_t log_position;
};

int lsm_state_from(struct lsm_state *s, const struct lsm_version *v);
/* Run 0 in the edit becomes new_run. What is added has no open file yet. -EINVAL when the edit
 * does not fit; after an error s is good for lsm_state_free() only. */
int lsm_state_apply(struct lsm_state *s, const struct lsm_edit *e, uint64_t new_run,
		    struct kv_msg *why);
/* See struct lsm_edit. Busy flags of v must stay as they are meanwhile. */
int lsm_edit_bound_progress(struct lsm_edit *e, const struct lsm_version *v);
int lsm_state_set_progress(struct lsm_state *s, unsigned int level, uint64_t run,
			   struct kv_slice key);
/* Counts what the tables refer to; blob files without any go. -EINVAL: one is missing. */
int lsm_state_drop_blobs(struct lsm_state *s, struct kv_msg *why);
/* A version with one reference, which takes the state's over; s is empty then. -EINVAL when it
 * would not pass lsm_version_check(); then s is as before. */
int lsm_state_version(struct lsm_state *s, struct lsm_versions *owner,
		      struct lsm_version **out, struct kv_msg *why);
/* Closes what nobody else refers to; removes no file. */
void lsm_state_free(struct lsm_state *s);

/* What is left of the references is 0: closes and frees it. */
bool lsm_table_unref(struct lsm_table *t);
void lsm_table_free(struct lsm_table *t);
bool lsm_blob_file_unref(struct lsm_blob_file *b);
void lsm_blob_file_free(struct lsm_blob_file *b);
/* The version itself, not what it refers to. */
void lsm_version_free(struct lsm_version *v);
/* A version's last reference is gone: the owner's part of lsm_version_unref(). */
void lsm_versions_bury(struct lsm_versions *vs, struct lsm_version *v);

/* ---- the manifest's records ---- */

enum {
	LSM_MANIFEST_TYPE = 0, /* of its records in the log */
	LSM_MANIFEST_FORMAT = 1,
	LSM_MANIFEST_HEADER_BYTES = 32,
	LSM_MANIFEST_SEGMENT_BYTES = 64 << 10
};

struct lsm_change {           /* one record; starts as {0} */
	bool whole;           /* all of a version: what came before it does not count */
	uint64_t serial;      /* one more each */
	uint64_t next;        /* the number that the next file gets */
	struct lsm_edit edit; /* but for its progress */
	unsigned int progress_set; /* a bit a level */
	struct lsm_progress progress[LSM_LEVELS];
};

void lsm_change_free(struct lsm_change *c);

/* Sets out to the record. Runs of the edit that are 0 become new_run. */
int lsm_manifest_encode_edit(struct kv_buf *out, const struct lsm_edit *e,
			     uint64_t new_run, uint64_t serial, uint64_t next);
int lsm_manifest_encode_version(struct kv_buf *out, const struct lsm_version *v,
				uint64_t serial, uint64_t next);
/* -EBADMSG when it is none, -EPROTONOSUPPORT when a newer program wrote it. */
int lsm_manifest_decode(struct lsm_change *out, struct kv_slice record,
			struct kv_msg *why);

/* A list of n elements with room for one more: the same, or moved. NULL: no memory, and the list
 * stays as it is. */
void *lsm_list_room(void *list, size_t n, size_t size);

/* ---- the versions of a store ---- */

struct lsm_versions {
	/* constant */
	struct lsm_versions_config config;
	char dir[ENV_PATH_MAX], manifest[ENV_PATH_MAX];
	struct log *log;
	/* atomic */
	uint64_t next;               /* number of the next file */
	struct lsm_version *zombies; /* unreferenced, not yet purged */
	bool latched;
	uint64_t stat_unlinked, stat_freed_bytes, stat_unlink_errors;
	/* protected by commit_lock */
	struct port_mutex commit_lock;
	struct kv_buf record;
	uint64_t serial;
	uint64_t whole_bytes, since_whole; /* of records */
	uint64_t stat_commits, stat_whole;
	uint64_t stat_orphans; /* constant after open */
	/* protected by lock */
	struct port_mutex lock;
	struct lsm_version *current;
};

/* Those that are not open yet. */
int lsm_versions_open_files(struct lsm_versions *vs, struct lsm_state *s,
			    struct kv_msg *why);
/* Returns bytes if it is gone. */
uint64_t lsm_versions_unlink_file(struct lsm_versions *vs, uint64_t number,
				  enum lsm_file_type type, uint64_t bytes);
/* Gives a version's references back, and frees it. */
uint64_t lsm_versions_drop(struct lsm_versions *vs, struct lsm_version *v, bool unlink);
/* Numbers up to this one are taken. */
void lsm_versions_pass_number(struct lsm_versions *vs, uint64_t number);
/* Appends v as a whole, syncs it, and gives up what came before it. */
int lsm_versions_write_whole(struct lsm_versions *vs, const struct lsm_version *v,
			     struct kv_msg *why);
bool lsm_parse_name(const char *name, uint64_t *number, enum lsm_file_type *type);

#endif /* LSM_VERSION_INTERNAL_H */
