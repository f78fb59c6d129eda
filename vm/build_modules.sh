#!/bin/sh
# SPDX-License-Identifier: MIT
#
# build_modules.sh [--arch ARCH] [--kernel stock|lab] [--headers DIR] [--sources DIR] [--out DIR]
#                  [MAKE WORDS...]
#
# Builds the modules of every sprint for one kernel, and prints the folder that they are in.
# The kernel's build writes beside its sources, so it gets a tree of links to them:
#
#   OUT/Kbuild                      names each folder below that has a Kbuild
#   OUT/sprint-N-name/*.c *.h       links
#   OUT/sprint-N-name/kernel/...    links, with that sprint's Kbuild; the .ko files come here
#   OUT/vm/module/                  the first module of the labs
#
# A module may use what a module of an earlier sprint exports. --sources takes another tree
# than this one (a copy with a planted bug), --headers those of a kernel that is installed, such
# as /lib/modules/$(uname -r)/build. More words go to make: W=1, C=1, V=1.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) kernel=stock headers="" sources=$top out=""
while [ $# -gt 0 ]; do
	case "$1" in
	--headers) headers=$(cd "$2" && pwd) kernel=running ;;
	--sources) sources=$(cd "$2" && pwd) ;;
	--out) out=$2 ;;
	*) machine_option "$@" || break ;;
	esac
	shift 2
done
check_arch "$arch"
case "$kernel" in
stock | lab) headers=$("$vm_dir/kernel_$kernel.sh" "$arch")/headers ;;
running) ;;
*) die "no kernel \"$kernel\": stock or lab" ;;
esac
out=$(realpath -m "${out:-${BUILD:-$top/build}/kernel/$arch-$kernel}")
hold "$out.lock"
mkdir -p "$out"

# Links are made anew, and those whose file has gone are removed; objects stay.
link_folder() { # folder, relative
	mkdir -p "$out/$1"
	for file in "$sources/$1"/*.[chS] "$sources/$1"/Kbuild; do
		[ ! -e "$file" ] || [ "$out/$1/${file##*/}" -ef "$file" ] || ln -sfn "$file" "$out/$1/"
	done
	find "$out/$1" -maxdepth 1 -xtype l -delete
}
folders=""
for folder in "$sources"/sprint-*/ "$sources/vm/"; do
	name=$(basename "$folder")
	inner=$name/kernel
	[ "$name" = vm ] && inner=vm/module
	[ -e "$sources/$inner/Kbuild" ] || [ "$name" != vm ] || continue
	[ "$name" = vm ] || link_folder "$name"
	[ -e "$sources/$inner/Kbuild" ] || continue
	for deep in $(cd "$sources" && find "$inner" -type d); do
		link_folder "$deep"
	done
	folders="$folders $inner/"
done
echo "obj-m :=$folders" >"$out/Kbuild.new"
cmp -s "$out/Kbuild.new" "$out/Kbuild" && rm "$out/Kbuild.new" || mv "$out/Kbuild.new" "$out/Kbuild"

cross=$(cross_prefix "$arch")
# The compiler that built Debian's kernel where it is there, for options agree with it.
cc=${cross}gcc
command -v "${cross}gcc-12" >/dev/null && cc=${cross}gcc-12
need "$cc" "gcc-$([ "$arch" = arm64 ] && echo aarch64-linux-gnu || echo x86-64-linux-gnu)"
# There is no vmlinux to make BTF from, which is for BPF alone.
make -s -C "$headers" M="$out" ARCH="$(kernel_arch "$arch")" CROSS_COMPILE="$cross" \
	CC="$cc" CONFIG_DEBUG_INFO_BTF_MODULES= -j"${JOBS:-2}" "$@" modules >&2 || die "the modules for $arch ($kernel) were not built"
echo "$out"
