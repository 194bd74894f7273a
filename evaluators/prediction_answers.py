"""What a predictor says on every test, which is all that its scores depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from groundtruth.errors import ExplanationError
from groundtruth.prediction import Prediction
from groundtruth.prediction_testbed import HeldOut, PredictionTestbed, PredictionTruth
from groundtruth.predictor import Predictor

_ROUNDING = 1e-6  # by which chances may miss a sum of 1, or be below 0


@dataclass(frozen=True, eq=False)
class Guarantee:
    """A guarantee, tried.

    Fields:
        longest: it is claimed for every sequence of up to so many tokens.
        size: how many sequences these are.
        exhaustive: whether all of them were tried.
        broken: (sequence,) those that were tried and have a wrong answer.
    """

    longest: int
    size: int
    exhaustive: bool
    broken: np.ndarray


@dataclass(frozen=True, eq=False)
class Answers:
    """What one predictor says.

    Fields:
        name: of the predictor.
        sets: test set -> what is said of each of its parts.
        guarantee: None if nothing is guaranteed.
    """

    name: str
    sets: Mapping[str, tuple[Prediction, ...]]
    guarantee: Guarantee | None = None


def answers_of(testbed: PredictionTestbed, predictor: Predictor) -> Answers:
    """A predictor, asked everything.

    Raises:
        ExplanationError: a claim of another shape, of numbers that are not finite, or of chances
            that are none; a guarantee for sequences that the model cannot read.
    """
    sets = {
        name: tuple(_asked(part, predictor) for part in parts)
        for name, parts in testbed.truth.sets.items()
    }
    tried = None
    if predictor.guaranteed is not None:
        domain = testbed.domain(predictor.guaranteed)
        broken = [_wrong(testbed.truth, part, predictor) for part in domain.parts]
        flags = np.concatenate(broken)
        tried = Guarantee(predictor.guaranteed, domain.size, domain.exhaustive, flags)
    return Answers(str(predictor.name), sets, tried)


def pairs_of(
    truth: PredictionTruth, answers: Answers, name: str
) -> Iterator[tuple[HeldOut, Prediction]]:
    """The parts of a test set, each with what is said of it."""
    yield from zip(truth.sets[name], answers.sets[name], strict=True)


def _asked(part: HeldOut, predictor: Predictor) -> Prediction:
    n_outputs = part.outputs.shape[-1]
    found = predictor.claim(part.tokens, part.interchange, n_outputs=n_outputs)
    if found.distribution:
        chances = found.outputs[part.counted]
        bad = (chances < -_ROUNDING).any(-1) | (np.abs(chances.sum(-1) - 1) > _ROUNDING)
        if n := int(bad.sum()):
            raise ExplanationError(
                f"predict: expected chances that sum to 1, got others at {n} positions. Pass "
                "distribution=False if the outputs are none."
            )
    return found


def _wrong(truth: PredictionTruth, part: HeldOut, predictor: Predictor) -> np.ndarray:
    """(sequence,) whether any counted answer is wrong."""
    right = truth.agrees(part.outputs, _asked(part, predictor).outputs)
    return np.any(~right & part.counted, axis=1)
