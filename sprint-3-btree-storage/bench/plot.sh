#!/bin/sh
# plot.sh BTREE_BENCHMARKS PICTURE.png [OPTION...] - btree_benchmarks, with these options, as a
# picture; its figures stay in PICTURE.tsv beside it when KEEP=1.
set -eu
bench=$1 picture=$2
shift 2
data=$(mktemp)
trap 'rm -f "$data"' EXIT
mkdir -p build
"$bench" --tsv "$@" >"$data"
[ -z "${KEEP:-}" ] || cp "$data" "${picture%.png}.tsv"
# Columns: 1 table, 2 engine, 3 value, 4 pairs, 5 random, 6 sorted, 7 bulk, 8 hit, 9 miss,
# 10 scan 1, 11 scan 100, 12 scan 10K, 13 scan all, 14 get beside a writer, 15 scan of 100
# beside it, 16 the writer.
largest=$(awk -F'\t' '$1 == "sizes" && $4 > n { n = $4 } END { print n }' "$data")
scans=$(mktemp)
trap 'rm -f "$data" "$scans"' EXIT
awk -F'\t' '$1 == "sizes" && $2 == "btree" && $4 >= 10000 {
	printf "%s\t1\t%s\n%s\t100\t%s\n%s\t10000\t%s\n\n\n", $4, $10, $4, $11, $4, $12 }' "$data" >"$scans"
gnuplot <<END
set terminal pngcairo size 1100,1100 font "sans,10"
set output "$picture"
set datafile separator "\t"
set datafile missing "nan"
set multiplot layout 3,2
set grid ytics lc rgb "#dddddd"
set yrange [0:*]
set key top right samplen 2
set logscale x
is(t, e) = strcol(1) eq t && strcol(2) eq e
set xlabel "pairs"
set ylabel "million pairs a second"
set title "insertion"
plot "$data" using 3:(is("sizes", "btree") ? \$6 : NaN) with linespoints lw 2 title "sorted", \
	"" using 3:(is("sizes", "btree") ? \$5 : NaN) with linespoints lw 2 title "random", \
	"" using 3:(is("sizes", "btree") ? \$7 : NaN) with linespoints lw 2 title "bulk", \
	"" using 3:(is("sizes", "hash") ? \$5 : NaN) with linespoints lw 1 dt 2 title "hash, random"
set title "look-ups"
set ylabel "million look-ups a second"
plot "$data" using 3:(is("sizes", "btree") ? \$8 : NaN) with linespoints lw 2 title "hits", \
	"" using 3:(is("sizes", "btree") ? \$9 : NaN) with linespoints lw 2 title "misses", \
	"" using 3:(is("sizes", "btree") ? \$14 : NaN) with linespoints lw 2 title "hits beside a writer", \
	"" using 3:(is("sizes", "hash") ? \$8 : NaN) with linespoints lw 1 dt 2 title "hash, hits"
set title "scans"
set xlabel "pairs in a scan"
set ylabel "million pairs a second"
set key top left
plot for [i = 0:*] "$scans" index i using 2:3 with linespoints lw 2 title columnheader(1)." pairs"
set title "beside a writer, $largest pairs"
set key top right
unset logscale x
set style data histograms
set style fill solid 0.6
set boxwidth 0.8
set xlabel ""
set ylabel "relative to alone"
set xrange [-0.6:1.6]
set xtics ("look-ups" 0, "scans of 100" 1)
plot "$data" using (0):(is("sizes", "btree") && \$4 == $largest ? \$14 / \$8 : NaN) with boxes lc 1 notitle, \
	"" using (1):(is("sizes", "btree") && \$4 == $largest ? \$15 / \$11 : NaN) with boxes lc 2 notitle
set xtics autofreq
set autoscale x
set logscale x 2
set style data lines
set title "branching factor (the last: as many as fit)"
set xlabel "most entries of a node"
set ylabel "millions a second"
few(x) = x == 0 ? 128 : x
plot "$data" using (strcol(1) eq "max_keys" ? few(\$3) : NaN):8 with linespoints lw 2 title "hits", \
	"" using (strcol(1) eq "max_keys" ? few(\$3) : NaN):5 with linespoints lw 2 title "random insertion", \
	"" using (strcol(1) eq "max_keys" ? few(\$3) : NaN):(\$11 / 10) with linespoints lw 2 title "pairs of scans of 100, / 10"
set title "size of pages"
set xlabel "KiB"
plot "$data" using (strcol(1) eq "page_bytes" ? \$3 / 1024 : NaN):8 with linespoints lw 2 title "hits", \
	"" using (strcol(1) eq "page_bytes" ? \$3 / 1024 : NaN):5 with linespoints lw 2 title "random insertion", \
	"" using (strcol(1) eq "page_bytes" ? \$3 / 1024 : NaN):(\$11 / 10) with linespoints lw 2 title "pairs of scans of 100, / 10"
END
