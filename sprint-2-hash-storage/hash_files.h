/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_files.h - the directory of a hash store that nobody has open, as it lies there.
 *
 *   hash_files.c    the names, the identity, the checkpoint; which segment is which
 *   hash_survey.c   all segments, record by record: what is good, what is missing
 *   hash_check.c    the findings; the table of kv_inspect.h
 *   hash_dump.c     the structure as text
 *   hash_salvage.c  what can be saved
 *
 * Nothing of this writes into the directory. None of it trusts a byte that has no CRC.
 *
 * Memory: the checkpoint's entries (16 bytes a key) and one segment file; salvage also
 * keeps all keys. Threads: what is opened here belongs to one at a time.
 */
#ifndef HASH_FILES_H
#define HASH_FILES_H

#include "../sprint-1-core-memory/kv_inspect.h"
#include "hash_format.h"
#include "hash_store.h"
#include "log_raw.h"

enum { HASH_NUMBERS = 1 << 24 }; /* of segments that a log can have */

enum hash_role { /* of a file with a segment's name */
		 HASH_FILE_OURS,
		 HASH_FILE_DAMAGED,   /* its header is: taken for what its name says */
		 HASH_FILE_MISPLACED, /* under another segment's name */
		 HASH_FILE_DUPLICATE, /* of a segment that is there under its own name */
		 HASH_FILE_FOREIGN,   /* another store's */
		 HASH_FILE_NEWER,     /* of a format that this program does not read */
};

struct hash_file {
	uint64_t named, number; /* by its name; in truth, as far as that can be known */
	uint32_t units;
	uint64_t size;
	uint64_t store_id, segment_bytes; /* its header says; 0: damaged */
	enum hash_role role;
};

struct hash_listed { /* in the checkpoint's list */
	uint64_t number, live, marks;
};

struct hash_image { /* INDEX */
	bool there;
	const char *wrong; /* NULL: nothing */
	uint64_t wrong_at; /* offset */
	uint64_t bytes;
	uint64_t not_zero; /* words without a checksum that should be */
	/* The header and the list are good: position and list are of use. */
	bool listed;
	struct hash_index_header header;
	struct hash_listed *list;
	struct hash_entry *entry; /* of the good blocks, ascending by address */
	size_t entries, cap;
	uint32_t blocks;
};

struct hash_files {
	struct env *env;
	const char *dir; /* the caller's */
	struct env_lock *lock;

	int identity_error; /* 0, -ENOENT, -EBADMSG: of STORE */
	struct kv_msg identity_why;
	struct hash_identity identity;
	/* Which store this is: STORE says so, or most of the files. */
	bool known, known_by_files;
	uint64_t id, segment_bytes;

	struct hash_file *file; /* by number */
	size_t files, cap;
	size_t spares, temporaries, strangers;
	char stranger[64]; /* the name of the first */

	struct hash_image index;
};

/* Looks at all names and headers, loads INDEX; what is damaged is told in *out, and no
 * error. -EBUSY: a process has the store open; -ENOENT: no file of a hash store here;
 * -EBADMSG: none that says of which; -EPROTONOSUPPORT: newer than this program; -ENOMEM.
 * After an error there is nothing to close. */
int hash_files_open(struct env *env, const char *dir, struct hash_files *out,
		    struct kv_msg *why);
void hash_files_close(struct hash_files *f);
enum kv_recognised hash_recognise(struct env *env, const char *dir);

/* Segments that hold records of this store, as far as their headers tell. */
static inline bool hash_file_is_read(const struct hash_file *file)
{
	return file->role <= HASH_FILE_MISPLACED;
}

/* How many entries of the checkpoint lead to positions from begin to before end. */
size_t hash_image_count(const struct hash_image *image, uint64_t begin, uint64_t end);
bool hash_image_has(const struct hash_image *image, uint64_t position);

/* ---- hash_survey.c ---- */

struct hash_gap {        /* a place without records */
	size_t file;     /* SIZE_MAX: a file that is missing */
	uint64_t number; /* of the segment */
	uint64_t offset; /* in the file; bytes 0: the segment stops there */
	uint64_t bytes;
	uint64_t begin, end; /* positions that may have held records */
	bool open;           /* nothing good stands behind it in its segment */
	bool fault;          /* it held what was durable */
	struct kv_msg why;
};

struct hash_record_at { /* what a survey gives, one by one */
	size_t file;
	const struct log_raw *raw;
	uint64_t offset; /* in the file */
	bool in_group;
	/* Of a batch whose group is damaged: not to be applied. */
	bool fragment;
	struct hash_record record;
};

struct hash_survey {
	struct hash_files *files;
	/* Set by the caller; each may be NULL. Non-zero ends the survey. */
	int (*record)(void *arg, const struct hash_record_at *r); /* puts and deletes */
	int (*segment)(void *arg, const struct hash_file *file,
		       const struct log_raw *raw); /* when it has been walked */
	void *arg;

	/* what came of it */
	struct hash_gap *gap; /* by begin */
	size_t gaps, cap;
	uint64_t segments, records, groups, puts, deletes, bytes;
	uint64_t malformed, malformed_at; /* records with a good CRC and no key */
	uint64_t padding;                 /* records whose padding is not zero */
	uint64_t unreadable;              /* bytes that the device did not give */
	uint64_t promise;                 /* all below was durable, as the records say */
	uint64_t end;                     /* behind the last segment */
	bool ended;                       /* the last segment has its end mark ... */
	bool closed; /* ... and it was written when all was durable */

	/* the survey's own */
	struct hash_retired_numbers *retired;
	size_t retirements, retired_cap;
};

/* Reads every segment; then knows what is missing. -ENOMEM, or what a function of the
 * caller's gave; hash_survey_free() in any case. */
int hash_survey_run(struct hash_survey *s);
void hash_survey_free(struct hash_survey *s);

/* ---- hash_check.c, hash_dump.c, hash_salvage.c: kv_inspect.h ---- */

int hash_files_structure(struct env *env, const char *dir, kv_line_fn *line, void *arg,
			 struct kv_msg *why);
int hash_files_salvage(struct env *env, const char *dir, kv_salvage_fn *pair,
		       kv_finding_fn *found, void *arg, struct kv_msg *why);

struct hash_teller {
	kv_finding_fn *found;
	void *arg;
};

/* One finding; what found() gives. */
int hash_tell(const struct hash_teller *t, enum kv_found kind, const char *file,
	      uint64_t offset, uint64_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* Everything that is wrong with the files as a survey has found it: for check and for
 * salvage. */
int hash_tell_all(const struct hash_teller *t, const struct hash_survey *s);

#endif /* HASH_FILES_H */
