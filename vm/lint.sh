#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lint.sh [--arch ARCH] [--kernel stock|lab] - the kernel's own checkers over all that is built
# into modules: sparse (address spaces, locks, byte orders) and the style of checkpatch.pl, which
# comes with the kernel's source. Prints what they say; last line: N passed, N failed.
set -eu
. "$(dirname "$0")/lib.sh"
machine_options "$@"
shift "$taken"
[ $# -eq 0 ] || die "what is \"$1\"?"
need sparse sparse
need perl perl
work=$(mktemp -d "${TMPDIR:-/tmp}/vm-lint.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

verdict() { # what; $work/said has what was said against it
	if [ -s "$work/said" ]; then
		failed=$((failed + 1))
		echo "FAIL $1"
		cat "$work/said"
	else
		passed=$((passed + 1))
		echo "ok   $1"
	fi
}

# Each call is counted: a checker that nobody calls has nothing to say either.
cat >"$work/check" <<END
#!/bin/sh
echo >>"$work/calls"
exec sparse "\$@"
END
chmod +x "$work/check"
touch "$work/calls"
"$vm_dir/build_modules.sh" --arch "$arch" --kernel "$kernel" C=2 CHECK="$work/check" >/dev/null 2>"$work/all" || {
	cat "$work/all" >&2
	exit 1
}
grep -E '(warning|error): ' "$work/all" | grep -v 'compiler differs' >"$work/said" || true
calls=$(wc -l <"$work/calls")
[ "$calls" -gt 0 ] || echo "sparse was never called" >"$work/said"
verdict "sparse over $calls files"

# Types that are switched off, and why:
#   SPDX_LICENSE_TAG, BLOCK_COMMENT_STYLE, LINE_SPACING, OPEN_BRACE, CODE_INDENT, LEADING_SPACE, SPACING,
#   BRACES, STORAGE_CLASS     clang-format and the house's style decide
#   SPLIT_STRING              lines have 90 columns, and messages to people are long
#   EXPORT_SYMBOL             the functions stand in sources that userspace compiles too
#   LINUX_VERSION_CODE, CONSTANT_COMPARISON    one source for kernels from 6.1 on
#   EMBEDDED_FUNCTION_NAME, REPEATED_WORD      "cut" and "walk" are words; "all there is is"
#   ARRAY_SIZE, PREFER_DEFINED_ATTRIBUTE_MACRO userspace has no such names
#   COMPLEX_MACRO, MULTISTATEMENT_MACRO_USE_DO_WHILE, TRAILING_SEMICOLON    macros that write
#                             functions, or a statement for each lane
#   MEMORY_BARRIER            words for barriers, that are explained where they are used
#   CONST_STRUCT              a device's file_operations has its module's owner
#   ASSIGN_IN_IF, UNNECESSARY_ELSE, VOLATILE   each was looked at
#   VSPRINTF_SPECIFIER_PX     of a test that says which address it got
off=SPDX_LICENSE_TAG,BLOCK_COMMENT_STYLE,LINE_SPACING,OPEN_BRACE,CODE_INDENT,LEADING_SPACE,SPACING
off=$off,BRACES,STORAGE_CLASS,SPLIT_STRING,EXPORT_SYMBOL,LINUX_VERSION_CODE,CONSTANT_COMPARISON
off=$off,EMBEDDED_FUNCTION_NAME,REPEATED_WORD,ARRAY_SIZE,PREFER_DEFINED_ATTRIBUTE_MACRO
off=$off,COMPLEX_MACRO,MULTISTATEMENT_MACRO_USE_DO_WHILE,TRAILING_SEMICOLON,MEMORY_BARRIER
off=$off,CONST_STRUCT,ASSIGN_IN_IF,UNNECESSARY_ELSE,VOLATILE,VSPRINTF_SPECIFIER_PX

# The source that the lab kernel is made of has the script.
checkpatch=$VM_CACHE/linux-source-${VM_KERNEL_VERSION:-6.1}/scripts/checkpatch.pl
[ -f "$checkpatch" ] || "$vm_dir/kernel_lab.sh" "$(host_arch)" >/dev/null
engine_sources() {
	for list in sprint-*/kernel/Kbuild; do
		sprint=${list%/kernel/Kbuild}
		grep -o '\.\./[a-z0-9_]*\.o' "$list" | sed "s|^\.\./|$sprint/|; s|\.o\$|.c|"
	done
}
cd "$top"
# shellcheck disable=SC2046
set -- sprint-*/kernel/*.[ch] vm/module/*.[ch] $(engine_sources | sort -u)
perl "$checkpatch" --no-tree --terse --show-types --no-summary --max-line-length=90 --ignore "$off" -f "$@" \
	>"$work/said" 2>/dev/null || true
verdict "checkpatch over $# files"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
