#!/usr/bin/env bash
# learn.sh - the commands of the learning track; make start-1, check-1.2 and so on call it.
# See docs/EXERCISES.md. Exit codes: 0 done, or full points; 1 not yet; 2 asked for what is
# not there; 3 does not compile; 4 an exercise of the kernel, and no machine to grade it on.
set -u
cd "$(dirname "$0")/../.." || exit 2
. harness/learn/lib.sh
. harness/learn/grade.sh

usage() {
	cat <<-END
	usage: harness/learn/learn.sh COMMAND [ARGUMENT] [--json]
	  start N       makes work/sprint-N with the files to fill in
	  check N.K     grades one exercise; check N: all of a sprint
	  watch N       grades at each save
	  hint N.K      one hint more
	  diff N.K      your code beside the reference
	  reset N.K     the stub again; a backup is kept
	  take N.K      the reference's code in place of yours, without points; take N: of a sprint
	  progress      what is done, and what comes next
	  race N        your engine against the reference, SQLite and LMDB
	END
}

# ---- progress: a file an exercise, a key and a value a line ----

progress_get() { # ID, key, otherwise
	awk -v key="$2" -v otherwise="$3" '$1 == key { v = $2; found = 1 }
		END { print found ? v : otherwise }' "$work/.progress/$1" 2>/dev/null || echo "$3"
}
progress_set() { # ID, key, value
	mkdir -p "$work/.progress"
	touch "$work/.progress/$1"
	awk -v key="$2" '$1 != key' "$work/.progress/$1" >"$work/.progress/$1.new"
	echo "$2 $3" >>"$work/.progress/$1.new"
	mv "$work/.progress/$1.new" "$work/.progress/$1"
}
# Time at work: from one command about an exercise to the next, a quarter of an hour at most.
progress_clock() { # ID
	local now gap last
	now=$(date +%s)
	last=$(progress_get "$1" last "$(progress_get "$1" started "$now")")
	gap=$((now - last))
	[ $gap -gt 900 ] && gap=900
	progress_set "$1" seconds $(($(progress_get "$1" seconds 0) + gap))
	progress_set "$1" last "$now"
}
is_solved() { [ "$(progress_get "$1" state open)" != open ]; }
next_exercise() { # [N]: the first that is not solved
	for id in $(exercise_ids "${1:-}"); do
		is_solved "$id" || { echo "$id" && return; }
	done
}

need_workspace() { # N
	sprint_folder "$1" >/dev/null
	[ -d "$work/sprint-$1" ] || die 2 "there is no $(shown "$work")/sprint-$1 yet: make start-$1"
}

# ---- commands ----

cmd_start() { # N
	local sprint path to new=0
	sprint=$(sprint_folder "$1") || exit 2
	[ -n "$(exercise_ids "$1")" ] || die 2 "sprint $1 has no exercises"
	for id in $(exercise_ids "$1"); do
		for path in $(exercise_files "$id"); do
			to=$(work_file "$path" "$id")
			[ -e "$to" ] && continue
			mkdir -p "$(dirname "$to")"
			cut_exercise stub "$(exercise_ids "$1" | xargs)" "$path" >"$to" || exit 2
			new=$((new + 1))
		done
		for path in $(exercise_given "$id"); do
			to=$(work_file "$path" "$id")
			mkdir -p "$(dirname "$to")"
			[ -e "$to" ] || cp "$path" "$to"
		done
		[ -e "$work/.progress/$id" ] || progress_set "$id" started "$(date +%s)"
	done
	if [ $new -gt 0 ]; then
		echo "$new files to fill in are in $(shown "$work")/sprint-$1; those that were there stay."
	else
		echo "All files of sprint $1 are in $(shown "$work")/sprint-$1 already."
	fi
	printf '\n'
	show_exercise "$(next_exercise "$1" | grep . || exercise_ids "$1" | head -n 1)"
}
show_exercise() { # ID
	local folder
	folder=$(exercise_folder "$1") || exit 2
	echo "Exercise $1: $(exercise_title "$1")"
	printf '\n'
	exercise_section "$1" Goal
	printf '\n  read    %s/exercise.md\n' "$folder"
	for path in $(exercise_files "$1"); do
		echo "  write   $(shown "$(work_file "$path" "$1")")"
	done
	echo "  then    make check-$1     (and make hint-$1 when you are stuck)"
}

# What lies over the tree: the learner's files of one exercise, or of all.
overlay_exercise() { # ID
	local pairs=() path file
	for path in $(exercise_files "$1"); do
		file=$(work_file "$path" "$1")
		[ -e "$file" ] && pairs+=("$path" "$file")
	done
	tree_overlay "${pairs[@]}"
}
overlay_all() { # N: all of a sprint
	local pairs=() path file
	for path in $(for id in $(exercise_ids "$1"); do exercise_files "$id"; done | sort -u); do
		file=$(work_file "$path" "$1")
		[ -e "$file" ] && pairs+=("$path" "$file")
	done
	tree_overlay "${pairs[@]}"
}

check_one() { # ID; prints, remembers; exit code as the script's
	local id=$1 code=0 reached most
	needs=$(grade_key "$id" needs)
	for other in $needs; do
		is_solved "$other" || [ "$json" = yes ] ||
			echo "learn: $id stands on $other, which is not solved yet; make take-$other leaves it out" >&2
	done
	[ -d "$learn/obj/release" ] || [ "$json" = yes ] ||
		echo "learn: building what the exercises stand on, once" >&2
	tree_make
	overlay_exercise "$id"
	grade_exercise "$id" || code=$?
	[ $code -ne 4 ] || {
		[ "$json" = yes ] && show_json "$id" false
		[ "$json" = yes ] || printf '%s %s\n\n%s\n' "$id" "$(exercise_title "$id")" "$(cat "$learn/log")"
		flock -u 9
		return 4
	}
	most=$(exercise_points "$id")
	[ -n "${RUNNER:-}" ] || {
		progress_clock "$id"
		progress_set "$id" tries $(($(progress_get "$id" tries 0) + 1))
		progress_set "$id" of "$most"
	}
	if [ $code -eq 3 ]; then
		[ "$json" = yes ] && show_json "$id" false
		[ "$json" = yes ] || {
			printf '%s %s\n\nIt does not compile. What the compiler says first:\n\n' "$id" \
				"$(exercise_title "$id")"
			as_learner_sees <"$learn/log" | grep -v '^make' | head -n 20 | sed 's/^/  /'
			printf '\n'
		}
		flock -u 9
		return 3
	fi
	reached=$(points_reached)
	[ -n "${RUNNER:-}" ] || is_solved "$id" || progress_set "$id" points "$reached"
	[ "$reached" -lt "$most" ] && code=1
	if [ "$json" = yes ]; then
		show_json "$id" true
	else
		grep -q 'warning:' "$learn/log" && {
			echo "Warnings of the compiler:"
			grep -v '^ [A-Z][A-Z] ' "$learn/log" | as_learner_sees | grep -A 3 'warning:' | head -n 20 | sed 's/^/  /'
			printf '\n'
		}
		show_results "$id"
	fi
	if [ $code -eq 0 ] && [ -z "${RUNNER:-}" ] && ! is_solved "$id"; then
		progress_set "$id" points "$reached"
		progress_set "$id" state solved
	fi
	if [ "$json" != yes ]; then
		if [ $code -eq 0 ] && [ -n "${RUNNER:-}" ]; then
			echo "$reached of $most points under ${RUNNER%% *}. What counts is make check-$id without it."
		elif [ $code -eq 0 ]; then
			after=$(next_exercise)
			echo "$reached of $most points: solved.${after:+ Next: exercise $after, $(exercise_title "$after").}"
			echo "Test yourself with the questions at the end of $(exercise_folder "$id")/exercise.md;"
			echo "make diff-$id shows the reference beside your code."
		else
			echo "$reached of $most points. When you are stuck: make hint-$id"
		fi
	fi
	flock -u 9
	return $code
}
cmd_check() { # N or N.K
	local code=0 one
	need_workspace "${1%%.*}"
	case $1 in
	*.*)
		exercise_folder "$1" >/dev/null || exit 2
		check_one "$1"
		exit $?
		;;
	esac
	[ "$json" = yes ] && printf '['
	first=yes
	for id in $(exercise_ids "$1"); do
		if [ "$json" = yes ]; then
			[ $first = yes ] || printf ','
			check_one "$id"
		else
			check_one "$id" >"$learn.out.$$" 2>&1
		fi
		one=$?
		[ "$json" = yes ] || {
			case $one in
			0) verdict=ok ;;
			3) verdict="DOES NOT COMPILE" ;;
			4) verdict="not graded: needs a machine (make deps-vm)" ;;
			*) verdict="not yet" ;;
			esac
			printf '  %s  %-40s %3d/%-3d %s\n' "$id" "$(exercise_title "$id")" \
				"$([ $one -ge 3 ] && echo 0 || points_reached)" "$(exercise_points "$id")" "$verdict"
		}
		first=no
		[ $one -eq 4 ] && continue
		[ $one -gt $code ] && code=$one
	done
	rm -f "$learn.out.$$"
	[ "$json" = yes ] && printf ']\n'
	exit $code
}

cmd_watch() { # N
	local before="" now id
	need_workspace "$1"
	echo "Grading at each save in $(shown "$work")/sprint-$1; Ctrl-C ends."
	while :; do
		now=$(find "$work/sprint-$1" -type f -printf '%T@ %p\n' | sort)
		if [ "$now" != "$before" ]; then
			changed=$(comm -13 <(echo "$before") <(echo "$now") | cut -d' ' -f2-)
			for id in $(exercise_ids "$1"); do
				is_solved "$id" && [ "$id" != "${watching:-}" ] && continue
				for path in $(exercise_files "$id"); do
					echo "$changed" | grep -qxF "$(work_file "$path" "$id")" || continue
					watching=$id
					[ -t 1 ] && clear
					check_one "$id"
					break 2
				done
			done
			before=$now
			[ -n "${WATCH_ONCE:-}" ] && exit 0
		fi
		sleep 1
	done
}

cmd_hint() { # N.K
	local level hints
	exercise_folder "$1" >/dev/null || exit 2
	level=$(($(progress_get "$1" hints 0) + 1))
	hints=$(grep -c '^## Hint ' "$(exercise_folder "$1")/exercise.md")
	progress_clock "$1"
	[ $level -gt "$hints" ] || progress_set "$1" hints $level
	for ((i = 1; i <= level && i <= hints; i++)); do
		printf 'Hint %d of %d\n\n' $i "$hints"
		exercise_section "$1" "Hint $i"
		printf '\n'
	done
	[ $level -le "$hints" ] ||
		echo "These are all hints. make diff-$1 shows the reference beside your code."
}

cmd_diff() { # N.K
	need_workspace "${1%%.*}"
	exercise_folder "$1" >/dev/null || exit 2
	if ! is_solved "$1" && [ "${YES:-}" != 1 ]; then
		[ -t 0 ] || die 1 "$1 is not solved yet; YES=1 make diff-$1 shows the reference all the same"
		printf '%s is not solved yet. Look at the reference all the same? [y/N] ' "$1"
		read -r answer
		[ "$answer" = y ] || exit 1
	fi
	for path in $(exercise_files "$1"); do
		if [ -t 1 ]; then
			diff -W "$(tput cols 2>/dev/null || echo 120)" -t --color=auto -y "$(work_file "$path" "$1")" "$path" | ${PAGER:-less -R}
		else
			diff -u --label "yours: $(shown "$(work_file "$path" "$1")")" --label "reference: $path" \
				"$(work_file "$path" "$1")" "$path"
		fi
	done
	exit 0
}

# The parts of one exercise come from elsewhere; the rest of the file stays the learner's.
put_parts() { # stub|reference, ID
	local path file stub backup
	need_workspace "${2%%.*}"
	exercise_folder "$2" >/dev/null || exit 2
	backup=$work/.backup/$(date +%Y%m%d-%H%M%S)-$2
	mkdir -p "$backup" "$learn"
	for path in $(exercise_files "$2"); do
		file=$(work_file "$path" "$2")
		donor=$top/$path
		[ "$1" = stub ] && {
			donor=$learn/donor
			# The end of a splice's parts is the same in the stub as in the reference.
			cut_exercise stub "$2" "$path" >"$donor"
		}
		[ -e "$file" ] && cp "$file" "$backup/"
		if [ -e "$file" ] && cut_exercise splice "$2" "$donor" "$file" >"$learn/spliced" 2>/dev/null &&
			[ "$(grep -c "EXERCISE $2 end" "$learn/spliced")" = "$(grep -c "EXERCISE $2 end" "$path")" ]; then
			cp "$learn/spliced" "$file"
		else
			[ -e "$file" ] && echo "learn: the marks of exercise $2 are gone from $(shown "$file"): the whole file begins anew" >&2
			mkdir -p "$(dirname "$file")"
			cut_exercise stub "$(exercise_ids "${2%%.*}" | xargs)" "$path" >"$learn/stub"
			cut_exercise splice "$2" "$donor" "$learn/stub" >"$file"
		fi
	done
	echo "What was there is kept in $(shown "$backup")."
}
cmd_reset() {
	put_parts stub "$1"
	progress_set "$1" state open
	progress_set "$1" points 0
}
take_one() { # ID
	put_parts reference "$1"
	is_solved "$1" || {
		progress_set "$1" state taken
		progress_set "$1" points 0
		progress_set "$1" of "$(exercise_points "$1")"
	}
}
cmd_take() { # N.K, or N: each of the sprint that is not solved
	local id n=0
	case $1 in
	*.*) ;;
	*)
		need_workspace "$1"
		for id in $(exercise_ids "$1"); do
			is_solved "$id" && continue
			take_one "$id" >/dev/null
			n=$((n + 1))
		done
		echo "$n exercises of sprint $1 are the reference's now and count no points; make reset-$1.1 and so on give you the stubs."
		[ $n -eq 0 ] || echo "What was there is kept in $(shown "$work/.backup")."
		return
		;;
	esac
	take_one "$1"
	echo "Exercise $1 is the reference's now and counts no points; make reset-$1 gives you the stub."
}

cmd_progress() {
	local done=0 all=0 sum=0 most=0
	printf '%-5s %-42s %-9s %7s %6s %6s %6s\n' "" exercise state points time tries hints
	for id in $(exercise_ids); do
		[ -d "$work/sprint-${id%%.*}" ] || [ "${ALL:-}" = 1 ] || continue
		state=$(progress_get "$id" state open)
		tries=$(progress_get "$id" tries 0)
		[ "$state" = open ] && [ "$tries" -gt 0 ] && state="at it"
		points=$(progress_get "$id" points 0)
		of=$(exercise_points "$id")
		printf '%-5s %-42s %-9s %3d/%-3d %4dm %6d %6d\n' "$id" "$(exercise_title "$id" | cut -c1-42)" \
			"$state" "$points" "$of" $((($(progress_get "$id" seconds 0) + 30) / 60)) "$tries" \
			"$(progress_get "$id" hints 0)"
		all=$((all + 1))
		[ "$state" = solved ] && done=$((done + 1))
		sum=$((sum + points))
		most=$((most + of))
	done
	for folder in sprint-*-*/; do
		n=$(echo "$folder" | cut -d- -f2)
		[ -d "$work/sprint-$n" ] || [ -z "$(exercise_ids "$n")" ] || [ "${ALL:-}" = 1 ] ||
			echo "sprint $n: $(exercise_ids "$n" | wc -l) exercises; make start-$n"
	done
	printf '\n%d of %d exercises, %d of %d points.\n' $done $all $sum $most
	next=$(for id in $(exercise_ids); do
		[ -d "$work/sprint-${id%%.*}" ] && ! is_solved "$id" && echo "$id" && break
	done)
	[ -n "$next" ] && echo "Next: exercise $next, $(exercise_title "$next"): make check-$next"
	return 0
}

# The learner's engine as one object, in which only the table has a name to the outside. The
# rest of what it calls, of the sprints before too, is in it.
make_mine() { # N, engine, object
	local libraries=() n
	for n in 4 3 2 1; do
		[ "$n" -le "$1" ] && { [ "$n" -ne 3 ] || [ "$1" -eq 3 ]; } && libraries+=("@libs$n.a")
	done
	tree_build release "$learn/log" "${libraries[@]}" || return 1
	libraries=("${libraries[@]/#@/$learn/obj/release/}")
	"${CROSS:-}"ld -r -u "$2_engine" -o "$3.all" --start-group "${libraries[@]}" --end-group &&
		"${CROSS:-}"objcopy --redefine-sym "$2_engine=my_$2_engine" \
			--keep-global-symbol="my_$2_engine" "$3.all" "$3" && rm -f "$3.all"
}
cmd_race() { # N
	local engine mine program others durability=none
	need_workspace "$1"
	case $1 in
	1) engine=array ;;
	2) engine=hash ;;
	3) engine=btree ;;
	4) engine=lsm ;;
	*) die 2 "sprint $1 has no engine to race" ;;
	esac
	for id in $(exercise_ids "$1"); do
		is_solved "$id" || is_kernel_exercise "$id" ||
			echo "learn: exercise $id is not solved; a stub in the engine may lose the race" >&2
	done
	tree_make
	overlay_all "$1"
	mine=$learn/my-$engine.o
	make_mine "$1" $engine "$mine" || {
		as_learner_sees <"$learn/log" >&2
		die 3 "your engine does not build"
	}
	flock -u 9
	program=$BUILD/release/harness/learn/kvbench-mine
	make --no-print-directory --silent -j"${JOBS:-2}" BUILD="$BUILD" B=release MINE="$mine" \
		"$program" >"$learn/log" 2>&1 || {
		tail -n 20 "$learn/log" >&2
		die 3 "kvbench does not build with your engine"
	}
	others=my-$engine,$engine
	for peer in sqlite lmdb; do
		"$program" engines | grep "^$peer " | grep -q 'not built in' || others=$others,$peer
	done
	# What the first sprint's engine keeps in memory knows no other durability.
	[ "$1" = 1 ] || durability=none,sync
	# shellcheck disable=SC2086
	exec "$program" bench --engines "$others" --base "$engine" --workloads a,c,e --durability $durability \
		${RACE_OPTIONS:-}
}

# make sprint-N: the workspace's form of it. Exit code 5: there is no workspace.
cmd_sprint() { # N
	[ -d "$work/sprint-$1" ] || exit 5
	"$0" check "$1"
	code=$?
	printf '\n'
	cmd_progress
	if [ $code -eq 0 ]; then
		sprint=$(sprint_folder "$1")
		printf '\nAll of sprint %s is solved: the tests and benches of %s with your code:\n' "$1" "$sprint"
		tree_make
		overlay_all "$1"
		make -C "$tree" -L --no-print-directory BUILD="$learn/obj" B=release PEERS= \
			EXTRA_CFLAGS="${EXTRA_CFLAGS:-} $learner_flags" "$sprint/test" "$sprint/bench" || exit 1
		echo "Now race it: make race-$1"
	fi
	exit $code
}
# What make sprint-N says when it has shown the reference.
cmd_teaches() { # N
	local sprint
	sprint=$(sprint_folder "$1") || exit 2
	printf '\nThat was the reference. '
	if [ -z "$(exercise_ids "$1")" ]; then
		echo "Read on in $sprint/README.md"
		return 0
	fi
	echo "Build it yourself: sprint $1 has $(exercise_ids "$1" | wc -l) exercises."
	printf '\n'
	for id in $(exercise_ids "$1"); do
		printf '  %s  %-42s %s\n' "$id" "$(exercise_title "$id")" "$(exercise_section "$id" Time | head -n 1)"
	done
	printf '\nRead docs/%s.md, then: make start-%s\n' "$(basename "$sprint")" "$1"
}

json=no
arguments=()
for a in "$@"; do
	case $a in
	--json) json=yes ;;
	-h | --help) usage && exit 0 ;;
	*) arguments+=("$a") ;;
	esac
done
[ "${JSON:-}" = 1 ] && json=yes
set -- "${arguments[@]}"
[ $# -ge 1 ] || { usage >&2 && exit 2; }
command=$1
shift
case $command in
progress) cmd_progress ;;
start | sprint | teaches | watch | race)
	case ${1:-} in
	[0-9]) "cmd_$command" "$1" ;;
	*) die 2 "$command wants the number of a sprint: make $command-1" ;;
	esac
	;;
check)
	case ${1:-} in
	[0-9] | [0-9].[0-9]*) cmd_check "$1" ;;
	*) die 2 "check wants a sprint or an exercise: make check-1, make check-1.2" ;;
	esac
	;;
take)
	case ${1:-} in
	[0-9] | [0-9].[0-9]*) cmd_take "$1" ;;
	*) die 2 "take wants an exercise or a sprint: make take-1.2, make take-1" ;;
	esac
	;;
hint | diff | reset)
	case ${1:-} in
	[0-9].[0-9]*) "cmd_$command" "$1" ;;
	*) die 2 "$command wants an exercise: make $command-1.2" ;;
	esac
	;;
*)
	echo "learn: no command \"$command\"" >&2
	usage >&2
	exit 2
	;;
esac
