/* SPDX-License-Identifier: MIT */
/*
 * ycsb_property.c - the table of properties: CoreWorkload's, the client's, and ours.
 *
 * Each is set, accepted because it changes nothing here, or refused because it would
 * change what is measured and cannot be done. Names, defaults and meaning are those of
 * CoreWorkload.java, Client.java, Measurements.java and the classes that these call. Where
 * YCSB takes a misspelt value for another one in silence (any insertorder but "hashed" is
 * ordered, any flag but "true" is false) it is an error here.
 */
#include "ycsb_property.h"

#include <ctype.h>
#include <math.h>
#include <strings.h>

#include "../../sprint-1-core-memory/name_distance.h"

enum property_kind {
	U64,
	U32,
	REAL,
	FLAG,     /* true, false */
	CHOICE,   /* one of choices; base + position is the value */
	ORDER,    /* insertorder: hashed, ordered, as a bool */
	TEXT,     /* of the workload's field_name_prefix */
	STATEFUL, /* the kinds above this have a value in struct workload */
	SIZE,     /* ours: fieldcount=1 and fieldlength=value */
	ACCEPTED, /* does nothing here; if there are choices, only these are harmless */
	FAMILY,   /* ACCEPTED, and the name ends in "*": any property that begins so */
};

struct property {
	struct workload_property p;
	enum property_kind kind;
	size_t offset;
	double min, max;     /* of numbers */
	const char *choices; /* "a|b"; NULL for any */
	const char *refused; /* choices that YCSB has and this has not */
	unsigned int base;
};

#define AT(field)         .offset = offsetof(struct workload, field)
#define PROPERTY(n, i, h) .p = { .name = n, .init = i, .help = h }
#define HARMLESS(n, i, h)                                         \
	{                                                         \
		PROPERTY(n, i, "no effect: " h), .kind = ACCEPTED \
	}
#define HARMLESS_ONLY(n, i, c, h)                                 \
	{                                                         \
		PROPERTY(n, i, h), .kind = ACCEPTED, .choices = c \
	}
#define FAMILY_OF(n, h)                                          \
	{                                                        \
		PROPERTY(n, "", "no effect: " h), .kind = FAMILY \
	}
#define PROPORTION(n, i, k, h)                                                 \
	{                                                                      \
		PROPERTY(n, i, h), .kind = REAL, AT(proportion[k]), .max = 1e6 \
	}

#define COUNT_MAX   0x1.0p48
#define SECONDS_MAX 0x1.0p31

static const struct property properties[] = {
	{ PROPERTY(
		  "workload", "site.ycsb.workloads.CoreWorkload",
		  "the workload class: only CoreWorkload, by its new or its old package"),
	  .kind = ACCEPTED,
	  .choices =
		  "site.ycsb.workloads.CoreWorkload|com.yahoo.ycsb.workloads.CoreWorkload" },
	{ PROPERTY("recordcount", "1000", "records in the store after the load"),
	  .kind = U64, AT(record_count), .min = 1, .max = 0x1.0p40 },
	{ PROPERTY("operationcount", "1000",
		   "operations of the run, over all threads; 0: by time"),
	  .kind = U64, AT(operation_count), .max = COUNT_MAX },
	{ PROPERTY("insertstart", "0", "first keynum of the load"), .kind = U64,
	  AT(insert_start), .max = 0x1.0p40 },
	{ PROPERTY("insertcount", "0",
		   "records that the load inserts; 0: recordcount - insertstart"),
	  .kind = U64, AT(insert_count), .max = 0x1.0p40 },

	PROPORTION("readproportion", "0.95", OP_READ, "weight of reads"),
	PROPORTION("updateproportion", "0.05", OP_UPDATE, "weight of updates"),
	PROPORTION("insertproportion", "0", OP_INSERT, "weight of inserts"),
	PROPORTION("scanproportion", "0", OP_SCAN, "weight of scans"),
	PROPORTION("readmodifywriteproportion", "0", OP_READ_MODIFY_WRITE,
		   "weight of read-modify-writes"),
	PROPORTION("deleteproportion", "0", OP_DELETE, "weight of deletes (not in YCSB)"),
	PROPORTION("readmissingproportion", "0", OP_READ_MISSING,
		   "weight of reads of absent keys (not in YCSB)"),

	{ PROPERTY(
		  "requestdistribution", "uniform",
		  "which keys are asked for: uniform, zipfian (YCSB's own), zipf (the exact "
		  "law, not in YCSB), latest, hotspot, exponential, sequential"),
	  .kind = CHOICE, AT(request),
	  .choices = "uniform|zipfian|zipf|latest|hotspot|exponential|sequential" },
	{ PROPERTY("zipftheta", "0.99",
		   "exponent of requestdistribution=zipf (not in YCSB)"),
	  .kind = REAL, AT(zipf_theta), .min = 0.001, .max = 10 },
	{ PROPERTY("hotspotdatafraction", "0.2", "share of keys that are hot"),
	  .kind = REAL, AT(hotspot_data_fraction), .max = 1 },
	{ PROPERTY("hotspotopnfraction", "0.8",
		   "share of operations that ask for hot keys"),
	  .kind = REAL, AT(hotspot_op_fraction), .max = 1 },
	{ PROPERTY("exponential.percentile", "95",
		   "percent of operations within the newest exponential.frac of keys"),
	  .kind = REAL, AT(exponential_percentile), .min = 0.001, .max = 99.999999 },
	{ PROPERTY("exponential.frac", "0.8571428571",
		   "newest share of keys that exponential.percentile refers to"),
	  .kind = REAL, AT(exponential_fraction), .min = 1e-9, .max = 1e9 },

	{ PROPERTY("fieldcount", "10", "fields in a record"), .kind = U32,
	  AT(field_count), .min = 1, .max = UINT16_MAX },
	{ PROPERTY("fieldlength", "100", "bytes in a field (the most, if lengths vary)"),
	  .kind = U32, AT(field_length), .max = KV_VALUE_MAX },
	{ PROPERTY("minfieldlength", "1", "fewest bytes in a field, if lengths vary"),
	  .kind = U32, AT(min_field_length), .max = KV_VALUE_MAX },
	{ PROPERTY(
		  "fieldlengthdistribution", "constant",
		  "constant, uniform or zipfian (favours short ones); histogram: not supported"),
	  .kind = CHOICE, AT(field_length_distribution),
	  .choices = "constant|uniform|zipfian", .refused = "histogram" },
	HARMLESS("fieldlengthhistogram", "hist.txt",
		 "only fieldlengthdistribution=histogram reads it"),
	{ PROPERTY("fieldnameprefix", "field",
		   "names of fields; they stand in the values of dataintegrity only"),
	  .kind = TEXT, AT(field_name_prefix) },
	{ PROPERTY("valuesize", "",
		   "short for fieldcount=1 and this fieldlength (not in YCSB)"),
	  .kind = SIZE, .max = KV_VALUE_MAX },
	{ PROPERTY("readallfields", "true", "reads look at every field, not at one"),
	  .kind = FLAG, AT(read_all_fields) },
	{ PROPERTY("writeallfields", "false", "updates write every field, not one"),
	  .kind = FLAG, AT(write_all_fields) },
	HARMLESS("readallfieldsbyname", "false", "a value here holds all its fields"),
	{ PROPERTY("dataintegrity", "false",
		   "values are a function of their key, and checked when read"),
	  .kind = FLAG, AT(data_integrity) },

	{ PROPERTY("minscanlength", "1", "fewest records in a scan"), .kind = U32,
	  AT(min_scan_length), .max = INT32_MAX },
	{ PROPERTY("maxscanlength", "1000", "most records in a scan"), .kind = U32,
	  AT(max_scan_length), .max = INT32_MAX },
	{ PROPERTY("scanlengthdistribution", "uniform",
		   "uniform or zipfian (favours short ones)"),
	  .kind = CHOICE, AT(scan_length_distribution), .choices = "uniform|zipfian",
	  .base = LENGTH_UNIFORM },

	{ PROPERTY("insertorder", "hashed",
		   "keys are made of hashes of keynums (hashed) or of keynums (ordered)"),
	  .kind = ORDER, AT(ordered_keys), .choices = "hashed|ordered" },
	{ PROPERTY("zeropadding", "1",
		   "fewest digits in a key; 19 makes all keys as long"),
	  .kind = U32, AT(zero_padding), .max = 256 },
	{ PROPERTY("sortedload", "false", "load in the order of keys (not in YCSB)"),
	  .kind = FLAG, AT(sorted_load) },
	HARMLESS_ONLY("keyprefix", "user", "user", "keys begin with \"user\": no other"),

	{ PROPERTY("threadcount", "0", "threads; 0: as the command line says"),
	  .kind = U32, AT(threads), .max = 4096 },
	{ PROPERTY("target", "0",
		   "operations a second over all threads; 0: as fast as can be"),
	  .kind = REAL, AT(target_ops_per_s), .max = 1e12 },
	{ PROPERTY("maxexecutiontime", "0", "seconds that the run may take; 0: no limit"),
	  .kind = U64, AT(max_execution_seconds), .max = SECONDS_MAX },
	{ PROPERTY("seed", "0",
		   "of the random numbers; 0: as the command line says (not in YCSB)"),
	  .kind = U64, AT(seed), .max = 0x1.0p64 },

	HARMLESS("table", "usertable", "a store here is one table"),
	HARMLESS("columnfamily", "", "a store here is one table"),
	HARMLESS("db", "site.ycsb.BasicDB", "--engines says which store"),
	FAMILY_OF("db.*", "of YCSB's JDBC client"),
	FAMILY_OF("jdbc.*", "of YCSB's JDBC client"),
	FAMILY_OF("basicdb.*", "of YCSB's client without a store"),
	FAMILY_OF("htrace.*", "nothing is traced"),
	HARMLESS_ONLY("dotransactions", "true", "true",
		      "true only; \"kvbench load\" is YCSB's dotransactions=false"),
	HARMLESS("core_workload_insertion_retry_limit", "0",
		 "a failed insert is counted as failed, not tried again"),
	HARMLESS("core_workload_insertion_retry_interval", "3",
		 "a failed insert is counted as failed, not tried again"),
	HARMLESS("status", "false", "progress is always shown on a terminal"),
	HARMLESS("status.interval", "10", "progress is always shown on a terminal"),
	HARMLESS("label", "", "names a status line of YCSB's"),
	HARMLESS("exporter", "", "results are JSON"),
	HARMLESS("exportfile", "", "--out says where results go"),
	HARMLESS_ONLY(
		"measurementtype", "hdrhistogram",
		"hdrhistogram|histogram|hdrhistogram+histogram|timeseries",
		"histograms and a series by the second, always; raw: not supported"),
	HARMLESS("measurement.interval", "op",
		 "with a target, latency counts from the intended start"),
	HARMLESS("measurement.trackjvm", "false", "there is no JVM"),
	HARMLESS("measurement.histogram.verbose", "false",
		 "results hold the percentiles"),
	HARMLESS("measurement.raw.output_file", "", "only measurementtype=raw reads it"),
	HARMLESS("measurement.raw.no_summary", "false",
		 "only measurementtype=raw reads it"),
	HARMLESS("histogram.buckets", "1000", "buckets are log-linear, at most 1% wide"),
	HARMLESS("timeseries.granularity", "1000", "the series is by the second"),
	HARMLESS("hdrhistogram.percentiles", "50,95,99",
		 "p50, p90, p99, p99.9, p99.99 and max, always"),
	HARMLESS("hdrhistogram.fileoutput", "false", "results hold the percentiles"),
	HARMLESS("hdrhistogram.output.path", "", "results hold the percentiles"),
	HARMLESS("reportlatencyforeacherror", "false", "failed operations are counted"),
	HARMLESS("latencytrackederrors", "", "failed operations are counted"),
};

enum { PROPERTIES = sizeof(properties) / sizeof(properties[0]) };

const struct workload_property *workload_property(size_t i)
{
	return i < PROPERTIES ? &properties[i].p : NULL;
}

/* ---- values as text ---- */

/* Digits alone: strtoull() would take blanks and signs, and make -1 a large number. */
static int parse_whole(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		unsigned int digit = (unsigned int)(unsigned char)*s - '0';

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		v = v * 10 + digit;
	}
	*out = v;
	return 0;
}

/* As Java's parseDouble() blanks around are no matter; its NaN, Infinity, hexadecimal and
 * suffixes are not wanted. */
static int parse_real(const char *s, double *out)
{
	const char *p;
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	for (p = s; *p && !isspace((unsigned char)*p); p++)
		if (!strchr("0123456789.eE+-", *p))
			return -EINVAL;
	*out = strtod(s, &end);
	if (end == s || end != p || !isfinite(*out))
		return -EINVAL;
	while (isspace((unsigned char)*p))
		p++;
	return *p ? -EINVAL : 0;
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

/* Said where a value that looks right is not: Java keeps blanks at the end of a line. */
static const char *trailing(const char *value)
{
	size_t n = strlen(value);

	return n && isspace((unsigned char)value[n - 1]) ? " (with blanks at its end)"
							 : "";
}

/* ---- setting ---- */

static int set_whole(void *at, const struct property *p, const char *value,
		     struct kv_msg *why)
{
	uint64_t v;

	if (parse_whole(value, &v) || (double)v < p->min || (double)v > p->max)
		return kv_fail(why, -EINVAL,
			       "%s is a whole number from %.0f to %.0f, not \"%.40s\"%s",
			       p->p.name, p->min, p->max, value, trailing(value));
	if (p->kind == U64)
		memcpy(at, &v, sizeof(v));
	else
		memcpy(at, &(uint32_t){ (uint32_t)v }, sizeof(uint32_t));
	return 0;
}

static int set_real(void *at, const struct property *p, const char *value,
		    struct kv_msg *why)
{
	double v;

	if (parse_real(value, &v) || v < p->min || v > p->max)
		return kv_fail(why, -EINVAL,
			       "%s is a number from %g to %g, not \"%.40s\"", p->p.name,
			       p->min, p->max, value);
	v = fabs(v); /* "-0" is 0 and prints so */
	memcpy(at, &v, sizeof(v));
	return 0;
}

static int set_flag(void *at, const struct property *p, const char *value,
		    struct kv_msg *why)
{
	bool v = !strcasecmp(value, "true");

	if (!v && strcasecmp(value, "false"))
		return kv_fail(why, -EINVAL, "%s is true or false, not \"%.40s\"%s",
			       p->p.name, value, trailing(value));
	memcpy(at, &v, sizeof(v));
	return 0;
}

static int set_choice(void *at, const struct property *p, const char *value,
		      struct kv_msg *why)
{
	unsigned int v;

	if (p->refused && !parse_choice(p->refused, value, &v))
		return kv_fail(why, -EOPNOTSUPP,
			       "%s=%s is not supported; choose one of %s", p->p.name,
			       value, p->choices);
	/* The name that tells YCSB's zipfian from the exact law. */
	if (p->offset == offsetof(struct workload, request) &&
	    !strcmp(value, "ycsb-zipfian"))
		value = "zipfian";
	if (parse_choice(p->choices, value, &v))
		return kv_fail(why, -EINVAL, "%s is one of %s, not \"%.40s\"%s",
			       p->p.name, p->choices, value, trailing(value));
	v += p->base;
	if (p->kind == ORDER)
		memcpy(at, &(bool){ v != 0 }, sizeof(bool));
	else
		memcpy(at, &v, sizeof(v));
	return 0;
}

static int set_text(void *at, const struct property *p, const char *value,
		    struct kv_msg *why)
{
	size_t n = strlen(value), max = sizeof(((struct workload *)0)->field_name_prefix);
	size_t i;

	for (i = 0; i < n && isgraph((unsigned char)value[i]); i++)
		;
	if (i < n || n >= max)
		return kv_fail(why, -EINVAL,
			       "%s has up to %zu letters without blanks, not \"%.40s\"",
			       p->p.name, max - 1, value);
	memcpy(at, value, n + 1);
	return 0;
}

static int set_size(struct workload *w, const struct property *p, const char *value,
		    struct kv_msg *why)
{
	uint64_t v;

	if (parse_whole(value, &v) || (double)v > p->max)
		return kv_fail(why, -EINVAL,
			       "%s is a number of bytes up to %.0f, not \"%.40s\"%s",
			       p->p.name, p->max, value, trailing(value));
	w->field_count = 1;
	w->field_length = (uint32_t)v;
	w->field_length_distribution = LENGTH_CONSTANT;
	return 0;
}

static int set(struct workload *w, const struct property *p, const char *value,
	       struct kv_msg *why)
{
	void *at = (char *)w + p->offset;
	unsigned int choice;
	int error;

	switch (p->kind) {
	case U64:
	case U32:
		error = set_whole(at, p, value, why);
		if (!error && p->offset == offsetof(struct workload, insert_count))
			w->insert_count_implied = false;
		return error;
	case REAL:
		return set_real(at, p, value, why);
	case FLAG:
		return set_flag(at, p, value, why);
	case CHOICE:
	case ORDER:
		return set_choice(at, p, value, why);
	case TEXT:
		return set_text(at, p, value, why);
	case SIZE:
		return set_size(w, p, value, why);
	case ACCEPTED:
		if (p->choices && parse_choice(p->choices, value, &choice))
			return kv_fail(why, -EOPNOTSUPP,
				       "%s=%.60s%s is not supported: %s", p->p.name,
				       value, trailing(value), p->p.help);
		return 0;
	default:
		return 0;
	}
}

_Static_assert(sizeof(enum distribution) == sizeof(unsigned int),
	       "choices are stored so");
_Static_assert(sizeof(enum length_distribution) == sizeof(unsigned int), "these too");

/* ---- names ---- */

static bool is_named(const struct property *p, const char *name)
{
	if (p->kind == FAMILY)
		return !strncmp(p->p.name, name, strlen(p->p.name) - 1);
	return !strcmp(p->p.name, name);
}

int ycsb_property_set(struct workload *w, const char *name, const char *value,
		      struct kv_msg *why)
{
	const struct property *p, *nearest = properties;
	size_t best = SIZE_MAX;

	for (p = properties; p < properties + PROPERTIES; p++) {
		size_t d;

		if (is_named(p, name))
			return set(w, p, value, why);
		d = name_distance(name, strlen(name), p->p.name);
		if (d < best) {
			best = d;
			nearest = p;
		}
	}
	return kv_fail(why, -EINVAL,
		       "unknown property \"%.64s\"; the nearest known one is %s", name,
		       nearest->p.name);
}

/* ---- printing ---- */

static void print_choice(const struct property *p, unsigned int position, char *text,
			 size_t n)
{
	const char *choice = p->choices;

	for (; position; position--)
		choice = strchr(choice, '|') + 1;
	(void)snprintf(text, n, "%.*s", (int)strcspn(choice, "|"), choice);
}

static void print_value(const struct workload *w, const struct property *p, char *text,
			size_t n)
{
	const void *at = (const char *)w + p->offset;
	unsigned int position;
	uint64_t whole = 0;
	double real;
	bool flag;

	switch (p->kind) {
	case U64:
		memcpy(&whole, at, sizeof(whole));
		(void)snprintf(text, n, "%llu", (unsigned long long)whole);
		break;
	case U32:
		(void)snprintf(text, n, "%u", *(const uint32_t *)at);
		break;
	case REAL:
		memcpy(&real, at, sizeof(real));
		(void)snprintf(text, n, "%.17g", real);
		break;
	case FLAG:
	case ORDER:
		memcpy(&flag, at, sizeof(flag));
		if (p->kind == FLAG)
			(void)snprintf(text, n, "%s", flag ? "true" : "false");
		else
			print_choice(p, flag, text, n);
		break;
	case CHOICE:
		memcpy(&position, at, sizeof(position));
		print_choice(p, position - p->base, text, n);
		break;
	default:
		(void)snprintf(text, n, "%s", (const char *)at);
	}
}

bool ycsb_property_get(const struct workload *w, size_t i, const char **name, char *text,
		       size_t n)
{
	const struct property *p;

	for (p = properties; p < properties + PROPERTIES; p++) {
		if (p->kind >= STATEFUL || i--)
			continue;
		*name = p->p.name;
		print_value(w, p, text, n);
		return true;
	}
	return false;
}
