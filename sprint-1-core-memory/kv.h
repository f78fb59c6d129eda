/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv.h - the one interface between a store and whoever uses it.
 *
 * An engine is a const struct kv_ops. kvbench, the tests, the char devices and the
 * server see only this file. It compiles unchanged in userspace and in the kernel.
 *
 * Errors:  0 or -errno: -ENOENT no such key, -EINVAL caller's mistake, -EBADMSG
 *          corruption found, -EROFS stopped after a failed sync, -EBUSY open
 *          elsewhere, -EOPNOTSUPP not in caps, -EIO, -ENOSPC, -ENOMEM.
 * Threads: any call from any thread, kv_close() last and alone; a cursor and a
 *          kv_buf belong to one thread at a time; a snapshot may be shared.
 * Memory:  arguments are borrowed until the call returns; outputs say who owns.
 */
#ifndef KV_H
#define KV_H

#include "port.h"

struct env; /* files, clock, background work: see env.h; NULL for engines without files */

enum {
	KV_KEY_MAX = 64 << 10,  /* bytes in a key */
	KV_VALUE_MAX = 1 << 30, /* bytes in a value */
};

struct kv_slice { /* borrowed bytes; may be empty, and data NULL only if len is 0 */
	const void *data;
	size_t len;
};

struct kv_buf { /* the caller's; starts as {0}, grown by the callee, kv_buf_free() ends it */
	void *data;
	size_t len, cap;
};

struct kv_msg { /* one sentence for a person; never parsed */
	char text[256];
};

enum kv_durability {
	KV_NONE,  /* survives the process, perhaps not the power */
	KV_GROUP, /* survives power loss after option group_ms */
	KV_SYNC,  /* survives power loss once the call has returned 0 */
};

/* What an engine can do. A call outside its caps returns -EOPNOTSUPP. */
enum kv_cap {
	KV_CAP_CURSOR = 1 << 0,  /* cursors: at least next() over every pair */
	KV_CAP_ORDERED = 1 << 1, /* ... in memcmp order of keys, with seek() and prev() */
	KV_CAP_SNAPSHOT = 1 << 2,     /* snapshots; every cursor reads from one */
	KV_CAP_BATCH = 1 << 3,        /* a write of n > 1 steps is atomic and isolated */
	KV_CAP_DELETE_RANGE = 1 << 4, /* KV_DELETE_RANGE steps */
	KV_CAP_PERSISTENT = 1 << 5,   /* reopening finds what close() left */
	KV_CAP_DURABLE = 1 << 6,      /* KV_GROUP and KV_SYNC keep their word */
	KV_CAP_CRASH_SAFE = 1 << 7,   /* after power loss the store opens, unharmed */
	KV_CAP_BACKUP = 1 << 8,       /* backup() */
	KV_CAP_VERIFY = 1 << 9,       /* verify() reads and checks every byte */
};

enum kv_op_type {
	KV_PUT,
	KV_DELETE,       /* deleting what is not there is no error */
	KV_DELETE_RANGE, /* [key, value), or from key to the end when value.data is NULL */
};

struct kv_op { /* one step of an atomic write */
	enum kv_op_type type;
	struct kv_slice key, value;
};

struct kv_opt { /* one option that a command line can set; sizes in bytes */
	const char *name, *help;
	const char *choices; /* "tiered|leveled" means 0|1; NULL for a number */
	uint64_t init, min, max;
};

/*
 * Options that mean the same wherever they stand in an engine's list:
 * memory_bytes  what caches and buffers together may take
 * group_ms      how long a KV_GROUP write may stay volatile
 */

struct kv { /* an engine's own struct begins with this */
	const struct kv_ops *ops;
	struct env *env;
};

struct kv_snapshot; /* an engine's own: the store as it stood at one moment */

/*
 * A position among the pairs of a snapshot, in key order if the engine is ordered.
 * Beside the pairs there is one place outside, between the last and the first: a new
 * cursor stands there, and a move past either end returns -ENOENT and leads there. So
 * next() from outside is the first pair, prev() from outside the last. Any other error
 * leads outside too. Memtables, runs, merges and engines share this type.
 */
struct kv_cursor {
	const struct kv_cursor_ops *ops;
	struct kv_slice key,
		value; /* set by a move that returned 0, until the next call */
};

struct kv_pair { /* in a block: behind it key, value, and zeros up to a multiple of 8 */
	uint32_t key_len, reserved; /* 0 */
	uint64_t value_len;
};

struct kv_block {              /* pairs one behind the other, in memory of the caller's */
	uint8_t *data;         /* a multiple of 8 */
	size_t cap, len;       /* bytes */
	uint32_t limit, count; /* pairs */
};

struct kv_cursor_ops {
	int (*seek)(struct kv_cursor *c, struct kv_slice key); /* first pair >= key */
	int (*next)(struct kv_cursor *c);
	int (*prev)(struct kv_cursor *c);
	void (*close)(struct kv_cursor *c); /* frees c */
	/* kv_next_many() where it is cheaper than next() for each pair; else NULL */
	int (*next_many)(struct kv_cursor *c, struct kv_block *b);
};

struct kv_recovery { /* what open found; zeroes and "" for a clean store */
	uint64_t records_replayed, bytes_dropped;
	struct kv_msg why; /* why bytes were dropped */
};

typedef void kv_stat_fn(void *arg, const char *name, uint64_t value);

struct kv_ops {
	const char *name;          /* "hash", "btree", "lmdb", ... */
	const char *summary;       /* one line for a list of engines */
	unsigned int caps;         /* enum kv_cap */
	const struct kv_opt *opts; /* ends with a NULL name */
	/* Bytes; beyond them a write or a get is -EINVAL. 0: the interface's own 0, KV_KEY_MAX,
	 * KV_VALUE_MAX. Our engines have no others; some peers do. */
	size_t key_min, key_max, value_max;

	/* Recovers, then opens; creates dir when absent (not its parents). opt[i] is the
	 * checked value of opts[i]. On error *out is untouched and why, unless NULL, says
	 * what to do about it. */
	int (*open)(struct env *env, const char *dir, const uint64_t *opt,
		    struct kv **out, struct kv_msg *why);
	int (*close)(
		struct kv *kv); /* syncs what can be; kv is gone whatever this returns */

	/* snap NULL reads the newest state. On error *value is empty (len 0). */
	int (*get)(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		   struct kv_buf *value);
	/* n gets from one state; error[i] is what get would have returned for key[i].
	 * Returns 0, or a failure of the call as a whole. NULL: kv_multi_get() loops. */
	int (*multi_get)(struct kv *kv, struct kv_snapshot *snap, size_t n,
			 const struct kv_slice *key, struct kv_buf *value, int *error);
	/* All n steps or none, in order; visible to others only together. */
	int (*write)(struct kv *kv, const struct kv_op *op, size_t n,
		     enum kv_durability how);

	int (*snapshot)(struct kv *kv, struct kv_snapshot **out);
	void (*release)(struct kv *kv, struct kv_snapshot *snap);
	/* Over snap, or over the state as of this call. The cursor keeps what it needs:
	 * snap may be released before it. Closed before kv_close(). */
	int (*cursor)(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);

	int (*sync)(struct kv *kv);    /* every returned write becomes KV_SYNC */
	int (*compact)(struct kv *kv); /* until no background work is left */
	int (*backup)(struct kv *kv,
		      const char *dir); /* while writes go on; dir is new */
	int (*verify)(struct kv *kv, struct kv_msg *why); /* reads every byte */
	void (*stats)(struct kv *kv, kv_stat_fn *emit, void *arg);
	void (*recovery)(struct kv *kv, struct kv_recovery *out);
};

/*
 * The calls. Each checks its arguments and the engine's caps, so that an engine need
 * not; an engine's table may leave NULL what its caps leave out, and multi_get, sync,
 * compact, stats and recovery, for which there is a plain answer.
 */

/* Checks "name=value,..." (numbers take k, m, g: powers of 1024; NULL or "" for none)
 * against ops->opts, then calls ops->open(). Unknown names are -EINVAL, and why names
 * the nearest known one. */
int kv_open(const struct kv_ops *ops, struct env *env, const char *dir, const char *opts,
	    struct kv **out, struct kv_msg *why);
int kv_close(struct kv *kv); /* NULL is allowed */

int kv_get(struct kv *kv, struct kv_slice key, struct kv_buf *value);
int kv_get_at(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
	      struct kv_buf *value);
int kv_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		 const struct kv_slice *key, struct kv_buf *value, int *error);
int kv_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how);
int kv_put(struct kv *kv, struct kv_slice key, struct kv_slice value,
	   enum kv_durability how);
int kv_delete(struct kv *kv, struct kv_slice key, enum kv_durability how);

int kv_snapshot(struct kv *kv, struct kv_snapshot **out);
void kv_release(struct kv *kv, struct kv_snapshot *snap); /* NULL is allowed */
int kv_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);

int kv_sync(struct kv *kv);
int kv_compact(struct kv *kv);
int kv_backup(struct kv *kv, const char *dir);
int kv_verify(struct kv *kv, struct kv_msg *why);
void kv_stats(struct kv *kv, kv_stat_fn *emit, void *arg);
void kv_recovery(struct kv *kv, struct kv_recovery *out);

static inline int kv_seek(struct kv_cursor *c, struct kv_slice key)
{
	return c->ops->seek ? c->ops->seek(c, key) : -EOPNOTSUPP;
}

static inline int kv_next(struct kv_cursor *c)
{
	return c->ops->next(c);
}

static inline int kv_prev(struct kv_cursor *c)
{
	return c->ops->prev ? c->ops->prev(c) : -EOPNOTSUPP;
}

/* A pair to the block's end. -EMSGSIZE: it has no room, and the block is as before. */
int kv_block_add(struct kv_block *b, struct kv_slice key, struct kv_slice value);
/* Moves on by next() and adds each pair to the block, until limit are in it: then 0, and the
 * cursor stands on the last. -EMSGSIZE: it stands on one that had no room. Other errors are
 * those of next(). What the block held stays. */
int kv_next_many(struct kv_cursor *c, struct kv_block *b);

static inline size_t kv_pair_bytes(size_t key_len, size_t value_len)
{
	return (sizeof(struct kv_pair) + key_len + value_len + 7) / 8 * 8;
}

static inline void kv_cursor_close(struct kv_cursor *c)
{
	if (c)
		c->ops->close(c);
}

/* Slices and buffers */

static inline struct kv_slice kv_slice(const void *data, size_t len)
{
	return (struct kv_slice){ data, len };
}

struct kv_slice kv_str(const char *s);                /* without the final NUL */
int kv_compare(struct kv_slice a, struct kv_slice b); /* memcmp order, shorter first */
int kv_buf_reserve(struct kv_buf *b, size_t cap);     /* at least cap; keeps content */
int kv_buf_set(struct kv_buf *b, const void *p, size_t len);
int kv_buf_append(struct kv_buf *b, const void *p, size_t len);
void kv_buf_free(struct kv_buf *b); /* leaves it as {0} */

/* Writes a sentence, cut where it does not fit. msg may be NULL. Returns error, so that
 * a failing function can end with it. */
int kv_fail(struct kv_msg *msg, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* KV_H */
