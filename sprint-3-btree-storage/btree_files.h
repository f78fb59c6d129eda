/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files.h - the directory of a B+tree store that nobody has open, as it lies there.
 *
 *   btree_files.c         the names, the superblocks; which segment is which; one page
 *   btree_files_tree.c    all pages that the superblock's tree reaches; the free map
 *   btree_files_log.c     all segments, record by record: what is good, what is missing
 *   btree_files_check.c   the findings; the table of kv_inspect.h
 *   btree_files_dump.c    the structure as text
 *   btree_files_cover.c   sets of key ranges
 *   btree_files_salvage.c what can be saved
 *
 * Nothing of this writes into the directory. None of it trusts a byte that has no CRC, and
 * all of it reads with read(), so that a device that fails costs the pages it fails at.
 */
#ifndef BTREE_FILES_H
#define BTREE_FILES_H

#include "../sprint-1-core-memory/kv_inspect.h"
#include "../sprint-2-hash-storage/log_raw.h"
#include "btree_pager_internal.h"
#include "btree_store.h"

enum { BTREE_PLACES = 2, BTREE_COPIES = 2 };

struct btree_place { /* a copy of a superblock */
	int error;   /* 0, or why it is none */
	struct kv_msg why;
	struct btree_super super;
};

enum btree_role { /* of a file with a segment's name */
		  BTREE_FILE_OURS,
		  BTREE_FILE_DAMAGED,   /* its header is: taken for what its name says */
		  BTREE_FILE_MISPLACED, /* under another segment's name */
		  BTREE_FILE_DUPLICATE, /* of a segment that is there under its own name */
		  BTREE_FILE_FOREIGN,   /* another store's */
		  BTREE_FILE_NEWER,     /* of a format that this program does not read */
};

struct btree_segment {
	uint64_t named, number; /* by its name; in truth, as far as that can be known */
	uint32_t units;
	uint64_t size;
	uint64_t store_id, segment_bytes; /* its header says; 0: damaged */
	enum btree_role role;
};

struct btree_files {
	struct env *env;
	const char *dir; /* the caller's */
	struct env_lock *lock;
	bool tree, backup; /* TREE, TREE.backup are there */
	size_t spares, temporaries, strangers;
	char stranger[64]; /* the name of the first */

	struct file *file; /* TREE; NULL: missing, or it cannot be opened */
	uint64_t bytes;
	struct btree_place place[BTREE_PLACES][BTREE_COPIES];
	bool has_super; /* one of them counts: */
	struct btree_super super;
	struct btree_shape shape; /* page_bytes 0: nobody knows */
	uint32_t pages;           /* that have bytes in the file */
	uint64_t unreadable;      /* pages that the device did not give */

	struct btree_segment *segment; /* by number */
	size_t segments, cap;
	uint64_t id, segment_bytes; /* of the log; segment_bytes 0: nobody knows */
};

/* Looks at all names and headers. -EBUSY: a process has the store open; -ENOENT: no file of
 * a B+tree store here; -EPROTONOSUPPORT: newer than this program. */
int btree_files_open(struct env *env, const char *dir, struct btree_files *out,
		     struct kv_msg *why);
void btree_files_close(struct btree_files *f);
enum kv_recognised btree_files_recognise(struct env *env, const char *dir);

/* Segments that hold records of this store, as far as their headers tell. */
static inline bool btree_segment_is_read(const struct btree_segment *s)
{
	return s->role <= BTREE_FILE_MISPLACED;
}

/* Where replay begins; 0 without a superblock. */
static inline uint64_t btree_files_position(const struct btree_files *f)
{
	return f->has_super ? f->super.log_position : 0;
}

/* ---- pages ---- */

/* A page's bytes, aligned memory of the caller's. -EIO: the device does not give them;
 * -ENODATA: the file has ended before; -ENOMEM. */
int btree_files_read(struct btree_files *f, uint32_t page, void *image);
/* Whether these bytes are the page: its CRC, also crc unless 0, its number, and its content.
 * -EBADMSG, with why. */
int btree_files_page(const struct btree_files *f, uint32_t page, const void *image,
		     uint32_t crc, struct kv_msg *why);
/* A large value: its pages and its CRC. value NULL: looked at only. seen NULL, or bits, a
 * bit a page, that are set; a page that is seen twice is wrong. -EBADMSG, with why. */
int btree_files_value(struct btree_files *f, const struct btree_overflow *o,
		      struct kv_buf *value, uint64_t *seen, struct kv_msg *why);

/* ---- btree_files_tree.c ---- */

struct btree_lost { /* a page of the tree that is wrong, and all below it */
	uint32_t page;
	unsigned int level;
	struct kv_slice lower, upper; /* the keys; upper.data NULL: to the end */
	const char *why;
};

struct btree_reach {
	struct btree_files *files;
	/* Set by the caller; each may be NULL. Non-zero ends the walk. */
	int (*leaf)(void *arg, const struct btree_node *leaf, uint32_t page);
	int (*lost)(void *arg, const struct btree_lost *lost);
	void *arg;

	/* what came of it */
	uint64_t *seen; /* bits: good pages of the tree, values' pages not among them */
	uint64_t *rejected; /* bits: pages that it leads to and that are wrong */
	uint64_t leaves, inner, keys, losses;

	/* the walk's own */
	uint8_t *image[BTREE_LEVELS_MAX];
	unsigned int index[BTREE_LEVELS_MAX];
	uint8_t lower[BTREE_KEY_MAX], upper[BTREE_KEY_MAX];
};

/* From the superblock's root on; without a superblock, nothing. -ENOMEM. */
int btree_reach_run(struct btree_reach *r);
void btree_reach_free(struct btree_reach *r);

/* The superblock's free map as bits, one a page, of which port_free() is the caller's; NULL
 * and why when it is damaged. -ENOMEM. */
int btree_files_map(struct btree_files *f, uint64_t **used, struct kv_msg *why);

static inline size_t btree_files_words(const struct btree_files *f)
{
	uint32_t pages =
		f->has_super && f->super.pages > f->pages ? f->super.pages : f->pages;

	return ((size_t)pages + 63) / 64 + 1;
}

/* ---- btree_files_log.c ---- */

struct btree_gap {       /* a place without records */
	size_t segment;  /* SIZE_MAX: a file that is missing */
	uint64_t number; /* of the segment */
	uint64_t offset; /* in the file; bytes 0: the segment stops there */
	uint64_t bytes;
	uint64_t begin, end; /* positions that may have held records */
	bool open;           /* nothing good stands behind it in its segment */
	bool old;            /* the checkpoint has all that it held */
	bool fault;          /* it held what was durable and is needed */
	struct kv_msg why;
};

struct btree_survey {
	struct btree_files *files;
	/* Set by the caller; may be NULL. Non-zero ends the survey. */
	int (*step)(void *arg, size_t segment, const struct log_record *r,
		    unsigned int number, const struct kv_op *op);
	void *arg;

	/* what came of it */
	struct btree_gap *gap; /* by begin */
	size_t gaps, cap;
	uint64_t segments, records, steps, bytes;
	uint64_t malformed, malformed_at; /* records with a good CRC that no write made */
	uint64_t padding;                 /* records whose padding is not zero */
	uint64_t unreadable;              /* bytes that the device did not give */
	uint64_t promise;                 /* all below was durable, as the records say */
	bool ended;                       /* the last segment has its end mark ... */
	bool closed; /* ... and it was written when all was durable */
};

/* Reads every segment; then knows what is missing. -ENOMEM. */
int btree_survey_run(struct btree_survey *s);
void btree_survey_free(struct btree_survey *s);
/* Each step of a record of the log; -EBADMSG: no write made it. */
int btree_record_each(const struct log_record *r,
		      int (*fn)(void *arg, unsigned int number, const struct kv_op *op),
		      void *arg);

/* ---- btree_files_cover.c: a set of keys, made of ranges ---- */

struct btree_span {
	uint8_t *lower, *upper; /* upper NULL: to the end */
	size_t lower_bytes, upper_bytes;
};

struct btree_cover {
	struct btree_span *span; /* ascending; they do not touch */
	size_t n, cap;
};

/* upper.data NULL: to the end. -ENOMEM. */
int btree_cover_add(struct btree_cover *c, struct kv_slice lower, struct kv_slice upper);
bool btree_cover_has(const struct btree_cover *c, struct kv_slice key);
void btree_cover_free(struct btree_cover *c);

/* ---- btree_files_check.c, _dump.c, _salvage.c: kv_inspect.h ---- */

int btree_files_structure(struct env *env, const char *dir, kv_line_fn *line, void *arg,
			  struct kv_msg *why);
int btree_files_salvage(struct env *env, const char *dir, kv_salvage_fn *pair,
			kv_finding_fn *found, void *arg, struct kv_msg *why);

struct btree_teller {
	kv_finding_fn *found;
	void *arg;
};

int btree_tell(const struct btree_teller *t, enum kv_found kind, const char *file,
	       uint64_t offset, uint64_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* What is wrong with names and superblocks; with a page; with the log as a survey has found
 * it: for check and for salvage. */
int btree_tell_files(const struct btree_teller *t, const struct btree_files *f);
int btree_tell_lost(const struct btree_teller *t, const struct btree_files *f,
		    const struct btree_lost *lost);
int btree_tell_log(const struct btree_teller *t, const struct btree_survey *s);

#endif /* BTREE_FILES_H */
