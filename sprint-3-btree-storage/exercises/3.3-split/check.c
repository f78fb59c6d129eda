/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.3: parting a node, and the tree that grows by it.
 */
#include "../node_check.h"
#include "../store_check.h"

#define CHAPTER "docs/sprint-3-btree-storage.md, \"Splits and merges\""
#define NODE    "sprint-3-btree-storage/btree_node.h, btree_node_split_point()"
#define TREE    "sprint-3-btree-storage/btree_operations.c, above split()"

static const struct kv_slice without_end = { NULL, 0 };

/* The store under test, while the page locks of its splits are watched. */
static struct disk *watched;
static unsigned int parted, unlocked, led_astray;

void __real_btree_node_split(struct btree_node *left, struct btree_node *right,
			     const struct btree_shape *shape, const struct btree_split *s,
			     void *scratch);
void __real_btree_node_insert(struct btree_node *n, const struct btree_shape *shape,
			      unsigned int i, struct kv_slice key, struct kv_slice value,
			      unsigned int flags);

void __wrap_btree_node_split(struct btree_node *left, struct btree_node *right,
			     const struct btree_shape *shape, const struct btree_split *s,
			     void *scratch)
{
	if (watched) {
		parted++;
		unlocked += !is_locked(watched, left);
	}
	__real_btree_node_split(left, right, shape, s, scratch);
}

/* A separator that comes into a parent: the parent is locked, and so is the child on its left,
 * whose keys are half gone. */
void __wrap_btree_node_insert(struct btree_node *n, const struct btree_shape *shape,
			      unsigned int i, struct kv_slice key, struct kv_slice value,
			      unsigned int flags)
{
	if (watched && n->page.level && i && is_page_of(watched, n)) {
		struct btree_child left = btree_node_child(n, shape, i - 1);
		const struct btree_node *child =
			btree_page(btree_store(watched->kv)->pager, left.page);

		unlocked += !is_locked(watched, n);
		led_astray += !is_locked(watched, child);
	}
	__real_btree_node_insert(n, shape, i, key, value, flags);
}

/* ---- one node ---- */

static void append_key(struct page *p, struct kv_slice key, size_t bytes)
{
	__real_btree_node_insert(p->node, &p->shape, p->node->count, key,
				 node_value_of(p->node->count, bytes), 0);
}

/* Parts p->node for a new entry at i, and looks at both sides. */
static struct btree_split part(struct page *p, unsigned int i, struct kv_slice key,
			       size_t bytes, bool append)
{
	unsigned int count = p->node->count;
	struct btree_split s;
	struct kv_slice lower, upper;

	btree_node_split_point(p->node, &p->shape, i, key, bytes, append, &s);
	learn_expect(s.at >= 1 && s.at <= count, "the right node begins at 1 .. count",
		     "s->at is %u of %u", s.at, count);
	__real_btree_node_split(p->node, p->right, &p->shape, &s, p->scratch);
	expect_node(p, p->node, "on the left of a split");
	expect_node(p, p->right, "on the right of a split");
	expect_count(p->node, s.at, "on the left");
	expect_count(p->right, count - s.at, "on the right");
	upper = btree_node_upper(p->node, &p->shape);
	lower = btree_node_lower(p->right, &p->shape);
	learn_expect(!kv_compare(upper, lower) && lower.len == s.key_bytes &&
			     !memcmp(lower.data, s.key, lower.len),
		     learn_text("the separator \"%.*s\" is the left node's upper fence "
				"and the right node's lower one",
				(int)s.key_bytes, (const char *)s.key),
		     "they are \"%.*s\" and \"%.*s\"", (int)upper.len,
		     (const char *)upper.data, (int)lower.len, (const char *)lower.data);
	return s;
}

static unsigned int fill(struct page *p, size_t bytes)
{
	unsigned int n = 0;

	btree_node_init(p->node, &p->shape, 0, kv_str("key00000"), kv_str("key99999"));
	for (; btree_node_fits(p->node, &p->shape, node_key(n * 10), bytes); n++)
		append_key(p, node_key(n * 10), bytes);
	return n;
}

static void test_a_leaf_is_parted_in_the_middle(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int n = fill(&p, 60), i;
	size_t left, right;

	(void)state;
	(void)part(&p, n / 2, node_key(n * 5 + 1), 60, false);
	for (i = 0; i < p.node->count; i++)
		expect_entry(&p, p.node, i, node_key(i * 10), node_value_of(i, 60));
	for (; i < n; i++)
		expect_entry(&p, p.right, i - p.node->count, node_key(i * 10),
			     node_value_of(i, 60));
	left = btree_node_used(p.node, &p.shape);
	right = btree_node_used(p.right, &p.shape);
	learn_expect(left < 2 * right && right < 2 * left,
		     "two sides of which none has twice as much as the other",
		     "%zu and %zu bytes", left, right);
	page_free(&p);
}

/* Entry 0 has most of the bytes: the middle of the bytes is not that of the entries. */
static void test_bytes_are_halved_not_entries(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	struct btree_split s;
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 0, kv_str("key00000"), kv_str("key99999"));
	for (i = 0; i < 3; i++)
		append_key(&p, node_key(i), 550);
	for (; i < 36; i++)
		append_key(&p, node_key(i), 30);
	s = part(&p, 36, node_key(36), 30, false);
	learn_expect(
		s.at >= 2 && s.at <= 12,
		"three entries of 550 bytes weigh as much as the 33 of 30 behind them",
		"the left node has %u entries", s.at);
	page_free(&p);
}

static void expect_separator(const char *const *key, unsigned int at, const char *fresh,
			     const char *want)
{
	struct page p = page_new(4096, 4);
	struct btree_split s;
	unsigned int i;

	btree_node_init(p.node, &p.shape, 0, kv_str(""), without_end);
	for (i = 0; i < 4; i++)
		append_key(&p, kv_str(key[i]), 8);
	s = part(&p, at, kv_str(fresh), 8, false);
	learn_expect(s.key_bytes == strlen(want) && !memcmp(s.key, want, s.key_bytes),
		     learn_text("\"%s\", the shortest that parts \"%s\", \"%s\", .. with "
				"\"%s\" to come",
				want, key[0], key[1], fresh),
		     "the separator \"%.*s\"", (int)s.key_bytes, (const char *)s.key);
	page_free(&p);
}

static void test_separators_are_as_short_as_can_be(void **state)
{
	static const char *const animals[] = { "ant", "bear", "cat", "dog" };
	static const char *const alike[] = { "aaa1", "aaa2", "aab1", "aab2" };

	(void)state;
	expect_separator(animals, 1, "bat", "c");
	expect_separator(alike, 4, "aab3", "aab");
	expect_separator(alike, 0, "aaa0", "aab");
}

static void test_the_new_entry_has_room_on_its_side(void **state)
{
	static const size_t sizes[] = { 5, 60, 200, 700 };
	unsigned int a, b, i, n;

	(void)state;
	for (a = 0; a < 4; a++)
		for (b = 0; b < 4; b++) {
			struct page p = page_new(4096, UINT32_MAX);

			n = fill(&p, sizes[a]);
			for (i = 1; i <= n; i++) {
				char text[NODE_KEY];
				struct kv_slice key;
				struct btree_split s;
				bool left;

				(void)fill(&p, sizes[a]);
				memcpy(text, node_key(i * 10 - 4).data, NODE_KEY);
				key = kv_str(text);
				s = part(&p, i, key, sizes[b], false);
				left = kv_compare(key, kv_slice(s.key, s.key_bytes)) < 0;
				learn_expect(btree_node_fits(left ? p.node : p.right,
							     &p.shape, key, sizes[b]),
					     learn_text("room for %zu bytes at %u of %u "
							"entries of %zu",
							sizes[b], i, n, sizes[a]),
					     "none on the side where it belongs");
			}
			page_free(&p);
		}
}

static void test_a_sorted_load_leaves_the_left_node_full(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int n = fill(&p, 60);
	struct btree_split s = part(&p, n, node_key(n * 10), 60, true);

	(void)state;
	learn_number("s->at, the entries on the left, when the new one comes last", s.at,
		     n);
	page_free(&p);
}

/* Until the new separator has come, keys behind it must be led to where they still are. */
static void test_inner_nodes_do_not_begin_with_the_new_separator(void **state)
{
	static const char *const separator[] = { "a", "g", "m", "s" };
	static const char *const fresh[] = { "b", "h", "n", "t" };
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct page p = page_new(4096, 4);
		struct btree_split s;

		btree_node_init(p.node, &p.shape, 1, kv_str("a"), without_end);
		for (k = 0; k < 4; k++) {
			struct btree_child child = { 100 + k, 0 };

			__real_btree_node_insert(p.node, &p.shape, k,
						 kv_str(separator[k]),
						 kv_slice(&child, sizeof(child)), 0);
		}
		s = part(&p, i + 1, kv_str(fresh[i]), 8, false);
		learn_expect(kv_compare(kv_slice(s.key, s.key_bytes), kv_str(fresh[i])),
			     "a separator that is in the node already",
			     "\"%s\", which is yet to come", fresh[i]);
		for (k = 0; k < 4; k++) {
			bool left = k < p.node->count;

			learn_number(
				learn_text("the page of child %u after the split", k),
				btree_node_child(left ? p.node : p.right, &p.shape,
						 left ? k : k - p.node->count)
					.page,
				100 + k);
		}
		page_free(&p);
	}
}

/* ---- the tree ---- */

static void expect_grown(struct disk *d)
{
	uint64_t splits = store_stat(d, "tree_splits");

	learn_expect(splits >= 2, "at least 2 splits for 12 keys, at most 4 a node",
		     "%llu", (unsigned long long)splits);
	learn_expect(store_stat(d, "tree_levels") >= 2, "a tree of 2 levels or more",
		     "%llu", (unsigned long long)store_stat(d, "tree_levels"));
}

/* 12 keys would fit into one page even if they were not parted: first it must be. */
static void begin_tree(struct disk *d, const char *options)
{
	unsigned int i;

	store_open(d, options);
	for (i = 0; i < 12; i++)
		pair_put(d, i * 1000, 1);
	expect_grown(d);
	expect_sound(d);
}

static void grow(unsigned int step)
{
	enum { N = 1000 };
	struct disk d = { NULL, NULL };
	unsigned int i;

	begin_tree(&d, "max_keys=4");
	for (i = 0; i < N; i++)
		pair_put(&d, 100000 + i * step % N, 1);
	expect_sound(&d);
	for (i = 0; i < N; i++)
		expect_pair(&d, NULL, 100000 + i, 1);
	learn_number("the pairs in the tree", store_stat(&d, "keys"), N + 12);
	expect_no_pins(&d, "when nobody writes");
	store_close(&d);
}

static void test_a_tree_grows_in_order(void **state)
{
	(void)state;
	grow(1);
}

static void test_a_tree_grows_backwards_and_at_random(void **state)
{
	(void)state;
	grow(999);
	grow(617);
}

static void test_full_pages_of_all_sizes(void **state)
{
	static uint8_t bytes[3000];
	struct disk d = { NULL, NULL };
	unsigned int i;

	(void)state;
	begin_tree(&d, "max_keys=4");
	learn_error("kv_close()", kv_close(d.kv), 0);
	store_open(&d, NULL);
	for (i = 0; i < 3000; i++)
		learn_error("put of some bytes",
			    kv_put(d.kv, pair_key((unsigned int)learn_random(100000)),
				   kv_slice(bytes, (size_t)learn_random(900)), KV_NONE),
			    0);
	expect_sound(&d);
	expect_no_pins(&d, "when nobody writes");
	store_close(&d);
}

/* Readers take no lock: the pages' own locks are all that keeps them from a half-done split. */
static void test_pages_are_locked_while_they_are_parted(void **state)
{
	struct disk d = { NULL, NULL };
	unsigned int i;

	(void)state;
	begin_tree(&d, "max_keys=4");
	watched = &d;
	parted = unlocked = led_astray = 0;
	for (i = 0; i < 300; i++)
		pair_put(&d, 100000 + i * 77 % 300, 1);
	watched = NULL;
	learn_expect(parted >= 50, "at least 50 splits for 300 keys", "%u", parted);
	learn_number("the pages that were parted, or got a separator, without a lock",
		     unlocked, 0);
	learn_number("the left pages unlocked before the parent knew of the right one",
		     led_astray, 0);
	store_close(&d);
}

static void bench_split(uint64_t n)
{
	static struct page p;
	static uint8_t full[4096];
	uint64_t i;

	if (!p.node) {
		p = page_new(4096, UINT32_MAX);
		(void)fill(&p, 60);
		memcpy(full, p.node, 4096);
	}
	for (i = 0; i < n; i++) {
		struct btree_split s;

		memcpy(p.node, full, 4096);
		btree_node_split_point(p.node, &p.shape, 10, kv_str("key00095"), 60,
				       false, &s);
		__real_btree_node_split(p.node, p.right, &p.shape, &s, p.scratch);
	}
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_a_leaf_is_parted_in_the_middle, 2, CHAPTER),
	LEARN_TEST(test_bytes_are_halved_not_entries, 1, NODE),
	LEARN_TEST(test_separators_are_as_short_as_can_be, 2, CHAPTER),
	LEARN_TEST(test_the_new_entry_has_room_on_its_side, 2, NODE),
	LEARN_TEST(test_a_sorted_load_leaves_the_left_node_full, 1, CHAPTER),
	LEARN_TEST(test_inner_nodes_do_not_begin_with_the_new_separator, 2, NODE),
	LEARN_TEST(test_a_tree_grows_in_order, 2, CHAPTER),
	LEARN_TEST(test_a_tree_grows_backwards_and_at_random, 2, CHAPTER),
	LEARN_TEST(test_full_pages_of_all_sizes, 2, NODE),
	LEARN_TEST(test_pages_are_locked_while_they_are_parted, 2, TREE),
};
static const struct learn_speed speeds[] = { { "split", bench_split, 2000 } };

LEARN_MAIN(tests, speeds)
