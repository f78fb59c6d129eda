/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * libxxhash's header as the machine that builds has it, for the kernel's own lib/xxhash.c has
 * no XXH3, and filters on disk are made by it. Words of the compiler that are macros in the
 * kernel are put aside meanwhile.
 */
#ifndef XXHASH_HEADER
#define XXHASH_HEADER "/usr/include/xxhash.h"
#endif
/* Words are read through a packed struct: the kernel's memcpy() would be called for each. */
#define XXH_FORCE_MEMORY_ACCESS 1
#pragma push_macro("__pure")
#pragma push_macro("fallthrough")
#pragma push_macro("noinline")
#pragma push_macro("inline")
#undef __pure
#undef fallthrough
#undef noinline
#undef inline
#define inline __inline__ __attribute__((__unused__))
#include XXHASH_HEADER
#pragma pop_macro("inline")
#pragma pop_macro("noinline")
#pragma pop_macro("fallthrough")
#pragma pop_macro("__pure")
