"""What a testbed's own truth says about how well anyone could do; enters metrics as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

UNSCORED_BELOW = 0.1
"""A feature whose best linear detector has a lower F1 than this is unscored for activity."""


@dataclass(frozen=True)
class References:
    """Reference numbers of one testbed on its scoring data.

    Fields:
        f1_linear: (n_features,) F1 of the linear-threshold detector of each feature (O2*).
        f1_inference: (n_features,) F1 of the best prior-aware inference (O1-prior), or None.
        ceilings: reference row id -> metric id -> value.
        n_train: the training budget that identifiability is stated for.
    """

    f1_linear: np.ndarray
    f1_inference: np.ndarray | None = None
    ceilings: dict[str, dict[str, float]] = field(default_factory=dict)
    n_train: int = 1_000_000

    @property
    def unscored(self) -> np.ndarray:
        """(n_features,) bool: no linear detector reaches F1 0.1 there."""
        return self.f1_linear < UNSCORED_BELOW
