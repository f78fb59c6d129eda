/* SPDX-License-Identifier: MIT */
/*
 * hash_space_tests.c - what the hash engine takes of disk and memory, and what it does when
 * the disk is full.
 *
 * A disk of a few MiB is filled until nothing goes in any more. Reads and deletes go on;
 * what deletes or overwriting set free is written to again, without opening anew. And the
 * bounds that hash_engine.h states are held: bytes on disk under endless overwriting,
 * after all is deleted, bytes of index a key.
 */
#include "hash_store_fixture.h"

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../env.h"

#include <unistd.h>

enum {
	SEGMENT = 64 << 10,
	BYTES = 1000,
	KEYS_MAX = 20000,
	STEP_NS = 10000000,
	SLACK_SEGMENTS = 12, /* see hash_engine.h */
};

#define SMALL "segment_bytes=64k,leaf=64,group_ms=1"

struct scene {
	struct env_sim *sim;
	struct kv *kv;
	unsigned int version[KEYS_MAX]; /* 0: not there */
	unsigned int keys;
};

static int open_scene(struct scene *s, const char *options, struct kv_msg *why)
{
	return kv_open(&hash_engine, env_sim_env(s->sim), "store", options, &s->kv, why);
}

/* preempt: see env_sim.h; 0 lets the writer run until it must wait. */
static struct scene *scene_new_with(uint64_t capacity, const char *options,
				    unsigned int preempt)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct kv_msg why = { "" };

	assert_non_null(s);
	s->sim = env_sim_new(&(struct env_sim_config){ .seed = 3,
						       .capacity_bytes = capacity,
						       .no_journal = true,
						       .preempt = preempt });
	if (open_scene(s, options, &why))
		fail_msg("%s", why.text);
	return s;
}

static struct scene *scene_new(uint64_t capacity, const char *options)
{
	return scene_new_with(capacity, options, 16);
}

static void scene_end(struct scene *s)
{
	assert_int_equal(kv_close(s->kv), 0);
	env_sim_free(s->sim);
	free(s);
}

/* ---- what is on the disk ---- */

struct names {
	char name[1024][32];
	size_t n;
};

static int add_name(void *arg, const char *name)
{
	struct names *l = arg;

	assert_true(l->n < 1024 && strlen(name) < sizeof(l->name[0]));
	memcpy(l->name[l->n++], name, strlen(name) + 1);
	return 0;
}

static uint64_t disk_bytes(struct scene *s)
{
	struct env *env = env_sim_env(s->sim);
	struct names l = { .n = 0 };
	uint64_t bytes = 0, size;
	char path[ENV_PATH_MAX];
	struct file *f;
	size_t i;

	assert_int_equal(env->ops->list(env, "store", add_name, &l), 0);
	for (i = 0; i < l.n; i++) {
		assert_int_equal(env_path(path, "store", l.name[i]), 0);
		/* The store's tasks make and remove files meanwhile. */
		if (env_open(env, path, ENV_READ, &f))
			continue;
		assert_int_equal(f->ops->size(f, &size), 0);
		file_close(f);
		bytes += size;
	}
	return bytes;
}

/* ---- working on it ---- */

static int put(struct scene *s, unsigned int key)
{
	int error = fixture_put(s->kv, key, s->version[key] + 1, BYTES, KV_NONE);

	if (!error)
		s->version[key]++;
	return error;
}

static void delete (struct scene *s, unsigned int key)
{
	assert_int_equal(fixture_delete(s->kv, key, KV_NONE), 0);
	s->version[key] = 0;
}

static void check_all(struct scene *s)
{
	struct kv_buf value = { 0 };
	unsigned int key;
	char k[FIXTURE_KEY];
	int error;

	for (key = 0; key < s->keys; key++) {
		error = kv_get(s->kv, fixture_key(k, key), &value);
		if (!s->version[key]) {
			assert_int_equal(error, -ENOENT);
			continue;
		}
		assert_int_equal(error, 0);
		assert_int_equal(fixture_version(key, BYTES, value.data, value.len),
				 s->version[key]);
	}
	kv_buf_free(&value);
}

/* To the last block. */
static void take_all_space(struct scene *s)
{
	struct env *env = env_sim_env(s->sim);
	struct file *f;
	uint64_t bytes;

	assert_int_equal(env->ops->free_space(env, "store", &bytes), 0);
	assert_int_equal(env_open(env, "filler", ENV_WRITE | ENV_CREATE, &f), 0);
	assert_int_equal(bytes ? f->ops->allocate(f, 0, bytes) : 0, 0);
	file_close(f);
	assert_int_equal(env->ops->free_space(env, "store", &bytes), 0);
	assert_int_equal(bytes, 0);
}

/* New keys until the disk takes none. */
static void fill_disk(struct scene *s)
{
	int error = 0;

	while (!error) {
		assert_true(s->keys < KEYS_MAX);
		error = put(s, s->keys);
		s->keys += !error;
	}
	assert_int_equal(error, -ENOSPC);
	/* Not by chance: the next says the same. And what is too little for a segment goes
	 * to another file. */
	assert_int_equal(put(s, s->keys), -ENOSPC);
	take_all_space(s);
	assert_int_equal(put(s, s->keys), -ENOSPC);
	assert_true(s->keys > 1000);
}

/* Lets the store's own tasks work, and tries again meanwhile. */
static int put_in_time(struct scene *s, unsigned int key)
{
	struct env *env = env_sim_env(s->sim);
	unsigned int i;
	int error = -ENOSPC;

	for (i = 0; error == -ENOSPC && i < 100; i++) {
		error = put(s, key);
		if (error)
			env->ops->sleep_ns(env, STEP_NS);
	}
	return error;
}

/* ---- a full disk ---- */

static void full_disk(const char *options)
{
	struct scene *s = scene_new(4 << 20, options);
	struct kv_op batch[2];
	char k[2][FIXTURE_KEY], v[2][FIXTURE_VALUE];
	struct kv_msg why = { "" };
	unsigned int key, i;
	struct kv *other;

	fill_disk(s);
	check_all(s);
	for (i = 0; i < 2; i++)
		batch[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], s->keys + i),
					   fixture_value(v[i], s->keys + i, 1, BYTES) };
	assert_int_equal(kv_write(s->kv, batch, 2, KV_NONE), -ENOSPC);
	assert_int_equal(put(s, 7), -ENOSPC); /* a key that is there keeps its value */
	check_all(s);
	assert_int_equal(kv_sync(s->kv), 0);
	assert_int_equal(kv_verify(s->kv, NULL), 0);
	assert_int_equal(kv_open(&hash_engine, env_sim_env(s->sim), "other", options,
				 &other, &why),
			 -ENOSPC);
	assert_true(strstr(why.text, "other") != NULL);

	/* Every second key goes, and as many new ones come. */
	for (key = 0; key < s->keys; key += 2)
		delete (s, key);
	check_all(s);
	for (key = 0; key < s->keys / 2; key += 2)
		assert_int_equal(put_in_time(s, key), 0);
	check_all(s);
	assert_int_equal(kv_verify(s->kv, NULL), 0);
	assert_int_equal(kv_close(s->kv), 0);
	assert_int_equal(open_scene(s, options, NULL), 0);
	check_all(s);
	scene_end(s);
}

static void test_full_disk_reads_deletes_and_resumes(void **state)
{
	(void)state;
	full_disk(SMALL);
	full_disk(SMALL ",map=off");
	full_disk(SMALL ",clean_percent=80");
}

/* All goes, key by key, and all comes again. */
static void test_full_disk_is_emptied_and_filled_again(void **state)
{
	struct scene *s = scene_new(4 << 20, SMALL);
	unsigned int key, round, keys;

	(void)state;
	fill_disk(s);
	keys = s->keys;
	for (round = 0; round < 3; round++) {
		for (key = 0; key < keys; key++)
			delete (s, key);
		assert_int_equal(fixture_stat(s->kv, "keys"), 0);
		for (key = 0; key < keys * 9 / 10; key++)
			assert_int_equal(put_in_time(s, key), 0);
		check_all(s);
	}
	scene_end(s);
}

/* Deletes alone find room, though each makes the log longer, and even when they are made
 * of keys that are written again in between. */
static void test_full_disk_takes_deletes_again_and_again(void **state)
{
	struct scene *s = scene_new(2 << 20, SMALL);
	unsigned int key, round;

	(void)state;
	fill_disk(s);
	for (round = 0; round < 30; round++) {
		for (key = round; key < s->keys; key += 30)
			delete (s, key);
		while (!put(s, s->keys) && s->keys + 1 < KEYS_MAX)
			s->keys++;
	}
	check_all(s);
	assert_int_equal(kv_verify(s->kv, NULL), 0);
	scene_end(s);
}

/* Overwriting on a full disk: what it makes dead is room for it. */
static void test_overwriting_goes_on_where_the_disk_is_nearly_full(void **state)
{
	struct scene *s = scene_new(4 << 20, SMALL);
	uint64_t rng = 5;
	unsigned int i;

	(void)state;
	fill_disk(s);
	for (i = 0; i < s->keys / 4; i++)
		delete (s, i);
	for (i = 0; i < 4 * s->keys; i++) {
		unsigned int span = s->keys - s->keys / 4;
		unsigned int key =
			s->keys / 4 + (unsigned int)(fixture_random(&rng) % span);

		assert_int_equal(put_in_time(s, key), 0);
	}
	check_all(s);
	scene_end(s);
}

/* A store that was closed on a full disk opens there. */
static void test_full_disk_opens_again(void **state)
{
	struct scene *s = scene_new(4 << 20, SMALL);

	(void)state;
	fill_disk(s);
	assert_int_equal(kv_close(s->kv), 0);
	assert_int_equal(open_scene(s, SMALL, NULL), 0);
	check_all(s);
	delete (s, 1);
	check_all(s);
	scene_end(s);
}

/* Room that others give back is found without opening anew. */
static void test_space_that_others_free_is_found(void **state)
{
	struct scene *s = scene_new(4 << 20, SMALL);
	unsigned int key;

	(void)state;
	fill_disk(s);
	env_sim_set_capacity(s->sim, 6 << 20);
	for (key = s->keys; key < s->keys + 1000; key++)
		assert_int_equal(put(s, key), 0);
	s->keys += 1000;
	check_all(s);
	scene_end(s);
}

/* ---- bounds ---- */

/* What hash_engine.h says that a store takes. */
static uint64_t bound(struct scene *s, uint64_t clean_percent)
{
	uint64_t live = fixture_stat(s->kv, "live_bytes");

	return live * 200 / (100 - clean_percent) + SLACK_SEGMENTS * SEGMENT;
}

static void overwrite_within_bound(const char *options, uint64_t clean_percent,
				   bool skewed)
{
	struct scene *s = scene_new(0, options);
	uint64_t rng = clean_percent, most = 0, bytes;
	unsigned int i, rounds = fixture_torture_seconds() ? 200 : 12;

	for (s->keys = 0; s->keys < 1000; s->keys++)
		assert_int_equal(put(s, s->keys), 0);
	for (i = 0; i < rounds * s->keys; i++) {
		unsigned int key = (unsigned int)(fixture_random(&rng) % s->keys);

		if (skewed && fixture_random(&rng) % 10)
			key %= 50;
		assert_int_equal(put(s, key), 0);
		if (i % 20)
			continue;
		bytes = disk_bytes(s);
		if (bytes > bound(s, clean_percent))
			fail_msg("%s: %llu bytes after %u writes, at most %llu", options,
				 (unsigned long long)bytes, i,
				 (unsigned long long)bound(s, clean_percent));
		if (most < bytes)
			most = bytes;
	}
	print_message("%s: at most %llu bytes, bound %llu, live %llu\n", options,
		      (unsigned long long)most,
		      (unsigned long long)bound(s, clean_percent),
		      (unsigned long long)fixture_stat(s->kv, "live_bytes"));
	check_all(s);
	scene_end(s);
}

static void test_space_is_bounded_under_endless_overwriting(void **state)
{
	(void)state;
	overwrite_within_bound(SMALL, 50, false);
	overwrite_within_bound(SMALL, 50, true);
	overwrite_within_bound(SMALL ",clean_percent=20", 20, false);
	overwrite_within_bound(SMALL ",clean_percent=80,map=off", 80, false);
}

/* Writers wait for a cleaner that has much to move and may not hurry, and are told so. */
static void test_writers_wait_where_cleaning_falls_behind(void **state)
{
	struct scene *s = scene_new_with(0, SMALL ",clean_percent=5,clean_rate=1", 0);
	uint64_t rng = 9;
	unsigned int i;

	(void)state;
	for (s->keys = 0; s->keys < 1000; s->keys++)
		assert_int_equal(put(s, s->keys), 0);
	for (i = 0; i < 8 * s->keys; i++) {
		assert_int_equal(put(s, fixture_random(&rng) % s->keys), 0);
		if (i % 20 == 0)
			assert_true(disk_bytes(s) <= bound(s, 5));
	}
	assert_true(fixture_stat(s->kv, "write_stalls") > 0);
	assert_true(fixture_stat(s->kv, "write_stall_ns") > 0);
	check_all(s);
	scene_end(s);
}

static void test_space_comes_back_after_delete_all(void **state)
{
	struct scene *s = scene_new(0, SMALL);
	struct env *env = env_sim_env(s->sim);
	unsigned int key, i;
	uint64_t full, bytes;

	(void)state;
	for (s->keys = 0; s->keys < 3000; s->keys++)
		assert_int_equal(put(s, s->keys), 0);
	full = disk_bytes(s);
	for (key = 0; key < s->keys; key++)
		delete (s, key);
	for (i = 0; i < 100; i++)
		env->ops->sleep_ns(env, STEP_NS);
	bytes = disk_bytes(s);
	print_message("%llu bytes, and %llu once all is deleted\n",
		      (unsigned long long)full, (unsigned long long)bytes);
	assert_true(bytes <= bound(s, 50));
	assert_true(bytes <= SLACK_SEGMENTS * SEGMENT);
	check_all(s);
	/* Nothing comes to life when it is opened again. */
	assert_int_equal(kv_close(s->kv), 0);
	assert_int_equal(open_scene(s, SMALL, NULL), 0);
	check_all(s);
	scene_end(s);
}

/* compact() leaves little that is dead. */
static void test_compact_leaves_a_tenth_dead_at_most(void **state)
{
	struct scene *s = scene_new(0, SMALL ",clean_percent=90");
	unsigned int key, round;
	uint64_t live;

	(void)state;
	for (round = 0; round < 3; round++)
		for (key = 0; key < 1000; key++)
			assert_int_equal(put(s, key), 0);
	s->keys = 1000;
	assert_int_equal(kv_compact(s->kv), 0);
	live = fixture_stat(s->kv, "live_bytes");
	assert_true(disk_bytes(s) <= live * 10 / 9 + SLACK_SEGMENTS * SEGMENT);
	check_all(s);
	scene_end(s);
}

/* Two records of this size leave much of a segment free, and one that is moved does no
 * better: cleaning must see that, and end. */
static void test_compact_ends_where_records_do_not_fill_segments(void **state)
{
	static const size_t sizes[] = { 33000, 22000, 64000, 150000, 40000, 20000 };
	static char big[150000];
	struct scene *s = scene_new(0, SMALL ",clean_percent=5");
	struct kv_buf value = { 0 };
	unsigned int key, round;
	char k[FIXTURE_KEY];

	(void)state;
	for (round = 0; round < 3; round++)
		for (key = 0; key < 60; key++) {
			memset(big, (int)(key + round), sizeof(big));
			assert_int_equal(kv_put(s->kv, fixture_key(k, key),
						kv_slice(big, sizes[key % 6]), KV_NONE),
					 0);
		}
	assert_int_equal(kv_compact(s->kv), 0);
	assert_int_equal(kv_compact(s->kv), 0);
	for (key = 0; key < 60; key++) {
		assert_int_equal(kv_get(s->kv, fixture_key(k, key), &value), 0);
		assert_int_equal(value.len, sizes[key % 6]);
		assert_int_equal(((unsigned char *)value.data)[value.len - 1], key + 2);
	}
	kv_buf_free(&value);
	scene_end(s);
}

/* A snapshot keeps what it sees; when it goes, the space comes back. */
static void test_space_comes_back_when_a_snapshot_goes(void **state)
{
	struct scene *s = scene_new(0, SMALL);
	struct env *env = env_sim_env(s->sim);
	struct kv_buf value = { 0 };
	struct kv_snapshot *snap;
	unsigned int key, i;
	char k[FIXTURE_KEY];

	(void)state;
	for (s->keys = 0; s->keys < 1000; s->keys++)
		assert_int_equal(put(s, s->keys), 0);
	assert_int_equal(kv_snapshot(s->kv, &snap), 0);
	for (i = 0; i < 6 * s->keys; i++)
		assert_int_equal(put(s, i % s->keys), 0);
	for (key = 0; key < s->keys; key += 3)
		delete (s, key);
	assert_true(disk_bytes(s) > 6u * BYTES * s->keys);
	for (key = 0; key < s->keys; key++) {
		assert_int_equal(kv_get_at(s->kv, snap, fixture_key(k, key), &value), 0);
		assert_int_equal(fixture_version(key, BYTES, value.data, value.len), 1);
	}
	kv_buf_free(&value);
	kv_release(s->kv, snap);
	for (i = 0; i < 100; i++)
		env->ops->sleep_ns(env, STEP_NS);
	assert_true(disk_bytes(s) <= bound(s, 50));
	check_all(s);
	scene_end(s);
}

/* Keys that come and go, behind a segment of keys that stay: their deletes go as well. */
static void test_deletes_do_not_pile_up_behind_what_lives(void **state)
{
	struct scene *s = scene_new(0, SMALL);
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++)
		assert_int_equal(put(s, i), 0);
	for (s->keys = 100; s->keys < KEYS_MAX; s->keys++) {
		assert_int_equal(put(s, s->keys), 0);
		delete (s, s->keys);
		if (s->keys % 100 == 0)
			assert_true(disk_bytes(s) <= bound(s, 50));
	}
	assert_true(fixture_stat(s->kv, "deletes_dropped") > KEYS_MAX / 2);
	check_all(s);
	assert_int_equal(kv_close(s->kv), 0);
	assert_int_equal(open_scene(s, SMALL ",table=chaining", NULL), 0);
	check_all(s);
	scene_end(s);
}

/* ---- memory ---- */

/* Bytes of index a key when there are so many. */
static double index_bytes(struct kv *kv, unsigned int *key, unsigned int keys)
{
	double each;

	for (; *key < keys; *key += 1)
		assert_int_equal(fixture_put(kv, *key, 1, 8, KV_NONE), 0);
	each = (double)fixture_stat(kv, "index_bytes") / keys;
	print_message("%u keys: %.1f bytes of index each\n", keys, each);
	return each;
}

static void test_index_takes_24_bytes_a_key_at_most(void **state)
{
	unsigned int key = 0;
	struct kv *kv;

	assert_int_equal(make_scratch(state), 0);
	assert_int_equal(kv_open(&hash_engine, env_posix(), scratch, "", &kv, NULL), 0);
	assert_true(index_bytes(kv, &key, 200000) <= 24);
	assert_true(index_bytes(kv, &key, 540000) <= 24);
	if (fixture_torture_seconds()) {
		assert_true(index_bytes(kv, &key, 1000000) <= 24);
		assert_true(index_bytes(kv, &key, 10000000) <= 24);
	}
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(drop_scratch(state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_full_disk_reads_deletes_and_resumes),
		LEAK_CHECKED(test_full_disk_is_emptied_and_filled_again),
		LEAK_CHECKED(test_full_disk_takes_deletes_again_and_again),
		LEAK_CHECKED(test_overwriting_goes_on_where_the_disk_is_nearly_full),
		LEAK_CHECKED(test_full_disk_opens_again),
		LEAK_CHECKED(test_space_that_others_free_is_found),
		LEAK_CHECKED(test_space_is_bounded_under_endless_overwriting),
		LEAK_CHECKED(test_writers_wait_where_cleaning_falls_behind),
		LEAK_CHECKED(test_space_comes_back_after_delete_all),
		LEAK_CHECKED(test_compact_leaves_a_tenth_dead_at_most),
		LEAK_CHECKED(test_compact_ends_where_records_do_not_fill_segments),
		LEAK_CHECKED(test_space_comes_back_when_a_snapshot_goes),
		LEAK_CHECKED(test_deletes_do_not_pile_up_behind_what_lives),
		LEAK_CHECKED(test_index_takes_24_bytes_a_key_at_most),
	};

	/* A call that never ends ends the program: a hang is a failure. */
	test_ends_within(900);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
