/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.2: searching by key heads. First arrays of heads, against
 * counting; then nodes, against looking at each entry.
 */
#include "../../btree_search.h"
#include "../node_check.h"

#define CHAPTER \
	"docs/sprint-3-btree-storage.md, \"A slotted node\", the paragraph on heads"
#define SEARCH "sprint-3-btree-storage/btree_search.h"
#define HEADER "sprint-3-btree-storage/btree_node.h"

static const struct kv_slice without_end = { NULL, 0 };

typedef unsigned int search_fn(const uint32_t *head, unsigned int n, uint32_t key);

/* An array of its own length, so that the sanitizer sees who looks behind it. */
static uint32_t *heads_new(unsigned int n, uint32_t step)
{
	uint32_t *head = malloc((n ? n : 1) * sizeof(*head));
	unsigned int i;

	learn_pointer("memory for heads", head);
	for (i = 0; i < n; i++)
		head[i] = step ? 10 + i * step : 10 + i / 5 * 3;
	return head;
}

static void expect_search(search_fn *search, const char *name, const uint32_t *head,
			  unsigned int n, uint32_t key)
{
	unsigned int i, less = 0;

	for (i = 0; i < n; i++)
		less += head[i] < key;
	learn_number(learn_text("%s() of %u among %u heads", name, key, n),
		     search(head, n, key), less);
}

static void check_all_lengths(search_fn *search, const char *name, uint32_t step)
{
	static const uint32_t edges[] = { 0, 1, 0x7fffffff, 0x80000000, UINT32_MAX };
	unsigned int n, i;

	for (n = 0; n < 150; n++) {
		uint32_t *head = heads_new(n, step), key;

		for (i = 0; i < n; i++)
			for (key = head[i] - 1; key <= head[i] + 1; key++)
				expect_search(search, name, head, n, key);
		for (i = 0; i < 5; i++)
			expect_search(search, name, head, n, edges[i]);
		free(head);
	}
}

static void test_scalar_counts_what_is_less(void **state)
{
	(void)state;
	check_all_lengths(btree_search_heads_scalar, "btree_search_heads_scalar", 3);
	check_all_lengths(btree_search_heads_scalar, "btree_search_heads_scalar", 0);
}

static void test_vectors_count_the_same(void **state)
{
	(void)state;
	check_all_lengths(btree_search_heads_simd, "btree_search_heads_simd", 3);
	check_all_lengths(btree_search_heads_simd, "btree_search_heads_simd", 0);
	/* beyond 2^31: heads are unsigned */
	check_all_lengths(btree_search_heads_simd, "btree_search_heads_simd", 28000000);
}

/* An optimistic reader may meet heads in any order: the answer is worth nothing then, but it
 * must not lead out of the array. */
static void test_any_array_gives_an_answer_within_it(void **state)
{
	unsigned int n, i, round;

	(void)state;
	for (round = 0; round < 4000; round++) {
		uint32_t *head, key = (uint32_t)learn_random(UINT32_MAX);

		n = (unsigned int)learn_random(120);
		head = heads_new(n, 1);
		for (i = 0; i < n; i++)
			head[i] = (uint32_t)learn_random(UINT32_MAX);
		i = btree_search_heads_scalar(head, n, key);
		learn_expect(i <= n, "an answer of at most n, whatever the array has",
			     "%u of %u, by the scalar one", i, n);
		i = btree_search_heads_simd(head, n, key);
		learn_expect(i <= n, "an answer of at most n, whatever the array has",
			     "%u of %u, by the vectors", i, n);
		free(head);
	}
	learn_number("btree_search_heads_scalar() among one head that is less",
		     btree_search_heads_scalar((const uint32_t[]){ 7 }, 1, 8), 1);
}

/* ---- nodes ---- */

static void append(struct page *p, struct kv_slice key, unsigned int number)
{
	btree_node_insert(p->node, &p->shape, p->node->count, key,
			  node_value_of(number, 8), 0);
}

/* The first entry >= key, by looking at each. */
static unsigned int bound_of(const struct page *p, struct kv_slice key, bool *found)
{
	char have[BTREE_KEY_MAX];
	unsigned int i;

	for (i = 0; i < p->node->count; i++) {
		size_t len = btree_node_key_copy(p->node, &p->shape, i, have);
		int c = kv_compare(kv_slice(have, len), key);

		*found = !c;
		if (c >= 0)
			return i;
	}
	*found = false;
	return i;
}

static void expect_bound(const struct page *p, struct kv_slice key)
{
	bool found, want_found = false;
	unsigned int want = bound_of(p, key, &want_found), came;

	came = btree_node_lower_bound(p->node, &p->shape, key, &found);
	learn_number(learn_text("the lower bound of \"%.*s\" among %u entries",
				(int)key.len, (const char *)key.data, p->node->count),
		     came, want);
	learn_expect(found == want_found,
		     learn_text("*found is %s for \"%.*s\"",
				want_found ? "true" : "false", (int)key.len,
				(const char *)key.data),
		     "%s", found ? "true" : "false");
}

static void test_lower_bound_between_fences(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 0, kv_str("key00000"), kv_str("key99999"));
	for (i = 0; i < 100; i++)
		append(&p, node_key(1000 + 3 * i), i);
	for (i = 990; i < 1310; i++)
		expect_bound(&p, node_key(i));
	page_free(&p);
}

/* Heads are four bytes; the keys differ behind them. */
static void test_equal_heads_are_told_apart_by_their_keys(void **state)
{
	static const char *const key[] = { "aaaa",  "aaaab", "aaaabb", "aaaac", "aaaad",
					   "aaaae", "aaaaf", "aaaafa", "aaaag", "b",
					   "ba",    "baaa",  "baaab" };
	static const char *const absent[] = { "",      "a",     "aaa",    "aaaaa",
					      "aaaca", "aaaaz", "aaaafb", "baa",
					      "baaaa", "baab",  "c" };
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 0, kv_str(""), without_end);
	for (i = 0; i < sizeof(key) / sizeof(*key); i++)
		append(&p, kv_str(key[i]), i);
	for (i = 0; i < sizeof(key) / sizeof(*key); i++)
		expect_bound(&p, kv_str(key[i]));
	for (i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		expect_bound(&p, kv_str(absent[i]));
	page_free(&p);
}

/* h + 1 is 0 when the head is 0xffffffff. */
static void test_the_largest_head(void **state)
{
	static const char *const key[] = { "\xff\xff\xff\xfe", "\xff\xff\xff\xff",
					   "\xff\xff\xff\xff"
					   "a",
					   "\xff\xff\xff\xff"
					   "c",
					   "\xff\xff\xff\xff"
					   "e" };
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 0, kv_str(""), without_end);
	append(&p, kv_str("a"), 9); /* so that they share nothing */
	for (i = 0; i < 5; i++)
		append(&p, kv_str(key[i]), i);
	for (i = 0; i < 5; i++)
		expect_bound(&p, kv_str(key[i]));
	expect_bound(&p, kv_str("\xff\xff\xff\xff"
				"d"));
	expect_bound(&p, kv_str("\xff\xff\xff\xff\xff"));
	page_free(&p);
}

/* Without a prefix heads leave out what the keys share: a key that does not share it is an
 * edge case, in both directions. */
static void test_keys_that_do_not_share_what_the_others_do(void **state)
{
	static const char *const odd[] = {
		"",    "k", "ke", "key",       "kex", "key0",
		"kez", "a", "z",  "key000000", "kfy", "key99"
	};
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 0, kv_str(""), without_end);
	for (i = 0; i < 40; i++)
		append(&p, node_key(i * 2), i);
	learn_expect(p.node->shared_bytes > 3, "keys that share more than 3 bytes", "%u",
		     p.node->shared_bytes);
	for (i = 0; i < sizeof(odd) / sizeof(*odd); i++)
		expect_bound(&p, kv_str(odd[i]));
	for (i = 0; i < 85; i++)
		expect_bound(&p, node_key(i));
	page_free(&p);
}

static void expect_child(const struct page *p, const char *key, unsigned int want)
{
	unsigned int index = 99;
	uint32_t page;

	learn_number(learn_text("btree_node_child_index() of \"%s\"", key),
		     btree_node_child_index(p->node, &p->shape, kv_str(key)), want);
	page = btree_node_route(p->node, &p->shape, kv_str(key), &index);
	learn_number(learn_text("the page that btree_node_route() leads \"%s\" to", key),
		     page, 100 + want);
}

static void test_the_child_is_the_last_separator_not_above(void **state)
{
	static const char *const separator[] = { "", "d", "dog", "m", "t" };
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 1, kv_str(""), without_end);
	for (i = 0; i < 5; i++) {
		struct btree_child child = { 100 + i, 0 };

		btree_node_insert(p.node, &p.shape, i, kv_str(separator[i]),
				  kv_slice(&child, sizeof(child)), 0);
	}
	expect_child(&p, "", 0);
	expect_child(&p, "c", 0);
	expect_child(&p, "d", 1);
	expect_child(&p, "do", 1);
	expect_child(&p, "dog", 2);
	expect_child(&p, "dogs", 2);
	expect_child(&p, "l", 2);
	expect_child(&p, "m", 3);
	expect_child(&p, "t", 4);
	expect_child(&p, "z", 4);
	page_free(&p);
}

/* A page that is no node any more: the answer is nonsense, and within the page. */
static void test_bytes_that_are_no_node_do_no_harm(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int round, i;

	(void)state;
	for (round = 0; round < 3000; round++) {
		uint8_t *byte = (uint8_t *)p.node;
		struct kv_slice key = node_key((unsigned int)learn_random(100000));
		bool found;

		for (i = 0; i < 4096; i += 8)
			port_put_le64(byte + i, learn_random(UINT64_MAX));
		p.node->count = (uint16_t)learn_random(400);
		p.node->cap = (uint16_t)learn_random(400);
		p.node->shared_bytes = (uint8_t)learn_random(20);
		i = btree_node_lower_bound(p.node, &p.shape, key, &found);
		learn_expect(i <= 4096 / BTREE_ENTRY_FIXED,
			     "an answer that a page has room for", "%u", i);
		(void)btree_node_child_index(p.node, &p.shape, key);
	}
	page_free(&p);
}

static void bench_heads(uint64_t n)
{
	static uint32_t head[200];
	static volatile unsigned int sink;
	uint64_t i;

	for (i = 0; i < 200; i++)
		head[i] = (uint32_t)i * 1000;
	for (i = 0; i < n; i++)
		sink = btree_search_heads(head, 200, (uint32_t)(i * 7919 % 200000));
	(void)sink;
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_scalar_counts_what_is_less, 2, SEARCH),
	LEARN_TEST(test_vectors_count_the_same, 3, CHAPTER),
	LEARN_TEST(test_any_array_gives_an_answer_within_it, 1, SEARCH),
	LEARN_TEST(test_lower_bound_between_fences, 2, CHAPTER),
	LEARN_TEST(test_equal_heads_are_told_apart_by_their_keys, 2, CHAPTER),
	LEARN_TEST(test_the_largest_head, 1, HEADER),
	LEARN_TEST(test_keys_that_do_not_share_what_the_others_do, 2, CHAPTER),
	LEARN_TEST(test_the_child_is_the_last_separator_not_above, 2, HEADER),
	LEARN_TEST(test_bytes_that_are_no_node_do_no_harm, 2, HEADER),
};
static const struct learn_speed speeds[] = { { "search", bench_heads, 200000 } };

LEARN_MAIN(tests, speeds)
