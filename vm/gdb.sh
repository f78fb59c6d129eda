#!/bin/sh
# SPDX-License-Identifier: MIT
#
# gdb.sh [--arch ARCH] [--kernel stock|lab] [--machine M] [--port 1234] [--do COMMAND] [--early]
#        [-- GDB ARGUMENTS...]
#
# Boots a machine, loads all modules in it, and starts gdb on its kernel with the modules'
# symbols at the addresses that they were loaded at; for the lab kernel with those of vmlinux
# as well. The machine does COMMAND every two seconds meanwhile (by default it writes to
# and reads /dev/note), so that a breakpoint is soon met:
#
#   (gdb) break note_read
#   (gdb) continue
#
# --early stops before the kernel's first instruction instead; there are no modules then. With
# the lab kernel, "lx-symbols FOLDER" loads their symbols as they come.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) kernel=lab machine="" port=1234 early=""
what='echo "a note" >/dev/note; cat /dev/note'
while [ $# -gt 0 ]; do
	case "$1" in
	--port) port=$2 && shift 2 ;;
	--do) what=$2 && shift 2 ;;
	--early) early=1 && shift ;;
	--) shift && break ;;
	*) machine_option "$@" && shift 2 || die "what is \"$1\"?" ;;
	esac
done
gdb=gdb-multiarch
command -v $gdb >/dev/null || gdb=gdb
need $gdb gdb-multiarch

kernel_dir=$("$vm_dir/kernel_$kernel.sh" "$arch")
modules=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel "$kernel")
programs=$("$vm_dir/programs.sh" "$arch")
build=$(realpath -m "${BUILD:-$top/build}")/vm
mkdir -p "$build"
log=$build/gdb-$arch-$kernel.log
script=$build/gdb-$arch-$kernel.gdb
rm -f "$log"

cat >"$build/gdb-guest.sh" <<END
for path in /lib/modules/\$(uname -r)/extra/*.ko; do
	name=\$(basename \$path .ko)
	[ \$name = crash ] || modprobe \$name || continue
	for section in .text .rodata .data .bss; do
		address=\$(cat /sys/module/\$(echo \$name | tr - _)/sections/\$section 2>/dev/null) &&
			echo "@@section \$name \$section \$address"
	done
done
echo "@@sections end"
while sleep 2; do
	$what
done
END

attach=--gdb-attach
[ -z "$early" ] || attach=--gdb
# shellcheck disable=SC2086
"$vm_dir/run.sh" --arch "$arch" --kernel "$kernel" ${machine:+--machine "$machine"} --modules "$modules" \
	$programs --file "$build/gdb-guest.sh=/vm/gdb-guest.sh" $attach "$port" --log "$log" --limit 86400 \
	-- sh /vm/gdb-guest.sh >"$build/gdb.out" 2>&1 &
guest=$!
trap 'kill $guest 2>/dev/null; wait $guest 2>/dev/null' EXIT INT TERM

{
	[ ! -e "$kernel_dir/vmlinux" ] || echo "file $kernel_dir/vmlinux"
	case "$arch" in
	amd64) echo "set architecture i386:x86-64" ;;
	arm64) echo "set architecture aarch64" ;;
	esac
	[ ! -e "$kernel_dir/build/vmlinux-gdb.py" ] ||
		printf 'add-auto-load-safe-path %s\nsource %s\n' "$VM_CACHE" "$kernel_dir/build/vmlinux-gdb.py"
	echo "set pagination off"
	echo "set confirm off"
} >"$script"
if [ -z "$early" ]; then
	waited=0
	until grep -q '@@sections end' "$log" 2>/dev/null; do
		sleep 0.5
		waited=$((waited + 1))
		kill -0 $guest 2>/dev/null && [ $waited -lt 600 ] || {
			cat "$build/gdb.out" >&2
			die "the machine did not load its modules: see $log"
		}
	done
	tr -d '\r' <"$log" | awk '$1 == "@@section" { at[$2] = at[$2] " -s " $3 " " $4 } END { for (m in at) print m at[m] }' |
		while read -r name sections; do
			ko=$(find -L "$modules" -name "$name.ko" | head -n 1)
			echo "add-symbol-file $ko $sections"
		done >>"$script"
else
	echo "echo The machine waits. Its modules' symbols, once they are loaded: lx-symbols $modules\\n" >>"$script"
fi
echo "target remote 127.0.0.1:$port" >>"$script"
say "gdb's commands are in $script; for a debugger of your own: target remote 127.0.0.1:$port"
$gdb -q -nx -iex "set auto-load safe-path $VM_CACHE" -x "$script" "$@"
