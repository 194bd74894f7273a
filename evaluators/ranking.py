"""How well a latent's value orders and tracks a feature's activity, one pair at a time.

Codes are mostly zeros: silent samples enter as a sorted list of their nonzero values and a count,
never as a dense column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy import stats

from groundtruth.evaluators import statistics

if TYPE_CHECKING:
    from groundtruth.evaluators.comparison import Comparison


@dataclass(frozen=True)
class Pair:
    """One feature with one latent.

    Fields:
        prevalence: the feature's exact firing probability.
        activity: (n_positive,) planted a where it is active.
        positive: (n_positive,) z there.
        negative: nonzero z where it is silent.
        n_negative: silent samples, zeros included.
    """

    prevalence: float
    activity: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    n_negative: int


def auroc(pair: Pair) -> float:
    """P(z+ > z-) + P(z+ = z-) / 2; NaN under 10 of either class."""
    if min(len(pair.positive), pair.n_negative) < statistics.FEWEST_PER_CLASS:
        return float("nan")
    negative = np.sort(pair.negative)
    zeros = pair.n_negative - len(negative)
    below = np.searchsorted(negative, pair.positive, side="left")
    upto = np.searchsorted(negative, pair.positive, side="right")
    beaten = below + zeros * (pair.positive > 0)
    tied = upto - below + zeros * (pair.positive == 0)
    return float((beaten + tied / 2).mean() / pair.n_negative)


def average_precision(pair: Pair) -> float:
    """Average precision at the exact prevalence; NaN under 10 of either class."""
    if min(len(pair.positive), pair.n_negative) < statistics.FEWEST_PER_CLASS:
        return float("nan")
    negative = np.zeros(pair.n_negative)
    negative[: len(pair.negative)] = pair.negative
    return statistics.weighted_average_precision(pair.positive, negative, pair.prevalence)


def correlation(pair: Pair) -> float:
    """Pearson correlation of z and a, positives and negatives weighted by p and 1 - p."""
    p = pair.prevalence
    if len(pair.positive) < 2:
        return float("nan")
    z, a = pair.positive, pair.activity
    n = max(1, pair.n_negative)
    mean_z = p * z.mean() + (1 - p) * pair.negative.sum() / n
    mean_a = p * a.mean()
    # About the means, so that a large offset costs no precision.
    zeros = pair.n_negative - len(pair.negative)
    silent = ((pair.negative - mean_z) ** 2).sum() + zeros * mean_z**2
    var_z = p * ((z - mean_z) ** 2).mean() + (1 - p) * silent / n
    var_a = p * ((a - mean_a) ** 2).mean() + (1 - p) * mean_a**2
    silent_z = pair.negative.sum() / n - mean_z
    cov = p * ((z - mean_z) * (a - mean_a)).mean() - (1 - p) * silent_z * mean_a
    return _ratio(cov, var_z, var_a)


def correlation_active(pair: Pair) -> float:
    """Pearson correlation of z and a where the feature is active; NaN if a does not vary."""
    if len(pair.positive) < 3:
        return float("nan")
    z, a = pair.positive - pair.positive.mean(), pair.activity - pair.activity.mean()
    if _constant(pair.activity):
        return float("nan")
    return _ratio((z * a).mean(), (z**2).mean(), (a**2).mean())


def spearman_active(pair: Pair) -> float:
    """Rank correlation of z and a where both are active; 0 under 3 such, NaN if a is constant."""
    both = pair.positive != 0
    if _constant(pair.activity):
        return float("nan")
    if both.sum() < 3:
        return 0.0
    z = stats.rankdata(pair.positive[both])
    a = stats.rankdata(pair.activity[both])
    z, a = z - z.mean(), a - a.mean()
    return _ratio((z * a).mean(), (z**2).mean(), (a**2).mean())


def per_feature(
    c: Comparison, latent: np.ndarray, statistic: Callable[[Pair], float]
) -> np.ndarray:
    """statistic of each (feature i, live latent latent[i]); NaN where latent is -1."""
    out = np.full(c.truth.n_features, np.nan)
    for i, pair in pairs(c, latent):
        out[i] = statistic(pair)
    return out


def defined(c: Comparison, features: np.ndarray, statistic: Callable[[Pair], float]) -> np.ndarray:
    """Whether the statistic is a number for each feature, whatever its latent: for z = a."""
    activity, given = c.data.score.tocsc(), c.data.positives.tocsc()
    start = np.searchsorted(c.data.forced, np.arange(c.truth.n_features + 1))
    out = np.zeros(len(features), dtype=bool)
    for row, i in enumerate(map(int, features)):
        _, natural = _column(activity, i)
        _, extra = _column_rows(given, i, start[i], start[i + 1])
        a = np.concatenate([natural, extra]).astype(np.float64)
        silent = activity.shape[0] - len(natural)
        p = float(c.truth.firing_probability[i])
        out[row] = np.isfinite(statistic(Pair(p, a, a, np.zeros(0), silent)))
    return out


def pairs(c: Comparison, latent: np.ndarray) -> list[tuple[int, Pair]]:
    """The pairs of features that have a latent; made once and kept for the other statistics.

    Where directions may have either sign, so may codes: a code is read along its feature, as
    z sign<d_i, W_j>, so that flipping a latent with its codes changes nothing.
    """
    held = c.__dict__.setdefault("_pairs", {})
    key = latent.tobytes()
    if key not in held:
        held[key] = _make_pairs(c, latent)
    return held[key]


def _make_pairs(c: Comparison, latent: np.ndarray) -> list[tuple[int, Pair]]:
    assert c.outputs.score is not None and c.outputs.positives is not None
    natural = c.outputs.score[:, c.live].tocsc()
    given = c.outputs.positives[:, c.live].tocsc()
    activity, activity_given = c.data.score.tocsc(), c.data.positives.tocsc()
    sign = np.ones(c.truth.n_features)
    if c.absolute and len(c.live):
        cosine = np.einsum("fd,fd->f", c.truth.directions, c.latents[np.maximum(latent, 0)])
        sign = np.where(cosine < 0, -1.0, 1.0)
    start = np.searchsorted(c.data.forced, np.arange(c.truth.n_features + 1))
    n = natural.shape[0]
    column, column_given = np.zeros(n), np.zeros(given.shape[0])
    out = []
    for i in map(int, np.flatnonzero(latent >= 0)):
        rows, z = _column(natural, int(latent[i]))
        active, a = _column(activity, i)
        column[rows] = z
        positive = column[active]
        column[active] = 0.0
        negative = column[rows]
        column[rows] = 0.0
        rows_given, z_given = _column(given, int(latent[i]))
        column_given[rows_given] = z_given
        extra = column_given[start[i] : start[i + 1]].copy()
        column_given[rows_given] = 0.0
        _, a_given = _column_rows(activity_given, i, start[i], start[i + 1])
        out.append(
            (
                int(i),
                Pair(
                    float(c.truth.firing_probability[i]),
                    np.concatenate([a, a_given]).astype(np.float64),
                    sign[i] * np.concatenate([positive, extra]),
                    sign[i] * negative[negative != 0],
                    n - len(active),
                ),
            )
        )
    return out


def _column(matrix: sp.csc_array, j: int) -> tuple[np.ndarray, np.ndarray]:
    part = slice(matrix.indptr[j], matrix.indptr[j + 1])
    return matrix.indices[part], matrix.data[part]


def _column_rows(
    matrix: sp.csc_array, j: int, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    rows, values = _column(matrix, j)
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    kept = slice(*np.searchsorted(rows, [start, stop]))
    return rows[kept], values[kept]


def _constant(a: np.ndarray) -> bool:
    return not len(a) or bool(np.ptp(a) <= 1e-6 * np.abs(a).max())


def _ratio(cov: float, var_z: float, var_a: float) -> float:
    """Correlation; 0 where z does not vary (it tracks nothing), NaN where a does not."""
    if var_a <= 0:
        return float("nan")
    if var_z <= 0:
        return 0.0
    return float(np.clip(cov / np.sqrt(var_z * var_a), -1, 1))
