/* SPDX-License-Identifier: MIT */
/*
 * kv_crash_internal.h - what the crash test's files share.
 *
 * kv_crash_model.c    what each client has written, and what a crash must keep of it
 * kv_crash_history.c  the random history
 * kv_crash.c          the disks after a crash: which, and what is checked
 */
#ifndef KV_CRASH_INTERNAL_H
#define KV_CRASH_INTERNAL_H

#include "kv_crash.h"

enum { CRASH_BACKUPS = 3, CRASH_CLIENTS = 4, CRASH_BATCH = 6 };

/* From position at on, the first n writes must be there. */
struct crash_floor {
	size_t at, n;
};

struct crash_group { /* the first n writes, when this time has come */
	size_t n;
	uint64_t due_ns;
};

/* One client's writes. A row says which value each of its keys has: an id, 0: none. */
struct crash_life {
	unsigned int first, keys; /* its keys' numbers */
	size_t n, cap;
	uint64_t *row; /* n + 1 rows: after that many writes */
	size_t *begun; /* position before each write */
	struct crash_floor *floor;
	size_t floors, floor_cap;
	struct crash_group *group;
	size_t groups, group_cap, groups_done;
};

struct crash_backup {
	char dir[16];
	size_t begun, done; /* positions; SIZE_MAX: it has not returned 0 */
	size_t n;           /* writes before it */
};

struct crash_run {
	const struct kv_crash_config *c;
	struct kv_crash_report *r;
	unsigned int clients, steps, keys; /* keys: of each client */
	size_t value_max;
	uint64_t group_ns;
	struct crash_life life[CRASH_CLIENTS];
	struct crash_backup backup[CRASH_BACKUPS];
	unsigned int backups;
	bool stopped; /* a call of the history failed, as it was made to */
	struct kv_msg detail;
	char twice[512]; /* the disk that failed after a second crash */
};

/* 1, with a sentence for the report. The first stays. */
int crash_fail(struct crash_run *h, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static inline uint64_t crash_next(uint64_t *rng) /* splitmix64 */
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- kv_crash_model.c ---- */

void *crash_grow(void *p, size_t *cap, size_t need, size_t size); /* or exits */

void life_init(struct crash_life *l, unsigned int first, unsigned int keys,
	       const uint64_t *base);
void life_free(struct crash_life *l);
uint64_t *life_row(const struct crash_life *l, size_t n);
/* One write more; the new row, which is the last one's copy as yet. */
uint64_t *life_begin(struct crash_life *l, size_t position);
/* Everything so far is durable. */
void life_floor(struct crash_life *l, size_t position);
/* What was written until now is durable at due_ns; life_wait() says that now has come. */
void life_group(struct crash_life *l, uint64_t due_ns);
void life_wait(struct crash_life *l, uint64_t now_ns, size_t position);
/* After a crash at a position, at least and at most so many writes. */
size_t life_least(const struct crash_life *l, size_t at);
size_t life_most(const struct crash_life *l, size_t at);
/* How many writes, from least to most, give this row (of all keys); SIZE_MAX: none. */
size_t life_match(const struct crash_life *l, const uint64_t *row, size_t least,
		  size_t most);

enum { CRASH_KEY_BYTES = 16 };
struct kv_slice crash_key(unsigned int key, char buf[CRASH_KEY_BYTES]);
/* The value that an id stands for, in out. */
struct kv_slice crash_value(const struct crash_run *h, uint64_t id, struct kv_buf *out);
/* What the store holds, into row (of all keys); 1 when that was never written, the error
 * when a read was refused. */
int crash_read(struct crash_run *h, struct kv *kv, struct kv_snapshot *snap,
	       uint64_t *row);

/* ---- kv_crash_history.c ---- */

int crash_open(struct crash_run *h, struct env_sim *sim, const char *dir,
	       struct kv **out);
/* 0; or 1 when the engine broke a promise without any crash. */
int crash_history(struct crash_run *h, struct env_sim *sim);

#endif /* KV_CRASH_INTERNAL_H */
