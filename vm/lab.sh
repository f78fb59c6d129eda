#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lab.sh [--arch ARCH] [--check] LAB - plants the bug of a lab (its folder's name in vm/labs, or
# the number in front) into a copy of the modules, boots the lab kernel with them, does what
# brings the bug out, and shows what the kernel says. The sources themselves stay as they are.
#
# With --check it prints one line, ok or FAIL: whether every line of the lab's file "expect" (an
# extended regular expression) stands in what the kernel said, and whether the kernel has
# nothing to say of the same steps without the bug.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) checking=""
while [ $# -gt 0 ]; do
	case "$1" in
	--check) checking=1 && shift ;;
	*) machine_option "$@" && shift 2 || break ;;
	esac
done
# It is always the lab kernel, and its usual machine.
[ $# -eq 1 ] || die "wants a lab: $(cd "$vm_dir/labs" && echo ./*/ | sed 's|\./||g; s|/||g')"
lab=$vm_dir/labs/$1
[ -d "$lab" ] || lab=$(ls -d "$vm_dir/labs/$1"-*/ 2>/dev/null | head -n 1)
[ -n "$lab" ] && [ -d "$lab" ] || die "no lab \"$1\": $(cd "$vm_dir/labs" && echo ./*/ | sed 's|\./||g; s|/||g')"
lab=${lab%/}
name=${lab##*/}
need patch patch

kernel_dir=$("$vm_dir/kernel_lab.sh" "$arch")
build=$(realpath -m "${BUILD:-$top/build}")
copy=$build/labs/$name
said=$copy/$arch.log

# Two copies of what the patch touches and no more: one as it is, one with the bug.
copy_sources() { # folder
	rm -rf "$1"
	mkdir -p "$1/vm"
	cp -r "$vm_dir/module" "$1/vm/"
	grep -q '^+++ b/sprint-' "$lab/plant.patch" || {
		# The first module alone: others of that folder lean on the sprints.
		grep '^note-' "$vm_dir/module/Kbuild" >"$1/vm/module/Kbuild"
		echo 'obj-m += note.o' >>"$1/vm/module/Kbuild"
		return
	}
	for folder in "$top"/sprint-*/; do
		[ -d "$folder/kernel" ] || continue
		mkdir -p "$1/$(basename "$folder")"
		cp -r "$folder"/*.[ch] "$folder/kernel" "$1/$(basename "$folder")/"
	done
}
copy_sources "$copy/src"
patch -s -d "$copy/src" -p1 <"$lab/plant.patch" || die "$name/plant.patch no longer fits the sources"
planted=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel lab --sources "$copy/src" --out "$copy/$arch")
programs=$("$vm_dir/programs.sh" "$arch" vm/tests/note_tool)

boot() { # modules, commands; more options of run.sh
	modules=$1 commands=$2
	shift 2
	# shellcheck disable=SC2086
	"$vm_dir/run.sh" --arch "$arch" --kernel lab --modules "$modules" $programs --file "$lab/run.sh=/vm/lab.sh" "$@" \
		--log "$said" --limit "${VM_LIMIT:-600}" -- "$commands" >"$said.shown" 2>&1 || true
	grep -q '@@vm:' "$said" || {
		cat "$said.shown" >&2
		die "$name: the machine did not come up"
	}
}

decode() {
	"$vm_dir/decode.sh" --arch "$arch" --modules "$planted" --vmlinux "$kernel_dir/vmlinux" >"$said.decoded"
}

show="dmesg -n 1; dmesg >/tmp/all; cat /tmp/all"
if [ -z "$checking" ]; then
	boot "$planted" "dmesg -n 8; sh /vm/lab.sh; $show"
	decode <"$said"
	sed -n '/\(BUG: \|WARNING: \|unreferenced object\)/,$p' "$said.decoded" | sed '/@@vm:/d' | head -n "${LINES_SHOWN:-80}"
	echo
	echo "All that the machine said: $said.decoded"
	echo "The sources with the bug in: $copy/src"
	exit 0
fi

# One machine does the steps with the modules as they are, then with those that have the bug.
copy_sources "$build/labs/clean"
clean=$("$vm_dir/build_modules.sh" --arch "$arch" --kernel lab --sources "$build/labs/clean" --out "$build/labs/clean-$arch")
set --
for ko in $(find -L "$planted" -name '*.ko'); do
	set -- "$@" --file "$ko=/vm/planted/${ko##*/}"
done
boot "$clean" "dmesg -n 8; sh /vm/lab.sh; rmmod note 2>/dev/null
cp /vm/planted/*.ko /lib/modules/*/extra/; echo '@@lab: with the bug' >/dev/kmsg
sh /vm/lab.sh; $show" "$@"
tr -d '\r' <"$said" | sed '/@@lab: with the bug/,$d' >"$said.clean"
tr -d '\r' <"$said" | sed -n '/@@lab: with the bug/,$p' | decode
bad=""
while read -r line; do
	grep -qE -- "$line" "$said.decoded" || bad="$bad\n       not said: $line"
done <"$lab/expect"
. "$vm_dir/guest/check.sh"
# Where allocations fail on purpose the kernel shows each with a trace.
words=$(echo "$report_words" | sed 's/|Call Trace:|Call trace:/|/; s/||/|/')
grep -E "$words|unreferenced object" "$said.clean" >"$said.reports" &&
	bad="$bad\n       said without the bug: $(head -n 1 "$said.reports")"
if [ -n "$bad" ]; then
	printf 'FAIL %s%b\n' "$name" "$bad"
	exit 1
fi
echo "ok   $name: the lab kernel caught it"
