"""The figures of docs/sae_lab.md, one per question that a developer of sparse autoencoders asks.

    python -m reproductions.sae_lab --out docs/sae_lab
    python -m reproductions.sae_lab --out docs/sae_lab --only seeds shrinkage

Every number comes from a training done here, with fixed seeds and on one thread. Each figure
prints a table, which also replaces that of its section in the page, the .md beside the folder; a
test then names the numbers of the text that no table holds. `trained`, `swept` and `watched` run
and score; the functions in `FIGURES` put a question to them, draw, and return the table.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import EngFormatter, NullFormatter, NullLocator
from PIL import Image

import groundtruth as gt
from groundtruth import catalogue
from groundtruth.evaluators import ranking
from groundtruth.inference import assign
from groundtruth.methods import random_directions
from groundtruth.reporting.canvas import COLOURS, INK, MUTED, PAPER, RULE, figure_of, title
from groundtruth.reporting.curves import write_drawing
from groundtruth.sweeps import Sweep

VARIANTS = (
    "sae/topk",
    "sae/batchtopk",
    "sae/jumprelu",
    "sae/matching-pursuit",
    "sae/matryoshka",
    "sae/gated",
    "sae/p-annealing",
    "sae/relu",
)
FROZEN = ("frozen/soft-decoder", "frozen/decoder", "frozen/encoder")
ORACLE, PCA, RANDOM = "true decoder", "linear/pca", "random directions"
LOOKS = {
    name: (colour, marker)
    for name, colour, marker in zip(
        ("sae/topk", "sae/batchtopk", "sae/jumprelu", "sae/gated", "sae/relu"), COLOURS, "osD^v"
    )
}
"""How the variants that are drawn as lines are told apart, in every figure."""
TWO = ("joint recall", "variance explained")
JOINT, PRECISION, EV = "recover.joint", "recover.joint_precision", "recon.ev_total"
RECALL, L0, DEAD = "recover.recall", "recon.l0", "recon.dead_frac"
RESCALING, SLOPE, FIRED_SLOPE = "recon.shrinkage", "recon.latent_shrinkage", "fired"
SAME = 0.9  # cosine from which two latents count as one, as for recovery


@dataclass(frozen=True, eq=False)
class World:
    """A world with the width and the L0 that variants are given there."""

    testbed: str
    width: int
    l0: int
    changes: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int) -> gt.Testbed:
        return gt.build(self.testbed, seed=seed, **self.changes)


SMALL, ZIPF = World("sparse/small", 128, 5), World("sparse/zipf", 512, 5)
BINS = 10 ** np.arange(-4.5, -0.9, 0.5)
"""Half-decades of firing probability, from 3 in 100,000 to 1 in 10."""
RARE = World(
    "sparse/small",
    256,
    3,
    {
        "n_features": 256,
        "d": 64,
        "firing": {"law": "log-uniform", "low": float(BINS[0]), "high": float(BINS[-1])},
    },
)


@dataclass(frozen=True)
class Lab:
    """What all figures are run at; the defaults are those of the page.

    Fields:
        n_samples: training samples of a run.
        seeds: each is a world of its own, on which methods run with that seed. Figure `seeds`
            stays in the first world, and these are its training seeds.
        scoring, rare_scoring: how much data scores. The second is large enough that false
            positives of the rarest features are seen.
        budgets: other training samples at which rare features are looked for.
        long, finished: samples of the training that is watched, and those of whole trainings.
        marks: where it is watched.
        widths, l0s: of the sweeps.
    """

    n_samples: int = 300_000
    seeds: tuple[int, ...] = (0, 1, 2)
    scoring: gt.Scoring = field(default_factory=gt.Scoring)
    rare_scoring: gt.Scoring = field(default_factory=lambda: gt.Scoring(n_score=100_000))
    budgets: tuple[int, ...] = (100_000, 1_000_000)
    long: int = 1_000_000
    finished: tuple[int, ...] = (30_000, 100_000, 300_000)
    marks: tuple[int, ...] = (10_000, 20_000, 50_000, 100_000, 200_000, 300_000, 500_000, 700_000)
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    l0s: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 12, 20)


# --- running ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One training, scored.

    Fields:
        values: by metric id, NaN where undefined.
        decoder: (k, d).
        probability, joint, direction: (n_features,) firing probability; recovered; has a latent
            of cosine 0.9.
        limited: the firing probability below which a feature is sample-limited.
    """

    values: dict[str, float]
    decoder: np.ndarray
    probability: np.ndarray
    joint: np.ndarray
    direction: np.ndarray
    limited: float


@functools.cache
def trained(
    method: str, world: World, scoring: gt.Scoring, n_samples: int, seed: int, world_seed: int
) -> Run:
    """`method` on a world, and what `gt.evaluate` says of it."""
    testbed = world.build(world_seed)
    claim = functools.partial(_make(method, testbed), **_parameters(method, world, n_samples))
    report = gt.evaluate(testbed, claim, seed=seed, scoring=scoring, n_train=n_samples)
    found = {metric: report[metric].value for metric in report}
    values = {metric: np.nan if value is None else value for metric, value in found.items()}
    rows, needed = list(report.features()), SAME**2 / (1 - SAME**2)
    return Run(
        values | {FIRED_SLOPE: fired_slope(report)},
        np.asarray(report.comparison.outputs.decoder),
        np.array([row.firing_probability for row in rows]),
        np.array([row.status == "recovered" for row in rows]),
        np.array([row.cosine >= SAME for row in rows]),
        testbed.truth.features.expected_l0 * needed / n_samples,
    )


def _make(method: str, testbed: gt.Testbed) -> Callable[..., Any]:
    if method == RANDOM:
        return random_directions
    if method == ORACLE:
        truth = testbed.truth.features.directions
        return functools.partial(_entry("sae/batchtopk"), decoder=truth)
    return _entry(method)


def _entry(method: str) -> Callable[..., Any]:
    make = catalogue.method(method).make
    assert make is not None
    return make


def _parameters(method: str, world: World, n_samples: int) -> dict[str, Any]:
    if method == PCA:
        return {"n_samples": n_samples}
    size = {"width": world.width, "l0": world.l0}
    return size if method == RANDOM else {**size, "n_samples": n_samples}


def fired_slope(report: gt.Report) -> float:
    """As `recon.latent_shrinkage`, over samples where feature and latent both fire.

    slope_i = ||W_j|| sum z_j a_i / sum a_i^2 over samples with a_i > 0 and z_j > 0; the mean over
    features whose matched latent j has cosine >= 0.9.
    """
    c = report.comparison
    partner, (truth, latent, cosine) = np.full(len(c.partner), -1), c.assignment
    partner[truth[cosine >= SAME]] = latent[cosine >= SAME]
    norms, slopes = np.linalg.norm(c.outputs.decoder[c.live], axis=1), []
    for i, pair in ranking.pairs(c, partner):
        fired = pair.positive > 0
        if fired.any():
            z, a = pair.positive[fired], pair.activity[fired]
            slopes.append(norms[partner[i]] * (z @ a) / (a @ a))
    return float(np.mean(slopes)) if slopes else np.nan


@functools.cache
def swept(method: str, lab: Lab, *, over_width: bool) -> Sweep:
    """`gt.sweep` on `sparse/small` over width at the planted L0, or over L0 at 128 latents."""
    grid: dict[str, Any] = {"l0": [SMALL.l0], "k": lab.widths}
    if not over_width:
        grid = {"l0": lab.l0s, "width": SMALL.width}
    return gt.sweep(
        method,
        SMALL.testbed,
        seeds=lab.seeds,
        scoring=lab.scoring,
        n_samples=lab.n_samples,
        **grid,
    )


@functools.cache
def watched(method: str, lab: Lab, seed: int) -> tuple[gt.Monitor, gt.Monitor]:
    """One long training watched by a monitor, and whole trainings of fewer samples."""
    testbed = SMALL.build(seed)
    during, after = gt.Monitor(testbed), gt.Monitor(testbed)
    size = {"width": SMALL.width, "l0": SMALL.l0, "seed": seed}
    make, marks = _entry(method), (*lab.marks, lab.long)
    make(testbed.subject, n_samples=lab.long, watch=during.see, watch_at=marks, **size)
    for n in lab.finished:
        after.see(n, make(testbed.subject, n_samples=n, **size))
    return during, after


# --- the questions ----------------------------------------------------------------------------


def rare(lab: Lab, path: Path) -> str:
    """Does it recover rare features? Joint recall by firing probability."""
    asked = [(name, lab.n_samples) for name in VARIANTS]
    asked += [(VARIANTS[0], n) for n in lab.budgets]
    runs = [
        [trained(name, RARE, lab.rare_scoring, n, seed, seed) for seed in lab.seeds]
        for name, n in asked
    ]
    labels = [short(name) + (f", {n:,} samples" if n != lab.n_samples else "") for name, n in asked]
    shares = [by_frequency(group, "joint") for group in runs]
    limits = [float(np.mean([run.limited for run in group])) for group in runs]
    totals = [mean(run.values[JOINT] for run in group) for group in runs]
    below = (
        f"Share of the features of {len(lab.seeds)} worlds; {lab.n_samples:,} samples or as said."
    )
    _write(path, lambda: _draw_rare(labels, shares, limits, totals, below))
    heads = [f"{low:.1e}" for low in BINS[:-1]]
    counts = np.histogram(np.concatenate([run.probability for run in runs[0]]), BINS)[0]
    lines = [row("joint recall by p from", [*heads, "all", "limited below"], 9)]
    lines.append(row("features", [str(n) for n in counts], 9))
    for label, share, limit, total in zip(labels, shares, limits, totals):
        lines.append(row(label, [*numbers([*share, total]), f"{limit:.1e}"], 9))
    for label, group in zip(labels, runs):
        lines.append(row(f"cosine: {label}", numbers(by_frequency(group, "direction")), 9))
    return "\n".join(lines)


def by_frequency(runs: Sequence[Run], what: str) -> np.ndarray:
    """Share of the features of all runs in each of `BINS`."""
    p = np.concatenate([run.probability for run in runs])
    found = np.concatenate([getattr(run, what) for run in runs]).astype(float)
    with np.errstate(invalid="ignore"):
        return np.histogram(p, BINS, weights=found)[0] / np.histogram(p, BINS)[0]


def _draw_rare(
    labels: Sequence[str],
    shares: Sequence[np.ndarray],
    limits: Sequence[float],
    totals: Sequence[float],
    below: str,
) -> Figure:
    n = len(labels)
    figure = figure_of(8.6, 1.75 + 0.31 * n)
    height = 0.31 * n / (1.75 + 0.31 * n)
    axes = figure.add_axes((0.265, 0.91 / (1.75 + 0.31 * n), 0.645, height))
    blue = LinearSegmentedColormap.from_list("share", ["#eef2f5", COLOURS[0]])
    edges = np.arange(n + 1) - 0.5
    axes.pcolormesh(BINS, edges, np.array(shares), cmap=blue, vmin=0, vmax=1, ec=PAPER, lw=1.5)
    axes.set_xscale("log")
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_yticks(range(n), labels)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines[["left", "bottom"]].set_visible(False)
    for i, limit in enumerate(limits):
        if limit > BINS[0]:
            strip = Rectangle((BINS[0], i + 0.28), limit - BINS[0], 0.2, fc=COLOURS[1], lw=0)
            axes.add_patch(strip)
        for middle, share in zip(np.sqrt(BINS[:-1] * BINS[1:]), shares[i]):
            ink = PAPER if share > 0.55 else INK
            axes.text(middle, i, f"{share:.2f}", ha="center", va="center", color=ink, fontsize=8)
        axes.annotate(
            f"{totals[i]:.2f}",
            (1.045, i),
            xycoords=("axes fraction", "data"),
            ha="center",
            va="center",
            fontweight="bold",
            annotation_clip=False,
        )
    axes.annotate("all", (1.045, 1), (0, 4), xycoords="axes fraction", textcoords="offset points",
                  ha="center", color=MUTED)  # fmt: skip
    decades = (1e-4, 1e-3, 1e-2, 1e-1)
    axes.set_xticks(decades, [f"{p:.4f}".rstrip("0") for p in decades])
    axes.set_xlabel("firing probability of the planted feature")
    title(axes, "Joint recall by how often the feature fires", below, x=-0.39)
    mark = Patch(fc=COLOURS[1], lw=0)
    mark.set_label("sample-limited: too rare for the row's budget, even with labels")
    figure.legend(handles=[mark], loc="lower left", bbox_to_anchor=(0.255, 0.005), **LEGEND)
    return figure


def shrinkage(lab: Lab, path: Path) -> str:
    """Does it shrink? The factor that is missing from reconstruction and codes."""
    names = (*VARIANTS, ORACLE)
    runs = {name: _small(lab, name) for name in names}
    metrics = (RESCALING, FIRED_SLOPE, SLOPE)
    found = {m: [[run.values[m] for run in runs[name]] for name in names] for m in metrics}
    panels = (
        Panel(
            "rescaling that fits best (recon.shrinkage)",
            (Marks(found[RESCALING], "", COLOURS[0]),),
            (0.9, 2.2),
        ),
        Panel(
            "code / planted activity",
            (
                Marks(found[FIRED_SLOPE], "where feature and latent both fire", COLOURS[0]),
                Marks(found[SLOPE], "wherever the feature fires", COLOURS[1], hollow=True),
            ),
            (0, 1.15),
        ),
    )
    heading = "sparse/small: what the codes lose in size"
    _write(path, lambda: _draw_dots(names, panels, heading, lab, line=1.0))
    return _table((*metrics, L0), {name: runs[name] for name in names})


def seeds(lab: Lab, path: Path) -> str:
    """Is it stable over seeds? Recovery of each seed, and agreement between seeds."""
    names, world = (*VARIANTS, PCA, RANDOM), lab.seeds[0]
    runs = {
        name: [trained(name, SMALL, lab.scoring, lab.n_samples, s, world) for s in lab.seeds]
        for name in names
    }
    joint, recall = ([[r.values[m] for r in runs[n]] for n in names] for m in (JOINT, RECALL))
    pairs = [list(itertools.combinations(runs[name], 2)) for name in names]
    agreed = [[agreement(a.decoder, b.decoder) for a, b in group] for group in pairs]
    same, middle = ([[pair[i] for pair in group] for group in agreed] for i in (0, 1))
    panels = (
        Panel(
            "share of planted features",
            (
                Marks(joint, "joint recall: direction and firing", COLOURS[0]),
                Marks(recall, "decoder recall: direction alone", COLOURS[1], hollow=True),
            ),
            (-0.04, 1.04),
        ),
        Panel(
            "agreement of two training seeds",
            (
                Marks(same, "latents matched at cosine 0.9, share", COLOURS[0]),
                Marks(middle, "mean matched cosine (PW-MCC)", COLOURS[1], hollow=True),
            ),
            (-0.04, 1.04),
        ),
    )
    heading = "sparse/small, one world: found again, and found right"
    _write(
        path, lambda: _draw_dots(names, panels, heading, lab, over="training seeds, or their pairs")
    )
    lines = [row("", [JOINT, RECALL, "matched", "PW-MCC"], 22)]
    for name, *values in zip(names, joint, recall, same, middle):
        lines.append(row(short(name), [spread(v) for v in values], 22))
    return "\n".join(lines)


def agreement(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Share of latents matched at signed cosine >= 0.9, and the mean matched cosine (PW-MCC).

    Matched is one to one, for the largest sum of cosines; dead latents count.
    """
    a, b = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (first, second))
    cosine = assign(a @ b.T).similarity
    return float((cosine >= SAME).mean()), float(cosine.mean())


def samples(lab: Lab, path: Path) -> str:
    """How many samples does it need? Joint recall and explained variance while it trains."""
    names = ("sae/topk", "sae/batchtopk", "sae/jumprelu", "sae/gated", "sae/relu")
    runs = {name: [watched(name, lab, seed) for seed in lab.seeds] for name in names}
    first = runs[names[0]][0][0].history[-1].results[JOINT]
    metrics, lines = (JOINT, EV, L0), [row("", ["samples", JOINT, EV, L0], 24)]
    curves: dict[tuple[str, str, int], tuple[list[int], list[list[float]]]] = {}
    for name, part in itertools.product(names, (0, 1)):
        points = list(zip(*(pair[part].history for pair in runs[name])))
        at = [int(group[0].n_samples or 0) for group in points]
        for metric in metrics:
            held = [[_number(point.value(metric)) for point in group] for group in points]
            curves[name, metric, part] = at, held
        for n, *here in zip(at, *(curves[name, metric, part][1] for metric in metrics)):
            cells = [f"{n:,}", *map(spread, here)]
            lines.append(row(f"{short(name)}{', whole' * part}", cells, 24))
    lines.append(f"floor {_number(first.floor):.3f}, ceiling {_number(first.ceiling):.3f}")

    def draw() -> Figure:
        heading = f"sparse/small: along a training of {lab.long:,} samples"
        figure, panels = _pair_of_panels(
            names, lab, heading, TWO, "a whole training of that length"
        )
        for axes, metric in zip(panels, (JOINT, EV)):
            for name in names:
                _line(axes, name, *curves[name, metric, 0])
                at, held = curves[name, metric, 1]
                colour, marker = LOOKS[name]
                axes.plot(at, [mean(v) for v in held], ls="none", marker=marker,
                          mec=colour, zorder=4, **HOLLOW)  # fmt: skip
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel("training samples")
        _level(panels[0], first.ceiling, "linear ceiling")
        _level(panels[0], first.floor, "chance")
        return figure

    _write(path, draw)
    return "\n".join(lines)


def width(lab: Lab, path: Path) -> str:
    """What does width do? Joint recall and joint precision against the number of latents."""
    names = ("sae/topk", "sae/batchtopk", "sae/gated")
    sweeps = {name: swept(name, lab, over_width=True) for name in names}
    n = sweeps[names[0]].testbed["n_features"]

    def draw() -> Figure:
        figure, panels = _pair_of_panels(
            names, lab, "sparse/small: width at L0 5", ("joint recall", "joint precision")
        )
        fine = np.geomspace(min(lab.widths), max(lab.widths), 200)
        panels[0].plot(fine, np.minimum(1, fine / n), color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
        panels[0].annotate("one feature per latent", (0.8 * n, 0.8), (-6, 0), ha="right",
                           textcoords="offset points", color=MUTED, fontsize=8)  # fmt: skip
        for axes, metric in zip(panels, (JOINT, PRECISION)):
            for name in names:
                _line(axes, name, lab.widths, grouped(sweeps[name], "k", metric))
            axes.axvline(n, color=INK, lw=1, ls=(0, (1, 2)), zorder=1)
            axes.annotate(f"{n} planted", (n, 0), (4, 4), textcoords="offset points", fontsize=8)
            axes.set_xscale("log", base=2)
            axes.set_xticks(lab.widths, [str(k) for k in lab.widths])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("width, latents")
        return figure

    _write(path, draw)
    metrics = (JOINT, PRECISION, EV, DEAD)
    lines = [row("", ["width", *metrics], 24)]
    for name in names:
        cells = [grouped(sweeps[name], "k", metric) for metric in metrics]
        for k, *here in zip(lab.widths, *cells):
            lines.append(row(short(name), [str(k), *map(spread, here)], 24))
    return "\n".join(lines)


def sparsity(lab: Lab, path: Path) -> str:
    """What does L0 do? Joint recall and explained variance against measured L0."""
    names = ("sae/topk", "sae/gated", "sae/relu")
    sweeps = [swept(name, lab, over_width=False) for name in names]
    known = sweeps[0].rows[0].results[JOINT]
    planted = mean(SMALL.build(seed).truth.features.expected_l0 for seed in lab.seeds)

    def draw() -> Figure:
        figure, panels = _pair_of_panels(names, lab, "sparse/small: L0 at 128 latents", TWO)
        for axes, metric in zip(panels, (JOINT, EV)):
            for name, found in zip(names, sweeps):
                at = [mean(group) for group in grouped(found, "l0", L0)]
                _line(axes, name, at, grouped(found, "l0", metric))
            axes.axvline(planted, color=INK, lw=1, ls=(0, (1, 2)), zorder=1)
            place = ("data", "axes fraction")
            axes.annotate(f"planted {planted:.3g}", (planted, 0), (4, 10), xycoords=place,
                          textcoords="offset points", fontsize=8)  # fmt: skip
            axes.set_xscale("log")
            axes.set_xticks(lab.l0s, [str(l0) for l0 in lab.l0s])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("measured L0, latents per sample")
        _level(panels[0], known.ceiling, "linear ceiling")
        return figure

    _write(path, draw)
    lines = [row("", ["asked", L0, JOINT, PRECISION, EV], 24)]
    for found in sweeps:
        cells = [grouped(found, "l0", metric) for metric in (L0, JOINT, PRECISION, EV)]
        for l0, *here in zip(lab.l0s, *cells):
            lines.append(row(short(found.name), [str(l0), *map(spread, here)], 24))
    lines.append(f"planted L0, mean over worlds: {planted:.2f}")
    return "\n".join(lines)


def grouped(found: Sweep, by: str, metric: str) -> list[list[float]]:
    """Values over seeds at each setting of `by`, "k" or "l0"; a failed run counts at the floor."""
    settings = dict.fromkeys(getattr(r, by) for r in found.rows)
    return [
        [_number(r.value(metric)) for r in found.rows if getattr(r, by) == setting]
        for setting in settings
    ]


def learning(lab: Lab, path: Path) -> str:
    """Does learning help? Trained against partly frozen autoencoders."""
    names = ("sae/topk", "sae/batchtopk", *FROZEN)
    runs = {
        world: {
            name: [trained(name, world, lab.scoring, lab.n_samples, s, s) for s in lab.seeds]
            for name in names
        }
        for world in (SMALL, ZIPF)
    }

    def panel(world: World) -> Panel:
        ev, joint = ([[r.values[m] for r in runs[world][n]] for n in names] for m in (EV, JOINT))
        return Panel(
            f"{world.testbed}, {world.width} latents",
            (
                Marks(joint, "joint recall", COLOURS[0]),
                Marks(ev, "variance explained", COLOURS[1], hollow=True),
            ),
            (-0.04, 1.04),
        )

    panels = (panel(SMALL), panel(ZIPF))
    heading = "Trained, and with a part that is never learned"
    _write(path, lambda: _draw_dots(names, panels, heading, lab))
    tables = (_table((JOINT, EV), runs[world], f"{world.testbed} ") for world in (SMALL, ZIPF))
    return "\n".join(tables)


FIGURES: dict[str, Callable[[Lab, Path], str]] = {
    "rare": rare,
    "shrinkage": shrinkage,
    "seeds": seeds,
    "samples": samples,
    "width": width,
    "sparsity": sparsity,
    "learning": learning,
}


def _small(lab: Lab, name: str) -> list[Run]:
    return [trained(name, SMALL, lab.scoring, lab.n_samples, seed, seed) for seed in lab.seeds]


# --- drawing ----------------------------------------------------------------------------------

LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8, "handletextpad": 0.6}
HOLLOW: dict[str, Any] = {"ms": 6.5, "mfc": PAPER, "mew": 1.5}


def _write(path: Path, draw: Callable[[], Figure]) -> None:
    write_drawing(path, draw)
    _fewer_colours(path)


def _fewer_colours(path: Path) -> None:
    """Store a PNG in 128 colours: half the bytes, and the same to the eye."""
    drawn = Image.open(path).convert("RGB")
    drawn.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True, dpi=(144, 144))


@dataclass(frozen=True)
class Marks:
    """One quantity: for each row its value at every seed."""

    values: Sequence[Sequence[float]]
    label: str
    colour: str
    hollow: bool = False


@dataclass(frozen=True)
class Panel:
    """What is drawn beside the rows, and the ends of its axis."""

    label: str
    marks: tuple[Marks, ...]
    ends: tuple[float, float]


def _draw_dots(
    names: Sequence[str],
    panels: Sequence[Panel],
    heading: str,
    lab: Lab,
    *,
    over: str = "worlds",
    line: float | None = None,
) -> Figure:
    """One row per name: small marks for seeds, a large one for their mean."""
    height = 1.75 + 0.27 * len(names)
    figure = figure_of(8.6, height)
    for index, panel in enumerate(panels):
        frame = (0.2 + 0.41 * index, 0.95 / height, 0.37, 0.27 * len(names) / height)
        axes = figure.add_axes(frame)
        axes.set_xlim(*panel.ends)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(True, axis="x", color=RULE, lw=0.5, alpha=0.6)
        axes.set_axisbelow(True)
        axes.set_yticks(range(len(names)), ["" if index else short(name) for name in names])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel(panel.label)
        if line is not None:
            axes.axvline(line, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
        for marks in panel.marks:
            _marks(axes, marks)
        handles = [Line2D([], [], label=m.label, **_mark(m)) for m in panel.marks if m.label]
        if handles:
            place = (frame[0] - 0.01, 0.01)
            figure.legend(handles=handles, loc="lower left", bbox_to_anchor=place, **LEGEND)
        if index == 0:
            below = f"Large marks: means over {len(lab.seeds)} {over}; small: each."
            title(axes, heading, below, x=-0.46)
    return figure


def _marks(axes: Axes, marks: Marks) -> None:
    for y, values in enumerate(marks.values):
        seen = [value for value in values if not np.isnan(value)]
        if seen:
            axes.plot(seen, [y] * len(seen), ls="none", marker="o", ms=3, mew=0,
                      color=marks.colour, alpha=0.55, clip_on=False)  # fmt: skip
            axes.plot([mean(seen)], [y], **_mark(marks), clip_on=False, zorder=4 - marks.hollow)


def _mark(marks: Marks) -> dict[str, Any]:
    face = PAPER if marks.hollow else marks.colour
    return {"marker": "o", "ls": "none", "ms": 6.5, "mec": marks.colour, "mfc": face, "mew": 1.4}


def _pair_of_panels(
    names: Sequence[str], lab: Lab, heading: str, labels: Sequence[str], whole: str = ""
) -> tuple[Figure, list[Axes]]:
    """Two panels with an axis from 0 to 1, and the names under them."""
    figure = figure_of(8.6, 4.2)
    panels = [figure.add_axes((0.075 + 0.5 * i, 0.235, 0.41, 0.61)) for i in (0, 1)]
    for axes, label in zip(panels, labels):
        axes.set_ylabel(label)
        axes.set_ylim(-0.04, 1.1)
        axes.grid(True, color=RULE, lw=0.5, alpha=0.6)
        axes.set_axisbelow(True)
    title(panels[0], heading, f"Means over {len(lab.seeds)} worlds; bars: least and largest.")
    handles = [Line2D([], [], color=LOOKS[n][0], marker=LOOKS[n][1], label=short(n)) for n in names]
    if whole:
        handles.append(Line2D([], [], ls="none", **HOLLOW, mec=MUTED, marker="o", label=whole))
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.06, 0.01), ncols=6, **LEGEND)
    return figure, panels


def _line(axes: Axes, name: str, at: Sequence[float], values: Sequence[Sequence[float]]) -> None:
    """Means as a line, with a bar from the least to the largest."""
    colour, marker = LOOKS[name]
    axes.plot(at, [mean(v) for v in values], color=colour, marker=marker, lw=1.5, ms=4.5, mec=PAPER,
              mew=0.6, zorder=3, clip_on=False)  # fmt: skip
    for x, group in zip(at, values):
        axes.plot([x, x], [min(group), max(group)], color=colour, lw=1.2, alpha=0.5, zorder=2)


def _level(axes: Axes, level: float | None, name: str) -> None:
    if level is not None:
        axes.axhline(level, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
        place = ("axes fraction", "data")
        axes.annotate(f"{name} {level:.3f}", (1, level), (-2, 3), xycoords=place, ha="right",
                      textcoords="offset points", color=MUTED, fontsize=8)  # fmt: skip


# --- text -------------------------------------------------------------------------------------


def _table(metrics: Sequence[str], runs: dict[str, list[Run]], before: str = "") -> str:
    """Mean, least and largest of every metric, one line per method."""
    lines = [row(before, metrics, 24)]
    for name, group in runs.items():
        cells = [spread(run.values[metric] for run in group) for metric in metrics]
        lines.append(row(short(name), cells, 24))
    return "\n".join(lines)


def row(head: str, cells: Iterable[str], room: int) -> str:
    return f"{head:<32}" + "".join(f" {cell:>{room}}" for cell in cells)


def numbers(values: Iterable[float]) -> list[str]:
    return ["-" if np.isnan(value) else f"{value:.3f}" for value in values]


def spread(values: Iterable[float]) -> str:
    """Mean and range, undefined ones left out."""
    seen = [value for value in values if not np.isnan(value)]
    return f"{mean(seen):.3f} [{min(seen):.3f}, {max(seen):.3f}]" if seen else "-"


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def short(name: str) -> str:
    return name.removeprefix("sae/")


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def with_table(page: str, name: str, table: str) -> str:
    """The page with `table` in place of that of the section that shows `name`.png."""
    begin = page.index("```text\n", page.index(f"/{name}.png")) + len("```text\n")
    rows = "\n".join(line.rstrip() for line in table.splitlines())
    return page[:begin] + rows + page[page.index("\n```", begin) :]


def main() -> None:
    parser = argparse.ArgumentParser(description="The figures of docs/sae_lab.md.")
    parser.add_argument("--out", type=Path, default=Path("docs/sae_lab"))
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    page = options.out.with_suffix(".md")
    for name in options.only:
        table = FIGURES[name](Lab(), options.out / f"{name}.png")
        print(f"\n{name}\n{table}", flush=True)
        if page.exists():
            page.write_text(with_table(page.read_text(), name, table))


if __name__ == "__main__":
    main()
