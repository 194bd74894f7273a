"""The phase diagram: closed forms against quadrature, and trained models against both.

Training is a fixed function of the seed. Trained losses are taken by quadrature, so no comparison
here has sampling noise.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtruth.errors import InputError
from groundtruth.generators.toy_inputs import ToyInputs
from groundtruth.generators.toy_phase import (
    boundary,
    candidate_losses,
    expected_loss,
    phase,
    predicted_phase,
)
from groundtruth.generators.toy_training import ToyTraining, TrainedToy, train_toy_model

probabilities, ratios = st.floats(0.01, 1.0), st.floats(0.05, 20.0)
# The gradient noise of the last steps; measured, at most 3e-4.
TRAINING_SLACK = 1e-3


def trained(probability: float, ratio: float, *, importance: float | None = None) -> TrainedToy:
    training = ToyTraining(
        ToyInputs(2, probability),
        d=1,
        importance=[1, ratio if importance is None else importance],
        n_steps=1000,
        # A start whose two weights have one sign often stays there: half of them do.
        n_starts=8,
    )
    return train_toy_model(training, seed=0)


def check_bound(W: np.ndarray, b: np.ndarray, probability: float, ratio: float) -> None:
    """Raise unless the loss is at most that of the best candidate."""
    bound = min(candidate_losses(probability, ratio))
    assert expected_loss(W, b, probability, ratio) <= bound * (1 + TRAINING_SLACK)


@given(probabilities, ratios, st.booleans())
def test_the_closed_forms_are_the_expected_losses_of_their_weights(p, r, bias):
    guess = p / 2 if bias else 0.0
    weights = [([1, 0], [0, guess]), ([1, -1], [0, 0]), ([0, 1], [guess, 0])]
    found = [expected_loss([W], b, p, r) for W, b in weights]
    # The midpoint rule on 400 points errs by 1 / 400^2 of the integrand.
    assert candidate_losses(p, r, bias=bias) == pytest.approx(found, rel=3e-5)


def test_the_comparison_catches_the_second_moment_in_place_of_the_variance():
    found = expected_loss([[1, 0]], [0, 0.2], 0.4, 1.0)
    assert candidate_losses(0.4, 1.0, bias=False).drop_second != pytest.approx(found, rel=3e-5)


@given(ratios, st.booleans())
def test_on_the_boundary_the_pair_is_as_good_as_dropping_the_lesser_feature(r, bias):
    losses = candidate_losses(boundary(r, bias=bias), r, bias=bias)
    assert losses.antipodal == pytest.approx(min(losses.drop_first, losses.drop_second), rel=1e-9)


@given(ratios)
def test_the_boundary_is_the_same_for_the_inverse_ratio(r):
    assert boundary(r) == pytest.approx(boundary(1 / r))


@given(probabilities, ratios)
def test_the_predicted_phase_is_antipodal_exactly_below_the_boundary(p, r):
    lesser = "drop-second" if r <= 1 else "drop-first"
    expected = "antipodal" if p < boundary(r) else lesser
    assert abs(p - boundary(r)) < 1e-6 or predicted_phase(p, r) == expected


AWAY = [(0.05, 1.0), (0.4, 1.0), (0.08, 0.1), (0.3, 0.1), (0.2, 3.0), (0.6, 3.0)]
"""(p, r) whose p is at least 0.3 p* away from p*. With equal importance no feature is the lesser
one, and above p* training ends between the phases."""


@pytest.mark.parametrize(("p", "r"), AWAY)
def test_training_beats_the_candidates_and_finds_the_predicted_phase(p, r):
    assert abs(p / boundary(r) - 1) > 0.29
    model = trained(p, r)
    check_bound(model.W, model.b, p, r)
    assert phase(model.W) == predicted_phase(p, r)


def test_at_three_quarters_and_equal_importance_training_ends_between_the_phases():
    model = trained(0.75, 1.0)
    check_bound(model.W, model.b, 0.75, 1.0)
    assert phase(model.W) == "between"


def test_the_bound_and_the_phase_catch_a_model_trained_for_another_importance():
    model = trained(0.3, 0.1, importance=1.0)
    assert phase(model.W) != predicted_phase(0.3, 0.1)
    with pytest.raises(AssertionError):
        check_bound(model.W, model.b, 0.3, 0.1)


@pytest.mark.parametrize(
    ("W", "expected"),
    [
        ([[1.0, -0.81]], "antipodal"),
        ([[1.0, 0.81]], "between"),
        ([[-1.0, 0.79]], "between"),
        ([[-1.0, 0.11]], "between"),
        ([[-1.0, 0.09]], "drop-second"),
        ([[0.09, 1.0]], "drop-first"),
    ],
)
def test_phases_are_told_by_the_share_and_the_signs_of_the_weights(W, expected):
    assert phase(W) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: candidate_losses(1.1, 1.0),
            "probability: expected a number in [0, 1], got 1.1.",
        ),
        (lambda: boundary(0.0), "ratio: expected a finite number > 0, got 0.0."),
        (
            lambda: phase([[0.0, 0.0]]),
            "W: expected two weights, shape (1, 2), not both 0, got [[0.0, 0.0]].",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message
