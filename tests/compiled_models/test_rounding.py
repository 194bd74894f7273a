"""Bounds of rounding and of softmax, against float32 itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundtruth.compiled_models.rounding import (
    UNIT,
    gamma,
    leak,
    sharpness,
    softmax_rounding,
    storing,
    unevenness,
)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
def test_a_float32_sum_is_within_gamma(terms):
    total = np.float32(0)
    for term in terms:
        total += np.float32(term)
    exact, size = sum(map(float, terms)), sum(map(abs, terms))
    assert abs(float(total) - exact) <= gamma(len(terms)) * size + 1e-30


@pytest.mark.parametrize("n", [1, 5, 40, 400])
def test_sharpness_leaves_less_than_2_to_the_minus_27(n):
    assert 2**-29 < leak(n, sharpness(n)) <= 2**-27
    scores = torch.zeros(n + 1, dtype=torch.float64)
    scores[0] = sharpness(n)
    assert float(scores.softmax(-1)[1:].sum()) <= leak(n, sharpness(n))


@pytest.mark.parametrize("n", [1, 7, 40])
def test_shares_in_float32_are_within_the_bound(n):
    shares = torch.zeros(n + 1).softmax(-1).double()
    assert float((shares - 1 / (n + 1)).abs().max()) <= softmax_rounding(n) / (n + 1)


@given(st.floats(0, 0.4), st.integers(0, 2**16))
def test_scores_that_are_off_move_shares_by_at_most_their_unevenness(error, seed):
    noise = np.random.default_rng(seed).uniform(-error, error, 9)
    shares = np.exp(noise) / np.exp(noise).sum()
    assert np.abs(shares * 9 - 1).max() <= unevenness(error) + 1e-12


def test_storing_is_0_for_what_float32_holds():
    assert storing(0.75) == 0 and 0 < storing(1 / 3) <= UNIT / 2
