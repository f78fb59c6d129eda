/* SPDX-License-Identifier: MIT */
/*
 * btree_memory_tests.c - the B+tree engine with the least memory that it takes. Nodes are so
 * small that there are many inner ones, and these stay in memory while they are changed:
 * until a checkpoint, which here nothing but the want of memory brings about.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../btree_engine.h"

#include <unistd.h>

enum { KEYS = 3000, BYTES = 32, LEAST = 256 << 10 };

#define PLAIN  "segment_bytes=64k,checkpoint_bytes=1g,max_keys=4,huge=off"
#define LITTLE PLAIN ",memory_bytes=256k"

static struct kv *open_store(struct env_sim *sim, const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&btree_engine, env_sim_env(sim), "store", options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static void check_key(struct kv *kv, struct kv_snapshot *snap, unsigned int key,
		      unsigned int version)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	int error = kv_get_at(kv, snap, fixture_key(k, key), &value);

	assert_int_equal(error, version ? 0 : -ENOENT);
	if (version)
		assert_int_equal(fixture_version(key, BYTES, value.data, value.len),
				 version);
	kv_buf_free(&value);
}

/* In an order that jumps about: 1009 and KEYS have no common divisor. */
static unsigned int nth_key(unsigned int n)
{
	return n * 1009 % KEYS;
}

static void put_all(struct kv *kv, unsigned int version, enum kv_durability how)
{
	unsigned int n;

	for (n = 0; n < KEYS; n++) {
		int error = fixture_put(kv, nth_key(n), version, BYTES, how);

		if (error)
			fail_msg("put %u: %d", n, error);
	}
}

static void test_changed_inner_nodes_outgrow_memory(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct kv *kv = open_store(sim, LITTLE);
	struct kv_snapshot *snap;
	struct kv_msg why = { "" };
	unsigned int n;

	(void)state;
	put_all(kv, 1, KV_NONE);
	assert_true(fixture_stat(kv, "checkpoints") > 0);
	assert_int_equal(kv_snapshot(kv, &snap), 0);
	put_all(kv, 2, KV_NONE);
	for (n = 0; n < KEYS; n++) {
		check_key(kv, NULL, nth_key(n), 2);
		check_key(kv, snap, nth_key(KEYS - n), 1);
		/* A quarter more for readers, and what one write may take. */
		assert_true(fixture_stat(kv, "resident_bytes") <= LEAST * 3 / 2);
	}
	kv_release(kv, snap);
	for (n = 0; n < KEYS; n++)
		assert_int_equal(
			fixture_delete(kv, nth_key(n), n % 64 ? KV_NONE : KV_SYNC), 0);
	check_key(kv, NULL, 7, 0);
	if (kv_verify(kv, &why))
		fail_msg("%s", why.text);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
}

/* More changed inner nodes than memory, all of them from the log. */
static void test_log_is_replayed_with_less_memory_than_it_was_written_with(void **state)
{
	struct env_sim *sim = env_sim_new(NULL), *dead;
	struct env_sim_point p = { .loss = SIM_LOSE_NONE };
	struct kv *kv = open_store(sim, PLAIN ",memory_bytes=64m");
	struct kv_recovery found;
	unsigned int n;

	(void)state;
	put_all(kv, 1, KV_NONE);
	assert_int_equal(fixture_stat(kv, "checkpoints"), 0);
	p.at = env_sim_position(sim);
	dead = env_sim_crash(sim, &p, false);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);

	kv = open_store(dead, LITTLE);
	kv_recovery(kv, &found);
	assert_int_equal(found.records_replayed, KEYS);
	for (n = 0; n < KEYS; n++)
		check_key(kv, NULL, nth_key(n), 1);
	put_all(kv, 2, KV_NONE);
	assert_true(fixture_stat(kv, "resident_bytes") <= LEAST * 3 / 2);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(dead);
}

/* Each cursor pins its way to a leaf: memory is full of them, and writers are told so. */
static void test_pinned_pages_fill_memory(void **state)
{
	enum { CURSORS = 60 };
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct kv *kv = open_store(sim, LITTLE);
	struct kv_cursor *c[CURSORS];
	char k[FIXTURE_KEY];
	unsigned int i, n = 0;
	int error = 0;

	(void)state;
	put_all(kv, 1, KV_NONE);
	for (i = 0; i < CURSORS && !error; i++, n++) {
		assert_int_equal(kv_cursor(kv, NULL, &c[i]), 0);
		error = kv_seek(c[i], fixture_key(k, i * (KEYS / CURSORS)));
	}
	assert_int_equal(error, -ENOMEM);
	assert_int_equal(fixture_put(kv, 1, 2, BYTES, KV_SYNC), -ENOMEM);
	for (i = 0; i < n; i++)
		kv_cursor_close(c[i]);
	assert_int_equal(fixture_put(kv, 1, 2, BYTES, KV_SYNC), 0);
	check_key(kv, NULL, 1, 2);
	check_key(kv, NULL, 2, 1);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_changed_inner_nodes_outgrow_memory),
		LEAK_CHECKED(
			test_log_is_replayed_with_less_memory_than_it_was_written_with),
		LEAK_CHECKED(test_pinned_pages_fill_memory),
	};

	/* A look-up that never ends ends the program. */
	test_ends_within(600);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
