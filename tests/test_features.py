"""The feature table gives each planted feature the status and the cause it was built to have."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.features import MISSED, RECOVERED, UNSCORED, FeatureTable

SCORING = gt.Scoring(n_select=512, n_score=512, n_positives=16)
ORTHONORMAL: dict[str, Any] = {
    "n_features": 8,
    "d": 8,
    "dictionary": {"law": "orthonormal"},
    "firing": {"law": "constant", "probability": 0.05},
}
WORLD = gt.build("sparse/small", seed=0, **ORTHONORMAL)
ROWS = WORLD.truth.features.directions.astype(np.float32)


def encoder(rows: np.ndarray) -> Any:
    """Fires where the row is active; exact for rows of an orthonormal dictionary."""
    rows = rows.astype(np.float32)
    return lambda x: np.where(x @ rows.T > 0.1, x @ rows.T, 0)


def table(world: gt.Testbed, rows: np.ndarray, encode: Any = None, **settings: Any) -> FeatureTable:
    claim = gt.Dictionary(rows, encoder(rows) if encode is None else encode, **settings)
    return gt.evaluate(world, claim, scoring=SCORING, n_train=2000).features()


def test_the_planted_dictionary_recovers_every_feature() -> None:
    found = table(WORLD, ROWS)
    assert {row.status for row in found} == {RECOVERED}
    assert found.missed() == [] and found.causes() == Counter()
    assert str(found) == "8 of 8 features recovered"
    assert [row.name for row in found] == [f"f{i}" for i in range(8)] and len(found) == 8


def test_a_feature_without_a_latent_is_missed() -> None:
    found = table(WORLD, ROWS[1:])
    assert [row.status for row in found] == [MISSED] + [RECOVERED] * 7
    assert found[0].cause == "no latent points its way"
    assert found[0].reason.startswith("nearest latent ")
    assert found[0].reason.endswith("has cosine 0.00 < 0.9")
    assert found.missed() == [found[0]]


def test_two_features_in_one_latent_are_mixed() -> None:
    merged = np.vstack([ROWS[2:], ROWS[0] + ROWS[1]])
    found = table(WORLD, merged)
    assert found.causes() == Counter({"mixed with another feature": 2})
    assert found[0].reason == "latent 6 mixes it with f1 (cosines 0.71 and 0.71)"
    assert found[1].reason == "latent 6 mixes it with f0 (cosines 0.71 and 0.71)"


def test_a_direction_with_the_wrong_codes_fires_at_the_wrong_times() -> None:
    right = encoder(ROWS)

    def swapped(x: np.ndarray) -> np.ndarray:
        return right(x)[:, [1, 0, 2, 3, 4, 5, 6, 7]]

    found = table(WORLD, ROWS, swapped)
    assert found.causes() == Counter({"direction found, fires at the wrong times": 2})
    assert found[0].reason.startswith("latent 0 has activity F1 0.")
    assert found[0].reason.endswith(f" < {0.8 * found[0].reference_f1:.2f}")
    assert found[0].cosine == pytest.approx(1) and found[0].f1 is not None


def test_one_latent_cannot_serve_two_features() -> None:
    doubled = {**ORTHONORMAL, "n_features": 6}
    eye = np.eye(8)
    doubled["dictionary"] = {"law": "given", "directions": [*eye[:5].tolist(), eye[0].tolist()]}
    found = table(gt.build("sparse/small", seed=0, **doubled), eye[:5])
    assert found.causes() == Counter({"its latent is taken": 1})
    assert found.missed()[0].index in (0, 5)
    assert found.missed()[0].reason == "latent 0 is matched to another feature"


def test_a_feature_that_hardly_fires_is_too_rare() -> None:
    rare = {**ORTHONORMAL, "firing": {"law": "given", "values": [1e-5] + [0.05] * 7}}
    found = table(gt.build("sparse/small", seed=0, **rare), ROWS[1:])
    assert found[0].cause == "too rare for the training budget"
    assert found[0].reason == (
        "fewer than 1 expected occurrences in 2000 training samples: too few for cosine 0.9, even "
        "with labels"
    )


def test_a_feature_that_no_detector_can_see_is_unscored() -> None:
    noisy = {**ORTHONORMAL, "noise": 3.0, "firing": {"law": "constant", "probability": 0.002}}
    found = table(gt.build("sparse/small", seed=0, **noisy), ROWS[1:])
    assert found[0].status == UNSCORED
    assert found[0].reference_f1 < 0.1


def test_a_claim_without_codes_says_so() -> None:
    claim = gt.Dictionary(ROWS)
    found = gt.evaluate(WORLD, claim, scoring=SCORING, n_train=2000).features()
    assert found.causes() == Counter({"no codes": 8})
    assert found[0].reason == "direction found, but the claim has no codes"
    assert found[0].f1 is None


def test_a_claim_that_never_fires_has_no_live_latent() -> None:
    found = table(WORLD, ROWS, lambda x: np.zeros((len(x), 8)))
    assert found.causes() == Counter({"no live latent": 8})
    assert found[0].reason == "no latent ever fires"
    assert (found[0].cosine, found[0].f1) == (0, None)


def test_the_printed_table_lists_missed_features_most_energetic_first() -> None:
    uneven = {**ORTHONORMAL, "firing": {"law": "given", "values": [0.02, 0.1, *[0.05] * 6]}}
    world = gt.build("sparse/small", seed=0, **uneven)
    lines = str(table(world, ROWS[2:])).splitlines()
    assert lines[:4] == [
        "6 of 8 features recovered",
        "      2 no latent points its way",
        "",
        "   feature         p  energy cosine    F1   ref  why",
    ]
    assert [line.split()[0] for line in lines[4:]] == ["f1", "f0"]
    assert lines[4].startswith("        f1  1.00e-01  22.")
    assert float(lines[4].split()[5]) > 0.9


def test_more_than_twenty_missed_features_are_counted() -> None:
    many = {**ORTHONORMAL, "n_features": 24, "d": 24}
    world = gt.build("sparse/small", seed=0, **many)
    found = table(world, world.truth.features.directions[:1])
    assert str(found).splitlines()[-1] == "       ... and 3 more"
    assert len(str(found).splitlines()) == 4 + 20 + 1


def half_removed(order: np.ndarray, world: gt.Testbed, n_train: int = 100_000) -> FeatureTable:
    """The planted dictionary without the first half of `order`; codes are exact."""
    truth = world.truth.features.directions
    codes = np.linalg.pinv(truth).astype(np.float32)
    kept = np.sort(order[len(order) // 2 :])

    def encode(x: np.ndarray) -> np.ndarray:
        found = (x @ codes)[:, kept]
        return np.where(found > 0.1, found, 0)

    claim = gt.Dictionary(truth[kept], encode)
    return gt.evaluate(world, claim, scoring=SCORING, n_train=n_train).features()


UNEVEN: dict[str, Any] = {
    "n_features": 24,
    "d": 24,
    "dictionary": {"law": "orthonormal"},
    "firing": {"law": "log-uniform", "low": 0.02, "high": 0.2},
}


def test_misses_among_the_rare_are_told_as_rare() -> None:
    world = gt.build("sparse/small", seed=0, **UNEVEN)
    found = half_removed(np.argsort(world.truth.features.firing_probability), world)
    (trait,) = found.traits()
    assert str(trait) == "in the rarer half (12 of 12; of the recovered 0 of 12)"
    assert "\nmissed more often: in the rarer half (12 of 12; " in str(found)


def test_misses_beyond_the_training_budget_are_told_as_such() -> None:
    world = gt.build("sparse/small", seed=0, **UNEVEN)
    order = np.argsort(world.truth.features.firing_probability)
    found = half_removed(order, world, n_train=100)
    assert [trait.name for trait in found.traits()] == ["sample-limited", "rare"]
    assert found.traits()[0].n_missed == sum(row.sample_limited for row in found.missed())


def test_misses_among_features_close_to_another_are_told_as_crowded() -> None:
    eye = np.eye(24)
    directions = np.vstack([eye[0:6], 0.8 * eye[0:6] + 0.6 * eye[6:12], eye[12:]])
    crowded = {**UNEVEN, "firing": {"law": "constant", "probability": 0.05}}
    crowded["dictionary"] = {"law": "given", "directions": directions.tolist()}
    found = half_removed(np.arange(24), gt.build("sparse/small", seed=0, **crowded))
    assert [trait.name for trait in found.traits()] == ["crowded"]
    assert found[0].neighbour_cosine == pytest.approx(0.8) and found[20].neighbour_cosine == 0


def test_misses_without_a_pattern_have_no_trait() -> None:
    world = gt.build("sparse/small", seed=0, **UNEVEN)
    # Halves by rarity are told by luck in at most 1 % of draws: more than 2 of 20 once in 1,000.
    orders = [np.random.default_rng(seed).permutation(24) for seed in range(20)]
    assert sum(bool(half_removed(order, world).traits()) for order in orders) <= 2


def test_a_claim_that_misses_all_or_nothing_has_nothing_to_compare() -> None:
    junk = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    assert table(WORLD, ROWS).traits() == [] and table(WORLD, junk).traits() == []
