/* SPDX-License-Identifier: MIT */
/*
 * chart_frame.h - what all charts share: axes with readable ticks, an engine's style, and
 * names beside the things they name. Only chart*.c use this.
 */
#ifndef REPORT_CHART_FRAME_H
#define REPORT_CHART_FRAME_H

#include "chart.h"

struct style {
	const char *color; /* "#rrggbb" */
	const char *dash;  /* gnuplot's dashtype */
	int point;
	double width;
};

struct style style_of(const struct grid_engine *e);
/* The label, shortened to what a chart has room for. */
struct formatted chart_name(const struct grid_engine *e);

/* What an axis spans; starts as range_empty. */
struct range {
	double low, high;
};

extern const struct range range_empty;

/* Takes v in; what is no number, or not above 0 on a logarithmic axis, is left out. */
void range_include(struct range *r, double v, bool log);
/* Widens r so that it has room around the data, and begins at 0 where it should. */
void range_finish(struct range *r, bool log, bool from_zero);
/* "set xrange", "set xtics" and so on; name is 'x' or 'y'. Few ticks on a narrow axis. */
void axis_print(struct text *script, char name, const struct axis *axis,
		const struct range *r, unsigned int pixels);

/* The plot's place in the picture, in pixels. */
struct frame {
	unsigned int width, height;
	unsigned int left, right, top, bottom; /* margins */
};

/* Border, margins and title. */
void frame_print(struct text *script, const struct frame *f, const char *title,
		 const struct axis *x);

/* A name at the right margin for something that ends at (x, y); the names are moved apart
 * where they would overlap, and a thin line leads to each. */
struct end_name {
	const struct grid_engine *engine;
	double x, y;   /* in the axes' own units */
	double at, to; /* place of y from 0 to 1; where the name is put */
};

/* at and to are filled in. */
void names_print(struct text *script, const struct frame *f, struct end_name *name,
		 size_t n, const struct range *y, bool log_y);
/* Width in pixels that the longest name needs. */
unsigned int names_width(const struct end_name *name, size_t n);

/* Draws script and puts the picture into the document. */
void chart_finish(struct pictures *p, const char *name, const char *title,
		  const char *caption, const struct frame *f, struct text *script);

#endif /* REPORT_CHART_FRAME_H */
