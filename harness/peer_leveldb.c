/* SPDX-License-Identifier: MIT */
/*
 * peer_leveldb.c - LevelDB behind kv.h, through its C interface.
 *
 * LevelDB hands each write to the kernel before it returns, so level none survives the
 * process. It has no call that syncs the log without writing; and when it changes to a
 * new log, it does not sync the old one, whose memtable is not yet a table. So level group
 * syncs the log files themselves, all that are there: their bytes are the kernel's, and a
 * file that has gone has become a table, which LevelDB synced.
 */
#include "engines.h"

#ifdef HAVE_LEVELDB

#include "peer_common.h"
#include "peer_flush.h"

#include <dirent.h>
#include <leveldb/c.h>

enum { OPT_COMPRESSION = PEER_OPTIONS, OPT_BLOOM_BITS };

static const struct kv_opt leveldb_opts[] = {
	PEER_OPTION_LIST,
	{ "compression", "of data blocks", "none|snappy", 0, 0, 0 },
	{ "bloom_bits", "bits of Bloom filter per key; 0 for none", NULL, 10, 0, 64 },
	{ 0 },
};

struct leveldb_store {
	struct kv kv;

	/* constant after open */
	int lock_fd;
	char dir[PATH_MAX];
	leveldb_options_t *options;
	leveldb_filterpolicy_t *filter; /* NULL: none */
	leveldb_cache_t *cache;
	leveldb_t *db;
	leveldb_readoptions_t *newest;
	leveldb_writeoptions_t *unsynced, *synced;

	struct peer_flush flush;
};

struct leveldb_snap {
	struct leveldb_store *store;
	const leveldb_snapshot_t *snapshot;
	leveldb_readoptions_t *options;
	uint32_t refs; /* atomic */
};

struct leveldb_cursor {
	struct kv_cursor c;
	struct leveldb_snap *snap; /* NULL: the iterator's own view */
	leveldb_iterator_t *it;    /* not valid: outside */
};

/* Frees text. */
static int leveldb_error(char *text)
{
	int error;

	if (!text)
		return 0;
	error = peer_status_error(text);
	leveldb_free(text);
	return error;
}

/* ---- get and write ---- */

static int leveldb_get_at(struct kv *kv, struct kv_snapshot *at, struct kv_slice key,
			  struct kv_buf *value)
{
	struct leveldb_store *s = container_of(kv, struct leveldb_store, kv);
	struct leveldb_snap *snap = (struct leveldb_snap *)at;
	char *data, *text = NULL;
	size_t len;
	int error;

	data = leveldb_get(s->db, snap ? snap->options : s->newest, key.data, key.len,
			   &len, &text);
	if (text)
		return leveldb_error(text);
	if (!data)
		return -ENOENT;
	error = kv_buf_set(value, data, len);
	leveldb_free(data);
	return error;
}

static char *write_batch(struct leveldb_store *s, const leveldb_writeoptions_t *options,
			 const struct kv_op *op, size_t n)
{
	leveldb_writebatch_t *batch = leveldb_writebatch_create();
	char *text = NULL;
	size_t i;

	for (i = 0; i < n; i++) {
		if (op[i].type == KV_PUT)
			leveldb_writebatch_put(batch, op[i].key.data, op[i].key.len,
					       op[i].value.data, op[i].value.len);
		else
			leveldb_writebatch_delete(batch, op[i].key.data, op[i].key.len);
	}
	leveldb_write(s->db, options, batch, &text);
	leveldb_writebatch_destroy(batch);
	return text;
}

static int leveldb_write_ops(struct kv *kv, const struct kv_op *op, size_t n,
			     enum kv_durability how)
{
	struct leveldb_store *s = container_of(kv, struct leveldb_store, kv);
	const leveldb_writeoptions_t *options = how == KV_SYNC ? s->synced : s->unsynced;
	int error = peer_flush_error(&s->flush);
	char *text = NULL;

	if (error)
		return error;
	if (n == 1 && op->type == KV_PUT)
		leveldb_put(s->db, options, op->key.data, op->key.len, op->value.data,
			    op->value.len, &text);
	else
		text = write_batch(s, options, op, n);
	error = leveldb_error(text);
	if (error)
		return how == KV_SYNC ? peer_flush_failed(&s->flush, error) : error;
	return how == KV_GROUP ? peer_flush_wrote(&s->flush) : 0;
}

/* ---- snapshots and cursors ---- */

static int leveldb_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct leveldb_store *s = container_of(kv, struct leveldb_store, kv);
	struct leveldb_snap *snap = port_alloc(sizeof(*snap));

	if (!snap)
		return -ENOMEM;
	snap->store = s;
	snap->refs = 1;
	snap->snapshot = leveldb_create_snapshot(s->db);
	snap->options = leveldb_readoptions_create();
	leveldb_readoptions_set_snapshot(snap->options, snap->snapshot);
	*out = (struct kv_snapshot *)snap;
	return 0;
}

static void snap_unref(struct leveldb_snap *snap)
{
	if (!snap || port_fetch_add(&snap->refs, -1u) != 1)
		return;
	leveldb_readoptions_destroy(snap->options);
	leveldb_release_snapshot(snap->store->db, snap->snapshot);
	port_free(snap);
}

static void leveldb_release(struct kv *kv, struct kv_snapshot *snap)
{
	(void)kv;
	snap_unref((struct leveldb_snap *)snap);
}

/* After a move of the iterator: its pair, or why there is none. */
static int cursor_pair(struct leveldb_cursor *cur)
{
	char *text = NULL;

	if (!leveldb_iter_valid(cur->it)) {
		leveldb_iter_get_error(cur->it, &text);
		return text ? leveldb_error(text) : -ENOENT;
	}
	cur->c.key.data = leveldb_iter_key(cur->it, &cur->c.key.len);
	cur->c.value.data = leveldb_iter_value(cur->it, &cur->c.value.len);
	return 0;
}

static int leveldb_cursor_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct leveldb_cursor *cur = container_of(c, struct leveldb_cursor, c);

	leveldb_iter_seek(cur->it, key.data, key.len);
	return cursor_pair(cur);
}

static int leveldb_cursor_next(struct kv_cursor *c)
{
	struct leveldb_cursor *cur = container_of(c, struct leveldb_cursor, c);

	if (leveldb_iter_valid(cur->it))
		leveldb_iter_next(cur->it);
	else
		leveldb_iter_seek_to_first(cur->it);
	return cursor_pair(cur);
}

static int leveldb_cursor_prev(struct kv_cursor *c)
{
	struct leveldb_cursor *cur = container_of(c, struct leveldb_cursor, c);

	if (leveldb_iter_valid(cur->it))
		leveldb_iter_prev(cur->it);
	else
		leveldb_iter_seek_to_last(cur->it);
	return cursor_pair(cur);
}

static void leveldb_cursor_close(struct kv_cursor *c)
{
	struct leveldb_cursor *cur = container_of(c, struct leveldb_cursor, c);

	leveldb_iter_destroy(cur->it);
	snap_unref(cur->snap);
	port_free(cur);
}

static const struct kv_cursor_ops leveldb_cursor_ops = {
	.seek = leveldb_cursor_seek,
	.next = leveldb_cursor_next,
	.prev = leveldb_cursor_prev,
	.close = leveldb_cursor_close,
};

static int leveldb_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out)
{
	struct leveldb_store *s = container_of(kv, struct leveldb_store, kv);
	struct leveldb_snap *snap = (struct leveldb_snap *)at;
	struct leveldb_cursor *cur = port_alloc(sizeof(*cur));

	if (!cur)
		return -ENOMEM;
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = &leveldb_cursor_ops;
	cur->snap = snap;
	if (snap)
		port_fetch_add(&snap->refs, 1);
	cur->it = leveldb_create_iterator(s->db, snap ? snap->options : s->newest);
	*out = &cur->c;
	return 0;
}

/* ---- upkeep ---- */

static int leveldb_sync_now(void *arg)
{
	struct leveldb_store *s = arg;
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(s->dir);
	int error = 0;

	if (!dir)
		return -errno;
	while (!error && (errno = 0, entry = readdir(dir))) {
		const char *dot = strrchr(entry->d_name, '.');

		if (!dot || strcmp(dot, ".log"))
			continue;
		error = peer_path(path, s->dir, entry->d_name);
		if (!error)
			error = peer_sync_path(path);
		if (error == -ENOENT)
			error = 0;
	}
	if (!error)
		error = -errno;
	closedir(dir);
	return error ? error : peer_sync_path(s->dir);
}

static int leveldb_sync(struct kv *kv)
{
	return peer_flush_now(&container_of(kv, struct leveldb_store, kv)->flush);
}

/* LevelDB does not tell when it is done, so this asks for all there is to compact. */
static int leveldb_compact(struct kv *kv)
{
	struct leveldb_store *s = container_of(kv, struct leveldb_store, kv);

	leveldb_compact_range(s->db, NULL, 0, NULL, 0);
	return 0;
}

static void emit_property(struct leveldb_store *s, const char *property, const char *name,
			  kv_stat_fn *emit, void *arg)
{
	char *text = leveldb_property_value(s->db, property);

	if (text)
		emit(arg, name, strtoull(text, NULL, 10));
	leveldb_free(text);
}

static void leveldb_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct leveldb_store *s = container_of(kv, struct leveldb_store, kv);
	char property[64];
	int level;

	emit_property(s, "leveldb.approximate-memory-usage", "memory_bytes", emit, arg);
	for (level = 0; level < 7; level++) {
		snprintf(property, sizeof(property), "leveldb.num-files-at-level%d",
			 level);
		emit_property(s, property, property + strlen("leveldb."), emit, arg);
	}
	emit(arg, "group_syncs", port_load_relaxed(&s->flush.syncs));
}

/* ---- open and close ---- */

static void free_options(struct leveldb_store *s)
{
	leveldb_readoptions_destroy(s->newest);
	leveldb_writeoptions_destroy(s->unsynced);
	leveldb_writeoptions_destroy(s->synced);
	leveldb_options_destroy(s->options);
	leveldb_cache_destroy(s->cache);
	if (s->filter)
		leveldb_filterpolicy_destroy(s->filter);
}

static int leveldb_store_close(struct kv *kv)
{
	struct leveldb_store *s = container_of(kv, struct leveldb_store, kv);
	int error;

	peer_flush_stop(&s->flush);
	error = peer_flush_now(&s->flush);
	leveldb_close(s->db);
	free_options(s);
	peer_dir_close(s->lock_fd);
	port_free(s);
	return error;
}

/* Two memtables may be full at once: a quarter of the budget each, the cache a half. */
static void set_options(struct leveldb_store *s, const uint64_t *opt)
{
	uint64_t memory = opt[PEER_MEMORY_BYTES];
	leveldb_options_t *o = leveldb_options_create();

	leveldb_options_set_create_if_missing(o, 1);
	leveldb_options_set_write_buffer_size(o, memory / 4);
	s->cache = leveldb_cache_create_lru(memory / 2);
	leveldb_options_set_cache(o, s->cache);
	if (opt[OPT_BLOOM_BITS]) {
		s->filter = leveldb_filterpolicy_create_bloom((int)opt[OPT_BLOOM_BITS]);
		leveldb_options_set_filter_policy(o, s->filter);
	}
	leveldb_options_set_compression(o, opt[OPT_COMPRESSION]
						   ? leveldb_snappy_compression
						   : leveldb_no_compression);
	leveldb_options_set_max_file_size(o, 8 << 20);
	s->options = o;
	s->newest = leveldb_readoptions_create();
	s->unsynced = leveldb_writeoptions_create();
	s->synced = leveldb_writeoptions_create();
	leveldb_writeoptions_set_sync(s->synced, 1);
}

static const struct kv_ops leveldb_ops;

static int leveldb_store_open(struct env *env, const char *dir, const uint64_t *opt,
			      struct kv **out, struct kv_msg *why)
{
	struct leveldb_store *s = port_alloc(sizeof(*s));
	char *text = NULL;
	int error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	memset(s, 0, sizeof(*s));
	s->kv = (struct kv){ &leveldb_ops, env };
	error = peer_dir_open(dir, &s->lock_fd, why);
	if (error)
		goto out_free;
	snprintf(s->dir, sizeof(s->dir), "%s", dir);
	set_options(s, opt);
	s->db = leveldb_open(s->options, dir, &text);
	if (text) {
		kv_fail(why, 0, "LevelDB cannot open %s: %s", dir, text);
		error = leveldb_error(text);
		goto out_options;
	}
	peer_flush_start(&s->flush, opt[PEER_GROUP_MS], leveldb_sync_now, s);
	*out = &s->kv;
	return 0;
out_options:
	free_options(s);
	peer_dir_close(s->lock_fd);
out_free:
	port_free(s);
	return error;
}

static const struct kv_ops leveldb_ops = {
	.name = "leveldb",
	.summary = "LevelDB: the small LSM tree from which others grew",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_PERSISTENT | KV_CAP_DURABLE | KV_CAP_CRASH_SAFE,
	.opts = leveldb_opts,
	.open = leveldb_store_open,
	.close = leveldb_store_close,
	.get = leveldb_get_at,
	.write = leveldb_write_ops,
	.snapshot = leveldb_snapshot,
	.release = leveldb_release,
	.cursor = leveldb_cursor,
	.sync = leveldb_sync,
	.compact = leveldb_compact,
	.stats = leveldb_stats,
};

static const char *leveldb_version(void)
{
	static char text[32];

	snprintf(text, sizeof(text), "%d.%d", leveldb_major_version(),
		 leveldb_minor_version());
	return text;
}

#define LEVELDB_OPS        &leveldb_ops
#define LEVELDB_VERSION_FN leveldb_version
#else
#define LEVELDB_OPS        NULL
#define LEVELDB_VERSION_FN NULL
#endif /* HAVE_LEVELDB */

const struct engine_info engine_leveldb = {
	.name = "leveldb",
	.kind = ENGINE_PEER,
	.ops = LEVELDB_OPS,
	.package = "libleveldb-dev",
	.version = LEVELDB_VERSION_FN,
	.tuning =
		"Half of the budget is block cache, a quarter each of the two memtables. "
		"Bloom filters of 10 bits, no compression, files of 8 MiB. The log is "
		"written at each write and synced at each (sync), each group_ms (group) or "
		"not (none). Reads do not verify block checksums, which is its default.",
};
