/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_options.h - random operations times random options, for any engine, against the array
 * engine, which is simple enough to be the oracle.
 *
 * First random histories (kv_history.h), each set of them under options of its own. Then
 * stores that live through many openings, each with other options than before, by some
 * thousand puts, deletes, batches, gets, snapshots and moves of cursors each; what is there
 * must be what the oracle has, and what a snapshot or a cursor shows must stay what it was.
 * KV_TORTURE=seconds goes on that long, and for ten million operations at least. A failure
 * says its seed: KV_SEED=seed does the same again.
 *
 * Who includes it says before which engine (OPTIONS_ENGINE), what is drawn for each of its
 * options (OPTIONS_CHOICES, initializers of struct option_choice, the first of which is always
 * drawn), and how long values may be (OPTIONS_VALUE_MAX).
 */
#ifndef KV_OPTIONS_H
#define KV_OPTIONS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "../../sprint-1-core-memory/array_engine.h"
#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../env.h"

enum {
	KEYS = 1500,
	VALUE_MAX = OPTIONS_VALUE_MAX,
	BATCH_MAX = 12,
	ROUNDS = 8, /* openings in the life of a store */
	SNAPSHOTS = 2,
	CURSORS = 3,
	TORTURE_OPERATIONS = 10000000,
};

static uint64_t operations, refused; /* of all tests */

static uint64_t torture_seconds(void)
{
	const char *s = getenv("KV_TORTURE");

	return s ? strtoull(s, NULL, 10) : 0;
}

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- options ---- */

struct option_choice {
	const char *name, *values; /* "a|b|c"; a may be "a,other=x" */
	bool of_store;             /* the same at all openings of a store */
};

static const struct option_choice choices[] = { OPTIONS_CHOICES };

enum { CHOICES = sizeof(choices) / sizeof(choices[0]) };

/* Which of an option's values, "a|b|c". */
static const char *draw_value_of(const char *values, uint64_t draw, int *len)
{
	const char *p;
	uint64_t n = 1;

	for (p = values; *p; p++)
		n += *p == '|';
	for (p = values, n = draw % n; n; n--)
		p = strchr(p, '|') + 1;
	*len = (int)strcspn(p, "|");
	return p;
}

/* "name=value,..." of about two in three options. What a store keeps from its making, or what
 * depends on that, follows from the store's seed, and is always drawn. */
static const char *draw_options(uint64_t store, uint64_t opening, char *buf, size_t size)
{
	uint64_t kept = store ^ 0x5707e, random = opening ^ 0x0b7105;
	const char *value;
	size_t i, at = 0;
	int len;

	buf[0] = '\0';
	for (i = 0; i < CHOICES; i++) {
		const struct option_choice *c = &choices[i];

		value = draw_value_of(c->values, draw(c->of_store ? &kept : &random),
				      &len);
		if (i && !c->of_store && draw(&random) % 3 == 0)
			continue;
		at += (size_t)snprintf(buf + at, size - at, "%s%s=%.*s", at ? "," : "",
				       c->name, len, value);
		assert_true(at < size);
	}
	return buf;
}

/* An option that nobody draws is one that is not tested. */
static void test_every_option_is_drawn(void **state)
{
	const struct kv_opt *o;
	size_t i;

	(void)state;
	for (o = OPTIONS_ENGINE.opts; o->name; o++) {
		for (i = 0; i < CHOICES; i++)
			if (!strcmp(choices[i].name, o->name) ||
			    strstr(choices[i].values, o->name))
				break;
		if (i == CHOICES)
			fail_msg("option %s", o->name);
	}
}

/* ---- histories ---- */

static void run_histories(uint64_t seed)
{
	char options[1024];
	const struct kv_target t = {
		.ops = &OPTIONS_ENGINE,
		.options = draw_options(seed, seed, options, sizeof(options)),
		.env = env_posix(),
		.scratch = scratch,
		.remove_store = scratch_remove,
	};
	const struct kv_history_config c = {
		.seed = seed, .histories = 1, .steps = 200, .reopen = true
	};
	struct kv_report r = { .out = stdout };

	if (kv_history_run(&t, &c, &r))
		fail_msg("options %s", options);
	operations += c.steps;
}

static void test_histories_under_random_options(void **state)
{
	uint64_t seed = kv_history_seed(1), i;
	uint64_t end = (uint64_t)time(NULL) + torture_seconds() / 4;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < test_draws(40) + 1 || (uint64_t)time(NULL) < end; i++)
		run_histories(seed + i);
	print_message("%llu histories\n", (unsigned long long)i);
}

/* ---- lives ---- */

enum { ORACLE, TESTED };

struct life {
	struct kv *kv[2];
	struct kv_snapshot *snapshot[SNAPSHOTS][2];
	struct kv_cursor *cursor[CURSORS][2];
	uint64_t seed, random, round, written, refused;
	char dir[SCRATCH_PATH], options[1024];
	uint8_t value[BATCH_MAX][VALUE_MAX];
	char name[BATCH_MAX][16], range_end[16];
};

static void differ(const struct life *l, const char *what)
{
	fail_msg("%s: KV_SEED=%llu, opening %llu, options %s", what,
		 (unsigned long long)l->seed, (unsigned long long)l->round, l->options);
}

static struct kv_slice draw_key(struct life *l, char *buf)
{
	unsigned int n = (unsigned int)(draw(&l->random) % KEYS);

	/* Half of all go to a few. */
	if (draw(&l->random) % 2)
		n %= 40;
	return kv_slice(buf, (size_t)snprintf(buf, 16, "k%u", n));
}

static struct kv_slice draw_value(struct life *l, uint8_t *buf)
{
	uint64_t r = draw(&l->random);
	size_t len = r % 16 ? r >> 8 & 63 : (r >> 8) % VALUE_MAX;

	memset(buf, (int)(r >> 40 & 0xff), len);
	if (len >= 8)
		port_put_le64(buf, r);
	return kv_slice(buf, len);
}

/* Of the keys that begin with the drawn one, the range. */
static struct kv_op draw_range(struct life *l, char *from, char *to)
{
	struct kv_slice key = draw_key(l, from);

	memcpy(to, key.data, key.len);
	to[key.len] = '~';
	return (struct kv_op){ KV_DELETE_RANGE, key, kv_slice(to, key.len + 1) };
}

static void write_both(struct life *l)
{
	size_t n = draw(&l->random) % 10 ? 1 : 2 + draw(&l->random) % (BATCH_MAX - 1), i;
	uint64_t dice = draw(&l->random) % 200;
	enum kv_durability how = dice ? dice < 40 ? KV_GROUP : KV_NONE : KV_SYNC;
	struct kv_op op[BATCH_MAX];
	int error;

	for (i = 0; i < n; i++)
		op[i] = (struct kv_op){
			.type = draw(&l->random) % 4 ? KV_PUT : KV_DELETE,
			.key = draw_key(l, l->name[i]),
			.value = draw_value(l, l->value[i]),
		};
	if (OPTIONS_ENGINE.caps & KV_CAP_DELETE_RANGE && draw(&l->random) % 64 == 0)
		op[n - 1] = draw_range(l, l->name[n - 1], l->range_end);
	error = kv_write(l->kv[TESTED], op, n, how);
	/* More changes at once than the budget has room for: refused as a whole. */
	if (error == -ENOMEM) {
		l->refused++;
		return;
	}
	if (error)
		print_error("error %d\n", error);
	if (error || kv_write(l->kv[ORACLE], op, n, KV_NONE))
		differ(l, "a write failed");
	l->written++;
}

static void get_both(struct life *l)
{
	unsigned int which = (unsigned int)(draw(&l->random) % (2 * SNAPSHOTS)), i;
	struct kv_slice key = draw_key(l, l->name[0]);
	struct kv_buf b[2] = { { 0 }, { 0 } };
	int error[2];

	for (i = 0; i < 2; i++)
		error[i] = kv_get_at(l->kv[i],
				     which < SNAPSHOTS ? l->snapshot[which][i] : NULL,
				     key, &b[i]);
	if (error[0] != error[1])
		differ(l, "a get ended otherwise");
	if (kv_compare(kv_slice(b[0].data, b[0].len), kv_slice(b[1].data, b[1].len)))
		differ(l, "a get gave another value");
	kv_buf_free(&b[0]);
	kv_buf_free(&b[1]);
}

static void close_both(struct life *l, unsigned int which)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		kv_cursor_close(l->cursor[which][i]);
		l->cursor[which][i] = NULL;
	}
}

static void open_both(struct life *l, unsigned int which)
{
	unsigned int snap = (unsigned int)(draw(&l->random) % (2 * SNAPSHOTS)), i;

	for (i = 0; i < 2; i++)
		if (kv_cursor(l->kv[i], snap < SNAPSHOTS ? l->snapshot[snap][i] : NULL,
			      &l->cursor[which][i]))
			differ(l, "no cursor");
}

/* A step of a cursor that lives on while all else changes. */
static void move_both(struct life *l)
{
	unsigned int which = (unsigned int)(draw(&l->random) % CURSORS), i;
	struct kv_slice key = draw_key(l, l->name[0]);
	uint64_t dice = draw(&l->random) % 64;
	struct kv_cursor **c = l->cursor[which];
	int error[2];

	if (!c[0])
		open_both(l, which);
	for (i = 0; i < 2; i++)
		error[i] = dice < 4    ? kv_seek(c[i], key)
			   : dice < 40 ? kv_next(c[i])
				       : kv_prev(c[i]);
	if (error[0] != error[1])
		differ(l, "a cursor's move ended otherwise");
	if (!error[0] &&
	    (kv_compare(c[0]->key, c[1]->key) || kv_compare(c[0]->value, c[1]->value)))
		differ(l, "a cursor gave another pair");
	if (dice == 63)
		close_both(l, which);
}

static void release_both(struct life *l, unsigned int which)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		kv_release(l->kv[i], l->snapshot[which][i]);
		l->snapshot[which][i] = NULL;
	}
}

static void snapshot_both(struct life *l)
{
	unsigned int which = (unsigned int)(draw(&l->random) % SNAPSHOTS), i;

	release_both(l, which);
	if (draw(&l->random) % 3 == 0)
		return;
	for (i = 0; i < 2; i++)
		if (kv_snapshot(l->kv[i], &l->snapshot[which][i]))
			differ(l, "a snapshot failed");
}

/* As many pairs, and each of them. */
static void compare_all(struct life *l)
{
	struct kv_buf b = { 0 };
	struct kv_cursor *c;
	size_t pairs[2] = { 0, 0 }, i;
	struct kv_msg why = { "" };
	int error;

	for (i = 0; i < 2; i++) {
		if (kv_cursor(l->kv[i], NULL, &c))
			differ(l, "no cursor");
		while (!(error = kv_next(c))) {
			pairs[i]++;
			if (kv_get(l->kv[!i], c->key, &b) ||
			    kv_compare(c->value, kv_slice(b.data, b.len)))
				differ(l, "a pair of one is not in the other");
		}
		kv_cursor_close(c);
		if (error != -ENOENT)
			differ(l, "a cursor failed");
	}
	kv_buf_free(&b);
	if (pairs[0] != pairs[1])
		differ(l, "another number of pairs");
	if (kv_verify(l->kv[TESTED], &why))
		differ(l, why.text);
}

/* Where snapshots and cursors hold what memory there is, it may be refused, and harms nothing. */
static void compact_tested(struct life *l)
{
	int error = kv_compact(l->kv[TESTED]);

	if (error == -ENOMEM)
		l->refused++;
	else if (error)
		differ(l, "a compaction failed");
}

static void live_one_opening(struct life *l, unsigned int steps)
{
	struct kv_msg why = { "" };
	unsigned int i;

	(void)draw_options(l->seed, l->seed * 100 + l->round, l->options,
			   sizeof(l->options));
	if (kv_open(&OPTIONS_ENGINE, env_posix(), l->dir, l->options, &l->kv[TESTED],
		    &why))
		differ(l, why.text);
	for (i = 0; i < steps; i++) {
		uint64_t dice = draw(&l->random) % 1000;

		if (dice < 550)
			write_both(l);
		else if (dice < 750 && OPTIONS_ENGINE.caps & KV_CAP_ORDERED)
			move_both(l);
		else if (dice < 996)
			get_both(l);
		else if (dice < 999)
			snapshot_both(l);
		else if (i % 8 == 0)
			compact_tested(l);
	}
	for (i = 0; i < CURSORS; i++)
		close_both(l, i);
	for (i = 0; i < SNAPSHOTS; i++)
		release_both(l, i);
	compare_all(l);
	if (kv_close(l->kv[TESTED]))
		differ(l, "closing failed");
	operations += steps;
}

static void live(uint64_t seed, unsigned int steps)
{
	struct life *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->seed = seed;
	l->random = seed;
	(void)snprintf(l->dir, sizeof(l->dir), "%s", in_scratch("life"));
	assert_int_equal(kv_open(&array_engine, NULL, "", NULL, &l->kv[ORACLE], NULL), 0);
	for (; l->round < ROUNDS; l->round++)
		live_one_opening(l, steps);
	if (l->refused > l->written / 50)
		differ(l, "too many writes were refused for want of memory");
	refused += l->refused;
	assert_int_equal(kv_close(l->kv[ORACLE]), 0);
	scratch_remove(l->dir);
	free(l);
}

static void test_stores_opened_with_other_options_each_time(void **state)
{
	uint64_t seed = kv_history_seed(1), lives = 0;
	uint64_t end = (uint64_t)time(NULL) + torture_seconds();
	uint64_t least = torture_seconds() ? TORTURE_OPERATIONS : 0;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (; lives < 6 || (uint64_t)time(NULL) < end || operations < least; lives++)
		live(seed + lives,
		     torture_seconds() ? 20000 : (unsigned int)test_draws(2000));
	print_message("%llu stores, %llu openings; %llu operations in all, %llu of them "
		      "refused for want of memory\n",
		      (unsigned long long)lives, (unsigned long long)(lives * ROUNDS),
		      (unsigned long long)operations, (unsigned long long)refused);
}

static int options_tear_down(void **state)
{
	return drop_scratch(state) || port_fault_live() ? -1 : 0;
}

#define OPTIONS_TESTS                                                  \
	cmocka_unit_test(test_every_option_is_drawn),                  \
		cmocka_unit_test(test_histories_under_random_options), \
		cmocka_unit_test(test_stores_opened_with_other_options_each_time)

#endif /* KV_OPTIONS_H */
