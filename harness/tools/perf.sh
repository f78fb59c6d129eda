#!/bin/sh
# perf.sh DIR OPTIONS... - perf stat of `kvbench run OPTIONS...`, then a profile as a flame
# graph in DIR/flame.svg, where the kernel lets perf sample.
set -eu
dir=$1
shift
mkdir -p "$dir"
paranoid=$(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo unknown)
perf stat -d -o "$dir/stat.txt" -- harness/kvbench run "$@" || {
	echo "perf.sh: perf stat does not run here (perf_event_paranoid is $paranoid): as root," >&2
	echo "perf.sh: sysctl kernel.perf_event_paranoid=1 lets it" >&2
	exit 1
}
cat "$dir/stat.txt"
event=cycles
perf stat -e cycles true >/dev/null 2>"$dir/probe.txt"
grep -q 'not supported' "$dir/probe.txt" && event=cpu-clock
if ! perf record -q -e $event -F 999 -g --call-graph dwarf,8192 -o "$dir/perf.data" -- \
	harness/kvbench run "$@" >/dev/null 2>"$dir/record.txt"; then
	echo "perf.sh: no flame graph, perf may not sample here: $(tail -n 1 "$dir/record.txt")" >&2
	exit 0
fi
perf script -i "$dir/perf.data" 2>/dev/null | python3 harness/tools/flamegraph.py >"$dir/flame.svg"
echo "Sampled by $event. Flame graph: $dir/flame.svg"
