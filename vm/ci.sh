#!/bin/sh
# SPDX-License-Identifier: MIT
#
# ci.sh [PART...] - everything of vm/ that can pass or fail, one part after the other, and how
# long each took. Parts: amd64, arm64 (vm/tests on Debian's kernels), lab (vm/tests on
# the lab kernel for amd64, and each planted bug), power-cut (of the LSM module; stock, amd64).
# All of them when none is named. The cache is used where it is there, and filled where not.
# Last line: N passed, N failed.
set -u
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || set -- amd64 arm64 lab power-cut
said=$(mktemp)
trap 'rm -f "$said"' EXIT
passed=0 failed=0 times=""

part() { # name, command...
	name=$1 begun=$(date +%s)
	shift
	printf '\n== %s\n' "$name"
	"$@" | tee "$said"
	set -- $(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$said" | tail -n 1)
	# A part that never came to its sum has failed.
	passed=$((passed + ${1:-0}))
	failed=$((failed + ${2:-1}))
	times="$times
$(printf '%6d s  %s: %d passed, %d failed' $(($(date +%s) - begun)) "$name" "${1:-0}" "${2:-1}")"
}

power_cut() {
	if "$vm_dir/power_cut.sh" --arch "$1" --engine "$2" --rounds 3; then
		echo "1 passed, 0 failed"
	else
		echo "0 passed, 1 failed"
	fi
}

for what; do
	case "$what" in
	amd64 | arm64) part "$what, stock kernel" "$vm_dir/test.sh" --arch "$what" ;;
	lab) part "amd64, lab kernel" "$vm_dir/test.sh" --arch amd64 --kernel lab ;;
	power-cut) part "power cuts, amd64" power_cut amd64 lsm ;;
	*) die "no part \"$what\": amd64, arm64, lab, power-cut" ;;
	esac
done
printf '%s\n\n%d passed, %d failed\n' "$times" "$passed" "$failed"
[ "$failed" -eq 0 ]
