/* SPDX-License-Identifier: MIT */
/*
 * replicate.c - see replicate.h.
 *
 * The child is this program again. What passes between the two (the job, the result, what
 * the child prints) are files in memory, so that a disk which the engine has filled takes
 * nothing from anyone else. A pipe tells how far it is; its end, that it is gone.
 */
#include "replicate.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"
#include "measure/clock.h"
#include "measure/fingerprint.h"
#include "results/results.h"

/* What a child finds open. */
enum { PROGRESS_FD = 3, JOB_FD, RESULT_FD, FDS_END };

enum { SIGNALS_TO_KILL = 3 };

static volatile sig_atomic_t stopped; /* how often */
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
	(void)signal;
	stopped++;
	if (child_pid > 0)
		(void)kill(child_pid, stopped < SIGNALS_TO_KILL ? SIGINT : SIGKILL);
}

static const int caught[] = { SIGINT, SIGTERM, SIGHUP };

enum { CAUGHT = sizeof(caught) / sizeof(caught[0]) };

void replicate_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	size_t i;

	for (i = 0; i < CAUGHT; i++)
		(void)sigaction(caught[i], &action, NULL);
}

/* While a child is made: a signal comes before it or reaches it. */
static void hold_signals(sigset_t *before)
{
	sigset_t set;
	size_t i;

	(void)sigemptyset(&set);
	for (i = 0; i < CAUGHT; i++)
		(void)sigaddset(&set, caught[i]);
	(void)sigprocmask(SIG_BLOCK, &set, before);
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

/* A new reference. */
static json_t *job_json(const struct replicate_job *job, const char *dir)
{
	const struct run_config *c = &job->config;

	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:I, s:I, s:f, s:f, s:b, s:b, s:b, "
		"s:b, s:i, s:i}",
		"engine", job->engine->info->name, "options", job->engine->options,
		"home", job->engine->home, "dir", dir, "workload", c->workload.name,
		"properties", properties_json(&c->workload), "threads", (int)c->threads,
		"durability", (int)c->durability, "memory_bytes",
		(json_int_t)c->memory_bytes, "warmup_ops", (json_int_t)c->warmup_ops,
		"seconds", c->seconds, "ops_per_s", c->ops_per_s, "check_content",
		c->check_content, "settle", c->settle, "use_existing", c->use_existing,
		"load_only", c->load_only, "replicate", (int)job->replicate, "order",
		(int)job->order);
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
	c->home = json_string_value(json_object_get(job, "home"));
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
	(void)dprintf(PROGRESS_FD, "%s %g\n", phase, total > 0 ? done / total : -1.0);
}

static void on_interrupt(int signal)
{
	(void)signal;
	runner_interrupt();
}

/* The result to RESULT_FD. */
static int tell_result(const json_t *job, const struct run_config *c,
		       struct run_result *r, json_t *before)
{
	json_t *out = results_replicate(
		c, r, (unsigned int)json_integer_value(json_object_get(job, "replicate")),
		(unsigned int)json_integer_value(json_object_get(job, "order")), before,
		fingerprint_thermal_json());
	int error = json_dumpfd(out, RESULT_FD, JSON_COMPACT) ? -EIO : 0;

	if (error)
		fprintf(stderr, "the result could not be handed over\n");
	run_result_free(r);
	json_decref(out);
	return error;
}

int cmd_replicate(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_interrupt };
	struct run_config c;
	struct run_result r;
	struct kv_msg why = { "" };
	json_t *job, *before = NULL;
	int error;

	(void)argv;
	(void)sigaction(SIGINT, &action, NULL);
	job = argc == 1 ? json_loadfd(JOB_FD, 0, NULL) : NULL;
	if (!job) {
		cli_complain("replicate is for kvbench itself");
		return EXIT_USAGE;
	}
	error = config_from_json(job, &c, &why);
	if (!error) {
		before = fingerprint_thermal_json();
		error = runner_run(&c, tell_progress, NULL, &r, &why);
	}
	if (error) {
		fprintf(stderr, "%s\n", *why.text ? why.text : strerror(-error));
		json_decref(before);
	} else {
		error = tell_result(job, &c, &r, before);
	}
	json_decref(job);
	return error ? EXIT_FAILED : EXIT_OK;
}

/* ---- the parent ---- */

struct channel {               /* between parent and child */
	int job, result, said; /* files in memory */
	int progress[2];       /* a pipe */
};

static void channel_close(struct channel *c)
{
	const int fd[] = { c->job, c->result, c->said, c->progress[0], c->progress[1] };
	size_t i;

	for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			(void)close(fd[i]);
}

static int channel_open(struct channel *c, const json_t *job, struct kv_msg *why)
{
	int error = 0;

	*c = (struct channel){ -1, -1, -1, { -1, -1 } };
	c->job = memfd_create("job", MFD_CLOEXEC);
	c->result = memfd_create("result", MFD_CLOEXEC);
	c->said = memfd_create("stderr", MFD_CLOEXEC);
	if (c->job < 0 || c->result < 0 || c->said < 0 || pipe2(c->progress, O_CLOEXEC))
		error = -errno;
	if (!error && (!job || json_dumpfd(job, c->job, JSON_COMPACT) ||
		       lseek(c->job, 0, SEEK_SET)))
		error = -ENOMEM;
	if (!error)
		return 0;
	channel_close(c);
	return kv_fail(why, error, "nothing to talk through to a child: %s",
		       strerror(-error));
}

/* In the child; fds of its own may stand where they are to go. */
static void take_fds(const struct channel *c)
{
	const int from[] = { c->progress[1], c->job, c->result };
	int high[FDS_END - PROGRESS_FD], i;

	for (i = 0; i < FDS_END - PROGRESS_FD; i++)
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FDS_END);
	(void)dup2(c->said, STDERR_FILENO);
	for (i = 0; i < FDS_END - PROGRESS_FD; i++)
		(void)dup2(high[i], PROGRESS_FD + i);
	/* A library's chatter is not our output. */
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* A group of its own: a terminal's Ctrl-C comes through the parent, and so once. */
static void exec_child(const struct channel *c, const sigset_t *mask)
{
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	take_fds(c);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)execl("/proc/self/exe", "kvbench", "replicate", (char *)NULL);
	fprintf(stderr, "kvbench could not start itself: %s\n", strerror(errno));
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

		if (poll(&p, 1, 100) > 0) {
			n = read(fd, line, sizeof(line) - 1);
			if (n == 0)
				return killed;
		}
		line[n > 0 ? n : 0] = '\0';
		if (progress && sscanf(line, "%31s %lf", phase, &fraction) == 2)
			progress(arg, phase, fraction, 1);
		elapsed = (double)clock_monotonic_ns() * 1e-9 - begun;
		if (timeout > 0 && elapsed > timeout && !killed) {
			(void)kill(pid, SIGKILL);
			killed = true;
		}
	}
}

/* As ASCII: whatever a library says must fit into JSON. */
static void last_line(int fd, char *out, size_t n)
{
	char line[512];
	FILE *f = lseek(fd, 0, SEEK_SET) ? NULL : fdopen(dup(fd), "r");
	char *p;

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (line[0] != '\n') {
			line[strcspn(line, "\n")] = '\0';
			(void)snprintf(out, n, "%.200s", line);
		}
	if (f)
		(void)fclose(f);
	for (p = out; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static const char *advice(int signal)
{
	return signal == SIGKILL ? "; if nobody did that, memory ran out: take fewer "
				   "records or a smaller --memory"
				 : "";
}

static int judge_child(const struct replicate_job *job, const struct channel *c,
		       int status, bool timed_out, json_t **out, struct kv_msg *why)
{
	char said[256];

	if (!lseek(c->result, 0, SEEK_SET))
		*out = json_loadfd(c->result, 0, NULL);
	if (stopped)
		return -EINTR;
	last_line(c->said, said, sizeof(said));
	if (timed_out)
		return kv_fail(why, -ETIMEDOUT, "did not end within %g s",
			       job->timeout_seconds);
	if (WIFSIGNALED(status))
		return kv_fail(why, -ECHILD, "was ended by signal %d (%s)%s%s%s",
			       WTERMSIG(status), strsignal(WTERMSIG(status)),
			       advice(WTERMSIG(status)), *said ? "; it said: " : "",
			       said);
	if (WEXITSTATUS(status) || !*out)
		return kv_fail(why, -ECHILD, "%s", *said ? said : "failed silently");
	return 0;
}

static int run_child(const struct replicate_job *job, struct channel *c,
		     run_progress_fn *progress, void *arg, json_t **out,
		     struct kv_msg *why)
{
	bool timed_out;
	int status = 0;
	sigset_t before;
	pid_t pid;

	hold_signals(&before);
	pid = stopped ? -1 : fork();
	if (pid == 0)
		exec_child(c, &before);
	child_pid = pid;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return stopped ? -EINTR
			       : kv_fail(why, -EAGAIN, "no process: %s", strerror(errno));
	(void)close(c->progress[1]);
	c->progress[1] = -1;
	timed_out = watch_child(c->progress[0], pid, job->timeout_seconds, progress, arg);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	child_pid = 0;
	return judge_child(job, c, status, timed_out, out, why);
}

int replicate_run(const struct replicate_job *job, run_progress_fn *progress, void *arg,
		  json_t **out, struct kv_msg *why)
{
	char work[1024], store[1100];
	struct channel c;
	json_t *text;
	int error;

	*out = NULL;
	if ((size_t)snprintf(work, sizeof(work), "%s/kvbench-XXXXXX", job->scratch) >=
	    sizeof(work))
		return kv_fail(why, -ENAMETOOLONG, "%s: too long a path", job->scratch);
	if (!mkdtemp(work)) {
		error = -errno;
		return kv_fail(why, error, "no directory can be made in %s: %s",
			       job->scratch, strerror(-error));
	}
	(void)snprintf(store, sizeof(store), "%s/store", work);
	text = job_json(job, store);
	error = channel_open(&c, text, why);
	json_decref(text);
	if (!error) {
		error = run_child(job, &c, progress, arg, out, why);
		channel_close(&c);
	}
	(void)remove_tree(work);
	return error;
}
