/* SPDX-License-Identifier: MIT */
/*
 * content.c - see content.h.
 *
 * last[t][k] is the index + 1 of thread t's last write of key k, 0 if it wrote none, with
 * the highest bit set where that was a delete. Keys are numbered as keynums are; keynums
 * of one load and its inserts lie side by side. Where updates change one field of several,
 * and one thread runs, there is such a number for each field.
 */
#include "content.h"

#include "worker.h"

#define DELETED 0x80000000u

struct plan {
	struct kv *kv;
	const struct run_config *c;
	const struct workload *w;
	uint64_t keys;    /* keynums 0..keys-1 may be there */
	uint32_t columns; /* fields that are told apart: 1 or field_count */
	uint32_t **last;  /* a table of keys * columns a thread */
	struct kv_buf expected, found;
	uint64_t *versions; /* of one record's fields */
	char key[RECORD_KEY_MAX];
};

static bool loaded(const struct plan *p, uint64_t keynum)
{
	return keynum >= p->w->insert_start &&
	       keynum - p->w->insert_start < p->w->insert_count;
}

/* ---- replay ---- */

static void note_write(struct plan *p, uint32_t thread, const struct op *op,
		       uint64_t index)
{
	uint32_t *row = &p->last[thread][op->keynum * p->columns];
	uint32_t mark = (uint32_t)index + 1, i;
	bool absent = row[0] & DELETED || (!row[0] && !loaded(p, op->keynum));

	if (op->kind == OP_DELETE)
		mark |= DELETED;
	/* A change of one field of a record that is not there writes the whole record. */
	if (p->columns > 1 &&
	    (op->kind == OP_UPDATE || op->kind == OP_READ_MODIFY_WRITE) && !absent) {
		row[op->field] = mark;
		return;
	}
	for (i = 0; i < p->columns; i++)
		row[i] = mark;
}

static int replay(struct plan *p, uint32_t thread, uint64_t executed)
{
	struct stream *s;
	struct op op;
	uint64_t i;
	int error = stream_open(p->w, p->w->seed, thread, p->c->threads, &s);

	if (error)
		return error;
	for (i = 0; i < executed; i++) {
		stream_next(s, &op);
		if (op.kind == OP_UPDATE || op.kind == OP_INSERT ||
		    op.kind == OP_DELETE || op.kind == OP_READ_MODIFY_WRITE)
			note_write(p, thread, &op, i);
	}
	stream_close(s);
	return 0;
}

/* ---- one key ---- */

static int make_value(struct plan *p, uint64_t keynum, uint32_t thread,
		      const uint32_t *row)
{
	uint32_t i;

	for (i = 0; i < p->w->field_count; i++) {
		uint32_t mark = row ? row[p->columns > 1 ? i : 0] : 0;

		p->versions[i] = mark ? write_version(thread, mark - 1) : 0;
	}
	return record_value_of_versions(p->w, keynum, p->versions, &p->expected);
}

static bool same(const struct kv_buf *a, const struct kv_buf *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

/* Is what was found (nothing, if absent) one of those that may be? *value is set to the
 * first that is a value. */
static int plausible(struct plan *p, uint64_t keynum, bool absent, bool *fits)
{
	bool written = false;
	uint32_t t;
	int error = 0;

	*fits = false;
	for (t = 0; !error && !*fits && t < p->c->threads; t++) {
		const uint32_t *row = &p->last[t][keynum * p->columns];

		if (!row[0] && p->columns == 1)
			continue;
		written = true;
		if (row[0] & DELETED) {
			*fits = absent;
		} else if (!absent) {
			error = make_value(p, keynum, t, row);
			*fits = same(&p->expected, &p->found);
		}
	}
	if (error || written)
		return error;
	if (absent || !loaded(p, keynum)) {
		*fits = absent == !loaded(p, keynum);
		return 0;
	}
	error = make_value(p, keynum, 0, NULL);
	*fits = same(&p->expected, &p->found);
	return error;
}

/* ---- verdicts ---- */

static void note_difference(struct plan *p, uint64_t keynum, bool absent,
			    struct run_result *out)
{
	size_t n = record_key(p->w, keynum, p->key);

	if (out->content == CONTENT_DIFFERENT)
		return; /* the first is enough */
	out->content = CONTENT_DIFFERENT;
	(void)snprintf(out->content_note, sizeof(out->content_note),
		       absent ? "key %.*s (keynum %llu) is missing or should not be there"
			      : "key %.*s (keynum %llu) holds an older or foreign value",
		       (int)n, p->key, (unsigned long long)keynum);
}

/* What one thread must have left: its digest is known without the store. */
static int expect_exact(struct plan *p, struct run_result *out)
{
	uint64_t k;
	int error = 0;

	for (k = 0; !error && k < p->keys; k++) {
		const uint32_t *row = &p->last[0][k * p->columns];
		struct kv_slice key;
		bool touched = row[0] || p->columns > 1;

		if (row[0] & DELETED || (!row[0] && !loaded(p, k)))
			continue;
		error = make_value(p, k, 0, touched ? row : NULL);
		if (error)
			break;
		key = kv_slice(p->key, record_key(p->w, k, p->key));
		out->content_expected +=
			record_digest(key, kv_slice(p->expected.data, p->expected.len));
		out->live_bytes += key.len + p->expected.len;
	}
	return error;
}

static int get_key(struct plan *p, uint64_t keynum, bool *absent)
{
	int error = kv_get(p->kv, kv_slice(p->key, record_key(p->w, keynum, p->key)),
			   &p->found);

	*absent = error == -ENOENT;
	return *absent ? 0 : error;
}

/* Each key that may be there is asked for. */
static int check_each(struct plan *p, struct run_result *out, uint64_t *present)
{
	uint64_t k;
	int error = 0;

	*present = 0;
	for (k = 0; !error && k < p->keys; k++) {
		bool absent, fits;

		error = get_key(p, k, &absent);
		if (!error)
			error = plausible(p, k, absent, &fits);
		if (error)
			break;
		*present += !absent;
		if (!fits)
			note_difference(p, k, absent, out);
		if (!absent && p->c->threads > 1) {
			struct kv_slice key =
				kv_slice(p->key, record_key(p->w, k, p->key));

			out->content_expected +=
				record_digest(key, kv_slice(p->found.data, p->found.len));
			out->live_bytes += key.len + p->found.len;
		}
	}
	return error;
}

/* Everything that the store says it holds. */
static int digest_store(struct kv *kv, struct run_result *out)
{
	struct kv_cursor *c;
	int error = kv_cursor(kv, NULL, &c);

	if (error)
		return error;
	while (!(error = kv_next(c))) {
		out->content_digest += record_digest(c->key, c->value);
		out->content_records++;
	}
	kv_cursor_close(c);
	return error == -ENOENT ? 0 : error;
}

static int judge(struct plan *p, struct run_result *out)
{
	bool one = p->c->threads == 1, walked = true;
	uint64_t present;
	int error = digest_store(p->kv, out);

	if (error == -EOPNOTSUPP) {
		error = 0;
		walked = false; /* no cursor: each key is asked for instead */
	}
	if (!error && one)
		error = expect_exact(p, out);
	if (error)
		return error;
	out->content = one ? CONTENT_EQUAL : CONTENT_PLAUSIBLE;
	if (one && walked && out->content_digest == out->content_expected)
		return 0;
	error = check_each(p, out, &present);
	if (error)
		return error;
	if (!walked)
		(void)snprintf(out->content_note, sizeof(out->content_note),
			       "no cursor: each key was asked for");
	if (walked && out->content != CONTENT_DIFFERENT &&
	    (out->content_records != present ||
	     out->content_digest != out->content_expected)) {
		out->content = CONTENT_DIFFERENT;
		(void)snprintf(out->content_note, sizeof(out->content_note),
			       "a cursor finds %llu records, gets find %llu",
			       (unsigned long long)out->content_records,
			       (unsigned long long)present);
	}
	if (!walked)
		out->content_records = present;
	return 0;
}

static uint64_t count_keys(const struct run_config *c, const uint64_t *executed)
{
	uint64_t most = 0;
	uint32_t t;

	if (c->workload.proportion[OP_INSERT] <= 0)
		return c->workload.record_count;
	for (t = 0; t < c->threads; t++)
		if (most < executed[t])
			most = executed[t];
	/* Not every operation inserts, but none inserts more than one. */
	return c->workload.record_count + most * c->threads;
}

static void unchecked(struct run_result *out, const char *note)
{
	out->content = CONTENT_UNCHECKED;
	(void)snprintf(out->content_note, sizeof(out->content_note), "%s", note);
}

int content_check(struct kv *kv, const struct run_config *c, const uint64_t *executed,
		  struct run_result *out)
{
	struct plan p = { .kv = kv, .c = c, .w = &c->workload, .columns = 1 };
	bool merges = update_merges(&c->workload);
	uint32_t t;
	int error = 0;

	if (c->engine->kind == ENGINE_NULL) {
		unchecked(out, "the null engine holds nothing");
		return 0;
	}
	if (merges && c->threads > 1) {
		unchecked(out, "threads that change single fields of one record race");
		return 0;
	}
	for (t = 0; t < c->threads; t++)
		if (executed[t] >= DELETED) {
			unchecked(out, "over 2^31 operations a thread");
			return 0;
		}
	p.columns = merges ? p.w->field_count : 1;
	p.keys = count_keys(c, executed);
	p.versions = calloc(p.w->field_count, sizeof(*p.versions));
	p.last = calloc(c->threads, sizeof(*p.last));
	if (!p.versions || !p.last)
		error = -ENOMEM;
	for (t = 0; !error && t < c->threads; t++) {
		p.last[t] = calloc(p.keys * p.columns, sizeof(**p.last));
		error = p.last[t] ? replay(&p, t, executed[t]) : -ENOMEM;
	}
	if (!error)
		error = judge(&p, out);
	for (t = 0; p.last && t < c->threads; t++)
		free(p.last[t]);
	free(p.last);
	free(p.versions);
	kv_buf_free(&p.expected);
	kv_buf_free(&p.found);
	return error;
}
