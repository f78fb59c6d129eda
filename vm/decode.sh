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

# The shell's numbers have a sign, a kernel's addresses use all 64 bits: the upper half stays.
add() { # hexadecimal digits, offset
	upper=${1%????????}
	printf '0x%s%08x' "$upper" $((0x${1#"$upper"} + $2))
}

# Paths through the tree of links, and of the kernel's source, in short; those of the functions
# that were inlined in one line.
shorten() {
	sed 's/ (discriminator [0-9]*)//; s|.*/\(sprint-[0-9]-[^/]*/\)|\1|; s|.*/\(vm/module/\)|\1|
		s|.*/linux-source-[0-9.]*/||' | grep -v '^??' | tr '\n' ' ' | sed 's/ / < /g; s/ < $//'
}

# "function offset module" a line; each place once.
sed -n 's/.*[^A-Za-z0-9_.]\([A-Za-z_][A-Za-z0-9_.]*\)+\(0x[0-9a-f]*\)\/0x[0-9a-f]*\( \[[a-z0-9_-]*\)\{0,1\}.*/\1 \2\3/p' \
	"$work/log" | tr -d '[' | sort -u >"$work/places"

# "function+offset/ lines" a line, first of the modules.
awk 'NF == 3' "$work/places" | while read -r function offset module; do
	file=$(echo "$module" | tr '_-' '??')
	object=$([ -z "$modules" ] || find -L "$modules" -name "$file.ko" | head -n 1)
	[ -n "$object" ] || continue
	set -- $(locate "$object" "$function")
	[ $# -eq 2 ] || continue
	lines=$("${cross}addr2line" -i -e "$object" -j "$(section_name "$object" "$2")" "$(add "$1" "$offset")" | shorten)
	[ -z "$lines" ] || echo "$function+$offset/ $lines"
done >"$work/lines"

# Then of the kernel itself, all by one call: its symbols take long to read.
if [ -n "$vmlinux" ]; then
	"${cross}readelf" -sW "$vmlinux" | awk 'FILENAME != "-" { if (NF == 2) wanted[$1] = wanted[$1] " " $2; next }
		$4 == "FUNC" && $8 in wanted {
			n = split(wanted[$8], offset)
			for (i = 1; i <= n; i++)
				print $8, offset[i], $2
			delete wanted[$8]
		}' "$work/places" - | while read -r function offset base; do
		echo "$(add "$base" "$offset") $function+$offset/"
	done >"$work/kernel"
	cut -d' ' -f1 "$work/kernel" | xargs -r "${cross}addr2line" -a -i -e "$vmlinux" |
		awk '/^0x/ { printf "%s%s", n++ ? "\n" : "", $0; next } { printf "\t%s", $0 }
			END { print "" }' | while read -r address lines; do
		lines=$(echo "$lines" | tr '\t' '\n' | shorten)
		name=$(sed -n "s/^$address //p" "$work/kernel" | head -n 1)
		[ -z "$lines" ] || [ -z "$name" ] || echo "$name $lines"
	done >>"$work/lines"
fi

awk -v log_file="$work/log" 'FILENAME != log_file { place = $1; sub(/^[^ ]* /, ""); at[place] = $0; next }
	{
		text = $0
		if (match($0, /[A-Za-z_][A-Za-z0-9_.]*\+0x[0-9a-f]+\//)) {
			place = substr($0, RSTART, RLENGTH)
			if (place in at)
				text = $0 "\t" at[place]
		}
		print text
	}' "$work/lines" "$work/log"
