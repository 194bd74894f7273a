"""The inputs that a truth about activations holds for: sequences with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth import hashing
from groundtruth.compiled_models.batches import (
    Batch,
    encode,
    every_sequence,
    n_sequences,
    sampled_sequences,
)
from groundtruth.compiled_models.values import Value
from groundtruth.errors import reject

N_INPUTS = 4096
"""Sequences that are listed, or all if there are no more."""


@dataclass(frozen=True)
class Inputs:
    """A list of sequences with weights; truth about activations is exact for the list.

    Fields:
        batch: the sequences.
        weights: (n,) probability of each; they sum to 1.
        exhaustive: whether they are all sequences of the vocabulary up to the length, weighted as
            the distribution that `description` names; else a seeded sample from it.
        description: where they come from.
    """

    batch: Batch
    weights: np.ndarray
    exhaustive: bool
    description: str

    @cached_property
    def hash(self) -> str:
        """Of the tokens, up to each length, and the weights."""
        there = np.arange(self.batch.ids.shape[1]) < self.batch.lengths[:, None]
        arrays = {
            "ids": np.where(there, self.batch.ids, -1).astype(np.int64),
            "weights": self.weights,
        }
        return hashing.content_hash("inputs", arrays)

    def __str__(self) -> str:
        return f"{self.description} ({self.hash[:12]})"


def uniform_inputs(n_tokens: int, max_length: int, *, n: int = N_INPUTS, seed: int = 0) -> Inputs:
    """Length uniform on 1 to `max_length`, tokens uniform and independent.

    Args:
        n: all sequences are listed if they are no more than this, else a sample of so many.
        seed: of the sample.

    Example:
        >>> inputs = uniform_inputs(2, 2)
        >>> inputs.weights.tolist(), inputs.exhaustive
        ([0.25, 0.25, 0.125, 0.125, 0.125, 0.125], True)
        >>> print(uniform_inputs(5, 10, n=100).description)
        a sample of 100 (seed 0) of the sequences of 5 tokens, uniform in length 1 to 10 and tokens
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise reject("n_inputs", n, "a whole number >= 1")
    law = f"the sequences of {n_tokens} tokens, uniform in length 1 to {max_length} and tokens"
    total = n_sequences(n_tokens, max_length)
    if total > n:
        batch = sampled_sequences(n_tokens, max_length, n, seed=seed)
        text = f"a sample of {n} (seed {seed}) of {law}"
        return Inputs(batch, np.full(n, 1 / n), False, text)
    ids, lengths = np.zeros((total, max_length), dtype=np.int64), np.zeros(total, dtype=np.int64)
    at = 0
    for part in every_sequence(n_tokens, max_length):
        rows = slice(at, at + len(part))
        ids[rows, : part.ids.shape[1]], lengths[rows] = part.ids, part.lengths
        at = rows.stop
    weights = 1 / (max_length * float(n_tokens) ** lengths)
    return Inputs(Batch(ids, lengths), weights, True, f"all {total} of {law}")


def listed_inputs(sequences: Sequence[Sequence[Value]], vocab: Sequence[Value]) -> Inputs:
    """These sequences, all of one weight.

    Raises:
        InputError: none, an empty one, or a token that is not in the vocabulary.

    Example:
        >>> listed_inputs(["ab", "b"], "ab").weights.tolist()
        [0.5, 0.5]
    """
    batch = encode(sequences, vocab)
    if not len(batch) or not batch.lengths.min():
        raise reject("sequences", sequences, "one or more, none of them empty")
    n = len(batch)
    return Inputs(batch, np.full(n, 1 / n), False, f"{n} listed sequences")
