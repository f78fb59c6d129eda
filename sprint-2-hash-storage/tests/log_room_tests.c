/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_room_tests.c - appends that must wait or find the disk full, the reserve for those
 * who make room, group commit, and the latch after a failure.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../log_internal.h"
#include "log_fixture.h"

static const struct env_sim_config sim_mapped = { .seed = 1 };
static const struct env_sim_config sim_written = { .seed = 2, .no_map = true };
static const struct env_sim_config *const homes[] = { &sim_mapped, &sim_written };
enum { HOMES = 2 };

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

/* Who waits for segments gets more of them ahead; a crash leaves them empty, and a record that
 * needs several numbers takes theirs. */
static void test_more_segments_are_made_ahead_of_who_waits_for_them(void **state)
{
	enum { AHEAD = 4, WAITS = 6 };
	struct fixture f, after;
	uint64_t n = 0, huge;

	(void)state;
	begin_log(&f, &(struct env_sim_config){ .seed = 4 });
	while (stat_of(f.log, "log_waits_for_segment") < WAITS)
		(void)append(&f, n++, 8000);
	f.env->ops->sleep_ns(f.env, 1000000);
	assert_int_equal(count_files(&f, ".log"), log_end(f.log) / SEGMENT + 1 + AHEAD);
	kill_process(&f, &after);
	open_log(&after, 0);
	assert_int_equal(after.list.n, n);
	end(&after);
	huge = append(&f, n, 3 * SEGMENT);
	assert_int_equal(huge % SEGMENT, LOG_SEGMENT_HEADER_BYTES);
	(void)append(&f, n + 1, 100);
	assert_int_equal(log_end(f.log) / SEGMENT, huge / SEGMENT + 4);
	reopen_log(&f, 0);
	assert_int_equal(f.list.n, n + 2);
	end(&f);
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

/* Of a closed log the last segment is cut behind its end. Such a file has no blocks to give to a
 * reserve, which is to be there when the disk is full again. */
static void test_reserve_is_not_made_of_files_that_were_cut(void **state)
{
	struct fixture f;
	uint64_t n = 0, i, refused_at;

	(void)state;
	begin(&f, &(struct env_sim_config){ .seed = 7, .capacity_bytes = 12 * SEGMENT });
	f.config.reserve = 2;
	create_log(&f);
	for (i = 0; i < 2; i++) {
		(void)append(&f, n++, 100);
		reopen_log(&f, 0);
	}
	wait_for_reserve(&f);
	assert_int_equal(append_until_error(&f, &n, 0), -ENOSPC);
	assert_int_equal(append_until_error(&f, &n, LOG_URGENT), -ENOSPC);
	assert_int_equal(stat_of(f.log, "log_spares"), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(log_retire(f.log, i), 0);
		assert_int_equal(log_reclaim(f.log, i), 0);
	}
	env_sim_set_capacity(f.sim, 15 * SEGMENT);
	assert_int_equal(append_until_error(&f, &n, 0), -ENOSPC);
	refused_at = n;
	assert_int_equal(append_until_error(&f, &n, LOG_URGENT), -ENOSPC);
	assert_true(n - refused_at >= 2 * (SEGMENT / 8100));
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
	for (seed = 1; seed <= 60 / (1 + test_scale() / 10); seed++) {
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

/* ---- a huge record whose segment is not had ---- */

/* A huge record is refused by a failure, the nth of its kind; small ones that come behind it are
 * synced, and a crash of the machine takes none of them. */
static bool refuse_huge(const struct env_sim_config *home, uint64_t nth, bool memory)
{
	const struct env_sim_fault fault = { .calls = SIM_ANY, .nth = nth };
	struct env_sim_point p = { .loss = SIM_LOSE_ALL };
	struct fixture f, after;
	uint64_t i, n = 0, position = 0;
	bool fired;
	int error;

	begin(&f, home);
	/* The record's numbers are in two leaves of the table of segments. */
	f.config.first = LOG_LEAF - 2;
	create_log(&f);
	for (; n < 3; n++)
		position = append(&f, n, 8000);
	assert_int_equal(log_sync(f.log, position), 0);
	f.env->ops->sleep_ns(f.env, 1000000);
	if (memory)
		port_fault_set(nth, true);
	else
		env_sim_fault(f.sim, &fault);
	error = try_append(f.log, n, 3 * SEGMENT, 0, NULL);
	fired = memory ? port_fault_fired() : env_sim_fault_fired(f.sim);
	port_fault_set(0, false);
	env_sim_fault(f.sim, NULL);
	n += !error;
	/* Beyond the end of the segment that there was. */
	for (i = 0; i < 12; i++) {
		if (try_append(f.log, n, 8000, 0, &position) || log_sync(f.log, position))
			break;
		n++;
	}
	p.at = env_sim_position(f.sim);
	after = f;
	use_sim(&after, env_sim_crash(f.sim, &p, false));
	after.live_before = port_fault_live();
	open_log(&after, 0);
	assert_true(after.list.n >= n);
	end(&after);
	error = log_close(f.log);
	assert_true(!error || error == -EROFS);
	f.log = NULL;
	end(&f);
	return fired;
}

static void test_huge_record_that_is_refused_takes_nothing_with_it(void **state)
{
	uint64_t nth;
	size_t h;

	(void)state;
	for (h = 0; h < HOMES; h++) {
		for (nth = 1; refuse_huge(homes[h], nth, false); nth++)
			;
		assert_true(nth > 4);
		for (nth = 1; refuse_huge(homes[h], nth, true); nth++)
			;
		assert_true(nth > 2);
	}
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nowait_says_again_and_changes_nothing),
		TEST(test_more_segments_are_made_ahead_of_who_waits_for_them),
		TEST(test_full_disk_refuses_and_goes_on_when_there_is_room),
		TEST(test_urgent_appends_have_the_reserve_of_a_full_disk),
		TEST(test_reserve_is_not_made_of_files_that_were_cut),
		TEST(test_urgent_append_is_not_refused_for_anothers_sake),
		TEST(test_sync_makes_durable_what_was_appended),
		TEST(test_sync_reaches_over_segments),
		TEST(test_sync_later_keeps_its_time),
		TEST(test_one_sync_serves_all_who_wait),
		TEST(test_failed_sync_latches),
		TEST(test_failed_write_latches),
		TEST(test_failed_sync_later_latches),
		TEST(test_huge_record_that_is_refused_takes_nothing_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
