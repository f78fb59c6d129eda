/* SPDX-License-Identifier: MIT */
/*
 * section_cost.c - what the work cost: bytes and space on the device, and CPU, memory,
 * syncs and counters an operation. A table a workload, folded, because there are many.
 */
#include <math.h>
#include <string.h>

#include "section.h"

struct column {
	const char *name;
	enum figure figure;
	struct formatted (*format)(double v);
};

static void add_table(struct report *r, const struct grid_setting *s,
		      const char *workload, const struct column *column, size_t columns)
{
	struct table t = { 0 };
	size_t i, k;

	table_column(&t, "engine");
	for (k = 0; k < columns; k++)
		table_column(&t, "%s", column[k].name);
	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		const json_t *cell = grid_cell(&r->grid, s, workload, e);

		table_add(&t, TONE_PLAIN, "%s", e->label);
		for (k = 0; k < columns; k++)
			report_table_figure(r, &t, e, cell, column[k].figure,
					    column[k].format);
	}
	doc_table(&r->doc, &t);
}

static void add_tables(struct report *r, const struct grid_setting *s,
		       const struct column *column, size_t columns)
{
	size_t k;

	for (k = 0; k < r->grid.workloads; k++) {
		if (!report_measured(r, s, r->grid.workload[k]))
			continue;
		doc_fold_begin(&r->doc, "Workload %s", r->grid.workload[k]);
		add_table(r, s, r->grid.workload[k], column, columns);
		doc_fold_end(&r->doc);
	}
}

/* ---- amplification ---- */

static const struct column space_column[] = {
	{ "writes a byte", FIGURE_WRITE_AMPLIFICATION, format_number },
	{ "settled", FIGURE_WRITE_AMPLIFICATION_SETTLED, format_number },
	{ "reads a byte", FIGURE_READ_AMPLIFICATION, format_number },
	{ "space a byte", FIGURE_SPACE_AMPLIFICATION, format_number },
	{ "settled", FIGURE_SPACE_AMPLIFICATION_SETTLED, format_number },
	{ "written", FIGURE_DEVICE_WRITE_BYTES, format_bytes },
	{ "settled", FIGURE_DEVICE_WRITE_SETTLED, format_bytes },
	{ "space", FIGURE_SPACE_BYTES, format_bytes },
	{ "settled", FIGURE_SPACE_SETTLED_BYTES, format_bytes },
};

static void add_bubbles(struct report *r, const struct grid_setting *s,
			const char *workload)
{
	const struct axis x = { "device bytes read a byte returned", AXIS_NUMBER, false },
			  y = { NULL, AXIS_NUMBER, false };
	struct bubble bubble[64];
	struct text title = { 0 };
	size_t n = 0, i;

	for (i = 0; i < r->grid.engines && n < sizeof(bubble) / sizeof(bubble[0]); i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		const json_t *cell = grid_cell(&r->grid, s, workload, e);

		/* What keeps nothing on a device amplifies nothing. */
		if (!grid_competes(e) || e->kind == ENGINE_BASELINE ||
		    strcmp(grid_status(e, cell), "ok"))
			continue;
		bubble[n] = (struct bubble){
			.engine = e,
			.x = cell_figure(cell, FIGURE_READ_AMPLIFICATION),
			.y = cell_figure(cell, FIGURE_WRITE_AMPLIFICATION),
			.y_settled =
				cell_figure(cell, FIGURE_WRITE_AMPLIFICATION_SETTLED),
			.size = cell_figure(cell, FIGURE_SPACE_AMPLIFICATION_SETTLED),
		};
		if (isnan(bubble[n].x))
			bubble[n].x = 0; /* a workload that reads nothing */
		n += isfinite(bubble[n].y) && isfinite(bubble[n].size);
	}
	text_printf(&title, "Workload %s: device bytes written a byte", workload);
	chart_bubbles(&r->pictures, report_picture_name("space", workload, s).s,
		      text_string(&title),
		      "Ring: when the run ended. Disc: settled. Area: space a live byte.",
		      x, y, bubble, n);
	text_free(&title);
}

void section_space(struct report *r)
{
	size_t i, k;

	doc_heading(&r->doc, 2, "amplification", "Amplification");
	doc_paragraph(
		&r->doc, TONE_QUIET,
		"Writes: device bytes for each byte of keys and values handed over, load "
		"and run together. Reads: device bytes for each byte returned in the run; "
		"0 where the page cache had it all. Space: bytes on disk for each live "
		"byte. Settled: when compaction and a sync had followed.");
	for (i = 0; i < r->grid.closed; i++) {
		const struct grid_setting *s = &r->grid.setting[i];

		report_setting_heading(r, s);
		doc_gallery_begin(&r->doc);
		for (k = 0; k < r->grid.workloads; k++)
			add_bubbles(r, s, r->grid.workload[k]);
		doc_gallery_end(&r->doc);
		add_tables(r, s, space_column,
			   sizeof(space_column) / sizeof(space_column[0]));
	}
}

/* ---- CPU, memory, syncs ---- */

static const struct column cost_column[] = {
	{ "load", FIGURE_LOAD_OPS_PER_S, format_rate },
	{ "worst second", FIGURE_WORST_SECOND, format_rate },
	{ "CPU user an op", FIGURE_CPU_USER_NS_PER_OP, format_ns },
	{ "CPU system an op", FIGURE_CPU_SYSTEM_NS_PER_OP, format_ns },
	{ "peak memory", FIGURE_PEAK_RSS_BYTES, format_bytes },
	{ "switches an op", FIGURE_SWITCHES_PER_OP, format_number },
	{ "page faults an op", FIGURE_FAULTS_PER_OP, format_number },
	{ "syncs a write", FIGURE_SYNCS_PER_WRITE, format_number },
};

/* The median over replicates of a perf counter, an operation. */
static double counter_per_op(const json_t *cell, const char *name)
{
	double v[64];
	const json_t *replicate;
	size_t n = 0, i;

	for (i = 0; n < 64 && (replicate = cell_replicate(cell, i)); i++) {
		const json_t *run = json_object_get(replicate, "run");
		const json_t *perf =
			json_object_get(json_object_get(run, "usage"), "perf");
		double value = member_real(perf, name), ops = member_real(run, "ops");

		if (!isnan(value) && ops > 0)
			v[n++] = value / ops;
	}
	return stat_median(v, n);
}

/* Names of the counters that the set's first replicate has. */
static const json_t *counters_of(const json_t *set)
{
	const json_t *cell;
	size_t i;

	json_array_foreach(json_object_get(set, "cells"), i, cell)
	{
		const json_t *run = json_object_get(cell_replicate(cell, 0), "run");
		const json_t *perf =
			json_object_get(json_object_get(run, "usage"), "perf");

		if (json_object_size(perf))
			return perf;
	}
	return NULL;
}

static void add_counters(struct report *r, const struct grid_setting *s,
			 const char *workload, const json_t *names)
{
	struct table t = { 0 };
	const char *name;
	const json_t *unused;
	size_t i;

	table_column(&t, "engine");
	json_object_foreach((json_t *)names, name, unused)
		table_column(&t, "%s an op", name);
	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		const json_t *cell = grid_cell(&r->grid, s, workload, e);

		table_add(&t, TONE_PLAIN, "%s", e->label);
		json_object_foreach((json_t *)names, name, unused)
			table_add(&t, TONE_PLAIN, "%s",
				  format_number(strcmp(grid_status(e, cell), "ok")
							? NAN
							: counter_per_op(cell, name))
					  .s);
	}
	doc_table(&r->doc, &t);
}

void section_cost(struct report *r)
{
	const json_t *counters = counters_of(r->grid.set);
	size_t i, k;

	doc_heading(&r->doc, 2, "cost", "CPU, memory, syncs");
	doc_paragraph(
		&r->doc, TONE_QUIET,
		"CPU time is the whole process's, background threads included. Peak "
		"memory is the growth of the resident set since just before the store was "
		"opened; pages of mapped files count, though the kernel may take them "
		"back. Syncs are fsync, fdatasync, msync and writes to O_SYNC files of "
		"the run; about 0 at none, few at group, and at least one a group of "
		"writes at sync is what the levels promise.");
	for (i = 0; i < r->grid.closed; i++) {
		const struct grid_setting *s = &r->grid.setting[i];

		report_setting_heading(r, s);
		add_tables(r, s, cost_column,
			   sizeof(cost_column) / sizeof(cost_column[0]));
		for (k = 0; counters && k < r->grid.workloads; k++) {
			if (!report_measured(r, s, r->grid.workload[k]))
				continue;
			doc_fold_begin(&r->doc, "Counters of workload %s",
				       r->grid.workload[k]);
			add_counters(r, s, r->grid.workload[k], counters);
			doc_fold_end(&r->doc);
		}
	}
}
