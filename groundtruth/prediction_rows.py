"""Rows that every testbed of prediction has: the causal model, the best constant, black boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from groundtruth.evaluators.prediction import best_constant, best_on_each
from groundtruth.evaluators.prediction_answers import Answers, answers_of
from groundtruth.methods.prediction import nearest_neighbour, random_forest
from groundtruth.prediction import Prediction
from groundtruth.prediction_testbed import PredictionTestbed


@dataclass(frozen=True)
class Row:
    """One row: id, kind, what it is, and its answers, from those of the surrogates."""

    id: str
    kind: Literal["oracle", "control"]
    summary: str
    answers: Callable[[PredictionTestbed, Sequence[Answers]], Answers]


def surrogates(testbed: PredictionTestbed) -> tuple[Answers, ...]:
    """Black boxes that asked as many queries as a method may, at the seed of the testbed."""
    made = (nearest_neighbour, random_forest)
    seed = testbed.recipe.seed
    return tuple(answers_of(testbed, method(testbed.subject, seed=seed)) for method in made)


def _oracle(testbed: PredictionTestbed, others: Sequence[Answers]) -> Answers:
    return answers_of(testbed, testbed.oracle)


def _constant(testbed: PredictionTestbed, others: Sequence[Answers]) -> Answers:
    truth = testbed.truth
    sets = {
        name: tuple(
            Prediction(np.broadcast_to(constant, part.outputs.shape).astype(float))
            for part in parts
        )
        for name, parts in truth.sets.items()
        for constant in [best_constant(truth, name)[1]]
    }
    return Answers("best constant", sets)


def _surrogate(testbed: PredictionTestbed, others: Sequence[Answers]) -> Answers:
    return best_on_each(testbed.truth, others)


ROWS: tuple[Row, ...] = (
    Row("O0-predictor", "oracle", "the causal model of the program", _oracle),
    Row(
        "C0-constant", "control", "on each test set the answer that is right most often", _constant
    ),
    Row(
        "C1-surrogate",
        "control",
        "on each test set the best of the black boxes that ask as many queries",
        _surrogate,
    ),
)
