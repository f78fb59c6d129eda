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

#include "peer_sqlite.h"

#include <fcntl.h>
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

/* ---- get ---- */

static int connection_get(struct sqlite_connection *c, struct kv_slice key,
			  struct kv_buf *value)
{
	sqlite3_stmt **slot = &c->stmt[GET];
	int rc, error;

	rc = sqlite_statement(c, slot, GET);
	if (rc == SQLITE_OK)
		rc = sqlite_bind(*slot, 1, key);
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

static int sqlite_get(struct kv *kv, struct kv_snapshot *at, struct kv_slice key,
		      struct kv_buf *value)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct sqlite_snapshot *snap = (struct sqlite_snapshot *)at;
	struct sqlite_connection *c;
	int error;

	if (snap) {
		sqlite_snapshot_lock(snap);
		error = connection_get(snap->connection, key, value);
		sqlite_snapshot_unlock(snap);
		return error;
	}
	if (!pthread_mutex_trylock(&s->write_lock.m)) {
		error = connection_get(&s->writer, key, value);
		port_mutex_unlock(&s->write_lock);
		return error;
	}
	error = sqlite_reader_take(s, &c);
	if (error)
		return error;
	error = connection_get(c, key, value);
	sqlite_reader_give(s, c);
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
	rc = sqlite_pragma(s->writer.db, "PRAGMA synchronous = %d", want);
	if (rc == SQLITE_OK)
		s->synchronous = want;
	return sqlite_error(rc);
}

static int run_op(struct sqlite_connection *c, const struct kv_op *op)
{
	switch (op->type) {
	case KV_PUT:
		return sqlite_run(c, PUT, &op->key, &op->value);
	case KV_DELETE:
		return sqlite_run(c, DELETE, &op->key, NULL);
	case KV_DELETE_RANGE:
		if (!op->value.data)
			return sqlite_run(c, DELETE_FROM, &op->key, NULL);
		return sqlite_run(c, DELETE_RANGE, &op->key, &op->value);
	}
	return SQLITE_MISUSE;
}

static int run_batch(struct sqlite_connection *c, const struct kv_op *op, size_t n)
{
	int rc = sqlite_run(c, BEGIN_WRITE, NULL, NULL);
	size_t i;

	if (rc != SQLITE_OK)
		return rc;
	for (i = 0; i < n && rc == SQLITE_OK; i++)
		rc = run_op(c, &op[i]);
	if (rc == SQLITE_OK)
		rc = sqlite_run(c, COMMIT, NULL, NULL);
	/* Some errors roll back by themselves. */
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(c->db))
		sqlite_run(c, ROLLBACK, NULL, NULL);
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
	struct sqlite_connection *from;
	char path[PATH_MAX];
	sqlite3_backup *backup;
	sqlite3 *to = NULL;
	int rc, error;

	error = peer_path(path, dir, "kv.db");
	if (error)
		return error;
	if (mkdir(dir, 0777))
		return -errno;
	error = sqlite_reader_take(s, &from);
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
	sqlite_reader_give(s, from);
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
	struct sqlite_connection *c;
	int rc, error;

	error = sqlite_reader_take(s, &c);
	if (error)
		return kv_fail(why, error, "no connection to check by");
	rc = sqlite3_exec(c->db, "PRAGMA integrity_check(1)", verify_row,
			  why ? why : &ignored, NULL);
	sqlite_reader_give(s, c);
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
	struct sqlite_connection *c;
	int rc, error;

	peer_flush_stop(&s->flush);
	error = peer_flush_now(&s->flush);
	while ((c = peer_pool_take(&s->readers))) {
		sqlite_connection_close(c);
		port_free(c);
	}
	/* The last connection to close checkpoints and removes the log: with syncs. */
	rc = sqlite_pragma(s->writer.db, "PRAGMA synchronous = 2");
	sqlite_connection_close(&s->writer);
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
	struct sqlite_connection *c = &s->writer;
	unsigned int page_bytes = 4096u << opt[OPT_PAGE_BYTES];
	int rc = sqlite_connection_open(s, c, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
					opt[PEER_MEMORY_BYTES] / 2);

	if (rc == SQLITE_OK)
		rc = sqlite_pragma(c->db, "PRAGMA page_size = %u", page_bytes);
	if (rc == SQLITE_OK)
		rc = sqlite_pragma(c->db, "PRAGMA journal_mode = WAL");
	if (rc == SQLITE_OK)
		rc = sqlite_pragma(c->db, "PRAGMA wal_autocheckpoint = %llu",
				   (unsigned long long)(opt[OPT_WAL_BYTES] / page_bytes));
	if (rc == SQLITE_OK)
		rc = sqlite_pragma(c->db, "PRAGMA synchronous = %d", s->synchronous);
	if (rc == SQLITE_OK)
		rc = sqlite_pragma(
			c->db,
			"CREATE TABLE IF NOT EXISTS kv("
			"key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID");
	if (rc == SQLITE_OK) /* reads the log in, so that its file is there from now on */
		rc = sqlite_run(c, PIN, NULL, NULL);
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
	sqlite_connection_close(&s->writer);
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
