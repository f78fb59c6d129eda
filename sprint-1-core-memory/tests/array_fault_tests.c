/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * array_fault_tests.c - the array engine when memory runs out.
 *
 * Each call is made with its first allocation failing, then its second, and so on until
 * none fails: it answers -ENOMEM, nothing has changed, nothing has leaked, and made again
 * it does what it would have done at first. Then random writes under random failures,
 * beside a twin store that sees only those that succeeded.
 */
#include "../array_engine.h"
#include "core_random.h"
#include "leak_check.h"

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

/* ---- a call, and the store that it is made on ---- */

struct scene {
	struct kv *kv;
	struct kv_snapshot
		*held; /* with cursor, what makes the version shared; or NULL */
	struct kv_cursor *cursor;
	/* what the call gives */
	struct kv_buf value;
	struct kv_snapshot *new_snapshot;
	struct kv_cursor *new_cursor;
};

struct call {
	const char *name, *options;
	unsigned int pairs; /* a=AA, b=BB, ... */
	bool shared;        /* a snapshot and a cursor hold the version */
	size_t buffer;      /* bytes that the value's buffer has already */
	int (*make)(struct scene *s);
	/* what it comes to when nothing fails */
	int error;
	unsigned int allocations;
	const char *pairs_after, *value_after;
};

enum { TEXT = 256 };

struct picture { /* all that can be seen of a scene */
	char pairs[TEXT], held[TEXT], fresh[TEXT], at[TEXT], value[TEXT];
	uint64_t stat[8];
	unsigned int stats;
	uint64_t live, live_bytes;
};

static void add_pair(char *text, const struct kv_cursor *c)
{
	size_t n = strlen(text);
	int more = snprintf(text + n, TEXT - n, "%.*s=%.*s ", (int)c->key.len,
			    (const char *)c->key.data, (int)c->value.len,
			    (const char *)c->value.data);

	assert_in_range(more, 1, TEXT - n - 1);
}

static void write_pairs(struct scene *s, struct kv_snapshot *snap, char *text)
{
	struct kv_cursor *c;

	assert_int_equal(kv_cursor(s->kv, snap, &c), 0);
	while (!kv_next(c))
		add_pair(text, c);
	kv_cursor_close(c);
}

static void take_stat(void *arg, const char *name, uint64_t value)
{
	struct picture *p = arg;

	(void)name;
	assert_in_range(p->stats, 0, sizeof(p->stat) / sizeof(p->stat[0]) - 1);
	p->stat[p->stats++] = value;
}

static struct picture picture_of(struct scene *s)
{
	struct picture p = { .live = port_fault_live(),
			     .live_bytes = port_fault_live_bytes() };

	kv_stats(s->kv, take_stat, &p);
	write_pairs(s, NULL, p.pairs);
	if (s->held) {
		write_pairs(s, s->held, p.held);
		add_pair(p.at, s->cursor);
	}
	if (s->new_snapshot)
		write_pairs(s, s->new_snapshot, p.fresh);
	while (s->new_cursor && !kv_next(s->new_cursor))
		add_pair(p.fresh, s->new_cursor);
	if (s->value.len)
		snprintf(p.value, TEXT, "%.*s", (int)s->value.len,
			 (const char *)s->value.data);
	assert_int_equal(kv_verify(s->kv, NULL), 0);
	return p;
}

static void expect_picture(const struct picture *want, const struct picture *came)
{
	unsigned int i;

	assert_string_equal(came->pairs, want->pairs);
	assert_string_equal(came->held, want->held);
	assert_string_equal(came->fresh, want->fresh);
	assert_string_equal(came->at, want->at);
	assert_string_equal(came->value, want->value);
	assert_int_equal(came->stats, want->stats);
	for (i = 0; i < want->stats; i++)
		assert_int_equal(came->stat[i], want->stat[i]);
	assert_int_equal(came->live, want->live);
	assert_int_equal(came->live_bytes, want->live_bytes);
}

static struct scene scene_open(const struct call *call)
{
	struct scene s = { 0 };
	unsigned int i;

	assert_int_equal(kv_open(&array_engine, NULL, "", call->options, &s.kv, NULL), 0);
	for (i = 0; i < call->pairs; i++) {
		char key = (char)('a' + i),
		     value[2] = { (char)('A' + i), (char)('A' + i) };

		assert_int_equal(
			kv_put(s.kv, kv_slice(&key, 1), kv_slice(value, 2), KV_NONE), 0);
	}
	if (call->shared) {
		assert_int_equal(kv_snapshot(s.kv, &s.held), 0);
		assert_int_equal(kv_cursor(s.kv, NULL, &s.cursor), 0);
		assert_int_equal(kv_next(s.cursor), 0);
	}
	if (call->buffer)
		assert_int_equal(kv_buf_reserve(&s.value, call->buffer), 0);
	return s;
}

static void scene_close(struct scene *s)
{
	kv_cursor_close(s->cursor);
	kv_cursor_close(s->new_cursor);
	kv_release(s->kv, s->held);
	kv_release(s->kv, s->new_snapshot);
	kv_buf_free(&s->value);
	assert_int_equal(kv_close(s->kv), 0);
	assert_int_equal(port_fault_live(), live_before);
}

/* ---- one call, each of its allocations failing in turn ---- */

/* What the call comes to when all its allocations succeed. */
static struct picture call_undisturbed(const struct call *call)
{
	struct scene s = scene_open(call);
	uint64_t calls = port_fault_calls();
	struct picture p;

	assert_int_equal(call->make(&s), call->error);
	assert_int_equal(port_fault_calls() - calls, call->allocations);
	p = picture_of(&s);
	assert_string_equal(p.pairs, call->pairs_after);
	assert_string_equal(p.value, call->value_after ? call->value_after : "");
	if (s.new_snapshot || s.new_cursor)
		assert_string_equal(p.fresh, p.pairs);
	scene_close(&s);
	return p;
}

/* False when the call made fewer than nth allocations. */
static bool call_with_failure(const struct call *call, unsigned int nth, bool once,
			      const struct picture *want)
{
	struct scene s = scene_open(call);
	struct picture before = picture_of(&s), after;
	bool fired;
	int error;

	port_fault_set(nth, once);
	error = call->make(&s);
	fired = port_fault_fired();
	port_fault_set(0, false);
	if (fired) {
		assert_int_equal(error, -ENOMEM);
		after = picture_of(&s);
		expect_picture(&before, &after);
		error = call->make(&s);
	}
	assert_int_equal(error, call->error);
	after = picture_of(&s);
	expect_picture(want, &after);
	scene_close(&s);
	return fired;
}

static void test_call(void **state)
{
	const struct call *call = *state;
	struct picture want = call_undisturbed(call);
	unsigned int nth, once;

	for (once = 0; once < 2; once++) {
		for (nth = 1; call_with_failure(call, nth, once, &want); nth++)
			;
		assert_int_equal(nth - 1, call->allocations);
	}
}

/* ---- the calls ---- */

static int put(struct scene *s, const char *key, const char *value)
{
	return kv_put(s->kv, kv_str(key), kv_str(value), KV_NONE);
}

static int put_new(struct scene *s)
{
	return put(s, "bb", "new");
}

static int put_over(struct scene *s)
{
	return put(s, "b", "longer than before");
}

static int put_too_much(struct scene *s)
{
	static const char zeros[1000];

	return kv_put(s->kv, kv_str("bb"), kv_slice(zeros, sizeof(zeros)), KV_NONE);
}

static int delete (struct scene *s)
{
	return kv_delete(s->kv, kv_str("b"), KV_NONE);
}

static int delete_missing(struct scene *s)
{
	return kv_delete(s->kv, kv_str("bb"), KV_NONE);
}

static int delete_range(struct scene *s)
{
	struct kv_op op = { KV_DELETE_RANGE, kv_str("b"), kv_str("d") };

	return kv_write(s->kv, &op, 1, KV_NONE);
}

static int batch(struct scene *s)
{
	const struct kv_op op[] = {
		{ KV_PUT, kv_str("z"), kv_str("1") },
		{ KV_PUT, kv_str("a"), kv_str("2") },
		{ KV_DELETE, kv_str("z"), kv_str("") },
		{ KV_DELETE_RANGE, kv_str("b"), kv_str("d") },
		{ KV_PUT, kv_str("c"), kv_str("3") },
	};

	return kv_write(s->kv, op, sizeof(op) / sizeof(op[0]), KV_NONE);
}

static int get(struct scene *s)
{
	return kv_get(s->kv, kv_str("c"), &s->value);
}

static int get_held(struct scene *s)
{
	return kv_get_at(s->kv, s->held, kv_str("c"), &s->value);
}

static int get_missing(struct scene *s)
{
	return kv_get(s->kv, kv_str("cc"), &s->value);
}

static int snapshot(struct scene *s)
{
	return kv_snapshot(s->kv, &s->new_snapshot);
}

static int cursor(struct scene *s)
{
	return kv_cursor(s->kv, NULL, &s->new_cursor);
}

static int cursor_held(struct scene *s)
{
	return kv_cursor(s->kv, s->held, &s->new_cursor);
}

enum { PAIRS_FULL = 16 }; /* the next put makes the array grow */

#define FOUR    "a=AA b=BB c=CC d=DD "
#define E_TO_O  "e=EE f=FF g=GG h=HH i=II j=JJ k=KK l=LL m=MM n=NN o=OO "
#define E_TO_P  E_TO_O "p=PP "
#define PUT_NEW "a=AA b=BB bb=new c=CC d=DD "
#define BATCH   "a=2 c=3 d=DD "

#define CALL(call, function, before, allocates, after, ...)                      \
	{                                                                        \
		.name = "test_" #call "_without_memory", .make = function,       \
		.pairs = before, .allocations = allocates, .pairs_after = after, \
		__VA_ARGS__                                                      \
	}

/* A put allocates its entry, a batch an array of entries too. A version that is full
 * allocates for all its pointers, one that is shared for a copy: its head and pointers.
 * A delete needs no room. */
static const struct call calls[] = {
	CALL(put_with_room, put_new, 4, 1, PUT_NEW),
	CALL(put_into_the_last_place, put_new, PAIRS_FULL - 1, 1, PUT_NEW E_TO_O),
	CALL(put_when_full, put_new, PAIRS_FULL, 2, PUT_NEW E_TO_P),
	CALL(put_when_shared, put_new, 4, 3, PUT_NEW, .shared = true),
	CALL(put_when_full_and_shared, put_new, PAIRS_FULL, 3, PUT_NEW E_TO_P,
	     .shared = true),
	CALL(put_into_empty, put_new, 0, 1, "bb=new "),
	CALL(overwrite, put_over, 4, 1, "a=AA b=longer than before c=CC d=DD "),
	CALL(overwrite_when_shared, put_over, 4, 3,
	     "a=AA b=longer than before c=CC d=DD ", .shared = true),
	CALL(put_over_the_cap, put_too_much, 4, 1, FOUR, .options = "memory_bytes=900",
	     .shared = true, .error = -ENOSPC),
	CALL(delete, delete, 4, 0, "a=AA c=CC d=DD "),
	CALL(delete_when_full, delete, PAIRS_FULL, 0, "a=AA c=CC d=DD " E_TO_P),
	CALL(delete_when_shared, delete, 4, 2, "a=AA c=CC d=DD ", .shared = true),
	CALL(delete_missing, delete_missing, 4, 0, FOUR),
	CALL(delete_range, delete_range, 4, 0, "a=AA d=DD "),
	CALL(delete_range_when_full, delete_range, PAIRS_FULL, 0, "a=AA d=DD " E_TO_P),
	CALL(delete_range_when_shared, delete_range, 4, 2, "a=AA d=DD ", .shared = true),
	CALL(batch, batch, 4, 4, BATCH),
	CALL(batch_when_full, batch, PAIRS_FULL, 5, BATCH E_TO_P),
	CALL(batch_when_shared, batch, 4, 6, BATCH, .shared = true),
	CALL(get_into_nothing, get, 4, 1, FOUR, .value_after = "CC"),
	CALL(get_into_too_little, get, 4, 1, FOUR, .buffer = 1, .value_after = "CC"),
	CALL(get_into_enough, get, 4, 0, FOUR, .buffer = 2, .value_after = "CC"),
	CALL(get_from_snapshot, get_held, 4, 1, FOUR, .shared = true,
	     .value_after = "CC"),
	CALL(get_missing, get_missing, 4, 0, FOUR, .error = -ENOENT),
	CALL(snapshot, snapshot, 4, 1, FOUR),
	CALL(cursor, cursor, 4, 1, FOUR),
	CALL(cursor_over_snapshot, cursor_held, 4, 1, FOUR, .shared = true),
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* ---- calls that are told otherwise ---- */

static void test_open_says_that_memory_ran_out(void **state)
{
	unsigned int nth, once;

	(void)state;
	for (once = 0; once < 2; once++) {
		for (nth = 1;; nth++) {
			struct kv *untouched = (struct kv *)&nth, *kv = untouched;
			struct kv_msg why = { "" };
			int error;

			port_fault_set(nth, once);
			error = kv_open(&array_engine, NULL, "", NULL, &kv, &why);
			if (!port_fault_fired()) {
				assert_int_equal(error, 0);
				assert_int_equal(kv_close(kv), 0);
				break;
			}
			assert_int_equal(error, -ENOMEM);
			assert_ptr_equal(kv, untouched);
			assert_non_null(strstr(why.text, "memory"));
			assert_int_equal(port_fault_live(), live_before);
			assert_int_equal(
				kv_open(&array_engine, NULL, "", NULL, &kv, NULL),
				once ? 0 : -ENOMEM);
			if (once)
				assert_int_equal(kv_close(kv), 0);
		}
		assert_int_equal(nth - 1, 3);
	}
}

enum { KEYS = 4 };

/* Each key has its own answer; returns how many were -ENOMEM. */
static unsigned int expect_answers(const struct kv_buf *value, const int *error)
{
	static const char *const want[KEYS] = { "AA", "CC", NULL, "DD" };
	unsigned int i, failed = 0;

	for (i = 0; i < KEYS; i++) {
		if (error[i])
			assert_int_equal(value[i].len, 0);
		if (error[i] == -ENOMEM && want[i]) {
			failed++;
		} else if (!want[i]) {
			assert_int_equal(error[i], -ENOENT);
		} else {
			assert_int_equal(error[i], 0);
			assert_int_equal(value[i].len, 2);
			assert_memory_equal(value[i].data, want[i], 2);
		}
	}
	return failed;
}

static void test_multi_get_fails_key_by_key(void **state)
{
	static const struct call store = { .pairs = 4 };
	const struct kv_slice key[KEYS] = { kv_str("a"), kv_str("c"), kv_str("cc"),
					    kv_str("d") };
	unsigned int nth, i, once;

	(void)state;
	for (once = 0; once < 2; once++) {
		struct scene s = scene_open(&store);
		struct picture before = picture_of(&s), after;
		bool fired = true;

		for (nth = 1; fired; nth++) {
			struct kv_buf value[KEYS] = { 0 };
			int error[KEYS], whole;

			port_fault_set(nth, once);
			whole = kv_multi_get(s.kv, NULL, KEYS, key, value, error);
			fired = port_fault_fired();
			port_fault_set(0, false);
			/* The first is for the snapshot that all keys are read from. */
			assert_int_equal(whole, nth == 1 ? -ENOMEM : 0);
			if (!whole)
				assert_int_equal(expect_answers(value, error),
						 once ? fired : 5 - nth);
			for (i = 0; i < KEYS; i++) {
				if (whole)
					assert_int_equal(value[i].len, 0);
				kv_buf_free(&value[i]);
			}
			after = picture_of(&s);
			expect_picture(&before, &after);
		}
		assert_int_equal(nth - 1, 5);
		scene_close(&s);
	}
}

static void test_reading_on_and_giving_back_need_no_memory(void **state)
{
	static const struct call store = { .pairs = 4, .shared = true, .buffer = 2 };
	struct scene s = scene_open(&store);
	struct picture p = { 0 };

	(void)state;
	port_fault_set(1, false);
	assert_int_equal(kv_next(s.cursor), 0);
	assert_int_equal(kv_seek(s.cursor, kv_str("d")), 0);
	assert_int_equal(kv_next(s.cursor), -ENOENT);
	assert_int_equal(kv_prev(s.cursor), 0);
	assert_int_equal(get_held(&s), 0);
	assert_int_equal(kv_verify(s.kv, NULL), 0);
	assert_int_equal(kv_sync(s.kv), 0);
	assert_int_equal(kv_compact(s.kv), 0);
	kv_stats(s.kv, take_stat, &p);
	kv_cursor_close(s.cursor);
	kv_release(s.kv, s.held);
	assert_int_equal(delete (&s), 0);
	assert_int_equal(get(&s), 0);
	kv_buf_free(&s.value);
	assert_int_equal(kv_close(s.kv), 0);
	assert_false(port_fault_fired());
}

/* ---- random writes, some of which fail, and a twin that sees the others ---- */

enum { STEPS = 4000, KEY_SPACE = 120, OPS = 6, HELD = 3 };

struct twins { /* [0] runs out of memory now and then, [1] never */
	struct kv *kv[2];
	struct kv_snapshot *held[HELD][2];
	unsigned int failed, succeeded; /* calls of [0] */
};

/* Makes the next allocations fail, or a few later ones, or none. */
static void arm(void)
{
	port_fault_set(core_random_below(5), core_random_below(2));
}

static bool came_through(struct twins *t, int error)
{
	bool fired = port_fault_fired();

	port_fault_set(0, false);
	assert_int_equal(error, fired ? -ENOMEM : 0);
	t->failed += fired;
	t->succeeded += !fired;
	return !fired;
}

static void twins_write(struct twins *t)
{
	static char text[OPS][2][8], value[40];
	struct kv_op op[OPS];
	size_t n = core_random_below(3) ? 1 : 1 + core_random_below(OPS), i, k;

	core_random_bytes(value, sizeof(value));
	for (i = 0; i < n; i++) {
		size_t kind = core_random_below(20);

		for (k = 0; k < 2; k++)
			snprintf(text[i][k], sizeof(text[i][k]), "k%03u",
				 (unsigned int)core_random_below(KEY_SPACE));
		op[i] = (struct kv_op){ KV_PUT, kv_str(text[i][0]),
					kv_slice(value, core_random_below(40)) };
		if (kind >= 14)
			op[i].type = KV_DELETE;
		if (kind == 19) {
			op[i].type = KV_DELETE_RANGE;
			op[i].value = kv_slice(text[i][1], core_random_below(9) ? 4 : 2);
		}
	}
	arm();
	if (came_through(t, kv_write(t->kv[0], op, n, KV_NONE)))
		assert_int_equal(kv_write(t->kv[1], op, n, KV_NONE), 0);
}

static void twins_hold(struct twins *t)
{
	struct kv_snapshot **held = t->held[core_random_below(HELD)];
	int i;

	if (held[0]) {
		for (i = 0; i < 2; i++) {
			kv_release(t->kv[i], held[i]);
			held[i] = NULL;
		}
		return;
	}
	arm();
	if (came_through(t, kv_snapshot(t->kv[0], &held[0])))
		assert_int_equal(kv_snapshot(t->kv[1], &held[1]), 0);
	else
		assert_null(held[0]);
}

static void expect_slice(struct kv_slice want, struct kv_slice came)
{
	assert_int_equal(kv_compare(want, came), 0);
}

static void expect_same_pairs(struct twins *t, struct kv_snapshot *const snap[2])
{
	struct kv_cursor *c[2];
	int error, i;

	for (i = 0; i < 2; i++)
		assert_int_equal(kv_cursor(t->kv[i], snap[i], &c[i]), 0);
	do {
		error = kv_next(c[1]);
		assert_int_equal(kv_next(c[0]), error);
		expect_slice(c[1]->key, c[0]->key);
		expect_slice(c[1]->value, c[0]->value);
	} while (!error);
	assert_int_equal(error, -ENOENT);
	for (i = 0; i < 2; i++)
		kv_cursor_close(c[i]);
}

static void expect_twins(struct twins *t)
{
	static struct kv_snapshot *const newest[2];
	struct kv_msg why;
	size_t i;

	expect_same_pairs(t, newest);
	for (i = 0; i < HELD; i++)
		if (t->held[i][0])
			expect_same_pairs(t, t->held[i]);
	assert_int_equal(kv_verify(t->kv[0], &why), 0);
}

static void test_failed_writes_leave_no_trace_among_others(void **state)
{
	struct twins t = { 0 };
	size_t step, i, k;

	(void)state;
	for (i = 0; i < 2; i++)
		assert_int_equal(kv_open(&array_engine, NULL, "", NULL, &t.kv[i], NULL),
				 0);
	for (step = 0; step < STEPS; step++) {
		if (core_random_below(20))
			twins_write(&t);
		else
			twins_hold(&t);
		if (step % 50 == 0)
			expect_twins(&t);
	}
	expect_twins(&t);
	printf("# %u calls failed, %u succeeded\n", t.failed, t.succeeded);
	assert_true(t.failed > STEPS / 10);
	assert_true(t.succeeded > STEPS / 10);
	for (k = 0; k < 2; k++) {
		for (i = 0; i < HELD; i++)
			kv_release(t.kv[k], t.held[i][k]);
		assert_int_equal(kv_close(t.kv[k]), 0);
	}
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	struct CMUnitTest tests[CALLS + 4] = {
		FAULT_TEST(test_open_says_that_memory_ran_out),
		FAULT_TEST(test_multi_get_fails_key_by_key),
		FAULT_TEST(test_reading_on_and_giving_back_need_no_memory),
		FAULT_TEST(test_failed_writes_leave_no_trace_among_others),
	};
	size_t i;

	for (i = 0; i < CALLS; i++)
		tests[4 + i] =
			(struct CMUnitTest){ calls[i].name, test_call, set_up,
					     leak_check_tear_down, (void *)&calls[i] };
	printf("# seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
