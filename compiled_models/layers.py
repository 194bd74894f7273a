"""Where boxes and lines of a drawing go: parts in rows by half blocks, with few crossings.

Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures",
1981: a line that passes a row takes a place in it, and rows are ordered by the mean place of what
they are joined to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from groundtruth.compiled_models.connections import Connection
from groundtruth.compiled_models.parts import Part

BOX, PASS, GAP = 206.0, 6.0, 20.0
"""Widths of a box, of a line that passes, and of what is between two of either."""

_SWEEPS = 12


@dataclass(frozen=True)
class Item:
    """A box, or the place where the lines of a writer pass a row.

    Fields:
        part: index of the part that is drawn, or whose lines pass.
        row: index.
        passing: whether it is no box.
    """

    part: int
    row: int
    passing: bool = False

    @property
    def width(self) -> float:
        return PASS if self.passing else BOX


Line = tuple[Item, Item, str]
"""Two items in neighbouring rows, and the port that the line ends at."""


@dataclass
class Rows:
    """Items in rows, with the middle of each.

    Fields:
        rows: items from left to right.
        joined: what is drawn between them.
        middle: x of each item.
    """

    rows: list[list[Item]]
    joined: list[Line]
    middle: dict[Item, float] = field(default_factory=dict)

    @property
    def width(self) -> float:
        return max(x + item.width / 2 for item, x in self.middle.items())


def rows_of(parts: tuple[Part, ...]) -> list[int]:
    """The row of each part, and of the logits: embeddings, then attention and MLP of each block
    that has any."""
    half = [0 if p.block < 0 else 1 + 2 * p.block + (p.neurons is not None) for p in parts]
    used = sorted({0, *half})
    return [*(used.index(h) for h in half), len(used)]


def lines(parts: tuple[Part, ...], connections: Iterable[Connection]) -> list[Line]:
    """What is drawn of each connection, from row to row, each once."""
    row, found = rows_of(parts), {}
    for writer, reader, port in connections:
        last = Item(writer, row[writer])
        for r in range(row[writer] + 1, row[reader]):
            step = Item(writer, r, passing=True)
            found[last, step, ""] = None
            last = step
        found[last, Item(reader, row[reader]), port] = None
    return list(found)


def arranged(parts: tuple[Part, ...], connections: tuple[Connection, ...]) -> Rows:
    """The parts, and the logits as one more, in rows."""
    joined = lines(parts, connections)
    boxes = [Item(k, r) for k, r in enumerate(rows_of(parts))]
    rows: list[list[Item]] = [[] for _ in range(boxes[-1].row + 1)]
    for item in dict.fromkeys([*boxes, *(lower for _, lower, _ in joined)]):
        rows[item.row].append(item)
    found = Rows(rows, joined)
    _order(found)
    return found


def _order(found: Rows) -> None:
    """Rows sorted by the mean x of what their items are joined to, above and below by turns."""
    above: dict[Item, list[Item]] = {}
    below: dict[Item, list[Item]] = {}
    for upper, lower, _ in found.joined:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    for row in found.rows:
        _place(found, row)
    for sweep in range(_SWEEPS):
        near = below if sweep % 2 else above
        for row in reversed(found.rows) if sweep % 2 else found.rows:
            wanted = {item: _mean(found, item, near.get(item, [])) for item in row}
            row.sort(key=wanted.__getitem__)
            _place(found, row, wanted)
    least = min(x - item.width / 2 for item, x in found.middle.items())
    for item in found.middle:
        found.middle[item] -= least


def _mean(found: Rows, item: Item, near: list[Item]) -> float:
    places = [found.middle[other] for other in near]
    return sum(places) / len(places) if places else found.middle[item]


def _place(found: Rows, row: list[Item], wanted: dict[Item, float] | None = None) -> None:
    """Items side by side in their order, as near to where they are wanted as the others allow:
    runs of items that touch stand about the mean of what they want."""
    runs: list[tuple[list[Item], float]] = []  # with the left end of the first
    for item in row:
        at = 0.0 if wanted is None else wanted[item] - item.width / 2
        run, left = [item], at
        while runs and runs[-1][1] + _length(runs[-1][0]) > left:
            run = [*runs.pop()[0], *run]
            left = _best_left(run, wanted)
        runs.append((run, left))
    for run, left in runs:
        for item in run:
            found.middle[item] = left + item.width / 2
            left += item.width + GAP


def _length(run: list[Item]) -> float:
    return sum(item.width + GAP for item in run)


def _best_left(run: list[Item], wanted: dict[Item, float] | None) -> float:
    if wanted is None:
        return -_length(run) / 2
    total, at = 0.0, 0.0
    for item in run:
        total += wanted[item] - item.width / 2 - at
        at += item.width + GAP
    return total / len(run)
