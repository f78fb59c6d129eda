/* SPDX-License-Identifier: MIT */
/*
 * cmd_bench.c - kvbench bench: runs the grid, keeps what it finds, reports.
 *
 * Results are saved after every block, so that whatever ends the bench (Ctrl-C, a full
 * disk, a power cut) costs at most the block that was running. The first save is before
 * anything runs: a place that cannot be written is found at once.
 */
#include <math.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "measure/fingerprint.h"
#include "plan.h"
#include "progress.h"
#include "replicate.h"
#include "report/report.h"
#include "results/results.h"

enum { VOID_RETRIES = 2, DEFAULT_TIMEOUT = 1800 };

struct bench {
	struct plan plan;
	struct plan_request request;
	const char *out, *dir, *profile;
	bool tsv, no_report;
	double timeout;
	char out_default[64], out_given[1024];

	json_t *set, *cells;
	char results_path[1024];
	struct progress progress;
	const char *running; /* "lmdb a", for the bar */
	size_t failed;       /* cells */
};

/* ---- the result set ---- */

static json_t *cell_new(const struct engine_label *e, const struct setting *s)
{
	const char *status = "ok";
	char reason[256] = "";

	(void)plan_cannot_run(e, s, &status, reason, sizeof(reason));
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:i, s:o, s:s, s:s, s:[]}",
			 "workload", s->workload.name, "engine", e->label, "durability",
			 durability_name(s->durability), "records",
			 (json_int_t)s->workload.record_count, "value_bytes",
			 (json_int_t)s->workload.field_count * s->workload.field_length,
			 "threads", (int)s->threads, "target_ops_per_s",
			 s->rate > 0 ? json_real(s->rate) : json_null(), "status", status,
			 "reason", reason, "replicates");
}

static json_t *workload_json(const struct workload *w)
{
	struct kv_buf text = { 0 };
	json_t *properties = json_object();
	const char *line, *end, *equals;

	if (!workload_print(w, &text) && !kv_buf_append(&text, "", 1))
		for (line = text.data; (end = strchr(line, '\n')); line = end + 1) {
			char name[96];

			equals = strchr(line, '=');
			(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - line),
				       line);
			json_object_set_new(
				properties, name,
				json_stringn(equals + 1, (size_t)(end - equals - 1)));
		}
	kv_buf_free(&text);
	return json_pack("{s:s, s:s, s:o}", "name", w->name, "summary", w->summary,
			 "properties", properties);
}

/* Each workload once, though it may stand in many settings. */
static json_t *workloads_json(const struct plan *p)
{
	json_t *list = json_array();
	size_t i, j;

	for (i = 0; i < p->settings; i++) {
		for (j = 0; j < i; j++)
			if (!strcmp(p->setting[i].workload.name,
				    p->setting[j].workload.name))
				break;
		if (j == i)
			json_array_append_new(list,
					      workload_json(&p->setting[i].workload));
	}
	return list;
}

static json_t *command_json(int argc, char **argv)
{
	json_t *list = json_pack("[s]", "kvbench");
	int i;

	for (i = 0; i < argc; i++)
		json_array_append_new(list, json_string(argv[i]));
	return list;
}

static void timestamp(const char *format, char *out, size_t n)
{
	time_t now = time(NULL);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(out, n, format, &tm);
}

static void set_new(struct bench *b, int argc, char **argv)
{
	const struct plan *p = &b->plan;
	const char *base = strrchr(b->out, '/');
	char created[32];
	json_t *engines = json_array();
	size_t i, j;

	timestamp("%Y-%m-%dT%H:%M:%SZ", created, sizeof(created));
	b->cells = json_array();
	for (i = 0; i < p->settings; i++)
		for (j = 0; j < p->engines; j++)
			json_array_append_new(b->cells,
					      cell_new(&p->engine[j], &p->setting[i]));
	for (j = 0; j < p->engines; j++)
		json_array_append_new(engines, engine_label_json(&p->engine[j]));
	b->set = json_pack(
		"{s:i, s:s, s:s, s:b, s:s, s:b, s:s, s:o, s:o, "
		"s:{s:I, s:I, s:I, s:f, s:f, s:s, s:f}, s:o, s:o, s:o}",
		"schema", 1, "name", base ? base + 1 : b->out, "created", created,
		"partial", 1, "profile", p->profile->name, "inference",
		p->profile->inference && p->replicates >= 6, "base", p->base, "command",
		command_json(argc, argv), "fingerprint", fingerprint_json(b->dir),
		"settings", "seed", (json_int_t)p->seed, "replicates",
		(json_int_t)p->replicates, "memory_bytes", (json_int_t)p->memory_bytes,
		"warmup_fraction", p->warmup, "seconds", p->seconds, "order",
		"shuffled inside each block", "value_compressibility", 0.75, "workloads",
		workloads_json(p), "engines", engines, "cells", b->cells);
}

static json_t *cell_at(struct bench *b, size_t setting, size_t engine)
{
	return json_array_get(b->cells, setting * b->plan.engines + engine);
}

static bool cell_runs(json_t *cell)
{
	return !strcmp(json_string_value(json_object_get(cell, "status")), "ok");
}

/* ---- running ---- */

static void show(void *arg, const char *phase, double done, double total)
{
	struct bench *b = arg;
	char what[128];

	(void)snprintf(what, sizeof(what), "%s %s", b->running, phase);
	/* Load and run are each about half of a replicate. */
	progress_show(&b->progress, what,
		      done < 0 || total <= 0
			      ? -1
			      : done / total / 2 + (phase[0] == 'r' ? 0.5 : 0));
}

static void describe(json_t *cell, const json_t *replicate, char *line, size_t n)
{
	const json_t *run = json_object_get(replicate, "run");

	(void)snprintf(line, n, "%s on %s: %.0f op/s",
		       json_string_value(json_object_get(cell, "workload")),
		       json_string_value(json_object_get(cell, "engine")),
		       json_number_value(json_object_get(run, "ops_per_s")));
}

static bool throttled(const json_t *replicate)
{
	return json_is_true(json_object_get(json_object_get(replicate, "thermal_after"),
					    "throttled"));
}

/* Its other replicates do not run; the other engines do. */
static void cell_fail(struct bench *b, json_t *cell, const char *reason)
{
	json_object_set_new(cell, "status", json_string("failed"));
	json_object_set_new(cell, "reason", json_string(reason));
	b->failed++;
	progress_end(&b->progress);
	cli_complain("%s on %s: %s; the others go on",
		     json_string_value(json_object_get(cell, "workload")),
		     json_string_value(json_object_get(cell, "engine")), reason);
}

/* Of an interrupted load nothing can be said; of an interrupted run, what ran. */
static void void_unless_it_ran(json_t *replicate)
{
	if (json_is_true(json_object_get(replicate, "partial")) &&
	    !json_integer_value(
		    json_object_get(json_object_get(replicate, "run"), "ops")))
		json_object_set_new(replicate, "void",
				    json_string("interrupted before its run"));
}

static void fill_job(const struct bench *b, size_t setting, size_t engine,
		     uint64_t replicate, unsigned int order, struct replicate_job *job)
{
	const struct plan *p = &b->plan;
	const struct setting *s = &p->setting[setting];

	*job = (struct replicate_job){
		.config = {
			.engine = p->engine[engine].info,
			.workload = s->workload,
			.threads = s->threads,
			.durability = s->durability,
			.memory_bytes = p->memory_bytes,
			.warmup_ops = (uint64_t)(p->warmup * (double)s->workload.operation_count),
			.seconds = p->seconds,
			.ops_per_s = s->rate,
			.check_content = true,
			.settle = true,
		},
		.engine = &p->engine[engine],
		.scratch = b->dir,
		.replicate = (unsigned int)replicate,
		.order = order,
		.timeout_seconds = b->timeout,
	};
	job->config.workload.seed = plan_seed(p, replicate);
}

/* One replicate, again where the machine was throttled. Returns -EINTR to stop. */
static int run_one(struct bench *b, size_t setting, size_t engine, uint64_t replicate,
		   unsigned int order)
{
	json_t *cell = cell_at(b, setting, engine), *r;
	struct replicate_job job;
	struct kv_msg why = { "" };
	char name[128], line[256];
	int error, attempt;

	fill_job(b, setting, engine, replicate, order, &job);
	(void)snprintf(name, sizeof(name), "%s %s", b->plan.engine[engine].label,
		       b->plan.setting[setting].workload.name);
	b->running = name;
	for (attempt = 0;; attempt++) {
		error = replicate_run(&job, show, b, &r, &why);
		if (error || !throttled(r))
			break;
		json_object_set_new(r, "void", json_string("the board throttled itself"));
		json_array_append_new(json_object_get(cell, "replicates"), r);
		if (attempt == VOID_RETRIES) {
			progress_step(&b->progress, "throttled: not counted");
			return 0;
		}
	}
	if (r) {
		describe(cell, r, line, sizeof(line));
		void_unless_it_ran(r);
		json_array_append_new(json_object_get(cell, "replicates"), r);
		if (!strcmp(json_string_value(json_object_get(r, "content")),
			    "different"))
			cell_fail(b, cell,
				  json_string_value(json_object_get(r, "content_note")));
	}
	if (error == -EINTR)
		return error;
	if (error) {
		cell_fail(b, cell, why.text);
		(void)snprintf(line, sizeof(line), "%s failed", name);
	}
	progress_step(&b->progress, line);
	return 0;
}

static int run_block(struct bench *b, size_t setting, uint64_t replicate)
{
	size_t order[CLI_LIST_MAX], i;
	unsigned int place = 0;
	int error = 0;

	plan_shuffle(&b->plan, setting, replicate, order);
	for (i = 0; !error && i < b->plan.engines; i++) {
		json_t *cell = cell_at(b, setting, order[i]);

		if (!cell_runs(cell))
			continue;
		error = run_one(b, setting, order[i], replicate, ++place);
		if (!cell_runs(cell)) /* its other replicates are no steps any more */
			b->progress.total -= b->plan.replicates - replicate;
	}
	return error;
}

static size_t count_steps(struct bench *b)
{
	size_t i, n = 0;

	for (i = 0; i < json_array_size(b->cells); i++)
		n += cell_runs(json_array_get(b->cells, i));
	return n * b->plan.replicates;
}

static int run_grid(struct bench *b)
{
	struct kv_msg why;
	uint64_t replicate;
	size_t setting;
	int error = 0;

	/* Replicates outside, settings inside: what an interrupted bench has is even. */
	for (replicate = 1; !error && replicate <= b->plan.replicates; replicate++)
		for (setting = 0; !error && setting < b->plan.settings; setting++) {
			error = run_block(b, setting, replicate);
			/* Perhaps the next time; the last one decides. */
			if (!error && results_save(b->set, b->results_path, &why))
				cli_complain("%s; what was saved before stays", why.text);
		}
	return error;
}

/* ---- TSV ---- */

static void print_field(double v, double scale, const char *format)
{
	putchar('\t');
	if (isnan(v))
		putchar('-');
	else
		printf(format, v * scale);
}

static void print_cell(const struct bench *b, const json_t *cell)
{
	const json_t *base = cell_of_engine(b->set, cell, b->plan.base);
	struct stat_ratio ratio = { NAN, NAN, NAN, false };

	if (base && cell_ok(cell) && cell_ok(base))
		ratio = cell_ratio(cell, base, FIGURE_OPS_PER_S, NULL);
	printf("%s\t%s\t%s\t%lld\t%lld\t%lld",
	       json_string_value(json_object_get(cell, "workload")),
	       json_string_value(json_object_get(cell, "engine")),
	       json_string_value(json_object_get(cell, "durability")),
	       (long long)json_integer_value(json_object_get(cell, "records")),
	       (long long)json_integer_value(json_object_get(cell, "value_bytes")),
	       (long long)json_integer_value(json_object_get(cell, "threads")));
	print_field(cell_ok(cell) ? cell_figure(cell, FIGURE_OPS_PER_S) : NAN, 1, "%.0f");
	print_field(ratio.ratio, 1, "%.3f");
	print_field(ratio.low, 1, "%.3f");
	print_field(ratio.high, 1, "%.3f");
	print_field(cell_figure(cell, FIGURE_P50_NS), 1e-3, "%.3f");
	print_field(cell_figure(cell, FIGURE_P99_NS), 1e-3, "%.3f");
	print_field(cell_figure(cell, FIGURE_P999_NS), 1e-3, "%.3f");
	print_field(cell_figure(cell, FIGURE_MAX_NS), 1e-3, "%.3f");
	print_field(cell_figure(cell, FIGURE_DEVICE_WRITE_BYTES), 1, "%.0f");
	print_field(cell_figure(cell, FIGURE_SPACE_BYTES), 1, "%.0f");
	print_field(cell_figure(cell, FIGURE_PEAK_RSS_BYTES), 1, "%.0f");
	putchar('\n');
}

static void print_tsv(const struct bench *b)
{
	size_t i;

	printf("workload\tengine\tdurability\trecords\tvalue\tthreads\tops_per_s\tratio_to_base\t"
	       "ci_low\tci_high\tp50_us\tp99_us\tp999_us\tmax_us\tdevice_write_bytes\t"
	       "space_bytes\tpeak_rss_bytes\n");
	for (i = 0; i < json_array_size(b->cells); i++)
		print_cell(b, json_array_get(b->cells, i));
}

/* ---- the command ---- */

static unsigned int terminal_columns(void)
{
	struct winsize w;

	return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col ? w.ws_col : 100;
}

static int make_directory(const char *path)
{
	struct stat st;
	char part[1024];
	size_t i;

	if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (i = 1; part[i]; i++)
		if (part[i] == '/') {
			part[i] = '\0';
			(void)mkdir(part, 0755);
			part[i] = '/';
		}
	if (mkdir(part, 0755) && errno != EEXIST)
		return -errno;
	if (stat(part, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* The largest setting, twice over, for logs and compaction; an engine may want more. */
static int check_space(const struct bench *b)
{
	double need = 0;
	struct statvfs st;
	size_t i;

	for (i = 0; i < b->plan.settings; i++) {
		const struct workload *w = &b->plan.setting[i].workload;
		double bytes = ((double)w->field_count * w->field_length + 64) *
			       ((double)w->record_count + (double)w->operation_count);

		need = bytes * 2 > need ? bytes * 2 : need;
	}
	if (statvfs(b->dir, &st) || (double)st.f_bavail * (double)st.f_frsize >= need)
		return 0;
	cli_complain(
		"%s has %.1f GB free, and this grid may need %.1f GB: give another --dir, "
		"or fewer --records",
		b->dir, (double)st.f_bavail * (double)st.f_frsize * 1e-9, need * 1e-9);
	return -ENOSPC;
}

/* The report is named after its directory, so that "out/" must be "out". */
static void choose_out(struct bench *b)
{
	size_t n;

	if (!b->out) {
		timestamp("reports/%Y%m%d-%H%M%S", b->out_default,
			  sizeof(b->out_default));
		b->out = b->out_default;
		return;
	}
	(void)snprintf(b->out_given, sizeof(b->out_given), "%s", b->out);
	for (n = strlen(b->out_given); n > 1 && b->out_given[n - 1] == '/'; n--)
		b->out_given[n - 1] = '\0';
	b->out = b->out_given;
}

static int prepare(struct bench *b)
{
	int error;

	choose_out(b);
	error = make_directory(b->out);
	if (error) {
		cli_complain("%s cannot be made: %s", b->out, strerror(-error));
		return error;
	}
	error = make_directory(b->dir);
	if (error || access(b->dir, W_OK)) {
		cli_complain("%s cannot be written to: %s. Give another --dir", b->dir,
			     strerror(error ? -error : errno));
		return error ? error : -EACCES;
	}
	(void)snprintf(b->results_path, sizeof(b->results_path), "%s/results.json",
		       b->out);
	return check_space(b);
}

/* Whatever can't be written, the numbers are printed. */
static int finish(struct bench *b, bool interrupted)
{
	struct kv_msg why = { "" };
	int error, unrendered = 0;

	progress_end(&b->progress);
	json_object_set_new(b->set, "partial", json_boolean(interrupted));
	error = results_save(b->set, b->results_path, &why);
	if (error)
		cli_complain("%s", why.text);
	if (b->tsv)
		print_tsv(b);
	if (!b->no_report) {
		unrendered = report_render(b->set, b->out, &why);
		if (unrendered)
			cli_complain("the report could not be written: %s", why.text);
		else if (*why.text)
			cli_complain("%s", why.text);
	}
	if (!b->tsv)
		(void)report_print_summary(b->set, terminal_columns());
	if (!b->tsv && !b->no_report && !unrendered)
		printf("\nReport: %s/index.html%s\n", b->out,
		       interrupted ? " (partial)" : "");
	return error ? error : unrendered;
}

/* A result set is JSON, which holds UTF-8 alone. */
static int check_text(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		json_t *s = json_string(argv[i]);

		json_decref(s);
		if (!s) {
			cli_complain(
				"bench takes names in UTF-8, which argument %d is not",
				i);
			return -EINVAL;
		}
	}
	return 0;
}

static int run_plan(struct bench *b)
{
	size_t steps = count_steps(b);
	struct kv_msg why;
	int error, unfinished;

	if (results_save(b->set, b->results_path, &why)) {
		cli_complain("%s", why.text);
		return EXIT_FAILED;
	}
	fprintf(stderr,
		"%zu engines, %zu settings, %llu replicates: %zu runs of at most %.0f s\n",
		b->plan.engines, b->plan.settings, (unsigned long long)b->plan.replicates,
		steps, b->plan.seconds);
	progress_begin(&b->progress, steps);
	error = run_grid(b);
	unfinished = finish(b, error == -EINTR);
	if (error == -EINTR)
		return EXIT_INTERRUPTED;
	return error || unfinished || b->failed ? EXIT_FAILED : EXIT_OK;
}

static int run_bench(struct bench *b, int argc, char **argv)
{
	struct kv_msg why;
	int code;

	if (check_text(argc, argv))
		return EXIT_USAGE;
	b->request.profile = profile_find(b->profile);
	if (!b->request.profile) {
		cli_complain("profile is quick, standard or publish, not \"%s\"",
			     b->profile);
		return EXIT_USAGE;
	}
	if (plan_make(&b->request, &b->plan, &why)) {
		cli_complain("%s", why.text);
		return EXIT_USAGE;
	}
	if (b->plan.engines > CLI_LIST_MAX || prepare(b)) {
		plan_free(&b->plan);
		return EXIT_FAILED;
	}
	replicate_catch_signals();
	set_new(b, argc, argv);
	code = run_plan(b);
	json_decref(b->set);
	plan_free(&b->plan);
	return code;
}

int cmd_bench(int argc, char **argv)
{
	struct bench b = {
		.profile = "quick",
		.dir = "build/bench-data",
		.timeout = DEFAULT_TIMEOUT,
		.request = { .warmup = 0.1, .seed = 1, .memory_bytes = 256ull << 20 },
	};
	struct plan_request *r = &b.request;
	const struct cli_option options[] = {
		{ "engines", 'e', CLI_LIST, &r->engines, "A,B",
		  "name[@home][:option=value...]; default: all" },
		{ "base", 'b', CLI_TEXT, &r->base, "A",
		  "ratios are to this engine; default: lmdb" },
		{ "workloads", 'w', CLI_LIST, &r->workloads, "a,b",
		  "names or files; default: a to f" },
		{ "records", 0, CLI_LIST, &r->records, "N,M",
		  "records loaded; k and m are thousands" },
		{ "value", 0, CLI_LIST, &r->values, "B,C",
		  "bytes in a value; default: 100" },
		{ "threads", 't', CLI_LIST, &r->threads, "1,2",
		  "client threads; default: 1" },
		{ "durability", 'd', CLI_LIST, &r->durability, "none,sync",
		  "none, group or sync" },
		{ "rate", 0, CLI_LIST, &r->rates, "N,M",
		  "open loop at these operations a second" },
		{ "replicates", 'r', CLI_COUNT, &r->replicates, "N",
		  "default: the profile's" },
		{ "ops", 0, CLI_COUNT, &r->ops, "N",
		  "operations of a run; default: the profile's" },
		{ "seconds", 0, CLI_REAL, &r->seconds, "S",
		  "a run ends after this at the latest" },
		{ "warmup", 0, CLI_REAL, &r->warmup, "F",
		  "operations before it, as a share; default: 0.1" },
		{ "memory", 0, CLI_BYTES, &r->memory_bytes, "B",
		  "each engine's budget; default: 256m" },
		{ "seed", 0, CLI_COUNT, &r->seed, "N",
		  "of operations and orders; default: 1" },
		{ "property", 'p', CLI_REPEAT, &r->properties, "N=V",
		  "a YCSB property over the workload's" },
		{ "profile", 0, CLI_TEXT, &b.profile, "NAME",
		  "quick (default), standard, publish" },
		{ "dir", 0, CLI_TEXT, &b.dir, "DIR",
		  "stores are made below it; default: build/bench-data" },
		{ "out", 'o', CLI_TEXT, &b.out, "DIR",
		  "the report; default: reports/ and the time" },
		{ "timeout", 0, CLI_REAL, &b.timeout, "S",
		  "a replicate is ended after this; default: 1800" },
		{ "tsv", 0, CLI_FLAG, &b.tsv, NULL,
		  "print one line a cell instead of the summary" },
		{ "no-report", 0, CLI_FLAG, &b.no_report, NULL, "results.json only" },
		{ 0 },
	};
	const struct cli_command command = {
		"bench", "[OPTION...]",
		"Runs every engine on every workload at every setting, and writes a report.",
		"Lists are separated by commas; the grid is their product. Ctrl-C keeps what was\n"
		"measured. Exits 1 when an engine failed, after the others have run.",
		options
	};
	struct cli_list *list[] = { &r->engines, &r->workloads, &r->records,
				    &r->values,  &r->threads,   &r->durability,
				    &r->rates,   &r->properties };
	int code, parsed = cli_parse(&command, argc, argv, NULL);
	size_t i;

	code = parsed == CLI_OK     ? run_bench(&b, argc, argv)
	       : parsed == CLI_DONE ? EXIT_OK
				    : EXIT_USAGE;
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		cli_list_free(list[i]);
	return code;
}
