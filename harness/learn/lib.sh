# lib.sh - what the scripts of the learning track share: where things are, the exercises and
# what their grade files say, and the tree of links in which a learner's code is built.
# Sourced by bash, in the top folder.
#
#   work/sprint-N/      the learner's files, in the places of those of sprint-N-*/
#   work/.progress/     a file an exercise: what was reached
#   work/.backup/       what a reset replaced
#   $learn/tree         folders of links to the sources; where the learner has a file of the
#                       same name, the link goes there. So headers, tests, benches and
#                       modules build with their code, by the same Makefile.
#   $learn/obj          what is built in it
top=$PWD
BUILD=$(realpath -m "${BUILD:-build}")
learn=$BUILD/learn
tree=$learn/tree
work=$(realpath -m "${WORK:-work}")
export LEARN_TREE=$tree # for graders that look at files rather than at functions
awk_file=$top/harness/learn/exercise.awk
# A learner's warnings are shown, not fatal; what a stub does not use yet is no mistake.
learner_flags="-Wno-error -Wno-unused-parameter -Wno-unused-function -Wno-unused-const-variable"
# The make that called must not reach into the makes that are called here.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

die() { # exit code, sentence
	printf 'learn: %s\n' "$2" >&2
	exit "$1"
}

# ---- exercises ----

sprint_folder() { # N
	for folder in sprint-"$1"-*/; do
		[ -d "$folder" ] && echo "${folder%/}" && return
	done
	die 2 "there is no sprint \"$1\"; sprints are $(ls -d sprint-*-* | cut -d- -f2 | xargs)"
}
exercise_ids() { # [N]: "1.1 1.2 ...", in order
	ls -d sprint-${1:-[0-9]}-*/exercises/[0-9]*.[0-9]*-*/ 2>/dev/null |
		sed 's|.*/exercises/\([0-9.]*\)-.*|\1|' | sort -t. -k1,1n -k2,2n
}
exercise_folder() { # ID
	for folder in sprint-"${1%%.*}"-*/exercises/"$1"-*/; do
		[ -d "$folder" ] && echo "${folder%/}" && return
	done
	die 2 "there is no exercise \"$1\"; there are: $(exercise_ids | xargs)"
}
exercise_title() { # ID
	sed -n '1s/^# *[0-9.]* *//p' "$(exercise_folder "$1")/exercise.md"
}
# What the grade file of an exercise says of a key; the third argument where it says nothing.
grade_key() { # ID, key, [otherwise]
	awk -v key="$2:" -v otherwise="${3:-}" '
	$1 == key { sub(/^[^:]*:[ \t]*/, ""); print; found = 1; exit }
	END { if (!found && otherwise != "") print otherwise }' "$(exercise_folder "$1")/grade"
}
# The most points, which are those of the tests in check.c and those in the grade file.
exercise_points() { # ID
	folder=$(exercise_folder "$1")
	{
		awk '{ text = text " " $0 }
		END {
			while (match(text, /LEARN_TEST\([ \t]*[a-z0-9_]+,[ \t]*[0-9]+/)) {
				one = substr(text, RSTART, RLENGTH)
				sub(/.*,[ \t]*/, "", one)
				print one
				text = substr(text, RSTART + RLENGTH)
			}
		}' "$folder/check.c"
		for key in asan valgrind tsan speed kasan lockdep sleeping kmemleak; do
			grade_key "$1" $key | awk '{ print $1 }'
		done
	} | awk '{ n += $1 } END { print n + 0 }'
}
# A section of exercise.md without its heading.
exercise_section() { # ID, heading
	awk -v heading="## $2" '
	/^## / { on = $0 == heading; next }
	on { line[++n] = $0 }
	END {
		for (first = 1; first <= n && line[first] == ""; first++)
			;
		while (n >= first && line[n] == "")
			n--
		for (i = first; i <= n; i++)
			print line[i]
	}' "$(exercise_folder "$1")/exercise.md"
}
# A reference file has the path sprint-N-name/FILE, the learner's work/sprint-N/FILE. One of
# an earlier sprint, which exercises of the kernel have, is work/sprint-N/sprint-M-name/FILE.
work_file() { # sprint-N-name/FILE, ID
	case $1 in
	sprint-"${2%%.*}"-*) echo "$work/sprint-${2%%.*}/${1#*/}" ;;
	*) echo "$work/sprint-${2%%.*}/$1" ;;
	esac
}
exercise_files() { # ID: paths of its reference files
	sprint=$(sprint_folder "${1%%.*}")
	for name in $(grade_key "$1" files); do
		case $name in
		../*) echo "${name#../}" ;;
		*) echo "$sprint/$name" ;;
		esac
	done
}
# Files that a learner needs beside them, as they are.
exercise_given() { # ID
	sprint=$(sprint_folder "${1%%.*}")
	for name in $(grade_key "$1" given); do
		echo "$sprint/$name"
	done
}
cut_exercise() { # stub|splice|list, ids, FILE...
	mode=$1 ids=$2
	shift 2
	awk -v mode="$mode" -v ids="$ids" -f "$awk_file" "$@"
}
shown() { # a path as a person types it
	echo "${1#"$top"/}"
}

# ---- the tree ----

# Makes the tree, or brings it up to date with files that came and went.
# What is run later has no part in the lock (9>&-): one that hangs must not keep it.
tree_make() {
	mkdir -p "$tree"
	exec 9>"$learn/lock"
	flock -n 9 || {
		echo "learn: another one is grading; waiting for it" >&2
		flock 9
	}
	# Links that are there already stay, with the times that make looks at.
	for entry in "$top"/*; do
		case $entry in
		"$BUILD" | "$work" | */build | */work | */reports) ;;
		*) cp -rsn "$entry" "$tree/" 2>/dev/null ;;
		esac
	done
	find "$tree" -xtype l -delete
}
# Lets the tree's links go to other files, and all others back to the reference. Arguments:
# a path in the tree and the file that stands there, again and again.
tree_overlay() {
	list=$learn/overlay
	touch "$list"
	cp "$list" "$list.old"
	: >"$list"
	while [ $# -gt 1 ]; do
		echo "$1" >>"$list"
		[ "$(readlink "$tree/$1")" = "$2" ] || ln -sfn "$2" "$tree/$1"
		shift 2
	done
	while read -r path; do
		grep -qxF "$path" "$list" && continue
		if [ -e "$top/$path" ]; then
			ln -sfn "$top/$path" "$tree/$path"
		else
			rm -f "$tree/$path"
		fi
	done <"$list.old"
	rm -f "$list.old"
}
# Messages of compilers and debuggers name files in the tree; people know others.
as_learner_sees() {
	sed -e "s|$tree/||g" -e "s|$top/||g" -f <(
		while read -r path; do
			real=$(readlink "$tree/$path")
			case $real in
			"$work"/*) echo "s|$path|$(shown "$real")|g" ;;
			esac
		done <"$learn/overlay"
	)
}
# make in the tree: a link that changed counts as a file that changed (-L).
tree_build() { # B, log, target...
	b=$1 log=$2
	shift 2
	make -C "$tree" -L --no-print-directory --silent -j"${JOBS:-2}" BUILD="$learn/obj" B="$b" \
		PEERS="${LEARN_PEERS-}" EXTRA_CFLAGS="${EXTRA_CFLAGS:-} $learner_flags" \
		"${@/#@/$learn/obj/$b/}" >"$log" 2>&1 9>&-
}
