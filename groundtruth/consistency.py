"""Reports on one world beside each other: is a method stable over seeds, do two methods agree?

Stable is not right: a method that always finds the same wrong dictionary is perfectly stable, which
is why recall stands beside every number here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from groundtruth import inference
from groundtruth.errors import InputError, reject
from groundtruth.evaluators.floors import random_mcc
from groundtruth.report import Report

DECILES = 10


@dataclass(frozen=True)
class Spread:
    """A mean over pairs of seeds, with a 95 % jackknife interval over seeds; low and high are None
    for fewer than three."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Stability:
    """What `stability` found.

    Fields:
        metric: whose recovered features are compared.
        names: of the reports.
        n_features: of the world.
        mcc: mean cosine of the one-to-one pairs of two dictionaries' live latents, over all pairs
            of seeds (PW-MCC).
        random_mcc: the same for random directions of these sizes.
        jaccard: features that both of two recovered over those that either did; NaN if none did.
        independent_jaccard: what it would be if each seed's features were drawn on their own.
        core: share of features that every seed recovered.
        ever: share that some seed recovered.
        recall: mean share.
    """

    metric: str
    names: tuple[str, ...]
    n_features: int
    mcc: Spread
    random_mcc: float
    jaccard: Spread
    independent_jaccard: float
    core: float
    ever: float
    recall: float

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{len(self.names)} seeds, {self.n_features} features, recovered by {self.metric}",
                f"  recall              {self.recall:.3f} on average; {self.core:.3f} by every "
                f"seed, {self.ever:.3f} by some",
                f"  pairwise MCC        {_shown(self.mcc)}; random {self.random_mcc:.3f}",
                f"  Jaccard of recovery {_shown(self.jaccard)}; independent seeds "
                f"{self.independent_jaccard:.3f}",
            ]
        )


@dataclass(frozen=True)
class Agreement:
    """What `agreement` found between two methods on one world.

    Fields:
        metric: whose recovered features are compared.
        names: of the two.
        both, only_first, only_second, neither: numbers of features.
        p_value: exact, of both recovering as many: the binomial test on the features that one of
            them alone recovered (McNemar).
        mcc: mean cosine of the one-to-one pairs of the two dictionaries.
        first_recovered, second_recovered: (n_features,) bool.
        by_frequency: for tenths of the features, the most frequent first: shares that the first
            and the second recovered.
    """

    metric: str
    names: tuple[str, str]
    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float
    mcc: float
    first_recovered: np.ndarray
    second_recovered: np.ndarray
    by_frequency: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        first, second = self.names
        lines = [
            f"{first} and {second}, features recovered by {self.metric}",
            f"  both {self.both}, only the first {self.only_first}, only the second "
            f"{self.only_second}, neither {self.neither}",
            f"  equal recall: p = {self.p_value:.3g} (exact McNemar test over features of one "
            "world)",
            f"  cosine of paired latents {self.mcc:.3f}",
            "  tenth of the features, most frequent first:",
            "    first  " + " ".join(f"{a:5.2f}" for a, _ in self.by_frequency),
            "    second " + " ".join(f"{b:5.2f}" for _, b in self.by_frequency),
        ]
        return "\n".join(lines)


def stability(reports: Sequence[Report], *, metric: str = "recover.joint") -> Stability:
    """How alike the dictionaries of one method are over its seeds.

    Args:
        reports: two or more, on one world, of the method at different seeds (five or more for an
            interval that means something).
        metric: "recover.joint" or "recover.recall", which the reports must hold.

    Raises:
        InputError: fewer than two reports, or of different worlds, or without the metric.

    Example:
        >>> import groundtruth as gt
        >>> from groundtruth.methods import topk
        >>> world = gt.build("sparse/orthonormal", n_features=16, d=16)
        >>> scoring = {"n_select": 1024, "n_score": 1024}
        >>> reports = [
        ...     gt.evaluate(world, topk(world.subject, seed=s, width=16, l0=1, n_samples=2000),
        ...                 scoring=scoring, metrics="recover")
        ...     for s in range(3)
        ... ]
        >>> found = stability(reports, metric="recover.recall")
        >>> found.core <= found.recall <= found.ever
        True

    Source: Song et al., "Mechanistic Interpretability Should Prioritize Feature Consistency in
    SAEs", 2025, https://arxiv.org/abs/2505.20254 (pairwise MCC)
    """
    if isinstance(reports, Report) or not isinstance(reports, Sequence):
        raise reject("reports", reports, "a list of what gt.evaluate returned")
    if len(reports) < 2:
        raise reject("reports", f"{len(reports)} of them", "two or more")
    _check_same_world(reports, metric)
    hits = np.array([_recovered(report, metric) for report in reports])
    pairs = list(combinations(range(len(reports)), 2))
    mcc = [_paired_cosine(reports[i], reports[j]) for i, j in pairs]
    either = [float((hits[i] | hits[j]).sum()) for i, j in pairs]
    both = [float((hits[i] & hits[j]).sum()) for i, j in pairs]
    jaccard = [b / e if e else math.nan for b, e in zip(both, either, strict=True)]
    recall = hits.mean()
    widths = [len(report.comparison.live) for report in reports]
    truth = reports[0].testbed.truth.features
    signed = not reports[0].comparison.absolute
    size = max(1, round(float(np.mean(widths))))
    floor = random_mcc(truth.d, size, size, signed=signed, seed=0, n_draws=5).mean
    return Stability(
        metric,
        tuple(report.name for report in reports),
        truth.n_features,
        _jackknifed(mcc, pairs, len(reports)),
        floor,
        _jackknifed(jaccard, pairs, len(reports)),
        float(recall / (2 - recall)) if recall else math.nan,
        float(hits.all(axis=0).mean()),
        float(hits.any(axis=0).mean()),
        float(recall),
    )


def agreement(first: Report, second: Report, *, metric: str = "recover.joint") -> Agreement:
    """Which features two methods recovered on one world: both, one of them, neither.

    Raises:
        InputError: the reports are of different worlds, or lack the metric.

    Example:
        >>> import groundtruth as gt
        >>> world = gt.build("sparse/orthonormal", n_features=16, d=16)
        >>> rows, scoring = world.truth.features.directions, {"n_select": 512, "n_score": 512}
        >>> whole, half = (
        ...     gt.evaluate(world, gt.Dictionary(r), scoring=scoring, metrics="recover.recall")
        ...     for r in (rows, rows[:8])
        ... )
        >>> found = agreement(whole, half, metric="recover.recall")
        >>> found.both, found.only_first, found.only_second, found.neither
        (8, 8, 0, 0)
    """
    _check_same_world([first, second], metric)
    a, b = _recovered(first, metric), _recovered(second, metric)
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    apart = only_first + only_second
    p_value = stats.binomtest(only_first, apart).pvalue if apart else 1.0
    order = np.argsort(-first.testbed.truth.features.firing_probability, kind="stable")
    tenths = [part for part in np.array_split(order, DECILES) if len(part)]
    return Agreement(
        metric,
        (first.name, second.name),
        int((a & b).sum()),
        only_first,
        only_second,
        int((~a & ~b).sum()),
        float(p_value),
        _paired_cosine(first, second),
        a,
        b,
        tuple((float(a[part].mean()), float(b[part].mean())) for part in tenths),
    )


def _check_same_world(reports: Sequence[Report], metric: str) -> None:
    if metric not in ("recover.joint", "recover.recall"):
        raise reject("metric", metric, '"recover.joint" or "recover.recall"')
    for report in reports:
        if not isinstance(report, Report):
            raise reject("report", report, "what gt.evaluate returned")
        if report.testbed.hash != reports[0].testbed.hash:
            raise InputError(
                f"reports: expected one world, got {reports[0].testbed!r} and {report.testbed!r}. "
                "Build the world once, and pass the method other seeds."
            )
        if metric not in report or report[metric].value is None:
            why = "it was not asked for" if metric not in report else report[metric].reason
            raise InputError(
                f"{report.name}: expected a value of {metric}, got none ({why}). "
                'Pass metric="recover.recall" where there are no codes.'
            )


def _recovered(report: Report, metric: str) -> np.ndarray:
    return report[metric].evidence["matched_latent"] >= 0


def _paired_cosine(first: Report, second: Report) -> float:
    """Sum of the cosines of the best one-to-one pairs over the larger number of live latents."""
    one, other = first.comparison.latents, second.comparison.latents
    if not len(one) or not len(other):
        return 0.0
    absolute = first.comparison.absolute or second.comparison.absolute
    found = inference.assign_directions(one, other, absolute=absolute)
    cosine = np.einsum("ij,ij->i", one[found.truth], other[found.latent])
    cosine = np.abs(cosine) if absolute else np.maximum(cosine, 0.0)
    return float(cosine.sum() / max(len(one), len(other)))


def _jackknifed(values: list[float], pairs: list[tuple[int, int]], n: int) -> Spread:
    """Mean over pairs; the interval leaves out one seed at a time, since pairs share seeds."""
    mean = float(np.mean(values))
    if n < 3 or math.isnan(mean):
        return Spread(mean, None, None)
    without = np.array(
        [np.mean([v for v, p in zip(values, pairs, strict=True) if s not in p]) for s in range(n)]
    )
    error = math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    return Spread(mean, mean - reach, mean + reach)


def _shown(spread: Spread) -> str:
    if spread.low is None:
        return f"{spread.value:.3f}"
    return f"{spread.value:.3f} [{spread.low:.3f}, {spread.high:.3f}]"
