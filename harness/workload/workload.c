/* SPDX-License-Identifier: MIT */
/*
 * workload.c - presets, property files, and the last check.
 */
#include "workload.h"

#include <unistd.h>

#include "../../sprint-1-core-memory/name_distance.h"
#include "properties.h"
#include "ycsb_property.h"

const char *const op_kind_name[OP_KINDS] = {
	"read", "update", "insert", "scan", "read_modify_write", "delete", "read_missing",
};

struct preset {
	const char *name, *summary;
	const char *settings; /* over YCSB's defaults, separated by blanks */
};

#define ONLY "readproportion=0 updateproportion=0 " /* what follows: no default is left */

static const struct preset presets[] = {
	{ "a", "YCSB A, update heavy: 50% reads, 50% updates, zipfian",
	  ONLY "readproportion=0.5 updateproportion=0.5 requestdistribution=zipfian" },
	{ "b", "YCSB B, read mostly: 95% reads, 5% updates, zipfian",
	  ONLY "readproportion=0.95 updateproportion=0.05 requestdistribution=zipfian" },
	{ "c", "YCSB C, read only, zipfian",
	  ONLY "readproportion=1 requestdistribution=zipfian" },
	{ "d", "YCSB D, read latest: 95% reads of the newest, 5% inserts",
	  ONLY "readproportion=0.95 insertproportion=0.05 requestdistribution=latest" },
	{ "e", "YCSB E, short ranges: 95% scans of 1 to 100 records, 5% inserts, zipfian",
	  ONLY "scanproportion=0.95 insertproportion=0.05 requestdistribution=zipfian "
	       "maxscanlength=100 scanlengthdistribution=uniform" },
	{ "f", "YCSB F: 50% reads, 50% read-modify-writes, zipfian",
	  ONLY "readproportion=0.5 readmodifywriteproportion=0.5 "
	       "requestdistribution=zipfian" },
	{ "update", "100% updates, zipfian",
	  ONLY "updateproportion=1 requestdistribution=zipfian" },
	{ "insert", "100% inserts of new keys in hashed order",
	  ONLY "insertproportion=1" },
	{ "delete", "50% reads, 25% inserts, 25% deletes, uniform: space must come back",
	  ONLY "readproportion=0.5 insertproportion=0.25 deleteproportion=0.25" },
	{ "scan", "100% scans of 1 to 100 records, uniform",
	  ONLY "scanproportion=1 maxscanlength=100" },
	{ "missing", "50% reads, 50% reads of absent keys, uniform: what filters are for",
	  ONLY "readproportion=0.5 readmissingproportion=0.5" },
	{ "sorted", "a load in the order of keys, then 100% reads, zipfian",
	  ONLY "readproportion=1 requestdistribution=zipfian sortedload=true" },
	{ "timeseries",
	  "80% appends of increasing keys, 10% reads and 10% scans of the newest",
	  ONLY "insertproportion=0.8 readproportion=0.1 scanproportion=0.1 "
	       "requestdistribution=latest insertorder=ordered zeropadding=19 "
	       "maxscanlength=100" },
};

enum { PRESETS = sizeof(presets) / sizeof(presets[0]) };

const char *workload_preset_name(size_t i)
{
	return i < PRESETS ? presets[i].name : NULL;
}

static void defaults(struct workload *w)
{
	const struct workload_property *p;
	size_t i;

	memset(w, 0, sizeof(*w));
	for (i = 0; (p = workload_property(i)); i++)
		if (*p->init)
			(void)ycsb_property_set(w, p->name, p->init, NULL);
}

static int preset_set(const struct preset *preset, struct workload *w, struct kv_msg *why)
{
	const char *s = preset->settings;
	char setting[96];
	int error = 0;

	defaults(w);
	(void)snprintf(w->name, sizeof(w->name), "%s", preset->name);
	(void)snprintf(w->summary, sizeof(w->summary), "%s", preset->summary);
	while (!error && *s) {
		size_t n = strcspn(s, " ");

		(void)snprintf(setting, sizeof(setting), "%.*s", (int)n, s);
		error = workload_set(w, setting, why);
		s += n + (s[n] == ' ');
	}
	return error;
}

int workload_preset(const char *name, struct workload *w, struct kv_msg *why)
{
	size_t i, best = SIZE_MAX, nearest = 0;
	char list[128] = "";
	size_t n = 0;

	for (i = 0; i < PRESETS; i++) {
		size_t d = name_distance(name, strlen(name), presets[i].name);

		if (!d)
			return preset_set(&presets[i], w, why);
		if (d < best) {
			best = d;
			nearest = i;
		}
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "",
				      presets[i].name);
	}
	return kv_fail(
		why, -EINVAL,
		"unknown workload \"%.40s\", nearest is %s; there are %s, or the path "
		"of a property file",
		name, presets[nearest].name, list);
}

/* ---- files ---- */

struct file_reader {
	struct workload *w;
	const char *path;
	struct kv_msg *why;
	bool class_only; /* look at nothing but the property "workload" */
};

static int read_property(void *arg, unsigned int line, const char *name,
			 const char *value)
{
	struct file_reader *r = arg;
	struct kv_msg reason;
	int error;

	if (r->class_only && strcmp(name, "workload"))
		return 0;
	error = ycsb_property_set(r->w, name, value, &reason);
	return error ? kv_fail(r->why, error, "%s:%u: %s", r->path, line, reason.text)
		     : 0;
}

int workload_read_file(const char *path, struct workload *w, struct kv_msg *why)
{
	const char *base = strrchr(path, '/');
	size_t len = strlen(path);
	/* The end of a long path, so that the message behind it is not cut off. */
	struct file_reader r = { w, len > 80 ? path + len - 80 : path, why, true };
	int error;

	defaults(w);
	(void)snprintf(w->name, sizeof(w->name), "%.*s", (int)sizeof(w->name) - 1,
		       base ? base + 1 : path);
	(void)snprintf(w->summary, sizeof(w->summary), "property file %s", w->name);
	w->from_file = true;
	/* The class first: of another class's file every property would look misspelt. */
	error = properties_read(path, read_property, &r, why);
	if (error)
		return error;
	r.class_only = false;
	return properties_read(path, read_property, &r, why);
}

int workload_find(const char *name, struct workload *w, struct kv_msg *why)
{
	int error;

	if (strchr(name, '/'))
		return workload_read_file(name, w, why);
	error = workload_preset(name, w, why);
	return error && !access(name, R_OK) ? workload_read_file(name, w, why) : error;
}

int workload_set(struct workload *w, const char *setting, struct kv_msg *why)
{
	const char *equals = strchr(setting, '=');
	char name[96];

	if (!equals || (size_t)(equals - setting) >= sizeof(name))
		return kv_fail(why, -EINVAL, "a property is name=value, not \"%.64s\"",
			       setting);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - setting), setting);
	return ycsb_property_set(w, name, equals + 1, why);
}

/* ---- the last check ---- */

static int check_counts(struct workload *w, struct kv_msg *why)
{
	if (!w->record_count)
		return kv_fail(why, -EINVAL, "recordcount is 0: there must be a record");
	/* Implied again when a checked workload is changed and checked once more. */
	w->insert_count_implied |= !w->insert_count;
	if (w->insert_count_implied && w->insert_start < w->record_count)
		w->insert_count = w->record_count - w->insert_start;
	if (w->insert_start >= w->record_count ||
	    w->insert_count > w->record_count - w->insert_start)
		return kv_fail(why, -EINVAL,
			       "insertstart + insertcount (%llu + %llu) is beyond "
			       "recordcount (%llu)",
			       (unsigned long long)w->insert_start,
			       (unsigned long long)w->insert_count,
			       (unsigned long long)w->record_count);
	return 0;
}

static int check_record(struct workload *w, struct kv_msg *why)
{
	uint64_t bytes = ((uint64_t)w->field_length + 4) * w->field_count;

	if (!w->field_count)
		return kv_fail(why, -EINVAL, "fieldcount is 0: a record has a field");
	if (bytes > KV_VALUE_MAX)
		return kv_fail(
			why, -EINVAL,
			"fieldcount=%u of fieldlength=%u make records of over 1 GiB",
			w->field_count, w->field_length);
	if (w->field_length_distribution == LENGTH_CONSTANT)
		return 0;
	if (w->data_integrity)
		return kv_fail(
			why, -EINVAL,
			"dataintegrity=true needs fieldlengthdistribution=constant");
	if (w->min_field_length > w->field_length)
		return kv_fail(why, -EINVAL, "minfieldlength=%u is above fieldlength=%u",
			       w->min_field_length, w->field_length);
	zipfian_init(&w->field_lengths,
		     (uint64_t)w->field_length - w->min_field_length + 1,
		     YCSB_ZIPFIAN_THETA);
	return 0;
}

static int check_requests(const struct workload *w, struct kv_msg *why)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < OP_KINDS; i++)
		sum += w->proportion[i];
	if (sum <= 0)
		return kv_fail(why, -EINVAL,
			       "every proportion is 0: there is nothing to do");
	if (w->proportion[OP_SCAN] > 0 &&
	    (!w->min_scan_length || w->min_scan_length > w->max_scan_length))
		return kv_fail(why, -EINVAL,
			       "minscanlength=%u, maxscanlength=%u: no scan is that long",
			       w->min_scan_length, w->max_scan_length);
	return 0;
}

int workload_check(struct workload *w, struct kv_msg *why)
{
	int error = check_counts(w, why);

	if (!error)
		error = check_record(w, why);
	return error ? error : check_requests(w, why);
}

int workload_print(const struct workload *w, struct kv_buf *out)
{
	char text[64], line[160];
	const char *name;
	size_t i;
	int error = 0;

	for (i = 0; !error && ycsb_property_get(w, i, &name, text, sizeof(text)); i++) {
		int n = snprintf(line, sizeof(line), "%s=%s\n", name, text);

		error = kv_buf_append(out, line, (size_t)n);
	}
	return error;
}
