#!/bin/sh
# SPDX-License-Identifier: MIT
#
# shell.sh [options of run.sh] - a shell in a machine that has our modules, programs and tests.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) kernel=stock
previous=""
for word; do
	case "$previous" in
	--arch) arch=$word ;;
	--kernel) kernel=$word ;;
	esac
	previous=$word
done
modules=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel "$kernel")
# shellcheck disable=SC2046
exec "$vm_dir/run.sh" "$@" --modules "$modules" $("$vm_dir/programs.sh" "$arch") --shell
