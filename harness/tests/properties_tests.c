/* SPDX-License-Identifier: MIT */
/*
 * properties_tests.c - workload files: Java's syntax of properties, files that cannot be
 * read, and those that YCSB ships.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../workload/properties.h"
#include "properties_fixture.h"

/* ---- syntax ---- */

struct seen { /* "line name=value\n" of each property */
	char text[4096];
	size_t len;
	int error; /* what the callback returns */
};

static int see(void *arg, unsigned int line, const char *name, const char *value)
{
	struct seen *s = arg;

	s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len,
				   "%u %s=%s\n", line, name, value);
	return s->error;
}

static void expect_parse(const char *text, const char *want)
{
	struct seen s = { .text = "" };
	struct kv_msg why = { "" };

	if (properties_parse("file", text, strlen(text), see, &s, &why))
		fail_msg("%s", why.text);
	assert_string_equal(s.text, want);
}

static void test_separators_and_blanks(void **state)
{
	(void)state;
	expect_parse("a=1\nb:2\nc 3\n", "1 a=1\n2 b=2\n3 c=3\n");
	expect_parse("  a  =  1\n\tb\t:\t2\n c \f 3", "1 a=1\n2 b=2\n3 c=3\n");
	expect_parse("a==1\nb=:2\nc = = 3", "1 a==1\n2 b=:2\n3 c== 3\n");
	expect_parse("a\nb=\nc:", "1 a=\n2 b=\n3 c=\n");
	expect_parse("=1\n: 2", "1 =1\n2 =2\n");
	expect_parse("a=1  \nb=2\t", "1 a=1  \n2 b=2\t\n");
}

static void test_comments_and_empty_lines(void **state)
{
	(void)state;
	expect_parse("", "");
	expect_parse("\n\n \t\n", "");
	expect_parse("# a=1\n! b=2\n   # c=3\nd=4 # no comment\n",
		     "4 d=4 # no comment\n");
	expect_parse("# ends in a backslash \\\na=1", "2 a=1\n");
	expect_parse("#", "");
}

static void test_line_ends_of_every_system(void **state)
{
	(void)state;
	expect_parse("a=1\r\nb=2\rc=3\n\r\nd=4", "1 a=1\n2 b=2\n3 c=3\n5 d=4\n");
}

static void test_continuation_lines(void **state)
{
	(void)state;
	expect_parse("a=1,\\\n   2,\\\r\n\t3\nb=4", "1 a=1,2,3\n4 b=4\n");
	expect_parse("a=1\\\\\nb=2", "1 a=1\\\n2 b=2\n");
	expect_parse("a=1\\\\\\\n2\nb=3", "1 a=1\\2\n3 b=3\n");
	expect_parse("a=1\\\n# no comment\nb=2", "1 a=1# no comment\n3 b=2\n");
	expect_parse("a=1\\", "1 a=1\n");
	expect_parse("a=1\\\n", "1 a=1\n");
	expect_parse("nam\\\n  e=1", "1 name=1\n");
	expect_parse("\\\na=1", "1 a=1\n");
}

static void test_escapes(void **state)
{
	(void)state;
	expect_parse("a\\=b\\:c\\ d=1", "1 a=b:c d=1\n");
	expect_parse("a=\\t\\n\\r\\f\\q\\\\", "1 a=\t\n\r\fq\\\n");
	expect_parse("a=\\u0041\\u00e9\\u20AC", "1 a=A\xc3\xa9\xe2\x82\xac\n");
	expect_parse("a=\\ 1", "1 a= 1\n");
}

static void expect_refused(const char *text, size_t len, int error, const char *want)
{
	struct seen s = { .text = "" };
	struct kv_msg why = { "" };

	assert_int_equal(properties_parse("file", text, len, see, &s, &why), error);
	assert_string_equal(why.text, want);
}

static void test_malformed_text_is_refused_with_its_line(void **state)
{
	(void)state;
	expect_refused("a=1\n\nb=\\u12G4", 13, -EINVAL,
		       "file:3: \\u wants four hexadecimal digits");
	expect_refused("a=\\u123", 7, -EINVAL,
		       "file:1: \\u wants four hexadecimal digits");
	expect_refused("a=1\0b=2", 7, -EINVAL,
		       "file: holds NUL bytes, not a property file");
}

static void test_callback_ends_the_reading(void **state)
{
	struct seen s = { .error = -EXDEV };
	struct kv_msg why = { "" };

	(void)state;
	assert_int_equal(properties_parse("file", "a=1\nb=2", 7, see, &s, &why), -EXDEV);
	assert_string_equal(s.text, "1 a=1\n");
	assert_string_equal(why.text, "");
}

static void test_out_of_memory_at_every_allocation(void **state)
{
	static const char text[] = "name=value\nlonger.name=longer \\\n value\n";
	uint64_t live = port_fault_live(), nth;
	int error;

	(void)state;
	for (nth = 1;; nth++) {
		struct seen s = { .text = "" };
		struct kv_msg why = { "" };

		port_fault_set(nth, true);
		error = properties_parse("file", text, sizeof(text) - 1, see, &s, &why);
		if (!port_fault_fired())
			break;
		assert_int_equal(error, -ENOMEM);
		assert_string_equal(why.text, "file: out of memory");
		assert_int_equal(port_fault_live(), live);
	}
	port_fault_set(0, false);
	assert_int_equal(error, 0);
	assert_true(nth > 3);
}

/* ---- files ---- */

static void test_files_that_cannot_be_read(void **state)
{
	static char large[(1 << 20) + 2];
	struct workload w;
	struct kv_msg why;
	struct file f;

	(void)state;
	assert_int_equal(workload_read_file("/nowhere/at/all", &w, &why), -ENOENT);
	assert_string_equal(why.text, "/nowhere/at/all: No such file or directory");
	assert_int_equal(workload_read_file("/", &w, &why), -EIO);
	assert_string_equal(why.text, "/: cannot be read: Is a directory");
	memset(large, '#', sizeof(large));
	f = file_of(large, sizeof(large));
	assert_int_equal(workload_read_file(f.path, &w, &why), -EFBIG);
	assert_non_null(strstr(why.text, "over 1 MiB, not a workload file"));
	assert_int_equal(unlink(f.path), 0);
}

#define OFFICIAL(rest)                                             \
	"# Yahoo! Cloud System Benchmark\n# Workload\n#   ratio\n" \
	"recordcount=1000\noperationcount=1000\n"                  \
	"workload=site.ycsb.workloads.CoreWorkload\n\nreadallfields=true\n\n" rest

/* What YCSB ships as workloada to workloadf sets the same as the presets do. */
static void test_official_files_equal_the_presets(void **state)
{
	static const char *const file[][2] = {
		{ "a", OFFICIAL("readproportion=0.5\nupdateproportion=0.5\n"
				"scanproportion=0\ninsertproportion=0\n\n"
				"requestdistribution=zipfian\n\n") },
		{ "b", OFFICIAL("readproportion=0.95\nupdateproportion=0.05\n"
				"scanproportion=0\ninsertproportion=0\n\n"
				"requestdistribution=zipfian\n\n") },
		{ "c", OFFICIAL("readproportion=1\nupdateproportion=0\n"
				"scanproportion=0\ninsertproportion=0\n\n"
				"requestdistribution=zipfian\n\n") },
		{ "d", OFFICIAL("readproportion=0.95\nupdateproportion=0\n"
				"scanproportion=0\ninsertproportion=0.05\n\n"
				"requestdistribution=latest\n\n") },
		{ "e", OFFICIAL("readproportion=0\nupdateproportion=0\n"
				"scanproportion=0.95\ninsertproportion=0.05\n\n"
				"requestdistribution=zipfian\n\nmaxscanlength=100\n\n"
				"scanlengthdistribution=uniform\n\n") },
		{ "f", OFFICIAL("readproportion=0.5\nupdateproportion=0\n"
				"scanproportion=0\ninsertproportion=0\n"
				"readmodifywriteproportion=0.5\n\n"
				"requestdistribution=zipfian\n\n") },
	};
	struct kv_buf a = { 0 }, b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		struct workload official, preset;
		struct kv_msg why;

		if (read_text(file[i][1], &official, &why))
			fail_msg("workload%s: %s", file[i][0], why.text);
		assert_int_equal(workload_preset(file[i][0], &preset, &why), 0);
		check_and_print(&official, &a);
		check_and_print(&preset, &b);
		assert_string_equal(a.data, b.data);
	}
	kv_buf_free(&a);
	kv_buf_free(&b);
}

/* Everything that YCSB's template of a workload names, at its default. */
static void test_template_of_every_property(void **state)
{
	static const char text[] =
		"workload=com.yahoo.ycsb.workloads.CoreWorkload\n"
		"recordcount=1000000\noperationcount=3000000\ninsertstart=0\n"
		"fieldcount=10\nfieldlength=100\nreadallfields=true\n"
		"writeallfields=false\nfieldlengthdistribution=constant\n"
		"readproportion=0.95\nupdateproportion=0.05\ninsertproportion=0\n"
		"readmodifywriteproportion=0\nscanproportion=0\nmaxscanlength=1000\n"
		"scanlengthdistribution=uniform\ninsertorder=hashed\n"
		"requestdistribution=zipfian\nhotspotdatafraction=0.2\n"
		"hotspotopnfraction=0.8\ntable=usertable\ncolumnfamily=family\n"
		"measurementtype=histogram\nhistogram.buckets=1000\n"
		"timeseries.granularity=1000\nmeasurement.trackjvm = false\n"
		"reportlatencyforeacherror=false\nlatencytrackederrors=\"a,b\"\n"
		"core_workload_insertion_retry_limit = 0\n"
		"core_workload_insertion_retry_interval = 3\n"
		"jdbc.driver=org.h2.Driver\ndb.url=jdbc:h2:mem\ndb.user=me\n"
		"basicdb.verbose=false\nstatus.interval=1\nexporter=some.Class\n";
	struct workload w;
	struct kv_msg why;

	(void)state;
	if (read_text(text, &w, &why))
		fail_msg("%s", why.text);
	assert_int_equal(workload_check(&w, &why), 0);
	assert_int_equal(w.record_count, 1000000);
	assert_int_equal(w.operation_count, 3000000);
	assert_int_equal(w.insert_count, 1000000);
	assert_int_equal(w.request, DIST_YCSB_ZIPFIAN);
	assert_int_equal(strncmp(w.name, "kvbench-properties-", 19), 0);
}

static void write_lines(const char *path, const char *lines)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(lines, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_name_is_a_preset_before_it_is_a_file(void **state)
{
	char here[1024];
	struct kv_msg why = { "" };
	struct workload w;

	assert_int_equal(make_scratch(state), 0);
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir(scratch), 0);
	write_lines("a", "recordcount=7\n");
	write_lines("mine", "recordcount=8\n");
	assert_int_equal(workload_find("a", &w, &why), 0);
	assert_false(w.from_file);
	assert_int_equal(workload_find("./a", &w, &why), 0);
	assert_true(w.from_file);
	assert_int_equal(w.record_count, 7);
	assert_int_equal(workload_find("mine", &w, &why), 0);
	assert_int_equal(w.record_count, 8);
	assert_int_equal(workload_find("yours", &w, &why), -EINVAL);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(drop_scratch(state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_separators_and_blanks),
		LEAK_CHECKED(test_comments_and_empty_lines),
		LEAK_CHECKED(test_line_ends_of_every_system),
		LEAK_CHECKED(test_continuation_lines),
		LEAK_CHECKED(test_escapes),
		LEAK_CHECKED(test_malformed_text_is_refused_with_its_line),
		LEAK_CHECKED(test_callback_ends_the_reading),
		LEAK_CHECKED(test_out_of_memory_at_every_allocation),
		LEAK_CHECKED(test_files_that_cannot_be_read),
		LEAK_CHECKED(test_official_files_equal_the_presets),
		LEAK_CHECKED(test_template_of_every_property),
		LEAK_CHECKED(test_name_is_a_preset_before_it_is_a_file),
	};

	return cmocka_run_group_tests_name("properties", tests, NULL, NULL);
}
