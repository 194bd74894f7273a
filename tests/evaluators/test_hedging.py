"""Hedging: one latent for two features in closed form, least squares, remainders at random."""

from __future__ import annotations

import numpy as np
import pytest
from evaluator_cases import compared, values
from structured_worlds import tree_world

from groundtruth.evaluators import hedging, score
from groundtruth.evaluators.hedging import hedged
from groundtruth.evaluators.statistics import t_interval
from groundtruth.generators.dictionaries import random_rotation, unit_rows
from groundtruth.outputs import Outputs
from groundtruth.score_data import ScoreData
from groundtruth.structure import Structure

HEDGE = ("hedge.degree", "hedge.slope")


def top_eigenvector(matrix: np.ndarray) -> np.ndarray:
    vector = np.linalg.eigh(matrix)[1][:, -1]
    return vector * np.sign(vector[np.abs(vector).argmax()])


def latents(data: ScoreData, weights: np.ndarray) -> Outputs:
    """A claim whose rows are these sums of the planted directions."""
    return Outputs(unit_rows(weights @ data.truth.directions), np.zeros(data.truth.d))


def two(p: float, q: float, *, d: int = 8, exclusive: bool = False) -> ScoreData:
    """A parent of chance p with a child of chance q; or two roots that exclude each other."""
    if not exclusive:
        return tree_world([-1, 0], [p, q], d=d)
    law = Structure(np.array([-1, -1]), np.array([p, q]), np.array([0, 0]))
    return tree_world([-1, -1], [p, q], d=d, structure=law)


def second_moment(data: ScoreData, *, centred: bool) -> np.ndarray:
    """(2, 2) of the activities of two features of size 1, centred or not."""
    p = data.truth.firing_probability
    both = float(data.truth.structure.joint([0, 1]).value)
    moment = np.array([[p[0], both], [both, p[1]]])
    return moment - np.outer(p, p) * centred


@pytest.mark.parametrize("p", [0.05, 0.25])
def test_one_latent_without_bias_hedges_by_the_closed_form(p):
    data = two(p, 0.2)
    best = top_eigenvector(second_moment(data, centred=False))
    # tan 2 theta = 2 q / (1 - q), whatever p is.
    assert best == pytest.approx([0.9732, 0.2298], abs=5e-5)
    found = score(compared(data, latents(data, best[None])), HEDGE)
    assert found["hedge.degree"].value == pytest.approx(best[1] ** 2)
    assert found["hedge.degree"].value == pytest.approx(0.2298**2, abs=5e-5)
    correlation = correlation_of(data)
    assert correlation > 0
    assert found["hedge.slope"].value == pytest.approx(best[1] / correlation)


def test_one_latent_with_a_bias_hedges_by_the_closed_form():
    data = two(0.25, 0.2)
    best = top_eigenvector(second_moment(data, centred=True))
    assert best == pytest.approx([0.9699, 0.2434], abs=5e-4)
    degree = values(compared(data, latents(data, best[None])), HEDGE)["hedge.degree"]
    assert degree == pytest.approx(best[1] ** 2)


def test_a_negative_correlation_mixes_with_a_negative_weight_and_a_positive_slope():
    data = two(0.5, 0.3, exclusive=True)
    best = top_eigenvector(second_moment(data, centred=True))
    assert correlation_of(data) < 0 and best[1] < 0
    c = compared(data, latents(data, best[None]))
    assert hedged(c).weight[0, 0] == pytest.approx(best[1])
    found = values(c, HEDGE)
    assert found["hedge.degree"] == pytest.approx(best[1] ** 2)
    assert found["hedge.slope"] == pytest.approx(best[1] / correlation_of(data))
    assert found["hedge.slope"] > 0
    # Leaning the other way is no hedging: as large a share, with the sign of neither.
    away = values(compared(data, latents(data, best[None] * [1, -1])), HEDGE)
    assert away["hedge.degree"] == pytest.approx(found["hedge.degree"])
    assert away["hedge.slope"] == pytest.approx(-found["hedge.slope"])


def correlation_of(data: ScoreData) -> float:
    cov = second_moment(data, centred=True)
    return float(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))


def family(d: int = 24, seed: int = 0, **changes) -> ScoreData:
    """Three parents of two children, and two features without."""
    parent = [-1, -1, -1, 0, 0, 1, 1, 2, 2, -1, -1]
    return tree_world(parent, [0.3] * 3 + [0.4] * 6 + [0.3] * 2, d=d, seed=seed, **changes)


@pytest.mark.parametrize("dose", [0.0, 0.1, 0.3])
def test_degree_and_slope_rise_with_what_children_put_into_parents(dose):
    data = family()
    mix = np.eye(11)
    mix[:3, 3:9] = dose * np.kron(np.eye(3), np.ones(2))
    found = score(compared(data, latents(data, mix)), HEDGE)
    # Nine latents are at risk; three of them hold two children each.
    expected = 2 * dose**2 / (1 + 2 * dose**2) * 3 / 9
    assert found["hedge.degree"].value == pytest.approx(expected, abs=1e-12)
    assert found["hedge.degree"].n_units == 9
    assert (found["hedge.slope"].value > 0) == (dose > 0)


def test_other_directions_than_correlated_ones_are_no_hedging():
    data = family()
    mix = np.eye(11)
    mix[0, 9] = mix[3, 5] = 0.4  # features of other trees
    found = values(compared(data, latents(data, mix)), HEDGE)
    assert found == pytest.approx(dict.fromkeys(HEDGE, 0.0), abs=1e-12)


def test_weights_are_least_squares_where_directions_are_not_orthogonal():
    rng = np.random.default_rng(0)
    data = family(directions=unit_rows(rng.standard_normal((11, 24))))
    c = compared(data, latents(data, np.eye(11) + 0.1 * rng.standard_normal((11, 11))))
    found = hedged(c)
    parent = data.truth.structure.parent
    for m, j in enumerate(found.latent):
        i = c.similarity.best_truth[j]
        kin = [i, *np.flatnonzero((parent == i) | (np.arange(11) == parent[i]))]
        kin += list(np.flatnonzero((parent == parent[i]) & (parent >= 0) & (np.arange(11) != i)))
        weights = np.linalg.lstsq(data.truth.directions[kin].T, c.latents[j], rcond=None)[0]
        assert found.own[m] == pytest.approx(weights[0])
        assert sorted(found.weight[m][found.weight[m] != 0]) == pytest.approx(sorted(weights[1:]))
        assert found.degree[m] == pytest.approx(1 - weights[0] ** 2 / (weights**2).sum())


def test_a_remainder_in_a_random_direction_has_the_degree_of_the_floor_and_no_slope():
    """Two-sided at one in 100,000 over 60 fixed draws."""
    gaps, slopes = [], []
    for seed in range(60):
        rng = np.random.default_rng([seed, 2])
        data = family(d=16, seed=seed, directions=unit_rows(rng.standard_normal((11, 16))))
        noise = unit_rows(rng.standard_normal((11, 16)))
        noise -= (noise * data.truth.directions).sum(1, keepdims=True) * data.truth.directions
        claim = Outputs(0.8 * data.truth.directions + 0.6 * unit_rows(noise), np.zeros(16))
        found = score(compared(data, claim), HEDGE)
        gaps.append(found["hedge.degree"].value - found["hedge.degree"].floor)
        slopes.append(found["hedge.slope"].value)
    _, low, high = t_interval(gaps, 1 - 1e-5)
    # The floor is a ratio of expectations, a little above the expected ratio.
    assert low <= 0 <= high + 0.01
    _, low, high = t_interval(slopes, 1 - 1e-5)
    assert low <= 0 <= high


def test_the_remainder_test_rejects_a_claim_that_hedges():
    data = family()
    mix = np.eye(11)
    mix[:3, 3:9] = 0.3 * np.kron(np.eye(3), np.ones(2))
    found = score(compared(data, latents(data, mix)), HEDGE)
    assert found["hedge.degree"].value - found["hedge.degree"].floor > 0.02


def test_small_blocks_signs_and_rotations_change_nothing(monkeypatch):
    data = family()
    rng = np.random.default_rng(3)
    claim = latents(data, np.eye(11) + 0.2 * rng.standard_normal((11, 11)))
    before = values(compared(data, claim), HEDGE)
    monkeypatch.setattr(hedging, "_ROWS", 1)
    assert values(compared(data, claim), HEDGE) == pytest.approx(before, abs=1e-12)
    flips = np.where(rng.random((11, 1)) < 0.5, -1.0, 1.0)
    free = Outputs(claim.decoder, claim.bias, signed=True)
    flipped = Outputs(claim.decoder * flips, claim.bias, signed=True)
    both = [values(compared(data, either), HEDGE) for either in (free, flipped)]
    assert both[0] == pytest.approx(both[1], abs=1e-12)
    turn = random_rotation(24, rng)
    turned = family(directions=data.truth.directions @ turn)
    after = values(compared(turned, Outputs(claim.decoder @ turn, claim.bias)), HEDGE)
    assert after == pytest.approx(before, abs=1e-9)


def test_what_is_undefined_says_why():
    apart = tree_world([-1, -1], [0.3, 0.3], d=8)
    result = score(compared(apart, latents(apart, np.eye(2))), HEDGE)["hedge.degree"]
    assert result.reason == "no two features have a correlation of size 0.1 or more"
    data = two(0.3, 0.2)
    away = Outputs(np.linalg.svd(data.truth.directions)[2][-2:], np.zeros(8))
    result = score(compared(data, away), HEDGE)["hedge.slope"]
    assert result.reason == (
        "no latent has cosine 0.5 or more with a feature that others are correlated with"
    )


def test_features_of_one_direction_cannot_be_told_apart():
    rows = np.eye(4)[[0, 0]]
    data = tree_world([-1, 0], [0.3, 0.2], d=4, directions=rows)
    results = score(compared(data, Outputs(np.eye(4)[:1], np.zeros(4))), HEDGE)
    assert results["hedge.degree"].status == "undefined"
    assert results["hedge.slope"].reason == (
        "the directions of correlated features are linearly dependent"
    )
