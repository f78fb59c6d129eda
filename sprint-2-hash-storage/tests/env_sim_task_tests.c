/* SPDX-License-Identifier: MIT */
/*
 * env_sim_task_tests.c - the simulator's schedule: one for one seed, no task stopped for
 * good by another that waits, time that passes only when it must.
 */
#include "env_sim_fixture.h"

/* ---- tasks ---- */

struct shared {
	struct env_sim *sim;
	struct env *env;
	struct port_mutex lock, outer;
	struct env_cond *cond;
	unsigned int turn, done, order; /* order: which task did what, as digits */
};

static void scene_begin(struct shared *s, const struct env_sim_config *c)
{
	*s = (struct shared){ .sim = env_sim_new(c) };
	s->env = env_sim_env(s->sim);
	port_mutex_init(&s->lock);
	port_mutex_init(&s->outer);
	assert_int_equal(s->env->ops->cond_new(s->env, &s->cond), 0);
}

static void scene_end(struct shared *s)
{
	s->env->ops->cond_free(s->env, s->cond);
	port_mutex_destroy(&s->lock);
	port_mutex_destroy(&s->outer);
	env_sim_free(s->sim);
}

static void step_and_yield(void *arg)
{
	struct shared *s = arg;
	unsigned int me = ++s->done, i;

	for (i = 0; i < 2; i++) {
		s->order = s->order * 10 + me;
		env_sim_yield(s->sim);
	}
}

static uint64_t run_schedule(uint64_t seed, unsigned int *order)
{
	struct env_task *task[3];
	struct shared s;
	uint64_t trace;
	int i;

	scene_begin(&s, &(struct env_sim_config){ .seed = seed });
	for (i = 0; i < 3; i++)
		task[i] = env_sim_spawn_client(s.sim, step_and_yield, &s);
	for (i = 0; i < 3; i++)
		s.env->ops->join(s.env, task[i]);
	trace = env_sim_trace(s.sim);
	*order = s.order;
	scene_end(&s);
	return trace;
}

static void test_repeat_a_schedule_by_its_seed(void **state)
{
	unsigned int order, again, first, differ = 0;
	uint64_t seed, trace;

	(void)state;
	(void)run_schedule(0, &first);
	for (seed = 0; seed < 20; seed++) {
		trace = run_schedule(seed, &order);
		assert_int_equal(run_schedule(seed, &again), trace);
		assert_int_equal(order, again);
		differ += order != first;
	}
	assert_true(differ > 5);
}

static void sleep_long(void *arg)
{
	struct shared *s = arg;

	s->env->ops->sleep_ns(s->env, 3600u * 1000000000ull);
	port_mutex_lock(&s->lock);
	s->done = 1;
	s->env->ops->cond_signal(s->env, s->cond);
	port_mutex_unlock(&s->lock);
}

static void test_let_time_pass_when_all_wait(void **state)
{
	struct shared s;
	struct env_task *task;
	uint64_t begun, now;

	(void)state;
	scene_begin(&s, NULL);
	begun = s.env->ops->now_ns(s.env);
	assert_int_equal(s.env->ops->spawn(s.env, "sleeper", sleep_long, &s, &task), 0);
	port_mutex_lock(&s.lock);
	s.env->ops->cond_wait(s.env, s.cond, &s.lock, 1000000); /* a millisecond */
	now = s.env->ops->now_ns(s.env);
	assert_true(now - begun >= 1000000 && now - begun < 2000000);
	assert_int_equal(s.done, 0);
	while (!s.done)
		s.env->ops->cond_wait(s.env, s.cond, &s.lock, 0);
	port_mutex_unlock(&s.lock);
	assert_true(s.env->ops->now_ns(s.env) - begun >= 3600u * 1000000000ull);
	s.env->ops->join(s.env, task);
	scene_end(&s);
}

static void hold_and_wait(void *arg)
{
	struct shared *s = arg;

	port_mutex_lock(&s->outer);
	port_mutex_lock(&s->lock);
	s->turn = 1;
	s->env->ops->cond_signal(s->env, s->cond);
	/* Waits with outer still held. */
	while (s->turn < 2)
		s->env->ops->cond_wait(s->env, s->cond, &s->lock, 0);
	port_mutex_unlock(&s->lock);
	s->order = s->order * 10 + 1;
	port_mutex_unlock(&s->outer);
}

static void take_outer(void *arg)
{
	struct shared *s = arg;

	port_mutex_lock(&s->outer);
	s->order = s->order * 10 + 2;
	port_mutex_unlock(&s->outer);
}

static void test_wait_for_a_lock_whose_owner_waits(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < 10; seed++) {
		struct env_task *holder, *taker;
		struct shared s;

		scene_begin(&s,
			    &(struct env_sim_config){ .seed = seed, .spurious = true });
		holder = env_sim_spawn_client(s.sim, hold_and_wait, &s);
		port_mutex_lock(&s.lock);
		while (s.turn < 1)
			s.env->ops->cond_wait(s.env, s.cond, &s.lock, 0);
		port_mutex_unlock(&s.lock);
		taker = env_sim_spawn_client(s.sim, take_outer, &s);
		env_sim_yield(s.sim);
		env_sim_yield(s.sim);
		port_mutex_lock(&s.lock);
		s.turn = 2;
		s.env->ops->cond_signal(s.env, s.cond);
		port_mutex_unlock(&s.lock);
		s.env->ops->join(s.env, holder);
		s.env->ops->join(s.env, taker);
		assert_int_equal(s.order, 12);
		scene_end(&s);
	}
}

/* Two that add without a lock: a switch between their read and their write loses one. */
static void add_unlocked(void *arg)
{
	struct shared *s = arg;
	unsigned int old = s->done;
	uint64_t bytes;

	(void)s->env->ops->free_space(s->env, "/", &bytes);
	s->done = old + 1;
}

static void test_switch_at_calls_when_told_to(void **state)
{
	unsigned int lost[2] = { 0 }, preempt;
	uint64_t seed;

	(void)state;
	for (preempt = 0; preempt < 2; preempt++)
		for (seed = 0; seed < 20; seed++) {
			struct env_task *a, *b;
			struct shared s;

			scene_begin(&s, &(struct env_sim_config){
						.seed = seed, .preempt = preempt * 2 });
			a = env_sim_spawn_client(s.sim, add_unlocked, &s);
			b = env_sim_spawn_client(s.sim, add_unlocked, &s);
			s.env->ops->join(s.env, a);
			s.env->ops->join(s.env, b);
			lost[preempt] += s.done == 1;
			scene_end(&s);
		}
	assert_int_equal(lost[0], 0);
	assert_true(lost[1] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_repeat_a_schedule_by_its_seed),
		LEAK_CHECKED(test_let_time_pass_when_all_wait),
		LEAK_CHECKED(test_wait_for_a_lock_whose_owner_waits),
		LEAK_CHECKED(test_switch_at_calls_when_told_to),
	};

	return cmocka_run_group_tests_name("env_sim_task", tests, NULL, NULL);
}
