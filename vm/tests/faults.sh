#!/bin/sh
# SPDX-License-Identifier: MIT
# Memory runs out at each place where it can, one after the other: in loading and opening, in
# every kind of call, and at random in the kernel's threads that write stores. Only the lab
# kernel lets allocations fail.
. /vm/check.sh
[ -e /sys/kernel/debug/failslab ] || skip "this kernel fails no allocations"
extra=/lib/modules/$(uname -r)/extra
# The kernel tells of each allocation that it fails on purpose, and of its own vmalloc() that had
# no memory, with a trace. Neither is a complaint.
report_words=$(echo "$report_words" | sed 's/|Call Trace:|Call trace:/|/; s/||/|/')

# Small stores, of which loading does little and all of it often.
options_of() {
	case "$1" in
	array) echo "memory_bytes=16000000" ;;
	hash) echo "selftest=0 memory_mb=16 options=segment_bytes=256k" ;;
	btree) echo "selftest=0 memory_mb=32 options=memory_bytes=8m,segment_bytes=256k" ;;
	lsm) echo "selftest=0 memory_mb=32 options=memory_bytes=8m,memtable_bytes=256k,table_bytes=256k,segment_bytes=256k,reserve_bytes=0" ;;
	esac
}

inject() { # what "fail-nth" of a process needs: no messages, all sizes, allocations that may wait
	for how in failslab fail_page_alloc; do
		echo 0 >/sys/kernel/debug/$how/verbose
		echo N >/sys/kernel/debug/$how/ignore-gfp-wait
		echo 0 >/sys/kernel/debug/$how/probability
		echo -1 >/sys/kernel/debug/$how/times
	done
	echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
	echo Y >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem
}

loads_or_says_no() { # engine
	modprobe storage-core
	[ "$1" = array ] || modprobe storage-files
	KV_FAULTS_FEW=$few fault_tool module "$extra/storage-$1.ko" "storage_$1" "$(options_of "$1")"
}

# Allocations of the kernel's threads of a store fail at random while it is filled. It may well
# refuse each pair from then on; what it took stays.
threads_short_of_memory() { # engine
	rm -rf /disk/faults
	modprobe "storage-$1" dir=/disk/faults $(options_of "$1") || return 1
	storage_tool "/dev/storage-$1" ack 0 50 5000 >/tmp/acks || return 1
	for comm in /proc/[0-9]*/comm; do
		case "$(cat "$comm" 2>/dev/null)" in
		kv-*) echo 1 >"${comm%comm}make-it-fail" ;;
		esac
	done
	for how in failslab fail_page_alloc; do
		echo Y >/sys/kernel/debug/$how/task-filter
		echo 5 >/sys/kernel/debug/$how/probability
	done
	storage_tool "/dev/storage-$1" ack 50 350 5000 >>/tmp/acks 2>/tmp/acks.error
	for how in failslab fail_page_alloc; do
		echo 0 >/sys/kernel/debug/$how/probability
		echo N >/sys/kernel/debug/$how/task-filter
	done
	n=$(grep -c '^ack' /tmp/acks)
	echo "$n of 400 pairs were acknowledged; $(cat /tmp/acks.error)"
	rmmod "storage-$1" && modprobe "storage-$1" dir=/disk/faults $(options_of "$1") || return 1
	storage_tool "/dev/storage-$1" check 0 "$n" && [ "$n" -ge 50 ]
	code=$?
	rmmod "storage-$1" || return 1
	rm -rf /disk/faults
	return $code
}

reports_begin
inject
# What the kernel itself allocates in loading any module: no more than for the smallest.
few=$(KV_FAULTS_FEW=100000 fault_tool module "$extra/note.ko" note "" | sed -n 's/.* it made \([0-9]*\)$/\1/p')
echo "  loading begins with ${few:-0} allocations of the kernel's own"
for engine in ${ENGINES:-array hash btree lsm}; do
	have_module "storage-$engine" || continue
	check "$engine: loads, or says that it has no memory" loads_or_says_no "$engine"
	tail -n 1 /tmp/check.out
	# shellcheck disable=SC2046
	modprobe "storage-$engine" $(options_of "$engine")
	for what in open put get batch atomic scan snapshot ring flush stats; do
		check "$engine: $what" fault_tool "/dev/storage-$engine" $what
		tail -n 1 /tmp/check.out | sed 's/^/       /'
	done
	check "$engine: unloads" rmmod "storage-$engine"
	[ "$engine" = array ] || ! grep -q ' /disk ' /proc/mounts ||
		check "$engine: its threads run out of memory" threads_short_of_memory "$engine"
done
rmmod storage-files storage-core 2>/dev/null
check_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
