/* SPDX-License-Identifier: MIT */
/*
 * grid.c - a result set's axes and the cell where they meet.
 */
#include "grid.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON members ---- */

const char *member_text(const json_t *object, const char *key, const char *otherwise)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : otherwise;
}

double member_real(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

uint64_t member_count(const json_t *object, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(object, key));

	return v < 0 ? 0 : (uint64_t)v;
}

/* ---- axes ---- */

static enum engine_kind kind_of(const json_t *engine)
{
	const char *name = member_text(engine, "kind", "peer");

	return !strcmp(name, "ours")       ? ENGINE_OURS
	       : !strcmp(name, "baseline") ? ENGINE_BASELINE
	       : !strcmp(name, "null")     ? ENGINE_NULL
					   : ENGINE_PEER;
}

static const struct grid_engine *find_engine(const struct grid *g, const char *label)
{
	size_t i;

	for (i = 0; i < g->engines; i++)
		if (!strcmp(g->engine[i].label, label))
			return &g->engine[i];
	return NULL;
}

static void add_engine(struct grid *g, const char *label, const json_t *json)
{
	struct grid_engine e = { .label = label, .json = json };
	size_t i;

	e.kind = json ? kind_of(json) : ENGINE_PEER;
	e.available = !json || json_is_true(json_object_get(json, "available"));
	e.reason = member_text(json, "reason", "");
	for (i = 0; i < g->engines; i++)
		e.place += g->engine[i].kind == e.kind;
	g->engine[g->engines++] = e;
}

static void add_workload(struct grid *g, const char *name)
{
	size_t i;

	for (i = 0; i < g->workloads; i++)
		if (!strcmp(g->workload[i], name))
			return;
	g->workload[g->workloads++] = name;
}

static struct grid_setting setting_of(const json_t *cell)
{
	struct grid_setting s = {
		.durability = member_text(cell, "durability", "none"),
		.records = member_count(cell, "records"),
		.value_bytes = member_count(cell, "value_bytes"),
		.threads = member_count(cell, "threads"),
		.target = member_real(cell, "target_ops_per_s"),
	};

	if (isnan(s.target))
		s.target = 0;
	return s;
}

bool grid_setting_same(const struct grid_setting *a, const struct grid_setting *b)
{
	return !strcmp(a->durability, b->durability) && a->records == b->records &&
	       a->value_bytes == b->value_bytes && a->threads == b->threads &&
	       a->target == b->target;
}

static void add_setting(struct grid *g, struct grid_setting s)
{
	size_t i;

	for (i = 0; i < g->settings; i++)
		if (grid_setting_same(&g->setting[i], &s))
			return;
	g->setting[g->settings++] = s;
}

static int durability_rank(const char *name)
{
	return !strcmp(name, "none") ? 0 : !strcmp(name, "group") ? 1 : 2;
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_settings(const void *pa, const void *pb)
{
	const struct grid_setting *a = pa, *b = pb;
	int by_durability =
		durability_rank(a->durability) - durability_rank(b->durability);

	if (a->target != b->target)
		return COMPARE(a->target, b->target);
	if (by_durability)
		return by_durability;
	if (a->records != b->records)
		return COMPARE(a->records, b->records);
	if (a->value_bytes != b->value_bytes)
		return COMPARE(a->value_bytes, b->value_bytes);
	return COMPARE(a->threads, b->threads);
}

int grid_init(struct grid *g, const json_t *set, struct kv_msg *why)
{
	const json_t *engines = json_object_get(set, "engines");
	const json_t *workloads = json_object_get(set, "workloads");
	const json_t *cells = json_object_get(set, "cells");
	size_t n = json_array_size(cells), i;
	const char *label;

	*g = (struct grid){ .set = set };
	if (!json_is_array(engines) || !json_is_array(workloads) || !json_is_array(cells))
		return kv_fail(why, -EBADMSG,
			       "not a result set: it has no engines, workloads or cells");
	/* A cell may name an engine or a workload that the lists lack. */
	g->engine = calloc(json_array_size(engines) + n + 1, sizeof(*g->engine));
	g->workload = calloc(json_array_size(workloads) + n + 1, sizeof(*g->workload));
	g->setting = calloc(n + 1, sizeof(*g->setting));
	if (!g->engine || !g->workload || !g->setting) {
		grid_free(g);
		return kv_fail(why, -ENOMEM, "no memory for the report's tables");
	}
	for (i = 0; i < json_array_size(engines); i++) {
		label = member_text(json_array_get(engines, i), "label", "?");
		if (!find_engine(g, label))
			add_engine(g, label, json_array_get(engines, i));
	}
	for (i = 0; i < json_array_size(workloads); i++)
		add_workload(g, member_text(json_array_get(workloads, i), "name", "?"));
	for (i = 0; i < n; i++) {
		const json_t *cell = json_array_get(cells, i);

		label = member_text(cell, "engine", "?");
		if (!find_engine(g, label))
			add_engine(g, label, NULL);
		add_workload(g, member_text(cell, "workload", "?"));
		add_setting(g, setting_of(cell));
	}
	qsort(g->setting, g->settings, sizeof(*g->setting), compare_settings);
	while (g->closed < g->settings && g->setting[g->closed].target == 0)
		g->closed++;
	g->base = find_engine(g, member_text(set, "base", ""));
	g->inference = json_is_true(json_object_get(set, "inference"));
	return 0;
}

void grid_free(struct grid *g)
{
	free(g->engine);
	free(g->workload);
	free(g->setting);
	*g = (struct grid){ 0 };
}

bool grid_competes(const struct grid_engine *e)
{
	return e->kind != ENGINE_NULL;
}

/* ---- cells ---- */

const json_t *grid_cell(const struct grid *g, const struct grid_setting *s,
			const char *workload, const struct grid_engine *e)
{
	const json_t *cells = json_object_get(g->set, "cells");
	size_t i;

	for (i = 0; i < json_array_size(cells); i++) {
		const json_t *cell = json_array_get(cells, i);
		struct grid_setting own;

		if (strcmp(member_text(cell, "engine", "?"), e->label) ||
		    strcmp(member_text(cell, "workload", "?"), workload))
			continue;
		own = setting_of(cell);
		if (grid_setting_same(&own, s))
			return cell;
	}
	return NULL;
}

void grid_setting_print(const struct grid_setting *s, struct text *out)
{
	text_printf(out, "durability %s, %s records, values of %s bytes, %s thread%s",
		    s->durability, format_count(s->records).s,
		    format_count(s->value_bytes).s, format_count(s->threads).s,
		    s->threads == 1 ? "" : "s");
	if (s->target > 0)
		text_printf(out, ", %s operations a second offered",
			    format_rate(s->target).s);
}

void grid_setting_slug(const struct grid_setting *s, char *out, size_t size)
{
	snprintf(out, size, "%s-%llu-%llu-%llu", s->durability,
		 (unsigned long long)s->records, (unsigned long long)s->value_bytes,
		 (unsigned long long)s->threads);
}

const json_t *cell_replicate(const json_t *cell, size_t i)
{
	const json_t *all = json_object_get(cell, "replicates");
	size_t k;

	for (k = 0; k < json_array_size(all); k++) {
		const json_t *r = json_array_get(all, k);

		if (!*member_text(r, "void", "") && i-- == 0)
			return r;
	}
	return NULL;
}

size_t cell_replicates(const json_t *cell)
{
	size_t n = 0;

	while (cell_replicate(cell, n))
		n++;
	return n;
}

static const json_t *different_content(const json_t *cell)
{
	const json_t *r;
	size_t i;

	for (i = 0; (r = cell_replicate(cell, i)); i++)
		if (!strcmp(member_text(r, "content", ""), "different"))
			return r;
	return NULL;
}

const char *grid_status(const struct grid_engine *e, const json_t *cell)
{
	const char *status;

	if (!cell)
		return e->available ? "missing" : "not available";
	status = member_text(cell, "status", "missing");
	if (strcmp(status, "ok"))
		return status;
	if (different_content(cell))
		return "wrong content";
	if (!cell_ok(cell) || !cell_replicates(cell))
		return "void";
	return "ok";
}

static void add_void_reason(const json_t *cell, struct text *out)
{
	const json_t *all = json_object_get(cell, "replicates");
	const char *last = "no replicate was finished";
	size_t i;

	for (i = 0; i < json_array_size(all); i++) {
		const char *why = member_text(json_array_get(all, i), "void", "");

		if (*why)
			last = why;
	}
	text_printf(out, "no replicate counts: %s", last);
}

void grid_reason(const struct grid *g, const struct grid_engine *e, const json_t *cell,
		 struct text *out)
{
	const char *status = grid_status(e, cell);
	const char *reason = member_text(cell, "reason", "");

	if (!strcmp(status, "ok"))
		return;
	if (!strcmp(status, "wrong content")) {
		const char *note =
			member_text(different_content(cell), "content_note", "");

		text_printf(
			out,
			"the store's final content differs from what was written, so its "
			"numbers are void%s%s",
			*note ? ": " : "", note);
	} else if (!strcmp(status, "void")) {
		add_void_reason(cell, out);
	} else if (*reason) {
		text_add(out, reason);
	} else if (!e->available && *e->reason) {
		text_add(out, e->reason);
	} else if (json_is_true(json_object_get(g->set, "partial"))) {
		text_add(out, "the run was interrupted before this was measured");
	} else {
		text_add(out, "not measured at this setting");
	}
}
