/* SPDX-License-Identifier: MIT */
/*
 * env_uring_fixture.h - between env_uring.c and liburing: the linker puts these functions
 * there (--wrap), so that a test can have each answer of the kernel; and what the tests of
 * that home share.
 *
 * Included once a program.
 */
#ifndef ENV_URING_FIXTURE_H
#define ENV_URING_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <liburing.h>
#include <unistd.h>

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../env.h"

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

#endif /* ENV_URING_FIXTURE_H */
