#!/usr/bin/env bash
# replay.sh [--record] FILE.md - does what a transcript in a document says, in a fresh copy of
# the repository, and compares.
#
#   ```console    a line that begins with "$ " is a command; what follows is what it prints
#   ```diff       is applied with patch -p0: what a person would do in an editor
#
# Figures that differ from run to run (times, speeds, dates) are not compared; a line "..."
# stands for any number of lines. --record writes what was printed into the document, where it
# differs. KEEP=1 leaves the copy where it is. Exit code 0 when all is as the document says.
set -u
record=no
[ "${1:-}" = --record ] && { record=yes && shift; }
document=$(realpath "$1") || exit 2
cd "$(dirname "$0")/../.." || exit 2
top=$PWD
scratch=$(mktemp -d)
[ -n "${KEEP:-}" ] || trap 'rm -rf "$scratch"' EXIT
copy=$scratch/storage
mkdir "$copy"
git ls-files -co --exclude-standard | while read -r f; do [ -e "$f" ] && echo "$f"; done |
	tar -cf - -T - | tar -xf - -C "$copy"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES BUILD WORK B JSON LEARN_TREE
cd "$copy" || exit 2

# The steps: scratch/N.kind (console or diff), .command, .expected; the rest of the document in
# scratch/N.text, with a step between each two.
awk -v dir="$scratch" '
function out(kind) { return dir "/" n "." kind }
BEGIN { n = 0; printf "" >out("text") }
/^```console$/ || /^```diff$/ {
	kind = substr($0, 4)
	print >out("text")
	in_block = 1
	if (kind == "diff") {
		n++
		print kind >out("kind")
	}
	next
}
/^```$/ && in_block {
	in_block = 0
	n++
	print "text" >out("kind")
	print >out("text")
	next
}
in_block && kind == "console" && /^\$ / {
	n++
	print kind >out("kind")
	print substr($0, 3) >out("command")
	printf "" >out("expected")
	next
}
in_block && kind == "diff" { print >out("command"); next }
in_block { print >out("expected"); next }
{ print >out("text") }' "$document"

normal() { # figures that no two runs share
	sed -E -e 's/[0-9]+(\.[0-9]+)? ns/N ns/g' -e 's/[0-9]+\.[0-9]+ times/N times/g' \
		-e 's/ +[0-9]+m / Nm /' -e 's/learn\.mk:[0-9]+/learn.mk:N/' \
		-e 's/[0-9]{8}-[0-9]{6}/DATE/g' -e 's/[0-9.]+ (M|k) ?/N /g' -e 's/[0-9.]+×/N×/g' \
		-e 's/[0-9]+ s  ok/N s  ok/' -e 's/ +/ /g' -e 's/ $//' -e "s|$copy/||g"
}
matches() { # expected, came
	awk '
	NR == FNR { want[++n] = $0; next }
	{ came[++m] = $0 }
	END {
		i = 1
		for (k = 1; k <= n; k++) {
			if (want[k] == "...") {
				any = 1
				continue
			}
			while (any && i <= m && came[i] != want[k])
				i++
			if (i > m || came[i] != want[k])
				exit 1
			i++
			any = 0
		}
		exit i <= m && !any
	}' <(normal <"$1") <(normal <"$2")
}

passed=0
failed=0
for kind in $(ls "$scratch"/*.kind | sort -V); do
	step=${kind%.kind}
	case $(cat "$kind") in
	console)
		bash -c "$(cat "$step.command")" >"$step.came" 2>&1 </dev/null
		if matches "$step.expected" "$step.came"; then
			passed=$((passed + 1))
		else
			[ $record = yes ] && cp "$step.came" "$step.expected" && sed -i "s|$copy/||g" "$step.expected"
			[ $record = yes ] || {
				failed=$((failed + 1))
				printf '$ %s\nprints other things than the document says:\n' "$(cat "$step.command")"
				diff <(normal <"$step.expected") <(normal <"$step.came") | sed 's/^/    /'
			}
		fi
		;;
	diff)
		if patch -p0 -s <"$step.command" >"$step.came" 2>&1; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
			printf 'a diff does not apply:\n'
			sed 's/^/    /' "$step.came"
		fi
		;;
	esac
done
if [ $record = yes ]; then
	{
		cat "$scratch/0.text"
		for kind in $(ls "$scratch"/*.kind | sort -V); do
			step=${kind%.kind}
			case $(cat "$kind") in
			console)
				sed 's/^/$ /' "$step.command"
				cat "$step.expected"
				;;
			diff) cat "$step.command" ;;
			text) cat "$step.text" ;;
			esac
		done
	} >"$scratch/new.md"
	cp "$scratch/new.md" "$document"
fi
cd "$top" || exit 2
printf '%d passed, %d failed\n' $passed $failed
[ $failed -eq 0 ]
