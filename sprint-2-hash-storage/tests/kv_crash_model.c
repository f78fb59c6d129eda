/* SPDX-License-Identifier: MIT */
/*
 * kv_crash_model.c - what each client has written, and what a crash must keep of it.
 *
 * A value is its id, then bytes drawn from the id, so that a value cannot be taken for
 * another one, nor half of it for the whole. Most are longer than a sector: a checksum
 * that nobody looks at is found only where a value comes out in parts.
 */
#include "kv_crash_internal.h"

#include <stdarg.h>

enum { HUGE_ONE_IN = 32, SHORT_ONE_IN = 4, SHORT_BYTES = 100, VALUE_MIN = 8 };

int crash_fail(struct crash_run *h, const char *fmt, ...)
{
	va_list args;

	if (*h->detail.text)
		return 1;
	va_start(args, fmt);
	(void)vsnprintf(h->detail.text, sizeof(h->detail.text), fmt, args);
	va_end(args);
	return 1;
}

void *crash_grow(void *p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return p;
	*cap = need > 2 * *cap ? need : 2 * *cap;
	p = realloc(p, *cap * size);
	if (!p) {
		(void)fprintf(stderr, "kv_crash: no memory for %zu items\n", *cap);
		exit(1);
	}
	return p;
}

/* ---- lives ---- */

static void make_room(struct crash_life *l)
{
	size_t cap = l->cap;

	l->row = crash_grow(l->row, &cap, l->n + 2, l->keys * sizeof(*l->row));
	cap = l->cap;
	l->begun = crash_grow(l->begun, &cap, l->n + 2, sizeof(*l->begun));
	l->cap = cap;
}

void life_init(struct crash_life *l, unsigned int first, unsigned int keys,
	       const uint64_t *base)
{
	*l = (struct crash_life){ .first = first, .keys = keys };
	make_room(l);
	if (base)
		memcpy(l->row, base, keys * sizeof(*base));
	else
		memset(l->row, 0, keys * sizeof(*l->row));
}

void life_free(struct crash_life *l)
{
	free(l->row);
	free(l->begun);
	free(l->floor);
	free(l->group);
	*l = (struct crash_life){ 0 };
}

uint64_t *life_row(const struct crash_life *l, size_t n)
{
	return l->row + n * l->keys;
}

uint64_t *life_begin(struct crash_life *l, size_t position)
{
	make_room(l);
	l->begun[l->n] = position;
	memcpy(life_row(l, l->n + 1), life_row(l, l->n), l->keys * sizeof(*l->row));
	l->n++;
	return life_row(l, l->n);
}

static void add_floor(struct crash_life *l, size_t position, size_t n)
{
	l->floor = crash_grow(l->floor, &l->floor_cap, l->floors + 1, sizeof(*l->floor));
	l->floor[l->floors++] = (struct crash_floor){ position, n };
}

void life_floor(struct crash_life *l, size_t position)
{
	add_floor(l, position, l->n);
}

void life_group(struct crash_life *l, uint64_t due_ns)
{
	l->group = crash_grow(l->group, &l->group_cap, l->groups + 1, sizeof(*l->group));
	l->group[l->groups++] = (struct crash_group){ l->n, due_ns };
}

void life_wait(struct crash_life *l, uint64_t now_ns, size_t position)
{
	for (; l->groups_done < l->groups; l->groups_done++) {
		const struct crash_group *g = &l->group[l->groups_done];

		if (g->due_ns > now_ns)
			return;
		add_floor(l, position, g->n);
	}
}

size_t life_least(const struct crash_life *l, size_t at)
{
	size_t i, n = 0;

	for (i = 0; i < l->floors && l->floor[i].at <= at; i++)
		if (l->floor[i].n > n)
			n = l->floor[i].n;
	return n;
}

size_t life_most(const struct crash_life *l, size_t at)
{
	size_t n = life_least(l, at);

	/* What changed the disk for it stands at its position or later; a write that had
	 * nothing to change is durable where it began. */
	while (n < l->n && l->begun[n] < at)
		n++;
	return n;
}

size_t life_match(const struct crash_life *l, const uint64_t *row, size_t least,
		  size_t most)
{
	size_t n;

	for (n = most + 1; n-- > least;)
		if (!memcmp(life_row(l, n), row + l->first, l->keys * sizeof(*row)))
			return n;
	return SIZE_MAX;
}

/* ---- keys and values ---- */

/* The first is empty, which is a key like any other. */
struct kv_slice crash_key(unsigned int key, char buf[CRASH_KEY_BYTES])
{
	int n = key ? snprintf(buf, CRASH_KEY_BYTES, "key%05u", key) : 0;

	return kv_slice(buf, (size_t)n);
}

static size_t value_len(const struct crash_run *h, uint64_t id)
{
	uint64_t rng = id, kind = crash_next(&rng);

	if (h->c->huge_bytes && kind % HUGE_ONE_IN == 0)
		return h->c->huge_bytes;
	if (kind / HUGE_ONE_IN % SHORT_ONE_IN == 0)
		return VALUE_MIN + crash_next(&rng) % SHORT_BYTES;
	return VALUE_MIN + crash_next(&rng) % (h->value_max - VALUE_MIN);
}

struct kv_slice crash_value(const struct crash_run *h, uint64_t id, struct kv_buf *out)
{
	size_t len = value_len(h, id), at;
	uint64_t rng = id;

	if (kv_buf_reserve(out, len + 8))
		exit(1); /* no test makes allocations fail here */
	port_put_le64(out->data, id);
	for (at = 8; at < len; at += 8)
		port_put_le64((uint8_t *)out->data + at, crash_next(&rng));
	return kv_slice(out->data, len);
}

/* A read that the engine refused: the error itself, where a wrong answer is 1. */
static int refused(struct crash_run *h, const char *what, int error)
{
	(void)crash_fail(h, "%s: %d (%s)", what, error, strerror(-error));
	return error;
}

/* Clients may be at it side by side: so buffers of one's own. */
struct buffers {
	struct kv_buf got, want;
};

static int read_key(struct crash_run *h, struct kv *kv, struct kv_snapshot *snap,
		    unsigned int key, struct buffers *b, uint64_t *id)
{
	char name[CRASH_KEY_BYTES];
	int error = kv_get_at(kv, snap, crash_key(key, name), &b->got);
	struct kv_slice want;

	*id = 0;
	if (error == -ENOENT)
		return 0;
	if (error)
		return refused(h, "get", error);
	if (b->got.len >= VALUE_MIN)
		*id = port_get_le64(b->got.data);
	want = crash_value(h, *id, &b->want);
	if (kv_compare(want, kv_slice(b->got.data, b->got.len)))
		return crash_fail(h, "key %u has %zu bytes that were never written to it",
				  key, b->got.len);
	return 0;
}

/* A cursor sees the pairs that gets see. */
static int count_pairs(struct crash_run *h, struct kv *kv, struct kv_snapshot *snap,
		       size_t want)
{
	struct kv_cursor *cursor;
	size_t n = 0;
	int error;

	if (!(h->c->ops->caps & KV_CAP_CURSOR))
		return 0;
	error = kv_cursor(kv, snap, &cursor);
	if (error)
		return refused(h, "cursor", error);
	while (!(error = kv_next(cursor)))
		n++;
	kv_cursor_close(cursor);
	if (error != -ENOENT)
		return refused(h, "next", error);
	if (n != want)
		return crash_fail(h, "a cursor sees %zu pairs where gets see %zu", n,
				  want);
	return 0;
}

int crash_read(struct crash_run *h, struct kv *kv, struct kv_snapshot *snap,
	       uint64_t *row)
{
	unsigned int key, keys = h->clients * h->keys;
	struct buffers b = { 0 };
	size_t pairs = 0;
	int error = 0;

	for (key = 0; !error && key < keys; key++) {
		error = read_key(h, kv, snap, key, &b, &row[key]);
		pairs += row[key] != 0;
	}
	kv_buf_free(&b.got);
	kv_buf_free(&b.want);
	return error ? error : count_pairs(h, kv, snap, pairs);
}
