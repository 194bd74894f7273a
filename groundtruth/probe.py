"""A claim of what activations say of one concept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.errors import ExplanationError
from groundtruth.vectors import unit_vector


class Probe:
    """Says at which activations the concept holds.

    Args:
        decide: x (n, d) float64 -> (n,) booleans.
        direction: (d,) that it reads, any length but 0; None where it reads no one direction.
        name: shown in tables.

    Raises:
        ExplanationError: a `decide` that cannot be called, a direction that is no finite vector.
    """

    def __init__(
        self,
        decide: Callable[[np.ndarray], Any],
        direction: Any = None,
        *,
        name: str | None = None,
    ) -> None:
        if not callable(decide):
            raise ExplanationError(
                f"decide: expected a function of activations, got {type(decide).__name__}. "
                "For a direction and a threshold pass linear_probe(direction, threshold)."
            )
        self._decide, self.name = decide, name
        self.direction = None if direction is None else unit_vector("direction", direction)

    def decide(self, x: np.ndarray) -> np.ndarray:
        """(n,) whether the concept is claimed to hold.

        Raises:
            ExplanationError: the answer is anything but one boolean for each.
        """
        found = np.asarray(self._decide(x.copy()))
        if found.shape != (len(x),) or found.dtype != bool:
            raise ExplanationError(
                f"decide: expected {len(x)} booleans, one for each row, got {found.dtype} of "
                f"shape {found.shape}."
            )
        return found

    def __repr__(self) -> str:
        return "Probe()" if self.name is None else f"Probe({self.name!r})"


def linear_probe(direction: Any, threshold: float, *, name: str | None = None) -> Probe:
    """The probe that says x @ direction > threshold.

    Raises:
        ExplanationError: not a finite vector, or 0; a threshold that is not finite.

    Example:
        >>> probe = linear_probe(np.array([0.0, 2.0]), 1.0)
        >>> probe.decide(np.array([[3.0, 0.4], [0.0, 0.6]])).tolist()
        [False, True]
    """
    vector = arrays.to_numpy("direction", direction).astype(np.float64).copy()
    if not math.isfinite(threshold):
        raise ExplanationError(f"threshold: expected a finite number, got {threshold}.")
    return Probe(lambda x: x @ vector > threshold, vector, name=name)
