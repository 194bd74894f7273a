"""Heads of unequal width in one matrix, nothing padded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from random_weights import WIDTHS, random_weights

from groundtruth.models.head_layout import pack, side_by_side, unpack


def heads_of(widths):
    weights = random_weights(np.random.default_rng(0), heads=[widths], d_mlp=[None])
    return weights.blocks[0].heads


@given(widths=st.lists(WIDTHS, min_size=1, max_size=6))
def test_heads_come_back_and_take_no_more_room_than_they_need(widths):
    heads = heads_of(widths)
    layout, W_QKV, b_QKV, W_O = pack(heads)
    assert W_QKV.shape == (6, sum(2 * d_head + d_value for d_head, d_value in widths))
    assert b_QKV.shape == W_QKV.shape[1:]
    assert W_O.shape == (sum(d_value for _, d_value in widths), 6)
    assert len(layout.groups) == len(set(widths))
    for head, back in zip(heads, unpack(layout, W_QKV, b_QKV, W_O), strict=True):
        assert all(np.array_equal(array, vars(back)[name]) for name, array in vars(head).items())


@given(widths=st.lists(WIDTHS, min_size=1, max_size=6))
def test_one_product_projects_every_head(widths):
    heads = heads_of(widths)
    layout, W_QKV, b_QKV, W_O = pack(heads)
    x = np.random.default_rng(1).standard_normal((2, 3, 6))
    parts = layout.split(x @ W_QKV + b_QKV)
    found = [
        tuple(part[:, i] for part in group) for group in parts for i in range(group[0].shape[1])
    ]
    placed = [found[place] for place in layout.order]
    for head, (q, k, v) in zip(heads, placed, strict=True):
        assert np.allclose(q, x @ head.W_Q + head.b_Q)
        assert np.allclose(k, x @ head.W_K + head.b_K)
        assert np.allclose(v, x @ head.W_V + head.b_V)
    written = np.concatenate([side_by_side(v) for _, _, v in parts], -1) @ W_O
    expected = sum((x @ head.W_V + head.b_V) @ head.W_O for head in heads)
    assert np.allclose(written, expected)
