"""Labels beside their points, so that no label covers another, a point, or leaves the axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from groundtruth.reporting.canvas import MUTED, PAPER

_NEAR = (0, 15, 30, -15, -30, 45, -45, 90, -90, 180, 150, -150, 120, -120, 60, -60)  # degrees
_FAR = (8, 13, 20, 29, 40, 54, 70, 90, 115, 145, 180)  # pixels at 100 per inch
_LEADER = 17  # beyond this distance, a line says which point is meant
_ON_LINE, _AMBIGUOUS = 22, 30  # what covering a line, or lying nearer to another point, costs


@dataclass(frozen=True)
class Anchor:
    """A point to be labelled; one that is not `needed` goes without where there is no room."""

    x: float
    y: float
    text: str
    colour: str
    needed: bool = False
    bold: bool = False


def place_labels(
    axes: Axes, anchors: Sequence[Anchor], *, blocked: Sequence[Bbox], avoid: Sequence[Bbox]
) -> list[Anchor]:
    """Write the labels, needed ones first.

    Args:
        blocked: boxes in pixels that no label may cover.
        avoid: boxes in pixels that are left free where possible.

    Returns:
        The anchors for which there was no room.
    """
    figure: Any = axes.figure
    scale, renderer = figure.dpi / 100, figure.canvas.get_renderer()
    taken, without = list(blocked), []
    points = [axes.transData.transform((anchor.x, anchor.y)) for anchor in anchors]
    for anchor in sorted(anchors, key=lambda a: not a.needed):
        text = _text(axes, anchor)
        size = text.get_window_extent(renderer)
        at = axes.transData.transform((anchor.x, anchor.y))
        others = [p for a, p in zip(anchors, points) if a is not anchor]
        found = _free(axes, at, size, taken, avoid, others, scale)
        if found is None and not anchor.needed:
            text.remove()
            without.append(anchor)
            continue
        # A needed label with no free place is written beside its point all the same.
        box, distance = found or next(_candidates(at, size, scale))
        # As a share of the figure: an SVG is drawn at another resolution than was measured here.
        text.set_transform(figure.transFigure)
        text.set_position(figure.transFigure.inverted().transform((box.x0, box.y0)))
        taken.append(box)
        if distance > _LEADER:
            _leader(axes, at, box, anchor.colour)
    return without


def box_around(axes: Axes, x: float, y: float, radius: float) -> Bbox:
    """The square of `radius` points around a point, in pixels."""
    figure: Any = axes.figure
    centre, r = axes.transData.transform((x, y)), radius * figure.dpi / 72
    return Bbox.from_extents(centre[0] - r, centre[1] - r, centre[0] + r, centre[1] + r)


def _text(axes: Axes, anchor: Anchor) -> Any:
    return axes.text(
        0,
        0,
        anchor.text,
        transform=None,
        color=anchor.colour,
        fontsize=8.5 if anchor.needed else 7.5,
        fontweight="bold" if anchor.bold else "normal",
        va="bottom",
        linespacing=1.15,
        zorder=6,
        path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
    )


def _free(
    axes: Axes,
    at: np.ndarray,
    size: Bbox,
    taken: Sequence[Bbox],
    avoid: Sequence[Bbox],
    others: Sequence[np.ndarray],
    scale: float,
) -> tuple[Bbox, float] | None:
    """The cheapest free box: near its point, off the lines, and nearer to no other point."""
    frame = axes.get_window_extent()
    best, least = None, math.inf
    for box, distance in _candidates(at, size, scale):
        if distance >= least:
            break
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4 * scale
        inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1
        if not inside or any(box.overlaps(wall) for wall in taken):
            continue
        cost = distance + _ON_LINE * any(box.overlaps(line) for line in avoid)
        cost += _AMBIGUOUS * any(_gap(box, o) < _gap(box, at) + 4 * scale for o in others)
        if cost < least:
            best, least = (box, distance), cost
    return best


def _gap(box: Bbox, point: np.ndarray) -> float:
    """Distance from a point to the nearest edge of a box, in pixels."""
    dx = max(box.x0 - point[0], 0, point[0] - box.x1)
    dy = max(box.y0 - point[1], 0, point[1] - box.y1)
    return math.hypot(dx, dy)


def _candidates(at: np.ndarray, size: Bbox, scale: float) -> Iterator[tuple[Bbox, float]]:
    """Boxes of the label's size around the point, near ones first, to the right first."""
    for distance in _FAR:
        for degrees in _NEAR:
            dx, dy = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            x = at[0] + dx * distance * scale + (dx - 1) / 2 * size.width
            y = at[1] + dy * distance * scale + (dy - 1) / 2 * size.height
            yield Bbox.from_bounds(x, y, size.width, size.height), distance


def _leader(axes: Axes, at: np.ndarray, box: Bbox, colour: str) -> None:
    figure: Any = axes.figure
    end = (min(max(at[0], box.x0), box.x1), min(max(at[1], box.y0), box.y1))
    share = figure.transFigure.inverted()
    axes.annotate(
        "",
        xy=share.transform(at),
        xytext=share.transform(end),
        xycoords="figure fraction",
        textcoords="figure fraction",
        arrowprops={"arrowstyle": "-", "color": colour or MUTED, "lw": 0.6, "shrinkB": 4},
        zorder=2,
    )
