"""Linear-threshold detectors: one direction and one threshold per feature.

The class that sparse-autoencoder encoders live in, so the best of them is the ceiling for their
activity (row O2*), whatever solver a world would otherwise favour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from groundtruth.outputs import Outputs, dense_to_csr, linear_outputs
from groundtruth.score_data import ScoreData
from groundtruth.truth import FeatureTruth


@dataclass(frozen=True)
class Detectors:
    """Feature i fires where <w_i, x - centre> > t_i.

    Fields:
        weights: (n_features, d) w_i.
        thresholds: (n_features,) t_i.
        centre: (d,).
        gain: (n_features,) response to one unit of the feature, so that s / gain + offset
            estimates a_i.
        offset: (n_features,) E[a_i].
    """

    weights: np.ndarray
    thresholds: np.ndarray
    centre: np.ndarray
    gain: np.ndarray
    offset: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(n, n_features) <w_i, x - centre>, float32."""
        centred = (x - self.centre).astype(np.float32)
        return centred @ self.weights.T.astype(np.float32)

    def codes(self, x: np.ndarray) -> sp.csr_array:
        """Estimated activity where it fires, else 0."""
        score = self.scores(x)
        fires = score > self.thresholds.astype(np.float32)
        gain = np.where(self.gain > 0, self.gain, 1.0).astype(np.float32)
        value = np.maximum(score / gain + self.offset.astype(np.float32), 1e-6)
        return dense_to_csr(np.where(fires, value, np.float32(0)))

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
    """O2*: w_i = Cov(X)^-1 d_i from the world's exact covariance, thresholds chosen on `select`.

    For Gaussian interference this is the best linear detector (Fisher's discriminant). Positives
    are made from silent samples: under independent firing, x + m d_i with m from the magnitude
    law has exactly the law of x given that feature i fires.
    """
    truth = data.truth
    weights = truth.directions @ np.linalg.pinv(truth.covariance, hermitian=True)
    gain = np.einsum("fd,fd->f", weights, truth.directions)
    detectors = Detectors(
        weights, np.zeros(truth.n_features), truth.mean, gain, truth.mean_activity
    )
    thresholds = _thresholds_by_injection(data, detectors, rng)
    return Detectors(weights, thresholds, truth.mean, gain, truth.mean_activity)


def best_threshold(
    positive: np.ndarray, negative: np.ndarray, prevalence: float
) -> float:
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


def _thresholds_by_injection(
    data: ScoreData, detectors: Detectors, rng: np.random.Generator
) -> np.ndarray:
    truth = data.truth
    scores = np.concatenate([detectors.scores(x) for x, _ in data.chunks("select")])
    active = data.select.tocsc()
    out = np.empty(truth.n_features)
    for i in range(truth.n_features):
        rows = active.indices[active.indptr[i] : active.indptr[i + 1]]
        silent = np.delete(scores[:, i], rows)
        m = _positive_magnitudes(truth, i, len(silent), rng)
        out[i] = best_threshold(
            silent + m * detectors.gain[i], silent, truth.firing_probability[i]
        )
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
