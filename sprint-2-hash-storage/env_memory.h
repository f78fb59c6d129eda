/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_memory.h - files that are memory only, with a hard limit.
 *
 * A home of env.h for stores that need not outlive who has them open: the kernel's modules
 * without a directory, and tests. The engine above it is the same one, and what it writes
 * stands in memory once; maps are that memory itself. Time, tasks and waiting are another
 * home's.
 *
 * Paths are taken as they are written: "a/b" and "a//b" are two names. A directory must be
 * made before anything in it; "." and "/" are there. Nothing outlives env_memory_free(), and
 * a sync does nothing, so that there is no durability whatever an engine says of its own.
 */
#ifndef ENV_MEMORY_H
#define ENV_MEMORY_H

#include "env.h"

/* Files that take at most so many bytes together; what needs more gets -ENOSPC. below is
 * the home that has the time and the tasks, and must outlive this one. -ENOMEM. */
int env_memory_new(struct env *below, uint64_t most_bytes, struct env **out);
/* No file may be open, no task running. NULL is allowed. */
void env_memory_free(struct env *env);
/* Bytes that its files take. Any thread. */
uint64_t env_memory_used(struct env *env);

#endif /* ENV_MEMORY_H */
