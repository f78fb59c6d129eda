/* SPDX-License-Identifier: MIT */
/*
 * result_json.c - a replicate as JSON, and result sets to and from files.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results.h"

/* ---- a replicate ----
 *
 * Where memory runs out an object comes to lack a member, which the check of the whole
 * finds in the end. Lists and maps may have any number: the two functions below give up
 * the whole of one that could not take its next, and that is missed.
 */

static void list_append(json_t **list, json_t *item)
{
	if (!json_array_append_new(*list, item))
		return;
	json_decref(*list);
	*list = NULL;
}

static void map_put(json_t **map, const char *name, json_t *value)
{
	if (!json_object_set_new(*map, name, value))
		return;
	json_decref(*map);
	*map = NULL;
}

/* A library's message may quote a path of any bytes; JSON is UTF-8. */
static json_t *text_json(const char *text)
{
	json_t *s = json_string(text);
	char plain[sizeof(struct kv_msg)];
	size_t i;

	if (s)
		return s;
	for (i = 0; text[i] && i + 1 < sizeof(plain); i++)
		plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	plain[i] = '\0';
	return json_string(plain);
}

static json_t *count_json(uint64_t count)
{
	return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

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
			list_append(&list, json_pack("[I, I]",
						     (json_int_t)histogram_bucket_low(i),
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
		map_put(&o, "all", histogram_json(p->latency_all, with_buckets));
	for (kind = 0; kind < OP_KINDS; kind++)
		if (p->latency[kind])
			map_put(&o, op_kind_name[kind],
				histogram_json(p->latency[kind], false));
	return o;
}

static json_t *series_json(const struct run_phase *p)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < p->series_len; i++) {
		const struct run_second *s = &p->series[i];

		list_append(&list,
			    json_pack("[I, o, I]", (json_int_t)s->ops,
				      s->p99_ns ? count_json(s->p99_ns) : json_null(),
				      (json_int_t)s->max_ns));
	}
	return list;
}

static json_t *usage_json(const struct usage *u)
{
	json_t *perf = json_object();
	size_t i;

	for (i = 0; i < u->perf.n; i++)
		map_put(&perf, u->perf.v[i].name, count_json(u->perf.v[i].value));
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

/* "name value\n" lines as an object. A name may have spaces. */
static json_t *stats_json(const char *stats)
{
	json_t *o = json_object();
	char name[160];

	for (; stats && *stats; stats += strcspn(stats, "\n"), stats += *stats == '\n') {
		size_t n = strcspn(stats, "\n");

		while (n && stats[n - 1] != ' ')
			n--;
		if (n < 2 || n > sizeof(name))
			continue;
		memcpy(name, stats, n - 1);
		name[n - 1] = '\0';
		map_put(&o, name, count_json(strtoull(stats + n, NULL, 10)));
	}
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
	json_object_set_new(o, "content_note", text_json(r->content_note));
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
			    json_pack("{s:I, s:I, s:o}", "records_replayed",
				      (json_int_t)r->recovery.records_replayed,
				      "bytes_dropped",
				      (json_int_t)r->recovery.bytes_dropped, "why",
				      text_json(r->recovery.why.text)));
	json_object_set_new(o, "thermal_before", thermal_before);
	json_object_set_new(o, "thermal_after", thermal_after);
	json_object_set_new(o, "load", phase_json(&r->load, false));
	json_object_set_new(o, "run", phase_json(&r->run, true));
	json_object_set_new(o, "settle", phase_json(&r->settle, false));
	json_object_set_new(o, "stats", stats_json(r->stats));
	if (results_check_replicate(o, NULL)) {
		json_decref(o);
		return NULL;
	}
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

int results_load(const char *path, json_t **out, struct kv_msg *why)
{
	char inside[4096];
	struct stat st;
	struct kv_msg fault = { "" };
	json_error_t where;
	json_t *set;
	int error;

	if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		if ((size_t)snprintf(inside, sizeof(inside), "%s/results.json", path) >=
		    sizeof(inside))
			return kv_fail(why, -ENAMETOOLONG, "%s: too long a path", path);
		path = inside;
	}
	if (access(path, R_OK)) {
		error = -errno;
		return kv_fail(why, error, "%s cannot be read: %s", path,
			       strerror(-error));
	}
	set = json_load_file(path, 0, &where);
	if (!set)
		return kv_fail(why, -EBADMSG, "%s:%d: not JSON: %s", path, where.line,
			       where.text);
	error = results_check(set, &fault);
	if (error) {
		json_decref(set);
		return kv_fail(why, error, "%s: %s", path, fault.text);
	}
	*out = set;
	return 0;
}
