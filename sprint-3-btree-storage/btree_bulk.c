/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_bulk.c - loading sorted input.
 *
 * The tree is built from the left to the right and from the leaves up, each node once (Rosenberg
 * and Snyder, "Time- and Space-Optimality in B-Trees", 1981). A level keeps the entries of the
 * node that comes next, and half a node more, so that its last two nodes can share what is
 * left. A node is made when the key behind it is known: then both fences are, and with them
 * the prefix that its keys need not store. Leaves are written as soon as there are enough for
 * a large write, while the next are being made (btree_flush.c).
 */
#include "btree_store.h"

struct entry { /* waits in a level's bytes: its key, then its value */
	uint32_t at;
	uint16_t key_bytes, value_bytes, flags;
};

struct level {
	struct kv_buf bytes, entries;
	unsigned int n; /* entries that wait */
	/* The first `fits` of them make a node. Of `seen` it is known whether they do. */
	unsigned int fits, seen;
	size_t body;         /* bytes of keys and values of those seen */
	unsigned int cut;    /* so many is the most that fit; 0: not met yet */
	unsigned int behind; /* entries counted in rest */
	size_t rest;       /* about what the entries behind the cut take in their node */
	size_t cut_prefix; /* of the node before the cut */
	size_t lower_bytes;
	uint8_t lower[BTREE_KEY_MAX]; /* the fence of the next node */
};

struct builder {
	struct btree_tree *t;
	struct kv_msg *why;
	size_t limit;      /* bytes of a node */
	unsigned int most; /* entries of a node */
	struct btree_flush *flush;
	uint64_t keys;
	unsigned int levels; /* that have entries, or had */
	struct level *level[BTREE_LEVELS_MAX];
};

/* ---- entries that wait ---- */

static struct entry *entry(const struct level *l, unsigned int i)
{
	return (struct entry *)l->entries.data + i;
}

static struct kv_slice entry_key(const struct level *l, unsigned int i)
{
	const struct entry *e = entry(l, i);

	return kv_slice((const uint8_t *)l->bytes.data + e->at, e->key_bytes);
}

static struct kv_slice entry_value(const struct level *l, unsigned int i)
{
	const struct entry *e = entry(l, i);

	return kv_slice((const uint8_t *)l->bytes.data + e->at + e->key_bytes,
			e->value_bytes);
}

static size_t common(struct kv_slice a, struct kv_slice b)
{
	const uint8_t *x = a.data, *y = b.data;
	size_t n = a.len < b.len ? a.len : b.len, i = 0;

	while (i < n && x[i] == y[i])
		i++;
	return i;
}

static struct kv_slice lower_of(const struct level *l)
{
	return kv_slice(l->lower, l->lower_bytes);
}

/* ---- where a node ends ---- */

/* The fence between entries i - 1 and i: in a leaf the shortest that parts them, in an inner
 * node the separator that stands there. It lies in entry i's key. */
static struct kv_slice fence_before(const struct level *l, unsigned int level,
				    unsigned int i)
{
	struct kv_slice key = entry_key(l, i);

	if (!level)
		key.len = common(entry_key(l, i - 1), key) + 1;
	return key;
}

/* Fewer than these don't make a node. */
static unsigned int least(unsigned int level)
{
	return level ? 2 : 1;
}

/* Bytes of a node of n entries, from the first on; body: of their keys and values. The first
 * key of an inner node is not stored. */
static size_t node_bytes(const struct level *l, unsigned int level, unsigned int n,
			 size_t body, size_t lower, size_t upper, size_t prefix,
			 unsigned int first)
{
	unsigned int cap = (n + BTREE_CAP_STEP - 1) / BTREE_CAP_STEP * BTREE_CAP_STEP;
	size_t stored = body - n * prefix;

	if (level)
		stored -= entry(l, first)->key_bytes - prefix +
			  n * (sizeof(struct btree_child) - BTREE_CHILD_BYTES);
	return BTREE_NODE_HEADER + cap * (4 + sizeof(struct btree_slot)) + lower + upper +
	       stored;
}

/* Whether the first n entries make a node, the entry behind them being n. Mostly that can be
 * told without its fence and prefix: the one is no longer than a key, the other saves bytes. */
static bool closes(const struct builder *b, const struct level *l, unsigned int level,
		   unsigned int n)
{
	struct kv_slice upper;

	if (n <= least(level))
		return true;
	if (n > b->most)
		return false;
	if (node_bytes(l, level, n, l->body, l->lower_bytes, entry(l, n)->key_bytes, 0,
		       0) <= b->limit)
		return true;
	upper = fence_before(l, level, n);
	return node_bytes(l, level, n, l->body, l->lower_bytes, upper.len,
			  common(lower_of(l), upper), 0) <= b->limit;
}

/* Whether the entries from i on make the last node, which has no upper fence and no prefix.
 * It may be full: else two that are half empty would take its place. */
static bool closes_last(const struct builder *b, const struct level *l,
			unsigned int level, unsigned int i, size_t body)
{
	const struct btree_shape *shape = b->t->shape;
	size_t lower = i ? fence_before(l, level, i).len : l->lower_bytes;
	unsigned int n = l->n - i;

	if (n <= least(level))
		return true;
	return n <= shape->max_keys &&
	       node_bytes(l, level, n, body, lower, 0, 0, i) <= shape->page_bytes;
}

static size_t entry_bytes(const struct level *l, unsigned int i)
{
	return (size_t)entry(l, i)->key_bytes + entry(l, i)->value_bytes;
}

/* Brings what is known of the level up to its last entry. */
static void measure(const struct builder *b, struct level *l, unsigned int level)
{
	for (; !l->cut && l->seen < l->n; l->seen++) {
		if (l->seen && closes(b, l, level, l->seen)) {
			l->fits = l->seen;
		} else if (l->seen) {
			l->cut = l->behind = l->fits;
			l->cut_prefix =
				common(lower_of(l), fence_before(l, level, l->cut));
			l->rest = 0;
			break;
		}
		l->body += entry_bytes(l, l->seen);
	}
	for (; l->cut && l->behind < l->n; l->behind++)
		l->rest += btree_entry_bytes(entry_bytes(l, l->behind), 0) -
			   (l->cut_prefix < entry(l, l->behind)->key_bytes
				    ? l->cut_prefix
				    : entry(l, l->behind)->key_bytes);
}

/* ---- making nodes ---- */

static int add_entry(struct builder *b, unsigned int level, struct kv_slice key,
		     struct kv_slice value, unsigned int flags);

/* A page, which the caller unpins. */
static int make_page(struct builder *b, uint32_t *page)
{
	struct btree_tree *t = b->t;
	int error = btree_pages_reserve(t->pager, 1, 0, false);

	if (error) {
		(void)btree_pager_failure(t->pager, b->why);
		return error;
	}
	error = btree_page_list_room(&t->made, 1);
	if (!error)
		*page = btree_tree_make(t);
	return error;
}

static void drop_entries(struct level *l, unsigned int n)
{
	uint32_t from = n < l->n ? entry(l, n)->at : (uint32_t)l->bytes.len;
	unsigned int i;

	l->bytes.len -= from;
	memmove(l->bytes.data, (uint8_t *)l->bytes.data + from, l->bytes.len);
	l->n -= n;
	memmove(l->entries.data, entry(l, n), l->n * sizeof(struct entry));
	l->entries.len = l->n * sizeof(struct entry);
	for (i = 0; i < l->n; i++)
		entry(l, i)->at -= from;
	l->fits = l->seen = l->cut = l->behind = 0;
	l->body = l->rest = 0;
}

/* The first n entries become a node, which goes to the level above. last: no fence above it. */
static int make_node(struct builder *b, unsigned int level, unsigned int n, bool last)
{
	struct level *l = b->level[level];
	const struct btree_shape *shape = b->t->shape;
	struct btree_child child = { 0, 0 };
	struct kv_slice upper = { NULL, 0 };
	struct btree_node *node;
	unsigned int i;
	int error = make_page(b, &child.page);

	if (error)
		return error;
	if (!last)
		upper = fence_before(l, level, n);
	node = btree_page(b->t->pager, child.page);
	btree_node_init(node, shape, level, lower_of(l), upper);
	btree_node_fill_begin(node, n);
	for (i = 0; i < n; i++)
		btree_node_fill(node, entry_key(l, i), entry_value(l, i),
				entry(l, i)->flags);
	btree_node_fill_end(node);
	btree_page_unpin(b->t->pager, child.page);
	if (!level)
		error = btree_flush_add(b->flush, child.page);
	if (!error)
		error = add_entry(b, level + 1, lower_of(l),
				  kv_slice(&child, sizeof(child)), 0);
	if (upper.len)
		memcpy(l->lower, upper.data, upper.len);
	l->lower_bytes = upper.len;
	drop_entries(l, n);
	return error;
}

static int level_new(struct builder *b)
{
	struct level *l;

	if (b->levels == BTREE_LEVELS_MAX)
		return -EFBIG;
	l = port_alloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	memset(l, 0, sizeof(*l));
	b->level[b->levels++] = l;
	return kv_buf_reserve(&l->bytes, b->t->shape->page_bytes);
}

/* Enough behind the cut that no later node need be less than half full. */
static bool has_rest(const struct builder *b, const struct level *l, unsigned int level)
{
	const struct btree_shape *shape = b->t->shape;
	unsigned int behind = l->n - l->cut;

	return l->cut && behind >= least(level) &&
	       (l->rest >= shape->page_bytes / 2 || behind >= (shape->max_keys + 1) / 2);
}

static int add_entry(struct builder *b, unsigned int level, struct kv_slice key,
		     struct kv_slice value, unsigned int flags)
{
	struct level *l;
	struct entry e = {
		.key_bytes = (uint16_t)key.len,
		.value_bytes = (uint16_t)value.len,
		.flags = (uint16_t)flags,
	};
	uint8_t *at;
	int error = level < b->levels ? 0 : level_new(b);

	if (error)
		return error;
	l = b->level[level];
	e.at = (uint32_t)l->bytes.len;
	error = kv_buf_reserve(&l->bytes, l->bytes.len + key.len + value.len);
	if (!error)
		error = kv_buf_append(&l->entries, &e, sizeof(e));
	if (error)
		return error;
	at = (uint8_t *)l->bytes.data + e.at;
	if (key.len)
		memcpy(at, key.data, key.len);
	if (value.len)
		memcpy(at + key.len, value.data, value.len);
	l->bytes.len += key.len + value.len;
	l->n++;
	measure(b, l, level);
	return has_rest(b, l, level) ? make_node(b, level, l->cut, false) : 0;
}

/* How many entries the last but one node takes: half of the bytes; so many more that the last
 * node can do without a prefix; and no more than fit. */
static unsigned int share(const struct builder *b, const struct level *l,
			  unsigned int level)
{
	size_t all = 0, tail = 0, more;
	unsigned int i, n = 0;

	for (i = 0; i < l->n; i++)
		all += entry_bytes(l, i);
	for (i = l->n; i > least(level); i--, n++) {
		more = tail + entry_bytes(l, i - 1);
		if (n >= least(level) &&
		    (tail * 2 >= all || !closes_last(b, l, level, i - 1, more)))
			break;
		tail = more;
	}
	return l->cut && i > l->cut ? l->cut : i;
}

/* No more entries come to this level: what waits becomes its last nodes. */
static int end_level(struct builder *b, unsigned int level)
{
	struct level *l = b->level[level];
	size_t body;
	unsigned int i;
	int error = 0;

	while (!error && l->n) {
		measure(b, l, level);
		for (body = 0, i = 0; i < l->n; i++)
			body += entry_bytes(l, i);
		if (closes_last(b, l, level, 0, body))
			error = make_node(b, level, l->n, true);
		else
			error = make_node(b, level, share(b, l, level), false);
	}
	return error;
}

/* ---- the input ---- */

static int add_large(struct builder *b, struct kv_slice key, struct kv_slice value)
{
	struct btree_tree *t = b->t;
	uint32_t pages = btree_value_pages(t, value.len), i;
	struct btree_overflow large;
	int error = btree_pages_reserve(t->pager, 0, pages, false);

	if (error) {
		(void)btree_pager_failure(t->pager, b->why);
		return error;
	}
	error = btree_page_list_room(&t->made, pages);
	if (error)
		return error;
	large = btree_value_write(t, value);
	for (i = 0; !error && i < pages; i++)
		error = btree_flush_add(b->flush, large.page + i);
	if (error)
		return error;
	return add_entry(b, 0, key, kv_slice(&large, sizeof(large)), BTREE_SLOT_OVERFLOW);
}

static int add_pair(struct builder *b, struct kv_slice key, struct kv_slice value)
{
	const struct level *leaves = b->level[0];

	if (key.len > BTREE_KEY_MAX || value.len > KV_VALUE_MAX)
		return kv_fail(b->why, -EINVAL, "pair %llu is too large",
			       (unsigned long long)b->keys);
	if (b->levels && kv_compare(entry_key(leaves, leaves->n - 1), key) >= 0)
		return kv_fail(b->why, -EINVAL,
			       "the key of pair %llu is not above the one before it",
			       (unsigned long long)b->keys);
	b->keys++;
	if (btree_value_is_large(b->t, key.len, value.len))
		return add_large(b, key, value);
	return add_entry(b, 0, key, value, 0);
}

static int add_all(struct builder *b, const struct btree_bulk *bulk)
{
	struct kv_slice key, value;
	unsigned int level;
	int error;

	while (!(error = bulk->next(bulk->arg, &key, &value))) {
		error = add_pair(b, key, value);
		if (error)
			return error;
	}
	if (error != -ENOENT)
		return error;
	/* A level that gets one entry alone, and no more, is no level: that entry is the root. */
	for (level = 0; level < b->levels; level++) {
		if (level && level + 1 == b->levels && b->level[level]->n == 1)
			return 0;
		error = end_level(b, level);
		if (error)
			return error;
	}
	return 0;
}

/* ---- the whole ---- */

static int drop_page(void *arg, const struct btree_step *step)
{
	struct btree_tree *t = arg;
	int error = btree_page_list_room(&t->freed, 1);

	if (!error)
		btree_tree_drop(t, step->child.page, step->node->page.birth);
	return error;
}

int btree_bulk_build(struct btree_tree *t, const struct btree_bulk *bulk,
		     struct kv_msg *why)
{
	struct builder b = {
		.t = t,
		.why = why,
		.limit = (size_t)t->shape->page_bytes * bulk->fill_percent / 100,
		.most = t->shape->max_keys * bulk->fill_percent / 100,
	};
	const struct btree_version before = t->tip;
	struct btree_child root;
	unsigned int i;
	int error = btree_flush_begin(t->pager, &b.flush), flushed = 0;

	if (!error) {
		error = add_all(&b, bulk);
		flushed = btree_flush_end(b.flush, error ? NULL : why);
	}
	if (!error)
		error = flushed;
	if (!error && b.keys) {
		memcpy(&root, entry_value(b.level[b.levels - 1], 0).data, sizeof(root));
		t->tip.root = root.page;
		t->tip.levels = b.levels - 1;
		t->tip.keys = b.keys;
		error = btree_walk(t, &before, drop_page, t, why);
	}
	if (error)
		t->tip = before;
	for (i = 0; i < b.levels; i++) {
		kv_buf_free(&b.level[i]->bytes);
		kv_buf_free(&b.level[i]->entries);
		port_free(b.level[i]);
	}
	return error == -ENOMEM ? kv_fail(why, error, "no memory to load pairs") : error;
}

static int make_checkpoint(struct btree_tree *t, const struct btree_pager_config *c,
			   struct kv_msg *why)
{
	struct btree_super super = {
		.store_id = c->store_id,
		.generation = t->tip.generation,
		.keys = t->tip.keys,
		.root = { t->tip.root, 0 },
		.levels = t->tip.levels,
		.page_bytes = c->page_bytes,
	};
	struct btree_checkpoint *pages;
	int error = btree_checkpoint_begin(t->pager, &super, &pages);

	if (error)
		return kv_fail(why, error, "%s: no room for a checkpoint", c->path);
	error = btree_checkpoint_write(pages, 0, why);
	btree_checkpoint_end(pages, NULL, 0);
	return error;
}

int btree_file_make(const struct btree_pager_config *c, uint32_t max_keys,
		    uint32_t overflow_bytes, const struct btree_bulk *bulk,
		    struct kv_msg *why)
{
	struct btree_pager *pager;
	struct btree_tree *t = port_alloc_aligned(64, sizeof(*t));
	int error = -ENOMEM;

	if (!t)
		return kv_fail(why, error, "no memory to make %s", c->path);
	error = btree_pager_create(c, &pager, why);
	if (error)
		goto out_tree;
	pager->shape.max_keys = max_keys;
	error = btree_tree_init(t, pager, c->env, overflow_bytes);
	if (error) {
		error = kv_fail(why, error, "no memory to make %s", c->path);
		goto out_pager;
	}
	error = btree_tree_create(t);
	if (error) {
		(void)btree_pager_failure(pager, why);
	} else if (bulk) {
		btree_tree_begin_private(t);
		error = btree_bulk_build(t, bulk, why);
		btree_tree_end_private(t);
	}
	if (!error)
		error = make_checkpoint(t, c, why);
	btree_tree_free(t);
out_pager:
	btree_pager_close(pager);
out_tree:
	port_free_aligned(t);
	return error;
}

/* ---- into a store ---- */

/* What was made is in no checkpoint, and the tree that was before has been dropped: the new
 * root, which is pinned, becomes an empty leaf. */
static void unload(struct btree_store *s)
{
	static const struct kv_slice everything = { NULL, 0 };
	struct btree_tree *t = &s->tree;
	uint32_t root = t->tip.root;
	size_t i;

	btree_page_lock(t->pager, root);
	btree_node_init(btree_page(t->pager, root), t->shape, 0, everything, everything);
	btree_page_unlock(t->pager, root, true);
	t->tip.levels = 1;
	t->tip.keys = 0;
	for (i = 0; i < t->made.count; i++)
		if (t->made.ref[i].page != root)
			btree_page_free(t->pager, t->made.ref[i].page,
					t->made.ref[i].birth, t->generation);
	btree_snapshot_retire(s);
	s->visible = t->tip;
	btree_tree_publish(t, &s->visible);
}

/* Under write_lock. Nothing is published that is not durable. */
static int load(struct btree_store *s, const struct btree_bulk *bulk)
{
	struct btree_tree *t = &s->tree;
	struct btree_version before = t->tip;
	uint32_t root;
	int error;

	btree_tree_begin_private(t);
	error = btree_bulk_build(t, bulk, NULL);
	root = t->tip.root;
	if (!error && t->tip.keys)
		error = btree_page_pin(t->pager, root, 0, NULL);
	if (error || !t->tip.keys) {
		btree_tree_abort_private(t, &before);
		btree_keep_update(s);
		return error;
	}
	btree_tree_end_private(t);
	error = btree_checkpoint_publish(s, &t->tip);
	if (error)
		unload(s);
	btree_page_unpin(t->pager, root);
	return error;
}

int btree_bulk_load(struct kv *kv, unsigned int fill_percent, btree_next_fn *next,
		    void *arg)
{
	struct btree_store *s = btree_store(kv);
	const struct btree_bulk bulk = { next, arg, fill_percent };
	int error;

	if (fill_percent < 50 || fill_percent > 100)
		return -EINVAL;
	btree_work_take(s);
	port_mutex_lock(&s->write_lock);
	btree_snapshot_offer(s);
	if (s->stopped)
		error = -EROFS;
	else if (s->tree.tip.keys || s->pending)
		error = -EINVAL;
	else
		error = btree_keep_room(s);
	if (!error)
		error = load(s, &bulk);
	port_mutex_unlock(&s->write_lock);
	btree_work_give(s);
	return error;
}
