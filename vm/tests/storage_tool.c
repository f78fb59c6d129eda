// SPDX-License-Identifier: MIT
/*
 * storage_tool.c - puts numbered pairs into a device of a storage engine, and looks for them.
 *
 *   storage_tool DEVICE fill FROM N BYTES     puts pairs FROM .. FROM + N - 1, each of BYTES
 *   storage_tool DEVICE ack FROM N BYTES      the same with sync, and prints "ack I" after each
 *   storage_tool DEVICE check FROM N          all of them must be there, with their values
 *   storage_tool DEVICE count FROM N          prints how many are, each with its value
 *   storage_tool DEVICE stat NAME             prints one of the engine's figures
 *   storage_tool FILE lock COMMAND            runs it while this has the file's flock(2) lock;
 *                                             ends with 3 when another has it
 *
 * A pair's value begins with its number and goes on with bytes that follow from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../sprint-1-core-memory/kernel/storage_ioctl.h"

enum { VALUE_MAX = 1 << 20, STATS_MAX = 512, EXIT_LOCKED = 3 };

static unsigned char value[VALUE_MAX];

static void fill_value(uint64_t i, size_t len)
{
	size_t at;

	for (at = 0; at < len; at++)
		value[at] =
			(unsigned char)((i + 1) * 0x9e3779b97f4a7c15ull >> (at * 8 % 56));
	if (len >= sizeof(i))
		memcpy(value, &i, sizeof(i));
}

static int is_value(uint64_t i, size_t len)
{
	static unsigned char got[VALUE_MAX];

	memcpy(got, value, len);
	fill_value(i, len);
	return !memcmp(got, value, len);
}

static struct storage_op op_of(uint64_t i, char *key, size_t room)
{
	struct storage_op op = { .version = STORAGE_VERSION };

	op.key_len = (uint32_t)snprintf(key, room, "pair%012llu", (unsigned long long)i);
	op.key = (uintptr_t)key;
	op.value = (uintptr_t)value;
	return op;
}

static int put(int device, uint64_t i, size_t len, int sync)
{
	char key[32];
	struct storage_op op = op_of(i, key, sizeof(key));

	fill_value(i, len);
	op.code = STORAGE_PUT;
	op.flags = sync ? STORAGE_SYNC : STORAGE_NONE;
	op.value_len = len;
	return ioctl(device, STORAGE_IOC_PUT, &op) ? -errno : 0;
}

/* 1: there and right; 0: not there. */
static int get(int device, uint64_t i)
{
	char key[32];
	struct storage_op op = op_of(i, key, sizeof(key));

	op.code = STORAGE_GET;
	op.value_len = sizeof(value);
	if (ioctl(device, STORAGE_IOC_GET, &op))
		return errno == ENOENT ? 0 : -errno;
	if (is_value(i, op.value_len))
		return 1;
	fprintf(stderr, "pair %llu has a wrong value\n", (unsigned long long)i);
	return -EBADMSG;
}

static int put_all(int device, uint64_t from, uint64_t n, size_t len, int acks)
{
	uint64_t i;
	int error = 0;

	for (i = from; i < from + n && !error; i++) {
		error = put(device, i, len, acks);
		if (!error && acks) {
			printf("ack %llu\n", (unsigned long long)i);
			fflush(stdout);
		}
	}
	if (error)
		fprintf(stderr, "pair %llu: %s\n", (unsigned long long)i - 1,
			strerror(-error));
	return error;
}

static int find_all(int device, uint64_t from, uint64_t n, uint64_t *found)
{
	uint64_t i;
	int here = 0;

	for (i = from; i < from + n && here >= 0; i++) {
		here = get(device, i);
		*found += here == 1;
	}
	if (here < 0)
		fprintf(stderr, "pair %llu: %s\n", (unsigned long long)i - 1,
			strerror(-here));
	return here < 0 ? here : 0;
}

static int show_stat(int device, const char *name)
{
	static struct storage_stat stat[STATS_MAX];
	struct storage_stats all = {
		.version = STORAGE_VERSION,
		.n = STATS_MAX,
		.stats = (uintptr_t)stat,
	};
	uint32_t i;

	if (ioctl(device, STORAGE_IOC_STATS, &all))
		return -errno;
	for (i = 0; i < all.n && i < STATS_MAX; i++)
		if (!strcmp(stat[i].name, name)) {
			printf("%llu\n", (unsigned long long)stat[i].value);
			return 0;
		}
	return -ENOENT;
}

static int run_locked(int file, const char *command)
{
	int status;

	if (flock(file, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? EXIT_LOCKED : 1;
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int run(int device, int argc, char **argv)
{
	uint64_t from = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	uint64_t n = argc > 4 ? strtoull(argv[4], NULL, 0) : 0, found = 0;
	size_t len = argc > 5 ? strtoull(argv[5], NULL, 0) : 100;
	int error;

	if (len > VALUE_MAX)
		return -EINVAL;
	if (!strcmp(argv[2], "fill"))
		return put_all(device, from, n, len, 0);
	if (!strcmp(argv[2], "ack"))
		return put_all(device, from, n, len, 1);
	if (!strcmp(argv[2], "stat") && argc > 3)
		return show_stat(device, argv[3]);
	if (strcmp(argv[2], "check") && strcmp(argv[2], "count"))
		return -EINVAL;
	error = find_all(device, from, n, &found);
	printf("%llu of %llu\n", (unsigned long long)found, (unsigned long long)n);
	if (!error && !strcmp(argv[2], "check") && found != n)
		error = -ENOENT;
	return error;
}

int main(int argc, char **argv)
{
	int device, error;

	if (argc < 4) {
		fprintf(stderr,
			"storage_tool DEVICE fill|ack|check|count|stat|lock ...\n");
		return 2;
	}
	device = open(argv[1], O_RDWR);
	if (device < 0) {
		fprintf(stderr, "storage_tool: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (!strcmp(argv[2], "lock"))
		return run_locked(device, argv[3]);
	error = run(device, argc, argv);
	if (error)
		fprintf(stderr, "storage_tool %s: %s\n", argv[2], strerror(-error));
	close(device);
	return error ? 1 : 0;
}
