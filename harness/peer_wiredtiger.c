/* SPDX-License-Identifier: MIT */
/*
 * peer_wiredtiger.c - WiredTiger behind kv.h: one B-tree file with a log.
 *
 * Sessions are for one thread at a time and dear to open, so a pool keeps them, each with
 * its cursor. A commit with transaction_sync's method "none" hands its log record to the
 * kernel before it returns: that is level none. (With transaction_sync off the record may
 * wait in the process, and kill -9 would lose it.) See "Commit-level durability" in
 * WiredTiger's documentation.
 */
#include "engines.h"

#ifdef HAVE_WIREDTIGER

#include "peer_wiredtiger.h"

#include <sys/stat.h>
#include <unistd.h>

enum { OPT_COMPRESSION = PEER_OPTIONS, OPT_LEAF_BYTES, OPT_CHECKPOINT_BYTES };
enum { SESSIONS_MAX = 1000 };

static const struct kv_opt wiredtiger_opts[] = {
	PEER_OPTION_LIST,
	{ "compression", "of blocks", "none|snappy", 0, 0, 0 },
	{ "leaf_bytes", "largest leaf page of a new store", NULL, 32 << 10, 4 << 10,
	  1 << 20 },
	{ "checkpoint_bytes", "log written between checkpoints", NULL, 512u << 20,
	  1u << 20, (uint64_t)2 << 30 },
	{ 0 },
};

int wiredtiger_error(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case WT_NOTFOUND:
		return -ENOENT;
	case WT_CACHE_FULL:
		return -ENOMEM;
	case WT_PANIC:
		return -EROFS;
	case WT_ROLLBACK:
	case WT_PREPARE_CONFLICT:
		return -EBUSY;
	case WT_RUN_RECOVERY:
	case WT_TRY_SALVAGE:
		return -EBADMSG;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

/* WiredTiger would print: keep its sentence for whoever asks. */
static int on_error(WT_EVENT_HANDLER *events, WT_SESSION *session, int error,
		    const char *text)
{
	struct wiredtiger_store *s =
		container_of(events, struct wiredtiger_store, events);

	(void)session, (void)error;
	port_mutex_lock(&s->said_lock);
	if (!s->said.text[0]) /* what follows is about what the first led to */
		snprintf(s->said.text, sizeof(s->said.text), "%s", text);
	port_mutex_unlock(&s->said_lock);
	return 0;
}

static int on_message(WT_EVENT_HANDLER *events, WT_SESSION *session, const char *text)
{
	(void)events, (void)session, (void)text;
	return 0;
}

/* ---- sessions ---- */

int wiredtiger_take(struct wiredtiger_store *s, struct wiredtiger_handle **out)
{
	struct wiredtiger_handle *h = peer_pool_take(&s->handles);
	int rc;

	if (!h) {
		h = port_alloc(sizeof(*h));
		if (!h)
			return -ENOMEM;
		rc = s->connection->open_session(s->connection, NULL, NULL, &h->session);
		if (rc) {
			port_free(h);
			return wiredtiger_error(rc);
		}
		rc = h->session->open_cursor(h->session, WT_URI, NULL, NULL, &h->cursor);
		if (rc) {
			h->session->close(h->session, NULL);
			port_free(h);
			return wiredtiger_error(rc);
		}
	}
	*out = h;
	return 0;
}

void wiredtiger_give(struct wiredtiger_store *s, struct wiredtiger_handle *h)
{
	if (peer_pool_give(&s->handles, h))
		return;
	h->session->close(h->session, NULL);
	port_free(h);
}

/* ---- get ---- */

static int cursor_get(WT_CURSOR *c, struct kv_slice key, struct kv_buf *value)
{
	WT_ITEM item = wiredtiger_item(key);
	int rc, error;

	c->set_key(c, &item);
	rc = c->search(c);
	if (!rc)
		rc = c->get_value(c, &item);
	error = rc ? wiredtiger_error(rc) : kv_buf_set(value, item.data, item.size);
	c->reset(c);
	return error;
}

static int wiredtiger_get(struct kv *kv, struct kv_snapshot *at, struct kv_slice key,
			  struct kv_buf *value)
{
	struct wiredtiger_store *s = container_of(kv, struct wiredtiger_store, kv);
	struct wiredtiger_snap *snap = (struct wiredtiger_snap *)at;
	struct wiredtiger_handle *h;
	int error;

	if (snap) {
		wiredtiger_snap_lock(snap);
		error = cursor_get(snap->handle->cursor, key, value);
		wiredtiger_snap_unlock(snap);
		return error;
	}
	error = wiredtiger_take(s, &h);
	if (error)
		return error;
	error = cursor_get(h->cursor, key, value);
	wiredtiger_give(s, h);
	return error;
}

/* ---- write ---- */

static int run_op(WT_CURSOR *c, const struct kv_op *op)
{
	WT_ITEM key = wiredtiger_item(op->key), value = wiredtiger_item(op->value);
	int rc;

	c->set_key(c, &key);
	if (op->type == KV_PUT) {
		c->set_value(c, &value);
		rc = c->insert(c);
	} else {
		rc = c->remove(c);
	}
	return rc == WT_NOTFOUND ? 0 : rc;
}

static int run_batch(struct wiredtiger_handle *h, const struct kv_op *op, size_t n)
{
	int rc = h->session->begin_transaction(h->session, "isolation=snapshot");
	size_t i;

	if (rc)
		return rc;
	for (i = 0; i < n && !rc; i++)
		rc = run_op(h->cursor, &op[i]);
	if (!rc)
		return h->session->commit_transaction(h->session, NULL);
	h->session->rollback_transaction(h->session, NULL);
	return rc;
}

static int wiredtiger_write(struct kv *kv, const struct kv_op *op, size_t n,
			    enum kv_durability how)
{
	struct wiredtiger_store *s = container_of(kv, struct wiredtiger_store, kv);
	int rc, error = peer_flush_error(&s->flush);
	struct wiredtiger_handle *h;

	if (!error)
		error = wiredtiger_take(s, &h);
	if (error)
		return error;
	/* A conflict with another thread's write is no error of the caller's: try again. */
	do {
		rc = n == 1 ? run_op(h->cursor, op) : run_batch(h, op, n);
	} while (rc == WT_ROLLBACK);
	h->cursor->reset(h->cursor);
	if (!rc && how == KV_SYNC && !s->commit_syncs) {
		rc = h->session->log_flush(h->session, "sync=on");
		if (rc)
			peer_flush_failed(&s->flush, rc);
	}
	wiredtiger_give(s, h);
	if (rc)
		return wiredtiger_error(rc);
	return how == KV_GROUP && !s->commit_syncs ? peer_flush_wrote(&s->flush) : 0;
}

/* ---- upkeep ---- */

static int wiredtiger_sync_now(void *arg)
{
	struct wiredtiger_store *s = arg;
	struct wiredtiger_handle *h;
	int error = wiredtiger_take(s, &h);

	if (error)
		return error;
	error = wiredtiger_error(h->session->log_flush(h->session, "sync=on"));
	wiredtiger_give(s, h);
	return error;
}

static int wiredtiger_sync(struct kv *kv)
{
	return peer_flush_now(&container_of(kv, struct wiredtiger_store, kv)->flush);
}

/* A session of its own: compaction wants no open cursor of its session in the way. */
static int wiredtiger_compact(struct kv *kv)
{
	struct wiredtiger_store *s = container_of(kv, struct wiredtiger_store, kv);
	WT_SESSION *session;
	int rc = s->connection->open_session(s->connection, NULL, NULL, &session);

	if (rc)
		return wiredtiger_error(rc);
	rc = session->checkpoint(session, NULL);
	if (!rc)
		rc = session->compact(session, WT_URI, "timeout=0");
	if (!rc)
		rc = session->checkpoint(session, NULL);
	session->close(session, NULL);
	/* Compaction gives way to eviction and to checkpoints: no failure. */
	return rc == EBUSY || rc == WT_ROLLBACK ? 0 : wiredtiger_error(rc);
}

static int copy_files(struct wiredtiger_store *s, WT_CURSOR *files, const char *dir)
{
	char from[PATH_MAX], to[PATH_MAX];
	const char *name;
	int rc, error = 0;

	while (!error && !(rc = files->next(files))) {
		rc = files->get_key(files, &name);
		if (rc)
			return wiredtiger_error(rc);
		error = peer_path(from, s->dir, name);
		if (!error)
			error = peer_path(to, dir, name);
		if (!error)
			error = peer_copy_file(from, to);
	}
	if (error)
		return error;
	return rc == WT_NOTFOUND ? 0 : wiredtiger_error(rc);
}

/* A backup cursor lists the files of the last checkpoint and keeps them as they are. */
static int wiredtiger_backup(struct kv *kv, const char *dir)
{
	struct wiredtiger_store *s = container_of(kv, struct wiredtiger_store, kv);
	WT_SESSION *session;
	WT_CURSOR *files;
	int rc, error;

	if (mkdir(dir, 0777))
		return -errno;
	rc = s->connection->open_session(s->connection, NULL, NULL, &session);
	if (rc)
		return wiredtiger_error(rc);
	rc = session->checkpoint(session, NULL);
	if (!rc)
		rc = session->open_cursor(session, "backup:", NULL, NULL, &files);
	error = rc ? wiredtiger_error(rc) : copy_files(s, files, dir);
	session->close(session, NULL);
	return error ? error : peer_sync_path(dir);
}

static void wiredtiger_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	static const struct {
		int key;
		const char *name;
	} stat[] = {
		{ WT_STAT_CONN_CACHE_BYTES_INUSE, "cache_bytes" },
		{ WT_STAT_CONN_CACHE_BYTES_DIRTY, "cache_dirty_bytes" },
		{ WT_STAT_CONN_CACHE_BYTES_READ, "cache_read_bytes" },
		{ WT_STAT_CONN_CACHE_BYTES_WRITE, "cache_written_bytes" },
		{ WT_STAT_CONN_LOG_BYTES_WRITTEN, "log_written_bytes" },
		{ WT_STAT_CONN_LOG_SYNC, "log_syncs" },
		{ WT_STAT_CONN_TXN_CHECKPOINT, "checkpoints" },
		{ WT_STAT_CONN_TXN_COMMIT, "commits" },
		{ WT_STAT_CONN_TXN_ROLLBACK, "rollbacks" },
	};
	struct wiredtiger_store *s = container_of(kv, struct wiredtiger_store, kv);
	WT_CURSOR *c = NULL;
	struct wiredtiger_handle *h;
	size_t i;

	if (wiredtiger_take(s, &h))
		return;
	if (!h->session->open_cursor(h->session, "statistics:", NULL, NULL, &c)) {
		for (i = 0; i < sizeof(stat) / sizeof(*stat); i++) {
			const char *text, *printed;
			int64_t v;

			c->set_key(c, stat[i].key);
			if (!c->search(c) && !c->get_value(c, &text, &printed, &v))
				emit(arg, stat[i].name, (uint64_t)v);
		}
		c->close(c);
	}
	wiredtiger_give(s, h);
	emit(arg, "group_syncs", port_load_relaxed(&s->flush.syncs));
}

/* ---- open and close ---- */

static int wiredtiger_close(struct kv *kv)
{
	struct wiredtiger_store *s = container_of(kv, struct wiredtiger_store, kv);
	struct wiredtiger_handle *h;
	int rc, error;

	peer_flush_stop(&s->flush);
	error = peer_flush_now(&s->flush);
	while ((h = peer_pool_take(&s->handles)))
		port_free(h);
	rc = s->connection->close(s->connection, NULL); /* its sessions with it */
	if (!error)
		error = wiredtiger_error(rc);
	peer_dir_close(s->lock_fd);
	port_mutex_destroy(&s->said_lock);
	port_free_aligned(s);
	return error;
}

static int connection_open(struct wiredtiger_store *s, const uint64_t *opt)
{
	static const char *const compressor[] = { "none", "snappy" };
	/* WiredTiger keeps each compressor in a library beside its own. */
	static const char *const extensions[] = { "", "libwiredtiger_snappy.so" };
	char config[1024];
	WT_SESSION *session;
	int rc;

	s->commit_syncs = opt[PEER_DURABILITY] == KV_SYNC;
	snprintf(
		config, sizeof(config),
		"create,cache_size=%llu,session_max=%d,statistics=(fast),"
		"extensions=[%s],"
		"log=(enabled,file_max=64MB,prealloc=false),"
		"transaction_sync=(enabled,method=%s),checkpoint=(wait=60,log_size=%llu),"
		"eviction=(threads_min=1,threads_max=4),"
		"eviction_dirty_target=30,eviction_dirty_trigger=60",
		(unsigned long long)opt[PEER_MEMORY_BYTES], SESSIONS_MAX,
		extensions[opt[OPT_COMPRESSION]], s->commit_syncs ? "fsync" : "none",
		(unsigned long long)opt[OPT_CHECKPOINT_BYTES]);
	rc = wiredtiger_open(s->dir, &s->events, config, &s->connection);
	if (rc)
		return rc;
	rc = s->connection->open_session(s->connection, NULL, NULL, &session);
	if (rc)
		return rc;
	snprintf(config, sizeof(config),
		 "type=file,key_format=u,value_format=u,leaf_page_max=%llu,"
		 "block_compressor=%s,internal_page_max=16KB",
		 (unsigned long long)opt[OPT_LEAF_BYTES],
		 compressor[opt[OPT_COMPRESSION]]);
	rc = session->create(session, WT_URI, config);
	session->close(session, NULL);
	return rc;
}

/* WiredTiger says EINVAL and "error" of files that it can't make sense of, and of much
 * else, but what else there is to be wrong with here does not come from a file. */
static int open_error(const struct wiredtiger_store *s, int rc, bool was_there)
{
	if (strstr(s->said.text, "dlopen"))
		return -EOPNOTSUPP; /* a compressor that is not installed */
	if (was_there && (rc == EINVAL || rc == WT_ERROR))
		return -EBADMSG;
	return wiredtiger_error(rc);
}

static const struct kv_ops wiredtiger_ops;

static int wiredtiger_store_open(struct env *env, const char *dir, const uint64_t *opt,
				 struct kv **out, struct kv_msg *why)
{
	struct wiredtiger_store *s = port_alloc_aligned(PEER_ALIGN, sizeof(*s));
	char path[PATH_MAX];
	bool was_there;
	int rc, error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	memset(s, 0, sizeof(*s));
	s->kv = (struct kv){ &wiredtiger_ops, env };
	error = peer_dir_open(dir, &s->lock_fd, why);
	if (error)
		goto out_free;
	snprintf(s->dir, sizeof(s->dir), "%s", dir);
	port_mutex_init(&s->said_lock);
	s->events.handle_error = on_error;
	s->events.handle_message = on_message;
	was_there = !peer_path(path, dir, "WiredTiger") && !access(path, F_OK);
	rc = connection_open(s, opt);
	if (rc) {
		if (s->connection)
			s->connection->close(s->connection, NULL);
		error = kv_fail(why, open_error(s, rc, was_there),
				"WiredTiger cannot open %.80s: %.60s; %s", dir,
				wiredtiger_strerror(rc), s->said.text);
		goto out_lock;
	}
	peer_flush_start(&s->flush, opt[PEER_GROUP_MS], wiredtiger_sync_now, s);
	*out = &s->kv;
	return 0;
out_lock:
	port_mutex_destroy(&s->said_lock);
	peer_dir_close(s->lock_fd);
out_free:
	port_free_aligned(s);
	return error;
}

static const struct kv_ops wiredtiger_ops = {
	.name = "wiredtiger",
	.summary = "WiredTiger: a B-tree with checkpoints, a log and snapshot isolation",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_PERSISTENT | KV_CAP_DURABLE | KV_CAP_CRASH_SAFE | KV_CAP_BACKUP,
	.opts = wiredtiger_opts,
	.key_min = 1,
	.open = wiredtiger_store_open,
	.close = wiredtiger_close,
	.get = wiredtiger_get,
	.write = wiredtiger_write,
	.snapshot = wiredtiger_snapshot,
	.release = wiredtiger_release,
	.cursor = wiredtiger_cursor,
	.sync = wiredtiger_sync,
	.compact = wiredtiger_compact,
	.backup = wiredtiger_backup,
	.stats = wiredtiger_stats,
};

static const char *wiredtiger_version_text(void)
{
	static char text[32];
	int major, minor, patch;

	wiredtiger_version(&major, &minor, &patch);
	snprintf(text, sizeof(text), "%d.%d.%d", major, minor, patch);
	return text;
}

#define WIREDTIGER_OPS        &wiredtiger_ops
#define WIREDTIGER_VERSION_FN wiredtiger_version_text
#else
#define WIREDTIGER_OPS        NULL
#define WIREDTIGER_VERSION_FN NULL
#endif /* HAVE_WIREDTIGER */

const struct engine_info engine_wiredtiger = {
	.name = "wiredtiger",
	.kind = ENGINE_PEER,
	.ops = WIREDTIGER_OPS,
	.package = "libwiredtiger-dev",
	.version = WIREDTIGER_VERSION_FN,
	.tuning =
		"The whole budget is WiredTiger's cache, which holds what writes leave dirty "
		"as well. Pooled sessions with open cursors, leaf pages of 32 KiB, no "
		"compression, eviction of dirty pages from 30 percent of the cache on, a "
		"checkpoint each 512 MiB of log or minute. Commits write the log (none), "
		"are synced each group_ms (group) or each time (sync).",
};
