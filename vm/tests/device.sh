#!/bin/sh
# SPDX-License-Identifier: MIT
# Every storage device: the frame's own calls, the conformance suite and random histories
# through each way in, a hostile program; and the kernel finds nothing to say. On the lab kernel
# the array alone is met through each of the three, another engine through one. ENGINES names
# those that are wanted; else all.
. /vm/check.sh

# Where all is slow less is drawn at random: the lab kernel, a translated processor. There is
# more to find for a hostile program than for a history, by the kernel's checkers.
scale=5 hostile=5 lab=""
[ "$(uname -m)" = aarch64 ] && scale=20 hostile=20
[ -e /sys/kernel/debug/kmemleak ] && scale=40 hostile=10 lab=1
ways() { # engine
	case "$lab$1" in
	1btree) echo btree@kernel+ring ;;
	1hash) echo hash@kernel+batch ;;
	1lsm) echo lsm@kernel ;;
	*) echo "$1" ;;
	esac
}

reports_begin
found=""
for ko in /lib/modules/"$(uname -r)"/extra/storage-*.ko; do
	[ -e "$ko" ] || continue
	case "$ko" in *test.ko) continue ;; esac # does its work when it is loaded
	module=$(basename "$ko" .ko)
	name=${module#storage-}
	case "$name" in core | files | *test) continue ;; esac # a library of the others, or a test
	case " ${ENGINES:-$name} " in *" $name "*) ;; *) continue ;; esac
	modprobe "$module" || continue
	found="$found $module"
	check "$name: the frame's calls" env KV_TEST_SCALE="${KV_TEST_SCALE:-$scale}" DEVICE="$name" device_frame_tests
	check "$name: conformance and histories" env KV_TEST_SCALE="${KV_TEST_SCALE:-$scale}" ENGINES="$(ways "$name")" device_tests
	check "$name: a hostile program" env KV_TEST_SCALE="${KV_TEST_SCALE:-$hostile}" DEVICE="$name" device_fuzz_tests
	check "$name: has statistics" grep -q '^device_calls' "/sys/kernel/debug/storage/$name"
	check "$name: unloads" rmmod "$module"
done
[ -n "$found" ] || skip "no module of a storage engine is in this machine"
check_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
