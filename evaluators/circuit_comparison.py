"""A claimed circuit beside the truth, as flags over the candidates that count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import comb, prod
from typing import Any

import numpy as np

from groundtruth.circuit import Circuit
from groundtruth.circuit_truth import CircuitTruth, Members, TruthSet
from groundtruth.errors import Undefined

_MOST_CASES = 1_000_000


@dataclass(frozen=True)
class CircuitComparison:
    """What circuit metrics read.

    Fields:
        truth: of the model, under its condition.
        circuit: the claim.
        against: which of the truth's sets is the right answer.
        trivial: whether edges from embeddings and to the outputs count (of nodes, embeddings).

    Raises:
        ExplanationError: a circuit over another model's graph, or of other units.
        InputError: a circuit found under another condition; no such set.
        Undefined: the set is not known.
    """

    truth: CircuitTruth
    circuit: Circuit
    against: TruthSet = "relevant"
    trivial: bool = True

    def __post_init__(self) -> None:
        self.circuit.check_universe(self.truth.universe)
        if self.circuit.condition is not None:
            self.truth.condition.check_same(self.circuit.condition)
        self.truth.members(self.against)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What a number cannot be read without."""
        condition = self.truth.condition
        return {
            "against": self.against,
            "inputs": condition.inputs,
            "ablation": condition.ablation,
            "pairing": condition.pairing,
            "tolerance": self.truth.tolerance,
            "granularity": self.truth.universe.granularity,
            "trivial": self.trivial,
            "size": "of the truth" if self.circuit.claimed is None else "claimed",
        }

    @cached_property
    def counted(self) -> np.ndarray:
        """Numbers of the candidates that count."""
        universe = self.truth.universe
        return np.arange(len(universe)) if self.trivial else np.flatnonzero(~universe.trivial)

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.counted)

    @cached_property
    def true(self) -> np.ndarray:
        """(n,) which are right."""
        return self.flags(self.truth.members(self.against))

    @cached_property
    def strengths(self) -> np.ndarray:
        """(n,) as claimed."""
        return self.circuit.strengths[self.counted]

    @cached_property
    def claimed(self) -> np.ndarray:
        """(n,) which are claimed; of a ranking, its strongest, as many as are right, without what
        it ruled out."""
        if self.circuit.claimed is not None:
            return self.circuit.claimed[self.counted]
        flags = np.zeros(self.n, dtype=bool)
        flags[np.argsort(-self.strengths, kind="stable")[: self.true.sum()]] = True
        return flags & (self.strengths > -np.inf)

    @cached_property
    def circuits(self) -> np.ndarray:
        """(circuit, n) every minimal valid circuit.

        Raises:
            Undefined: not all of them are known.
        """
        if not self.truth.complete:
            raise Undefined("not all minimal valid circuits are known")
        return np.array([self.flags(members) for members in self.truth.circuits])

    def flags(self, members: Members) -> np.ndarray:
        """(n,) which of those that count are members."""
        universe = self.truth.universe
        return np.array([universe.candidates[i] in members for i in self.counted], dtype=bool)

    def of_random_claims(self, value: Callable[[np.ndarray], float]) -> float | None:
        """The exact mean of `value` over all claims of this size.

        Candidates in the same circuits are alike, so the mean runs over how many of each kind are
        claimed, by the multivariate hypergeometric law.

        Args:
            value: (circuit,) how many of each circuit's members are claimed -> number.

        Returns:
            None above a million cases.
        """
        size = int(self.claimed.sum())
        kinds, counts = np.unique(self.circuits.T, axis=0, return_counts=True)
        sizes = counts.tolist()
        if prod(n + 1 for n in sizes) > _MOST_CASES:
            return None
        total = 0.0
        for drawn in product(*(range(n + 1) for n in sizes)):
            if sum(drawn) == size:
                ways = prod(comb(n, k) for n, k in zip(sizes, drawn))
                total += ways * value(np.array(drawn) @ kinds.astype(np.int64))
        return total / comb(self.n, size)
