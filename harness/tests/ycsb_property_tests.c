/* SPDX-License-Identifier: MIT */
/*
 * ycsb_property_tests.c - what each of YCSB's properties sets, and what is said of one that
 * is unknown, out of range or not supported.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../workload/ycsb_property.h"
#include "properties_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_every_property_reaches_its_field),
		LEAK_CHECKED(test_settings_over_a_file),
		LEAK_CHECKED(test_every_name_of_a_distribution),
		LEAK_CHECKED(test_printed_properties_read_back),
		LEAK_CHECKED(test_every_property_has_a_default_that_it_takes),
		LEAK_CHECKED(test_unknown_property_names_the_nearest_and_the_line),
		LEAK_CHECKED(test_unknown_preset_names_the_nearest),
		LEAK_CHECKED(test_not_supported_says_what_is),
		LEAK_CHECKED(test_class_is_judged_before_its_properties),
		LEAK_CHECKED(test_values_out_of_range),
		LEAK_CHECKED(test_last_check_finds_contradictions),
		LEAK_CHECKED(test_implied_insert_count_follows_later_changes),
	};

	return cmocka_run_group_tests_name("YCSB's properties", tests, NULL, NULL);
}
