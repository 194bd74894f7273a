"""Floors and flags as a suspicious reader checks them: chance must not beat its own floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.evaluators import Comparison, score
from groundtruth.generators import sparse
from groundtruth.ladder import planted
from groundtruth.outputs import Outputs
from groundtruth.references import References
from groundtruth.score_data import ScoreData, Scoring

SMALL = Scoring(n_select=512, n_score=512, n_positives=16)


def random_claim(d: int, k: int, seed: int) -> Outputs:
    rows = np.random.default_rng(seed).standard_normal((k, d))
    return Outputs(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.zeros(d))


@pytest.mark.parametrize(("n", "d", "k"), [(10, 3, 500), (6, 2, 64), (100, 2, 5), (64, 8, 64)])
@pytest.mark.parametrize(
    "metric", ["recover.recall", "recover.precision", "recover.precision_soft", "recover.mcc_all"]
)
def test_random_directions_score_no_more_than_their_floor(
    n: int, d: int, k: int, metric: str
) -> None:
    # Mean of 20 draws against a bound on its expectation: at four standard errors, one false
    # alarm in 30,000 of each of 16 checks; the draws are fixed.
    found, floor = [], 0.0
    for seed in range(20):
        world = sparse(n_features=n, d=d, seed=seed)
        data = ScoreData(world, SMALL)
        unknown = References(np.ones(n))
        c = Comparison(data.truth, random_claim(d, k, seed + 100), data, unknown)
        result = score(c, [metric])[metric]
        assert result.value is not None and result.floor is not None
        found.append(result.value)
        floor = result.floor
        assert result.ceiling is None or result.ceiling >= floor
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    # Draws that all agree have no error; they do not tell 1 from 1 minus a rare event.
    assert np.mean(found) <= floor + 4 * error + 1e-3


def test_scores_that_rest_on_false_positives_nobody_could_see_are_degenerate() -> None:
    rare = sparse(n_features=8, d=8, firing={"law": "constant", "probability": 1e-4})
    data = ScoreData(rare, SMALL)
    c = Comparison(data.truth, planted.identity(data), data, References(np.ones(8)))
    results = score(c, ["recover.joint", "act.f1", "act.precision", "recover.recall"])
    for metric in ("recover.joint", "act.f1", "act.precision"):
        assert results[metric].status == "degenerate"
        assert results[metric].reason == (
            "100% of features fire in fewer than 3 of the score samples, too rarely to see their "
            "false positives: their F1 reads too high. Raise n_score"
        )
    assert results["recover.recall"].status == "ok"
    frequent = sparse(n_features=8, d=8, firing={"law": "constant", "probability": 0.1})
    data = ScoreData(frequent, SMALL)
    c = Comparison(data.truth, planted.identity(data), data, References(np.ones(8)))
    assert score(c, ["recover.joint"])["recover.joint"].status == "ok"


def test_an_unmatched_feature_does_not_define_what_is_undefined_for_it() -> None:
    world = sparse(n_features=16, d=16, magnitude={"law": "constant", "value": 1.0})
    data = ScoreData(world, SMALL)
    two = planted.take(planted.identity(data), np.arange(2))
    c = Comparison(data.truth, two, data, References(np.ones(16)))
    assert score(c, ["act.corr_active"])["act.corr_active"].status == "undefined"


def test_floors_average_over_the_features_that_the_value_averages_over() -> None:
    firing = {"law": "given", "values": [0.2] * 8 + [0.0] * 8}
    data = ScoreData(sparse(n_features=16, d=16, firing=firing), SMALL)
    c = Comparison(data.truth, planted.identity(data), data, References(np.ones(16)))
    assert score(c, ["act.auprc"])["act.auprc"].floor == pytest.approx(0.2)


def test_which_of_two_near_features_is_matched_does_not_move_the_identifiable_recall() -> None:
    angle = np.deg2rad(18)
    near = [[np.cos(angle), np.sin(angle)], [np.cos(angle), -np.sin(angle)]]
    values = []
    for order in ([0, 1], [1, 0]):
        world = sparse(
            n_features=2,
            d=2,
            dictionary={"law": "given", "directions": [near[i] for i in order]},
            firing={"law": "given", "values": [[0.3, 1e-6][i] for i in order]},
        )
        data = ScoreData(world, SMALL)
        claim = Outputs(np.array([[1.0, 0.0]]), np.zeros(2))
        c = Comparison(data.truth, claim, data, References(np.ones(2)))
        values.append(score(c, ["recover.recall_identifiable"])["recover.recall_identifiable"])
    assert [v.value for v in values] == [1.0, 1.0]


def test_a_share_of_ones_own_has_no_ceiling_from_another() -> None:
    world = gt.build("sparse/orthonormal", n_features=8, d=8, seed=0)
    claim = gt.Dictionary(world.truth.features.directions, lambda x: x * (x > 0.1))
    usual = gt.evaluate(world, claim, scoring=SMALL, n_train=2000, metrics="act.f1")
    other = gt.evaluate(world, claim, scoring=SMALL, n_train=2000, metrics="act.f1", share=0.5)
    assert usual["act.f1"].ceiling is not None and other["act.f1"].ceiling is None


def test_a_world_that_float32_cannot_hold_is_refused() -> None:
    with pytest.raises(gt.GroundtruthError, match="mean magnitudes between 1e-33 and 1e33"):
        sparse(scale=1e-50)


def test_signed_is_true_or_false() -> None:
    with pytest.raises(gt.GroundtruthError, match="signed: expected True or False, got 'no'"):
        gt.Dictionary(np.eye(2), signed="no")  # pyright: ignore[reportArgumentType]


def test_identifiability_does_not_depend_on_the_unit_of_activations() -> None:
    for scale in (1e-10, 1.0):
        truth = sparse(
            n_features=4, d=4, firing={"law": "constant", "probability": 1.0}, scale=scale
        ).truth.features
        assert truth.identifiability(10**6).identifiable.all()
        still = replace(truth, magnitude=replace(truth.magnitude, name="constant", parameters={}))
        assert not still.identifiability(10**6).identifiable.any()
