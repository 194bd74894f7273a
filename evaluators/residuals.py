"""Sums over activations, reconstruction and residual, of which reconstruction scores are ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

NO_SPREAD = 1e-24
"""A mean square deviation up to this, in units of the largest entry squared, is rounding."""

_BLOCK = 256  # rows at a time: float64 copies of so few stay in the processor's cache

Rows = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Reconstructed:
    """x_n, x_hat_n and r_n = x_n - x_hat_n on `score`, and what several metrics sum of them.

    Sums are taken in float64 and are in units of the data's largest entry squared: ratios do not
    depend on it, and squares of sums of very large or small activations stay in range.

    Fields:
        x: (n, d) activations, float32.
        x_hat: (n, d) reconstruction.
    """

    x: np.ndarray
    x_hat: np.ndarray

    @cached_property
    def x_square(self) -> np.ndarray:
        """(n,) ||x_n||^2."""
        return self._per_sample(lambda x, x_hat: _squares(x))

    @cached_property
    def x_hat_square(self) -> np.ndarray:
        """(n,) ||x_hat_n||^2."""
        return self._per_sample(lambda x, x_hat: _squares(x_hat))

    @cached_property
    def dot(self) -> np.ndarray:
        """(n,) <x_n, x_hat_n>."""
        return self._per_sample(lambda x, x_hat: np.einsum("nd,nd->n", x, x_hat))

    @cached_property
    def residual_square(self) -> np.ndarray:
        """(n,) ||r_n||^2."""
        return self._per_sample(lambda x, x_hat: _squares(x - x_hat))

    @cached_property
    def spread(self) -> np.ndarray:
        """(n,) ||x_n - mean||^2."""
        return self._spread(lambda x, x_hat: x)

    @cached_property
    def residual_spread(self) -> np.ndarray:
        """(n,) ||r_n - mean||^2."""
        return self._spread(lambda x, x_hat: x - x_hat)

    @cached_property
    def spread_by_dimension(self) -> np.ndarray:
        """(d,) sum over samples of (x_nj - mean_j)^2."""
        centre = self._centre(lambda x, x_hat: x)
        return self._per_dimension(lambda x, x_hat: x - centre)

    @cached_property
    def residual_by_dimension(self) -> np.ndarray:
        """(d,) sum over samples of r_nj^2."""
        return self._per_dimension(lambda x, x_hat: x - x_hat)

    @cached_property
    def _unit(self) -> float:
        largest = max(float(self.x.max(initial=0.0)), -float(self.x.min(initial=0.0)))
        return largest**2 if largest > 0 else 1.0

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self.x), _BLOCK):
            rows = slice(start, start + _BLOCK)
            yield self.x[rows].astype(np.float64), self.x_hat[rows].astype(np.float64, copy=False)

    def _per_sample(self, value: Rows) -> np.ndarray:
        return np.concatenate([value(*block) for block in self._blocks()]) / self._unit

    def _per_dimension(self, rows: Rows) -> np.ndarray:
        squares = [np.einsum("nd,nd->d", r, r) for r in (rows(*block) for block in self._blocks())]
        return np.sum(squares, axis=0) / self._unit

    def _spread(self, rows: Rows) -> np.ndarray:
        centre = self._centre(rows)
        return self._per_sample(lambda x, x_hat: _squares(rows(x, x_hat) - centre))

    def _centre(self, rows: Rows) -> np.ndarray:
        """The mean row, measured from the first, so that a constant deviates by exactly 0."""
        first = rows(*next(self._blocks()))[0]
        moved = [(rows(*block) - first).sum(axis=0) for block in self._blocks()]
        return first + np.sum(moved, axis=0) / len(self.x)


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", rows, rows)
