#!/bin/sh
# draw.sh BTREE_DRAW DIR - the small trees of btree_draw as DIR/btree-*.svg, by Graphviz.
set -eu
if ! command -v dot >/dev/null; then
	echo "draw.sh: dot is missing: install the package graphviz" >&2
	exit 1
fi
dots=$(mktemp -d)
trap 'rm -rf "$dots"' EXIT
mkdir -p build
"$1" "$dots"
for f in "$dots"/*.dot; do
	dot -Tsvg "$f" >"$2/$(basename "$f" .dot).svg"
done
