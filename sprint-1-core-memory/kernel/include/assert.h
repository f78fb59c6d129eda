/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* For xxhash.h, which is compiled in and asserts nothing at run time unless asked to. */
#include <linux/build_bug.h>
#define assert(condition) ((void)0)
