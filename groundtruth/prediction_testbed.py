"""Inputs on which a claimed understanding is tried: alike to what was seen, and not alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from groundtruth import hashing, seeds
from groundtruth.predictor import Interchange, Predictor, check_queries
from groundtruth.testbed import Recipe

if TYPE_CHECKING:
    from groundtruth.models.transformer import Transformer

Inputs = tuple[np.ndarray, Interchange | None]
"""(n, position) token ids, and what is done to the model meanwhile."""

Kind = Literal["categorical", "numerical"]
"""Of outputs: the largest is the answer, or they are numbers."""


class PredictionSubject:
    """All that a method may see: the model, inputs to learn from, and so many answers.

    A method that makes a claim from the model's inside needs no queries. One that does not looks at
    the answers alone, and each input it asks for counts.

    Fields:
        model: the transformer.
        queries: how many inputs may be asked for.
        n_outputs, kind: of the model.
        interchanges: whether interventions are among the tests.
    """

    __slots__ = (
        "_answer",
        "_inputs",
        "_used",
        "interchanges",
        "kind",
        "model",
        "n_outputs",
        "queries",
    )

    def __init__(
        self,
        model: Transformer,
        queries: int,
        n_outputs: int,
        kind: Kind,
        interchanges: bool,
        inputs: Callable[[int, int, bool], list[Inputs]],
        answer: Callable[[np.ndarray, Interchange | None], np.ndarray],
    ) -> None:
        self.model, self.queries, self.n_outputs = model, queries, n_outputs
        self.kind: Kind = kind
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


class Domain(NamedTuple):
    """Every sequence up to some length, or a sample of them.

    Fields:
        size: how many sequences there are.
        exhaustive: whether `parts` hold all of them.
        parts: made one after the other.
    """

    size: int
    exhaustive: bool
    parts: Iterable[HeldOut]


@dataclass(frozen=True, eq=False)
class PredictionTruth:
    """What the model does on inputs that no method has seen the answers of.

    Fields:
        sets: name -> its parts: "iid", as the inputs to learn from; "combinations", with pairs of
            neighbours that those never have; "longer", beyond their length; "frequencies", of
            tokens that are not equally frequent; "intervened", under an interchange of one variable
            in each part; "mined", which are answered otherwise than what looks most like them.
        kind: "categorical": the largest output counts; "numerical": the outputs themselves.
        tolerance: by how much a number may be off and still agree.
    """

    sets: Mapping[str, tuple[HeldOut, ...]]
    kind: Kind
    tolerance: float

    def agrees(self, outputs: np.ndarray, claims: np.ndarray) -> np.ndarray:
        """(...) whether claims (..., n_outputs) are what the model says."""
        return agrees(self.kind, self.tolerance, outputs, claims)

    def answers(self, part: HeldOut) -> np.ndarray:
        """(n, position, ...) what is said, as whole numbers that rounding does not move."""
        if self.kind == "categorical":
            return part.outputs.argmax(-1) * part.counted
        # Numbers are multiples of tolerance / .49, or k / .98 here, of which none is near a half.
        steps = np.rint(part.outputs.astype(float) / (2 * self.tolerance))
        return (steps * part.counted[..., None]).astype(np.int64)


def agrees(kind: Kind, tolerance: float, outputs: np.ndarray, claims: np.ndarray) -> np.ndarray:
    """(...) whether claims (..., n_outputs) say what outputs do; see `PredictionTruth`."""
    if kind == "categorical":
        return np.equal(outputs.argmax(-1), claims.argmax(-1))
    return np.all(np.abs(outputs - claims) <= tolerance, axis=-1)


@dataclass(frozen=True, eq=False)
class PredictionTestbed:
    """A model whose behaviour is known by its causal model.

    Fields:
        recipe: from which it is built again.
        truth: the test sets.
        make_subject: what a method sees, with all its queries unused.
        oracle: the causal model as a predictor.
        domain: longest -> all sequences of up to so many tokens, or a sample; a length that the
            model cannot read raises ExplanationError.
        truth_class, source: of the model.
    """

    recipe: Recipe
    truth: PredictionTruth
    make_subject: Callable[[], PredictionSubject]
    oracle: Predictor
    domain: Callable[[int], Domain]
    truth_class: str
    source: str

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def subject(self) -> PredictionSubject:
        """A new one each time, with a model of its own, so that nothing a method does to it reaches
        the next method or the scores."""
        return self.make_subject()

    @cached_property
    def hash(self) -> str:
        """Of the tests, what is answered there, and how much may be asked."""
        parts = [
            (f"{name}.{i}", part)
            for name, parts in self.truth.sets.items()
            for i, part in enumerate(parts)
        ]
        arrays = {f"{name}.tokens": part.tokens for name, part in parts}
        arrays |= {f"{name}.answers": self.truth.answers(part) for name, part in parts}
        for name, part in parts:
            if (given := part.interchange) is not None:
                arrays |= {
                    f"{name}.source": given.source,
                    # Adding 0 turns a rounded -0 into 0.
                    f"{name}.basis": np.round(given.basis, 4) + 0.0,
                }
        described = {"kind": self.truth.kind, "queries": self.recipe.parameters["queries"]}
        return hashing.content_hash(described, arrays)

    def __repr__(self) -> str:
        return f"<PredictionTestbed {self.name}: {', '.join(self.truth.sets)}, {self.hash[:12]}>"
