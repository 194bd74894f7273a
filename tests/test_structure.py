"""The joint law of firing: chances by a second route, laws, and refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtruth.errors import InputError
from groundtruth.structure import Structure, winning

TREE = {
    "parent": [-1, 0, 0, 0, 1, 1, -1, 6],
    "rate": [0.5, 0.3, 0.25, 0.4, 0.3, 0.6, 0.3, 0.7],
    "exclusive": [-1, 0, 0, 0, 1, 1, -1, -1],
}


def structure(**changes: object) -> Structure:
    return Structure(**{**TREE, **changes})


def enumerated(of: Structure) -> np.ndarray:
    """(n, n) P(both fire) by going through every outcome; without loadings."""
    n, together = of.n_features, np.zeros((of.n_features,) * 2)

    def settle(on: np.ndarray, weight: float, level: int) -> None:
        if level == len(of.levels):
            together[:] += weight * np.outer(on, on)
            return
        on = on.copy()
        for i in of.levels[level]:
            on[i] &= of.parent[i] < 0 or on[of.parent[i]]
        groups = [m for part in of.groups for m in part if of.depth[m[0]] == level]
        rivals = [[i for i in members if on[i]] or [-1] for members in groups]
        for winners in itertools.product(*rivals):
            after = on.copy()
            for members, winner in zip(groups, winners, strict=True):
                after[members] = members == winner
            share = 1 / np.prod([len(r) for r in rivals]) if rivals else 1.0
            settle(after, weight * share, level + 1)

    event = of.rate * of.present
    for outcome in itertools.product([False, True], repeat=n):
        on = np.array(outcome)
        settle(on, float(np.prod(np.where(on, event, 1 - event))), 0)
    return together


@given(
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
    st.lists(st.sampled_from([0.25, 0.9, 1.0]), min_size=8, max_size=8),
)
@settings(max_examples=15)
def test_chances_of_a_race_equal_those_of_every_outcome(rate, present):
    of = structure(rate=rate, present=present, choice="race")
    together = enumerated(of)
    np.testing.assert_allclose(of.marginal.value, np.diag(together), atol=1e-12)
    assert not of.marginal.error.any()
    found = [[of.joint([i, j]).value for j in range(8)] for i in range(8)]
    np.testing.assert_allclose(found, together, atol=1e-12)


def test_one_of_a_group_fires_at_its_rate():
    of = structure()
    np.testing.assert_allclose(of.marginal.value[[0, 1, 4]], [0.5, 0.15, 0.045])
    assert of.joint([1, 2]).value == 0
    assert of.joint([4, 2]).value == 0
    assert of.joint([0, 4]).value == pytest.approx(of.marginal.value[4])
    assert of.joint([4, 7]).value == pytest.approx(0.045 * 0.3 * 0.7)


def test_a_race_is_won_less_often_than_it_is_entered():
    one, race = structure(), structure(choice="race")
    assert (race.marginal.value[[1, 2, 3]] < one.marginal.value[[1, 2, 3]]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_someone_wins_unless_nobody_takes_part(event):
    event = np.array(event)
    won = winning(event[None, :, None])[0, :, 0]
    assert won.sum() == pytest.approx(1 - np.prod(1 - event), abs=1e-12)
    assert (won <= event + 1e-12).all()


def test_winning_catches_a_lost_rival():
    np.testing.assert_allclose(winning(np.ones((1, 3, 1))), 1 / 3)
    assert np.abs(winning(np.ones((1, 2, 1))) - 1 / 3).min() > 0.1


def loaded(choice: str = "one") -> Structure:
    loadings = np.random.default_rng(0).normal(0, 0.3, (8, 3))
    if choice == "one":
        loadings[np.array(TREE["exclusive"]) >= 0] = 0
    return structure(choice=choice, loadings=loadings)


def drawn(of: Structure, n: int) -> np.ndarray:
    """(n, 8) who fires, drawn cell by cell with no shortcut."""
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((n, of.loadings.shape[1]))
    gaussian = factors @ of.loadings.T + of.own * rng.standard_normal((n, of.n_features))
    on = gaussian > of.limit
    if of.choice == "one":
        for members in (m for part in of.groups for m in part):
            place = (rng.random((n, 1)) >= np.cumsum(of.rate[members])).sum(axis=1)
            on[:, members] = place[:, None] == np.arange(len(members))
    for level in of.levels:
        parent = of.parent[level]
        on[:, level] &= (parent < 0) | on[:, np.maximum(parent, 0)]
        for members in (
            m for part in of.groups for m in part if of.depth[m[0]] == of.depth[level[0]]
        ):
            if of.choice == "race":
                luck = rng.random((n, len(members))) * on[:, members]
                on[:, members] &= luck == luck.max(axis=1, keepdims=True)
    return on


@pytest.mark.parametrize("choice", ["one", "race"])
def test_chances_with_factors_equal_those_of_plain_draws(choice):
    of, n = loaded(choice), 400_000
    on = drawn(of, n)
    together = on.T.astype(float) @ on / n
    for i, j in itertools.combinations_with_replacement(range(8), 2):
        chance = of.joint([i, j])
        # 36 normal comparisons at 5.6 standard deviations: false alarm below one in a million.
        spread = np.sqrt(max(chance.value * (1 - chance.value), 1e-6) / n + chance.error**2)
        assert abs(together[i, j] - chance.value) < 5.6 * spread, (i, j)


def test_errors_of_the_average_over_factors_are_small_and_stated():
    marginal = loaded("race").marginal
    assert (marginal.error[[0, 6]] == 0).all()
    assert (marginal.error[[1, 4, 7]] > 0).all()
    assert marginal.error.max() < 2e-5


def test_factors_correlate_roots_by_the_bivariate_normal():
    of = Structure([-1, -1], [0.3, 0.3], [-1, -1], loadings=[[0.9], [0.9]])
    assert of.joint([0, 1]).value > 0.3 * 0.3 + 0.05
    opposite = Structure([-1, -1], [0.3, 0.3], [-1, -1], loadings=[[0.9], [-0.9]])
    assert opposite.joint([0, 1]).value < 0.3 * 0.3 - 0.05


def test_a_chain_of_scaled_children_multiplies_moments():
    of = Structure(
        [-1, 0, 1], [0.5, 0.5, 0.5], [-1, -1, -1], scaled=[False, True, True], reference=[2, 4, 1]
    )
    first, second = of.scaled_moments(np.array([3.0, 5.0, 7.0]), np.array([10.0, 30.0, 50.0]))
    np.testing.assert_allclose(first, [3, 5 * 3 / 2, 7 * 7.5 / 4])
    np.testing.assert_allclose(second, [10, 30 * 10 / 4, 50 * 75 / 16])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parent": [1, 0, -1, -1, -1, -1, -1, -1], "exclusive": [-1] * 8},
            "structure.parent: expected trees, got a cycle through feature 0. Every chain of "
            "parents must end at a root, whose parent is -1.",
        ),
        (
            {"parent": [-1, 0, 0, 0, 1, 1, -1, 8]},
            "structure.parent: expected indices from -1 to 7, got 8 for feature 7.",
        ),
        (
            {"rate": [1.5, 0.3, 0.25, 0.4, 0.3, 0.6, 0.3, 0.7]},
            "structure.rate: expected chances within [0, 1], got 1.5 for feature 0.",
        ),
        (
            {"rate": [0.5, 0.5, 0.25, 0.4, 0.3, 0.6, 0.3, 0.7]},
            "structure.rate: expected exclusive features to have chances that sum to at most 1, "
            "got 1.15 for features [1, 2, 3]. Lower them, raise their parent's probability, or "
            "have fewer exclusive children.",
        ),
        (
            {"exclusive": [-1, 0, 0, 0, 1, 1, 1, -1]},
            "structure.exclusive: expected the members of a group to have one parent, got "
            "features [4, 5, 6] with parents [1, 1, -1].",
        ),
        (
            {"exclusive": [-1, 0, 0, 0, 1, 1, 2, -1]},
            "structure.exclusive: expected two or more, got 'a group of one, feature 6'.",
        ),
        (
            {"loadings": np.full((8, 2), 0.9), "choice": "race"},
            "structure.loadings: expected rows of length <= 1, got 1.27279 for feature 0. Lower "
            "the scale of the correlation, or its rank.",
        ),
        (
            {"loadings": np.full((8, 1), np.nan), "choice": "race"},
            "structure.loadings: expected finite numbers, got array([[nan],",
        ),
        ({"choice": "both"}, 'structure.choice: expected "one" or "race", got \'both\'.'),
    ],
)
def test_what_is_no_structure_is_refused(changes, message):
    with pytest.raises(InputError) as caught:
        structure(**changes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("features", [[0, 8], [-1, 2]])
def test_a_chance_of_what_is_no_feature_is_refused(features):
    with pytest.raises(InputError, match="features: expected indices from 0 to 7, got"):
        structure().joint(features)
