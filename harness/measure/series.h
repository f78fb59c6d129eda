/* SPDX-License-Identifier: MIT */
/*
 * series.h - throughput, p99 and max of each second of a phase, over all its threads.
 *
 * Private to the measuring threads. A thread hands over a second's latencies when it has
 * begun the next one. Threads are rarely more than a second apart, so only the newest
 * seconds keep a histogram; memory does not grow with the length of a run but by three
 * numbers a second.
 */
#ifndef SERIES_H
#define SERIES_H

#include <pthread.h>

#include "runner.h"

struct series {
	pthread_mutex_t lock;
	/* protected by lock */
	struct run_second *second; /* all so far */
	size_t len, cap;
	size_t closed; /* seconds whose histogram is given up: their p99 is final */
	struct histogram *open; /* a ring of those after them */
	bool no_memory;
};

int series_init(struct series *s); /* touches its memory; -ENOMEM */
void series_free(struct series *s);
void series_clear(struct series *s); /* while no thread adds */

/* Adds what one thread did in a second (counted from 0). From any thread. */
void series_add(struct series *s, uint64_t second, const struct histogram *h);

/* A copy of the first full_seconds seconds, the caller's to free(): a second that was cut
 * short would look like a slow one. *len may be 0 and *out NULL. When no thread adds. */
int series_take(struct series *s, uint64_t full_seconds, struct run_second **out,
		size_t *len);

#endif /* SERIES_H */
