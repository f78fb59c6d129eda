/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * chain.c - see chain.h. To walk by links rather than by nodes is an old habit of C
 * programmers; Kernighan and Ritchie's chapter on pointers to pointers has the tools for it.
 */
#include "chain.h"

struct chain **chain_find(struct chain **head, chain_match_fn *match, const void *arg)
{
	/* EXERCISE 1.1 begin: walk from link to link
	 *|	return head;
	 */
	struct chain **link = head;

	while (*link && !match(*link, arg))
		link = &(*link)->next;
	return link;
	/* EXERCISE 1.1 end */
}

void chain_insert(struct chain **link, struct chain *node)
{
	/* EXERCISE 1.1 begin: two assignments; their order matters */
	node->next = *link;
	*link = node;
	/* EXERCISE 1.1 end */
}

struct chain *chain_remove(struct chain **link)
{
	/* EXERCISE 1.1 begin: the link leads past the node; the node forgets its next
	 *|	return NULL;
	 */
	struct chain *node = *link;

	if (!node)
		return NULL;
	*link = node->next;
	node->next = NULL;
	return node;
	/* EXERCISE 1.1 end */
}

void chain_insert_sorted(struct chain **head, struct chain *node,
			 chain_compare_fn *compare)
{
	/* EXERCISE 1.1 begin: find the link, then insert there */
	struct chain **link = head;

	while (*link && compare(*link, node) <= 0)
		link = &(*link)->next;
	chain_insert(link, node);
	/* EXERCISE 1.1 end */
}

struct chain *chain_remove_all(struct chain **head, chain_match_fn *match,
			       const void *arg)
{
	/* EXERCISE 1.1 begin: the removed ones are a chain too, with a last link of its own
	 *|	return NULL;
	 */
	struct chain *removed = NULL, **end = &removed, **link = head;

	while (*link) {
		if (match(*link, arg)) {
			*end = chain_remove(link);
			end = &(*end)->next;
		} else {
			link = &(*link)->next;
		}
	}
	return removed;
	/* EXERCISE 1.1 end */
}

void chain_reverse(struct chain **head)
{
	/* EXERCISE 1.1 begin: take from the one, put in front of the other */
	struct chain *reversed = NULL;

	while (*head)
		chain_insert(&reversed, chain_remove(head));
	*head = reversed;
	/* EXERCISE 1.1 end */
}
