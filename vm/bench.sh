#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench.sh [--arch ARCH] [--kernel stock|lab] [--machine M] [--out DIR] [KVBENCH OPTIONS...]
#
# Measures the modules beside the same engines in userspace, in one machine: loads every
# storage module, runs kvbench in there over each engine, its device and the device's other
# ways in, then harness/crossing, which has each call in turn here and there, and renders the report of
# both. CROSSING="hash btree" chooses its engines, none when empty. Ratios count; a translated
# machine's absolute figures say
# nothing about a real one.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) kernel=stock machine="" out=""
while [ $# -gt 0 ]; do
	case "$1" in
	--arch) arch=$2 ;;
	--kernel) kernel=$2 ;;
	--machine) machine=$2 ;;
	--out) out=$2 ;;
	*) break ;;
	esac
	shift 2
done
[ "$machine" != raspi3b ] || die "raspi3b has no way to hand over results: take virt"
out=${out:-$top/reports/vm-$arch-$kernel}
mkdir -p "$out"
modules=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel "$kernel")
programs=$("$vm_dir/programs.sh" "$arch" harness/kvbench harness/crossing)
case " $* " in *" --workloads "* | *" -w "*) ;; *) set -- --workloads c "$@" ;; esac
case " $* " in *" --records "*) ;; *) set -- --records 20k "$@" ;; esac
engines='engines=$(for d in /dev/storage-*; do n=${d#/dev/storage-}
	echo $n $n@kernel $n@kernel+batch $n@kernel+ring; done | tr " \n" ",,")null,null@kernel'
# shellcheck disable=SC2016
case " $* " in *" --engines "* | *" -e "*) engines="" ;; *) set -- --engines '$engines' "$@" ;; esac

# The stores are on the machine's own disk, which is new each time.
disk=$(mktemp -u "${TMPDIR:-/tmp}/vm-bench.XXXXXX")
trap 'rm -f "$disk"' EXIT
# shellcheck disable=SC2086
VM_DISK_MIB=${VM_DISK_MIB:-1024} "$vm_dir/run.sh" --arch "$arch" --kernel "$kernel" ${machine:+--machine "$machine"} \
	--modules "$modules" $programs --share "$out" --disk "$disk" --memory "${VM_MEMORY:-2048}" \
	--limit "${VM_LIMIT:-3600}" -- "
# Both sides get the same options.
options() {
	case \$1 in
	array) echo memory_bytes=64m ;;
	hash) echo segment_bytes=2m ;;
	btree) echo segment_bytes=1m,checkpoint_bytes=8m,memory_bytes=64m ;;
	lsm) echo segment_bytes=1m,memory_bytes=32m,record_percent=0,table_bytes=4m ;;
	esac
}
for ko in /lib/modules/\$(uname -r)/extra/storage-*.ko; do
	name=\$(basename \$ko .ko)
	case \$name in
	*test | storage-core | storage-files) ;;
	storage-array) modprobe \$name ;;
	*) modprobe \$name selftest=0 options=\$(options \${name#storage-}) ;;
	esac
done
ls /dev/storage-* >/dev/null 2>&1 || { echo 'no storage device came up'; exit 1; }
$engines
mkdir -p /disk/data && kvbench bench --dir /disk/data --out /tmp/out --no-report $* 2>/tmp/errors
code=\$?
cat /tmp/errors
for name in ${CROSSING-array hash btree lsm}; do
	[ -e /dev/storage-\$name ] && sides=\"\$sides \$name:\$(options \$name)\"
done
[ -z \"\$sides\" ] || crossing --results /tmp/out/results.json --rounds ${ROUNDS:-7} --dir /tmp \$sides || code=1
cp /tmp/out/results.json /share/ || exit 1
exit \$code"
kvbench=$(realpath -m "${BUILD:-$top/build}")/release/harness/kvbench
[ -x "$kvbench" ] || "$vm_dir/programs.sh" "$(host_arch)" harness/kvbench >/dev/null
"$kvbench" report "$out" --out "$out"
echo "The report is in $out"
