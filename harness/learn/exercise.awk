# exercise.awk - cuts exercises out of a reference file, and puts them in.
#
#   awk -v mode=stub [-v ids="1.2 1.3"] -f exercise.awk FILE
#       FILE with the stubs of these exercises (of all, when ids is empty)
#   awk -v mode=splice -v ids="1.2" -f exercise.awk DONOR FILE
#       FILE, in which the bodies of these exercises are those of DONOR
#   awk -v mode=list -f exercise.awk FILE
#       the exercises that FILE has, a line each; exit code 1 and a message when a mark is wrong
#
# A mark is a line with "EXERCISE 1.2 begin" in a comment, and one with "EXERCISE 1.2 end".
# Of a comment that begins an exercise the lines that have a "|" first (after " *" or "#") hold
# the code of the stub; the others are for the learner and stay.
function wanted(id) { return ids == "" || index(" " ids " ", " " id " ") > 0 }
function mark_id(line, n, part) {
	n = split(line, part, /[ \t]+/)
	for (i = 1; i < n; i++)
		if (part[i] == "EXERCISE")
			return part[i + 1]
	return ""
}
function problem(text) {
	printf "%s:%d: %s\n", FILENAME, FNR, text > "/dev/stderr"
	bad = 1
}
function is_stub_line(line) { return line ~ /^[ \t]*[*#]?[ \t]*\|/ }
function stub_text(line) { sub(/^[^|]*\|/, "", line); return line }

# Writes the comment that began an exercise, without its stub lines, then the stub.
function write_begin(i, kept, line) {
	kept = 0
	for (i = 1; i <= n_head; i++)
		if (!is_stub_line(head[i]))
			prose[++kept] = head[i]
	if (kept == 2 && prose[2] ~ /^[ \t]*\*\/[ \t]*$/) {
		print prose[1] " */"
	} else {
		for (i = 1; i <= kept; i++)
			print prose[i]
	}
	if (mode == "stub")
		for (i = 1; i <= n_head; i++)
			if (is_stub_line(head[i]))
				print stub_text(head[i])
}
function begin_done() {
	in_head = 0
	in_body = 1
	if (donor) {
		body = ""
		lines = 0
	} else if (replaced) {
		if (mode == "stub") {
			write_begin()
		} else {
			for (i = 1; i <= n_head; i++)
				print head[i]
			region[id]++
			if (!((id, region[id]) in saved))
				problem("the other file has no part " region[id] " of exercise " id)
			printf "%s", saved[id, region[id]]
		}
	} else if (mode != "list") {
		for (i = 1; i <= n_head; i++)
			print head[i]
	}
}

FNR == 1 {
	file++
	donor = mode == "splice" && file == 1
	split("", region) # the parts of each file are counted by themselves
}

in_head && hash {
	if (is_stub_line($0)) {
		head[++n_head] = $0
		next
	}
	begin_done()
}
in_head {
	head[++n_head] = $0
	if (/\*\//)
		begin_done()
	next
}
/EXERCISE [0-9]+\.[0-9]+ begin/ {
	if (in_body)
		problem("exercise " id " has no end before the next begins")
	id = mark_id($0)
	replaced = !donor && mode != "list" && wanted(id)
	if (mode == "list" && !(id in seen))
		print id
	seen[id] = 1
	n_head = 0
	head[++n_head] = $0
	in_head = 1
	hash = $0 ~ /^[ \t]*#/
	if (!hash && /\*\//)
		begin_done()
	next
}
/EXERCISE [0-9]+\.[0-9]+ end/ {
	if (!in_body || mark_id($0) != id)
		problem("the end of exercise " mark_id($0) " has no begin")
	if (donor)
		saved[id, ++region[id]] = body
	in_body = 0
	if (!donor && mode != "list")
		print
	next
}
donor {
	if (in_body)
		body = body $0 "\n"
	next
}
mode == "list" { next }
in_body && replaced { next }
{ print }

END {
	if (in_body || in_head)
		problem("exercise " id " has no end")
	exit bad
}
