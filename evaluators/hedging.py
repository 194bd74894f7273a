"""Hedging: a latent that mixes into its feature those that are correlated with it.

A dictionary with too few latents for correlated features reconstructs better if each of its
latents leans toward the correlates of its feature. For latent j with nearest feature i, let S be i
and the features most correlated with it, and alpha the least-squares weights of u_j on d_S.

Source: Chanin et al., "Feature Hedging: Correlated Features Break Narrow Sparse Autoencoders",
2025, https://arxiv.org/abs/2505.11756
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators import correlations, statistics
from groundtruth.evaluators.average import average
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.correlations import LEAST_CORRELATION, MOST_PARTNERS
from groundtruth.evaluators.once import once
from groundtruth.evaluators.recovery import IDENTITY
from groundtruth.evaluators.registry import REAL, UNIT, metric
from groundtruth.evaluators.similarity import EDGE_FLOOR
from groundtruth.result import Metric, Result

_ROWS = 256  # latents at a time: their partners' directions are copied, 27 MB at d = 768
_SINGULAR = 1e8


@dataclass(frozen=True)
class Hedged:
    """Latents of cosine >= 0.5 with a feature that others are correlated with.

    Fields:
        latent: (m,) indices of decoder rows.
        own: (m,) alpha_i; rows of free sign are turned along their feature.
        weight, correlation: (m, s) alpha_i' and corr(a_i, a_i'); 0 beyond the last.
        degree: (m,) 1 - alpha_i^2 / ||alpha||^2; NaN where the directions in S are dependent.
        chance: (m,) the degree to expect if what u_j has beside d_i points in a random direction.
    """

    latent: np.ndarray
    own: np.ndarray
    weight: np.ndarray
    correlation: np.ndarray
    degree: np.ndarray
    chance: np.ndarray


@metric("hedge.degree", 1, "min", UNIT, "latent", success=False)
def degree(entry: Metric, c: Comparison) -> Result:
    """Mean over latents of 1 - alpha_i^2 / ||alpha||^2: the share that correlated features hold.

    Over latents of cosine >= 0.5 with a feature that has correlates (|corr| >= 0.1; the 16
    largest are looked at). A latent that has absorbed its feature's parent counts too;
    hedge.slope and absorb.leak tell what is mixed. The floor is what a latent as far from its
    feature would have in a random direction, so a perfect claim's floor is 0 as well.
    """
    found = hedged(c)
    result = average(entry, found.degree, _parameters(c))
    seen = np.isfinite(found.degree)
    floor = float(found.chance[seen].mean()) if seen.any() else None
    return result.between(floor, "remainder in a random direction", 0.0, IDENTITY)


@metric("hedge.slope", 1, "target", REAL, "latent", success=False)
def slope(entry: Metric, c: Comparison) -> Result:
    """sum alpha_i' r_ii' / sum r_ii'^2 over latents and correlates, r the planted correlation.

    The slope through 0 of weights on correlations: 0 for the planted dictionary, above 0 where
    weights have the sign of the correlation, as in hedging, be it positive or negative.
    """
    found = hedged(c)
    seen = np.isfinite(found.degree)
    r = found.correlation[seen]
    value, low, high = statistics.ratio_interval(
        (found.weight[seen] * r).sum(axis=1), (r**2).sum(axis=1)
    )
    if np.isnan(value):
        raise Undefined("the directions of correlated features are linearly dependent")
    known = not np.isnan(low)
    return Result(
        entry,
        value,
        n_units=len(r),
        low=low if known else None,
        high=high if known else None,
        interval_method="ratio of sums, first order" if known else "",
        floor=0.0,
        floor_kind="remainder in a random direction",
        ceiling=0.0,
        ceiling_kind=IDENTITY,
        parameters=_parameters(c),
        evidence={
            "latent": found.latent[seen],
            "weight": found.weight[seen],
            "correlation": r,
        },
    )


@once
def hedged(c: Comparison) -> Hedged:
    """All latents at risk of hedging; k MOST_PARTNERS^2 d products, blocks only are held.

    Raises:
        Undefined: no two features are correlated, or no latent is near one that is.
    """
    planted = correlations.planted(c.truth)
    if c.truth.d == 1 or not planted.any.any():
        raise Undefined(f"no two features have a correlation of size {LEAST_CORRELATION} or more")
    c.need_live()
    nearest, cosine = c.similarity.best_truth, c.similarity.best_truth_cosine
    latent = np.flatnonzero((cosine >= EDGE_FLOOR) & planted.any[nearest])
    if len(latent) == 0:
        raise Undefined(
            f"no latent has cosine {EDGE_FLOOR} or more with a feature that others are "
            "correlated with"
        )
    # No more than there are dimensions beside that of the feature itself.
    partner = planted.partner[nearest[latent], : c.truth.d - 1]
    chosen = np.concatenate([nearest[latent][:, None], partner], axis=1)
    parts = [
        _weighed(c.truth.directions, c.latents[latent[rows]], chosen[rows])
        for rows in (slice(start, start + _ROWS) for start in range(0, len(latent), _ROWS))
    ]
    weight, chance = map(np.concatenate, zip(*parts))
    square = weight**2
    degree = np.maximum(0.0, 1 - square[:, 0] / square.sum(axis=1))
    degree[np.isnan(chance)] = np.nan
    correlation = planted.value[nearest[latent], : c.truth.d - 1]
    return Hedged(c.live[latent], weight[:, 0], weight[:, 1:], correlation, degree, chance)


def _weighed(
    directions: np.ndarray, latents: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (b, s) of latents (b, d) on the chosen features (b, s), and the chance degree (b,).

    With G the Gram matrix of the chosen directions, c = <u, d_i> and u = c d_i + sqrt(1 - c^2) v,
    v uniform on the sphere orthogonal to d_i:

        alpha = G^-1 d_S u,  E[alpha_s^2] = c^2 [s = i] + (1 - c^2) (G^-1 - e_i e_i^T)_ss / (d - 1)

    and the chance degree is 1 - E[alpha_i^2] / E||alpha||^2.
    """
    missing = chosen < 0
    rows = directions[chosen]
    rows[missing] = 0.0
    gram = rows @ rows.transpose(0, 2, 1)
    every = np.arange(chosen.shape[1])
    # Places without a feature get weight 0; the ridge keeps dependent directions invertible.
    gram[:, every, every] += 1e-12 + missing
    inverse = np.linalg.inv(gram)
    inner = (rows @ latents[:, :, None])[:, :, 0]
    inner *= np.where(inner[:, :1] < 0, -1.0, 1.0)  # of a row of free sign, along its feature
    weight = (inverse @ inner[:, :, None])[:, :, 0]
    spread = np.where(missing, 0.0, inverse[:, every, every])
    c = inner[:, 0]
    spread[:, 0] -= 1
    second = (1 - c**2)[:, None] * spread / (latents.shape[1] - 1)
    second[:, 0] += c**2
    chance = np.maximum(0.0, 1 - second[:, 0] / second.sum(axis=1))
    return weight, np.where(spread.max(axis=1) > _SINGULAR, np.nan, chance)


def _parameters(c: Comparison) -> dict[str, object]:
    return {
        "least_cosine": EDGE_FLOOR,
        "least_correlation": LEAST_CORRELATION,
        "most_partners": MOST_PARTNERS,
        "correlation": correlations.planted(c.truth).source,
    }
