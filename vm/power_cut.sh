#!/bin/sh
# SPDX-License-Identifier: MIT
#
# power_cut.sh [--arch ARCH] [--kernel stock|lab] [--machine M] [--engine lsm|btree|hash] [--rounds N]
#
# A machine's module writes pairs with sync to a store on a disk, and each one that has
# returned is said on the console. At some moment QEMU is killed: all that the machine had
# in memory is gone. The next boot opens the store and looks for every pair of all rounds
# that was said, and goes on from there. Prints a line a round; ends with 1 when one is lost.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) kernel=stock machine="" engine=lsm rounds=4
while [ $# -gt 0 ]; do
	case "$1" in
	--engine) engine=$2 ;;
	--rounds) rounds=$2 ;;
	*) machine_option "$@" || die "what is \"$1\"?" ;;
	esac
	shift 2
done
modules=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel "$kernel")
programs=$("$vm_dir/programs.sh" "$arch" vm/tests/storage_tool)
work=$(mktemp -d "${TMPDIR:-/tmp}/power-cut.XXXXXX")
trap 'rm -rf "$work"' EXIT
device=/dev/storage-$engine
# Small memtables, segments and intervals: all kinds of background work are met.
case "$engine" in
lsm) options=memory_bytes=8m,memtable_bytes=256k,record_percent=0,table_bytes=256k,segment_bytes=256k,reserve_bytes=0 ;;
btree) options=memory_bytes=16m,segment_bytes=256k,checkpoint_bytes=1m ;;
hash) options=segment_bytes=256k,checkpoint_bytes=1m ;;
*) die "no durable engine \"$engine\": lsm, btree or hash" ;;
esac

in_machine() { # command
	# shellcheck disable=SC2086
	VM_DISK_MIB=128 "$vm_dir/run.sh" --arch "$arch" --kernel "$kernel" ${machine:+--machine "$machine"} --modules "$modules" $programs \
		--disk "$work/disk" --log "$work/log" --limit "${VM_LIMIT:-1800}" -- "
modprobe storage-$engine dir=/disk/store options=$options || exit 1
$1"
}
# The machine that has this round's disk, and no other.
cut() {
	for pid in $(pgrep -x "qemu-system-.*" || pgrep qemu-system); do
		{ tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -q "file=$work/disk" &&
			kill -9 "$pid"
	done
}

acked=0
round=1
while [ $round -le "$rounds" ]; do
	# Between 40 and 400 pairs, and some milliseconds more.
	number=$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')
	goal=$((acked + 40 + number % 360))
	{ in_machine "storage_tool $device check 0 $acked || exit 1
storage_tool $device ack $acked 1000000 900" || true; } | {
		last=$acked
		code=lost
		while read -r word n _; do
			case "$word" in
			ack) last=$((n + 1)) && code=ok ;;
			storage_tool* | modprobe* | pair) echo "$word $n $_" >&2 ;;
			esac
			[ "$last" -lt "$goal" ] || { cut && goal=1000000000; }
		done
		echo "$code $last" >"$work/acked"
	}
	read -r code acked <"$work/acked"
	[ "$code" = ok ] || {
		tail -n 20 "$work/log" >&2
		die "round $round: no pair was acknowledged: one of before is lost, the store does not open, or the machine did not come up; its last words are above"
	}
	echo "round $round: power cut after $acked pairs"
	round=$((round + 1))
done
in_machine "storage_tool $device check 0 $acked" || die "a pair that was acknowledged is lost"
echo "$engine: $acked pairs acknowledged over $rounds power cuts, all there"
