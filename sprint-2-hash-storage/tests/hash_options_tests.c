/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_options_tests.c - the hash engine: random operations times random options, against the
 * array engine; see kv_options.h.
 */
#include "../hash_engine.h"

#define OPTIONS_ENGINE    hash_engine
#define OPTIONS_VALUE_MAX 3000

/* Segments of the usual size would never be full here: that option is always drawn. */
#define OPTIONS_CHOICES                                                                  \
	{ "segment_bytes", "64k|128k|1m", false }, { "map", "on|on|off", false },        \
		{ "table", "chaining|linear|robin-hood|cuckoo|swiss", false },           \
		{ "function", "xxh3|xxh64|crc32c|fnv1a", false },                        \
		{ "leaf", "16|32|64|256|4096", false },                                  \
		{ "load_percent", "25|60|87|100", false },                               \
		{ "expected", "0|0|1|3000", false }, { "check_reads", "on|off", false }, \
		{ "clean_percent", "5|20|50|90|100", false },                            \
		{ "clean_rate", "0|1m|128m", false },                                    \
		{ "checkpoint_bytes", "0|64k|300k|4m", false },                          \
		{ "evict", "off|on", false }, { "group_ms", "1|20|1000", false },        \
		{ "memory_bytes", "0|1m|256m", false },
#include "kv_options.h"

int main(void)
{
	const struct CMUnitTest tests[] = { OPTIONS_TESTS };

	return cmocka_run_group_tests(tests, make_scratch_in_memory, options_tear_down);
}
