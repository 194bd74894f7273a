"""Random weights in the shape of given ones."""

from __future__ import annotations

import numpy as np
import pytest
from random_weights import random_tokens, random_weights

from groundtruth.models.transformer import Transformer
from groundtruth.models.untrained import untrained_weights


@pytest.mark.parametrize(
    "settings", [{}, {"heads": [], "d_mlp": []}, {"norm": "layer", "causal": True}], ids=repr
)
def test_shapes_and_settings_stay_and_numbers_do_not(settings):
    rng = np.random.default_rng(0)
    weights = random_weights(rng, **settings)
    drawn, other = (untrained_weights(weights, seed=seed) for seed in (0, 1))
    assert drawn.settings() == weights.settings()
    for name, array in drawn.arrays().items():
        assert array.shape == weights.arrays()[name].shape
        varies = ".b_" not in name and name != "b_U" and "norm" not in name
        assert (array != other.arrays()[name]).any() == (varies and array.size > 0)
    assert drawn.hash == untrained_weights(weights, seed=0).hash
    tokens = random_tokens(rng, weights, [3, 2])
    assert Transformer(drawn)(tokens).isfinite().all()


def test_maps_keep_the_size_of_what_they_map():
    weights = random_weights(np.random.default_rng(0), heads=[[(40, 40)]], d_mlp=[300])
    drawn = untrained_weights(weights).blocks[0]
    assert drawn.mlp is not None
    for matrix in (drawn.mlp.W_in, drawn.mlp.W_out, drawn.heads[0].W_Q, drawn.heads[0].W_O):
        n = matrix.size
        # Chi-square with n degrees: outside 5 standard deviations once in a million.
        assert abs((matrix**2).sum() * len(matrix) / n - 1) < 5 * np.sqrt(2 / n)
