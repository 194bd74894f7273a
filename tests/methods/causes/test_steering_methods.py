"""Steering vectors: a mean difference carries what goes along, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.errors import InputError
from groundtruth.evaluators.steering import score_steering
from groundtruth.generators.cause_worlds import causal_dictionary, steering
from groundtruth.methods.causes import mean_difference, probe_vector, random_vector
from groundtruth.site_subject import LabelledSubject

TESTBED = causal_dictionary(n_inputs=64)
TRUTH = TESTBED.truth


def test_a_mean_difference_is_the_concept_and_its_correlates_by_their_correlation():
    # E[a | concept fires] - E[a | not] of a copy at rho is rho times the concept's own.
    found = mean_difference(TESTBED.subject, n=100_000).direction @ TRUTH.readouts
    expected = np.zeros(len(TRUTH.names))
    expected[:4] = [1, 0.3, 0.6, 0.9]
    expected /= np.linalg.norm(expected)
    # The error of a mean of 30,000 codes of deviation .7 is .004, over a length of 2.26.
    assert np.abs(found - expected).max() < 5 * 0.005


def test_it_steers_by_less_than_it_says_and_a_probe_by_nearly_all():
    for testbed in (TESTBED, steering(n_inputs=64)):
        by_mean, by_probe = (
            score_steering(testbed, method(testbed.subject))
            for method in (mean_difference, probe_vector)
        )
        assert by_mean["steer.gain"].value < 0.8 < by_probe["steer.gain"].value
        assert by_mean["steer.curve_error"].value > 2 * by_probe["steer.curve_error"].value
    # The companion's output moves as well.
    assert by_mean["steer.side_error"].value > 2 * by_probe["steer.side_error"].value


def test_where_directions_are_far_from_orthogonal_what_reads_is_not_what_writes():
    testbed = steering(n_inputs=64, correlation=0.05, cosine=0.7)
    by_mean, by_probe = (
        score_steering(testbed, method(testbed.subject))["steer.cosine"].value
        for method in (mean_difference, probe_vector)
    )
    assert by_mean > 0.98 > 0.8 > by_probe


def test_random_vectors_differ_by_seed_alone():
    first, again, other = (random_vector(TESTBED.subject, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.direction, again.direction)
    assert abs(first.direction @ other.direction) < 0.99


def test_examples_of_one_kind_are_refused():
    subject = LabelledSubject(2, lambda seed, block: (np.ones((1024, 2)), np.ones(1024, bool)))
    for method in (mean_difference, probe_vector):
        with pytest.raises(InputError) as error:
            method(subject, n=50)
        assert str(error.value) == (
            "examples: expected both kinds, got 50 that all show the concept."
        )
    with pytest.raises(InputError, match="penalty: expected a number above 0, got 0"):
        probe_vector(TESTBED.subject, n=50, penalty=0)
    with pytest.raises(InputError, match="n: expected a whole number >= 1, got 0"):
        mean_difference(TESTBED.subject, n=0)
