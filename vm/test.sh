#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test.sh [--arch ARCH] [--kernel stock|lab] [--machine M] [TEST...] - builds the modules and
# the programs for a kernel, boots a machine and runs vm/tests in it, all or those named. For
# the lab kernel all labs' planted bugs follow: each must be caught. Last line: N passed, N failed.
set -eu
. "$(dirname "$0")/lib.sh"
machine_options "$@"
shift "$taken"
modules=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel "$kernel")
programs=$("$vm_dir/programs.sh" "$arch")
work=$(mktemp -d "${TMPDIR:-/tmp}/vm-test.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The disk is new each time: what a store on it holds at the start is nothing.
# shellcheck disable=SC2086
"$vm_dir/run.sh" --arch "$arch" --kernel "$kernel" ${machine:+--machine "$machine"} \
	--modules "$modules" $programs --disk "$work/disk" --limit "${VM_LIMIT:-3600}" \
	-- "ENGINES='${ENGINES:-}'" /vm/run_tests.sh "$@" |
	tee "$work/said"
passed=$(sed -n 's/^\([0-9]*\) passed, .*/\1/p' "$work/said" | tail -n 1)
failed=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed.*/\1/p' "$work/said" | tail -n 1)
# A machine that never came to its last line has failed, whatever it said before.
[ -n "$passed" ] || {
	passed=0 failed=1
	echo "$passed passed, $failed failed"
}

if [ "$kernel" = lab ] && [ $# -eq 0 ]; then
	for lab in "$vm_dir"/labs/*/; do
		if "$vm_dir/lab.sh" --arch "$arch" --check "$(basename "$lab")"; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
	done
	echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
