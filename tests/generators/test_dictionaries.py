"""Directions: frames that meet their bounds, and requests that cannot be met."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest

from groundtruth.errors import InputError, MemoryRefused, UnknownName
from groundtruth.generators.dictionaries import (
    LAWS,
    dictionary,
    equiangular,
    low_coherence,
    orthonormal,
    random_rotation,
    simplex,
    sphere,
    welch_bound,
)
from groundtruth.generators.sparse import sparse

FRAMES = [(3, 2), (4, 3), (8, 7), (6, 3), (14, 7), (16, 6), (18, 9), (28, 7), (30, 15), (38, 19)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def cosines(rows: np.ndarray) -> np.ndarray:
    """<d_i, d_j> over pairs."""
    gram = rows @ rows.T
    return gram[np.triu_indices(len(rows), 1)]


@pytest.mark.parametrize(("n", "d"), FRAMES)
def test_equiangular_frames_meet_the_welch_bound_exactly_and_are_tight(n, d):
    rows = equiangular(n, d, rng())
    # Products of unit vectors, eigenvectors to 1e-15: eight digits of slack.
    assert np.abs(cosines(rows)) == pytest.approx(welch_bound(n, d), abs=1e-8)
    assert rows.T @ rows == pytest.approx(n / d * np.eye(d), abs=1e-7)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-12)


def test_random_directions_are_far_above_the_bound():
    assert np.abs(cosines(sphere(28, 7, rng()))).max() > 2 * welch_bound(28, 7)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_simplex_vertices_have_cosine_minus_one_over_d(d):
    assert cosines(simplex(d + 1, d, rng())) == pytest.approx(-1 / d, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (4, 4), (3, 9)])
def test_orthonormal_rows_are_orthonormal(n, d):
    rows = orthonormal(n, d, rng())
    assert rows.shape == (n, d)
    assert rows @ rows.T == pytest.approx(np.eye(n), abs=1e-12)


@pytest.mark.parametrize(("n", "d"), [(20, 8), (64, 16)])
def test_low_coherence_lies_between_the_bound_and_random_directions(n, d):
    random, spread = sphere(n, d, rng(1)), low_coherence(n, d, rng(1))
    found = np.abs(cosines(spread)).max()
    assert welch_bound(n, d) <= found < 0.8 * np.abs(cosines(random)).max()
    few = np.abs(cosines(low_coherence(n, d, rng(1), n_steps=5))).max()
    assert found < few
    assert np.linalg.norm(spread, axis=1) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("n", "d"), [(2, 2), (5, 5), (3, 8)])
def test_low_coherence_is_nearly_orthogonal_where_there_is_room(n, d):
    assert np.abs(cosines(low_coherence(n, d, rng(2)))).max() < 0.25


def test_rotations_are_orthogonal_and_uniform():
    columns = np.stack([random_rotation(3, rng(seed))[:, 0] for seed in range(3000)])
    q = random_rotation(7, rng())
    assert q @ q.T == pytest.approx(np.eye(7), abs=1e-12)
    # Uniform unit vectors: mean 0 and second moment I/3, six standard errors.
    assert np.abs(columns.mean(axis=0)).max() < 6 * np.sqrt(1 / 3 / 3000)
    second = columns.T @ columns / 3000
    assert np.abs(second - np.eye(3) / 3).max() < 6 * np.sqrt(0.09 / 3000)


def test_the_same_generator_gives_the_same_directions():
    for law in ("sphere", "orthonormal", "low-coherence"):
        first, again, other = (dictionary(4, 6, rng(s), law) for s in (0, 0, 1))
        assert np.array_equal(first, again) and not np.allclose(first, other)


def test_given_rows_are_scaled_to_unit_length():
    rows = dictionary(2, 2, rng(), "given", directions=[[3.0, 4.0], [0.0, 1e-8]])
    assert rows.tolist() == [[0.6, 0.8], [0.0, 1.0]]


REFUSALS = [
    (
        lambda: orthonormal(5, 4, rng()),
        "dictionary (orthonormal): expected n_features <= d, got 5 in 4 dimensions. "
        'Lower n_features, or use {"law": "sphere"}.',
    ),
    (
        lambda: simplex(5, 5, rng()),
        "dictionary (simplex): expected n_features = d + 1, got 5 in 5 dimensions. "
        "Pass n_features=6.",
    ),
    (
        lambda: equiangular(10, 4, rng()),
        "dictionary (equiangular): no frame of 10 directions in 4 dimensions is known here. Known "
        "(n_features, d): (d+1, d), (6, 3), (14, 7), (16, 6), (18, 9), (28, 7), (30, 15), ... or "
        'use {"law": "low-coherence"}.',
    ),
    (
        lambda: dictionary(2, 3, rng(), "given", directions=np.eye(2)),
        "dictionary.directions: expected shape (2, 3), got (2, 2).",
    ),
    (
        lambda: dictionary(1, 2, rng(), "given", directions=np.zeros((1, 2))),
        "dictionary.directions: expected finite rows that are not all zero, got array([[0., 0.]]).",
    ),
    (
        lambda: dictionary(2, 3, rng(), "sphere", steps=3),
        "dictionary (sphere): expected its parameters "
        "(sphere() got an unexpected keyword argument 'steps'), got {'steps': 3}.",
    ),
]

TOO_LARGE = [
    ({"n_features": 10**7, "d": 10**5}, "10,000,000 directions in 100,000", "22,354.1"),
    ({"n_features": 10**11, "d": 1}, "100,000,000,000 directions in 1", "26,077.0"),
    ({"n_features": 3, "d": 10**5, "rotate": True}, "100,000 directions in 100,000", "298.0"),
    ({"n_features": 3, "d": 10**5, "dictionary": "orthonormal"}, "100,000 directions", "298.0"),
    ({"n_features": 10**5, "dictionary": "low-coherence"}, "100,000 directions in 32", "223.5"),
    ({"n_features": 10**5, "d": 99_999, "dictionary": "simplex"}, "100,000 directions", "223.5"),
]


@pytest.mark.parametrize(("request_", "message"), REFUSALS)
def test_requests_that_cannot_be_met_are_refused(request_, message):
    with pytest.raises(InputError) as error:
        request_()
    assert str(error.value) == message


def test_unknown_laws_are_answered_with_the_nearest():
    with pytest.raises(UnknownName) as error:
        dictionary(2, 3, rng(), "orthonomal")
    assert str(error.value) == (
        "No dictionary law is called 'orthonomal'. Nearest: orthonormal, orthogonalised."
    )
    assert set(LAWS) == {
        "sphere",
        "orthonormal",
        "simplex",
        "equiangular",
        "low-coherence",
        "orthogonalised",
        "pair",
        "lifetimes",
        "given",
    }


@pytest.mark.parametrize(("sizes", "made", "gigabytes"), TOO_LARGE)
def test_directions_that_would_not_fit_are_refused_before_they_are_made(sizes, made, gigabytes):
    tracemalloc.start()
    with pytest.raises(MemoryRefused) as error:
        sparse(**sizes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = (
        rf"n_features, d: making {made}.* dimensions takes about {gigabytes} GiB; the limit is "
        r"8 GiB\. Lower n_features or d, or raise "
        r"groundtruth\.generators\.dictionaries\.MEMORY_LIMIT\."
    )
    assert re.fullmatch(message, str(error.value))
    # Of 100,000 features firing probabilities are made first.
    assert peak < 2**24
