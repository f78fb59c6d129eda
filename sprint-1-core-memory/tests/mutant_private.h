/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * mutant_private.h - what mutant_engine.c, mutant_write.c and mutant_cursor.c share.
 */
#ifndef MUTANT_PRIVATE_H
#define MUTANT_PRIVATE_H

#include "mutant_engine.h"

/* A store between close and open; its array lives as long as it does. */
struct mutant_store {
	struct mutant_store *next;
	char *dir;
	struct kv *inner;
	bool owns; /* inner; else it is another store's */
	unsigned int handles, opened;
};

struct mutant_kv {
	struct kv base;
	struct mutant_store *store; /* constant after open */
	struct kv *inner;           /* constant after open */

	unsigned int released, compacted, cursors, snapshots, writes; /* atomic */

	struct port_mutex lock; /* of writers; protects the rest */
	struct kv_buf last_put, last_deleted;
	bool last_was_put, last_was_delete;
	unsigned int deletes;
	struct kv_op kept;  /* KEEPS_POINTERS */
	bool seen_in_parts; /* BATCH_SEEN_IN_PARTS: a reader came in between */
};

/* Ours; its inner is the array's, which this file never looks into. */
struct kv_snapshot {
	struct kv_snapshot *inner;
	unsigned int released, compacted; /* the store's counts when it was taken */
};

extern enum mutant mutant_now;
extern enum mutant_shape mutant_shape;

static inline bool is(enum mutant mutant)
{
	return mutant_now == mutant;
}

static inline struct mutant_kv *mutant_kv(struct kv *kv)
{
	return container_of(kv, struct mutant_kv, base);
}

static inline struct kv_slice content(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

/* What stands for key in the array, whose order is the engine's: up to MUTANT_ENCODED_MAX
 * bytes into out. */
enum { MUTANT_ENCODED_MAX = 2 * KV_KEY_MAX + 2 };
struct kv_slice mutant_encode(struct kv_slice key, unsigned char *out);
int mutant_decode(struct kv_slice key, struct kv_buf *out);

/* The array's snapshot to read for snap; NULL for its newest state. */
struct kv_snapshot *mutant_view(struct mutant_kv *m, const struct kv_snapshot *snap);

/* Members of the table. */
int mutant_write(struct kv *kv, const struct kv_op *given, size_t n,
		 enum kv_durability how);
int mutant_cursor_open(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out);

/* One step on the array itself. */
static inline int inner_write(struct mutant_kv *m, enum kv_op_type type,
			      struct kv_slice key, struct kv_slice value)
{
	struct kv_op op = { type, key, value };

	return m->inner->ops->write(m->inner, &op, 1, KV_NONE);
}

/* Waits until the atomic count has grown by this much: a mutant that shows only between two
 * steps of another thread waits for them. Gives up when none comes for ten seconds. */
void mutant_await(const unsigned int *count, unsigned int growth);

/* Puts everything into to, by cursors, while others may write. */
int mutant_copy(struct mutant_kv *m, struct kv *to);

#endif /* MUTANT_PRIVATE_H */
