/* SPDX-License-Identifier: MIT */
/*
 * oracle.c - see oracle.h.
 *
 * A thread's table has a row a key. In it stands, a column for the whole record or one
 * for each field, a mark: 0 if the thread never wrote there, else the index + 1 of its
 * last operation that did, with the highest bit set where that was a delete.
 *
 * Keynums below record_count can be written by every thread. Those above are inserts,
 * dealt out to threads in turn, and only the thread that inserted one ever writes it
 * again; so they take a row in that thread's table alone.
 */
#include "oracle.h"

#include "../workload/stream.h"
#include "worker.h"

#include <assert.h>

#define DELETED   0x80000000u
#define INDEX_MAX 0x7ffffffeu

struct table {
	uint32_t *mark;
	uint64_t rows, cap; /* rows in use: record_count and what was inserted */
	uint64_t executed;
};

struct oracle {
	/* constant after open */
	const struct run_config *c;
	const struct workload *w;
	uint32_t threads, columns;
	bool vague;
	struct table *table; /* a thread each */

	uint64_t *version;       /* scratch: of one record's fields */
	struct kv_buf candidate; /* scratch */
};

/* ---- keys ---- */

static bool is_loaded(const struct oracle *o, uint64_t keynum)
{
	return keynum >= o->w->insert_start &&
	       keynum - o->w->insert_start < o->w->insert_count;
}

static uint64_t inserted(const struct oracle *o, uint32_t thread)
{
	return o->table[thread].rows - o->w->record_count;
}

/* The thread's row of a key; NULL when it can't have written it. */
static uint32_t *row_of(const struct oracle *o, uint32_t thread, uint64_t keynum)
{
	uint64_t base = o->w->record_count, row = keynum;

	if (keynum >= base) {
		if ((keynum - base) % o->threads != thread)
			return NULL;
		row = base + (keynum - base) / o->threads;
		if (row >= o->table[thread].rows)
			return NULL;
	}
	return &o->table[thread].mark[row * o->columns];
}

uint64_t oracle_keys(const struct oracle *o)
{
	uint64_t n = o->w->record_count;
	uint32_t t;

	for (t = 0; t < o->threads; t++)
		n += inserted(o, t);
	return n;
}

uint64_t oracle_keynum(const struct oracle *o, uint64_t i)
{
	uint64_t base = o->w->record_count;
	uint32_t t = 0;

	if (i < base)
		return i;
	for (i -= base; i >= inserted(o, t); t++)
		i -= inserted(o, t);
	return base + t + i * o->threads;
}

bool oracle_is_vague(const struct oracle *o)
{
	return o->vague;
}

/* ---- replay ---- */

static bool op_writes(const struct op *op)
{
	return op->kind == OP_UPDATE || op->kind == OP_INSERT || op->kind == OP_DELETE ||
	       op->kind == OP_READ_MODIFY_WRITE;
}

static bool op_merges(const struct op *op)
{
	return op->kind == OP_UPDATE || op->kind == OP_READ_MODIFY_WRITE;
}

/* A table with room for one more row; new rows are zero. */
static int table_grow(struct table *t, uint32_t columns)
{
	uint64_t cap = t->rows + t->rows / 2 + 1024;
	uint32_t *grown;

	if (t->rows < t->cap)
		return 0;
	grown = realloc(t->mark, cap * columns * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + t->cap * columns, 0, (cap - t->cap) * columns * sizeof(*grown));
	t->mark = grown;
	t->cap = cap;
	return 0;
}

static void mark(struct oracle *o, uint32_t thread, const struct op *op, uint64_t index)
{
	uint32_t *row = row_of(o, thread, op->keynum);
	uint32_t m = (uint32_t)index + 1, i;
	bool absent;

	assert(row); /* a thread's stream writes below record_count or what it inserted */
	absent = row[0] & DELETED || (!row[0] && !is_loaded(o, op->keynum));
	if (op->kind == OP_DELETE)
		m |= DELETED;
	/* An update of what is not there writes the whole record. */
	if (o->columns > 1 && op_merges(op) && !absent) {
		row[op->field] = m;
		return;
	}
	for (i = 0; i < o->columns; i++)
		row[i] = m;
}

static int replay(struct oracle *o, uint32_t thread, uint64_t executed)
{
	struct table *t = &o->table[thread];
	struct stream *s;
	struct op op;
	uint64_t i;
	int error;

	if (executed > INDEX_MAX)
		return -EOVERFLOW;
	t->mark = calloc(o->w->record_count * o->columns + 1, sizeof(*t->mark));
	if (!t->mark)
		return -ENOMEM;
	t->rows = t->cap = o->w->record_count;
	t->executed = executed;
	error = stream_open(o->w, o->w->seed, thread, o->threads, &s);
	if (error)
		return error;
	for (i = 0; !error && i < executed; i++) {
		stream_next(s, &op);
		if (op.kind == OP_INSERT) {
			error = table_grow(t, o->columns);
			t->rows += !error;
		}
		if (!error && op_writes(&op))
			mark(o, thread, &op, i);
	}
	stream_close(s);
	return error;
}

int oracle_open(const struct run_config *c, const uint64_t *executed, struct oracle **out)
{
	const struct workload *w = &c->workload;
	/* Values that can be checked are the same in every version: nothing to tell apart. */
	bool merges = update_merges(w) && !w->data_integrity;
	struct oracle *o = calloc(1, sizeof(*o));
	uint32_t t;
	int error = 0;

	if (!o)
		return -ENOMEM;
	o->c = c;
	o->w = w;
	o->threads = c->threads;
	o->vague = merges && c->threads > 1;
	o->columns = merges && c->threads == 1 ? w->field_count : 1;
	o->table = calloc(c->threads, sizeof(*o->table));
	o->version = calloc(w->field_count, sizeof(*o->version));
	if (!o->table || !o->version)
		error = -ENOMEM;
	for (t = 0; !error && t < c->threads; t++)
		error = replay(o, t, executed[t]);
	if (error)
		oracle_close(o);
	else
		*out = o;
	return error;
}

void oracle_close(struct oracle *o)
{
	uint32_t t;

	if (!o)
		return;
	for (t = 0; o->table && t < o->threads; t++)
		free(o->table[t].mark);
	free(o->table);
	free(o->version);
	kv_buf_free(&o->candidate);
	free(o);
}

/* ---- what may be there ---- */

static bool row_is_touched(const struct oracle *o, const uint32_t *row)
{
	uint32_t i;

	for (i = 0; row && i < o->columns; i++)
		if (row[i])
			return true;
	return false;
}

/* The value that a thread's marks stand for; row NULL is the load's. */
static int make_value(struct oracle *o, uint64_t keynum, uint32_t thread,
		      const uint32_t *row, struct kv_buf *value)
{
	uint32_t i;

	if (o->columns == 1)
		return record_value(o->w, keynum,
				    row ? write_version(thread, row[0] - 1) : 0, value);
	for (i = 0; i < o->columns; i++)
		o->version[i] = row && row[i] ? write_version(thread, row[i] - 1) : 0;
	return record_value_of_versions(o->w, keynum, o->version, value);
}

int oracle_expect(struct oracle *o, uint64_t i, bool *present, bool *absent,
		  struct kv_buf *value)
{
	uint64_t keynum = oracle_keynum(o, i);
	uint32_t t;
	int error = 0;

	*present = *absent = false;
	for (t = 0; !error && t < o->threads; t++) {
		const uint32_t *row = row_of(o, t, keynum);

		if (!row_is_touched(o, row))
			continue;
		if (row[0] & DELETED) {
			*absent = true;
		} else if (!*present) {
			*present = true;
			error = make_value(o, keynum, t, row, value);
		}
	}
	if (error || *present || *absent)
		return error;
	*present = is_loaded(o, keynum);
	*absent = !*present;
	return *present ? make_value(o, keynum, 0, NULL, value) : 0;
}

static bool same(const struct kv_buf *a, struct kv_slice b)
{
	return a->len == b.len && (!b.len || !memcmp(a->data, b.data, b.len));
}

/* The right number of fields, each of a length that it may have, and nothing behind. */
static bool has_shape(const struct workload *w, struct kv_slice value)
{
	const uint8_t *p = value.data;
	uint32_t least = w->field_length_distribution == LENGTH_CONSTANT
				 ? w->field_length
				 : w->min_field_length,
		 field;
	size_t left = value.len;

	for (field = 0; field < w->field_count; field++) {
		uint32_t len;

		if (left < 4)
			return false;
		len = port_get_le32(p);
		if (len < least || len > w->field_length || len > left - 4)
			return false;
		p += 4 + (size_t)len;
		left -= 4 + (size_t)len;
	}
	return left == 0;
}

int oracle_accepts(struct oracle *o, uint64_t i, struct kv_slice value, bool *yes)
{
	uint64_t keynum = oracle_keynum(o, i);
	bool written = false;
	uint32_t t;
	int error = 0;

	*yes = false;
	for (t = 0; !error && !*yes && t < o->threads; t++) {
		const uint32_t *row = row_of(o, t, keynum);

		if (!row_is_touched(o, row))
			continue;
		written = true;
		if (row[0] & DELETED)
			continue;
		if (o->vague) {
			*yes = has_shape(o->w, value);
			continue;
		}
		error = make_value(o, keynum, t, row, &o->candidate);
		*yes = !error && same(&o->candidate, value);
	}
	if (error || written || !is_loaded(o, keynum))
		return error;
	error = make_value(o, keynum, 0, NULL, &o->candidate);
	*yes = !error && same(&o->candidate, value);
	return error;
}

/* ---- where a wrong value comes from ---- */

static int trace_thread(struct oracle *o, uint32_t thread, uint64_t keynum,
			struct kv_slice value, uint64_t *index)
{
	struct stream *s;
	struct op op;
	uint64_t i;
	int error = stream_open(o->w, o->w->seed, thread, o->threads, &s);
	bool found = false;

	if (error)
		return error;
	for (i = 0; !error && !found && i < o->table[thread].executed; i++) {
		stream_next(s, &op);
		if (op.keynum != keynum || !op_writes(&op) || op.kind == OP_DELETE)
			continue;
		error = record_value(o->w, keynum, write_version(thread, i),
				     &o->candidate);
		found = !error && same(&o->candidate, value);
		*index = i;
	}
	stream_close(s);
	return error ? error : found ? 0 : -ENOENT;
}

int oracle_trace(struct oracle *o, uint64_t i, struct kv_slice value, uint32_t *thread,
		 uint64_t *index)
{
	uint64_t keynum = oracle_keynum(o, i);
	int error = record_value(o->w, keynum, 0, &o->candidate);

	*index = UINT64_MAX;
	*thread = 0;
	if (error || same(&o->candidate, value))
		return error;
	if (o->vague || o->columns > 1)
		return -ENOENT;
	for (error = -ENOENT; error == -ENOENT && *thread < o->threads; (*thread)++)
		error = trace_thread(o, *thread, keynum, value, index);
	*thread -= !error;
	return error;
}
