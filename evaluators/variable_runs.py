"""What interchanges of one variable do to a model; claimed, planted and random on equal pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.alignment import Subspace
from groundtruth.errors import Undefined
from groundtruth.models.hooks import HookPoint
from groundtruth.variable_pairs import Pairs, are_right
from groundtruth.variable_testbed import VariableTestbed

DRAWS = 4
"""Random subspaces that a floor is the mean of."""

Outcome = dict[str, np.ndarray]
"""Score -> booleans, one for each pair on which it is defined."""


@dataclass(frozen=True, eq=False)
class VariableRuns:
    """Interchanges of `variable` on `n` pairs that tell, and on `n` as they come."""

    testbed: VariableTestbed
    variable: str
    n: int
    seed: int

    @cached_property
    def telling(self) -> Pairs:
        """Pairs on which an answer changes; none where the interchange never shows."""
        try:
            return self.testbed.pairs(self.variable, self.n, seed=self.seed, discriminating=True)
        except Undefined:
            return self.plain.take(np.arange(0))

    @cached_property
    def plain(self) -> Pairs:
        return self.testbed.pairs(self.variable, self.n, seed=self.seed)

    def outcome(self, claim: Subspace | None) -> Outcome:
        """What follows from interchange of what is claimed; None: nothing is interchanged."""
        if claim is None:
            return self._untouched
        model, answers = self.testbed.model, self.testbed.answers
        kept: list[torch.Tensor] = []

        def keep(activation: torch.Tensor, hook: HookPoint) -> None:
            kept.append(activation)

        read_at = (self.testbed.sites[-1], keep)
        found = {
            "iia": self._told(claim),
            "iia_all": are_right(model, self.plain, answers, claim, [read_at]),
        }
        return found | self._read(kept[0].double().cpu().numpy())

    def floor(self, claim: Subspace | None) -> Outcome:
        """The same of random subspaces of equal dimension at the same site, draw after draw."""
        if claim is None:
            return self._untouched
        rng = seeds.generator(seeds.root_of("floor", self.seed), self.variable)
        drawn = [np.linalg.qr(rng.normal(size=claim.basis.T.shape))[0].T for _ in range(DRAWS)]
        found = [self.outcome(Subspace(claim.site, rows, claim.positions)) for rows in drawn]
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def whole_layer(self, claim: Subspace | None) -> float | None:
        """Accuracy on pairs that tell if all that stands at the claimed site is interchanged."""
        if claim is None:
            return 0.0
        everything = Subspace(claim.site, np.eye(claim.basis.shape[1]), claim.positions)
        right = self._told(everything)
        return float(right.mean()) if len(right) else None

    def _told(self, claim: Subspace) -> np.ndarray:
        if not len(self.telling):
            return np.zeros(0, dtype=bool)
        return are_right(self.testbed.model, self.telling, self.testbed.answers, claim)

    @cached_property
    def _untouched(self) -> Outcome:
        return {
            "iia": np.zeros(len(self.telling), dtype=bool),
            "iia_all": ~self.plain.discriminating,
            "cause": np.zeros(int(self._should_change[1].any(1).sum()), dtype=bool),
            "iso": np.ones(int(self._any_should_stay.sum()), dtype=bool),
        }

    def _read(self, residual: np.ndarray) -> Outcome:
        """Whether the variable has the source's value, and others have kept theirs, by what the
        planted subspaces hold after the last block."""
        wanted, entries = self._should_change
        cause = (self._decoded(self.variable, residual) == wanted) | ~entries
        iso = np.ones(len(residual), dtype=bool)
        for name, (before, stays) in self._should_stay.items():
            iso &= ((self._decoded(name, residual) == before) | ~stays).all(1)
        return {"cause": cause.all(1)[entries.any(1)], "iso": iso[self._any_should_stay]}

    def _decoded(self, name: str, residual: np.ndarray) -> np.ndarray:
        """(pair, position) which value is nearest."""
        variable = self.testbed.truth[name]
        distance = variable.points @ variable.basis @ residual[..., None]
        return ((variable.points**2).sum(1) - 2 * distance[..., 0]).argmin(-1)

    @cached_property
    def _should_change(self) -> tuple[np.ndarray, np.ndarray]:
        """Values on the source, and where they are wanted and are not there already."""
        base, source, _ = self._values[self.variable]
        return source, self.plain.where & (source != base)

    @cached_property
    def _should_stay(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of other variables: values on the base, and where they differ on the source and are left
        as they are by the causal model."""
        return {
            name: (base, self.plain.where & (source != base) & (after == base))
            for name, (base, source, after) in self._values.items()
            if name != self.variable
        }

    @cached_property
    def _any_should_stay(self) -> np.ndarray:
        entries = [stays.any(1) for _, stays in self._should_stay.values()]
        return np.any([np.zeros(len(self.plain), dtype=bool), *entries], axis=0)

    @cached_property
    def _values(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Variable -> (pair, position) values on base and source, and after the interchange."""
        causal = self.testbed.truth.causal_model
        runs = []
        for base, source, places in self.plain.cases:
            given = {self.variable: causal.take(self.variable, source, places)}
            runs.append((causal.run(base), causal.run(source), causal.run(base, given)))
        return {
            v.name: tuple(
                self.testbed.numbers(
                    v.name, [run[k][v.name] for run in runs], self.plain.base.shape
                )
                for k in range(3)
            )  # pyright: ignore[reportReturnType]
            for v in self.testbed.truth.variables
            if v.values is not None
        }
