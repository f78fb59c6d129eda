/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance.c - runs every check on a fresh store, and checks what comes before the
 * first key: the engine's table, open and its options.
 *
 * The other checks are in kv_conformance_basic.c (gets, puts, limits), _batch.c, _cursor.c,
 * _snapshot.c, _store.c (reopen, backup, verify, ...) and _thread.c.
 */
#include "kv_check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the table ---- */

static void table_is_complete(struct check *c)
{
	const struct kv_ops *ops = c->ops;
	const struct kv_opt *o, *other;

	check_true(c, ops->name && ops->name[0]);
	check_true(c, ops->summary && ops->summary[0]);
	check_true(c, ops->open && ops->close && ops->get && ops->write);
	check_true(c, !check_has(c, KV_CAP_SNAPSHOT) || (ops->snapshot && ops->release));
	check_true(c, !check_has(c, KV_CAP_CURSOR) || ops->cursor);
	check_true(c, !check_has(c, KV_CAP_BACKUP) || ops->backup);
	check_true(c, !check_has(c, KV_CAP_VERIFY) || ops->verify);
	check_true(c, !check_has(c, KV_CAP_ORDERED) || check_has(c, KV_CAP_CURSOR));
	check_true(c, !check_has(c, KV_CAP_DURABLE) || check_has(c, KV_CAP_PERSISTENT));
	check_true(c,
		   !check_has(c, KV_CAP_CRASH_SAFE) || check_has(c, KV_CAP_PERSISTENT));
	check_true(c, ops->key_max <= KV_KEY_MAX);
	check_true(c, ops->value_max <= KV_VALUE_MAX);
	check_true(c, ops->key_min <= check_key_max(c));
	for (o = ops->opts; o && o->name; o++) {
		check_true(c, o->name[0] && o->help && o->help[0]);
		if (!o->choices && (o->init < o->min || o->init > o->max))
			check_fail(
				c,
				"option %s: expected init within min and max, came %llu",
				o->name, (unsigned long long)o->init);
		for (other = ops->opts; other != o; other++)
			if (!strcmp(o->name, other->name))
				check_fail(
					c,
					"options: expected each name once, came %s twice",
					o->name);
	}
}

static void absent_caps_are_refused(struct check *c)
{
	struct kv_slice k = check_key(c, 1), end = check_key(c, 2);
	struct kv_op two[2] = { { KV_PUT, k, k }, { KV_PUT, end, k } };
	struct kv_op range = { KV_DELETE_RANGE, k, end };
	struct kv_snapshot *snap = NULL;
	struct kv_cursor *cursor = NULL;
	struct kv_msg why;

	check_open(c);
	check_put(c, k, BYTES("stays"));
	if (!check_has(c, KV_CAP_SNAPSHOT))
		check_int(c, -EOPNOTSUPP, kv_snapshot(c->kv, &snap));
	if (!check_has(c, KV_CAP_CURSOR))
		check_int(c, -EOPNOTSUPP, kv_cursor(c->kv, NULL, &cursor));
	if (!check_has(c, KV_CAP_BATCH))
		check_int(c, -EOPNOTSUPP, kv_write(c->kv, two, 2, KV_NONE));
	if (!check_has(c, KV_CAP_DELETE_RANGE))
		check_int(c, -EOPNOTSUPP, kv_write(c->kv, &range, 1, KV_NONE));
	if (!check_has(c, KV_CAP_BACKUP))
		check_int(c, -EOPNOTSUPP, kv_backup(c->kv, check_dir(c)));
	if (!check_has(c, KV_CAP_VERIFY))
		check_int(c, -EOPNOTSUPP, kv_verify(c->kv, &why));
	if (check_has(c, KV_CAP_CURSOR) && !check_has(c, KV_CAP_ORDERED)) {
		cursor = check_cursor(c, NULL);
		check_int(c, -EOPNOTSUPP, kv_seek(cursor, k));
		check_int(c, -EOPNOTSUPP, kv_prev(cursor));
		check_cursor_close(c, cursor);
	}
	check_same(c);
}

/* ---- open ---- */

static void open_gives_an_empty_store(struct check *c)
{
	check_int(c, 0, kv_close(NULL));
	check_open(c);
	check_get(c, NULL, check_key(c, 1), NULL);
	check_same(c);
	check_close(c);
}

static void open_twice_gives_two_stores(struct check *c)
{
	struct kv_slice k = check_key(c, 1);
	struct check_pairs none = { NULL, 0, 0 };
	struct kv *other;

	check_open(c);
	other = check_open_dir(c, check_dir(c));
	check_put(c, k, BYTES("only in the first"));
	check_content(c, other, NULL, &none);
	check_int(c, 0, kv_put(other, k, BYTES("second"), KV_NONE));
	check_same(c);
	check_close_kv(c, other);
	check_same(c);
}

/* Expects open to fail with error (0: any) and to say why. */
static void(refuse_open)(struct check *c, const char *dir, const char *options, int error,
			 struct kv_msg *why)
{
	char untouched, name[CHECK_SHOW];
	struct kv *kv = (struct kv *)&untouched;
	int came;

	why->text[0] = '\0';
	came = kv_open(c->ops, c->t->env, dir, options, &kv, why);
	if (!came) {
		kv_close(kv);
		(check_fail)(
			c, "kv_open of %s with options \"%s\": expected an error, came 0",
			dir, options ? options : "");
	}
	if (error && came != error)
		(check_fail)(
			c, "kv_open with options \"%s\": expected error %d, came %s (%s)",
			options ? options : "", error, check_error_name(came, name),
			why->text);
	if (kv != (struct kv *)&untouched)
		(check_fail)(c, "kv_open: expected *out untouched after %s, came changed",
			     check_error_name(came, name));
	if (!why->text[0])
		(check_fail)(c, "kv_open: expected a sentence with %s, came none",
			     check_error_name(came, name));
	/* And nobody needs to listen. */
	if (!kv_open(c->ops, c->t->env, dir, options, &kv, NULL)) {
		kv_close(kv);
		(check_fail)(c, "kv_open with why NULL: expected an error again, came 0");
	}
}
#define refuse_open(c, dir, options, error, why) \
	(refuse_open)(HERE(c), dir, options, error, why)

static void open_refuses_unknown_options(struct check *c)
{
	const struct kv_opt *o;
	struct kv_msg why;
	char text[128];

	refuse_open(c, check_dir(c), "no-such-option=1", -EINVAL, &why);
	refuse_open(c, check_dir(c), "=", -EINVAL, &why);
	refuse_open(c, check_dir(c), "nothing", -EINVAL, &why);
	for (o = c->ops->opts; o && o->name; o++) {
		snprintf(text, sizeof(text), "%sx=1", o->name);
		refuse_open(c, c->dirs[0], text, -EINVAL, &why);
		if (!strstr(why.text, o->name))
			check_fail(c,
				   "option %s: expected the nearest name %s, came \"%s\"",
				   text, o->name, why.text);
	}
}

static void open_refuses_bad_values(struct check *c)
{
	const char *dir = check_dir(c);
	const struct kv_opt *o;
	struct kv_msg why;
	char text[128];

	for (o = c->ops->opts; o && o->name; o++) {
		snprintf(text, sizeof(text), "%s=", o->name);
		refuse_open(c, dir, text, -EINVAL, &why);
		snprintf(text, sizeof(text), "%s=not-a-value", o->name);
		refuse_open(c, dir, text, -EINVAL, &why);
		if (!strstr(why.text, o->name))
			check_fail(c, "expected a sentence that names %s, came \"%s\"",
				   o->name, why.text);
		if (o->choices || o->max == UINT64_MAX)
			continue;
		snprintf(text, sizeof(text), "%s=%llu", o->name,
			 (unsigned long long)o->max + 1);
		refuse_open(c, dir, text, -EINVAL, &why);
	}
}

/* needed: else -EOPNOTSUPP will do, from a library that was built without that choice. A
 * machine may have less than a default asks for: then -ENOMEM, if the reason names it. */
static void open_with(struct check *c, const char *option, bool needed)
{
	const char *own = c->t->options ? c->t->options : "";
	struct kv_msg why = { "" };
	char text[512], name[CHECK_SHOW];
	struct kv *kv = NULL;
	bool excused;
	int error;

	/* The option comes last, so that it is the one that counts. */
	snprintf(text, sizeof(text), "%s%s%s", own, own[0] ? "," : "", option);
	error = kv_open(c->ops, c->t->env, check_dir(c), text, &kv, &why);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(option, "="), option);
	excused = (error == -EOPNOTSUPP && !needed && why.text[0]) ||
		  (error == -ENOMEM && strstr(why.text, name));
	if (error && !excused)
		check_fail(c, "kv_open with %s: expected 0, came %s: %s", text,
			   check_error_name(error, name), why.text);
	check_int(c, 0, error ? 0 : kv_close(kv));
	/* Options may be many: do not keep a store for each. */
	if (c->t->remove_store)
		c->t->remove_store(c->dirs[c->n_dirs - 1]);
	c->n_dirs--;
}

static void open_takes_choices(struct check *c, const struct kv_opt *o)
{
	const char *choice = o->choices;
	uint64_t position;
	char text[128];

	for (position = 0; *choice; position++) {
		int len = (int)strcspn(choice, "|");

		snprintf(text, sizeof(text), "%s=%.*s", o->name, len, choice);
		open_with(c, text, position == o->init);
		choice += len + (choice[len] == '|');
	}
	if (o->init >= position)
		check_fail(c, "option %s: expected init to be one of %s, came %llu",
			   o->name, o->choices, (unsigned long long)o->init);
}

static void open_takes_every_option(struct check *c)
{
	const struct kv_opt *o;
	char text[128];

	for (o = c->ops->opts; o && o->name; o++) {
		if (o->choices) {
			open_takes_choices(c, o);
			continue;
		}
		snprintf(text, sizeof(text), "%s=%llu", o->name,
			 (unsigned long long)o->init);
		open_with(c, text, true);
	}
}

static void open_creates_the_directory(struct check *c)
{
	struct stat st;

	if (!check_on_disk(c))
		check_skip(c, "the stores are not in the file system");
	check_open(c);
	check_true(c, !stat(c->dir, &st) && S_ISDIR(st.st_mode));
	check_close(c);
	check_int(c, 0, mkdir(check_dir(c), 0777));
	c->dir = c->dirs[1];
	c->kv = check_open_dir(c, c->dir);
	check_put(c, check_key(c, 1), BYTES("in a directory that was there"));
	check_reopen(c);
	check_same(c);
}

static void open_without_parent_is_refused(struct check *c)
{
	const char *parent = check_dir(c);
	char dir[CHECK_PATH + 16];
	struct kv_msg why;
	struct stat st;

	if (!check_on_disk(c))
		check_skip(c, "the stores are not in the file system");
	snprintf(dir, sizeof(dir), "%s/store", parent);
	refuse_open(c, dir, c->t->options, 0, &why);
	check_true(c, stat(parent, &st));
}

static void open_of_a_file_is_refused(struct check *c)
{
	const char *path = check_dir(c);
	char text[16] = "";
	struct kv_msg why;
	FILE *f;

	if (!check_on_disk(c))
		check_skip(c, "the stores are not in the file system");
	f = fopen(path, "w");
	check_true(c, f);
	fputs("not a store", f);
	fclose(f);
	refuse_open(c, path, c->t->options, 0, &why);
	f = fopen(path, "r");
	check_true(c, f);
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	check_true(c, !strcmp(text, "not a store"));
	unlink(path);
}

static void open_elsewhere_is_busy(struct check *c)
{
	struct kv_msg why;

	check_open(c);
	check_load(c, 10, 10);
	refuse_open(c, c->dir, c->t->options, -EBUSY, &why);
	check_same(c);
	check_put(c, check_key(c, 3), BYTES("still the owner"));
	check_reopen(c);
	check_same(c);
}

const struct check_entry check_open_entries[] = {
	{ "table_is_complete", 0, 0, table_is_complete },
	{ "absent_caps_are_refused", 0, 0, absent_caps_are_refused },
	{ "open_gives_an_empty_store", 0, 0, open_gives_an_empty_store },
	{ "open_twice_gives_two_stores", 0, KV_LENIENT_ONE_STORE,
	  open_twice_gives_two_stores },
	{ "open_refuses_unknown_options", 0, 0, open_refuses_unknown_options },
	{ "open_refuses_bad_values", 0, 0, open_refuses_bad_values },
	{ "open_takes_every_option", 0, 0, open_takes_every_option },
	{ "open_creates_the_directory", KV_CAP_PERSISTENT, 0,
	  open_creates_the_directory },
	{ "open_without_parent_is_refused", KV_CAP_PERSISTENT, KV_LENIENT_NO_PARENT,
	  open_without_parent_is_refused },
	{ "open_of_a_file_is_refused", KV_CAP_PERSISTENT, 0, open_of_a_file_is_refused },
	{ "open_elsewhere_is_busy", KV_CAP_PERSISTENT, KV_LENIENT_BUSY,
	  open_elsewhere_is_busy },
	{ 0 },
};

/* ---- the runner ---- */

static void report(struct kv_report *r, const char *verdict, const char *name,
		   const char *text, bool always)
{
	if (!r->out || (!always && !r->verbose))
		return;
	fprintf(r->out, "%s %s%s%s\n", verdict, name, text[0] ? ": " : "", text);
	fflush(r->out); /* the line is out before the next check can crash */
}

/* What the engine lacks for e, as text; empty when nothing. */
static void reason_to_skip(const struct kv_target *t, const struct check_entry *e,
			   char *text, size_t size)
{
	static const char *const caps[] = { "cursors",    "order",         "snapshots",
					    "batches",    "delete ranges", "persistence",
					    "durability", "crash safety",  "backups",
					    "verify" };
	unsigned int missing = e->caps & ~t->ops->caps, i;

	text[0] = '\0';
	for (i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		if (missing >> i & 1) {
			snprintf(text, size, "%s has no %s", t->ops->name, caps[i]);
			return;
		}
	if (e->lenient & t->lenient)
		snprintf(text, size, "the target says that %s cannot", t->ops->name);
}

/* Returns 0, or what the check ended with. Apart from its caller, so that no local of it
 * changes between setjmp() and longjmp(). */
static int run_guarded(struct check *c, const struct check_entry *e)
{
	int ended = setjmp(c->end);

	if (!ended) {
		e->run(c);
		if (c->kv)
			(check_close)(c);
	}
	return ended;
}

static void run_check(const struct kv_target *t, const struct check_entry *e,
		      struct kv_report *r)
{
	char reason[256];
	struct check *c;

	reason_to_skip(t, e, reason, sizeof(reason));
	if (reason[0]) {
		r->skipped++;
		report(r, "skip", e->name, reason, false);
		return;
	}
	c = malloc(sizeof(*c));
	if (!c) {
		r->failed++;
		report(r, "not ok", e->name, "no memory to run it", true);
		return;
	}
	check_begin(c, t);
	switch (run_guarded(c, e)) {
	case 0:
		r->passed++;
		report(r, "ok", e->name, "", false);
		break;
	case CHECK_SKIPPED:
		r->skipped++;
		report(r, "skip", e->name, c->complaint, false);
		break;
	default:
		r->failed++;
		report(r, "not ok", e->name, c->complaint, true);
	}
	check_end(c);
	free(c);
}

unsigned int kv_conformance(const struct kv_target *t, struct kv_report *r)
{
	static const struct check_entry *const lists[] = {
		check_open_entries,   check_basic_entries,    check_batch_entries,
		check_cursor_entries, check_snapshot_entries, check_store_entries,
		check_thread_entries,
	};
	const char *only = r->only ? r->only : getenv("KV_CHECK");
	const unsigned int before = r->failed;
	const struct check_entry *e;
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (e = lists[i]; e->name; e++)
			if (!only || !strcmp(only, e->name))
				run_check(t, e, r);
	return r->failed - before;
}
