"""Checks of vectors that claims are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.errors import ExplanationError


def unit_vector(name: str, value: Any) -> np.ndarray:
    """`value` as a float64 vector of length 1, read-only.

    Raises:
        ExplanationError: not one axis, not finite, or 0.
    """
    vector = arrays.to_numpy(name, value).astype(np.float64)
    if vector.ndim != 1 or not len(vector):
        raise ExplanationError(f"{name}: expected shape (d,), got {vector.shape}.")
    arrays.check_finite(name, vector)
    length = np.linalg.norm(vector)
    if length == 0:
        raise ExplanationError(f"{name}: expected a direction, got zeros.")
    vector = vector / length
    vector.setflags(write=False)
    return vector


def check_length(name: str, vector: np.ndarray, d: int) -> None:
    """Raise unless the vector has `d` entries.

    Raises:
        ExplanationError: it has not.
    """
    if len(vector) != d:
        raise ExplanationError(
            f"{name}: expected shape ({d},) for this testbed, got {vector.shape}. "
            "Was it found at another site?"
        )
