/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_memory_internal.h - what names (env_memory.c) and bytes (env_memory_file.c) of the home
 * in memory share.
 */
#ifndef ENV_MEMORY_INTERNAL_H
#define ENV_MEMORY_INTERNAL_H

#include "env_memory.h"

struct env_memory {
	struct env base;
	struct env *below;   /* constant */
	uint64_t most_bytes; /* constant */
	uint64_t used;       /* atomic */

	struct port_mutex lock;
	struct memory_node *first; /* protected by lock: what has a name */
};

/* A piece of a file that has memory. */
struct memory_extent {
	uint64_t offset, bytes; /* multiples of MEMORY_PAGE */
	uint8_t *p;
};

enum { MEMORY_PAGE = 4096 };

/* A file or a directory. */
struct memory_node {
	/* constant */
	struct env_memory *env;
	bool directory;

	/* protected by env->lock */
	struct memory_node *next;
	char path[ENV_PATH_MAX];
	unsigned int references; /* its name, and who has it open */
	bool locked;             /* by an env_lock */

	struct port_rwlock bytes_lock;
	/* protected by bytes_lock */
	uint64_t size;
	struct memory_extent *extent; /* by offset; they do not overlap */
	size_t extents, extents_cap;
	unsigned int maps;
};

/* ---- env_memory_file.c ---- */

/* A file's handle; the caller has taken a reference for it, which close gives back. */
int memory_file_new(struct memory_node *n, unsigned int flags, struct file **out);
/* Cuts it to nothing. */
void memory_file_empty(struct memory_node *n);
/* Frees what stands in it; nobody has it open. */
void memory_file_free(struct memory_node *n);

/* ---- env_memory.c ---- */

void memory_node_put(struct memory_node *n);

#endif /* ENV_MEMORY_INTERNAL_H */
