#!/bin/sh
# plot.sh STORAGE_BENCHMARKS PICTURE.png [OPTION...] - runs storage_benchmarks with these
# options and draws what it measured. The figures are printed as well.
set -eu
bench=$1 picture=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Columns: 1 table, 2 what, 3 load, 4 overwrite, 5 the thousandth write in us, 6 the longest in
# ms, 7 write amplification, 8 space amplification, 9 runs, 10 hit, 11 miss, 12 scan of 50,
# 13 all.
"$bench" --tsv "$@" | tee "$dir/all"
for table in style memtable block access blob; do
	awk -F'\t' -v t="$table" '$1 == t' "$dir/all" >"$dir/$table"
done

gnuplot <<END
set terminal pngcairo size 1100,1100 font "sans,10"
set output "$picture"
set datafile separator "\t"
set multiplot layout 3,2
set grid ytics lc rgb "#dddddd"
set linetype 5 lc rgb "#b8860b"
set yrange [0:*]
set key below horizontal samplen 1
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.7
set title "styles of compaction: amplification"
plot "$dir/style" using 7:xtic(2) title "write", "" using 8 title "space", "" using 9 title "runs to read"
set title "styles of compaction: millions a second"
plot "$dir/style" using 3:xtic(2) title "load", "" using 4 title "overwrite", \
	"" using 10 title "hit", "" using 11 title "miss"
set title "size of a memtable"
plot "$dir/memtable" using 3:xtic(2) title "million loads a second", \
	"" using 7 title "write amplification"
set title "size of a block: millions a second"
plot "$dir/block" using 10:xtic(2) title "hit", "" using 11 title "miss", \
	"" using (\$12 / 10) title "pairs in scans of 50, / 10"
set title "tables read or mapped: millions a second"
plot "$dir/access" using 10:xtic(2) title "hit", "" using 11 title "miss", \
	"" using (\$12 / 10) title "pairs in scans of 50, / 10"
set title "values of 1,000 bytes, from which size on apart from keys"
plot "$dir/blob" using 7:xtic(2) title "write amplification", "" using 8 title "space", \
	"" using (\$3 * 10) title "million loads a second, x 10"
END
