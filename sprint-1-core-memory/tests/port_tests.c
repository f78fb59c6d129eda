/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_tests.c - port.h in userspace: both allocators, locks, atomics, byte order, CRC32C.
 */
#include "../port_crc32c.h"
#include "../port_range.h"
#include "core_random.h"
#include "leak_check.h"

/* The C library's allocator, likewise: tests are linked with the other one. */
#define port_alloc         memory_alloc
#define port_realloc       memory_realloc
#define port_free          memory_free
#define port_alloc_aligned memory_alloc_aligned
#define port_free_aligned  memory_free_aligned
#define port_alloc_huge    memory_alloc_huge
#define port_free_huge     memory_free_huge
#define port_memory_admit  memory_admit
#define port_memory_count  memory_count
bool memory_admit(void);
void memory_count(int64_t allocations, int64_t bytes);
#include "../port_memory.c"
#undef port_alloc
#undef port_realloc
#undef port_free
#undef port_alloc_aligned
#undef port_free_aligned
#undef port_alloc_huge
#undef port_free_huge
#undef port_memory_admit
#undef port_memory_count

/* Each test begins with the same random numbers and ends with nothing allocated. */
static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

/* ---- allocators: one contract, two objects ---- */

struct allocator {
	void *(*alloc)(size_t n);
	void *(*realloc)(void *p, size_t old, size_t n);
	void (*free)(void *p);
	void *(*alloc_aligned)(size_t align, size_t n);
	void (*free_aligned)(void *p);
	void *(*alloc_huge)(size_t n);
	void (*free_huge)(void *p, size_t n);
};

static const struct allocator fault_allocator = {
	port_alloc,        port_realloc,    port_free,      port_alloc_aligned,
	port_free_aligned, port_alloc_huge, port_free_huge,
};

static const struct allocator memory_allocator = {
	memory_alloc,        memory_realloc,    memory_free,      memory_alloc_aligned,
	memory_free_aligned, memory_alloc_huge, memory_free_huge,
};

static void expect_allocator(const struct allocator *a)
{
	uint8_t *p, *q;
	size_t align;

	p = a->alloc(0);
	q = a->alloc(0);
	assert_non_null(p);
	assert_non_null(q);
	assert_ptr_not_equal(p, q);
	a->free(p);
	a->free(q);
	a->free(NULL);
	a->free_aligned(NULL);

	p = a->realloc(NULL, 0, 100);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 16, 0);
	memset(p, 'x', 100);
	p = a->realloc(p, 100, 5000);
	assert_non_null(p);
	assert_true(core_is_filled(p, 100, 'x'));
	memset(p, 'y', 5000);
	p = a->realloc(p, 5000, 10);
	assert_non_null(p);
	assert_true(core_is_filled(p, 10, 'y'));
	p = a->realloc(p, 10, 0);
	assert_non_null(p);
	a->free(p);

	for (align = 1; align <= 4096; align *= 2) {
		p = a->alloc_aligned(align, 33);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % align, 0);
		memset(p, 'z', 33);
		a->free_aligned(p);
	}
	p = a->alloc_aligned(64, 0);
	assert_non_null(p);
	a->free_aligned(p);

	p = a->alloc_huge(2 * PORT_HUGE_BYTES);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % PORT_HUGE_BYTES, 0);
	memset(p, 'h', 2 * PORT_HUGE_BYTES);
	assert_true(core_is_filled(p, 2 * PORT_HUGE_BYTES, 'h'));
	a->free_huge(p, 2 * PORT_HUGE_BYTES);
	a->free_huge(NULL, PORT_HUGE_BYTES);
}

static void test_both_allocators_keep_one_contract(void **state)
{
	(void)state;
	expect_allocator(&fault_allocator);
	expect_allocator(&memory_allocator);
}

static void test_fault_counts_what_is_alive(void **state)
{
	uint64_t live = port_fault_live(), bytes = port_fault_live_bytes();
	uint64_t calls = port_fault_calls();
	void *a = port_alloc(100), *b = port_alloc_aligned(256, 28);

	(void)state;
	assert_int_equal(port_fault_live() - live, 2);
	assert_int_equal(port_fault_live_bytes() - bytes, 128);
	assert_int_equal(port_fault_calls() - calls, 2);
	a = port_realloc(a, 100, 1000);
	assert_int_equal(port_fault_live() - live, 2);
	assert_int_equal(port_fault_live_bytes() - bytes, 1028);
	assert_int_equal(port_fault_calls() - calls, 3);
	port_free(a);
	port_free_aligned(b);
	assert_int_equal(port_fault_live(), live);
	assert_int_equal(port_fault_live_bytes(), bytes);
	assert_int_equal(port_fault_calls() - calls, 3);
}

/* Bit i is set when allocation i of eight came to nothing. */
static unsigned int which_fail(void)
{
	unsigned int failed = 0, i;

	for (i = 0; i < 8; i++) {
		void *p = port_alloc(1);

		failed |= (unsigned int)!p << i;
		port_free(p);
	}
	return failed;
}

static void test_fault_fails_the_nth(void **state)
{
	uint64_t calls = port_fault_calls();
	unsigned int n;

	(void)state;
	assert_int_equal(which_fail(), 0);
	assert_false(port_fault_fired());
	for (n = 1; n <= 8; n++) {
		port_fault_set(n, true);
		assert_false(port_fault_fired());
		assert_int_equal(which_fail(), 1 << (n - 1));
		assert_true(port_fault_fired());
		port_fault_set(n, false);
		assert_int_equal(which_fail(), 0xff & ~((1u << (n - 1)) - 1));
		assert_true(port_fault_fired());
	}
	port_fault_set(9, true);
	assert_int_equal(which_fail(), 0);
	assert_false(port_fault_fired());
	assert_int_equal(port_fault_calls() - calls, 8 * (1 + 8 * 2 + 1));
}

static void test_fault_failed_realloc_keeps_the_old(void **state)
{
	uint8_t *p = port_alloc(40);

	(void)state;
	memset(p, 7, 40);
	port_fault_set(1, true);
	assert_null(port_realloc(p, 40, 80));
	assert_true(core_is_filled(p, 40, 7));
	port_free(p);
}

static void test_impossible_sizes_are_refused(void **state)
{
	(void)state;
	assert_null(port_alloc(SIZE_MAX));
	assert_null(port_alloc_aligned(4096, SIZE_MAX - 4096));
	assert_null(port_realloc(NULL, 0, SIZE_MAX - 1));
}

/* ---- port.h's other words ---- */

static void test_little_endian_words_are_bytes_in_order(void **state)
{
	static const uint8_t bytes[] = { 0xee, 0x81, 0x02, 0x83, 0x04,
					 0x85, 0x06, 0x87, 0x88, 0xee };
	uint8_t out[10] = { 0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0xee };

	(void)state;
	assert_int_equal(port_get_le16(bytes + 1), 0x0281);
	assert_int_equal(port_get_le32(bytes + 1), 0x04830281);
	assert_true(port_get_le64(bytes + 1) == 0x8887068504830281u);
	port_put_le64(out + 1, 0x8887068504830281u);
	assert_memory_equal(out, bytes, 10);
	port_put_le32(out + 1, 0xa4a3a2a1u);
	assert_memory_equal(out + 5, bytes + 5, 5);
	assert_int_equal(port_get_le32(out + 1), 0xa4a3a2a1u);
	port_put_le16(out + 1, 0xb2b1);
	assert_int_equal(port_get_le32(out + 1), 0xa4a3b2b1u);
}

static void test_compare_and_swap_tells_what_was_there(void **state)
{
	uint32_t word = 5, expected = 4;

	(void)state;
	assert_false(port_cas(&word, &expected, 9u));
	assert_int_equal(expected, 5);
	assert_int_equal(port_load_acquire(&word), 5);
	assert_true(port_cas(&word, &expected, 9u));
	assert_int_equal(port_load_relaxed(&word), 9);
	assert_int_equal(port_fetch_add(&word, 3u), 9);
	assert_int_equal(word, 12);
	port_store_release(&word, 1u);
	port_store_relaxed(&word, word + 1);
	assert_int_equal(word, 2);
}

struct adder {
	struct port_mutex mutex;
	struct port_rwlock lock;
	uint64_t by_mutex, by_lock, by_atomic;
};

enum { ADDERS = 4, ADDITIONS = 2000 };

static void *add_many(void *arg)
{
	struct adder *a = arg;
	int i;

	for (i = 0; i < ADDITIONS; i++) {
		port_mutex_lock(&a->mutex);
		a->by_mutex++;
		port_mutex_unlock(&a->mutex);
		port_write_lock(&a->lock);
		a->by_lock++;
		port_write_unlock(&a->lock);
		port_fetch_add(&a->by_atomic, 1u);
	}
	return NULL;
}

static void test_locks_and_atomics_lose_no_addition(void **state)
{
	struct adder a = { .by_mutex = 0 };
	pthread_t thread[ADDERS];
	int i;

	(void)state;
	port_mutex_init(&a.mutex);
	port_rwlock_init(&a.lock);
	for (i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, add_many, &a), 0);
	for (i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	port_read_lock(&a.lock);
	assert_int_equal(a.by_lock, ADDERS * ADDITIONS);
	port_read_unlock(&a.lock);
	assert_int_equal(a.by_mutex, ADDERS * ADDITIONS);
	assert_int_equal(a.by_atomic, ADDERS * ADDITIONS);
	port_mutex_destroy(&a.mutex);
	port_rwlock_destroy(&a.lock);
}

/* ---- CRC32C ---- */

static uint32_t crc32c_bit_by_bit(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;
	int k;

	while (n--) {
		crc ^= *p++;
		for (k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

typedef uint32_t crc32c_fn(uint32_t crc, const void *p, size_t n);

/* port_crc32c() itself and each of the ways that it may go on this processor. */
static size_t crc32c_ways(crc32c_fn **way)
{
	way[0] = port_crc32c;
	way[1] = port_crc32c_tables;
	way[2] = port_crc32c_instruction;
	return port_crc32c_has_instruction() ? 3 : 2;
}

static void test_crc32c_known_sums(void **state)
{
	/* RFC 3720 (iSCSI), B.4, and the check value of every catalogue of CRCs. */
	static const uint8_t read_command[48] = {
		0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0,    0, 0, 0, 0,
		0x14, 0,    0, 0, 0, 0, 4, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, 0,    0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0,    0, 0, 0, 0,
	};
	uint8_t zeros[32] = { 0 }, ones[32], up[32], down[32];
	const struct {
		const void *p;
		size_t n;
		uint32_t sum;
	} known[] = {
		{ "", 0, 0 },
		{ "a", 1, 0xc1d04330 },
		{ "123456789", 9, 0xe3069283 },
		{ zeros, 32, 0x8a9136aa },
		{ ones, 32, 0x62a8ab43 },
		{ up, 32, 0x46dd794e },
		{ down, 32, 0x113fdb5c },
		{ read_command, 48, 0xd9963a56 },
	};
	crc32c_fn *way[3];
	size_t ways = crc32c_ways(way), i, w;

	(void)state;
	memset(ones, 0xff, 32);
	for (i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	for (w = 0; w < ways; w++)
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			assert_int_equal(way[w](0, known[i].p, known[i].n), known[i].sum);
}

static void test_crc32c_ways_agree_at_every_length_and_offset(void **state)
{
	uint8_t bytes[300];
	crc32c_fn *way[3];
	size_t ways = crc32c_ways(way), from, n, w;

	(void)state;
	core_random_bytes(bytes, sizeof(bytes));
	for (from = 0; from < 9; from++) {
		for (n = 0; n <= sizeof(bytes) - from; n++) {
			uint32_t sum = crc32c_bit_by_bit(bytes + from, n);

			for (w = 0; w < ways; w++)
				assert_int_equal(way[w](0, bytes + from, n), sum);
		}
	}
}

static void test_crc32c_of_parts_is_that_of_the_whole(void **state)
{
	uint8_t bytes[100];
	crc32c_fn *way[3];
	size_t ways = crc32c_ways(way), cut, w;

	(void)state;
	core_random_bytes(bytes, sizeof(bytes));
	for (w = 0; w < ways; w++) {
		uint32_t whole = way[w](0, bytes, sizeof(bytes));

		for (cut = 0; cut <= sizeof(bytes); cut++)
			assert_int_equal(way[w](way[w](0, bytes, cut), bytes + cut,
						sizeof(bytes) - cut),
					 whole);
	}
}

static void test_crc32c_notices_any_flipped_bit(void **state)
{
	uint8_t bytes[64];
	uint32_t sum;
	size_t bit;

	(void)state;
	core_random_bytes(bytes, sizeof(bytes));
	sum = port_crc32c(0, bytes, sizeof(bytes));
	for (bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(port_crc32c(0, bytes, sizeof(bytes)), sum);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* ---- ranges ---- */

enum { RANGE_MOST = 1 << 30 };

static void test_range_grows_in_place_and_gives_parts_back(void **state)
{
	unsigned int flags;

	(void)state;
	for (flags = 0; flags <= (PORT_RANGE_HUGE | PORT_RANGE_LOCK); flags++) {
		size_t unit = port_range_unit();
		struct port_range r;
		uint8_t *base;

		assert_int_equal(port_range_reserve(&r, RANGE_MOST, 0, flags), 0);
		base = r.base;
		assert_int_equal((uintptr_t)base % PORT_RANGE_ALIGN, 0);
		assert_int_equal(port_range_grow(&r, 3 * unit), 0);
		assert_true(r.ready >= 3 * unit);
		memset(base, 1, 3 * unit);
		assert_int_equal(port_range_grow(&r, 40u << 20), 0);
		assert_ptr_equal(r.base, base);
		assert_int_equal(base[(40u << 20) - 1], 0);
		/* Parts of memory pages stay. */
		port_range_discard(&r, 1, 3 * unit - 1);
		assert_int_equal(base[0], 1);
		assert_int_equal(base[unit - 1], 1);
		assert_int_equal(base[unit], 0);
		assert_int_equal(base[2 * unit - 1], 0);
		assert_int_equal(base[2 * unit], 1);
		/* What is there stays; what is new is zero. */
		port_range_populate(&r, 1, 5u << 20);
		assert_int_equal(base[0], 1);
		assert_int_equal(base[unit], 0);
		assert_int_equal(base[2 * unit], 1);
		assert_int_equal(base[(5u << 20) - 1], 0);
		port_range_small(&r);
		assert_int_equal(base[0], 1);
		assert_int_equal(port_range_grow(&r, r.bytes), 0);
		assert_int_equal(port_range_grow(&r, r.bytes + 1), -ENOSPC);
		port_range_release(&r);
		assert_null(r.base);
		port_range_release(&r);
	}
}

static void test_range_takes_fewer_addresses_where_there_are_not_so_many(void **state)
{
	struct port_range r;

	(void)state;
	assert_int_equal(port_range_reserve(&r, (uint64_t)1 << 60, RANGE_MOST, 0), 0);
	assert_true(r.bytes >= RANGE_MOST);
	port_range_release(&r);
	assert_int_equal(port_range_reserve(&r, (uint64_t)1 << 60, (uint64_t)1 << 59, 0),
			 -ENOMEM);
	assert_null(r.base);
}

static void test_range_tells_of_memory_that_cannot_be_had(void **state)
{
	uint64_t live = port_fault_live();
	struct port_range r;

	(void)state;
	port_fault_set(1, true);
	assert_int_equal(port_range_reserve(&r, RANGE_MOST, 0, 0), -ENOMEM);
	port_fault_set(2, true);
	assert_int_equal(port_range_reserve(&r, RANGE_MOST, 0, 0), 0);
	assert_int_equal(port_fault_live(), live + 1);
	assert_int_equal(port_range_grow(&r, 1), -ENOMEM);
	assert_int_equal(r.ready, 0);
	assert_int_equal(port_range_grow(&r, 1), 0);
	r.base[0] = 1;
	port_range_release(&r);
	assert_int_equal(port_fault_live(), live);
}

static void test_version_is_taken_by_one_of_several_writers(void **state)
{
	uint64_t version = 8;

	(void)state;
	assert_true(port_write_try(&version, 8, 9));
	assert_false(port_write_try(&version, 8, 9));
	assert_int_equal(version, 9);
	port_write_end(&version);
	assert_int_equal(port_read_again(&version), 10);
}

/* ---- the leak check of all tests ---- */

static void test_leak_is_held_against_the_test_that_left_it(void **state)
{
	uint64_t outer = live_before;
	void *left, *later;

	assert_int_equal(leak_check_set_up(state), 0);
	left = port_alloc(1);
	assert_int_equal(leak_check_tear_down(state), -1);
	/* Here a thread of what was left open is at work. */
	assert_int_equal(leak_check_set_up(state), 0);
	later = port_alloc(1);
	assert_int_equal(leak_check_tear_down(state), 0);
	assert_int_equal(leak_check_set_up(state), 0);
	port_free(later);
	assert_int_equal(leak_check_tear_down(state), 0);
	port_free(left);
	leak_was_found = false;
	live_before = outer;
}

#define CORE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(test_both_allocators_keep_one_contract),
		CORE_TEST(test_fault_counts_what_is_alive),
		CORE_TEST(test_fault_fails_the_nth),
		CORE_TEST(test_fault_failed_realloc_keeps_the_old),
		CORE_TEST(test_impossible_sizes_are_refused),
		CORE_TEST(test_little_endian_words_are_bytes_in_order),
		CORE_TEST(test_compare_and_swap_tells_what_was_there),
		CORE_TEST(test_locks_and_atomics_lose_no_addition),
		CORE_TEST(test_range_grows_in_place_and_gives_parts_back),
		CORE_TEST(test_range_takes_fewer_addresses_where_there_are_not_so_many),
		CORE_TEST(test_range_tells_of_memory_that_cannot_be_had),
		CORE_TEST(test_version_is_taken_by_one_of_several_writers),
		CORE_TEST(test_crc32c_known_sums),
		CORE_TEST(test_crc32c_ways_agree_at_every_length_and_offset),
		CORE_TEST(test_crc32c_of_parts_is_that_of_the_whole),
		CORE_TEST(test_crc32c_notices_any_flipped_bit),
		CORE_TEST(test_leak_is_held_against_the_test_that_left_it),
	};

	printf("# seed 0x%x; the processor has%s instruction for CRC32C\n", CORE_SEED,
	       port_crc32c_has_instruction() ? " an" : " no");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
