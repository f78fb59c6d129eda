/* SPDX-License-Identifier: MIT */
/*
 * summary.c - the table that kvbench bench ends with, for a terminal.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "grid.h"
#include "report.h"

enum { CELL_COLUMNS = 15 };

/* s in `columns` columns of a terminal, cut or padded; negative: to the right. */
static void print_field(const char *s, int columns)
{
	size_t width = (size_t)(columns < 0 ? -columns : columns);
	size_t bytes = text_prefix(s, width), used = text_columns(s);
	int pad = used < width ? (int)(width - used) : 0;

	printf("%*s%.*s%*s", columns < 0 ? pad : 0, "", (int)bytes, s,
	       columns < 0 ? 0 : pad, "");
}

static void print_cell(const struct grid *g, const struct grid_setting *s,
		       const char *workload, const struct grid_engine *e)
{
	const json_t *cell = grid_cell(g, s, workload, e), *base = NULL;
	const char *status = grid_status(e, cell);
	struct stat_ratio ratio = { .ratio = NAN };
	struct kv_msg why;
	char text[96];

	if (strcmp(status, "ok")) {
		print_field(status, -CELL_COLUMNS);
		return;
	}
	if (g->base)
		base = grid_cell(g, s, workload, g->base);
	if (base && cell_ok(base) && grid_competes(e) && e != g->base)
		ratio = cell_ratio(cell, base, FIGURE_OPS_PER_S, &why);
	(void)snprintf(text, sizeof(text), "%s %7s",
		       format_rate(cell_figure(cell, FIGURE_OPS_PER_S)).s,
		       isnan(ratio.ratio)                ? ""
		       : g->inference && !ratio.detected ? "~"
							 : format_ratio(ratio.ratio).s);
	print_field(text, -CELL_COLUMNS);
}

static size_t label_columns(const struct grid *g)
{
	size_t longest = 8, i;

	for (i = 0; i < g->engines; i++)
		if (text_columns(g->engine[i].label) > longest)
			longest = text_columns(g->engine[i].label);
	return longest < 24 ? longest : 24;
}

static void print_setting(const struct grid *g, const struct grid_setting *s,
			  unsigned int columns)
{
	size_t label = label_columns(g), i, k, first = 0;
	size_t fit =
		columns > label + CELL_COLUMNS ? (columns - label) / CELL_COLUMNS : 1;
	struct text words = { 0 };

	grid_setting_print(s, &words);
	printf("\nOperations a second, and the ratio to %s: %s\n",
	       g->base ? g->base->label : "the base", text_string(&words));
	text_free(&words);
	for (first = 0; first < g->workloads; first += fit) {
		size_t end = first + fit < g->workloads ? first + fit : g->workloads;

		print_field("", (int)label);
		for (k = first; k < end; k++)
			print_field(g->workload[k], -CELL_COLUMNS);
		for (i = 0; i < g->engines; i++) {
			putchar('\n');
			print_field(g->engine[i].label, (int)label);
			for (k = first; k < end; k++)
				print_cell(g, s, g->workload[k], &g->engine[i]);
		}
		printf("\n%s", end < g->workloads ? "\n" : "");
	}
}

int report_print_summary(const json_t *set, unsigned int columns)
{
	struct grid g;
	size_t i;
	int error = grid_init(&g, set, NULL);

	if (error)
		return error;
	for (i = 0; i < g.settings; i++)
		print_setting(&g, &g.setting[i], columns);
	if (!g.inference)
		printf("\nNo inference from this few replicates: PROFILE=standard or publish "
		       "gives intervals.\n");
	grid_free(&g);
	return 0;
}
