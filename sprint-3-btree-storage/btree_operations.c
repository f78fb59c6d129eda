/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_operations.c - put and delete on the tip of the tree.
 *
 * A step is first prepared: what can fail (reading pages in, room in memory and on disk)
 * happens then. Between the two the caller writes the log. Applying cannot fail, so that
 * nothing is in the log that is not in the tree.
 *
 * Most steps change one leaf that is not frozen, in place. The others take a path of pinned
 * pages, copy what is frozen of it, and may split.
 */
#include "btree_store.h"

static struct btree_node *node(const struct btree_tree *t, uint32_t page)
{
	return btree_page(t->pager, page);
}

static bool is_large(const struct btree_tree *t, const struct kv_op *op)
{
	return btree_value_is_large(t, op->key.len, op->value.len);
}

/* ---- preparing ---- */

/* Whether the step changes nothing but bytes of this leaf. */
static bool fits_in_place(const struct btree_tree *t, const struct btree_node *n,
			  const struct btree_change *c)
{
	const struct kv_op *op = c->op;
	struct kv_slice old = { NULL, 0 };
	unsigned int flags = 0;

	if (c->found)
		old = btree_node_value(n, t->shape, c->index, &flags);
	if (flags & BTREE_SLOT_OVERFLOW)
		return false;
	if (op->type == KV_DELETE)
		return true;
	if (is_large(t, op))
		return false;
	return (c->found && op->value.len <= old.len) ||
	       btree_node_fits(n, t->shape, op->key, op->value.len);
}

/* 0, with the leaf locked if in_place; else it needs a path, or has nothing to do. */
static int prepare_in_place(struct btree_tree *t, struct btree_change *c,
			    struct kv_msg *why)
{
	const struct btree_node *n;
	uint64_t version;
	int error;

	do {
		error = btree_leaf_find(t, c->op->key, &c->leaf, &version, why);
		/* Memory is short: a path stays, when it is pinned. */
		if (error == -EAGAIN)
			return 0;
		if (error)
			return error;
	} while (!btree_page_lock_at(t->pager, c->leaf, version));
	n = node(t, c->leaf);
	c->index = btree_node_lower_bound(n, t->shape, c->op->key, &c->found);
	c->nothing = c->op->type == KV_DELETE && !c->found;
	c->in_place = !c->nothing && n->page.birth > t->frozen && fits_in_place(t, n, c);
	if (!c->in_place)
		btree_page_unlock(t->pager, c->leaf, false);
	return 0;
}

/* Pages of the large value that the path's entry has now. */
static uint32_t old_value_pages(const struct btree_tree *t, const struct btree_change *c)
{
	struct kv_slice value;
	unsigned int flags;

	if (!c->found)
		return 0;
	value = btree_node_value(btree_path_node(t, &c->path, 0), t->shape, c->index,
				 &flags);
	return flags & BTREE_SLOT_OVERFLOW
		       ? btree_value_pages(t, btree_value_ref(value).bytes)
		       : 0;
}

static int prepare_path(struct btree_tree *t, struct btree_change *c, struct kv_msg *why)
{
	bool put = c->op->type == KV_PUT;
	uint32_t run =
		put && is_large(t, c->op) ? btree_value_pages(t, c->op->value.len) : 0;
	/* every page of the path copied; and split, with a new root on top */
	uint32_t pages = t->tip.levels + (put ? t->tip.levels + 1 : 0);
	int error = btree_pages_reserve(t->pager, pages + run, run, !put);

	if (error)
		return kv_fail(why, error, "no room for %u pages", pages + run);
	error = btree_path_find(t, &t->tip, c->op->key, &c->path, &c->found, why);
	if (error)
		return error;
	c->index = c->path.index[0];
	c->nothing = !put && !c->found;
	if (c->nothing) {
		btree_path_release(t, &c->path);
		return 0;
	}
	if (t->private) {
		error = btree_page_list_room(&t->made, pages + run);
		if (!error)
			error = btree_page_list_room(&t->freed,
						     pages + old_value_pages(t, c));
		if (error)
			btree_path_release(t, &c->path);
	}
	return error;
}

int btree_change_prepare(struct btree_tree *t, const struct kv_op *op,
			 struct btree_change *c, struct kv_msg *why)
{
	int error;

	*c = (struct btree_change){ .op = op };
	error = prepare_in_place(t, c, why);
	if (error || c->in_place || c->nothing)
		return error;
	return prepare_path(t, c, why);
}

void btree_change_cancel(struct btree_tree *t, struct btree_change *c)
{
	if (c->in_place)
		btree_page_unlock(t->pager, c->leaf, false);
	btree_path_release(t, &c->path);
}

/* ---- splitting ---- */

/* Parts the path's page at a level so that an entry for key has room, and turns the path to
 * the side where it belongs. Parents are split first where they have no room for a
 * separator: at every moment, each key is found where readers look for it. */
static void split(struct btree_tree *t, struct btree_path *path, unsigned int level,
		  struct kv_slice key, size_t value_bytes)
{
	/* EXERCISE 3.3 begin: room in the parent; then, locked: parted and linked */
	struct btree_node *left = btree_path_node(t, path, level), *parent, *right;
	struct btree_split *s = &t->split[level];
	struct btree_child child = { 0, 0 };
	struct kv_slice separator;
	unsigned int at = path->index[level] + (level ? 1 : 0);

	btree_node_split_point(left, t->shape, at, key, value_bytes, t->sorted, s);
	/* An inner node that begins with a separator yet to come would lead nowhere. */
	if (level && s->at == left->count)
		btree_node_split_point(left, t->shape, at, key, value_bytes, false, s);
	separator = kv_slice(s->key, s->key_bytes);
	if (level + 1 == path->levels)
		btree_path_grow(t, path);
	else if (!btree_node_fits(btree_path_node(t, path, level + 1), t->shape,
				  separator, sizeof(child)))
		split(t, path, level + 1, separator, sizeof(child));

	parent = btree_path_node(t, path, level + 1);
	path->index[level + 1] = btree_node_child_index(parent, t->shape, separator);
	child.page = btree_tree_make(t);
	right = node(t, child.page);
	btree_page_lock(t->pager, path->page[level + 1]);
	btree_page_lock(t->pager, path->page[level]);
	btree_node_split(left, right, t->shape, s, t->scratch);
	btree_node_insert(parent, t->shape, path->index[level + 1] + 1, separator,
			  kv_slice(&child, sizeof(child)), 0);
	btree_page_unlock(t->pager, path->page[level], true);
	btree_page_unlock(t->pager, path->page[level + 1], true);
	t->splits++;
	if (kv_compare(key, separator) >= 0) {
		btree_page_unpin(t->pager, path->page[level]);
		path->page[level] = child.page;
		path->index[level + 1]++;
	} else {
		btree_page_unpin(t->pager, child.page);
	}
	/* EXERCISE 3.3 end */
}

/* ---- applying ---- */

/* The value as the leaf is to hold it. */
static struct kv_slice stored_value(struct btree_tree *t, const struct kv_op *op,
				    struct btree_overflow *large, unsigned int *flags)
{
	*flags = 0;
	if (!is_large(t, op))
		return op->value;
	*large = btree_value_write(t, op->value);
	*flags = BTREE_SLOT_OVERFLOW;
	return kv_slice(large, sizeof(*large));
}

static void note_order(struct btree_tree *t, const struct btree_node *n, unsigned int i)
{
	t->sorted = n->unbounded && i == n->count;
}

static bool put_in_path(struct btree_tree *t, struct btree_change *c)
{
	struct btree_overflow large, old = { 0 };
	struct btree_path *path = &c->path;
	struct kv_slice key = c->op->key, value, was;
	unsigned int flags, old_flags = 0;
	struct btree_node *leaf;
	bool done, parted = false;

	btree_path_copy(t, path, 0);
	leaf = btree_path_node(t, path, 0);
	if (c->found) {
		was = btree_node_value(leaf, t->shape, c->index, &old_flags);
		if (old_flags & BTREE_SLOT_OVERFLOW)
			old = btree_value_ref(was);
		t->sorted = false;
	} else {
		note_order(t, leaf, c->index);
		t->tip.keys++;
	}
	value = stored_value(t, c->op, &large, &flags);
	do {
		leaf = btree_path_node(t, path, 0);
		btree_page_lock(t->pager, path->page[0]);
		if (c->found)
			done = btree_node_set_value(leaf, t->shape, c->index, value,
						    flags);
		else if ((done = parted ||
				 btree_node_fits(leaf, t->shape, key, value.len)))
			btree_node_insert(leaf, t->shape, c->index, key, value, flags);
		btree_page_unlock(t->pager, path->page[0], done);
		/* Once, for which pages are reserved: there is room then, and more keys
		 * than max_keys only where there were far more. */
		if (!done) {
			parted = true;
			split(t, path, 0, key, value.len);
			c->index = btree_node_lower_bound(btree_path_node(t, path, 0),
							  t->shape, key, &c->found);
			path->index[0] = c->index;
		}
	} while (!done);
	if (old.bytes)
		btree_value_drop(t, &old);
	return btree_node_underfull(leaf, t->shape);
}

static bool delete_in_path(struct btree_tree *t, struct btree_change *c)
{
	struct btree_overflow large = { 0 };
	struct kv_slice value;
	struct btree_node *leaf;
	unsigned int flags;

	btree_path_copy(t, &c->path, 0);
	leaf = btree_path_node(t, &c->path, 0);
	value = btree_node_value(leaf, t->shape, c->index, &flags);
	if (flags & BTREE_SLOT_OVERFLOW)
		large = btree_value_ref(value);
	btree_page_lock(t->pager, c->path.page[0]);
	btree_node_remove(leaf, t->shape, c->index);
	btree_page_unlock(t->pager, c->path.page[0], true);
	if (large.bytes)
		btree_value_drop(t, &large);
	t->tip.keys--;
	return btree_node_underfull(leaf, t->shape);
}

static bool apply_in_place(struct btree_tree *t, struct btree_change *c)
{
	struct btree_node *leaf = node(t, c->leaf);
	const struct kv_op *op = c->op;
	bool underfull;

	if (op->type == KV_DELETE) {
		btree_node_remove(leaf, t->shape, c->index);
		t->tip.keys--;
	} else if (c->found) {
		(void)btree_node_set_value(leaf, t->shape, c->index, op->value, 0);
	} else {
		note_order(t, leaf, c->index);
		btree_node_insert(leaf, t->shape, c->index, op->key, op->value, 0);
		t->tip.keys++;
	}
	underfull = btree_node_underfull(leaf, t->shape);
	btree_page_unlock(t->pager, c->leaf, true);
	return underfull;
}

void btree_change_apply(struct btree_tree *t, struct btree_change *c)
{
	bool underfull;

	if (c->nothing)
		return;
	if (c->in_place)
		underfull = apply_in_place(t, c);
	else if (c->op->type == KV_DELETE)
		underfull = delete_in_path(t, c);
	else
		underfull = put_in_path(t, c);
	btree_path_release(t, &c->path);
	/* A new entry finds its node as full as the last split or merge left it. */
	if (underfull && t->tip.levels > 1 && (c->op->type == KV_DELETE || c->found))
		btree_tree_rebalance(t, c->op->key);
}

/* ---- several steps ---- */

static int apply_step(struct btree_tree *t, const struct kv_op *op, struct kv_msg *why)
{
	struct btree_change c;
	int error = btree_change_prepare(t, op, &c, why);

	if (!error)
		btree_change_apply(t, &c);
	return error;
}

/* The first key >= from of the tip into key, of BTREE_KEY_MAX bytes. */
static int first_key(struct btree_tree *t, struct kv_slice from, uint8_t *key,
		     size_t *len, struct kv_msg *why)
{
	const struct btree_node *leaf;
	struct btree_path path;
	int error = btree_path_find(t, &t->tip, from, &path, NULL, why);

	while (!error) {
		leaf = btree_path_node(t, &path, 0);
		if (path.index[0] < leaf->count)
			break;
		error = btree_path_next(t, &path, why);
	}
	if (error)
		return error;
	*len = btree_node_key_copy(leaf, t->shape, path.index[0], key);
	btree_path_release(t, &path);
	return 0;
}

static int apply_delete_range(struct btree_tree *t, const struct kv_op *op,
			      struct kv_msg *why)
{
	uint8_t *key = port_alloc(BTREE_KEY_MAX);
	struct kv_op step = { .type = KV_DELETE, .key = op->key };
	size_t len;
	int error;

	if (!key)
		return -ENOMEM;
	for (;;) {
		error = first_key(t, step.key, key, &len, why);
		if (error)
			break;
		step.key = kv_slice(key, len);
		if (op->value.data && kv_compare(step.key, op->value) >= 0)
			break;
		error = apply_step(t, &step, why);
		if (error)
			break;
	}
	port_free(key);
	return error == -ENOENT ? 0 : error;
}

int btree_tree_apply(struct btree_tree *t, const struct kv_op *op, size_t n,
		     struct kv_msg *why)
{
	int error = 0;
	size_t i;

	for (i = 0; i < n && !error; i++)
		error = op[i].type == KV_DELETE_RANGE ? apply_delete_range(t, &op[i], why)
						      : apply_step(t, &op[i], why);
	return error;
}

/* ---- generations ---- */

void btree_tree_begin_write(struct btree_tree *t)
{
	if (t->generation <= t->frozen)
		t->generation = t->frozen + 1;
	t->tip.generation = t->generation;
}

void btree_tree_begin_private(struct btree_tree *t)
{
	if (t->frozen < t->generation)
		t->frozen = t->generation;
	t->made.count = t->freed.count = 0;
	t->private = true;
	btree_tree_begin_write(t);
}

void btree_tree_abort_private(struct btree_tree *t, const struct btree_version *before)
{
	size_t i;

	t->private = false;
	t->tip = *before;
	for (i = 0; i < t->made.count; i++)
		btree_page_free(t->pager, t->made.ref[i].page, t->generation,
				t->generation);
}

void btree_tree_end_private(struct btree_tree *t)
{
	size_t i;

	t->private = false;
	for (i = 0; i < t->freed.count; i++)
		btree_page_free(t->pager, t->freed.ref[i].page, t->freed.ref[i].birth,
				t->generation);
}
