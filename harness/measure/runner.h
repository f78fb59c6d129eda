/* SPDX-License-Identifier: MIT */
/*
 * runner.h - one replicate: open a store in a fresh directory, load it, warm it up, run a
 * workload, let it settle, and check what it holds in the end.
 *
 * Called in a process of its own (one replicate, one process), so that memory, faults and
 * I/O counted for the process are the engine's.
 */
#ifndef RUNNER_H
#define RUNNER_H

#include "../engines.h"
#include "../workload/workload.h"
#include "histogram.h"
#include "usage.h"

struct run_config {
	const struct engine_info *engine;
	const char
		*engine_options;  /* "name=value,..." for kv_open, over the common ones */
	const char *home;         /* of its files, see engines_home(); NULL: posix */
	const char *dir;          /* absent or empty; the caller removes it */
	struct workload workload; /* checked */
	uint32_t threads;         /* >= 1 */
	enum kv_durability durability;
	uint64_t memory_bytes; /* the budget given to each engine */
	uint64_t warmup_ops;   /* over all threads, not measured */
	double seconds;   /* ends the run before workload.operation_count; 0: does not */
	double ops_per_s; /* 0: closed loop; else open loop at this total rate */
	/* 0: none; else open loop at this share of what a closed loop does just before, for
	 * a quarter of the run's length, and ops_per_s is of no meaning. */
	double share_of_capacity;
	bool check_content; /* compare the final content with the oracle's */
	bool settle;        /* compact and sync after the run, measured apart */
	bool use_existing;  /* dir holds a loaded store: no load (kvbench run) */
	bool load_only;     /* kvbench load */
};

/* A second of the run. */
struct run_second {
	uint64_t ops;
	uint64_t p99_ns, max_ns; /* p99_ns 0: too few samples */
};

struct run_phase { /* load, run and settle each */
	double seconds;
	uint64_t ops, failed_ops, missing_reads; /* a read that found nothing */
	uint64_t logical_bytes_written;          /* keys and values handed to write() */
	uint64_t logical_bytes_read;
	struct histogram *latency[OP_KINDS]; /* NULL where no such operation ran; owned */
	struct histogram *latency_all;       /* owned */
	struct run_second *series;           /* owned */
	size_t series_len;
	struct usage usage; /* what the phase cost */
};

enum content_verdict {
	CONTENT_UNCHECKED, /* not asked for, or not possible: see content_note */
	CONTENT_EQUAL,     /* digest equals the oracle's */
	CONTENT_PLAUSIBLE, /* several threads: each value is some thread's last write */
	CONTENT_DIFFERENT,
};

struct run_result {
	struct run_phase load, run, settle;
	/* Of the closed loop before, where one was asked for; else 0. */
	double capacity_ops_per_s;
	double target_ops_per_s; /* of the run; 0: closed loop */
	uint64_t stream_digest;
	uint64_t content_digest, content_expected, content_records;
	enum content_verdict content;
	char content_note[160];
	uint64_t live_bytes;  /* keys and values that should be there in the end */
	uint64_t space_bytes; /* allocated in dir (st_blocks) when the run ended */
	uint64_t space_settled_bytes; /* ... and when background work had ended */
	uint64_t peak_rss_bytes;      /* VmHWM less the resident set just before open */
	uint64_t base_rss_bytes;      /* that resident set: the harness's own */
	double open_seconds, close_seconds;
	struct kv_recovery recovery;
	char *stats;      /* "name value\n" lines from kv_stats(); owned */
	bool interrupted; /* a signal ended it early; figures are of what ran */
};

/* Called about ten times a second from the measuring process's own thread. done of total
 * is of the phase; total 0 when the phase has no known end. NULL: none. */
typedef void run_progress_fn(void *arg, const char *phase, double done, double total);

/* 0, or -errno and why. Frees what it made on error; else the caller runs run_result_free(). */
int runner_run(const struct run_config *c, run_progress_fn *progress, void *arg,
	       struct run_result *out, struct kv_msg *why);
void run_result_free(struct run_result *r);

/* From a signal handler: the run ends at the next operation. */
void runner_interrupt(void);

#endif /* RUNNER_H */
