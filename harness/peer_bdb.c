/* SPDX-License-Identifier: MIT */
/*
 * peer_bdb.c - Berkeley DB behind kv.h: a transactional environment private to this
 * process, and in it one B-tree or one hash table.
 *
 * Berkeley DB locks pages. Deadlocks among writers are found by the library, and the loser
 * tries again; what locks on pages mean for cursors stands in peer_bdb_cursor.c. See
 * "Berkeley DB Programmer's Reference", chapter "Transactions".
 */
#include "engines.h"

#ifdef HAVE_BDB

#include "peer_bdb.h"

#include <sys/stat.h>

enum { OPT_PAGE_BYTES = PEER_OPTIONS, OPT_CHECKPOINT_BYTES };
enum {
	LOG_FILE_BYTES = 16 << 20, /* recovery fills the last one's rest with zeroes */
	LOG_BUFFER_BYTES = 1 << 20,
	LOCKS_MAX = 200000, /* a batch holds one for each page that it changes */
	TRANSACTIONS_MAX = 1000,
	CHECKPOINT_LOOK_MS = 1000,
};

static const struct kv_opt bdb_opts[] = {
	PEER_OPTION_LIST,
	{ "page_bytes", "page size of a new database", "4096|8192|16384|32768|65536", 0,
	  0, 0 },
	{ "checkpoint_bytes", "log written between checkpoints", NULL, 256u << 20,
	  1u << 20, (uint64_t)1 << 40 },
	{ 0 },
};

int bdb_error(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case DB_NOTFOUND:
	case DB_KEYEMPTY:
		return -ENOENT;
	case DB_LOCK_DEADLOCK:
	case DB_LOCK_NOTGRANTED:
		return -EBUSY;
	case DB_RUNRECOVERY:
		return -EROFS;
	case DB_PAGE_NOTFOUND:
	case DB_VERIFY_BAD:
	case DB_CHKSUM_FAIL:
	case DB_OLD_VERSION:
		return -EBADMSG;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

/* The library would print to stderr: keep its sentence for whoever asks. */
static void on_error(const DB_ENV *bdb, const char *prefix, const char *text)
{
	struct bdb_store *s = bdb->app_private;

	(void)prefix;
	port_mutex_lock(&s->said_lock);
	if (!s->said.text[0]) /* what follows is about what the first led to */
		snprintf(s->said.text, sizeof(s->said.text), "%s", text);
	port_mutex_unlock(&s->said_lock);
}

static void on_message(const DB_ENV *bdb, const char *text)
{
	(void)bdb, (void)text;
}

/* ---- get and write ---- */

static int bdb_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		   struct kv_buf *value)
{
	struct bdb_store *s = container_of(kv, struct bdb_store, kv);
	DBT k = bdb_dbt(key), v;
	int rc, error = value->cap ? 0 : kv_buf_reserve(value, 256);

	(void)snap;
	while (!error) {
		v = bdb_buffer_dbt(value);
		rc = s->db->get(s->db, NULL, &k, &v, 0);
		if (rc == DB_LOCK_DEADLOCK)
			continue;
		if (rc != DB_BUFFER_SMALL) {
			if (!rc)
				value->len = v.size;
			return bdb_error(rc);
		}
		error = kv_buf_reserve(value, v.size);
	}
	return error;
}

static int run_op(struct bdb_store *s, DB_TXN *txn, const struct kv_op *op)
{
	DBT k = bdb_dbt(op->key), v = bdb_dbt(op->value);
	int rc;

	if (op->type == KV_PUT)
		return s->db->put(s->db, txn, &k, &v, 0);
	rc = s->db->del(s->db, txn, &k, 0);
	return rc == DB_NOTFOUND ? 0 : rc;
}

static int run_transaction(struct bdb_store *s, const struct kv_op *op, size_t n,
			   enum kv_durability how)
{
	DB_TXN *txn;
	size_t i;
	int rc = s->bdb->txn_begin(s->bdb, NULL, &txn, 0);

	if (rc)
		return rc;
	for (i = 0; i < n && !rc; i++)
		rc = run_op(s, txn, &op[i]);
	if (!rc)
		return txn->commit(txn,
				   how == KV_SYNC ? DB_TXN_SYNC : DB_TXN_WRITE_NOSYNC);
	txn->abort(txn);
	return rc;
}

static int bdb_write(struct kv *kv, const struct kv_op *op, size_t n,
		     enum kv_durability how)
{
	struct bdb_store *s = container_of(kv, struct bdb_store, kv);
	bool plain = n == 1 && (how == KV_SYNC) == (s->plain == KV_SYNC);
	int rc, error = peer_flush_error(&s->flush);

	if (error)
		return error;
	do {
		rc = plain ? run_op(s, NULL, op) : run_transaction(s, op, n, how);
	} while (rc == DB_LOCK_DEADLOCK);
	if (rc)
		return bdb_error(rc);
	error = peer_flush_wrote(&s->checkpointer);
	if (!error && how == KV_GROUP)
		error = peer_flush_wrote(&s->flush);
	return error;
}

/* ---- upkeep ---- */

static int bdb_sync_now(void *arg)
{
	struct bdb_store *s = arg;

	return bdb_error(s->bdb->log_flush(s->bdb, NULL));
}

static int bdb_checkpoint_now(void *arg)
{
	struct bdb_store *s = arg;

	return bdb_error(s->bdb->txn_checkpoint(s->bdb, s->checkpoint_kbytes, 0, 0));
}

static int bdb_sync(struct kv *kv)
{
	return peer_flush_now(&container_of(kv, struct bdb_store, kv)->flush);
}

/* What Berkeley DB owes is a checkpoint, after which the logs before it may go. */
static int bdb_compact(struct kv *kv)
{
	struct bdb_store *s = container_of(kv, struct bdb_store, kv);
	int rc = s->bdb->txn_checkpoint(s->bdb, 0, 0, DB_FORCE);

	if (!rc)
		rc = s->bdb->log_archive(s->bdb, NULL, DB_ARCH_REMOVE);
	return bdb_error(rc);
}

/* A hot backup is pages of several moments and the log to make one of them: recovery does
 * that here and now, so that the copy opens like any store. */
static int recover_copy(struct bdb_store *s, const char *dir)
{
	DB_ENV *copy;
	int rc = db_env_create(&copy, 0);

	if (rc)
		return rc;
	copy->app_private = s;
	copy->set_errcall(copy, on_error);
	copy->set_msgcall(copy, on_message);
	rc = copy->open(copy, dir,
			DB_CREATE | DB_PRIVATE | DB_INIT_MPOOL | DB_INIT_LOG |
				DB_INIT_TXN | DB_INIT_LOCK | DB_RECOVER_FATAL,
			0666);
	if (!rc)
		rc = copy->txn_checkpoint(copy, 0, 0, DB_FORCE);
	return copy->close(copy, 0) || rc ? (rc ? rc : EIO) : 0;
}

static int bdb_backup(struct kv *kv, const char *dir)
{
	struct bdb_store *s = container_of(kv, struct bdb_store, kv);
	int rc;

	if (mkdir(dir, 0777))
		return -errno;
	rc = s->bdb->backup(s->bdb, dir, DB_CREATE);
	if (!rc)
		rc = recover_copy(s, dir);
	return rc ? bdb_error(rc) : peer_sync_path(dir);
}

static void bdb_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct bdb_store *s = container_of(kv, struct bdb_store, kv);
	DB_MPOOL_STAT *cache;
	DB_LOCK_STAT *lock;
	DB_LOG_STAT *log;
	DB_TXN_STAT *txn;

	if (!s->bdb->memp_stat(s->bdb, &cache, NULL, 0)) {
		emit(arg, "cache_hits", cache->st_cache_hit);
		emit(arg, "cache_misses", cache->st_cache_miss);
		emit(arg, "cache_dirty_pages", cache->st_page_dirty);
		emit(arg, "cache_dirty_evictions", cache->st_rw_evict);
		emit(arg, "pages_read", cache->st_page_in);
		emit(arg, "pages_written", cache->st_page_out);
		free(cache);
	}
	if (!s->bdb->log_stat(s->bdb, &log, 0)) {
		emit(arg, "log_written_bytes",
		     ((uint64_t)log->st_w_mbytes << 20) + log->st_w_bytes);
		emit(arg, "log_syncs", log->st_scount);
		free(log);
	}
	if (!s->bdb->lock_stat(s->bdb, &lock, 0)) {
		emit(arg, "deadlocks", lock->st_ndeadlocks);
		emit(arg, "lock_waits", lock->st_lock_wait);
		free(lock);
	}
	if (!s->bdb->txn_stat(s->bdb, &txn, 0)) {
		emit(arg, "commits", txn->st_ncommits);
		emit(arg, "aborts", txn->st_naborts);
		free(txn);
	}
	emit(arg, "group_syncs", port_load_relaxed(&s->flush.syncs));
}

/* ---- open and close ---- */

static int bdb_close(struct kv *kv)
{
	struct bdb_store *s = container_of(kv, struct bdb_store, kv);
	int rc, error;

	peer_flush_stop(&s->checkpointer);
	peer_flush_stop(&s->flush);
	error = peer_flush_now(&s->flush);
	rc = s->db->close(s->db, 0);
	if (!rc)
		rc = s->bdb->txn_checkpoint(s->bdb, 0, 0, 0);
	if (!error)
		error = bdb_error(rc);
	rc = s->bdb->close(s->bdb, 0);
	if (!error)
		error = bdb_error(rc);
	peer_dir_close(s->lock_fd);
	port_mutex_destroy(&s->said_lock);
	port_free(s);
	return error;
}

/* What to ask for: the library makes a cache below 500 MB a quarter larger. */
static uint64_t cache_bytes(uint64_t budget)
{
	return budget < 500u << 20 ? budget / 5 * 4 : budget;
}

static int environment_open(struct bdb_store *s, const char *dir, const uint64_t *opt)
{
	uint64_t cache = cache_bytes(opt[PEER_MEMORY_BYTES]);
	DB_ENV *e;
	int rc = db_env_create(&e, 0);

	if (rc)
		return rc;
	s->bdb = e;
	e->app_private = s;
	e->set_errcall(e, on_error);
	e->set_msgcall(e, on_message);
	rc = e->set_cachesize(e, (u_int32_t)(cache >> 30),
			      (u_int32_t)(cache & ((1u << 30) - 1)), 1);
	if (!rc)
		rc = e->set_lk_detect(e, DB_LOCK_DEFAULT);
	if (!rc)
		rc = e->set_lk_max_locks(e, LOCKS_MAX);
	if (!rc)
		rc = e->set_lk_max_objects(e, LOCKS_MAX);
	if (!rc)
		rc = e->set_lk_max_lockers(e, TRANSACTIONS_MAX * 4);
	if (!rc)
		rc = e->set_tx_max(e, TRANSACTIONS_MAX);
	if (!rc)
		rc = e->set_lg_bsize(e, LOG_BUFFER_BYTES);
	if (!rc)
		rc = e->set_lg_max(e, LOG_FILE_BYTES);
	if (!rc)
		rc = e->log_set_config(e, DB_LOG_AUTO_REMOVE, 1);
	if (!rc && s->plain != KV_SYNC)
		rc = e->set_flags(e, DB_TXN_WRITE_NOSYNC, 1);
	if (rc)
		return rc;
	return e->open(e, dir,
		       DB_CREATE | DB_PRIVATE | DB_THREAD | DB_INIT_MPOOL | DB_INIT_LOG |
			       DB_INIT_TXN | DB_INIT_LOCK | DB_RECOVER,
		       0666);
}

static int database_open(struct bdb_store *s, const uint64_t *opt)
{
	int rc = db_create(&s->db, s->bdb, 0);

	if (!rc)
		rc = s->db->set_pagesize(s->db, 4096u << opt[OPT_PAGE_BYTES]);
	if (!rc)
		rc = s->db->open(s->db, NULL, "kv.db", NULL, s->hash ? DB_HASH : DB_BTREE,
				 DB_CREATE | DB_THREAD | DB_AUTO_COMMIT, 0666);
	return rc;
}

static const struct kv_ops btree_ops, hash_ops;

static int bdb_open(bool hash, struct env *env, const char *dir, const uint64_t *opt,
		    struct kv **out, struct kv_msg *why)
{
	struct bdb_store *s = port_alloc(sizeof(*s));
	int rc, error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	memset(s, 0, sizeof(*s));
	s->kv = (struct kv){ hash ? &hash_ops : &btree_ops, env };
	s->hash = hash;
	s->plain = (enum kv_durability)opt[PEER_DURABILITY];
	s->checkpoint_kbytes = (u_int32_t)(opt[OPT_CHECKPOINT_BYTES] >> 10);
	error = peer_dir_open(dir, &s->lock_fd, why);
	if (error)
		goto out_free;
	port_mutex_init(&s->said_lock);
	rc = environment_open(s, dir, opt);
	if (!rc)
		rc = database_open(s, opt);
	if (rc) {
		if (s->db)
			s->db->close(s->db, 0);
		if (s->bdb)
			s->bdb->close(s->bdb, 0);
		/* Recovery is what an open does: if that can't be, the files are bad. */
		error = kv_fail(why, rc == DB_RUNRECOVERY ? -EBADMSG : bdb_error(rc),
				"Berkeley DB cannot open %.80s: %.60s; %s", dir,
				db_strerror(rc), s->said.text);
		goto out_lock;
	}
	peer_flush_start(&s->flush, opt[PEER_GROUP_MS], bdb_sync_now, s);
	peer_flush_start(&s->checkpointer, CHECKPOINT_LOOK_MS, bdb_checkpoint_now, s);
	*out = &s->kv;
	return 0;
out_lock:
	port_mutex_destroy(&s->said_lock);
	peer_dir_close(s->lock_fd);
out_free:
	port_free(s);
	return error;
}

static int btree_open(struct env *env, const char *dir, const uint64_t *opt,
		      struct kv **out, struct kv_msg *why)
{
	return bdb_open(false, env, dir, opt, out, why);
}

static int hash_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why)
{
	return bdb_open(true, env, dir, opt, out, why);
}

#define BDB_CAPS                                                             \
	(KV_CAP_CURSOR | KV_CAP_BATCH | KV_CAP_PERSISTENT | KV_CAP_DURABLE | \
	 KV_CAP_CRASH_SAFE | KV_CAP_BACKUP)

/* clang-format off */
#define BDB_OPS                                                                            \
	.opts = bdb_opts,                                                                  \
	.close = bdb_close,                                                                \
	.get = bdb_get,                                                                    \
	.write = bdb_write,                                                                \
	.cursor = bdb_cursor,                                                              \
	.sync = bdb_sync,                                                                  \
	.compact = bdb_compact,                                                            \
	.backup = bdb_backup,                                                              \
	.stats = bdb_stats
/* clang-format on */

static const struct kv_ops btree_ops = {
	.name = "bdb-btree",
	.summary = "Berkeley DB: a B-tree with a write-ahead log and page locks",
	.caps = BDB_CAPS | KV_CAP_ORDERED,
	.open = btree_open,
	BDB_OPS,
};

static const struct kv_ops hash_ops = {
	.name = "bdb-hash",
	.summary = "Berkeley DB: extended linear hashing with a write-ahead log",
	.caps = BDB_CAPS,
	.open = hash_open,
	BDB_OPS,
};

static const char *bdb_version(void)
{
	static char text[32];
	int major, minor, patch;

	db_version(&major, &minor, &patch);
	snprintf(text, sizeof(text), "%d.%d.%d", major, minor, patch);
	return text;
}

#define BDB_BTREE_OPS  &btree_ops
#define BDB_HASH_OPS   &hash_ops
#define BDB_VERSION_FN bdb_version
#else
#define BDB_BTREE_OPS  NULL
#define BDB_HASH_OPS   NULL
#define BDB_VERSION_FN NULL
#endif /* HAVE_BDB */

#define BDB_TUNING                                                                         \
	"A private environment (nothing in shared memory) with transactions; the whole "   \
	"budget is its page cache, pages are 4 KiB, a thread checkpoints each 256 MiB of " \
	"log. Reads outside of transactions, single writes by auto-commit, cursors by "    \
	"bulk reads. Commits write the log (none), are synced each group_ms (group) or "   \
	"each time (sync)."

const struct engine_info engine_bdb_btree = {
	.name = "bdb-btree",
	.kind = ENGINE_PEER,
	.ops = BDB_BTREE_OPS,
	.package = "libdb5.3-dev",
	.version = BDB_VERSION_FN,
	.tuning = BDB_TUNING,
};

const struct engine_info engine_bdb_hash = {
	.name = "bdb-hash",
	.kind = ENGINE_PEER,
	.ops = BDB_HASH_OPS,
	.package = "libdb5.3-dev",
	.version = BDB_VERSION_FN,
	.tuning = BDB_TUNING,
};
