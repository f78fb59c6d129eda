/* SPDX-License-Identifier: MIT */
/*
 * hash_mutant_tests.c - the crash test tested: the hash engine with one mistake of
 * durability at a time, each of which the crash test must notice.
 *
 * Some are made in the engine's name by an env that does not do what it is asked for
 * (env_liar.h). The others stand between the engine's own files: the linker's --wrap leads
 * the calls named below through here, so that the engine's sources need no hooks.
 *
 * Under sanitizers and Valgrind one mistake in eight is made.
 */

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../hash_store.h"
#include "../log_internal.h"
#include "env_liar.h"
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

static enum mistake mistake;
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
};

enum { HISTORIES = sizeof(histories) / sizeof(histories[0]), SEEDS = 3, SYNCS = 40 };

struct trial {
	struct env_sim_fault fault; /* while its nth is not 0 */
	struct env_liar *liar;
	uint64_t disks;
	struct kv_crash_report r;
};

static bool caught_by(struct trial *t, size_t i, uint64_t seed, unsigned int every)
{
	struct kv_crash_config c = histories[i];

	c.name = "mutant";
	c.ops = &hash_engine;
	c.seed = seed;
	c.steps = 100;
	c.keys = 8;
	c.value_max = 5000;
	c.every = every;
	c.samples = 2;
	c.exhaustive = 8;
	c.thorough = 2;
	c.again = 30;
	c.fault = t->fault.nth ? &t->fault : NULL;
	c.wrap = t->liar ? env_liar_wrap : NULL;
	c.wrap_arg = t->liar;
	(void)kv_crash_run(&c, &t->r);
	t->disks += t->r.states + t->r.recoveries;
	if (t->liar)
		env_liar_end(t->liar);
	return *t->r.failed;
}

/* Coarsely first: most mistakes show soon; those in making a store only near its begin. */
static bool caught(struct trial *t, bool at_creation)
{
	static const unsigned int every[] = { 11, 3, 1 };
	uint64_t seed;
	size_t i, k;

	for (k = at_creation ? 2 : 0; k < sizeof(every) / sizeof(every[0]); k++)
		for (seed = 1; seed <= SEEDS; seed++)
			for (i = 0; i < HISTORIES; i++)
				if (caught_by(t, i, seed, every[k]))
					return true;
	return false;
}

/* The same with calls that fail, each in turn, in both homes of the log. */
static bool caught_with_fault(struct trial *t, unsigned int fail)
{
	uint64_t nth;

	for (nth = 1; nth <= SYNCS; nth++) {
		t->fault = (struct env_sim_fault){
			.calls = fail,
			.nth = nth,
			.effect = nth % 2 ? SIM_FAIL : SIM_DROP,
		};
		if (caught_by(t, nth % 2, 1, 7))
			return true;
	}
	return false;
}

static void tell(const char *name, const struct trial *t)
{
	char first[128];

	(void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(t->r.failed, "\n"),
		       t->r.failed);
	print_message("%-28s caught at disk %llu: %s\n", name,
		      (unsigned long long)t->disks, first);
}

static size_t stride(void)
{
	return test_draws(1000) < 1000 ? 8 : 1;
}

/* ---- tests ---- */

#define LOG    "store/0000" /* paths of its segments and of the files kept for them */
#define PARENT "."          /* the directory that the store's stands in */

static const struct {
	const char *name;
	unsigned int lies;
	const char *only;
	unsigned int fail; /* calls of the device that fail; 0: none */
} lies[] = {
	{ "no sync of the log", LIE_SYNC, LOG, 0 },
	{ "no sync of STORE", LIE_SYNC, "STORE", 0 },
	{ "no sync of a backup", LIE_SYNC, "backup", 0 },
	{ "no sync of names", LIE_SYNC_DIR, "store", 0 },
	{ "no sync of the store's name", LIE_SYNC_DIR, PARENT, 0 },
	{ "sync one late", LIE_SYNC_LATE, LOG, 0 },
	{ "segment renamed, then synced", LIE_SYNC_RENAMED, LOG, 0 },
	{ "STORE renamed, then synced", LIE_SYNC_RENAMED, "STORE", 0 },
	{ "STORE renamed by copy", LIE_RENAME_COPY, "STORE", 0 },
	{ "STORE written in place", LIE_IN_PLACE, "STORE", 0 },
	{ "sync error ignored", LIE_SYNC_ERROR, LOG, 1u << SIM_SYNC },
	{ "sync error retried", LIE_SYNC_RETRY, LOG, 1u << SIM_SYNC },
	{ "directory error ignored", LIE_DIR_ERROR, "store", 1u << SIM_SYNC_DIR },
	{ "write error ignored", LIE_WRITE_ERROR, LOG, 1u << SIM_WRITE },
	{ "short writes", LIE_WRITE_SHORT, LOG, 0 },
	{ "segment cut too early", LIE_TRUNCATE, LOG, 0 },
	{ "stores kept back", LIE_MAP_PRIVATE, LOG, 0 },
};

static void test_catch_each_lie_about_the_device(void **state)
{
	size_t i, missed = 0;

	(void)state;
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i += stride()) {
		struct env_liar liar = { .lies = lies[i].lies, .only = lies[i].only };
		struct trial t = { .liar = &liar };
		bool store = lies[i].only[0] == 'S';

		if (lies[i].fail ? caught_with_fault(&t, lies[i].fail)
				 : caught(&t, store)) {
			tell(lies[i].name, &t);
			continue;
		}
		print_error("%s: not caught in %llu disks\n", lies[i].name,
			    (unsigned long long)t.disks);
		missed++;
	}
	assert_int_equal(missed, 0);
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
	size_t i, missed = 0;

	(void)state;
	for (i = 1; i < sizeof(name) / sizeof(name[0]); i += stride()) {
		struct trial t = { 0 };
		bool yes;

		mistake = (enum mistake)i;
		yes = caught(&t, false);
		mistake = NONE;
		if (yes) {
			tell(name[i], &t);
			continue;
		}
		print_error("%s: not caught in %llu disks\n", name[i],
			    (unsigned long long)t.disks);
		missed++;
	}
	assert_int_equal(missed, 0);
}

/* Without a mistake the same histories pass: it is the mistakes that are caught. */
static void test_pass_without_mistakes(void **state)
{
	struct env_liar honest = { 0 };
	struct trial t = { .liar = &honest };
	size_t i;

	(void)state;
	for (i = 0; i < HISTORIES; i += stride())
		if (caught_by(&t, i, 1, 11))
			fail_msg("%s", t.r.failed);
	t.liar = NULL;
	if (stride() == 1 && caught_with_fault(&t, 1u << SIM_SYNC))
		fail_msg("%s", t.r.failed);
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
