/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_verify.c - reads and checks all of a store while it is in use.
 *
 * A snapshot is walked, so that what is checked stands still. Each page is read from the file
 * again; each node must be one, stand where its parent says, and have the keys that its
 * parent's separators allow; all pairs together must be as many as are counted. A page must
 * be reached once. What is in use and not reached at all is lost: that is looked at for the
 * one moment at which the snapshot was all there was.
 */
#include "btree_store.h"

enum {
	QUIET_NS = 50000, /* for a moment without a write that waits for its sync */
};

struct verification {
	struct btree_store *s;
	struct kv_msg *why;
	struct btree_version version;
	void *scratch; /* a page */
	struct kv_buf value;
	uint64_t *used, *reached; /* bits, one a page */
	uint32_t pages;
	uint64_t keys;
	bool all; /* that is in use is known to belong to version */
	struct btree_findings found;
};

static bool bit(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static void bit_set(uint64_t *bits, uint32_t i)
{
	bits[i / 64] |= (uint64_t)1 << i % 64;
}

/* The one place where verify finds the tree damaged. */
static int damaged(const struct verification *v, uint32_t page, const char *what)
{
	return kv_fail(v->why, -EBADMSG, "%s/TREE: page %u (offset %llu): %s", v->s->dir,
		       page, (unsigned long long)page * v->s->tree.shape->page_bytes,
		       what);
}

static int reach(struct verification *v, uint32_t page)
{
	if (page < BTREE_SUPER_PAGES || page >= v->pages)
		return damaged(v, page, "is led to, and there is no such page");
	if (bit(v->reached, page))
		return damaged(v, page, "is led to from two places");
	bit_set(v->reached, page);
	return 0;
}

/* ---- nodes ---- */

static bool same(struct kv_slice a, struct kv_slice b)
{
	return !a.data == !b.data && !kv_compare(a, b);
}

/* The fences are the separators on both sides, or the parent's own at its ends. */
static int check_fences(struct verification *v, const struct btree_step *step)
{
	const struct btree_shape *shape = v->s->tree.shape;
	struct kv_slice lower = btree_node_lower(step->node, shape),
			upper = btree_node_upper(step->node, shape), want;
	uint8_t key[BTREE_KEY_MAX];

	if (!step->parent)
		return lower.len || upper.data
			       ? damaged(v, step->child.page, "a root has fences")
			       : 0;
	if (step->index)
		want = kv_slice(
			key, btree_node_key_copy(step->parent, shape, step->index, key));
	else
		want = btree_node_lower(step->parent, shape);
	if (kv_compare(lower, want))
		return damaged(v, step->child.page,
			       "its lower fence is not its parent's separator");
	if (step->index + 1u < step->parent->count)
		want = kv_slice(key, btree_node_key_copy(step->parent, shape,
							 step->index + 1, key));
	else
		want = btree_node_upper(step->parent, shape);
	if (!same(upper, want))
		return damaged(v, step->child.page,
			       "its upper fence is not the separator behind it");
	return 0;
}

static int check_large(struct verification *v, uint32_t leaf, struct kv_slice value)
{
	struct btree_tree *t = &v->s->tree;
	struct btree_overflow o = btree_value_ref(value);
	uint32_t pages = btree_value_pages(t, o.bytes), i;
	int error = 0;

	if (!o.bytes || o.bytes > KV_VALUE_MAX)
		return damaged(v, leaf, "a large value has no right length");
	for (i = 0; !error && i < pages; i++) {
		error = reach(v, o.page + i);
		if (!error)
			error = btree_page_check_file(
				t->pager, (struct btree_child){ o.page + i, 0 },
				v->scratch, v->why);
	}
	if (!error)
		error = btree_value_read(t, &o, &v->value, v->why);
	v->found.overflow += pages;
	return error;
}

static int check_leaf(struct verification *v, const struct btree_step *step)
{
	const struct btree_shape *shape = v->s->tree.shape;
	unsigned int i, flags, count = step->node->count;
	struct kv_slice value;
	int error = 0;

	v->found.leaves++;
	v->keys += count;
	for (i = 0; !error && i < count; i++) {
		value = btree_node_value(step->node, shape, i, &flags);
		if (flags & BTREE_SLOT_OVERFLOW)
			error = check_large(v, step->child.page, value);
	}
	return error;
}

static int check_node(void *arg, const struct btree_step *step)
{
	struct verification *v = arg;
	const struct btree_node *n = step->node;
	struct btree_tree *t = &v->s->tree;
	int error = reach(v, step->child.page);

	if (!error)
		error = btree_page_check_file(t->pager, step->child, v->scratch, v->why);
	if (!error)
		error = btree_node_check(n, t->shape, v->why);
	if (error)
		return error;
	if (n->page.level != step->level)
		return damaged(v, step->child.page, "is of another level");
	if (n->page.birth > v->version.generation)
		return damaged(v, step->child.page, "is younger than what leads to it");
	v->found.used_bytes += btree_node_used(n, t->shape);
	error = check_fences(v, step);
	if (error || !step->level) {
		return error ? error : check_leaf(v, step);
	}
	v->found.inner++;
	return n->count ? 0 : damaged(v, step->child.page, "leads nowhere");
}

/* ---- the numbers in use ---- */

/* Under write_lock. */
static int note_used(struct verification *v)
{
	struct btree_pager *p = v->s->pager;
	size_t bytes;
	uint32_t i;

	v->pages = btree_pager_pages(p);
	bytes = ((size_t)v->pages / 64 + 1) * sizeof(uint64_t);
	v->used = port_alloc(bytes);
	v->reached = port_alloc(bytes);
	v->scratch = port_alloc_aligned(64, p->shape.page_bytes);
	if (!v->used || !v->reached || !v->scratch)
		return -ENOMEM;
	memset(v->used, 0, bytes);
	memset(v->reached, 0, bytes);
	for (i = BTREE_SUPER_PAGES; i < v->pages; i++)
		if (btree_page_in_use(p, i) && !btree_page_is_map(p, i))
			bit_set(v->used, i);
	return 0;
}

static bool is_quiet(const struct btree_store *s, const struct btree_version *version)
{
	return !s->pending && s->tree.tip.root == version->root &&
	       s->tree.tip.position == version->position;
}

/* Enters the snapshot if it is all of the tree just now; -EAGAIN. In a store that has stopped it
 * may never be: a write was not seen any more. */
static int begin_now(struct verification *v, struct kv_snapshot **snap)
{
	struct btree_store *s = v->s;
	int error = btree_snapshot_enter(s, snap);

	if (error)
		return error;
	port_mutex_lock(&s->write_lock);
	v->all = is_quiet(s, &(*snap)->version);
	v->version = (*snap)->version;
	error = v->all || s->stopped ? note_used(v) : -EAGAIN;
	port_mutex_unlock(&s->write_lock);
	if (error)
		btree_snapshot_leave(s, *snap);
	return error;
}

/* A snapshot, and what was in use when it was all of the tree. New writes wait for that moment:
 * among many that wait for their syncs there would be none. */
static int begin(struct verification *v, struct kv_snapshot **snap)
{
	struct btree_store *s = v->s;
	struct env *env = s->base.env;
	int error = begin_now(v, snap);

	if (error != -EAGAIN)
		return error;
	(void)port_fetch_add(&s->quiet_wanted, 1u);
	do {
		env->ops->sleep_ns(env, QUIET_NS);
		error = begin_now(v, snap);
	} while (error == -EAGAIN);
	(void)port_fetch_add(&s->quiet_wanted, -1u);
	return error;
}

static int check_lost(const struct verification *v)
{
	uint32_t i;

	for (i = BTREE_SUPER_PAGES; i < v->pages; i++) {
		if (bit(v->used, i) && !bit(v->reached, i))
			return damaged(v, i, "is in use, and nothing leads to it");
		if (bit(v->reached, i) && !bit(v->used, i))
			return damaged(v, i, "is led to, and counts as free");
	}
	return 0;
}

static int check_tree(struct verification *v)
{
	int error = btree_walk(&v->s->tree, &v->version, check_node, v, v->why);

	if (error)
		return error;
	if (v->keys != v->version.keys)
		return kv_fail(v->why, -EBADMSG, "%s: %llu pairs, where %llu are counted",
			       v->s->dir, (unsigned long long)v->keys,
			       (unsigned long long)v->version.keys);
	return v->all ? check_lost(v) : 0;
}

/* ---- the log ---- */

struct tail {
	uint64_t from; /* number of the first segment that replay needs */
	uint64_t next; /* to be scanned */
	bool found;
};

static int find_segment(void *arg, const struct log_segment *seg)
{
	struct tail *t = arg;

	if (seg->number < t->next || seg->number + seg->units <= t->from)
		return 0;
	t->found = true;
	t->next = seg->number;
	return 1;
}

static int check_record(void *arg, const struct log_record *r)
{
	struct verification *v = arg;

	return r->type == BTREE_LOG_WRITE
		       ? 0
		       : kv_fail(v->why, -EBADMSG,
				 "%s: the record at %llx of the log is not a write",
				 v->s->dir, (unsigned long long)r->position);
}

/* Who works gives segments up: so nobody else may meanwhile. */
static int check_log(struct verification *v)
{
	struct btree_store *s = v->s;
	struct tail t = { 0 };
	int error = 0;

	btree_work_take(s);
	t.from = port_load_relaxed(&s->checkpoint_position) /
		 s->option[BTREE_SEGMENT_BYTES];
	do {
		t.found = false;
		(void)log_segments(s->log, find_segment, &t);
		if (t.found)
			error = log_scan(s->log, t.next++, check_record, v, v->why);
	} while (!error && t.found);
	btree_work_give(s);
	return error;
}

int btree_verify(struct kv *kv, struct kv_msg *why)
{
	struct btree_store *s = btree_store(kv);
	struct verification v = { .s = s, .why = why };
	struct kv_snapshot *snap;
	int error = begin(&v, &snap);

	if (!error) {
		error = check_tree(&v);
		btree_snapshot_leave(s, snap);
	}
	if (!error)
		error = check_log(&v);
	if (!error) {
		port_mutex_lock(&s->write_lock);
		s->findings = v.found;
		port_mutex_unlock(&s->write_lock);
	}
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory to verify %s", s->dir);
	kv_buf_free(&v.value);
	port_free_aligned(v.scratch);
	port_free(v.used);
	port_free(v.reached);
	return error;
}
