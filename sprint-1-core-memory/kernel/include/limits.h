/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* For xxhash.h, which is compiled in: the kernel has these words elsewhere. */
#include <linux/limits.h>
