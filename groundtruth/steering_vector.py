"""A direction that is claimed to turn a behaviour up and down."""

from __future__ import annotations

from typing import Any

from groundtruth.vectors import unit_vector


class SteeringVector:
    """Adding `amount * direction` is claimed to do what `amount` more of the concept does.

    Args:
        direction: (d,) any length but 0; it is divided by it.
        name: shown in tables.

    Raises:
        ExplanationError: not a finite vector, or 0.

    Example:
        >>> import numpy as np
        >>> SteeringVector(np.array([0.0, 2.0])).direction.tolist()
        [0.0, 1.0]
    """

    def __init__(self, direction: Any, *, name: str | None = None) -> None:
        self.direction, self.name = unit_vector("direction", direction), name

    def __repr__(self) -> str:
        label = "" if self.name is None else f"{self.name!r}, "
        return f"SteeringVector({label}d={len(self.direction)})"
