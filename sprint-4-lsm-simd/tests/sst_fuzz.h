/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_fuzz.h - the flags of an input of sst_fuzz.c, for its test.
 */
#ifndef SST_FUZZ_H
#define SST_FUZZ_H

enum sst_fuzz_flags {
	SST_FUZZ_MEND = 1 << 0, /* CRCs are made right, as far as handles lead */
	SST_FUZZ_MAP = 1 << 1,
	SST_FUZZ_NO_CACHE = 1 << 2,
};

#endif /* SST_FUZZ_H */
