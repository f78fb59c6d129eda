/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_format_tests.c - the bytes of a leaf, an inner node, a large value and a log record,
 * as docs/FORMATS.md says; the superblock's are in btree_super_tests.c, the free map's in
 * btree_space_tests.c.
 *
 * Beside bytes that are written here there is a whole store, made and closed, whose file is
 * read with nothing but the document's offsets.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-2-hash-storage/log_raw.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../btree_engine.h"
#include "../btree_node.h"

#include <ctype.h>

enum { PAGE = 4096, LARGE = 5000, FILE_MAX = 16 << 20 };

static const struct btree_shape shape = { .page_bytes = PAGE, .max_keys = UINT32_MAX };

static union { /* aligned as a page is */
	uint8_t bytes[PAGE];
	struct btree_node node;
} page;

/* Hexadecimal digits, with blanks between; returns how many bytes they are. */
static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned int byte;

	for (; *hex; hex += isspace((unsigned char)*hex) ? 1 : 2) {
		if (isspace((unsigned char)*hex))
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		out[n++] = (uint8_t)byte;
	}
	return n;
}

static void expect_bytes(const uint8_t *at, const char *hex)
{
	uint8_t wanted[256];
	size_t n = from_hex(hex, wanted);

	assert_memory_equal(at, wanted, n);
}

static void expect_zeroes(size_t from, size_t to)
{
	for (; from < to; from++)
		if (page.bytes[from])
			fail_msg("byte %zu is %02x", from, page.bytes[from]);
}

static struct btree_node *new_node(unsigned int level, const char *lower,
				   struct kv_slice upper)
{
	memset(&page, 0, sizeof(page));
	page.node.page.page = 0x1234;
	page.node.page.birth = 0x1122334455;
	btree_node_init(&page.node, &shape, level, kv_str(lower), upper);
	return &page.node;
}

/* ---- nodes ---- */

static void test_leaf_is_these_bytes(void **state)
{
	static const struct btree_overflow large = {
		.page = 0x4321, .bytes = 100000, .birth = 0x42, .crc = 0xcafebabe
	};
	struct btree_node *n = new_node(0, "user1", kv_str("user3"));

	(void)state;
	btree_node_insert(n, &shape, 0, kv_str("user1"), kv_str("first"), 0);
	btree_node_insert(n, &shape, 1, kv_str("user2abcde"),
			  kv_slice(&large, sizeof(large)), BTREE_SLOT_OVERFLOW);
	btree_node_insert(n, &shape, 1, kv_str("user10"), kv_str(""), 0);
	assert_int_equal(btree_node_check(n, &shape, NULL), 0);

	/* header: CRC, number, birth, kind, level, zero, used */
	expect_bytes(page.bytes,
		     "00000000 34120000 5544332211000000 01 00 0000 00000000");
	/* entries, room, heap, dead, prefix, fences, unbounded, the prefix's beginning */
	expect_bytes(page.bytes + 24, "0300 1000 d00f0000 00000000");
	expect_bytes(page.bytes + 36, "0400 f60f 0500 fb0f 0500 0000");
	expect_bytes(page.bytes + 48, "75736572 000000000000000000000000");
	/* heads, slots */
	expect_bytes(page.bytes + 64, "00000031 00003031 63626132");
	expect_zeroes(76, 128);
	expect_bytes(page.bytes + 128, "f00f 0100 0500 0000");
	expect_bytes(page.bytes + 136, "d00f 0200 0000 0000");
	expect_bytes(page.bytes + 144, "d20f 0600 1800 0100");
	expect_zeroes(152, 0xfd0);
	/* records: "10"; "2abcde" and the reference; "1" and "first"; fences */
	expect_bytes(page.bytes + 0xfd0, "3130");
	expect_bytes(page.bytes + 0xfd2, "326162636465");
	expect_bytes(page.bytes + 0xfd8,
		     "21430000 a0860100 4200000000000000 bebafeca 00000000");
	expect_bytes(page.bytes + 0xff0, "31 6669727374");
	expect_bytes(page.bytes + 0xff6, "7573657231 7573657233");
}

static void test_inner_node_is_these_bytes(void **state)
{
	static const struct btree_child first = { 0x10, 0x11223344 },
					second = { 0x20, 0x55667788 };
	struct btree_node *n = new_node(2, "b", kv_slice(NULL, 0));

	(void)state;
	btree_node_insert(n, &shape, 0, kv_str("b"), kv_slice(&first, sizeof(first)), 0);
	btree_node_insert(n, &shape, 1, kv_str("cat"), kv_slice(&second, sizeof(second)),
			  0);
	assert_int_equal(btree_node_check(n, &shape, NULL), 0);
	expect_bytes(page.bytes,
		     "00000000 34120000 5544332211000000 01 02 0000 00000000");
	expect_bytes(page.bytes + 24, "0200 1000 f40f0000 00000000");
	expect_bytes(page.bytes + 36, "0000 ff0f 0100 0000 0000 0103");
	expect_bytes(page.bytes + 48, "636174");
	expect_zeroes(51, 64);
	expect_bytes(page.bytes + 64, "00000000 00000000");
	expect_bytes(page.bytes + 128, "fb0f 0000 10000000");
	expect_bytes(page.bytes + 136, "f40f 0300 20000000");
	expect_bytes(page.bytes + 0xff4, "636174 88776655");
	expect_bytes(page.bytes + 0xffb, "44332211");
	expect_bytes(page.bytes + 0xfff, "62");
}

/* ---- a store's files ---- */

static char large_value[LARGE];

static void make_store(struct env *env)
{
	const struct kv_op batch[] = {
		{ KV_PUT, kv_str("key"), kv_str("v") },
		{ KV_DELETE, kv_str("gone"), { NULL, 0 } },
		{ KV_DELETE_RANGE, kv_str("a"), kv_str("b") },
		{ KV_DELETE_RANGE, kv_str("x"), { NULL, 0 } },
	};
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	memset(large_value, 'L', sizeof(large_value));
	if (kv_open(&btree_engine, env, "store", "segment_bytes=64k", &kv, &why))
		fail_msg("%s", why.text);
	assert_int_equal(kv_write(kv, batch, 4, KV_NONE), 0);
	assert_int_equal(
		kv_put(kv, kv_str("large"), kv_slice(large_value, LARGE), KV_SYNC), 0);
	assert_int_equal(kv_close(kv), 0);
}

/* The page of that number, its CRC as the parent has it. */
static const uint8_t *page_at(const struct kv_buf *file, uint32_t number, uint32_t crc)
{
	const uint8_t *p = (const uint8_t *)file->data + (size_t)number * PAGE;

	assert_true((number + (size_t)1) * PAGE <= file->len);
	assert_int_equal(port_get_le32(p), port_crc32c(0, p + 4, PAGE - 4));
	assert_int_equal(port_get_le32(p + 4), number);
	if (crc)
		assert_int_equal(port_get_le32(p), crc);
	return p;
}

/* The superblock that counts: both places' copies are good, the later one wins. */
static const uint8_t *newest_super(const struct kv_buf *file)
{
	const uint8_t *a = file->data, *b = a + PAGE;

	assert_memory_equal(a, "KVBTREE1", 8);
	assert_memory_equal(b, "KVBTREE1", 8);
	assert_memory_equal(a, a + 2048, 128);
	assert_memory_equal(b, b + 2048, 128);
	return port_get_le64(a + 40) > port_get_le64(b + 40) ? a : b;
}

/* Entry i of a leaf whose keys have no prefix: key, value, flags. */
static unsigned int leaf_entry(const uint8_t *leaf, unsigned int i, struct kv_slice *key,
			       struct kv_slice *value)
{
	const uint8_t *slot = leaf + 64 + 4 * port_get_le16(leaf + 26) + 8 * i;

	*key = kv_slice(leaf + port_get_le16(slot), port_get_le16(slot + 2));
	*value = kv_slice((const uint8_t *)key->data + key->len, port_get_le16(slot + 4));
	return port_get_le16(slot + 6);
}

static void expect_large_value(const struct kv_buf *file, const uint8_t *ref)
{
	uint32_t first = port_get_le32(ref);
	const uint8_t *a = page_at(file, first, 0), *b = page_at(file, first + 1, 0);

	assert_int_equal(port_get_le32(ref + 4), LARGE);
	assert_int_equal(port_get_le32(ref + 16), port_crc32c(0, large_value, LARGE));
	assert_int_equal(port_get_le64(a + 8), port_get_le64(ref + 8));
	assert_int_equal(port_get_le64(b + 8), port_get_le64(ref + 8));
	expect_bytes(a + 16, "02 00 0000 e80f0000");
	expect_bytes(b + 16, "02 00 0000 a0030000");
	assert_memory_equal(a + 24, large_value, PAGE - 24);
	assert_memory_equal(b + 24, large_value, LARGE - (PAGE - 24));
}

static void test_store_is_read_by_the_documents_offsets(void **state)
{
	struct env_sim *disk = env_sim_new(NULL);
	struct env *env = env_sim_env(disk);
	struct kv_buf file = { 0 };
	struct kv_slice key, value;
	const uint8_t *super, *leaf, *map;
	uint32_t number;

	(void)state;
	make_store(env);
	assert_int_equal(env_read_file(env, "store/TREE", FILE_MAX, &file), 0);
	super = newest_super(&file);
	assert_int_equal(port_get_le32(super + 12), PAGE);
	assert_int_equal(port_get_le64(super + 64), 2); /* pairs */
	assert_int_equal(port_get_le32(super + 80), 1); /* levels */
	number = port_get_le32(super + 72);
	leaf = page_at(&file, number, port_get_le32(super + 76));
	assert_int_equal(port_get_le16(leaf + 24), 2);
	assert_int_equal(leaf_entry(leaf, 0, &key, &value), 0);
	assert_int_equal(kv_compare(key, kv_str("key")), 0);
	assert_int_equal(kv_compare(value, kv_str("v")), 0);
	assert_int_equal(leaf_entry(leaf, 1, &key, &value), 1);
	assert_int_equal(kv_compare(key, kv_str("large")), 0);
	assert_int_equal(value.len, 24);
	expect_large_value(&file, value.data);
	map = page_at(&file, port_get_le32(super + 88), 0);
	assert_int_equal(map[16], 3);
	assert_int_equal(port_get_le32(super + 96), port_crc32c(0, map, PAGE));
	assert_true(map[24] & 1 && map[24] & 2); /* superblocks */
	assert_true(map[24 + number / 8] >> number % 8 & 1);
	kv_buf_free(&file);
	env_sim_free(disk);
}

/* ---- the log ---- */

static int take_payload(void *arg, const struct log_raw_piece *p)
{
	struct kv_buf *record = arg;

	if (p->kind != LOG_RAW_RECORD)
		return 0;
	assert_int_equal(p->record.type, 0);
	assert_int_equal(
		kv_buf_append(record, p->record.payload.data, p->record.payload.len), 0);
	return 0;
}

static void test_log_record_of_a_batch_is_these_bytes(void **state)
{
	struct env_sim *disk = env_sim_new(NULL);
	struct env *env = env_sim_env(disk);
	struct kv_buf record = { 0 };
	struct log_raw raw;

	(void)state;
	make_store(env);
	assert_int_equal(log_raw_load(env, "store", 0, &raw), 0);
	assert_int_equal(log_raw_walk(&raw, raw.header.store_id, 0, 64 << 10,
				      take_payload, &record),
			 0);
	assert_int_equal(record.len, 12 + 12 + 10 + 9 + 13 + LARGE);
	expect_bytes(record.data, "00 00 0300 01000000 6b6579 76" /* put key, v */
				  "01 00 0400 00000000 676f6e65"  /* delete gone */
				  "02 00 0100 01000000 61 62"     /* a to b */
				  "02 01 0100 00000000 78"        /* x to the end */
				  "00 00 0500 88130000 6c61726765 4c4c4c4c");
	log_raw_free(&raw);
	kv_buf_free(&record);
	env_sim_free(disk);
}

/* Bounds of a range may be longer than any key. What was done with them is done again after a
 * crash: up to the bound, and not beyond. */
static void test_range_of_long_bounds_is_done_again(void **state)
{
	static const size_t lengths[] = { BTREE_KEY_MAX + 1, 600, UINT16_MAX,
					  KV_KEY_MAX };
	static uint8_t from[KV_KEY_MAX], to[KV_KEY_MAX];
	const struct kv_slice below = { from, BTREE_KEY_MAX },
			      within = { to, BTREE_KEY_MAX };
	struct kv_buf value = { 0 };
	struct kv_msg why = { "" };
	size_t i;

	(void)state;
	memset(from, 'm', sizeof(from));
	memset(to, 'm', sizeof(to));
	to[BTREE_KEY_MAX - 1] = 'n';
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct env_sim *disk = env_sim_new(NULL), *after;
		const struct kv_op range = { KV_DELETE_RANGE,
					     { from, lengths[i] },
					     { to, lengths[i] } };
		struct env_sim_point now = { 0, SIM_LOSE_NONE, 0 };
		struct kv *kv = NULL;

		assert_int_equal(kv_open(&btree_engine, env_sim_env(disk), "store",
					 "segment_bytes=64k", &kv, &why),
				 0);
		assert_int_equal(kv_put(kv, below, kv_str("below"), KV_NONE), 0);
		assert_int_equal(kv_put(kv, within, kv_str("within"), KV_NONE), 0);
		assert_int_equal(kv_put(kv, kv_str("z"), kv_str("above"), KV_NONE), 0);
		assert_int_equal(kv_write(kv, &range, 1, KV_SYNC), 0);
		now.at = env_sim_position(disk);
		after = env_sim_crash(disk, &now, false);
		assert_int_equal(kv_close(kv), 0);
		if (kv_open(&btree_engine, env_sim_env(after), "store", NULL, &kv, &why))
			fail_msg("%zu bytes: %s", lengths[i], why.text);
		assert_int_equal(kv_get(kv, below, &value), 0);
		assert_int_equal(kv_get(kv, within, &value), -ENOENT);
		assert_int_equal(kv_get(kv, kv_str("z"), &value), 0);
		assert_int_equal(kv_close(kv), 0);
		env_sim_free(after);
		env_sim_free(disk);
	}
	kv_buf_free(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_leaf_is_these_bytes),
		LEAK_CHECKED(test_inner_node_is_these_bytes),
		LEAK_CHECKED(test_store_is_read_by_the_documents_offsets),
		LEAK_CHECKED(test_log_record_of_a_batch_is_these_bytes),
		LEAK_CHECKED(test_range_of_long_bounds_is_done_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
