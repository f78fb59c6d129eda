/* SPDX-License-Identifier: MIT */
/*
 * lsm_mutant_tests.c - the crash test tested: the LSM engine with one mistake of durability at a
 * time, each of which the crash test must notice.
 *
 * Some are made in the engine's name by an env that does not do what it is asked for
 * (env_liar.h). The others stand between the engine's own files: the linker's --wrap leads the
 * calls named below through here, so that the engine's sources need no hooks. The manifest is a
 * log like the one of writes; what is said below of the log is true of the latter alone, but
 * where a mistake is in the log's own files.
 *
 * Under sanitizers and Valgrind one mistake in eight is made.
 */
#include "../../sprint-2-hash-storage/log_internal.h"
#include "../../sprint-2-hash-storage/tests/kv_crash.h"
#include "../lsm_output.h"
#include "../lsm_store.h"
#include "../lsm_version_internal.h"

#include "../../sprint-2-hash-storage/tests/env_liar.h"

enum mistake {
	NONE,
	NO_LOG_CRC,          /* a record's header alone says that it is one */
	NO_LOG_ID,           /* records of a file's life before pass for new */
	WRITE_UNSYNCED,      /* a `sync` write does not wait for its sync */
	GROUP_NEVER,         /* nobody syncs for `group` writes */
	BATCH_APART,         /* a batch is written as records that stand alone */
	NO_END_MARK,         /* a full segment does not say that another follows */
	TAIL_STAYS,          /* a torn tail is not marked as the log's end */
	SEGMENTS_STAY,       /* what came after a torn tail is not removed */
	SYNC_FORGETS,        /* kv_sync() syncs nothing */
	RECOVERED_UNSYNCED,  /* what was replayed is not made durable */
	REPLAY_LATE,         /* replay begins one record too late */
	REPLAY_NO_DELETES,   /* ... or does not take deletes */
	FLUSH_AHEAD,         /* a flush commits what the log has not made durable */
	LOG_RETIRED_EARLY,   /* the log goes when a flush begins */
	POSITION_TOO_FAR,    /* an edit says that more was flushed than was */
	POSITION_IN_COMPACT, /* ... or that all was, when it is of a compaction */
	EDIT_UNSYNCED,       /* an edit is not waited for */
	INPUTS_GO_FIRST,     /* a compaction's inputs are removed before the edit */
	NAMES_AFTER_EDIT,    /* the directory is synced after the edit that names files */
	WHOLE_LATE,          /* the manifest goes before the whole version is written */
	STORE_FIRST,         /* STORE is written before there is a manifest */
	TOMBSTONES_DROPPED,  /* deletes go above the bottom */
	TOMBSTONES_UNFLUSHED, /* ... or with the flush */
	RANGES_DROPPED,       /* range tombstones are not written to tables */
	SNAPSHOTS_IGNORED,    /* compactions keep the newest version alone */
	VALUES_CUT,           /* blob files get half of a large value */
};

static unsigned int mistake; /* enum mistake */
static __thread unsigned int in_write, in_open, in_flush, in_commit;
static struct log *the_log;
static struct env_liar liar; /* RECOVERED_UNSYNCED, NAMES_AFTER_EDIT */

/* ---- the log ---- */

uint32_t __real_log_record_crc(const uint8_t *header, uint32_t payload_crc);
uint32_t __real_log_id(uint64_t store_id, uint64_t number);
int __real_log_append(struct log *log, struct log_item *item, size_t n,
		      unsigned int flags);
int __real_log_sync(struct log *log, uint64_t position);
int __real_log_sync_from(struct log *log, uint64_t position);
void __real_log_sync_later(struct log *log, uint64_t position);
int __real_log_segment_end(struct log_segment_file *s, uint32_t unsynced);
int __real_log_segment_discard(struct log *log, uint64_t number, bool keep_as_spare);
int __real_log_open(const struct log_config *c, uint64_t from, log_record_fn *replay,
		    void *arg, struct log_recovery *found, struct log **out,
		    struct kv_msg *why);
int __real_log_close(struct log *log);

uint32_t __wrap_log_record_crc(const uint8_t *header, uint32_t payload_crc)
{
	return mistake == NO_LOG_CRC ? port_get_le32(header)
				     : __real_log_record_crc(header, payload_crc);
}

uint32_t __wrap_log_id(uint64_t store_id, uint64_t number)
{
	return mistake == NO_LOG_ID ? 1 : __real_log_id(store_id, number);
}

/* Step by step; the engine takes the end of the last for the end of its record. */
static int append_apart(struct log *log, struct log_item *item, unsigned int flags)
{
	struct log_item one = *item;
	uint64_t end = 0;
	int error = 0;

	one.parts = 3;
	for (; !error && one.part < item->part + item->parts; one.part += 3) {
		error = __real_log_append(log, &one, 1, flags & ~(unsigned)LOG_NOWAIT);
		end = one.position + log_items_bytes(&one, 1);
	}
	item->position = end - log_items_bytes(item, 1);
	return error;
}

int __wrap_log_append(struct log *log, struct log_item *item, size_t n,
		      unsigned int flags)
{
	if (mistake == BATCH_APART && n == 1 && item->parts > 3)
		return append_apart(log, item, flags);
	return __real_log_append(log, item, n, flags);
}

int __wrap_log_sync(struct log *log, uint64_t position)
{
	if (log != the_log)
		return mistake == EDIT_UNSYNCED && in_commit
			       ? 0
			       : __real_log_sync(log, position);
	if ((mistake == WRITE_UNSYNCED && in_write) ||
	    (mistake == SYNC_FORGETS && !in_write && !in_flush))
		return 0;
	return __real_log_sync(log, position);
}

int __wrap_log_sync_from(struct log *log, uint64_t position)
{
	return mistake == FLUSH_AHEAD ? 0 : __real_log_sync_from(log, position);
}

void __wrap_log_sync_later(struct log *log, uint64_t position)
{
	if (mistake != GROUP_NEVER)
		__real_log_sync_later(log, position);
}

int __wrap_log_segment_end(struct log_segment_file *s, uint32_t unsynced)
{
	if (mistake == (in_open ? TAIL_STAYS : NO_END_MARK))
		return 0;
	return __real_log_segment_end(s, unsynced);
}

int __wrap_log_segment_discard(struct log *log, uint64_t number, bool keep_as_spare)
{
	if (mistake == SEGMENTS_STAY && in_open)
		return 0;
	return __real_log_segment_discard(log, number, keep_as_spare);
}

struct late {
	log_record_fn *replay;
	void *arg;
	bool begun;
};

static int replay_late(void *arg, const struct log_record *r)
{
	struct late *l = arg;

	if (!l->begun) {
		l->begun = true;
		return 0;
	}
	return l->replay(l->arg, r);
}

static bool is_manifest(const char *dir)
{
	return strstr(dir, "manifest");
}

int __wrap_log_open(const struct log_config *c, uint64_t from, log_record_fn *replay,
		    void *arg, struct log_recovery *found, struct log **out,
		    struct kv_msg *why)
{
	struct late l = { replay, arg, mistake != REPLAY_LATE };
	struct log_config config = *c;
	int error;

	if (is_manifest(c->dir))
		return __real_log_open(c, from, replay, arg, found, out, why);
	if (mistake == RECOVERED_UNSYNCED) {
		liar.lies = LIE_SYNC;
		config.env = env_liar_wrap(&liar, c->env);
	}
	in_open++;
	error = __real_log_open(&config, from, replay_late, &l, found, out, why);
	in_open--;
	liar.lies = 0;
	the_log = error ? NULL : *out;
	return error;
}

int __wrap_log_close(struct log *log)
{
	if (log == the_log)
		the_log = NULL;
	return __real_log_close(log);
}

static int find_sealed(void *arg, const struct log_segment *s)
{
	uint64_t *number = arg;

	if (!s->sealed)
		return 0;
	*number = s->number;
	return 1;
}

static void retire_sealed(struct log *log)
{
	uint64_t number;

	while (log && log_segments(log, find_sealed, &number))
		if (log_retire(log, number) || log_reclaim(log, number))
			return;
}

/* ---- writing ---- */

int __real_lsm_write(struct kv *kv, const struct kv_op *op, size_t n,
		     enum kv_durability how);
void __real_lsm_memtable_insert(struct lsm_memtable *t, struct lsm_room *room,
				struct kv_slice key, uint64_t hash, uint64_t stamp,
				struct kv_slice value);

int __wrap_lsm_write(struct kv *kv, const struct kv_op *op, size_t n,
		     enum kv_durability how)
{
	int error;

	in_write++;
	error = __real_lsm_write(kv, op, n, how);
	in_write--;
	return error;
}

void __wrap_lsm_memtable_insert(struct lsm_memtable *t, struct lsm_room *room,
				struct kv_slice key, uint64_t hash, uint64_t stamp,
				struct kv_slice value)
{
	if (mistake == REPLAY_NO_DELETES && in_open && lsm_kind(stamp) == LSM_DELETE)
		return;
	__real_lsm_memtable_insert(t, room, key, hash, stamp, value);
}

/* ---- flushes and compactions ---- */

void __real_lsm_view_make_ahead(struct lsm_store *s);
int __real_lsm_flush(const struct lsm_work *w, struct lsm_memtable *t,
		     struct lsm_edit *edit, struct lsm_work_stats *stats,
		     struct kv_msg *why);
int __real_lsm_compact(const struct lsm_work *w, struct lsm_version *v,
		       const struct lsm_pick *p, struct lsm_edit *edit,
		       struct lsm_work_stats *stats, struct kv_msg *why);
int __real_lsm_output(const struct lsm_output_config *c, struct lsm_cursor *from,
		      struct kv_msg *why);
bool __real_lsm_keep_tombstone(const struct lsm_keep_config *c,
			       const struct lsm_tombstone *t);
int __real_lsm_snapshot_list(struct lsm_store *s, uint64_t **out, size_t *n);
int __real_lsm_blob_builder_add(struct lsm_blob_builder *b, struct kv_slice key,
				struct kv_slice value, struct lsm_blob_ref *ref,
				struct kv_msg *why);

/* The flusher alone calls it, before each flush. */
void __wrap_lsm_view_make_ahead(struct lsm_store *s)
{
	in_flush = 1;
	__real_lsm_view_make_ahead(s);
}

int __wrap_lsm_flush(const struct lsm_work *w, struct lsm_memtable *t,
		     struct lsm_edit *edit, struct lsm_work_stats *stats,
		     struct kv_msg *why)
{
	if (mistake == LOG_RETIRED_EARLY)
		retire_sealed(the_log);
	return __real_lsm_flush(w, t, edit, stats, why);
}

int __wrap_lsm_compact(const struct lsm_work *w, struct lsm_version *v,
		       const struct lsm_pick *p, struct lsm_edit *edit,
		       struct lsm_work_stats *stats, struct kv_msg *why)
{
	struct lsm_pick pick = *p;

	pick.bottom |= mistake == TOMBSTONES_DROPPED;
	return __real_lsm_compact(w, v, &pick, edit, stats, why);
}

int __wrap_lsm_output(const struct lsm_output_config *c, struct lsm_cursor *from,
		      struct kv_msg *why)
{
	struct lsm_output_config config = *c;

	/* A flush has no version to look at. */
	config.keep.bottom |= mistake == TOMBSTONES_UNFLUSHED && !c->version;
	return __real_lsm_output(&config, from, why);
}

bool __wrap_lsm_keep_tombstone(const struct lsm_keep_config *c,
			       const struct lsm_tombstone *t)
{
	return mistake != RANGES_DROPPED && __real_lsm_keep_tombstone(c, t);
}

int __wrap_lsm_snapshot_list(struct lsm_store *s, uint64_t **out, size_t *n)
{
	int error = __real_lsm_snapshot_list(s, out, n);

	if (mistake == SNAPSHOTS_IGNORED)
		*n = 0;
	return error;
}

int __wrap_lsm_blob_builder_add(struct lsm_blob_builder *b, struct kv_slice key,
				struct kv_slice value, struct lsm_blob_ref *ref,
				struct kv_msg *why)
{
	if (mistake == VALUES_CUT)
		value.len /= 2;
	return __real_lsm_blob_builder_add(b, key, value, ref, why);
}

/* ---- the manifest ---- */

int __real_lsm_versions_commit(struct lsm_versions *vs, struct lsm_edit *e,
			       struct kv_msg *why);
int __real_lsm_versions_create(const struct lsm_versions_config *c,
			       struct lsm_versions **out, struct kv_msg *why);
int __real_lsm_versions_write_whole(struct lsm_versions *vs, const struct lsm_version *v,
				    struct kv_msg *why);

static void unlink_inputs(struct lsm_versions *vs, const struct lsm_edit *e)
{
	struct env *env = vs->config.env;
	char path[ENV_PATH_MAX];
	size_t i;

	for (i = 0; i < e->removes; i++)
		if (!lsm_file_name(path, vs->dir, e->remove[i], LSM_FILE_TABLE))
			(void)env->ops->unlink(env, path);
}

/* The store's own commits are the only ones while its log is open, but for a backup's. */
static bool spoil_edit(struct lsm_versions *vs, struct lsm_edit *e)
{
	if (!the_log || strstr(vs->dir, "backup"))
		return false;
	if (mistake == INPUTS_GO_FIRST)
		unlink_inputs(vs, e);
	if ((mistake == POSITION_TOO_FAR && e->log_position) ||
	    (mistake == POSITION_IN_COMPACT && !e->log_position))
		e->log_position = log_end(the_log);
	return mistake == NAMES_AFTER_EDIT;
}

int __wrap_lsm_versions_commit(struct lsm_versions *vs, struct lsm_edit *e,
			       struct kv_msg *why)
{
	struct env *env = vs->config.env;
	bool late = spoil_edit(vs, e);
	int error;

	if (late) {
		liar.lies = LIE_SYNC_DIR;
		vs->config.env = env_liar_wrap(&liar, env);
	}
	in_commit++;
	error = __real_lsm_versions_commit(vs, e, why);
	in_commit--;
	if (late) {
		liar.lies = 0;
		vs->config.env = env;
		(void)env->ops->sync_dir(env, vs->dir);
	}
	return error;
}

int __wrap_lsm_versions_create(const struct lsm_versions_config *c,
			       struct lsm_versions **out, struct kv_msg *why)
{
	const struct lsm_identity identity = { c->store_id, 64 << 10 };
	int error = 0;

	if (mistake == STORE_FIRST)
		error = lsm_identity_write(c->env, c->dir, &identity);
	return error ? error : __real_lsm_versions_create(c, out, why);
}

/* Those of opening a store. */
int __wrap_lsm_versions_write_whole(struct lsm_versions *vs, const struct lsm_version *v,
				    struct kv_msg *why)
{
	if (mistake == WHOLE_LATE)
		retire_sealed(vs->log);
	return __real_lsm_versions_write_whole(vs, v, why);
}

/* ---- caught or not ---- */

#define SMALL                                                                 \
	"memory_bytes=1m,memtable_bytes=8k,segment_bytes=64k,table_bytes=4k," \
	"block_bytes=512,huge=off,flushed_runs=2,ratio=2,level_bytes=16k"

static const struct kv_crash_config histories[] = {
	{ .options = SMALL, .keys = 16, .steps = 100 },
	{ .options = SMALL ",map=off,style=leveled,blob_bytes=200",
	  .no_snapshots = true },
	{ .options = SMALL ",style=tiered,blob_bytes=100", .keys = 12, .no_sync = true },
	{ .options = SMALL ",style=leveled", .clients = 2, .steps = 60, .preempt = 10 },
};

enum { HISTORIES = sizeof(histories) / sizeof(histories[0]) };

#define MUTANT_ENGINE lsm_engine
#include "../../sprint-2-hash-storage/tests/kv_mutant.h"

/* ---- tests ---- */

#define LOGS     ".spare" /* as which each segment is made, the manifest's too */
#define MANIFEST "manifest/0"
#define TABLE    ".sst"
#define BLOB     ".blob"
#define PARENT   "." /* the directory that the store's stands in */

/* That a table or a blob file could not be written is no lie that works: it is opened, and its
 * end looked at, before an edit names it. */
static const struct mutant_lie lies[] = {
	{ "no sync of logs", LIE_SYNC, LOGS, 0, false },
	{ "no sync of the manifest", LIE_SYNC, MANIFEST, 0, false },
	{ "no sync of tables", LIE_SYNC, TABLE, 0, false },
	{ "tables synced every other time", LIE_SYNC_HALF, TABLE, 0, false },
	{ "tables synced one late", LIE_SYNC_LATE, TABLE, 0, false },
	{ "no sync of blob files", LIE_SYNC, BLOB, 0, false },
	{ "blob files synced one late", LIE_SYNC_LATE, BLOB, 0, false },
	{ "no sync of a backup", LIE_SYNC, "backup", 0, false },
	{ "no sync of STORE", LIE_SYNC, "STORE", 0, true },
	{ "no sync of names", LIE_SYNC_DIR, "store", 0, false },
	{ "no sync of the manifest's names", LIE_SYNC_DIR, "store/manifest", 0, false },
	{ "no sync of the store's name", LIE_SYNC_DIR, PARENT, 0, false },
	{ "logs synced one late", LIE_SYNC_LATE, LOGS, 0, false },
	{ "segments renamed, then synced", LIE_SYNC_RENAMED, LOGS, 0, false },
	{ "STORE renamed by copy", LIE_RENAME_COPY, "STORE", 0, true },
	{ "a log's sync error ignored", LIE_SYNC_ERROR, LOGS, 1u << SIM_SYNC, false },
	{ "a log's sync error retried", LIE_SYNC_RETRY, LOGS, 1u << SIM_SYNC, false },
	{ "a table's sync error ignored", LIE_SYNC_ERROR, TABLE, 1u << SIM_SYNC, false },
	{ "a table's sync error retried", LIE_SYNC_RETRY, TABLE, 1u << SIM_SYNC, false },
	{ "a blob file's error ignored", LIE_SYNC_ERROR, BLOB, 1u << SIM_SYNC, false },
	{ "directory error ignored", LIE_DIR_ERROR, "store", 1u << SIM_SYNC_DIR, false },
	{ "a log's write error ignored", LIE_WRITE_ERROR, LOGS, 1u << SIM_WRITE, false },
	{ "short writes of logs", LIE_WRITE_SHORT, LOGS, 0, false },
	{ "short writes of tables", LIE_WRITE_SHORT, TABLE, 0, false },
	{ "stores kept back", LIE_MAP_PRIVATE, LOGS, 0, false },
};

static void test_catch_each_lie_about_the_device(void **state)
{
	(void)state;
	assert_int_equal(catch_each_lie(lies, sizeof(lies) / sizeof(lies[0])), 0);
}

static void test_catch_each_mistake_of_the_engine(void **state)
{
	static const char *const name[] = {
		[NO_LOG_CRC] = "no CRC of the log",
		[NO_LOG_ID] = "no log id",
		[WRITE_UNSYNCED] = "write not synced",
		[GROUP_NEVER] = "group never synced",
		[BATCH_APART] = "batch in parts",
		[NO_END_MARK] = "no end mark",
		[TAIL_STAYS] = "torn tail stays",
		[SEGMENTS_STAY] = "torn segments stay",
		[SYNC_FORGETS] = "kv_sync does nothing",
		[RECOVERED_UNSYNCED] = "replayed tail not durable",
		[REPLAY_LATE] = "replay begins late",
		[REPLAY_NO_DELETES] = "deletes not replayed",
		[FLUSH_AHEAD] = "flush ahead of the log",
		[LOG_RETIRED_EARLY] = "log retired early",
		[POSITION_TOO_FAR] = "log position too far",
		[POSITION_IN_COMPACT] = "compaction moves position",
		[EDIT_UNSYNCED] = "edit not synced",
		[INPUTS_GO_FIRST] = "inputs go before the edit",
		[NAMES_AFTER_EDIT] = "names synced after the edit",
		[WHOLE_LATE] = "old manifest goes first",
		[STORE_FIRST] = "STORE before the manifest",
		[TOMBSTONES_DROPPED] = "deletes go above the bottom",
		[TOMBSTONES_UNFLUSHED] = "deletes not flushed",
		[RANGES_DROPPED] = "ranges not written",
		[SNAPSHOTS_IGNORED] = "snapshots ignored",
		[VALUES_CUT] = "large values cut",
	};

	(void)state;
	assert_int_equal(
		catch_each_mistake(&mistake, name, sizeof(name) / sizeof(name[0])), 0);
	env_liar_end(&liar);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_pass_without_mistakes),
		LEAK_CHECKED(test_catch_each_lie_about_the_device),
		LEAK_CHECKED(test_catch_each_mistake_of_the_engine),
	};

	(void)unsetenv("KV_CRASH"); /* a replay is of another program's variants */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
