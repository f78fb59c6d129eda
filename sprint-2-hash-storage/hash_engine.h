/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_engine.h - the hash engine: an index in memory, a log on disk.
 *
 * The log is the data and the write-ahead log at once (Bitcask, FASTER), so a value is
 * written once; the index maps a key's hash to where its newest record lies. What is
 * deleted or overwritten leaves dead bytes in the log's segments, which a task of the
 * store's own cleans in the background.
 */
#ifndef HASH_ENGINE_H
#define HASH_ENGINE_H

#include "../sprint-1-core-memory/kv.h"

extern const struct kv_ops hash_engine; /* "hash" */

#endif /* HASH_ENGINE_H */
