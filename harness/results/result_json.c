/* SPDX-License-Identifier: MIT */
/*
 * result_json.c - a replicate as JSON, and result sets to and from files.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results.h"

/* ---- a replicate ---- */

static json_t *quantile(const struct histogram *h, double q)
{
	uint64_t ns;

	return histogram_quantile(h, q, &ns) ? json_integer((json_int_t)ns) : json_null();
}

static json_t *buckets_json(const struct histogram *h)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (h->bucket[i])
			json_array_append_new(
				list,
				json_pack("[I, I]", (json_int_t)histogram_bucket_low(i),
					  (json_int_t)h->bucket[i]));
	return list;
}

static json_t *histogram_json(const struct histogram *h, bool with_buckets)
{
	json_t *o = json_object();

	json_object_set_new(o, "count", json_integer((json_int_t)h->count));
	json_object_set_new(
		o, "mean_ns",
		json_real(h->count ? (double)h->sum_ns / (double)h->count : 0));
	json_object_set_new(o, "p50_ns", quantile(h, 0.5));
	json_object_set_new(o, "p90_ns", quantile(h, 0.9));
	json_object_set_new(o, "p99_ns", quantile(h, 0.99));
	json_object_set_new(o, "p999_ns", quantile(h, 0.999));
	json_object_set_new(o, "p9999_ns", quantile(h, 0.9999));
	json_object_set_new(o, "max_ns", json_integer((json_int_t)h->max_ns));
	json_object_set_new(o, "buckets", with_buckets ? buckets_json(h) : json_array());
	return o;
}

static json_t *latency_json(const struct run_phase *p, bool with_buckets)
{
	json_t *o = json_object();
	size_t kind;

	if (p->latency_all && p->latency_all->count)
		json_object_set_new(o, "all",
				    histogram_json(p->latency_all, with_buckets));
	for (kind = 0; kind < OP_KINDS; kind++)
		if (p->latency[kind])
			json_object_set_new(o, op_kind_name[kind],
					    histogram_json(p->latency[kind], false));
	return o;
}

static json_t *series_json(const struct run_phase *p)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < p->series_len; i++) {
		const struct run_second *s = &p->series[i];
		json_t *row = json_array();

		json_array_append_new(row, json_integer((json_int_t)s->ops));
		json_array_append_new(row, s->p99_ns ? json_integer((json_int_t)s->p99_ns)
						     : json_null());
		json_array_append_new(row, json_integer((json_int_t)s->max_ns));
		json_array_append_new(list, row);
	}
	return list;
}

static json_t *usage_json(const struct usage *u)
{
	json_t *perf = json_object();
	size_t i;

	for (i = 0; i < u->perf.n; i++)
		json_object_set_new(perf, u->perf.v[i].name,
				    json_integer((json_int_t)u->perf.v[i].value));
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:{s:I, s:I, s:I, s:I, s:I}, "
		"s:o, s:b, s:s}",
		"cpu_user_ns", (json_int_t)u->cpu_user_ns, "cpu_system_ns",
		(json_int_t)u->cpu_system_ns, "switches_voluntary",
		(json_int_t)u->switches_voluntary, "switches_involuntary",
		(json_int_t)u->switches_involuntary, "faults_minor",
		(json_int_t)u->faults_minor, "faults_major", (json_int_t)u->faults_major,
		"device_read_bytes", (json_int_t)u->device_read_bytes,
		"device_write_bytes", (json_int_t)u->device_write_bytes, "device_source",
		u->device_source, "syncs", "fsync", (json_int_t)u->syncs.fsync,
		"fdatasync", (json_int_t)u->syncs.fdatasync, "msync",
		(json_int_t)u->syncs.msync, "osync_write",
		(json_int_t)u->syncs.osync_write, "sync_file_range",
		(json_int_t)u->syncs.sync_file_range, "perf", perf, "perf_hardware",
		u->perf.hardware, "perf_note", u->perf.note);
}

static json_t *phase_json(const struct run_phase *p, bool with_buckets)
{
	return json_pack("{s:f, s:I, s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "seconds",
			 p->seconds, "ops", (json_int_t)p->ops, "ops_per_s",
			 p->seconds > 0 ? (double)p->ops / p->seconds : 0.0, "failed_ops",
			 (json_int_t)p->failed_ops, "missing_reads",
			 (json_int_t)p->missing_reads, "logical_bytes_written",
			 (json_int_t)p->logical_bytes_written, "logical_bytes_read",
			 (json_int_t)p->logical_bytes_read, "latency",
			 latency_json(p, with_buckets), "series", series_json(p), "usage",
			 usage_json(&p->usage));
}

/* "name value\n" lines as an object. */
static json_t *stats_json(const char *stats)
{
	json_t *o = json_object();
	char name[96];
	unsigned long long value;
	int n;

	for (; stats && sscanf(stats, "%95s %llu\n%n", name, &value, &n) == 2; stats += n)
		json_object_set_new(o, name, json_integer((json_int_t)value));
	return o;
}

static json_t *digest_json(uint64_t digest)
{
	return json_sprintf("%016llx", (unsigned long long)digest);
}

json_t *results_replicate(const struct run_config *c, const struct run_result *r,
			  unsigned int replicate, unsigned int order,
			  json_t *thermal_before, json_t *thermal_after)
{
	static const char *const content[] = { "unchecked", "equal", "plausible",
					       "different" };
	json_t *o = json_object();

	json_object_set_new(o, "replicate", json_integer(replicate));
	json_object_set_new(o, "order", json_integer(order));
	json_object_set_new(o, "seed", json_integer((json_int_t)c->workload.seed));
	json_object_set_new(o, "void", json_string(""));
	json_object_set_new(o, "partial", json_boolean(r->interrupted));
	json_object_set_new(o, "stream_digest", digest_json(r->stream_digest));
	json_object_set_new(o, "content", json_string(content[r->content]));
	json_object_set_new(o, "content_note", json_string(r->content_note));
	json_object_set_new(o, "content_digest", digest_json(r->content_digest));
	json_object_set_new(o, "content_expected", digest_json(r->content_expected));
	json_object_set_new(o, "content_records",
			    json_integer((json_int_t)r->content_records));
	json_object_set_new(o, "live_bytes", json_integer((json_int_t)r->live_bytes));
	json_object_set_new(o, "space_bytes", json_integer((json_int_t)r->space_bytes));
	json_object_set_new(o, "space_settled_bytes",
			    json_integer((json_int_t)r->space_settled_bytes));
	json_object_set_new(o, "peak_rss_bytes",
			    json_integer((json_int_t)r->peak_rss_bytes));
	json_object_set_new(o, "base_rss_bytes",
			    json_integer((json_int_t)r->base_rss_bytes));
	json_object_set_new(o, "open_seconds", json_real(r->open_seconds));
	json_object_set_new(o, "close_seconds", json_real(r->close_seconds));
	json_object_set_new(o, "recovery",
			    json_pack("{s:I, s:I, s:s}", "records_replayed",
				      (json_int_t)r->recovery.records_replayed,
				      "bytes_dropped",
				      (json_int_t)r->recovery.bytes_dropped, "why",
				      r->recovery.why.text));
	json_object_set_new(o, "thermal_before", thermal_before);
	json_object_set_new(o, "thermal_after", thermal_after);
	json_object_set_new(o, "load", phase_json(&r->load, false));
	json_object_set_new(o, "run", phase_json(&r->run, true));
	json_object_set_new(o, "settle", phase_json(&r->settle, false));
	json_object_set_new(o, "stats", stats_json(r->stats));
	return o;
}

/* ---- files ---- */

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

int results_save(const json_t *set, const char *path, struct kv_msg *why)
{
	char temporary[4096];
	char *text = json_dumps(set, JSON_COMPACT | JSON_REAL_PRECISION(9));
	int fd, error = 0;

	if (!text)
		return kv_fail(why, -ENOMEM, "no memory to write %s", path);
	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.tmp", path) >=
	    sizeof(temporary)) {
		free(text);
		return kv_fail(why, -ENAMETOOLONG, "%s: too long a path", path);
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		error = -errno;
	if (!error)
		error = write_all(fd, text, strlen(text));
	if (!error)
		error = write_all(fd, "\n", 1);
	if (!error && fsync(fd))
		error = -errno;
	if (fd >= 0)
		(void)close(fd);
	if (!error && rename(temporary, path))
		error = -errno;
	free(text);
	if (!error)
		return 0;
	(void)unlink(temporary);
	return kv_fail(why, error, "%s cannot be written: %s", path, strerror(-error));
}

/* The parts that readers take for granted; finer things are asked for with care. */
static bool looks_like_set(const json_t *set)
{
	const json_t *cell;
	size_t i;

	if (!json_is_object(json_object_get(set, "fingerprint")) ||
	    !json_is_object(json_object_get(set, "settings")) ||
	    !json_is_array(json_object_get(set, "engines")) ||
	    !json_is_array(json_object_get(set, "workloads")) ||
	    !json_is_array(json_object_get(set, "cells")) ||
	    !json_is_string(json_object_get(set, "base")) ||
	    !json_is_string(json_object_get(set, "name")))
		return false;
	json_array_foreach(json_object_get(set, "cells"), i, cell)
	{
		if (!json_is_string(json_object_get(cell, "workload")) ||
		    !json_is_string(json_object_get(cell, "engine")) ||
		    !json_is_string(json_object_get(cell, "durability")) ||
		    !json_is_string(json_object_get(cell, "status")) ||
		    !json_is_array(json_object_get(cell, "replicates")))
			return false;
	}
	json_array_foreach(json_object_get(set, "engines"), i, cell)
	{
		if (!json_is_string(json_object_get(cell, "label")) ||
		    !json_is_string(json_object_get(cell, "kind")))
			return false;
	}
	return true;
}

int results_load(const char *path, json_t **out, struct kv_msg *why)
{
	char inside[4096];
	struct stat st;
	json_error_t where;
	json_t *set;

	if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		if ((size_t)snprintf(inside, sizeof(inside), "%s/results.json", path) >=
		    sizeof(inside))
			return kv_fail(why, -ENAMETOOLONG, "%s: too long a path", path);
		path = inside;
	}
	if (access(path, R_OK)) {
		int error = -errno;

		return kv_fail(why, error, "%s cannot be read: %s", path,
			       strerror(-error));
	}
	set = json_load_file(path, 0, &where);
	if (!set)
		return kv_fail(why, -EBADMSG, "%s:%d: not JSON: %s", path, where.line,
			       where.text);
	if (!json_is_integer(json_object_get(set, "schema")) || !looks_like_set(set)) {
		json_decref(set);
		return kv_fail(why, -EBADMSG, "%s is not a result set of kvbench", path);
	}
	if (json_integer_value(json_object_get(set, "schema")) != 1) {
		json_decref(set);
		return kv_fail(why, -EPROTONOSUPPORT,
			       "%s has another schema than 1: made by a newer kvbench",
			       path);
	}
	*out = set;
	return 0;
}
