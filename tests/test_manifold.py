"""Charts: their points, distances and moments, each against a second route."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from groundtruth.errors import InputError
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.manifold import (
    CHARTS,
    Chart,
    Circle,
    Gaussian,
    Manifold,
    Points,
    Sphere,
    of_description,
)

N = 20_000
SIX_SIGMA = 6 / math.sqrt(N)  # of a mean of N values of variance at most 1: false alarm below 1e-8


def chart_of(name: str) -> Chart:
    sizes = {"points": {"n_points": 7}, "gaussian": {"dims": 3}}
    return CHARTS[name](**sizes.get(name, {}))


@pytest.fixture(params=CHARTS)
def chart(request: pytest.FixtureRequest) -> Chart:
    return chart_of(request.param)


def test_points_have_the_stated_moments(chart):
    points = chart.points(chart.draw(np.random.default_rng(0), N))
    assert points.shape == (N, chart.dims)
    np.testing.assert_allclose(points.mean(axis=0), chart.mean, atol=SIX_SIGMA)
    np.testing.assert_allclose(points.T @ points / N, np.eye(chart.dims) / chart.dims, atol=0.05)


def test_the_nearest_point_of_a_point_is_itself_at_any_length(chart):
    found = chart.draw(np.random.default_rng(1), 500)
    length = 1.0 if isinstance(chart, Gaussian) else 3.0
    again = chart.nearest(length * chart.points(found))
    np.testing.assert_allclose(chart.distance(found, again), 0, atol=1e-6)


def test_no_point_of_the_manifold_is_nearer_than_the_nearest(chart):
    rng = np.random.default_rng(2)
    away = rng.standard_normal((50, chart.dims))
    many = chart.points(chart.draw(rng, 5000))
    found = np.linalg.norm(chart.points(chart.nearest(away)) - away, axis=1)
    others = np.linalg.norm(many[None] - away[:, None], axis=2).min(axis=1)
    assert np.all(found <= others + 1e-9)


def test_distances_are_a_metric(chart):
    a, b, c = (chart.draw(np.random.default_rng(s), 400) for s in (3, 4, 5))
    np.testing.assert_allclose(chart.distance(a, b), chart.distance(b, a), atol=1e-12)
    assert np.all(chart.distance(a, c) <= chart.distance(a, b) + chart.distance(b, c) + 1e-9)
    assert np.all(chart.distance(a, b) >= 0)


def test_short_distances_are_lengths_along_the_manifold():
    """Geodesic and chord agree for near points; the scale says in which units."""
    scale = {"circle": 1, "sphere": 1, "torus": math.sqrt(2), "interval": 1 / math.pi}
    for name, factor in scale.items():
        chart = chart_of(name)
        a = chart.draw(np.random.default_rng(6), 100) * 0.8 + 0.1
        b = a + 1e-5
        chord = np.linalg.norm(chart.points(a) - chart.points(b), axis=1)
        np.testing.assert_allclose(chart.distance(a, b), factor * chord, rtol=1e-3)


def test_chance_is_the_error_of_the_best_constant_guess(chart):
    """By search over guesses on drawn samples. Tolerance: six standard errors."""
    at = chart.draw(np.random.default_rng(7), N)

    def error(guess: np.ndarray) -> float:
        return float(chart.distance(at, np.broadcast_to(guess, at.shape)).mean())

    best = min(optimize.minimize(error, at[start], method="Nelder-Mead").fun for start in range(3))
    largest = float(chart.distance(at, at[::-1]).std())
    assert best == pytest.approx(chart.chance, abs=6 * largest / math.sqrt(N) + 1e-3)


def test_points_of_a_finite_set_know_their_neighbours():
    seven = Points(7)
    steps = seven.distance(np.arange(7.0)[:, None], np.zeros((7, 1))) / (2 * math.pi / 7)
    np.testing.assert_allclose(steps, [0, 1, 2, 3, 3, 2, 1], atol=1e-12)


def test_antipodes_of_a_sphere_are_half_a_turn_apart():
    poles = np.array([[0.0, 0.0]]), np.array([[math.pi, 1.3]])
    assert Sphere().distance(*poles)[0] == pytest.approx(math.pi)


def test_axis_codes_write_what_the_manifold_writes():
    rng = np.random.default_rng(8)
    basis = np.linalg.qr(rng.standard_normal((9, 3)))[0].T
    ball = Manifold("ball", Sphere(), basis, 0.3, MagnitudeLaw("rectified-normal", {"mean": 0.2}))
    visits = ball.draw(rng, 1000)
    assert np.all(visits.magnitude > 0)
    codes = ball.axis_codes(visits, 1000)
    assert codes.shape == (1000, 6) and codes.data.min() > 0
    written = codes @ np.concatenate([basis, -basis])
    np.testing.assert_allclose(written[visits.row], ball.contribution(visits), atol=1e-6)
    assert np.abs(np.delete(written, visits.row, axis=0)).max() == 0


def test_the_prior_of_an_axis_is_that_of_its_codes(chart):
    """Chances to six standard errors of 8,192 and N samples; the mean size to the nodes' width."""
    rng = np.random.default_rng(9)
    basis = np.eye(chart.dims, 5)
    one = Manifold("one", chart, basis, 0.5, MagnitudeLaw("uniform"))
    codes = one.axis_codes(one.draw(rng, N), N).toarray()
    chance, nodes = one.axis_prior(8)
    np.testing.assert_allclose(chance, (codes > 1e-6).mean(axis=0), atol=6 * 0.5 / math.sqrt(8192))
    for column, at in zip(codes.T, nodes, strict=True):
        if (column > 1e-6).any():
            assert at.mean() == pytest.approx(column[column > 1e-6].mean(), abs=0.03)


def test_a_description_makes_the_manifold_again(chart):
    made = Manifold("m", chart, np.eye(chart.dims, 6), 0.2, MagnitudeLaw("exponential", scale=2.0))
    again = of_description(made.description(), made.basis)
    assert again.description() == made.description() and again.chart == chart


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"basis": np.ones((2, 4))}, "manifold m: expected a basis of orthonormal rows"),
        ({"basis": np.eye(3, 4)}, r"manifold m: basis: expected \(2, d\), got \(3, 4\)"),
        ({"firing_probability": 0.0}, r"firing_probability: expected a number in \(0, 1\], got 0"),
        ({"firing_probability": float("nan")}, "got nan"),
    ],
)
def test_impossible_manifolds_are_refused(changes, message):
    fields = {"basis": np.eye(2, 4), "firing_probability": 0.1} | changes
    with pytest.raises(InputError, match=message):
        Manifold("m", Circle(), magnitude=MagnitudeLaw("constant"), **fields)
