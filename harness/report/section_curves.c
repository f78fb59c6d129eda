/* SPDX-License-Identifier: MIT */
/*
 * section_curves.c - how a figure moves: over the seconds of a run, over threads, records
 * and value size, over the offered load. Each section is there when the set has such cells.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "section.h"

enum { REPLICATES_MAX = 64 };

static bool plotted(const struct grid_engine *e, const json_t *cell)
{
	return grid_competes(e) && !strcmp(grid_status(e, cell), "ok");
}

/* ---- over time ---- */

static const json_t *series_of(const json_t *replicate)
{
	return json_object_get(json_object_get(replicate, "run"), "series");
}

/* Seconds that every replicate of the cell has. */
static size_t series_length(const json_t *cell)
{
	const json_t *replicate;
	size_t shortest = 0, i;

	for (i = 0; (replicate = cell_replicate(cell, i)); i++) {
		size_t n = json_array_size(series_of(replicate));

		if (i == 0 || n < shortest)
			shortest = n;
	}
	return shortest;
}

/* The median over replicates of a column (0 operations, 1 p99) in one second. */
static double series_median(const json_t *cell, size_t second, size_t column)
{
	double v[REPLICATES_MAX];
	const json_t *replicate;
	size_t n = 0, i;

	for (i = 0; n < REPLICATES_MAX && (replicate = cell_replicate(cell, i)); i++) {
		const json_t *row = json_array_get(series_of(replicate), second);
		const json_t *value = json_array_get(row, column);

		if (json_is_number(value))
			v[n++] = json_number_value(value);
	}
	return stat_median(v, n);
}

static void add_time_chart(struct report *r, const struct grid_setting *s,
			   const char *workload, size_t column)
{
	const struct axis x = { "second of the run", AXIS_NUMBER, false },
			  rate = { NULL, AXIS_RATE, false },
			  tail = { NULL, AXIS_NS, true };
	struct line_chart c = { 0 };
	struct text title = { 0 };
	size_t i, k;

	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		const json_t *cell = grid_cell(&r->grid, s, workload, e);

		if (!plotted(e, cell) || series_length(cell) < 2 ||
		    !line_chart_add(&c, e))
			continue;
		for (k = 0; k < series_length(cell); k++)
			line_add(&c, (double)k + 1, series_median(cell, k, column));
	}
	text_printf(&title, "Workload %s: %s each second", workload,
		    column ? "p99" : "operations");
	chart_lines(&r->pictures,
		    report_picture_name(column ? "time-p99" : "time-ops", workload, s).s,
		    text_string(&title), NULL, x, column ? tail : rate, &c);
	text_free(&title);
	line_chart_free(&c);
}

static bool has_series(const struct report *r, const struct grid_setting *s,
		       const char *workload)
{
	size_t i;

	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		const json_t *cell = grid_cell(&r->grid, s, workload, e);

		if (plotted(e, cell) && series_length(cell) >= 2)
			return true;
	}
	return false;
}

void section_time(struct report *r)
{
	bool begun = false;
	size_t i, k;

	doc_heading(&r->doc, 2, "time", "Over time");
	for (i = 0; i < r->grid.closed; i++) {
		const struct grid_setting *s = &r->grid.setting[i];

		begun = false;
		for (k = 0; k < r->grid.workloads; k++) {
			if (!has_series(r, s, r->grid.workload[k]))
				continue;
			if (!begun) {
				report_setting_heading(r, s);
				doc_gallery_begin(&r->doc);
			}
			begun = true;
			add_time_chart(r, s, r->grid.workload[k], 0);
			add_time_chart(r, s, r->grid.workload[k], 1);
		}
		if (begun)
			doc_gallery_end(&r->doc);
	}
	doc_paragraph(
		&r->doc, TONE_QUIET,
		"An engine has a curve where its run took two full seconds or more. Give "
		"runs more operations, or --seconds, to see how even they are.");
}

/* ---- scaling ---- */

enum dimension { THREADS, RECORDS, VALUE_BYTES, OFFERED };

static double place(const struct grid_setting *s, enum dimension d)
{
	return d == THREADS       ? (double)s->threads
	       : d == RECORDS     ? (double)s->records
	       : d == VALUE_BYTES ? (double)s->value_bytes
				  : s->target;
}

static bool same_but(struct grid_setting a, const struct grid_setting *b,
		     enum dimension d)
{
	switch (d) {
	case THREADS:
		a.threads = b->threads;
		break;
	case RECORDS:
		a.records = b->records;
		break;
	case VALUE_BYTES:
		a.value_bytes = b->value_bytes;
		break;
	case OFFERED:
		a.target = b->target;
		break;
	}
	return grid_setting_same(&a, b);
}

struct span { /* of settings */
	size_t first, end;
};

/* How many settings there are that differ from s in d at most; 0 unless s is the first. */
static size_t group_size(const struct grid *g, const struct grid_setting *s,
			 struct span span, enum dimension d)
{
	size_t members = 0, i;

	for (i = span.first; i < span.end; i++) {
		if (!same_but(g->setting[i], s, d))
			continue;
		if (members++ == 0 && &g->setting[i] != s)
			return 0;
	}
	return members;
}

static void add_points(struct report *r, struct line_chart *c,
		       const struct grid_setting *lead, struct span span,
		       const char *workload, enum dimension d, enum figure f)
{
	size_t i, k;

	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];

		if (!grid_competes(e) || !line_chart_add(c, e))
			continue;
		for (k = span.first; k < span.end; k++) {
			const struct grid_setting *s = &r->grid.setting[k];
			const json_t *cell = grid_cell(&r->grid, s, workload, e);

			if (same_but(*lead, s, d) && plotted(e, cell))
				line_add(c, place(s, d), cell_figure(cell, f));
		}
	}
}

static void add_scaling_charts(struct report *r, const struct grid_setting *lead,
			       enum dimension d)
{
	static const char *const over[] = { "threads", "records", "value size" },
				 *const slug[] = { "threads", "records", "value" };
	const struct axis x = { d == VALUE_BYTES ? "bytes in a value" : over[d],
				d == VALUE_BYTES ? AXIS_BYTES : AXIS_RATE, d != THREADS };
	const struct axis y = { NULL, AXIS_RATE, false };
	struct span closed = { 0, r->grid.closed };
	size_t k;

	for (k = 0; k < r->grid.workloads; k++) {
		struct line_chart c = { 0 };
		struct text title = { 0 };

		add_points(r, &c, lead, closed, r->grid.workload[k], d, FIGURE_OPS_PER_S);
		text_printf(&title, "Workload %s: operations a second over %s",
			    r->grid.workload[k], over[d]);
		chart_lines(&r->pictures,
			    report_picture_name(slug[d], r->grid.workload[k], lead).s,
			    text_string(&title), NULL, x, y, &c);
		text_free(&title);
		line_chart_free(&c);
	}
}

void section_scaling(struct report *r)
{
	static const char *const words[] = { "threads", "the number of records",
					     "the size of values" };
	struct span closed = { 0, r->grid.closed };
	bool begun = false;
	size_t i;
	int d;

	for (d = THREADS; d <= VALUE_BYTES; d++) {
		for (i = 0; i < r->grid.closed; i++) {
			const struct grid_setting *s = &r->grid.setting[i];
			struct text about = { 0 };

			if (group_size(&r->grid, s, closed, (enum dimension)d) < 2)
				continue;
			if (!begun)
				doc_heading(&r->doc, 2, "scaling", "Scaling");
			begun = true;
			grid_setting_print(s, &about);
			doc_heading(&r->doc, 3, NULL, "Over %s, from %s", words[d],
				    text_string(&about));
			text_free(&about);
			doc_gallery_begin(&r->doc);
			add_scaling_charts(r, s, (enum dimension)d);
			doc_gallery_end(&r->doc);
		}
	}
}

/* ---- offered load ---- */

static void add_load_chart(struct report *r, const struct grid_setting *lead,
			   const char *workload, enum figure f)
{
	const struct axis x = { "operations a second offered", AXIS_RATE, true },
			  y = { NULL, AXIS_NS, true };
	struct span open = { r->grid.closed, r->grid.settings };
	struct line_chart c = { 0 };
	struct text title = { 0 };

	add_points(r, &c, lead, open, workload, OFFERED, f);
	text_printf(&title, "Workload %s: %s against offered load", workload,
		    figure_name(f));
	chart_lines(&r->pictures,
		    report_picture_name(f == FIGURE_P50_NS ? "load-p50" : "load-p99",
					workload, lead)
			    .s,
		    text_string(&title), NULL, x, y, &c);
	text_free(&title);
	line_chart_free(&c);
}

void section_load(struct report *r)
{
	struct span open = { r->grid.closed, r->grid.settings };
	size_t i, k;

	if (r->grid.closed == r->grid.settings)
		return;
	doc_heading(&r->doc, 2, "load", "Latency against offered load");
	doc_paragraph(
		&r->doc, TONE_QUIET,
		"In an open loop operations are due at fixed times and each latency counts "
		"from when it was due. Where an engine cannot keep up, its line turns "
		"upwards.");
	for (i = r->grid.closed; i < r->grid.settings; i++) {
		const struct grid_setting *s = &r->grid.setting[i];
		struct grid_setting words = *s;
		struct text about = { 0 };

		if (!group_size(&r->grid, s, open, OFFERED))
			continue;
		words.target = 0;
		grid_setting_print(&words, &about);
		doc_heading(&r->doc, 3, NULL, "%s", text_string(&about));
		text_free(&about);
		doc_gallery_begin(&r->doc);
		for (k = 0; k < r->grid.workloads; k++) {
			add_load_chart(r, s, r->grid.workload[k], FIGURE_P50_NS);
			add_load_chart(r, s, r->grid.workload[k], FIGURE_P99_NS);
		}
		doc_gallery_end(&r->doc);
	}
}
