/* SPDX-License-Identifier: MIT */
/*
 * planted_engine.h - an array with one fault at a place that a test chooses, and runs over
 * it: what runner_tests.c and content_tests.c share.
 *
 * Included once a program, before anything else: cmocka.h wants its own headers first.
 */
#ifndef PLANTED_ENGINE_H
#define PLANTED_ENGINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "../../sprint-1-core-memory/array_engine.h"
#include "../measure/runner.h"
#include "../workload/record.h"
#include "workload_fixture.h"

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

static struct run_config make(const char *name, const char *const *settings)
{
	struct run_config c = { .workload = preset(name),
				.engine = &plant_info,
				.dir = "/nonexistent/store",
				.threads = 1,
				.memory_bytes = 1 << 20,
				.check_content = true,
				.settle = true };

	c.workload.field_count = 1;
	c.workload.seed = 42;
	set_all(&c.workload, settings);
	check_workload(&c.workload);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif /* PLANTED_ENGINE_H */
