"""O3: supervised probes. With labels and a training budget, how well could each feature be read?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from groundtruth.ladder.detectors import Detectors, best_threshold, unit_response
from groundtruth.testbed import Testbed

MOST_ROWS = 50_000


def probes(testbed: Testbed, n_train: int) -> tuple[np.ndarray, Detectors]:
    """Difference-of-means directions and Fisher detectors from labelled training samples.

    Direction i is mean(x | active) - mean(x | silent); its detector is Cov(x)^-1 times that,
    with the threshold of highest F1 on the same samples. At most `MOST_ROWS` samples are used.

    Returns:
        Unit directions (n_features, d), zero rows for features that never fired, and detectors.
    """
    truth = testbed.truth.features
    n = min(n_train, MOST_ROWS)
    x_torch, codes = testbed.sample(n, seed=0)
    x = x_torch.numpy().astype(np.float64)
    active = codes.copy()
    active.data[:] = 1
    columns = active.tocsc()
    count = np.diff(columns.indptr)
    mean = x.mean(axis=0)
    on = (active.T @ x) / np.maximum(1, count)[:, None]
    off = (x.sum(axis=0) - on * count[:, None]) / np.maximum(1, n - count)[:, None]
    difference = np.where((count > 0)[:, None], on - off, 0.0)
    covariance = np.cov(x, rowvar=False).reshape(truth.d, truth.d)
    size = np.linalg.norm(difference, axis=1)
    unit = difference / np.where(size > 0, size, 1.0)[:, None]
    weights = unit_response(difference @ np.linalg.pinv(covariance, hermitian=True), unit)
    activity = np.asarray(codes.sum(axis=0)).ravel() / n
    detectors = Detectors(weights, np.full(len(weights), np.inf), mean, activity)
    scores = detectors.scores(x.astype(np.float32))
    thresholds = np.array(
        [
            _threshold(scores[:, i], columns.indices[columns.indptr[i] : columns.indptr[i + 1]])
            for i in range(truth.n_features)
        ]
    )
    return unit, replace(detectors, thresholds=thresholds)


def _threshold(score: np.ndarray, rows: np.ndarray) -> float:
    return best_threshold(score[rows], np.delete(score, rows), len(rows) / len(score))
