"""The sparse sampler: memory and time grow with the features that fire, not with all features.

Independent Bernoulli cells by a Poisson process: give feature i the rate -log(1 - p_i) per
sample. A cell holds at least one point with probability 1 - exp(log(1 - p_i)) = p_i, and cells
are independent, so the cells that were hit are exactly the firings. Points that fall into one
cell merge; nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from groundtruth.truth import FeatureTruth

# Above this, hitting a cell many times to fill it costs more than drawing every cell.
_DENSE_ABOVE = 0.9


@dataclass(frozen=True)
class SparseSampler:
    """Draws from x = a D + bias + noise with independent firing.

    Args:
        truth: the planted dictionary.
        fires: (n_features,) probability that a feature is chosen to fire before its magnitude is
            drawn; equal to the truth's except where a magnitude may be 0.
    """

    truth: FeatureTruth
    fires: np.ndarray

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, sp.csr_array]:
        """x (n, d) float32 and codes (n, n_features) CSR float32, indices sorted."""
        cells = self._cells(rng, n)
        row, feature = np.divmod(cells, self.truth.n_features)
        return self._finish(rng, row, feature, n)

    def draw_active(
        self, rng: np.random.Generator, features: np.ndarray
    ) -> tuple[np.ndarray, sp.csr_array]:
        """As `draw`, one row for each entry of `features`, given that this feature fires.

        Under independence the other features keep their own law. The magnitude of the forced
        firing follows the law given that it is not 0, by drawing again where it was.
        """
        n, n_features = len(features), self.truth.n_features
        forced = np.arange(n) * n_features + features
        cells = np.union1d(self._cells(rng, n), forced)
        row, feature = np.divmod(cells, n_features)
        return self._finish(rng, row, feature, n, np.searchsorted(cells, forced))

    @cached_property
    def _rates(self) -> tuple[np.ndarray, np.ndarray]:
        dense = np.flatnonzero(self.fires > _DENSE_ABOVE)
        rate = -np.log1p(-np.where(self.fires > _DENSE_ABOVE, 0.0, self.fires))
        return rate, dense

    @cached_property
    def _directions(self) -> np.ndarray:
        return np.ascontiguousarray(self.truth.directions, dtype=np.float32)

    def _cells(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Sorted flat indices row * n_features + feature of the cells that fire."""
        rate, dense = self._rates
        counts = rng.poisson(n * rate)
        feature = np.repeat(np.arange(self.truth.n_features), counts)
        row = rng.integers(0, n, len(feature))
        cells = row * self.truth.n_features + feature
        if len(dense):
            hit = rng.random((n, len(dense))) < self.fires[dense]
            extra_row, extra = np.nonzero(hit)
            cells = np.concatenate([cells, extra_row * self.truth.n_features + dense[extra]])
        return np.unique(cells)

    def _finish(
        self,
        rng: np.random.Generator,
        row: np.ndarray,
        feature: np.ndarray,
        n: int,
        forced: np.ndarray | None = None,
    ) -> tuple[np.ndarray, sp.csr_array]:
        truth = self.truth
        value = truth.magnitude.draw(rng, feature).astype(np.float32)
        if forced is not None:
            zero = forced[value[forced] == 0]
            while len(zero):
                value[zero] = truth.magnitude.draw(rng, feature[zero])
                zero = zero[value[zero] == 0]
        if np.any(value == 0):
            kept = value != 0
            row, feature, value = row[kept], feature[kept], value[kept]
        start = np.zeros(n + 1, dtype=np.int64)
        np.cumsum(np.bincount(row, minlength=n), out=start[1:])
        codes = sp.csr_array((value, feature.astype(np.int32), start), (n, truth.n_features))
        codes.has_sorted_indices = True
        x = codes @ self._directions
        if truth.bias.any():
            x += truth.bias.astype(np.float32)
        if truth.noise > 0:
            x += np.float32(truth.noise) * rng.standard_normal(x.shape, dtype=np.float32)
        return x, codes
