/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_rebalance.c - nodes that have become too empty: merging and borrowing.
 *
 * Half of what a node can hold is to be in use. One that falls below merges with a
 * neighbour under the same parent, if both fit into one node; else entries move between the
 * two. Both are made as new pages, and the parent is then turned to them under its lock: a
 * reader sees the old pair or the new, and nothing is to be undone when the parent turns out
 * to have no room for the new separator.
 *
 * All of it is housekeeping: where it cannot be done (a page cannot be read, the disk is
 * full) the tree stays right, and the next delete tries again.
 */
#include "btree_store.h"

struct pair { /* neighbours under the path's page at level + 1 */
	unsigned int level;
	unsigned int
		left_index; /* of the left one in the parent; the right one is next */
	uint32_t left, right;
	uint32_t other; /* the one of them that the path does not pin */
};

static struct btree_node *node(const struct btree_tree *t, uint32_t page)
{
	return btree_page(t->pager, page);
}

static uint64_t birth(const struct btree_tree *t, uint32_t page)
{
	return node(t, page)->page.birth;
}

/* Pins the neighbour at the parent's entry i. */
static int pair_take(struct btree_tree *t, const struct btree_path *path,
		     unsigned int level, unsigned int i, struct pair *p)
{
	const struct btree_node *parent = btree_path_node(t, path, level + 1);
	struct btree_child other = btree_node_child(parent, t->shape, i);
	int error = btree_page_pin(t->pager, other.page, other.crc, NULL);

	if (error)
		return error;
	*p = (struct pair){ .level = level, .other = other.page };
	if (i < path->index[level + 1]) {
		p->left = other.page;
		p->right = path->page[level];
		p->left_index = i;
	} else {
		p->left = path->page[level];
		p->right = other.page;
		p->left_index = path->index[level + 1];
	}
	return 0;
}

/* What parts them, in a buffer of the level above. */
static struct kv_slice pair_separator(const struct btree_tree *t,
				      const struct btree_path *path, const struct pair *p)
{
	void *key = t->split[p->level + 1].key;
	const struct btree_node *parent = btree_path_node(t, path, p->level + 1);

	return kv_slice(key,
			btree_node_key_copy(parent, t->shape, p->left_index + 1, key));
}

/* A page that nobody was led to goes again. */
static void unmake(struct btree_tree *t, uint32_t page)
{
	btree_page_unpin(t->pager, page);
	btree_tree_drop(t, page, t->generation);
}

/* The path's page at the pair's level is now page, which is pinned; the old two go. */
static void pair_replace(struct btree_tree *t, struct btree_path *path,
			 const struct pair *p, uint32_t page, unsigned int index)
{
	uint64_t left_birth = birth(t, p->left), right_birth = birth(t, p->right);

	btree_page_unpin(t->pager, p->left);
	btree_page_unpin(t->pager, p->right);
	btree_tree_drop(t, p->left, left_birth);
	btree_tree_drop(t, p->right, right_birth);
	path->page[p->level] = page;
	path->index[p->level + 1] = index;
}

static void merge(struct btree_tree *t, struct btree_path *path, const struct pair *p)
{
	/* EXERCISE 3.4 begin: a new page for both; the parent turned to it */
	struct kv_slice separator;
	uint32_t merged, parent_page;
	struct btree_node *parent;

	btree_path_copy(t, path, p->level + 1);
	parent_page = path->page[p->level + 1];
	parent = node(t, parent_page);
	separator = pair_separator(t, path, p);
	merged = btree_page_copy(t, p->left);
	btree_node_merge(node(t, merged), node(t, p->right), t->shape, separator,
			 t->scratch);
	btree_page_lock(t->pager, parent_page);
	btree_node_set_child(parent, t->shape, p->left_index,
			     (struct btree_child){ merged, 0 });
	btree_node_remove(parent, t->shape, p->left_index + 1);
	btree_page_unlock(t->pager, parent_page, true);
	pair_replace(t, path, p, merged, p->left_index);
	t->merges++;
	/* EXERCISE 3.4 end */
}

/* Turns the parent to the balanced pair; false when the new separator does not fit. */
static bool relink_pair(struct btree_tree *t, struct btree_path *path,
			const struct pair *p, uint32_t left, uint32_t right,
			struct kv_slice old, struct kv_slice separator)
{
	uint32_t parent_page = path->page[p->level + 1];
	struct btree_node *parent = node(t, parent_page);
	struct btree_child child = btree_node_child(parent, t->shape, p->left_index + 1);
	bool fits;

	btree_page_lock(t->pager, parent_page);
	btree_node_remove(parent, t->shape, p->left_index + 1);
	fits = btree_node_fits(parent, t->shape, separator, sizeof(child));
	if (fits) {
		old = separator;
		child = (struct btree_child){ left, 0 };
		btree_node_set_child(parent, t->shape, p->left_index, child);
		child.page = right;
	}
	btree_node_insert(parent, t->shape, p->left_index + 1, old,
			  kv_slice(&child, sizeof(child)), 0);
	btree_page_unlock(t->pager, parent_page, true);
	return fits;
}

static void balance(struct btree_tree *t, struct btree_path *path, const struct pair *p)
{
	struct btree_split *s = &t->split[p->level];
	uint32_t left = btree_page_copy(t, p->left), right = btree_page_copy(t, p->right);
	bool path_is_left = path->page[p->level] == p->left;
	struct kv_slice old;

	btree_path_copy(t, path, p->level + 1);
	old = pair_separator(t, path, p);
	if (!btree_node_balance(node(t, left), node(t, right), t->shape, old, s,
				t->scratch) ||
	    !relink_pair(t, path, p, left, right, old, kv_slice(s->key, s->key_bytes))) {
		unmake(t, left);
		unmake(t, right);
		btree_page_unpin(t->pager, p->other);
		return;
	}
	btree_page_unpin(t->pager, path_is_left ? right : left);
	pair_replace(t, path, p, path_is_left ? left : right,
		     p->left_index + !path_is_left);
	t->balances++;
}

/* Merges the path's page at level with one neighbour or the other, or else borrows. */
static int rebalance_page(struct btree_tree *t, struct btree_path *path,
			  unsigned int level)
{
	/* EXERCISE 3.4 begin: either neighbour: merge, or else borrow
	 *|	return 0;
	 */
	const struct btree_node *parent = btree_path_node(t, path, level + 1);
	unsigned int i = path->index[level + 1], side;
	struct pair p;
	int error;

	for (side = 0; side < 2; side++) {
		if (side ? i + 1u >= parent->count : !i)
			continue;
		error = pair_take(t, path, level, side ? i + 1 : i - 1, &p);
		if (error)
			return error;
		if (btree_node_can_merge(node(t, p.left), node(t, p.right), t->shape)) {
			merge(t, path, &p);
			return 0;
		}
		if (side || i + 1u >= parent->count) {
			balance(t, path, &p);
			return 0;
		}
		btree_page_unpin(t->pager, p.other);
	}
	return 0;
	/* EXERCISE 3.4 end */
}

static int take_room(struct btree_tree *t)
{
	uint32_t pages = 3 * t->tip.levels;
	int error = btree_pages_reserve(t->pager, pages, 0, true);

	if (!error && t->private)
		error = btree_page_list_room(&t->made, pages);
	/* pages dropped: those copied, and at most four a level */
	if (!error && t->private)
		error = btree_page_list_room(&t->freed, 5 * t->tip.levels);
	return error;
}

void btree_tree_rebalance(struct btree_tree *t, struct kv_slice key)
{
	struct btree_path path;
	unsigned int level;
	int error;

	/* Each page that is not in memory would be waited for, and so would the checkpoint that
	 * ends it be. */
	if (btree_pager_is_overfull(t->pager))
		return;
	error = take_room(t);
	if (error || btree_path_find(t, &t->tip, key, &path, NULL, NULL))
		return;
	for (level = 0; !error && level + 1 < path.levels; level++) {
		if (!btree_node_underfull(btree_path_node(t, &path, level), t->shape))
			break;
		error = rebalance_page(t, &path, level);
	}
	while (path.levels > 1 && btree_path_node(t, &path, path.levels - 1)->count == 1)
		btree_path_shrink(t, &path);
	btree_path_release(t, &path);
}
