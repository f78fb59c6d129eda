/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_core.c - the tree as such: looking up, paths, copying what is frozen.
 *
 * A look-up holds no lock and no pin. It notes the version of a page before it reads it,
 * and checks the parent's once it has the child's, so that at every moment one page is known
 * to have belonged to the tree ("Optimistic Lock Coupling", Leis et al. 2019). What it reads
 * meanwhile may be nonsense; btree_node.h's optimistic functions bear that.
 */
#include "btree_store.h"

/* Look-ups that found a page changed or gone, before one does it otherwise. */
enum { LOOKUPS = 100 };

/* ---- the tree's life ---- */

int btree_tree_init(struct btree_tree *t, struct btree_pager *p, struct env *env,
		    uint32_t overflow_bytes)
{
	memset(t, 0, sizeof(*t));
	t->pager = p;
	t->shape = &p->shape;
	t->env = env;
	t->overflow_bytes = overflow_bytes;
	t->entry_bytes = (uint32_t)btree_entry_max(&p->shape);
	t->split = port_alloc(BTREE_LEVELS_MAX * sizeof(*t->split));
	t->scratch = port_alloc_aligned(64, 3 * (size_t)p->shape.page_bytes);
	if (t->split && t->scratch)
		return 0;
	btree_tree_free(t);
	return -ENOMEM;
}

void btree_tree_free(struct btree_tree *t)
{
	port_free(t->split);
	port_free_aligned(t->scratch);
	port_free(t->made.ref);
	port_free(t->freed.ref);
	memset(t, 0, sizeof(*t));
}

static uint64_t root_word(const struct btree_version *v)
{
	return (uint64_t)v->levels << 32 | v->root;
}

static uint32_t word_page(uint64_t root)
{
	return (uint32_t)root;
}

static unsigned int word_levels(uint64_t root)
{
	return (unsigned int)(root >> 32);
}

int btree_tree_create(struct btree_tree *t)
{
	static const struct kv_slice everything = { NULL, 0 };
	int error = btree_pages_reserve(t->pager, 1, 0, false);

	if (error)
		return error;
	t->generation = 1;
	t->tip = (struct btree_version){ .levels = 1, .generation = 1 };
	t->tip.root = btree_page_new(t->pager, t->generation);
	btree_node_init(btree_page(t->pager, t->tip.root), t->shape, 0, everything,
			everything);
	btree_page_unpin(t->pager, t->tip.root);
	port_store_release(&t->visible_root, root_word(&t->tip));
	return 0;
}

void btree_tree_open(struct btree_tree *t, const struct btree_super *super)
{
	t->tip = (struct btree_version){
		.root = super->root.page,
		.levels = super->levels,
		.keys = super->keys,
		.generation = super->generation,
		.position = super->log_position,
	};
	t->generation = super->generation;
	t->frozen = super->generation;
	t->opened_root_crc = super->root.crc;
	port_store_release(&t->visible_root, root_word(&t->tip));
}

void btree_tree_publish(struct btree_tree *t, const struct btree_version *v)
{
	port_write_begin(&t->writes);
	port_store_release(&t->visible_root, root_word(v));
	(void)port_fetch_add(&t->publications, (uint64_t)1);
	port_write_end(&t->writes);
}

/* ---- looking up ---- */

/* What brought a reader to a page, for when the page cannot be read: then it may be that the
 * page is gone from there, and nothing is wrong. */
struct descent {
	uint64_t root;         /* word; 0: of a kept version */
	uint32_t page, parent; /* parent BTREE_NO_PAGE: page is the root */
	unsigned int index;    /* of the parent's entry */
	uint64_t version, parent_version;
	uint64_t publications; /* before it began; unless of a kept version */
};

/* The visible tree is the one that the look-up began in, or of its in-place successors. */
static bool is_same_tree(const struct btree_tree *t, const struct descent *d)
{
	return !d->root || port_read_again(&t->publications) == d->publications;
}

static bool arrived(const struct btree_tree *t, const struct descent *d)
{
	/* EXERCISE 3.8 begin: what led to the page still does
	 *|	return false;
	 */
	if (d->parent != BTREE_NO_PAGE)
		return btree_page_valid(t->pager, d->parent, d->parent_version);
	return !d->root || port_load_acquire(&t->visible_root) == d->root;
	/* EXERCISE 3.8 end */
}

/* The page is locked or not in memory. -EAGAIN: begin the look-up anew. */
static int bring(struct btree_tree *t, const struct descent *d, struct kv_msg *why)
{
	uint32_t crc = port_load_relaxed(&t->opened_root_crc);
	int error;

	if (d->parent != BTREE_NO_PAGE)
		crc = btree_node_child(btree_page(t->pager, d->parent), t->shape,
				       d->index)
			      .crc;
	if (!arrived(t, d))
		return -EAGAIN;
	error = btree_page_fetch(t->pager, d->page, crc, why);
	return !error || !arrived(t, d) || !is_same_tree(t, d) ? -EAGAIN : error;
}

static bool leaf_holds(const struct btree_tree *t, const struct descent *d)
{
	return btree_page_valid(t->pager, d->page, d->version) && is_same_tree(t, d);
}

/* Down to the leaf where key belongs: d->page, at d->version. */
static int descend(struct btree_tree *t, uint64_t root, uint64_t publications, bool kept,
		   struct kv_slice key, struct descent *d, struct kv_msg *why)
{
	/* EXERCISE 3.8 begin: begin a page, look at what led to it once more, go on
	 *|	*d = (struct descent){ .page = BTREE_NO_PAGE };
	 *|	return -EAGAIN;
	 */
	unsigned int level = word_levels(root);

	*d = (struct descent){ .root = kept ? 0 : root,
			       .page = word_page(root),
			       .parent = BTREE_NO_PAGE,
			       .publications = publications };
	for (;;) {
		if (!btree_page_begin(t->pager, d->page, &d->version))
			return bring(t, d, why);
		if (!arrived(t, d))
			return -EAGAIN;
		if (--level == 0)
			return 0;
		d->parent = d->page;
		d->parent_version = d->version;
		d->page = btree_node_route(btree_page(t->pager, d->page), t->shape, key,
					   &d->index);
		/* Its state and its first lines are then on their way together. */
		btree_node_prefetch(btree_page(t->pager, d->page), t->shape);
	}
	/* EXERCISE 3.8 end */
}

/* The leaf is pinned meanwhile: a value may be larger than the memory for pages, and would
 * drive the leaf out, whose version says whether the value was still the key's. */
static int read_large(struct btree_tree *t, const struct descent *d,
		      const struct btree_overflow *o, struct kv_buf *value,
		      struct kv_msg *why)
{
	int error = btree_page_pin(t->pager, d->page, 0, why);

	if (error)
		return error;
	if (btree_page_valid(t->pager, d->page, d->version))
		error = btree_value_read(t, o, value, why);
	btree_page_unpin(t->pager, d->page);
	return error;
}

static int read_leaf(struct btree_tree *t, const struct descent *d, struct kv_slice key,
		     struct kv_buf *value, struct kv_msg *why)
{
	/* EXERCISE 3.8 begin: look, copy, and believe it only then
	 *|	return -EAGAIN;
	 */
	const struct btree_node *n = btree_page(t->pager, d->page);
	struct btree_overflow o;
	struct kv_slice v;
	unsigned int flags;
	int error = 0;

	if (!btree_node_find(n, t->shape, key, &v, &flags))
		return leaf_holds(t, d) ? -ENOENT : -EAGAIN;
	if (flags & BTREE_SLOT_OVERFLOW) {
		o = btree_value_ref(v);
		if (!btree_page_valid(t->pager, d->page, d->version))
			return -EAGAIN;
		error = read_large(t, d, &o, value, why);
	} else {
		error = kv_buf_set(value, v.data, v.len);
	}
	return leaf_holds(t, d) ? error : -EAGAIN;
	/* EXERCISE 3.8 end */
}

int btree_leaf_find(struct btree_tree *t, struct kv_slice key, uint32_t *page,
		    uint64_t *version, struct kv_msg *why)
{
	unsigned int tries = LOOKUPS;
	struct descent d;
	int error;

	do {
		error = descend(t, root_word(&t->tip), 0, true, key, &d, why);
	} while (error == -EAGAIN && --tries);
	*page = d.page;
	*version = d.version;
	return error;
}

/* For when memory is so short that what is read in drives out what led to it: the path is
 * pinned, in a version that is kept. */
static int get_pinned(struct btree_tree *t, const struct btree_version *version,
		      struct kv_slice key, struct kv_buf *value, struct kv_msg *why)
{
	struct btree_path path;
	struct btree_overflow o;
	struct kv_slice v;
	unsigned int flags;
	bool found;
	int error = btree_path_find(t, version, key, &path, &found, why);

	if (error)
		return error;
	if (!found) {
		error = -ENOENT;
		goto out;
	}
	v = btree_node_value(btree_path_node(t, &path, 0), t->shape, path.index[0],
			     &flags);
	if (flags & BTREE_SLOT_OVERFLOW) {
		o = btree_value_ref(v);
		error = btree_value_read(t, &o, value, why);
	} else {
		error = kv_buf_set(value, v.data, v.len);
	}
out:
	btree_path_release(t, &path);
	return error;
}

int btree_get(struct btree_tree *t, const struct btree_version *version,
	      struct kv_slice key, struct kv_buf *value, struct kv_msg *why)
{
	unsigned int tries = LOOKUPS;
	struct descent d;
	uint64_t root, publications;
	int error;

	do {
		publications = port_load_acquire(&t->publications);
		root = version ? root_word(version) : port_load_acquire(&t->visible_root);
		port_optimistic_begin();
		error = descend(t, root, publications, version, key, &d, why);
		if (!error)
			error = read_leaf(t, &d, key, value, why);
		port_optimistic_end();
	} while (error == -EAGAIN && --tries);
	if (error == -EAGAIN && version)
		error = get_pinned(t, version, key, value, why);
	if (error)
		value->len = 0;
	return error;
}

/* Of the newest state, held as a snapshot meanwhile. */
static int get_kept(struct btree_store *s, struct kv_slice key, struct kv_buf *value)
{
	struct kv_snapshot *own;
	int error = btree_snapshot_enter(s, &own);

	if (error)
		return error;
	error = btree_get(&s->tree, &own->version, key, value, NULL);
	btree_snapshot_leave(s, own);
	return error;
}

int btree_kv_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		 struct kv_buf *value)
{
	struct btree_store *s = btree_store(kv);
	int error = btree_get(&s->tree, snap ? &snap->version : NULL, key, value, NULL);

	return error == -EAGAIN ? get_kept(s, key, value) : error;
}

/* False: pages go as fast as they come, see btree_get(). */
static bool get_each(struct btree_tree *t, const struct btree_version *version, size_t n,
		     const struct kv_slice *key, struct kv_buf *value, int *error)
{
	size_t i;

	for (i = 0; i < n; i++) {
		error[i] = btree_get(t, version, key[i], &value[i], NULL);
		if (error[i] == -EAGAIN)
			return false;
	}
	return true;
}

/* One state for all of them: tried without a snapshot first, which holds if nothing was
 * written meanwhile. */
int btree_kv_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		       const struct kv_slice *key, struct kv_buf *value, int *error)
{
	struct btree_store *s = btree_store(kv);
	struct kv_snapshot *own;
	uint64_t writes;
	int error_all;

	if (snap) {
		(void)get_each(&s->tree, &snap->version, n, key, value, error);
		return 0;
	}
	writes = port_load_acquire(&s->tree.writes);
	if (!(writes & 1) && get_each(&s->tree, NULL, n, key, value, error) &&
	    port_read_again(&s->tree.writes) == writes)
		return 0;
	error_all = btree_snapshot_enter(s, &own);
	if (error_all)
		return error_all;
	(void)get_each(&s->tree, &own->version, n, key, value, error);
	btree_snapshot_leave(s, own);
	return 0;
}

/* ---- paths ---- */

void btree_path_release(struct btree_tree *t, struct btree_path *path)
{
	unsigned int level;

	for (level = 0; level < path->levels; level++)
		if (path->page[level] != BTREE_NO_PAGE)
			btree_page_unpin(t->pager, path->page[level]);
	path->levels = 0;
}

static void path_begin(struct btree_path *path, unsigned int levels)
{
	unsigned int level;

	path->levels = levels;
	for (level = 0; level < levels; level++)
		path->page[level] = BTREE_NO_PAGE;
}

static int path_pin(struct btree_tree *t, struct btree_path *path, unsigned int level,
		    struct btree_child child, struct kv_msg *why)
{
	int error = btree_page_pin(t->pager, child.page, child.crc, why);

	if (error)
		btree_path_release(t, path);
	else
		path->page[level] = child.page;
	return error;
}

static struct btree_child path_child(struct btree_tree *t, struct btree_path *path,
				     unsigned int level)
{
	return btree_node_child(btree_path_node(t, path, level), t->shape,
				path->index[level]);
}

/* Pins the page where the path has come to at level. What CRC it should have stands in the
 * parent's record: that is looked at only when the page is to be read in. */
static int path_enter(struct btree_tree *t, struct btree_path *path, unsigned int level,
		      uint32_t page, struct kv_msg *why)
{
	struct btree_child child = { page, port_load_relaxed(&t->opened_root_crc) };

	if (btree_page_pin_resident(t->pager, page)) {
		path->page[level] = page;
		return 0;
	}
	if (level + 1 < path->levels)
		child = path_child(t, path, level + 1);
	return path_pin(t, path, level, child, why);
}

/* From the page at level, which is pinned, down to the first or last leaf below it. */
static int path_down(struct btree_tree *t, struct btree_path *path, unsigned int level,
		     bool last, struct kv_msg *why)
{
	int error;

	for (;; level--) {
		unsigned int count = btree_path_node(t, path, level)->count;

		path->index[level] = !last ? 0 : level ? count - 1 : count;
		if (!level)
			return 0;
		error = path_pin(t, path, level - 1, path_child(t, path, level), why);
		if (error)
			return error;
	}
}

int btree_path_edge(struct btree_tree *t, const struct btree_version *version, bool last,
		    struct btree_path *path, struct kv_msg *why)
{
	struct btree_child root = { version->root,
				    port_load_relaxed(&t->opened_root_crc) };
	int error;

	path_begin(path, version->levels);
	error = path_pin(t, path, version->levels - 1, root, why);
	return error ? error : path_down(t, path, version->levels - 1, last, why);
}

int btree_path_find(struct btree_tree *t, const struct btree_version *version,
		    struct kv_slice key, struct btree_path *path, bool *found,
		    struct kv_msg *why)
{
	const struct btree_node *n = NULL;
	unsigned int level = version->levels;
	uint32_t page = version->root;
	bool equal;
	int error;

	path_begin(path, level);
	while (level--) {
		error = path_enter(t, path, level, page, why);
		if (error)
			return error;
		n = btree_path_node(t, path, level);
		if (!level)
			break;
		page = btree_node_route(n, t->shape, key, &path->index[level]);
		btree_node_prefetch(btree_page(t->pager, page), t->shape);
	}
	path->index[0] = btree_node_lower_bound(n, t->shape, key, &equal);
	if (found)
		*found = equal;
	return 0;
}

/* Lets go of the pages below level and goes down by the entry that index[level] says. */
static int path_turn(struct btree_tree *t, struct btree_path *path, unsigned int level,
		     bool last, struct kv_msg *why)
{
	/* EXERCISE 3.5 begin: let go of what is below, then down
	 *|	btree_path_release(t, path);
	 *|	return -ENOENT;
	 */
	unsigned int below;
	int error;

	for (below = 0; below < level; below++) {
		btree_page_unpin(t->pager, path->page[below]);
		path->page[below] = BTREE_NO_PAGE;
	}
	error = path_pin(t, path, level - 1, path_child(t, path, level), why);
	return error ? error : path_down(t, path, level - 1, last, why);
	/* EXERCISE 3.5 end */
}

int btree_path_next(struct btree_tree *t, struct btree_path *path, struct kv_msg *why)
{
	/* EXERCISE 3.5 begin: up to where there is an entry to the right, then down
	 *|	btree_path_release(t, path);
	 *|	return -ENOENT;
	 */
	unsigned int level;

	for (level = 1; level < path->levels; level++) {
		if (path->index[level] + 1u < btree_path_node(t, path, level)->count) {
			path->index[level]++;
			return path_turn(t, path, level, false, why);
		}
	}
	btree_path_release(t, path);
	return -ENOENT;
	/* EXERCISE 3.5 end */
}

int btree_path_prev(struct btree_tree *t, struct btree_path *path, struct kv_msg *why)
{
	/* EXERCISE 3.5 begin: up to where there is an entry to the left, then down
	 *|	btree_path_release(t, path);
	 *|	return -ENOENT;
	 */
	unsigned int level;

	for (level = 1; level < path->levels; level++) {
		if (path->index[level]) {
			path->index[level]--;
			return path_turn(t, path, level, true, why);
		}
	}
	btree_path_release(t, path);
	return -ENOENT;
	/* EXERCISE 3.5 end */
}

/* ---- the writer's pages ---- */

int btree_page_list_room(struct btree_page_list *l, size_t more)
{
	size_t cap = l->cap ? l->cap : 64;
	void *ref;

	if (l->cap - l->count >= more)
		return 0;
	while (cap - l->count < more)
		cap *= 2;
	ref = port_realloc(l->ref, l->cap * sizeof(*l->ref), cap * sizeof(*l->ref));
	if (!ref)
		return -ENOMEM;
	l->ref = ref;
	l->cap = cap;
	return 0;
}

uint32_t btree_tree_make(struct btree_tree *t)
{
	uint32_t page = btree_page_new(t->pager, t->generation);

	if (t->private)
		t->made.ref[t->made.count++] =
			(struct btree_page_ref){ page, t->generation };
	return page;
}

void btree_tree_drop(struct btree_tree *t, uint32_t page, uint64_t birth)
{
	t->drops++;
	if (t->private)
		t->freed.ref[t->freed.count++] = (struct btree_page_ref){ page, birth };
	else
		btree_page_free(t->pager, page, birth, t->generation);
}

static void root_set(struct btree_tree *t, uint32_t page)
{
	t->tip.root = page;
	if (!t->private)
		port_store_release(&t->visible_root, root_word(&t->tip));
}

/* The parent at level + 1, or the tip's root, now leads to page. */
static void path_relink(struct btree_tree *t, struct btree_path *path, unsigned int level,
			uint32_t page)
{
	uint32_t parent;

	if (level + 1 == path->levels) {
		root_set(t, page);
		return;
	}
	parent = path->page[level + 1];
	btree_page_lock(t->pager, parent);
	btree_node_set_child(btree_page(t->pager, parent), t->shape,
			     path->index[level + 1], (struct btree_child){ page, 0 });
	btree_page_unlock(t->pager, parent, true);
}

uint32_t btree_page_copy(struct btree_tree *t, uint32_t page)
{
	const size_t header = sizeof(struct btree_page_header);
	struct btree_page_header *from = btree_page(t->pager, page), *to;
	uint32_t copy = btree_tree_make(t);

	to = btree_page(t->pager, copy);
	to->kind = from->kind;
	to->level = from->level;
	memcpy((char *)to + header, (char *)from + header, t->shape->page_bytes - header);
	t->copies++;
	return copy;
}

void btree_path_set_page(struct btree_tree *t, struct btree_path *path,
			 unsigned int level, uint32_t page)
{
	/* EXERCISE 3.6 begin: link the new page; then the old one goes */
	uint32_t old = path->page[level];
	uint64_t birth =
		((const struct btree_page_header *)btree_page(t->pager, old))->birth;

	path_relink(t, path, level, page);
	path->page[level] = page;
	btree_page_unpin(t->pager, old);
	btree_tree_drop(t, old, birth);
	/* EXERCISE 3.6 end */
}

void btree_path_copy(struct btree_tree *t, struct btree_path *path, unsigned int from)
{
	/* EXERCISE 3.6 begin: top down: what is frozen is copied */
	unsigned int level = path->levels;

	while (level-- > from)
		if (btree_path_node(t, path, level)->page.birth <= t->frozen)
			btree_path_set_page(t, path, level,
					    btree_page_copy(t, path->page[level]));
	/* EXERCISE 3.6 end */
}

void btree_path_grow(struct btree_tree *t, struct btree_path *path)
{
	static const struct kv_slice everything = { NULL, 0 };
	struct btree_child child = { t->tip.root, 0 };
	uint32_t page = btree_tree_make(t);
	struct btree_node *root = btree_page(t->pager, page);

	btree_node_init(root, t->shape, path->levels, everything, everything);
	btree_node_insert(root, t->shape, 0, everything, kv_slice(&child, sizeof(child)),
			  0);
	path->page[path->levels] = page;
	path->index[path->levels++] = 0;
	t->tip.levels++;
	root_set(t, page);
}

void btree_path_shrink(struct btree_tree *t, struct btree_path *path)
{
	unsigned int top = path->levels - 1;
	const struct btree_node *root = btree_path_node(t, path, top);
	uint32_t old = path->page[top];
	uint64_t birth = root->page.birth;
	struct btree_child child = btree_node_child(root, t->shape, 0);

	t->tip.levels--;
	path->levels--;
	port_store_relaxed(&t->opened_root_crc, child.crc);
	root_set(t, child.page);
	btree_page_unpin(t->pager, old);
	btree_tree_drop(t, old, birth);
}
