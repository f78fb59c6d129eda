/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_live.h - for tests over real files and processes: writers whose every step follows
 * from its number, so that what a store must hold after n steps can be computed.
 *
 * A writer has keys of its own. A value says which step wrote it, so reading a store gives
 * for each key the step that it is from, and those must be the steps of one moment.
 *
 * Another engine's tests define LIVE_ENGINE, and what else stands below, before they include
 * this.
 */
#ifndef HASH_LIVE_H
#define HASH_LIVE_H

#include "../env.h"

#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/scratch.h"

#include <time.h>

#ifndef LIVE_ENGINE
#include "../hash_engine.h"
#define LIVE_ENGINE hash_engine
/* So small that segments are sealed, cleaned and checkpointed all the time. */
#define LIVE_OPTIONS    "segment_bytes=64k,leaf=64,clean_percent=30,checkpoint_bytes=300k"
#define LIVE_WHOLE      "STORE"             /* a file that a whole backup has, */
#define LIVE_BEGUN      "000000000000.log"  /* the end of a name that is there before, */
#define LIVE_UNFINISHED "unfinished backup" /* and what is said of that */
#endif

enum {
	LIVE_KEYS = 200,    /* of one writer */
	LIVE_STEPS_MAX = 4, /* operations in one step */
	LIVE_VALUE_MAX = 1024,
	LIVE_KEY_MAX = 32,
};

struct live_model { /* the step that each key's value is from; 0: absent */
	uint64_t from[LIVE_KEYS];
};

static inline uint64_t live_draw(uint64_t x) /* splitmix64 */
{
	uint64_t z = x * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline uint64_t live_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What KV_TORTURE says in ms, else the usual. */
static inline uint64_t live_ms(uint64_t usual)
{
	const char *torture = getenv("KV_TORTURE");

	return torture ? strtoull(torture, NULL, 0) * 1000 / 4 : usual;
}

static inline struct kv_slice live_key(unsigned int writer, size_t key, char *buf)
{
	int n = snprintf(buf, LIVE_KEY_MAX, "writer%u-key%04zu", writer, key);

	return kv_slice(buf, (size_t)n);
}

static inline struct kv_slice live_value(unsigned int writer, uint64_t step, size_t key,
					 uint8_t *buf)
{
	uint64_t r = live_draw(step << 8 ^ writer ^ (uint64_t)key << 40);
	size_t len = 8 + r % (r % 8 ? 200 : LIVE_VALUE_MAX - 8), i;

	port_put_le64(buf, step);
	for (i = 8; i < len; i++)
		buf[i] = (uint8_t)(r >> (i % 8 * 8)) ^ (uint8_t)i;
	return kv_slice(buf, len);
}

/* The keys of a step and whether they are put; returns how many. */
static inline size_t live_step(unsigned int writer, uint64_t step,
			       size_t key[LIVE_STEPS_MAX], bool put[LIVE_STEPS_MAX])
{
	uint64_t r = live_draw(step * 16 + writer);
	size_t n = r % 10 < 2 ? LIVE_STEPS_MAX : 1, i;

	for (i = 0; i < n; i++) {
		key[i] = ((r >> 8) + i * 7) % LIVE_KEYS;
		put[i] = n == 1 ? r % 10 < 8 : i != 2;
	}
	return n;
}

static inline enum kv_durability live_durability(uint64_t step)
{
	return step % 64 == 0 ? KV_SYNC : step % 4 == 1 ? KV_GROUP : KV_NONE;
}

static inline int live_write(struct kv *kv, unsigned int writer, uint64_t step)
{
	uint8_t value[LIVE_STEPS_MAX][LIVE_VALUE_MAX];
	char name[LIVE_STEPS_MAX][LIVE_KEY_MAX];
	struct kv_op op[LIVE_STEPS_MAX];
	size_t key[LIVE_STEPS_MAX], i, n;
	bool put[LIVE_STEPS_MAX];

	n = live_step(writer, step, key, put);
	for (i = 0; i < n; i++)
		op[i] = (struct kv_op){
			.type = put[i] ? KV_PUT : KV_DELETE,
			.key = live_key(writer, key[i], name[i]),
			.value = live_value(writer, step, key[i], value[i]),
		};
	return kv_write(kv, op, n, live_durability(step));
}

static inline void live_apply(struct live_model *m, unsigned int writer, uint64_t step)
{
	size_t key[LIVE_STEPS_MAX], i, n;
	bool put[LIVE_STEPS_MAX];

	n = live_step(writer, step, key, put);
	for (i = 0; i < n; i++)
		m->from[key[i]] = put[i] ? step : 0;
}

/* The step that value is from; UINT64_MAX when none wrote it. */
static inline uint64_t live_step_of(unsigned int writer, size_t key,
				    struct kv_slice value)
{
	uint8_t buf[LIVE_VALUE_MAX];
	uint64_t step = value.len >= 8 ? port_get_le64(value.data) : 0;
	struct kv_slice want = live_value(writer, step, key, buf);

	return step && !kv_compare(value, want) ? step : UINT64_MAX;
}

/* 0, or an error of a get; a value that no step wrote is -EBADMSG. */
static inline int live_read(struct kv *kv, struct kv_snapshot *snap, unsigned int writer,
			    struct live_model *out)
{
	struct kv_buf value = { 0 };
	char name[LIVE_KEY_MAX];
	size_t key;
	int error = 0;

	for (key = 0; !error && key < LIVE_KEYS; key++) {
		error = kv_get_at(kv, snap, live_key(writer, key, name), &value);
		out->from[key] = 0;
		if (error == -ENOENT) {
			error = 0;
			continue;
		}
		if (!error)
			out->from[key] = live_step_of(writer, key,
						      kv_slice(value.data, value.len));
		if (!error && out->from[key] == UINT64_MAX)
			error = -EBADMSG;
	}
	kv_buf_free(&value);
	return error;
}

/* Moves m, which is at *step, on to the moment that `is` shows, at most to `last`. False
 * when it shows none of them. */
static inline bool live_catch_up(struct live_model *m, unsigned int writer,
				 uint64_t *step, uint64_t last,
				 const struct live_model *is)
{
	while (memcmp(m, is, sizeof(*m))) {
		if (*step >= last)
			return false;
		live_apply(m, writer, ++*step);
	}
	return true;
}

/* ---- directories ---- */

static inline const char *live_dir(const char *name, char buf[SCRATCH_PATH])
{
	(void)snprintf(buf, SCRATCH_PATH, "%s/%s", scratch, name);
	return buf;
}

static inline struct kv *live_open(const char *dir)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error = kv_open(&LIVE_ENGINE, env_posix(), dir, LIVE_OPTIONS, &kv, &why);

	if (error)
		fail_msg("%s: %d: %s", dir, error, why.text);
	return kv;
}

static inline void live_verify(struct kv *kv)
{
	struct kv_msg why = { "" };
	int error = kv_verify(kv, &why);

	if (error)
		fail_msg("verify: %d: %s", error, why.text);
}

#endif /* HASH_LIVE_H */
