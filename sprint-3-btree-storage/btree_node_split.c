/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_split.c - dealing entries out to nodes: split, merge, balance (btree_node.h).
 *
 * All three see one run of entries in order, of one node and a new entry or of two
 * neighbours, and cut it at some place, or nowhere. Where new fences are farther apart or
 * closer together than the old, prefixes shrink or grow, and so all records are made anew.
 *
 * A cut between leaves is named by the shortest string that parts them (Bayer and Unterauer,
 * "Prefix B-Trees", 1977), and near the middle the shortest one is looked for. Between inner
 * nodes only an entry's own separator will do: what lies below it is not known here.
 */
#include "btree_node_internal.h"

enum { NEAR = 8 }; /* of bytes, a share that the sides near the middle may differ by */

struct run {
	const struct btree_shape *shape;
	const struct btree_node *a, *b; /* b: the right neighbour, or NULL */
	struct kv_slice b_lower;        /* the separator between them */
	bool extra;                     /* a new entry, at extra_at, */
	bool replaces;                  /* in the place of the one there */
	unsigned int extra_at;
	struct kv_slice extra_key;
	size_t extra_value_bytes;
	unsigned int count; /* of all entries */
};

struct entry {
	struct btree_key key;
	struct kv_slice value; /* of the new entry no data, but the length */
	unsigned int flags;
	struct btree_child child; /* of an inner node, for a value */
};

static struct kv_slice run_lower(const struct run *r)
{
	return btree_node_lower(r->a, r->shape);
}

static struct kv_slice run_upper(const struct run *r)
{
	return btree_node_upper(r->b ? r->b : r->a, r->shape);
}

/* The node that has entry i, and *i in it; NULL: it is the new one. */
static const struct btree_node *run_node(const struct run *r, unsigned int *i)
{
	if (r->extra && *i == r->extra_at)
		return NULL;
	if (r->extra && !r->replaces && *i > r->extra_at)
		--*i;
	if (*i < r->a->count)
		return r->a;
	*i -= r->a->count;
	return r->b;
}

static struct entry run_entry(const struct run *r, unsigned int i)
{
	const struct btree_node *n = run_node(r, &i);
	const struct btree_slot *s;
	const uint8_t *base;
	struct entry e = { .flags = 0 };

	if (!n) {
		e.key.prefix = kv_slice(r->extra_key.data, 0);
		e.key.suffix = r->extra_key;
		e.value.len = r->extra_value_bytes;
		return e;
	}
	base = node_base(n);
	s = &node_slots(n)[i];
	if (n->page.level) {
		e.child = btree_node_child(n, r->shape, i);
	} else {
		e.value = kv_slice(base + s->at + s->key_bytes, s->value_bytes);
		e.flags = s->flags;
	}
	e.key.prefix = kv_slice(base + n->lower_at, n->prefix_bytes);
	e.key.suffix = kv_slice(base + s->at, s->key_bytes);
	if (n->page.level && !i) {
		e.key.prefix.len = 0;
		e.key.suffix = n == r->b ? r->b_lower
					 : kv_slice(base + n->lower_at, n->lower_bytes);
	}
	return e;
}

/* The entry with its whole key, head and slot left out. */
static size_t run_bytes(const struct run *r, unsigned int i)
{
	const struct btree_node *n = run_node(r, &i);
	const struct btree_slot *s;

	if (!n)
		return r->extra_key.len + r->extra_value_bytes;
	s = &node_slots(n)[i];
	if (n->page.level && !i)
		return (n == r->b ? r->b_lower.len : n->lower_bytes) + BTREE_CHILD_BYTES;
	return (size_t)n->prefix_bytes + slot_bytes(s, n->page.level);
}

static size_t run_total(const struct run *r)
{
	size_t total = 0;
	unsigned int i;

	for (i = 0; i < r->count; i++)
		total += run_bytes(r, i);
	return total;
}

/* ---- keys in two pieces ---- */

static size_t key_len(const struct btree_key *k)
{
	return k->prefix.len + k->suffix.len;
}

static uint8_t key_byte(const struct btree_key *k, size_t i)
{
	if (i < k->prefix.len)
		return ((const uint8_t *)k->prefix.data)[i];
	return ((const uint8_t *)k->suffix.data)[i - k->prefix.len];
}

static size_t key_common(const struct btree_key *a, const struct btree_key *b)
{
	const size_t an = key_len(a), bn = key_len(b), n = an < bn ? an : bn;
	size_t i = 0;

	if (a->prefix.data == b->prefix.data && a->prefix.len == b->prefix.len)
		i = a->prefix.len; /* of the same node */
	while (i < n && key_byte(a, i) == key_byte(b, i))
		i++;
	return i;
}

static size_t key_copy(const struct btree_key *k, size_t len, uint8_t *out)
{
	size_t prefix = len < k->prefix.len ? len : k->prefix.len;

	if (prefix)
		memcpy(out, k->prefix.data, prefix);
	if (len > prefix)
		memcpy(out + prefix, k->suffix.data, len - prefix);
	return len;
}

/* ---- where to cut ---- */

/* Before entry `at`. The separator is the beginning of that entry's key. */
struct cut {
	unsigned int at;
	size_t separator; /* bytes */
	size_t left;      /* bytes of the entries before it */
	size_t off; /* difference between both sides; what is measured says by_count */
};

static size_t cut_separator(const struct run *r, unsigned int at)
{
	/* EXERCISE 3.3 begin: as short as parts the entry before from this one
	 *|	return 1;
	 */
	const struct entry e = run_entry(r, at), before = run_entry(r, at - 1);

	if (r->a->page.level)
		return key_len(&e.key);
	return key_common(&before.key, &e.key) + 1;
	/* EXERCISE 3.3 end */
}

/* Bytes of a node with so many entries, given with their whole keys. */
static size_t built_bytes(const struct run *r, unsigned int count, size_t bytes,
			  size_t lower, size_t upper, size_t prefix)
{
	size_t keys = count;

	if (r->a->page.level) { /* the first key, which is the fence, is not stored */
		bytes -= lower;
		keys--;
	}
	return BTREE_NODE_HEADER + (size_t)node_cap_for(count) * BTREE_ENTRY_FIXED +
	       lower + upper + bytes - prefix * keys;
}

/* Whether both sides fit into their nodes. A new entry does not become the first of an inner
 * node: until it has come, keys between its separator and the next would be led astray. */
static bool cut_fits(const struct run *r, const struct cut *c, size_t total)
{
	const struct kv_slice lower = run_lower(r), upper = run_upper(r);
	const struct btree_key low = { .prefix = kv_slice(lower.data, 0),
				       .suffix = lower };
	const struct btree_key up = { .prefix = kv_slice(lower.data, 0),
				      .suffix = upper };
	const struct entry e = run_entry(r, c->at);
	const unsigned int half = (r->count + 1) / 2, right = r->count - c->at;
	/* Nodes of a time when more keys were allowed are parted wherever it can be. */
	const unsigned int most =
		r->shape->max_keys > half ? r->shape->max_keys : r->count;
	size_t below = key_common(&low, &e.key), above = 0;

	if (r->extra && r->extra_at == c->at && r->a->page.level)
		return false;
	if (upper.data)
		above = key_common(&up, &e.key);
	if (below > c->separator)
		below = c->separator;
	if (above > c->separator)
		above = c->separator;
	return c->at <= most && right <= most &&
	       built_bytes(r, c->at, c->left, lower.len, c->separator, below) <=
		       r->shape->page_bytes &&
	       built_bytes(r, right, total - c->left, c->separator, upper.len, above) <=
		       r->shape->page_bytes;
}

static bool cut_better(const struct cut *c, const struct cut *than, bool near)
{
	if (!than->at)
		return true;
	if (near && c->separator != than->separator)
		return c->separator < than->separator;
	return c->off < than->off;
}

/* The best of the cuts that fit: near the middle that with the shortest separator; or else,
 * wherever it is, that with the least difference between the sides. ->at 0: there is none. */
static struct cut best_cut(const struct run *r, bool by_count, bool near, size_t total)
{
	/* EXERCISE 3.3 begin: try every place, adding up the bytes on its left
	 *|	return (struct cut){ .at = 0 };
	 */
	const size_t both = by_count ? r->count : total + r->count * BTREE_ENTRY_FIXED;
	/* Entries are dealt out evenly: one may be odd. */
	const size_t most = !near ? SIZE_MAX : by_count ? 1 : both / NEAR;
	struct cut best = { .at = 0 }, c = { .left = 0 };

	for (c.at = 1; c.at < r->count; c.at++) {
		size_t left;

		c.left += run_bytes(r, c.at - 1);
		left = by_count ? c.at : c.left + c.at * BTREE_ENTRY_FIXED;
		c.off = 2 * left > both ? 2 * left - both : both - 2 * left;
		if (c.off > most || (!near && best.at && c.off >= best.off))
			continue;
		c.separator = cut_separator(r, c.at);
		if (cut_better(&c, &best, near) && cut_fits(r, &c, total))
			best = c;
	}
	return best;
	/* EXERCISE 3.3 end */
}

static struct cut middle_cut(const struct run *r, bool by_count, size_t total)
{
	const struct cut best = best_cut(r, by_count, true, total);

	return best.at ? best : best_cut(r, by_count, false, total);
}

/* As far right as the left side fits. */
static struct cut last_cut(const struct run *r, size_t total)
{
	/* EXERCISE 3.3 begin: from the end to the left, until both sides fit
	 *|	return (struct cut){ .at = 0 };
	 */
	struct cut c = { .at = r->count, .left = total };

	while (--c.at) {
		c.left -= run_bytes(r, c.at);
		c.separator = cut_separator(r, c.at);
		if (cut_fits(r, &c, total))
			break;
	}
	return c;
	/* EXERCISE 3.3 end */
}

static void cut_name(const struct run *r, const struct cut *c, struct btree_split *s)
{
	const struct entry e = run_entry(r, c->at);

	s->at = c->at;
	s->key_bytes = (unsigned int)key_copy(&e.key, c->separator, s->key);
}

/* ---- dealing out ---- */

/* Entry e becomes entry i, the ones behind it being there already. */
static void deal_entry(struct btree_node *n, const struct entry *e, unsigned int i,
		       bool first)
{
	const size_t prefix = e->key.prefix.len, cut = n->prefix_bytes;
	const struct kv_slice value =
		n->page.level ? kv_slice(&e->child, sizeof(e->child)) : e->value;
	struct btree_key k = e->key;

	if (first) {
		k = (struct btree_key){ .suffix = kv_slice(NULL, 0) };
	} else if (cut <= prefix) {
		k.prefix = kv_slice((const uint8_t *)k.prefix.data + cut, prefix - cut);
	} else {
		k.prefix.len = 0;
		k.suffix = kv_slice((const uint8_t *)k.suffix.data + (cut - prefix),
				    k.suffix.len - (cut - prefix));
	}
	node_slots(n)[i] = node_put_record(n, k, value, e->flags);
}

/* The same where the prefix has not become shorter: the record but for its beginning, which
 * has become prefix. */
static void deal_record(struct btree_node *n, const struct btree_node *from,
			struct btree_slot s, unsigned int i)
{
	const uint8_t *old = node_base(from) + s.at;
	uint32_t bytes;

	old += n->prefix_bytes - from->prefix_bytes;
	s.key_bytes = (uint16_t)(s.key_bytes - (n->prefix_bytes - from->prefix_bytes));
	bytes = slot_bytes(&s, n->page.level);
	n->heap -= bytes;
	s.at = bytes ? (uint16_t)n->heap : 0;
	memcpy(node_base(n) + n->heap, old, bytes);
	node_slots(n)[i] = s;
}

/* Entries [from, to) into a node that lies in none of the run's; backwards, so that their
 * records ascend as they do. */
static void deal(const struct run *r, unsigned int from, unsigned int to,
		 struct btree_node *n, struct kv_slice lower, struct kv_slice upper)
{
	const unsigned int level = r->a->page.level;
	unsigned int i = to;

	btree_node_init(n, r->shape, level, lower, upper);
	n->cap = (uint16_t)node_cap_for(to - from);
	n->count = (uint16_t)(to - from);
	while (i-- > from) {
		unsigned int at = i;
		const struct btree_node *source = run_node(r, &at);
		const bool keyless = level && (i == from || !at);

		if (source && source->prefix_bytes <= n->prefix_bytes && !keyless) {
			deal_record(n, source, node_slots(source)[at], i - from);
		} else {
			const struct entry e = run_entry(r, i);

			deal_entry(n, &e, i - from, level && i == from);
		}
	}
	node_make_heads(n);
}

/* ---- splitting ---- */

static bool entry_is(const struct btree_node *n, const struct btree_shape *shape,
		     unsigned int i, struct kv_slice key)
{
	const struct btree_key have = btree_node_key(n, shape, i);
	const struct btree_key want = { .prefix = kv_slice(key.data, 0), .suffix = key };

	return key_len(&have) == key.len && key_common(&have, &want) == key.len;
}

void btree_node_split_point(const struct btree_node *n, const struct btree_shape *shape,
			    unsigned int i, struct kv_slice key, size_t value_bytes,
			    bool append, struct btree_split *s)
{
	const bool replaces = i < n->count && entry_is(n, shape, i, key);
	const struct run r = { .shape = shape,
			       .a = n,
			       .extra = true,
			       .replaces = replaces,
			       .extra_at = i,
			       .extra_key = key,
			       .extra_value_bytes =
				       n->page.level ? BTREE_CHILD_BYTES : value_bytes,
			       .count = n->count + (replaces ? 0u : 1u) };
	const size_t total = run_total(&r);
	struct cut c;

	if (append && i == n->count)
		c = last_cut(&r, total);
	else
		c = middle_cut(&r, r.count > shape->max_keys, total);
	if (!c.at) { /* entries that are too large: the caller has broken the contract */
		c.at = r.count / 2;
		c.separator = cut_separator(&r, c.at);
	}
	cut_name(&r, &c, s);
	if (s->at > i && !replaces)
		s->at--;
}

void btree_node_split(struct btree_node *left, struct btree_node *right,
		      const struct btree_shape *shape, const struct btree_split *s,
		      void *scratch)
{
	/* EXERCISE 3.3 begin: deal out from a copy: the right side, then the left */
	const struct kv_slice separator = kv_slice(s->key, s->key_bytes);
	const struct run r = { .shape = shape, .a = scratch, .count = left->count };

	memcpy(scratch, left, shape->page_bytes);
	deal(&r, s->at, r.count, right, separator, run_upper(&r));
	deal(&r, 0, s->at, left, run_lower(&r), separator);
	/* EXERCISE 3.3 end */
}

/* ---- merging ---- */

bool btree_node_can_merge(const struct btree_node *left, const struct btree_node *right,
			  const struct btree_shape *shape)
{
	/* EXERCISE 3.4 begin: as one node: entries, bytes, the new prefix
	 *|	return false;
	 */
	const struct run r = { .shape = shape,
			       .a = left,
			       .b = right,
			       .b_lower = btree_node_lower(right, shape),
			       .count = left->count + right->count };
	const struct kv_slice lower = run_lower(&r), upper = run_upper(&r);
	size_t prefix = 0;

	if (r.count > shape->max_keys)
		return false;
	if (upper.data)
		prefix = bytes_common(lower.data, lower.len, upper.data, upper.len);
	return built_bytes(&r, r.count, run_total(&r), lower.len, upper.len, prefix) <=
	       shape->page_bytes;
	/* EXERCISE 3.4 end */
}

void btree_node_merge(struct btree_node *left, const struct btree_node *right,
		      const struct btree_shape *shape, struct kv_slice separator,
		      void *scratch)
{
	/* EXERCISE 3.4 begin: deal out both from copies into one */
	const struct run r = { .shape = shape,
			       .a = scratch,
			       .b = right,
			       .b_lower = separator,
			       .count = left->count + right->count };

	memcpy(scratch, left, shape->page_bytes);
	deal(&r, 0, r.count, left, run_lower(&r), run_upper(&r));
	/* EXERCISE 3.4 end */
}

/* What the left node has now, in the measure of cuts. */
static size_t weight_of_left(const struct run *r, bool by_count)
{
	size_t weight = r->a->count;
	unsigned int i;

	if (by_count)
		return weight;
	weight *= BTREE_ENTRY_FIXED;
	for (i = 0; i < r->a->count; i++)
		weight += run_bytes(r, i);
	return weight;
}

bool btree_node_balance(struct btree_node *left, struct btree_node *right,
			const struct btree_shape *shape, struct kv_slice separator,
			struct btree_split *s, void *scratch)
{
	/* EXERCISE 3.4 begin: the best cut of both, if better than what is
	 *|	return false;
	 */
	struct run r = { .shape = shape,
			 .a = left,
			 .b = right,
			 .b_lower = separator,
			 .count = left->count + right->count };
	const bool by_count = r.count > shape->max_keys;
	const size_t total = run_total(&r);
	const size_t both = by_count ? r.count : total + r.count * BTREE_ENTRY_FIXED;
	const size_t now = 2 * weight_of_left(&r, by_count);
	const struct cut c = best_cut(&r, by_count, false, total);

	/* The less the sides differ, the fuller is the emptier one. */
	if (!c.at || c.off >= (now > both ? now - both : both - now))
		return false;
	cut_name(&r, &c, s);
	r.a = scratch;
	r.b = (const struct btree_node *)(void *)((uint8_t *)scratch + shape->page_bytes);
	memcpy(scratch, left, shape->page_bytes);
	memcpy((uint8_t *)scratch + shape->page_bytes, right, shape->page_bytes);
	deal(&r, 0, c.at, left, run_lower(&r), kv_slice(s->key, s->key_bytes));
	deal(&r, c.at, r.count, right, kv_slice(s->key, s->key_bytes), run_upper(&r));
	return true;
	/* EXERCISE 3.4 end */
}
