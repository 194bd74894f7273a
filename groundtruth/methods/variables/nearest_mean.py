"""Values read off a subspace: the one whose mean activation is nearest."""

from __future__ import annotations

from typing import Any

import numpy as np


class NearestMean:
    """Reads values off activations by their nearest mean within a subspace.

    Args:
        basis: (dim, width) orthonormal rows.
        x: (row, width) activations.
        labels: (row,) which of `values` each has; those that none has are never read.
        values: of the variable.
    """

    def __init__(
        self, basis: np.ndarray, x: np.ndarray, labels: np.ndarray, values: tuple[Any, ...]
    ) -> None:
        present, means = class_means(x, labels)
        self._basis, self._means = basis, means @ basis.T
        self._values = [values[k] for k in present]

    def __call__(self, x: np.ndarray) -> list[Any]:
        at = np.asarray(x, dtype=float) @ self._basis.T
        nearest = ((self._means**2).sum(1) - 2 * at @ self._means.T).argmin(1)
        return [self._values[k] for k in nearest.tolist()]


def class_means(x: np.ndarray, labels: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Labels that occur, and (n_labels, width) the mean of the rows of each."""
    present = np.unique(labels)
    return present.tolist(), np.stack([x[labels == k].mean(0) for k in present])


def share_read(decode: Any, x: np.ndarray, labels: np.ndarray, values: tuple[Any, ...]) -> float:
    """Share of rows whose value `decode` reads right."""
    return float(np.mean([values[k] == found for k, found in zip(labels.tolist(), decode(x))]))
