/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * layout_example.h - two orders of the same fields, and what they cost.
 *
 * What a cache keeps for each page, in the order in which one thinks of it, and in the order
 * that leaves no holes. A cache of a million pages saves 16 MB by the second.
 */
#ifndef LAYOUT_EXAMPLE_H
#define LAYOUT_EXAMPLE_H

#include "port.h"

struct layout_wide {
	uint8_t dirty;
	uint64_t page;
	uint16_t pins;
	void *data;
	uint8_t level;
	uint32_t checksum;
	uint8_t flags;
	uint64_t last_use;
};

/* The same fields with the same names and types. */
struct layout_tight {
	/* EXERCISE 1.3 begin: the fields of layout_wide in an order without holes
	 *|	uint8_t dirty;
	 *|	uint64_t page;
	 *|	uint16_t pins;
	 *|	void *data;
	 *|	uint8_t level;
	 *|	uint32_t checksum;
	 *|	uint8_t flags;
	 *|	uint64_t last_use;
	 */
	uint64_t page;
	void *data;
	uint64_t last_use;
	uint32_t checksum;
	uint16_t pins;
	uint8_t dirty;
	uint8_t level;
	uint8_t flags;
	/* EXERCISE 1.3 end */
};

/* What a person says before the compiler does, for a machine of 64 bits. */
enum {
	/* EXERCISE 1.3 begin: predict on paper; 0 is certainly wrong
	 *|	LAYOUT_WIDE_SIZE = 0,
	 *|	LAYOUT_WIDE_OFFSET_OF_DATA = 0,
	 *|	LAYOUT_WIDE_OFFSET_OF_CHECKSUM = 0,
	 *|	LAYOUT_WIDE_PADDING = 0,
	 */
	LAYOUT_WIDE_SIZE = 56,
	LAYOUT_WIDE_OFFSET_OF_DATA = 24,
	LAYOUT_WIDE_OFFSET_OF_CHECKSUM = 36,
	LAYOUT_WIDE_PADDING = 23,
	/* EXERCISE 1.3 end */
};

#endif /* LAYOUT_EXAMPLE_H */
