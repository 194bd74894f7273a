"""Inputs on which a claimed understanding is tried: alike to what was seen, and not alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from groundtruth import hashing, seeds
from groundtruth.predictor import Interchange, check_queries
from groundtruth.testbed import Recipe

if TYPE_CHECKING:
    from groundtruth.models.transformer import Transformer

Inputs = tuple[np.ndarray, Interchange | None]
"""(n, position) token ids, and what is done to the model meanwhile."""


class PredictionSubject:
    """All that a method may see: the model, inputs to learn from, and so many answers.

    A method that makes a claim from the model's inside needs no queries. One that does not looks at
    the answers alone, and each input it asks for counts.

    Fields:
        model: the transformer.
        queries: how many inputs may be asked for.
        n_outputs: of the model.
        interchanges: whether interventions are among the tests.
    """

    __slots__ = ("_answer", "_inputs", "_used", "interchanges", "model", "n_outputs", "queries")

    def __init__(
        self,
        model: Transformer,
        queries: int,
        n_outputs: int,
        interchanges: bool,
        inputs: Callable[[int, int, bool], list[Inputs]],
        answer: Callable[[np.ndarray, Interchange | None], np.ndarray],
    ) -> None:
        self.model, self.queries, self.n_outputs = model, queries, n_outputs
        self.interchanges, self._used = interchanges, 0
        self._inputs, self._answer = inputs, answer

    def inputs(self, n: int, *, seed: int = 0, interchanged: bool = False) -> list[Inputs]:
        """About `n` inputs to learn from, in groups of one intervention each; one group without."""
        return self._inputs(n, seeds.check_seed(seed), interchanged)

    def ask(self, tokens: np.ndarray, interchange: Interchange | None = None) -> np.ndarray:
        """The model's outputs (n, position, n_outputs).

        Raises:
            InputError: more than `queries` inputs in all.
        """
        check_queries(self._used, len(tokens), self.queries)
        self._used += len(tokens)
        return self._answer(tokens, interchange)

    def __repr__(self) -> str:
        return f"PredictionSubject({self.queries - self._used} queries left)"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Inputs with the model's outputs.

    Fields:
        tokens: (n, position).
        outputs: (n, position, n_outputs).
        counted: (n, position) which positions count.
        interchange: what is done to the model meanwhile, or None.
    """

    tokens: np.ndarray
    outputs: np.ndarray
    counted: np.ndarray
    interchange: Interchange | None = None


@dataclass(frozen=True, eq=False)
class PredictionTruth:
    """What the model does on inputs that no method has seen the answers of.

    Fields:
        sets: name -> its parts: "iid", as the inputs to learn from; "combinations", with pairs of
            neighbours that those never have; "longer", beyond their length; "intervened", under an
            interchange of one variable in each part.
        kind: "categorical": the largest output counts; "numerical": the outputs themselves.
        tolerance: by how much a number may be off and still agree.
    """

    sets: Mapping[str, tuple[HeldOut, ...]]
    kind: Literal["categorical", "numerical"]
    tolerance: float


@dataclass(frozen=True, eq=False)
class PredictionTestbed:
    """A model whose behaviour is known by its causal model.

    Fields:
        recipe: from which it is built again.
        truth: the test sets.
        make_subject: what a method sees, with all its queries unused.
        truth_class, source: of the model.
    """

    recipe: Recipe
    truth: PredictionTruth
    make_subject: Callable[[], PredictionSubject]
    truth_class: str
    source: str

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def subject(self) -> PredictionSubject:
        """A fresh one each time."""
        return self.make_subject()

    @cached_property
    def hash(self) -> str:
        """Of the tests."""
        parts = [
            (f"{name}.{i}", part)
            for name, parts in self.truth.sets.items()
            for i, part in enumerate(parts)
        ]
        arrays = {f"{name}.tokens": part.tokens for name, part in parts}
        arrays |= {f"{name}.outputs": part.outputs.astype(np.float32) for name, part in parts}
        for name, part in parts:
            if (given := part.interchange) is not None:
                arrays |= {f"{name}.source": given.source, f"{name}.basis": given.basis}
        return hashing.content_hash({"kind": self.truth.kind}, arrays)

    def __repr__(self) -> str:
        return f"<PredictionTestbed {self.name}: {', '.join(self.truth.sets)}, {self.hash[:12]}>"
