/* SPDX-License-Identifier: MIT */
/*
 * chart_frame.c - axes, styles and names of charts.
 *
 * Engines of ours have the strong colours of Okabe & Ito's palette, which readers with any
 * common colour blindness tell apart; peers have muted ones, and a dash and a mark as
 * well. Names stand at the ends of lines (Tufte 1983), so that no legend is needed.
 */
#include "chart_frame.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- styles ---- */

struct style style_of(const struct grid_engine *e)
{
	static const char *const strong[] = { "#0072b2", "#d55e00", "#009e73",
					      "#cc79a7", "#e69f00", "#56b4e9" };
	static const char *const muted[] = { "#6f93b8", "#c08a5e", "#7fa37c", "#a98bb5",
					     "#a3a04e", "#5fa8a8", "#c07f86", "#8d8d8d" };
	static const char *const dash[] = {
		"1",      "(12,4)", "(3,3)",          "(12,4,3,4)",
		"(18,4)", "(6,3)",  "(12,3,3,3,3,3)", "(1,3)"
	};
	static const int point[] = { 7, 5, 9, 11, 13, 15, 4, 6 };
	unsigned int i = e->place;

	switch (e->kind) {
	case ENGINE_OURS:
		return (struct style){ strong[i % 6], "1", point[i % 8], 2.4 };
	case ENGINE_BASELINE:
		return (struct style){ GNUPLOT_INK, "1", point[i % 8], 1.8 };
	case ENGINE_NULL:
		return (struct style){ GNUPLOT_GREY, "(1,3)", 1, 1.2 };
	case ENGINE_PEER:
		break;
	}
	return (struct style){ muted[i % 8], dash[i % 8], point[i % 8], 1.8 };
}

struct formatted chart_name(const struct grid_engine *e)
{
	enum { COLUMNS = 18 };
	struct formatted f;
	size_t len = text_prefix(e->label, COLUMNS);
	bool whole = !e->label[len];

	if (!whole)
		len = text_prefix(e->label, COLUMNS - 1);
	if (len > sizeof(f.s) - 4)
		len = text_prefix(e->label, (sizeof(f.s) - 4) / 4);
	snprintf(f.s, sizeof(f.s), "%.*s%s", (int)len, e->label, whole ? "" : "…");
	return f;
}

/* ---- ranges ---- */

const struct range range_empty = { DBL_MAX, -DBL_MAX };

void range_include(struct range *r, double v, bool log)
{
	if (!isfinite(v) || (log && v <= 0))
		return;
	r->low = fmin(r->low, v);
	r->high = fmax(r->high, v);
}

void range_finish(struct range *r, bool log, bool from_zero)
{
	double room;

	if (r->low > r->high) { /* no data */
		*r = (struct range){ log ? 1 : 0, log ? 10 : 1 };
		return;
	}
	if (log) {
		room = fmax(pow(r->high / r->low, 0.05), 1.15);
		r->low /= room;
		r->high *= room;
		return;
	}
	if (from_zero)
		r->low = fmin(r->low, 0);
	room = (r->high - r->low) * 0.06;
	if (room <= 0)
		room = fmax(fabs(r->high) * 0.1, 1e-9);
	r->high += room;
	if (!from_zero)
		r->low -= room;
}

/* Where v lies: 0 at the axis' start, 1 at its end. */
static double range_place(const struct range *r, double v, bool log)
{
	if (log)
		return (log10(v) - log10(r->low)) / (log10(r->high) - log10(r->low));
	return (v - r->low) / (r->high - r->low);
}

/* ---- axes ---- */

static struct formatted axis_format(enum axis_kind kind, double v)
{
	struct formatted f;

	switch (kind) {
	case AXIS_RATE:
		snprintf(f.s, sizeof(f.s),
			 v >= 1e6   ? "%gM"
			 : v >= 1e3 ? "%gk"
				    : "%g",
			 v >= 1e6   ? v / 1e6
			 : v >= 1e3 ? v / 1e3
				    : v);
		return f;
	case AXIS_NS:
		snprintf(f.s, sizeof(f.s),
			 v >= 1e9   ? "%g s"
			 : v >= 1e6 ? "%g ms"
			 : v >= 1e3 ? "%g µs"
				    : "%g ns",
			 v >= 1e9   ? v / 1e9
			 : v >= 1e6 ? v / 1e6
			 : v >= 1e3 ? v / 1e3
				    : v);
		return f;
	case AXIS_BYTES:
		return format_bytes(v);
	case AXIS_PERCENTILE:
		snprintf(f.s, sizeof(f.s), v < 9 ? "p50" : "p%.10g", 100 - 100 / v);
		return f;
	case AXIS_NUMBER:
		break;
	}
	snprintf(f.s, sizeof(f.s), "%g", v);
	return f;
}

static void print_tick(struct text *script, const struct axis *axis, double v,
		       bool *first)
{
	text_add(script, *first ? "" : ", ");
	gnuplot_add_quoted(script, axis_format(axis->kind, v).s);
	text_printf(script, " %.10g", v);
	*first = false;
}

static bool within(const struct range *r, double v)
{
	double slack = 1e-9 * (fabs(r->high) + fabs(r->low));

	return v >= r->low - slack && v <= r->high + slack;
}

static void print_log_ticks(struct text *script, const struct axis *axis,
			    const struct range *r, unsigned int most)
{
	static const double fine[] = { 1, 2, 5 }, middle[] = { 1, 3 };
	double decades = log10(r->high / r->low);
	size_t per_decade = decades * 3 <= most ? 3 : decades * 2 <= most ? 2 : 1;
	const double *part = per_decade == 3 ? fine : middle;
	int step = (int)ceil(decades / most), d;
	bool first = true;

	if (step < 1)
		step = 1;
	if (axis->kind == AXIS_PERCENTILE)
		per_decade = 1;
	if (axis->kind == AXIS_PERCENTILE && within(r, 2))
		print_tick(script, axis, 2, &first);
	for (d = (int)floor(log10(r->low)); d <= (int)ceil(log10(r->high)); d++) {
		if (per_decade == 1 && d % step)
			continue;
		if (axis->kind == AXIS_PERCENTILE && d < 1)
			continue;
		for (size_t i = 0; i < per_decade; i++)
			if (within(r, part[i] * pow(10, d)))
				print_tick(script, axis, part[i] * pow(10, d), &first);
	}
}

static void print_linear_ticks(struct text *script, const struct axis *axis,
			       const struct range *r, unsigned int most)
{
	double rough = (r->high - r->low) / most;
	double unit = pow(10, floor(log10(rough)));
	double step = rough <= unit       ? unit
		      : rough <= 2 * unit ? 2 * unit
		      : rough <= 5 * unit ? 5 * unit
					  : 10 * unit;
	bool first = true;
	double i;

	for (i = ceil(r->low / step); i * step <= r->high; i++)
		print_tick(script, axis, i * step, &first);
}

void axis_print(struct text *script, char name, const struct axis *axis,
		const struct range *r, unsigned int pixels)
{
	unsigned int most = pixels / (name == 'x' ? 62 : 34);

	if (most < 2)
		most = 2;
	text_printf(script, "%s logscale %c\n", axis->log ? "set" : "unset", name);
	text_printf(script, "set %crange [%.12g:%.12g]\n", name, r->low, r->high);
	text_printf(script, "set %ctics scale 0.4 nomirror tc rgb '" GNUPLOT_GREY "' (",
		    name);
	if (axis->log)
		print_log_ticks(script, axis, r, most);
	else
		print_linear_ticks(script, axis, r, most);
	text_add(script, ")\n");
}

/* ---- the frame ---- */

void frame_print(struct text *script, const struct frame *f, const char *title,
		 const struct axis *x)
{
	double w = f->width, h = f->height;

	text_printf(script,
		    "set border 3 lc rgb '" GNUPLOT_GREY "' lw 0.8\n"
		    "set grid xtics ytics lc rgb '" GNUPLOT_GREY "' lw 0.35 dt (1,3)\n"
		    "unset key\n"
		    "set lmargin at screen %.4f\nset rmargin at screen %.4f\n"
		    "set bmargin at screen %.4f\nset tmargin at screen %.4f\n",
		    f->left / w, 1 - f->right / w, f->bottom / h, 1 - f->top / h);
	text_add(script, "set label ");
	gnuplot_add_quoted(script, title);
	text_printf(script,
		    " at screen 0.012, screen %.4f left tc rgb '" GNUPLOT_INK "'\n",
		    1 - 12 / h);
	if (x && x->label) {
		text_add(script, "set label ");
		gnuplot_add_quoted(script, x->label);
		text_printf(script,
			    " at screen %.4f, screen %.4f center tc rgb '" GNUPLOT_GREY
			    "'\n",
			    (f->left + (w - f->left - f->right) / 2) / w, 11 / h);
	}
}

/* ---- names ---- */

unsigned int names_width(const struct end_name *name, size_t n)
{
	size_t longest = 4, i;

	for (i = 0; i < n; i++) {
		size_t columns = text_columns(chart_name(name[i].engine).s);

		if (columns > longest)
			longest = columns;
	}
	return (unsigned int)(longest * 7 + 20);
}

static int compare_places(const void *pa, const void *pb)
{
	const struct end_name *a = pa, *b = pb;

	return (a->at > b->at) - (a->at < b->at);
}

/* From below upwards each keeps its distance from the one before; then, from the top down,
 * what was pushed out comes back in. */
static void spread(struct end_name *name, size_t n, double gap)
{
	double lowest = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		name[i].to = fmax(fmin(name[i].at, 1), lowest);
		lowest = name[i].to + gap;
	}
	for (i = n; i-- > 0;) {
		double highest = i + 1 < n ? name[i + 1].to - gap : 1;

		name[i].to = fmin(name[i].to, highest);
	}
}

void names_print(struct text *script, const struct frame *f, struct end_name *name,
		 size_t n, const struct range *y, bool log_y)
{
	double plot_width = f->width - f->left - f->right;
	double plot_height = f->height - f->top - f->bottom;
	size_t i;

	for (i = 0; i < n; i++)
		name[i].at = range_place(y, name[i].y, log_y);
	qsort(name, n, sizeof(*name), compare_places);
	spread(name, n, 14 / plot_height);
	for (i = 0; i < n; i++) {
		const char *color = style_of(name[i].engine).color;

		text_printf(
			script,
			"set arrow from first %.12g, first %.12g to graph %.4f, graph "
			"%.4f nohead lc rgb '%s' lw 0.5 dt (2,3)\n",
			name[i].x, name[i].y, 1 + 8 / plot_width, name[i].to, color);
		text_add(script, "set label ");
		gnuplot_add_quoted(script, chart_name(name[i].engine).s);
		text_printf(script, " at graph %.4f, graph %.4f left tc rgb '%s'\n",
			    1 + 12 / plot_width, name[i].to, color);
	}
}

/* ---- the picture ---- */

void chart_finish(struct pictures *p, const char *name, const char *title,
		  const char *caption, const struct frame *f, struct text *script)
{
	struct picture pic = { .name = name, .title = title, .caption = caption };
	struct text svg = { 0 };

	if (!gnuplot_draw(&p->gnuplot, name, title, f->width, f->height, script, &svg)) {
		pic.svg = svg.buf.data;
		pic.svg_len = svg.buf.len;
		p->doc->failed |= svg.failed;
		doc_picture(p->doc, &pic);
	}
	text_free(&svg);
	text_free(script);
}
