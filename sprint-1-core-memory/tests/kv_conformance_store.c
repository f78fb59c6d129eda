/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance_store.c - checks of the store as a whole: sync, compact, verify, stats,
 * recovery facts, reopening and backup.
 */
#include "kv_check.h"

static void sync_and_compact(struct check *c)
{
	(check_int)(c, "kv_sync", 0, kv_sync(c->kv));
	(check_int)(c, "kv_compact", 0, kv_compact(c->kv));
	(check_int)(c, "kv_sync", 0, kv_sync(c->kv));
	(check_same)(c);
}

static void sync_and_compact_are_harmless(struct check *c)
{
	unsigned int i;

	check_open(c);
	sync_and_compact(HERE(c));
	check_put(c, check_key(c, 1), BYTES("one"));
	sync_and_compact(HERE(c));
	check_load(c, 1000, 100);
	sync_and_compact(HERE(c));
	for (i = 0; i < 1000; i += 2)
		check_delete(c, check_key(c, i));
	sync_and_compact(HERE(c));
	check_int(c, 0, kv_compact(c->kv));
	check_load(c, 300, 50);
	sync_and_compact(HERE(c));
	while (c->model.n > 2)
		check_delete(c, c->model.pair[1].key);
	sync_and_compact(HERE(c));
}

static void deleted_stays_deleted(struct check *c)
{
	unsigned int round, i;

	check_open(c);
	for (round = 0; round < 4; round++) {
		check_load(c, 100, 50);
		for (i = round; i < 100; i += 2) {
			check_delete(c, check_key(c, i));
			check_get(c, NULL, check_key(c, i), NULL);
		}
		check_int(c, 0, kv_compact(c->kv));
		for (i = round; i < 100; i += 2)
			check_get(c, NULL, check_key(c, i), NULL);
		if (check_has(c, KV_CAP_PERSISTENT))
			check_reopen(c);
		for (i = round; i < 100; i += 2)
			check_get(c, NULL, check_key(c, i), NULL);
		check_same(c);
	}
}

static void verify_healthy(struct check *c)
{
	struct kv_msg why = { "" };
	char name[CHECK_SHOW];
	int error = kv_verify(c->kv, &why);

	if (error)
		(check_fail)(c, "kv_verify: expected 0, came %s: %s",
			     check_error_name(error, name), why.text);
	(check_int)(c, "kv_verify with why NULL", 0, kv_verify(c->kv, NULL));
}

static void verify_finds_a_healthy_store_healthy(struct check *c)
{
	unsigned int i;

	check_open(c);
	verify_healthy(HERE(c));
	check_load(c, 500, 100);
	verify_healthy(HERE(c));
	for (i = 0; i < 500; i += 3)
		check_delete(c, check_key(c, i));
	check_put(c, BYTES("large"),
		  check_noise(c, 1,
			      check_value_max(c) < 70000 ? check_value_max(c) : 70000));
	if (check_has(c, KV_CAP_SNAPSHOT)) {
		struct kv_snapshot *snap = check_snapshot(c);

		check_load(c, 100, 10);
		verify_healthy(HERE(c));
		check_release(c, snap);
	}
	check_int(c, 0, kv_compact(c->kv));
	verify_healthy(HERE(c));
	if (check_has(c, KV_CAP_PERSISTENT)) {
		check_reopen(c);
		verify_healthy(HERE(c));
	}
	check_same(c);
}

/* ---- stats and recovery ---- */

enum { STATS_MAX = 512 };

struct stats {
	char name[STATS_MAX][64];
	size_t n;
	char complaint[160];
};

static void note_stat(void *arg, const char *name, uint64_t value)
{
	struct stats *s = arg;
	size_t i;

	(void)value;
	if (s->complaint[0])
		return;
	if (!name || !name[0])
		snprintf(s->complaint, sizeof(s->complaint),
			 "expected a name, came none");
	else if (strlen(name) >= sizeof(s->name[0]) || s->n == STATS_MAX)
		snprintf(s->complaint, sizeof(s->complaint),
			 "expected at most %d names below 64 bytes, came \"%.70s\"",
			 STATS_MAX, name);
	else
		strcpy(s->name[s->n++], name);
	for (i = 0; i + 1 < s->n && !s->complaint[0]; i++)
		if (!strcmp(s->name[i], s->name[s->n - 1]))
			snprintf(s->complaint, sizeof(s->complaint),
				 "expected each name once, came \"%s\" twice",
				 s->name[i]);
}

static void stats_have_names(struct check *c)
{
	struct stats *s = check_alloc(c, sizeof(*s));
	int round;

	check_open(c);
	for (round = 0; round < 2; round++) {
		memset(s, 0, sizeof(*s));
		kv_stats(c->kv, note_stat, s);
		if (s->complaint[0])
			check_fail(c, "kv_stats: %s", s->complaint);
		check_load(c, 200, 100);
	}
	check_same(c);
}

static void recovery_is_clean(struct check *c)
{
	struct kv_recovery r;

	memset(&r, 0xff, sizeof(r));
	kv_recovery(c->kv, &r);
	if (r.records_replayed || r.bytes_dropped || r.why.text[0])
		(check_fail)(c,
			     "kv_recovery: expected zeroes for a clean store, came %llu "
			     "replayed, %llu dropped, \"%.100s\"",
			     (unsigned long long)r.records_replayed,
			     (unsigned long long)r.bytes_dropped, r.why.text);
}

static void clean_store_needs_no_recovery(struct check *c)
{
	check_open(c);
	recovery_is_clean(HERE(c));
	if (!check_has(c, KV_CAP_PERSISTENT))
		return;
	check_reopen(c);
	recovery_is_clean(HERE(c));
	check_load(c, 100, 10);
	check_delete(c, check_key(c, 3));
	check_reopen(c);
	recovery_is_clean(HERE(c));
	check_same(c);
}

/* ---- reopening ---- */

static void reopen_finds_everything(struct check *c)
{
	check_open(c);
	check_reopen(c);
	check_same(c);
	check_load_adversarial(c);
	check_reopen(c);
	check_same(c);
	check_reopen(c);
	check_same(c);
	check_load(c, 1000, 100);
	check_delete(c, check_key(c, 0));
	check_delete(c, check_key(c, 999));
	check_put(c, check_key(c, 500), BYTES(""));
	check_reopen(c);
	check_same(c);
	check_int(c, 0, kv_compact(c->kv));
	check_put(c, check_key(c, 1001), BYTES("after compaction"));
	check_reopen(c);
	check_same(c);
}

/* One write between two closes: what is last must not be what is lost. */
static void reopen_finds_the_last_write(struct check *c)
{
	struct kv_op op[2] = { { KV_PUT, BYTES("x"), BYTES("batch") },
			       { KV_DELETE, BYTES("b"), { NULL, 0 } } };
	unsigned int i;

	check_open(c);
	for (i = 0; i < 4; i++) {
		check_put(c, check_key(c, i), check_printf(c, "write %u", i));
		check_reopen(c);
		check_same(c);
	}
	check_delete(c, check_key(c, 1));
	check_reopen(c);
	check_same(c);
	check_put(c, BYTES("b"), BYTES(""));
	check_reopen(c);
	check_same(c);
	if (check_has(c, KV_CAP_BATCH)) {
		check_write(c, op, 2);
		check_reopen(c);
		check_same(c);
	}
	while (c->model.n)
		check_delete(c, c->model.pair[0].key);
	check_reopen(c);
	check_same(c);
	check_put(c, check_key(c, 1), BYTES("anew"));
	check_reopen(c);
	check_same(c);
}

static void reopen_after_snapshots(struct check *c)
{
	struct kv_cursor *cursor;
	unsigned int i;

	check_open(c);
	check_load(c, 100, 10);
	(void)check_snapshot(c);
	for (i = 0; i < 100; i += 3)
		check_delete(c, check_key(c, i));
	(void)check_snapshot(c);
	check_load(c, 40, 20);
	if (check_has(c, KV_CAP_CURSOR)) {
		cursor = check_cursor(c, NULL);
		check_int(c, 0, kv_next(cursor));
		check_delete(c, check_key(c, 7));
	}
	check_reopen(c); /* gives snapshots and cursors back first */
	check_same(c);
}

/* ---- backup ---- */

static void backup_is_a_store(struct check *c)
{
	const char *dir = check_dir(c);
	struct check_pairs old;
	struct kv *copy;

	check_open(c);
	check_load_adversarial(c);
	check_load(c, 500, 100);
	check_delete(c, check_key(c, 3));
	check_put(c, BYTES("newest"), BYTES("just before the backup"));
	old = check_pairs_copy(c, &c->model);
	check_int(c, 0, kv_backup(c->kv, dir));
	check_same(c);
	/* The two live apart from here on. */
	check_delete(c, BYTES("newest"));
	check_load(c, 10, 5);
	copy = check_open_dir(c, dir);
	check_content(c, copy, NULL, &old);
	check_int(c, 0, kv_put(copy, BYTES("only in the copy"), BYTES("1"), KV_NONE));
	check_same(c);
	check_close_kv(c, copy);
	check_reopen(c);
	check_same(c);
	check_int(c, 0,
		  kv_delete((copy = check_open_dir(c, dir)), BYTES("only in the copy"),
			    KV_NONE));
	check_content(c, copy, NULL, &old);
}

static void backup_of_nothing(struct check *c)
{
	const char *dir = check_dir(c);
	struct check_pairs none = { NULL, 0, 0 };

	check_open(c);
	check_int(c, 0, kv_backup(c->kv, dir));
	check_put(c, check_key(c, 1), BYTES("later"));
	check_content(c, check_open_dir(c, dir), NULL, &none);
	check_same(c);
}

static void backup_goes_by_the_newest_state(struct check *c)
{
	const char *first = check_dir(c), *second = check_dir(c);
	struct check_pairs one, two;
	struct kv_snapshot *snap = NULL;

	check_open(c);
	check_load(c, 50, 10);
	if (check_has(c, KV_CAP_SNAPSHOT))
		snap = check_snapshot(c);
	check_put(c, check_key(c, 5), BYTES("newer than the snapshot"));
	one = check_pairs_copy(c, &c->model);
	check_int(c, 0, kv_backup(c->kv, first));
	check_delete(c, check_key(c, 6));
	two = check_pairs_copy(c, &c->model);
	check_int(c, 0, kv_backup(c->kv, second));
	if (snap)
		check_release(c, snap);
	check_close(c);
	check_content(c, check_open_dir(c, first), NULL, &one);
	check_content(c, check_open_dir(c, second), NULL, &two);
}

const struct check_entry check_store_entries[] = {
	{ "sync_and_compact_are_harmless", 0, 0, sync_and_compact_are_harmless },
	{ "deleted_stays_deleted", 0, 0, deleted_stays_deleted },
	{ "verify_finds_a_healthy_store_healthy", KV_CAP_VERIFY, 0,
	  verify_finds_a_healthy_store_healthy },
	{ "stats_have_names", 0, 0, stats_have_names },
	{ "clean_store_needs_no_recovery", 0, 0, clean_store_needs_no_recovery },
	{ "reopen_finds_everything", KV_CAP_PERSISTENT, 0, reopen_finds_everything },
	{ "reopen_finds_the_last_write", KV_CAP_PERSISTENT, 0,
	  reopen_finds_the_last_write },
	{ "reopen_after_snapshots", KV_CAP_PERSISTENT | KV_CAP_SNAPSHOT, 0,
	  reopen_after_snapshots },
	{ "backup_is_a_store", KV_CAP_BACKUP, 0, backup_is_a_store },
	{ "backup_of_nothing", KV_CAP_BACKUP, 0, backup_of_nothing },
	{ "backup_goes_by_the_newest_state", KV_CAP_BACKUP, 0,
	  backup_goes_by_the_newest_state },
	{ 0 },
};
