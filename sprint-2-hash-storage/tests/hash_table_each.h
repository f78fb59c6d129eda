/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_table_each.h - what the tests of the hash tables share: each test runs once for
 * each strategy, which comes as its state.
 *
 *	static const struct CMUnitTest tests[] = { EACH(test_this), EACH(test_that) };
 */
#ifndef HASH_TABLE_EACH_H
#define HASH_TABLE_EACH_H

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../hash_table.h"

/* Each test begins with the same random numbers and leaves nothing allocated. */
static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

static inline struct hash_table *create(const struct hash_table_ops *ops,
					uint32_t capacity)
{
	struct hash_table *t = NULL;

	assert_int_equal(hash_table_create(ops, capacity, &t), 0);
	assert_ptr_equal(t->ops, ops);
	assert_int_equal(t->capacity, capacity);
	assert_int_equal(t->count, 0);
	return t;
}

#define WITH(label, test, ops)                                                      \
	{                                                                           \
		label ": " #test, test, set_up, leak_check_tear_down, (void *)&ops, \
	}
#define EACH(test)                                               \
	WITH("chaining", test, hash_table_chaining),             \
		WITH("linear", test, hash_table_linear),         \
		WITH("robin-hood", test, hash_table_robin_hood), \
		WITH("cuckoo", test, hash_table_cuckoo),         \
		WITH("swiss", test, hash_table_swiss)

#endif /* HASH_TABLE_EACH_H */
