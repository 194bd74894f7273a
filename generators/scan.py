"""Correlated roots: which of many thresholded Gaussians with shared factors exceed their limits."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from groundtruth.generators.cells import BernoulliCells

# Standard deviations of z above its mean, among which each column takes its cut.
_CUTS = np.linspace(0.5, 4.0, 36)


class Scan:
    """Events [loadings . eps + own eta > limit], independent given the factors eps.

    An event happens with chance Phi(z), z = (loadings . eps - limit) / own. Each column has a cut
    c: where z > c, which is seldom, a uniform is drawn and Phi(z) computed. Elsewhere the chance is
    at most Phi(c), so candidates are drawn at that rate, at a cost that grows with them alone, and
    kept with chance Phi(z) / Phi(c). The cut is where the two are fewest together.

    Args:
        loadings: (m, r) on the factors.
        own: (m,) standard deviation of the part that is not shared.
        limit: (m,) to be exceeded.
    """

    def __init__(self, loadings: np.ndarray, own: np.ndarray, limit: np.ndarray) -> None:
        weights, offset = loadings / own[:, None], limit / own
        cut = _CUTS[:, None] * np.linalg.norm(weights, axis=1) - offset
        work = ndtr(cut) + ndtr(-_CUTS)[:, None]
        at = work.argmin(axis=0), np.arange(len(offset))
        self._weights = np.ascontiguousarray(weights.T, dtype=np.float32)
        self._offset = offset.astype(np.float32)
        # z is float32: the cut has to be one too, or a cell just above it would count twice.
        self._cut = cut[at].astype(np.float32)
        self._above = self._cut + self._offset
        self._highest = ndtr(self._cut.astype(np.float64))
        self._candidates = BernoulliCells(self._highest)

    def draw(self, rng: np.random.Generator, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the events that happen, for factors (n, r) float32."""
        inner = factors @ self._weights
        n, m = inner.shape
        flat, high = inner.reshape(-1), (inner > self._above).reshape(-1)
        seldom = np.flatnonzero(high)
        drawn = self._candidates.draw(rng, n)
        drawn = drawn[~high[drawn]]
        cell = np.concatenate([seldom, drawn])
        row = cell // m
        column = cell - row * m
        most = self._highest[column]
        most[: len(seldom)] = 1.0
        chance = ndtr((flat[cell] - self._offset[column]).astype(np.float64))
        hit = rng.random(len(cell)) * most < chance
        return row[hit], column[hit]
