#!/bin/sh
# plot.sh BTREE_BENCHMARKS PICTURE.png [OPTION...] - runs btree_benchmarks with these options,
# ROUNDS times (default 1), and draws the medians. The figures are printed as well.
set -eu
bench=$1 picture=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p build
i=0
while [ "$i" -lt "${ROUNDS:-1}" ]; do
	"$bench" --tsv "$@" >>"$dir/all"
	i=$((i + 1))
done

# Columns: 1 table, 2 engine, 3 value, 4 pairs, 5 random, 6 sorted, 7 bulk, 8 hit, 9 miss,
# 10 scan 1, 11 scan 100, 12 scan 10K, 13 scan all, 14 get beside a writer, 15 scan of 100
# beside it, 16 the writer.
awk -F'\t' '
{
	row = $1 FS $2 FS $3 FS $4
	if (!(row in n))
		order[++rows] = row
	n[row]++
	for (c = 5; c <= NF; c++)
		v[row, c, n[row]] = $c
	columns = NF
}
END {
	for (r = 1; r <= rows; r++) {
		row = order[r]
		printf "%s", row
		for (c = 5; c <= columns; c++) {
			for (i = 1; i <= n[row]; i++)
				for (j = i + 1; j <= n[row]; j++)
					if (v[row, c, j] + 0 < v[row, c, i] + 0) {
						t = v[row, c, i]
						v[row, c, i] = v[row, c, j]
						v[row, c, j] = t
					}
			printf "\t%s", v[row, c, int((n[row] + 1) / 2)]
		}
		print ""
	}
}' "$dir/all" | tee "$dir/data"
for table in sizes max_keys page_bytes; do
	for engine in btree hash; do
		awk -F'\t' -v t="$table" -v e="$engine" '$1 == t && $2 == e' "$dir/data" >"$dir/$table-$engine"
	done
done
largest=$(awk -F'\t' '$4 > n { n = $4 } END { print n }' "$dir/sizes-btree")
awk -F'\t' '{ printf "%s\n1\t%s\n100\t%s\n10000\t%s\n\n\n", $4, $10, $11, $12 }' "$dir/sizes-btree" >"$dir/scans"

gnuplot <<END
set terminal pngcairo size 1100,1100 font "sans,10"
set output "$picture"
set datafile separator "\t"
set multiplot layout 3,2
set grid ytics lc rgb "#dddddd"
set linetype 5 lc rgb "#b8860b"
set yrange [0:*]
set key top right samplen 2
set logscale x
set format x "10^{%T}"
set xlabel "pairs"
set ylabel "million pairs a second"
set title "insertion"
plot "$dir/sizes-btree" using 3:6 with linespoints lw 2 title "sorted", \
	"" using 3:5 with linespoints lw 2 title "random", \
	"" using 3:7 with linespoints lw 2 title "bulk", \
	"$dir/sizes-hash" using 3:5 with linespoints lw 1 dt 2 title "hash, random"
set title "look-ups"
set ylabel "million look-ups a second"
plot "$dir/sizes-btree" using 3:8 with linespoints lw 2 title "hits", \
	"" using 3:9 with linespoints lw 2 title "misses", \
	"" using 3:14 with linespoints lw 2 title "hits beside a writer", \
	"$dir/sizes-hash" using 3:8 with linespoints lw 1 dt 2 title "hash, hits"
set title "scans"
set xlabel "pairs in a scan"
set ylabel "million pairs a second"
set key top left
plot for [i = 0:2] "$dir/scans" index i using 1:2 with linespoints lw 2 title columnheader(1)." pairs in the store"
set title "beside a writer, $largest pairs"
unset logscale x
set format x "%g"
set style fill solid 0.6
set boxwidth 0.6
set xlabel ""
set ylabel "alone: 1"
set xrange [-0.6:1.6]
set xtics ("look-ups" 0, "scans of 100" 1)
plot "$dir/sizes-btree" using (0):(\$4 == $largest ? \$14 / \$8 : NaN) with boxes lc 1 notitle, \
	"" using (1):(\$4 == $largest ? \$15 / \$11 : NaN) with boxes lc 2 notitle
set autoscale x
set logscale x 2
set key bottom right
set title "branching factor"
set xrange [3.6:150]
set xlabel "most entries of a node"
set xtics ("4" 4, "8" 8, "16" 16, "32" 32, "64" 64, "all that fit" 128)
set ylabel "millions a second"
most(x) = x == 0 ? 128 : x
plot "$dir/max_keys-btree" using (most(\$3)):8 with linespoints lw 2 title "hits", \
	"" using (most(\$3)):5 with linespoints lw 2 title "random insertion", \
	"" using (most(\$3)):(\$11 / 10) with linespoints lw 2 title "pairs in scans of 100, / 10"
set title "size of pages"
set xrange [3.6:72]
set xlabel "KiB"
set xtics autofreq
plot "$dir/page_bytes-btree" using (\$3 / 1024):8 with linespoints lw 2 title "hits", \
	"" using (\$3 / 1024):5 with linespoints lw 2 title "random insertion", \
	"" using (\$3 / 1024):(\$11 / 10) with linespoints lw 2 title "pairs in scans of 100, / 10"
END
