"""The headline figure: does explained variance say what was recovered?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from groundtruth.reporting import naming
from groundtruth.reporting.aggregate import Row, Section
from groundtruth.reporting.canvas import (
    INK,
    MUTED,
    PAPER,
    RULE,
    Drawing,
    Look,
    drawing,
    figure_of,
    title,
)
from groundtruth.reporting.dots import draw_dots
from groundtruth.reporting.placing import Anchor, box_around, place_labels
from groundtruth.reporting.views import EV, JOINT

LEFT, RIGHT = -0.2, 1.05
_LOW, _HIGH = -0.085, 1.08
_SAME = 0.012  # points nearer than this share of the axis share one label
_MOST_LINES = 5


@dataclass(frozen=True)
class Point:
    """A row as it is drawn; `x` is moved to the edge where the row lies left of the axis."""

    row: Row
    x: float
    y: float
    clipped: bool

    @property
    def label(self) -> str:
        name = naming.shorten(self.row.label, 34)
        return f"{name} (EV {_signed(self.row.value(EV))})" if self.clipped else name


def draw_section(section: Section, looks: Mapping[str, Look], stem: str) -> list[Drawing]:
    """The figures of one testbed; `stem` begins the names of their files."""
    view = section.view
    dots = drawing(
        f"{stem}-recovery",
        f"{section.testbed}: {view.measure} and {view.beside_measure} of every row, between its "
        "floor and its ceiling.",
        lambda: draw_dots(section, looks),
    )
    if not view.explained:
        return [dots]
    against = drawing(
        f"{stem}-variance",
        f"{section.testbed}: variance explained against joint recall, one mark per method.",
        lambda: headline(section, looks),
    )
    return [against, dots]


def headline(section: Section, looks: Mapping[str, Look]) -> Figure:
    """Variance explained (x) against joint recall (y), with the capacity frontier."""
    figure = figure_of(8.4, 5.6)
    axes = figure.add_axes((0.085, 0.16, 0.9, 0.71))
    axes.set_xlim(LEFT, RIGHT)
    axes.set_ylim(_LOW, _HIGH)
    points, absent = _points(section)
    blocked = _lines(axes, section)
    avoid = [*_level_boxes(axes, section), *_frontier(axes, section)]
    for point in points:
        _mark(axes, point, looks)
        blocked.append(box_around(axes, point.x, point.y, 4))
        avoid += _interval_boxes(axes, point.row)
    place_labels(axes, _anchors(points, looks), blocked=blocked, avoid=avoid)
    axes.set_xlabel("variance explained, share of the total (recon.ev_total)")
    axes.set_ylabel("joint recall, share of planted features (recover.joint)")
    n = len(section.worlds)
    spread = "bars: 95 % interval over worlds" if n > 1 else "bars: 95 % interval of the run"
    title(
        axes,
        f"{naming.shorten(section.testbed, 32)}: variance explained against joint recall",
        f"Mean over {n} world{'s' * (n != 1)}; {spread}.",
    )
    _legend(figure, absent)
    return figure


def _points(section: Section) -> tuple[list[Point], list[str]]:
    """The rows that can be drawn, and the labels of those that cannot."""
    points, absent = [], []
    for row in section.rows:
        x, y = row.value(EV), row.value(JOINT)
        if x is None or y is None:
            absent.append(row.label)
        else:
            points.append(Point(row, max(x, LEFT), y, x < LEFT))
    return points, absent


def _mark(axes: Axes, point: Point, looks: Mapping[str, Look]) -> None:
    x, y, row = point.x, point.y, point.row
    if row.kind == "method":
        look = looks[row.label]
        for line in _intervals(row):
            axes.plot(*line, color=look.colour, lw=1.4, alpha=0.75, zorder=4)
        style = {"marker": look.marker, "color": look.colour, "markersize": 7.5, "zorder": 5}
        style |= {"markeredgecolor": PAPER, "markeredgewidth": 0.8}
    elif row.kind == "oracle":
        style = {"marker": "o", "color": INK, "markerfacecolor": "none", "markersize": 7}
        style |= {"zorder": 3, "markeredgewidth": 1.1}
    else:
        style = {"marker": "o", "color": MUTED, "markersize": 3.8, "zorder": 3}
    if point.clipped:
        style["marker"] = "<"
    axes.plot([x], [y], linestyle="none", clip_on=False, **style)


def _intervals(row: Row) -> list[tuple[list[float], list[float]]]:
    """The bars of a row, as lines."""
    ev, joint = row[EV], row[JOINT]
    assert ev is not None and joint is not None and ev.value is not None and joint.value is not None
    x, lines = max(ev.value, LEFT), []
    if ev.interval is not None and ev.interval[1] > LEFT:
        lines.append(([max(ev.interval[0], LEFT), ev.interval[1]], [joint.value] * 2))
    if joint.interval is not None:
        lines.append(([x, x], list(joint.interval)))
    return lines


def _interval_boxes(axes: Axes, row: Row) -> list[Bbox]:
    if row.kind != "method":
        return []
    ends = [axes.transData.transform(list(zip(*line))) for line in _intervals(row)]
    return [Bbox([e.min(axis=0) - 1, e.max(axis=0) + 1]) for e in ends]


def _lines(axes: Axes, section: Section) -> list[Bbox]:
    """Chance and ceiling as labelled lines; the boxes of their labels."""
    axes.grid(True, color=RULE, lw=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    boxes = []
    for name, level, rise in _levels(section):
        axes.axhline(level, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
        text = axes.annotate(
            f"{name} {level:.3f}",
            (0, level),
            (5, rise),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=MUTED,
            fontsize=8,
        )
        boxes.append(text.get_window_extent(_renderer(axes)))
    return boxes


def _levels(section: Section) -> list[tuple[str, float, float]]:
    """Name, height, and how far (points) above the line its name stands."""
    levels = (
        ("chance", section.chance(JOINT), -11.0),
        ("linear ceiling O2*", section.ceiling(JOINT), 3.0),
    )
    return [(name, level, rise) for name, level, rise in levels if level is not None]


def _level_boxes(axes: Axes, section: Section) -> list[Bbox]:
    ends = [axes.transData.transform([(LEFT, y), (RIGHT, y)]) for _, y, _ in _levels(section)]
    return [Bbox([end[0] - 1, end[1] + 1]) for end in ends]


def _frontier(axes: Axes, section: Section) -> list[Bbox]:
    """One line per world; the boxes along them."""
    worlds = [world.frontier for world in section.worlds if world.frontier is not None]
    boxes: list[Bbox] = []
    for recall, explained in worlds:
        axes.plot(explained, recall, color=INK, lw=1.1, alpha=0.8, zorder=2)
        inside = [(e, r) for e, r in zip(explained, recall) if e >= LEFT]
        boxes += [box_around(axes, e, r, 2) for e, r in inside]
    return boxes


def _anchors(points: list[Point], looks: Mapping[str, Look]) -> list[Anchor]:
    """One label per method; oracles or controls that coincide share one."""
    anchors = []
    for point in points:
        if point.row.kind == "method":
            look = looks[point.row.label]
            anchors.append(Anchor(point.x, point.y, point.label, look.colour, True, True))
    for kind, colour in (("oracle", INK), ("control", MUTED)):
        for group in _coinciding([p for p in points if p.row.kind == kind]):
            lines = [p.label for p in group]
            if len(lines) > _MOST_LINES:
                rest = len(lines) - _MOST_LINES + 1
                lines = [*lines[: _MOST_LINES - 1], f"and {rest} more"]
            anchors.append(Anchor(group[0].x, group[0].y, "\n".join(lines), colour))
    return anchors


def _coinciding(points: list[Point]) -> list[list[Point]]:
    groups: list[list[Point]] = []
    for point in points:
        near = (g for g in groups if _near(g[0], point))
        group = next(near, None)
        if group is None:
            groups.append([point])
        else:
            group.append(point)
    return groups


def _near(a: Point, b: Point) -> bool:
    apart = abs(a.x - b.x) / (RIGHT - LEFT), abs(a.y - b.y) / (_HIGH - _LOW)
    return max(apart) < _SAME


def _legend(figure: Figure, absent: list[str]) -> None:
    frontier = "explained variance if exactly R features were learned"
    marks = [
        Line2D([], [], color=INK, lw=1.1, label=frontier),
        Line2D([], [], color=INK, marker="o", mfc="none", ls="none", label="oracle"),
        Line2D([], [], color=MUTED, marker="o", ms=3.8, ls="none", label="control"),
        Line2D([], [], color=MUTED, marker="<", ms=5, ls="none", label="EV further left"),
    ]
    figure.legend(
        handles=marks,
        loc="lower left",
        bbox_to_anchor=(0.08, 0.025),
        ncols=4,
        frameon=False,
        fontsize=8,
        handletextpad=0.6,
        columnspacing=1.6,
    )
    if absent:
        text = f"Not drawn, a value is undefined: {naming.shorten(', '.join(absent), 110)}"
        figure.text(0.09, 0.015, text, color=MUTED, fontsize=7)


def _renderer(axes: Axes) -> Any:
    figure: Any = axes.figure
    return figure.canvas.get_renderer()


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}".replace("-", "−")
