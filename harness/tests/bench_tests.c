/* SPDX-License-Identifier: MIT */
/*
 * bench_tests.c - kvbench bench from its line a cell to what is left when it is interrupted,
 * an engine is killed or the disk is full.
 */
#include "command_fixture.h"

#include <dirent.h>
#include <sys/mount.h>

#include "../results/results.h"

static const char columns[] =
	"workload\tengine\tdurability\trecords\tvalue\tthreads\tops_per_s\tratio_to_base\t"
	"ci_low\tci_high\tp50_us\tp99_us\tp999_us\tmax_us\tdevice_write_bytes\tspace_bytes\t"
	"peak_rss_bytes";

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

static void test_default_base_is_one_that_is_here(void **state)
{
	json_t *set;

	(void)state;
	RUN("bench", "-e", "null,array", "-w", "c", "--tsv", TINY);
	expect_in(it.out, "c\tarray\tnone\t500\t100\t1\t");
	set = results();
	assert_string_equal(json_string_value(json_object_get(set, "base")), "array");
	json_decref(set);
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
	if (master < 0) {
		puts("skipped: no pseudo terminals here (/dev/pts)");
		skip();
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bench_prints_a_line_a_cell),
		TEST(test_default_base_is_one_that_is_here),
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
	};

	RUN_TESTS(tests);
}
