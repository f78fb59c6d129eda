/* SPDX-License-Identifier: MIT */
/*
 * runner.c - see runner.h: the phases of a replicate in their order.
 *
 * The load writes at level none and ends with one sync, whatever the level of the run: a
 * million records by a sync each would take minutes and tell nothing. That sync is in the
 * load's time, else an engine could leave all of its work undone.
 */
#include "runner.h"

#include "../../sprint-2-hash-storage/env.h"
#include "clock.h"
#include "content.h"
#include "worker.h"

struct replicate {
	const struct run_config *c;
	run_progress_fn *progress;
	void *arg;
	struct run_result *out;
	struct kv_msg *why;

	struct crew crew;
	struct perf_group *perf;
	struct kv *kv;
	bool load_cut; /* the load was interrupted */
};

static double seconds_since(uint64_t begun_ns)
{
	return (double)(clock_now_ns() - begun_ns) * 1e-9;
}

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

struct options {
	char text[1024];
	size_t len;
};

static void add_option(struct options *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add_option(struct options *o, const char *fmt, ...)
{
	va_list ap;

	if (o->len && o->len < sizeof(o->text))
		o->text[o->len++] = ',';
	if (o->len >= sizeof(o->text))
		return;
	va_start(ap, fmt);
	o->len += (size_t)vsnprintf(o->text + o->len, sizeof(o->text) - o->len, fmt, ap);
	va_end(ap);
}

/* The budget and the level that every engine is told alike, then its own options, which
 * may overrule them. The array has memory_bytes as a cap on data, which is no cache. */
static int open_store(struct replicate *r)
{
	const struct run_config *c = r->c;
	const struct kv_ops *ops = c->engine->ops;
	struct options o = { 0 };
	uint64_t begun = clock_now_ns();
	struct env *env;
	int error = engines_home(c->home, &env, r->why);

	if (error)
		return error;
	if (has_option(ops, "memory_bytes") && c->engine->kind != ENGINE_BASELINE)
		add_option(&o, "memory_bytes=%llu", (unsigned long long)c->memory_bytes);
	if (has_option(ops, "durability"))
		add_option(&o, "durability=%s", durability_name(c->durability));
	/* What the null engine makes up is as long as a record would be. */
	if (c->engine->kind == ENGINE_NULL && has_option(ops, "value_bytes"))
		add_option(&o, "value_bytes=%zu", r->crew.worker[0].sample.len);
	if (c->engine_options && *c->engine_options)
		add_option(&o, "%s", c->engine_options);
	if (o.len >= sizeof(o.text))
		return kv_fail(r->why, -EINVAL,
			       "the engine's options are longer than %zu bytes",
			       sizeof(o.text));
	error = kv_open(ops, env, c->dir, o.text, &r->kv, r->why);
	r->out->open_seconds = seconds_since(begun);
	if (error && r->why && !r->why->text[0])
		(void)kv_fail(r->why, error, "%s: opening %s failed: %s", ops->name,
			      c->dir, strerror(-error));
	return error;
}

static int check_support(const struct run_config *c, struct kv_msg *why)
{
	const struct kv_ops *ops = c->engine->ops;

	if (!ops)
		return kv_fail(why, -EOPNOTSUPP, "%s is not in this build",
			       c->engine->name);
	if (!c->threads)
		return kv_fail(why, -EINVAL, "a run needs at least one thread");
	if (!c->load_only && !c->workload.operation_count && c->seconds <= 0 &&
	    !c->workload.max_execution_seconds)
		return kv_fail(
			why, -EINVAL,
			"a run needs an end: operationcount, or a time in seconds");
	if (c->workload.proportion[OP_SCAN] > 0 && !(ops->caps & KV_CAP_ORDERED))
		return kv_fail(why, -EOPNOTSUPP, "%s keeps no order, so it cannot scan",
			       ops->name);
	if (c->durability != KV_NONE && !(ops->caps & KV_CAP_DURABLE))
		return kv_fail(why, -EOPNOTSUPP, "%s offers no durability but none",
			       ops->name);
	return 0;
}

/* ---- what the threads counted ---- */

static int collect_kind(const struct crew *c, size_t kind, struct run_phase *out)
{
	uint32_t t;

	for (t = 0; t < c->config->threads; t++) {
		const struct histogram *h = c->worker[t].latency[kind];

		if (!h || !h->count)
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

static int collect(struct crew *c, struct run_phase *out)
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

		/* From the gate, for all threads the same moment. */
		if (w->end_ns - w->origin_ns > longest)
			longest = w->end_ns - w->origin_ns;
		out->ops += w->done;
		out->missing_reads += w->missing_reads;
		out->logical_bytes_written += w->bytes_written;
		out->logical_bytes_read += w->bytes_read;
	}
	out->seconds = (double)longest * 1e-9;
	for (kind = 0; !error && kind < OP_KINDS; kind++)
		error = collect_kind(c, kind, out);
	if (!error)
		error = series_take(&c->series, longest / 1000000000u, &out->series,
				    &out->series_len);
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

/* ---- phases ---- */

static int sync_failed(struct replicate *r, int error, const char *after)
{
	return kv_fail(r->why, error, "%s: the sync after the %s failed: %s",
		       r->c->engine->name, after, strerror(-error));
}

static void add_sync(struct usage *to, const struct usage *sync)
{
	size_t i, k;

	to->wall_seconds += sync->wall_seconds;
	to->cpu_user_ns += sync->cpu_user_ns;
	to->cpu_system_ns += sync->cpu_system_ns;
	to->switches_voluntary += sync->switches_voluntary;
	to->switches_involuntary += sync->switches_involuntary;
	to->faults_minor += sync->faults_minor;
	to->faults_major += sync->faults_major;
	to->device_read_bytes += sync->device_read_bytes;
	to->device_write_bytes += sync->device_write_bytes;
	to->syncs.fsync += sync->syncs.fsync;
	to->syncs.fdatasync += sync->syncs.fdatasync;
	to->syncs.msync += sync->syncs.msync;
	to->syncs.osync_write += sync->syncs.osync_write;
	to->syncs.sync_file_range += sync->syncs.sync_file_range;
	for (i = 0; i < to->perf.n; i++)
		for (k = 0; k < sync->perf.n; k++)
			if (!strcmp(to->perf.v[i].name, sync->perf.v[k].name))
				to->perf.v[i].value += sync->perf.v[k].value;
}

static int load(struct replicate *r)
{
	struct run_phase *out = &r->out->load;
	const struct crew_phase phase = {
		.phase = WORKER_LOAD,
		.ops = r->c->workload.insert_count,
		.durability = KV_NONE,
		.perf = r->perf,
		.progress = r->progress,
		.arg = r->arg,
	};
	struct usage_mark mark;
	struct usage sync;
	int error = crew_run(&r->crew, r->kv, &phase, &out->usage, r->why);

	if (!error)
		error = collect(&r->crew, out);
	if (error)
		return error;
	r->load_cut = out->ops < phase.ops;
	usage_start(&mark, r->c->dir, r->perf);
	error = kv_sync(r->kv);
	usage_stop(&mark, &sync);
	add_sync(&out->usage, &sync);
	out->seconds += sync.wall_seconds;
	return error ? sync_failed(r, error, "load") : 0;
}

static int warm_up(struct replicate *r)
{
	const struct crew_phase phase = {
		.phase = WORKER_WARM_UP,
		.ops = r->c->warmup_ops,
		.durability = r->c->durability,
		.progress = r->progress,
		.arg = r->arg,
	};

	return r->c->warmup_ops ? crew_run(&r->crew, r->kv, &phase, NULL, r->why) : 0;
}

static double run_seconds(const struct run_config *c)
{
	return c->seconds > 0 ? c->seconds : (double)c->workload.max_execution_seconds;
}

/* The rate of the run. For a share of the capacity a closed loop goes before, of which
 * nothing but its speed is told. */
static int find_rate(struct replicate *r)
{
	const struct run_config *c = r->c;
	uint64_t count = c->workload.operation_count;
	const struct crew_phase phase = {
		.phase = WORKER_WARM_UP,
		.ops = count ? count / 4 + 1 : UINT64_MAX,
		.seconds = run_seconds(c) / 4,
		.durability = c->durability,
		.progress = r->progress,
		.arg = r->arg,
	};
	struct run_phase closed = { 0 };
	int error;

	r->out->target_ops_per_s = c->ops_per_s;
	if (c->share_of_capacity <= 0)
		return 0;
	error = crew_run(&r->crew, r->kv, &phase, NULL, r->why);
	if (!error)
		error = collect(&r->crew, &closed);
	if (!error && closed.seconds > 0)
		r->out->capacity_ops_per_s = (double)closed.ops / closed.seconds;
	r->out->target_ops_per_s = r->out->capacity_ops_per_s * c->share_of_capacity;
	phase_free(&closed);
	return error;
}

static int run(struct replicate *r)
{
	const struct run_config *c = r->c;
	uint64_t count = c->workload.operation_count;
	const struct crew_phase phase = {
		.phase = WORKER_RUN,
		.ops = count ? count : UINT64_MAX,
		.seconds = run_seconds(c),
		.ops_per_s = r->out->target_ops_per_s,
		.durability = c->durability,
		.perf = r->perf,
		.progress = r->progress,
		.arg = r->arg,
	};
	int error = crew_run(&r->crew, r->kv, &phase, &r->out->run.usage, r->why);

	return error ? error : collect(&r->crew, &r->out->run);
}

static int settle(struct replicate *r)
{
	struct run_phase *out = &r->out->settle;
	struct usage_mark mark;
	int error;

	if (r->progress)
		r->progress(r->arg, "settle", 0, 0);
	usage_start(&mark, r->c->dir, r->perf);
	error = kv_compact(r->kv);
	if (error)
		(void)kv_fail(r->why, error, "%s: compaction after the run failed: %s",
			      r->c->engine->name, strerror(-error));
	else
		error = kv_sync(r->kv);
	if (error && r->why && !r->why->text[0])
		(void)sync_failed(r, error, "run");
	usage_stop(&mark, &out->usage);
	out->seconds = out->usage.wall_seconds;
	return error;
}

/* ---- what is told of the end ---- */

struct stats_text {
	struct kv_buf text;
	int error;
};

static void append_stat(void *arg, const char *name, uint64_t value)
{
	struct stats_text *s = arg;
	char line[160];
	int n = snprintf(line, sizeof(line), "%s %llu\n", name,
			 (unsigned long long)value);

	if (!s->error && n > 0 && (size_t)n < sizeof(line))
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

static int check(struct replicate *r)
{
	uint64_t *executed;
	uint32_t t;
	int error;

	if (r->load_cut) {
		(void)snprintf(r->out->content_note, sizeof(r->out->content_note),
			       "the load was interrupted");
		return 0;
	}
	executed = calloc(r->c->threads, sizeof(*executed));
	if (!executed)
		return -ENOMEM;
	for (t = 0; t < r->c->threads; t++)
		executed[t] = r->crew.worker[t].index;
	error = content_check(r->kv, r->c, executed, r->progress, r->arg, r->out, r->why);
	free(executed);
	return error;
}

static int phases(struct replicate *r)
{
	const struct run_config *c = r->c;
	int error = 0;

	kv_recovery(r->kv, &r->out->recovery);
	if (!c->use_existing)
		error = load(r);
	if (!error && !c->load_only && !crew_interrupts())
		error = warm_up(r);
	if (!error && !c->load_only && !crew_interrupts())
		error = find_rate(r);
	if (!error && !c->load_only && !crew_interrupts())
		error = run(r);
	r->out->interrupted = crew_interrupts() > 0;
	if (error)
		return error;
	r->out->space_bytes = usage_directory_bytes(c->dir);
	if (c->settle && !r->out->interrupted)
		error = settle(r);
	r->out->space_settled_bytes = usage_directory_bytes(c->dir);
	return error;
}

static int work(struct replicate *r)
{
	struct run_result *out = r->out;
	uint64_t peak, begun;
	int error = phases(r), closed;

	/* Before the check, whose replay needs memory of its own. */
	peak = usage_peak_rss_bytes();
	out->peak_rss_bytes = peak > out->base_rss_bytes ? peak - out->base_rss_bytes : 0;
	if (!error)
		error = collect_stats(r->kv, out);
	if (!error)
		error = check(r);
	begun = clock_now_ns();
	closed = kv_close(r->kv);
	out->close_seconds = seconds_since(begun);
	if (!error && closed)
		error = kv_fail(r->why, closed, "%s: closing the store failed: %s",
				r->c->engine->name, strerror(-closed));
	return error;
}

int runner_run(const struct run_config *c, run_progress_fn *progress, void *arg,
	       struct run_result *out, struct kv_msg *why)
{
	struct kv_msg unheard = { "" };
	struct replicate r = { .c = c,
			       .progress = progress,
			       .arg = arg,
			       .out = out,
			       .why = why ? why : &unheard };
	int error;

	memset(out, 0, sizeof(*out));
	r.why->text[0] = '\0';
	error = check_support(c, r.why);
	if (error)
		return error;
	clock_init();
	error = stream_digest(&c->workload, c->workload.seed, c->threads,
			      &out->stream_digest);
	if (!error)
		error = crew_open(&r.crew, c);
	/* Before the store, so that its threads are counted. */
	r.perf = perf_group_open();
	if (!error) {
		usage_reset_peak_rss();
		out->base_rss_bytes = usage_rss_bytes();
		error = open_store(&r);
	}
	if (!error)
		error = work(&r);
	perf_group_close(r.perf);
	crew_close(&r.crew);
	crew_interrupt_clear();
	if (error && !r.why->text[0])
		(void)kv_fail(r.why, error, "the run could not be made: %s",
			      strerror(-error));
	if (error)
		run_result_free(out);
	return error;
}

void run_result_free(struct run_result *r)
{
	phase_free(&r->load);
	phase_free(&r->run);
	phase_free(&r->settle);
	kv_buf_free(&(struct kv_buf){ .data = r->stats });
	memset(r, 0, sizeof(*r));
}
