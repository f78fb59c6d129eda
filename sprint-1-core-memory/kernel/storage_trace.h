/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * storage_trace.h - tracepoints: /sys/kernel/tracing/events/storage/.
 */
/* clang-format off */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM storage

#if !defined(STORAGE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define STORAGE_TRACE_H

#include <linux/tracepoint.h>
#include <linux/version.h>

#undef storage_assign_str
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define storage_assign_str(to, from) __assign_str(to)
#else
#define storage_assign_str(to, from) __assign_str(to, from)
#endif

/* An operation was done. Gets that were done together have each the time of all. */
TRACE_EVENT(storage_op,
	TP_PROTO(const char *device, unsigned int code, u32 key_len, u64 value_len, int result,
		 u64 ns),
	TP_ARGS(device, code, key_len, value_len, result, ns),
	TP_STRUCT__entry(
		__string(device, device)
		__field(unsigned int, code)
		__field(u32, key_len)
		__field(u64, value_len)
		__field(int, result)
		__field(u64, ns)
	),
	TP_fast_assign(
		storage_assign_str(device, device);
		__entry->code = code;
		__entry->key_len = key_len;
		__entry->value_len = value_len;
		__entry->result = result;
		__entry->ns = ns;
	),
	TP_printk("%s %s key=%u value=%llu result=%d ns=%llu", __get_str(device),
		  __print_symbolic(__entry->code, { 0, "nop" }, { 1, "get" }, { 2, "put" },
				   { 3, "delete" }, { 4, "delete_range" }),
		  __entry->key_len, __entry->value_len, __entry->result, __entry->ns)
);

/* Pairs were read through a cursor. */
TRACE_EVENT(storage_scan,
	TP_PROTO(const char *device, u32 pairs, u64 bytes, int result),
	TP_ARGS(device, pairs, bytes, result),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, pairs)
		__field(u64, bytes)
		__field(int, result)
	),
	TP_fast_assign(
		storage_assign_str(device, device);
		__entry->pairs = pairs;
		__entry->bytes = bytes;
		__entry->result = result;
	),
	TP_printk("%s pairs=%u bytes=%llu result=%d", __get_str(device), __entry->pairs,
		  __entry->bytes, __entry->result)
);

#endif /* STORAGE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE storage_trace
#include <trace/define_trace.h>
