/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.9, in a machine: operations of /dev/storage-hash, those that are
 * right and those of a program that means no good. The kernel's checkers watch.
 */
#include "../../../harness/learn/kernel_check.h"

#define HEADER  "sprint-1-core-memory/kernel/storage_ioctl.h"
#define CHAPTER "docs/KERNEL_LABS.md"

enum { LARGE = 100000 };

static uint8_t large[LARGE], got[LARGE + 16];

static void put(int fd, const char *key, const void *value, size_t len)
{
	struct storage_op op = device_op(STORAGE_PUT, key, value, len);

	kernel_call(learn_text("a put of %zu bytes", len), fd, STORAGE_IOC_PUT, &op, 0);
}

static void test_puts_and_gets(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 5000, LARGE };
	int fd = kernel_open("hash");
	struct storage_op op;
	size_t i;

	(void)state;
	for (i = 0; i < LARGE; i++)
		large[i] = (uint8_t)learn_random(256);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put(fd, "key", large, sizes[i]);
		op = device_op(STORAGE_GET, "key", got, LARGE);
		kernel_call("a get", fd, STORAGE_IOC_GET, &op, 0);
		learn_number("the value's length", op.value_len, sizes[i]);
		learn_bytes("the value", got, large, sizes[i]);
	}
	op = device_op(STORAGE_DELETE, "key", NULL, 0);
	kernel_call("a delete", fd, STORAGE_IOC_DELETE, &op, 0);
	op = device_op(STORAGE_GET, "key", got, LARGE);
	kernel_call("a get of what was deleted", fd, STORAGE_IOC_GET, &op, -ENOENT);
	close(fd);
}

static void test_get_without_room_says_how_much(void **state)
{
	int fd = kernel_open("hash");
	struct storage_op op = device_op(STORAGE_GET, "seven", got, 6);

	(void)state;
	put(fd, "seven", "seven77", 7);
	memset(got, '.', 16);
	kernel_call("a get with too little room", fd, STORAGE_IOC_GET, &op, -EMSGSIZE);
	learn_number("the length that it needs", op.value_len, 7);
	learn_bytes("the room", got, "................", 16);
	close(fd);
}

static void test_get_writes_no_more_than_the_value(void **state)
{
	int fd = kernel_open("hash");
	struct storage_op op = device_op(STORAGE_GET, "three", got, 16);

	(void)state;
	put(fd, "three", "abc", 3);
	memset(got, '.', 16);
	kernel_call("a get with much room", fd, STORAGE_IOC_GET, &op, 0);
	learn_bytes("the room", got, "abc.............", 16);
	close(fd);
}

static void refused(int fd, const char *what, struct storage_op op)
{
	learn_error(what, device_call(fd, STORAGE_IOC_GET, &op), -EINVAL);
}

static void test_malformed_operations_are_refused(void **state)
{
	int fd = kernel_open("hash");
	const struct storage_op right = device_op(STORAGE_GET, "key", got, 16);
	struct storage_op op;

	(void)state;
#define REFUSED(change)                   \
	do {                              \
		op = right;               \
		change;                   \
		refused(fd, #change, op); \
	} while (0)
	REFUSED(op.version = 0);
	REFUSED(op.flags = STORAGE_SYNC);
	REFUSED(op.flags = 128);
	REFUSED(op.result = -1);
	REFUSED(op.reserved[0] = 1);
	REFUSED(op.reserved[1] = 1ull << 63);
	REFUSED(op.key_len = (64 << 10) + 1);
#undef REFUSED
	op = device_op(STORAGE_PUT, "key", got, 1);
	op.snapshot = 1;
	kernel_call("a put with a snapshot", fd, STORAGE_IOC_PUT, &op, -EINVAL);
	op = device_op(STORAGE_DELETE, "key", got, 1);
	kernel_call("a delete with a value", fd, STORAGE_IOC_DELETE, &op, -EINVAL);
	close(fd);
}

static void test_too_large_a_value_is_refused(void **state)
{
	int fd = kernel_open("hash");
	struct storage_op op = device_op(STORAGE_PUT, "key", got, (4ull << 20) + 1);

	(void)state;
	kernel_call("a put of 4 MiB and a byte", fd, STORAGE_IOC_PUT, &op, -EINVAL);
	op.value_len = UINT64_MAX;
	kernel_call("a put of 2^64 - 1 bytes", fd, STORAGE_IOC_PUT, &op, -EINVAL);
	close(fd);
}

static void test_addresses_that_are_nobodys(void **state)
{
	int fd = kernel_open("hash");
	struct storage_op op = device_op(STORAGE_PUT, "key", (void *)8, 16);

	(void)state;
	kernel_call("a put from address 8", fd, STORAGE_IOC_PUT, &op, -EFAULT);
	put(fd, "key", "abc", 3);
	op = device_op(STORAGE_GET, "key", (void *)8, 16);
	kernel_call("a get to address 8", fd, STORAGE_IOC_GET, &op, -EFAULT);
	op = device_op(STORAGE_GET, "key", got, 16);
	op.key = (uint64_t)-4096;
	kernel_call("a key in the kernel's memory", fd, STORAGE_IOC_GET, &op, -EFAULT);
	close(fd);
}

static void test_atomic_batches(void **state)
{
	struct storage_op op[8];
	struct storage_batch b = { .version = STORAGE_VERSION,
				   .flags = STORAGE_ATOMIC,
				   .n = 8,
				   .ops = (uintptr_t)op };
	static char key[8][64];
	int fd = kernel_open("hash"), i;

	(void)state;
	for (i = 0; i < 8; i++) {
		snprintf(key[i], sizeof(key[i]),
			 "a key of fifty bytes, more or less, in place %d", i);
		op[i] = device_op(STORAGE_PUT, key[i], large, 64);
	}
	kernel_call("a batch of 8 puts", fd, STORAGE_IOC_BATCH, &b, 0);
	learn_number("done", b.done, 8);
	op[0] = device_op(STORAGE_GET, key[7], got, 64);
	kernel_call("a get of the last", fd, STORAGE_IOC_GET, &op[0], 0);
	learn_bytes("its value", got, large, 64);
	b.done = 0;
	kernel_call("an atomic batch with a get", fd, STORAGE_IOC_BATCH, &b, -EINVAL);
	for (i = 0; i < 8; i++)
		op[i] = device_op(STORAGE_PUT, key[i], large, 64);
	op[5].flags = STORAGE_SYNC;
	kernel_call("a batch with a put of its own durability", fd, STORAGE_IOC_BATCH, &b,
		    -EINVAL);
	close(fd);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_puts_and_gets, 3, CHAPTER),
	LEARN_TEST(test_get_without_room_says_how_much, 2, HEADER),
	LEARN_TEST(test_get_writes_no_more_than_the_value, 2, HEADER),
	LEARN_TEST(test_malformed_operations_are_refused, 3, HEADER),
	LEARN_TEST(test_too_large_a_value_is_refused, 1, HEADER),
	LEARN_TEST(test_addresses_that_are_nobodys, 2, CHAPTER),
	LEARN_TEST(test_atomic_batches, 2, HEADER),
};

LEARN_MAIN_NO_SPEED(tests)
