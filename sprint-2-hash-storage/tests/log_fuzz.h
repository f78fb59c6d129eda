/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_fuzz.h - the head of an input of log_fuzz.c, for its test.
 */
#ifndef LOG_FUZZ_H
#define LOG_FUZZ_H

#include "fuzz.h"

enum log_fuzz_flags {
	FUZZ_MEND_HEADERS = 1 << 0, /* of segments */
	FUZZ_MEND_RECORDS = 1 << 1, /* from a segment's beginning on */
	FUZZ_TWO_FILES = 1 << 2,
	FUZZ_NO_MAP = 1 << 3,
	FUZZ_FROM = 1 << 4, /* open there, else at 0 */
};

enum { LOG_FUZZ_HEAD = 4 };

#endif /* LOG_FUZZ_H */
