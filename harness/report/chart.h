/* SPDX-License-Identifier: MIT */
/*
 * chart.h - the kinds of pictures that a report has, made from numbers.
 *
 * An engine has one colour, dash and mark in all of them; ours are strong, peers muted.
 */
#ifndef REPORT_CHART_H
#define REPORT_CHART_H

#include "doc.h"
#include "gnuplot.h"
#include "grid.h"

enum axis_kind {
	AXIS_NUMBER,
	AXIS_RATE, /* operations a second */
	AXIS_NS,   /* latency */
	AXIS_BYTES,
	AXIS_PERCENTILE, /* 1/(1-p), named by p */
};

struct axis {
	const char *label;
	enum axis_kind kind;
	bool log;
};

/* The pictures of a report: what they need to be drawn and to be put into it. */
struct pictures {
	struct gnuplot gnuplot;
	struct doc *doc;
};

/* ---- lines: a curve an engine ---- */

struct line {
	const struct grid_engine *engine;
	double *x, *y; /* owned; points with a NAN are left out */
	size_t n, cap;
};

struct line_chart {
	struct line *line; /* owned */
	size_t lines;
	bool failed; /* out of memory */
};

/* One line more; NULL (and c->failed) when out of memory. Good until the next call. */
struct line *line_chart_add(struct line_chart *c, const struct grid_engine *e);
void line_add(struct line_chart *c, double x, double y); /* to the line added last */
void line_chart_free(struct line_chart *c);

/* Draws nothing when there is no point. name is a file name's part. */
void chart_lines(struct pictures *p, const char *name, const char *title,
		 const char *caption, struct axis x, struct axis y,
		 const struct line_chart *c);

/* ---- bars: a number an engine, with the replicates it is the median of ---- */

enum { CHART_DOTS = 64 };

struct bar {
	const struct grid_engine *engine;
	double value; /* NAN: the status stands in its place */
	const char *status;
	double dot[CHART_DOTS];
	size_t dots;
};

void chart_bars(struct pictures *p, const char *name, const char *title,
		const char *caption, const struct bar *bar, size_t n);

/* ---- ratios with intervals, grouped ---- */

struct ratio_row {
	const char *group; /* starts a new one where it differs from the row before */
	const struct grid_engine *engine;
	struct stat_ratio ratio;
};

void chart_ratios(struct pictures *p, const char *name, const char *title,
		  const char *caption, const char *base, const struct ratio_row *row,
		  size_t n);

/* ---- bubbles: write against read amplification ---- */

struct bubble {
	const struct grid_engine *engine;
	double x, y, y_settled, size;
};

void chart_bubbles(struct pictures *p, const char *name, const char *title,
		   const char *caption, struct axis x, struct axis y,
		   const struct bubble *bubble, size_t n);

#endif /* REPORT_CHART_H */
