/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance_batch.c - checks of writes of several steps, of KV_DELETE_RANGE, and of
 * the durability levels.
 */
#include "kv_check.h"

static struct kv_op put(struct kv_slice key, struct kv_slice value)
{
	return (struct kv_op){ KV_PUT, key, value };
}

static struct kv_op del(struct kv_slice key)
{
	return (struct kv_op){ KV_DELETE, key, { NULL, 0 } };
}

/* end.data NULL: to the end of the store. */
static struct kv_op delete_range(struct kv_slice begin, struct kv_slice end)
{
	return (struct kv_op){ KV_DELETE_RANGE, begin, end };
}

static void batch_of_nothing(struct check *c)
{
	struct kv_op none;

	check_open(c);
	check_load(c, 2, 2);
	check_int(c, 0, kv_write(c->kv, NULL, 0, KV_NONE));
	check_int(c, 0, kv_write(c->kv, &none, 0, KV_NONE));
	check_same(c);
}

static void batch_keeps_its_order(struct check *c)
{
	struct kv_slice a = check_key(c, 1), b = check_key(c, 2), d = check_key(c, 3);
	struct kv_op op[] = {
		put(a, BYTES("first")),
		del(a),
		put(a, BYTES("last")),
		put(b, BYTES("gone")),
		del(b),
		del(d),
		put(d, BYTES("1")),
		put(d, BYTES("2")),
		put(d, BYTES("3")),
	};
	const size_t n = sizeof(op) / sizeof(op[0]);

	check_open(c);
	check_write(c, op, n);
	check_same(c);
	check_write(c, op, n); /* and over what it left */
	check_same(c);
	check_write(c, op, n - 1);
	check_same(c);
	check_write(c, op + 1, 1);
	check_same(c);
}

static void batch_may_be_large(struct check *c)
{
	enum { STEPS = 2000 };
	struct kv_op *op;
	unsigned int i;

	check_open(c);
	check_load(c, 100, 10);
	op = check_alloc(c, STEPS * sizeof(*op));
	for (i = 0; i < STEPS; i++) {
		struct kv_slice key = check_key(c, i * 7 % 1500);

		op[i] = i % 5 == 4 ? del(key) : put(key, check_noise(c, i, i % 50));
	}
	check_write(c, op, STEPS);
	check_same(c);
}

static void batch_takes_any_bytes(struct check *c)
{
	struct kv_op op[] = {
		put(BYTES("\0"), BYTES("")),       put(BYTES("\0\0"), BYTES("\0")),
		put(BYTES("\xff"), BYTES("\xff")), put(BYTES("a\0b"), kv_slice(NULL, 0)),
		put(BYTES("a"), BYTES("a")),
	};

	check_open(c);
	check_write(c, op, sizeof(op) / sizeof(op[0]));
	check_same(c);
}

static void invalid_step_changes_nothing(struct check *c)
{
	struct kv_slice k = check_key(c, 1), value = BYTES("new");
	struct kv_slice too_long = check_noise(c, 1, check_key_max(c) + 1);
	struct kv_slice too_large = kv_slice("v", check_value_max(c) + 1);
	const struct kv_op good[2] = { put(k, value), del(check_key(c, 0)) };
	const struct kv_op bad[] = {
		put(too_long, value),
		del(too_long),
		put(check_key(c, 2), too_large),
		{ (enum kv_op_type)99, k, value },
		delete_range(kv_slice("k", KV_KEY_MAX + 1), k),
		delete_range(k, kv_slice("k", KV_KEY_MAX + 1)),
	};
	size_t i;

	check_open(c);
	check_load(c, 5, 10);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kv_op op[4] = { good[0], good[1], bad[i], good[0] };
		bool range = bad[i].type == KV_DELETE_RANGE;
		int want = range && !check_has(c, KV_CAP_DELETE_RANGE) ? -EOPNOTSUPP
								       : -EINVAL;

		check_int(c, want, kv_write(c->kv, &bad[i], 1, KV_NONE));
		if (check_has(c, KV_CAP_BATCH))
			check_int(c, want, kv_write(c->kv, op, 4, KV_NONE));
		check_same(c);
	}
	check_int(c, -EINVAL, kv_write(c->kv, good, 1, (enum kv_durability)7));
	check_same(c);
}

static void durability_levels(struct check *c)
{
	static const enum kv_durability levels[] = { KV_NONE, KV_GROUP, KV_SYNC };
	bool durable = check_has(c, KV_CAP_DURABLE);
	unsigned int i;

	check_open(c);
	for (i = 0; i < 3; i++) {
		int want = levels[i] == KV_NONE || durable ? 0 : -EOPNOTSUPP;
		struct kv_op op[3] = { put(check_key(c, i), BYTES("batch")),
				       put(check_key(c, 10 + i), BYTES("batch")),
				       del(check_key(c, i)) };

		check_int(c, want,
			  kv_put(c->kv, check_key(c, 20 + i), BYTES("put"), levels[i]));
		if (!want)
			check_put(c, check_key(c, 20 + i), BYTES("put"));
		check_same(c);
		check_int(c, want, kv_delete(c->kv, check_key(c, 20), levels[i]));
		check_delete(c, check_key(c, 20));
		check_same(c);
		if (!check_has(c, KV_CAP_BATCH))
			continue;
		check_int(c, want, kv_write(c->kv, op, 3, levels[i]));
		if (!want)
			check_write(c, op, 3);
		check_same(c);
	}
	if (check_has(c, KV_CAP_PERSISTENT)) {
		check_reopen(c);
		check_same(c);
	}
}

/* ---- KV_DELETE_RANGE ---- */

static void write_range(struct check *c, struct kv_slice begin, struct kv_slice end)
{
	struct kv_op op = delete_range(begin, end);

	(check_write)(c, &op, 1);
	(check_same)(c);
}
#define write_range(c, begin, end) (write_range)(HERE(c), begin, end)

static void range_is_half_open(struct check *c)
{
	check_open(c);
	check_load(c, 30, 10);
	write_range(c, check_key(c, 10), check_key(c, 20));
	check_get(c, NULL, check_key(c, 10), NULL);
	check_true(c, c->model.n == 20);
	/* Bounds that are no keys of the store. */
	write_range(c, BYTES("key000005x"), BYTES("key000008x"));
	check_true(c, c->model.n == 17);
	write_range(c, BYTES("key000028"), BYTES("key000028\0"));
	check_true(c, c->model.n == 16);
	check_put(c, check_key(c, 15), BYTES("later puts stay"));
	check_same(c);
}

static void range_may_be_empty(struct check *c)
{
	struct kv_slice k = check_key(c, 5);

	check_open(c);
	write_range(c, check_key(c, 1), check_key(c, 2));
	write_range(c, kv_slice(NULL, 0), kv_slice(NULL, 0));
	check_load(c, 10, 10);
	write_range(c, k, k);
	write_range(c, check_key(c, 7), check_key(c, 3)); /* backwards: nothing */
	write_range(c, BYTES("a"), BYTES("b"));
	write_range(c, BYTES("x"), BYTES("y"));
	write_range(c, BYTES("key000003a"), BYTES("key000003b"));
	/* Ends before the empty key, so holds nothing: only data NULL means no end. */
	write_range(c, check_key(c, 2), BYTES(""));
	write_range(c, BYTES("x"), kv_slice(NULL, 0));
	check_true(c, c->model.n == 10);
}

static void range_may_have_no_end(struct check *c)
{
	check_open(c);
	check_load_adversarial(c);
	write_range(c, BYTES("\xff"), kv_slice(NULL, 0));
	write_range(c, BYTES("ab"), kv_slice(NULL, 0));
	write_range(c, BYTES(""), BYTES("a"));
	check_true(c, c->model.n > 0);
	write_range(c, BYTES(""), kv_slice(NULL, 0));
	check_true(c, c->model.n == 0);
	check_load_adversarial(c);
	check_same(c);
	write_range(c, kv_slice(NULL, 0), kv_slice(NULL, 0));
	check_true(c, c->model.n == 0);
}

/* They are bounds, and name places between keys too. */
static void range_bounds_need_not_be_keys(struct check *c)
{
	size_t max = check_key_max(c);
	unsigned char *bound = check_alloc(c, KV_KEY_MAX);

	memset(bound, 'm', KV_KEY_MAX);
	check_open(c);
	check_put(c, kv_slice(bound, 1), BYTES("one m"));
	check_put(c, kv_slice(bound, max), BYTES("as many as fit"));
	check_put(c, BYTES("n"), BYTES("n"));
	check_put(c, BYTES("a"), BYTES("a"));
	if (max < KV_KEY_MAX)
		write_range(c, kv_slice(bound, KV_KEY_MAX), BYTES("n"));
	check_true(c, c->model.n == 4);
	write_range(c, BYTES("a\0"), kv_slice(bound, KV_KEY_MAX));
	check_true(c, c->model.n == (max < KV_KEY_MAX ? 2 : 3));
	write_range(c, kv_slice(bound, KV_KEY_MAX), kv_slice(NULL, 0));
	check_true(c, c->model.n == 1);
}

static void range_over_many_pairs(struct check *c)
{
	check_open(c);
	check_load(c, 2000, 60);
	write_range(c, check_key(c, 3), check_key(c, 1700));
	check_load(c, 1000, 20);
	write_range(c, check_key(c, 500), kv_slice(NULL, 0));
	check_true(c, c->model.n == 500);
	if (check_has(c, KV_CAP_PERSISTENT)) {
		check_reopen(c);
		check_same(c);
	}
}

static void range_in_a_batch_keeps_its_place(struct check *c)
{
	struct kv_slice k = check_key(c, 5), other = check_key(c, 6);
	struct kv_op op[] = {
		put(k, BYTES("before the range")),
		put(BYTES("key000005a"), BYTES("before the range")),
		delete_range(check_key(c, 3), check_key(c, 8)),
		put(other, BYTES("after the range")),
		delete_range(check_key(c, 9), kv_slice(NULL, 0)),
		put(check_key(c, 12), BYTES("after it too")),
		del(check_key(c, 8)),
	};

	check_open(c);
	check_load(c, 11, 10);
	check_write(c, op, sizeof(op) / sizeof(op[0]));
	check_same(c);
	check_get(c, NULL, k, NULL);
	check_true(c, c->model.n == 5); /* 0, 1, 2, 6, 12 */
	check_write(c, op, 4);
	check_same(c);
}

static void range_spares_snapshots(struct check *c)
{
	struct check_pairs old;
	struct kv_snapshot *snap;

	check_open(c);
	check_load(c, 50, 10);
	old = check_pairs_copy(c, &c->model);
	snap = check_snapshot(c);
	write_range(c, check_key(c, 10), check_key(c, 30));
	check_put(c, check_key(c, 15), BYTES("new"));
	check_content(c, c->kv, snap, &old);
	check_int(c, 0, kv_compact(c->kv));
	check_content(c, c->kv, snap, &old);
	check_release(c, snap);
	check_same(c);
}

const struct check_entry check_batch_entries[] = {
	{ "batch_of_nothing", 0, 0, batch_of_nothing },
	{ "batch_keeps_its_order", KV_CAP_BATCH, 0, batch_keeps_its_order },
	{ "batch_may_be_large", KV_CAP_BATCH, 0, batch_may_be_large },
	{ "batch_takes_any_bytes", KV_CAP_BATCH, 0, batch_takes_any_bytes },
	{ "invalid_step_changes_nothing", 0, 0, invalid_step_changes_nothing },
	{ "durability_levels", 0, 0, durability_levels },
	{ "range_is_half_open", KV_CAP_DELETE_RANGE, 0, range_is_half_open },
	{ "range_may_be_empty", KV_CAP_DELETE_RANGE, 0, range_may_be_empty },
	{ "range_may_have_no_end", KV_CAP_DELETE_RANGE, 0, range_may_have_no_end },
	{ "range_bounds_need_not_be_keys", KV_CAP_DELETE_RANGE, 0,
	  range_bounds_need_not_be_keys },
	{ "range_over_many_pairs", KV_CAP_DELETE_RANGE, 0, range_over_many_pairs },
	{ "range_in_a_batch_keeps_its_place", KV_CAP_DELETE_RANGE | KV_CAP_BATCH, 0,
	  range_in_a_batch_keeps_its_place },
	{ "range_spares_snapshots", KV_CAP_DELETE_RANGE | KV_CAP_SNAPSHOT, 0,
	  range_spares_snapshots },
	{ 0 },
};
