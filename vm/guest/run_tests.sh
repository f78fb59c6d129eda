#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run_tests.sh [NAME...] - runs the tests of /vm/tests in this machine, or those named. A test
# ends with 0, with 77 when its subject is not in this machine, or else has failed. The last
# line counts them; the exit code is 1 when one failed.
passed=0
failed=0
skipped=0
machine="$(uname -r) $(uname -m)"
[ $# -gt 0 ] || set -- $(cd /vm/tests && ls ./*.sh)
for test; do
	name=$(basename "$test" .sh)
	begun=$(cut -d' ' -f1 /proc/uptime)
	echo "$name"
	sh "/vm/tests/$name.sh"
	case $? in
	0) passed=$((passed + 1)) word=ok ;;
	77) skipped=$((skipped + 1)) word=skip ;;
	*) failed=$((failed + 1)) word=FAIL ;;
	esac
	ended=$(cut -d' ' -f1 /proc/uptime)
	echo "$word $name ($(echo "$begun $ended" | awk '{ printf "%.1f", $2 - $1 }') s)"
done
echo "on $machine"
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
