#!/bin/sh
# SPDX-License-Identifier: MIT
#
# programs.sh ARCH [TARGET...] - builds the programs that vm/programs.list names (targets below a
# build's folder, a line each), or those named, for ARCH, and prints the options with which
# run.sh packs them.
#
# For another architecture than this host's the libraries that they link are fetched as
# packages and unpacked into the cache, where initramfs.sh finds them.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$1
shift
check_arch "$arch"
list=${*:-$(sed 's/#.*//' "$vm_dir/programs.list" | tr '\n' ' ')}
build=$(realpath -m "${BUILD:-$top/build}")
[ -n "$(echo "$list" | tr -d ' ')" ] || exit 0

if [ "$arch" != "$(host_arch)" ]; then
	cross=$(cross_prefix "$arch")
	triple=${cross%-}
	root=$VM_CACHE/libraries-$arch
	hold "$root.lock"
	if [ ! -e "$root/complete" ]; then
		apt_lists "$arch"
		for package in libjansson4 libjansson-dev libxxhash-dev libcmocka0 libcmocka-dev \
			libsqlite3-0 libsqlite3-dev liblmdb0 liblmdb-dev; do
			apt_unpack "$arch" "$package" "$root"
		done
		touch "$root/complete"
	fi
	build=$build/$arch
	folder=$root/usr/lib/$triple
	export CROSS="$cross" PEERS="SQLITE LMDB"
	export EXTRA_CFLAGS="-isystem $root/usr/include -isystem $root/usr/include/$triple"
	export EXTRA_LDFLAGS="-L$folder -Wl,-rpath-link,$folder"
fi
targets=""
for program in $list; do
	targets="$targets $build/release/$program"
done
# shellcheck disable=SC2086
make -C "$top" --silent -j"${JOBS:-2}" DEPS=skip B=release BUILD="$build" ${CROSS:+CC="${CROSS}gcc"} $targets >&2 ||
	die "the programs for $arch were not built"
for target in $targets; do
	printf -- '--program %s ' "$target"
done
echo
