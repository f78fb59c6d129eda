/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_split_tests.c - corner cases of splitting, merging and balancing.
 */
#include "btree_node_fixture.h"

#include "../../sprint-1-core-memory/tests/core_random.h"

/* ---- inner nodes ---- */

/* The separator moves up, and comes back. */
static void test_inner_split_and_merge(void **state)
{
	struct fixture f = fixture_new(4096, 4);

	(void)state;
	btree_node_init(f.node, &f.shape, 2, kv_str("aa"), kv_str("zz"));
	put_child(&f, f.node, "aa", 1);
	put_child(&f, f.node, "gg", 2);
	put_child(&f, f.node, "mm", 3);
	put_child(&f, f.node, "ss", 4);
	btree_node_split_point(f.node, &f.shape, 4, kv_str("tt"), 8, false, &f.split);
	btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
	check(&f, f.node);
	check(&f, f.right);
	assert_text(kv_slice(f.split.key, f.split.key_bytes), "mm");
	assert_int_equal(f.right->page.level, 2);
	assert_key(&f, f.right, 0, "mm");
	assert_int_equal(btree_node_child(f.right, &f.shape, 0).page, 3);
	assert_int_equal(btree_node_child_index(f.right, &f.shape, kv_str("mz")), 0);
	assert_true(btree_node_can_merge(f.node, f.right, &f.shape));
	btree_node_merge(f.node, f.right, &f.shape, kv_str("mm"), f.scratch);
	check(&f, f.node);
	assert_int_equal(f.node->count, 4);
	assert_key(&f, f.node, 2, "mm");
	assert_key(&f, f.node, 3, "ss");
	assert_text(btree_node_upper(f.node, &f.shape), "zz");
	fixture_free(&f);
}

/* Before the new entry is there, both halves lead every key right: it is never the first
 * of the right half, not even where it would be in the middle. */
static void test_inner_split_leads_right_before_the_entry_is_there(void **state)
{
	static const char *const fresh[] = { "b", "h", "n", "t" };
	unsigned int i, append;

	(void)state;
	for (i = 0; i < 4; i++) {
		for (append = 0; append < 2; append++) {
			struct fixture f = fixture_new(4096, 4);
			const struct kv_slice key = kv_str(fresh[i]);

			btree_node_init(f.node, &f.shape, 1, kv_str("a"), without_end);
			put_child(&f, f.node, "a", 1);
			put_child(&f, f.node, "g", 2);
			put_child(&f, f.node, "m", 3);
			put_child(&f, f.node, "s", 4);
			btree_node_split_point(f.node, &f.shape, i + 1, key, 8, append,
					       &f.split);
			btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
			check(&f, f.node);
			check(&f, f.right);
			assert_true(f.node->count && f.right->count);
			assert_int_not_equal(
				kv_compare(kv_slice(f.split.key, f.split.key_bytes), key),
				0);
			put_child(&f,
				  kv_compare(key, btree_node_lower(f.right, &f.shape)) < 0
					  ? f.node
					  : f.right,
				  fresh[i], 5);
			fixture_free(&f);
		}
	}
}

/* A store is opened with a smaller max_keys than it was made with: nodes have far more, a cut may
 * be anywhere then, and what comes last is the new entry's place in the middle. */
static void test_inner_split_of_more_keys_than_there_may_be(void **state)
{
	unsigned int count, i, k;
	char key[8];

	(void)state;
	for (count = 6; count < 60; count++)
		for (i = 1; i <= count; i++) {
			struct fixture f = fixture_new(4096, UNBOUNDED);

			btree_node_init(f.node, &f.shape, 1, kv_str("000"), without_end);
			for (k = 0; k < count; k++) {
				(void)snprintf(key, sizeof(key), "%03u", 2 * k % 1000);
				put_child(&f, f.node, key, k + 1);
			}
			f.shape.max_keys = 4;
			(void)snprintf(key, sizeof(key), "%03u", (2 * i - 1) % 1000);
			btree_node_split_point(f.node, &f.shape, i, kv_str(key), 8, false,
					       &f.split);
			btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
			assert_true(kv_compare(kv_slice(f.split.key, f.split.key_bytes),
					       kv_str(key)));
			f.shape.max_keys = UNBOUNDED;
			assert_true(f.node->count + 2u >= f.right->count &&
				    f.right->count + 2u >= f.node->count);
			put_child(&f,
				  kv_compare(kv_str(key),
					     btree_node_lower(f.right, &f.shape)) < 0
					  ? f.node
					  : f.right,
				  key, count + 1);
			check(&f, f.node);
			check(&f, f.right);
			fixture_free(&f);
		}
}

/* ---- splitting leaves ---- */

static void test_separator_is_the_shortest(void **state)
{
	static const struct {
		const char *left, *right, *separator;
	} cases[] = {
		{ "a", "b", "b" },
		{ "alpha", "beta", "b" },
		{ "house", "houseboat", "houseb" },
		{ "user1000", "user1234", "user12" },
		{ "", "x", "x" },
		{ "a\x01", "a\xff\x01", "a\xff" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f = fixture_new(4096, 4);

		btree_node_init(f.node, &f.shape, 0, nothing, without_end);
		put(&f, f.node, kv_str(cases[i].left), nothing);
		btree_node_split_point(f.node, &f.shape, 1, kv_str(cases[i].right), 0,
				       true, &f.split);
		assert_text(kv_slice(f.split.key, f.split.key_bytes), cases[i].separator);
		assert_int_equal(f.split.at, 1);
		btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
		check(&f, f.node);
		check(&f, f.right);
		assert_int_equal(f.right->count, 0);
		put(&f, f.right, kv_str(cases[i].right), nothing);
		fixture_free(&f);
	}
}

static void test_split_in_the_middle_of_max_keys(void **state)
{
	uint32_t max_keys;
	unsigned int i;
	char key[8];

	(void)state;
	for (max_keys = 4; max_keys < 12; max_keys++) {
		for (i = 0; i <= max_keys; i++) {
			struct fixture f = fixture_new(4096, max_keys);
			struct btree_node *side;

			btree_node_init(f.node, &f.shape, 0, nothing, without_end);
			fill(&f, 1);
			(void)snprintf(key, sizeof(key), "%03ux", (i ? i - 1 : 0) % 1000);
			key[3] = i ? 'x' : 0;
			key[2] = i ? key[2] : '/'; /* before '0' */
			btree_node_split_point(f.node, &f.shape, i, kv_str(key), 1, false,
					       &f.split);
			btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
			side = kv_compare(kv_str(key),
					  btree_node_lower(f.right, &f.shape)) < 0
				       ? f.node
				       : f.right;
			put(&f, side, kv_str(key), kv_str("v"));
			assert_true(f.node->count >= (max_keys + 1) / 2);
			assert_true(f.right->count >= (max_keys + 1) / 2);
			assert_false(btree_node_underfull(f.node, &f.shape));
			assert_false(btree_node_underfull(f.right, &f.shape));
			fixture_free(&f);
		}
	}
}

/* A value that has grown beyond the node: the entry is there already. */
static void test_split_for_a_longer_value(void **state)
{
	uint8_t value[700] = { 1 };
	unsigned int i, count;

	(void)state;
	for (i = 0; i < 30; i++) {
		struct fixture f = fixture_new(4096, UNBOUNDED);
		struct btree_node *side;
		char key[8];
		bool found;
		unsigned int at;

		(void)snprintf(key, sizeof(key), "%03u", i % 1000);
		btree_node_init(f.node, &f.shape, 0, nothing, without_end);
		count = fill(&f, 100);
		assert_true(count >= 30);
		assert_false(btree_node_set_value(f.node, &f.shape, i,
						  kv_slice(value, sizeof(value)), 0));
		btree_node_split_point(f.node, &f.shape, i, kv_str(key), sizeof(value),
				       false, &f.split);
		btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
		side = kv_compare(kv_str(key), btree_node_lower(f.right, &f.shape)) < 0
			       ? f.node
			       : f.right;
		at = btree_node_lower_bound(side, &f.shape, kv_str(key), &found);
		assert_true(found);
		assert_true(btree_node_set_value(side, &f.shape, at,
						 kv_slice(value, sizeof(value)), 0));
		check(&f, f.node);
		check(&f, f.right);
		assert_int_equal(f.node->count + f.right->count, count);
		fixture_free(&f);
	}
}

/* ---- neighbours ---- */

static void two_leaves(struct fixture *f, unsigned int left, unsigned int right,
		       size_t value_bytes)
{
	static const uint8_t value[BTREE_PAGE_MAX];
	unsigned int i;
	char key[8];

	btree_node_init(f->node, &f->shape, 0, kv_str("a"), kv_str("m"));
	btree_node_init(f->right, &f->shape, 0, kv_str("m"), kv_str("z"));
	for (i = 0; i < left + right; i++) {
		(void)snprintf(key, sizeof(key), "%c%03u", i < left ? 'b' : 'n',
			       i % 1000);
		put(f, i < left ? f->node : f->right, kv_str(key),
		    kv_slice(value, value_bytes));
	}
}

static void test_balance_makes_the_emptier_one_fuller(void **state)
{
	static const struct {
		unsigned int left, right;
	} cases[] = { { 28, 6 }, { 3, 27 }, { 25, 12 }, { 0, 24 }, { 24, 0 } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f = fixture_new(4096, UNBOUNDED);
		unsigned int count = cases[i].left + cases[i].right;

		two_leaves(&f, cases[i].left, cases[i].right, 110);
		assert_true(btree_node_balance(f.node, f.right, &f.shape, kv_str("m"),
					       &f.split, f.scratch));
		check(&f, f.node);
		check(&f, f.right);
		assert_int_equal(f.node->count, count / 2);
		assert_int_equal(f.right->count, count - count / 2);
		fixture_free(&f);
	}
}

static void test_balance_refuses_where_it_would_not_help(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	uint8_t before[2][4096];

	(void)state;
	two_leaves(&f, 1, 2, 700);
	memcpy(before[0], f.node, 4096);
	memcpy(before[1], f.right, 4096);
	assert_false(btree_node_balance(f.node, f.right, &f.shape, kv_str("m"), &f.split,
					f.scratch));
	assert_memory_equal(before[0], f.node, 4096);
	assert_memory_equal(before[1], f.right, 4096);
	fixture_free(&f);
}

static void test_merge_only_where_all_fit(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	unsigned int n;

	(void)state;
	/* 64 for the header, 2 for the fences, 126 an entry, room for entries in sixteens */
	for (n = 25; n < 33; n++) {
		two_leaves(&f, n / 2, n - n / 2, 110);
		assert_int_equal(btree_node_can_merge(f.node, f.right, &f.shape),
				 64 + 2 + n * 114 + 32 * 12 <= 4096);
	}
	two_leaves(&f, 15, 16, 110);
	btree_node_merge(f.node, f.right, &f.shape, kv_str("m"), f.scratch);
	check(&f, f.node);
	assert_int_equal(f.node->count, 31);
	f.shape.max_keys = 30;
	two_leaves(&f, 15, 16, 1);
	assert_false(btree_node_can_merge(f.node, f.right, &f.shape));
	fixture_free(&f);
}

/* A key between the fences; two keys of a round are parted by late bytes, or by early ones. */
static struct kv_slice random_key(uint8_t *key, bool late)
{
	size_t n = 2 + core_random_below(core_random_below(2) ? BTREE_KEY_MAX - 1 : 32);

	if (late && core_random_below(4))
		n = BTREE_KEY_MAX;
	memset(key, 'm', n);
	core_random_bytes(key + (late ? n - 1 : 1), 1);
	if (!late)
		key[0] = (uint8_t)('b' + core_random_below(24));
	return kv_slice(key, n);
}

/* Until nothing more fits. */
static void fill_at_random(const struct fixture *f, bool late)
{
	static const uint8_t value[BTREE_PAGE_MAX];
	uint8_t key[BTREE_KEY_MAX];
	unsigned int misses = 0, i;

	while (misses < 20) {
		struct kv_slice k = random_key(key, late);
		size_t n = core_random_below(btree_entry_max(&f->shape) - k.len + 1);
		bool found;

		if (core_random_below(2))
			n %= 32;
		i = btree_node_lower_bound(f->node, &f->shape, k, &found);
		if (found || !btree_node_fits(f->node, &f->shape, k, n))
			misses++;
		else
			btree_node_insert(f->node, &f->shape, i, k, kv_slice(value, n),
					  0);
	}
	check(f, f->node);
}

/* Whatever the node is full of, and however long its fences are, one split makes room for
 * an entry that is as large as may be. */
static void test_split_makes_room_for_the_largest_entry(void **state)
{
	static const uint8_t value[BTREE_PAGE_MAX];
	uint8_t key[BTREE_KEY_MAX], lower[BTREE_KEY_MAX], upper[BTREE_KEY_MAX];
	unsigned int round, i;

	(void)state;
	core_random_start();
	memset(lower, 'a', sizeof(lower));
	memset(upper, 'z', sizeof(upper));
	for (round = 0; round < 3000; round++) {
		struct fixture f = fixture_new(4096u << round % 5, UINT16_MAX);
		bool late = core_random_below(2), found;
		struct kv_slice k;
		size_t n;

		btree_node_init(f.node, &f.shape, 0,
				kv_slice(lower, core_random_below(4)
							? sizeof(lower)
							: core_random_below(32)),
				kv_slice(upper, 1 + core_random_below(32)));
		fill_at_random(&f, late);
		k = random_key(key, late);
		n = btree_entry_max(&f.shape) - k.len;
		i = btree_node_lower_bound(f.node, &f.shape, k, &found);
		if (!found && !btree_node_fits(f.node, &f.shape, k, n)) {
			btree_node_split_point(f.node, &f.shape, i, k, n, false,
					       &f.split);
			btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
			put(&f,
			    kv_compare(k, kv_slice(f.split.key, f.split.key_bytes)) < 0
				    ? f.node
				    : f.right,
			    k, kv_slice(value, n));
		}
		fixture_free(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inner_split_and_merge),
		cmocka_unit_test(test_inner_split_leads_right_before_the_entry_is_there),
		cmocka_unit_test(test_inner_split_of_more_keys_than_there_may_be),
		cmocka_unit_test(test_separator_is_the_shortest),
		cmocka_unit_test(test_split_in_the_middle_of_max_keys),
		cmocka_unit_test(test_split_for_a_longer_value),
		cmocka_unit_test(test_split_makes_room_for_the_largest_entry),
		cmocka_unit_test(test_balance_makes_the_emptier_one_fuller),
		cmocka_unit_test(test_balance_refuses_where_it_would_not_help),
		cmocka_unit_test(test_merge_only_where_all_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
