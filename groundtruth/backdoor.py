"""A claim that a model has a hidden trigger, or that it has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from groundtruth.errors import ExplanationError
from groundtruth.vectors import unit_vector


class Backdoor:
    """On inputs that `trigger` names, the model is claimed to act otherwise, along `direction`.

    Args:
        trigger: tokens (n, position) -> (n,) booleans. None: the model is claimed to have none.
        direction: (d,) any length but 0; None where only the trigger is claimed.
        name: shown in tables.

    Raises:
        ExplanationError: a trigger that cannot be called, a direction without a trigger, or one
            that is no finite vector.

    Example:
        >>> claim = Backdoor(lambda tokens: tokens[:, 1] == 3)
        >>> claim.flagged(np.array([[0, 3], [0, 2]])).tolist()
        [True, False]
        >>> Backdoor(None).flagged(np.array([[0, 3], [0, 2]])).tolist()
        [False, False]
    """

    def __init__(
        self,
        trigger: Callable[[np.ndarray], Any] | None,
        direction: Any = None,
        *,
        name: str | None = None,
    ) -> None:
        if trigger is not None and not callable(trigger):
            raise ExplanationError(
                f"trigger: expected a function of tokens, or None, got {type(trigger).__name__}."
            )
        if trigger is None and direction is not None:
            raise ExplanationError("direction: expected none where no trigger is claimed, got one.")
        self.trigger, self.name = trigger, name
        self.direction = None if direction is None else unit_vector("direction", direction)

    def flagged(self, tokens: np.ndarray) -> np.ndarray:
        """(n,) the inputs that are claimed to trigger.

        Raises:
            ExplanationError: the trigger gives anything but one boolean for each.
        """
        if self.trigger is None:
            return np.zeros(len(tokens), dtype=bool)
        found = np.asarray(self.trigger(tokens.copy()))
        if found.shape != (len(tokens),) or found.dtype != bool:
            raise ExplanationError(
                f"trigger: expected {len(tokens)} booleans, one for each input, got "
                f"{found.dtype} of shape {found.shape}."
            )
        return found

    def __repr__(self) -> str:
        label = "" if self.name is None else f"{self.name!r}, "
        return f"Backdoor({label}{'none' if self.trigger is None else 'claimed'})"
