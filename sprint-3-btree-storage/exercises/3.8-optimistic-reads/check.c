/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.8: reading without locks. What a race would have to be lucky for
 * is done on purpose: the functions with which a look-up reads a node are wrapped, so that a
 * writer comes in just between its reading and its validating.
 */
#include "../store_check.h"

#include <pthread.h>

#define CHAPTER "docs/sprint-3-btree-storage.md, \"Reading without locks\""
#define PAGER   "sprint-3-btree-storage/btree_pager.h, at the top"

/* ---- a writer in the gap ---- */

static void (*in_gap)(struct disk *d); /* called once, then forgotten */
static struct disk *gap_disk;
static unsigned int gap_level;
static uint64_t routed, found; /* how often a look-up has read a node */

uint32_t __real_btree_node_route(const struct btree_node *n,
				 const struct btree_shape *shape, struct kv_slice key,
				 unsigned int *index);
bool __real_btree_node_find(const struct btree_node *n, const struct btree_shape *shape,
			    struct kv_slice key, struct kv_slice *value,
			    unsigned int *flags);

static void gap(unsigned int level)
{
	void (*write)(struct disk * d) = in_gap;

	if (!write || level != gap_level)
		return;
	in_gap = NULL;
	write(gap_disk);
}

uint32_t __wrap_btree_node_route(const struct btree_node *n,
				 const struct btree_shape *shape, struct kv_slice key,
				 unsigned int *index)
{
	uint32_t page = __real_btree_node_route(n, shape, key, index);

	if (in_gap) {
		routed++;
		gap(n->page.level);
	}
	return page;
}

bool __wrap_btree_node_find(const struct btree_node *n, const struct btree_shape *shape,
			    struct kv_slice key, struct kv_slice *value,
			    unsigned int *flags)
{
	bool is = __real_btree_node_find(n, shape, key, value, flags);

	if (in_gap) {
		found++;
		gap(0);
	}
	return is;
}

/* A get with a writer in the gap behind the reading of a node of that level. */
static int get_beside(struct disk *d, unsigned int number, unsigned int level,
		      void (*write)(struct disk *d), struct kv_buf *value)
{
	char key[16];
	int error;

	(void)snprintf(key, sizeof(key), "key%06u", number % 1000000);
	gap_disk = d;
	gap_level = level;
	in_gap = write;
	error = kv_get(d->kv, kv_str(key), value);
	learn_expect(!in_gap, learn_text("the look-up reads a node of level %u", level),
		     "it does not: it went another way");
	return error;
}

static void expect_got(int error, const struct kv_buf *value, const char *want,
		       const char *what)
{
	learn_error(what, error, 0);
	learn_expect(value->len == strlen(want) && !memcmp(value->data, want, value->len),
		     learn_text("%s gives \"%s\"", what, want), "\"%.*s\"",
		     (int)value->len, (const char *)value->data);
}

/* ---- one state word ---- */

static uint64_t state_of(struct disk *d, uint32_t page)
{
	return port_load_relaxed(&btree_store(d->kv)->pager->state[page]);
}

static uint32_t begin(struct disk *d, const char *options, unsigned int n)
{
	unsigned int i;

	store_open(d, options);
	for (i = 0; i < n; i++)
		pair_put(d, i, 1);
	return btree_store(d->kv)->tree.tip.root;
}

static void test_a_change_is_a_new_version(void **state)
{
	struct disk d = { NULL, NULL };
	uint32_t page = begin(&d, NULL, 3);
	struct btree_pager *p = btree_store(d.kv)->pager;
	uint64_t before = state_of(&d, page), after;

	(void)state;
	btree_page_lock(p, page);
	learn_expect(state_of(&d, page) & BTREE_LOCKED, "a locked page", "it is not");
	btree_page_unlock(p, page, true);
	after = state_of(&d, page);
	learn_number("bit 0, the lock, after btree_page_unlock()", after & BTREE_LOCKED,
		     0);
	learn_number("the version after a change, less the one before",
		     (after >> 20) - (before >> 20), 1);
	learn_expect(after & BTREE_DIRTY, "a dirty page after a change", "a clean one");
	learn_expect(after & BTREE_RESIDENT, "a page that is in memory still", "none");
	btree_page_lock(p, page);
	btree_page_unlock(p, page, false);
	learn_number("the version after a lock without a change",
		     state_of(&d, page) >> 20, after >> 20);
	store_close(&d);
}

static void test_pins_stay_while_the_lock_goes(void **state)
{
	struct disk d = { NULL, NULL };
	uint32_t page = begin(&d, NULL, 3);
	struct btree_pager *p = btree_store(d.kv)->pager;

	(void)state;
	learn_error("btree_page_pin()", btree_page_pin(p, page, 0, NULL), 0);
	btree_page_lock(p, page);
	/* another thread's pin: allowed while the page is locked by its pins' owner */
	(void)port_fetch_add(&p->state[page], BTREE_PIN);
	btree_page_unlock(p, page, true);
	learn_number("the pins", (state_of(&d, page) & BTREE_PINS) / BTREE_PIN, 2);
	btree_page_unpin(p, page);
	btree_page_unpin(p, page);
	(void)btree_page_acquire(p, page);
	(void)btree_page_release(p, page, BTREE_DIRTY, BTREE_CRC_KNOWN, false);
	learn_expect(!(state_of(&d, page) & BTREE_DIRTY),
		     "the bits of `clear` taken off by btree_page_release()",
		     "they are there");
	learn_expect(state_of(&d, page) & BTREE_CRC_KNOWN,
		     "the bits of `set` put on by btree_page_release()", "they are not");
	(void)btree_page_acquire(p, page);
	(void)btree_page_release(p, page, BTREE_CRC_KNOWN, BTREE_DIRTY, false);
	store_close(&d);
}

static void test_lock_at_a_version(void **state)
{
	struct disk d = { NULL, NULL };
	uint32_t page = begin(&d, NULL, 3);
	struct btree_pager *p = btree_store(d.kv)->pager;
	uint64_t version = 0;

	(void)state;
	learn_expect(btree_page_begin(p, page, &version), "a page to begin with", "none");
	learn_expect(btree_page_lock_at(p, page, version),
		     "btree_page_lock_at() locks a page that has not changed",
		     "it does not");
	learn_expect(state_of(&d, page) & BTREE_LOCKED, "a locked page", "it is not");
	btree_page_unlock(p, page, true);
	learn_expect(!btree_page_lock_at(p, page, version),
		     "btree_page_lock_at() refuses a page that has changed since",
		     "it locks it");
	learn_expect(btree_page_begin(p, page, &version), "a page to begin with", "none");
	/* Pins and CLOCK's mark do not make it another version. */
	(void)port_fetch_add(&p->state[page], BTREE_PIN);
	learn_expect(btree_page_lock_at(p, page, version),
		     "btree_page_lock_at() locks a page that was only pinned meanwhile",
		     "it does not");
	learn_expect(!btree_page_lock_at(p, page, version),
		     "btree_page_lock_at() refuses a page that is locked", "it locks it");
	btree_page_unlock(p, page, false);
	btree_page_unpin(p, page);
	store_close(&d);
}

/* ---- look-ups ---- */

static void test_look_ups_pin_nothing_and_copy_nothing(void **state)
{
	enum { N = 200 };
	struct disk d = { NULL, NULL };
	struct kv_buf value = { 0 };
	unsigned int i;

	(void)state;
	(void)begin(&d, "max_keys=4", N);
	routed = found = 0;
	for (i = 0; i < N; i++) {
		gap_disk = &d;
		gap_level = 99; /* counts, and lets nobody in */
		in_gap = expect_sound;
		learn_error(learn_text("get of key %u", i),
			    kv_get(d.kv, pair_key(i), &value), 0);
		in_gap = NULL;
	}
	learn_number("the leaves that were read by gets without a pin", found, N);
	learn_number("the inner nodes that were read by them", routed,
		     N * (store_stat(&d, "tree_levels") - 1));
	expect_pair(&d, NULL, N, 0);
	learn_number("the snapshots that gets took", store_stat(&d, "snapshots"), 0);
	kv_buf_free(&value);
	store_close(&d);
}

static void nothing(struct disk *d)
{
	(void)d;
}

static void change_the_leaf(struct disk *d)
{
	unsigned int i;

	/* Where key 1 stood there is something else afterwards. */
	pair_delete(d, 1);
	for (i = 0; i < 40; i++) {
		pair_put(d, 500 + i, 7);
		pair_delete(d, 500 + i);
	}
	learn_error("put of key 1",
		    kv_put(d->kv, pair_key(1), kv_str("the new value of key 1"), KV_NONE),
		    0);
}

static void test_a_leaf_that_changed_is_read_again(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_buf value = { 0 };
	unsigned int i;
	int error;

	(void)state;
	(void)begin(&d, NULL, 0);
	for (i = 0; i < 3; i++)
		pair_put(&d, i, 1);
	error = get_beside(&d, 1, 0, nothing, &value);
	expect_got(error, &value, "value 1 of 1", "a get that nobody disturbs");
	error = get_beside(&d, 1, 0, change_the_leaf, &value);
	expect_got(error, &value, "the new value of key 1",
		   "a get whose leaf is changed between reading and validating");
	kv_buf_free(&value);
	store_close(&d);
}

static void put_key_2(struct disk *d)
{
	pair_put(d, 2, 9);
}

/* Not there is an answer like any other. */
static void test_a_miss_is_validated_too(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_buf value = { 0 };
	int error;

	(void)state;
	(void)begin(&d, NULL, 2);
	error = get_beside(&d, 2, 0, put_key_2, &value);
	expect_got(error, &value, "value 9 of 2",
		   "a get of a key that comes before its leaf is validated");
	kv_buf_free(&value);
	store_close(&d);
}

static void split_all_leaves(struct disk *d)
{
	unsigned int i;

	for (i = 0; i < 100; i++)
		pair_put(d, 1000 * (i / 4) + i % 4 + 1, 1);
}

/* The leaf that the parent led to gives half of its keys away before it is begun. */
static void test_the_parent_is_validated_once_more(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_buf value = { 0 };
	unsigned int i, k;

	(void)state;
	for (k = 0; k < 25; k++) {
		int error;

		store_open(&d, "max_keys=4");
		for (i = 0; i < 25; i++)
			pair_put(&d, 1000 * i, 1);
		error = get_beside(&d, 1000 * k, 1, split_all_leaves, &value);
		learn_error(learn_text("a get of key %u, whose leaf is parted on the way",
				       1000 * k),
			    error, 0);
		store_close(&d);
	}
	kv_buf_free(&value);
}

static void delete_most(struct disk *d)
{
	unsigned int i;

	for (i = 0; i < 200; i++)
		if (i != 100)
			pair_delete(d, i);
	for (i = 0; i < 200; i++)
		pair_put(d, 10000 + i, 3);
}

/* Pages on the way are freed and used again for other keys. */
static void test_pages_that_are_gone_are_noticed(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_buf value = { 0 };
	unsigned int level;

	(void)state;
	for (level = 0; level < 3; level++) {
		int error;

		(void)begin(&d, "max_keys=4", 200);
		error = get_beside(&d, 100, level, delete_most, &value);
		expect_got(error, &value, "value 1 of 100",
			   learn_text("a get of a key that stays, when what is read at "
				      "level %u goes",
				      level));
		store_close(&d);
	}
	kv_buf_free(&value);
}

/* ---- threads ---- */

struct race {
	struct disk d;
	uint32_t done;
	uint64_t gets, wrong;
	int error;
};

enum { RACE_KEYS = 64, RACE_ROUNDS = 400 };

/* A cursor pins what it stands on: the words change by other hands than the writer's. */
static int walk_a_little(struct race *r)
{
	struct kv_cursor *c = NULL;
	int error = kv_cursor(r->d.kv, NULL, &c);
	unsigned int i;

	if (error)
		return error;
	for (i = 0; i < 8 && !error; i++)
		error = kv_next(c);
	kv_cursor_close(c);
	return error;
}

/* Keys of the even numbers are always there, and each value says whose it is. */
static void *read_all(void *arg)
{
	struct race *r = arg;
	struct kv_buf value = { 0 };
	uint64_t gets = 0, wrong = 0;
	char text[40];
	unsigned int i;
	int error = 0;

	while (!port_load_acquire(&r->done)) {
		wrong += walk_a_little(r) != 0;
		for (i = 0; i < RACE_KEYS; i += 2, gets++) {
			char key[16];
			size_t n;

			(void)snprintf(key, sizeof(key), "key%06u", i);
			error = kv_get(r->d.kv, kv_str(key), &value);
			(void)snprintf(text, sizeof(text), " of %u", i);
			n = strlen(text);
			wrong += error || value.len < n ||
				 memcmp((char *)value.data + value.len - n, text, n);
		}
	}
	kv_buf_free(&value);
	(void)port_fetch_add(&r->gets, gets);
	(void)port_fetch_add(&r->wrong, wrong);
	return NULL;
}

static void test_readers_beside_a_writer(void **state)
{
	static struct race r;
	pthread_t reader[2];
	unsigned int i, k;

	(void)state;
	memset(&r, 0, sizeof(r));
	(void)begin(&r.d, "max_keys=4", RACE_KEYS);
	for (i = 0; i < 2; i++)
		learn_error("pthread_create()",
			    pthread_create(&reader[i], NULL, read_all, &r), 0);
	for (k = 0; k < RACE_ROUNDS; k++)
		for (i = 0; i < RACE_KEYS; i++) {
			if (i % 2 && k % 2)
				pair_delete(&r.d, i);
			else
				pair_put(&r.d, i, k + 2);
		}
	port_store_release(&r.done, 1);
	for (i = 0; i < 2; i++)
		(void)pthread_join(reader[i], NULL);
	learn_number("the wrong answers of readers beside a writer", r.wrong, 0);
	expect_sound(&r.d);
	store_close(&r.d);
}

static void bench_get(uint64_t n)
{
	static struct disk d;
	static struct kv_buf value;
	char key[16] = "key000000";
	uint64_t i;

	if (!d.kv)
		(void)begin(&d, NULL, 10000);
	for (i = 0; i < n; i++) {
		unsigned int number = (unsigned int)(i * 7919 % 10000), at;

		for (at = 8; at >= 3; at--, number /= 10)
			key[at] = (char)('0' + number % 10);
		(void)kv_get(d.kv, kv_slice(key, 9), &value);
	}
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_a_change_is_a_new_version, 1, PAGER),
	LEARN_TEST(test_pins_stay_while_the_lock_goes, 2, PAGER),
	LEARN_TEST(test_lock_at_a_version, 2, PAGER),
	LEARN_TEST(test_look_ups_pin_nothing_and_copy_nothing, 2, CHAPTER),
	LEARN_TEST(test_a_leaf_that_changed_is_read_again, 2, CHAPTER),
	LEARN_TEST(test_a_miss_is_validated_too, 2, CHAPTER),
	LEARN_TEST(test_the_parent_is_validated_once_more, 3, CHAPTER),
	LEARN_TEST(test_pages_that_are_gone_are_noticed, 2, CHAPTER),
	LEARN_TEST(test_readers_beside_a_writer, 2, CHAPTER),
};
static const struct learn_speed speeds[] = { { "get", bench_get, 30000 } };

LEARN_MAIN(tests, speeds)
