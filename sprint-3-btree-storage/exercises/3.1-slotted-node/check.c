/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.1: the slotted node. A model (which number has a value of how
 * many bytes) says what the page must hold.
 */
#include "../node_check.h"

#define CHAPTER "docs/sprint-3-btree-storage.md, \"A slotted node\""
#define HEADER  "sprint-3-btree-storage/btree_node.h"

static const struct kv_slice without_end = { NULL, 0 };

/* Where the key belongs, by looking at each entry. */
static unsigned int place_of(const struct page *p, struct kv_slice key, bool *found)
{
	char have[BTREE_KEY_MAX];
	unsigned int i;
	int c = 1;

	for (i = 0; i < p->node->count; i++) {
		size_t len = btree_node_key_copy(p->node, &p->shape, i, have);

		c = kv_compare(kv_slice(have, len), key);
		if (c >= 0)
			break;
	}
	*found = !c;
	return i;
}

static void put(struct page *p, unsigned int number, size_t bytes)
{
	struct kv_slice key = node_key(number);
	bool found;
	unsigned int i = place_of(p, key, &found);
	unsigned int count = p->node->count;

	learn_expect(btree_node_fits(p->node, &p->shape, key, bytes),
		     learn_text("room for \"%s\" and %zu bytes beside %u entries",
				(const char *)key.data, bytes, count),
		     "btree_node_fits() says no");
	btree_node_insert(p->node, &p->shape, i, key, node_value_of(number, bytes), 0);
	expect_count(p->node, count + 1, "after btree_node_insert()");
	expect_node(p, p->node, "after btree_node_insert()");
}

static void begin(struct page *p, const char *lower, const char *upper)
{
	btree_node_init(p->node, &p->shape, 0, kv_str(lower),
			upper ? kv_str(upper) : without_end);
}

static void test_inserts_keep_the_order(void **state)
{
	static const unsigned int order[] = { 50, 10, 90, 30, 70, 20, 80 };
	static const unsigned int sorted[] = { 10, 20, 30, 50, 70, 80, 90 };
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	begin(&p, "key00000", "key99999");
	for (i = 0; i < 7; i++)
		put(&p, order[i], 20 + i);
	for (i = 0; i < 7; i++) {
		unsigned int k;

		for (k = 0; order[k] != sorted[i]; k++)
			;
		expect_entry(&p, p.node, i, node_key(sorted[i]),
			     node_value_of(sorted[i], 20 + k));
	}
	page_free(&p);
}

/* More entries than one step of heads and slots. */
static void test_heads_and_slots_get_more_room(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	begin(&p, "", NULL);
	for (i = 0; i < 100; i++)
		put(&p, 1000 + i * 37 % 100, 5);
	for (i = 0; i < 100; i++)
		expect_entry(&p, p.node, i, node_key(1000 + i),
			     node_value_of(1000 + i, 5));
	page_free(&p);
}

static void test_fits_is_exact(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	struct kv_slice key = node_key(500);
	size_t most = 4096 - BTREE_NODE_HEADER - 8 - BTREE_CAP_STEP * BTREE_ENTRY_FIXED,
	       fence = 8;

	(void)state;
	begin(&p, "key00000", "key99999"); /* the prefix is "key" */
	most -= fence + (key.len - 3);
	learn_expect(btree_node_fits(p.node, &p.shape, key, most),
		     learn_text("room for %zu bytes in an empty node", most),
		     "btree_node_fits() says no");
	learn_expect(
		!btree_node_fits(p.node, &p.shape, key, most + 1),
		learn_text("no room for %zu bytes, one more than there are", most + 1),
		"btree_node_fits() says yes");
	put(&p, 500, most);
	expect_entry(&p, p.node, 0, key, node_value_of(500, most));
	page_free(&p);
	p = page_new(4096, 4);
	begin(&p, "", NULL);
	for (unsigned int i = 0; i < 4; i++)
		put(&p, i, 1);
	learn_expect(!btree_node_fits(p.node, &p.shape, key, 1),
		     "no room for a fifth entry when max_keys is 4",
		     "btree_node_fits() says yes");
	page_free(&p);
}

static void test_remove_closes_the_gap(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	size_t used;
	unsigned int i;

	(void)state;
	begin(&p, "", NULL);
	for (i = 0; i < 10; i++)
		put(&p, i, 30);
	used = btree_node_used(p.node, &p.shape);
	put(&p, 10, 30);
	btree_node_remove(p.node, &p.shape, 10);
	expect_count(p.node, 10, "after removing the last");
	expect_node(&p, p.node, "after removing the last");
	learn_number("the bytes in use after one came and went",
		     btree_node_used(p.node, &p.shape), used);
	btree_node_remove(p.node, &p.shape, 0);
	btree_node_remove(p.node, &p.shape, 4);
	expect_count(p.node, 8, "after removing two");
	expect_node(&p, p.node, "after removing from the middle");
	for (i = 0; i < 8; i++) {
		unsigned int number = i + 1 + (i >= 4);

		expect_entry(&p, p.node, i, node_key(number), node_value_of(number, 30));
	}
	while (p.node->count)
		btree_node_remove(p.node, &p.shape, p.node->count - 1u);
	expect_node(&p, p.node, "after removing all");
	page_free(&p);
}

/* What removing has left is found again when there is no other room. */
static void test_dead_bytes_become_room(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i, n = 0;

	(void)state;
	begin(&p, "key00000", "key99999");
	while (btree_node_fits(p.node, &p.shape, node_key(n), 100))
		put(&p, n++, 100);
	learn_expect(n > 20, "more than 20 entries of 100 bytes in a page",
		     "%u, then btree_node_fits() says no", n);
	for (i = 0; i < n; i += 2)
		btree_node_remove(p.node, &p.shape, i / 2);
	expect_count(p.node, n / 2, "after removing every other one");
	for (i = 0; i < n; i += 4)
		put(&p, i, 190);
	for (i = 0; i < p.node->count; i++) {
		char have[BTREE_KEY_MAX + 1];
		unsigned int number;

		have[btree_node_key_copy(p.node, &p.shape, i, have)] = 0;
		number = (unsigned int)atoi(have + 3);
		expect_entry(&p, p.node, i, node_key(number),
			     node_value_of(number, number % 2 ? 100 : 190));
	}
	page_free(&p);
}

static void set(struct page *p, unsigned int i, unsigned int number, size_t bytes,
		bool fits)
{
	bool came = btree_node_set_value(p->node, &p->shape, i,
					 node_value_of(number, bytes), 0);

	learn_expect(came == fits,
		     learn_text("btree_node_set_value() of %zu bytes says %s", bytes,
				fits ? "that it fits" : "that it does not fit"),
		     came ? "it fits" : "it does not");
	expect_node(p, p->node, "after btree_node_set_value()");
}

static void test_a_value_becomes_shorter_and_longer(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i, n = 8;
	size_t used;

	(void)state;
	begin(&p, "key00000", "key99999");
	for (i = 0; i < n; i++)
		put(&p, i, 400);
	used = btree_node_used(p.node, &p.shape);
	set(&p, 3, 3, 100, true);
	learn_number("the bytes in use after 300 bytes less",
		     btree_node_used(p.node, &p.shape), used - 300);
	expect_entry(&p, p.node, 3, node_key(3), node_value_of(3, 100));
	set(&p, 5, 5, 1000, true); /* fits when the old record is dead, and only then */
	set(&p, 6, 6, 3000, false);
	set(&p, 3, 3, 0, true);
	for (i = 0; i < n; i++)
		expect_entry(&p, p.node, i, node_key(i),
			     node_value_of(i, i == 3   ? 0
					      : i == 5 ? 1000
						       : 400));
	page_free(&p);
}

/* The first child has every key below the second's separator: it needs no key. */
static void test_an_inner_node_has_a_child_without_a_key(void **state)
{
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i;

	(void)state;
	btree_node_init(p.node, &p.shape, 1, kv_str("b"), kv_str("y"));
	for (i = 0; i < 40; i++) {
		struct btree_child child = { 100 + i, 7 * i };
		struct kv_slice key = i ? node_key(i * 3) : kv_str("b");

		btree_node_insert(p.node, &p.shape, i, key,
				  kv_slice(&child, sizeof(child)), 0);
		expect_count(p.node, i + 1, "after inserting a child");
		expect_node(&p, p.node, "after inserting a child");
	}
	btree_node_remove(p.node, &p.shape, 0);
	expect_node(&p, p.node, "after removing the first child");
	btree_node_remove(p.node, &p.shape, 10);
	expect_node(&p, p.node, "after removing a child");
	for (i = 0; i < p.node->count; i++) {
		unsigned int was = i + 1 + (i >= 10);
		struct btree_child child = btree_node_child(p.node, &p.shape, i);

		learn_number(learn_text("the page of child %u", i), child.page,
			     100 + was);
		learn_number(learn_text("the CRC of child %u", i), child.crc, 7 * was);
	}
	page_free(&p);
}

/* Thousands of steps against a model, in pages that are nearly full all the time. */
static void test_a_long_history(void **state)
{
	enum { NUMBERS = 120, STEPS = 6000 };
	static int bytes[NUMBERS]; /* -1: not there */
	struct page p = page_new(4096, UINT32_MAX);
	unsigned int i, step, at;

	(void)state;
	begin(&p, "", NULL);
	for (i = 0; i < NUMBERS; i++)
		bytes[i] = -1;
	for (step = 0; step < STEPS; step++) {
		unsigned int number = (unsigned int)learn_random(NUMBERS);
		size_t len = (size_t)learn_random(learn_random(4) ? 60 : 400);
		bool found;

		at = place_of(&p, node_key(number), &found);
		learn_expect(
			found == (bytes[number] >= 0),
			learn_text("key %u is %s", number, found ? "not there" : "there"),
			"the node says otherwise");
		if (found && learn_random(3) == 0) {
			btree_node_remove(p.node, &p.shape, at);
			bytes[number] = -1;
		} else if (found) {
			if (btree_node_set_value(p.node, &p.shape, at,
						 node_value_of(number, len), 0))
				bytes[number] = (int)len;
		} else if (btree_node_fits(p.node, &p.shape, node_key(number), len)) {
			btree_node_insert(p.node, &p.shape, at, node_key(number),
					  node_value_of(number, len), 0);
			bytes[number] = (int)len;
		}
		expect_node(&p, p.node, learn_text("after step %u", step));
	}
	for (i = at = 0; i < NUMBERS; i++)
		if (bytes[i] >= 0) {
			expect_entry(&p, p.node, at, node_key(i),
				     node_value_of(i, (size_t)bytes[i]));
			at++;
		}
	expect_count(p.node, at, "in the end");
	learn_expect(at > 20, "more than 20 entries in the end", "%u", at);
	page_free(&p);
}

static void bench_insert(uint64_t n)
{
	static _Alignas(64) uint8_t memory[4096];
	const struct btree_shape shape = { 4096, UINT32_MAX };
	struct btree_node *node = (void *)memory;
	struct kv_slice value = node_value_of(1, 16);
	uint64_t i;
	char key[9] = "key00000";

	for (i = 0; i < n; i++) {
		unsigned int at = (unsigned int)(i % 80), d;

		if (!at)
			btree_node_init(node, &shape, 0, kv_str("key"), kv_str("kez"));
		for (d = 0; d < 2; d++)
			key[7 - d] = (char)('0' + (d ? at / 10 : at) % 10);
		btree_node_insert(node, &shape, at, kv_slice(key, 8), value, 0);
	}
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_inserts_keep_the_order, 2, CHAPTER),
	LEARN_TEST(test_heads_and_slots_get_more_room, 1, HEADER),
	LEARN_TEST(test_fits_is_exact, 2, HEADER),
	LEARN_TEST(test_remove_closes_the_gap, 2, CHAPTER),
	LEARN_TEST(test_dead_bytes_become_room, 2, CHAPTER),
	LEARN_TEST(test_a_value_becomes_shorter_and_longer, 2, HEADER),
	LEARN_TEST(test_an_inner_node_has_a_child_without_a_key, 2, HEADER),
	LEARN_TEST(test_a_long_history, 3, CHAPTER),
};
static const struct learn_speed speeds[] = { { "insert", bench_insert, 80000 } };

LEARN_MAIN(tests, speeds)
