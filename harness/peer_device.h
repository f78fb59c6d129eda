/* SPDX-License-Identifier: MIT */
/*
 * peer_device.h - what the parts of the kernel's peer know of each other: the store, the
 * links to its device, the ring of a link.
 */
#ifndef PEER_DEVICE_H
#define PEER_DEVICE_H

#include "peer_common.h"

#include "../sprint-1-core-memory/kernel/storage_ioctl.h"

enum device_way { DEVICE_CALL, DEVICE_BATCH, DEVICE_RING, DEVICE_WAYS };

enum {
	DEVICE_ENTRIES = 128,        /* of a ring: a chunk, and room behind it */
	DEVICE_ARENA = 4 << 20,      /* bytes */
	DEVICE_VALUE_ROOM = 4 << 10, /* for each value of several, at first */
	DEVICE_BLOCK = 128 << 10,    /* of a cursor */
	DEVICE_BLOCKS = DEVICE_ARENA / DEVICE_BLOCK,
};

/* A descriptor, which one thread uses at a time. */
struct device_link {
	int fd;
	struct storage_ring *ring; /* NULL: none */
	size_t ring_bytes;
	struct storage_op *sq;
	struct storage_completion *cq;
	uint8_t *arena;
	uint32_t sq_tail, cq_head; /* this side's */
	struct storage_op op[STORAGE_TOGETHER];
};

struct device_store {
	struct kv kv;
	/* constant after open */
	char path[64];
	enum device_way way;
	int lock_fd; /* of the directory; -1: none */
	/* For snapshots and cursors, which belong to a descriptor; all threads use it. Its
	 * arena is the cursors'. */
	struct device_link *own;
	int fd;          /* of own */
	uint64_t blocks; /* atomic: bits of those in the arena that cursors have */
	bool snapshots;
	struct peer_pool links; /* of struct device_link */
	struct peer_pool rooms; /* DEVICE_BLOCK bytes each, for cursors without a block */
};

static inline struct device_store *device_store(struct kv *kv)
{
	return container_of(kv, struct device_store, kv);
}

/* An ioctl that a signal does not end: 0 or -errno. */
int device_ioctl(int fd, unsigned long request, void *arg);

int device_link_open(const char *path, bool ring, struct device_link **out);
void device_link_close(struct device_link *l);

/* Up to STORAGE_TOGETHER operations in l->op, whose addresses are offsets in l->arena where
 * the link has a ring. Afterwards each has its result. */
int device_ring_run(struct device_link *l, size_t n);

int device_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);

/* A snapshot's handle on the store's descriptor. */
uint32_t device_snapshot_handle(const struct kv_snapshot *snap);

#endif /* PEER_DEVICE_H */
