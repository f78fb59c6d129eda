/* SPDX-License-Identifier: MIT */
/*
 * runner_tests.c - a replicate does what it was asked for, to the operation and to the
 * thread; whoever stalls, fails or is interrupted shows in its result.
 */
#include "planted_engine.h"

static uint64_t kinds_sum(const struct run_phase *p)
{
	uint64_t sum = 0;
	size_t kind;

	for (kind = 0; kind < OP_KINDS; kind++)
		sum += p->latency[kind] ? p->latency[kind]->count : 0;
	return sum;
}

/* ---- counts ---- */

static void test_phases_do_exactly_their_operations(void **state)
{
	struct run_config c = MAKE("a", "recordcount=500", "operationcount=1000");
	struct run_result r;

	(void)state;
	c.warmup_ops = 300;
	run_ok(&c, &r);
	assert_int_equal(r.load.ops, 500);
	assert_int_equal(r.load.latency[OP_INSERT]->count, 500);
	assert_int_equal(r.run.ops, 1000);
	assert_int_equal(r.run.latency_all->count, 1000);
	assert_int_equal(kinds_sum(&r.run), 1000);
	assert_int_equal(r.run.missing_reads, 0);
	/* The content check asks for each record once more. */
	assert_int_equal(plant.puts + plant.gets, 500 + 300 + 1000 + 500);
	assert_int_equal(plant.syncs, 2);
	assert_int_equal(plant.compacts, 1);
	assert_int_equal(r.content, CONTENT_EQUAL);
	assert_int_equal(r.content_records, 500);
	assert_int_equal(r.content_digest, r.content_expected);
	assert_false(r.interrupted);
	assert_true(r.load.seconds > 0 && r.run.seconds > 0);
	run_result_free(&r);
}

static void test_bytes_are_those_of_keys_and_values(void **state)
{
	struct run_config c =
		MAKE("c", "recordcount=200", "operationcount=50", "fieldlength=33");
	struct run_result r;
	uint64_t keys = 0, i;
	char key[RECORD_KEY_MAX];

	(void)state;
	run_ok(&c, &r);
	for (i = 0; i < 200; i++)
		keys += record_key(&c.workload, i, key);
	assert_int_equal(r.load.logical_bytes_written, keys + 200 * 33);
	assert_int_equal(r.live_bytes, keys + 200 * 33);
	assert_int_equal(r.run.logical_bytes_written, 0);
	assert_in_range(r.run.logical_bytes_read, 50 * (4 + 33), 50 * (24 + 33));
	assert_null(r.run.latency[OP_UPDATE]);
	run_result_free(&r);
}

static void test_load_only_and_existing_leave_out_the_other(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=100");
	struct run_result r;

	(void)state;
	c.load_only = true;
	run_ok(&c, &r);
	assert_int_equal(r.load.ops, 100);
	assert_int_equal(r.run.ops, 0);
	assert_int_equal(r.content, CONTENT_EQUAL);
	run_result_free(&r);
	c.load_only = false;
	c.use_existing = true;
	run_ok(&c, &r);
	assert_int_equal(r.load.ops, 0);
	assert_int_equal(r.run.ops, 100);
	/* Nothing was loaded, and an array keeps nothing between runs. */
	assert_true(r.run.missing_reads > 0);
	assert_int_equal(r.content, CONTENT_UNCHECKED);
	assert_non_null(strstr(r.content_note, "before this run"));
	run_result_free(&r);
}

static void test_levels_and_options_reach_the_engine(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=100",
				   "readproportion=0", "updateproportion=1");
	struct run_result r;

	(void)state;
	c.durability = KV_GROUP;
	c.warmup_ops = 20;
	c.memory_bytes = 12345678;
	c.engine_options = "colour=9";
	run_ok(&c, &r);
	assert_int_equal(plant.at_level[KV_NONE], 100); /* the load */
	assert_int_equal(plant.at_level[KV_GROUP], 120);
	assert_int_equal(plant.at_level[KV_SYNC], 0);
	assert_int_equal(plant.opt[OPT_MEMORY], 12345678);
	assert_int_equal(plant.opt[OPT_DURABILITY], KV_GROUP);
	assert_int_equal(plant.opt[OPT_COLOUR], 9);
	assert_string_equal(r.stats, "rabbits 3\nhats 18446744073709551615\n");
	assert_int_equal(r.recovery.records_replayed, 12);
	assert_string_equal(r.recovery.why.text, "a torn tail");
	run_result_free(&r);
	c.engine_options = "memory_bytes=5,colour=9"; /* a person's word is the last */
	run_ok(&c, &r);
	assert_int_equal(plant.opt[OPT_MEMORY], 5);
	run_result_free(&r);
}

/* ---- streams ---- */

static void test_seed_decides_the_stream_and_the_content(void **state)
{
	struct run_config c = MAKE("a", "recordcount=300", "operationcount=600");
	struct run_result a, b, other;

	(void)state;
	run_ok(&c, &a);
	run_ok(&c, &b);
	c.workload.seed = 43;
	run_ok(&c, &other);
	assert_int_equal(a.stream_digest, b.stream_digest);
	assert_int_equal(a.content_digest, b.content_digest);
	assert_int_not_equal(a.stream_digest, other.stream_digest);
	assert_int_not_equal(a.content_digest, other.content_digest);
	run_result_free(&a);
	run_result_free(&b);
	run_result_free(&other);
}

static void test_engine_does_not_change_the_stream(void **state)
{
	struct run_config c = MAKE("a", "recordcount=300", "operationcount=600");
	struct run_result planted, array;

	(void)state;
	run_ok(&c, &planted);
	c.engine = &engine_array;
	run_ok(&c, &array);
	assert_int_equal(planted.stream_digest, array.stream_digest);
	assert_int_equal(planted.content_digest, array.content_digest);
	run_result_free(&planted);
	run_result_free(&array);
}

/* ---- time ---- */

static void test_run_ends_by_time(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=0");
	struct run_result r;

	(void)state;
	c.seconds = 0.2;
	run_ok(&c, &r);
	assert_true(r.run.ops > 0);
	assert_true(r.run.seconds >= 0.2);
	assert_int_equal(r.content, CONTENT_EQUAL);
	run_result_free(&r);
}

static void test_run_ends_by_maxexecutiontime(void **state)
{
	struct run_config c =
		MAKE("c", "recordcount=100", "operationcount=0", "maxexecutiontime=1");
	struct run_result r;

	(void)state;
	run_ok(&c, &r);
	assert_true(r.run.seconds >= 1);
	assert_int_equal(r.run.series_len, 1);
	assert_true(r.run.series[0].ops > 0 && r.run.series[0].ops <= r.run.ops);
	run_result_free(&r);
}

static void test_count_ends_a_run_before_its_time(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=77");
	struct run_result r;

	(void)state;
	c.seconds = 1000;
	run_ok(&c, &r);
	assert_int_equal(r.run.ops, 77);
	run_result_free(&r);
}

/* ---- threads ---- */

static void test_threads_share_the_operations(void **state)
{
	static const uint32_t threads[] = { 2, 3, 7 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		struct run_config c = MAKE("a", "recordcount=500", "operationcount=1003");
		struct run_result r;

		setup(NULL);
		c.threads = threads[i];
		c.warmup_ops = 50;
		run_ok(&c, &r);
		assert_int_equal(r.load.ops, 500);
		assert_int_equal(r.run.ops, 1003);
		assert_int_equal(kinds_sum(&r.run), 1003);
		assert_int_equal(r.content, CONTENT_PLAUSIBLE);
		assert_int_equal(r.content_records, 500);
		run_result_free(&r);
	}
}

/* ---- the open loop ---- */

static uint64_t quantile(const struct histogram *h, double q)
{
	uint64_t ns;

	assert_true(histogram_quantile(h, q, &ns));
	return ns;
}

/* One stall of 50 ms: a closed loop's clients are stopped with the engine and see one slow
 * operation; of those that were due meanwhile all are late. */
static void test_open_loop_counts_a_stall_from_when_operations_were_due(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=100000");
	struct run_result r;

	(void)state;
	c.check_content = false;
	plant.stall_at = 100 + 20000;
	plant.stall_ms = 50;
	run_ok(&c, &r);
	assert_true(r.run.latency_all->max_ns >= 50000000);
	assert_true(quantile(r.run.latency_all, 0.999) < 25000000);
	run_result_free(&r);

	plant.calls = 0;
	c.ops_per_s = 100000;
	run_ok(&c, &r);
	assert_int_equal(r.run.ops, 100000);
	assert_true(r.run.seconds > 0.99); /* not before the last is due */
	assert_true(r.run.latency_all->max_ns >= 50000000);
	assert_true(quantile(r.run.latency_all, 0.999) >= 40000000);
	run_result_free(&r);
}

static void test_open_loop_shares_the_rate_among_threads(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=400");
	struct run_result r;

	(void)state;
	c.threads = 4;
	c.ops_per_s = 1000;
	run_ok(&c, &r);
	assert_int_equal(r.run.ops, 400);
	assert_true(r.run.seconds > 0.39);
	run_result_free(&r);
}

/* A closed loop goes before, for a quarter; its operations are not the run's, and the
 * content is that of both. */
static void test_open_loop_at_a_share_of_the_capacity(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=400");
	struct run_result r;

	(void)state;
	c.share_of_capacity = 0.5;
	run_ok(&c, &r);
	assert_int_equal(r.run.ops, 400);
	assert_int_equal(plant.puts + plant.gets, 100 + 101 + 400 + 100);
	assert_true(r.capacity_ops_per_s > 0);
	assert_true(r.target_ops_per_s == r.capacity_ops_per_s * 0.5);
	/* The last operation is due that long after the first, never sooner. */
	assert_true(r.run.seconds >= 399 / r.target_ops_per_s);
	assert_int_equal(r.content, CONTENT_EQUAL);
	run_result_free(&r);
}

static void test_open_loop_ends_by_time(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=0");
	struct run_result r;

	(void)state;
	c.seconds = 0.25;
	c.ops_per_s = 200;
	run_ok(&c, &r);
	assert_in_range(r.run.ops, 1, 50);
	run_result_free(&r);
}

/* ---- errors ---- */

static void test_full_disk_ends_the_load_with_advice(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=100");

	(void)state;
	plant.fail_at = 30;
	plant.fail_with = -ENOSPC;
	run_fails(&c, -ENOSPC, "plant: load of keynum 29 failed: No space left on device",
		  "free space on its file system");
	assert_int_equal(plant.puts, 30);
}

static void test_full_disk_ends_the_run_with_advice(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=100",
				   "readproportion=0", "updateproportion=1");

	(void)state;
	plant.fail_at = 150;
	plant.fail_with = -ENOSPC;
	run_fails(&c, -ENOSPC, "plant: update of keynum ", "free space");
	assert_int_equal(plant.puts, 150);
}

static void test_error_in_one_thread_ends_all(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=0");

	(void)state;
	c.threads = 3;
	c.seconds = 600;
	plant.fail_at = 3000;
	run_fails(&c, -EIO, "Input/output error", "dmesg");
}

static void test_array_that_may_not_grow_fails_in_words(void **state)
{
	struct run_config c = MAKE("a", "recordcount=1000", "operationcount=100");

	(void)state;
	c.engine = &engine_array;
	c.engine_options = "memory_bytes=20000";
	run_fails(&c, -ENOSPC, "array: load of keynum ", "No space left");
}

static void test_errors_outside_operations_say_where(void **state)
{
	struct run_config c = MAKE("a", "recordcount=10", "operationcount=10");

	(void)state;
	plant.fail_open = -EMFILE;
	run_fails(&c, -EMFILE, "plant: opening /nonexistent/store failed",
		  "Too many open files");
	plant.fail_open = 0;
	plant.fail_sync = -EIO;
	run_fails(&c, -EIO, "plant: the sync after the load failed", "Input/output");
	plant.fail_sync = 0;
	plant.fail_compact = -ENOSPC;
	run_fails(&c, -ENOSPC, "plant: compaction after the run failed", "No space");
	plant.fail_compact = 0;
	plant.fail_close = -EROFS;
	run_fails(&c, -EROFS, "plant: closing the store failed", "Read-only");
}

static void test_unknown_option_names_the_nearest(void **state)
{
	struct run_config c = MAKE("a", "recordcount=10", "operationcount=10");

	(void)state;
	c.engine_options = "color=3";
	run_fails(&c, -EINVAL, "color", "colour");
}

static void test_what_an_engine_cannot_do_is_refused_before_it_is_opened(void **state)
{
	struct run_config scans = MAKE("e", "recordcount=10", "operationcount=10");
	struct run_config c = MAKE("a", "recordcount=10", "operationcount=10");
	struct engine_info absent = { .name = "absent" };

	(void)state;
	plant_ops.caps &= ~(unsigned int)KV_CAP_ORDERED;
	run_fails(&scans, -EOPNOTSUPP, "plant keeps no order", "cannot scan");
	plant_ops.caps &= ~(unsigned int)KV_CAP_DURABLE;
	c.durability = KV_SYNC;
	run_fails(&c, -EOPNOTSUPP, "plant", "no durability but none");
	c.durability = KV_NONE;
	c.threads = 0;
	run_fails(&c, -EINVAL, "thread", "one");
	c.threads = 1;
	c.workload.operation_count = 0;
	run_fails(&c, -EINVAL, "end", "operationcount");
	c.engine = &absent;
	run_fails(&c, -EOPNOTSUPP, "absent", "not in this build");
	assert_int_equal(plant.opens, 0);
}

/* ---- interrupts ---- */

static void test_interrupt_ends_the_run_and_what_ran_is_checked(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000");
	struct run_result r;

	(void)state;
	plant.interrupt_at = 100 + 250;
	run_ok(&c, &r);
	assert_true(r.interrupted);
	assert_int_equal(r.run.ops, 250);
	assert_int_equal(r.run.latency_all->count, 250);
	assert_int_equal(r.content, CONTENT_EQUAL);
	assert_int_equal(plant.compacts, 0);
	run_result_free(&r);
	/* It is forgotten by the next. */
	plant.interrupt_at = 0;
	run_ok(&c, &r);
	assert_false(r.interrupted);
	assert_int_equal(r.run.ops, 1000);
	run_result_free(&r);
}

static void test_interrupt_ends_a_load(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000");
	struct run_result r;

	(void)state;
	plant.interrupt_at = 40;
	run_ok(&c, &r);
	assert_true(r.interrupted);
	assert_int_equal(r.load.ops, 40);
	assert_int_equal(r.run.ops, 0);
	assert_int_equal(r.content, CONTENT_UNCHECKED);
	assert_non_null(strstr(r.content_note, "load was interrupted"));
	run_result_free(&r);
}

static void test_second_interrupt_ends_the_check(void **state)
{
	struct run_config c = MAKE("a", "recordcount=5000", "operationcount=10000");
	struct run_result r;

	(void)state;
	plant.interrupt_at = 5000 + 10;
	plant.interrupts = 2;
	run_ok(&c, &r);
	assert_true(r.interrupted);
	assert_int_equal(r.run.ops, 10);
	assert_int_equal(r.content, CONTENT_UNCHECKED);
	assert_string_equal(r.content_note, "interrupted");
	run_result_free(&r);
}

static void test_interrupt_wakes_an_open_loop_that_waits(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=1000");
	struct run_result r;

	(void)state;
	c.ops_per_s = 0.01; /* the second is due after 100 s */
	plant.interrupt_at = 101;
	run_ok(&c, &r);
	assert_true(r.interrupted);
	assert_int_equal(r.run.ops, 1);
	assert_true(r.run.seconds < 50);
	run_result_free(&r);
}

/* ---- progress ---- */

struct told {
	char phases[256]; /* each phase once, in the order in which they came */
	unsigned int wrong;
};

static void hear(void *arg, const char *phase, double done, double total)
{
	struct told *t = arg;
	size_t n = strlen(t->phases), m = strlen(phase);

	t->wrong += done < 0 || (total > 0 && done > total);
	if (n < m || strcmp(t->phases + n - m, phase))
		(void)snprintf(t->phases + n, sizeof(t->phases) - n, " %s", phase);
}

static void test_progress_tells_every_phase_in_order(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=100");
	struct run_result r;
	struct told told = { "", 0 };
	struct kv_msg why;

	(void)state;
	c.warmup_ops = 10;
	assert_int_equal(runner_run(&c, hear, &told, &r, &why), 0);
	assert_string_equal(told.phases, " load warm-up run settle");
	assert_int_equal(told.wrong, 0);
	run_result_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_phases_do_exactly_their_operations),
		TEST(test_bytes_are_those_of_keys_and_values),
		TEST(test_load_only_and_existing_leave_out_the_other),
		TEST(test_levels_and_options_reach_the_engine),
		TEST(test_seed_decides_the_stream_and_the_content),
		TEST(test_engine_does_not_change_the_stream),
		TEST(test_run_ends_by_time),
		TEST(test_run_ends_by_maxexecutiontime),
		TEST(test_count_ends_a_run_before_its_time),
		TEST(test_threads_share_the_operations),
		TEST(test_open_loop_counts_a_stall_from_when_operations_were_due),
		TEST(test_open_loop_shares_the_rate_among_threads),
		TEST(test_open_loop_at_a_share_of_the_capacity),
		TEST(test_open_loop_ends_by_time),
		TEST(test_full_disk_ends_the_load_with_advice),
		TEST(test_full_disk_ends_the_run_with_advice),
		TEST(test_error_in_one_thread_ends_all),
		TEST(test_array_that_may_not_grow_fails_in_words),
		TEST(test_errors_outside_operations_say_where),
		TEST(test_unknown_option_names_the_nearest),
		TEST(test_what_an_engine_cannot_do_is_refused_before_it_is_opened),
		TEST(test_interrupt_ends_the_run_and_what_ran_is_checked),
		TEST(test_interrupt_ends_a_load),
		TEST(test_second_interrupt_ends_the_check),
		TEST(test_interrupt_wakes_an_open_loop_that_waits),
		TEST(test_progress_tells_every_phase_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
