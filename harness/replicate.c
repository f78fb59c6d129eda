/* SPDX-License-Identifier: MIT */
/*
 * replicate.c - see replicate.h.
 *
 * The child is this program again, told by a file what to do. It tells how far it is
 * through a pipe, whose end also tells that it is gone; what it prints to stderr goes to
 * a file, of which the last line is quoted when it failed.
 */
#include "replicate.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"
#include "measure/clock.h"
#include "measure/fingerprint.h"
#include "results/results.h"

enum { PROGRESS_FD = 3, GRACE_SECONDS = 10 };

static volatile sig_atomic_t stopped;
static volatile sig_atomic_t child_pid;

/* ---- directories ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path) ? -errno : 0;
}

int remove_tree(const char *dir)
{
	return nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- signals ---- */

static void on_signal(int signal)
{
	stopped = 1;
	if (child_pid > 0)
		(void)kill(child_pid, signal == SIGTERM ? SIGINT : signal);
}

void replicate_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

bool replicate_stopped(void)
{
	return stopped;
}

/* ---- the job as JSON and back ---- */

static json_t *properties_json(const struct workload *w)
{
	struct kv_buf text = { 0 };
	json_t *list = json_array();
	const char *line, *end;

	if (!workload_print(w, &text) && !kv_buf_append(&text, "", 1))
		for (line = text.data; (end = strchr(line, '\n')); line = end + 1)
			json_array_append_new(list,
					      json_stringn(line, (size_t)(end - line)));
	kv_buf_free(&text);
	return list;
}

json_t *replicate_job_json(const struct replicate_job *job, const char *dir)
{
	const struct run_config *c = &job->config;

	return json_pack(
		"{s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:I, s:I, s:f, s:f, s:b, s:b, s:b, "
		"s:b, s:i, s:i}",
		"engine", job->engine->info->name, "options", job->engine->options, "dir",
		dir, "workload", c->workload.name, "properties",
		properties_json(&c->workload), "threads", (int)c->threads, "durability",
		(int)c->durability, "memory_bytes", (json_int_t)c->memory_bytes,
		"warmup_ops", (json_int_t)c->warmup_ops, "seconds", c->seconds,
		"ops_per_s", c->ops_per_s, "check_content", c->check_content, "settle",
		c->settle, "use_existing", c->use_existing, "load_only", c->load_only,
		"replicate", (int)job->replicate, "order", (int)job->order);
}

static int workload_from_json(const json_t *job, struct workload *w, struct kv_msg *why)
{
	const char *name = json_string_value(json_object_get(job, "workload"));
	const json_t *line;
	size_t i;
	int error = workload_preset("c", w, why);

	(void)snprintf(w->name, sizeof(w->name), "%s", name ? name : "");
	json_array_foreach(json_object_get(job, "properties"), i, line)
	{
		if (!error)
			error = workload_set(w, json_string_value(line), why);
	}
	return error ? error : workload_check(w, why);
}

static int config_from_json(const json_t *job, struct run_config *c, struct kv_msg *why)
{
	const char *engine = json_string_value(json_object_get(job, "engine"));

	memset(c, 0, sizeof(*c));
	c->engine = engine ? engines_find(engine) : NULL;
	if (!c->engine || !c->engine->ops)
		return kv_fail(why, -EINVAL, "engine %s is not available",
			       engine ? engine : "?");
	c->engine_options = json_string_value(json_object_get(job, "options"));
	c->dir = json_string_value(json_object_get(job, "dir"));
	c->threads = (uint32_t)json_integer_value(json_object_get(job, "threads"));
	c->durability = (enum kv_durability)json_integer_value(
		json_object_get(job, "durability"));
	c->memory_bytes =
		(uint64_t)json_integer_value(json_object_get(job, "memory_bytes"));
	c->warmup_ops = (uint64_t)json_integer_value(json_object_get(job, "warmup_ops"));
	c->seconds = json_real_value(json_object_get(job, "seconds"));
	c->ops_per_s = json_real_value(json_object_get(job, "ops_per_s"));
	c->check_content = json_is_true(json_object_get(job, "check_content"));
	c->settle = json_is_true(json_object_get(job, "settle"));
	c->use_existing = json_is_true(json_object_get(job, "use_existing"));
	c->load_only = json_is_true(json_object_get(job, "load_only"));
	return workload_from_json(job, &c->workload, why);
}

/* ---- the child ---- */

static void tell_progress(void *arg, const char *phase, double done, double total)
{
	(void)arg;
	(void)dprintf(PROGRESS_FD, "%s %g\n", phase, total > 0 ? done / total : -1);
}

static void on_interrupt(int signal)
{
	(void)signal;
	runner_interrupt();
}

int cmd_replicate(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_interrupt };
	struct run_config c;
	struct run_result r;
	struct kv_msg why = { "" };
	json_t *job, *out, *before;
	int error;

	if (argc != 3) {
		cli_complain("replicate is for kvbench itself");
		return EXIT_USAGE;
	}
	(void)sigaction(SIGINT, &action, NULL);
	job = json_load_file(argv[1], 0, NULL);
	error = job ? config_from_json(job, &c, &why) : -EINVAL;
	if (!error) {
		before = fingerprint_thermal_json();
		error = runner_run(&c, tell_progress, NULL, &r, &why);
		if (error)
			json_decref(before);
	}
	if (error) {
		fprintf(stderr, "%s\n", *why.text ? why.text : strerror(-error));
		json_decref(job);
		return EXIT_FAILED;
	}
	out = results_replicate(
		&c, &r,
		(unsigned int)json_integer_value(json_object_get(job, "replicate")),
		(unsigned int)json_integer_value(json_object_get(job, "order")), before,
		fingerprint_thermal_json());
	error = results_save(out, argv[2], &why);
	if (error)
		fprintf(stderr, "%s\n", why.text);
	run_result_free(&r);
	json_decref(out);
	json_decref(job);
	return error ? EXIT_FAILED : EXIT_OK;
}

/* ---- the parent ---- */

struct paths {
	char work[1024], store[1100], job[1100], result[1100], errors[1100];
};

static int make_paths(const char *scratch, struct paths *p, struct kv_msg *why)
{
	if ((size_t)snprintf(p->work, sizeof(p->work), "%s/kvbench-XXXXXX", scratch) >=
	    sizeof(p->work))
		return kv_fail(why, -ENAMETOOLONG, "%s: too long a path", scratch);
	if (!mkdtemp(p->work)) {
		int error = -errno;

		return kv_fail(why, error, "no directory can be made in %s: %s", scratch,
			       strerror(-error));
	}
	(void)snprintf(p->store, sizeof(p->store), "%s/store", p->work);
	(void)snprintf(p->job, sizeof(p->job), "%s/job.json", p->work);
	(void)snprintf(p->result, sizeof(p->result), "%s/result.json", p->work);
	(void)snprintf(p->errors, sizeof(p->errors), "%s/stderr", p->work);
	return 0;
}

static void exec_child(const struct paths *p, int pipe_end)
{
	int errors = open(p->errors, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (pipe_end == PROGRESS_FD)
		(void)fcntl(pipe_end, F_SETFD, 0);
	else
		(void)dup2(pipe_end, PROGRESS_FD);
	if (errors >= 0)
		(void)dup2(errors, STDERR_FILENO);
	(void)dup2(STDERR_FILENO,
		   STDOUT_FILENO); /* a library's chatter is not our output */
	(void)execl("/proc/self/exe", "kvbench", "replicate", p->job, p->result,
		    (char *)NULL);
	_exit(127);
}

/* Reads "phase fraction" lines until the pipe's end, which is the child's. */
static bool watch_child(int fd, pid_t pid, double timeout, run_progress_fn *progress,
			void *arg)
{
	double begun = (double)clock_monotonic_ns() * 1e-9;
	bool killed = false;
	char line[128];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double fraction, elapsed;
		char phase[32];
		ssize_t n = 0;

		if (poll(&p, 1, 500) > 0) {
			n = read(fd, line, sizeof(line) - 1);
			if (n == 0)
				return killed;
		}
		line[n > 0 ? n : 0] = '\0';
		if (progress && sscanf(line, "%31s %lf", phase, &fraction) == 2)
			progress(arg, phase, fraction, 1);
		elapsed = (double)clock_monotonic_ns() * 1e-9 - begun;
		if (timeout > 0 && elapsed > timeout + (killed ? GRACE_SECONDS : 0)) {
			(void)kill(pid, SIGKILL);
			killed = true;
		}
	}
}

static void last_line(const char *path, char *out, size_t n)
{
	char line[512];
	FILE *f = fopen(path, "re");

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (line[0] != '\n') {
			line[strcspn(line, "\n")] = '\0';
			(void)snprintf(out, n, "%.200s", line);
		}
	if (f)
		(void)fclose(f);
}

static int judge_child(const struct replicate_job *job, const struct paths *p, int status,
		       bool timed_out, json_t **out, struct kv_msg *why)
{
	const char *label = job->engine->label;
	char said[256];

	*out = json_load_file(p->result, 0, NULL);
	if (stopped)
		return -EINTR;
	last_line(p->errors, said, sizeof(said));
	if (timed_out)
		return kv_fail(why, -ETIMEDOUT, "%s did not end within %.0f s", label,
			       job->timeout_seconds);
	if (WIFSIGNALED(status))
		return kv_fail(why, -ECHILD, "%s was ended by signal %d (%s)%s%s", label,
			       WTERMSIG(status), strsignal(WTERMSIG(status)),
			       *said ? "; it said: " : "", said);
	if (WEXITSTATUS(status) || !*out)
		return kv_fail(why, -ECHILD, "%s: %s", label,
			       *said ? said : "failed silently");
	return 0;
}

static int run_child(const struct replicate_job *job, const struct paths *p,
		     run_progress_fn *progress, void *arg, json_t **out,
		     struct kv_msg *why)
{
	bool timed_out;
	int ends[2], status = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC)) {
		int error = -errno;

		return kv_fail(why, error, "no pipe: %s", strerror(-error));
	}
	pid = fork();
	if (pid == 0)
		exec_child(p, ends[1]);
	(void)close(ends[1]);
	if (pid < 0) {
		int error = -errno;

		(void)close(ends[0]);
		return kv_fail(why, error, "no process: %s", strerror(-error));
	}
	child_pid = pid;
	timed_out = watch_child(ends[0], pid, job->timeout_seconds, progress, arg);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	child_pid = 0;
	(void)close(ends[0]);
	return judge_child(job, p, status, timed_out, out, why);
}

int replicate_run(const struct replicate_job *job, run_progress_fn *progress, void *arg,
		  json_t **out, struct kv_msg *why)
{
	struct paths p;
	json_t *text;
	int error = make_paths(job->scratch, &p, why);

	*out = NULL;
	if (error)
		return error;
	text = replicate_job_json(job, p.store);
	error = results_save(text, p.job, why);
	json_decref(text);
	if (!error)
		error = run_child(job, &p, progress, arg, out, why);
	(void)remove_tree(p.work);
	return error;
}
