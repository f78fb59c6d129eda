/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_format_tests.c - the bytes of the log's format, pinned, and what is said to those of
 * other versions.
 */
#include "log_fixture.h"

/* ---- headers ---- */

static void test_every_bit_of_a_segment_header_is_guarded(void **state)
{
	struct fixture f;
	unsigned int i;
	int error;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	close_log(&f);
	for (i = 0; i < 8 * LOG_SEGMENT_HEADER_BYTES; i++) {
		flip(&f, i / 8, (uint8_t)(1u << i % 8));
		error = try_open(&f, 0);
		assert_int_equal(error, -EBADMSG);
		assert_non_null(strstr(f.why.text, "log/000000000000.log"));
		flip(&f, i / 8, (uint8_t)(1u << i % 8));
	}
	open_log(&f, 0);
	assert_int_equal(f.list.n, 1);
	end(&f);
}

static void test_newer_formats_are_refused_and_newer_minors_read(void **state)
{
	static const struct {
		struct log_segment_header h;
		int error;
	} each[] = {
		{ { .major = 1, .minor = 7, .units = 1 }, 0 },
		{ { .major = 2, .minor = 0, .units = 1 }, -EPROTONOSUPPORT },
		{ { .major = 0, .minor = 9, .units = 1 }, -EPROTONOSUPPORT },
		{ { .major = 1, .units = 1, .incompatible = 1 }, -EPROTONOSUPPORT },
		{ { .major = 1, .units = 1, .incompatible = 1ull << 63 },
		  -EPROTONOSUPPORT },
		{ { .major = 1, .units = 0 }, -EBADMSG },
		{ { .major = 1, .units = 2 }, -EBADMSG },
		{ { .major = 1, .units = UINT32_MAX }, -EBADMSG },
		{ { .major = 1, .units = 1, .number = 1 }, -EBADMSG },
	};
	uint8_t header[LOG_SEGMENT_HEADER_BYTES];
	struct fixture f;
	size_t i;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	close_log(&f);
	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		struct log_segment_header h = each[i].h;

		h.store_id = STORE_ID;
		h.segment_bytes = SEGMENT;
		log_segment_header_encode(&h, header);
		write_file(&f, 0, 0, header, sizeof(header));
		assert_int_equal(try_open(&f, 0), each[i].error);
		if (!each[i].error)
			close_log(&f);
		if (each[i].error == -EPROTONOSUPPORT)
			assert_non_null(strstr(f.why.text, "newer"));
	}
	end(&f);
}

/* ---- golden bytes ---- */

static void assert_bytes(const uint8_t *came, const char *want)
{
	char hex[2 * 256 + 1];
	size_t i, n = strlen(want) / 2;

	assert_true(n <= 256);
	for (i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", came[i]);
	assert_string_equal(hex, want);
}

/* If one of these fails, stores that people have can't be read any more: then the format's
 * version must change, and docs/FORMATS.md with it. */
static void test_golden_bytes_of_a_segment(void **state)
{
	const struct kv_slice abc = kv_str("abc"), none = kv_str("");
	struct log_item one = {
		.type = 5, .sequence = 0x123456789abc, .part = &abc, .parts = 1
	};
	struct log_item two[2] = {
		{ .type = 1,
		  .sequence = LOG_SEQUENCE_POSITION,
		  .part = &abc,
		  .parts = 1 },
		{ .type = 2,
		  .sequence = LOG_SEQUENCE_POSITION,
		  .part = &none,
		  .parts = 1 },
	};
	struct fixture f;
	uint8_t b[256];

	(void)state;
	begin_log(&f, NULL);
	assert_int_equal(log_append(f.log, &one, 1, 0), 0);
	assert_int_equal(log_sync(f.log, one.position), 0);
	assert_int_equal(log_append(f.log, two, 2, 0), 0);
	close_log(&f);
	read_file(&f, 0, 0, b, 200);
	/* header */
	assert_bytes(b, "4b564c4f475345470100000001000000efcdab8967452301"
			"000000000000000000000100000000000000000000000000"
			"0000000000000000000000006a0e0d77");
	/* record at 64: "abc", type 5, nothing durable behind the header */
	assert_bytes(b + 64, "7b4e13cc03000000b7a7930c00000000bc9a785634120005"
			     "6162630000000000");
	/* group at 96: two records within, all before it durable */
	assert_bytes(b + 96, "0629baa738000000b7a7930c000000000c000000000000fe"
			     "953c76b003000000b7a7930c030000000f00000000000001"
			     "616263000000000004e2ff6e00000000b7a7930c07000000"
			     "1300000000000002");
	/* end mark at 176 */
	assert_bytes(b + 176, "ef63deeb00000000b7a7930c0000000000000000000000ff");
	f.log = NULL;
	end(&f);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_bit_of_a_segment_header_is_guarded),
		TEST(test_newer_formats_are_refused_and_newer_minors_read),
		TEST(test_golden_bytes_of_a_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
