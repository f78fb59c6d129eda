/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the threads of a phase: each draws operations, does them, and keeps its
 * latencies. Only the runner uses this.
 */
#ifndef WORKER_H
#define WORKER_H

#include "../workload/record.h"
#include "../workload/stream.h"
#include "runner.h"

/* The number that a write's value is made from; 0 is the load's. */
static inline uint64_t write_version(uint32_t thread, uint64_t index)
{
	return ((uint64_t)(thread + 1) << 40) + index + 1;
}

/* Must an update read the record first, because it changes one field of several? */
static inline bool update_merges(const struct workload *w)
{
	return w->field_count > 1 && !w->write_all_fields;
}

enum worker_phase { WORKER_LOAD, WORKER_WARM_UP, WORKER_RUN };

struct worker {
	/* constant */
	const struct run_config *config;
	struct crew *crew;
	uint32_t thread;
	pthread_t id;

	/* the thread's own; read by the runner when it has ended */
	struct stream *stream;
	struct load_stream *load;
	struct op *ops; /* drawn ahead */
	size_t ops_len, ops_cap, ops_next;
	uint64_t index; /* of the next operation in the thread's stream */
	uint64_t left;  /* operations still to do in this phase */
	uint64_t start_ns, end_ns, paused_ns;
	uint64_t done_ops, missing_reads, bytes_written, bytes_read, sum;
	struct histogram *latency[OP_KINDS];
	struct histogram *second; /* of the running second */
	uint64_t second_index;
	struct kv_buf value;
	char key[RECORD_KEY_MAX];

	uint64_t progress; /* atomic */
};

struct second { /* one of the run, summed over threads */
	struct histogram *latency;
};

struct crew {
	/* constant in a phase */
	const struct run_config *config;
	struct kv *kv;
	struct worker *worker; /* config->threads of them */
	enum worker_phase phase;
	uint64_t deadline_ns; /* after start; 0: none */
	double interval_ns;   /* between operations of one thread; 0: closed loop */

	pthread_mutex_t lock;
	pthread_cond_t gate_moved;
	/* protected by lock */
	enum { GATE_SHUT, GATE_OPEN, GATE_ABANDONED } gate;
	uint64_t origin_ns; /* when the gate was opened; constant from then on */

	struct second *second;
	size_t seconds, seconds_cap;
	int error;
	struct kv_msg why;

	int stop; /* atomic */
};

/* Opens streams and draws the first operations. */
int crew_open(struct crew *c, const struct run_config *config);
void crew_close(struct crew *c);

/* Runs one phase in config->threads threads. ops: over all threads, UINT64_MAX for no
 * bound. Calls progress meanwhile. */
int crew_run(struct crew *c, struct kv *kv, enum worker_phase phase, uint64_t ops,
	     double seconds, run_progress_fn *progress, void *arg, struct kv_msg *why);

bool crew_interrupted(void);

#endif /* WORKER_H */
