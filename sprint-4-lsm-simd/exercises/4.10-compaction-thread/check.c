/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.10, in a machine: port-test.ko spawns and joins; then an LSM store
 * flushes and compacts on the threads. The kernel's checkers watch.
 */
#include "../../../harness/learn/kernel_check.h"

#define ENV     "sprint-2-hash-storage/env.h"
#define CHAPTER "docs/sprint-4-lsm-simd.md, \"Levels and runs\""

#define PORT_TEST(name)                       \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		kernel_port_test(#name);      \
	}
PORT_TEST(spawn)
PORT_TEST(join)
PORT_TEST(many)

static void test_a_store_compacts(void **state)
{
	static char value[4000], got[4000];
	struct storage_control a = { .version = STORAGE_VERSION };
	struct storage_op op;
	char key[16];
	int fd, i;

	(void)state;
	learn_expect(!system("modprobe storage-lsm selftest=0 "
			     "options=memtable_bytes=256k,table_bytes=256k"),
		     "storage-lsm.ko loads", "modprobe failed");
	fd = kernel_open("lsm");
	for (i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "key%06d", i * 7 % 400);
		memset(value, 'a' + i * 7 % 26, sizeof(value));
		op = device_op(STORAGE_PUT, key, value, sizeof(value));
		kernel_call("a put", fd, STORAGE_IOC_PUT, &op, 0);
	}
	kernel_call("COMPACT", fd, STORAGE_IOC_COMPACT, &a, 0);
	kernel_call("VERIFY", fd, STORAGE_IOC_VERIFY, &a, 0);
	for (i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "key%06d", i * 7 % 400);
		memset(value, 'a' + i * 7 % 26, sizeof(value));
		op = device_op(STORAGE_GET, key, got, sizeof(got));
		kernel_call("a get", fd, STORAGE_IOC_GET, &op, 0);
		learn_bytes("the value", got, value, sizeof(value));
	}
	close(fd);
	learn_expect(!system("rmmod storage-lsm"), "storage-lsm.ko unloads",
		     "rmmod failed");
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_spawn, 3, ENV),
	LEARN_TEST(test_join, 3, ENV),
	LEARN_TEST(test_many, 2, ENV),
	LEARN_TEST(test_a_store_compacts, 3, CHAPTER),
};

LEARN_MAIN_NO_SPEED(tests)
