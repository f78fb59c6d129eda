/* SPDX-License-Identifier: MIT */
/*
 * section_advice.c - what a reader may take from the numbers, in words that hold: on this
 * machine, with this data, at this durability; what was detected and what not, and what it
 * cost. There is no overall winner, because there is no overall workload.
 *
 * The array and the null engine are left out: neither is a store to choose.
 */
#include <math.h>
#include <string.h>

#include "section.h"

struct contender {
	const struct grid_engine *engine;
	const json_t *cell;
};

enum { CONTENDERS_MAX = 64 };

struct contest {
	struct contender c[CONTENDERS_MAX];
	size_t n;
};

static bool may_be_chosen(const struct grid_engine *e)
{
	return e->kind == ENGINE_OURS || e->kind == ENGINE_PEER;
}

/* Those with a number, the best of a figure first. */
static struct contest gather(const struct report *r, const struct grid_setting *s,
			     const char *workload, enum figure f, bool high_is_good)
{
	struct contest all = { .n = 0 };
	size_t i, at;

	for (i = 0; i < r->grid.engines && all.n < CONTENDERS_MAX; i++) {
		const struct grid_engine *e = &r->grid.engine[i];
		struct contender c = { e, grid_cell(&r->grid, s, workload, e) };
		double v;

		if (!may_be_chosen(e) || strcmp(grid_status(e, c.cell), "ok"))
			continue;
		v = cell_figure(c.cell, f);
		if (isnan(v))
			continue;
		for (at = all.n++; at > 0; at--) {
			double above = cell_figure(all.c[at - 1].cell, f);

			if (high_is_good ? v <= above : v >= above)
				break;
			all.c[at] = all.c[at - 1];
		}
		all.c[at] = c;
	}
	return all;
}

/* "", or what the engine does not promise. */
static const char *caveat(const struct grid_engine *e)
{
	const json_t *list = json_object_get(e->json, "capabilities"), *cap;
	size_t i;

	if (!json_is_array(list))
		return "";
	json_array_foreach(
		list, i,
		cap) if (!strcmp(json_string_value(cap) ? json_string_value(cap) : "",
				 "crash_safe")) return "";
	return " (not crash-safe)";
}

/* "1.42× rocksdb (95% CI 1.31–1.55, n=10)" */
static void add_comparison(struct report *r, const struct contender *x,
			   const struct contender *y, struct text *out)
{
	struct kv_msg why;
	struct stat_ratio ratio = cell_ratio(x->cell, y->cell, FIGURE_OPS_PER_S, &why);
	size_t n = cell_replicates(x->cell);

	if (isnan(ratio.ratio))
		text_printf(out, "not comparable with %s: %s", y->engine->label,
			    why.text);
	else if (!r->grid.inference || isnan(ratio.low))
		text_printf(out, "%s %s (n=%zu, no inference)",
			    format_ratio(ratio.ratio).s, y->engine->label, n);
	else if (ratio.detected)
		text_printf(out, "%s %s (95%% CI %.2f–%.2f, n=%zu)",
			    format_ratio(ratio.ratio).s, y->engine->label, ratio.low,
			    ratio.high, n);
	else
		text_printf(out,
			    "not detectably different from %s (%s, 95%% CI %.2f–%.2f, "
			    "n=%zu)",
			    y->engine->label, format_ratio(ratio.ratio).s, ratio.low,
			    ratio.high, n);
}

/* What the speed cost: bytes to the device for each byte handed over, and memory. */
static void add_price(const struct contest *all, struct text *out)
{
	size_t i;

	text_add(out, ". Device bytes written a byte handed over, load and run: ");
	for (i = 0; i < all->n && i < 3; i++)
		text_printf(out, "%s%s %s", i ? ", " : "", all->c[i].engine->label,
			    format_number(cell_figure(all->c[i].cell,
						      FIGURE_WRITE_AMPLIFICATION))
				    .s);
	text_add(out, "; peak memory: ");
	for (i = 0; i < all->n && i < 3; i++)
		text_printf(
			out, "%s%s %s", i ? ", " : "", all->c[i].engine->label,
			format_bytes(cell_figure(all->c[i].cell, FIGURE_PEAK_RSS_BYTES))
				.s);
	text_add(out, ".");
}

static void advise_on_speed(struct report *r, const struct grid_setting *s,
			    const char *workload)
{
	struct contest all = gather(r, s, workload, FIGURE_OPS_PER_S, true);
	struct text words = { 0 }, lead = { 0 };

	if (all.n == 0)
		return;
	text_printf(&lead, "Workload %s:", workload);
	text_printf(&words, "%s%s did %s operations a second", all.c[0].engine->label,
		    caveat(all.c[0].engine),
		    format_rate(cell_figure(all.c[0].cell, FIGURE_OPS_PER_S)).s);
	if (all.n > 1) {
		text_add(&words, ", ");
		add_comparison(r, &all.c[0], &all.c[1], &words);
		text_add(&words, caveat(all.c[1].engine));
	}
	if (all.n > 2 && r->grid.base && all.c[0].engine != r->grid.base &&
	    all.c[1].engine != r->grid.base) {
		const struct contender base = {
			r->grid.base, grid_cell(&r->grid, s, workload, r->grid.base)
		};

		if (base.cell && cell_ok(base.cell)) {
			text_add(&words, ", ");
			add_comparison(r, &all.c[0], &base, &words);
		}
	}
	add_price(&all, &words);
	doc_item(&r->doc, text_string(&lead), "%s", text_string(&words));
	text_free(&words);
	text_free(&lead);
}

/* The engine with the least of something in a workload, and the runner-up. */
static void advise_on_least(struct report *r, const struct grid_setting *s,
			    const char *workload, enum figure f, const char *what,
			    struct formatted (*format)(double v))
{
	struct contest all = gather(r, s, workload, f, false);
	struct text words = { 0 };

	if (all.n < 2)
		return;
	text_printf(&words, "%s%s, %s", all.c[0].engine->label, caveat(all.c[0].engine),
		    format(cell_figure(all.c[0].cell, f)).s);
	text_printf(&words, "; next %s%s, %s; most %s, %s.", all.c[1].engine->label,
		    caveat(all.c[1].engine), format(cell_figure(all.c[1].cell, f)).s,
		    all.c[all.n - 1].engine->label,
		    format(cell_figure(all.c[all.n - 1].cell, f)).s);
	doc_item(&r->doc, what, "%s", text_string(&words));
	text_free(&words);
}

/* Least of what is asked of a store beside speed, where the most writing was done. */
static void advise_on_costs(struct report *r, const struct grid_setting *s)
{
	const char *busiest = NULL;
	double most = 0;
	size_t i, k;

	for (k = 0; k < r->grid.workloads; k++) {
		for (i = 0; i < r->grid.engines; i++) {
			const struct grid_engine *e = &r->grid.engine[i];
			const json_t *cell =
				grid_cell(&r->grid, s, r->grid.workload[k], e);
			double bytes;

			if (!may_be_chosen(e) || !cell || !cell_ok(cell))
				continue;
			bytes = cell_figure(cell, FIGURE_DEVICE_WRITE_SETTLED);
			if (bytes > most) {
				most = bytes;
				busiest = r->grid.workload[k];
			}
		}
	}
	if (!busiest)
		return;
	doc_paragraph(&r->doc, TONE_PLAIN, "What it cost, in workload %s:", busiest);
	doc_list_begin(&r->doc);
	advise_on_least(r, s, busiest, FIGURE_WRITE_AMPLIFICATION_SETTLED,
			"Fewest device bytes a byte written (settled):", format_number);
	advise_on_least(r, s, busiest, FIGURE_SPACE_AMPLIFICATION_SETTLED,
			"Least space a live byte (settled):", format_number);
	advise_on_least(r, s, busiest, FIGURE_PEAK_RSS_BYTES,
			"Least peak memory:", format_bytes);
	advise_on_least(r, s, busiest, FIGURE_P99_NS, "Lowest p99:", format_ns);
	doc_list_end(&r->doc);
}

void section_advice(struct report *r)
{
	size_t i, k;

	doc_heading(&r->doc, 2, "advice", "What to take from it");
	doc_paragraph(
		&r->doc, TONE_PLAIN,
		"On this machine, with this data and at this durability. Another board, "
		"larger data or a stronger promise can turn any of these around: measure "
		"your own.");
	for (i = 0; i < r->grid.closed; i++) {
		const struct grid_setting *s = &r->grid.setting[i];
		struct text words = { 0 };

		grid_setting_print(s, &words);
		doc_heading(&r->doc, 3, NULL, "%s", text_string(&words));
		text_free(&words);
		doc_list_begin(&r->doc);
		for (k = 0; k < r->grid.workloads; k++)
			advise_on_speed(r, s, r->grid.workload[k]);
		doc_list_end(&r->doc);
		advise_on_costs(r, s);
	}
}
