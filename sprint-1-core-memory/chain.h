/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * chain.h - a singly linked list whose nodes stand inside the things that it links.
 *
 *	struct thing { int number; struct chain chain; };
 *	struct chain *things = NULL;                  the empty chain
 *
 *	chain_insert(&things, &thing->chain);         at the front
 *	link = chain_find(&things, is_seven, NULL);   the pointer that leads to number 7
 *	if (*link)
 *		thing = container_of(chain_remove(link), struct thing, chain);
 *
 * A place in a chain is named by a link: the pointer that leads there, be it the head or some
 * node's next. Who has the link can insert and remove at it, and the first node is no special
 * case. Nothing is allocated or freed here. Threads: one at a time.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include "port.h"

struct chain {
	struct chain *next; /* NULL in the last */
};

typedef bool chain_match_fn(const struct chain *node, const void *arg);
typedef int chain_compare_fn(const struct chain *a, const struct chain *b);

/* The link to the first node that matches; where none does, the last link, which is NULL. */
struct chain **chain_find(struct chain **head, chain_match_fn *match, const void *arg);

/* node comes where link leads, in front of what was there. */
void chain_insert(struct chain **link, struct chain *node);
/* Takes out the node that link leads to and returns it, its next NULL; NULL where there is
 * none. */
struct chain *chain_remove(struct chain **link);

/* Into a chain in ascending order, behind those that compare as equal. */
void chain_insert_sorted(struct chain **head, struct chain *node,
			 chain_compare_fn *compare);
/* Takes out all that match; returns them as a chain, in the order in which they stood. */
struct chain *chain_remove_all(struct chain **head, chain_match_fn *match,
			       const void *arg);
void chain_reverse(struct chain **head);

#endif /* CHAIN_H */
