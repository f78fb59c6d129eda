/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * mutant_write.c - the mutants' writes; see mutant_engine.h.
 */
#include "mutant_private.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

void mutant_await(const unsigned int *count, unsigned int growth)
{
	unsigned int from = port_load_acquire(count);
	time_t begun = time(NULL);

	while (port_load_acquire(count) - from < growth && time(NULL) - begun < 10)
		sched_yield();
}

static void drop_op(struct kv_op *op, size_t *n, size_t i)
{
	memmove(&op[i], &op[i + 1], (*n - i - 1) * sizeof(*op));
	--*n;
}

/* The old value's tail behind the new one, in memory that *extra keeps. */
static void keep_tail(struct mutant_kv *m, struct kv_op *op, struct kv_buf *extra)
{
	if (m->inner->ops->get(m->inner, NULL, op->key, extra) ||
	    extra->len <= op->value.len)
		return;
	if (op->value.len)
		memcpy(extra->data, op->value.data, op->value.len);
	op->value = content(extra);
}

static bool is_there(struct mutant_kv *m, struct kv_slice key, struct kv_buf *scratch)
{
	return !m->inner->ops->get(m->inner, NULL, key, scratch);
}

/* Breaks single steps; true when the step is to be dropped. */
static bool break_step(struct mutant_kv *m, struct kv_op *op, size_t n,
		       struct kv_buf *extra)
{
	if (op->type == KV_PUT) {
		if (is(CUTS_LARGE_VALUES) && op->value.len > 4096)
			op->value.len = 4096;
		if (is(LOSES_EMPTY_VALUES) && !op->value.len)
			op->type = KV_DELETE;
		if (is(KEEPS_TAIL_OF_LONGER_VALUE) && n == 1)
			keep_tail(m, op, extra);
		if (is(PUT_AFTER_DELETE_IS_LOST) && n == 1 && m->last_was_delete &&
		    !kv_compare(op->key, content(&m->last_deleted)))
			return true;
		return (is(LOSES_EMPTY_KEY) && !op->key.len) ||
		       (is(IGNORES_OVERWRITE) && is_there(m, op->key, extra));
	}
	if (op->type == KV_DELETE)
		return is(FORGETS_DELETE) || (is(FORGETS_DELETE_IN_BATCH) && n > 1);
	if (is(RANGE_EMPTY_END_IS_NO_END) && !op->value.len)
		op->value.data = NULL;
	return is(RANGE_WITHOUT_END_IS_EMPTY) && !op->value.data;
}

static void reverse(struct kv_op *op, size_t n)
{
	size_t i;

	for (i = 0; i < n / 2; i++) {
		struct kv_op swap = op[i];

		op[i] = op[n - 1 - i];
		op[n - 1 - i] = swap;
	}
}

static void ranges_last(struct kv_op *op, size_t n)
{
	size_t i, end = n;

	for (i = 0; i < end;) {
		struct kv_op range = op[i];

		if (range.type != KV_DELETE_RANGE) {
			i++;
			continue;
		}
		memmove(&op[i], &op[i + 1], (n - i - 1) * sizeof(*op));
		op[n - 1] = range;
		end--;
	}
}

static int apply(struct mutant_kv *m, struct kv_op *op, size_t n)
{
	size_t i;
	int error = 0;

	if (is(BATCH_IN_REVERSE))
		reverse(op, n);
	if (is(RANGE_COMES_LAST_IN_BATCH))
		ranges_last(op, n);
	if (is(BATCH_STOPS_HALFWAY) && n > 1)
		n -= n / 2;
	if (is(BATCH_FAILS_HALFWAY) && n > 64) {
		m->inner->ops->write(m->inner, op, n / 2, KV_NONE);
		return -ENOMEM;
	}
	if (is(BATCH_SEEN_IN_PARTS)) {
		for (i = 0; i < n && !error; i++) {
			error = m->inner->ops->write(m->inner, &op[i], 1, KV_NONE);
			if (!m->seen_in_parts && n > 1)
				mutant_await(&m->snapshots, 1);
			m->seen_in_parts |= n > 1;
		}
		return error;
	}
	return n ? m->inner->ops->write(m->inner, op, n, KV_NONE) : 0;
}

/* The last step of a write, for mutants that remember it. */
static void remember(struct mutant_kv *m, const struct kv_op *op)
{
	m->last_was_put = op->type == KV_PUT;
	m->last_was_delete = op->type == KV_DELETE;
	if (m->last_was_put)
		kv_buf_set(&m->last_put, op->key.data, op->key.len);
	if (m->last_was_delete) {
		kv_buf_set(&m->last_deleted, op->key.data, op->key.len);
		m->deletes++;
	}
}

int mutant_write(struct kv *kv, const struct kv_op *given, size_t n,
		 enum kv_durability how)
{
	struct mutant_kv *m = mutant_kv(kv);
	struct kv_op *op = calloc(n, sizeof(*op)), last;
	unsigned char *bytes, *free_bytes;
	struct kv_buf extra = { 0 };
	size_t size = 1, i, left = n;
	int error;

	if (mutant_shape == MUTANT_LOCKING && port_load_acquire(&m->cursors)) {
		free(op);
		return -EBUSY;
	}
	if (is(REFUSES_SYNC_WRITES) && how == KV_SYNC) {
		free(op);
		return -EOPNOTSUPP;
	}
	for (i = 0; i < n; i++)
		size += 2 * (given[i].key.len + given[i].value.len) + 3;
	bytes = free_bytes = malloc(size);
	if (!op || !bytes) {
		free(op);
		free(bytes);
		return -ENOMEM;
	}
	for (i = 0; i < n; i++) {
		op[i] = given[i];
		op[i].key = mutant_encode(given[i].key, free_bytes);
		free_bytes += op[i].key.len;
		if (op[i].type == KV_DELETE_RANGE && op[i].value.data) {
			op[i].value = mutant_encode(given[i].value, free_bytes);
			free_bytes += op[i].value.len;
			*free_bytes++ = 0;
			if (is(RANGE_INCLUDES_END)) /* nothing lies before end and a NUL */
				op[i].value.len++;
		}
	}
	last = op[n - 1];
	port_mutex_lock(&m->lock);
	if (is(DELETE_OF_ABSENT_FAILS) && n == 1 && op[0].type == KV_DELETE &&
	    !is_there(m, op[0].key, &extra)) {
		error = -ENOENT;
		goto out;
	}
	for (i = 0; i < left;) {
		if (break_step(m, &op[i], n, &extra))
			drop_op(op, &left, i);
		else
			i++;
	}
	error = apply(m, op, left);
	remember(m, &last);
	port_fetch_add(&m->writes, 1u);
	if (is(KEEPS_POINTERS) && given[0].type == KV_PUT && given[0].key.len > 8 &&
	    !memcmp(given[0].key.data, "borrowed ", 9))
		m->kept = given[0];
out:
	port_mutex_unlock(&m->lock);
	kv_buf_free(&extra);
	free(bytes);
	free(op);
	return error;
}
