/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_tombstones.c - sets of range tombstones, cut into stretches: see lsm_tombstones.h.
 *
 * The bounds of all ranges, sorted, cut the key space into stretches; in one stretch every
 * key is covered by the same tombstones, of which only the sequences matter. A set is in
 * normal form: stretches with nothing in them exist only between others, and neighbours
 * with the same sequences are one. So two sets that say the same are the same, whatever they
 * were made of. It is one allocation:
 *
 *	struct | stretches, by begin | sequences, those of one stretch descending | keys
 *
 * It is made by a sweep over the bounds, which keeps the sequences of the ranges that are
 * open. N ranges that all overlap have N * N / 2 sequences in their stretches; that is the
 * price of finding a snapshot's tombstone by two binary searches.
 */
#include "lsm_tombstones.h"

struct stretch { /* from begin to the next one's; the last has no sequences */
	struct kv_slice begin;
	size_t first; /* of its sequences; up to the next one's */
};

struct lsm_tombstones {
	size_t stretches;   /* the last one not counted */
	size_t sequences;   /* in all of them */
	size_t bytes;       /* of the allocation */
	bool open;          /* the end of the last one is the end of all keys */
	uint64_t *sequence; /* in the same allocation */
	struct stretch stretch[];
};

struct bound { /* where a range begins or ends */
	struct kv_slice key;
	uint64_t sequence;
	bool end, last; /* last: behind all keys */
};

static int compare_bounds(const void *a, const void *b)
{
	const struct bound *x = a, *y = b;

	if (x->last || y->last)
		return (int)x->last - (int)y->last;
	return kv_compare(x->key, y->key);
}

/* What the sweep has made so far, and what it needs. */
struct sweep {
	struct kv_buf stretches; /* of struct stretch */
	struct kv_buf sequences; /* of uint64_t, of all of them */
	struct kv_buf open; /* of uint64_t: of the ranges that are open, descending */
	size_t key_bytes;   /* in the stretches' begins */
};

static size_t sequences_made(const struct sweep *s)
{
	return s->sequences.len / sizeof(uint64_t);
}

/* Where sequence stands among the open ones, or would. */
static size_t open_place(const struct sweep *s, uint64_t sequence)
{
	const uint64_t *open = s->open.data;
	size_t low = 0, high = s->open.len / sizeof(*open);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (open[middle] > sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int open_range(struct sweep *s, uint64_t sequence)
{
	const size_t at = open_place(s, sequence);
	const size_t after = s->open.len / sizeof(sequence) - at;
	int error = kv_buf_append(&s->open, &sequence, sizeof(sequence));
	uint64_t *open = s->open.data;

	if (error)
		return error;
	memmove(open + at + 1, open + at, after * sizeof(*open));
	open[at] = sequence;
	return 0;
}

static void close_range(struct sweep *s, uint64_t sequence)
{
	const size_t at = open_place(s, sequence);
	uint64_t *open = s->open.data;

	s->open.len -= sizeof(*open);
	memmove(open + at, open + at + 1, s->open.len - at * sizeof(*open));
}

/* Ends with the open sequences once each, as those of a new stretch. */
static int add_sequences(struct sweep *s)
{
	const uint64_t *open = s->open.data;
	const size_t n = s->open.len / sizeof(*open);
	size_t i;
	int error;

	for (i = 0; i < n; i++) {
		if (i && open[i] == open[i - 1])
			continue;
		error = kv_buf_append(&s->sequences, &open[i], sizeof(*open));
		if (error)
			return error;
	}
	return 0;
}

/* Do the sequences from `first` on say the same as those of the last stretch? */
static bool same_as_before(const struct sweep *s, size_t first)
{
	const struct stretch *all = s->stretches.data;
	const size_t n = s->stretches.len / sizeof(*all);
	const uint64_t *sequence = s->sequences.data;
	size_t before;

	if (!n)
		return first == sequences_made(s);
	before = all[n - 1].first;
	return first - before == sequences_made(s) - first &&
	       (first == before || !memcmp(sequence + before, sequence + first,
					   (first - before) * sizeof(*sequence)));
}

/* Begins a stretch at key with what is open now. */
static int add_stretch(struct sweep *s, struct kv_slice key)
{
	const struct stretch new = { key, sequences_made(s) };
	int error = add_sequences(s);

	if (error)
		return error;
	if (same_as_before(s, new.first)) {
		s->sequences.len = new.first * sizeof(uint64_t);
		return 0;
	}
	s->key_bytes += key.len;
	return kv_buf_append(&s->stretches, &new, sizeof(new));
}

static int sweep_over(struct sweep *s, const struct bound *bound, size_t n)
{
	size_t i, next;
	int error;

	for (i = 0; i < n; i = next) {
		for (next = i; next < n && !compare_bounds(&bound[i], &bound[next]);
		     next++) {
			if (bound[next].end)
				close_range(s, bound[next].sequence);
			else if ((error = open_range(s, bound[next].sequence)))
				return error;
		}
		error = bound[i].last ? 0 : add_stretch(s, bound[i].key);
		if (error)
			return error;
	}
	return 0;
}

/* The set that the sweep has made, with its own copy of the keys. */
static int pack(const struct sweep *s, struct lsm_tombstones **out)
{
	const struct stretch *from = s->stretches.data;
	const size_t n = s->stretches.len / sizeof(*from), sequences = sequences_made(s);
	const size_t bytes = sizeof(struct lsm_tombstones) +
			     (n + 1) * sizeof(struct stretch) +
			     sequences * sizeof(uint64_t) + s->key_bytes;
	struct lsm_tombstones *set = port_alloc(bytes);
	uint8_t *key;
	size_t i;

	if (!set)
		return -ENOMEM;
	set->sequence = (uint64_t *)(void *)&set->stretch[n + 1];
	set->sequences = sequences;
	set->bytes = bytes;
	memcpy(set->sequence, s->sequences.data, sequences * sizeof(uint64_t));
	key = (uint8_t *)(set->sequence + sequences);
	for (i = 0; i < n; i++) {
		set->stretch[i] = from[i];
		set->stretch[i].begin.data = key;
		if (from[i].begin.len)
			memcpy(key, from[i].begin.data, from[i].begin.len);
		key += from[i].begin.len;
	}
	/* The last stretch made has no sequences, unless it goes on to the end of all keys. */
	set->open = from[n - 1].first < sequences;
	set->stretches = set->open ? n : n - 1;
	set->stretch[set->stretches].first = sequences;
	if (set->open)
		set->stretch[n].begin = kv_slice(NULL, 0);
	*out = set;
	return 0;
}

/* Takes the ranges that are not empty; returns how many bounds they have. */
static size_t bounds_of(const struct lsm_tombstone *t, size_t n, struct bound *bound)
{
	size_t i, bounds = 0;

	for (i = 0; i < n; i++) {
		const bool last = !t[i].end.data;

		if (!last && kv_compare(t[i].begin, t[i].end) >= 0)
			continue;
		bound[bounds++] =
			(struct bound){ t[i].begin, t[i].sequence, false, false };
		bound[bounds++] = (struct bound){ t[i].end, t[i].sequence, true, last };
	}
	return bounds;
}

int lsm_tombstones_new(const struct lsm_tombstone *t, size_t n,
		       struct lsm_tombstones **out)
{
	struct sweep s = { { 0 }, { 0 }, { 0 }, 0 };
	struct bound *bound = NULL;
	size_t bounds;
	int error = 0;

	*out = NULL;
	if (!n)
		return 0;
	if (n > SIZE_MAX / (2 * sizeof(*bound)))
		return -ENOMEM;
	bound = port_alloc(n * 2 * sizeof(*bound));
	if (!bound)
		return -ENOMEM;
	bounds = bounds_of(t, n, bound);
	if (!bounds)
		goto out;
	port_sort(bound, bounds, sizeof(*bound), compare_bounds);
	error = sweep_over(&s, bound, bounds);
	if (!error)
		error = pack(&s, out);
out:
	kv_buf_free(&s.stretches);
	kv_buf_free(&s.sequences);
	kv_buf_free(&s.open);
	port_free(bound);
	return error;
}

int lsm_tombstones_union(const struct lsm_tombstones *const *set, size_t n,
			 struct lsm_tombstones **out)
{
	struct lsm_tombstone *all;
	size_t i, k, count = 0, at = 0;
	int error;

	*out = NULL;
	for (i = 0; i < n; i++)
		count += lsm_tombstones_count(set[i]);
	if (!count)
		return 0;
	all = port_alloc(count * sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		for (k = 0; k < lsm_tombstones_count(set[i]); k++)
			all[at++] = lsm_tombstones_at(set[i], k);
	error = lsm_tombstones_new(all, count, out);
	port_free(all);
	return error;
}

/* Of one stretch: descending again. They nearly are, for later writes have later sequences. */
static void settle_stretch(uint64_t *sequence, size_t n, uint64_t base)
{
	size_t i, k;

	for (i = 0; i < n; i++) {
		uint64_t s = sequence[i];

		if (s & LSM_TOMBSTONE_LATER)
			s = base + (s & ~LSM_TOMBSTONE_LATER);
		for (k = i; k && sequence[k - 1] < s; k--)
			sequence[k] = sequence[k - 1];
		sequence[k] = s;
	}
}

void lsm_tombstones_settle(struct lsm_tombstones *set, uint64_t base)
{
	size_t i;

	for (i = 0; set && i < set->stretches; i++) {
		const size_t first = set->stretch[i].first;

		settle_stretch(set->sequence + first, set->stretch[i + 1].first - first,
			       base);
	}
}

void lsm_tombstones_free(struct lsm_tombstones *set)
{
	port_free(set);
}

uint64_t lsm_tombstones_cover(const struct lsm_tombstones *set, struct kv_slice key,
			      uint64_t limit)
{
	/* EXERCISE 4.8 begin: the stretch, then the sequence in it
	 *|	return 0;
	 */
	size_t low = 0, high, end;

	if (!set)
		return 0;
	/* How many stretches begin at or before key? The last of them has it. */
	high = set->stretches + !set->open;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (kv_compare(set->stretch[middle].begin, key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || low > set->stretches)
		return 0;
	end = set->stretch[low].first;
	low = set->stretch[low - 1].first;
	for (high = end; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (set->sequence[middle] > limit)
			low = middle + 1;
		else
			high = middle;
	}
	return low < end ? set->sequence[low] : 0;
	/* EXERCISE 4.8 end */
}

size_t lsm_tombstones_count(const struct lsm_tombstones *set)
{
	return set ? set->sequences : 0;
}

struct lsm_tombstone lsm_tombstones_at(const struct lsm_tombstones *set, size_t i)
{
	size_t low = 0, high = set->stretches;

	/* The last stretch whose sequences begin at or before i; an empty one is not it, for
	 * its successor begins at the same. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->stretch[middle].first <= i)
			low = middle + 1;
		else
			high = middle;
	}
	return (struct lsm_tombstone){ set->stretch[low - 1].begin,
				       set->stretch[low].begin, set->sequence[i] };
}

size_t lsm_tombstones_bytes(const struct lsm_tombstones *set)
{
	return set ? set->bytes : 0;
}
