// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_selftest.c - does the engine do in this kernel what it does in userspace?
 *
 * Some keys are put, deleted and read at random; of each the version is kept that
 * must be there, and a value says which it is. In between the store is verified, walked
 * through and opened anew. Then several tasks do the same side by side, each with keys of
 * its own. The conformance suite says more, through the device; this finds a module that
 * does not fit its kernel before it is given data.
 */
#include "../env_memory.h"
#include "storage_home.h"

enum {
	KEYS = 64,
	TASKS = 3,
	VALUE_MAX = 700,
	STEPS = 240,
	BATCH = 4,
	MEMORY_MAX = 32 << 20,
};

struct history {
	struct kv *kv;
	struct kv_msg *why;
	uint64_t random;
	unsigned int prefix;    /* of its keys: a task's number */
	uint32_t version[KEYS]; /* 0: not there */
	uint32_t next;
	struct kv_buf got;
	uint8_t value[BATCH][VALUE_MAX];
	uint8_t key[BATCH][16];
	struct kv_op op[BATCH];
	uint32_t planned[BATCH];
	unsigned int steps;
	int error; /* of a task */
};

static uint32_t draw(struct history *h, uint32_t below)
{
	h->random ^= h->random << 13;
	h->random ^= h->random >> 7;
	h->random ^= h->random << 17;
	return (uint32_t)(h->random >> 33) % below;
}

/* ---- what a key and a version stand for ---- */

static struct kv_slice key_of(unsigned int prefix, unsigned int i, uint8_t *p)
{
	size_t len = 5 + i % 11;

	memset(p, 'k', 16);
	p[0] = (uint8_t)('0' + prefix);
	p[1] = (uint8_t)(i >> 8);
	p[2] = (uint8_t)i;
	return kv_slice(p, len);
}

static size_t value_len(unsigned int i, uint32_t version)
{
	return (size_t)(i * 31 + version * 17) % VALUE_MAX;
}

static uint8_t value_byte(unsigned int i, uint32_t version, size_t at)
{
	return (uint8_t)(i + version * 7 + at * (2 * version + 1));
}

static bool value_is(struct kv_slice v, unsigned int i, uint32_t version)
{
	const uint8_t *p = v.data;
	size_t at;

	if (v.len != value_len(i, version))
		return false;
	for (at = 0; at < v.len; at++)
		if (p[at] != value_byte(i, version, at))
			return false;
	return true;
}

/* ---- steps ---- */

static void plan_op(struct history *h, unsigned int slot, unsigned int i)
{
	struct kv_op *op = &h->op[slot];
	size_t at, len;

	*op = (struct kv_op){ .key = key_of(h->prefix, i, h->key[slot]) };
	if (draw(h, 4) == 0) {
		op->type = KV_DELETE;
		h->planned[slot] = 0;
		return;
	}
	h->planned[slot] = ++h->next;
	len = value_len(i, h->next);
	for (at = 0; at < len; at++)
		h->value[slot][at] = value_byte(i, h->next, at);
	op->type = KV_PUT;
	op->value = kv_slice(h->value[slot], len);
}

static int write_step(struct history *h)
{
	static const enum kv_durability how[] = { KV_NONE, KV_NONE, KV_GROUP, KV_SYNC };
	bool batch = h->kv->ops->caps & KV_CAP_BATCH && draw(h, 4) == 0;
	unsigned int n = batch ? 1 + draw(h, BATCH) : 1, i, first = draw(h, KEYS);
	int error;

	for (i = 0; i < n; i++)
		plan_op(h, i, (first + i) % KEYS);
	error = kv_write(h->kv, h->op, n, how[draw(h, 4)]);
	if (error)
		return kv_fail(h->why, error, "a write of %u steps failed", n);
	for (i = 0; i < n; i++)
		h->version[(first + i) % KEYS] = h->planned[i];
	return 0;
}

static int check_key(struct history *h, unsigned int i)
{
	uint8_t bytes[16];
	int error = kv_get(h->kv, key_of(h->prefix, i, bytes), &h->got);

	if (error == -ENOENT && !h->version[i])
		return 0;
	if (error)
		return kv_fail(h->why, error == -ENOENT ? -EBADMSG : error,
			       "key %u could not be read: %d", i, error);
	if (!h->version[i] ||
	    !value_is(kv_slice(h->got.data, h->got.len), i, h->version[i]))
		return kv_fail(h->why, -EBADMSG, "key %u has a wrong value", i);
	return 0;
}

static int check_all(struct history *h)
{
	unsigned int i;
	int error = 0;

	for (i = 0; i < KEYS && !error; i++)
		error = check_key(h, i);
	return error;
}

/* Every pair once, and those that must be there. */
static int walk(struct history *h)
{
	unsigned int i, wanted = 0, seen = 0;
	struct kv_cursor *c;
	const uint8_t *p;
	int error;

	if (!(h->kv->ops->caps & KV_CAP_CURSOR))
		return 0;
	error = kv_cursor(h->kv, NULL, &c);
	if (error)
		return kv_fail(h->why, error, "no cursor: %d", error);
	for (i = 0; i < KEYS; i++)
		wanted += h->version[i] != 0;
	while (!(error = kv_next(c))) {
		p = c->key.data;
		i = c->key.len >= 5 ? (unsigned int)(p[1] << 8 | p[2]) : KEYS;
		if (i >= KEYS || !h->version[i] ||
		    !value_is(c->value, i, h->version[i])) {
			error = -EBADMSG;
			break;
		}
		seen++;
	}
	kv_cursor_close(c);
	if (error != -ENOENT || seen != wanted)
		return kv_fail(h->why, error == -ENOENT ? -EBADMSG : error,
			       "a walk met %u pairs of %u: %d", seen, wanted, error);
	return 0;
}

static int reopen(struct history *h, const struct kv_ops *ops, struct env *env,
		  const char *dir, const char *options)
{
	int error = kv_close(h->kv);

	h->kv = NULL;
	if (error)
		return kv_fail(h->why, error, "the store was not closed well: %d", error);
	return kv_open(ops, env, dir, options, &h->kv, h->why);
}

/* ---- side by side ---- */

static void run_task(void *arg)
{
	struct history *h = arg;
	unsigned int i;

	for (i = 0; i < h->steps && !h->error; i++)
		h->error = draw(h, 3) ? write_step(h) : check_key(h, draw(h, KEYS));
	if (!h->error)
		h->error = check_all(h);
}

static int run_tasks(struct history *h, struct env *env, struct history *each)
{
	struct env_task *task[TASKS];
	unsigned int n, i;
	int error = 0;

	for (n = 0; n < TASKS; n++) {
		each[n].kv = h->kv;
		each[n].why = h->why;
		each[n].prefix = n + 1;
		each[n].random = h->random + n;
		each[n].steps = h->steps / 2;
		error = env->ops->spawn(env, "selftest", run_task, &each[n], &task[n]);
		if (error)
			break;
	}
	for (i = 0; i < n; i++)
		env->ops->join(env, task[i]);
	for (i = 0; i < n && !error; i++)
		error = each[i].error;
	for (i = 0; i < n; i++)
		kv_buf_free(&each[i].got);
	return error;
}

/* ---- all of it ---- */

static int run_history(struct history *h, const struct kv_ops *ops, struct env *env,
		       const char *dir, const char *options)
{
	unsigned int i;
	int error = 0;

	for (i = 0; i < h->steps && !error; i++) {
		error = draw(h, 3) ? write_step(h) : check_key(h, draw(h, KEYS));
		if (!error && i % 100 == 50)
			error = walk(h);
		if (!error && i % 500 == 120 && ops->caps & KV_CAP_PERSISTENT)
			error = reopen(h, ops, env, dir, options);
	}
	return error ? error : check_all(h);
}

int storage_selftest_history(const struct kv_ops *ops, struct env *env, const char *dir,
			     const char *options, unsigned int steps, unsigned int seed,
			     struct kv_msg *why)
{
	struct history *h = port_alloc((1 + TASKS) * sizeof(*h));
	int error, closed;

	if (!h)
		return kv_fail(why, -ENOMEM, "no memory for a self-test");
	memset(h, 0, (1 + TASKS) * sizeof(*h));
	h->why = why;
	h->steps = steps;
	h->random = 0x9e3779b97f4a7c15ull * (seed + 1ull);
	error = kv_open(ops, env, dir, options, &h->kv, why);
	if (!error)
		error = run_history(h, ops, env, dir, options);
	if (!error)
		error = run_tasks(h, env, h + 1);
	if (!error && ops->caps & KV_CAP_VERIFY)
		error = kv_verify(h->kv, why);
	closed = h->kv ? kv_close(h->kv) : 0;
	if (!error && closed)
		error = kv_fail(why, closed, "the store was not closed well: %d", closed);
	kv_buf_free(&h->got);
	port_free(h);
	return error;
}

int storage_selftest(const struct kv_ops *ops, struct env *env, const char *options,
		     struct kv_msg *why)
{
	struct env *memory;
	int error = env_memory_new(env, MEMORY_MAX, &memory);

	if (error)
		return kv_fail(why, error, "no memory for a self-test");
	error = storage_selftest_history(ops, memory, "selftest", options, STEPS, 1, why);
	env_memory_free(memory);
	return error;
}
