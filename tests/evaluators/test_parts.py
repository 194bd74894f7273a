"""Shares of parts: the planted dictionary makes no error, and each error has its specimen."""

from __future__ import annotations

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.errors import InputError
from groundtruth.evaluators.parts import shares
from groundtruth.methods import crosscoder

PARTS = ["part.share_error", "part.false_exclusive", "part.false_shared", "part.decoupled"]
SMALL = {"n_select": 512, "n_score": 512, "n_positives": 4}


def values(world: gt.Testbed, rows: np.ndarray) -> list[float | None]:
    claim = gt.Dictionary(rows, lambda x: np.maximum(np.asarray(x) @ rows.T - 0.2, 0))
    report = gt.evaluate(world, claim, scoring=SMALL)
    return [report[name].value for name in PARTS]


@pytest.fixture(scope="module")
def world() -> gt.Testbed:
    law = {"law": "pair", "shared": 4, "rescaled": [0.2, 0.5], "first_only": 2, "second_only": 2}
    return gt.build("pair/models", n_features=10, d=40, dictionary=law)


def test_the_planted_dictionary_makes_no_error(world):
    np.testing.assert_allclose(values(world, world.truth.features.directions), 0, atol=1e-12)


def test_leaving_a_part_out_is_a_false_exclusive(world):
    rows = world.truth.features.directions.copy()
    rows[4, :20] = 0  # ratio 0.2: the rest is still close
    error, exclusive, shared, decoupled = values(world, rows)
    assert error == pytest.approx((0.2 / 1.2) / 10)
    assert exclusive == pytest.approx(1 / 6)
    assert (shared, decoupled) == (0, 0)


def test_a_weak_part_that_is_claimed_weak_is_not_left_out():
    law = {"law": "pair", "shared": 1, "rescaled": [0.01]}
    weak = gt.build("pair/models", n_features=2, d=40, dictionary=law)
    rows = weak.truth.features.directions.copy()
    assert values(weak, rows)[1] == 0
    rows[1, :20] *= 0.2
    assert values(weak, rows)[1] == 0.5


def test_weight_where_a_feature_is_not_is_a_false_share(world):
    rows = world.truth.features.directions.copy()
    rows[6, 20:] = 0.5 * rows[6, :20]
    error, exclusive, shared, decoupled = values(world, rows)
    assert error == pytest.approx((1 / 3) / 10)
    assert (exclusive, shared, decoupled) == (0, pytest.approx(1 / 4), 0)


def test_a_latent_for_each_model_is_a_decoupled_feature(world):
    rows = world.truth.features.directions
    first, second = rows[0].copy(), rows[0].copy()
    first[20:], second[:20] = 0, 0
    split = np.concatenate([rows[1:], first[None], second[None]])
    error, exclusive, _, decoupled = values(world, split)
    assert decoupled == pytest.approx(1 / 6)
    assert exclusive == pytest.approx(1 / 6)
    assert error == pytest.approx(0.5 / 10)


def test_a_missed_feature_has_the_whole_share_error(world):
    error, exclusive, _, _ = values(world, world.truth.features.directions[1:])
    assert error == pytest.approx(0.1)
    assert exclusive == 0


def test_worlds_of_one_space_leave_them_undefined():
    plain = gt.build("sparse/orthonormal", n_features=8, d=8)
    assert values(plain, plain.truth.features.directions) == [None] * 4


def test_an_l1_crosscoder_loses_the_weak_part_by_the_closed_form():
    """|a| falls from alpha to alpha - alpha_0, alpha_0 = l1 E f / (2 E f^2), and not below 0."""
    alphas, l1 = np.array([0.02, 0.05, 0.1, 0.2, 0.5]), 0.3
    law = {
        "law": "pair",
        "shared": 1,
        "rescaled": alphas.tolist(),
        "first_only": 1,
        "second_only": 1,
    }
    bed = gt.build(
        "pair/models",
        n_features=8,
        d=32,
        firing={"law": "constant", "probability": 0.1},
        magnitude={"law": "constant", "value": 1.0},
        dictionary=law,
    )
    truth = bed.truth.features
    claim = crosscoder(bed.subject, seed=0, width=8, l1=l1, n_samples=200_000)
    rows = claim.decoder / np.linalg.norm(claim.decoder, axis=1, keepdims=True)
    latent = (truth.directions @ rows.T).argmax(axis=1)
    found = shares(rows[latent], truth.parts)[1:6]
    scale = np.sqrt(np.trace(truth.covariance) / truth.d)
    lost = l1 * scale / 2  # E f = E f^2 = 1 / scale, but for the length of the first part
    expected = np.maximum(0, (alphas - lost) / (1 - lost))
    np.testing.assert_allclose(found[:, 0] / found[:, 1], expected, atol=0.005)
    assert expected[0] == 0 and found[0, 0] < 1e-3
    # What the penalty does, not the fit: with a tenth of it nothing is lost.
    weak = crosscoder(bed.subject, seed=0, width=8, l1=l1 / 10, n_samples=200_000)
    rows = weak.decoder / np.linalg.norm(weak.decoder, axis=1, keepdims=True)
    found = shares(rows[(truth.directions @ rows.T).argmax(axis=1)], truth.parts)[1:6]
    np.testing.assert_allclose(found[:, 0] / found[:, 1], alphas, atol=0.006)


@pytest.mark.parametrize("parts", [5, (10, 20), (0, 40), (20.0, 20.0)])
def test_a_crosscoder_refuses_parts_that_are_not_those_of_the_subject(world, parts):
    with pytest.raises(InputError, match="parts: expected widths >= 1 that sum to 40, got"):
        crosscoder(world.subject, seed=0, parts=parts, n_samples=1000)
