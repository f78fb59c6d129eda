/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* For xxhash.h, which is compiled in: the kernel has these words elsewhere. */
#include <linux/types.h>

/* Named by functions that are never called, and nowhere defined. */
void *malloc(size_t n);
void free(void *p);
