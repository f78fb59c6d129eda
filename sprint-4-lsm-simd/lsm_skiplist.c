/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_skiplist.c - see lsm_skiplist.h.
 */
#include "lsm_skiplist.h"

#include "neon_lsm_ops.h"

enum { LEVELS = LSM_SKIPLIST_LEVELS };

struct place { /* what is looked for */
	uint64_t head;
	struct kv_slice key;
	uint64_t stamp;
};

/* ---- nodes ---- */

static inline struct lsm_node **link_of(const struct lsm_node *n, unsigned int level)
{
	return (struct lsm_node **)(uintptr_t)n - 1 - level;
}

static inline struct lsm_node *follow(const struct lsm_node *n, unsigned int level)
{
	return port_load_acquire(link_of(n, level));
}

static uint64_t head_of(struct kv_slice key)
{
	uint8_t bytes[8] = { 0 };

	if (key.len >= 8)
		return __builtin_bswap64(port_get_le64(key.data));
	if (key.len)
		memcpy(bytes, key.data, key.len);
	return __builtin_bswap64(port_get_le64(bytes));
}

static inline struct place place_of(struct kv_slice key, uint64_t stamp)
{
	return (struct place){ head_of(key), key, stamp };
}

/* Of keys with the same head. Where one has no more than it, the bytes that both have are
 * equal, and the longer one's next are zeros. */
static int compare_tails(struct kv_slice a, struct kv_slice b)
{
	if (a.len <= 8 || b.len <= 8)
		return (a.len > b.len) - (a.len < b.len);
	return lsm_key_compare(kv_slice((const uint8_t *)a.data + 8, a.len - 8),
			       kv_slice((const uint8_t *)b.data + 8, b.len - 8));
}

/* Does n stand before p? */
static inline bool stands_before(const struct lsm_node *n, const struct place *p)
{
	/* EXERCISE 4.1 begin: heads first, then tails; the newest first
	 *|	return false;
	 */
	int order;

	if (n->head != p->head)
		return n->head < p->head;
	order = compare_tails(lsm_node_key(n), p->key);
	return order ? order < 0 : n->stamp > p->stamp;
	/* EXERCISE 4.1 end */
}

unsigned int lsm_skiplist_height(uint64_t random)
{
	/* A pair of zero bits for each level more. */
	unsigned int zeros = random ? (unsigned int)__builtin_ctzll(random) : 64;
	unsigned int height = 1 + zeros / 2;

	return height < LEVELS ? height : LEVELS;
}

size_t lsm_node_bytes(unsigned int height, size_t key_bytes, size_t value_bytes)
{
	return (height * sizeof(struct lsm_node *) + sizeof(struct lsm_node) + key_bytes +
		value_bytes + 7) &
	       ~(size_t)7;
}

struct lsm_node *lsm_node_make(void *memory, unsigned int height, struct kv_slice key,
			       uint64_t stamp, struct kv_slice value)
{
	struct lsm_node *n = (void *)((struct lsm_node **)memory + height);
	uint8_t *data = (uint8_t *)(n + 1);

	n->head = head_of(key);
	n->stamp = stamp;
	n->key_bytes = (uint32_t)key.len;
	n->value_bytes = (uint32_t)value.len;
	n->chain = NULL;
	n->newest = n;
	if (key.len)
		memcpy(data, key.data, key.len);
	if (value.len)
		memcpy(data + key.len, value.data, value.len);
	return n;
}

/* ---- searching ---- */

void lsm_skiplist_init(struct lsm_skiplist *l)
{
	memset(l, 0, sizeof(*l));
	l->levels = 1;
}

/* From `at`, which stands before p, along a level: the last node before p. *next is the one
 * behind it. known: a node that is known not to stand before p, or NULL. While a node is
 * compared, the next one and the one below are on their way. */
static inline const struct lsm_node *walk(const struct lsm_node *at, unsigned int level,
					  const struct place *p,
					  const struct lsm_node *known,
					  struct lsm_node **next)
{
	for (;;) {
		struct lsm_node *n = follow(at, level);

		*next = n;
		if (level)
			__builtin_prefetch(port_load_relaxed(link_of(at, level - 1)));
		if (!n || n == known)
			return at;
		__builtin_prefetch(port_load_relaxed(link_of(n, level)));
		if (!stands_before(n, p))
			return at;
		at = n;
	}
}

/* The last node before p, or the root. */
static const struct lsm_node *descend(const struct lsm_skiplist *l, const struct place *p)
{
	/* EXERCISE 4.1 begin: walk() on each level, from the highest
	 *|	return &l->root;
	 */
	unsigned int level = port_load_acquire(&l->levels);
	const struct lsm_node *at = &l->root;
	struct lsm_node *next = NULL;

	while (level--)
		at = walk(at, level, p, next, &next);
	return at;
	/* EXERCISE 4.1 end */
}

static struct lsm_node *unless_root(const struct lsm_skiplist *l,
				    const struct lsm_node *n)
{
	return n == &l->root ? NULL : (struct lsm_node *)(uintptr_t)n;
}

struct lsm_node *lsm_skiplist_find(const struct lsm_skiplist *l, struct kv_slice key,
				   uint64_t stamp)
{
	const struct place p = place_of(key, stamp);
	struct lsm_node *next;

	/* What was inserted since the way down may stand in between. */
	(void)walk(descend(l, &p), 0, &p, NULL, &next);
	return next;
}

struct lsm_node *lsm_skiplist_before(const struct lsm_skiplist *l, struct kv_slice key,
				     uint64_t stamp)
{
	const struct place p = place_of(key, stamp);

	return unless_root(l, descend(l, &p));
}

struct lsm_node *lsm_skiplist_first(const struct lsm_skiplist *l)
{
	return follow(&l->root, 0);
}

struct lsm_node *lsm_skiplist_last(const struct lsm_skiplist *l)
{
	unsigned int level = port_load_acquire(&l->levels);
	const struct lsm_node *at = &l->root, *next;

	while (level--)
		while ((next = follow(at, level)))
			at = next;
	return unless_root(l, at);
}

struct lsm_node *lsm_skiplist_next(const struct lsm_node *n)
{
	return follow(n, 0);
}

/* ---- inserting ---- */

struct splice { /* between which nodes, on each level */
	const struct lsm_node *before[LEVELS];
	struct lsm_node *behind[LEVELS];
};

/* Keys often come in order: then the new node goes behind the last ones, and of those only as
 * many matter as it is high. */
static bool splice_at_end(const struct lsm_skiplist *l, const struct place *p,
			  unsigned int height, struct splice *s)
{
	unsigned int level;

	for (level = 0; level < height; level++) {
		const struct lsm_node *tail = port_load_acquire(&l->tail[level]);

		if (tail && !stands_before(tail, p))
			return false;
		if (!tail)
			tail = &l->root;
		s->before[level] = walk(tail, level, p, NULL, &s->behind[level]);
		if (!level && s->behind[0]) /* the tail was stale: look from above */
			return false;
	}
	return true;
}

static void splice_search(const struct lsm_skiplist *l, const struct place *p,
			  unsigned int height, struct splice *s)
{
	/* EXERCISE 4.1 begin: descend, and note where on each level */
	unsigned int level = port_load_acquire(&l->levels);
	const struct lsm_node *at = &l->root;
	struct lsm_node *next = NULL;

	for (; height > level; height--) {
		s->before[height - 1] = at;
		s->behind[height - 1] = NULL;
	}
	while (level--) {
		at = walk(at, level, p, next, &next);
		if (level < height) {
			s->before[level] = at;
			s->behind[level] = next;
		}
	}
	/* EXERCISE 4.1 end */
}

static void raise_levels(struct lsm_skiplist *l, uint32_t height)
{
	/* EXERCISE 4.1 begin: another thread may raise them too */
	uint32_t levels = port_load_relaxed(&l->levels);

	while (levels < height && !port_cas(&l->levels, &levels, height))
		;
	/* EXERCISE 4.1 end */
}

void lsm_skiplist_insert(struct lsm_skiplist *l, struct lsm_node *n, unsigned int height)
{
	/* EXERCISE 4.1 begin: by port_cas(), the lowest level first */
	const struct place p = { n->head, lsm_node_key(n), n->stamp };
	struct splice s;
	unsigned int level;

	if (!splice_at_end(l, &p, height, &s))
		splice_search(l, &p, height, &s);
	raise_levels(l, height);
	for (level = 0; level < height; level++) {
		struct lsm_node *behind = s.behind[level];

		for (;;) {
			port_store_relaxed(link_of(n, level), behind);
			if (port_cas(link_of(s.before[level], level), &behind, n))
				break;
			s.before[level] = walk(s.before[level], level, &p, NULL, &behind);
		}
		if (!behind)
			port_store_release(&l->tail[level], n);
	}
	/* EXERCISE 4.1 end */
}
