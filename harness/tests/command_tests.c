/* SPDX-License-Identifier: MIT */
/*
 * command_tests.c - kvbench as a person meets it: what it prints, what it refuses and in
 * which words, from help to compare. What a bench goes through is in bench_tests.c.
 */
#include "command_fixture.h"

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
		{ { "run", "-e", "null", "--rate", "x" }, "\"x\"", "80%" },
		{ { "run", "-e", "null", "--rate", "0%" }, "\"0%\"", "80%" },
		{ { "run", "-e", "null", "--rate", "%" }, "\"%\"", "80%" },
		{ { "run", "-e", "null", "--rate", "5%%" }, "\"5%%\"", "80%" },
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

static void test_run_at_a_share_tells_the_worst_second(void **state)
{
	(void)state;
	RUN("run", "-e", "array", "-w", "a", "--records", "100", "--seconds", "2.2",
	    "--rate", "10%", "--dir", scratch);
	expect_code(0);
	expect_in(it.out, "open loop at ");
	expect_in(it.out, "10% of the ");
	expect_in(it.out, "worst second: ");
	expect_in(it.out, "longest operation: ");
	expect_in(it.out, "content: equal to the oracle's");
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
		TEST(test_report_renders_what_bench_saved),
		TEST(test_report_refuses_what_is_no_result_set),
		TEST(test_compare_says_what_changed),
		TEST(test_compare_refuses_other_operations),
		TEST(test_run_prints_and_writes_one_result),
		TEST(test_run_at_a_share_tells_the_worst_second),
		TEST(test_loaded_store_stays_for_runs),
		TEST(test_interrupted_run_tells_what_ran),
	};

	RUN_TESTS(tests);
}
