/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_check.h - what the conformance checks are written in.
 *
 * Private to kv_conformance*.c. A check is a function over a struct check: it opens a
 * store, does things to it and to a model beside it (a sorted list of pairs), and states
 * what it expects. The first expectation that does not hold ends the check by longjmp();
 * that is safe because cursors, snapshots, stores and memory all belong to the struct
 * check, which gives them back however the check ended.
 *
 * Threads: one thread calls these functions; helpers of a check that runs threads of its
 * own return their complaint as text.
 */
#ifndef KV_CHECK_H
#define KV_CHECK_H

#include <setjmp.h>

#include "kv_conformance.h"

enum { CHECK_CURSORS = 64, CHECK_SNAPSHOTS = 64, CHECK_DIRS = 16, CHECK_PATH = 1024 };

enum { CHECK_FAILED = 1, CHECK_SKIPPED = 2 }; /* how longjmp() ends a check */

struct check_pairs { /* in key order; memory of the check */
	struct check_pair {
		struct kv_slice key, value;
	} * pair;
	size_t n, cap;
};

struct check {
	const struct kv_target *t;
	const struct kv_ops *ops;
	struct kv *kv;            /* the store that check_open() opened */
	const char *dir;          /* its directory */
	struct check_pairs model; /* what kv should hold */

	const char *file; /* where the check is: the last HERE() */
	int line;
	jmp_buf end;
	char complaint[1024];

	struct kv_cursor *cursor[CHECK_CURSORS];
	struct kv_snapshot *snapshot[CHECK_SNAPSHOTS];
	struct kv *open[CHECK_DIRS]; /* kv and any other */
	char *dirs[CHECK_DIRS];      /* what to remove at the end */
	size_t n_dirs;
	struct check_memory *memory;
	struct kv_buf buf; /* for gets */
};

struct check_entry {
	const char *name;
	unsigned int caps;    /* enum kv_cap that it needs */
	unsigned int lenient; /* enum kv_lenient that leaves it out */
	void (*run)(struct check *c);
};

/* One list a file, each ended by a NULL name. */
extern const struct check_entry check_open_entries[], check_basic_entries[],
	check_batch_entries[], check_cursor_entries[], check_snapshot_entries[],
	check_store_entries[], check_thread_entries[];

/* Literal bytes, NULs included. */
#define BYTES(s) kv_slice("" s, sizeof(s) - 1)

/* Remembers the line, for the complaint; the macros below do it for every call. */
static inline struct check *check_here(struct check *c, const char *file, int line)
{
	c->file = file;
	c->line = line;
	return c;
}
#define HERE(c) check_here(c, __FILE__, __LINE__)

/* Ends the check: "expected ..., came ...". */
void check_fail(struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));
#define check_fail(c, ...) (check_fail)(HERE(c), __VA_ARGS__)
/* Ends the check as not applicable. */
void check_skip(struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* what names the call that returned came. */
void check_int(struct check *c, const char *what, int want, int came);
#define check_int(c, want, call) (check_int)(HERE(c), #call, want, call)
#define check_true(c, condition)                                                     \
	do {                                                                         \
		if (!(condition))                                                    \
			check_fail(c, "expected %s, came the contrary", #condition); \
	} while (0)

/* Memory until the end of the check; never NULL. */
void *check_alloc(struct check *c, size_t n);
void check_free(struct check *c); /* all of it */
struct kv_slice check_copy(struct check *c, struct kv_slice s);
struct kv_slice check_printf(struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* len bytes that depend on seed, most of them not text. */
struct kv_slice check_noise(struct check *c, uint64_t seed, size_t len);

/* The engine's limits, and whether a key or value keeps within them. */
size_t check_key_max(const struct check *c);
size_t check_value_max(const struct check *c);
bool check_key_fits(const struct check *c, struct kv_slice key);
bool check_value_fits(const struct check *c, struct kv_slice value);
bool check_has(const struct check *c, unsigned int caps);
/* The target's stores lie in the file system that this process sees. */
bool check_on_disk(const struct check *c);

/* A new name below the scratch directory; nothing is created, it is removed at the end. */
const char *check_dir(struct check *c);
/* A fresh store into c->kv. */
void check_open(struct check *c);
#define check_open(c) (check_open)(HERE(c))
/* Opens dir, as a store beside c->kv. */
struct kv *check_open_dir(struct check *c, const char *dir);
#define check_open_dir(c, dir) (check_open_dir)(HERE(c), dir)
void check_close_kv(struct check *c, struct kv *kv);
#define check_close_kv(c, kv) (check_close_kv)(HERE(c), kv)
/* Closes c->kv (cursors and snapshots first). */
void check_close(struct check *c);
#define check_close(c) (check_close)(HERE(c))
void check_reopen(struct check *c);
#define check_reopen(c) (check_reopen)(HERE(c))

/* Writes to c->kv and to its model. */
void check_write(struct check *c, const struct kv_op *op, size_t n);
#define check_write(c, op, n) (check_write)(HERE(c), op, n)
void check_put(struct check *c, struct kv_slice key, struct kv_slice value);
#define check_put(c, key, value) (check_put)(HERE(c), key, value)
void check_delete(struct check *c, struct kv_slice key);
#define check_delete(c, key) (check_delete)(HERE(c), key)
/* Puts n keys made by check_key() in an order that is neither up nor down; in batches
 * where there are. */
void check_load(struct check *c, unsigned int n, size_t value_len);
#define check_load(c, n, value_len) (check_load)(HERE(c), n, value_len)
struct kv_slice check_key(struct check *c, unsigned int i); /* "key000042" */
/* Puts every adversarial key that fits, with a value of its own. */
void check_load_adversarial(struct check *c);
#define check_load_adversarial(c) (check_load_adversarial)(HERE(c))

/* The model alone. */
struct check_pairs check_pairs_copy(struct check *c, const struct check_pairs *from);
void check_pairs_put(struct check *c, struct check_pairs *p, struct kv_slice key,
		     struct kv_slice value);
void check_pairs_delete(struct check_pairs *p, struct kv_slice key);
void check_pairs_apply(struct check *c, struct check_pairs *p, const struct kv_op *op);
/* The first position whose key is >= key; whether position i has key. */
size_t check_pairs_find(const struct check_pairs *p, struct kv_slice key);
bool check_pairs_has(const struct check_pairs *p, size_t i, struct kv_slice key);

/* want NULL: -ENOENT. */
void check_get(struct check *c, struct kv_snapshot *snap, struct kv_slice key,
	       const struct kv_slice *want);
#define check_get(c, snap, key, want) (check_get)(HERE(c), snap, key, want)
/* kv holds want and nothing else, by gets and by cursors both ways. */
void check_content(struct check *c, struct kv *kv, struct kv_snapshot *snap,
		   const struct check_pairs *want);
#define check_content(c, kv, snap, want) (check_content)(HERE(c), kv, snap, want)
void check_same(struct check *c); /* c->kv holds c->model */
#define check_same(c) (check_same)(HERE(c))

struct kv_snapshot *check_snapshot(struct check *c);
#define check_snapshot(c) (check_snapshot)(HERE(c))
void check_release(struct check *c, struct kv_snapshot *snap);
struct kv_cursor *check_cursor(struct check *c, struct kv_snapshot *snap);
#define check_cursor(c, snap) (check_cursor)(HERE(c), snap)
void check_cursor_close(struct check *c, struct kv_cursor *cursor);
/* The move returned 0 and stands on the i-th pair of p; or -ENOENT, if i is p->n. */
void check_at(struct check *c, struct kv_cursor *cursor, int came,
	      const struct check_pairs *p, size_t i, const char *what);
#define check_at(c, cursor, move, p, i) (check_at)(HERE(c), cursor, move, p, i, #move)
/* A walk from outside to outside, forward and (if ordered) back, yields p. */
void check_walk(struct check *c, struct kv_cursor *cursor, const struct check_pairs *p);
#define check_walk(c, cursor, p) (check_walk)(HERE(c), cursor, p)

/* For messages: "-ENOENT"; "ab\x00" cut after 32 bytes. Both return buf. */
enum { CHECK_SHOW = 192 };
const char *check_error_name(int error, char buf[CHECK_SHOW]);
const char *check_show(struct kv_slice s, char buf[CHECK_SHOW]);

/* Begins and ends the life of c; used by the runner. */
void check_begin(struct check *c, const struct kv_target *t);
void check_end(struct check *c);

#endif /* KV_CHECK_H */
