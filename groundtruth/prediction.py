"""What is claimed of a model's outputs on some inputs: `Prediction`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from groundtruth.errors import ExplanationError


@dataclass(frozen=True, eq=False)
class Prediction:
    """A claim for each input and position; whatever stands at padding positions does not count.

    Fields:
        outputs: (n, position, n_outputs). Of categories the largest is the answer.
        distribution: whether `outputs` are the chances of the categories.
        low, high: (n, position, n_outputs) between which the outputs are said to lie, or None.
        confidence: (n, position) larger where the claim is surer, in any unit; an abstention is
            the lowest, such as -inf. None: it is equally sure everywhere.

    Example:
        >>> sure = Prediction(np.ones((1, 2, 1)), confidence=np.array([[0.0, 1.0]]))
        >>> sure.checked((1, 2), 1).outputs.tolist()
        [[[1.0], [1.0]]]
    """

    outputs: np.ndarray
    distribution: bool = False
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    confidence: np.ndarray | None = None

    def checked(self, shape: tuple[int, ...], n_outputs: int) -> Prediction:
        """The same in float64, for inputs of `shape` (n, position).

        Raises:
            ExplanationError: other shapes, numbers that are not finite, or one bound without the
                other or above it.
        """
        full = (*shape, n_outputs)
        outputs = _numbers("predict", self.outputs, full)
        if (self.low is None) != (self.high is None):
            raise ExplanationError("predict: expected low and high, or neither, got one of them.")
        low = None if self.low is None else _numbers("low", self.low, full)
        high = None if self.high is None else _numbers("high", self.high, full)
        if low is not None and high is not None and (n := int((low > high).sum())):
            raise ExplanationError(f"low, high: expected low <= high, got {n} above it.")
        sure = self.confidence
        sure = None if sure is None else _numbers("confidence", sure, shape, endless=True)
        return Prediction(outputs, self.distribution, low, high, sure)

    def arrays(self) -> dict[str, np.ndarray]:
        """What there is, by field; `of_arrays` takes them back."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: np.asarray(value) for name, value in held.items() if value is not None}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Prediction:
        """The prediction that gave these `arrays`."""
        return cls(**{**arrays, "distribution": bool(arrays["distribution"])})


def _numbers(
    name: str, found: object, wanted: tuple[int, ...], *, endless: bool = False
) -> np.ndarray:
    """In float64; `endless`: infinities are numbers too."""
    numbers = np.asarray(found, dtype=np.float64)
    if numbers.shape != wanted:
        raise ExplanationError(f"{name}: expected shape {wanted}, got {numbers.shape}.")
    bad = np.isnan(numbers) if endless else ~np.isfinite(numbers)
    if n := int(bad.sum()):
        kind = "numbers" if endless else "finite numbers"
        raise ExplanationError(f"{name}: expected {kind}, got {n} that are not.")
    return numbers
