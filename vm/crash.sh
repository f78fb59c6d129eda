#!/bin/sh
# SPDX-License-Identifier: MIT
#
# crash.sh [--arch ARCH] [--kernel stock|lab] [--machine M] [null|bug|panic] - makes a machine's
# kernel crash in a module, and shows its last words with the lines of source that they name.
set -eu
. "$(dirname "$0")/lib.sh"
machine_options "$@"
shift "$taken"
how=${1:-null}
case "$how" in null | bug | panic) ;; *) die "no way to crash \"$how\": null, bug or panic" ;; esac
modules=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel "$kernel")
kernel_dir=$("$vm_dir/kernel_$kernel.sh" "$arch")
build=$(realpath -m "${BUILD:-$top/build}")/vm
log=$build/crash-$arch-$kernel.log
code=0
"$vm_dir/run.sh" --arch "$arch" --kernel "$kernel" ${machine:+--machine "$machine"} --modules "$modules" \
	--append "oops=panic" --log "$log" --limit 300 -- \
	"modprobe crash how=$how" >/dev/null 2>&1 || code=$?
[ $code -eq 125 ] || die "the machine did not crash: it ended with $code, and said what is in $log"
# From the report's first line on.
sed -n '/\(BUG\|Unable to handle\|kernel BUG\|Kernel panic\|general protection\|KASAN\)/,$p' "$log" |
	"$vm_dir/decode.sh" --arch "$arch" --modules "$modules" \
		$([ ! -e "$kernel_dir/vmlinux" ] || echo --vmlinux "$kernel_dir/vmlinux")
echo
echo "All that the machine said is in $log"
