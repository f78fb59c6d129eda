/* SPDX-License-Identifier: MIT */
/*
 * clock.c - see clock.h.
 */
#include "clock.h"

#include <stdio.h>
#include <string.h>

struct clock_scale clock_scale;

/* Does the kernel itself trust the counter? Its choice of clock source says so. */
static bool counter_is_steady(void)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char name[32] = "";
	FILE *f;

#if defined(__aarch64__)
	return true; /* the generic timer is architectural */
#endif
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	(void)fclose(f);
	return !strncmp(name, "tsc", 3) || !strncmp(name, "kvm-clock", 9);
}

/* Both clocks at one moment. Whoever is interrupted between two reads takes a wrong pair,
 * and a millisecond of it would make every latency 5% wrong: of many the tightest. */
static void read_pair(uint64_t *ticks, uint64_t *ns)
{
	uint64_t least = UINT64_MAX;
	int i;

	for (i = 0; i < 64; i++) {
		uint64_t before = clock_ticks(), now = clock_monotonic_ns(),
			 after = clock_ticks();

		if (after - before >= least)
			continue;
		least = after - before;
		*ticks = before + least / 2;
		*ns = now;
	}
}

void clock_init(void)
{
	struct timespec wait = { 0, 20000000 };
	uint64_t ticks = 0, ns = 0, ticks_end = 0, ns_end = 0;

	clock_scale.counter = false;
#if !defined(__x86_64__) && !defined(__aarch64__)
	return;
#endif
	if (!counter_is_steady())
		return;
	read_pair(&ticks, &ns);
	(void)nanosleep(&wait, NULL);
	read_pair(&ticks_end, &ns_end);
	if (ticks_end <= ticks || ns_end <= ns)
		return;
	clock_scale.base_ticks = ticks;
	clock_scale.base_ns = ns;
	clock_scale.multiplier = (uint64_t)(((unsigned __int128)(ns_end - ns) << 32) /
					    (ticks_end - ticks));
	clock_scale.counter = true;
}

const char *clock_name(void)
{
	if (!clock_scale.counter)
		return "clock_gettime";
#if defined(__x86_64__)
	return "tsc";
#else
	return "cntvct";
#endif
}
