/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_engine.h - the B+tree engine: ordered, durable, one writer and readers that never
 * wait.
 *
 * Pages are changed in memory; what was done since the last checkpoint is in the log, so a
 * durable write costs one sequential write and one sync. A checkpoint writes the changed
 * pages to places that are free and then one superblock (copy on write), so a crash finds
 * the last checkpoint whole, and replays the log behind it.
 */
#ifndef BTREE_ENGINE_H
#define BTREE_ENGINE_H

#include "../sprint-1-core-memory/kv_inspect.h"

extern const struct kv_ops btree_engine; /* "btree" */
/* For a store that nobody has open, sound or not: btree_files_check.c. */
extern const struct kv_inspect_ops btree_inspect;

/* The calls below are the engine's own: kv was opened by it. */

/* About how many pairs are in [from, to): exact where the range is small; to.data NULL: to
 * the end. Reads one path a bound. */
int btree_count_estimate(struct kv *kv, struct kv_slice from, struct kv_slice to,
			 uint64_t *out);

/* Loads pairs in ascending order of keys into an empty store: packed nodes, no log, durable
 * when it returns 0; after an error the store is empty. next gives the pairs: 0, -ENOENT at
 * the end, or an error that ends the load; what it gives is borrowed until it is called
 * again. -EINVAL: a key not above the one before, or the store is not empty. fill_percent:
 * of each node, 50..100. Other writers, and who takes a snapshot, wait until it is done; next
 * must not call the store. */
typedef int btree_next_fn(void *arg, struct kv_slice *key, struct kv_slice *value);
int btree_bulk_load(struct kv *kv, unsigned int fill_percent, btree_next_fn *next,
		    void *arg);

/* Prints the tree, a line or so at a time, without its end of line. */
typedef void btree_print_fn(void *arg, const char *line);
enum btree_dump_style {
	BTREE_DUMP_TEXT,
	BTREE_DUMP_DOT, /* for Graphviz: nodes with their separators and keys */
};
int btree_dump(struct kv *kv, enum btree_dump_style style, unsigned int max_keys_shown,
	       btree_print_fn *print, void *arg);

#endif /* BTREE_ENGINE_H */
