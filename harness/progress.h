/* SPDX-License-Identifier: MIT */
/*
 * progress.h - how far long work is: a bar on a terminal, plain lines elsewhere.
 *
 * Everything goes to stderr, so that standard output stays for results.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct progress {
	bool terminal;
	size_t done, total; /* steps */
	double begun;       /* seconds */
};

void progress_begin(struct progress *p, size_t total);
/* Where the running step is: fraction 0..1 of it, or negative where nobody knows. Draws
 * only on a terminal, and not too often. */
void progress_show(struct progress *p, const char *what, double fraction);
/* A step has ended; the line is kept where there is no bar. */
void progress_step(struct progress *p, const char *line);
void progress_end(struct progress *p); /* removes the bar */

#endif /* PROGRESS_H */
