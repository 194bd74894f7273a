"""The planted truth: exact moments, read-only arrays, and refusals of what cannot be one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from groundtruth.equivalence import DUPLICATE
from groundtruth.errors import InputError
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.testing import feature_truths
from groundtruth.truth import (
    ALWAYS_CONSTANT,
    IDENTIFIABLE,
    NEVER_ACTIVE,
    SAMPLE_LIMITED,
    FeatureTruth,
)

LARGE = feature_truths(max_features=40, max_d=64)


def truth_of(n: int = 3, d: int = 3, **changes) -> FeatureTruth:
    """A plain truth with some fields changed."""
    fields = {
        "directions": np.eye(n, d),
        "firing_probability": np.full(n, 0.1),
        "magnitude": MagnitudeLaw("constant"),
        "bias": np.zeros(d),
    }
    return FeatureTruth(**{**fields, **changes})


@given(LARGE)
def test_moments_equal_plain_sums_over_features(truth):
    mean, covariance = truth.bias.copy(), truth.noise**2 * np.eye(truth.d)
    m1 = np.broadcast_to(truth.magnitude.mean, truth.n_features)
    m2 = np.broadcast_to(truth.magnitude.second_moment, truth.n_features)
    for i in range(truth.n_features):
        p, d = truth.firing_probability[i], truth.directions[i]
        mean += p * m1[i] * d
        covariance += (p * m2[i] - (p * m1[i]) ** 2) * np.outer(d, d)
    scale = max(1.0, np.abs(covariance).max())
    assert truth.mean == pytest.approx(mean, rel=1e-9, abs=1e-9 * np.abs(mean).max(initial=1))
    assert truth.covariance == pytest.approx(covariance, rel=1e-9, abs=1e-9 * scale)
    assert (np.linalg.eigvalsh(truth.covariance) >= -1e-9 * scale).all()


@given(LARGE)
def test_energy_shares_sum_to_one_and_the_frontier_rises_to_the_noiseless_share(truth):
    energy, total = truth.variance, truth.variance.sum()
    assert (energy >= 0).all()
    if total == 0:
        assert not truth.energy_share.any()
        return
    assert truth.energy_share.sum() == pytest.approx(1)
    curve = truth.explained_by_top(np.arange(truth.n_features + 1))
    assert curve[0] == 0 and (np.diff(curve) >= -1e-12).all()
    assert curve[-1] == pytest.approx(total / (total + truth.d * truth.noise**2))
    # Concave: each further atom adds no more than the one before.
    assert (np.diff(curve, 2) <= 1e-12).all()


@given(LARGE)
def test_coherence_is_the_largest_cosine_of_two_features(truth):
    gram = truth.directions @ truth.directions.T
    pairs = gram[np.triu_indices(truth.n_features, 1)]
    expected = pairs.max() if len(pairs) else -1.0
    assert truth.coherence == pytest.approx(expected, abs=1e-12)


def test_coherence_is_streamed_over_blocks():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2100, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[2099] = rows[5]
    assert truth_of(2100, 3, directions=rows).coherence == pytest.approx(1, abs=1e-12)


@given(feature_truths())
def test_pairs_fire_together_with_the_product_of_their_probabilities(truth):
    p = truth.firing_probability
    for i in range(truth.n_features):
        for j in range(truth.n_features):
            assert truth.coactivation(i, j) == (p[i] if i == j else p[i] * p[j])


@settings(max_examples=20)
@given(feature_truths())
def test_every_array_is_read_only_and_float64(truth):
    arrays = [truth.directions, truth.firing_probability, truth.bias, truth.mean, truth.covariance]
    arrays += [truth.variance, truth.mean_activity, truth.energy_share]
    for array in arrays:
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_the_given_arrays_are_copied():
    rows = np.eye(3)
    truth = truth_of(directions=rows)
    rows[0, 0] = 5
    assert truth.directions[0, 0] == 1


def test_identifiability_names_every_reason():
    rows = np.eye(6)
    rows[1] = rows[0]
    p = np.array([0.1, 0.1, 1.0, 0.0, 1e-6, 0.2])
    truth = truth_of(6, 6, directions=rows, firing_probability=p)
    found = truth.identifiability(10_000)
    assert found.classes.tolist() == [
        DUPLICATE,
        DUPLICATE,
        ALWAYS_CONSTANT,
        NEVER_ACTIVE,
        SAMPLE_LIMITED,
        IDENTIFIABLE,
    ]
    assert found.identifiable.tolist() == [False] * 5 + [True]
    assert set(found.reasons) >= set(found.classes)


def test_a_feature_needs_about_l0_times_the_odds_of_the_squared_cosine():
    truth = truth_of(4, 4, firing_probability=np.full(4, 0.5))
    needed = 2.0 * 0.81 / 0.19 / 0.5  # L0 t^2 / (1 - t^2) firings
    assert truth.identifiability(int(needed)).classes[0] == SAMPLE_LIMITED
    assert truth.identifiability(int(needed) + 1).classes[0] == IDENTIFIABLE
    # The stated rule against its experiment: averaging labelled samples reaches about that cosine.
    rng = np.random.default_rng(0)
    rows, n_firings = np.eye(200), 17
    cosines = []
    for _ in range(200):
        others = (rng.random((n_firings, 199)) < 0.02) @ rows[1:]
        mean = (rows[0] + others - 0.02 * rows[1:].sum(axis=0)).mean(axis=0)
        cosines.append(mean[0] / np.linalg.norm(mean))
    # L0 of the others is 3.98; 17 firings are 3.98 * .81 / .19.
    assert np.mean(cosines) == pytest.approx(0.9, abs=0.01)


REFUSALS = [
    (
        {"directions": 2 * np.eye(3)},
        "truth.directions: expected unit rows, got norm 2 in row 0 (3 such rows). "
        "Divide each row by its norm.",
    ),
    ({"directions": np.ones(3)}, "truth.directions: expected an array with 2 axes, got (3,)."),
    (
        {"directions": np.empty((0, 3))},
        "truth.directions: expected at least one feature in one dimension, got (0, 3).",
    ),
    (
        {"directions": np.where(np.eye(3) == 1, np.nan, 0.0)},
        "truth.directions: expected finite values, got 3 NaN or infinite, first at (0, 0).",
    ),
    (
        {"firing_probability": np.array([0.1, 1.5, 0.1])},
        "truth.firing_probability: expected shape (3,) within [0, 1], got shape (3,) "
        "within [0, 1.5].",
    ),
    (
        {"firing_probability": np.array([0.1])},
        "truth.firing_probability: expected shape (3,) within [0, 1], got shape (1,) "
        "within [0, 0.1].",
    ),
    ({"bias": np.zeros(2)}, "truth.bias: expected shape (3,), got (2,)."),
    ({"noise": -1.0}, "truth.noise: expected a finite number >= 0, got -1.0."),
    ({"names": ("a", "b", "a")}, "truth.names: expected 3 different names, got 2."),
    (
        {"magnitude": MagnitudeLaw("constant", {"value": np.ones(2)})},
        "magnitude.value: expected a number or shape (3,), got (2,).",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSALS)
def test_what_cannot_be_a_truth_is_refused(changes, message):
    with pytest.raises(InputError) as error:
        truth_of(**changes)
    assert str(error.value) == message


def test_a_world_without_variance_has_no_frontier():
    still = truth_of(1, 1, firing_probability=np.ones(1))
    with pytest.raises(InputError) as error:
        still.explained_by_top(1)
    assert str(error.value) == (
        "capacity frontier: nothing varies in this world; it has no variance."
    )
    with pytest.raises(InputError, match=r"n_train: expected a number >= 0, got -1\."):
        still.identifiability(-1)
