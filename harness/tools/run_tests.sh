#!/bin/sh
# run_tests.sh PROGRAM... - runs test programs, two at a time, and prints one line each; what
# a failing one printed is shown in full. RUNNER= is put before each (valgrind, qemu-user).
# The last line is "N passed, N failed", in test cases.
set -u
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT INT TERM

run_one() {
	log="$logs/$(echo "$1" | tr / _)"
	begun=$(date +%s)
	# shellcheck disable=SC2086
	${RUNNER:-} "./$1" >"$log" 2>&1
	code=$?
	passed=$(grep -c '^\[       OK \]' "$log")
	failed=$(grep -c '^\[  FAILED  \].*: \|^\[  FAILED  \] [a-z]' "$log")
	skipped=$(grep -c '^\[  SKIPPED \] [a-z]' "$log")
	if [ $code -eq 0 ]; then
		verdict=ok
		failed=0
	else
		verdict="FAILED (exit $code)"
		[ "$failed" -gt 0 ] || failed=1
	fi
	echo "$passed $failed $skipped" >"$log.count"
	note=""
	[ "$skipped" -gt 0 ] && note=", $skipped skipped"
	printf '%-28s %4d tests%s, %3d s  %s\n' "$(basename "$1")" $((passed + failed)) "$note" \
		$(($(date +%s) - begun)) "$verdict"
	grep '^skipped: ' "$log" | sed 's/^/    /'
	[ $code -eq 0 ] || sed 's/^/    /' "$log"
}

at_once=${TESTS_AT_ONCE:-2}
running=0
for t in "$@"; do
	run_one "$t" &
	running=$((running + 1))
	if [ $running -ge "$at_once" ]; then
		wait
		running=0
	fi
done
wait
cat "$logs"/*.count 2>/dev/null |
	awk '{ p += $1; f += $2; s += $3 }
	END { printf "%d passed, %d failed%s\n", p, f, s ? ", " s " skipped" : ""; exit f || !p }'
