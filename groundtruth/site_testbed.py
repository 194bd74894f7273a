"""Testbeds about one site of a model, one class for each thing that is asked there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from groundtruth.cause_truth import CauseTruth
from groundtruth.models.weights import Weights
from groundtruth.probe_truth import ProbeTruth
from groundtruth.site_subject import LabelledSubject, SiteSubject
from groundtruth.testbed import Recipe
from groundtruth.trigger_truth import TriggerTruth

if TYPE_CHECKING:
    from groundtruth.models.transformer import Transformer

SiteTruth = TypeVar("SiteTruth", CauseTruth, TriggerTruth, ProbeTruth)
Seen = TypeVar("Seen", bound=LabelledSubject)


@dataclass(frozen=True, eq=False)
class SiteTestbed(Generic[SiteTruth, Seen]):
    """Subject, truth and provenance; identity is the content hash, not the seed.

    Fields:
        recipe: from which it is built again.
        make: a subject.
        truth: what is scored against.
        hash: of the weights, the law of the inputs and the truth.
        weights: of the model; None where activations are all there is.
        source: where the construction comes from, in one line.
    """

    recipe: Recipe
    make: Callable[[], Seen]
    truth: SiteTruth
    hash: str
    weights: Weights | None = None
    source: str = ""
    truth_class: str = field(default="analytic", init=False)

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def subject(self) -> Seen:
        """What a method may see: a new one each time, so that nothing a method does to it reaches
        the next method or the scores."""
        return self.make()

    @cached_property
    def model(self) -> Transformer:
        """What scores are computed on; never handed to a method."""
        import torch

        from groundtruth.models.transformer import Transformer

        assert self.weights is not None
        return Transformer(self.weights, torch.float64)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.hash[:12]}>"


class CauseTestbed(SiteTestbed[CauseTruth, SiteSubject]):
    """Which latents cause what; a claim is a `RankedDictionary`, or a `Dictionary`, unranked."""


class SteeringTestbed(SiteTestbed[CauseTruth, SiteSubject]):
    """What turns a behaviour up and down; a claim is a `SteeringVector`."""


class TriggerTestbed(SiteTestbed[TriggerTruth, SiteSubject]):
    """Whether there is a hidden trigger, and which; a claim is a `Backdoor`."""


class ProbeTestbed(SiteTestbed[ProbeTruth, LabelledSubject]):
    """What reads a concept and nothing that goes along with it; a claim is a `Probe`."""
