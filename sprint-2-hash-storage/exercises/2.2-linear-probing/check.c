/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.2: linear probing.
 */
#include "../table_check.h"

#define HEADER "sprint-2-hash-storage/hash_table.h"
#define SOURCE "the comment at the top of sprint-2-hash-storage/hash_table_linear.c"

static void test_what_is_inserted_is_found(void **state)
{
	struct hash_table *t = table_new(64);
	uint32_t i;

	(void)state;
	must_miss(t, hash_at(t, 5, 1), 1, "in an empty table");
	for (i = 0; i < 20; i++)
		put(t, hash_at(t, i * 3, i), 100 + i);
	learn_number("the table's count after 20 inserts", t->count, 20);
	for (i = 0; i < 20; i++)
		must_find(t, hash_at(t, i * 3, i), 100 + i, "after 20 inserts");
	must_miss(t, hash_at(t, 3, 999), 101, "by a hash with another tag");
	hash_table_free(t);
}

static void test_whose_slot_is_taken_goes_on(void **state)
{
	struct hash_table *t = table_new(64);
	struct wanted w = { .address = 12 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 10; i++) /* one home; the tag is that of i / 2 */
		put(t, hash_at(t, 7, i / 2), 10 + i);
	for (i = 0; i < 10; i++)
		must_find(t, hash_at(t, 7, i / 2), 10 + i, "among ten with one home");
	(void)finds(t, hash_at(t, 7, 1), &w);
	learn_number("the keys that are read to find the third of ten with one home",
		     w.asked, 1);
	learn_number("the slots that are looked at for it", w.probes, 3);
	w = (struct wanted){ .address = 99 };
	(void)finds(t, hash_at(t, 7, 50), &w);
	learn_number("the slots looked at for what is not there, behind ten", w.probes,
		     11);
	hash_table_free(t);
}

static void test_the_table_is_a_ring(void **state)
{
	struct hash_table *t = table_new(100);
	uint32_t last = slots_of(t) - 1, i;

	(void)state;
	for (i = 0; i < 6; i++)
		put(t, hash_at(t, last - 1, i), 10 + i);
	for (i = 0; i < 6; i++)
		must_find(t, hash_at(t, last - 1, i), 10 + i,
			  "in a run over the end of the array");
	for (i = 0; i < 6; i++) {
		learn_expect(ops->remove(t, hash_at(t, last - 1, i), 10 + i),
			     "remove() finds what lies there", "false for the %u-th", i);
		if (i < 5)
			must_find(t, hash_at(t, last - 1, 5), 15,
				  "while those before it in the ring are removed");
	}
	hash_table_free(t);
}

static void test_a_full_table_refuses(void **state)
{
	struct hash_table *t = table_new(16);
	uint32_t i;

	(void)state;
	for (i = 0; i < 16; i++)
		put(t, hash_at(t, i, i), i);
	learn_error("insert() at capacity", ops->insert(t, hash_at(t, 3, 77), 77),
		    -ENOSPC);
	learn_number("the count after it", t->count, 16);
	must_miss(t, hash_at(t, 3, 77), 77, "after insert() has refused it");
	hash_table_free(t);
}

static void test_no_entry_lies_beyond_the_reach(void **state)
{
	struct hash_table *t = table_new(1024);
	uint32_t i;

	(void)state;
	for (i = 0; i < 255; i++)
		put(t, hash_at(t, 9, i), 1000 + i);
	learn_error("insert() of the 256th with one home",
		    ops->insert(t, hash_at(t, 9, 255), 1255), -ENOSPC);
	learn_number("the count after it", t->count, 255);
	must_find(t, hash_at(t, 9, 254), 1254, "at the end of the reach");
	hash_table_free(t);
}

static void test_removal_keeps_who_lies_behind(void **state)
{
	struct hash_table *t = table_new(64);
	uint32_t i, gone;

	(void)state;
	/* Homes 10 10 11 11 12 20: the first five make one run, the last lies alone. */
	static const uint32_t home[] = { 10, 10, 11, 11, 12, 20 };

	for (gone = 0; gone < 6; gone++) {
		for (i = 0; i < 6; i++)
			put(t, hash_at(t, home[i], i), 50 + i);
		learn_expect(ops->remove(t, hash_at(t, home[gone], gone), 50 + gone),
			     "remove() returns true", "false");
		must_miss(t, hash_at(t, home[gone], gone), 50 + gone, "after remove()");
		for (i = 0; i < 6; i++)
			if (i != gone)
				must_find(t, hash_at(t, home[i], i), 50 + i,
					  learn_text("after address %u was removed",
						     50 + gone));
		for (i = 0; i < 6; i++)
			learn_expect(ops->remove(t, hash_at(t, home[i], i), 50 + i) ==
					     (i != gone),
				     "remove() returns true once for each entry",
				     "not so for address %u", 50 + i);
	}
	learn_number("the count when all are gone", t->count, 0);
	hash_table_free(t);
}

static void test_nobody_moves_before_home(void **state)
{
	struct hash_table *t = table_new(64);
	struct hash_entry e[4];

	(void)state;
	put(t, hash_at(t, 10, 1), 1);
	put(t, hash_at(t, 11, 2), 2); /* at home */
	put(t, hash_at(t, 10, 3), 3); /* two slots from home */
	(void)ops->remove(t, hash_at(t, 10, 1), 1);
	must_find(t, hash_at(t, 11, 2), 2, "when the slot before its home gets free");
	must_find(t, hash_at(t, 10, 3), 3, "when its home gets free");
	learn_number("the entries left", walk(t, e, 4), 2);
	learn_number("the address that lies first now", e[0].address, 3);
	hash_table_free(t);
}

static void test_exactly_this_entry_is_removed(void **state)
{
	struct hash_table *t = table_new(64);

	(void)state;
	put(t, hash_at(t, 10, 4), 1);
	put(t, hash_at(t, 10, 4), 2);
	put(t, hash_at(t, 11, 4), 2); /* same tag and address, another home */
	learn_expect(!ops->remove(t, hash_at(t, 10, 4), 3),
		     "false for an address that is not there", "true");
	(void)ops->remove(t, hash_at(t, 11, 4), 2);
	must_find(t, hash_at(t, 10, 4), 2, "when one with another home is removed");
	learn_expect(!ops->remove(t, hash_at(t, 11, 4), 2),
		     "false for what was removed already", "true");
	must_find(t, hash_at(t, 10, 4), 1, "when others are removed");
	hash_table_free(t);
}

static void test_removal_leaves_no_trace(void **state)
{
	struct hash_table *t = table_new(64);
	struct wanted w = { .address = 1 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 20000; i++) {
		uint64_t hash = learn_random(1ull << 58);

		put(t, hash, i);
		learn_expect(ops->remove(t, hash, i), "remove() returns true", "false");
	}
	for (i = 0; i < slots_of(t); i++)
		(void)finds(t, hash_at(t, i, 1), &w);
	learn_number("the slots looked at for one miss from each home of an empty table",
		     w.probes, slots_of(t));
	hash_table_free(t);
}

static void test_a_long_history(void **state)
{
	(void)state;
	history(100, 100, 3000);
	history(300, 100, 3000);
}

static void bench_find(uint64_t n)
{
	static struct hash_table *t;
	struct wanted w = { .address = 0 };
	uint64_t state = 1;
	uint32_t i;

	if (!t) {
		t = table_new(1024);
		for (i = 0; i < 900; i++)
			(void)ops->insert(t, (i + 1) * 0x9e3779b97f4a7c15ull >> 6, i);
	}
	for (; n; n--) {
		w.address = state++ % 900;
		(void)finds(t, (w.address + 1) * 0x9e3779b97f4a7c15ull >> 6, &w);
	}
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_what_is_inserted_is_found, 1, HEADER),
	LEARN_TEST(test_whose_slot_is_taken_goes_on, 2, SOURCE),
	LEARN_TEST(test_the_table_is_a_ring, 2, SOURCE),
	LEARN_TEST(test_a_full_table_refuses, 1, HEADER),
	LEARN_TEST(test_no_entry_lies_beyond_the_reach, 1, SOURCE),
	LEARN_TEST(test_removal_keeps_who_lies_behind, 3, SOURCE),
	LEARN_TEST(test_nobody_moves_before_home, 2, SOURCE),
	LEARN_TEST(test_exactly_this_entry_is_removed, 2, HEADER),
	LEARN_TEST(test_removal_leaves_no_trace, 1, SOURCE),
	LEARN_TEST(test_a_long_history, 2, HEADER),
};
static const struct learn_speed speeds[] = { { "find", bench_find, 100000 } };

int main(int argc, char **argv)
{
	ops = &hash_table_linear;
	return learn_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]), speeds, 1);
}
