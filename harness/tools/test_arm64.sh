#!/bin/sh
# test_arm64.sh - cross-builds for arm64 and runs the tests under qemu-user. Where the machine
# is arm64, this is `make test`.
set -eu
if [ "$(uname -m)" = aarch64 ]; then
	exec make test
fi
. "$(dirname "$0")/arm64.sh"
# What builds has no use for it.
runner=$RUNNER
unset RUNNER
make --silent -j2 tests BUILD="$build" CC=aarch64-linux-gnu-gcc
KV_TEST_SCALE=${KV_TEST_SCALE:-20} RUNNER=$runner make run-tests BUILD="$build" CC=aarch64-linux-gnu-gcc
