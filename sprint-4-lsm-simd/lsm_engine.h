/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_engine.h - the LSM engine: a log-structured merge-tree, ordered, durable, for writing.
 *
 * Writes go to a log and into a sorted table in memory; when that is full it is written out as
 * a file that nothing changes any more, and files are merged in the background (O'Neil et al.,
 * "The Log-Structured Merge-Tree", 1996; LevelDB; RocksDB). lsm_store.h is the map of its files.
 */
#ifndef LSM_ENGINE_H
#define LSM_ENGINE_H

#include "../sprint-1-core-memory/kv_inspect.h"

extern const struct kv_ops lsm_engine; /* "lsm" */
extern const struct kv_inspect_ops lsm_inspect;

/* The calls below are the engine's own: kv was opened by it. */

/* Compacts what lies in [begin, end) into the last level that it reaches; end.data NULL: to
 * the end. Waits until it is done. */
int lsm_compact_range(struct kv *kv, struct kv_slice begin, struct kv_slice end);

#endif /* LSM_ENGINE_H */
