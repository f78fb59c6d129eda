/* SPDX-License-Identifier: MIT */
/*
 * clock.h - nanoseconds for latencies: the processor's counter where it is steady.
 *
 * A read costs about half of clock_gettime(2) on x86_64, and the measuring loop reads the
 * clock once an operation. clock_init() calibrates it against CLOCK_MONOTONIC; before
 * that, and where there is no steady counter, clock_now_ns() is clock_gettime itself.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

struct clock_scale { /* ns = (ticks - base_ticks) * multiplier >> 32, plus base_ns */
	bool counter;
	uint64_t base_ticks, base_ns, multiplier;
};

extern struct clock_scale clock_scale;

void clock_init(void);        /* takes 20 ms; once, before threads */
const char *clock_name(void); /* "tsc", "cntvct" or "clock_gettime" */

static inline uint64_t clock_monotonic_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#elif defined(__aarch64__)
	uint64_t v;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#else
	return 0;
#endif
}

static inline uint64_t clock_now_ns(void)
{
	uint64_t ticks;

	if (!clock_scale.counter)
		return clock_monotonic_ns();
	ticks = clock_ticks() - clock_scale.base_ticks;
	return clock_scale.base_ns +
	       (uint64_t)((unsigned __int128)ticks * clock_scale.multiplier >> 32);
}

#endif /* CLOCK_H */
