/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_reader.c - see btree_node_reader.h.
 */
#include "btree_node_reader.h"

static void demand(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "btree_node_reader: %s\n", what);
	abort();
}

/* Each byte is read, so that one beyond the page is noticed. */
static void look_at(const struct btree_node *n, const struct btree_shape *shape,
		    struct kv_slice s)
{
	const uint8_t *begin = (const uint8_t *)n, *p = s.data;
	volatile uint8_t sum = 0;
	size_t i;

	if (!p) {
		demand(!s.len, "bytes at no address");
		return;
	}
	demand(p >= begin && p <= begin + shape->page_bytes &&
		       s.len <= (size_t)(begin + shape->page_bytes - p),
	       "bytes outside of the page");
	for (i = 0; i < s.len; i++)
		sum = (uint8_t)(sum + p[i]);
}

static void read_entry(const struct btree_node *n, const struct btree_shape *shape,
		       unsigned int i)
{
	const struct btree_key k = btree_node_key(n, shape, i);
	uint8_t copy[BTREE_KEY_MAX];
	unsigned int flags;
	size_t len;

	look_at(n, shape, k.prefix);
	look_at(n, shape, k.suffix);
	look_at(n, shape, btree_node_value(n, shape, i, &flags));
	(void)btree_node_child(n, shape, i);
	demand(btree_node_key_copy(n, shape, i, copy) <= sizeof(copy), "a key too long");
	look_at(n, shape, btree_node_show(n, shape, i, copy, &len, &flags));
	demand(len <= sizeof(copy), "a shown key too long");
}

void btree_node_read_all(const struct btree_node *n, const struct btree_shape *shape,
			 struct kv_slice key)
{
	struct kv_slice value;
	unsigned int flags;
	bool found;
	unsigned int i = btree_node_lower_bound(n, shape, key, &found);

	demand(i <= n->count, "a lower bound beyond the count");
	demand(!found || i < n->count, "found beyond the count");
	if (btree_node_find(n, shape, key, &value, &flags))
		look_at(n, shape, value);
	i = btree_node_child_index(n, shape, key);
	demand(!i || i <= n->count, "a child beyond the count");
	(void)btree_node_route(n, shape, key, &i);
	demand(!i || i <= n->count, "a way beyond the count");
	look_at(n, shape, btree_node_lower(n, shape));
	look_at(n, shape, btree_node_upper(n, shape));
	btree_node_prefetch(n, shape);
	for (i = 0; i < n->count && i < 50; i++)
		read_entry(n, shape, i);
	read_entry(n, shape, n->count);
	read_entry(n, shape, UINT32_MAX);
}

static void demand_search(const struct btree_node *n, const struct btree_shape *shape,
			  unsigned int i)
{
	uint8_t key[BTREE_KEY_MAX + 1];
	size_t len = btree_node_key_copy(n, shape, i, key);
	unsigned int at;
	bool found;

	demand(btree_node_child_index(n, shape, kv_slice(key, len)) == i,
	       "a key does not find itself");
	(void)btree_node_route(n, shape, kv_slice(key, len), &at);
	demand(at == i, "a key does not find its way");
	if (n->page.level)
		return;
	at = btree_node_lower_bound(n, shape, kv_slice(key, len), &found);
	demand(found && at == i, "a key of a leaf does not find itself");
	key[len] = 0; /* the next key there can be */
	at = btree_node_lower_bound(n, shape, kv_slice(key, len + 1), &found);
	demand(at == i + 1 || at == i, "a key above is not found above");
	demand(at == i + 1, "a key above is found below");
}

/* Cut in the middle and put together again, the node has the same entries. */
static void demand_round_trip(const struct btree_node *n, const struct btree_shape *shape)
{
	const struct btree_shape any = { .page_bytes = shape->page_bytes,
					 .max_keys = UINT32_MAX };
	uint8_t *pages = malloc(3 * (size_t)shape->page_bytes);
	struct btree_node *left, *right;
	struct btree_split *s = calloc(1, sizeof(*s));
	struct kv_msg why = { "" };

	if (!pages || !s)
		abort();
	left = (void *)pages;
	right = (void *)(pages + shape->page_bytes);
	memcpy(left, n, shape->page_bytes);
	s->at = n->count / 2;
	s->key_bytes = (unsigned int)btree_node_key_copy(n, &any, s->at, s->key);
	btree_node_split(left, right, &any, s, pages + 2 * (size_t)shape->page_bytes);
	demand(!btree_node_check(left, &any, &why), "the left part is no node");
	demand(!btree_node_check(right, &any, &why), "the right part is no node");
	if (btree_node_can_merge(left, right, &any)) {
		btree_node_merge(left, right, &any, kv_slice(s->key, s->key_bytes),
				 pages + 2 * (size_t)shape->page_bytes);
		demand(!btree_node_check(left, &any, &why), "merged, it is no node");
		demand(left->count == n->count, "entries came or went");
	}
	free(pages);
	free(s);
}

void btree_node_demand_consistent(const struct btree_node *n,
				  const struct btree_shape *shape)
{
	unsigned int i;

	for (i = 0; i < n->count; i++)
		demand_search(n, shape, i);
	/* Two fences of a key's length may be more than what full pages have left. */
	if (n->count >= 4 &&
	    btree_node_used(n, shape) + 2 * BTREE_KEY_MAX < shape->page_bytes)
		demand_round_trip(n, shape);
}
