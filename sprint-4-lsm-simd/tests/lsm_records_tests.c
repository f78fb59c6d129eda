/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_records_tests.c - the record cache: what it holds is what was offered last and not
 * removed since, also when readers offer what they read before a turn; its budget; what
 * stays; no memory; threads.
 */
#include "../lsm_cache.h"
#include "../neon_lsm_ops.h"
#include "lsm_memtable_fixture.h"

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

static struct lsm_records *make(uint64_t bytes)
{
	struct lsm_records *r;

	assert_int_equal(lsm_records_new(bytes, false, &r), 0);
	return r;
}

static void offer(struct lsm_records *r, struct kv_slice key, struct kv_slice value)
{
	lsm_records_offer(r, key, lsm_key_hash(key), value, lsm_records_generation(r));
}

static void offer_text(struct lsm_records *r, const char *key, const char *value)
{
	offer(r, kv_str(key), kv_str(value));
}

static bool has(struct lsm_records *r, struct kv_slice key, struct kv_slice expected)
{
	struct kv_buf value = { 0 };
	int error = lsm_records_get(r, key, lsm_key_hash(key), &value);

	if (error) {
		assert_int_equal(error, -ENOENT);
		assert_int_equal(value.len, 0);
	} else {
		assert_slice(kv_slice(value.data, value.len), expected);
	}
	kv_buf_free(&value);
	return !error;
}

static bool has_text(struct lsm_records *r, const char *key, const char *value)
{
	return has(r, kv_str(key), kv_str(value));
}

static void remove_text(struct lsm_records *r, const char *key)
{
	lsm_records_remove(r, kv_str(key), lsm_key_hash(kv_str(key)));
}

static struct lsm_cache_stats stats_of(struct lsm_records *r)
{
	struct lsm_cache_stats s;

	lsm_records_stats(r, &s);
	return s;
}

static void test_get_what_was_offered_until_it_is_removed(void **state)
{
	struct lsm_records *r = make(1 << 20);

	(void)state;
	assert_false(has_text(r, "a", ""));
	offer_text(r, "a", "1");
	offer_text(r, "", "empty key");
	offer_text(r, "empty value", "");
	assert_true(has_text(r, "a", "1"));
	assert_true(has_text(r, "", "empty key"));
	assert_true(has_text(r, "empty value", ""));
	remove_text(r, "a");
	remove_text(r, "b");
	assert_false(has_text(r, "a", ""));
	offer_text(r, "a", "2");
	assert_true(has_text(r, "a", "2"));
	lsm_records_prefetch(r, 5);
	assert_int_equal(stats_of(r).hits, 4);
	assert_int_equal(stats_of(r).misses, 2);
	assert_int_equal(stats_of(r).inserts, 4);
	assert_int_equal(stats_of(r).blocks, 3);
	lsm_records_clear(r);
	assert_false(has_text(r, "a", "") || has_text(r, "", ""));
	assert_int_equal(stats_of(r).blocks, 0);
	lsm_records_free(r);
}

static void test_no_bytes_are_no_cache(void **state)
{
	struct lsm_records *r = make(0);

	(void)state;
	assert_null(r);
	offer_text(r, "a", "1");
	assert_false(has_text(r, "a", "1"));
	remove_text(r, "a");
	lsm_records_turn(r);
	lsm_records_clear(r);
	lsm_records_resize(r, 100);
	lsm_records_prefetch(r, 1);
	assert_int_equal(stats_of(r).bytes, 0);
	lsm_records_free(r);
}

static void test_what_was_read_before_a_turn_does_not_come_in(void **state)
{
	struct lsm_records *r = make(1 << 20);
	const uint64_t before = lsm_records_generation(r);
	const struct kv_slice key = kv_str("k");

	(void)state;
	lsm_records_turn(r);
	lsm_records_offer(r, key, lsm_key_hash(key), kv_str("old"), before);
	assert_false(has_text(r, "k", ""));
	lsm_records_offer(r, key, lsm_key_hash(key), kv_str("new"), before + 1);
	assert_true(has_text(r, "k", "new"));
	lsm_records_free(r);
}

static void test_large_records_stay_out(void **state)
{
	struct lsm_records *r = make(16 << 20);
	char *large = calloc(1, 200000);

	(void)state;
	offer(r, kv_str("a"), kv_slice(large, 200000));
	assert_false(has(r, kv_str("a"), kv_slice(large, 200000)));
	offer(r, kv_str("a"), kv_slice(large, 60000));
	assert_true(has(r, kv_str("a"), kv_slice(large, 60000)));
	free(large);
	lsm_records_free(r);
}

/* Records of any size are packed, and all of the budget is used. */
static void test_memory_is_full_and_no_more(void **state)
{
	const uint64_t budget = 4 << 20;
	struct lsm_records *r = make(budget);
	const size_t n = 60000;
	size_t i, there = 0;
	char key[TEXT], value[400];

	(void)state;
	memset(value, 'v', sizeof(value));
	for (i = 0; i < n; i++) {
		offer(r, test_key(key, i), kv_slice(value, i % 200));
		if (i % 5000 == 0)
			assert_true(stats_of(r).bytes <= budget);
	}
	assert_in_range(stats_of(r).bytes, budget * 9 / 10, budget);
	for (i = 0; i < n; i++)
		there += has(r, test_key(key, i), kv_slice(value, i % 200));
	assert_int_equal(there, stats_of(r).blocks);
	assert_true(there > 15000);
	assert_int_equal(stats_of(r).inserts - stats_of(r).evictions, there);
	lsm_records_free(r);
}

static void test_what_is_hit_stays_when_others_go(void **state)
{
	struct lsm_records *r = make(2 << 20);
	char key[TEXT], value[100] = { 0 };
	size_t i, k, stayed = 0;

	(void)state;
	for (i = 0; i < 100; i++)
		offer(r, test_key(key, i), kv_slice(value, 100));
	for (i = 1000; i < 101000; i++) {
		if (i % 1000 == 0)
			for (k = 0; k < 100; k++)
				(void)has(r, test_key(key, k), kv_slice(value, 100));
		offer(r, test_key(key, i), kv_slice(value, 100));
	}
	for (k = 0; k < 100; k++)
		stayed += has(r, test_key(key, k), kv_slice(value, 100));
	/* A few may have been pushed out of a bucket that is full of such ones. */
	assert_in_range(stayed, 90, 100);
	lsm_records_free(r);
}

static void fill(struct lsm_records *r, size_t n)
{
	char key[TEXT], value[100] = { 0 };
	size_t i;

	for (i = 0; i < n; i++)
		offer(r, test_key(key, i), kv_slice(value, 100));
}

static void test_resize_grows_and_shrinks(void **state)
{
	struct lsm_records *r = make(1 << 20);
	uint64_t blocks;

	(void)state;
	fill(r, 20000);
	blocks = stats_of(r).blocks;
	lsm_records_resize(r, 3 << 19);
	fill(r, 40000);
	assert_true(stats_of(r).blocks > blocks * 5 / 4);
	assert_true(stats_of(r).bytes <= 3 << 19);
	lsm_records_resize(r, 1 << 19);
	assert_true(stats_of(r).bytes <= 1 << 19);
	fill(r, 20000);
	assert_in_range(stats_of(r).bytes, 1 << 18, 1 << 19);
	lsm_records_resize(r, 0);
	fill(r, 1000);
	lsm_records_resize(r, 1 << 20);
	fill(r, 20000);
	assert_true(stats_of(r).blocks >= blocks * 9 / 10);
	lsm_records_free(r);
}

/* ---- against a model: tables say value[k]; a memtable's flush changes them ---- */

enum { KEYS = 600 };

static struct kv_slice model_value(char *text, size_t key, uint64_t version)
{
	struct kv_slice v = test_value(text, key, version);

	return version % 5 ? v : kv_slice(text, v.len - 1); /* of several lengths */
}

static void use_at_random(uint64_t bytes)
{
	const size_t rounds = test_draws(300000) + 3000;
	struct lsm_records *r = make(bytes);
	uint64_t version[KEYS] = { 0 }, stale = 0, stale_version[KEYS] = { 0 };
	size_t i, hits = 0;
	char text[TEXT], value[TEXT];

	for (i = 0; i < rounds; i++) {
		const size_t k = core_random_below(KEYS);
		const struct kv_slice key = test_key(text, k);

		switch (core_random_below(8)) {
		case 0: /* a flush of one key; somebody remembers how things were */
			if (core_random_below(4) == 0) {
				stale = lsm_records_generation(r);
				memcpy(stale_version, version, sizeof(version));
			}
			version[k]++;
			lsm_records_turn(r);
			lsm_records_remove(r, key, lsm_key_hash(key));
			break;
		case 1:
			if (core_random_below(500) == 0)
				lsm_records_clear(r);
			lsm_records_offer(r, key, lsm_key_hash(key),
					  model_value(value, k, stale_version[k]), stale);
			break;
		default:
			if (has(r, key, model_value(value, k, version[k])))
				hits++;
			else
				offer(r, key, model_value(value, k, version[k]));
		}
	}
	assert_true(hits > rounds / 8);
	lsm_records_free(r);
}

static void test_random_use_never_gives_an_old_value(void **state)
{
	(void)state;
	print_message("seed 0x%x\n", CORE_SEED);
	use_at_random(1 << 20);
	use_at_random(24 << 10); /* not all have room */
}

static void test_no_memory_at_every_allocation(void **state)
{
	uint64_t nth;

	(void)state;
	for (nth = 1;; nth++) {
		struct kv_buf value = { 0 };
		struct lsm_records *r;
		int error;

		port_fault_set(nth, true);
		error = lsm_records_new(2 << 20, false, &r);
		if (!error) {
			offer_text(r, "a", "1");
			error = lsm_records_get(r, kv_str("a"), lsm_key_hash(kv_str("a")),
						&value);
		}
		kv_buf_free(&value);
		lsm_records_free(r);
		if (!error)
			break;
		assert_true(port_fault_fired());
		assert_int_equal(error, -ENOMEM);
	}
	assert_true(nth > 5);
}

/* ---- threads ---- */

enum { READERS = 3, SHARED = 200 };

struct world {
	struct lsm_records *records;
	uint64_t tables[SHARED];  /* atomic: the version that tables have */
	uint64_t settled[SHARED]; /* atomic: ... of which the cache knows */
	uint32_t flushing;        /* atomic */
	uint32_t wrong, hits;     /* atomic */
};

struct reader {
	pthread_t thread;
	struct world *world;
	uint64_t random;
};

/* Twenty bytes and more, all of which say the version. */
static struct kv_slice shared_value(uint8_t *text, size_t key, uint64_t version)
{
	const size_t n = 20 + key % 60;

	memset(text, (int)(version % 251), n);
	port_put_le64(text, version);
	return kv_slice(text, n);
}

static void read_key(struct world *w, size_t k, struct kv_buf *value)
{
	const uint64_t settled = port_load_acquire(&w->settled[k]);
	const uint64_t generation = lsm_records_generation(w->records);
	const uint64_t version = port_load_acquire(&w->tables[k]);
	char text[TEXT];
	const struct kv_slice key = test_key(text, k);
	uint8_t bytes[100];
	uint64_t got;

	if (lsm_records_get(w->records, key, lsm_key_hash(key), value)) {
		lsm_records_offer(w->records, key, lsm_key_hash(key),
				  shared_value(bytes, k, version), generation);
		return;
	}
	got = port_get_le64(value->data);
	if (got < settled ||
	    kv_compare(kv_slice(value->data, value->len), shared_value(bytes, k, got)))
		(void)port_fetch_add(&w->wrong, 1u);
	(void)port_fetch_add(&w->hits, 1u);
}

static void *read_on(void *arg)
{
	struct reader *me = arg;
	struct kv_buf value = { 0 };

	do {
		me->random = me->random * 6364136223846793005u + 1442695040888963407u;
		read_key(me->world, (me->random >> 33) % SHARED, &value);
	} while (port_load_acquire(&me->world->flushing));
	kv_buf_free(&value);
	return NULL;
}

static void flush_one(struct world *w, size_t k)
{
	const uint64_t next = port_load_relaxed(&w->tables[k]) + 1;
	char text[TEXT];
	const struct kv_slice key = test_key(text, k);

	port_store_release(&w->tables[k], next);
	lsm_records_turn(w->records);
	lsm_records_remove(w->records, key, lsm_key_hash(key));
	port_store_release(&w->settled[k], next);
}

static void threads_share(uint64_t bytes)
{
	const size_t rounds = test_draws(100000) + 2000;
	static struct world w;
	struct reader reader[READERS];
	size_t i;

	memset(&w, 0, sizeof(w));
	w.records = make(bytes);
	w.flushing = 1;
	for (i = 0; i < READERS; i++) {
		reader[i] = (struct reader){ .world = &w, .random = CORE_SEED + i };
		assert_int_equal(
			pthread_create(&reader[i].thread, NULL, read_on, &reader[i]), 0);
	}
	for (i = 0; i < rounds || port_load_acquire(&w.hits) < 100; i++) {
		flush_one(&w, core_random_below(SHARED));
		if (i % 5000 == 0)
			lsm_records_clear(w.records);
		if (i % 7000 == 0)
			lsm_records_resize(w.records, bytes - i % 3 * (bytes / 4));
	}
	port_store_release(&w.flushing, 0u);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(reader[i].thread, NULL), 0);
	assert_int_equal(w.wrong, 0);
	lsm_records_free(w.records);
}

static void test_threads_get_offer_and_remove(void **state)
{
	(void)state;
	threads_share(1 << 20);
	threads_share(8 << 10); /* memory is used again all the time */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_get_what_was_offered_until_it_is_removed),
		LEAK_CHECKED(test_no_bytes_are_no_cache),
		LEAK_CHECKED(test_what_was_read_before_a_turn_does_not_come_in),
		LEAK_CHECKED(test_large_records_stay_out),
		LEAK_CHECKED(test_memory_is_full_and_no_more),
		LEAK_CHECKED(test_what_is_hit_stays_when_others_go),
		LEAK_CHECKED(test_resize_grows_and_shrinks),
		LEAK_CHECKED(test_random_use_never_gives_an_old_value),
		LEAK_CHECKED(test_no_memory_at_every_allocation),
		LEAK_CHECKED(test_threads_get_offer_and_remove),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
