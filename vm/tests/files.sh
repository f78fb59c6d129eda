#!/bin/sh
# SPDX-License-Identifier: MIT
# The kernel's home of env.h over a real file system, and stores in a directory: what they
# promise, who owns them, and that they come back.
. /vm/check.sh
have_module storage-files-test || skip "storage-files-test.ko is not in this machine"
place=/tmp
grep -q " /disk " /proc/mounts && place=/disk
dir=$place/files-test

engines() {
	for e in hash btree lsm; do
		have_module storage-$e && echo $e
	done
}
with_store() { # engine, command...
	engine=$1
	shift
	modprobe "storage-$engine" dir="$dir/$engine" || return 1
	"$@"
	code=$?
	rmmod "storage-$engine" || return 1
	return $code
}
held_by_process() { # engine
	storage_tool "$dir/$1/LOCK" lock "! modprobe storage-$1 dir=$dir/$1 selftest=0"
}
held_by_kernel() { # engine
	storage_tool "$dir/$1/LOCK" lock true
	[ $? -eq 3 ]
}
limited_and_killed() { # engine: a process's limits and its end are not the store's
	(ulimit -f 0; storage_tool "/dev/storage-$1" fill 2000 200 5000) || return 1
	storage_tool "/dev/storage-$1" fill 5000 100000000 5000 &
	sleep 1
	kill -9 $!
	wait $! 2>/dev/null
	storage_tool "/dev/storage-$1" fill 3000 50 5000 &&
		storage_tool "/dev/storage-$1" check 2000 200
}

reports_begin
rm -rf "$dir"
mkdir -p "$dir/home"
check "the home keeps what env.h promises" modprobe storage-files-test dir="$dir/home"
check "its test unloads" rmmod storage-files-test
for e in $(engines); do
	check "$e: 500 pairs go in" with_store "$e" storage_tool "/dev/storage-$e" fill 0 500 700
	check "$e: they are there again" with_store "$e" storage_tool "/dev/storage-$e" check 0 500
	check "$e: is refused where a process has it" held_by_process "$e"
	check "$e: no process gets it meanwhile" with_store "$e" held_by_kernel "$e"
	check "$e: a writer's limits and death do no harm" with_store "$e" limited_and_killed "$e"
	check "$e: all of it is there again" with_store "$e" storage_tool "/dev/storage-$e" check 3000 50
	check "$e: refuses a directory without a parent" not modprobe "storage-$e" dir=/nowhere/at/all
done
rm -rf "$dir"
rmmod storage-files storage-core 2>/dev/null
check_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
