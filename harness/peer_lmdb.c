/* SPDX-License-Identifier: MIT */
/*
 * peer_lmdb.c - LMDB behind kv.h: one unnamed database, memory mapped.
 *
 * A get runs in a read transaction that a pool keeps: resetting and renewing one costs a
 * few stores to its slot of the reader table, beginning one costs a slot. MDB_NOTLS ties
 * that slot to the transaction and not to the thread, so that any thread may use it.
 *
 * LMDB has no log: pages are copied on write and a commit is a new meta page. So a commit
 * is safe against power loss only if its pages reached the device before its meta page:
 * one sync for the pages, another for the meta page. raise_level() says
 * what that makes of level group.
 */
#include "engines.h"

#ifdef HAVE_LMDB

#include "peer_common.h"
#include "peer_flush.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_MAP_BYTES = PEER_OPTIONS, OPT_WRITEMAP };
enum { WRITEMAP_AUTO, WRITEMAP_ON, WRITEMAP_OFF };
enum { READERS_MAX = 1000, LMDB_KEY_MAX = 511 };

static const struct kv_opt lmdb_opts[] = {
	PEER_OPTION_LIST,
	{ "map_bytes", "address space for the map: the store can't outgrow it", NULL,
	  (uint64_t)32 << 30, 1u << 20, (uint64_t)64 << 40 },
	{ "writemap", "write through the map; auto is on at durability=none",
	  "auto|on|off", WRITEMAP_AUTO, 0, 0 },
	{ 0 },
};

struct reader {
	MDB_txn *txn;       /* reset while in the pool */
	MDB_cursor *cursor; /* NULL until first needed */
};

struct lmdb_store {
	struct kv kv;

	/* constant after open */
	int lock_fd;
	MDB_env *mdb;
	MDB_dbi dbi;

	struct peer_pool readers; /* of struct reader */
	struct peer_flush flush;
	uint32_t nosync; /* atomic; changed inside a write transaction, 1 to 0, once */
	bool two_syncs;  /* LMDB itself syncs the meta page of each commit */
};

struct lmdb_snapshot {
	struct lmdb_store *store;
	struct reader *reader;
	bool shared;            /* several threads may come: lock */
	struct port_mutex lock; /* of the transaction */
	uint32_t refs;          /* atomic */
};

struct lmdb_cursor {
	struct kv_cursor c;
	struct lmdb_snapshot *snap;
	MDB_cursor *mdb;
	bool own;    /* mdb is this cursor's, not its reader's */
	bool inside; /* stands on a pair */
};

static int lmdb_error(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EMFILE;
	case MDB_BAD_VALSIZE:
		return -EINVAL;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_PANIC:
		return -EBADMSG;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

static MDB_val to_val(struct kv_slice s)
{
	return (MDB_val){ s.len, (void *)s.data };
}

static struct kv_slice to_slice(MDB_val v)
{
	return kv_slice(v.mv_data, v.mv_size);
}

/* ---- read transactions ---- */

static int reader_take(struct lmdb_store *s, struct reader **out)
{
	struct reader *r = peer_pool_take(&s->readers);
	int rc;

	if (r) {
		rc = mdb_txn_renew(r->txn);
		if (rc == MDB_SUCCESS) {
			*out = r;
			return 0;
		}
		mdb_txn_abort(r->txn);
	} else {
		r = port_alloc(sizeof(*r));
		if (!r)
			return -ENOMEM;
		r->cursor = NULL;
		rc = mdb_txn_begin(s->mdb, NULL, MDB_RDONLY, &r->txn);
		if (rc == MDB_SUCCESS) {
			*out = r;
			return 0;
		}
	}
	if (r->cursor)
		mdb_cursor_close(r->cursor);
	port_free(r);
	return lmdb_error(rc);
}

static void reader_close(struct reader *r)
{
	if (r->cursor)
		mdb_cursor_close(r->cursor);
	mdb_txn_abort(r->txn);
	port_free(r);
}

static void reader_give(struct lmdb_store *s, struct reader *r)
{
	mdb_txn_reset(r->txn);
	if (!peer_pool_give(&s->readers, r))
		reader_close(r);
}

/* ---- get ---- */

static int txn_get(struct lmdb_store *s, MDB_txn *txn, struct kv_slice key,
		   struct kv_buf *value)
{
	MDB_val k = to_val(key), v;
	int rc = mdb_get(txn, s->dbi, &k, &v);

	return rc ? lmdb_error(rc) : kv_buf_set(value, v.mv_data, v.mv_size);
}

static void snapshot_lock(struct lmdb_snapshot *snap)
{
	if (snap->shared)
		port_mutex_lock(&snap->lock);
}

static void snapshot_unlock(struct lmdb_snapshot *snap)
{
	if (snap->shared)
		port_mutex_unlock(&snap->lock);
}

static int lmdb_get(struct kv *kv, struct kv_snapshot *at, struct kv_slice key,
		    struct kv_buf *value)
{
	struct lmdb_store *s = container_of(kv, struct lmdb_store, kv);
	struct lmdb_snapshot *snap = (struct lmdb_snapshot *)at;
	struct reader *r;
	int error;

	if (snap) {
		snapshot_lock(snap);
		error = txn_get(s, snap->reader->txn, key, value);
		snapshot_unlock(snap);
		return error;
	}
	error = reader_take(s, &r);
	if (error)
		return error;
	error = txn_get(s, r->txn, key, value);
	reader_give(s, r);
	return error;
}

/* ---- write ---- */

static int delete_range(struct lmdb_store *s, MDB_txn *txn, const struct kv_op *op)
{
	MDB_val k = to_val(op->key), v;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, s->dbi, &cursor);

	if (rc)
		return rc;
	rc = mdb_cursor_get(cursor, &k, &v, op->key.len ? MDB_SET_RANGE : MDB_FIRST);
	while (!rc) {
		if (op->value.data && kv_compare(to_slice(k), op->value) >= 0)
			break;
		rc = mdb_cursor_del(cursor, 0);
		if (!rc)
			rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int run_op(struct lmdb_store *s, MDB_txn *txn, const struct kv_op *op)
{
	MDB_val k = to_val(op->key), v = to_val(op->value);
	int rc;

	switch (op->type) {
	case KV_PUT:
		return mdb_put(txn, s->dbi, &k, &v, 0);
	case KV_DELETE:
		rc = mdb_del(txn, s->dbi, &k, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	case KV_DELETE_RANGE:
		return delete_range(s, txn, op);
	}
	return EINVAL;
}

/*
 * The levels. Opened for none, LMDB does not sync at all, and the order in which pages
 * reach the device is the kernel's: power loss may leave a meta page that points at pages
 * which never came. A write that asks for more ends that for good: flags change while we
 * hold the one write transaction, and its commit syncs all that came before.
 * Opened for group, or after that change, a commit syncs its pages but not its meta page
 * (MDB_NOMETASYNC): power loss may undo the last commit, and the next sync, ours or the
 * next commit's, makes it last. Opened for sync, a commit syncs both.
 */
static void raise_level(struct lmdb_store *s, enum kv_durability how)
{
	if (how == KV_NONE || !port_load_relaxed(&s->nosync))
		return;
	mdb_env_set_flags(s->mdb, MDB_NOSYNC, 0);
	port_store_release(&s->nosync, 0);
}

static int lmdb_write(struct kv *kv, const struct kv_op *op, size_t n,
		      enum kv_durability how)
{
	struct lmdb_store *s = container_of(kv, struct lmdb_store, kv);
	int rc, error = peer_flush_error(&s->flush);
	MDB_txn *txn;
	size_t i;

	if (error)
		return error;
	rc = mdb_txn_begin(s->mdb, NULL, 0, &txn);
	if (rc)
		return lmdb_error(rc);
	raise_level(s, how);
	for (i = 0; i < n && !rc; i++)
		rc = run_op(s, txn, &op[i]);
	if (rc) {
		mdb_txn_abort(txn);
		return lmdb_error(rc);
	}
	rc = mdb_txn_commit(txn);
	if (rc == EIO) /* LMDB has stopped itself as well */
		return peer_flush_failed(&s->flush, -EIO);
	if (rc)
		return lmdb_error(rc);
	if (how == KV_GROUP && !s->two_syncs)
		return peer_flush_wrote(&s->flush);
	if (how == KV_SYNC && !s->two_syncs)
		return peer_flush_now(&s->flush);
	return 0;
}

/* ---- snapshots and cursors ---- */

static int snapshot_new(struct lmdb_store *s, bool shared, struct lmdb_snapshot **out)
{
	struct lmdb_snapshot *snap = port_alloc(sizeof(*snap));
	int error;

	if (!snap)
		return -ENOMEM;
	error = reader_take(s, &snap->reader);
	if (error) {
		port_free(snap);
		return error;
	}
	snap->store = s;
	snap->shared = shared;
	snap->refs = 1;
	port_mutex_init(&snap->lock);
	*out = snap;
	return 0;
}

static void snapshot_unref(struct lmdb_snapshot *snap)
{
	if (port_fetch_add(&snap->refs, -1u) != 1)
		return;
	reader_give(snap->store, snap->reader);
	port_mutex_destroy(&snap->lock);
	port_free(snap);
}

static int lmdb_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	return snapshot_new(container_of(kv, struct lmdb_store, kv), true,
			    (struct lmdb_snapshot **)out);
}

static void lmdb_release(struct kv *kv, struct kv_snapshot *snap)
{
	(void)kv;
	snapshot_unref((struct lmdb_snapshot *)snap);
}

static int cursor_get(struct lmdb_cursor *cur, MDB_val key, MDB_cursor_op op)
{
	MDB_val value;
	int rc;

	snapshot_lock(cur->snap);
	rc = mdb_cursor_get(cur->mdb, &key, &value, op);
	snapshot_unlock(cur->snap);
	cur->inside = !rc;
	if (rc)
		return lmdb_error(rc);
	cur->c.key = to_slice(key);
	cur->c.value = to_slice(value);
	return 0;
}

static int lmdb_seek(struct kv_cursor *c, struct kv_slice key)
{
	/* LMDB knows no empty key, so the first pair is the first >= "". */
	return cursor_get(container_of(c, struct lmdb_cursor, c), to_val(key),
			  key.len ? MDB_SET_RANGE : MDB_FIRST);
}

static int lmdb_next(struct kv_cursor *c)
{
	struct lmdb_cursor *cur = container_of(c, struct lmdb_cursor, c);

	return cursor_get(cur, (MDB_val){ 0 }, cur->inside ? MDB_NEXT : MDB_FIRST);
}

static int lmdb_prev(struct kv_cursor *c)
{
	struct lmdb_cursor *cur = container_of(c, struct lmdb_cursor, c);

	return cursor_get(cur, (MDB_val){ 0 }, cur->inside ? MDB_PREV : MDB_LAST);
}

static void lmdb_cursor_close(struct kv_cursor *c)
{
	struct lmdb_cursor *cur = container_of(c, struct lmdb_cursor, c);

	if (cur->own) {
		snapshot_lock(cur->snap);
		mdb_cursor_close(cur->mdb);
		snapshot_unlock(cur->snap);
	}
	snapshot_unref(cur->snap);
	port_free(cur);
}

static const struct kv_cursor_ops lmdb_cursor_ops = {
	.seek = lmdb_seek,
	.next = lmdb_next,
	.prev = lmdb_prev,
	.close = lmdb_cursor_close,
};

/* A private snapshot's reader lends its cursor; a shared one may carry several. */
static int mdb_cursor_for(struct lmdb_cursor *cur)
{
	struct lmdb_snapshot *snap = cur->snap;
	struct reader *r = snap->reader;
	MDB_cursor **slot = snap->shared ? &cur->mdb : &r->cursor;
	int rc = 0;

	snapshot_lock(snap);
	if (!snap->shared && r->cursor)
		rc = mdb_cursor_renew(r->txn, r->cursor);
	else
		rc = mdb_cursor_open(r->txn, snap->store->dbi, slot);
	snapshot_unlock(snap);
	cur->mdb = *slot;
	cur->own = snap->shared;
	return lmdb_error(rc);
}

static int lmdb_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out)
{
	struct lmdb_store *s = container_of(kv, struct lmdb_store, kv);
	struct lmdb_snapshot *snap = (struct lmdb_snapshot *)at;
	struct lmdb_cursor *cur = port_alloc(sizeof(*cur));
	int error = 0;

	if (!cur)
		return -ENOMEM;
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = &lmdb_cursor_ops;
	if (snap)
		port_fetch_add(&snap->refs, 1);
	else
		error = snapshot_new(s, false, &snap);
	if (error)
		goto out_free;
	cur->snap = snap;
	error = mdb_cursor_for(cur);
	if (error)
		goto out_snap;
	*out = &cur->c;
	return 0;
out_snap:
	snapshot_unref(snap);
out_free:
	port_free(cur);
	return error;
}

/* ---- upkeep ---- */

static int lmdb_sync_now(void *arg)
{
	struct lmdb_store *s = arg;

	return lmdb_error(mdb_env_sync(s->mdb, 1));
}

static int lmdb_sync(struct kv *kv)
{
	return peer_flush_now(&container_of(kv, struct lmdb_store, kv)->flush);
}

static int lmdb_backup(struct kv *kv, const char *dir)
{
	struct lmdb_store *s = container_of(kv, struct lmdb_store, kv);
	char path[PATH_MAX];
	int error = peer_path(path, dir, "data.mdb");

	if (error)
		return error;
	if (mkdir(dir, 0777))
		return -errno;
	error = lmdb_error(mdb_env_copy(s->mdb, dir));
	if (!error)
		error = peer_sync_path(path);
	return error ? error : peer_sync_path(dir);
}

static void lmdb_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct lmdb_store *s = container_of(kv, struct lmdb_store, kv);
	struct reader *r;
	MDB_envinfo info;
	MDB_stat st;

	mdb_env_info(s->mdb, &info);
	if (!reader_take(s, &r)) {
		if (!mdb_stat(r->txn, s->dbi, &st)) {
			emit(arg, "page_bytes", st.ms_psize);
			emit(arg, "depth", st.ms_depth);
			emit(arg, "branch_pages", st.ms_branch_pages);
			emit(arg, "leaf_pages", st.ms_leaf_pages);
			emit(arg, "overflow_pages", st.ms_overflow_pages);
			emit(arg, "entries", st.ms_entries);
		}
		reader_give(s, r);
	}
	emit(arg, "last_page", info.me_last_pgno);
	emit(arg, "last_transaction", info.me_last_txnid);
	emit(arg, "readers", info.me_numreaders);
	emit(arg, "group_syncs", port_load_relaxed(&s->flush.syncs));
}

/* ---- open and close ---- */

static int lmdb_close(struct kv *kv)
{
	struct lmdb_store *s = container_of(kv, struct lmdb_store, kv);
	struct reader *r;
	int error;

	peer_flush_stop(&s->flush);
	error = peer_flush_now(&s->flush);
	while ((r = peer_pool_take(&s->readers)))
		reader_close(r);
	mdb_env_close(s->mdb);
	peer_dir_close(s->lock_fd);
	port_free_aligned(s);
	return error;
}

static int env_open(struct lmdb_store *s, const char *dir, const uint64_t *opt)
{
	enum kv_durability hint = (enum kv_durability)opt[PEER_DURABILITY];
	unsigned int flags = MDB_NOTLS;
	MDB_txn *txn;
	int rc;

	if (opt[OPT_WRITEMAP] == WRITEMAP_ON ||
	    (opt[OPT_WRITEMAP] == WRITEMAP_AUTO && hint == KV_NONE))
		flags |= MDB_WRITEMAP;
	if (hint == KV_NONE)
		flags |= MDB_NOSYNC | MDB_NOMETASYNC;
	else if (hint == KV_GROUP)
		flags |= MDB_NOMETASYNC;
	s->nosync = hint == KV_NONE;
	s->two_syncs = hint == KV_SYNC;
	rc = mdb_env_create(&s->mdb);
	if (!rc)
		rc = mdb_env_set_mapsize(s->mdb, opt[OPT_MAP_BYTES]);
	if (!rc)
		rc = mdb_env_set_maxreaders(s->mdb, READERS_MAX);
	if (!rc)
		rc = mdb_env_open(s->mdb, dir, flags, 0666);
	if (!rc)
		rc = mdb_txn_begin(s->mdb, NULL, 0, &txn);
	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static int open_failed(const char *dir, int rc, uint64_t map_bytes, struct kv_msg *why)
{
	if (rc == ENOMEM || rc == EINVAL) /* what mmap() says */
		return kv_fail(why, -ENOMEM,
			       "LMDB cannot map %llu bytes for %.100s: %s; give the "
			       "process more room, or map_bytes a smaller value",
			       (unsigned long long)map_bytes, dir, strerror(rc));
	return kv_fail(why, lmdb_error(rc), "LMDB cannot open %s: %s", dir,
		       mdb_strerror(rc));
}

static const struct kv_ops lmdb_ops;

static int lmdb_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why)
{
	struct lmdb_store *s = port_alloc_aligned(PEER_ALIGN, sizeof(*s));
	int rc, error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	memset(s, 0, sizeof(*s));
	s->kv = (struct kv){ &lmdb_ops, env };
	error = peer_dir_open(dir, &s->lock_fd, why);
	if (error)
		goto out_free;
	rc = env_open(s, dir, opt);
	if (rc) {
		error = open_failed(dir, rc, opt[OPT_MAP_BYTES], why);
		goto out_env;
	}
	peer_flush_start(&s->flush, opt[PEER_GROUP_MS], lmdb_sync_now, s);
	*out = &s->kv;
	return 0;
out_env:
	if (s->mdb)
		mdb_env_close(s->mdb);
	peer_dir_close(s->lock_fd);
out_free:
	port_free_aligned(s);
	return error;
}

static const struct kv_ops lmdb_ops = {
	.name = "lmdb",
	.summary = "LMDB: a copy-on-write B+tree in a memory map, without a log",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_DELETE_RANGE | KV_CAP_PERSISTENT | KV_CAP_DURABLE |
		KV_CAP_CRASH_SAFE | KV_CAP_BACKUP,
	.opts = lmdb_opts,
	.key_min = 1,
	.key_max = LMDB_KEY_MAX, /* mdb_env_get_maxkeysize() of the usual build */
	.open = lmdb_open,
	.close = lmdb_close,
	.get = lmdb_get,
	.write = lmdb_write,
	.snapshot = lmdb_snapshot,
	.release = lmdb_release,
	.cursor = lmdb_cursor,
	.sync = lmdb_sync,
	.backup = lmdb_backup,
	.stats = lmdb_stats,
};

static const char *lmdb_version(void)
{
	static char text[32];
	int major, minor, patch;

	mdb_version(&major, &minor, &patch);
	snprintf(text, sizeof(text), "%d.%d.%d", major, minor, patch);
	return text;
}

#define LMDB_OPS        &lmdb_ops
#define LMDB_VERSION_FN lmdb_version
#else
#define LMDB_OPS        NULL
#define LMDB_VERSION_FN NULL
#endif /* HAVE_LMDB */

const struct engine_info engine_lmdb = {
	.name = "lmdb",
	.kind = ENGINE_PEER,
	.ops = LMDB_OPS,
	.package = "liblmdb-dev",
	.version = LMDB_VERSION_FN,
	.tuning =
		"Pooled read transactions (NOTLS), which are renewed and not begun again. "
		"At none WRITEMAP and NOSYNC: fastest, and unharmed by a process crash. At "
		"group NOMETASYNC, one sync a commit and the meta page's each group_ms: "
		"without a log LMDB has nothing cheaper that power loss can't tear. At sync "
		"both syncs each commit. The map is the kernel's page cache: memory_bytes "
		"does not bind it.",
};
