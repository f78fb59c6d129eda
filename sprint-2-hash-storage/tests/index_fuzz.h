/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * index_fuzz.h - the flags of an input of index_fuzz.c, for its test.
 */
#ifndef INDEX_FUZZ_H
#define INDEX_FUZZ_H

enum index_fuzz_flags {
	INDEX_FUZZ_MEND = 1 << 0,
	INDEX_FUZZ_NO_MAP = 1 << 1,
	INDEX_FUZZ_OTHER = 1 << 2, /* opened with another strategy */
	INDEX_FUZZ_KIND = 4,       /* bits 4 and 5: enum hash_fuzz_kind */
};

#endif /* INDEX_FUZZ_H */
