"""A dictionary whose latents are ranked by how much each is claimed to cause."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary


class RankedDictionary:
    """Latents at a site, and a claimed strength of each.

    Args:
        dictionary: the latents.
        strengths: (k,) larger is more; any real numbers, -inf for what was ruled out.
        name: shown in tables.

    Raises:
        ExplanationError: no dictionary; strengths of another number, NaN or +inf.

    Example:
        >>> RankedDictionary(Dictionary(np.eye(3)), np.array([2.0, 0.0, 1.0])).order.tolist()
        [0, 2, 1]
    """

    def __init__(self, dictionary: Dictionary, strengths: Any, *, name: str | None = None) -> None:
        if not isinstance(dictionary, Dictionary):
            raise ExplanationError(
                f"dictionary: expected a Dictionary, got {type(dictionary).__name__}."
            )
        numbers = arrays.to_numpy("strengths", strengths).astype(np.float64)
        if numbers.shape != (dictionary.k,):
            raise ExplanationError(
                f"strengths: expected one for each of {dictionary.k} latents, got shape "
                f"{numbers.shape}."
            )
        bad = np.flatnonzero(np.isnan(numbers) | (numbers == np.inf))
        if len(bad):
            raise ExplanationError(
                f"strengths: expected numbers, or -inf for what was ruled out, got "
                f"{numbers[bad[0]]} for latent {bad[0]} ({len(bad)} of {len(numbers)})."
            )
        self.dictionary, self.name = dictionary, name
        self.strengths = numbers
        self.strengths.setflags(write=False)

    @property
    def order(self) -> np.ndarray:
        """(k,) latents, strongest first."""
        return np.argsort(-self.strengths, kind="stable")

    def __repr__(self) -> str:
        label = "" if self.name is None else f"{self.name!r}, "
        return f"RankedDictionary({label}k={self.dictionary.k}, d={self.dictionary.d})"
