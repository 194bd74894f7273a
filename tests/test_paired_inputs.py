"""Inputs of circuit testbeds: none twice, all where they fit, each with another for a partner."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import groundtruth as gt
from groundtruth.paired_inputs import sequences


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 40), st.integers(0, 5))
def test_sequences_are_distinct_and_all_if_they_fit(v: int, length: int, n: int, seed: int) -> None:
    drawn = sequences(v, length, n, seed)
    rows = set(map(tuple, drawn.sequences.tolist()))
    assert len(rows) == len(drawn.sequences) == min(n, v**length)
    assert drawn.exhaustive == (v**length <= n)
    assert drawn.sequences.min() >= 0 and drawn.sequences.max() < v
    assert np.array_equal(drawn.sequences, sequences(v, length, n, seed).sequences)


def test_every_input_has_another_for_a_partner() -> None:
    subject = gt.build("circuit/hist", n_inputs=27, max_length=3).subject
    assert (subject.tokens != subject.paired).any(1).all()
    order = sorted(map(tuple, subject.tokens.tolist()))
    assert sorted(map(tuple, subject.paired.tolist())) == order
