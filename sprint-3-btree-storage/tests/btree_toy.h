/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_toy.h - a tree of fixed shape, for tests of the pager alone.
 *
 *              root (level 2)
 *            /        |       \
 *        inner ..   inner ..   inner ..       inners of them
 *        /  |  \
 *     leaf leaf leaf                          leaves under each
 *
 * Each leaf has one key and a value that says how often it was put. A put copies what is
 * frozen from the root down, as a real tree does, so that a checkpoint's pages are never
 * changed. What each leaf should have stands in value[].
 */
#ifndef BTREE_TOY_H
#define BTREE_TOY_H

#include "../btree_pager_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { TOY_KEYS_MAX = 2048, TOY_VALUE_BYTES = 600, TOY_KEEP_MAX = 64 };

struct toy {
	struct btree_pager *p;
	unsigned int inners, leaves; /* leaves: of each inner */
	uint64_t generation;         /* of pages made now */
	uint64_t frozen;
	uint32_t root;            /* atomic */
	uint32_t root_crc;        /* of the checkpoint it was opened at */
	struct btree_super super; /* of the checkpoint it was opened at */
	uint64_t value[TOY_KEYS_MAX];
	uint64_t keep[TOY_KEEP_MAX]; /* generations of snapshots */
	size_t kept;
	struct btree_checkpoint *running;
};

static const char TOY_PATH[] = "toy.pages";

/* What leaf i has at its v-th value. */
static inline void toy_fill(uint8_t *out, unsigned int i, uint64_t v)
{
	size_t k;

	port_put_le64(out, v);
	for (k = 8; k < TOY_VALUE_BYTES; k++)
		out[k] = (uint8_t)(v * 31 + i * 7 + k / 5);
}

static inline bool toy_is_filled(const uint8_t *in, unsigned int i, uint64_t v)
{
	uint8_t want[TOY_VALUE_BYTES];

	toy_fill(want, i, v);
	return !memcmp(in, want, sizeof(want));
}

static inline unsigned int toy_keys(const struct toy *t)
{
	return t->inners * t->leaves;
}

struct toy_key {
	char text[8];
};

/* i as four digits. */
static inline struct kv_slice toy_key(unsigned int i, struct toy_key *k)
{
	unsigned int at;

	for (at = 4; at--; i /= 10)
		k->text[at] = (char)('0' + i % 10);
	return kv_slice(k->text, 4);
}

/* "" below all keys, NULL above. */
static inline struct kv_slice toy_fence(const struct toy *t, unsigned int i,
					struct toy_key *k)
{
	if (!i)
		return kv_slice("", 0);
	if (i >= toy_keys(t))
		return kv_slice(NULL, 0);
	return toy_key(i, k);
}

/* An empty node over keys [i, i + n). */
static inline struct btree_node *
toy_node(struct toy *t, uint32_t page, unsigned int level, unsigned int i, unsigned int n)
{
	struct toy_key lower, upper;
	struct btree_node *node = btree_page(t->p, page);

	btree_node_init(node, &t->p->shape, level, toy_fence(t, i, &lower),
			toy_fence(t, i + n, &upper));
	return node;
}

static inline void toy_add_child(struct toy *t, struct btree_node *node, unsigned int at,
				 unsigned int i, uint32_t page)
{
	struct btree_child child = { page, 0 };
	struct toy_key k;

	btree_node_insert(node, &t->p->shape, at,
			  at ? toy_fence(t, i, &k) : kv_slice("", 0),
			  kv_slice(&child, sizeof(child)), 0);
}

static inline uint32_t toy_make_leaf(struct toy *t, unsigned int i)
{
	uint32_t page = btree_page_new(t->p, t->generation);
	uint8_t value[TOY_VALUE_BYTES];
	struct toy_key k;

	toy_fill(value, i, t->value[i]);
	btree_node_insert(toy_node(t, page, 0, i, 1), &t->p->shape, 0, toy_key(i, &k),
			  kv_slice(value, sizeof(value)), 0);
	return page;
}

/* The whole tree, in generation 1. */
static inline int toy_build(struct toy *t)
{
	unsigned int i, j, at = 0;
	int error = btree_pages_reserve(t->p, 1, 0, false);
	struct btree_node *root;
	uint32_t page, inner;

	if (error)
		return error;
	t->generation = 1;
	t->root = btree_page_new(t->p, 1);
	root = toy_node(t, t->root, 2, 0, toy_keys(t));
	for (i = 0; !error && i < t->inners; i++) {
		error = btree_pages_reserve(t->p, t->leaves + 1, 0, false);
		if (error)
			break;
		inner = btree_page_new(t->p, 1);
		(void)toy_node(t, inner, 1, at, t->leaves);
		toy_add_child(t, root, i, at, inner);
		for (j = 0; j < t->leaves; j++, at++) {
			page = toy_make_leaf(t, at);
			toy_add_child(t, btree_page(t->p, inner), j, at, page);
			btree_page_unpin(t->p, page);
		}
		btree_page_unpin(t->p, inner);
	}
	btree_page_unpin(t->p, t->root);
	return error;
}

/* ---- reading: optimistic ---- */

enum { TOY_AGAIN = 1 };

/* One step: the child of page for key i, by page's version. TOY_AGAIN: page has changed. */
static inline int toy_child(struct toy *t, uint32_t page, uint64_t version,
			    unsigned int i, struct btree_child *out)
{
	const struct btree_node *n = btree_page(t->p, page);
	struct toy_key k;

	port_optimistic_begin();
	*out = btree_node_child(n, &t->p->shape,
				btree_node_child_index(n, &t->p->shape, toy_key(i, &k)));
	port_optimistic_end();
	return btree_page_valid(t->p, page, version) ? 0 : TOY_AGAIN;
}

static inline int toy_leaf_value(struct toy *t, uint32_t page, uint64_t version,
				 uint8_t *out)
{
	const struct btree_node *n = btree_page(t->p, page);
	unsigned int flags;
	struct kv_slice v;
	bool whole;

	port_optimistic_begin();
	v = btree_node_value(n, &t->p->shape, 0, &flags);
	whole = v.len == TOY_VALUE_BYTES;
	if (whole) {
		const volatile uint8_t *from = v.data;
		size_t k;

		for (k = 0; k < TOY_VALUE_BYTES; k++)
			out[k] = from[k];
	}
	port_optimistic_end();
	if (!btree_page_valid(t->p, page, version))
		return TOY_AGAIN;
	return whole ? 0 : -EBADMSG;
}

static inline int toy_try_get(struct toy *t, unsigned int i, uint8_t *out,
			      struct kv_msg *why)
{
	struct btree_child at = { port_load_acquire(&t->root), t->root_crc }, below;
	uint64_t version, version_below;
	unsigned int level;
	int error;

	if (!btree_page_begin(t->p, at.page, &version)) {
		error = btree_page_fetch(t->p, at.page, at.crc, why);
		return port_load_acquire(&t->root) == at.page && error ? error
								       : TOY_AGAIN;
	}
	if (port_load_acquire(&t->root) != at.page)
		return TOY_AGAIN;
	for (level = 2; level; level--) {
		if (toy_child(t, at.page, version, i, &below))
			return TOY_AGAIN;
		if (!btree_page_begin(t->p, below.page, &version_below)) {
			error = btree_page_fetch(t->p, below.page, below.crc, why);
			return btree_page_valid(t->p, at.page, version) && error
				       ? error
				       : TOY_AGAIN;
		}
		if (!btree_page_valid(t->p, at.page, version))
			return TOY_AGAIN;
		at = below;
		version = version_below;
	}
	return toy_leaf_value(t, at.page, version, out);
}

/* Any thread. The value that leaf i has. */
static inline int toy_get(struct toy *t, unsigned int i, uint64_t *v, struct kv_msg *why)
{
	uint8_t value[TOY_VALUE_BYTES];
	int error;

	do {
		error = toy_try_get(t, i, value, why);
	} while (error == TOY_AGAIN);
	if (error)
		return error;
	*v = port_get_le64(value);
	return toy_is_filled(value, i, *v) ? 0 : -EILSEQ;
}

/* Every leaf as value[] says. */
static inline int toy_check(struct toy *t, struct kv_msg *why)
{
	unsigned int i;
	uint64_t v;
	int error;

	for (i = 0; i < toy_keys(t); i++) {
		error = toy_get(t, i, &v, why);
		if (error)
			return error;
		if (v != t->value[i])
			return kv_fail(why, -ESTALE, "leaf %u: %llu, wanted %llu", i,
				       (unsigned long long)v,
				       (unsigned long long)t->value[i]);
	}
	return 0;
}

/* ---- writing: one thread ---- */

static inline uint64_t toy_birth(struct toy *t, uint32_t page)
{
	return ((struct btree_page_header *)btree_page(t->p, page))->birth;
}

/* The page, pinned, or a copy that may be changed; the one that was copied is freed. */
static inline uint32_t toy_changeable(struct toy *t, uint32_t page)
{
	struct btree_page_header *from = btree_page(t->p, page), *to;
	const size_t header = sizeof(*from);
	uint32_t copy;

	if (from->birth > t->frozen)
		return page;
	copy = btree_page_new(t->p, t->generation);
	to = btree_page(t->p, copy);
	to->kind = from->kind;
	to->level = from->level;
	memcpy((char *)to + header, (char *)from + header,
	       t->p->shape.page_bytes - header);
	return copy;
}

static inline void toy_drop(struct toy *t, uint32_t page, uint32_t copy)
{
	uint64_t birth = toy_birth(t, page);

	btree_page_unpin(t->p, page);
	if (page != copy) {
		btree_page_free(t->p, page, birth, t->generation);
		btree_page_unpin(t->p, copy);
	}
}

static inline void toy_change_leaf(struct toy *t, uint32_t page, unsigned int i)
{
	uint8_t value[TOY_VALUE_BYTES];
	struct btree_node *n = btree_page(t->p, page);

	toy_fill(value, i, t->value[i]);
	btree_page_lock(t->p, page);
	assert_true(btree_node_set_value(n, &t->p->shape, 0,
					 kv_slice(value, sizeof(value)), 0));
	btree_page_unlock(t->p, page, true);
}

/* The way to leaf i, each page pinned. */
static inline int toy_pin_path(struct toy *t, unsigned int i, uint32_t page[3],
			       unsigned int index[3], struct kv_msg *why)
{
	struct btree_child at = { t->root, t->root_crc };
	struct toy_key k;
	int level, error;

	for (level = 2; level >= 0; level--) {
		const struct btree_node *n;

		error = btree_page_pin(t->p, at.page, at.crc, why);
		if (error) {
			for (level++; level < 3; level++)
				btree_page_unpin(t->p, page[level]);
			return error;
		}
		page[level] = at.page;
		if (!level)
			break;
		n = btree_page(t->p, at.page);
		index[level] = btree_node_child_index(n, &t->p->shape, toy_key(i, &k));
		at = btree_node_child(n, &t->p->shape, index[level]);
	}
	return 0;
}

/* Another value for leaf i. */
static inline int toy_put(struct toy *t, unsigned int i, struct kv_msg *why)
{
	uint32_t page[3], copy[3];
	unsigned int index[3];
	int level, error = btree_pages_reserve(t->p, 3, 0, false);

	if (error) {
		(void)btree_pager_failure(t->p, why);
		return error;
	}
	error = toy_pin_path(t, i, page, index, why);
	if (error)
		return error;
	for (level = 2; level >= 0; level--)
		copy[level] = toy_changeable(t, page[level]);
	t->value[i]++;
	toy_change_leaf(t, copy[0], i);
	for (level = 1; level < 3; level++) {
		if (copy[level - 1] == page[level - 1])
			continue;
		btree_page_lock(t->p, copy[level]);
		btree_node_set_child(btree_page(t->p, copy[level]), &t->p->shape,
				     index[level],
				     (struct btree_child){ copy[level - 1], 0 });
		btree_page_unlock(t->p, copy[level], true);
	}
	port_store_release(&t->root, copy[2]);
	for (level = 0; level < 3; level++)
		toy_drop(t, page[level], copy[level]);
	btree_pages_reclaim(t->p, t->keep, t->kept);
	return 0;
}

/* ---- checkpoints ---- */

static inline int toy_checkpoint_begin(struct toy *t)
{
	struct btree_super s = { .generation = t->generation,
				 .log_position = t->generation * 100,
				 .keys = toy_keys(t),
				 .root = { t->root, t->root_crc },
				 .levels = 3 };
	int error = btree_checkpoint_begin(t->p, &s, &t->running);

	if (!error)
		t->frozen = t->generation++;
	return error;
}

static inline void toy_checkpoint_end(struct toy *t)
{
	btree_checkpoint_end(t->running, t->keep, t->kept);
	t->running = NULL;
}

static inline int toy_checkpoint(struct toy *t, struct kv_msg *why)
{
	int error = toy_checkpoint_begin(t);

	if (error) {
		(void)btree_pager_failure(t->p, why);
		return error;
	}
	error = btree_checkpoint_write(t->running, 0, why);
	toy_checkpoint_end(t);
	return error;
}

/* ---- life ---- */

static inline struct btree_pager_config toy_config(struct env *env)
{
	return (struct btree_pager_config){ .env = env,
					    .path = TOY_PATH,
					    .page_bytes = 4096,
					    .memory_bytes = 64 * 4096,
					    .store_id = 0x1234,
					    .max_bytes = 64 << 20 };
}

static inline void toy_close(struct toy *t)
{
	btree_pager_close(t->p);
	t->p = NULL;
}

/* A new tree in a new file; no checkpoint yet. */
static inline int toy_create(struct toy *t, const struct btree_pager_config *c,
			     unsigned int inners, unsigned int leaves, struct kv_msg *why)
{
	int error;

	memset(t, 0, sizeof(*t));
	t->inners = inners;
	t->leaves = leaves;
	error = btree_pager_create(c, &t->p, why);
	if (error)
		return error;
	t->p->shape.max_keys = 128;
	error = toy_build(t);
	if (error) {
		(void)btree_pager_failure(t->p, why);
		toy_close(t);
	}
	return error;
}

/* At the last checkpoint; value[] is the caller's to know. */
static inline int toy_open(struct toy *t, const struct btree_pager_config *c,
			   struct kv_msg *why)
{
	int error;

	t->p = NULL;
	t->kept = 0;
	t->running = NULL;
	error = btree_pager_open(c, &t->super, &t->p, why);
	if (error)
		return error;
	t->p->shape.max_keys = 128;
	t->frozen = t->super.generation;
	t->generation = t->frozen + 1;
	t->root = t->super.root.page;
	t->root_crc = t->super.root.crc;
	return 0;
}

/* No number in use but the tree's, the superblocks' and the maps', once nothing is held. */
static inline void toy_check_numbers(struct toy *t)
{
	struct btree_pager_stats st;
	uint32_t page, used = 0, maps = 0, pages = btree_pager_pages(t->p);

	for (page = 0; page < pages; page++) {
		used += btree_page_in_use(t->p, page);
		maps += btree_page_is_map(t->p, page);
	}
	assert_int_equal(used - maps, BTREE_SUPER_PAGES + 1 + t->inners + toy_keys(t));
	btree_pager_stats(t->p, &st);
	assert_int_equal(st.file_bytes, (uint64_t)pages << t->p->page_shift);
	assert_int_equal(st.free_bytes + st.held_bytes +
				 ((uint64_t)used << t->p->page_shift),
			 st.file_bytes);
}

#endif /* BTREE_TOY_H */
