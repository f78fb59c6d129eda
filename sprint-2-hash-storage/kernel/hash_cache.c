// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * hash_cache.c - see hash_cache.h: a shrinker in front of hash_evict().
 *
 * The kernel asks from within an allocation, and that may be one of the store's own, made
 * under its locks. So a worker evicts, and who asks waits for it a moment: where the worker
 * needs a lock that the waiting thread has, the moment ends in vain, and the kernel looks for
 * memory elsewhere.
 */
#include <linux/module.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../hash_engine.h"
#include "hash_cache.h"
#include "storage_home.h"

/* What a store needs to work: a few segments that are written to or kept for a full disk. */
enum { FLOOR_BYTES = 16 << 20 };

enum { STEP_BYTES = 1 << 20, PATIENCE_MS = 50 };

struct hash_cache {
	struct kv *kv;
	const struct storage_home *home;
	struct workqueue_struct *queue;
	struct work_struct work;
	atomic_long_t wanted;   /* bytes */
	wait_queue_head_t gone; /* some of them */
	struct shrinker *shrinker;
	struct shrinker own; /* where the caller has its memory */
};

static void evict(struct work_struct *work)
{
	struct hash_cache *c = container_of(work, struct hash_cache, work);
	long left = atomic_long_xchg(&c->wanted, 0);
	uint64_t pairs = 1;
	int error = 0;

	for (; left > 0 && !error && pairs; left -= STEP_BYTES) {
		error = hash_evict(c->kv, STEP_BYTES, &pairs);
		wake_up_all(&c->gone);
	}
}

static struct hash_cache *cache_of(struct shrinker *s);

static unsigned long spare_bytes(const struct hash_cache *c)
{
	unsigned long used = storage_home_used(c->home);

	return used > FLOOR_BYTES ? used - FLOOR_BYTES : 0;
}

static unsigned long count_pages(struct shrinker *s, struct shrink_control *control)
{
	unsigned long pages = spare_bytes(cache_of(s)) >> PAGE_SHIFT;

	(void)control;
	return pages ? pages : SHRINK_EMPTY;
}

static unsigned long free_pages_up(struct shrinker *s, struct shrink_control *control)
{
	struct hash_cache *c = cache_of(s);
	unsigned long bytes = control->nr_to_scan << PAGE_SHIFT, spare = spare_bytes(c);
	unsigned long left = spare;

	/* The kernel asks again while the worker is at it: what it may take is bounded. */
	if ((unsigned long)atomic_long_read(&c->wanted) < spare)
		atomic_long_add((long)min(bytes, spare), &c->wanted);
	queue_work(c->queue, &c->work);
	wait_event_timeout(c->gone, (left = spare_bytes(c)) < spare,
			   msecs_to_jiffies(PATIENCE_MS));
	return left < spare ? (spare - left) >> PAGE_SHIFT : SHRINK_STOP;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)

static struct hash_cache *cache_of(struct shrinker *s)
{
	return s->private_data;
}

static int shrinker_begin(struct hash_cache *c)
{
	c->shrinker = shrinker_alloc(0, "storage-hash");
	if (!c->shrinker)
		return -ENOMEM;
	c->shrinker->count_objects = count_pages;
	c->shrinker->scan_objects = free_pages_up;
	c->shrinker->private_data = c;
	shrinker_register(c->shrinker);
	return 0;
}

static void shrinker_end(struct hash_cache *c)
{
	shrinker_free(c->shrinker);
}

#else

static struct hash_cache *cache_of(struct shrinker *s)
{
	return container_of(s, struct hash_cache, own);
}

static int shrinker_begin(struct hash_cache *c)
{
	c->shrinker = &c->own;
	c->own.count_objects = count_pages;
	c->own.scan_objects = free_pages_up;
	c->own.seeks = DEFAULT_SEEKS;
	return register_shrinker(&c->own, "storage-hash");
}

static void shrinker_end(struct hash_cache *c)
{
	unregister_shrinker(c->shrinker);
}

#endif

int hash_cache_start(struct kv *kv, const struct storage_home *home,
		     struct hash_cache **out)
{
	struct hash_cache *c = kzalloc(sizeof(*c), GFP_KERNEL);
	int error = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->kv = kv;
	c->home = home;
	INIT_WORK(&c->work, evict);
	init_waitqueue_head(&c->gone);
	c->queue = alloc_workqueue("kv-cache", WQ_UNBOUND | WQ_MEM_RECLAIM, 1);
	if (c->queue)
		error = shrinker_begin(c);
	if (error) {
		if (c->queue)
			destroy_workqueue(c->queue);
		kfree(c);
		return error;
	}
	*out = c;
	return 0;
}

void hash_cache_stop(struct hash_cache *c)
{
	if (!c)
		return;
	shrinker_end(c);
	destroy_workqueue(c->queue);
	kfree(c);
}
