# gdb -batch -x find_bug.gdb build/debug/words
#
# The total comes out wrong, though words_add() counts each word once. Who else writes to it?
# EXERCISE 1.7 begin: stop in words_count(), watch w->total, and print who writes to it
#|run
set pagination off
break words_count
run
# The address is watched, for the name is gone when words_count() returns.
set $total = &w->total
watch *$total
commands
silent
printf "total is %u after ", *$total
bt 1
continue
end
continue
# EXERCISE 1.7 end
