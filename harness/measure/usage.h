/* SPDX-License-Identifier: MIT */
/*
 * usage.h - what a stretch of work cost this process and its device.
 *
 *	struct usage_mark m;
 *	usage_start(&m, dir, perf); ...work...; usage_stop(&m, &u);
 *
 * Device bytes come from the block device's own statistics when dir lies on a file system
 * of its own (not the root's), else from /proc/self/io, which counts pages as they are
 * dirtied, less those that were dropped before they were written, with the end of their file:
 * it does not see the journal, nor that a page overwritten while dirty goes out
 * once. device_source says which. The device does not see yet what the page cache still
 * holds when the work ends; the stretch in which it is synced gets those bytes.
 */
#ifndef USAGE_H
#define USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "perf_counters.h"
#include "sync_counter.h"

struct usage {
	double wall_seconds;
	uint64_t cpu_user_ns, cpu_system_ns;
	uint64_t switches_voluntary, switches_involuntary;
	uint64_t faults_minor, faults_major;
	uint64_t device_read_bytes, device_write_bytes;
	char device_source[64]; /* "/proc/self/io" or "block device mmcblk0p3" */
	struct sync_counts syncs;
	struct perf_values perf;
};

struct usage_mark {
	struct usage at_start;
	char device[64]; /* path of the block device's statistics; "": /proc/self/io */
	struct perf_group *perf;
};

/* dir need not exist yet. perf may be NULL; it must outlive the mark. */
void usage_start(struct usage_mark *m, const char *dir, struct perf_group *perf);
void usage_stop(struct usage_mark *m, struct usage *out);

uint64_t usage_rss_bytes(void);      /* resident now */
uint64_t usage_peak_rss_bytes(void); /* VmHWM */
void usage_reset_peak_rss(void); /* the peak counts from now, where the kernel lets it */
/* Allocated blocks of the files below dir. */
uint64_t usage_directory_bytes(const char *dir);

#endif /* USAGE_H */
