#!/bin/sh
# directions.sh - sprint N, its tests and its benches include of sprints before it only;
# engines and their tests include nothing of the harness, which benches may. What counts is
# what the compiler opened (gcc -MM).
set -u
bad=0
for c in $(git ls-files 'sprint-*/*.c' | grep -v '/kernel/\|/exercises/'); do
	n=$(echo "$c" | sed 's/^sprint-\([0-9]\).*/\1/')
	opened=$(gcc -std=gnu11 -D_GNU_SOURCE -MM "$c") || bad=1
	for h in $(echo "$opened" | tr -d '\\' | tr ' ' '\n' | grep '\.[ch]$'); do
		real=$(realpath --relative-to=. "$h")
		case $c:$real in
		*/bench/*:harness/*) ;;
		*:harness/*)
			echo "$c includes $real: engines and their tests know no harness"
			bad=1
			;;
		*:sprint-*)
			m=$(echo "$real" | sed 's/^sprint-\([0-9]\).*/\1/')
			[ "$m" -gt "$n" ] && echo "$c includes $real: of a later sprint" && bad=1
			;;
		esac
	done
done
for c in $(git ls-files 'harness/*.c' | grep -v '/tests/\|harness/engines.c'); do
	if grep -n '#include.*_engine\.h"' "$c"; then
		echo "$c: only harness/engines.c and tests name an engine"
		bad=1
	fi
done
exit $bad
