#!/bin/sh
# on_arm64.sh COMMAND... - runs a command of the learning track so that what it grades is built
# for arm64 and run under qemu-user: the tests alone, for there are neither sanitizers nor
# Valgrind there, and speeds of an emulator say nothing. On arm64 the command runs as it is,
# with all of it.
set -eu
cd "$(dirname "$0")/../.."
if [ "$(uname -m)" != aarch64 ]; then
	for program in aarch64-linux-gnu-gcc qemu-aarch64; do
		command -v $program >/dev/null || {
			echo "on_arm64.sh: $program is missing: make deps-arm64" >&2
			exit 2
		}
	done
	. harness/tools/arm64.sh
	export BUILD="$build" TIME_SCALE="${TIME_SCALE:-6}"
fi
exec "$@"
