#!/bin/sh
# SPDX-License-Identifier: MIT
# Every module of a storage engine: loads, has its device, stays while a descriptor is open, goes, and
# does so a hundred times without a leak or a word from the kernel. On the lab kernel, where a load takes
# seconds, the first does, and the others do it ten times: what they load by is the same.
. /vm/check.sh

# The first time with what it tests of itself, then without.
quick="" loads=100

unload_while_open() { # module
	exec 5<>"/dev/$1" || return 1
	! rmmod "$1"
	held=$?
	exec 5<&-
	return $held
}
again_and_again() { # module, times
	n=0
	while [ $n -lt "$2" ]; do
		modprobe "$1" $quick && rmmod "$1" || {
			echo "time $n"
			return 1
		}
		n=$((n + 1))
	done
}

reports_begin
found=""
for ko in /lib/modules/"$(uname -r)"/extra/storage-*.ko; do
	[ -e "$ko" ] || continue
	case "$ko" in *test.ko) continue ;; esac # does its work when it is loaded
	module=$(basename "$ko" .ko)
	check "$module loads" modprobe "$module"
	[ -e "/dev/$module" ] || {
		rmmod "$module" 2>/dev/null # a library of the others
		continue
	}
	found="$found $module"
	check "$module: only its owner and group may use it" [ "$(stat -c %a "/dev/$module")" = 660 ]
	check "$module: is not unloaded while it is open" unload_while_open "$module"
	check "$module: unloads" rmmod "$module"
	check "$module: takes its device along" [ ! -e "/dev/$module" ]
	[ "$module" = storage-array ] || quick="selftest=0"
	check "$module: $loads times" again_and_again "$module" "$loads"
	[ ! -e /sys/kernel/debug/kmemleak ] || loads=10
done
[ -n "$found" ] || skip "no module of a storage engine is in this machine"
check_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
