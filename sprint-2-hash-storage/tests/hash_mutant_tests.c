/* SPDX-License-Identifier: MIT */
/*
 * hash_mutant_tests.c - the crash test tested: the hash engine with one mistake of
 * durability at a time, each of which the crash test must notice.
 *
 * Some are made in the engine's name by an env that does not do what it is asked for
 * (env_liar.h). The others stand between the engine's own files: the linker's --wrap leads
 * the calls named below through here, so that the engine's sources need no hooks.
 *
 * Under sanitizers and Valgrind one mistake in eight is made. KV_TORTURE: what must pass without
 * a mistake passes in full.
 */

#include "../hash_store.h"
#include "../log_internal.h"
#include "kv_crash.h"

enum mistake {
	NONE,
	NO_CRC,            /* a record's header alone says that it is one */
	NO_LOG_ID,         /* records of a file's life before pass for new */
	WRITE_UNSYNCED,    /* a `sync` write does not wait for its sync */
	GROUP_NEVER,       /* nobody syncs for `group` writes */
	GROUP_APART,       /* a batch is written as records that stand alone */
	NO_END_MARK,       /* a full segment does not say that another follows */
	TAIL_STAYS,        /* a torn tail is not marked as the log's end */
	SEGMENTS_STAY,     /* what came after a torn tail is not removed */
	CLEAN_UNSYNCED,    /* a cleaned segment goes before its survivors are durable */
	CLEAN_EARLY,       /* ... before it is said to have gone */
	CLEAN_UNSAID,      /* ... and nobody ever says so */
	CLEAN_DELETES,     /* deletes are dropped while older puts may be on disk */
	CHECKPOINT_AHEAD,  /* the index is durable before what it points to */
	DELETES_FORGOTTEN, /* replay does not take deletes */
	SYNC_FORGETS,      /* kv_sync() and close sync nothing */
};

static unsigned int mistake; /* enum mistake */
static __thread unsigned int in_write, in_checkpoint, in_scan, in_open;
static __thread uint64_t retirement; /* where the record is that says so */

/* ---- between the engine's files ---- */

uint32_t __real_log_record_crc(const uint8_t *header, uint32_t payload_crc);
uint32_t __real_log_id(uint64_t store_id, uint64_t number);
int __real_log_append(struct log *log, struct log_item *item, size_t n,
		      unsigned int flags);
int __real_log_sync(struct log *log, uint64_t position);
void __real_log_sync_later(struct log *log, uint64_t position);
int __real_log_segment_end(struct log_segment_file *s, uint32_t unsynced);
int __real_log_segment_discard(struct log *log, uint64_t number, bool keep_as_spare);
int __real_log_retire(struct log *log, uint64_t number);
int __real_log_scan(struct log *log, uint64_t number, log_record_fn *fn, void *arg,
		    struct kv_msg *why);
int __real_log_open(const struct log_config *c, uint64_t from, log_record_fn *replay,
		    void *arg, struct log_recovery *found, struct log **out,
		    struct kv_msg *why);
int __real_hash_write(struct kv *kv, const struct kv_op *op, size_t n,
		      enum kv_durability how);
int __real_hash_checkpoint_write(struct hash_store *s);
bool __real_hash_index_remove(struct hash_index *ix, uint64_t hash, uint64_t address);

uint32_t __wrap_log_record_crc(const uint8_t *header, uint32_t payload_crc)
{
	return mistake == NO_CRC ? port_get_le32(header)
				 : __real_log_record_crc(header, payload_crc);
}

uint32_t __wrap_log_id(uint64_t store_id, uint64_t number)
{
	return mistake == NO_LOG_ID ? 1 : __real_log_id(store_id, number);
}

static int append_apart(struct log *log, struct log_item *item, size_t n,
			unsigned int flags)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < n; i++)
		error = __real_log_append(log, &item[i], 1, flags & ~LOG_NOWAIT);
	return error;
}

/* A record that is thrown away goes nowhere; its owner is told otherwise. */
static bool thrown_away(const struct log_item *item)
{
	bool retire = (item->type & HASH_TYPE) == HASH_RETIRE;

	if (retire || in_write)
		return retire && mistake == CLEAN_UNSAID;
	return mistake == CLEAN_DELETES && (item->type & HASH_TYPE) == HASH_DELETE;
}

int __wrap_log_append(struct log *log, struct log_item *item, size_t n,
		      unsigned int flags)
{
	bool retire = (item->type & HASH_TYPE) == HASH_RETIRE && !in_scan;
	uint64_t number;
	int error;

	if (mistake == GROUP_APART && n > 1)
		return append_apart(log, item, n, flags);
	if (thrown_away(item)) {
		item->position = LOG_SEGMENT_HEADER_BYTES;
		return 0;
	}
	if (retire && mistake == CLEAN_EARLY) {
		number = port_get_le64(item->part[0].data);
		error = __real_log_retire(log, number);
		if (!error)
			error = log_reclaim(log, number);
		if (error)
			return error;
	}
	error = __real_log_append(log, item, n, flags);
	retirement = retire ? item->position : 0;
	return error;
}

int __wrap_log_sync(struct log *log, uint64_t position)
{
	if ((mistake == WRITE_UNSYNCED && in_write) ||
	    (mistake == CHECKPOINT_AHEAD && in_checkpoint) ||
	    (mistake == CLEAN_UNSYNCED && retirement && position == retirement))
		return 0;
	if (mistake == SYNC_FORGETS && !in_write && !in_checkpoint && !retirement)
		return 0;
	return __real_log_sync(log, position);
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

int __wrap_log_retire(struct log *log, uint64_t number)
{
	return mistake == CLEAN_EARLY ? 0 : __real_log_retire(log, number);
}

int __wrap_log_scan(struct log *log, uint64_t number, log_record_fn *fn, void *arg,
		    struct kv_msg *why)
{
	int error;

	in_scan++;
	error = __real_log_scan(log, number, fn, arg, why);
	in_scan--;
	return error;
}

int __wrap_log_open(const struct log_config *c, uint64_t from, log_record_fn *replay,
		    void *arg, struct log_recovery *found, struct log **out,
		    struct kv_msg *why)
{
	int error;

	in_open++;
	error = __real_log_open(c, from, replay, arg, found, out, why);
	in_open--;
	return error;
}

int __wrap_hash_write(struct kv *kv, const struct kv_op *op, size_t n,
		      enum kv_durability how)
{
	int error;

	in_write++;
	error = __real_hash_write(kv, op, n, how);
	in_write--;
	return error;
}

int __wrap_hash_checkpoint_write(struct hash_store *s)
{
	int error;

	in_checkpoint++;
	error = __real_hash_checkpoint_write(s);
	in_checkpoint--;
	return error;
}

bool __wrap_hash_index_remove(struct hash_index *ix, uint64_t hash, uint64_t address)
{
	if (mistake == DELETES_FORGOTTEN && in_open)
		return true;
	return __real_hash_index_remove(ix, hash, address);
}

/* ---- caught or not ---- */

#define SMALL "segment_bytes=64k,leaf=16,checkpoint_bytes=60k,clean_percent=5"

/* Without snapshots an older version is never looked for: then what is gone too early is
 * missed after a crash alone. */
static const struct kv_crash_config histories[] = {
	{ .options = SMALL, .no_snapshots = true },
	{ .options = SMALL ",map=off", .no_snapshots = true },
	{ .options = SMALL },
	{ .options = SMALL, .no_sync = true },
	/* Keys whose old puts outlive their deletes, and no checkpoint that would hide it. */
	{ .options = "segment_bytes=64k,leaf=16,checkpoint_bytes=0,clean_percent=5",
	  .no_snapshots = true,
	  .keys = 32,
	  .value_max = 9000 },
};

enum { HISTORIES = sizeof(histories) / sizeof(histories[0]) };

#define MUTANT_ENGINE hash_engine
#include "kv_mutant.h"

/* ---- tests ---- */

#define LOG    "store/0000" /* paths of its segments and of the files kept for them */
#define PARENT "."          /* the directory that the store's stands in */

static const struct mutant_lie lies[] = {
	{ "no sync of the log", LIE_SYNC, LOG, 0, false },
	{ "no sync of STORE", LIE_SYNC, "STORE", 0, true },
	{ "no sync of a backup", LIE_SYNC, "backup", 0, false },
	{ "no sync of names", LIE_SYNC_DIR, "store", 0, false },
	{ "no sync of the store's name", LIE_SYNC_DIR, PARENT, 0, false },
	{ "sync one late", LIE_SYNC_LATE, LOG, 0, false },
	{ "segment renamed, then synced", LIE_SYNC_RENAMED, LOG, 0, false },
	{ "STORE renamed, then synced", LIE_SYNC_RENAMED, "STORE", 0, true },
	{ "STORE renamed by copy", LIE_RENAME_COPY, "STORE", 0, true },
	{ "STORE written in place", LIE_IN_PLACE, "STORE", 0, true },
	{ "sync error ignored", LIE_SYNC_ERROR, LOG, 1u << SIM_SYNC, false },
	{ "sync error retried", LIE_SYNC_RETRY, LOG, 1u << SIM_SYNC, false },
	{ "directory error ignored", LIE_DIR_ERROR, "store", 1u << SIM_SYNC_DIR, false },
	{ "write error ignored", LIE_WRITE_ERROR, LOG, 1u << SIM_WRITE, false },
	{ "short writes", LIE_WRITE_SHORT, LOG, 0, false },
	{ "segment cut too early", LIE_TRUNCATE, LOG, 0, false },
	{ "stores kept back", LIE_MAP_PRIVATE, LOG, 0, false },
};

static void test_catch_each_lie_about_the_device(void **state)
{
	(void)state;
	assert_int_equal(catch_each_lie(lies, sizeof(lies) / sizeof(lies[0])), 0);
}

static void test_catch_each_mistake_of_the_engine(void **state)
{
	static const char *const name[] = {
		[NO_CRC] = "no CRC",
		[NO_LOG_ID] = "no log id",
		[WRITE_UNSYNCED] = "write not synced",
		[GROUP_NEVER] = "group never synced",
		[GROUP_APART] = "batch in parts",
		[NO_END_MARK] = "no end mark",
		[TAIL_STAYS] = "torn tail stays",
		[SEGMENTS_STAY] = "torn segments stay",
		[CLEAN_UNSYNCED] = "cleaned, not synced",
		[CLEAN_EARLY] = "unlinked early",
		[CLEAN_UNSAID] = "unlinked unsaid",
		[CLEAN_DELETES] = "deletes dropped",
		[CHECKPOINT_AHEAD] = "checkpoint ahead of log",
		[DELETES_FORGOTTEN] = "deletes not replayed",
		[SYNC_FORGETS] = "kv_sync does nothing",
	};

	(void)state;
	assert_int_equal(
		catch_each_mistake(&mistake, name, sizeof(name) / sizeof(name[0])), 0);
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
