/* SPDX-License-Identifier: MIT */
/*
 * properties_tests.c - workload files in Java's syntax, what each property sets, and what
 * is said of one that is unknown, out of range or not supported.
 */
#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../workload/properties.h"
#include "../workload/ycsb_property.h"
#include "workload_fixture.h"

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

struct file {
	char path[64];
};

static struct file file_of(const char *text, size_t len)
{
	struct file f = { "/tmp/kvbench-properties-XXXXXX" };
	int fd = mkstemp(f.path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
	return f;
}

/* Reads text as a workload file; *why starts with "path:" where it is about a line, and
 * that much is cut off, so that "line: what" is left. */
static int read_text(const char *text, struct workload *w, struct kv_msg *why)
{
	struct file f = file_of(text, strlen(text));
	int error;

	why->text[0] = '\0';
	error = workload_read_file(f.path, w, why);
	assert_int_equal(unlink(f.path), 0);
	if (error) {
		size_t n = strlen(f.path);

		assert_memory_equal(why->text, f.path, n);
		assert_int_equal(why->text[n], ':');
		memmove(why->text, why->text + n + 1, strlen(why->text + n + 1) + 1);
	}
	return error;
}

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

static void check_and_print(struct workload *w, struct kv_buf *out)
{
	struct kv_msg why;

	if (workload_check(w, &why))
		fail_msg("%s", why.text);
	out->len = 0;
	assert_int_equal(workload_print(w, out), 0);
	assert_int_equal(kv_buf_append(out, "", 1), 0);
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

/* ---- what each property sets ---- */

static void test_every_property_reaches_its_field(void **state)
{
	static const char *const settings[] = {
		"recordcount=11",
		"operationcount=12",
		"insertstart=3",
		"insertcount=4",
		"readproportion=0.1",
		"updateproportion=0.2",
		"insertproportion=0.3",
		"scanproportion=0.4",
		"readmodifywriteproportion=0.5",
		"deleteproportion=0.6",
		"readmissingproportion=0.7",
		"requestdistribution=hotspot",
		"zipftheta=1.25",
		"hotspotdatafraction=0.01",
		"hotspotopnfraction=0.02",
		"exponential.percentile=90",
		"exponential.frac=0.5",
		"fieldcount=5",
		"fieldlength=60",
		"minfieldlength=7",
		"fieldlengthdistribution=uniform",
		"fieldnameprefix=f",
		"readallfields=false",
		"writeallfields=true",
		"minscanlength=8",
		"maxscanlength=9",
		"scanlengthdistribution=zipfian",
		"insertorder=ordered",
		"zeropadding=10",
		"sortedload=true",
		"threadcount=13",
		"target=14.5",
		"maxexecutiontime=15",
		"seed=18446744073709551615",
		NULL,
	};
	struct workload w = preset("c");
	struct kv_msg why;

	(void)state;
	set_all(&w, settings);
	assert_int_equal(workload_check(&w, &why), 0);
	assert_int_equal(w.record_count, 11);
	assert_int_equal(w.operation_count, 12);
	assert_int_equal(w.insert_start, 3);
	assert_int_equal(w.insert_count, 4);
	assert_true(w.proportion[OP_READ] == 0.1 && w.proportion[OP_UPDATE] == 0.2);
	assert_true(w.proportion[OP_INSERT] == 0.3 && w.proportion[OP_SCAN] == 0.4);
	assert_true(w.proportion[OP_READ_MODIFY_WRITE] == 0.5);
	assert_true(w.proportion[OP_DELETE] == 0.6);
	assert_true(w.proportion[OP_READ_MISSING] == 0.7);
	assert_int_equal(w.request, DIST_HOTSPOT);
	assert_true(w.zipf_theta == 1.25);
	assert_true(w.hotspot_data_fraction == 0.01 && w.hotspot_op_fraction == 0.02);
	assert_true(w.exponential_percentile == 90 && w.exponential_fraction == 0.5);
	assert_int_equal(w.field_count, 5);
	assert_int_equal(w.field_length, 60);
	assert_int_equal(w.min_field_length, 7);
	assert_int_equal(w.field_length_distribution, LENGTH_UNIFORM);
	assert_string_equal(w.field_name_prefix, "f");
	assert_true(!w.read_all_fields && w.write_all_fields);
	assert_int_equal(w.min_scan_length, 8);
	assert_int_equal(w.max_scan_length, 9);
	assert_int_equal(w.scan_length_distribution, LENGTH_ZIPFIAN);
	assert_true(w.ordered_keys && w.sorted_load);
	assert_int_equal(w.zero_padding, 10);
	assert_int_equal(w.threads, 13);
	assert_true(w.target_ops_per_s == 14.5);
	assert_int_equal(w.max_execution_seconds, 15);
	assert_true(w.seed == UINT64_MAX);
}

static void test_settings_over_a_file(void **state)
{
	static const char *const settings[] = { "recordcount=7", "valuesize=64",
						"requestdistribution=latest", NULL };
	struct workload w;
	struct kv_msg why;

	(void)state;
	assert_int_equal(read_text("recordcount=5000\nfieldlengthdistribution=zipfian\n"
				   "recordcount=6000\n",
				   &w, &why),
			 0);
	assert_int_equal(w.record_count, 6000); /* the last one wins, as in Java */
	set_all(&w, settings);
	assert_int_equal(workload_check(&w, &why), 0);
	assert_int_equal(w.record_count, 7);
	assert_int_equal(w.insert_count, 7);
	assert_int_equal(w.request, DIST_LATEST);
	assert_int_equal(w.field_count, 1);
	assert_int_equal(w.field_length, 64);
	assert_int_equal(w.field_length_distribution, LENGTH_CONSTANT);
}

static void test_every_name_of_a_distribution(void **state)
{
	static const struct {
		const char *setting;
		enum distribution is;
	} c[] = {
		{ "requestdistribution=uniform", DIST_UNIFORM },
		{ "requestdistribution=zipfian", DIST_YCSB_ZIPFIAN },
		{ "requestdistribution=ycsb-zipfian", DIST_YCSB_ZIPFIAN },
		{ "requestdistribution=zipf", DIST_ZIPF },
		{ "requestdistribution=latest", DIST_LATEST },
		{ "requestdistribution=hotspot", DIST_HOTSPOT },
		{ "requestdistribution=exponential", DIST_EXPONENTIAL },
		{ "requestdistribution=sequential", DIST_SEQUENTIAL },
	};
	struct workload w = preset("a");
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		assert_int_equal(workload_set(&w, c[i].setting, &why), 0);
		assert_int_equal(w.request, c[i].is);
	}
}

/* What is printed, set again, prints the same: nothing is lost on the way. */
static void test_printed_properties_read_back(void **state)
{
	struct kv_buf first = { 0 }, second = { 0 };
	size_t i;

	(void)state;
	for (i = 0; workload_preset_name(i); i++) {
		struct workload w = preset(workload_preset_name(i)), again;
		struct kv_msg why;

		check_and_print(&w, &first);
		if (read_text(first.data, &again, &why))
			fail_msg("%s: %s", w.name, why.text);
		check_and_print(&again, &second);
		assert_string_equal(first.data, second.data);
	}
	kv_buf_free(&first);
	kv_buf_free(&second);
}

static void test_every_property_has_a_default_that_it_takes(void **state)
{
	const struct workload_property *p;
	struct workload w = preset("a");
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; (p = workload_property(i)); i++) {
		assert_true(p->name[0] && p->help[0]);
		if (*p->init && ycsb_property_set(&w, p->name, p->init, &why))
			fail_msg("%s", why.text);
	}
	assert_true(i > 50);
}

/* ---- what is refused ---- */

static void test_unknown_property_names_the_nearest_and_the_line(void **state)
{
	struct workload w;
	struct kv_msg why;

	(void)state;
	assert_int_equal(
		read_text("# workload\nrecordcount=10\n\nreadpropotion=1\n", &w, &why),
		-EINVAL);
	assert_string_equal(
		why.text,
		"4: unknown property \"readpropotion\"; the nearest known one is "
		"readproportion");
	assert_int_equal(read_text("recordcount=\\\n10\nRecordCount=5", &w, &why),
			 -EINVAL);
	assert_string_equal(why.text,
			    "3: unknown property \"RecordCount\"; the nearest known one "
			    "is recordcount");
	w = preset("a");
	assert_int_equal(workload_set(&w, "maxscanlenght=5", &why), -EINVAL);
	assert_string_equal(
		why.text, "unknown property \"maxscanlenght\"; the nearest known one is "
			  "maxscanlength");
	assert_int_equal(workload_set(&w, "=5", &why), -EINVAL);
	assert_int_equal(workload_set(&w, "recordcount", &why), -EINVAL);
	assert_string_equal(why.text, "a property is name=value, not \"recordcount\"");
}

static void test_unknown_preset_names_the_nearest(void **state)
{
	struct workload w;
	struct kv_msg why;

	(void)state;
	assert_int_equal(workload_preset("delte", &w, &why), -EINVAL);
	assert_non_null(strstr(why.text, "\"delte\", nearest is delete"));
	assert_non_null(strstr(why.text, "timeseries"));
}

static void test_not_supported_says_what_is(void **state)
{
	static const char *const c[][2] = {
		{ "workload=site.ycsb.workloads.TimeSeriesWorkload",
		  "1: workload=site.ycsb.workloads.TimeSeriesWorkload is not supported: the "
		  "workload class: only CoreWorkload, by its new or its old package" },
		{ "fieldlengthdistribution=histogram",
		  "1: fieldlengthdistribution=histogram is not supported; choose one of "
		  "constant|uniform|zipfian" },
		{ "keyprefix=item",
		  "1: keyprefix=item is not supported: keys begin with \"user\": no other" },
		{ "dotransactions=false",
		  "1: dotransactions=false is not supported: true only; \"kvbench load\" is "
		  "YCSB's dotransactions=false" },
		{ "measurementtype=raw",
		  "1: measurementtype=raw is not supported: histograms and a series by the "
		  "second, always; raw: not supported" },
	};
	struct workload w;
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		assert_int_equal(read_text(c[i][0], &w, &why), -EOPNOTSUPP);
		assert_string_equal(why.text, c[i][1]);
	}
}

/* Of another class's file the class is what is wrong, not its first strange property. */
static void test_class_is_judged_before_its_properties(void **state)
{
	struct workload w;
	struct kv_msg why;

	(void)state;
	assert_int_equal(
		read_text("tagcount=4\nworkload=site.ycsb.workloads.Other\n", &w, &why),
		-EOPNOTSUPP);
	assert_int_equal(strncmp(why.text, "2: workload=", 12), 0);
}

static void test_values_out_of_range(void **state)
{
	static const char *const c[][2] = {
		{ "recordcount=0", "recordcount is a whole number from 1 to " },
		{ "recordcount=-5", "not \"-5\"" },
		{ "recordcount=1e6", "not \"1e6\"" },
		{ "recordcount= 5", "not \" 5\"" },
		{ "recordcount=5 ", "not \"5 \" (with blanks at its end)" },
		{ "recordcount=99999999999999999999999",
		  "recordcount is a whole number" },
		{ "recordcount=", "not \"\"" },
		{ "fieldcount=0", "fieldcount is a whole number from 1 to 65535" },
		{ "fieldcount=4294967297", "fieldcount is a whole number" },
		{ "fieldlength=1073741825", "fieldlength is a whole number" },
		{ "threadcount=5000", "threadcount is a whole number from 0 to 4096" },
		{ "readproportion=-0.1", "readproportion is a number from 0 to 1e+06" },
		{ "readproportion=nan", "not \"nan\"" },
		{ "readproportion=inf", "not \"inf\"" },
		{ "readproportion=0x1", "not \"0x1\"" },
		{ "readproportion=0.5.5", "not \"0.5.5\"" },
		{ "readproportion=", "not \"\"" },
		{ "readproportion=1e999", "not \"1e999\"" },
		{ "hotspotdatafraction=1.5",
		  "hotspotdatafraction is a number from 0 to 1" },
		{ "zipftheta=0", "zipftheta is a number from 0.001 to 10" },
		{ "exponential.percentile=100", "exponential.percentile is a number" },
		{ "readallfields=yes", "readallfields is true or false, not \"yes\"" },
		{ "readallfields=true ", "(with blanks at its end)" },
		{ "requestdistribution=zipfain",
		  "requestdistribution is one of "
		  "uniform|zipfian|zipf|latest|hotspot|exponential|sequential, not "
		  "\"zipfain\"" },
		{ "insertorder=sorted", "insertorder is one of hashed|ordered" },
		{ "scanlengthdistribution=constant",
		  "scanlengthdistribution is one of uniform|zipfian" },
		{ "valuesize=1073741825",
		  "valuesize is a number of bytes up to 1073741824" },
		{ "valuesize=1k", "not \"1k\"" },
		{ "fieldnameprefix=a b",
		  "fieldnameprefix has up to 31 letters without blanks" },
		{ "fieldnameprefix=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "up to 31 letters" },
	};
	struct workload w = preset("a"), before = w;
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		if (workload_set(&w, c[i][0], &why) != -EINVAL)
			fail_msg("%s was taken", c[i][0]);
		if (!strstr(why.text, c[i][1]))
			fail_msg("%s: %s", c[i][0], why.text);
		assert_memory_equal(&w, &before, sizeof(w));
	}
}

static void test_last_check_finds_contradictions(void **state)
{
	static const struct {
		const char *settings[4];
		const char *want;
	} c[] = {
		{ { "recordcount=10", "insertstart=10" },
		  "insertstart + insertcount (10 + 0) is beyond recordcount (10)" },
		{ { "recordcount=10", "insertstart=5", "insertcount=6" },
		  "insertstart + insertcount (5 + 6) is beyond recordcount (10)" },
		{ { "fieldcount=65535", "fieldlength=1000000" },
		  "fieldcount=65535 of fieldlength=1000000 make records of over 1 GiB" },
		{ { "dataintegrity=true", "fieldlengthdistribution=uniform" },
		  "dataintegrity=true needs fieldlengthdistribution=constant" },
		{ { "fieldlengthdistribution=uniform", "minfieldlength=101" },
		  "minfieldlength=101 is above fieldlength=100" },
		{ { "readproportion=0", "updateproportion=0" },
		  "every proportion is 0: there is nothing to do" },
		{ { "scanproportion=1", "minscanlength=9", "maxscanlength=8" },
		  "minscanlength=9, maxscanlength=8: no scan is that long" },
		{ { "scanproportion=1", "minscanlength=0" },
		  "minscanlength=0, maxscanlength=1000: no scan is that long" },
	};
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct workload w = preset("a");

		set_all(&w, c[i].settings);
		assert_int_equal(workload_check(&w, &why), -EINVAL);
		assert_string_equal(why.text, c[i].want);
	}
}

/* Checked, made larger, checked again: what follows from the rest follows it. */
static void test_implied_insert_count_follows_later_changes(void **state)
{
	static const char *const larger[] = { "recordcount=100", NULL };
	static const char *const start[] = { "insertstart=40", NULL };
	static const char *const own[] = { "insertcount=5", NULL };
	struct workload w = preset("a");
	struct kv_msg why;

	(void)state;
	assert_int_equal(workload_check(&w, &why), 0);
	assert_int_equal(w.insert_count, 1000);
	set_all(&w, larger);
	assert_int_equal(workload_check(&w, &why), 0);
	assert_int_equal(w.insert_count, 100);
	set_all(&w, start);
	assert_int_equal(workload_check(&w, &why), 0);
	assert_int_equal(w.insert_count, 60);
	set_all(&w, own);
	assert_int_equal(workload_check(&w, &why), 0);
	assert_int_equal(w.insert_count, 5);
}

static int no_memory_is_left(void **state)
{
	(void)state;
	return port_fault_live() != 0;
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
		cmocka_unit_test(test_separators_and_blanks),
		cmocka_unit_test(test_comments_and_empty_lines),
		cmocka_unit_test(test_line_ends_of_every_system),
		cmocka_unit_test(test_continuation_lines),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_malformed_text_is_refused_with_its_line),
		cmocka_unit_test(test_callback_ends_the_reading),
		cmocka_unit_test(test_out_of_memory_at_every_allocation),
		cmocka_unit_test(test_files_that_cannot_be_read),
		cmocka_unit_test(test_official_files_equal_the_presets),
		cmocka_unit_test(test_template_of_every_property),
		cmocka_unit_test(test_every_property_reaches_its_field),
		cmocka_unit_test(test_settings_over_a_file),
		cmocka_unit_test(test_every_name_of_a_distribution),
		cmocka_unit_test(test_printed_properties_read_back),
		cmocka_unit_test(test_every_property_has_a_default_that_it_takes),
		cmocka_unit_test(test_unknown_property_names_the_nearest_and_the_line),
		cmocka_unit_test(test_unknown_preset_names_the_nearest),
		cmocka_unit_test(test_not_supported_says_what_is),
		cmocka_unit_test(test_class_is_judged_before_its_properties),
		cmocka_unit_test(test_values_out_of_range),
		cmocka_unit_test(test_last_check_finds_contradictions),
		cmocka_unit_test(test_implied_insert_count_follows_later_changes),
		cmocka_unit_test(test_name_is_a_preset_before_it_is_a_file),
	};

	return cmocka_run_group_tests_name("properties", tests, NULL, no_memory_is_left);
}
