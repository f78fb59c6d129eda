/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_merge.c - many sorted cursors as one.
 *
 * A tree of losers (Knuth, "The Art of Computer Programming", vol. 3, 5.4.1): each inner node
 * holds the source that lost there, the winner of all stands above the root. When the winner
 * has moved on, it is played against the losers on its path, log2(n) comparisons.
 *
 * Sources of a store are runs: often one of them wins many times in a row (sequential inserts;
 * the last level against a small one above it). From its second victory on, the best of all
 * others, the runner-up, is known, and while the winner beats it nobody else need be asked.
 *
 * Source i is the leaf n + i of a binary heap, inner nodes are 1..n-1. Backwards it is the same
 * tree with the order turned around.
 */
#include "lsm_merge.h"

#include "neon_lsm_ops.h"

#define NOBODY UINT_MAX

struct source {
	struct lsm_cursor *cursor;
	struct kv_slice key; /* copies of the cursor's, side by side with the others' */
	uint64_t stamp;
	bool there; /* at an entry, not outside */
};

struct merge {
	struct lsm_cursor cursor;
	struct lsm_cursor *failed; /* whose last move gave an error; NULL: nobody's */
	unsigned int n, winner;
	unsigned int runner_up; /* the best but for the winner, if known, else NOBODY */
	bool inside, backward;
	bool equals;         /* somewhere two sources may stand at equal entries */
	unsigned int *loser; /* of inner node i; then room for as many winners */
	struct source source[];
};

/* Does a come before b? One that is outside comes last. Equals come in the order of the
 * sources, whichever way the merge goes. */
static inline bool beats(struct merge *m, unsigned int a, unsigned int b)
{
	/* EXERCISE 4.5 begin: outside comes last; then key, stamp, source
	 *|	return false;
	 */
	const struct source *x = &m->source[a], *y = &m->source[b];
	int order;

	if (!x->there || !y->there)
		return x->there;
	order = lsm_key_compare_inline(x->key, y->key);
	if (!order)
		order = (x->stamp < y->stamp) - (x->stamp > y->stamp);
	if (!order) {
		m->equals = true;
		return a < b;
	}
	return (order < 0) != m->backward;
	/* EXERCISE 4.5 end */
}

static bool stands_at(const struct source *s, struct kv_slice key, uint64_t stamp)
{
	return s->there && s->stamp == stamp && lsm_key_equal(s->key, key);
}

/* Takes in what a move of source i came to. The end is no error here. */
static inline int moved(struct merge *m, unsigned int i, int error)
{
	struct source *s = &m->source[i];

	s->there = !error;
	if (!error) {
		s->key = s->cursor->key;
		s->stamp = s->cursor->stamp;
		return 0;
	}
	if (error == -ENOENT)
		return 0;
	m->failed = s->cursor;
	m->inside = false;
	return error;
}

static inline int step(struct merge *m, unsigned int i)
{
	struct lsm_cursor *c = m->source[i].cursor;

	return moved(m, i, m->backward ? lsm_prev(c) : lsm_next(c));
}

/* Plays all matches anew. */
static void build(struct merge *m)
{
	/* EXERCISE 4.5 begin: from the leaves up
	 *|	m->runner_up = NOBODY;
	 *|	m->winner = 0;
	 */
	unsigned int *winner = m->loser + m->n;
	unsigned int i, a, b;

	m->runner_up = NOBODY;
	m->winner = 0;
	for (i = m->n - 1; i >= 1; i--) {
		a = 2 * i >= m->n ? 2 * i - m->n : winner[2 * i];
		b = 2 * i + 1 >= m->n ? 2 * i + 1 - m->n : winner[2 * i + 1];
		if (beats(m, a, b)) {
			winner[i] = a;
			m->loser[i] = b;
		} else {
			winner[i] = b;
			m->loser[i] = a;
		}
		m->winner = winner[i];
	}
	/* EXERCISE 4.5 end */
}

/* The best of those who lost to the winner itself: all others lost to one of them. */
static unsigned int find_runner_up(struct merge *m)
{
	unsigned int i = (m->n + m->winner) / 2;
	unsigned int best = m->loser[i];

	for (i /= 2; i; i /= 2)
		if (beats(m, m->loser[i], best))
			best = m->loser[i];
	return best;
}

/* The winner has moved: who is it now? */
static inline void replay(struct merge *m)
{
	/* EXERCISE 4.5 begin: the winner against the losers on its path */
	unsigned int w = m->winner, i, lost;

	if (m->runner_up != NOBODY) {
		if (beats(m, w, m->runner_up))
			return;
		m->runner_up = NOBODY;
	}
	for (i = (m->n + w) / 2; i; i /= 2) {
		lost = m->loser[i];
		if (beats(m, lost, w)) {
			m->loser[i] = w;
			w = lost;
		}
	}
	if (w == m->winner)
		m->runner_up = find_runner_up(m);
	m->winner = w;
	/* EXERCISE 4.5 end */
}

/* Shows the winner's entry; when even it is outside, all are. */
static inline int show(struct merge *m)
{
	const struct source *w = &m->source[m->winner];

	m->inside = w->there;
	if (!w->there)
		return -ENOENT;
	m->cursor.key = w->key;
	m->cursor.stamp = w->stamp;
	m->cursor.value = w->cursor->value;
	return 0;
}

static int show_anew(struct merge *m)
{
	m->equals = false;
	build(m);
	return show(m);
}

/* To the first entry of a source, or the last, from wherever it stands. */
static int enter_source(struct merge *m, unsigned int i)
{
	struct lsm_cursor *c = m->source[i].cursor;
	int error;

	if (m->source[i].there) {
		error = moved(m, i, lsm_seek(c, kv_slice("", 0), UINT64_MAX));
		if (error || !m->backward)
			return error;
		/* Of a memtable there may be a new first entry each time. */
		while (!error && m->source[i].there)
			error = moved(m, i, lsm_prev(c));
		if (error)
			return error;
	}
	return step(m, i);
}

static int enter(struct merge *m)
{
	unsigned int i;
	int error;

	for (i = 0; i < m->n; i++) {
		error = enter_source(m, i);
		if (error)
			return error;
	}
	return show_anew(m);
}

/* From the first entry at or behind the winner's, or from outside, to the last before it. In a
 * memtable entries may come in between meanwhile. */
static int step_before(struct merge *m, unsigned int i)
{
	/* EXERCISE 4.5 begin: there may be several steps
	 *|	return 0;
	 */
	const struct source *s = &m->source[i], *w = &m->source[m->winner];
	int error;

	do {
		error = step(m, i);
	} while (!error && s->there &&
		 lsm_entry_compare(s->key, s->stamp, w->key, w->stamp) >= 0);
	return error;
	/* EXERCISE 4.5 end */
}

/* Now the other way: the others go to the other side of where the merge stands. The winner
 * comes last, because its key says where that is. */
static int turn(struct merge *m)
{
	/* EXERCISE 4.5 begin: the others around the winner, then it too
	 *|	return -EOPNOTSUPP;
	 */
	const struct source *w = &m->source[m->winner];
	unsigned int i;
	int error;

	for (i = 0; i < m->n; i++) {
		if (i == m->winner)
			continue;
		error = moved(m, i, lsm_seek(m->source[i].cursor, w->key, w->stamp));
		if (!error && m->backward)
			error = step_before(m, i);
		else if (!error && stands_at(&m->source[i], w->key, w->stamp))
			error = step(m, i);
		if (error)
			return error;
	}
	error = step(m, m->winner);
	return error ? error : show_anew(m);
	/* EXERCISE 4.5 end */
}

/* Moves the others that stand at the winner's entry as well. 1: there were some. */
static int pass_equals(struct merge *m)
{
	/* EXERCISE 4.5 begin: only those that stand at the same entry
	 *|	return 0;
	 */
	const struct source *w = &m->source[m->winner];
	int error, found = 0;
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		if (i == m->winner || !stands_at(&m->source[i], w->key, w->stamp))
			continue;
		error = step(m, i);
		if (error)
			return error;
		found = 1;
	}
	return found;
	/* EXERCISE 4.5 end */
}

static int move_past_equals(struct merge *m)
{
	int error, found = pass_equals(m);

	if (found < 0)
		return found;
	error = step(m, m->winner);
	if (error)
		return error;
	if (found)
		return show_anew(m);
	replay(m);
	return show(m);
}

static inline int move(struct merge *m, bool backward)
{
	int error;

	m->failed = NULL;
	if (!m->inside || m->backward != backward) {
		m->backward = backward;
		return m->inside ? turn(m) : enter(m);
	}
	if (m->equals)
		return move_past_equals(m);
	error = step(m, m->winner);
	if (error)
		return error;
	replay(m);
	return show(m);
}

static int merge_next(struct lsm_cursor *c)
{
	return move(container_of(c, struct merge, cursor), false);
}

static int merge_prev(struct lsm_cursor *c)
{
	return move(container_of(c, struct merge, cursor), true);
}

static int merge_seek(struct lsm_cursor *c, struct kv_slice key, uint64_t stamp)
{
	struct merge *m = container_of(c, struct merge, cursor);
	unsigned int i;
	int error;

	m->failed = NULL;
	m->inside = m->backward = false;
	for (i = 0; i < m->n; i++) {
		error = moved(m, i, lsm_seek(m->source[i].cursor, key, stamp));
		if (error)
			return error;
	}
	return show_anew(m);
}

static void merge_close(struct lsm_cursor *c)
{
	struct merge *m = container_of(c, struct merge, cursor);
	unsigned int i;

	for (i = 0; i < m->n; i++)
		lsm_cursor_close(m->source[i].cursor);
	port_free(m->loser);
	port_free(m);
}

static const struct lsm_cursor_ops merge_ops = {
	.seek = merge_seek,
	.next = merge_next,
	.prev = merge_prev,
	.close = merge_close,
};

/* Of no source at all. */

static int empty_seek(struct lsm_cursor *c, struct kv_slice key, uint64_t stamp)
{
	(void)c, (void)key, (void)stamp;
	return -ENOENT;
}

static int empty_move(struct lsm_cursor *c)
{
	(void)c;
	return -ENOENT;
}

static struct lsm_cursor *empty_cursor(void)
{
	static const struct lsm_cursor_ops ops = {
		.seek = empty_seek,
		.next = empty_move,
		.prev = empty_move,
	};
	static struct lsm_cursor empty = { .ops = &ops };

	return &empty;
}

int lsm_merge(struct lsm_cursor **source, size_t n, struct lsm_cursor **out)
{
	struct merge *m;
	size_t i;

	if (n < 2) {
		*out = n ? source[0] : empty_cursor();
		return 0;
	}
	m = port_alloc(sizeof(*m) + n * sizeof(m->source[0]));
	if (!m)
		goto no_memory;
	*m = (struct merge){ .cursor.ops = &merge_ops, .n = (unsigned int)n };
	m->loser = port_alloc(2 * n * sizeof(*m->loser));
	if (!m->loser)
		goto no_memory;
	for (i = 0; i < n; i++)
		m->source[i] = (struct source){ .cursor = source[i] };
	*out = &m->cursor;
	return 0;

no_memory:
	port_free(m);
	for (i = 0; i < n; i++)
		lsm_cursor_close(source[i]);
	return -ENOMEM;
}

const struct lsm_cursor *lsm_merge_failed(const struct lsm_cursor *c)
{
	if (c->ops != &merge_ops)
		return c;
	return container_of(c, const struct merge, cursor)->failed;
}
