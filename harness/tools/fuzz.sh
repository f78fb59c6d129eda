#!/bin/sh
# fuzz.sh - libFuzzer with AddressSanitizer on what reads from disk, FUZZ_SECONDS (60) a
# target, one after the other. What it finds lies in BUILD/fuzz/found; run the target with
# that file to see it again. The corpus stays in BUILD/fuzz, so that the next run starts
# where this one ended. The last line is "N passed, N failed", in targets.
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
tests=sprint-2-hash-storage/tests
targets="$tests/log_fuzz $tests/index_fuzz $tests/store_fuzz"
targets="$targets sprint-3-btree-storage/tests/btree_node_fuzz"
targets="$targets sprint-4-lsm-simd/tests/sst_block_fuzz sprint-4-lsm-simd/tests/sst_fuzz"
targets="$targets sprint-4-lsm-simd/tests/lsm_manifest_fuzz"

# A count that the input makes up must not become memory: -malloc_limit_mb.
fuzz_one() { # target, name
	"$build/fuzz/$1" -max_total_time="$seconds" -max_len=20000 -timeout=20 \
		-rss_limit_mb=2048 -malloc_limit_mb=64 -print_final_stats=1 \
		-artifact_prefix="$build/fuzz/found/$2-" \
		"$build/fuzz/corpus/$2" >"$build/fuzz/$2.log" 2>&1
}

passed=0
failed=0
for t in $targets; do
	name=$(basename "$t")
	make --silent -j2 B=release "$build/release/${t}_corpus"
	make --silent -j2 B=fuzz CC=clang "$build/fuzz/$t"
	mkdir -p "$build/fuzz/corpus/$name" "$build/fuzz/found"
	"$build/release/${t}_corpus" "$build/fuzz/corpus/$name"
	echo "$name: $seconds s"
	if fuzz_one "$t" "$name"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	grep -E '^#.*(DONE|cov:)|SUMMARY|ERROR|_fuzz:|^stat::(number_of_executed|average)' \
		"$build/fuzz/$name.log" | tail -n 6
done
[ $failed -eq 0 ] || echo "fuzz.sh: see $build/fuzz/found and $build/fuzz/*.log" >&2
echo "$passed passed, $failed failed"
exit $failed
