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

/*
 * What lies between two paths: the pairs right of the one and left of the other in their
 * leaves, and whole subtrees between them, which are taken to be as large as the nodes on
 * the two paths are on average. Without such subtrees it is exact.
 */
static uint64_t count_between(const struct btree_tree *t, const struct btree_path *a,
			      const struct btree_path *b)
{
	unsigned int top = a->levels, level;
	uint64_t subtree = 1, n = 0, left, right;

	while (top && a->index[top - 1] == b->index[top - 1])
		top--;
	if (!top)
		return 0;
	for (level = 0; level + 1 < top; level++) {
		left = count_of(t, a, level) - a->index[level] - (level > 0);
		right = b->index[level];
		n += (left + right) * subtree;
		subtree = subtree * (count_of(t, a, level) + count_of(t, b, level)) / 2;
	}
	if (a->index[level] > b->index[level])
		return 0;
	return n + (b->index[level] - a->index[level] - (level > 0)) * subtree;
}

int btree_count_estimate(struct kv *kv, struct kv_slice from, struct kv_slice to,
			 uint64_t *out)
{
	struct btree_store *s = btree_store(kv);
	struct btree_tree *t = &s->tree;
	struct btree_path *path; /* two */
	struct kv_snapshot snap;
	int error;

	path = port_alloc(2 * sizeof(*path));
	if (!path)
		return -ENOMEM;
	error = btree_snapshot_enter(s, &snap);
	if (error)
		goto out_free;
	error = btree_path_find(t, &snap.version, from, &path[0], NULL, NULL);
	if (error)
		goto out_leave;
	if (to.data)
		error = btree_path_find(t, &snap.version, to, &path[1], NULL, NULL);
	else
		error = btree_path_edge(t, &snap.version, true, &path[1], NULL);
	if (!error) {
		*out = !from.len && !to.data ? snap.version.keys
					     : count_between(t, &path[0], &path[1]);
		if (*out > snap.version.keys)
			*out = snap.version.keys;
		btree_path_release(t, &path[1]);
	}
	btree_path_release(t, &path[0]);
out_leave:
	btree_snapshot_leave(s, &snap);
out_free:
	port_free(path);
	return error;
}
