/* SPDX-License-Identifier: MIT */
/*
 * stream_tests.c - streams are functions of (workload, seed, thread, threads), threads
 * share the work without meeting, and loads come in the order that was asked for.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../workload/record.h"
#include "../workload/stream.h"
#include "workload_fixture.h"

static bool same_op(const struct op *a, const struct op *b)
{
	return a->keynum == b->keynum && a->scan_length == b->scan_length &&
	       a->field == b->field && a->kind == b->kind;
}

/* How many of the first 1000 operations of two streams are the same. */
static int common_ops(const struct workload *w, uint64_t seed_a, uint32_t thread_a,
		      uint64_t seed_b, uint32_t thread_b)
{
	struct stream *a, *b;
	struct op x, y;
	int i, same = 0;

	assert_int_equal(stream_open(w, seed_a, thread_a, 4, &a), 0);
	assert_int_equal(stream_open(w, seed_b, thread_b, 4, &b), 0);
	for (i = 0; i < 1000; i++) {
		stream_next(a, &x);
		stream_next(b, &y);
		same += same_op(&x, &y);
	}
	stream_close(a);
	stream_close(b);
	return same;
}

static void test_stream_is_a_function_of_seed_and_thread(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; workload_preset_name(i); i++) {
		struct workload w =
			MAKE_WORKLOAD(workload_preset_name(i), "recordcount=100000",
				      "requestdistribution=uniform");

		assert_int_equal(common_ops(&w, 7, 2, 7, 2), 1000);
		assert_true(common_ops(&w, 7, 2, 7, 3) < 50);
		assert_true(common_ops(&w, 7, 2, 8, 2) < 50 ||
			    w.proportion[OP_INSERT] > 0.5);
	}
}

static void test_digest_tells_work_apart(void **state)
{
	struct workload w = MAKE_WORKLOAD("a", "recordcount=5000"), other;
	uint64_t digest, again;

	(void)state;
	assert_int_equal(stream_digest(&w, 1, 2, &digest), 0);
	assert_int_equal(stream_digest(&w, 1, 2, &again), 0);
	assert_int_equal(digest, again);
	assert_int_equal(stream_digest(&w, 2, 2, &again), 0);
	assert_int_not_equal(digest, again);
	assert_int_equal(stream_digest(&w, 1, 3, &again), 0);
	assert_int_not_equal(digest, again);
	other = MAKE_WORKLOAD("a", "recordcount=5001");
	assert_int_equal(stream_digest(&other, 1, 2, &again), 0);
	assert_int_not_equal(digest, again);
	other = MAKE_WORKLOAD("a", "recordcount=5000", "fieldlength=99");
	assert_int_equal(stream_digest(&other, 1, 2, &again), 0);
	assert_int_not_equal(digest, again);
}

struct pinned {
	const char *preset;
	uint64_t digest;
};

static void check_pinned(const struct pinned *p, const char *records,
			 const char *operations, uint64_t seed)
{
	struct workload w = MAKE_WORKLOAD(p->preset, records, operations);
	uint64_t digest;

	assert_int_equal(stream_digest(&w, seed, 1, &digest), 0);
	if (digest != p->digest)
		fail_msg("workload %s, seed %llu: came 0x%016llx", p->preset,
			 (unsigned long long)seed, (unsigned long long)digest);
}

/* The same on every machine and by every compiler, or results of two do not compare. */
static void test_digests_are_pinned(void **state)
{
	static const struct pinned core[] = {
		{ "a", 0x3eaae2b30b716f43u }, { "b", 0xe0ba13091a144a78u },
		{ "c", 0x3dc996895ed7ca02u }, { "d", 0x278ea54b70c34cf0u },
		{ "e", 0xc0412721ef834b3bu }, { "f", 0xb767a4b882c7ca7du },
	};
	static const struct pinned larger[] = {
		{ "a", 0x2bc20e6f31830b60u },          { "d", 0x94a1569fee873e6du },
		{ "e", 0xe24522a9f135175eu },          { "f", 0xa6c9504c2e5f62bfu },
		{ "timeseries", 0x945b8da09c57d407u },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(core) / sizeof(core[0]); i++)
		check_pinned(&core[i], "recordcount=1000", "operationcount=10000", 1);
	for (i = 0; i < sizeof(larger) / sizeof(larger[0]); i++)
		check_pinned(&larger[i], "recordcount=10000", "operationcount=1000", 42);
}

/* ---- threads ---- */

static const char *const distributions[] = {
	"requestdistribution=uniform",    "requestdistribution=zipfian",
	"requestdistribution=zipf",       "requestdistribution=latest",
	"requestdistribution=hotspot",    "requestdistribution=exponential",
	"requestdistribution=sequential",
};

/* Every operation of every thread asks for what was loaded or for what the thread itself
 * has inserted; no keynum is inserted twice. */
static void check_threads(const struct workload *w, uint32_t threads, uint32_t ops)
{
	uint64_t beyond = (uint64_t)ops * threads + threads, i;
	bool *inserted = calloc(beyond, sizeof(*inserted));
	uint32_t thread;

	assert_non_null(inserted);
	for (thread = 0; thread < threads; thread++) {
		uint64_t own = 0;
		struct stream *s;
		struct op op;

		assert_int_equal(stream_open(w, 5, thread, threads, &s), 0);
		for (i = 0; i < ops; i++) {
			uint64_t k;

			stream_next(s, &op);
			k = op.keynum - w->record_count;
			if (op.kind == OP_INSERT) {
				assert_int_equal(k, thread + own++ * threads);
				assert_true(k < beyond && !inserted[k]);
				inserted[k] = true;
			} else if (op.keynum >= w->record_count) {
				assert_int_equal(k % threads, thread);
				assert_true(k / threads < own);
			}
		}
		stream_close(s);
	}
	free(inserted);
}

static void test_threads_ask_for_what_is_there(void **state)
{
	static const char *const records[] = { "recordcount=1", "recordcount=2",
					       "recordcount=3", "recordcount=10",
					       "recordcount=1000" };
	static const char *const inserts[] = { "insertproportion=0.05",
					       "insertproportion=5" };
	static const char *const counts[] = { "operationcount=0", "operationcount=2000" };
	size_t d, r, i, c;

	(void)state;
	for (d = 0; d < 7; d++)
		for (r = 0; r < 5; r++)
			for (i = 0; i < 2; i++)
				for (c = 0; c < 2; c++) {
					struct workload w = MAKE_WORKLOAD(
						"a", distributions[d], records[r],
						inserts[i], counts[c]);

					check_threads(&w, 1, 500);
					check_threads(&w, 3, 300);
					check_threads(&w, 8, 100);
				}
}

/* A million operations to come, one record there: draws must not go on for ever. */
static void test_insert_heavy_start_from_one_record(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("a", "recordcount=1", "operationcount=1000000000",
			      "insertproportion=9", "requestdistribution=zipfian");

	(void)state;
	check_threads(&w, 2, 100);
	w = MAKE_WORKLOAD("a", "recordcount=1", "operationcount=1000000000",
			  "insertproportion=9", "requestdistribution=zipf",
			  "zipftheta=0.5");
	check_threads(&w, 2, 100);
	w = MAKE_WORKLOAD("a", "recordcount=1", "requestdistribution=exponential",
			  "exponential.percentile=0.001", "exponential.frac=1000000000");
	check_threads(&w, 2, 100);
}

static void test_sequential_threads_share_a_round(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("c", "recordcount=91", "requestdistribution=sequential");
	int count[91] = { 0 }, i;
	uint32_t thread;

	(void)state;
	for (thread = 0; thread < 7; thread++) {
		struct stream *s;
		struct op op;

		assert_int_equal(stream_open(&w, 1, thread, 7, &s), 0);
		for (i = 0; i < 13; i++) {
			stream_next(s, &op);
			count[op.keynum]++;
		}
		stream_close(s);
	}
	for (i = 0; i < 91; i++)
		assert_int_equal(count[i], 1);
}

static void test_hot_keys_are_the_same_for_any_number_of_threads(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("e", "recordcount=1000", "operationcount=10000");
	uint64_t hottest[2];
	uint32_t threads;

	(void)state;
	for (threads = 1; threads <= 2; threads++) {
		uint64_t count[1000] = { 0 }, i, best = 0;
		struct stream *s;
		struct op op;

		assert_int_equal(stream_open(&w, 1, 0, threads, &s), 0);
		for (i = 0; i < 5000; i++) {
			stream_next(s, &op);
			if (op.kind == OP_SCAN && op.keynum < 1000)
				count[op.keynum]++;
		}
		stream_close(s);
		for (i = 1; i < 1000; i++)
			if (count[i] > count[best])
				best = i;
		hottest[threads - 1] = best;
	}
	assert_int_equal(hottest[0], hottest[1]);
}

static void test_keynums_beyond_32_bits(void **state)
{
	struct workload w = MAKE_WORKLOAD(
		"a", "recordcount=1099511627776", "insertstart=1099511627000",
		"insertproportion=0.1", "requestdistribution=uniform");
	struct stream *s;
	struct op op;
	int i;

	(void)state;
	assert_int_equal(w.insert_count, 776);
	assert_int_equal(stream_open(&w, 1, 0, 1, &s), 0);
	for (i = 0; i < 1000; i++) {
		stream_next(s, &op);
		assert_true(op.keynum >= 1099511627000);
	}
	stream_close(s);
	w.request = DIST_YCSB_ZIPFIAN;
	assert_int_equal(stream_open(&w, 1, 0, 1, &s), 0);
	for (i = 0; i < 1000; i++) {
		stream_next(s, &op);
		assert_true(op.keynum >= 1099511627000);
	}
	stream_close(s);
}

static void test_bad_arguments(void **state)
{
	struct workload w = MAKE_WORKLOAD("a", "recordcount=10");
	struct load_stream *l;
	struct stream *s;

	(void)state;
	assert_int_equal(stream_open(&w, 1, 2, 2, &s), -EINVAL);
	assert_int_equal(stream_open(&w, 1, 0, 0, &s), -EINVAL);
	assert_int_equal(load_stream_open(&w, 2, 2, &l), -EINVAL);
	w.record_count = 0;
	assert_int_equal(stream_open(&w, 1, 0, 1, &s), -EINVAL);
	stream_close(NULL);
	load_stream_close(NULL);
}

/* ---- loads ---- */

static void test_loads_of_threads_make_up_the_whole(void **state)
{
	static const char *const counts[] = { "recordcount=1", "recordcount=2",
					      "recordcount=7", "recordcount=1000" };
	static const char *const sorted[] = { "sortedload=false", "sortedload=true" };
	uint32_t threads, thread;
	size_t c, k;

	(void)state;
	for (c = 0; c < 4; c++) {
		for (k = 0; k < 2; k++) {
			struct workload w = MAKE_WORKLOAD("c", counts[c], sorted[k]);

			for (threads = 1; threads < 10; threads++) {
				bool seen[1000] = { false };
				uint64_t keynum, n = 0, least = 0, end;

				for (thread = 0; thread < threads; thread++) {
					struct load_stream *l;

					assert_int_equal(
						load_stream_open(&w, thread, threads, &l),
						0);
					for (end = least; load_stream_next(l, &keynum);
					     n++) {
						assert_true(keynum < w.record_count);
						assert_false(seen[keynum]);
						assert_true(keynum >= least);
						seen[keynum] = true;
						if (keynum >= end)
							end = keynum + 1;
					}
					least = end; /* shares are contiguous */
					assert_false(load_stream_next(l, &keynum));
					load_stream_close(l);
				}
				assert_int_equal(n, w.record_count);
			}
		}
	}
}

static void check_sorted(const struct workload *w, uint32_t threads)
{
	char key[RECORD_KEY_MAX], before[RECORD_KEY_MAX];
	uint32_t thread;

	for (thread = 0; thread < threads; thread++) {
		uint64_t keynum, n = 0;
		size_t len, before_len = 0;
		struct load_stream *l;

		assert_int_equal(load_stream_open(w, thread, threads, &l), 0);
		while (load_stream_next(l, &keynum)) {
			len = record_key(w, keynum, key);
			assert_true(kv_compare(kv_slice(before, before_len),
					       kv_slice(key, len)) < 0);
			memcpy(before, key, len);
			before_len = len;
			n++;
		}
		load_stream_close(l);
		assert_true(n >= w->insert_count / threads);
	}
}

static void test_sorted_load_is_in_the_order_of_key_bytes(void **state)
{
	static const char *const order[] = { "insertorder=ordered",
					     "insertorder=hashed" };
	static const char *const padding[] = { "zeropadding=1", "zeropadding=3",
					       "zeropadding=18", "zeropadding=19",
					       "zeropadding=40" };
	static const char *const counts[] = { "recordcount=1", "recordcount=33",
					      "recordcount=20500" };
	static const char *const starts[] = { "insertstart=0", "insertstart=20",
					      "insertstart=19900" };
	size_t o, p, c;

	(void)state;
	for (o = 0; o < 2; o++)
		for (p = 0; p < 5; p++)
			for (c = 0; c < 3; c++) {
				struct workload w =
					MAKE_WORKLOAD("sorted", order[o], padding[p],
						      counts[c], starts[c * (c != 0)]);

				check_sorted(&w, 1);
				check_sorted(&w, 3);
			}
}

/* Digits run out in the middle of a long run of ties: 1, 10, 100, 1000, ... */
static void test_sorted_load_across_powers_of_ten(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("sorted", "insertorder=ordered", "recordcount=1200000");

	(void)state;
	check_sorted(&w, 1);
}

static void test_time_series_keys_increase(void **state)
{
	struct workload w = MAKE_WORKLOAD("timeseries", "recordcount=95");
	char key[RECORD_KEY_MAX], before[RECORD_KEY_MAX] = { 0 };
	struct stream *s;
	struct op op;
	uint64_t i, n = 0;

	(void)state;
	for (i = 0; i < 95; i++) {
		assert_int_equal(record_key(&w, i, key), 23);
		assert_true(memcmp(before, key, 23) < 0);
		memcpy(before, key, 23);
	}
	assert_int_equal(stream_open(&w, 1, 0, 1, &s), 0);
	for (i = 0; i < 3000; i++) {
		stream_next(s, &op);
		if (op.kind != OP_INSERT)
			continue;
		assert_int_equal(record_key(&w, op.keynum, key), 23);
		assert_true(memcmp(before, key, 23) < 0);
		memcpy(before, key, 23);
		n++;
	}
	stream_close(s);
	assert_in_range(n, 2250, 2550);
}

/* ---- memory ---- */

static void test_out_of_memory_is_said_and_leaves_nothing(void **state)
{
	struct workload w = MAKE_WORKLOAD("sorted", "recordcount=100");
	uint64_t live = port_fault_live(), digest, nth;
	struct load_stream *l;
	struct stream *s;
	int error;

	(void)state;
	for (nth = 1;; nth++) {
		port_fault_set(nth, true);
		error = stream_digest(&w, 1, 2, &digest);
		if (!port_fault_fired())
			break;
		assert_int_equal(error, -ENOMEM);
		assert_int_equal(port_fault_live(), live);
	}
	assert_int_equal(error, 0);
	assert_true(nth > 3);
	port_fault_set(1, true);
	assert_int_equal(stream_open(&w, 1, 0, 1, &s), -ENOMEM);
	for (nth = 1; nth <= 2; nth++) {
		port_fault_set(nth, true);
		assert_int_equal(load_stream_open(&w, 0, 1, &l), -ENOMEM);
		assert_int_equal(port_fault_live(), live);
	}
	port_fault_set(0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_stream_is_a_function_of_seed_and_thread),
		LEAK_CHECKED(test_digest_tells_work_apart),
		LEAK_CHECKED(test_digests_are_pinned),
		LEAK_CHECKED(test_threads_ask_for_what_is_there),
		LEAK_CHECKED(test_insert_heavy_start_from_one_record),
		LEAK_CHECKED(test_sequential_threads_share_a_round),
		LEAK_CHECKED(test_hot_keys_are_the_same_for_any_number_of_threads),
		LEAK_CHECKED(test_keynums_beyond_32_bits),
		LEAK_CHECKED(test_bad_arguments),
		LEAK_CHECKED(test_loads_of_threads_make_up_the_whole),
		LEAK_CHECKED(test_sorted_load_is_in_the_order_of_key_bytes),
		LEAK_CHECKED(test_sorted_load_across_powers_of_ten),
		LEAK_CHECKED(test_time_series_keys_increase),
		LEAK_CHECKED(test_out_of_memory_is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
