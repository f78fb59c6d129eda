/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what a store must hold after a run, worked out without any store: the stream
 * is replayed and only who wrote each key last is kept, 4 bytes a key and thread (times
 * the fields, where updates change single ones). Values follow from that.
 *
 * Private to content.c and its tests. One thread.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "../workload/record.h"
#include "runner.h"

struct oracle;

/* -ENOMEM; -EOVERFLOW beyond 2^31 operations a thread. executed as in content_check(). */
int oracle_open(const struct run_config *c, const uint64_t *executed,
		struct oracle **out);
void oracle_close(struct oracle *o); /* NULL is allowed */

/* Keys that may be there are numbered from 0, loaded ones first. */
uint64_t oracle_keys(const struct oracle *o);
uint64_t oracle_keynum(const struct oracle *o, uint64_t i);

/* Several threads changed single fields of records: any mix of fields may be left, so
 * that values are only checked for their shape. */
bool oracle_is_vague(const struct oracle *o);

/* What may be there: *present and *absent, perhaps both. *value becomes one of the values
 * that may be there, if any; the one, with one thread. */
int oracle_expect(struct oracle *o, uint64_t i, bool *present, bool *absent,
		  struct kv_buf *value);

/* May this value stand under the i-th key? */
int oracle_accepts(struct oracle *o, uint64_t i, struct kv_slice value, bool *yes);

/* In which of the thread's operations was this value written to the i-th key? For a
 * message; searches by replay. *index is UINT64_MAX when the load wrote it. -ENOENT when
 * nobody did. */
int oracle_trace(struct oracle *o, uint64_t i, struct kv_slice value, uint32_t *thread,
		 uint64_t *index);

#endif /* ORACLE_H */
