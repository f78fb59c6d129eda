/* SPDX-License-Identifier: MIT */
/*
 * series.c - see series.h.
 */
#include "series.h"

enum {
	SERIES_OPEN = 16,      /* seconds that a thread may lag without losing its p99 */
	SERIES_INITIAL = 4096, /* over an hour before memory must be asked for */
};

int series_init(struct series *s)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->second = malloc(SERIES_INITIAL * sizeof(*s->second));
	s->open = malloc(SERIES_OPEN * sizeof(*s->open));
	s->cap = SERIES_INITIAL;
	if (!s->second || !s->open)
		return -ENOMEM;
	memset(s->second, 0, SERIES_INITIAL * sizeof(*s->second));
	memset(s->open, 0, SERIES_OPEN * sizeof(*s->open));
	return 0;
}

void series_free(struct series *s)
{
	free(s->second);
	free(s->open);
	pthread_mutex_destroy(&s->lock);
}

void series_clear(struct series *s)
{
	memset(s->second, 0, s->len * sizeof(*s->second));
	memset(s->open, 0, SERIES_OPEN * sizeof(*s->open));
	s->len = s->closed = 0;
	s->no_memory = false;
}

static void close_oldest(struct series *s)
{
	struct histogram *h = &s->open[s->closed % SERIES_OPEN];

	(void)histogram_quantile(h, 0.99, &s->second[s->closed].p99_ns);
	memset(h, 0, sizeof(*h));
	s->closed++;
}

/* Makes room so that the given second has a number and, unless closed, a histogram. */
static bool reach(struct series *s, uint64_t second)
{
	if (second >= s->cap) {
		size_t cap = (size_t)second * 2;
		struct run_second *grown = realloc(s->second, cap * sizeof(*grown));

		if (!grown) {
			s->no_memory = true;
			return false;
		}
		memset(grown + s->cap, 0, (cap - s->cap) * sizeof(*grown));
		s->second = grown;
		s->cap = cap;
	}
	if (s->len <= second)
		s->len = (size_t)second + 1;
	while (second >= s->closed + SERIES_OPEN)
		close_oldest(s);
	return true;
}

void series_add(struct series *s, uint64_t second, const struct histogram *h)
{
	if (!h->count)
		return;
	pthread_mutex_lock(&s->lock);
	if (reach(s, second)) {
		s->second[second].ops += h->count;
		if (s->second[second].max_ns < h->max_ns)
			s->second[second].max_ns = h->max_ns;
		if (second >= s->closed)
			histogram_merge(&s->open[second % SERIES_OPEN], h);
	}
	pthread_mutex_unlock(&s->lock);
}

int series_take(struct series *s, uint64_t full_seconds, struct run_second **out,
		size_t *len)
{
	*out = NULL;
	*len = 0;
	if (s->no_memory || (full_seconds && !reach(s, full_seconds - 1)))
		return -ENOMEM;
	while (s->closed < full_seconds)
		close_oldest(s);
	if (!full_seconds)
		return 0;
	*out = malloc(full_seconds * sizeof(**out));
	if (!*out)
		return -ENOMEM;
	memcpy(*out, s->second, full_seconds * sizeof(**out));
	*len = (size_t)full_seconds;
	return 0;
}
