// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * port_test.c - port-test.ko: asks the kernel's homes of port.h and of env.h's background work
 * for what these headers promise, for the exercises that write them.
 *
 *	insmod port-test.ko test=realloc
 *
 * does one test while it is loaded. /sys/module/port_test/parameters/result then says what was
 * expected and what came, in two lines, or nothing.
 */
/* On arm64 they bring in linux/fs.h, whose struct file is another than env.h's. */
#define file linux_file
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#undef file

#include "../../sprint-2-hash-storage/env.h"
#include "../../sprint-2-hash-storage/kernel/env_kernel.h"
#define current get_current()

static char *test = "";
module_param(test, charp, 0444);
MODULE_PARM_DESC(test, "the test's name");

static char result[256];
module_param_string(result, result, sizeof(result), 0444);
MODULE_PARM_DESC(result, "what was expected and what came; nothing when all was well");

/* The first difference stays. */
static __printf(3, 4) bool expect(bool ok, const char *expected, const char *came, ...)
{
	va_list ap;
	int n;

	if (ok || *result)
		return ok;
	n = scnprintf(result, sizeof(result), "%s\n", expected);
	va_start(ap, came);
	vscnprintf(result + n, sizeof(result) - n, came, ap);
	va_end(ap);
	return false;
}

/* Too large for any memory, and not so that a size_t overflows. */
#define TOO_MUCH (SIZE_MAX / 4)

/* ---- memory ---- */

static u8 byte_at(size_t i)
{
	return (u8)(i * 131 + (i >> 8));
}

static void fill(u8 *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = byte_at(i);
}

static bool is_filled(const u8 *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && p[i] == byte_at(i); i++)
		;
	return expect(i == n, "the bytes are as they were", "byte %zu is another", i);
}

static void test_alloc(void)
{
	static const size_t sizes[] = { 1, 100, 4096, 8192, 8193, 100000, (4 << 20) + 1 };
	void *p, *q;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = port_alloc(sizes[i]);
		if (expect(p, "port_alloc() gives memory", "NULL for %zu bytes",
			   sizes[i]))
			fill(p, sizes[i]);
		port_free(p);
	}
	p = port_alloc(0);
	q = port_alloc(0);
	expect(p && q && p != q && !ZERO_OR_NULL_PTR(p),
	       "port_alloc(0) gives a pointer, another one each time", "%px, %px", p, q);
	port_free(p);
	port_free(q);
	port_free(NULL);
}

static void test_no_memory(void)
{
	void *p = port_alloc(TOO_MUCH);

	expect(!p, "port_alloc(2^62 - 1) returns NULL", "a pointer");
	port_free(p);
}

static void test_realloc_copies(void)
{
	static const size_t sizes[] = { 100, 120, 9000, 300000, 5000, 50 };
	size_t i, old = 0;
	u8 *p = NULL, *q;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		q = port_realloc(p, old, sizes[i]);
		if (!expect(q, "port_realloc() gives memory", "NULL for %zu bytes",
			    sizes[i]))
			break;
		p = q;
		is_filled(p, min(old, sizes[i]));
		fill(p, sizes[i]);
		old = sizes[i];
	}
	port_free(p);
}

static void test_realloc_fails(void)
{
	u8 *p = port_alloc(100), *q;

	if (!expect(p, "port_alloc(100) gives memory", "NULL"))
		return;
	fill(p, 100);
	q = port_realloc(p, 100, TOO_MUCH);
	expect(!q, "port_realloc() to 2^62 - 1 bytes returns NULL", "a pointer");
	is_filled(p, 100);
	port_free(p);
}

static void test_aligned(void)
{
	static const size_t aligns[] = { 1, 16, 64, 4096, 65536 };
	static const size_t sizes[] = { 1, 100, 10000 };
	size_t i, k;
	u8 *p;

	for (i = 0; i < ARRAY_SIZE(aligns); i++)
		for (k = 0; k < ARRAY_SIZE(sizes); k++) {
			p = port_alloc_aligned(aligns[i], sizes[k]);
			if (!expect(p, "port_alloc_aligned() gives memory",
				    "NULL for %zu bytes at %zu", sizes[k], aligns[i]))
				return;
			expect(IS_ALIGNED((unsigned long)p, aligns[i]),
			       "its address is a multiple of what was asked for",
			       "%px for %zu", p, aligns[i]);
			fill(p, sizes[k]);
			port_free_aligned(p);
		}
	port_free_aligned(NULL);
}

static void test_aligned_overflow(void)
{
	void *p = port_alloc_aligned(64, SIZE_MAX - 40);

	expect(!p, "port_alloc_aligned(64, 2^64 - 41) returns NULL", "a pointer");
}

/* ---- waiting ---- */

struct turn {
	struct env *env;
	struct port_mutex lock;
	struct env_cond *changed;
	unsigned int value; /* protected by lock */
};

static void take_turns(void *arg)
{
	struct turn *t = arg;
	unsigned int i;

	port_mutex_lock(&t->lock);
	for (i = 0; i < 100; i++) {
		while (t->value % 2 == 0)
			t->env->ops->cond_wait(t->env, t->changed, &t->lock, 0);
		t->value++;
		t->env->ops->cond_signal(t->env, t->changed);
	}
	port_mutex_unlock(&t->lock);
}

static void test_turns(struct env *env)
{
	const struct env_ops *ops = env->ops;
	struct turn t = { .env = env };
	struct env_task *task;
	unsigned int i;

	port_mutex_init(&t.lock);
	if (ops->cond_new(env, &t.changed))
		return;
	if (!expect(!ops->spawn(env, "turns", take_turns, &t, &task), "a task is spawned",
		    "an error")) {
		ops->cond_free(env, t.changed);
		return;
	}
	port_mutex_lock(&t.lock);
	for (i = 0; i < 100; i++) {
		while (t.value % 2)
			ops->cond_wait(env, t.changed, &t.lock, 0);
		t.value++;
		ops->cond_signal(env, t.changed);
	}
	port_mutex_unlock(&t.lock);
	ops->join(env, task);
	expect(t.value == 200, "two that wait for each other take 200 turns", "%u",
	       t.value);
	ops->cond_free(env, t.changed);
	port_mutex_destroy(&t.lock);
}

/* Nobody signals. */
static void test_timeout(struct env *env)
{
	const struct env_ops *ops = env->ops;
	struct port_mutex lock;
	struct env_cond *c;
	uint64_t begun = ops->now_ns(env), took;
	unsigned int woken = 0;

	port_mutex_init(&lock);
	if (ops->cond_new(env, &c))
		return;
	port_mutex_lock(&lock);
	do {
		ops->cond_wait(env, c, &lock, 200000000);
		took = ops->now_ns(env) - begun;
		woken++;
	} while (took < 200000000 && woken < 1000);
	port_mutex_unlock(&lock);
	expect(woken < 5, "a wait of 0.2 s sleeps until its end", "it woke %u times",
	       woken);
	ops->cond_free(env, c);
	port_mutex_destroy(&lock);
}

/* ---- threads ---- */

struct seen {
	bool ran, thread, rights, name;
	const struct cred *cred;
	unsigned int wait_ms;
};

static void look(void *arg)
{
	struct seen *s = arg;

	if (s->wait_ms)
		msleep(s->wait_ms);
	s->thread = current->flags & PF_KTHREAD;
	s->rights = current_cred() == s->cred;
	s->name = !strcmp(current->comm, "kv-look");
	s->ran = true;
}

static bool spawn_look(struct env *env, struct seen *s, struct env_task **task)
{
	int error = env->ops->spawn(env, "look", look, s, task);

	return expect(!error, "spawn returns 0", "%d", error);
}

static void test_spawn(struct env *env)
{
	struct seen s = { .cred = current_cred() };
	struct env_task *task;

	if (!spawn_look(env, &s, &task))
		return;
	msleep(50);
	env->ops->join(env, task);
	expect(s.ran, "the task has run", "it has not");
	expect(s.thread, "it runs in a thread of the kernel", "in a process");
	expect(s.name, "its thread is called kv-look", "another name");
	expect(s.rights, "it has the rights of who made the env", "others");
}

static void test_join(struct env *env)
{
	struct seen s = { .cred = current_cred(), .wait_ms = 300 };
	struct env_task *task;

	if (!spawn_look(env, &s, &task))
		return;
	env->ops->join(env, task);
	/* If it has not ended it still writes here: this frame must outlive it. */
	if (!expect(READ_ONCE(s.ran), "join returns when the task has ended", "before"))
		msleep(1000);
}

static void test_many(struct env *env)
{
	unsigned int i, k;

	for (i = 0; i < 25; i++) {
		struct seen s[4] = { { .cred = current_cred() } };
		struct env_task *task[4];

		for (k = 0; k < 4; k++)
			if (!spawn_look(env, &s[k], &task[k]))
				return;
		for (k = 0; k < 4; k++)
			env->ops->join(env, task[k]);
		for (k = 0; k < 4; k++)
			expect(s[k].ran, "each of four tasks at a time has run",
			       "task %u of round %u has not", k, i);
	}
}

static int __init port_test_init(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
		void (*run_env)(struct env *env);
	} tests[] = {
		{ "alloc", test_alloc, NULL },
		{ "no_memory", test_no_memory, NULL },
		{ "realloc_copies", test_realloc_copies, NULL },
		{ "realloc_fails", test_realloc_fails, NULL },
		{ "aligned", test_aligned, NULL },
		{ "aligned_overflow", test_aligned_overflow, NULL },
		{ "turns", NULL, test_turns },
		{ "timeout", NULL, test_timeout },
		{ "spawn", NULL, test_spawn },
		{ "join", NULL, test_join },
		{ "many", NULL, test_many },
	};
	struct env *env;
	size_t i;
	int error;

	for (i = 0; i < ARRAY_SIZE(tests) && strcmp(tests[i].name, test); i++)
		;
	if (i == ARRAY_SIZE(tests)) {
		pr_err("port-test: no test \"%s\"\n", test);
		return -EINVAL;
	}
	if (tests[i].run) {
		tests[i].run();
		return 0;
	}
	error = env_kernel_new(&env);
	if (error)
		return error;
	tests[i].run_env(env);
	env_kernel_free(env);
	return 0;
}

static void __exit port_test_exit(void)
{
}

module_init(port_test_init);
module_exit(port_test_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Asks the kernel's homes of port.h and env.h for what they promise");
