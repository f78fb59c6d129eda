/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_space_tests.c - the LSM engine on a full disk: what is there can be read, deletes are
 * taken, what they free takes puts again without the store being opened anew, and nothing that
 * was acknowledged is lost, whatever the disk's last byte went to.
 */
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../lsm_engine.h"

#include <unistd.h>

enum { KEYS = 40000, BYTES = 400, DISK = 3 << 20, LARGE = 64 << 20, MS = 1000000 };

#define SMALL                                                                    \
	"memory_bytes=1m,memtable_bytes=48k,memtables=3,segment_bytes=64k,"      \
	"table_bytes=32k,block_bytes=1k,level_bytes=96k,ratio=3,flushed_runs=2," \
	"huge=off"

struct disk {
	struct env_sim *sim;
	struct env *env;
	const char *options;
	uint64_t capacity;
	struct kv *kv;
	unsigned int version[KEYS]; /* 0: not there */
	unsigned int tried;         /* keys below it */
};

static struct disk world;

static void open_store(struct disk *d)
{
	struct kv_msg why = { "" };

	if (kv_open(&lsm_engine, d->env, "store", d->options, &d->kv, &why))
		fail_msg("%s: %s", d->options, why.text);
}

static struct disk *disk_begin(const char *options, uint64_t capacity)
{
	struct disk *d = &world;

	memset(d, 0, sizeof(*d));
	d->sim = env_sim_new(&(struct env_sim_config){
		.seed = 9, .no_journal = true, .capacity_bytes = capacity });
	d->env = env_sim_env(d->sim);
	d->options = options;
	d->capacity = capacity;
	open_store(d);
	return d;
}

static void disk_end(struct disk *d)
{
	assert_int_equal(kv_close(d->kv), 0);
	env_sim_free(d->sim);
}

static int put(struct disk *d, unsigned int key, enum kv_durability how)
{
	int error = fixture_put(d->kv, key, d->version[key] + 1, BYTES, how);

	if (d->tried <= key)
		d->tried = key + 1;
	d->version[key] += !error;
	return error;
}

static void delete (struct disk *d, unsigned int key)
{
	int error = fixture_delete(d->kv, key, key % 16 ? KV_NONE : KV_SYNC);

	if (error)
		fail_msg("%s: disk of %llu KiB: delete of key %u: %d", d->options,
			 (unsigned long long)d->capacity >> 10, key, error);
	d->version[key] = 0;
}

/* Puts until there is no room; returns how many keys were put. */
static unsigned int fill(struct disk *d, unsigned int from)
{
	unsigned int key;
	int error = 0;

	for (key = from; !error && key < KEYS; key++)
		error = put(d, key, KV_NONE);
	if (error != -ENOSPC)
		fail_msg("%s: filling ends with %d at key %u", d->options, error, key);
	return key - 1;
}

static void check(struct disk *d)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	unsigned int key, version;
	struct kv_msg why = { "" };
	struct kv_cursor *c;
	size_t there = 0, met = 0;

	for (key = 0; key < d->tried; key++) {
		int error = kv_get(d->kv, fixture_key(k, key), &value);

		version = error ? 0 : fixture_version(key, BYTES, value.data, value.len);
		if ((error && error != -ENOENT) || version != d->version[key])
			fail_msg("%s: key %u: error %d, version %u, wanted %u",
				 d->options, key, error, version, d->version[key]);
		there += version != 0;
	}
	kv_buf_free(&value);
	assert_int_equal(kv_cursor(d->kv, NULL, &c), 0);
	while (!kv_next(c))
		met++;
	kv_cursor_close(c);
	assert_int_equal(met, there);
	if (kv_verify(d->kv, &why))
		fail_msg("%s: %s", d->options, why.text);
}

/* Keys are put again as space comes back. Returns how many were. */
static unsigned int put_again(struct disk *d, unsigned int from, unsigned int to)
{
	unsigned int key = from, patience;
	int error;

	for (patience = 0; key < to && patience < 200; patience++) {
		error = put(d, key, KV_NONE);
		if (!error) {
			key++;
			patience = 0;
			continue;
		}
		assert_int_equal(error, -ENOSPC);
		d->env->ops->sleep_ns(d->env, 50 * MS);
	}
	return key - from;
}

static void full_disk(const char *options, uint64_t capacity)
{
	struct disk *d = disk_begin(options, capacity);
	unsigned int keys = fill(d, 0), key, again;

	assert_true(keys > 500);
	/* Still full, and said so again; what is there can be read. */
	assert_int_equal(fixture_put(d->kv, keys, 1, 3000, KV_SYNC), -ENOSPC);
	assert_true(fixture_stat(d->kv, "tight"));
	check(d);
	for (key = 0; key < keys * 3 / 4; key++)
		delete (d, key);
	check(d);
	again = put_again(d, 0, keys / 4);
	if (again < keys / 4)
		fail_msg("%s: of %u keys three quarters were deleted, and %u fit again",
			 options, keys, again);
	assert_int_equal(fixture_stat(d->kv, "tight"), 0);
	check(d);
	assert_int_equal(kv_close(d->kv), 0);
	open_store(d);
	check(d);
	disk_end(d);
}

static void test_full_disk_reads_deletes_and_resumes(void **state)
{
	static const char *const options[] = {
		SMALL,
		SMALL ",map=off,style=leveled",
		SMALL ",style=tiered,parts=3,threads=2,reserve_bytes=256k",
		SMALL ",blob_bytes=100",
		SMALL ",reserve_bytes=512k",
		SMALL ",memtable_bytes=16k,table_bytes=8k",
	};
	uint64_t step = fixture_torture_seconds() ? DISK / 48 : DISK, bytes;
	size_t i;

	(void)state;
	for (bytes = DISK; bytes <= 2 * DISK; bytes += step)
		for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
			full_disk(options[i], bytes);
}

/* The same for a store that is opened on the full disk: puts are refused there as well. */
static void test_store_is_opened_on_a_full_disk(void **state)
{
	struct disk *d = disk_begin(SMALL, DISK);
	unsigned int keys = fill(d, 0), key, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		assert_int_equal(kv_close(d->kv), 0);
		open_store(d);
		check(d);
	}
	for (key = 0; key < keys * 3 / 4; key++)
		delete (d, key);
	assert_int_equal(kv_close(d->kv), 0);
	open_store(d);
	check(d);
	assert_int_equal(put_again(d, 0, keys / 4), keys / 4);
	check(d);
	disk_end(d);
}

static void empty_and_fill(const char *options, uint64_t capacity)
{
	struct disk *d = disk_begin(options, capacity);
	unsigned int keys = fill(d, 0), key, round, again;

	for (round = 0; round < 4; round++) {
		for (key = 0; key < keys; key++)
			delete (d, key);
		again = put_again(d, 0, keys * 3 / 4);
		if (again < keys * 3 / 4)
			fail_msg(
				"%s: disk of %llu KiB, round %u: only %u of %u fit again",
				options, (unsigned long long)capacity >> 10, round, again,
				keys);
		(void)fill(d, again);
		check(d);
	}
	disk_end(d);
}

/* What a table overlaps with and how much of a block its end leaves depends on all that was
 * written before: so disks of several sizes. */
static void test_full_disk_is_emptied_and_filled_again(void **state)
{
	uint64_t step = fixture_torture_seconds() ? DISK / 48 : DISK / 3, bytes;

	(void)state;
	/* Here the log's task took the room that was made for a flush. */
	empty_and_fill(SMALL ",style=tiered,threads=2", 4608 << 10);
	for (bytes = DISK; bytes <= 2 * DISK; bytes += step)
		empty_and_fill(SMALL, bytes);
	for (bytes = DISK; fixture_torture_seconds() && bytes < 2 * DISK; bytes += step) {
		empty_and_fill(SMALL ",map=off,style=leveled", bytes);
		empty_and_fill(SMALL ",style=tiered,threads=2", bytes);
		empty_and_fill(SMALL ",blob_bytes=100", bytes);
	}
}

/* While somebody keeps what is deleted; what little he does not keep is used up as well. */
static void delete_all_and_fill(struct disk *d, unsigned int keys)
{
	unsigned int key, round;

	for (key = 0; key < keys; key++)
		delete (d, key);
	d->env->ops->sleep_ns(d->env, 5000ull * MS);
	for (round = 0; round < 20 && !fixture_stat(d->kv, "tight"); round++) {
		(void)fill(d, 0);
		d->env->ops->sleep_ns(d->env, 5000ull * MS);
	}
	assert_true(fixture_stat(d->kv, "tight"));
	assert_int_equal(put(d, 0, KV_NONE), -ENOSPC);
}

/* What a cursor kept goes when it is closed, though nothing is written any more: puts alone are
 * no reason to flush or to compact. */
static void test_space_that_a_cursor_kept_comes_back(void **state)
{
	struct disk *d = disk_begin(SMALL, DISK);
	unsigned int keys = fill(d, 0);
	struct kv_cursor *c;

	(void)state;
	assert_int_equal(kv_cursor(d->kv, NULL, &c), 0);
	delete_all_and_fill(d, keys);
	kv_cursor_close(c);
	assert_int_equal(put_again(d, 0, keys / 2), keys / 2);
	assert_int_equal(fixture_stat(d->kv, "tight"), 0);
	check(d);
	disk_end(d);
}

static void test_space_that_a_snapshot_kept_comes_back(void **state)
{
	struct disk *d = disk_begin(SMALL, DISK);
	unsigned int keys = fill(d, 0);
	struct kv_snapshot *snap;

	(void)state;
	assert_int_equal(kv_snapshot(d->kv, &snap), 0);
	delete_all_and_fill(d, keys);
	kv_release(d->kv, snap);
	assert_int_equal(put_again(d, 0, keys / 2), keys / 2);
	assert_int_equal(fixture_stat(d->kv, "tight"), 0);
	check(d);
	disk_end(d);
}

/* Deletes at the bottom go when nobody reads that far back any more. */
static void test_deletes_that_a_snapshot_kept_go_with_it(void **state)
{
	struct disk *d = disk_begin(SMALL, LARGE);
	struct kv_snapshot *snap[2];
	unsigned int key;

	(void)state;
	for (key = 0; key < 2000; key++)
		assert_int_equal(put(d, key, KV_NONE), 0);
	assert_int_equal(kv_snapshot(d->kv, &snap[0]), 0);
	assert_int_equal(kv_snapshot(d->kv, &snap[1]), 0);
	for (key = 0; key < 2000; key++)
		delete (d, key);
	assert_int_equal(kv_compact(d->kv), 0);
	assert_true(fixture_stat(d->kv, "table_bytes") > 2000 * BYTES);
	/* The second within the same second as the first. */
	kv_release(d->kv, snap[0]);
	d->env->ops->sleep_ns(d->env, 100ull * MS);
	assert_true(fixture_stat(d->kv, "table_bytes") > 2000 * BYTES);
	kv_release(d->kv, snap[1]);
	d->env->ops->sleep_ns(d->env, 3000ull * MS);
	assert_int_equal(fixture_stat(d->kv, "table_bytes"), 0);
	check(d);
	disk_end(d);
}

/* The same where there is room enough: nobody has to write for it. */
static void test_files_that_a_cursor_kept_go_with_it(void **state)
{
	struct disk *d = disk_begin(SMALL, LARGE);
	uint64_t before, kept, after;
	struct kv_cursor *c;
	unsigned int key;

	(void)state;
	for (key = 0; key < 2000; key++)
		assert_int_equal(put(d, key, KV_NONE), 0);
	assert_int_equal(kv_compact(d->kv), 0);
	assert_int_equal(d->env->ops->free_space(d->env, "store", &before), 0);
	assert_int_equal(kv_cursor(d->kv, NULL, &c), 0);
	for (key = 0; key < 2000; key++)
		delete (d, key);
	assert_int_equal(kv_compact(d->kv), 0);
	assert_int_equal(d->env->ops->free_space(d->env, "store", &kept), 0);
	kv_cursor_close(c);
	d->env->ops->sleep_ns(d->env, 10ull * MS);
	assert_int_equal(d->env->ops->free_space(d->env, "store", &after), 0);
	assert_true(after >= kept + 2000 * BYTES);
	assert_true(after >= before);
	check(d);
	disk_end(d);
}

/* A value that no file has room for is refused whenever the disk is not full otherwise: what it
 * took of memory is given back each time. */
static void test_values_that_find_no_room_keep_no_memory(void **state)
{
	struct disk *d = disk_begin(SMALL, DISK);
	const size_t bytes = 2 * DISK;
	uint8_t *value = port_alloc(bytes);
	uint64_t memory = 0;
	unsigned int round;

	(void)state;
	assert_non_null(value);
	memset(value, 'v', bytes);
	for (round = 0; round < 8; round++) {
		assert_int_equal(
			kv_put(d->kv, kv_str("large"), kv_slice(value, bytes), KV_NONE),
			-ENOSPC);
		d->env->ops->sleep_ns(d->env, 3000ull * MS);
		assert_int_equal(fixture_stat(d->kv, "tight"), 0);
		if (!round)
			memory = fixture_stat(d->kv, "memtable_memory_bytes");
	}
	assert_true(fixture_stat(d->kv, "memtable_memory_bytes") <= memory);
	assert_true(fixture_stat(d->kv, "memtable_bytes") < bytes);
	port_free(value);
	assert_int_equal(put(d, 0, KV_SYNC), 0);
	check(d);
	disk_end(d);
}

/* Others use the disk as well: what they free is found within seconds. */
static void test_space_that_others_free_is_found(void **state)
{
	struct disk *d = disk_begin(SMALL, DISK);
	unsigned int keys = fill(d, 0);

	(void)state;
	assert_true(fixture_stat(d->kv, "tight"));
	env_sim_set_capacity(d->sim, 2 * DISK);
	assert_int_equal(put(d, keys, KV_SYNC), -ENOSPC);
	d->env->ops->sleep_ns(d->env, 2500ull * MS);
	assert_int_equal(fixture_stat(d->kv, "tight"), 0);
	assert_true(fixture_stat(d->kv, "reserve_bytes") > 0);
	assert_int_equal(put(d, keys, KV_SYNC), 0);
	assert_true(fill(d, keys + 1) > keys + 1000);
	check(d);
	disk_end(d);
}

/* A disk that others fill all at once, whatever the store is at: each call that takes space
 * fails from there on, in a flush, a compaction, the manifest, the log. */
static void full_at(const char *options, unsigned int puts)
{
	struct disk *d = disk_begin(options, LARGE);
	unsigned int key;
	uint64_t room;

	for (key = 0; key < puts; key++)
		assert_int_equal(put(d, key % 600, KV_NONE), 0);
	assert_int_equal(d->env->ops->free_space(d->env, "store", &room), 0);
	env_sim_set_capacity(d->sim, LARGE - room);
	for (key = 0; key < 600; key++)
		(void)put(d, key, KV_NONE);
	d->env->ops->sleep_ns(d->env, 3000ull * MS);
	for (key = 0; key < 600; key += 3)
		delete (d, key);
	check(d);
	/* Its work goes on when they go. */
	env_sim_set_capacity(d->sim, LARGE);
	d->env->ops->sleep_ns(d->env, 3000ull * MS);
	for (key = 0; key < 600; key++)
		assert_int_equal(put(d, key, KV_NONE), 0);
	check(d);
	assert_int_equal(kv_compact(d->kv), 0);
	assert_int_equal(fixture_stat(d->kv, "flush_error"), 0);
	assert_int_equal(kv_close(d->kv), 0);
	open_store(d);
	check(d);
	disk_end(d);
}

static void test_disk_that_fills_at_any_moment(void **state)
{
	unsigned int puts;

	(void)state;
	for (puts = 150; puts < 1600; puts += fixture_torture_seconds() ? 1 : 61)
		full_at(puts % 2 ? SMALL : SMALL ",blob_bytes=100,style=leveled", puts);
}

/* ---- the file ---- */

static uint64_t size_of_reserve(struct disk *d)
{
	uint64_t size = UINT64_MAX;
	struct file *f;

	if (env_open(d->env, "store/RESERVE", ENV_READ, &f))
		return size;
	assert_int_equal(f->ops->size(f, &size), 0);
	file_close(f);
	return size;
}

static void test_reserve_is_made_when_there_is_something_to_lose(void **state)
{
	struct disk *d = disk_begin(SMALL, 64 << 20);
	unsigned int key;

	(void)state;
	assert_int_equal(put(d, 0, KV_NONE), 0);
	d->env->ops->sleep_ns(d->env, 2000ull * MS);
	assert_true(size_of_reserve(d) == UINT64_MAX);
	for (key = 0; key < 500; key++)
		assert_int_equal(put(d, key, KV_NONE), 0);
	d->env->ops->sleep_ns(d->env, 2000ull * MS);
	assert_int_equal(size_of_reserve(d), (64 << 10) + (48 << 10) + 2 * (32 << 10));
	assert_int_equal(fixture_stat(d->kv, "reserve_bytes"), size_of_reserve(d));
	assert_int_equal(kv_close(d->kv), 0);

	d->options = SMALL ",reserve_bytes=64k"; /* a smaller one */
	open_store(d);
	assert_int_equal(size_of_reserve(d), 64 << 10);
	assert_int_equal(kv_close(d->kv), 0);
	d->options = SMALL ",reserve_bytes=0"; /* none */
	open_store(d);
	assert_true(size_of_reserve(d) == UINT64_MAX);
	assert_int_equal(fixture_stat(d->kv, "reserve_bytes"), 0);
	assert_int_equal(kv_close(d->kv), 0);
	d->options = SMALL ",reserve_bytes=1m"; /* and one again */
	open_store(d);
	check(d);
	d->env->ops->sleep_ns(d->env, 2000ull * MS);
	assert_int_equal(size_of_reserve(d), 1 << 20);
	disk_end(d);
}

/* One that is larger than it shall be, and could not be cut, is not made larger still. */
static void test_reserve_that_cannot_be_cut_does_not_grow(void **state)
{
	const struct env_sim_fault fault = {
		.calls = 1u << SIM_TRUNCATE, .nth = 1, .error = -EIO, .path = "RESERVE"
	};
	struct disk *d = disk_begin(SMALL ",reserve_bytes=1m", LARGE);
	unsigned int key;
	uint64_t room;

	(void)state;
	for (key = 0; key < 500; key++)
		assert_int_equal(put(d, key, KV_NONE), 0);
	d->env->ops->sleep_ns(d->env, 2000ull * MS);
	assert_int_equal(size_of_reserve(d), 1 << 20);
	assert_int_equal(kv_close(d->kv), 0);
	/* No room for the segments that opening takes: it is cut for them. */
	assert_int_equal(d->env->ops->free_space(d->env, "store", &room), 0);
	env_sim_set_capacity(d->sim, LARGE - room + (150 << 10));
	d->options = SMALL ",reserve_bytes=64k";
	env_sim_fault(d->sim, &fault);
	open_store(d);
	assert_true(env_sim_fault_fired(d->sim));
	env_sim_fault(d->sim, NULL);
	d->env->ops->sleep_ns(d->env, 3000ull * MS);
	assert_true(size_of_reserve(d) <= 1 << 20);
	assert_int_equal(fixture_stat(d->kv, "tight"), 0);
	assert_int_equal(put(d, 0, KV_SYNC), 0);
	check(d);
	disk_end(d);
}

/* Without a reserve and without room for one the disk is got through as well, if not so far. */
static void test_store_without_a_reserve_resumes_when_there_is_space(void **state)
{
	static const char *const options[] = { SMALL ",reserve_bytes=0",
					       SMALL ",reserve_bytes=1g" };
	unsigned int keys;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct disk *d = disk_begin(options[i], DISK);

		keys = fill(d, 0);
		assert_int_equal(fixture_stat(d->kv, "reserve_bytes"), 0);
		check(d);
		env_sim_set_capacity(d->sim, 2 * DISK);
		assert_int_equal(put_again(d, keys, keys + 1000), 1000);
		check(d);
		disk_end(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_reserve_is_made_when_there_is_something_to_lose),
		LEAK_CHECKED(test_full_disk_reads_deletes_and_resumes),
		LEAK_CHECKED(test_store_is_opened_on_a_full_disk),
		LEAK_CHECKED(test_full_disk_is_emptied_and_filled_again),
		LEAK_CHECKED(test_space_that_a_cursor_kept_comes_back),
		LEAK_CHECKED(test_space_that_a_snapshot_kept_comes_back),
		LEAK_CHECKED(test_files_that_a_cursor_kept_go_with_it),
		LEAK_CHECKED(test_deletes_that_a_snapshot_kept_go_with_it),
		LEAK_CHECKED(test_values_that_find_no_room_keep_no_memory),
		LEAK_CHECKED(test_space_that_others_free_is_found),
		LEAK_CHECKED(test_disk_that_fills_at_any_moment),
		LEAK_CHECKED(test_reserve_that_cannot_be_cut_does_not_grow),
		LEAK_CHECKED(test_store_without_a_reserve_resumes_when_there_is_space),
	};

	/* A call that never ends ends the program: a hang is a failure. */
	(void)alarm(fixture_torture_seconds() ? 3600 : 900);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
