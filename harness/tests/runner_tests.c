/* SPDX-License-Identifier: MIT */
/*
 * runner_tests.c - a replicate does what it was asked for, to the operation; and whoever
 * lies about what he stores, stalls, fails or is interrupted shows in its result.
 *
 * Most tests run over a planted engine: an array with one fault at a place that the test
 * chooses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "../../sprint-1-core-memory/array_engine.h"
#include "../measure/runner.h"
#include "../workload/record.h"

/* ---- the planted engine ---- */

enum lie {
	NO_LIE,
	LOSES_UPDATES,    /* of the key: what the load wrote stays */
	DROPS_DELETES,    /* of the key */
	FLIPS_A_BIT,      /* in the key's values */
	CUTS_A_BYTE,      /* off the key's values */
	RESURRECTS,       /* the deleted key comes back with the compaction */
	GETS_STALE,       /* gets see what the load left, cursors what is */
	CURSORS_STALE,    /* the other way round */
	GHOST,            /* a key that nobody wrote appears */
	READS_FLIP_A_BIT, /* every get */
	FINDS_ANYTHING,   /* a get of what is not there finds a value */
};

enum { OPT_MEMORY, OPT_DURABILITY, OPT_COLOUR, OPTS };

static const struct kv_opt plant_opts[] = {
	{ "memory_bytes", "a budget", NULL, 1, 0, UINT64_MAX },
	{ "durability", "a level", "none|group|sync", KV_SYNC, 0, 0 },
	{ "colour", "its own", NULL, 7, 0, 100 },
	{ 0 },
};

static struct plant {
	enum lie lie;
	char key[RECORD_KEY_MAX]; /* that it lies about */
	size_t key_len;
	/* counted from 1 over all writes and gets; 0: never */
	uint64_t fail_at, stall_at, interrupt_at;
	unsigned int interrupts; /* how many at once */
	long stall_ms;
	int fail_open, fail_sync, fail_compact, fail_close, fail_with;

	/* what happened; atomic where threads count */
	uint64_t calls, puts, deletes, gets, cursors, syncs, compacts, opens, closes;
	uint64_t at_level[KV_SYNC + 1];
	uint64_t opt[OPTS];
} plant;

struct planted {
	struct kv kv;
	struct kv *inner;
	struct kv_snapshot *loaded; /* what the load left; NULL before its end */
};

static struct planted *of(struct kv *kv)
{
	return (struct planted *)(void *)kv;
}

static void count(uint64_t *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* Every write and get passes here first. */
static int pass(void)
{
	uint64_t n = __atomic_add_fetch(&plant.calls, 1, __ATOMIC_RELAXED);
	unsigned int i;

	if (n == plant.stall_at)
		nap(plant.stall_ms);
	for (i = 0; n == plant.interrupt_at && i < plant.interrupts; i++)
		runner_interrupt();
	return n == plant.fail_at ? plant.fail_with : 0;
}

static bool is_key(struct kv_slice key)
{
	return !kv_compare(key, kv_slice(plant.key, plant.key_len));
}

static int plant_open(struct env *env, const char *dir, const uint64_t *opt,
		      struct kv **out, struct kv_msg *why);

static int plant_close(struct kv *kv)
{
	struct planted *p = of(kv);
	int error;

	kv_release(p->inner, p->loaded);
	error = kv_close(p->inner);
	port_free(p);
	plant.closes++;
	return plant.fail_close ? plant.fail_close : error;
}

static int plant_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		     struct kv_buf *value)
{
	struct planted *p = of(kv);
	bool stale = plant.lie == GETS_STALE && is_key(key);
	int error = pass();

	(void)snap;
	count(&plant.gets);
	if (error)
		return error;
	error = kv_get_at(p->inner, stale ? p->loaded : NULL, key, value);
	if (!error && plant.lie == READS_FLIP_A_BIT && value->len)
		((uint8_t *)value->data)[value->len / 2] ^= 4;
	if (error == -ENOENT && plant.lie == FINDS_ANYTHING)
		error = kv_buf_set(value, "a", 1);
	return error;
}

static int put_changed(struct planted *p, const struct kv_op *op)
{
	size_t len = op->value.len;
	uint8_t *copy = port_alloc(len);
	int error;

	assert_non_null(copy);
	memcpy(copy, op->value.data, len);
	if (plant.lie == FLIPS_A_BIT)
		copy[len - 1] ^= 1;
	else
		len--;
	error = kv_put(p->inner, op->key, kv_slice(copy, len), KV_NONE);
	port_free(copy);
	return error;
}

static int plant_write(struct kv *kv, const struct kv_op *op, size_t n,
		       enum kv_durability how)
{
	struct planted *p = of(kv);
	bool mine = is_key(op->key);
	int error = pass();

	count(op->type == KV_PUT ? &plant.puts : &plant.deletes);
	count(&plant.at_level[how]);
	if (error)
		return error;
	if (mine && p->loaded && op->type == KV_PUT && plant.lie == LOSES_UPDATES)
		return 0;
	if (mine && op->type == KV_DELETE && plant.lie == DROPS_DELETES)
		return 0;
	if (mine && op->type == KV_PUT &&
	    (plant.lie == FLIPS_A_BIT || plant.lie == CUTS_A_BYTE))
		return put_changed(p, op);
	return kv_write(p->inner, op, n, KV_NONE);
}

static int plant_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	struct planted *p = of(kv);

	(void)snap;
	count(&plant.cursors);
	return kv_cursor(p->inner, plant.lie == CURSORS_STALE ? p->loaded : NULL, out);
}

/* The first sync ends the load. */
static int plant_sync(struct kv *kv)
{
	struct planted *p = of(kv);

	plant.syncs++;
	if (plant.fail_sync)
		return plant.fail_sync;
	if (p->loaded)
		return 0;
	if (plant.lie == GHOST)
		assert_int_equal(kv_put(p->inner, kv_str("ghost"), kv_str("x"), KV_NONE),
				 0);
	return kv_snapshot(p->inner, &p->loaded);
}

static int plant_compact(struct kv *kv)
{
	struct planted *p = of(kv);
	struct kv_slice key = kv_slice(plant.key, plant.key_len);
	struct kv_buf value = { 0 };

	plant.compacts++;
	if (plant.lie == RESURRECTS) {
		assert_int_equal(kv_get_at(p->inner, p->loaded, key, &value), 0);
		assert_int_equal(
			kv_put(p->inner, key, kv_slice(value.data, value.len), KV_NONE),
			0);
		kv_buf_free(&value);
	}
	return plant.fail_compact;
}

static void plant_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	(void)kv;
	emit(arg, "rabbits", 3);
	emit(arg, "hats", UINT64_MAX);
}

static void plant_recovery(struct kv *kv, struct kv_recovery *out)
{
	(void)kv;
	*out = (struct kv_recovery){ 12, 34, { "a torn tail" } };
}

/* A test may take caps away. */
static struct kv_ops plant_ops;
static const struct kv_ops plant_ops_whole = {
	.name = "plant",
	.summary = "an array that lies",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_BATCH | KV_CAP_DURABLE,
	.opts = plant_opts,
	.open = plant_open,
	.close = plant_close,
	.get = plant_get,
	.write = plant_write,
	.cursor = plant_cursor,
	.sync = plant_sync,
	.compact = plant_compact,
	.stats = plant_stats,
	.recovery = plant_recovery,
};

static int plant_open(struct env *env, const char *dir, const uint64_t *opt,
		      struct kv **out, struct kv_msg *why)
{
	struct planted *p = port_alloc(sizeof(*p));
	int error;

	assert_non_null(p);
	memset(p, 0, sizeof(*p));
	memcpy(plant.opt, opt, sizeof(plant.opt));
	error = plant.fail_open ? plant.fail_open
				: kv_open(&array_engine, env, dir, "", &p->inner, why);
	if (error) {
		port_free(p);
		return error;
	}
	plant.opens++;
	p->kv.ops = &plant_ops;
	*out = &p->kv;
	return 0;
}

static const char *plant_version(void)
{
	return "0";
}

static struct engine_info plant_info;

static int setup(void **state)
{
	(void)state;
	plant = (struct plant){ .interrupts = 1, .fail_with = -EIO };
	plant_ops = plant_ops_whole;
	plant_info = (struct engine_info){ .name = "plant",
					   .kind = ENGINE_OURS,
					   .ops = &plant_ops,
					   .version = plant_version };
	return 0;
}

/* Whatever happened, what was opened has been closed. */
static int teardown(void **state)
{
	(void)state;
	assert_int_equal(plant.opens, plant.closes);
	return 0;
}

/* ---- runs ---- */

static struct run_config make(const char *preset, const char *const *settings)
{
	struct run_config c = { .engine = &plant_info,
				.dir = "/nonexistent/store",
				.threads = 1,
				.memory_bytes = 1 << 20,
				.check_content = true,
				.settle = true };
	struct kv_msg why = { "" };

	assert_int_equal(workload_preset(preset, &c.workload, &why), 0);
	c.workload.field_count = 1;
	c.workload.seed = 42;
	for (; *settings; settings++)
		if (workload_set(&c.workload, *settings, &why))
			fail_msg("%s", why.text);
	if (workload_check(&c.workload, &why))
		fail_msg("%s", why.text);
	return c;
}
#define MAKE(preset, ...) make(preset, (const char *const[]){ __VA_ARGS__, NULL })

static void run_ok(const struct run_config *c, struct run_result *r)
{
	struct kv_msg why = { "" };

	if (runner_run(c, NULL, NULL, r, &why))
		fail_msg("%s", why.text);
}

static void run_fails(const struct run_config *c, int error, const char *first,
		      const char *second)
{
	struct run_result r;
	struct kv_msg why = { "" };

	assert_int_equal(runner_run(c, NULL, NULL, &r, &why), error);
	if (!strstr(why.text, first) || !strstr(why.text, second))
		fail_msg("\"%s\" has not both \"%s\" and \"%s\"", why.text, first,
			 second);
	assert_null(r.stats);
	assert_null(r.run.latency_all);
}

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

static void test_every_workload_leaves_what_the_oracle_expects(void **state)
{
	const char *name;
	size_t i;

	(void)state;
	for (i = 0; (name = workload_preset_name(i)); i++) {
		struct run_config c = MAKE(name, "recordcount=300", "operationcount=900");
		struct run_result r;
		uint32_t threads;

		for (threads = 1; threads <= 3; threads += 2) {
			c.threads = threads;
			run_ok(&c, &r);
			if (r.content !=
			    (threads == 1 ? CONTENT_EQUAL : CONTENT_PLAUSIBLE))
				fail_msg("%s with %u threads: %s", name, threads,
					 r.content_note);
			assert_int_equal(r.run.ops, 900);
			run_result_free(&r);
		}
	}
}

static void test_updates_of_single_fields_leave_what_the_oracle_expects(void **state)
{
	static const char *const checked[] = { "dataintegrity=false",
					       "dataintegrity=true" };
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct run_config c =
			MAKE("f", "recordcount=200", "operationcount=900", "fieldcount=5",
			     "fieldlength=20", "writeallfields=false", checked[i % 2]);
		struct run_result r;

		c.threads = i < 2 ? 1 : 3;
		run_ok(&c, &r);
		if (r.content != (i < 2 ? CONTENT_EQUAL : CONTENT_PLAUSIBLE))
			fail_msg("%s with %u threads: %s", checked[i % 2], c.threads,
				 r.content_note);
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

/* ---- lies ---- */

static const struct {
	const char *name;
	enum lie lie;
	bool deletes, names_key;
} lies[] = {
	{ "loses updates", LOSES_UPDATES, false, true },
	{ "drops deletes", DROPS_DELETES, true, true },
	{ "flips a bit", FLIPS_A_BIT, false, true },
	{ "cuts a byte", CUTS_A_BYTE, false, true },
	{ "resurrects", RESURRECTS, true, true },
	{ "stale gets", GETS_STALE, false, true },
	{ "stale cursors", CURSORS_STALE, false, false },
	{ "ghost", GHOST, false, false },
};

static void expect_caught(const struct run_config *c, size_t i)
{
	struct run_result r;
	char *key = strndup(plant.key, plant.key_len);

	assert_non_null(key);
	run_ok(c, &r);
	if (r.content != CONTENT_DIFFERENT)
		fail_msg("%s with %u threads is believed (%s)", lies[i].name, c->threads,
			 r.content_note);
	if (lies[i].names_key && !strstr(r.content_note, key))
		fail_msg("%s: \"%s\" does not name %s", lies[i].name, r.content_note,
			 key);
	if (!lies[i].names_key && !strstr(r.content_note, "a cursor sees"))
		fail_msg("%s: \"%s\"", lies[i].name, r.content_note);
	free(key);
	run_result_free(&r);
}

/* The key is one of a hundred, so that a thousand operations surely write it. */
static void test_each_lie_is_caught_and_named(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 2 * sizeof(lies) / sizeof(lies[0]); i++) {
		struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000",
					   "requestdistribution=uniform");
		size_t k = i / 2;

		c.threads = 1 + i % 2;
		if (lies[k].deletes) {
			c.workload.proportion[OP_UPDATE] = 0;
			c.workload.proportion[OP_DELETE] = 0.5;
		}
		setup(NULL);
		plant.key_len = record_key(&c.workload, 37, plant.key);
		plant.lie = lies[k].lie;
		expect_caught(&c, k);
	}
}

static void test_note_says_what_stands_where_the_last_write_should(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000",
				   "requestdistribution=uniform");
	struct run_result r;

	(void)state;
	plant.key_len = record_key(&c.workload, 37, plant.key);
	plant.lie = LOSES_UPDATES;
	run_ok(&c, &r);
	assert_non_null(strstr(r.content_note, "came what the load wrote"));
	run_result_free(&r);
}

static void test_lie_that_dataintegrity_sees_ends_the_run(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=1000",
				   "fieldlength=50", "dataintegrity=true");
	struct run_result r;

	(void)state;
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_EQUAL);
	run_result_free(&r);
	plant.lie = READS_FLIP_A_BIT;
	run_fails(&c, -EBADMSG, "plant: read of keynum ",
		  "value that came back is not one that was written");
}

static void test_finding_what_was_never_written_ends_the_run(void **state)
{
	struct run_config c = MAKE("c", "recordcount=100", "operationcount=100",
				   "readproportion=0", "readmissingproportion=1");

	(void)state;
	plant.lie = FINDS_ANYTHING;
	run_fails(&c, -EBADMSG, "plant: read_missing of keynum ",
		  "found that nobody ever wrote");
}

static void test_engine_without_cursors_is_asked_for_every_key(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000");
	struct run_result r;

	(void)state;
	plant_ops.caps &= ~(unsigned int)(KV_CAP_CURSOR | KV_CAP_ORDERED);
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_EQUAL);
	assert_non_null(strstr(r.content_note, "no cursor"));
	assert_int_equal(r.content_records, 100);
	assert_int_equal(plant.cursors, 0);
	run_result_free(&r);
	plant.key_len = record_key(&c.workload, 0, plant.key);
	plant.lie = FLIPS_A_BIT;
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_DIFFERENT);
	run_result_free(&r);
}

static void test_null_engine_and_unasked_content_are_not_judged(void **state)
{
	struct run_config c = MAKE("a", "recordcount=100", "operationcount=1000");
	struct run_result r;

	(void)state;
	c.check_content = false;
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_UNCHECKED);
	assert_string_equal(r.content_note, "not asked for");
	assert_true(r.live_bytes > 0);
	run_result_free(&r);
	c.check_content = true;
	c.engine = engines_find("null");
	run_ok(&c, &r);
	assert_int_equal(r.content, CONTENT_UNCHECKED);
	assert_non_null(strstr(r.content_note, "keeps nothing"));
	assert_int_equal(r.run.ops, 1000);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(test_every_workload_leaves_what_the_oracle_expects),
		TEST(test_updates_of_single_fields_leave_what_the_oracle_expects),
		TEST(test_open_loop_counts_a_stall_from_when_operations_were_due),
		TEST(test_open_loop_shares_the_rate_among_threads),
		TEST(test_open_loop_ends_by_time),
		TEST(test_each_lie_is_caught_and_named),
		TEST(test_note_says_what_stands_where_the_last_write_should),
		TEST(test_lie_that_dataintegrity_sees_ends_the_run),
		TEST(test_finding_what_was_never_written_ends_the_run),
		TEST(test_engine_without_cursors_is_asked_for_every_key),
		TEST(test_null_engine_and_unasked_content_are_not_judged),
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
