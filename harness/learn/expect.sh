# shellcheck shell=bash
# expect.sh - what the tests of the learning track share: a scratch folder with a workspace in
# it, and the count of what went well. Sourced by bash, in the top folder.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export WORK=$scratch/work
# shellcheck disable=SC2034 # the tests call it
run=harness/learn/learn.sh
passed=0
failed=0

ok() { # what, command...
	local what=$1
	shift
	if "$@" >"$scratch/out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "not ok: $what: $*"
		sed 's/^/    /' "$scratch/out" | tail -n 20
	fi
}
