/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_arena.h - a memtable's memory: only ever added to, and freed at once.
 *
 * Memory comes in chunks that are kept when a memtable goes and used by the next one (struct
 * lsm_memory, see lsm_memtable.h): fresh memory has to be mapped page by page as it is first
 * written to, which costs a writer more than the write itself. For the same reason a new
 * chunk is written to before it is handed out.
 *
 * Threads: lsm_memory: all. lsm_arena_reserve() and lsm_arena_return(): all, without a lock but
 * where a chunk ends; the rest of the arena's: its owner alone.
 */
#ifndef LSM_ARENA_H
#define LSM_ARENA_H

#include "lsm_memtable.h"

struct lsm_chunk {
	struct lsm_chunk *next;
	size_t bytes;  /* behind this header */
	uint64_t used; /* atomic; beyond bytes when somebody found no room */
};

enum { LSM_CHUNK_HEADER = 64 };

static inline char *lsm_chunk_memory(struct lsm_chunk *c)
{
	return (char *)c + LSM_CHUNK_HEADER;
}

/* A chunk of at least so many bytes, 0 for an ordinary one. NULL: no memory. What stands in
 * it is anything. */
struct lsm_chunk *lsm_memory_take(struct lsm_memory *m, size_t bytes);
void lsm_memory_give(struct lsm_memory *m, struct lsm_chunk *c);

struct lsm_arena {
	/* constant */
	struct lsm_memory *memory;
	/* atomic */
	struct lsm_chunk *current; /* the newest in `taken`, of the ordinary ones */
	uint64_t closed_bytes;     /* in the other ones */
	/* protected by lock */
	struct port_mutex lock;
	struct lsm_chunk *taken, *ready; /* in use; to be used next */
};

void lsm_arena_init(struct lsm_arena *a, struct lsm_memory *m);
void lsm_arena_free(struct lsm_arena *a);
/* Takes chunks for so many bytes beforehand. -ENOMEM. */
int lsm_arena_prepare(struct lsm_arena *a, size_t bytes);
/* bytes, a multiple of 8, at a multiple of 8. -ENOMEM. */
int lsm_arena_reserve(struct lsm_arena *a, size_t bytes, char **out);
/* [from, end) is not needed: the end of what was reserved. It is used again unless another
 * thread has reserved since; of what is large only if it is all that was reserved. */
void lsm_arena_return(struct lsm_arena *a, const char *from, const char *end);
uint64_t lsm_arena_bytes(const struct lsm_arena *a); /* used */

#endif /* LSM_ARENA_H */
