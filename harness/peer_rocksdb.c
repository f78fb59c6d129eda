/* SPDX-License-Identifier: MIT */
/*
 * peer_rocksdb.c - RocksDB behind kv.h, through its C interface.
 *
 * Leveled compaction, Bloom filters, one column family. RocksDB appends each write to its
 * log with write(2) before it returns (manual_wal_flush stays off), so that level none
 * survives the process. See the RocksDB wiki: "RocksDB Tuning Guide", "Memory usage in
 * RocksDB", "WAL Performance".
 */
#include "engines.h"

#ifdef HAVE_ROCKSDB

#include "peer_common.h"
#include "peer_flush.h"

#include <rocksdb/c.h>
#include <unistd.h>

enum { OPT_COMPRESSION = PEER_OPTIONS, OPT_BLOOM_BITS, OPT_BACKGROUND_JOBS };
enum { MEMTABLES = 4 };

static const struct kv_opt rocksdb_opts[] = {
	PEER_OPTION_LIST,
	{ "compression", "of data blocks", "none|lz4|snappy|zstd", 0, 0, 0 },
	{ "bloom_bits", "bits of Bloom filter per key; 0 for none", NULL, 10, 0, 64 },
	{ "background_jobs",
	  "flushes and compactions at once; 0 for one a processor, 2 at least", NULL, 0,
	  0, 64 },
	{ 0 },
};

struct rocksdb_store {
	struct kv kv;

	/* constant after open */
	int lock_fd;
	rocksdb_options_t *options;
	rocksdb_cache_t *cache;
	rocksdb_t *db;
	rocksdb_readoptions_t *newest;
	rocksdb_writeoptions_t *unsynced, *synced;
	char *after_all; /* a key beyond every key: KV_KEY_MAX + 1 times 0xff */

	struct peer_flush flush;
};

struct rocksdb_snap {
	struct rocksdb_store *store;
	const rocksdb_snapshot_t *snapshot;
	rocksdb_readoptions_t *options;
	uint32_t refs; /* atomic */
};

struct rocksdb_cursor {
	struct kv_cursor c;
	struct rocksdb_snap *snap; /* NULL: the iterator's own view */
	rocksdb_iterator_t *it;    /* not valid: outside */
};

/* Frees text. */
static int rocksdb_error(char *text)
{
	int error;

	if (!text)
		return 0;
	error = peer_status_error(text);
	rocksdb_free(text);
	return error;
}

/* ---- get and write ---- */

static int rocksdb_get_at(struct kv *kv, struct kv_snapshot *at, struct kv_slice key,
			  struct kv_buf *value)
{
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	struct rocksdb_snap *snap = (struct rocksdb_snap *)at;
	rocksdb_pinnableslice_t *pinned;
	const char *data;
	char *text = NULL;
	size_t len;
	int error;

	/* Pinned: the bytes are copied once, from the block in the cache. */
	pinned = rocksdb_get_pinned(s->db, snap ? snap->options : s->newest, key.data,
				    key.len, &text);
	if (text)
		return rocksdb_error(text);
	if (!pinned)
		return -ENOENT;
	data = rocksdb_pinnableslice_value(pinned, &len);
	error = kv_buf_set(value, data, len);
	rocksdb_pinnableslice_destroy(pinned);
	return error;
}

static void batch_add(struct rocksdb_store *s, rocksdb_writebatch_t *batch,
		      const struct kv_op *op)
{
	struct kv_slice end = op->value;

	switch (op->type) {
	case KV_PUT:
		rocksdb_writebatch_put(batch, op->key.data, op->key.len, op->value.data,
				       op->value.len);
		return;
	case KV_DELETE:
		rocksdb_writebatch_delete(batch, op->key.data, op->key.len);
		return;
	case KV_DELETE_RANGE:
		if (!end.data)
			end = kv_slice(s->after_all, KV_KEY_MAX + 1);
		if (kv_compare(op->key, end) < 0)
			rocksdb_writebatch_delete_range(batch, op->key.data, op->key.len,
							end.data, end.len);
		return;
	}
}

static char *write_batch(struct rocksdb_store *s, const rocksdb_writeoptions_t *options,
			 const struct kv_op *op, size_t n)
{
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	char *text = NULL;
	size_t i;

	for (i = 0; i < n; i++)
		batch_add(s, batch, &op[i]);
	rocksdb_write(s->db, options, batch, &text);
	rocksdb_writebatch_destroy(batch);
	return text;
}

static int rocksdb_write_ops(struct kv *kv, const struct kv_op *op, size_t n,
			     enum kv_durability how)
{
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	const rocksdb_writeoptions_t *options = how == KV_SYNC ? s->synced : s->unsynced;
	int error = peer_flush_error(&s->flush);
	char *text = NULL;

	if (error)
		return error;
	if (n == 1 && op->type == KV_PUT)
		rocksdb_put(s->db, options, op->key.data, op->key.len, op->value.data,
			    op->value.len, &text);
	else
		text = write_batch(s, options, op, n);
	error = rocksdb_error(text);
	if (error)
		return how == KV_SYNC ? peer_flush_failed(&s->flush, error) : error;
	return how == KV_GROUP ? peer_flush_wrote(&s->flush) : 0;
}

/* ---- snapshots and cursors ---- */

static int rocksdb_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	struct rocksdb_snap *snap = port_alloc(sizeof(*snap));

	if (!snap)
		return -ENOMEM;
	snap->store = s;
	snap->refs = 1;
	snap->snapshot = rocksdb_create_snapshot(s->db);
	snap->options = rocksdb_readoptions_create();
	rocksdb_readoptions_set_snapshot(snap->options, snap->snapshot);
	*out = (struct kv_snapshot *)snap;
	return 0;
}

static void snap_unref(struct rocksdb_snap *snap)
{
	if (!snap || port_fetch_add(&snap->refs, -1u) != 1)
		return;
	rocksdb_readoptions_destroy(snap->options);
	rocksdb_release_snapshot(snap->store->db, snap->snapshot);
	port_free(snap);
}

static void rocksdb_release(struct kv *kv, struct kv_snapshot *snap)
{
	(void)kv;
	snap_unref((struct rocksdb_snap *)snap);
}

/* After a move of the iterator: its pair, or why there is none. */
static int cursor_pair(struct rocksdb_cursor *cur)
{
	char *text = NULL;

	if (!rocksdb_iter_valid(cur->it)) {
		rocksdb_iter_get_error(cur->it, &text);
		return text ? rocksdb_error(text) : -ENOENT;
	}
	cur->c.key.data = rocksdb_iter_key(cur->it, &cur->c.key.len);
	cur->c.value.data = rocksdb_iter_value(cur->it, &cur->c.value.len);
	return 0;
}

static int rocksdb_cursor_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct rocksdb_cursor *cur = container_of(c, struct rocksdb_cursor, c);

	rocksdb_iter_seek(cur->it, key.data, key.len);
	return cursor_pair(cur);
}

static int rocksdb_cursor_next(struct kv_cursor *c)
{
	struct rocksdb_cursor *cur = container_of(c, struct rocksdb_cursor, c);

	if (rocksdb_iter_valid(cur->it))
		rocksdb_iter_next(cur->it);
	else
		rocksdb_iter_seek_to_first(cur->it);
	return cursor_pair(cur);
}

static int rocksdb_cursor_prev(struct kv_cursor *c)
{
	struct rocksdb_cursor *cur = container_of(c, struct rocksdb_cursor, c);

	if (rocksdb_iter_valid(cur->it))
		rocksdb_iter_prev(cur->it);
	else
		rocksdb_iter_seek_to_last(cur->it);
	return cursor_pair(cur);
}

static void rocksdb_cursor_close(struct kv_cursor *c)
{
	struct rocksdb_cursor *cur = container_of(c, struct rocksdb_cursor, c);

	rocksdb_iter_destroy(cur->it);
	snap_unref(cur->snap);
	port_free(cur);
}

static const struct kv_cursor_ops rocksdb_cursor_ops = {
	.seek = rocksdb_cursor_seek,
	.next = rocksdb_cursor_next,
	.prev = rocksdb_cursor_prev,
	.close = rocksdb_cursor_close,
};

static int rocksdb_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out)
{
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	struct rocksdb_snap *snap = (struct rocksdb_snap *)at;
	struct rocksdb_cursor *cur = port_alloc(sizeof(*cur));

	if (!cur)
		return -ENOMEM;
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = &rocksdb_cursor_ops;
	cur->snap = snap;
	if (snap)
		port_fetch_add(&snap->refs, 1);
	cur->it = rocksdb_create_iterator(s->db, snap ? snap->options : s->newest);
	*out = &cur->c;
	return 0;
}

/* ---- upkeep ---- */

static int rocksdb_sync_now(void *arg)
{
	struct rocksdb_store *s = arg;
	char *text = NULL;

	rocksdb_flush_wal(s->db, 1, &text);
	return rocksdb_error(text);
}

static int rocksdb_sync(struct kv *kv)
{
	return peer_flush_now(&container_of(kv, struct rocksdb_store, kv)->flush);
}

static uint64_t property(struct rocksdb_store *s, const char *name)
{
	uint64_t v = 0;

	return rocksdb_property_int(s->db, name, &v) ? 0 : v;
}

/* Flushes the memtable, then waits until no level is over its size. */
static int rocksdb_compact(struct kv *kv)
{
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
	unsigned int idle = 0;
	char *text = NULL;

	rocksdb_flushoptions_set_wait(flush, 1);
	rocksdb_flush(s->db, flush, &text);
	rocksdb_flushoptions_destroy(flush);
	/* A job that ends may make the next one due, so idleness is asked for twice. */
	while (!text && idle < 2) {
		bool busy = property(s, "rocksdb.compaction-pending") ||
			    property(s, "rocksdb.num-running-compactions") ||
			    property(s, "rocksdb.mem-table-flush-pending") ||
			    property(s, "rocksdb.num-running-flushes");

		if (property(s, "rocksdb.background-errors"))
			return -EIO;
		idle = busy ? 0 : idle + 1;
		usleep(2000);
	}
	return rocksdb_error(text);
}

static int rocksdb_backup(struct kv *kv, const char *dir)
{
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	rocksdb_checkpoint_t *checkpoint;
	char *text = NULL;

	if (!access(dir, F_OK))
		return -EEXIST;
	checkpoint = rocksdb_checkpoint_object_create(s->db, &text);
	if (!text) {
		/* 0: always flush the memtable, so that the copy needs no log. */
		rocksdb_checkpoint_create(checkpoint, dir, 0, &text);
		rocksdb_checkpoint_object_destroy(checkpoint);
	}
	return rocksdb_error(text);
}

static void rocksdb_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	static const char *const name[] = {
		"estimate-num-keys",       "cur-size-all-mem-tables",
		"num-immutable-mem-table", "estimate-pending-compaction-bytes",
		"num-running-compactions", "total-sst-files-size",
		"live-sst-files-size",     "estimate-table-readers-mem",
		"block-cache-usage",       "block-cache-pinned-usage",
		"is-write-stopped",        "background-errors",
	};
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	char text[64], *files;
	size_t i;

	for (i = 0; i < sizeof(name) / sizeof(*name); i++) {
		snprintf(text, sizeof(text), "rocksdb.%s", name[i]);
		emit(arg, name[i], property(s, text));
	}
	for (i = 0; i < 7; i++) {
		snprintf(text, sizeof(text), "rocksdb.num-files-at-level%zu", i);
		files = rocksdb_property_value(s->db, text);
		if (files)
			emit(arg, text + strlen("rocksdb."), strtoull(files, NULL, 10));
		rocksdb_free(files);
	}
	emit(arg, "group_syncs", port_load_relaxed(&s->flush.syncs));
}

/* ---- open and close ---- */

static void free_options(struct rocksdb_store *s)
{
	rocksdb_readoptions_destroy(s->newest);
	rocksdb_writeoptions_destroy(s->unsynced);
	rocksdb_writeoptions_destroy(s->synced);
	rocksdb_options_destroy(s->options);
	rocksdb_cache_destroy(s->cache);
	port_free(s->after_all);
}

static int rocksdb_store_close(struct kv *kv)
{
	struct rocksdb_store *s = container_of(kv, struct rocksdb_store, kv);
	int error;

	peer_flush_stop(&s->flush);
	error = peer_flush_now(&s->flush);
	rocksdb_close(s->db);
	free_options(s);
	peer_dir_close(s->lock_fd);
	port_free(s);
	return error;
}

/* Filters and index blocks live in the cache, so that the budget holds them too. */
static void set_table(rocksdb_options_t *o, rocksdb_cache_t *cache, const uint64_t *opt)
{
	rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();

	rocksdb_block_based_options_set_block_cache(t, cache);
	if (opt[OPT_BLOOM_BITS]) /* taken over by the table options */
		rocksdb_block_based_options_set_filter_policy(
			t, rocksdb_filterpolicy_create_bloom_full(
				   (double)opt[OPT_BLOOM_BITS]));
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(
		t, 1);
	rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
	rocksdb_block_based_options_set_format_version(t, 5);
	rocksdb_options_set_block_based_table_factory(o, t);
	rocksdb_block_based_options_destroy(t);
}

static void set_options(struct rocksdb_store *s, const uint64_t *opt)
{
	static const int compression[] = { rocksdb_no_compression,
					   rocksdb_lz4_compression,
					   rocksdb_snappy_compression,
					   rocksdb_zstd_compression };
	uint64_t memory = opt[PEER_MEMORY_BYTES], memtable = memory / 2 / MEMTABLES;
	long jobs = (long)opt[OPT_BACKGROUND_JOBS];
	rocksdb_options_t *o = rocksdb_options_create();

	if (!jobs)
		jobs = sysconf(_SC_NPROCESSORS_ONLN);
	rocksdb_options_set_create_if_missing(o, 1);
	rocksdb_options_set_max_background_jobs(o, jobs < 2 ? 2 : (int)jobs);
	rocksdb_options_set_write_buffer_size(o, memtable);
	rocksdb_options_set_max_write_buffer_number(o, MEMTABLES);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
	rocksdb_options_set_max_bytes_for_level_base(o, 4 * memtable);
	rocksdb_options_set_target_file_size_base(o, memtable);
	rocksdb_options_set_compression(o, compression[opt[OPT_COMPRESSION]]);
	rocksdb_options_set_bytes_per_sync(o, 1 << 20);
	rocksdb_options_set_max_open_files(o, 1000);
	/* A get asks every memtable first: a filter on each spares most of the walks. */
	rocksdb_options_set_memtable_whole_key_filtering(o, 1);
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.05);
	rocksdb_options_set_keep_log_file_num(o, 2);
	s->options = o;
	s->cache = rocksdb_cache_create_lru(memory / 2);
	set_table(o, s->cache, opt);
	s->newest = rocksdb_readoptions_create();
	s->unsynced = rocksdb_writeoptions_create();
	s->synced = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(s->synced, 1);
}

static const struct kv_ops rocksdb_ops;

static int rocksdb_store_open(struct env *env, const char *dir, const uint64_t *opt,
			      struct kv **out, struct kv_msg *why)
{
	struct rocksdb_store *s = port_alloc(sizeof(*s));
	char *text = NULL;
	int error;

	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	memset(s, 0, sizeof(*s));
	s->kv = (struct kv){ &rocksdb_ops, env };
	error = peer_dir_open(dir, &s->lock_fd, why);
	if (error)
		goto out_free;
	s->after_all = port_alloc(KV_KEY_MAX + 1);
	if (!s->after_all) {
		error = kv_fail(why, -ENOMEM, "no memory to open %s", dir);
		goto out_lock;
	}
	memset(s->after_all, 0xff, KV_KEY_MAX + 1);
	set_options(s, opt);
	s->db = rocksdb_open(s->options, dir, &text);
	if (text) {
		kv_fail(why, 0, "RocksDB cannot open %s: %s", dir, text);
		error = rocksdb_error(text);
		free_options(s);
		goto out_lock;
	}
	peer_flush_start(&s->flush, opt[PEER_GROUP_MS], rocksdb_sync_now, s);
	*out = &s->kv;
	return 0;
out_lock:
	peer_dir_close(s->lock_fd);
out_free:
	port_free(s);
	return error;
}

static const struct kv_ops rocksdb_ops = {
	.name = "rocksdb",
	.summary = "RocksDB: an LSM tree with leveled compaction",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_DELETE_RANGE | KV_CAP_PERSISTENT | KV_CAP_DURABLE |
		KV_CAP_CRASH_SAFE | KV_CAP_BACKUP,
	.opts = rocksdb_opts,
	.open = rocksdb_store_open,
	.close = rocksdb_store_close,
	.get = rocksdb_get_at,
	.write = rocksdb_write_ops,
	.snapshot = rocksdb_snapshot,
	.release = rocksdb_release,
	.cursor = rocksdb_cursor,
	.sync = rocksdb_sync,
	.compact = rocksdb_compact,
	.backup = rocksdb_backup,
	.stats = rocksdb_stats,
};

static const char *rocksdb_version(void)
{
	static char text[32];

	return peer_library_version("rocksdb_open", text, sizeof(text));
}

#define ROCKSDB_OPS        &rocksdb_ops
#define ROCKSDB_VERSION_FN rocksdb_version
#else
#define ROCKSDB_OPS        NULL
#define ROCKSDB_VERSION_FN NULL
#endif /* HAVE_ROCKSDB */

const struct engine_info engine_rocksdb = {
	.name = "rocksdb",
	.kind = ENGINE_PEER,
	.ops = ROCKSDB_OPS,
	.package = "librocksdb-dev",
	.version = ROCKSDB_VERSION_FN,
	.tuning =
		"Half of the budget is block cache (index and filter blocks included), half "
		"four memtables. Leveled compaction with dynamic level sizes, full Bloom "
		"filters of 10 bits in tables and on memtables, no compression, a background "
		"job a processor, pinned gets. The log is written at each write "
		"and synced at each (sync), each group_ms (group) or not (none).",
};
