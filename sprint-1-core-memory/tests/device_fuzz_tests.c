/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * device_fuzz_tests.c - a hostile program: calls with wild arguments, and a ring whose indices,
 * operations and bytes others change while the kernel reads them.
 *
 * Whatever it gets, the device answers with one of the errors that it knows, and afterwards
 * it still works. What the kernel's checkers say of it stands in the kernel's log, at which
 * vm/tests/device.sh looks.
 *
 * Each thread's calls are a function of the seed: KV_SEED=n replays them, KV_TORTURE=seconds
 * goes on for so long.
 */
#include "device_fixture.h"
#include "test_scale.h"

#include <pthread.h>
#include <time.h>

enum {
	THREADS = 4,
	DRAWS = 6000,
	BYTES = 64 << 10,
	RING_ENTRIES = 32,
	RING_ARENA = 32 << 10
};

struct fuzzer {
	uint64_t state; /* of its numbers */
	int fd;
	uint8_t *bytes;    /* BYTES that are there, with nothing behind them */
	const char *wrong; /* a call that answered what it must not */
	int answer;
	struct device_ring *ring; /* shared by all */
	unsigned int draws;
};

static time_t ends; /* with KV_TORTURE */

static uint64_t draw(struct fuzzer *f) /* splitmix64 */
{
	uint64_t z = f->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t below(struct fuzzer *f, uint64_t n)
{
	return draw(f) % n;
}

/* Mostly numbers at which checks go wrong. None is an address that this program has. */
static uint64_t number(struct fuzzer *f)
{
	static const uint64_t edge[] = { 0,          1,          2,          7,
					 8,          63,         64,         65,
					 4095,       4096,       4097,       65535,
					 65536,      65537,      1u << 20,   16u << 20,
					 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32,
					 1ull << 47, 1ull << 63, -1ull,      -8ull,
					 -4096ull };

	switch (below(f, 4)) {
	case 0:
		return edge[below(f, sizeof(edge) / sizeof(edge[0]))];
	case 1:
		return draw(f) >> (17 + below(f, 47)) | (below(f, 2) ? 0 : 1ull << 63);
	default:
		return below(f, 300);
	}
}

/* Of at most len bytes; nine in ten are the program's own, and some end where memory ends. */
static uint64_t address(struct fuzzer *f, uint64_t len)
{
	if (below(f, 10) == 0)
		return number(f);
	if (len > BYTES)
		len = BYTES;
	if (below(f, 4) == 0)
		return (uintptr_t)f->bytes + BYTES - len; /* nothing behind it */
	return (uintptr_t)f->bytes + below(f, BYTES - len + 1);
}

/* How long, mostly short. */
static uint64_t length(struct fuzzer *f)
{
	return below(f, 20) == 0 ? number(f) : below(f, 40);
}

/* Flips a bit now and then. Addresses are set afterwards: where a flip of theirs leads there
 * may be the program's own stack. */
static void spoil(struct fuzzer *f, void *arg, size_t bytes)
{
	if (below(f, 10) == 0)
		((uint8_t *)arg)[below(f, bytes)] ^= (uint8_t)(1 << below(f, 8));
}

static void draw_op(struct fuzzer *f, struct storage_op *op, bool ring)
{
	*op = (struct storage_op){
		.version = STORAGE_VERSION,
		.code = (uint8_t)below(f, 5),
		.key_len = (uint32_t)length(f),
		.value_len = length(f),
		.user_data = draw(f),
	};
	if (op->code == STORAGE_GET && below(f, 8) == 0)
		op->snapshot = (uint32_t)below(f, 300);
	if (op->code == STORAGE_DELETE_RANGE)
		op->flags = below(f, 8) == 0 ? STORAGE_TO_END : 0;
	spoil(f, op, sizeof(*op));
	op->key = ring ? below(f, RING_ARENA) : address(f, op->key_len);
	op->value = ring ? below(f, RING_ARENA) : address(f, op->value_len);
	if ((op->code == STORAGE_DELETE || op->code == STORAGE_NOP) && below(f, 10))
		op->value = op->value_len = 0;
	if (ring && below(f, 50) == 0)
		op->key = number(f);
	if (ring && below(f, 50) == 0)
		op->value = number(f);
}

/* ---- calls ---- */

static bool is_known(int answer)
{
	static const int known[] = { EINVAL, EFAULT, ENOENT,     EBADF,  EMFILE, EMSGSIZE,
				     ENOMEM, ENOSPC, E2BIG,      ENOTTY, ENXIO,  EBUSY,
				     EPROTO, EINTR,  EOPNOTSUPP, EROFS,  EAGAIN };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (answer == -known[i])
			return true;
	return answer >= 0;
}

static void call(struct fuzzer *f, unsigned long request, void *arg, const char *what)
{
	int answer = device_call(f->fd, request, below(f, 50) ? arg : (void *)number(f));

	if (is_known(answer))
		return;
	f->wrong = what;
	f->answer = answer;
}

static void call_op(struct fuzzer *f)
{
	struct storage_op op;

	draw_op(f, &op, false);
	call(f,
	     op.code == STORAGE_GET   ? STORAGE_IOC_GET
	     : op.code == STORAGE_PUT ? STORAGE_IOC_PUT
				      : STORAGE_IOC_DELETE,
	     &op, "operation");
}

static void call_batch(struct fuzzer *f)
{
	enum { MOST = 200 };
	static _Thread_local struct storage_op op[MOST];
	struct storage_batch b = {
		.version = STORAGE_VERSION,
		.flags = (uint16_t)below(f, 2),
		.n = (uint32_t)(below(f, 10) ? below(f, MOST) : number(f)),
	};
	size_t i;

	spoil(f, &b, sizeof(b));
	b.ops = below(f, 20) ? (uintptr_t)op : number(f);

	for (i = 0; i < b.n && i < MOST; i++) {
		draw_op(f, &op[i], false);
		if (b.flags && op[i].code < STORAGE_PUT)
			op[i] = (struct storage_op){ .version = STORAGE_VERSION,
						     .code = STORAGE_DELETE };
	}
	if (b.n > MOST && b.ops == (uintptr_t)op)
		b.n = MOST;
	call(f, STORAGE_IOC_BATCH, &b, "batch");
}

static void call_scan(struct fuzzer *f)
{
	struct storage_scan a = {
		.version = STORAGE_VERSION,
		.flags = (uint16_t)below(f, 32),
		.limit = (uint32_t)below(f, 50),
		.cursor = below(f, 3) ? (uint32_t)below(f, 300) : 0,
		.from_len = (uint32_t)length(f),
		.to_len = (uint32_t)length(f),
		.out_len = below(f, 5) ? below(f, BYTES) : number(f),
	};

	if (!a.cursor && below(f, 2))
		a.snapshot = (uint32_t)below(f, 300);
	spoil(f, &a, sizeof(a));
	a.from = address(f, a.from_len);
	a.to = address(f, a.to_len);
	a.out = address(f, a.out_len);
	call(f, STORAGE_IOC_SCAN, &a, "scan");
}

static void call_handle(struct fuzzer *f)
{
	struct storage_handle h = { .version = STORAGE_VERSION };
	bool release = below(f, 2);

	if (release)
		h.handle = (uint32_t)below(f, 300);
	spoil(f, &h, sizeof(h));
	call(f, release ? STORAGE_IOC_RELEASE : STORAGE_IOC_SNAPSHOT, &h, "handle");
}

static void call_about(struct fuzzer *f)
{
	static const unsigned long request[] = { STORAGE_IOC_SYNC, STORAGE_IOC_VERIFY,
						 STORAGE_IOC_COMPACT, STORAGE_IOC_CLEAR };
	struct storage_control c = { .version = STORAGE_VERSION };
	struct storage_stats s = {
		.version = STORAGE_VERSION,
		.n = (uint32_t)number(f),
	};
	struct storage_info i = { .version = STORAGE_VERSION };

	spoil(f, &c, sizeof(c) - sizeof(c.why));
	spoil(f, &s, sizeof(s));
	s.stats = address(f, 64 * sizeof(struct storage_stat));
	spoil(f, &i, sizeof(i));
	call(f, STORAGE_IOC_STATS, &s, "stats");
	call(f, STORAGE_IOC_INFO, &i, "info");
	/* One clears now and then, lest the store grows. */
	call(f, request[below(f, 40) ? below(f, 3) : 3], &c, "control");
}

static void call_wild(struct fuzzer *f)
{
	unsigned long request =
		_IOC(below(f, 4), 'K', 0x3f + below(f, 20), number(f) & 0x3fff);

	call(f, request, (void *)address(f, 4096), "wild request");
}

/* ---- the ring ---- */

static void touch_ring(struct fuzzer *f)
{
	struct device_ring *r = f->ring;
	uint32_t *index[] = { &r->ring->sq_tail, &r->ring->cq_head, &r->ring->sq_head,
			      &r->ring->cq_tail };
	uint32_t *p = index[below(f, below(f, 4) ? 2 : 4)];
	size_t i;

	for (i = below(f, 8); i--;)
		draw_op(f, &r->sq[below(f, RING_ENTRIES)], true);
	r->arena[below(f, RING_ARENA)] = (uint8_t)draw(f);
	if (below(f, 16) == 0)
		port_store_relaxed(p, (uint32_t)number(f));
	else if (below(f, 8) == 0)
		r->base[below(f, r->setup.map_bytes)] = (uint8_t)draw(f);
	/* Sense now and then, or nothing is done any more. */
	if (below(f, 3) == 0) {
		uint32_t head = port_load_relaxed(&r->ring->sq_head);

		port_store_relaxed(&r->ring->cq_head,
				   port_load_relaxed(&r->ring->cq_tail));
		port_store_release(&r->ring->sq_tail,
				   head + (uint32_t)below(f, RING_ENTRIES + 1));
	}
	call(f, STORAGE_IOC_RING_ENTER, (void *)number(f), "ring");
}

static void ring_of_its_own(struct fuzzer *f)
{
	struct fuzzer own = *f;
	struct device_ring r;
	uint32_t entries = below(f, 2) ? 1u << below(f, 14) : (uint32_t)number(f);

	own.fd = device_open(below(f, 2) ? O_NONBLOCK : 0);
	if (!device_ring_open(own.fd, entries, number(f), &r)) {
		memset(r.base, (int)draw(f),
		       r.setup.map_bytes < 4096 ? r.setup.map_bytes : 4096);
		call(&own, STORAGE_IOC_RING_ENTER, (void *)number(f), "own ring");
		device_ring_close(&r);
	}
	close(own.fd);
	f->wrong = own.wrong ? own.wrong : f->wrong;
	f->answer = own.answer;
}

static void *fuzz(void *arg)
{
	static void (*const way[])(struct fuzzer * f) = {
		call_op,    call_op,     call_batch, call_scan,
		call_scan,  call_handle, call_about, call_wild,
		touch_ring, touch_ring,  touch_ring, ring_of_its_own,
	};
	struct fuzzer *f = arg;
	unsigned int i;

	for (i = 0; !f->wrong && (i < f->draws || time(NULL) < ends); i++)
		way[below(f, sizeof(way) / sizeof(way[0]))](f);
	return NULL;
}

/* ---- the tests ---- */

static uint64_t seed_of_run(void)
{
	const char *s = getenv("KV_SEED");
	uint64_t seed = s ? strtoull(s, NULL, 0) : 0x5eed0600;

	printf("# KV_SEED=0x%llx\n", (unsigned long long)seed);
	return seed;
}

static void test_device_survives_a_hostile_program(void **state)
{
	const char *torture = getenv("KV_TORTURE");
	uint64_t seed = seed_of_run();
	struct fuzzer f[THREADS] = { 0 };
	struct storage_control c = { .version = STORAGE_VERSION };
	pthread_t thread[THREADS];
	struct device_ring ring;
	char got[8];
	struct storage_op op = device_op(STORAGE_GET, "after", got, sizeof(got));
	int fd = device_open(0), i;

	(void)state;
	ends = torture ? time(NULL) + strtol(torture, NULL, 10) : 0;
	assert_int_equal(device_ring_open(fd, RING_ENTRIES, RING_ARENA, &ring), 0);
	for (i = 0; i < THREADS; i++) {
		uint8_t *p = mmap(NULL, BYTES + 4096, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_ptr_not_equal(p, MAP_FAILED);
		assert_int_equal(mprotect(p, BYTES, PROT_READ | PROT_WRITE), 0);
		f[i] = (struct fuzzer){ seed + (uint64_t)i,
					fd,
					p,
					NULL,
					0,
					&ring,
					1 + (unsigned int)test_draws(DRAWS) };
		assert_int_equal(pthread_create(&thread[i], NULL, fuzz, &f[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		if (f[i].wrong)
			fail_msg("a %s answered %d", f[i].wrong, f[i].answer);
		assert_int_equal(munmap(f[i].bytes, BYTES + 4096), 0);
	}
	device_ring_close(&ring);
	close(fd);

	fd = device_open(0);
	assert_int_equal(device_call(fd, STORAGE_IOC_VERIFY, &c), 0);
	device_clear(fd);
	device_put(fd, "after", "well");
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), 0);
	assert_memory_equal(got, "well", 4);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_survives_a_hostile_program),
	};

	if (!device_is_there("device_fuzz_tests"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
