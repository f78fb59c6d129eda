/* SPDX-License-Identifier: MIT */
/*
 * usage_tests.c - what a stretch of work cost: each figure against a second source, or
 * against work whose cost is known.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../measure/usage.h"

/* ---- processor, memory and time ---- */

static uint64_t process_cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void test_processor_time_is_that_of_the_process(void **state)
{
	enum { WORK_NS = 60000000, SLACK_NS = 10000000 };
	uint64_t outer[2], inner[2], cost;
	struct usage_mark m;
	struct usage u;

	(void)state;
	outer[0] = process_cpu_ns();
	usage_start(&m, scratch, NULL);
	inner[0] = process_cpu_ns();
	while (process_cpu_ns() - inner[0] < WORK_NS)
		;
	inner[1] = process_cpu_ns();
	usage_stop(&m, &u);
	outer[1] = process_cpu_ns();
	cost = u.cpu_user_ns + u.cpu_system_ns;
	assert_true(cost + SLACK_NS >= inner[1] - inner[0]);
	assert_true(cost <= outer[1] - outer[0] + SLACK_NS);
}

static void test_wall_time_and_switches(void **state)
{
	const struct timespec nap = { 0, 1000000 };
	struct usage_mark m;
	struct usage u;
	int i;

	(void)state;
	usage_start(&m, scratch, NULL);
	for (i = 0; i < 20; i++)
		(void)nanosleep(&nap, NULL);
	usage_stop(&m, &u);
	assert_true(u.wall_seconds >= 0.02);
	assert_true(u.switches_voluntary >= 20);
}

/* Memory that is the process's alone and has a page table entry a page. */
static char *map_pages(size_t pages, size_t *bytes)
{
	char *p;

	*bytes = pages * (size_t)sysconf(_SC_PAGESIZE);
	p = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	assert_true(p != MAP_FAILED);
	(void)madvise(p, *bytes, MADV_NOHUGEPAGE);
	return p;
}

static void touch(char *p, size_t bytes)
{
	size_t i, page = (size_t)sysconf(_SC_PAGESIZE);

	for (i = 0; i < bytes; i += page)
		*(volatile char *)(p + i) = 1;
}

static void test_faults_are_counted(void **state)
{
	size_t bytes;
	char *p = map_pages(300, &bytes);
	struct usage_mark m;
	struct usage u;

	(void)state;
	usage_start(&m, scratch, NULL);
	touch(p, bytes);
	usage_stop(&m, &u);
	assert_true(u.faults_minor >= 300);
	(void)munmap(p, bytes);
}

static void test_resident_memory_and_its_peak(void **state)
{
	enum { SOME = 48 << 20 };
	size_t bytes;
	uint64_t base = usage_rss_bytes();
	char *p = map_pages(SOME / (size_t)sysconf(_SC_PAGESIZE), &bytes);

	(void)state;
	assert_true(base > 100000);
	touch(p, bytes);
	assert_true(usage_rss_bytes() >= base + SOME / 10 * 9);
	(void)munmap(p, bytes);
	assert_true(usage_rss_bytes() <= base + SOME / 4);
	assert_true(usage_peak_rss_bytes() >= base + SOME / 10 * 9);
	if (access("/proc/self/clear_refs", W_OK)) {
		print_message("skipped: this kernel keeps the peak for ever\n");
		return;
	}
	usage_reset_peak_rss();
	assert_true(usage_peak_rss_bytes() <= base + SOME / 4);
}

/* ---- the device ---- */

static uint64_t io_bytes(const char *name)
{
	char line[128];
	unsigned long long v = 0;
	FILE *f = fopen("/proc/self/io", "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			(void)sscanf(line + strlen(name), ": %llu", &v);
	(void)fclose(f);
	return v;
}

/* Nothing that a file system could compress. */
static void fill(char *p, size_t n)
{
	uint64_t x = 88172645463325252u;

	while (n--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		*p++ = (char)x;
	}
}

static void write_mebibyte(void)
{
	static char block[65536];
	int fd = open_in_scratch("mebibyte", O_TRUNC), i;

	fill(block, sizeof(block));
	for (i = 0; i < 16; i++)
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(close(fd), 0);
}

static void test_device_bytes_are_those_of_the_source(void **state)
{
	uint64_t outer[2], inner[2];
	struct usage_mark m;
	struct usage u;

	(void)state;
	outer[0] = io_bytes("write_bytes");
	usage_start(&m, scratch, NULL);
	inner[0] = io_bytes("write_bytes");
	write_mebibyte();
	inner[1] = io_bytes("write_bytes");
	usage_stop(&m, &u);
	outer[1] = io_bytes("write_bytes");
	assert_int_equal(u.syncs.fsync, 1);
	if (!strncmp(u.device_source, "block device ", 13)) {
		/* Others write to it as well; its own count of sectors is not below. */
		assert_true(u.device_write_bytes >= 1 << 20);
		return;
	}
	assert_string_equal(u.device_source, "/proc/self/io");
	assert_in_range(u.device_write_bytes, inner[1] - inner[0], outer[1] - outer[0]);
}

/* A file that is removed while its bytes are in the page cache alone. The system may be quicker:
 * so more than once. */
static void test_device_bytes_are_not_those_that_never_get_there(void **state)
{
	static char block[1 << 20];
	struct usage_mark m;
	struct usage u;
	int fd, tries = 10;

	(void)state;
	do {
		usage_start(&m, scratch, NULL);
		fd = open_in_scratch("forgotten", O_TRUNC);
		fill(block, sizeof(block));
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
		assert_int_equal(unlink(in_scratch("forgotten")), 0);
		assert_int_equal(close(fd), 0);
		usage_stop(&m, &u);
	} while (--tries && u.device_write_bytes >= sizeof(block));
	if (!strcmp(u.device_source, "/proc/self/io"))
		assert_true(u.device_write_bytes < sizeof(block));
}

static void test_directory_need_not_exist_yet(void **state)
{
	struct usage_mark here, later;
	struct usage u, v;

	(void)state;
	usage_start(&here, scratch, NULL);
	usage_start(&later, in_scratch("not yet there"), NULL);
	usage_stop(&here, &u);
	usage_stop(&later, &v);
	assert_string_equal(u.device_source, v.device_source);
}

static uint64_t file_blocks(const char *name)
{
	struct stat st;

	assert_int_equal(stat(in_scratch(name), &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void write_in(const char *name, size_t bytes, off_t at)
{
	char *block = malloc(bytes);
	int fd = open_in_scratch(name, 0);

	assert_non_null(block);
	fill(block, bytes);
	assert_int_equal(pwrite(fd, block, bytes, at), bytes);
	assert_int_equal(fsync(fd), 0); /* blocks are given late */
	assert_int_equal(close(fd), 0);
	free(block);
}

static void test_directory_bytes_are_allocated_blocks(void **state)
{
	(void)state;
	assert_int_equal(usage_directory_bytes(in_scratch("nowhere")), 0);
	assert_int_equal(mkdir(in_scratch("tree"), 0755), 0);
	assert_int_equal(usage_directory_bytes(in_scratch("tree")), 0);
	assert_int_equal(mkdir(in_scratch("tree/below"), 0755), 0);
	write_in("tree/file", 100000, 0);
	write_in("tree/below/file", 50000, 0);
	write_in("tree/holes", 1, 1 << 30); /* a gibibyte long, a block large */
	write_in("outside", 500000, 0);
	assert_int_equal(symlink("../outside", in_scratch("tree/link")), 0);
	assert_int_equal(usage_directory_bytes(in_scratch("tree")),
			 file_blocks("tree/file") + file_blocks("tree/below/file") +
				 file_blocks("tree/holes"));
	assert_true(usage_directory_bytes(in_scratch("tree")) < 1 << 20);
	assert_true(usage_directory_bytes(in_scratch("tree")) >= 150000);
}

/* ---- perf events ---- */

static const struct perf_value *find(const struct perf_values *v, const char *name)
{
	size_t i;

	for (i = 0; i < v->n; i++)
		if (!strcmp(v->v[i].name, name))
			return &v->v[i];
	return NULL;
}

static struct perf_group *open_group(void)
{
	struct perf_group *g = perf_group_open();

	if (!g) {
		print_message("skipped: perf_event_open is not permitted here\n");
		skip();
	}
	return g;
}

static void test_no_events_say_why(void **state)
{
	struct perf_values v;

	(void)state;
	perf_group_read(NULL, &v);
	assert_int_equal(v.n, 0);
	assert_false(v.hardware);
	assert_true(v.note[0]);
	perf_group_close(NULL);
}

static void test_no_hardware_events_say_why(void **state)
{
	struct perf_group *g = open_group();
	struct perf_values v;

	(void)state;
	perf_group_read(g, &v);
	assert_true(v.n > 0);
	assert_non_null(find(&v, "task-clock"));
	assert_true(v.hardware || v.note[0]);
	assert_true(!find(&v, "cycles") || v.hardware);
	perf_group_close(g);
}

static void *touch_in_a_thread(void *arg)
{
	size_t bytes;
	char *p = map_pages(200, &bytes);

	touch(p, bytes);
	(void)munmap(p, bytes);
	return arg;
}

static void test_events_of_later_threads_count(void **state)
{
	struct perf_group *g = open_group();
	struct usage_mark m;
	struct usage u;
	pthread_t thread;
	uint64_t cpu;

	(void)state;
	usage_start(&m, scratch, g);
	cpu = process_cpu_ns();
	assert_int_equal(pthread_create(&thread, NULL, touch_in_a_thread, NULL), 0);
	pthread_join(thread, NULL);
	cpu = process_cpu_ns() - cpu;
	usage_stop(&m, &u);
	assert_non_null(find(&u.perf, "page-faults"));
	assert_true(find(&u.perf, "page-faults")->value >= 200);
	assert_true(find(&u.perf, "task-clock")->value >= cpu / 2);
	/* Of the stretch, not since the group was opened. */
	usage_start(&m, scratch, g);
	usage_stop(&m, &u);
	assert_true(find(&u.perf, "page-faults")->value < 200);
	perf_group_close(g);
}

/* Switches happen in the kernel: who may not look there would read zero for ever. */
static void test_switches_are_counted_or_left_out(void **state)
{
	const struct timespec nap = { 0, 1000000 };
	struct perf_group *g = open_group();
	struct perf_values v;
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		(void)nanosleep(&nap, NULL);
	perf_group_read(g, &v);
	if (find(&v, "context-switches"))
		assert_true(find(&v, "context-switches")->value >= 20);
	else
		assert_non_null(strstr(v.note, "perf_event_paranoid"));
	perf_group_close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processor_time_is_that_of_the_process),
		cmocka_unit_test(test_wall_time_and_switches),
		cmocka_unit_test(test_faults_are_counted),
		cmocka_unit_test(test_resident_memory_and_its_peak),
		cmocka_unit_test(test_device_bytes_are_those_of_the_source),
		cmocka_unit_test(test_device_bytes_are_not_those_that_never_get_there),
		cmocka_unit_test(test_directory_need_not_exist_yet),
		cmocka_unit_test(test_directory_bytes_are_allocated_blocks),
		cmocka_unit_test(test_no_events_say_why),
		cmocka_unit_test(test_no_hardware_events_say_why),
		cmocka_unit_test(test_events_of_later_threads_count),
		cmocka_unit_test(test_switches_are_counted_or_left_out),
	};

	return cmocka_run_group_tests_name("usage", tests, make_scratch, drop_scratch);
}
