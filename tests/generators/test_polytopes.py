"""Geometries of superposition: their dimensionalities to the last digit, the law of the sum."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundtruth.errors import ExplanationError, InputError, UnknownName
from groundtruth.generators.dictionaries import random_rotation, welch_bound
from groundtruth.generators.polytopes import (
    GEOMETRIES,
    cosines,
    factors,
    feature_dimensionality,
    tegum_product,
    vertices,
)

HALF, THIRD, FIFTH = Fraction(1, 2), Fraction(1, 3), Fraction(1, 5)
TABLE: dict[str, tuple[int, int, list[Fraction]]] = {
    "dedicated": (1, 1, [Fraction(1)]),
    "digon": (2, 1, [HALF] * 2),
    "triangle": (3, 2, [2 * THIRD] * 3),
    "square": (4, 2, [HALF] * 4),
    "pentagon": (5, 2, [2 * FIFTH] * 5),
    "hexagon": (6, 2, [THIRD] * 6),
    "tetrahedron": (4, 3, [Fraction(3, 4)] * 4),
    "octahedron": (6, 3, [HALF] * 6),
    "triangular-bipyramid": (5, 3, [2 * THIRD] * 3 + [HALF] * 2),
    "pentagonal-bipyramid": (7, 3, [2 * FIFTH] * 5 + [HALF] * 2),
    "square-antiprism": (8, 3, [Fraction(3, 8)] * 8),
    "5-cell": (5, 4, [4 * FIFTH] * 5),
    "icosahedron": (12, 3, [Fraction(1, 4)] * 12),
    "icosahedron-axes": (6, 3, [HALF] * 6),
}
"""n_features, d, D_i."""


def rotated(W: np.ndarray, seed: int = 0) -> np.ndarray:
    return random_rotation(len(W), np.random.default_rng(seed)) @ W


def check_dimensionality(W: np.ndarray, expected: list[Fraction]) -> None:
    """Raise unless every D_i is as expected, to 1e-12: at most 12 products of unit vectors."""
    found = feature_dimensionality(W)
    assert np.abs(found - np.array([float(f) for f in expected])).max() < 1e-12


def leverages(W: np.ndarray, rank: int) -> np.ndarray:
    """diag of W^+ W, the projection on the row space: the second route to the bound on D_i."""
    return (np.linalg.svd(W)[2][:rank] ** 2).sum(axis=0)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """W (d, n_features) with columns of uneven length, and its rank."""
    d, n, seed = draw(st.integers(1, 5)), draw(st.integers(1, 9)), draw(st.integers(0, 10**6))
    inner = draw(st.integers(1, 5))
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((d, inner)) @ rng.standard_normal((inner, n))
    return W * rng.uniform(0.05, 2.0, n), min(d, inner, n)


def test_the_table_names_every_geometry():
    assert set(TABLE) == set(GEOMETRIES)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("seed", [0, 1])
def test_dimensionalities_after_a_random_rotation_are_those_of_the_table(name, seed):
    n, d, expected = TABLE[name]
    W = rotated(vertices(name), seed)
    assert W.shape == (d, n)
    assert np.linalg.norm(W, axis=0) == pytest.approx(1, abs=1e-14)
    check_dimensionality(W, expected)


@pytest.mark.parametrize("name", [n for n in TABLE if n != "dedicated"])
def test_the_table_check_catches_one_vertex_that_is_a_hundred_thousandth_off(name):
    # Longer and turned: where D does not feel one of the two to first order, it feels the other.
    W = vertices(name).copy()
    W[:, 0] += 1e-5 * np.random.default_rng(0).standard_normal(len(W))
    with pytest.raises(AssertionError):
        check_dimensionality(W, TABLE[name][2])


@pytest.mark.parametrize("name", TABLE)
def test_dimensionalities_of_known_geometries_sum_to_the_rank(name):
    _, d, expected = TABLE[name]
    assert sum(expected) == d == np.linalg.matrix_rank(vertices(name))
    assert feature_dimensionality(rotated(vertices(name))).sum() == pytest.approx(d, abs=1e-12)


@given(matrices())
def test_each_dimensionality_is_at_most_the_leverage_so_the_sum_is_at_most_the_rank(case):
    W, rank = case
    found = feature_dimensionality(W)
    assert (found > 0).all()
    assert (found <= leverages(W, rank) + 1e-9).all()
    assert found.sum() <= rank + 1e-9


def test_the_sum_law_catches_a_denominator_without_the_hat():
    W = np.array([[0.5, 0.0], [0.0, 0.5]])
    wrong = (W**2).sum(axis=0) / ((W.T @ W) ** 2).sum(axis=1)
    assert wrong.sum() > np.linalg.matrix_rank(W)


@given(matrices(), st.floats(1e-3, 1e3), st.randoms(use_true_random=False))
def test_dimensionality_ignores_rotation_and_scale_and_follows_the_features(case, scale, random):
    W, _ = case
    order = random.sample(range(W.shape[1]), W.shape[1])
    moved = scale * rotated(W)[:, order]
    assert feature_dimensionality(moved) == pytest.approx(
        feature_dimensionality(W)[order], abs=1e-9
    )


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_a_feature_without_a_column_has_dimensionality_zero_at_any_scale(size):
    W = size * np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    assert feature_dimensionality(W).tolist() == [0.5, 0.5, 0.0]
    assert feature_dimensionality(0 * W).tolist() == [0.0, 0.0, 0.0]


def test_torch_weights_have_the_dimensionality_of_their_numbers():
    W = torch.nn.Parameter(torch.tensor(vertices("pentagon")))
    check_dimensionality(W, TABLE["pentagon"][2])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("half_height", "expected"), [(0.5604, 0.3744), (0.5, 4 / 11), (3**-0.5, 0.375)]
)
def test_the_antiprism_is_tight_at_one_height_alone(half_height, expected):
    W = vertices("square-antiprism", half_height=half_height)
    assert feature_dimensionality(W) == pytest.approx(expected, abs=5e-5)
    spread = np.ptp(np.linalg.eigvalsh(W @ W.T))
    assert (spread < 1e-12) == (half_height == 3**-0.5)


@pytest.mark.parametrize("name", ["triangle", "tetrahedron", "5-cell", "icosahedron-axes"])
def test_equiangular_geometries_meet_the_welch_bound(name):
    n, d, _ = TABLE[name]
    off = cosines(vertices(name))[np.triu_indices(n, 1)]
    assert np.abs(off) == pytest.approx(welch_bound(n, d), abs=1e-14)


def test_the_icosahedron_is_its_axes_and_their_opposites():
    gram = cosines(vertices("icosahedron"))
    values, counts = np.unique(gram.round(12), return_counts=True)
    assert values == pytest.approx([-1, -(5**-0.5), 5**-0.5, 1], abs=1e-12)
    assert counts.tolist() == [12, 60, 60, 12]


def test_a_product_keeps_the_dimensionalities_of_its_factors_and_comes_apart_again():
    names = ["pentagon", "5-cell", "dedicated", "digon"]
    parts = [vertices(name) for name in names]
    order = np.random.default_rng(3).permutation(13)
    W = rotated(tegum_product(parts), 5)
    check_dimensionality(W, [f for name in names for f in TABLE[name][2]])
    label = np.repeat(np.arange(4), [5, 5, 1, 2])[order]
    groups = factors(W[:, order])
    assert [len(set(label[group])) for group in groups] == [1] * 4
    assert sorted(np.concatenate(groups).tolist()) == list(range(13))
    assert [int(group[0]) for group in groups] == sorted(int(group[0]) for group in groups)


def test_factors_of_geometries_that_are_no_product_are_one_group():
    sizes = {name: [len(g) for g in factors(rotated(vertices(name)))] for name in TABLE}
    assert {name: s for name, s in sizes.items() if len(s) > 1} == {
        "square": [2, 2],
        "octahedron": [2, 2, 2],
        "triangular-bipyramid": [3, 2],
        "pentagonal-bipyramid": [5, 2],
    }


def test_features_without_a_column_are_factors_of_their_own():
    W = np.array([[1.0, 0.0, -1.0, 0.0]])
    assert [group.tolist() for group in factors(W)] == [[0, 2], [1], [3]]


REFUSALS = [
    (
        lambda: vertices("square-antiprism", half_height=1.5),
        "half_height: expected a number between 0 and 1, got 1.5.",
    ),
    (
        lambda: vertices("digon", half_height=0.5),
        "geometry (digon): expected its parameters (digon() got an unexpected keyword argument "
        "'half_height'), got {'half_height': 0.5}.",
    ),
    (lambda: tegum_product([]), "parts: expected at least one geometry, got []."),
    (
        lambda: feature_dimensionality(np.ones(3)),
        "W: expected shape (d, n_features), got (3,).",
    ),
]


@pytest.mark.parametrize(("request_", "message"), REFUSALS)
def test_requests_that_cannot_be_met_are_refused(request_, message):
    with pytest.raises(InputError) as error:
        request_()
    assert str(error.value) == message


def test_unknown_geometries_are_answered_with_the_nearest():
    with pytest.raises(UnknownName) as error:
        vertices("pentgon")
    assert str(error.value) == (
        "No geometry is called 'pentgon'. Nearest: pentagon, hexagon, pentagonal-bipyramid."
    )


def test_a_nan_is_refused_by_its_place():
    with pytest.raises(ExplanationError, match=r"^W: expected finite numbers, .*\(0, 1\)"):
        feature_dimensionality(np.array([[1.0, np.nan]]))
