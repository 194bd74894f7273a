"""What a method for causal variables gets: a model, and a hypothesis of what it computes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from groundtruth import seeds
from groundtruth.alignment import Subspace
from groundtruth.errors import UnknownName, reject
from groundtruth.models.transformer import Transformer
from groundtruth.variable_pairs import Answers, Labelled, Pairs, activations_at, are_right


class VariableSubject:
    """A model with a hypothesis: variables, their values on inputs, and what follows from them.

    The hypothesis is a causal model that somebody wants to find in the model. It says which value
    each variable has on an input and what the outputs are once it is interchanged; where the model
    carries it is for the method to say. No truth can be reached through attributes.

    Fields:
        model: the transformer.
        sites: of the residual stream, in order; a claim may be at any other.
        values: variable -> all that it can be.
        answers: what the outputs can say.
    """

    __slots__ = ("_labelled", "_pairs", "answers", "model", "sites", "values")

    def __init__(
        self,
        model: Transformer,
        sites: Sequence[str],
        values: Mapping[str, tuple[Any, ...]],
        answers: Answers,
        pairs: Callable[[str, int, int], Pairs],
        labelled: Callable[[str, int, int], Labelled],
    ) -> None:
        self.model, self.sites, self.answers = model, tuple(sites), answers
        self.values = MappingProxyType(dict(values))
        # Methods ask again for every site, and running the causal model takes longer than a fit.
        self._pairs, self._labelled = functools.cache(pairs), functools.cache(labelled)

    def pairs(self, variable: str, n: int, *, seed: int = 0) -> Pairs:
        """`n` random pairs to interchange `variable` on; on every second one an answer changes, or
        on fewer where that is rare.

        Raises:
            InputError: fewer than two.
            UnknownName: no such variable.
        """
        if n < 2:
            raise reject("n", n, "at least 2")
        return self._pairs(self._known(variable), n, seeds.check_seed(seed))

    def labelled(self, variable: str, n: int, *, seed: int = 0) -> Labelled:
        """`n` random inputs with the values of `variable`.

        Raises:
            UnknownName: no such variable.
        """
        return self._labelled(self._known(variable), n, seeds.check_seed(seed))

    def labelled_activations(
        self, variable: str, site: str, n: int, *, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Activations (row, width) of `site` in float64, and which value `variable` has there."""
        found = self.labelled(variable, n, seed=seed)
        return activations(self.model, found, site), found.labels[found.there]

    def accuracy(self, pairs: Pairs, claim: Subspace) -> float:
        """Share of `pairs` on which interchange of what is claimed has the right answers."""
        return float(are_right(self.model, pairs, self.answers, claim).mean())

    def _known(self, variable: str) -> str:
        if variable not in self.values:
            raise UnknownName("variable of this hypothesis", variable, self.values)
        return variable

    def __repr__(self) -> str:
        return f"VariableSubject({', '.join(self.values)}; {len(self.sites)} sites)"


def activations(model: Transformer, inputs: Labelled, site: str) -> np.ndarray:
    """(row, width) at the positions where the variable is there, in float64."""
    found = activations_at(model, inputs.tokens, site)
    return found.double().cpu().numpy()[inputs.there]
