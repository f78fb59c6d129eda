// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * log_exports.c - which of the log's words the modules of other sprints may use.
 */
#include <linux/export.h>

#include "../log_format.h"

EXPORT_SYMBOL_GPL(log_append);
EXPORT_SYMBOL_GPL(log_begin);
EXPORT_SYMBOL_GPL(log_check);
EXPORT_SYMBOL_GPL(log_close);
EXPORT_SYMBOL_GPL(log_copy);
EXPORT_SYMBOL_GPL(log_create);
EXPORT_SYMBOL_GPL(log_end);
EXPORT_SYMBOL_GPL(log_file_bytes);
EXPORT_SYMBOL_GPL(log_give_up_before);
EXPORT_SYMBOL_GPL(log_items_bytes);
EXPORT_SYMBOL_GPL(log_keep_spares);
EXPORT_SYMBOL_GPL(log_live);
EXPORT_SYMBOL_GPL(log_mark);
EXPORT_SYMBOL_GPL(log_missing);
EXPORT_SYMBOL_GPL(log_open);
EXPORT_SYMBOL_GPL(log_prefetch);
EXPORT_SYMBOL_GPL(log_read);
EXPORT_SYMBOL_GPL(log_reclaim);
EXPORT_SYMBOL_GPL(log_retire);
EXPORT_SYMBOL_GPL(log_scan);
EXPORT_SYMBOL_GPL(log_segments);
EXPORT_SYMBOL_GPL(log_stats);
EXPORT_SYMBOL_GPL(log_supersede);
EXPORT_SYMBOL_GPL(log_sync);
EXPORT_SYMBOL_GPL(log_sync_from);
EXPORT_SYMBOL_GPL(log_turn);
EXPORT_SYMBOL_GPL(log_sync_later);
EXPORT_SYMBOL_GPL(log_synced);
EXPORT_SYMBOL_GPL(log_wait_room);
EXPORT_SYMBOL_GPL(log_segment_header_decode);
EXPORT_SYMBOL_GPL(log_yield_spare);
