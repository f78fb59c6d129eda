/* SPDX-License-Identifier: MIT */
/*
 * replicate.h - one replicate in a process of its own: started, watched, its result read.
 */
#ifndef REPLICATE_H
#define REPLICATE_H

#include "engine_label.h"
#include "measure/runner.h"

struct replicate_job {
	struct run_config config; /* engine, engine_options and dir are set from below */
	const struct engine_label *engine;
	const char *scratch; /* a directory; the store is a new one below it */
	unsigned int replicate, order;
	double timeout_seconds; /* 0: none */
};

/* Runs the job in a child and returns its "replicate" of the schema in *out. -EINTR: the
 * user asked to stop (*out may be a partial replicate, or NULL). Other errors: why says
 * what happened and what the child printed last. The store is removed. */
int replicate_run(const struct replicate_job *job, run_progress_fn *progress, void *arg,
		  json_t **out, struct kv_msg *why);

/* SIGINT, SIGTERM and SIGHUP are remembered from now on, and passed to a running child as
 * a SIGINT: the first ends its run, the second its check, the third kills it. */
void replicate_catch_signals(void);

/* Removes a directory with all that is in it. */
int remove_tree(const char *dir);

#endif /* REPLICATE_H */
