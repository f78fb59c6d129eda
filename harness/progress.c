/* SPDX-License-Identifier: MIT */
/*
 * progress.c - see progress.h.
 */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "measure/clock.h"

enum { BAR = 24 };

static double now(void)
{
	return (double)clock_monotonic_ns() * 1e-9;
}

void progress_begin(struct progress *p, size_t total)
{
	*p = (struct progress){ .terminal = isatty(STDERR_FILENO),
				.total = total,
				.begun = now() };
}

static void print_time(char *out, size_t n, double seconds)
{
	unsigned int s = (unsigned int)seconds;

	if (s >= 3600)
		(void)snprintf(out, n, "%uh%02um", s / 3600, s / 60 % 60);
	else if (s >= 60)
		(void)snprintf(out, n, "%um%02us", s / 60, s % 60);
	else
		(void)snprintf(out, n, "%us", s);
}

void progress_show(struct progress *p, const char *what, double fraction)
{
	double done = (double)p->done + (fraction > 0 ? fraction : 0), share;
	char eta[32] = "";
	int filled, i;

	if (!p->terminal || !p->total)
		return;
	share = done / (double)p->total;
	filled = (int)(share * BAR);
	if (share > 0.01)
		print_time(eta, sizeof(eta), (now() - p->begun) * (1 - share) / share);
	fputs("\r[", stderr);
	for (i = 0; i < BAR; i++)
		fputc(i < filled ? '#' : '.', stderr);
	fprintf(stderr, "] %zu/%zu %-28.28s%s%s\033[K", p->done + 1, p->total, what,
		*eta ? " ETA " : "", eta);
	(void)fflush(stderr);
}

void progress_step(struct progress *p, const char *line)
{
	p->done++;
	if (!p->terminal)
		fprintf(stderr, "[%zu/%zu] %s\n", p->done, p->total, line);
}

void progress_end(struct progress *p)
{
	if (p->terminal)
		fputs("\r\033[K", stderr);
}
