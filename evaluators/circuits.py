"""Recovery of circuits: which candidates a method found, against one named set of the truth.

Every number holds under the truth's condition alone, which stands in its parameters. A ranking is
cut at the size of the truth for the metrics of sets, and where candidates are tied there the number
is its mean over all orders of the tied; a set has ties for the metrics of rankings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from groundtruth.circuit import Circuit
from groundtruth.circuit_truth import CircuitTruth, TruthSet
from groundtruth.errors import Undefined, UnknownName
from groundtruth.evaluators.circuit_comparison import CircuitComparison
from groundtruth.evaluators.registry import UNIT
from groundtruth.evaluators.statistics import weighted_average_precision
from groundtruth.result import Direction, Metric, Result, undefined

_COUNT = (0.0, float("inf"))


@dataclass(frozen=True)
class Scored:
    """A value with what a random claim of the same size, or a random ranking, scores."""

    value: float
    floor: float | None
    floor_kind: str = "random claim of the same size"


Score = Callable[[CircuitComparison], Scored]
_SCORES: dict[str, tuple[Metric, Metric, Score]] = {}


def _metric(
    name: str,
    direction: Direction = "max",
    range: tuple[float, float] = UNIT,
    version: int = 2,
):
    """Enter a function for edges and for nodes; its docstring's first line is the summary."""

    def enter(function: Score) -> Score:
        summary = (function.__doc__ or "").strip().split("\n")[0]
        edge, node = (
            Metric(f"circuit.{unit}_{name}", version, summary, direction, range, unit)
            for unit in ("edge", "node")
        )
        _SCORES[name] = (edge, node, function)
        return function

    return enter


def score_circuit(
    truth: CircuitTruth,
    circuit: Circuit,
    against: TruthSet = "relevant",
    *,
    trivial: bool = True,
    metrics: Iterable[str] | None = None,
) -> dict[str, Result]:
    """Every recovery metric of a claimed circuit.

    Args:
        truth: of the model, under a condition.
        circuit: over the truth's universe, and found under its condition if it names one.
        against: the set that is the right answer: "structural", "singly_active", "core" or
            "relevant".
        trivial: False leaves out edges from embeddings and to the outputs (of nodes, embeddings):
            they are nearly always right, so that finding them flatters.
        metrics: their names, such as "f1"; all if None.

    Returns:
        Results by id, "circuit.edge_f1" or "circuit.node_f1", with floors in closed form. Where a
        number is not defined, or the set is only known in bounds, they say so.

    Raises:
        ExplanationError: a circuit over another model's graph, or of other units.
        InputError: a circuit found under another condition, or no such set.
        UnknownName: no such metric.

    Not a measure of what the circuit does: a circuit may be wrong about one edge and behave as the
    model, or right about all and not; see `circuit_behaviour`.

    Example, the half of OR that one method took for all of it:
        >>> import torch
        >>> from groundtruth.circuit_enumeration import enumerate_circuits
        >>> from groundtruth.generators.gates import gate
        >>> from groundtruth.model_subject import ModelSubject
        >>> from groundtruth.models.transformer import Transformer
        >>> model = Transformer(gate("or").weights, torch.float64)
        >>> subject = ModelSubject(
        ...     model, [[0, 3, 3]], lambda out: out[..., -1, 0], "resample", [[0, 2, 2]], "both 0"
        ... )
        >>> truth = enumerate_circuits(subject, "node")
        >>> claim = Circuit(truth.universe, members=["embed", "a0.h0", "m0"])
        >>> scores = score_circuit(truth, claim)
        >>> scores["circuit.node_recall"].value, scores["circuit.node_best_f1"].value
        (0.75, 1.0)
    """
    wanted = list(_SCORES) if metrics is None else list(metrics)
    for name in wanted:
        if name not in _SCORES:
            raise UnknownName("circuit metric", name, _SCORES)
    chosen = [_SCORES[name] for name in wanted]
    entries = [(node if truth.universe.unit == "node" else edge, f) for edge, node, f in chosen]
    try:
        comparison = CircuitComparison(truth, circuit, against, trivial)
    except Undefined as reason:
        return {entry.id: undefined(entry, str(reason), against=against) for entry, _ in entries}
    return {entry.id: _result(entry, function, comparison) for entry, function in entries}


def _result(entry: Metric, function: Score, c: CircuitComparison) -> Result:
    try:
        if not c.n:
            raise Undefined("every candidate is trivial")
        scored = function(c)
    except Undefined as reason:
        return undefined(entry, str(reason), **c.parameters)
    best = 0.0 if entry.direction == "min" else 1.0
    result = Result(entry, float(scored.value), n_units=c.n, parameters=c.parameters)
    kind = scored.floor_kind if scored.floor is not None else ""
    return result.between(scored.floor, kind, best, "the truth itself")


@_metric("precision")
def precision(c: CircuitComparison) -> Scored:
    """|claimed and right| / |claimed|; undefined where nothing is claimed."""
    return Scored(_share(c.true, c.claimed, "nothing is claimed"), c.true.mean())


@_metric("recall")
def recall(c: CircuitComparison) -> Scored:
    """|claimed and right| / |right|: 0 where nothing is claimed.

    Some published scripts count what both leave out as found, and give the empty claim recall 1.
    """
    return Scored(_share(c.claimed, c.true, "nothing is right"), c.claimed.mean())


@_metric("f1")
def f1(c: CircuitComparison) -> Scored:
    """2 |claimed and right| / (|claimed| + |right|)."""
    k, m = c.size, int(c.true.sum())
    if k + m == 0:
        raise Undefined("nothing is claimed and nothing is right")
    return Scored(2 * float(c.claimed @ c.true) / (k + m), 2 * k * m / (c.n * (k + m)))


@_metric("auroc", version=1)
def auroc(c: CircuitComparison) -> Scored:
    """P(right stronger than wrong) + P(as strong) / 2, over pairs.

    Not sensitive to how many wrong ones lie above the right, where right ones are few: see auprc.
    """
    _check_both(c)
    ranks, n = stats.rankdata(c.strengths), int(c.true.sum())
    beaten = ranks[c.true].sum() - n * (n + 1) / 2
    return Scored(beaten / (n * (c.n - n)), 0.5, "random ranking")


@_metric("auprc", version=1)
def auprc(c: CircuitComparison) -> Scored:
    """Average precision: sum over strengths of recall gained times precision; ties enter together.

    The floor is the mean over all orders without ties, (m-1)(n-H_n)/(n(n-1)) + H_n/n with m right
    of n and H_n = 1 + 1/2 + ... + 1/n. A constant strength has m/n, which is less.

    Source of the floor: Bestgen, "Exact Expected Average Precision of the Random Baseline for
    System Evaluation", 2015, https://doi.org/10.1515/pralin-2015-0007
    """
    _check_both(c)
    # Ranks are as good as strengths, and finite.
    ranks = stats.rankdata(c.strengths)
    n, m = c.n, int(c.true.sum())
    value = weighted_average_precision(ranks[c.true], ranks[~c.true], m / n)
    harmonic = float((1 / np.arange(1, n + 1)).sum())
    floor = (m - 1) * (n - harmonic) / (n * (n - 1)) + harmonic / n
    return Scored(value, floor, "random ranking")


@_metric("shd", "min", _COUNT)
def shd(c: CircuitComparison) -> Scored:
    """|claimed but not right| + |right but not claimed|, the structural Hamming distance.

    No edge of a universe runs backwards, so none counts as reversed. Over |claimed| + |right| it is
    1 - F1.
    """
    k, m = c.size, int(c.true.sum())
    return Scored(k + m - 2 * float(c.claimed @ c.true), k + m - 2 * k * m / c.n)


@_metric("size_ratio", "target", _COUNT, version=1)
def size_ratio(c: CircuitComparison) -> Scored:
    """|claimed| / |right|; 1 for a ranking that rules out no more, since it is cut there."""
    if not c.true.any():
        raise Undefined("nothing is right")
    return Scored(c.size / c.true.sum(), None)


@_metric("best_f1")
def best_f1(c: CircuitComparison) -> Scored:
    """max over minimal valid circuits E of 2 |claimed and in E| / (|claimed| + |E|).

    One of several valid circuits is a full answer here; the union of them is not. Where candidates
    are tied at the cut it is the greatest of the means, not the mean of the greatest.
    """
    k, sizes = c.size, c.circuits.sum(1)
    if (k + sizes == 0).any():
        raise Undefined("nothing is claimed, and a valid circuit is empty")
    return _over_circuits(c, lambda hits: float((2 * hits / (k + sizes)).max()))


@_metric("class_hit")
def class_hit(c: CircuitComparison) -> Scored:
    """1 if a minimal valid circuit lies within the claim, else 0.

    Where candidates are tied at the cut: the chance of the circuit that has the greatest.
    """
    sizes = c.circuits.sum(1)
    floor = c.of_random_claims(lambda hits: float((hits == sizes).any()))
    return Scored(max(map(c.chance_of_all, c.circuits), default=0.0), floor)


@_metric("core_recall")
def core_recall(c: CircuitComparison) -> Scored:
    """|claimed and in every minimal valid circuit| / |in every one|."""
    core = c.flags(c.truth.members("core"))
    return Scored(_share(c.claimed, core, "the core is empty"), c.claimed.mean())


@_metric("union_precision")
def union_precision(c: CircuitComparison) -> Scored:
    """|claimed and in some minimal valid circuit| / |claimed|."""
    union = c.flags(c.truth.members("relevant"))
    return Scored(_share(union, c.claimed, "nothing is claimed"), union.mean())


def _share(part: np.ndarray, whole: np.ndarray, nothing: str) -> float:
    """Of `whole`, how much is also in `part`."""
    if not whole.any():
        raise Undefined(nothing)
    return float(part @ whole.astype(np.float64)) / float(whole.sum())


def _check_both(c: CircuitComparison) -> None:
    if c.true.all() or not c.true.any():
        raise Undefined("all candidates that count are right" if c.true.any() else "none is right")


def _over_circuits(c: CircuitComparison, value: Callable[[np.ndarray], float]) -> Scored:
    return Scored(value(c.circuits @ c.claimed), c.of_random_claims(value))


METRICS: dict[str, Metric] = {
    entry.id: entry for edge, node, _ in _SCORES.values() for entry in (edge, node)
}
"""Every recovery metric by id, of edges and of nodes."""
