/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_bulk_tests.c - loading sorted input, counting ranges, backups (which are loads).
 */
#include "btree_store_fixture.h"

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"

/* ---- input ---- */

struct input {
	unsigned int next, n, step;
	size_t bytes;
	unsigned int fail_at; /* -EIO there; UINT_MAX: never */
	char key[STORE_KEY], value[STORE_VALUE];
};

static int input_next(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	struct input *in = arg;

	if (in->next == in->fail_at)
		return -EIO;
	if (in->next >= in->n)
		return -ENOENT;
	*key = store_key(in->key, in->next);
	*value = store_value(in->value, in->next, in->bytes);
	in->next += in->step;
	return 0;
}

static struct input *input_of(unsigned int n, size_t bytes)
{
	static struct input in;

	in.next = 0;
	in.n = n;
	in.step = 1;
	in.bytes = bytes;
	in.fail_at = UINT_MAX;
	return &in;
}

static const char *fresh(void)
{
	static char name[SCRATCH_PATH];
	static unsigned int turn;
	char leaf[32];

	(void)snprintf(leaf, sizeof(leaf), "store%u", turn++);
	(void)snprintf(name, sizeof(name), "%s", in_scratch(leaf));
	return name;
}

/* ---- loads ---- */

static const char *const variants[] = {
	"",
	"max_keys=4",
	"max_keys=5,overflow_bytes=40",
	"page_bytes=64k,memory_bytes=4m",
	"memory_bytes=256k",
};

/* Around the numbers at which there is one node more, and one level more. Where all is slow,
 * each number with one of the variants. */
static void test_load_of_any_size(void **state)
{
	enum { VARIANTS = 3 };
	unsigned int n, v, step = test_scale() > 1 ? VARIANTS : 1;

	(void)state;
	for (v = 0; v < VARIANTS; v++)
		for (n = step > 1 ? v : 0; n < 70; n += step) {
			const char *dir = fresh();
			struct kv *kv = store_open(dir, variants[v]);

			assert_int_equal(btree_bulk_load(kv, 50 + n % 51, input_next,
							 input_of(n, 60)),
					 0);
			store_expect(kv, n, 1, 60);
			assert_int_equal(store_stat(kv, "keys"), n);
			store_verify(kv);
			store_close(kv);
			scratch_remove(dir);
		}
}

static void test_load_is_there_after_reopening_and_can_be_written(void **state)
{
	enum { N = 5000, BYTES = 200 };
	unsigned int v, i;

	(void)state;
	for (v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
		const char *dir = fresh();
		struct kv *kv = store_open(dir, variants[v]);

		assert_int_equal(btree_bulk_load(kv, 100, input_next, input_of(N, BYTES)),
				 0);
		store_close(kv);
		kv = store_open(dir, variants[v]);
		store_expect(kv, N, 1, BYTES);
		store_verify(kv);
		for (i = 1; i < N; i += 2)
			store_delete(kv, i);
		store_expect(kv, N, 2, BYTES);
		store_verify(kv);
		for (i = 1; i < N; i += 2)
			store_put(kv, i, BYTES);
		store_expect(kv, N, 1, BYTES);
		store_verify(kv);
		store_close(kv);
		scratch_remove(dir);
	}
}

static void test_load_packs_nodes(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, NULL);

	(void)state;
	assert_int_equal(btree_bulk_load(kv, 100, input_next, input_of(20000, 20)), 0);
	store_verify(kv);
	assert_in_range(store_stat(kv, "verified_fill_percent"), 94, 100);
	store_close(kv);
	dir = fresh();
	kv = store_open(dir, NULL);
	assert_int_equal(btree_bulk_load(kv, 70, input_next, input_of(20000, 20)), 0);
	store_verify(kv);
	assert_in_range(store_stat(kv, "verified_fill_percent"), 65, 70);
	store_close(kv);
}

static void test_load_of_large_values(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, "memory_bytes=1m");

	(void)state;
	assert_int_equal(btree_bulk_load(kv, 90, input_next, input_of(100, 40000)), 0);
	store_expect(kv, 100, 1, 40000);
	store_verify(kv);
	assert_true(store_stat(kv, "verified_overflow_pages") > 500);
	store_close(kv);
	kv = store_open(dir, NULL);
	store_expect(kv, 100, 1, 40000);
	store_close(kv);
}

/* ---- keys of all kinds ---- */

struct mixed {
	struct kv_slice last;
	uint8_t key[512], before[512];
	unsigned int left, depth;
};

/* Each above the one before: some bytes more behind it, or a larger byte somewhere. */
static int mixed_next(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	struct mixed *m = arg;
	size_t n = m->last.len, at;

	if (!m->left--)
		return -ENOENT;
	memcpy(m->before, m->key, n);
	do {
		memcpy(m->key, m->before, n);
		at = n ? core_random_below(n) : 0;
		if (!core_random_below(3) || !n) {
			m->last.len = n + 1 + core_random_below(40);
			if (m->last.len > sizeof(m->key))
				m->last.len = sizeof(m->key);
			core_random_bytes(m->key + n, m->last.len - n);
		} else if (m->key[at] < 255) {
			at = n - 1 - core_random_below(n < 8 ? n : 8);
			if (m->key[at] < 255)
				m->key[at]++;
			m->last.len = at + 1;
		}
		m->last.data = m->key;
	} while (kv_compare(m->last, kv_slice(m->before, n)) <= 0);
	*key = m->last;
	*value = kv_slice(m->key, m->last.len % 64);
	return 0;
}

static void test_load_of_keys_with_long_common_prefixes(void **state)
{
	unsigned int round;

	(void)state;
	core_random_start();
	for (round = 0; round < 10; round++) {
		struct mixed m = { .left = 3000 };
		const char *dir = fresh();
		struct kv *kv = store_open(dir, round % 2 ? "max_keys=7" : NULL);

		assert_int_equal(btree_bulk_load(kv, 50 + 5 * round, mixed_next, &m), 0);
		assert_int_equal(store_stat(kv, "keys"), 3000);
		store_verify(kv);
		store_close(kv);
		scratch_remove(dir);
	}
}

/* ---- refusals ---- */

static int unsorted_next(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	unsigned int *turn = arg;
	static char buf[STORE_KEY];

	*key = store_key(buf, *turn == 500 ? 499 : *turn);
	*value = kv_str("v");
	++*turn;
	return 0;
}

static void test_load_refuses_what_is_not_sorted(void **state)
{
	struct kv *kv = store_open(fresh(), "max_keys=4");
	unsigned int turn = 0;

	(void)state;
	assert_int_equal(btree_bulk_load(kv, 100, unsorted_next, &turn), -EINVAL);
	assert_int_equal(turn, 501);
	store_expect(kv, 0, 1, 0);
	store_verify(kv);
	assert_int_equal(btree_bulk_load(kv, 100, input_next, input_of(100, 10)), 0);
	store_expect(kv, 100, 1, 10);
	store_verify(kv);
	store_close(kv);
}

static void test_load_that_fails_leaves_an_empty_store(void **state)
{
	const char *dir = fresh();
	struct kv *kv = store_open(dir, NULL);
	struct input *in = input_of(10000, 100);
	uint64_t before;

	(void)state;
	in->fail_at = 9000;
	before = store_stat(kv, "free_bytes") - store_stat(kv, "file_bytes");
	assert_int_equal(btree_bulk_load(kv, 100, input_next, in), -EIO);
	store_expect(kv, 0, 1, 0);
	store_verify(kv);
	assert_int_equal(kv_compact(kv), 0);
	/* what is in use is as it was */
	assert_int_equal(store_stat(kv, "free_bytes") - store_stat(kv, "file_bytes"),
			 before);
	store_close(kv);
	kv = store_open(dir, NULL);
	store_expect(kv, 0, 1, 0);
	store_close(kv);
}

static void test_load_refuses_a_store_that_is_not_empty(void **state)
{
	struct kv *kv = store_open(fresh(), NULL);

	(void)state;
	store_put(kv, 0, 10);
	assert_int_equal(btree_bulk_load(kv, 100, input_next, input_of(10, 10)), -EINVAL);
	store_expect(kv, 1, 1, 10);
	assert_int_equal(btree_bulk_load(kv, 49, input_next, input_of(10, 10)), -EINVAL);
	assert_int_equal(btree_bulk_load(kv, 101, input_next, input_of(10, 10)), -EINVAL);
	store_delete(kv, 0);
	assert_int_equal(btree_bulk_load(kv, 100, input_next, input_of(10, 10)), 0);
	store_expect(kv, 10, 1, 10);
	store_verify(kv);
	store_close(kv);
}

/* A snapshot from before the load goes on seeing nothing. */
static void test_load_behind_a_snapshot(void **state)
{
	struct kv *kv = store_open(fresh(), "max_keys=4");
	struct kv_snapshot *snap;
	struct kv_cursor *c;

	(void)state;
	assert_int_equal(kv_snapshot(kv, &snap), 0);
	assert_int_equal(btree_bulk_load(kv, 100, input_next, input_of(500, 10)), 0);
	assert_int_equal(kv_cursor(kv, snap, &c), 0);
	assert_int_equal(kv_next(c), -ENOENT);
	kv_cursor_close(c);
	kv_release(kv, snap);
	store_expect(kv, 500, 1, 10);
	store_verify(kv);
	store_close(kv);
}

/* ---- counting ---- */

static uint64_t count(struct kv *kv, unsigned int from, unsigned int to)
{
	char a[STORE_KEY], b[STORE_KEY];
	uint64_t n;

	assert_int_equal(
		btree_count_estimate(kv, store_key(a, from), store_key(b, to), &n), 0);
	return n;
}

static void test_count_of_small_ranges_is_exact(void **state)
{
	struct kv *kv = store_open(fresh(), NULL);
	unsigned int i;
	uint64_t n;

	(void)state;
	assert_int_equal(btree_bulk_load(kv, 80, input_next, input_of(3000, 60)), 0);
	for (i = 0; i < 2980; i += 13)
		assert_int_equal(count(kv, i, i + i % 20), i % 20);
	assert_int_equal(count(kv, 100, 100), 0);
	assert_int_equal(count(kv, 101, 100), 0);
	assert_int_equal(count(kv, 2000, 10), 0);
	assert_int_equal(btree_count_estimate(kv, kv_str(""), kv_slice(NULL, 0), &n), 0);
	assert_int_equal(n, 3000);
	store_close(kv);
}

static void test_count_of_large_ranges_is_near(void **state)
{
	static const char *const options[] = { "max_keys=6", NULL };
	unsigned int v, i;

	(void)state;
	core_random_start();
	for (v = 0; v < 2; v++) {
		struct kv *kv = store_open(fresh(), options[v]);

		for (i = 0; i < 20000; i++)
			store_put(kv, (unsigned int)(i * 7919ull % 20000), 16);
		for (i = 0; i < 200; i++) {
			unsigned int from = (unsigned int)core_random_below(10000),
				     n = 5000 + (unsigned int)core_random_below(5000);

			assert_in_range(count(kv, from, from + n), n / 2, n * 2);
		}
		store_close(kv);
	}
}

/* ---- backups ---- */

static void test_backup_is_a_store_of_its_own(void **state)
{
	const char *dir = fresh();
	char copy[SCRATCH_PATH];
	struct kv *kv = store_open(dir, "max_keys=9"), *other;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3000; i++)
		store_put(kv, i, i % 10 ? 50 : 5000);
	(void)snprintf(copy, sizeof(copy), "%s", fresh());
	assert_int_equal(kv_backup(kv, copy), 0);
	assert_int_equal(kv_backup(kv, copy), -EEXIST);
	store_put(kv, 5000, 50);
	other = store_open(copy, "max_keys=9");
	assert_int_equal(store_stat(other, "keys"), 3000);
	store_verify(other);
	store_put(other, 3000, 50);
	store_close(other);
	other = store_open(copy, NULL);
	assert_int_equal(store_stat(other, "keys"), 3001);
	store_verify(other);
	store_close(other);
	store_close(kv);
}

static void test_backup_that_was_cut_short_is_no_store(void **state)
{
	const char *dir = fresh();
	struct kv_msg why = { "" };
	struct kv *kv = store_open(dir, NULL);
	char from[SCRATCH_PATH + 16], to[SCRATCH_PATH + 16];

	(void)state;
	store_put(kv, 1, 10);
	store_close(kv);
	(void)snprintf(from, sizeof(from), "%s/TREE", dir);
	(void)snprintf(to, sizeof(to), "%s/TREE.backup", dir);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(kv_open(&btree_engine, env_posix(), dir, NULL, &kv, &why),
			 -EBADMSG);
	assert_non_null(strstr(why.text, "backup"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_load_of_any_size),
		LEAK_CHECKED(test_load_is_there_after_reopening_and_can_be_written),
		LEAK_CHECKED(test_load_packs_nodes),
		LEAK_CHECKED(test_load_of_large_values),
		LEAK_CHECKED(test_load_of_keys_with_long_common_prefixes),
		LEAK_CHECKED(test_load_refuses_what_is_not_sorted),
		LEAK_CHECKED(test_load_that_fails_leaves_an_empty_store),
		LEAK_CHECKED(test_load_refuses_a_store_that_is_not_empty),
		LEAK_CHECKED(test_load_behind_a_snapshot),
		LEAK_CHECKED(test_count_of_small_ranges_is_exact),
		LEAK_CHECKED(test_count_of_large_ranges_is_near),
		LEAK_CHECKED(test_backup_is_a_store_of_its_own),
		LEAK_CHECKED(test_backup_that_was_cut_short_is_no_store),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
