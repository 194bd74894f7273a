"""Linear-threshold detectors: one direction and one threshold per feature.

The class that sparse-autoencoder encoders live in, so the best of them is the ceiling for their
activity (row O2*), whatever solver a world would otherwise favour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from groundtruth.outputs import Outputs, dense_to_csr, linear_outputs
from groundtruth.score_data import ScoreData
from groundtruth.truth import FeatureTruth

_DRAWN_ROWS = 1 << 13  # drawn given that features fire, at a time
_ROUNDING = 1e-12  # activations are float32: what varies by less than this of the most is rounding


@dataclass(frozen=True)
class Detectors:
    """Feature i fires where <w_i, x - centre> > t_i.

    Fields:
        weights: (n_features, d) w_i.
        thresholds: (n_features,) t_i.
        centre: (d,).
        offset: (n_features,) E[a_i]. One unit of the feature moves its score by 1, so that
            score + offset estimates a_i.
    """

    weights: np.ndarray
    thresholds: np.ndarray
    centre: np.ndarray
    offset: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(n, n_features) <w_i, x - centre>, float32."""
        centred = (x - self.centre).astype(np.float32)
        return centred @ self.weights.T.astype(np.float32)

    def codes(self, x: np.ndarray) -> sp.csr_array:
        """Estimated activity where it fires, else 0."""
        score = self.scores(x)
        fires = score > self.thresholds.astype(np.float32)
        value = score + self.offset.astype(np.float32)
        least = np.float32(1e-6) * np.abs(self.offset).max(initial=0.0).astype(np.float32)
        least = max(least, np.finfo(np.float32).tiny)
        return dense_to_csr(np.where(fires, np.maximum(value, least), np.float32(0)))

    def outputs(
        self,
        data: ScoreData,
        decoder: np.ndarray,
        bias: np.ndarray,
        tick: Callable[[], None] | None = None,
    ) -> Outputs:
        """Codes on all parts of `data`, reconstructed with `decoder` and `bias`."""
        parts = {}
        for part in ("select", "score", "positives"):
            blocks = []
            for x, _ in data.chunks(part):
                blocks.append(self.codes(x))
                if tick is not None:
                    tick()
            empty = sp.csr_array((0, len(self.weights)), dtype=np.float32)
            parts[part] = sp.csr_array(sp.vstack(blocks, format="csr")) if blocks else empty
        return linear_outputs(decoder, bias, **parts)


def linear_ceiling(data: ScoreData, rng: np.random.Generator) -> Detectors:
    """O2*: w_i = Cov(X)^-1 r_i from the world's exact covariance, thresholds chosen on `select`,
    with r_i by how much x moves with one unit of feature i.

    For Gaussian interference this is the best linear detector (Fisher's discriminant). Positives
    are made from silent samples: under independent firing, x + m d_i with m from the magnitude
    law has exactly the law of x given that feature i fires. Elsewhere positives are drawn given
    that the feature fires.
    """
    truth = data.truth
    inverse = np.linalg.pinv(truth.covariance, rcond=_ROUNDING, hermitian=True)
    spread = np.einsum("fd,fd->f", truth.directions @ truth.covariance, truth.directions)
    varies = spread > _ROUNDING * np.linalg.norm(truth.covariance, 2)
    responses = _responses(truth)
    weights = np.where(varies[:, None], responses @ inverse, 0.0)
    weights = unit_response(weights, responses)
    detectors = Detectors(weights, np.zeros(truth.n_features), truth.mean, truth.mean_activity)
    return replace(detectors, thresholds=_thresholds(data, detectors, rng))


def _responses(truth: FeatureTruth) -> np.ndarray:
    """(n_features, d) r_i = Cov(x, a_i) / Var(a_i), which is d_i if features fire independently.

    Of a population it is exact, and what goes with a feature is a part of it: a copy of the feature
    in another direction moves with it. In structured worlds d_i stands for it.
    """
    if truth.population is None:
        return truth.directions
    moments = truth.population.second_moments @ truth.directions
    shared = moments - np.outer(truth.mean_activity, truth.mean_activity @ truth.directions)
    varies = truth.variance > _ROUNDING * truth.variance.max(initial=0.0)
    return np.where(varies[:, None], shared / np.where(varies, truth.variance, 1.0)[:, None], 0.0)


def unit_response(weights: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Rows scaled so that <w_i, d_i> = 1; a row that does not respond to d_i stays.

    A detector does not change with the scale of its weights; this one keeps scores in the units
    of activity, whatever the scale of the world.
    """
    gain = np.einsum("fd,fd->f", weights, directions)
    return weights / np.where(gain > 0, gain, 1.0)[:, None]


def best_threshold(positive: np.ndarray, negative: np.ndarray, prevalence: float) -> float:
    """The threshold that maximises F1 at the given prevalence.

    Candidates lie between neighbouring silent scores, one for each number of false positives;
    among ties the highest.

    Args:
        positive, negative: scores of active and silent samples, any order.

    Returns:
        t, with "fires" meaning score > t; +inf if no positives are given.
    """
    if len(positive) == 0 or prevalence == 0:
        return np.inf
    positive, negative = np.sort(positive), np.sort(negative)
    # With j false positives allowed, the threshold is the (j+1)-th largest silent score.
    candidates = np.concatenate([negative[::-1], [-np.inf]])
    false_rate = np.arange(len(candidates)) / max(1, len(negative))
    hits = 1 - np.searchsorted(positive, candidates, side="right") / len(positive)
    p = prevalence
    f1 = 2 * p * hits / (p * hits + (1 - p) * false_rate + p)
    return float(candidates[int(np.argmax(f1))])


def _thresholds(data: ScoreData, detectors: Detectors, rng: np.random.Generator) -> np.ndarray:
    truth, block = data.truth, 512
    x = np.concatenate([rows for rows, _ in data.chunks("select")])
    active = data.select.tocsc()
    out, scores, drawn = np.empty(truth.n_features), np.empty((0, 0)), []
    for i in range(truth.n_features):
        if i % block == 0:
            some = slice(i, i + block)
            scores = replace(detectors, weights=detectors.weights[some]).scores(x)
            if not truth.independent:
                drawn = _drawn_scores(data, detectors, i, np.diff(active.indptr[i : i + block + 1]))
        rows = active.indices[active.indptr[i] : active.indptr[i + 1]]
        score = scores[:, i % block]
        silent = np.delete(score, rows)
        if truth.independent:
            given = silent + _positive_magnitudes(truth, i, len(silent), rng)
        else:
            given = drawn[i % block]
        positive = np.concatenate([score[rows], given])
        out[i] = best_threshold(positive, silent, truth.firing_probability[i])
    return out


def _drawn_scores(
    data: ScoreData, detectors: Detectors, first: int, n_found: np.ndarray
) -> list[np.ndarray]:
    """Of features from `first` on, one for each of `n_found`: scores of samples drawn given that
    the feature fires; none where enough were found."""
    wanted = data.scoring.positives_for(data.truth.n_features)
    fires = data.truth.firing_probability[first : first + len(n_found)] > 0
    lacking = first + np.flatnonzero((n_found < wanted) & fires)
    step, out = max(1, _DRAWN_ROWS // wanted), [np.empty(0)] * len(n_found)
    for start in range(0, len(lacking), step):
        some = lacking[start : start + step]
        x, _ = data.testbed.active_block("select", int(some[0]), np.repeat(some, wanted))
        # Each feature's detector sees its own samples only.
        for feature, rows in zip(some, np.split(x, len(some)), strict=True):
            one = replace(detectors, weights=detectors.weights[feature : feature + 1])
            out[feature - first] = one.scores(rows)[:, 0]
    return out


def _positive_magnitudes(
    truth: FeatureTruth, feature: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """n magnitudes of a feature that fires: zeros of a rectified law are drawn again."""
    index = np.full(n, feature)
    m = np.array(truth.magnitude.draw(rng, index))
    while np.any(m == 0):
        zero = m == 0
        m[zero] = truth.magnitude.draw(rng, index[zero])
    return m
