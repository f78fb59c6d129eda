/* SPDX-License-Identifier: MIT */
/*
 * results.h - result sets: docs/results.schema.json as C, and what is read out of them.
 *
 * The document itself is a jansson value; this module writes it, reads it back, checks it
 * and answers the questions that tables, plots and comparisons ask, so that each number
 * is computed in one place.
 */
#ifndef RESULTS_H
#define RESULTS_H

#include <jansson.h>

#include "../measure/runner.h"
#include "statistics.h"

/* ---- writing ---- */

/* One finished replicate as the schema's "replicate"; NULL when out of memory. */
json_t *results_replicate(const struct run_config *c, const struct run_result *r,
			  unsigned int replicate, unsigned int order,
			  json_t *thermal_before, json_t *thermal_after);

/* Writes to path.tmp, syncs, renames: a reader never sees half. Reals keep 9 digits. */
int results_save(const json_t *set, const char *path, struct kv_msg *why);

/* ---- checking ---- */

/* Holds a set, or one replicate, to docs/results.schema.json: -EPROTONOSUPPORT for another
 * schema number, else -EBADMSG, and why names the first place at fault, such as
 * "cells[3].replicates[0].run.ops is negative". */
int results_check(const json_t *set, struct kv_msg *why);
int results_check_replicate(const json_t *r, struct kv_msg *why);

/* ---- reading ---- */

/* path is a results.json or a directory that holds one. Refuses what results_check()
 * does. */
int results_load(const char *path, json_t **out, struct kv_msg *why);

/* The figures of a cell. Each is the median over the replicates that count (not void). */
enum figure {
	FIGURE_OPS_PER_S,
	FIGURE_LOAD_OPS_PER_S,
	FIGURE_P50_NS,
	FIGURE_P90_NS,
	FIGURE_P99_NS,
	FIGURE_P999_NS,
	FIGURE_P9999_NS,
	FIGURE_MAX_NS,
	FIGURE_DEVICE_WRITE_BYTES,   /* load + run */
	FIGURE_DEVICE_WRITE_SETTLED, /* load + run + settle */
	FIGURE_SPACE_BYTES,
	FIGURE_SPACE_SETTLED_BYTES,
	FIGURE_PEAK_RSS_BYTES,
	FIGURE_WRITE_AMPLIFICATION, /* device bytes written a logical byte, load + run */
	FIGURE_WRITE_AMPLIFICATION_SETTLED,
	FIGURE_READ_AMPLIFICATION,  /* device bytes read a logical byte, run */
	FIGURE_SPACE_AMPLIFICATION, /* space over live bytes */
	FIGURE_SPACE_AMPLIFICATION_SETTLED,
	FIGURE_CPU_USER_NS_PER_OP,
	FIGURE_CPU_SYSTEM_NS_PER_OP,
	FIGURE_SWITCHES_PER_OP,
	FIGURE_FAULTS_PER_OP,
	FIGURE_SYNCS_PER_WRITE, /* durable syncs a write operation of the run */
	FIGURE_WORST_SECOND,    /* the lowest throughput of a full second */
	FIGURES,
};

/* name: "ops_per_s"; unit: "1/s", "ns", "bytes", "ratio"; NULL past the last. */
const char *figure_name(enum figure f);
const char *figure_unit(enum figure f);

/* Median; NAN where no replicate has it. */
double cell_figure(const json_t *cell, enum figure f);
/* The replicates' own numbers that count, in order of replicate; returns how many, at
 * most max. */
size_t cell_values(const json_t *cell, enum figure f, double *v, size_t max);
/* The cell of the same workload, setting and target by another engine; NULL if none. */
const json_t *cell_of_engine(const json_t *set, const json_t *like, const char *engine);
/* cell's ratio to base's for a figure, by block. The stream digests must be equal, else
 * *why says so and the ratio is NAN. */
struct stat_ratio cell_ratio(const json_t *cell, const json_t *base, enum figure f,
			     struct kv_msg *why);
bool cell_ok(const json_t *cell); /* measured, and its content is not different */

#endif /* RESULTS_H */
