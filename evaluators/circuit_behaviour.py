"""What a circuit does when all else is ablated: beside the whole model, and beside nothing.

m(S) is the subject's metric, averaged over its weighted inputs, when only the candidates in S are
left intact; M is all of them, C the circuit. No truth is asked: a circuit may behave well and be
wrong, and a right one may behave badly under an ablation that it was not found under.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.errors import Undefined, reject
from groundtruth.evaluators.circuit_curves import score_curves
from groundtruth.evaluators.circuit_runs import SUBSETS, CircuitRuns
from groundtruth.evaluators.registry import REAL, UNIT
from groundtruth.model_subject import ModelSubject
from groundtruth.result import Direction, Metric, Result, undefined

_POSITIVE = (0.0, math.inf)


def _entry(name: str, summary: str, direction: Direction, range: tuple[float, float]) -> Metric:
    return Metric(f"circuit.{name}", 1, summary, direction, range, "input")


FAITH = _entry("faith", "(m(C) - m(0)) / (m(M) - m(0)), a ratio of means", "target", REAL)
FAITH_GAP = _entry("faith_gap", "|m(C) - m(M)|", "min", _POSITIVE)
FAITH_KL = _entry(
    "faith_kl", "mean KL(softmax M | softmax C) over counted positions, nats", "min", _POSITIVE
)
COMPLEMENT = _entry(
    "completeness_comp", "(m(M - C) - m(0)) / (m(M) - m(0)), C alone ablated", "min", REAL
)
WANG = _entry("completeness_wang", "max over K within C of |m(C - K) - m(M - K)|", "min", _POSITIVE)
MINIMALITY = _entry(
    "minimality",
    "share of v in C with max over K within C - v of |m(C - K - v) - m(C - K)| >= epsilon",
    "max",
    UNIT,
)


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
        Results by id: six of the set, six of curves. A curve keeps the round(q n) strongest
        candidates at each share q of MIB's grid, ties broken at random, and is integrated by the
        trapezoid rule. A perfect one has cpr .999, because the grid begins at .001. Half of that is
        the part from .5 to 1, so `cpr_log` and `cmd_log` take sizes in equal ratios, from one
        candidate to all, and the mean over their log. MIB's own code takes edges off again that lie
        on no path from an embedding to the outputs: `cpr_connected` and `cmd_connected` do so too.

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
    if size is not None and size not in range(len(circuit.universe) + 1):
        raise reject("size", size, f"0 to {len(circuit.universe)}")
    if not epsilon > 0:
        raise reject("epsilon", epsilon, "a positive number")
    b = CircuitRuns(subject, circuit, size, epsilon, all_inputs, seed)
    results = [_of_set(b, entry, score) for entry, score in _SET_SCORES.items()] + score_curves(b)
    return {result.metric.id: result for result in results}


class _Value(NamedTuple):
    """A value with those of an empty circuit and of the whole model, where there are any."""

    value: float
    floor: float | None
    ceiling: float
    low: float = math.nan
    high: float = math.nan
    evidence: Mapping[str, np.ndarray] = MappingProxyType({})


def _faith(b: CircuitRuns) -> _Value:
    value, low, high = b.ratio(b.metrics(b.kept[None])[0])
    return _Value(value, 0.0, 1.0, low, high)


def _complement(b: CircuitRuns) -> _Value:
    value, low, high = b.ratio(b.metrics(~b.kept[None])[0])
    return _Value(value, 1.0, 0.0, low, high)


def _gap(b: CircuitRuns) -> _Value:
    nothing, everything = (float(end @ b.weights) for end in b.ends)
    return _Value(abs(float(b.m(b.kept[None])[0]) - everything), abs(nothing - everything), 0.0)


def _kl(b: CircuitRuns) -> _Value:
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
    if not math.isfinite(value + floor):
        raise Undefined("a divergence is not finite: outputs are infinite or NaN")
    return _Value(max(0.0, value), max(0.0, floor), 0.0)


def _wang(b: CircuitRuns) -> _Value:
    gaps = np.abs(b.without_subsets - b.m(~b.subsets))
    worst = max(gaps.max(), 0.0 if b.exhaustive else _greedy_gap(b))
    nothing, everything = (float(end @ b.weights) for end in b.ends)
    return _Value(worst, abs(everything - nothing), 0.0, evidence={"gaps": gaps})


def _greedy_gap(b: CircuitRuns) -> float:
    """The largest gap on the way to K = C that takes the worst next candidate each time."""
    taken, worst = np.zeros_like(b.kept), 0.0
    while (left := np.flatnonzero(b.kept & ~taken)).size:
        tried = np.repeat(taken[None], len(left), 0)
        tried[np.arange(len(left)), left] = True
        gaps = np.abs(b.m(b.kept & ~tried) - b.m(~tried))
        taken, worst = tried[gaps.argmax()], max(worst, float(gaps.max()))
    return worst


def _minimality(b: CircuitRuns) -> _Value:
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


_SET_SCORES: dict[Metric, Callable[[CircuitRuns], _Value]] = {
    FAITH: _faith,
    FAITH_GAP: _gap,
    FAITH_KL: _kl,
    COMPLEMENT: _complement,
    WANG: _wang,
    MINIMALITY: _minimality,
}
OF_SETS = tuple(_SET_SCORES)


def _of_set(b: CircuitRuns, entry: Metric, score: Callable[[CircuitRuns], _Value]) -> Result:
    try:
        found, kept = score(b), int(b.kept.sum())
    except Undefined as reason:
        return undefined(entry, str(reason), **b.parameters)
    parameters = b.parameters | {"size": kept}
    if entry in (WANG, MINIMALITY):
        parameters["subsets"] = "all" if b.exhaustive else f"{SUBSETS} at random"
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
