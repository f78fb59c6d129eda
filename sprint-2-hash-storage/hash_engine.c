/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_engine.c - the hash engine's table of functions: open, close, stats; see
 * hash_engine.h for the idea and hash_store.h for the map of its files.
 *
 * A store's directory:
 *
 *   STORE               identity: id, seed of the hashes, segment size; written last
 *   INDEX               checkpoint of the index; may be missing
 *   NNNNNNNNNNNN.log    segments; *.spare: files kept for later segments
 *   LOCK                held by the process that has the store open
 */
#include "hash_format.h"
#include "hash_store.h"

int hash_identity_write(struct hash_store *s, const char *dir)
{
	const struct hash_identity i = {
		.major = HASH_IDENTITY_MAJOR,
		.minor = HASH_IDENTITY_MINOR,
		.function = (uint32_t)s->option[HASH_FUNCTION],
		.id = s->id,
		.seed = s->seed,
		.segment_bytes = s->option[HASH_SEGMENT_BYTES],
	};
	uint8_t identity[HASH_IDENTITY_BYTES];

	hash_identity_encode(&i, identity);
	return env_write_file(s->base.env, dir, "STORE", identity, sizeof(identity));
}

/* What was fixed when the store was made wins over the options of this open. */
static int take_identity(struct hash_store *s, const struct kv_buf *b, struct kv_msg *why)
{
	struct hash_identity i;
	struct kv_msg reason;
	int error = hash_identity_decode(&i, b->data, b->len, &reason);

	if (error)
		return kv_fail(why, error, "%s/STORE: %s", s->dir, reason.text);
	s->option[HASH_FUNCTION] = i.function;
	s->id = i.id;
	s->seed = i.seed;
	s->option[HASH_SEGMENT_BYTES] = i.segment_bytes;
	return 0;
}

/* ---- open ---- */

static int find_foreign(void *arg, const char *name)
{
	size_t n = strlen(name);

	(void)arg;
	return n > 4 && !strcmp(name + n - 4, ".log") ? -EEXIST : 0;
}

static int create_store(struct hash_store *s, struct kv_msg *why)
{
	struct env *env = s->base.env;
	int error = env->ops->list(env, s->dir, find_foreign, NULL);

	if (error == -EEXIST)
		return kv_fail(
			why, -EBADMSG,
			"%s: has log segments and no STORE: an unfinished backup, to "
			"be made anew, or a store that lost its identity, to be salvaged",
			s->dir);
	s->id = env->ops->random(env);
	s->seed = env->ops->random(env);
	if (!error)
		error = env_sync_parent(env, s->dir);
	if (!error)
		error = hash_identity_write(s, s->dir);
	return error ? kv_fail(why, error, "%s: a store cannot be made here", s->dir) : 0;
}

static int identify(struct hash_store *s, struct kv_msg *why)
{
	struct kv_buf b = { 0 };
	char path[ENV_PATH_MAX];
	int error = env_path(path, s->dir, "STORE");

	if (!error)
		error = env_read_file(s->base.env, path, HASH_IDENTITY_BYTES, &b);
	if (error == -ENOENT)
		error = create_store(s, why);
	else if (error)
		error = kv_fail(why, error == -EFBIG ? -EBADMSG : error,
				"%s: cannot be read", path);
	else
		error = take_identity(s, &b, why);
	kv_buf_free(&b);
	return error;
}

static int check_options(const struct hash_store *s, struct kv_msg *why)
{
	uint64_t segment = s->option[HASH_SEGMENT_BYTES];

	if (segment & (segment - 1))
		return kv_fail(why, -EINVAL, "segment_bytes must be a power of two");
	return 0;
}

static void store_free(struct hash_store *s)
{
	struct hash_retired *r, *next;

	if (s->wake)
		s->base.env->ops->cond_free(s->base.env, s->wake);
	hash_index_free(s->index);
	epoch_free(s->epoch);
	for (r = s->retired; r; r = next) {
		next = r->next;
		port_free(r);
	}
	port_free(s->grave);
	if (s->owner)
		s->base.env->ops->unlock(s->base.env, s->owner);
	port_mutex_destroy(&s->lock);
	port_mutex_destroy(&s->batch_lock);
	port_mutex_destroy(&s->evict_lock);
	port_free_aligned(s);
}

static struct hash_store *store_new(struct env *env, const char *dir, const uint64_t *opt)
{
	struct hash_store *s = port_alloc_aligned(64, sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->base = (struct kv){ &hash_engine, env };
	memcpy(s->dir, dir, strlen(dir) + 1);
	memcpy(s->option, opt, sizeof(s->option));
	s->batch_floor = UINT64_MAX;
	port_mutex_init(&s->lock);
	port_mutex_init(&s->batch_lock);
	port_mutex_init(&s->evict_lock);
	return s;
}

static int hash_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why)
{
	struct hash_store *s;
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
		error = identify(s, why);
	if (error)
		goto fail;
	s->function = hash_function_get(s->option[HASH_FUNCTION]);
	error = env->ops->cond_new(env, &s->wake);
	if (!error)
		error = epoch_new(&s->epoch);
	if (error) {
		(void)kv_fail(why, error, "no memory to open %s", dir);
		goto fail;
	}
	error = hash_recover(s, why);
	if (error)
		goto fail;
	error = hash_cleaner_start(s);
	if (error) {
		(void)kv_fail(why, error, "%s: the cleaning task cannot be started", dir);
		(void)log_close(s->log);
		goto fail;
	}
	*out = &s->base;
	return 0;
fail:
	store_free(s);
	return error;
}

static int hash_close(struct kv *kv)
{
	struct hash_store *s = hash_store(kv);
	int error;

	hash_cleaner_stop(s);
	/* Failing costs the next open time, and no data. */
	(void)hash_checkpoint_write(s);
	error = log_close(s->log);
	s->log = NULL;
	store_free(s);
	return error;
}

/* ---- looking after it ---- */

static int hash_sync(struct kv *kv)
{
	struct hash_store *s = hash_store(kv);

	return log_sync(s->log, log_end(s->log) - 1);
}

static void hash_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	struct hash_store *s = hash_store(kv);
	struct hash_index_stats ix;
	int64_t live = 0, keys = 0;
	unsigned int i;

	hash_index_stats(s->index, &ix);
	for (i = 0; i < HASH_SHARDS; i++) {
		hash_index_lock(s->index, i);
		live += s->count[i].live_bytes;
		keys += s->count[i].keys;
		hash_index_unlock(s->index, i);
	}
	emit(arg, "keys", keys > 0 ? (uint64_t)keys : 0);
	emit(arg, "live_bytes", live > 0 ? (uint64_t)live : 0);
	emit(arg, "segment_bytes", log_file_bytes(s->log));
	emit(arg, "index_entries", ix.entries);
	emit(arg, "index_bytes", ix.bytes);
	emit(arg, "index_leaves", ix.leaves);
	emit(arg, "index_splits", ix.splits);
	emit(arg, "index_longest_split", ix.longest_split_entries);
	port_mutex_lock(&s->lock);
	emit(arg, "snapshots", s->snapshots);
	emit(arg, "deletes_in_index", s->graves);
	emit(arg, "segments_cleaned", s->stat_cleaned);
	emit(arg, "clean_moved_bytes", s->stat_moved_bytes);
	emit(arg, "clean_error", (uint64_t)-s->clean_error);
	emit(arg, "segments_reclaimed", s->stat_reclaimed);
	emit(arg, "write_stalls", s->stat_stalls);
	emit(arg, "write_stall_ns", s->stat_stall_ns);
	emit(arg, "deletes_dropped", s->stat_tombstones_dropped);
	emit(arg, "checkpoints", s->stat_checkpoints);
	emit(arg, "pairs_evicted", s->stat_evicted);
	port_mutex_unlock(&s->lock);
	log_stats(s->log, emit, arg);
	env_stats(s->base.env, emit, arg);
}

static void hash_recovery(struct kv *kv, struct kv_recovery *out)
{
	*out = hash_store(kv)->recovery;
}

static const struct kv_opt hash_opts[] = {
	[HASH_MEMORY_BYTES] = { "memory_bytes",
				"budget of caches; the index is not a cache and comes on top",
				NULL, 256 << 20, 0, UINT64_MAX },
	[HASH_GROUP_MS] = { "group_ms", "how long a group write may stay volatile", NULL,
			    100, 1, 60000 },
	[HASH_SEGMENT_BYTES] = { "segment_bytes",
				 "of a log segment, a power of two; fixed at creation",
				 NULL, 8 << 20, HASH_SEGMENT_MIN, HASH_SEGMENT_MAX },
	[HASH_MAP] = { "map", "log files in memory maps, or by read and write", "off|on",
		       1, 0, 1 },
	[HASH_TABLE] = { "table", "collision strategy of the index",
			 "chaining|linear|robin-hood|cuckoo|swiss", 4, 0, 4 },
	[HASH_FUNCTION] = { "function", "of keys; fixed at creation",
			    "xxh3|xxh64|crc32c|fnv1a", 0, 0, 3 },
	[HASH_LEAF] = { "leaf", "entries of the largest index leaf", NULL, 3584,
			HASH_TABLE_MIN, HASH_TABLE_MAX },
	[HASH_LOAD_PERCENT] = { "load_percent", "a leaf splits when it is this full",
				NULL, 100, 25, 100 },
	[HASH_EXPECTED] = { "expected", "pairs that the index is made for at once", NULL,
			    0, 0, 1ull << 32 },
	[HASH_CHECK_READS] = { "check_reads", "verify the checksum of each value read",
			       "off|on", 1, 0, 1 },
	[HASH_CLEAN_PERCENT] = { "clean_percent",
				 "clean segments when this much of the log is dead; 100: never",
				 NULL, 50, 5, 100 },
	[HASH_CLEAN_RATE] = { "clean_rate",
			      "bytes a second that cleaning may move; 0: any", NULL,
			      128 << 20, 0, UINT64_MAX },
	[HASH_CHECKPOINT_BYTES] = { "checkpoint_bytes",
				    "write the index out after this much log; 0: at close",
				    NULL, 1 << 30, 0, UINT64_MAX },
	[HASH_EVICT] = { "evict",
			 "a cache: when there is no room, the pairs that were written longest "
			 "ago go, instead of an error",
			 "off|on", 0, 0, 1 },
	[HASH_OPTIONS] = { 0 },
};

const struct kv_ops hash_engine = {
	.name = "hash",
	.summary = "an index in memory over a log on disk: point reads and writes",
	.caps = KV_CAP_CURSOR | KV_CAP_SNAPSHOT | KV_CAP_BATCH | KV_CAP_PERSISTENT |
		KV_CAP_DURABLE | KV_CAP_CRASH_SAFE | KV_CAP_BACKUP | KV_CAP_VERIFY,
	.opts = hash_opts,
	.open = hash_open,
	.close = hash_close,
	.get = hash_get,
	.multi_get = hash_multi_get,
	.write = hash_write,
	.snapshot = hash_snapshot,
	.release = hash_release,
	.cursor = hash_cursor,
	.sync = hash_sync,
	.compact = hash_compact,
	.backup = hash_backup,
	.verify = hash_verify,
	.stats = hash_stats,
	.recovery = hash_recovery,
};
