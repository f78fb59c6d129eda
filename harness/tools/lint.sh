#!/bin/sh
# lint.sh - what a machine can say of the sources without running them. Ends with an error
# when any of its checks found something; each runs even if one before it failed.
set -u
bad=0
step() {
	printf '%s\n' "-- $1"
	shift
	"$@" || {
		bad=1
		echo "   failed: $*" | cut -c1-200
	}
}
sources=$(git ls-files '*.c' '*.h')
programs=$(git ls-files '*.c' | grep -v '/exercises/.*/lab/\|/kernel/\|^vm/module/')

format() {
	# shellcheck disable=SC2086
	clang-format --dry-run -Werror $sources
}

clang_build() {
	make --silent -j2 CC=clang BUILD="${BUILD:-build}/clang" tests
}

# What it says of tests is about their asserts. Memory that is stored through a pointer it
# takes for leaked; to find leaks is what the tests under LeakSanitizer and Valgrind are for.
gcc_analyzer() {
	# shellcheck disable=SC2086
	for c in $(echo "$programs" | tr ' ' '\n' | grep -v /tests/); do
		case $c in
		harness/peer_*) continue ;; # libraries' own types confuse it
		*/exercises/*) continue ;; # graders, and a program with a mistake to find
		esac
		gcc -std=gnu11 -O2 -D_GNU_SOURCE -fanalyzer -Wall -Wextra -Werror \
			-Wno-analyzer-malloc-leak -c -o /dev/null "$c" || return 1
	done
}

cpp_check() {
	# It takes the (check_cursor)(...) of a macro for a cast, which would be NULL, and knows
	# jansson's loops only from here.
	# shellcheck disable=SC2086
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr \
		--suppress=missingInclude --suppress=nullPointer:sprint-1-core-memory/kv.h \
		'-Djson_object_foreach(object, key, value)=while (each(object, &key, &value))' \
		'-Djson_array_foreach(array, i, value)=while (each(array, &i, &value))' \
		--error-exitcode=1 -D__GNUC__ -DHAVE_SQLITE -j2 $programs
}

symbols() {
	make --silent -j2 all && O=${BUILD:-build}/release harness/tools/symbols.sh
}

shell_syntax() {
	for s in $(git ls-files '*.sh') .ci/run; do
		case $(head -n 1 "$s") in
		*bash | '# lib.sh'* | '# grade.sh'*) bash -n "$s" || return 1 ;;
		*) sh -n "$s" || return 1 ;;
		esac
	done
}

step "format (clang-format)" format
step "warnings of clang" clang_build
step "static analysis of gcc" gcc_analyzer
step "static analysis of cppcheck" cpp_check
step "direction of includes" harness/tools/directions.sh
step "symbols that engines call" symbols
step "shell syntax" shell_syntax
step "links of the documents" harness/tools/check_links.sh
[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
