// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * hash_device.c - storage-hash.ko: the hash engine as /dev/storage-hash.
 *
 *	insmod storage-hash.ko                      in memory, at most memory_mb
 *	insmod storage-hash.ko dir=/disk/pairs      in that directory, as in userspace
 *
 * The pairs count against memory_mb; the index comes on top, with up to 24 bytes a key.
 */
#include "storage_module.h"

#include "../hash_engine.h"

static struct storage_module module = {
	.ops = &hash_engine,
	.owner = THIS_MODULE,
	.options_in_memory = "segment_bytes=2m",
	.options_in_dir = NULL,
	.options_selftest = "segment_bytes=256k",
	.memory_mb = 256,
	.selftest = true,
};

STORAGE_PARAMETERS(module);

static int __init hash_device_init(void)
{
	return storage_module_start(&module);
}

static void __exit hash_device_exit(void)
{
	storage_module_stop(&module);
}

module_init(hash_device_init);
module_exit(hash_device_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("A hash store as /dev/storage-hash");
