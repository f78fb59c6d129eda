/* SPDX-License-Identifier: MIT */
/*
 * usage.c - see usage.h.
 */
#include "usage.h"

#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "clock.h"

/* ---- one number of a "name: value" file ---- */

static uint64_t proc_number(const char *path, const char *name)
{
	char line[256];
	uint64_t v = 0;
	FILE *f = fopen(path, "re");
	size_t n = strlen(name);

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && line[n] == ':') {
			unsigned long long parsed = 0;

			if (sscanf(line + n + 1, "%llu", &parsed) == 1)
				v = parsed;
			break;
		}
	(void)fclose(f);
	return v;
}

uint64_t usage_rss_bytes(void)
{
	return proc_number("/proc/self/status", "VmRSS") * 1024;
}

uint64_t usage_peak_rss_bytes(void)
{
	return proc_number("/proc/self/status", "VmHWM") * 1024;
}

void usage_reset_peak_rss(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "5", 1);
	(void)close(fd);
}

/* ---- directories ---- */

static _Thread_local uint64_t walked_bytes;

static int walk_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path;
	(void)at;
	if (type == FTW_F)
		walked_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

uint64_t usage_directory_bytes(const char *dir)
{
	walked_bytes = 0;
	(void)nftw(dir, walk_entry, 16, FTW_PHYS);
	return walked_bytes;
}

/* ---- the device ---- */

/* "/sys/dev/block/8:1/stat" of dir's file system, if that is not the root's: then what the
 * device reads and writes is the store's, or nearly. "" if it is. */
static void find_device(const char *dir, char *stat_path, size_t n)
{
	struct stat root, st;
	char *parent = NULL;

	stat_path[0] = '\0';
	if (stat(dir, &st)) {
		parent = strdup(dir);
		if (!parent || stat(dirname(parent), &st))
			memset(&st, 0, sizeof(st));
		free(parent);
	}
	if (!st.st_dev || stat("/", &root) || st.st_dev == root.st_dev)
		return;
	(void)snprintf(stat_path, n, "/sys/dev/block/%u:%u/stat", major(st.st_dev),
		       minor(st.st_dev));
	if (access(stat_path, R_OK))
		stat_path[0] = '\0';
}

static bool device_bytes(const char *stat_path, uint64_t *read_bytes,
			 uint64_t *write_bytes)
{
	unsigned long long v[8];
	FILE *f = fopen(stat_path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fscanf(f, "%llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
		    &v[4], &v[5], &v[6]) == 7;
	(void)fclose(f);
	if (!ok)
		return false;
	/* The fields count sectors of 512 bytes, whatever the device's. */
	*read_bytes = v[2] * 512;
	*write_bytes = v[6] * 512;
	return true;
}

static void device_name(const char *stat_path, char *out, size_t n)
{
	char link[256], target[256];
	const char *base;
	ssize_t len;

	(void)snprintf(link, sizeof(link), "%.*s",
		       (int)(strlen(stat_path) - strlen("/stat")), stat_path);
	len = readlink(link, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = '\0';
	base = strrchr(target, '/');
	(void)snprintf(out, n, "block device %.32s", base ? base + 1 : "(unnamed)");
}

static uint64_t less(uint64_t after, uint64_t before)
{
	return after > before ? after - before : 0;
}

static void read_io(const struct usage_mark *m, struct usage *u)
{
	if (m->device[0] &&
	    device_bytes(m->device, &u->device_read_bytes, &u->device_write_bytes)) {
		device_name(m->device, u->device_source, sizeof(u->device_source));
		return;
	}
	u->device_read_bytes = proc_number("/proc/self/io", "read_bytes");
	u->device_write_bytes =
		less(proc_number("/proc/self/io", "write_bytes"),
		     proc_number("/proc/self/io", "cancelled_write_bytes"));
	(void)snprintf(u->device_source, sizeof(u->device_source), "/proc/self/io");
}

/* ---- marks ---- */

static uint64_t timeval_ns(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

static void read_all(const struct usage_mark *m, struct usage *u)
{
	struct rusage r;

	memset(u, 0, sizeof(*u));
	(void)getrusage(RUSAGE_SELF, &r);
	u->cpu_user_ns = timeval_ns(r.ru_utime);
	u->cpu_system_ns = timeval_ns(r.ru_stime);
	u->switches_voluntary = (uint64_t)r.ru_nvcsw;
	u->switches_involuntary = (uint64_t)r.ru_nivcsw;
	u->faults_minor = (uint64_t)r.ru_minflt;
	u->faults_major = (uint64_t)r.ru_majflt;
	read_io(m, u);
	sync_counter_read(&u->syncs);
	perf_group_read(m->perf, &u->perf);
	u->wall_seconds = (double)clock_monotonic_ns() * 1e-9;
}

void usage_start(struct usage_mark *m, const char *dir, struct perf_group *perf)
{
	memset(m, 0, sizeof(*m));
	find_device(dir, m->device, sizeof(m->device));
	m->perf = perf;
	read_all(m, &m->at_start);
}

/* A counter that had not run yet at the start is not in before: it began at 0. */
static void less_perf(struct perf_values *after, const struct perf_values *before)
{
	size_t i, k;

	for (i = 0; i < after->n; i++)
		for (k = 0; k < before->n; k++)
			if (!strcmp(after->v[i].name, before->v[k].name))
				after->v[i].value =
					less(after->v[i].value, before->v[k].value);
}

void usage_stop(struct usage_mark *m, struct usage *out)
{
	const struct usage *a = &m->at_start;

	read_all(m, out);
	less_perf(&out->perf, &a->perf);
	out->wall_seconds -= a->wall_seconds;
	out->cpu_user_ns = less(out->cpu_user_ns, a->cpu_user_ns);
	out->cpu_system_ns = less(out->cpu_system_ns, a->cpu_system_ns);
	out->switches_voluntary = less(out->switches_voluntary, a->switches_voluntary);
	out->switches_involuntary =
		less(out->switches_involuntary, a->switches_involuntary);
	out->faults_minor = less(out->faults_minor, a->faults_minor);
	out->faults_major = less(out->faults_major, a->faults_major);
	out->device_read_bytes = less(out->device_read_bytes, a->device_read_bytes);
	out->device_write_bytes = less(out->device_write_bytes, a->device_write_bytes);
	out->syncs.fsync -= a->syncs.fsync;
	out->syncs.fdatasync -= a->syncs.fdatasync;
	out->syncs.msync -= a->syncs.msync;
	out->syncs.osync_write -= a->syncs.osync_write;
	out->syncs.sync_file_range -= a->syncs.sync_file_range;
}
