/* SPDX-License-Identifier: MIT */
/*
 * figures.c - what a cell comes to: each figure is computed here and nowhere else.
 */
#include <math.h>

#include "results.h"

enum { REPLICATES_MAX = 256 };

static const struct {
	const char *name, *unit;
} figures[FIGURES] = {
	[FIGURE_OPS_PER_S] = { "ops_per_s", "1/s" },
	[FIGURE_LOAD_OPS_PER_S] = { "load_ops_per_s", "1/s" },
	[FIGURE_P50_NS] = { "p50", "ns" },
	[FIGURE_P90_NS] = { "p90", "ns" },
	[FIGURE_P99_NS] = { "p99", "ns" },
	[FIGURE_P999_NS] = { "p99.9", "ns" },
	[FIGURE_P9999_NS] = { "p99.99", "ns" },
	[FIGURE_MAX_NS] = { "max", "ns" },
	[FIGURE_DEVICE_WRITE_BYTES] = { "device_write_bytes", "bytes" },
	[FIGURE_DEVICE_WRITE_SETTLED] = { "device_write_bytes_settled", "bytes" },
	[FIGURE_SPACE_BYTES] = { "space_bytes", "bytes" },
	[FIGURE_SPACE_SETTLED_BYTES] = { "space_bytes_settled", "bytes" },
	[FIGURE_PEAK_RSS_BYTES] = { "peak_rss_bytes", "bytes" },
	[FIGURE_WRITE_AMPLIFICATION] = { "write_amplification", "ratio" },
	[FIGURE_WRITE_AMPLIFICATION_SETTLED] = { "write_amplification_settled", "ratio" },
	[FIGURE_READ_AMPLIFICATION] = { "read_amplification", "ratio" },
	[FIGURE_SPACE_AMPLIFICATION] = { "space_amplification", "ratio" },
	[FIGURE_SPACE_AMPLIFICATION_SETTLED] = { "space_amplification_settled", "ratio" },
	[FIGURE_CPU_USER_NS_PER_OP] = { "cpu_user_per_op", "ns" },
	[FIGURE_CPU_SYSTEM_NS_PER_OP] = { "cpu_system_per_op", "ns" },
	[FIGURE_SWITCHES_PER_OP] = { "context_switches_per_op", "ratio" },
	[FIGURE_FAULTS_PER_OP] = { "page_faults_per_op", "ratio" },
	[FIGURE_SYNCS_PER_WRITE] = { "syncs_per_write", "ratio" },
	[FIGURE_WORST_SECOND] = { "worst_second", "1/s" },
};

const char *figure_name(enum figure f)
{
	return f < FIGURES ? figures[f].name : NULL;
}

const char *figure_unit(enum figure f)
{
	return f < FIGURES ? figures[f].unit : NULL;
}

/* ---- reading; what is missing is NAN ---- */

/* A number at "run/usage/cpu_user_ns". */
static double number_at(const json_t *o, const char *path)
{
	char name[64];

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n >= sizeof(name))
			return NAN;
		memcpy(name, path, n);
		name[n] = '\0';
		o = json_object_get(o, name);
		path += n + (path[n] == '/');
	}
	return json_is_number(o) ? json_number_value(o) : NAN;
}

static double device_writes(const json_t *r, bool settled)
{
	double v = number_at(r, "load/usage/device_write_bytes") +
		   number_at(r, "run/usage/device_write_bytes");

	return settled ? v + number_at(r, "settle/usage/device_write_bytes") : v;
}

static double logical_writes(const json_t *r)
{
	return number_at(r, "load/logical_bytes_written") +
	       number_at(r, "run/logical_bytes_written");
}

static double over(double a, double b)
{
	return b > 0 ? a / b : NAN;
}

static double syncs(const json_t *r)
{
	return number_at(r, "run/usage/syncs/fsync") +
	       number_at(r, "run/usage/syncs/fdatasync") +
	       number_at(r, "run/usage/syncs/msync") +
	       number_at(r, "run/usage/syncs/osync_write");
}

/* Operations of the run that wrote; a read-only run has none. */
static double writes(const json_t *r)
{
	static const char *const kind[] = { "update", "insert", "read_modify_write",
					    "delete" };
	char path[64];
	double sum = 0;
	size_t i;

	for (i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
		double n;

		(void)snprintf(path, sizeof(path), "run/latency/%s/count", kind[i]);
		n = number_at(r, path);
		sum += isnan(n) ? 0 : n;
	}
	return sum;
}

static double worst_second(const json_t *r)
{
	const json_t *series = json_object_get(json_object_get(r, "run"), "series");
	double worst = NAN;
	size_t i, n = json_array_size(series);

	for (i = 0; i < n; i++) {
		double ops =
			json_number_value(json_array_get(json_array_get(series, i), 0));

		if (isnan(worst) || ops < worst)
			worst = ops;
	}
	return worst;
}

static double of_replicate(const json_t *r, enum figure f)
{
	switch (f) {
	case FIGURE_OPS_PER_S:
		return number_at(r, "run/ops_per_s");
	case FIGURE_LOAD_OPS_PER_S:
		return over(number_at(r, "load/ops"), number_at(r, "load/seconds"));
	case FIGURE_P50_NS:
		return number_at(r, "run/latency/all/p50_ns");
	case FIGURE_P90_NS:
		return number_at(r, "run/latency/all/p90_ns");
	case FIGURE_P99_NS:
		return number_at(r, "run/latency/all/p99_ns");
	case FIGURE_P999_NS:
		return number_at(r, "run/latency/all/p999_ns");
	case FIGURE_P9999_NS:
		return number_at(r, "run/latency/all/p9999_ns");
	case FIGURE_MAX_NS:
		return number_at(r, "run/latency/all/max_ns");
	case FIGURE_DEVICE_WRITE_BYTES:
		return device_writes(r, false);
	case FIGURE_DEVICE_WRITE_SETTLED:
		return device_writes(r, true);
	case FIGURE_SPACE_BYTES:
		return number_at(r, "space_bytes");
	case FIGURE_SPACE_SETTLED_BYTES:
		return number_at(r, "space_settled_bytes");
	case FIGURE_PEAK_RSS_BYTES:
		return number_at(r, "peak_rss_bytes");
	case FIGURE_WRITE_AMPLIFICATION:
		return over(device_writes(r, false), logical_writes(r));
	case FIGURE_WRITE_AMPLIFICATION_SETTLED:
		return over(device_writes(r, true), logical_writes(r));
	case FIGURE_READ_AMPLIFICATION:
		return over(number_at(r, "run/usage/device_read_bytes"),
			    number_at(r, "run/logical_bytes_read"));
	case FIGURE_SPACE_AMPLIFICATION:
		return over(number_at(r, "space_bytes"), number_at(r, "live_bytes"));
	case FIGURE_SPACE_AMPLIFICATION_SETTLED:
		return over(number_at(r, "space_settled_bytes"),
			    number_at(r, "live_bytes"));
	case FIGURE_CPU_USER_NS_PER_OP:
		return over(number_at(r, "run/usage/cpu_user_ns"),
			    number_at(r, "run/ops"));
	case FIGURE_CPU_SYSTEM_NS_PER_OP:
		return over(number_at(r, "run/usage/cpu_system_ns"),
			    number_at(r, "run/ops"));
	case FIGURE_SWITCHES_PER_OP:
		return over(number_at(r, "run/usage/switches_voluntary") +
				    number_at(r, "run/usage/switches_involuntary"),
			    number_at(r, "run/ops"));
	case FIGURE_FAULTS_PER_OP:
		return over(number_at(r, "run/usage/faults_minor") +
				    number_at(r, "run/usage/faults_major"),
			    number_at(r, "run/ops"));
	case FIGURE_SYNCS_PER_WRITE:
		return over(syncs(r), writes(r));
	case FIGURE_WORST_SECOND:
		return worst_second(r);
	case FIGURES:
		break;
	}
	return NAN;
}

/* ---- cells ---- */

static bool counts(const json_t *replicate)
{
	const char *why = json_string_value(json_object_get(replicate, "void"));

	return why && !*why;
}

size_t cell_values(const json_t *cell, enum figure f, double *v, size_t max)
{
	const json_t *r;
	size_t i, n = 0;

	json_array_foreach(json_object_get(cell, "replicates"), i, r)
	{
		double x = counts(r) ? of_replicate(r, f) : NAN;

		if (!isnan(x) && n < max)
			v[n++] = x;
	}
	return n;
}

double cell_figure(const json_t *cell, enum figure f)
{
	double v[REPLICATES_MAX];

	return stat_median(v, cell_values(cell, f, v, REPLICATES_MAX));
}

bool cell_ok(const json_t *cell)
{
	const char *status = json_string_value(json_object_get(cell, "status"));
	const json_t *r;
	size_t i, n = 0;

	if (!status || strcmp(status, "ok"))
		return false;
	json_array_foreach(json_object_get(cell, "replicates"), i, r)
	{
		const char *content = json_string_value(json_object_get(r, "content"));

		if (!counts(r))
			continue;
		if (!content || !strcmp(content, "different"))
			return false;
		n++;
	}
	return n > 0;
}

static bool same_setting(const json_t *a, const json_t *b)
{
	static const char *const field[] = { "workload", "durability",
					     "records",  "value_bytes",
					     "threads",  "target_ops_per_s" };
	size_t i;

	for (i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		if (!json_equal(json_object_get(a, field[i]),
				json_object_get(b, field[i])))
			return false;
	return true;
}

const json_t *cell_of_engine(const json_t *set, const json_t *like, const char *engine)
{
	const json_t *cell;
	size_t i;

	json_array_foreach(json_object_get(set, "cells"), i, cell)
	{
		const char *label = json_string_value(json_object_get(cell, "engine"));

		if (label && !strcmp(label, engine) && same_setting(cell, like))
			return cell;
	}
	return NULL;
}

/* Replicates of a and b that ran in one block, that is, with one seed. */
static size_t pairs(const json_t *a, const json_t *b, enum figure f, double *x, double *y,
		    struct kv_msg *why)
{
	const json_t *ra, *rb;
	size_t i, j, n = 0;

	json_array_foreach(json_object_get(a, "replicates"), i, ra)
	{
		json_array_foreach(json_object_get(b, "replicates"), j, rb)
		{
			if (!counts(ra) || !counts(rb) || n == REPLICATES_MAX ||
			    !json_equal(json_object_get(ra, "seed"),
					json_object_get(rb, "seed")))
				continue;
			if (!json_equal(json_object_get(ra, "stream_digest"),
					json_object_get(rb, "stream_digest"))) {
				(void)kv_fail(
					why, 0,
					"different operations (stream digests %s and %s): "
					"not comparable",
					json_string_value(
						json_object_get(ra, "stream_digest")),
					json_string_value(
						json_object_get(rb, "stream_digest")));
				return 0;
			}
			x[n] = of_replicate(ra, f);
			y[n] = of_replicate(rb, f);
			n += !isnan(x[n]) && !isnan(y[n]);
		}
	}
	if (!n)
		(void)kv_fail(why, 0, "no replicate that both have");
	return n;
}

struct stat_ratio cell_ratio(const json_t *cell, const json_t *base, enum figure f,
			     struct kv_msg *why)
{
	double x[REPLICATES_MAX], y[REPLICATES_MAX];
	size_t n;

	if (why)
		why->text[0] = '\0';
	n = pairs(cell, base, f, x, y, why);
	return stat_ratio(x, n, y, n, true, 1);
}
