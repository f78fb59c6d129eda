#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh [options] -- COMMAND...      boots a machine, runs COMMAND in it, ends with its code
# run.sh [options] --shell            a shell in it, on this terminal
#
#   --arch amd64|arm64       of the machine; default: this host's
#   --machine pc|virt|raspi3b    default: pc for amd64, virt for arm64
#   --kernel stock|lab       Debian's own, or the small one with every check; default: stock
#   --modules DIR            our modules for that kernel (build_modules.sh prints the folder)
#   --program FILE           a program, into /vm/bin; may be repeated
#   --file HOST=GUEST        a file; may be repeated
#   --disk FILE              a disk with ext4 at /disk; made when absent (VM_DISK_MIB=256)
#   --share DIR              a folder of the host at /share
#   --append WORDS           more for the kernel's command line
#   --memory MIB, --cpus N   default: 512, or 1024 for the lab kernel; 2
#   --limit SECONDS          for all of it; default 600
#   --cut SECONDS            cuts the machine's power so long after COMMAND began; then ends with 0
#   --gdb PORT               waits for a debugger at that port before the first instruction
#   --gdb-attach PORT        lets a debugger come at that port, and does not wait for it
#   --log FILE               where the console's text goes; default below $BUILD/vm
#   --verbose                shows the boot too
#
# Exit codes: COMMAND's; 123 when no boot came as far as COMMAND; 124 after --limit; 125 when the machine ended
# without a code (a panic). A boot that says nothing for VM_SILENCE=120 seconds, or is not through after
# VM_BOOT=400, is given up and begun again, twice at most: translated machines do hang, once in some hundred
# boots, in code that is not ours. KVM is used where a first boot showed that it
# works (VM_ACCEL=tcg or kvm decides it by hand), otherwise QEMU translates. VM_ACCEL=count: a machine
# of one processor, whose clock counts its instructions, one a nanosecond: times in it are the same
# whatever else the host does.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) machine="" kernel=stock modules="" pack="" disk="" share="" append=""
memory="" cpus=2 limit=600 cut="" gdb="" log="" verbose="" shell=""
while [ $# -gt 0 ]; do
	case "$1" in
	--arch) arch=$2 ;;
	--machine) machine=$2 ;;
	--kernel) kernel=$2 ;;
	--modules) modules=$2 ;;
	--program | --file) pack="$pack $1 $2" ;;
	--disk) disk=$2 ;;
	--share) share=$(cd "$2" && pwd) ;;
	--append) append=$2 ;;
	--memory) memory=$2 ;;
	--cpus) cpus=$2 ;;
	--limit) limit=$2 ;;
	--cut) cut=$2 ;;
	--gdb) gdb="-S $2" ;;
	--gdb-attach) gdb=$2 ;;
	--log) log=$2 ;;
	--verbose) verbose=-v && set -- "" "$@" ;;
	--shell) shell=1 && set -- "" "$@" ;;
	--help) sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,/^Exit/p' && exit 0 ;;
	--) shift && break ;;
	*) die "what is \"$1\"? See --help" ;;
	esac
	shift 2
done
check_arch "$arch"
[ -n "$shell" ] || [ $# -gt 0 ] || die "wants a command behind --, or --shell"
[ -n "$machine" ] || case "$arch" in amd64) machine=pc ;; arm64) machine=virt ;; esac
case "$arch-$machine" in
amd64-pc) qemu=qemu-system-x86_64 package=qemu-system-x86 console=ttyS0 ;;
arm64-virt) qemu=qemu-system-aarch64 package=qemu-system-arm console=ttyAMA0 ;;
arm64-raspi3b) qemu=qemu-system-aarch64 package=qemu-system-arm console=ttyAMA0 ;;
*) die "no machine \"$machine\" for $arch: pc (amd64), virt or raspi3b (arm64)" ;;
esac
need "$qemu" "$package"

case "$kernel" in
stock | lab) kernel_dir=$("$vm_dir/kernel_$kernel.sh" "$arch") ;;
*) die "no kernel \"$kernel\": stock or lab" ;;
esac
[ -n "$memory" ] || case "$kernel" in stock) memory=512 ;; lab) memory=1024 ;; esac

build=$(realpath -m "${BUILD:-$top/build}")/vm
mkdir -p "$build"
vmwatch=$build/vmwatch
[ "$vmwatch" -nt "$vm_dir/vmwatch.c" ] ||
	{ ${HOSTCC:-cc} -std=gnu11 -O2 -D_GNU_SOURCE -o "$vmwatch.$$" "$vm_dir/vmwatch.c" &&
		mv "$vmwatch.$$" "$vmwatch"; }

work=$(mktemp -d "$build/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
nonce=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
[ -n "$log" ] || log=$build/last-$arch-$kernel.log

# The command is a file, so that it may be long and hold any character.
mkdir -p "$work/root/vm"
# shellcheck disable=SC2086
"$vm_dir/initramfs.sh" --arch "$arch" --kernel "$kernel_dir" --out "$work/base" \
	${modules:+--modules "$modules"} $pack
echo "$*" >"$work/root/vm/command"
(cd "$work/root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$work/command.cpio"
cat "$work/base" "$work/command.cpio" >"$work/initrd"

set --
case "$machine" in
pc) set -- -machine q35 -cpu max ;;
virt) set -- -machine virt -cpu cortex-a72 ;;
raspi3b)
	set -- -machine raspi3b -dtb "$kernel_dir/raspi3b.dtb"
	memory=1024 cpus=4
	[ -z "$share" ] || die "raspi3b has no way to share a folder: use a disk"
	;;
esac
# A translated processor runs on threads of this host, a real one by itself.
accel=${VM_ACCEL:-$("$vm_dir/kvm_probe.sh" "$arch" "$machine")}
case "$accel" in
kvm) set -- "$@" -accel kvm -cpu host ;;
count)
	accel=tcg cpus=1
	set -- "$@" -accel tcg,thread=single -icount shift=0,sleep=off
	;;
*) set -- "$@" -accel tcg,thread=multi ;;
esac
set -- "$@" -m "$memory" -smp "$cpus" -display none -no-reboot -nodefaults -serial \
	"$([ -n "$shell" ] && echo mon:stdio || echo stdio)"
if [ -n "$disk" ]; then
	if [ ! -e "$disk" ]; then
		need mke2fs e2fsprogs
		truncate -s "${VM_DISK_MIB:-256}M" "$disk"
		mke2fs -q -t ext4 -F "$disk" || die "no file system could be made in $disk"
	fi
	case "$machine" in
	raspi3b) set -- "$@" -drive "if=sd,format=raw,file=$disk" ;;
	*) set -- "$@" -drive "if=virtio,format=raw,file=$disk" ;;
	esac
fi
[ -z "$share" ] || set -- "$@" -virtfs "local,path=$share,mount_tag=share,security_model=none"
case "$gdb" in
"-S "*) set -- "$@" -S -gdb "tcp:127.0.0.1:${gdb#-S }" ;;
?*) set -- "$@" -gdb "tcp:127.0.0.1:$gdb" ;;
esac
words="console=$console panic=-1 loglevel=5 vm.nonce=$nonce log_buf_len=4M $append"
# A translated processor does string instructions byte by byte, which makes the kernel's copies
# eight times as dear as a program's own. So the kernel takes its loops of words instead.
[ "$machine-$accel" != pc-tcg ] || words="clearcpuid=erms,rep_good $words"
# A translated machine stands still while its host does other work. That is no stall of its own:
# what really hangs is found later then, by the same checks or at the limit.
[ "$accel" = kvm ] || words="rcupdate.rcu_cpu_stall_timeout=300 sysctl.kernel.watchdog_thresh=60 \
sysctl.kernel.hung_task_timeout_secs=180 $words"
# A busy host gives the machine's timer too few ticks for the kernel's check of it.
[ "$machine" != pc ] || words="no_timer_check $words"
[ -z "$gdb" ] || words="nokaslr $words"
[ -z "$shell" ] || words="vm.shell $words"
[ -z "$disk" ] || words="vm.disk $words"
[ -z "$share" ] || words="vm.share $words"
set -- "$@" -kernel "$kernel_dir/vmlinuz" -initrd "$work/initrd" -append "$words"

code=0
if [ -n "$shell" ]; then
	"$qemu" "$@" || code=$?
else
	silence=${VM_SILENCE:-120} boot=${VM_BOOT:-400}
	[ -z "$gdb" ] || { silence=$limit && boot=$limit; } # a debugger may stop it for long
	for try in 1 2 3; do
		code=0
		# shellcheck disable=SC2086
		"$vmwatch" -n "$nonce" -l "$log" -s "$silence" -b "$boot" -t "$limit" ${cut:+-c "$cut"} $verbose -- "$qemu" "$@" || code=$?
		[ $code -eq 123 ] && [ $try -lt 3 ] || break
		echo "vm: the machine did not come up; once more" >&2
	done
fi
exit "$code"
