/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_fuzz.h - the log's reader against bytes that nobody wrote.
 *
 * An input is a small head and the bytes of one or two segment files:
 *
 *   0   1   enum log_fuzz_flags
 *   1   2   where to open, / 8
 *   3   1   the first file's share of the bytes, in 256ths, where there are two
 *   4       the bytes
 *
 * A fuzzer will not guess a CRC. So that it gets behind the checks, an input may ask for
 * its checksums and ids to be mended before they are read; all else is as it stands.
 */
#ifndef LOG_FUZZ_H
#define LOG_FUZZ_H

#include <stddef.h>
#include <stdint.h>

enum log_fuzz_flags {
	FUZZ_MEND_HEADERS = 1 << 0, /* of segments */
	FUZZ_MEND_RECORDS =
		1 << 1, /* those that follow each other from the beginning on */
	FUZZ_TWO_FILES = 1 << 2,
	FUZZ_NO_MAP = 1 << 3,
	FUZZ_FROM = 1 << 4, /* open there, else at 0 */
};

enum { LOG_FUZZ_HEAD = 4, LOG_FUZZ_MAX = 160 << 10, LOG_FUZZ_SEEDS = 10 };

/* Opens, reads, appends, closes, opens again; aborts where that is not as it should be.
 * What libFuzzer calls. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How the last input ended: records that were read, or the error of opening. */
int log_fuzz_result(void);

/* The i-th of LOG_FUZZ_SEEDS good inputs, out of a real log; returns its size. out has
 * LOG_FUZZ_MAX bytes. */
size_t log_fuzz_seed(unsigned int i, uint8_t *out);

#endif /* LOG_FUZZ_H */
