/* SPDX-License-Identifier: MIT */
/*
 * btree_corruption_tests.c - bytes that change at rest: the right answer or an error.
 *
 * kv_damage.h says what is done to a store and asked of it; here a page can have another's place
 * as well, and a new checkpoint must not make a loss out of what was an error.
 *
 * In the quick form one byte in six of superblocks and page headers is flipped, and one in
 * more of the rest; with KV_TORTURE all of the former, then each byte, as long as it says.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/kv_damage.h"
#include "../btree_engine.h"

enum { PAGE = STORY_PAGE, PAGE_HEADER = 40 };

#define SMALL "segment_bytes=64k,checkpoint_bytes=64k,huge=off"

/* ---- making them ---- */

static size_t value_bytes(unsigned int key) /* some on overflow pages */
{
	return key % 7 == 3 ? 2500 : 40;
}

static void make_tree(struct kv_damage_store *st, struct kv *kv)
{
	unsigned int i;

	for (i = 0; i < KV_DAMAGE_KEYS; i++)
		kv_damage_put(st, kv, i * 17 % KV_DAMAGE_KEYS, KV_NONE);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 0; i < KV_DAMAGE_KEYS; i += 4)
		kv_damage_put(st, kv, i, i % 8 ? KV_SYNC : KV_NONE);
	for (i = 1; i < KV_DAMAGE_KEYS; i += 9)
		kv_damage_delete(st, kv, i);
}

/* A checkpoint, and a tail of the log behind it that ends with durable records. */
static void make_tail(struct kv_damage_store *st, struct kv *kv)
{
	make_tree(st, kv);
	assert_int_equal(kv_compact(kv), 0);
	kv_damage_make_tail(st, kv);
}

/* ---- the damages ---- */

/* How far to go from this byte to the next: the page's bytes are in data. */
static uint64_t step_at(const uint8_t *data, size_t len, bool pages, uint64_t at,
			uint64_t stride)
{
	if (story_is_zero(data, len)) /* nothing was written there */
		return PAGE;
	return (pages && at < PAGE_HEADER) || stride == 1 ? 1 : stride;
}

static void flip_page(struct kv_damage_store *st, const char *name, uint64_t from,
		      uint64_t stride, uint64_t *seed, time_t end)
{
	static uint8_t page[PAGE];
	struct file *file = story_open_file(st->disk, name);
	const bool pages = !strcmp(name, "TREE");
	uint64_t at, step;
	size_t got;

	assert_int_equal(file_read(file, from, page, PAGE, &got), 0);
	file_close(file);
	for (at = 0; at < got && (!end || time(NULL) < end); at += step) {
		uint64_t most, on = 0;

		step = step_at(page, got, pages, at, stride) *
		       test_one_in(KV_DAMAGE_ONE_IN);
		most = step < got - at ? step : got - at;
		if (step > 1)
			on = fixture_random(seed) % most;
		kv_damage_flip(st, name, from + at + on,
			       (uint8_t)(1u << fixture_random(seed) % 8));
	}
}

static void flip_bytes(struct kv_damage_store *st, uint64_t stride, uint64_t seed,
		       time_t end)
{
	struct story_names f;
	uint64_t from, size;
	size_t i;

	story_list(st->disk, NULL, &f);
	for (i = 0; i < f.n; i++) {
		size = story_file_bytes(st->disk, f.name[i]);
		for (from = 0; from < size; from += PAGE)
			flip_page(st, f.name[i], from, stride, &seed, end);
	}
}

/* One page has another's bytes, whole and with a right checksum: a write that went astray. */
static void misdirect_pages(struct kv_damage_store *st)
{
	uint8_t page[PAGE];
	uint64_t from, size;
	struct file *file = story_open_file(st->disk, "TREE");
	size_t got;

	assert_int_equal(file->ops->size(file, &size), 0);
	for (from = 0; from + 2 * PAGE <= size;
	     from += PAGE * test_one_in(KV_DAMAGE_ONE_IN)) {
		struct env_sim *disk = env_sim_copy(st->disk, false);
		struct file *copy = story_open_file(disk, "TREE");
		char damage[64];

		(void)snprintf(damage, sizeof(damage), "page %llu overwrites the next",
			       (unsigned long long)from / PAGE);
		assert_int_equal(file_read(file, from, page, PAGE, &got), 0);
		assert_int_equal(file_write(copy, from + PAGE, page, PAGE), 0);
		file_close(copy);
		kv_damage_check(st, disk, damage);
		env_sim_free(disk);
	}
	file_close(file);
}

/* ---- the tests ---- */

/* Damages of all kinds: each was noticed, or did no harm; some were of each sort. */
static void damage_in_all_ways(struct kv_damage_store *st, uint64_t stride)
{
	kv_damage_make(st, 7);
	flip_bytes(st, stride, 11, 0);
	kv_damage_zero_sectors(st);
	misdirect_pages(st);
	kv_damage_cut_files(st);
	kv_damage_remove_files(st);
	print_message("%s (%s): %llu opened, %llu refused\n", st->name, st->options,
		      (unsigned long long)st->opened, (unsigned long long)st->refused);
	assert_true(st->opened && st->refused);
	env_sim_free(st->disk);
}

#define STORE(options_, make_)                                                 \
	.options = options_, .ops = &btree_engine, .value_bytes = value_bytes, \
	.make = make_, .flip_bytes = flip_bytes

static struct kv_damage_store stores[] = {
	{ .name = "closed", STORE(SMALL ",max_keys=4", make_tree) },
	{ .name = "killed",
	  STORE(SMALL ",max_keys=6,overflow_bytes=200", make_tail),
	  .killed = true },
	{ .name = "packed", STORE(SMALL ",map=off", make_tree) },
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
	damage_in_all_ways(&stores[0], 251);
}

static void test_damaged_killed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[1], 53);
}

static void test_damaged_packed_store(void **state)
{
	(void)state;
	damage_in_all_ways(&stores[2], 71);
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
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
