/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * array_history_tests.c - the array engine through the conformance suite, through random
 * histories, and among threads.
 *
 * It is the oracle of every other engine, so it cannot be its own: the histories here
 * compare it with a bag of pairs (array_bag.h), and every snapshot with a copy of that.
 */
#include "array_bag.h"
#include "array_fixture.h"
#include "kv_conformance.h"
#include "kv_history.h"

/* ---- the suite ---- */

/* Under a cap that nothing reaches, which must make no difference. */
static void test_engine_conforms_under_a_wide_cap(void **state)
{
	struct kv_target t = { .ops = &array_engine,
			       .options = "memory_bytes=1g",
			       .scratch = "/nowhere" };
	struct kv_report r = { .out = stdout };

	(void)state;
	assert_int_equal(kv_conformance(&t, &r), 0);
	assert_int_equal(r.failed, 0);
	assert_true(r.passed > 30);
	assert_int_equal(r.skipped, 11); /* persistence and backup */
}

/* ---- random histories ---- */

enum { VIEWS = 6, BATCH_MOST = 8 };

static struct bag now;

static struct view { /* the store at one moment: a snapshot, a cursor, or both */
	struct kv_snapshot *snap;
	struct kv_cursor *cursor;
	struct bag bag;
	const struct bag_pair *at; /* where the cursor stands; NULL: outside */
} views[VIEWS];

/* 156 keys, with what comparisons get wrong: lengths, NUL, signs, both ends. */
static struct kv_slice random_key(uint8_t *bytes)
{
	static const uint8_t alphabet[] = { 0x00, 'a', 0x7f, 0x80, 0xff };
	size_t i, len = core_random_below(4);

	for (i = 0; i < len; i++)
		bytes[i] = alphabet[core_random_below(sizeof(alphabet))];
	return kv_slice(bytes, len);
}

static void random_write(void)
{
	uint8_t bytes[BATCH_MOST][2][BAG_KEY_MOST];
	uint64_t value[BATCH_MOST];
	struct kv_op op[BATCH_MOST];
	size_t i, n = core_random_below(BATCH_MOST) + 1;

	for (i = 0; i < n; i++) {
		size_t dice = core_random_below(100);

		op[i].key = random_key(bytes[i][0]);
		op[i].type = dice < 60 ? KV_PUT : dice < 97 ? KV_DELETE : KV_DELETE_RANGE;
		switch (op[i].type) {
		case KV_PUT:
			value[i] = core_random();
			op[i].value = kv_slice(&value[i], sizeof(value[i]));
			bag_put(&now, op[i].key, value[i]);
			break;
		case KV_DELETE:
			bag_delete(&now, op[i].key);
			break;
		case KV_DELETE_RANGE:
			op[i].value =
				dice == 99 ? kv_slice(NULL, 0) : random_key(bytes[i][1]);
			bag_delete_range(&now, op[i].key, op[i].value);
			break;
		}
	}
	assert_int_equal(kv_write(store, op, n, KV_NONE), 0);
}

static void view_end(struct view *v)
{
	kv_release(store, v->snap);
	kv_cursor_close(v->cursor);
	v->snap = NULL;
	v->cursor = NULL;
}

static void view_begin(struct view *v)
{
	view_end(v);
	if (core_random_below(3))
		v->snap = take_snapshot();
	else
		v->cursor = open_cursor(NULL);
	v->at = NULL;
	v->bag = now;
}

static void view_move(struct view *v)
{
	uint8_t bytes[BAG_KEY_MOST];
	struct kv_slice key;
	int error;

	switch (core_random_below(5)) {
	case 0:
		key = random_key(bytes);
		v->at = bag_seek(&v->bag, key);
		error = kv_seek(v->cursor, key);
		break;
	case 1:
	case 2:
		v->at = bag_next(&v->bag, v->at);
		error = kv_next(v->cursor);
		break;
	default:
		v->at = bag_prev(&v->bag, v->at);
		error = kv_prev(v->cursor);
	}
	assert_int_equal(error, v->at ? 0 : -ENOENT);
	if (v->at) {
		expect_bytes(v->cursor->key, bag_key(v->at));
		expect_bytes(v->cursor->value,
			     kv_slice(&v->at->value, sizeof(v->at->value)));
	}
}

static void expect_gets(struct kv_snapshot *snap, struct bag *bag, unsigned int n)
{
	while (n--) {
		uint8_t bytes[BAG_KEY_MOST];
		struct kv_slice key = random_key(bytes);
		const struct bag_pair *p = bag_find(bag, key);

		assert_int_equal(kv_get_at(store, snap, key, &got), p ? 0 : -ENOENT);
		if (p)
			expect_bytes(kv_slice(got.data, got.len),
				     kv_slice(&p->value, sizeof(p->value)));
	}
}

static void expect_all(struct kv_snapshot *snap, const struct bag *bag)
{
	struct kv_cursor *c = open_cursor(snap);
	const struct bag_pair *p = NULL;

	while ((p = bag_next(bag, p))) {
		assert_int_equal(kv_next(c), 0);
		expect_bytes(c->key, bag_key(p));
		expect_bytes(c->value, kv_slice(&p->value, sizeof(p->value)));
	}
	assert_int_equal(kv_next(c), -ENOENT);
	kv_cursor_close(c);
}

static void random_step(void)
{
	struct view *v = &views[core_random_below(VIEWS)];
	size_t dice = core_random_below(100);

	if (dice < 40)
		random_write();
	else if (dice < 50)
		view_begin(v);
	else if (dice < 55)
		view_end(v);
	else if (dice < 60 && v->snap && !v->cursor)
		v->cursor = open_cursor(v->snap);
	else if (dice < 65 && v->cursor) { /* it outlives its snapshot */
		kv_release(store, v->snap);
		v->snap = NULL;
	} else if (dice < 85 && v->cursor)
		view_move(v);
	else if (v->snap)
		expect_gets(v->snap, &v->bag, 5);
	else
		expect_gets(NULL, &now, 5);
}

static void test_random_histories_agree_with_a_bag(void **state)
{
	enum { HISTORIES = 30, STEPS = 400 };
	uint64_t seed = kv_history_seed(CORE_SEED);
	unsigned int history, step, i;

	(void)state;
	printf("# KV_SEED=0x%llx\n", (unsigned long long)seed);
	for (history = 0; history < HISTORIES; history++) {
		core_random_state = seed + history;
		now.n = 0;
		for (step = 0; step < STEPS; step++) {
			random_step();
			assert_int_equal(stats().keys, now.n);
			assert_true(stats().versions <= VIEWS + 1);
		}
		expect_all(NULL, &now);
		expect_healthy();
		for (i = 0; i < VIEWS; i++) {
			if (views[i].snap)
				expect_all(views[i].snap, &views[i].bag);
			view_end(&views[i]);
		}
		assert_int_equal(stats().versions, 1);
		expect_healthy();
		close_store();
		assert_int_equal(port_fault_live_bytes(), got.cap);
		open_store(NULL);
	}
}

/* ---- threads ---- */

enum { READERS = 3, ROUNDS = 300, SUM_KEYS = 8 };

static unsigned int readers_done;

/* Each state that a reader can see has one number in all of its values. */
static void *read_whole_states(void *arg)
{
	const char **complaint = arg;
	int round;

	for (round = 0; round < ROUNDS && !*complaint; round++) {
		struct kv_snapshot *snap = NULL;
		struct kv_cursor *c = NULL;
		uint64_t first = 0, value, n = 0;

		if (kv_snapshot(store, &snap) || kv_cursor(store, snap, &c)) {
			*complaint = "no snapshot or no cursor";
			kv_release(store, snap);
			break;
		}
		kv_release(store, snap);
		for (; !kv_next(c); n++) {
			memcpy(&value, c->value.data, sizeof(value));
			if (n && value != first)
				*complaint = "a state that no batch left";
			first = value;
		}
		if (n != SUM_KEYS)
			*complaint = "a state with pairs missing";
		kv_cursor_close(c);
	}
	port_fetch_add(&readers_done, 1);
	return NULL;
}

static void write_state(uint64_t number)
{
	struct kv_op op[SUM_KEYS];
	char key[SUM_KEYS];
	size_t i;

	for (i = 0; i < SUM_KEYS; i++) {
		key[i] = (char)('a' + i);
		op[i] = (struct kv_op){ KV_PUT, kv_slice(&key[i], 1),
					kv_slice(&number, sizeof(number)) };
	}
	assert_int_equal(kv_write(store, op, SUM_KEYS, KV_NONE), 0);
}

static void test_versions_come_and_go_among_threads(void **state)
{
	const char *complaint[READERS] = { NULL };
	pthread_t thread[READERS];
	uint64_t number;
	size_t i;

	(void)state;
	write_state(0);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_whole_states,
						&complaint[i]),
				 0);
	for (number = 1; port_load_acquire(&readers_done) < READERS; number++)
		write_state(number);
	for (i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < READERS; i++)
		if (complaint[i])
			fail_msg("reader %zu saw %s", i, complaint[i]);
	assert_int_equal(stats().versions, 1);
	assert_int_equal(stats().keys, SUM_KEYS);
	expect_healthy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARRAY_TEST(test_engine_conforms_under_a_wide_cap),
		ARRAY_TEST(test_random_histories_agree_with_a_bag),
		ARRAY_TEST(test_versions_come_and_go_among_threads),
	};

	printf("# seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
