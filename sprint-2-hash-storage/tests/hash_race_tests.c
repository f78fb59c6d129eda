/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_race_tests.c - the hash engine with everything at once; see live_race.h.
 */
#include "live_race.h"

static void test_everything_at_once_in_maps(void **state)
{
	(void)state;
	race(LIVE_OPTIONS);
}

static void test_everything_at_once_by_read_and_write(void **state)
{
	(void)state;
	race(LIVE_OPTIONS ",map=off,table=cuckoo");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_at_once_in_maps),
		cmocka_unit_test(test_everything_at_once_by_read_and_write),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
