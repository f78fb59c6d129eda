#!/usr/bin/env bash
# test_races.sh [N...] - fills a workspace from the reference, as a learner who has solved all
# would have it, and races it: does a report come, with the learner's engine in it beside the
# reference and the peers? Of each sprint, or of those named. RECORDS=2000 pairs. The reports
# go to OUT (default: $BUILD/races); the last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/../.." || exit 2
. harness/learn/expect.sh
. harness/learn/lib.sh
out=$(realpath -m "${OUT:-$BUILD/races}")

# No file of the workspace has a stub left: each body is the reference's.
is_filled() { # N
	local id path
	for id in $(exercise_ids "$1"); do
		for path in $(exercise_files "$id"); do
			cut_exercise splice "$id" "$path" "$(work_file "$path" "$id")" >"$scratch/spliced" &&
				cmp "$scratch/spliced" "$(work_file "$path" "$id")" || return 1
		done
	done
}
race() { # N
	RACE_OPTIONS="--records ${RECORDS:-2000} --out $out/sprint-$1" $run race "$1" >"$scratch/race-$1" 2>&1
	local code=$?
	cat "$scratch/race-$1"
	return $code
}
# Each engine's row in the table that was printed has as many figures as the reference's.
has_rows() { # N, engine...
	local n=$1 engine
	shift
	for engine; do
		awk -v engine="$engine" -v base="${1#my-}" '
		$1 == base && !wanted { wanted = gsub(/×/, "") + 1 }
		END { exit !found }
		$1 == engine { found = /[0-9]/ }' "$scratch/race-$n" || {
			echo "no row of $engine"
			return 1
		}
	done
}
in_report() { # N, engine...
	local n=$1 engine
	shift
	for engine; do
		grep -q "$engine" "$out/sprint-$n/index.html" || {
			echo "no $engine in the report"
			return 1
		}
	done
}

for n in ${*:-1 2 3 4}; do
	begun=$SECONDS
	case $n in
	1) engine=array ;;
	2) engine=hash ;;
	3) engine=btree ;;
	4) engine=lsm ;;
	*) die 2 "sprint $n has no engine to race" ;;
	esac
	rm -rf "$out/sprint-$n"
	ok "start $n" $run start "$n"
	ok "take $n" $run take "$n"
	ok "all of sprint $n is filled in" is_filled "$n"
	ok "race $n" race "$n"
	ok "its table has both engines" has_rows "$n" my-$engine $engine
	ok "its report as well" in_report "$n" my-$engine $engine
	sed -n '/^Operations a second/,$p' "$scratch/race-$n"
	echo "sprint $n: $((SECONDS - begun)) s"
done
printf '%d passed, %d failed\n' $passed $failed
[ $failed -eq 0 ]
