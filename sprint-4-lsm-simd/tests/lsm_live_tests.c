/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_live_tests.c - the LSM engine over real files and several processes; see live_process.h.
 */
#include "../lsm_engine.h"

#define LIVE_ENGINE lsm_engine
/* So small that memtables are flushed and tables compacted all the time. */
#define LIVE_OPTIONS                                                            \
	"memory_bytes=4m,memtable_bytes=32k,segment_bytes=64k,table_bytes=16k," \
	"block_bytes=512,level_bytes=64k,ratio=3,flushed_runs=2,blob_bytes=300,huge=off"
#define LIVE_WHOLE      "STORE"
#define LIVE_BEGUN      ".sst"
#define LIVE_UNFINISHED "did not come to its end"
#include "../../sprint-2-hash-storage/tests/live_process.h"

int main(void)
{
	const struct CMUnitTest tests[] = { LIVE_PROCESS_TESTS };

	return cmocka_run_group_tests(tests, set_up, drop_scratch);
}
