/* SPDX-License-Identifier: MIT */
/*
 * peer_device_ring.c - links to a device of the kernel, and the program's side of a ring.
 */
#include "peer_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int device_ioctl(int fd, unsigned long request, void *arg)
{
	int error;

	do {
		error = ioctl(fd, request, arg) < 0 ? -errno : 0;
	} while (error == -EINTR);
	return error;
}

static int ring_open(struct device_link *l)
{
	struct storage_ring_setup setup = {
		.version = STORAGE_VERSION,
		.entries = DEVICE_ENTRIES,
		.arena_bytes = DEVICE_ARENA,
	};
	int error = device_ioctl(l->fd, STORAGE_IOC_RING_SETUP, &setup);
	uint8_t *base;

	if (error)
		return error;
	base = mmap(NULL, setup.map_bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, l->fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	l->ring = (struct storage_ring *)base;
	l->ring_bytes = setup.map_bytes;
	l->sq = (struct storage_op *)(base + setup.sq_offset);
	l->cq = (struct storage_completion *)(base + setup.cq_offset);
	l->arena = base + setup.arena_offset;
	return 0;
}

int device_link_open(const char *path, bool ring, struct device_link **out)
{
	struct device_link *l = port_alloc_aligned(PEER_ALIGN, sizeof(*l));
	int error = 0;

	if (!l)
		return -ENOMEM;
	memset(l, 0, sizeof(*l));
	l->fd = open(path, O_RDWR | O_CLOEXEC);
	if (l->fd < 0)
		error = -errno;
	else if (ring)
		error = ring_open(l);
	if (error)
		device_link_close(l);
	else
		*out = l;
	return error;
}

void device_link_close(struct device_link *l)
{
	if (!l)
		return;
	if (l->ring)
		(void)munmap(l->ring, l->ring_bytes);
	if (l->fd >= 0)
		(void)close(l->fd);
	port_free_aligned(l);
}

static void reap(struct device_link *l, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct storage_completion *c =
			&l->cq[(l->cq_head + i) & (DEVICE_ENTRIES - 1)];
		struct storage_op *op = &l->op[c->user_data];

		op->result = c->result;
		if (op->code == STORAGE_GET)
			op->value_len = c->value_len;
	}
	l->cq_head += (uint32_t)n;
	port_store_release(&l->ring->cq_head, l->cq_head);
}

int device_ring_run(struct device_link *l, size_t n)
{
	size_t i, done = 0;

	for (i = 0; i < n; i++) {
		l->op[i].user_data = i;
		l->sq[(l->sq_tail + i) & (DEVICE_ENTRIES - 1)] = l->op[i];
	}
	l->sq_tail += (uint32_t)n;
	port_store_release(&l->ring->sq_tail, l->sq_tail);
	while (done < n) {
		uint32_t tail;
		int came = ioctl(l->fd, STORAGE_IOC_RING_ENTER, n - done);

		if (came < 0 && errno != EINTR)
			return -errno;
		tail = port_load_acquire(&l->ring->cq_tail);
		done += tail - l->cq_head;
		reap(l, tail - l->cq_head);
	}
	return 0;
}
