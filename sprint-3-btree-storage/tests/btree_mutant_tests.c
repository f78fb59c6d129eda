/* SPDX-License-Identifier: MIT */
/*
 * btree_mutant_tests.c - the crash test tested: the B+tree engine with one mistake of
 * durability at a time, each of which the crash test must notice.
 *
 * Some are made in the engine's name by an env that does not do what it is asked for
 * (env_liar.h). The others stand between the engine's own files: the linker's --wrap leads
 * the calls named below through here, so that the engine's sources need no hooks. That a page's
 * checksum is checked is no matter of crashes, for no torn page is ever looked at:
 * btree_corruption_tests.c shows that.
 *
 * Under sanitizers and Valgrind one mistake in eight is made.
 */
#include "../../sprint-2-hash-storage/log_internal.h"
#include "../../sprint-2-hash-storage/tests/kv_crash.h"
#include "../btree_pager_internal.h"
#include "../btree_store.h"

enum mistake {
	NONE,
	NO_LOG_CRC,        /* a record's header alone says that it is one */
	NO_LOG_ID,         /* records of a file's life before pass for new */
	WRITE_UNSYNCED,    /* a `sync` write does not wait for its sync */
	GROUP_NEVER,       /* nobody syncs for `group` writes */
	BATCH_APART,       /* a batch is written as records that stand alone */
	NO_END_MARK,       /* a full segment does not say that another follows */
	TAIL_STAYS,        /* a torn tail is not marked as the log's end */
	SEGMENTS_STAY,     /* what came after a torn tail is not removed */
	SYNC_FORGETS,      /* kv_sync() and close sync nothing */
	CHECKPOINT_AHEAD,  /* the log is not synced where a checkpoint leaves off */
	LOG_TRUSTED_EARLY, /* ... counts as durable up to there when it begins */
	LOG_RETIRED_EARLY, /* the log goes when the checkpoint begins */
	REPLAY_LATE,       /* replay begins one record too late */
	REPLAY_NO_DELETES, /* ... or does not take deletes */
	FREED_AT_ONCE,     /* a page that was dropped is used again, whoever needs it */
	IN_PLACE,          /* pages of the durable checkpoint are changed in place */
	SUPER_GOES_FIRST,  /* the old superblocks go before the new one is written */
	MAP_FORGETS,       /* the free map has a page in use as free */
	ROOT_OLD,          /* the superblock has the root of the checkpoint before */
};

static unsigned int mistake; /* enum mistake */
static __thread unsigned int in_write, in_checkpoint, in_open;
static struct log *the_log;

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
	if ((mistake == WRITE_UNSYNCED && in_write) ||
	    (mistake == SYNC_FORGETS && !in_write && !in_checkpoint))
		return 0;
	return __real_log_sync(log, position);
}

int __wrap_log_sync_from(struct log *log, uint64_t position)
{
	return mistake == CHECKPOINT_AHEAD ? 0 : __real_log_sync_from(log, position);
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

int __wrap_log_open(const struct log_config *c, uint64_t from, log_record_fn *replay,
		    void *arg, struct log_recovery *found, struct log **out,
		    struct kv_msg *why)
{
	struct late l = { replay, arg, mistake != REPLAY_LATE };
	int error;

	in_open++;
	error = __real_log_open(c, from, replay_late, &l, found, out, why);
	in_open--;
	the_log = error ? NULL : *out;
	return error;
}

/* ---- writing ---- */

int __real_btree_write(struct kv *kv, const struct kv_op *op, size_t n,
		       enum kv_durability how);
int __real_btree_tree_apply(struct btree_tree *t, const struct kv_op *op, size_t n,
			    struct kv_msg *why);
void __real_btree_page_free(struct btree_pager *p, uint32_t page, uint64_t birth,
			    uint64_t freed);
void __real_btree_keep_update(struct btree_store *s);

int __wrap_btree_write(struct kv *kv, const struct kv_op *op, size_t n,
		       enum kv_durability how)
{
	int error;

	in_write++;
	error = __real_btree_write(kv, op, n, how);
	in_write--;
	return error;
}

int __wrap_btree_tree_apply(struct btree_tree *t, const struct kv_op *op, size_t n,
			    struct kv_msg *why)
{
	if (mistake == REPLAY_NO_DELETES && in_open && op->type == KV_DELETE)
		return 0;
	return __real_btree_tree_apply(t, op, n, why);
}

void __wrap_btree_page_free(struct btree_pager *p, uint32_t page, uint64_t birth,
			    uint64_t freed)
{
	__real_btree_page_free(p, page, mistake == FREED_AT_ONCE ? freed : birth, freed);
}

void __wrap_btree_keep_update(struct btree_store *s)
{
	__real_btree_keep_update(s);
	if (mistake == IN_PLACE && !s->pending)
		s->tree.frozen = 0;
}

/* ---- checkpoints ---- */

int __real_btree_checkpoint_begin(struct btree_pager *p, const struct btree_super *s,
				  struct btree_checkpoint **out);
void __real_btree_checkpoint_end(struct btree_checkpoint *c, const uint64_t *keep,
				 size_t n);
int __real_btree_super_write(struct file *f, const struct btree_super *s,
			     unsigned int place, uint8_t *block);
int __real_btree_free_map_load(struct btree_pager *p, const struct btree_super *s,
			       struct kv_msg *why);

static int find_older(void *arg, const struct log_segment *seg)
{
	uint64_t *number = arg;

	if (!seg->sealed || seg->end > number[0])
		return 0;
	number[1] = seg->number;
	return 1;
}

static void retire_log_before(uint64_t position)
{
	uint64_t number[2] = { position, 0 };

	while (the_log && log_segments(the_log, find_older, number)) {
		if (log_retire(the_log, number[1]) || log_reclaim(the_log, number[1]))
			return;
	}
}

int __wrap_btree_checkpoint_begin(struct btree_pager *p, const struct btree_super *s,
				  struct btree_checkpoint **out)
{
	int error = __real_btree_checkpoint_begin(p, s, out);

	if (!error && mistake == LOG_RETIRED_EARLY)
		retire_log_before(s->log_position);
	if (!error && mistake == LOG_TRUSTED_EARLY && the_log)
		log_supersede(the_log, s->log_position);
	in_checkpoint += !error;
	return error;
}

void __wrap_btree_checkpoint_end(struct btree_checkpoint *c, const uint64_t *keep,
				 size_t n)
{
	in_checkpoint--;
	__real_btree_checkpoint_end(c, keep, n);
}

int __wrap_btree_super_write(struct file *f, const struct btree_super *s,
			     unsigned int place, uint8_t *block)
{
	static struct btree_child root;
	struct btree_super old = *s;

	if (mistake == ROOT_OLD && s->sequence > 2)
		old.root = root;
	root = s->root;
	if (mistake == SUPER_GOES_FIRST && s->sequence > 1) {
		uint8_t none[BTREE_SUPER_BLOCK] = { 0 };
		int error = file_write(f, 0, none, sizeof(none));

		if (!error)
			error = file_write(f, s->page_bytes, none, sizeof(none));
		if (!error)
			error = file_sync(f);
		if (error)
			return error;
	}
	return __real_btree_super_write(f, &old, place, block);
}

int __wrap_btree_free_map_load(struct btree_pager *p, const struct btree_super *s,
			       struct kv_msg *why)
{
	int error = __real_btree_free_map_load(p, s, why);
	uint32_t page = BTREE_SUPER_PAGES;

	if (error || mistake != MAP_FORGETS)
		return error;
	while (page < s->pages &&
	       (!btree_bit(p->space->live, page) || page == s->root.page))
		page++;
	if (page < s->pages) {
		btree_bit_clear(p->space->used, page);
		btree_bit_clear(p->space->live, page);
		p->space->free++;
	}
	return 0;
}

/* ---- caught or not ---- */

#define SMALL "segment_bytes=64k,checkpoint_bytes=64k,huge=off"

/* Without snapshots an older version is never looked for: then what is gone too early is
 * missed after a crash alone. */
static const struct kv_crash_config histories[] = {
	{ .options = SMALL ",max_keys=4", .no_snapshots = true, .keys = 16 },
	{ .options = SMALL ",map=off,overflow_bytes=200", .no_snapshots = true },
	{ .options = SMALL ",max_keys=4", .keys = 12 },
	{ .options = SMALL ",max_keys=4", .no_sync = true },
};

enum { HISTORIES = sizeof(histories) / sizeof(histories[0]) };

#define MUTANT_ENGINE btree_engine
#include "../../sprint-2-hash-storage/tests/kv_mutant.h"

/* ---- tests ---- */

#define LOG    "store/0000" /* paths of its segments and of the files kept for them */
#define TREE   "store/TREE"
#define PARENT "." /* the directory that the store's stands in */

static const struct mutant_lie lies[] = {
	{ "no sync of the log", LIE_SYNC, LOG, 0, false },
	{ "no sync of the tree", LIE_SYNC, TREE, 0, false },
	{ "tree synced every other time", LIE_SYNC_HALF, TREE, 0, false },
	{ "no sync of a backup", LIE_SYNC, "backup", 0, false },
	{ "no sync of names", LIE_SYNC_DIR, "store", 0, false },
	{ "no sync of the store's name", LIE_SYNC_DIR, PARENT, 0, false },
	{ "log synced one late", LIE_SYNC_LATE, LOG, 0, false },
	{ "segment renamed, then synced", LIE_SYNC_RENAMED, LOG, 0, false },
	{ "tree renamed, then synced", LIE_SYNC_RENAMED, TREE, 0, true },
	{ "tree renamed by copy", LIE_RENAME_COPY, TREE, 0, true },
	{ "log's sync error ignored", LIE_SYNC_ERROR, LOG, 1u << SIM_SYNC, false },
	{ "log's sync error retried", LIE_SYNC_RETRY, LOG, 1u << SIM_SYNC, false },
	{ "tree's sync error ignored", LIE_SYNC_ERROR, TREE, 1u << SIM_SYNC, false },
	{ "tree's sync error retried", LIE_SYNC_RETRY, TREE, 1u << SIM_SYNC, false },
	{ "directory error ignored", LIE_DIR_ERROR, "store", 1u << SIM_SYNC_DIR, false },
	{ "log's write error ignored", LIE_WRITE_ERROR, LOG, 1u << SIM_WRITE, false },
	{ "tree's write error ignored", LIE_WRITE_ERROR, TREE, 1u << SIM_WRITE, false },
	{ "short writes of the log", LIE_WRITE_SHORT, LOG, 0, false },
	{ "short writes of the tree", LIE_WRITE_SHORT, TREE, 0, false },
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
		[NO_LOG_CRC] = "no CRC of the log",
		[NO_LOG_ID] = "no log id",
		[WRITE_UNSYNCED] = "write not synced",
		[GROUP_NEVER] = "group never synced",
		[BATCH_APART] = "batch in parts",
		[NO_END_MARK] = "no end mark",
		[TAIL_STAYS] = "torn tail stays",
		[SEGMENTS_STAY] = "torn segments stay",
		[SYNC_FORGETS] = "kv_sync does nothing",
		[CHECKPOINT_AHEAD] = "checkpoint ahead of log",
		[LOG_TRUSTED_EARLY] = "log counts as durable early",
		[LOG_RETIRED_EARLY] = "log retired early",
		[REPLAY_LATE] = "replay begins late",
		[REPLAY_NO_DELETES] = "deletes not replayed",
		[FREED_AT_ONCE] = "freed pages used at once",
		[IN_PLACE] = "frozen pages changed",
		[SUPER_GOES_FIRST] = "old superblocks go first",
		[MAP_FORGETS] = "free map forgets a page",
		[ROOT_OLD] = "superblock with an old root",
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
