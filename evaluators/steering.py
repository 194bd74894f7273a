"""Steering vectors: the same doses of a claimed and of the planted direction, in the real model.

At a dose t the residual stream becomes x + t u for a claim u, which the model is run on; planted is
do(a := a + t) of the concept, whose effect Delta* is a closed form. Doses are whole parts of the
largest activity of the concept, down to taking all of it away and up to adding as much.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.cause_truth import CauseTruth
from groundtruth.errors import ExplanationError
from groundtruth.evaluators.registry import REAL
from groundtruth.models.site_edits import EditedRuns
from groundtruth.result import Metric, Result
from groundtruth.site_testbed import CauseTestbed, SteeringTestbed
from groundtruth.steering_vector import SteeringVector
from groundtruth.vectors import check_length

PARTS = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)
"""Doses, in the largest activity of the concept."""
FLOOR_DRAWS = 20

_POSITIVE = (0.0, math.inf)
COSINE = Metric("steer.cosine", 1, "cosine with the planted direction", "max", (-1.0, 1.0), "claim")
RANK = Metric(
    "steer.rank",
    1,
    "rank of the planted direction among all features' by cosine with the claim; 1 is right",
    "min",
    (1.0, math.inf),
    "claim",
)
CURVE = Metric(
    "steer.curve_error",
    1,
    "root of sum (Delta - Delta*)^2 / sum Delta*^2 on the target, over inputs and doses",
    "min",
    _POSITIVE,
    "input",
)
SIDE = Metric(
    "steer.side_error",
    1,
    "root of sum |Delta - Delta*|^2 on the other outputs / sum Delta*^2 on the target",
    "min",
    _POSITIVE,
    "input",
)
GAIN = Metric(
    "steer.gain",
    1,
    "sum Delta Delta* / sum Delta*^2 on the target; 1 is right",
    "target",
    REAL,
    "input",
)
METRICS: dict[str, Metric] = {entry.id: entry for entry in (COSINE, RANK, CURVE, SIDE, GAIN)}


def score_steering(
    testbed: CauseTestbed | SteeringTestbed, claim: SteeringVector
) -> dict[str, Result]:
    """Every score of a steering vector.

    Args:
        testbed: of steering, or of causes, whose first feature is then the concept.
        claim: a direction at its site.

    Returns:
        Results by id. Floors are means over 20 uniform directions, which score like the claim;
        ceilings are the planted direction's: error 0, rank 1.

    Raises:
        ExplanationError: another kind of claim, or another width.

    Not a measure of whether activations tell the concept: a probe that does may steer badly, since
    what reads a feature need not be what writes it.

    Example:
        >>> from groundtruth.generators.cause_worlds import steering
        >>> testbed = steering(n_inputs=32)
        >>> scores = score_steering(testbed, planted_vector(testbed.truth))
        >>> scores["steer.rank"].value, round(scores["steer.side_error"].value, 9)
        (1.0, 0.0)
    """
    if not isinstance(claim, SteeringVector):
        raise ExplanationError(f"claim: expected a SteeringVector, got {type(claim).__name__}.")
    check_length("direction", claim.direction, testbed.truth.d)
    values, floors = _values(testbed, claim), _floors(testbed)
    truth = testbed.truth
    parameters = {
        "concept": truth.names[truth.concept],
        "site": truth.site,
        "doses": [part * float(truth.dose[truth.concept]) for part in PARTS],
        "inputs": len(truth.tokens),
    }
    ceilings = {COSINE: 1.0, RANK: 1.0, CURVE: 0.0, SIDE: 0.0, GAIN: 1.0}
    kind = f"mean of {FLOOR_DRAWS} uniform directions"
    return {
        entry.id: Result(
            entry,
            values[entry.id],
            n_units=len(truth.tokens) if entry.unit == "input" else 1,
            parameters=parameters,
        ).between(floors[entry.id], kind, ceiling, "planted direction")
        for entry, ceiling in ceilings.items()
    }


def planted_vector(truth: CauseTruth) -> SteeringVector:
    """The oracle."""
    return SteeringVector(truth.directions[truth.concept].copy(), name="planted")


def effect_curve(
    testbed: CauseTestbed | SteeringTestbed, direction: np.ndarray, doses: np.ndarray
) -> np.ndarray:
    """(dose, n, n_outputs) what the model's outputs change by as doses of a vector are added."""
    edited = EditedRuns(testbed.model, testbed.truth.site, torch.tensor(testbed.truth.tokens))
    vector = torch.tensor(direction)
    runs = [edited.outputs(lambda x, t=float(t): x + t * vector) for t in doses]
    return (torch.stack(runs) - edited.intact).numpy()


def _values(testbed: CauseTestbed | SteeringTestbed, claim: SteeringVector) -> dict[str, float]:
    truth = testbed.truth
    cosines = truth.directions @ claim.direction
    own = cosines[truth.concept]
    doses = np.array(PARTS) * truth.dose[truth.concept]
    moved = effect_curve(testbed, claim.direction, doses)
    planted = np.stack([truth.steered(truth.concept, float(t)) for t in doses])
    error = moved - planted
    on = np.arange(error.shape[-1]) == truth.target
    size = (planted[..., on] ** 2).sum()
    return {
        COSINE.id: float(own),
        RANK.id: float(1 + (cosines > own).sum()),
        CURVE.id: float(np.sqrt((error[..., on] ** 2).sum() / size)),
        SIDE.id: float(np.sqrt((error[..., ~on] ** 2).sum() / size)),
        GAIN.id: float((moved[..., on] * planted[..., on]).sum() / size),
    }


@lru_cache(maxsize=16)
def _floors(testbed: CauseTestbed | SteeringTestbed) -> dict[str, float]:
    """Means over uniform directions."""
    drawn = [_values(testbed, random_vector(testbed.truth.d, draw)) for draw in range(FLOOR_DRAWS)]
    return {id: float(np.mean([values[id] for values in drawn])) for id in METRICS}


def random_vector(d: int, seed: int) -> SteeringVector:
    """The control: a uniform direction."""
    rng = seeds.generator(seeds.root_of("random steering vector", seed))
    return SteeringVector(rng.standard_normal(d), name="random")
