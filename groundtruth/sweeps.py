"""`sweep`: one method over L0 and width, and the curve that makes two methods comparable.

A method that fires more latents explains more, so a single setting says little: what counts is
the score at the same measured L0, width and training data. A sweep runs the grid, keeps what was
measured beside what was asked for, and compares by interpolation between measured points.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from groundtruth import catalogue, evaluation, hashing, runner
from groundtruth import seeds as seeding
from groundtruth.adapters import as_method, is_method
from groundtruth.cards import describe_testbed
from groundtruth.catalogue import MethodEntry
from groundtruth.errors import InputError, reject
from groundtruth.evaluators import statistics
from groundtruth.reporting import read_runs
from groundtruth.rescoring import rebuild
from groundtruth.result import Result
from groundtruth.runner import Watch
from groundtruth.score_data import Scoring, as_scoring
from groundtruth.suites import MethodSpec
from groundtruth.testbed import Testbed
from groundtruth.trials import DictionaryTrial, Terms

JOINT, EV, L0 = "recover.joint", "recon.ev_total", "recon.l0"
_COLUMNS = (
    (JOINT, "joint"),
    ("recover.joint_precision", "precision"),
    ("recover.recall", "recall"),
    (EV, "EV"),
    ("recon.dead_frac", "dead"),
)


@dataclass(frozen=True)
class Row:
    """One run of a sweep.

    Fields:
        l0, k: as asked for; None where it was left to the method.
        seed: of the method, and of the world where the testbed was given by name.
        world: content hash of the testbed.
        parameters: all that the method was given.
        results: by metric id; those of a failed run stand at the floor.
        reason: why it failed; "" where it did not.
    """

    l0: float | None
    k: int | None
    seed: int
    world: str
    parameters: dict[str, Any]
    results: dict[str, Result]
    reason: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.reason)

    def value(self, metric: str) -> float | None:
        """The metric's value; at the floor if the run failed, None where undefined."""
        result = self.results.get(metric)
        return None if result is None else result.value

    @property
    def measured_l0(self) -> float | None:
        """Mean latents that fire per sample; None if the run failed."""
        return None if self.failed else self.value(L0)

    @property
    def measured_k(self) -> int | None:
        """Latents of the claim, dead ones included; None if the run failed."""
        dead = self.results.get("recon.dead_frac")
        return None if self.failed or dead is None else dead.n_units


@dataclass(frozen=True)
class Setting:
    """One setting of a sweep over its seeds.

    Fields:
        l0: geometric mean of the measured L0; as asked for, where every run failed.
        k: the width asked for.
        value, low, high: mean, least and largest of the metric; a failed run counts at the floor.
        n_runs, n_failed: runs in all, and those that failed.
    """

    l0: float
    k: int | None
    value: float
    low: float
    high: float
    n_runs: int
    n_failed: int


@dataclass(frozen=True)
class Matched:
    """Two sweeps at one L0.

    Fields:
        l0: where both are interpolated, linear in log L0.
        first, second: mean over seeds.
        difference, low, high: mean of first - second, paired by seed, with Student's 95 %
            interval; no interval for a single seed.
        n_seeds: pairs.
    """

    l0: float
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    n_seeds: int


@dataclass(frozen=True)
class MatchedComparison:
    """What `Sweep.compare` found.

    Fields:
        metric: that was compared.
        names: of the two sweeps.
        rows: one per L0.
        area: as a row, for the mean over log L0 between the ends of the common range; its `l0` is
            the geometric middle.
        unmatched: what differs besides the method: width, training samples. Empty if the budget
            is the same.
        n_worlds: among the pairs. On a single one, intervals are over training seeds alone.
    """

    metric: str
    names: tuple[str, str]
    rows: tuple[Matched, ...]
    area: Matched
    unmatched: tuple[str, ...]
    n_worlds: int

    def __str__(self) -> str:
        first, second = self.names
        lines = [f"{self.metric} at matched L0: {first} - {second}"]
        lines += [f"unmatched: {why}" for why in self.unmatched]
        lines.append(
            f"{'L0':>8} {'first':>8} {'second':>8} {'difference':>11} {'95% interval':>18}"
        )
        lines += [_matched_line(f"{row.l0:8.2f}", row) for row in self.rows]
        lines.append(_matched_line(f"{'mean':>8}", self.area))
        n, worlds = self.area.n_seeds, self.n_worlds
        over = "worlds" if worlds == n else f"training seeds on {worlds} world{'s' * (worlds > 1)}"
        lines.append(
            f"Paired over {n} {over}." if n > 1 else "One pair: no interval; the order may be luck."
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class Sweep:
    """All runs of a sweep; prints as a table.

    Fields:
        name: of the method.
        testbed: plain JSON about the world (of the first seed).
        rows: in the order of the grid: width, L0, seed.
        n_samples: training samples of every run; None where the method does not say.
        interrupted: cut short, or another process holds some runs; `rows` has what was done.
    """

    name: str
    testbed: dict[str, Any]
    rows: tuple[Row, ...]
    n_samples: int | None = None
    interrupted: bool = False

    @property
    def widths(self) -> tuple[int | None, ...]:
        """Widths asked for, in their order."""
        return tuple(dict.fromkeys(row.k for row in self.rows))

    def curve(self, metric: str = JOINT, *, k: int | None = None) -> tuple[Setting, ...]:
        """The settings of width `k` by rising measured L0; of the only width, if k is None.

        Raises:
            InputError: `k` was not run, or is None where several widths were.
        """
        here = [row for row in self.rows if row.k == self._width(k)]
        asked = dict.fromkeys(row.l0 for row in here)
        settings = [_setting(metric, [row for row in here if row.l0 == l0]) for l0 in asked]
        return tuple(sorted((s for s in settings if s is not None), key=lambda s: s.l0))

    def pareto(self, metric: str = JOINT, *, k: int | None = None) -> tuple[Setting, ...]:
        """The settings of `curve` that no other beats: none has a lower L0 and as high a value."""
        front: list[Setting] = []
        for setting in self.curve(metric, k=k):
            if not front or setting.value > front[-1].value:
                front.append(setting)
        return tuple(front)

    def compare(
        self,
        other: Sweep,
        *,
        l0: Iterable[float] | float | None = None,
        k: int | None = None,
        metric: str = JOINT,
    ) -> MatchedComparison:
        """This sweep minus another at the same measured L0, seed by seed.

        Values are interpolated linearly in log L0 between neighbouring measured points of the
        same seed, and never extrapolated. `area` is the mean over log L0 of the common range.

        Args:
            l0: where to compare; None is five points spread evenly in log L0 over the range that
                all runs of both sweeps cover.
            k: the width, needed where a sweep has several.

        Raises:
            InputError: other worlds, no common seed, no common range of L0, an L0 outside it, or
                fewer than two measured L0 for a seed.
        """
        common = _common_seeds(self, other)
        pairs = [(_line(self, metric, k, seed), _line(other, metric, k, seed)) for seed in common]
        low = max(line[0][0] for pair in pairs for line in pair)
        high = min(line[0][-1] for pair in pairs for line in pair)
        if low >= high:
            raise InputError(
                f"l0: expected a range that all runs of both sweeps cover, got measured L0 from "
                f"{math.exp(low):.3g} at least to {math.exp(high):.3g} at most. Sweep further."
            )
        even = np.geomspace(math.exp(low), math.exp(high), 5)
        wanted = _numbers("l0", even if l0 is None else l0)
        # exp(log(x)) is x but for rounding.
        outside = [x for x in wanted if not low - 1e-9 <= math.log(x) <= high + 1e-9]
        if outside:
            raise InputError(
                f"l0: expected values within the measured {math.exp(low):.3g} to "
                f"{math.exp(high):.3g} of both sweeps, got {outside[0]:g}. Values are "
                "interpolated, never extrapolated: run both sweeps further."
            )
        rows = [
            _matched(
                x, [(_at(first, math.log(x)), _at(second, math.log(x))) for first, second in pairs]
            )
            for x in wanted
        ]
        areas = [(_mean_over(a, low, high), _mean_over(b, low, high)) for a, b in pairs]
        return MatchedComparison(
            metric,
            (self.name, other.name),
            tuple(rows),
            _matched(math.exp((low + high) / 2), areas),
            tuple(_unmatched(self, other, k)),
            len({row.world for row in self.rows if row.seed in common}),
        )

    def figure(self, path: str | Path, *others: Sweep) -> Path:
        """Draw joint recall and explained variance against measured L0, as PNG or SVG.

        Args:
            others: sweeps on the same testbed to draw beside this one.

        Raises:
            InputError: nothing can be drawn, or `path` ends in neither .png nor .svg.
            StoreError: it cannot be written.
        """
        from groundtruth.reporting.curves import Bounds, draw_sweep, write_drawing

        sweeps = (self, *others)
        several = len({sweep.name for sweep in sweeps}) > 1
        curves = [c for sweep in sweeps for c in _curves(sweep, several)]
        if not curves:
            raise InputError("figure: expected at least one run with a measured L0, got none.")
        rows = [row for sweep in sweeps for row in sweep.rows]
        known = [row.results[JOINT] for row in rows if JOINT in row.results]
        bounds = Bounds(
            max((r.floor for r in known if r.floor is not None), default=None),
            next((r.ceiling for r in known if r.ceiling is not None), None),
            self.testbed["expected_l0"],
        )
        return write_drawing(path, lambda: draw_sweep(curves, self.testbed["name"], bounds))

    def __str__(self) -> str:
        head = f"{'k':>7} {'l0':>7} {'seed':>4} {'measured':>9}"
        head += "".join(f" {name:>9}" for _, name in _COLUMNS)
        failed = sum(row.failed for row in self.rows)
        card = self.testbed
        lines = [
            f"{self.name} on {card['name']}: {len(self.rows)} runs"
            + (f", {failed} failed and count at the floor" if failed else "")
            + (", interrupted" if self.interrupted else ""),
            head,
            *map(_row_line, self.rows),
            f"{card['n_features']} features, {card['expected_l0']:.3g} at a time.",
        ]
        return "\n".join(lines)

    def _width(self, k: int | None) -> int | None:
        if k is None and len(self.widths) == 1:
            return self.widths[0]
        if k not in self.widths or k is None:
            raise reject("k", k, f"one of the widths {', '.join(map(str, self.widths))}")
        return k


def sweep(
    method: str | Callable[..., Any],
    testbed: str | Testbed,
    *,
    l0: Iterable[float] | float | None = None,
    k: Iterable[int] | int | None = None,
    seeds: Iterable[int] | int | None = None,
    scoring: Scoring | dict[str, Any] | None = None,
    out: str | Path | None = None,
    jobs: int = 1,
    watch: Watch | None = None,
    **parameters: Any,
) -> Sweep:
    """Run a method at every L0 and width, and keep what was asked for beside what was measured.

    A run that fails is a row at the floor with its reason; the rest goes on.

    Args:
        method: a name from `groundtruth list methods`, "package.module:function", or a callable
            `method(subject, *, seed, ...)`.
        testbed: a name: each seed is a world of its own, on which the method runs with that seed.
            Or a testbed: this one world, and seeds are those of the method.
        l0: values of the sparsity parameter, given to the method as `l0`.
        k: widths in latents, given as `width`, or as `k` if the method has no `width`.
        seeds: 0 if None; with `out` and a testbed, its own seed.
        scoring: how much data scores.
        out: a folder to keep every run in, so that the same call goes on where it stopped;
            `groundtruth report` reads it. The method must then have a name and defaults for all
            its parameters, and the testbed be one of the catalogue.
        jobs: processes at a time; needs `out`.
        watch: watch(label, finished, total), called as runs start and finish.
        parameters: given to the method as they are.

    Returns:
        Sweep. An interruption (Ctrl-C) is passed on where `out` keeps the runs; without `out` it
        ends the sweep, which is returned with `interrupted` set.

    Raises:
        UnknownName, InputError: before anything runs, what does not exist or is out of range.

    Example:
        >>> import groundtruth as gt
        >>> from groundtruth.methods import random_directions
        >>> small = {"n_select": 1024, "n_score": 2048}
        >>> found = gt.sweep(random_directions, "sparse/small", l0=[2, 8], scoring=small)
        >>> [(row.l0, round(row.measured_l0)) for row in found.rows]
        [(2, 2), (8, 8)]
    """
    entry = _entry(method)
    catalogue.check_explains(entry, "dictionary", "a sweep")
    names = _names(entry, l0=l0, k=k)
    grid = _grid(entry, names, l0, k, parameters)
    own = testbed.recipe.seed if isinstance(testbed, Testbed) and out is not None else 0
    wanted = _listed("seeds", own if seeds is None else seeds)
    chosen = [seeding.check_seed(seed) for seed in wanted]
    settings = as_scoring(scoring)
    if out is not None:
        named = replace(entry, name=_importable(method, entry))
        return _stored(named, testbed, grid, names, chosen, settings, Path(out), jobs, watch)
    if jobs != 1:
        raise reject("jobs", jobs, "1 without out=", "Pass out=folder to use processes.")
    return _here(entry, testbed, grid, names, chosen, settings, watch)


# --- running --------------------------------------------------------------------------------


def _here(
    entry: MethodEntry,
    testbed: str | Testbed,
    grid: list[dict[str, Any]],
    names: dict[str, str],
    chosen: list[int],
    scoring: Scoring,
    watch: Watch | None,
) -> Sweep:
    """The grid in this process, kept in memory."""
    terms = Terms(scoring)
    if isinstance(testbed, Testbed):
        trials = dict.fromkeys(chosen, DictionaryTrial(testbed, terms))
    else:
        built = {seed: catalogue.build(testbed, seed=seed) for seed in chosen}
        trials = {seed: DictionaryTrial(world, terms) for seed, world in built.items()}
    total, rows, interrupted = len(grid) * len(chosen), [], False
    try:
        for given, seed in itertools.product(grid, chosen):
            if watch is not None:
                watch(f"{_label(entry.name, given)} seed {seed}", len(rows), total)
            rows.append(_run(entry, trials[seed], given, names, seed))
            if watch is not None:
                watch(f"{_label(entry.name, given)} seed {seed}", len(rows), total)
    except KeyboardInterrupt:
        interrupted = True
    return Sweep(
        entry.name, trials[chosen[0]].card(), tuple(rows), _budget(entry, grid), interrupted
    )


def _run(
    entry: MethodEntry,
    trial: DictionaryTrial,
    given: dict[str, Any],
    names: dict[str, str],
    seed: int,
) -> Row:
    reason = ""
    try:
        found = evaluation.explain(trial, _bound(entry, given), seed=seed)
        report = trial.report(found.explanation, name=entry.name, seed=seed, flags=found.flags)
        results = {m: replace(r, evidence={}) for m, r in report.results.items()}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        results = _at_floor(trial, reason)
    return _row(given, names, seed, trial.testbed.hash, results, reason)


def _at_floor(trial: DictionaryTrial, reason: str) -> dict[str, Result]:
    """Every metric at its floor, as a suite counts a failed run."""
    return {
        metric: replace(r, value=r.floor, status="failed", reason=reason, low=None, high=None)
        for metric, r in trial.bounds().items()
    }


def _stored(
    entry: MethodEntry,
    testbed: str | Testbed,
    grid: list[dict[str, Any]],
    names: dict[str, str],
    chosen: list[int],
    scoring: Scoring,
    out: Path,
    jobs: int,
    watch: Watch | None,
) -> Sweep:
    """The grid as single runs of a suite, kept in the folder `out`."""
    world, changes = testbed, {}
    if isinstance(testbed, Testbed):
        if chosen != [testbed.recipe.seed]:
            raise reject(
                "seeds",
                chosen,
                f"[{testbed.recipe.seed}], the seed of this testbed, with out=",
                "Pass the testbed by name: each seed is then a world of its own.",
            )
        rebuild(describe_testbed(testbed))
        world, changes = testbed.recipe.name, testbed.recipe.parameters
    suite = runner.single(
        str(world), entry.name, seed=chosen[0], parameters={}, testbed_parameters=changes
    )
    specs = tuple(MethodSpec(entry.name, given) for given in grid)
    worlds = (replace(suite.worlds[0], methods=specs, seeds=tuple(chosen)),)
    suite = replace(suite, worlds=worlds, scoring=scoring)
    ran = runner.run_suite(suite, out, jobs=jobs, watch=watch, lock=False)
    runs = [run for run in read_runs(ran.records) if run.method == entry.name]
    rows = [
        _row(given, names, seed, run.world.hash, run.results, run.error if run.failed else "")
        for given, seed in itertools.product(grid, chosen)
        for run in runs
        if run.seed == seed and run.parameters == hashing.jsonable(given)
    ]
    card = describe_testbed(catalogue.build(str(world), seed=chosen[0], **changes))
    return Sweep(entry.name, card, tuple(rows), _budget(entry, grid), bool(ran.busy))


def _row(
    given: dict[str, Any],
    names: dict[str, str],
    seed: int,
    world: str,
    results: dict[str, Result],
    reason: str,
) -> Row:
    l0, k = (given.get(names[name]) if name in names else None for name in ("l0", "k"))
    return Row(l0, k, seed, world, given, results, reason)


# --- what was asked for ---------------------------------------------------------------------


def _entry(method: str | Callable[..., Any]) -> MethodEntry:
    if isinstance(method, str):
        entry = catalogue.method(method)
        if entry.make is None:
            raise reject("method", method, "a method", "Rows of the ladder have no parameters.")
        return entry
    # A callable whose l0 has no default is a method once l0 is bound; `_grid` checks that.
    call = method if callable(method) and is_method(method) else as_method(method)
    inner = getattr(method, "func", method)  # of a functools.partial
    return MethodEntry(getattr(inner, "__name__", type(method).__name__), "method", "", call)


def _names(entry: MethodEntry, *, l0: object, k: object) -> dict[str, str]:
    """The method's own words for "l0" and "k", for what is swept.

    Raises:
        InputError: neither is swept, or the method has no such parameter.
    """
    assert entry.make is not None
    taken = inspect.signature(entry.make).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    if l0 is None and k is None:
        raise InputError("sweep: expected l0=[...] or k=[...], got neither. Nothing is swept.")
    found = {}
    for name, given, words in (("l0", l0, ("l0",)), ("k", k, ("width", "k"))):
        if given is None:
            continue
        word = next((w for w in words if w in taken), words[0] if anything else None)
        if word is None:
            raise InputError(
                f"{name}: expected {entry.name} to have a parameter {' or '.join(words)}, but it "
                f"takes {', '.join(entry.parameters()) or 'none'}. Wrap it in a function that has."
            )
        found[name] = word
    return found


def _grid(
    entry: MethodEntry,
    names: dict[str, str],
    l0: Iterable[float] | float | None,
    k: Iterable[int] | int | None,
    parameters: dict[str, Any],
) -> list[dict[str, Any]]:
    """The parameters of every setting, by width and then by L0."""
    for word in names.values():
        if word in parameters:
            raise reject(word, parameters[word], "to be swept or fixed, not both")
    catalogue.check_parameters(entry, {**parameters, **dict.fromkeys(names.values())})
    widths = [None] if k is None else _numbers("k", k)
    sparsities = [None] if l0 is None else _numbers("l0", l0)
    for width, value in itertools.product(widths, sparsities):
        if width is not None and width != int(width):
            raise reject("k", width, "whole numbers of latents")
        if width is not None and value is not None and value > width:
            raise reject("l0", value, f"at most the width {width}, of every width swept")
    settings = [(("k", width), ("l0", value)) for width in widths for value in sparsities]
    grid = [
        {**parameters, **{names[name]: value for name, value in setting if value is not None}}
        for setting in settings
    ]
    as_method(_bound(entry, grid[0]))
    return grid


def _bound(entry: MethodEntry, given: dict[str, Any]) -> Callable[..., Any]:
    assert entry.make is not None
    return functools.partial(entry.make, **given)


def _importable(method: str | Callable[..., Any], entry: MethodEntry) -> str:
    """The name by which a later call, or another process, finds the method again."""
    if isinstance(method, str):
        return method
    known = (name for name, other in catalogue.METHODS.items() if other.make is method)
    if (name := next(known, None)) is not None:
        return name
    module = getattr(method, "__module__", None)
    attribute = getattr(method, "__qualname__", "")
    found = getattr(sys.modules.get(module or ""), attribute, None)
    if module in (None, "__main__") or found is not method:
        raise reject(
            "method",
            entry.name,
            "a method with a name, with out=",
            'Put it in a module and pass "my_module:my_method", or leave out= away.',
        )
    return f"{module}:{attribute}"


def _budget(entry: MethodEntry, grid: list[dict[str, Any]]) -> int | None:
    """Training samples of every run, where the method calls them n_samples and says how many."""
    found = grid[0].get("n_samples", entry.parameters().get("n_samples"))
    return found if isinstance(found, int) else None


def _numbers(name: str, value: Any) -> list[Any]:
    """Numbers above 0, each once."""
    out = []
    for number in _listed(name, value):
        wrong = isinstance(number, bool) or not isinstance(number, (int, float, np.number))
        if wrong or not (math.isfinite(number) and number > 0):
            raise reject(name, number, "numbers above 0", f"Pass for example {name}=[4, 8, 16].")
        out.append(number.item() if isinstance(number, np.number) else number)
    return list(dict.fromkeys(out))


def _listed(name: str, value: Any) -> list[Any]:
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not listed:
        raise reject(name, value, "at least one value")
    return list(dict.fromkeys(listed))


# --- curves ---------------------------------------------------------------------------------


def _setting(metric: str, rows: Sequence[Row]) -> Setting | None:
    """The rows of one setting as a point of a curve; None where it has no place on it."""
    values = [value for row in rows if (value := row.value(metric)) is not None]
    places = [place for row in rows if (place := row.measured_l0)]
    asked = rows[0].l0
    if not values or (not places and asked is None):
        return None
    l0 = math.exp(float(np.mean(np.log(places)))) if places else float(asked or 0)
    return Setting(
        l0,
        rows[0].k,
        float(np.mean(values)),
        min(values),
        max(values),
        len(rows),
        sum(row.failed for row in rows),
    )


def _line(sweep: Sweep, metric: str, k: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(log L0, value) of one seed, by rising L0; runs of equal L0 are averaged."""
    width = sweep._width(k)
    found: dict[float, list[float]] = {}
    for row in sweep.rows:
        # A run that fires nothing has no measured place on a log axis: where it was asked for.
        place = row.l0 if row.failed else row.measured_l0 or row.l0
        value = row.value(metric)
        if row.k == width and row.seed == seed and place and value is not None:
            found.setdefault(math.log(place), []).append(value)
    if len(found) < 2:
        raise InputError(
            f"{sweep.name}: expected at least two measured L0 at seed {seed} to interpolate "
            f"between, got {len(found)}. Sweep over more values: l0=[...]."
        )
    xs = sorted(found)
    return np.array(xs), np.array([np.mean(found[x]) for x in xs])


def _at(line: tuple[np.ndarray, np.ndarray], x: float) -> float:
    return float(np.interp(x, *line))


def _mean_over(line: tuple[np.ndarray, np.ndarray], low: float, high: float) -> float:
    """Mean of a piecewise linear curve between low and high."""
    xs, _ = line
    knots = np.concatenate([[low], xs[(xs > low) & (xs < high)], [high]])
    return float(np.trapezoid(np.interp(knots, *line), knots) / (high - low))


def _matched(l0: float, pairs: Sequence[tuple[float, float]]) -> Matched:
    first, second = np.array(pairs, dtype=np.float64).T
    difference = first - second
    low = high = None
    if len(pairs) > 1:
        _, low, high = statistics.t_interval(difference)
    mean = float(difference.mean())
    return Matched(l0, float(first.mean()), float(second.mean()), mean, low, high, len(pairs))


def _common_seeds(first: Sweep, second: Sweep) -> list[int]:
    """Seeds that both ran, on the same worlds."""
    worlds = [{row.seed: row.world for row in sweep.rows} for sweep in (first, second)]
    common = [seed for seed in worlds[0] if seed in worlds[1]]
    if not common:
        shown = " and ".join(f"{list(w)} of {s.name}" for w, s in zip(worlds, (first, second)))
        raise InputError(f"seeds: expected seeds in common, got {shown}. Pairs need both runs.")
    other = [seed for seed in common if worlds[0][seed] != worlds[1][seed]]
    if other:
        raise InputError(
            f"testbed: expected both sweeps on the same worlds, got {worlds[0][other[0]][:12]} and "
            f"{worlds[1][other[0]][:12]} at seed {other[0]}. Run both on one testbed."
        )
    return common


def _unmatched(first: Sweep, second: Sweep, k: int | None) -> list[str]:
    """What differs between the budgets of two sweeps."""
    out = []
    widths = [
        sorted({r.measured_k for r in s.rows if r.k == s._width(k) and r.measured_k is not None})
        for s in (first, second)
    ]
    if widths[0] != widths[1]:
        out.append(f"width {_shown(widths[0])} and {_shown(widths[1])}")
    samples = [s.n_samples for s in (first, second)]
    if None in samples:
        out.append(
            "training samples, not stated by "
            + " and ".join(s.name for s in (first, second) if s.n_samples is None)
        )
    elif samples[0] != samples[1]:
        out.append(f"training samples {samples[0]:,} and {samples[1]:,}")
    return out


def _shown(values: Sequence[object]) -> str:
    return "/".join(map(str, values)) or "unknown"


def _curves(sweep: Sweep, several: bool) -> list[Any]:
    """What `figure` draws of a sweep."""
    from groundtruth.reporting.curves import Curve, Spot

    out = []
    for width in sweep.widths:
        here = [row for row in sweep.rows if row.k == width]
        spots = []
        for l0 in dict.fromkeys(row.l0 for row in here):
            rows = [row for row in here if row.l0 == l0]
            joint, ev = _setting(JOINT, rows), _setting(EV, rows)
            place = joint if joint is not None else ev
            if place is not None:
                spots.append(
                    Spot(
                        place.l0,
                        None if joint is None else joint.value,
                        None if ev is None else ev.value,
                        None if joint is None else (joint.low, joint.high),
                        None if ev is None else (ev.low, ev.high),
                        place.n_failed > 0,
                    )
                )
        label = " ".join([sweep.name] * several + [f"k = {width}"] * (width is not None))
        if spots:
            ordered = tuple(sorted(spots, key=lambda spot: spot.l0))
            out.append(Curve(label or sweep.name, ordered))
    return out


# --- text -----------------------------------------------------------------------------------


def _label(name: str, given: dict[str, Any]) -> str:
    return f"{name} ({', '.join(f'{key}={value}' for key, value in given.items())})"


def _row_line(row: Row) -> str:
    k, l0 = ("-" if value is None else f"{value:g}" for value in (row.k, row.l0))
    text = f"{k:>7} {l0:>7} {row.seed:>4}"
    if row.failed:
        return f"{text}  failed: {row.reason}"
    return f"{text} {_number(row.measured_l0, 2):>9}" + "".join(
        f" {_number(row.value(metric)):>9}" for metric, _ in _COLUMNS
    )


def _matched_line(head: str, row: Matched) -> str:
    interval = "" if row.low is None else f"[{row.low:+.3f}, {row.high:+.3f}]"
    return f"{head} {row.first:8.3f} {row.second:8.3f} {row.difference:+11.3f} {interval:>18}"


def _number(value: float | None, digits: int = 3) -> str:
    # Adding 0 turns a rounded -0 into 0.
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"
