/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_skiplist_tests.c - the skip list against a sorted array: order, both neighbours of every
 * place, keys that come in order or not, several threads; and the arena's chunks.
 */
#include "../lsm_arena.h"
#include "../lsm_skiplist.h"
#include "lsm_memtable_fixture.h"

enum { ENTRIES = 4000 };

static struct lsm_memory *memory;

static int set_up(void **state)
{
	core_random_start();
	leak_check_set_up(state);
	return lsm_memory_new(64 << 20, false, &memory);
}

static int tear_down(void **state)
{
	lsm_memory_free(memory);
	return leak_check_tear_down(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void insert(struct lsm_skiplist *l, struct lsm_arena *a, struct kv_slice key,
		   uint64_t stamp, uint64_t random)
{
	const unsigned int height = lsm_skiplist_height(random);
	char *at;

	assert_int_equal(lsm_arena_reserve(a, lsm_node_bytes(height, key.len, 0), &at),
			 0);
	lsm_skiplist_insert(l, lsm_node_make(at, height, key, stamp, kv_slice(NULL, 0)),
			    height);
}

static void assert_node(const struct lsm_node *n, const struct entry *e)
{
	assert_non_null(n);
	assert_slice(lsm_node_key(n), kv_slice(e->text, e->key.len));
	assert_int_equal(n->stamp, e->stamp);
	assert_true(lsm_node_is(n, kv_slice(e->text, e->key.len)));
}

/* Everything that the list answers, of n sorted entries. */
static void check_list(const struct lsm_skiplist *l, const struct entry *e, size_t n)
{
	const struct lsm_node *at = lsm_skiplist_first(l);
	size_t i;

	for (i = 0; i < n; i++, at = lsm_skiplist_next(at)) {
		const struct kv_slice key = kv_slice(e[i].text, e[i].key.len);

		assert_node(at, &e[i]);
		assert_ptr_equal(lsm_skiplist_find(l, key, e[i].stamp), at);
		if (i)
			assert_node(lsm_skiplist_before(l, key, e[i].stamp), &e[i - 1]);
		else
			assert_null(lsm_skiplist_before(l, key, e[i].stamp));
		/* Just behind it: a smaller stamp. */
		assert_ptr_equal(lsm_skiplist_find(l, key, e[i].stamp - 1),
				 lsm_skiplist_next(at));
		assert_ptr_equal(lsm_skiplist_before(l, key, e[i].stamp - 1), at);
	}
	assert_null(at);
	if (n)
		assert_node(lsm_skiplist_last(l), &e[n - 1]);
	else
		assert_null(lsm_skiplist_last(l));
}

static size_t make_entries(struct entry *e, size_t n, size_t keys)
{
	size_t i;

	for (i = 0; i < n; i++) {
		e[i].number = core_random_below(keys);
		e[i].key = test_key(e[i].text, e[i].number);
		e[i].stamp = (i + 1) << 8 | i % 3;
	}
	return n;
}

static void fill(struct lsm_skiplist *l, struct lsm_arena *a, const struct entry *e,
		 size_t n)
{
	size_t i;

	lsm_skiplist_init(l);
	lsm_arena_init(a, memory);
	for (i = 0; i < n; i++)
		insert(l, a, kv_slice(e[i].text, e[i].key.len), e[i].stamp,
		       core_random());
}

static void test_empty_list_has_no_neighbours(void **state)
{
	struct lsm_skiplist l;

	(void)state;
	lsm_skiplist_init(&l);
	check_list(&l, NULL, 0);
	assert_null(lsm_skiplist_first(&l));
	assert_null(lsm_skiplist_find(&l, kv_str("a"), 0));
	assert_null(lsm_skiplist_before(&l, kv_str("a"), 0));
}

static void test_random_entries_stand_in_order(void **state)
{
	static const size_t keys[] = { 1, 30, 1000, 1u << 20 };
	const size_t n = test_draws(ENTRIES) + 100;
	struct entry *e = calloc(n, sizeof(*e));
	size_t i;

	(void)state;
	print_message("seed 0x%x\n", CORE_SEED);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct lsm_skiplist l;
		struct lsm_arena a;

		make_entries(e, n, keys[i]);
		fill(&l, &a, e, n);
		qsort(e, n, sizeof(*e), compare_entries);
		check_list(&l, e, n);
		lsm_arena_free(&a);
	}
	free(e);
}

static void test_ascending_and_descending_entries_stand_in_order(void **state)
{
	const size_t n = test_draws(ENTRIES) + 100;
	struct entry *e = calloc(n, sizeof(*e)), swap;
	struct lsm_skiplist l;
	struct lsm_arena a;
	size_t i;

	(void)state;
	make_entries(e, n, 500);
	qsort(e, n, sizeof(*e), compare_entries);
	fill(&l, &a, e, n);
	check_list(&l, e, n);
	lsm_arena_free(&a);
	for (i = 0; i < n / 2; i++) {
		swap = e[i];
		e[i] = e[n - 1 - i];
		e[n - 1 - i] = swap;
	}
	fill(&l, &a, e, n);
	qsort(e, n, sizeof(*e), compare_entries);
	check_list(&l, e, n);
	lsm_arena_free(&a);
	free(e);
}

static void test_every_height_is_as_rare_as_it_should_be(void **state)
{
	size_t count[LSM_SKIPLIST_LEVELS + 1] = { 0 }, i;

	(void)state;
	for (i = 0; i < 1 << 20; i++) {
		unsigned int h = lsm_skiplist_height(core_random());

		assert_in_range(h, 1, LSM_SKIPLIST_LEVELS);
		count[h]++;
	}
	for (i = 1; i < 6; i++)
		assert_in_range(count[i], (3u << 18) / (1 << (2 * i - 2)) * 9 / 10,
				(3u << 18) / (1 << (2 * i - 2)) * 11 / 10);
	assert_int_equal(lsm_skiplist_height(0), LSM_SKIPLIST_LEVELS);
}

/* ---- threads ---- */

enum { WRITERS = 3, READERS = 2 };

struct crowd {
	struct lsm_skiplist list;
	struct lsm_arena arena;
	struct entry *entry; /* writer w inserts those with index % WRITERS == w */
	size_t entries;
	uint32_t writing; /* atomic */
	uint32_t wrong;   /* atomic */
};

struct member {
	pthread_t thread;
	struct crowd *crowd;
	size_t which;
};

static void *write_share(void *arg)
{
	struct member *m = arg;
	struct crowd *c = m->crowd;
	uint64_t random = CORE_SEED + m->which;
	size_t i;

	for (i = m->which; i < c->entries; i += WRITERS) {
		const struct entry *e = &c->entry[i];
		const struct kv_slice key = kv_slice(e->text, e->key.len);
		const struct lsm_node *n;

		random = random * 6364136223846793005u + 1442695040888963407u;
		insert(&c->list, &c->arena, key, e->stamp, random >> 32);
		n = lsm_skiplist_find(&c->list, key, e->stamp);
		if (!n || n->stamp != e->stamp || !lsm_node_is(n, key))
			(void)port_fetch_add(&c->wrong, 1u);
	}
	(void)port_fetch_add(&c->writing, (uint32_t)-1);
	return NULL;
}

/* At any time what is there is in order. */
static void *read_on(void *arg)
{
	struct crowd *c = ((struct member *)arg)->crowd;

	do {
		const struct lsm_node *n = lsm_skiplist_first(&c->list), *next;

		for (; n && (next = lsm_skiplist_next(n)); n = next)
			if (lsm_entry_compare(lsm_node_key(n), n->stamp,
					      lsm_node_key(next), next->stamp) >= 0)
				(void)port_fetch_add(&c->wrong, 1u);
	} while (port_load_acquire(&c->writing));
	return NULL;
}

static void race(struct entry *e, size_t n)
{
	static struct crowd c;
	struct member m[WRITERS + READERS];
	size_t i;

	memset(&c, 0, sizeof(c));
	lsm_skiplist_init(&c.list);
	lsm_arena_init(&c.arena, memory);
	c.entry = e;
	c.entries = n;
	c.writing = WRITERS;
	for (i = 0; i < WRITERS + READERS; i++) {
		m[i] = (struct member){ .crowd = &c, .which = i };
		assert_int_equal(pthread_create(&m[i].thread, NULL,
						i < WRITERS ? write_share : read_on,
						&m[i]),
				 0);
	}
	for (i = 0; i < WRITERS + READERS; i++)
		assert_int_equal(pthread_join(m[i].thread, NULL), 0);
	assert_int_equal(c.wrong, 0);
	qsort(e, n, sizeof(*e), compare_entries);
	check_list(&c.list, e, n);
	lsm_arena_free(&c.arena);
}

static void test_threads_insert_side_by_side(void **state)
{
	const size_t n = test_draws(60000) + 300;
	struct entry *e = calloc(n, sizeof(*e));

	(void)state;
	make_entries(e, n, 1u << 20);
	race(e, n);
	race(e, n); /* in order now: all meet at the end */
	make_entries(e, n, 20);
	race(e, n);
	free(e);
}

/* ---- the arena ---- */

static void test_arena_packs_what_fits_and_gives_back_the_end(void **state)
{
	struct lsm_arena a;
	char *p, *q, *r;

	(void)state;
	lsm_arena_init(&a, memory);
	assert_int_equal(lsm_arena_bytes(&a), 0);
	assert_int_equal(lsm_arena_reserve(&a, 80, &p), 0);
	assert_int_equal(lsm_arena_reserve(&a, 160, &q), 0);
	assert_ptr_equal(q, p + 80);
	lsm_arena_return(&a, p + 40, p + 80); /* not the end */
	assert_int_equal(lsm_arena_bytes(&a), 240);
	lsm_arena_return(&a, q + 24, q + 160);
	assert_int_equal(lsm_arena_bytes(&a), 104);
	assert_int_equal(lsm_arena_reserve(&a, 8, &r), 0);
	assert_ptr_equal(r, q + 24);
	lsm_arena_free(&a);
}

static void test_arena_gives_what_is_large_memory_of_its_own(void **state)
{
	struct lsm_arena a;
	char *p, *q, *large;

	(void)state;
	lsm_arena_init(&a, memory);
	assert_int_equal(lsm_arena_reserve(&a, 8, &p), 0);
	assert_int_equal(lsm_arena_reserve(&a, 5 << 20, &large), 0);
	memset(large, 1, 5 << 20);
	lsm_arena_return(&a, large + 8, large + (5 << 20));
	assert_int_equal(lsm_arena_reserve(&a, 8, &q), 0);
	assert_ptr_equal(q, p + 8);
	assert_true(lsm_arena_bytes(&a) >= (5 << 20) + 16);
	lsm_arena_free(&a);
}

static void test_chunks_are_kept_up_to_a_bound_and_used_again(void **state)
{
	struct lsm_memory *few;
	struct lsm_arena a;
	uint64_t bytes;
	char *p;
	int i;

	(void)state;
	assert_int_equal(lsm_memory_new(8 << 20, false, &few), 0);
	lsm_arena_init(&a, few);
	assert_int_equal(lsm_arena_prepare(&a, 700 << 10), 0);
	bytes = lsm_memory_bytes(few);
	assert_in_range(bytes, 700 << 10, 1 << 20);
	for (i = 0; i < 70; i++)
		assert_int_equal(lsm_arena_reserve(&a, 8192, &p), 0);
	assert_int_equal(lsm_memory_bytes(few), bytes);
	lsm_arena_free(&a);
	assert_int_equal(lsm_memory_bytes(few), bytes); /* kept */

	lsm_arena_init(&a, few);
	for (i = 0; i < 2000; i++)
		assert_int_equal(lsm_arena_reserve(&a, 8192, &p), 0);
	assert_true(lsm_memory_bytes(few) > 2000 * 8192);
	lsm_arena_free(&a);
	assert_in_range(lsm_memory_bytes(few), 700 << 10, 8 << 20);
	lsm_memory_free(few);
}

static void test_huge_chunks_are_there_where_asked_for(void **state)
{
	struct lsm_memory *huge;
	struct lsm_arena a;
	char *p;

	(void)state;
	assert_int_equal(lsm_memory_new(32 << 20, true, &huge), 0);
	lsm_arena_init(&a, huge);
	assert_int_equal(lsm_arena_reserve(&a, 8, &p), 0);
	assert_int_equal((uintptr_t)p % PORT_HUGE_BYTES, LSM_CHUNK_HEADER);
	assert_int_equal(lsm_memory_bytes(huge), PORT_HUGE_BYTES);
	assert_int_equal(lsm_arena_reserve(&a, 3 << 20, &p), 0);
	assert_int_equal(lsm_memory_bytes(huge), 3 * (uint64_t)PORT_HUGE_BYTES);
	lsm_arena_free(&a);
	lsm_memory_free(huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_empty_list_has_no_neighbours),
		TEST(test_random_entries_stand_in_order),
		TEST(test_ascending_and_descending_entries_stand_in_order),
		TEST(test_every_height_is_as_rare_as_it_should_be),
		TEST(test_threads_insert_side_by_side),
		TEST(test_arena_packs_what_fits_and_gives_back_the_end),
		TEST(test_arena_gives_what_is_large_memory_of_its_own),
		TEST(test_chunks_are_kept_up_to_a_bound_and_used_again),
		TEST(test_huge_chunks_are_there_where_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
