/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_cover.c - a set of keys that is made of ranges [lower, upper): of which keys
 * has it been decided already? Ranges that touch become one, so a whole tree's leaves, one
 * behind the other, are one range in the end.
 */
#include "btree_files.h"

static struct kv_slice lower_of(const struct btree_span *s)
{
	return kv_slice(s->lower, s->lower_bytes);
}

/* Whether the span ends before the key; touching counts as not before. */
static bool ends_before(const struct btree_span *s, struct kv_slice key)
{
	return s->upper && kv_compare(kv_slice(s->upper, s->upper_bytes), key) < 0;
}

/* The first span that does not end before the key. */
static size_t find(const struct btree_cover *c, struct kv_slice key)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ends_before(&c->span[mid], key))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool btree_cover_has(const struct btree_cover *c, struct kv_slice key)
{
	size_t i = find(c, key);

	/* It may end at the key, which is then the next one's, and that would touch it. */
	return i < c->n && kv_compare(lower_of(&c->span[i]), key) <= 0 &&
	       (!c->span[i].upper ||
		kv_compare(kv_slice(c->span[i].upper, c->span[i].upper_bytes), key) > 0);
}

static uint8_t *copy(struct kv_slice s)
{
	uint8_t *p = port_alloc(s.len);

	if (p && s.len)
		memcpy(p, s.data, s.len);
	return p;
}

static void span_free(struct btree_span *s)
{
	port_free(s->lower);
	port_free(s->upper);
}

static int make_room(struct btree_cover *c)
{
	size_t cap = c->cap ? c->cap * 2 : 16;
	struct btree_span *grown;

	if (c->n < c->cap)
		return 0;
	grown = port_realloc(c->span, c->cap * sizeof(*grown), cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->span = grown;
	c->cap = cap;
	return 0;
}

/* Takes spans [from, to) into new, which reaches or touches each of them. */
static void absorb(struct btree_cover *c, size_t from, size_t to, struct btree_span *new)
{
	struct btree_span *first = &c->span[from], *last = &c->span[to - 1];
	uint8_t *p;
	size_t i;

	if (kv_compare(lower_of(first), lower_of(new)) < 0) {
		p = new->lower;
		new->lower = first->lower;
		new->lower_bytes = first->lower_bytes;
		first->lower = p;
	}
	if (new->upper &&
	    (!last->upper || kv_compare(kv_slice(last->upper, last->upper_bytes),
					kv_slice(new->upper, new->upper_bytes)) > 0)) {
		p = new->upper;
		new->upper = last->upper;
		new->upper_bytes = last->upper_bytes;
		last->upper = p;
	}
	for (i = from; i < to; i++)
		span_free(&c->span[i]);
}

int btree_cover_add(struct btree_cover *c, struct kv_slice lower, struct kv_slice upper)
{
	struct btree_span new = { .lower_bytes = lower.len, .upper_bytes = upper.len };
	size_t from, to;
	int error = make_room(c);

	if (error)
		return error;
	new.lower = copy(lower);
	new.upper = upper.data ? copy(upper) : NULL;
	if (!new.lower || (upper.data && !new.upper)) {
		span_free(&new);
		return -ENOMEM;
	}
	from = to = find(c, lower);
	while (to < c->n &&
	       (!upper.data || kv_compare(lower_of(&c->span[to]), upper) <= 0))
		to++;
	if (to > from)
		absorb(c, from, to, &new);
	memmove(&c->span[from + 1], &c->span[to], (c->n - to) * sizeof(new));
	c->span[from] = new;
	c->n = c->n - (to - from) + 1;
	return 0;
}

void btree_cover_free(struct btree_cover *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		span_free(&c->span[i]);
	port_free(c->span);
	*c = (struct btree_cover){ 0 };
}
