/* SPDX-License-Identifier: MIT */
/*
 * bench_row.h - measures an operation and prints it as a row of a table; what the sprints'
 * own benches share.
 *
 * A row is repeated until it has filled BENCH_ROW_NS, and that bench_repeats times over:
 * the table shows the median, the least and the most of these, in ns an operation. The
 * first row of a group is the one that the others are set against.
 *
 * One file includes it, and its state is that program's. Threads: one.
 */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include "../port.h"

#include <time.h>

enum { BENCH_ROW_NS = 8000000, BENCH_REPEATS = 7, BENCH_REPEATS_MAX = 99 };

/* Does ops operations on arg and returns how many ns they took. */
typedef uint64_t bench_fn(void *arg, size_t ops);

static int bench_repeats = BENCH_REPEATS;
static volatile uint64_t bench_sink; /* takes answers, so that no loop is left out */
static double bench_first_ns;        /* of the group's first row; 0 before it */

static inline uint64_t bench_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t bench_random(uint64_t *state) /* xorshift64*; state is not 0 */
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

static inline size_t bench_random_below(uint64_t *state, size_t n) /* n < 2^32 */
{
	return (size_t)((bench_random(state) >> 32) * n >> 32);
}

/* Says why on standard error and exits with 1. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void
bench_die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* For calls that have no reason to fail but the machine's. */
static inline void bench_must(int error, const char *what)
{
	if (error)
		bench_die("%s: %s", what, strerror(-error));
}

/* n bytes at a multiple of 16; port_free_aligned() ends them. */
static inline void *bench_alloc(size_t n)
{
	void *p = port_alloc_aligned(16, n);

	if (!p)
		bench_die("no memory for a buffer of %zu bytes", n);
	return p;
}

static inline void bench_section(const char *title)
{
	printf("\n%-40s %8s %12s %10s %10s\n", title, "size", "ns/op", "least", "most");
}

/* The next row is the one that those after it are set against. */
static inline void bench_group(void)
{
	bench_first_ns = 0;
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Measures and prints one row. bytes: that an operation goes through, 0 to say nothing. */
static inline void bench_row(const char *what, size_t size, size_t bytes, bench_fn *run,
			     void *arg)
{
	double ns[BENCH_REPEATS_MAX] = { 0 }, median;
	int n = bench_repeats, i;
	uint64_t took;
	size_t ops = 1;

	/* The first rounds warm up, and find how many operations fill BENCH_ROW_NS. */
	while ((took = run(arg, ops)) < BENCH_ROW_NS / 4)
		ops *= 2;
	ops = (size_t)((double)ops * BENCH_ROW_NS / (double)took) + 1;
	for (i = 0; i < n; i++)
		ns[i] = (double)run(arg, ops) / (double)ops;
	port_sort(ns, (size_t)n, sizeof(ns[0]), bench_compare);
	median = (ns[n / 2] + ns[(n - 1) / 2]) / 2;

	printf("  %-38s %8zu %12.1f %10.1f %10.1f", what, size, median, ns[0], ns[n - 1]);
	if (bench_first_ns > 0)
		printf("  %6.2fx", bench_first_ns / median);
	else if (bytes)
		printf("  %7s", "");
	if (bytes)
		printf("  %6.2f GB/s", (double)bytes / median);
	putchar('\n');
	if (!(bench_first_ns > 0))
		bench_first_ns = median;
}

#endif /* BENCH_ROW_H */
