#!/bin/sh
# SPDX-License-Identifier: MIT
# The engines' cores under KUnit, where the kernel has it: each case of each engine, and the
# ground floor.
. /vm/check.sh
have_module storage-kunit-test || skip "this kernel has no KUnit, so there is no storage-kunit-test.ko"

all_ok() { # suite, cases: the sum of the last suite of this name in the log
	dmesg | sed -n "/# Subtest: $1\$/,/ok [0-9]* $1\$/p" >/tmp/kunit
	if grep -B 8 'not ok' /tmp/kunit; then
		return 1
	fi
	grep '# Totals' /tmp/kunit
	grep -q "# Totals: pass:[1-9][0-9]* fail:0 skip:[0-9]* total:$2\$" /tmp/kunit
}

reports_begin
check "loads, and runs" modprobe storage-kunit-test
check "the ground floor" all_ok storage_floor 4
check "the engines" all_ok storage_engines 28
check "unloads" rmmod storage-kunit-test
rmmod storage-lsm storage-btree storage-hash storage-array storage-files storage-core 2>/dev/null
check "no leaks" no_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
