/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_entry.h - what memtables, tables, merges and the engine pass to each other: entries,
 * their order, and cursors over them.
 *
 * An entry is one version of a key: the key, a stamp, a value. The stamp is the sequence of
 * the write that made it and what the write did. Entries stand in the order of their keys
 * and, of one key, the newest first. That is all the order there is: a memtable, a table, a
 * run and the whole store are sequences of entries in it (LevelDB's internal keys).
 *
 * A sequence is where the write stands in the log: its record's position / LOG_ALIGN, one
 * more for each step of a batch. Positions grow, and a step takes at least LOG_ALIGN bytes
 * of its record, so no two steps share one, and there is no counter to agree on.
 */
#ifndef LSM_ENTRY_H
#define LSM_ENTRY_H

#include "../sprint-1-core-memory/kv.h"

enum lsm_kind {
	LSM_DELETE = 0, /* a tombstone: no value */
	LSM_PUT = 1,
	LSM_BLOB =
		2, /* the value stands in a blob file; this one says where: lsm_blob.h */
};

#define LSM_SEQUENCE_MAX (((uint64_t)1 << 56) - 1)

static inline uint64_t lsm_stamp(uint64_t sequence, enum lsm_kind kind)
{
	return sequence << 8 | (uint64_t)kind;
}

static inline uint64_t lsm_sequence(uint64_t stamp)
{
	return stamp >> 8;
}

static inline enum lsm_kind lsm_kind(uint64_t stamp)
{
	return (enum lsm_kind)(stamp & 0xff);
}

/* The stamp to seek with for "the newest version at or before sequence": no entry of that
 * sequence stands before it. */
static inline uint64_t lsm_seek_stamp(uint64_t sequence)
{
	return sequence << 8 | 0xff;
}

static inline int lsm_entry_compare(struct kv_slice a, uint64_t a_stamp,
				    struct kv_slice b, uint64_t b_stamp)
{
	int order = kv_compare(a, b);

	return order ? order : (a_stamp < b_stamp) - (a_stamp > b_stamp);
}

/*
 * A position among entries. As with kv_cursor there is one place outside, between the last
 * and the first; a new cursor stands there; a move past either end returns -ENOENT and leads
 * there, and so does any other error. key and value are good until the next call, also value
 * on a key that the cursor has already left is not.
 */
struct lsm_cursor {
	const struct lsm_cursor_ops *ops;
	struct kv_slice key, value; /* set by a move that returned 0 */
	uint64_t stamp;
};

struct lsm_cursor_ops {
	/* The first entry that stands at or behind (key, stamp). */
	int (*seek)(struct lsm_cursor *c, struct kv_slice key, uint64_t stamp);
	int (*next)(struct lsm_cursor *c);
	int (*prev)(struct lsm_cursor *c);
	void (*close)(struct lsm_cursor *c); /* frees c; NULL where the owner embeds it */
};

static inline int lsm_seek(struct lsm_cursor *c, struct kv_slice key, uint64_t stamp)
{
	return c->ops->seek(c, key, stamp);
}

static inline int lsm_next(struct lsm_cursor *c)
{
	return c->ops->next(c);
}

static inline int lsm_prev(struct lsm_cursor *c)
{
	return c->ops->prev(c);
}

static inline void lsm_cursor_close(struct lsm_cursor *c)
{
	if (c && c->ops->close)
		c->ops->close(c);
}

#endif /* LSM_ENTRY_H */
