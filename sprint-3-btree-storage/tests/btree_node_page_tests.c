/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_page_tests.c - pages that are no nodes: what btree_node_check() says of them,
 * and that the optimistic functions, which see pages before anybody has checked them, stay
 * within the page, end, and answer within bounds. Pages lie between memory that cannot be
 * read.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "btree_guard.h"
#include "btree_keys.h"
#include "btree_node_reader.h"

#include <setjmp.h>

#include <cmocka.h>

#define FIELD(f) offsetof(struct btree_node, f)

static const struct kv_slice nothing = { "", 0 };

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

/* ---- good nodes ---- */

/* As full as random entries make it; some of them removed again. */
static void make_node(struct btree_node *n, const struct btree_shape *shape,
		      unsigned int level, enum btree_key_family family)
{
	uint8_t key[BTREE_KEY_MAX], value[64];
	unsigned int tries, i;
	bool found;

	memset(n, 0, shape->page_bytes);
	btree_node_init(n, shape, level, nothing, kv_slice(NULL, 0));
	core_random_bytes(value, sizeof(value));
	if (level)
		btree_node_insert(n, shape, 0, nothing, kv_slice(value, 8), 0);
	for (tries = 0; tries < 60; tries++) {
		const struct kv_slice k = kv_slice(key, btree_keys_make(family, key));
		const size_t len = level ? 8 : core_random_below(sizeof(value));

		i = btree_node_lower_bound(n, shape, k, &found);
		if (!found && (i || !level) && btree_node_fits(n, shape, k, len))
			btree_node_insert(n, shape, i, k, kv_slice(value, len), 0);
	}
	for (tries = 0; tries < 5 && n->count > 2; tries++)
		btree_node_remove(n, shape,
				  1 + (unsigned int)core_random_below(n->count - 1u));
	assert_int_equal(btree_node_check(n, shape, NULL), 0);
}

/* The same with fences and so with a prefix. */
static void make_fenced(struct btree_node *n, const struct btree_shape *shape,
			unsigned int level)
{
	uint64_t i;
	char key[32];

	memset(n, 0, shape->page_bytes);
	btree_node_init(n, shape, level, kv_str("user0000000005"),
			kv_str("user0000000006"));
	for (i = 0; i < 25; i++) {
		const int len = i ? snprintf(key, sizeof(key), "user0000000005%02u%03u",
					     (unsigned int)i, (unsigned int)i * 7)
				  : snprintf(key, sizeof(key), "user0000000005");

		btree_node_insert(n, shape, (unsigned int)i, kv_slice(key, (size_t)len),
				  kv_slice("a value!", 8), 0);
	}
	assert_int_equal(btree_node_check(n, shape, NULL), 0);
}

/* ---- pages of chance ---- */

static void read_both_ways(const struct btree_node *n, const struct btree_shape *shape)
{
	uint8_t key[BTREE_KEY_MAX];
	unsigned int family = (unsigned int)core_random_below(BTREE_KEYS_FAMILIES);
	size_t len = btree_keys_make(family, key);

	btree_node_read_all(n, shape, kv_slice(key, len));
	btree_node_read_all(n, shape, nothing);
	if (!btree_node_check(n, shape, NULL))
		btree_node_demand_consistent(n, shape);
}

static void test_random_bytes(void **state)
{
	unsigned int round, rounds = (unsigned int)test_draws(1500) + 50;
	uint32_t page;

	(void)state;
	print_message("seed 0x%x\n", CORE_SEED);
	for (page = BTREE_PAGE_MIN; page <= BTREE_PAGE_MAX; page *= 4) {
		const struct btree_shape shape = { .page_bytes = page, .max_keys = 100 };
		struct guard g = guard_new(page);
		struct btree_node *n = guard_end(&g);

		core_random_bytes(n, page);
		for (round = 0; round < rounds; round++) {
			core_random_bytes(n, 512);
			if (round % 2)
				n->page.kind = BTREE_PAGE_NODE;
			if (round % 3)
				n->cap = (uint16_t)core_random_below(page / 12);
			if (round % 5)
				n->count = (uint16_t)core_random_below(40);
			if (round % 7)
				n->prefix_bytes = (uint16_t)core_random_below(20);
			read_both_ways(n, &shape);
		}
		guard_free(&g);
	}
}

/* Edges of what the fields can hold, in all combinations that a page has. */
static void test_fields_at_their_edges(void **state)
{
	static const uint16_t edges[] = { 0,    1,    15,     16,    64,
					  4095, 4096, 0x7fff, 65520, 0xffff };
	enum { EDGES = sizeof(edges) / sizeof(edges[0]) };
	const struct btree_shape shape = { .page_bytes = 4096, .max_keys = 100 };
	struct guard g = guard_new(4096);
	struct btree_node *n = guard_end(&g);
	unsigned int round, rounds = (unsigned int)test_draws(15000) + 500;

	(void)state;
	for (round = 0; round < rounds; round++) {
		unsigned int which = (unsigned int)core_random_below(18), slot;

		if (round % 8 == 0)
			make_fenced(n, &shape, round / 8 % 2);
		slot = BTREE_NODE_HEADER + n->cap * 4u;
		if (which < 12) /* from count to unbounded */
			((uint16_t *)(void *)n)[FIELD(count) / 2 + which] =
				edges[core_random_below(EDGES)];
		else if (slot + 400 < 4096)
			port_put_le16((uint8_t *)n + slot + core_random_below(200) * 2,
				      edges[core_random_below(EDGES)]);
		read_both_ways(n, &shape);
	}
	guard_free(&g);
}

static void flip_each_byte(struct btree_node *n, const struct btree_shape *shape)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	uint8_t *p = (uint8_t *)n;
	size_t at, step = test_scale() > 1 ? 5 : test_one_in(3);
	unsigned int i;

	for (at = 0; at < shape->page_bytes; at += step) {
		for (i = 0; i < sizeof(flips); i++) {
			p[at] ^= flips[i];
			read_both_ways(n, shape);
			p[at] ^= flips[i];
		}
	}
}

static void test_every_byte_flipped(void **state)
{
	const struct btree_shape shape = { .page_bytes = 4096, .max_keys = 100 };
	struct guard g = guard_new(4096);
	struct btree_node *n = guard_end(&g);
	unsigned int family, level;

	(void)state;
	for (level = 0; level < 2; level++) {
		for (family = 0; family < BTREE_KEYS_FAMILIES; family++) {
			make_node(n, &shape, level, family);
			flip_each_byte(n, &shape);
		}
		make_fenced(n, &shape, level);
		flip_each_byte(n, &shape);
	}
	guard_free(&g);
}

/* Two states of one page, mixed as a reader may see it while it changes. */
static void test_torn_pages(void **state)
{
	const struct btree_shape shape = { .page_bytes = 4096, .max_keys = 100 };
	struct guard a = guard_new(4096), b = guard_new(4096);
	uint64_t *p = guard_end(&a), *q = guard_end(&b);
	unsigned int round, rounds = (unsigned int)test_draws(1500) + 50, i;

	(void)state;
	for (round = 0; round < rounds; round++) {
		make_node((void *)p, &shape, round % 2,
			  (unsigned int)core_random_below(BTREE_KEYS_FAMILIES));
		make_node((void *)q, &shape, round / 2 % 2,
			  (unsigned int)core_random_below(BTREE_KEYS_FAMILIES));
		for (i = 0; i < 4096 / 8; i++)
			if (core_random_below(2))
				p[i] = q[i];
		read_both_ways((void *)p, &shape);
	}
	guard_free(&a);
	guard_free(&b);
}

/* ---- what check says ---- */

struct damage {
	const char *says;
	unsigned int level;
	size_t at; /* bytes from the page's beginning; SLOT and HEAD: see damaged_place() */
	uint16_t value;
};

enum {
	SLOT = 1 << 20, /* + 1000 * entry + offset in it */
	HEAD = 2 << 20, /* + entry */
	KEY = 3 << 20,  /* + entry: first two bytes of its suffix */
};

static uint8_t *damaged_place(struct btree_node *n, size_t at)
{
	uint8_t *base = (uint8_t *)n, *slots = base + BTREE_NODE_HEADER + n->cap * 4u;

	if (at >= KEY)
		return base +
		       port_get_le16(slots + (at - KEY) * sizeof(struct btree_slot));
	if (at >= HEAD)
		return base + BTREE_NODE_HEADER + (at - HEAD) * 4;
	if (at >= SLOT)
		return slots + (at - SLOT) / 1000 * sizeof(struct btree_slot) +
		       (at - SLOT) % 1000;
	return base + at;
}

static void test_check_says_what_is_wrong(void **state)
{
	static const struct damage cases[] = {
		{ "another kind", 0, offsetof(struct btree_page_header, kind), 2 },
		{ "more entries than room", 0, FIELD(count), 33 },
		{ "more entries than room", 0, FIELD(cap), 31 },
		{ "more entries than room", 0, FIELD(cap), 0 },
		{ "slots and records overlap", 0, FIELD(cap), 4096 - 16 },
		{ "slots and records overlap", 0, FIELD(heap), 64 },
		{ "slots and records overlap", 0, FIELD(heap), 4096 },
		{ "without a child", 1, FIELD(count), 0 },
		{ "upper fence where there is to be none", 0, FIELD(unbounded), 1 },
		{ "upper fence where there is to be none", 0, FIELD(unbounded), 2 },
		{ "fence is longer", 0, FIELD(lower_bytes), 513 },
		{ "fence is longer", 0, FIELD(upper_bytes), 0xffff },
		{ "fences are not at the page's end", 0, FIELD(lower_at), 4000 },
		{ "fences are not at the page's end", 0, FIELD(upper_at), 0 },
		{ "upper fence is not above", 0, 4096 - 2, 0x3530 /* "05" */ },
		{ "upper fence is below", 0, 4096 - 2, 0x3430 /* "04" */ },
		{ "prefix is not what the fences share", 0, FIELD(prefix_bytes), 12 },
		{ "prefix's beginning", 0, FIELD(prefix_start), 0 },
		{ "entry 3: its record", 0, SLOT + 3000, 100 },
		{ "entry 3: its record", 0, SLOT + 3000, 0 },
		{ "entry 3: its record", 0, SLOT + 3002, 4000 },
		{ "entry 3: its record", 0, SLOT + 3004, 0xffff },
		{ "entry 3: its value is of no known kind", 0, SLOT + 3006, 2 },
		{ "entry 3: its value is of no known kind", 0, SLOT + 3006, 1 },
		{ "more than there is room for", 0, FIELD(unbounded), 1 << 8 },
		{ "entry 5: its head", 0, HEAD + 5, 0 },
		{ "entry 5: its head", 0, KEY + 5, 0 },
		{ "live and dead bytes", 0, FIELD(dead), 1 },
		{ "live and dead bytes", 0, FIELD(dead), 0xffff },
		{ "live and dead bytes", 0, SLOT + 3004, 7 },
	};
	const struct btree_shape shape = { .page_bytes = 4096, .max_keys = 100 };
	struct guard g = guard_new(4096);
	struct btree_node *n = guard_end(&g);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kv_msg why = { "" };

		make_fenced(n, &shape, cases[i].level);
		port_put_le16(damaged_place(n, cases[i].at), cases[i].value);
		n->page.page = 42;
		assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);
		if (!strstr(why.text, cases[i].says) || !strstr(why.text, "page 42"))
			fail_msg("case %zu: \"%s\", not \"%s\"", i, why.text,
				 cases[i].says);
	}
	guard_free(&g);
}

/* Two slots, and their heads, change places or share a record. */
static void test_check_finds_disorder_and_overlap(void **state)
{
	const struct btree_shape shape = { .page_bytes = 4096, .max_keys = 100 };
	struct guard g = guard_new(4096);
	struct btree_node *n = guard_end(&g);
	struct kv_msg why = { "" };
	struct btree_slot slot;
	uint8_t *slots;
	uint32_t *head = (uint32_t *)(void *)((uint8_t *)n + BTREE_NODE_HEADER);
	uint32_t h;

	(void)state;
	make_fenced(n, &shape, 0);
	slots = damaged_place(n, SLOT);
	memcpy(&slot, slots + 8 * 8, 8);
	memmove(slots + 8 * 8, slots + 9 * 8, 8);
	memcpy(slots + 9 * 8, &slot, 8);
	h = head[8];
	head[8] = head[9];
	head[9] = h;
	assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "entry 9: its key is not above the one before"));

	/* Entry 9 takes as its value what is entry 8's record: all sums are as before. */
	make_fenced(n, &shape, 0);
	slots = damaged_place(n, SLOT);
	memcpy(slots + 9 * 8, slots + 8 * 8, 2);
	memcpy((uint8_t *)n + port_get_le16(slots + 8 * 8) + 4, "~", 1);
	head[9] = head[8];
	assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);

	/* The first child takes as its key what lies before its record. */
	make_fenced(n, &shape, 1);
	slots = damaged_place(n, SLOT);
	port_put_le16(slots, (uint16_t)(port_get_le16(slots) - 1));
	port_put_le16(slots + 2, 1);
	assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "entry 0: the first child has a key"));

	/* Overlapping by one byte: entry 9's value ends in entry 8's key. */
	make_fenced(n, &shape, 0);
	slots = damaged_place(n, SLOT);
	port_put_le16(slots + 9 * 8 + 4, 9);
	port_put_le16(slots + 10 * 8 + 4, 7);
	assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "its record overlaps another"));
	guard_free(&g);
}

static void test_check_holds_keys_against_fences(void **state)
{
	const struct btree_shape shape = { .page_bytes = 4096, .max_keys = 100 };
	struct guard g = guard_new(4096);
	struct btree_node *n = guard_end(&g);
	struct kv_msg why = { "" };

	(void)state;
	btree_node_init(n, &shape, 0, kv_str("am"), kv_str("at"));
	btree_node_insert(n, &shape, 0, kv_str("ab"), kv_str("v"), 0);
	assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);
	assert_non_null(
		strstr(why.text, "entry 0: its key is not above the lower fence"));
	btree_node_init(n, &shape, 0, kv_str("am"), kv_str("at"));
	btree_node_insert(n, &shape, 0, kv_str("an"), kv_str("v"), 0);
	btree_node_insert(n, &shape, 1, kv_str("at"), kv_str("v"), 0);
	assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);
	assert_non_null(
		strstr(why.text, "entry 1: its key is not below the upper fence"));
	btree_node_init(n, &shape, 1, kv_str("am"), kv_str("at"));
	btree_node_insert(n, &shape, 0, kv_str("am"), kv_str("12345678"), 0);
	btree_node_insert(n, &shape, 1, kv_str("am"), kv_str("12345678"), 0);
	assert_int_equal(btree_node_check(n, &shape, &why), -EBADMSG);
	assert_non_null(
		strstr(why.text, "entry 1: its key is not above the lower fence"));
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_fields_at_their_edges),
		cmocka_unit_test(test_every_byte_flipped),
		cmocka_unit_test(test_torn_pages),
		cmocka_unit_test(test_check_says_what_is_wrong),
		cmocka_unit_test(test_check_finds_disorder_and_overlap),
		cmocka_unit_test(test_check_holds_keys_against_fences),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
