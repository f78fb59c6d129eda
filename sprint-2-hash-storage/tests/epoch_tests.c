/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * epoch_tests.c - nothing is freed while a reader may look at it, and all of it in the end.
 */
#include "../../sprint-1-core-memory/port_fault.h"
#include "../epoch.h"

#include <setjmp.h>

#include <cmocka.h>

struct thing {
	struct epoch_item item;
	uint64_t a, b; /* always each other's complement, until freed */
};

static unsigned int freed; /* atomic: frees run in whichever thread collects */

static void thing_free(struct epoch_item *item)
{
	struct thing *t = container_of(item, struct thing, item);

	t->a = t->b = 0;
	port_fetch_add(&freed, 1u);
	port_free(t);
}

static struct thing *thing_new(uint64_t a)
{
	struct thing *t = port_alloc(sizeof(*t));

	assert_non_null(t);
	*t = (struct thing){ .item.free = thing_free, .a = a, .b = ~a };
	return t;
}

static struct epoch *setup(void)
{
	struct epoch *e;

	assert_int_equal(epoch_new(&e), 0);
	freed = 0;
	return e;
}

static void teardown(struct epoch *e)
{
	epoch_free(e);
	assert_int_equal(port_fault_live(), 0);
}

static void test_item_without_readers_is_freed_at_once(void **state)
{
	struct epoch *e = setup();

	(void)state;
	assert_int_equal(epoch_collect(e), 0);
	epoch_retire(e, &thing_new(1)->item);
	assert_int_equal(epoch_collect(e), 0);
	assert_int_equal(freed, 1);
	teardown(e);
}

static void test_item_waits_for_reader_that_was_inside(void **state)
{
	struct epoch *e = setup();
	unsigned int reader = epoch_enter(e);

	(void)state;
	epoch_retire(e, &thing_new(1)->item);
	assert_int_equal(epoch_collect(e), 1);
	assert_int_equal(freed, 0);
	epoch_leave(e, reader);
	assert_int_equal(epoch_collect(e), 0);
	assert_int_equal(freed, 1);
	teardown(e);
}

static void test_item_does_not_wait_for_reader_that_came_later(void **state)
{
	struct epoch *e = setup();
	unsigned int early = epoch_enter(e), late;

	(void)state;
	epoch_retire(e, &thing_new(1)->item);
	late = epoch_enter(e);
	epoch_retire(e, &thing_new(2)->item);
	assert_int_equal(epoch_collect(e), 2);
	epoch_leave(e, early);
	assert_int_equal(epoch_collect(e), 1); /* the second saw late inside */
	assert_int_equal(freed, 1);
	epoch_leave(e, late);
	assert_int_equal(epoch_collect(e), 0);
	teardown(e);
}

static void test_nested_reader_holds_until_the_outer_leaves(void **state)
{
	struct epoch *e = setup();
	unsigned int outer = epoch_enter(e), inner = epoch_enter(e);

	(void)state;
	assert_int_not_equal(outer, inner);
	epoch_retire(e, &thing_new(1)->item);
	epoch_leave(e, inner);
	assert_int_equal(epoch_collect(e), 1);
	epoch_leave(e, outer);
	assert_int_equal(epoch_collect(e), 0);
	teardown(e);
}

static void test_every_slot_can_be_taken_once(void **state)
{
	bool taken[EPOCH_SLOTS] = { false };
	struct epoch *e = setup();
	unsigned int i;

	(void)state;
	for (i = 0; i < EPOCH_SLOTS; i++) {
		unsigned int slot = epoch_enter(e);

		assert_true(slot < EPOCH_SLOTS);
		assert_false(taken[slot]);
		taken[slot] = true;
	}
	epoch_retire(e, &thing_new(1)->item);
	for (i = 0; i < EPOCH_SLOTS; i++) {
		assert_int_equal(epoch_collect(e), 1);
		epoch_leave(e, i);
	}
	assert_int_equal(epoch_collect(e), 0);
	teardown(e);
}

static void test_retire_collects_by_itself(void **state)
{
	struct epoch *e = setup();
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		epoch_retire(e, &thing_new(i)->item);
	assert_true(freed > 900);
	teardown(e);
	assert_int_equal(freed, 1000);
}

static void test_free_of_epoch_frees_what_waits(void **state)
{
	struct epoch *e = setup();
	unsigned int i, reader = epoch_enter(e);

	(void)state;
	for (i = 0; i < 100; i++)
		epoch_retire(e, &thing_new(i)->item);
	assert_int_equal(freed, 0);
	epoch_leave(e, reader);
	teardown(e);
	assert_int_equal(freed, 100);
}

static void test_new_without_memory_fails(void **state)
{
	struct epoch *e = NULL;

	(void)state;
	port_fault_set(1, true);
	assert_int_equal(epoch_new(&e), -ENOMEM);
	port_fault_set(0, true);
	assert_null(e);
	epoch_free(NULL);
	assert_int_equal(port_fault_live(), 0);
}

/* An item whose free retires another. */
struct chained {
	struct epoch_item item;
	struct epoch *e;
	struct thing *next;
};

static void chained_free(struct epoch_item *item)
{
	struct chained *c = container_of(item, struct chained, item);

	epoch_retire(c->e, &c->next->item);
	port_free(c);
}

static void test_free_may_retire(void **state)
{
	struct epoch *e = setup();
	struct chained *c = port_alloc(sizeof(*c));

	(void)state;
	assert_non_null(c);
	*c = (struct chained){ .item.free = chained_free, .e = e, .next = thing_new(7) };
	epoch_retire(e, &c->item);
	epoch_collect(e);
	assert_int_equal(freed, 0);
	assert_int_equal(epoch_collect(e), 0);
	assert_int_equal(freed, 1);
	teardown(e);
}

/* ---- threads ---- */

enum { READERS = 3, PLACES = 8, RETIRES = 4000 };

struct stage {
	struct epoch *e;
	struct thing *place[PLACES]; /* atomic */
	bool done;                   /* atomic */
	uint64_t looks, torn;        /* atomic */
};

static void *follow_pointers(void *arg)
{
	struct stage *s = arg;
	uint64_t looks = 0, torn = 0;

	do {
		unsigned int i, slot = epoch_enter(s->e);

		for (i = 0; i < PLACES; i++) {
			const struct thing *t = port_load_acquire(&s->place[i]);

			torn += t->a != ~t->b;
			looks++;
		}
		epoch_leave(s->e, slot);
	} while (!port_load_relaxed(&s->done));
	port_fetch_add(&s->looks, looks);
	port_fetch_add(&s->torn, torn);
	return NULL;
}

/* Replaces what stands in half of the places, each writer in its own. */
struct writer {
	struct stage *stage;
	unsigned int first;
};

static void *replace_things(void *arg)
{
	const struct writer *w = arg;
	struct stage *s = w->stage;
	unsigned int i;

	for (i = 0; i < RETIRES; i++) {
		struct thing **place = &s->place[w->first + i % (PLACES / 2)];
		struct thing *old = port_load_relaxed(place);
		struct thing *t = port_alloc(sizeof(*t));

		if (!t)
			break;
		*t = (struct thing){ .item.free = thing_free, .a = i, .b = ~(uint64_t)i };
		port_store_release(place, t);
		epoch_retire(s->e, &old->item);
	}
	return NULL;
}

static void test_readers_never_see_freed_memory(void **state)
{
	struct stage s = { .e = setup() };
	struct writer w[2] = { { &s, 0 }, { &s, PLACES / 2 } };
	pthread_t reader[READERS], writer[2];
	unsigned int i;

	(void)state;
	for (i = 0; i < PLACES; i++)
		s.place[i] = thing_new(i);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, follow_pointers, &s),
				 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writer[i], NULL, replace_things, &w[i]),
				 0);
	for (i = 0; i < 2; i++)
		pthread_join(writer[i], NULL);
	port_store_relaxed(&s.done, true);
	for (i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	assert_true(s.looks >= READERS * PLACES);
	assert_int_equal(s.torn, 0);
	assert_int_equal(epoch_collect(s.e), 0);
	assert_int_equal(freed, 2 * RETIRES);
	for (i = 0; i < PLACES; i++)
		port_free(s.place[i]);
	teardown(s.e);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_item_without_readers_is_freed_at_once),
		cmocka_unit_test(test_item_waits_for_reader_that_was_inside),
		cmocka_unit_test(test_item_does_not_wait_for_reader_that_came_later),
		cmocka_unit_test(test_nested_reader_holds_until_the_outer_leaves),
		cmocka_unit_test(test_every_slot_can_be_taken_once),
		cmocka_unit_test(test_retire_collects_by_itself),
		cmocka_unit_test(test_free_of_epoch_frees_what_waits),
		cmocka_unit_test(test_new_without_memory_fails),
		cmocka_unit_test(test_free_may_retire),
		cmocka_unit_test(test_readers_never_see_freed_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
