#!/bin/sh
# SPDX-License-Identifier: MIT
# Every storage device: the frame's own calls, the conformance suite and random histories
# through each way in, a hostile program; and the kernel finds nothing to say.
. /vm/check.sh

# Where all is slow less is drawn at random: the lab kernel, a translated processor.
scale=5
[ "$(uname -m)" = aarch64 ] && scale=20
[ -e /sys/kernel/debug/kmemleak ] && scale=40
export KV_TEST_SCALE="${KV_TEST_SCALE:-$scale}"

reports_begin
found=""
for ko in /lib/modules/"$(uname -r)"/extra/storage-*.ko; do
	[ -e "$ko" ] || continue
	case "$ko" in *test.ko) continue ;; esac # does its work when it is loaded
	module=$(basename "$ko" .ko)
	name=${module#storage-}
	case "$name" in core | files | *test) continue ;; esac # a library of the others, or a test
	modprobe "$module" || continue
	found="$found $module"
	check "$name: the frame's calls" env DEVICE="$name" device_frame_tests
	check "$name: conformance and histories" env ENGINES="$name" device_tests
	check "$name: a hostile program" env DEVICE="$name" device_fuzz_tests
	check "$name: has statistics" grep -q '^device_calls' "/sys/kernel/debug/storage/$name"
	check "$name: unloads" rmmod "$module"
done
[ -n "$found" ] || skip "no module of a storage engine is in this machine"
check_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
