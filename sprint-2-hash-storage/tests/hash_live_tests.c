/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_live_tests.c - the hash engine over real files and several processes; see
 * live_process.h.
 */
#include "live_process.h"

int main(void)
{
	const struct CMUnitTest tests[] = { LIVE_PROCESS_TESTS };

	return cmocka_run_group_tests(tests, set_up, drop_scratch);
}
