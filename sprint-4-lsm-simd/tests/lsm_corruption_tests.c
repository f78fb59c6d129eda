/* SPDX-License-Identifier: MIT */
/*
 * lsm_corruption_tests.c - bytes of an LSM store that change at rest: the right answer or an
 * error.
 *
 * kv_damage.h says what is done to a store and asked of it; here a file can have another's place
 * as well, or be of another store.
 *
 * In the quick form a few bytes of each file are flipped; with KV_TORTURE each byte, as long as
 * it says.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/kv_damage.h"
#include "../lsm_engine.h"
#include "lsm_packed.h"

enum { UNIT = 4096 };

#define SMALL                                                                 \
	"memory_bytes=1m,memtable_bytes=6k,segment_bytes=64k,table_bytes=4k," \
	"block_bytes=256,level_bytes=8k,ratio=2,flushed_runs=2,huge=off,reserve_bytes=0"

/* ---- making them ---- */

static size_t value_bytes(unsigned int key) /* some in blob files */
{
	return key % 7 == 3 ? 2500 : 40;
}

static void make_tables(struct kv_damage_store *st, struct kv *kv)
{
	unsigned int round, i;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < KV_DAMAGE_KEYS; i += 1 + round)
			kv_damage_put(st, kv, i * 17 % KV_DAMAGE_KEYS, KV_NONE);
		if (round < 2)
			assert_int_equal(kv_compact(kv), 0);
	}
	for (i = 1; i < KV_DAMAGE_KEYS; i += 9)
		kv_damage_delete(st, kv, i);
}

/* Tables, and a tail of the log behind them that ends with durable records. */
static void make_tail(struct kv_damage_store *st, struct kv *kv)
{
	make_tables(st, kv);
	assert_int_equal(kv_compact(kv), 0);
	kv_damage_make_tail(st, kv);
}

/* ---- the damages ---- */

static void flip_bytes(struct kv_damage_store *st, uint64_t stride, uint64_t seed,
		       time_t end)
{
	static uint8_t unit[UNIT];
	struct story_names f;
	uint64_t at, from, size;
	size_t i, got;

	story_list(st->disk, st->folder, &f);
	for (i = 0; i < f.n; i++) {
		struct file *file = story_open_file(st->disk, f.name[i]);

		size = story_file_bytes(st->disk, f.name[i]);
		for (from = 0; from < size; from += UNIT) {
			assert_int_equal(file_read(file, from, unit, UNIT, &got), 0);
			for (at = 0; at < got && (!end || time(NULL) < end);
			     at += story_is_zero(unit, got)
					   ? UNIT
					   : 1 + fixture_random(&seed) % (2 * stride - 1))
				kv_damage_flip(
					st, f.name[i], from + at,
					(uint8_t)(1u << fixture_random(&seed) % 8));
		}
		file_close(file);
	}
}

/* The bytes of one file, whole and with right checksums, under the name of another. */
static void put_in_place(struct kv_damage_store *st, struct env_sim *from,
			 const char *source, const char *target, const char *what)
{
	struct env_sim *disk = env_sim_copy(st->disk, false);
	struct kv_buf b = { 0 };
	char damage[160], path[ENV_PATH_MAX];
	struct file *file;

	(void)snprintf(damage, sizeof(damage), "%s: is %s %s", target, what, source);
	assert_int_equal(env_path(path, "store", source), 0);
	assert_int_equal(env_read_file(env_sim_env(from), path, 1 << 20, &b), 0);
	file = story_open_file(disk, target);
	assert_int_equal(file->ops->truncate(file, 0), 0);
	assert_int_equal(file_write(file, 0, b.data, b.len), 0);
	assert_int_equal(file_sync(file), 0);
	file_close(file);
	kv_buf_free(&b);
	kv_damage_check(st, disk, damage);
	env_sim_free(disk);
}

static const char *suffix_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot : name;
}

static void swap_files(struct kv_damage_store *st)
{
	struct story_names f;
	size_t i, j;

	story_list(st->disk, st->folder, &f);
	assert_true(f.n >= 5);
	for (i = 0; i < f.n; i++)
		for (j = 0; j < f.n; j++)
			if (i != j && !kv_damage_may_lack_end(st, f.name[j]) &&
			    !strcmp(suffix_of(f.name[i]), suffix_of(f.name[j])))
				put_in_place(st, st->disk, f.name[i], f.name[j],
					     "this store's");
}

/* Another store, made the same way, has files of the same names. */
static void mix_stores(struct kv_damage_store *st)
{
	struct kv_damage_store other = *st;
	struct story_names mine, its;
	size_t i, j;

	kv_damage_make(&other, 8);
	story_list(st->disk, st->folder, &mine);
	story_list(other.disk, st->folder, &its);
	for (i = 0; i < mine.n; i++)
		for (j = 0; j < its.n; j++)
			if (!kv_damage_may_lack_end(st, mine.name[i]) &&
			    !strcmp(mine.name[i], its.name[j]))
				put_in_place(st, other.disk, its.name[j], mine.name[i],
					     "another store's");
	env_sim_free(other.disk);
}

/* ---- the tests ---- */

/* Damages of all kinds: each was noticed, or did no harm; some were of each sort. */
static void damage_in_all_ways(struct kv_damage_store *st, uint64_t stride)
{
	kv_damage_make(st, 7);
	flip_bytes(st, stride * test_one_in(1), 11, 0);
	kv_damage_zero_sectors(st);
	kv_damage_cut_files(st);
	kv_damage_remove_files(st);
	swap_files(st);
	mix_stores(st);
	print_message("%s (%s): %llu opened, %llu refused\n", st->name, st->options,
		      (unsigned long long)st->opened, (unsigned long long)st->refused);
	assert_true(st->opened && st->refused);
	env_sim_free(st->disk);
}

#define STORE(options_, make_)                                         \
	.options = options_, .ops = &lsm_engine, .folder = "manifest", \
	.value_bytes = value_bytes, .make = make_, .flip_bytes = flip_bytes

static struct kv_damage_store stores[] = {
	{ .name = "closed", STORE(SMALL, make_tables) },
	{ .name = "killed",
	  STORE(SMALL ",style=leveled,map=off", make_tail),
	  .killed = true },
	{ .name = "packed",
	  STORE(SMALL "," PACKED ",blob_bytes=0,access=map,style=tiered", make_tables) },
};

enum { STORES = sizeof(stores) / sizeof(stores[0]) };

static void test_undamaged_store_answers_everything(void **state)
{
	(void)state;
	kv_damage_none(stores, STORES);
}

static void test_damaged_closed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[0], 90);
}

static void test_damaged_killed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[1], 60);
}

static void test_damaged_packed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[2], 70);
}

/* A table that is corrupt is met by one compaction, and by none after it; around it the store
 * goes on. */
static void test_corrupt_table_is_left_out_of_compactions(void **state)
{
	struct kv_damage_store own = stores[0], *st = &own;
	unsigned int errors, i;
	uint64_t excluded;
	struct story_names f;
	char path[ENV_PATH_MAX];
	struct kv *kv;

	(void)state;
	st->options = SMALL ",blob_bytes=0";
	kv_damage_make(st, 7);
	story_list(st->disk, st->folder, &f);
	for (i = 0; i < f.n && !strstr(f.name[i], ".sst"); i++)
		;
	assert_true(i < f.n);
	assert_int_equal(env_path(path, "store", f.name[i]), 0);
	assert_int_equal(env_sim_flip(st->disk, path, 100, 4), 0);
	kv = kv_damage_open(st, st->disk);
	errors = kv_damage_get_all(st, kv, "a block");
	assert_true(errors > 0 && errors < KV_DAMAGE_KEYS / 2);
	/* A store of one run has nothing to merge. */
	kv_damage_put(st, kv, 50, KV_NONE);
	(void)kv_compact(kv);
	excluded = fixture_stat(kv, "compactions_excluded");
	assert_true(excluded >= 1);
	for (i = 0; i < 5; i++) {
		kv_damage_put(st, kv, 50, KV_NONE);
		assert_int_equal(kv_compact(kv), 0);
	}
	assert_int_equal(fixture_stat(kv, "compactions_excluded"), excluded);
	assert_true(kv_damage_get_all(st, kv, "a block") <= errors);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(st->disk);
}

static void test_torture(void **state)
{
	(void)state;
	kv_damage_torture(stores, STORES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_undamaged_store_answers_everything),
		LEAK_CHECKED(test_damaged_closed_store),
		LEAK_CHECKED(test_damaged_killed_store),
		LEAK_CHECKED(test_damaged_packed_store),
		LEAK_CHECKED(test_corrupt_table_is_left_out_of_compactions),
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
