"""A model whose causal variables are known, as a testbed for methods that look for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from groundtruth import hashing, seeds
from groundtruth.errors import InputError, Undefined
from groundtruth.models.transformer import Transformer
from groundtruth.models.untrained import untrained_weights
from groundtruth.models.weights import Weights
from groundtruth.testbed import Recipe
from groundtruth.variable_pairs import ARRAYS, Answers, Labelled, Pairs
from groundtruth.variable_subject import VariableSubject
from groundtruth.variable_truth import VariableTruth

_DRAW, _MOST = 256, 64  # pairs at a time, and how often, in the search for discriminating ones

Sequences = Sequence[Sequence[Any]]
Draw = Callable[[np.random.Generator, int], Sequences]
"""(generator, n) -> n sequences, in words of the causal model."""


@dataclass(frozen=True, eq=False)
class VariableTestbed:
    """A model, a causal model that it implements, and where it carries each variable.

    Fields:
        model: the transformer.
        sites: of the residual stream, in order.
        truth: the variables, with sites and subspaces.
        output: the variable that the model's outputs say.
        answers: what the outputs are for each of its values.
        hypothesis: the variables that a method is asked for.
        draw: the law of bases and of sources.
        encode: sequences -> (n, position) token ids, begin-of-sequence first, padding last.
        last_only: interchange, read and count at the last position alone.
        control_labels: variable -> (n_tokens,) value number of each token; None: the truth's.

    Raises:
        InputError: an output or a variable of the hypothesis whose values are not listed.
        UnknownName: no such variable.
    """

    recipe: Recipe
    truth_class: str
    source: str
    model: Transformer
    sites: tuple[str, ...]
    truth: VariableTruth
    output: str
    answers: Answers
    hypothesis: tuple[str, ...]
    draw: Draw
    encode: Callable[[Sequences], np.ndarray]
    last_only: bool = False
    control_labels: Mapping[str, np.ndarray] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in (self.output, *self.hypothesis):
            if self.truth[name].values is None:
                raise InputError(f"{name}: expected a variable whose values are listed.")

    @property
    def name(self) -> str:
        return self.recipe.name

    @cached_property
    def hash(self) -> str:
        """Of the weights, the subspaces, and a first draw of pairs of every variable."""
        arrays = {f"{v.name}.basis": v.basis for v in self.truth.variables}
        for name in self.hypothesis:
            pairs = self.pairs(name, 64)
            arrays |= {f"{name}.{key}": getattr(pairs, key) for key in ARRAYS}
        described = {
            "weights": self.model.to_weights().hash,
            "output": self.output,
            "hypothesis": list(self.hypothesis),
            "sites": {v.name: v.site for v in self.truth.variables},
        }
        return hashing.content_hash(described, arrays)

    def values(self, variable: str) -> tuple[Any, ...]:
        """All that a variable can be."""
        values = self.truth[variable].values
        assert values is not None  # checked above
        return values

    @property
    def subject(self) -> VariableSubject:
        """What a method may see: a new one each time, with a model of its own, so that nothing a
        method does to it reaches the next method or the scores."""

        def pairs(variable: str, n: int, seed: int) -> Pairs:
            try:
                half = n - n // 2
                telling = self.pairs(variable, half, "train", seed=seed, discriminating=True)
            except Undefined:
                return self.pairs(variable, n, "train", seed=seed)
            rest = n - len(telling)
            return _mixed(telling, self.pairs(variable, rest, "train", seed=seed))

        return VariableSubject(
            self._with(self.model.to_weights()),
            self.sites,
            {name: self.values(name) for name in self.hypothesis},
            self.answers,
            pairs,
            lambda variable, n, seed: self.labelled(variable, n, "train", seed=seed),
        )

    def pairs(
        self,
        variable: str,
        n: int,
        stream: str = "score",
        *,
        seed: int = 0,
        discriminating: bool = False,
    ) -> Pairs:
        """`n` random pairs; the variable is interchanged at about half of the positions that both
        sequences have, or at the last alone.

        Args:
            stream: "train" or "score".
            discriminating: only pairs on which the interchange changes an answer that counts; fewer
                than `n` where not so many are found among 16,384.

        Raises:
            Undefined: none is found.
        """
        rng = seeds.generator(self._root, stream, "pairs", variable, int(discriminating), seed)
        if not discriminating:
            return self._drawn(rng, variable, n)
        cases = []
        for _ in range(_MOST):
            pairs = self._drawn(rng, variable, _DRAW)
            cases += [pairs.cases[i] for i in np.flatnonzero(pairs.discriminating)]
            if len(cases) >= n:
                break
        if not cases:
            raise Undefined(
                f"interchange of {variable} changes no answer on any of {_MOST * _DRAW} pairs"
            )
        return self._asked(variable, cases[:n])

    def labelled(self, variable: str, n: int, stream: str = "score", *, seed: int = 0) -> Labelled:
        """`n` random inputs with the value of the variable at each position that counts."""
        rng = seeds.generator(self._root, stream, "labelled", seed)
        drawn = self.draw(rng, n)
        tokens = self.encode(drawn)
        runs = [self.truth.causal_model.run(sequence)[variable] for sequence in drawn]
        labels = self.numbers(variable, runs, tokens.shape)
        if self.control_labels is not None:
            labels = self.control_labels[variable][tokens]
        return Labelled(tokens, self._counted(drawn, tokens.shape), labels)

    def untrained(self, *, seed: int = 0) -> VariableTestbed:
        """The same hypothesis about a model of the same shape with random weights.

        What a method scores there it owes to its own freedom, and to nothing in the model.

        Source: Sutter et al., "The Non-Linear Representation Dilemma: Is Causal Abstraction Enough
        for Mechanistic Interpretability?", 2025, https://arxiv.org/abs/2507.08802
        """
        return replace(
            self, model=self._with(untrained_weights(self.model.to_weights(), seed=seed))
        )

    def control(self, *, seed: int = 0) -> VariableTestbed:
        """The same model with labels that only memory can get right: each token has a value of each
        variable, drawn once from the variable's own distribution; again where all had the same.

        Source: Hewitt and Liang, "Designing and Interpreting Probes with Control Tasks", 2019,
        https://arxiv.org/abs/1909.03368
        """
        drawn = {}
        for name in self.hypothesis:
            found = self.labelled(name, 1024, "train")
            rng = seeds.generator(self._root, "control", name, seeds.check_seed(seed))
            drawn[name] = _token_labels(rng, found, self.model.n_tokens)
        return replace(self, control_labels=drawn)

    def _with(self, weights: Weights) -> Transformer:
        """A model of these weights, where and in the precision in which the testbed's is."""
        return Transformer(weights, self.model.W_E.dtype).to(self.model.W_E.device)

    @cached_property
    def _root(self) -> bytes:
        return seeds.root_of(f"variables of {self.name}", self.recipe.seed)

    def _drawn(self, rng: np.random.Generator, variable: str, n: int) -> Pairs:
        base, source = self.draw(rng, n), self.draw(rng, n)
        cases = [(b, s, self._places(rng, b, s)) for b, s in zip(base, source)]
        return self._asked(variable, cases)

    def _places(
        self, rng: np.random.Generator, base: Sequence[Any], source: Sequence[Any]
    ) -> list[int]:
        both = min(len(base), len(source))
        if self.last_only:
            return [both - 1]
        return np.flatnonzero(rng.random(both) < 0.5).tolist()

    def _asked(
        self, variable: str, cases: Sequence[tuple[Sequence[Any], Sequence[Any], Sequence[int]]]
    ) -> Pairs:
        """What the causal model says of the cases, and the cases as the model reads them."""
        causal, first = self.truth.causal_model, self.truth.first_position
        tokens = self.encode([case[0] for case in cases] + [case[1] for case in cases])
        base, source = tokens[: len(cases)], tokens[len(cases) :]
        where = np.zeros(base.shape, dtype=bool)
        before, after = [], []
        for row, (one, other, places) in enumerate(cases):
            where[row, [first + place for place in places]] = True
            given = {variable: causal.take(variable, other, places)}
            before.append(causal.run(one)[self.output])
            after.append(causal.run(one, given)[self.output])
        return Pairs(
            variable,
            base,
            source,
            where,
            self.numbers(self.output, after, base.shape),
            self.numbers(self.output, before, base.shape),
            self._counted([case[0] for case in cases], base.shape),
            tuple(cases),
        )

    def numbers(
        self, variable: str, rows: Sequence[Sequence[Any]], shape: tuple[int, ...]
    ) -> np.ndarray:
        """(n, position) which value each is, -1 beyond the end."""
        place = {value: k for k, value in enumerate(self.values(variable))}
        numbers = np.full(shape, -1)
        for row, found in enumerate(rows):
            begin = self.truth.first_position
            numbers[row, begin : begin + len(found)] = [place[value] for value in found]
        return numbers

    def _counted(self, sequences: Sequences, shape: tuple[int, ...]) -> np.ndarray:
        counted = np.zeros(shape, dtype=bool)
        for row, sequence in enumerate(sequences):
            begin, end = self.truth.first_position, self.truth.first_position + len(sequence)
            counted[row, (end - 1 if self.last_only else begin) : end] = True
        return counted

    def __repr__(self) -> str:
        return f"<VariableTestbed {self.name}: {', '.join(self.hypothesis)}>"


def _token_labels(rng: np.random.Generator, found: Labelled, n_tokens: int) -> np.ndarray:
    """(n_tokens,) labels, of which tokens that occur have two at least, if that can be."""
    own, tokens = found.labels[found.there], np.unique(found.tokens[found.there])
    least = min(2, len(np.unique(own)), len(tokens))
    while True:
        drawn = rng.choice(own, n_tokens)
        if len(np.unique(drawn[tokens])) >= least:
            return drawn


def _mixed(first: Pairs, second: Pairs) -> Pairs:
    """The pairs of both, evenly mixed."""
    arrays = {
        name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in ARRAYS
    }
    both = Pairs(first.variable, **arrays, cases=first.cases + second.cases)
    n, m = len(first), len(second)
    return both.take(np.argsort(np.r_[np.arange(n) / n, (np.arange(m) + 0.5) / m]))
