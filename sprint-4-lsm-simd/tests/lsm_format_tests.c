/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_format_tests.c - the bytes of STORE, of the steps of a write in the log, and of a filter,
 * as docs/FORMATS.md says; a table's are in sst_tests.c and sst_block_tests.c, the manifest's in
 * lsm_edit_tests.c, a blob file's in lsm_blob_tests.c.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../lsm_store.h"

#include <ctype.h>

enum { FILE_MAX = 4096, LOG_HEADER = 64, RECORD_HEADER = 24 };

static const struct lsm_identity identity = { 0x0123456789abcdef, 1 << 20 };
static uint8_t file[FILE_MAX];

/* Hexadecimal digits, with blanks between. */
static void expect_bytes(const uint8_t *at, const char *hex)
{
	unsigned int byte;

	for (; *hex; hex += isspace((unsigned char)*hex) ? 1 : 2) {
		if (isspace((unsigned char)*hex))
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		assert_int_equal(*at++, byte);
	}
}

static size_t read_from(const char *name)
{
	int fd = open_in_scratch(name, 0);
	ssize_t n = read(fd, file, sizeof(file));

	assert_true(n >= 0);
	(void)close(fd);
	return (size_t)n;
}

/* ---- STORE ---- */

static void make_identity(const char *dir)
{
	assert_int_equal(env_posix()->ops->mkdir(env_posix(), in_scratch(dir)), 0);
	assert_int_equal(lsm_identity_write(env_posix(), in_scratch(dir), &identity), 0);
}

/* With other bytes at a place, and the checksum that belongs to them. */
static int read_changed(const char *dir, size_t at, const char *hex, struct kv_msg *why)
{
	struct lsm_identity found;
	uint8_t changed[LSM_IDENTITY_BYTES];
	char name[64];
	unsigned int byte;
	int fd;

	(void)snprintf(name, sizeof(name), "%s/STORE", dir);
	assert_int_equal(read_from(name), LSM_IDENTITY_BYTES);
	memcpy(changed, file, sizeof(changed));
	for (; *hex; hex += 2, at++) {
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		changed[at] = (uint8_t)byte;
	}
	port_put_le32(changed + 44, port_crc32c(0, changed, 44));
	fd = open_in_scratch(name, O_TRUNC);
	assert_int_equal(write(fd, changed, sizeof(changed)), sizeof(changed));
	(void)close(fd);
	why->text[0] = '\0';
	return lsm_identity_read(env_posix(), in_scratch(dir), &found, why);
}

static void test_identity_is_these_bytes(void **state)
{
	struct lsm_identity found = { 0 };
	struct kv_msg why;

	(void)state;
	make_identity("bytes");
	assert_int_equal(read_from("bytes/STORE"), 48);
	expect_bytes(file, "4c534d53544f5245 0100 0000 00000000"
			   "efcdab8967452301 0000100000000000"
			   "000000000000000000000000 d2510517");
	assert_int_equal(
		lsm_identity_read(env_posix(), in_scratch("bytes"), &found, &why), 0);
	assert_int_equal(found.id, identity.id);
	assert_int_equal(found.segment_bytes, identity.segment_bytes);
}

static void test_newer_identity_is_refused_and_newer_minor_is_read(void **state)
{
	struct kv_msg why;

	(void)state;
	make_identity("newer");
	assert_int_equal(read_changed("newer", 10, "0700", &why), 0);
	assert_int_equal(read_changed("newer", 8, "0200", &why), -EPROTONOSUPPORT);
	assert_non_null(strstr(why.text, "newer"));
	assert_int_equal(read_changed("newer", 8, "0100", &why), 0);
	assert_int_equal(read_changed("newer", 12, "01", &why), -EPROTONOSUPPORT);
}

static void test_identity_with_impossible_segments_is_refused(void **state)
{
	static const char *const sizes[] = { "0000000000000000", "0080000000000000",
					     "0100100000000000", "0000000002000000" };
	struct kv_msg why;
	size_t i;

	(void)state;
	make_identity("segments");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(read_changed("segments", 24, sizes[i], &why), -EBADMSG);
		assert_non_null(strstr(why.text, "STORE"));
	}
	assert_int_equal(read_changed("segments", 24, "0000010000000000", &why), 0);
}

/* ---- the log ---- */

static void test_steps_of_a_write_are_these_bytes(void **state)
{
	const struct kv_op op[] = {
		{ KV_PUT, kv_str("key"), kv_str("v") },
		{ KV_DELETE, kv_str("gone"), { 0 } },
		{ KV_DELETE_RANGE, kv_str("a"), kv_str("b") },
		{ KV_DELETE_RANGE, kv_str("x"), { 0 } },
	};
	struct kv_msg why = { "" };
	struct kv_slice rest;
	struct kv_op back;
	struct kv *kv;
	size_t i;

	(void)state;
	assert_int_equal(kv_open(&lsm_engine, env_posix(), in_scratch("steps"),
				 "memory_bytes=1m,memtable_bytes=64k,segment_bytes=64k,"
				 "huge=off",
				 &kv, &why),
			 0);
	assert_int_equal(kv_write(kv, op, 4, KV_SYNC), 0);
	assert_true(read_from("steps/000000000000.log") > LOG_HEADER + RECORD_HEADER);
	assert_int_equal(port_get_le32(file + LOG_HEADER + 4), 43);
	assert_int_equal(file[LOG_HEADER + 23], 0);
	expect_bytes(file + LOG_HEADER + RECORD_HEADER, "00 00 0300 01000000 6b6579 76"
							"01 00 0400 00000000 676f6e65"
							"02 00 0100 01000000 61 62"
							"02 01 0100 00000000 78");
	rest = kv_slice(file + LOG_HEADER + RECORD_HEADER, 43);
	for (i = 0; i < 4; i++) {
		assert_int_equal(lsm_write_step(&rest, &back), 0);
		assert_int_equal(back.type, op[i].type);
		assert_int_equal(kv_compare(back.key, op[i].key), 0);
		assert_int_equal(!back.value.data, i == 3);
	}
	assert_int_equal(rest.len, 0);
	assert_int_equal(kv_close(kv), 0);
}

static void test_longest_key_is_marked_in_its_step(void **state)
{
	static uint8_t step[LSM_LOG_STEP + KV_KEY_MAX];
	struct kv_slice rest = kv_slice(step, sizeof(step));
	struct kv_op op;

	(void)state;
	step[1] = 2;
	assert_int_equal(lsm_write_step(&rest, &op), 0);
	assert_int_equal(op.key.len, 65536);
	rest = kv_slice(step, sizeof(step) - 1);
	assert_int_equal(lsm_write_step(&rest, &op), -EBADMSG);
}

/* ---- filters ---- */

static void test_filter_is_these_bits(void **state)
{
	uint8_t filter[2 * LSM_FILTER_BLOCK] = { 0 };
	const uint64_t hash = lsm_key_hash(kv_str("key"));
	unsigned int bit, i, set = 0;

	(void)state;
	assert_int_equal(hash, 0xbbea0d63a05165e3);
	lsm_filter_add(filter, sizeof(filter), 7, hash);
	for (i = 0; i < sizeof(filter) * 8; i++)
		set += filter[i / 8] >> i % 8 & 1;
	assert_true(set <= 7);
	/* Its block is the upper half times two, by 2^32; its first bit is the upper nine bits of
	 * the lower half times the first constant. */
	i = (unsigned int)((hash >> 32) * 2 >> 32) * LSM_FILTER_BLOCK;
	bit = ((uint32_t)hash * 0x24d0473du) >> 23;
	assert_true(filter[i + bit / 8] & 1u << bit % 8);
}

int main(void)
{
#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, leak_check_set_up, leak_check_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_identity_is_these_bytes),
		TEST(test_newer_identity_is_refused_and_newer_minor_is_read),
		TEST(test_identity_with_impossible_segments_is_refused),
		TEST(test_steps_of_a_write_are_these_bytes),
		TEST(test_longest_key_is_marked_in_its_step),
		TEST(test_filter_is_these_bits),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
