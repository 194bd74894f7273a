"""The figures and tables of docs/failure_modes.md, from the stored runs of a suite.

    groundtruth run failure-modes --out runs/failure --jobs 2
    python -m reproductions.failure_modes runs/failure --out docs/failure_modes

One figure for each failure: what the setting does to explained variance, and to the score that
catches it. Points are means over worlds, bars run from the least to the largest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groundtruth.store import Store, StoredRun

EV, RECALL = "recon.ev_total", "recover.recall"
COLOURS = ("#999999", "#0072b2", "#d55e00", "#009e73")


@dataclass(frozen=True)
class Failure:
    """One failure: where it is seen, by what, and against which setting.

    Fields:
        worlds: testbeds, one panel each.
        setting: what varies: a parameter of the method, or "method".
        scores: drawn beside explained variance.
        counts: in the table alone: they are no shares.
        expected: closed forms to mark, by score.
        title: of the figure.
    """

    worlds: tuple[str, ...]
    setting: str
    scores: tuple[str, ...]
    title: str
    expected: dict[str, float]
    counts: tuple[str, ...] = ()


FAILURES: dict[str, Failure] = {
    "absorption": Failure(
        ("failure/absorption",),
        "l1",
        ("absorb.full", "absorb.leak", RECALL),
        "absorption: sae/relu against the L1 coefficient",
        {"absorb.leak": 2**-0.5},
    ),
    "tree": Failure(
        ("failure/tree",),
        "method",
        ("absorb.full", "absorb.leak", RECALL),
        "absorption in a tree: three variants",
        {"absorb.leak": 2**-0.5},
    ),
    "hedging": Failure(
        ("failure/hedging",),
        "width",
        ("hedge.degree", "hedge.slope", RECALL),
        "hedging: sae/relu with one latent for two features, and with two",
        {"hedge.degree": 0.2434**2},
    ),
    "wrong_l0": Failure(
        ("failure/wrong-l0", "failure/wrong-l0-negative"),
        "l0",
        ("hedge.degree", RECALL),
        "a wrong L0: sae/batchtopk, planted L0 2",
        {},
    ),
    "composed": Failure(
        ("failure/composed",),
        "method",
        ("merge.rate", "recover.joint", RECALL),
        "composed features: one code a sample, and a dictionary of the dictionary",
        {},
        ("compose.support",),
    ),
    "one_of_each": Failure(
        ("failure/one-of-each",),
        "width",
        ("recover.recall_classes", RECALL),
        "what nobody can tell: sae/relu on sums of one of four and one of four",
        {},
        ("compose.support",),
    ),
    "splitting": Failure(
        ("failure/splitting",),
        "width",
        ("split.rate", RECALL),
        "splitting: sae/relu on two parents that never fire without a child",
        {},
        ("split.count", "merge.rate"),
    ),
    "dark_matter": Failure(
        ("failure/dark-matter",),
        "width",
        ("recover.energy_recall", "recover.rare_recall", RECALL),
        "dark matter: sae/batchtopk on 1,000 features of Zipf frequency",
        {},
    ),
    "manifold": Failure(
        ("manifold/circle",),
        "width",
        ("subspace.coverage", "manifold.coord_error", RECALL),
        "a circle, tiled: sae/relu on 24 features and a circle",
        {},
        ("manifold.tiling",),
    ),
    "crosscoder": Failure(
        ("pair/models",),
        "l1",
        ("part.false_exclusive", "part.share_error", RECALL),
        "complete shrinkage: sae/crosscoder against its L1 coefficient",
        {},
    ),
}


def main() -> None:
    options = _options()
    runs = [run for folder in options.runs for run in Store(folder).records()]
    options.out.mkdir(parents=True, exist_ok=True)
    for name, failure in FAILURES.items():
        points = points_of(runs, failure)
        draw(failure, points, options.out / f"{name}.png")
        print(f"\n{name}\n{table(failure, points)}")


Points = dict[tuple[str, Any], dict[str, list[float]]]


def points_of(runs: list[StoredRun], failure: Failure) -> Points:
    """Values by metric over seeds, for each (world, setting)."""
    found: Points = {}
    for run in runs:
        record = run.record
        if record["method"]["kind"] != "method" or record["testbed"]["name"] not in failure.worlds:
            continue
        parameters = record["method"]["parameters"]
        # A method without the setting stands beside those that have it, under its name.
        setting = parameters.get(failure.setting, record["method"]["name"])
        values = found.setdefault((record["testbed"]["name"], setting), {})
        for metric in (EV, *failure.scores, *failure.counts):
            value = record["results"][metric]["value"]
            if value is not None:
                values.setdefault(metric, []).append(value)
    order: Callable[[Any], Any] = lambda key: (key[0], isinstance(key[1], str), key[1])  # noqa: E731
    return {key: found[key] for key in sorted(found, key=order)}


def table(failure: Failure, points: Points) -> str:
    """A line for each world and setting: mean, least and largest of every score."""
    metrics = (EV, *failure.scores, *failure.counts)
    lines = [f"{'world':<27}{failure.setting:<17}" + "".join(f"{m:>24}" for m in metrics)]
    for (world, setting), values in points.items():
        lines.append(
            f"{world:<27}{setting!s:<17}" + "".join(f"{_shown(values.get(m)):>24}" for m in metrics)
        )
    return "\n".join(lines)


def draw(failure: Failure, points: Points, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(failure.worlds) + 1.4, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(failure.worlds), squeeze=False, sharey=True)[0]
    for axis, world in zip(axes, failure.worlds, strict=True):
        settings = [setting for (name, setting) in points if name == world]
        apart = 0.07 if failure.setting == "method" else 0.0
        for place, (colour, metric) in enumerate(zip(COLOURS, (EV, *failure.scores))):
            drawn = [
                (x + apart * (place - 1.5), values[metric])
                for x, setting in enumerate(settings)
                if metric in (values := points[world, setting])
            ]
            x, y = [x for x, _ in drawn], np.array([np.mean(v) for _, v in drawn])
            low, high = (np.array([f(v) for _, v in drawn]) for f in (min, max))
            # Methods have no order: nothing lies between two of them.
            line = "" if failure.setting == "method" else "--" if metric == EV else "-"
            reach = np.maximum(0, [y - low, high - y])  # rounding can leave a mean beyond them
            axis.errorbar(x, y, reach, fmt="o" + line, color=colour, label=metric, ms=4)
            if metric in failure.expected:
                axis.axhline(failure.expected[metric], color=colour, lw=0.8, ls=":")
        axis.set_xticks(range(len(settings)), [str(setting) for setting in settings])
        axis.set(xlabel=failure.setting, title=world, ylim=(-0.05, 1.05))
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(failure.title, fontsize=11)
    figure.savefig(path, dpi=150)


def _shown(values: list[float] | None) -> str:
    if not values:
        return "undefined"
    return f"{np.mean(values) + 0.0:.3f} [{min(values) + 0.0:.3f}, {max(values) + 0.0:.3f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="+", type=Path, help="folder of the finished suite")
    parser.add_argument("--out", type=Path, default=Path("docs/failure_modes"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
