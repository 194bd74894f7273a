"""Batches of sequences as token ids: all of them, or a seeded sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from groundtruth import seeds
from groundtruth.compiled_models.values import Value
from groundtruth.errors import InputError, reject


@dataclass(frozen=True)
class Batch:
    """Padded sequences.

    Fields:
        ids: (batch, width) index of each token in the vocabulary; anything from the length on.
        lengths: (batch,) number of tokens of each sequence.
    """

    ids: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def encode(sequences: Sequence[Sequence[Value]], vocab: Sequence[Value]) -> Batch:
    """`sequences` as one batch.

    Raises:
        InputError: no list of sequences; a token that is not in the vocabulary.

    Example:
        >>> encode(["ba", "abc"], "abc").ids.tolist()
        [[1, 0, 0], [0, 1, 2]]
    """
    try:
        lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    except TypeError:
        fix = 'Pass for example ["ab", ["b", "a"]].'
        raise reject("sequences", sequences, "a list of sequences of tokens", fix) from None
    index = {token: k for k, token in enumerate(vocab)}
    ids = np.zeros((len(sequences), max(lengths, default=0)), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        for place, token in enumerate(sequence):
            if token not in index:
                raise InputError(
                    f"sequence {row}, position {place}: expected a token of the vocabulary "
                    f"{tuple(vocab)!r}, got {token!r}."
                )
            ids[row, place] = index[token]
    return Batch(ids, lengths)


def n_sequences(n_tokens: int, max_length: int) -> int:
    """How many sequences of 1 to `max_length` tokens there are."""
    return sum(n_tokens**length for length in range(1, max_length + 1))


def every_sequence(n_tokens: int, max_length: int, *, size: int = 1 << 16) -> Iterator[Batch]:
    """All sequences of 1 to `max_length` tokens, shortest first; of one length within a batch.

    Args:
        size: greatest number of sequences in a batch.

    Raises:
        InputError: more sequences than can be numbered.

    Example:
        >>> [batch.ids.tolist() for batch in every_sequence(2, 2)]
        [[[0], [1]], [[0, 0], [0, 1], [1, 0], [1, 1]]]
    """
    if n_sequences(n_tokens, max_length) >= 1 << 62:
        fix = "Use sampled_sequences."
        raise reject("max_length", max_length, "one with fewer than 2**62 sequences", fix)
    for length in range(1, max_length + 1):
        base = n_tokens ** np.arange(length - 1, -1, -1)
        for start in range(0, n_tokens**length, size):
            rows = np.arange(start, min(start + size, n_tokens**length))
            yield Batch(rows[:, None] // base % n_tokens, np.full(len(rows), length))


def sampled_sequences(n_tokens: int, max_length: int, n: int, *, seed: int) -> Batch:
    """`n` sequences whose length is uniform on 1 to `max_length`, their tokens independent."""
    rng = seeds.generator(seeds.root_of("sequences", seed), f"{n_tokens}", f"{max_length}")
    ids = rng.integers(0, n_tokens, (n, max_length))
    return Batch(ids, rng.integers(1, max_length + 1, n))
