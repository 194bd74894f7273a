"""Correlated roots: which of many thresholded Gaussians with shared factors exceed their limits."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtr

from groundtruth.generators.cells import BernoulliCells

# Standard deviations of z above its mean, among which each column takes its cut.
_CUTS = np.linspace(0.5, 4.0, 36)
_ROWS = 128


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
        # A chance of 0 or 1 has an infinite limit; beyond 1e6 Phi is 0 or 1 all the same.
        weights, offset = loadings / own[:, None], np.clip(limit / own, -1e6, 1e6)
        cut = _CUTS[:, None] * np.linalg.norm(weights, axis=1) - offset
        # A candidate has to be drawn and sorted, an entry above its cut only to be found.
        work = 2 * ndtr(cut) + ndtr(-_CUTS)[:, None]
        at = work.argmin(axis=0), np.arange(len(offset))
        self._columns = np.ascontiguousarray(weights.T, dtype=np.float32)
        self._offset = offset.astype(np.float32)
        # z is float32: the cut has to be one too, or a cell just above it would count twice.
        self._cut = cut[at].astype(np.float32)
        self._above = self._cut + self._offset
        self._highest = ndtr(self._cut)
        self._candidates = BernoulliCells(self._highest)

    @cached_property
    def _weights(self) -> Any:
        import torch

        return torch.from_numpy(self._columns)

    def draw(self, rng: np.random.Generator, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the events that happen, for factors (n, r) float32."""
        import torch

        m = len(self._offset)
        drawn = self._candidates.draw(rng, len(factors))
        cells, values, seldom = [], [], []
        # A few rows at a time, so that their products are still in the processor's cache when
        # they are compared and read. torch's product is the faster one where so few are summed.
        out, given, weights = torch.empty(_ROWS, m), torch.from_numpy(factors), self._weights
        inner, high = out.numpy(), np.empty((_ROWS, m), np.bool_)
        for start in range(0, len(factors), _ROWS):
            rows = given[start : start + _ROWS]
            part, above = inner[: len(rows)], high[: len(rows)]
            torch.mm(rows, weights, out=out[: len(rows)])
            np.greater(part, self._above, out=above)
            begin, end = np.searchsorted(drawn, [start * m, (start + len(rows)) * m])
            low = drawn[begin:end] - start * m
            low = low[~above.reshape(-1)[low]]
            cell = np.concatenate([np.flatnonzero(above), low])
            seldom.append(np.arange(len(cell)) < len(cell) - len(low))
            values.append(part.reshape(-1)[cell])
            cells.append(cell + start * m)
        cell, value = np.concatenate(cells), np.concatenate(values)
        row = cell // m
        column = cell - row * m
        most = np.where(np.concatenate(seldom), np.float32(1.0), self._highest[column])
        chance = normal_cdf(value - self._offset[column])
        hit = rng.random(len(cell), dtype=np.float32) * most < chance
        return row[hit], column[hit]


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Phi(z), float32: torch's, which is vectorised; scipy's takes several times as long."""
    import torch

    return torch.special.ndtr(torch.from_numpy(z)).numpy()
