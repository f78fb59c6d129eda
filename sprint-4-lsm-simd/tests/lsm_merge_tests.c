/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_merge_tests.c - a merge is its sources' entries, sorted, each once, whichever way one
 * walks, and whatever a source's failing leaves behind.
 *
 * The sources are arrays. What a cursor shows lies in memory of its own, which is gone with its
 * next move: who looks at it too long is found by the sanitizers, and mostly without them.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../lsm_merge.h"

enum { SOURCES_MAX = 17, ENTRIES_MAX = 400, KEY_MAX = 24, WALK = 600 };

struct entry {
	char key[KEY_MAX];
	size_t key_bytes;
	uint64_t stamp;
	unsigned int source;
};

struct array { /* a source */
	struct lsm_cursor cursor;
	const struct entry *entry;
	size_t n, at;     /* at == n: outside */
	void *shown;      /* key and value */
	uint64_t fail_at; /* the so manieth of calls to all of them; 0: none */
	uint64_t *calls;
	unsigned int *open;
};

struct scene {
	struct entry entry[SOURCES_MAX][ENTRIES_MAX];
	size_t entries[SOURCES_MAX];
	unsigned int sources;
	struct entry all[SOURCES_MAX * ENTRIES_MAX]; /* what the merge must be */
	size_t n;
	uint64_t calls;
	unsigned int open;
	struct lsm_cursor *array[SOURCES_MAX]; /* the merge's */
};

static struct scene scene;

static struct kv_slice key_of(const struct entry *e)
{
	return kv_slice(e->key, e->key_bytes);
}

static int array_show(struct array *a)
{
	const struct entry *e = &a->entry[a->at];
	char *p;

	if (a->shown)
		memset(a->shown, 0xa5, KEY_MAX + sizeof(e->source));
	port_free(a->shown);
	a->shown = NULL;
	if (a->fail_at && ++*a->calls == a->fail_at) {
		a->at = a->n;
		return -EBADMSG;
	}
	if (a->at == a->n)
		return -ENOENT;
	p = a->shown = port_alloc(KEY_MAX + sizeof(e->source));
	assert_non_null(p);
	memcpy(p, e->key, e->key_bytes);
	memcpy(p + KEY_MAX, &e->source, sizeof(e->source));
	a->cursor.key = kv_slice(p, e->key_bytes);
	a->cursor.value = kv_slice(p + KEY_MAX, sizeof(e->source));
	a->cursor.stamp = e->stamp;
	return 0;
}

static int array_seek(struct lsm_cursor *c, struct kv_slice key, uint64_t stamp)
{
	struct array *a = container_of(c, struct array, cursor);

	for (a->at = 0; a->at < a->n; a->at++)
		if (lsm_entry_compare(key_of(&a->entry[a->at]), a->entry[a->at].stamp,
				      key, stamp) >= 0)
			break;
	return array_show(a);
}

static int array_next(struct lsm_cursor *c)
{
	struct array *a = container_of(c, struct array, cursor);

	a->at = a->at == a->n ? 0 : a->at + 1;
	return array_show(a);
}

static int array_prev(struct lsm_cursor *c)
{
	struct array *a = container_of(c, struct array, cursor);

	a->at = a->at ? a->at - 1 : a->n;
	return array_show(a);
}

static void array_close(struct lsm_cursor *c)
{
	struct array *a = container_of(c, struct array, cursor);

	--*a->open;
	port_free(a->shown);
	port_free(a);
}

static const struct lsm_cursor_ops array_ops = { array_seek, array_next, array_prev,
						 array_close };

static int entry_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = lsm_entry_compare(key_of(x), x->stamp, key_of(y), y->stamp);

	return order ? order : (x->source > y->source) - (x->source < y->source);
}

static bool same_entry(const struct entry *a, const struct entry *b)
{
	return !lsm_entry_compare(key_of(a), a->stamp, key_of(b), b->stamp);
}

/* Sorts, and leaves of equals the first. */
static size_t sort_entries(struct entry *e, size_t n)
{
	size_t i, kept = 0;

	port_sort(e, n, sizeof(*e), entry_order);
	for (i = 0; i < n; i++)
		if (!kept || !same_entry(&e[kept - 1], &e[i]))
			e[kept++] = e[i];
	return kept;
}

enum shape { MIXED, RUNS, FEW_KEYS, EQUALS, SHAPES };

static struct entry draw_entry(enum shape shape, unsigned int source, size_t i)
{
	struct entry e = { .source = source };
	uint64_t number = core_random_below(100000),
		 sequence = 1 + core_random_below(1u << 30);

	if (shape == RUNS)
		number = source * 1000000 + i;
	if (shape == FEW_KEYS)
		number = core_random_below(5);
	if (shape == EQUALS) {
		number = core_random_below(300);
		sequence = 1 + number % 3;
	}
	e.key_bytes =
		(size_t)snprintf(e.key, sizeof(e.key), "user%u", (unsigned int)number);
	if (!core_random_below(50))
		e.key_bytes = 0;
	e.stamp = lsm_stamp(sequence, shape == EQUALS        ? LSM_PUT
				      : core_random_below(2) ? LSM_PUT
							     : LSM_DELETE);
	return e;
}

static void draw(struct scene *s, enum shape shape, unsigned int sources)
{
	unsigned int i;
	size_t j;

	s->sources = sources;
	s->n = 0;
	for (i = 0; i < sources; i++) {
		s->entries[i] = core_random_below(4) ? core_random_below(ENTRIES_MAX) : 0;
		for (j = 0; j < s->entries[i]; j++)
			s->entry[i][j] = draw_entry(shape, i, j);
		s->entries[i] = sort_entries(s->entry[i], s->entries[i]);
		memcpy(s->all + s->n, s->entry[i], s->entries[i] * sizeof(struct entry));
		s->n += s->entries[i];
	}
	s->n = sort_entries(s->all, s->n);
}

static int merge_of(struct scene *s, uint64_t fail_at, struct lsm_cursor **out)
{
	unsigned int i;

	s->calls = 0;
	s->open = s->sources;
	for (i = 0; i < s->sources; i++) {
		struct array *a = port_alloc(sizeof(*a));

		assert_non_null(a);
		*a = (struct array){
			.cursor.ops = &array_ops,
			.entry = s->entry[i],
			.n = s->entries[i],
			.at = s->entries[i],
			.fail_at = fail_at,
			.calls = &s->calls,
			.open = &s->open,
		};
		s->array[i] = &a->cursor;
	}
	return lsm_merge(s->array, s->sources, out);
}

/* at == s->n: outside. */
static void check_at(const struct scene *s, const struct lsm_cursor *c, size_t at,
		     int error)
{
	const struct entry *e = &s->all[at];
	unsigned int source;

	if (at == s->n) {
		assert_int_equal(error, -ENOENT);
		return;
	}
	assert_int_equal(error, 0);
	assert_int_equal(kv_compare(c->key, key_of(e)), 0);
	assert_int_equal(c->stamp, e->stamp);
	assert_int_equal(c->value.len, sizeof(source));
	memcpy(&source, c->value.data, sizeof(source));
	assert_int_equal(source, e->source);
}

static size_t place_of(const struct scene *s, const struct entry *e)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (lsm_entry_compare(key_of(&s->all[i]), s->all[i].stamp, key_of(e),
				      e->stamp) >= 0)
			break;
	return i;
}

/* One move of the merge and of the model. */
static int walk(const struct scene *s, struct lsm_cursor *c, unsigned int what,
		size_t *at)
{
	struct entry e;

	switch (what) {
	case 0:
		*at = *at == s->n ? 0 : *at + 1;
		return lsm_next(c);
	case 1:
		*at = *at ? *at - 1 : s->n;
		return lsm_prev(c);
	default:
		e = s->n && core_random_below(2) ? s->all[core_random_below(s->n)]
						 : draw_entry(MIXED, 0, 0);
		if (core_random_below(2))
			e.stamp = core_random_below(2) ? UINT64_MAX : 0;
		*at = place_of(s, &e);
		return lsm_seek(c, key_of(&e), e.stamp);
	}
}

static void test_merge_is_its_sources_sorted_both_ways(void **state)
{
	uint64_t round, rounds = 1 + test_draws(120);
	struct lsm_cursor *c;
	size_t i;

	(void)state;
	for (round = 0; round < rounds; round++) {
		draw(&scene, round % SHAPES,
		     (unsigned int)core_random_below(SOURCES_MAX + 1));
		assert_int_equal(merge_of(&scene, 0, &c), 0);
		for (i = 0; i <= scene.n; i++)
			check_at(&scene, c, i, lsm_next(c));
		for (i = scene.n; i-- > 0;)
			check_at(&scene, c, i, lsm_prev(c));
		check_at(&scene, c, scene.n, lsm_prev(c));
		lsm_cursor_close(c);
		assert_int_equal(scene.open, 0);
	}
}

static void test_random_walks_with_turns_and_seeks(void **state)
{
	uint64_t round, rounds = 4 + test_draws(400);
	unsigned int turn_every;
	struct lsm_cursor *c;
	size_t at, i;

	(void)state;
	for (round = 0; round < rounds; round++) {
		draw(&scene, round % SHAPES,
		     (unsigned int)core_random_below(SOURCES_MAX + 1));
		assert_int_equal(merge_of(&scene, 0, &c), 0);
		at = scene.n;
		turn_every = 2 + (unsigned int)core_random_below(12);
		for (i = 0; i < WALK; i++) {
			unsigned int what = (unsigned int)(i / turn_every) % 2;
			int error;

			if (!core_random_below(20))
				what = 2;
			error = walk(&scene, c, what, &at);
			check_at(&scene, c, at, error);
			assert_true(scene.sources == 1 || !lsm_merge_failed(c) ||
				    !scene.sources);
		}
		lsm_cursor_close(c);
	}
}

static void test_of_equals_the_first_source_is_seen(void **state)
{
	struct lsm_cursor *c;
	size_t i;

	(void)state;
	memset(&scene, 0, sizeof(scene));
	scene.sources = 3;
	for (i = 0; i < 3; i++) {
		struct entry *e = &scene.entry[i][0];

		*e = (struct entry){ .key = "k",
				     .key_bytes = 1,
				     .stamp = 257,
				     .source = (unsigned int)i };
		scene.entries[i] = 1;
	}
	scene.all[0] = scene.entry[0][0];
	scene.n = 1;
	assert_int_equal(merge_of(&scene, 0, &c), 0);
	check_at(&scene, c, 0, lsm_next(c));
	check_at(&scene, c, 1, lsm_next(c));
	check_at(&scene, c, 0, lsm_prev(c));
	check_at(&scene, c, 1, lsm_prev(c));
	check_at(&scene, c, 0, lsm_seek(c, kv_slice("k", 1), 257));
	check_at(&scene, c, 1, lsm_seek(c, kv_slice("k", 1), 256));
	lsm_cursor_close(c);
}

/* The same moves, with the nth of all calls to sources failing: the move that it belongs to
 * gives the error, says whose it is, and leads outside, from where all goes on. */
static bool fails_at(uint64_t nth)
{
	struct lsm_cursor *c;
	size_t at = scene.n, i;
	bool fired = false;

	core_random_start();
	assert_int_equal(merge_of(&scene, nth, &c), 0);
	for (i = 0; i < 60; i++) {
		int error = walk(&scene, c, !core_random_below(8) ? 2 : i / 7 % 2, &at);

		if (error == -EBADMSG) {
			const struct lsm_cursor *whose = lsm_merge_failed(c);
			unsigned int k;

			for (k = 0; k < scene.sources; k++)
				if (scene.array[k] == whose)
					break;
			assert_true(k < scene.sources);
			assert_false(fired);
			fired = true;
			at = scene.n;
			continue;
		}
		check_at(&scene, c, at, error);
	}
	lsm_cursor_close(c);
	assert_int_equal(scene.open, 0);
	return fired;
}

static void test_source_that_fails_at_the_nth_call(void **state)
{
	unsigned int round;
	uint64_t nth;

	(void)state;
	for (round = 0; round < 2 * SHAPES; round++) {
		draw(&scene, round % SHAPES, 1 + round);
		for (nth = 1; fails_at(nth); nth++)
			;
		assert_true(nth > 20);
	}
}

static void test_no_memory_closes_the_sources(void **state)
{
	struct lsm_cursor *c;
	uint64_t nth;
	int error;

	(void)state;
	draw(&scene, MIXED, 5);
	for (nth = 1;; nth++) {
		port_fault_set(scene.sources + nth, true); /* after the arrays' own */
		error = merge_of(&scene, 0, &c);
		port_fault_set(0, false);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		assert_int_equal(scene.open, 0);
	}
	assert_int_equal(nth, 3);
	lsm_cursor_close(c);
}

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

#define MERGE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		MERGE_TEST(test_merge_is_its_sources_sorted_both_ways),
		MERGE_TEST(test_random_walks_with_turns_and_seeks),
		MERGE_TEST(test_of_equals_the_first_source_is_seen),
		MERGE_TEST(test_source_that_fails_at_the_nth_call),
		MERGE_TEST(test_no_memory_closes_the_sources),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
