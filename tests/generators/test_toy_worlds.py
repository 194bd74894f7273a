"""Toy worlds with hand-written W: their truth is the geometry, and their samples follow it.

Statistical checks fix their seed and have a false-alarm rate of one in a million over seeds.
"""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from groundtruth.errors import InputError, UnknownName
from groundtruth.evaluators.statistics import clopper_pearson
from groundtruth.generators.polytopes import GEOMETRIES, cosines, feature_dimensionality, vertices
from groundtruth.generators.sparse import sparse
from groundtruth.generators.toy_presets import POLYTOPES, PRESETS, TRAINED
from groundtruth.generators.toy_worlds import polytope, toy_weights

ALARM = 1e-6
HEADER = re.compile(r"^(\d+) features? in (\d+) dimensions?[,:]")
SHARE = re.compile(r"\b(\d)/(\d)\b")


def check_share(summary: str, W: np.ndarray) -> None:
    """Raise unless the dimensionalities of W are those that the summary states."""
    stated = {float(Fraction(int(a), int(b))) for a, b in SHARE.findall(summary)}
    found = set(feature_dimensionality(W).round(12).tolist())
    assert {round(value, 12) for value in stated or {1.0}} == found


@pytest.mark.parametrize("preset", POLYTOPES[:-1], ids=lambda p: p.name)
def test_presets_are_what_their_summaries_say(preset):
    world = preset.build(seed=1)
    truth = world.truth.features
    sizes = HEADER.match(preset.summary)
    assert sizes is not None and (truth.n_features, truth.d) == (int(sizes[1]), int(sizes[2]))
    check_share(preset.summary, toy_weights(world))
    assert (world.truth_class, truth.site, truth.signed) == ("analytic", "hook_hidden", False)


def test_the_share_check_catches_the_summary_of_another_geometry():
    with pytest.raises(AssertionError):
        check_share("5 features in 2 dimensions, a regular pentagon: D = 2/5.", vertices("hexagon"))


def test_every_geometry_has_a_preset_of_its_name():
    names = {p.name for p in PRESETS}
    trained = ["toy/trained", "toy/trained-correlated", "toy/trained-anticorrelated"]
    assert names == {f"toy/{g}" for g in GEOMETRIES} | {"toy/polytope", *trained}
    assert all(p.summary.endswith(".") and p.source and p.version >= 1 for p in PRESETS)
    assert [p.name for p in TRAINED] == trained


@pytest.mark.parametrize("preset", POLYTOPES, ids=lambda p: p.name)
def test_a_recipe_builds_the_same_world_again(preset):
    world = preset.build(seed=2, probability=0.1, norm=1.5)
    again = preset.build(seed=world.recipe.seed, **world.recipe.parameters)
    assert again.hash == world.hash
    assert again.recipe.description() == world.recipe.description()


CHANGES = [
    {"seed": 1},
    {"name": "toy/other"},
    {"geometry": "hexagon"},
    {"geometry": ["pentagon", "dedicated"]},
    {"probability": 0.06},
    {"norm": 2.0},
    {"rotate": False},
]


def test_the_hash_changes_with_every_parameter_and_not_with_the_source():
    hashes = {polytope(**change).hash for change in [{}, *CHANGES]}
    assert len(hashes) == len(CHANGES) + 1
    assert polytope(source="elsewhere").hash == polytope().hash


def test_the_weights_are_the_rotated_geometry_times_the_norms():
    norms = np.array([1.0, 1.2, 0.7, 1.0, 2.0])
    W = toy_weights(polytope(geometry="triangular-bipyramid", norm=norms, seed=3))
    plain = vertices("triangular-bipyramid")
    assert np.linalg.norm(W, axis=0) == pytest.approx(norms, abs=1e-12)
    assert cosines(W) == pytest.approx(cosines(plain), abs=1e-12)
    assert not np.allclose(W, plain * norms)
    straight = polytope(geometry="triangular-bipyramid", norm=norms, rotate=False)
    assert toy_weights(straight) == pytest.approx(plain * norms, abs=1e-12)


def test_samples_are_the_codes_times_the_directions_of_uniform_codes():
    p, norm = np.array([0.3, 0.1, 0.05, 0.2, 0.6]), np.array([1.0, 2.0, 0.5, 1.1, 1.3])
    world = polytope(probability=p, norm=norm)
    blocks = [world.block("train", 0, b) for b in range(20)]
    x = np.concatenate([b[0] for b in blocks])
    codes = np.concatenate([b[1].toarray() for b in blocks])
    # Sums of at most five float32 products.
    assert x == pytest.approx(codes @ world.truth.features.directions, abs=1e-5)
    counts = (codes > 0).sum(axis=0)
    bounds = [clopper_pearson(int(c), len(x), 1 - ALARM / 5) for c in counts]
    assert all(b.low <= q <= b.high for b, q in zip(bounds, p))
    for i in range(5):
        on = codes[codes[:, i] > 0, i]
        assert stats.kstest(on, "uniform", (0, norm[i])).pvalue > ALARM / 5
        # The same test rejects a length that is a tenth off.
        assert stats.kstest(on, "uniform", (0, 1.1 * norm[i])).pvalue < ALARM


def test_the_moments_of_the_truth_are_those_of_uniform_codes():
    truth = polytope(probability=0.25, norm=2.0).truth.features
    # E a = p |W| / 2, Var a = |W|^2 (p / 3 - p^2 / 4).
    assert truth.mean_activity == pytest.approx(0.25)
    assert truth.variance == pytest.approx(4 * (0.25 / 3 - 0.25**2 / 4))


def test_the_antiprism_can_be_built_at_another_height():
    part = {"name": "square-antiprism", "half_height": 0.5}
    world = polytope(geometry=part)
    assert feature_dimensionality(toy_weights(world)) == pytest.approx(4 / 11, abs=1e-12)
    assert world.recipe.parameters["geometry"] == [part]


def test_weights_are_read_from_toy_worlds_alone():
    with pytest.raises(InputError, match=r"^testbed: expected a toy world, such as 'toy/pentagon'"):
        toy_weights(sparse(n_features=2, d=2, magnitude="uniform", scale=2.0))


EXPECTED = 'a name, {"name": ..., parameters}, or a list of these'
REFUSALS = [
    ({"geometry": []}, f"geometry: expected {EXPECTED}, got []."),
    ({"geometry": 5}, f"geometry: expected {EXPECTED}, got 5."),
    (
        {"geometry": [{"half_height": 1}]},
        f"geometry: expected {EXPECTED}, got [{{'half_height': 1}}].",
    ),
    ({"norm": 0.0}, "norm: expected numbers between 1e-16 and 1e16, got 0.0."),
    ({"norm": [1.0]}, "norm: expected a number or 5 finite numbers, got [1.0]."),
    ({"probability": -0.1}, "probability: expected numbers in [0, 1], got -0.1."),
    (
        {"probability": 0.0},
        "probability: every feature has probability 0, so the world is constant. Raise it.",
    ),
    ({"seed": -1}, "seed: expected a non-negative whole number, got -1. Pass for example seed=0."),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSALS)
def test_parameters_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError) as error:
        polytope(**arguments)
    assert str(error.value) == message


def test_unknown_parameters_are_refused_with_the_nearest():
    with pytest.raises(UnknownName) as error:
        POLYTOPES[0].build(probabilities=0.1)
    assert str(error.value) == (
        "No parameter of toy/dedicated is called 'probabilities'. Nearest: probability."
    )


def test_sets_of_a_polytope_are_in_its_streams_and_its_truth():
    world = polytope(
        geometry=["digon", "digon", "dedicated"],
        probability=[0.3, 0.3, 0.2, 0.2, 0.1],
        correlated=[(0, 1)],
        anticorrelated=[(2, 3)],
        seed=3,
    )
    truth = world.truth.features
    assert truth.firing_probability.tolist() == [0.3, 0.3, 0.1, 0.1, 0.1]
    assert (truth.coactivation(0, 1), truth.coactivation(2, 3)) == (pytest.approx(0.3), 0)
    _, codes = world.sample(20_000, seed=1)
    on = codes.toarray() > 0
    assert (on[:, 0] == on[:, 1]).all() and not (on[:, 2] & on[:, 3]).any()
    # Five standard errors of a mean of 20,000 draws: a false alarm in a million.
    error = np.sqrt(truth.firing_probability / 20_000)
    assert (np.abs(on.mean(axis=0) - truth.firing_probability) < 5 * error).all()
    assert polytope(seed=3, **world.recipe.parameters).hash == world.hash
