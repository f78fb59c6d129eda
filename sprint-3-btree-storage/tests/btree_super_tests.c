/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_super_tests.c - the superblock's bytes, and which one of two counts.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../btree_pager_internal.h"

static const struct btree_super example = {
	.store_id = 0x0123456789abcdef,
	.generation = 0x1122334455,
	.log_position = 0x66778899aabb,
	.keys = 10000000,
	.root = { 0x1234, 0xdeadbeef },
	.levels = 4,
	.page_bytes = 16384,
	.sequence = 7,
	.pages = 0x54321,
	.map_page = 0x4321,
	.map_pages = 3,
	.map_crc = 0xcafebabe,
};

static const uint8_t golden[BTREE_SUPER_BYTES] = {
	'K',  'V',  'B',  'T',  'R',  'E',  'E',  '1',  /* magic */
	0x01, 0x00, 0x00, 0x00,                         /* 1.0 */
	0x00, 0x40, 0x00, 0x00,                         /* page bytes */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* incompatible */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* compatible */
	0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, /* store id */
	0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* sequence */
	0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0x00, 0x00, /* generation */
	0xbb, 0xaa, 0x99, 0x88, 0x77, 0x66, 0x00, 0x00, /* log position */
	0x80, 0x96, 0x98, 0x00, 0x00, 0x00, 0x00, 0x00, /* keys */
	0x34, 0x12, 0x00, 0x00, 0xef, 0xbe, 0xad, 0xde, /* root */
	0x04, 0x00, 0x00, 0x00,                         /* levels */
	0x21, 0x43, 0x05, 0x00,                         /* pages */
	0x21, 0x43, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, /* map */
	0xbe, 0xba, 0xfe, 0xca,                         /* its CRC */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0xa2, 0xd1, 0x0c, 0x79, /* CRC */
};

static void test_superblock_is_these_bytes(void **state)
{
	uint8_t bytes[BTREE_SUPER_BYTES];

	(void)state;
	btree_super_encode(&example, bytes);
	assert_memory_equal(bytes, golden, sizeof(bytes));
}

static void test_superblock_decodes_to_what_was_encoded(void **state)
{
	uint8_t bytes[BTREE_SUPER_BYTES];
	struct btree_super s;

	(void)state;
	btree_super_encode(&example, bytes);
	memset(&s, 0, sizeof(s));
	assert_int_equal(btree_super_decode(&s, bytes, NULL), 0);
	assert_memory_equal(&s, &example, sizeof(s));
}

static void test_superblock_with_a_flipped_bit_is_none(void **state)
{
	uint8_t bytes[BTREE_SUPER_BYTES];
	struct btree_super s;
	size_t bit;

	(void)state;
	btree_super_encode(&example, bytes);
	for (bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(btree_super_decode(&s, bytes, NULL), -EBADMSG);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void reseal(uint8_t *bytes)
{
	port_put_le32(bytes + 124, port_crc32c(0, bytes, 124));
}

static void test_superblock_of_a_newer_program_is_refused_as_such(void **state)
{
	uint8_t bytes[BTREE_SUPER_BYTES];
	struct kv_msg why = { "" };
	struct btree_super s;

	(void)state;
	btree_super_encode(&example, bytes);
	port_put_le16(bytes + 8, 2);
	reseal(bytes);
	assert_int_equal(btree_super_decode(&s, bytes, &why), -EPROTONOSUPPORT);
	assert_non_null(strstr(why.text, "newer"));
	btree_super_encode(&example, bytes);
	bytes[23] = 0x80;
	reseal(bytes);
	assert_int_equal(btree_super_decode(&s, bytes, &why), -EPROTONOSUPPORT);
	/* A newer minor version, or a compatible feature, is read. */
	btree_super_encode(&example, bytes);
	port_put_le16(bytes + 10, 9);
	bytes[24] = 1;
	reseal(bytes);
	assert_int_equal(btree_super_decode(&s, bytes, &why), 0);
}

static void test_superblock_with_impossible_numbers_is_none(void **state)
{
	static const struct {
		size_t at;
		uint32_t v;
	} bad[] = {
		{ 12, 0 },          { 12, 2048 }, { 12, 5000 }, { 12, 131072 },
		{ 40, 0 },          { 72, 1 },    { 80, 0 },    { 80, 33 },
		{ 72, 0x54321 },    { 88, 1 },    { 84, 2 },    { 88, 0x54320 },
		{ 92, UINT32_MAX }, { 92, 0 },
	};
	uint8_t bytes[BTREE_SUPER_BYTES];
	struct btree_super s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		btree_super_encode(&example, bytes);
		port_put_le32(bytes + bad[i].at, bad[i].v);
		reseal(bytes);
		assert_int_equal(btree_super_decode(&s, bytes, NULL), -EBADMSG);
	}
}

/* ---- two places ---- */

struct places {
	struct env_sim *sim;
	struct file *f;
	uint8_t block[BTREE_SUPER_BLOCK];
};

static void places_open(struct places *d, uint32_t page_bytes)
{
	struct env *env;

	d->sim = env_sim_new(NULL);
	env = env_sim_env(d->sim);
	assert_int_equal(env_open(env, "f", ENV_READ | ENV_WRITE | ENV_CREATE, &d->f), 0);
	assert_int_equal(d->f->ops->allocate(d->f, 0, 2 * (uint64_t)page_bytes), 0);
}

static void places_close(struct places *d)
{
	file_close(d->f);
	env_sim_free(d->sim);
}

static void put_super(struct places *d, uint64_t sequence, uint32_t page_bytes,
		      unsigned int place)
{
	struct btree_super s = example;

	s.sequence = sequence;
	s.page_bytes = page_bytes;
	s.keys = sequence * 10;
	assert_int_equal(btree_super_write(d->f, &s, place, d->block), 0);
}

static void expect_super(struct places *d, uint64_t sequence)
{
	struct btree_super s;

	assert_int_equal(btree_super_read(d->f, "f", &s, d->block, NULL), 0);
	assert_int_equal(s.sequence, sequence);
	assert_int_equal(s.keys, sequence * 10);
}

static void flip(struct places *d, uint64_t offset)
{
	uint8_t c;
	size_t got;

	assert_int_equal(file_read(d->f, offset, &c, 1, &got), 0);
	c ^= 4;
	assert_int_equal(file_write(d->f, offset, &c, 1), 0);
}

static void test_newer_superblock_counts_at_every_page_size(void **state)
{
	uint32_t size;

	(void)state;
	for (size = BTREE_PAGE_MIN; size <= BTREE_PAGE_MAX; size *= 2) {
		struct places d;
		struct btree_super s;

		places_open(&d, size);
		assert_int_equal(btree_super_read(d.f, "f", &s, d.block, NULL), -EBADMSG);
		put_super(&d, 1, size, 1);
		expect_super(&d, 1);
		put_super(&d, 2, size, 0);
		expect_super(&d, 2);
		put_super(&d, 3, size, 1);
		expect_super(&d, 3);
		places_close(&d);
	}
}

static void test_torn_superblock_leaves_the_one_before(void **state)
{
	struct places d;

	(void)state;
	places_open(&d, 8192);
	put_super(&d, 6, 8192, 0);
	put_super(&d, 7, 8192, 1);
	flip(&d, 8192 + 50);
	expect_super(&d, 7); /* by its second copy */
	flip(&d, 8192 + BTREE_SUPER_COPY + 50);
	expect_super(&d, 6);
	flip(&d, 3);
	expect_super(&d, 6);
	places_close(&d);
}

/* Superblocks 8 and 9, each in its place. */
static void places_with_two(struct places *d)
{
	places_open(d, 4096);
	put_super(d, 8, 4096, 0);
	put_super(d, 9, 4096, 1);
}

static void test_settling_heals_both_places(void **state)
{
	struct btree_super s;
	struct places d;
	unsigned int i;

	(void)state;
	places_open(&d, 4096);
	for (i = 0; i < 4; i++) {
		put_super(&d, 8, 4096, 0);
		put_super(&d, 9, 4096, 1);
		flip(&d, (uint64_t)(i / 2) * 4096 + i % 2 * BTREE_SUPER_COPY + 99);
		assert_int_equal(btree_super_read(d.f, "f", &s, d.block, NULL), 0);
		assert_int_equal(s.sequence, 9);
		assert_int_equal(btree_super_settle(d.f, &s, d.block), 0);
		/* Either place alone opens, by either copy. */
		flip(&d, 4096);
		expect_super(&d, 9);
		flip(&d, 4096 + BTREE_SUPER_COPY);
		expect_super(&d, 8);
		flip(&d, 0);
		expect_super(&d, 8);
	}
	places_close(&d);
}

static void test_settling_fills_a_place_that_is_lost(void **state)
{
	struct btree_super s;
	struct places d;

	(void)state;
	places_with_two(&d);
	flip(&d, 99);
	flip(&d, BTREE_SUPER_COPY + 99);
	assert_int_equal(btree_super_read(d.f, "f", &s, d.block, NULL), 0);
	assert_int_equal(btree_super_settle(d.f, &s, d.block), 0);
	flip(&d, 4096);
	flip(&d, 4096 + BTREE_SUPER_COPY);
	expect_super(&d, 9);
	places_close(&d);
}

static int check_sequence(void *arg, struct env_sim *disk, size_t at)
{
	uint8_t block[BTREE_SUPER_BLOCK];
	struct btree_super s;
	struct file *f;
	int error = env_open(env_sim_env(disk), "f", ENV_READ, &f);

	(void)at;
	if (!error) {
		error = btree_super_read(f, "f", &s, block, NULL);
		file_close(f);
	}
	return error ? error : s.sequence != *(uint64_t *)arg;
}

/* Its sync failed and it was not read again; on the device it may be all the same, until the
 * place was written once more. */
static void test_superblock_whose_sync_failed_does_not_come_back(void **state)
{
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC,
				       .nth = 1,
				       .effect = SIM_DROP };
	uint64_t wanted = 9;
	struct env_sim_explore e = { .check = check_sequence, .arg = &wanted };
	struct btree_super s;
	struct places d;

	(void)state;
	places_with_two(&d);
	assert_int_equal(file_sync(d.f), 0);
	assert_int_equal(env_sim_env(d.sim)->ops->sync_dir(env_sim_env(d.sim), "."), 0);
	put_super(&d, 10, 4096, 0);
	env_sim_fault(d.sim, &fault);
	assert_int_equal(file_sync(d.f), -EIO);
	env_sim_fault(d.sim, NULL);
	expect_super(&d, 9);
	assert_int_equal(btree_super_read(d.f, "f", &s, d.block, NULL), 0);
	assert_int_equal(btree_super_settle(d.f, &s, d.block), 0);
	e.from = env_sim_position(d.sim);
	assert_int_equal(file_write(d.f, 8192, "new", 3), 0);
	if (env_sim_explore(d.sim, &e))
		fail_msg("%s", e.failed);
	assert_true(e.states > 1);
	places_close(&d);
}

static void test_superblocks_of_two_stores_are_refused(void **state)
{
	struct btree_super s = example;
	struct places d;

	(void)state;
	places_open(&d, 4096);
	put_super(&d, 8, 4096, 0);
	s.page_bytes = 4096;
	s.store_id++;
	assert_int_equal(btree_super_write(d.f, &s, 1, d.block), 0);
	assert_int_equal(btree_super_read(d.f, "f", &s, d.block, NULL), -EBADMSG);
	places_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_superblock_is_these_bytes),
		LEAK_CHECKED(test_superblock_decodes_to_what_was_encoded),
		LEAK_CHECKED(test_superblock_with_a_flipped_bit_is_none),
		LEAK_CHECKED(test_superblock_of_a_newer_program_is_refused_as_such),
		LEAK_CHECKED(test_superblock_with_impossible_numbers_is_none),
		LEAK_CHECKED(test_newer_superblock_counts_at_every_page_size),
		LEAK_CHECKED(test_torn_superblock_leaves_the_one_before),
		LEAK_CHECKED(test_settling_heals_both_places),
		LEAK_CHECKED(test_settling_fills_a_place_that_is_lost),
		LEAK_CHECKED(test_superblock_whose_sync_failed_does_not_come_back),
		LEAK_CHECKED(test_superblocks_of_two_stores_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
