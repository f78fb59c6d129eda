/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.3: alignment and padding.
 */
#include "../../../harness/learn/learn.h"
#include "../../layout.h"
#include "../../layout_example.h"

#define HEADER  "sprint-1-core-memory/layout.h"
#define CHAPTER "docs/sprint-1-core-memory.md, \"Where the fields of a struct stand\""

/* Says on which side the prediction lies, not what it should be. */
static void expect_prediction(const char *what, size_t predicted, size_t is)
{
	learn_expect(predicted == is, learn_text("a right prediction of %s", what),
		     "%zu, which is too %s", predicted,
		     predicted < is ? "small" : "large");
}

static void test_predictions_are_what_the_compiler_does(void **state)
{
	(void)state;
	expect_prediction("sizeof(struct layout_wide)", LAYOUT_WIDE_SIZE,
			  sizeof(struct layout_wide));
	expect_prediction("the offset of data", LAYOUT_WIDE_OFFSET_OF_DATA,
			  offsetof(struct layout_wide, data));
	expect_prediction("the offset of checksum", LAYOUT_WIDE_OFFSET_OF_CHECKSUM,
			  offsetof(struct layout_wide, checksum));
	expect_prediction("the padding of layout_wide in all", LAYOUT_WIDE_PADDING,
			  sizeof(struct layout_wide) - 33);
}

#define SAME(name)                                                                    \
	learn_expect(__builtin_types_compatible_p(__typeof__(wide.name),              \
						  __typeof__(tight.name)),            \
		     "layout_tight has " #name " with the type that layout_wide has", \
		     "another type")

static void test_tight_struct_has_no_hole_that_can_go(void **state)
{
	struct layout_wide wide;
	struct layout_tight tight;

	(void)state, (void)wide, (void)tight;
	SAME(dirty);
	SAME(page);
	SAME(pins);
	SAME(data);
	SAME(level);
	SAME(checksum);
	SAME(flags);
	SAME(last_use);
	learn_number("sizeof(struct layout_tight)", sizeof(struct layout_tight), 40);
	learn_number("the alignment of struct layout_tight",
		     __alignof__(struct layout_tight), 8);
}

static void expect_place(const char *what, struct layout_field *field, size_t n,
			 const size_t *offset, struct layout want)
{
	struct layout came = layout_place(field, n);
	size_t i;

	for (i = 0; i < n; i++)
		learn_number(learn_text("%s: the offset of field %zu", what, i),
			     field[i].offset, offset[i]);
	learn_number(learn_text("%s: the alignment", what), came.align, want.align);
	learn_number(learn_text("%s: the size", what), came.size, want.size);
	learn_number(learn_text("%s: the padding", what), came.padding, want.padding);
}

static void test_place_aligns_each_field(void **state)
{
	struct layout_field mixed[] = {
		{ 1, 1, 99 }, { 4, 4, 99 }, { 2, 2, 99 }, { 2, 2, 99 }, { 8, 8, 99 }
	};
	static const size_t mixed_offset[] = { 0, 4, 8, 10, 16 };
	struct layout_field fitting[] = { { 8, 8, 99 }, { 8, 8, 99 } };
	static const size_t fitting_offset[] = { 0, 8 };

	(void)state;
	expect_place("two of 8 bytes", fitting, 2, fitting_offset,
		     (struct layout){ 16, 8, 0 });
	expect_place("1, 4, 2, 2, 8 bytes", mixed, 5, mixed_offset,
		     (struct layout){ 24, 8, 7 });
}

static void test_place_pads_the_end(void **state)
{
	struct layout_field tail[] = { { 8, 8, 99 }, { 1, 1, 99 } };
	struct layout_field array[] = { { 2, 2, 99 }, { 24, 8, 99 }, { 3, 1, 99 } };
	static const size_t tail_offset[] = { 0, 8 }, array_offset[] = { 0, 8, 32 };

	(void)state;
	expect_place("8 bytes, then 1", tail, 2, tail_offset,
		     (struct layout){ 16, 8, 7 });
	expect_place("2 bytes, 24 aligned to 8, 3", array, 3, array_offset,
		     (struct layout){ 40, 8, 11 });
	expect_place("no field at all", NULL, 0, NULL, (struct layout){ 0, 1, 0 });
}

static void test_reorder_puts_the_strictest_first(void **state)
{
	struct layout_field field[] = { { 1, 1, 0 }, { 8, 8, 1 },   { 2, 2, 2 },
					{ 4, 4, 3 }, { 16, 16, 4 }, { 1, 1, 5 },
					{ 8, 8, 6 } };
	static const size_t want[] = { 4, 1, 6, 3, 2, 0, 5 };
	size_t i;

	(void)state;
	layout_reorder(field, 7); /* the offsets tell where each stood */
	for (i = 0; i < 7; i++)
		learn_number(
			learn_text("of fields of alignment 1 8 2 4 16 1 8, which were "
				   "numbered from 0, the one now at %zu",
				   i),
			field[i].offset, want[i]);
	learn_number("the size after reordering", layout_place(field, 7).size, 48);
	layout_reorder(NULL, 0);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_predictions_are_what_the_compiler_does, 2, CHAPTER),
	LEARN_TEST(test_tight_struct_has_no_hole_that_can_go, 2, CHAPTER),
	LEARN_TEST(test_place_aligns_each_field, 2, HEADER),
	LEARN_TEST(test_place_pads_the_end, 2, CHAPTER),
	LEARN_TEST(test_reorder_puts_the_strictest_first, 2, HEADER),
};

LEARN_MAIN_NO_SPEED(tests)
