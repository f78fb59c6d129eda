#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run_tests.sh [NAME...] - runs the tests of /vm/tests in this machine, or those named. A test
# ends with 0, with 77 when its subject is not in this machine, or else has failed. The last
# line counts their checks; the exit code is 1 when one failed. A test that ends badly without
# a check that says why counts as one.
skipped=""
: >/tmp/checks.passed
: >/tmp/checks.failed
count() {
	wc -c <"/tmp/checks.$1"
}
machine="$(uname -r) $(uname -m)"
[ $# -gt 0 ] || set -- $(cd /vm/tests && ls ./*.sh)
[ $# -eq 1 ] || export leaks_at_end=1
for test; do
	name=$(basename "$test" .sh)
	begun=$(cut -d' ' -f1 /proc/uptime)
	echo "$name"
	before=$(count failed)
	sh "/vm/tests/$name.sh"
	case $? in
	0) word=ok ;;
	77) skipped="$skipped $name" word=skip ;;
	*)
		word=FAIL
		[ "$(count failed)" -gt "$before" ] || printf . >>/tmp/checks.failed
		;;
	esac
	ended=$(cut -d' ' -f1 /proc/uptime)
	echo "$word $name ($(echo "$begun $ended" | awk '{ printf "%.1f", $2 - $1 }') s)"
done
if [ -n "${leaks_at_end:-}" ] && [ -e /sys/kernel/debug/kmemleak ]; then
	. /vm/check.sh
	echo "all of them"
	check "no leaks" no_leaks
fi
echo "on $machine"
[ -z "$skipped" ] || echo "not in this machine:$skipped"
echo "$(count passed) passed, $(count failed) failed"
[ "$(count failed)" -eq 0 ]
