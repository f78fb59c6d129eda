/* SPDX-License-Identifier: MIT */
/*
 * plan.h - the grid of a bench: which cells there are, in which order they run.
 *
 * A setting is everything but the engine. For each setting and replicate there is a
 * block: one replicate of every engine, in an order shuffled by the seed.
 */
#ifndef PLAN_H
#define PLAN_H

#include "cli.h"
#include "engine_label.h"
#include "workload/workload.h"

struct profile {
	const char *name;
	uint64_t replicates, records, ops;
	double seconds; /* a run ends after this, if it has not done its operations */
	bool inference; /* are there enough replicates for intervals to mean anything? */
};

const struct profile *profile_find(const char *name); /* NULL when there is none */

struct plan_request { /* what the command line says; lists may be empty */
	struct cli_list engines, workloads, records, values, threads, durability, rates,
		properties;
	uint64_t ops, replicates, seed,
		memory_bytes;   /* ops, replicates 0: the profile's */
	double seconds, warmup; /* seconds 0: the profile's */
	const char *base;
	const struct profile *profile;
};

struct setting {
	struct workload
		workload; /* checked, with its records, operations and value size */
	enum kv_durability durability;
	uint32_t threads;
	double rate; /* 0: closed loop */
};

struct plan {
	struct engine_label *engine;
	size_t engines;
	struct setting *setting;
	size_t settings;
	uint64_t replicates, seed, memory_bytes;
	double seconds, warmup;
	const char *base; /* a label */
	const struct profile *profile;
};

/* Checks everything before anything runs. */
int plan_make(const struct plan_request *r, struct plan *out, struct kv_msg *why);
void plan_free(struct plan *p);

/* Why this engine does not run this setting: a status of the schema and a reason. False
 * when it can run. */
bool plan_cannot_run(const struct engine_label *e, const struct setting *s,
		     const char **status, char *reason, size_t n);

/* The order of engines in a block: order[0..engines-1] is a permutation. */
void plan_shuffle(const struct plan *p, size_t setting, uint64_t replicate,
		  size_t *order);
/* The seed that every engine of a block runs with. */
uint64_t plan_seed(const struct plan *p, uint64_t replicate);

const char *durability_name(enum kv_durability d);
int durability_parse(const char *s, enum kv_durability *out);

#endif /* PLAN_H */
