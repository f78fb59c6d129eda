/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_forest.c - see btree_forest.h.
 */
#include "btree_forest.h"
#include "../../sprint-1-core-memory/tests/core_random.h"

#include <setjmp.h>

#include <cmocka.h>

static const struct kv_slice nothing = { "", 0 };

/* ---- the model ---- */

static struct kv_slice copy_slice(struct kv_slice s)
{
	void *p = malloc(s.len ? s.len : 1);

	assert_non_null(p);
	if (s.len)
		memcpy(p, s.data, s.len);
	return kv_slice(p, s.len);
}

static unsigned int model_find(const struct btree_forest *f, struct kv_slice key,
			       bool *found)
{
	unsigned int i = 0;

	while (i < f->pairs && kv_compare(f->pair[i].key, key) < 0)
		i++;
	*found = i < f->pairs && !kv_compare(f->pair[i].key, key);
	return i;
}

static void model_put(struct btree_forest *f, struct kv_slice key, struct kv_slice value,
		      unsigned int flags)
{
	bool found;
	unsigned int i = model_find(f, key, &found);
	struct btree_forest_pair *p = &f->pair[i];

	if (found) {
		free((void *)(uintptr_t)p->value.data);
	} else {
		assert_true(f->pairs < BTREE_FOREST_PAIRS);
		memmove(p + 1, p, (f->pairs++ - i) * sizeof(*p));
		p->key = copy_slice(key);
	}
	p->value = copy_slice(value);
	p->flags = flags;
}

static void model_delete(struct btree_forest *f, unsigned int i)
{
	struct btree_forest_pair *p = &f->pair[i];

	free((void *)(uintptr_t)p->key.data);
	free((void *)(uintptr_t)p->value.data);
	memmove(p, p + 1, (--f->pairs - i) * sizeof(*p));
}

/* ---- the nodes ---- */

static struct btree_node *node_new(const struct btree_forest *f)
{
	struct btree_node *n = malloc(f->shape.page_bytes);

	assert_non_null(n);
	memset(n, (int)core_random_below(256), f->shape.page_bytes);
	n->page.page = 7;
	return n;
}

struct btree_forest *btree_forest_new(uint32_t page_bytes, uint32_t max_keys,
				      unsigned int level)
{
	struct btree_forest *f = calloc(1, sizeof(*f));
	const struct btree_child child = { .page = 1 };
	const struct kv_slice value = kv_slice(&child, sizeof(child));

	assert_non_null(f);
	f->shape.page_bytes = page_bytes;
	f->shape.max_keys = max_keys;
	f->level = level;
	f->scratch = malloc(2 * (size_t)page_bytes);
	assert_non_null(f->scratch);
	f->node[f->nodes++] = node_new(f);
	btree_node_init(f->node[0], &f->shape, level, nothing, kv_slice(NULL, 0));
	if (level) {
		btree_node_insert(f->node[0], &f->shape, 0, nothing, value, 0);
		model_put(f, nothing, value, 0);
	}
	return f;
}

void btree_forest_free(struct btree_forest *f)
{
	while (f->pairs)
		model_delete(f, f->pairs - 1);
	while (f->nodes)
		free(f->node[--f->nodes]);
	free(f->scratch);
	free(f);
}

/* The node for a key, and how many pairs lie before it. */
static unsigned int node_for(const struct btree_forest *f, struct kv_slice key,
			     unsigned int *before)
{
	unsigned int k = 0;

	*before = 0;
	while (k + 1 < f->nodes &&
	       kv_compare(btree_node_lower(f->node[k + 1], &f->shape), key) <= 0)
		*before += f->node[k++]->count;
	return k;
}

static void node_insert(struct btree_forest *f, unsigned int k, struct btree_node *n)
{
	assert_true(f->nodes < BTREE_FOREST_NODES);
	memmove(&f->node[k + 1], &f->node[k], (f->nodes++ - k) * sizeof(f->node[0]));
	f->node[k] = n;
}

static void node_remove(struct btree_forest *f, unsigned int k)
{
	free(f->node[k]);
	memmove(&f->node[k], &f->node[k + 1], (--f->nodes - k) * sizeof(f->node[0]));
}

/* ---- comparing ---- */

static void assert_slice(struct kv_slice a, struct kv_slice b)
{
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_memory_equal(a.data, b.data, a.len);
}

static void verify_entry(const struct btree_forest *f, const struct btree_node *n,
			 unsigned int i, const struct btree_forest_pair *p)
{
	uint8_t key[BTREE_KEY_MAX];
	size_t len = btree_node_key_copy(n, &f->shape, i, key);
	struct btree_child child;
	struct kv_slice value;
	unsigned int flags, at;
	bool found;

	assert_slice(kv_slice(key, len), p->key);
	if (!f->level) {
		assert_slice(btree_node_value(n, &f->shape, i, &flags), p->value);
		assert_int_equal(flags, p->flags);
		assert_int_equal(btree_node_lower_bound(n, &f->shape, p->key, &found), i);
		assert_true(found);
		assert_true(btree_node_find(n, &f->shape, p->key, &value, &flags));
		assert_slice(value, p->value);
		assert_int_equal(flags, p->flags);
		value = btree_node_show(n, &f->shape, i, key, &len, &flags);
		assert_slice(kv_slice(key, len), p->key);
		assert_slice(value, p->value);
		return;
	}
	assert_int_equal(btree_node_child_index(n, &f->shape, p->key), i);
	child = btree_node_child(n, &f->shape, i);
	assert_memory_equal(&child, p->value.data, sizeof(child));
	assert_int_equal(btree_node_route(n, &f->shape, p->key, &at), child.page);
	assert_int_equal(at, i);
	assert_int_equal(btree_node_value(n, &f->shape, i, &flags).len, 0);
}

static void verify_node(const struct btree_forest *f, unsigned int k, unsigned int before)
{
	const struct btree_node *n = f->node[k];
	struct kv_msg why = { "" };
	size_t live = BTREE_NODE_HEADER + n->lower_bytes + n->upper_bytes;
	unsigned int i;

	if (btree_node_check(n, &f->shape, &why))
		fail_msg("%s", why.text);
	assert_true(n->count <= f->shape.max_keys);
	assert_int_equal(n->page.level, f->level);
	assert_int_equal(n->page.page, 7);
	for (i = 0; i < n->count; i++) {
		const struct btree_forest_pair *p = &f->pair[before + i];

		verify_entry(f, n, i, p);
		live += (f->level ? BTREE_CHILD_BYTES : p->value.len) +
			sizeof(struct btree_slot) + 4;
		if (!f->level || i)
			live += p->key.len - n->prefix_bytes;
	}
	assert_int_equal(btree_node_used(n, &f->shape), live);
}

static void verify_fences(const struct btree_forest *f, unsigned int k)
{
	const struct kv_slice lower = btree_node_lower(f->node[k], &f->shape);
	const struct kv_slice upper = btree_node_upper(f->node[k], &f->shape);

	if (!k)
		assert_int_equal(lower.len, 0);
	if (k + 1 == f->nodes)
		assert_null(upper.data);
	else
		assert_slice(upper, btree_node_lower(f->node[k + 1], &f->shape));
}

void btree_forest_verify(struct btree_forest *f)
{
	unsigned int k, before = 0;

	for (k = 0; k < f->nodes; k++) {
		assert_true(before + f->node[k]->count <= f->pairs);
		verify_fences(f, k);
		verify_node(f, k, before);
		before += f->node[k]->count;
	}
	assert_int_equal(before, f->pairs);
}

static void verify_around(const struct btree_forest *f, struct kv_slice key)
{
	unsigned int before, k = node_for(f, key, &before);

	verify_fences(f, k);
	verify_node(f, k, before);
	if (k) {
		verify_fences(f, k - 1);
		verify_node(f, k - 1, before - f->node[k - 1]->count);
	}
	if (k + 1 < f->nodes) {
		verify_fences(f, k + 1);
		verify_node(f, k + 1, before + f->node[k]->count);
	}
}

void btree_forest_seek(struct btree_forest *f, struct kv_slice key)
{
	bool model_found, found;
	struct kv_slice value;
	unsigned int flags, before, k = node_for(f, key, &before), i;
	unsigned int expected = model_find(f, key, &model_found) - before;

	if (f->level) {
		i = btree_node_child_index(f->node[k], &f->shape, key);
		assert_int_equal(i, model_found ? expected : expected - 1);
		return;
	}
	i = btree_node_lower_bound(f->node[k], &f->shape, key, &found);
	assert_int_equal(i, expected);
	assert_int_equal(found, model_found);
	assert_int_equal(btree_node_find(f->node[k], &f->shape, key, &value, &flags),
			 model_found);
}

/* ---- steps ---- */

/* What the split says of both halves before the new entry comes is as binding as after. */
static unsigned int split(struct btree_forest *f, unsigned int k, unsigned int i,
			  struct kv_slice key, size_t value_bytes, bool append)
{
	struct btree_node *right = node_new(f), *left = f->node[k];
	unsigned int before, count = left->count;
	struct kv_slice separator;

	btree_node_split_point(left, &f->shape, i, key, value_bytes, append, &f->split);
	btree_node_split(left, right, &f->shape, &f->split, f->scratch);
	node_insert(f, k + 1, right);
	f->splits++;
	separator = kv_slice(f->split.key, f->split.key_bytes);
	assert_int_equal(left->count, f->split.at);
	assert_int_equal(left->count + right->count, count);
	assert_slice(btree_node_lower(right, &f->shape), separator);
	(void)node_for(f, btree_node_lower(left, &f->shape), &before);
	verify_node(f, k, before);
	verify_node(f, k + 1, before + left->count);
	verify_fences(f, k);
	verify_fences(f, k + 1);
	return kv_compare(key, separator) >= 0 ? k + 1 : k;
}

static void put_new(struct btree_forest *f, unsigned int k, struct kv_slice key,
		    struct kv_slice value, unsigned int flags, bool append)
{
	bool found;
	unsigned int i = btree_node_lower_bound(f->node[k], &f->shape, key, &found);

	assert_false(found);
	if (!btree_node_fits(f->node[k], &f->shape, key, value.len)) {
		k = split(f, k, i, key, value.len, append);
		i = btree_node_lower_bound(f->node[k], &f->shape, key, &found);
		assert_false(found);
		assert_true(!f->level || i);
		assert_true(btree_node_fits(f->node[k], &f->shape, key, value.len));
	}
	btree_node_insert(f->node[k], &f->shape, i, key, value, flags);
}

static void put_again(struct btree_forest *f, unsigned int k, struct kv_slice key,
		      struct kv_slice value, unsigned int flags)
{
	bool found;
	unsigned int i = btree_node_child_index(f->node[k], &f->shape, key);

	if (f->level) {
		struct btree_child child;

		memcpy(&child, value.data, sizeof(child));
		btree_node_set_child(f->node[k], &f->shape, i, child);
		return;
	}
	if (btree_node_set_value(f->node[k], &f->shape, i, value, flags))
		return;
	verify_around(f, key); /* nothing has changed */
	k = split(f, k, i, key, value.len, false);
	i = btree_node_lower_bound(f->node[k], &f->shape, key, &found);
	assert_true(found);
	assert_true(btree_node_set_value(f->node[k], &f->shape, i, value, flags));
}

void btree_forest_put(struct btree_forest *f, struct kv_slice key, struct kv_slice value,
		      unsigned int flags, bool append)
{
	bool found;
	unsigned int before, k = node_for(f, key, &before);

	(void)model_find(f, key, &found);
	if (found)
		put_again(f, k, key, value, flags);
	else
		put_new(f, k, key, value, flags, append);
	model_put(f, key, value, flags);
	verify_around(f, key);
}

/* As a fuller neighbour would be treated. */
static void rebalance(struct btree_forest *f, unsigned int k)
{
	struct btree_node *left, *right;
	uint8_t separator[BTREE_KEY_MAX];
	struct kv_slice lower;

	if (f->nodes < 2)
		return;
	if (k + 1 == f->nodes)
		k--;
	left = f->node[k];
	right = f->node[k + 1];
	lower = btree_node_lower(right, &f->shape);
	memcpy(separator, lower.data, lower.len);
	lower.data = separator;
	if (btree_node_can_merge(left, right, &f->shape)) {
		btree_node_merge(left, right, &f->shape, lower, f->scratch);
		node_remove(f, k + 1);
		f->merges++;
	} else if (btree_node_balance(left, right, &f->shape, lower, &f->split,
				      f->scratch)) {
		assert_int_equal(f->split.at, left->count);
		assert_slice(btree_node_lower(right, &f->shape),
			     kv_slice(f->split.key, f->split.key_bytes));
		f->balances++;
	}
}

void btree_forest_delete(struct btree_forest *f, struct kv_slice key)
{
	uint8_t copy[BTREE_KEY_MAX]; /* the key may be the model's own */
	bool found;
	unsigned int before, k = node_for(f, key, &before);
	unsigned int i = model_find(f, key, &found);

	memcpy(copy, key.data, key.len);
	key.data = copy;
	if (!found || (f->level && i == before))
		return;
	btree_node_remove(f->node[k], &f->shape, i - before);
	model_delete(f, i);
	verify_node(f, k, before);
	if (btree_node_underfull(f->node[k], &f->shape))
		rebalance(f, k);
	verify_around(f, key);
}
