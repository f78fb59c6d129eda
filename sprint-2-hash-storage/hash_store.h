/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_store.h - what the hash engine's files share: the store, its records, who sees what.
 *
 *   hash_engine.c      the table of functions; open, close, stats
 *   hash_read.c        get, multi_get; which version of a key a reader sees
 *   hash_write.c       put, delete, batches
 *   hash_snapshot.c    snapshots and cursors; index entries that outlive their keys
 *   hash_clean.c       segments of mostly dead bytes are rewritten and given back
 *   hash_checkpoint.c  the index as a file, so that opening need not read the log
 *   hash_recover.c     opening: the checkpoint, then the rest of the log
 *   hash_backup.c      backup and verify
 *   hash_evict.c       pairs are dropped, where a store is a cache
 *
 * A record in the log (log_format.h) is a put or a delete of one key; its payload:
 *
 *   0   8  bits 0..16: key bytes; bits 17..63: position / 8 of the version before, 0: none
 *   8      key, then value
 *
 * The index points to the newest version, and each version to the one before it, which a
 * reader follows who must not see the newest: a snapshot's, or anybody while a `sync`
 * write is not yet durable or a batch not yet whole. A record's sequence is where it was
 * first written, / 8; cleaning moves a record and keeps its sequence. So "before" means a
 * lower sequence.
 *
 * Order of locks: evict_lock, batch_lock, shards ascending, lock, and the log's own below them all.
 */
#ifndef HASH_STORE_H
#define HASH_STORE_H

#include "env.h"
#include "hash_engine.h"
#include "hash_function.h"
#include "hash_index.h"
#include "log.h"

enum hash_record_type {
	HASH_PUT = 0,
	HASH_DELETE = 1,
	HASH_RETIRE = 2, /* payload: the number of a segment that is given up (8 bytes),
			  * and how many numbers it took (8) */
	HASH_TYPE = 0x0f,

	HASH_SYNC = 1 << 4,  /* to be seen once it is durable */
	HASH_BATCH = 1 << 5, /* to be seen together with its batch */
};

enum {
	HASH_HEAD_BYTES = 8,
	HASH_RETIRE_BYTES = 16,
	HASH_KEY_BITS = 17,
};

/* Where the log ends for good: a record's head has 47 bits for position / LOG_ALIGN. */
#define HASH_POSITION_MAX (1ull << 50)

/* An index entry's address while its record is not yet written: from here up. */
#define HASH_PENDING (HASH_ADDRESS_MAX - (1u << 24))

_Static_assert(HASH_POSITION_MAX / LOG_ALIGN < HASH_PENDING, "addresses are not pending");
_Static_assert(HASH_POSITION_MAX / LOG_ALIGN == 1ull << (64 - HASH_KEY_BITS),
	       "a head holds each position");

enum hash_option {
	HASH_MEMORY_BYTES,
	HASH_GROUP_MS,
	HASH_SEGMENT_BYTES,
	HASH_MAP,
	HASH_TABLE,
	HASH_FUNCTION,
	HASH_LEAF,
	HASH_LOAD_PERCENT,
	HASH_EXPECTED,
	HASH_CHECK_READS,
	HASH_CLEAN_PERCENT,
	HASH_CLEAN_RATE,
	HASH_CHECKPOINT_BYTES,
	HASH_EVICT,
	HASH_OPTIONS,
};

struct hash_shard_count {
	_Alignas(64) int64_t live_bytes; /* of puts; under the shard's lock */
	int64_t keys;
	uint64_t dead_bytes; /* since the cleaner was last told of them */
};

/* A segment that was given up and waits until nobody looks at it any more. */
struct hash_retired {
	struct epoch_item item;
	struct hash_retired *next;
	uint64_t number;
	uint64_t serial;   /* snapshots from here on never need it */
	bool readers_gone; /* atomic */
};

/* An index entry that points to a delete, for snapshots' sake. */
struct hash_grave {
	uint64_t hash, address;
};

struct hash_store {
	struct kv base;
	/* constant after open */
	char dir[ENV_PATH_MAX];
	uint64_t option[HASH_OPTIONS];
	uint64_t id, seed;
	const struct hash_function *function;
	struct env_lock *owner;
	struct epoch *epoch;
	struct hash_index *index;
	struct log *log;
	struct kv_recovery recovery;

	struct hash_shard_count count[HASH_SHARDS];

	/* atomic */
	uint64_t
		batch_floor; /* batches whose sequence * 8 is at or above it are not whole */
	uint64_t snapshots;   /* how many are held */
	uint64_t sealed_seen; /* segment number that the cleaner was last told of */
	bool pace_due;        /* since then no writer has looked at the space in use */

	uint64_t evictions; /* that made room for a writer */

	struct port_mutex batch_lock; /* one batch at a time is applied */
	struct port_mutex evict_lock; /* one at a time evicts */

	struct port_mutex lock;
	/* protected by lock */
	struct env_cond *wake;
	struct env_task *cleaner;
	bool closing;
	bool cleaning;        /* there may be something to do */
	bool working;         /* somebody cleans or writes a checkpoint */
	unsigned int waiting; /* who would work next; the task makes way */
	int clean_error; /* why cleaning stopped; tried again when segments are sealed */
	struct kv_snapshot *newest; /* a list, newest first */
	uint64_t next_serial;
	struct hash_grave *grave;
	size_t graves, graves_cap;
	struct hash_retired *retired;
	uint64_t checkpoint_position; /* of the last checkpoint on disk */
	uint64_t stat_cleaned, stat_moved_bytes, stat_checkpoints,
		stat_tombstones_dropped, stat_reclaimed, stat_stalls, stat_stall_ns,
		stat_evicted;
};

static inline struct hash_store *hash_store(struct kv *kv)
{
	return container_of(kv, struct hash_store, base);
}

static inline uint64_t hash_key(const struct hash_store *s, struct kv_slice key)
{
	return s->function->one(s->seed, key.data, key.len);
}

/* ---- records ---- */

struct hash_record {
	uint64_t position, sequence, bytes; /* bytes: what it takes of the log */
	uint64_t prev;                      /* position; 0: none */
	unsigned int type;                  /* with its flags */
	struct kv_slice key, value;
	struct log_record log; /* that this is in */
};

/* -EBADMSG when it is no put or delete, or says what no writer can have said. */
int hash_record_parse(const struct log_record *r, struct hash_record *out);
/* The record at a position; see log_read() for check, buf and errors. */
int hash_record_read(struct hash_store *s, uint64_t position, bool check,
		     struct kv_buf *buf, struct hash_record *out);
static inline uint64_t hash_head(uint64_t prev, size_t key_len)
{
	return prev / LOG_ALIGN << HASH_KEY_BITS | key_len;
}

/* Counts a record in its segment, or takes it off: a put as live, a delete as a mark. */
static inline void hash_count_record(struct hash_store *s, unsigned int type,
				     uint64_t position, int64_t bytes)
{
	if ((type & HASH_TYPE) == HASH_PUT)
		log_live(s->log, position, bytes);
	else
		log_mark(s->log, position, bytes);
}

/* ---- looking a key up ---- */

struct hash_lookup { /* the argument of hash_lookup_match() */
	struct hash_store *store;
	struct kv_slice key;
	struct kv_buf *buf; /* where records are read that are not mapped */
	struct hash_record record;
	int error; /* a record could not be read: found, with this error */
};

/* True when the record at the address has the key. A record with another key is checked:
 * a key whose bits have flipped must not be taken for absent. */
bool hash_lookup_match(void *arg, uint64_t address);

/* ---- who sees what ---- */

struct hash_view {
	bool newest;          /* of now; else: */
	uint64_t end, synced; /* positions as of the snapshot */
};

extern const struct hash_view hash_view_newest;

bool hash_view_sees(struct hash_store *s, const struct hash_view *v,
		    const struct hash_record *r);
/* From the version at position back to the first that the view sees; checked. 0: out is it,
 * a put or a delete; -ENOENT: it sees none. *hidden, unless NULL, is set when a version was
 * passed over. */
int hash_view_read(struct hash_store *s, const struct hash_view *v, uint64_t position,
		   struct kv_buf *buf, struct hash_record *out, bool *hidden);

/* ---- hash_read.c, hash_write.c ---- */

int hash_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
	     struct kv_buf *value);
int hash_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		   const struct kv_slice *key, struct kv_buf *value, int *error);
int hash_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how);

/* ---- hash_snapshot.c ---- */

struct kv_snapshot {
	struct hash_view view;
	uint64_t serial;
	uint32_t references;
	struct kv_snapshot *older, *newer;
};

/* Waits until every write that has appended its record has pointed the index at it. */
void hash_sweep(struct hash_store *s);

int hash_snapshot(struct kv *kv, struct kv_snapshot **out);
void hash_release(struct kv *kv, struct kv_snapshot *snap);
int hash_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);

/* The index entry at address is a delete that is seen: removes it, or remembers to when the
 * last snapshot goes. No shard's lock may be held. */
void hash_bury(struct hash_store *s, uint64_t hash, uint64_t address);

/* ---- hash_clean.c ---- */

int hash_cleaner_start(struct hash_store *s);
void hash_cleaner_stop(struct hash_store *s);
void hash_cleaner_wake(struct hash_store *s); /* a segment was sealed, a snapshot went */
int hash_compact(struct kv *kv);
/* The disk is full: cleans what is worth it. 0: a segment's space has come back, so that
 * it is worth trying again; -ENOSPC. The caller holds no lock. */
int hash_make_space(struct hash_store *s);
/* Waits, for a bounded time, while more is dead than hash_engine.h promises. */
void hash_pace_writer(struct hash_store *s);

/* One at a time cleans, and no segment goes meanwhile but by who does. Under the lock, both;
 * an error is why what was begun has not ended. */
void hash_work_take(struct hash_store *s);
void hash_work_give(struct hash_store *s, int error);

/* ---- hash_evict.c ---- */

/* Deletes the pairs of the oldest segment that has any. -ENOSPC when none has, -ENOMEM, or
 * what the deletes gave. The caller holds no lock. */
int hash_evict_segment(struct hash_store *s);

/* ---- hash_checkpoint.c ---- */

/* Writes the index out as of now, durably; one at a time. An error leaves the last one
 * as it was. */
int hash_checkpoint_write(struct hash_store *s);

struct hash_checkpoint {
	uint64_t position; /* replay from here; 0: from the beginning */
	uint64_t entries;  /* about so many */
	uint64_t keys, live_bytes;
	/* Numbers that there were, ascending; live and mark bytes of each. */
	uint64_t *segment, *live, *marks;
	size_t segments;
	bool other; /* made with another table or leaf: its entries are of no use */
};

/* Opens the checkpoint and reads what stands before the entries. -ENOENT when there is
 * none that fits this store; *why says what is wrong with it. -ENOMEM. *out is the
 * caller's to free; after an error *r is not set. */
struct hash_checkpoint_reader;
int hash_checkpoint_open(struct hash_store *s, struct hash_checkpoint_reader **r,
			 struct hash_checkpoint *out, struct kv_msg *why);
/* Puts the entries into the store's index; -ENOENT when they turn out damaged. */
int hash_checkpoint_load(struct hash_checkpoint_reader *r, struct kv_msg *why);
void hash_checkpoint_close(struct hash_checkpoint_reader *r);
void hash_checkpoint_free(struct hash_checkpoint *c);

/* ---- hash_recover.c ---- */

/* Makes the index, opens the log. -EBADMSG, -ENOMEM or what the files gave, and why; then
 * the log is closed, and the index is the store's to free. */
int hash_recover(struct hash_store *s, struct kv_msg *why);

/* ---- hash_backup.c ---- */

int hash_backup(struct kv *kv, const char *dir);
int hash_verify(struct kv *kv, struct kv_msg *why);

/* ---- hash_engine.c ---- */

/* The store's identity as a file in dir: written last, so that a directory without it is
 * not a store. */
int hash_identity_write(struct hash_store *s, const char *dir);

#endif /* HASH_STORE_H */
