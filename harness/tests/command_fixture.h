/* SPDX-License-Identifier: MIT */
/*
 * command_fixture.h - what the tests of the programs share: starting the kvbench (or what
 * PROGRAM names) that was built beside them, what it printed, what it left in a scratch
 * directory.
 *
 * Included once a program.
 */
#ifndef COMMAND_FIXTURE_H
#define COMMAND_FIXTURE_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../engines.h"
#include "../replicate.h"

#ifndef PROGRAM
#define PROGRAM "kvbench"
#endif

enum { ARGS_MAX = 48, TEXT_MAX = 1 << 17, PATIENCE_S = 120 };

static char program[1024];

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

static void become(const struct surroundings *s, const char *const *args)
{
	const char *argv[ARGS_MAX] = { PROGRAM };
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
		fail_msg(PROGRAM " did not end within %d s", PATIENCE_S);
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

static unsigned int fields(const char *line, size_t len)
{
	unsigned int n = 1;
	size_t i;

	for (i = 0; i < len; i++)
		n += line[i] == '\t';
	return n;
}

/* Every line has so many fields; returns how many lines there are. */
static inline unsigned int expect_table(const char *text, unsigned int n)
{
	unsigned int lines = 0;
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1, lines++)
		if (fields(text, (size_t)(end - text)) != n)
			fail_msg("not %u fields: %.*s", n, (int)(end - text), text);
	assert_string_equal(text, "");
	return lines;
}

/* ---- files and engines ---- */

static inline bool has_engine(const char *name)
{
	const struct engine_info *e = engines_find(name);

	return e && e->ops;
}

static inline void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
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
	strcat(program, "/" PROGRAM);
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
		(void)execl(program, PROGRAM, "--help", (char *)NULL);
		_exit(errno == ENOEXEC ? 125 : 126);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 125;
}

static void test_commands_under_an_emulator(void **state)
{
	(void)state;
	print_message("skipped: this emulator cannot start " PROGRAM
		      " (no binfmt_misc)\n");
	skip();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_scratch, drop_scratch)

/* A main() with these tests. */
#define RUN_TESTS(tests)                                                                \
	do {                                                                            \
		const struct CMUnitTest none[] = { cmocka_unit_test(                    \
			test_commands_under_an_emulator) };                             \
                                                                                        \
		if (find_program())                                                     \
			return 1;                                                       \
		return can_start_programs() ? cmocka_run_group_tests(tests, NULL, NULL) \
					    : cmocka_run_group_tests(none, NULL, NULL); \
	} while (0)

#endif /* COMMAND_FIXTURE_H */
