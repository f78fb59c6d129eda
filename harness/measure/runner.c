/* SPDX-License-Identifier: MIT */
/*
 * runner.c - see runner.h: the phases of a replicate in their order.
 */
#include "runner.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "content.h"
#include "worker.h"

/* ---- opening ---- */

static bool has_option(const struct kv_ops *ops, const char *name)
{
	const struct kv_opt *o;

	for (o = ops->opts; o && o->name; o++)
		if (!strcmp(o->name, name))
			return true;
	return false;
}

static const char *durability_name(enum kv_durability d)
{
	static const char *const name[] = { "none", "group", "sync" };

	return name[d];
}

/* The budget and the level that every engine is told alike, then its own options, which
 * may overrule them. The array has memory_bytes as a cap on data, which is no cache. */
static int open_store(const struct run_config *c, struct kv **kv, struct kv_msg *why)
{
	const struct kv_ops *ops = c->engine->ops;
	char options[1024];
	int n = 0;

	if (has_option(ops, "memory_bytes") && c->engine->kind != ENGINE_BASELINE)
		n += snprintf(options, sizeof(options), "memory_bytes=%llu",
			      (unsigned long long)c->memory_bytes);
	if (has_option(ops, "durability"))
		n += snprintf(options + n, sizeof(options) - (size_t)n, "%sdurability=%s",
			      n ? "," : "", durability_name(c->durability));
	options[n] = '\0';
	if (c->engine_options && *c->engine_options)
		n += snprintf(options + n, sizeof(options) - (size_t)n, "%s%s",
			      n ? "," : "", c->engine_options);
	if ((size_t)n >= sizeof(options))
		return kv_fail(why, -EINVAL, "the engine's options are too long");
	return kv_open(ops, NULL, c->dir, options, kv, why);
}

static int check_support(const struct run_config *c, struct kv_msg *why)
{
	const struct kv_ops *ops = c->engine->ops;

	if (c->workload.proportion[OP_SCAN] > 0 && !(ops->caps & KV_CAP_ORDERED))
		return kv_fail(why, -EOPNOTSUPP, "%s keeps no order, so it cannot scan",
			       ops->name);
	if (c->durability != KV_NONE && !(ops->caps & KV_CAP_DURABLE))
		return kv_fail(why, -EOPNOTSUPP, "%s offers no durability but none",
			       ops->name);
	return 0;
}

/* VmHWM starts again from what is resident now, where the kernel allows it. */
static void reset_peak_rss(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "5", 1);
	(void)close(fd);
}

/* ---- phases ---- */

static int collect_series(const struct crew *c, struct run_phase *out)
{
	size_t i;

	if (!c->seconds)
		return 0;
	out->series = calloc(c->seconds, sizeof(*out->series));
	if (!out->series)
		return -ENOMEM;
	out->series_len = c->seconds;
	for (i = 0; i < c->seconds; i++) {
		const struct histogram *h = c->second[i].latency;

		if (!h)
			continue;
		out->series[i].ops = h->count;
		out->series[i].max_ns = h->max_ns;
		(void)histogram_quantile(h, 0.99, &out->series[i].p99_ns);
	}
	return 0;
}

static int collect_kind(const struct crew *c, size_t kind, struct run_phase *out)
{
	uint32_t t;

	for (t = 0; t < c->config->threads; t++) {
		const struct histogram *h = c->worker[t].latency[kind];

		if (!h->count)
			continue;
		if (!out->latency[kind])
			out->latency[kind] = calloc(1, sizeof(struct histogram));
		if (!out->latency[kind])
			return -ENOMEM;
		histogram_merge(out->latency[kind], h);
	}
	if (out->latency[kind])
		histogram_merge(out->latency_all, out->latency[kind]);
	return 0;
}

static int collect(const struct crew *c, struct run_phase *out)
{
	uint64_t longest = 0;
	uint32_t t;
	size_t kind;
	int error = 0;

	out->latency_all = calloc(1, sizeof(struct histogram));
	if (!out->latency_all)
		return -ENOMEM;
	for (t = 0; t < c->config->threads; t++) {
		const struct worker *w = &c->worker[t];
		uint64_t ns = w->end_ns - w->start_ns - w->paused_ns;

		longest = ns > longest ? ns : longest;
		out->ops += w->done_ops;
		out->missing_reads += w->missing_reads;
		out->logical_bytes_written += w->bytes_written;
		out->logical_bytes_read += w->bytes_read;
	}
	out->seconds = (double)longest * 1e-9;
	for (kind = 0; !error && kind < OP_KINDS; kind++)
		error = collect_kind(c, kind, out);
	return error ? error : collect_series(c, out);
}

static int load(struct crew *crew, struct kv *kv, run_progress_fn *progress, void *arg,
		struct run_phase *out, struct kv_msg *why)
{
	const struct run_config *c = crew->config;
	struct usage_mark mark;
	uint64_t begun;
	int error;

	(void)usage_start(&mark, c->dir);
	error = crew_run(crew, kv, WORKER_LOAD, c->workload.insert_count, 0, progress,
			 arg, why);
	if (!error)
		error = collect(crew, out);
	/* The sync belongs to the load: else an engine could leave all its work undone. */
	begun = clock_now_ns();
	if (!error) {
		error = kv_sync(kv);
		if (error)
			(void)kv_fail(why, error, "sync after the load failed: %s",
				      strerror(-error));
	}
	out->seconds += (double)(clock_now_ns() - begun) * 1e-9;
	usage_stop(&mark, &out->usage);
	return error;
}

static int run(struct crew *crew, struct kv *kv, run_progress_fn *progress, void *arg,
	       struct run_phase *out, struct kv_msg *why)
{
	const struct run_config *c = crew->config;
	double seconds =
		c->seconds > 0 ? c->seconds : (double)c->workload.max_execution_seconds;
	uint64_t ops = c->workload.operation_count;
	struct usage_mark mark;
	int error = 0;

	if (c->warmup_ops)
		error = crew_run(crew, kv, WORKER_WARM_UP, c->warmup_ops, 0, progress,
				 arg, why);
	if (error)
		return error;
	(void)usage_start(&mark, c->dir);
	error = crew_run(crew, kv, WORKER_RUN, ops ? ops : UINT64_MAX, seconds, progress,
			 arg, why);
	usage_stop(&mark, &out->usage);
	return error ? error : collect(crew, out);
}

static int settle(const struct run_config *c, struct kv *kv, run_progress_fn *progress,
		  void *arg, struct run_phase *out, struct kv_msg *why)
{
	struct usage_mark mark;
	uint64_t begun = clock_now_ns();
	int error;

	if (progress)
		progress(arg, "settle", 0, 0);
	(void)usage_start(&mark, c->dir);
	error = kv_compact(kv);
	if (!error)
		error = kv_sync(kv);
	usage_stop(&mark, &out->usage);
	out->seconds = (double)(clock_now_ns() - begun) * 1e-9;
	if (error)
		return kv_fail(why, error, "compaction after the run failed: %s",
			       strerror(-error));
	return 0;
}

/* ---- what is told of the end ---- */

struct stats_text {
	struct kv_buf text;
	int error;
};

static void append_stat(void *arg, const char *name, uint64_t value)
{
	struct stats_text *s = arg;
	char line[128];
	int n = snprintf(line, sizeof(line), "%s %llu\n", name,
			 (unsigned long long)value);

	if (!s->error)
		s->error = kv_buf_append(&s->text, line, (size_t)n);
}

static int collect_stats(struct kv *kv, struct run_result *out)
{
	struct stats_text s = { 0 };

	kv_stats(kv, append_stat, &s);
	if (!s.error)
		s.error = kv_buf_append(&s.text, "", 1);
	if (s.error)
		kv_buf_free(&s.text);
	out->stats = s.text.data;
	return s.error;
}

static int check(struct crew *crew, struct kv *kv, run_progress_fn *progress, void *arg,
		 struct run_result *out, struct kv_msg *why)
{
	const struct run_config *c = crew->config;
	uint64_t *executed;
	uint32_t t;
	int error;

	if (!c->check_content || c->use_existing)
		return 0;
	if (progress)
		progress(arg, "check", 0, 0);
	executed = calloc(c->threads, sizeof(*executed));
	if (!executed)
		return -ENOMEM;
	for (t = 0; t < c->threads; t++)
		executed[t] = crew->worker[t].index;
	error = content_check(kv, c, executed, out);
	free(executed);
	return error ? kv_fail(why, error, "checking the content failed: %s",
			       strerror(-error))
		     : 0;
}

/* Everything between open and close. */
static int work(struct crew *crew, struct kv *kv, run_progress_fn *progress, void *arg,
		struct run_result *out, struct kv_msg *why)
{
	const struct run_config *c = crew->config;
	int error = 0;

	kv_recovery(kv, &out->recovery);
	if (!c->use_existing)
		error = load(crew, kv, progress, arg, &out->load, why);
	if (!error && !c->load_only && !crew_interrupted())
		error = run(crew, kv, progress, arg, &out->run, why);
	if (error)
		return error;
	out->interrupted = crew_interrupted();
	out->space_bytes = usage_directory_bytes(c->dir);
	if (c->settle && !out->interrupted)
		error = settle(c, kv, progress, arg, &out->settle, why);
	out->space_settled_bytes = usage_directory_bytes(c->dir);
	out->peak_rss_bytes = usage_peak_rss_bytes();
	out->peak_rss_bytes -= out->peak_rss_bytes < out->base_rss_bytes
				       ? out->peak_rss_bytes
				       : out->base_rss_bytes;
	if (!error)
		error = collect_stats(kv, out);
	if (!error && !out->interrupted)
		error = check(crew, kv, progress, arg, out, why);
	return error;
}

int runner_run(const struct run_config *c, run_progress_fn *progress, void *arg,
	       struct run_result *out, struct kv_msg *why)
{
	struct crew crew;
	struct kv *kv = NULL;
	uint64_t begun;
	int error, closed;

	memset(out, 0, sizeof(*out));
	error = check_support(c, why);
	if (error)
		return error;
	clock_init();
	error = stream_digest(&c->workload, c->workload.seed, c->threads,
			      &out->stream_digest);
	if (!error)
		error = crew_open(&crew, c);
	if (error)
		return kv_fail(why, error, "preparing the operations failed: %s",
			       strerror(-error));
	reset_peak_rss();
	out->base_rss_bytes = usage_rss_bytes();
	begun = clock_now_ns();
	error = open_store(c, &kv, why);
	out->open_seconds = (double)(clock_now_ns() - begun) * 1e-9;
	if (!error) {
		error = work(&crew, kv, progress, arg, out, why);
		begun = clock_now_ns();
		closed = kv_close(kv);
		out->close_seconds = (double)(clock_now_ns() - begun) * 1e-9;
		if (!error && closed)
			error = kv_fail(why, closed, "closing the store failed: %s",
					strerror(-closed));
	}
	crew_close(&crew);
	if (error)
		run_result_free(out);
	return error;
}

static void phase_free(struct run_phase *p)
{
	size_t kind;

	for (kind = 0; kind < OP_KINDS; kind++)
		free(p->latency[kind]);
	free(p->latency_all);
	free(p->series);
}

void run_result_free(struct run_result *r)
{
	phase_free(&r->load);
	phase_free(&r->run);
	phase_free(&r->settle);
	kv_buf_free(&(struct kv_buf){ .data = r->stats });
	memset(r, 0, sizeof(*r));
}
