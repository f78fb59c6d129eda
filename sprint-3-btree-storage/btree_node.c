/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node.c - making a node and changing its entries: see btree_node.h.
 *
 * Records grow down from the fences, heads and slots up from the header, until they meet.
 * What a removed or replaced record leaves is dead; when only dead bytes can make room, the
 * live records are pushed together.
 */
#include "btree_node_internal.h"

/* ---- making ---- */

/* At the lower end of the heap; where a record without bytes lies is 0. */
static uint32_t take_heap(struct btree_node *n, size_t bytes)
{
	if (!bytes)
		return 0;
	n->heap -= (uint32_t)bytes;
	return n->heap;
}

static uint16_t put_fence(struct btree_node *n, struct kv_slice fence)
{
	uint32_t at = take_heap(n, fence.len);

	if (fence.len)
		memcpy(node_base(n) + at, fence.data, fence.len);
	return (uint16_t)at;
}

void btree_node_init(struct btree_node *n, const struct btree_shape *shape,
		     unsigned int level, struct kv_slice lower, struct kv_slice upper)
{
	memset(node_base(n) + sizeof(n->page), 0, shape->page_bytes - sizeof(n->page));
	n->page.kind = BTREE_PAGE_NODE;
	n->page.level = (uint8_t)level;
	n->cap = BTREE_CAP_STEP;
	n->heap = shape->page_bytes;
	n->unbounded = !upper.data;
	n->upper_bytes = (uint16_t)upper.len;
	n->upper_at = put_fence(n, upper);
	n->lower_bytes = (uint16_t)lower.len;
	n->lower_at = put_fence(n, lower);
	if (n->unbounded || !lower.len)
		return;
	n->prefix_bytes =
		(uint16_t)bytes_common(lower.data, lower.len, upper.data, upper.len);
	memcpy(n->prefix_start, lower.data,
	       n->prefix_bytes < BTREE_PREFIX_START ? n->prefix_bytes
						    : BTREE_PREFIX_START);
}

/* ---- room ---- */

size_t btree_node_used(const struct btree_node *n, const struct btree_shape *shape)
{
	return BTREE_NODE_HEADER + (size_t)n->count * BTREE_ENTRY_FIXED +
	       (shape->page_bytes - n->heap - n->dead);
}

bool btree_node_underfull(const struct btree_node *n, const struct btree_shape *shape)
{
	const size_t fences = BTREE_NODE_HEADER + n->lower_bytes + n->upper_bytes;

	return (btree_node_used(n, shape) - fences) * 2 < shape->page_bytes - fences &&
	       n->count < shape->max_keys - shape->max_keys / 2;
}

/* A key without the prefix. */
static struct kv_slice suffix_of(const struct btree_node *n, struct kv_slice key)
{
	if (key.len <= n->prefix_bytes)
		return kv_slice(node_base(n), 0);
	return kv_slice((const uint8_t *)key.data + n->prefix_bytes,
			key.len - n->prefix_bytes);
}

/* Whether a record of so many bytes has room beside `count` entries when all is tidied. */
static bool has_room(const struct btree_node *n, const struct btree_shape *shape,
		     unsigned int count, size_t bytes)
{
	/* EXERCISE 3.1 begin: what is there, and the record, against the page
	 *|	return false;
	 */
	const size_t others = shape->page_bytes - n->heap - n->dead;
	const size_t fixed =
		BTREE_NODE_HEADER + (size_t)node_cap_for(count) * BTREE_ENTRY_FIXED;

	return fixed + others + bytes <= shape->page_bytes;
	/* EXERCISE 3.1 end */
}

bool btree_node_fits(const struct btree_node *n, const struct btree_shape *shape,
		     struct kv_slice key, size_t value_bytes)
{
	if (n->page.level)
		value_bytes = BTREE_CHILD_BYTES;
	return n->count < shape->max_keys &&
	       has_room(n, shape, n->count + 1u, suffix_of(n, key).len + value_bytes);
}

/* ---- heads ---- */

/* Entries from it on have keys of their own. */
static unsigned int first_keyed(const struct btree_node *n)
{
	return n->page.level ? 1 : 0;
}

static void set_shared(struct btree_node *n, const uint8_t *key, size_t bytes)
{
	if (bytes > BTREE_PREFIX_START)
		bytes = BTREE_PREFIX_START;
	memset(n->prefix_start, 0, sizeof(n->prefix_start));
	if (bytes)
		memcpy(n->prefix_start, key, bytes);
	n->shared_bytes = (uint8_t)bytes;
}

void node_make_heads(struct btree_node *n)
{
	const struct btree_slot *slot = node_slots(n), *first = slot + first_keyed(n);
	const struct btree_slot *end = slot + n->count;
	const uint8_t *base = node_base(n);
	uint32_t *head = node_heads(n);
	unsigned int i;

	/* What the first and the last share, those between share too. */
	if (!n->prefix_bytes && first < end)
		set_shared(n, base + first->at,
			   bytes_common(base + first->at, first->key_bytes,
					base + end[-1].at, end[-1].key_bytes));
	for (i = 0; i < n->count; i++)
		head[i] = suffix_head(base + slot[i].at, slot[i].key_bytes,
				      n->shared_bytes);
}

/* A key is about to come. If all that were there share more than they do with it, the heads
 * are made anew; that is at most as often as there are bytes to be shared. */
static void share_with(struct btree_node *n, const uint8_t *key, size_t bytes)
{
	const size_t common = bytes_common(n->prefix_start, n->shared_bytes, key, bytes);
	const struct btree_slot *slot = node_slots(n);
	unsigned int i;

	if (n->count <= first_keyed(n)) {
		set_shared(n, key, bytes);
		return;
	}
	if (common == n->shared_bytes)
		return;
	set_shared(n, key, common);
	for (i = 0; i < n->count; i++)
		node_heads(n)[i] = suffix_head(node_base(n) + slot[i].at,
					       slot[i].key_bytes, n->shared_bytes);
}

/* ---- room for entries ---- */

/* Heads and slots for so many; the room between slots and heap suffices. */
static void set_cap(struct btree_node *n, unsigned int cap)
{
	uint8_t *heads_end = node_base(n) + BTREE_NODE_HEADER + (size_t)cap * 4;

	memmove(heads_end, node_slots(n), n->count * sizeof(struct btree_slot));
	n->cap = (uint16_t)cap;
}

static int compare_downwards(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

/* Pushes the records together at the fences, the highest first, so that none is written
 * over before it has moved. Their order is made where the heads were: they can be had again
 * from the records. */
static void compact(struct btree_node *n, const struct btree_shape *shape,
		    unsigned int cap)
{
	/* EXERCISE 3.1 begin: the records side by side again, without losing one */
	struct btree_slot *slot = node_slots(n);
	uint32_t *head = node_heads(n);
	uint8_t *base = node_base(n);
	unsigned int i;

	for (i = 0; i < n->count; i++)
		head[i] = (uint32_t)slot[i].at << 16 | i;
	port_sort(head, n->count, sizeof(*head), compare_downwards);
	n->heap = node_floor(n, shape);
	n->dead = 0;
	for (i = 0; i < n->count; i++) {
		struct btree_slot *s = &slot[head[i] & 0xffff];
		uint32_t bytes = slot_bytes(s, n->page.level);
		uint32_t at = take_heap(n, bytes);

		memmove(base + at, base + s->at, bytes);
		s->at = (uint16_t)at;
	}
	set_cap(n, cap);
	node_make_heads(n);
	/* EXERCISE 3.1 end */
}

/* So many bytes between slots and heap, with `count` slots. */
static void make_room(struct btree_node *n, const struct btree_shape *shape,
		      unsigned int count, size_t bytes)
{
	unsigned int cap = count > n->cap ? node_cap_for(count) : n->cap;

	if (BTREE_NODE_HEADER + cap * BTREE_ENTRY_FIXED + bytes > n->heap)
		compact(n, shape, node_cap_for(count));
	else if (cap != n->cap)
		set_cap(n, cap);
}

static void free_record(struct btree_node *n, uint32_t at, uint32_t bytes)
{
	if (bytes && at == n->heap)
		n->heap += bytes;
	else
		n->dead += bytes;
}

/* ---- entries ---- */

struct btree_slot node_put_record(struct btree_node *n, struct btree_key suffix,
				  struct kv_slice value, unsigned int flags)
{
	const size_t key_bytes = suffix.prefix.len + suffix.suffix.len;
	struct btree_slot s = { .key_bytes = (uint16_t)key_bytes };
	uint8_t *p;

	if (n->page.level) {
		memcpy(&s.child, value.data, sizeof(s.child));
		value = kv_slice((const uint8_t *)value.data + sizeof(s.child),
				 BTREE_CHILD_BYTES);
	} else {
		s.value_bytes = (uint16_t)value.len;
		s.flags = (uint16_t)flags;
	}
	s.at = (uint16_t)take_heap(n, key_bytes + value.len);
	p = node_base(n) + s.at;
	if (suffix.prefix.len)
		memcpy(p, suffix.prefix.data, suffix.prefix.len);
	if (suffix.suffix.len)
		memcpy(p + suffix.prefix.len, suffix.suffix.data, suffix.suffix.len);
	if (value.len)
		memcpy(p + key_bytes, value.data, value.len);
	return s;
}

_Static_assert(offsetof(struct btree_child, page) == 0 &&
		       offsetof(struct btree_child, crc) == 4 &&
		       sizeof(struct btree_child) == 4 + BTREE_CHILD_BYTES,
	       "a child's page, then what its record has");

void btree_node_insert(struct btree_node *n, const struct btree_shape *shape,
		       unsigned int i, struct kv_slice key, struct kv_slice value,
		       unsigned int flags)
{
	/* EXERCISE 3.1 begin: room, the gap in heads and slots, the record */
	struct btree_key k = { .suffix = suffix_of(n, key) };
	const size_t behind = n->count - i;
	struct btree_slot *slot;
	uint32_t *head;

	if (n->page.level && !i)
		k.suffix.len = 0;
	make_room(n, shape, n->count + 1u,
		  k.suffix.len + (n->page.level ? BTREE_CHILD_BYTES : value.len));
	if (!n->prefix_bytes && (i || !n->page.level))
		share_with(n, k.suffix.data, k.suffix.len);
	head = node_heads(n) + i;
	slot = node_slots(n) + i;
	memmove(head + 1, head, behind * sizeof(*head));
	memmove(slot + 1, slot, behind * sizeof(*slot));
	*head = suffix_head(k.suffix.data, k.suffix.len, n->shared_bytes);
	*slot = node_put_record(n, k, value, flags);
	n->count++;
	/* EXERCISE 3.1 end */
}

void btree_node_fill_begin(struct btree_node *n, unsigned int count)
{
	n->cap = (uint16_t)node_cap_for(count);
}

void btree_node_fill(struct btree_node *n, struct kv_slice key, struct kv_slice value,
		     unsigned int flags)
{
	struct btree_key k = { .suffix = suffix_of(n, key) };

	if (n->page.level && !n->count)
		k.suffix.len = 0;
	node_slots(n)[n->count++] = node_put_record(n, k, value, flags);
}

void btree_node_fill_end(struct btree_node *n)
{
	node_make_heads(n);
}

/* A longer value needs a new record, the key with it. The old one is dead before the new one
 * is made: there may not be room for both. */
static void move_value(struct btree_node *n, const struct btree_shape *shape,
		       unsigned int i, struct kv_slice value, unsigned int flags)
{
	/* EXERCISE 3.1 begin: a new record; the old one is dead, and its key saved */
	uint8_t suffix[BTREE_KEY_MAX];
	struct btree_slot s = node_slots(n)[i];
	const struct btree_key k = { .suffix = kv_slice(suffix, s.key_bytes) };

	memcpy(suffix, node_base(n) + s.at, s.key_bytes);
	free_record(n, s.at, slot_bytes(&s, false));
	node_slots(n)[i] = (struct btree_slot){ .at = 0 };
	make_room(n, shape, n->count, k.suffix.len + value.len);
	node_slots(n)[i] = node_put_record(n, k, value, flags);
	node_heads(n)[i] = suffix_head(suffix, k.suffix.len, n->shared_bytes);
	/* EXERCISE 3.1 end */
}

bool btree_node_set_value(struct btree_node *n, const struct btree_shape *shape,
			  unsigned int i, struct kv_slice value, unsigned int flags)
{
	/* EXERCISE 3.1 begin: in place when it is no longer, else moved if there is room
	 *|	return false;
	 */
	struct btree_slot *s = &node_slots(n)[i];

	if (value.len > s->value_bytes) {
		if (!has_room(n, shape, n->count, value.len - s->value_bytes))
			return false;
		move_value(n, shape, i, value, flags);
		return true;
	}
	if (value.len)
		memcpy(node_base(n) + s->at + s->key_bytes, value.data, value.len);
	n->dead += s->value_bytes - (uint32_t)value.len;
	s->value_bytes = (uint16_t)value.len;
	s->flags = (uint16_t)flags;
	if (!slot_bytes(s, false))
		s->at = 0;
	return true;
	/* EXERCISE 3.1 end */
}

void btree_node_set_child(struct btree_node *n, const struct btree_shape *shape,
			  unsigned int i, struct btree_child child)
{
	struct btree_slot *s = &node_slots(n)[i];

	(void)shape;
	s->child = child.page;
	memcpy(node_base(n) + s->at + s->key_bytes, &child.crc, sizeof(child.crc));
}

/* The first entry of an inner node has no key of its own. */
static void drop_first_key(struct btree_node *n)
{
	struct btree_slot *s = node_slots(n);

	free_record(n, s->at, s->key_bytes);
	s->at = (uint16_t)(s->at + s->key_bytes);
	s->key_bytes = 0;
	node_heads(n)[0] = 0;
}

void btree_node_remove(struct btree_node *n, const struct btree_shape *shape,
		       unsigned int i)
{
	/* EXERCISE 3.1 begin: the record dead, the gap closed, entry 0 without a key */
	uint32_t *head = node_heads(n) + i;
	struct btree_slot *slot = node_slots(n) + i;
	const size_t behind = n->count - i - 1u;

	free_record(n, slot->at, slot_bytes(slot, n->page.level));
	memmove(head, head + 1, behind * sizeof(*head));
	memmove(slot, slot + 1, behind * sizeof(*slot));
	n->count--;
	if (!n->count) {
		n->heap = node_floor(n, shape);
		n->dead = 0;
	} else if (n->page.level && !i) {
		drop_first_key(n);
	}
	/* EXERCISE 3.1 end */
}
