"""Model pairs and layers side by side: lengths, angles and lifetimes are those asked for."""

from __future__ import annotations

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.errors import InputError
from groundtruth.evaluators.parts import shares
from groundtruth.generators.dictionaries import dictionary

PAIR = {
    "law": "pair",
    "shared": 3,
    "rescaled": [0.1, 0.5],
    "rotated": [30.0, 150.0],
    "first_only": 2,
    "second_only": 1,
}


def halves(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rows = dictionary(10, 24, np.random.default_rng(seed), **PAIR)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    return rows[:, :12], rows[:, 12:]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9)


def test_lengths_in_the_two_models_are_those_of_the_classes():
    first, second = (np.linalg.norm(half, axis=1) for half in halves())
    np.testing.assert_allclose(first[:3] / second[:3], 1)
    np.testing.assert_allclose(first[3:5] / second[3:5], [0.1, 0.5])
    np.testing.assert_allclose(first[5:7] / second[5:7], 1)
    np.testing.assert_allclose(second[7:9], 0, atol=1e-15)
    np.testing.assert_allclose(first[9], 0, atol=1e-15)


def test_one_rotation_takes_shared_and_rescaled_features_from_model_to_model():
    first, second = (
        half / np.linalg.norm(half, axis=1, keepdims=True).clip(1e-9) for half in halves()
    )
    same = first[:5] @ first[:5].T
    np.testing.assert_allclose(same, second[:5] @ second[:5].T, atol=1e-12)
    assert np.abs(np.diag(first[:5] @ second[:5].T)).max() < 0.9


def test_rotated_features_are_at_their_angle_from_the_rotation():
    first, second = (
        half / np.linalg.norm(half, axis=1, keepdims=True).clip(1e-9) for half in halves()
    )
    # Three shared features do not tell the rotation in 12 dimensions; many do.
    law = {**PAIR, "shared": 40}
    rows = dictionary(47, 24, np.random.default_rng(1), **law)
    first, second = rows[:, :12], rows[:, 12:]
    rotation = np.linalg.lstsq(first[:40], second[:40], rcond=None)[0]
    expected = first[42:44] @ rotation
    cosine = np.sum(expected * second[42:44], axis=1)
    cosine /= np.linalg.norm(expected, axis=1) * np.linalg.norm(second[42:44], axis=1)
    np.testing.assert_allclose(cosine, np.cos(np.deg2rad([30, 150])), atol=1e-10)


def test_a_feature_lives_from_its_first_layer_to_its_last():
    lives = [[0, 3], [1, 1], [2, 3]]
    law = {"law": "lifetimes", "n_layers": 4, "lives": lives}
    rows = dictionary(3, 20, np.random.default_rng(0), **law).reshape(3, 4, 5)
    lengths = np.linalg.norm(rows, axis=2)
    np.testing.assert_allclose(lengths > 0, [[1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1]])
    np.testing.assert_allclose(rows[0, 0], rows[0, 3])


def test_a_turning_feature_turns_by_the_angle_from_layer_to_layer():
    law = {"law": "lifetimes", "n_layers": 3, "lives": [[0, 2]] * 4, "turn": 25.0}
    rows = dictionary(4, 30, np.random.default_rng(0), **law).reshape(4, 3, 10)
    unit = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    cosine = np.sum(unit[:, 1:] * unit[:, :-1], axis=2)
    np.testing.assert_allclose(cosine, np.cos(np.deg2rad(25)))


def test_presets_know_their_parts():
    assert gt.build("pair/models").truth.features.parts == (32, 32)
    layers = gt.build("pair/layers").truth.features
    assert layers.parts == (16,) * 6
    assert int((shares(layers.directions, layers.parts) > 0).sum()) == 81
    assert gt.build("sparse/small").truth.features.parts == ()


@pytest.mark.parametrize(
    ("n", "d", "law", "message"),
    [
        (
            9,
            24,
            PAIR,
            "dictionary (pair): expected shared, rescaled, rotated, first_only and second_only to "
            "count 9 features, got 10. Pass n_features=10.",
        ),
        (
            10,
            25,
            PAIR,
            "dictionary, d: expected a width that 2 parts share equally, got d=25.",
        ),
        (
            10,
            24,
            {**PAIR, "rescaled": [0.0, 1.0]},
            "dictionary.rescaled: expected numbers > 0; features of one model have a count of "
            "their own, got [0.0, 1.0].",
        ),
        (
            10,
            24,
            {**PAIR, "rotated": [30.0, 200.0]},
            "dictionary.rotated: expected finite numbers from 0 to 180, got [30.0, 200.0].",
        ),
        (
            1,
            8,
            {"law": "lifetimes", "n_layers": 2, "lives": [[1, 0]]},
            "dictionary.lives: expected 0 <= first <= last < 2, got [1, 0] for feature 0.",
        ),
    ],
)
def test_impossible_parts_are_refused(n, d, law, message):
    with pytest.raises(InputError) as caught:
        dictionary(n, d, np.random.default_rng(0), **law)
    assert str(caught.value) == message
