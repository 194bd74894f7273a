"""Predictors, on a testbed of novel inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from groundtruth.claim_report import ClaimReport
from groundtruth.errors import ExplanationError, UnknownName, reject
from groundtruth.evaluators import names
from groundtruth.evaluators.prediction import METRICS, score_prediction
from groundtruth.evaluators.prediction_answers import Answers, Guarantee, answers_of
from groundtruth.prediction import Prediction
from groundtruth.prediction_rows import ROWS, surrogates
from groundtruth.prediction_testbed import PredictionTestbed
from groundtruth.predictor import Predictor
from groundtruth.result import Metric, Result
from groundtruth.trials.cards import card_of
from groundtruth.trials.trial import ScoredRow, Tell, Terms

_GUARANTEE = "guarantee"


class PredictionTrial:
    """A testbed that asks what a model does on inputs that no method has seen the answers of.

    A predictor is stored by its answers on every test, which is all that its scores depend on.
    """

    explains: ClassVar[str] = "predictor"
    metrics: ClassVar[Mapping[str, Metric]] = METRICS
    terms: ClassVar[tuple[str, ...]] = ()
    primary: ClassVar[str] = "pred.skill.novel"
    rows: ClassVar[tuple[str, ...]] = tuple(row.id for row in ROWS)

    def __init__(self, testbed: PredictionTestbed, terms: Terms) -> None:
        if terms.scoring is not None:
            raise reject("scoring", terms.scoring, "None: every test of the testbed scores")
        self.testbed = testbed

    def description(self) -> dict[str, Any]:
        return {}

    def card(self) -> dict[str, Any]:
        return card_of(
            self.testbed, view=self.explains, group="compiled programs", facts=self.facts()
        )

    def prepare(self) -> None:
        _ = self.surrogates

    @cached_property
    def surrogates(self) -> tuple[Answers, ...]:
        """What skill is counted from."""
        return surrogates(self.testbed)

    def facts(self) -> list[str]:
        """What a reader of a score needs to know of the testbed, in a few words each."""
        sets, given = self.testbed.truth.sets, self.testbed.recipe.parameters
        sizes = {name: sum(len(part.tokens) for part in parts) for name, parts in sets.items()}
        return [
            f"{given['queries']} queries",
            ", ".join(f"{n} {name}" for name, n in sizes.items()),
            f"outputs {self.testbed.truth.kind}",
        ]

    def read(self, found: Any) -> Predictor:
        if not isinstance(found, Predictor):
            raise ExplanationError(
                f"A method must return a Predictor here, got {type(found).__name__}. Return "
                "gt.Predictor(predict), with predict(tokens, interchange) the outputs it claims."
            )
        return found

    def report(
        self,
        explanation: Predictor,
        *,
        name: str,
        seed: int,
        flags: tuple[str, ...] = (),
        metrics: Iterable[str] | str | None = None,
    ) -> ClaimReport:
        answers = answers_of(self.testbed, explanation)
        return self._report(answers, name=name, seed=seed, flags=flags, metrics=metrics)

    def tensors(self, report: ClaimReport) -> dict[str, np.ndarray]:
        answers: Answers = report.explanation
        tensors = {
            f"{name}.{i}.{field}": np.ascontiguousarray(array)
            for name, parts in answers.sets.items()
            for i, part in enumerate(parts)
            for field, array in part.arrays().items()
        }
        if (tried := answers.guarantee) is not None:
            tensors |= {
                f"{_GUARANTEE}.longest": np.array(tried.longest),
                f"{_GUARANTEE}.broken": tried.broken,
            }
        return tensors

    def again(self, tensors: Mapping[str, np.ndarray], *, name: str, seed: int) -> ClaimReport:
        def part(prefix: str) -> Prediction:
            held = {k: v for k, v in tensors.items() if k.startswith(prefix)}
            return Prediction.of_arrays({k.removeprefix(prefix): v for k, v in held.items()})

        sets = {
            name: tuple(part(f"{name}.{i}.") for i in range(len(parts)))
            for name, parts in self.testbed.truth.sets.items()
        }
        tried = None
        if f"{_GUARANTEE}.longest" in tensors:
            longest = int(tensors[f"{_GUARANTEE}.longest"])
            domain = self.testbed.domain(longest)
            broken = tensors[f"{_GUARANTEE}.broken"]
            tried = Guarantee(longest, domain.size, domain.exhaustive, broken)
        return self._report(Answers(name, sets, tried), name=name, seed=seed)

    def row(self, row: str, tell: Tell = None) -> ScoredRow:
        known = {one.id: one for one in ROWS}
        if row not in known:
            raise UnknownName("row", row, known)
        made = known[row]
        answers = made.answers(self.testbed, self.surrogates)
        return ScoredRow(made.kind, made.summary, "", self._results(answers, None))

    def bounds(self) -> dict[str, Result]:
        """Of the best constant, which claims nothing of its own certainty."""
        return self.row("C0-constant").results

    def _report(
        self,
        answers: Answers,
        *,
        name: str,
        seed: int,
        flags: tuple[str, ...] = (),
        metrics: Iterable[str] | str | None = None,
    ) -> ClaimReport:
        novel = ("pred.agreement.novel", "pred.agreement.iid")
        rest = (metric for metric in self.metrics if metric.startswith("pred.skill."))
        return ClaimReport(
            self.testbed,
            name,
            seed,
            self._results(answers, metrics),
            answers,
            flags,
            tuple(dict.fromkeys((self.primary, *novel, *rest))),
            f"{', '.join(self.facts())}. One testbed and one run.",
        )

    def _results(self, answers: Answers, wanted: Iterable[str] | str | None) -> dict[str, Result]:
        found = score_prediction(self.testbed, answers, surrogates=self.surrogates)
        return {name: found[name] for name in names(wanted, self.metrics)}
