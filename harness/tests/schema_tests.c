/* SPDX-License-Identifier: MIT */
/*
 * schema_tests.c - whatever is damaged in a result set is refused with its place, and the
 * published schema says the same of it.
 */
#include "result_set_fixture.h"

#include <sys/wait.h>

/*
 * Every value of a set in turn is left out, or takes each of a list of others; every
 * object gets a member that no one knows.
 */

struct damage {
	json_t *set; /* damaged */
	char path[256];
	const char *what; /* "missing", "unknown" or "other" */
	FILE *verdicts;   /* where to write the set and whether it passes; or NULL */
	size_t refused, taken, listed;
	char may_be_missing[1024]; /* paths whose loss was taken, each ended by a space */
};

static const char others[] =
	"[null, true, -1, 0, 7, 3.5, 'x', '0123456789abcdef', [], {}]";

/* The set as it now stands: refused with its place, or taken. */
static void judge(struct damage *d)
{
	struct kv_msg why = { "" };
	int error = results_check(d->set, &why);
	bool at_root = !strcmp(d->path, "schema") || !strcmp(d->path, "cells");

	d->refused += error != 0;
	d->taken += !error;
	if (!error && !strcmp(d->what, "missing"))
		d->listed += (size_t)snprintf(d->may_be_missing + d->listed,
					      sizeof(d->may_be_missing) - d->listed,
					      "%s ", d->path);
	if (error && !at_root && strncmp(why.text, d->path, strlen(d->path)))
		fail_msg("%s %s: \"%s\"", d->what, d->path, why.text);
	if (error && !at_root && !strcmp(d->what, "missing") &&
	    strcmp(why.text + strlen(d->path), " is missing"))
		fail_msg("%s %s: \"%s\"", d->what, d->path, why.text);
	if (d->verdicts) {
		(void)fputs(error ? "0 " : "1 ", d->verdicts);
		(void)json_dumpf(d->set, d->verdicts, JSON_COMPACT);
		(void)fputc('\n', d->verdicts);
	}
}

static size_t enter(struct damage *d, const char *name)
{
	size_t n = strlen(d->path);

	(void)snprintf(d->path + n, sizeof(d->path) - n, "%s%s", n ? "." : "", name);
	return n;
}

static void damage_each(struct damage *d, json_t *in);

static void damage_member(struct damage *d, json_t *in, const char *name)
{
	json_t *value = json_incref(json_object_get(in, name)), *list = parse(others), *v;
	size_t n = enter(d, name), i;

	d->what = "other";
	json_array_foreach(list, i, v)
	{
		json_object_set(in, name, v);
		judge(d);
	}
	d->what = "missing";
	json_object_del(in, name);
	judge(d);
	json_object_set(in, name, value);
	damage_each(d, value);
	d->path[n] = '\0';
	json_decref(value);
	json_decref(list);
}

static void damage_element(struct damage *d, json_t *in, size_t index)
{
	json_t *value = json_incref(json_array_get(in, index)), *list = parse(others), *v;
	size_t n = strlen(d->path), i;

	(void)snprintf(d->path + n, sizeof(d->path) - n, "[%zu]", index);
	d->what = "other";
	json_array_foreach(list, i, v)
	{
		json_array_set(in, index, v);
		judge(d);
	}
	json_array_set(in, index, value);
	damage_each(d, value);
	d->path[n] = '\0';
	json_array_remove(in, index); /* the list itself is another's length now */
	judge(d);
	json_array_insert(in, index, value);
	json_decref(value);
	json_decref(list);
}

static void damage_each(struct damage *d, json_t *in)
{
	json_t *v, *copy = json_copy(in);
	const char *name;
	size_t i;

	json_array_foreach(copy, i, v) damage_element(d, in, i);
	json_object_foreach(copy, name, v) damage_member(d, in, name);
	if (json_is_object(in)) {
		size_t n = enter(d, "nobody_knows");

		d->what = "unknown";
		json_object_set_new(in, "nobody_knows", json_string("7"));
		judge(d);
		json_object_del(in, "nobody_knows");
		d->path[n] = '\0';
	}
	json_decref(copy);
}

static void test_damage_is_refused_with_its_place(void **state)
{
	struct damage d = { .set = set_new() };
	json_t *before = json_deep_copy(d.set);

	(void)state;
	damage_each(&d, d.set);
	assert_true(json_equal(d.set, before)); /* each was mended */
	assert_int_equal(results_check(d.set, NULL), 0);
	assert_true(d.refused > 1500);
	assert_true(d.taken > 100);
	/* All that a set may lack: two settings, and what maps hold. */
	assert_string_equal(
		d.may_be_missing,
		"fingerprint.more settings.seconds "
		"settings.value_compressibility "
		"workloads[0].properties.recordcount "
		"engines[0].options.memory_bytes engines[0].options.mode crossing "
		"cells[0].replicates[0].load.usage.perf.task-clock "
		"cells[0].replicates[0].run.latency.all "
		"cells[0].replicates[0].run.latency.read "
		"cells[0].replicates[0].run.usage.perf.task-clock "
		"cells[0].replicates[0].settle.usage.perf.task-clock "
		"cells[0].replicates[0].stats.splits "
		"cells[0].replicates[0].stats.cache hits ");
	json_decref(before);
	json_decref(d.set);
}

static void test_sentences_about_damage(void **state)
{
	static const struct {
		const char *member, *json, *sentence;
	} is[] = {
		{ "ops", "-1", "run.ops is negative" },
		{ "ops", "2.5", "run.ops is not a whole number" },
		{ "seconds", "'2'", "run.seconds is not a number" },
		{ "series", "[[1, 2, 3], [1, 2]]", "run.series[1] has another length" },
		{ "series", "7", "run.series is not a list" },
		{ "latency", "{'all': 3}", "run.latency.all is not an object" },
		{ "stream", "1", "run.stream is not known" },
	};
	struct kv_msg why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
		json_t *r = replicate_new(), *list;
		char wrapped[128];

		(void)snprintf(wrapped, sizeof(wrapped), "[%s]", is[i].json);
		list = parse(wrapped);
		json_object_set(at(r, "run"), is[i].member, json_array_get(list, 0));
		assert_int_equal(results_check_replicate(r, &why), -EBADMSG);
		assert_string_equal(why.text, is[i].sentence);
		json_decref(list);
		json_decref(r);
	}
}

/* A path longer than any message is cut, not run over. */
static void test_long_names_in_a_damaged_set(void **state)
{
	json_t *r = replicate_new(), *stats = at(r, "stats");
	struct kv_msg why;
	char name[1000];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	json_object_set_new(stats, name, json_string("no number"));
	assert_int_equal(results_check_replicate(r, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "nnn is not a whole number"));
	json_decref(r);
}

/* The published schema, by another's implementation, comes to the same verdicts. */
static void test_schema_file_agrees_about_all_damage(void **state)
{
	struct damage d = { .set = set_new() };
	char command[512];
	int status;

	(void)state;
	assert_int_equal(access("docs/results.schema.json", R_OK), 0); /* from the top */
	d.verdicts = fopen(in_scratch("verdicts"), "we");
	assert_non_null(d.verdicts);
	d.what = "as it is";
	judge(&d);
	assert_int_equal(d.taken, 1);
	damage_each(&d, d.set);
	assert_int_equal(fclose(d.verdicts), 0);
	json_decref(d.set);
	(void)snprintf(command, sizeof(command),
		       "python3 harness/tests/data/schema_verdicts.py "
		       "docs/results.schema.json '%s'",
		       in_scratch("verdicts"));
	(void)fflush(NULL);
	status = system(command);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127) {
		print_message("skipped: python3-jsonschema is not installed\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_result, drop_result)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_damage_is_refused_with_its_place),
		TEST(test_sentences_about_damage),
		TEST(test_long_names_in_a_damaged_set),
		TEST(test_schema_file_agrees_about_all_damage),
	};

	return cmocka_run_group_tests_name("schema", tests, make_scratch, drop_scratch);
}
