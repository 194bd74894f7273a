"""Steering: closed forms of right and wrong directions, floors, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from groundtruth.errors import ExplanationError
from groundtruth.evaluators.steering import (
    PARTS,
    effect_curve,
    planted_vector,
    random_vector,
    score_steering,
)
from groundtruth.generators.cause_worlds import causal_dictionary, steering
from groundtruth.steering_vector import SteeringVector

TESTBED = steering(n_inputs=64)
TRUTH = TESTBED.truth


def values(direction, testbed=TESTBED):
    found = score_steering(testbed, SteeringVector(direction))
    return {id.removeprefix("steer."): result.value for id, result in found.items()}


def test_the_planted_direction_is_right_at_any_length():
    for length in (1, 7.0):
        found = score_steering(TESTBED, SteeringVector(length * TRUTH.directions[0]))
        assert {id: r.value for id, r in found.items()} == pytest.approx(
            {id: r.ceiling for id, r in found.items()}, abs=1e-9
        )


def test_the_models_curve_is_the_planted_one_at_every_dose():
    doses = np.linspace(-3, 3, 13)
    found = effect_curve(TESTBED, TRUTH.directions[0], doses)
    assert np.abs(found - [TRUTH.steered(0, float(t)) for t in doses]).max() < 1e-10


def test_a_companion_has_the_side_effect_alone():
    testbed = steering(n_inputs=64, cosine=0.0)
    truth = testbed.truth
    found = values(truth.directions[1], testbed)
    planted = np.stack([truth.steered(0, part * 2.0) for part in PARTS])
    doses = 2 * np.array(PARTS)
    size = np.sqrt((planted[..., 0] ** 2).sum())
    # Nothing on the target; on the others its own output, and not the concept's half.
    side = np.sqrt(64 * (doses**2).sum() * (1 + 0.25)) / size
    assert found["cosine"] == pytest.approx(0, abs=1e-12)
    assert found["curve_error"] == pytest.approx(1)
    assert found["gain"] == pytest.approx(0, abs=1e-12)
    assert found["side_error"] == pytest.approx(side)
    assert found["rank"] >= 2


def test_a_mixture_loses_what_it_gives_to_the_other():
    # Linear in the first feature of the dictionary world: cos t of the effect is left.
    testbed = causal_dictionary(n_inputs=64)
    d = testbed.truth.directions
    for angle in (0.3, 1.0):
        mixed = math.cos(angle) * d[0] + math.sin(angle) * d[3]
        found = values(mixed, testbed)
        assert found["gain"] == pytest.approx(math.cos(angle))
        assert found["curve_error"] == pytest.approx(1 - math.cos(angle))
        # The decoy is inert; the own output of c0 moves in proportion to the target's 3.
        assert found["side_error"] == pytest.approx((1 - math.cos(angle)) / 3)
        assert found["rank"] == (1 if angle < math.pi / 4 else 2)
        assert found["cosine"] == pytest.approx(math.cos(angle))


def test_the_opposite_is_the_worst():
    found = values(-TRUTH.directions[0])
    assert found["cosine"] == pytest.approx(-1)
    assert found["rank"] == 4
    assert found["gain"] < 0 and found["curve_error"] > 1


def test_the_reading_direction_is_not_the_writing_one():
    testbed = steering(cosine=0.6, n_inputs=64)
    found = values(testbed.truth.readouts[:, 0], testbed)
    assert found["rank"] == 1 and found["cosine"] < 0.8
    assert found["curve_error"] > 0.1


def test_random_directions_lie_at_the_floor():
    found = [score_steering(TESTBED, random_vector(TRUTH.d, seed)) for seed in range(500, 540)]
    for id, first in found[0].items():
        drawn = np.array([scores[id].value for scores in found])
        # Floors are means of 20 draws, these of 40; four standard errors of the difference, over
        # five scores: a false alarm in about 3,000.
        error = drawn.std(ddof=1) * math.sqrt(1 / 20 + 1 / 40)
        assert abs(drawn.mean() - first.floor) < 4 * error, id
        assert first.floor_kind == "mean of 20 uniform directions"


def test_what_is_no_such_claim_is_refused():
    with pytest.raises(ExplanationError) as error:
        score_steering(TESTBED, np.ones(3))  # type: ignore[arg-type]
    assert str(error.value) == "claim: expected a SteeringVector, got ndarray."
    with pytest.raises(ExplanationError) as error:
        score_steering(TESTBED, SteeringVector(np.ones(3)))
    assert str(error.value) == (
        f"direction: expected shape ({TRUTH.d},) for this testbed, got (3,). "
        "Was it found at another site?"
    )


def test_the_oracle_is_named():
    assert planted_vector(TRUTH).name == "planted"
