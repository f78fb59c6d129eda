/* SPDX-License-Identifier: MIT */
/*
 * peer_sqlite.c - SQLite behind kv.h: one table of keys and values, without rowid.
 *
 * Writes go through one connection under a mutex, which is how SQLite wants it: it has
 * one writer at a time. A get borrows that connection too when nobody writes, for its
 * page cache is the one that never goes stale, and else a connection of a pool. A
 * snapshot is a connection in a read transaction, and a cursor stands on a snapshot.
 *
 * All connections use the VFS "unix-excl": the first keeps the file locked against other
 * processes, after which no transaction pays for fcntl() locks, and the index of the WAL
 * lies in the heap. See https://www.sqlite.org/vfs.html and wal.html.
 */
#include "engines.h"

#ifdef HAVE_SQLITE

#include "peer_common.h"
#include "peer_flush.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OPT_PAGE_BYTES = PEER_OPTIONS,
	OPT_MMAP_BYTES,
	OPT_WAL_BYTES,
};

static const struct kv_opt sqlite_opts[] = {
	PEER_OPTION_LIST,
	{ "page_bytes", "page size of a new database", "4096|8192|16384|32768|65536", 1,
	  0, 0 },
	{ "mmap_bytes", "how much of the database reads may map; 0 for none", NULL,
	  1u << 30, 0, (uint64_t)1 << 40 },
	{ "wal_bytes", "log length at which a commit checkpoints", NULL, 64u << 20,
	  64u << 10, (uint64_t)4 << 30 },
	{ 0 },
};

/* The statements of one connection, prepared when first needed. */
enum statement {
	GET,
	PUT,
	DELETE,
	DELETE_FROM,
	DELETE_RANGE,
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	ROLLBACK,
	PIN,
	WALK_SEEK,
	WALK_FIRST,
	WALK_AFTER,
	WALK_LAST,
	WALK_BEFORE,
	STATEMENTS,
};

static const char *const statement_sql[STATEMENTS] = {
	[GET] = "SELECT value FROM kv WHERE key = ?1",
	[PUT] = ("INSERT INTO kv VALUES (?1, ?2) "
		 "ON CONFLICT (key) DO UPDATE SET value = excluded.value"),
	[DELETE] = "DELETE FROM kv WHERE key = ?1",
	[DELETE_FROM] = "DELETE FROM kv WHERE key >= ?1",
	[DELETE_RANGE] = "DELETE FROM kv WHERE key >= ?1 AND key < ?2",
	[BEGIN_READ] = "BEGIN",
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[PIN] = "SELECT 1 FROM kv LIMIT 1", /* a read transaction begins with its first read */
	[WALK_SEEK] = "SELECT key, value FROM kv WHERE key >= ?1 ORDER BY key",
	[WALK_FIRST] = "SELECT key, value FROM kv ORDER BY key",
	[WALK_AFTER] = "SELECT key, value FROM kv WHERE key > ?1 ORDER BY key",
	[WALK_LAST] = "SELECT key, value FROM kv ORDER BY key DESC",
	[WALK_BEFORE] = "SELECT key, value FROM kv WHERE key < ?1 ORDER BY key DESC",
};

struct connection {
	sqlite3 *db;
	sqlite3_stmt *stmt[STATEMENTS]; /* NULL until first used */
	bool walking;                   /* a cursor has the WALK_ statements */
};

struct sqlite_store {
	struct kv kv;

	/* constant after open */
	char path[PATH_MAX], wal_path[PATH_MAX];
	int lock_fd;
	int db_fd, wal_fd; /* for syncs beside SQLite's own */
	enum kv_durability hint;
	uint64_t reader_cache_bytes, mmap_bytes;

	struct peer_pool readers; /* of struct connection */
	struct peer_flush flush;

	struct port_mutex write_lock;
	/* protected by write_lock */
	struct connection writer;
	int synchronous; /* the writer's PRAGMA, now: 0 off, 1 normal, 2 full */
	bool careful;    /* off is no longer allowed: something durable is in here */
};

struct sqlite_snapshot {
	struct sqlite_store *store;
	struct connection *connection;
	bool shared;            /* several threads may come: lock */
	struct port_mutex lock; /* of the connection */
	uint32_t refs;          /* atomic */
};

struct sqlite_cursor {
	struct kv_cursor c;
	struct sqlite_snapshot *snap;
	sqlite3_stmt **walk; /* the connection's, or own */
	sqlite3_stmt *own[STATEMENTS];
	sqlite3_stmt *at;    /* the statement that stands on a row; NULL: outside */
	bool backward;       /* what at walks */
	struct kv_buf bound; /* the key that at began from */
};

static int sqlite_error(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_TOOBIG:
		return -EINVAL;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
	default:
		return -EIO;
	}
}

/* ---- connections ---- */

static int statement(struct connection *c, sqlite3_stmt **slot, enum statement which)
{
	if (*slot)
		return SQLITE_OK;
	return sqlite3_prepare_v3(c->db, statement_sql[which], -1,
				  SQLITE_PREPARE_PERSISTENT, slot, NULL);
}

/* NULL would bind SQL's NULL, and an empty key is a key. */
static int bind(sqlite3_stmt *stmt, int i, struct kv_slice s)
{
	return sqlite3_bind_blob64(stmt, i, s.len ? s.data : "", s.len, SQLITE_STATIC);
}

/* Runs a statement that returns no row that anybody wants. */
static int run(struct connection *c, enum statement which, const struct kv_slice *a,
	       const struct kv_slice *b)
{
	sqlite3_stmt **slot = &c->stmt[which];
	int rc = statement(c, slot, which);

	if (rc == SQLITE_OK && a)
		rc = bind(*slot, 1, *a);
	if (rc == SQLITE_OK && b)
		rc = bind(*slot, 2, *b);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_step(*slot);
	return sqlite3_reset(*slot);
}

static void connection_close(struct connection *c)
{
	int i;

	for (i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(c->stmt[i]);
	sqlite3_close(c->db);
	memset(c, 0, sizeof(*c));
}

static int pragma(sqlite3 *db, const char *fmt, ...)
{
	char sql[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* No mutex inside: whoever holds a connection is alone with it. */
static int connection_open(struct sqlite_store *s, struct connection *c, int flags,
			   uint64_t cache_bytes)
{
	int rc = sqlite3_open_v2(s->path, &c->db, flags | SQLITE_OPEN_NOMUTEX,
				 "unix-excl");

	if (rc == SQLITE_OK)
		rc = pragma(c->db, "PRAGMA mmap_size = %llu",
			    (unsigned long long)s->mmap_bytes);
	if (rc == SQLITE_OK)
		rc = pragma(c->db, "PRAGMA cache_size = -%llu",
			    (unsigned long long)cache_bytes >> 10);
	return rc;
}

static int reader_take(struct sqlite_store *s, struct connection **out)
{
	struct connection *c = peer_pool_take(&s->readers);
	int rc;

	if (!c) {
		c = port_alloc(sizeof(*c));
		if (!c)
			return -ENOMEM;
		memset(c, 0, sizeof(*c));
		rc = connection_open(s, c, SQLITE_OPEN_READWRITE, s->reader_cache_bytes);
		if (rc != SQLITE_OK) {
			connection_close(c);
			port_free(c);
			return sqlite_error(rc);
		}
	}
	*out = c;
	return 0;
}

static void reader_give(struct sqlite_store *s, struct connection *c)
{
	if (peer_pool_give(&s->readers, c))
		return;
	connection_close(c);
	port_free(c);
}

/* ---- get ---- */

static int connection_get(struct connection *c, struct kv_slice key, struct kv_buf *value)
{
	sqlite3_stmt **slot = &c->stmt[GET];
	int rc, error;

	rc = statement(c, slot, GET);
	if (rc == SQLITE_OK)
		rc = bind(*slot, 1, key);
	if (rc != SQLITE_OK)
		return sqlite_error(rc);
	rc = sqlite3_step(*slot);
	if (rc == SQLITE_ROW) {
		const void *data = sqlite3_column_blob(*slot, 0);

		error = kv_buf_set(value, data, (size_t)sqlite3_column_bytes(*slot, 0));
	} else {
		error = rc == SQLITE_DONE ? -ENOENT : sqlite_error(rc);
	}
	sqlite3_reset(*slot);
	return error;
}

static void snapshot_lock(struct sqlite_snapshot *snap)
{
	if (snap->shared)
		port_mutex_lock(&snap->lock);
}

static void snapshot_unlock(struct sqlite_snapshot *snap)
{
	if (snap->shared)
		port_mutex_unlock(&snap->lock);
}

static int sqlite_get(struct kv *kv, struct kv_snapshot *at, struct kv_slice key,
		      struct kv_buf *value)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct sqlite_snapshot *snap = (struct sqlite_snapshot *)at;
	struct connection *c;
	int error;

	if (snap) {
		snapshot_lock(snap);
		error = connection_get(snap->connection, key, value);
		snapshot_unlock(snap);
		return error;
	}
	if (!pthread_mutex_trylock(&s->write_lock.m)) {
		error = connection_get(&s->writer, key, value);
		port_mutex_unlock(&s->write_lock);
		return error;
	}
	error = reader_take(s, &c);
	if (error)
		return error;
	error = connection_get(c, key, value);
	reader_give(s, c);
	return error;
}

/* ---- write ---- */

static int sync_file(int fd)
{
	return fdatasync(fd) ? -errno : 0;
}

/* The log holds every commit that the database file may lack; while checkpoints were
 * allowed not to sync (off), the database file is synced as well. */
static int sqlite_sync_now(void *arg)
{
	struct sqlite_store *s = arg;
	int error = sync_file(s->wal_fd);

	if (!error && s->hint == KV_NONE)
		error = sync_file(s->db_fd);
	return error;
}

/*
 * How SQLite itself shall sync for a write of this level: off never, normal at each
 * checkpoint (so that the file is never ahead of the log), full at each commit as well.
 * Off is for a store that was opened for level none, until a write asks for more.
 */
static int set_level(struct sqlite_store *s, enum kv_durability how)
{
	int want = how == KV_SYNC ? 2 : 1, rc;

	if (how != KV_NONE && !s->careful) {
		/* What off left unsynced goes first, or a crash could tear the file. */
		int error = sqlite_sync_now(s);

		if (error)
			return peer_flush_failed(&s->flush, error);
		s->careful = true;
	}
	if (!s->careful)
		want = 0;
	if (want == s->synchronous)
		return 0;
	rc = pragma(s->writer.db, "PRAGMA synchronous = %d", want);
	if (rc == SQLITE_OK)
		s->synchronous = want;
	return sqlite_error(rc);
}

static int run_op(struct connection *c, const struct kv_op *op)
{
	switch (op->type) {
	case KV_PUT:
		return run(c, PUT, &op->key, &op->value);
	case KV_DELETE:
		return run(c, DELETE, &op->key, NULL);
	case KV_DELETE_RANGE:
		if (!op->value.data)
			return run(c, DELETE_FROM, &op->key, NULL);
		return run(c, DELETE_RANGE, &op->key, &op->value);
	}
	return SQLITE_MISUSE;
}

static int run_batch(struct connection *c, const struct kv_op *op, size_t n)
{
	int rc = run(c, BEGIN_WRITE, NULL, NULL);
	size_t i;

	if (rc != SQLITE_OK)
		return rc;
	for (i = 0; i < n && rc == SQLITE_OK; i++)
		rc = run_op(c, &op[i]);
	if (rc == SQLITE_OK)
		rc = run(c, COMMIT, NULL, NULL);
	/* Some errors roll back by themselves. */
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(c->db))
		run(c, ROLLBACK, NULL, NULL);
	return rc;
}

static int sqlite_write(struct kv *kv, const struct kv_op *op, size_t n,
			enum kv_durability how)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	int rc, error = peer_flush_error(&s->flush);

	if (error)
		return error;
	port_mutex_lock(&s->write_lock);
	error = set_level(s, how);
	if (!error) {
		rc = n == 1 ? run_op(&s->writer, op) : run_batch(&s->writer, op, n);
		error = sqlite_error(rc);
		if (rc == SQLITE_IOERR_FSYNC)
			peer_flush_failed(&s->flush, error);
	}
	port_mutex_unlock(&s->write_lock);
	if (!error && how == KV_GROUP)
		error = peer_flush_wrote(&s->flush);
	return error;
}

/* ---- snapshots and cursors ---- */

static int snapshot_new(struct sqlite_store *s, bool shared, struct sqlite_snapshot **out)
{
	struct sqlite_snapshot *snap = port_alloc(sizeof(*snap));
	int error, rc;

	if (!snap)
		return -ENOMEM;
	error = reader_take(s, &snap->connection);
	if (error)
		goto out_free;
	rc = run(snap->connection, BEGIN_READ, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = run(snap->connection, PIN, NULL, NULL);
	if (rc != SQLITE_OK) {
		error = sqlite_error(rc);
		if (!sqlite3_get_autocommit(snap->connection->db))
			run(snap->connection, ROLLBACK, NULL, NULL);
		goto out_reader;
	}
	snap->store = s;
	snap->shared = shared;
	snap->refs = 1;
	port_mutex_init(&snap->lock);
	*out = snap;
	return 0;
out_reader:
	reader_give(s, snap->connection);
out_free:
	port_free(snap);
	return error;
}

static void snapshot_unref(struct sqlite_snapshot *snap)
{
	if (port_fetch_add(&snap->refs, -1u) != 1)
		return;
	run(snap->connection, COMMIT, NULL, NULL);
	reader_give(snap->store, snap->connection);
	port_mutex_destroy(&snap->lock);
	port_free(snap);
}

static int sqlite_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	return snapshot_new(container_of(kv, struct sqlite_store, kv), true,
			    (struct sqlite_snapshot **)out);
}

static void sqlite_release(struct kv *kv, struct kv_snapshot *snap)
{
	(void)kv;
	snapshot_unref((struct sqlite_snapshot *)snap);
}

/* Leads outside; with the snapshot locked. */
static void cursor_leave(struct sqlite_cursor *cur)
{
	if (cur->at)
		sqlite3_reset(cur->at);
	cur->at = NULL;
}

/* Steps cur->at to its next row. */
static int cursor_step(struct sqlite_cursor *cur)
{
	int rc = sqlite3_step(cur->at);
	const void *key, *value;

	if (rc != SQLITE_ROW) {
		cursor_leave(cur);
		return rc == SQLITE_DONE ? -ENOENT : sqlite_error(rc);
	}
	key = sqlite3_column_blob(cur->at, 0);
	cur->c.key = kv_slice(key, (size_t)sqlite3_column_bytes(cur->at, 0));
	value = sqlite3_column_blob(cur->at, 1);
	cur->c.value = kv_slice(value, (size_t)sqlite3_column_bytes(cur->at, 1));
	return 0;
}

/* Begins to walk by a statement, from key (borrowed, perhaps from the row stood on). */
static int cursor_start(struct sqlite_cursor *cur, enum statement which,
			const struct kv_slice *key)
{
	int error = key ? kv_buf_set(&cur->bound, key->data, key->len) : 0;
	int rc;

	cursor_leave(cur);
	if (error)
		return error;
	rc = statement(cur->snap->connection, &cur->walk[which], which);
	if (rc == SQLITE_OK && key)
		rc = bind(cur->walk[which], 1, kv_slice(cur->bound.data, cur->bound.len));
	if (rc != SQLITE_OK)
		return sqlite_error(rc);
	cur->at = cur->walk[which];
	cur->backward = which == WALK_LAST || which == WALK_BEFORE;
	return cursor_step(cur);
}

static int sqlite_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct sqlite_cursor *cur = container_of(c, struct sqlite_cursor, c);
	int error;

	snapshot_lock(cur->snap);
	error = cursor_start(cur, WALK_SEEK, &key);
	snapshot_unlock(cur->snap);
	return error;
}

static int cursor_move(struct sqlite_cursor *cur, bool backward)
{
	struct kv_slice key = cur->c.key;
	int error;

	snapshot_lock(cur->snap);
	if (!cur->at)
		error = cursor_start(cur, backward ? WALK_LAST : WALK_FIRST, NULL);
	else if (cur->backward == backward)
		error = cursor_step(cur);
	else
		error = cursor_start(cur, backward ? WALK_BEFORE : WALK_AFTER, &key);
	snapshot_unlock(cur->snap);
	return error;
}

static int sqlite_next(struct kv_cursor *c)
{
	return cursor_move(container_of(c, struct sqlite_cursor, c), false);
}

static int sqlite_prev(struct kv_cursor *c)
{
	return cursor_move(container_of(c, struct sqlite_cursor, c), true);
}

static void sqlite_cursor_close(struct kv_cursor *c)
{
	struct sqlite_cursor *cur = container_of(c, struct sqlite_cursor, c);
	int i;

	snapshot_lock(cur->snap);
	cursor_leave(cur);
	if (cur->walk != cur->own)
		cur->snap->connection->walking = false;
	for (i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(cur->own[i]);
	snapshot_unlock(cur->snap);
	snapshot_unref(cur->snap);
	kv_buf_free(&cur->bound);
	port_free(cur);
}

static const struct kv_cursor_ops sqlite_cursor_ops = {
	.seek = sqlite_seek,
	.next = sqlite_next,
	.prev = sqlite_prev,
	.close = sqlite_cursor_close,
};

static int sqlite_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct sqlite_snapshot *snap = (struct sqlite_snapshot *)at;
	struct sqlite_cursor *cur = port_alloc(sizeof(*cur));
	int error = 0;

	if (!cur)
		return -ENOMEM;
	if (snap)
		port_fetch_add(&snap->refs, 1);
	else
		error = snapshot_new(s, false, &snap);
	if (error) {
		port_free(cur);
		return error;
	}
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = &sqlite_cursor_ops;
	cur->snap = snap;
	snapshot_lock(snap);
	cur->walk = snap->connection->walking ? cur->own : snap->connection->stmt;
	snap->connection->walking = true;
	snapshot_unlock(snap);
	*out = &cur->c;
	return 0;
}

/* ---- upkeep ---- */

static int sqlite_sync(struct kv *kv)
{
	return peer_flush_now(&container_of(kv, struct sqlite_store, kv)->flush);
}

/* The background work that SQLite owes is the log's: copy it home and empty it. What a
 * reader still needs stays; it goes with a later checkpoint. */
static int sqlite_compact(struct kv *kv)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	int rc;

	port_mutex_lock(&s->write_lock);
	rc = sqlite3_wal_checkpoint_v2(s->writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
				       NULL, NULL);
	port_mutex_unlock(&s->write_lock);
	return rc == SQLITE_BUSY ? 0 : sqlite_error(rc);
}

/* All pages in one step: one read transaction, which writers do not wait for. */
static int sqlite_backup(struct kv *kv, const char *dir)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct connection *from;
	char path[PATH_MAX];
	sqlite3_backup *backup;
	sqlite3 *to = NULL;
	int rc, error;

	error = peer_path(path, dir, "kv.db");
	if (error)
		return error;
	if (mkdir(dir, 0777))
		return -errno;
	error = reader_take(s, &from);
	if (error)
		return error;
	rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
			     "unix-excl");
	if (rc == SQLITE_OK) {
		backup = sqlite3_backup_init(to, "main", from->db, "main");
		if (backup) {
			sqlite3_backup_step(backup, -1);
			rc = sqlite3_backup_finish(backup);
		} else {
			rc = sqlite3_errcode(to);
		}
	}
	error = sqlite_error(rc);
	if (sqlite3_close(to) != SQLITE_OK && !error)
		error = -EIO;
	reader_give(s, from);
	if (!error)
		error = peer_sync_path(path);
	return error ? error : peer_sync_path(dir);
}

static int verify_row(void *arg, int n, char **text, char **name)
{
	struct kv_msg *why = arg;

	(void)n, (void)name;
	if (strcmp(text[0], "ok")) {
		kv_fail(why, 0, "SQLite's integrity_check: %s", text[0]);
		return 1;
	}
	return 0;
}

static int sqlite_verify(struct kv *kv, struct kv_msg *why)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct kv_msg ignored;
	struct connection *c;
	int rc, error;

	error = reader_take(s, &c);
	if (error)
		return kv_fail(why, error, "no connection to check by");
	rc = sqlite3_exec(c->db, "PRAGMA integrity_check(1)", verify_row,
			  why ? why : &ignored, NULL);
	reader_give(s, c);
	return rc == SQLITE_ABORT ? -EBADMSG : sqlite_error(rc);
}

static uint64_t query_number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	uint64_t v = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		v = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return v;
}

static void sqlite_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	static const struct {
		const char *name;
		int op;
	} counter[] = {
		{ "writer_cache_hits", SQLITE_DBSTATUS_CACHE_HIT },
		{ "writer_cache_misses", SQLITE_DBSTATUS_CACHE_MISS },
		{ "writer_cache_writes", SQLITE_DBSTATUS_CACHE_WRITE },
		{ "writer_cache_spills", SQLITE_DBSTATUS_CACHE_SPILL },
		{ "writer_cache_bytes", SQLITE_DBSTATUS_CACHE_USED },
	};
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct stat st;
	size_t i;

	port_mutex_lock(&s->write_lock);
	for (i = 0; i < sizeof(counter) / sizeof(*counter); i++) {
		int now = 0, high;

		sqlite3_db_status(s->writer.db, counter[i].op, &now, &high, 0);
		emit(arg, counter[i].name, (uint64_t)now);
	}
	emit(arg, "pages", query_number(s->writer.db, "PRAGMA page_count"));
	emit(arg, "free_pages", query_number(s->writer.db, "PRAGMA freelist_count"));
	emit(arg, "page_bytes", query_number(s->writer.db, "PRAGMA page_size"));
	port_mutex_unlock(&s->write_lock);
	emit(arg, "log_bytes", fstat(s->wal_fd, &st) ? 0 : (uint64_t)st.st_size);
	emit(arg, "group_syncs", port_load_relaxed(&s->flush.syncs));
}

/* ---- open and close ---- */

static int sqlite_close(struct kv *kv)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct connection *c;
	int rc, error;

	peer_flush_stop(&s->flush);
	error = peer_flush_now(&s->flush);
	while ((c = peer_pool_take(&s->readers))) {
		connection_close(c);
		port_free(c);
	}
	/* The last connection to close checkpoints and removes the log: with syncs. */
	rc = pragma(s->writer.db, "PRAGMA synchronous = 2");
	connection_close(&s->writer);
	if (!error)
		error = sqlite_error(rc);
	/* Only now: closing a descriptor of a file drops this process's locks on it. */
	close(s->wal_fd);
	close(s->db_fd);
	peer_dir_close(s->lock_fd);
	port_mutex_destroy(&s->write_lock);
	port_free_aligned(s);
	return error;
}

static int writer_open(struct sqlite_store *s, const uint64_t *opt)
{
	struct connection *c = &s->writer;
	unsigned int page_bytes = 4096u << opt[OPT_PAGE_BYTES];
	int rc = connection_open(s, c, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
				 opt[PEER_MEMORY_BYTES] / 2);

	if (rc == SQLITE_OK)
		rc = pragma(c->db, "PRAGMA page_size = %u", page_bytes);
	if (rc == SQLITE_OK)
		rc = pragma(c->db, "PRAGMA journal_mode = WAL");
	if (rc == SQLITE_OK)
		rc = pragma(c->db, "PRAGMA wal_autocheckpoint = %llu",
			    (unsigned long long)(opt[OPT_WAL_BYTES] / page_bytes));
	if (rc == SQLITE_OK)
		rc = pragma(c->db, "PRAGMA synchronous = %d", s->synchronous);
	if (rc == SQLITE_OK)
		rc = pragma(c->db,
			    "CREATE TABLE IF NOT EXISTS kv("
			    "key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID");
	if (rc == SQLITE_OK) /* reads the log in, so that its file is there from now on */
		rc = run(c, PIN, NULL, NULL);
	return rc;
}

/* Descriptors of our own, opened once and closed after SQLite's: see sqlite_close(). */
static int open_for_sync(const char *path, int flags, int *fd, struct kv_msg *why)
{
	*fd = open(path, O_RDWR | O_CLOEXEC | flags, 0666);
	if (*fd >= 0)
		return 0;
	return kv_fail(why, -errno, "cannot open %s: %s", path, strerror(errno));
}

static const struct kv_ops sqlite_ops;

static int sqlite_open(struct env *env, const char *dir, const uint64_t *opt,
		       struct kv **out, struct kv_msg *why)
{
	struct sqlite_store *s = port_alloc_aligned(PEER_ALIGN, sizeof(*s));
	int rc, error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	memset(s, 0, sizeof(*s));
	s->kv = (struct kv){ &sqlite_ops, env };
	s->hint = (enum kv_durability)opt[PEER_DURABILITY];
	s->careful = s->hint != KV_NONE;
	s->synchronous = (int)s->hint;
	s->mmap_bytes = opt[OPT_MMAP_BYTES];
	/* The writer's cache has half of the budget; eight readers share the rest. */
	s->reader_cache_bytes = opt[PEER_MEMORY_BYTES] / 16;
	error = peer_dir_open(dir, &s->lock_fd, why);
	if (error)
		goto out_free;
	error = peer_path(s->path, dir, "kv.db");
	if (!error)
		error = peer_path(s->wal_path, dir, "kv.db-wal");
	if (error) {
		kv_fail(why, error, "the directory's name is too long");
		goto out_lock;
	}
	error = open_for_sync(s->path, O_CREAT, &s->db_fd, why);
	if (error)
		goto out_lock;
	rc = writer_open(s, opt);
	if (rc != SQLITE_OK) {
		error = kv_fail(
			why, sqlite_error(rc), "SQLite cannot open %s: %s", s->path,
			s->writer.db ? sqlite3_errmsg(s->writer.db) : sqlite3_errstr(rc));
		goto out_writer;
	}
	error = open_for_sync(s->wal_path, 0, &s->wal_fd, why);
	if (!error)
		error = peer_sync_path(dir);
	if (error)
		goto out_writer;
	port_mutex_init(&s->write_lock);
	peer_flush_start(&s->flush, opt[PEER_GROUP_MS], sqlite_sync_now, s);
	*out = &s->kv;
	return 0;
out_writer:
	connection_close(&s->writer);
	close(s->db_fd);
out_lock:
	peer_dir_close(s->lock_fd);
out_free:
	port_free_aligned(s);
	return error;
}

static const struct kv_ops sqlite_ops = {
	.name = "sqlite",
	.summary = "SQLite: a B-tree with a write-ahead log, through SQL",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_DELETE_RANGE | KV_CAP_PERSISTENT | KV_CAP_DURABLE |
		KV_CAP_CRASH_SAFE | KV_CAP_BACKUP | KV_CAP_VERIFY,
	.opts = sqlite_opts,
	/* A row holds at most a thousand million bytes, key and header included. */
	.value_max = 1000000000 - KV_KEY_MAX - 4096,
	.open = sqlite_open,
	.close = sqlite_close,
	.get = sqlite_get,
	.write = sqlite_write,
	.snapshot = sqlite_snapshot,
	.release = sqlite_release,
	.cursor = sqlite_cursor,
	.sync = sqlite_sync,
	.compact = sqlite_compact,
	.backup = sqlite_backup,
	.verify = sqlite_verify,
	.stats = sqlite_stats,
};

#define SQLITE_OPS        &sqlite_ops
#define SQLITE_VERSION_FN sqlite3_libversion
#else
#define SQLITE_OPS        NULL
#define SQLITE_VERSION_FN NULL
#endif /* HAVE_SQLITE */

const struct engine_info engine_sqlite = {
	.name = "sqlite",
	.kind = ENGINE_PEER,
	.ops = SQLITE_OPS,
	.package = "libsqlite3-dev",
	.version = SQLITE_VERSION_FN,
	.tuning =
		"One WITHOUT ROWID table in WAL mode, prepared statements, one writing "
		"connection and a pool of readers, VFS unix-excl (no lock system calls), "
		"reads by memory map, page cache of half the budget for the writer and the "
		"rest for readers, 8 KiB pages (a 1000-byte value overflows "
		"a smaller one), a checkpoint each 64 MiB of log. synchronous is OFF at "
		"none, NORMAL with a sync of the log each group_ms at group, FULL at sync.",
};
