/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_store.h - what the B+tree engine's files share: the tree, its versions, the store.
 *
 *   btree_engine.c      the table of functions; options, open, close, stats
 *   btree_core.c        looking up; a path of pinned pages; copying frozen pages
 *   btree_operations.c  put, delete, delete-range on the tree: splits, merges, borrowing
 *   btree_value.c       large values on overflow pages
 *   btree_write.c       writes: the log, durability, what becomes visible when
 *   btree_snapshot.c    snapshots; which generations are kept
 *   btree_cursor.c      cursors over a snapshot
 *   btree_checkpoint.c  the task that writes checkpoints
 *   btree_recover.c     opening: the last checkpoint, then the log's tail
 *   btree_walk.c        all nodes of a version; counting a range
 *   btree_bulk.c        loading sorted input
 *   btree_backup.c      backup
 *   btree_compact.c     moving pages to the front of the file, so that its end can be cut off
 *   btree_verify.c      verify
 *   btree_dump.c        the tree as text and as a drawing
 *
 * and below them btree_node.h (one page), btree_pager.h (pages of a file).
 *
 * One writer at a time (write_lock), any number of readers, who take no lock: they validate
 * the version of each page that they have read (get), or read frozen pages (cursors).
 *
 * A write of one step that need not be durable at once changes pages in place under their
 * locks, unless they are frozen. A batch, or a write that is to be durable before anybody
 * sees it, is made on copies beside the tree that readers see, and becomes visible when its
 * new root is published: all at once, in the order of the log, after its sync.
 *
 * Order of locks: write_lock, then pages (parents first), then the log's own.
 */
#ifndef BTREE_STORE_H
#define BTREE_STORE_H

#include "../sprint-2-hash-storage/log.h"
#include "btree_engine.h"
#include "btree_pager.h"

enum {
	BTREE_LEVELS_MAX = 32, /* two entries a node at least, 2^32 pages at most */
	BTREE_LOG_WRITE = 0,   /* the one type of log record: the steps of a write */
	BTREE_LOG_STEP = 8,    /* bytes before a step's key */
	BTREE_LOG_SPARES = 4,  /* log files kept for recycling, when nothing is written */
};

enum btree_option {
	BTREE_MEMORY_BYTES,
	BTREE_GROUP_MS,
	BTREE_PAGE_BYTES,
	BTREE_MAX_KEYS,
	BTREE_OVERFLOW_BYTES,
	BTREE_SEGMENT_BYTES,
	BTREE_CHECKPOINT_BYTES,
	BTREE_CHECKPOINT_RATE,
	BTREE_HUGE,
	BTREE_MLOCK,
	BTREE_MAP,
	BTREE_OPTIONS,
};

/* ---- the tree ---- */

struct btree_version { /* one state of the tree */
	uint32_t root;
	uint32_t levels;
	uint64_t keys;
	uint64_t generation; /* its pages were born at or before it */
	uint64_t position;   /* the log's, behind the last write that it has */
};

/* One for all who ask for the same state: see btree_snapshot.c. Its memory is given back when
 * the store is closed. */
struct kv_snapshot {
	struct btree_version version; /* constant while there are references */
	uint32_t references;      /* atomic: handles and cursors; | BTREE_SNAPSHOT_OLD */
	struct kv_snapshot *left; /* atomic list of those whose last reference went */
	struct kv_snapshot *older,
		*newer; /* protected by write_lock; older: of spares, too */
};

/* It is no longer what is visible: nobody but who has a reference gets another. */
#define BTREE_SNAPSHOT_OLD ((uint32_t)1 << 31)

struct btree_page_ref {
	uint32_t page;
	uint64_t birth;
};

struct btree_page_list { /* grows; see btree_page_list_room() */
	struct btree_page_ref *ref;
	size_t count, cap;
};

/* A way from the root to a leaf, every page pinned: the writer's and cursors'. */
struct btree_path {
	unsigned int levels;                  /* page[levels - 1] is the root's */
	uint32_t page[BTREE_LEVELS_MAX];      /* by level; 0: the leaf */
	unsigned int index[BTREE_LEVELS_MAX]; /* of the entry that leads on */
};

struct btree_tree {
	/* constant after open */
	struct btree_pager *pager;
	const struct btree_shape *shape;
	struct env *env;
	uint32_t overflow_bytes; /* values above it lie on overflow pages ... */
	uint32_t entry_bytes;    /* ... and those that would make, with their key, more */

	/* atomic: the root that readers begin at, its levels << 32 | its page */
	_Alignas(64) uint64_t visible_root;
	/* atomic: how often a root that private mode made was shown. The pages that it replaced
	 * got their new versions before, while readers could still come to them: who began
	 * before it was shown must not trust the versions of those. */
	uint64_t publications;
	/* atomic: of a root that no fetch has checked yet, as its checkpoint or parent had it */
	uint32_t opened_root_crc;
	/* atomic, a sequence lock: odd while a write is being made visible */
	uint64_t writes;

	/* the writer's */
	_Alignas(64) struct btree_version tip; /* what the next write builds on */
	uint64_t generation;                   /* birth of pages made now */
	uint64_t frozen; /* pages born at or before it are not changed in place */
	bool private;    /* tip is not what readers see; made and freed are kept: */
	struct btree_page_list made, freed;
	bool sorted;               /* the last insert went behind all others */
	struct btree_split *split; /* BTREE_LEVELS_MAX of them */
	void *scratch;             /* three pages */
	uint64_t splits, merges, balances, copies, drops; /* statistics */
};

static inline bool btree_value_is_large(const struct btree_tree *t, size_t key_bytes,
					size_t value_bytes)
{
	return value_bytes > t->overflow_bytes ||
	       key_bytes + value_bytes > t->entry_bytes;
}

int btree_tree_init(struct btree_tree *t, struct btree_pager *p, struct env *env,
		    uint32_t overflow_bytes);
void btree_tree_free(struct btree_tree *t);
/* Makes the root of an empty tree, in generation 1. */
int btree_tree_create(struct btree_tree *t);
/* Takes up the tree of a checkpoint. */
void btree_tree_open(struct btree_tree *t, const struct btree_super *super);

/* ---- btree_core.c: reading ---- */

/* version NULL: the newest that is visible; else the caller keeps its generation. why may
 * be NULL. -EAGAIN, with version NULL: pages go as fast as they come; to be tried with a
 * version that is kept, in which it pins its way. */
int btree_get(struct btree_tree *t, const struct btree_version *version,
	      struct kv_slice key, struct kv_buf *value, struct kv_msg *why);

/* Pins the way to the leaf for key in a version whose pages do not change under the caller:
 * a kept one, or the writer's tip. index[0]: the first entry >= key (may be the leaf's
 * count). found may be NULL. */
int btree_path_find(struct btree_tree *t, const struct btree_version *version,
		    struct kv_slice key, struct btree_path *path, bool *found,
		    struct kv_msg *why);
/* To the first or the last leaf; index[0] is 0 or the leaf's count. */
int btree_path_edge(struct btree_tree *t, const struct btree_version *version, bool last,
		    struct btree_path *path, struct kv_msg *why);
/* To the next or previous leaf; -ENOENT at the end, then the path is released. index[0] is
 * 0, or the leaf's count when going back. After any error the path is released. */
int btree_path_next(struct btree_tree *t, struct btree_path *path, struct kv_msg *why);
int btree_path_prev(struct btree_tree *t, struct btree_path *path, struct kv_msg *why);
void btree_path_release(struct btree_tree *t,
			struct btree_path *path); /* twice is fine */

static inline struct btree_node *btree_path_node(const struct btree_tree *t,
						 const struct btree_path *path,
						 unsigned int level)
{
	return btree_page(t->pager, path->page[level]);
}

/* The writer: the leaf of the tip where key belongs, and its version. -EAGAIN as above: the
 * writer can pin its way in the tip. */
int btree_leaf_find(struct btree_tree *t, struct kv_slice key, uint32_t *page,
		    uint64_t *version, struct kv_msg *why);
/* The writer; pages were reserved. Copies the frozen pages of a path of the tip from level
 * `from` up, top down, so that they may be changed. */
void btree_path_copy(struct btree_tree *t, struct btree_path *path, unsigned int from);
/* The writer: a new page with what the old one holds. Pinned. */
uint32_t btree_page_copy(struct btree_tree *t, uint32_t page);
/* The writer: page, new and pinned, takes the place of the path's at that level, which is
 * dropped. The parent may be changed. */
void btree_path_set_page(struct btree_tree *t, struct btree_path *path,
			 unsigned int level, uint32_t page);
/* The writer: a root above the root; or the root goes, and its one child takes its place. */
void btree_path_grow(struct btree_tree *t, struct btree_path *path);
void btree_path_shrink(struct btree_tree *t, struct btree_path *path);
/* The writer: unlinks a page; in private mode later, when it is published. */
void btree_tree_drop(struct btree_tree *t, uint32_t page, uint64_t birth);
/* The writer: a page, as btree_page_new(), noted in private mode. */
uint32_t btree_tree_make(struct btree_tree *t);
int btree_page_list_room(struct btree_page_list *l, size_t more); /* -ENOMEM */

/* ---- btree_operations.c: the writer changes the tip ---- */

/* One step on the tip, prepared so that applying it cannot fail. */
struct btree_change {
	const struct kv_op *op; /* KV_PUT or KV_DELETE; borrowed */
	/* set by prepare */
	bool nothing;  /* deletes what is not there */
	bool in_place; /* changes one leaf, locked, and nothing else */
	bool found;
	uint32_t leaf; /* in place */
	unsigned int index;
	struct btree_path path; /* unless in place */
};

/* Fetches, pins, locks and reserves what the step needs. Errors leave nothing behind. */
int btree_change_prepare(struct btree_tree *t, const struct kv_op *op,
			 struct btree_change *c, struct kv_msg *why);
void btree_change_apply(struct btree_tree *t, struct btree_change *c);
void btree_change_cancel(struct btree_tree *t, struct btree_change *c);

/* btree_rebalance.c: the leaf for key has become underfull: merges it with a neighbour or
 * borrows from one, and so on upwards. Nothing is lost where it cannot, for lack of memory
 * or disk. */
void btree_tree_rebalance(struct btree_tree *t, struct kv_slice key);

/* Both for every step, delete-range among them; private mode, or nobody reads. */
int btree_tree_apply(struct btree_tree *t, const struct kv_op *op, size_t n,
		     struct kv_msg *why);

/* Changes from here on are seen by nobody until btree_tree_publish(): */
void btree_tree_begin_private(struct btree_tree *t);
/* ... or are forgotten: tip is then what it was. */
void btree_tree_abort_private(struct btree_tree *t, const struct btree_version *before);
/* Ends private mode: what was dropped is freed in the tip's generation. Not yet visible. */
void btree_tree_end_private(struct btree_tree *t);
/* Readers see v from now on. */
void btree_tree_publish(struct btree_tree *t, const struct btree_version *v);
/* Puts the next write into a generation of its own if the present one is frozen. */
void btree_tree_begin_write(struct btree_tree *t);

/* ---- btree_value.c ---- */

static inline uint32_t btree_value_pages(const struct btree_tree *t, uint64_t bytes)
{
	uint32_t room = t->shape->page_bytes - (uint32_t)sizeof(struct btree_page_header);

	return (uint32_t)((bytes + room - 1) / room);
}
/* The writer: onto a run of new pages, which were reserved. */
struct btree_overflow btree_value_write(struct btree_tree *t, struct kv_slice value);
void btree_value_drop(struct btree_tree *t, const struct btree_overflow *o);
/* What an entry with BTREE_SLOT_OVERFLOW has as its value; zeroes when it is none. */
struct btree_overflow btree_value_ref(struct kv_slice value);
/* Copies it out, and checks its CRC. Optimistic: -EBADMSG may mean that the leaf which led
 * here has changed. */
int btree_value_read(struct btree_tree *t, const struct btree_overflow *o,
		     struct kv_buf *value, struct kv_msg *why);

/* ---- the store ---- */

/* A write that is in the log and not yet visible; on its writer's stack. */
struct btree_pending {
	struct btree_version version;
	bool visible;
	struct btree_pending *next;
};

/* What the tree is made of. */
struct btree_findings {
	uint64_t leaves, inner, overflow; /* pages */
	uint64_t used_bytes;              /* of leaves and inner nodes */
};

struct btree_store {
	struct kv base;
	/* constant after open */
	char dir[ENV_PATH_MAX];
	uint64_t option[BTREE_OPTIONS];
	uint64_t id;
	struct btree_pager *pager;
	struct log *log;
	struct env_lock *owner;
	struct kv_recovery recovery;

	struct port_mutex write_lock;
	/* protected by write_lock */
	struct btree_tree tree;
	struct btree_version
		visible; /* what readers see; its root is tree.visible_root */
	struct btree_pending *pending, *pending_last; /* oldest first */
	struct kv_snapshot *newest;                   /* a list, newest first */
	struct kv_snapshot *spares;                   /* in no list */
	uint64_t snapshots;                           /* in the list */
	uint64_t checkpoint_generation;               /* of the last one that was begun */
	uint64_t *keep;                               /* btree_keep_list()'s */
	size_t keep_cap, pendings;
	uint64_t drops_seen; /* tree.drops as of the last reclaim */
	int stopped;         /* the first fatal error; writes give -EROFS */
	struct kv_msg stopped_why;
	uint64_t stat_in_place, stat_private;
	struct btree_findings findings; /* what the last verify saw */

	/* atomic */
	struct kv_snapshot *current; /* of what is visible, in the list; NULL: none yet */
	struct kv_snapshot *left;    /* old ones that are to go from the list */
	uint64_t stat_stalls, stat_stall_ns;
	uint64_t checkpoint_position;  /* the durable one's */
	uint64_t checkpoint_due_at;    /* position at which the next is due */
	uint64_t pace_from, pace_span; /* positions between which writers become slower */
	uint32_t quiet_wanted; /* how many wait for a moment without a write in hand */

	/* the checkpoint task's: btree_checkpoint.c */
	struct port_mutex task_lock;
	/* protected by task_lock */
	struct env_cond *wake;
	struct env_task *task;
	bool closing, due, working;
	unsigned int waiting; /* callers who want a checkpoint of now */
	int checkpoint_error; /* of the last try */
	uint64_t checkpoints, checkpoint_ns;
};

static inline struct btree_store *btree_store(struct kv *kv)
{
	return container_of(kv, struct btree_store, base);
}

/* The first fatal error sticks: writes give -EROFS from now on. Under write_lock. */
void btree_store_stop(struct btree_store *s, int error, const char *what);

/* btree_write.c */
int btree_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how);
/* Under write_lock, which is given up while it waits: readers see the tip that private mode
 * made, behind the writes that wait; durable: once the log is, up to the tip's position. */
int btree_write_show(struct btree_store *s, bool durable);
/* One step of a log record's payload, off the front of *rest, which is not empty; op borrows
 * from it. -EBADMSG: no write made it. */
int btree_write_step(struct kv_slice *rest, struct kv_op *op);
/* For recovery: applies a record to the tip. */
int btree_write_replay(struct btree_store *s, const struct log_record *r,
		       struct kv_msg *why);

/* btree_core.c, as kv.h says */
int btree_kv_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		 struct kv_buf *value);
int btree_kv_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		       const struct kv_slice *key, struct kv_buf *value, int *error);

/* btree_snapshot.c */
int btree_snapshot(struct kv *kv, struct kv_snapshot **out);
void btree_release(struct kv *kv, struct kv_snapshot *snap);
/* A reference to what is visible now, until btree_snapshot_leave(). Takes write_lock only when
 * somebody has written since the last one was entered, and none was offered. -ENOMEM. */
int btree_snapshot_enter(struct btree_store *s, struct kv_snapshot **out);
void btree_snapshot_leave(struct btree_store *s, struct kv_snapshot *snap);
/* One more reference, for one who has one. */
void btree_snapshot_share(struct kv_snapshot *snap);
/* Under write_lock, before it is held for long while nothing new becomes visible: who wants a
 * snapshot meanwhile need not wait. */
void btree_snapshot_offer(struct btree_store *s);
/* Under write_lock, before anything new becomes visible, or pages are changed in place. Not in
 * private mode. */
void btree_snapshot_retire(struct btree_store *s);
/* The store is closed: frees them all. */
void btree_snapshots_free(struct btree_store *s);
/* Under write_lock, not in private mode: computes tree.frozen anew; what is kept has become
 * less or more. */
void btree_keep_update(struct btree_store *s);
/* Under write_lock: gives pages back that nothing kept needs; only when that is worth it,
 * unless force. */
void btree_keep_reclaim(struct btree_store *s, bool force);
/* Under write_lock: generations that are kept beside the checkpoint's, ascending; the list
 * lives until the next call. */
const uint64_t *btree_keep_list(struct btree_store *s, size_t *n);
/* Under write_lock: room in that list for one more. -ENOMEM. */
int btree_keep_room(struct btree_store *s);

/* btree_cursor.c */
int btree_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);

/* btree_checkpoint.c */
int btree_checkpoint_start(struct btree_store *s); /* the task */
void btree_checkpoint_stop(struct btree_store *s); /* ends it; writes none */
/* Writes one as of now and waits for it, whoever does it. */
int btree_checkpoint_now(struct btree_store *s, struct kv_msg *why);
/* The log has grown: wakes the task when a checkpoint is due. Cheap; any lock may be held. */
void btree_checkpoint_wake(struct btree_store *s);
/* For writers, who hold no lock: sleeps, a millisecond at most, when the log has outgrown the
 * checkpoints; and while somebody wants quiet, which is over with the writes in hand. */
void btree_checkpoint_pace(struct btree_store *s);
/* One at a time works on checkpoints, the log's old segments, or the file's end. */
void btree_work_take(struct btree_store *s);
void btree_work_give(struct btree_store *s);
/* For one who has taken the work: a checkpoint as of now, also, with force, when no write has
 * come since the last. rate: bytes a second, 0: any. */
int btree_checkpoint_take(struct btree_store *s, uint64_t rate, bool force,
			  struct kv_msg *why);
/* Under write_lock, for one who has taken the work: makes v durable before anybody sees it, and
 * shows it then. */
int btree_checkpoint_publish(struct btree_store *s, const struct btree_version *v);
struct btree_super btree_version_super(const struct btree_store *s,
				       const struct btree_version *v);

/* btree_recover.c */
int btree_recover(struct btree_store *s, struct kv_msg *why);

/* btree_walk.c */

/* A node as a walk over all of a version comes to it. */
struct btree_step {
	unsigned int level;       /* where it should be; 0: a leaf */
	struct btree_child child; /* it, as its parent has it */
	const struct btree_node *node;
	const struct btree_node *parent; /* NULL: this is the root */
	unsigned int index;              /* the parent's entry that leads here */
};

/* Non-zero ends the walk with it. */
typedef int btree_step_fn(void *arg, const struct btree_step *step);

/* Every node of a version that is kept, or of the writer's tip: parents before children, from
 * the left to the right, pinned while fn looks. */
int btree_walk(struct btree_tree *t, const struct btree_version *version,
	       btree_step_fn *fn, void *arg, struct kv_msg *why);

/* btree_bulk.c */

struct btree_bulk { /* sorted pairs, see btree_bulk_load() */
	btree_next_fn *next;
	void *arg;
	unsigned int fill_percent;
};

/* Builds them into a tree that becomes the tip, packed; the old tip is dropped. The writer, in
 * private mode, or nobody reads. After an error the tip is as it was, and what was made is to
 * be freed by btree_tree_abort_private(). */
int btree_bulk_build(struct btree_tree *t, const struct btree_bulk *bulk,
		     struct kv_msg *why);
/* Makes the file c->path, durable but for its name: a checkpoint of a tree of these pairs,
 * bulk NULL: of none. */
int btree_file_make(const struct btree_pager_config *c, uint32_t max_keys,
		    uint32_t overflow_bytes, const struct btree_bulk *bulk,
		    struct kv_msg *why);

/* btree_engine.c */

struct btree_pager_config btree_pager_options(const struct btree_store *s,
					      const char *path);
/* Once option[BTREE_PAGE_BYTES] is the store's: -EINVAL for options that do not fit it. */
int btree_options_fit(const struct btree_store *s, struct kv_msg *why);
/* What these options mean, also when they are 0. */
uint32_t btree_option_max_keys(const struct btree_store *s);
uint32_t btree_option_overflow(const struct btree_store *s);

/* btree_backup.c, btree_compact.c, btree_verify.c */

/* The file of a backup that is not yet whole. */
#define BTREE_BACKUP_FILE "TREE.backup"

int btree_backup(struct kv *kv, const char *dir);
int btree_compact(struct kv *kv);
int btree_verify(struct kv *kv, struct kv_msg *why);

#endif /* BTREE_STORE_H */
