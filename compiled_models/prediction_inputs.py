"""Random sequences for tests of prediction: like those that methods learn from, and unlike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from groundtruth.compiled_models.batches import Batch, every_sequence, n_sequences
from groundtruth.errors import InputError

MOST_SEQUENCES = 1_000_000
"""How many sequences of a domain are all tried; of more, `SAMPLED` are drawn."""

SAMPLED = 10_000
_UNSEEN = 0.2  # share of ordered pairs of tokens that are never neighbours in what is learned from
_TRIES = 1000
_CHUNK = 1 << 14


class Draw:
    """Sequences with or without the pairs of tokens that are kept back.

    Args:
        n_tokens, longest: in the vocabulary, and that the model can read.
        seen_length: of the longest sequences that are learned from.
        rng: of the pairs that are kept back, and of which tokens are frequent.
    """

    def __init__(
        self, n_tokens: int, longest: int, seen_length: int, rng: np.random.Generator
    ) -> None:
        self.longest, self.seen_length, self.n_tokens = longest, seen_length, n_tokens
        n = n_tokens * n_tokens
        self.unseen = (rng.permutation(n) < max(1, round(_UNSEEN * n))).reshape(n_tokens, -1)
        # Each token is half as frequent as the next.
        halves = 0.5 ** rng.permutation(n_tokens)
        self.skewed = halves / halves.sum()

    def sequences(self, name: str, n: int, rng: np.random.Generator) -> Batch:
        """`n` sequences of one of the test sets, uniform in length and then by rejection."""
        low, high = 1, self.seen_length
        if name == "longer":
            low, high = self.seen_length + 1, self.longest
        if name == "combinations":
            low = 2
        ids, lengths = np.zeros((n, self.longest), dtype=np.int64), rng.integers(low, high + 1, n)
        left = np.arange(n)
        for _ in range(_TRIES):
            ids[left] = self._tokens(name, len(left), rng)
            left = left[~self._fits(name, ids[left], lengths[left])]
            if not len(left):
                return Batch(ids, lengths)
        raise InputError(f"vocab: expected enough tokens for sequences of the set {name!r}.")

    def _tokens(self, name: str, n: int, rng: np.random.Generator) -> np.ndarray:
        if name == "frequencies":
            return rng.choice(self.n_tokens, (n, self.longest), p=self.skewed)
        return rng.integers(0, self.n_tokens, (n, self.longest))

    def _fits(self, name: str, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if name == "longer":
            return np.ones(len(ids), dtype=bool)
        pairs = self.unseen[ids[:, :-1], ids[:, 1:]]
        new = (pairs & (np.arange(1, ids.shape[1]) < lengths[:, None])).any(1)
        return new if name == "combinations" else ~new


def nearest(seen: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """(n,) the row of `seen` in which fewest positions differ from each row of `tokens`, the first
    of equals. Padding is a token, so that lengths count.

    Example:
        >>> nearest(np.array([[1, 1, 1], [1, 2, 3]]), np.array([[1, 2, 2], [1, 1, 3]])).tolist()
        [1, 0]
    """
    return np.array([(seen != row).sum(1).argmin() for row in tokens], dtype=np.int64)


def domain(
    n_tokens: int, longest: int, rng: np.random.Generator
) -> tuple[int, bool, Iterator[Batch]]:
    """How many sequences of up to `longest` tokens there are, whether all of them follow, and all
    of them, or a uniform sample where they are more than `MOST_SEQUENCES`."""
    size = n_sequences(n_tokens, longest)
    if size <= MOST_SEQUENCES:
        return size, True, every_sequence(n_tokens, longest, size=_CHUNK)
    weights = float(n_tokens) ** np.arange(1 - longest, 1)
    lengths = rng.choice(longest, SAMPLED, p=weights / weights.sum()) + 1
    return size, False, iter([Batch(rng.integers(0, n_tokens, (SAMPLED, longest)), lengths)])
