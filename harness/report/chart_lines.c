/* SPDX-License-Identifier: MIT */
/*
 * chart_lines.c - curves, and bubbles, with their names at the right.
 */
#include "chart_frame.h"

#include <math.h>
#include <stdlib.h>

/* ---- the data ---- */

struct line *line_chart_add(struct line_chart *c, const struct grid_engine *e)
{
	struct line *more = realloc(c->line, (c->lines + 1) * sizeof(*more));

	if (!more) {
		c->failed = true;
		return NULL;
	}
	c->line = more;
	c->line[c->lines] = (struct line){ .engine = e };
	return &c->line[c->lines++];
}

static bool grow(double **array, size_t cap)
{
	double *more = realloc(*array, cap * sizeof(*more));

	if (more)
		*array = more;
	return more;
}

void line_add(struct line_chart *c, double x, double y)
{
	struct line *l = c->lines ? &c->line[c->lines - 1] : NULL;

	if (!l || c->failed || !isfinite(x) || !isfinite(y))
		return;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;

		if (!grow(&l->x, cap) || !grow(&l->y, cap)) {
			c->failed = true;
			return;
		}
		l->cap = cap;
	}
	l->x[l->n] = x;
	l->y[l->n++] = y;
}

/* Of the longest line. */
static size_t line_chart_points(const struct line_chart *c)
{
	size_t most = 0, i;

	for (i = 0; i < c->lines; i++)
		if (c->line[i].n > most)
			most = c->line[i].n;
	return most;
}

void line_chart_free(struct line_chart *c)
{
	size_t i;

	for (i = 0; i < c->lines; i++) {
		free(c->line[i].x);
		free(c->line[i].y);
	}
	free(c->line);
	*c = (struct line_chart){ 0 };
}

/* ---- curves ---- */

static void find_ranges(const struct line_chart *c, const struct axis *x,
			const struct axis *y, struct range *rx, struct range *ry)
{
	size_t i, k;

	*rx = *ry = range_empty;
	for (i = 0; i < c->lines; i++) {
		for (k = 0; k < c->line[i].n; k++) {
			range_include(rx, c->line[i].x[k], x->log);
			range_include(ry, c->line[i].y[k], y->log);
		}
	}
	if (rx->low < rx->high) { /* curves fill the width; single points need room */
		if (!x->log && rx->low > 0 && rx->low <= 1)
			rx->low = 0;
	} else {
		range_finish(rx, x->log, false);
	}
	range_finish(ry, y->log, !y->log);
}

static void print_curves(struct text *script, const struct line_chart *c)
{
	bool marks = line_chart_points(c) <= 12, first = true;
	size_t i, k;

	for (i = 0; i < c->lines; i++) {
		text_printf(script, "$line%zu << EOD\n", i);
		for (k = 0; k < c->line[i].n; k++)
			text_printf(script, "%.9g %.9g\n", c->line[i].x[k],
				    c->line[i].y[k]);
		text_add(script, "EOD\n");
	}
	text_add(script, "plot ");
	for (i = 0; i < c->lines; i++) {
		struct style s = style_of(c->line[i].engine);

		if (c->line[i].n == 0)
			continue;
		text_printf(script,
			    "%s$line%zu using 1:2 with %s lc rgb '%s' lw %.1f dt %s",
			    first ? "" : ", ", i, marks ? "linespoints" : "lines",
			    s.color, s.width, s.dash);
		if (marks)
			text_printf(script, " pt %d ps 0.6", s.point);
		first = false;
	}
	text_add(script, "\n");
}

void chart_lines(struct pictures *p, const char *name, const char *title,
		 const char *caption, struct axis x, struct axis y,
		 const struct line_chart *c)
{
	struct frame f = {
		.width = 460, .height = 300, .left = 58, .top = 34, .bottom = 46
	};
	struct end_name *end = calloc(c->lines + 1, sizeof(*end));
	struct text script = { 0 };
	struct range rx, ry;
	size_t n = 0, i;

	if (!end || c->failed) {
		p->doc->failed = true;
		goto out;
	}
	for (i = 0; i < c->lines; i++) {
		const struct line *l = &c->line[i];

		if (l->n)
			end[n++] = (struct end_name){ .engine = l->engine,
						      .x = l->x[l->n - 1],
						      .y = l->y[l->n - 1] };
	}
	if (n == 0)
		goto out;
	f.right = names_width(end, n);
	find_ranges(c, &x, &y, &rx, &ry);
	frame_print(&script, &f, title, &x);
	axis_print(&script, 'x', &x, &rx, f.width - f.left - f.right);
	axis_print(&script, 'y', &y, &ry, f.height - f.top - f.bottom);
	names_print(&script, &f, end, n, &ry, y.log);
	print_curves(&script, c);
	chart_finish(p, name, title, caption, &f, &script);
out:
	free(end);
}

/* ---- bubbles ---- */

/* A ring where the run ended, a disc when background work was done, a line between. */
static void print_bubbles(struct text *script, const struct bubble *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		double size = 1.1 * sqrt(fmin(fmax(b[i].size, 0.2), 12));

		text_printf(script,
			    "$fg%zu << EOD\n%.9g %.9g %.4f\nEOD\n"
			    "$st%zu << EOD\n%.9g %.9g %.4f\nEOD\n"
			    "$way%zu << EOD\n%.9g %.9g\n%.9g %.9g\nEOD\n",
			    i, b[i].x, b[i].y, size, i, b[i].x, b[i].y_settled, size, i,
			    b[i].x, b[i].y, b[i].x, b[i].y_settled);
	}
	text_add(script, "plot ");
	for (i = 0; i < n; i++) {
		const char *color = style_of(b[i].engine).color;

		text_printf(
			script,
			"%s$way%zu using 1:2 with lines lc rgb '%s' lw 1 dt 1, "
			"$fg%zu using 1:2:3 with points pt 6 ps variable lc rgb '%s' lw 1.4, "
			"$st%zu using 1:2:3 with points pt 7 ps variable lc rgb '%s'",
			i ? ", " : "", i, color, i, color, i, color);
	}
	text_add(script, "\n");
}

void chart_bubbles(struct pictures *p, const char *name, const char *title,
		   const char *caption, struct axis x, struct axis y,
		   const struct bubble *bubble, size_t n)
{
	struct frame f = {
		.width = 460, .height = 300, .left = 58, .top = 34, .bottom = 46
	};
	struct end_name *end = calloc(n + 1, sizeof(*end));
	struct range rx = range_empty, ry = range_empty;
	struct text script = { 0 };
	size_t i;

	if (!end) {
		p->doc->failed = true;
		return;
	}
	for (i = 0; i < n; i++) {
		range_include(&rx, bubble[i].x, x.log);
		range_include(&ry, bubble[i].y, y.log);
		range_include(&ry, bubble[i].y_settled, y.log);
		end[i] = (struct end_name){ .engine = bubble[i].engine,
					    .x = bubble[i].x,
					    .y = bubble[i].y_settled };
	}
	if (n) {
		f.right = names_width(end, n);
		range_finish(&rx, x.log, !x.log);
		range_finish(&ry, y.log, !y.log);
		if (!x.log) /* a bubble at 0 is a whole one */
			rx.low -= 0.06 * (rx.high - rx.low);
		frame_print(&script, &f, title, &x);
		axis_print(&script, 'x', &x, &rx, f.width - f.left - f.right);
		axis_print(&script, 'y', &y, &ry, f.height - f.top - f.bottom);
		names_print(&script, &f, end, n, &ry, y.log);
		print_bubbles(&script, bubble, n);
		chart_finish(p, name, title, caption, &f, &script);
	}
	free(end);
}
