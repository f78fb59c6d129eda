#!/bin/sh
# SPDX-License-Identifier: MIT
#
# kernel_stock.sh ARCH - Debian's own kernel for ARCH (amd64, arm64) with what its modules are
# built against, unpacked into the cache; nothing is installed. Prints the folder, which has
#
#   vmlinuz  image/lib/modules/VERSION/  headers/ (for make -C)  version  busybox
#
# The build tools (linux-kbuild) are those of the host, so that modules for arm64 are built on
# amd64 and the other way round.
set -eu
. "$(dirname "$0")/lib.sh"
arch=${1:-$(host_arch)}
check_arch "$arch"
host=$(host_arch)

dir=$VM_CACHE/stock-$arch
hold "$dir.lock"
if [ -f "$dir/complete" ]; then
	echo "$dir"
	exit 0
fi
need apt-get apt
need depmod kmod
rm -rf "$dir"
mkdir -p "$dir"
apt_lists "$arch"
[ "$arch" = "$host" ] || apt_lists "$host"

image=$(apt_depends "$arch" "linux-image-$arch" | grep '^linux-image-' | head -n 1)
headers=$(apt_depends "$arch" "linux-headers-$arch" | grep '^linux-headers-' | head -n 1)
[ -n "$image" ] && [ -n "$headers" ] || die "Debian's lists name no kernel for $arch"
version=${image#linux-image-}
common=$(apt_depends "$arch" "$headers" | grep '^linux-headers-.*-common$')
kbuild=$(apt_depends "$arch" "$headers" | grep '^linux-kbuild-')

apt_unpack "$arch" "$image" "$dir/image"
apt_unpack "$arch" "$headers" "$dir/unpacked"
apt_unpack "$arch" "$common" "$dir/unpacked"
apt_unpack "$host" "$kbuild" "$dir/unpacked"
apt_unpack "$arch" busybox-static "$dir/unpacked"

# The headers' makefile names its other half by a path from the root, and links do as well.
src=$dir/unpacked/usr/src
ln -s "unpacked/usr/src/$headers" "$dir/headers"
sed -i "s|/usr/src/|$src/|g" "$src/$headers/Makefile"
kbuild_dir=$(ls -d "$dir"/unpacked/usr/lib/linux-kbuild-*)
for tools in scripts tools; do
	rm -f "$src/$headers/$tools" "$src/$common/$tools"
	ln -s "$kbuild_dir/$tools" "$src/$headers/$tools"
	ln -s "$kbuild_dir/$tools" "$src/$common/$tools"
done

depmod -b "$dir/image" "$version"
ln -s "image/boot/vmlinuz-$version" "$dir/vmlinuz"
find "$dir/image" -name '*.dtb' -name 'bcm2837-rpi-3-b.dtb' -exec ln -s {} "$dir/raspi3b.dtb" \;
busybox=$(find "$dir/unpacked" -name busybox -type f -perm -100 | head -n 1)
[ -n "$busybox" ] || die "busybox-static has no busybox"
ln -s "$busybox" "$dir/busybox"
echo "$version" >"$dir/version"
touch "$dir/complete"
say "Debian's kernel $version is in $dir"
echo "$dir"
