/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * layout.h - where a compiler puts the fields of a struct, and how much of it is padding.
 *
 * The rules are those of the System V ABI, which arm64 and x86_64 share: a field stands at the
 * next multiple of its alignment, a struct has the alignment of its strictest field, and its
 * size is a multiple of that, so that an array of them keeps all fields aligned.
 *
 * Threads: any; nothing is allocated.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "port.h"

struct layout_field {
	size_t size, align; /* bytes; align is a power of two */
	size_t offset;      /* what layout_place() found */
};

struct layout {
	size_t size, align;
	size_t padding; /* bytes of size that belong to no field */
};

/* Fills in the offsets of n fields in their order. n may be 0: size 0, alignment 1. */
struct layout layout_place(struct layout_field *field, size_t n);

/* Orders the fields so that layout_place() finds the least padding: by alignment, the
 * strictest first; those of the same alignment keep their order. Sizes are multiples of their
 * alignments, as sizeof is of all C types; then only the end of the struct is padded. */
void layout_reorder(struct layout_field *field, size_t n);

#endif /* LAYOUT_H */
