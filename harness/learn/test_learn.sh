#!/usr/bin/env bash
# test_learn.sh - tests of the learning track itself: cutting and splicing, the workspace, what
# the commands say and how they end. The last line is "N passed, N failed". What the graders
# are worth, make check-exercises shows; what a learner sees, make check-tutorial.
set -u
cd "$(dirname "$0")/../.." || exit 2
. harness/learn/expect.sh
awk_file=harness/learn/exercise.awk

ends_with() { # code, command...
	local want=$1
	shift
	"$@"
	[ $? -eq "$want" ]
}
says() { # text, command...
	local text=$1
	shift
	"$@" >"$scratch/said" 2>&1 </dev/null
	cat "$scratch/said"
	grep -qF -- "$text" "$scratch/said"
}
same() { cmp "$1" "$2"; }
without_stub_lines() { awk '!/^[ \t]*[*#]?[ \t]*\|/' "$1"; }

# ---- cutting ----

cat >"$scratch/r.c" <<'END'
int a(void)
{
	/* EXERCISE 9.1 begin: the first
	 *|	return -1;
	 */
	return 1;
	/* EXERCISE 9.1 end */
}
int b(void)
{
	/* EXERCISE 9.2 begin: the second */
	return 2;
	/* EXERCISE 9.2 end */
}
# EXERCISE 9.1 begin: a rule
#|all:
all: b
# EXERCISE 9.1 end
END
cut() { awk -v mode="$1" -v ids="$2" -f "$awk_file" "${@:3}"; }
cut stub "" "$scratch/r.c" >"$scratch/stub.c"
cat >"$scratch/stub.want" <<'END'
int a(void)
{
	/* EXERCISE 9.1 begin: the first */
	return -1;
	/* EXERCISE 9.1 end */
}
int b(void)
{
	/* EXERCISE 9.2 begin: the second */
	/* EXERCISE 9.2 end */
}
# EXERCISE 9.1 begin: a rule
all:
# EXERCISE 9.1 end
END
ok "the stub of all exercises" same "$scratch/stub.c" "$scratch/stub.want"
cut stub 9.2 "$scratch/r.c" >"$scratch/two.c"
ok "the stub of one leaves the others" grep -q 'return 1;' "$scratch/two.c"
ok "the stub of one cuts it" ends_with 1 grep -q 'return 2;' "$scratch/two.c"
cut splice 9.1 "$scratch/r.c" "$scratch/stub.c" >"$scratch/spliced.c"
ok "a splice brings both parts" grep -c 'return 1;\|all: b' "$scratch/spliced.c"
ok "a splice leaves other exercises" ends_with 1 grep -q 'return 2;' "$scratch/spliced.c"
cut splice "9.1 9.2" "$scratch/r.c" "$scratch/stub.c" >"$scratch/back.c"
without_stub_lines "$scratch/r.c" | awk '/begin/ && !/\*\// && /\/\*/ { print $0 " */"; getline; next } 1' >"$scratch/plain.c"
ok "stub and splice are the reference again" same "$scratch/back.c" "$scratch/plain.c"
sed '/EXERCISE 9.2 end/d' "$scratch/r.c" >"$scratch/broken.c"
ok "a begin without an end is an error" ends_with 1 cut list "" "$scratch/broken.c"
ok "and is told" says "has no end" cut list "" "$scratch/broken.c"

# ---- a machine without QEMU ----

mkdir "$scratch/bin"
for folder in /usr/bin /bin /usr/sbin /sbin; do
	cp -rsn "$folder/." "$scratch/bin/" 2>/dev/null
done
rm -f "$scratch/bin"/qemu-system-*

# ---- each exercise's files ----

. harness/learn/lib.sh
for id in $(exercise_ids); do
	for path in $(exercise_files "$id"); do
		ok "$path exists" test -f "$path"
		ok "the marks in $path" cut list "" "$path"
	done
	ok "$id has points" test "$(exercise_points "$id")" -ge 5
	ok "$id has a title" test -n "$(exercise_title "$id")"
	ok "$id has three hints" test "$(grep -c '^## Hint' "$(exercise_folder "$id")/exercise.md")" -eq 3
	ok "$id has two answers" test "$(grep -c '<details>' "$(exercise_folder "$id")/exercise.md")" -ge 2
done

# ---- commands ----

ok "help" $run --help
ok "no command" ends_with 2 $run
ok "an unknown command" ends_with 2 $run fly 1
ok "check before start" ends_with 2 $run check 1.2
ok "and what to do" says "make start-1" $run check 1.2
ok "an unknown exercise" ends_with 2 $run hint 1.99
ok "an unknown sprint" ends_with 2 $run start 9
ok "an unknown sprint's exercise is not promised" says 'there is no sprint "9"' $run check 9.1
ok "a sprint without a workspace" ends_with 5 $run sprint 1
ok "start" $run start 1
ok "start makes the files" test -f "$WORK/sprint-1/dynarray.c"
ok "and those that are given" test -f "$WORK/sprint-1/exercises/1.7-build/lab/words.c"
ok "the file is a stub" ends_with 1 grep -q 'SIZE_MAX / a->size' "$WORK/sprint-1/dynarray.c"
echo "/* mine */" >>"$WORK/sprint-1/dynarray.c"
ok "start again" $run start 1
ok "start again keeps what is there" grep -q mine "$WORK/sprint-1/dynarray.c"
ok "the first hint" says "Hint 1 of 3" $run hint 1.2
ok "the second brings one more" says "Hint 2 of 3" $run hint 1.2
ok "the third" says "Hint 3 of 3" $run hint 1.2
ok "no fourth" says "all hints" $run hint 1.2
ok "diff asks while unsolved" ends_with 1 $run diff 1.2
ok "diff shows when told to" says "reference: sprint-1-core-memory/dynarray.c" env YES=1 $run diff 1.2
ok "progress" says "0 of 9 exercises" $run progress
ok "take wants one that there is" ends_with 2 $run take 1.99
ok "take of a sprint without a workspace" says "make start-2" $run take 2
ok "take" $run take 1.2
ok "take brings the reference" grep -q 'SIZE_MAX / a->size' "$WORK/sprint-1/dynarray.c"
ok "take keeps what is outside the marks" grep -q mine "$WORK/sprint-1/dynarray.c"
ok "progress knows that it was taken" says "taken" $run progress
ok "reset" $run reset 1.2
ok "reset brings the stub" ends_with 1 grep -q 'SIZE_MAX / a->size' "$WORK/sprint-1/dynarray.c"
ok "reset keeps a backup" grep -rq 'SIZE_MAX / a->size' "$WORK/.backup"
sed -i '/EXERCISE/d' "$WORK/sprint-1/dynarray.c"
ok "reset without marks says so" says "marks of exercise 1.2 are gone" $run reset 1.2
ok "and makes the file anew" grep -q 'EXERCISE 1.2 begin' "$WORK/sprint-1/dynarray.c"

# ---- grading, of the first exercise, which is small ----

ok "a stub fails" ends_with 1 $run check 1.1
ok "json is json" bash -c "$run check 1.1 --json | python3 -m json.tool"
ok "json says what failed" says '"verdict":"failed"' $run check 1.1 --json
$run take 1.1 >/dev/null
ok "the reference has full points" ends_with 0 $run check 1.1
ok "and is taken, not solved" says "0 of 9 exercises" $run progress
echo 'int oops(' >>"$WORK/sprint-1/chain.c"
ok "what does not compile" ends_with 3 $run check 1.1
ok "is shown with its line" says "work/sprint-1/chain.c:" $run check 1.1
ok "in json too" says '"compiles":false' $run check 1.1 --json
rm -f "$WORK/sprint-1/chain.c" && $run start 1 >/dev/null
cut splice 1.1 sprint-1-core-memory/chain.c "$WORK/sprint-1/chain.c" >"$scratch/chain.c"
cp "$scratch/chain.c" "$WORK/sprint-1/chain.c"
$run reset 1.1 >/dev/null
cp "$scratch/chain.c" "$WORK/sprint-1/chain.c"
ok "solved by hand" says "14 of 14 points: solved" $run check 1.1
ok "progress counts it" says "1 of 9 exercises, 14 of" $run progress
# A loop without an end, and a step into nowhere.
sed 's/struct chain \*reversed = NULL;/for (;;)\n\t\t;\n\tstruct chain *reversed = NULL;/' "$scratch/chain.c" >"$WORK/sprint-1/chain.c"
ok "a hang is ended" says "HUNG" $run check 1.1
sed 's/struct chain \*reversed = NULL;/*(volatile int *)8 = 1;\n\tstruct chain *reversed = NULL;/' "$scratch/chain.c" >"$WORK/sprint-1/chain.c"
ok "a crash is told" says "CRASHED" $run check 1.1
command -v gdb >/dev/null && ok "with the learner's line" says "> *(volatile int *)8 = 1;" $run check 1.1
ok "watch grades what was saved" says "1.2 A dynamic array" env WATCH_ONCE=1 $run watch 1

# ---- exercises of the kernel ----

ok "one that lies in another sprint has a place of its own" test -n "$(work_file sprint-1-core-memory/kernel/storage_call.c 2.9 | grep '/sprint-2/sprint-1-core-memory/')"
ok "without QEMU it is not graded, and says what to do" says "make deps-vm" env PATH="$scratch/bin" $run check 1.9
ok "and ends with its own code" ends_with 4 env PATH="$scratch/bin" $run check 1.9

# ---- a race, of an engine that was taken whole ----

ok "a workspace filled from the reference races" env OUT="$scratch/races" RECORDS=300 harness/learn/test_races.sh 2

printf '%d passed, %d failed\n' $passed $failed
[ $failed -eq 0 ]
