"""The report on one explanation: every score between its floor and ceiling, and a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from groundtruth.errors import UnknownName
from groundtruth.evaluators import METRICS, Comparison
from groundtruth.features import FeatureTable, feature_table
from groundtruth.outputs import FLAGS
from groundtruth.result import Result
from groundtruth.testbed import Testbed

HEADLINE = (
    "recover.joint",
    "recover.joint_precision",
    "recover.recall",
    "recon.ev_total",
    "recon.l0",
)
"""Shown first, in this order; the last two are context, never success."""


@dataclass(frozen=True)
class Report:
    """Results of one explanation on one testbed; `report["recover.joint"]` is a `Result`.

    `print(report)` shows the table; `report.features()` says which features were missed and why.
    """

    testbed: Testbed
    name: str
    seed: int
    results: dict[str, Result]
    comparison: Comparison = field(repr=False)

    def __getitem__(self, metric: str) -> Result:
        if metric in self.results:
            return self.results[metric]
        if metric in METRICS:
            raise UnknownName("computed metric of this report", metric, self.results)
        raise UnknownName("metric", metric, METRICS)

    def __contains__(self, metric: object) -> bool:
        return metric in self.results

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @property
    def flags(self) -> tuple[str, ...]:
        """What was odd about the method: see `groundtruth.outputs.FLAGS`."""
        return self.comparison.outputs.flags

    def features(self) -> FeatureTable:
        """Every planted feature with its status and the reason."""
        return self._features

    @cached_property
    def _features(self) -> FeatureTable:
        return feature_table(self.comparison)

    @cached_property
    def verdict(self) -> str:
        """One sentence: where the claim stands between chance and oracle, and what it misses."""
        joint, precision = (
            self.results.get("recover.joint"),
            self.results.get("recover.joint_precision"),
        )
        if joint is None:
            return f"{self.name} on {self.testbed.name}: recover.joint was not asked for."
        if joint.value is None:
            return f"{self.name} on {self.testbed.name}: no joint recall, {joint.reason}."
        text = verdict(self.name, self.testbed.name, joint, precision, self.results)
        if joint.status == "degenerate":
            text += f" Joint recall is degenerate: {joint.reason}."
        causes = self._features.causes().most_common(1)
        if causes:
            cause, count = causes[0]
            text += f" Of {self._features.causes().total()} missed, {count}: {cause}."
        return text

    def __str__(self) -> str:
        lines = [self.verdict, ""]
        lines += [f"warning: {FLAGS.get(flag, flag)}" for flag in self.flags]
        head = (
            f"{'metric':<30} {'value':>8} {'95% interval':>17} {'floor':>8} {'ceiling':>8} "
            f"{'normalised':>10}"
        )
        lines += [head, "-" * len(head)]
        defined = [m for m in self.results if self.results[m].value is not None]
        first = [m for m in HEADLINE if m in defined]
        rest = [m for m in defined if m not in first]
        lines += [result_line(self.results[m]) for m in first]
        lines += [""] * bool(first and rest)
        lines += [result_line(self.results[m]) for m in rest]
        lines += self._undefined_lines()
        truth = self.testbed.truth.features
        lines += [
            "",
            f"{self.testbed.name} seed {self.testbed.recipe.seed}: {truth.n_features} features in "
            f"{truth.d} dimensions, expected L0 {truth.expected_l0:.3g}, hash "
            f"{self.testbed.hash[:12]}. One world and one run: intervals are over features or "
            "samples, not over worlds.",
        ]
        return "\n".join(lines)

    def _undefined_lines(self) -> list[str]:
        """Undefined metrics, told once for each reason."""
        reasons: dict[str, list[str]] = {}
        for result in self.results.values():
            if result.value is None:
                reasons.setdefault(result.reason, []).append(result.metric.id)
        return [f"\nundefined: {reason}\n  {', '.join(ids)}" for reason, ids in reasons.items()]


_ARROWS = {"max": "\u2191", "min": "\u2193", "target": " "}


def verdict(
    name: str,
    testbed: str,
    joint: Result,
    precision: Result | None,
    results: dict[str, Result],
) -> str:
    """Where a claim stands, in one sentence."""
    assert joint.value is not None
    text = f"{name} on {testbed}: joint recall {joint.value:.3f}"
    if precision is not None and precision.value is not None:
        text += f" at joint precision {precision.value:.3f}"
    if joint.floor is not None and joint.ceiling is not None:
        text += f", between chance {joint.floor:.3f} and linear ceiling {joint.ceiling:.3f}"
    if joint.normalised is not None:
        text += f" ({round(joint.normalised, 2) + 0.0:.0%} of the way)"
    ev = results.get("recon.ev_total")
    if ev is not None and ev.value is not None:
        text += f"; it explains {ev.value:.0%} of the variance"
    return text + "."


def result_line(result: Result) -> str:
    """One row of the printed table."""
    interval = "" if result.interval is None else f"[{result.low:.3f}, {result.high:.3f}]"
    line = (
        f"{result.metric.id:<28} {_ARROWS[result.metric.direction]} {_number(result.value)} "
        f"{interval:>17} {_number(result.floor)} {_number(result.ceiling)} "
        f"{_number(result.normalised, 10)}"
    )
    return line + (f"  {result.status}: {result.reason}" if result.status != "ok" else "")


def _number(value: float | None, width: int = 8) -> str:
    # Adding 0 turns a rounded -0 into 0.
    return f"{'-':>{width}}" if value is None else f"{round(value, 3) + 0.0:{width}.3f}"
