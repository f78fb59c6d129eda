#!/usr/bin/env bash
# check_links.sh [FILE.md...] - follows each link of the documents into the repository: the file
# must be there, and where the link names a heading, so must the heading. Links to the web are
# left alone. Exit code 1 when one leads nowhere.
set -u
cd "$(dirname "$0")/../.." || exit 2
files=${*:-$(git ls-files '*.md')}

# Headings of a document as GitHub names them, and anchors that it sets itself.
anchors() {
	awk '
	/^```/ { code = !code }
	{
		rest = $0
		while (match(rest, /(id|name)="[^"]+"/)) {
			one = substr(rest, RSTART, RLENGTH - 1)
			sub(/.*"/, "", one)
			print one
			rest = substr(rest, RSTART + RLENGTH)
		}
	}
	code || !/^#+ / { next }
	{
		sub(/^#+ +/, "")
		s = tolower($0)
		gsub(/[^a-z0-9 _-]/, "", s)
		gsub(/ /, "-", s)
		print s (seen[s]++ ? "-" seen[s] - 1 : "")
	}' "$1"
}

# FILE, line, target; not what stands in code.
targets() {
	awk '
	/^ *```/ { code = !code; next }
	code { next }
	{
		gsub(/`[^`]*`/, "")
		while (match($0, /\]\([^)]+\)/)) {
			print FILENAME "\t" FNR "\t" substr($0, RSTART + 2, RLENGTH - 3)
			$0 = substr($0, RSTART + RLENGTH)
		}
	}' "$1"
}

links=0
bad=0
for f in $files; do
	[ -f "$f" ] || continue
	while IFS=$'\t' read -r file line target; do
		case $target in
		http://* | https://* | mailto:*) continue ;;
		esac
		links=$((links + 1))
		target=${target%% \"*}
		path=${target%%#*}
		if [ -z "$path" ]; then
			path=$file
		else
			path=$(dirname "$file")/$path
		fi
		if [ ! -e "$path" ]; then
			echo "$file:$line: $target: there is no such file"
			bad=$((bad + 1))
		elif [ "${target#*#}" != "$target" ] && [ "${path%.md}" != "$path" ] &&
			! anchors "$path" | grep -qxF -- "${target#*#}"; then
			echo "$file:$line: $target: there is no such heading"
			bad=$((bad + 1))
		fi
	done < <(targets "$f")
done
printf '%d links, %d lead nowhere\n' $links $bad
[ $bad -eq 0 ]
