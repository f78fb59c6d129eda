/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_options_tests.c - the B+tree engine: random operations times random options, against
 * the array engine; see kv_options.h of sprint 2.
 */
#include "../btree_engine.h"

#define OPTIONS_ENGINE    btree_engine
#define OPTIONS_VALUE_MAX 12000

#define PAGES                                                              \
	"4k,memory_bytes=256k|4k,memory_bytes=320k|4k,memory_bytes=1m|4k|" \
	"8k,memory_bytes=512k|16k,memory_bytes=1m|64k,memory_bytes=4m"

/* Pages are of one size for the store's life, and the least memory is that of 64 of them. */
#define OPTIONS_CHOICES                                                              \
	{ "segment_bytes", "64k|128k|1m", false }, { "page_bytes", PAGES, true },    \
		{ "max_keys", "0|4|5|16|100", false },                               \
		{ "overflow_bytes", "0|1|64|500", false },                           \
		{ "checkpoint_bytes", "64k|64k|300k|4m|256m", false },               \
		{ "checkpoint_rate", "0|0|16m|1g", false },                          \
		{ "group_ms", "1|20|1000", false }, { "huge", "off|off|on", false }, \
		{ "mlock", "off|on", false }, { "map", "on|on|off", false },
#include "../../sprint-2-hash-storage/tests/kv_options.h"

int main(void)
{
	const struct CMUnitTest tests[] = { OPTIONS_TESTS };

	return cmocka_run_group_tests(tests, make_scratch_in_memory, options_tear_down);
}
