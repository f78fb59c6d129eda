/* SPDX-License-Identifier: MIT */
/*
 * section_relative.c - the table that a reader looks for first: each engine's throughput
 * as a ratio to the base's, a row an engine, a column a workload; then the same as bars.
 */
#include <math.h>
#include <string.h>

#include "section.h"

static enum tone tone_of(double ratio)
{
	static const struct {
		double least;
		enum tone tone;
	} steps[] = { { 2, TONE_BETTER_3 },       { 1.25, TONE_BETTER_2 },
		      { 1.05, TONE_BETTER_1 },    { 1 / 1.05, TONE_EVEN },
		      { 1 / 1.25, TONE_WORSE_1 }, { 1 / 2.0, TONE_WORSE_2 } };
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (ratio >= steps[i].least)
			return steps[i].tone;
	return TONE_WORSE_3;
}

static void add_rate_alone(struct table *t, const json_t *cell, enum tone tone)
{
	table_add(t, tone, "%s/s", format_rate(cell_figure(cell, FIGURE_OPS_PER_S)).s);
}

/* "1.42×" above "1.31–1.55, 123 k/s". */
static void add_ratio(struct report *r, struct table *t, const json_t *cell,
		      const json_t *base)
{
	struct kv_msg why = { "" };
	struct stat_ratio ratio = cell_ratio(cell, base, FIGURE_OPS_PER_S, &why);
	struct formatted rate = format_rate(cell_figure(cell, FIGURE_OPS_PER_S));

	if (isnan(ratio.ratio)) {
		add_rate_alone(t, cell, TONE_PLAIN);
		if (*why.text)
			table_note(t, why.text);
		return;
	}
	if (!r->grid.inference || isnan(ratio.low)) {
		table_add(t, tone_of(ratio.ratio), "%s", format_ratio(ratio.ratio).s);
		table_small(t, "%s/s", rate.s);
		return;
	}
	table_add(t, ratio.detected ? tone_of(ratio.ratio) : TONE_EVEN, "%s%s",
		  ratio.detected ? "" : "~ ", format_ratio(ratio.ratio).s);
	table_small(t, "%.2f–%.2f, %s/s", ratio.low, ratio.high, rate.s);
}

static void add_cell(struct report *r, struct table *t, const struct grid_setting *s,
		     const char *workload, const struct grid_engine *e)
{
	const json_t *cell = grid_cell(&r->grid, s, workload, e), *base = NULL;

	if (strcmp(grid_status(e, cell), "ok")) {
		report_table_figure(r, t, e, cell, FIGURE_OPS_PER_S, format_rate);
		return;
	}
	if (r->grid.base)
		base = grid_cell(&r->grid, s, workload, r->grid.base);
	if (e == r->grid.base)
		add_rate_alone(t, cell, TONE_BASE);
	else if (!base || !cell_ok(base) || !grid_competes(e))
		add_rate_alone(t, cell, TONE_PLAIN);
	else
		add_ratio(r, t, cell, base);
}

static void add_table(struct report *r, const struct grid_setting *s, bool first)
{
	struct table t = { .id = first ? "relative" : NULL };
	size_t i, k;

	table_caption(&t,
		      "Throughput as a ratio to %s, below it the operations a second%s. "
		      "Medians.",
		      r->grid.base ? r->grid.base->label : "the base",
		      r->grid.inference
			      ? "; 95% intervals by bootstrap, ~ where no difference "
				"was detected"
			      : "");
	table_column(&t, "engine");
	for (k = 0; k < r->grid.workloads; k++)
		table_column(&t, "%s", r->grid.workload[k]);
	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];

		table_add(&t, TONE_PLAIN, "%s", e->label);
		if (e->kind == ENGINE_NULL)
			table_small(&t, "the harness itself");
		for (k = 0; k < r->grid.workloads; k++)
			add_cell(r, &t, s, r->grid.workload[k], e);
	}
	doc_table(&r->doc, &t);
}

/* ---- bars ---- */

static void add_bars(struct report *r, const struct grid_setting *s, const char *workload)
{
	struct bar bar[64];
	struct text title = { 0 };
	size_t n = 0, i;

	for (i = 0; i < r->grid.engines && n < sizeof(bar) / sizeof(bar[0]); i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		const json_t *cell = grid_cell(&r->grid, s, workload, e);
		const char *status = grid_status(e, cell);

		if (!grid_competes(e) || (!cell && !e->available))
			continue;
		bar[n] = (struct bar){ .engine = e, .value = NAN, .status = status };
		if (!strcmp(status, "ok")) {
			bar[n].value = cell_figure(cell, FIGURE_OPS_PER_S);
			bar[n].dots = cell_values(cell, FIGURE_OPS_PER_S, bar[n].dot,
						  CHART_DOTS);
		}
		n++;
	}
	text_printf(&title, "Workload %s: operations a second", workload);
	chart_bars(&r->pictures, report_picture_name("throughput", workload, s).s,
		   text_string(&title), NULL, bar, n);
	text_free(&title);
}

static void add_ratio_chart(struct report *r, const struct grid_setting *s)
{
	struct ratio_row row[256];
	struct text caption = { 0 };
	size_t n = 0, i, k;

	if (!r->grid.base)
		return;
	for (k = 0; k < r->grid.workloads; k++) {
		const json_t *base =
			grid_cell(&r->grid, s, r->grid.workload[k], r->grid.base);

		for (i = 0; i < r->grid.engines; i++) {
			const struct grid_engine *e = &r->grid.engine[i];
			const json_t *cell =
				grid_cell(&r->grid, s, r->grid.workload[k], e);
			struct kv_msg why;

			if (n == sizeof(row) / sizeof(row[0]) || !base || !cell ||
			    e == r->grid.base || !grid_competes(e) || !cell_ok(cell) ||
			    !cell_ok(base))
				continue;
			row[n].group = r->grid.workload[k];
			row[n].engine = e;
			row[n].ratio = cell_ratio(cell, base, FIGURE_OPS_PER_S, &why);
			if (!r->grid.inference)
				row[n].ratio.low = row[n].ratio.high = NAN;
			n += row[n].ratio.ratio > 0;
		}
	}
	text_printf(
		&caption,
		"Throughput as a ratio to %s, a group a workload; to the right is faster.%s",
		r->grid.base->label,
		r->grid.inference ? " The lines are 95% intervals." : "");
	chart_ratios(&r->pictures, report_picture_name("ratios", "all", s).s,
		     "Throughput against the base", text_string(&caption),
		     r->grid.base->label, row, n);
	text_free(&caption);
}

void section_relative(struct report *r)
{
	size_t i, k;

	doc_heading(&r->doc, 2, "throughput", "Throughput");
	for (i = 0; i < r->grid.closed; i++) {
		const struct grid_setting *s = &r->grid.setting[i];

		report_setting_heading(r, s);
		add_table(r, s, i == 0);
		doc_gallery_begin(&r->doc);
		add_ratio_chart(r, s);
		for (k = 0; k < r->grid.workloads; k++)
			add_bars(r, s, r->grid.workload[k]);
		doc_gallery_end(&r->doc);
	}
	if (!r->grid.closed)
		doc_paragraph(
			&r->doc, TONE_QUIET,
			"Only open loops were run: see latency against offered load.");
}
