/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_store.h - what the LSM engine's files share: the store, its views, its background work.
 *
 *   lsm_storage_engine.c  the table of functions; options, open, close
 *   lsm_write.c           writes: the log, the memtable, what becomes visible when
 *   lsm_view.c            views: what a reader looks at; switching memtables
 *   lsm_read.c            get, multi-get
 *   lsm_scan.c            cursors over a view
 *   lsm_snapshot.c        snapshots
 *   lsm_background.c      the tasks that flush and compact; slowing writers down
 *   lsm_reserve.c         getting through a full disk
 *   lsm_recover.c         opening: the manifest, then the log's tail
 *   lsm_identity.c        the file STORE
 *   lsm_backup.c          backup
 *   lsm_check.c           verify
 *   lsm_stats.c           statistics
 *
 * A write is appended to the log, which decides its place and thereby its sequence; it is put
 * into the memtable; it becomes visible in its turn, when all before it are. A KV_SYNC write's
 * turn comes only when it is durable, so nobody reads what a crash takes back. When that fails
 * nothing becomes visible any more.
 *
 * A view is the memtables and the version as of one moment. Readers take it within an epoch, or
 * by a reference when they keep it. A flush or compaction installs a new one, and nothing that
 * is in a view changes, but for the active memtable, which grows.
 *
 * Order of locks: append_lock, versions' lock, view_lock, snapshot_lock, task_lock; the log's own last.
 */
#ifndef LSM_STORE_H
#define LSM_STORE_H

#include "../sprint-2-hash-storage/epoch.h"
#include "../sprint-2-hash-storage/log.h"
#include "lsm_compaction.h"
#include "lsm_engine.h"
#include "neon_lsm_ops.h"

enum {
	LSM_LOG_WRITE = 0, /* types of log records: the steps of a write ... */
	LSM_LOG_BEGIN =
		1,        /* ... and what makes the log of a backup begin where it must */
	LSM_LOG_STEP = 8, /* bytes before a step's key */
	LSM_TURNS =
		256, /* writes that may be finished before those in front of them are */
	LSM_MEMTABLES = 16, /* most that can be there at once */
};

enum lsm_option {
	LSM_MEMORY_BYTES,
	LSM_GROUP_MS,
	LSM_MEMTABLE_BYTES,
	LSM_MEMTABLE_COUNT,
	LSM_SEGMENT_BYTES,
	LSM_STYLE,
	LSM_RATIO,
	LSM_FLUSHED_RUNS,
	LSM_LEVEL_BYTES,
	LSM_TABLE_BYTES,
	LSM_BLOCK_BYTES,
	LSM_RESTART_INTERVAL,
	LSM_FILTER_BITS,
	LSM_COMPRESSION,
	LSM_BLOB_BYTES,
	LSM_BLOB_LIVE_PERCENT,
	LSM_CACHE_POLICY,
	LSM_RECORD_PERCENT,
	LSM_ACCESS,
	LSM_THREADS,
	LSM_PARTS,
	LSM_RATE,
	LSM_HUGE,
	LSM_MLOCK,
	LSM_MAP,
	LSM_RESERVE_BYTES,
	LSM_OPTIONS,
};

/* ---- memtables and views ---- */

struct lsm_mem { /* a memtable and its place in the log */
	struct lsm_memtable *table;
	struct lsm_store *store;
	uint32_t references; /* atomic: views */
	/* under append_lock, constant when it is no longer the active one */
	uint64_t begin, end; /* positions: all of its writes are in between; begin under
			       * view_lock as well */
	uint64_t
		tickets; /* given out when its last write had its own; 0: all was replayed */
	bool used;       /* something has been written to it */
	bool next_wanted; /* the flusher was told to make the next one */
};

struct lsm_view {
	struct epoch_item item;
	struct lsm_view *next; /* in the list of spare ones */
	struct lsm_store *store;
	struct lsm_version *version;
	uint32_t
		references; /* atomic: 1 for being the current one, until its epoch is over */
	unsigned int mems;
	struct lsm_mem *mem[LSM_MEMTABLES]; /* newest first; mem[0] is the active one */
};

struct kv_snapshot {
	uint64_t sequence;
	struct kv_snapshot *older, *newer;
};

/* ---- the store ---- */

enum lsm_reserve_state {
	LSM_RESERVE_NONE,     /* there never was one */
	LSM_RESERVE_HELD,     /* the file RESERVE takes reserve_bytes */
	LSM_RESERVE_GIVEN_UP, /* it was cut, or there is no room beside it */
};

enum lsm_reserve_use { /* who takes of it what; see lsm_reserve.c */
		       LSM_RESERVE_FOR_LOG,
		       LSM_RESERVE_FOR_FLUSH,
		       LSM_RESERVE_FOR_COMPACTION,
};

/* A write that is in its memtable, and becomes visible when all before it are, and its record
 * is as durable as its writer asked. Atomic. */
struct lsm_turn {
	uint64_t ticket; /* of the write, plus one */
	uint64_t synced; /* how far the log must be durable; 0: it need not be */
	uint64_t last;   /* its last sequence; 0: it failed */
};

struct lsm_task { /* a background thread */
	struct lsm_store *store;
	struct env_task *task;
	unsigned int index;
};

struct lsm_store {
	struct kv base;
	/* constant after open */
	char dir[ENV_PATH_MAX];
	uint64_t option[LSM_OPTIONS];
	uint64_t id;
	uint64_t memtable_bytes;
	size_t buffer_bytes;  /* of the flusher, and of each part of each compaction */
	uint64_t other_bytes; /* of the budget, for what is not counted */
	unsigned int scan_window; /* flags of cursors: how much they may read ahead */
	uint64_t cache_bytes;     /* of the block cache, and of what open tables hold */
	uint64_t reserve_bytes;   /* 0: none is wanted */
	struct env_lock *owner;
	struct log *log;
	struct lsm_versions *versions;
	struct lsm_cache *cache;
	struct lsm_records *records; /* NULL: none */
	struct lsm_memory *memory;
	struct epoch *epoch;
	struct lsm_layout layout;
	struct kv_recovery recovery;

	/* atomic */
	_Alignas(64) struct lsm_view *view; /* changes under view_lock */
	uint64_t visible; /* sequence of the last write that readers see */
	uint64_t done;    /* so many tickets are visible, or given up */
	uint32_t hidden;  /* a write has failed: visible stays */
	/* Who raises it from 0 gives turns, also for those who raise it meanwhile. */
	uint32_t showing;
	struct lsm_turn turn[LSM_TURNS]; /* by ticket */

	_Alignas(64) struct port_mutex append_lock;
	/* protected by append_lock */
	uint64_t ticket;        /* of the next write */
	uint64_t log_end;       /* position behind the last write */
	struct lsm_mem *active; /* the current view's mem[0], for who is in no epoch */

	struct port_mutex publish_lock;
	struct env_cond *published; /* under publish_lock; when waiting > 0 */
	uint32_t waiting;           /* atomic */

	/* Held while a segment of the log is read, or some are given up. */
	struct port_mutex log_lock;

	struct port_mutex view_lock;
	/* protected by view_lock */
	struct lsm_view *spare_view; /* for installing without failing */
	struct lsm_view *old_view;   /* replaced, to be retired by lsm_view_sweep() */
	struct lsm_mem *spare_mem;   /* the next active one, made ahead */

	struct port_mutex snapshot_lock;
	/* protected by snapshot_lock */
	struct kv_snapshot *newest, *oldest;
	size_t snapshots;
	bool released; /* an oldest one; compactors have yet to look what that frees */

	struct port_mutex reserve_lock;
	/* protected by reserve_lock */
	enum lsm_reserve_state reserve;
	uint64_t reserve_size;  /* of the file */
	uint64_t reserve_again; /* the flusher's: when to look for room again */
	uint64_t turn_again;    /* ... and when to flush what is not full, if tight */

	struct port_mutex task_lock;
	/* protected by task_lock */
	struct env_cond *wake;  /* for tasks: there is work */
	struct env_cond *eased; /* for writers and who waits for quiet: work was done */
	struct lsm_task flusher, *compactor;
	bool flush_wanted;
	uint64_t look_again;  /* the flusher's: when to tell compactors of `released` */
	unsigned int working; /* compactions under way */
	uint64_t rounds;      /* grows with each piece of work that came to its end */
	unsigned int paused;  /* no new compactions while it is not 0 */
	int flush_error, compaction_error; /* of the last try; 0: all is well */
	struct kv_msg background_why;
	uint64_t paid_bytes, paid_ns; /* of the rate limiter */

	/* atomic */
	uint32_t closing; /* the tasks are to end what they are at */
	int stopped;      /* the first fatal error; writes give -EROFS */
	uint32_t tight;   /* the disk is full; puts give -ENOSPC */
	uint64_t delay;   /* 1/1024 ns that writers wait a byte */
	uint64_t owed_ns; /* that they have not slept yet */
	uint64_t stat_writes, stat_write_bytes;
	uint64_t stat_delays, stat_delay_ns, stat_stalls, stat_stall_ns;
	uint64_t stat_flushes, stat_flush_bytes, stat_flush_ns;
	uint64_t stat_compactions, stat_moves, stat_read_bytes, stat_written_bytes;
	uint64_t stat_blob_bytes, stat_blobs_rewritten, stat_dropped, stat_compaction_ns;
	uint64_t stat_mem_hits;
	uint64_t stat_tight;    /* how often the disk was full */
	uint64_t stat_excluded; /* compactions given up for corrupt tables */
};

static inline struct lsm_store *lsm_store(struct kv *kv)
{
	return container_of(kv, struct lsm_store, base);
}

static inline void lsm_count(uint64_t *counter, uint64_t n)
{
	(void)port_fetch_add(counter, n);
}

/* The first fatal error sticks: writes give -EROFS from now on, and the env's log is told. */
void lsm_store_stop(struct lsm_store *s, int error, const char *what);

/* ---- lsm_view.c ---- */

/* Within an epoch: the current view, and the last sequence that is visible in it. */
const struct lsm_view *lsm_view_look(struct lsm_store *s, uint64_t *sequence);
/* The same, kept by a reference. */
struct lsm_view *lsm_view_take(struct lsm_store *s, uint64_t *sequence);
void lsm_view_drop(struct lsm_view *v);
/* The same for who has taken it: files that only this view kept are removed soon. */
void lsm_view_leave(struct lsm_view *v);

/* Makes the first view, with an empty active memtable. */
int lsm_view_begin(struct lsm_store *s, uint64_t position);
/* All goes; nobody reads or writes any more. */
void lsm_view_end(struct lsm_store *s);
/* Makes ready what installing needs, so that it cannot fail: one more spare view, or gives it
 * back when it was not used. */
int lsm_view_prepare(struct lsm_store *s);
void lsm_view_unprepare(struct lsm_store *s);
/* Makes the next active memtable ahead, when the present one has become worth it. Failing costs
 * a writer time, no more. */
bool lsm_mem_is_worth_next(const struct lsm_store *s, const struct lsm_mem *m);
void lsm_view_make_ahead(struct lsm_store *s);
/* Retires views that were replaced. No lock is held. True: readers still look at some. */
bool lsm_view_sweep(struct lsm_store *s);
/* Under append_lock: a new active memtable from position on; then lsm_view_sweep() is due.
 * -EAGAIN: as many are there as may be, wait for a flush; -ENOMEM. */
int lsm_view_switch(struct lsm_store *s, uint64_t position);
/* lsm_versions_config.installed: a new version into a new view; needs a spare view. */
void lsm_view_install(void *arg, struct lsm_version *v);
/* The oldest memtable has been flushed, and its view goes without it; needs a spare view. */
void lsm_view_flushed(struct lsm_store *s, struct lsm_mem *m);
/* The oldest one when it is not the active one, to be flushed; NULL. It stays until
 * lsm_view_flushed(). */
struct lsm_mem *lsm_view_oldest(struct lsm_store *s);
unsigned int lsm_view_mems(struct lsm_store *s); /* the active one too */
/* Under append_lock: nothing is in the active memtable, and what comes is behind position. */
void lsm_view_begin_at(struct lsm_store *s, uint64_t position);
/* All that was written before this position has been flushed. */
bool lsm_view_is_flushed(struct lsm_store *s, uint64_t position);

/* ---- lsm_write.c ---- */

int lsm_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how);
/* One step of a log record's payload, off the front of *rest, which is not empty; op borrows
 * from it. -EBADMSG: no write made it. */
int lsm_write_step(struct kv_slice *rest, struct kv_op *op);
/* For recovery, single-threaded: puts a record into the active memtable. */
int lsm_write_replay(struct lsm_store *s, const struct log_record *r, struct kv_msg *why);
/* Waits until the first so many tickets are visible, or given up. */
void lsm_write_wait(struct lsm_store *s, uint64_t tickets);
/* Makes a new active memtable if the present one has writes: all that was written before the
 * call is in the log before *position, and in memtables that are not the active one. */
int lsm_write_switch(struct lsm_store *s, uint64_t *position);
/* The same once, without waiting: -EAGAIN. */
int lsm_write_try_switch(struct lsm_store *s, uint64_t *position);

/* ---- lsm_read.c, lsm_scan.c, lsm_snapshot.c ---- */

int lsm_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
	    struct kv_buf *value);
int lsm_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		  const struct kv_slice *key, struct kv_buf *value, int *error);
int lsm_scan(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);
int lsm_snapshot(struct kv *kv, struct kv_snapshot **out);
void lsm_release(struct kv *kv, struct kv_snapshot *snap);
/* Sequences of all snapshots, ascending; *out is the caller's to port_free(). */
int lsm_snapshot_list(struct lsm_store *s, uint64_t **out, size_t *n);
/* Nobody reads at a sequence before it, nor will: of the oldest snapshot, or of now. */
uint64_t lsm_snapshot_oldest(struct lsm_store *s);

/* ---- lsm_background.c ---- */

int lsm_background_start(struct lsm_store *s);
/* Ends the tasks; what they were at is given up. */
void lsm_background_stop(struct lsm_store *s);
void lsm_background_wake(struct lsm_store *s);
/* The same, and compactors look again as well. */
void lsm_background_stir(struct lsm_store *s);
/* Waits until everything that was written before the call is in tables. */
int lsm_background_flush(struct lsm_store *s);
/* For a writer, who holds no lock, before it writes so many bytes: sleeps, according to debt. */
void lsm_background_pace(struct lsm_store *s, uint64_t bytes);
/* Waits until there may be one more memtable. -EROFS, or what flushing gives. */
int lsm_background_wait(struct lsm_store *s);
/* On a full disk: lets the memtable be flushed, and waits a second at most for some work in the
 * background to come to its end. */
void lsm_background_await_space(struct lsm_store *s);
int lsm_compact_all(struct kv *kv);

/* ---- lsm_reserve.c ---- */

uint64_t lsm_reserve_choose(const struct lsm_store *s); /* how large */
/* While the store is opened, before its log is. */
void lsm_reserve_find(struct lsm_store *s);
/* Something failed for want of space: puts are refused from now on, until there is some. */
void lsm_reserve_tighten(struct lsm_store *s);
/* The same for work that leads to free space; true: there is more now, try again. */
bool lsm_reserve_give_up(struct lsm_store *s, enum lsm_reserve_use use);
/* Work has freed something, or may have. */
void lsm_reserve_refill(struct lsm_store *s);
/* For the flusher, now and then: makes the reserve where it is missing, and ends what
 * lsm_reserve_tighten() began, when there is room. flushed: its last flush did not fail. */
void lsm_reserve_tend(struct lsm_store *s, bool flushed);
bool lsm_reserve_is_held(struct lsm_store *s);

/* ---- lsm_recover.c, lsm_identity.c, lsm_backup.c, lsm_check.c, lsm_stats.c ---- */

int lsm_recover(struct lsm_store *s, struct kv_msg *why);
/* The file STORE: what the store is, fixed when it is made. */
struct lsm_identity {
	uint64_t id;            /* random; every file of the store has it */
	uint64_t segment_bytes; /* of the log */
};
enum { LSM_IDENTITY_BYTES = 48 };
int lsm_identity_write(struct env *env, const char *dir, const struct lsm_identity *i);
int lsm_identity_read(struct env *env, const char *dir, struct lsm_identity *i,
		      struct kv_msg *why);
struct log_config lsm_log_config(const struct lsm_store *s, const char *dir);
struct lsm_versions_config lsm_versions_config(struct lsm_store *s, const char *dir);
int lsm_backup(struct kv *kv, const char *dir);
int lsm_verify(struct kv *kv, struct kv_msg *why);
void lsm_stats(struct kv *kv, kv_stat_fn *emit, void *arg);

#endif /* LSM_STORE_H */
