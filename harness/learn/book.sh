#!/usr/bin/env bash
# book.sh [FOLDER] - the documents as one book: FOLDER/book.html, a page that needs no other
# file, and FOLDER/book.pdf where weasyprint, Chromium or a LaTeX is there. By pandoc.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-${BUILD:-build}/book}
mkdir -p "$out"
out=$(realpath "$out")
command -v pandoc >/dev/null || {
	echo "book.sh: no pandoc here: apt-get install pandoc" >&2
	exit 1
}
# In the order of reading. What is not there yet is left out.
chapters="README QUICKSTART TUTORIAL EXERCISES sprint-1-core-memory sprint-2-hash-storage
	sprint-3-btree-storage sprint-4-lsm-simd sprint-5-production KERNEL BENCHMARKING PEERS RASPBERRY_PI
	ARCHITECTURE FORMATS STORAGE_ENGINE_RESOURCES"
files=""
for c in $chapters; do
	for f in "$c.md" "docs/$c.md"; do
		[ -f "$f" ] && files="$files $f" && break
	done
done

# A chapter has an anchor of its name; a link to a chapter becomes one within the book, other
# links lead from the page into the repository.
text=$out/book.md
: >"$text"
up=$(realpath --relative-to="$out" .)
for f in $files; do
	name=$(basename "$f" .md)
	printf '\n[]{#chapter-%s}\n\n' "$name" >>"$text"
	links=$(for g in $files; do
		b=$(basename "$g" .md)
		printf 's|\\]\\((\\.\\./)?(docs/)?%s\\.md\\)|](#chapter-%s)|g;' "$b" "$b"
		printf 's|\\]\\((\\.\\./)?(docs/)?%s\\.md#([^)]*)\\)|](#\\3)|g;' "$b"
	done)
	from=$(dirname "$f")
	sed -E -e "$links" -e "s|\\]\\(([A-Za-z][^):]*\\.(svg\\|png\\|jpg))\\)|](@here@\\1)|g" \
		-e "s|\\]\\((\\.\\./)+|](@up@|g" \
		-e "s|\\]\\(([A-Za-z][A-Za-z0-9_./-]*)\\)|](@up@$from/\\1)|g" "$f" |
		sed -e "s|@here@|$PWD/$from/|g" -e "s|@up@|$up/|g" >>"$text"
done

cat >"$out/style.html" <<'END'
<style>
body { max-width: 52em; margin: 2em auto; padding: 0 1em; font-family: serif; line-height: 1.45; }
pre { overflow-x: auto; background: #f4f4f0; padding: 0.6em; font-size: 82%; }
table { border-collapse: collapse; } td, th { border: 1px solid #ccc; padding: 0.2em 0.5em; vertical-align: top; }
h1 { border-top: 2px solid #888; padding-top: 1em; break-before: page; }
img { max-width: 100%; }
@media print { body { max-width: none; } pre { white-space: pre-wrap; } }
</style>
END
pandoc --from markdown-yaml_metadata_block+gfm_auto_identifiers --to html5 --standalone --self-contained --toc --toc-depth=2 \
	--metadata title="The storage workbench" --metadata lang=en --include-in-header "$out/style.html" \
	--resource-path=.:docs -o "$out/book.html" "$text"
echo "$out/book.html"

pdf=$out/book.pdf
if command -v weasyprint >/dev/null; then
	weasyprint -q "$out/book.html" "$pdf"
elif command -v chromium >/dev/null; then
	chromium --headless --no-sandbox --disable-gpu --no-pdf-header-footer --print-to-pdf="$pdf" \
		"file://$out/book.html" >/dev/null 2>&1
elif command -v xelatex >/dev/null; then
	pandoc --from markdown-yaml_metadata_block --pdf-engine=xelatex --toc -o "$pdf" "$text"
else
	echo "no PDF: weasyprint, chromium and xelatex are not here; a browser prints the page" >&2
	exit 0
fi
[ -s "$pdf" ] && echo "$pdf"
