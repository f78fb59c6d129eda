# kernel.sh - grades an exercise of the kernel: builds all modules with what lies over the tree,
# boots a machine with them, and runs the check program in it. The lab kernel's checkers are
# named as they are: kasan (memory), lockdep (locks), sleeping (where none may sleep) and
# kmemleak (leaks). Sourced by bash after grade.sh.
#
# The grade file says
#   kernel: storage-array memory_bytes=1m; port-test     modules to load before the tests
#   kasan: 2 ...                                         points of a checker that has nothing to say
#
# KERNEL=stock takes Debian's kernel though the lab kernel is there. LEAKS=0 does not look for leaks,
# which takes longest.
kernel_checkers="kasan lockdep sleeping kmemleak"

is_kernel_exercise() { [ -n "$(grade_key "$1" kernel)" ]; } # ID

# lab where it was built, else stock. Exit code 1, and why, where there is no machine at all.
kernel_kind() {
	local arch qemu cache hash
	arch=$(dpkg --print-architecture 2>/dev/null)
	case $arch in
	amd64) qemu=qemu-system-x86_64 ;;
	arm64) qemu=qemu-system-aarch64 ;;
	*) echo "no machine for \"$arch\" here" && return 1 ;;
	esac
	command -v $qemu >/dev/null || {
		echo "$qemu is not there. To have it: make deps-vm, then make vm-build KERNEL=lab"
		return 1
	}
	cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/storage-workbench}
	hash=$(cat vm/lab.config "vm/lab-$arch.config" | sha256sum | cut -c1-12)
	[ "${KERNEL:-}" != stock ] &&
		[ -e "$cache/lab-$arch-${VM_KERNEL_VERSION:-6.1}-$hash/complete" ] && echo lab && return
	echo stock
}

# The kernel's make looks at times alone; what a link led to before must not stay.
kernel_build() { # stock or lab
	local out=$learn/kernel-$1 path
	mkdir -p "$out"
	for path in $(sort -u "$out/overlaid" "$learn/overlay" 2>/dev/null); do
		rm -f "$out/${path%.c}.o"
	done
	cp "$learn/overlay" "$out/overlaid"
	BUILD=$learn/obj vm/build_modules.sh --kernel "$1" --sources "$tree" --out "$out" \
		KCFLAGS=-Wno-unused >"$learn/log" 2>&1 9>&- || return 1
	sed -i '/warning: the compiler differs/d' "$learn/log" # from the one of the kernel, by its name
}

# What the machine said, as results. Reports go by their first line to one of the checkers.
kernel_results() { # ID, console
	local name points read code most
	tr -d '\r' <"$2" | awk -v dir="$notes" '
	/@@learn / { sub(/.*@@learn /, "") }
	$1 == "test" { test = $2 }
	$1 == "load" { if ($2 != 0) print "load", $2, $3 >(dir "/.load") }
	$1 == "unload" { if ($2 != 0) print $3, $2 >(dir "/.unload") }
	$1 == "code" { print $2 >(dir "/.code." test) }
	$1 == "said" { sub(/^said /, ""); print >(dir "/.said." (test ? test : "load")) }
	$1 == "leak" { sub(/^leak /, ""); print >(dir "/.kmemleak") }
	$1 == "end" { print >(dir "/.end") }
	$1 == "kernel" {
		sub(/^kernel /, "")
		if (/sleeping function called|scheduling while atomic|do not call blocking ops/)
			kind = "sleeping"
		else if (/circular locking|recursive locking|inconsistent lock state|bad unlock balance|lock held when returning|locks held|held lock freed|suspicious RCU/)
			kind = "lockdep"
		else if (/KASAN|UBSAN|BUG: |kernel BUG at|invalid opcode|Oops|general protection|Unable to handle|WARNING: CPU|refcount_t|corruption/)
			kind = "kasan"
		if (kind)
			print >(dir "/." kind)
	}'
	most=$(wc -l <"$notes/.tests")
	while IFS=$'\t' read -r name points read; do
		code=$(cat "$notes/.code.$name" 2>/dev/null)
		sed -n 's/^| //p' "$notes/.said.$name" >"$notes/$name" 2>/dev/null
		case $code in
		0) result "$name" ok "$points" "$points" && continue ;;
		hung)
			echo "came:     no end, and nothing could end it" >>"$notes/$name"
			result "$name" hung 0 "$points"
			;;
		"")
			if [ -e "$notes/.load" ]; then
				{
					echo "expected: the module loads"
					echo "came:     modprobe $(cut -d' ' -f2,3 "$notes/.load" | sed 's/\(.*\) \(.*\)/\2: exit code \1/')"
				} >>"$notes/$name"
				result "$name" failed 0 "$points"
			else
				echo "came:     the machine stopped before, or in it" >>"$notes/$name"
				grep -a 'Kernel panic\|RIP:' "$2" | head -n 2 >>"$notes/$name"
				result "$name" crashed 0 "$points"
			fi
			;;
		*)
			grep -q '^expected' "$notes/$name" || grep 'ERROR' "$notes/.said.$name" >>"$notes/$name"
			[ "$code" -lt 128 ] && result "$name" failed 0 "$points"
			[ "$code" -ge 128 ] && result "$name" crashed 0 "$points"
			;;
		esac
		echo "read:     $read" >>"$notes/$name"
	done <"$notes/.tests"
	return 0
}

# A report, short: its first line, and the places in our sources.
kernel_report() { # file, modules
	grep -m 1 -E 'BUG: |KASAN|UBSAN|WARNING: |Oops|general protection|Unable to handle|unreferenced object|locking|lock state' "$1" |
		sed 's/^\[[^]]*\] *//'
	grep '+0x.*\[' "$1" | "$top/vm/decode.sh" --modules "$2" 2>/dev/null | grep -a '	' |
		sed 's/^\[[^]]*\]//; s/^[ ?]*\(RIP: [0-9]*:\)\{0,1\}//; s/+0x[^	]*	/ at /' | awk '!seen[$0]++' | head -n 5 | sed 's/^/  /'
}

grade_kernel() { # ID
	local id=$1 kind check limit modules name points out tests leaks=${LEAKS:-1}
	check=$(exercise_folder "$id")/check
	limit=$(grade_key "$id" seconds 30)
	modules=$(grade_key "$id" kernel)
	rm -rf "$notes"
	mkdir -p "$notes"
	: >"$results"
	kind=$(kernel_kind) || {
		printf '%s\n' "not graded: $kind" >"$learn/log"
		return 4
	}
	out=$learn/kernel-$kind
	kernel_build "$kind" || return 3
	tree_build release "$learn/log.check" "@$check" || {
		cp "$learn/log.check" "$learn/log"
		return 3
	}
	[ "${ONLY:-}" != none ] || return 0
	"$learn/obj/release/$check" --list >"$notes/.tests"
	# A checker must see all tests, a test stands alone. Only for leaks one has to wait.
	case ${ONLY:-} in
	"" | kmemleak) ;;
	kasan | lockdep | sleeping) leaks=0 ;;
	*)
		leaks=0
		sed -i "/^$ONLY\t/!d" "$notes/.tests"
		[ -s "$notes/.tests" ] || return 0
		;;
	esac
	tests=$(cut -f1 "$notes/.tests" | xargs)
	BUILD=$learn/obj vm/run.sh --kernel "$kind" --modules "$out" --program "$learn/obj/release/$check" \
		--file "$top/harness/learn/guest.sh=/vm/learn.sh" --log "$learn/console" --limit "${VM_LIMIT:-600}" \
		-- "LEAKS=$leaks sh /vm/learn.sh $limit '$modules' $tests" >"$learn/boot.log" 2>&1 9>&-
	grep -aq '@@learn' "$learn/console" || {
		tail -n 5 "$learn/boot.log" >"$learn/log"
		return 4
	}
	kernel_results "$id" "$learn/console"
	for name in $kernel_checkers; do
		points=$(grade_key "$id" $name)
		[ -n "$points" ] || [ -s "$notes/.$name" ] || continue
		points=${points:-0}
		if [ -s "$notes/.$name" ]; then
			kernel_report "$notes/.$name" "$out" >"$notes/$name"
			result $name failed 0 "$points"
		elif [ $kind = stock ]; then
			grant $name "$points" "Debian's kernel has no such check; make vm-build KERNEL=lab builds one that has"
		elif [ $name = kmemleak ] && [ "$leaks" = 0 ]; then
			echo "was not looked for" >"$notes/$name"
			result $name skipped 0 "$points"
		elif [ ! -e "$notes/.end" ]; then
			echo "comes when the machine reaches the end" >"$notes/$name"
			result $name skipped 0 "$points"
		else
			result $name ok "$points" "$points"
		fi
	done
	cp "$results" "$results.all"
	[ -z "${ONLY:-}" ] || {
		awk -F'\t' -v only="$ONLY" '$1 == only' "$results.all" >"$results"
	}
	return 0
}
# Did all tests pass, and only the kernel's checkers see something?
kernel_alone() {
	awk -F'\t' -v checkers=" $kernel_checkers " '
	index(checkers, " " $1 " ") { next }
	$2 != "ok" { bad = 1 }
	END { exit bad }' "$results.all"
}
