/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.4: joining two nodes, moving entries between them, and the tree
 * that shrinks by it.
 */
#include "../node_check.h"
#include "../store_check.h"

#define CHAPTER \
	"docs/sprint-3-btree-storage.md, \"Splits and merges\", from \"Deletes\" on"
#define NODE "sprint-3-btree-storage/btree_node.h, btree_node_can_merge() and below"
#define TREE "sprint-3-btree-storage/btree_rebalance.c, at the top"

static const struct kv_slice without_end = { NULL, 0 };

static struct disk *watched;
static unsigned int turned, unlocked;

void __real_btree_node_set_child(struct btree_node *n, const struct btree_shape *shape,
				 unsigned int i, struct btree_child child);
void __real_btree_node_remove(struct btree_node *n, const struct btree_shape *shape,
			      unsigned int i);

void __wrap_btree_node_set_child(struct btree_node *n, const struct btree_shape *shape,
				 unsigned int i, struct btree_child child)
{
	if (watched && is_page_of(watched, n)) {
		turned++;
		unlocked += !is_locked(watched, n);
	}
	__real_btree_node_set_child(n, shape, i, child);
}

void __wrap_btree_node_remove(struct btree_node *n, const struct btree_shape *shape,
			      unsigned int i)
{
	if (watched && is_page_of(watched, n) && n->page.level)
		unlocked += !is_locked(watched, n);
	__real_btree_node_remove(n, shape, i);
}

/* ---- two nodes ---- */

static void append_to(struct page *p, struct btree_node *n, const char *key,
		      unsigned int number, size_t bytes)
{
	btree_node_insert(n, &p->shape, n->count, kv_str(key),
			  node_value_of(number, bytes), 0);
}

/* Entries a00, a01, .. on the left and m00, .. on the right, nothing in common. */
static void two_leaves(struct page *p, unsigned int left, unsigned int right,
		       size_t bytes)
{
	unsigned int i;
	char key[8];

	btree_node_init(p->node, &p->shape, 0, kv_str(""), kv_str("m"));
	btree_node_init(p->right, &p->shape, 0, kv_str("m"), without_end);
	for (i = 0; i < left; i++) {
		(void)snprintf(key, sizeof(key), "a%02u", i % 100);
		append_to(p, p->node, key, i, bytes);
	}
	for (i = 0; i < right; i++) {
		(void)snprintf(key, sizeof(key), "m%02u", i % 100);
		append_to(p, p->right, key, 50 + i, bytes);
	}
}

static void expect_can_merge(struct page *p, bool want, const char *what)
{
	bool came = btree_node_can_merge(p->node, p->right, &p->shape);

	learn_expect(came == want,
		     learn_text("%s: btree_node_can_merge() says %s", what,
				want ? "yes" : "no"),
		     came ? "yes" : "no");
}

static void test_can_merge_is_exact(void **state)
{
	/* 16 entries; header, heads and slots, the fence "m" goes */
	const size_t room = (4096 - BTREE_NODE_HEADER - 16 * BTREE_ENTRY_FIXED) / 16 - 3;
	struct page p = page_new(4096, UINT32_MAX);

	(void)state;
	two_leaves(&p, 8, 8, room);
	expect_can_merge(&p, true, "16 entries that fill a page to its last byte");
	(void)btree_node_set_value(p.right, &p.shape, 0, node_value_of(50, room + 9), 0);
	expect_can_merge(&p, false, "a few bytes more than a page has");
	two_leaves(&p, 8, 9, 100);
	expect_can_merge(&p, true, "17 entries of 100 bytes");
	p.shape.max_keys = 16;
	expect_can_merge(&p, false, "17 entries where max_keys is 16");
	page_free(&p);
}

/* The joined node has the outer fences, and they may have less in common. */
static void test_can_merge_counts_keys_that_grow(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	char key[128];
	unsigned int i;

	(void)state;
	memset(key, 'k', sizeof(key));
	key[101] = 0;
	key[100] = '0';
	btree_node_init(p.right, &p.shape, 0, kv_str("kx"), kv_str("z"));
	append_to(&p, p.right, "ky", 1, 8);
	{
		char lower[128], upper[128];

		memcpy(lower, key, 102);
		memcpy(upper, key, 102);
		upper[100] = '9';
		btree_node_init(p.node, &p.shape, 0, kv_str(lower), kv_str(upper));
	}
	for (i = 0; i < 40; i++) {
		char more[160];

		(void)snprintf(more, sizeof(more), "%.*s1%02u", 100, key, i % 100);
		append_to(&p, p.node, more, i, 4);
	}
	expect_node(&p, p.node, "with a prefix of 100 bytes");
	expect_can_merge(&p, false,
			 "40 keys that lose a prefix of 100 bytes, and do not fit then");
	page_free(&p);
}

static void test_merging_leaves_keeps_all_pairs(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;
	char key[8];

	(void)state;
	two_leaves(&p, 5, 7, 40);
	btree_node_merge(p.node, p.right, &p.shape, kv_str("m"), p.scratch);
	expect_count(p.node, 12, "after merging 5 and 7");
	expect_node(&p, p.node, "after a merge");
	for (i = 0; i < 12; i++) {
		(void)snprintf(key, sizeof(key), "%c%02u", i < 5 ? 'a' : 'm',
			       (i < 5 ? i : i - 5) % 100);
		expect_entry(&p, p.node, i, kv_str(key),
			     node_value_of(i < 5 ? i : 45 + i, 40));
	}
	learn_expect(!btree_node_upper(p.node, &p.shape).data,
		     "the upper fence of what was the right one: none", "there is one");
	page_free(&p);
}

/* The separator comes down from the parent: the right node has not got it. */
static void test_merging_inner_nodes_brings_the_separator_back(void **state)
{
	static const char *const key[] = { "", "d", "h", "p", "r", "t" };
	struct page p = page_new(4096, UINT32_MAX);
	char have[BTREE_KEY_MAX + 1];
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 1, kv_str(""), kv_str("m"));
	btree_node_init(p.right, &p.shape, 1, kv_str("m"), without_end);
	for (i = 0; i < 6; i++) {
		struct btree_node *n = i < 3 ? p.node : p.right;
		struct btree_child child = { 100 + i, i };

		btree_node_insert(n, &p.shape, n->count, kv_str(i == 3 ? "m" : key[i]),
				  kv_slice(&child, sizeof(child)), 0);
	}
	btree_node_merge(p.node, p.right, &p.shape, kv_str("m"), p.scratch);
	expect_count(p.node, 6, "after merging 3 and 3 children");
	expect_node(&p, p.node, "after a merge");
	have[btree_node_key_copy(p.node, &p.shape, 3, have)] = 0;
	learn_expect(!strcmp(have, "m"), "the separator \"m\" before the fourth child",
		     "\"%s\"", have);
	for (i = 0; i < 6; i++)
		learn_number(learn_text("the page of child %u", i),
			     btree_node_child(p.node, &p.shape, i).page, 100 + i);
	page_free(&p);
}

static void test_borrowing_makes_both_equally_full(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	struct btree_split s;
	bool done;

	(void)state;
	two_leaves(&p, 2, 24, 100);
	done = btree_node_balance(p.node, p.right, &p.shape, kv_str("m"), &s, p.scratch);
	learn_expect(done, "entries move from 24 to 2",
		     "btree_node_balance() says there is nothing to do");
	expect_node(&p, p.node, "on the left after borrowing");
	expect_node(&p, p.right, "on the right after borrowing");
	learn_number("the entries of both", p.node->count + p.right->count, 26);
	learn_expect(p.node->count >= 12 && p.node->count <= 14, "about 13 on the left",
		     "%u", p.node->count);
	learn_number("s->at, the entries on the left", s.at, p.node->count);
	learn_expect(!kv_compare(btree_node_upper(p.node, &p.shape),
				 kv_slice(s.key, s.key_bytes)) &&
			     !kv_compare(btree_node_lower(p.right, &p.shape),
					 kv_slice(s.key, s.key_bytes)),
		     "the new separator is the fence between them", "it is not");
	page_free(&p);
}

static void test_no_borrowing_where_nothing_is_gained(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	struct btree_split s;
	bool done;

	(void)state;
	two_leaves(&p, 13, 13, 100);
	done = btree_node_balance(p.node, p.right, &p.shape, kv_str("m"), &s, p.scratch);
	learn_expect(!done, "13 and 13 stay as they are",
		     "btree_node_balance() says it has moved some");
	expect_count(p.node, 13, "on the left when nothing is moved");
	expect_count(p.right, 13, "on the right when nothing is moved");
	page_free(&p);
}

/* ---- the tree ---- */

static void fill_tree(struct disk *d, unsigned int n, const char *options)
{
	unsigned int i;

	store_open(d, options);
	for (i = 0; i < n; i++)
		pair_put(d, i, 1);
}

static void expect_merged(struct disk *d)
{
	learn_expect(store_stat(d, "tree_merges") > 0,
		     "merges, when half of the keys are deleted", "none");
}

static void test_a_tree_shrinks_to_one_leaf(void **state)
{
	enum { N = 300 };
	static const unsigned int step[] = { 1, N - 1, 77 };
	unsigned int i, k;

	(void)state;
	for (k = 0; k < 3; k++) {
		struct disk d = { NULL, NULL };

		fill_tree(&d, N, "max_keys=4");
		for (i = 0; i < N - 2; i++) {
			pair_delete(&d, i * step[k] % N);
			if (i == N / 2)
				expect_merged(&d);
			if (i % 20 == 0)
				expect_sound(&d);
		}
		for (i = 0; i < N; i++)
			expect_pair(&d, NULL, i,
				    i == (N - 2) * step[k] % N ||
					    i == (N - 1) * step[k] % N);
		learn_number("the tree's levels when 2 keys are left",
			     store_stat(&d, "tree_levels"), 1);
		expect_no_pins(&d, "when nobody writes");
		store_close(&d);
	}
}

/* Deletes that leave each leaf one key: without borrowing some would stay so. */
static void test_no_node_stays_nearly_empty(void **state)
{
	enum { N = 2000 };
	struct disk d = { NULL, NULL };
	unsigned int i;

	(void)state;
	fill_tree(&d, N, NULL);
	for (i = 0; i < N; i++)
		if (i % 12)
			pair_delete(&d, i);
	expect_sound(&d);
	learn_expect(store_stat(&d, "verified_fill_percent") >= 40,
		     "pages that are half full, or nearly, on average", "%llu percent",
		     (unsigned long long)store_stat(&d, "verified_fill_percent"));
	for (i = 0; i < N; i++)
		expect_pair(&d, NULL, i, i % 12 == 0);
	store_close(&d);
}

static void test_what_was_pinned_is_let_go(void **state)
{
	enum { N = 400 };
	struct disk d = { NULL, NULL };
	unsigned int i;

	(void)state;
	fill_tree(&d, N, "max_keys=5");
	for (i = 0; i < N; i++) {
		pair_delete(&d, i * 37 % N);
		if (i == N / 2)
			expect_merged(&d);
		expect_no_pins(&d, learn_text("after delete %u", i));
	}
	learn_expect(store_stat(&d, "tree_balances") > 0, "some borrowing", "none");
	store_close(&d);
}

/* A reader that is at the parent while it is turned must find out. */
static void test_the_parent_is_locked_while_it_is_turned(void **state)
{
	enum { N = 300 };
	struct disk d = { NULL, NULL };
	unsigned int i;

	(void)state;
	fill_tree(&d, N, "max_keys=4");
	watched = &d;
	turned = unlocked = 0;
	for (i = 0; i < N; i++)
		pair_delete(&d, i * 37 % N);
	watched = NULL;
	expect_merged(&d);
	learn_expect(turned > 20, "parents that are turned to other children", "%u",
		     turned);
	learn_number("the parents that were changed without a lock", unlocked, 0);
	store_close(&d);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_can_merge_is_exact, 2, NODE),
	LEARN_TEST(test_can_merge_counts_keys_that_grow, 1, NODE),
	LEARN_TEST(test_merging_leaves_keeps_all_pairs, 2, NODE),
	LEARN_TEST(test_merging_inner_nodes_brings_the_separator_back, 2, NODE),
	LEARN_TEST(test_borrowing_makes_both_equally_full, 2, NODE),
	LEARN_TEST(test_no_borrowing_where_nothing_is_gained, 1, NODE),
	LEARN_TEST(test_a_tree_shrinks_to_one_leaf, 3, CHAPTER),
	LEARN_TEST(test_no_node_stays_nearly_empty, 2, CHAPTER),
	LEARN_TEST(test_what_was_pinned_is_let_go, 2, TREE),
	LEARN_TEST(test_the_parent_is_locked_while_it_is_turned, 2, TREE),
};

LEARN_MAIN_NO_SPEED(tests)
