"""Closed forms of a network in features, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.errors import InputError
from groundtruth.planted_network import Layer, PlantedNetwork

AND = Layer(np.array([[1.0], [1.0], [0.0]]), np.array([-1.0]), np.ones((1, 1)))
NOT = Layer(np.array([[0.0], [0.0], [0.0], [-2.0]]), np.array([1.0]), np.full((1, 1), 3.0))
OUT = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
NETWORK = PlantedNetwork((AND, NOT), OUT, np.array([0.0, 10.0]))
BITS = np.array([[a, b, 1.0] for a in (0.0, 1.0) for b in (0.0, 1.0)])


def test_layers_add_features_one_after_the_other():
    a, b = BITS[:, 0], BITS[:, 1]
    assert (
        NETWORK.codes(BITS, 2).tolist() == np.column_stack([BITS, a * b, 3 * (1 - a * b)]).tolist()
    )
    assert NETWORK.outputs(BITS).tolist() == np.column_stack([a, 10 + 6 * (1 - a * b)]).tolist()


def test_outputs_follow_from_any_level():
    for level in range(3):
        assert np.array_equal(
            NETWORK.outputs(NETWORK.codes(BITS, level), level), NETWORK.outputs(BITS)
        )
    assert [NETWORK.width(level) for level in range(3)] == [3, 4, 5]


def test_setting_a_feature_moves_what_reads_it_alone():
    codes = NETWORK.codes(BITS, 1)
    changed = codes.copy()
    changed[:, 3] = 0
    # The conjunction was 1 on the last row alone.
    assert NETWORK.change(codes, changed, 1).tolist() == [[0, 0], [0, 0], [0, 0], [0, 6]]
    direct, later = NETWORK.read_by(0)
    assert direct.tolist() == [True, False, False]
    assert later.tolist() == [True, True, False]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError) as error:
        PlantedNetwork((AND,), OUT, np.zeros(2))
    assert str(error.value) == "out: expected shape (4, 2), got (5, 2)."
    with pytest.raises(InputError, match=r"layers\.1\.read: expected shape \(4, 1\), got \(3, 1\)"):
        PlantedNetwork((AND, AND), OUT, np.zeros(2))
    with pytest.raises(InputError, match="constant: expected finite float64 numbers"):
        PlantedNetwork((AND, NOT), OUT, np.full(2, np.nan))
    with pytest.raises(InputError) as error:
        NETWORK.width(3)
    assert str(error.value) == "level: expected 0 to 2, the number of layers, got 3."
