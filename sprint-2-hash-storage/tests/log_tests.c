/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_tests.c - the log while it is open: append, groups, huge records, room and the lack
 * of it, group commit, retired segments. What opening makes of a log on disk is in
 * log_recovery_tests.c.
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

/* ---- waiting for room ---- */

static void test_nowait_says_again_and_changes_nothing(void **state)
{
	struct fixture f;
	uint64_t end_before;
	int error;

	(void)state;
	begin_log(&f, NULL);
	end_before = log_end(f.log);
	assert_int_equal(try_append(f.log, 1, 10, LOG_NOWAIT, NULL), -EAGAIN);
	assert_int_equal(log_end(f.log), end_before);
	while ((error = try_append(f.log, 1, 10, LOG_NOWAIT, NULL)) == -EAGAIN)
		assert_int_equal(log_wait_room(f.log, log_record_bytes(10), 0), 0);
	assert_int_equal(error, 0);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, 1);
	end(&f);
}

/* Appends until an error, which it returns. */
static int append_until_error(struct fixture *f, uint64_t *i, unsigned int flags)
{
	int error;

	while (!(error = try_append(f->log, *i, 8000, flags, NULL)))
		*i += 1;
	return error;
}

static void test_full_disk_refuses_and_goes_on_when_there_is_room(void **state)
{
	struct fixture f;
	uint64_t n = 0, end_before;

	(void)state;
	begin_log(&f,
		  &(struct env_sim_config){ .seed = 3, .capacity_bytes = 10 * SEGMENT });
	assert_int_equal(append_until_error(&f, &n, 0), -ENOSPC);
	end_before = log_end(f.log);
	assert_int_equal(try_append(f.log, n, 8000, 0, NULL), -ENOSPC);
	assert_int_equal(try_append(f.log, n, 3 * SEGMENT, 0, NULL), -ENOSPC);
	assert_int_equal(log_end(f.log), end_before);
	assert_int_equal(stat_of(f.log, "log_failed"), 0);
	env_sim_set_capacity(f.sim, 20 * SEGMENT);
	(void)append(&f, n++, 8000);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, n);
	end(&f);
}

static void wait_for_reserve(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 100 && stat_of(f->log, "log_spares") < f->config.reserve; i++)
		f->env->ops->sleep_ns(f->env, 1000000);
	assert_int_equal(stat_of(f->log, "log_spares"), f->config.reserve);
}

static void test_urgent_appends_have_the_reserve_of_a_full_disk(void **state)
{
	struct fixture f;
	uint64_t n = 0, refused_at;

	(void)state;
	begin(&f, &(struct env_sim_config){ .seed = 4, .capacity_bytes = 10 * SEGMENT });
	f.config.reserve = 2;
	create_log(&f);
	wait_for_reserve(&f);
	assert_int_equal(append_until_error(&f, &n, 0), -ENOSPC);
	refused_at = n;
	assert_int_equal(stat_of(f.log, "log_spares"), 2);
	assert_int_equal(append_until_error(&f, &n, LOG_URGENT), -ENOSPC);
	assert_true(n - refused_at >= 2 * (SEGMENT / 8100));
	assert_int_equal(stat_of(f.log, "log_spares"), 0);
	/* The reserve fills again when space has come back, before others get any. */
	assert_int_equal(log_retire(f.log, 0), 0);
	assert_int_equal(log_reclaim(f.log, 0), 0);
	assert_int_equal(log_retire(f.log, 1), 0);
	assert_int_equal(log_reclaim(f.log, 1), 0);
	assert_int_equal(stat_of(f.log, "log_spares"), 2);
	assert_int_equal(try_append(f.log, n, 8000, 0, NULL), -ENOSPC);
	assert_int_equal(try_append(f.log, n, 8000, LOG_URGENT, NULL), 0);
	end(&f);
}

struct rivals {
	struct fixture *f;
	unsigned int running; /* tasks of the simulator: one at a time */
	int urgent_error;
	unsigned int urgent_done;
};

static void append_plainly(void *arg)
{
	struct rivals *r = arg;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		(void)try_append(r->f->log, i, 8000, 0, NULL);
		env_sim_yield(r->f->sim);
	}
}

static void append_urgently(void *arg)
{
	struct rivals *r = arg;

	while (!r->urgent_error && r->urgent_done < 6) {
		r->urgent_error =
			try_append(r->f->log, r->urgent_done, 8000, LOG_URGENT, NULL);
		r->urgent_done += !r->urgent_error;
		env_sim_yield(r->f->sim);
	}
}

/* An urgent append that comes while the task is at a segment for another one is not told
 * that one's failure while there still is a reserve. */
static void test_urgent_append_is_not_refused_for_anothers_sake(void **state)
{
	struct env_task *task[2];
	struct fixture f;
	uint64_t seed, n;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		struct rivals r = { .f = &f };

		n = 0;
		begin(&f, &(struct env_sim_config){ .seed = seed,
						    .capacity_bytes = 6 * SEGMENT,
						    .preempt = 3 });
		f.config.reserve = 2;
		create_log(&f);
		wait_for_reserve(&f);
		assert_int_equal(append_until_error(&f, &n, 0), -ENOSPC);
		task[0] = env_sim_spawn_client(f.sim, append_plainly, &r);
		task[1] = env_sim_spawn_client(f.sim, append_urgently, &r);
		f.env->ops->join(f.env, task[0]);
		f.env->ops->join(f.env, task[1]);
		if (r.urgent_error)
			fail_msg("seed %llu: %d after %u with %llu spares left",
				 (unsigned long long)seed, r.urgent_error, r.urgent_done,
				 (unsigned long long)stat_of(f.log, "log_spares"));
		end(&f);
	}
}

/* ---- sync ---- */

static void test_sync_makes_durable_what_was_appended(void **state)
{
	struct fixture f;
	uint64_t position;
	size_t h;

	(void)state;
	for (h = 0; h < HOMES; h++) {
		begin_log(&f, homes[h]);
		position = append(&f, 1, 10);
		assert_true(log_synced(f.log) <= position);
		assert_int_equal(log_sync(f.log, position), 0);
		assert_true(log_synced(f.log) > position);
		/* Asked for again there is nothing to do. */
		assert_int_equal(log_sync(f.log, position), 0);
		assert_int_equal(log_sync(f.log, log_end(f.log) + 1000), 0);
		assert_int_equal(stat_of(f.log, "log_syncs_done"), 1);
		end(&f);
	}
}

static void test_sync_reaches_over_segments(void **state)
{
	struct env_sim_point p = { .loss = SIM_LOSE_ALL };
	struct fixture f, after;
	uint64_t position = 0, i;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 20; i++)
		position = append(&f, i, 12000);
	assert_true(position / SEGMENT >= 3);
	assert_int_equal(log_sync(f.log, position), 0);
	p.at = env_sim_position(f.sim);
	after = f;
	use_sim(&after, env_sim_crash(f.sim, &p, false));
	after.live_before = port_fault_live();
	open_log(&after, 0);
	assert_int_equal(after.list.n, 20);
	end(&after);
	end(&f);
}

static void test_sync_later_keeps_its_time(void **state)
{
	struct fixture f;
	uint64_t position, later, begun;

	(void)state;
	begin_log(&f, NULL);
	position = append(&f, 1, 10);
	f.env->ops->sleep_ns(f.env, 10 * f.config.group_ns);
	assert_true(log_synced(f.log) <= position); /* nobody asked */
	begun = f.env->ops->now_ns(f.env);
	log_sync_later(f.log, position);
	later = append(&f, 2, 10);
	log_sync_later(f.log, later); /* goes with the first */
	f.env->ops->sleep_ns(f.env, f.config.group_ns / 2);
	assert_true(log_synced(f.log) <= position);
	while (log_synced(f.log) <= later)
		f.env->ops->sleep_ns(f.env, 100000);
	assert_in_range(f.env->ops->now_ns(f.env) - begun, f.config.group_ns,
			f.config.group_ns + 2000000);
	assert_int_equal(stat_of(f.log, "log_syncs_done"), 1);
	end(&f);
}

enum { WRITERS = 8, EACH = 10 };

static void append_and_sync(void *arg)
{
	struct fixture *f = arg;
	uint64_t position;
	unsigned int i;

	for (i = 0; i < EACH; i++) {
		position = append(f, i, 100);
		assert_int_equal(log_sync(f->log, position), 0);
		assert_true(log_synced(f->log) > position);
	}
}

static void test_one_sync_serves_all_who_wait(void **state)
{
	struct env_task *task[WRITERS];
	struct fixture f;
	uint64_t before;
	size_t i;

	(void)state;
	begin_log(&f, &(struct env_sim_config){ .seed = 5, .preempt = 2 });
	before = env_sim_calls(f.sim, 1u << SIM_SYNC);
	for (i = 0; i < WRITERS; i++)
		task[i] = env_sim_spawn_client(f.sim, append_and_sync, &f);
	for (i = 0; i < WRITERS; i++)
		f.env->ops->join(f.env, task[i]);
	assert_int_equal(stat_of(f.log, "log_syncs_asked"), WRITERS * EACH);
	assert_true(stat_of(f.log, "log_syncs_done") < WRITERS * EACH / 2);
	/* Besides, each segment that was made was synced once. */
	assert_true(env_sim_calls(f.sim, 1u << SIM_SYNC) - before <
		    WRITERS * EACH / 2 + 4);
	end(&f);
}

static void test_failed_sync_latches(void **state)
{
	static const struct env_sim_fault fault = { .calls = 1u << SIM_SYNC, .nth = 1 };
	struct fixture f;
	uint64_t first, second, n;

	(void)state;
	begin_log(&f, NULL);
	first = append(&f, 1, 100);
	assert_int_equal(log_sync(f.log, first), 0);
	/* The segment ahead is made, whose sync would fail instead. */
	f.env->ops->sleep_ns(f.env, 1000000);
	second = append(&f, 2, 100);
	n = stat_of(f.log, "log_syncs_done");
	env_sim_fault(f.sim, &fault);
	assert_int_equal(log_sync(f.log, second), -EROFS);
	env_sim_fault(f.sim, NULL);
	assert_int_equal(log_sync(f.log, second), -EROFS);
	assert_int_equal(try_append(f.log, 3, 10, 0, NULL), -EROFS);
	assert_int_equal(try_append(f.log, 3, 2 * SEGMENT, 0, NULL), -EROFS);
	assert_int_equal(log_wait_room(f.log, 100, 0), -EROFS);
	assert_int_equal(stat_of(f.log, "log_syncs_done"), n + 1); /* no retry */
	assert_int_equal(stat_of(f.log, "log_failed"), EROFS);
	assert_reads(&f, first, 1, 100);
	assert_int_equal(log_close(f.log), -EROFS);
	open_log(&f, 0);
	assert_true(f.list.n >= 1);
	assert_seen(&f.list.seen[0], first, 1, 100);
	(void)append(&f, 4, 10);
	end(&f);
}

static void test_failed_write_latches(void **state)
{
	static const struct env_sim_fault fault = { .calls = 1u << SIM_WRITE,
						    .nth = 1,
						    .effect = SIM_SHORT };
	struct fixture f;

	(void)state;
	begin_log(&f, &sim_written);
	(void)append(&f, 1, 100);
	f.env->ops->sleep_ns(f.env, 1000000);
	env_sim_fault(f.sim, &fault);
	assert_int_equal(try_append(f.log, 2, 3000, 0, NULL), -EIO);
	env_sim_fault(f.sim, NULL);
	assert_int_equal(try_append(f.log, 2, 3000, 0, NULL), -EROFS);
	assert_int_equal(log_sync(f.log, 0), -EROFS);
	assert_int_equal(log_close(f.log), -EROFS);
	open_log(&f, 0);
	assert_int_equal(f.list.n, 1);
	end(&f);
}

static void test_failed_sync_later_latches(void **state)
{
	static const struct env_sim_fault fault = { .calls = 1u << SIM_SYNC, .nth = 1 };
	struct fixture f;
	uint64_t position;

	(void)state;
	begin_log(&f, NULL);
	position = append(&f, 1, 100);
	f.env->ops->sleep_ns(f.env, 1000000);
	env_sim_fault(f.sim, &fault);
	log_sync_later(f.log, position);
	f.env->ops->sleep_ns(f.env, 2 * f.config.group_ns);
	assert_true(env_sim_fault_fired(f.sim));
	assert_int_equal(try_append(f.log, 2, 10, 0, NULL), -EROFS);
	assert_int_equal(log_close(f.log), -EROFS);
	f.log = NULL;
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
		TEST(test_nowait_says_again_and_changes_nothing),
		TEST(test_full_disk_refuses_and_goes_on_when_there_is_room),
		TEST(test_urgent_appends_have_the_reserve_of_a_full_disk),
		TEST(test_urgent_append_is_not_refused_for_anothers_sake),
		TEST(test_sync_makes_durable_what_was_appended),
		TEST(test_sync_reaches_over_segments),
		TEST(test_sync_later_keeps_its_time),
		TEST(test_one_sync_serves_all_who_wait),
		TEST(test_failed_sync_latches),
		TEST(test_failed_write_latches),
		TEST(test_failed_sync_later_latches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
