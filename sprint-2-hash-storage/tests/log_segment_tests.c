/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_segment_tests.c - segments that are listed, scanned, counted, copied, given up and
 * recycled; what a log refuses to be opened on; no memory, and calls that fail.
 */
#include "log_fixture.h"

static int count_segment(void *arg, const struct log_segment *s)
{
	(void)s;
	++*(size_t *)arg;
	return 0;
}

static size_t segments(struct fixture *f)
{
	size_t n = 0;

	assert_int_equal(log_segments(f->log, count_segment, &n), 0);
	return n;
}

struct wanted {
	uint64_t number;
	struct log_segment segment;
	bool found;
};

static int take_segment(void *arg, const struct log_segment *s)
{
	struct wanted *w = arg;

	if (s->number != w->number)
		return 0;
	w->segment = *s;
	w->found = true;
	return 1;
}

static struct log_segment segment_of(struct fixture *f, uint64_t number)
{
	struct wanted w = { .number = number };

	assert_int_equal(log_segments(f->log, take_segment, &w), 1);
	assert_true(w.found);
	return w.segment;
}

/* Records of LEN bytes in so many segments, the last not sealed; returns their number. */
enum { LEN = 10000, FIT = 6 };

static uint64_t fill_segments(struct fixture *f, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < (n - 1) * FIT + 1; i++)
		(void)append(f, i, LEN);
	return i;
}

/* ---- listing ---- */

static void test_segments_are_listed_oldest_first(void **state)
{
	struct log_segment s;
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	assert_int_equal(segments(&f), 0);
	(void)fill_segments(&f, 3);
	assert_int_equal(segments(&f), 3);
	s = segment_of(&f, 0);
	assert_true(s.sealed);
	assert_int_equal(s.units, 1);
	assert_int_equal(s.begin, LOG_SEGMENT_HEADER_BYTES);
	assert_int_equal(s.end, s.begin + FIT * log_record_bytes(LEN));
	assert_int_equal(s.file_bytes, SEGMENT);
	s = segment_of(&f, 2);
	assert_false(s.sealed);
	assert_int_equal(s.end, log_end(f.log));
	assert_int_equal(log_begin(f.log), LOG_SEGMENT_HEADER_BYTES);
	end(&f);
}

static void test_live_bytes_are_counted_and_never_below_zero(void **state)
{
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	(void)fill_segments(&f, 2);
	log_live(f.log, 64, 500);
	log_live(f.log, SEGMENT - 8, 25);
	log_live(f.log, SEGMENT + 64, 7);
	assert_int_equal(segment_of(&f, 0).live, 525);
	assert_int_equal(segment_of(&f, 1).live, 7);
	log_live(f.log, 64, -600);
	assert_int_equal(segment_of(&f, 0).live, 0);
	log_live(f.log, 64, 100);
	assert_int_equal(segment_of(&f, 0).live, 25);
	end(&f);
}

static void test_scan_gives_every_record_and_stops_when_told(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	begin_log(&f, NULL);
	(void)fill_segments(&f, 2);
	assert_int_equal(log_scan(f.log, 0, add_seen, &f.list, &f.why), 0);
	assert_int_equal(f.list.n, FIT);
	for (i = 0; i < FIT; i++)
		assert_seen(&f.list.seen[i], 64 + i * log_record_bytes(LEN), i, LEN);
	f.list = (struct seen_list){ .refuse = -EINTR, .refuse_at = 2 };
	assert_int_equal(log_scan(f.log, 0, add_seen, &f.list, &f.why), -EINTR);
	assert_int_equal(f.list.n, 2);
	assert_int_equal(log_scan(f.log, 77, add_seen, &f.list, &f.why), -ENOENT);
	end(&f);
}

static void test_scan_says_where_a_record_is_damaged(void **state)
{
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	(void)fill_segments(&f, 2);
	flip(&f, 64 + log_record_bytes(LEN) + 4000, 0x10);
	assert_int_equal(log_scan(f.log, 0, add_seen, &f.list, &f.why), -EBADMSG);
	assert_int_equal(f.list.n, 1);
	assert_non_null(strstr(f.why.text, "log/000000000000.log: offset 10088: CRC"));
	end(&f);
}

/* ---- giving up ---- */

static void test_only_a_sealed_segment_is_retired_and_once(void **state)
{
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	(void)fill_segments(&f, 3);
	assert_int_equal(log_retire(f.log, 2), -EBUSY);
	assert_int_equal(log_retire(f.log, 9), -ENOENT);
	assert_int_equal(log_reclaim(f.log, 0), -ENOENT);
	assert_int_equal(log_retire(f.log, 0), 0);
	assert_int_equal(log_retire(f.log, 0), -ENOENT);
	assert_int_equal(segments(&f), 2);
	assert_reads(&f, 64, 0, LEN); /* for readers who are still in it */
	assert_int_equal(log_reclaim(f.log, 0), 0);
	assert_int_equal(log_reclaim(f.log, 0), -ENOENT);
	assert_int_equal(log_begin(f.log), SEGMENT + LOG_SEGMENT_HEADER_BYTES);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, FIT + 1);
	assert_int_equal(log_begin(f.log), SEGMENT + LOG_SEGMENT_HEADER_BYTES);
	end(&f);
}

static void test_segment_in_the_middle_may_go_first(void **state)
{
	struct fixture f;
	uint64_t n;

	(void)state;
	begin_log(&f, NULL);
	n = fill_segments(&f, 4);
	assert_int_equal(log_retire(f.log, 1), 0);
	assert_int_equal(log_reclaim(f.log, 1), 0);
	assert_int_equal(log_begin(f.log), LOG_SEGMENT_HEADER_BYTES);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, n - FIT);
	assert_seen(&f.list.seen[FIT], 2 * SEGMENT + 64, 2 * FIT, LEN);
	assert_int_equal(log_retire(f.log, 0), 0);
	assert_int_equal(log_reclaim(f.log, 0), 0);
	assert_int_equal(log_begin(f.log), 2 * SEGMENT + LOG_SEGMENT_HEADER_BYTES);
	end(&f);
}

/* Files that nobody synced are not kept. */
static void sync_all(struct fixture *f)
{
	assert_int_equal(log_sync(f->log, log_end(f->log) - 1), 0);
}

static void test_files_are_recycled_and_stay_few(void **state)
{
	struct fixture f;
	uint64_t i, n;

	(void)state;
	begin_log(&f, NULL);
	for (n = 0, i = 0; i < 40 * FIT; i++) {
		(void)append(&f, i, LEN);
		while (log_end(f.log) / SEGMENT > n + 2) {
			sync_all(&f);
			assert_int_equal(log_retire(f.log, n), 0);
			assert_int_equal(log_reclaim(f.log, n), 0);
			n++;
		}
		assert_true(count_files(&f, ".spare") <= f.config.spares);
		assert_true(count_files(&f, ".log") <= 8);
	}
	assert_true(stat_of(f.log, "log_segments_recycled") > 30);
	assert_true(stat_of(f.log, "log_segments_created") < 12);
	end(&f);
}

static void give_up_all_but_last(struct fixture *f)
{
	uint64_t n, last = log_end(f->log) / SEGMENT;

	for (n = log_begin(f->log) / SEGMENT; n < last; n++) {
		assert_int_equal(log_retire(f->log, n), 0);
		assert_int_equal(log_reclaim(f->log, n), 0);
	}
}

static void test_as_many_spares_as_the_owner_says(void **state)
{
	enum { MANY = 20 };
	struct fixture f;
	uint64_t created;

	(void)state;
	begin_log(&f, NULL);
	assert_int_equal(log_keep_spares(f.log, MANY), 0);
	(void)fill_segments(&f, MANY);
	sync_all(&f);
	give_up_all_but_last(&f);
	assert_true(count_files(&f, ".spare") >= MANY / 2);
	created = stat_of(f.log, "log_segments_created");
	(void)fill_segments(&f, MANY / 2);
	assert_int_equal(stat_of(f.log, "log_segments_created"), created);
	sync_all(&f);
	give_up_all_but_last(&f);
	/* Fewer: what is more than that goes, at once and when segments are given up. */
	assert_true(log_keep_spares(f.log, 5) > 0);
	assert_true(count_files(&f, ".spare") <= 5);
	(void)fill_segments(&f, MANY);
	sync_all(&f);
	give_up_all_but_last(&f);
	assert_true(count_files(&f, ".spare") <= 5);
	(void)log_keep_spares(f.log, 0);
	assert_int_equal(count_files(&f, ".spare"), 0);
	/* And a closed log has no more than it was opened with. */
	(void)log_keep_spares(f.log, MANY);
	(void)fill_segments(&f, MANY);
	sync_all(&f);
	give_up_all_but_last(&f);
	assert_true(count_files(&f, ".spare") > f.config.spares);
	reopen_log(&f, 0);
	assert_true(count_files(&f, ".spare") <= f.config.spares);
	end(&f);
}

/* The reserve is what log_keep_spares() leaves; an owner who must can have of it as well, and the
 * next segment that is given up makes it whole again. */
static void test_spare_of_the_reserve_is_yielded(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, NULL);
	f.config.reserve = f.config.spares = 2;
	create_log(&f);
	(void)fill_segments(&f, 4);
	sync_all(&f);
	give_up_all_but_last(&f);
	assert_int_equal(count_files(&f, ".spare"), 2);
	assert_int_equal(log_keep_spares(f.log, 0), 0);
	assert_true(log_yield_spare(f.log));
	assert_int_equal(count_files(&f, ".spare"), 1);
	assert_true(log_yield_spare(f.log));
	assert_int_equal(count_files(&f, ".spare"), 0);
	assert_false(log_yield_spare(f.log));
	(void)fill_segments(&f, 4);
	sync_all(&f);
	give_up_all_but_last(&f);
	assert_int_equal(count_files(&f, ".spare"), 2);
	end(&f);
}

/* What the owner has otherwise need not reach the device, nor is its file kept. */
static void test_what_is_superseded_is_not_synced(void **state)
{
	struct fixture f;
	uint64_t before, position;

	(void)state;
	begin_log(&f, NULL);
	(void)log_keep_spares(f.log, 20);
	(void)fill_segments(&f, 6);
	before = log_synced(f.log);
	position = log_end(f.log);
	assert_int_equal(log_sync_from(f.log, position), 0);
	/* Not of those before: nothing is promised. */
	assert_int_equal(log_synced(f.log), before);
	assert_int_equal(stat_of(f.log, "log_syncs_done"), 1);
	log_supersede(f.log, position);
	assert_int_equal(log_synced(f.log), position);
	log_supersede(f.log, position - 8);
	assert_int_equal(log_synced(f.log), position);
	assert_int_equal(log_sync_from(f.log, position), 0);
	assert_int_equal(stat_of(f.log, "log_syncs_done"), 1);
	give_up_all_but_last(&f);
	assert_int_equal(count_files(&f, ".spare"), f.config.reserve);
	(void)append(&f, 0, LEN);
	sync_all(&f);
	reopen_log(&f, position);
	assert_int_equal(f.found.records, 1);
	end(&f);
}

/* Once the log's task has made the next segment. */
static uint64_t turn(struct fixture *f)
{
	uint64_t position;

	while (!log_turn(f->log, &position))
		f->env->ops->sleep_ns(f->env, 1000000);
	assert_int_equal(log_end(f->log), position);
	return position;
}

/* An owner who begins with a new segment has nothing synced and nothing kept of those before. */
static void test_turn_leaves_nothing_to_be_written(void **state)
{
	const uint64_t header = LOG_SEGMENT_HEADER_BYTES;
	struct fixture f;
	uint64_t position, end_of_it;

	(void)state;
	begin_log(&f, NULL);
	/* There is nothing to turn away from. */
	assert_false(log_turn(f.log, &position));
	(void)log_keep_spares(f.log, 20);
	(void)fill_segments(&f, 3);
	position = turn(&f);
	assert_int_equal(position % f.config.segment_bytes, header);
	/* Nothing is in it: another turn changes nothing. */
	assert_false(log_turn(f.log, &end_of_it));
	assert_int_equal(end_of_it, position);
	assert_int_equal(append(&f, 0, LEN), position);
	assert_int_equal(log_sync_from(f.log, position), 0);
	assert_int_equal(stat_of(f.log, "log_syncs_done"), 0);
	log_supersede(f.log, position);
	give_up_all_but_last(&f);
	assert_int_equal(count_files(&f, ".spare"), f.config.reserve);
	reopen_log(&f, position);
	assert_int_equal(f.found.records, 1);
	end(&f);
}

/* Where syncs are asked for the segment is filled: its file is durable anyhow. */
static void test_turn_stays_in_a_segment_that_was_synced(void **state)
{
	struct fixture f;
	uint64_t before, position;

	(void)state;
	begin_log(&f, NULL);
	(void)fill_segments(&f, 2);
	sync_all(&f);
	before = log_end(f.log);
	assert_false(log_turn(f.log, &position));
	assert_int_equal(append(&f, 0, LEN), before);
	end(&f);
}

/* What a recycled file held before is never taken for new, not even where the new records
 * end exactly where old ones began. */
static void test_recycled_bytes_are_not_read_again(void **state)
{
	struct fixture f, after;
	uint64_t n, last;

	(void)state;
	begin_log(&f, NULL);
	(void)fill_segments(&f, 2);
	sync_all(&f);
	assert_int_equal(log_retire(f.log, 0), 0);
	assert_int_equal(log_reclaim(f.log, 0), 0);
	for (n = 0; stat_of(f.log, "log_segments_recycled") < 1; n++)
		(void)append(&f, 100 + n, LEN);
	while (log_end(f.log) % SEGMENT > SEGMENT - 2 * log_record_bytes(LEN))
		(void)append(&f, 100 + n++, LEN);
	last = append(&f, 999, LEN);
	kill_process(&f, &after);
	open_log(&after, 0);
	assert_int_equal(after.list.seen[after.list.n - 1].position, last);
	assert_int_equal(after.found.bytes_dropped, 0);
	end(&after);
	end(&f);
}

/* A file that could not be given up is still there when the log is next opened: until then
 * nothing older is gone, and log_begin() does not say so. */
static void test_segment_that_cannot_be_given_up_is_not_passed(void **state)
{
	struct env_sim_fault fault = { .nth = 1 };
	const unsigned int calls[] = { 1u << SIM_RENAME, 1u << SIM_SYNC_DIR };
	struct fixture f;
	uint64_t n;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin_log(&f, NULL);
		n = fill_segments(&f, 4);
		f.env->ops->sleep_ns(f.env, 1000000); /* the one ahead is made */
		sync_all(&f);
		assert_int_equal(log_retire(f.log, 0), 0);
		fault.calls = calls[i];
		env_sim_fault(f.sim, &fault);
		assert_int_equal(log_reclaim(f.log, 0), -EIO);
		assert_true(env_sim_fault_fired(f.sim));
		env_sim_fault(f.sim, NULL);
		assert_int_equal(log_retire(f.log, 1), 0);
		assert_int_equal(log_reclaim(f.log, 1), 0);
		assert_int_equal(log_begin(f.log), LOG_SEGMENT_HEADER_BYTES);
		(void)append(&f, n, LEN);
		reopen_log(&f, 0);
		assert_seen(&f.list.seen[f.list.n - 1],
			    f.list.seen[f.list.n - 1].position, n, LEN);
		end(&f);
	}
}

/* ---- copies ---- */

static void test_copy_is_a_log_of_its_own(void **state)
{
	struct log_segment one, two;
	struct fixture f, copy;
	uint64_t n;

	(void)state;
	begin_log(&f, NULL);
	n = fill_segments(&f, 2);
	one = segment_of(&f, 0);
	two = segment_of(&f, 1);
	(void)append(&f, 900, 100); /* behind the copy's end */
	assert_int_equal(f.env->ops->mkdir(f.env, "copy"), 0);
	assert_int_equal(log_copy(f.log, &one, "copy"), 0);
	assert_int_equal(log_copy(f.log, &two, "copy"), 0);
	assert_int_equal(log_copy(f.log, &two, "copy"), -EEXIST);
	one.number = 9;
	assert_int_equal(log_copy(f.log, &one, "copy"), -ENOENT);
	copy = f;
	copy.config.dir = "copy";
	open_log(&copy, 0);
	assert_int_equal(copy.list.n, n);
	assert_int_equal(copy.found.bytes_dropped, 0);
	(void)append(&copy, 901, 100);
	close_log(&copy);
	end(&f);
}

/* ---- opening what is not ours ---- */

static void test_configurations_that_cannot_be_are_refused(void **state)
{
	static const uint64_t bytes[] = { 0, 1 << 15, 3 << 16, 1ull << 33 };
	static char dir[ENV_PATH_MAX + 1];
	struct fixture f;
	size_t i;

	(void)state;
	begin(&f, NULL);
	for (i = 0; i < 4; i++) {
		f.config.segment_bytes = bytes[i];
		assert_int_equal(log_create(&f.config, &f.log, &f.why), -EINVAL);
		assert_non_null(strstr(f.why.text, "power of two"));
	}
	f.config.segment_bytes = SEGMENT;
	memset(dir, 'd', ENV_PATH_MAX);
	f.config.dir = dir;
	assert_int_equal(log_create(&f.config, &f.log, &f.why), -ENAMETOOLONG);
	f.config.dir = "nowhere";
	assert_int_equal(log_create(&f.config, &f.log, &f.why), -ENOENT);
	assert_int_equal(try_open(&f, 0), -ENOENT);
	assert_null(f.log);
	end(&f);
}

static void test_create_does_not_touch_a_log_that_is_there(void **state)
{
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 10);
	close_log(&f);
	assert_int_equal(log_create(&f.config, &f.log, &f.why), -EEXIST);
	f.log = NULL;
	open_log(&f, 0);
	assert_int_equal(f.list.n, 1);
	end(&f);
}

static void test_log_of_another_store_or_size_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 10);
	close_log(&f);
	f.config.store_id++;
	assert_int_equal(try_open(&f, 0), -EBADMSG);
	assert_non_null(strstr(f.why.text, "not this log's file"));
	f.config.store_id--;
	f.config.segment_bytes *= 2;
	assert_int_equal(try_open(&f, 0), -EBADMSG);
	f.config.segment_bytes /= 2;
	open_log(&f, 0);
	assert_int_equal(f.list.n, 1);
	end(&f);
}

static void test_name_beyond_all_numbers_is_refused(void **state)
{
	struct file *file;
	struct fixture f;
	uint8_t header[LOG_SEGMENT_HEADER_BYTES];
	const struct log_segment_header h = { .major = LOG_MAJOR,
					      .units = 1,
					      .store_id = STORE_ID,
					      .number = (1ull << 48) - 1,
					      .segment_bytes = SEGMENT };

	(void)state;
	begin(&f, NULL);
	log_segment_header_encode(&h, header);
	assert_int_equal(
		env_open(f.env, "log/ffffffffffff.log", ENV_WRITE | ENV_CREATE, &file),
		0);
	assert_int_equal(file_write(file, 0, header, sizeof(header)), 0);
	file_close(file);
	assert_int_equal(try_open(&f, 0), -EFBIG);
	assert_non_null(strstr(f.why.text, "ffffffffffff"));
	end(&f);
}

/* ---- positions at their end ---- */

/* Three segments are left, of which a large record takes two. */
static void test_log_whose_positions_are_used_up_refuses_and_can_be_read(void **state)
{
	static const uint64_t last = LOG_POSITION_MAX / SEGMENT;
	uint64_t position[2] = { 0 }, n = 0;
	struct fixture f;
	unsigned int turn;

	(void)state;
	begin(&f, NULL);
	f.config.first = last - 3;
	create_log(&f);
	position[0] = append(&f, 0, SEGMENT);
	assert_int_equal(position[0] / SEGMENT, last - 3);
	while (!try_append(f.log, n + 1, 8000, 0, &position[1]))
		n++;
	assert_true(n >= SEGMENT_ROOM / 8100);
	for (turn = 0; turn < 3; turn++) { /* also after opening anew */
		assert_int_equal(try_append(f.log, 1, 8000, 0, NULL), -EFBIG);
		assert_int_equal(try_append(f.log, 1, SEGMENT, 0, NULL), -EFBIG);
		assert_int_equal(try_append(f.log, 1, 8000, LOG_URGENT | LOG_LAST, NULL),
				 -EFBIG);
		assert_int_equal(log_wait_room(f.log, 8024, 0), -EFBIG);
		assert_int_equal(stat_of(f.log, "log_failed"), 0);
		assert_int_equal(log_sync(f.log, log_end(f.log) - 1), 0);
		assert_reads(&f, position[0], 0, SEGMENT);
		reopen_log(&f, 0);
		assert_int_equal(f.list.n, n + 1);
	}
	assert_int_equal(count_files(&f, ".log"), 2);
	end(&f);
}

static void test_owner_may_end_positions_earlier(void **state)
{
	struct fixture f;
	uint64_t n = 0;

	(void)state;
	begin(&f, NULL);
	f.config.position_max = 4 * SEGMENT;
	create_log(&f);
	while (!try_append(f.log, n, 8000, 0, NULL))
		n++;
	assert_int_equal(try_append(f.log, n, 8000, 0, NULL), -EFBIG);
	assert_int_equal(log_end(f.log) / SEGMENT, 3);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, n);
	f.config.position_max = 5 * SEGMENT;
	reopen_log(&f, 0);
	(void)append(&f, n, 8000);
	end(&f);
}

/* Numbers that fall on one place of the table of segments, a whole circle apart. */
static void test_numbers_a_circle_apart_are_told_apart(void **state)
{
	static const uint64_t circle = 1 << 24;
	uint64_t position[40], i;
	struct fixture f;
	struct seen s;

	(void)state;
	begin(&f, NULL);
	f.config.first = circle - 3;
	create_log(&f);
	for (i = 0; i < 40; i++)
		position[i] = append(&f, i, 8000);
	assert_true(log_end(f.log) / SEGMENT > circle);
	for (i = 0; i < 40; i++) {
		uint64_t behind = position[i] + circle * SEGMENT;
		uint64_t before = position[i] - circle * SEGMENT;

		assert_reads(&f, position[i], i, 8000);
		assert_int_equal(read_crc(f.log, behind, true, &s), -ENOENT);
		assert_int_equal(read_crc(f.log, before, true, &s), -ENOENT);
	}
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, 40);
	for (i = 0; i < 40; i++)
		assert_reads(&f, position[i], i, 8000);
	end(&f);
}

static void test_files_of_other_names_are_left_alone(void **state)
{
	static const char *const other[] = { "log/00000000000.log", "log/x.log",
					     "log/00000000000G.log",
					     "log/000000000000.log.old", "log/INDEX" };
	struct file *file;
	struct fixture f;
	size_t i;

	(void)state;
	begin_log(&f, NULL);
	(void)append(&f, 1, 10);
	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		assert_int_equal(env_open(f.env, other[i], ENV_WRITE | ENV_CREATE, &file),
				 0);
		file_close(file);
	}
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, 1);
	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		assert_int_equal(env_open(f.env, other[i], ENV_READ, &file), 0);
		file_close(file);
	}
	end(&f);
}

/* ---- failures ---- */

/* Everything once, with the nth allocation or call failing. 0 or what failed. */
static int run_all(struct fixture *f)
{
	uint64_t position = 0, i;
	int error = try_open(f, 0), closed;

	if (error)
		return error;
	for (i = 0; !error && i < 8; i++)
		error = try_append(f->log, i, LEN, 0, &position);
	if (!error)
		error = try_append(f->log, i, SEGMENT, 0, &position);
	if (!error)
		error = log_sync(f->log, position);
	f->list.n = 0;
	if (!error)
		error = log_scan(f->log, position / SEGMENT, add_seen, &f->list, NULL);
	if (!error)
		error = log_retire(f->log, log_begin(f->log) / SEGMENT);
	if (!error)
		error = log_reclaim(f->log, log_begin(f->log) / SEGMENT);
	closed = log_close(f->log);
	f->log = NULL;
	return error ? error : closed;
}

static void begin_with_records(struct fixture *f, bool map)
{
	begin(f, &(struct env_sim_config){ .seed = 8, .no_journal = true });
	f->config.map = map;
	f->config.reserve = 1;
	create_log(f);
	(void)fill_segments(f, 2);
	close_log(f);
}

static void test_no_memory_at_any_allocation_is_an_error_and_no_leak(void **state)
{
	struct fixture f;
	uint64_t nth;
	bool fired = true;
	int map;

	(void)state;
	for (map = 0; map < 2; map++, fired = true)
		for (nth = 1; fired; nth++) {
			begin_with_records(&f, map);
			port_fault_set(nth, true);
			(void)run_all(&f);
			fired = port_fault_fired();
			port_fault_set(0, false);
			/* And it opens again, with what had been there. */
			open_log(&f, 0);
			end(&f);
		}
}

static void test_failure_of_any_call_is_an_error_and_the_log_opens_again(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC, -EMFILE };
	struct env_sim_fault fault = { .calls = SIM_ANY };
	struct fixture f;
	bool fired = true;
	size_t e;

	(void)state;
	for (e = 0; e < 3; e++, fired = true)
		for (fault.nth = 1; fired; fault.nth++) {
			begin_with_records(&f, true);
			fault.error = errors[e];
			env_sim_fault(f.sim, &fault);
			(void)run_all(&f);
			fired = env_sim_fault_fired(f.sim);
			env_sim_fault(f.sim, NULL);
			open_log(&f, 0);
			assert_true(f.list.n >= 1);
			(void)append(&f, 1, 100);
			end(&f);
		}
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_segments_are_listed_oldest_first),
		TEST(test_live_bytes_are_counted_and_never_below_zero),
		TEST(test_scan_gives_every_record_and_stops_when_told),
		TEST(test_scan_says_where_a_record_is_damaged),
		TEST(test_only_a_sealed_segment_is_retired_and_once),
		TEST(test_segment_in_the_middle_may_go_first),
		TEST(test_files_are_recycled_and_stay_few),
		TEST(test_as_many_spares_as_the_owner_says),
		TEST(test_spare_of_the_reserve_is_yielded),
		TEST(test_what_is_superseded_is_not_synced),
		TEST(test_turn_leaves_nothing_to_be_written),
		TEST(test_turn_stays_in_a_segment_that_was_synced),
		TEST(test_recycled_bytes_are_not_read_again),
		TEST(test_segment_that_cannot_be_given_up_is_not_passed),
		TEST(test_copy_is_a_log_of_its_own),
		TEST(test_configurations_that_cannot_be_are_refused),
		TEST(test_create_does_not_touch_a_log_that_is_there),
		TEST(test_log_of_another_store_or_size_is_refused),
		TEST(test_name_beyond_all_numbers_is_refused),
		TEST(test_log_whose_positions_are_used_up_refuses_and_can_be_read),
		TEST(test_owner_may_end_positions_earlier),
		TEST(test_numbers_a_circle_apart_are_told_apart),
		TEST(test_files_of_other_names_are_left_alone),
		TEST(test_no_memory_at_any_allocation_is_an_error_and_no_leak),
		TEST(test_failure_of_any_call_is_an_error_and_the_log_opens_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
