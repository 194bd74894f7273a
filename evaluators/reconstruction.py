"""Reconstruction and proxies: always shown, never a success criterion.

A dictionary can explain nearly all variance and recover no feature. r_n = x_n - x_hat_n, means
are over the whole score split, sums are float64.
"""

from __future__ import annotations

import math

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators import ranking, statistics
from groundtruth.evaluators.activity import IDENTITY
from groundtruth.evaluators.average import average
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import REAL, UNIT, metric
from groundtruth.evaluators.residuals import NO_SPREAD
from groundtruth.result import Metric, Result

UP_TO_ONE = (-math.inf, 1.0)
POSITIVE = (0.0, math.inf)


@metric("recon.ev_total", 1, "max", UP_TO_ONE, "sample", ceiling=IDENTITY, success=False)
def ev_total(entry: Metric, c: Comparison) -> Result:
    """Explained variance 1 - sum ||r_n||^2 / sum ||x_n - mean||^2, pooled over dimensions."""
    sums = c.reconstructed
    value, low, high = statistics.ratio_interval(sums.residual_square, sums.spread)
    return _result(entry, c, 1 - value, 1 - high, 1 - low, floor=0.0)


@metric("recon.fvu", 1, "min", POSITIVE, "sample", ceiling=IDENTITY, success=False)
def fvu(entry: Metric, c: Comparison) -> Result:
    """Fraction of variance unexplained: 1 - recon.ev_total."""
    sums = c.reconstructed
    value, low, high = statistics.ratio_interval(sums.residual_square, sums.spread)
    return _result(entry, c, value, low, high, floor=1.0)


@metric("recon.ev_perdim", 1, "max", UP_TO_ONE, "sample", ceiling=IDENTITY, success=False)
def ev_perdim(entry: Metric, c: Comparison) -> Result:
    """Mean over dimensions of R^2_j; depends on the basis (not rotation invariant)."""
    spread = c.reconstructed.spread_by_dimension
    if np.any(spread <= NO_SPREAD * len(c.reconstructed.x)):
        raise Undefined(f"dimension {int(spread.argmin())} does not vary")
    explained = 1 - c.reconstructed.residual_by_dimension / spread
    return _result(entry, c, float(explained.mean()))


@metric("recon.ev_uncentred", 1, "max", UP_TO_ONE, "sample", ceiling=IDENTITY, success=False)
def ev_uncentred(entry: Metric, c: Comparison) -> Result:
    """1 - sum ||r_n||^2 / sum ||x_n||^2; a large mean makes it look good."""
    sums = c.reconstructed
    value, low, high = statistics.ratio_interval(sums.residual_square, sums.x_square)
    return _result(entry, c, 1 - value, 1 - high, 1 - low)


@metric("recon.ev_token", 1, "max", UP_TO_ONE, "sample", ceiling=IDENTITY, success=False)
def ev_token(entry: Metric, c: Comparison) -> Result:
    """Mean over samples of 1 - ||r_n||^2 / ||x_n - mean||^2: the legacy form.

    Dominated by samples near the mean; a sample at the mean makes it undefined.
    """
    spread = c.reconstructed.spread
    if np.any(spread <= 0):
        raise Undefined("a sample equals the mean: its ratio is not defined")
    return average(entry, 1 - c.reconstructed.residual_square / spread, {})


@metric("recon.ev_biasblind", 1, "max", UP_TO_ONE, "sample", ceiling=IDENTITY, success=False)
def ev_biasblind(entry: Metric, c: Comparison) -> Result:
    """1 - tr Cov(r) / tr Cov(x): ignores a constant offset of the reconstruction."""
    sums = c.reconstructed
    value, low, high = statistics.ratio_interval(sums.residual_spread, sums.spread)
    return _result(entry, c, 1 - value, 1 - high, 1 - low, floor=0.0)


@metric("recon.cos", 1, "max", (-1.0, 1.0), "sample", ceiling=IDENTITY, success=False)
def cos(entry: Metric, c: Comparison) -> Result:
    """Mean over samples of cos(x_n, x_hat_n); samples at the origin are undefined."""
    sums = c.reconstructed
    norms = np.sqrt(sums.x_square) * np.sqrt(sums.x_hat_square)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.clip(sums.dot / norms, -1, 1)
    # An x_hat of 0 points nowhere: cosine 0. An x of 0 has no direction to be compared with.
    zero_hat = (norms == 0) & (sums.x_square > 0)
    return average(entry, np.where(zero_hat, 0.0, values), {})


@metric("recon.l0", 1, "target", POSITIVE, "sample", success=False)
def l0(entry: Metric, c: Comparison) -> Result:
    """Mean number of latents that fire per sample; the target is the planted expected L0."""
    c.need_codes()
    assert c.outputs.score is not None
    per_sample = np.diff(c.outputs.score.indptr).astype(np.float64)
    result = average(entry, per_sample, {"planted": c.truth.expected_l0})
    return result.between(None, "", c.truth.expected_l0, "planted")


@metric("recon.shrinkage", 1, "target", REAL, "sample", ceiling=IDENTITY, success=False)
def shrinkage(entry: Metric, c: Comparison) -> Result:
    """gamma* = sum <x_hat, x> / sum ||x_hat||^2: the rescaling that fits best; 1 is none."""
    sums = c.reconstructed
    if not sums.x_hat_square.any():
        raise Undefined("the reconstruction is 0 everywhere")
    value, low, high = statistics.ratio_interval(sums.dot, sums.x_hat_square)
    ratio = np.sqrt(sums.x_hat_square).mean() / np.sqrt(sums.x_square).mean()
    return _result(entry, c, value, low, high, mean_norm_ratio=float(ratio))


@metric("recon.rel_bias", 1, "target", REAL, "sample", ceiling=IDENTITY, success=False)
def rel_bias(entry: Metric, c: Comparison) -> Result:
    """E||x_hat||^2 / E<x_hat, x> from pooled sums = 1 / recon.shrinkage.

    Source: Rajamanoharan et al., "Improving Dictionary Learning with Gated Sparse Autoencoders",
    2024, https://arxiv.org/abs/2404.16014, equation 10.
    """
    sums = c.reconstructed
    value, low, high = statistics.ratio_interval(sums.x_hat_square, sums.dot)
    if math.isnan(value):
        raise Undefined("<x_hat, x> is 0 on average")
    return _result(entry, c, value, low, high)


@metric("recon.latent_shrinkage", 1, "target", REAL, "feature", ceiling=IDENTITY, success=False)
def latent_shrinkage(entry: Metric, c: Comparison) -> Result:
    """Mean slope of z ||W|| on a through 0 where the feature is active; 1 is no shrinkage.

    Over features whose matched latent has cosine >= tau; the others have nothing to shrink.
    """
    partner = c.partner
    truth, latent, cosine = c.assignment if len(c.live) else (partner[:0], partner[:0], partner[:0])
    near = np.full(len(partner), -1)
    near[truth[cosine >= c.threshold]] = latent[cosine >= c.threshold]
    norms = np.linalg.norm(c.outputs.decoder[c.live], axis=1)
    values = np.array(
        [
            norms[near[i]] * (pair.positive @ pair.activity) / (pair.activity @ pair.activity)
            for i, pair in ranking.pairs(c, near)
            if len(pair.activity)
        ]
    )
    if len(values) == 0:
        raise Undefined(f"no feature has a matched latent of cosine {c.threshold} or more")
    return average(entry, values, c.parameters)


@metric("recon.dead_frac", 1, "min", UNIT, "latent", success=False)
def dead_frac(entry: Metric, c: Comparison) -> Result:
    """Latents that never fire / k, on `select` and `positives`.

    A latent that fires less often than about 3 / n_select per sample may look dead.
    """
    c.need_codes()
    k = c.outputs.k
    return Result(
        entry,
        1 - len(c.alive) / k,
        n_units=k,
        ceiling=0.0,
        ceiling_kind=IDENTITY,
        parameters={"rate_floor": 3 / c.data.scoring.n_select},
    )


@metric("recon.dense_frac", 1, "target", UNIT, "latent", success=False)
def dense_frac(entry: Metric, c: Comparison) -> Result:
    """Latents that fire on over 10 % of samples / k; the target is the planted share."""
    c.need_codes()
    assert c.outputs.score is not None
    rate = np.bincount(c.outputs.score.indices, minlength=c.outputs.k) / c.outputs.score.shape[0]
    planted = float((c.truth.firing_probability > 0.1).mean())
    return Result(
        entry,
        float((rate > 0.1).mean()),
        n_units=c.outputs.k,
        ceiling=planted,
        ceiling_kind="planted",
    )


def _result(
    entry: Metric,
    c: Comparison,
    value: float,
    low: float = math.nan,
    high: float = math.nan,
    *,
    floor: float | None = None,
    **parameters: object,
) -> Result:
    known = not math.isnan(low)
    return Result(
        entry,
        float(value),
        n_units=len(c.reconstructed.x),
        low=float(low) if known else None,
        high=float(high) if known else None,
        interval_method="ratio of sums, first order" if known else "",
        floor=floor,
        floor_kind="the mean" if floor is not None else "",
        parameters=dict(parameters),
    )
