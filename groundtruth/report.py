"""The report on one explanation: every score between its floor and ceiling, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
        """Where the claim stands between chance and oracle, what it misses, what to change first.

        One sentence for each; the last is that of the first rule in `RULES` that holds.
        """
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
        change = first_change(self.results)
        return text + _missed(self._features) + ("" if change is None else f" {change.said}")

    def __str__(self) -> str:
        lines = [self.verdict, ""]
        lines += [f"warning: {FLAGS.get(flag, flag)}" for flag in self.flags]
        lines += results_table(self.results, HEADLINE)
        truth = self.testbed.truth.features
        lines += [
            "",
            f"{self.testbed.name} seed {self.testbed.recipe.seed}: {truth.n_features} features in "
            f"{truth.d} dimensions, expected L0 {truth.expected_l0:.3g}, hash "
            f"{self.testbed.hash[:12]}. One world and one run: intervals are over features or "
            "samples, not over worlds.",
        ]
        return "\n".join(lines)


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


def _missed(features: FeatureTable) -> str:
    """The commonest cause of the misses, and what the missed features have in common."""
    causes = features.causes()
    if not causes:
        return ""
    cause, count = causes.most_common(1)[0]
    text = f" Of {causes.total()} missed, {count}: {cause}"
    traits = features.traits()
    return text + (f"; they are more often {' and '.join(map(str, traits))}." if traits else ".")


@dataclass(frozen=True)
class Signs:
    """What the rules look at, all from the results; NaN where it is not known.

    Fields:
        n_features, k, live: planted features, latents, and latents that ever fire.
        short: linear ceiling (1 where it is not known) minus joint recall.
        joint, recall: joint and decoder recall.
        limited: share of the missed features that no method could find in the training budget.
        l0, planted: firing latents and features per sample.
        rescaling: the factor by which the reconstruction would fit best; above 1 it is shrunken.
        precision, repeats: joint precision; share of live latents that repeat another's feature.
    """

    n_features: float
    k: float
    live: float
    short: float
    joint: float
    recall: float
    limited: float
    l0: float
    planted: float
    rescaling: float
    precision: float
    repeats: float

    @property
    def known(self) -> bool:
        """Whether enough was computed for silence of the rules to mean something."""
        needed = (self.live, self.short, self.recall, self.limited, self.l0)
        return not any(math.isnan(value) for value in needed)


def signs(results: Mapping[str, Result]) -> Signs:
    """The signs in a report's results."""

    def value(metric: str) -> float:
        result = results.get(metric)
        return math.nan if result is None or result.value is None else result.value

    joint, dead, l0 = (results.get(m) for m in ("recover.joint", "recon.dead_frac", "recon.l0"))
    recovered = value("recover.joint")
    n = math.nan if joint is None else float(joint.n_units)
    best = 1.0 if joint is None or joint.ceiling is None else joint.ceiling
    k = math.nan if dead is None else float(dead.n_units)
    return Signs(
        n_features=n,
        k=k,
        live=k * (1 - value("recon.dead_frac")),
        short=best - recovered,
        joint=recovered,
        recall=value("recover.recall"),
        limited=_limited(results, n * (1 - recovered)),
        l0=value("recon.l0"),
        planted=math.nan if l0 is None or l0.ceiling is None else l0.ceiling,
        rescaling=value("recon.shrinkage"),
        precision=value("recover.joint_precision"),
        repeats=value("recover.precision_soft") - value("recover.precision"),
    )


def _limited(results: Mapping[str, Result], missed: float) -> float:
    """Share of the missed features that are not identifiable."""
    within = results.get("recover.joint_identifiable")
    if within is None or math.isnan(missed):
        return math.nan
    if within.value is None:  # undefined where no feature is identifiable
        return 1.0
    return max(0.0, 1 - within.n_units * (1 - within.value) / missed) if missed > 0 else 0.0


@dataclass(frozen=True)
class Rule:
    """When it `holds`, what to change first; `advice` is filled in with the fields of `Signs`."""

    name: str
    holds: Callable[[Signs], bool]
    advice: str


@dataclass(frozen=True)
class Change:
    """The rule that held, and what it says."""

    rule: str
    said: str


SHORT = 0.05  # nearer to the ceiling than this, the misses need no advice
OFF = 1.5  # the factor by which L0 must differ from the planted one to be blamed
RULES: tuple[Rule, ...] = (
    Rule(
        "silent",
        lambda s: s.live == 0,
        "Change first: the threshold or the units; none of {k:.0f} latents ever fires.",
    ),
    Rule(
        "dead",
        lambda s: s.short > SHORT and s.live < 0.8 * s.k and s.live < s.n_features,
        "Change first: revive dead latents (an auxiliary loss, resampling); {live:.0f} of {k:.0f} "
        "ever fire, for {n_features:.0f} features.",
    ),
    Rule(
        "narrow",
        lambda s: s.short > SHORT and s.k < s.n_features * (s.joint + s.short - SHORT),
        "Change first: the width; {k:.0f} latents cannot hold {n_features:.0f} features.",
    ),
    Rule(
        "dense",
        lambda s: s.short > SHORT and s.l0 > OFF * s.planted,
        "Change first: lower L0; {l0:.3g} latents fire at a time, of {planted:.3g} features.",
    ),
    Rule(
        "sparse",
        lambda s: s.short > SHORT and s.l0 < s.planted / OFF,
        "Change first: raise L0; {l0:.3g} latents fire at a time, of {planted:.3g} features.",
    ),
    Rule(
        "samples",
        lambda s: s.short > SHORT and s.limited >= 0.5,
        "Change first: train on more samples; {limited:.0%} of the missed features occur too "
        "seldom in the training budget for any method.",
    ),
    Rule(
        "encoder",
        lambda s: s.short > SHORT and s.recall - s.joint >= 0.5 * (1 - s.joint),
        "Change first: the encoder, not the decoder (better inference, another threshold); it has "
        "the direction of {recall:.0%} of the features.",
    ),
    Rule(
        "shrunken",
        # Not recon.latent_shrinkage, which also falls where a latent does not fire at all.
        lambda s: s.rescaling > 1.2,
        "Change first: shrinkage (a threshold, such as JumpReLU or TopK, instead of a penalty); "
        "{rescaling:.2f} times the reconstruction would fit best.",
    ),
    Rule(
        "repeated",
        lambda s: s.repeats >= 0.2,
        "Change first: repeated latents (a penalty on similar rows, or fewer latents); "
        "{repeats:.0%} of the live ones repeat another's feature.",
    ),
    Rule(
        "surplus",
        lambda s: s.short <= SHORT and s.precision < 0.5,
        "Change first: fewer latents; {precision:.0%} of the live ones match a feature.",
    ),
    Rule(
        "ceiling",
        lambda s: s.short <= SHORT,
        "Nothing to change first: it is at the linear ceiling; recover.joint_o1 says what better "
        "inference would reach.",
    ),
    Rule(
        "longer",
        lambda s: s.known,
        "Change first: train longer, which means on more samples, or at another learning rate; "
        "L0, dead latents and the encoder are not what limits it.",
    ),
)
"""What to change first: of these, the first that holds. No comparison with NaN does."""


def first_change(results: Mapping[str, Result]) -> Change | None:
    """What to change first, by `RULES`; None if too little was computed to say."""
    seen = signs(results)
    rule = next((rule for rule in RULES if rule.holds(seen)), None)
    return None if rule is None else Change(rule.name, rule.advice.format(**vars(seen)))


def results_table(results: Mapping[str, Result], headline: Sequence[str]) -> list[str]:
    """The printed table: `headline` first, then the others, then what is undefined and why."""
    head = (
        f"{'metric':<30} {'value':>8} {'95% interval':>17} {'floor':>8} {'ceiling':>8} "
        f"{'normalised':>10}"
    )
    lines = [head, "-" * len(head)]
    defined = [m for m in results if results[m].value is not None]
    first = [m for m in headline if m in defined]
    rest = [m for m in defined if m not in first]
    lines += [result_line(results[m]) for m in first]
    lines += [""] * bool(first and rest)
    lines += [result_line(results[m]) for m in rest]
    return lines + _undefined_lines(results)


def _undefined_lines(results: Mapping[str, Result]) -> list[str]:
    """Undefined metrics, told once for each reason."""
    reasons: dict[str, list[str]] = {}
    for result in results.values():
        if result.value is None:
            reasons.setdefault(result.reason, []).append(result.metric.id)
    return [f"\nundefined: {reason}\n  {', '.join(ids)}" for reason, ids in reasons.items()]


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
