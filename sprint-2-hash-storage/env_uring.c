/* SPDX-License-Identifier: MIT */
/*
 * env_uring.c - env.h with file I/O through io_uring (Axboe, "Efficient IO with io_uring",
 * 2019): reading, writing, syncing and allocating. Names, locks, threads and the clock are
 * env_posix.c's.
 *
 * What a ring is for is read_many(): all reads of a batch are under way at once, and one
 * system call submits many and collects many. A call that waits for one thing alone gains
 * nothing by it; that it goes through a ring as well shows what that costs.
 *
 * Rings belong to no thread. A call takes a free one from a pool, has it alone, waits until
 * all that it submitted is complete, and gives it back. So a ring needs no lock, its memory
 * and its descriptors are bounded however many threads there are, and nothing is left over
 * when one ends. Where no ring can be had (all are taken, no descriptor, no memory) or a
 * ring fails, posix does what is undone; that is counted.
 *
 * The kernel writes into the caller's memory until a read is complete. So no call returns
 * before all that the kernel took from it is.
 */
#include "env_posix_internal.h"

#ifndef HAVE_LIBURING

int env_uring(struct env **out, struct kv_msg *why)
{
	(void)out;
	return kv_fail(why, -EOPNOTSUPP,
		       "this build has no io_uring: install liburing-dev and make again, "
		       "or take the posix home");
}

uint64_t env_uring_syncs(void)
{
	return 0;
}

#else

#include <liburing.h>
#include <unistd.h>

/* Memcheck does not know that completed reads have filled memory. */
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(p, n) ((void)(p), (void)(n), 0)
#endif

enum {
	RINGS = 16,          /* at most; made when they are first needed */
	ENTRIES = 64,        /* in flight in one ring */
	MOST_BYTES = 1 << 30 /* of one operation: the kernel's numbers have 31 bits */
};

struct uring {
	int taken; /* atomic: a call has it, and with it all below */
	bool made;
	struct io_uring ring;
} __attribute__((aligned(64)));

static struct uring pool[RINGS];
static struct env_ops uring_ops;       /* constant once started */
static struct file_ops uring_file_ops; /* constant once started */
static struct port_mutex start_lock = { PTHREAD_MUTEX_INITIALIZER };
static bool started; /* protected by start_lock */

static struct { /* atomic */
	uint64_t rings, operations, syncs, posix_operations;
	uint64_t error; /* the last that a ring gave, for which posix stood in */
} counted;

static void count(uint64_t *counter, uint64_t n)
{
	if (n)
		(void)__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- rings ---- */

static int ring_make(struct uring *u)
{
	/* Completions need not interrupt a thread that will come for them anyway. */
	struct io_uring_params p = { .flags = IORING_SETUP_COOP_TASKRUN };
	int error = io_uring_queue_init_params(ENTRIES, &u->ring, &p);

	if (error == -EINVAL) { /* before Linux 5.19 */
		p = (struct io_uring_params){ 0 };
		error = io_uring_queue_init_params(ENTRIES, &u->ring, &p);
	}
	u->made = !error;
	count(&counted.rings, u->made);
	return error;
}

static void ring_unmake(struct uring *u)
{
	io_uring_queue_exit(&u->ring);
	u->made = false;
}

static void ring_give(struct uring *u)
{
	port_store_release(&u->taken, 0);
}

/* A thread finds the ring that it had before, unless somebody else has it now. */
static struct uring *ring_take(void)
{
	static __thread unsigned int last;
	unsigned int i;

	for (i = 0; i < RINGS; i++) {
		struct uring *u = &pool[(last + i) % RINGS];
		int expected = 0, error;

		if (port_load_relaxed(&u->taken) || !port_cas(&u->taken, &expected, 1))
			continue;
		error = u->made ? 0 : ring_make(u);
		if (!error) {
			last = (last + i) % RINGS;
			return u;
		}
		port_store_relaxed(&counted.error, (uint64_t)-error);
		ring_give(u);
		return NULL;
	}
	return NULL;
}

/* A child after fork() would share the rings with its parent, each taking what is the
 * other's. It drops them (which the parent does not notice) and makes its own. */
static void fork_begin(void)
{
	port_mutex_lock(&start_lock);
}

static void fork_end(void)
{
	port_mutex_unlock(&start_lock);
}

static void fork_child(void)
{
	unsigned int i;

	for (i = 0; i < RINGS; i++) {
		if (pool[i].made)
			ring_unmake(&pool[i]);
		ring_give(&pool[i]);
	}
	port_mutex_unlock(&start_lock);
}

/* ---- batches ---- */

/* Where an operation stands, in place of its error. */
enum { IN_RING = 1, FOR_POSIX = 2 };

struct uring_batch {
	size_t n;
	bool (*wanted)(struct uring_batch *b, size_t i); /* is it IN_RING? */
	void (*prepare)(struct uring_batch *b, size_t i, struct io_uring_sqe *sqe);
	void (*complete)(struct uring_batch *b, size_t i, int result);
};

struct flight {
	size_t next;         /* of the batch, not yet looked at */
	unsigned int queued; /* not yet the kernel's */
	unsigned int in_kernel;
};

/* There is a place: what is queued or in the kernel is at most ENTRIES. */
static void enqueue(struct uring *u, struct uring_batch *b, struct flight *f, size_t i)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	b->prepare(b, i, sqe);
	io_uring_sqe_set_data64(sqe, i);
	f->queued++;
}

/* One completion. What was cut short goes on. */
static void take_completion(struct uring *u, struct uring_batch *b, struct flight *f,
			    struct io_uring_cqe *cqe, bool go_on)
{
	size_t i = (size_t)io_uring_cqe_get_data64(cqe);
	int result = cqe->res;

	io_uring_cqe_seen(&u->ring, cqe);
	f->in_kernel--;
	b->complete(b, i, result);
	if (go_on && b->wanted(b, i))
		enqueue(u, b, f, i);
}

static int submit_and_collect(struct uring *u, struct uring_batch *b, struct flight *f)
{
	struct io_uring_cqe *cqe;
	int n = io_uring_submit_and_wait(&u->ring, 1);

	if (n < 0)
		return n == -EINTR ? 0 : n;
	f->queued -= (unsigned int)n;
	f->in_kernel += (unsigned int)n;
	while (f->in_kernel && !io_uring_peek_cqe(&u->ring, &cqe))
		take_completion(u, b, f, cqe, true);
	return 0;
}

/* What is queued is dropped with the ring, what the kernel has is waited for, however
 * long that takes: it is the caller's memory that it works on. */
static void abandon(struct uring *u, struct uring_batch *b, struct flight *f, int error)
{
	struct io_uring_cqe *cqe;

	port_store_relaxed(&counted.error, (uint64_t)-error);
	while (f->in_kernel) {
		if (!io_uring_wait_cqe(&u->ring, &cqe))
			take_completion(u, b, f, cqe, false);
		else
			(void)usleep(1000);
	}
	ring_unmake(u);
}

/* Operations that are still IN_RING afterwards were not done. */
static void ring_run(struct uring *u, struct uring_batch *b)
{
	struct flight f = { 0 };
	int error = 0;

	for (;;) {
		for (; f.next < b->n && f.queued + f.in_kernel < ENTRIES; f.next++)
			if (b->wanted(b, f.next))
				enqueue(u, b, &f, f.next);
		if (!f.queued && !f.in_kernel)
			return;
		error = submit_and_collect(u, b, &f);
		if (error) {
			abandon(u, b, &f, error);
			return;
		}
	}
}

static void batch_run(struct uring_batch *b)
{
	struct uring *u = ring_take();

	if (!u)
		return;
	ring_run(u, b);
	ring_give(u);
}

static unsigned int at_once(size_t len)
{
	return len < MOST_BYTES ? (unsigned int)len : MOST_BYTES;
}

/* -EAGAIN and -EINTR say nothing of the file. */
static bool was_refused(int result)
{
	return result == -EAGAIN || result == -EINTR;
}

/* ---- reads ---- */

struct read_batch {
	struct uring_batch base;
	struct file_read *read;
};

static struct file_read *nth_read(struct uring_batch *b, size_t i)
{
	return &container_of(b, struct read_batch, base)->read[i];
}

static bool read_wanted(struct uring_batch *b, size_t i)
{
	return nth_read(b, i)->error == IN_RING;
}

static void read_prepare(struct uring_batch *b, size_t i, struct io_uring_sqe *sqe)
{
	struct file_read *r = nth_read(b, i);

	io_uring_prep_read(sqe, posix_file(r->file)->fd, (char *)r->data + r->got,
			   at_once(r->len - r->got), r->offset + r->got);
}

static void read_complete(struct uring_batch *b, size_t i, int result)
{
	struct file_read *r = nth_read(b, i);

	if (result < 0) {
		r->error = was_refused(result) ? FOR_POSIX : result;
		return;
	}
	(void)VALGRIND_MAKE_MEM_DEFINED((char *)r->data + r->got, result);
	r->got += (size_t)result;
	if (!result || r->got == r->len)
		r->error = 0;
}

/* A ring takes the offset -1 for "where the file stands", which this file does not. */
static bool reaches_too_far(uint64_t offset, uint64_t len)
{
	return offset > INT64_MAX || len > (uint64_t)INT64_MAX - offset;
}

static int read_begin(const struct file_read *r)
{
	if (r->file->ops != &uring_file_ops)
		return FOR_POSIX;
	if (reaches_too_far(r->offset, r->len))
		return -EINVAL;
	return r->len ? IN_RING : 0;
}

static int read_by_posix(struct file_read *r)
{
	return r->file->ops == &uring_file_ops
		       ? env_posix_file_ops.read(r->file, r->offset, r->data, r->len,
						 &r->got)
		       : file_read(r->file, r->offset, r->data, r->len, &r->got);
}

static void uring_read_many(struct env *env, struct file_read *read, size_t n)
{
	struct read_batch b = {
		.base = { n, read_wanted, read_prepare, read_complete },
		.read = read,
	};
	uint64_t by_posix = 0;
	size_t i;

	(void)env;
	for (i = 0; i < n; i++) {
		read[i].got = 0;
		read[i].error = read_begin(&read[i]);
	}
	batch_run(&b.base);
	for (i = 0; i < n; i++) {
		if (read[i].error <= 0)
			continue;
		by_posix++;
		read[i].error = read_by_posix(&read[i]);
	}
	count(&counted.posix_operations, by_posix);
	count(&counted.operations, n - by_posix);
}

static int uring_read(struct file *f, uint64_t offset, void *data, size_t len,
		      size_t *got)
{
	struct file_read r = { .file = f, .offset = offset, .data = data, .len = len };

	uring_read_many(NULL, &r, 1);
	*got = r.got;
	return r.error;
}

/* ---- one operation that changes the file ---- */

struct change {
	struct uring_batch base;
	uint8_t opcode; /* of IORING_OP_* */
	int fd;
	const char *data;
	uint64_t offset, len; /* what is left */
	int error;
};

static bool change_wanted(struct uring_batch *b, size_t i)
{
	(void)i;
	return container_of(b, struct change, base)->error == IN_RING;
}

static void change_prepare(struct uring_batch *b, size_t i, struct io_uring_sqe *sqe)
{
	struct change *c = container_of(b, struct change, base);

	(void)i;
	if (c->opcode == IORING_OP_WRITE)
		io_uring_prep_write(sqe, c->fd, c->data, at_once(c->len), c->offset);
	else if (c->opcode == IORING_OP_FALLOCATE)
		io_uring_prep_fallocate(sqe, c->fd, 0, (off_t)c->offset, (off_t)c->len);
	else
		io_uring_prep_fsync(sqe, c->fd, IORING_FSYNC_DATASYNC);
}

static void change_complete(struct uring_batch *b, size_t i, int result)
{
	struct change *c = container_of(b, struct change, base);

	(void)i;
	if (c->opcode == IORING_OP_FSYNC) {
		/* Never done again, whatever it says: the kernel may have dropped the pages. */
		c->error = result;
		count(&counted.syncs, 1);
	} else if (result < 0) {
		c->error = was_refused(result) ? FOR_POSIX : result;
	} else if (c->opcode == IORING_OP_FALLOCATE) {
		c->error = 0;
	} else if (!result) {
		c->error = -EIO;
	} else {
		c->data += result;
		c->offset += (uint64_t)result;
		c->len -= (uint64_t)result;
		c->error = c->len ? IN_RING : 0;
	}
}

/* 0, an error, or above 0: posix is to do what is left. */
static int change_run(struct change *c)
{
	c->base =
		(struct uring_batch){ 1, change_wanted, change_prepare, change_complete };
	c->error = IN_RING;
	batch_run(&c->base);
	count(c->error > 0 ? &counted.posix_operations : &counted.operations, 1);
	return c->error;
}

static int uring_write(struct file *f, uint64_t offset, const void *data, size_t len)
{
	struct change c = {
		.opcode = IORING_OP_WRITE,
		.fd = posix_file(f)->fd,
		.data = data,
		.offset = offset,
		.len = len,
	};
	int error;

	if (reaches_too_far(offset, len))
		return -EFBIG;
	error = len ? change_run(&c) : 0;
	if (error > 0)
		error = env_posix_file_ops.write(f, c.offset, c.data, (size_t)c.len);
	return error;
}

static int uring_sync(struct file *f)
{
	struct change c = { .opcode = IORING_OP_FSYNC, .fd = posix_file(f)->fd };
	int error = change_run(&c);

	return error > 0 ? env_posix_file_ops.sync(f) : error;
}

static int uring_allocate(struct file *f, uint64_t offset, uint64_t len)
{
	struct change c = {
		.opcode = IORING_OP_FALLOCATE,
		.fd = posix_file(f)->fd,
		.offset = offset,
		.len = len,
	};
	int error = change_run(&c);

	return error > 0 ? env_posix_file_ops.allocate(f, offset, len) : error;
}

/* ---- the home ---- */

static int uring_open(struct env *env, const char *path, unsigned int flags,
		      struct file **out)
{
	(void)env;
	return env_posix_open(path, flags, &uring_file_ops, out);
}

static void uring_stats(struct env *env, kv_stat_fn *emit, void *arg)
{
	(void)env;
	emit(arg, "uring_rings_made", port_load_relaxed(&counted.rings));
	emit(arg, "uring_operations", port_load_relaxed(&counted.operations));
	emit(arg, "uring_syncs", port_load_relaxed(&counted.syncs));
	emit(arg, "uring_posix_operations", port_load_relaxed(&counted.posix_operations));
	emit(arg, "uring_error", port_load_relaxed(&counted.error));
}

static bool knows_operations(struct uring *u)
{
	static const int needed[] = { IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
				      IORING_OP_FALLOCATE };
	struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
	bool known = probe;
	size_t i;

	for (i = 0; known && i < sizeof(needed) / sizeof(needed[0]); i++)
		known = io_uring_opcode_supported(probe, needed[i]);
	io_uring_free_probe(probe);
	return known;
}

static int refuse(int error, struct kv_msg *why)
{
	const char *advice = "take the posix home";

	if (error == -ENOSYS)
		advice = "this kernel has none: take one from Linux 5.6 on, built with "
			 "CONFIG_IO_URING, or the posix home";
	else if (error == -EPERM || error == -EACCES)
		advice =
			"it is forbidden here: see sysctl kernel.io_uring_disabled and the "
			"container's seccomp profile, or take the posix home";
	else if (error == -ENOMEM)
		advice =
			"no memory that may be locked: raise ulimit -l, or take the posix "
			"home";
	else if (error == -EMFILE || error == -ENFILE)
		advice = "no descriptor is left: raise ulimit -n";
	return kv_fail(why, error, "io_uring cannot be used: %s", advice);
}

/* Under start_lock. The first ring is the question whether there can be any. */
static int start(struct kv_msg *why)
{
	static bool watches_forks; /* protected by start_lock */
	int error = ring_make(&pool[0]);

	if (error)
		return refuse(error, why);
	if (!knows_operations(&pool[0])) {
		ring_unmake(&pool[0]);
		return kv_fail(
			why, -EOPNOTSUPP,
			"this kernel's io_uring can't read, write, sync and allocate: "
			"Linux 5.6 is the first that can; take the posix home");
	}
	if (!watches_forks && pthread_atfork(fork_begin, fork_end, fork_child)) {
		ring_unmake(&pool[0]);
		return refuse(-ENOMEM, why);
	}
	watches_forks = true;
	uring_file_ops = env_posix_file_ops;
	uring_file_ops.read = uring_read;
	uring_file_ops.write = uring_write;
	uring_file_ops.sync = uring_sync;
	uring_file_ops.allocate = uring_allocate;
	uring_ops = env_posix_ops;
	uring_ops.name = "uring";
	uring_ops.open = uring_open;
	uring_ops.read_many = uring_read_many;
	uring_ops.stats = uring_stats;
	return 0;
}

int env_uring(struct env **out, struct kv_msg *why)
{
	static struct env env = { .ops = &uring_ops };
	int error = 0;

	port_mutex_lock(&start_lock);
	if (!started)
		error = start(why);
	if (!error) {
		started = true;
		*out = &env;
	}
	port_mutex_unlock(&start_lock);
	return error;
}

uint64_t env_uring_syncs(void)
{
	return port_load_relaxed(&counted.syncs);
}

#endif /* HAVE_LIBURING */
