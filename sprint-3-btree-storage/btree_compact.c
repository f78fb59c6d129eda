/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_compact.c - moves pages to the front of the file, so that its end can be cut off.
 *
 * A checkpoint first, so that what it kept from being used is free. The pages that are in use
 * would then fit into so many numbers; what lies above is copied to the lowest that are free,
 * a few leaves at a time, in private mode, so that readers and writers come in between. The
 * next checkpoint cuts off what has become free. The copies of the inner nodes above a moved
 * leaf take room as well, and writers go on, so it is done again while there is much to gain.
 */
#include "btree_store.h"

enum {
	PASSES = 4,
	MEMORY_TRIES = 20,   /* of a portion */
	PORTION_LEAVES = 64, /* looked at before writers have their turn ... */
	PORTION_MOVED = 16,  /* ... or moved */
	SLACK_PAGES = 8,     /* free: not worth a pass ... */
	SLACK_SHIFT = 5,     /* ... nor is a 32nd of the file */
};

struct compaction {
	struct btree_store *s;
	uint32_t target; /* pages from here on are to move */
	uint64_t moved;
	struct btree_path path;
	struct kv_buf from, value;
	unsigned int portion; /* leaves moved in this one */
};

/* ---- one page, one value ---- */

static int begin_moving(struct compaction *c)
{
	struct btree_tree *t = &c->s->tree;
	int error;

	if (t->private)
		return 0;
	btree_snapshot_offer(c->s);
	error = btree_keep_room(c->s);
	if (!error)
		btree_tree_begin_private(t);
	return error;
}

/* The path's page at a level goes to the lowest free number. Those above it may be changed. */
static int move_page(struct compaction *c, unsigned int level)
{
	struct btree_tree *t = &c->s->tree;
	const size_t header = sizeof(struct btree_page_header);
	struct btree_page_header *from = btree_page(t->pager, c->path.page[level]), *to;
	uint32_t page;
	int error = btree_pages_reserve(t->pager, 0, 1, true);

	if (!error)
		error = btree_page_list_room(&t->made, 1);
	if (!error)
		error = btree_page_list_room(&t->freed, 1);
	if (error)
		return error;
	page = btree_run_new(t->pager, 1, t->generation);
	t->made.ref[t->made.count++] = (struct btree_page_ref){ page, t->generation };
	to = btree_page(t->pager, page);
	to->kind = from->kind;
	to->level = from->level;
	memcpy((char *)to + header, (char *)from + header, t->shape->page_bytes - header);
	btree_path_set_page(t, &c->path, level, page);
	c->moved++;
	return 0;
}

/* All of the path from a level up may then be changed; what of it lies too high has moved. */
static int move_path(struct compaction *c, unsigned int from)
{
	struct btree_tree *t = &c->s->tree;
	unsigned int level = c->path.levels;
	int error = begin_moving(c);

	while (!error && level-- > from)
		if (btree_path_node(t, &c->path, level)->page.birth <= t->frozen)
			error = move_page(c, level);
	return error;
}

/* Of a leaf that may be changed: the large value of entry i goes to other pages. */
static int move_value(struct compaction *c, unsigned int i, struct btree_overflow old)
{
	struct btree_tree *t = &c->s->tree;
	uint32_t pages = btree_value_pages(t, old.bytes);
	struct btree_overflow new;
	int error = btree_value_read(t, &old, &c->value, NULL);

	if (!error)
		error = btree_pages_reserve(t->pager, 0, pages, true);
	if (!error)
		error = btree_page_list_room(&t->made, pages);
	if (!error)
		error = btree_page_list_room(&t->freed, pages);
	if (error)
		return error;
	new = btree_value_write(t, kv_slice(c->value.data, c->value.len));
	btree_page_lock(t->pager, c->path.page[0]);
	(void)btree_node_set_value(btree_path_node(t, &c->path, 0), t->shape, i,
				   kv_slice(&new, sizeof(new)), BTREE_SLOT_OVERFLOW);
	btree_page_unlock(t->pager, c->path.page[0], true);
	btree_value_drop(t, &old);
	c->moved += pages;
	return 0;
}

/* ---- one leaf ---- */

static bool lies_high(const struct compaction *c, uint32_t page, uint32_t pages)
{
	return page + pages > c->target;
}

static int move_values(struct compaction *c)
{
	struct btree_tree *t = &c->s->tree;
	unsigned int i, flags, count = btree_path_node(t, &c->path, 0)->count;
	struct btree_overflow o;
	struct kv_slice value;
	int error = 0;

	for (i = 0; !error && i < count; i++) {
		value = btree_node_value(btree_path_node(t, &c->path, 0), t->shape, i,
					 &flags);
		if (!(flags & BTREE_SLOT_OVERFLOW))
			continue;
		o = btree_value_ref(value);
		if (!lies_high(c, o.page, btree_value_pages(t, o.bytes)))
			continue;
		error = move_path(c, 0);
		if (!error)
			error = move_value(c, i, o);
	}
	return error;
}

static int move_leaf(struct compaction *c)
{
	uint64_t before = c->moved;
	unsigned int level;
	int error = 0;

	for (level = 0; !error && level < c->path.levels; level++)
		if (lies_high(c, c->path.page[level], 1)) {
			error = move_path(c, level);
			break;
		}
	if (!error)
		error = move_values(c);
	c->portion += c->moved != before;
	return error;
}

/* ---- a portion ---- */

/* Where the next portion begins: at the leaf's upper fence. -ENOENT: it has none. */
static int note_place(struct compaction *c)
{
	struct btree_tree *t = &c->s->tree;
	struct kv_slice upper =
		btree_node_upper(btree_path_node(t, &c->path, 0), t->shape);

	return upper.data ? kv_buf_set(&c->from, upper.data, upper.len) : -ENOENT;
}

static int move_leaves(struct compaction *c)
{
	struct btree_tree *t = &c->s->tree;
	unsigned int leaves;
	int error = btree_path_find(t, &t->tip, kv_slice(c->from.data, c->from.len),
				    &c->path, NULL, NULL);

	c->portion = 0;
	for (leaves = 0; !error && leaves < PORTION_LEAVES && c->portion < PORTION_MOVED;
	     leaves++) {
		error = move_leaf(c);
		if (!error)
			error = note_place(c);
		if (!error)
			error = btree_path_next(t, &c->path, NULL);
	}
	btree_path_release(t, &c->path);
	return error;
}

/* Under write_lock. -ENOENT: that was the last. */
static int move_portion(struct compaction *c)
{
	struct btree_store *s = c->s;
	struct btree_version before = s->tree.tip;
	int error = s->stopped ? -EROFS : move_leaves(c), failed;

	if (!s->tree.private)
		return error;
	if (error && error != -ENOENT) {
		btree_tree_abort_private(&s->tree, &before);
		btree_keep_update(s);
		return error;
	}
	btree_tree_end_private(&s->tree);
	failed = btree_write_show(s, false);
	return failed ? failed : error;
}

/* ---- the whole ---- */

static uint32_t pages_of(const struct btree_store *s, uint64_t bytes)
{
	return (uint32_t)(bytes / s->tree.shape->page_bytes);
}

/* What nothing needs any more becomes free. It is done in parts. */
static void reclaim_all(struct btree_store *s, struct btree_pager_stats *p)
{
	const uint64_t *keep;
	uint64_t held;
	size_t n;

	btree_pager_stats(s->pager, p);
	do {
		held = p->held_bytes;
		port_mutex_lock(&s->write_lock);
		keep = btree_keep_list(s, &n);
		btree_pages_reclaim(s->pager, keep, n);
		port_mutex_unlock(&s->write_lock);
		btree_pager_stats(s->pager, p);
	} while (p->held_bytes < held);
}

/* Whether a pass is worth it. */
static bool aim(struct compaction *c)
{
	struct btree_pager_stats p;
	uint32_t pages, free;

	reclaim_all(c->s, &p);
	pages = pages_of(c->s, p.file_bytes);
	free = pages_of(c->s, p.free_bytes);
	c->target = pages - free;
	return free > SLACK_PAGES && free > pages >> SLACK_SHIFT;
}

/* Memory may be full of changed pages, which a checkpoint makes clean; writers, who are at it
 * as well, may fill it again. */
static int pass(struct compaction *c)
{
	unsigned int tries = 0;
	int error;

	c->from.len = 0;
	c->moved = 0;
	do {
		port_mutex_lock(&c->s->write_lock);
		error = move_portion(c);
		port_mutex_unlock(&c->s->write_lock);
		if (error != -ENOMEM)
			tries = 0;
		else if (btree_pager_is_full(c->s->pager) && ++tries < MEMORY_TRIES)
			error = btree_checkpoint_take(c->s, 0, false, NULL);
	} while (!error);
	return error == -ENOENT ? 0 : error;
}

int btree_compact(struct kv *kv)
{
	struct compaction c = { .s = btree_store(kv) };
	unsigned int passes = 0;
	int error;

	btree_work_take(c.s);
	do {
		c.moved = 0;
		error = btree_checkpoint_take(c.s, 0, true, NULL);
		if (!error && aim(&c))
			error = pass(&c);
	} while (!error && c.moved && ++passes < PASSES);
	/* Once what has moved is durable, the end is free; the next that is durable says so. */
	if (!error && passes)
		error = btree_checkpoint_take(c.s, 0, true, NULL);
	if (!error && passes)
		error = btree_checkpoint_take(c.s, 0, true, NULL);
	/* Nor are files for the log to come of use to one who wants space. */
	(void)log_keep_spares(c.s->log, BTREE_LOG_SPARES);
	btree_work_give(c.s);
	kv_buf_free(&c.from);
	kv_buf_free(&c.value);
	return error;
}
