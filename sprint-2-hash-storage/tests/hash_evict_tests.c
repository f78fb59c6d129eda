/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_evict_tests.c - a store as a cache: what goes, what stays, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../env_memory.h"
#include "../hash_engine.h"

enum { MOST = 8 << 20, VALUE = 1000, FITS = MOST / (VALUE + 64) };

static struct env *memory;

static struct kv *open_cache(const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	char all[128];
	int error;

	assert_int_equal(env_memory_new(env_posix(), MOST, &memory), 0);
	(void)snprintf(all, sizeof(all), "segment_bytes=256k%s%s", *options ? "," : "",
		       options);
	error = kv_open(&hash_engine, memory, "s", all, &kv, &why);
	if (error)
		fail_msg("open: %d %s", error, why.text);
	return kv;
}

static void close_cache(struct kv *kv)
{
	assert_int_equal(kv_close(kv), 0);
	env_memory_free(memory);
}

static struct kv_slice key_of(unsigned int i, uint8_t *bytes)
{
	port_put_le32(bytes, i);
	return kv_slice(bytes, 4);
}

static int put(struct kv *kv, unsigned int i)
{
	uint8_t key[4], value[VALUE];

	memset(value, (int)i, sizeof(value));
	return kv_put(kv, key_of(i, key), kv_slice(value, sizeof(value)), KV_NONE);
}

/* Whether it is there, and then with its value. */
static bool has(struct kv *kv, unsigned int i)
{
	struct kv_buf value = { 0 };
	uint8_t key[4], wanted[VALUE];
	int error = kv_get(kv, key_of(i, key), &value);

	if (!error) {
		memset(wanted, (int)i, sizeof(wanted));
		assert_int_equal(value.len, VALUE);
		assert_memory_equal(value.data, wanted, VALUE);
	} else {
		assert_int_equal(error, -ENOENT);
	}
	kv_buf_free(&value);
	return !error;
}

static unsigned int count(struct kv *kv, unsigned int from, unsigned int to)
{
	unsigned int n = 0;

	for (; from < to; from++)
		n += has(kv, from);
	return n;
}

struct wanted {
	const char *name;
	uint64_t value;
};

static void take_stat(void *arg, const char *name, uint64_t value)
{
	struct wanted *w = arg;

	if (!strcmp(w->name, name))
		w->value = value;
}

static uint64_t stat_of(struct kv *kv, const char *name)
{
	struct wanted w = { name, UINT64_MAX };

	kv_stats(kv, take_stat, &w);
	return w.value;
}

static void test_full_store_drops_nothing_unless_told_to(void **state)
{
	struct kv *kv = open_cache("");
	unsigned int i, n = 0;

	(void)state;
	for (i = 0; i < 2 * FITS; i++)
		n += !put(kv, i);
	assert_true(n < FITS);
	assert_int_equal(count(kv, 0, n), n);
	assert_int_equal(stat_of(kv, "pairs_evicted"), 0);
	close_cache(kv);
}

static void test_cache_takes_all_puts_and_keeps_the_newest(void **state)
{
	struct kv *kv = open_cache("evict=on");
	struct kv_msg why = { "" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 5 * FITS; i++)
		assert_int_equal(put(kv, i), 0);
	assert_int_equal(count(kv, 5 * FITS - FITS / 4, 5 * FITS), FITS / 4);
	assert_int_equal(count(kv, 0, FITS), 0);
	assert_true(stat_of(kv, "pairs_evicted") >= 4 * FITS);
	assert_true(env_memory_used(memory) <= MOST);
	assert_int_equal(stat_of(kv, "keys"), count(kv, 0, 5 * FITS));
	assert_int_equal(kv_verify(kv, &why), 0);
	close_cache(kv);
}

static void test_pair_that_was_written_again_is_young(void **state)
{
	struct kv *kv = open_cache("");
	uint64_t evicted = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < FITS / 2; i++)
		assert_int_equal(put(kv, i), 0);
	for (i = 0; i < 10; i++)
		assert_int_equal(put(kv, i), 0);
	assert_int_equal(hash_evict(kv, 100 * VALUE, &evicted), 0);
	assert_in_range(evicted, 100, 300); /* whole segments */
	assert_int_equal(count(kv, 0, 10), 10);
	assert_int_equal(count(kv, 10, 10 + 100), 0);
	assert_int_equal(count(kv, 0, FITS / 2), FITS / 2 - evicted);
	close_cache(kv);
}

static void test_evicting_all_leaves_what_is_not_sealed(void **state)
{
	struct kv *kv = open_cache("");
	uint64_t evicted = 0, before;
	unsigned int i;

	(void)state;
	for (i = 0; i < FITS / 2; i++)
		assert_int_equal(put(kv, i), 0);
	before = env_memory_used(memory);
	assert_int_equal(hash_evict(kv, UINT64_MAX, &evicted), 0);
	assert_int_equal(count(kv, 0, FITS / 2), FITS / 2 - evicted);
	assert_true(FITS / 2 - evicted < (256 << 10) / VALUE);
	/* Without waiting for the cleaner; what is kept to be written to stays. */
	assert_in_range(env_memory_used(memory), 0, before / 3 * 2);
	assert_int_equal(hash_evict(kv, 1, &evicted), 0);
	close_cache(kv);
}

/* What is larger than all that there is would not fit an empty store either. */
static void test_pair_that_can_never_fit_drops_nothing(void **state)
{
	struct kv *kv = open_cache("evict=on");
	struct kv_op op[2] = { { KV_PUT, kv_str("large"), { NULL, 2 * MOST } },
			       { KV_PUT, kv_str("small"), { NULL, 0 } } };
	void *value = calloc(1, 2 * MOST);
	unsigned int i, n;

	(void)state;
	assert_non_null(value);
	op[0].value.data = value;
	for (i = 0; i < FITS; i++)
		assert_int_equal(put(kv, i), 0);
	n = count(kv, 0, FITS);
	assert_int_equal(kv_write(kv, op, 1, KV_NONE), -ENOSPC);
	assert_int_equal(count(kv, 0, FITS), n);
	assert_int_equal(kv_write(kv, op, 2, KV_NONE), -ENOSPC);
	assert_int_equal(count(kv, 0, FITS), n);
	assert_int_equal(put(kv, FITS), 0);
	free(value);
	close_cache(kv);
}

/* What a snapshot sees stays as long as it is held, and so does its space. */
static void test_snapshot_keeps_what_is_evicted(void **state)
{
	struct kv *kv = open_cache("evict=on");
	struct kv_snapshot *snap = NULL;
	struct kv_buf value = { 0 };
	uint64_t evicted = 0;
	uint8_t key[4];
	unsigned int i;
	int error = 0;

	(void)state;
	for (i = 0; i < FITS / 2; i++)
		assert_int_equal(put(kv, i), 0);
	assert_int_equal(kv_snapshot(kv, &snap), 0);
	assert_int_equal(hash_evict(kv, 50 * VALUE, &evicted), 0);
	assert_true(evicted >= 50);
	assert_false(has(kv, 0));
	assert_int_equal(kv_get_at(kv, snap, key_of(0, key), &value), 0);
	for (i = 0; i < FITS && !error; i++)
		error = put(kv, FITS + i);
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(kv_get_at(kv, snap, key_of(0, key), &value), 0);
	kv_release(kv, snap);
	for (i = 0; i < FITS; i++)
		assert_int_equal(put(kv, 2 * FITS + i), 0);
	kv_buf_free(&value);
	close_cache(kv);
}

struct writer {
	struct kv *kv;
	unsigned int from;
	int error;
};

static void write_many(void *arg)
{
	struct writer *w = arg;
	unsigned int i;

	for (i = 0; i < 2 * FITS && !w->error; i++)
		w->error = put(w->kv, w->from + i);
}

static void test_writers_side_by_side_evict_for_each_other(void **state)
{
	struct kv *kv = open_cache("evict=on");
	struct env *env = env_posix();
	struct env_task *task[3];
	struct writer w[3];
	struct kv_msg why = { "" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		w[i] = (struct writer){ kv, i * 10 * FITS, 0 };
		assert_int_equal(env->ops->spawn(env, "w", write_many, &w[i], &task[i]),
				 0);
	}
	for (i = 0; i < 3; i++)
		env->ops->join(env, task[i]);
	for (i = 0; i < 3; i++)
		assert_int_equal(w[i].error, 0);
	assert_int_equal(kv_verify(kv, &why), 0);
	close_cache(kv);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_full_store_drops_nothing_unless_told_to),
		LEAK_CHECKED(test_cache_takes_all_puts_and_keeps_the_newest),
		LEAK_CHECKED(test_pair_that_was_written_again_is_young),
		LEAK_CHECKED(test_evicting_all_leaves_what_is_not_sealed),
		LEAK_CHECKED(test_pair_that_can_never_fit_drops_nothing),
		LEAK_CHECKED(test_snapshot_keeps_what_is_evicted),
		LEAK_CHECKED(test_writers_side_by_side_evict_for_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
