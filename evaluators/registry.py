"""The catalogue of metrics: each is a pure function of a `Comparison` that gives a `Result`.

A `Comparison` is the record (truth, outputs, data, references) with what several metrics share.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from groundtruth.errors import Undefined, UnknownName, reject
from groundtruth.result import Direction, Metric, Result, undefined

if TYPE_CHECKING:
    from groundtruth.evaluators.comparison import Comparison

Score = Callable[["Comparison"], Result]

METRICS: dict[str, Metric] = {}
_SCORES: dict[str, Score] = {}
_CEILINGS: dict[str, str] = {}

FAMILIES = (
    "recover",
    "act",
    "split",
    "merge",
    "compose",
    "hedge",
    "absorb",
    "part",
    "subspace",
    "manifold",
    "circuit",
    "cv",
    "causal",
    "steer",
    "trojan",
    "probe",
    "pred",
    "recon",
)
"""Recovery is shown first; reconstruction, which is never a success criterion, last."""

UNIT = (0.0, 1.0)
REAL = (-math.inf, math.inf)


def metric(
    id: str,
    version: int,
    direction: Direction,
    range: tuple[float, float],
    unit: str,
    *,
    ceiling: str = "",
    success: bool = True,
) -> Callable[[Callable[[Metric, Comparison], Result]], Score]:
    """Enter a scoring function in the catalogue; its docstring's first line is the summary.

    Args:
        ceiling: the reference row whose value is the ceiling, unless the function sets one.
    """

    def enter(function: Callable[[Metric, Comparison], Result]) -> Score:
        if id in METRICS:
            raise AssertionError(f"metric {id} is in the catalogue already")
        summary = (function.__doc__ or "").strip().split("\n")[0]
        entry = Metric(id, version, summary, direction, range, unit, success)

        @functools.wraps(function)
        def scored(comparison: Comparison) -> Result:
            try:
                return function(entry, comparison)
            except Undefined as reason:
                return undefined(entry, str(reason))

        METRICS[id], _SCORES[id], _CEILINGS[id] = entry, scored, ceiling
        return scored

    return enter


def explanation_of(id: str) -> str:
    """What the metric is not, and its sources: the docstring after its first line, on one line; ""
    of a metric that no function of a `Comparison` computes."""
    documented = inspect.getdoc(_SCORES[id]) if id in _SCORES else None
    return " ".join((documented or "").split("\n")[1:]).strip()


def names(wanted: Iterable[str] | None = None, known: Mapping[str, Metric] = METRICS) -> list[str]:
    """Ids of known metrics, family by family; a wanted id that does not exist is an error.

    A wanted "recover" stands for all ids that begin with "recover.".
    """
    if wanted is None:
        return sorted(known, key=lambda m: FAMILIES.index(m.partition(".")[0]))
    if not isinstance(wanted, Iterable):
        raise reject("metrics", wanted, "metric ids, or None for all")
    out: list[str] = []
    for name in [wanted] if isinstance(wanted, str) else wanted:
        name = str(name)
        family = [m for m in known if m == name or m.startswith(f"{name}.")]
        if not family:
            raise UnknownName("metric", name, known)
        out += [m for m in family if m not in out]
    return out


def score(comparison: Comparison, wanted: Iterable[str] | None = None) -> dict[str, Result]:
    """Results by metric id, each between its floor and its ceiling."""
    ceilings = comparison.references.ceilings
    return {name: with_ceiling(_SCORES[name](comparison), ceilings) for name in names(wanted)}


def with_ceiling(result: Result, ceilings: Mapping[str, Mapping[str, float]]) -> Result:
    """The result with the ceiling of its metric's reference row, unless it has one already."""
    row = _CEILINGS[result.metric.id]
    value = ceilings.get(row, {}).get(result.metric.id)
    if result.ceiling is not None or value is None:
        return result
    return result.between(result.floor, result.floor_kind, value, row)
