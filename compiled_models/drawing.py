"""The circuit of a compiled model as an SVG: which node computes which expression, from what.

Rows run from the embeddings down to the logits, an attention and an MLP row for each block. A line
joins two boxes where a path of weights, not all 0, leads from one into the other; it is faint where
the edge is not relevant under the default condition of `Compiled.circuit`. Below stand the program
and the decoys, which have no box: no path of weights leads from them to the outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from groundtruth import files
from groundtruth.circuit_truth import CircuitTruth
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.connections import Connection, connections
from groundtruth.compiled_models.layers import BOX, Item, Line, Rows, arranged, lines, rows_of
from groundtruth.compiled_models.parts import Part, parts
from groundtruth.models.graph import LOGITS, Edge

INK, MUTED, PAPER = "#1f2328", "#59616a", "#ffffff"
FILLS = {"embed": "#eef0f2", "head": "#dcebf7", "mlp": "#fdf0d8", "logits": "#e3f3e6"}
_HEIGHT, _ROW, _LEFT, _TOP, _EDGE = 64.0, 126.0, 120.0, 82.0, 24.0
_FAINT = 0.25
_LINE = 16.0  # of text
_TITLE, _LETTERS = 24, 36  # letters that a box holds in a line
_PORTS = {"q": -0.3, "k": 0.0, "v": 0.3, "": 0.0}
# Okabe and Ito's colours, darkened to be lines on white: they tell apart lines that cross.
_COLOURS = ("#005a8e", "#a84a00", "#007a58", "#9b4a7c", "#8a6200", "#3b5bb5", "#555555")


def draw(compiled: Compiled, path: str | Path) -> None:
    """Write the drawing to `path`, an SVG file, which is replaced if it is there.

    Example:
        >>> import tempfile
        >>> from groundtruth.compiled_models import compile_program, library
        >>> path = Path(tempfile.mkdtemp()) / "hist.svg"
        >>> draw(compile_program(library.program("hist"), vocab="ab", max_length=3), path)
        >>> path.read_text().startswith("<svg")
        True
    """
    files.write_in_order([(Path(path), drawing(compiled).encode())])


def drawing(compiled: Compiled) -> str:
    """The SVG as text."""
    all_parts, circuit = parts(compiled), compiled.circuit
    joined = connections(compiled)
    used = [c for c in joined if _edge(all_parts, c) in circuit.relevant.upper]
    rows = arranged(all_parts, joined)
    listing = [*str(compiled.program).split("\n"), *map(str, compiled.decoys)]
    height = _TOP + len(rows.rows) * _ROW + _LINE * len(listing) + _EDGE
    width = max(_LEFT + rows.width + _EDGE, 8.0 * max(map(len, listing)) + 2 * _EDGE, 640.0)
    text = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="DejaVu Sans, Arial, sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{PAPER}"/>',
        _text(_EDGE, 28, f"{compiled.program.name}: what computes what", 16, bold=True),
        _text(_EDGE, 46, str(compiled.sizes), 11, MUTED),
        _text(_EDGE, 64, f"strong lines: relevant under {_condition(circuit)}", 11, MUTED),
        *_row_names(all_parts),
        *_lines(rows, set(lines(all_parts, used))),
        *_boxes(compiled, all_parts, rows),
        *_listing(listing, _TOP + len(rows.rows) * _ROW),
        "</svg>",
    ]
    return "\n".join(text) + "\n"


def _condition(circuit: CircuitTruth) -> str:
    """Without the hash of the inputs, which no reader can tell apart."""
    condition = circuit.condition
    return f"{condition.ablation} ablation" + (
        f", {condition.pairing}" if condition.pairing else ""
    )


def _row_names(all_parts: tuple[Part, ...]) -> Iterator[str]:
    names = {0: ("embeddings", "")}
    row = rows_of(all_parts)
    for part, r in zip(all_parts, row):
        if part.block >= 0:
            names[r] = (f"block {part.block}", "attention" if part.neurons is None else "MLP")
    names[row[-1]] = ("logits", "")
    for r, (first, second) in names.items():
        y = _y(r) + _HEIGHT / 2
        yield _text(_EDGE, y, first, 12, MUTED)
        yield _text(_EDGE, y + _LINE, second, 12, MUTED)


def _edge(all_parts: tuple[Part, ...], connection: Connection) -> Edge:
    """The edge of the computation graph that a connection is part of."""
    writer, reader, port = connection
    name = LOGITS if reader == len(all_parts) else all_parts[reader].node
    return Edge(all_parts[writer].node, f"{name}.{port}" if port else name)


def _lines(rows: Rows, strong: set[Line]) -> Iterator[str]:
    """One colour for all lines of a writer."""
    for line in rows.joined:
        upper, lower, port = line
        x0 = _LEFT + rows.middle[upper]
        x1 = _LEFT + rows.middle[lower] + (0 if lower.passing else _PORTS[port] * BOX)
        y0, y1 = _y(upper.row) + _HEIGHT, _y(lower.row)
        bend = (y1 - y0) / 2
        path = f"M{x0:.1f} {y0:.1f}C{x0:.1f} {y0 + bend:.1f} "
        path += f"{x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"
        if lower.passing:
            path += f"V{y1 + _HEIGHT:.1f}"
        colour = _COLOURS[upper.part % len(_COLOURS)]
        opacity = 1 if line in strong else _FAINT
        yield (
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" '
            f'stroke-opacity="{opacity}"/>'
        )


def _boxes(compiled: Compiled, all_parts: tuple[Part, ...], rows: Rows) -> Iterator[str]:
    for item in (item for row in rows.rows for item in row if not item.passing):
        if item.part == len(all_parts):
            output = compiled.program.names[compiled.program.output]
            yield from _box(rows, item, FILLS["logits"], ("logits", f"read as {output}", ""))
            continue
        part = all_parts[item.part]
        kind = "embed" if part.block < 0 else "head" if part.neurons is None else "mlp"
        yield from _box(rows, item, FILLS[kind], _texts(compiled, part))
        if kind == "head":
            for port in "qkv":
                x = _LEFT + rows.middle[item] + _PORTS[port] * BOX
                yield _text(x, _y(item.row) + 12, port, 10, MUTED, "middle")


def _texts(compiled: Compiled, part: Part) -> tuple[str, str, str]:
    """Variable, node, and what it computes."""
    where = part.node
    if part.neurons is not None:
        where += f", {len(part.neurons)} neurons"
    if part.block < 0:
        what = "a direction for each value"
    elif part.writes.domain is None:
        what = f"on the way to {part.expression}"
    else:
        what = compiled.program.text(part.expression)
    directions = part.writes.directions
    span = f"{directions.start}" if len(directions) == 1 else f"{directions.start}-{directions[-1]}"
    held = f"dims {span}"
    if compiled.request is not None:
        held = f"{len(compiled.coding.codes[part.writes][0])} turned dims"
    return part.writes.name, f"{where}, {held}", what


def _box(rows: Rows, item: Item, fill: str, texts: tuple[str, str, str]) -> Iterator[str]:
    x, y = _LEFT + rows.middle[item], _y(item.row)
    yield (
        f'<rect x="{x - BOX / 2:.1f}" y="{y:.1f}" width="{BOX}" height="{_HEIGHT}" rx="5" '
        f'fill="{fill}" stroke="{INK}" stroke-width="1"/>'
    )
    yield _text(x, y + 29, _cut(texts[0], _TITLE), 13, INK, "middle", bold=True)
    yield _text(x, y + 44, _cut(texts[1], _LETTERS), 9.5, MUTED, "middle")
    yield _text(x, y + 57, _cut(texts[2], _LETTERS), 9.5, INK, "middle")


def _listing(listing: list[str], top: float) -> Iterator[str]:
    for k, line in enumerate(listing):
        yield _text(_EDGE, top + _LINE * k, line, 12, INK, family="DejaVu Sans Mono, monospace")


def _y(row: int) -> float:
    return _TOP + row * _ROW


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _text(
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str = INK,
    anchor: str = "start",
    *,
    bold: bool = False,
    family: str = "",
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    kind = f' font-family="{family}" xml:space="preserve"' if family else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}"{weight}{kind}>{escape(text)}</text>'
    )
