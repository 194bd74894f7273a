"""A claimed circuit beside the truth, as flags over the candidates that count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import comb, prod
from typing import Any

import numpy as np
from scipy import stats

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
        """(n,) how much of each is claimed: 0 or 1; of a ranking, the chance that it is among its
        strongest, as many as are right, where ties are in random order. What a ranking ruled out is
        not claimed."""
        if self.circuit.claimed is not None:
            return self.circuit.claimed[self.counted].astype(np.float64)
        taken = (self.size - self.stronger) / self.tied
        return np.where(self.strengths > -np.inf, np.clip(taken, 0, 1), 0.0)

    @cached_property
    def size(self) -> int:
        """How many are claimed."""
        if self.circuit.claimed is not None:
            return int(self.circuit.claimed[self.counted].sum())
        return int(min(self.true.sum(), (self.strengths > -np.inf).sum()))

    @cached_property
    def stronger(self) -> np.ndarray:
        """(n,) how many are stronger than each."""
        return stats.rankdata(-self.strengths, "min").astype(int) - 1

    @cached_property
    def tied(self) -> np.ndarray:
        """(n,) how many are as strong as each, with itself."""
        return stats.rankdata(-self.strengths, "max").astype(int) - self.stronger

    def chance_of_all(self, members: np.ndarray) -> float:
        """The chance that all of `members` (n,) flags are claimed."""
        if (self.claimed[members] == 0).any():
            return 0.0
        unsure = members & (self.claimed < 1)
        if not unsure.any():
            return 1.0
        # All that are unsure are tied with one another.
        first, k = np.flatnonzero(unsure)[0], int(unsure.sum())
        tied, taken = int(self.tied[first]), self.size - int(self.stronger[first])
        return comb(tied - k, taken - k) / comb(tied, taken) if k <= taken else 0.0

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
        size = self.size
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
