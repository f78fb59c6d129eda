/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_walk.c - over all nodes of a version; and how many pairs lie between two keys.
 */
#include "btree_store.h"

/* ---- the walk ---- */

static void unpin_from(struct btree_tree *t, struct btree_path *path, unsigned int level)
{
	for (; level < path->levels; level++)
		btree_page_unpin(t->pager, path->page[level]);
}

/* Pins the node that the step leads to, and shows it. */
static int arrive(struct btree_tree *t, struct btree_path *path, struct btree_step *step,
		  btree_step_fn *fn, void *arg, struct kv_msg *why)
{
	int error = btree_page_pin(t->pager, step->child.page, step->child.crc, why);

	if (error)
		return error;
	path->page[step->level] = step->child.page;
	path->index[step->level] = 0;
	step->node = btree_path_node(t, path, step->level);
	error = fn(arg, step);
	if (error)
		btree_page_unpin(t->pager, step->child.page);
	return error;
}

int btree_walk(struct btree_tree *t, const struct btree_version *version,
	       btree_step_fn *fn, void *arg, struct kv_msg *why)
{
	struct btree_path path = { .levels = version->levels };
	unsigned int level = version->levels - 1;
	struct btree_step step = {
		.level = level,
		.child = { version->root, port_load_relaxed(&t->opened_root_crc) },
	};
	int error = arrive(t, &path, &step, fn, arg, why);

	if (error)
		return error;
	for (;;) {
		const struct btree_node *n = btree_path_node(t, &path, level);

		if (!level || path.index[level] == n->count) {
			btree_page_unpin(t->pager, path.page[level]);
			if (++level == path.levels)
				return 0;
			continue;
		}
		step = (struct btree_step){
			.level = level - 1,
			.parent = n,
			.index = path.index[level]++,
		};
		step.child = btree_node_child(n, t->shape, step.index);
		error = arrive(t, &path, &step, fn, arg, why);
		if (error) {
			unpin_from(t, &path, level);
			return error;
		}
		level--;
	}
}

/* ---- counting ---- */

static uint64_t count_of(const struct btree_tree *t, const struct btree_path *path,
			 unsigned int level)
{
	return btree_path_node(t, path, level)->count;
}

/* Entries of nodes at a level, as those on the two paths have on average. */
static uint64_t fan_out(const struct btree_tree *t, const struct btree_path *a,
			const struct btree_path *b, unsigned int level)
{
	uint64_t both = count_of(t, a, level) + count_of(t, b, level);

	return both > 1 ? both / 2 : 1;
}

/* About how many pairs are below an entry at a level. Each level that is gone through on the
 * way to the answer adds its error: so low ones are reached from the leaves, high ones from
 * all pairs. */
static uint64_t pairs_below(const struct btree_tree *t, const struct btree_path *a,
			    const struct btree_path *b, unsigned int level, uint64_t keys)
{
	uint64_t n = 1;
	unsigned int i;

	if (level * 2 < a->levels) {
		for (i = 0; i < level; i++)
			n *= fan_out(t, a, b, i);
		return n;
	}
	for (i = a->levels; i > level; i--)
		keys /= fan_out(t, a, b, i - 1);
	return keys ? keys : 1;
}

/* What lies between two paths: the pairs right of the one and left of the other in their
 * leaves, and whole subtrees between them. Without such subtrees it is exact. */
static uint64_t count_between(const struct btree_tree *t, const struct btree_path *a,
			      const struct btree_path *b, uint64_t keys)
{
	unsigned int top = a->levels, level;
	uint64_t n = 0, left, right;

	while (top && a->index[top - 1] == b->index[top - 1])
		top--;
	if (!top || a->index[top - 1] > b->index[top - 1])
		return 0;
	for (level = 0; level + 1 < top; level++) {
		left = count_of(t, a, level) - a->index[level] - (level > 0);
		right = b->index[level];
		n += (left + right) * pairs_below(t, a, b, level, keys);
	}
	left = b->index[level] - a->index[level] - (level > 0);
	return n + left * pairs_below(t, a, b, level, keys);
}

int btree_count_estimate(struct kv *kv, struct kv_slice from, struct kv_slice to,
			 uint64_t *out)
{
	struct btree_store *s = btree_store(kv);
	struct btree_tree *t = &s->tree;
	struct btree_path *path; /* two */
	struct kv_snapshot *snap;
	int error;

	path = port_alloc(2 * sizeof(*path));
	if (!path)
		return -ENOMEM;
	error = btree_snapshot_enter(s, &snap);
	if (error)
		goto out_free;
	error = btree_path_find(t, &snap->version, from, &path[0], NULL, NULL);
	if (error)
		goto out_leave;
	if (to.data)
		error = btree_path_find(t, &snap->version, to, &path[1], NULL, NULL);
	else
		error = btree_path_edge(t, &snap->version, true, &path[1], NULL);
	if (!error) {
		*out = !from.len && !to.data
			       ? snap->version.keys
			       : count_between(t, &path[0], &path[1], snap->version.keys);
		if (*out > snap->version.keys)
			*out = snap->version.keys;
		btree_path_release(t, &path[1]);
	}
	btree_path_release(t, &path[0]);
out_leave:
	btree_snapshot_leave(s, snap);
out_free:
	port_free(path);
	return error;
}
