/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * array_bag.h - what the oracle is held to: pairs in no order, searched from end to end.
 *
 * It shares no idea with the array engine: no order, no binary search, no versions (a
 * snapshot is a copy of the bag), not even kv_compare().
 */
#ifndef ARRAY_BAG_H
#define ARRAY_BAG_H

#include "../kv.h"

enum { BAG_MOST = 200, BAG_KEY_MOST = 4 };

struct bag_pair {
	uint8_t key[BAG_KEY_MOST];
	size_t key_len;
	uint64_t value;
};

struct bag { /* each key once */
	size_t n;
	struct bag_pair pair[BAG_MOST];
};

static inline struct kv_slice bag_key(const struct bag_pair *p)
{
	return kv_slice(p->key, p->key_len);
}

static inline bool bag_less(struct kv_slice a, struct kv_slice b)
{
	const uint8_t *p = a.data, *q = b.data;
	size_t i;

	for (i = 0; i < a.len && i < b.len; i++)
		if (p[i] != q[i])
			return p[i] < q[i];
	return a.len < b.len;
}

static inline struct bag_pair *bag_find(struct bag *b, struct kv_slice key)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (!bag_less(bag_key(&b->pair[i]), key) &&
		    !bag_less(key, bag_key(&b->pair[i])))
			return &b->pair[i];
	return NULL;
}

static inline void bag_put(struct bag *b, struct kv_slice key, uint64_t value)
{
	struct bag_pair *p = bag_find(b, key);

	if (!p) {
		p = &b->pair[b->n++];
		memcpy(p->key, key.data, key.len);
		p->key_len = key.len;
	}
	p->value = value;
}

static inline void bag_delete(struct bag *b, struct kv_slice key)
{
	struct bag_pair *p = bag_find(b, key);

	if (p)
		*p = b->pair[--b->n];
}

static inline void bag_delete_range(struct bag *b, struct kv_slice from,
				    struct kv_slice to)
{
	size_t i = 0;

	while (i < b->n) {
		struct kv_slice key = bag_key(&b->pair[i]);

		if (!bag_less(key, from) && (!to.data || bag_less(key, to)))
			b->pair[i] = b->pair[--b->n];
		else
			i++;
	}
}

/* The pair with the least key >= from; NULL: none, which is a cursor's place outside. */
static inline const struct bag_pair *bag_seek(const struct bag *b, struct kv_slice from)
{
	const struct bag_pair *least = NULL, *p;

	for (p = b->pair; p < b->pair + b->n; p++)
		if (!bag_less(bag_key(p), from) &&
		    (!least || bag_less(bag_key(p), bag_key(least))))
			least = p;
	return least;
}

/* The neighbours of at, one of b's pairs or NULL for outside. */
static inline const struct bag_pair *bag_next(const struct bag *b,
					      const struct bag_pair *at)
{
	const struct bag_pair *least = NULL, *p;

	for (p = b->pair; p < b->pair + b->n; p++)
		if ((!at || bag_less(bag_key(at), bag_key(p))) &&
		    (!least || bag_less(bag_key(p), bag_key(least))))
			least = p;
	return least;
}

static inline const struct bag_pair *bag_prev(const struct bag *b,
					      const struct bag_pair *at)
{
	const struct bag_pair *greatest = NULL, *p;

	for (p = b->pair; p < b->pair + b->n; p++)
		if ((!at || bag_less(bag_key(p), bag_key(at))) &&
		    (!greatest || bag_less(bag_key(greatest), bag_key(p))))
			greatest = p;
	return greatest;
}

#endif /* ARRAY_BAG_H */
