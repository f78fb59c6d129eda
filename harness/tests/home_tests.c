/* SPDX-License-Identifier: MIT */
/*
 * home_tests.c - engines on the home that their label names: what labels may say, and that
 * a run and a bench take it there, count its syncs and tell of it.
 */
#include "command_fixture.h"

#include "../engine_label.h"
#include "../results/results.h"

#include "../../sprint-2-hash-storage/env.h"

static bool has_uring(void)
{
	struct kv_msg why = { "" };
	struct env *env;
	bool has = !env_uring(&env, &why);

	if (!has)
		print_message("%s\n", why.text);
	return has;
}

/* ---- labels ---- */

static void test_label_names_home_and_options(void **state)
{
	static const struct {
		const char *label, *home, *options;
	} right[] = {
		{ "hash", "", "" },
		{ "hash:map=off", "", "map=off" },
		{ "hash@posix", "posix", "" },
		{ "hash@uring:map=off:leaf=64", "uring", "map=off,leaf=64" },
	};
	struct engine_label e;
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(engine_label_parse(right[i].label, &e, &why), 0);
		assert_string_equal(e.info->name, "hash");
		assert_string_equal(e.home, right[i].home);
		assert_string_equal(e.options, right[i].options);
	}
}

static void test_label_with_a_wrong_home_is_refused(void **state)
{
	static const struct {
		const char *label, *reason;
	} wrong[] = {
		{ "lmdb@uring", "its own way" }, { "array@posix", "its own way" },
		{ "hash@", "posix or uring" },   { "hash@a-very-long-name", "posix or" },
		{ "has@uring", "nearest" },      { "hash@:map=off", "posix or uring" },
	};
	struct engine_label e;
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(engine_label_parse(wrong[i].label, &e, &why), -EINVAL);
		assert_non_null(strstr(why.text, wrong[i].reason));
	}
	assert_int_equal(engine_label_parse("hash@moon", &e, &why), 0);
	assert_int_equal(engine_label_check(&e, &why), -EINVAL);
	assert_non_null(strstr(why.text, "moon"));
}

static void test_options_of_a_label_tell_the_home(void **state)
{
	static const char *const label[] = { "hash", "hash@uring", "array" };
	static const char *const home[] = { "posix", "uring", NULL };
	struct engine_label e;
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		const char *told;
		json_t *o;

		assert_int_equal(engine_label_parse(label[i], &e, &why), 0);
		o = engine_label_json(&e);
		told = json_string_value(
			json_object_get(json_object_get(o, "options"), "home"));
		assert_true(home[i] ? told && !strcmp(told, home[i]) : !told);
		json_decref(o);
	}
}

/* ---- runs ---- */

static json_int_t number(const json_t *o, const char *a, const char *b, const char *c,
			 const char *d)
{
	const char *const path[] = { a, b, c, d };
	size_t i;

	for (i = 0; i < 4 && path[i]; i++)
		o = json_object_get(o, path[i]);
	return json_is_integer(o) ? json_integer_value(o) : -1;
}

/* One replicate of 300 synced updates by one thread: as many syncs, or a few more that
 * made room for them. */
static void expect_replicate(const json_t *r, const char *home_stat)
{
	json_int_t syncs = number(r, "run", "usage", "syncs", "fdatasync");

	assert_int_equal(number(r, "stats", home_stat, NULL, NULL), 1);
	assert_string_equal(json_string_value(json_object_get(r, "content")), "equal");
	assert_int_equal(number(r, "run", "ops", NULL, NULL), 300);
	assert_in_range(syncs, 300, 400);
}

#define UPDATES                                                                       \
	"-w", "a", "-p", "readproportion=0", "-p", "updateproportion=1", "--records", \
		"200", "--ops", "300", "--value", "50", "-d", "sync"

static void expect_run(const char *engine, const char *home_stat)
{
	json_t *r;

	RUN("run", "-e", engine, UPDATES, "--dir", scratch, "--json",
	    in_scratch("result"));
	expect_code(0);
	r = json_load_file(in_scratch("result"), 0, NULL);
	assert_non_null(r);
	expect_replicate(r, home_stat);
	json_decref(r);
}

static void test_run_takes_the_engine_to_its_home(void **state)
{
	(void)state;
	expect_run("hash", "home_posix");
	expect_run("hash@posix", "home_posix");
	if (has_uring())
		expect_run("hash@uring", "home_uring");
}

static void test_bench_races_one_engine_on_two_homes(void **state)
{
	static const char *const stat[] = { "home_posix", "home_uring" };
	struct kv_msg why = { "" };
	const json_t *cell;
	json_t *set;
	size_t i;

	(void)state;
	if (!has_uring())
		skip();
	RUN("bench", "-e", "hash,hash@uring", "-b", "hash", UPDATES, "--replicates", "1",
	    "--warmup", "0", PLACES);
	expect_code(0);
	if (results_load(in_scratch("out"), &set, &why))
		fail_msg("%s", why.text);
	assert_int_equal(json_array_size(json_object_get(set, "cells")), 2);
	json_array_foreach(json_object_get(set, "cells"), i, cell)
	{
		expect_replicate(json_array_get(json_object_get(cell, "replicates"), 0),
				 stat[i]);
	}
	json_decref(set);
	read_text(in_scratch("out/report.md"), it.out);
	expect_in(it.out, "hash@uring");
	expect_in(it.out, "home=uring");
	expect_in(it.out, "home=posix");
}

static void test_home_that_is_none_ends_with_advice(void **state)
{
	(void)state;
	RUN("run", "-e", "hash@moon", UPDATES, "--dir", scratch);
	expect_code(2);
	expect_in(it.err, "unknown home \"moon\"");
	RUN("bench", "-e", "lmdb@uring", UPDATES, PLACES);
	expect_code(2);
	expect_in(it.err, "its own way to files");
}

static void test_doctor_says_whether_there_is_io_uring(void **state)
{
	(void)state;
	RUN("doctor", "--dir", scratch);
	expect_in(it.out, has_uring() ? "NAME@uring" : "io_uring");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_label_names_home_and_options),
		TEST(test_label_with_a_wrong_home_is_refused),
		TEST(test_options_of_a_label_tell_the_home),
		TEST(test_run_takes_the_engine_to_its_home),
		TEST(test_bench_races_one_engine_on_two_homes),
		TEST(test_home_that_is_none_ends_with_advice),
		TEST(test_doctor_says_whether_there_is_io_uring),
	};

	RUN_TESTS(tests);
}
