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


def test_equal_answers_are_no_direction_on_turned_axes() -> None:
    # On a twin equal answers differ by rounding: whatever divides by that is of size 1e15.
    plain, twin = (
        gt.build("circuit/sort_unique", twin=twin).subject for twin in (None, {"superpose": 0.8})
    )
    every = np.ones((1, len(twin.universe("edge"))), dtype=bool)
    apart = (twin.outputs() - twin.ablated("edge", ~every)).abs()[0, twin.counted]
    assert ((apart > 0) & (apart < 1e-9)).any()
    for subject in (plain, twin):
        n = len(subject.universe("edge"))
        moved = subject.metric(subject.ablated("edge", ~np.eye(n, dtype=bool)))
        assert moved.abs().max() < 10


def test_outputs_count_at_tokens() -> None:
    for name in ("circuit/hist", "circuit/attention-induction"):
        subject = gt.build(name).subject
        assert (subject.counted == (subject.tokens != subject.model.bos)).all()
