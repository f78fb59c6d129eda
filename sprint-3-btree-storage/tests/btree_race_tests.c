/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_race_tests.c - the B+tree engine with everything at once; see live_race.h.
 */
#include "../btree_engine.h"

#define LIVE_ENGINE btree_engine
/* So small that pages are split, evicted and checkpointed all the time. */
#define LIVE_OPTIONS \
	"segment_bytes=64k,checkpoint_bytes=64k,max_keys=8,memory_bytes=512k,overflow_bytes=300"
#define LIVE_WHOLE      "TREE"
#define LIVE_BEGUN      "TREE.backup"
#define LIVE_UNFINISHED "did not come to its end"
#include "../../sprint-2-hash-storage/tests/live_race.h"

static void test_everything_at_once_in_little_memory(void **state)
{
	(void)state;
	race(LIVE_OPTIONS);
}

static void test_everything_at_once_with_full_nodes(void **state)
{
	(void)state;
	race("segment_bytes=64k,checkpoint_bytes=64k,memory_bytes=256k,map=off");
}

static void test_everything_at_once_in_much_memory(void **state)
{
	(void)state;
	race("segment_bytes=1m,checkpoint_bytes=1m,max_keys=4");
}

/* ---- gets beside batches ---- */

enum { BATCH_KEYS = 190, READERS = 8, BATCH_MS = 1500 };

/* Each batch replaces all pages of a small tree, whose numbers are used again soon: a get that
 * was on its way in the old tree must notice, wherever it is. */
static void *write_batches(void *arg)
{
	struct race *r = arg;
	char name[BATCH_KEYS][LIVE_KEY_MAX];
	struct kv_op op[BATCH_KEYS];
	uint8_t value[8];
	uint64_t n;
	size_t i;

	for (i = 0; i < BATCH_KEYS; i++)
		op[i] = (struct kv_op){ KV_PUT, live_key(0, i, name[i]),
					kv_slice(value, sizeof(value)) };
	for (n = 1; going_on(r); n++) {
		port_put_le64(value, n);
		check(r, "batch",
		      kv_write(r->kv, op, BATCH_KEYS, n % 2 ? KV_SYNC : KV_NONE));
		port_store_release(&r->step[0], n);
	}
	return NULL;
}

static void *get_one_by_one(void *arg)
{
	struct race *r = arg;
	struct kv_buf value = { 0 };
	char name[LIVE_KEY_MAX];
	uint64_t n, last = 0;
	int error;

	for (n = 0; going_on(r); n++) {
		error = kv_get(r->kv, live_key(0, live_draw(n) % BATCH_KEYS, name),
			       &value);
		check(r, "get", error);
		if (error)
			break;
		CHECK(r, value.len == 8 && port_get_le64(value.data) >= last);
		last = port_get_le64(value.data);
	}
	port_fetch_add(&r->rounds[0], n);
	kv_buf_free(&value);
	return NULL;
}

static void test_gets_beside_batches_that_replace_all_pages(void **state)
{
	struct race r = { .done = false };
	pthread_t writer, reader[READERS];
	struct kv_msg why = { "" };
	char dir[SCRATCH_PATH];
	uint64_t until = live_now_ms() + live_ms(BATCH_MS);
	size_t i;

	(void)state;
	(void)live_dir("batches", dir);
	if (kv_open(&btree_engine, env_posix(), dir, "segment_bytes=1m,max_keys=4", &r.kv,
		    &why))
		fail_msg("%s", why.text);
	assert_int_equal(pthread_create(&writer, NULL, write_batches, &r), 0);
	while (!port_load_acquire(&r.step[0]))
		(void)usleep(100);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, get_one_by_one, &r), 0);
	while (going_on(&r) && live_now_ms() < until)
		(void)usleep(1000);
	port_store_release(&r.done, true);
	for (i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	pthread_join(writer, NULL);
	assert_int_equal(kv_close(r.kv), 0);
	print_message("%llu batches, %llu gets\n", (unsigned long long)r.step[0],
		      (unsigned long long)r.rounds[0]);
	if (r.failed)
		fail_msg("what line %llu checks did not hold",
			 (unsigned long long)r.failed);
}

/* ---- verify beside writers ---- */

enum { SYNCERS = 4, VERIFIES = 4 };

static void *write_and_sync(void *arg)
{
	struct writing *w = arg;
	char name[LIVE_KEY_MAX];
	uint64_t n;

	for (n = 0; going_on(w->r); n++)
		check(w->r, "put",
		      kv_put(w->r->kv, live_key(w->writer, n % LIVE_KEYS, name),
			     kv_str("durable"), KV_SYNC));
	port_fetch_add(&w->r->rounds[0], n);
	return NULL;
}

/* There is always a write that waits for its sync: verify gets its moment all the same. */
static void test_verify_beside_writers_that_always_wait_for_a_sync(void **state)
{
	struct race r = { .done = false };
	struct writing w[SYNCERS];
	pthread_t writer[SYNCERS];
	struct kv_msg why = { "" };
	char dir[SCRATCH_PATH];
	unsigned int i;

	(void)state;
	(void)live_dir("verified", dir);
	if (kv_open(&btree_engine, env_posix(), dir, "segment_bytes=1m,max_keys=4", &r.kv,
		    &why))
		fail_msg("%s", why.text);
	for (i = 0; i < SYNCERS; i++) {
		w[i] = (struct writing){ &r, i };
		assert_int_equal(pthread_create(&writer[i], NULL, write_and_sync, &w[i]),
				 0);
	}
	for (i = 0; i < VERIFIES; i++) {
		(void)usleep(20000);
		verify(&r);
	}
	port_store_release(&r.done, true);
	for (i = 0; i < SYNCERS; i++)
		pthread_join(writer[i], NULL);
	assert_int_equal(kv_close(r.kv), 0);
	print_message("%llu writes\n", (unsigned long long)r.rounds[0]);
	if (r.failed)
		fail_msg("what line %llu checks did not hold",
			 (unsigned long long)r.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gets_beside_batches_that_replace_all_pages),
		cmocka_unit_test(test_verify_beside_writers_that_always_wait_for_a_sync),
		cmocka_unit_test(test_everything_at_once_in_little_memory),
		cmocka_unit_test(test_everything_at_once_with_full_nodes),
		cmocka_unit_test(test_everything_at_once_in_much_memory),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
