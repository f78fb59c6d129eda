/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_checkpoint_tests.c - checkpoints, what the log loses by them, opening behind them,
 * and space that compaction gives back.
 */
#include "btree_store_fixture.h"

#include "../btree_store.h"

#include <dirent.h>
#include <pthread.h>

#define SMALL "segment_bytes=64k,checkpoint_bytes=64k"

enum {
	BYTES = 100,
	LEAST_FILE =
		3 << 19, /* what is given back at a time is a mebibyte; the reserve */
};

static const char *fresh(void)
{
	static char name[8][SCRATCH_PATH];
	static unsigned int turn;
	char *p = name[turn % 8], leaf[32];

	(void)snprintf(leaf, sizeof(leaf), "store%u", turn++);
	(void)snprintf(p, sizeof(name[0]), "%s", in_scratch(leaf));
	return p;
}

/* ---- a directory as files ---- */

static void copy_file(const char *from, const char *to)
{
	static char buf[1 << 16];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	size_t n;

	assert_true(in && out);
	while ((n = fread(buf, 1, sizeof(buf), in)))
		assert_int_equal(fwrite(buf, 1, n, out), n);
	assert_int_equal(fclose(in), 0);
	assert_int_equal(fclose(out), 0);
}

typedef void file_fn(const char *path, const char *name, void *arg);

static void each_file(const char *dir, file_fn *fn, void *arg)
{
	char path[2 * SCRATCH_PATH];
	struct dirent *e;
	DIR *d = opendir(dir);

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%.100s", dir, e->d_name);
		fn(path, e->d_name, arg);
	}
	(void)closedir(d);
}

static void copy_into(const char *path, const char *name, void *arg)
{
	char to[2 * SCRATCH_PATH];

	(void)snprintf(to, sizeof(to), "%s/%.100s", (const char *)arg, name);
	copy_file(path, to);
}

/* What is there when the process is killed now. */
static const char *killed(const char *dir)
{
	const char *to = fresh();

	assert_int_equal(mkdir(to, 0755), 0);
	each_file(dir, copy_into, (void *)(uintptr_t)to);
	return to;
}

static bool is_segment(const char *name)
{
	return strlen(name) > 4 && !strcmp(name + strlen(name) - 4, ".log");
}

struct segments {
	unsigned int n;
	char first[2 * SCRATCH_PATH], last[2 * SCRATCH_PATH], middle[2 * SCRATCH_PATH];
};

static void note_segment(const char *path, const char *name, void *arg)
{
	struct segments *s = arg;

	if (!is_segment(name))
		return;
	if (!s->n || strcmp(path, s->first) < 0)
		(void)snprintf(s->first, sizeof(s->first), "%s", path);
	if (!s->n || strcmp(path, s->last) > 0)
		(void)snprintf(s->last, sizeof(s->last), "%s", path);
	s->n++;
}

/* The second: those at the end may be made ahead, with nothing in them. */
static void find_middle(const char *path, const char *name, void *arg)
{
	struct segments *s = arg;

	if (is_segment(name) && strcmp(path, s->first) && strcmp(path, s->last) &&
	    (!*s->middle || strcmp(path, s->middle) < 0))
		(void)snprintf(s->middle, sizeof(s->middle), "%s", path);
}

static struct segments segments_of(const char *dir)
{
	struct segments s = { 0 };

	each_file(dir, note_segment, &s);
	each_file(dir, find_middle, &s);
	return s;
}

static void put_all(struct kv *kv, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		store_put(kv, from, BYTES);
}

static void refuses(const char *dir, int error, const char *word)
{
	struct kv_msg why = { "" };
	struct kv *kv;

	assert_int_equal(kv_open(&btree_engine, env_posix(), dir, NULL, &kv, &why),
			 error);
	if (!strstr(why.text, word))
		fail_msg("\"%s\" does not say \"%s\"", why.text, word);
}

static uint64_t replayed(struct kv *kv)
{
	struct kv_recovery r;

	kv_recovery(kv, &r);
	return r.records_replayed;
}

/* ---- checkpoints and the log ---- */

static void test_checkpoint_lets_go_of_the_log(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, "segment_bytes=64k,checkpoint_bytes=1g");
	struct segments before, after;

	(void)state;
	put_all(kv, 0, 5000);
	before = segments_of(dir);
	assert_true(before.n > 5);
	assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
	after = segments_of(dir);
	/* The one in use, and those made ahead, of which there are some where the disk is slow. */
	assert_in_range(after.n, 1, before.n - 1);
	assert_true(strcmp(after.first, before.first) > 0);
	assert_int_equal(store_stat(kv, "log_since_checkpoint"), 0);
	assert_int_equal(store_stat(kv, "checkpoints"), 1);
	/* nothing new, nothing to do */
	assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
	assert_int_equal(store_stat(kv, "checkpoints"), 1);
	store_close(kv);
}

static void test_log_is_bounded_by_checkpoints(void **state)
{
	struct kv *kv = store_open(fresh(), SMALL);
	unsigned int i;

	(void)state;
	/* How long it takes until there were some depends on the machine. */
	for (i = 0; i < 40000 || store_stat(kv, "checkpoints") <= 5; i++) {
		store_put(kv, i % 500, BYTES);
		if (i % 1000 == 0)
			assert_true(store_stat(kv, "segment_bytes") < 4 << 20);
	}
	assert_true(store_stat(kv, "segment_bytes") < 4 << 20);
	store_close(kv);
}

static unsigned int spares_of(const char *dir)
{
	unsigned int n = 0;
	struct dirent *e;
	DIR *d = opendir(dir);

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strstr(e->d_name, ".spare") != NULL;
	(void)closedir(d);
	return n;
}

/* Files that were synced are made for the first interval, and go round from then on; a closed
 * store has few. */
static void test_log_files_go_round_between_checkpoints(void **state)
{
	enum { CHECKPOINTS = 16, PAIRS = 500 };
	const char *dir = fresh();
	struct kv *kv = store_open(dir, "segment_bytes=64k,checkpoint_bytes=1m");
	uint64_t created, recycled;

	(void)state;
	while (store_stat(kv, "checkpoints") < CHECKPOINTS) {
		put_all(kv, 0, PAIRS);
		assert_int_equal(kv_sync(kv), 0);
	}
	/* Writers may be ahead of a checkpoint, by some intervals at most. */
	created = store_stat(kv, "log_segments_created");
	recycled = store_stat(kv, "log_segments_recycled");
	assert_true(created + recycled >= CHECKPOINTS * 16);
	assert_true(recycled > created);
	assert_true(spares_of(dir) <= 16 + BTREE_LOG_SPARES);
	/* One who asks for a checkpoint, or for space, gets these as well. */
	assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
	assert_true(spares_of(dir) <= BTREE_LOG_SPARES);
	store_close(kv);
	assert_in_range(spares_of(dir), 0, BTREE_LOG_SPARES);
}

/* At level `none` what the log holds need not reach the device before a checkpoint has it: but
 * for the file in which replay would begin, none is synced, and none is kept to be. */
static void test_log_that_nobody_synced_is_forgotten(void **state)
{
	enum { CHECKPOINTS = 8, PAIRS = 500 };
	const char *dir = fresh();
	struct kv *kv = store_open(dir, "segment_bytes=64k,checkpoint_bytes=1m");
	uint64_t checkpoints;

	(void)state;
	while (store_stat(kv, "checkpoints") < CHECKPOINTS)
		put_all(kv, 0, PAIRS);
	assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
	checkpoints = store_stat(kv, "checkpoints");
	assert_true(store_stat(kv, "log_syncs_done") <= checkpoints);
	assert_true(store_stat(kv, "log_segments_created") >=
		    (CHECKPOINTS - 1) * (16 - 2));
	assert_true(store_stat(kv, "log_segments_recycled") <= 2 * checkpoints);
	store_close(kv);
}

static uint32_t file_pages(struct btree_store *s)
{
	return btree_pager_pages(s->pager);
}

/* A checkpoint that the task begins makes pages ahead; one that is asked for gives back what
 * was not used of them. */
static void test_pages_made_ahead_are_given_back(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, SMALL ",memory_bytes=64m");
	struct btree_store *s = btree_store(kv);
	struct btree_ahead ahead = { 0 };
	uint32_t before;

	(void)state;
	put_all(kv, 0, 20000);
	assert_int_equal(btree_checkpoint_now(s, NULL), 0);
	put_all(kv, 0, 20000);
	btree_work_take(s);
	port_mutex_lock(&s->write_lock);
	before = file_pages(s);
	while (btree_ahead_grow(s->pager, &ahead))
		btree_ahead_populate(s->pager, &ahead);
	/* A checkpoint of the task's may have come in between, and left nothing to do. */
	assert_true(file_pages(s) >= before && file_pages(s) >= ahead.want);
	port_mutex_unlock(&s->write_lock);
	btree_work_give(s);
	store_expect(kv, 20000, 1, BYTES);
	assert_int_equal(btree_checkpoint_now(s, NULL), 0);
	assert_int_equal(kv_compact(kv), 0);
	assert_true(store_stat(kv, "file_bytes") < 20000 * 2 * BYTES);
	store_expect(kv, 20000, 1, BYTES);
	store_verify(kv);
	store_close(kv);
}

static void test_closed_store_replays_nothing(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, NULL);

	(void)state;
	put_all(kv, 0, 1000);
	store_close(kv);
	kv = store_open(dir, NULL);
	assert_int_equal(replayed(kv), 0);
	store_expect(kv, 1000, 1, BYTES);
	store_close(kv);
}

static void test_tail_is_replayed_behind_a_checkpoint(void **state)
{
	const char *dir = fresh(), *copy;
	struct kv *kv = store_open(dir, "segment_bytes=64k");
	unsigned int i;

	(void)state;
	put_all(kv, 0, 2000);
	assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
	put_all(kv, 2000, 4000);
	for (i = 1; i < 4000; i += 2)
		store_delete(kv, i);
	copy = killed(dir);
	store_close(kv);
	kv = store_open(copy, NULL);
	assert_int_equal(replayed(kv), 4000);
	store_expect(kv, 4000, 2, BYTES);
	store_verify(kv);
	store_close(kv);
	kv = store_open(copy, NULL);
	assert_int_equal(replayed(kv), 0);
	store_expect(kv, 4000, 2, BYTES);
	store_close(kv);
}

/* Also one that was never given a checkpoint after it was made. */
static void test_tail_is_replayed_from_the_beginning(void **state)
{
	const char *dir = fresh(), *copy;
	struct kv *kv = store_open(dir, "segment_bytes=64k,max_keys=4");

	(void)state;
	copy = killed(dir);
	put_all(kv, 0, 3000);
	dir = killed(dir);
	store_close(kv);
	kv = store_open(copy, NULL);
	store_expect(kv, 0, 1, BYTES);
	store_verify(kv);
	store_close(kv);
	kv = store_open(dir, "max_keys=4");
	assert_int_equal(replayed(kv), 3000);
	store_expect(kv, 3000, 1, BYTES);
	store_verify(kv);
	store_close(kv);
}

/* ---- what must not be opened ---- */

static void test_missing_parts_are_corruption(void **state)
{
	const char *dir = fresh(), *copy;
	struct kv *kv = store_open(dir, "segment_bytes=64k,checkpoint_bytes=1g");
	char path[2 * SCRATCH_PATH];
	struct segments s;

	(void)state;
	put_all(kv, 0, 2000);
	assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
	put_all(kv, 2000, 5000);

	copy = killed(dir);
	s = segments_of(copy);
	assert_true(s.n > 3);
	assert_int_equal(unlink(s.first), 0);
	refuses(copy, -EBADMSG, "missing");

	copy = killed(dir);
	s = segments_of(copy);
	assert_int_equal(unlink(s.middle), 0);
	refuses(copy, -EBADMSG, "missing");

	copy = killed(dir);
	(void)snprintf(path, sizeof(path), "%s/TREE", copy);
	assert_int_equal(unlink(path), 0);
	refuses(copy, -EBADMSG, "TREE");
	store_close(kv);
}

static void remove_segment(const char *path, const char *name, void *arg)
{
	(void)arg;
	if (is_segment(name))
		assert_int_equal(unlink(path), 0);
}

static void test_missing_log_is_corruption(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, NULL);

	(void)state;
	put_all(kv, 0, 10);
	store_close(kv);
	each_file(dir, remove_segment, NULL);
	refuses(dir, -EBADMSG, ".log");
}

static void test_left_over_of_a_creation_is_replaced(void **state)
{
	const char *dir = fresh();
	char path[2 * SCRATCH_PATH];
	FILE *f;
	struct kv *kv;

	(void)state;
	assert_int_equal(mkdir(dir, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/TREE.tmp", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite("half", 1, 4, f), 4);
	assert_int_equal(fclose(f), 0);
	kv = store_open(dir, NULL);
	assert_int_equal(access(path, F_OK), -1);
	store_expect(kv, 0, 1, BYTES);
	store_close(kv);
}

/* ---- options of a store that is there ---- */

static void test_store_opens_with_other_options(void **state)
{
	static const char *const options[] = {
		"page_bytes=8k,segment_bytes=64k",
		"page_bytes=64k,segment_bytes=1m,memory_bytes=8m,max_keys=4",
		"overflow_bytes=10",
		"max_keys=5,overflow_bytes=2000",
		NULL,
	};
	enum { EACH = 500 };
	const char *dir = fresh();
	unsigned int i, n = 0;

	(void)state;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct kv *kv = store_open(dir, options[i]);

		assert_int_equal(store_stat(kv, "page_bytes"), 8192);
		put_all(kv, n, n + EACH);
		n += EACH;
		store_expect(kv, n, 1, BYTES);
		store_verify(kv);
		store_close(kv);
	}
}

static void test_bad_options_are_refused(void **state)
{
	static const char *const options[] = {
		"page_bytes=5000", "page_bytes=2k",
		"max_keys=3",      "segment_bytes=3m",
		"memory_bytes=1k", "page_bytes=64k,memory_bytes=1m",
		"page_bytes=128k", "overflow_bytes=4000",
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct kv_msg why = { "" };
		struct kv *kv;

		assert_int_equal(kv_open(&btree_engine, env_posix(), fresh(), options[i],
					 &kv, &why),
				 -EINVAL);
		assert_true(strlen(why.text) > 10);
	}
}

static void test_second_owner_is_refused(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, NULL);

	(void)state;
	refuses(dir, -EBUSY, "elsewhere");
	store_close(kv);
}

/* ---- snapshots, pace, space ---- */

static void test_snapshots_show_what_they_keep(void **state)
{
	struct kv *kv = store_open(fresh(), SMALL ",max_keys=8");
	struct kv_snapshot *snap;
	unsigned int i;

	(void)state;
	put_all(kv, 0, 2000);
	assert_int_equal(kv_snapshot(kv, &snap), 0);
	for (i = 0; i < 2000; i++)
		store_put(kv, i, BYTES / 2);
	assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
	assert_int_equal(store_stat(kv, "snapshots"), 1);
	assert_true(store_stat(kv, "snapshot_oldest_generations") > 0);
	assert_true(store_stat(kv, "held_bytes") > 100 * 4096);
	kv_release(kv, snap);
	assert_int_equal(kv_compact(kv), 0);
	assert_int_equal(store_stat(kv, "snapshots"), 0);
	assert_int_equal(store_stat(kv, "snapshot_oldest_generations"), 0);
	assert_true(store_stat(kv, "held_bytes") < 10 * 4096);
	store_close(kv);
}

static uint64_t count_pairs(struct kv *kv)
{
	struct kv_cursor *c;
	uint64_t n = 0;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!kv_next(c))
		n++;
	kv_cursor_close(c);
	return n;
}

/* The lock is not recursive: who asked for it would never come back. */
static void test_cursors_between_two_writes_take_no_lock(void **state)
{
	struct kv *kv = store_open(fresh(), SMALL);
	struct btree_store *s = btree_store(kv);

	(void)state;
	put_all(kv, 0, 100);
	assert_int_equal(count_pairs(kv), 100);
	port_mutex_lock(&s->write_lock);
	btree_snapshot_offer(s);
	assert_int_equal(count_pairs(kv), 100);
	port_mutex_unlock(&s->write_lock);
	/* Nobody has asked since the write; it is offered. */
	put_all(kv, 100, 200);
	port_mutex_lock(&s->write_lock);
	btree_snapshot_offer(s);
	assert_int_equal(count_pairs(kv), 200);
	port_mutex_unlock(&s->write_lock);
	store_close(kv);
}

static void test_snapshots_of_one_state_are_one_until_a_write(void **state)
{
	struct kv *kv = store_open(fresh(), SMALL);
	struct kv_snapshot *a, *b, *c;
	struct kv_cursor *cursor;
	uint64_t n = 0;

	(void)state;
	put_all(kv, 0, 100);
	assert_int_equal(kv_snapshot(kv, &a), 0);
	assert_int_equal(kv_snapshot(kv, &b), 0);
	assert_int_equal(store_stat(kv, "snapshots"), 2);
	assert_ptr_equal(a, b);
	put_all(kv, 100, 150);
	assert_int_equal(kv_snapshot(kv, &c), 0);
	assert_ptr_not_equal(a, c);
	kv_release(kv, c);
	kv_release(kv, a);
	/* What b shows stays for a cursor on it, when b itself is gone. */
	assert_int_equal(kv_cursor(kv, b, &cursor), 0);
	kv_release(kv, b);
	put_all(kv, 0, 200);
	while (!kv_next(cursor))
		n++;
	assert_int_equal(n, 100);
	kv_cursor_close(cursor);
	assert_int_equal(store_stat(kv, "snapshots"), 0);
	assert_int_equal(count_pairs(kv), 200);
	store_close(kv);
}

/* While no checkpoint comes to be, writers become slower, and do not stop. */
static void test_writers_are_slowed_when_the_log_outgrows_checkpoints(void **state)
{
	struct kv *kv = store_open(fresh(), SMALL);
	struct btree_store *s = btree_store(kv);
	unsigned int i = 0;

	(void)state;
	put_all(kv, 0, 500);
	assert_int_equal(btree_checkpoint_now(s, NULL), 0);
	btree_work_take(s);
	while (log_end(s->log) < s->pace_from + s->pace_span)
		store_put(kv, i++ % 500, BYTES);
	assert_true(store_stat(kv, "write_stalls") > 0);
	assert_true(store_stat(kv, "write_stall_ns") <=
		    store_stat(kv, "write_stalls") * 1000000);
	btree_work_give(s);
	assert_int_equal(btree_checkpoint_now(s, NULL), 0);
	i = (unsigned int)store_stat(kv, "write_stalls");
	put_all(kv, 0, 10);
	assert_int_equal(store_stat(kv, "write_stalls"), i);
	store_expect(kv, 500, 1, BYTES);
	store_close(kv);
}

static void test_compaction_gives_the_file_back(void **state)
{
	static const char *const options[] = { NULL, "max_keys=4",
					       "overflow_bytes=20,memory_bytes=2m" };
	unsigned int v, i;

	(void)state;
	for (v = 0; v < 3; v++) {
		const char *dir = fresh();
		struct kv *kv = store_open(dir, options[v]);
		uint64_t before;

		for (i = 0; i < 6000; i++)
			store_put(kv, (unsigned int)(i * 7919ull % 6000),
				  i % 50 ? BYTES : 6000);
		for (i = 0; i < 6000; i++)
			if (i % 10)
				store_delete(kv, i);
			else
				store_put(kv, i, BYTES);
		assert_int_equal(btree_checkpoint_now(btree_store(kv), NULL), 0);
		before = store_stat(kv, "file_bytes");
		assert_int_equal(kv_compact(kv), 0);
		if (store_stat(kv, "file_bytes") > before / 3 &&
		    store_stat(kv, "file_bytes") > LEAST_FILE)
			fail_msg("of %llu bytes %llu are left",
				 (unsigned long long)before,
				 (unsigned long long)store_stat(kv, "file_bytes"));
		store_expect(kv, 6000, 10, BYTES);
		store_verify(kv);
		store_close(kv);
		kv = store_open(dir, options[v]);
		store_expect(kv, 6000, 10, BYTES);
		store_verify(kv);
		store_close(kv);
	}
}

static void test_compaction_leaves_snapshots_alone(void **state)
{
	struct kv *kv = store_open(fresh(), "max_keys=4");
	struct kv_snapshot *snap;
	struct kv_cursor *c;
	unsigned int i;

	(void)state;
	put_all(kv, 0, 1000);
	assert_int_equal(kv_snapshot(kv, &snap), 0);
	for (i = 0; i < 1000; i++)
		if (i % 100)
			store_delete(kv, i);
	assert_int_equal(kv_cursor(kv, snap, &c), 0);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(kv_next(c), 0);
	assert_int_equal(kv_next(c), -ENOENT);
	kv_cursor_close(c);
	kv_release(kv, snap);
	store_expect(kv, 1000, 100, BYTES);
	assert_int_equal(kv_compact(kv), 0);
	store_expect(kv, 1000, 100, BYTES);
	store_verify(kv);
	store_close(kv);
}

/* ---- beside writers ---- */

struct writer {
	struct kv *kv;
	bool done; /* atomic */
	uint64_t writes;
	int error;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;
	char key[STORE_KEY], value[BYTES];
	unsigned int i;

	for (i = 0; !w->error && !port_load_acquire(&w->done); i++, w->writes++)
		w->error =
			kv_put(w->kv, store_key(key, 100000 + i % 1000),
			       store_value(value, i, BYTES), i % 20 ? KV_NONE : KV_SYNC);
	return NULL;
}

static void test_maintenance_beside_a_writer(void **state)
{
	const char *dir = fresh(), *copy;
	struct kv *kv = store_open(dir, SMALL ",max_keys=8"), *other;
	struct writer w = { .kv = kv };
	struct kv_msg why = { "" };
	pthread_t thread;
	unsigned int i;
	int error = 0;

	(void)state;
	put_all(kv, 0, 3000);
	for (i = 0; i < 3000; i++)
		if (i % 3)
			store_delete(kv, i);
	assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
	for (i = 0; !error && i < 3; i++) {
		error = kv_compact(kv);
		if (!error)
			error = kv_verify(kv, &why);
		copy = fresh();
		if (!error)
			error = kv_backup(kv, copy);
		if (!error) {
			other = store_open(copy, NULL);
			error = kv_verify(other, &why);
			store_close(other);
		}
	}
	port_store_release(&w.done, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (error)
		fail_msg("%d: %s", error, why.text);
	assert_int_equal(w.error, 0);
	assert_true(w.writes > 0);
	store_verify(kv);
	store_close(kv);
	kv = store_open(dir, NULL);
	store_verify(kv);
	store_close(kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_checkpoint_lets_go_of_the_log),
		LEAK_CHECKED(test_log_is_bounded_by_checkpoints),
		LEAK_CHECKED(test_log_files_go_round_between_checkpoints),
		LEAK_CHECKED(test_log_that_nobody_synced_is_forgotten),
		LEAK_CHECKED(test_pages_made_ahead_are_given_back),
		LEAK_CHECKED(test_closed_store_replays_nothing),
		LEAK_CHECKED(test_tail_is_replayed_behind_a_checkpoint),
		LEAK_CHECKED(test_tail_is_replayed_from_the_beginning),
		LEAK_CHECKED(test_missing_parts_are_corruption),
		LEAK_CHECKED(test_missing_log_is_corruption),
		LEAK_CHECKED(test_left_over_of_a_creation_is_replaced),
		LEAK_CHECKED(test_store_opens_with_other_options),
		LEAK_CHECKED(test_bad_options_are_refused),
		LEAK_CHECKED(test_second_owner_is_refused),
		LEAK_CHECKED(test_snapshots_show_what_they_keep),
		LEAK_CHECKED(test_cursors_between_two_writes_take_no_lock),
		LEAK_CHECKED(test_snapshots_of_one_state_are_one_until_a_write),
		LEAK_CHECKED(test_writers_are_slowed_when_the_log_outgrows_checkpoints),
		LEAK_CHECKED(test_compaction_gives_the_file_back),
		LEAK_CHECKED(test_compaction_leaves_snapshots_alone),
		LEAK_CHECKED(test_maintenance_beside_a_writer),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
