/* SPDX-License-Identifier: MIT */
/*
 * kernel_check.h - what graders of kernel exercises share. They run in the machine, as root,
 * with the modules of the grade file loaded.
 */
#ifndef KERNEL_CHECK_H
#define KERNEL_CHECK_H

#include "../../sprint-1-core-memory/tests/device_fixture.h"
#include "learn.h"

static inline int kernel_open(const char *device)
{
	int fd;

	setenv("DEVICE", device, 1);
	fd = open(device_path(), O_RDWR | O_CLOEXEC);
	learn_expect(fd >= 0, learn_text("%s opens", device_path()), "%s",
		     strerror(errno));
	return fd;
}

static inline void kernel_call(const char *what, int fd, unsigned long request, void *arg,
			       int expected)
{
	learn_error(what, device_call(fd, request, arg), expected);
}

/* One test of vm/module/port_test.c, which says what was expected and what came. */
static inline void kernel_port_test(const char *name)
{
	char expected[256] = "", came[256] = "";
	FILE *f;

	learn_expect(!system(learn_text("modprobe port-test test=%s", name)),
		     "port-test.ko loads", "modprobe failed");
	f = fopen("/sys/module/port_test/parameters/result", "r");
	assert_non_null(f);
	if (fgets(expected, sizeof(expected), f) && !fgets(came, sizeof(came), f))
		came[0] = '\0';
	(void)fclose(f);
	assert_int_equal(system("rmmod port-test"), 0);
	expected[strcspn(expected, "\n")] = '\0';
	came[strcspn(came, "\n")] = '\0';
	learn_expect(!*expected, expected, "%s", came);
}

#endif /* KERNEL_CHECK_H */
