/* SPDX-License-Identifier: MIT */
/*
 * env_sim_toy_tests.c - the tester tested: a log of two hundred lines that can be told to
 * make the classic mistakes of durability. Without any it passes every crash, with each
 * of them it is caught.
 *
 * The log is one file of a generation, t/g1, t/g2, ...; the highest counts. Every fourth
 * record, and every opening, copies what is good into the next one. A record is
 *
 *	0  4  CRC32C of the rest and the payload
 *	4  4  bytes of payload
 *	8  8  number: 0, 1, 2, ...
 *	16    payload
 */
#include "env_sim.h"

#include <setjmp.h>

#include <cmocka.h>

enum { TOY_BYTES = 12 << 10, TOY_HEADER = 16, TOY_RECORDS = 9, TOY_PAYLOAD_MAX = 1000 };

enum toy_mistake {
	NO_SYNC = 1 << 0,            /* a record is called durable without a sync */
	NO_SYNC_DIR = 1 << 1,        /* a file's name is */
	RENAME_BEFORE_SYNC = 1 << 2, /* a file gets its name before it has its bytes */
	UNLINK_EARLY = 1 << 3,       /* a file goes before its successor has its name */
	NO_CRC = 1 << 4,             /* a record's length and number say that it is one */
	IGNORE_EIO = 1 << 5,         /* a sync that failed is a sync */
	RETRY_SYNC = 1 << 6,         /* a sync that fails is done again */
	KEEP_TAIL = 1 << 7,          /* what is behind the last good record stays there */
	TOY_MISTAKES = 8,
};

struct toy {
	struct env *env;
	unsigned int mistakes;
	bool mapped;
	struct file *f;
	uint8_t *map;
	uint8_t copy[TOY_BYTES]; /* the file as it should be, up to end */
	size_t end;
	unsigned int records, generation;
	int failed;
};

/* ---- the toy ---- */

static size_t toy_payload(unsigned int number, unsigned int life, uint8_t *out)
{
	size_t n = 650 + number * 37 % 300, i;

	for (i = 0; i < n; i++)
		out[i] = (uint8_t)(number * 31 + life * 101 + i / 7 + 1);
	return n;
}

static size_t toy_encode(unsigned int number, const uint8_t *payload, size_t n,
			 uint8_t *out)
{
	port_put_le32(out + 4, (uint32_t)n);
	port_put_le64(out + 8, number);
	memcpy(out + TOY_HEADER, payload, n);
	port_put_le32(out, port_crc32c(0, out + 4, TOY_HEADER - 4 + n));
	return TOY_HEADER + n;
}

/* The length of the record there; 0: there is none. */
static size_t toy_decode(const struct toy *t, size_t at, unsigned int number)
{
	const uint8_t *p = t->copy + at;
	size_t n;

	if (TOY_BYTES - at < TOY_HEADER)
		return 0;
	n = port_get_le32(p + 4);
	if (!n || n > TOY_PAYLOAD_MAX || n > TOY_BYTES - at - TOY_HEADER)
		return 0;
	if (port_get_le64(p + 8) != number)
		return 0;
	if (!(t->mistakes & NO_CRC) &&
	    port_get_le32(p) != port_crc32c(0, p + 4, TOY_HEADER - 4 + n))
		return 0;
	return TOY_HEADER + n;
}

static int toy_sync(struct toy *t)
{
	int error = file_sync(t->f);

	if (error && (t->mistakes & RETRY_SYNC))
		error = file_sync(t->f);
	return t->mistakes & IGNORE_EIO ? 0 : error;
}

static int toy_store(struct toy *t, size_t at, size_t n)
{
	if (!t->map)
		return file_write(t->f, at, t->copy + at, n);
	memcpy(t->map + at, t->copy + at, n);
	return 0;
}

static void toy_close_file(struct toy *t)
{
	if (t->map)
		t->f->ops->unmap(t->f, t->map, TOY_BYTES);
	t->map = NULL;
	file_close(t->f);
	t->f = NULL;
}

static int toy_open_file(struct toy *t, const char *path, unsigned int flags)
{
	void *map = NULL;
	int error = env_open(t->env, path, ENV_READ | ENV_WRITE | flags, &t->f);

	if (!error && (flags & ENV_CREATE))
		error = t->f->ops->allocate(t->f, 0, TOY_BYTES);
	if (!error && t->mapped)
		error = t->f->ops->map(t->f, 0, TOY_BYTES, true, &map);
	t->map = map;
	return error;
}

static void toy_name(char name[32], unsigned int generation)
{
	(void)snprintf(name, 32, "t/g%u", generation);
}

static int toy_unlink_last(struct toy *t)
{
	char name[32];

	toy_name(name, t->generation);
	return t->generation ? t->env->ops->unlink(t->env, name) : 0;
}

/* What is good goes to a file of its own, whole and durable before anything refers to it;
 * then the one before it may go. */
static int toy_next_generation(struct toy *t)
{
	bool hasty = t->mistakes & RENAME_BEFORE_SYNC, early = t->mistakes & UNLINK_EARLY;
	char name[32];
	int error;

	toy_close_file(t);
	toy_name(name, t->generation + 1);
	error = toy_open_file(t, "t/new", ENV_CREATE | ENV_TRUNCATE);
	if (!error)
		error = toy_store(t, 0, t->end);
	if (!error && !hasty)
		error = toy_sync(t);
	if (!error && early)
		error = toy_unlink_last(t);
	if (!error)
		error = t->env->ops->rename(t->env, "t/new", name);
	if (!error && !(t->mistakes & NO_SYNC_DIR))
		error = t->env->ops->sync_dir(t->env, "t");
	if (!error && hasty)
		error = toy_sync(t);
	if (!error && !early)
		error = toy_unlink_last(t);
	t->generation++;
	return error;
}

static int toy_see_name(void *arg, const char *name)
{
	struct toy *t = arg;
	unsigned int generation;

	if (sscanf(name, "g%u", &generation) == 1 && generation > t->generation)
		t->generation = generation;
	return 0;
}

static int toy_recover(struct toy *t)
{
	size_t got, n;
	char name[32];
	int error;

	toy_name(name, t->generation);
	error = toy_open_file(t, name, 0);
	if (!error)
		error = file_read(t->f, 0, t->copy, TOY_BYTES, &got);
	if (!error && got < TOY_BYTES)
		error = -EBADMSG;
	while (!error && (n = toy_decode(t, t->end, t->records)) > 0) {
		t->end += n;
		t->records++;
	}
	return error || (t->mistakes & KEEP_TAIL) ? error : toy_next_generation(t);
}

static int toy_close(struct toy *t)
{
	toy_close_file(t);
	return 0;
}

static int toy_open(struct toy *t, struct env *env, unsigned int mistakes, bool mapped)
{
	int error = env->ops->mkdir(env, "t");

	memset(t, 0, sizeof(*t));
	t->env = env;
	t->mistakes = mistakes;
	t->mapped = mapped;
	if (error == -EEXIST)
		error = 0;
	if (!error)
		error = env->ops->sync_dir(env, "/");
	if (!error)
		error = env->ops->list(env, "t", toy_see_name, t);
	if (!error)
		error = t->generation ? toy_recover(t) : toy_next_generation(t);
	if (error)
		(void)toy_close(t);
	return error;
}

/* sync: durable when it returns 0. */
static int toy_put(struct toy *t, unsigned int life, bool sync)
{
	uint8_t payload[TOY_PAYLOAD_MAX] = { 0 };
	size_t n;

	if (t->failed)
		return t->failed;
	n = toy_encode(t->records, payload, toy_payload(t->records, life, payload),
		       t->copy + t->end);
	t->failed = toy_store(t, t->end, n);
	t->end += n;
	t->records++;
	if (!t->failed && sync && !(t->mistakes & NO_SYNC))
		t->failed = toy_sync(t);
	if (!t->failed && t->records % 4 == 0)
		t->failed = toy_next_generation(t);
	return t->failed;
}

/* ---- what must hold ---- */

struct history {
	unsigned int mistakes;
	bool mapped;
	size_t acked[TOY_RECORDS]; /* the position from which it must be there */
	unsigned int tried;
	uint64_t states; /* at any depth */
};

static int check_records(const struct history *h, const struct toy *t, size_t at)
{
	uint8_t payload[TOY_PAYLOAD_MAX] = { 0 };
	size_t n, end = 0;
	unsigned int i;

	if (t->records > h->tried)
		return -ERANGE; /* more than was ever put */
	for (i = 0; i < t->records; i++) {
		n = toy_payload(i, 0, payload);
		if (memcmp(t->copy + end + TOY_HEADER, payload, n))
			return -EILSEQ; /* another than was put */
		end += TOY_HEADER + n;
	}
	for (; i < h->tried; i++)
		if (h->acked[i] <= at)
			return -ENODATA; /* lost */
	return 0;
}

/* A record of this life's own can be put, and is there as the last when opened again. */
static int check_goes_on(struct history *h, struct toy *t)
{
	uint8_t payload[TOY_PAYLOAD_MAX] = { 0 };
	struct env *env = t->env;
	unsigned int number = t->records;
	size_t end = t->end, n;
	int error = toy_put(t, 1, true);

	(void)toy_close(t);
	if (!error)
		error = toy_open(t, env, h->mistakes, h->mapped);
	if (error)
		return error;
	n = toy_payload(number, 1, payload);
	if (t->records != number + 1)
		error = -ESTALE; /* something came back */
	else if (memcmp(t->copy + end + TOY_HEADER, payload, n))
		error = -EILSEQ;
	(void)toy_close(t);
	return error;
}

struct inner {
	struct history *h;
	size_t at; /* of the outer crash */
};

static int check_inner(void *arg, struct env_sim *disk, size_t at)
{
	struct inner *in = arg;
	struct toy *t = calloc(1, sizeof(*t));
	int error;

	(void)at;
	assert_non_null(t);
	in->h->states++;
	error = toy_open(t, env_sim_env(disk), in->h->mistakes, in->h->mapped);
	if (!error) {
		error = check_records(in->h, t, in->at);
		(void)toy_close(t);
	}
	free(t);
	return error;
}

static int check_outer(void *arg, struct env_sim *disk, size_t at)
{
	struct inner in = { arg, at };
	struct env_sim_explore again = { .samples = 2, .exhaustive = 8, .every = 3 };
	struct toy *t = calloc(1, sizeof(*t));
	int error;

	assert_non_null(t);
	in.h->states++;
	error = toy_open(t, env_sim_env(disk), in.h->mistakes, in.h->mapped);
	if (!error) {
		again.from = at % 3;
		again.to = env_sim_position(disk);
		error = check_records(in.h, t, at);
		if (!error)
			error = check_goes_on(in.h, t);
		else
			(void)toy_close(t);
	}
	free(t);
	again.check = check_inner;
	again.arg = &in;
	return error ? error : env_sim_explore(disk, &again);
}

/* One history, with such a fault or none, and all its crashes; failed: the first that
 * breaks a promise. */
static int run_history(struct history *h, uint64_t seed,
		       const struct env_sim_fault *fault, bool *fired, char failed[512])
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = seed });
	struct env_sim_explore e = { .samples = 6, .exhaustive = 64, .journal = true };
	struct toy *t = calloc(1, sizeof(*t));
	int error;

	assert_non_null(t);
	env_sim_fault(sim, fault);
	memset(h->acked, 0xff, sizeof(h->acked));
	error = toy_open(t, env_sim_env(sim), h->mistakes, h->mapped);
	for (h->tried = 0; !error && h->tried < TOY_RECORDS;) {
		bool sync = h->tried % 3 != 1;
		unsigned int i = ++h->tried;

		error = toy_put(t, 0, sync);
		while (!error && sync && i-- && h->acked[i] == SIZE_MAX)
			h->acked[i] = env_sim_position(sim);
	}
	*fired = env_sim_fault_fired(sim);
	env_sim_fault(sim, NULL);
	(void)toy_close(t);
	free(t);
	e.check = check_outer;
	e.arg = h;
	error = env_sim_explore(sim, &e);
	memcpy(failed, e.failed, 512);
	env_sim_free(sim);
	return error;
}

/* Without a fault, then with each sync in turn that fails. */
static int run_all(struct history *h, uint64_t seed, char failed[512])
{
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC };
	bool fired;
	int error = run_history(h, seed, NULL, &fired, failed);

	for (fired = true, fault.nth = 1; !error && fired; fault.nth++) {
		fault.effect = fault.nth % 2 ? SIM_FAIL : SIM_DROP;
		error = run_history(h, seed, &fault, &fired, failed);
	}
	return error;
}

/* ---- tests ---- */

static void test_pass_every_crash_without_mistakes(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 2; seed++) {
		struct history h = { .mapped = seed % 2 };
		char failed[512];

		if (run_all(&h, seed, failed))
			fail_msg("seed %llu, mapped %d: %s", (unsigned long long)seed,
				 h.mapped, failed);
		print_message("seed %llu: %llu disks\n", (unsigned long long)seed,
			      (unsigned long long)h.states);
		assert_true(h.states > 10000);
	}
}

static void test_catch_each_mistake(void **state)
{
	unsigned int i;
	int mapped, missed = 0;

	(void)state;
	for (i = 0; i < TOY_MISTAKES; i++)
		for (mapped = 0; mapped < 2; mapped++) {
			struct history h = { .mistakes = 1u << i, .mapped = mapped };
			char failed[512];

			if (run_all(&h, 1, failed))
				continue;
			print_error("mistake %u, mapped %d: not caught in %llu disks\n",
				    i, mapped, (unsigned long long)h.states);
			missed++;
		}
	assert_int_equal(missed, 0);
}

static int open_and_compare(struct env_sim *sim, const struct toy *want)
{
	struct toy *t = calloc(1, sizeof(*t));
	int error;

	assert_non_null(t);
	error = toy_open(t, env_sim_env(sim), 0, false);
	if (!error && memcmp(t->copy, want->copy, t->end))
		error = -EILSEQ;
	if (!error)
		(void)toy_close(t);
	free(t);
	return error;
}

/* Every byte of the file with a bit flipped: never another record than was put. */
static void test_never_return_a_flipped_bit(void **state)
{
	struct env_sim *sim = env_sim_new(NULL), *copy;
	struct toy *t = calloc(1, sizeof(*t));
	size_t i;

	(void)state;
	assert_non_null(t);
	assert_int_equal(toy_open(t, env_sim_env(sim), 0, false), 0);
	assert_int_equal(toy_put(t, 0, true), 0);
	assert_int_equal(toy_put(t, 0, true), 0);
	(void)toy_close(t);
	for (i = 0; i < t->end + 20; i++) {
		char name[32];

		toy_name(name, t->generation);
		copy = env_sim_copy(sim, false);
		assert_int_equal(env_sim_flip(copy, name, i, 0x10), 0);
		assert_int_equal(open_and_compare(copy, t), 0);
		env_sim_free(copy);
	}
	free(t);
	env_sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass_every_crash_without_mistakes),
		cmocka_unit_test(test_catch_each_mistake),
		cmocka_unit_test(test_never_return_a_flipped_bit),
	};

	return cmocka_run_group_tests_name("env_sim_toy", tests, NULL, NULL);
}
