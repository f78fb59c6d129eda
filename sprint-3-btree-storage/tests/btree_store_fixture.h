/* SPDX-License-Identifier: MIT */
/*
 * btree_store_fixture.h - what tests of the whole B+tree store share: keys and values by
 * number, a store in the scratch directory, single statistics.
 */
#ifndef BTREE_STORE_FIXTURE_H
#define BTREE_STORE_FIXTURE_H

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-2-hash-storage/env.h"
#include "../btree_engine.h"

enum { STORE_KEY = 24, STORE_VALUE = 1 << 16 };

/* In the order of i. */
static inline struct kv_slice store_key(char *buf, unsigned int i)
{
	(void)snprintf(buf, STORE_KEY, "key%08u", i);
	return kv_str(buf);
}

/* Its length and its bytes follow from i. */
static inline struct kv_slice store_value(char *buf, unsigned int i, size_t bytes)
{
	size_t n = bytes ? bytes - i % (bytes / 2 + 1) : 0;

	memset(buf, (int)('a' + i % 26), n);
	if (n >= 4)
		port_put_le32(buf, i);
	return kv_slice(buf, n);
}

static inline struct kv *store_open(const char *dir, const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error = kv_open(&btree_engine, env_posix(), dir, options, &kv, &why);

	if (error)
		fail_msg("open: %d: %s", error, why.text);
	return kv;
}

static inline void store_close(struct kv *kv)
{
	assert_int_equal(kv_close(kv), 0);
}

static inline void store_put(struct kv *kv, unsigned int i, size_t bytes)
{
	static char value[STORE_VALUE];
	char key[STORE_KEY];

	assert_int_equal(
		kv_put(kv, store_key(key, i), store_value(value, i, bytes), KV_NONE), 0);
}

static inline void store_delete(struct kv *kv, unsigned int i)
{
	char key[STORE_KEY];

	assert_int_equal(kv_delete(kv, store_key(key, i), KV_NONE), 0);
}

static inline void store_verify(struct kv *kv)
{
	struct kv_msg why = { "" };
	int error = kv_verify(kv, &why);

	if (error)
		fail_msg("verify: %d: %s", error, why.text);
}

/* That the pairs are those of 0, step, 2 * step, ... below n, and no others. */
static inline void store_expect(struct kv *kv, unsigned int n, unsigned int step,
				size_t bytes)
{
	static char value[STORE_VALUE];
	char key[STORE_KEY];
	struct kv_cursor *c;
	unsigned int i;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	for (i = 0; i < n; i += step) {
		assert_int_equal(kv_next(c), 0);
		assert_int_equal(kv_compare(c->key, store_key(key, i)), 0);
		assert_int_equal(kv_compare(c->value, store_value(value, i, bytes)), 0);
	}
	assert_int_equal(kv_next(c), -ENOENT);
	kv_cursor_close(c);
}

struct store_stat {
	const char *name;
	uint64_t value;
	bool found;
};

static inline void store_stat_emit(void *arg, const char *name, uint64_t value)
{
	struct store_stat *s = arg;

	if (strcmp(name, s->name))
		return;
	s->value = value;
	s->found = true;
}

static inline uint64_t store_stat(struct kv *kv, const char *name)
{
	struct store_stat s = { name, 0, false };

	kv_stats(kv, store_stat_emit, &s);
	assert_true(s.found);
	return s.value;
}

#endif /* BTREE_STORE_FIXTURE_H */
