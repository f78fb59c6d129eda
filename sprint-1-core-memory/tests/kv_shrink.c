/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_shrink.c - makes a failing history shorter and simpler while it still fails.
 *
 * Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
 * Input", 2002): leave out ever smaller runs of steps, keep what still fails; then the
 * same inside the steps, then shorter values and plainer keys. Any difference counts as
 * the failure, not only the first one found. Each candidate runs on fresh stores.
 */
#include "kv_steps.h"

#include <stdlib.h>
#include <time.h>

struct shrink {
	const struct kv_target *t;
	struct history *h;         /* the shortest that failed so far */
	struct history_failure *f; /* and how */
	struct step *spare;        /* room for a candidate's steps */
	unsigned int tried;
	uint64_t deadline_ns;
	bool progress;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool out_of_time(const struct shrink *s)
{
	return now_ns() >= s->deadline_ns;
}

/* Runs the history as it stands in s->h. When it fails, s->f is its failure. */
static bool still_fails(struct shrink *s)
{
	struct history_failure f;

	if (out_of_time(s))
		return false;
	s->tried++;
	if (!history_replay(s->t, s->h, &f))
		return false;
	*s->f = f;
	s->progress = true;
	/* What comes after the failure has no part in it. */
	if (f.step < s->h->n)
		s->h->n = f.step + 1;
	return true;
}

/* Without steps [at, at + n): kept if it still fails. */
static bool try_without(struct shrink *s, size_t at, size_t n)
{
	struct step *whole = s->h->step;
	size_t whole_n = s->h->n;

	memcpy(s->spare, whole, at * sizeof(*whole));
	memcpy(s->spare + at, whole + at + n, (whole_n - at - n) * sizeof(*whole));
	s->h->step = s->spare;
	s->h->n = whole_n - n;
	if (still_fails(s)) {
		s->spare = whole;
		return true;
	}
	s->h->step = whole;
	s->h->n = whole_n;
	return false;
}

static void drop_steps(struct shrink *s)
{
	size_t n = s->h->n / 2, at;

	for (; n > 0; n /= 2)
		/* Backwards: late steps lean on early ones, so they go first. */
		for (at = s->h->n; at > 0 && !out_of_time(s);) {
			size_t run;

			if (at > s->h->n)
				at = s->h->n; /* a removal may cut the tail as well */
			run = at < n ? at : n;
			if (run == 0)
				break;
			try_without(s, at - run, run);
			at -= run;
		}
}

/* With *step changed to simpler: kept if it still fails. */
static bool try_step(struct shrink *s, size_t i, const struct step *simpler)
{
	struct step was = s->h->step[i];
	size_t n = s->h->n;

	s->h->step[i] = *simpler;
	if (still_fails(s))
		return true;
	s->h->step[i] = was;
	s->h->n = n;
	return false;
}

static bool has_edits(const struct step *step)
{
	return step->type == STEP_WRITE || step->type == STEP_MULTI_GET;
}

static void drop_edits(struct shrink *s, size_t i)
{
	unsigned int e;

	for (e = s->h->step[i].n; e-- > 0;) {
		struct step simpler = s->h->step[i];

		if (simpler.n < 2 || e >= simpler.n)
			continue;
		memmove(&simpler.edit[e], &simpler.edit[e + 1],
			(simpler.n - e - 1) * sizeof(simpler.edit[0]));
		simpler.n--;
		try_step(s, i, &simpler);
		if (i >= s->h->n)
			return;
	}
}

static void shorten_values(struct shrink *s, size_t i)
{
	unsigned int e, k;

	for (e = 0; i < s->h->n && e < s->h->step[i].n; e++) {
		uint32_t len = s->h->step[i].edit[e].value_len;
		const uint32_t lens[] = { 0, 1, 4, len / 2, len ? len - 1 : 0 };

		if (s->h->step[i].edit[e].type != KV_PUT)
			continue;
		for (k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			struct step simpler = s->h->step[i];

			if (lens[k] >= len)
				continue;
			simpler.edit[e].value_len = lens[k];
			if (try_step(s, i, &simpler))
				break;
		}
	}
}

static bool reads_snapshot(const struct step *step)
{
	return step->snapshot != STEP_NEWEST &&
	       (step->type == STEP_GET || step->type == STEP_MULTI_GET ||
		step->type == STEP_CURSOR);
}

static void simplify_steps(struct shrink *s)
{
	size_t i;

	for (i = 0; i < s->h->n && !out_of_time(s); i++) {
		struct step simpler = s->h->step[i];

		if (has_edits(&simpler))
			drop_edits(s, i);
		else if (simpler.n > 1) {
			simpler.n = 1;
			try_step(s, i, &simpler);
		}
		if (i < s->h->n && s->h->step[i].how != KV_NONE) {
			simpler = s->h->step[i];
			simpler.how = KV_NONE;
			try_step(s, i, &simpler);
		}
		if (i < s->h->n && reads_snapshot(&s->h->step[i])) {
			simpler = s->h->step[i];
			simpler.snapshot = STEP_NEWEST;
			try_step(s, i, &simpler);
		}
		if (i < s->h->n && s->h->step[i].type == STEP_WRITE)
			shorten_values(s, i);
	}
}

static bool key_is_used(const struct history *h, size_t key)
{
	size_t i;
	unsigned int e;

	for (i = 0; i < h->n; i++) {
		const struct step *step = &h->step[i];
		bool moves = step->type == STEP_NEXT || step->type == STEP_PREV;

		for (e = 0; !moves && e < step->n; e++)
			if (step->edit[e].key == key ||
			    (step->edit[e].type == KV_DELETE_RANGE &&
			     step->edit[e].end == key))
				return true;
	}
	return false;
}

static bool try_key(struct shrink *s, size_t i, struct kv_slice simpler)
{
	struct kv_slice was = s->h->key[i];
	size_t n = s->h->n;

	s->h->key[i] = simpler;
	if (still_fails(s)) {
		/* The old key's place takes the new bytes: it is never shorter. */
		if (simpler.len)
			memmove((void *)was.data, simpler.data, simpler.len);
		s->h->key[i] = kv_slice(was.data, simpler.len);
		return true;
	}
	s->h->key[i] = was;
	s->h->n = n;
	return false;
}

/* Plain letters in place of keys; then, where the bytes matter, fewer of them. */
static void simplify_keys(struct shrink *s)
{
	const struct kv_ops *ops = s->t->ops;
	size_t i, letter = 0;

	for (i = 0; i < s->h->n_keys && !out_of_time(s); i++) {
		char plain = (char)('a' + letter % 26);
		struct kv_slice key = s->h->key[i];
		size_t len;

		if (!key_is_used(s->h, i)) {
			/* Out of the way of final checks, which read every key. */
			if (ops->key_min <= 1 && key.len &&
			    kv_compare(key, kv_slice("~", 1)))
				try_key(s, i, kv_slice("~", 1));
			continue;
		}
		letter++;
		if (key.len == 1 && ((const char *)key.data)[0] == plain)
			continue;
		if (ops->key_min <= 1 && key.len && try_key(s, i, kv_slice(&plain, 1)))
			continue;
		for (len = ops->key_min; len < key.len; len = len * 2 + 1)
			if (try_key(s, i, kv_slice(key.data, len)))
				break;
	}
}

unsigned int history_shrink(const struct kv_target *t, struct history *h,
			    struct history_failure *f, unsigned int ms)
{
	struct shrink s = { t, h, f, NULL, 0, now_ns() + (uint64_t)ms * 1000000u, true };
	struct step *own;

	if (f->step < h->n)
		h->n = f->step + 1;
	s.spare = own = malloc((h->n ? h->n : 1) * sizeof(*own));
	if (!own)
		return 0;
	while (s.progress && !out_of_time(&s)) {
		s.progress = false;
		drop_steps(&s);
		simplify_steps(&s);
		simplify_keys(&s);
	}
	free(s.spare);
	return s.tried;
}
