/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.9, in a machine: what /dev/storage-array answers to calls about the
 * store as a whole, and whether descriptors come and go. The kernel's checkers watch.
 */
#include "../../../harness/learn/kernel_check.h"

#define CHAPTER "docs/KERNEL_LABS.md"
#define HEADER  "sprint-1-core-memory/kernel/storage_ioctl.h"

static void test_opens_and_closes(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 50; i++)
		close(kernel_open("array"));
}

static void test_keeps_pairs_between_descriptors(void **state)
{
	char got[8] = "";
	struct storage_op op = device_op(STORAGE_GET, "key", got, sizeof(got));
	int fd = kernel_open("array");

	(void)state;
	device_put(fd, "key", "value");
	close(fd);
	fd = kernel_open("array");
	kernel_call("a get by another descriptor", fd, STORAGE_IOC_GET, &op, 0);
	learn_bytes("the value", got, "value", 5);
	close(fd);
}

static void test_info_tells_of_the_engine(void **state)
{
	struct storage_info info = { .version = STORAGE_VERSION };
	int fd = kernel_open("array");

	(void)state;
	kernel_call("INFO", fd, STORAGE_IOC_INFO, &info, 0);
	learn_expect(!strcmp(info.engine, "array"), "the engine is \"array\"",
		     "\"%.16s\"", info.engine);
	learn_number("key_max", info.key_max, KV_KEY_MAX);
	learn_number("value_max", info.value_max, 4 << 20);
	close(fd);
}

static void test_info_fills_in_each_byte(void **state)
{
	static const uint8_t zeros[sizeof(((struct storage_info *)0)->reserved)];
	struct storage_info info;
	int fd = kernel_open("array");

	(void)state;
	memset(&info, 0xff, sizeof(info));
	info.version = STORAGE_VERSION;
	info.flags = 0;
	kernel_call("INFO", fd, STORAGE_IOC_INFO, &info, 0);
	learn_bytes("the reserved fields", info.reserved, zeros, sizeof(zeros));
	learn_bytes("the engine's name, behind its end", info.engine + 6, zeros, 10);
	close(fd);
}

static void test_info_refuses_what_it_does_not_know(void **state)
{
	struct storage_info info = { .version = STORAGE_VERSION + 1 };
	int fd = kernel_open("array");

	(void)state;
	kernel_call("INFO of another version", fd, STORAGE_IOC_INFO, &info, -EINVAL);
	info = (struct storage_info){ .version = STORAGE_VERSION, .flags = 1 };
	kernel_call("INFO with a flag", fd, STORAGE_IOC_INFO, &info, -EINVAL);
	kernel_call("INFO at address 0", fd, STORAGE_IOC_INFO, NULL, -EFAULT);
	close(fd);
}

static void test_control_does_what_it_says(void **state)
{
	struct storage_control a = { .version = STORAGE_VERSION };
	char got[8];
	struct storage_op op = device_op(STORAGE_GET, "key", got, sizeof(got));
	int fd = kernel_open("array");

	(void)state;
	device_put(fd, "key", "value");
	kernel_call("SYNC", fd, STORAGE_IOC_SYNC, &a, 0);
	kernel_call("VERIFY", fd, STORAGE_IOC_VERIFY, &a, 0);
	memset(a.why, 'x', sizeof(a.why));
	kernel_call("VERIFY", fd, STORAGE_IOC_VERIFY, &a, 0);
	learn_number("the first byte of why, when all is well", a.why[0], 0);
	kernel_call("CLEAR", fd, STORAGE_IOC_CLEAR, &a, 0);
	kernel_call("a get after CLEAR", fd, STORAGE_IOC_GET, &op, -ENOENT);
	close(fd);
}

static void test_control_refuses_what_it_does_not_know(void **state)
{
	struct storage_control a = { .version = STORAGE_VERSION, .flags = 1 };
	int fd = kernel_open("array"), i;

	(void)state;
	kernel_call("SYNC with a flag", fd, STORAGE_IOC_SYNC, &a, -EINVAL);
	a = (struct storage_control){ .version = STORAGE_VERSION, .reserved = 7 };
	for (i = 0; i < 20; i++)
		kernel_call("SYNC with a reserved field set", fd, STORAGE_IOC_SYNC, &a,
			    -EINVAL);
	kernel_call("SYNC at address 0", fd, STORAGE_IOC_SYNC, NULL, -EFAULT);
	a.reserved = 0;
	kernel_call("SYNC", fd, STORAGE_IOC_SYNC, &a, 0);
	close(fd);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_opens_and_closes, 2, CHAPTER),
	LEARN_TEST(test_keeps_pairs_between_descriptors, 1, CHAPTER),
	LEARN_TEST(test_info_tells_of_the_engine, 2, HEADER),
	LEARN_TEST(test_info_fills_in_each_byte, 2, HEADER),
	LEARN_TEST(test_info_refuses_what_it_does_not_know, 2, HEADER),
	LEARN_TEST(test_control_does_what_it_says, 2, HEADER),
	LEARN_TEST(test_control_refuses_what_it_does_not_know, 2, HEADER),
};

LEARN_MAIN_NO_SPEED(tests)
