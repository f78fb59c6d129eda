/* SPDX-License-Identifier: MIT */
/*
 * store_check.h - what the graders of the whole tree share: a store whose files are memory,
 * pairs by number, and a look at its pages.
 */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "../../harness/learn/learn.h"
#include "../../sprint-2-hash-storage/env_memory.h"
#include "../btree_pager_internal.h"
#include "../btree_store.h"

struct disk {
	struct env *env;
	struct kv *kv;
};

static inline void store_open(struct disk *d, const char *options)
{
	struct kv_msg why = { "" };
	int error = 0;

	if (!d->env) {
		learn_error("env_memory_new()",
			    env_memory_new(env_posix(), 64 << 20, &d->env), 0);
		d->env->ops->mkdir(d->env, "store");
	}
	error = kv_open(&btree_engine, d->env, "store", options, &d->kv, &why);
	learn_expect(!error, "the store opens", "error %d: %s", error, why.text);
}

static inline void store_close(struct disk *d)
{
	learn_error("kv_close()", kv_close(d->kv), 0);
	env_memory_free(d->env);
	*d = (struct disk){ NULL, NULL };
}

static inline struct kv_slice pair_key(unsigned int number)
{
	static char text[8][16];
	static unsigned int turn;
	char *at = text[turn++ % 8];

	(void)snprintf(at, sizeof(text[0]), "key%06u", number % 1000000);
	return kv_str(at);
}

static inline struct kv_slice pair_value(unsigned int number, unsigned int version)
{
	static char text[8][40];
	static unsigned int turn;
	char *at = text[turn++ % 8];

	(void)snprintf(at, sizeof(text[0]), "value %u of %u", version, number);
	return kv_str(at);
}

static inline void pair_put(struct disk *d, unsigned int number, unsigned int version)
{
	learn_error(learn_text("put of key %u", number),
		    kv_put(d->kv, pair_key(number), pair_value(number, version), KV_NONE),
		    0);
}

static inline void pair_delete(struct disk *d, unsigned int number)
{
	learn_error(learn_text("delete of key %u", number),
		    kv_delete(d->kv, pair_key(number), KV_NONE), 0);
}

/* version 0: it is not there. */
static inline void expect_pair(struct disk *d, struct kv_snapshot *snap,
			       unsigned int number, unsigned int version)
{
	struct kv_buf value = { 0 };
	struct kv_slice want = pair_value(number, version);
	int error = kv_get_at(d->kv, snap, pair_key(number), &value);

	learn_error(learn_text("get of key %u%s", number, snap ? " in the snapshot" : ""),
		    error, version ? 0 : -ENOENT);
	if (version)
		learn_expect(value.len == want.len &&
				     !memcmp(value.data, want.data, want.len),
			     learn_text("key %u%s has \"%s\"", number,
					snap ? " in the snapshot" : "",
					(const char *)want.data),
			     "\"%.*s\"", (int)value.len, (const char *)value.data);
	kv_buf_free(&value);
}

/* Every page, by the engine's own verify. */
static inline void expect_sound(struct disk *d)
{
	struct kv_msg why = { "" };
	int error = kv_verify(d->kv, &why);

	learn_expect(!error, "kv_verify() finds the tree in order", "error %d: %s", error,
		     why.text);
}

struct store_stat {
	const char *name;
	uint64_t value;
};

static inline void store_stat_emit(void *arg, const char *name, uint64_t value)
{
	struct store_stat *s = arg;

	if (!strcmp(name, s->name))
		s->value = value;
}

static inline uint64_t store_stat(struct disk *d, const char *name)
{
	struct store_stat s = { name, 0 };

	kv_stats(d->kv, store_stat_emit, &s);
	return s.value;
}

/* What was pinned has been let go. No cursor is open. */
static inline void expect_no_pins(struct disk *d, const char *when)
{
	const struct btree_pager *p = btree_store(d->kv)->pager;
	uint32_t page, pages = btree_pager_pages(btree_store(d->kv)->pager);

	for (page = BTREE_SUPER_PAGES; page < pages; page++) {
		uint64_t pins = port_load_relaxed(&p->state[page]) & BTREE_PINS;

		if (pins)
			learn_expect(false, learn_text("no page is pinned %s", when),
				     "page %u has %u pins", page,
				     (unsigned int)(pins / BTREE_PIN));
	}
}

/* Whether n is a page of the store, and not an image of one, and locked. */
static inline bool is_page_of(struct disk *d, const struct btree_node *n)
{
	const struct btree_pager *p = btree_store(d->kv)->pager;

	return n->page.page < btree_pager_pages(btree_store(d->kv)->pager) &&
	       btree_page(p, n->page.page) == (const void *)n;
}

static inline bool is_locked(struct disk *d, const struct btree_node *n)
{
	return port_load_acquire(&btree_store(d->kv)->pager->state[n->page.page]) &
	       BTREE_LOCKED;
}

#endif /* STORE_CHECK_H */
