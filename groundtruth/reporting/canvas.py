"""What both figures share: colours, text sizes, and files that come out the same every time.

Nothing global is touched: no pyplot, no backend, and matplotlib's settings are put back.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from groundtruth.reporting.aggregate import Section

INK, MUTED, RULE, PAPER = "#1f2328", "#6b737c", "#cfd4d9", "#fdfdfc"
"""Text, secondary marks, lines, ground: four colours that a page may replace by its own."""

# Okabe and Ito, "Color universal design" (2008), https://jfly.uni-koeln.de/color/, without black
# and yellow: told apart with any colour vision, on a light and on a dark ground.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_DPI = 144
_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": RULE,
    "axes.facecolor": PAPER,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.hashsalt": "groundtruth",  # otherwise every run gives the parts of an SVG new names
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Look:
    """How one method is drawn, everywhere."""

    colour: str
    marker: str


@dataclass(frozen=True)
class Drawing:
    """One figure: the name of its file, what it shows in words, and its two forms."""

    name: str
    caption: str
    png: bytes
    svg: bytes


def looks(sections: Iterable[Section]) -> dict[str, Look]:
    """One look per method, the same in every figure of a report."""
    labels = sorted({row.label for section in sections for row in section.of("method")})
    # All colours with one marker, then all with the next.
    wheel = itertools.cycle(itertools.product(_MARKERS, COLOURS))
    return {label: Look(colour, marker) for label, (marker, colour) in zip(labels, wheel)}


def drawing(name: str, caption: str, draw: Callable[[], Figure]) -> Drawing:
    """Run `draw` under the house settings and take the figure as PNG and as SVG."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        # A character that the font lacks is drawn as a box; the table has it right.
        warnings.filterwarnings("ignore", message="Glyph ", category=UserWarning)
        figure = draw()
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", metadata=nothing)
    return Drawing(name, caption, png.getvalue(), svg.getvalue())


def figure_of(width: float, height: float) -> Figure:
    """An empty figure, in inches, on a canvas of its own."""
    figure = Figure(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def title(axes: Axes, text: str, below: str, *, x: float = 0.0) -> None:
    """A title on the left, and a quieter line under it."""
    axes.annotate(
        text,
        (x, 1),
        (0, 26),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=11,
        fontweight="bold",
        annotation_clip=False,
    )
    axes.annotate(
        below,
        (x, 1),
        (0, 11),
        xycoords="axes fraction",
        textcoords="offset points",
        color=MUTED,
        annotation_clip=False,
    )
