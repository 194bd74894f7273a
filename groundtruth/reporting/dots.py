"""The two main metrics of every row, each between its floor and its ceiling."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from groundtruth.reporting import naming
from groundtruth.reporting.aggregate import Mean, Row, Section
from groundtruth.reporting.canvas import INK, MUTED, PAPER, RULE, Look, figure_of, title

_ROW, _TOP, _BOTTOM = 0.235, 0.72, 0.82  # inches


def draw_dots(section: Section, looks: Mapping[str, Look]) -> Figure:
    """One line per row, in the order of the table; oracles, methods and controls apart."""
    heights = _heights(section)
    span = max(heights) - min(heights) + 1.2
    height = _TOP + _BOTTOM + span * _ROW
    figure = figure_of(8.4, height)
    for index, (metric, label) in enumerate(section.view.panels):
        frame = (0.29 + 0.365 * index, _BOTTOM / height, 0.325, span * _ROW / height)
        axes = figure.add_axes(frame)
        axes.set_xlim(*_span(section, metric))
        axes.set_ylim(min(heights) - 0.6, max(heights) + 0.6)
        axes.grid(True, axis="x", color=RULE, lw=0.5, alpha=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        names = [naming.shorten(row.label, 30) for row in section.rows]
        axes.set_yticks(heights, [""] * len(names) if index else names)
        axes.set_xlabel(label)
        for row, y in zip(section.rows, heights):
            _line(axes, row, row[metric], y, looks)
        if index == 0:
            _colour_names(axes, section, looks)
            _title(axes, section)
    _legend(figure, height)
    return figure


def _title(axes: Axes, section: Section) -> None:
    name, n = naming.shorten(section.testbed, 32), len(section.worlds)
    of = f"{n} world{'s' * (n != 1)}"
    of = f"{section.n_testbeds} testbeds" if section.n_testbeds > 1 else of
    below = f"Mean over {of} with its 95 % interval."
    # The axes begin right of the names; the title begins with them.
    title(axes, f"{name}: what was found, and how much of the claim is true", below, x=-0.8)


def _span(section: Section, metric: str) -> tuple[float, float]:
    """From 0 to 1, and further where a value, an interval or a bound goes further."""
    means = [mean for row in section.rows if (mean := row[metric]) is not None]
    marks = [m for mean in means for m in (mean.value, mean.low, mean.high, mean.floor)]
    known = [0.0, 1.0, *(m for m in marks if m is not None)]
    return min(known) - 0.03, max(known) + 0.03


def _heights(section: Section) -> list[float]:
    """Where each row stands, counted down, with a gap between the groups."""
    heights, y = [], 0.0
    for before, row in zip((None, *section.rows), section.rows):
        y -= 0 if before is None else 1 if before.kind == row.kind else 1.6
        heights.append(y)
    return heights


def _colour_names(axes: Axes, section: Section, looks: Mapping[str, Look]) -> None:
    for text, row in zip(axes.get_yticklabels(), section.rows):
        is_method = row.kind == "method"
        text.set_color(looks[row.label].colour if is_method else MUTED)
        text.set_fontweight("bold" if is_method else "normal")


def _line(axes: Axes, row: Row, mean: Mean | None, y: float, looks: Mapping[str, Look]) -> None:
    if mean is None or mean.value is None:
        axes.text(0, y, "undefined", color=MUTED, fontsize=7.5, va="center", style="italic")
        return
    if mean.floor is not None and mean.ceiling is not None:
        axes.plot([mean.floor, mean.ceiling], [y, y], color=RULE, lw=5, solid_capstyle="butt")
    colour = looks[row.label].colour if row.kind == "method" else INK
    colour = MUTED if row.kind == "control" else colour
    if mean.interval is not None:
        axes.plot(list(mean.interval), [y, y], color=colour, lw=1.3)
    marker = looks[row.label].marker if row.kind == "method" else "o"
    hollow = row.kind == "oracle"
    axes.plot(
        [mean.value],
        [y],
        marker=marker,
        color=colour,
        markersize=4.2 if row.kind == "control" else 6,
        markerfacecolor=PAPER if hollow else colour,
        clip_on=False,
        zorder=4,
    )


def _legend(figure: Figure, height: float) -> None:
    marks = [
        Line2D([], [], color=RULE, lw=5, label="from chance to the ceiling"),
        Line2D([], [], color=INK, marker="o", mfc=PAPER, ls="none", label="oracle"),
        Line2D([], [], color=MUTED, marker="o", ms=4.2, ls="none", label="control"),
    ]
    figure.legend(
        handles=marks,
        loc="lower left",
        bbox_to_anchor=(0.26, 0.08 / height),
        ncols=3,
        frameon=False,
        fontsize=8,
        columnspacing=1.8,
    )
