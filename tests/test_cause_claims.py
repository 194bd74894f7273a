"""Claims about causes: what they hold, and what is no claim."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.backdoor import Backdoor
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary
from groundtruth.probe import Probe, linear_probe
from groundtruth.ranked_dictionary import RankedDictionary
from groundtruth.steering_vector import SteeringVector

TWO = Dictionary(np.eye(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RankedDictionary(np.eye(2), np.ones(2)),  # type: ignore[arg-type]
            "dictionary: expected a Dictionary, got ndarray.",
        ),
        (
            lambda: RankedDictionary(TWO, np.ones(3)),
            "strengths: expected one for each of 2 latents, got shape (3,).",
        ),
        (
            lambda: RankedDictionary(TWO, np.array([1.0, np.nan])),
            "strengths: expected numbers, or -inf for what was ruled out, got nan for latent 1 "
            "(1 of 2).",
        ),
        (
            lambda: SteeringVector(np.zeros(2)),
            "direction: expected a direction, got zeros.",
        ),
        (
            lambda: SteeringVector(np.eye(2)),
            "direction: expected shape (d,), got (2, 2).",
        ),
        (
            lambda: SteeringVector(np.array([np.inf, 0.0])),
            "direction: expected finite numbers, got 1 NaN or infinite, first at (0,).",
        ),
        (
            lambda: linear_probe(np.ones(2), float("nan")),
            "threshold: expected a finite number, got nan.",
        ),
        (
            lambda: Probe(np.ones(2)),  # type: ignore[arg-type]
            "decide: expected a function of activations, got ndarray. For a direction and a "
            "threshold pass linear_probe(direction, threshold).",
        ),
        (
            lambda: Backdoor(np.ones(2)),  # type: ignore[arg-type]
            "trigger: expected a function of tokens, or None, got ndarray.",
        ),
        (
            lambda: Backdoor(None, np.ones(2)),
            "direction: expected none where no trigger is claimed, got one.",
        ),
    ],
)
def test_what_is_no_claim_is_refused(make, message):
    with pytest.raises(ExplanationError) as error:
        make()
    assert str(error.value) == message


def test_answers_of_another_kind_are_refused():
    x = np.zeros((3, 2))
    with pytest.raises(ExplanationError) as error:
        Probe(lambda x: x[:, 0]).decide(x)
    assert str(error.value) == (
        "decide: expected 3 booleans, one for each row, got float64 of shape (3,)."
    )
    with pytest.raises(ExplanationError) as error:
        Backdoor(lambda tokens: tokens > 0).flagged(np.zeros((3, 2), dtype=int))
    assert str(error.value) == (
        "trigger: expected 3 booleans, one for each input, got bool of shape (3, 2)."
    )


def test_a_claim_cannot_edit_what_it_is_asked_about():
    x = np.ones((2, 2))

    def decide(x):
        x[:] = 0
        return x[:, 0] > 0

    Probe(decide).decide(x)
    assert x.all()


def test_a_probe_is_the_same_at_any_length():
    x = np.random.default_rng(0).standard_normal((100, 3))
    w = np.array([1.0, -2.0, 0.5])
    near, far = linear_probe(w, 0.3), linear_probe(100 * w, 30.0)
    assert np.array_equal(near.decide(x), far.decide(x))
    assert 0 < near.decide(x).sum() < 100


def test_of_equal_strengths_the_first_latent_comes_first():
    ranked = RankedDictionary(TWO, np.array([-np.inf, -np.inf]))
    assert ranked.order.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        ranked.strengths[0] = 1
