// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * env_kernel.c - env.h inside the kernel: the table, background work, waiting, time.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/fs_struct.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "env_kernel_internal.h"

/* ---- calls that must not be cut short ---- */

static int run_here(struct kernel_call *call)
{
	const struct cred *before = override_creds(call->env->cred);
	int error = call->fn(call);

	revert_creds(before);
	return error;
}

static void run_by_worker(struct work_struct *work)
{
	struct kernel_call *call = container_of(work, struct kernel_call, work);

	call->error = run_here(call);
}

static bool may_be_cut_short(void)
{
	return fatal_signal_pending(current) || rlimit(RLIMIT_FSIZE) != RLIM_INFINITY;
}

int env_kernel_run(struct env_kernel *env, struct kernel_call *call)
{
	call->env = env;
	if (current->flags & PF_KTHREAD || !may_be_cut_short()) {
		call->error = run_here(call);
		if (call->error != -EINTR)
			return call->error;
	}
	INIT_WORK_ONSTACK(&call->work, run_by_worker);
	queue_work(env->io, &call->work);
	flush_work(&call->work);
	destroy_work_on_stack(&call->work);
	return call->error;
}

/* ---- time and chance ---- */

static uint64_t kernel_now_ns(struct env *env)
{
	(void)env;
	return ktime_get_ns();
}

static void kernel_sleep_ns(struct env *env, uint64_t ns)
{
	ktime_t left = ns_to_ktime(ns);

	(void)env;
	set_current_state(TASK_IDLE);
	schedule_hrtimeout(&left, HRTIMER_MODE_REL);
}

static uint64_t kernel_random(struct env *env)
{
	uint64_t v;

	(void)env;
	get_random_bytes(&v, sizeof(v));
	return v;
}

/* ---- background work ---- */

struct env_task {
	struct env_kernel *env;
	env_task_fn *fn;
	void *arg;
	struct completion done;
};

static int task_main(void *arg)
{
	/* EXERCISE 4.10 begin: with the maker's rights; task may be gone once it is complete
	 *|	return 0;
	 */
	struct env_task *task = arg;
	const struct cred *before = override_creds(task->env->cred);

	task->fn(task->arg);
	revert_creds(before);
	/* The thread runs none of this module's code once the other side has gone on. */
	kthread_complete_and_exit(&task->done, 0);
	/* EXERCISE 4.10 end */
}

static int kernel_spawn(struct env *env, const char *name, env_task_fn *fn, void *arg,
			struct env_task **out)
{
	/* EXERCISE 4.10 begin: a thread called kv-NAME; nothing is left when there is none
	 *|	return -ENOMEM;
	 */
	struct env_task *task = port_alloc(sizeof(*task));
	struct task_struct *thread;

	if (!task)
		return -ENOMEM;
	task->env = env_kernel(env);
	task->fn = fn;
	task->arg = arg;
	init_completion(&task->done);
	thread = kthread_run(task_main, task, "kv-%s", name);
	if (IS_ERR(thread)) {
		port_free(task);
		/* A process that is being killed starts nothing. */
		return PTR_ERR(thread) == -EINTR ? -EAGAIN : (int)PTR_ERR(thread);
	}
	*out = task;
	return 0;
	/* EXERCISE 4.10 end */
}

static void kernel_join(struct env *env, struct env_task *task)
{
	/* EXERCISE 4.10 begin: waits for its end, then frees it */
	(void)env;
	wait_for_completion(&task->done);
	port_free(task);
	/* EXERCISE 4.10 end */
}

static void kernel_stand_back(struct env *env)
{
	(void)env;
	if (current->flags & PF_KTHREAD)
		set_user_nice(current, 5);
}

/* ---- waiting ---- */

struct env_cond {
	wait_queue_head_t queue;
};

static int kernel_cond_new(struct env *env, struct env_cond **out)
{
	struct env_cond *c = port_alloc(sizeof(*c));

	(void)env;
	if (!c)
		return -ENOMEM;
	init_waitqueue_head(&c->queue);
	*out = c;
	return 0;
}

static void kernel_cond_free(struct env *env, struct env_cond *c)
{
	(void)env;
	port_free(c);
}

/* It stands in the queue before it gives the mutex up, so that no signal is missed. No
 * process's signal ends the wait: what it waits for comes. */
static void kernel_cond_wait(struct env *env, struct env_cond *c, struct port_mutex *m,
			     uint64_t timeout_ns)
{
	/* EXERCISE 3.9 begin: in the queue before the mutex is given up
	 *|	port_mutex_unlock(m);
	 *|	schedule_timeout_idle(1);
	 *|	port_mutex_lock(m);
	 */
	ktime_t left = ns_to_ktime(timeout_ns);
	DEFINE_WAIT(wait);

	(void)env;
	prepare_to_wait(&c->queue, &wait, TASK_IDLE);
	port_mutex_unlock(m);
	if (timeout_ns)
		schedule_hrtimeout(&left, HRTIMER_MODE_REL);
	else
		schedule();
	finish_wait(&c->queue, &wait);
	port_mutex_lock(m);
	/* EXERCISE 3.9 end */
}

static void kernel_cond_signal(struct env *env, struct env_cond *c)
{
	(void)env;
	wake_up_all(&c->queue);
}

/* ---- the table ---- */

static void kernel_log(struct env *env, const char *text)
{
	(void)env;
	pr_info("%s\n", text);
}

static const struct env_ops env_kernel_ops = {
	.name = "kernel",
	.open = env_kernel_open,
	.unlink = env_kernel_unlink,
	.rename = env_kernel_rename,
	.mkdir = env_kernel_mkdir,
	.rmdir = env_kernel_rmdir,
	.list = env_kernel_list,
	.sync_dir = env_kernel_sync_dir,
	.lock = env_kernel_lock,
	.unlock = env_kernel_unlock,
	.free_space = env_kernel_free_space,
	.read_many = env_kernel_read_many,
	.now_ns = kernel_now_ns,
	.sleep_ns = kernel_sleep_ns,
	.random = kernel_random,
	.spawn = kernel_spawn,
	.join = kernel_join,
	.stand_back = kernel_stand_back,
	.cond_new = kernel_cond_new,
	.cond_free = kernel_cond_free,
	.cond_wait = kernel_cond_wait,
	.cond_signal = kernel_cond_signal,
	.log = kernel_log,
};

int env_kernel_new(struct env **out)
{
	struct env_kernel *k = port_alloc(sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->io = alloc_workqueue("kv-io", WQ_UNBOUND, 0);
	if (!k->io) {
		port_free(k);
		return -ENOMEM;
	}
	k->base.ops = &env_kernel_ops;
	k->cred = get_current_cred();
	get_fs_root(current->fs, &k->root);
	*out = &k->base;
	return 0;
}

void env_kernel_free(struct env *env)
{
	struct env_kernel *k;

	if (!env)
		return;
	k = env_kernel(env);
	destroy_workqueue(k->io);
	path_put(&k->root);
	put_cred(k->cred);
	port_free(k);
}
