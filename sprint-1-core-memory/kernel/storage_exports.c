// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * storage_exports.c - what the engines' modules may call of this one. The functions stand in
 * sources that userspace compiles too, where nobody knows this word.
 */
#include "storage_device.h"

#include "../port_crc32c.h"
#include "../port_range.h"

EXPORT_SYMBOL_GPL(port_alloc);
EXPORT_SYMBOL_GPL(port_realloc);
EXPORT_SYMBOL_GPL(port_free);
EXPORT_SYMBOL_GPL(port_alloc_aligned);
EXPORT_SYMBOL_GPL(port_free_aligned);
EXPORT_SYMBOL_GPL(port_alloc_huge);
EXPORT_SYMBOL_GPL(port_free_huge);
EXPORT_SYMBOL_GPL(port_crc32c);
EXPORT_SYMBOL_GPL(port_crc32c_has_instruction);
EXPORT_SYMBOL_GPL(port_crc32c_tables);
EXPORT_SYMBOL_GPL(port_range_reserve);
EXPORT_SYMBOL_GPL(port_range_grow);
EXPORT_SYMBOL_GPL(port_range_populate);
EXPORT_SYMBOL_GPL(port_range_discard);
EXPORT_SYMBOL_GPL(port_range_small);
EXPORT_SYMBOL_GPL(port_range_release);
EXPORT_SYMBOL_GPL(port_range_is_free);
EXPORT_SYMBOL_GPL(port_range_unit);

EXPORT_SYMBOL_GPL(kv_fail);
EXPORT_SYMBOL_GPL(kv_str);
EXPORT_SYMBOL_GPL(kv_compare);
EXPORT_SYMBOL_GPL(kv_buf_reserve);
EXPORT_SYMBOL_GPL(kv_buf_set);
EXPORT_SYMBOL_GPL(kv_buf_append);
EXPORT_SYMBOL_GPL(kv_buf_free);
EXPORT_SYMBOL_GPL(kv_block_add);
EXPORT_SYMBOL_GPL(kv_next_many);
EXPORT_SYMBOL_GPL(kv_open);
EXPORT_SYMBOL_GPL(kv_close);
EXPORT_SYMBOL_GPL(kv_get);
EXPORT_SYMBOL_GPL(kv_get_at);
EXPORT_SYMBOL_GPL(kv_multi_get);
EXPORT_SYMBOL_GPL(kv_write);
EXPORT_SYMBOL_GPL(kv_put);
EXPORT_SYMBOL_GPL(kv_delete);
EXPORT_SYMBOL_GPL(kv_snapshot);
EXPORT_SYMBOL_GPL(kv_release);
EXPORT_SYMBOL_GPL(kv_cursor);
EXPORT_SYMBOL_GPL(kv_sync);
EXPORT_SYMBOL_GPL(kv_compact);
EXPORT_SYMBOL_GPL(kv_backup);
EXPORT_SYMBOL_GPL(kv_verify);
EXPORT_SYMBOL_GPL(kv_stats);
EXPORT_SYMBOL_GPL(kv_recovery);

EXPORT_SYMBOL_GPL(storage_device_register);
EXPORT_SYMBOL_GPL(storage_device_unregister);
EXPORT_SYMBOL_GPL(storage_device_kv);
