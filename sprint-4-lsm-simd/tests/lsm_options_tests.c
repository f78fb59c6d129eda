/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_options_tests.c - the LSM engine: random operations times random options, against the
 * array engine, see kv_options.h of sprint 2; and an option that is not built in.
 */
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../lsm_store.h"
#include "lsm_packed.h"

#define OPTIONS_ENGINE    lsm_engine
#define OPTIONS_VALUE_MAX 12000

/* Memtables together are half of the memory at most. */
#define MEMORY                                                                        \
	"1m,memtable_bytes=16k,memtables=2|1m,memtable_bytes=32k,memtables=16|"       \
	"1m,memtable_bytes=128k,memtables=4|1m|4m,memtable_bytes=64k,memtables=3|4m|" \
	"64m,memtable_bytes=48k|64m"

/* Memtables, tables and levels of the usual sizes would never be full here: those options are
 * always drawn, or are small more often than not. */
#define OPTIONS_CHOICES                                                                \
	{ "memory_bytes", MEMORY, false }, { "segment_bytes", "0|64k|128k|1m", true }, \
		{ "table_bytes", "4k|16k|64k|64k|256k", true },                        \
		{ "style", "lazy|leveled|tiered", false },                             \
		{ "ratio", "2|3|8|64", false }, { "flushed_runs", "1|2|4|16", false }, \
		{ "level_bytes", "0|64k|200k|4m", false },                             \
		{ "block_bytes", "256|1k|4k|64k", false },                             \
		{ "restart_interval", "1|2|8|1000", false },                           \
		{ "filter_bits", "0|1|10|32", false },                                 \
		{ "compression", PACKED_CHOICES, false },                              \
		{ "blob_bytes", "0|1|40|512", false },                                 \
		{ "blob_live_percent", "0|50|90|100", false },                         \
		{ "cache", "clock|lru", false },                                       \
		{ "record_percent", "0|40|100|101", false },                           \
		{ "access", "map|read|direct", false }, { "threads", "1|1|3", false }, \
		{ "parts", "1|1|2", false }, { "rate", "0|0|64m", false },             \
		{ "huge", "off|off|on", false }, { "mlock", "off|on", false },         \
		{ "map", "on|on|off", false }, { "group_ms", "1|20|1000", false },     \
		{ "reserve_bytes", "0|1|1|100k", false },
#include "../../sprint-2-hash-storage/tests/kv_options.h"

/* ---- compression that is not built in ---- */

static bool without_lz4;

bool __real_sst_can_lz4(void);
bool __wrap_sst_can_lz4(void);
bool __wrap_sst_can_lz4(void)
{
	return !without_lz4 && __real_sst_can_lz4();
}

/* At once, rather than by the first compaction that would need it; and nothing is made. */
static void test_compression_that_is_not_built_in_is_refused(void **state)
{
	struct env_sim *disk = env_sim_new(NULL);
	struct env *env = env_sim_env(disk);
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	struct file *f;

	(void)state;
	without_lz4 = true;
	assert_int_equal(kv_open(&lsm_engine, env, "store", "compression=lz4", &kv, &why),
			 -EOPNOTSUPP);
	assert_null(kv);
	assert_non_null(strstr(why.text, "install liblz4"));
	assert_int_equal(env_open(env, "store/STORE", ENV_READ, &f), -ENOENT);
	assert_int_equal(
		kv_open(&lsm_engine, env, "store", "compression=none", &kv, &why), 0);
	assert_int_equal(kv_close(kv), 0);
	without_lz4 = false;
	env_sim_free(disk);
}

/* ---- the log's segments ---- */

/* What STORE says after opening with these options; 0: it was refused with -EINVAL. */
static uint64_t segment_bytes(struct env *env, const char *dir, const char *options)
{
	struct lsm_identity identity;
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error = kv_open(&lsm_engine, env, dir, options, &kv, &why);

	if (error) {
		assert_int_equal(error, -EINVAL);
		assert_non_null(strstr(why.text, "segment_bytes"));
		return 0;
	}
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(lsm_identity_read(env, dir, &identity, &why), 0);
	return identity.segment_bytes;
}

static void test_memtable_fills_some_segments_unless_told_otherwise(void **state)
{
	static const struct {
		const char *options;
		uint64_t segment;
	} each[] = {
		{ "huge=off,memory_bytes=256m,reserve_bytes=0", 8 << 20 },
		{ "huge=off,memory_bytes=64m,reserve_bytes=0", 2 << 20 },
		{ "huge=off,memory_bytes=16m,reserve_bytes=0", 512 << 10 },
		{ "huge=off,memory_bytes=1m", 64 << 10 },
		{ "huge=off,memory_bytes=16m,memtable_bytes=3m,memtables=2", 512 << 10 },
		{ "huge=off,memory_bytes=16m,memtable_bytes=20k", 64 << 10 },
		{ "huge=off,memory_bytes=16m,segment_bytes=128k", 128 << 10 },
		{ "huge=off,memory_bytes=16m,segment_bytes=32k", 0 },
		{ "huge=off,memory_bytes=16m,segment_bytes=100k", 0 },
	};
	struct env_sim *disk = env_sim_new(NULL);
	struct env *env = env_sim_env(disk);
	char dir[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		(void)snprintf(dir, sizeof(dir), "store%zu", i);
		assert_int_equal(segment_bytes(env, dir, each[i].options),
				 each[i].segment);
	}
	/* A store keeps what it was made with. */
	assert_int_equal(segment_bytes(env, "store2", "huge=off,memory_bytes=64m"),
			 512 << 10);
	env_sim_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPTIONS_TESTS,
		cmocka_unit_test(test_compression_that_is_not_built_in_is_refused),
		cmocka_unit_test(test_memtable_fills_some_segments_unless_told_otherwise),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, options_tear_down);
}
