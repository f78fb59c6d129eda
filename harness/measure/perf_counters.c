/* SPDX-License-Identifier: MIT */
/*
 * perf_counters.c - see perf_counters.h. Counting only, never sampling: a counter costs
 * the measured program nothing but the kernel's work at a context switch.
 */
#include "perf_counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct event {
	const char *name;
	uint32_t type;
	uint64_t config;
	bool in_kernel; /* it happens there: who counts user space alone counts none */
};

static const struct event hardware[] = {
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, false },
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, false },
	{ "cache-references", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_REFERENCES, false },
	{ "cache-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, false },
	{ "branch-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, false },
};

static const struct event software[] = {
	{ "task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, false },
	{ "context-switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, true },
	{ "cpu-migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS, true },
	{ "page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, false },
};

struct perf_group {
	struct {
		const char *name;
		int fd;
	} counter[PERF_VALUES_MAX];
	size_t n;
	bool hardware, user_only;
	char note[128];
};

static bool is_refusal(int error)
{
	return error == EACCES || error == EPERM;
}

static int event_open(const struct event *e, bool *user_only)
{
	struct perf_event_attr attr = {
		.type = e->type,
		.size = sizeof(attr),
		.config = e->config,
		.inherit = 1, /* threads that the engine starts count too */
		.exclude_kernel = 0,
		.exclude_hv = 1,
		.read_format =
			PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};
	int fd =
		(int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0 && is_refusal(errno) && !e->in_kernel) {
		attr.exclude_kernel = 1; /* what an ordinary user may see */
		fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1,
				  PERF_FLAG_FD_CLOEXEC);
		*user_only |= fd >= 0;
	}
	return fd;
}

static int open_all(struct perf_group *g, const struct event *e, size_t n)
{
	int error = 0;
	size_t i;

	for (i = 0; i < n && g->n < PERF_VALUES_MAX; i++) {
		int fd = event_open(&e[i], &g->user_only);

		if (fd < 0) {
			error = errno;
			continue;
		}
		g->counter[g->n].name = e[i].name;
		g->counter[g->n++].fd = fd;
	}
	return error;
}

/* error: why hardware events could not be opened. */
static void write_note(struct perf_group *g, int error)
{
	static const char see[] = "(see /proc/sys/kernel/perf_event_paranoid)";

	if (!g->hardware && is_refusal(error))
		(void)snprintf(g->note, sizeof(g->note),
			       "no hardware counters: not permitted %s", see);
	else if (g->user_only)
		(void)snprintf(g->note, sizeof(g->note), "%suser space only %s",
			       g->hardware ? "" : "no hardware counters, ", see);
	else if (!g->hardware)
		(void)snprintf(g->note, sizeof(g->note),
			       "no hardware counters: this machine offers none");
}

struct perf_group *perf_group_open(void)
{
	struct perf_group *g = calloc(1, sizeof(*g));
	int error;

	if (!g)
		return NULL;
	error = open_all(g, hardware, sizeof(hardware) / sizeof(hardware[0]));
	g->hardware = g->n > 0;
	(void)open_all(g, software, sizeof(software) / sizeof(software[0]));
	if (!g->n) {
		free(g);
		return NULL;
	}
	write_note(g, error);
	return g;
}

/* Counters that had to take turns counted only while they ran. */
static uint64_t scaled(uint64_t value, uint64_t enabled_ns, uint64_t running_ns)
{
	if (enabled_ns == running_ns)
		return value;
	return (uint64_t)((double)value * (double)enabled_ns / (double)running_ns);
}

void perf_group_read(struct perf_group *g, struct perf_values *out)
{
	size_t i;

	memset(out, 0, sizeof(*out));
	if (!g) {
		(void)snprintf(out->note, sizeof(out->note),
			       "perf_event_open is not available");
		return;
	}
	out->hardware = g->hardware;
	memcpy(out->note, g->note, sizeof(out->note));
	for (i = 0; i < g->n; i++) {
		uint64_t v[3]; /* value, time enabled, time running */
		struct perf_value *to = &out->v[out->n];

		/* One that never ran has not counted zero: it is left out. */
		if (read(g->counter[i].fd, v, sizeof(v)) != (ssize_t)sizeof(v) || !v[2])
			continue;
		(void)snprintf(to->name, sizeof(to->name), "%s", g->counter[i].name);
		to->value = scaled(v[0], v[1], v[2]);
		out->n++;
	}
}

void perf_group_close(struct perf_group *g)
{
	size_t i;

	if (!g)
		return;
	for (i = 0; i < g->n; i++)
		(void)close(g->counter[i].fd);
	free(g);
}
