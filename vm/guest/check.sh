# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# check.sh - what the tests inside the machine are written with.
#
#   check "what is expected" COMMAND...     one line, ok or FAIL, with the output when it fails
#   check_fails "what" COMMAND...           the same for a command that must not succeed
#                                           (run_tests.sh counts both, by a letter each in
#                                           /tmp/checks.passed and /tmp/checks.failed)
#   check_leaks                             no memory that nothing points to (lab kernel)
#   skip "why"                              ends a test whose subject is not there
#   have_module NAME                        is it packed into this machine?
#   kernel_reports                          prints what the kernel complained of since reports_begin
failed=0

check() {
	what=$1
	shift
	if "$@" >/tmp/check.out 2>&1; then
		printf . >>/tmp/checks.passed
		echo "  ok   $what"
	else
		failed=$((failed + 1))
		printf . >>/tmp/checks.failed
		echo "  FAIL $what"
		echo "       command: $*"
		sed 's/^/       /' /tmp/check.out | tail -n 40
	fi
}

not() {
	! "$@"
}

check_fails() {
	what=$1
	shift
	check "$what" not "$@"
}

skip() {
	echo "  skip $*"
	exit 77
}

have_module() {
	[ -e "/lib/modules/$(uname -r)/extra/$1.ko" ]
}

reports_begin() {
	dmesg -c >/tmp/dmesg.before 2>/dev/null
	true
}

# Words with which the kernel begins a report of each kind.
report_words='BUG: |WARNING: |KASAN|UBSAN|Oops|general protection|Unable to handle|Call Trace:|Call trace:|possible circular locking|possible recursive locking|inconsistent lock state|suspicious RCU|hung_task|blocked for more than|kmemleak: [0-9]+ new|refcount_t|list_(add|del) corruption|detected stall'

kernel_reports() {
	dmesg | grep -E "$report_words"
}

# Shows the first report; others often follow from it.
no_kernel_reports() {
	kernel_reports >/dev/null || return 0
	dmesg | grep -E -A 36 "$report_words" | head -n 38
	return 1
}

# kmemleak needs two looks: what no pointer was found to in both is reported.
no_leaks() {
	[ -e /sys/kernel/debug/kmemleak ] || return 0
	echo scan >/sys/kernel/debug/kmemleak
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	! grep . /sys/kernel/debug/kmemleak
}

# At the end of a test; where several are run it is done once, after all of them, for it takes
# long.
check_leaks() {
	[ -n "${leaks_at_end:-}" ] || check "no leaks" no_leaks
}

# fail_each_allocation PROGRAM WORDS... - runs it with its first allocation in the kernel failing,
# then its second, until it makes no more. It takes "fail N" before its own words, and ends with
# 3 when there was no Nth allocation, as note_tool does. Prints how many failed.
fail_each_allocation() {
	[ -e /sys/kernel/debug/failslab ] || { echo "this kernel fails no allocations"; return 0; }
	echo N >/sys/kernel/debug/failslab/ignore-gfp-wait
	echo N >/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait
	echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
	program=$1
	shift
	nth=1
	while [ $nth -lt 10000 ]; do
		"$program" fail $nth "$@" >/tmp/fail.out 2>&1
		code=$?
		[ $code -eq 3 ] && break
		# An error is what should come; a signal is not.
		[ $code -lt 128 ] || { echo "allocation $nth: killed by $((code - 128))"; return 1; }
		nth=$((nth + 1))
	done
	echo "$((nth - 1)) allocations failed in turn"
	[ $nth -gt 1 ]
}

finish() {
	[ "$failed" -eq 0 ]
	exit
}
