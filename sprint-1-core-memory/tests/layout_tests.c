/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * layout_tests.c - the layout of structs: what layout.h computes against what the compiler did.
 */
#include "../layout.h"
#include "../layout_example.h"
#include "core_random.h"
#include "leak_check.h"

#define FIELD(type, name)                                                          \
	{                                                                          \
		sizeof(((type *)NULL)->name), __alignof__(((type *)NULL)->name), 0 \
	}

#define WIDE(name) FIELD(struct layout_wide, name)

static void test_place_agrees_with_the_compiler(void **state)
{
	struct layout_field field[] = { WIDE(dirty), WIDE(page),    WIDE(pins),
					WIDE(data),  WIDE(level),   WIDE(checksum),
					WIDE(flags), WIDE(last_use) };
	static const size_t offset[] = {
		offsetof(struct layout_wide, dirty),
		offsetof(struct layout_wide, page),
		offsetof(struct layout_wide, pins),
		offsetof(struct layout_wide, data),
		offsetof(struct layout_wide, level),
		offsetof(struct layout_wide, checksum),
		offsetof(struct layout_wide, flags),
		offsetof(struct layout_wide, last_use),
	};
	struct layout l = layout_place(field, 8);
	size_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		assert_int_equal(field[i].offset, offset[i]);
	assert_int_equal(l.size, sizeof(struct layout_wide));
	assert_int_equal(l.align, __alignof__(struct layout_wide));
	assert_int_equal(l.padding, 7 + 6 + 3 + 7);
	layout_reorder(field, 8);
	assert_int_equal(layout_place(field, 8).size, sizeof(struct layout_tight));
}

static void test_place_of_nothing(void **state)
{
	struct layout l = layout_place(NULL, 0);

	(void)state;
	assert_int_equal(l.size, 0);
	assert_int_equal(l.align, 1);
	assert_int_equal(l.padding, 0);
	layout_reorder(NULL, 0);
}

/* The least size that any order of the fields has. */
static size_t least_size(struct layout_field *field, size_t n, size_t fixed)
{
	size_t least = SIZE_MAX, i;

	if (fixed == n)
		return layout_place(field, n).size;
	for (i = fixed; i < n; i++) {
		struct layout_field other = field[i];
		size_t size;

		field[i] = field[fixed];
		field[fixed] = other;
		size = least_size(field, n, fixed + 1);
		field[fixed] = field[i];
		field[i] = other;
		if (size < least)
			least = size;
	}
	return least;
}

static void test_reorder_finds_the_least_size(void **state)
{
	struct layout_field field[5], before[5];
	int round;
	size_t i;

	(void)state;
	for (round = 0; round < 300; round++) {
		size_t n = 1 + core_random_below(5), least;

		for (i = 0; i < n; i++) {
			size_t align = (size_t)1 << core_random_below(5);

			field[i] =
				(struct layout_field){ align * (1 + core_random_below(3)),
						       align, i };
			before[i] = field[i];
		}
		least = least_size(before, n, 0);
		for (i = 0; i < n; i++)
			field[i].offset = i; /* where it stood */
		layout_reorder(field, n);
		for (i = 1; i < n; i++) {
			assert_true(field[i - 1].align >= field[i].align);
			if (field[i - 1].align == field[i].align)
				assert_true(field[i - 1].offset < field[i].offset);
		}
		assert_int_equal(layout_place(field, n).size, least);
	}
}

static void test_example_says_what_is(void **state)
{
	(void)state;
	if (sizeof(void *) != 8)
		skip();
	assert_int_equal(LAYOUT_WIDE_SIZE, sizeof(struct layout_wide));
	assert_int_equal(LAYOUT_WIDE_OFFSET_OF_DATA, offsetof(struct layout_wide, data));
	assert_int_equal(LAYOUT_WIDE_OFFSET_OF_CHECKSUM,
			 offsetof(struct layout_wide, checksum));
	assert_int_equal(LAYOUT_WIDE_PADDING, 23);
}

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_place_agrees_with_the_compiler),
		cmocka_unit_test(test_place_of_nothing),
		cmocka_unit_test(test_reorder_finds_the_least_size),
		cmocka_unit_test(test_example_says_what_is),
	};

	printf("# seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, set_up, NULL);
}
