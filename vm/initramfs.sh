#!/bin/sh
# SPDX-License-Identifier: MIT
#
# initramfs.sh --arch ARCH --kernel DIR --out FILE [--modules DIR] [--program FILE]...
#              [--file HOST=GUEST]...
#
# Packs the machine's first file system: busybox, vm/guest/init, the tests of vm/tests, those
# modules of the kernel in DIR (as kernel_stock.sh or kernel_lab.sh made it) that the machine
# and our modules need, ours (every .ko below --modules), programs with the libraries that
# they are linked with, and single files. What goes into a boot alone (its command) is
# added by run.sh as an archive of its own behind this one.
#
#   VM_LIBRARY_PATH   folders, by colons, where libraries of ARCH are looked for first; then
#                     come the host's own, and those that programs.sh fetched
set -eu
. "$(dirname "$0")/lib.sh"
arch="" kernel="" out="" modules="" programs="" files=""
while [ $# -gt 0 ]; do
	case "$1" in
	--arch) arch=$2 ;;
	--kernel) kernel=$2 ;;
	--out) out=$2 ;;
	--modules) modules=$2 ;;
	--program) programs="$programs $2" ;;
	--file) files="$files $2" ;;
	*) die "what is \"$1\"?" ;;
	esac
	shift 2
done
check_arch "$arch"
[ -n "$kernel" ] && [ -n "$out" ] || die "wants --kernel DIR and --out FILE"
need cpio cpio
need depmod kmod

version=$(cat "$kernel/version")
mkdir -p "$(dirname "$out")"
root=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/vm/bin" "$root/vm/tests" "$root/lib/modules/$version/extra"
cp -L "$kernel/busybox" "$root/bin/busybox"
cp "$vm_dir/guest/init" "$root/init"
cp "$vm_dir"/guest/*.sh "$root/vm/"
find "$vm_dir/tests" -maxdepth 1 -name '*.sh' -exec cp {} "$root/vm/tests/" \;
chmod 755 "$root/init" "$root/bin/busybox"

# Ours, without what only a debugger wants.
if [ -n "$modules" ]; then
	strip=$(cross_prefix "$arch")strip
	for ko in $(find -L "$modules" -name '*.ko' | sort); do
		"$strip" --strip-debug -o "$root/lib/modules/$version/extra/${ko##*/}" "$ko"
	done
fi

# The kernel's own, with all that they depend on in turn.
dep=$kernel/image/lib/modules/$version/modules.dep
if [ -f "$dep" ]; then
	wanted="virtio_pci virtio_mmio virtio_blk virtio_rng ext4 9p 9pnet_virtio crc32c_generic"
	wanted="$wanted crc32c-intel crc32_ce crct10dif-ce sdhci-iproc bcm2835 mmc_block"
	for ko in "$root/lib/modules/$version/extra"/*.ko; do
		[ -f "$ko" ] && wanted="$wanted $(modinfo -F depends "$ko" | tr ',' ' ')"
	done
	awk -v wanted="$wanted" '
		function short(path) {
			sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path)
			return path
		}
		{ sub(/:/, ""); name[short($1)] = $1; all[$1] = $0 }
		END {
			n = split(wanted, w, " ")
			for (i = 1; i <= n; i++) {
				m = split(all[name[short(w[i])]], line, " ")
				for (k = 1; k <= m; k++)
					print line[k]
			}
		}' "$dep" | sort -u | while read -r path; do
		mkdir -p "$root/lib/modules/$version/$(dirname "$path")"
		cp "$kernel/image/lib/modules/$version/$path" "$root/lib/modules/$version/$path"
	done
	for list in order builtin builtin.modinfo; do
		cp "$kernel/image/lib/modules/$version/modules.$list" "$root/lib/modules/$version/"
	done
	depmod -b "$root" "$version"
elif [ -n "$modules" ]; then
	depmod -b "$root" "$version" 2>/dev/null
fi

# A program, and the libraries that it names, from where they are for ARCH.
library_folders() {
	echo "${VM_LIBRARY_PATH:-}" | tr ':' '\n'
	case "$arch" in
	amd64) printf '%s\n' /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /usr/x86_64-linux-gnu/lib ;;
	arm64) printf '%s\n' /lib/aarch64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/aarch64-linux-gnu/lib ;;
	esac
	ls -d "$VM_CACHE/libraries-$arch"/usr/lib/*-linux-gnu 2>/dev/null
}

add_libraries() { # file
	interpreter=$(readelf -lW "$1" 2>/dev/null | sed -n 's/.*program interpreter: \(.*\)]/\1/p')
	for library in $interpreter $(readelf -dW "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
		case "$library" in
		/*) target=$root$library ;;
		*) target=$root/usr/lib/$library ;;
		esac
		[ -e "$target" ] && continue
		found=""
		for folder in $(library_folders); do
			[ -e "$folder/${library##*/}" ] && found=$folder/${library##*/} && break
		done
		[ -n "$found" ] || die "$1 needs $library, which is not there for $arch: VM_LIBRARY_PATH names folders"
		mkdir -p "$(dirname "$target")"
		cp -L "$found" "$target"
		(add_libraries "$found")
	done
}

for program in $programs; do
	cp -L "$program" "$root/vm/bin/"
	add_libraries "$program"
done
for file in $files; do
	mkdir -p "$root$(dirname "${file#*=}")"
	cp -L "${file%%=*}" "$root${file#*=}"
done

(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet --reproducible) >"$out.new"
mv "$out.new" "$out"
