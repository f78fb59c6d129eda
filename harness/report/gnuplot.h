/* SPDX-License-Identifier: MIT */
/*
 * gnuplot.h - draws one picture by a gnuplot of its own, as SVG for the page and as PNG
 * for a README.
 */
#ifndef REPORT_GNUPLOT_H
#define REPORT_GNUPLOT_H

#include "text.h"

/* Two greys that scripts use. Ink becomes the page's text colour in the SVG; the other is
 * readable on white and on black. */
#define GNUPLOT_INK  "#444444"
#define GNUPLOT_GREY "#888888"

struct gnuplot {
	const char *dir; /* which gets plots/; must exist */
	bool unusable;   /* no further picture is tried */
	unsigned int drawn, failed;
	struct kv_msg why; /* the first failure */
};

/* Makes dir/plots. */
int gnuplot_open(struct gnuplot *g, const char *dir, struct kv_msg *why);

/* Draws script, which ends with its one plot command, to plots/NAME.svg and plots/NAME.png
 * of a size in the SVG's pixels, and appends the SVG to svg for the page. -ENOENT when
 * gnuplot is not installed, -EIO when it fails; g->why then says what to do. */
int gnuplot_draw(struct gnuplot *g, const char *name, const char *title,
		 unsigned int width, unsigned int height, struct text *script,
		 struct text *svg);

/* s in gnuplot's single quotes, in which nothing is special. */
void gnuplot_add_quoted(struct text *script, const char *s);

#endif /* REPORT_GNUPLOT_H */
