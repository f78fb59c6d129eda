/* SPDX-License-Identifier: MIT */
/*
 * section_method.c - what is needed to believe the numbers or to get them again: what is
 * missing and why, how each engine was set up, and the machine.
 */
#include <math.h>
#include <string.h>

#include "section.h"

/* ---- missing ---- */

struct gap {
	const struct grid_setting *setting;
	const char *workload;
	const struct grid_engine *engine;
};

/* The i-th cell without a number; false past the last. */
static bool find_gap(const struct report *r, size_t i, struct gap *out)
{
	const struct grid *g = &r->grid;
	size_t s, w, e;

	for (s = 0; s < g->settings; s++)
		for (w = 0; w < g->workloads; w++)
			for (e = 0; e < g->engines; e++) {
				*out = (struct gap){ &g->setting[s], g->workload[w],
						     &g->engine[e] };
				if (strcmp(grid_status(out->engine,
						       grid_cell(g, out->setting,
								 out->workload,
								 out->engine)),
					   "ok") &&
				    i-- == 0)
					return true;
			}
	return false;
}

static void add_gap(struct report *r, struct table *t, const struct gap *gap)
{
	const json_t *cell =
		grid_cell(&r->grid, gap->setting, gap->workload, gap->engine);
	const char *status = grid_status(gap->engine, cell);
	struct text reason = { 0 }, where = { 0 };

	grid_setting_print(gap->setting, &where);
	grid_reason(&r->grid, gap->engine, cell, &reason);
	table_add(t, TONE_PLAIN, "%s", gap->engine->label);
	table_add(t, TONE_PLAIN, "%s", gap->workload);
	table_add(t, TONE_PLAIN, "%s", text_string(&where));
	table_add(t, strcmp(status, "wrong content") ? TONE_MISSING : TONE_BAD, "%s",
		  status);
	table_add(t, TONE_PLAIN, "%s", text_string(&reason));
	text_free(&reason);
	text_free(&where);
}

void section_missing(struct report *r)
{
	struct table t = { .id = "missing-cells", .words = true };
	struct gap gap;
	size_t n = 0;

	doc_heading(&r->doc, 2, "missing", "What is missing, and why");
	if (!find_gap(r, 0, &gap)) {
		doc_paragraph(&r->doc, TONE_PLAIN, "Nothing: every cell has a number.");
		return;
	}
	table_column(&t, "engine");
	table_column(&t, "workload");
	table_column(&t, "setting");
	table_column(&t, "status");
	table_column(&t, "reason");
	for (n = 0; find_gap(r, n, &gap); n++)
		add_gap(r, &t, &gap);
	doc_fold_begin(&r->doc, "Cells without a number: %zu", n);
	doc_table(&r->doc, &t);
	doc_fold_end(&r->doc);
}

/* ---- engines ---- */

static void add_options(const json_t *engine, struct text *out)
{
	const json_t *options = json_object_get(engine, "options"), *value;
	const char *name;

	json_object_foreach((json_t *)options, name, value)
	{
		text_printf(out, "%s%s=", out->buf.len ? ", " : "", name);
		if (json_is_string(value))
			text_add(out, json_string_value(value));
		else
			text_printf(out, "%lld", (long long)json_integer_value(value));
	}
}

void section_engines(struct report *r)
{
	struct table t = { .words = true };
	size_t i;

	doc_heading(&r->doc, 2, "engines", "How each engine was set up");
	table_column(&t, "engine");
	table_column(&t, "version");
	table_column(&t, "tuning");
	table_column(&t, "options");
	for (i = 0; i < r->grid.engines; i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		struct text options = { 0 };

		table_add(&t, TONE_PLAIN, "%s", e->label);
		table_small(&t, "%s", member_text(e->json, "kind", ""));
		table_add(&t, e->available ? TONE_PLAIN : TONE_MISSING, "%s",
			  e->available ? member_text(e->json, "version", "?")
				       : e->reason);
		table_add(&t, TONE_PLAIN, "%s", member_text(e->json, "tuning", ""));
		add_options(e->json, &options);
		table_add(&t, TONE_QUIET, "%s", text_string(&options));
		text_free(&options);
	}
	doc_table(&r->doc, &t);
}

/* ---- the machine ---- */

static void add_row(struct table *t, const char *name, const json_t *value)
{
	table_add(t, TONE_PLAIN, "%s", name);
	if (json_is_string(value))
		table_add(t, TONE_PLAIN, "%s", json_string_value(value));
	else if (json_is_integer(value))
		table_add(t, TONE_PLAIN, "%s",
			  strstr(name, "bytes")
				  ? format_bytes((double)json_integer_value(value)).s
				  : format_count((uint64_t)json_integer_value(value)).s);
	else if (json_is_real(value))
		table_add(t, TONE_PLAIN, "%s", format_number(json_real_value(value)).s);
	else if (json_is_boolean(value))
		table_add(t, TONE_PLAIN, "%s", json_is_true(value) ? "yes" : "no");
	else
		table_add(t, TONE_MISSING, "not known");
}

/* The hottest and whether any replicate saw throttling, of those who can tell. */
static void add_thermal(struct table *t, const json_t *set)
{
	const json_t *cell, *replicate;
	double hottest = NAN;
	bool known = false, throttled = false;
	size_t i, k;

	json_array_foreach(json_object_get(set, "cells"), i, cell)
	{
		json_array_foreach(json_object_get(cell, "replicates"), k, replicate)
		{
			const json_t *after = json_object_get(replicate, "thermal_after");
			const json_t *flag = json_object_get(after, "throttled");

			hottest = fmax(hottest, member_real(after, "celsius"));
			known |= json_is_boolean(flag);
			throttled |= json_is_true(flag);
		}
	}
	table_add(t, TONE_PLAIN, "hottest, celsius");
	table_add(t, isnan(hottest) ? TONE_MISSING : TONE_PLAIN, "%s",
		  isnan(hottest) ? "not known" : format_number(hottest).s);
	table_add(t, TONE_PLAIN, "throttled");
	table_add(t, known ? TONE_PLAIN : TONE_MISSING, "%s",
		  !known      ? "not known"
		  : throttled ? "yes"
			      : "no");
}

void section_machine(struct report *r)
{
	const json_t *machine = json_object_get(r->grid.set, "fingerprint"), *value;
	const json_t *settings = json_object_get(r->grid.set, "settings");
	struct table t = { .words = true };
	const char *name;

	doc_heading(&r->doc, 2, "machine", "Machine and method");
	table_column(&t, "what");
	table_column(&t, "value");
	json_object_foreach((json_t *)machine, name, value) add_row(&t, name, value);
	json_object_foreach((json_t *)settings, name, value) add_row(&t, name, value);
	add_thermal(&t, r->grid.set);
	doc_table(&r->doc, &t);
	doc_paragraph(
		&r->doc, TONE_QUIET,
		"Each replicate was a fresh process on a fresh directory: load, warm-up, "
		"run, settle, and a check of the store's whole content against what was "
		"written. All numbers of this report, and more, are in results.json "
		"beside it.");
}
