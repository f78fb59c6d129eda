#!/bin/sh
# SPDX-License-Identifier: MIT
#
# decode.sh --arch ARCH [--modules DIR] [--vmlinux FILE] <LOG
#
# Copies a kernel's messages and puts the file, line and inlined callers behind each place that
# they name as function+0xoffset/0xsize [module], with the symbols of our modules below DIR and, for
# the lab kernel, of vmlinux.
set -eu
. "$(dirname "$0")/lib.sh"
arch=$(host_arch) modules="" vmlinux=""
while [ $# -gt 0 ]; do
	case "$1" in
	--arch) arch=$2 ;;
	--modules) modules=$2 ;;
	--vmlinux) vmlinux=$2 ;;
	*) die "what is \"$1\"?" ;;
	esac
	shift 2
done
cross=$(cross_prefix "$arch")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tr -d '\r' >"$work/log"

# Where an object has a function: its section and its address there.
locate() { # object, function
	"${cross}readelf" -sW "$1" | awk -v f="$2" '$4 == "FUNC" && $8 == f { print $2, $7; exit }'
}

section_name() { # object, number
	"${cross}readelf" -SW "$1" | sed -n "s/^ *\\[ *$2\\] *\\([^ ]*\\) .*/\\1/p"
}

# "1 / place / object" a line; each place once.
sed -n 's/.*[^A-Za-z0-9_.]\([A-Za-z_][A-Za-z0-9_.]*\)+\(0x[0-9a-f]*\)\/0x[0-9a-f]*\( \[[a-z0-9_-]*\)\{0,1\}.*/\1 \2\3/p' \
	"$work/log" | tr -d '[' | sort -u | while read -r function offset module; do
	object=$vmlinux
	if [ -n "$module" ]; then
		file=$(echo "$module" | tr '_-' '??')
		object=$([ -z "$modules" ] || find -L "$modules" -name "$file.ko" | head -n 1)
	fi
	[ -n "$object" ] || continue
	set -- $(locate "$object" "$function")
	[ $# -eq 2 ] || continue
	address=$(printf '0x%x' $((0x$1 + offset)))
	if [ -n "$module" ]; then
		lines=$("${cross}addr2line" -i -e "$object" -j "$(section_name "$object" "$2")" "$address")
	else
		lines=$("${cross}addr2line" -i -e "$object" "$address")
	fi
	# Paths through the tree of links, and of the kernel's source, in short.
	lines=$(echo "$lines" | sed 's/ (discriminator [0-9]*)//; s|.*/\(sprint-[0-9]-[^/]*/\)|\1|; s|.*/\(vm/module/\)|\1|
		s|.*/linux-source-[0-9.]*/||' | grep -v '^??' | tr '\n' ' ' | sed 's/ / < /g; s/ < $//') || true
	[ -z "$lines" ] || echo "$function+$offset/ $lines"
done >"$work/lines"

awk 'NR == FNR { place = $1; sub(/^[^ ]* /, ""); at[place] = $0; next }
	{
		text = $0
		if (match($0, /[A-Za-z_][A-Za-z0-9_.]*\+0x[0-9a-f]+\//)) {
			place = substr($0, RSTART, RLENGTH)
			if (place in at)
				text = $0 "\t" at[place]
		}
		print text
	}' "$work/lines" "$work/log"
