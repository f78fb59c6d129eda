/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * leak_check.h - a test that ends with more alive than it began with has failed.
 *
 *	const struct CMUnitTest tests[] = { LEAK_CHECKED(test_this), LEAK_CHECKED(test_that) };
 *
 * A test that fails leaves what it had open, and threads that work on: what they allocate and
 * free from then on is no fault of the tests behind it. So the first finding is the last.
 *
 * A program whose tests have more to set up calls leak_check_set_up() first in its own. It
 * links port_fault.o, which every test does.
 */
#ifndef LEAK_CHECK_H
#define LEAK_CHECK_H

#include "../port_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint64_t live_before; /* allocations, as the test began */
static bool leak_was_found;  /* in a test before */

static inline int leak_check_set_up(void **state)
{
	(void)state;
	port_fault_set(0, false);
	live_before = port_fault_live();
	return 0;
}

static inline int leak_check_tear_down(void **state)
{
	uint64_t live = port_fault_live() - live_before;

	(void)state;
	port_fault_set(0, false);
	if (!live || leak_was_found)
		return 0;
	leak_was_found = true;
	print_error("%llu allocations live on; no more are counted\n",
		    (unsigned long long)live);
	return -1;
}

#define LEAK_CHECKED(name) \
	cmocka_unit_test_setup_teardown(name, leak_check_set_up, leak_check_tear_down)

#endif /* LEAK_CHECK_H */
