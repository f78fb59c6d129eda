/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_home_tests.c - what env.h promises of a file's bytes, asked of each of its homes.
 *
 * What a crash may take is env_sim_tests.c's; here is what the running process may count on.
 * Names, locks, tasks and the clock are env_home_world_tests.c's.
 */
#include <fcntl.h>
#include <stdarg.h>

#include "env_home_fixture.h"

enum { PAGE = 4096, MANY = 200, TASKS = 20 };

/* ---- bytes ---- */

static void test_read_what_was_written(void **state)
{
	static const size_t piece[] = { 1, 511, 4096, 5000, 65536, 3 << 20 };
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW), *g;
	uint8_t *p = port_alloc(4 << 20);
	uint64_t offset = 0;
	size_t i, got;

	assert_non_null(p);
	for (i = 0; i < sizeof(piece) / sizeof(piece[0]); i++) {
		write_filled(f, offset, piece[i], 7);
		offset += piece[i];
	}
	assert_int_equal(size_of(f), offset);
	assert_int_equal(file_sync(f), 0);
	g = home_file(h, "a", ENV_READ);
	assert_int_equal(file_read(g, 0, p, offset, &got), 0);
	assert_int_equal(got, offset);
	assert_true(is_filled(p, got, 7, 0));
	assert_int_equal(file_read(g, 4607, p, 2, &got), 0);
	assert_int_equal(got, 2);
	assert_true(is_filled(p, got, 7, 4607));
	file_close(g);
	file_close(f);
	port_free(p);
}

static void test_read_is_short_at_the_end_alone(void **state)
{
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	uint8_t p[PAGE];
	size_t got = 99;

	assert_int_equal(file_read(f, 0, p, sizeof(p), &got), 0);
	assert_int_equal(got, 0);
	write_filled(f, 0, 1000, 3);
	memset(p, 0xee, sizeof(p));
	assert_int_equal(file_read(f, 900, p, sizeof(p), &got), 0);
	assert_int_equal(got, 100);
	assert_true(is_filled(p, 100, 3, 900));
	assert_int_equal(p[100], 0xee);
	assert_int_equal(file_read(f, 1000, p, sizeof(p), &got), 0);
	assert_int_equal(got, 0);
	got = 99;
	assert_int_equal(file_read(f, 1ull << 40, p, sizeof(p), &got), 0);
	assert_int_equal(got, 0);
	file_close(f);
}

/* Any range, although the device gives whole pages; also the last bytes of an odd size. */
static void test_direct_file_is_read_in_any_range(void **state)
{
	enum { SIZE = 5 * PAGE + 777 };
	static const uint64_t at[] = { 0, 1, PAGE - 1, PAGE, 2 * PAGE + 100, SIZE - 1 };
	static const size_t lens[] = { 0, 1, 100, PAGE, PAGE + 1, 3 * PAGE, SIZE };
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW), *g;
	uint8_t *p = port_alloc(SIZE + 1);
	size_t i, j, got, rest;

	assert_non_null(p);
	write_filled(f, 0, SIZE, 5);
	assert_int_equal(file_sync(f), 0);
	g = home_file(h, "a", ENV_READ | ENV_DIRECT);
	assert_int_equal(size_of(g), SIZE);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
			rest = SIZE - at[i] < lens[j] ? SIZE - at[i] : lens[j];
			memset(p, 0xee, SIZE + 1);
			assert_int_equal(file_read(g, at[i], p, lens[j], &got), 0);
			assert_int_equal(got, rest);
			assert_true(is_filled(p, got, 5, at[i]));
			assert_int_equal(p[got], 0xee);
		}
	}
	assert_int_equal(file_read(g, SIZE, p, 10, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(file_read(g, 1ull << 40, p, 10, &got), 0);
	assert_int_equal(got, 0);
	/* What is written later is seen. */
	write_filled(f, PAGE, PAGE, 9);
	assert_int_equal(file_read(g, PAGE + 1, p, 100, &got), 0);
	assert_int_equal(got, 100);
	assert_true(is_filled(p, got, 9, PAGE + 1));
	assert_true(file_write(g, 0, "a", 1) < 0);
	file_close(g);
	file_close(f);
	port_free(p);
}

/* What a file system says that can't read past the system's cache: at once, or when it is to. */
static enum { CAN, NOT_OPEN, NOT_READ } direct;
static unsigned int refusals;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	unsigned int mode;
	va_list args;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, unsigned int) : 0;
	va_end(args);
	if (direct != NOT_OPEN || !(flags & O_DIRECT))
		return __real_open(path, flags, mode);
	refusals++;
	errno = EINVAL;
	return -1;
}

ssize_t __real_pread(int fd, void *data, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t len, off_t offset)
{
	if (direct != NOT_READ || !(fcntl(fd, F_GETFL) & O_DIRECT))
		return __real_pread(fd, data, len, offset);
	refusals++;
	errno = EINVAL;
	return -1;
}

static void test_direct_file_where_the_file_system_refuses(void **state)
{
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW), *g;
	uint8_t p[300];
	size_t got, i;

	write_filled(f, 0, 3 * PAGE, 5);
	file_close(f);
	for (direct = NOT_OPEN; direct <= NOT_READ; direct++) {
		refusals = 0;
		g = home_file(h, "a", ENV_READ | ENV_DIRECT);
		for (i = 0; i < 3; i++) {
			assert_int_equal(file_read(g, 4000 + i, p, sizeof(p), &got), 0);
			assert_int_equal(got, sizeof(p));
			assert_true(is_filled(p, got, 5, 4000 + i));
		}
		assert_int_equal(refusals, 1);
		file_close(g);
	}
	direct = CAN;
	assert_int_equal(env_open(h->env, home_path(h, "b"), ENV_READ | ENV_DIRECT, &g),
			 -ENOENT);
}

static void test_nothing_is_read_and_written(void **state)
{
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	size_t got = 99;

	write_filled(f, 0, 10, 3);
	assert_int_equal(file_read(f, 5, NULL, 0, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(file_write(f, 100, NULL, 0), 0);
	assert_int_equal(size_of(f), 10);
	file_close(f);
}

static void test_hole_reads_as_zeros(void **state)
{
	static const uint8_t zero[PAGE];
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	uint8_t p[PAGE];
	size_t got;

	write_filled(f, 3 * PAGE, PAGE, 5);
	assert_int_equal(size_of(f), 4 * PAGE);
	assert_int_equal(file_read(f, PAGE, p, PAGE, &got), 0);
	assert_int_equal(got, PAGE);
	assert_memory_equal(p, zero, PAGE);
	file_close(f);
}

static void test_allocation_grows_and_changes_no_byte(void **state)
{
	static const uint8_t zero[PAGE];
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	uint8_t p[PAGE];
	size_t got;

	write_filled(f, 0, 100, 5);
	assert_int_equal(f->ops->allocate(f, 0, 10 * PAGE), 0);
	assert_int_equal(size_of(f), 10 * PAGE);
	assert_int_equal(file_read(f, 0, p, PAGE, &got), 0);
	assert_int_equal(got, PAGE);
	assert_true(is_filled(p, 100, 5, 0));
	assert_memory_equal(p + 100, zero, PAGE - 100);
	assert_int_equal(f->ops->allocate(f, PAGE, PAGE), 0); /* is there */
	assert_int_equal(size_of(f), 10 * PAGE);
	file_close(f);
}

static void test_allocation_beyond_the_disk_is_refused(void **state)
{
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	int error;

	write_filled(f, 0, 100, 5);
	error = f->ops->allocate(f, 0, 1ull << 60);
	assert_true(error == -ENOSPC || error == -EFBIG);
	assert_int_equal(size_of(f), 100);
	assert_int_equal(f->ops->allocate(f, 0, 0), -EINVAL);
	file_close(f);
}

static void test_truncation_cuts_and_grows(void **state)
{
	static const uint8_t zero[PAGE];
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	uint8_t p[PAGE];
	size_t got;

	write_filled(f, 0, PAGE, 5);
	assert_int_equal(f->ops->truncate(f, 10), 0);
	assert_int_equal(size_of(f), 10);
	assert_int_equal(f->ops->truncate(f, PAGE), 0);
	assert_int_equal(file_read(f, 0, p, PAGE, &got), 0);
	assert_int_equal(got, PAGE);
	assert_true(is_filled(p, 10, 5, 0));
	assert_memory_equal(p + 10, zero, PAGE - 10);
	file_close(f);
}

/* A ring reads -1 as "where the file stands": a plain file has no such place. */
static void test_offset_that_no_file_has(void **state)
{
	static const uint64_t offset[] = { UINT64_MAX, 1ull << 63, INT64_MAX - 1 };
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	uint8_t p[8] = { 0 };
	size_t i, got;

	write_filled(f, 0, 100, 5);
	for (i = 0; i < sizeof(offset) / sizeof(offset[0]); i++) {
		struct file_read r = { f, offset[i], p, sizeof(p), 99, 99 };
		int error = file_read(f, offset[i], p, sizeof(p), &got);

		assert_true(error < 0 || !got);
		h->env->ops->read_many(h->env, &r, 1);
		assert_true(r.error < 0 || (!r.error && !r.got));
		assert_true(file_write(f, offset[i], p, sizeof(p)) < 0);
	}
	assert_int_equal(size_of(f), 100);
	file_close(f);
}

static void test_what_a_file_was_not_opened_for(void **state)
{
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", ENV_WRITE | ENV_CREATE), *g;
	struct file_read r = { .len = 4 };
	uint8_t p[4] = { 0 };
	size_t got;

	write_filled(f, 0, 10, 1);
	assert_int_equal(file_read(f, 0, p, sizeof(p), &got), -EBADF);
	r.file = f;
	r.data = p;
	h->env->ops->read_many(h->env, &r, 1);
	assert_int_equal(r.error, -EBADF);
	g = home_file(h, "a", ENV_READ);
	assert_int_equal(file_write(g, 0, p, sizeof(p)), -EBADF);
	assert_int_equal(g->ops->allocate(g, 0, 100), -EBADF);
	assert_int_equal(size_of(f), 10);
	file_close(g);
	file_close(f);
}

static void test_map_and_file_are_the_same_bytes(void **state)
{
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	uint8_t p[PAGE];
	void *map = NULL;
	size_t got;

	assert_int_equal(f->ops->allocate(f, 0, 1 << 17), 0);
	assert_int_equal(f->ops->map(f, 1 << 16, 1 << 16, true, &map), 0);
	write_filled(f, (1 << 16) + 5, 100, 2);
	assert_true(is_filled((const uint8_t *)map + 5, 100, 2, (1 << 16) + 5));
	fill((uint8_t *)map + PAGE, PAGE, 9, 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(file_read(f, (1 << 16) + PAGE, p, PAGE, &got), 0);
	assert_true(is_filled(p, PAGE, 9, 0));
	f->ops->unmap(f, map, 1 << 16);
	file_close(f);
}

/* ---- many reads ---- */

enum { LONG_BYTES = 100 * PAGE + 10, SHORT_BYTES = 3 * PAGE };

/* The ith of many: of the long file, the short one, or one that is not open for reading. */
static struct file_read nth_of_many(struct file *const file[3], size_t i, uint8_t *p)
{
	return (struct file_read){ file[i % 10 == 9 ? 2 : i % 3 ? 0 : 1],
				   i * 700,
				   p + i * PAGE,
				   i * 37 % PAGE,
				   77,
				   77 };
}

static void check_many(struct file *const file[3], const struct file_read *read)
{
	size_t i;

	for (i = 0; i < MANY; i++) {
		const struct file_read *r = &read[i];
		uint64_t size = r->file == file[0] ? LONG_BYTES : SHORT_BYTES;
		uint64_t left = size > r->offset ? size - r->offset : 0;
		uint8_t *p = r->data;

		if (r->file == file[2] && r->len) {
			assert_int_equal(r->error, -EBADF);
			continue;
		}
		assert_int_equal(r->error, 0);
		assert_int_equal(r->got, r->file == file[2] ? 0
					 : r->len < left    ? r->len
							    : left);
		assert_true(is_filled(p, r->got, r->file == file[0] ? 1 : 2, r->offset));
		assert_int_equal(p[r->got], 0xee);
	}
}

static void test_many_reads_each_with_its_own_answer(void **state)
{
	static struct file_read read[MANY];
	struct home *h = home_of(state);
	struct file *file[3] = { home_file(h, "a", HOME_NEW), home_file(h, "b", HOME_NEW),
				 home_file(h, "c", ENV_WRITE | ENV_CREATE) };
	uint8_t *p = port_alloc(MANY * PAGE);
	size_t i, cold;

	assert_non_null(p);
	write_filled(file[0], 0, LONG_BYTES, 1);
	write_filled(file[1], 0, SHORT_BYTES, 2);
	for (cold = 0; cold < 2; cold++) {
		memset(p, 0xee, MANY * PAGE);
		for (i = 0; i < MANY; i++)
			read[i] = nth_of_many(file, i, p);
		for (i = 0; i < 2 && cold; i++) {
			assert_int_equal(file_sync(file[i]), 0);
			file[i]->ops->advise(file[i], 0, 0, FILE_DONT_NEED);
		}
		h->env->ops->read_many(h->env, read, MANY);
		check_many(file, read);
	}
	for (i = 0; i < 3; i++)
		file_close(file[i]);
	port_free(p);
}

static void test_no_reads(void **state)
{
	struct home *h = home_of(state);

	h->env->ops->read_many(h->env, NULL, 0);
}

/* ---- several at once: more of them than a home has of anything ---- */

struct reader {
	struct env *env;
	struct file *file;
	unsigned int number;
	const char *failed;
};

enum { OWN_BYTES = 64 << 10, ROUNDS = 12, AT_ONCE = 16 };

static bool read_own(struct reader *r, uint8_t *p, uint64_t base)
{
	struct file_read read[AT_ONCE];
	size_t i;

	for (i = 0; i < AT_ONCE; i++)
		read[i] = (struct file_read){ .file = r->file,
					      .offset = base + i * PAGE,
					      .data = p + i * PAGE,
					      .len = PAGE };
	r->env->ops->read_many(r->env, read, AT_ONCE);
	for (i = 0; i < AT_ONCE; i++)
		if (read[i].error || read[i].got != PAGE)
			return false;
	return true;
}

static void use_own_range(void *arg)
{
	struct reader *r = arg;
	uint64_t base = (uint64_t)r->number * OWN_BYTES;
	uint8_t *p = port_alloc(OWN_BYTES);
	unsigned int i;
	size_t got;

	for (i = 0; p && i < ROUNDS && !r->failed; i++) {
		fill(p, OWN_BYTES, r->number * 100 + i, base);
		if (file_write(r->file, base, p, OWN_BYTES))
			r->failed = "write";
		else if (i % 4 == 0 && file_sync(r->file))
			r->failed = "sync";
		memset(p, 0, OWN_BYTES);
		if (!read_own(r, p, base) ||
		    !is_filled(p, OWN_BYTES, r->number * 100 + i, base))
			r->failed = "read_many";
		if (file_read(r->file, base + 5, p, 100, &got) || got != 100 ||
		    !is_filled(p, 100, r->number * 100 + i, base + 5))
			r->failed = "read";
	}
	if (!p)
		r->failed = "memory";
	port_free(p);
}

static void test_tasks_use_one_file_at_once(void **state)
{
	struct home *h = home_of(state);
	struct file *f = home_file(h, "a", HOME_NEW);
	struct env_task *task[TASKS];
	struct reader reader[TASKS];
	unsigned int i;

	for (i = 0; i < TASKS; i++) {
		reader[i] = (struct reader){ h->env, f, i, NULL };
		assert_int_equal(h->env->ops->spawn(h->env, "reader", use_own_range,
						    &reader[i], &task[i]),
				 0);
	}
	for (i = 0; i < TASKS; i++)
		h->env->ops->join(h->env, task[i]);
	for (i = 0; i < TASKS; i++)
		assert_null(reader[i].failed);
	file_close(f);
}

/* ---- devices, which a simulator has not ---- */

static void test_error_of_a_device_is_told(void **state)
{
	struct home *h = home_of(state);
	struct file_read r = { .len = 4 };
	uint8_t p[4] = { 0 };
	struct file *f;
	size_t got = 9;

	assert_int_equal(env_open(h->env, h->dir, ENV_READ, &f), 0);
	assert_int_equal(file_read(f, 0, p, sizeof(p), &got), -EISDIR);
	r.file = f;
	r.data = p;
	h->env->ops->read_many(h->env, &r, 1);
	assert_int_equal(r.error, -EISDIR);
	file_close(f);
	assert_int_equal(env_open(h->env, "/dev/full", HOME_RW, &f), 0);
	assert_int_equal(file_write(f, 0, p, sizeof(p)), -ENOSPC);
	assert_int_equal(file_sync(f), -EINVAL);
	file_close(f);
	assert_int_equal(
		file_read_exact(f = home_file(h, "a", HOME_NEW), "a", 0, p, 1, NULL),
		-EBADMSG);
	file_close(f);
}

/* One system call takes 2 GiB at most, and the length of a ring's operation has 32 bits. */
static void test_write_of_more_than_a_call_can_take(void **state)
{
	struct home *h = home_of(state);
	uint64_t huge = 4ull << 30;
	struct file *f, *zero;
	void *p = NULL;

	assert_int_equal(env_open(h->env, "/dev/zero", ENV_READ, &zero), 0);
	assert_int_equal(zero->ops->map(zero, 0, huge + PAGE, false, &p), 0);
	assert_int_equal(env_open(h->env, "/dev/null", ENV_WRITE, &f), 0);
	assert_int_equal(file_write(f, 0, p, huge), 0);
	assert_int_equal(file_write(f, 0, p, huge + 1), 0);
	zero->ops->unmap(zero, p, huge + PAGE);
	file_close(f);
	file_close(zero);
}

/* ---- all of it at random ---- */

enum { MODEL_BYTES = 256 << 10 };

struct model {
	struct home *home;
	struct file *file;
	uint64_t random, size;
	uint8_t *bytes, *scratch;
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->random += 0x9e3779b97f4a7c15u;
	return (m->random ^ m->random >> 29) * 0xbf58476d1ce4e5b9u % 1000003 % below;
}

static void model_read(struct model *m, size_t n)
{
	static struct file_read read[MANY];
	size_t i;

	for (i = 0; i < n; i++)
		read[i] = (struct file_read){ .file = m->file,
					      .offset = draw(m, MODEL_BYTES),
					      .data = m->scratch + i * PAGE,
					      .len = (size_t)draw(m, PAGE) };
	if (n == 1)
		read[0].error = file_read(m->file, read[0].offset, read[0].data,
					  read[0].len, &read[0].got);
	else
		m->home->env->ops->read_many(m->home->env, read, n);
	for (i = 0; i < n; i++) {
		uint64_t left = m->size > read[i].offset ? m->size - read[i].offset : 0;

		assert_int_equal(read[i].error, 0);
		assert_int_equal(read[i].got, read[i].len < left ? read[i].len : left);
		if (read[i].got)
			assert_memory_equal(read[i].data, m->bytes + read[i].offset,
					    read[i].got);
	}
}

static void model_resize(struct model *m, uint64_t size)
{
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
}

static void model_step(struct model *m)
{
	uint64_t offset = draw(m, MODEL_BYTES), len = draw(m, 3 * PAGE) + 1;

	if (len > MODEL_BYTES - offset)
		len = MODEL_BYTES - offset;
	switch (draw(m, 8)) {
	case 0:
		assert_int_equal(m->file->ops->truncate(m->file, offset), 0);
		model_resize(m, offset);
		break;
	case 1:
		assert_int_equal(m->file->ops->allocate(m->file, offset, len), 0);
		model_resize(m, offset + len > m->size ? offset + len : m->size);
		break;
	case 2:
		assert_int_equal(file_sync(m->file), 0);
		break;
	case 3:
	case 4:
		model_read(m, draw(m, MANY) + 1);
		break;
	case 5:
		model_read(m, 1);
		break;
	default:
		fill(m->bytes + offset, len, m->random, offset);
		assert_int_equal(file_write(m->file, offset, m->bytes + offset, len), 0);
		model_resize(m, offset + len > m->size ? offset + len : m->size);
	}
}

static void test_random_operations_follow_a_model(void **state)
{
	const char *seconds = getenv("KV_TORTURE"), *seed = getenv("KV_SEED");
	uint64_t until = env_posix()->ops->now_ns(env_posix()), i;
	struct model m = { .home = home_of(state) };

	m.random = seed ? strtoull(seed, NULL, 0) : 1;
	until += (seconds ? strtoull(seconds, NULL, 10) : 0) * 1000000000u;
	print_message("KV_SEED=%llu\n", (unsigned long long)m.random);
	m.file = home_file(m.home, "a", HOME_NEW);
	m.bytes = calloc(1, MODEL_BYTES);
	m.scratch = malloc(MANY * PAGE);
	assert_true(m.bytes && m.scratch);
	for (i = 0; i < 400 || env_posix()->ops->now_ns(env_posix()) < until; i++)
		model_step(&m);
	free(m.bytes);
	free(m.scratch);
	file_close(m.file);
}

int main(void)
{
	static const struct home_test tests[] = {
		TEST(test_read_what_was_written, EVERY),
		TEST(test_read_is_short_at_the_end_alone, EVERY),
		TEST(test_direct_file_is_read_in_any_range, EVERY),
		TEST(test_direct_file_where_the_file_system_refuses, KERNEL),
		TEST(test_nothing_is_read_and_written, EVERY),
		TEST(test_hole_reads_as_zeros, EVERY),
		TEST(test_allocation_grows_and_changes_no_byte, EVERY),
		TEST(test_allocation_beyond_the_disk_is_refused, EVERY),
		TEST(test_truncation_cuts_and_grows, EVERY),
		TEST(test_offset_that_no_file_has, EVERY),
		TEST(test_what_a_file_was_not_opened_for, EVERY),
		TEST(test_map_and_file_are_the_same_bytes, EVERY),
		TEST(test_many_reads_each_with_its_own_answer, EVERY),
		TEST(test_no_reads, EVERY),
		TEST(test_tasks_use_one_file_at_once, EVERY),
		TEST(test_error_of_a_device_is_told, KERNEL),
		TEST(test_write_of_more_than_a_call_can_take, KERNEL),
		TEST(test_random_operations_follow_a_model, EVERY),
	};

	return home_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
