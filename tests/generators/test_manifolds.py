"""Worlds with manifolds: what is sampled is what the truth says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

import groundtruth as gt
from groundtruth import inference
from groundtruth.errors import GroundtruthError
from groundtruth.generators.sparse import sparse

CIRCLE = [{"chart": "circle", "firing": 0.3}]


@pytest.fixture(scope="module")
def mixture() -> gt.Testbed:
    return gt.build("manifold/mixture", n_features=20, d=40, seed=3)


def test_activations_are_features_and_manifolds(mixture):
    truth = mixture.truth.features
    x, codes = mixture.sample(3000, seed=4)
    written = codes @ truth.directions + truth.bias
    for manifold, visits in zip(truth.manifolds, mixture.coordinates(3000, seed=4), strict=True):
        written[visits.row] += manifold.contribution(visits)
    np.testing.assert_allclose(x.numpy(), written, atol=1e-5)


def test_the_decoder_writes_every_sample_with_the_codes_of_axes(mixture):
    truth = mixture.truth.features
    x, codes = mixture.sample(1500)
    both = zip(truth.manifolds, mixture.coordinates(1500), strict=True)
    axes = [manifold.axis_codes(visits, 1500) for manifold, visits in both]
    every = sp.hstack([codes, *axes], format="csr")
    assert every.data.min() > 0
    np.testing.assert_allclose(every @ truth.decoder + truth.bias, x.numpy(), atol=1e-5)
    # Points of a finite set lie on an axis now and then: at most one code per dimension.
    assert every.nnz / 1500 == pytest.approx(truth.decoder_l0, rel=0.1)


def test_moments_are_those_of_samples(mixture):
    """Covariances to six standard errors, from the fourth moments of the same samples (about 800
    entries: false alarm below 1e-5)."""
    truth, n = mixture.truth.features, 60_000
    x = mixture.sample(n, seed=5)[0].numpy().astype(np.float64)
    error = x.std(axis=0) / math.sqrt(n)
    assert np.all(np.abs(x.mean(axis=0) - truth.mean) < 6 * error)
    centred = x - truth.mean
    square = centred**2
    spread = np.sqrt(square.T @ square / n / n)
    assert np.all(np.abs(centred.T @ centred / n - truth.covariance) < 6 * spread)


def test_coordinates_are_random_access(mixture):
    whole = mixture.coordinates(3000, seed=6)
    part = mixture.coordinates(1500, seed=6)
    for long, short in zip(whole, part, strict=True):
        kept = long.row < 1500
        assert np.array_equal(long.row[kept], short.row)
        assert np.array_equal(long.coordinates[kept], short.coordinates)
    other = mixture.coordinates(1500, seed=6, stream="score")
    assert not np.array_equal(other[0].row, part[0].row)
    with pytest.raises(GroundtruthError, match="stream: expected one of train, select, score"):
        mixture.coordinates(10, stream="test")


def test_features_of_a_world_do_not_change_when_a_manifold_is_added():
    plain, with_circle = sparse(seed=1), sparse(seed=1, manifolds=CIRCLE)
    codes, same = plain.sample(500)[1], with_circle.sample(500)[1]
    assert (codes != same).nnz == 0
    assert plain.hash != with_circle.hash


def test_given_firings_leave_manifolds_as_they_are(mixture):
    """What a manifold writes has the mean that it has elsewhere, to six standard errors."""
    truth, n = mixture.truth.features, 20_000
    x, codes = mixture.active_block("score", 0, np.zeros(n, dtype=np.int64))
    assert np.all(codes[:, [0]].toarray() != 0)
    rest = x - codes @ truth.directions - truth.bias
    expected = sum(manifold.mean for manifold in truth.manifolds)
    assert np.linalg.norm(expected) > 0.01  # of the interval, whose points lie to one side
    assert np.all(np.abs(rest.mean(axis=0) - expected) < 6 * rest.std(axis=0) / math.sqrt(n))


def test_subspaces_of_an_orthonormal_world_are_orthogonal_to_all():
    truth = gt.build("manifold/circle").truth.features
    rows = np.concatenate([truth.directions, *(m.basis for m in truth.manifolds)])
    np.testing.assert_allclose(rows @ rows.T, np.eye(26), atol=1e-9)


@pytest.mark.parametrize("n_directions", [4, 8, 16])
def test_the_circle_costs_what_the_closed_form_says(n_directions):
    """Best codes on n directions evenly over the circle: l tan(h)/h - (l / 2 cos h)^2, h = pi / n.

    x between two directions, at angle p from their middle, has an l1 gauge cos(p) / cos(h), whose
    gradient has length 1 / cos(h); the mean of cos over [-h, h] is sin(h) / h. Samples err by less
    than six standard errors (false alarm below 1e-8); within l/2 of a direction one of the two
    codes is 0, which costs less than l^3 / 3.
    """
    world, penalty, n = gt.build("manifold/circle"), 0.05, 20_000
    (circle,), (visits,) = world.truth.features.manifolds, world.coordinates(n)
    x, codes = world.sample(n)
    x = (x.numpy() - codes @ world.truth.features.directions)[visits.row]
    turn = np.arange(n_directions) * (2 * math.pi / n_directions)
    rows = np.stack([np.cos(turn), np.sin(turn)], axis=1) @ circle.basis
    z = inference.fista(x, rows, penalty / 2, n_iterations=3000, tolerance=1e-9)
    cost = ((x - z @ rows) ** 2).sum(axis=1) + penalty * z.sum(axis=1)
    h = math.pi / n_directions
    expected = penalty * math.tan(h) / h - (penalty / (2 * math.cos(h))) ** 2
    assert cost.mean() == pytest.approx(
        expected, abs=6 * cost.std() / math.sqrt(len(x)) + penalty**3 / 3
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("circle", "manifolds: expected a list such as"),
        ([{"firing": 0.1}], r"manifolds\[0\]: expected a mapping"),
        ([{"chart": "cirlce"}], "No chart is called 'cirlce'. Nearest: circle"),
        ([{"chart": "circle", "fires": 1}], r"No word of manifolds\[0\] is called 'fires'"),
        ([{"chart": "points"}], r"manifolds\[0\]: expected .n_points. for chart points alone"),
        ([{"chart": "points", "n_points": 2}], "manifolds.n_points: expected a whole number >= 3"),
        ([{"chart": "circle", "dims": 2}], r"manifolds\[0\]: expected .* got .*'dims': 2"),
        (
            [{"chart": "circle", "count": 0}],
            r"manifolds\[0\].count: expected a whole number from 1",
        ),
        ([{"chart": "circle", "count": 10**9}], "from 1 to 10,000, got 1000000000"),
        ([{"chart": "circle", "firing": math.nan}], "firing.probability"),
        ([{"chart": "circle", "firing": 0}], "circle0: firing_probability: expected a number in"),
        ([{"chart": "circle", "firing": 2}], "firing.probability"),
        ([{"chart": "circle", "firing": {"rate": 2}}], r"firing: expected a number or a law"),
        ([{"chart": "circle", "firing": "often"}], "No firing law is called 'often'"),
        ([{"chart": "circle", "magnitude": -1}], "magnitude.value: expected a number > 0"),
        ([{"chart": "circle", "magnitude": {"law": "constant", "value": [1, 2]}}], "one number"),
        ([{"chart": "circle", "magnitude": "constnat"}], "No magnitude law is called"),
        ([{"chart": "gaussian", "dims": 40}], "expected at most d = 32 dimensions, got 40"),
    ],
)
def test_impossible_manifolds_are_refused(given, message):
    with pytest.raises(GroundtruthError, match=message):
        sparse(manifolds=given)


def test_more_dimensions_than_an_orthonormal_world_has_are_refused():
    with pytest.raises(GroundtruthError, match="to fit in d = 8, got 10"):
        sparse(n_features=8, d=8, dictionary="orthonormal", manifolds=CIRCLE)
