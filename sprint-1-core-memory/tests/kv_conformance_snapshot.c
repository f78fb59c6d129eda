/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance_snapshot.c - checks of snapshots, and of cursors while the store changes
 * below them.
 */
#include "kv_check.h"

/* Changes the store in every way there is; each round differs. */
static void disturb(struct check *c, unsigned int round)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		check_put(c, check_key(c, (round * 7 + i * 3) % 60),
			  check_printf(c, "round %u", round));
		check_put(c, check_printf(c, "fresh%u-%u", round, i), BYTES("fresh"));
		check_delete(c, check_key(c, (round * 11 + i * 5) % 60));
	}
	if (check_has(c, KV_CAP_BATCH)) {
		struct kv_op op[3] = {
			{ KV_PUT, check_key(c, round % 60), BYTES("in a batch") },
			{ KV_DELETE, check_key(c, (round + 9) % 60), { NULL, 0 } },
			{ KV_PUT, check_printf(c, "batch%u", round), BYTES("") },
		};

		check_write(c, op, 3);
	}
	if (check_has(c, KV_CAP_DELETE_RANGE)) {
		struct kv_op range = { KV_DELETE_RANGE, check_key(c, round * 13 % 50),
				       check_key(c, round * 13 % 50 + 4) };

		check_write(c, &range, 1);
	}
}

static void snapshot_sees_the_old_state(struct check *c)
{
	struct kv_slice was = BYTES("was"), will = BYTES("will"), k = check_key(c, 1);
	struct check_pairs old;
	struct kv_snapshot *snap;

	check_open(c);
	check_put(c, k, was);
	check_put(c, check_key(c, 2), was);
	old = check_pairs_copy(c, &c->model);
	snap = check_snapshot(c);
	check_content(c, c->kv, snap, &old);
	check_put(c, k, will);               /* overwritten */
	check_delete(c, check_key(c, 2));    /* deleted */
	check_put(c, check_key(c, 3), will); /* new */
	check_get(c, snap, k, &was);
	check_get(c, snap, check_key(c, 2), &was);
	check_get(c, snap, check_key(c, 3), NULL);
	check_content(c, c->kv, snap, &old);
	check_same(c);
	check_put(c, check_key(c, 2), will); /* deleted, then put again */
	check_delete(c, check_key(c, 3));
	check_content(c, c->kv, snap, &old);
	check_release(c, snap);
	check_same(c);
}

static void snapshot_of_nothing_stays_empty(struct check *c)
{
	struct check_pairs none = { NULL, 0, 0 };
	struct kv_snapshot *snap;

	check_open(c);
	kv_release(c->kv, NULL);
	snap = check_snapshot(c);
	check_load(c, 100, 10);
	check_get(c, snap, check_key(c, 3), NULL);
	check_content(c, c->kv, snap, &none);
	check_same(c);
}

static void snapshots_outlast_changes(struct check *c)
{
	struct check_pairs old;
	struct kv_snapshot *snap;
	unsigned int round;

	check_open(c);
	check_load(c, 60, 30);
	old = check_pairs_copy(c, &c->model);
	snap = check_snapshot(c);
	for (round = 0; round < 20; round++) {
		disturb(c, round);
		if (round % 6 == 3)
			check_int(c, 0, kv_compact(c->kv));
		if (round % 6 == 5)
			check_int(c, 0, kv_sync(c->kv));
		if (round % 3 == 0)
			check_content(c, c->kv, snap, &old);
	}
	check_content(c, c->kv, snap, &old);
	check_release(c, snap);
	check_int(c, 0, kv_compact(c->kv));
	check_same(c);
}

static void many_snapshots_in_any_order(struct check *c)
{
	enum { SNAPSHOTS = 30 };
	struct kv_snapshot *snap[SNAPSHOTS];
	struct check_pairs state[SNAPSHOTS];
	unsigned int i, gone;

	check_open(c);
	for (i = 0; i < SNAPSHOTS; i++) {
		disturb(c, i);
		state[i] = check_pairs_copy(c, &c->model);
		snap[i] = check_snapshot(c);
	}
	for (i = 0; i < SNAPSHOTS; i++)
		check_content(c, c->kv, snap[i], &state[i]);
	for (gone = 0; gone < SNAPSHOTS; gone++) {
		unsigned int next = gone * 7 % SNAPSHOTS; /* the middle, the ends, ... */

		check_release(c, snap[next]);
		snap[next] = NULL;
		if (gone == SNAPSHOTS / 2)
			check_int(c, 0, kv_compact(c->kv));
		for (i = gone % 4; i < SNAPSHOTS; i += 4)
			if (snap[i])
				check_content(c, c->kv, snap[i], &state[i]);
	}
	check_same(c);
}

static void equal_snapshots_are_apart(struct check *c)
{
	struct kv_snapshot *one, *two;
	struct check_pairs old;

	check_open(c);
	check_load(c, 20, 10);
	old = check_pairs_copy(c, &c->model);
	one = check_snapshot(c);
	two = check_snapshot(c);
	disturb(c, 1);
	check_release(c, one);
	disturb(c, 2);
	check_content(c, c->kv, two, &old);
	check_release(c, two);
	check_same(c);
}

/* ---- cursors over a moving store ---- */

static void cursor_outlives_its_snapshot(struct check *c)
{
	struct kv_snapshot *snap;
	struct kv_cursor *cursor;
	struct check_pairs old;

	check_open(c);
	check_load(c, 60, 10);
	old = check_pairs_copy(c, &c->model);
	snap = check_snapshot(c);
	disturb(c, 1);
	cursor = check_cursor(c, snap);
	if (check_has(c, KV_CAP_ORDERED))
		check_at(c, cursor, kv_next(cursor), &old, 0);
	else
		check_int(c, 0, kv_next(cursor));
	check_release(c, snap);
	disturb(c, 2);
	check_int(c, 0, kv_compact(c->kv));
	if (check_has(c, KV_CAP_ORDERED))
		check_at(c, cursor, kv_prev(cursor), &old, old.n);
	else
		while (!kv_next(cursor))
			;
	check_walk(c, cursor, &old);
}

static void snapshot_outlives_its_cursors(struct check *c)
{
	struct kv_cursor *cursor, *other;
	struct kv_snapshot *snap;
	struct check_pairs old;

	check_open(c);
	check_load(c, 60, 10);
	old = check_pairs_copy(c, &c->model);
	snap = check_snapshot(c);
	cursor = check_cursor(c, snap);
	other = check_cursor(c, snap);
	check_int(c, 0, kv_next(cursor));
	disturb(c, 1);
	check_cursor_close(c, cursor);
	check_walk(c, other, &old);
	check_cursor_close(c, other);
	disturb(c, 2);
	check_content(c, c->kv, snap, &old);
}

static void stands_still(struct check *c, struct kv_cursor *cursor,
			 const struct check_pairs *p, size_t i)
{
	(check_at)(HERE(c), cursor, 0, p, i, "the pair that the cursor stands on");
}

/* Writes of every kind and compaction between any two moves. */
static void cursor_is_stable_while_the_store_changes(struct check *c)
{
	struct kv_cursor *forward, *backward;
	struct check_pairs old;
	size_t i;

	check_open(c);
	check_load(c, 60, 10);
	old = check_pairs_copy(c, &c->model);
	forward = check_cursor(c, NULL);
	backward = check_cursor(c, NULL);
	disturb(c, 100);
	for (i = 0; i < old.n; i++) {
		check_at(c, forward, kv_next(forward), &old, i);
		check_at(c, backward, kv_prev(backward), &old, old.n - 1 - i);
		if (i % 5 == 0)
			disturb(c, (unsigned int)i);
		if (i % 20 == 7)
			check_int(c, 0, kv_compact(c->kv));
		/* The pair that it stands on does not move either. */
		stands_still(c, forward, &old, i);
		stands_still(c, backward, &old, old.n - 1 - i);
		/* Neither does what it stands on matter: delete and overwrite it. */
		check_delete(c, old.pair[i].key);
		check_put(c, old.pair[old.n - 1 - i].key, BYTES("overwritten"));
		stands_still(c, forward, &old, i);
	}
	check_at(c, forward, kv_next(forward), &old, old.n);
	check_at(c, backward, kv_prev(backward), &old, old.n);
	for (i = 0; i < old.n; i += 3)
		check_at(c, forward, kv_seek(forward, old.pair[i].key), &old, i);
	check_same(c);
}

static void unordered_cursor_is_stable(struct check *c)
{
	struct kv_cursor *cursor;
	struct check_pairs old;

	check_open(c);
	check_load(c, 60, 10);
	old = check_pairs_copy(c, &c->model);
	cursor = check_cursor(c, NULL);
	disturb(c, 1);
	check_walk(c, cursor, &old);
	disturb(c, 2);
	check_int(c, 0, kv_compact(c->kv));
	check_walk(c, cursor, &old);
	cursor = check_cursor(c, NULL);
	check_walk(c, cursor, &c->model);
}

/* Without a snapshot of its own a cursor sees the store as of its creation, not its first
 * move. */
static void cursor_is_as_old_as_its_creation(struct check *c)
{
	struct check_pairs first, second;
	struct kv_cursor *a, *b;

	check_open(c);
	first = check_pairs_copy(c, &c->model);
	a = check_cursor(c, NULL);
	check_load(c, 40, 10);
	second = check_pairs_copy(c, &c->model);
	b = check_cursor(c, NULL);
	while (c->model.n)
		check_delete(c, c->model.pair[0].key);
	check_walk(c, a, &first);
	check_walk(c, b, &second);
	check_same(c);
}

const struct check_entry check_snapshot_entries[] = {
	{ "snapshot_sees_the_old_state", KV_CAP_SNAPSHOT, 0,
	  snapshot_sees_the_old_state },
	{ "snapshot_of_nothing_stays_empty", KV_CAP_SNAPSHOT, 0,
	  snapshot_of_nothing_stays_empty },
	{ "snapshots_outlast_changes", KV_CAP_SNAPSHOT, 0, snapshots_outlast_changes },
	{ "many_snapshots_in_any_order", KV_CAP_SNAPSHOT, 0,
	  many_snapshots_in_any_order },
	{ "equal_snapshots_are_apart", KV_CAP_SNAPSHOT, 0, equal_snapshots_are_apart },
	{ "cursor_outlives_its_snapshot", KV_CAP_SNAPSHOT | KV_CAP_CURSOR, 0,
	  cursor_outlives_its_snapshot },
	{ "snapshot_outlives_its_cursors", KV_CAP_SNAPSHOT | KV_CAP_CURSOR, 0,
	  snapshot_outlives_its_cursors },
	{ "cursor_is_stable_while_the_store_changes", KV_CAP_SNAPSHOT | KV_CAP_ORDERED, 0,
	  cursor_is_stable_while_the_store_changes },
	{ "unordered_cursor_is_stable", KV_CAP_SNAPSHOT | KV_CAP_CURSOR, 0,
	  unordered_cursor_is_stable },
	{ "cursor_is_as_old_as_its_creation", KV_CAP_SNAPSHOT | KV_CAP_CURSOR, 0,
	  cursor_is_as_old_as_its_creation },
	{ 0 },
};
