/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_engine.c - the B+tree engine's table of functions: options, open, close, stats; see
 * btree_engine.h for the idea and btree_store.h for the map of its files.
 *
 * A store's directory:
 *
 *   TREE                the pages, superblocks among them; see btree_pager.h
 *   NNNNNNNNNNNN.log    what was written since the last checkpoint; *.spare: files kept for
 *                       later segments
 *   LOCK                held by the process that has the store open
 */
#include "btree_store.h"

/* ---- options ---- */

enum {
	PAGES_MIN = 64, /* of memory: a few paths, and what a split of all levels takes */
};

struct btree_pager_config btree_pager_options(const struct btree_store *s,
					      const char *path)
{
	return (struct btree_pager_config){
		.env = s->base.env,
		.path = path,
		.page_bytes = (uint32_t)s->option[BTREE_PAGE_BYTES],
		.memory_bytes = s->option[BTREE_MEMORY_BYTES],
		.huge = s->option[BTREE_HUGE],
		.lock = s->option[BTREE_MLOCK],
	};
}

uint32_t btree_option_max_keys(const struct btree_store *s)
{
	uint64_t max = s->option[BTREE_MAX_KEYS];

	return max ? (uint32_t)max : UINT16_MAX;
}

static uint32_t overflow_max(uint32_t page_bytes)
{
	const struct btree_shape shape = { .page_bytes = page_bytes };

	return (uint32_t)btree_entry_max(&shape);
}

uint32_t btree_option_overflow(const struct btree_store *s)
{
	uint64_t bytes = s->option[BTREE_OVERFLOW_BYTES];

	return bytes ? (uint32_t)bytes
		     : overflow_max((uint32_t)s->option[BTREE_PAGE_BYTES]);
}

int btree_options_fit(const struct btree_store *s, struct kv_msg *why)
{
	uint64_t page = s->option[BTREE_PAGE_BYTES];
	uint32_t most = overflow_max((uint32_t)page);

	if (s->option[BTREE_MEMORY_BYTES] < PAGES_MIN * page)
		return kv_fail(why, -EINVAL,
			       "memory_bytes must be at least %llu, %d pages of the "
			       "store's",
			       (unsigned long long)(PAGES_MIN * page), PAGES_MIN);
	if (s->option[BTREE_OVERFLOW_BYTES] > most)
		return kv_fail(why, -EINVAL,
			       "overflow_bytes must be at most %u with the store's pages "
			       "of %llu bytes",
			       most, (unsigned long long)page);
	return 0;
}

/* What can be told without the store; what depends on its pages is told when they are known:
 * those of a store that is there count, and not the option. */
static int check_options(const struct btree_store *s, struct kv_msg *why)
{
	uint64_t page = s->option[BTREE_PAGE_BYTES],
		 segment = s->option[BTREE_SEGMENT_BYTES],
		 max = s->option[BTREE_MAX_KEYS];

	if (page & (page - 1))
		return kv_fail(why, -EINVAL, "page_bytes must be a power of two");
	if (segment & (segment - 1))
		return kv_fail(why, -EINVAL, "segment_bytes must be a power of two");
	if (max && max < 4)
		return kv_fail(why, -EINVAL, "max_keys must be 0 or at least 4");
	return 0;
}

/* ---- open ---- */

static void store_free(struct btree_store *s)
{
	if (s->tree.pager)
		btree_tree_free(&s->tree);
	btree_pager_close(s->pager);
	if (s->wake)
		s->base.env->ops->cond_free(s->base.env, s->wake);
	if (s->owner)
		s->base.env->ops->unlock(s->base.env, s->owner);
	btree_snapshots_free(s);
	port_free(s->keep);
	port_mutex_destroy(&s->task_lock);
	port_mutex_destroy(&s->write_lock);
	port_free_aligned(s);
}

static struct btree_store *store_new(struct env *env, const char *dir,
				     const uint64_t *opt)
{
	struct btree_store *s = port_alloc_aligned(64, sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->base = (struct kv){ &btree_engine, env };
	memcpy(s->dir, dir, strlen(dir) + 1);
	memcpy(s->option, opt, sizeof(s->option));
	port_mutex_init(&s->write_lock);
	port_mutex_init(&s->task_lock);
	return s;
}

/* The tasks' and the lists' beginnings. */
static int make_parts(struct btree_store *s, struct kv_msg *why)
{
	struct env *env = s->base.env;
	int error = env->ops->cond_new(env, &s->wake);

	if (!error) {
		port_mutex_lock(&s->write_lock);
		error = btree_keep_room(s);
		port_mutex_unlock(&s->write_lock);
	}
	return error ? kv_fail(why, error, "no memory to open %s", s->dir) : 0;
}

static int btree_open(struct env *env, const char *dir, const uint64_t *opt,
		      struct kv **out, struct kv_msg *why)
{
	struct btree_store *s;
	int error;

	if (strlen(dir) >= ENV_PATH_MAX - 32)
		return kv_fail(why, -ENAMETOOLONG, "the store's path is too long");
	s = store_new(env, dir, opt);
	if (!s)
		return kv_fail(why, -ENOMEM, "no memory to open %s", dir);
	error = check_options(s, why);
	if (!error)
		error = env_take_dir(env, s->dir, &s->owner, why);
	if (!error)
		error = make_parts(s, why);
	if (!error)
		error = btree_recover(s, why);
	if (error)
		goto fail;
	error = btree_checkpoint_start(s);
	if (error) {
		(void)kv_fail(why, error, "%s: the checkpoint task cannot be started",
			      dir);
		(void)log_close(s->log);
		goto fail;
	}
	*out = &s->base;
	return 0;
fail:
	store_free(s);
	return error;
}

static int btree_close(struct kv *kv)
{
	struct btree_store *s = btree_store(kv);
	int error;

	btree_checkpoint_stop(s);
	/* Failing costs the next open time, and no data: the log has it. */
	(void)btree_checkpoint_now(s, NULL);
	error = log_close(s->log);
	store_free(s);
	return error;
}

/* ---- looking after it ---- */

static int btree_sync(struct kv *kv)
{
	struct btree_store *s = btree_store(kv);

	return log_sync(s->log, log_end(s->log) - 1);
}

/* What the oldest snapshot keeps: how many generations are behind it. Counts them as well:
 * those that somebody has, by each who has it. */
static uint64_t oldest_snapshot_age(const struct btree_store *s, uint64_t *snapshots)
{
	const struct kv_snapshot *snap;
	uint64_t oldest = s->tree.generation;
	uint32_t references;

	*snapshots = 0;
	for (snap = s->newest; snap; snap = snap->older) {
		references = port_load_relaxed(&snap->references) & ~BTREE_SNAPSHOT_OLD;
		if (references)
			oldest = snap->version.generation;
		*snapshots += references;
	}
	return s->tree.generation - oldest;
}

static void tree_stats(struct btree_store *s, kv_stat_fn *emit, void *arg)
{
	const struct btree_findings *f = &s->findings;
	uint64_t nodes, age, snapshots, page_bytes = s->tree.shape->page_bytes;

	port_mutex_lock(&s->write_lock);
	emit(arg, "keys", s->visible.keys);
	emit(arg, "tree_levels", s->visible.levels);
	emit(arg, "tree_generation", s->tree.generation);
	emit(arg, "tree_splits", s->tree.splits);
	emit(arg, "tree_merges", s->tree.merges);
	emit(arg, "tree_balances", s->tree.balances);
	emit(arg, "tree_copies", s->tree.copies);
	emit(arg, "writes_in_place", s->stat_in_place);
	emit(arg, "writes_private", s->stat_private);
	age = oldest_snapshot_age(s, &snapshots);
	emit(arg, "snapshots", snapshots);
	emit(arg, "snapshot_oldest_generations", age);
	emit(arg, "stopped", (uint64_t)-s->stopped);
	nodes = f->leaves + f->inner;
	emit(arg, "verified_leaf_pages", f->leaves);
	emit(arg, "verified_inner_pages", f->inner);
	emit(arg, "verified_overflow_pages", f->overflow);
	emit(arg, "verified_fill_percent",
	     nodes ? f->used_bytes * 100 / (nodes * page_bytes) : 0);
	port_mutex_unlock(&s->write_lock);
}

static void pager_stats(struct btree_store *s, kv_stat_fn *emit, void *arg)
{
	struct btree_pager_stats p;

	btree_pager_stats(s->pager, &p);
	emit(arg, "page_bytes", s->tree.shape->page_bytes);
	emit(arg, "file_bytes", p.file_bytes);
	emit(arg, "free_bytes", p.free_bytes);
	emit(arg, "held_bytes", p.held_bytes);
	emit(arg, "resident_bytes", p.resident_bytes);
	emit(arg, "dirty_bytes", p.dirty_bytes);
	emit(arg, "locked_bytes", p.locked_bytes);
	emit(arg, "page_reads", p.reads);
	emit(arg, "page_read_bytes", p.read_bytes);
	emit(arg, "page_writes", p.writes);
	emit(arg, "page_written_bytes", p.written_bytes);
	emit(arg, "page_evictions", p.evictions);
	emit(arg, "checkpoint_pages", p.checkpoint_pages);
}

static void btree_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct btree_store *s = btree_store(kv);

	tree_stats(s, emit, arg);
	pager_stats(s, emit, arg);
	port_mutex_lock(&s->task_lock);
	emit(arg, "checkpoints", s->checkpoints);
	emit(arg, "checkpoint_ns", s->checkpoint_ns);
	emit(arg, "checkpoint_error", (uint64_t)-s->checkpoint_error);
	port_mutex_unlock(&s->task_lock);
	emit(arg, "log_since_checkpoint",
	     log_end(s->log) - port_load_relaxed(&s->checkpoint_position));
	emit(arg, "write_stalls", port_load_relaxed(&s->stat_stalls));
	emit(arg, "write_stall_ns", port_load_relaxed(&s->stat_stall_ns));
	emit(arg, "segment_bytes", log_file_bytes(s->log));
	log_stats(s->log, emit, arg);
}

static void btree_recovery(struct kv *kv, struct kv_recovery *out)
{
	*out = btree_store(kv)->recovery;
}

static const struct kv_opt btree_opts[] = {
	[BTREE_MEMORY_BYTES] = { "memory_bytes", "budget of pages in memory", NULL,
				 1 << 30, PAGES_MIN *BTREE_PAGE_MIN, UINT64_MAX },
	[BTREE_GROUP_MS] = { "group_ms", "how long a group write may stay volatile", NULL,
			     100, 1, 60000 },
	[BTREE_PAGE_BYTES] = { "page_bytes",
			       "of a page, a power of two; fixed at creation", NULL, 4096,
			       BTREE_PAGE_MIN, BTREE_PAGE_MAX },
	[BTREE_MAX_KEYS] = { "max_keys",
			     "branching factor: most entries of a node, at least 4; 0: as "
			     "many as fit",
			     NULL, 0, 0, UINT16_MAX },
	[BTREE_OVERFLOW_BYTES] = { "overflow_bytes",
				   "values above it lie on pages of their own; 0: those "
				   "of which two would not fit a page",
				   NULL, 0, 0, BTREE_PAGE_MAX },
	[BTREE_SEGMENT_BYTES] = { "segment_bytes",
				  "of a log segment, a power of two; fixed while there is a "
				  "log",
				  NULL, 8 << 20, 64 << 10, 4ull << 30 },
	[BTREE_CHECKPOINT_BYTES] = { "checkpoint_bytes",
				     "a checkpoint after this much log, or after half of the "
				     "tree's size if that is more, at most 1 GiB",
				     NULL, 256 << 20, 64 << 10, 1ull << 40 },
	[BTREE_CHECKPOINT_RATE] = { "checkpoint_rate",
				    "bytes a second that a checkpoint may write; 0: any",
				    NULL, 0, 0, UINT64_MAX },
	[BTREE_HUGE] = { "huge", "huge pages for the tree, where the system has some",
			 "off|on", 1, 0, 1 },
	[BTREE_MLOCK] = { "mlock", "keep the tree's memory from being swapped out",
			  "off|on", 0, 0, 1 },
	[BTREE_MAP] = { "map", "log files in memory maps, or by read and write", "off|on",
			1, 0, 1 },
	[BTREE_OPTIONS] = { 0 },
};

const struct kv_ops btree_engine = {
	.name = "btree",
	.summary =
		"a B+tree in memory, checkpoints and a log on disk: ordered, for reading",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_SNAPSHOT | KV_CAP_BATCH |
		KV_CAP_DELETE_RANGE | KV_CAP_PERSISTENT | KV_CAP_DURABLE |
		KV_CAP_CRASH_SAFE | KV_CAP_BACKUP | KV_CAP_VERIFY,
	.opts = btree_opts,
	.key_max = BTREE_KEY_MAX,
	.open = btree_open,
	.close = btree_close,
	.get = btree_kv_get,
	.multi_get = btree_kv_multi_get,
	.write = btree_write,
	.snapshot = btree_snapshot,
	.release = btree_release,
	.cursor = btree_cursor,
	.sync = btree_sync,
	.compact = btree_compact,
	.backup = btree_backup,
	.verify = btree_verify,
	.stats = btree_stats,
	.recovery = btree_recovery,
};
