// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * hash_device.c - storage-hash.ko: the hash engine as /dev/storage-hash.
 *
 *	insmod storage-hash.ko                      in memory, at most memory_mb
 *	insmod storage-hash.ko dir=/disk/pairs      in that directory, as in userspace
 *	insmod storage-hash.ko cache=1              in memory, and the oldest pairs may go
 *
 * The pairs count against memory_mb; the index comes on top, with up to 24 bytes a key.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "storage_module.h"

#include "../hash_engine.h"
#include "hash_cache.h"

static struct storage_module module = {
	.ops = &hash_engine,
	.owner = THIS_MODULE,
	.options_in_memory = "segment_bytes=2m",
	.options_in_dir = NULL,
	.options_selftest = "segment_bytes=256k",
	.dir = "",
	.options = "",
	.memory_mb = 256,
	.selftest = true,
};

STORAGE_PARAMETERS(module);

static bool cache;
module_param(cache, bool, 0444);
MODULE_PARM_DESC(
	cache,
	"drop the oldest pairs when there is no room, and when the system wants memory back; not with dir (default N)");

static struct hash_cache *shrunk;

static int start_cache(void)
{
	int error =
		hash_cache_start(storage_device_kv(module.device), &module.home, &shrunk);

	if (error)
		storage_module_stop(&module);
	return error;
}

static int __init hash_device_init(void)
{
	int error;

	if (cache && *module.dir) {
		pr_err("a cache is in memory: say cache or dir, not both\n");
		return -EINVAL;
	}
	if (cache)
		module.options_in_memory = "segment_bytes=1m,evict=on";
	error = storage_module_start(&module);
	return !error && cache ? start_cache() : error;
}

static void __exit hash_device_exit(void)
{
	hash_cache_stop(shrunk);
	storage_module_stop(&module);
}

module_init(hash_device_init);
module_exit(hash_device_exit);
EXPORT_SYMBOL_GPL(hash_engine); /* for storage-kunit-test.ko */
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("A hash store as /dev/storage-hash");
