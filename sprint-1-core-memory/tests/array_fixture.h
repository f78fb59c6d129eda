/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * array_fixture.h - a fresh array engine for each test of array_tests.c and
 * array_history_tests.c, and what is asked of it everywhere.
 */
#ifndef ARRAY_FIXTURE_H
#define ARRAY_FIXTURE_H

#include "../array_engine.h"
#include "core_random.h"
#include "leak_check.h"

static struct kv *store;
static struct kv_buf got;

static inline void open_store(const char *options)
{
	struct kv_msg why;

	if (kv_open(&array_engine, NULL, "nowhere", options, &store, &why))
		fail_msg("open: %s", why.text);
}

static inline int set_up(void **state)
{
	core_random_start();
	leak_check_set_up(state);
	open_store(NULL);
	return 0;
}

static inline void close_store(void)
{
	assert_int_equal(kv_close(store), 0);
	store = NULL;
}

/* Nothing may stay allocated. */
static inline int tear_down(void **state)
{
	close_store();
	kv_buf_free(&got);
	return leak_check_tear_down(state);
}

struct stats {
	uint64_t keys, memory_bytes, versions, version_copies;
	unsigned int n; /* counters emitted */
};

static inline void note_stat(void *arg, const char *name, uint64_t value)
{
	struct stats *s = arg;

	s->n++;
	if (!strcmp(name, "keys"))
		s->keys = value;
	else if (!strcmp(name, "memory_bytes"))
		s->memory_bytes = value;
	else if (!strcmp(name, "versions"))
		s->versions = value;
	else if (!strcmp(name, "version_copies"))
		s->version_copies = value;
	else
		fail_msg("unknown counter %s", name);
}

static inline struct stats stats(void)
{
	struct stats s = { 0 };

	kv_stats(store, note_stat, &s);
	assert_int_equal(s.n, 4);
	return s;
}

static inline void expect_healthy(void)
{
	struct kv_msg why = { "" };

	if (kv_verify(store, &why))
		fail_msg("verify: %s", why.text);
}

static inline struct kv_snapshot *take_snapshot(void)
{
	struct kv_snapshot *snap = NULL;

	assert_int_equal(kv_snapshot(store, &snap), 0);
	return snap;
}

static inline struct kv_cursor *open_cursor(struct kv_snapshot *snap)
{
	struct kv_cursor *c = NULL;

	assert_int_equal(kv_cursor(store, snap, &c), 0);
	return c;
}

static inline void expect_bytes(struct kv_slice came, struct kv_slice want)
{
	assert_int_equal(came.len, want.len);
	if (want.len)
		assert_memory_equal(came.data, want.data, want.len);
}

#define ARRAY_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif /* ARRAY_FIXTURE_H */
