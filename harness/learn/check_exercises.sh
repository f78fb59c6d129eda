#!/usr/bin/env bash
# check_exercises.sh [ID...] - grades the graders. For each exercise: does its stub compile
# without warnings and fail; does the reference pass with full points, where of its files the
# exercises that it does not need are stubs still; is each of the wrong solutions in wrong/*.patch
# caught, by the test that it names? Exit code 0 when all is so.
# Under an emulator (RUNNER) there are the tests alone: the table says what was not run.
set -u
cd "$(dirname "$0")/../.." || exit 2
. harness/learn/lib.sh
. harness/learn/grade.sh
# Exercises of the kernel want a machine, and some minutes each: with KERNELS=1 these are graded,
# else the others.
if [ $# -eq 0 ]; then
	for id in $(exercise_ids); do
		is_kernel_exercise "$id" && kernel=1 || kernel=0
		[ $kernel = "${KERNELS:-0}" ] && set -- "$@" "$id"
	done
fi
[ "${KERNELS:-0}" = 0 ] || kind=$(kernel_kind) || die 2 "$kind"
[ "${kind:-lab}" = lab ] || echo "On Debian's kernel: KASAN, lockdep and kmemleak are not there, and what they alone catch is left out. make vm-build KERNEL=lab builds the kernel that has them."
bad=0
exercises=0
wrong_all=0
passed=0
failed=0

complain() {
	printf '    %s\n' "$1"
	failed=$((failed + 1))
	bad=1
}
# Files made for this check, below $learn/variant.
overlay_variant() { # ID
	local pairs=() path
	for path in $(exercise_files "$1"); do
		pairs+=("$path" "$learn/variant/$path")
	done
	tree_overlay "${pairs[@]}"
}
fresh_variant() { # ID
	rm -rf "$learn/variant"
	for path in $(exercise_files "$1"); do
		mkdir -p "$learn/variant/$(dirname "$path")"
		cp "$path" "$learn/variant/$path"
	done
}

needs() { # ID: what it stands on, by way of others too
	local other
	for other in $(grade_key "$1" needs); do
		echo "$other"
		needs "$other"
	done
}
# As a learner has the files who has solved this exercise and what it needs, and no other.
solved_variant() { # ID
	local others
	fresh_variant "$1"
	for path in $(exercise_files "$1"); do
		others=$(cut_exercise list "" "$path" | grep -vxF -e "$1" -f <(needs "$1") | xargs)
		[ -z "$others" ] || cut_exercise stub "$others" "$path" >"$learn/variant/$path"
	done
}

check_marks() { # ID
	for path in $(exercise_files "$1"); do
		if ! grep -q "EXERCISE $1 begin" "$path"; then
			complain "$path has no mark of exercise $1"
		fi
		cut_exercise list "" "$path" >/dev/null || complain "the marks in $path are wrong"
	done
	for heading in Goal "Read first" Contract Pitfalls Time "Hint 1" "Hint 2" "Hint 3" Questions "Go further"; do
		grep -qx "## $heading" "$(exercise_folder "$1")/exercise.md" ||
			complain "exercise.md of $1 has no heading \"## $heading\""
	done
}

for id; do
	begun=$SECONDS
	before=$failed
	folder=$(exercise_folder "$id") || exit 2
	check_marks "$id"

	absent="" granted=0
	tree_make
	solved_variant "$id"
	overlay_variant "$id"
	most=$(exercise_points "$id")
	if grade_exercise "$id" && [ "$(points_reached)" -eq "$most" ] && [ "$most" -gt 0 ]; then
		granted=$(points_granted)
		reference="passes $((most - granted))/$((most - granted))"
		absent=$(awk -F'\t' '$2 == "granted" { print $1 }' "$results" | xargs)
		passed=$((passed + 1))
	else
		reference="FAILS"
		complain "the reference of $id reaches $(points_reached) of $most points:"
		show_results "$id"
		tail -n 5 "$learn/log"
	fi

	absent=${absent:+not here: $absent}
	fresh_variant "$id"
	for path in $(exercise_files "$id"); do
		cut_exercise stub "$id" "$path" >"$learn/variant/$path"
	done
	overlay_variant "$id"
	if ! ONLY=none grade_exercise "$id"; then
		stub="DOES NOT COMPILE"
		complain "the stub of $id does not compile:"
		head -n 5 "$learn/log"
	elif grep -q 'warning:' "$learn/log"; then
		stub="WARNS"
		complain "the stub of $id compiles with warnings:"
		grep -A 3 'warning:' "$learn/log" | head -n 8
	else
		LEAKS=0 grade_exercise "$id"
		if [ "$(points_reached)" -lt "$most" ]; then
			stub="fails $(points_reached)/$((most - granted))"
			passed=$((passed + 1))
		else
			stub="PASSES"
			complain "the stub of $id has full points"
		fi
	fi

	caught=0
	alone=0
	wrong=0
	skipped=0
	for patch in "$folder"/wrong/*.patch; do
		[ -e "$patch" ] || break
		wrong=$((wrong + 1))
		named=$(sed -n 's/^Caught by: *//p' "$patch")
		if [ -z "$named" ] || ! grep -q '^Mistake: ' "$patch"; then
			complain "$patch does not begin with \"Mistake: ...\" and \"Caught by: TEST\""
			continue
		fi
		case $named in
		asan | valgrind | tsan | speed)
			# Not run there, and granted: see grade.sh.
			[ -z "${RUNNER:-}" ] || {
				wrong=$((wrong - 1))
				skipped=$((skipped + 1))
				continue
			}
			;;
		esac
		case " $kernel_checkers " in
		*" $named "*)
			[ "$(kernel_kind)" = lab ] || {
				wrong=$((wrong - 1))
				skipped=$((skipped + 1))
				continue
			}
			;;
		esac
		fresh_variant "$id"
		if ! patch -p1 -s --fuzz=3 -d "$learn/variant" <"$patch" >"$learn/patch.log" 2>&1; then
			complain "$patch does not apply: $(tail -n 1 "$learn/patch.log")"
			continue
		fi
		overlay_variant "$id"
		if ! ONLY=$named grade_exercise "$id"; then
			complain "$patch does not compile:"
			head -n 5 "$learn/log"
		elif ! [ -s "$results" ]; then
			complain "$patch: there is no test $named"
		elif grep -q '[[:space:]]broken[[:space:]]' "$results"; then
			complain "$patch: $named could not be built"
			tail -n 5 "$notes/$named"
		elif grep -q '[[:space:]]ok[[:space:]]' "$results"; then
			complain "$patch is not caught by $named"
		else
			caught=$((caught + 1))
			is_kernel_exercise "$id" && kernel_alone && alone=$((alone + 1))
			passed=$((passed + 1))
			[ -z "${VERBOSE:-}" ] || show_results "$id"
		fi
	done
	[ $((wrong + skipped)) -ge 3 ] || complain "$id has $wrong wrong solutions; at least 3 are wanted"
	tree_overlay
	exercises=$((exercises + 1))
	wrong_all=$((wrong_all + wrong))
	[ $exercises -gt 1 ] || printf '%-5s %-34s %-14s %-14s %-14s %s\n' "" exercise stub reference caught time
	[ $skipped -eq 0 ] || absent="${absent:-not here:}, $skipped wrong"
	[ $alone -eq 0 ] || absent="${absent:+$absent; }$alone of them by the kernel's checkers alone"
	printf '%-5s %-34s %-14s %-14s %-14s %2d s%s%s\n' "$id" "$(exercise_title "$id" | cut -c1-34)" \
		"$stub" "$reference" "$caught of $wrong" $((SECONDS - begun)) "${absent:+  $absent}" \
		"$([ $failed -eq $before ] || echo '  BAD')"
done
printf '%d exercises, %d wrong solutions\n' $exercises $wrong_all
printf '%d passed, %d failed\n' $passed $failed
exit $bad
