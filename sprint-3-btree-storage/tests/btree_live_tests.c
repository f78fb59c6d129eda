/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_live_tests.c - the B+tree engine over real files and several processes; see
 * live_process.h.
 */
#include "../btree_engine.h"

#define LIVE_ENGINE btree_engine
/* So small that pages are split, evicted and checkpointed all the time. */
#define LIVE_OPTIONS \
	"segment_bytes=64k,checkpoint_bytes=64k,max_keys=8,memory_bytes=320k,overflow_bytes=300"
#define LIVE_WHOLE      "TREE"
#define LIVE_BEGUN      "TREE.backup"
#define LIVE_UNFINISHED "did not come to its end"
#include "../../sprint-2-hash-storage/tests/live_process.h"

int main(void)
{
	const struct CMUnitTest tests[] = { LIVE_PROCESS_TESTS };

	return cmocka_run_group_tests(tests, set_up, drop_scratch);
}
