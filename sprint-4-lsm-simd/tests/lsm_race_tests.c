/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_race_tests.c - the LSM engine with everything at once; see live_race.h. And what is its
 * own: ranges that are deleted and written anew in one batch, so that all keys of a range have
 * one value at any moment, beside flushes, compactions of ranges, backups and verify.
 */
#include "../lsm_engine.h"
#include "lsm_packed.h"

#define LIVE_ENGINE lsm_engine
#define SMALL                                                                \
	"memory_bytes=4m,segment_bytes=64k,table_bytes=16k,block_bytes=512," \
	"level_bytes=64k,ratio=3,flushed_runs=2,huge=off"
#define LIVE_OPTIONS    SMALL ",memtable_bytes=32k,blob_bytes=300"
#define LIVE_WHOLE      "STORE"
#define LIVE_BEGUN      ".sst"
#define LIVE_UNFINISHED "did not come to its end"
#include "../../sprint-2-hash-storage/tests/live_race.h"

static void test_everything_at_once_with_small_memtables(void **state)
{
	(void)state;
	race(LIVE_OPTIONS);
}

static void test_everything_at_once_leveled_and_without_maps(void **state)
{
	(void)state;
	race(SMALL ",memtable_bytes=16k,memtables=2,style=leveled,map=off," PACKED
		   ",threads=2,parts=3,blob_bytes=0");
}

static void test_everything_at_once_tiered_and_in_maps(void **state)
{
	(void)state;
	race(SMALL ",memtable_bytes=16k,style=tiered,access=map,cache=lru,blob_bytes=16,"
		   "record_percent=80,threads=2");
}

static void test_everything_at_once_in_large_memtables(void **state)
{
	(void)state;
	race("memory_bytes=64m,memtable_bytes=4m,huge=off");
}

/* ---- ranges that are written anew ---- */

enum { RANGES = 2, RANGE_KEYS = 60, RANGE_MS = 1500, RANGE_WALKERS = 2 };

static struct kv_slice range_key(unsigned int range, size_t i, char *buf)
{
	int n = snprintf(buf, LIVE_KEY_MAX, "range%u-%03zu", range, i);

	return kv_slice(buf, (size_t)n);
}

/* Of odd numbers only each other key is put: then those between must be gone. */
static size_t fill_range(unsigned int range, uint64_t n, struct kv_op *op,
			 char name[][LIVE_KEY_MAX], struct kv_slice value)
{
	size_t i, ops = 0;
	char *end = name[RANGE_KEYS];

	(void)range_key(range, RANGE_KEYS, end);
	op[ops++] = (struct kv_op){ KV_DELETE_RANGE, range_key(range, 0, name[0]),
				    kv_str(end) };
	for (i = 0; i < RANGE_KEYS; i += 1 + n % 2)
		op[ops++] = (struct kv_op){ KV_PUT, range_key(range, i, name[i]), value };
	return ops;
}

static void *write_ranges(void *arg)
{
	const struct writing *w = arg;
	struct race *r = w->r;
	char name[RANGE_KEYS + 1][LIVE_KEY_MAX];
	struct kv_op op[RANGE_KEYS + 1];
	uint8_t value[64] = { 0 };
	uint64_t n;
	size_t ops;

	for (n = 1; going_on(r); n++) {
		port_put_le64(value, n);
		ops = fill_range(w->writer, n, op, name, kv_slice(value, 8 + n % 57));
		check(r, "range", kv_write(r->kv, op, ops, n % 64 ? KV_NONE : KV_SYNC));
		port_store_release(&r->step[w->writer], n);
	}
	return NULL;
}

/* One number, and the keys that it has. */
static void check_range(struct race *r, struct kv_cursor *c, unsigned int range,
			bool back)
{
	char name[LIVE_KEY_MAX];
	uint64_t n = 0, met = 0;
	int error;

	error = kv_seek(c, range_key(range, back ? RANGE_KEYS : 0, name));
	if (back)
		error = kv_prev(c);
	while (!error && c->key.len == 10 && !memcmp(c->key.data, name, 6)) {
		CHECK(r, c->value.len >= 8);
		if (!met++)
			n = port_get_le64(c->value.data);
		CHECK(r, port_get_le64(c->value.data) == n);
		error = back ? kv_prev(c) : kv_next(c);
	}
	CHECK(r, !error || error == -ENOENT);
	if (met != (n % 2 ? RANGE_KEYS / 2 : RANGE_KEYS) && going_on(r))
		print_error("range %u, back %u: %llu keys of number %llu\n", range, back,
			    (unsigned long long)met, (unsigned long long)n);
	CHECK(r, met == (n % 2 ? RANGE_KEYS / 2 : RANGE_KEYS));
}

static void *walk_ranges(void *arg)
{
	struct race *r = arg;
	struct kv_cursor *c;
	uint64_t n;

	for (n = 0; going_on(r); n++) {
		int error = kv_cursor(r->kv, NULL, &c);

		check(r, "cursor", error);
		if (error)
			break;
		check_range(r, c, 0, n % 2);
		check_range(r, c, 1, n % 2);
		kv_cursor_close(c);
		port_fetch_add(&r->rounds[0], (uint64_t)1);
	}
	return NULL;
}

/* All keys of a range by one call: all of one number. */
static void *get_ranges(void *arg)
{
	struct race *r = arg;
	struct kv_buf value[RANGE_KEYS] = { { 0 } };
	struct kv_slice key[RANGE_KEYS];
	char name[RANGE_KEYS][LIVE_KEY_MAX];
	int error[RANGE_KEYS];
	uint64_t n, number;
	size_t i;

	for (n = 0; going_on(r); n++) {
		for (i = 0; i < RANGE_KEYS; i++)
			key[i] = range_key((unsigned int)(n % RANGES), i, name[i]);
		CHECK(r, kv_multi_get(r->kv, NULL, RANGE_KEYS, key, value, error) == 0);
		CHECK(r, error[0] == 0 && value[0].len >= 8);
		number = port_get_le64(value[0].data);
		for (i = 0; i < RANGE_KEYS; i++) {
			CHECK(r, error[i] == (i % 2 && number % 2 ? -ENOENT : 0));
			CHECK(r, error[i] || port_get_le64(value[i].data) == number);
		}
		port_fetch_add(&r->rounds[1], (uint64_t)1);
	}
	for (i = 0; i < RANGE_KEYS; i++)
		kv_buf_free(&value[i]);
	return NULL;
}

static void *compact_ranges(void *arg)
{
	struct race *r = arg;
	char dir[SCRATCH_PATH];
	uint64_t n;

	for (n = 0; going_on(r); n++) {
		if (n % 4 == 3)
			verify(r);
		else
			check(r, "compact",
			      lsm_compact_range(r->kv, kv_str("range0-010"),
						kv_str("range1-050")));
		if (n == 2)
			check(r, "backup",
			      kv_backup(r->kv, live_dir("ranges-backup", dir)));
		port_fetch_add(&r->rounds[2], (uint64_t)1);
	}
	return NULL;
}

static void race_ranges(const char *options)
{
	static void *(*const others[])(void *) = { walk_ranges, walk_ranges, get_ranges,
						   compact_ranges };
	enum { OTHERS = sizeof(others) / sizeof(others[0]) };
	pthread_t writer[RANGES], other[OTHERS];
	struct race r = { .done = false };
	struct writing w[RANGES];
	struct kv_msg why = { "" };
	char dir[SCRATCH_PATH];
	uint64_t until;
	size_t i;

	if (kv_open(&lsm_engine, env_posix(), live_dir("ranges", dir), options, &r.kv,
		    &why))
		fail_msg("%s", why.text);
	for (i = 0; i < RANGES; i++) {
		w[i] = (struct writing){ &r, (unsigned int)i };
		assert_int_equal(pthread_create(&writer[i], NULL, write_ranges, &w[i]),
				 0);
	}
	for (i = 0; i < RANGES; i++)
		while (!port_load_acquire(&r.step[i]) && going_on(&r))
			(void)usleep(100);
	for (i = 0; i < OTHERS; i++)
		assert_int_equal(pthread_create(&other[i], NULL, others[i], &r), 0);
	until = live_now_ms() + live_ms(RANGE_MS);
	while (going_on(&r) &&
	       (live_now_ms() < until || port_load_acquire(&r.rounds[2]) < 4))
		(void)usleep(5000);
	port_store_release(&r.done, true);
	for (i = 0; i < OTHERS; i++)
		pthread_join(other[i], NULL);
	for (i = 0; i < RANGES; i++)
		pthread_join(writer[i], NULL);
	verify(&r);
	assert_int_equal(kv_close(r.kv), 0);
	print_message("%llu and %llu batches, %llu walks, %llu reads, %llu compactions\n",
		      (unsigned long long)r.step[0], (unsigned long long)r.step[1],
		      (unsigned long long)r.rounds[0], (unsigned long long)r.rounds[1],
		      (unsigned long long)r.rounds[2]);
	if (r.failed)
		fail_msg("what line %llu checks did not hold",
			 (unsigned long long)r.failed);
	scratch_remove(live_dir("ranges", dir));
	scratch_remove(live_dir("ranges-backup", dir));
}

static void test_ranges_are_deleted_and_written_as_one(void **state)
{
	(void)state;
	race_ranges(LIVE_OPTIONS);
}

static void test_ranges_are_deleted_and_written_as_one_in_tiers(void **state)
{
	(void)state;
	race_ranges(SMALL ",memtable_bytes=16k,style=tiered,threads=2,blob_bytes=20");
}

/* ---- the last key, while others come in front of it ---- */

static void *write_in_front(void *arg)
{
	struct race *r = arg;
	uint64_t n;

	for (n = 1; going_on(r); n++) {
		check(r, "put", kv_put(r->kv, kv_str("a"), kv_str("x"), KV_NONE));
		port_store_release(&r->step[0], n);
	}
	return NULL;
}

/* tables: the last key is in a table, and the cursor merges two sources. */
static void go_back_from_the_end(bool tables)
{
	struct race r = { .done = false };
	struct kv_msg why = { "" };
	char dir[SCRATCH_PATH];
	struct kv_cursor *c;
	pthread_t writer;
	unsigned int i;

	if (kv_open(&lsm_engine, env_posix(), live_dir("front", dir),
		    "memory_bytes=4m,memtable_bytes=64k,huge=off", &r.kv, &why))
		fail_msg("%s", why.text);
	assert_int_equal(kv_put(r.kv, kv_str("z"), kv_str("last"), KV_NONE), 0);
	if (tables)
		assert_int_equal(kv_compact(r.kv), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_in_front, &r), 0);
	while (!port_load_acquire(&r.step[0]))
		(void)usleep(100);
	for (i = 0; i < 400 && going_on(&r); i++) {
		check(&r, "cursor", kv_cursor(r.kv, NULL, &c));
		CHECK(&r, !kv_prev(c) && c->key.len == 1 &&
				  *(const char *)c->key.data == 'z');
		CHECK(&r, !kv_prev(c) && *(const char *)c->key.data == 'a');
		CHECK(&r, kv_prev(c) == -ENOENT);
		CHECK(&r, !kv_prev(c) && *(const char *)c->key.data == 'z');
		kv_cursor_close(c);
	}
	port_store_release(&r.done, true);
	pthread_join(writer, NULL);
	assert_int_equal(kv_close(r.kv), 0);
	scratch_remove(dir);
	if (r.failed)
		fail_msg("round %u: what line %llu checks did not hold", i,
			 (unsigned long long)r.failed);
}

static void test_back_from_the_end_beside_writes_at_the_front(void **state)
{
	(void)state;
	go_back_from_the_end(false);
	go_back_from_the_end(true);
}

/* ---- more writers at once than there are turns to become visible in ---- */

enum { CROWD = 350, CROWD_WRITES = 3 };

struct crowded {
	struct kv *kv;
	uint32_t failed; /* atomic */
};

struct one_of_many {
	struct crowded *all;
	unsigned int i;
	pthread_t thread;
};

/* Every third one asks for no durability, and waits for the others' nevertheless. Each sees what
 * it wrote. */
static void *write_and_look(void *arg)
{
	const struct one_of_many *w = arg;
	struct kv_buf value = { 0 };
	char key[LIVE_KEY_MAX];
	struct kv_op op;
	unsigned int n;

	for (n = 0; n < CROWD_WRITES; n++) {
		(void)snprintf(key, sizeof(key), "writer%03u", w->i);
		op = (struct kv_op){ KV_PUT, kv_str(key), kv_slice(&n, sizeof(n)) };
		if (kv_write(w->all->kv, &op, 1, w->i % 3 ? KV_SYNC : KV_NONE) ||
		    kv_get(w->all->kv, kv_str(key), &value) || value.len != sizeof(n) ||
		    memcmp(value.data, &n, sizeof(n)))
			(void)port_fetch_add(&w->all->failed, 1u);
	}
	kv_buf_free(&value);
	return NULL;
}

static void test_more_writers_than_turns(void **state)
{
	static struct one_of_many one[CROWD];
	struct crowded all = { 0 };
	struct kv_msg why = { "" };
	char dir[SCRATCH_PATH];
	unsigned int i;

	(void)state;
	(void)live_dir("crowd", dir);
	assert_int_equal(kv_open(&lsm_engine, env_posix(), dir, SMALL, &all.kv, &why), 0);
	for (i = 0; i < CROWD; i++) {
		one[i].all = &all;
		one[i].i = i;
		assert_int_equal(
			pthread_create(&one[i].thread, NULL, write_and_look, &one[i]), 0);
	}
	for (i = 0; i < CROWD; i++)
		assert_int_equal(pthread_join(one[i].thread, NULL), 0);
	assert_int_equal(all.failed, 0);
	assert_int_equal(kv_close(all.kv), 0);
	scratch_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_writers_than_turns),
		cmocka_unit_test(test_back_from_the_end_beside_writes_at_the_front),
		cmocka_unit_test(test_ranges_are_deleted_and_written_as_one),
		cmocka_unit_test(test_ranges_are_deleted_and_written_as_one_in_tiers),
		cmocka_unit_test(test_everything_at_once_with_small_memtables),
		cmocka_unit_test(test_everything_at_once_leveled_and_without_maps),
		cmocka_unit_test(test_everything_at_once_tiered_and_in_maps),
		cmocka_unit_test(test_everything_at_once_in_large_memtables),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
