/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.1: the skip list.
 */
#include "../../../harness/learn/learn.h"
#include "../../lsm_skiplist.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"In memory: the memtable\""
#define HEADER  "sprint-4-lsm-simd/lsm_skiplist.h"

enum { NODES = 1000, THREADS = 4, EACH = 4000, ROUNDS = 12 };
enum { KEYS = 4000, MIDSTS = 1500 };

struct made {
	struct lsm_node *node;
	unsigned int height;
};

static struct lsm_skiplist list;
static void *memory[THREADS * EACH];
static size_t memories;

static void begin(void)
{
	lsm_skiplist_init(&list);
	memories = 0;
}

static void end(void)
{
	while (memories)
		port_free(memory[--memories]);
}

/* Its links lead nowhere until they are set. */
static struct lsm_node *make(struct kv_slice key, uint64_t stamp, unsigned int height)
{
	const size_t bytes = lsm_node_bytes(height, key.len, 0);
	void *p = port_alloc(bytes);

	learn_pointer("memory for a node", p);
	memset(p, 0, bytes);
	memory[memories++] = p;
	return lsm_node_make(p, height, key, stamp, kv_slice(NULL, 0));
}

static struct lsm_node *put(struct kv_slice key, uint64_t sequence, unsigned int height)
{
	struct lsm_node *n = make(key, lsm_stamp(sequence, LSM_PUT), height);

	lsm_skiplist_insert(&list, n, height);
	return n;
}

static struct kv_slice number_key(uint64_t number, uint8_t out[16])
{
	memset(out, 'k', 8); /* heads are equal */
	port_put_le64(out + 8, __builtin_bswap64(number));
	return kv_slice(out, 16);
}

static struct lsm_node *put_number(uint64_t number, unsigned int height)
{
	uint8_t key[16];

	return put(number_key(number, key), 1, height);
}

static uint64_t number_of(const struct lsm_node *n)
{
	return __builtin_bswap64(
		port_get_le64((const uint8_t *)lsm_node_key(n).data + 8));
}

static unsigned int draw_height(void)
{
	return lsm_skiplist_height(learn_random(UINT64_MAX));
}

static void expect_node(const char *what, const struct lsm_node *came,
			const struct lsm_node *wanted)
{
	learn_expect(came == wanted,
		     learn_text("%s is %s", what,
				wanted ? "the node that was inserted there" : "NULL"),
		     came ? "another node" : "NULL");
}

static void test_one_node_is_found(void **state)
{
	struct lsm_node *n;

	(void)state;
	begin();
	n = put(kv_str("apple"), 5, 1);
	expect_node("the first node of a list with one", lsm_skiplist_first(&list), n);
	expect_node("what find(\"apple\", its stamp) gives",
		    lsm_skiplist_find(&list, kv_str("apple"), n->stamp), n);
	expect_node("what find(\"banana\") gives behind all",
		    lsm_skiplist_find(&list, kv_str("banana"), n->stamp), NULL);
	expect_node("what before(\"banana\") gives",
		    lsm_skiplist_before(&list, kv_str("banana"), n->stamp), n);
	expect_node("what before(\"apple\") gives",
		    lsm_skiplist_before(&list, kv_str("apple"), n->stamp), NULL);
	end();
}

static void test_nodes_stand_in_the_order_of_keys(void **state)
{
	static const char *const in[] = { "pear",  "",        "abcdefghZ", "abcdefgh",
					  "apple", "abcdefg", "b",         "abcdefghA" };
	static const char *const out[] = { "",          "abcdefg",   "abcdefgh",
					   "abcdefghA", "abcdefghZ", "apple",
					   "b",         "pear" };
	struct lsm_node *at;
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < 8; i++)
		put(kv_str(in[i]), 1, 1 + (unsigned int)i % 3);
	at = lsm_skiplist_first(&list);
	for (i = 0; i < 8; i++, at = lsm_skiplist_next(at)) {
		learn_pointer(learn_text("node %zu of 8", i), at);
		learn_expect(lsm_node_is(at, kv_str(out[i])),
			     learn_text("node %zu has the key \"%s\"", i, out[i]),
			     "\"%.*s\"", (int)at->key_bytes,
			     (const char *)lsm_node_key(at).data);
	}
	expect_node("the node behind the last", at, NULL);
	end();
}

static void test_newest_version_stands_first(void **state)
{
	static const uint64_t in[] = { 20, 10, 40, 30 };
	struct lsm_node *at;
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < 4; i++)
		put(kv_str("one key, of more than eight bytes"), in[i], 2);
	at = lsm_skiplist_first(&list);
	for (i = 0; i < 4; i++, at = lsm_skiplist_next(at)) {
		learn_pointer(learn_text("version %zu of 4", i), at);
		learn_number(learn_text("the sequence of version %zu", i),
			     lsm_sequence(at->stamp), 40 - 10 * i);
	}
	at = lsm_skiplist_find(&list, kv_str("one key, of more than eight bytes"),
			       lsm_seek_stamp(25));
	learn_pointer("the newest version at or before sequence 25", at);
	learn_number("its sequence", lsm_sequence(at->stamp), 20);
	end();
}

static void test_neighbours_of_every_place(void **state)
{
	static struct lsm_node *node[NODES];
	const uint64_t stamp = lsm_stamp(1, LSM_PUT);
	uint8_t key[16];
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < NODES; i++) { /* 7 has no factor in common with 1000 */
		size_t number = i * 7 % NODES;

		node[number] = put_number(2 * number + 1, draw_height());
	}
	for (i = 0; i < NODES; i++) {
		expect_node(learn_text("find(key %zu), which is there,", 2 * i + 1),
			    lsm_skiplist_find(&list, number_key(2 * i + 1, key), stamp),
			    node[i]);
		expect_node(learn_text("find(key %zu), of the next one,", 2 * i),
			    lsm_skiplist_find(&list, number_key(2 * i, key), stamp),
			    node[i]);
		expect_node(learn_text("before(key %zu)", 2 * i + 1),
			    lsm_skiplist_before(&list, number_key(2 * i + 1, key), stamp),
			    i ? node[i - 1] : NULL);
	}
	expect_node("the last node", lsm_skiplist_last(&list), node[NODES - 1]);
	end();
}

/* How many nodes a level links, which must be in order. */
static uint64_t count_level(unsigned int level)
{
	struct lsm_node *at = list.first[LSM_SKIPLIST_LEVELS - 1 - level];
	uint64_t n = 0, last = 0;

	while (at) {
		learn_expect(!n || number_of(at) > last,
			     learn_text("level %u in ascending order", level),
			     "%llu behind %llu", (unsigned long long)number_of(at),
			     (unsigned long long)last);
		last = number_of(at);
		n++;
		at = ((struct lsm_node **)(void *)at)[-1 - (long)level];
	}
	return n;
}

static void test_each_level_links_the_nodes_that_reach_it(void **state)
{
	uint64_t reach[LSM_SKIPLIST_LEVELS] = { 0 };
	unsigned int level, height, highest = 0;
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < NODES; i++) {
		height = i == NODES / 2 ? 9 : draw_height();
		highest = height > highest ? height : highest;
		put_number(i * 7 % NODES, height);
		for (level = 0; level < height; level++)
			reach[level]++;
	}
	for (level = 0; level < LSM_SKIPLIST_LEVELS; level++)
		learn_number(learn_text("the number of nodes on level %u", level),
			     count_level(level), reach[level]);
	learn_number("l->levels, the levels that have a node", list.levels, highest);
	end();
}

static void test_levels_never_shrink(void **state)
{
	(void)state;
	begin();
	put_number(1, 6);
	learn_number("l->levels after a node of height 6", list.levels, 6);
	put_number(2, 1);
	learn_number("l->levels after one of height 1 more", list.levels, 6);
	put_number(3, 3);
	learn_number("l->levels after one of height 3 more", list.levels, 6);
	end();
}

static void test_tail_is_the_last_node(void **state)
{
	struct lsm_node *last;

	(void)state;
	begin();
	put_number(5, 2);
	last = put_number(9, 2);
	put_number(7, 2);
	expect_node("l->tail[0], after a node in the middle", list.tail[0], last);
	expect_node("l->tail[1]", list.tail[1], last);
	last = put_number(10, 1);
	expect_node("l->tail[0], after a node behind all", list.tail[0], last);
	end();
}

/* ---- threads ---- */

struct worker {
	pthread_t thread;
	struct made made[EACH];
	pthread_barrier_t *start;
	uint64_t first;
};

static void *insert_all(void *arg)
{
	struct worker *w = arg;
	size_t i;

	(void)pthread_barrier_wait(w->start);
	for (i = 0; i < EACH; i++)
		lsm_skiplist_insert(&list, w->made[i].node, w->made[i].height);
	return NULL;
}

/* Keys of all threads lie between each other's: they meet in the same links all the time. */
static void run_threads(bool descending)
{
	static struct worker worker[THREADS];
	pthread_barrier_t start;
	uint64_t number;
	uint8_t key[16];
	size_t t, i;

	(void)pthread_barrier_init(&start, NULL, THREADS);
	for (t = 0; t < THREADS; t++) {
		worker[t].start = &start;
		for (i = 0; i < EACH; i++) {
			unsigned int height = draw_height();

			number = (descending ? EACH - 1 - i : i) * THREADS + t;
			worker[t].made[i] =
				(struct made){ make(number_key(number, key),
						    lsm_stamp(1, LSM_PUT), height),
					       height };
		}
	}
	for (t = 0; t < THREADS; t++)
		assert_int_equal(
			pthread_create(&worker[t].thread, NULL, insert_all, &worker[t]),
			0);
	for (t = 0; t < THREADS; t++)
		(void)pthread_join(worker[t].thread, NULL);
	(void)pthread_barrier_destroy(&start);
}

static void test_threads_lose_no_node(void **state)
{
	unsigned int round;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		begin();
		run_threads(round % 2);
		learn_number("the nodes in the list that four threads inserted",
			     count_level(0), THREADS * EACH);
		count_level(1);
		count_level(2);
		end();
	}
}

/*
 * An insert in the midst of an insert: a timer's signal stops it anywhere, and its handler
 * inserts the two keys beside the one that is under way. Threads do that to each other
 * too, but not so often.
 */
static struct made middle[KEYS], below[KEYS], above[KEYS];
static volatile size_t under_way;
static volatile uint64_t midsts, inserted;
static size_t done_for;

static void insert_beside(int number)
{
	const size_t i = under_way;

	(void)number;
	if (i >= KEYS || done_for == i)
		return;
	done_for = i;
	lsm_skiplist_insert(&list, below[i].node, below[i].height);
	lsm_skiplist_insert(&list, above[i].node, above[i].height);
	inserted += 2;
	midsts++;
}

static struct made make_number(uint64_t number)
{
	unsigned int height = draw_height();
	uint8_t key[16];

	return (struct made){
		make(number_key(number, key), lsm_stamp(1, LSM_PUT), height), height
	};
}

static void insert_under_signals(void)
{
	const struct itimerval often = { { 0, 10 }, { 0, 10 } },
			       never = { { 0, 0 }, { 0, 0 } };
	size_t i;

	for (i = 0; i < KEYS; i++) {
		const uint64_t number = (i * 1237 % KEYS) * 10 + 10;

		middle[i] = make_number(number);
		below[i] = make_number(number - 1);
		above[i] = make_number(number + 1);
	}
	inserted = 0;
	done_for = under_way = KEYS;
	(void)setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < KEYS; i++) {
		under_way = i;
		lsm_skiplist_insert(&list, middle[i].node, middle[i].height);
		under_way = KEYS;
		inserted++;
	}
	(void)setitimer(ITIMER_REAL, &never, NULL);
}

static void test_insert_in_the_midst_of_an_insert(void **state)
{
	struct sigaction is = { .sa_handler = insert_beside }, was;
	const time_t begun = time(NULL);

	(void)state;
	(void)sigaction(SIGALRM, &is, &was);
	for (midsts = 0; midsts < MIDSTS && time(NULL) < begun + 2;) {
		begin();
		insert_under_signals();
		learn_number("the nodes in the list, when some inserts were stopped in "
			     "their midst and others came in between,",
			     count_level(0), inserted);
		count_level(1);
		count_level(2);
		end();
	}
	(void)sigaction(SIGALRM, &was, NULL);
}

struct reader {
	pthread_t thread;
	uint32_t stop;
	uint64_t disorder;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	const struct lsm_node *at;
	uint64_t last;

	while (!port_load_acquire(&r->stop)) {
		last = 0;
		for (at = lsm_skiplist_first(&list); at; at = lsm_skiplist_next(at)) {
			if (number_of(at) < last)
				r->disorder++;
			last = number_of(at);
		}
	}
	return NULL;
}

static void test_readers_see_order_meanwhile(void **state)
{
	struct reader r = { .stop = 0 };

	(void)state;
	begin();
	assert_int_equal(pthread_create(&r.thread, NULL, read_all, &r), 0);
	run_threads(true);
	port_store_release(&r.stop, 1);
	(void)pthread_join(r.thread, NULL);
	learn_number("the nodes that a reader met out of order", r.disorder, 0);
	learn_number("the nodes in the list in the end", count_level(0), THREADS * EACH);
	end();
}

static void bench_insert(uint64_t n)
{
	uint64_t i;

	begin();
	for (i = 0; i < n; i++)
		put_number(i * 7919 % n, lsm_skiplist_height(i * 0x9e3779b97f4a7c15u));
	end();
}

static void bench_find(uint64_t n)
{
	const uint64_t stamp = lsm_stamp(1, LSM_PUT);
	uint8_t key[16];
	uint64_t i;

	begin();
	for (i = 0; i < 10000; i++)
		put_number(i, lsm_skiplist_height(i * 0x9e3779b97f4a7c15u));
	for (i = 0; i < n; i++)
		(void)lsm_skiplist_find(&list, number_key(i * 7919 % 10000, key), stamp);
	end();
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_one_node_is_found, 2, HEADER),
	LEARN_TEST(test_nodes_stand_in_the_order_of_keys, 2, CHAPTER),
	LEARN_TEST(test_newest_version_stands_first, 1, "sprint-4-lsm-simd/lsm_entry.h"),
	LEARN_TEST(test_neighbours_of_every_place, 2, HEADER),
	LEARN_TEST(test_each_level_links_the_nodes_that_reach_it, 2, CHAPTER),
	LEARN_TEST(test_levels_never_shrink, 1, CHAPTER),
	LEARN_TEST(test_tail_is_the_last_node, 1, HEADER),
	LEARN_TEST(test_insert_in_the_midst_of_an_insert, 3, CHAPTER),
	LEARN_TEST(test_threads_lose_no_node, 2, CHAPTER),
	LEARN_TEST(test_readers_see_order_meanwhile, 2, CHAPTER),
};
static const struct learn_speed speeds[] = { { "insert", bench_insert, 10000 },
					     { "find", bench_find, 20000 } };

LEARN_MAIN(tests, speeds)
