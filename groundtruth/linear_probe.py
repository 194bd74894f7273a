"""A claim of what activations say: a direction and a threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.errors import ExplanationError
from groundtruth.vectors import unit_vector


class LinearProbe:
    """The concept is claimed to hold where x @ direction > threshold.

    Args:
        direction: (d,) any length but 0.
        threshold: for that direction, as it is given.
        name: shown in tables.

    Raises:
        ExplanationError: not a finite vector, or 0; a threshold that is not finite.

    Example:
        >>> LinearProbe(np.array([0.0, 2.0]), 1.0).decide(np.array([[3.0, 0.4], [0.0, 0.6]])).tolist()
        [False, True]
    """

    def __init__(self, direction: Any, threshold: float, *, name: str | None = None) -> None:
        self.direction = unit_vector("direction", direction)
        length = np.linalg.norm(arrays.to_numpy("direction", direction).astype(np.float64))
        if not math.isfinite(threshold):
            raise ExplanationError(f"threshold: expected a finite number, got {threshold}.")
        self.threshold, self.name = float(threshold) / float(length), name

    def decide(self, x: np.ndarray) -> np.ndarray:
        """(n,) whether the concept is claimed to hold at activations x (n, d)."""
        return x @ self.direction > self.threshold

    def __repr__(self) -> str:
        label = "" if self.name is None else f"{self.name!r}, "
        return f"LinearProbe({label}d={len(self.direction)})"
