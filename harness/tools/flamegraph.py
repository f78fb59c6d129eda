#!/usr/bin/env python3
"""Draws a flame graph (Gregg 2011) as SVG from the output of `perf script`.

Width is the share of samples that had a function on the stack; a box's tooltip has its
name and share. Usage: perf script | flamegraph.py > flame.svg
"""
import html
import sys

WIDTH, ROW, MIN_PIXELS = 1200, 17, 0.4


def stacks(lines):
    """Yields call stacks, outermost function first."""
    frames = []
    for line in lines:
        line = line.rstrip()
        if not line:
            if frames:
                yield frames[::-1]
            frames = []
        elif line[0] in " \t":
            words = line.split()
            name = " ".join(words[1:-1]) if len(words) > 2 else words[-1]
            frames.append(name.rsplit("+0x", 1)[0] or "[unknown]")
    if frames:
        yield frames[::-1]


def merge(all_stacks):
    root = [0, {}]  # samples, children by name
    for stack in all_stacks:
        node = root
        node[0] += 1
        for name in stack:
            node = node[1].setdefault(name, [0, {}])
            node[0] += 1
    return root


def depth(node):
    return 1 + max((depth(c) for c in node[1].values()), default=0)


def draw(node, name, x, level, total, rows, out):
    width = node[0] / total * WIDTH
    if width < MIN_PIXELS:
        return
    y = (rows - level) * ROW
    hue = sum(name.encode()) % 40 + 15
    label = html.escape(name)
    fits = int(width / 7)
    short = html.escape(name if len(name) <= fits else name[: max(fits - 1, 0)] + "…")
    out.append(
        f'<g><title>{label}: {node[0] / total:.1%} of samples</title>'
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" rx="1" '
        f'fill="hsl({hue},80%,65%)"/>'
        + (f'<text x="{x + 2:.1f}" y="{y + 12}">{short}</text>' if fits > 2 else "")
        + "</g>"
    )
    for child, c in sorted(node[1].items()):
        draw(c, child, x, level + 1, total, rows, out)
        x += c[0] / total * WIDTH


def main():
    sys.setrecursionlimit(10000)
    root = merge(stacks(sys.stdin))
    if not root[0]:
        sys.exit("flamegraph.py: no samples: the run was too short, or perf may not sample")
    rows, out = depth(root), []
    draw(root, "all", 0, 1, root[0], rows, out)
    height = (rows + 1) * ROW
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="monospace" font-size="11">'
    )
    print("\n".join(out))
    print("</svg>")


main()
