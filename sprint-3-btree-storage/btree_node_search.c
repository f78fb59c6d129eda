/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_search.c - reading a node, also while it changes: see btree_node.h.
 *
 * A search touches as little as it can: the header's line, which has the beginning of the
 * prefix too, the heads, and then one slot and one record. Every field is loaded once into a
 * view whose bounds are held against the page's size; what lies within these bounds may be
 * anything.
 */
#include "btree_node_internal.h"
#include "btree_search.h"

/* Header, heads and slots of 48 entries, which is a leaf of small pairs in 4 KiB. All these
 * lines come at once; asked for as the search gets to them, they would come one after the
 * other. */
enum {
	LINE_BYTES = 64,
	PREFETCH = BTREE_NODE_HEADER + 48 * BTREE_ENTRY_FIXED,
	PREFETCH_RECORD = 256, /* bytes of a record */
};

/* ---- searching ---- */

/* What is sought, behind the prefix; known: what heads have said of it. */
struct rest {
	const uint8_t *data;
	size_t len;
	size_t known;
};

/* Entry i's key against what is sought; heads are equal. */
static inline int compare_entry(const struct node_view *v, unsigned int i,
				const struct rest *r)
{
	const struct btree_slot s = node_view_slot(v, i);
	const size_t n = s.key_bytes < r->len ? s.key_bytes : r->len;
	const size_t known = n >= r->known ? r->known : 0;
	int c = bytes_compare(v->base + s.at + known, r->data + known, n - known);

	return c ? c : (s.key_bytes > r->len) - (s.key_bytes < r->len);
}

/* Among the entries from lo on whose head is h: the first that is not less. */
static unsigned int search_run(const struct node_view *v, unsigned int lo, uint32_t h,
			       const struct rest *r, bool *found)
{
	/* EXERCISE 3.2 begin: binary search among equal heads
	 *|	return lo;
	 */
	unsigned int hi = lo + 1;

	if (hi < v->count && port_load_relaxed(&v->head[hi]) == h)
		hi = h == UINT32_MAX ? v->count
				     : lo + btree_search_heads(v->head + lo,
							       v->count - lo, h + 1);
	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		int c = compare_entry(v, mid, r);

		if (!c) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
	/* EXERCISE 3.2 end */
}

/* The key is below all that share their beginning. Among them is not an inner node's entry 0,
 * which is below every key but the empty one. */
static unsigned int below_shared(const struct node_view *v, struct kv_slice key,
				 bool *found)
{
	if (!v->keyless || !v->count)
		return 0;
	*found = !key.len;
	return !*found;
}

static inline unsigned int view_lower_bound(const struct node_view *v,
					    struct kv_slice key, bool *found)
{
	/* EXERCISE 3.2 begin: what all keys begin with, then heads, then keys
	 *|	*found = false;
	 *|	return 0;
	 */
	const size_t lead = v->prefix_bytes + v->shared_bytes;
	const size_t common = key.len < lead ? key.len : lead;
	const uint8_t *k = key.len ? key.data : v->base; /* NULL has no neighbours */
	int c = bytes_compare(k, v->prefix, common);
	struct rest r;
	uint32_t h;
	unsigned int i;

	*found = false;
	/* Between valid fences the prefix is the key's; what is shared need not be: then the
	 * answer is an edge. */
	if (c > 0)
		return v->count;
	if (c < 0 || common < lead)
		return below_shared(v, key, found);
	r.data = k + v->prefix_bytes;
	r.len = key.len - v->prefix_bytes;
	r.known = v->shared_bytes + 4;
	h = head_of(k + lead, key.len - lead);
	i = btree_search_heads(v->head, v->count, h);
	if (i == v->count || port_load_relaxed(&v->head[i]) != h)
		return i;
	return search_run(v, i, h, &r, found);
	/* EXERCISE 3.2 end */
}

unsigned int btree_node_lower_bound(const struct btree_node *n,
				    const struct btree_shape *shape, struct kv_slice key,
				    bool *found)
{
	struct node_view v;

	node_view(&v, n, shape);
	return view_lower_bound(&v, key, found);
}

bool btree_node_find(const struct btree_node *n, const struct btree_shape *shape,
		     struct kv_slice key, struct kv_slice *value, unsigned int *flags)
{
	struct btree_slot s;
	struct node_view v;
	unsigned int i;
	bool found;

	node_view(&v, n, shape);
	i = view_lower_bound(&v, key, &found);
	if (!found || v.inner)
		return false;
	s = node_view_slot(&v, i);
	*value = kv_slice(v.base + s.at + s.key_bytes, s.value_bytes);
	*flags = s.flags;
	return true;
}

unsigned int btree_node_child_index(const struct btree_node *n,
				    const struct btree_shape *shape, struct kv_slice key)
{
	/* EXERCISE 3.2 begin: the last entry whose separator is <= key
	 *|	return 0;
	 */
	struct node_view v;
	unsigned int i;
	bool found;

	node_view(&v, n, shape);
	i = view_lower_bound(&v, key, &found);
	return i - (!found && i);
	/* EXERCISE 3.2 end */
}

uint32_t btree_node_route(const struct btree_node *n, const struct btree_shape *shape,
			  struct kv_slice key, unsigned int *index)
{
	struct node_view v;
	unsigned int i;
	bool found;

	node_view(&v, n, shape);
	i = view_lower_bound(&v, key, &found);
	i -= !found && i;
	*index = i;
	return i < v.count ? port_load_relaxed(&v.slot[i].child) : 0;
}

void btree_node_prefetch(const struct btree_node *n, const struct btree_shape *shape)
{
	const uint8_t *p = node_base(n);
	unsigned int i;

	(void)shape;
	for (i = 0; i < PREFETCH; i += LINE_BYTES)
		__builtin_prefetch(p + i);
}

/* How many entries there are is not known before the header has come: where slots may stand,
 * and the fences, which have the prefix. */
void btree_node_prefetch_slots(const struct btree_node *n,
			       const struct btree_shape *shape)
{
	btree_node_prefetch(n, shape);
	__builtin_prefetch(node_base(n) + shape->page_bytes - LINE_BYTES);
}

void btree_node_prefetch_record(const struct btree_node *n,
				const struct btree_shape *shape, unsigned int i)
{
	struct btree_slot s;
	struct node_view v;
	uint32_t at, end;

	node_view(&v, n, shape);
	if (i >= v.count)
		return;
	s = node_view_slot(&v, i);
	end = slot_bytes(&s, v.inner);
	end = s.at + (end < PREFETCH_RECORD ? end : PREFETCH_RECORD);
	for (at = s.at & ~(LINE_BYTES - 1u); at < end; at += LINE_BYTES)
		__builtin_prefetch(v.base + at);
}

/* ---- entries ---- */

struct kv_slice btree_node_value(const struct btree_node *n,
				 const struct btree_shape *shape, unsigned int i,
				 unsigned int *flags)
{
	struct btree_slot s = { .at = 0 };
	struct node_view v;

	node_view(&v, n, shape);
	if (i < v.count && !v.inner)
		s = node_view_slot(&v, i);
	*flags = s.flags;
	return kv_slice(v.base + s.at + s.key_bytes, s.value_bytes);
}

/* As memcpy, without a call: keys are short. The last bytes are copied twice rather than
 * one by one. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t i;

	if (n < 8) {
		for (i = 0; i < n; i++)
			to[i] = from[i];
		return;
	}
	for (i = 0; i + 8 <= n; i += 8)
		memcpy(to + i, from + i, 8);
	memcpy(to + n - 8, from + n - 8, 8);
}

struct kv_slice btree_node_show(const struct btree_node *n,
				const struct btree_shape *shape, unsigned int i,
				void *out, size_t *key_bytes, unsigned int *flags)
{
	struct btree_slot s = { .at = 0 };
	struct node_view v;
	size_t prefix, suffix;

	node_view(&v, n, shape);
	if (i < v.count && !v.inner)
		s = node_view_slot(&v, i);
	prefix = v.prefix_bytes < BTREE_KEY_MAX ? v.prefix_bytes : BTREE_KEY_MAX;
	suffix = s.key_bytes < BTREE_KEY_MAX - prefix ? s.key_bytes
						      : BTREE_KEY_MAX - prefix;
	copy_short(out, v.prefix, prefix);
	copy_short((uint8_t *)out + prefix, v.base + s.at, suffix);
	*key_bytes = prefix + suffix;
	*flags = s.flags;
	return kv_slice(v.base + s.at + s.key_bytes, s.value_bytes);
}

static inline void copy_value(uint8_t *to, const uint8_t *from, size_t n)
{
	if (n > LINE_BYTES)
		memcpy(to, from, n);
	else
		copy_short(to, from, n);
}

/* As kv_block_add(), but the key is put together where it is to lie. */
static inline void pack_entry(const struct node_view *v, const struct btree_slot *s,
			      uint8_t *to, size_t bytes)
{
	const struct kv_pair pair = { .key_len = v->prefix_bytes + s->key_bytes,
				      .value_len = s->value_bytes };
	const uint8_t *record = v->base + s->at;

	memset(to + bytes - 8, 0, 8);
	memcpy(to, &pair, sizeof(pair));
	to += sizeof(pair);
	copy_short(to, v->prefix, v->prefix_bytes);
	to += v->prefix_bytes;
	copy_short(to, record, s->key_bytes);
	copy_value(to + s->key_bytes, record + s->key_bytes, s->value_bytes);
}

unsigned int btree_node_pack(const struct btree_node *n, const struct btree_shape *shape,
			     unsigned int i, struct kv_block *b)
{
	struct node_view v;

	node_view(&v, n, shape);
	if (v.inner)
		return i;
	for (; i < v.count && b->count < b->limit; i++) {
		const struct btree_slot s = node_view_slot(&v, i);
		const size_t key_bytes = v.prefix_bytes + s.key_bytes;
		const size_t bytes = kv_pair_bytes(key_bytes, s.value_bytes);

		if (s.flags & BTREE_SLOT_OVERFLOW || key_bytes > BTREE_KEY_MAX ||
		    bytes > b->cap - b->len)
			break;
		pack_entry(&v, &s, b->data + b->len, bytes);
		b->len += bytes;
		b->count++;
	}
	return i;
}

struct btree_child btree_node_child(const struct btree_node *n,
				    const struct btree_shape *shape, unsigned int i)
{
	struct btree_child child = { .page = 0 };
	struct btree_slot s;
	struct node_view v;

	node_view(&v, n, shape);
	if (i >= v.count || !v.inner)
		return child;
	s = node_view_slot(&v, i);
	child.page = s.child;
	if (s.at)
		memcpy(&child.crc, v.base + s.at + s.key_bytes, sizeof(child.crc));
	return child;
}

static struct kv_slice fence(const struct btree_node *n, const struct btree_shape *shape,
			     unsigned int at, unsigned int bytes)
{
	if (at > shape->page_bytes || bytes > shape->page_bytes - at)
		at = bytes = 0;
	return kv_slice(node_base(n) + at, bytes);
}

struct kv_slice btree_node_lower(const struct btree_node *n,
				 const struct btree_shape *shape)
{
	return fence(n, shape, port_load_relaxed(&n->lower_at),
		     port_load_relaxed(&n->lower_bytes));
}

struct kv_slice btree_node_upper(const struct btree_node *n,
				 const struct btree_shape *shape)
{
	if (port_load_relaxed(&n->unbounded))
		return kv_slice(NULL, 0);
	return fence(n, shape, port_load_relaxed(&n->upper_at),
		     port_load_relaxed(&n->upper_bytes));
}

struct btree_key btree_node_key(const struct btree_node *n,
				const struct btree_shape *shape, unsigned int i)
{
	struct btree_slot s = { .at = 0 };
	struct node_view v;

	if (!i && port_load_relaxed(&n->page.level))
		return (struct btree_key){ .prefix = kv_slice(node_base(n), 0),
					   .suffix = btree_node_lower(n, shape) };
	node_view(&v, n, shape);
	if (i < v.count)
		s = node_view_slot(&v, i);
	return (struct btree_key){ .prefix = kv_slice(v.prefix, v.prefix_bytes),
				   .suffix = kv_slice(v.base + s.at, s.key_bytes) };
}

size_t btree_node_key_copy(const struct btree_node *n, const struct btree_shape *shape,
			   unsigned int i, void *out)
{
	const struct btree_key k = btree_node_key(n, shape, i);
	size_t prefix = k.prefix.len, suffix = k.suffix.len;

	/* Only a page that is no node any more has longer ones. */
	if (prefix > BTREE_KEY_MAX)
		prefix = BTREE_KEY_MAX;
	if (suffix > BTREE_KEY_MAX - prefix)
		suffix = BTREE_KEY_MAX - prefix;
	memcpy(out, k.prefix.data, prefix);
	memcpy((uint8_t *)out + prefix, k.suffix.data, suffix);
	return prefix + suffix;
}
