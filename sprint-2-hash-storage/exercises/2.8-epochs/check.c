/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.8: epochs.
 */
#include "../../../harness/learn/learn.h"
#include "../../epoch.h"

#include <pthread.h>
#include <sched.h>

#define HEADER  "sprint-2-hash-storage/epoch.h"
#define SOURCE  "the comment at the top of sprint-2-hash-storage/epoch.c"
#define CHAPTER "docs/sprint-2-hash-storage.md, \"Reading without locks\""

struct thing {
	struct epoch_item item;
	uint64_t a, b; /* each other's complement, until freed */
};

static unsigned int freed; /* atomic */

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

	learn_pointer("memory for an item", t);
	*t = (struct thing){ .item.free = thing_free, .a = a, .b = ~a };
	return t;
}

static struct epoch *begin(void)
{
	struct epoch *e = NULL;

	learn_error("epoch_new()", epoch_new(&e), 0);
	freed = 0;
	return e;
}

static void retire(struct epoch *e, unsigned int n)
{
	while (n--)
		epoch_retire(e, &thing_new(n)->item);
}

static void test_without_readers_an_item_goes_at_once(void **state)
{
	struct epoch *e = begin();

	(void)state;
	learn_number("what epoch_collect() leaves of nothing", epoch_collect(e), 0);
	retire(e, 3);
	learn_number("what epoch_collect() leaves when no reader is inside",
		     epoch_collect(e), 0);
	learn_number("the items freed of 3", freed, 3);
	retire(e, 2);
	learn_number("what a second epoch_collect() leaves", epoch_collect(e), 0);
	learn_number("the items freed of 5", freed, 5);
	epoch_free(e);
}

static void test_an_item_waits_for_who_was_inside(void **state)
{
	struct epoch *e = begin();
	unsigned int reader = epoch_enter(e);

	(void)state;
	retire(e, 1);
	learn_number("the items that wait while a reader is inside", epoch_collect(e), 1);
	learn_number("the items freed while a reader may look at them", freed, 0);
	epoch_leave(e, reader);
	learn_number("the items that wait when the reader has left", epoch_collect(e), 0);
	learn_number("the items freed then", freed, 1);
	epoch_free(e);
}

static void test_an_item_does_not_wait_for_who_came_later(void **state)
{
	struct epoch *e = begin();
	unsigned int early = epoch_enter(e), late;

	(void)state;
	retire(e, 1);
	late = epoch_enter(e);
	retire(e, 1);
	learn_number("the items that wait for the two readers", epoch_collect(e), 2);
	epoch_leave(e, early);
	learn_number("the items that wait for the reader who came between them",
		     epoch_collect(e), 1);
	epoch_leave(e, late);
	learn_number("the items that wait for nobody", epoch_collect(e), 0);
	learn_number("the items freed of 2", freed, 2);
	epoch_free(e);
}

static void test_nested_readers_have_a_slot_each(void **state)
{
	struct epoch *e = begin();
	unsigned int outer = epoch_enter(e), inner = epoch_enter(e);

	(void)state;
	learn_expect(outer != inner, "two readers at once have two slots",
		     "both have slot %u", outer);
	retire(e, 1);
	epoch_leave(e, inner);
	learn_number("the items that wait while the outer reader is inside",
		     epoch_collect(e), 1);
	epoch_leave(e, outer);
	learn_number("the items that wait when both have left", epoch_collect(e), 0);
	epoch_free(e);
}

static void test_each_slot_counts(void **state)
{
	bool taken[EPOCH_SLOTS] = { false };
	struct epoch *e = begin();
	unsigned int i, slot;

	(void)state;
	for (i = 0; i < EPOCH_SLOTS; i++) {
		slot = epoch_enter(e);
		learn_expect(slot < EPOCH_SLOTS, "a slot below EPOCH_SLOTS", "%u", slot);
		learn_expect(!taken[slot], "a slot that nobody has", "%u again", slot);
		taken[slot] = true;
	}
	retire(e, 1);
	for (i = 0; i < EPOCH_SLOTS; i++) {
		learn_number(
			learn_text("the items that wait with slots %u to 255 taken", i),
			epoch_collect(e), 1);
		epoch_leave(e, i);
	}
	learn_number("the items that wait when all have left", epoch_collect(e), 0);
	epoch_free(e);
}

static void test_retire_collects_by_itself(void **state)
{
	struct epoch *e = begin();
	unsigned int reader;

	(void)state;
	retire(e, 1000);
	learn_expect(freed > 900, "more than 900 of 1000 items freed by epoch_retire()",
		     "%u", freed);
	reader = epoch_enter(e);
	retire(e, 1000);
	learn_expect(freed <= 1000, "none freed of those retired beside a reader",
		     "%u freed of the 1000 before", freed);
	epoch_leave(e, reader);
	retire(e, 1000);
	learn_number("the items that wait in the end", epoch_collect(e), 0);
	learn_number("the items freed of 3000", freed, 3000);
	epoch_free(e);
}

static struct epoch *nest;

static void free_and_retire(struct epoch_item *item)
{
	port_fetch_add(&freed, 1u);
	port_free(container_of(item, struct thing, item));
	retire(nest, 1);
}

static void test_what_frees_may_retire(void **state)
{
	unsigned int i;

	(void)state;
	nest = begin();
	for (i = 0; i < 100; i++) {
		struct thing *t = thing_new(i);

		t->item.free = free_and_retire;
		epoch_retire(nest, &t->item);
	}
	(void)epoch_collect(nest);
	(void)epoch_collect(nest);
	epoch_free(nest);
	learn_number("the items freed of 100 whose free() retires another", freed, 200);
}

/* ---- threads ---- */

enum { READERS = 3, ROUNDS = 4000 };

struct scene {
	struct epoch *e;
	struct thing *now;              /* atomic */
	unsigned int done, torn, looks; /* atomic */
};

static void *look(void *arg)
{
	struct scene *s = arg;

	while (!port_load_acquire(&s->done)) {
		unsigned int slot = epoch_enter(s->e);
		struct thing *t = port_load_acquire(&s->now);

		if (t->a != ~t->b)
			port_fetch_add(&s->torn, 1u);
		epoch_leave(s->e, slot);
		port_fetch_add(&s->looks, 1u);
	}
	return NULL;
}

/* Until readers have met what is there now. By relaxed loads: what orders a reader before the free
 * must be the epochs alone. */
static void wait_for_looks(const struct scene *s)
{
	const unsigned int enough = port_load_relaxed(&s->looks) + 2 * READERS;

	while (port_load_relaxed(&s->looks) < enough)
		(void)sched_yield();
}

static void test_no_reader_meets_a_freed_item(void **state)
{
	struct scene s = { .e = begin() };
	pthread_t thread[READERS];
	struct thing *old;
	unsigned int i;

	(void)state;
	s.now = thing_new(0);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, look, &s), 0);
	while (port_load_acquire(&s.looks) < 100)
		;
	for (i = 1; i <= ROUNDS; i++) {
		old = s.now;
		port_store_release(&s.now, thing_new(i));
		epoch_retire(s.e, &old->item);
		if (i % 16 == 0)
			wait_for_looks(&s);
	}
	port_store_release(&s.done, 1u);
	for (i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	learn_number("the looks at an item that was freed", s.torn, 0);
	learn_number("the items that wait when all readers have gone", epoch_collect(s.e),
		     0);
	learn_number("the items freed", freed, ROUNDS);
	port_free(s.now);
	epoch_free(s.e);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_without_readers_an_item_goes_at_once, 1, HEADER),
	LEARN_TEST(test_an_item_waits_for_who_was_inside, 2, CHAPTER),
	LEARN_TEST(test_an_item_does_not_wait_for_who_came_later, 2, SOURCE),
	LEARN_TEST(test_nested_readers_have_a_slot_each, 1, HEADER),
	LEARN_TEST(test_each_slot_counts, 2, SOURCE),
	LEARN_TEST(test_retire_collects_by_itself, 2, SOURCE),
	LEARN_TEST(test_what_frees_may_retire, 2, HEADER),
	LEARN_TEST(test_no_reader_meets_a_freed_item, 2, SOURCE),
};

LEARN_MAIN_NO_SPEED(tests)
