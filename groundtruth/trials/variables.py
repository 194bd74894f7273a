"""Causal variables, on a testbed of a model and a hypothesis about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from groundtruth.alignment import Alignment
from groundtruth.claim_report import ClaimReport
from groundtruth.errors import ExplanationError, UnknownName, reject
from groundtruth.evaluators import names
from groundtruth.evaluators.variable_claims import Twin
from groundtruth.evaluators.variables import METRICS, score_variables
from groundtruth.result import Metric, Result
from groundtruth.trials.cards import card_of
from groundtruth.trials.sites import Tensors
from groundtruth.trials.stored_alignments import array_text, restored, stored, text_array
from groundtruth.trials.trial import ScoredRow, Tell, Terms
from groundtruth.variable_pairs import check_width, site_width
from groundtruth.variable_rows import ROWS
from groundtruth.variable_subject import VariableSubject
from groundtruth.variable_testbed import VariableTestbed

N_PAIRS = 500
"""Pairs, or inputs, that score each variable."""

TwinName = Literal["untrained", "control"]
_TWINS: tuple[TwinName, ...] = ("untrained", "control")


@dataclass(frozen=True, eq=False)
class VariableClaim:
    """An alignment, beside what the same method claims of the testbed's twins.

    Fields:
        alignment: of the testbed.
        untrained: of `testbed.untrained()`; None: it was not run there.
        control: of `testbed.control()`; None: it was not run there.
    """

    alignment: Alignment
    untrained: Twin | None = None
    control: Twin | None = None

    @property
    def name(self) -> str | None:
        return self.alignment.name


class VariableTrial:
    """A testbed whose truth is where a model carries the variables of a hypothesis."""

    explains: ClassVar[str] = "alignment"
    metrics: ClassVar[Mapping[str, Metric]] = METRICS
    terms: ClassVar[tuple[str, ...]] = ()
    primary: ClassVar[str] = "cv.iia"
    rows: ClassVar[tuple[str, ...]] = tuple(row.id for row in ROWS)

    def __init__(self, testbed: VariableTestbed, terms: Terms) -> None:
        if terms.scoring is not None:
            raise reject("scoring", terms.scoring, f"None: {N_PAIRS} pairs score each variable")
        self.testbed = testbed

    def description(self) -> dict[str, Any]:
        return {"n_pairs": N_PAIRS}

    def card(self) -> dict[str, Any]:
        return card_of(
            self.testbed, view=self.explains, group="causal variables", facts=self.facts()
        )

    def facts(self) -> list[str]:
        """What a reader of a score needs to know of the testbed, in a few words each."""
        testbed = self.testbed
        asked = ", ".join(testbed.hypothesis)
        return [
            f"variables {asked}",
            f"{len(testbed.sites)} residual sites of width {testbed.model.W_E.shape[1]}",
            f"{N_PAIRS} pairs for each",
        ]

    def prepare(self) -> None:
        _ = self.testbed.hash

    def read(self, found: Any) -> VariableClaim:
        if not isinstance(found, Alignment):
            raise ExplanationError(
                f"A method must return an Alignment here, got {type(found).__name__}. Return "
                "gt.Alignment({variable: gt.Subspace(site, basis)})."
            )
        testbed = self.testbed
        known = {variable.name for variable in testbed.truth.variables}
        for name, claim in found.subspaces.items():
            if name not in known:
                raise UnknownName(f"variable of {testbed.name}", name, testbed.hypothesis)
            check_width(claim, site_width(testbed.model, claim.site))
        return VariableClaim(found)

    def twins(self, explanation: VariableClaim, *, seed: int) -> dict[TwinName, VariableSubject]:
        """An untrained model, and, if values are decoded, a control task."""
        decoded = (c.decode is not None for c in explanation.alignment.subspaces.values())
        run = _TWINS if any(decoded) else _TWINS[:1]
        return {name: self._twin(name, seed).subject for name in run}

    def beside(
        self, explanation: VariableClaim, found: Mapping[TwinName, Any], *, seed: int
    ) -> VariableClaim:
        def twin(name: TwinName) -> Twin:
            one = found[name]
            if isinstance(one, VariableClaim):
                return Twin(self._twin(name, seed), one.alignment)
            return Twin(self._twin(name, seed), None, f"on the {name} twin: {one}")

        return VariableClaim(explanation.alignment, **{name: twin(name) for name in found})

    def report(
        self,
        explanation: VariableClaim,
        *,
        name: str,
        seed: int,
        flags: tuple[str, ...] = (),
        metrics: Iterable[str] | str | None = None,
    ) -> ClaimReport:
        results = self._results(explanation, metrics)
        maps = [v for v, c in explanation.alignment.subspaces.items() if c.featurizer is not None]
        if maps:
            free = f"{', '.join(maps)}: found through a map that is not linear; such maps reach "
            flags = (*flags, f"{free}cv.iia on any model, so read cv.iia_selectivity")
        rest = (metric for metric in self.metrics if metric != self.primary)
        return ClaimReport(
            self.testbed,
            name,
            seed,
            results,
            explanation,
            flags,
            (self.primary, *rest),
            f"{', '.join(self.facts())}. One testbed and one run.",
        )

    def tensors(self, report: ClaimReport) -> Tensors:
        claim: VariableClaim = report.explanation
        tensors = stored(self.testbed, claim.alignment, N_PAIRS)
        for name in _TWINS:
            twin: Twin | None = getattr(claim, name)
            if twin is None:
                continue
            if twin.alignment is None:
                tensors[f"{name}/reason"] = text_array(twin.reason)
                continue
            found = stored(twin.testbed, twin.alignment, N_PAIRS)
            tensors |= {f"{name}/{key}": array for key, array in found.items()}
        return tensors

    def again(self, tensors: Mapping[str, np.ndarray], *, name: str, seed: int) -> ClaimReport:
        claim = VariableClaim(
            restored(self.testbed, tensors, N_PAIRS),
            **{twin: self._restored(twin, tensors, seed) for twin in _TWINS},
        )
        return self.report(claim, name=name, seed=seed)

    def row(self, row: str, tell: Tell = None) -> ScoredRow:
        known = {one.id: one for one in ROWS}
        if row not in known:
            raise UnknownName("row", row, known)
        made = known[row]
        results = self._results(VariableClaim(made.claim(self.testbed)), None)
        return ScoredRow(made.kind, made.summary, "", results)

    def bounds(self) -> dict[str, Result]:
        """The floor is that of subspaces as large as the planted ones."""
        return self.row("O0-alignment").results

    def _twin(self, name: TwinName, seed: int) -> VariableTestbed:
        made = {"untrained": self.testbed.untrained, "control": self.testbed.control}
        return made[name](seed=seed)

    def _restored(
        self, name: TwinName, tensors: Mapping[str, np.ndarray], seed: int
    ) -> Twin | None:
        own = {
            key.removeprefix(f"{name}/"): array
            for key, array in tensors.items()
            if key.startswith(f"{name}/")
        }
        if not own:
            return None
        testbed = self._twin(name, seed)
        if "reason" in own:
            return Twin(testbed, None, array_text(own["reason"]))
        return Twin(testbed, restored(testbed, own, N_PAIRS))

    def _results(
        self, claim: VariableClaim, wanted: Iterable[str] | str | None
    ) -> dict[str, Result]:
        found = score_variables(
            self.testbed,
            claim.alignment,
            untrained=claim.untrained,
            control=claim.control,
            n=N_PAIRS,
        )
        return {name: found[name] for name in names(wanted, self.metrics)}
