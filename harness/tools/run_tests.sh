#!/usr/bin/env bash
# run_tests.sh PROGRAM... - runs test programs, two at a time, and prints one line each; what
# a failing one printed is shown in full. RUNNER= is put before each (valgrind, qemu-user).
# The last line is "N passed, N failed", in test cases.
set -u
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# "passed failed skipped" of a log. What was begun and has no end was cut short by a crash.
# The summary of a group, where cmocka names failed and skipped tests again, does not count.
count() {
	awk '
	/^\[==========\] .*Running [0-9]+ test/ { in_group = 1 }
	/^\[==========\] .*test\(s\) run/ { in_group = 0 }
	!in_group { next }
	/^\[ RUN      \]/ { begun = 1; next }
	/^\[       OK \]/ { passed++; begun = 0 }
	/^\[  SKIPPED \]/ { skipped++; begun = 0 }
	/^\[  FAILED  \]/ { failed++; begun = 0; of_group = / GROUP / }
	/^\[  ERROR   \] [^-]/ { failed += !of_group; begun = of_group = 0 }
	END { print passed + 0, failed + begun, skipped + 0 }' "$1"
}

run_one() {
	case $1 in
	*/*) program=$1 ;;
	*) program=./$1 ;;
	esac
	log="$logs/log$(echo "$1" | tr / _)"
	begun=$(date +%s)
	# shellcheck disable=SC2086
	${RUNNER:-} "$program" >"$log" 2>&1
	code=$?
	# shellcheck disable=SC2046
	set -- "$1" $(count "$log")
	passed=$2 failed=$3 skipped=$4
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
		wait -n
		running=$((running - 1))
	fi
done
wait
cat "$logs"/*.count 2>/dev/null |
	awk '{ p += $1; f += $2; s += $3 }
	END { printf "%d passed, %d failed%s\n", p, f, s ? ", " s " skipped" : ""; exit f || !p }'
