/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.6: group commit.
 */
#include "../../../harness/learn/learn.h"
#include "../../log_internal.h"
#include "../../tests/log_fixture.h"

#define HEADER  "sprint-2-hash-storage/log.h"
#define SOURCE  "the comment at the top of sprint-2-hash-storage/log.c"
#define CHAPTER "docs/sprint-2-hash-storage.md, \"The log is the data\""

static uint64_t syncs(struct fixture *f)
{
	return env_sim_calls(f->sim, 1u << SIM_SYNC);
}

/* Opens the log on what a power failure then leaves; true when the record is in it. */
static bool is_there_after_power_failure(struct fixture *f, size_t at, uint64_t position)
{
	struct env_sim_point p = { .at = at, .loss = SIM_LOSE_ALL };
	struct fixture after;
	bool found = false;
	size_t i;

	memset(&after, 0, sizeof(after));
	after.config = f->config;
	after.live_before = port_fault_live();
	use_sim(&after, env_sim_crash(f->sim, &p, false));
	open_log(&after, 0);
	for (i = 0; i < after.list.n; i++)
		found |= after.list.seen[i].position == position;
	end(&after);
	return found;
}

static void test_a_synced_record_survives_the_power(void **state)
{
	struct fixture f;
	uint64_t position, i;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 3; i++) {
		position = append(&f, i, 100);
		learn_error("log_sync()", log_sync(f.log, position), 0);
		learn_expect(
			log_synced(f.log) > position, "log_synced() is behind the record",
			"%llu, the record at %llu", (unsigned long long)log_synced(f.log),
			(unsigned long long)position);
		learn_expect(is_there_after_power_failure(&f, env_sim_position(f.sim),
							  position),
			     "the record is there after a power failure", "it is lost");
	}
	end(&f);
}

static void test_what_is_durable_is_not_synced_again(void **state)
{
	struct fixture f;
	uint64_t first, second, before;

	(void)state;
	begin_log(&f, NULL);
	first = append(&f, 1, 100);
	second = append(&f, 2, 100);
	f.env->ops->sleep_ns(f.env, 1000000); /* the segment ahead is made */
	before = syncs(&f);
	learn_error("log_sync() of the second record", log_sync(f.log, second), 0);
	learn_number("the device's syncs for it", syncs(&f) - before, 1);
	learn_error("log_sync() of the first record", log_sync(f.log, first), 0);
	learn_error("log_sync() of the second again", log_sync(f.log, second), 0);
	learn_error("log_sync() beyond the log's end",
		    log_sync(f.log, log_end(f.log) + 1000), 0);
	learn_number("the device's syncs for all of these", syncs(&f) - before, 1);
	end(&f);
}

static void test_a_sync_reaches_over_segments(void **state)
{
	struct fixture f;
	uint64_t position[5], i;

	(void)state;
	begin_log(&f, NULL);
	for (i = 0; i < 4; i++)
		position[i] = append(&f, i, 40000);
	position[4] = append(&f, 4, 150000); /* a file with several numbers */
	learn_error("log_sync() of the last", log_sync(f.log, position[4]), 0);
	for (i = 0; i < 5; i++)
		learn_expect(is_there_after_power_failure(&f, env_sim_position(f.sim),
							  position[i]),
			     learn_text("record %u of five in several segments is there",
					(unsigned int)i),
			     "it is lost");
	end(&f);
}

/* ---- several at once ---- */

enum { WRITERS = 6, EACH = 12 };

struct crowd {
	struct fixture f;
	struct {
		uint64_t position;
		size_t at;
	} done[WRITERS * EACH];
	size_t n, refused, lied;
};

static void append_and_sync(void *arg)
{
	struct crowd *c = arg;
	uint8_t bytes[60] = { 1 };
	struct kv_slice part = { bytes, sizeof(bytes) };
	struct log_item item = { .sequence = 1, .part = &part, .parts = 1 };
	int i;

	for (i = 0; i < EACH; i++) {
		if (log_append(c->f.log, &item, 1, 0) ||
		    log_sync(c->f.log, item.position)) {
			c->refused++;
			continue;
		}
		c->lied += log_synced(c->f.log) <= item.position;
		c->done[c->n].position = item.position;
		c->done[c->n++].at = env_sim_position(c->f.sim);
	}
}

static void run_crowd(struct crowd *c)
{
	struct env_task *task[WRITERS];
	int i;

	for (i = 0; i < WRITERS; i++)
		task[i] = env_sim_spawn_client(c->f.sim, append_and_sync, c);
	for (i = 0; i < WRITERS; i++)
		c->f.env->ops->join(c->f.env, task[i]);
}

static void test_one_sync_serves_all_who_wait(void **state)
{
	static struct crowd c;
	uint64_t before;

	(void)state;
	memset(&c, 0, sizeof(c));
	begin_log(&c.f, &(struct env_sim_config){ .seed = 5, .preempt = 2 });
	before = syncs(&c.f);
	run_crowd(&c);
	learn_number("the commits of 6 writers with 12 each", c.n, WRITERS * EACH);
	learn_expect(syncs(&c.f) - before < WRITERS * EACH / 2 + 4,
		     "fewer syncs of the device than half of the 72 commits", "%llu",
		     (unsigned long long)(syncs(&c.f) - before));
	end(&c.f);
}

static void test_nobody_returns_before_it_is_durable(void **state)
{
	static struct crowd c;
	uint64_t seed;
	size_t i;

	(void)state;
	for (seed = 1; seed <= 6; seed++) {
		memset(&c, 0, sizeof(c));
		begin_log(&c.f, &(struct env_sim_config){
					.seed = seed, .preempt = 2, .spurious = true });
		run_crowd(&c);
		learn_number("the commits of 6 writers with 12 each", c.n,
			     WRITERS * EACH);
		learn_number("those who returned while log_synced() had not reached them",
			     c.lied, 0);
		for (i = 0; i < c.n; i += 3)
			learn_expect(is_there_after_power_failure(&c.f, c.done[i].at,
								  c.done[i].position),
				     "a record is there when the power fails as its "
				     "log_sync() returns",
				     "it is lost (seed %llu)", (unsigned long long)seed);
		end(&c.f);
	}
}

static const struct env_sim_fault next_sync = { .calls = 1u << SIM_SYNC, .nth = 1 };

static void test_a_failed_sync_is_believed(void **state)
{
	struct fixture f;
	uint64_t first, second, before;

	(void)state;
	begin_log(&f, NULL);
	first = append(&f, 1, 100);
	learn_error("log_sync()", log_sync(f.log, first), 0);
	f.env->ops->sleep_ns(f.env, 1000000);
	second = append(&f, 2, 100);
	env_sim_fault(f.sim, &next_sync);
	before = syncs(&f);
	learn_error("log_sync() when the device fails", log_sync(f.log, second), -EROFS);
	env_sim_fault(f.sim, NULL);
	learn_error("log_sync() after it", log_sync(f.log, second), -EROFS);
	learn_error("log_append() after it", try_append(f.log, 3, 10, 0, NULL), -EROFS);
	learn_number("the device's syncs, none of them a retry", syncs(&f) - before, 1);
	learn_expect(log_synced(f.log) <= second, "log_synced() stays before the record",
		     "it says durable");
	learn_error("log_close()", log_close(f.log), -EROFS);
	f.log = NULL;
	end(&f);
}

static void test_all_who_wait_hear_of_it(void **state)
{
	static struct crowd c;

	(void)state;
	memset(&c, 0, sizeof(c));
	begin_log(&c.f, &(struct env_sim_config){ .seed = 7, .preempt = 2 });
	(void)append(&c.f, 1, 10);
	c.f.env->ops->sleep_ns(c.f.env, 1000000);
	env_sim_fault(c.f.sim, &next_sync);
	run_crowd(&c);
	learn_number("the commits done after the first sync has failed", c.n, 0);
	learn_number("those refused", c.refused, WRITERS * EACH);
	env_sim_fault(c.f.sim, NULL);
	learn_error("log_close()", log_close(c.f.log), -EROFS);
	c.f.log = NULL;
	end(&c.f);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_a_synced_record_survives_the_power, 2, HEADER),
	LEARN_TEST(test_what_is_durable_is_not_synced_again, 2, HEADER),
	LEARN_TEST(test_a_sync_reaches_over_segments, 2, SOURCE),
	LEARN_TEST(test_one_sync_serves_all_who_wait, 3, CHAPTER),
	LEARN_TEST(test_nobody_returns_before_it_is_durable, 3, CHAPTER),
	LEARN_TEST(test_a_failed_sync_is_believed, 3, HEADER),
	LEARN_TEST(test_all_who_wait_hear_of_it, 2, HEADER),
};

LEARN_MAIN_NO_SPEED(tests)
