"""Named worlds have the sizes and the statistics that they are named for."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from groundtruth.errors import InputError, UnknownName
from groundtruth.generators.firing import zipf_range
from groundtruth.generators.orthogonalised import orthogonalised
from groundtruth.generators.presets import BUILDERS, PRESETS
from groundtruth.generators.sparse import from_recipe, sparse
from groundtruth.truth import SAMPLE_LIMITED

SIZE = re.compile(r"^([\d,]+)(?: orthonormal)? features in (\d+) dimensions")
L0 = re.compile(r"(?:about )?([\d.]+) at a time")


@pytest.fixture(scope="module")
def variable():
    return BUILDERS["sparse/sanity-variable"](seed=0).truth.features


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_presets_are_what_their_summaries_say(preset):
    truth = preset.build(seed=0, **quick(preset)).truth.features
    sizes = SIZE.match(preset.summary)
    assert sizes is not None, preset.summary
    assert truth.n_features == int(sizes[1].replace(",", ""))
    assert truth.d == int(sizes[2])
    stated = L0.search(preset.summary)
    if stated is not None:
        # Drawn probabilities scatter by their number; "about" is to one digit.
        assert truth.expected_l0 == pytest.approx(float(stated[1]), rel=0.15)


@pytest.mark.parametrize("name", ["sparse/sanity-constant", "sparse/sanity-variable"])
def test_the_published_worlds_have_their_published_sizes(name):
    truth = BUILDERS[name](seed=0).truth.features
    assert (truth.n_features, truth.d) == (3200, 100)
    assert truth.expected_l0 == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_presets_state_summary_source_and_version(preset):
    assert preset.summary.endswith(".") and preset.source and preset.version >= 1


def test_every_preset_has_a_builder_of_its_name():
    assert set(BUILDERS) == {p.name for p in PRESETS}


def test_the_most_frequent_nine_percent_carry_the_energy_of_the_closed_form(variable):
    # Log-uniform p has density proportional to 1/p, so energy above 10^u is linear in 10^u.
    expected = (10**-1.2 - 10**-1.587) / (10**-1.2 - 10**-5.5)
    assert expected == pytest.approx(0.59, abs=0.005)
    found = variable.explained_by_top(round(0.09 * 3200))
    # 288 draws carry it: a relative standard error of about 2 % in each of numerator and rest.
    assert float(found) == pytest.approx(expected, abs=0.03)


def test_a_fifth_of_the_variable_world_is_sample_limited_at_three_million(variable):
    classes = variable.identifiability(3_000_000).classes
    # p below L0 .81/.19 / 3e6 = 2.9e-5: (log10 2.9e-5 + 5.5) / 4.3 = 22 % of the features.
    assert np.mean(classes == SAMPLE_LIMITED) == pytest.approx(0.22, abs=0.03)
    assert np.mean(variable.identifiability(10**9).classes == SAMPLE_LIMITED) == 0


def test_probabilities_of_the_variable_world_are_log_uniform_in_their_range(variable):
    exponent = np.log10(variable.firing_probability)
    assert exponent.min() >= -5.5 and exponent.max() <= -1.2
    assert (np.diff(exponent) <= 0).all()
    quantiles = np.quantile(exponent, [0.1, 0.5, 0.9])
    assert quantiles == pytest.approx(-5.5 + 4.3 * np.array([0.1, 0.5, 0.9]), abs=0.15)


@pytest.mark.parametrize(("reading", "sigma"), [("sigma", 0.25), ("variance", 0.5)])
def test_both_readings_of_the_log_normal_are_at_hand(reading, sigma):
    world = BUILDERS["sparse/sanity-constant"](log_normal=reading, n_features=8, d=4)
    law = world.truth.features.magnitude
    assert (law.name, float(law.parameters["mu"]), float(law.parameters["sigma"])) == (
        "log-normal",
        0.0,
        sigma,
    )


def test_another_reading_is_refused():
    with pytest.raises(UnknownName) as error:
        BUILDERS["sparse/sanity-constant"](log_normal="varience")
    assert str(error.value) == "No reading of log_normal is called 'varience'. Nearest: variance."


def test_unknown_parameters_are_refused_with_the_nearest():
    with pytest.raises(UnknownName) as error:
        BUILDERS["sparse/small"](n_feature=3)
    assert str(error.value) == (
        "No parameter of sparse/small is called 'n_feature'. Nearest: n_features."
    )


CHANGES = [
    {"seed": 1},
    {"n_features": 9},
    {"d": 5},
    {"noise": 0.1},
    {"bias": 0.1},
    {"scale": 2.0},
    {"rotate": True},
    {"magnitude": "constant"},
    {"dictionary": "low-coherence"},
    {"firing": {"law": "constant", "probability": 0.04}},
    {"name": "other"},
]


def test_the_hash_changes_with_every_parameter_and_with_nothing_else():
    base = {"n_features": 8, "d": 4}
    hashes = [sparse(**{**base, **change}).hash for change in CHANGES]
    assert len({*hashes, sparse(**base).hash}) == len(CHANGES) + 1
    assert sparse(**base).hash == sparse(**base, source="somewhere else").hash


@pytest.mark.parametrize("change", CHANGES)
def test_a_recipe_builds_the_same_world_again(change):
    world = sparse(**{"n_features": 8, "d": 4, **change})
    again = from_recipe(world.recipe)
    assert again.hash == world.hash
    assert again.recipe.description() == world.recipe.description()


def test_a_world_where_nothing_fires_is_refused():
    with pytest.raises(InputError) as error:
        sparse(n_features=2, d=2, firing={"law": "constant", "probability": 0.0})
    assert str(error.value) == (
        "firing: every feature has probability 0, so the world is constant. Raise it."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 0}, "n_features: expected a whole number >= 1, got 0."),
        ({"d": 2.0}, "d: expected a whole number >= 1, got 2.0."),
        ({"noise": -1}, "noise: expected a finite number >= 0, got -1."),
        ({"scale": 0}, "scale: expected a finite number > 0, got 0."),
        ({"bias": True}, "bias: expected a number >= 0, got True."),
        (
            {"seed": -1},
            "seed: expected a non-negative whole number, got -1. Pass for example seed=0.",
        ),
        (
            {"firing": {"probability": 0.1}},
            'firing: expected a law, such as {"law": "constant", ...}, got {\'probability\': 0.1}.',
        ),
        (
            {"firing": {"law": "constant", "probability": 1.5}},
            "firing.probability: expected a number in [0, 1], got 1.5.",
        ),
        (
            {"firing": {"law": "log-uniform", "low": 0.5, "high": 0.1}},
            "firing.low, firing.high: expected 0 < low <= high <= 1, got (0.5, 0.1).",
        ),
        (
            {"firing": {"law": "given", "values": [0.5]}},
            "firing.values: expected shape (128,), got (1,).",
        ),
        (
            {"firing": {"law": "zipf", "exponent": -1.0, "first": 0.5}},
            "firing.exponent: expected a finite number >= 0, got -1.0.",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError) as error:
        sparse(**arguments)
    assert str(error.value) == message


def quick(preset):
    """No descent, where there is any: sizes and probabilities do not depend on it."""
    law = preset.parameters.get("dictionary", {}).get("law")
    return {"dictionary": "sphere"} if law in ("low-coherence", "orthogonalised") else {}


# --- structured worlds ----------------------------------------------------------------------


def test_synthsaebench_fires_as_published_and_not_as_configured():
    truth = BUILDERS["synthsaebench-16k"](seed=0, dictionary="sphere").truth.features
    configured = zipf_range(16_384, np.random.default_rng(0), exponent=0.5, high=0.4, low=5e-4)
    # SAELens's documentation says about 34; its sampler gave 34.1 to 34.5.
    assert 34.0 < truth.expected_l0 < 34.7
    assert truth.structure.marginal.error.max() < 2e-4
    ratio = configured / truth.firing_probability
    assert 2.0 < ratio.max() < 6.0  # some features fire a fifth as often as configured
    np.testing.assert_allclose(ratio[10_880:], 1.0, rtol=0.2)  # outside the trees


def test_a_pushed_apart_dictionary_has_less_overlap_and_unit_rows():
    world = BUILDERS["synthsaebench-1k"]
    apart = world(seed=0).truth.features.directions
    before = world(seed=0, dictionary={"law": "orthogonalised", "n_steps": 0}).truth.features
    gram, loose = apart @ apart.T, before.directions @ before.directions.T
    assert np.square(gram).sum() < 0.95 * np.square(loose).sum()
    # No set of unit rows has less: F^2 / d, reached by tight frames.
    assert np.square(gram).sum() > 1024**2 / 96
    np.testing.assert_allclose(np.diag(gram), 1)


def test_the_descent_is_that_of_the_plain_sum_over_pairs():
    rng = np.random.default_rng(3)
    found = orthogonalised(12, 5, np.random.default_rng(3), n_steps=20, lr=0.01)
    rows = torch.from_numpy(rng.standard_normal((12, 5), dtype=np.float32))
    rows = (rows / rows.norm(dim=1, keepdim=True)).requires_grad_()
    adam = torch.optim.Adam([rows], lr=0.01)
    off = ~torch.eye(12, dtype=torch.bool)
    for _ in range(20):
        adam.zero_grad()
        gram = rows @ rows.T
        loss = gram[off].square().sum() + 12 * (gram.diag() - 1).square().sum()
        loss.backward()
        adam.step()
    expected = (rows / rows.norm(dim=1, keepdim=True)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_absorption_is_cheaper_than_the_planted_dictionary():
    world = BUILDERS["failure/absorption"](seed=0)
    truth = world.truth.features
    x, codes = world.sample(40_000)
    planted = codes.toarray()
    absorbing = truth.directions.copy()
    absorbing[4:] = (truth.directions[:4] + truth.directions[4:]) / 2**0.5
    # Both reconstruct without error; the second pays sqrt 2 where the first pays 2.
    other = planted.copy()
    other[:, :4] -= planted[:, 4:]
    other[:, 4:] *= 2**0.5
    np.testing.assert_allclose(other @ absorbing, x.numpy(), atol=1e-5)
    saved = (planted.sum(axis=1) - other.sum(axis=1)).mean()
    expected = (2 - 2**0.5) * truth.firing_probability[4:].sum()
    # Four fifths of a standard deviation is 0.5; a false alarm at 6 standard errors.
    assert saved == pytest.approx(expected, abs=6 * 0.3 / 200)
    cosine = absorbing[4] @ truth.directions[[0, 4]].T
    np.testing.assert_allclose(cosine, 2**-0.5)


def test_the_best_single_latent_hedges_by_the_closed_form():
    truth = BUILDERS["failure/hedging"](seed=0).truth.features
    p1, p2 = 0.25, 0.2
    c, v0, v1 = p1 * p2 * (1 - p1), p1 * (1 - p1), p1 * p2 * (1 - p1 * p2)
    angle = np.arctan2(2 * c, v0 - v1) / 2
    top = np.linalg.eigh(truth.covariance)[1][:, -1]
    with_bias = np.abs(truth.directions @ top)
    np.testing.assert_allclose(with_bias, [np.cos(angle), np.sin(angle)], atol=1e-12)
    np.testing.assert_allclose(with_bias, [0.9699, 0.2434], atol=5e-5)
    second = truth.covariance + np.outer(truth.mean, truth.mean)
    without = np.abs(truth.directions @ np.linalg.eigh(second)[1][:, -1])
    np.testing.assert_allclose(without, [0.9732, 0.2298], atol=5e-5)


@pytest.mark.parametrize(
    ("name", "sign"), [("failure/wrong-l0", 1), ("failure/wrong-l0-negative", -1)]
)
def test_the_first_feature_is_correlated_with_the_others_alone(name, sign):
    truth = BUILDERS[name](seed=0).truth.features
    assert truth.expected_l0 == pytest.approx(2.0, abs=1e-9)
    # P(both) of two normals above their 0.6 quantile with correlation 0.4, by quadrature.
    limit = stats.norm.ppf(0.6)
    expected = quad(
        lambda g: stats.norm.pdf(g) * stats.norm.sf((limit - sign * 0.4 * g) / 0.84**0.5), limit, 9
    )[0]
    assert truth.coactivation(0, 3) == pytest.approx(expected, abs=1e-6)
    assert truth.coactivation(1, 3) == pytest.approx(0.16, abs=1e-6)


def test_the_tree_has_the_exact_l0_of_its_law():
    truth = BUILDERS["failure/tree"](seed=0).truth.features
    assert truth.expected_l0 == pytest.approx(3 * 0.15 * 1.6 + 8 * 0.05, abs=1e-12)
    assert truth.coactivation(3, 4) == 0 and truth.coactivation(0, 3) == pytest.approx(0.03)


def test_the_tail_holds_the_variance_of_its_closed_form():
    truth = BUILDERS["failure/dark-matter"](seed=0).truth.features
    assert truth.expected_l0 == pytest.approx(4.89, abs=0.005)
    unexplained = 1 - truth.explained_by_top(np.array([10, 100, 1000]))
    np.testing.assert_allclose(unexplained, [0.760, 0.513, 0.257], atol=5e-4)
