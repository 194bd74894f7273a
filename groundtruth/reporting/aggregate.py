"""Means over worlds, or over testbeds: what a row of the table holds.

A world is the unit. The interval is Student's over the runs of one method, one per world; a
single run keeps its own interval, which is over features or samples, and is marked n=1. Where all
worlds give the same value there is no interval. A failed run counts at the floor. An undefined one
is left out of the mean, counted, and its reason kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from groundtruth import ladder
from groundtruth.evaluators import statistics
from groundtruth.reporting import naming
from groundtruth.reporting.runs import KINDS, Kind, Run, World
from groundtruth.reporting.views import JOINT, VIEWS, View
from groundtruth.result import Metric, Result


@dataclass(frozen=True)
class Mean:
    """One metric of one method, over its runs.

    Fields:
        value: mean over the runs where it is defined, failed ones at the floor; None if nowhere.
        low, high: 95 % interval, cut to the metric's range; None where there is none.
        over: what the interval is over: "worlds", "testbeds", "one run" or "".
        floor, ceiling, normalised: means of what the runs state; a failed run's normalised is 0.
        n_runs, n_undefined, n_failed: runs in all, left out, and counted at the floor.
        reason: the first reason why a run was left out.
    """

    metric: Metric
    value: float | None
    low: float | None
    high: float | None
    over: str
    floor: float | None
    ceiling: float | None
    normalised: float | None
    n_runs: int
    n_undefined: int
    n_failed: int
    reason: str

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Row:
    """One method on one testbed, or on several, of which each counts once; `row[metric]` is its
    `Mean`, None where it was not computed."""

    label: str
    kind: Kind
    runs: tuple[Run, ...]

    @cached_property
    def means(self) -> dict[str, Mean]:
        names = dict.fromkeys(name for run in self.runs for name in run.results)
        return {name: _mean(name, self.runs) for name in names}

    def __getitem__(self, metric: str) -> Mean | None:
        return self.means.get(metric)

    def value(self, metric: str) -> float | None:
        """The mean itself; None where undefined or not computed."""
        mean = self[metric]
        return None if mean is None else mean.value

    def merit(self, metric: str) -> float | None:
        """The mean with the sign by which more is better."""
        mean = self[metric]
        if mean is None or mean.value is None:
            return None
        return -mean.value if mean.metric.direction == "min" else mean.value

    @property
    def n_failed(self) -> int:
        return sum(run.failed for run in self.runs)

    @property
    def width(self) -> str:
        """Latents, where the parameters name them; a range where runs differ."""
        found = {run.parameters.get("width") for run in self.runs}
        widths = sorted(w for w in found if isinstance(w, int) and not isinstance(w, bool))
        if not widths:
            return ""
        return str(widths[0]) if len(widths) == 1 else f"{widths[0]}-{widths[-1]}"

    @property
    def sign_mode(self) -> str:
        """ "signed", "absolute", both, or "" where no result says."""
        # Of the primary metric: metrics kept for comparison have a mode of their own.
        found = {
            run.results[JOINT].parameters.get("sign_mode")
            for run in self.runs
            if JOINT in run.results
        }
        return "/".join(sorted(mode for mode in found if isinstance(mode, str)))


@dataclass(frozen=True)
class Section:
    """One testbed, or several together: oracles in ladder order, methods by the primary metric,
    controls in ladder order."""

    testbed: str
    rows: tuple[Row, ...]
    n_testbeds: int = 1

    @property
    def view(self) -> View:
        """How its claims are shown."""
        return VIEWS[self.worlds[0].view]

    def of(self, kind: Kind) -> list[Row]:
        """The rows of one kind."""
        return [row for row in self.rows if row.kind == kind]

    @property
    def runs(self) -> list[Run]:
        return [run for row in self.rows for run in row.runs]

    @property
    def worlds(self) -> list[World]:
        """Every world once, in the order of the runs."""
        return list({run.world.hash: run.world for run in self.runs}.values())

    @property
    def sign_modes(self) -> set[str]:
        """More than one if rows may not be compared without a mark."""
        return {row.sign_mode for row in self.rows if row.sign_mode}

    def chance(self, metric: str) -> float | None:
        """Mean floor over the methods, else over all rows."""
        return self._bound(metric, "floor")

    def ceiling(self, metric: str) -> float | None:
        """Mean ceiling over the methods, else over all rows."""
        return self._bound(metric, "ceiling")

    def _bound(self, metric: str, which: str) -> float | None:
        for rows in (self.of("method"), list(self.rows)):
            means = [mean for row in rows if (mean := row[metric]) is not None]
            known = [b for mean in means if (b := getattr(mean, which)) is not None]
            if known:
                return float(np.mean(known))
        return None


def aggregate(runs: Sequence[Run]) -> list[Section]:
    """One section per group of several testbeds, then one per testbed, in the order in which they
    first appear."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.world.group:
            groups.setdefault(run.world.group, []).append(run)
    together = [
        _section(f"all testbeds: {group}", there)
        for group, there in groups.items()
        if len({run.testbed for run in there}) > 1
    ]
    return together + [
        _section(testbed, [run for run in runs if run.testbed == testbed])
        for testbed in dict.fromkeys(run.testbed for run in runs)
    ]


def _section(testbed: str, runs: list[Run]) -> Section:
    groups: dict[tuple[Kind, str], None] = {(run.kind, run.label): None for run in runs}
    rows = [
        Row(label, kind, tuple(r for r in runs if (r.kind, r.label) == (kind, label)))
        for kind, label in groups
    ]
    n_testbeds = len({run.testbed for run in runs})
    return Section(testbed, tuple(sorted(rows, key=_order)), n_testbeds)


def _order(row: Row) -> tuple[int, float, str]:
    group = KINDS.index(row.kind)
    if row.kind == "method":
        merit = row.merit(VIEWS[row.runs[0].world.view].primary)
        return group, np.inf if merit is None else -merit, row.label
    ids = ladder.row_ids()
    name = row.runs[0].method
    return group, ids.index(name) if name in ids else len(ids), row.label


def _mean(name: str, runs: Sequence[Run]) -> Mean:
    by_testbed: dict[str, list[Result]] = {}
    for run in runs:
        if name in run.results:
            by_testbed.setdefault(run.testbed, []).append(run.results[name])
    several = len({run.testbed for run in runs}) > 1
    found = [r for results in by_testbed.values() for r in results]
    if several:
        found = [_joined(results) for results in by_testbed.values()]
    defined = [r for r in found if r.value is not None]
    low, high, over = _interval(defined, "testbeds" if several else "worlds")
    return Mean(
        metric=found[0].metric,
        value=_average(r.value for r in defined),
        low=low,
        high=high,
        over=over,
        floor=_average(r.floor for r in found),
        ceiling=_average(r.ceiling for r in found),
        normalised=_average(0.0 if r.status == "failed" else r.normalised for r in defined),
        n_runs=len(found),
        n_undefined=len(found) - len(defined),
        n_failed=sum(r.status == "failed" for r in found),
        reason=naming.one_line(next((r.reason for r in found if r.value is None), "")),
    )


def _joined(results: list[Result]) -> Result:
    """The mean over the runs on one testbed, as one result of it."""
    defined = [r for r in results if r.value is not None]
    if not defined:
        return results[0]
    return replace(
        defined[0],
        value=_average(r.value for r in defined),
        floor=_average(r.floor for r in defined),
        ceiling=_average(r.ceiling for r in defined),
        low=None,
        high=None,
        status="failed" if all(r.status == "failed" for r in defined) else "ok",
    )


def _interval(defined: list[Result], over: str) -> tuple[float | None, float | None, str]:
    if len(defined) == 1:
        only = defined[0]
        return only.low, only.high, "one run" if only.interval else ""
    if not defined:
        return None, None, ""
    values = [r.value for r in defined if r.value is not None]
    # Equal values say nothing about their spread; an interval of width zero would claim it is none.
    if max(values) - min(values) <= 1e-12 * max(1.0, abs(values[0])):
        return None, None, ""
    _, low, high = statistics.t_interval(values)
    least, most = defined[0].metric.range
    return max(low, least), min(high, most), over


def _average(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
