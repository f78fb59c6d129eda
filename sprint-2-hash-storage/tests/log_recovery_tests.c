/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_recovery_tests.c - what opening makes of a log on disk: torn tails are cut and
 * counted, corruption of what was durable is refused, every crash leaves a prefix.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "log_fixture.h"

/* ---- where replay begins ---- */

static void test_open_from_a_position_gives_what_is_at_or_behind_it(void **state)
{
	enum { N = 20, LEN = 11000 };
	uint64_t position[N];
	struct fixture f;
	size_t i, j;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < N; i++)
		position[i] = append(&f, i, LEN);
	for (i = 0; i < N; i++) {
		reopen_log(&f, position[i]);
		assert_int_equal(f.list.n, N - i);
		for (j = i; j < N; j++)
			assert_seen(&f.list.seen[j - i], position[j], j, LEN);
		for (j = 0; j < N; j++)
			assert_reads(&f, position[j], j, LEN);
	}
	reopen_log(&f, log_end(f.log));
	assert_int_equal(f.list.n, 0);
	end(&f);
}

/* A huge segment takes several numbers; a position near its end is of a later one than the
 * file's name says. */
static void test_open_from_the_end_of_a_huge_segment(void **state)
{
	struct env_sim *sim;
	struct fixture f;
	uint64_t from;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100000);
	from = log_end(f.log);
	assert_true(from / SEGMENT > 0);
	sim = f.sim;
	use_sim(&f, env_sim_crash(sim,
				  &(struct env_sim_point){ env_sim_position(sim),
							   SIM_LOSE_NONE, 0 },
				  false));
	assert_int_equal(log_close(f.log), 0);
	env_sim_free(sim);
	open_log(&f, from);
	assert_int_equal(f.list.n, 0);
	/* Looked at, and ended: not a segment that breaks off. */
	assert_int_equal(log_scan(f.log, 0, add_seen, &f.list, &f.why), 0);
	assert_int_equal(f.list.n, 1);
	end(&f);
}

struct looking_ahead {
	struct fixture *f;
	uint64_t last;
	size_t records;
};

static int look_ahead(void *arg, const struct log_record *r)
{
	struct looking_ahead *l = arg;
	struct seen s;

	(void)r;
	l->records++;
	return read_crc(l->f->log, l->last, true, &s);
}

/* As an owner does whose checkpoint was taken while appends went on. */
static void test_replay_may_read_records_of_later_segments(void **state)
{
	struct fixture f;
	struct looking_ahead l = { .f = &f };
	uint64_t i;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 10; i++)
		l.last = append(&f, i, 20000);
	assert_true(l.last / SEGMENT >= 2);
	close_log(&f);
	assert_int_equal(log_open(&f.config, 0, look_ahead, &l, &f.found, &f.log, &f.why),
			 0);
	assert_int_equal(l.records, 10);
	end(&f);
}

/* A crash while a huge segment was made leaves a spare that is longer than others. */
static void test_long_spare_becomes_an_ordinary_segment(void **state)
{
	struct file *file = NULL;
	struct fixture f;

	(void)state;
	begin(&f, NULL);
	assert_int_equal(env_open(f.env, "log/000000000000.spare",
				  ENV_READ | ENV_WRITE | ENV_CREATE, &file),
			 0);
	assert_int_equal(file->ops->truncate(file, SEGMENT + 5000), 0);
	file_close(file);
	create_log(&f);
	(void)append(&f, 1, 10);
	assert_int_equal(stat_of(f.log, "log_segments_recycled"), 1);
	(void)append(&f, 2, SEGMENT_ROOM - LOG_HEADER_BYTES);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, 2);
	end(&f);
}

/* The owner knew a position that the log has not reached: what led there is lost. */
static void test_log_that_ends_before_the_position_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 10);
	close_log(&f);
	assert_int_equal(try_open(&f, SEGMENT + LOG_SEGMENT_HEADER_BYTES + 8), -EBADMSG);
	assert_non_null(strstr(f.why.text, "ends before 000000000001.log"));
	assert_int_equal(try_open(&f, 9 * SEGMENT), -EBADMSG);
	assert_non_null(strstr(f.why.text, "ends before 000000000009.log"));
	/* Where the next record will come is no such place. */
	open_log(&f, SEGMENT + LOG_SEGMENT_HEADER_BYTES);
	assert_int_equal(f.list.n, 0);
	end(&f);
}

static void test_callback_ends_the_opening(void **state)
{
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 10);
	(void)append(&f, 2, 10);
	close_log(&f);
	f.list.refuse = -ENOMEM;
	f.list.refuse_at = 1;
	assert_int_equal(try_open(&f, 0), -ENOMEM);
	assert_int_equal(f.list.n, 1);
	assert_non_null(strstr(f.why.text, "log/000000000000.log: offset 104"));
	assert_null(f.log);
	f.list.refuse = 0;
	open_log(&f, 0);
	assert_int_equal(f.list.n, 2);
	end(&f);
}

static void test_closed_log_opens_without_loss_again_and_again(void **state)
{
	struct fixture f;
	uint64_t i;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 30; i++) {
		(void)append(&f, i, 5000);
		reopen_log(&f, 0);
		assert_int_equal(f.list.n, i + 1);
		assert_int_equal(f.found.records, i + 1);
		assert_int_equal(f.found.bytes, (i + 1) * log_record_bytes(5000));
		assert_int_equal(f.found.bytes_dropped, 0);
		assert_int_equal(f.found.why.text[0], '\0');
	}
	end(&f);
}

/* ---- torn tails ---- */

/* Records 0 .. N - 1; those below synced are durable. The process dies. */
enum { N = 10, LEN = 1000 };

static void die_with(struct fixture *f, struct fixture *after, uint64_t position[N],
		     size_t synced)
{
	size_t i;

	begin_log(f, &(struct env_sim_config){ .seed = 9 });
	for (i = 0; i < N; i++) {
		position[i] = append(f, i, LEN);
		if (i + 1 == synced)
			assert_int_equal(log_sync(f->log, position[i]), 0);
	}
	kill_process(f, after);
}

static void test_torn_tail_is_cut_and_its_bytes_are_counted(void **state)
{
	struct fixture f, after;
	uint64_t position[N];
	size_t torn, i;

	(void)state;
	for (torn = 4; torn < N; torn++) {
		die_with(&f, &after, position, 4);
		flip(&after, position[torn] + 300, 1);
		open_log(&after, 0);
		assert_int_equal(after.list.n, torn);
		assert_int_equal(after.found.bytes_dropped,
				 (N - torn) * log_record_bytes(LEN));
		assert_non_null(strstr(after.found.why.text, "log/000000000000.log"));
		assert_non_null(strstr(after.found.why.text, "CRC"));
		/* What is written now is not mixed with what was cut. */
		i = append(&after, 77, LEN);
		reopen_log(&after, 0);
		assert_int_equal(after.found.bytes_dropped, 0);
		assert_int_equal(after.list.n, torn + 1);
		assert_seen(&after.list.seen[torn], i, 77, LEN);
		end(&after);
		end(&f);
	}
}

/* The header of the first torn record is gone, so nobody knows its length. */
static void test_tail_without_a_header_is_counted_to_its_last_record(void **state)
{
	static const uint8_t zeros[LOG_HEADER_BYTES];
	struct fixture f, after;
	uint64_t position[N];

	(void)state;
	die_with(&f, &after, position, 4);
	write_file(&after, 0, position[6], zeros, sizeof(zeros));
	open_log(&after, 0);
	assert_int_equal(after.list.n, 6);
	assert_int_equal(after.found.bytes_dropped, 4 * log_record_bytes(LEN));
	end(&after);
	end(&f);
}

static void test_torn_group_is_dropped_whole(void **state)
{
	enum { STEPS = 6 };
	struct kv_slice part = kv_str("one step of a batch");
	struct log_item item[STEPS];
	struct fixture f, after;
	uint64_t i, first;

	(void)state;
	for (i = 0; i < STEPS; i++)
		item[i] = (struct log_item){ .sequence = LOG_SEQUENCE_POSITION,
					     .part = &part,
					     .parts = 1 };
	begin_log(&f, NULL);
	(void)append(&f, 1, 10);
	first = log_end(f.log);
	assert_int_equal(log_append(f.log, item, STEPS, 0), 0);
	/* Any byte of it, header and padding too: padding is in no CRC of the steps, but in
	 * that of the group. */
	for (i = first; i < log_end(f.log); i += 5) {
		kill_process(&f, &after);
		flip(&after, i, 0x80);
		open_log(&after, 0);
		assert_int_equal(after.list.n, 1);
		end(&after);
	}
	end(&f);
}

/* The segment's end mark never came out, the next segment's records did. */
static void test_torn_tail_reaches_over_segments(void **state)
{
	static const uint8_t zeros[LOG_HEADER_BYTES];
	struct fixture f, after;
	uint64_t i, last = 0;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 12; i++)
		last = append(&f, i, 10000);
	assert_int_equal(last / SEGMENT, 1);
	kill_process(&f, &after);
	write_file(&after, 0, 64 + 6 * log_record_bytes(10000), zeros, sizeof(zeros));
	open_log(&after, 0);
	assert_int_equal(after.list.n, 6);
	assert_int_equal(after.found.bytes_dropped, 6 * log_record_bytes(10000));
	(void)append(&after, 50, 100);
	reopen_log(&after, 0);
	assert_int_equal(after.list.n, 7);
	assert_int_equal(after.found.bytes_dropped, 0);
	end(&after);
	end(&f);
}

/* ---- corruption ---- */

static void assert_refused(struct fixture *f, uint64_t offset)
{
	char at[64];

	(void)snprintf(at, sizeof(at),
		       "log/000000000000.log: offset %llu: ", (unsigned long long)offset);
	assert_int_equal(try_open(f, 0), -EBADMSG);
	assert_null(f->log);
	if (!strstr(f->why.text, at) || !strstr(f->why.text, "corruption"))
		fail_msg("wanted \"%s...corruption\", came: %s", at, f->why.text);
}

static void test_damage_below_a_later_promise_is_corruption(void **state)
{
	struct fixture f, after;
	uint64_t position[N];
	size_t i, at;

	(void)state;
	for (i = 0; i < 4; i++)
		for (at = 0; at < log_record_bytes(LEN); at += 37) {
			/* Records 4 .. were written when 0 .. 3 were durable. */
			die_with(&f, &after, position, 4);
			flip(&after, position[i] + at, 0x04);
			assert_refused(&after, position[i]);
			/* Nothing was changed by trying. */
			flip(&after, position[i] + at, 0x04);
			open_log(&after, 0);
			assert_int_equal(after.list.n, N);
			end(&after);
			end(&f);
		}
}

/* A closed log was durable to its end: its end mark says so. */
static void test_damage_in_the_last_record_of_a_closed_log_is_corruption(void **state)
{
	struct fixture f;
	uint64_t last;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	last = append(&f, 2, 100);
	close_log(&f);
	flip(&f, last + 50, 0x01);
	assert_refused(&f, last);
	flip(&f, last + 50, 0x01);
	open_log(&f, 0);
	assert_int_equal(f.list.n, 2);
	end(&f);
}

static void test_damage_in_what_recovery_kept_is_corruption(void **state)
{
	struct fixture f, after;
	uint64_t position[N];

	(void)state;
	die_with(&f, &after, position, 0);
	open_log(&after, 0);
	assert_int_equal(after.list.n, N);
	close_log(&after);
	flip(&after, position[N - 1] + 50, 0x01);
	assert_refused(&after, position[N - 1]);
	end(&after);
	end(&f);
}

static void test_damage_in_the_last_record_of_a_copy_is_corruption(void **state)
{
	struct log_segment s = { .number = 0, .begin = LOG_SEGMENT_HEADER_BYTES };
	struct fixture f, copy;
	uint64_t last;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 100);
	last = append(&f, 2, 100);
	s.end = log_end(f.log);
	assert_int_equal(f.env->ops->mkdir(f.env, "copy"), 0);
	assert_int_equal(log_copy(f.log, &s, "copy"), 0);
	assert_int_equal(env_sim_flip(f.sim, "copy/000000000000.log", last + 50, 0x01),
			 0);
	copy = f;
	copy.config.dir = "copy";
	assert_int_equal(try_open(&copy, 0), -EBADMSG);
	end(&f);
}

/* Without its end mark a segment goes on to the next only when it is full to the brim; a
 * file that was cut at the end of a record is not. */
static void test_segment_cut_short_between_records_is_corruption(void **state)
{
	struct fixture f;
	uint64_t i, left;

	(void)state;
	for (left = 0; left < LOG_HEADER_BYTES; left += LOG_ALIGN) {
		begin_log(&f, NULL);
		for (i = 0; i < 12; i++)
			assert_int_equal(log_sync(f.log, append(&f, i, 10000)), 0);
		close_log(&f);
		truncate_file(&f, 0, 64 + 4 * log_record_bytes(10000) + left);
		assert_refused(&f, 64 + 4 * log_record_bytes(10000));
		end(&f);
	}
}

static void test_huge_segment_cut_short_is_corruption(void **state)
{
	static const uint64_t size[] = {
		64, 72, 1000, SEGMENT, SEGMENT + 8, 2 * SEGMENT
	};
	struct fixture f;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		begin_log(&f, NULL);
		(void)append(&f, 1, 2 * SEGMENT);
		assert_int_equal(log_sync(f.log, append(&f, 2, 10)), 0);
		close_log(&f);
		truncate_file(&f, 0, size[i]);
		assert_int_equal(try_open(&f, 0), -EBADMSG);
		end(&f);
	}
}

/* The padding of the last record would lie behind the end of the file. */
static void test_file_that_ends_within_padding_is_not_overrun(void **state)
{
	struct fixture f;
	uint64_t last;
	int map;

	(void)state;
	for (map = 0; map < 2; map++) {
		begin(&f, NULL);
		f.config.map = map;
		create_log(&f);
		(void)append(&f, 1, 64);
		last = append(&f, 2, 1);
		close_log(&f);
		truncate_file(&f, 0, last + LOG_HEADER_BYTES + 1);
		open_log(&f, 0);
		assert_int_equal(f.list.n, 1);
		(void)append(&f, 3, 1);
		reopen_log(&f, 0);
		assert_int_equal(f.list.n, 2);
		end(&f);
	}
}

/* ---- every crash ---- */

struct history {
	struct fixture *f;
	uint64_t position[64];
	size_t acked[64]; /* crash points from which on a record must be there */
	size_t n;
};

static size_t length_of(size_t i)
{
	static const size_t len[] = { 700, 0, 23000, 100, 31, 9000, 512, 40000 };

	return i == 17 ? SEGMENT + 5000 : len[i % 8];
}

static int check_disk(void *arg, struct env_sim *disk, size_t at)
{
	const struct history *h = arg;
	struct fixture f = { .config = h->f->config };
	size_t i, n;

	use_sim(&f, disk);
	if (try_open(&f, 0)) {
		print_message("%s\n", f.why.text);
		return -1;
	}
	n = f.list.n;
	for (i = 0; i < h->n; i++)
		if (h->acked[i] <= at && i >= n) {
			print_message("record %zu is lost\n", i);
			(void)log_close(f.log);
			return -1;
		}
	for (i = 0; i < n; i++)
		assert_seen(&f.list.seen[i], h->position[i], i, length_of(i));
	(void)append(&f, 5000, 123);
	if (log_close(f.log))
		return -1;
	if (try_open(&f, 0))
		return -1;
	if (f.list.n != n + 1 || f.found.bytes_dropped)
		print_message("%zu records became %zu\n", n + 1, f.list.n);
	n -= f.list.n - 1;
	return log_close(f.log) ? -1 : (int)n;
}

/* every: only one crash point in so many, and fewer where machine code is interpreted. */
static void explore(const struct env_sim_config *c, unsigned int spares, size_t every)
{
	struct history h = { .n = 0 };
	struct env_sim_explore e = {
		.every = every * (1 + test_scale() / 10),
		.samples = 4,
		.exhaustive = 64,
		.check = check_disk,
	};
	struct fixture f;
	size_t i, j;

	begin(&f, c);
	f.config.spares = spares;
	f.config.reserve = spares / 2;
	e.from = env_sim_position(f.sim);
	create_log(&f);
	h.f = &f;
	e.arg = &h;
	for (i = 0; i < 24; i++) {
		h.position[h.n] = append(&f, i, length_of(i));
		h.acked[h.n++] = SIZE_MAX;
		if (i % 3 == 2) {
			assert_int_equal(log_sync(f.log, h.position[i]), 0);
			for (j = 0; j < h.n; j++)
				if (h.acked[j] == SIZE_MAX)
					h.acked[j] = env_sim_position(f.sim);
		}
	}
	close_log(&f);
	for (j = 0; j < h.n; j++)
		if (h.acked[j] == SIZE_MAX)
			h.acked[j] = env_sim_position(f.sim);
	if (env_sim_explore(f.sim, &e))
		fail_msg("%s", e.failed);
	print_message("%llu disks\n", (unsigned long long)e.states);
	assert_true(e.states > 10);
	end(&f);
}

static void test_every_crash_leaves_a_prefix_with_all_that_was_synced(void **state)
{
	(void)state;
	explore(&(struct env_sim_config){ .seed = 11 }, 0, 1);
	explore(&(struct env_sim_config){ .seed = 12, .no_map = true }, 2, 1);
	explore(&(struct env_sim_config){ .seed = 13, .no_allocate = true }, 0, 3);
}

static int check_it_opens(void *arg, struct env_sim *disk, size_t at)
{
	struct fixture after = *(struct fixture *)arg;
	int error;

	(void)at;
	use_sim(&after, disk);
	error = try_open(&after, 0);
	if (error)
		print_message("%s: %s\n", env_sim_origin(disk), after.why.text);
	return error ? error : log_close(after.log);
}

/* A segment's file was renamed to be a spare, or was not, and the directory could not be
 * synced: on disk it may still have its old name, so nothing else may be written into it. */
static void lose_names(unsigned int call, bool reopen)
{
	struct env_sim_fault fault = { .calls = call, .nth = 1 };
	struct env_sim_explore e = { .samples = 4,
				     .exhaustive = 64,
				     .check = check_it_opens };
	struct fixture f;
	uint64_t i;

	begin_log(&f, NULL);
	for (i = 0; log_end(f.log) / SEGMENT < 2; i++)
		(void)append(&f, i, 9000);
	f.env->ops->sleep_ns(f.env, 1000000); /* the one ahead is made */
	assert_int_equal(log_sync(f.log, log_end(f.log)), 0);
	assert_int_equal(log_retire(f.log, 0), 0);
	env_sim_fault(f.sim, &fault);
	assert_int_equal(log_reclaim(f.log, 0), -EIO);
	env_sim_fault(f.sim, NULL);
	e.from = env_sim_position(f.sim);
	if (reopen)
		reopen_log(&f, 0);
	for (; log_end(f.log) / SEGMENT < 5; i++)
		(void)append(&f, i, 9000);
	close_log(&f);
	e.arg = &f;
	if (env_sim_explore(f.sim, &e))
		fail_msg("%s", e.failed);
	assert_true(e.states > 10);
	end(&f);
}

static void test_file_whose_old_name_may_come_back_is_not_written_over(void **state)
{
	(void)state;
	lose_names(1u << SIM_RENAME, false);
	lose_names(1u << SIM_SYNC_DIR, false);
	lose_names(1u << SIM_RENAME, true);
	lose_names(1u << SIM_SYNC_DIR, true);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open_from_a_position_gives_what_is_at_or_behind_it),
		TEST(test_open_from_the_end_of_a_huge_segment),
		TEST(test_replay_may_read_records_of_later_segments),
		TEST(test_long_spare_becomes_an_ordinary_segment),
		TEST(test_log_that_ends_before_the_position_is_refused),
		TEST(test_callback_ends_the_opening),
		TEST(test_closed_log_opens_without_loss_again_and_again),
		TEST(test_torn_tail_is_cut_and_its_bytes_are_counted),
		TEST(test_tail_without_a_header_is_counted_to_its_last_record),
		TEST(test_torn_group_is_dropped_whole),
		TEST(test_torn_tail_reaches_over_segments),
		TEST(test_damage_below_a_later_promise_is_corruption),
		TEST(test_damage_in_the_last_record_of_a_closed_log_is_corruption),
		TEST(test_damage_in_what_recovery_kept_is_corruption),
		TEST(test_damage_in_the_last_record_of_a_copy_is_corruption),
		TEST(test_segment_cut_short_between_records_is_corruption),
		TEST(test_huge_segment_cut_short_is_corruption),
		TEST(test_file_that_ends_within_padding_is_not_overrun),
		TEST(test_every_crash_leaves_a_prefix_with_all_that_was_synced),
		TEST(test_file_whose_old_name_may_come_back_is_not_written_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
