/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * chain_tests.c - the linked list, against a plain array of the same numbers.
 */
#include "../chain.h"
#include "core_random.h"
#include "leak_check.h"

enum { MOST = 40 };

struct thing {
	unsigned int number, order;
	struct chain chain;
};

static struct thing thing[MOST];

static const struct thing *thing_of(const struct chain *node)
{
	return container_of(node, const struct thing, chain);
}

static bool is_number(const struct chain *node, const void *arg)
{
	return thing_of(node)->number == *(const unsigned int *)arg;
}

static bool is_odd(const struct chain *node, const void *arg)
{
	(void)arg;
	return thing_of(node)->number % 2;
}

static int by_number(const struct chain *a, const struct chain *b)
{
	unsigned int p = thing_of(a)->number, q = thing_of(b)->number;

	return (p > q) - (p < q);
}

static struct chain *node_of(size_t i, unsigned int number)
{
	thing[i] = (struct thing){ .number = number, .order = (unsigned int)i };
	return &thing[i].chain;
}

/* A chain of n things with numbers below 8, at the end of which each was put. */
static struct chain *random_chain(unsigned int *number, size_t n)
{
	struct chain *head = NULL, **end = &head;
	size_t i;

	for (i = 0; i < n; i++) {
		number[i] = (unsigned int)core_random_below(8);
		chain_insert(end, node_of(i, number[i]));
		end = &(*end)->next;
	}
	return head;
}

static void expect_numbers(const struct chain *head, const unsigned int *number, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++, head = head->next) {
		assert_non_null(head);
		assert_int_equal(thing_of(head)->number, number[i]);
	}
	assert_null(head);
}

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

static void test_find_and_remove_do_as_an_array(void **state)
{
	unsigned int number[MOST], wanted;
	int round;

	(void)state;
	for (round = 0; round < 500; round++) {
		size_t n = core_random_below(MOST + 1), i;
		struct chain *head = random_chain(number, n), **link, *node;

		wanted = (unsigned int)core_random_below(8);
		for (i = 0; i < n && number[i] != wanted; i++)
			;
		link = chain_find(&head, is_number, &wanted);
		assert_ptr_equal(*link, i < n ? &thing[i].chain : NULL);
		node = chain_remove(link);
		assert_ptr_equal(node, i < n ? &thing[i].chain : NULL);
		if (node) {
			assert_null(node->next);
			memmove(&number[i], &number[i + 1],
				(n - i - 1) * sizeof(number[0]));
			n--;
		}
		expect_numbers(head, number, n);
	}
}

static void test_insert_at_each_link(void **state)
{
	unsigned int number[MOST];
	size_t at, i;

	(void)state;
	for (at = 0; at <= 5; at++) {
		struct chain *head = random_chain(number, 5), **link = &head;

		for (i = 0; i < at; i++)
			link = &(*link)->next;
		chain_insert(link, node_of(5, 77));
		memmove(&number[at + 1], &number[at], (5 - at) * sizeof(number[0]));
		number[at] = 77;
		expect_numbers(head, number, 6);
	}
}

static void test_insert_sorted_is_stable(void **state)
{
	struct chain *head = NULL;
	const struct chain *node;
	size_t i;

	(void)state;
	for (i = 0; i < MOST; i++)
		chain_insert_sorted(&head, node_of(i, (unsigned int)core_random_below(8)),
				    by_number);
	for (i = 1, node = head; node->next; node = node->next, i++) {
		assert_true(by_number(node, node->next) <= 0);
		if (!by_number(node, node->next))
			assert_true(thing_of(node)->order < thing_of(node->next)->order);
	}
	assert_int_equal(i, MOST);
}

static void test_remove_all_parts_a_chain_in_two(void **state)
{
	unsigned int number[MOST], odd[MOST], even[MOST];
	int round;

	(void)state;
	for (round = 0; round < 200; round++) {
		size_t n = core_random_below(MOST + 1), odds = 0, evens = 0, i;
		struct chain *head = random_chain(number, n), *removed;

		for (i = 0; i < n; i++) {
			if (number[i] % 2)
				odd[odds++] = number[i];
			else
				even[evens++] = number[i];
		}
		removed = chain_remove_all(&head, is_odd, NULL);
		expect_numbers(head, even, evens);
		expect_numbers(removed, odd, odds);
	}
}

static void test_reverse_of_any_length(void **state)
{
	unsigned int number[MOST], turned[MOST];
	size_t n, i;

	(void)state;
	for (n = 0; n <= MOST; n++) {
		struct chain *head = random_chain(number, n);

		for (i = 0; i < n; i++)
			turned[i] = number[n - 1 - i];
		chain_reverse(&head);
		expect_numbers(head, turned, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_and_remove_do_as_an_array),
		cmocka_unit_test(test_insert_at_each_link),
		cmocka_unit_test(test_insert_sorted_is_stable),
		cmocka_unit_test(test_remove_all_parts_a_chain_in_two),
		cmocka_unit_test(test_reverse_of_any_length),
	};

	printf("# seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, set_up, NULL);
}
