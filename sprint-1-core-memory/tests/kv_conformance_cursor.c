/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance_cursor.c - checks of how a cursor moves.
 *
 * The pairs and the one place outside form a ring of n + 1 places; position n of a model
 * of n pairs is the outside.
 */
#include "kv_check.h"

static void cursor_over_nothing(struct check *c)
{
	bool ordered = check_has(c, KV_CAP_ORDERED);
	struct kv_cursor *cursor;
	int i;

	check_open(c);
	cursor = check_cursor(c, NULL);
	for (i = 0; i < 3; i++) {
		check_int(c, -ENOENT, kv_next(cursor));
		if (!ordered)
			continue;
		check_int(c, -ENOENT, kv_prev(cursor));
		check_int(c, -ENOENT, kv_prev(cursor));
		check_int(c, -ENOENT, kv_seek(cursor, BYTES("")));
		check_int(c, -ENOENT, kv_seek(cursor, BYTES("a")));
	}
	check_cursor_close(c, cursor);
	/* A store that was emptied is as empty as a new one. */
	check_load(c, 10, 10);
	while (c->model.n)
		check_delete(c, c->model.pair[0].key);
	cursor = check_cursor(c, NULL);
	check_int(c, -ENOENT, kv_next(cursor));
	check_int(c, -ENOENT, kv_next(cursor));
}

static void cursor_over_one(struct check *c)
{
	struct kv_cursor *cursor;
	int i;

	check_open(c);
	check_put(c, BYTES("m"), BYTES("the only one"));
	cursor = check_cursor(c, NULL);
	for (i = 0; i < 2; i++) {
		check_at(c, cursor, kv_next(cursor), &c->model, 0);
		check_at(c, cursor, kv_next(cursor), &c->model, 1);
	}
	if (!check_has(c, KV_CAP_ORDERED))
		return;
	for (i = 0; i < 2; i++) {
		check_at(c, cursor, kv_prev(cursor), &c->model, 0);
		check_at(c, cursor, kv_prev(cursor), &c->model, 1);
	}
	check_at(c, cursor, kv_seek(cursor, BYTES("l")), &c->model, 0);
	check_at(c, cursor, kv_seek(cursor, BYTES("m")), &c->model, 0);
	check_at(c, cursor, kv_seek(cursor, BYTES("m\0")), &c->model, 1);
	check_at(c, cursor, kv_prev(cursor), &c->model, 0);
}

/* Again and again from the same cursor. */
static void cursor_yields_every_pair_once(struct check *c)
{
	struct kv_cursor *cursor;
	int i;

	check_open(c);
	check_load(c, 500, 30);
	cursor = check_cursor(c, NULL);
	for (i = 0; i < 3; i++)
		check_walk(c, cursor, &c->model);
}

static void cursor_keeps_memcmp_order(struct check *c)
{
	struct kv_cursor *cursor;
	size_t i;

	check_open(c);
	check_load_adversarial(c);
	for (i = 0; i < 256; i += 5) {
		unsigned char key[2] = { (unsigned char)i, (unsigned char)(255 - i) };

		check_put(c, kv_slice(key, 2), check_printf(c, "%zu", i));
	}
	cursor = check_cursor(c, NULL);
	check_walk(c, cursor, &c->model);
	for (i = 0; i < c->model.n; i++) {
		check_at(c, cursor, kv_seek(cursor, c->model.pair[i].key), &c->model, i);
		check_at(c, cursor, kv_next(cursor), &c->model, i + 1);
	}
}

/* A new cursor stands outside: the first move decides. */
static void new_cursor_stands_outside(struct check *c)
{
	struct kv_cursor *cursor;

	check_open(c);
	check_load(c, 5, 5);
	cursor = check_cursor(c, NULL);
	check_at(c, cursor, kv_next(cursor), &c->model, 0);
	cursor = check_cursor(c, NULL);
	check_at(c, cursor, kv_prev(cursor), &c->model, 4);
	check_at(c, cursor, kv_prev(cursor), &c->model, 3);
	cursor = check_cursor(c, NULL);
	check_at(c, cursor, kv_seek(cursor, check_key(c, 2)), &c->model, 2);
}

static void ends_lead_outside(struct check *c)
{
	const struct check_pairs *m = &c->model;
	struct kv_cursor *cursor;

	check_open(c);
	check_load(c, 4, 5);
	cursor = check_cursor(c, NULL);
	/* Past the last, then each way. */
	check_at(c, cursor, kv_prev(cursor), m, 3);
	check_at(c, cursor, kv_next(cursor), m, m->n);
	check_at(c, cursor, kv_next(cursor), m, 0);
	check_at(c, cursor, kv_seek(cursor, check_key(c, 3)), m, 3);
	check_at(c, cursor, kv_next(cursor), m, m->n);
	check_at(c, cursor, kv_prev(cursor), m, 3);
	/* Before the first, then each way. */
	check_at(c, cursor, kv_seek(cursor, BYTES("")), m, 0);
	check_at(c, cursor, kv_prev(cursor), m, m->n);
	check_at(c, cursor, kv_prev(cursor), m, 3);
	check_at(c, cursor, kv_seek(cursor, check_key(c, 0)), m, 0);
	check_at(c, cursor, kv_prev(cursor), m, m->n);
	check_at(c, cursor, kv_next(cursor), m, 0);
	/* A seek that finds nothing, then each way. */
	check_at(c, cursor, kv_seek(cursor, BYTES("z")), m, m->n);
	check_at(c, cursor, kv_next(cursor), m, 0);
	check_at(c, cursor, kv_seek(cursor, BYTES("z")), m, m->n);
	check_at(c, cursor, kv_prev(cursor), m, 3);
	check_at(c, cursor, kv_seek(cursor, BYTES("z")), m, m->n);
	check_at(c, cursor, kv_seek(cursor, check_key(c, 1)), m, 1);
}

/* The neighbours of every key: itself, just before, just after. */
static void seek_finds_the_first_not_less(struct check *c)
{
	const struct check_pairs *m = &c->model;
	unsigned char *bytes = check_alloc(c, 64);
	struct kv_cursor *cursor;
	size_t i;

	check_open(c);
	check_load_adversarial(c);
	check_load(c, 300, 10);
	cursor = check_cursor(c, NULL);
	check_at(c, cursor, kv_seek(cursor, kv_slice(NULL, 0)), m, 0);
	for (i = 0; i < m->n; i++) {
		struct kv_slice key = m->pair[i].key, near;

		check_at(c, cursor, kv_seek(cursor, key), m, i);
		if (key.len)
			memcpy(bytes, key.data, key.len);
		/* Nothing lies between a key and the key with a NUL behind it. */
		bytes[key.len] = 0;
		near = kv_slice(bytes, key.len + 1);
		check_at(c, cursor, kv_seek(cursor, near), m, check_pairs_find(m, near));
		if (key.len && bytes[key.len - 1]--) {
			bytes[key.len] = 0xff;
			check_at(c, cursor, kv_seek(cursor, near), m,
				 check_pairs_find(m, near));
		}
		near.len = key.len / 2;
		check_at(c, cursor, kv_seek(cursor, near), m, check_pairs_find(m, near));
		check_at(c, cursor, kv_next(cursor), m, check_pairs_find(m, near) + 1);
	}
	memset(bytes, 0xff, 64);
	check_at(c, cursor, kv_seek(cursor, kv_slice(bytes, 64)), m, m->n);
}

static void seek_takes_any_bound(struct check *c)
{
	const struct check_pairs *m = &c->model;
	unsigned char *bound = check_alloc(c, KV_KEY_MAX);
	size_t max = check_key_max(c);
	struct kv_cursor *cursor;

	memset(bound, 'm', KV_KEY_MAX);
	check_open(c);
	check_put(c, BYTES("a"), BYTES("a"));
	check_put(c, kv_slice(bound, max), BYTES("as many as fit"));
	check_put(c, BYTES("n"), BYTES("n"));
	cursor = check_cursor(c, NULL);
	check_at(c, cursor, kv_seek(cursor, kv_slice(bound, KV_KEY_MAX)), m,
		 max < KV_KEY_MAX ? 2 : 1);
	check_at(c, cursor, kv_prev(cursor), m, max < KV_KEY_MAX ? 1 : 0);
	bound[0] = 'n';
	check_at(c, cursor, kv_seek(cursor, kv_slice(bound, KV_KEY_MAX)), m, 3);
	check_at(c, cursor, kv_seek(cursor, kv_slice(NULL, 0)), m, 0);
}

/* From every place, every sequence of five moves, each a step one way or the other. */
static void direction_may_change_anywhere(struct check *c)
{
	enum { MOVES = 5 };
	const struct check_pairs *m = &c->model;
	struct kv_cursor *cursor;
	size_t start;

	check_open(c);
	check_load(c, 6, 5);
	cursor = check_cursor(c, NULL);
	for (start = 0; start <= m->n; start++) {
		struct kv_slice key = start < m->n ? m->pair[start].key : BYTES("z");
		unsigned int path, i;

		for (path = 0; path < 1 << MOVES; path++) {
			size_t at = start;

			check_at(c, cursor, kv_seek(cursor, key), m, at);
			for (i = 0; i < MOVES; i++) {
				if (path >> i & 1) {
					at = at == m->n ? 0 : at + 1;
					check_at(c, cursor, kv_next(cursor), m, at);
				} else {
					at = at ? at - 1 : m->n;
					check_at(c, cursor, kv_prev(cursor), m, at);
				}
			}
		}
	}
}

/* The same over more pairs than a page or block holds, where the neighbour lies elsewhere. */
static void direction_may_change_among_many(struct check *c)
{
	const struct check_pairs *m = &c->model;
	struct kv_cursor *cursor;
	size_t i;

	check_open(c);
	check_load(c, 1500, 40);
	/* Holes, so that an engine has tombstones to step over. */
	for (i = 0; i < 1500; i += 4)
		check_delete(c, check_key(c, (unsigned int)i));
	cursor = check_cursor(c, NULL);
	check_at(c, cursor, kv_next(cursor), m, 0);
	for (i = 1; i < m->n; i++) {
		check_at(c, cursor, kv_next(cursor), m, i);
		check_at(c, cursor, kv_prev(cursor), m, i - 1);
		check_at(c, cursor, kv_next(cursor), m, i);
	}
	check_at(c, cursor, kv_next(cursor), m, m->n);
	for (i = m->n; i-- > 1;) {
		check_at(c, cursor, kv_prev(cursor), m, i);
		check_at(c, cursor, kv_prev(cursor), m, i - 1);
		check_at(c, cursor, kv_next(cursor), m, i);
	}
}

static void cursors_do_not_meet(struct check *c)
{
	const struct check_pairs *m = &c->model;
	struct kv_cursor *cursor[8];
	size_t i, step;

	check_open(c);
	check_load(c, 100, 10);
	for (i = 0; i < 8; i++)
		cursor[i] = check_cursor(c, NULL);
	for (i = 0; i < 8; i++)
		check_at(c, cursor[i],
			 kv_seek(cursor[i], check_key(c, (unsigned int)i * 10)), m,
			 i * 10);
	for (step = 1; step < 5; step++)
		for (i = 0; i < 8; i++)
			check_at(c, cursor[i], kv_next(cursor[i]), m, i * 10 + step);
	for (i = 0; i < 8; i += 2)
		check_cursor_close(c, cursor[i]);
	for (i = 1; i < 8; i += 2)
		check_at(c, cursor[i], kv_prev(cursor[i]), m, i * 10 + 3);
}

static void cursor_shows_large_pairs(struct check *c)
{
	struct kv_cursor *cursor;
	unsigned int i;

	check_open(c);
	for (i = 0; i < 12; i++) {
		size_t len = (size_t)1 << (i * 2 % 19);

		if (len <= check_value_max(c))
			check_put(c, check_key(c, i), check_noise(c, i, len));
	}
	cursor = check_cursor(c, NULL);
	check_walk(c, cursor, &c->model);
	check_walk(c, cursor, &c->model);
}

/* The pair at at: the i-th, in the form of a block. Returns where it ends. */
static size_t check_packed(struct check *c, const struct kv_block *b, size_t at, size_t i)
{
	const struct check_pair *want = &c->model.pair[i];
	struct kv_pair pair;
	size_t bytes = kv_pair_bytes(want->key.len, want->value.len), end;
	const uint8_t *body;

	check_true(c, bytes <= b->len - at);
	memcpy(&pair, b->data + at, sizeof(pair));
	check_true(c, pair.key_len == want->key.len && !pair.reserved &&
			      pair.value_len == want->value.len);
	body = b->data + at + sizeof(pair);
	check_true(c, !kv_compare(kv_slice(body, want->key.len), want->key));
	check_true(c, !kv_compare(kv_slice(body + want->key.len, want->value.len),
				  want->value));
	for (end = sizeof(pair) + want->key.len + want->value.len; end < bytes; end++)
		check_true(c, !b->data[at + end]);
	return at + bytes;
}

/* From outside to outside by blocks of so many bytes and pairs. */
static void walk_by_blocks(struct check *c, struct kv_cursor *cursor, size_t cap,
			   uint32_t limit)
{
	const struct check_pairs *m = &c->model;
	struct kv_block b = { .data = check_alloc(c, cap + 1), .cap = cap };
	size_t i = 0, at, last;
	int came;

	do {
		b.len = b.count = 0;
		b.limit = limit;
		memset(b.data, 0xa5, cap + 1);
		came = kv_next_many(cursor, &b);
		last = i + b.count;
		check_true(c, last <= m->n);
		for (at = 0; i < last; i++)
			at = check_packed(c, &b, at, i);
		check_true(c, at == b.len && b.data[cap] == 0xa5);
		if (came == -EMSGSIZE) { /* on one without room, which comes no more */
			check_at(c, cursor, 0, m, i);
			check_true(c, kv_pair_bytes(cursor->key.len, cursor->value.len) >
					      cap - b.len);
			i++;
		} else if (!came) {
			check_true(c, b.count == limit);
			check_at(c, cursor, 0, m, i - 1);
		}
	} while (!came || came == -EMSGSIZE);
	check_int(c, -ENOENT, came);
	check_true(c, i == m->n);
}

static void blocks_hold_what_next_shows(struct check *c)
{
	static const size_t cap[] = { 0, 8, 40, 100, 1000, 10000, 300000 };
	static const uint32_t limit[] = { 1, 2, 7, 100, UINT32_MAX };
	struct kv_cursor *cursor;
	struct kv_block b = { .limit = 3, .cap = 300000 };
	size_t i, k;

	check_open(c);
	check_load_adversarial(c);
	check_load(c, 400, 30);
	for (i = 0; i < 8; i++)
		if ((size_t)1 << 2 * i <= check_value_max(c))
			check_put(c, check_key(c, 50 * (unsigned int)i),
				  check_noise(c, i, (size_t)1 << 2 * i));
	cursor = check_cursor(c, NULL);
	for (i = 0; i < sizeof(cap) / sizeof(*cap); i++)
		for (k = 0; k < sizeof(limit) / sizeof(*limit); k++)
			walk_by_blocks(c, cursor, cap[i], limit[k]);
	/* A block goes on from any place, and leads to one. */
	b.data = check_alloc(c, b.cap);
	check_at(c, cursor, kv_seek(cursor, c->model.pair[9].key), &c->model, 9);
	check_at(c, cursor, kv_next_many(cursor, &b), &c->model, 12);
	check_at(c, cursor, kv_next_many(cursor, &b), &c->model, 12); /* is full */
	check_at(c, cursor, kv_prev(cursor), &c->model, 11);
	check_at(c, cursor, kv_next(cursor), &c->model, 12);
}

const struct check_entry check_cursor_entries[] = {
	{ "cursor_over_nothing", KV_CAP_CURSOR, 0, cursor_over_nothing },
	{ "cursor_over_one", KV_CAP_CURSOR, 0, cursor_over_one },
	{ "cursor_yields_every_pair_once", KV_CAP_CURSOR, 0,
	  cursor_yields_every_pair_once },
	{ "cursor_keeps_memcmp_order", KV_CAP_ORDERED, 0, cursor_keeps_memcmp_order },
	{ "new_cursor_stands_outside", KV_CAP_ORDERED, 0, new_cursor_stands_outside },
	{ "ends_lead_outside", KV_CAP_ORDERED, 0, ends_lead_outside },
	{ "seek_finds_the_first_not_less", KV_CAP_ORDERED, 0,
	  seek_finds_the_first_not_less },
	{ "seek_takes_any_bound", KV_CAP_ORDERED, KV_LENIENT_SEEK_BOUNDS,
	  seek_takes_any_bound },
	{ "direction_may_change_anywhere", KV_CAP_ORDERED, 0,
	  direction_may_change_anywhere },
	{ "direction_may_change_among_many", KV_CAP_ORDERED, 0,
	  direction_may_change_among_many },
	{ "blocks_hold_what_next_shows", KV_CAP_ORDERED, 0, blocks_hold_what_next_shows },
	{ "cursors_do_not_meet", KV_CAP_ORDERED, 0, cursors_do_not_meet },
	{ "cursor_shows_large_pairs", KV_CAP_CURSOR, 0, cursor_shows_large_pairs },
	{ 0 },
};
