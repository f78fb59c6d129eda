/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_engine.h - the hash engine: an index in memory, a log on disk.
 *
 * The log is the data and the write-ahead log at once (Bitcask, FASTER), so a value is
 * written once; the index maps a key's hash to where its newest record lies. What is
 * deleted or overwritten leaves dead bytes in the log's segments, which a task of the
 * store's own cleans in the background.
 *
 * Space. Beside the live records a store's files take at most as much as they do at
 * clean_percent p, doubled: live_bytes * 2 / (1 - p / 100) + 12 segments, at p = 50 four
 * times what lives. Cleaning begins at p percent dead; when it falls behind, writers
 * wait for it, up to a second a segment (stats: write_stalls). Not counted in are the
 * checkpoint (16 bytes a key), what snapshots that are held keep from cleaning, and p =
 * 100: no cleaning. When the disk is full, writes clean as far as a tenth is dead, then
 * give -ENOSPC; two segments are kept in reserve, so that deletes and cleaning go on.
 *
 * Positions are not used twice: after 1 PiB written in the life of a store each write gives
 * -EFBIG, and what is there can be read and copied to a new one.
 *
 * Memory. The index takes 20 bytes a key, and at most 24 at any number from 100,000 on;
 * before, at most 2 MiB. (Its leaves are of eight sizes, so that they do not all split at
 * the same time.) All else is at most 2 MiB (with leaves of the usual size), however much
 * is written. The log's pages are mapped from its files: the kernel takes them back when it
 * needs memory.
 */
#ifndef HASH_ENGINE_H
#define HASH_ENGINE_H

#include "../sprint-1-core-memory/kv_inspect.h"

extern const struct kv_ops hash_engine; /* "hash" */
/* For a store that is a cache: deletes the pairs that were written longest ago until their
 * records had so many bytes, or none is left; their space comes back at once, unless a snapshot
 * holds it. *evicted, unless NULL: the pairs. A pair that is written at the same moment may go as
 * well. Any thread that holds no cursor of the store; 0, -ENOMEM, or what a delete gave. */
int hash_evict(struct kv *kv, uint64_t bytes, uint64_t *evicted);
/* For a store that nobody has open, sound or not: hash_check.c. */
extern const struct kv_inspect_ops hash_inspect;

#endif /* HASH_ENGINE_H */
