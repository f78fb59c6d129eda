/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_storage_engine.c - the LSM engine's table of functions: options, open, close; see
 * lsm_engine.h for the idea and lsm_store.h for the map of its files.
 *
 * A store's directory:
 *
 *   STORE               what it is
 *   manifest/           the log of versions
 *   NNNNNNNNNNNN.sst    tables
 *   NNNNNNNNNNNN.blob   large values
 *   NNNNNNNNNNNN.log    what was written and is not yet in tables; *.spare: for later
 *   RESERVE             nothing: kept back for when the disk is full
 *   LOCK                held by the process that has the store open
 */
#include "lsm_store.h"
#include "sst_format.h"

enum {
	MEMORY_MIN = 1 << 20,
	TASK_MIN = 32 << 10, /* what who flushes or compacts has for its buffers */
	TASK_MAX = 4 << 20,
	OTHER_MAX = 1 << 20,
	WINDOW_SHARE = 512, /* of the budget that a scan reads ahead of each run */
	WINDOW_MAX = 256 << 10,
	MEMTABLE_MAX = 128 << 20, /* when it is chosen by memory_bytes */
	RESERVE_CHOSEN = 1,       /* by the sizes of memtables and tables */
	SEGMENT_MIN = 64 << 10,
	SEGMENT_MAX = 8 << 20, /* when it is chosen by memtable_bytes */
	SEGMENTS = 4,          /* of the log that a memtable fills, then */
};

/* ---- the budget ---- */

static bool is_power_of_two(uint64_t n)
{
	return !(n & (n - 1));
}

/* The flusher, and all parts of all compactions. */
static uint64_t tasks(const struct lsm_store *s)
{
	return 1 + s->option[LSM_THREADS] * s->option[LSM_PARTS];
}

static void choose_memtable(struct lsm_store *s)
{
	const uint64_t memory = s->option[LSM_MEMORY_BYTES];

	s->memtable_bytes = s->option[LSM_MEMTABLE_BYTES];
	if (s->memtable_bytes)
		return;
	/* Large ones save more of merging than their bytes do in a cache. */
	s->memtable_bytes = memory / 8;
	if (s->memtable_bytes > memory / 2 / s->option[LSM_MEMTABLE_COUNT])
		s->memtable_bytes = memory / 2 / s->option[LSM_MEMTABLE_COUNT];
	if (s->memtable_bytes > MEMTABLE_MAX)
		s->memtable_bytes = MEMTABLE_MAX;
}

/* A memtable that fills some segments can begin with one of its own, so that what it has in
 * the log is given up unwritten once it is flushed; one that fills a part of a segment can't,
 * and its flush syncs what others are writing there. */
static void choose_segment(struct lsm_store *s)
{
	uint64_t n = SEGMENT_MAX;

	while (n > SEGMENT_MIN && n > s->memtable_bytes / SEGMENTS)
		n /= 2;
	if (!s->option[LSM_SEGMENT_BYTES])
		s->option[LSM_SEGMENT_BYTES] = n;
}

static int check_options(struct lsm_store *s, struct kv_msg *why)
{
	uint64_t memory = s->option[LSM_MEMORY_BYTES], window;

	choose_memtable(s);
	choose_segment(s);
	if (!is_power_of_two(s->option[LSM_SEGMENT_BYTES]) ||
	    s->option[LSM_SEGMENT_BYTES] < SEGMENT_MIN)
		return kv_fail(why, -EINVAL,
			       "segment_bytes must be a power of two, 64k or more");
	/* Or the first compaction would find out, long after. */
	if (s->option[LSM_COMPRESSION] == SST_LZ4 && !sst_can_lz4())
		return kv_fail(why, -EOPNOTSUPP,
			       "compression=lz4 is not built in: install liblz4 and "
			       "build again, or take none");
	s->reserve_bytes = s->option[LSM_RESERVE_BYTES];
	if (s->reserve_bytes == RESERVE_CHOSEN)
		s->reserve_bytes = lsm_reserve_choose(s);
	if (s->memtable_bytes * s->option[LSM_MEMTABLE_COUNT] > memory / 2)
		return kv_fail(
			why, -EINVAL,
			"memory_bytes must be at least twice what %llu memtables of "
			"%llu bytes take",
			(unsigned long long)s->option[LSM_MEMTABLE_COUNT],
			(unsigned long long)s->memtable_bytes);
	if (tasks(s) * TASK_MIN > memory / 4)
		return kv_fail(why, -EINVAL,
			       "memory_bytes must be at least %llu for so many threads "
			       "and parts",
			       (unsigned long long)(4 * tasks(s) * TASK_MIN));
	s->buffer_bytes = memory / 8 / tasks(s);
	if (s->buffer_bytes < TASK_MIN)
		s->buffer_bytes = TASK_MIN;
	if (s->buffer_bytes > TASK_MAX)
		s->buffer_bytes = TASK_MAX;
	window = memory / WINDOW_SHARE;
	if (window > WINDOW_MAX)
		window = WINDOW_MAX;
	s->scan_window = (unsigned int)(window >> 10) << SST_WINDOW;
	/* What cursors hold, and versions. */
	s->other_bytes = memory / 32 < OTHER_MAX ? memory / 32 : OTHER_MAX;
	return 0;
}

/* Blocks that are mapped as they are need no memory of ours. Measured with a million records,
 * 256 MiB, one thread: maps and so many records give 1.5 times the gets and scans that the
 * block cache gives, and half the time of a get while compactions change the tables. */
static uint64_t record_percent(const struct lsm_store *s)
{
	bool mapped = s->option[LSM_ACCESS] == SST_MAP &&
		      s->option[LSM_COMPRESSION] == SST_PLAIN;

	if (s->option[LSM_RECORD_PERCENT] <= 100)
		return s->option[LSM_RECORD_PERCENT];
	return mapped ? 90 : 40;
}

/* Memtables first, and what the tasks work with; then records, and blocks have the rest. */
static int share_memory(struct lsm_store *s)
{
	uint64_t memtables = s->memtable_bytes * s->option[LSM_MEMTABLE_COUNT],
		 /* Their hashes, and what is not used of their last chunks. */
		beside = memtables / 8,
		 rest = s->option[LSM_MEMORY_BYTES] - memtables - beside -
			s->other_bytes - tasks(s) * s->buffer_bytes,
		 records = rest / 100 * record_percent(s);
	struct lsm_cache_config c = {
		.bytes = rest - records,
		.policy = (enum lsm_cache_policy)s->option[LSM_CACHE_POLICY],
		.huge = s->option[LSM_HUGE],
		.lock = s->option[LSM_MLOCK],
	};
	int error;

	s->cache_bytes = c.bytes;
	error = lsm_memory_new(memtables + beside, s->option[LSM_HUGE], &s->memory);

	if (!error)
		error = lsm_cache_new(&c, &s->cache);
	if (!error)
		error = lsm_records_new(records, s->option[LSM_MLOCK], &s->records);
	return error;
}

/* The record cache is locked when it is made: how much the system let us says whether more will
 * be. */
static void check_lock(struct lsm_store *s)
{
	struct env *env = s->base.env;
	struct lsm_cache_stats c;
	struct kv_msg text;

	lsm_records_stats(s->records, &c);
	if (!s->option[LSM_MLOCK] || !s->records || c.locked_bytes || !env->ops->log)
		return;
	(void)kv_fail(&text, -EPERM,
		      "%s: memory cannot be locked, and may be swapped out: raise the "
		      "limit (ulimit -l)",
		      s->dir);
	env->ops->log(env, text.text);
}

static void shape_tree(struct lsm_store *s)
{
	s->layout = (struct lsm_layout){
		.style = (enum lsm_style)s->option[LSM_STYLE],
		.ratio = (unsigned int)s->option[LSM_RATIO],
		.flushed_runs = (unsigned int)s->option[LSM_FLUSHED_RUNS],
		.level_bytes = s->option[LSM_LEVEL_BYTES],
		.table_bytes = s->option[LSM_TABLE_BYTES],
		.piece_bytes = 8 * s->option[LSM_TABLE_BYTES],
		.wide_bytes = 32 * s->option[LSM_TABLE_BYTES],
		.blob_live_percent = (unsigned int)s->option[LSM_BLOB_LIVE_PERCENT],
		.delete_percent = 50,
	};
	if (!s->layout.level_bytes)
		s->layout.level_bytes = s->memtable_bytes * s->layout.flushed_runs;
}

/* ---- open and close ---- */

static void init_locks(struct lsm_store *s)
{
	port_mutex_init(&s->append_lock);
	port_mutex_init(&s->publish_lock);
	port_mutex_init(&s->log_lock);
	port_mutex_init(&s->view_lock);
	port_mutex_init(&s->snapshot_lock);
	port_mutex_init(&s->reserve_lock);
	port_mutex_init(&s->task_lock);
}

static void destroy_locks(struct lsm_store *s)
{
	port_mutex_destroy(&s->task_lock);
	port_mutex_destroy(&s->reserve_lock);
	port_mutex_destroy(&s->snapshot_lock);
	port_mutex_destroy(&s->view_lock);
	port_mutex_destroy(&s->log_lock);
	port_mutex_destroy(&s->publish_lock);
	port_mutex_destroy(&s->append_lock);
}

static void free_conds(struct lsm_store *s)
{
	struct env *env = s->base.env;

	if (s->published)
		env->ops->cond_free(env, s->published);
	if (s->wake)
		env->ops->cond_free(env, s->wake);
	if (s->eased)
		env->ops->cond_free(env, s->eased);
}

static int store_free(struct lsm_store *s)
{
	int error = 0, closed = 0;

	if (s->log)
		error = log_close(s->log);
	lsm_view_end(s);
	if (s->epoch)
		epoch_free(s->epoch);
	if (s->versions) {
		(void)lsm_versions_purge(s->versions);
		closed = lsm_versions_close(s->versions);
	}
	lsm_records_free(s->records);
	if (s->cache)
		lsm_cache_free(s->cache);
	if (s->memory)
		lsm_memory_free(s->memory);
	free_conds(s);
	if (s->owner)
		s->base.env->ops->unlock(s->base.env, s->owner);
	destroy_locks(s);
	port_free_aligned(s);
	return error ? error : closed;
}

static struct lsm_store *store_new(struct env *env, const char *dir, const uint64_t *opt)
{
	struct lsm_store *s = port_alloc_aligned(64, sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->base = (struct kv){ &lsm_engine, env };
	memcpy(s->dir, dir, strlen(dir) + 1);
	memcpy(s->option, opt, sizeof(s->option));
	init_locks(s);
	return s;
}

static int make_parts(struct lsm_store *s, struct kv_msg *why)
{
	struct env *env = s->base.env;
	int error = env->ops->cond_new(env, &s->published);

	if (!error)
		error = env->ops->cond_new(env, &s->wake);
	if (!error)
		error = env->ops->cond_new(env, &s->eased);
	if (!error)
		error = epoch_new(&s->epoch);
	if (!error)
		error = share_memory(s);
	return error ? kv_fail(why, error, "no memory to open %s", s->dir) : 0;
}

/* There is a reason for each error, also where what failed gave none. */
static int recover(struct lsm_store *s, struct kv_msg *why)
{
	struct kv_msg reason = { "" };
	int error = lsm_recover(s, &reason);

	if (error && !reason.text[0])
		return kv_fail(why, error, "%s: cannot be opened: %s (error %d)", s->dir,
			       error == -ENOMEM ? "no memory" : "see the disk", -error);
	return error ? kv_fail(why, error, "%s", reason.text) : 0;
}

static int lsm_open(struct env *env, const char *dir, const uint64_t *opt,
		    struct kv **out, struct kv_msg *why)
{
	struct lsm_store *s;
	int error;

	if (strlen(dir) >= ENV_PATH_MAX - 64)
		return kv_fail(why, -ENAMETOOLONG, "the store's path is too long");
	s = store_new(env, dir, opt);
	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	error = check_options(s, why);
	if (error)
		goto fail;
	shape_tree(s);
	error = env_take_dir(env, s->dir, &s->owner, why);
	if (!error)
		error = make_parts(s, why);
	if (!error)
		error = recover(s, why);
	if (error)
		goto fail;
	check_lock(s);
	error = lsm_background_start(s);
	if (error) {
		(void)kv_fail(why, error, "%s: background tasks cannot be started", dir);
		goto fail;
	}
	*out = &s->base;
	return 0;
fail:
	(void)store_free(s);
	return error;
}

static int lsm_close(struct kv *kv)
{
	struct lsm_store *s = lsm_store(kv);

	/* Failing costs the next open time, and no data: the log has it. */
	(void)lsm_background_flush(s);
	lsm_background_stop(s);
	return store_free(s);
}

static int lsm_sync(struct kv *kv)
{
	struct lsm_store *s = lsm_store(kv);
	int error = log_sync(s->log, log_end(s->log) - 1);

	if (error)
		lsm_store_stop(s, error, "syncing the log");
	return error;
}

static void lsm_recovery(struct kv *kv, struct kv_recovery *out)
{
	*out = lsm_store(kv)->recovery;
}

static const struct kv_opt lsm_opts[] = {
	[LSM_MEMORY_BYTES] = { "memory_bytes", "budget of memtables and caches", NULL,
			       256 << 20, MEMORY_MIN, UINT64_MAX },
	[LSM_GROUP_MS] = { "group_ms", "how long a group write may stay volatile", NULL,
			   100, 1, 60000 },
	[LSM_MEMTABLE_BYTES] = { "memtable_bytes",
				 "of a memtable before it is flushed; 0: an eighth of "
				 "memory_bytes, at most 128 MiB",
				 NULL, 0, 0, 1u << 30 },
	[LSM_MEMTABLE_COUNT] = { "memtables",
				 "most at once: one that is written to, others being flushed",
				 NULL, 3, 2, LSM_MEMTABLES },
	[LSM_SEGMENT_BYTES] = { "segment_bytes",
				"of a log segment, a power of two; fixed at creation; 0: a "
				"quarter of a memtable, at most 8 MiB",
				NULL, 0, 0, 4ull << 30 },
	[LSM_STYLE] = { "style",
			"of compaction: one run at the bottom and tiers above, one run "
			"a level, or tiers",
			"lazy|leveled|tiered", LSM_LAZY, 0, LSM_TIERED },
	[LSM_RATIO] = { "ratio", "between the sizes of levels; runs of a tier", NULL, 8,
			2, 64 },
	[LSM_FLUSHED_RUNS] = { "flushed_runs", "of level 0 that are merged at once", NULL,
			       4, 1, 64 },
	[LSM_LEVEL_BYTES] = { "level_bytes",
			      "of level 1 before it is merged on; 0: what level 0 gives at "
			      "once",
			      NULL, 0, 0, 1ull << 40 },
	[LSM_TABLE_BYTES] = { "table_bytes", "of a table that a compaction writes", NULL,
			      16 << 20, 4 << 10, 1ull << 30 },
	[LSM_BLOCK_BYTES] = { "block_bytes", "of a table's block, about", NULL, 4096, 256,
			      1 << 20 },
	[LSM_RESTART_INTERVAL] = { "restart_interval",
				   "entries from one whole key to the next", NULL, 8, 1,
				   1024 },
	[LSM_FILTER_BITS] = { "filter_bits", "of a Bloom filter for a key; 0: no filters",
			      NULL, 10, 0, 32 },
	[LSM_COMPRESSION] = { "compression", "of tables below level 0", "none|lz4",
			      SST_PLAIN, 0, SST_LZ4 },
	[LSM_BLOB_BYTES] = { "blob_bytes",
			     "values above it go to blob files, apart from their keys; 0: none",
			     NULL, 512, 0, KV_VALUE_MAX },
	[LSM_BLOB_LIVE_PERCENT] = { "blob_live_percent",
				    "a blob file of which less is in use is written anew",
				    NULL, 50, 0, 100 },
	[LSM_CACHE_POLICY] = { "cache", "what goes when the block cache is full",
			       "clock|lru", LSM_CLOCK, 0, LSM_LRU },
	[LSM_RECORD_PERCENT] = { "record_percent",
				 "of the memory beside memtables, for single records; "
				 "101: 90 where plain tables are mapped, else 40",
				 NULL, 101, 0, 101 },
	[LSM_ACCESS] = { "access",
			 "tables through the block cache, or in memory maps, where an I/O error "
			 "ends the process, or through the block cache and past the system's",
			 "read|map|direct", SST_MAP, 0, SST_DIRECT },
	[LSM_THREADS] = { "threads", "that compact", NULL, 1, 1, 64 },
	[LSM_PARTS] = { "parts", "of one compaction side by side, at most", NULL, 1, 1,
			64 },
	[LSM_RATE] = { "rate",
		       "bytes a second that background work may read and write; 0: any",
		       NULL, 0, 0, UINT64_MAX },
	[LSM_HUGE] = { "huge",
		       "huge pages for memtables and caches, where the system has some",
		       "off|on", 1, 0, 1 },
	[LSM_MLOCK] = { "mlock",
			"keep the caches from being swapped out, as far as the limit of locked "
			"memory allows",
			"off|on", 0, 0, 1 },
	[LSM_MAP] = { "map", "log files in memory maps, or by read and write", "off|on",
		      1, 0, 1 },
	[LSM_RESERVE_BYTES] = { "reserve_bytes",
				"kept back for deletes and compactions on a full disk; 0: "
				"none; 1: as much as a log segment, a memtable and two tables take",
				NULL, RESERVE_CHOSEN, 0, 1ull << 40 },
	[LSM_OPTIONS] = { 0 },
};

const struct kv_ops lsm_engine = {
	.name = "lsm",
	.summary = "a log-structured merge-tree: ordered, for writing",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_DELETE_RANGE | KV_CAP_PERSISTENT | KV_CAP_DURABLE |
		KV_CAP_CRASH_SAFE | KV_CAP_BACKUP | KV_CAP_VERIFY,
	.opts = lsm_opts,
	.open = lsm_open,
	.close = lsm_close,
	.get = lsm_get,
	.multi_get = lsm_multi_get,
	.write = lsm_write,
	.snapshot = lsm_snapshot,
	.release = lsm_release,
	.cursor = lsm_scan,
	.sync = lsm_sync,
	.compact = lsm_compact_all,
	.backup = lsm_backup,
	.verify = lsm_verify,
	.stats = lsm_stats,
	.recovery = lsm_recovery,
};
