"""Correlated roots: which of many thresholded Gaussians with shared factors exceed their limits."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

_BYTES = 256


class Scan:
    """Events [loadings . eps + own eta > limit], independent given the factors eps.

    An event happens with chance q = Phi(z), z = (loadings . eps - limit) / own. A uniform below q
    is what is needed; its first byte b rules nearly every cell out, since it cannot be below q
    unless z > Phi^-1(b / 256). Only where it can is the uniform completed and q computed.

    Args:
        loadings: (m, r) on the factors.
        own: (m,) standard deviation of the part that is not shared.
        limit: (m,) to be exceeded.
    """

    def __init__(self, loadings: np.ndarray, own: np.ndarray, limit: np.ndarray) -> None:
        self._weights = np.ascontiguousarray((loadings / own[:, None]).T, dtype=np.float32)
        self._offset = (limit / own).astype(np.float32)
        with np.errstate(divide="ignore"):
            self._least = ndtri(np.arange(_BYTES) / _BYTES).astype(np.float32)

    def draw(self, rng: np.random.Generator, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the events that happen, for factors (n, r) float32."""
        z = factors @ self._weights
        z -= self._offset
        first = np.frombuffer(rng.bytes(z.size), dtype=np.uint8)
        flat = z.reshape(-1)
        may = np.flatnonzero(flat > self._least[first])
        u = (first[may] + rng.random(len(may))) / _BYTES
        hit = may[u < ndtr(flat[may].astype(np.float64))]
        row = hit // z.shape[1]
        return row, hit - row * z.shape[1]
