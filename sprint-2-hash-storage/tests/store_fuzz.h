/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * store_fuzz.h - the head of an input of store_fuzz.c, for its test.
 */
#ifndef STORE_FUZZ_H
#define STORE_FUZZ_H

enum store_fuzz_flags {
	STORE_FUZZ_MEND_STORE = 1 << 0,
	STORE_FUZZ_MEND_LOG = 1 << 1,
	STORE_FUZZ_NO_MAP = 1 << 2,
};

enum { STORE_FUZZ_HEAD = 3 };

#endif /* STORE_FUZZ_H */
