/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_freed.c - numbers that the current tree gave up, until nobody needs them.
 *
 * A page born in b and freed in f is needed by kept generations in [b, f). Of these the
 * oldest has it in its bucket: it is looked at again only when that generation is given up,
 * and then either another one needs it, or its number is free. So what a long snapshot keeps
 * costs nothing but its space. A checkpoint's generation is kept like a snapshot's: the
 * durable one's, and the one's that is being written.
 *
 * Giving up a checkpoint lets go of a large part of the tree at once. The numbers go to a list
 * of things to do, of which each call does a part, so that no writer waits for all of it.
 * That is safe because a freed page got its new version when it was freed, not now: see
 * btree_pager.h.
 */
#include "btree_pager_internal.h"

enum { AT_ONCE = 4096 };

struct kept { /* generations, ascending, and those of checkpoints */
	const uint64_t *keep;
	size_t n;
};

/* The first of keep that is >= generation. */
static size_t lower_bound(const struct kept *k, uint64_t generation)
{
	size_t low = 0, high = k->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (k->keep[middle] < generation)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_kept(const struct btree_pager_space *s, const struct kept *k, uint64_t g)
{
	size_t i = lower_bound(k, g);

	return g && (g == s->durable || g == s->running || (i < k->n && k->keep[i] == g));
}

/* The oldest kept generation that sees a page of that life; 0: none. */
static uint64_t oldest_holder(const struct btree_pager_space *s, const struct kept *k,
			      const struct btree_freed *f)
{
	size_t at = lower_bound(k, f->birth);
	uint64_t g[3] = { at < k->n ? k->keep[at] : 0, s->durable, s->running };
	uint64_t oldest = 0;
	unsigned int i;

	for (i = 0; i < 3; i++)
		if (g[i] && g[i] >= f->birth && g[i] < f->freed &&
		    (!oldest || g[i] < oldest))
			oldest = g[i];
	return oldest;
}

static void let_go(struct btree_pager_space *s, const struct kept *k)
{
	unsigned int i = 0;

	while (i < s->buckets) {
		struct btree_bucket *b = &s->bucket[i];

		if (is_kept(s, k, b->generation)) {
			i++;
			continue;
		}
		btree_list_splice(s, &s->todo, &b->list);
		*b = s->bucket[--s->buckets];
	}
}

/* The generation's; without memory for another, that of the newest bucket there is would be
 * wrong, so generation 0's, which is looked at each time. */
static struct btree_list *bucket_of(struct btree_pager_space *s, uint64_t generation)
{
	unsigned int i, cap;
	struct btree_bucket *more;

	for (i = 0; i < s->buckets; i++)
		if (s->bucket[i].generation == generation)
			return &s->bucket[i].list;
	/* One place is always left for generation 0. */
	if (s->buckets + 1 >= s->bucket_cap && generation) {
		cap = s->bucket_cap * 2;
		more = port_realloc(s->bucket, s->bucket_cap * sizeof(*more),
				    cap * sizeof(*more));
		if (!more)
			return bucket_of(s, 0);
		s->bucket = more;
		s->bucket_cap = cap;
	}
	s->bucket[s->buckets] = (struct btree_bucket){ .generation = generation };
	return &s->bucket[s->buckets++].list;
}

void btree_page_free(struct btree_pager *p, uint32_t page, uint64_t birth, uint64_t freed)
{
	struct btree_pager_space *s = p->space;

	(void)port_fetch_add(&p->state[page], BTREE_VERSION);
	port_mutex_lock(&s->lock);
	btree_bit_clear(s->live, page);
	s->freed[page].birth = birth;
	s->freed[page].freed = freed;
	btree_list_push(s, &s->todo, page);
	s->held++;
	port_mutex_unlock(&s->lock);
}

/* What was there is of no use any more. false: somebody has it in hand just now. */
static bool forget(struct btree_pager *p, uint32_t page, bool *resident)
{
	uint64_t s = port_load_acquire(&p->state[page]);

	do {
		if (s & (BTREE_LOCKED | BTREE_PINS))
			return false;
	} while (!port_cas(&p->state[page], &s, s & ~(BTREE_DIRTY | BTREE_CRC_KNOWN)));
	if (s & BTREE_DIRTY)
		(void)port_fetch_add(&p->io->dirty, (uint64_t)-1);
	*resident = s & BTREE_RESIDENT;
	return true;
}

/* The first of those to do: kept by a generation, free, or busy. */
static void settle_first(struct btree_pager *p, const struct kept *k,
			 struct btree_list *busy)
{
	struct btree_pager_space *s = p->space;
	uint32_t page = s->todo.head;
	struct btree_freed f = s->freed[page];
	uint64_t holder = oldest_holder(s, k, &f);
	bool resident;

	btree_list_remove(s, &s->todo, page);
	if (holder) {
		s->freed[page].freed = f.freed;
		btree_list_push(s, bucket_of(s, holder), page);
	} else if (forget(p, page, &resident)) {
		s->held--;
		btree_space_put(s, page, resident);
	} else {
		s->freed[page].freed = f.freed;
		btree_list_push(s, busy, page);
	}
}

bool btree_pages_reclaim_some(struct btree_pager *p, const uint64_t *keep, size_t n,
			      unsigned int most)
{
	struct btree_pager_space *s = p->space;
	struct kept k = { keep, n };
	struct btree_list busy = { 0, 0 };
	bool trim, more;
	unsigned int i;

	port_mutex_lock(&s->lock);
	let_go(s, &k);
	for (i = 0; i < most && s->todo.head; i++)
		settle_first(p, &k, &busy);
	more = s->todo.head;
	trim = s->trim && !more && !s->running;
	btree_list_splice(s, &s->todo, &busy);
	port_mutex_unlock(&s->lock);
	if (trim)
		btree_space_trim(p);
	return more;
}

void btree_pages_reclaim(struct btree_pager *p, const uint64_t *keep, size_t n)
{
	struct btree_pager_space *s = p->space;
	bool scarce;

	port_mutex_lock(&s->lock);
	/* Better to wait for it than to grow the file. */
	scarce = s->free < s->pages / 16;
	port_mutex_unlock(&s->lock);
	(void)btree_pages_reclaim_some(p, keep, n, scarce ? UINT32_MAX : AT_ONCE);
}
