"""Batches hold every sequence once, or a seeded sample."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from groundtruth.compiled_models import encode, every_sequence, n_sequences, sampled_sequences
from groundtruth.errors import InputError


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_every_sequence_comes_once_shortest_first(size):
    found = [
        tuple(row[:n])
        for batch in every_sequence(3, 4, size=size)
        for row, n in zip(batch.ids.tolist(), batch.lengths.tolist())
    ]
    assert found == [s for n in range(1, 5) for s in itertools.product(range(3), repeat=n)]
    assert len(found) == n_sequences(3, 4) == 120
    assert max(map(len, every_sequence(3, 4, size=size))) <= size


def test_more_sequences_than_can_be_numbered_are_refused():
    with pytest.raises(InputError, match="max_length: expected one with fewer than 2\\*\\*62 seq"):
        next(every_sequence(10, 30))


def test_samples_depend_on_the_seed_alone():
    first, again = (sampled_sequences(4, 6, 1_000, seed=3) for _ in range(2))
    other = sampled_sequences(4, 6, 1_000, seed=4)
    assert (first.ids == again.ids).all() and (first.lengths == again.lengths).all()
    assert (first.ids != other.ids).any()


def test_samples_take_all_lengths_and_tokens_evenly():
    """Chi-squared with 5 and 3 degrees of freedom below 25.7 and 21.1: false alarm 1e-4 each; the
    seed is fixed."""
    batch = sampled_sequences(4, 6, 60_000, seed=0)
    lengths = np.bincount(batch.lengths, minlength=7)[1:]
    used = batch.ids[np.arange(6) < batch.lengths[:, None]]
    tokens = np.bincount(used, minlength=4)
    for counts, limit in ((lengths, 25.7), (tokens, 21.1)):
        mean = counts.mean()
        assert ((counts - mean) ** 2 / mean).sum() < limit


def test_encoded_sequences_are_padded():
    batch = encode(["b", "", "ab"], "ab")
    assert batch.ids.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert batch.lengths.tolist() == [1, 0, 2] and len(batch) == 3


def test_tokens_outside_of_the_vocabulary_are_refused():
    message = r"sequence 1, position 0: expected a token of the vocabulary \('a', 'b'\), got 'c'\."
    with pytest.raises(InputError, match=message):
        encode(["a", "c"], "ab")


@pytest.mark.parametrize("given", [None, 3, [1, 2]])
def test_what_is_no_list_of_sequences_is_refused(given):
    with pytest.raises(InputError, match="sequences: expected a list of sequences of tokens, got"):
        encode(given, (1, 2))
