/* SPDX-License-Identifier: MIT */
/*
 * cmd_report.c - kvbench report and kvbench compare: from result sets to words.
 */
#include <math.h>

#include "cli.h"
#include "commands.h"
#include "report/report.h"
#include "results/results.h"

/* ---- report ---- */

static int render(const char *path, const char *out)
{
	struct kv_msg why = { "" };
	json_t *set;
	char dir[1024];
	int error = results_load(path, &set, &why);

	if (error) {
		cli_complain("%s", why.text);
		return EXIT_FAILED;
	}
	if (!out) {
		const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');

		/* Beside results.json, or in the directory that was named. */
		if (dot && !strcmp(dot, ".json"))
			(void)snprintf(dir, sizeof(dir), "%.*s",
				       slash ? (int)(slash - path) : 1,
				       slash ? path : ".");
		else
			(void)snprintf(dir, sizeof(dir), "%s", path);
		out = dir;
	}
	error = report_render(set, out, &why);
	if (error || *why.text)
		cli_complain("%s", *why.text ? why.text : strerror(-error));
	if (!error) {
		(void)report_print_summary(set, 100);
		printf("\nReport: %s/index.html\n", out);
	}
	json_decref(set);
	return error ? EXIT_FAILED : EXIT_OK;
}

int cmd_report(int argc, char **argv)
{
	const char *out = NULL;
	const struct cli_option options[] = {
		{ "out", 'o', CLI_TEXT, &out, "DIR", "default: beside the results" },
		{ 0 },
	};
	const struct cli_command command = {
		"report", "RESULTS [--out DIR]",
		"Renders a report from results.json, or a directory with one.", NULL,
		options
	};
	int rest, parsed = cli_parse(&command, argc, argv, &rest);

	if (parsed == CLI_DONE)
		return EXIT_OK;
	if (parsed == CLI_OK && rest + 1 != argc) {
		cli_complain("report takes one result set");
		parsed = CLI_USAGE;
	}
	return parsed == CLI_OK ? render(argv[rest], out) : EXIT_USAGE;
}

/* ---- compare ---- */

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* Fingerprints that differ make a comparison one of machines, too. */
static void warn_of_fingerprints(const json_t *a, const json_t *b)
{
	static const char *const field[] = { "board",    "cpu",        "cores",
					     "kernel",   "filesystem", "governor",
					     "compiler", "cflags" };
	const json_t *fa = json_object_get(a, "fingerprint"),
		     *fb = json_object_get(b, "fingerprint");
	size_t i;

	for (i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		if (!json_equal(json_object_get(fa, field[i]),
				json_object_get(fb, field[i])))
			cli_complain("warning: the two were measured with another %s",
				     field[i]);
}

static void print_change(const json_t *after, const json_t *before, enum figure f)
{
	struct kv_msg why;
	struct stat_ratio r = cell_ratio(after, before, f, &why);

	if (isnan(r.ratio))
		printf(" %22s", "-");
	else if (isnan(r.low))
		printf(" %14.2fx (n<3)", r.ratio);
	else
		printf(" %7.2fx [%.2f, %.2f]%s", r.ratio, r.low, r.high,
		       r.detected ? " " : "~");
}

static void print_name(const json_t *cell)
{
	printf("%-10.10s %-18.18s %-6s %9lld %2lld", text(cell, "workload"),
	       text(cell, "engine"), text(cell, "durability"),
	       (long long)json_integer_value(json_object_get(cell, "records")),
	       (long long)json_integer_value(json_object_get(cell, "threads")));
}

static void print_lone(const json_t *cell, const char *where)
{
	print_name(cell);
	printf("  %s\n", where);
}

static bool compare_cell(const json_t *after, const json_t *before)
{
	struct kv_msg why = { "" };

	print_name(after);
	if (!cell_ok(after) || !cell_ok(before)) {
		printf("  %s in %s\n", text(cell_ok(after) ? before : after, "status"),
		       cell_ok(after) ? "A" : "B");
		return false;
	}
	(void)cell_ratio(after, before, FIGURE_OPS_PER_S, &why);
	if (*why.text) {
		printf("  %s\n", why.text);
		return false;
	}
	print_change(after, before, FIGURE_OPS_PER_S);
	print_change(after, before, FIGURE_P99_NS);
	print_change(after, before, FIGURE_DEVICE_WRITE_BYTES);
	print_change(after, before, FIGURE_PEAK_RSS_BYTES);
	putchar('\n');
	return true;
}

static int compare(const json_t *a, const json_t *b)
{
	const json_t *cell, *before;
	size_t i, compared = 0;

	warn_of_fingerprints(a, b);
	printf("B over A: a ratio with its 95%% interval; \"~\" where no change was detected\n\n");
	printf("%-10s %-18s %-6s %9s %2s %22s %22s %22s %22s\n", "workload", "engine",
	       "level", "records", "t", "throughput", "p99", "device writes",
	       "peak memory");
	json_array_foreach(json_object_get(b, "cells"), i, cell)
	{
		before = cell_of_engine(a, cell, text(cell, "engine"));
		if (before)
			compared += compare_cell(cell, before);
		else
			print_lone(cell, "only in B");
	}
	json_array_foreach(json_object_get(a, "cells"), i, cell)
	{
		if (!cell_of_engine(b, cell, text(cell, "engine")))
			print_lone(cell, "only in A");
	}
	if (!compared) {
		cli_complain("the two have no measured cell in common");
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int cmd_compare(int argc, char **argv)
{
	const struct cli_option options[] = { { 0 } };
	const struct cli_command command = {
		"compare", "A B", "Says what changed from result set A to result set B.",
		"Each is a results.json or a directory with one. Cells are compared where both did\n"
		"the same operations.",
		options
	};
	struct kv_msg why = { "" };
	json_t *a = NULL, *b = NULL;
	int rest, code = EXIT_FAILED, parsed = cli_parse(&command, argc, argv, &rest);

	if (parsed == CLI_DONE)
		return EXIT_OK;
	if (parsed == CLI_OK && rest + 2 != argc) {
		cli_complain("compare takes two result sets");
		parsed = CLI_USAGE;
	}
	if (parsed != CLI_OK)
		return EXIT_USAGE;
	if (results_load(argv[rest], &a, &why) || results_load(argv[rest + 1], &b, &why))
		cli_complain("%s", why.text);
	else
		code = compare(a, b);
	json_decref(a);
	json_decref(b);
	return code;
}
