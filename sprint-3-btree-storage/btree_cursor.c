/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_cursor.c - a position among the pairs of a snapshot.
 *
 * The pages of a snapshot are frozen, and those on the cursor's path are pinned: what it
 * shows lies in the page itself, but for the key, which is put together from the page's
 * prefix and its suffix, and for large values.
 */
#include "btree_store.h"

enum {
	READ_AHEAD = 16, /* leaves asked for at once when the next is not in memory */
	RECORDS_AHEAD =
		8, /* entries whose records are asked of memory before they are shown */
};

struct btree_cursor {
	struct kv_cursor base;
	struct btree_store *store;
	struct kv_snapshot *snap;       /* this has a reference to it */
	struct btree_path path;         /* released: outside */
	const struct btree_node *ahead; /* the leaf after the path's: a hint, or NULL */
	struct kv_buf large;
	uint8_t key[BTREE_KEY_MAX];
};

static struct btree_cursor *cursor_of(struct kv_cursor *c)
{
	return container_of(c, struct btree_cursor, base);
}

static const struct btree_node *leaf_of(const struct btree_cursor *c)
{
	return btree_path_node(&c->store->tree, &c->path, 0);
}

static int leave_path(struct btree_cursor *c, int error)
{
	btree_path_release(&c->store->tree, &c->path);
	c->base.key = c->base.value = kv_slice(NULL, 0);
	return error;
}

/* Shows the entry that the path stands on. */
static int show(struct btree_cursor *c)
{
	struct btree_tree *t = &c->store->tree;
	const struct btree_node *leaf = leaf_of(c);
	unsigned int i = c->path.index[0], flags;
	struct btree_overflow large;
	struct kv_slice value;
	size_t key_bytes;
	int error;

	value = btree_node_show(leaf, t->shape, i, c->key, &key_bytes, &flags);
	c->base.key = kv_slice(c->key, key_bytes);
	if (flags & BTREE_SLOT_OVERFLOW) {
		large = btree_value_ref(value);
		error = btree_value_read(t, &large, &c->large, NULL);
		if (error)
			return leave_path(c, error);
		value = kv_slice(c->large.data, c->large.len);
	}
	c->base.value = value;
	return 0;
}

/* Asks the memory for the record of the entry so many behind the path's. The leaf ahead is
 * not pinned, and may be no leaf any more: then the lines are asked for in vain. */
static void prefetch_ahead(const struct btree_cursor *c, unsigned int far)
{
	const struct btree_shape *shape = c->store->tree.shape;
	const struct btree_node *leaf = leaf_of(c);
	unsigned int i = c->path.index[0] + far;

	if (i < leaf->count) {
		btree_node_prefetch_record(leaf, shape, i);
	} else if (c->ahead) {
		port_optimistic_begin();
		btree_node_prefetch_record(c->ahead, shape, i - leaf->count);
		port_optimistic_end();
	}
}

/* The leaf after this one is asked of the memory, or of the disk with more behind it. */
static void look_ahead(struct btree_cursor *c)
{
	struct btree_tree *t = &c->store->tree;
	struct btree_child ahead[READ_AHEAD];
	const struct btree_node *parent;
	unsigned int i, n = 0;
	uint64_t version;

	c->ahead = NULL;
	if (c->path.levels < 2)
		return;
	parent = btree_path_node(t, &c->path, 1);
	i = c->path.index[1] + 1;
	if (i >= parent->count)
		return;
	ahead[0] = btree_node_child(parent, t->shape, i);
	if (btree_page_begin(t->pager, ahead[0].page, &version)) {
		c->ahead = btree_page(t->pager, ahead[0].page);
		btree_node_prefetch_slots(c->ahead, t->shape);
		return;
	}
	while (n < READ_AHEAD && i < parent->count)
		ahead[n++] = btree_node_child(parent, t->shape, i++);
	btree_page_fetch_many(t->pager, ahead, n);
}

/* From where the path stands to the first entry at or behind it. */
static int settle(struct btree_cursor *c)
{
	/* EXERCISE 3.5 begin: over the ends of leaves, also of empty ones
	 *|	return leave_path(c, -ENOENT);
	 */
	int error;

	while (c->path.index[0] >= leaf_of(c)->count) {
		error = btree_path_next(&c->store->tree, &c->path, NULL);
		if (error)
			return leave_path(c, error);
		look_ahead(c);
	}
	prefetch_ahead(c, RECORDS_AHEAD);
	return show(c);
	/* EXERCISE 3.5 end */
}

/* Where a walk forwards begins, nobody has asked for the first records yet. */
static int begin_walk(struct btree_cursor *c)
{
	unsigned int i;

	look_ahead(c);
	for (i = 0; i < RECORDS_AHEAD; i++)
		prefetch_ahead(c, i);
	return settle(c);
}

static int cursor_seek(struct kv_cursor *base, struct kv_slice key)
{
	/* EXERCISE 3.5 begin: let go of the old path; the first entry >= key
	 *|	return leave_path(cursor_of(base), -ENOENT);
	 */
	struct btree_cursor *c = cursor_of(base);
	int error;

	btree_path_release(&c->store->tree, &c->path);
	error = btree_path_find(&c->store->tree, &c->snap->version, key, &c->path, NULL,
				NULL);
	if (error)
		return leave_path(c, error);
	return begin_walk(c);
	/* EXERCISE 3.5 end */
}

static int cursor_next(struct kv_cursor *base)
{
	/* EXERCISE 3.5 begin: from outside the first, else one on
	 *|	return leave_path(cursor_of(base), -ENOENT);
	 */
	struct btree_cursor *c = cursor_of(base);
	int error;

	if (c->path.levels) {
		c->path.index[0]++;
		return settle(c);
	}
	error = btree_path_edge(&c->store->tree, &c->snap->version, false, &c->path,
				NULL);
	return error ? leave_path(c, error) : begin_walk(c);
	/* EXERCISE 3.5 end */
}

/* A step for the first of a leaf, and for what is not plain; what follows in the leaf goes
 * without being shown. */
static int cursor_next_many(struct kv_cursor *base, struct kv_block *b)
{
	struct btree_cursor *c = cursor_of(base);
	unsigned int i;
	int error;

	if (b->count >= b->limit)
		return 0;
	while (b->count < b->limit) {
		error = cursor_next(base);
		if (!error)
			error = kv_block_add(b, base->key, base->value);
		if (error)
			return error;
		i = c->path.index[0] + 1;
		c->path.index[0] =
			btree_node_pack(leaf_of(c), c->store->tree.shape, i, b) - 1;
		for (i = 1; i <= RECORDS_AHEAD && b->count < b->limit; i++)
			prefetch_ahead(c, i);
	}
	return show(c);
}

static int cursor_prev(struct kv_cursor *base)
{
	/* EXERCISE 3.5 begin: from outside the last, else one back
	 *|	return leave_path(cursor_of(base), -ENOENT);
	 */
	struct btree_cursor *c = cursor_of(base);
	int error = 0;

	if (!c->path.levels)
		error = btree_path_edge(&c->store->tree, &c->snap->version, true,
					&c->path, NULL);
	while (!error && !c->path.index[0])
		error = btree_path_prev(&c->store->tree, &c->path, NULL);
	if (error)
		return leave_path(c, error);
	c->path.index[0]--;
	return show(c);
	/* EXERCISE 3.5 end */
}

static void cursor_close(struct kv_cursor *base)
{
	struct btree_cursor *c = cursor_of(base);
	struct btree_store *s = c->store;

	btree_path_release(&s->tree, &c->path);
	btree_snapshot_leave(s, c->snap);
	kv_buf_free(&c->large);
	port_free(c);
}

int btree_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	static const struct kv_cursor_ops ops = {
		.seek = cursor_seek,
		.next = cursor_next,
		.prev = cursor_prev,
		.close = cursor_close,
		.next_many = cursor_next_many,
	};
	struct btree_store *s = btree_store(kv);
	struct btree_cursor *c = port_alloc(sizeof(*c));
	int error = 0;

	if (!c)
		return -ENOMEM;
	c->base = (struct kv_cursor){ .ops = &ops };
	c->store = s;
	c->path.levels = 0;
	c->ahead = NULL;
	c->large = (struct kv_buf){ 0 };
	c->snap = snap;
	if (snap)
		btree_snapshot_share(snap);
	else
		error = btree_snapshot_enter(s, &c->snap);
	if (error) {
		port_free(c);
		return error;
	}
	*out = &c->base;
	return 0;
}
