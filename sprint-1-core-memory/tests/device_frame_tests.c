/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * device_frame_tests.c - the device frame by its own calls: what is malformed is refused, handles
 * belong to their descriptor, batches are atomic where they say so, the ring, poll(2),
 * signals. What the engines answer is held to kv.h by the harness's tests.
 */
#include "device_fixture.h"
#include "test_scale.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static int fresh(void)
{
	int fd = device_open(0);

	device_clear(fd);
	return fd;
}

static void check_value(int fd, const char *key, const char *value)
{
	char got[64];
	struct storage_op op = device_op(STORAGE_GET, key, got, sizeof(got));

	if (!value) {
		assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), -ENOENT);
		return;
	}
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), 0);
	assert_int_equal(op.value_len, strlen(value));
	assert_memory_equal(got, value, op.value_len);
}

/* ---- a call each ---- */

static void test_put_get_delete(void **state)
{
	int fd = fresh();
	struct storage_op op;

	(void)state;
	check_value(fd, "a", NULL);
	device_put(fd, "a", "one");
	device_put(fd, "", "empty key");
	device_put(fd, "b", "");
	check_value(fd, "a", "one");
	check_value(fd, "", "empty key");
	check_value(fd, "b", "");
	op = device_op(STORAGE_DELETE, "a", NULL, 0);
	assert_int_equal(device_call(fd, STORAGE_IOC_DELETE, &op), 0);
	assert_int_equal(device_call(fd, STORAGE_IOC_DELETE, &op), 0);
	check_value(fd, "a", NULL);
	close(fd);
}

static void test_get_without_room_says_how_much(void **state)
{
	int fd = fresh();
	char got[3] = "..";
	struct storage_op op = device_op(STORAGE_GET, "a", got, 2);

	(void)state;
	device_put(fd, "a", "seven77");
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), -EMSGSIZE);
	assert_int_equal(op.value_len, 7);
	assert_string_equal(got, "..");
	close(fd);
}

/* Each field that must be zero, or of a few values, with another one. */
static void test_malformed_operations_are_refused(void **state)
{
	int fd = fresh();
	char got[8];
	const struct storage_op right = device_op(STORAGE_GET, "a", got, sizeof(got));
	struct storage_op op;

#define REFUSED(change)                                                           \
	do {                                                                      \
		op = right;                                                       \
		change;                                                           \
		assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), -EINVAL); \
	} while (0)
	(void)state;
	device_put(fd, "a", "1");
	op = right;
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), 0);
	REFUSED(op.version = 0);
	REFUSED(op.version = STORAGE_VERSION + 1);
	REFUSED(op.code = STORAGE_PUT);
	REFUSED(op.code = STORAGE_NOP);
	REFUSED(op.code = 77);
	REFUSED(op.flags = STORAGE_SYNC);
	REFUSED(op.flags = 128);
	REFUSED(op.result = -1);
	REFUSED(op.reserved[0] = 1);
	REFUSED(op.reserved[1] = 1ull << 63);
	REFUSED(op.key_len = (64 << 10) + 1);
#undef REFUSED
	op = right;
	op.key = 8; /* nobody's */
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), -EFAULT);
	op = right;
	op.value = 8;
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), -EFAULT);
	op = right;
	op.key = (uint64_t)-4096;
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), -EFAULT);
	op = right;
	op.snapshot = 99;
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), -EBADF);
	op = device_op(STORAGE_PUT, "a", got, 0);
	op.value_len = 1ull << 40;
	assert_int_equal(device_call(fd, STORAGE_IOC_PUT, &op), -EINVAL);
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, NULL), -EFAULT);
	assert_int_equal(device_call(fd, _IO('K', 0x7f), NULL), -ENOTTY);
	assert_int_equal(device_call(fd, STORAGE_IOC_NULL, NULL), 0);
	close(fd);
}

static void test_malformed_calls_are_refused(void **state)
{
	int fd = fresh();
	struct storage_batch b = { .version = STORAGE_VERSION,
				   .n = STORAGE_BATCH_MAX + 1 };
	struct storage_scan s = { .version = STORAGE_VERSION, .flags = 1 << 9 };
	struct storage_handle h = { .version = 9 };
	struct storage_control c = { .version = STORAGE_VERSION, .reserved = 1 };
	struct storage_info info = { .version = STORAGE_VERSION, .flags = 1 };
	struct storage_stats stats = { .version = STORAGE_VERSION, .reserved = 1 };
	struct storage_ring_setup r = { .version = STORAGE_VERSION, .entries = 3 };

	(void)state;
	assert_int_equal(device_call(fd, STORAGE_IOC_BATCH, &b), -EINVAL);
	b = (struct storage_batch){ .version = STORAGE_VERSION, .n = 1, .ops = 8 };
	assert_int_equal(device_call(fd, STORAGE_IOC_BATCH, &b), -EFAULT);
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &s), -EINVAL);
	s = (struct storage_scan){ .version = STORAGE_VERSION, .cursor = 7 };
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &s), -EBADF);
	s = (struct storage_scan){ .version = STORAGE_VERSION,
				   .out = 16,
				   .out_len = -8ull };
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &s), -EINVAL);
	assert_int_equal(device_call(fd, STORAGE_IOC_SNAPSHOT, &h), -EINVAL);
	h = (struct storage_handle){ .version = STORAGE_VERSION, .handle = 5 };
	assert_int_equal(device_call(fd, STORAGE_IOC_RELEASE, &h), -EBADF);
	assert_int_equal(device_call(fd, STORAGE_IOC_CLEAR, &c), -EINVAL);
	assert_int_equal(device_call(fd, STORAGE_IOC_INFO, &info), -EINVAL);
	assert_int_equal(device_call(fd, STORAGE_IOC_STATS, &stats), -EINVAL);
	assert_int_equal(device_call(fd, STORAGE_IOC_RING_SETUP, &r), -EINVAL);
	assert_int_equal(device_call(fd, STORAGE_IOC_RING_ENTER, NULL), -ENXIO);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
}

/* ---- batches ---- */

static void test_batch_gives_each_its_result(void **state)
{
	int fd = fresh();
	char got[2][8];
	struct storage_op op[4] = {
		device_op(STORAGE_PUT, "a", "one", 3),
		device_op(STORAGE_GET, "a", got[0], 8),
		device_op(STORAGE_GET, "b", got[1], 8),
		device_op(STORAGE_NOP, "", NULL, 0),
	};
	struct storage_batch b = { .version = STORAGE_VERSION,
				   .n = 4,
				   .ops = (uintptr_t)op };

	(void)state;
	op[3].reserved[0] = 1;
	assert_int_equal(device_call(fd, STORAGE_IOC_BATCH, &b), 0);
	assert_int_equal(b.done, 4);
	assert_int_equal(op[0].result, 0);
	assert_int_equal(op[1].result, 0);
	assert_int_equal(op[1].value_len, 3);
	assert_memory_equal(got[0], "one", 3);
	assert_int_equal(op[2].result, -ENOENT);
	assert_int_equal(op[3].result, -EINVAL);
	close(fd);
}

static void test_atomic_batch_is_whole_or_nothing(void **state)
{
	int fd = fresh();
	struct storage_op op[3] = {
		device_op(STORAGE_PUT, "a", "one", 3),
		device_op(STORAGE_DELETE, "b1", NULL, 0),
		device_op(STORAGE_PUT, "d", "two", 3),
	};
	struct storage_batch b = {
		.version = STORAGE_VERSION,
		.flags = STORAGE_ATOMIC,
		.n = 3,
		.ops = (uintptr_t)op,
	};

	(void)state;
	device_put(fd, "b1", "x");
	op[2].value = 8;
	assert_int_equal(device_call(fd, STORAGE_IOC_BATCH, &b), -EFAULT);
	assert_int_equal(b.done, 0);
	check_value(fd, "a", NULL);
	check_value(fd, "b1", "x");
	op[2] = device_op(STORAGE_GET, "d", "two", 3);
	assert_int_equal(device_call(fd, STORAGE_IOC_BATCH, &b), -EINVAL);
	op[2] = device_op(STORAGE_PUT, "d", "two", 3);
	assert_int_equal(device_call(fd, STORAGE_IOC_BATCH, &b), 0);
	assert_int_equal(b.done, 3);
	check_value(fd, "a", "one");
	check_value(fd, "b1", NULL);
	check_value(fd, "d", "two");
	close(fd);
}

/* By a batch and by a call; an engine without ranges says so, and does nothing of it. */
static void test_range_is_deleted_by_engines_that_can(void **state)
{
	int fd = fresh();
	bool can = device_caps(fd) & KV_CAP_DELETE_RANGE;
	struct storage_op op[2] = {
		device_op(STORAGE_PUT, "a", "one", 3),
		device_op(STORAGE_DELETE_RANGE, "b", "c", 1),
	};
	struct storage_batch b = {
		.version = STORAGE_VERSION,
		.flags = STORAGE_ATOMIC,
		.n = 2,
		.ops = (uintptr_t)op,
	};

	(void)state;
	device_put(fd, "b1", "x");
	device_put(fd, "c1", "y");
	assert_int_equal(device_call(fd, STORAGE_IOC_BATCH, &b), can ? 0 : -EOPNOTSUPP);
	check_value(fd, "a", can ? "one" : NULL);
	check_value(fd, "b1", can ? NULL : "x");
	check_value(fd, "c1", "y");
	op[0] = device_op(STORAGE_DELETE_RANGE, "c", NULL, 0);
	op[0].flags = STORAGE_TO_END;
	assert_int_equal(device_call(fd, STORAGE_IOC_DELETE, &op[0]),
			 can ? 0 : -EOPNOTSUPP);
	check_value(fd, "c1", can ? NULL : "y");
	close(fd);
}

/* ---- handles ---- */

static void test_handles_belong_to_their_descriptor(void **state)
{
	struct storage_handle h = { .version = STORAGE_VERSION };
	int fd = fresh(), other = device_open(0);
	char got[8];
	struct storage_op op = device_op(STORAGE_GET, "a", got, sizeof(got));

	(void)state;
	device_put(fd, "a", "old");
	assert_int_equal(device_call(fd, STORAGE_IOC_SNAPSHOT, &h), 0);
	device_put(fd, "a", "new");
	op.snapshot = h.handle;
	assert_int_equal(device_call(fd, STORAGE_IOC_GET, &op), 0);
	assert_memory_equal(got, "old", 3);
	op = device_op(STORAGE_GET, "a", got, sizeof(got));
	op.snapshot = h.handle;
	assert_int_equal(device_call(other, STORAGE_IOC_GET, &op), -EBADF);
	assert_int_equal(device_call(other, STORAGE_IOC_RELEASE, &h), -EBADF);
	assert_int_equal(device_call(fd, STORAGE_IOC_RELEASE, &h), 0);
	assert_int_equal(device_call(fd, STORAGE_IOC_RELEASE, &h), -EBADF);
	close(other);
	close(fd);
}

static void test_descriptor_has_so_many_handles_and_gives_them_back(void **state)
{
	struct storage_handle h;
	int fd = fresh(), i, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < STORAGE_HANDLES_MAX; i++) {
			h = (struct storage_handle){ .version = STORAGE_VERSION };
			assert_int_equal(device_call(fd, STORAGE_IOC_SNAPSHOT, &h), 0);
		}
		h = (struct storage_handle){ .version = STORAGE_VERSION };
		assert_int_equal(device_call(fd, STORAGE_IOC_SNAPSHOT, &h), -EMFILE);
		close(fd); /* with all of them */
		fd = device_open(0);
	}
	close(fd);
}

/* ---- scans ---- */

static void fill(int fd, int n)
{
	char key[16];

	for (; n--;) {
		(void)snprintf(key, sizeof(key), "k%05d", n);
		device_put(fd, key, key);
	}
}

/* Reads the pair at *at, moves it behind, and gives back the number that its key has. */
static int take_pair(const uint8_t **at)
{
	struct storage_pair pair;
	char key[16];

	memcpy(&pair, *at, sizeof(pair));
	assert_int_equal(pair.key_len, 6);
	assert_int_equal(pair.value_len, 6);
	assert_int_equal(pair.reserved, 0);
	memcpy(key, *at + sizeof(pair), 6);
	key[6] = '\0';
	assert_int_equal(key[0], 'k');
	assert_memory_equal(*at + sizeof(pair) + 6, key, 6);
	assert_memory_equal(*at + sizeof(pair) + 12, "\0\0\0\0", 4);
	*at += sizeof(pair) + 16;
	return atoi(key + 1);
}

static void test_scan_continues_where_it_was(void **state)
{
	enum { PAIRS = 1000, ROOM = 100 * 32 + 8 };
	static uint8_t out[ROOM];
	static bool met[PAIRS];
	struct storage_scan a = { .version = STORAGE_VERSION };
	int fd = fresh(), seen = 0;
	bool ordered = device_caps(fd) & KV_CAP_ORDERED;
	const uint8_t *at;
	uint32_t i;

	(void)state;
	fill(fd, PAIRS);
	while (!(a.state & STORAGE_END)) {
		a = (struct storage_scan){
			.version = STORAGE_VERSION,
			.cursor = a.cursor,
			.out = (uintptr_t)out,
			.out_len = ROOM,
		};
		assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), 0);
		assert_int_equal(a.out_len, a.count * 32);
		for (i = 0, at = out; i < a.count; i++, seen++) {
			int n = take_pair(&at);

			assert_true(n >= 0 && n < PAIRS && !met[n]);
			assert_true(!ordered || n == seen);
			met[n] = true;
		}
	}
	assert_int_equal(seen, PAIRS);
	close(fd);
}

static void test_scan_keeps_to_bounds_and_limits(void **state)
{
	static uint8_t out[4096];
	const uint8_t *at = out;
	int fd = fresh(), i;
	struct storage_scan a = {
		.version = STORAGE_VERSION,
		.flags = STORAGE_SEEK | STORAGE_BOUND | STORAGE_ONCE,
		.from = (uintptr_t) "k00010",
		.from_len = 6,
		.to = (uintptr_t) "k00020",
		.to_len = 6,
		.out = (uintptr_t)out,
		.out_len = sizeof(out),
	};

	(void)state;
	fill(fd, 50);
	if (!(device_caps(fd) & KV_CAP_ORDERED)) {
		assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), -EOPNOTSUPP);
		close(fd);
		return;
	}
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), 0);
	assert_int_equal(a.count, 10);
	assert_int_equal(a.state, STORAGE_AT_BOUND);
	assert_int_equal(a.cursor, 0);
	for (i = 10; i < 20; i++)
		assert_int_equal(take_pair(&at), i);
	a = (struct storage_scan){
		.version = STORAGE_VERSION,
		.flags = STORAGE_SEEK | STORAGE_BACKWARD,
		.limit = 3,
		.from = (uintptr_t) "k00003",
		.from_len = 6,
		.out = (uintptr_t)out,
		.out_len = sizeof(out),
	};
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), 0);
	assert_int_equal(a.count, 3);
	for (i = 3, at = out; i--;)
		assert_int_equal(take_pair(&at), i);
	close(fd);
}

/* Without room for the next pair: how much it takes; and it is not lost. */
static void test_scan_without_room_keeps_its_place(void **state)
{
	static uint8_t out[4096];
	const uint8_t *at = out;
	struct storage_scan a = {
		.version = STORAGE_VERSION,
		.out = (uintptr_t)out,
		.out_len = 31,
	};
	int fd = fresh();
	uint32_t cursor;

	(void)state;
	fill(fd, 3);
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), -EMSGSIZE);
	assert_int_equal(a.out_len, 32);
	cursor = a.cursor;
	a = (struct storage_scan){
		.version = STORAGE_VERSION,
		.cursor = cursor,
		.out = (uintptr_t)out,
		.out_len = sizeof(out),
	};
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), 0);
	assert_int_equal(a.count, 3);
	assert_int_equal(1 << take_pair(&at) | 1 << take_pair(&at) | 1 << take_pair(&at),
			 7);
	close(fd);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Over all pairs; how many calls ended early. */
static int scan_all(int fd, uint8_t *out, size_t room, int pairs)
{
	struct storage_scan a = { .version = STORAGE_VERSION };
	int seen = 0, early = 0, came;

	while (!(a.state & STORAGE_END)) {
		a = (struct storage_scan){
			.version = STORAGE_VERSION,
			.cursor = a.cursor,
			.out = (uintptr_t)out,
			.out_len = room,
		};
		came = device_call(fd, STORAGE_IOC_SCAN, &a);
		assert_true(!came || came == -EINTR);
		seen += (int)a.count;
		early += !(a.state & STORAGE_END);
	}
	assert_int_equal(seen, pairs);
	return early;
}

/* A long scan ends at a signal, with what it has, and goes on where it was. */
static void test_signal_interrupts_a_long_scan(void **state)
{
	enum { ROOM = 1 << 20, PAIRS = 20000, ROUNDS = 1000 };
	const int pairs = 1 + (int)test_draws(PAIRS);
	struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { .it_value = { 0, 1000 },
					 .it_interval = { 0, 1000 } };
	const struct itimerval never = { 0 };
	uint8_t *out = calloc(1, ROOM);
	int fd = fresh(), round, early = 0;

	(void)state;
	assert_non_null(out);
	fill(fd, pairs);
	assert_int_equal(scan_all(fd, out, ROOM, pairs), 0);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (round = 0; !early && round < ROUNDS; round++)
		early = scan_all(fd, out, ROOM, pairs);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_true(early > 0);
	device_clear(fd);
	close(fd);
	free(out);
}

/* ---- the ring ---- */

enum { ENTRIES = 64, ARENA = 64 << 10 };

/* Puts "rNNNNN" = "rNNNNN", or gets it, as the index-th operation. */
static void submit(struct device_ring *r, uint32_t index, uint8_t code, int i)
{
	uint32_t slot = index & (ENTRIES - 1), at = slot * 64;

	(void)snprintf((char *)r->arena + at, 8, "r%05d", i);
	if (code == STORAGE_PUT)
		(void)snprintf((char *)r->arena + at + 8, 8, "r%05d", i);
	r->sq[slot] = (struct storage_op){
		.version = STORAGE_VERSION,
		.code = code,
		.key = at,
		.key_len = 6,
		.value = at + 8,
		.value_len = 6,
		.user_data = (uint64_t)i,
	};
	port_store_release(&r->ring->sq_tail, index + 1);
}

static void test_ring_does_all_in_order(void **state)
{
	int fd = fresh(), round;
	struct device_ring r;
	uint32_t index = 0, seen = 0;

	(void)state;
	assert_int_equal(device_ring_open(fd, ENTRIES, ARENA, &r), 0);
	for (round = 0; round < 40; round++) {
		uint8_t code = round % 2 ? STORAGE_GET : STORAGE_PUT;
		uint32_t n = 1 + (uint32_t)(round / 2 * 7 % ENTRIES), i;

		for (i = 0; i < n; i++)
			submit(&r, index++, code, (int)i);
		assert_int_equal(ioctl(fd, STORAGE_IOC_RING_ENTER, n), n);
		assert_int_equal(port_load_acquire(&r.ring->cq_tail), index);
		assert_int_equal(port_load_acquire(&r.ring->sq_head), index);
		for (i = 0; i < n; i++, seen++) {
			const struct storage_completion *c = &r.cq[seen & (ENTRIES - 1)];

			assert_int_equal(c->user_data, i);
			assert_int_equal(c->result, 0);
			assert_int_equal(c->value_len, code == STORAGE_GET ? 6 : 0);
			if (code == STORAGE_GET)
				assert_memory_equal(
					r.arena + (seen & (ENTRIES - 1)) * 64,
					r.arena + (seen & (ENTRIES - 1)) * 64 + 8, 6);
		}
		port_store_release(&r.ring->cq_head, seen);
	}
	device_ring_close(&r);
	close(fd);
}

/* Pairs in the arena, from where they should be on and no further. */
static void test_scan_into_the_ring(void **state)
{
	int fd = fresh();
	struct device_ring r;
	const struct storage_pair *pair;
	struct storage_scan a = {
		.version = STORAGE_VERSION,
		.flags = STORAGE_ARENA,
		.out = 64,
		.out_len = 512,
	};

	(void)state;
	fill(fd, 30);
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), -ENXIO);
	assert_int_equal(device_ring_open(fd, 8, 4096, &r), 0);
	memset(r.arena, 0x5a, 4096);
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), 0);
	assert_in_range(a.count, 1, 30);
	assert_in_range(a.out_len, 1, 512);
	pair = (const struct storage_pair *)(r.arena + 64);
	assert_int_equal(pair->key_len, 6);
	assert_int_equal(r.arena[63], 0x5a);
	assert_int_equal(r.arena[64 + a.out_len], 0x5a);
	/* On from there, and with no room at all: the arena's end. */
	a = (struct storage_scan){ .version = STORAGE_VERSION,
				   .flags = STORAGE_ARENA,
				   .cursor = a.cursor,
				   .out = 4096,
				   .out_len = 0 };
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), -EMSGSIZE);
	a = (struct storage_scan){ .version = STORAGE_VERSION,
				   .flags = STORAGE_ARENA,
				   .out = 4096 - 64,
				   .out_len = 65 };
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), -EFAULT);
	a = (struct storage_scan){ .version = STORAGE_VERSION,
				   .flags = STORAGE_ARENA,
				   .out = 1ull << 40,
				   .out_len = 8 };
	assert_int_equal(device_call(fd, STORAGE_IOC_SCAN, &a), -EFAULT);
	device_ring_close(&r);
	close(fd);
}

static void test_ring_waits_where_completions_have_no_room(void **state)
{
	int fd = fresh();
	struct device_ring r;
	uint32_t i;

	(void)state;
	assert_int_equal(device_ring_open(fd, ENTRIES, ARENA, &r), 0);
	for (i = 0; i < ENTRIES; i++)
		submit(&r, i, STORAGE_PUT, (int)i);
	assert_int_equal(ioctl(fd, STORAGE_IOC_RING_ENTER, ENTRIES), ENTRIES);
	submit(&r, i++, STORAGE_PUT, 1);
	assert_int_equal(ioctl(fd, STORAGE_IOC_RING_ENTER, 1), 0);
	port_store_release(&r.ring->cq_head, 1);
	assert_int_equal(ioctl(fd, STORAGE_IOC_RING_ENTER, 1), 1);
	device_ring_close(&r);
	close(fd);
}

static void test_ring_refuses_indices_and_places_that_make_no_sense(void **state)
{
	int fd = fresh();
	struct device_ring r, second;

	(void)state;
	assert_int_equal(device_ring_open(fd, ENTRIES, ARENA, &r), 0);
	assert_int_equal(device_ring_open(fd, ENTRIES, ARENA, &second), -EBUSY);
	r.ring->sq_tail = ENTRIES + 1;
	assert_int_equal(device_call(fd, STORAGE_IOC_RING_ENTER, (void *)1), -EPROTO);
	r.ring->sq_tail = (uint32_t)-1;
	assert_int_equal(device_call(fd, STORAGE_IOC_RING_ENTER, (void *)1), -EPROTO);
	r.ring->sq_tail = 0;
	r.ring->cq_head = 1;
	assert_int_equal(device_call(fd, STORAGE_IOC_RING_ENTER, (void *)1), -EPROTO);
	r.ring->cq_head = 0;
	r.ring->sq_head = 12345; /* not believed */
	r.ring->cq_tail = 54321;
	submit(&r, 0, STORAGE_PUT, 0);
	r.sq[0].key = ARENA - 5;
	assert_int_equal(ioctl(fd, STORAGE_IOC_RING_ENTER, 1), 1);
	assert_int_equal(r.cq[0].result, -EFAULT);
	submit(&r, 1, STORAGE_PUT, 0);
	r.sq[1].value = (uint64_t)-3;
	assert_int_equal(ioctl(fd, STORAGE_IOC_RING_ENTER, 1), 1);
	assert_int_equal(r.cq[1].result, -EFAULT);
	assert_int_equal(r.ring->cq_tail, 2);
	device_ring_close(&r);
	close(fd);
}

/* Without waiting: a kernel thread does it, and poll(2) tells. */
static void test_ring_without_waiting(void **state)
{
	struct pollfd p = { .events = POLLIN | POLLOUT };
	struct device_ring r;
	int fd;
	uint32_t i;

	(void)state;
	close(fresh());
	fd = device_open(O_NONBLOCK);
	p.fd = fd;
	assert_int_equal(device_ring_open(fd, ENTRIES, ARENA, &r), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents, POLLOUT);
	for (i = 0; i < ENTRIES; i++)
		submit(&r, i, STORAGE_PUT, (int)i);
	assert_int_equal(poll(&p, 1, 0), 0); /* no room, and nothing done */
	assert_int_equal(ioctl(fd, STORAGE_IOC_RING_ENTER, ENTRIES), 0);
	p.events = POLLIN;
	assert_int_equal(poll(&p, 1, 10000), 1);
	while (port_load_acquire(&r.ring->cq_tail) != ENTRIES)
		(void)usleep(1000);
	p.events = POLLIN | POLLOUT;
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents, POLLIN | POLLOUT);
	check_value(fd, "r00063", "r00063");
	device_ring_close(&r);
	close(fd);
}

static void test_ring_outlives_its_descriptor_while_mapped(void **state)
{
	int fd = fresh();
	struct device_ring r;

	(void)state;
	assert_int_equal(device_ring_open(fd, ENTRIES, ARENA, &r), 0);
	close(fd);
	memset(r.base, 0x5a, r.setup.map_bytes);
	device_ring_close(&r);
}

/* ---- about the store ---- */

static void test_info_stats_verify(void **state)
{
	int fd = fresh();
	struct storage_info info = { .version = STORAGE_VERSION };
	struct storage_stat stat[64];
	struct storage_stats a = {
		.version = STORAGE_VERSION,
		.n = 2,
		.stats = (uintptr_t)stat,
	};
	struct storage_control c = { .version = STORAGE_VERSION };

	(void)state;
	assert_int_equal(device_call(fd, STORAGE_IOC_INFO, &info), 0);
	assert_non_null(strstr(device_path(), info.engine));
	assert_true(info.value_max > 0 && info.caps);
	memset(stat, 0x55, sizeof(stat));
	assert_int_equal(device_call(fd, STORAGE_IOC_STATS, &a), 0);
	assert_true(a.n > 10);
	assert_string_equal(stat[0].name, "device_nops");
	assert_int_equal(stat[2].name[0], 0x55);
	a.n = 64;
	a.stats = 8;
	assert_int_equal(device_call(fd, STORAGE_IOC_STATS, &a), -EFAULT);
	assert_int_equal(device_call(fd, STORAGE_IOC_VERIFY, &c), 0);
	assert_int_equal(device_call(fd, STORAGE_IOC_SYNC, &c), 0);
	assert_int_equal(device_call(fd, STORAGE_IOC_COMPACT, &c), 0);
	close(fd);
}

/* Threads on one descriptor: what they share must hold. */
static void *use_all(void *arg)
{
	int fd = *(int *)arg, i;
	char key[16], got[64];
	static uint32_t turn;
	int me = (int)port_fetch_add(&turn, 1u);

	for (i = 0; i < 1 + (int)test_draws(3000); i++) {
		struct storage_handle h = { .version = STORAGE_VERSION };
		struct storage_op op;

		(void)snprintf(key, sizeof(key), "%d", (i * 7 + me) % 100);
		op = device_op(STORAGE_PUT, key, key, strlen(key));
		if (device_call(fd, STORAGE_IOC_PUT, &op))
			return "put";
		if (i % 10 == 0) {
			if (device_call(fd, STORAGE_IOC_SNAPSHOT, &h))
				return "snapshot";
			op = device_op(STORAGE_GET, key, got, sizeof(got));
			op.snapshot = h.handle;
			if (device_call(fd, STORAGE_IOC_GET, &op) ||
			    op.value_len != strlen(key) || memcmp(got, key, op.value_len))
				return "get";
			if (device_call(fd, STORAGE_IOC_RELEASE, &h))
				return "release";
		}
	}
	return NULL;
}

static void test_threads_share_a_descriptor(void **state)
{
	pthread_t thread[4];
	int fd = fresh(), i;
	void *wrong;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, use_all, &fd), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &wrong), 0);
		if (wrong)
			fail_msg("a %s failed", (char *)wrong);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get_delete),
		cmocka_unit_test(test_get_without_room_says_how_much),
		cmocka_unit_test(test_malformed_operations_are_refused),
		cmocka_unit_test(test_malformed_calls_are_refused),
		cmocka_unit_test(test_batch_gives_each_its_result),
		cmocka_unit_test(test_atomic_batch_is_whole_or_nothing),
		cmocka_unit_test(test_range_is_deleted_by_engines_that_can),
		cmocka_unit_test(test_handles_belong_to_their_descriptor),
		cmocka_unit_test(test_descriptor_has_so_many_handles_and_gives_them_back),
		cmocka_unit_test(test_scan_continues_where_it_was),
		cmocka_unit_test(test_scan_keeps_to_bounds_and_limits),
		cmocka_unit_test(test_scan_without_room_keeps_its_place),
		cmocka_unit_test(test_signal_interrupts_a_long_scan),
		cmocka_unit_test(test_scan_into_the_ring),
		cmocka_unit_test(test_ring_does_all_in_order),
		cmocka_unit_test(test_ring_waits_where_completions_have_no_room),
		cmocka_unit_test(test_ring_refuses_indices_and_places_that_make_no_sense),
		cmocka_unit_test(test_ring_without_waiting),
		cmocka_unit_test(test_ring_outlives_its_descriptor_while_mapped),
		cmocka_unit_test(test_info_stats_verify),
		cmocka_unit_test(test_threads_share_a_descriptor),
	};

	if (!device_is_there("device_frame_tests"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
