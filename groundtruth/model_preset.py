"""A named testbed of a model, built from its recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from groundtruth import seeds
from groundtruth.errors import UnknownName, check_no_word
from groundtruth.testbed import Recipe

Made = TypeVar("Made", covariant=True)


@dataclass(frozen=True)
class ModelPreset(Generic[Made]):
    """A named testbed of a model.

    Fields:
        builder: builder(recipe, source, **parameters) -> testbed.
        parameters: what can be changed, with defaults.
    """

    name: str
    summary: str
    source: str
    builder: Callable[..., Made]
    parameters: dict[str, Any]
    version: int = 1

    def build(self, /, *, seed: int = 0, **changes: Any) -> Made:
        """The testbed with any parameter changed.

        Args:
            seed: of all that is drawn.
            changes: see `parameters`.

        Raises:
            UnknownName: no such parameter.
            InputError: one out of range.
        """
        for key, value in changes.items():
            if key not in self.parameters:
                raise UnknownName(f"parameter of {self.name}", key, self.parameters)
            check_no_word(key, value, self.parameters[key])
        chosen = {**self.parameters, **changes}
        recipe = Recipe(self.name, chosen, seeds.check_seed(seed))
        return self.builder(recipe, self.source, **chosen)
