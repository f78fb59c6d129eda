/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_race_tests.c - the B+tree engine with everything at once; see live_race.h.
 */
#include "../btree_engine.h"

#define LIVE_ENGINE btree_engine
/* So small that pages are split, evicted and checkpointed all the time. */
#define LIVE_OPTIONS \
	"segment_bytes=64k,checkpoint_bytes=64k,max_keys=8,memory_bytes=512k,overflow_bytes=300"
#define LIVE_WHOLE      "TREE"
#define LIVE_BEGUN      "TREE.backup"
#define LIVE_UNFINISHED "did not come to its end"
#include "../../sprint-2-hash-storage/tests/live_race.h"

static void test_everything_at_once_in_little_memory(void **state)
{
	(void)state;
	race(LIVE_OPTIONS);
}

static void test_everything_at_once_with_full_nodes(void **state)
{
	(void)state;
	race("segment_bytes=64k,checkpoint_bytes=64k,memory_bytes=256k,map=off");
}

static void test_everything_at_once_in_much_memory(void **state)
{
	(void)state;
	race("segment_bytes=1m,checkpoint_bytes=1m,max_keys=4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_at_once_in_little_memory),
		cmocka_unit_test(test_everything_at_once_with_full_nodes),
		cmocka_unit_test(test_everything_at_once_in_much_memory),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
