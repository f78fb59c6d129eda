#!/bin/sh
# SPDX-License-Identifier: MIT
# What a module shows of itself: tracepoints that fire, statistics that count, parameters that
# say what they are for.
. /vm/check.sh
have_module storage-array || skip "no module of a storage engine is in this machine"

events=/sys/kernel/tracing/events/storage
trace=/sys/kernel/tracing/trace

fires() { # event, what must stand in its line
	grep "$1: " "$trace" | grep "$2"
}
counted() { # engine, figure, at least
	n=$(awk -v f="$2" '$1 == f { print $2 }' "/sys/kernel/debug/storage/$1")
	echo "$2 is $n"
	[ "${n:-0}" -ge "$3" ]
}
# Each parameter that /sys shows has a line "parm: NAME:what it is for".
described() { # module
	ko=/lib/modules/$(uname -r)/extra/$1.ko
	for file in /sys/module/"$(echo "$1" | tr - _)"/parameters/*; do
		[ -e "$file" ] || continue
		strings_of "$ko" | grep -q "^parm=${file##*/}:..*" || {
			echo "$1: ${file##*/} has no description"
			return 1
		}
	done
}
strings_of() {
	tr '\0' '\n' <"$1"
}
unload_while_open() { # module
	exec 5<>"/dev/$1" || return 1
	! rmmod "$1"
	held=$?
	exec 5<&-
	return $held
}

reports_begin
for name in array hash btree lsm; do
	have_module "storage-$name" || continue
	check "$name loads" modprobe "storage-$name"
	for module in storage-core storage-files "storage-$name"; do
		check "$module: each parameter has its sentence" described "$module"
	done
	if [ -d "$events" ]; then
		echo >"$trace"
		echo 1 >"$events/enable"
	fi
	check "$name: 20 puts" storage_tool "/dev/storage-$name" fill 0 20 100
	check "$name: 20 gets" storage_tool "/dev/storage-$name" check 0 20
	if [ -d "$events" ]; then
		echo 0 >"$events/enable"
		check "$name: the tracepoint of a put fires" fires storage_op "storage-$name put key=16 value=100 result=0 ns=[1-9]"
		check "$name: the tracepoint of a get fires" fires storage_op "storage-$name get key=16 value=100 result=0 ns=[1-9]"
	fi
	check "$name: puts are counted" counted "$name" device_puts 20
	check "$name: gets are counted" counted "$name" device_gets 20
	check "$name: calls are counted" counted "$name" device_calls 40
	check "$name: is not unloaded while it is open" unload_while_open "storage-$name"
	check "$name: unloads" rmmod "storage-$name"
	check "$name: takes its statistics along" [ ! -e "/sys/kernel/debug/storage/$name" ]
done
check "nothing in the kernel's log" no_kernel_reports
finish
