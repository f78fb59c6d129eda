// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_kunit_test.c - storage-kunit-test.ko: the cores of all engines and the ground floor, by
 * KUnit, in a kernel that has it (the lab kernel). Loading the module runs the tests; the
 * results are in the kernel's log as TAP and in /sys/kernel/debug/kunit.
 *
 * The conformance suite goes through a device; this is the core itself, called as a module would.
 * Each case is run once for each engine, over files in memory.
 */
#include <kunit/test.h>

#include "../../sprint-1-core-memory/array_engine.h"
#include "../../sprint-1-core-memory/port_crc32c.h"
#include "../../sprint-2-hash-storage/env_memory.h"
#include "../../sprint-2-hash-storage/hash_engine.h"
#include "../../sprint-2-hash-storage/kernel/env_kernel.h"
#include "../../sprint-2-hash-storage/kernel/storage_home.h"
#include "../../sprint-3-btree-storage/btree_engine.h"
#include "../lsm_engine.h"

enum { MEMORY = 16 << 20, PAIRS = 600, BATCH = 16, VALUE = 200, LARGE = 4000, SEEDS = 2 };

struct engine_case {
	const struct kv_ops *ops;
	const char *options;
};

static const struct engine_case engine_case[] = {
	{ &array_engine, "memory_bytes=2m" },
	{ &hash_engine, "segment_bytes=256k" },
	{ &btree_engine, "segment_bytes=256k,checkpoint_bytes=1m,memory_bytes=4m" },
	{ &lsm_engine, "segment_bytes=256k,memory_bytes=8m,memtable_bytes=256k,"
		       "record_percent=0,table_bytes=256k,reserve_bytes=0" },
};

static void engine_name(const struct engine_case *c, char *to)
{
	strscpy(to, c->ops->name, KUNIT_PARAM_DESC_SIZE);
}
KUNIT_ARRAY_PARAM(engine, engine_case, engine_name);

/* What a case has: a home in memory, and a store in it. */
struct place {
	const struct engine_case *engine;
	struct env *kernel, *memory;
	struct kv *kv;
	struct kv_buf got;
	struct kv_msg why;
	char key[24];
	u8 value[LARGE];
};

static int place_init(struct kunit *test)
{
	struct place *p = port_alloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	test->priv = p;
	KUNIT_ASSERT_EQ(test, env_kernel_new(&p->kernel), 0);
	KUNIT_ASSERT_EQ(test, env_memory_new(p->kernel, MEMORY, &p->memory), 0);
	return 0;
}

static void place_exit(struct kunit *test)
{
	struct place *p = test->priv;

	if (!p)
		return;
	kv_buf_free(&p->got);
	(void)kv_close(p->kv);
	env_memory_free(p->memory);
	env_kernel_free(p->kernel);
	port_free(p);
}

static struct place *place_open(struct kunit *test)
{
	struct place *p = test->priv;

	p->engine = test->param_value;
	KUNIT_ASSERT_EQ_MSG(test,
			    kv_open(p->engine->ops, p->memory, "store",
				    p->engine->options, &p->kv, &p->why),
			    0, "%s", p->why.text);
	return p;
}

static struct kv_slice key_of(struct place *p, unsigned int i)
{
	return kv_slice(p->key, snprintf(p->key, sizeof(p->key), "pair%08u", i));
}

static struct kv_slice value_of(struct place *p, unsigned int i, unsigned int version,
				size_t len)
{
	memset(p->value, (int)(i * 7 + version), len);
	return kv_slice(p->value, len);
}

static int put(struct place *p, unsigned int i, unsigned int version)
{
	return kv_put(p->kv, key_of(p, i), value_of(p, i, version, VALUE), KV_NONE);
}

static void expect_value(struct kunit *test, struct place *p, struct kv_snapshot *snap,
			 unsigned int i, unsigned int version)
{
	KUNIT_ASSERT_EQ(test, kv_get_at(p->kv, snap, key_of(p, i), &p->got), 0);
	KUNIT_EXPECT_EQ(test,
			kv_compare(kv_slice(p->got.data, p->got.len),
				   value_of(p, i, version, VALUE)),
			0);
}

static void fill(struct kunit *test, struct place *p)
{
	unsigned int i;

	/* In an order that is neither up nor down: 7 and PAIRS have no divisor in common. */
	for (i = 0; i < PAIRS; i++)
		KUNIT_ASSERT_EQ(test, put(p, i * 7 % PAIRS, 0), 0);
}

/* ---- engines ---- */

static void test_get_finds_what_was_put(struct kunit *test)
{
	struct place *p = place_open(test);
	unsigned int i;

	fill(test, p);
	for (i = 0; i < PAIRS; i += 2)
		KUNIT_ASSERT_EQ(test, put(p, i, 1), 0);
	for (i = 0; i < PAIRS; i += 3)
		KUNIT_ASSERT_EQ(test, kv_delete(p->kv, key_of(p, i), KV_NONE), 0);
	for (i = 0; i < PAIRS; i++)
		if (i % 3)
			expect_value(test, p, NULL, i, i % 2 == 0);
		else
			KUNIT_EXPECT_EQ(test, kv_get(p->kv, key_of(p, i), &p->got),
					-ENOENT);
	KUNIT_EXPECT_EQ(test,
			kv_put(p->kv, kv_slice(p->value, KV_KEY_MAX + 1), kv_slice("", 0),
			       KV_NONE),
			-EINVAL);
}

static void test_batch_is_written_whole(struct kunit *test)
{
	struct place *p = place_open(test);
	enum kv_durability how =
		p->engine->ops->caps & KV_CAP_PERSISTENT ? KV_SYNC : KV_NONE;
	static char key[BATCH][4];
	struct kv_op op[BATCH];
	unsigned int i;

	if (!(p->engine->ops->caps & KV_CAP_BATCH))
		kunit_skip(test, "no batches");
	for (i = 0; i < BATCH; i++) {
		snprintf(key[i], sizeof(key[i]), "b%02u", i);
		op[i] = (struct kv_op){ i % 4 == 3 ? KV_DELETE : KV_PUT, kv_str(key[i]),
					i % 4 == 3 ? kv_slice(NULL, 0)
						   : kv_str("value") };
	}
	KUNIT_ASSERT_EQ(test, kv_put(p->kv, kv_str("b03"), kv_str("old"), KV_NONE), 0);
	KUNIT_ASSERT_EQ(test, kv_write(p->kv, op, BATCH, how), 0);
	for (i = 0; i < BATCH; i++)
		KUNIT_EXPECT_EQ(test, kv_get(p->kv, kv_str(key[i]), &p->got),
				i % 4 == 3 ? -ENOENT : 0);
}

static void test_snapshot_stays_as_it_was(struct kunit *test)
{
	struct place *p = place_open(test);
	struct kv_snapshot *snap;
	unsigned int i;

	if (!(p->engine->ops->caps & KV_CAP_SNAPSHOT))
		kunit_skip(test, "no snapshots");
	fill(test, p);
	KUNIT_ASSERT_EQ(test, kv_snapshot(p->kv, &snap), 0);
	for (i = 0; i < PAIRS; i++)
		KUNIT_ASSERT_EQ(test,
				i % 2 ? put(p, i, 1)
				      : kv_delete(p->kv, key_of(p, i), KV_NONE),
				0);
	for (i = 0; i < PAIRS; i++)
		expect_value(test, p, snap, i, 0);
	kv_release(p->kv, snap);
	expect_value(test, p, NULL, 1, 1);
}

static void test_cursor_goes_in_order_both_ways(struct kunit *test)
{
	struct place *p = place_open(test);
	struct kv_cursor *c;
	unsigned int i;

	if (!(p->engine->ops->caps & KV_CAP_ORDERED))
		kunit_skip(test, "not ordered");
	fill(test, p);
	KUNIT_ASSERT_EQ(test, kv_cursor(p->kv, NULL, &c), 0);
	for (i = 0; i < PAIRS && !kv_next(c); i++)
		KUNIT_EXPECT_EQ(test, kv_compare(c->key, key_of(p, i)), 0);
	KUNIT_EXPECT_EQ(test, i, (unsigned int)PAIRS);
	KUNIT_EXPECT_EQ(test, kv_next(c), -ENOENT);
	for (i = PAIRS; i > 0 && !kv_prev(c); i--)
		KUNIT_EXPECT_EQ(test, kv_compare(c->key, key_of(p, i - 1)), 0);
	KUNIT_EXPECT_EQ(test, i, 0u);
	KUNIT_EXPECT_EQ(test, kv_seek(c, kv_str("pair00000123x")), 0);
	KUNIT_EXPECT_EQ(test, kv_compare(c->key, key_of(p, 124)), 0);
	kv_cursor_close(c);
}

static void test_store_comes_back(struct kunit *test)
{
	struct place *p = place_open(test);
	unsigned int i;

	if (!(p->engine->ops->caps & KV_CAP_PERSISTENT))
		kunit_skip(test, "in memory alone");
	fill(test, p);
	KUNIT_ASSERT_EQ(test, kv_close(p->kv), 0);
	p->kv = NULL;
	place_open(test);
	for (i = 0; i < PAIRS; i++)
		expect_value(test, p, NULL, i, 0);
	if (p->engine->ops->caps & KV_CAP_VERIFY)
		KUNIT_EXPECT_EQ_MSG(test, kv_verify(p->kv, &p->why), 0, "%s",
				    p->why.text);
}

/* Twice as much as there is room for. What was there before must still be. */
static void test_full_store_says_so_and_stays(struct kunit *test)
{
	struct place *p = place_open(test);
	unsigned int i;
	int error = 0;

	KUNIT_ASSERT_EQ(test, put(p, 0, 0), 0);
	for (i = 1; i <= 2u * MEMORY / LARGE && !error; i++) {
		error = kv_put(p->kv, key_of(p, i), value_of(p, i, 0, LARGE), KV_NONE);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, error, -ENOSPC);
	expect_value(test, p, NULL, 0, 0);
}

static void test_random_histories(struct kunit *test)
{
	const struct engine_case *c = test->param_value;
	struct place *p = test->priv;
	unsigned int seed;
	char dir[16];

	if (!(c->ops->caps & KV_CAP_PERSISTENT))
		kunit_skip(test, "histories sync");
	for (seed = 1; seed <= SEEDS; seed++) {
		snprintf(dir, sizeof(dir), "history%u", seed);
		KUNIT_EXPECT_EQ_MSG(test,
				    storage_selftest_history(c->ops, p->memory, dir,
							     c->options, 300, seed,
							     &p->why),
				    0, "seed %u: %s", seed, p->why.text);
	}
}

static struct kunit_case engine_cases[] = {
	KUNIT_CASE_PARAM(test_get_finds_what_was_put, engine_gen_params),
	KUNIT_CASE_PARAM(test_batch_is_written_whole, engine_gen_params),
	KUNIT_CASE_PARAM(test_snapshot_stays_as_it_was, engine_gen_params),
	KUNIT_CASE_PARAM(test_cursor_goes_in_order_both_ways, engine_gen_params),
	KUNIT_CASE_PARAM(test_store_comes_back, engine_gen_params),
	KUNIT_CASE_PARAM(test_full_store_says_so_and_stays, engine_gen_params),
	KUNIT_CASE_PARAM(test_random_histories, engine_gen_params),
	{}
};

static struct kunit_suite engine_suite = {
	.name = "storage_engines",
	.init = place_init,
	.exit = place_exit,
	.test_cases = engine_cases,
};

/* ---- the ground floor ---- */

/* RFC 3720's own examples. */
static void test_crc32c_is_castagnolis(struct kunit *test)
{
	static const u8 zeros[32];

	KUNIT_EXPECT_EQ(test, port_crc32c(0, "123456789", 9), 0xe3069283u);
	KUNIT_EXPECT_EQ(test, port_crc32c(0, zeros, sizeof(zeros)), 0x8a9136aau);
	KUNIT_EXPECT_EQ(test, port_crc32c(0, zeros, 0), 0u);
}

/* Short and long ones go other ways, and must meet. */
static void test_crc32c_by_any_way(struct kunit *test)
{
	enum { MOST = 1100 };
	u8 *bytes = kunit_kmalloc(test, MOST + 8, GFP_KERNEL);
	size_t at, n;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bytes);
	for (n = 0; n < MOST + 8; n++)
		bytes[n] = (u8)(n * n >> 3);
	for (at = 0; at < 8; at++)
		for (n = 0; n <= MOST; n++)
			KUNIT_ASSERT_EQ(test, port_crc32c(n, bytes + at, n),
					port_crc32c_tables(n, bytes + at, n));
}

static void test_keys_are_compared_by_bytes(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kv_compare(kv_str("a"), kv_str("a")), 0);
	KUNIT_EXPECT_LT(test, kv_compare(kv_str("a"), kv_str("ab")), 0);
	KUNIT_EXPECT_GT(test, kv_compare(kv_str("\xff"), kv_str("a")), 0);
	KUNIT_EXPECT_LT(test, kv_compare(kv_slice(NULL, 0), kv_slice("", 1)), 0);
}

static void test_buffer_grows_and_keeps(struct kunit *test)
{
	struct kv_buf b = { 0 };
	size_t i;

	for (i = 0; i < 5000; i++)
		KUNIT_ASSERT_EQ(test, kv_buf_append(&b, &(u8){ (u8)i }, 1), 0);
	for (i = 0; i < 5000; i++)
		KUNIT_ASSERT_EQ(test, ((u8 *)b.data)[i], (u8)i);
	kv_buf_free(&b);
	KUNIT_EXPECT_PTR_EQ(test, b.data, NULL);
}

static struct kunit_case floor_cases[] = { KUNIT_CASE(test_crc32c_is_castagnolis),
					   KUNIT_CASE(test_crc32c_by_any_way),
					   KUNIT_CASE(test_keys_are_compared_by_bytes),
					   KUNIT_CASE(test_buffer_grows_and_keeps),
					   {} };

static struct kunit_suite floor_suite = {
	.name = "storage_floor",
	.test_cases = floor_cases,
};

kunit_test_suites(&floor_suite, &engine_suite);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("KUnit tests of the storage engines' cores");
