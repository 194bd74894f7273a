"""Inputs of toy models: exact marginals, sets that share a gate, sets that exclude each other.

Statistical checks fix their seed. Each test has a false-alarm rate of one in a million over seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from groundtruth.errors import InputError
from groundtruth.evaluators.statistics import clopper_pearson
from groundtruth.generators.toy_inputs import ToyInputs

ALARM = 1e-6
N = 40_000
SETS = ToyInputs(
    6, [0.3, 0.3, 0.2, 0.2, 0.2, 0.05], correlated=[(0, 1)], anticorrelated=[(2, 3, 4)]
)


def draw(inputs: ToyInputs, seed: int = 0) -> np.ndarray:
    return inputs.draw(np.random.default_rng(seed), N)


def check_marginals(x: np.ndarray, p: np.ndarray) -> None:
    """Raise unless each firing count is within the exact binomial interval of p."""
    level = 1 - ALARM / len(p)
    bounds = [clopper_pearson(int(c), len(x), level) for c in (x > 0).sum(axis=0)]
    assert all(b.low <= q <= b.high for b, q in zip(bounds, p))


@pytest.mark.parametrize(
    "inputs", [ToyInputs(4, 0.05), ToyInputs(3, [0.0, 0.5, 1.0]), SETS], ids=["one", "each", "sets"]
)
def test_features_fire_with_their_stated_probability(inputs):
    x = draw(inputs)
    assert x.dtype == np.float32 and x.shape == (N, inputs.n_features)
    check_marginals(x, inputs.firing_probability)


def test_the_marginal_check_catches_the_probability_of_the_set():
    with pytest.raises(AssertionError):
        check_marginals(draw(SETS), np.array(SETS.probability))


def test_what_fires_is_uniform_on_the_unit_interval():
    x = draw(SETS)
    for column in x.T:
        assert stats.kstest(column[column > 0], "uniform").pvalue > ALARM / 6
    assert x.max() <= 1
    # The same test rejects a law that is not uniform.
    assert stats.kstest(x[x[:, 0] > 0, 0] ** 1.2, "uniform").pvalue < ALARM


def test_a_correlated_set_shares_the_gate_and_nothing_else():
    x = draw(SETS)
    on = x > 0
    assert np.array_equal(on[:, 0], on[:, 1])
    both = x[on[:, 0]]
    # Fisher's z of two independent uniforms: 4.9 standard errors are one in a million.
    assert abs(np.corrcoef(both[:, 0], both[:, 1])[0, 1]) < 4.9 / np.sqrt(len(both) - 3)


def test_of_an_anticorrelated_set_one_member_fires_at_a_time_each_as_often():
    on = draw(SETS)[:, 2:5] > 0
    assert on.sum(axis=1).max() == 1
    check_marginals(on.any(axis=1, keepdims=True), np.array([0.2]))
    assert stats.chisquare(on.sum(axis=0)).pvalue > ALARM


def test_features_outside_of_sets_fire_independently():
    on = draw(ToyInputs(3, 0.3)) > 0
    pairs = np.stack([on[:, 0] & on[:, 1], on[:, 0] & on[:, 2], on[:, 1] & on[:, 2]], axis=1)
    check_marginals(pairs, np.full(3, 0.09))


def test_the_same_generator_gives_the_same_inputs():
    assert np.array_equal(draw(SETS, 1), draw(SETS, 1))
    assert not np.array_equal(draw(SETS, 1), draw(SETS, 2))


def test_only_inputs_without_sets_are_independent():
    assert ToyInputs(2).independent
    assert not SETS.independent


SETS_NAME = "correlated, anticorrelated"
REFUSALS = [
    ({"n_features": 0}, "n_features: expected a whole number >= 1, got 0."),
    ({"probability": 1.5}, "probability: expected numbers in [0, 1], got 1.5."),
    (
        {"probability": [0.1]},
        "probability: expected a number or 4 finite numbers, got [0.1].",
    ),
    (
        {"probability": "often"},
        "probability: expected a number or 4 finite numbers, got 'often'.",
    ),
    (
        {"correlated": [(0, 1)], "anticorrelated": [(1, 2)]},
        f"{SETS_NAME}: expected each feature in at most one set, got ((0, 1), (1, 2)).",
    ),
    ({"correlated": [(0, 4)]}, f"{SETS_NAME}: expected indices below 4, got ((0, 4),)."),
    (
        {"anticorrelated": [(2,)]},
        f"{SETS_NAME}: expected at least two features in a set, got (2,).",
    ),
    (
        {"correlated": [(0, 1)], "probability": [0.1, 0.2, 0.3, 0.4]},
        "probability: expected one value for the set (0, 1), got [0.1, 0.2].",
    ),
    (
        {"correlated": (0, 1)},
        "correlated: expected sets of feature indices, such as [(0, 1), (2, 3)], got (0, 1).",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSALS)
def test_inputs_out_of_range_are_refused(change, message):
    with pytest.raises(InputError) as error:
        ToyInputs(**{"n_features": 4, **change})
    assert str(error.value) == message
