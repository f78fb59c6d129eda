/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_tests.c - one node's corner cases: fences, room, values, children. Of two nodes
 * they are in btree_node_split_tests.c, of pages that are no nodes in
 * btree_node_page_tests.c; random histories are btree_node_history_tests.c.
 */
#include "btree_node_fixture.h"

/* ---- making ---- */

static void test_empty_node(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	bool found = true;

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	check(&f, f.node);
	assert_int_equal(btree_node_used(f.node, &f.shape), BTREE_NODE_HEADER);
	assert_int_equal(btree_node_lower_bound(f.node, &f.shape, kv_str("a"), &found),
			 0);
	assert_false(found);
	assert_int_equal(
		btree_node_lower_bound(f.node, &f.shape, kv_slice(NULL, 0), &found), 0);
	assert_int_equal(btree_node_lower(f.node, &f.shape).len, 0);
	assert_null(btree_node_upper(f.node, &f.shape).data);
	assert_true(btree_node_underfull(f.node, &f.shape));
	fixture_free(&f);
}

static void test_init_keeps_the_pages_own_header(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);

	(void)state;
	btree_node_init(f.node, &f.shape, 3, nothing, without_end);
	assert_int_equal(f.node->page.crc, 0xa5a5a5a5);
	assert_int_equal(f.node->page.page, 0xa5a5a5a5);
	assert_int_equal(f.node->page.birth, 0xa5a5a5a5a5a5a5a5);
	assert_int_equal(f.node->page.kind, BTREE_PAGE_NODE);
	assert_int_equal(f.node->page.level, 3);
	fixture_free(&f);
}

static void test_fences_give_the_prefix(void **state)
{
	static const struct {
		const char *lower, *upper;
		unsigned int prefix;
	} cases[] = {
		{ "", "b", 0 },
		{ "", NULL, 0 },
		{ "abc", NULL, 0 },
		{ "abc", "abd", 2 },
		{ "abc", "abcd", 3 },
		{ "a", "b", 0 },
		{ "user0001", "user0002", 7 },
		{ "a prefix of more than sixteen bytes: 1",
		  "a prefix of more than sixteen bytes: 2", 37 },
	};
	struct fixture f = fixture_new(4096, UNBOUNDED);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		btree_node_init(f.node, &f.shape, 0, kv_str(cases[i].lower),
				cases[i].upper ? kv_str(cases[i].upper) : without_end);
		check(&f, f.node);
		assert_int_equal(f.node->prefix_bytes, cases[i].prefix);
		assert_text(btree_node_lower(f.node, &f.shape), cases[i].lower);
		if (cases[i].upper)
			assert_text(btree_node_upper(f.node, &f.shape), cases[i].upper);
		put(&f, f.node, kv_str(cases[i].lower), kv_str("v"));
		assert_key(&f, f.node, 0, cases[i].lower);
	}
	fixture_free(&f);
}

/* The answer for keys that are not between the fences is an edge. */
static void test_keys_beyond_the_prefix(void **state)
{
	static const char *const below[] = { "", "a", "us", "use", "user0" };
	static const char *const above[] = { "v", "user2", "userA", "usf", "\xff" };
	struct fixture f = fixture_new(4096, UNBOUNDED);
	bool found;
	size_t i;

	(void)state;
	btree_node_init(f.node, &f.shape, 0, kv_str("user10"), kv_str("user19"));
	put(&f, f.node, kv_str("user11"), kv_str("1"));
	put(&f, f.node, kv_str("user15"), kv_str("2"));
	for (i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		assert_int_equal(btree_node_lower_bound(f.node, &f.shape,
							kv_str(below[i]), &found),
				 0);
		assert_false(found);
	}
	for (i = 0; i < sizeof(above) / sizeof(above[0]); i++) {
		assert_int_equal(btree_node_lower_bound(f.node, &f.shape,
							kv_str(above[i]), &found),
				 2);
		assert_false(found);
	}
	fixture_free(&f);
}

/* ---- values ---- */

static void test_value_shrinks_in_place(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	put(&f, f.node, kv_str("a"), kv_str("a longer value"));
	put(&f, f.node, kv_str("b"), kv_str("other"));
	assert_true(btree_node_set_value(f.node, &f.shape, 0, kv_str("short"), 0));
	check(&f, f.node);
	assert_int_equal(f.node->dead, strlen("a longer value") - strlen("short"));
	assert_text(value_of(&f, f.node, 0), "short");
	assert_text(value_of(&f, f.node, 1), "other");
	fixture_free(&f);
}

static void test_value_with_flags(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	const struct btree_overflow large = { .page = 9, .bytes = 100000 };
	unsigned int flags;

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	put(&f, f.node, kv_str("a"), kv_str("v"));
	assert_true(btree_node_set_value(f.node, &f.shape, 0,
					 kv_slice(&large, sizeof(large)),
					 BTREE_SLOT_OVERFLOW));
	check(&f, f.node);
	assert_int_equal(btree_node_value(f.node, &f.shape, 0, &flags).len,
			 sizeof(large));
	assert_int_equal(flags, BTREE_SLOT_OVERFLOW);
	assert_true(btree_node_set_value(f.node, &f.shape, 0, kv_str("v"), 0));
	check(&f, f.node);
	(void)btree_node_value(f.node, &f.shape, 0, &flags);
	assert_int_equal(flags, 0);
	fixture_free(&f);
}

static void test_longer_value_takes_the_room_of_the_old_one(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	uint8_t value[4096];
	size_t free_bytes;

	(void)state;
	memset(value, 'v', sizeof(value));
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	fill(&f, 200);
	free_bytes = f.node->heap - BTREE_NODE_HEADER - f.node->cap * 12u;
	assert_true(free_bytes < 200);
	assert_false(btree_node_set_value(f.node, &f.shape, 3,
					  kv_slice(value, 200 + free_bytes + 1), 0));
	check(&f, f.node);
	assert_int_equal(value_of(&f, f.node, 3).len, 200);
	assert_true(btree_node_set_value(f.node, &f.shape, 3,
					 kv_slice(value, 200 + free_bytes), 0));
	check(&f, f.node);
	assert_key(&f, f.node, 3, "003");
	assert_int_equal(value_of(&f, f.node, 3).len, 200 + free_bytes);
	assert_memory_equal(value_of(&f, f.node, 3).data, value, 200 + free_bytes);
	fixture_free(&f);
}

/* ---- room ---- */

static void test_dead_bytes_become_room(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	uint8_t value[600];
	unsigned int count;

	(void)state;
	memset(value, 'w', sizeof(value));
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	count = fill(&f, 100);
	assert_false(btree_node_fits(f.node, &f.shape, kv_str("0005"), sizeof(value)));
	btree_node_remove(f.node, &f.shape, 20);
	btree_node_remove(f.node, &f.shape, 15);
	btree_node_remove(f.node, &f.shape, 10);
	btree_node_remove(f.node, &f.shape, 9);
	btree_node_remove(f.node, &f.shape, 4);
	btree_node_remove(f.node, &f.shape, 3);
	check(&f, f.node);
	assert_true(f.node->dead > sizeof(value));
	put(&f, f.node, kv_str("0005"), kv_slice(value, sizeof(value)));
	assert_int_equal(f.node->dead, 0);
	assert_int_equal(f.node->count, count - 5);
	assert_key(&f, f.node, 1, "0005");
	assert_memory_equal(value_of(&f, f.node, 1).data, value, sizeof(value));
	fixture_free(&f);
}

static void test_slots_give_way_to_records(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	uint8_t value[3000] = { 0 };
	unsigned int i;
	char key[8];

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	for (i = 0; i < 100; i++) {
		(void)snprintf(key, sizeof(key), "%03u", i % 1000);
		put(&f, f.node, kv_str(key), nothing);
	}
	assert_int_equal(f.node->cap, 112);
	while (f.node->count > 3)
		btree_node_remove(f.node, &f.shape, 0);
	put(&f, f.node, kv_str("value"), kv_slice(value, sizeof(value)));
	assert_int_equal(f.node->cap, BTREE_CAP_STEP);
	assert_key(&f, f.node, 0, "097");
	fixture_free(&f);
}

static void test_all_removed_leaves_nothing(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);

	(void)state;
	btree_node_init(f.node, &f.shape, 0, kv_str("0"), kv_str("1"));
	fill(&f, 30);
	while (f.node->count) {
		btree_node_remove(f.node, &f.shape, f.node->count / 2);
		check(&f, f.node);
	}
	assert_int_equal(f.node->dead, 0);
	assert_int_equal(btree_node_used(f.node, &f.shape), BTREE_NODE_HEADER + 2);
	fixture_free(&f);
}

/* 65536 is no offset of sixteen bits. */
static void test_record_without_bytes_in_largest_page(void **state)
{
	struct fixture f = fixture_new(BTREE_PAGE_MAX, UNBOUNDED);
	bool found;

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	put(&f, f.node, nothing, nothing);
	assert_int_equal(btree_node_lower_bound(f.node, &f.shape, nothing, &found), 0);
	assert_true(found);
	put(&f, f.node, kv_str("k"), nothing);
	assert_true(btree_node_set_value(f.node, &f.shape, 0, kv_str("v"), 0));
	check(&f, f.node);
	assert_true(btree_node_set_value(f.node, &f.shape, 0, nothing, 0));
	check(&f, f.node);
	btree_node_remove(f.node, &f.shape, 0);
	check(&f, f.node);
	assert_key(&f, f.node, 0, "k");
	fixture_free(&f);
}

static void test_node_is_full_at_max_keys(void **state)
{
	struct fixture f = fixture_new(4096, 4);

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	assert_int_equal(fill(&f, 1), 4);
	assert_false(btree_node_underfull(f.node, &f.shape));
	btree_node_remove(f.node, &f.shape, 0);
	btree_node_remove(f.node, &f.shape, 0);
	assert_false(btree_node_underfull(f.node, &f.shape));
	btree_node_remove(f.node, &f.shape, 0);
	assert_true(btree_node_underfull(f.node, &f.shape));
	fixture_free(&f);
}

/* ---- inner nodes ---- */

static void test_child_index(void **state)
{
	static const struct {
		const char *key;
		unsigned int child;
	} cases[] = {
		{ "c", 0 },  { "ca", 0 }, { "cf", 0 }, { "cg", 1 },  { "cga", 1 },
		{ "cl", 1 }, { "cm", 2 }, { "cz", 2 }, { "cm0", 2 }, { "cb\xff", 0 },
	};
	struct fixture f = fixture_new(4096, UNBOUNDED);
	size_t i;

	(void)state;
	btree_node_init(f.node, &f.shape, 1, kv_str("cb"), kv_str("cz"));
	put_child(&f, f.node, "cb", 10);
	put_child(&f, f.node, "cg", 11);
	put_child(&f, f.node, "cm", 12);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			btree_node_child_index(f.node, &f.shape, kv_str(cases[i].key)),
			cases[i].child);
	for (i = 0; i < 3; i++) {
		struct btree_child c =
			btree_node_child(f.node, &f.shape, (unsigned int)i);

		assert_int_equal(c.page, 10 + i);
		assert_int_equal(c.crc, (uint32_t)~c.page);
	}
	assert_key(&f, f.node, 0, "cb");
	assert_key(&f, f.node, 1, "cg");
	assert_int_equal(btree_node_child(f.node, &f.shape, 3).page, 0);
	fixture_free(&f);
}

static void test_first_child_goes(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);

	(void)state;
	btree_node_init(f.node, &f.shape, 1, nothing, without_end);
	put_child(&f, f.node, "", 10);
	put_child(&f, f.node, "gg", 11);
	put_child(&f, f.node, "mm", 12);
	btree_node_remove(f.node, &f.shape, 0);
	check(&f, f.node);
	assert_int_equal(btree_node_child_index(f.node, &f.shape, kv_str("a")), 0);
	assert_int_equal(btree_node_child(f.node, &f.shape, 0).page, 11);
	assert_int_equal(btree_node_child(f.node, &f.shape, 1).page, 12);
	assert_key(&f, f.node, 0, "");
	assert_int_equal(f.node->dead, 2 + BTREE_CHILD_BYTES);
	fixture_free(&f);
}

/* ---- what keys share where there is no prefix ---- */

static void assert_bound(const struct fixture *f, const char *key, unsigned int at,
			 bool equal)
{
	bool found;

	assert_int_equal(btree_node_lower_bound(f->node, &f->shape, kv_str(key), &found),
			 at);
	assert_int_equal(found, equal);
}

static void test_heads_leave_out_what_keys_share(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	const uint32_t *head = (uint32_t *)(void *)((uint8_t *)f.node + 64);

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	put(&f, f.node, kv_str("user1"), kv_str("1"));
	assert_int_equal(f.node->shared_bytes, 5);
	put(&f, f.node, kv_str("user30"), kv_str("3"));
	put(&f, f.node, kv_str("user20"), kv_str("2"));
	assert_int_equal(f.node->shared_bytes, 4);
	assert_int_equal(head[0], 0x31000000);
	assert_int_equal(head[1], 0x32300000);
	assert_int_equal(head[2], 0x33300000);
	assert_bound(&f, "user1", 0, true);
	assert_bound(&f, "user30", 2, true);
	assert_bound(&f, "user", 0, false);
	assert_bound(&f, "use", 0, false);
	assert_bound(&f, "", 0, false);
	assert_bound(&f, "usf", 3, false);
	assert_bound(&f, "user3", 2, false);
	put(&f, f.node, kv_str("uber"), kv_str("0"));
	assert_int_equal(f.node->shared_bytes, 1);
	assert_int_equal(head[1], 0x73657231);
	assert_bound(&f, "user20", 2, true);
	put(&f, f.node, nothing, kv_str("less"));
	assert_int_equal(f.node->shared_bytes, 0);
	assert_bound(&f, "user30", 4, true);
	assert_bound(&f, "", 0, true);
	fixture_free(&f);
}

static void test_keys_share_as_much_as_the_header_holds(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	put(&f, f.node, kv_str("twenty bytes of key 1"), kv_str("1"));
	put(&f, f.node, kv_str("twenty bytes of key 2"), kv_str("2"));
	assert_int_equal(f.node->shared_bytes, BTREE_PREFIX_START);
	assert_bound(&f, "twenty bytes of key 2", 1, true);
	assert_bound(&f, "twenty bytes of key", 0, false);
	assert_bound(&f, "twenty bytes of", 0, false);
	fixture_free(&f);
}

/* An inner node's first entry lies below what the others share. */
static void test_children_below_what_keys_share(void **state)
{
	static const struct {
		const char *key;
		unsigned int child;
	} cases[] = {
		{ "", 0 },      { "a", 0 },      { "user", 0 },  { "user19", 0 },
		{ "user2", 1 }, { "user29", 1 }, { "user3", 2 }, { "v", 2 },
	};
	struct fixture f = fixture_new(4096, UNBOUNDED);
	unsigned int at;
	size_t i;

	(void)state;
	btree_node_init(f.node, &f.shape, 1, nothing, without_end);
	put_child(&f, f.node, "", 10);
	put_child(&f, f.node, "user2", 11);
	put_child(&f, f.node, "user3", 12);
	assert_int_equal(f.node->shared_bytes, 4);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
			btree_node_route(f.node, &f.shape, kv_str(cases[i].key), &at),
			10 + cases[i].child);
		assert_int_equal(at, cases[i].child);
	}
	assert_bound(&f, "", 0, true);
	assert_bound(&f, "us", 1, false);
	put_child(&f, f.node, "b", 13);
	assert_int_equal(f.node->shared_bytes, 0);
	assert_int_equal(btree_node_route(f.node, &f.shape, kv_str("user1"), &at), 13);
	fixture_free(&f);
}

/* A split, of the root say, makes nodes that share again what those before did not. */
static void test_shared_bytes_grow_when_nodes_are_made(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);

	(void)state;
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	put(&f, f.node, kv_str("a"), kv_str("1"));
	put(&f, f.node, kv_str("user1"), kv_str("2"));
	put(&f, f.node, kv_str("user2"), kv_str("3"));
	f.split.at = 1;
	f.split.key_bytes = 1;
	f.split.key[0] = 'u';
	btree_node_split(f.node, f.right, &f.shape, &f.split, f.scratch);
	check(&f, f.node);
	check(&f, f.right);
	assert_int_equal(f.node->shared_bytes, 1);
	assert_int_equal(f.right->shared_bytes, 4);
	btree_node_merge(f.node, f.right, &f.shape, kv_str("u"), f.scratch);
	check(&f, f.node);
	assert_int_equal(f.node->shared_bytes, 0);
	fixture_free(&f);
}

static void assert_bad(const struct fixture *f, const char *says)
{
	struct kv_msg why = { "" };

	assert_int_equal(btree_node_check(f->node, &f->shape, &why), -EBADMSG);
	assert_non_null(strstr(why.text, says));
}

static void test_check_of_what_keys_share(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);
	struct btree_child nowhere = { 0, 7 };

	(void)state;
	btree_node_init(f.node, &f.shape, 1, nothing, without_end);
	put_child(&f, f.node, "", 10);
	put_child(&f, f.node, "user2", 11);
	put_child(&f, f.node, "user3", 12);
	f.node->shared_bytes = 17;
	assert_bad(&f, "more than there is room for");
	f.node->shared_bytes = 3;
	assert_bad(&f, "behind what keys share");
	f.node->shared_bytes = 4;
	f.node->prefix_start[2] ^= 1;
	assert_bad(&f, "entry 1: its key does not begin as all do");
	f.node->prefix_start[2] ^= 1;
	f.node->shared_bytes = 6;
	assert_bad(&f, "entry 1: its key does not begin as all do");
	f.node->shared_bytes = 4;
	check(&f, f.node);
	btree_node_set_child(f.node, &f.shape, 2, nowhere);
	assert_bad(&f, "entry 2: it leads to no child");
	fixture_free(&f);
}

static void test_prefetch_of_any_node(void **state)
{
	struct fixture f = fixture_new(4096, UNBOUNDED);

	(void)state;
	btree_node_prefetch(f.node, &f.shape); /* no node yet */
	btree_node_init(f.node, &f.shape, 0, nothing, without_end);
	btree_node_prefetch(f.node, &f.shape);
	check(&f, f.node);
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_node),
		cmocka_unit_test(test_init_keeps_the_pages_own_header),
		cmocka_unit_test(test_fences_give_the_prefix),
		cmocka_unit_test(test_keys_beyond_the_prefix),
		cmocka_unit_test(test_value_shrinks_in_place),
		cmocka_unit_test(test_value_with_flags),
		cmocka_unit_test(test_longer_value_takes_the_room_of_the_old_one),
		cmocka_unit_test(test_dead_bytes_become_room),
		cmocka_unit_test(test_slots_give_way_to_records),
		cmocka_unit_test(test_all_removed_leaves_nothing),
		cmocka_unit_test(test_record_without_bytes_in_largest_page),
		cmocka_unit_test(test_node_is_full_at_max_keys),
		cmocka_unit_test(test_child_index),
		cmocka_unit_test(test_first_child_goes),
		cmocka_unit_test(test_heads_leave_out_what_keys_share),
		cmocka_unit_test(test_keys_share_as_much_as_the_header_holds),
		cmocka_unit_test(test_children_below_what_keys_share),
		cmocka_unit_test(test_shared_bytes_grow_when_nodes_are_made),
		cmocka_unit_test(test_check_of_what_keys_share),
		cmocka_unit_test(test_prefetch_of_any_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
