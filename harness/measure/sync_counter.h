/* SPDX-License-Identifier: MIT */
/*
 * sync_counter.h - how often the process asked for durability, by whatever library.
 *
 * The executable defines fsync, fdatasync, msync, sync_file_range, syncfs and the write
 * and open families itself; dynamic linking lets every engine's library find these first.
 * Each counts and passes on to the kernel. A write through a descriptor opened O_SYNC or
 * O_DSYNC (LMDB's meta page) is a sync as well. io_uring's are counted by the engine.
 */
#ifndef SYNC_COUNTER_H
#define SYNC_COUNTER_H

#include <stdint.h>

struct sync_counts {
	uint64_t fsync, fdatasync, msync; /* msync with MS_SYNC only */
	uint64_t osync_write;             /* writes to O_SYNC or O_DSYNC descriptors */
	uint64_t sync_file_range;         /* promises nothing: not in the sum */
};

void sync_counter_read(struct sync_counts *out); /* since the process began */
/* The sum of those that promise durability. */
uint64_t sync_counts_durable(const struct sync_counts *c);

#endif /* SYNC_COUNTER_H */
