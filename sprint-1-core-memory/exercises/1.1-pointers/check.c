/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.1: links.
 */
#include "../../../harness/learn/learn.h"
#include "../../chain.h"

#define HEADER  "sprint-1-core-memory/chain.h"
#define CHAPTER "docs/sprint-1-core-memory.md, \"Links: where a pointer is kept\""

struct thing {
	unsigned int number;
	char name;
	struct chain chain;
};

/* Chains are made by hand, so that no test stands on what another one tests. */
static struct thing thing[9];
static struct chain *head;

static void make_chain(const unsigned int *number, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		thing[i] = (struct thing){ number[i], (char)('a' + i), { NULL } };
	for (i = 0; i + 1 < n; i++)
		thing[i].chain.next = &thing[i + 1].chain;
	head = n ? &thing[0].chain : NULL;
}

/* The names of the things in a chain; a ring is cut after twenty. */
static const char *names(const struct chain *node)
{
	static char text[4][24];
	static unsigned int turn;
	char *at = text[turn++ % 4];
	size_t n = 0;

	for (; node && n < 20; node = node->next)
		at[n++] = container_of(node, struct thing, chain)->name;
	at[n] = '\0';
	return n == 20 ? "a chain without an end" : n ? at : "(empty)";
}

static void expect_chain(const char *what, const struct chain *came, const char *want)
{
	learn_expect(!strcmp(names(came), want), learn_text("%s: %s", what, want), "%s",
		     names(came));
}

static bool is_number(const struct chain *node, const void *arg)
{
	return container_of(node, struct thing, chain)->number ==
	       *(const unsigned int *)arg;
}

static int by_number(const struct chain *a, const struct chain *b)
{
	unsigned int p = container_of(a, struct thing, chain)->number,
		     q = container_of(b, struct thing, chain)->number;

	return (p > q) - (p < q);
}

static const unsigned int three[] = { 1, 2, 3 };

static void test_insert_at_any_link(void **state)
{
	struct thing x = { 9, 'x', { NULL } };

	(void)state;
	make_chain(NULL, 0);
	chain_insert(&head, &x.chain);
	expect_chain("x inserted into nothing", head, "x");
	make_chain(three, 3);
	chain_insert(&head, &x.chain);
	expect_chain("x inserted at the head of abc", head, "xabc");
	make_chain(three, 3);
	chain_insert(&thing[1].chain.next, &x.chain);
	expect_chain("x inserted at the link from b to c", head, "abxc");
	make_chain(three, 3);
	chain_insert(&thing[2].chain.next, &x.chain);
	expect_chain("x inserted at the last link of abc", head, "abcx");
}

static void test_find_returns_the_link(void **state)
{
	unsigned int wanted = 1;
	struct chain **link;

	(void)state;
	make_chain(three, 3);
	link = chain_find(&head, is_number, &wanted);
	learn_expect(link == &head,
		     "the link to the first node is the address of the head",
		     "another address");
	wanted = 3;
	link = chain_find(&head, is_number, &wanted);
	learn_expect(link == &thing[1].chain.next,
		     "the link to c is the address of b's next", "another address");
	wanted = 7;
	link = chain_find(&head, is_number, &wanted);
	learn_expect(link == &thing[2].chain.next,
		     "where nothing matches, the address of the last node's next",
		     "another address");
	make_chain(NULL, 0);
	link = chain_find(&head, is_number, &wanted);
	learn_expect(link == &head, "of an empty chain, the address of the head",
		     "another address");
}

static void test_remove_first_middle_and_last(void **state)
{
	static const char *const left[] = { "bc", "ac", "ab" };
	struct chain **link[] = { &head, &thing[0].chain.next, &thing[1].chain.next };
	struct chain *node;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		make_chain(three, 3);
		node = chain_remove(link[i]);
		learn_expect(node == &thing[i].chain,
			     learn_text("chain_remove() returns node %c", 'a' + (int)i),
			     "%s", names(node));
		learn_expect(!node->next, "the next of a removed node is NULL",
			     "it still leads to %s", names(node->next));
		expect_chain(learn_text("abc without %c", 'a' + (int)i), head, left[i]);
	}
	node = chain_remove(&thing[1].chain.next);
	learn_expect(!node, "chain_remove() of a last link returns NULL", "%s",
		     names(node));
}

static void test_insert_sorted_is_stable(void **state)
{
	static const unsigned int number[] = { 5, 3, 5, 1, 3, 9, 1 };
	size_t i;

	(void)state;
	make_chain(number, 7);
	head = NULL;
	for (i = 0; i < 7; i++) {
		thing[i].chain.next = NULL;
		chain_insert_sorted(&head, &thing[i].chain, by_number);
	}
	expect_chain("a5 b3 c5 d1 e3 f9 g1 in order, equals as they came", head,
		     "dgbeacf");
}

static void test_remove_all_keeps_both_orders(void **state)
{
	static const unsigned int number[] = { 1, 1, 2, 1, 3, 1, 1 };
	unsigned int wanted = 1;
	struct chain *removed;

	(void)state;
	make_chain(number, 7);
	removed = chain_remove_all(&head, is_number, &wanted);
	expect_chain("what is left of a1 b1 c2 d1 e3 f1 g1 without 1", head, "ce");
	expect_chain("what was removed", removed, "abdfg");
	wanted = 4;
	removed = chain_remove_all(&head, is_number, &wanted);
	expect_chain("what is left when nothing matches", head, "ce");
	expect_chain("what was removed then", removed, "(empty)");
	make_chain(number, 2);
	wanted = 1;
	removed = chain_remove_all(&head, is_number, &wanted);
	expect_chain("what is left when all match", head, "(empty)");
	expect_chain("what was removed then", removed, "ab");
}

static void test_reverse(void **state)
{
	(void)state;
	make_chain(three, 3);
	chain_reverse(&head);
	expect_chain("abc reversed", head, "cba");
	make_chain(three, 1);
	chain_reverse(&head);
	expect_chain("a alone reversed", head, "a");
	make_chain(NULL, 0);
	chain_reverse(&head);
	expect_chain("nothing reversed", head, "(empty)");
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_insert_at_any_link, 2, HEADER),
	LEARN_TEST(test_find_returns_the_link, 2, CHAPTER),
	LEARN_TEST(test_remove_first_middle_and_last, 2, CHAPTER),
	LEARN_TEST(test_insert_sorted_is_stable, 2, HEADER),
	LEARN_TEST(test_remove_all_keeps_both_orders, 3, CHAPTER),
	LEARN_TEST(test_reverse, 1, HEADER),
};

LEARN_MAIN_NO_SPEED(tests)
