/* SPDX-License-Identifier: MIT */
/*
 * workload.c - presets, property files, and the last check.
 */
#include "workload.h"

#include "properties.h"
#include "ycsb_property.h"

const char *const op_kind_name[OP_KINDS] = {
	"read", "update", "insert", "scan", "read_modify_write", "delete", "read_missing",
};

struct preset {
	const char *name, *summary;
	const char *settings; /* over YCSB's defaults, separated by blanks */
};

#define MIX "readproportion=0 updateproportion=0 "

static const struct preset presets[] = {
	{ "a", "YCSB A, update heavy: 50% reads, 50% updates",
	  "readproportion=0.5 updateproportion=0.5 requestdistribution=zipfian" },
	{ "b", "YCSB B, read mostly: 95% reads, 5% updates",
	  "readproportion=0.95 updateproportion=0.05 requestdistribution=zipfian" },
	{ "c", "YCSB C, read only", MIX "readproportion=1 requestdistribution=zipfian" },
	{ "d", "YCSB D, read latest: 95% reads of the newest, 5% inserts",
	  MIX "readproportion=0.95 insertproportion=0.05 requestdistribution=latest" },
	{ "e", "YCSB E, short ranges: 95% scans of 1-100 records, 5% inserts",
	  MIX "scanproportion=0.95 insertproportion=0.05 requestdistribution=zipfian "
	      "maxscanlength=100 scanlengthdistribution=uniform" },
	{ "f", "YCSB F, read-modify-write: 50% reads, 50% read-modify-writes",
	  MIX
	  "readproportion=0.5 readmodifywriteproportion=0.5 requestdistribution=zipfian" },
	{ "update", "only updates, zipfian",
	  MIX "updateproportion=1 requestdistribution=zipfian" },
	{ "delete", "50% reads, 20% updates, 15% inserts, 15% deletes, zipfian",
	  "readproportion=0.5 updateproportion=0.2 insertproportion=0.15 deleteproportion=0.15 "
	  "requestdistribution=zipfian" },
	{ "missing", "reads of keys that are not there",
	  MIX "readmissingproportion=1 requestdistribution=uniform" },
	{ "sorted", "loaded in key order, then as C",
	  MIX "readproportion=1 requestdistribution=zipfian sortedload=true" },
	{ "timeseries", "appends of increasing keys, and scans of the newest",
	  MIX "insertproportion=0.9 scanproportion=0.1 requestdistribution=latest "
	      "insertorder=ordered zeropadding=19 maxscanlength=100" },
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
	char list[160] = "";
	size_t i, n = 0;

	for (i = 0; i < PRESETS; i++)
		if (!strcmp(name, presets[i].name))
			return preset_set(&presets[i], w, why);
	for (i = 0; i < PRESETS; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "",
				      presets[i].name);
	return kv_fail(why, -EINVAL,
		       "unknown workload \"%.64s\": known are %s, or a file's path", name,
		       list);
}

/* ---- files ---- */

struct file_reader {
	struct workload *w;
	const char *path;
	struct kv_msg *why;
};

static int read_property(void *arg, unsigned int line, const char *name,
			 const char *value)
{
	struct file_reader *r = arg;
	struct kv_msg reason;
	int error = ycsb_property_set(r->w, name, value, &reason);

	return error ? kv_fail(r->why, error, "%s:%u: %s", r->path, line, reason.text)
		     : 0;
}

int workload_read_file(const char *path, struct workload *w, struct kv_msg *why)
{
	const char *base = strrchr(path, '/');
	struct file_reader r = { w, path, why };

	defaults(w);
	(void)snprintf(w->name, sizeof(w->name), "%s", base ? base + 1 : path);
	(void)snprintf(w->summary, sizeof(w->summary), "from %s", w->name);
	return properties_read(path, read_property, &r, why);
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
	if (w->record_count > 1ull << 40)
		return kv_fail(why, -EINVAL, "recordcount is at most 2^40");
	if (!w->insert_count)
		w->insert_count = w->record_count > w->insert_start
					  ? w->record_count - w->insert_start
					  : w->record_count;
	if (!w->record_count)
		return kv_fail(why, -EINVAL, "recordcount must be 1 or more");
	if (w->insert_start > w->record_count ||
	    w->insert_count > w->record_count - w->insert_start)
		return kv_fail(
			why, -EINVAL,
			"insertstart + insertcount (%llu + %llu) is beyond recordcount "
			"(%llu): the run would ask for keys that were never loaded",
			(unsigned long long)w->insert_start,
			(unsigned long long)w->insert_count,
			(unsigned long long)w->record_count);
	return 0;
}

static int check_record(const struct workload *w, struct kv_msg *why)
{
	uint64_t bytes = ((uint64_t)w->field_length + 4) * w->field_count;

	if (!w->field_count || w->field_count > 65535)
		return kv_fail(why, -EINVAL, "fieldcount is from 1 to 65535");
	if (bytes > KV_VALUE_MAX)
		return kv_fail(why, -EINVAL, "a record of %llu bytes is over 1 GiB",
			       (unsigned long long)bytes);
	if (w->field_length_distribution != LENGTH_CONSTANT &&
	    w->min_field_length > w->field_length)
		return kv_fail(why, -EINVAL, "minfieldlength is above fieldlength");
	if (w->data_integrity && w->field_length_distribution != LENGTH_CONSTANT)
		return kv_fail(
			why, -EINVAL,
			"dataintegrity=true needs fieldlengthdistribution=constant");
	if (w->zero_padding > 256)
		return kv_fail(why, -EINVAL, "zeropadding is at most 256");
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
			       "scan lengths are from %u to %u: no such length",
			       w->min_scan_length, w->max_scan_length);
	if (w->request == DIST_HOTSPOT &&
	    (w->hotspot_data_fraction > 1 || w->hotspot_op_fraction > 1))
		return kv_fail(why, -EINVAL, "hotspot fractions are from 0 to 1");
	if (w->request == DIST_EXPONENTIAL &&
	    (w->exponential_percentile <= 0 || w->exponential_percentile >= 100 ||
	     w->exponential_fraction <= 0))
		return kv_fail(
			why, -EINVAL,
			"exponential.percentile is between 0 and 100, exponential.frac above 0");
	if (w->request == DIST_ZIPF && (w->zipf_theta <= 0 || w->zipf_theta > 10))
		return kv_fail(why, -EINVAL, "zipftheta is above 0 and at most 10");
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
