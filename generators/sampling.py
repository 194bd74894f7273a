"""The sparse sampler: memory and time grow with the features that fire, not with all features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from groundtruth.generators.cells import BernoulliCells, distinct
from groundtruth.slabs import Slabs
from groundtruth.truth import FeatureTruth


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
        return self._finish(rng, self._cells.draw(rng, n), n)

    def draw_active(
        self, rng: np.random.Generator, features: np.ndarray
    ) -> tuple[np.ndarray, sp.csr_array]:
        """As `draw`, one row for each entry of `features`, given that this feature fires.

        Under independence the other features keep their own law. The magnitude of the forced
        firing follows the law given that it is not 0, by drawing again where it was.
        """
        n = len(features)
        forced = np.arange(n) * self.truth.n_features + features
        cells = distinct(np.concatenate([self._cells.draw(rng, n), forced]))
        return self._finish(rng, cells, n, np.searchsorted(cells, forced))

    @cached_property
    def _cells(self) -> BernoulliCells:
        return BernoulliCells(self.fires)

    @cached_property
    def _directions(self) -> Slabs:
        return Slabs(self.truth.directions)

    def _finish(
        self,
        rng: np.random.Generator,
        cells: np.ndarray,
        n: int,
        forced: np.ndarray | None = None,
    ) -> tuple[np.ndarray, sp.csr_array]:
        truth = self.truth
        feature = cells - cells // truth.n_features * truth.n_features
        value = truth.magnitude.draw(rng, feature).astype(np.float32)
        if forced is not None:
            zero = forced[value[forced] == 0]
            while len(zero):
                value[zero] = truth.magnitude.draw(rng, feature[zero])
                zero = zero[value[zero] == 0]
        if not value.all():
            kept = value != 0
            cells, feature, value = cells[kept], feature[kept], value[kept]
        start = np.searchsorted(cells, np.arange(n + 1, dtype=cells.dtype) * truth.n_features)
        shape = (n, truth.n_features)
        codes = sp.csr_array((value, feature.astype(np.int32, copy=False), start), shape)
        codes.has_sorted_indices = True
        return activations(truth, self._directions, codes, rng), codes


def activations(
    truth: FeatureTruth, directions: Slabs, codes: sp.csr_array, rng: np.random.Generator
) -> np.ndarray:
    """(n, d) float32 codes @ directions + bias + noise."""
    x = directions.product(codes)
    if truth.bias.any():
        x += truth.bias.astype(np.float32)
    if truth.noise > 0:
        x += np.float32(truth.noise) * rng.standard_normal(x.shape, dtype=np.float32)
    return x
