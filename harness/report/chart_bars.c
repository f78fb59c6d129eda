/* SPDX-License-Identifier: MIT */
/*
 * chart_bars.c - a bar an engine, and ratios with their intervals: a row a number, named
 * at the left, so that it reads on a narrow screen.
 */
#include "chart_frame.h"

#include <math.h>
#include <string.h>

/* Rows count from the top: row i is drawn at y = -i. */
static void print_row_name(struct text *script, const char *name, size_t row,
			   double pixels, const char *color)
{
	text_add(script, "set label ");
	gnuplot_add_quoted(script, name);
	text_printf(script, " at graph %.4f, first %.1f right tc rgb '%s'\n", -6 / pixels,
		    -(double)row, color);
}

static unsigned int name_width(size_t columns)
{
	return (unsigned int)(columns * 9 + 16);
}

static void print_rows_axis(struct text *script, size_t rows)
{
	text_printf(script, "unset logscale y\nset yrange [%.1f:0.6]\nunset ytics\n",
		    -(double)rows + 0.4);
}

/* ---- bars ---- */

static void print_bar_data(struct text *script, const struct bar *bar, size_t n)
{
	size_t i, k;

	text_add(script, "$bars << EOD\n");
	for (i = 0; i < n; i++) {
		double v = isnan(bar[i].value) ? 0 : bar[i].value;
		const char *color = style_of(bar[i].engine).color;

		text_printf(script, "%.9g %.2f 0 %.9g %.2f %.2f 0x%s\n", v / 2,
			    -(double)i, v, -(double)i - 0.32, -(double)i + 0.32,
			    color + 1);
	}
	text_add(script, "EOD\n$dots << EOD\nNaN NaN\n");
	for (i = 0; i < n; i++)
		for (k = 0; k < bar[i].dots; k++)
			text_printf(script, "%.9g %.2f\n", bar[i].dot[k], -(double)i);
	text_add(script,
		 "EOD\n"
		 "plot $bars using 1:2:3:4:5:6:7 with boxxyerror fs solid 0.75 noborder "
		 "lc rgb variable, "
		 "$dots using 1:2 with points pt 7 ps 0.28 lc rgb '" GNUPLOT_INK "'\n");
}

void chart_bars(struct pictures *p, const char *name, const char *title,
		const char *caption, const struct bar *bar, size_t n)
{
	struct frame f = { .width = 460, .right = 12, .top = 30, .bottom = 30 };
	struct axis x = { NULL, AXIS_RATE, false };
	struct range r = range_empty;
	struct text script = { 0 };
	size_t longest = 4, i, k;
	double pixels;

	for (i = 0; i < n; i++) {
		size_t columns = text_columns(chart_name(bar[i].engine).s);

		longest = columns > longest ? columns : longest;
		range_include(&r, bar[i].value, false);
		for (k = 0; k < bar[i].dots; k++)
			range_include(&r, bar[i].dot[k], false);
	}
	if (r.low > r.high) /* no engine has a number: the table says why */
		return;
	range_finish(&r, false, true);
	r.high *= 1.2; /* room for the numbers behind the bars */
	f.left = name_width(longest);
	f.height = f.top + f.bottom + (unsigned int)n * 20;
	pixels = f.width - f.left - f.right;
	frame_print(&script, &f, title, &x);
	axis_print(&script, 'x', &x, &r, (unsigned int)pixels);
	print_rows_axis(&script, n);
	for (i = 0; i < n; i++) {
		bool none = isnan(bar[i].value);
		double end = none ? 0 : bar[i].value;

		for (k = 0; k < bar[i].dots; k++)
			end = fmax(end, bar[i].dot[k]);
		print_row_name(&script, chart_name(bar[i].engine).s, i, pixels,
			       GNUPLOT_INK);
		text_add(&script, "set label ");
		gnuplot_add_quoted(&script,
				   none ? bar[i].status : format_rate(bar[i].value).s);
		text_printf(&script,
			    " at first %.9g, first %.1f left offset 0.6,0 tc rgb '%s'\n",
			    end, -(double)i, none ? GNUPLOT_GREY : GNUPLOT_INK);
	}
	print_bar_data(&script, bar, n);
	chart_finish(p, name, title, caption, &f, &script);
}

/* ---- ratios ---- */

/* A group's name has a row of its own above its engines. */
static size_t row_of(const struct ratio_row *row, size_t i)
{
	size_t k, y = i;

	for (k = 0; k <= i; k++)
		y += k == 0 || strcmp(row[k].group, row[k - 1].group);
	return y;
}

static void print_ratio_data(struct text *script, const struct ratio_row *row, size_t n)
{
	size_t i;

	text_add(script, "$intervals << EOD\nNaN NaN NaN NaN 0\n");
	for (i = 0; i < n; i++)
		if (!isnan(row[i].ratio.low) && row[i].ratio.low > 0)
			text_printf(script, "%.9g %zu %.9g %.9g 0x%s\n",
				    row[i].ratio.ratio, row_of(row, i), row[i].ratio.low,
				    row[i].ratio.high, style_of(row[i].engine).color + 1);
	text_add(script, "EOD\n$points << EOD\n");
	for (i = 0; i < n; i++)
		text_printf(script, "%.9g %zu 0x%s\n", row[i].ratio.ratio, row_of(row, i),
			    style_of(row[i].engine).color + 1);
	text_add(script,
		 "EOD\n"
		 "plot $intervals using 1:(-$2):3:4:5 with xerrorbars pt 0 lw 1.6 lc rgb "
		 "variable, "
		 "$points using 1:(-$2):3 with points pt 7 ps 0.7 lc rgb variable\n");
}

void chart_ratios(struct pictures *p, const char *name, const char *title,
		  const char *caption, const char *base, const struct ratio_row *row,
		  size_t n)
{
	struct frame f = { .width = 460, .right = 64, .top = 34, .bottom = 46 };
	struct axis x = { "", AXIS_NUMBER, true };
	struct text script = { 0 }, label = { 0 };
	struct range r = range_empty;
	size_t longest = 4, rows = 0, i;
	double pixels;

	range_include(&r, 1, true);
	for (i = 0; i < n; i++) {
		size_t columns = text_columns(chart_name(row[i].engine).s);

		longest = columns > longest ? columns : longest;
		range_include(&r, row[i].ratio.ratio, true);
		range_include(&r, row[i].ratio.low, true);
		range_include(&r, row[i].ratio.high, true);
		rows = row_of(row, i) + 1;
	}
	if (n == 0)
		return;
	range_finish(&r, true, false);
	text_printf(&label, "times %.40s, logarithmic", base);
	x.label = text_string(&label);
	f.left = name_width(longest);
	f.height = f.top + f.bottom + (unsigned int)rows * 17;
	pixels = f.width - f.left - f.right;
	frame_print(&script, &f, title, &x);
	axis_print(&script, 'x', &x, &r, (unsigned int)pixels);
	print_rows_axis(&script, rows);
	text_printf(&script,
		    "set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '" GNUPLOT_INK
		    "' lw 1 back\n");
	for (i = 0; i < n; i++) {
		size_t y = row_of(row, i);

		if (i == 0 || strcmp(row[i].group, row[i - 1].group))
			print_row_name(&script, row[i].group, y - 1, pixels,
				       GNUPLOT_GREY);
		print_row_name(&script, chart_name(row[i].engine).s, y, pixels,
			       GNUPLOT_INK);
		text_add(&script, "set label ");
		gnuplot_add_quoted(&script, format_ratio(row[i].ratio.ratio).s);
		text_printf(&script,
			    " at graph %.4f, first %.1f left tc rgb '" GNUPLOT_INK "'\n",
			    1 + 8 / pixels, -(double)y);
	}
	print_ratio_data(&script, row, n);
	chart_finish(p, name, title, caption, &f, &script);
	text_free(&label);
}
