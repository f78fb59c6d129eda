/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * layout.c - see layout.h. After the System V Application Binary Interface, section "Data
 * Representation", and Raymond, "The Lost Art of Structure Packing".
 */
#include "layout.h"

static size_t round_up(size_t n, size_t align)
{
	/* EXERCISE 1.3 begin: n, or the next multiple of align above it
	 *|	return n;
	 */
	return (n + align - 1) & ~(align - 1);
	/* EXERCISE 1.3 end */
}

struct layout layout_place(struct layout_field *field, size_t n)
{
	struct layout l = { .size = 0, .align = 1, .padding = 0 };
	/* EXERCISE 1.3 begin: each field's offset; then size, align and padding of the whole */
	size_t i, used = 0;

	for (i = 0; i < n; i++) {
		field[i].offset = round_up(l.size, field[i].align);
		l.size = field[i].offset + field[i].size;
		used += field[i].size;
		if (field[i].align > l.align)
			l.align = field[i].align;
	}
	l.size = round_up(l.size, l.align);
	l.padding = l.size - used;
	/* EXERCISE 1.3 end */
	return l;
}

void layout_reorder(struct layout_field *field, size_t n)
{
	/* EXERCISE 1.3 begin: structs have few fields; a sort by insertion will do */
	size_t i, j;

	for (i = 1; i < n; i++) {
		struct layout_field one = field[i];

		for (j = i; j && field[j - 1].align < one.align; j--)
			field[j] = field[j - 1];
		field[j] = one;
	}
	/* EXERCISE 1.3 end */
}
