/* SPDX-License-Identifier: MIT */
/*
 * peer_common.h - what every adapter of a library (peer_*.c) needs: the options that all
 * of them take, one owner per directory, a pool of per-thread handles, errors.
 */
#ifndef PEER_COMMON_H
#define PEER_COMMON_H

#include "../sprint-1-core-memory/kv.h"

/*
 * Every peer's option list begins with these three, in this order.
 *
 * durability is the level that the whole run will use. It lets a library be opened in the
 * fastest mode that is legal at that level. A write may still ask for more, and gets it;
 * see docs/PEERS.md for what that costs each library.
 */
enum peer_option { PEER_MEMORY_BYTES, PEER_GROUP_MS, PEER_DURABILITY, PEER_OPTIONS };

/* clang-format off */
#define PEER_OPTION_LIST                                                                   \
	{ "memory_bytes", "what caches and write buffers may take together", NULL,         \
	  256u << 20, 1u << 20, (uint64_t)1 << 42 },                                       \
	{ "group_ms", "how long a write of level group may stay volatile", NULL,           \
	  100, 1, 3600000 },                                                               \
	{ "durability", "the level that writes will ask for", "none|group|sync",           \
	  KV_SYNC, 0, 0 }
/* clang-format on */

/*
 * Makes dir unless it is there (not its parents) and takes the lock file in it, which
 * keeps other processes and a second open in this one out: -EBUSY. *lock_fd is for
 * peer_dir_close(). Says what went wrong in why.
 */
int peer_dir_open(const char *dir, int *lock_fd, struct kv_msg *why);
void peer_dir_close(int lock_fd);

/* "dir/name" into out of PATH_MAX bytes; -ENAMETOOLONG. */
int peer_path(char *out, const char *dir, const char *name);

/* Opens path (a file or a directory), fdatasync()s and closes it. */
int peer_sync_path(const char *path);

/* Copies a file's bytes to a new file and syncs it. */
int peer_copy_file(const char *from, const char *to);

/* The errno that belongs to the text of a RocksDB or LevelDB status. */
int peer_status_error(const char *status);

/* The version of the shared library that holds symbol, from its file's name
 * ("librocksdb.so.7.8.3" is "7.8.3"); "unknown" where that can't be told. */
const char *peer_library_version(const char *symbol, char *out, size_t cap);

/*
 * A pool of handles that a library wants one thread at a time to use: connections,
 * sessions, read transactions. A thread comes back to the slot it used last, so that
 * it finds a warm handle, and no two threads share a cache line while there are fewer
 * threads than slots. Lock-free: a slot holds a pointer or NULL, and is only exchanged.
 */
enum { PEER_POOL_SLOTS = 64, PEER_ALIGN = 64 };

struct peer_pool { /* what holds one comes from port_alloc_aligned(PEER_ALIGN, ...) */
	struct {
		void *handle; /* atomic */
		char pad[PEER_ALIGN - sizeof(void *)];
	} slot[PEER_POOL_SLOTS] __attribute__((aligned(PEER_ALIGN)));
};

void *peer_pool_take(struct peer_pool *p); /* NULL: the pool is empty, make one */
/* False: the pool is full, and the handle still the caller's, to be closed. */
bool peer_pool_give(struct peer_pool *p, void *handle);

#endif /* PEER_COMMON_H */
