"""A listed law of codes: every chance and moment against sums written out, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from groundtruth.equivalence import ALWAYS_COACTIVE, DEPENDENT, EquivalenceClass
from groundtruth.errors import InputError
from groundtruth.population import Population
from groundtruth.truth import FeatureTruth


def population(rows, weights=None, groups=()) -> Population:
    n = len(rows)
    weights = np.full(n, 1 / n) if weights is None else np.array(weights)
    return Population(sp.csr_array(np.array(rows, dtype=float)), weights, groups)


def truth_of(law: Population, directions=None) -> FeatureTruth:
    directions = np.eye(law.n_features) if directions is None else directions
    d = directions.shape[1]
    return FeatureTruth(
        directions, law.firing_probability, law.magnitude, np.zeros(d), population=law
    )


def classes(rows, **given) -> list[EquivalenceClass]:
    return list(truth_of(population(rows, **given)).equivalence_classes)


def test_moments_are_the_sums_over_the_rows():
    rng = np.random.default_rng(0)
    codes = rng.exponential(size=(40, 5)) * (rng.random((40, 5)) < 0.5)
    weights = rng.dirichlet(np.ones(40))
    directions = np.linalg.qr(rng.normal(size=(7, 5)))[0].T
    law = population(codes, weights)
    truth = truth_of(law, directions)
    x = codes @ directions
    mean = weights @ x
    assert np.allclose(truth.mean, mean)
    assert np.allclose(truth.covariance, (x - mean).T @ ((x - mean) * weights[:, None]))
    assert np.allclose(law.firing_probability, weights @ (codes > 0))
    assert np.allclose(truth.mean_activity, weights @ codes)
    assert np.allclose(truth.variance, weights @ codes**2 - (weights @ codes) ** 2)
    assert np.isclose(truth.coactivation(0, 3), weights @ ((codes[:, 0] > 0) & (codes[:, 3] > 0)))
    spread = np.sqrt(truth.variance)
    expected = (weights * codes.T) @ codes - np.outer(weights @ codes, weights @ codes)
    assert np.allclose(law.correlation(), expected / np.outer(spread, spread))


def test_magnitudes_are_drawn_and_binned_as_they_are_listed():
    law = population([[1.0], [3.0], [0.0]], [0.3, 0.1, 0.6])
    magnitude = law.magnitude
    assert magnitude.mean.tolist() == pytest.approx([1.5])
    assert magnitude.second_moment.tolist() == pytest.approx([3.0])
    nodes, weights = magnitude.nodes(4)
    assert nodes.tolist() == [[1.0, 1.0, 1.0, 3.0]]
    assert weights.sum() == 1
    drawn = magnitude.draw(np.random.default_rng(0), np.zeros(4000, dtype=int))
    # 3 / 4 of them are 1: off by 4 standard errors in one of 16,000 seeds.
    assert abs((drawn == 1.0).mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)


def test_what_always_fires_together_in_one_ratio_is_one_direction():
    (one,) = classes([[1, 2, 0], [0, 0, 1], [0, 0, 0]])
    assert (one.name, one.members) == (ALWAYS_COACTIVE, (0, 1))
    assert np.allclose(one.basis, np.array([[1, 2, 0]]) / np.sqrt(5))


def test_what_always_fires_together_in_no_fixed_ratio_is_a_plane():
    (one,) = classes([[1, 2, 0], [1, 1, 0], [1, 1, 1], [0, 0, 1]])
    assert (one.name, one.members, len(one.basis)) == (ALWAYS_COACTIVE, (0, 1), 2)


def test_one_of_each_of_two_groups_leaves_all_but_a_shift():
    rows = [[1, 0, 1, 0, 1], [1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 1, 0, 1, 0]]
    (one,) = classes(rows)
    assert (one.name, one.members, len(one.basis)) == (DEPENDENT, (0, 1, 2, 3), 3)
    # The shift itself: what one group gains and the other loses.
    assert np.allclose(one.basis @ np.array([1, 1, -1, -1, 0]), 0)


def test_independent_features_are_told_apart():
    assert classes([[1, 0], [0, 1], [1, 1], [0, 0]]) == []
    assert classes([[1, 0, 0], [0, 1, 0], [0, 0, 1]]) == []


def test_combinations_of_groups_are_the_sparser_code():
    rows = [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]]
    groups = (np.array([0, 1]), np.array([2, 3]))
    optimum = truth_of(population(rows, groups=groups)).sparse_optimum
    assert (optimum.l0, optimum.rewritten_l0) == (pytest.approx(2), 1)
    assert optimum.n_latents == 3
    assert optimum.rewritten_l1 == pytest.approx(np.sqrt(2))
    assert not optimum.is_planted
    assert truth_of(population(rows)).sparse_optimum.is_planted


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": [[1.0, -1.0]]}, "none below 0"),
        ({"rows": [[1.0], [0.0]], "weights": [0.5, 0.6]}, "chances that sum to 1"),
        ({"rows": [[1.0], [0.0]], "weights": [1.0]}, "population.weights"),
        ({"rows": [[1, 1], [0, 1]], "groups": ([0, 1],)}, "exactly one of .0, 1. to fire"),
        ({"rows": [[1, 0], [2, 0], [0, 1]], "groups": ([0, 1],)}, "one value of each"),
    ],
)
def test_what_is_no_population_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        population(**given)


def test_a_truth_must_agree_with_its_population():
    law = population([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(InputError, match="that of the population"):
        FeatureTruth(np.eye(2), np.array([0.5, 0.4]), law.magnitude, np.zeros(2), population=law)
    with pytest.raises(InputError, match="no structure and no signs"):
        FeatureTruth(
            np.eye(2),
            law.firing_probability,
            law.magnitude,
            np.zeros(2),
            signed=True,
            population=law,
        )
