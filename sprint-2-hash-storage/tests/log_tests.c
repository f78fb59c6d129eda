/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_tests.c - the log while it is open: append and read, groups, the ends of segments,
 * huge records. Also: log_room_tests.c (space, group commit), log_segment_tests.c (segments
 * that come and go), log_recovery_tests.c (what opening makes of a log on disk).
 */
#include "log_fixture.h"

static const struct env_sim_config sim_mapped = { .seed = 1 };
static const struct env_sim_config sim_written = { .seed = 2, .no_map = true };
static const struct env_sim_config *const homes[] = { &sim_mapped, &sim_written };
enum { HOMES = 2 };

/* ---- append and read ---- */

static void test_records_of_all_sizes_read_back(void **state)
{
	static const size_t len[] = {
		0, 1, 7, 8, 9, 40, 1000, 5000, SEGMENT_ROOM - LOG_HEADER_BYTES, 3
	};
	enum { N = sizeof(len) / sizeof(len[0]) };
	struct fixture f;
	uint64_t position[N];
	size_t h, i;

	(void)state;
	for (h = 0; h < HOMES; h++) {
		begin_log(&f, homes[h]);
		for (i = 0; i < N; i++) {
			position[i] = append(&f, i, len[i]);
			assert_int_equal(position[i] % LOG_ALIGN, 0);
			assert_true(!i || position[i] > position[i - 1]);
			assert_int_equal(log_end(f.log),
					 position[i] + log_record_bytes(len[i]));
		}
		for (i = 0; i < N; i++)
			assert_reads(&f, position[i], i, len[i]);
		reopen_log(&f, 0);
		assert_int_equal(f.list.n, N);
		assert_int_equal(f.found.records, N);
		for (i = 0; i < N; i++) {
			assert_seen(&f.list.seen[i], position[i], i, len[i]);
			assert_reads(&f, position[i], i, len[i]);
		}
		end(&f);
	}
}

static void test_payload_is_its_parts_in_order(void **state)
{
	const struct kv_slice part[] = { kv_str("one"), kv_str(""), kv_str("two"),
					 kv_slice(NULL, 0), kv_str("three") };
	struct log_item item = { .type = 7, .sequence = 99, .part = part, .parts = 5 };
	struct kv_buf buf = { 0 };
	struct log_record r;
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	assert_int_equal(log_append(f.log, &item, 1, 0), 0);
	assert_int_equal(log_read(f.log, item.position, true, &buf, &r, NULL), 0);
	assert_int_equal(r.payload.len, 11);
	assert_memory_equal(r.payload.data, "onetwothree", 11);
	assert_int_equal(r.type, 7);
	assert_int_equal(r.sequence, 99);
	kv_buf_free(&buf);
	end(&f);
}

static void test_sequence_follows_the_position_when_asked(void **state)
{
	struct fixture f;
	struct seen s;
	uint64_t position;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	position = append(&f, 2, 100);
	assert_int_equal(read_crc(f.log, position, true, &s), 0);
	assert_int_equal(s.sequence, position / LOG_ALIGN);
	end(&f);
}

static void test_items_that_cannot_be_written_are_refused(void **state)
{
	const struct kv_slice small = kv_str("x");
	/* Refused by its length alone: nobody looks at the bytes. */
	const struct kv_slice large = { "x", (size_t)LOG_PAYLOAD_MAX + 1 };
	struct log_item item = { .sequence = 1, .part = &small, .parts = 1 };
	struct log_item two[2];
	struct fixture f;
	uint64_t end_before;

	(void)state;
	begin_log(&f, NULL);
	end_before = log_end(f.log);
	item.type = LOG_TYPE_MAX + 1;
	assert_int_equal(log_append(f.log, &item, 1, 0), -EINVAL);
	item.type = 0;
	item.sequence = LOG_SEQUENCE_MAX + 1;
	assert_int_equal(log_append(f.log, &item, 1, 0), -EINVAL);
	item.sequence = LOG_SEQUENCE_MAX;
	item.part = &large;
	assert_int_equal(log_append(f.log, &item, 1, 0), -EFBIG);
	two[0] = two[1] = item;
	two[0].part = &small;
	assert_int_equal(log_append(f.log, two, 2, 0), -EFBIG);
	assert_int_equal(log_end(f.log), end_before);
	item.part = &small;
	assert_int_equal(log_append(f.log, &item, 1, 0), 0);
	end(&f);
}

static void test_positions_that_lead_nowhere_are_errors(void **state)
{
	struct kv_msg why;
	struct kv_buf buf = { 0 };
	struct log_record r;
	struct fixture f;
	uint64_t position;
	size_t h;

	(void)state;
	for (h = 0; h < HOMES; h++) {
		begin_log(&f, homes[h]);
		position = append(&f, 1, 100);
		assert_int_equal(log_read(f.log, position + 8, true, &buf, &r, &why),
				 -EBADMSG);
		assert_non_null(strstr(why.text, "log/000000000000.log"));
		assert_non_null(strstr(why.text, "offset 72"));
		assert_int_equal(log_read(f.log, SEGMENT - 8, false, &buf, &r, NULL),
				 -EBADMSG);
		assert_int_equal(log_read(f.log, 9ull * SEGMENT, true, &buf, &r, NULL),
				 -ENOENT);
		assert_int_equal(log_read(f.log, UINT64_MAX, true, &buf, &r, NULL),
				 -ENOENT);
		log_prefetch(f.log, position);
		log_prefetch(f.log, UINT64_MAX);
		log_live(f.log, UINT64_MAX, 1);
		kv_buf_free(&buf);
		end(&f);
	}
}

/* ---- groups ---- */

enum { GROUP = 5 };

static void append_group(struct fixture *f, uint64_t i, struct log_item item[GROUP])
{
	static uint8_t bytes[GROUP][128];
	static struct kv_slice part[GROUP];
	size_t j;

	for (j = 0; j < GROUP; j++) {
		struct kv_slice p = payload(i + j, 10 * j + 3);

		memcpy(bytes[j], p.data, p.len);
		part[j] = kv_slice(bytes[j], p.len);
		item[j] = (struct log_item){
			.type = (unsigned int)j,
			.sequence = LOG_SEQUENCE_POSITION,
			.part = &part[j],
			.parts = 1,
		};
	}
	assert_int_equal(log_append(f->log, item, GROUP, 0), 0);
}

static void test_group_is_read_record_by_record(void **state)
{
	struct log_item item[GROUP];
	struct fixture f;
	uint64_t before;
	size_t h, j;

	(void)state;
	for (h = 0; h < HOMES; h++) {
		begin_log(&f, homes[h]);
		(void)append(&f, 50, 33);
		before = log_end(f.log);
		append_group(&f, 60, item);
		assert_int_equal(log_end(f.log) - before, log_items_bytes(item, GROUP));
		assert_int_equal(item[0].position, before + LOG_HEADER_BYTES);
		for (j = 0; j < GROUP; j++)
			assert_reads(&f, item[j].position, 60 + j, 10 * j + 3);
		reopen_log(&f, 0);
		assert_int_equal(f.list.n, GROUP + 1);
		assert_int_equal(f.found.records, 2);
		for (j = 0; j < GROUP; j++) {
			assert_seen(&f.list.seen[j + 1], item[j].position, 60 + j,
				    10 * j + 3);
			assert_int_equal(f.list.seen[j + 1].type, j);
			assert_int_equal(f.list.seen[j + 1].sequence,
					 item[j].position / LOG_ALIGN);
			assert_reads(&f, item[j].position, 60 + j, 10 * j + 3);
		}
		end(&f);
	}
}

static void test_group_is_not_parted_by_a_segments_end(void **state)
{
	struct log_item item[GROUP];
	struct fixture f;
	uint64_t bytes;
	size_t j;

	(void)state;
	begin_log(&f, NULL);
	append_group(&f, 1, item);
	bytes = log_items_bytes(item, GROUP);
	(void)fill_up_to(&f, 9, bytes - LOG_ALIGN);
	append_group(&f, 20, item);
	for (j = 0; j < GROUP; j++) {
		assert_int_equal(item[j].position / SEGMENT, 1);
		assert_reads(&f, item[j].position, 20 + j, 10 * j + 3);
	}
	end(&f);
}

/* ---- the ends of segments ---- */

static void test_segment_full_to_the_brim_is_followed_by_the_next(void **state)
{
	static const uint64_t left[] = { 24, 32, 40, 48 };
	struct fixture f;
	uint64_t first, last, next;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		begin_log(&f, NULL);
		first = append(&f, 1, 10);
		last = fill_up_to(&f, 2, left[i]);
		next = append(&f, 3, 20);
		assert_int_equal(next, SEGMENT + LOG_SEGMENT_HEADER_BYTES);
		reopen_log(&f, 0);
		assert_int_equal(f.list.n, 3);
		assert_int_equal(f.list.seen[0].position, first);
		assert_int_equal(f.list.seen[1].position, last);
		assert_seen(&f.list.seen[2], next, 3, 20);
		assert_int_equal(f.found.bytes_dropped, 0);
		end(&f);
	}
}

/* What stands before the place where replay begins is read to its end all the same. */
static void test_segment_full_to_the_brim_is_scanned_when_not_replayed(void **state)
{
	static const uint64_t left[] = { 24, 32, 40, 48 };
	struct fixture f;
	uint64_t next;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		begin_log(&f, NULL);
		(void)append(&f, 1, 10);
		(void)fill_up_to(&f, 2, left[i]);
		next = append(&f, 3, 20);
		reopen_log(&f, next);
		assert_int_equal(f.list.n, 1);
		f.list.n = 0;
		assert_int_equal(log_scan(f.log, 0, add_seen, &f.list, &f.why), 0);
		assert_int_equal(f.list.n, 2);
		end(&f);
	}
}

/* ---- huge records ---- */

static void test_huge_record_has_a_segment_of_its_own(void **state)
{
	struct fixture f;
	uint64_t before, huge, after;
	size_t h;

	(void)state;
	for (h = 0; h < HOMES; h++) {
		begin_log(&f, homes[h]);
		before = append(&f, 1, 100);
		huge = append(&f, 2, 3 * SEGMENT);
		after = append(&f, 3, 100);
		assert_int_equal(huge % SEGMENT, LOG_SEGMENT_HEADER_BYTES);
		assert_int_equal(after / SEGMENT, huge / SEGMENT + 4);
		assert_reads(&f, huge, 2, 3 * SEGMENT);
		reopen_log(&f, 0);
		assert_int_equal(f.list.n, 3);
		assert_seen(&f.list.seen[0], before, 1, 100);
		assert_seen(&f.list.seen[1], huge, 2, 3 * SEGMENT);
		assert_seen(&f.list.seen[2], after, 3, 100);
		assert_reads(&f, huge, 2, 3 * SEGMENT);
		f.list.n = 0;
		assert_int_equal(log_scan(f.log, huge / SEGMENT, add_seen, &f.list, NULL),
				 0);
		assert_int_equal(f.list.n, 1);
		reopen_log(&f, after);
		assert_int_equal(f.list.n, 1);
		end(&f);
	}
}

/* A huge record's segment is made for it alone: small ones in between find their own. */
static void test_huge_segment_is_for_its_record_alone(void **state)
{
	struct fixture f;
	uint64_t small, huge, again;

	(void)state;
	begin_log(&f, NULL);
	small = append(&f, 1, 100);
	assert_int_equal(log_wait_room(f.log, log_record_bytes(3 * SEGMENT), 0), 0);
	again = append(&f, 2, 100);
	assert_int_equal(again / SEGMENT, small / SEGMENT);
	assert_int_equal(try_append(f.log, 3, 3 * SEGMENT, LOG_NOWAIT, &huge), 0);
	assert_int_equal(append(&f, 4, 0) / SEGMENT, huge / SEGMENT + 4);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, 4);
	reopen_log(&f, again);
	assert_int_equal(f.list.n, 3);
	end(&f);
}

/* Where blocks can't be asked for, zeros are written: no byte more than the file has. */
static void test_huge_record_is_kept_where_blocks_cannot_be_allocated(void **state)
{
	struct fixture f;
	uint64_t huge;

	(void)state;
	begin_log(&f, &(struct env_sim_config){ .seed = 6, .no_allocate = true });
	(void)append(&f, 1, 100);
	huge = append(&f, 2, 2 * SEGMENT);
	(void)append(&f, 3, 100);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, 3);
	assert_reads(&f, huge, 2, 2 * SEGMENT);
	end(&f);
}

static void test_huge_segment_is_unlinked_when_reclaimed(void **state)
{
	struct fixture f;
	uint64_t huge;

	(void)state;
	begin_log(&f, NULL);
	huge = append(&f, 2, 2 * SEGMENT);
	(void)append(&f, 3, 10);
	assert_int_equal(log_retire(f.log, huge / SEGMENT), 0);
	assert_int_equal(log_reclaim(f.log, huge / SEGMENT), 0);
	assert_int_equal(count_files(&f, ".spare"), 0);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, 1);
	end(&f);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_records_of_all_sizes_read_back),
		TEST(test_payload_is_its_parts_in_order),
		TEST(test_sequence_follows_the_position_when_asked),
		TEST(test_items_that_cannot_be_written_are_refused),
		TEST(test_positions_that_lead_nowhere_are_errors),
		TEST(test_group_is_read_record_by_record),
		TEST(test_group_is_not_parted_by_a_segments_end),
		TEST(test_segment_full_to_the_brim_is_followed_by_the_next),
		TEST(test_segment_full_to_the_brim_is_scanned_when_not_replayed),
		TEST(test_huge_record_has_a_segment_of_its_own),
		TEST(test_huge_segment_is_for_its_record_alone),
		TEST(test_huge_record_is_kept_where_blocks_cannot_be_allocated),
		TEST(test_huge_segment_is_unlinked_when_reclaimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
