#!/bin/sh
# symbols.sh - engines call the port, the environment, themselves, and a few functions that
# a kernel has too; nothing else of the C library. Objects that are a home themselves
# (port_*, env_posix, ...) are where the rest is allowed.
set -u
O=${O:-build/release}
allowed='^(mem(cpy|move|set|cmp)|str(len|cmp|ncmp|chr|rchr|spn|cspn|nlen)|v?snprintf|__(v?snprintf|mem(cpy|move|set)|strcpy|strcat)_chk|__stack_chk_fail|__errno_location|pthread_(mutex|rwlock)_[a-z]+|malloc|free|realloc|aligned_alloc|qsort|_GLOBAL_OFFSET_TABLE_|__(aarch64|asan|ubsan|tsan|gcov)_.*|LZ4_(compress_default|decompress_safe)|abort|__assert_fail|__tls_get_addr)$'
bad=0
[ -n "$(ls "$O"/libs*.a 2>/dev/null)" ] || {
	echo "no libs*.a in $O: build them first (make all)"
	exit 1
}
for lib in "$O"/libs*.a; do
	for member in $(ar t "$lib"); do
		case $member in
		port_*.o | env_posix.o | env_uring.o) continue ;;
		esac
		for s in $(ar p "$lib" "$member" >/tmp/member.$$.o && nm -u /tmp/member.$$.o | awk '{ print $2 }'); do
			echo "$s" | grep -Eq "$allowed" && continue
			nm -A "$O"/libs*.a 2>/dev/null | grep -Eq " [TDRBVW] $s\$" && continue
			echo "$(basename "$lib" .a): $member calls $s"
			bad=1
		done
	done
done
rm -f /tmp/member.$$.o
exit $bad
