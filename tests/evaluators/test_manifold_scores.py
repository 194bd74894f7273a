"""Scores of manifolds: exact on constructions, blind to the choice of axes, hard to game."""

from __future__ import annotations

import math

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import inference, ladder
from groundtruth.generators.sparse import sparse
from groundtruth.score_data import ScoreData, as_scoring

SCORES = (
    "subspace.coverage",
    "subspace.purity",
    "manifold.coord_error",
    "manifold.tiling",
    "manifold.gap",
)
SMALL = {"n_select": 3000, "n_score": 3000, "n_positives": 4}


@pytest.fixture(scope="module")
def world() -> gt.Testbed:
    return gt.build("manifold/circle", seed=2)


def scores(world: gt.Testbed, rows: np.ndarray, encode=None) -> dict[str, float]:
    rows = np.asarray(rows)

    def best_codes(x):
        return inference.nnls(np.asarray(x, dtype=np.float64), rows).astype(np.float32)

    claim = gt.Dictionary(rows, encode or best_codes)
    report = gt.evaluate(world, claim, scoring=SMALL, metrics=["subspace", "manifold"])
    assert report.comparison is not None
    return {name: report[name].value for name in SCORES}


def around(circle, n: int, start: float = 0.0) -> np.ndarray:
    """n directions evenly around the circle."""
    turn = start + np.arange(n) * (2 * math.pi / n)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) @ circle.basis


@pytest.mark.parametrize("preset", ["manifold/circle", "manifold/mixture"])
def test_the_planted_dictionary_is_perfect(preset):
    world = gt.build(preset, n_features=20, d=56, seed=1)
    data = ScoreData(world, as_scoring(SMALL))
    rung = ladder.ladder(data, ["O0-identity"]).rows["O0-identity"]
    values = {name: rung.results[name].value for name in SCORES}
    assert values["subspace.coverage"] == pytest.approx(1)
    assert values["subspace.purity"] == pytest.approx(1)
    assert values["manifold.coord_error"] == pytest.approx(0, abs=0.01)
    assert values["manifold.gap"] == 0
    for name in ("recover.joint", "recover.joint_precision", "recover.precision", "recover.mcc"):
        assert rung.results[name].value == pytest.approx(1), name
    assert rung.results["recon.ev_total"].value == pytest.approx(1)


@pytest.mark.parametrize("n", [3, 4, 12])
def test_directions_around_a_circle_cover_it(world, n):
    (circle,) = world.truth.features.manifolds
    rows = np.concatenate([world.truth.features.directions, around(circle, n, start=0.3)])
    found = scores(world, rows)
    assert found["subspace.coverage"] == pytest.approx(1)
    assert found["subspace.purity"] == pytest.approx(1)
    assert found["manifold.tiling"] == n
    assert found["manifold.gap"] == pytest.approx(0, abs=1e-3)
    # Three non-negative codes hold the point, but not linearly in every sector.
    assert found["manifold.coord_error"] < 0.06


def test_one_direction_covers_half_a_plane(world):
    (circle,) = world.truth.features.manifolds
    rows = np.concatenate([world.truth.features.directions, circle.basis[:1]])
    found = scores(world, rows)
    assert found["subspace.coverage"] == pytest.approx(0.5)
    assert found["subspace.purity"] == pytest.approx(1)
    assert found["manifold.tiling"] == 1
    assert found["manifold.gap"] == pytest.approx(0.5, abs=0.1)
    # It tells the height of a point on the axis, so its angle up to a sign: about a half.
    assert 0.3 < found["manifold.coord_error"] < 0.8


def test_rotating_the_axes_changes_nothing(world):
    (circle,) = world.truth.features.manifolds
    turned = [scores(world, around(circle, 4, start)) for start in (0.0, 0.5)]
    for name in ("subspace.coverage", "subspace.purity", "manifold.tiling"):
        assert turned[0][name] == pytest.approx(turned[1][name])


def test_latents_that_fire_for_the_circle_but_point_elsewhere_are_impure(world):
    (circle,) = world.truth.features.manifolds
    axes, rng = around(circle, 4), np.random.default_rng(0)
    junk = rng.standard_normal((4, world.truth.features.d))
    rows = np.concatenate([axes, junk / np.linalg.norm(junk, axis=1, keepdims=True)])

    def encode(x):
        codes = np.maximum(np.asarray(x) @ axes.T, 0)
        return np.concatenate([codes, codes], axis=1)

    found = scores(world, rows, encode)
    assert found["subspace.coverage"] == pytest.approx(1)
    assert found["subspace.purity"] == pytest.approx(2 / 6)
    assert found["manifold.tiling"] == 8


def test_the_codes_decide_and_not_the_directions(world):
    """Right directions with shuffled codes are assigned to nothing."""
    (circle,) = world.truth.features.manifolds
    axes = around(circle, 4)

    def encode(x):
        codes = np.maximum(np.asarray(x) @ axes.T, 0)
        return np.roll(codes, 7, axis=0)

    found = scores(world, axes, encode)
    assert found["subspace.coverage"] == 0
    assert found["subspace.purity"] is None
    assert found["manifold.coord_error"] == 1
    assert found["manifold.gap"] == 1


def test_latents_that_always_fire_stand_for_no_manifold(world):
    (circle,) = world.truth.features.manifolds
    rows = around(circle, 4)
    found = scores(world, rows, lambda x: np.ones((len(x), 4), dtype=np.float32))
    assert found["subspace.coverage"] == 0 and found["manifold.coord_error"] == 1


def test_a_code_that_barely_is_not_zero_does_not_undo_an_assignment(world):
    (circle,) = world.truth.features.manifolds
    axes = around(circle, 4)
    found = scores(world, axes, lambda x: np.maximum(np.asarray(x) @ axes.T, 0) + 1e-4)
    assert found["subspace.coverage"] == pytest.approx(1)


def test_latents_of_a_circle_are_no_false_features(world):
    """They claim the circle: precision over features does not count them."""
    truth = world.truth.features
    rows = np.concatenate([truth.directions, around(truth.manifolds[0], 12)])
    with_circle = gt.evaluate(world, gt.Dictionary(rows), metrics="recover", scoring=SMALL)
    assert with_circle["recover.precision"].value == pytest.approx(1)
    half = around(truth.manifolds[0], 12) + truth.directions[:1]
    mixed = np.concatenate([truth.directions, half / np.linalg.norm(half, axis=1, keepdims=True)])
    found = gt.evaluate(world, gt.Dictionary(mixed), metrics="recover", scoring=SMALL)
    assert found["recover.precision"].value == pytest.approx(24 / 36)


def test_scores_are_undefined_without_manifolds():
    world = sparse(n_features=6, d=4)
    found = scores(world, np.eye(4))
    assert set(found.values()) == {None}


def test_knowing_nothing_scores_at_the_floor():
    world = gt.build("manifold/mixture", n_features=20, d=40, seed=4)
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((60, 40))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = scores(world, rows, lambda x: np.maximum(np.asarray(x) @ rows.T - 0.8, 0))
    assert found["subspace.coverage"] < 0.15
    assert found["manifold.coord_error"] > 0.8
