// SPDX-License-Identifier: MIT
/*
 * fault_tool.c - does one thing over and over, each time with another one of its allocations in
 * the kernel failing.
 *
 *   fault_tool module FILE.ko NAME WORDS     loads a module, and unloads it where that went well
 *   fault_tool DEVICE open|put|get|batch|atomic|scan|snapshot|ring|flush|stats
 *
 * What is done may fail with an error; a pair that was put before must be there afterwards, and
 * the device must still take one. Prints how many allocations there were. Ends with 1 when
 * something else came than an error, with 4 when loading a module took no allocation.
 *
 * KV_FAULTS_FEW=n: of the first n allocations only each tenth fails. Loading a module begins with
 * what the kernel does for any module, three hundred or so. Of the others each one fails in
 * turn, or about seventy of them where they are more, but with KV_TORTURE set each one again.
 *
 * The kernel counts the allocations of this thread alone (/proc/self/fail-nth), so what its
 * own threads do meanwhile is not meant: vm/tests/faults.sh lets theirs fail otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../sprint-1-core-memory/kernel/storage_ioctl.h"

enum {
	NEVER = 1 << 30,
	MANY = 100,
	MOST = 70,
	VALUE = 3000,
	ENTRIES = 16,
	EXIT_NO_FAULTS = 4
};

static int faults; /* /proc/self/fail-nth */
static const char *device_path;
static char value[VALUE];

static void arm(int nth)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(faults, text, (size_t)n, 0) != n) {
		perror("fault_tool: /proc/self/fail-nth");
		exit(2);
	}
}

/* How many allocations more it would have taken; 0: one failed. */
static int disarm(void)
{
	char text[16] = "";

	if (pread(faults, text, sizeof(text) - 1, 0) <= 0) {
		perror("fault_tool: /proc/self/fail-nth");
		exit(2);
	}
	arm(0);
	return atoi(text);
}

/*
 * The allocation that fails after the nth of all has. Steps are of uneven length, so that they
 * do not always meet the same one of a loop's.
 */
static int next_after(int nth, int all)
{
	const char *s = getenv("KV_FAULTS_FEW");
	int few = s ? atoi(s) : 0,
	    step = getenv("KV_TORTURE") ? 1 : 1 + (all - few) / MOST;

	if (nth < few)
		return nth + 10 < few ? nth + 10 : few;
	return nth + 1 + nth * 7 % 11 % (2 * step - 1);
}

static int call(int fd, unsigned long request, void *arg)
{
	int came = ioctl(fd, request, arg);

	return came < 0 ? -errno : came;
}

static struct storage_op op_of(uint8_t code, const char *key, size_t len)
{
	return (struct storage_op){
		.version = STORAGE_VERSION,
		.code = code,
		.key = (uintptr_t)key,
		.key_len = (uint32_t)strlen(key),
		.value = (uintptr_t)value,
		.value_len = len,
	};
}

/* ---- what is done ---- */

static int do_open(int fd)
{
	int other = open(device_path, O_RDWR);

	(void)fd;
	if (other < 0)
		return -errno;
	close(other);
	return 0;
}

static int do_put(int fd)
{
	struct storage_op op = op_of(STORAGE_PUT, "put", VALUE);

	return call(fd, STORAGE_IOC_PUT, &op);
}

static int do_get(int fd)
{
	struct storage_op op = op_of(STORAGE_GET, "kept", VALUE);
	int other = open(device_path, O_RDWR), error;

	if (other < 0)
		return -errno;
	error = call(other, STORAGE_IOC_GET, &op); /* without a call's memory kept */
	close(other);
	(void)fd;
	return error;
}

static int do_many(int fd, uint16_t flags)
{
	static struct storage_op op[MANY];
	static char key[MANY][16];
	struct storage_batch b = {
		.version = STORAGE_VERSION,
		.flags = flags,
		.n = MANY,
		.ops = (uintptr_t)op,
	};
	int i;

	for (i = 0; i < MANY; i++) {
		(void)snprintf(key[i], sizeof(key[i]), "many%04d", i);
		op[i] = op_of(!flags && i % 2 ? STORAGE_GET : STORAGE_PUT, key[i],
			      (size_t)(flags ? i : VALUE - i));
	}
	return call(fd, STORAGE_IOC_BATCH, &b);
}

static int do_batch(int fd)
{
	return do_many(fd, 0);
}

static int do_atomic(int fd)
{
	return do_many(fd, STORAGE_ATOMIC);
}

static int do_scan(int fd)
{
	static char out[64 << 10];
	struct storage_scan a = { .version = STORAGE_VERSION };
	struct storage_handle h = { .version = STORAGE_VERSION };
	int error = 0;

	while (!error && !(a.state & STORAGE_END)) {
		a = (struct storage_scan){
			.version = STORAGE_VERSION,
			.cursor = a.cursor,
			.out = (uintptr_t)out,
			.out_len = sizeof(out),
		};
		error = call(fd, STORAGE_IOC_SCAN, &a);
	}
	h.handle = a.cursor;
	if (h.handle)
		(void)call(fd, STORAGE_IOC_RELEASE, &h);
	return error;
}

static int do_snapshot(int fd)
{
	struct storage_handle h = { .version = STORAGE_VERSION };
	struct storage_op op = op_of(STORAGE_GET, "kept", VALUE);
	int error = call(fd, STORAGE_IOC_SNAPSHOT, &h);

	if (error)
		return error;
	op.snapshot = h.handle;
	error = call(fd, STORAGE_IOC_GET, &op);
	(void)call(fd, STORAGE_IOC_RELEASE, &h);
	return error;
}

static int do_ring(int fd)
{
	struct storage_ring_setup s = { .version = STORAGE_VERSION,
					.entries = ENTRIES,
					.arena_bytes = 64 << 10 };
	int other = open(device_path, O_RDWR), error, i;
	struct storage_ring *ring;
	struct storage_op *sq;
	uint8_t *base;

	(void)fd;
	if (other < 0)
		return -errno;
	error = call(other, STORAGE_IOC_RING_SETUP, &s);
	base = error ? MAP_FAILED
		     : mmap(NULL, s.map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, other,
			    0);
	if (base == MAP_FAILED) {
		close(other);
		return error ? error : -errno;
	}
	ring = (struct storage_ring *)base;
	sq = (struct storage_op *)(base + s.sq_offset);
	for (i = 0; i < ENTRIES; i++)
		sq[i] = (struct storage_op){
			.version = STORAGE_VERSION,
			.code = i % 2 ? STORAGE_GET : STORAGE_PUT,
			.key = (uint64_t)i / 2,
			.key_len = 4,
			.value = 1024,
			.value_len = VALUE,
		};
	__atomic_store_n(&ring->sq_tail, (uint32_t)ENTRIES, __ATOMIC_RELEASE);
	error = call(other, STORAGE_IOC_RING_ENTER, (void *)ENTRIES);
	munmap(base, s.map_bytes);
	close(other);
	return error < 0 ? error : 0;
}

static int do_flush(int fd)
{
	struct storage_control c = { .version = STORAGE_VERSION };
	int error = do_put(fd);

	if (!error)
		error = call(fd, STORAGE_IOC_SYNC, &c);
	if (!error)
		error = call(fd, STORAGE_IOC_COMPACT, &c);
	return error ? error : call(fd, STORAGE_IOC_VERIFY, &c);
}

static int do_stats(int fd)
{
	static struct storage_stat stat[512];
	struct storage_stats s = {
		.version = STORAGE_VERSION,
		.n = 512,
		.stats = (uintptr_t)stat,
	};

	return call(fd, STORAGE_IOC_STATS, &s);
}

/* ---- over and over ---- */

/* What an out-of-memory may show as: a put that could not be done. */
static bool is_error_of_memory(int error)
{
	return !error || error == -ENOMEM || error == -EAGAIN || error == -ENFILE ||
	       error == -EFAULT; /* a page of this program that could not be brought in */
}

static int still_works(int fd)
{
	static char kept[VALUE];
	struct storage_op op = op_of(STORAGE_GET, "kept", VALUE);
	int error;

	memset(kept, 'k', VALUE);
	op.value = (uintptr_t)kept;
	error = call(fd, STORAGE_IOC_GET, &op);
	if (error || op.value_len != 4 || memcmp(kept, "kept", 4))
		return error ? error : -EBADMSG;
	op = op_of(STORAGE_PUT, "after", 10);
	return call(fd, STORAGE_IOC_PUT, &op);
}

static int wrong(const char *what, int nth, int error)
{
	fprintf(stderr, "fault_tool %s: %s allocation %d: %s\n", what,
		nth ? "after a failure of" : "without a failure of", nth,
		strerror(-error));
	return 1;
}

/* The first time may take more than those that follow: then some had no such allocation. */
static int said(const char *what, int tried, int all)
{
	printf("%s: %d allocations failed in turn; the first time it made %d\n", what,
	       tried, all);
	return 0;
}

static int over_and_over(int fd, int (*action)(int fd), const char *what)
{
	struct storage_op op = op_of(STORAGE_PUT, "kept", 4);
	int nth, error, all, tried = 0;

	op.value = (uintptr_t) "kept";
	error = call(fd, STORAGE_IOC_PUT, &op);
	if (error)
		return wrong(what, 0, error);
	arm(NEVER);
	error = action(fd);
	all = NEVER - disarm();
	if (error)
		return wrong(what, 0, error);
	for (nth = 1; nth <= all; nth = next_after(nth, all)) {
		arm(nth);
		error = action(fd);
		tried += !disarm();
		if (!is_error_of_memory(error))
			return wrong(what, nth, error);
		error = still_works(fd);
		if (error)
			return wrong(what, nth, error);
	}
	return said(what, tried, all);
}

/* 0 or -errno; what was loaded is unloaded again, after *left was read. */
static int load(int file, const char *name, const char *words, int nth, int *left)
{
	int error;

	arm(nth);
	error = syscall(SYS_finit_module, file, words, 0) ? -errno : 0;
	*left = disarm();
	if (!error && syscall(SYS_delete_module, name, O_NONBLOCK)) {
		perror("fault_tool: unloading it");
		exit(1);
	}
	return error;
}

static int load_over_and_over(const char *file, const char *name, const char *words)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), nth, error, all, left, tried = 0;

	if (fd < 0) {
		perror(file);
		return 1;
	}
	error = load(fd, name, words, NEVER, &left);
	if (error)
		return wrong(name, 0, error);
	all = NEVER - left;
	for (nth = 1; nth <= all; nth = next_after(nth, all)) {
		error = load(fd, name, words, nth, &left);
		tried += !left;
		/* The kernel's own part says of some that the file is none. */
		if (!is_error_of_memory(error) && error != -ENOEXEC && error != -EINTR)
			return wrong(name, nth, error);
	}
	/* Loading takes memory: where none could fail, nothing is tested here. */
	return tried ? said(name, tried, all) : EXIT_NO_FAULTS;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *what;
		int (*action)(int fd);
	} action[] = { { "open", do_open },     { "put", do_put },
		       { "get", do_get },       { "batch", do_batch },
		       { "atomic", do_atomic }, { "scan", do_scan },
		       { "ring", do_ring },     { "snapshot", do_snapshot },
		       { "flush", do_flush },   { "stats", do_stats } };
	size_t i;
	int fd;

	faults = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (faults < 0) {
		perror("fault_tool: /proc/self/fail-nth");
		return 2;
	}
	if (argc == 5 && !strcmp(argv[1], "module"))
		return load_over_and_over(argv[2], argv[3], argv[4]);
	fd = argc == 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0) {
		fprintf(stderr,
			"usage: fault_tool DEVICE WHAT | module FILE NAME WORDS\n");
		return 2;
	}
	device_path = argv[1];
	for (i = 0; i < sizeof(action) / sizeof(action[0]); i++)
		if (!strcmp(argv[2], action[i].what))
			return over_and_over(fd, action[i].action, argv[2]);
	fprintf(stderr, "fault_tool: what is \"%s\"?\n", argv[2]);
	return 2;
}
