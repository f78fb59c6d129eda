#!/bin/sh
# SPDX-License-Identifier: MIT
# The labs' first module: loads, keeps a note, is not unloaded under an open descriptor,
# and leaves nothing behind.
. /vm/check.sh
have_module note || skip "note.ko is not in this machine"

equal() {
	[ "$1" = "$2" ] || { echo "wanted \"$2\", got \"$1\""; return 1; }
}
unload_while_open() {
	exec 5</dev/note
	! rmmod note
	held=$?
	exec 5<&-
	return $held
}
again_and_again() {
	i=0
	while [ $i -lt 20 ]; do
		modprobe note && echo "$i" >/dev/note && rmmod note || return 1
		i=$((i + 1))
	done
}

reports_begin
check "loads" modprobe note
check "has its device" [ -c /dev/note ]
check "only its owner and group may use it" equal "$(stat -c %a /dev/note)" 660
echo "first note" >/dev/note
check "gives back what was written" equal "$(cat /dev/note)" "first note"
echo "another" >/dev/note
check "keeps the last note alone" equal "$(cat /dev/note)" "another"
check_fails "refuses a note of 5000 bytes" dd if=/dev/zero of=/dev/note bs=5000 count=1
check "still has the note before" equal "$(cat /dev/note)" "another"
check "is not unloaded while it is open" unload_while_open
check "unloads" rmmod note
check "takes its device along" [ ! -e /dev/note ]
check "loads and unloads twenty times" again_and_again
check_leaks
check "nothing in the kernel's log" no_kernel_reports
finish
