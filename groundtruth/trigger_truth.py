"""A planted trigger: on which inputs it acts, along which direction, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groundtruth.errors import InputError, reject


@dataclass(frozen=True, eq=False)
class TriggerTruth:
    """The truth table of a trigger, over every input there is.

    Fields:
        site: the hook site behind the detector; activations are those of the last position.
        direction: (d,) unit vector that the detector writes. The benign twin has it as well, and
            nothing reads it there.
        decoy: (d,) unit vector that another detector writes equally often, and nothing reads.
        target: the output that the trigger moves.
        tokens: (n, position) all inputs.
        triggered: (n,) on which the trigger acts; none in the benign twin.
        shift: by how much the target output moves on these, exactly.

    Raises:
        InputError: shapes that do not fit, directions that are not unit vectors.
    """

    site: str
    direction: np.ndarray
    decoy: np.ndarray
    target: int
    tokens: np.ndarray
    triggered: np.ndarray
    shift: float

    def __post_init__(self) -> None:
        if self.triggered.shape != (len(self.tokens),):
            raise reject("triggered", self.triggered.shape, f"shape ({len(self.tokens)},)")
        for name in ("direction", "decoy"):
            vector = getattr(self, name)
            if vector.ndim != 1 or abs(np.linalg.norm(vector) - 1) > 1e-9:
                raise InputError(f"{name}: expected a unit vector (d,).")
        for array in (self.direction, self.decoy, self.tokens, self.triggered):
            array.setflags(write=False)

    @property
    def benign(self) -> bool:
        """Whether this is the twin without a trigger."""
        return not self.triggered.any()
