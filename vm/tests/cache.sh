#!/bin/sh
# SPDX-License-Identifier: MIT
# The hash module in memory: its limit, and as a cache that gives way to what the system needs.
. /vm/check.sh
have_module storage-hash || skip "storage-hash.ko is not in this machine"
device=/dev/storage-hash

too_much() {
	! storage_tool $device fill 0 100000 1000
}
# A file in memory as large as what is free now and a quarter of the cache.
pressure() {
	before=$(storage_tool $device stat memory_file_bytes) || return 1
	free_kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
	kib=$((free_kib + before / 4096))
	mkdir -p /mnt
	mount -t tmpfs -o size=100% tmpfs /mnt || return 1
	dd if=/dev/zero of=/mnt/much bs=64k count=$((kib / 64)) 2>/dev/null
	tries=0
	while [ "$(storage_tool $device stat pairs_evicted)" -eq "$evicted" ] && [ $tries -lt 20 ]; do
		sleep 1
		tries=$((tries + 1))
	done
	umount /mnt
	after=$(storage_tool $device stat memory_file_bytes)
	echo "memory of files: $before, then $after"
	[ "$after" -lt "$before" ]
}

reports_begin
check "loads with 24 MiB" modprobe storage-hash memory_mb=24
check "refuses more than its limit" too_much
check "has what it took" storage_tool $device check 0 10000
check "unloads" rmmod storage-hash
check "cache and dir do not go together" not modprobe storage-hash cache=1 dir=/tmp/x
mib=$(awk '/^MemAvailable/ { m = int($2 / 1024 / 3); print m < 96 ? m : 96 }' /proc/meminfo)
check "loads as a cache of $mib MiB" modprobe storage-hash cache=1 memory_mb="$mib"
check "takes twice what fits" storage_tool $device fill 0 $((mib * 2 * 128)) 8000
evicted=$(storage_tool $device stat pairs_evicted)
check "has dropped pairs for it" [ "$evicted" -gt 0 ]
check "has the newest" storage_tool $device check $((mib * 2 * 128 - mib * 32)) $((mib * 32))
check "gives memory back when the system wants it" pressure
check "still takes pairs" storage_tool $device fill 0 1000 8000
check "has them" storage_tool $device check 0 1000
check "unloads again" rmmod storage-hash
check_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
