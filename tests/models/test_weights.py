"""Weights that do not fit are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_weights import random_weights

from groundtruth.errors import GroundtruthError


def weights():
    return random_weights(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"W_E": np.ones(3)}, "W_E: expected shape (any, any), got (3,)."),
        ({"W_pos": np.ones((7, 5))}, "W_pos: expected shape (any, 6), got (7, 5)."),
        ({"b_U": np.full(4, np.nan)}, "b_U: expected finite float64 numbers, got float64."),
        ({"b_U": np.zeros(4, np.float32)}, "b_U: expected finite float64 numbers, got float32."),
        ({"pad": 0}, "bos, pad: expected two different tokens below 5, got 0 and 0."),
        ({"bos": 5}, "bos, pad: expected two different tokens below 5, got 5 and 4."),
        ({"activation": "glu"}, "No activation is called 'glu'. Nearest: gelu, relu."),
    ],
)
def test_what_does_not_fit_is_said(changed, message):
    with pytest.raises(GroundtruthError) as error:
        replace(weights(), **changed)
    assert str(error.value) == message


def test_blocks_are_looked_into():
    good = weights()
    block = good.blocks[0]
    head = replace(block.heads[1], b_K=np.zeros(2))
    no_heads = replace(block, heads=())
    assert block.mlp is not None
    mlp = replace(block.mlp, W_out=np.zeros((4, 6)))
    for bad, message in (
        (
            replace(block, heads=(block.heads[0], head)),
            "blocks.0.heads.1.b_K: expected shape (3), got (2,).",
        ),
        (replace(block, mlp=mlp), "blocks.0.mlp.W_out: expected shape (5, 6), got (4, 6)."),
        (no_heads, "blocks.0.b_O: expected zeros in a block without heads, got others."),
    ):
        with pytest.raises(GroundtruthError) as error:
            replace(good, blocks=(bad,))
        assert str(error.value) == message


def test_components_are_counted():
    assert weights().components == ((2, True), (1, True))
