/* SPDX-License-Identifier: MIT */
/*
 * section_kernel.c - kernel against userspace: what each way into a module costs beside the same
 * engine in the program's own process, as harness/crossing measured it in one machine, and
 * whether that is what was aimed at.
 */
#include <math.h>
#include <string.h>

#include "section.h"

enum { CALLS = 6, WAYS = 3 };

static const char *const call_name[CALLS] = { "get",       "get of 64",  "put",
					      "put of 64", "scan of 64", "scan of 1024" };
static const char *const way_name[WAYS] = { "call", "batch", "ring" };

/* The aims: gets of many, scans by blocks, and one ioctl a call beyond an empty one. */
static const double MANY_AIM = 1.3, SCAN_AIM = 0.7, CALL_AIM = 1.5;

static const json_t *figure_of(const json_t *figures, const char *engine, const char *way,
			       const char *call)
{
	const json_t *f;
	size_t i;

	json_array_foreach(figures, i, f)
	{
		if (!strcmp(member_text(f, "engine", ""), engine) &&
		    !strcmp(member_text(f, "way", ""), way) &&
		    !strcmp(member_text(f, "call", ""), call))
			return f;
	}
	return NULL;
}

/* What a call may cost at most, in nanoseconds; NAN: there is no aim. */
static double most_ns(const json_t *figures, const json_t *f, double null_ns)
{
	const char *way = member_text(f, "way", ""), *call = member_text(f, "call", "");
	double user = member_real(f, "user_ns");
	const json_t *one;

	if (!strcmp(way, "call"))
		return strncmp(call, "scan", 4) && !strstr(call, "64")
			       ? null_ns + CALL_AIM * user
			       : NAN;
	if (!strncmp(call, "scan", 4))
		return user / SCAN_AIM;
	if (strcmp(call, "get of 64"))
		return NAN;
	/* The aim is held against the call of one key. */
	one = figure_of(figures, member_text(f, "engine", ""), way, "get");
	return one ? MANY_AIM * member_real(one, "user_ns") : NAN;
}

static void add_figure(struct table *t, const json_t *figures, const json_t *f,
		       double null_ns)
{
	double most, kernel;
	enum tone tone = TONE_PLAIN;

	if (!f) {
		table_add(t, TONE_QUIET, "–");
		return;
	}
	kernel = member_real(f, "kernel_ns");
	most = most_ns(figures, f, null_ns);
	if (!isnan(most))
		tone = kernel <= most ? TONE_BETTER_2 : TONE_WORSE_2;
	table_add(t, tone, "%.2f×", member_real(f, "ratio"));
	if (isnan(most))
		table_small(t, "%.0f ns, userspace %.0f", kernel,
			    member_real(f, "user_ns"));
	else
		table_small(t, "%.0f ns, userspace %.0f; aim: at most %.0f", kernel,
			    member_real(f, "user_ns"), most);
}

/* ---- the picture ---- */

enum { DRAWN = 3, ENGINES = 8 };

/* Each engine's way is one that the picture tells apart. */
struct drawn_way {
	char label[40];
	struct grid_engine engine;
};

static void draw_ratios(struct report *r, const json_t *figures)
{
	static const char *const drawn[DRAWN] = { "get", "get of 64", "scan of 64" };
	static struct drawn_way way[DRAWN * WAYS * ENGINES];
	struct ratio_row row[DRAWN * WAYS * ENGINES];
	const json_t *f;
	size_t n = 0, i, k;

	for (k = 0; k < DRAWN; k++) {
		json_array_foreach(figures, i, f)
		{
			if (n == DRAWN * WAYS * ENGINES ||
			    strcmp(member_text(f, "call", ""), drawn[k]))
				continue;
			(void)snprintf(way[n].label, sizeof(way[n].label),
				       "%.16s by %.8s", member_text(f, "engine", ""),
				       member_text(f, "way", ""));
			way[n].engine = (struct grid_engine){ .label = way[n].label,
							      .kind = ENGINE_OURS,
							      .available = true };
			row[n] = (struct ratio_row){
				drawn[k],
				&way[n].engine,
				{ .ratio = member_real(f, "ratio"),
				  .low = NAN,
				  .high = NAN },
			};
			n += row[n].ratio.ratio > 0;
		}
	}
	doc_gallery_begin(&r->doc);
	chart_ratios(
		&r->pictures, "kernel-against-userspace", "Kernel against userspace",
		"Time in the kernel over time in userspace, a group a call; to the right "
		"is slower.",
		"userspace", row, n);
	doc_gallery_end(&r->doc);
}

/* True where the rows before have this engine too. */
static bool is_known(const json_t *figures, size_t upto, const char *engine)
{
	size_t i;

	for (i = 0; i < upto; i++)
		if (!strcmp(member_text(json_array_get(figures, i), "engine", ""),
			    engine))
			return true;
	return false;
}

static void add_engine(struct table *t, const json_t *figures, const char *engine,
		       double null_ns)
{
	size_t way, call;

	for (way = 0; way < WAYS; way++) {
		table_add(t, TONE_PLAIN, "%s by %s", engine, way_name[way]);
		for (call = 0; call < CALLS; call++)
			add_figure(t, figures,
				   figure_of(figures, engine, way_name[way],
					     call_name[call]),
				   null_ns);
	}
}

void section_kernel(struct report *r)
{
	const json_t *crossing = json_object_get(r->grid.set, "crossing"), *figures, *f;
	struct table t = { .id = "kernel" };
	double null_ns;
	size_t i;

	if (!crossing)
		return;
	null_ns = member_real(crossing, "null_ns");
	figures = json_object_get(crossing, "figures");
	doc_heading(&r->doc, 2, "kernel", "Kernel against userspace");
	doc_paragraph(
		&r->doc, TONE_PLAIN,
		"The same calls on the same pairs, on an engine in the program and on its module "
		"behind a device: by an ioctl a call, by a call for many, by a ring in shared "
		"memory. Both took turns in one machine, %llu rounds over %llu pairs. An empty "
		"ioctl with a get of the null engine took %.0f ns.",
		(unsigned long long)member_count(crossing, "rounds"),
		(unsigned long long)member_count(crossing, "records"), null_ns);
	table_caption(
		&t,
		"Time in the kernel over time in userspace, a pair; below 1 the module is "
		"faster. Medians. Coloured where there is an aim: a get of 64 by batch or ring "
		"at most %.1f userspace gets, a scan at least %.1f of userspace's rate, one ioctl "
		"at most an empty one and %.1f userspace calls.",
		MANY_AIM, SCAN_AIM, CALL_AIM);
	table_column(&t, "engine");
	for (i = 0; i < CALLS; i++)
		table_column(&t, "%s", call_name[i]);
	json_array_foreach(figures, i, f)
	{
		const char *engine = member_text(f, "engine", "");

		if (!is_known(figures, i, engine))
			add_engine(&t, figures, engine, null_ns);
	}
	doc_table(&r->doc, &t);
	draw_ratios(r, figures);
}
