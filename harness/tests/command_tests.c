/* SPDX-License-Identifier: MIT */
/*
 * command_tests.c - kvbench as a person meets it: what it prints, what it refuses and in
 * which words, and what is left when a bench is interrupted, an engine is killed or the
 * disk is full.
 *
 * Drives the program that was built beside this one. Processes are the subject, so this
 * test has some.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../engines.h"
#include "../replicate.h"
#include "../results/results.h"

enum { ARGS_MAX = 48, TEXT_MAX = 1 << 17, PATIENCE_S = 120 };

static char program[1024], scratch[128];

static const char columns[] =
	"workload\tengine\tdurability\trecords\tvalue\tthreads\tops_per_s\tratio_to_base\t"
	"ci_low\tci_high\tp50_us\tp99_us\tp999_us\tmax_us\tdevice_write_bytes\tspace_bytes\t"
	"peak_rss_bytes";

/* ---- running the program ---- */

struct child {
	pid_t pid;
	char out_path[256], err_path[256];
	int code; /* as a shell says it */
	char out[TEXT_MAX], err[TEXT_MAX];
};

static struct child it; /* one at a time */

struct surroundings {    /* of a child; zeroes are the usual ones */
	const char *out; /* stdout goes there */
	int terminal;    /* stderr is this terminal */
	rlim_t file_size;
};

static const char *in_scratch(const char *name)
{
	static char path[32][256];
	static unsigned int next;
	char *p = path[next++ % 32];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", scratch, name);
	return p;
}

static void become(const struct surroundings *s, const char *const *args)
{
	const char *argv[ARGS_MAX] = { "kvbench" };
	int out = open(s->out ? s->out : it.out_path, O_WRONLY | O_CREAT, 0644);
	int err = open(it.err_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	size_t i;

	for (i = 0; args[i] && i + 2 < ARGS_MAX; i++)
		argv[i + 1] = args[i];
	(void)dup2(out, STDOUT_FILENO);
	(void)dup2(s->terminal ? s->terminal : err, STDERR_FILENO);
	(void)close(out);
	(void)close(err);
	if (s->file_size) {
		const struct rlimit most = { s->file_size, s->file_size };

		(void)setrlimit(RLIMIT_FSIZE, &most);
	}
	(void)execv(program, (char *const *)argv);
	_exit(126);
}

static void start(const struct surroundings *s, const char *const *args)
{
	(void)snprintf(it.out_path, sizeof(it.out_path), "%s", in_scratch("stdout"));
	(void)snprintf(it.err_path, sizeof(it.err_path), "%s", in_scratch("stderr"));
	(void)unlink(it.out_path);
	(void)unlink(it.err_path);
	it.pid = fork();
	assert_true(it.pid >= 0);
	if (!it.pid)
		become(s, args);
}

static void read_text(const char *path, char *text)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, TEXT_MAX - 1, f) : 0;

	text[n] = '\0';
	if (f)
		(void)fclose(f);
}

static void nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* Waits for its end; a program that hangs fails the test. */
static void finish(void)
{
	int status = 0, tries;
	pid_t ended = 0;

	for (tries = 0; !ended && tries < PATIENCE_S * 100; tries++) {
		ended = waitpid(it.pid, &status, WNOHANG);
		if (!ended)
			nap_ms(10);
	}
	if (!ended) {
		(void)kill(it.pid, SIGKILL);
		(void)waitpid(it.pid, &status, 0);
		fail_msg("kvbench did not end within %d s", PATIENCE_S);
	}
	it.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	read_text(it.out_path, it.out);
	read_text(it.err_path, it.err);
}

static void run(const char *const *args)
{
	const struct surroundings usual = { 0 };

	start(&usual, args);
	finish();
}
#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define RUN(...)  run(ARGS(__VA_ARGS__))

/* Stores go to "data", results to "out", both in the scratch. */
#define PLACES "--dir", in_scratch("data"), "--out", in_scratch("out"), "--seconds", "60"
#define QUICK  "--replicates", "2", "--no-report", PLACES
#define TINY   "--records", "500", "--ops", "1000", QUICK
/* A replicate takes half a second, because operations are due by the clock. */
#define SLOW "--records", "100", "--ops", "500", "--rate", "1000", "--warmup", "0", PLACES

static void expect_code(int code)
{
	if (it.code != code)
		fail_msg("exit code %d, not %d; stderr: %s", it.code, code, it.err);
}

static void expect_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

/* Until the program has a handler: before, a signal just ends it. */
static void wait_until_it_catches(int signal)
{
	char path[64];
	static char text[TEXT_MAX];
	int tries;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)it.pid);
	for (tries = 0; tries < PATIENCE_S * 100; tries++) {
		const char *mask;

		read_text(path, text);
		mask = strstr(text, "SigCgt:");
		if (mask && strtoull(mask + 7, NULL, 16) >> (signal - 1) & 1)
			return;
		nap_ms(10);
	}
	fail_msg("signal %d is never caught", signal);
}

static void wait_for_text(const char *path, const char *part)
{
	static char text[TEXT_MAX];
	int tries;

	for (tries = 0; tries < PATIENCE_S * 100; tries++) {
		read_text(path, text);
		if (strstr(text, part))
			return;
		nap_ms(10);
	}
	fail_msg("%s never had \"%s\", but: %s", path, part, text);
}

/* ---- what a bench left ---- */

static json_t *results(void)
{
	struct kv_msg why = { "" };
	json_t *set = NULL;

	if (results_load(in_scratch("out"), &set, &why))
		fail_msg("%s", why.text);
	return set;
}

static const json_t *cell_of(const json_t *set, const char *engine)
{
	const json_t *cell;
	size_t i;

	json_array_foreach(json_object_get(set, "cells"), i, cell)
	{
		if (!strcmp(json_string_value(json_object_get(cell, "engine")), engine))
			return cell;
	}
	fail_msg("no cell of %s", engine);
	return NULL;
}

static const char *status_of(const json_t *set, const char *engine)
{
	return json_string_value(json_object_get(cell_of(set, engine), "status"));
}

static const char *reason_of(const json_t *set, const char *engine)
{
	return json_string_value(json_object_get(cell_of(set, engine), "reason"));
}

static size_t replicates_of(const json_t *set, const char *engine)
{
	return json_array_size(json_object_get(cell_of(set, engine), "replicates"));
}

static bool has_engine(const char *name)
{
	const struct engine_info *e = engines_find(name);

	return e && e->ops;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static size_t entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n > 2 ? n - 2 : 0;
}

/* ---- help and lists ---- */

static const char *const commands[] = { "bench",   "run",     "load",      "report",
					"compare", "engines", "workloads", "doctor" };

static void test_every_command_has_help(void **state)
{
	char first[64];
	size_t i;

	(void)state;
	for (i = 0; i < 2 * sizeof(commands) / sizeof(commands[0]); i++) {
		RUN(commands[i / 2], i % 2 ? "-h" : "--help");
		expect_code(0);
		(void)snprintf(first, sizeof(first), "kvbench %s ", commands[i / 2]);
		assert_memory_equal(it.out, first, strlen(first));
		expect_in(it.out, "--help");
		assert_string_equal(it.err, "");
	}
	RUN("--help");
	expect_code(0);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		expect_in(it.out, commands[i]);
	RUN("-h");
	expect_code(0);
}

static void test_no_command_is_a_usage_error_with_help(void **state)
{
	(void)state;
	run((const char *const[]){ NULL });
	expect_code(2);
	expect_in(it.out, "kvbench COMMAND");
}

static unsigned int fields(const char *line, size_t len)
{
	unsigned int n = 1;
	size_t i;

	for (i = 0; i < len; i++)
		n += line[i] == '\t';
	return n;
}

/* Every line has so many fields; returns how many lines there are. */
static unsigned int expect_table(const char *text, unsigned int n)
{
	unsigned int lines = 0;
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1, lines++)
		if (fields(text, (size_t)(end - text)) != n)
			fail_msg("not %u fields: %.*s", n, (int)(end - text), text);
	assert_string_equal(text, "");
	return lines;
}

static void test_engines_lists_each_with_why_not(void **state)
{
	const struct engine_info *e;
	char line[512];
	size_t i;

	(void)state;
	RUN("engines", "--tsv");
	expect_code(0);
	for (i = 0; (e = engines_get(i)); i++) {
		(void)snprintf(line, sizeof(line), "\n%s\t%s\t", e->name,
			       engine_kind_name(e->kind));
		expect_in(it.out, line);
		(void)snprintf(line, sizeof(line), "install %s", e->package);
		if (!e->ops)
			expect_in(it.out, line);
	}
	assert_int_equal(expect_table(it.out, 4), i + 1);
	assert_string_equal(it.err, "");
	RUN("engines");
	expect_code(0);
	expect_in(it.out, "array");
}

static void test_workloads_lists_each_and_every_property(void **state)
{
	const char *name;
	char line[64];
	size_t i;

	(void)state;
	RUN("workloads", "--tsv");
	expect_code(0);
	assert_memory_equal(it.out, "a\t", 2);
	for (i = 0; (name = workload_preset_name(i)); i++) {
		(void)snprintf(line, sizeof(line), "%s\t", name);
		expect_in(it.out, line);
	}
	assert_int_equal(expect_table(it.out, 2), i);
	RUN("workloads", "--properties", "--tsv");
	expect_code(0);
	expect_in(it.out, "\nrecordcount\t");
	(void)expect_table(it.out, 3);
}

static void test_doctor_tells_what_is_bad_by_its_exit_code(void **state)
{
	(void)state;
	RUN("doctor", "--dir", scratch);
	expect_in(it.out, " cores, ");
	expect_in(it.out, "GB free in ");
	expect_code(strstr(it.out, "BAD ") ? 1 : 0);
	RUN("doctor", "--dir", in_scratch("not there"));
	expect_code(1);
	expect_in(it.out, "not there cannot be written to: No such file or directory");
}

static void test_output_that_cannot_be_written_is_an_error(void **state)
{
	const struct surroundings full = { .out = "/dev/full" };

	(void)state;
	start(&full, ARGS("engines", "--tsv"));
	finish();
	expect_code(1);
	expect_in(it.err, "No space left on device");
}

/* ---- what is refused ---- */

static void test_wrong_words_are_refused_with_the_nearest(void **state)
{
	static const struct {
		const char *args[6];
		const char *says, *also;
	} wrong[] = {
		{ { "bnech" }, "no command \"bnech\"", "nearest is bench" },
		{ { "bench", "--recrods", "5" },
		  "\"--recrods\"",
		  "nearest is --records" },
		{ { "bench", "--recrods=5" }, "\"--recrods=5\"", "nearest is --records" },
		{ { "bench", "-z" }, "no option \"-z\"", "bench --help" },
		{ { "bench", "-zt", "1" }, "no option \"-z\"", "bench --help" },
		{ { "bench", "--tsv=1" }, "--tsv", "takes no value" },
		{ { "bench", "--engines" }, "\"--engines\"", "needs a value" },
		{ { "bench", "stray" }, "options only", "\"stray\"" },
		{ { "engines", "stray" }, "options only", "\"stray\"" },
		{ { "workloads", "stray" }, "options only", "\"stray\"" },
		{ { "doctor", "stray" }, "options only", "\"stray\"" },
		{ { "run", "-e", "array", "stray" }, "options only", "\"stray\"" },
		{ { "bench", "-e", "arrya" }, "engine \"arrya\"", "nearest is array" },
		{ { "bench", "-e", "array,array" }, "\"array\"", "twice" },
		{ { "bench", "-e", "array:memroy_bytes=5" },
		  "memroy_bytes",
		  "memory_bytes" },
		{ { "bench", "-e", "array:memory_bytes=x" }, "memory_bytes", "x" },
		{ { "bench", "-e", "array", "-b", "null" }, "base", "null" },
		{ { "bench", "-w", "insret" }, "\"insret\"", "insert" },
		{ { "bench", "-w", "a,a" }, "workload a", "twice" },
		{ { "bench", "--records", "1000,1k" }, "workload a", "twice" },
		{ { "bench", "-p", "recordcuont=5" }, "recordcuont", "recordcount" },
		{ { "bench", "-p", "recordcount" }, "recordcount", "=" },
		{ { "bench", "--records", "ten" }, "\"ten\"", "records" },
		{ { "bench", "--records", "0" }, "\"0\"", "records" },
		{ { "bench", "--value", "x" }, "\"x\"", "value" },
		{ { "bench", "--value", "2g" }, "\"2g\"", "value" },
		{ { "bench", "--threads", "0" }, "\"0\"", "threads" },
		{ { "bench", "--durability", "snyc" },
		  "\"snyc\"",
		  "none, group or sync" },
		{ { "bench", "--profile", "quik" }, "\"quik\"", "quick" },
		{ { "bench", "--replicates", "1000" }, "256", "replicates" },
		{ { "bench", "--rate", "nan" }, "\"nan\"", "rate" },
		{ { "bench", "--rate", "inf" }, "\"inf\"", "rate" },
		{ { "bench", "--rate", "x" }, "\"x\"", "rate" },
		{ { "bench", "--seconds", "1e999" }, "\"1e999\"", "--seconds" },
		{ { "bench", "--seconds", "soon" }, "\"soon\"", "--seconds" },
		{ { "bench", "--seed", "-1" }, "\"-1\"", "--seed" },
		{ { "bench", "--out", "\xff" }, "UTF-8", "bench" },
		{ { "run" }, "--engine", "kvbench engines" },
		{ { "run", "-e", "arrya" }, "\"arrya\"", "nearest is array" },
		{ { "run", "-e", "array", "-w", "insret" }, "\"insret\"", "insert" },
		{ { "run", "-e", "array", "--threads", "5000000000" },
		  "threads",
		  "1024" },
		{ { "run", "-e", "array", "--value", "5g" }, "value", "1 GiB" },
		{ { "run", "-e", "array", "--opt", "colour=3" },
		  "colour",
		  "memory_bytes" },
		{ { "report" }, "one result set", "report" },
		{ { "compare", "a" }, "two result sets", "compare" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		run(wrong[i].args);
		expect_code(2);
		assert_memory_equal(it.err, "kvbench: ", 9);
		expect_in(it.err, wrong[i].says);
		expect_in(it.err, wrong[i].also);
		assert_string_equal(it.out, "");
		/* One line. */
		assert_ptr_equal(strchr(it.err, '\n'), it.err + strlen(it.err) - 1);
	}
}

static void test_default_base_is_one_that_is_here(void **state)
{
	(void)state;
	RUN("bench", "-e", "null,array", "-w", "c", TINY);
	expect_code(0);
	RUN("bench", "-e", "null,array", "-w", "c", "--tsv", TINY);
	expect_in(it.out, "c\tarray\tnone\t500\t100\t1\t");
	{
		json_t *set = results();

		assert_string_equal(json_string_value(json_object_get(set, "base")),
				    "array");
		json_decref(set);
	}
}

/* ---- a bench ---- */

static void test_bench_prints_a_line_a_cell(void **state)
{
	json_t *set;

	(void)state;
	RUN("bench", "--tsv", "-e", "array,null", "-b", "array", "-w", "a,c", "-t", "1,2",
	    TINY);
	expect_code(0);
	assert_memory_equal(it.out, columns, strlen(columns));
	assert_int_equal(it.out[strlen(columns)], '\n');
	assert_int_equal(expect_table(it.out, 17), 1 + 2 * 2 * 2);
	expect_in(it.out, "\na\tarray\tnone\t500\t100\t1\t");
	expect_in(it.out, "\nc\tnull\tnone\t500\t100\t2\t");
	/* Plain lines, a step each, where stderr is no terminal. */
	expect_in(it.err, "[16/16] ");
	assert_null(strchr(it.err, '\r'));

	set = results();
	assert_true(json_is_false(json_object_get(set, "partial")));
	assert_int_equal(replicates_of(set, "array"), 2);
	assert_string_equal(status_of(set, "null"), "ok");
	json_decref(set);
	assert_int_equal(entries(in_scratch("data")), 0);
}

static void test_bench_takes_sizes_from_a_property_file(void **state)
{
	const char *file = in_scratch("mine");
	json_t *set;

	(void)state;
	write_text(file,
		   "recordcount=77\noperationcount=88\nworkload=site.ycsb.workloads."
		   "CoreWorkload\nreadproportion=1\nupdateproportion=0\n"
		   "fieldcount=2\nfieldlength=5\n");
	RUN("bench", "--tsv", "-e", "array", "-w", file, "-r", "1", "--no-report",
	    "--warmup", "0", "--dir", in_scratch("data"), "--out", in_scratch("out"));
	expect_code(0);
	expect_in(it.out, "\nmine\tarray\tnone\t77\t10\t1\t");
	set = results();
	assert_int_equal(
		json_integer_value(json_object_get(
			json_object_get(
				json_array_get(json_object_get(cell_of(set, "array"),
							       "replicates"),
					       0),
				"run"),
			"ops")),
		88);
	json_decref(set);
}

static void test_bench_says_what_an_engine_cannot_do(void **state)
{
	json_t *set;

	(void)state;
	RUN("bench", "--tsv", "-e", "array,null", "-w", "c", "-d", "none,sync", TINY);
	expect_code(0);
	expect_in(it.out, "\nc\tarray\tsync\t500\t100\t1\t-\t-\t-\t-\t-\t");
	assert_int_equal(expect_table(it.out, 17), 5);
	set = results();
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(set, "cells"), 2), "status")),
		"not supported");
	json_decref(set);
}

static void test_out_may_end_with_a_slash(void **state)
{
	char out[300];
	json_t *set;

	(void)state;
	(void)snprintf(out, sizeof(out), "%s///", in_scratch("out"));
	RUN("bench", "-e", "array", "-w", "c", TINY, "--out", out);
	expect_code(0);
	set = results();
	assert_string_equal(json_string_value(json_object_get(set, "name")), "out");
	json_decref(set);
}

/* ---- places that cannot be written ---- */

static void test_unwritable_directories_are_found_before_anything_runs(void **state)
{
	const char *file = in_scratch("file"), *below = in_scratch("file/below");

	(void)state;
	write_text(file, "in the way");
	RUN("bench", "-e", "array", "-w", "c", TINY, "--out", below);
	expect_code(1);
	expect_in(it.err, "file/below cannot be made: Not a directory");
	RUN("bench", "-e", "array", "-w", "c", TINY, "--dir", below);
	expect_code(1);
	expect_in(it.err, "file/below cannot be written to: Not a directory");
	RUN("bench", "-e", "array", "-w", "c", TINY, "--out", file);
	expect_code(1);
	expect_in(it.err, "file cannot be made: Not a directory");
	/* The directory is there, but its results cannot be. */
	assert_int_equal(mkdir(in_scratch("out/results.json"), 0755), 0);
	RUN("bench", "-e", "array", "-w", "c", TINY);
	expect_code(1);
	expect_in(it.err, "results.json cannot be written");
	assert_null(strstr(it.err, "[1/"));
	RUN("run", "-e", "array", "--dir", below);
	expect_code(1);
	expect_in(it.err, "no directory can be made");
}

/* The numbers are still printed, what was saved before stays, the exit code tells. */
static void test_results_that_cannot_be_saved_do_not_end_a_bench(void **state)
{
	const struct surroundings usual = { 0 };
	json_t *set;

	(void)state;
	start(&usual, ARGS("bench", "--tsv", "-e", "array,null", "-w", "c", "-r", "3",
			   "--no-report", SLOW));
	wait_for_text(it.err_path, "[2/6]");
	wait_for_text(in_scratch("out/results.json"), "stream_digest");
	/* A directory in the place of the file that the next save begins with. */
	while (mkdir(in_scratch("out/results.json.tmp"), 0755) && errno == EEXIST)
		nap_ms(1);
	finish();
	expect_code(1);
	expect_in(it.err, "results.json cannot be written: Is a directory");
	expect_in(it.err, "[6/6]");
	assert_int_equal(expect_table(it.out, 17), 3);
	set = results();
	assert_in_range(replicates_of(set, "array"), 1, 2);
	assert_true(json_is_true(json_object_get(set, "partial")));
	json_decref(set);
}

static void expect_only_sqlite_failed(const char *reason)
{
	json_t *set = results();

	expect_code(1);
	expect_in(it.err, "sqlite");
	expect_in(it.err, "the others go on");
	assert_string_equal(status_of(set, "sqlite"), "failed");
	expect_in(reason_of(set, "sqlite"), reason);
	assert_string_equal(status_of(set, "array"), "ok");
	assert_int_equal(replicates_of(set, "array"), 2);
	assert_string_equal(status_of(set, "null"), "ok");
	assert_int_equal(replicates_of(set, "null"), 2);
	json_decref(set);
	assert_int_equal(entries(in_scratch("data")), 0);
}

static void test_file_size_limit_fails_one_engine_and_spares_the_others(void **state)
{
	const struct surroundings small = { .file_size = 150000 };

	(void)state;
	if (!has_engine("sqlite")) {
		print_message("skipped: this build has no engine that writes files\n");
		skip();
	}
	start(&small, ARGS("bench", "-e", "sqlite,array,null", "-b", "array", "-w", "c",
			   QUICK, "--records", "5000", "--ops", "5000"));
	finish();
	expect_only_sqlite_failed("failed: ");
}

static void test_full_disk_fails_one_engine_and_spares_the_others(void **state)
{
	const char *data = in_scratch("data");

	(void)state;
	assert_int_equal(mkdir(data, 0755), 0);
	if (!has_engine("sqlite") || mount("kvbench", data, "tmpfs", 0, "size=1500k")) {
		print_message(
			"skipped: it takes SQLite and the right to mount a tmpfs\n");
		skip();
	}
	/* Short records: a page of log for each is more than anybody expects. */
	RUN("bench", "-e", "sqlite,array,null", "-b", "array", "-w", "c", QUICK,
	    "--records", "4000", "--value", "1", "--ops", "4000");
	(void)umount(data);
	expect_only_sqlite_failed("No space left on device");
}

static void test_grid_that_cannot_fit_is_refused_at_once(void **state)
{
	(void)state;
	RUN("bench", "-e", "array", "-w", "c", QUICK, "--records", "100000g");
	expect_code(1);
	expect_in(it.err, "GB free, and this grid may need");
	expect_in(it.err, "--dir");
}

/* ---- signals ---- */

static void expect_partial_set_that_renders(void)
{
	json_t *set;

	expect_code(130);
	set = results();
	assert_true(json_is_true(json_object_get(set, "partial")));
	assert_true(replicates_of(set, "array") + replicates_of(set, "null") >= 1);
	json_decref(set);
	assert_int_equal(entries(in_scratch("data")), 0);
	assert_int_equal(access(in_scratch("out/index.html"), R_OK), 0);
	assert_int_equal(access(in_scratch("out/report.md"), R_OK), 0);
	expect_in(it.out, "(partial)");

	assert_int_equal(unlink(in_scratch("out/index.html")), 0);
	RUN("report", in_scratch("out"));
	expect_code(0);
	assert_int_equal(access(in_scratch("out/index.html"), R_OK), 0);
}

static void interrupt_bench(int signal)
{
	const struct surroundings usual = { 0 };

	start(&usual, ARGS("bench", "-e", "array,null", "-w", "c", "-r", "200", SLOW));
	wait_for_text(it.err_path, "[1/400]");
	nap_ms(250); /* into the second */
	assert_int_equal(kill(it.pid, signal), 0);
	finish();
	expect_partial_set_that_renders();
}

static void test_interrupt_keeps_what_was_measured(void **state)
{
	(void)state;
	interrupt_bench(SIGINT);
}

static void test_termination_keeps_what_was_measured(void **state)
{
	(void)state;
	interrupt_bench(SIGTERM);
}

/* As a terminal does it: to every process of the group at once. What ran is checked all
 * the same. */
static void test_interrupt_of_the_group_is_one_interrupt(void **state)
{
	const struct surroundings usual = { 0 };
	const json_t *r;
	json_t *set;

	(void)state;
	start(&usual, ARGS("bench", "-e", "array", "-w", "a", "-r", "2", "--no-report",
			   SLOW, "--ops", "1000000"));
	(void)setpgid(it.pid, it.pid);
	wait_for_text(it.err_path, "2 runs");
	nap_ms(700);
	assert_int_equal(kill(-it.pid, SIGINT), 0);
	finish();
	expect_code(130);
	set = results();
	r = json_array_get(json_object_get(cell_of(set, "array"), "replicates"), 0);
	assert_non_null(r);
	assert_true(json_is_true(json_object_get(r, "partial")));
	if (json_integer_value(json_object_get(json_object_get(r, "run"), "ops")))
		assert_string_equal(json_string_value(json_object_get(r, "content")),
				    "equal");
	json_decref(set);
}

/* The child of the running program; 0 when it has none now. */
static pid_t child_of(pid_t parent)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	pid_t found = 0;

	assert_non_null(proc);
	while (!found && (d = readdir(proc))) {
		char path[300], text[512] = "";
		const char *behind;
		FILE *f;
		int ppid;

		(void)snprintf(path, sizeof(path), "/proc/%.20s/stat", d->d_name);
		f = d->d_name[0] >= '1' && d->d_name[0] <= '9' ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f) && (behind = strrchr(text, ')')) &&
		    sscanf(behind, ") %*c %d", &ppid) == 1 && ppid == parent)
			found = (pid_t)strtol(d->d_name, NULL, 10);
		(void)fclose(f);
	}
	(void)closedir(proc);
	return found;
}

static void test_killed_engine_fails_its_cell_and_spares_the_others(void **state)
{
	const struct surroundings usual = { 0 };
	const char *killed, *spared;
	pid_t victim = 0;
	json_t *set;
	int tries;

	(void)state;
	start(&usual, ARGS("bench", "-e", "array,null", "-w", "c", "-r", "2",
			   "--no-report", SLOW));
	for (tries = 0; !victim && tries < PATIENCE_S * 1000; tries++) {
		victim = child_of(it.pid);
		nap_ms(1);
	}
	assert_true(victim > 0);
	assert_int_equal(kill(victim, SIGKILL), 0);
	finish();
	expect_code(1);
	expect_in(it.err, "was ended by signal 9 (Killed)");
	expect_in(it.err, "the others go on");
	set = results();
	killed = strcmp(status_of(set, "array"), "failed") ? "null" : "array";
	spared = killed[0] == 'n' ? "array" : "null";
	assert_string_equal(status_of(set, killed), "failed");
	expect_in(reason_of(set, killed), "signal 9 (Killed)");
	assert_int_equal(replicates_of(set, killed), 0);
	assert_string_equal(status_of(set, spared), "ok");
	assert_int_equal(replicates_of(set, spared), 2);
	assert_true(json_is_false(json_object_get(set, "partial")));
	json_decref(set);
	assert_int_equal(entries(in_scratch("data")), 0);
	expect_in(it.err, "[3/3]"); /* the one not tried again is not waited for */
}

static void test_engine_that_takes_too_long_is_ended(void **state)
{
	json_t *set;

	(void)state;
	RUN("bench", "-e", "array", "-w", "c", "-r", "1", "--no-report", "--timeout",
	    "0.3", SLOW, "--ops", "100000");
	expect_code(1);
	set = results();
	assert_string_equal(status_of(set, "array"), "failed");
	expect_in(reason_of(set, "array"), "did not end within 0.3 s");
	json_decref(set);
}

/* ---- the bar ---- */

static void test_terminal_gets_a_bar_with_the_time_left(void **state)
{
	struct surroundings s = { 0 };
	char text[65536];
	size_t n = 0;
	ssize_t got;
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	(void)state;
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	s.terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(s.terminal > 0);
	start(&s, ARGS("bench", "--tsv", "-e", "array", "-w", "c", "-r", "2",
		       "--no-report", SLOW));
	(void)close(s.terminal);
	while (n < sizeof(text) - 1 &&
	       (got = read(master, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	(void)close(master);
	finish();
	expect_code(0);
	expect_in(text, "\r[");
	expect_in(text, "] 1/2 array c ");
	expect_in(text, " ETA ");
	assert_string_equal(text + n - 4, "\r\033[K"); /* and is gone in the end */
	assert_int_equal(expect_table(it.out, 17), 2);
}

/* ---- report and compare ---- */

static void test_report_renders_what_bench_saved(void **state)
{
	char path[300];

	(void)state;
	RUN("bench", "-e", "array,null", "-w", "c", TINY);
	expect_code(0);
	(void)snprintf(path, sizeof(path), "%s", in_scratch("out/results.json"));
	RUN("report", path, "--out", in_scratch("elsewhere"));
	expect_code(0);
	expect_in(it.out, "elsewhere/index.html");
	assert_int_equal(access(in_scratch("elsewhere/index.html"), R_OK), 0);
	RUN("report", path);
	expect_code(0);
	assert_int_equal(access(in_scratch("out/index.html"), R_OK), 0);
}

static void test_report_refuses_what_is_no_result_set(void **state)
{
	(void)state;
	RUN("report", in_scratch("nothing.json"));
	expect_code(1);
	expect_in(it.err, "No such file");
	write_text(in_scratch("half.json"), "{\"schema\": 1,");
	RUN("report", in_scratch("half.json"));
	expect_code(1);
	expect_in(it.err, "half.json:1: not JSON");
	write_text(in_scratch("other.json"), "{\"schema\": 1}");
	RUN("report", in_scratch("other.json"));
	expect_code(1);
	expect_in(it.err, "not a result set");
}

static void test_compare_says_what_changed(void **state)
{
	(void)state;
	RUN("bench", "-e", "array,null", "-w", "a,c", TINY, "-r", "3");
	expect_code(0);
	RUN("bench", "-e", "array", "-w", "c,d", TINY, "-r", "3", "--out",
	    in_scratch("after"));
	expect_code(0);
	RUN("compare", in_scratch("out"), in_scratch("after"));
	expect_code(0);
	expect_in(it.out, "B over A");
	expect_in(it.out, "\nc          array ");
	expect_in(it.out, "x [");
	/* Cells that only one of them has are named, not compared. */
	expect_in(it.out, "only in B");
	expect_in(it.out, "only in A");
	assert_string_equal(it.err, "");
}

static void test_compare_refuses_other_operations(void **state)
{
	(void)state;
	RUN("bench", "-e", "array", "-w", "c", TINY);
	expect_code(0);
	RUN("bench", "-e", "array", "-w", "c", TINY, "--seed", "77", "--out",
	    in_scratch("after"));
	expect_code(0);
	RUN("compare", in_scratch("out"), in_scratch("after"));
	expect_code(1);
	expect_in(it.err, "no measured cell in common");
	RUN("compare", in_scratch("out"), in_scratch("nowhere"));
	expect_code(1);
	expect_in(it.err, "nowhere cannot be read: No such file");
}

/* ---- run and load ---- */

static void test_run_prints_and_writes_one_result(void **state)
{
	json_t *o;

	(void)state;
	RUN("run", "-e", "array", "-w", "a", "--records", "300", "--ops", "900", "--dir",
	    scratch, "--json", in_scratch("one.json"));
	expect_code(0);
	expect_in(it.out, "300 records, 1 thread, durability none");
	expect_in(it.out, "content: equal to the oracle's");
	expect_in(it.out, "run: ");
	o = json_load_file(in_scratch("one.json"), 0, NULL);
	assert_non_null(o);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(o, "run"), "ops")),
		900);
	json_decref(o);
}

static void test_loaded_store_stays_for_runs(void **state)
{
	const char *store = in_scratch("store");

	(void)state;
	if (!has_engine("sqlite")) {
		print_message("skipped: this build has no engine that keeps its data\n");
		skip();
	}
	RUN("load", "-e", "sqlite", "--records", "200");
	expect_code(1);
	expect_in(it.err, "--dir");
	RUN("load", "-e", "sqlite", "--records", "200", "--dir", store);
	expect_code(0);
	expect_in(it.out, "load: ");
	assert_null(strstr(it.out, "run: "));
	RUN("load", "-e", "sqlite", "--records", "200", "--dir", store);
	expect_code(1);
	expect_in(it.err, "not empty");
	RUN("run", "-e", "sqlite", "--records", "200", "--ops", "500", "--dir", store,
	    "--existing");
	expect_code(0);
	expect_in(it.out, "run: ");
	assert_null(strstr(it.out, "load: "));
	assert_null(strstr(it.out, "found nothing"));
}

static void test_interrupted_run_tells_what_ran(void **state)
{
	const struct surroundings usual = { 0 };

	(void)state;
	start(&usual, ARGS("run", "-e", "array", "-w", "c", "--records", "100", "--ops",
			   "1000000", "--rate", "1000", "--dir", scratch));
	wait_until_it_catches(SIGINT);
	nap_ms(300);
	assert_int_equal(kill(it.pid, SIGINT), 0);
	finish();
	expect_code(130);
	expect_in(it.out, "(interrupted: partial)");
}

/* ---- set-up ---- */

static int find_program(void)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
	int up;

	if (n < 0)
		return -1;
	program[n] = '\0';
	for (up = 0; up < 2; up++)
		*strrchr(program, '/') = '\0';
	strcat(program, "/kvbench");
	if (access(program, X_OK)) {
		print_error("%s is not there: build it first\n", program);
		return -1;
	}
	return 0;
}

/* Under an emulator the kernel may not know how to start a program of its machine. */
static bool can_start_programs(void)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		int quiet = open("/dev/null", O_WRONLY);

		(void)dup2(quiet, STDOUT_FILENO);
		(void)execl(program, "kvbench", "--help", (char *)NULL);
		_exit(errno == ENOEXEC ? 125 : 126);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 125;
}

static void test_commands_under_an_emulator(void **state)
{
	(void)state;
	print_message("skipped: this emulator cannot start kvbench (no binfmt_misc)\n");
	skip();
}

static int make_scratch(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(scratch, sizeof(scratch), "%.80s/kvbench-test-XXXXXX",
		       tmp ? tmp : "/tmp");
	return mkdtemp(scratch) ? 0 : -1;
}

static int drop_scratch(void **state)
{
	(void)state;
	return remove_tree(scratch);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_scratch, drop_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_command_has_help),
		TEST(test_no_command_is_a_usage_error_with_help),
		TEST(test_engines_lists_each_with_why_not),
		TEST(test_workloads_lists_each_and_every_property),
		TEST(test_doctor_tells_what_is_bad_by_its_exit_code),
		TEST(test_output_that_cannot_be_written_is_an_error),
		TEST(test_wrong_words_are_refused_with_the_nearest),
		TEST(test_default_base_is_one_that_is_here),
		TEST(test_bench_prints_a_line_a_cell),
		TEST(test_bench_takes_sizes_from_a_property_file),
		TEST(test_bench_says_what_an_engine_cannot_do),
		TEST(test_out_may_end_with_a_slash),
		TEST(test_unwritable_directories_are_found_before_anything_runs),
		TEST(test_results_that_cannot_be_saved_do_not_end_a_bench),
		TEST(test_file_size_limit_fails_one_engine_and_spares_the_others),
		TEST(test_full_disk_fails_one_engine_and_spares_the_others),
		TEST(test_grid_that_cannot_fit_is_refused_at_once),
		TEST(test_interrupt_keeps_what_was_measured),
		TEST(test_termination_keeps_what_was_measured),
		TEST(test_interrupt_of_the_group_is_one_interrupt),
		TEST(test_killed_engine_fails_its_cell_and_spares_the_others),
		TEST(test_engine_that_takes_too_long_is_ended),
		TEST(test_terminal_gets_a_bar_with_the_time_left),
		TEST(test_report_renders_what_bench_saved),
		TEST(test_report_refuses_what_is_no_result_set),
		TEST(test_compare_says_what_changed),
		TEST(test_compare_refuses_other_operations),
		TEST(test_run_prints_and_writes_one_result),
		TEST(test_loaded_store_stays_for_runs),
		TEST(test_interrupted_run_tells_what_ran),
	};

	const struct CMUnitTest none[] = { cmocka_unit_test(
		test_commands_under_an_emulator) };

	if (find_program())
		return 1;
	return can_start_programs() ? cmocka_run_group_tests(tests, NULL, NULL)
				    : cmocka_run_group_tests(none, NULL, NULL);
}
