"""Runs of a model with a circuit left intact, or cut, or with parts of it cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.circuit import Circuit
from groundtruth.errors import Undefined
from groundtruth.evaluators.statistics import ratio_interval
from groundtruth.model_subject import ModelSubject

MOST_EXHAUSTIVE = 12
"""Candidates in a circuit up to which all its subsets are tried; else `SUBSETS` of them."""

SUBSETS = 256


@dataclass(frozen=True)
class CircuitRuns:
    """Runs of a circuit on its subject, with the settings of `score_behaviour`.

    m(S) is the metric's weighted mean over the inputs with only the candidates in S left intact.
    """

    subject: ModelSubject
    circuit: Circuit
    size: int | None
    epsilon: float
    all_inputs: bool
    seed: int

    def draws(self, purpose: str) -> np.random.Generator:
        return seeds.generator(seeds.root_of("circuit_behaviour", self.seed), purpose)

    @cached_property
    def kept(self) -> np.ndarray:
        """(candidate,) flags of C."""
        if self.size is not None:
            return strongest(self.order, self.size) & (self.circuit.strengths > -np.inf)
        if self.circuit.claimed is None:
            raise Undefined("the circuit is a ranking: say where it ends with size=")
        return self.circuit.claimed

    @cached_property
    def order(self) -> np.ndarray:
        """Candidates from strong to weak, equals at random."""
        ties = self.draws("ties").random(len(self.circuit.strengths))
        return np.lexsort((ties, -self.circuit.strengths))

    def metrics(self, kept: np.ndarray) -> np.ndarray:
        """(set, input) the metric with only `kept` (set, candidate) intact.

        Raises:
            Undefined: it is not finite.
        """
        pieces = self.subject.ablated_pieces(self.circuit.universe.unit, kept)
        found = torch.cat([self.subject.metric(outputs) for outputs in pieces])
        if not bool(found.isfinite().all()):
            raise Undefined("the metric of an ablated model is infinite or NaN")
        return found.double().cpu().numpy()

    def m(self, kept: np.ndarray) -> np.ndarray:
        """(set,) its weighted mean."""
        return self.metrics(kept) @ self.weights

    @property
    def weights(self) -> np.ndarray:
        return self.subject.weights.double().cpu().numpy()

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """(input,) the metric of nothing and of everything."""
        n = len(self.circuit.universe)
        nothing, everything = self.metrics(np.array([[False] * n, [True] * n]))
        return nothing, everything

    def ratio(self, metric: np.ndarray) -> tuple[float, float, float]:
        """(m - m(0)) / (m(M) - m(0)) of (input,) metrics, with its interval.

        Raises:
            Undefined: the denominator is within noise.
        """
        nothing, everything = self.ends
        moved, whole = metric - nothing, everything - nothing
        if abs(whole @ self.weights) <= self.rounding:
            raise Undefined(f"m(M) - m(0) is 0 on {len(self.weights)} inputs")
        found = ratio_interval(self.weights * moved, self.weights * whole)
        if math.isnan(found.low) and not self.all_inputs:
            raise Undefined(
                f"m(M) - m(0) is within three standard errors of 0 on {len(self.weights)} inputs"
            )
        return found if not self.all_inputs else (found.value, math.nan, math.nan)

    @property
    def rounding(self) -> float:
        """What a thousand roundings of the metric come to."""
        unit = torch.finfo(self.subject.model.W_E.dtype).eps
        return 1000 * unit * float(np.abs(self.ends).max())

    @cached_property
    def subsets(self) -> np.ndarray:
        """(subset, candidate) flags of K within C: all of them, or none and some at random."""
        members = np.flatnonzero(self.kept)
        if self.exhaustive:
            bits = (np.arange(1 << len(members))[:, None] >> np.arange(len(members))) & 1 == 1
        else:
            bits = self.draws("subsets").random((SUBSETS, len(members))) < 0.5
            bits[0] = False
        flags = np.zeros((len(bits), len(self.kept)), dtype=bool)
        flags[:, members] = bits
        return flags

    @property
    def exhaustive(self) -> bool:
        return int(self.kept.sum()) <= MOST_EXHAUSTIVE

    @cached_property
    def without_subsets(self) -> np.ndarray:
        """(subset,) m(C - K)."""
        return self.m(self.kept & ~self.subsets)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What a number cannot be read without."""
        condition, universe = self.subject.condition, self.circuit.universe
        return {
            "inputs": condition.inputs,
            "ablation": condition.ablation,
            "pairing": condition.pairing,
            "granularity": universe.granularity,
            "unit": universe.unit,
            "all_inputs": self.all_inputs,
            "seed": self.seed,
        }


def strongest(order: np.ndarray, size: int) -> np.ndarray:
    """(candidate,) flags of the first `size` of `order`."""
    flags = np.zeros(len(order), dtype=bool)
    flags[order[:size]] = True
    return flags
