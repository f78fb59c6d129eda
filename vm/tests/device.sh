#!/bin/sh
# SPDX-License-Identifier: MIT
# Every storage device: the frame's own calls, the conformance suite and random histories
# through each way in, a hostile program; and the kernel finds nothing to say.
. /vm/check.sh

reports_begin
found=""
for ko in /lib/modules/"$(uname -r)"/extra/storage-*.ko; do
	[ -e "$ko" ] || continue
	module=$(basename "$ko" .ko)
	modprobe "$module" || continue
	[ -e "/dev/$module" ] || continue # a library of the others
	name=${module#storage-}
	found="$found $module"
	check "$name: the frame's calls" env DEVICE="$name" device_frame_tests
	check "$name: conformance and histories" env ENGINES="$name" KV_TEST_SCALE=5 device_tests
	check "$name: a hostile program" env DEVICE="$name" device_fuzz_tests
	check "$name: has statistics" grep -q '^device_calls' "/sys/kernel/debug/storage/$name"
	check "$name: unloads" rmmod "$module"
done
[ -n "$found" ] || skip "no module of a storage engine is in this machine"
check "no leaks" no_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
