// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * kernel_btree.c - storage-btree.ko: the B+tree engine as /dev/storage-btree.
 *
 *	insmod storage-btree.ko                      in memory, at most memory_mb
 *	insmod storage-btree.ko dir=/disk/pairs      in that directory, as in userspace
 *
 * Pages stand in memory beside the files. What storage-core's port_range_limit allows for a
 * range of addresses is taken when the store is opened, and the tree grows as far as that.
 */
#include "../../sprint-2-hash-storage/kernel/storage_module.h"

#include "../btree_engine.h"

static struct storage_module module = {
	.ops = &btree_engine,
	.owner = THIS_MODULE,
	.options_in_memory = "segment_bytes=1m,checkpoint_bytes=8m,memory_bytes=64m",
	.options_in_dir = "memory_bytes=64m",
	.options_selftest = "segment_bytes=256k,checkpoint_bytes=1m,memory_bytes=4m",
	.dir = "",
	.options = "",
	.memory_mb = 256,
	.selftest = true,
};

STORAGE_PARAMETERS(module);

static int __init btree_device_init(void)
{
	return storage_module_start(&module);
}

static void __exit btree_device_exit(void)
{
	storage_module_stop(&module);
}

module_init(btree_device_init);
module_exit(btree_device_exit);
EXPORT_SYMBOL_GPL(btree_engine); /* for storage-kunit-test.ko */
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("A B+tree store as /dev/storage-btree");
