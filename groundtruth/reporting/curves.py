"""Curves: a training run against its samples, and a sweep against its measured L0."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, NullFormatter, ScalarFormatter

from groundtruth import files
from groundtruth.errors import reject
from groundtruth.reporting import naming
from groundtruth.reporting.canvas import (
    COLOURS,
    INK,
    MUTED,
    PAPER,
    RULE,
    drawing,
    figure_of,
    title,
)
from groundtruth.reporting.views import EV, JOINT
from groundtruth.result import Result

RECALL, DEAD = "recover.recall", "recon.dead_frac"
_BAD = COLOURS[1]


@dataclass(frozen=True)
class Moment:
    """One point of a training run: where on the axis, and its results (none if it failed)."""

    x: float
    results: Mapping[str, Result]


@dataclass(frozen=True)
class Spot:
    """One setting of a sweep: measured L0 and values, as means over seeds.

    Fields:
        joint_range, ev_range: least and largest over seeds.
        failed: some of its runs failed and count at the floor.
    """

    l0: float
    joint: float | None
    ev: float | None
    joint_range: tuple[float, float] | None = None
    ev_range: tuple[float, float] | None = None
    failed: bool = False


@dataclass(frozen=True)
class Curve:
    """The spots of one method at one width, in the order of their L0."""

    label: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Bounds:
    """What the curves of a sweep lie between; None where it is not known."""

    floor: float | None = None
    ceiling: float | None = None
    planted_l0: float | None = None


def write_drawing(path: str | Path, draw: Callable[[], Figure]) -> Path:
    """Write the figure that `draw` makes to `path`, whole, as PNG or SVG by its ending.

    Raises:
        InputError: another ending.
        StoreError: it cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".png", ".svg"):
        raise reject("path", str(path), "a file name that ends in .png or .svg")
    drawn = drawing(path.stem, "", draw)
    files.write_atomic(path, drawn.png if path.suffix == ".png" else drawn.svg)
    return path


def draw_training(moments: Sequence[Moment], testbed: str, axis: str) -> Figure:
    """Recall, explained variance and dead latents of one training run, one panel above another.

    Args:
        axis: what the x of a moment counts.
    """
    figure = figure_of(7.2, 6.6)
    panels = [figure.add_axes((0.1, bottom, 0.7, 0.25)) for bottom in (0.635, 0.355, 0.075)]
    for axes, panel in zip(panels, _PANELS):
        _panel(axes, panel, moments)
        _x_axis(axes, [moment.x for moment in moments])
        if axes is not panels[-1]:
            axes.tick_params(axis="x", labelbottom=False)
    panels[-1].set_xlabel(axis)
    n, failed = len(moments), sum(not m.results for m in moments)
    below = f"{n} point{'s' * (n != 1)}" + (f", {failed} failed (crosses)" if failed else "")
    title(panels[0], f"{naming.shorten(testbed, 40)}: what training has found", f"{below}.")
    return figure


@dataclass(frozen=True)
class _Line:
    metric: str
    label: str
    colour: str


@dataclass(frozen=True)
class _Panel:
    """Lines that share an axis; the bounds drawn are those of the first."""

    heading: str
    lines: tuple[_Line, ...]
    floor: str = ""
    ceiling: str = ""


_PANELS = (
    _Panel(
        "share of planted features",
        (
            _Line(JOINT, "joint recall", COLOURS[0]),
            _Line(RECALL, "decoder recall", COLOURS[5]),
        ),
        "chance",
        "linear ceiling",
    ),
    _Panel("variance explained", (_Line(EV, "EV", COLOURS[2]),), "the mean", "identity"),
    _Panel("share of latents", (_Line(DEAD, "dead latents", COLOURS[3]),)),
)


def _panel(axes: Axes, panel: _Panel, moments: Sequence[Moment]) -> None:
    axes.set_ylim(-0.05, 1.05)
    axes.set_ylabel(panel.heading)
    axes.grid(True, color=RULE, lw=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    ends: list[tuple[float, str, str]] = []
    for line in panel.lines:
        # A gap, not a bridge, where a point failed: NaN breaks the line.
        xs, ys = [m.x for m in moments], [_height(m, line.metric) for m in moments]
        axes.plot(xs, ys, color=line.colour, lw=1.5, marker="o", ms=3.5, clip_on=False, zorder=3)
        last = next((y for y in reversed(ys) if not np.isnan(y)), None)
        if last is not None:
            ends.append((last, line.label, line.colour))
    ends += _bounds(axes, panel, moments)
    for y, (_, text, colour) in zip(_spread([e[0] for e in ends]), ends, strict=True):
        axes.annotate(
            text,
            (1, y),
            (7, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
    for moment in moments:
        if not moment.results:
            axes.plot([moment.x], [0], marker="x", ms=6, mew=1.6, color=_BAD, clip_on=False)


def _bounds(axes: Axes, panel: _Panel, moments: Sequence[Moment]) -> list[tuple[float, str, str]]:
    """Floor and ceiling of the panel's first line, dashed; their labels."""
    metric = panel.lines[0].metric
    results = [m.results[metric] for m in moments if metric in m.results]
    ends = []
    for name, which in ((panel.floor, "floor"), (panel.ceiling, "ceiling")):
        levels = [getattr(r, which) for r in results if getattr(r, which) is not None]
        if name and levels:
            axes.axhline(levels[-1], color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
            ends.append((levels[-1], f"{name} {levels[-1]:.3f}", MUTED))
    return ends


def _height(moment: Moment, metric: str) -> float:
    """The value, at the lower edge of the axis where it lies below it; NaN for none."""
    result = moment.results.get(metric)
    return np.nan if result is None or result.value is None else max(result.value, -0.05)


def _spread(heights: Sequence[float], gap: float = 0.115) -> list[float]:
    """The heights moved apart, so that labels on them do not touch; their order is kept."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    out = list(heights)
    for before, here in itertools.pairwise(order):
        out[here] = max(out[here], out[before] + gap)
    # From above again: the highest may not leave the panel.
    top = 1.05
    for i in reversed(order):
        out[i] = min(out[i], top)
        top = out[i] - gap
    return out


def _x_axis(axes: Axes, xs: Sequence[float]) -> None:
    """A logarithmic axis where the points crowd at its start, else a linear one."""
    if min(xs) > 0 and float(np.median(xs)) < max(xs) / 10:
        axes.set_xscale("log")
    else:
        axes.set_xlim(min(0, *xs), max(xs) * 1.02 or 1)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


_SWEEP_PANELS: tuple[tuple[str, str, str], ...] = (
    ("joint", "joint recall, share of planted features (recover.joint)", "joint recall"),
    ("ev", "variance explained (recon.ev_total)", "variance explained"),
)
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def draw_sweep(curves: Sequence[Curve], testbed: str, bounds: Bounds) -> Figure:
    """Joint recall and variance explained against measured L0 (logarithmic), side by side."""
    rows = -(-len(curves) // 4)
    height = 4.3 + 0.22 * rows
    figure = figure_of(9.2, height)
    low = (0.72 + 0.22 * rows) / height
    for index, (field, label, heading) in enumerate(_SWEEP_PANELS):
        axes = figure.add_axes((0.07 + 0.5 * index, low, 0.41, 1 - low - 0.62 / height))
        axes.set_ylim(-0.04, 1.06)
        axes.grid(True, color=RULE, lw=0.5, alpha=0.6)
        axes.set_axisbelow(True)
        for number, curve in enumerate(curves):
            _sweep_line(axes, curve, field, number)
        _sweep_axis(axes, curves)
        _sweep_bounds(axes, bounds, bounds.floor is not None and field == "joint")
        axes.set_xlabel("measured L0, latents per sample (recon.l0)")
        axes.set_ylabel(label)
        below = "Means over seeds; bars: least and largest." if index == 0 else ""
        name = naming.shorten(testbed, 32)
        title(axes, f"{name}: {heading}" if index == 0 else heading.capitalize(), below)
    handles = [_sweep_handle(curve, i) for i, curve in enumerate(curves)]
    if any(spot.failed for curve in curves for spot in curve.spots):
        handles.append(
            Line2D([], [], color=_BAD, marker="x", ls="none", label="failed, at the floor")
        )
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.06, 0.02),
        ncols=4,
        frameon=False,
        fontsize=8,
    )
    return figure


def _look(number: int) -> dict[str, Any]:
    markers = ("o", "s", "D", "^", "v", "P")
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": markers[number % len(markers)],
        "linestyle": _DASHES[number // len(COLOURS) % len(_DASHES)],
    }


def _sweep_handle(curve: Curve, number: int) -> Line2D:
    return Line2D([], [], lw=1.5, ms=5, label=naming.shorten(curve.label, 34), **_look(number))


def _sweep_line(axes: Axes, curve: Curve, field: str, number: int) -> None:
    look = _look(number)
    seen = [(s.l0, getattr(s, field), s) for s in curve.spots if getattr(s, field) is not None]
    axes.plot(
        [l0 for l0, _, _ in seen],
        [max(y, -0.04) for _, y, _ in seen],
        lw=1.5,
        ms=5,
        mec=PAPER,
        mew=0.7,
        clip_on=False,
        zorder=3,
        **look,
    )
    for l0, y, spot in seen:
        ends = getattr(spot, f"{field}_range")
        if ends is not None and ends[1] > ends[0]:
            axes.plot([l0, l0], np.maximum(ends, -0.04), color=look["color"], lw=1.2, alpha=0.7)
        if spot.failed:
            axes.plot([l0], [max(y, -0.04)], "x", ms=8, mew=1.6, color=_BAD, clip_on=False)


def _sweep_axis(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_xscale("log")
    found = [spot.l0 for curve in curves for spot in curve.spots]
    low, high = (min(found), max(found)) if found else (1.0, 10.0)
    axes.set_xlim(low / 1.25, high * 1.25)
    plain = ScalarFormatter()
    plain.set_scientific(False)
    ticks = [
        tick
        for power in range(-3, 6)
        for tick in np.array([1, 2, 3, 5]) * 10.0**power
        if low / 1.25 <= tick <= high * 1.25
    ]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _sweep_bounds(axes: Axes, bounds: Bounds, levels: bool) -> None:
    if bounds.planted_l0 is not None:
        axes.axvline(bounds.planted_l0, color=INK, lw=1, ls=(0, (1, 2)), zorder=1)
        axes.annotate(
            f"planted L0 {bounds.planted_l0:.3g}",
            (bounds.planted_l0, 1),
            (4, -9),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    if not levels:
        return
    for name, level, rise in (("chance", bounds.floor, 3), ("linear ceiling", bounds.ceiling, -10)):
        if level is not None:
            axes.axhline(level, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
            axes.annotate(
                f"{name} {level:.3f}",
                (0, level),
                (5, rise),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                color=MUTED,
                fontsize=8,
            )
