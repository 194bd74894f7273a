"""What a circuit does when all else is ablated: beside the whole model, and beside nothing.

m(S) is the subject's metric, averaged over its weighted inputs, when only the candidates in S are
left intact; M is all of them, C the circuit. No truth is asked: a circuit may behave well and be
wrong, and a right one may behave badly under an ablation that it was not found under.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.circuit import Circuit
from groundtruth.errors import Undefined, reject
from groundtruth.evaluators.statistics import ratio_interval
from groundtruth.model_subject import ModelSubject
from groundtruth.result import Direction, Metric, Result, undefined

MIB_GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the candidates at which curves are taken. Source: Mueller et al., "MIB: A Mechanistic
Interpretability Benchmark", 2025, https://arxiv.org/abs/2504.13151"""

MOST_EXHAUSTIVE = 12
"""Candidates in a circuit up to which all its subsets are tried."""

_SUBSETS, _FLOOR_DRAWS = 256, 16
_REAL, _POSITIVE, _UNIT = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)


def _entry(name: str, summary: str, direction: Direction, range: tuple[float, float]) -> Metric:
    return Metric(f"circuit.{name}", 1, summary, direction, range, "input")


FAITH = _entry("faith", "(m(C) - m(0)) / (m(M) - m(0)), a ratio of means", "target", _REAL)
FAITH_GAP = _entry("faith_gap", "|m(C) - m(M)|", "min", _POSITIVE)
FAITH_KL = _entry(
    "faith_kl", "mean KL(softmax M | softmax C) over counted positions, nats", "min", _POSITIVE
)
COMPLEMENT = _entry(
    "completeness_comp", "(m(M - C) - m(0)) / (m(M) - m(0)), C alone ablated", "min", _REAL
)
WANG = _entry("completeness_wang", "max over K within C of |m(C - K) - m(M - K)|", "min", _POSITIVE)
MINIMALITY = _entry(
    "minimality",
    "share of v in C with max over K within C - v of |m(C - K - v) - m(C - K)| >= epsilon",
    "max",
    _UNIT,
)
CPR = _entry("cpr", "integral of faith over the share of candidates kept", "max", _REAL)
CMD = _entry("cmd", "integral of |1 - faith| over the share of candidates kept", "min", _POSITIVE)
CPR_LOG = _entry("cpr_log", "mean of faith over the log of the share kept", "max", _REAL)
CMD_LOG = _entry("cmd_log", "mean of |1 - faith| over the log of the share kept", "min", _POSITIVE)
OF_CURVES = (CPR, CMD, CPR_LOG, CMD_LOG)


def score_behaviour(
    subject: ModelSubject,
    circuit: Circuit,
    *,
    size: int | None = None,
    epsilon: float = 1e-6,
    all_inputs: bool = False,
    seed: int = 0,
) -> dict[str, Result]:
    """Faithfulness, completeness, minimality, and curves over sizes.

    Args:
        subject: model, inputs, ablation and metric; the condition must be the circuit's, if that
            names one.
        circuit: a set, or a ranking; without a ranking curves are undefined.
        size: cut a ranking after so many; the claimed set if None.
        epsilon: what counts as a change for minimality, in the metric's unit.
        all_inputs: the inputs are all there are, so that nothing is noise; else ratios are
            undefined where m(M) - m(0) is within three standard errors of 0.
        seed: of the order of ties, and of subsets where not all are tried.

    Returns:
        Results by id: six of the set, and `OF_CURVES`. Curves are integrated by the trapezoid rule
        over `MIB_GRID`; a perfect one has cpr .999, because the grid begins at .001. Half of that
        is the part from .5 to 1, so the same curve is averaged over the log of the share as well.
        A share q keeps the round(q n) strongest candidates; ties are broken at random.

    Raises:
        ExplanationError: a circuit over another model's graph.
        InputError: another condition; size or epsilon out of range.

    Not a measure of being right; see `circuits.score_circuit`.

    Example, one of OR's two ways: faithful, and without it the other does all of the work:
        >>> from groundtruth.generators.gates import gate
        >>> from groundtruth.models.transformer import Transformer
        >>> model = Transformer(gate("or").weights, torch.float64)
        >>> subject = ModelSubject(
        ...     model, [[0, 3, 3]], lambda out: out[..., -1, 0], "resample", [[0, 2, 2]], "both 0"
        ... )
        >>> way = [("embed", "a0.h0.v"), ("a0.h0", "m0"), ("m0", "logits")]
        >>> claim = Circuit(subject.universe("edge"), members=way)
        >>> scores = score_behaviour(subject, claim, all_inputs=True)
        >>> scores["circuit.faith"].value, scores["circuit.completeness_wang"].value
        (1.0, 1.0)
    """
    circuit.check_universe(subject.universe(circuit.universe.unit))
    if circuit.condition is not None:
        subject.condition.check_same(circuit.condition)
    if size is not None and not 0 <= size <= len(circuit.universe):
        raise reject("size", size, f"0 to {len(circuit.universe)}")
    if not epsilon > 0:
        raise reject("epsilon", epsilon, "a positive number")
    b = _Behaviour(subject, circuit, size, epsilon, all_inputs, seed)
    results = [_of_set(b, entry, score) for entry, score in _SET_SCORES.items()] + _of_curve(b)
    return {result.metric.id: result for result in results}


@dataclass(frozen=True)
class _Behaviour:
    """A circuit on its subject, with the settings of `score_behaviour`."""

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
            return _strongest(self.order, self.size)
        if self.circuit.claimed is None:
            raise Undefined("the circuit is a ranking: say where it ends with size=")
        return self.circuit.claimed

    @cached_property
    def order(self) -> np.ndarray:
        """Candidates from strong to weak, equals at random."""
        ties = self.draws("ties").random(len(self.circuit.strengths))
        return np.lexsort((ties, -self.circuit.strengths))

    def metrics(self, kept: np.ndarray) -> np.ndarray:
        """(set, input) the metric with only `kept` (set, candidate) intact."""
        pieces = self.subject.ablated_pieces(self.circuit.universe.unit, kept)
        found = [self.subject.metric(outputs) for outputs in pieces]
        return torch.cat(found).double().cpu().numpy()

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
        found = ratio_interval(self.weights * moved, self.weights * whole)
        if math.isnan(found.value) or (math.isnan(found.low) and not self.all_inputs):
            noise = "0" if self.all_inputs else "within three standard errors of 0"
            raise Undefined(f"m(M) - m(0) is {noise} on {len(self.weights)} inputs")
        return found if not self.all_inputs else (found.value, math.nan, math.nan)

    @cached_property
    def subsets(self) -> np.ndarray:
        """(subset, candidate) flags of K within C: all of them, or none and some at random."""
        members = np.flatnonzero(self.kept)
        if self.exhaustive:
            bits = (np.arange(1 << len(members))[:, None] >> np.arange(len(members))) & 1 == 1
        else:
            bits = self.draws("subsets").random((_SUBSETS, len(members))) < 0.5
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


class _Value(NamedTuple):
    """A value with those of an empty circuit and of the whole model, where there are any."""

    value: float
    floor: float | None
    ceiling: float
    low: float = math.nan
    high: float = math.nan
    evidence: Mapping[str, np.ndarray] = MappingProxyType({})


def _faith(b: _Behaviour) -> _Value:
    value, low, high = b.ratio(b.metrics(b.kept[None])[0])
    return _Value(value, 0.0, 1.0, low, high)


def _complement(b: _Behaviour) -> _Value:
    value, low, high = b.ratio(b.metrics(~b.kept[None])[0])
    return _Value(value, 1.0, 0.0, low, high)


def _gap(b: _Behaviour) -> _Value:
    nothing, everything = (float(end @ b.weights) for end in b.ends)
    return _Value(abs(float(b.m(b.kept[None])[0]) - everything), abs(nothing - everything), 0.0)


def _kl(b: _Behaviour) -> _Value:
    subject, unit = b.subject, b.circuit.universe.unit
    intact = subject.outputs()
    if intact.shape[-1] < 2:
        raise Undefined("a model with one output has no distribution over outputs")
    outputs = subject.ablated(unit, np.stack([b.kept, np.zeros_like(b.kept)]))
    p, q = (torch.log_softmax(x.double(), -1) for x in (intact, outputs))
    divergence = (p.exp() * (p - q)).sum(-1)
    counted = subject.counted * subject.weights[:, None]
    counted = (counted / counted.sum()).to(p)
    value, floor = (divergence * counted).sum((1, 2)).tolist()
    return _Value(max(0.0, value), max(0.0, floor), 0.0)


def _wang(b: _Behaviour) -> _Value:
    gaps = np.abs(b.without_subsets - b.m(~b.subsets))
    worst = max(gaps.max(), 0.0 if b.exhaustive else _greedy_gap(b))
    nothing, everything = (float(end @ b.weights) for end in b.ends)
    return _Value(worst, abs(everything - nothing), 0.0, evidence={"gaps": gaps})


def _greedy_gap(b: _Behaviour) -> float:
    """The largest gap on the way to K = C that takes the worst next candidate each time."""
    taken, worst = np.zeros_like(b.kept), 0.0
    while (left := np.flatnonzero(b.kept & ~taken)).size:
        tried = np.repeat(taken[None], len(left), 0)
        tried[np.arange(len(left)), left] = True
        gaps = np.abs(b.m(b.kept & ~tried) - b.m(~tried))
        taken, worst = tried[gaps.argmax()], max(worst, float(gaps.max()))
    return worst


def _minimality(b: _Behaviour) -> _Value:
    members = np.flatnonzero(b.kept)
    if not len(members):
        raise Undefined("the circuit is empty")
    largest = np.zeros(len(members))
    for i, member in enumerate(members):
        beside = ~b.subsets[:, member]
        without = b.subsets[beside]
        without[:, member] = True
        change = b.m(b.kept & ~without) - b.without_subsets[beside]
        largest[i] = np.abs(change).max(initial=0.0)
    return _Value(float((largest >= b.epsilon).mean()), None, 1.0, evidence={"largest": largest})


_SET_SCORES: dict[Metric, Callable[[_Behaviour], _Value]] = {
    FAITH: _faith,
    FAITH_GAP: _gap,
    FAITH_KL: _kl,
    COMPLEMENT: _complement,
    WANG: _wang,
    MINIMALITY: _minimality,
}


def _of_set(b: _Behaviour, entry: Metric, score: Callable[[_Behaviour], _Value]) -> Result:
    try:
        found, kept = score(b), int(b.kept.sum())
    except Undefined as reason:
        return undefined(entry, str(reason), **b.parameters)
    parameters = b.parameters | {"size": kept}
    if entry in (WANG, MINIMALITY):
        parameters["subsets"] = "all" if b.exhaustive else f"{_SUBSETS} at random"
        parameters |= {"epsilon": b.epsilon} if entry is MINIMALITY else {}
    known = not math.isnan(found.low)
    return Result(
        entry,
        float(found.value),
        n_units=len(b.weights),
        low=found.low if known else None,
        high=found.high if known else None,
        interval_method="ratio of means over inputs" if known else "",
        floor=found.floor,
        floor_kind="" if found.floor is None else "empty circuit",
        ceiling=found.ceiling,
        ceiling_kind="whole model",
        parameters=parameters,
        evidence=dict(found.evidence),
    )


def _of_curve(b: _Behaviour) -> list[Result]:
    """Results of `OF_CURVES`; floors are means over random orders."""
    try:
        if not b.circuit.ranked:
            raise Undefined("the circuit is a set: a curve needs a ranking")
        curve = _curve(b, b.order)
    except Undefined as reason:
        return [undefined(entry, str(reason), **b.parameters) for entry in OF_CURVES]
    draws = b.draws("floors")
    orders = [draws.permutation(len(b.order)) for _ in range(_FLOOR_DRAWS)]
    floors = np.mean([_areas(_curve(b, order)) for order in orders], 0)
    ceilings = _areas(np.ones(len(MIB_GRID)))
    return [
        Result(
            entry,
            float(value),
            n_units=len(b.weights),
            floor=float(floor),
            floor_kind=f"mean of {_FLOOR_DRAWS} random rankings",
            ceiling=float(ceiling),
            ceiling_kind="whole model at every size",
            parameters=b.parameters,
            evidence={"share": np.array(MIB_GRID), "faith": curve},
        )
        for entry, value, floor, ceiling in zip(OF_CURVES, _areas(curve), floors, ceilings)
    ]


def _curve(b: _Behaviour, order: np.ndarray) -> np.ndarray:
    """Faithfulness at each share of `MIB_GRID`."""
    sizes = [round(share * len(order)) for share in MIB_GRID]
    found = b.metrics(np.array([_strongest(order, size) for size in sizes]))
    return np.array([b.ratio(metric)[0] for metric in found])


def _areas(curve: np.ndarray) -> tuple[float, float, float, float]:
    """Of `OF_CURVES`, in that order."""
    share, away = np.array(MIB_GRID), np.abs(1 - curve)
    log = np.log(share) / np.log(share[-1] / share[0])
    return (
        float(np.trapezoid(curve, share)),
        float(np.trapezoid(away, share)),
        float(np.trapezoid(curve, log)),
        float(np.trapezoid(away, log)),
    )


def _strongest(order: np.ndarray, size: int) -> np.ndarray:
    flags = np.zeros(len(order), dtype=bool)
    flags[order[:size]] = True
    return flags
