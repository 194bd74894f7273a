"""Magnitude laws: moments against scipy, by quadrature and by Monte Carlo, and their nodes.

Monte Carlo checks use 200,000 draws of a fixed seed and six standard errors (two in a billion).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from groundtruth.errors import InputError, UnknownName
from groundtruth.magnitude import PARAMETERS, MagnitudeLaw
from groundtruth.testing import magnitude_laws

positive = st.floats(0.05, 20.0)


def frozen(law: MagnitudeLaw):
    """scipy's law of m given m > 0, at scale 1."""
    p = {k: float(v) for k, v in law.parameters.items()}
    if law.name == "uniform":
        return stats.uniform(p["low"], p["high"] - p["low"])
    if law.name == "log-normal":
        return stats.lognorm(p["sigma"], scale=np.exp(p["mu"]))
    if law.name == "exponential":
        return stats.expon(scale=p["mean"])
    return stats.truncnorm(-p["mean"] / p["std"], np.inf, loc=p["mean"], scale=p["std"])


LAWS = st.one_of(
    st.builds(lambda a, b: MagnitudeLaw("uniform", {"low": a, "high": a + b}), positive, positive),
    st.builds(
        lambda m, s: MagnitudeLaw("log-normal", {"mu": m, "sigma": s}),
        st.floats(-2, 2),
        st.floats(0.05, 1.0),
    ),
    st.builds(lambda m: MagnitudeLaw("exponential", {"mean": m}), positive),
    st.builds(
        lambda m, s: MagnitudeLaw("rectified-normal", {"mean": m, "std": s}), positive, positive
    ),
)


@given(LAWS, positive)
def test_moments_are_scipys(law, scale):
    scaled = MagnitudeLaw(law.name, law.parameters, scale)
    reference = frozen(law)
    assert scaled.mean == pytest.approx(scale * reference.mean(), rel=1e-6)
    second = reference.var() + reference.mean() ** 2
    assert scaled.second_moment == pytest.approx(scale**2 * second, rel=1e-6)


@given(st.floats(0.05, 5), st.floats(0.05, 5))
def test_moments_of_the_rectified_normal_are_those_of_quadrature(mean, std):
    law = MagnitudeLaw("rectified-normal", {"mean": mean, "std": std})
    density = stats.norm(mean, std).pdf
    top = mean + 12 * std

    def over(power):
        value, _ = integrate.quad(lambda m: m**power * density(m), 0, top, points=[mean])
        return value

    mass = over(0)
    assert 1 - law.zero_probability == pytest.approx(mass, abs=1e-7)
    assert law.mean == pytest.approx(over(1) / mass, rel=1e-6)
    assert law.second_moment == pytest.approx(over(2) / mass, rel=1e-6)


@pytest.mark.parametrize("name", PARAMETERS)
def test_draws_have_the_stated_moments(name):
    n = 200_000
    law = MagnitudeLaw(name, scale=3.0)
    m = law.draw(np.random.default_rng(7), np.zeros(n, dtype=int))
    zero = m == 0
    error = 6 * np.sqrt(law.zero_probability * (1 - law.zero_probability) / n)
    assert abs(zero.mean() - law.zero_probability) <= error
    m = m[~zero]
    for power, expected in ((1, law.mean), (2, law.second_moment)):
        error = 6 * (m**power).std() / np.sqrt(len(m))
        assert abs((m**power).mean() - expected) <= error + 1e-12
    assert (m > 0).all()


def test_the_moment_check_sees_a_variance_in_place_of_a_standard_deviation():
    law = MagnitudeLaw("log-normal", {"sigma": 0.25})
    m = np.exp(0.25**2 * np.random.default_rng(7).standard_normal(200_000))
    error = 6 * (m**2).std() / np.sqrt(len(m))
    assert abs((m**2).mean() - law.second_moment) > error


@given(LAWS, st.integers(1, 20))
def test_nodes_are_the_quantiles_at_the_middle_of_equal_shares(law, n_nodes):
    nodes, weights = law.nodes(n_nodes)
    assert nodes.shape == weights.shape == (n_nodes,)
    assert weights == pytest.approx(1 / n_nodes)
    assume(float(np.max(law.zero_probability)) < 0.49)
    expected = (np.arange(n_nodes) + 0.5) / n_nodes
    assert frozen(law).cdf(nodes) == pytest.approx(expected, abs=1e-6)
    assert (np.diff(nodes) > 0).all() and (nodes > 0).all()


@given(magnitude_laws())
def test_many_nodes_have_nearly_the_mean_of_the_law(law):
    nodes, weights = law.nodes(400)
    # The tail beyond the last node holds 1/800 of the draws: 1 % of the mean for the exponential.
    assert nodes @ weights == pytest.approx(float(law.mean), rel=0.01)


def test_one_value_per_feature_gives_one_law_per_feature():
    law = MagnitudeLaw("constant", {"value": np.array([1.0, 2.0, 4.0])}, scale=0.5)
    features = np.array([2, 0, 1, 2])
    assert law.draw(np.random.default_rng(0), features).tolist() == [2.0, 0.5, 1.0, 2.0]
    assert law.mean.tolist() == [0.5, 1.0, 2.0]
    assert law.nodes(2)[0].tolist() == [[0.5, 0.5], [1.0, 1.0], [2.0, 2.0]]


@given(magnitude_laws())
def test_a_description_makes_the_law_again(law):
    described = law.description()
    again = MagnitudeLaw(
        described["law"], {k: v for k, v in described.items() if k != "law"}, law.scale
    )
    assert again.description() == described
    assert again.mean == law.mean and again.second_moment == law.second_moment


def test_uniform_draws_from_zero_are_never_zero():
    class AlmostOne:
        def random(self, n):
            return np.full(n, 1 - 2**-53)

    assert (MagnitudeLaw("uniform").draw(AlmostOne(), np.zeros(3, dtype=int)) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("uniform", {"low": 2.0, "high": 1.0}),
            "uniform magnitude: expected low < high, got low=2.0 and high=1.0. Swap them.",
        ),
        (
            ("uniform", {"low": -1.0, "high": 1.0}),
            "magnitude.low: expected a number >= 0, got array(-1.).",
        ),
        (("constant", {"value": 0}), "magnitude.value: expected a number > 0, got 0."),
        (
            ("rectified-normal", {"std": -1.0}),
            "magnitude.std: expected a number >= 0, got -1.0.",
        ),
        (
            ("exponential", {"mean": float("nan")}),
            "magnitude.mean: expected a finite number or one per feature, got nan.",
        ),
        (
            ("constant", {"value": "much"}),
            "magnitude.value: expected a number or one per feature, got 'much'.",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError) as error:
        MagnitudeLaw(*arguments)
    assert str(error.value) == message


def test_unknown_laws_and_parameters_are_answered_with_the_nearest():
    with pytest.raises(UnknownName) as error:
        MagnitudeLaw("lognormal")
    assert str(error.value) == (
        "No magnitude law is called 'lognormal'. Nearest: log-normal, uniform."
    )
    with pytest.raises(UnknownName) as error:
        MagnitudeLaw("log-normal", {"variance": 0.25})
    assert str(error.value) == (
        "No parameter of the log-normal magnitude law is called 'variance'. Known: mu, sigma."
    )
