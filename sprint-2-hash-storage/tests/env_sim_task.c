/* SPDX-License-Identifier: MIT */
/*
 * env_sim_task.c - tasks, conditions and time, decided by a seed.
 *
 * Every task is a thread, and one baton goes round: its holder runs, all others sleep on
 * a semaphore of their own. Who gets it next is drawn from the seed, so a seed replays a
 * schedule exactly. Time is a number: it moves a little with each call, and when all
 * tasks wait it jumps to the first that has a time to wake.
 *
 * A task that holds a lock may lose the baton (in a cond_wait on another lock, or by
 * preemption); who then wants the lock hands the baton on until it is free: see
 * env_sim_lock.c.
 */
#include "env_sim_internal.h"

enum task_state { TASK_READY, TASK_WAITING, TASK_DONE };

struct env_task {
	struct env_sim *sim;
	env_task_fn *fn;
	void *arg;
	char name[16];
	uint32_t id;
	pthread_t thread;
	sem_t baton;
	struct env_task *next;

	/* the running task's to change */
	enum task_state state;
	const struct env_cond *cond;    /* waits for it */
	const struct env_task *joining; /* waits for its end */
	const void *lock;               /* waits for it: sim_lock_wait() */
	uint64_t wake_ns;               /* UINT64_MAX: at no time */
};

struct env_cond {
	struct env_sim *sim;
	unsigned int waiting;
};

/* The task that this thread is; for locks, which are told no simulator. */
static __thread struct env_task *this_task;

/* ---- the baton ---- */

static bool can_run(const struct env_task *t, uint64_t now)
{
	return t->state == TASK_READY || (t->state == TASK_WAITING && t->wake_ns <= now);
}

static const char *waits_for(const struct env_task *t)
{
	return t->state == TASK_DONE ? "ended"
	       : t->joining          ? "joins a task"
	       : t->cond             ? "waits on a condition"
	       : t->lock             ? "waits for a lock"
				     : "sleeps";
}

static void die_of_deadlock(const struct sim_schedule *s)
{
	const struct env_task *t;

	for (t = s->first; t; t = t->next)
		(void)fprintf(stderr, "env_sim: task %u (%s) %s\n", t->id, t->name,
			      waits_for(t));
	sim_die("deadlock: no task can run, and none has a time to wake");
}

/* When all wait: to the first moment at which one does not. */
static void skip_time(struct sim_schedule *s)
{
	uint64_t first = UINT64_MAX;
	const struct env_task *t;

	for (t = s->first; t; t = t->next)
		if (t->state == TASK_WAITING && t->wake_ns < first)
			first = t->wake_ns;
	if (first == UINT64_MAX)
		die_of_deadlock(s);
	if (s->now_ns < first)
		s->now_ns = first;
}

static struct env_task *pick_next(struct env_sim *sim)
{
	struct sim_schedule *s = &sim->schedule;
	struct env_task *t;
	uint64_t n = 0, k;

	for (t = s->first; t; t = t->next)
		n += can_run(t, s->now_ns);
	if (!n) {
		skip_time(s);
		return pick_next(sim);
	}
	k = n > 1 ? sim_next(&s->rng) % n : 0;
	for (t = s->first;; t = t->next)
		if (can_run(t, s->now_ns) && !k--)
			break;
	sim_note(sim, 0x7a5c0000u + t->id);
	t->state = TASK_READY;
	t->cond = NULL;
	t->joining = NULL;
	t->lock = NULL;
	t->wake_ns = UINT64_MAX;
	return t;
}

static void take_baton(struct env_task *self)
{
	while (sem_wait(&self->baton) && errno == EINTR)
		;
}

/* Gives the baton to the next; returns when self has it again. */
static void hand_over(struct env_task *self)
{
	struct env_sim *sim = self->sim;
	struct env_task *next = pick_next(sim);

	if (next == self)
		return;
	sim->schedule.running = next;
	(void)sem_post(&next->baton);
	take_baton(self);
}

static void wait_until(struct env_task *self, uint64_t wake_ns)
{
	self->state = TASK_WAITING;
	self->wake_ns = wake_ns;
	hand_over(self);
}

void sim_check_thread(struct env_sim *sim)
{
	struct env_task *running = sim->schedule.running;

	if (!pthread_equal(running->thread, pthread_self()))
		sim_die("a call from a thread that is no task, or does not run: "
			"start it with env_sim_spawn_client()");
	this_task = running;
}

void sim_preempt(struct env_sim *sim)
{
	struct sim_schedule *s = &sim->schedule;

	if (sim->config.preempt && s->first->next &&
	    !(sim_next(&s->rng) % sim->config.preempt))
		hand_over(s->running);
}

void env_sim_yield(struct env_sim *sim)
{
	sim_check_thread(sim);
	hand_over(sim->schedule.running);
}

/* ---- locks: for env_sim_lock.c ---- */

bool sim_lock_is_ours(void)
{
	return this_task && this_task->sim->schedule.running == this_task;
}

void sim_lock_preempt(void)
{
	sim_preempt(this_task->sim);
}

void sim_lock_wait(void *lock)
{
	this_task->lock = lock;
	wait_until(this_task, UINT64_MAX);
}

void sim_lock_released(const void *lock)
{
	struct env_task *t;

	for (t = this_task->sim->schedule.first; t; t = t->next)
		if (t->state == TASK_WAITING && t->lock == lock)
			t->state = TASK_READY;
}

/* ---- life of tasks ---- */

static struct env_task *task_new(struct env_sim *sim, const char *name)
{
	struct env_task *t = port_alloc(sizeof(*t));

	if (!t)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->sim = sim;
	t->id = sim->schedule.next_id++;
	t->wake_ns = UINT64_MAX;
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	(void)sem_init(&t->baton, 0, 0);
	return t;
}

static void task_link(struct env_sim *sim, struct env_task *t)
{
	t->next = sim->schedule.first;
	sim->schedule.first = t;
}

static void task_unlink(struct env_sim *sim, struct env_task *t)
{
	struct env_task **at = &sim->schedule.first;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
}

static void *task_main(void *arg)
{
	struct env_task *self = arg, *t, *next;
	struct env_sim *sim = self->sim;

	take_baton(self);
	this_task = self;
	self->fn(self->arg);
	self->state = TASK_DONE;
	for (t = sim->schedule.first; t; t = t->next)
		if (t->state == TASK_WAITING && t->joining == self)
			t->state = TASK_READY;
	next = pick_next(sim);
	sim->schedule.running = next;
	(void)sem_post(&next->baton);
	return NULL;
}

static int task_start(struct env_sim *sim, const char *name, env_task_fn *fn, void *arg,
		      struct env_task **out)
{
	struct env_task *t = task_new(sim, name);
	int error;

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	error = pthread_create(&t->thread, NULL, task_main, t);
	if (error) {
		(void)sem_destroy(&t->baton);
		port_free(t);
		return -error;
	}
	task_link(sim, t);
	sim->live++;
	*out = t;
	return 0;
}

static int sim_spawn(struct env *env, const char *name, env_task_fn *fn, void *arg,
		     struct env_task **out)
{
	struct env_sim *sim = sim_of(env);
	int error = sim_enter(sim, SIM_SPAWN, name, NULL);

	return error ? error : task_start(sim, name, fn, arg, out);
}

struct env_task *env_sim_spawn_client(struct env_sim *sim, env_task_fn *fn, void *arg)
{
	struct env_task *t;

	sim_check_thread(sim);
	if (task_start(sim, "client", fn, arg, &t))
		sim_die("a client's thread cannot be made");
	return t;
}

static void sim_join(struct env *env, struct env_task *task)
{
	struct env_sim *sim = sim_of(env);
	struct env_task *self = sim->schedule.running;

	sim_check_thread(sim);
	if (task->state != TASK_DONE) {
		self->joining = task;
		wait_until(self, UINT64_MAX);
	}
	(void)pthread_join(task->thread, NULL);
	task_unlink(sim, task);
	(void)sem_destroy(&task->baton);
	port_free(task);
	sim->live--;
}

/* The creating thread is a task that was running already. Its memory is not the
 * engine's, so a test that makes allocations fail does not meet it. */
void sim_schedule_init(struct env_sim *sim)
{
	struct env_task *t = sim_alloc(sizeof(*t));

	*t = (struct env_task){ .sim = sim, .name = "main", .wake_ns = UINT64_MAX };
	(void)sem_init(&t->baton, 0, 0);
	t->thread = pthread_self();
	sim->schedule.next_id = 1;
	sim->schedule.now_ns = 1000000000u;
	task_link(sim, t);
	sim->schedule.running = t;
	this_task = t;
}

void sim_schedule_free(struct env_sim *sim)
{
	struct env_task *t = sim->schedule.first;

	if (t->next || t != sim->schedule.running)
		sim_die("tasks still run where the simulator ends");
	if (this_task == t)
		this_task = NULL;
	(void)sem_destroy(&t->baton);
	free(t);
}

/* ---- conditions ---- */

static int sim_cond_new(struct env *env, struct env_cond **out)
{
	struct env_cond *c = port_alloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct env_cond){ .sim = sim_of(env) };
	c->sim->live++;
	*out = c;
	return 0;
}

static void sim_cond_free(struct env *env, struct env_cond *c)
{
	if (!c)
		return;
	sim_check_thread(sim_of(env));
	if (c->waiting)
		sim_die("a condition is freed while %u tasks wait on it", c->waiting);
	c->sim->live--;
	port_free(c);
}

static void sim_cond_wait(struct env *env, struct env_cond *c, struct port_mutex *m,
			  uint64_t timeout_ns)
{
	struct env_sim *sim = sim_of(env);
	struct sim_schedule *s = &sim->schedule;
	struct env_task *self = s->running;
	bool spurious;

	sim_check_thread(sim);
	sim_advance(sim, 1000);
	spurious = sim->config.spurious && !(sim_next(&s->rng) % 8);
	/* Waiting from before the lock is given up: a signal in between must count. */
	c->waiting++;
	self->cond = c;
	self->state = spurious ? TASK_READY : TASK_WAITING;
	self->wake_ns = timeout_ns && timeout_ns < UINT64_MAX - s->now_ns
				? s->now_ns + timeout_ns
				: UINT64_MAX;
	port_mutex_unlock(m);
	hand_over(self);
	c->waiting--;
	port_mutex_lock(m);
}

static void sim_cond_signal(struct env *env, struct env_cond *c)
{
	struct env_sim *sim = sim_of(env);
	struct env_task *t;

	sim_check_thread(sim);
	for (t = sim->schedule.first; t; t = t->next)
		if (t->state == TASK_WAITING && t->cond == c)
			t->state = TASK_READY;
}

/* ---- time and chance ---- */

void sim_advance(struct env_sim *sim, uint64_t ns)
{
	sim->schedule.now_ns += ns;
}

static uint64_t sim_now_ns(struct env *env)
{
	struct env_sim *sim = sim_of(env);

	/* Whoever loops until a time comes must see it come. */
	sim_check_thread(sim);
	sim_advance(sim, 1000);
	return sim->schedule.now_ns;
}

static void sim_sleep_ns(struct env *env, uint64_t ns)
{
	struct env_sim *sim = sim_of(env);

	sim_check_thread(sim);
	wait_until(sim->schedule.running, sim->schedule.now_ns + ns);
}

static uint64_t sim_random(struct env *env)
{
	struct env_sim *sim = sim_of(env);

	sim_check_thread(sim);
	return sim_next(&sim->random);
}

static void sim_log(struct env *env, const char *text)
{
	if (getenv("ENV_SIM_LOG"))
		(void)fprintf(stderr, "# %llu ns: %s\n",
			      (unsigned long long)sim_of(env)->schedule.now_ns, text);
}

const struct env_ops sim_env_ops = {
	.name = "sim",
	.open = sim_open,
	.unlink = sim_unlink,
	.rename = sim_rename,
	.mkdir = sim_mkdir,
	.rmdir = sim_rmdir,
	.list = sim_list,
	.sync_dir = sim_sync_dir,
	.lock = sim_lock,
	.unlock = sim_unlock,
	.free_space = sim_free_space,
	.read_many = sim_read_many,
	.now_ns = sim_now_ns,
	.sleep_ns = sim_sleep_ns,
	.random = sim_random,
	.spawn = sim_spawn,
	.join = sim_join,
	.cond_new = sim_cond_new,
	.cond_free = sim_cond_free,
	.cond_wait = sim_cond_wait,
	.cond_signal = sim_cond_signal,
	.log = sim_log,
};
