#!/bin/sh
# plot.sh BENCH PICTURE.png - hash_table_bench as a picture: hits and misses against fill, and
# how many places they look at, within the cache and beyond it.
set -eu
data=$(mktemp)
trap 'rm -f "$data"' EXIT
"$1" --tsv >"$data"
gnuplot <<EOF
set terminal pngcairo size 1100,760 font "sans,10"
set output "$2"
set datafile separator "\t"
set multiplot layout 2,2
set grid ytics lc rgb "#dddddd"
set xrange [45:105]
set yrange [0:*]
set xlabel "fill, percent of capacity"
set ylabel "ns an operation"
set key top left samplen 2
set linetype 5 lc rgb "#b8860b"
names = "chaining linear robin-hood cuckoo swiss"
do for [large = 0:1] {
	set title large ? "hits, beyond the cache" : "hits, in cache"
	plot for [n in names] "$data" using 3:(strcol(1) eq n && (\$2 > 100000) == large ? \$5 : NaN) \
		with linespoints lw 2 title n
}
set title "misses, beyond the cache"
plot for [n in names] "$data" using 3:(strcol(1) eq n && \$2 > 100000 ? \$7 : NaN) with linespoints lw 2 title n
set title "places looked at for a hit (entries; groups: cuckoo, swiss)"
set ylabel "probes"
plot for [n in names] "$data" using 3:(strcol(1) eq n && \$2 > 100000 ? \$12 : NaN) with linespoints lw 2 title n
EOF
