/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_replay.c - does a history to an engine and to the oracle, and compares.
 *
 * Index 0 of every pair below is the oracle (the array engine), 1 the engine under test.
 * A step whose snapshot or cursor is not there does nothing, so that any subset of a
 * history's steps is a history too: shrinking needs that.
 */
#include "kv_steps.h"

#include "../array_engine.h"

#include <stdlib.h>

enum { ORACLE, TESTED };

struct replay {
	const struct kv_target *t;
	const struct history *h;
	struct history_failure *f;
	bool differs; /* the first difference stands in f */

	struct kv *kv[2];
	char dir[CHECK_PATH];
	struct kv_snapshot *snapshot[STEP_SNAPSHOTS][2];
	struct kv_cursor *cursor[STEP_CURSORS][2];
	struct kv_buf value[2][STEP_EDITS];
	struct kv_buf edit_value[STEP_EDITS];
	const char *doing; /* for messages */
	struct kv_slice key;
};

static bool has(const struct replay *r, unsigned int caps)
{
	return (r->t->ops->caps & caps) == caps;
}

/* ---- differences ---- */

static void __attribute__((format(printf, 2, 3)))
differ(struct replay *r, const char *fmt, ...)
{
	char key[CHECK_SHOW] = "";
	va_list ap;
	int n;

	if (r->differs)
		return;
	r->differs = true;
	if (r->key.data)
		check_show(r->key, key);
	n = snprintf(r->f->text, sizeof(r->f->text), "%s%s%s: ", r->doing,
		     key[0] ? " " : "", key);
	va_start(ap, fmt);
	vsnprintf(r->f->text + n, sizeof(r->f->text) - (size_t)n, fmt, ap);
	va_end(ap);
}

static bool same_code(struct replay *r, int want, int came)
{
	char a[CHECK_SHOW], b[CHECK_SHOW];

	if (want != came)
		differ(r, "expected %s, came %s", check_error_name(want, a),
		       check_error_name(came, b));
	return want == came;
}

static bool same_bytes(struct replay *r, const char *what, struct kv_slice want,
		       struct kv_slice came)
{
	char a[CHECK_SHOW], b[CHECK_SHOW];

	if (!kv_compare(want, came))
		return true;
	differ(r, "expected %s %s, came %s", what, check_show(want, a),
	       check_show(came, b));
	return false;
}

static struct kv_slice content(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

/* ---- stores ---- */

static bool open_tested(struct replay *r, const char *dir, struct kv **out)
{
	struct kv_msg why = { "" };
	char name[CHECK_SHOW];
	int error = kv_open(r->t->ops, r->t->env, dir, r->t->options, out, &why);

	if (error)
		differ(r, "expected 0, came %s: %s", check_error_name(error, name),
		       why.text);
	return !error;
}

static void new_name(const struct replay *r, char out[CHECK_PATH])
{
	static unsigned int made;

	snprintf(out, CHECK_PATH, "%s/history-%u", r->t->scratch,
		 port_fetch_add(&made, 1u));
}

static void close_cursor(struct replay *r, unsigned int slot)
{
	kv_cursor_close(r->cursor[slot][ORACLE]);
	kv_cursor_close(r->cursor[slot][TESTED]);
	r->cursor[slot][ORACLE] = r->cursor[slot][TESTED] = NULL;
}

static void close_cursors(struct replay *r)
{
	unsigned int i;

	for (i = 0; i < STEP_CURSORS; i++)
		close_cursor(r, i);
}

static void release(struct replay *r, unsigned int slot)
{
	unsigned int side;

	for (side = ORACLE; side <= TESTED; side++) {
		kv_release(r->kv[side], r->snapshot[slot][side]);
		r->snapshot[slot][side] = NULL;
	}
}

static void give_back(struct replay *r)
{
	unsigned int i;

	close_cursors(r);
	for (i = 0; i < STEP_SNAPSHOTS; i++)
		release(r, i);
}

/* Without snapshots a cursor's view is its own affair: none stays open over a write. */
static void before_change(struct replay *r)
{
	if (!has(r, KV_CAP_SNAPSHOT))
		close_cursors(r);
}

/* ---- writes ---- */

int history_value(const struct step_edit *e, struct kv_buf *buf)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u.", e->value_tag);
	unsigned char *p;
	uint32_t i;
	int error;

	buf->len = 0;
	error = kv_buf_reserve(buf, e->value_len);
	if (error)
		return error;
	p = buf->data;
	for (i = 0; i < e->value_len; i++)
		p[i] = i < (uint32_t)len
			       ? (unsigned char)text[i]
			       : (unsigned char)((i * 7 + e->value_tag * 31) >> (i & 3));
	buf->len = e->value_len;
	return 0;
}

static struct kv_slice key_of(const struct replay *r, unsigned int i)
{
	return r->h->key[i];
}

static void do_write(struct replay *r, const struct step *s)
{
	struct kv_op op[STEP_EDITS] = { { 0 } };
	unsigned int i;

	before_change(r);
	r->doing = s->n == 1 ? (s->edit[0].type == KV_PUT      ? "put"
				: s->edit[0].type == KV_DELETE ? "delete"
							       : "delete range")
			     : "batch";
	for (i = 0; i < s->n; i++) {
		const struct step_edit *e = &s->edit[i];

		op[i] = (struct kv_op){ e->type, key_of(r, e->key), { NULL, 0 } };
		if (e->type == KV_PUT) {
			if (history_value(e, &r->edit_value[i])) {
				differ(r, "expected %u bytes of memory, came none",
				       e->value_len);
				return;
			}
			op[i].value = content(&r->edit_value[i]);
		} else if (e->type == KV_DELETE_RANGE && e->end != STEP_NO_END) {
			op[i].value = key_of(r, e->end);
			if (!op[i].value.data) /* a bound, though it is empty */
				op[i].value.data = "";
		}
	}
	r->key = s->n == 1 ? op[0].key : kv_slice(NULL, 0);
	same_code(r, kv_write(r->kv[ORACLE], op, s->n, KV_NONE),
		  kv_write(r->kv[TESTED], op, s->n, s->how));
	/* Arguments are borrowed: what an engine wrongly kept is different from here on. */
	for (i = 0; i < s->n; i++)
		if (r->edit_value[i].len)
			memset(r->edit_value[i].data, '#', r->edit_value[i].len);
}

/* ---- reads ---- */

static void same_get(struct replay *r, struct kv_snapshot *const snap[2],
		     struct kv_slice key)
{
	struct kv_buf *want = &r->value[ORACLE][0], *came = &r->value[TESTED][0];

	r->key = key;
	if (same_code(r, kv_get_at(r->kv[ORACLE], snap ? snap[ORACLE] : NULL, key, want),
		      kv_get_at(r->kv[TESTED], snap ? snap[TESTED] : NULL, key, came)))
		same_bytes(r, "value", content(want), content(came));
}

/* The pair of snapshots that s names; NULL when it is to do nothing. */
static struct kv_snapshot *const *snapshots_of(struct replay *r, const struct step *s)
{
	static struct kv_snapshot *const newest[2];

	if (s->snapshot == STEP_NEWEST)
		return newest;
	return r->snapshot[s->snapshot][TESTED] ? r->snapshot[s->snapshot] : NULL;
}

static void do_get(struct replay *r, const struct step *s)
{
	struct kv_snapshot *const *snap = snapshots_of(r, s);

	r->doing = s->snapshot == STEP_NEWEST ? "get" : "get at a snapshot";
	if (snap)
		same_get(r, snap, key_of(r, s->edit[0].key));
}

static void do_multi_get(struct replay *r, const struct step *s)
{
	struct kv_snapshot *const *snap = snapshots_of(r, s);
	int error[2][STEP_EDITS];
	struct kv_slice key[STEP_EDITS];
	unsigned int i;

	if (!snap)
		return;
	r->doing = "multi_get";
	for (i = 0; i < s->n; i++) {
		key[i] = key_of(r, s->edit[i].key);
		error[ORACLE][i] = error[TESTED][i] = 12345;
	}
	if (!same_code(r,
		       kv_multi_get(r->kv[ORACLE], snap[ORACLE], s->n, key,
				    r->value[ORACLE], error[ORACLE]),
		       kv_multi_get(r->kv[TESTED], snap[TESTED], s->n, key,
				    r->value[TESTED], error[TESTED])))
		return;
	for (i = 0; i < s->n; i++) {
		r->key = key[i];
		if (same_code(r, error[ORACLE][i], error[TESTED][i]))
			same_bytes(r, "value", content(&r->value[ORACLE][i]),
				   content(&r->value[TESTED][i]));
	}
}

static void do_snapshot(struct replay *r, const struct step *s)
{
	struct kv_snapshot **snap = r->snapshot[s->snapshot];

	r->doing = "snapshot";
	release(r, s->snapshot);
	if (!same_code(r, kv_snapshot(r->kv[ORACLE], &snap[ORACLE]),
		       kv_snapshot(r->kv[TESTED], &snap[TESTED])))
		release(r, s->snapshot);
}

/* ---- cursors ---- */

static bool open_cursors(struct replay *r, struct kv_snapshot *const snap[2],
			 struct kv_cursor *out[2])
{
	int want = kv_cursor(r->kv[ORACLE], snap[ORACLE], &out[ORACLE]);

	if (same_code(r, want, kv_cursor(r->kv[TESTED], snap[TESTED], &out[TESTED])))
		return true;
	kv_cursor_close(out[ORACLE]);
	kv_cursor_close(out[TESTED]);
	out[ORACLE] = out[TESTED] = NULL;
	return false;
}

static void do_cursor(struct replay *r, const struct step *s)
{
	struct kv_snapshot *const *snap = snapshots_of(r, s);

	r->doing = "cursor";
	close_cursor(r, s->cursor);
	if (snap)
		open_cursors(r, snap, r->cursor[s->cursor]);
}

/* Compares what both moves came to; false at the end or at a difference. */
static bool same_place(struct replay *r, struct kv_cursor *const c[2], int want, int came)
{
	if (!same_code(r, want, came) || want)
		return false;
	return same_bytes(r, "key", c[ORACLE]->key, c[TESTED]->key) &&
	       same_bytes(r, "value", c[ORACLE]->value, c[TESTED]->value);
}

static void do_moves(struct replay *r, const struct step *s)
{
	struct kv_cursor *const *c = r->cursor[s->cursor];
	unsigned int i;

	if (!c[TESTED])
		return;
	if (s->type == STEP_SEEK) {
		r->doing = "seek";
		r->key = key_of(r, s->edit[0].key);
		same_place(r, c, kv_seek(c[ORACLE], r->key), kv_seek(c[TESTED], r->key));
		return;
	}
	r->doing = s->type == STEP_NEXT ? "next" : "prev";
	for (i = 0; i < s->n && !r->differs; i++) {
		if (s->type == STEP_NEXT)
			same_place(r, c, kv_next(c[ORACLE]), kv_next(c[TESTED]));
		else
			same_place(r, c, kv_prev(c[ORACLE]), kv_prev(c[TESTED]));
	}
}

/* ---- all content ---- */

/* An unordered cursor: every pair once, in any order. */
static void same_set(struct replay *r, struct kv_snapshot *const snap[2],
		     struct kv_cursor *const c[2])
{
	bool *seen = calloc(r->h->n_keys + 1, sizeof(*seen));
	size_t want = 0, came = 0, i;
	int error = 0;

	while (!kv_next(c[ORACLE]))
		want++;
	while (seen && !r->differs && !(error = kv_next(c[TESTED]))) {
		struct kv_slice key = c[TESTED]->key;
		struct kv_buf *value = &r->value[ORACLE][0];

		r->key = kv_slice(NULL, 0);
		for (i = 0; i < r->h->n_keys && kv_compare(r->h->key[i], key); i++)
			;
		if (i < r->h->n_keys)
			r->key = r->h->key[i];
		if (i == r->h->n_keys)
			same_bytes(r, "a key that was put, not", kv_slice(NULL, 0), key);
		else if (seen[i])
			differ(r, "expected each pair once, came twice");
		else if (same_code(r, kv_get_at(r->kv[ORACLE], snap[ORACLE], key, value),
				   0))
			same_bytes(r, "value", content(value), c[TESTED]->value);
		seen[i] = true;
		came++;
	}
	r->key = kv_slice(NULL, 0);
	if (!seen)
		differ(r, "expected memory for the test, came none");
	else if (!r->differs && same_code(r, -ENOENT, error) && want != came)
		differ(r, "expected %zu pairs, came %zu", want, came);
	free(seen);
}

/* kv[TESTED] holds at snap what the oracle holds. */
static void same_content(struct replay *r, struct kv_snapshot *const snap[2])
{
	struct kv_cursor *c[2];
	size_t i;

	for (i = 0; i < r->h->n_keys && !r->differs; i++)
		same_get(r, snap, r->h->key[i]);
	r->key = kv_slice(NULL, 0);
	if (r->differs || !has(r, KV_CAP_CURSOR) || !open_cursors(r, snap, c))
		return;
	if (has(r, KV_CAP_ORDERED)) {
		while (same_place(r, c, kv_next(c[ORACLE]), kv_next(c[TESTED])))
			;
		while (!r->differs &&
		       same_place(r, c, kv_prev(c[ORACLE]), kv_prev(c[TESTED])))
			;
	} else {
		same_set(r, snap, c);
	}
	kv_cursor_close(c[ORACLE]);
	kv_cursor_close(c[TESTED]);
}

static void do_check(struct replay *r)
{
	static struct kv_snapshot *const newest[2];
	unsigned int i;

	r->doing = "content";
	same_content(r, newest);
	for (i = 0; i < STEP_SNAPSHOTS && !r->differs; i++)
		if (r->snapshot[i][TESTED]) {
			r->doing = "content of a snapshot";
			same_content(r, r->snapshot[i]);
		}
}

/* ---- the store as a whole ---- */

static void do_verify(struct replay *r)
{
	struct kv_msg why = { "" };
	char name[CHECK_SHOW];
	int error;

	before_change(r);
	error = kv_verify(r->kv[TESTED], &why);
	r->doing = "verify";
	if (error)
		differ(r, "expected 0, came %s: %s", check_error_name(error, name),
		       why.text);
}

static void do_reopen(struct replay *r)
{
	struct kv *kv = r->kv[TESTED];

	give_back(r);
	r->kv[TESTED] = NULL;
	r->doing = "close";
	same_code(r, 0, kv_close(kv));
	r->doing = "reopen";
	if (!r->differs && open_tested(r, r->dir, &r->kv[TESTED]))
		do_check(r);
}

static void do_backup(struct replay *r)
{
	static struct kv_snapshot *const newest[2];
	struct kv *own = r->kv[TESTED], *copy = NULL;
	char dir[CHECK_PATH];

	before_change(r);
	r->doing = "backup";
	new_name(r, dir);
	if (same_code(r, 0, kv_backup(own, dir)) && open_tested(r, dir, &copy)) {
		r->kv[TESTED] = copy;
		same_content(r, newest);
		r->kv[TESTED] = own;
		r->doing = "close of the backup";
		same_code(r, 0, kv_close(copy));
	}
	if (r->t->remove_store)
		r->t->remove_store(dir);
}

static void do_step(struct replay *r, const struct step *s)
{
	r->key = kv_slice(NULL, 0);
	switch (s->type) {
	case STEP_WRITE:
		do_write(r, s);
		break;
	case STEP_GET:
		do_get(r, s);
		break;
	case STEP_MULTI_GET:
		do_multi_get(r, s);
		break;
	case STEP_SNAPSHOT:
		do_snapshot(r, s);
		break;
	case STEP_RELEASE:
		release(r, s->snapshot);
		break;
	case STEP_CURSOR:
		do_cursor(r, s);
		break;
	case STEP_SEEK:
	case STEP_NEXT:
	case STEP_PREV:
		do_moves(r, s);
		break;
	case STEP_CLOSE:
		close_cursor(r, s->cursor);
		break;
	case STEP_CHECK:
		do_check(r);
		break;
	case STEP_COMPACT:
		before_change(r);
		r->doing = "compact";
		same_code(r, 0, kv_compact(r->kv[TESTED]));
		break;
	case STEP_SYNC:
		before_change(r);
		r->doing = "sync";
		same_code(r, 0, kv_sync(r->kv[TESTED]));
		break;
	case STEP_VERIFY:
		do_verify(r);
		break;
	case STEP_REOPEN:
		do_reopen(r);
		break;
	case STEP_BACKUP:
		do_backup(r);
		break;
	}
}

static void finish(struct replay *r)
{
	unsigned int i;

	if (r->kv[TESTED] && r->kv[ORACLE])
		give_back(r);
	r->doing = "close";
	r->key = kv_slice(NULL, 0);
	same_code(r, 0, kv_close(r->kv[TESTED]));
	kv_close(r->kv[ORACLE]);
	if (r->t->remove_store)
		r->t->remove_store(r->dir);
	for (i = 0; i < STEP_EDITS; i++) {
		kv_buf_free(&r->value[ORACLE][i]);
		kv_buf_free(&r->value[TESTED][i]);
		kv_buf_free(&r->edit_value[i]);
	}
}

bool history_replay(const struct kv_target *t, const struct history *h,
		    struct history_failure *f)
{
	struct replay *r = calloc(1, sizeof(*r));
	bool differs;

	*f = (struct history_failure){ 0 };
	if (!r) {
		snprintf(f->text, sizeof(f->text),
			 "expected memory for the test, came none");
		return true;
	}
	r->t = t;
	r->h = h;
	r->f = f;
	r->doing = "open of the oracle";
	new_name(r, r->dir);
	same_code(r, 0, kv_open(&array_engine, NULL, "", NULL, &r->kv[ORACLE], NULL));
	r->doing = "open";
	if (!r->differs)
		open_tested(r, r->dir, &r->kv[TESTED]);
	for (; f->step < h->n && !r->differs; f->step += !r->differs)
		do_step(r, &h->step[f->step]);
	if (!r->differs)
		do_check(r);
	finish(r);
	differs = r->differs;
	free(r);
	return differs;
}
