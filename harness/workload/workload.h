/* SPDX-License-Identifier: MIT */
/*
 * workload.h - what to do to a store: YCSB's CoreWorkload as one struct.
 *
 * A workload is made from a preset ("a".."f" and ours) or an official property file,
 * then changed by name=value settings, then checked once. After workload_check() it is
 * constant and may be shared by threads. Source: Cooper et al., "Benchmarking Cloud
 * Serving Systems with YCSB" (2010), and the Java sources of CoreWorkload.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "../../sprint-1-core-memory/kv.h"
#include "generator.h"

/* In the order of YCSB's operation chooser, then ours. */
enum op_kind {
	OP_READ,
	OP_UPDATE,
	OP_INSERT,
	OP_SCAN,
	OP_READ_MODIFY_WRITE,
	OP_DELETE,
	OP_READ_MISSING, /* a key that no load or insert makes */
	OP_KINDS,
};

/* "read", "update", ... "read_missing" */
extern const char *const op_kind_name[OP_KINDS];

enum distribution {
	DIST_UNIFORM,
	DIST_YCSB_ZIPFIAN, /* "zipfian": scrambled, bug-compatible with YCSB */
	DIST_ZIPF,         /* "zipf": the exact law of exponent zipf_theta, scattered */
	DIST_LATEST,
	DIST_HOTSPOT,
	DIST_EXPONENTIAL,
	DIST_SEQUENTIAL,
};

enum length_distribution { LENGTH_CONSTANT, LENGTH_UNIFORM, LENGTH_ZIPFIAN };

struct workload {
	char name[32];    /* "a", "delete", or the file's base name */
	char summary[96]; /* one line for `kvbench workloads` */
	bool from_file;   /* a property file's: its sizes are meant */

	uint64_t record_count;    /* records after the load phase */
	uint64_t operation_count; /* of the run, over all threads; 0: not by count */
	uint64_t insert_start, insert_count; /* keynums that the load phase inserts */
	double proportion[OP_KINDS]; /* need not sum to 1: relative weights, as in YCSB */

	enum distribution request;
	double hotspot_data_fraction, hotspot_op_fraction;
	double exponential_percentile, exponential_fraction;
	double zipf_theta; /* only DIST_ZIPF */

	uint32_t field_count, field_length;
	uint32_t min_field_length; /* for LENGTH_UNIFORM */
	enum length_distribution field_length_distribution;
	bool read_all_fields, write_all_fields;
	bool data_integrity;        /* YCSB's deterministic, checkable values */
	char field_name_prefix[32]; /* stands in such values */

	uint32_t min_scan_length, max_scan_length;
	enum length_distribution scan_length_distribution; /* uniform or zipfian */

	bool ordered_keys; /* insertorder=ordered: "user" + keynum; else its hash */
	bool sorted_load;  /* load in key order (ours) */
	uint32_t zero_padding;
	uint64_t max_execution_seconds; /* 0: by operation_count */
	double target_ops_per_s;        /* 0: closed loop */
	uint32_t threads;               /* threadcount; 0: not given */
	uint64_t seed;                  /* "seed" (ours) */

	/* made by workload_check() */
	bool insert_count_implied; /* insert_count was not given and follows the rest */
	struct zipfian field_lengths; /* LENGTH_ZIPFIAN only */
};

/* Presets: name to a workload with YCSB's defaults; -EINVAL and the nearest name. */
int workload_preset(const char *name, struct workload *w, struct kv_msg *why);
/* The i-th preset's name, NULL past the last. */
const char *workload_preset_name(size_t i);

/* Reads a Java .properties file over YCSB's defaults. An unknown property is -EINVAL and
 * why has file, line, the name and the nearest known one; one that makes no sense here
 * (a JDBC url, say) is accepted when it is harmless, else -EOPNOTSUPP "not supported". */
int workload_read_file(const char *path, struct workload *w, struct kv_msg *why);

/* What a command line names: a preset, or a file (anything with a '/', or that is there). */
int workload_find(const char *name, struct workload *w, struct kv_msg *why);

/* "name=value", as YCSB's -p; and ours: "valuesize=100" is fieldcount=1, fieldlength=100. */
int workload_set(struct workload *w, const char *setting, struct kv_msg *why);

/* Last step: fills what depends on the rest, refuses what contradicts itself. */
int workload_check(struct workload *w, struct kv_msg *why);

/* Every property in a fixed order, "name=value\n": the input of digests and fingerprints.
 * Appends to out. */
int workload_print(const struct workload *w, struct kv_buf *out);

/* Every known property with default and one line of help, for `kvbench workloads --properties`. */
struct workload_property {
	const char *name, *init, *help;
};
const struct workload_property *workload_property(size_t i); /* NULL past the last */

#endif /* WORKLOAD_H */
