// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * array_device.c - storage-array.ko: the sorted array behind /dev/storage-array. The smallest
 * of the modules, and the pattern of the others.
 */
#include "storage_device.h"

#include "../array_engine.h"

static unsigned long memory_bytes = 64ul << 20;
module_param(memory_bytes, ulong, 0444);
MODULE_PARM_DESC(
	memory_bytes,
	"bytes that pairs may take (default 64 MiB); a write beyond is refused with ENOSPC. 0: no limit");

static struct storage_device *device;

static int __init array_init(void)
{
	char options[48];

	snprintf(options, sizeof(options), "memory_bytes=%lu", memory_bytes);
	return storage_device_register(&(struct storage_config){ .ops = &array_engine,
								 .owner = THIS_MODULE,
								 .options = options },
				       &device);
}

static void __exit array_exit(void)
{
	storage_device_unregister(device);
}

module_init(array_init);
module_exit(array_exit);
EXPORT_SYMBOL_GPL(array_engine); /* for storage-kunit-test.ko */
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("A sorted array of keys and values in memory: /dev/storage-array");
