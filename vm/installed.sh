#!/bin/sh
# SPDX-License-Identifier: MIT
#
# installed.sh kernel|load|unload SPRINT - a sprint's modules for the kernel that runs here, on a
# real machine: builds them against its headers, loads them with those that they need, or
# takes them out again. make -C sprint-1-core-memory kernel load
#
#   HEADERS          of that kernel; default: /lib/modules/$(uname -r)/build
#   OPTIONS          parameters of the sprint's engine, such as dir=/srv/pairs
#   KEY, CERTIFICATE sign the modules with these, where the kernel takes none without
#   MODULES          a folder that has them already: builds nothing
set -eu
. "$(dirname "$0")/lib.sh"
[ $# -eq 2 ] || die "wants kernel, load or unload, and a sprint's folder"
what=$1 sprint=${2%/}
headers=${HEADERS:-/lib/modules/$(uname -r)/build}
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo

# In the order in which they are loaded.
case "$sprint" in
sprint-1-*) engine=array list="storage-core storage-array" ;;
sprint-2-*) engine=hash list="storage-core storage-files storage-hash" ;;
sprint-3-*) engine=btree list="storage-core storage-files storage-btree" ;;
sprint-4-*) engine=lsm list="storage-core storage-files storage-lsm" ;;
*) die "no sprint \"$sprint\" has a module" ;;
esac

find_module() {
	find -L "$modules" -name "$1.ko" | head -n 1
}

build() {
	modules=${MODULES:-}
	[ -z "$modules" ] || return 0
	[ -d "$headers" ] || die "there are no headers in $headers: apt install linux-headers-$(uname -r), \
or on Raspberry Pi OS linux-headers-rpi-v8 (Pi 5: linux-headers-rpi-2712), or name them by HEADERS="
	modules=$("$vm_dir/build_modules.sh" --headers "$headers")
	[ -n "${KEY:-}" ] || return 0
	for name in $list; do
		"$headers/scripts/sign-file" sha256 "$KEY" "${CERTIFICATE:?names the certificate of KEY}" "$(find_module "$name")" ||
			die "$name.ko could not be signed"
	done
}

case "$what" in
kernel)
	build
	for name in $list; do
		find_module "$name"
	done
	;;
load)
	build
	# What the kernel itself has as modules: insmod looks for none.
	for name in libcrc32c lz4_compress lz4_decompress; do
		$as_root modprobe -q "$name" || true
	done
	for name in $list; do
		[ ! -d "/sys/module/$(echo "$name" | tr - _)" ] || continue
		words=""
		[ "$name" != "storage-$engine" ] || words=${OPTIONS:-}
		# shellcheck disable=SC2086
		$as_root insmod "$(find_module "$name")" $words ||
			die "$name.ko was not taken: dmesg says why (Key was rejected: see KEY above)"
	done
	ls -l "/dev/storage-$engine"
	;;
unload)
	for name in storage-$engine storage-files storage-core; do
		folder=/sys/module/$(echo "$name" | tr - _)
		[ -d "$folder" ] || continue
		# Another engine's module may still need what they share.
		[ "$name" = "storage-$engine" ] || [ -z "$(ls "$folder/holders")" ] || continue
		$as_root rmmod "$name" || die "$name is in use: a program has its device open"
	done
	;;
*) die "what is \"$what\"? kernel, load or unload" ;;
esac
