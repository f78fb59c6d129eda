/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_check.c - is this page a node? See btree_node.h.
 *
 * In an order in which each step may trust what those before have found: header, fences,
 * slots, then keys, then that no byte belongs to two records.
 */
#include "btree_node_internal.h"

enum {
	HEADER = -1, /* no entry */
	WINDOW_BYTES = 4096,
	WINDOW_WORDS = WINDOW_BYTES / 64,
};

/* Every -EBADMSG of a node comes from here. */
static int bad(const struct btree_node *n, int entry, const char *what,
	       struct kv_msg *why)
{
	if (entry == HEADER)
		return kv_fail(why, -EBADMSG, "page %u is no sound node: %s",
			       n->page.page, what);
	return kv_fail(why, -EBADMSG, "page %u is no sound node: entry %d: %s",
		       n->page.page, entry, what);
}

static int check_header(const struct btree_node *n, const struct btree_shape *shape,
			struct kv_msg *why)
{
	if (n->page.kind != BTREE_PAGE_NODE)
		return bad(n, HEADER, "it is a page of another kind", why);
	if (!n->cap || n->cap % BTREE_CAP_STEP || n->count > n->cap)
		return bad(n, HEADER, "more entries than room for them", why);
	if (n->unbounded > 1 || (n->unbounded && n->upper_bytes))
		return bad(n, HEADER, "an upper fence where there is to be none", why);
	if (n->lower_bytes > BTREE_KEY_MAX || n->upper_bytes > BTREE_KEY_MAX)
		return bad(n, HEADER, "a fence is longer than a key", why);
	if (n->heap > node_floor(n, shape) ||
	    BTREE_NODE_HEADER + (uint32_t)n->cap * BTREE_ENTRY_FIXED > n->heap)
		return bad(n, HEADER, "slots and records overlap", why);
	if (n->page.level && !n->count)
		return bad(n, HEADER, "an inner node without a child", why);
	return 0;
}

static int check_fences(const struct btree_node *n, const struct btree_shape *shape,
			struct kv_msg *why)
{
	const uint32_t upper_at = shape->page_bytes - n->upper_bytes;
	const uint32_t lower_at = upper_at - n->lower_bytes;
	const uint8_t *lower = node_base(n) + lower_at, *upper = node_base(n) + upper_at;
	const size_t common = bytes_common(lower, n->lower_bytes, upper, n->upper_bytes);
	uint8_t start[BTREE_PREFIX_START] = { 0 };

	if (n->upper_at != (n->upper_bytes ? upper_at : 0) ||
	    n->lower_at != (n->lower_bytes ? lower_at : 0))
		return bad(n, HEADER, "the fences are not at the page's end", why);
	if (!n->unbounded && common == n->upper_bytes)
		return bad(n, HEADER, "the upper fence is not above the lower one", why);
	if (!n->unbounded && common < n->lower_bytes && lower[common] > upper[common])
		return bad(n, HEADER, "the upper fence is below the lower one", why);
	if (n->prefix_bytes != common)
		return bad(n, HEADER, "the prefix is not what the fences share", why);
	if (n->shared_bytes)
		return 0;
	memcpy(start, lower, common < sizeof(start) ? common : sizeof(start));
	if (memcmp(n->prefix_start, start, sizeof(start)) != 0)
		return bad(n, HEADER, "the prefix's beginning is not that of the fence",
			   why);
	return 0;
}

static int check_shared(const struct btree_node *n, struct kv_msg *why)
{
	unsigned int i;

	if (n->shared_bytes > (n->prefix_bytes ? 0 : BTREE_PREFIX_START))
		return bad(n, HEADER, "keys share more than there is room for", why);
	for (i = n->shared_bytes; n->shared_bytes && i < BTREE_PREFIX_START; i++)
		if (n->prefix_start[i])
			return bad(n, HEADER, "something stands behind what keys share",
				   why);
	return 0;
}

static int check_slot(const struct btree_node *n, const struct btree_shape *shape,
		      unsigned int i, struct kv_msg *why)
{
	const struct btree_slot *s = &node_slots(n)[i];
	const uint32_t floor = node_floor(n, shape);
	const uint32_t bytes = slot_bytes(s, n->page.level);
	const bool overflow = !n->page.level && s->flags == BTREE_SLOT_OVERFLOW;

	if (bytes ? s->at < n->heap || s->at > floor || bytes > floor - s->at
		  : s->at != 0)
		return bad(n, (int)i, "its record is not among the records", why);
	if (n->prefix_bytes + s->key_bytes > BTREE_KEY_MAX)
		return bad(n, (int)i, "its key is too long", why);
	if (n->page.level && !s->child)
		return bad(n, (int)i, "it leads to no child", why);
	if (overflow ? s->value_bytes != sizeof(struct btree_overflow)
		     : !n->page.level && s->flags)
		return bad(n, (int)i, "its value is of no known kind", why);
	if (n->page.level && !i && s->key_bytes)
		return bad(n, (int)i, "the first child has a key", why);
	if ((!n->page.level || i) &&
	    (s->key_bytes < n->shared_bytes ||
	     memcmp(node_base(n) + s->at, n->prefix_start, n->shared_bytes) != 0))
		return bad(n, (int)i, "its key does not begin as all do", why);
	if (node_heads(n)[i] !=
	    suffix_head(node_base(n) + s->at, s->key_bytes, n->shared_bytes))
		return bad(n, (int)i, "its head is not that of its key", why);
	return 0;
}

/* Suffixes, with what all share left out. */
static int compare_suffix(struct kv_slice a, struct kv_slice b)
{
	int c = bytes_compare(a.data, b.data, a.len < b.len ? a.len : b.len);

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static struct kv_slice suffix(const struct btree_node *n, unsigned int i)
{
	const struct btree_slot *s = &node_slots(n)[i];

	return kv_slice(node_base(n) + s->at, s->key_bytes);
}

static struct kv_slice fence_suffix(const struct btree_node *n, uint32_t at,
				    uint32_t bytes)
{
	return kv_slice(node_base(n) + at + n->prefix_bytes, bytes - n->prefix_bytes);
}

/* Fences are compared with the first and the last key alone: the others lie between. */
static int check_order(const struct btree_node *n, struct kv_msg *why)
{
	const unsigned int first = n->page.level ? 1 : 0; /* with a key of its own */
	const struct kv_slice lower = fence_suffix(n, n->lower_at, n->lower_bytes);
	unsigned int i;
	int c;

	for (i = first + 1; i < n->count; i++)
		if (compare_suffix(suffix(n, i - 1), suffix(n, i)) >= 0)
			return bad(n, (int)i, "its key is not above the one before", why);
	if (n->count <= first)
		return 0;
	c = compare_suffix(suffix(n, first), lower);
	if (c < 0 || (!c && n->page.level))
		return bad(n, (int)first, "its key is not above the lower fence", why);
	if (!n->unbounded &&
	    compare_suffix(suffix(n, n->count - 1u),
			   fence_suffix(n, n->upper_at, n->upper_bytes)) >= 0)
		return bad(n, n->count - 1, "its key is not below the upper fence", why);
	return 0;
}

/* Marks [at, at + bytes) as far as it is in the window; false: some of it was marked. */
static bool mark(uint64_t *bit, uint32_t window, uint32_t at, uint32_t bytes)
{
	uint32_t end = at + bytes, last = window + WINDOW_BYTES;

	at = at > window ? at - window : 0;
	end = end < last ? end : last;
	end = end > window ? end - window : 0;
	while (at < end) {
		const uint32_t n = end - at < 64 - at % 64 ? end - at : 64 - at % 64;
		const uint64_t bits = (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1)
				      << at % 64;

		if (bit[at / 64] & bits)
			return false;
		bit[at / 64] |= bits;
		at += n;
	}
	return true;
}

/* A window of the page at a time, so that little memory is needed. */
static int check_overlaps(const struct btree_node *n, const struct btree_shape *shape,
			  struct kv_msg *why)
{
	const uint32_t floor = node_floor(n, shape);
	const struct btree_slot *slot = node_slots(n);
	uint64_t bit[WINDOW_WORDS];
	uint32_t window, live = 0;
	unsigned int i;

	for (i = 0; i < n->count; i++)
		live += slot_bytes(&slot[i], n->page.level);
	if (n->dead > floor - n->heap || live != floor - n->heap - n->dead)
		return bad(n, HEADER, "live and dead bytes are not all bytes", why);
	for (window = 0; window < shape->page_bytes; window += WINDOW_BYTES) {
		memset(bit, 0, sizeof(bit));
		for (i = 0; i < n->count; i++)
			if (!mark(bit, window, slot[i].at,
				  slot_bytes(&slot[i], n->page.level)))
				return bad(n, (int)i, "its record overlaps another", why);
	}
	return 0;
}

int btree_node_check(const struct btree_node *n, const struct btree_shape *shape,
		     struct kv_msg *why)
{
	unsigned int i;
	int error = check_header(n, shape, why);

	if (!error)
		error = check_fences(n, shape, why);
	if (!error)
		error = check_shared(n, why);
	for (i = 0; !error && i < n->count; i++)
		error = check_slot(n, shape, i, why);
	if (!error)
		error = check_order(n, why);
	return error ? error : check_overlaps(n, shape, why);
}
