"""A testbed about one site of a model: what is asked of it depends on its truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from groundtruth.cause_truth import CauseTruth
from groundtruth.models.weights import Weights
from groundtruth.probe_truth import ProbeTruth
from groundtruth.site_subject import LabelledSubject
from groundtruth.testbed import Recipe
from groundtruth.trigger_truth import TriggerTruth

if TYPE_CHECKING:
    from groundtruth.models.transformer import Transformer

SiteTruth = TypeVar("SiteTruth", CauseTruth, TriggerTruth, ProbeTruth)


@dataclass(frozen=True, eq=False)
class SiteTestbed(Generic[SiteTruth]):
    """Subject, truth and provenance; identity is the content hash, not the seed.

    Fields:
        recipe: from which it is built again.
        subject: all that a method may see.
        truth: what is scored against; its type says what a claim is: a `CauseTruth` takes a
            `Dictionary`, a `RankedDictionary` or a `SteeringVector`, a `TriggerTruth` a `Backdoor`,
            a `ProbeTruth` a `Probe`.
        hash: of the weights, the law of the inputs and the truth.
        weights: of the model; None where activations are all there is.
        source: where the construction comes from, in one line.
    """

    recipe: Recipe
    subject: LabelledSubject
    truth: SiteTruth
    hash: str
    weights: Weights | None = None
    source: str = ""
    truth_class: str = field(default="analytic", init=False)

    @property
    def name(self) -> str:
        return self.recipe.name

    @cached_property
    def model(self) -> Transformer:
        """For scoring: the subject's own may have been changed by a method."""
        import torch

        from groundtruth.models.transformer import Transformer

        assert self.weights is not None
        return Transformer(self.weights, torch.float64)

    def __repr__(self) -> str:
        return f"<SiteTestbed {self.name}: {type(self.truth).__name__}, {self.hash[:12]}>"
