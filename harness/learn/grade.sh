# grade.sh - grades one exercise: builds its check program with what lies over the tree, runs
# each test in a process of its own with a limit of time, then the checkers of memory and
# threads, then the race against the reference. Sourced by bash after lib.sh.
#
# A result is a line of $results: name, verdict (ok, failed, crashed, hung, skipped, granted
# where there is no such checker here, or broken where one could not be built), points, most
# points; what is said about it is in $notes/NAME.
#
# RUNNER=words stand before each program: those of another machine, which an emulator runs.

. harness/learn/kernel.sh
results=$learn/results
notes=$learn/notes

result() { # name, verdict, points, most; note from stdin when there is one to say
	printf '%s\t%s\t%d\t%d\n' "$1" "$2" "$3" "$4" >>"$results"
}

# Where a program stopped: gdb's backtrace without what is not the learner's business.
backtrace() { # seconds, program, argument...
	seconds=$1
	shift
	[ -z "${RUNNER:-}" ] && command -v gdb >/dev/null || return
	DEBUGINFOD_URLS= timeout -s INT -k 3 "$seconds" gdb -q -nx -batch \
		-ex 'set confirm off' -ex 'set width 0' -ex 'set print frame-arguments scalars' \
		-ex run -ex 'bt 30' --args "$@" </dev/null 2>/dev/null 9>&- |
		awk '
		/^Program (received|terminated)/ { why = $0 }
		/malloc_printerr \(str=/ { split($0, part, "\""); why = why " " part[2] }
		/^#[0-9]+ .* (in )?(run_current|_cmocka_|cm_|main) / { exit_now = 1 }
		!exit_now && /^#[0-9]+ / && / at / && !/ at \.\.?\// { sub(/0x[0-9a-f]+ in /, ""); frame[++n] = $0 }
		END {
			if (why != "")
				print why
			for (i = 1; i <= n; i++)
				print "  " frame[i]
		}' | as_learner_sees | learner_lines
}
# Below a frame in a file that is there: the line itself.
learner_lines() {
	while IFS= read -r line; do
		printf '%s\n' "$line"
		place=${line##* at }
		file=${place%:*}
		[ "$place" != "$line" ] && [ -f "$file" ] &&
			sed -n "${place##*:}{s/^[ \t]*/        > /p;}" "$file"
	done
}

# One test in one process.
run_test() { # program, test, points, limit, where to read
	local note=$notes/$2 code
	# Of a program that a signal ended the shell would say so on its own.
	# shellcheck disable=SC2086
	{ timeout -k 2 "$4" ${RUNNER:-} "$1" "$2" >"$learn/output" 2>&1 9>&-; } 2>/dev/null
	code=$?
	sed -n 's/^| //p' "$learn/output" >"$note"
	if [ $code -eq 0 ]; then
		result "$2" ok "$3" "$3"
	elif [ $code -eq 124 ] || [ $code -eq 137 ]; then
		{
			echo "expected: an end within $4 s"
			echo "came:     none. A loop that never ends, or a lock that is never released:"
			backtrace 3 "$1" "$2"
		} >>"$note"
		result "$2" hung 0 "$3"
	elif [ $code -ge 128 ] || grep -q 'with exception' "$learn/output"; then
		{
			echo "expected: an end of the test"
			echo "came:     a crash:"
			backtrace 20 "$1" "$2"
			[ -n "${RUNNER:-}" ] && echo "(no backtrace under ${RUNNER%% *})"
		} >"$note.crash"
		cat "$note" >>"$note.crash"
		mv "$note.crash" "$note"
		result "$2" crashed 0 "$3"
	else
		# An assertion of cmocka's own, or a program that could not run.
		grep -q '^expected' "$note" || sed -n -e 's/^\[  ERROR   \] --- //p' "$learn/output" |
			grep -v '^Test failed' | cat - "$note" >"$note.all" && [ -s "$note.all" ] &&
			mv "$note.all" "$note"
		[ -s "$note" ] || tail -n 5 "$learn/output" >"$note"
		result "$2" failed 0 "$3"
	fi
	[ $code -eq 0 ] || echo "read:     $5" >>"$note"
}

# What a checker says, short: the first report and the frames that are not libraries'.
checker_report() {
	awk '
	/ERROR: |runtime error: |WARNING: ThreadSanitizer|^==[0-9]+== (Invalid|Conditional|Use of|[0-9,]+ .*bytes in .* lost|Syscall|Source)/ {
		if (reports++ == 2)
			exit
		sub(/^=+[0-9]+=+ ?/, "")
		print
		frames = 0
		next
	}
	/learn\.c:| \.\.\// { next }
	reports && / at .*\.[ch]:|\(.*\.[ch]:[0-9]+\)|#[0-9]+ .*\.[ch]:[0-9]+/ && frames < 4 {
		sub(/^=+[0-9]+=+ */, "")
		sub(/0x[0-9a-f]+ in /, "")
		sub(/^[ \t]*/, "  ")
		print
		frames++
	}' "$1" | as_learner_sees
}

# The whole program under a checker, or the test $crashed; points if it has nothing to say.
run_checker() { # name, points, build, command before the program...
	local name points b program code
	name=$1 points=$2 b=$3
	shift 3
	program=$learn/obj/$b/$check
	tree_build "$b" "$learn/log" "$program" || {
		cp "$learn/log" "$notes/$name"
		result "$name" broken 0 "$points"
		return
	}
	# shellcheck disable=SC2086
	timeout -k 2 $((limit * 20)) "$@" "$program" ${crashed:-} >"$learn/output" 2>&1 9>&-
	code=$?
	if [ $code -eq 0 ]; then
		result "$name" ok "$points" "$points"
		return
	fi
	checker_report "$learn/output" >"$notes/$name"
	[ $code -eq 124 ] && echo "no end within $((limit * 20)) s" >>"$notes/$name"
	[ -s "$notes/$name" ] || grep -a '^| \|ERROR' "$learn/output" | sed 's/^| //' |
		head -n 10 >"$notes/$name"
	result "$name" failed 0 "$points"
}

# The learner's and the reference's by turns; in the best of three tries no row may take
# longer than RATIO times the reference's.
run_speed() { # points, ratio
	local reference
	reference=$BUILD/release/$check
	make --no-print-directory --silent -j"${JOBS:-2}" BUILD="$BUILD" B=release PEERS= "$reference" \
		>"$learn/log" 2>&1 || {
		echo "the reference does not build: make $reference" >"$notes/speed"
		result speed broken 0 "$1"
		return
	}
	for try in 1 2 3; do
		# shellcheck disable=SC2086
		{
			timeout 60 ${RUNNER:-} "$learn/obj/release/$check" --speed | sed 's/^/mine\t/'
			timeout 60 ${RUNNER:-} "$reference" --speed | sed 's/^/reference\t/'
		} >"$learn/output" 2>/dev/null 9>&-
		awk -F'\t' -v most="$2" '
		$1 == "mine" { mine[$2] = $3; order[++n] = $2 }
		$1 == "reference" { reference[$2] = $3; m++ }
		END {
			for (i = 1; i <= n; i++) {
				name = order[i]
				ratio = reference[name] > 0 ? mine[name] / reference[name] : 1
				printf "%s: yours %.1f ns, the reference %.1f ns: %.2f times (at most %.1f)\n",
					name, mine[name], reference[name], ratio, most
				bad += ratio > most
			}
			exit bad || !n || n != m
		}' "$learn/output" >"$notes/speed" && {
			result speed ok "$1" "$1"
			return
		}
	done
	result speed failed 0 "$1"
}

# Builds and grades with what lies over the tree. ONLY= names one test or checker, which
# alone is run. Exit code 3 when it does not compile, 4 when an exercise of the kernel cannot be
# graded here; $learn/log says why.
grade_exercise() { # ID
	is_kernel_exercise "$1" && {
		grade_kernel "$1"
		return
	}
	local id=$1 folder check limit all_passed name points read crashed
	folder=$(exercise_folder "$id")
	check=$folder/check
	limit=$(grade_key "$id" seconds 10)
	limit=$((limit * ${TIME_SCALE:-1}))
	rm -rf "$notes"
	mkdir -p "$notes"
	: >"$results"
	case ${ONLY:-} in
	asan | tsan) ;;
	*)
		tree_build release "$learn/log" "@$check" || return 3
		while IFS=$'\t' read -r name points read; do
			[ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || continue
			run_test "$learn/obj/release/$check" "$name" "$points" "$limit" "$read"
		done < <(${RUNNER:-} "$learn/obj/release/$check" --list)
		;;
	esac
	all_passed=$(awk -F'\t' '$2 != "ok" { bad = 1 } END { print !bad }' "$results")
	for name in asan valgrind tsan speed; do
		# shellcheck disable=SC2046
		set -- $(grade_key "$id" $name)
		[ $# -gt 0 ] || continue
		[ -z "${ONLY:-}" ] || [ "$ONLY" = $name ] || continue
		crashed=$(awk -F'\t' '$2 == "crashed" { print $1; exit }' "$results")
		if [ "$all_passed" = 0 ] && [ $name = asan ] && [ -n "$crashed" ] && [ -z "${RUNNER:-}" ]; then
			# What is wrong often happened before the crash; the sanitizer sees it happen.
			run_checker asan "$1" asan env UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
			continue
		fi
		if [ "$all_passed" = 0 ]; then
			echo "comes when the tests pass" >"$notes/$name"
			result $name skipped 0 "$1"
			continue
		fi
		case $name in
		asan)
			if [ -n "${RUNNER:-}" ]; then
				grant asan "$1" "not under ${RUNNER%% *}"
			else
				run_checker asan "$1" asan env UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
			fi
			;;
		tsan)
			if [ -n "${RUNNER:-}" ]; then
				grant tsan "$1" "not under ${RUNNER%% *}"
			else
				run_checker tsan "$1" tsan env TSAN_OPTIONS="suppressions=$top/harness/tests/tsan.supp halt_on_error=1"
			fi
			;;
		valgrind)
			if [ -n "${RUNNER:-}" ] || ! command -v valgrind >/dev/null; then
				grant valgrind "$1" "there is no valgrind here"
			else
				run_checker valgrind "$1" release valgrind -q --error-exitcode=9 \
					--leak-check=full --errors-for-leak-kinds=definite \
					--suppressions="$top/harness/tests/valgrind.supp"
			fi
			;;
		speed)
			if [ -n "${RUNNER:-}" ]; then
				grant speed "$1" "not under ${RUNNER%% *}"
			else
				run_speed "$1" "$2"
			fi
			;;
		esac
	done
}
# A checker that this machine does not have costs nobody points.
grant() { # name, points, why
	echo "$3: taken for passed" >"$notes/$1"
	result "$1" granted "$2" "$2"
}
points_granted() { awk -F'\t' '$2 == "granted" { n += $3 } END { print n + 0 }' "$results"; }

points_reached() { awk -F'\t' '{ n += $3 } END { print n + 0 }' "$results"; }
points_most() { awk -F'\t' '{ n += $4 } END { print n + 0 }' "$results"; }

# ---- what a person reads ----

show_results() { # ID
	local name verdict points most word
	printf '%s %s\n\n' "$1" "$(exercise_title "$1")"
	while IFS=$'\t' read -r name verdict points most; do
		case $verdict in
		ok) word="ok     " ;;
		granted) word="granted" ;;
		skipped) word="-      " ;;
		*) word="$(printf '%-7s' "$verdict" | tr a-z A-Z)" ;;
		esac
		printf '  %s %2d/%-2d %s\n' "$word" "$points" "$most" "$name"
		{ [ "$verdict" != ok ] || [ "$name" = speed ]; } && [ -s "$notes/$name" ] &&
			sed 's/^/                /' "$notes/$name"
	done <"$results"
	printf '\n'
}
show_json() { # ID, compiles (true|false)
	local name verdict points most
	[ -d "$notes" ] || mkdir -p "$notes"
	{
		printf 'exercise\t%s\t%s\t%s\n' "$1" "$(exercise_title "$1")" "$2"
		[ "$2" = true ] && while IFS=$'\t' read -r name verdict points most; do
			printf 'test\t%s\t%s\t%d\t%d\n' "$name" "$verdict" "$points" "$most"
			[ -s "$notes/$name" ] && sed 's/^/note\t/' "$notes/$name"
		done <"$results"
		[ "$2" = true ] || sed 's/^/log\t/' "$learn/log"
	} | awk -F'\t' '
	function quote(s) {
		gsub(/\\/, "\\\\", s)
		gsub(/"/, "\\\"", s)
		gsub(/\t/, "\\t", s)
		gsub(/[\001-\037]/, "", s)
		return "\"" s "\""
	}
	function rest(s) { sub(/^[^\t]*\t/, "", s); return s }
	function close_test() { if (open) printf "\"}" ; open = 0 }
	$1 == "exercise" {
		printf "{\"exercise\":%s,\"title\":%s,\"compiles\":%s,\"tests\":[", quote($2), quote($3), $4
	}
	$1 == "test" {
		close_test()
		printf "%s{\"name\":%s,\"verdict\":%s,\"points\":%d,\"of\":%d,\"note\":\"",
			n++ ? "," : "", quote($2), quote($3), $4, $5
		open = 1
		reached += $4
		most += $5
	}
	$1 == "note" { s = quote(rest($0)); printf "%s\\n", substr(s, 2, length(s) - 2) }
	$1 == "log" { s = quote(rest($0)); log_text = log_text substr(s, 2, length(s) - 2) "\\n" }
	END {
		close_test()
		printf "],\"log\":\"%s\",\"points\":%d,\"of\":%d}\n", log_text, reached, most
	}'
}
