/* SPDX-License-Identifier: MIT */
/*
 * learn.h - what the graders of exercises are written with.
 *
 * A grader (exercises/N.K-name/check.c) is a table of tests. Each has points, and says where
 * to read when it fails. Inside a test the words below compare what came with what was
 * expected; the first that differs ends the test and says so in plain words:
 *
 *	static void test_push_appends(void **state)
 *	{
 *		...
 *		learn_number("the number of items after 3 pushes", a.n, 3);
 *	}
 *
 *	static const struct learn_test tests[] = {
 *		LEARN_TEST(test_push_appends, 2, "docs/sprint-1-core-memory.md, \"Arrays\""),
 *	};
 *	static const struct learn_speed speeds[] = { { "push", bench_push, 100000 } };
 *
 *	LEARN_MAIN(tests, speeds)
 *
 * Any assertion of cmocka works as well; it speaks less plainly. A test that passes and
 * leaves memory allocated by port_alloc() has failed. The program runs all its tests, or
 * those named as arguments; --list prints the table, --speed measures.
 */
#ifndef LEARN_H
#define LEARN_H

#include "../../sprint-1-core-memory/port_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct learn_test {
	const char *name;
	void (*run)(void **state);
	unsigned int points;
	const char *read; /* a chapter's section, a header, a paper */
};

/* What is timed: run(n) does the thing n times. One call should take 1 ms or more. */
struct learn_speed {
	const char *name;
	void (*run)(uint64_t n);
	uint64_t n;
};

#define LEARN_TEST(f, points, read) \
	{                           \
#f, f, points, read \
	}

#define LEARN_MAIN(tests, speeds)                                                      \
	int main(int argc, char **argv)                                                \
	{                                                                              \
		return learn_main(argc, argv, tests, sizeof(tests) / sizeof(*(tests)), \
				  speeds, sizeof(speeds) / sizeof(*(speeds)));         \
	}
#define LEARN_MAIN_NO_SPEED(tests)                                                     \
	int main(int argc, char **argv)                                                \
	{                                                                              \
		return learn_main(argc, argv, tests, sizeof(tests) / sizeof(*(tests)), \
				  NULL, 0);                                            \
	}

int learn_main(int argc, char **argv, const struct learn_test *tests, size_t n,
	       const struct learn_speed *speeds, size_t n_speeds);

/* A sentence in one of a few static buffers, for the arguments below. */
const char *learn_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ends the test unless ok. expected and came are sentences. */
void learn_expect(bool ok, const char *expected, const char *came, ...)
	__attribute__((format(printf, 3, 4)));
/* "expected: WHAT is 3; came: 2". */
void learn_number(const char *what, uint64_t came, uint64_t expected);
/* The same for what a function returned: 0 or -errno, which is shown by its name. */
void learn_error(const char *what, int came, int expected);
/* Says at which byte they differ first. */
void learn_bytes(const char *what, const void *came, const void *expected, size_t n);
/* A pointer that must not be NULL; not_null is what a learner should look at when it is. */
void learn_pointer(const char *what, const void *came);

/* Numbers that are the same in each run, from 0 to below - 1. */
uint64_t learn_random(uint64_t below);

#endif /* LEARN_H */
