/* SPDX-License-Identifier: MIT */
/*
 * grid.h - a result set's axes: which engines, workloads and settings it has, in the
 * order in which a report shows them, and the cell where they meet.
 */
#ifndef REPORT_GRID_H
#define REPORT_GRID_H

#include <jansson.h>

#include "../results/results.h"
#include "text.h"

struct grid_engine {
	const char *label;
	enum engine_kind kind;
	bool available;
	const char *reason; /* why not available */
	const json_t *json; /* the set's engine; NULL when only cells name it */
	unsigned int
		place; /* among its kind: picks its colour, the same in each picture */
};

struct grid_setting {
	const char *durability;
	uint64_t records, value_bytes, threads;
	double target; /* offered operations a second; 0: closed loop */
};

struct grid {
	const json_t *set; /* borrowed */
	struct grid_engine *engine;
	size_t engines;
	const char **workload;
	size_t workloads;
	struct grid_setting *setting; /* closed loop ones first */
	size_t settings, closed;
	const struct grid_engine *base; /* NULL when the set has no such engine */
	bool inference;
};

/* set must outlive g. -EBADMSG for what is not a result set, -ENOMEM. */
int grid_init(struct grid *g, const json_t *set, struct kv_msg *why);
void grid_free(struct grid *g);

/* NULL when the set has none. */
const json_t *grid_cell(const struct grid *g, const struct grid_setting *s,
			const char *workload, const struct grid_engine *e);
/* The same at a setting that differs in one thing. */
bool grid_setting_same(const struct grid_setting *a, const struct grid_setting *b);
/* "durability none, 100,000 records, values of 100 bytes, 1 thread" */
void grid_setting_print(const struct grid_setting *s, struct text *out);
/* "none-100000-100-1": for file names and anchors. */
void grid_setting_slug(const struct grid_setting *s, char *out, size_t size);

/* Why a cell has no number that may be shown, "" when it has. cell may be NULL. Appends
 * to out. Different content voids a cell. */
void grid_reason(const struct grid *g, const struct grid_engine *e, const json_t *cell,
		 struct text *out);
/* One or two words for it: "ok", "missing", "failed", "wrong content", ... */
const char *grid_status(const struct grid_engine *e, const json_t *cell);

/* Replicates that count. */
size_t cell_replicates(const json_t *cell);
/* The i-th replicate that counts; NULL past the last. */
const json_t *cell_replicate(const json_t *cell, size_t i);
/* Engines that compete: all but the null engine. */
bool grid_competes(const struct grid_engine *e);

/* Members of JSON objects that may be absent or null. */
const char *member_text(const json_t *object, const char *key, const char *otherwise);
double member_real(const json_t *object, const char *key);    /* NAN */
uint64_t member_count(const json_t *object, const char *key); /* 0 */

#endif /* REPORT_GRID_H */
