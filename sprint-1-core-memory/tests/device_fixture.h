/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * device_fixture.h - raw access to /dev/storage-NAME for the tests of the device frame.
 *
 * DEVICE in the environment names one, array by default. Where it is not there the tests
 * are skipped: vm/ has machines that have it.
 */
#ifndef DEVICE_FIXTURE_H
#define DEVICE_FIXTURE_H

#include "../kernel/storage_ioctl.h"
#include "../kv.h"
#include "core_random.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct device_ring {
	struct storage_ring_setup setup;
	uint8_t *base;
	struct storage_ring *ring;
	struct storage_op *sq;
	struct storage_completion *cq;
	uint8_t *arena;
};

/* Made by the first call, which comes before there are threads. */
static inline const char *device_path(void)
{
	static char path[64];
	const char *name = getenv("DEVICE");

	if (!path[0])
		(void)snprintf(path, sizeof(path), "/dev/storage-%s",
			       name ? name : "array");
	return path;
}

static inline int device_open(int flags)
{
	int fd = open(device_path(), O_RDWR | O_CLOEXEC | flags);

	if (fd < 0)
		fail_msg("%s: %s", device_path(), strerror(errno));
	return fd;
}

/* 0 or -errno, or what the call returns. */
static inline int device_call(int fd, unsigned long request, void *arg)
{
	int came = ioctl(fd, request, arg);

	return came < 0 ? -errno : came;
}

static inline struct storage_op device_op(uint8_t code, const char *key,
					  const void *value, size_t value_len)
{
	return (struct storage_op){
		.version = STORAGE_VERSION,
		.code = code,
		.key = (uintptr_t)key,
		.key_len = (uint32_t)strlen(key),
		.value = (uintptr_t)value,
		.value_len = value_len,
	};
}

static inline void device_put(int fd, const char *key, const char *value)
{
	struct storage_op op = device_op(STORAGE_PUT, key, value, strlen(value));

	assert_int_equal(device_call(fd, STORAGE_IOC_PUT, &op), 0);
}

static inline void device_clear(int fd)
{
	struct storage_control a = { .version = STORAGE_VERSION };

	assert_int_equal(device_call(fd, STORAGE_IOC_CLEAR, &a), 0);
}

/* enum kv_cap of the engine behind it. */
static inline unsigned int device_caps(int fd)
{
	struct storage_info info = { .version = STORAGE_VERSION };

	assert_int_equal(device_call(fd, STORAGE_IOC_INFO, &info), 0);
	return info.caps;
}

static inline int device_ring_open(int fd, uint32_t entries, uint64_t arena,
				   struct device_ring *r)
{
	int error;

	memset(r, 0, sizeof(*r));
	r->setup.version = STORAGE_VERSION;
	r->setup.entries = entries;
	r->setup.arena_bytes = arena;
	error = device_call(fd, STORAGE_IOC_RING_SETUP, &r->setup);
	if (error)
		return error;
	r->base =
		mmap(NULL, r->setup.map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r->base == MAP_FAILED)
		return -errno;
	r->ring = (struct storage_ring *)r->base;
	r->sq = (struct storage_op *)(r->base + r->setup.sq_offset);
	r->cq = (struct storage_completion *)(r->base + r->setup.cq_offset);
	r->arena = r->base + r->setup.arena_offset;
	return 0;
}

static inline void device_ring_close(struct device_ring *r)
{
	assert_int_equal(munmap(r->base, r->setup.map_bytes), 0);
}

static inline bool device_is_there(const char *program)
{
	if (!access(device_path(), R_OK | W_OK))
		return true;
	print_message("skipped: %s: no %s\n", program, device_path());
	return false;
}

#endif /* DEVICE_FIXTURE_H */
