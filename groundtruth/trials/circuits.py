"""Circuits, on a testbed of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.circuit_rows import ROWS
from groundtruth.circuit_testbed import CircuitTestbed
from groundtruth.circuit_truth import TRUTH_SETS, TruthSet
from groundtruth.claim_report import ClaimReport
from groundtruth.errors import ExplanationError, Undefined, UnknownName, reject
from groundtruth.evaluators import names
from groundtruth.evaluators.circuit_behaviour import OF_SETS, score_behaviour
from groundtruth.evaluators.circuit_curves import OF_CURVES
from groundtruth.evaluators.circuit_tests import OF_TESTS, score_circuit_tests
from groundtruth.evaluators.circuits import METRICS, score_circuit
from groundtruth.result import Metric, Result, undefined
from groundtruth.trials.cards import card_of
from groundtruth.trials.trial import ScoredRow, Tell, Terms

BEHAVIOUR = {metric.id: metric for metric in (*OF_SETS, *OF_CURVES)}
TESTS = {metric.id: metric for metric in OF_TESTS}


@dataclass(frozen=True)
class CircuitScoring:
    """What a claimed circuit is compared with.

    Fields:
        against: the set of the truth that is the right answer.
        trivial: whether edges from embeddings and to the outputs count (of nodes, embeddings).
    """

    against: TruthSet = "relevant"
    trivial: bool = True

    def __post_init__(self) -> None:
        if self.against not in TRUTH_SETS:
            raise reject("scoring.against", self.against, f"one of {', '.join(TRUTH_SETS)}")
        if not isinstance(self.trivial, bool):
            raise reject("scoring.trivial", self.trivial, "True or False")

    def description(self) -> dict[str, Any]:
        return asdict(self)


def as_circuit_scoring(value: Any) -> CircuitScoring:
    """Settings from None (defaults), a dict or a `CircuitScoring`."""
    if value is None or isinstance(value, CircuitScoring):
        return CircuitScoring() if value is None else value
    if not isinstance(value, dict):
        raise reject("scoring", value, "gt.CircuitScoring(...), a dict or None")
    known = CircuitScoring().description()
    for key in value:
        if key not in known:
            raise UnknownName("part of scoring", str(key), known)
    return CircuitScoring(**value)


class CircuitTrial:
    """A testbed whose truth is which nodes or edges a model uses."""

    explains: ClassVar[str] = "circuit"
    metrics: ClassVar[Mapping[str, Metric]] = {**METRICS, **BEHAVIOUR, **TESTS}
    terms: ClassVar[tuple[str, ...]] = ()
    primary: ClassVar[str] = "circuit.edge_auprc"
    rows: ClassVar[tuple[str, ...]] = tuple(row.id for row in ROWS)

    def __init__(self, testbed: CircuitTestbed, terms: Terms) -> None:
        self.testbed = testbed
        self.scoring = as_circuit_scoring(terms.scoring)

    def description(self) -> dict[str, Any]:
        return {"scoring": self.scoring.description()}

    def card(self) -> dict[str, Any]:
        testbed = self.testbed
        return card_of(
            testbed,
            view=f"circuit.{testbed.unit}",
            group=_group(testbed),
            facts=facts(testbed),
            n_candidates=len(testbed.truth.universe),
        )

    def prepare(self) -> None:
        _ = self.testbed.truth

    def read(self, found: Any) -> Circuit:
        if not isinstance(found, Circuit):
            unit = self.testbed.unit
            raise ExplanationError(
                f"A method must return a Circuit here, got {type(found).__name__}. Return "
                f'gt.Circuit(subject.universe("{unit}"), strengths) with a number for each {unit}.'
            )
        found.check_universe(self.testbed.universe)
        if found.condition is not None:
            self.testbed.scored.condition.check_same(found.condition)
        return found

    def report(
        self,
        explanation: Circuit,
        *,
        name: str,
        seed: int,
        flags: tuple[str, ...] = (),
        metrics: Iterable[str] | str | None = None,
    ) -> ClaimReport:
        results = self._results(explanation, metrics)
        unit = self.testbed.unit
        headline = tuple(f"circuit.{unit}_{m}" for m in ("auprc", "f1", "best_f1", "auroc"))
        return ClaimReport(
            self.testbed,
            name,
            seed,
            results,
            explanation,
            flags,
            (*headline, "circuit.faith", "circuit.cpr", "circuit.cmd"),
            f"{', '.join(facts(self.testbed))}. One testbed and one run.",
        )

    def tensors(self, report: ClaimReport) -> dict[str, np.ndarray]:
        """Strengths and, if there is one, the claimed set, in the order of the universe."""
        circuit = report.explanation
        tensors = {"strengths": circuit.strengths} if circuit.ranked else {}
        if circuit.claimed is not None:
            tensors["claimed"] = circuit.claimed
        for metric, result in report.results.items():
            for name, array in result.evidence.items():
                tensors[f"{metric}.{name}"] = np.ascontiguousarray(array)
        return tensors

    def again(self, tensors: Mapping[str, np.ndarray], *, name: str, seed: int) -> ClaimReport:
        universe, claimed = self.testbed.universe, tensors.get("claimed")
        if "strengths" in tensors:
            circuit = circuit_of(universe, tensors["strengths"], claimed=claimed)
        else:
            assert claimed is not None
            circuit = Circuit(universe, members=universe.members(claimed))
        return self.report(circuit, name=name, seed=seed)

    def row(self, row: str, tell: Tell = None) -> ScoredRow:
        known = {one.id: one for one in ROWS}
        if row not in known:
            raise UnknownName("row", row, known)
        made = known[row]
        try:
            members = made.members(self.testbed, self.scoring.against)
        except Undefined as reason:
            results = {m: undefined(self.metrics[m], str(reason)) for m in self._names()}
            return ScoredRow(made.kind, made.summary, str(reason), results)
        universe = self.testbed.universe
        flags = np.array([candidate in members for candidate in universe.candidates])
        circuit = circuit_of(universe, flags, claimed=flags)
        return ScoredRow(made.kind, made.summary, "", self._results(circuit, None))

    def bounds(self) -> dict[str, Result]:
        """The floor is that of a claim of the truth's size."""
        return self.row("O0-truth").results

    def _names(self, wanted: Iterable[str] | str | None = None) -> list[str]:
        """The metrics asked for, without those of the other unit."""
        other = "node" if self.testbed.unit == "edge" else "edge"
        return [m for m in names(wanted, self.metrics) if not m.startswith(f"circuit.{other}_")]

    def _results(self, circuit: Circuit, wanted: Iterable[str] | str | None) -> dict[str, Result]:
        asked, testbed = self._names(wanted), self.testbed
        against, trivial = self.scoring.against, self.scoring.trivial
        found = score_circuit(testbed.truth, circuit, against, trivial=trivial)
        if BEHAVIOUR.keys() & set(asked):
            found |= score_behaviour(
                testbed.scored, circuit, size=self._size(circuit), all_inputs=testbed.exhaustive
            )
        if TESTS.keys() & set(asked):
            found |= score_circuit_tests(testbed.scored, circuit, size=self._size(circuit))
        return {name: found[name] for name in asked}

    def _size(self, circuit: Circuit) -> int | None:
        """A ranking is cut at the size of the truth, where that is known, as for recovery."""
        if circuit.claimed is not None:
            return None
        try:
            return len(self.testbed.truth.members(self.scoring.against))
        except Undefined:
            return None


def _group(testbed: CircuitTestbed) -> str:
    """Scores of testbeds under one kind of ablation may be averaged, each then a task."""
    subject = testbed.scored
    return f"{testbed.unit}s ({subject.granularity}), {subject.ablation} ablation"


def facts(testbed: CircuitTestbed) -> list[str]:
    """What a reader of a score needs to know of the testbed, in a few words each."""
    truth, unit = testbed.truth, testbed.unit
    relevant, n = truth.relevant, len(truth.circuits)
    known = f"{len(relevant.lower)}"
    known += "" if relevant.exact else f" to {len(relevant.upper)}"
    valid = f"{n} minimal valid circuit{'s' * (n != 1)}"
    return [
        f"{len(truth.universe)} {unit}s",
        f"{known} relevant",
        valid if truth.complete else f"at least {valid}",
        str(truth.condition),
    ]
