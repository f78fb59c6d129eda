/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.5: the log's record, and its torn tail.
 */
#include "../../../harness/learn/learn.h"
#include "../../log_internal.h"
#include "../../tests/log_fixture.h"

#define FORMAT  "sprint-2-hash-storage/log_format.h"
#define SOURCE  "the comment at the top of sprint-2-hash-storage/log_recover.c"
#define CHAPTER "docs/sprint-2-hash-storage.md, \"The log is the data\""

static void test_the_header_is_as_drawn(void **state)
{
	const struct log_record_header h = { .len = 5,
					     .log_id = 0x11223344,
					     .unsynced = 7,
					     .sequence = 0x123456789abcdeull,
					     .type = 9 };
	static const uint8_t rest[20] = { 5,    0,    0,    0,    0x44, 0x33, 0x22,
					  0x11, 7,    0,    0,    0,    0xde, 0xbc,
					  0x9a, 0x78, 0x56, 0x34, 0x12, 9 };
	uint32_t payload_crc = port_crc32c(0, "hello", 5);
	uint8_t p[LOG_HEADER_BYTES];

	(void)state;
	log_record_header_encode(&h, payload_crc, p);
	learn_bytes("the header from its byte 4 on", p + 4, rest, 20);
	learn_number("the CRC of payload \"hello\" and of bytes 4 to 23",
		     port_get_le32(p), port_crc32c(payload_crc, rest, 20));
	learn_number("log_record_crc() of it", log_record_crc(p, payload_crc),
		     port_get_le32(p));
}

static void test_the_header_reads_back(void **state)
{
	struct log_record_header h = { .len = 0xfffffff0,
				       .log_id = 1,
				       .unsynced = UINT32_MAX,
				       .sequence = LOG_SEQUENCE_MAX,
				       .type = LOG_TYPE_END },
				 r;
	uint8_t p[LOG_HEADER_BYTES];

	(void)state;
	log_record_header_encode(&h, 0, p);
	log_record_header_decode(&r, p);
	learn_number("len", r.len, h.len);
	learn_number("log_id", r.log_id, h.log_id);
	learn_number("unsynced", r.unsynced, h.unsynced);
	learn_number("sequence", r.sequence, h.sequence);
	learn_number("type", r.type, h.type);
	learn_number("crc", r.crc, port_get_le32(p));
}

/* Another process on the disk that this one leaves when it is killed. */
static int open_after_kill(const struct fixture *f, struct fixture *after)
{
	kill_process(f, after);
	return try_open(after, 0);
}
static void must_open(struct fixture *after, int error, size_t records, const char *when)
{
	learn_expect(!error, learn_text("log_open() returns 0 %s", when), "%d: %s", error,
		     after->why.text);
	learn_number(learn_text("the records that are replayed %s", when), after->list.n,
		     records);
}
static void must_refuse(struct fixture *after, int error, const char *when)
{
	learn_error(learn_text("log_open() %s", when), error, -EBADMSG);
	learn_expect(strstr(after->why.text, ".log") != NULL,
		     "a message that names the file", "\"%s\"", after->why.text);
}

static void test_records_are_replayed(void **state)
{
	static const size_t len[] = { 0, 1, 7, 8, 40, 5000, 3 };
	struct fixture f, after;
	uint64_t i, position[7];

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 7; i++)
		position[i] = append(&f, i, len[i]);
	must_open(&after, open_after_kill(&f, &after), 7, "after seven appends");
	for (i = 0; i < 7; i++) {
		struct kv_slice p = payload(i, len[i]);

		learn_number("the record's position", after.list.seen[i].position,
			     position[i]);
		learn_number("its payload's length", after.list.seen[i].len, len[i]);
		learn_number("its payload's CRC", after.list.seen[i].crc,
			     port_crc32c(0, p.data, p.len));
		learn_number("its end", after.list.seen[i].end,
			     position[i] + log_record_bytes(len[i]));
	}
	learn_number("the bytes dropped", after.found.bytes_dropped, 0);
	end(&after);
	end(&f);
}

static void test_every_flipped_bit_is_noticed(void **state)
{
	struct fixture f, after;
	uint64_t position, byte;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 10);
	position = append(&f, 2, 16);
	for (byte = 0; byte < LOG_HEADER_BYTES + 16; byte++) {
		kill_process(&f, &after);
		flip(&after, position + byte, (uint8_t)(1 << byte % 8));
		must_open(&after, try_open(&after, 0), 1,
			  learn_text("with byte %u of the second changed",
				     (unsigned int)byte));
		end(&after);
	}
	end(&f);
}

static void test_a_torn_tail_is_cut(void **state)
{
	struct fixture f, after;
	uint64_t i, position = 0;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 3; i++)
		position = append(&f, i, 100);
	assert_int_equal(log_sync(f.log, position), 0);
	position = append(&f, 3, 100);
	(void)append(&f, 4, 50);
	kill_process(&f, &after);
	flip(&after, position + 40, 1);
	must_open(&after, try_open(&after, 0), 3, "with the first unsynced record torn");
	learn_number("the bytes dropped: both unsynced records",
		     after.found.bytes_dropped,
		     log_record_bytes(100) + log_record_bytes(50));
	(void)append(&after, 9, 10);
	reopen_log(&after, 0);
	learn_number("the records after one more append and another start", after.list.n,
		     4);
	end(&after);
	end(&f);
}

static void test_damage_to_what_was_durable_is_refused(void **state)
{
	struct fixture f, after;
	uint64_t position[4], i;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 3; i++)
		position[i] = append(&f, i, 100);
	assert_int_equal(log_sync(f.log, position[2]), 0);
	position[3] = append(&f, 3, 100);
	for (i = 0; i < 3; i++) {
		kill_process(&f, &after);
		flip(&after, position[i] + 30, 4);
		must_refuse(&after, try_open(&after, 0),
			    "with a record damaged that a later one says was durable");
		end(&after);
	}
	end(&f);
}

static void test_what_the_owner_knows_counts(void **state)
{
	struct fixture f, after;
	uint64_t position;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	position = append(&f, 2, 100);
	kill_process(&f, &after);
	after.config.durable = log_end(f.log);
	flip(&after, position + 30, 4);
	must_refuse(&after, try_open(&after, 0),
		    "with the last record damaged, which the owner knows was durable");
	end(&after);
	end(&f);
}

/* A record as a file may hold it, behind the log's end. */
static void forge(struct fixture *f, uint64_t position, uint32_t id, uint32_t len,
		  uint32_t unsynced)
{
	struct log_record_header h = { .len = len, .log_id = id, .unsynced = unsynced };
	uint8_t p[LOG_HEADER_BYTES + 8] = { 0 };

	log_record_header_encode(&h, port_crc32c(0, p + LOG_HEADER_BYTES, 8), p);
	write_file(f, position / SEGMENT, position % SEGMENT, p, sizeof(p));
}

static void test_another_segments_record_is_none(void **state)
{
	struct fixture f, after;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	kill_process(&f, &after);
	forge(&after, log_end(f.log), log_id(STORE_ID, 77), 8, 0);
	must_open(&after, try_open(&after, 0), 1,
		  "with a good record of another segment behind the last");
	learn_number("the bytes dropped of it", after.found.bytes_dropped, 0);
	end(&after);
	end(&f);
}

static void test_a_length_beyond_the_segment(void **state)
{
	static const uint32_t len[] = { SEGMENT, UINT32_MAX, UINT32_MAX - 7 };
	struct fixture f, after;
	size_t i;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	for (i = 0; i < 3; i++) {
		kill_process(&f, &after);
		forge(&after, log_end(f.log), log_id(STORE_ID, 0), len[i], 0);
		must_open(&after, try_open(&after, 0), 1,
			  learn_text("with a length of %u behind the last", len[i]));
		end(&after);
	}
	end(&f);
}

static void test_a_payload_is_not_believed(void **state)
{
	struct log_record_header h = { .len = 8, .log_id = log_id(STORE_ID, 0) };
	uint8_t p[LOG_HEADER_BYTES + 8] = { 0 };
	struct kv_slice part = { p, sizeof(p) };
	struct log_item item = { .sequence = 1, .part = &part, .parts = 1 };
	struct fixture f, after;
	uint64_t torn;

	(void)state;
	/* It promises that all before it was durable. */
	log_record_header_encode(&h, port_crc32c(0, p + LOG_HEADER_BYTES, 8), p);
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	torn = append(&f, 2, 100);
	assert_int_equal(log_append(f.log, &item, 1, 0), 0);
	kill_process(&f, &after);
	flip(&after, torn + 50, 1);
	must_open(&after, try_open(&after, 0), 1,
		  "with a torn record, and behind it a payload that looks like a record");
	end(&after);
	end(&f);
}

static void test_later_segments_go_with_the_tail(void **state)
{
	struct fixture f, after;
	uint64_t torn, i;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	torn = append(&f, 2, 100);
	for (i = 3; i < 9; i++)
		(void)append(&f, i, 30000);
	learn_expect(log_end(f.log) / SEGMENT >= 2, "a log of three segments", "fewer");
	kill_process(&f, &after);
	flip(&after, torn + 50, 1);
	must_open(&after, try_open(&after, 0), 1, "with a tail of three segments");
	learn_expect(after.found.bytes_dropped > 6 * 30000,
		     "more than 180000 bytes dropped, of all three segments", "%llu",
		     (unsigned long long)after.found.bytes_dropped);
	(void)append(&after, 20, 10);
	reopen_log(&after, 0);
	learn_number("the records after one more append and another start", after.list.n,
		     2);
	end(&after);
	end(&f);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_the_header_is_as_drawn, 2, FORMAT),
	LEARN_TEST(test_the_header_reads_back, 1, FORMAT),
	LEARN_TEST(test_records_are_replayed, 2, FORMAT),
	LEARN_TEST(test_every_flipped_bit_is_noticed, 2, FORMAT),
	LEARN_TEST(test_another_segments_record_is_none, 1, CHAPTER),
	LEARN_TEST(test_a_length_beyond_the_segment, 2, SOURCE),
	LEARN_TEST(test_a_torn_tail_is_cut, 2, SOURCE),
	LEARN_TEST(test_damage_to_what_was_durable_is_refused, 3, CHAPTER),
	LEARN_TEST(test_what_the_owner_knows_counts, 1, SOURCE),
	LEARN_TEST(test_a_payload_is_not_believed, 2, SOURCE),
	LEARN_TEST(test_later_segments_go_with_the_tail, 2, SOURCE),
};

LEARN_MAIN_NO_SPEED(tests)
