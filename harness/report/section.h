/* SPDX-License-Identifier: MIT */
/*
 * section.h - the sections of a report, in the order in which a reader meets them, and the
 * loops that they share. Only report.c and section_*.c use this.
 */
#ifndef REPORT_SECTION_H
#define REPORT_SECTION_H

#include "chart.h"
#include "doc.h"
#include "grid.h"

struct report {
	struct grid grid;
	struct doc doc;
	struct pictures pictures; /* its doc is the one above */
};

void section_opening(struct report *r);  /* what was run, and what limits it */
void section_relative(struct report *r); /* the table, and throughput a workload */
void section_kernel(struct report *r);   /* kernel against userspace, where measured */
void section_advice(struct report *r);   /* recommendations in words */
void section_latency(struct report *r);  /* percentiles */
void section_time(struct report *r);     /* throughput and p99 over time */
void section_scaling(struct report *r);  /* over threads, records and value size */
void section_load(struct report *r);     /* latency against offered load */
void section_space(struct report *r);    /* amplification */
void section_cost(struct report *r);     /* CPU, memory, syncs, counters */
void section_missing(struct report *r);  /* each cell without a number, and why */
void section_engines(struct report *r);  /* versions, options, tuning */
void section_machine(struct report *r);  /* the fingerprint */

/* A heading of the setting, where the set has several. */
void report_setting_heading(struct report *r, const struct grid_setting *s);
/* A cell's number in a table: what format makes of the figure, or the status with the
 * reason as a note. */
void report_table_figure(struct report *r, struct table *t, const struct grid_engine *e,
			 const json_t *cell, enum figure f,
			 struct formatted (*format)(double v));
/* "throughput-a-none-100000-100-1": a picture's name. */
struct formatted_name {
	char s[160];
};
struct formatted_name report_picture_name(const char *what, const char *workload,
					  const struct grid_setting *s);
/* True when some engine has a cell with a number there. */
bool report_measured(const struct report *r, const struct grid_setting *s,
		     const char *workload);

#endif /* REPORT_SECTION_H */
