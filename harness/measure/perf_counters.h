/* SPDX-License-Identifier: MIT */
/*
 * perf_counters.h - perf_event_open(2) for this process and its threads: hardware events
 * where the machine has them, else software events, saying so.
 *
 * Counted are the thread that opens the group and every thread that is started after:
 * open it before the store, whose background threads are to count. Any thread may read.
 */
#ifndef PERF_COUNTERS_H
#define PERF_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PERF_VALUES_MAX = 12 };

struct perf_value {
	char name[32];  /* "instructions", "cache-misses", "page-faults", ... */
	uint64_t value; /* scaled when the kernel multiplexed */
};

struct perf_values {
	struct perf_value v[PERF_VALUES_MAX];
	size_t n;
	bool hardware;
	char note[128]; /* what is missing, and why; "" when nothing is */
};

struct perf_group;

struct perf_group *perf_group_open(void); /* NULL when not even software events count */
/* Since open; g may be NULL. */
void perf_group_read(struct perf_group *g, struct perf_values *out);
void perf_group_close(struct perf_group *g);

#endif /* PERF_COUNTERS_H */
