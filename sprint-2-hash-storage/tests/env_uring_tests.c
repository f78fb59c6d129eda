/* SPDX-License-Identifier: MIT */
/*
 * env_uring_tests.c - the home on io_uring when the kernel refuses, cuts short, fails or is
 * interrupted; and its rings among threads and after a fork.
 *
 * What every home promises is env_home_tests.c's.
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
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "env_uring_fixture.h"

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
	struct sigaction action = { .sa_handler = ignore_signal };
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { 0 };
	struct file *f;
	int i;

	(void)state;
	want_uring();
	f = make_file(uring, "a", READS);
	kernel.async = true;
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (i = 0; i < 20; i++) {
		read_all(f);
		assert_int_equal(file_sync(f), 0);
	}
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	action.sa_handler = SIG_IGN; /* one may be under way */
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
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
		right &= count_rings() == 1;
		file_close(f);
		_exit(right ? 0 : 1);
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
