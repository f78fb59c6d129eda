/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.3: robin hood.
 */
#include "../table_check.h"

#define HEADER "sprint-2-hash-storage/hash_table.h"
#define SOURCE "the comment at the top of sprint-2-hash-storage/hash_table_robin_hood.c"

static void test_what_is_inserted_is_found(void **state)
{
	struct hash_table *t = table_new(64);
	uint32_t i;

	(void)state;
	must_miss(t, hash_at(t, 5, 1), 1, "in an empty table");
	for (i = 0; i < 10; i++)
		put(t, hash_at(t, 7, i / 2), 10 + i);
	for (i = 0; i < 10; i++)
		must_find(t, hash_at(t, 7, i / 2), 10 + i, "among ten with one home");
	hash_table_free(t);
}

static void test_entries_lie_in_the_order_of_homes(void **state)
{
	static const uint32_t home[] = { 10, 11, 10, 13, 10, 12, 11, 10 };
	struct hash_table *t = table_new(64);
	struct hash_entry e[16];
	uint32_t i, n;

	(void)state;
	for (i = 0; i < 8; i++)
		put(t, hash_at(t, home[i], i), i);
	n = walk(t, e, 16);
	learn_number("the entries in the table", n, 8);
	for (i = 1; i < n; i++)
		learn_expect(hash_place(e[i - 1].hash, slots_of(t)) <=
				     hash_place(e[i].hash, slots_of(t)),
			     "entries lie in the order of their homes",
			     "one with home %u before one with home %u",
			     hash_place(e[i - 1].hash, slots_of(t)),
			     hash_place(e[i].hash, slots_of(t)));
	for (i = 0; i < 8; i++)
		must_find(t, hash_at(t, home[i], i), i, "in a run of several homes");
	hash_table_free(t);
}

static void test_a_miss_ends_early(void **state)
{
	struct hash_table *t = table_new(64);
	struct wanted w = { .address = 99 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 20; i++) /* all at home, side by side */
		put(t, hash_at(t, 5 + i, i), i);
	(void)finds(t, hash_at(t, 5, 500), &w);
	learn_number("the slots looked at for what is not there, in a run of 20 at home",
		     w.probes, 2);
	learn_number("the keys read for it", w.asked, 0);
	hash_table_free(t);
}

static void test_the_table_is_a_ring(void **state)
{
	struct hash_table *t = table_new(100);
	uint32_t last = slots_of(t) - 1, i;

	(void)state;
	put(t, hash_at(t, 0, 50), 50);
	for (i = 0; i < 6; i++)
		put(t, hash_at(t, last - 1, i), 10 + i);
	must_find(t, hash_at(t, 0, 50), 50, "moved on by those from the array's end");
	for (i = 0; i < 6; i++)
		must_find(t, hash_at(t, last - 1, i), 10 + i, "over the array's end");
	for (i = 0; i < 6; i++)
		learn_expect(ops->remove(t, hash_at(t, last - 1, i), 10 + i),
			     "remove() finds what lies over the array's end", "false");
	must_find(t, hash_at(t, 0, 50), 50, "when those before it have gone");
	hash_table_free(t);
}

static void test_no_room_changes_nothing(void **state)
{
	struct hash_table *t = table_new(1024);
	uint32_t i;

	(void)state;
	put(t, hash_at(t, 10, 1000), 1000);
	for (i = 0; i < 64; i++) /* the last lies as far from home as one may */
		put(t, hash_at(t, 11, i), i);
	learn_error("insert() that would move an entry beyond the reach",
		    ops->insert(t, hash_at(t, 10, 2000), 2000), -ENOSPC);
	learn_number("the count after it", t->count, 65);
	must_miss(t, hash_at(t, 10, 2000), 2000, "after insert() has refused it");
	for (i = 0; i < 64; i++)
		must_find(t, hash_at(t, 11, i), i, "after insert() has refused another");
	hash_table_free(t);
	t = table_new(16);
	for (i = 0; i < 16; i++)
		put(t, hash_at(t, i, i), i);
	learn_error("insert() at capacity", ops->insert(t, hash_at(t, 3, 77), 77),
		    -ENOSPC);
	hash_table_free(t);
}

static void test_removal_moves_who_is_not_at_home(void **state)
{
	static const uint32_t home[] = { 10, 10, 11, 11, 12, 15, 16 };
	struct hash_table *t = table_new(64);
	struct wanted w = { .address = 99 };
	uint32_t i, gone;

	(void)state;
	for (gone = 0; gone < 7; gone++) {
		for (i = 0; i < 7; i++)
			put(t, hash_at(t, home[i], i), 50 + i);
		learn_expect(ops->remove(t, hash_at(t, home[gone], gone), 50 + gone),
			     "remove() returns true", "false");
		must_miss(t, hash_at(t, home[gone], gone), 50 + gone, "after remove()");
		for (i = 0; i < 7; i++)
			if (i != gone)
				must_find(t, hash_at(t, home[i], i), 50 + i,
					  learn_text("after address %u was removed",
						     50 + gone));
		for (i = 0; i < 7; i++)
			learn_expect(ops->remove(t, hash_at(t, home[i], i), 50 + i) ==
					     (i != gone),
				     "remove() returns true once for each entry",
				     "not so for address %u", 50 + i);
	}
	learn_number("the count when all are gone", t->count, 0);
	for (i = 0; i < slots_of(t); i++)
		(void)finds(t, hash_at(t, i, 1), &w);
	learn_number("the slots looked at for a miss from each home, when all are gone",
		     w.probes, slots_of(t));
	hash_table_free(t);
}

static void test_the_hash_moves_along(void **state)
{
	struct hash_table *t = table_new(64);
	struct hash_entry e[8];
	uint32_t i, n;

	(void)state;
	for (i = 0; i < 6; i++)
		put(t, hash_at(t, 20 - i, i), i);
	put(t, hash_at(t, 15, 6), 6);
	(void)ops->remove(t, hash_at(t, 18, 2), 2);
	n = walk(t, e, 8);
	learn_number("the entries in the table", n, 6);
	for (i = 0; i < n; i++) {
		uint32_t id = (uint32_t)e[i].address;

		learn_number(learn_text("bits 42 to 57 of the hash of address %u", id),
			     hash_upper(e[i].hash), (uint16_t)(id * 7));
	}
	hash_table_free(t);
}

static void test_a_long_history(void **state)
{
	(void)state;
	history(100, 100, 3000);
	history(300, 100, 3000);
}

static void bench_miss(uint64_t n)
{
	static struct hash_table *t;
	struct wanted w = { .address = HASH_ADDRESS_MAX };
	uint32_t i;

	if (!t) {
		t = table_new(1024);
		for (i = 0; i < 1000; i++)
			(void)ops->insert(t, (i + 1) * 0x9e3779b97f4a7c15ull >> 6, i);
	}
	for (; n; n--)
		(void)finds(t, (n + 5000) * 0x9e3779b97f4a7c15ull >> 6, &w);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_what_is_inserted_is_found, 1, HEADER),
	LEARN_TEST(test_entries_lie_in_the_order_of_homes, 3, SOURCE),
	LEARN_TEST(test_a_miss_ends_early, 2, SOURCE),
	LEARN_TEST(test_the_table_is_a_ring, 2, SOURCE),
	LEARN_TEST(test_no_room_changes_nothing, 2, HEADER),
	LEARN_TEST(test_removal_moves_who_is_not_at_home, 3, SOURCE),
	LEARN_TEST(test_the_hash_moves_along, 1, HEADER),
	LEARN_TEST(test_a_long_history, 2, HEADER),
};
static const struct learn_speed speeds[] = { { "miss", bench_miss, 100000 } };

int main(int argc, char **argv)
{
	ops = &hash_table_robin_hood;
	return learn_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]), speeds, 1);
}
