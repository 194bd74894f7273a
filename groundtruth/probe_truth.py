"""What a probe should read, and cases that tell it from what goes along with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groundtruth.errors import InputError, reject


@dataclass(frozen=True, eq=False)
class Cases:
    """Activations with the right answers.

    Fields:
        x: (n, d).
        labels: (n,) whether the concept holds.
        weights: (n,) that sum to 1.
        exhaustive: the cases are all there are, so that an accuracy has no error.
        ceiling, ceiling_kind: the accuracy of a probe that knows the truth, and which that is.
    """

    x: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    exhaustive: bool
    ceiling: float
    ceiling_kind: str

    def __post_init__(self) -> None:
        n = len(self.x)
        if self.labels.shape != (n,) or self.weights.shape != (n,):
            raise reject("labels, weights", self.labels.shape, f"shape ({n},)")
        if abs(self.weights.sum() - 1) > 1e-9:
            raise InputError("weights: expected numbers that sum to 1.")
        for array in (self.x, self.labels, self.weights):
            array.setflags(write=False)


@dataclass(frozen=True, eq=False)
class ProbeTruth:
    """A concept, and a rival that goes along with it until it does not.

    Fields:
        concept, rival: their names.
        direction, rival_direction: (d,) unit vectors that the activations carry them by.
        readout, rival_readout: (d,) what reads each and nothing else: x @ readout is the code.
        threshold, rival_threshold: codes above it hold.
        familiar: cases as methods see them, or on which concept and rival agree.
        shifted: cases on which they do not go together any more.
    """

    concept: str
    rival: str
    direction: np.ndarray
    rival_direction: np.ndarray
    readout: np.ndarray
    rival_readout: np.ndarray
    threshold: float
    rival_threshold: float
    familiar: Cases
    shifted: Cases

    def __post_init__(self) -> None:
        for name in ("direction", "rival_direction"):
            if abs(np.linalg.norm(getattr(self, name)) - 1) > 1e-9:
                raise InputError(f"{name}: expected a unit vector (d,).")
        if abs(self.direction @ self.readout - 1) > 1e-9:
            raise InputError("readout: expected direction @ readout to be 1.")
        for array in (self.direction, self.rival_direction, self.readout, self.rival_readout):
            array.setflags(write=False)

    @property
    def d(self) -> int:
        """Activation width."""
        return len(self.direction)
