"""The table of a testbed: one row per method, between its oracles and its controls."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from groundtruth.reporting import naming, verdicts
from groundtruth.reporting.aggregate import Mean, Row, Section, aggregate
from groundtruth.reporting.footer import footer
from groundtruth.reporting.runs import KINDS, Kind, read_runs
from groundtruth.reporting.views import Column

ABSENT = "-"


@dataclass(frozen=True)
class Cell:
    """One number as text, with its interval on the side."""

    text: str
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.interval}" if self.interval else self.text


@dataclass(frozen=True)
class Line:
    """One row of the table, as text."""

    name: str
    kind: Kind
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Headings (the first names the row) and lines, grouped by kind; notes stand below."""

    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    def groups(self) -> list[tuple[Kind, list[Line]]]:
        """The lines of each kind that occurs."""
        found: dict[Kind, list[Line]] = {kind: [] for kind in KINDS}
        for line in self.lines:
            found[line.kind].append(line)
        return [(kind, lines) for kind, lines in found.items() if lines]


def table(section: Section, *, brief: bool = False) -> Table:
    """The table of one testbed; `brief` keeps the columns that fit a terminal."""
    view = section.view
    columns = [c for c in view.columns if c.brief or not brief]
    widths = [row.width for row in section.rows]
    has_width = any(widths) and not brief
    headings = ["method", *["k"] * has_width, *[c.heading for c in columns]]
    lines = []
    for row, width in zip(section.rows, widths):
        cells = [Cell(width or ABSENT)] * has_width
        cells += [_cell(row[c.metric], c) for c in columns]
        cells += [_normalised(row[view.primary]), Cell(str(len(row.runs))), Cell(str(row.n_failed))]
        lines.append(Line(_name(row, section), row.kind, tuple(cells)))
    headings += ["normalised" if brief else f"{view.measure}, normalised", "runs", "failed"]
    return Table(tuple(headings), tuple(lines), tuple(_notes(section, columns)))


def markdown_table(shown: Table) -> str:
    """The table in Markdown; an empty row parts oracles, methods and controls."""
    n = len(shown.headings)
    out = [_markdown_row(shown.headings), _markdown_row(["---", *["---:"] * (n - 1)])]
    for index, (_, lines) in enumerate(shown.groups()):
        if index:
            out.append(_markdown_row([""] * n))
        for line in lines:
            out.append(_markdown_row([line.name, *map(str, line.cells)]))
    return "\n".join(out)


def text_table(shown: Table) -> str:
    """The table in plain text, with a rule between oracles, methods and controls."""
    names = [naming.shorten(line.name, 40) for line in shown.lines]
    rows = [[name, *map(str, line.cells)] for name, line in zip(names, shown.lines)]
    widths = [max(map(len, column)) for column in zip(shown.headings, *rows)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    out = [_text_row(list(shown.headings), widths)]
    for kind, _ in shown.groups():
        out.append(rule)
        out += [_text_row(r, widths) for r, line in zip(rows, shown.lines) if line.kind == kind]
    return "\n".join(out)


def render_text(records: Iterable[Mapping[str, Any]], *, width: int = 100) -> str:
    """Verdict, table and footer of every testbed in `records`, as plain text.

    Args:
        records: stored run records.
        width: characters per line; columns beyond the main ones are shown where they fit, and the
            main ones always.

    Raises:
        StoreError: as `read_runs`.
    """
    runs = read_runs(records)
    blocks = []
    for section in aggregate(runs):
        shown = table(section)
        text = text_table(shown)
        if max(map(len, text.split("\n"))) > width:
            shown = table(section, brief=True)
            text = text_table(shown)
        spoken = [verdicts.section_verdict(section), *verdicts.flag_notes(section)]
        lines = [section.testbed, *[_wrap(line, width) for line in spoken], "", text]
        blocks.append("\n".join([*lines, *[_wrap(note, width) for note in shown.notes]]))
    facts = [f"{name}: {value}" for name, value in footer(runs)]
    blocks.append("\n".join(_wrap(fact, width) for fact in facts))
    return "\n\n".join(blocks) + "\n"


def number(value: float | None, digits: int = 3) -> str:
    """`value` to `digits` decimals, fewer where it is large; `ABSENT` for None."""
    if value is None:
        return ABSENT
    digits = digits if abs(value) < 10 else min(digits, 1)
    text = f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.3g}"
    # Round-off below zero is no sign worth reading.
    text = text if float(text) else text.removeprefix("-")
    return text.replace("-", "−")


def _wrap(text: str, width: int) -> str:
    return textwrap.fill(text, max(width, 40), subsequent_indent="  ")


def _cell(mean: Mean | None, column: Column) -> Cell:
    if mean is None:
        return Cell(ABSENT)
    mark = "*" * bool(mean.n_undefined)
    if mean.value is None:
        return Cell(ABSENT + mark)
    interval = ""
    if column.interval and mean.interval is not None:
        bounds = f"{number(mean.low)}, {number(mean.high)}"
        interval = f"[{bounds}]" + (" n=1" if mean.over == "one run" else "")
    return Cell(number(mean.value, column.digits) + mark, interval)


def _normalised(primary: Mean | None) -> Cell:
    return Cell(number(None if primary is None else primary.normalised))


def _name(row: Row, section: Section) -> str:
    # Scores by |cosine| and by cosine have different floors: they may share a table, marked.
    return f"{row.label} [{row.sign_mode}]" if len(section.sign_modes) > 1 else row.label


def _notes(section: Section, columns: list[Column]) -> list[str]:
    notes = []
    for row in section.rows:
        for column in columns:
            mean = row[column.metric]
            if mean is not None and mean.n_undefined:
                count = f"{mean.n_undefined} of {mean.n_runs} runs"
                reason = mean.reason or "no reason stored"
                notes.append(f"* {row.label}, {column.heading}: undefined in {count} ({reason}).")
    notes += _degenerate(section, columns)
    if any(m.over == "one run" for row in section.rows for m in row.means.values()):
        units = "features or latents" if section.view.units == "features" else section.view.units
        notes.append(f"n=1: a single world; the interval is over {units}, not worlds.")
    if len(section.sign_modes) > 1:
        notes.append(
            "[absolute] rows are scored by |cosine|, [signed] rows by cosine: their floors differ."
        )
    return notes


def _degenerate(section: Section, columns: list[Column]) -> list[str]:
    """Scores that are shown but not to be leaned on, told once for each reason."""
    found: dict[str, dict[str, None]] = {}
    for row in section.rows:
        for run in row.runs:
            for column in columns:
                result = run.results.get(column.metric)
                if result is not None and result.status == "degenerate":
                    found.setdefault(result.reason, {})[column.heading] = None
    return [f"degenerate: {', '.join(heads)}: {reason}." for reason, heads in found.items()]


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(naming.markdown(cell) for cell in cells) + " |"


def _text_row(cells: list[str], widths: list[int]) -> str:
    padded = [cells[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(cells[1:], widths[1:])]]
    return "  ".join(padded).rstrip()
