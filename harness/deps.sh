#!/bin/sh
# deps.sh SET - checks that the Debian packages of a set are there; says which it will
# install, and installs them (by sudo when not root). SET: bench test learn book valgrind
# perf lint fuzz arm64 vm.
#
#   DEPS=skip      checks nothing
#   DEPS=required  leaves optional packages (most peers, io_uring, LZ4) alone
set -eu

[ "${DEPS:-}" = skip ] && exit 0

required="gcc libc6-dev libjansson-dev libxxhash-dev gnuplot-nox libsqlite3-dev liblmdb-dev"
optional="liburing-dev liblz4-dev librocksdb-dev libleveldb-dev libwiredtiger-dev libdb5.3-dev libtkrzw-dev"
testing="libcmocka-dev python3-jsonschema"
case "${1:-bench}" in
bench) need="$required" like="$optional" ;;
test) need="$required $testing" like="$optional" ;;
learn) need="$required $testing patch" like="$optional gdb valgrind libc6-dbg" ;;
book) need="pandoc" like="weasyprint" ;;
valgrind) need="$required $testing valgrind libc6-dbg" like="$optional" ;;
perf) need="$required linux-perf python3" like="$optional" ;;
lint) need="$required $testing clang clang-format cppcheck binutils" like="$optional" ;;
fuzz)
	# The runtime is of clang's own version.
	version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
	need="$required clang libclang-rt-${version:-14}-dev" like=""
	;;
arm64) need="$required $testing gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" like="" ;;
vm)
	# Machines of both architectures, their kernels, and the compiler for the other one.
	case "$(dpkg --print-architecture 2>/dev/null)" in
	arm64) cross="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;;
	*) cross="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
	esac
	need="$required libcmocka-dev make $cross qemu-system-x86 qemu-system-arm gdb-multiarch cpio kmod e2fsprogs
		flex bison bc libelf-dev libssl-dev xz-utils patch sparse perl" like=""
	;;
*)
	echo "deps.sh: no set \"$1\": bench test learn book valgrind perf lint fuzz arm64 vm" >&2
	exit 2
	;;
esac
[ "${DEPS:-}" = required ] && like=""

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "deps.sh: not a Debian system: see to it that these are there: $need $like" >&2
	exit 0
fi

installed() {
	dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -q '^installed'
}

missing=""
for p in $need; do
	installed "$p" || missing="$missing $p"
done
wished=""
for p in $like; do
	installed "$p" || wished="$wished $p"
done
[ -z "$missing$wished" ] && exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps.sh: these packages are missing:$missing$wished" >&2
		echo "deps.sh: install them as root, or go on without by DEPS=skip" >&2
		[ -z "$missing" ] && exit 0
		exit 1
	fi
	as_root="sudo"
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
{
	echo "deps.sh: apt-get update, to install:$missing$wished" >&2
	$as_root apt-get update -qq || echo "deps.sh: the package lists could not be updated" >&2
	# Optional ones that this release does not have cost their feature alone.
	for p in $wished; do
		if apt-cache show "$p" >/dev/null 2>&1; then
			missing="$missing $p"
		else
			echo "deps.sh: $p is not to be had here: what it is for is left out" >&2
		fi
	done
	[ -z "$missing" ] && exit 0
	$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
		echo "deps.sh: the installation failed. Look at: apt-get install$missing" >&2
		exit 1
	}
}
