#!/bin/sh
# SPDX-License-Identifier: MIT
#
# ci.sh [PART...] - everything of vm/ that can pass or fail, one part after the other, with how
# long each took and how long processors worked for it. Parts, all of them when none is named:
#
#   amd64, arm64   vm/tests on Debian's kernels
#   lab            vm/tests on the lab kernel for amd64, and each planted bug
#   power-cut      of each durable engine's module; Debian's kernel, amd64
#
# The cache is used where it is there, and filled where not. Last line: N passed, N failed.
set -u
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || set -- amd64 arm64 lab power-cut
said=$(mktemp)
trap 'rm -f "$said" "$said.times"' EXIT
passed=0 failed=0 table=""

# Sets worked to the seconds of processors that all commands before took. In this shell itself:
# times tells a subshell of its own commands alone.
count_work() {
	times >"$said.times"
	worked=$(awk -F'[ms ]+' 'NR == 2 { printf "%d", $1 * 60 + $2 + $3 * 60 + $4 }' "$said.times")
}
part() { # name, command...
	name=$1 begun=$(date +%s)
	count_work
	before=$worked
	shift
	printf '\n== %s\n' "$name"
	"$@" | tee "$said"
	count_work
	set -- $(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$said" | tail -n 1)
	# A part that never came to its sum has failed.
	passed=$((passed + ${1:-0}))
	failed=$((failed + ${2:-1}))
	table="$table
$(printf '%6d s (%d s of processors)  %s: %d passed, %d failed' $(($(date +%s) - begun)) $((worked - before)) "$name" "${1:-0}" "${2:-1}")"
}

power_cuts() { # architecture, engine...
	cut_arch=$1 cut_passed=0 cut_failed=0
	shift
	for engine; do
		if "$vm_dir/power_cut.sh" --arch "$cut_arch" --engine "$engine" --rounds 3; then
			cut_passed=$((cut_passed + 1))
		else
			cut_failed=$((cut_failed + 1))
		fi
	done
	echo "$cut_passed passed, $cut_failed failed"
}

for what; do
	case "$what" in
	amd64 | arm64) part "$what, stock kernel" "$vm_dir/test.sh" --arch "$what" ;;
	lab) part "amd64, lab kernel" "$vm_dir/test.sh" --arch amd64 --kernel lab ;;
	power-cut) part "power cuts, amd64" power_cuts amd64 lsm btree hash ;;
	*) die "no part \"$what\": amd64, arm64, lab, power-cut" ;;
	esac
done
printf '%s\n\n%d passed, %d failed\n' "$table" "$passed" "$failed"
[ "$failed" -eq 0 ]
