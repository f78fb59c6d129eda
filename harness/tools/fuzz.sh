#!/bin/sh
# fuzz.sh - libFuzzer with AddressSanitizer on what reads from disk, FUZZ_SECONDS (60) a
# target. What it finds lies in BUILD/fuzz/found; run the target with that file to see it
# again. The corpus stays in BUILD/fuzz, so that the next run starts where this one ended.
set -eu
seconds=${FUZZ_SECONDS:-60}
build=${BUILD:-build}
if ! command -v clang >/dev/null; then
	echo "fuzz.sh: clang is missing. Install it: apt-get install clang libclang-rt-14-dev" >&2
	exit 1
fi
if ! echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }' |
	clang -fsanitize=fuzzer,address -x c -o /dev/null - 2>/dev/null; then
	echo "fuzz.sh: clang has no libFuzzer. Install the libclang-rt-N-dev of its version:" \
		"$(clang --version | head -n 1)" >&2
	exit 1
fi
targets="sprint-2-hash-storage/tests/log_fuzz"
failed=0
for t in $targets; do
	name=$(basename "$t")
	make --silent -j2 B=release "$build/release/${t}_corpus"
	make --silent -j2 B=fuzz CC=clang "$build/fuzz/$t"
	mkdir -p "$build/fuzz/corpus/$name" "$build/fuzz/found"
	"$build/release/${t}_corpus" "$build/fuzz/corpus/$name"
	echo "$name: $seconds s"
	"$build/fuzz/$t" -max_total_time="$seconds" -max_len=20000 -timeout=20 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$build/fuzz/found/$name-" \
		"$build/fuzz/corpus/$name" >"$build/fuzz/$name.log" 2>&1 || failed=$((failed + 1))
	grep -E '^#.*(DONE|cov:)|SUMMARY|ERROR|log_fuzz:|^stat::(number_of_executed|average)' \
		"$build/fuzz/$name.log" | tail -n 6
done
[ $failed -eq 0 ] || echo "fuzz.sh: see $build/fuzz/found and $build/fuzz/*.log" >&2
exit $failed
