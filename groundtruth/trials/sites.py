"""Rankings of latents, steering vectors, triggers and probes, on testbeds of one site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from groundtruth import catalogue
from groundtruth.backdoor import Backdoor
from groundtruth.claim_report import ClaimReport
from groundtruth.errors import ExplanationError, UnknownName, reject
from groundtruth.evaluators import names
from groundtruth.evaluators.site_scores import SITE_SCORES
from groundtruth.explanation import Dictionary
from groundtruth.outputs import codes_of
from groundtruth.probe import Probe
from groundtruth.ranked_dictionary import RankedDictionary
from groundtruth.result import Metric, Result
from groundtruth.site_testbed import (
    CauseTestbed,
    ProbeTestbed,
    SiteTestbed,
    SteeringTestbed,
    TriggerTestbed,
)
from groundtruth.steering_vector import SteeringVector
from groundtruth.trials.cards import card_of
from groundtruth.trials.dictionaries import read_dictionary
from groundtruth.trials.trial import ScoredRow, Tell, Terms

Tensors = dict[str, np.ndarray]


class SiteTrial:
    """A testbed of a site, scored as `SITE_SCORES` says. A kind of claim is a subclass, which says
    what of a claim is stored: a function, by its answers on the inputs that score."""

    explains: ClassVar[str]
    asked: ClassVar[type[SiteTestbed]]
    group: ClassVar[str] = ""
    metrics: ClassVar[Mapping[str, Metric]]
    terms: ClassVar[tuple[str, ...]] = ()
    primary: ClassVar[str]
    rows: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        scores = SITE_SCORES[cls.asked]
        cls.metrics, cls.primary = scores.metrics, scores.primary
        cls.rows = (f"O0-{cls.explains}",)

    def __init__(self, testbed: Any, terms: Terms) -> None:
        if terms.scoring is not None:
            raise reject("scoring", terms.scoring, "None: every input of the testbed scores")
        self.testbed = testbed

    def description(self) -> dict[str, Any]:
        return {}

    def card(self) -> dict[str, Any]:
        return card_of(self.testbed, view=self.explains, group=self.group, facts=self.facts())

    def prepare(self) -> None:
        _ = self.testbed.truth

    def read(self, found: Any) -> Any:
        claims = SITE_SCORES[self.asked].claims
        if not isinstance(found, claims):
            raise ExplanationError(
                f"A method must return a {claims[0].__name__} here, got {type(found).__name__}. "
                f"{self.testbed.name} asks for a {self.explains}."
            )
        return found

    def report(
        self,
        explanation: Any,
        *,
        name: str,
        seed: int,
        flags: tuple[str, ...] = (),
        metrics: Iterable[str] | str | None = None,
    ) -> ClaimReport:
        rest = (metric for metric in self.metrics if metric != self.primary)
        return ClaimReport(
            self.testbed,
            name,
            seed,
            self._results(explanation, metrics),
            explanation,
            flags,
            (self.primary, *rest),
            f"{', '.join(self.facts())}. One testbed and one run.",
        )

    def tensors(self, report: ClaimReport) -> Tensors:
        return self.stored(report.explanation)

    def again(self, tensors: Mapping[str, np.ndarray], *, name: str, seed: int) -> ClaimReport:
        return self.report(self.restored(tensors), name=name, seed=seed)

    def row(self, row: str, tell: Tell = None) -> ScoredRow:
        if row not in self.rows:
            raise UnknownName("row", row, self.rows)
        claim = SITE_SCORES[self.asked].oracle(self.testbed.truth)
        return ScoredRow("oracle", catalogue.method(row).summary, "", self._results(claim, None))

    def bounds(self) -> dict[str, Result]:
        """The floor is that of a claim of the truth's size."""
        return self.row(self.rows[0]).results

    def facts(self) -> list[str]:
        """What a reader of a score needs to know of the testbed, in a few words each."""
        raise NotImplementedError

    def stored(self, claim: Any) -> Tensors:
        """All that the scores of a claim depend on."""
        raise NotImplementedError

    def restored(self, tensors: Mapping[str, np.ndarray]) -> Any:
        """A claim that scores as the one did that was stored."""
        raise NotImplementedError

    def _results(self, claim: Any, wanted: Iterable[str] | str | None) -> dict[str, Result]:
        found = SITE_SCORES[self.asked].score(self.testbed, claim)
        return {name: found[name] for name in names(wanted, self.metrics)}


class RankingTrial(SiteTrial):
    """Which latents cause what."""

    explains = "ranking"
    asked = CauseTestbed

    def read(self, found: Any) -> RankedDictionary | Dictionary:
        if isinstance(found, (RankedDictionary, SteeringVector, Backdoor, Probe)):
            return super().read(found)
        return read_dictionary(found, self.testbed.truth.d)

    def facts(self) -> list[str]:
        truth = self.testbed.truth
        return [
            f"{len(truth.names)} features",
            f"{len(truth.acting)} act on the target",
            f"{len(truth.tokens)} inputs",
        ]

    def stored(self, claim: RankedDictionary | Dictionary) -> Tensors:
        ranked = isinstance(claim, RankedDictionary)
        dictionary = claim.dictionary if ranked else claim
        tensors = {
            "decoder": dictionary.decoder,
            "bias": dictionary.bias,
            "signed": np.array(dictionary.signed),
        }
        if ranked:
            tensors["strengths"] = claim.strengths
        if dictionary.encode is not None:
            tensors["codes"] = codes_of(dictionary, self._activations()).toarray()
        return tensors

    def restored(self, tensors: Mapping[str, np.ndarray]) -> RankedDictionary | Dictionary:
        encode = None
        if "codes" in tensors:
            encode = recalled(self._activations(), tensors["codes"])
        dictionary = Dictionary(
            tensors["decoder"], encode, tensors["bias"], signed=bool(tensors["signed"])
        )
        if "strengths" not in tensors:
            return dictionary
        return RankedDictionary(dictionary, tensors["strengths"])

    def _activations(self) -> np.ndarray:
        from groundtruth.models.site_edits import read_site  # loads torch

        truth = self.testbed.truth
        return read_site(self.testbed.model, truth.site, truth.tokens).numpy()


class SteeringTrial(SiteTrial):
    """What turns a behaviour up and down."""

    explains = "vector"
    asked = SteeringTestbed

    def facts(self) -> list[str]:
        truth = self.testbed.truth
        return [f"{len(truth.names)} features", f"{len(truth.tokens)} inputs"]

    def stored(self, claim: SteeringVector) -> Tensors:
        return {"direction": claim.direction}

    def restored(self, tensors: Mapping[str, np.ndarray]) -> SteeringVector:
        return SteeringVector(tensors["direction"])


class TriggerTrial(SiteTrial):
    """Whether there is a hidden trigger, and which."""

    explains = "trigger"
    asked = TriggerTestbed
    group = "models with a trigger, and benign twins"

    def facts(self) -> list[str]:
        truth = self.testbed.truth
        acts = "no trigger" if truth.benign else f"{truth.triggered.sum()} trigger"
        return [f"all {len(truth.tokens)} inputs", acts]

    def stored(self, claim: Backdoor) -> Tensors:
        tensors = {"claimed": np.array(claim.trigger is not None)}
        if claim.trigger is not None:
            tensors["flagged"] = claim.flagged(self.testbed.truth.tokens)
        return tensors | _direction(claim)

    def restored(self, tensors: Mapping[str, np.ndarray]) -> Backdoor:
        if not tensors["claimed"]:
            return Backdoor(None)
        trigger = recalled(self.testbed.truth.tokens, tensors["flagged"])
        return Backdoor(trigger, tensors.get("direction"))


class ProbeTrial(SiteTrial):
    """What reads a concept, and nothing that goes along with it."""

    explains = "probe"
    asked = ProbeTestbed

    def facts(self) -> list[str]:
        truth = self.testbed.truth
        return [
            f"{truth.concept} against {truth.rival}",
            f"{len(truth.familiar.x)} familiar and {len(truth.shifted.x)} shifted cases",
        ]

    def stored(self, claim: Probe) -> Tensors:
        return {"decided": claim.decide(self._cases())} | _direction(claim)

    def restored(self, tensors: Mapping[str, np.ndarray]) -> Probe:
        return Probe(recalled(self._cases(), tensors["decided"]), tensors.get("direction"))

    def _cases(self) -> np.ndarray:
        truth = self.testbed.truth
        return np.concatenate([truth.familiar.x, truth.shifted.x])


def _direction(claim: Backdoor | Probe) -> Tensors:
    return {} if claim.direction is None else {"direction": claim.direction}


def recalled(seen: np.ndarray, answers: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The function that answered so on the rows `seen`. The nearest of them is looked up, since
    another machine may put activations off by rounding."""
    from scipy.spatial import KDTree

    tree = KDTree(seen)
    return lambda rows: answers[tree.query(rows)[1]]
