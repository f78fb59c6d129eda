/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_check_model.c - the model that conformance checks keep beside a store, a sorted list
 * of pairs, and the memory of a check; see kv_check.h.
 */
#include "kv_check.h"

#include <stdlib.h>

/* ---- memory ---- */

struct check_memory {
	struct check_memory *next;
	max_align_t data[];
};

void *check_alloc(struct check *c, size_t n)
{
	struct check_memory *m = malloc(sizeof(*m) + n);

	if (!m)
		(check_fail)(c, "expected %zu bytes of memory for the check, came none",
			     n);
	m->next = c->memory;
	c->memory = m;
	return m->data;
}

struct kv_slice check_copy(struct check *c, struct kv_slice s)
{
	void *p = check_alloc(c, s.len);

	if (s.len)
		memcpy(p, s.data, s.len);
	return kv_slice(p, s.len);
}

struct kv_slice check_printf(struct check *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return check_copy(c, kv_str(text));
}

struct kv_slice check_noise(struct check *c, uint64_t seed, size_t len)
{
	unsigned char *p = check_alloc(c, len);
	size_t i;

	seed = (seed + 1) * 0x9e3779b97f4a7c15u;
	for (i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		p[i] = (unsigned char)(seed >> 32);
	}
	return kv_slice(p, len);
}

void check_free(struct check *c)
{
	while (c->memory) {
		struct check_memory *m = c->memory;

		c->memory = m->next;
		free(m);
	}
}

/* ---- the model ---- */

size_t check_pairs_find(const struct check_pairs *p, struct kv_slice key)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (kv_compare(p->pair[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool check_pairs_has(const struct check_pairs *p, size_t i, struct kv_slice key)
{
	return i < p->n && !kv_compare(p->pair[i].key, key);
}

void check_pairs_put(struct check *c, struct check_pairs *p, struct kv_slice key,
		     struct kv_slice value)
{
	size_t i = check_pairs_find(p, key);

	if (!check_pairs_has(p, i, key)) {
		if (p->n == p->cap) {
			size_t cap = p->cap ? p->cap * 2 : 64;
			struct check_pair *grown = check_alloc(c, cap * sizeof(*grown));

			if (p->n)
				memcpy(grown, p->pair, p->n * sizeof(*grown));
			p->pair = grown;
			p->cap = cap;
		}
		memmove(p->pair + i + 1, p->pair + i, (p->n - i) * sizeof(*p->pair));
		p->n++;
		p->pair[i].key = check_copy(c, key);
	}
	p->pair[i].value = check_copy(c, value);
}

static void pairs_remove(struct check_pairs *p, size_t from, size_t to)
{
	if (from >= to)
		return;
	memmove(p->pair + from, p->pair + to, (p->n - to) * sizeof(*p->pair));
	p->n -= to - from;
}

void check_pairs_delete(struct check_pairs *p, struct kv_slice key)
{
	size_t i = check_pairs_find(p, key);

	if (check_pairs_has(p, i, key))
		pairs_remove(p, i, i + 1);
}

void check_pairs_apply(struct check *c, struct check_pairs *p, const struct kv_op *op)
{
	switch (op->type) {
	case KV_PUT:
		check_pairs_put(c, p, op->key, op->value);
		break;
	case KV_DELETE:
		check_pairs_delete(p, op->key);
		break;
	case KV_DELETE_RANGE:
		pairs_remove(p, check_pairs_find(p, op->key),
			     op->value.data ? check_pairs_find(p, op->value) : p->n);
		break;
	}
}

struct check_pairs check_pairs_copy(struct check *c, const struct check_pairs *from)
{
	struct check_pairs p = { NULL, from->n, from->n };

	p.pair = check_alloc(c, from->n * sizeof(*p.pair));
	if (from->n)
		memcpy(p.pair, from->pair, from->n * sizeof(*p.pair));
	return p;
}
