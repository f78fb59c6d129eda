/* SPDX-License-Identifier: MIT */
/*
 * section_latency.c - percentiles as a table and as curves whose x axis, 1/(1-p) on a
 * logarithmic scale, gives the tail its room (after Tene's HdrHistogram plots).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "section.h"

/* ---- the table ---- */

static void add_cell(struct report *r, struct table *t, const struct grid_engine *e,
		     const json_t *cell)
{
	double p999, p9999;

	report_table_figure(r, t, e, cell, FIGURE_P50_NS, format_ns);
	if (strcmp(grid_status(e, cell), "ok"))
		return;
	p999 = cell_figure(cell, FIGURE_P999_NS);
	p9999 = cell_figure(cell, FIGURE_P9999_NS);
	if (isnan(p999))
		table_small(t, "p99 %s, max %s",
			    format_ns(cell_figure(cell, FIGURE_P99_NS)).s,
			    format_ns(cell_figure(cell, FIGURE_MAX_NS)).s);
	else if (isnan(p9999))
		table_small(t, "p99 %s, p99.9 %s, max %s",
			    format_ns(cell_figure(cell, FIGURE_P99_NS)).s,
			    format_ns(p999).s,
			    format_ns(cell_figure(cell, FIGURE_MAX_NS)).s);
	else
		table_small(t, "p99 %s, p99.9 %s, p99.99 %s, max %s",
			    format_ns(cell_figure(cell, FIGURE_P99_NS)).s,
			    format_ns(p999).s, format_ns(p9999).s,
			    format_ns(cell_figure(cell, FIGURE_MAX_NS)).s);
}

static void add_table(struct report *r, const struct grid_setting *s)
{
	struct table t = { 0 };
	size_t i, k;

	table_caption(&t,
		      "The median latency of an operation, below it the tail. A "
		      "percentile is left out where fewer than 100 samples lie beyond.");
	table_column(&t, "engine");
	for (k = 0; k < r->grid.workloads; k++)
		table_column(&t, "%s", r->grid.workload[k]);
	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];

		table_add(&t, TONE_PLAIN, "%s", e->label);
		for (k = 0; k < r->grid.workloads; k++)
			add_cell(r, &t, e,
				 grid_cell(&r->grid, s, r->grid.workload[k], e));
	}
	doc_table(&r->doc, &t);
}

/* ---- curves ---- */

struct bucket {
	double ns, count;
};

static int compare_buckets(const void *pa, const void *pb)
{
	const struct bucket *a = pa, *b = pb;

	return (a->ns > b->ns) - (a->ns < b->ns);
}

static const json_t *buckets_of(const json_t *replicate)
{
	const json_t *latency =
		json_object_get(json_object_get(replicate, "run"), "latency");

	return json_object_get(json_object_get(latency, "all"), "buckets");
}

/* The buckets of all replicates that count, ascending; the caller frees. */
static struct bucket *merge_buckets(const json_t *cell, size_t *n, double *total)
{
	const json_t *replicate;
	struct bucket *b;
	size_t cap = 1, i, k;

	*n = 0;
	*total = 0;
	for (i = 0; (replicate = cell_replicate(cell, i)); i++)
		cap += json_array_size(buckets_of(replicate));
	b = malloc(cap * sizeof(*b));
	for (i = 0; b && (replicate = cell_replicate(cell, i)); i++) {
		const json_t *pair;

		json_array_foreach(buckets_of(replicate), k, pair)
		{
			b[*n].ns = json_number_value(json_array_get(pair, 0));
			b[*n].count = json_number_value(json_array_get(pair, 1));
			*total += b[(*n)++].count;
		}
	}
	if (b)
		qsort(b, *n, sizeof(*b), compare_buckets);
	return b;
}

static void add_curve(struct line_chart *c, const json_t *cell)
{
	enum { BEYOND = 100, PER_DECADE = 16 };
	size_t n, i = 0;
	double total, below = 0;
	struct bucket *b = merge_buckets(cell, &n, &total);
	int step;

	if (!b) {
		c->failed = true;
		return;
	}
	for (step = 0;; step++) {
		double x = pow(10, (double)step / PER_DECADE);

		if (x > total / BEYOND)
			break;
		while (i < n && below + b[i].count < total * (1 - 1 / x))
			below += b[i++].count;
		if (i < n)
			line_add(c, x, b[i].ns);
	}
	free(b);
}

static void add_curves(struct report *r, const struct grid_setting *s,
		       const char *workload)
{
	const struct axis x = { "percentile", AXIS_PERCENTILE, true },
			  y = { "latency", AXIS_NS, true };
	struct line_chart c = { 0 };
	struct text title = { 0 };
	size_t i;

	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		const json_t *cell = grid_cell(&r->grid, s, workload, e);

		if (!grid_competes(e) || strcmp(grid_status(e, cell), "ok"))
			continue;
		if (line_chart_add(&c, e))
			add_curve(&c, cell);
	}
	text_printf(&title, "Workload %s: latency by percentile", workload);
	chart_lines(&r->pictures, report_picture_name("latency", workload, s).s,
		    text_string(&title), NULL, x, y, &c);
	text_free(&title);
	line_chart_free(&c);
}

void section_latency(struct report *r)
{
	size_t i, k;

	doc_heading(&r->doc, 2, "latency", "Latency");
	doc_paragraph(
		&r->doc, TONE_QUIET,
		"In a closed loop: a stall delays the operations behind it and is counted "
		"once. What a client sees at a given load needs an open loop (--rate).");
	for (i = 0; i < r->grid.closed; i++) {
		const struct grid_setting *s = &r->grid.setting[i];

		report_setting_heading(r, s);
		add_table(r, s);
		doc_gallery_begin(&r->doc);
		for (k = 0; k < r->grid.workloads; k++)
			add_curves(r, s, r->grid.workload[k]);
		doc_gallery_end(&r->doc);
	}
}
