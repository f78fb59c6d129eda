/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.4: an index that grows a leaf at a time.
 */
#include "../../../harness/learn/learn.h"
#include "../../hash_index.h"

#define HEADER  "sprint-2-hash-storage/hash_index.h"
#define SOURCE  "the comment at the top of sprint-2-hash-storage/hash_index.c"
#define CHAPTER "docs/sprint-2-hash-storage.md, \"The index\""

enum { LEAF = 64, MANY = 20000 };

static struct epoch *epoch;
static struct hash_index *ix;

static void begin(void)
{
	const struct hash_index_config c = { hash_table_find("swiss"), LEAF, 100, 0 };

	learn_error("epoch_new()", epoch_new(&epoch), 0);
	learn_error("hash_index_new()", hash_index_new(&c, epoch, &ix), 0);
}
static void end(void)
{
	hash_index_free(ix);
	epoch_free(epoch);
}

static uint64_t hash_of(uint64_t key)
{
	uint64_t z = (key + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	return z ^ z >> 27;
}
/* All in shard 0. */
static uint64_t hash_in_one_shard(uint64_t key)
{
	return hash_of(key) >> HASH_SHARD_BITS;
}

static int insert(uint64_t hash, uint64_t address)
{
	int error;

	hash_index_lock(ix, hash_index_shard(hash));
	error = hash_index_insert(ix, hash, address);
	hash_index_unlock(ix, hash_index_shard(hash));
	return error;
}
static bool is_address(void *arg, uint64_t address)
{
	return *(uint64_t *)arg == address;
}
static bool find(uint64_t hash, uint64_t address, struct hash_witness *w)
{
	uint64_t found;

	return hash_index_find(ix, hash, is_address, &address, &found, w);
}
static void must_find(uint64_t hash, uint64_t key, const char *when)
{
	learn_expect(find(hash, key, NULL),
		     learn_text("key %llu is found %s", (unsigned long long)key, when),
		     "not found");
}
static struct hash_index_stats stats(void)
{
	struct hash_index_stats s;

	hash_index_stats(ix, &s);
	return s;
}

static void test_without_a_split(void **state)
{
	uint64_t i;

	(void)state;
	begin();
	for (i = 0; i < 500; i++)
		learn_error("hash_index_insert()", insert(hash_of(i), i), 0);
	for (i = 0; i < 500; i++)
		must_find(hash_of(i), i, "among 500");
	learn_number("the splits, while all fits", stats().splits, 0);
	end();
}

static void test_a_full_leaf_is_split(void **state)
{
	uint64_t i, leaves;

	(void)state;
	begin();
	leaves = stats().leaves;
	for (i = 0; i <= LEAF; i++)
		learn_error("hash_index_insert()", insert(hash_in_one_shard(i), i), 0);
	learn_number("the splits for one key more than a leaf holds", stats().splits, 1);
	learn_number("the leaves then", stats().leaves, leaves + 1);
	learn_number("the entries moved by it", stats().longest_split_entries, LEAF);
	for (i = 0; i <= LEAF; i++)
		must_find(hash_in_one_shard(i), i, "after the split");
	learn_number("the entries", stats().entries, LEAF + 1);
	end();
}

static void test_an_index_of_many_leaves(void **state)
{
	uint64_t i;

	(void)state;
	begin();
	for (i = 0; i < MANY; i++)
		learn_error("hash_index_insert()", insert(hash_of(i), i), 0);
	for (i = 0; i < MANY; i++)
		must_find(hash_of(i), i, learn_text("among %d", MANY));
	learn_number("the entries", stats().entries, MANY);
	learn_expect(stats().longest_split_entries <= LEAF,
		     learn_text("no split moves more than %d entries", LEAF), "%llu",
		     (unsigned long long)stats().longest_split_entries);
	end();
}

/* One leaf is split deep: the others stand in many places of the directory. */
static void test_a_leaf_may_stand_in_many_places(void **state)
{
	uint64_t i, hash;

	(void)state;
	begin();
	for (i = 0; i < 3000; i++) {
		/* Three of four lie in the lowest 1024th of the shard. */
		hash = hash_in_one_shard(i) >> (i % 4 ? 10 : 0);
		learn_error("hash_index_insert()", insert(hash, i), 0);
	}
	for (i = 0; i < 3000; i++)
		must_find(hash_in_one_shard(i) >> (i % 4 ? 10 : 0), i,
			  "in a directory whose leaves have several depths");
	learn_number("the entries", stats().entries, 3000);
	end();
}

static void test_equal_hashes_end_in_an_error(void **state)
{
	uint64_t i, hash = hash_of(5);
	int error = 0;

	(void)state;
	begin();
	for (i = 0; !error && i < 10 * LEAF; i++)
		error = insert(hash, i);
	learn_error("hash_index_insert() of more equal hashes than a leaf holds", error,
		    -ENOSPC);
	while (i-- > 1)
		must_find(hash, i - 1, "after an insert that failed");
	end();
}

static void test_out_of_memory_changes_nothing(void **state)
{
	uint64_t i, n = 0, nth;
	bool fired = true;
	int error = 0;

	(void)state;
	for (nth = 1; fired && nth < 2000; nth++) {
		begin();
		port_fault_set(nth, true);
		for (n = 0, error = 0; !error && n < 3000; n++)
			error = insert(hash_in_one_shard(n), n);
		fired = port_fault_fired();
		port_fault_set(0, false);
		if (error) {
			n--;
			learn_error("hash_index_insert() without memory", error, -ENOMEM);
		}
		learn_number("the entries after it", stats().entries, n);
		for (i = 0; i < n; i++)
			must_find(hash_in_one_shard(i), i, "after memory ran out");
		learn_error("hash_index_insert() when there is memory again",
			    insert(hash_in_one_shard(n), n), 0);
		must_find(hash_in_one_shard(n), n, "after all");
		end();
	}
	learn_expect(!fired, "fewer than 2000 allocations for 3000 keys", "more");
}

static void test_old_leaves_wait_for_readers(void **state)
{
	unsigned int slot;
	uint64_t i, waiting, splits;

	(void)state;
	begin();
	slot = epoch_enter(epoch);
	for (i = 0; i < 700; i++)
		learn_error("hash_index_insert()", insert(hash_in_one_shard(i), i), 0);
	waiting = epoch_collect(epoch);
	splits = stats().splits;
	learn_expect(waiting >= splits,
		     learn_text("%llu leaves that were split wait for the reader",
				(unsigned long long)splits),
		     "%llu wait", (unsigned long long)waiting);
	learn_expect(waiting > splits, "and old directories beside them",
		     "none of these");
	epoch_leave(epoch, slot);
	learn_number("what waits when the reader has left", epoch_collect(epoch), 0);
	end();
}

static void test_who_saw_the_old_leaf_must_look_again(void **state)
{
	struct hash_witness w;
	unsigned int slot;
	uint64_t i;

	(void)state;
	begin();
	for (i = 0; i < 30; i++)
		learn_error("hash_index_insert()", insert(hash_in_one_shard(i), i), 0);
	slot = epoch_enter(epoch);
	must_find(hash_in_one_shard(3), 3, "before the split");
	(void)find(hash_in_one_shard(3), 3, &w);
	learn_expect(hash_witness_holds(&w), "what was seen holds, as nothing changed",
		     "it does not");
	for (; i < 700; i++)
		learn_error("hash_index_insert()", insert(hash_in_one_shard(i), i), 0);
	learn_expect(!hash_witness_holds(&w),
		     "what was seen before the split does not hold any more", "it does");
	learn_expect(*w.version & 1, "the old leaf's version is left odd", "%llu",
		     (unsigned long long)*w.version);
	epoch_leave(epoch, slot);
	end();
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_without_a_split, 1, HEADER),
	LEARN_TEST(test_a_full_leaf_is_split, 2, CHAPTER),
	LEARN_TEST(test_an_index_of_many_leaves, 2, SOURCE),
	LEARN_TEST(test_a_leaf_may_stand_in_many_places, 3, SOURCE),
	LEARN_TEST(test_equal_hashes_end_in_an_error, 1, HEADER),
	LEARN_TEST(test_out_of_memory_changes_nothing, 3, HEADER),
	LEARN_TEST(test_old_leaves_wait_for_readers, 2, SOURCE),
	LEARN_TEST(test_who_saw_the_old_leaf_must_look_again, 2, HEADER),
};

LEARN_MAIN_NO_SPEED(tests)
