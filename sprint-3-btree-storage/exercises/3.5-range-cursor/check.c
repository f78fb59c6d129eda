/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 3.5: a cursor over the leaves of a tree, in both directions.
 */
#include "../store_check.h"

#define CHAPTER "docs/sprint-3-btree-storage.md, \"Reading without locks\", on cursors"
#define KV      "sprint-1-core-memory/kv.h, above struct kv_cursor"
#define STORE   "sprint-3-btree-storage/btree_store.h, btree_path_next()"

/* Keys 0, 2, 4, ... below 2 * n. */
static struct kv_cursor *begin(struct disk *d, unsigned int n, const char *options)
{
	struct kv_cursor *c = NULL;
	unsigned int i;

	store_open(d, options);
	for (i = 0; i < n; i++)
		pair_put(d, i * 617 % n * 2, 1);
	learn_error("kv_cursor()", kv_cursor(d->kv, NULL, &c), 0);
	return c;
}

static void end(struct disk *d, struct kv_cursor *c)
{
	kv_cursor_close(c);
	expect_no_pins(d, "when the cursor is closed");
	store_close(d);
}

static void expect_at(struct kv_cursor *c, const char *what, int error,
		      unsigned int number)
{
	struct kv_slice key = pair_key(number), value = pair_value(number, 1);

	learn_error(learn_text("%s, which should come to key %u,", what, number), error,
		    0);
	learn_expect(!kv_compare(c->key, key),
		     learn_text("%s comes to key %u", what, number), "\"%.*s\"",
		     (int)c->key.len, (const char *)c->key.data);
	learn_expect(!kv_compare(c->value, value),
		     learn_text("%s shows \"%s\"", what, (const char *)value.data),
		     "\"%.*s\"", (int)c->value.len, (const char *)c->value.data);
}

static void expect_outside(struct kv_cursor *c, const char *what, int error)
{
	learn_error(learn_text("%s, beyond the end,", what), error, -ENOENT);
	learn_expect(!c->key.len && !c->value.len, "no key and no value outside",
		     "\"%.*s\"", (int)c->key.len, (const char *)c->key.data);
}

static void test_next_walks_through_one_leaf(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, 3, NULL);
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++)
		expect_at(c, "kv_next()", kv_next(c), i * 2);
	expect_outside(c, "kv_next()", kv_next(c));
	expect_at(c, "kv_next() from outside", kv_next(c), 0);
	end(&d, c);
}

static void test_next_walks_over_many_leaves(void **state)
{
	enum { N = 1000 };
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, N, "max_keys=4");
	unsigned int i;

	(void)state;
	for (i = 0; i < N; i++)
		expect_at(c, "kv_next()", kv_next(c), i * 2);
	expect_outside(c, "kv_next()", kv_next(c));
	end(&d, c);
}

static void test_prev_walks_back(void **state)
{
	enum { N = 1000 };
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, N, "max_keys=4");
	unsigned int i;

	(void)state;
	for (i = N; i--;)
		expect_at(c, "kv_prev()", kv_prev(c), i * 2);
	expect_outside(c, "kv_prev()", kv_prev(c));
	expect_at(c, "kv_prev() from outside", kv_prev(c), (N - 1) * 2);
	end(&d, c);
}

static void test_seek_finds_the_first_that_is_not_less(void **state)
{
	enum { N = 300 };
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, N, "max_keys=4");
	unsigned int i;

	(void)state;
	for (i = 0; i < 2 * N - 1; i++)
		expect_at(c, learn_text("kv_seek() to key %u", i),
			  kv_seek(c, pair_key(i)), (i + 1) / 2 * 2);
	expect_outside(c, "kv_seek() behind all keys", kv_seek(c, pair_key(2 * N)));
	expect_at(c, "kv_seek() to the empty key", kv_seek(c, kv_slice("", 0)), 0);
	end(&d, c);
}

/* One step this way, one that way, over the borders of leaves as well. */
static void test_the_direction_may_change_anywhere(void **state)
{
	enum { N = 200 };
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, N, "max_keys=4");
	unsigned int i, at;

	(void)state;
	for (i = 1; i + 1 < N; i++) {
		expect_at(c, "kv_seek()", kv_seek(c, pair_key(i * 2)), i * 2);
		expect_at(c, "kv_prev()", kv_prev(c), i * 2 - 2);
		expect_at(c, "kv_next()", kv_next(c), i * 2);
		expect_at(c, "kv_next()", kv_next(c), i * 2 + 2);
		expect_at(c, "kv_prev()", kv_prev(c), i * 2);
	}
	expect_outside(c, "kv_seek() behind all keys", kv_seek(c, pair_key(2 * N)));
	at = N; /* outside */
	for (i = 0; i < 3000; i++) {
		bool next = learn_random(2);

		at = next ? (at == N ? 0 : at + 1) : (at == 0 ? N : at - 1);
		if (at == N)
			expect_outside(c, next ? "kv_next()" : "kv_prev()",
				       next ? kv_next(c) : kv_prev(c));
		else
			expect_at(c, next ? "kv_next()" : "kv_prev()",
				  next ? kv_next(c) : kv_prev(c), at * 2);
	}
	end(&d, c);
}

static void test_an_empty_tree_has_no_pairs(void **state)
{
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, 0, NULL);

	(void)state;
	expect_outside(c, "kv_next()", kv_next(c));
	expect_outside(c, "kv_prev()", kv_prev(c));
	expect_outside(c, "kv_seek()", kv_seek(c, pair_key(1)));
	end(&d, c);
}

/* A path has a page a level pinned, and no other. */
static unsigned int pinned(struct disk *d)
{
	const struct btree_pager *p = btree_store(d->kv)->pager;
	uint32_t page, pages = btree_pager_pages(btree_store(d->kv)->pager);
	unsigned int n = 0;

	for (page = BTREE_SUPER_PAGES; page < pages; page++)
		n += (unsigned int)((port_load_relaxed(&p->state[page]) & BTREE_PINS) /
				    BTREE_PIN);
	return n;
}

static void test_one_page_a_level_is_pinned(void **state)
{
	enum { N = 500 };
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, N, "max_keys=4");
	uint64_t levels = store_stat(&d, "tree_levels");
	unsigned int i;

	(void)state;
	for (i = 0; i < N; i++) {
		expect_at(c, "kv_next()", kv_next(c), i * 2);
		learn_number("the pins of a cursor that stands on a pair", pinned(&d),
			     levels);
	}
	for (i = 0; i < N; i += 7) {
		expect_at(c, "kv_seek()", kv_seek(c, pair_key(i * 2)), i * 2);
		learn_number("the pins after a seek", pinned(&d), levels);
	}
	while (!kv_prev(c))
		;
	learn_number("the pins of a cursor that is outside", pinned(&d), 0);
	end(&d, c);
}

/* A page that cannot be had ends the walk: outside, with the error, and nothing is pinned. */
static void test_an_error_leads_outside(void **state)
{
	enum { N = 400 };
	struct disk d = { NULL, NULL };
	struct kv_cursor *c = begin(&d, N, "max_keys=4");
	struct btree_store *s = btree_store(d.kv);
	struct btree_path path;
	uint32_t page;
	uint64_t was;
	int error = 0;
	unsigned int n = 0;

	(void)state;
	learn_error(
		"btree_path_find()",
		btree_path_find(&s->tree, &s->tree.tip, pair_key(N), &path, NULL, NULL),
		0);
	page = path.page[0];
	btree_path_release(&s->tree, &path);
	/* Its pins are used up: btree_page_pin() says -EMFILE. */
	was = port_fetch_add(&s->pager->state[page], BTREE_PINS);
	learn_number("the pins before", was & BTREE_PINS, 0);
	while (!error && n++ < 2 * N)
		error = kv_next(c);
	learn_error("kv_next() onto a page that cannot be pinned",
		    error == -EMFILE ? 0 : 1, 0);
	learn_expect(!c->key.len, "no key after an error", "\"%.*s\"", (int)c->key.len,
		     (const char *)c->key.data);
	(void)port_fetch_add(&s->pager->state[page], -BTREE_PINS);
	learn_number("the pins after an error", pinned(&d), 0);
	expect_at(c, "kv_next() after an error", kv_next(c), 0);
	end(&d, c);
}

static void bench_scan(uint64_t n)
{
	static struct disk d;
	struct kv_cursor *c = NULL;
	unsigned int i;
	uint64_t k;

	if (!d.kv) {
		store_open(&d, NULL);
		for (i = 0; i < 20000; i++)
			pair_put(&d, i, 1);
	}
	learn_error("kv_cursor()", kv_cursor(d.kv, NULL, &c), 0);
	for (k = 0; k < n; k++)
		(void)kv_next(c);
	kv_cursor_close(c);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_next_walks_through_one_leaf, 1, KV),
	LEARN_TEST(test_next_walks_over_many_leaves, 2, STORE),
	LEARN_TEST(test_prev_walks_back, 2, STORE),
	LEARN_TEST(test_seek_finds_the_first_that_is_not_less, 2, KV),
	LEARN_TEST(test_the_direction_may_change_anywhere, 2, KV),
	LEARN_TEST(test_an_empty_tree_has_no_pairs, 1, KV),
	LEARN_TEST(test_one_page_a_level_is_pinned, 3, CHAPTER),
	LEARN_TEST(test_an_error_leads_outside, 2, KV),
};
static const struct learn_speed speeds[] = { { "scan", bench_scan, 60000 } };

LEARN_MAIN(tests, speeds)
