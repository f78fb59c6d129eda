/* SPDX-License-Identifier: MIT */
/*
 * ycsb_property.c - the table of properties: CoreWorkload's, the client's, and ours.
 */
#include "ycsb_property.h"

#include <math.h>

enum property_kind {
	U64,
	U32,
	REAL,    /* not negative */
	FLAG,    /* true, false */
	CHOICE,  /* one of choices; the position is the value */
	LOAD,    /* CHOICE whose values are not positions: insertorder */
	SIZE,    /* ours: fieldcount=1 and fieldlength=value */
	CLASS,   /* the workload class */
	IGNORED, /* known and harmless: accepted, does nothing here */
	REFUSED, /* known, and would change the work in a way that is not supported */
};

struct property {
	const char *name, *init, *help;
	enum property_kind kind;
	size_t offset;
	const char *choices;
};

#define AT(field) offsetof(struct workload, field)

static const char requests[] =
	"uniform|zipfian|zipf|latest|hotspot|exponential|sequential";
static const char lengths[] = "constant|uniform|zipfian";

static const struct property properties[] = {
	{ "workload", "site.ycsb.workloads.CoreWorkload",
	  "the workload class: CoreWorkload only", CLASS, 0, NULL },
	{ "recordcount", "1000", "records in the store after the load", U64,
	  AT(record_count), NULL },
	{ "operationcount", "1000", "operations of the run, over all threads; 0: by time",
	  U64, AT(operation_count), NULL },
	{ "insertstart", "0", "first keynum of the load", U64, AT(insert_start), NULL },
	{ "insertcount", "0",
	  "records that the load inserts; 0: recordcount - insertstart", U64,
	  AT(insert_count), NULL },
	{ "readproportion", "0.95", "weight of reads", REAL, AT(proportion[OP_READ]),
	  NULL },
	{ "updateproportion", "0.05", "weight of updates", REAL,
	  AT(proportion[OP_UPDATE]), NULL },
	{ "insertproportion", "0", "weight of inserts", REAL, AT(proportion[OP_INSERT]),
	  NULL },
	{ "scanproportion", "0", "weight of scans", REAL, AT(proportion[OP_SCAN]), NULL },
	{ "readmodifywriteproportion", "0", "weight of read-modify-writes", REAL,
	  AT(proportion[OP_READ_MODIFY_WRITE]), NULL },
	{ "deleteproportion", "0", "weight of deletes (not in YCSB)", REAL,
	  AT(proportion[OP_DELETE]), NULL },
	{ "readmissingproportion", "0", "weight of reads of absent keys (not in YCSB)",
	  REAL, AT(proportion[OP_READ_MISSING]), NULL },
	{ "requestdistribution", "uniform",
	  "which keys are asked for; zipf is the exact law", CHOICE, AT(request),
	  requests },
	{ "zipftheta", "0.99", "exponent of requestdistribution=zipf (not in YCSB)", REAL,
	  AT(zipf_theta), NULL },
	{ "hotspotdatafraction", "0.2", "share of keys that are hot", REAL,
	  AT(hotspot_data_fraction), NULL },
	{ "hotspotopnfraction", "0.8", "share of operations that ask for hot keys", REAL,
	  AT(hotspot_op_fraction), NULL },
	{ "exponential.percentile", "95", "percent of operations within exponential.frac",
	  REAL, AT(exponential_percentile), NULL },
	{ "exponential.frac", "0.8571428571", "newest share of keys that they go to",
	  REAL, AT(exponential_fraction), NULL },
	{ "fieldcount", "10", "fields in a record", U32, AT(field_count), NULL },
	{ "fieldlength", "100", "bytes in a field (the most, if lengths vary)", U32,
	  AT(field_length), NULL },
	{ "minfieldlength", "1", "fewest bytes in a field", U32, AT(min_field_length),
	  NULL },
	{ "fieldlengthdistribution", "constant", "how lengths of fields vary", CHOICE,
	  AT(field_length_distribution), lengths },
	{ "valuesize", "", "short for fieldcount=1 and this fieldlength (not in YCSB)",
	  SIZE, 0, NULL },
	{ "readallfields", "true", "reads look at every field", FLAG, AT(read_all_fields),
	  NULL },
	{ "writeallfields", "false", "updates write every field", FLAG,
	  AT(write_all_fields), NULL },
	{ "dataintegrity", "false", "values can be checked when read", FLAG,
	  AT(data_integrity), NULL },
	{ "minscanlength", "1", "fewest records in a scan", U32, AT(min_scan_length),
	  NULL },
	{ "maxscanlength", "1000", "most records in a scan", U32, AT(max_scan_length),
	  NULL },
	{ "scanlengthdistribution", "uniform", "how lengths of scans vary", CHOICE,
	  AT(scan_length_distribution), lengths },
	{ "insertorder", "hashed", "keys are hashes of keynums, or keynums", LOAD,
	  AT(ordered_keys), "hashed|ordered" },
	{ "zeropadding", "1", "fewest digits in a key", U32, AT(zero_padding), NULL },
	{ "sortedload", "false", "load in key order (not in YCSB)", FLAG, AT(sorted_load),
	  NULL },
	{ "maxexecutiontime", "0", "seconds that the run may take; 0: no limit", U64,
	  AT(max_execution_seconds), NULL },
	{ "target", "0", "operations a second over all threads; 0: as fast as can be",
	  REAL, AT(target_ops_per_s), NULL },
	{ "threadcount", "0", "threads; 0: as the command line says", U32, AT(threads),
	  NULL },
	{ "seed", "0", "of the random numbers; 0: as the command line says (not in YCSB)",
	  U64, AT(seed), NULL },

	{ "table", "usertable", "stores here have one table", IGNORED, 0, NULL },
	{ "columnfamily", "", "for other databases", IGNORED, 0, NULL },
	{ "db", "", "use --engine", IGNORED, 0, NULL },
	{ "exporter", "", "results are JSON, see --json", IGNORED, 0, NULL },
	{ "exportfile", "", "results are JSON, see --json", IGNORED, 0, NULL },
	{ "dotransactions", "true", "kvbench load and kvbench run", IGNORED, 0, NULL },
	{ "label", "", "a name for people", IGNORED, 0, NULL },
	{ "status", "false", "progress is always shown on a terminal", IGNORED, 0, NULL },
	{ "status.interval", "10", "progress is always shown on a terminal", IGNORED, 0,
	  NULL },
	{ "keylengthdistribution", "", "in some published files; nothing reads it",
	  IGNORED, 0, NULL },
	{ "core_workload_insertion_retry_limit", "0", "a failed insert ends the load",
	  IGNORED, 0, NULL },
	{ "core_workload_insertion_retry_interval", "3", "a failed insert ends the load",
	  IGNORED, 0, NULL },
	{ "measurementtype", "hdrhistogram", "log-linear histograms always", IGNORED, 0,
	  NULL },
	{ "measurement.interval", "op", "an open loop counts from the intended start",
	  IGNORED, 0, NULL },
	{ "measurement.raw.output_file", "", "no raw samples are kept", IGNORED, 0,
	  NULL },
	{ "measurement.trackjvm", "false", "there is no JVM", IGNORED, 0, NULL },
	{ "measurement.histogram.verbose", "false", "results hold every bucket", IGNORED,
	  0, NULL },
	{ "histogram.buckets", "1000", "buckets are fixed, at most 1% wide", IGNORED, 0,
	  NULL },
	{ "timeseries.granularity", "1000", "a second always", IGNORED, 0, NULL },
	{ "hdrhistogram.percentiles", "95,99", "results hold every bucket", IGNORED, 0,
	  NULL },
	{ "hdrhistogram.fileoutput", "false", "results hold every bucket", IGNORED, 0,
	  NULL },
	{ "hdrhistogram.output.path", "", "results hold every bucket", IGNORED, 0, NULL },
	{ "reportlatencyforeacherror", "false", "an error ends the run", IGNORED, 0,
	  NULL },
	{ "latencytrackederrors", "", "an error ends the run", IGNORED, 0, NULL },

	{ "fieldlengthhistogram", "hist.txt", "lengths drawn from a file", REFUSED, 0,
	  NULL },
	{ "fieldnameprefix", "field", "other names of fields", REFUSED, 0, NULL },
	{ "keyprefix", "user", "other names of keys", REFUSED, 0, NULL },
	{ "readallfieldsbyname", "false", "stores here do not know fields", IGNORED, 0,
	  NULL },
	{ "batchsize", "1", "batched loads of some databases", IGNORED, 0, NULL },
};

enum { PROPERTIES = sizeof(properties) / sizeof(properties[0]) };

const struct workload_property *workload_property(size_t i)
{
	static struct workload_property out[PROPERTIES];

	if (i >= PROPERTIES)
		return NULL;
	out[i] = (struct workload_property){ properties[i].name, properties[i].init,
					     properties[i].help };
	return &out[i];
}

/* ---- values ---- */

static int parse_u64(const char *s, uint64_t *out)
{
	char *end;

	/* strtoull takes blanks and signs, which are no counts. */
	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(s, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

static int parse_real(const char *s, double *out)
{
	char *end;

	if ((*s < '0' || *s > '9') && *s != '.')
		return -EINVAL;
	*out = strtod(s, &end);
	return *end || !isfinite(*out) ? -EINVAL : 0;
}

static int parse_choice(const char *choices, const char *s, unsigned int *out)
{
	size_t len = strlen(s);

	for (*out = 0;; ++*out) {
		size_t n = strcspn(choices, "|");

		if (n == len && !memcmp(choices, s, n))
			return 0;
		if (!choices[n])
			return -EINVAL;
		choices += n + 1;
	}
}

static int set_class(const char *value, struct kv_msg *why)
{
	const char *last = strrchr(value, '.');

	if (!strcmp(last ? last + 1 : value, "CoreWorkload"))
		return 0;
	return kv_fail(why, -EOPNOTSUPP,
		       "workload class %s is not supported: only CoreWorkload is", value);
}

static int set_number(const struct property *p, char *at, const char *value)
{
	uint64_t n;
	int error;

	if (p->kind == REAL)
		return parse_real(value, (double *)(void *)at);
	error = parse_u64(value, &n);
	if (!error && p->kind == U32 && n > UINT32_MAX)
		error = -EINVAL;
	if (error)
		return error;
	if (p->kind == U32)
		*(uint32_t *)(void *)at = (uint32_t)n;
	else
		*(uint64_t *)(void *)at = n;
	return 0;
}

static int set(struct workload *w, const struct property *p, const char *value,
	       struct kv_msg *why)
{
	char *at = (char *)w + p->offset;
	unsigned int choice;
	uint64_t n;

	switch (p->kind) {
	case U64:
	case U32:
	case REAL:
		if (set_number(p, at, value))
			return kv_fail(
				why, -EINVAL, "property %s is a %s, not \"%s\"", p->name,
				p->kind == REAL ? "number of 0 or more" : "whole number",
				value);
		return 0;
	case FLAG:
		if (strcmp(value, "true") && strcmp(value, "false"))
			return kv_fail(why, -EINVAL,
				       "property %s is true or false, not \"%s\"",
				       p->name, value);
		*(bool *)(void *)at = !strcmp(value, "true");
		return 0;
	case CHOICE:
	case LOAD:
		if (parse_choice(p->choices, value, &choice))
			return kv_fail(why, -EINVAL,
				       "property %s is one of %s, not \"%s\"", p->name,
				       p->choices, value);
		if (p->kind == LOAD)
			*(bool *)(void *)at = choice;
		else
			memcpy(at, &choice, sizeof(choice));
		return 0;
	case SIZE:
		if (parse_u64(value, &n) || n > UINT32_MAX)
			return kv_fail(why, -EINVAL,
				       "property %s is a number of bytes, not \"%s\"",
				       p->name, value);
		w->field_count = 1;
		w->field_length = (uint32_t)n;
		return 0;
	case CLASS:
		return set_class(value, why);
	case IGNORED:
		return 0;
	case REFUSED:
		if (!strcmp(value, p->init))
			return 0;
		return kv_fail(why, -EOPNOTSUPP, "property %s=%s is not supported (%s)",
			       p->name, value, p->help);
	}
	return -EINVAL;
}

_Static_assert(sizeof(enum distribution) == sizeof(unsigned int),
	       "choices are stored so");
_Static_assert(sizeof(enum length_distribution) == sizeof(unsigned int), "these too");

/* ---- names ---- */

static size_t edit_distance(const char *a, const char *b)
{
	size_t row[64], m = strlen(b), i, j;

	if (m >= 64)
		return SIZE_MAX;
	for (j = 0; j <= m; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= m; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (best > row[j] + 1)
				best = row[j] + 1;
			if (best > row[j - 1] + 1)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

int ycsb_property_set(struct workload *w, const char *name, const char *value,
		      struct kv_msg *why)
{
	const char *nearest = "";
	size_t best = SIZE_MAX, i;

	for (i = 0; i < PROPERTIES; i++) {
		size_t d;

		if (!strcmp(properties[i].name, name))
			return set(w, &properties[i], value, why);
		d = edit_distance(name, properties[i].name);
		if (d < best) {
			best = d;
			nearest = properties[i].name;
		}
	}
	return kv_fail(why, -EINVAL,
		       "unknown property \"%.64s\"; the nearest known one is %s", name,
		       nearest);
}

bool ycsb_property_get(const struct workload *w, size_t i, const char **name, char *text,
		       size_t n)
{
	const struct property *p;
	const char *at, *choice;
	unsigned int position;
	size_t seen = 0;

	for (p = properties; p < properties + PROPERTIES; p++)
		if (p->kind < SIZE && seen++ == i)
			break;
	if (p == properties + PROPERTIES)
		return false;
	*name = p->name;
	at = (const char *)w + p->offset;
	switch (p->kind) {
	case U64:
		(void)snprintf(text, n, "%llu",
			       (unsigned long long)*(const uint64_t *)(const void *)at);
		break;
	case U32:
		(void)snprintf(text, n, "%u", *(const uint32_t *)(const void *)at);
		break;
	case REAL:
		(void)snprintf(text, n, "%.17g", *(const double *)(const void *)at);
		break;
	case FLAG:
		(void)snprintf(text, n, "%s",
			       *(const bool *)(const void *)at ? "true" : "false");
		break;
	default:
		if (p->kind == LOAD)
			position = *(const bool *)(const void *)at;
		else
			memcpy(&position, at, sizeof(position));
		for (choice = p->choices; position; position--)
			choice = strchr(choice, '|') + 1;
		(void)snprintf(text, n, "%.*s", (int)strcspn(choice, "|"), choice);
	}
	return true;
}
