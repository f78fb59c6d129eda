#!/bin/sh
# coverage.sh DIR - after the tests of B=coverage: which share of each source's lines ran.
set -eu
cd "$1"
find . -name '*.gcda' ! -path '*/tests/*' | while read -r data; do
	gcov -n -o "$(dirname "$data")" "$data" 2>/dev/null
done | awk '
	/^File/ { file = $2; gsub(/\047/, "", file) }
	/^Lines executed/ && file !~ /^\/usr/ {
		split($0, part, /[:% ]+/)
		share[file] = part[3] > share[file] ? part[3] : share[file]
		lines[file] = part[5]
		file = "/usr"
	}
	END {
		for (f in share) {
			printf "%6.1f%% of %4d  %s\n", share[f], lines[f], f
			all += lines[f]
			ran += lines[f] * share[f] / 100
		}
		printf "%6.1f%% of %d lines\n", all ? 100 * ran / all : 0, all
	}' | sort -n
