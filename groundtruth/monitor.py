"""The monitor: scores a training loop while it runs, at a few per cent of its time.

The loop is the developer's own. `Monitor` takes the model as it is every so many steps, scores it
on a small draw of the score streams (never of the training stream) and leaves it as it was. What
goes wrong at one point is recorded there, and the training goes on.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from groundtruth import cache, evaluators, guard
from groundtruth.adapters import as_explanation
from groundtruth.cards import describe_testbed
from groundtruth.catalogue import build
from groundtruth.errors import HashMismatch, InputError, reject
from groundtruth.evaluators import METRICS, Comparison
from groundtruth.ladder import N_TRAIN
from groundtruth.ladder.rows import ROWS
from groundtruth.outputs import Outputs, take_outputs
from groundtruth.references import References
from groundtruth.rescoring import rebuild
from groundtruth.result import Result
from groundtruth.score_data import ScoreData, Scoring, as_scoring
from groundtruth.testbed import Testbed

WATCHED = (
    "recover.joint",
    "recover.joint_precision",
    "recover.recall",
    "recon.ev_total",
    "recon.l0",
    "recon.dead_frac",
)
"""Scored at every point, whatever else is asked for."""

SCORING = Scoring(n_select=8192, n_score=4096, n_positives=20)
"""A fifth of what `evaluate` scores on, except `select`: dead latents are told there."""

_HEADINGS = ("joint", "precision", "recall", "EV", "L0", "dead")
_ROWS = ("O0-identity", "O2*-linear")


class MonitorWarning(UserWarning):
    """A point could not be scored; said once, the history has every one."""


@dataclass(frozen=True)
class Point:
    """One scoring of a model in training.

    Fields:
        step, n_samples: where in the training; None where it was not said.
        results: by metric id, without evidence; empty where it failed.
        reason: why it failed; "" where it did not.
        seconds: what the scoring took.
    """

    step: int | None
    n_samples: int | None
    results: dict[str, Result] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.reason)

    def value(self, metric: str) -> float | None:
        """The metric's value; None where it is undefined or the point failed."""
        result = self.results.get(metric)
        return None if result is None else result.value


class Monitor:
    """Scores a model while a training loop of one's own trains it.

    Call it at every step; it scores at each multiple of `every`. Or pass `monitor.see` as the
    `watch` of a method that takes one. Scored is the model as it is: in eval mode, without
    gradients, on a copy of its decoder. Training flags, buffers, random states (of the graphics
    card too) and gradients are as before when it returns. A model that cannot be scored (NaN, a
    wrong shape) is one failed point in the history, with the reason and one warning for all.

    A point took as long as 6 to 21 steps of a plain TopK loop with batches of 1,024 (measured on
    worlds of 128 to 3,200 features): at the default `every`, 1 to 2 % of training. The first one
    also computes the linear ceiling (under a second to half a minute), which is cached.

    What it is not: a score to report. It rests on a fifth of the data, and a run that was
    stopped or tuned by it has been tuned on the truth. Score the final model with `gt.evaluate`.

    Args:
        testbed: a testbed, or its name (then built at seed 0).
        every: steps between points.
        metrics: ids or families to follow besides `WATCHED`. Those that rest on the row O1-prior
            (`recover.joint_o1`) are undefined here: that row is not worth its minutes.
        scoring: how much data scores; `SCORING` if None. Drawn once, never from the stream that
            trains.

    Attributes:
        history: list of `Point`, one per scoring.

    Raises:
        UnknownName, InputError: a name that does not exist, or an `every` below 1.

    Example:
        >>> import groundtruth as gt
        >>> world = gt.build("sparse/orthonormal", seed=0)
        >>> planted = gt.Dictionary(world.truth.features.directions, lambda x: x.clip(min=0))
        >>> monitor = gt.Monitor(world, every=100, scoring={"n_select": 1024, "n_score": 1024})
        >>> for step, x in enumerate(world.subject.batches(64, n=64 * 101)):
        ...     point = monitor(step, planted, n_samples=64 * (step + 1))
        >>> [(p.step, p.n_samples, p.value("recover.recall")) for p in monitor.history]
        [(0, 64, 1.0), (100, 6464, 1.0)]
    """

    def __init__(
        self,
        testbed: Testbed | str,
        every: int = 1000,
        *,
        metrics: Iterable[str] | str | None = None,
        scoring: Scoring | dict[str, Any] | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise reject("every", every, "a whole number of steps >= 1")
        testbed = build(testbed) if isinstance(testbed, str) else testbed
        if not isinstance(testbed, Testbed):
            raise reject("testbed", testbed, "a testbed or its name", 'Pass "sparse/small".')
        more = evaluators.names(metrics) if metrics is not None else []
        self.every = every
        self.metrics = tuple(dict.fromkeys((*WATCHED, *more)))
        self.history: list[Point] = []
        self._data = _HeldData(testbed, SCORING if scoring is None else as_scoring(scoring))
        self._warned = False

    @property
    def testbed(self) -> Testbed:
        return self._data.testbed

    @property
    def scoring(self) -> Scoring:
        return self._data.scoring

    def __call__(self, step: int, model: Any, *, n_samples: int | None = None) -> Point | None:
        """Score `model` if `step` is a multiple of `every`; the point, or None.

        Args:
            step: counted from 0.
            model: anything `gt.evaluate` scores as it is: a torch module with encode and a
                decoder, `gt.Dictionary`, a fitted scikit-learn estimator.
            n_samples: training samples seen so far, for the figure.
        """
        if step % self.every:
            return None
        return self.see(n_samples, model, step=step)

    def see(self, n_samples: int | None, model: Any, *, step: int | None = None) -> Point:
        """Score `model` now, and add the point to the history."""
        begun = time.perf_counter()
        results, reason = {}, ""
        try:
            results = self._score(model)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        point = Point(step, n_samples, results, reason, time.perf_counter() - begun)
        self.history.append(point)
        if point.failed and not self._warned:
            self._warned = True
            text = f"monitor: the model could not be scored{_place(point)}. {reason}"
            warnings.warn(text, MonitorWarning, stacklevel=2)
        return point

    def _score(self, model: Any) -> dict[str, Result]:
        with guard.restored(), _undisturbed(model):
            outputs = take_outputs(as_explanation(model), self._data)
            found = _scored(self._data, outputs, self._references, self.metrics)
        return {name: replace(result, evidence={}) for name, result in found.items()}

    @cached_property
    def _references(self) -> References:
        return _references(self._data)

    @property
    def seconds(self) -> float:
        """What all scoring took, the references included."""
        return sum(point.seconds for point in self.history)

    def __repr__(self) -> str:
        return f"Monitor({self.testbed!r}, every={self.every}, {len(self.history)} points)"

    def __str__(self) -> str:
        """A small table: one line per point."""
        more = self.metrics[len(WATCHED) :]
        head = f"{'samples':>12} {'step':>9}" + "".join(f" {h:>9}" for h in _HEADINGS)
        lines = [head + "".join(f" {metric:>{max(9, len(metric))}}" for metric in more)]
        lines += [_line(point, self.metrics) for point in self.history]
        truth = self.testbed.truth.features
        ceiling = self._ceiling("recover.joint")
        lines.append(
            f"{self.testbed.name} seed {self.testbed.recipe.seed}: {truth.n_features} features, "
            f"{truth.expected_l0:.3g} at a time"
            + ("." if ceiling is None else f"; linear ceiling of joint recall {ceiling:.3f}.")
        )
        return "\n".join(lines)

    def _ceiling(self, metric: str) -> float | None:
        known = (point.results.get(metric) for point in self.history)
        return next((r.ceiling for r in known if r is not None), None)

    def figure(self, path: str | Path) -> Path:
        """Draw recall, explained variance and dead latents against samples, as PNG or SVG.

        Against steps where the samples of a point are not known. Failed points are crosses.

        Raises:
            InputError: the history is empty, or `path` ends in neither .png nor .svg.
            StoreError: it cannot be written.
        """
        from groundtruth.reporting.curves import Moment, draw_training, write_drawing

        if not self.history:
            raise InputError("history: expected at least one point, got none. Call the monitor.")
        by_step = any(point.n_samples is None for point in self.history)
        moments = [
            Moment(
                (i if point.step is None else point.step) if by_step else point.n_samples or 0,
                {m: r for m, r in point.results.items() if m in WATCHED},
            )
            for i, point in enumerate(self.history)
        ]
        axis = "training steps" if by_step else "training samples"
        return write_drawing(path, lambda: draw_training(moments, self.testbed.name, axis))

    def to_json(self) -> dict[str, Any]:
        """The history as plain JSON, with the testbed and the scoring that it holds for."""
        return {
            "testbed": describe_testbed(self.testbed),
            "scoring": self.scoring.description(),
            "every": self.every,
            "metrics": list(self.metrics),
            "points": [_point_json(point) for point in self.history],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any] | str, testbed: Testbed | None = None) -> Monitor:
        """The monitor that wrote `data` (JSON, or its text), ready to go on.

        Args:
            testbed: the world, where no catalogue name builds it.

        Raises:
            HashMismatch: the world is another one.
            InputError: `data` is no history.
        """
        try:
            stored: Any = json.loads(data) if isinstance(data, str) else data
            card = stored["testbed"]
            world = rebuild(card) if testbed is None else testbed
            if world.hash != card["hash"]:
                raise HashMismatch(
                    f"{card['name']}: expected the world {card['hash'][:12]} of this history, got "
                    f"{world.hash[:12]}. Pass the testbed that it was made on."
                )
            monitor = cls(
                world, stored["every"], metrics=stored["metrics"], scoring=stored["scoring"]
            )
            monitor.history = [_read_point(point) for point in stored["points"]]
        except (KeyError, TypeError, json.JSONDecodeError) as fault:
            raise InputError(
                f"history: expected what Monitor.to_json gives, got {type(fault).__name__}: "
                f"{fault}."
            ) from fault
        return monitor


class _HeldData(ScoreData):
    """Score data that keeps what it draws: a monitor reads the same few blocks at every point."""

    def chunks(self, part: str) -> Iterator[Any]:
        held: dict[str, list[Any]] = self.__dict__.setdefault("_held", {})
        if part not in held:
            held[part] = list(super().chunks(part))
        yield from held[part]


def _references(data: ScoreData) -> References:
    """F1 of the linear detectors, and the ceilings of all metrics but those of O1-prior."""
    make = {row.id: row.make for row in ROWS if row.id in _ROWS}

    def compute() -> dict[str, np.ndarray]:
        outputs = {name: make[name](data, N_TRAIN, None).outputs for name in _ROWS}
        f1 = np.zeros(data.truth.n_features)
        linear = Comparison(data.truth, outputs["O2*-linear"], data, References(f1))
        rates = linear.firing.rates(linear.live, np.arange(len(linear.live)))
        f1[linear.live] = np.nan_to_num(rates.f1)
        values = {"f1": f1}
        for name in _ROWS:
            results = _scored(data, outputs[name], References(f1), tuple(sorted(METRICS)))
            found = [results[metric].value for metric in sorted(METRICS)]
            values[name] = np.array([math.nan if v is None else v for v in found])
        return values

    description = {
        "testbed": data.testbed.hash,
        "scoring": data.scoring.description(),
        "metrics": sorted(metric.key for metric in METRICS.values()),
    }
    held = cache.cached("monitor references", compute, description=description)
    ceilings = {
        name: {
            metric: float(value)
            for metric, value in zip(sorted(METRICS), held[name], strict=True)
            if not math.isnan(value)
        }
        for name in _ROWS
    }
    return References(held["f1"], None, ceilings, N_TRAIN)


def _scored(
    data: ScoreData, outputs: Outputs, known: References, metrics: tuple[str, ...]
) -> dict[str, Result]:
    return evaluators.score(Comparison(data.truth, outputs, data, known), metrics)


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Training flags and buffers of a torch model, and the random states of all devices, are put
    back. (`guard.restored` does the same for what belongs to the process.)"""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    owner = getattr(getattr(model, "encode", None), "__self__", model)
    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=cards):
        if not isinstance(owner, torch.nn.Module):
            yield
            return
        flags = [(part, part.training) for part in owner.modules()]
        buffers = [(name, held, held.clone()) for name, held in owner.named_buffers()]
        try:
            yield
        finally:
            for part, flag in flags:
                part.training = flag
            for name, held, before in buffers:
                # Written only where it changed: a graph that waits for its backward pass may
                # hold on to it.
                if not torch.equal(held, before):
                    held.copy_(before)
                place, _, attribute = name.rpartition(".")
                setattr(owner.get_submodule(place), attribute, held)


def _place(point: Point) -> str:
    if point.step is not None:
        return f" at step {point.step}"
    return "" if point.n_samples is None else f" at {point.n_samples:,} samples"


def _line(point: Point, metrics: tuple[str, ...]) -> str:
    samples = "-" if point.n_samples is None else f"{point.n_samples:,}"
    head = f"{samples:>12} {'-' if point.step is None else point.step:>9}"
    if point.failed:
        return f"{head}  failed: {point.reason}"
    return head + "".join(
        f" {_number(point.value(m)):>{9 if m in WATCHED else max(9, len(m))}}" for m in metrics
    )


def _number(value: float | None) -> str:
    # Adding 0 turns a rounded -0 into 0.
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"


def _point_json(point: Point) -> dict[str, Any]:
    return {
        "step": point.step,
        "n_samples": point.n_samples,
        "results": {name: result.to_json() for name, result in point.results.items()},
        "reason": point.reason,
        "seconds": point.seconds,
    }


def _read_point(data: dict[str, Any]) -> Point:
    results = {
        name: Result.from_json(result, replace(METRICS[name], version=result["version"]))
        for name, result in data["results"].items()
    }
    return Point(data["step"], data["n_samples"], results, data["reason"], data["seconds"])
