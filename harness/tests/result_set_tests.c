/* SPDX-License-Identifier: MIT */
/*
 * result_set_tests.c - what a replicate becomes as a document, and that files bring back
 * what was saved.
 */
#include "result_set_fixture.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- a replicate ---- */

static void check_phase(const json_t *r, const char *phase, unsigned int n)
{
	static const struct {
		const char *path;
		unsigned int more;
	} is[] = { { "ops", 1 },
		   { "failed_ops", 2 },
		   { "missing_reads", 3 },
		   { "logical_bytes_written", 4 },
		   { "logical_bytes_read", 5 },
		   { "usage.cpu_user_ns", 6 },
		   { "usage.cpu_system_ns", 7 },
		   { "usage.switches_voluntary", 8 },
		   { "usage.switches_involuntary", 9 },
		   { "usage.faults_minor", 10 },
		   { "usage.faults_major", 11 },
		   { "usage.device_read_bytes", 12 },
		   { "usage.device_write_bytes", 13 },
		   { "usage.syncs.fsync", 14 },
		   { "usage.syncs.fdatasync", 15 },
		   { "usage.syncs.msync", 16 },
		   { "usage.syncs.osync_write", 17 },
		   { "usage.syncs.sync_file_range", 18 },
		   { "usage.perf.task-clock", 19 } };
	char number[32];
	size_t i;

	for (i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
		(void)snprintf(number, sizeof(number), "%u", n + is[i].more);
		check_at(at(r, phase), is[i].path, number);
	}
	(void)snprintf(number, sizeof(number), "%u.5", n);
	check_at(at(r, phase), "seconds", number);
	check_at(at(r, phase), "usage.device_source", "\"/proc/self/io\"");
	check_at(at(r, phase), "usage.perf_hardware", "false");
	check_at(at(r, phase), "usage.perf_note", "\"no hardware\"");
}

static void test_replicate_says_what_was_measured(void **state)
{
	json_t *r = replicate_new();

	(void)state;
	check_phase(r, "load", 1000);
	check_phase(r, "run", 2000);
	check_phase(r, "settle", 3000);
	check_at(r, "replicate", "3");
	check_at(r, "order", "2");
	check_at(r, "seed", "42");
	check_at(r, "void", "\"\"");
	check_at(r, "partial", "false");
	check_at(r, "stream_digest", "\"0123456789abcdef\"");
	check_at(r, "content_digest", "\"fedcba9876543210\"");
	check_at(r, "content_expected", "\"00000000000000ff\"");
	check_at(r, "content", "\"equal\"");
	check_at(r, "content_records", "5");
	check_at(r, "live_bytes", "6");
	check_at(r, "space_bytes", "7");
	check_at(r, "space_settled_bytes", "8");
	check_at(r, "peak_rss_bytes", "9");
	check_at(r, "base_rss_bytes", "10");
	check_at(r, "open_seconds", "0.25");
	check_at(r, "close_seconds", "0.125");
	check_at(r, "recovery.records_replayed", "11");
	check_at(r, "recovery.bytes_dropped", "12");
	check_at(r, "thermal_after.celsius", "51.5");
	json_decref(r);
}

static void test_latencies_of_a_replicate(void **state)
{
	json_t *r = replicate_new();

	(void)state;
	check_at(r, "run.latency.all.buckets", "[[100,250]]");
	check_at(r, "run.latency.read.buckets", "[]");
	check_at(r, "run.latency.read.count", "250");
	check_at(r, "run.latency.all.mean_ns", "100.0");
	check_at(r, "run.latency.all.p50_ns", "100");
	check_at(r, "run.latency.all.p90_ns", "null"); /* 25 beyond are too few */
	check_at(r, "run.latency.all.max_ns", "100");
	check_at(r, "load.latency", "{}");
	check_at(r, "run.series", "[[240,100,100],[10,null,90]]");
	json_decref(r);
}

static void test_content_verdicts_have_words(void **state)
{
	static const char *const word[] = {
		[CONTENT_UNCHECKED] = "\"unchecked\"",
		[CONTENT_EQUAL] = "\"equal\"",
		[CONTENT_PLAUSIBLE] = "\"plausible\"",
		[CONTENT_DIFFERENT] = "\"different\"",
	};
	int v;

	(void)state;
	for (v = CONTENT_UNCHECKED; v <= CONTENT_DIFFERENT; v++) {
		json_t *r;

		result.content = (enum content_verdict)v;
		result.interrupted = v % 2;
		r = replicate_new();
		check_at(r, "content", word[v]);
		check_at(r, "partial", v % 2 ? "true" : "false");
		json_decref(r);
	}
}

static void test_counters_of_the_engine(void **state)
{
	json_t *r = replicate_new();

	(void)state;
	check_at(r, "stats.splits", "3");
	/* More than a JSON integer holds. */
	check_at(r, "stats.cache hits", "9223372036854775807");
	json_decref(r);
	result.stats[0] = '\0';
	r = replicate_new();
	check_at(r, "stats", "{}");
	json_decref(r);
}

/* A path of Latin-1 in a library's message must not cost the replicate. */
static void test_text_that_is_not_utf8(void **state)
{
	json_t *r;

	(void)state;
	(void)snprintf(result.content_note, sizeof(result.content_note),
		       "key caf\xe9 is lost");
	(void)snprintf(result.recovery.why.text, sizeof(result.recovery.why.text),
		       "/mnt/\xff/log: torn");
	r = replicate_new();
	check_at(r, "content_note", "\"key caf? is lost\"");
	check_at(r, "recovery.why", "\"/mnt/?/log: torn\"");
	json_decref(r);
}

/* ---- memory ---- */

static uint64_t allocations, fails_at;
static int64_t live;

static void *counted_malloc(size_t n)
{
	void *p = ++allocations == fails_at ? NULL : malloc(n);

	live += p != NULL;
	return p;
}

static void counted_free(void *p)
{
	live -= p != NULL;
	free(p);
}

static void test_out_of_memory_gives_all_or_nothing(void **state)
{
	json_t *whole = replicate_new(), *before, *after, *r;
	json_malloc_t saved_malloc;
	json_free_t saved_free;
	bool done = false;

	(void)state;
	json_get_alloc_funcs(&saved_malloc, &saved_free);
	for (fails_at = 1; !done; fails_at++) {
		json_set_alloc_funcs(counted_malloc, counted_free);
		allocations = fails_at; /* these two succeed */
		before = thermal();
		after = thermal();
		allocations = 0;
		r = results_replicate(&config, &result, 3, 2, before, after);
		done = allocations < fails_at;
		if (r)
			assert_true(json_equal(r, whole));
		else
			assert_false(done);
		json_decref(r);
		json_set_alloc_funcs(saved_malloc, saved_free);
		assert_int_equal(live, 0);
	}
	assert_true(fails_at > 100);
	json_decref(whole);
}

/* ---- files ---- */

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(in_scratch(name), "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* In all but the tenth digit of a measured time, which files leave out. */
static void check_same(const json_t *a, const json_t *b)
{
	char *x = json_dumps(a, JSON_REAL_PRECISION(9) | JSON_SORT_KEYS);
	char *y = json_dumps(b, JSON_REAL_PRECISION(9) | JSON_SORT_KEYS);

	assert_non_null(x);
	assert_non_null(y);
	assert_string_equal(x, y);
	free(x);
	free(y);
}

static void test_saved_set_comes_back_equal(void **state)
{
	json_t *set = set_new(), *again = NULL;
	struct kv_msg why = { "" };

	(void)state;
	if (results_check(set, &why))
		fail_msg("%s", why.text);
	assert_int_equal(results_save(set, in_scratch("results.json"), &why), 0);
	assert_int_equal(results_load(in_scratch("results.json"), &again, &why), 0);
	check_same(set, again);
	json_decref(again);
	assert_int_equal(results_load(scratch, &again, &why), 0); /* its directory */
	check_same(set, again);
	json_decref(again);
	assert_int_not_equal(access(in_scratch("results.json.tmp"), F_OK), 0);
	json_decref(set);
}

static void check_refused(const char *path, int error, const char *words)
{
	struct kv_msg why = { "" };
	json_t *set = NULL;
	int is = results_load(path, &set, &why);

	if (is != error || set || !strstr(why.text, words))
		fail_msg("%s: %d, \"%s\"", path, is, why.text);
}

static void test_what_is_no_set_is_refused(void **state)
{
	json_t *set = set_new();

	(void)state;
	check_refused(in_scratch("nowhere.json"), -ENOENT, "nowhere.json cannot be read");
	assert_int_equal(mkdir(in_scratch("empty"), 0755), 0);
	check_refused(in_scratch("empty"), -ENOENT, "empty/results.json cannot be read");
	write_file("bad.json", "{\n\"schema\": 1,\n!\n}");
	check_refused(in_scratch("bad.json"), -EBADMSG, "bad.json:3: not JSON");
	write_file("bad.json", "");
	check_refused(in_scratch("bad.json"), -EBADMSG, "not JSON");
	write_file("bad.json", "[1, 2]");
	check_refused(in_scratch("bad.json"), -EBADMSG, "not a result set");
	write_file("bad.json", "{\"schema\": 1}");
	check_refused(in_scratch("bad.json"), -EBADMSG, "not a result set");
	json_object_set_new(set, "schema", json_integer(2));
	assert_int_equal(results_save(set, in_scratch("bad.json"), NULL), 0);
	check_refused(in_scratch("bad.json"), -EPROTONOSUPPORT, "its schema is 2");
	json_decref(set);
}

/* Half of a file that was being copied. */
static void test_truncated_set_is_refused(void **state)
{
	json_t *set = set_new();
	struct stat st;
	off_t half;

	(void)state;
	assert_int_equal(results_save(set, in_scratch("cut.json"), NULL), 0);
	assert_int_equal(stat(in_scratch("cut.json"), &st), 0);
	for (half = st.st_size / 2; half < st.st_size - 2; half += 37) {
		assert_int_equal(results_save(set, in_scratch("cut.json"), NULL), 0);
		assert_int_equal(truncate(in_scratch("cut.json"), half), 0);
		check_refused(in_scratch("cut.json"), -EBADMSG, "not JSON");
	}
	json_decref(set);
}

static void test_save_that_cannot_says_where(void **state)
{
	json_t *set = set_new();
	struct kv_msg why = { "" };

	(void)state;
	assert_int_equal(results_save(set, in_scratch("no/such/dir.json"), &why),
			 -ENOENT);
	assert_non_null(strstr(why.text, "no/such/dir.json cannot be written"));
	json_decref(set);
}

/* A disk that fills up: the limit on a file's size fails a write in the same way. */
static void test_full_disk_leaves_the_set_before(void **state)
{
	json_t *set = set_new(), *again = NULL;
	struct kv_msg why = { "" };
	struct rlimit saved, small;

	(void)state;
	assert_int_equal(results_save(set, in_scratch("kept.json"), &why), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
	small = saved;
	small.rlim_cur = 1000;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	json_object_set_new(set, "name", json_string("another"));
	assert_int_equal(results_save(set, in_scratch("kept.json"), &why), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
	assert_non_null(strstr(why.text, "kept.json cannot be written"));
	assert_int_not_equal(access(in_scratch("kept.json.tmp"), F_OK), 0);
	assert_int_equal(results_load(in_scratch("kept.json"), &again, &why), 0);
	check_at(again, "name", "\"n\"");
	json_decref(again);
	json_decref(set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_result, drop_result)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_replicate_says_what_was_measured),
		TEST(test_latencies_of_a_replicate),
		TEST(test_content_verdicts_have_words),
		TEST(test_counters_of_the_engine),
		TEST(test_text_that_is_not_utf8),
		TEST(test_out_of_memory_gives_all_or_nothing),
		TEST(test_saved_set_comes_back_equal),
		TEST(test_what_is_no_set_is_refused),
		TEST(test_truncated_set_is_refused),
		TEST(test_save_that_cannot_says_where),
		TEST(test_full_disk_leaves_the_set_before),
	};

	return cmocka_run_group_tests_name("result sets", tests, make_scratch,
					   drop_scratch);
}
