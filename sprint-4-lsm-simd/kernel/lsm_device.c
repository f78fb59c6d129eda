// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * lsm_device.c - storage-lsm.ko: the LSM engine as /dev/storage-lsm.
 *
 *	insmod storage-lsm.ko                      in memory, at most memory_mb
 *	insmod storage-lsm.ko dir=/disk/pairs      in that directory, as in userspace
 *
 * Flushes and compactions are done by threads of the kernel. There are no memory maps of files,
 * so tables are read through the block cache.
 */
#include "../../sprint-2-hash-storage/kernel/storage_module.h"

#include "../lsm_engine.h"

static struct storage_module module = {
	.ops = &lsm_engine,
	.owner = THIS_MODULE,
	.options_in_memory =
		"segment_bytes=1m,memory_bytes=32m,record_percent=0,table_bytes=4m",
	.options_in_dir = "memory_bytes=64m,record_percent=0",
	.options_selftest =
		"segment_bytes=256k,memory_bytes=8m,memtable_bytes=256k,record_percent=0,table_bytes=256k,reserve_bytes=0",
	.dir = "",
	.options = "",
	.memory_mb = 256,
	.selftest = true,
};

STORAGE_PARAMETERS(module);

static int __init lsm_device_init(void)
{
	return storage_module_start(&module);
}

static void __exit lsm_device_exit(void)
{
	storage_module_stop(&module);
}

module_init(lsm_device_init);
module_exit(lsm_device_exit);
EXPORT_SYMBOL_GPL(lsm_engine); /* for storage-kunit-test.ko */
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("An LSM store as /dev/storage-lsm");
