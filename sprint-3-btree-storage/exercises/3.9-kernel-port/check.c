/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.9, in a machine: port-test.ko asks for memory and waits; then a
 * B+tree lives on both. The kernel's checkers watch.
 */
#include "../../../harness/learn/kernel_check.h"

#define HEADER "sprint-1-core-memory/port.h"
#define ENV    "sprint-2-hash-storage/env.h"

#define PORT_TEST(name)                       \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		kernel_port_test(#name);      \
	}
PORT_TEST(alloc)
PORT_TEST(no_memory)
PORT_TEST(realloc_copies)
PORT_TEST(realloc_fails)
PORT_TEST(aligned)
PORT_TEST(aligned_overflow)
PORT_TEST(turns)
PORT_TEST(timeout)

static void test_a_tree_lives_on_it(void **state)
{
	static char value[3000], got[3000];
	struct storage_op op;
	char key[16];
	int fd, i;

	(void)state;
	learn_expect(!system("modprobe storage-btree selftest=0"),
		     "storage-btree.ko loads", "modprobe failed");
	fd = kernel_open("btree");
	for (i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key%06d", i);
		memset(value, 'a' + i % 26, sizeof(value));
		op = device_op(STORAGE_PUT, key, value, sizeof(value));
		kernel_call("a put", fd, STORAGE_IOC_PUT, &op, 0);
	}
	for (i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key%06d", i);
		memset(value, 'a' + i % 26, sizeof(value));
		op = device_op(STORAGE_GET, key, got, sizeof(got));
		kernel_call("a get", fd, STORAGE_IOC_GET, &op, 0);
		learn_bytes("the value", got, value, sizeof(value));
	}
	close(fd);
	learn_expect(!system("rmmod storage-btree"), "storage-btree.ko unloads",
		     "rmmod failed");
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_alloc, 2, HEADER),
	LEARN_TEST(test_no_memory, 1, HEADER),
	LEARN_TEST(test_realloc_copies, 2, HEADER),
	LEARN_TEST(test_realloc_fails, 2, HEADER),
	LEARN_TEST(test_aligned, 2, HEADER),
	LEARN_TEST(test_aligned_overflow, 2, HEADER),
	LEARN_TEST(test_turns, 3, ENV),
	LEARN_TEST(test_timeout, 2, ENV),
	LEARN_TEST(test_a_tree_lives_on_it, 2, ENV),
};

LEARN_MAIN_NO_SPEED(tests)
