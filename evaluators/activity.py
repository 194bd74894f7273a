"""Activity: whether the latent matched to a feature fires when, and as strongly as, it should.

A feature's latent is its partner in the one-to-one matching that maximises the sum of cosines; a
feature without one scores 0. Rates weigh positives by the exact firing probability (`counts`).
Each mean runs over features with p > 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from groundtruth.evaluators import counts, floors, ranking
from groundtruth.evaluators.average import average, resolved
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import UNIT, metric
from groundtruth.result import Metric, Result

LINEAR = "O2*-linear"
IDENTITY = "O0-identity"
SIGNED_UNIT = (-1.0, 1.0)


@metric("act.f1", 1, "max", UNIT, "feature", ceiling=LINEAR)
def f1(entry: Metric, c: Comparison) -> Result:
    """Mean over features of 2 p TPR / (p TPR + (1 - p) FPR + p); unmatched features score 0."""
    return resolved(_macro(entry, c, lambda r: r.f1, floors.independent_f1), c.unresolved)


@metric("act.precision", 1, "max", UNIT, "feature", ceiling=LINEAR)
def precision(entry: Metric, c: Comparison) -> Result:
    """Mean of p TPR / P(latent fires); unmatched and never-firing score 0."""
    return resolved(_macro(entry, c, _precision, lambda p, q: p * (q > 0)), c.unresolved)


@metric("act.recall", 1, "max", UNIT, "feature", ceiling=LINEAR)
def recall(entry: Metric, c: Comparison) -> Result:
    """Mean of TPR = P(latent fires | feature active); always-on latents score 1."""
    return _macro(entry, c, lambda r: r.tpr, lambda p, q: q)


@metric("act.fnr", 1, "min", UNIT, "feature", ceiling=LINEAR)
def fnr(entry: Metric, c: Comparison) -> Result:
    """Mean of 1 - TPR; unmatched features count 1."""
    return _macro(entry, c, lambda r: 1 - r.tpr, lambda p, q: 1 - q, unmatched=1.0)


@metric("act.fpr", 1, "min", UNIT, "feature", ceiling=LINEAR, success=False)
def fpr(entry: Metric, c: Comparison) -> Result:
    """Mean of FPR = P(latent fires | feature silent); dead latents score 0, the best value."""
    return _macro(entry, c, lambda r: np.where(r.prevalence < 1, r.fpr, np.nan), lambda p, q: q)


@metric("act.matthews", 1, "max", SIGNED_UNIT, "feature", ceiling=LINEAR)
def matthews(entry: Metric, c: Comparison) -> Result:
    """Mean correlation of firing with activity: (TPR - FPR) sqrt(p(1-p) / (q(1-q)))."""
    return resolved(_macro(entry, c, lambda r: r.matthews, lambda p, q: 0 * p), c.unresolved)


@metric("act.auroc", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def auroc(entry: Metric, c: Comparison) -> Result:
    """Mean of P(z given active > z given silent), ties half; under 10 positives: undefined.

    Hides a hundredfold excess of false positives for rare features; read act.auprc there.
    """
    return _ranked(entry, c, ranking.auroc, lambda p: np.full(len(p), 0.5))


@metric("act.auprc", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def auprc(entry: Metric, c: Comparison) -> Result:
    """Mean average precision of z at the feature's own firing probability."""
    return _ranked(entry, c, ranking.average_precision, lambda p: p)


@metric("act.corr", 1, "max", SIGNED_UNIT, "feature", ceiling=IDENTITY)
def corr(entry: Metric, c: Comparison) -> Result:
    """Mean Pearson correlation of z with the planted activity a, weighted to prevalence."""
    return _ranked(entry, c, ranking.correlation, lambda p: 0 * p)


@metric("act.corr_active", 1, "max", SIGNED_UNIT, "feature", ceiling=IDENTITY)
def corr_active(entry: Metric, c: Comparison) -> Result:
    """Mean Pearson correlation of z with a where the feature is active: magnitude fidelity."""
    return _ranked(entry, c, ranking.correlation_active, lambda p: 0 * p)


@metric("act.spearman_active", 1, "max", SIGNED_UNIT, "feature", ceiling=IDENTITY)
def spearman_active(entry: Metric, c: Comparison) -> Result:
    """Mean rank correlation of z with a where both are active."""
    return _ranked(entry, c, ranking.spearman_active, lambda p: 0 * p)


@metric("act.best_latent_f1", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def best_latent_f1(entry: Metric, c: Comparison) -> Result:
    """Mean F1 of the latent that had the highest F1 on `select`, scored on `score`.

    Many-to-one and blind to directions. The floor is the same choice made against activity whose
    samples are shuffled (C5): what choosing the best of k latents gives by luck.
    """
    c.need_codes()
    c.need_live()
    assert c.outputs.select is not None
    chosen = c.outputs.select[:, c.live]
    values = _f1_of(c, counts.best_by_f1(c.data.select, chosen)[0])
    order = np.random.default_rng(0).permutation(c.data.select.shape[0])
    by_luck = counts.best_by_f1(c.data.select[order], chosen)[0]
    rates = _rates(c, by_luck)
    rate = np.nan_to_num(rates.rate)  # unknown where no sample holds the feature
    luck = np.where(by_luck >= 0, floors.independent_f1(rates.prevalence, rate), 0.0)
    result = resolved(average(entry, values, c.parameters), c.unresolved)
    seen = np.isfinite(values)
    floor = float(luck[seen].mean()) if seen.any() else None
    return result.between(floor, "C5-null", None, "")


@metric("act.latent_f1", 1, "max", UNIT, "latent", ceiling=IDENTITY, success=False)
def latent_f1(entry: Metric, c: Comparison) -> Result:
    """Mean over live latents of F1 against the feature of highest cosine, on natural samples.

    For comparison with other tools only: it misses every feature that no latent is near, and
    duplicates do not lower it. A latent is undefined where neither it nor its feature occurs.
    """
    c.need_codes()
    c.need_live()
    table = c.firing
    latent, truth = np.arange(len(c.live)), c.similarity.best_truth
    active, fires = np.diff(table.active.indptr)[truth], np.diff(table.fires.indptr)
    both = counts.overlaps(table.active, table.fires, truth, latent)
    values = np.where(active + fires > 0, 2 * both / np.maximum(1, active + fires), np.nan)
    n = table.active.shape[0]
    floor = float(np.mean(2 * active * fires / n / np.maximum(1, active + fires)))
    result = average(entry, values, c.parameters)
    return result.between(floor, "independent firing", None, "")


def _precision(rates: counts.Rates) -> np.ndarray:
    return np.where(rates.rate == 0, 0.0, rates.precision)


def _rates(c: Comparison, latent: np.ndarray) -> counts.Rates:
    """Rates of (feature i, live latent latent[i]); entries of -1 borrow latent 0."""
    every = np.arange(c.truth.n_features)
    return c.firing.rates(every, np.maximum(latent, 0))


def _f1_of(c: Comparison, latent: np.ndarray) -> np.ndarray:
    """(n_features,) F1; 0 where latent is -1; NaN for features that never fire."""
    found = _rates(c, latent).f1
    values = np.where((latent >= 0) | np.isnan(found), found, 0.0)
    return np.where(c.truth.firing_probability > 0, values, np.nan)


def _macro(
    entry: Metric,
    c: Comparison,
    value: Callable[[counts.Rates], np.ndarray],
    floor: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    unmatched: float = 0.0,
) -> Result:
    partner = c.partner
    p = c.truth.firing_probability
    if len(c.live) == 0:
        values, by_luck = np.full(len(p), unmatched), np.full(len(p), unmatched)
    else:
        rates = _rates(c, partner)
        found = value(rates)
        # Undefined for lack of samples of the feature, whichever latent it has.
        values = np.where((partner >= 0) | np.isnan(found), found, unmatched)
        rate = np.nan_to_num(rates.rate)
        by_luck = np.where(partner >= 0, np.nan_to_num(floor(p, rate)), unmatched)
    result = average(entry, np.where(p > 0, values, np.nan), c.parameters)
    seen = (p > 0) & np.isfinite(values)
    luck = float(by_luck[seen].mean()) if seen.any() else None
    return result.between(luck, "independent firing", None, "")


def _ranked(
    entry: Metric,
    c: Comparison,
    statistic: Callable[[ranking.Pair], float],
    floor: Callable[[np.ndarray], np.ndarray],
) -> Result:
    partner = c.partner
    p = c.truth.firing_probability
    by_luck = floor(p)
    values = ranking.per_feature(c, partner, statistic)
    # A feature without a partner has a constant score: it ranks as chance does, where the
    # statistic is defined for the feature at all.
    alone = np.flatnonzero(partner < 0)
    values[alone] = np.where(ranking.defined(c, alone, statistic), by_luck[alone], np.nan)
    result = average(entry, np.where(p > 0, values, np.nan), c.parameters)
    seen = (p > 0) & np.isfinite(values)
    luck = float(by_luck[seen].mean()) if seen.any() else None
    return result.between(luck, "independent firing", None, "")
