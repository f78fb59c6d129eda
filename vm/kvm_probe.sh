#!/bin/sh
# SPDX-License-Identifier: MIT
#
# kvm_probe.sh ARCH MACHINE - prints kvm when this host's KVM really runs such a machine, else
# tcg. /dev/kvm can be there and hang every guest, as in some containers and nested machines.
# So a kernel is booted with it once, and has ten seconds to say something.
# The answer is kept until the host's kernel or QEMU change.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$1
machine=$2

[ "$arch" = "$(host_arch)" ] && [ "$machine" != raspi3b ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] || {
	echo tcg
	exit 0
}
case "$arch" in
amd64) qemu=qemu-system-x86_64 console=ttyS0 board=q35 ;;
arm64) qemu=qemu-system-aarch64 console=ttyAMA0 board=virt ;;
esac
about="$(uname -r) $("$qemu" --version | head -n 1)"
answer=$VM_CACHE/kvm-$arch
hold "$answer.lock"
if [ "$(sed -n 2p "$answer" 2>/dev/null)" = "$about" ]; then
	sed -n 1p "$answer"
	exit 0
fi
kernel=$("$vm_dir/kernel_stock.sh" "$arch")
said=$(mktemp "$VM_CACHE/probe.XXXXXX")
# Without a root file system it panics, and then QEMU ends: the panic's words are the proof.
timeout 10 "$qemu" -machine $board -accel kvm -cpu host -m 256 -display none -nodefaults -no-reboot \
	-serial "file:$said" -kernel "$kernel/vmlinuz" \
	-append "console=$console panic=-1" </dev/null >/dev/null 2>&1 || true
found=tcg
grep -q 'Kernel panic' "$said" && found=kvm
[ $found = kvm ] || say "/dev/kvm is there, but no machine came up with it: QEMU translates"
rm -f "$said"
printf '%s\n%s\n' "$found" "$about" >"$answer"
echo "$found"
