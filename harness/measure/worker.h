/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the threads of a phase: each draws operations ahead, does them against the
 * clock, and keeps its latencies. Private to runner.c, worker.c and operation.c.
 */
#ifndef WORKER_H
#define WORKER_H

#include "../workload/record.h"
#include "../workload/stream.h"
#include "runner.h"
#include "series.h"

/* The number that the value of a thread's index-th operation is made from; 0 is the
 * load's. No two operations of a run share one. */
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

struct worker { /* a thread's own; read by the runner when it has ended */
	/* constant */
	const struct run_config *config;
	struct crew *crew;
	uint32_t thread;
	bool blind;           /* the engine is null: what it returns is no record */
	struct kv_buf sample; /* a record, for what a blind worker must change */
	pthread_t id;

	/* constant in a phase */
	struct kv *kv;
	enum kv_durability durability;

	struct stream *stream;
	struct load_stream *load;
	struct op *ops; /* drawn ahead: next..len-1 are still to do */
	size_t next, len, cap;
	uint64_t index; /* operations of the stream done, over all phases */
	uint64_t left;  /* to do in this phase, beyond what the deadline allows */

	/* the clock of the phase; all move on by the time spent in drawing */
	uint64_t origin_ns, deadline_ns; /* deadline UINT64_MAX: none */
	uint64_t second_end_ns;
	uint64_t end_ns; /* when the last operation returned */
	uint64_t second; /* the running one, from 0 */

	uint64_t done; /* operations of the phase; atomic: the progress bar looks */
	uint64_t missing_reads, bytes_written, bytes_read;
	uint64_t sum;          /* of all bytes read: nobody can leave out reading them */
	const char *complaint; /* what is wrong, where the engine itself saw no error */
	/* NULL for kinds that the workload does not have. A second's latencies are kept
	 * apart and added to the phase's at its end: one histogram_add() an operation. */
	struct histogram *latency[OP_KINDS], *latency_second[OP_KINDS];
	struct kv_buf got, value;
	char key[RECORD_KEY_MAX];
} __attribute__((aligned(128)));

enum crew_gate { GATE_SHUT, GATE_OPEN, GATE_ABANDONED };

struct crew {
	/* constant in a phase */
	const struct run_config *config;
	struct worker *worker; /* config->threads of them */
	enum worker_phase phase;
	double interval_ns; /* between operations of one thread; 0: closed loop */

	struct series series;

	pthread_mutex_t lock;
	pthread_cond_t moved; /* the gate has, or a worker has ended */
	/* protected by lock */
	enum crew_gate gate;
	uint32_t running;
	uint64_t origin_ns; /* when the gate was opened; constant from then on */
	int error;          /* the first */
	struct kv_msg why;

	int stop; /* atomic: an error somewhere, all others end too */
};

struct crew_phase { /* what to do */
	enum worker_phase phase;
	uint64_t ops;     /* over all threads; UINT64_MAX: no bound */
	double seconds;   /* 0: no bound */
	double ops_per_s; /* 0: closed loop */
	enum kv_durability durability;
	struct perf_group *perf;
	run_progress_fn *progress; /* or NULL */
	void *arg;
};

/* Opens streams, draws the first operations, and touches all memory that a phase needs,
 * so that what a process grows by later is the engine's. */
int crew_open(struct crew *c, const struct run_config *config);
void crew_close(struct crew *c); /* also after a crew_open() that failed */

/* Runs a phase in config->threads threads. usage, unless NULL, covers exactly the time
 * from the start of the first operation to the end of the last. */
int crew_run(struct crew *c, struct kv *kv, const struct crew_phase *phase,
	     struct usage *usage, struct kv_msg *why);

/* How often runner_interrupt() was called; crew_interrupt_clear() forgets it. */
unsigned int crew_interrupts(void);
void crew_interrupt_clear(void);

/* operation.c: does one operation; the error that ends the run, if any. */
int worker_do(struct worker *w, const struct op *op);
/* A sentence about that error. */
void worker_complain(const struct worker *w, const struct op *op, int error,
		     struct kv_msg *why);

#endif /* WORKER_H */
