/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_cache.h - a hash store in memory that gives memory back when the system wants it.
 */
#ifndef HASH_CACHE_H
#define HASH_CACHE_H

struct hash_cache;
struct kv;
struct storage_home;

/* The store and its home outlive it. -ENOMEM. */
int hash_cache_start(struct kv *kv, const struct storage_home *home,
		     struct hash_cache **out);
void hash_cache_stop(struct hash_cache *c); /* NULL is allowed */

#endif /* HASH_CACHE_H */
