/* SPDX-License-Identifier: MIT */
/*
 * env_uring_tests.c - the home on io_uring when the kernel refuses, cuts short, fails or is
 * interrupted; and its rings among threads and after a fork.
 *
 * What every home promises is env_home_tests.c's. Here the linker puts this file between
 * env_uring.c and liburing (--wrap), so that each answer of the kernel can be had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../env.h"

#ifndef HAVE_LIBURING

static void test_build_without_liburing_says_so(void **state)
{
	struct env *env = NULL;
	struct kv_msg why = { "" };

	(void)state;
	assert_int_equal(env_uring(&env, &why), -EOPNOTSUPP);
	assert_null(env);
	assert_non_null(strstr(why.text, "liburing-dev"));
	assert_int_equal(env_uring_syncs(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_build_without_liburing_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

#include <dirent.h>
#include <liburing.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, READS = 200, POOL = 16 };

/* ---- between the home and liburing ---- */

static struct {
	int refuse_ring;        /* what making a ring returns; 0: the truth */
	bool refuse_flags;      /* a kernel that does not know them */
	bool refuse_probe;      /* one that can't tell what it knows */
	unsigned int fail_nth;  /* the nth submission from now returns fail_error */
	int fail_error;         /* ... and is not made */
	unsigned int submitted; /* submissions so far */
	bool async;             /* nothing completes before the submission returns */
	bool halve;             /* results of reads and writes: every other one */
	bool replace;           /* every other result by replacement */
	int replacement;
	unsigned int results; /* so far */
	uint64_t left;        /* operations under way when their ring was given up */
} kernel;

static unsigned int posix_syncs;

int __real_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				      struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				      struct io_uring_params *p);
struct io_uring_probe *__real_io_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned int n);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int n);
void __real_io_uring_queue_exit(struct io_uring *ring);
void __wrap_io_uring_queue_exit(struct io_uring *ring);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				      struct io_uring_params *p)
{
	if (kernel.refuse_flags && p->flags)
		return -EINVAL;
	if (kernel.refuse_ring)
		return kernel.refuse_ring;
	return __real_io_uring_queue_init_params(entries, ring, p);
}

struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring)
{
	return kernel.refuse_probe ? NULL : __real_io_uring_get_probe_ring(ring);
}

/* The kernel counts what it took and what it completed. */
void __wrap_io_uring_queue_exit(struct io_uring *ring)
{
	kernel.left += *ring->sq.khead - *ring->cq.ktail;
	__real_io_uring_queue_exit(ring);
}

int __wrap_fdatasync(int fd)
{
	posix_syncs++;
	return __real_fdatasync(fd);
}

static void change_results(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned int head;

	io_uring_for_each_cqe(ring, head, cqe)
	{
		bool chosen = kernel.results++ % 2 == 0;

		if (kernel.halve && chosen && cqe->res > 1)
			cqe->res /= 2;
		if (kernel.replace && chosen)
			cqe->res = kernel.replacement;
	}
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int n)
{
	bool changed = kernel.halve || kernel.replace;
	unsigned int i;
	int submitted;

	if (!changed && !kernel.async && !kernel.fail_nth) /* several threads come here */
		return __real_io_uring_submit_and_wait(ring, n);
	if (++kernel.submitted == kernel.fail_nth)
		return kernel.fail_error;
	for (i = ring->sq.sqe_head; kernel.async && i != ring->sq.sqe_tail; i++)
		ring->sq.sqes[i & *ring->sq.kring_mask].flags |= IOSQE_ASYNC;
	submitted = __real_io_uring_submit_and_wait(ring, n);
	if (changed)
		change_results(ring);
	return submitted;
}

/* ---- the fixture ---- */

static struct env *uring; /* NULL where the kernel has none */
static struct kv_msg refused;
static char scratch[64];

static int set_up(void **state)
{
	memset(&kernel, 0, sizeof(kernel));
	posix_syncs = 0;
	(void)snprintf(scratch, sizeof(scratch), "/tmp/env-uring-XXXXXX");
	return mkdtemp(scratch) ? leak_check_set_up(state) : -1;
}

static int tear_down(void **state)
{
	char command[128];

	memset(&kernel, 0, sizeof(kernel));
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", scratch);
	return system(command) ? -1 : leak_check_tear_down(state);
}

static void want_uring(void)
{
	if (!uring && env_uring(&uring, &refused)) {
		print_message("%s\n", refused.text);
		skip();
	}
}

static uint8_t byte_of(uint64_t i)
{
	return (uint8_t)((i + 1) * 0x9e3779b97f4a7c15u >> 56);
}

/* A file of n pages, each byte by its offset. */
static struct file *make_file(struct env *env, const char *name, size_t pages)
{
	uint8_t page[PAGE];
	char path[ENV_PATH_MAX];
	struct file *f;
	size_t i, k;

	assert_int_equal(env_path(path, scratch, name), 0);
	assert_int_equal(env_open(env, path, ENV_READ | ENV_WRITE | ENV_CREATE, &f), 0);
	for (i = 0; i < pages; i++) {
		for (k = 0; k < PAGE; k++)
			page[k] = byte_of(i * PAGE + k);
		assert_int_equal(file_write(f, i * PAGE, page, PAGE), 0);
	}
	return f;
}

struct reads {
	struct file_read read[READS];
	uint8_t bytes[READS][PAGE];
};

static struct reads reads;

static void prepare_reads(struct reads *r, struct file *f)
{
	size_t i;

	memset(r, 0xee, sizeof(*r));
	for (i = 0; i < READS; i++)
		r->read[i] = (struct file_read){
			.file = f, .offset = i * PAGE, .data = r->bytes[i], .len = PAGE
		};
}

static bool is_read(const struct reads *r, size_t i)
{
	size_t k;

	if (r->read[i].error || r->read[i].got != PAGE)
		return false;
	for (k = 0; k < PAGE && r->bytes[i][k] == byte_of(i * PAGE + k); k++)
		;
	return k == PAGE;
}

static void read_all(struct file *f)
{
	size_t i;

	prepare_reads(&reads, f);
	uring->ops->read_many(uring, reads.read, READS);
	for (i = 0; i < READS; i++)
		assert_true(is_read(&reads, i));
}

struct wanted {
	const char *name;
	uint64_t value;
};

static void find_stat(void *arg, const char *name, uint64_t value)
{
	struct wanted *w = arg;

	if (!strcmp(name, w->name))
		w->value = value;
}

static uint64_t stat_of(const char *name)
{
	struct wanted w = { name, UINT64_MAX };

	env_stats(uring, find_stat, &w);
	assert_true(w.value != UINT64_MAX);
	return w.value;
}

/* ---- a kernel that refuses ---- */

/* Comes first: what was had once is not asked for again. */
static void test_refusal_is_told_with_what_to_do(void **state)
{
	static const struct {
		int error;
		const char *advice;
	} refusal[] = {
		{ -ENOSYS, "CONFIG_IO_URING" }, { -EPERM, "io_uring_disabled" },
		{ -EACCES, "seccomp" },         { -ENOMEM, "ulimit -l" },
		{ -EMFILE, "ulimit -n" },       { -EINVAL, "posix home" },
	};
	struct env *env = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refusal) / sizeof(refusal[0]); i++) {
		struct kv_msg why = { "" };

		kernel.refuse_ring = refusal[i].error;
		assert_int_equal(env_uring(&env, &why), refusal[i].error);
		assert_null(env);
		assert_non_null(strstr(why.text, refusal[i].advice));
	}
}

static void test_kernel_without_the_operations_is_refused(void **state)
{
	struct env *env = NULL;
	struct kv_msg why = { "" };
	int error;

	(void)state;
	kernel.refuse_probe = true;
	error = env_uring(&env, &why);
	assert_true(error < 0);
	assert_null(env);
	if (error == -EOPNOTSUPP) /* else it gives no ring at all */
		assert_non_null(strstr(why.text, "Linux 5.6"));
}

static void test_kernel_without_the_flags_will_do(void **state)
{
	(void)state;
	kernel.refuse_flags = true;
	want_uring();
	assert_int_equal(stat_of("uring_error"), 0);
}

/* ---- results ---- */

static void test_short_results_are_gone_on_from(void **state)
{
	struct file *f;
	uint64_t before;

	(void)state;
	want_uring();
	before = stat_of("uring_posix_operations");
	kernel.halve = true;
	f = make_file(uring, "a", READS);
	read_all(f);
	assert_true(kernel.results > 2 * READS);
	kernel.async = true;
	read_all(f);
	assert_int_equal(stat_of("uring_posix_operations"), before);
	file_close(f);
}

static void test_refused_operations_are_done_by_posix(void **state)
{
	static const int error[] = { -EAGAIN, -EINTR };
	struct file *f;
	uint64_t before;
	size_t i;

	(void)state;
	want_uring();
	for (i = 0; i < 2; i++) {
		char name[] = { (char)('a' + (int)i), 0 };

		before = stat_of("uring_posix_operations");
		kernel.replace = true;
		kernel.replacement = error[i];
		f = make_file(uring, name, READS);
		read_all(f);
		assert_int_equal(stat_of("uring_posix_operations") - before, READS);
		kernel.results = 0;
		assert_int_equal(f->ops->allocate(f, 0, 2 * READS * PAGE), 0);
		kernel.replace = false;
		read_all(f);
		file_close(f);
	}
}

static void test_error_belongs_to_one_read(void **state)
{
	struct file *f;
	size_t i, failed = 0;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	prepare_reads(&reads, f);
	kernel.replace = true;
	kernel.replacement = -EIO;
	uring->ops->read_many(uring, reads.read, READS);
	for (i = 0; i < READS; i++) {
		failed += reads.read[i].error == -EIO;
		assert_true(reads.read[i].error == -EIO || is_read(&reads, i));
	}
	assert_int_equal(failed, READS / 2);
	kernel.results = 0;
	assert_int_equal(file_write(f, 0, "x", 1), -EIO);
	kernel.results = 0;
	kernel.replacement = 0;
	assert_int_equal(file_write(f, 0, "x", 1),
			 -EIO); /* nothing written is no success */
	file_close(f);
}

/* The pages may be gone: a second try would succeed and mean nothing. */
static void test_failed_sync_is_not_tried_again(void **state)
{
	static const int error[] = { -EIO, -EINTR, -EAGAIN, -ENOSPC };
	struct file *f;
	uint64_t before;
	size_t i;

	(void)state;
	want_uring();
	f = make_file(uring, "a", 1);
	kernel.replace = true;
	for (i = 0; i < sizeof(error) / sizeof(error[0]); i++) {
		before = env_uring_syncs();
		kernel.results = 0;
		kernel.replacement = error[i];
		assert_int_equal(file_sync(f), error[i]);
		assert_int_equal(env_uring_syncs() - before, 1);
		assert_int_equal(kernel.results, 1);
	}
	assert_int_equal(posix_syncs, 0);
	file_close(f);
}

static void test_syncs_are_counted(void **state)
{
	struct file *f;
	uint64_t before;

	(void)state;
	want_uring();
	f = make_file(uring, "a", 1);
	before = env_uring_syncs();
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_uring_syncs() - before, 2);
	assert_int_equal(stat_of("uring_syncs"), env_uring_syncs());
	assert_int_equal(posix_syncs, 0);
	file_close(f);
}

/* ---- rings that fail ---- */

/* At each submission in turn, with reads in the kernel's hands and without. */
static void fail_each_submission(struct file *f, int error)
{
	unsigned int nth;

	for (nth = 1;; nth++) {
		kernel.submitted = 0;
		kernel.fail_nth = nth;
		kernel.fail_error = error;
		read_all(f);
		if (kernel.submitted < nth)
			break;
	}
	assert_int_equal(kernel.left, 0); /* none works on memory that is ours again */
	assert_true(nth > 4); /* more reads than a ring holds: several submissions */
	kernel.fail_nth = 0;
	read_all(f);
}

static void test_posix_does_what_a_failing_ring_leaves(void **state)
{
	static const int error[] = { -EAGAIN, -EBUSY, -EBADF };
	struct file *f;
	uint64_t before;
	size_t i;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	for (i = 0; i < sizeof(error) / sizeof(error[0]); i++) {
		kernel.async = i % 2 == 0;
		before = stat_of("uring_posix_operations");
		fail_each_submission(f, error[i]);
		assert_true(stat_of("uring_posix_operations") > before);
		assert_int_equal(stat_of("uring_error"), -error[i]);
	}
	kernel.submitted = 0;
	kernel.fail_nth = 1;
	assert_int_equal(file_write(f, READS * PAGE, "x", 1), 0);
	kernel.submitted = 0;
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(posix_syncs, 1); /* the ring had not begun it */
	kernel.submitted = 0;
	assert_int_equal(f->ops->allocate(f, 0, PAGE), 0);
	file_close(f);
}

static void test_interruption_is_no_failure(void **state)
{
	struct file *f;
	uint64_t before;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	before = stat_of("uring_posix_operations");
	kernel.async = true;
	fail_each_submission(f, -EINTR);
	assert_int_equal(stat_of("uring_posix_operations"), before);
	file_close(f);
}

static void test_posix_does_all_where_no_ring_can_be_made(void **state)
{
	struct file *f;
	uint64_t before;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	kernel.fail_nth = 1; /* the ring is gone */
	kernel.fail_error = -EBADF;
	assert_int_equal(file_sync(f), 0);
	kernel.fail_nth = 0;
	kernel.refuse_ring = -EMFILE;
	before = stat_of("uring_posix_operations");
	read_all(f);
	assert_int_equal(file_write(f, READS * PAGE, "x", 1), 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(stat_of("uring_posix_operations") - before, READS + 2);
	assert_int_equal(stat_of("uring_error"), EMFILE);
	kernel.refuse_ring = 0; /* there are descriptors again */
	read_all(f);
	assert_int_equal(stat_of("uring_posix_operations") - before, READS + 2);
	file_close(f);
}

static void ignore_signal(int signal)
{
	(void)signal;
}

static void test_signals_arrive_all_the_time(void **state)
{
	struct sigaction action = { .sa_handler = ignore_signal }, old;
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { 0 };
	struct file *f;
	int i;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	kernel.async = true;
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (i = 0; i < 20; i++) {
		read_all(f);
		assert_int_equal(file_sync(f), 0);
	}
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
	file_close(f);
}

/* ---- files, threads, processes ---- */

static void test_files_of_another_home_are_read_too(void **state)
{
	struct file *f, *other;
	size_t i;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	other = make_file(env_posix(), "b", READS);
	prepare_reads(&reads, f);
	for (i = 0; i < READS; i += 3)
		reads.read[i].file = other;
	uring->ops->read_many(uring, reads.read, READS);
	for (i = 0; i < READS; i++)
		assert_true(is_read(&reads, i));
	file_close(other);
	file_close(f);
}

static unsigned int count_rings(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[300], to[64] = "";

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		if (readlink(path, to, sizeof(to) - 1) > 0)
			n += strstr(to, "io_uring") != NULL;
	}
	(void)closedir(dir);
	return n;
}

struct task {
	struct file *file;
	struct reads *reads;
	bool failed;
};

static void read_in_task(void *arg)
{
	struct task *t = arg;
	size_t i, k;

	for (k = 0; k < 4; k++) {
		prepare_reads(t->reads, t->file);
		uring->ops->read_many(uring, t->reads->read, READS);
		for (i = 0; i < READS; i++)
			t->failed |= !is_read(t->reads, i);
		t->failed |= file_sync(t->file) != 0;
	}
}

static void test_rings_are_fewer_than_threads(void **state)
{
	enum { TASKS = 3 * POOL };
	struct env_task *handle[TASKS];
	struct task task[TASKS];
	struct file *f;
	size_t i;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	for (i = 0; i < TASKS; i++) {
		task[i] = (struct task){ f, malloc(sizeof(struct reads)), false };
		assert_non_null(task[i].reads);
		assert_int_equal(uring->ops->spawn(uring, "reader", read_in_task,
						   &task[i], &handle[i]),
				 0);
	}
	for (i = 0; i < TASKS; i++) {
		uring->ops->join(uring, handle[i]);
		assert_false(task[i].failed);
		free(task[i].reads);
	}
	assert_in_range(count_rings(), 1, POOL);
	file_close(f);
}

/* Parent and child read at the same time, each through rings of its own. */
static void test_fork_shares_no_ring(void **state)
{
	struct file *f;
	int status, i;
	size_t k;
	pid_t pid;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	read_all(f);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		bool right = count_rings() == 0;

		for (i = 0; i < 50; i++) {
			prepare_reads(&reads, f);
			uring->ops->read_many(uring, reads.read, READS);
			for (k = 0; k < READS; k++)
				right &= is_read(&reads, k);
		}
		_exit(right && count_rings() == 1 ? 0 : 1);
	}
	for (i = 0; i < 50; i++)
		read_all(f);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	file_close(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refusal_is_told_with_what_to_do),
		TEST(test_kernel_without_the_operations_is_refused),
		TEST(test_kernel_without_the_flags_will_do),
		TEST(test_short_results_are_gone_on_from),
		TEST(test_refused_operations_are_done_by_posix),
		TEST(test_error_belongs_to_one_read),
		TEST(test_failed_sync_is_not_tried_again),
		TEST(test_syncs_are_counted),
		TEST(test_posix_does_what_a_failing_ring_leaves),
		TEST(test_interruption_is_no_failure),
		TEST(test_posix_does_all_where_no_ring_can_be_made),
		TEST(test_signals_arrive_all_the_time),
		TEST(test_files_of_another_home_are_read_too),
		TEST(test_rings_are_fewer_than_threads),
		TEST(test_fork_shares_no_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif /* HAVE_LIBURING */
