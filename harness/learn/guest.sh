#!/bin/sh
# SPDX-License-Identifier: MIT
# guest.sh SECONDS MODULES TEST... - runs inside the machine: loads modules ("a x=1;b"), runs each
# test of /vm/bin/check, unloads, looks for leaks (not with LEAKS=0). What it finds out stands in
# lines that begin with "@@learn"; kernel.sh reads them.
. /vm/check.sh
limit=$1
modules=$2
shift 2

say() {
	echo "@@learn $*"
}
# Reports come from here alone, so that none falls into the middle of a line.
dmesg -n 1
reports() {
	dmesg -c >/tmp/log
	grep -qE "$report_words" /tmp/log && head -n 90 /tmp/log | sed 's/^/@@learn kernel /'
}
# A command that may never end, and that nothing can kill.
run() { # seconds, command...
	left=$(($1 * 5))
	shift
	rm -f /tmp/code
	(
		"$@" >/tmp/out 2>&1 </dev/null
		echo $? >/tmp/code.new
		mv /tmp/code.new /tmp/code
	) &
	while [ ! -e /tmp/code ] && [ $left -gt 0 ]; do
		usleep 200000
		left=$((left - 1))
	done
	code=hung
	[ -e /tmp/code ] && code=$(cat /tmp/code)
}
# kmemleak takes nothing for leaked that is younger than five seconds. Its first look takes a sum
# of what no pointer was found to; the second reports that, where the sum is the same.
leaks() {
	[ "${LEAKS:-1}" = 1 ] && [ -e /sys/kernel/debug/kmemleak ] || return
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	echo scan >/sys/kernel/debug/kmemleak
	head -n 40 /sys/kernel/debug/kmemleak | sed 's/^/@@learn leak /'
	echo clear >/sys/kernel/debug/kmemleak
}

reports >/dev/null
code=0
old_ifs=$IFS
IFS=';'
for module in $modules; do
	IFS=$old_ifs
	# shellcheck disable=SC2086
	run "$limit" modprobe $module
	say load "$code" "${module%% *}"
	sed 's/^/@@learn said /' /tmp/out
	reports
	[ "$code" = 0 ] || exit 0
	IFS=';'
done
IFS=$old_ifs
for t; do
	say test "$t"
	run "$limit" /vm/bin/check "$t"
	sed -n 's/^/@@learn said /p' /tmp/out
	say code "$code"
	reports
done
if [ "$code" != hung ]; then
	leaks
	for module in $(echo "$modules" | tr ';' '\n' | sed 's/ .*//' | sed '1!G;h;$!d') storage-files storage-core; do
		[ -d "/sys/module/$(echo "$module" | tr - _)" ] || continue
		run "$limit" rmmod "$module"
		say unload "$code" "$module"
		reports
	done
	leaks
fi
say end
