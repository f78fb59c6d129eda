/* SPDX-License-Identifier: MIT */
/*
 * cmd_run.c - kvbench run and kvbench load: one engine, one workload, in this process.
 */
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "measure/clock.h"
#include "measure/fingerprint.h"
#include "plan.h"
#include "progress.h"
#include "replicate.h"
#include "results/results.h"

struct run {
	const char *engine, *workload, *dir, *durability, *json, *rate;
	struct cli_list properties, options;
	uint64_t records, value, ops, threads, warmup, memory_bytes, seed;
	double seconds;
	bool existing, load_only, keep, no_check;

	struct engine_label label;
	char store[1100], scratch[1024];
	struct progress progress;
};

/* ---- settings ---- */

static int read_workload(const struct run *r, struct workload *w, struct kv_msg *why)
{
	int error = workload_find(r->workload, w, why);
	size_t i;

	for (i = 0; !error && i < r->properties.n; i++)
		error = workload_set(w, r->properties.item[i], why);
	if (error)
		return error;
	if (r->records) {
		w->record_count = r->records;
		w->insert_count = 0;
	}
	if (r->value > KV_VALUE_MAX)
		return kv_fail(why, -EINVAL, "a value has at most 1 GiB");
	if (r->value) {
		w->field_count = 1;
		w->field_length = (uint32_t)r->value;
	}
	if (r->ops)
		w->operation_count = r->ops;
	else if (r->seconds > 0)
		w->operation_count = 0;
	else if (!w->from_file && !cli_list_has(&r->properties, "operationcount"))
		w->operation_count = w->record_count;
	if (r->seed || !w->seed)
		w->seed = r->seed ? r->seed : 1;
	return workload_check(w, why);
}

static int join_options(struct run *r, struct kv_msg *why)
{
	size_t i, n = strlen(r->label.options);

	for (i = 0; i < r->options.n; i++) {
		n += (size_t)snprintf(r->label.options + n, sizeof(r->label.options) - n,
				      "%s%s", n ? "," : "", r->options.item[i]);
		if (n >= sizeof(r->label.options))
			return kv_fail(why, -EINVAL, "the engine's options are too long");
	}
	return 0;
}

/* "50000", "50k", or "80%" of what a closed loop does. */
static int read_rate(const struct run *r, struct run_config *c, struct kv_msg *why)
{
	char number[32];
	size_t len = r->rate ? strlen(r->rate) : 0;
	double rate = 0;
	uint64_t n;

	c->ops_per_s = c->workload.target_ops_per_s;
	if (!len)
		return 0;
	if (len < sizeof(number) && r->rate[len - 1] == '%') {
		memcpy(number, r->rate, len - 1);
		number[len - 1] = '\0';
		if (!cli_real(number, &rate) && rate > 0 && rate <= 1000) {
			c->share_of_capacity = rate / 100;
			return 0;
		}
	} else if (!cli_real(r->rate, &rate)) {
		c->ops_per_s = rate > 0 ? rate : c->ops_per_s;
		return 0;
	} else if (!cli_number(r->rate, false, &n) && (double)n <= CLI_REAL_MAX) {
		c->ops_per_s = n ? (double)n : c->ops_per_s;
		return 0;
	}
	return kv_fail(
		why, -EINVAL,
		"\"%s\" is no rate: give operations a second, or a share of what a "
		"closed loop does, such as 80%%",
		r->rate);
}

static int configure(struct run *r, struct run_config *c, struct kv_msg *why)
{
	int error = engine_label_parse(r->engine, &r->label, why);
	char absence[160];

	memset(c, 0, sizeof(*c));
	if (!error && !r->label.info->ops) {
		engines_absence(r->label.info, absence, sizeof(absence));
		error = kv_fail(why, -EINVAL, "engine %s: %s", r->engine, absence);
	}
	if (!error)
		error = join_options(r, why);
	if (!error)
		error = engine_label_check(&r->label, why);
	if (!error)
		error = read_workload(r, &c->workload, why);
	if (!error && durability_parse(r->durability, &c->durability))
		error = kv_fail(why, -EINVAL,
				"durability is none, group or sync, not \"%s\"",
				r->durability);
	if (!error)
		error = read_rate(r, c, why);
	if (!error && r->threads > 1024)
		error = kv_fail(why, -EINVAL, "threads are at most 1024");
	if (error)
		return error;
	c->engine = r->label.info;
	c->engine_options = r->label.options;
	c->home = r->label.home;
	c->threads = r->threads            ? (uint32_t)r->threads
		     : c->workload.threads ? c->workload.threads
					   : 1;
	c->memory_bytes = r->memory_bytes;
	c->warmup_ops = r->warmup;
	c->seconds = r->seconds;
	c->use_existing = r->existing;
	c->load_only = r->load_only;
	c->check_content = !r->no_check && !r->existing;
	c->settle = true;
	return 0;
}

/* A store that stays lies in --dir itself; one that goes, in a new directory below it. */
static int choose_store(struct run *r, struct kv_msg *why)
{
	const char *tmp = getenv("TMPDIR");

	if (r->load_only || r->existing || r->keep) {
		if (!r->dir)
			return kv_fail(why, -EINVAL,
				       "name the store's directory by --dir");
		(void)snprintf(r->store, sizeof(r->store), "%s", r->dir);
		if (r->existing && access(r->store, R_OK))
			return kv_fail(why, -ENOENT, "%s: there is no store", r->store);
		if (!r->existing && !access(r->store, F_OK) && rmdir(r->store))
			return kv_fail(
				why, -EEXIST,
				"%s is there and not empty: remove it, or use --existing",
				r->store);
		return 0;
	}
	(void)snprintf(r->scratch, sizeof(r->scratch), "%s/kvbench-XXXXXX",
		       r->dir ? r->dir
		       : tmp  ? tmp
			      : "/tmp");
	if (!mkdtemp(r->scratch)) {
		int error = -errno;

		return kv_fail(why, error, "%s: no directory can be made: %s", r->scratch,
			       strerror(-error));
	}
	(void)snprintf(r->store, sizeof(r->store), "%s/store", r->scratch);
	return 0;
}

/* ---- printing ---- */

static void print_latency(const char *name, const struct histogram *h)
{
	static const double q[] = { 0.5, 0.9, 0.99, 0.999, 0.9999, 1 };
	size_t i;

	if (!h)
		return;
	printf("  %-18s %10llu", name, (unsigned long long)h->count);
	for (i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		uint64_t ns;

		if (histogram_quantile(h, q[i], &ns))
			printf(" %9.2f", (double)ns * 1e-3);
		else
			printf(" %9s", "-");
	}
	putchar('\n');
}

/* Of whole seconds: one that was cut short would look like a slow one. */
static void print_seconds(const struct run_phase *p)
{
	uint64_t worst = UINT64_MAX, sum = 0;
	size_t i;

	for (i = 0; i < p->series_len; i++) {
		sum += p->series[i].ops;
		if (worst > p->series[i].ops)
			worst = p->series[i].ops;
	}
	if (!sum)
		return;
	printf("  worst second: %llu op/s, %.0f%% of the mean; longest operation: %.3f ms\n",
	       (unsigned long long)worst,
	       100.0 * (double)worst * (double)p->series_len / (double)sum,
	       (double)p->latency_all->max_ns * 1e-6);
}

static void print_rate(const struct run_result *out)
{
	if (out->target_ops_per_s <= 0)
		return;
	printf("open loop at %.0f op/s", out->target_ops_per_s);
	if (out->capacity_ops_per_s > 0)
		printf(", %.0f%% of the %.0f op/s of a closed loop before",
		       100 * out->target_ops_per_s / out->capacity_ops_per_s,
		       out->capacity_ops_per_s);
	putchar('\n');
}

static void print_phase(const char *name, const struct run_phase *p)
{
	const struct usage *u = &p->usage;
	size_t kind, kinds = 0;

	printf("%s: %.0f op/s (%llu in %.3f s)\n", name,
	       p->seconds > 0 ? (double)p->ops / p->seconds : 0,
	       (unsigned long long)p->ops, p->seconds);
	printf("  %-18s %10s %9s %9s %9s %9s %9s %9s\n", "latency in us", "count", "p50",
	       "p90", "p99", "p99.9", "p99.99", "max");
	for (kind = 0; kind < OP_KINDS; kind++) {
		print_latency(op_kind_name[kind], p->latency[kind]);
		kinds += p->latency[kind] != NULL;
	}
	if (kinds > 1)
		print_latency("all", p->latency_all);
	print_seconds(p);
	printf("  wrote %.1f MB to the device for %.1f MB of keys and values (%s); %llu syncs\n",
	       (double)u->device_write_bytes * 1e-6,
	       (double)p->logical_bytes_written * 1e-6, u->device_source,
	       (unsigned long long)sync_counts_durable(&u->syncs));
	if (p->ops)
		printf("  CPU an operation: %.2f us user, %.2f us system; %llu context switches\n",
		       (double)u->cpu_user_ns / (double)p->ops * 1e-3,
		       (double)u->cpu_system_ns / (double)p->ops * 1e-3,
		       (unsigned long long)(u->switches_voluntary +
					    u->switches_involuntary));
	if (p->missing_reads)
		printf("  %llu reads found nothing\n",
		       (unsigned long long)p->missing_reads);
}

static void print_result(const struct run *r, const struct run_config *c,
			 const struct run_result *out)
{
	static const char *const verdict[] = { "unchecked", "equal to the oracle's",
					       "plausible for every key", "DIFFERENT" };

	printf("%s %s, workload %s: %llu records, %u thread%s, durability %s%s\n",
	       r->engine, c->engine->version(), c->workload.name,
	       (unsigned long long)c->workload.record_count, c->threads,
	       c->threads == 1 ? "" : "s", r->durability,
	       out->interrupted ? " (interrupted: partial)" : "");
	if (!c->use_existing)
		print_phase("load", &out->load);
	if (!c->load_only) {
		print_rate(out);
		print_phase("run", &out->run);
	}
	printf("space: %.1f MB, settled %.1f MB; peak memory %.1f MB; stream %016llx\n",
	       (double)out->space_bytes * 1e-6, (double)out->space_settled_bytes * 1e-6,
	       (double)out->peak_rss_bytes * 1e-6,
	       (unsigned long long)out->stream_digest);
	if (c->check_content)
		printf("content: %s%s%s\n", verdict[out->content],
		       *out->content_note ? ": " : "", out->content_note);
}

static int write_json(const struct run *r, const struct run_config *c,
		      const struct run_result *out)
{
	json_t *o = results_replicate(c, out, 1, 1, fingerprint_thermal_json(),
				      fingerprint_thermal_json());
	struct kv_msg why;
	int error = results_save(o, r->json, &why);

	if (error)
		cli_complain("%s", why.text);
	json_decref(o);
	return error;
}

/* ---- the commands ---- */

static void show(void *arg, const char *phase, double done, double total)
{
	struct run *r = arg;

	progress_show(&r->progress, phase, total > 0 ? done / total : -1);
}

static void on_signal(int signal)
{
	(void)signal;
	runner_interrupt();
}

static int run_one(struct run *r)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct run_config c;
	struct run_result out;
	struct kv_msg why = { "" };
	int error = configure(r, &c, &why), code = EXIT_OK;

	if (error) {
		cli_complain("%s", why.text);
		return EXIT_USAGE;
	}
	error = choose_store(r, &why);
	if (error) {
		cli_complain("%s", why.text);
		return EXIT_FAILED;
	}
	c.dir = r->store;
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	progress_begin(&r->progress, 1);
	error = runner_run(&c, show, r, &out, &why);
	progress_end(&r->progress);
	if (error) {
		cli_complain("%s", *why.text ? why.text : strerror(-error));
		code = EXIT_FAILED;
	} else {
		print_result(r, &c, &out);
		if (r->json && write_json(r, &c, &out))
			code = EXIT_FAILED;
		if (out.content == CONTENT_DIFFERENT)
			code = EXIT_FAILED;
		if (out.interrupted)
			code = EXIT_INTERRUPTED;
		run_result_free(&out);
	}
	if (*r->scratch)
		(void)remove_tree(r->scratch);
	return code;
}

static int run_or_load(struct run *r, const char *name, const char *summary, int argc,
		       char **argv)
{
	const struct cli_option options[] = {
		{ "engine", 'e', CLI_TEXT, &r->engine, "E",
		  "name[@home][:option=value...]" },
		{ "workload", 'w', CLI_TEXT, &r->workload, "W",
		  "a name or a YCSB property file" },
		{ "file", 'P', CLI_TEXT, &r->workload, "FILE",
		  "the same, as YCSB calls it" },
		{ "property", 'p', CLI_REPEAT, &r->properties, "N=V",
		  "a property over the workload's" },
		{ "records", 0, CLI_COUNT, &r->records, "N", "records loaded" },
		{ "value", 0, CLI_BYTES, &r->value, "B", "bytes in a value (one field)" },
		{ "ops", 0, CLI_COUNT, &r->ops, "N",
		  "operations of the run; default: as many as records" },
		{ "seconds", 0, CLI_REAL, &r->seconds, "S", "the run ends after this" },
		{ "rate", 0, CLI_TEXT, &r->rate, "N",
		  "open loop: operations a second, or 80% of a closed loop's" },
		{ "threads", 't', CLI_COUNT, &r->threads, "N", "client threads" },
		{ "durability", 'd', CLI_TEXT, &r->durability, "L",
		  "none (default), group or sync" },
		{ "warmup", 0, CLI_COUNT, &r->warmup, "N",
		  "operations before the run, not measured" },
		{ "memory", 0, CLI_BYTES, &r->memory_bytes, "B",
		  "the engine's budget; default: 256m" },
		{ "seed", 0, CLI_COUNT, &r->seed, "N", "of the operations; default: 1" },
		{ "opt", 0, CLI_REPEAT, &r->options, "N=V", "an option of the engine" },
		{ "dir", 0, CLI_TEXT, &r->dir, "DIR", "where the store is made" },
		{ "keep", 0, CLI_FLAG, &r->keep, NULL, "leave the store in --dir" },
		{ "existing", 0, CLI_FLAG, &r->existing, NULL,
		  "use the store in --dir, do not load" },
		{ "no-check", 0, CLI_FLAG, &r->no_check, NULL,
		  "do not compare the final content" },
		{ "json", 0, CLI_TEXT, &r->json, "FILE",
		  "write the result there as well" },
		{ 0 },
	};
	const struct cli_command command = { name,
					     "--engine E [--workload W] [OPTION...]",
					     summary, NULL, options };
	int code, parsed = cli_parse(&command, argc, argv, NULL);

	if (parsed == CLI_OK && !r->engine) {
		cli_complain("name the engine by --engine. See kvbench engines");
		parsed = CLI_USAGE;
	}
	code = parsed == CLI_OK ? run_one(r) : parsed == CLI_DONE ? EXIT_OK : EXIT_USAGE;
	cli_list_free(&r->properties);
	cli_list_free(&r->options);
	return code;
}

int cmd_run(int argc, char **argv)
{
	struct run r = { .workload = "a",
			 .durability = "none",
			 .memory_bytes = 256ull << 20 };

	return run_or_load(&r, "run", "Loads a new store and runs one workload on it.",
			   argc, argv);
}

int cmd_load(int argc, char **argv)
{
	struct run r = { .workload = "a",
			 .durability = "none",
			 .memory_bytes = 256ull << 20,
			 .load_only = true };

	return run_or_load(&r, "load", "Loads a store in --dir and leaves it there.",
			   argc, argv);
}
