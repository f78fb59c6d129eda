/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_fixture.h - a node and a second one beside it, for tests of single cases. Each
 * change is followed by btree_node_check().
 */
#ifndef BTREE_NODE_FIXTURE_H
#define BTREE_NODE_FIXTURE_H

#include "../btree_node.h"

#include <setjmp.h>

#include <cmocka.h>

#define UNBOUNDED UINT32_MAX

static const struct kv_slice nothing = { "", 0 };
static const struct kv_slice without_end = { NULL, 0 };

struct fixture {
	struct btree_shape shape;
	struct btree_node *node, *right;
	void *scratch;
	struct btree_split split;
};

static inline struct fixture fixture_new(uint32_t page_bytes, uint32_t max_keys)
{
	struct fixture f = { .shape = { .page_bytes = page_bytes,
					.max_keys = max_keys } };

	f.node = malloc(page_bytes);
	f.right = malloc(page_bytes);
	f.scratch = malloc(2 * (size_t)page_bytes);
	assert_true(f.node && f.right && f.scratch);
	memset(f.node, 0xa5, page_bytes);
	memset(f.right, 0xa5, page_bytes);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	free(f->node);
	free(f->right);
	free(f->scratch);
}

static inline void check(const struct fixture *f, const struct btree_node *n)
{
	struct kv_msg why = { "" };

	if (btree_node_check(n, &f->shape, &why))
		fail_msg("%s", why.text);
}

static inline void put(const struct fixture *f, struct btree_node *n, struct kv_slice key,
		       struct kv_slice value)
{
	bool found;
	unsigned int i = btree_node_lower_bound(n, &f->shape, key, &found);

	assert_false(found);
	assert_true(btree_node_fits(n, &f->shape, key, value.len));
	btree_node_insert(n, &f->shape, i, key, value, 0);
	check(f, n);
}

static inline void put_child(const struct fixture *f, struct btree_node *n,
			     const char *key, uint32_t page)
{
	const struct btree_child child = { .page = page, .crc = ~page };

	put(f, n, kv_str(key), kv_slice(&child, sizeof(child)));
}

static inline void assert_key(const struct fixture *f, const struct btree_node *n,
			      unsigned int i, const char *key)
{
	char have[BTREE_KEY_MAX + 1];

	have[btree_node_key_copy(n, &f->shape, i, have)] = 0;
	assert_string_equal(have, key);
}

static inline void assert_text(struct kv_slice s, const char *text)
{
	assert_int_equal(s.len, strlen(text));
	assert_memory_equal(s.data, text, s.len);
}

static inline struct kv_slice value_of(const struct fixture *f,
				       const struct btree_node *n, unsigned int i)
{
	unsigned int flags;

	return btree_node_value(n, &f->shape, i, &flags);
}

/* Keys "000", "001", ... with values of so many bytes, until no more fit. */
static inline unsigned int fill(struct fixture *f, size_t value_bytes)
{
	static const uint8_t bytes[BTREE_PAGE_MAX];
	unsigned int i = 0;
	char key[16];

	for (;; i++) {
		(void)snprintf(key, sizeof(key), "%03u", i % 1000);
		if (!btree_node_fits(f->node, &f->shape, kv_str(key), value_bytes))
			return i;
		put(f, f->node, kv_str(key), kv_slice(bytes, value_bytes));
	}
}

#endif /* BTREE_NODE_FIXTURE_H */
