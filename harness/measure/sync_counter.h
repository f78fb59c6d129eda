/* SPDX-License-Identifier: MIT */
/*
 * sync_counter.h - how often the process asked for durability, by whatever library.
 *
 * The executable defines fsync, fdatasync, msync, sync_file_range, syncfs, sync and the
 * write family itself; dynamic linking lets every engine's library find these first.
 * Each counts and passes on to the kernel. A write through a descriptor that is O_SYNC or
 * O_DSYNC (LMDB's meta page) is a sync as well.
 *
 * What our own home of files submits through io_uring it counts itself, and that is added
 * to fdatasync. Not seen: what a library submits so, calls that it makes by syscall(2), and
 * stdio, which never writes through such descriptors.
 */
#ifndef SYNC_COUNTER_H
#define SYNC_COUNTER_H

#include <stdint.h>

struct sync_counts {
	uint64_t fsync; /* also syncfs and sync */
	uint64_t fdatasync;
	uint64_t msync;           /* with MS_SYNC only */
	uint64_t osync_write;     /* writes to O_SYNC or O_DSYNC descriptors */
	uint64_t sync_file_range; /* orders data out, promises nothing: not in the sum */
};

/* Since the process began. Any thread. */
void sync_counter_read(struct sync_counts *out);
/* The sum of those that promise. */
uint64_t sync_counts_durable(const struct sync_counts *c);

#endif /* SYNC_COUNTER_H */
