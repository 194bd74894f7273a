"""Parameter components: what each mechanism of a model contributes to its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from groundtruth.errors import InputError, UnknownName

Arrays = Mapping[str, np.ndarray]
"""Weights by name, as `Weights.arrays` gives them."""


@dataclass(frozen=True)
class Mechanism:
    """A component of the weights.

    Fields:
        name: of what it computes.
        arrays: its share of each weight, in full shape; of the others it has none.
    """

    name: str
    arrays: Arrays = field(repr=False)


@dataclass(frozen=True)
class MechanismTruth:
    """Components that sum to the weights, exactly.

    Fields:
        mechanisms: the components.
        weights: what they sum to.
        inputs: hash of the list of inputs that `necessary` is about; "" without one.
        necessary: (n_mechanisms, n_inputs) whether an output of the model changes on this input
            where the component alone is set to zero; None if that is not known. Components that
            stand in for one another are each unnecessary.

    Raises:
        InputError: they do not sum to the weights; `necessary` has another shape.
    """

    mechanisms: tuple[Mechanism, ...]
    weights: Arrays = field(repr=False)
    inputs: str = ""
    necessary: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, whole in self.weights.items():
            total = np.zeros_like(whole)
            for mechanism in self.mechanisms:
                total = total + mechanism.arrays.get(name, 0.0)
            if not np.array_equal(total, whole):
                raise InputError(
                    f"mechanisms: expected components that sum to {name}, got a sum that is off "
                    f"by {np.abs(total - whole).max():.3g}."
                )
        held = self.necessary
        if held is not None and (held.ndim != 2 or len(held) != len(self.mechanisms)):
            raise InputError(
                f"necessary: expected one row for each of {len(self.mechanisms)} mechanisms, got "
                f"shape {held.shape}."
            )

    def __getitem__(self, name: str) -> Mechanism:
        """The component called `name`.

        Raises:
            UnknownName: there is none.
        """
        for mechanism in self.mechanisms:
            if mechanism.name == name:
                return mechanism
        raise UnknownName("mechanism", name, [mechanism.name for mechanism in self.mechanisms])

    def without(self, *names: str) -> dict[str, np.ndarray]:
        """The weights with these components taken out."""
        left = {name: whole.copy() for name, whole in self.weights.items()}
        for mechanism in map(self.__getitem__, names):
            for name, share in mechanism.arrays.items():
                left[name] -= share
        return left
