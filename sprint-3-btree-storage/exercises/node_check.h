/* SPDX-License-Identifier: MIT */
/*
 * node_check.h - what the graders of one page share: a node, keys by number, and words that
 * compare. Pages come from the system's allocator, so that the sanitizers know their ends.
 */
#ifndef NODE_CHECK_H
#define NODE_CHECK_H

#include "../../harness/learn/learn.h"
#include "../btree_node_internal.h"

#include <stdlib.h>

enum { NODE_KEY = 16 };

struct page {
	struct btree_shape shape;
	struct btree_node *node, *right;
	void *scratch;
};

static inline struct page page_new(uint32_t page_bytes, uint32_t max_keys)
{
	struct page p = { .shape = { .page_bytes = page_bytes, .max_keys = max_keys } };

	p.node = malloc(page_bytes);
	p.right = malloc(page_bytes);
	p.scratch = malloc(2 * (size_t)page_bytes);
	learn_pointer("memory for a page", p.node && p.right ? p.scratch : NULL);
	memset(p.node, 0xa5, page_bytes);
	memset(p.right, 0, page_bytes);
	return p;
}

static inline void page_free(struct page *p)
{
	free(p->node);
	free(p->right);
	free(p->scratch);
}

static inline struct kv_slice node_key(unsigned int number)
{
	static char text[8][NODE_KEY];
	static unsigned int turn;
	char *at = text[turn++ % 8];

	(void)snprintf(at, NODE_KEY, "key%05u", number % 100000);
	return kv_str(at);
}

/* Its bytes follow from the number. */
static inline struct kv_slice node_value_of(unsigned int number, size_t bytes)
{
	static uint8_t value[4][BTREE_PAGE_MAX];
	static unsigned int turn;
	uint8_t *at = value[turn++ % 4];
	size_t i;

	for (i = 0; i < bytes; i++)
		at[i] = (uint8_t)(number * 7 + i);
	return kv_slice(at, bytes);
}

static inline void expect_node(const struct page *p, const struct btree_node *n,
			       const char *when)
{
	struct kv_msg why = { "" };
	int error = btree_node_check(n, &p->shape, &why);

	learn_expect(!error, learn_text("a node in order %s", when), "%s", why.text);
}

static inline void expect_count(const struct btree_node *n, unsigned int count,
				const char *when)
{
	learn_number(learn_text("n->count, the entries %s", when), n->count, count);
}

static inline void expect_entry(const struct page *p, const struct btree_node *n,
				unsigned int i, struct kv_slice key,
				struct kv_slice value)
{
	char have[BTREE_KEY_MAX];
	struct kv_slice v;
	unsigned int flags;
	size_t len = btree_node_key_copy(n, &p->shape, i, have);

	learn_expect(len == key.len && !memcmp(have, key.data, len),
		     learn_text("the key of entry %u is \"%.*s\"", i, (int)key.len,
				(const char *)key.data),
		     "\"%.*s\"", (int)len, have);
	v = btree_node_value(n, &p->shape, i, &flags);
	learn_number(learn_text("the length of the value of entry %u", i), v.len,
		     value.len);
	learn_bytes(learn_text("the value of entry %u", i), v.data, value.data,
		    value.len);
}

#endif /* NODE_CHECK_H */
