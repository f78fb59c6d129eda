#!/bin/sh
# SPDX-License-Identifier: MIT
#
# kernel_lab.sh ARCH - builds the lab kernel for ARCH (amd64, arm64) from Debian's source of
# 6.1 with vm/lab.config, unless the cache has one of just this configuration. Prints the
# folder, which has
#
#   vmlinuz  vmlinux (with symbols, for gdb)  headers/ (for make -C)  version  busybox  .config
#
# About four minutes on two idle cores. JOBS=2 compilers run at once, at the lowest priority.
set -eu
. "$(dirname "$0")/lib.sh"
arch=${1:-$(host_arch)}
check_arch "$arch"
host=$(host_arch)
series=${VM_KERNEL_VERSION:-6.1}
fragments="$vm_dir/lab.config $vm_dir/lab-$arch.config"

# shellcheck disable=SC2086
hash=$(cat $fragments | sha256sum | cut -c1-12)
dir=$VM_CACHE/lab-$arch-$series-$hash
done_already() {
	[ ! -f "$dir/complete" ] || {
		echo "$dir"
		exit 0
	}
}
done_already # without waiting for who builds another
hold "$VM_CACHE/lab-$arch.lock"
done_already
need flex flex
need bison bison
need bc bc
cross=$(cross_prefix "$arch")
need "${cross}gcc" "gcc-$([ "$arch" = arm64 ] && echo aarch64-linux-gnu || echo x86-64-linux-gnu)"

# The source, once for both architectures.
source=$VM_CACHE/linux-source-$series
if [ ! -f "$source/complete" ]; then
	exec 8>"$source.lock"
	flock 8
fi
if [ ! -f "$source/complete" ]; then
	rm -rf "$source"
	mkdir -p "$source"
	apt_lists "$host"
	apt_unpack "$host" "linux-source-$series" "$source/package"
	say "unpacking the kernel's source"
	tar -C "$source" --strip-components=1 -xf "$source/package/usr/src/linux-source-$series.tar.xz"
	rm -rf "$source/package"
	touch "$source/complete"
fi

# A build that was cut short goes on where it was.
mkdir -p "$dir/build"
stock=$("$vm_dir/kernel_stock.sh" "$arch")
cp -L "$stock/busybox" "$dir/busybox"

kernel_make() {
	make -s -C "$source" O="$dir/build" ARCH="$(kernel_arch "$arch")" CROSS_COMPILE="$cross" \
		-j"${JOBS:-2}" "$@"
}

# Each wanted line must stand in what the kernel's configuration made of it.
assert_config() {
	missing=$(cat "$@" | sed -n 's/^# \(CONFIG_[A-Z0-9_]*\) is not set$/\1 n/p; s/^\(CONFIG_[A-Z0-9_]*\)=\(.*\)$/\1 \2/p' |
		while read -r option value; do
			if [ "$value" = n ]; then
				grep -q "^$option=" "$dir/build/.config" && echo "$option (unwanted)"
			else
				grep -qxF "$option=$value" "$dir/build/.config" || echo "$option=$value"
			fi
		done)
	[ -z "$missing" ] || die "the kernel's configuration dropped: $(echo "$missing" | tr '\n' ' ')"
}

say "configuring the lab kernel for $arch"
if [ "$arch" = amd64 ]; then # the 64-bit half of what the kernel calls x86
	kernel_make ARCH=x86_64 tinyconfig >/dev/null 2>&1
else
	kernel_make tinyconfig >/dev/null 2>&1
fi
# shellcheck disable=SC2086
cat $fragments >>"$dir/build/.config"
kernel_make olddefconfig >/dev/null 2>&1
# shellcheck disable=SC2086
assert_config $fragments

case "$arch" in
amd64) image=bzImage path=arch/x86/boot/bzImage ;;
arm64) image=Image path=arch/arm64/boot/Image ;;
esac
say "building the lab kernel for $arch (some minutes; log: $dir/log)"
begun=$(date +%s)
kernel_make "$image" modules scripts_gdb >"$dir/log" 2>&1 || {
	tail -n 20 "$dir/log" >&2
	die "the lab kernel was not built: see $dir/log"
}
ln -sf "build/$path" "$dir/vmlinuz"
ln -sf build/vmlinux "$dir/vmlinux"
ln -sfn build "$dir/headers"
cat "$dir/build/include/config/kernel.release" >"$dir/version"
# Objects are no longer wanted, and are most of what it takes.
find "$dir/build" -name '*.o' ! -path '*/scripts/*' ! -path '*/tools/*' -delete
touch "$dir/complete"
say "the lab kernel $(cat "$dir/version") for $arch was built in $(($(date +%s) - begun)) s"
echo "$dir"
