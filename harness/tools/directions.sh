#!/bin/sh
# directions.sh - sprint N includes of sprints before it only; engines include nothing of
# the harness. Tests and benches may. What counts is what the compiler opened (gcc -MM).
set -u
bad=0
for c in $(git ls-files 'sprint-*/*.c' | grep -v '/tests/\|/bench/\|/kernel/\|/exercises/'); do
	n=$(echo "$c" | sed 's/^sprint-\([0-9]\).*/\1/')
	for h in $(gcc -std=gnu11 -D_GNU_SOURCE -MM "$c" | tr -d '\\' | tr ' ' '\n' | grep '\.h$'); do
		real=$(realpath --relative-to=. "$h")
		case $real in
		harness/*) echo "$c includes $real: engines know no harness" && bad=1 ;;
		sprint-*)
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
