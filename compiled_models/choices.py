"""What a query can choose: at each key position a value, one of several, or nothing.

Where keys, queries and values are functions of the token, the index and the length alone ("local"),
tokens at different positions vary freely, so what a query can meet is a multiset of choices, one
for each position, and all that follows is exact. Elsewhere every visible position gets the choices
that the domains allow, which is a superset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MOST_PAIRS = 20_000_000
"""Entries of the largest arrays that are looked at; beyond it a superset has to do."""

MOST_TOKENS = 40
"""Tokens that are told apart: their sets are kept as bits of a whole number."""

Local = np.ndarray
"""(token, length - 1, index) -> code of the value; -1 where the index is not below the length."""


@dataclass(frozen=True)
class Choice:
    """What one key position can contribute: nothing (`skipped`), or one of the values `taken`."""

    skipped: bool
    taken: tuple[int, ...]


Pattern = tuple[tuple[Choice, int], ...]
"""A multiset of choices: which, and at how many positions."""


@dataclass(frozen=True)
class Choices:
    """What the queries of one selector can meet.

    Fields:
        patterns: each once.
        where: (token, length - 1, index) -> index of the pattern, -1 where there is no position;
            None if the patterns are a superset.
    """

    patterns: tuple[Pattern, ...]
    where: np.ndarray | None


def free_choices(choice: Choice, max_length: int) -> Choices:
    """`choice` at each of 1 to `max_length` visible positions: a superset."""
    if not choice.taken:
        return Choices(((),), None)
    return Choices(tuple(((choice, m),) for m in range(1, max_length + 1)), None)


def local_choices(
    chosen: Callable[[list[Local]], np.ndarray],
    sides: list[Local],
    values: Local | None,
    n_values: int,
    *,
    causal: bool,
) -> Choices | None:
    """What queries meet under a selector of local s-ops; None where that is too much to look at.

    Args:
        chosen: from the codes of `sides` (length, token, index), of some lengths and tokens,
            whether a pair is chosen: (length, query token, query index, key token, key index).
        sides: the local s-ops that the selector compares.
        values: what is aggregated; None if it is not local and may be any of `n_values` values.
        n_values: number of values; codes from there on are None and contribute nothing.
    """
    involved = [*sides, *([] if values is None else [values])]
    n_tokens, n, _ = involved[0].shape
    inside = np.tril(np.ones((n, n), dtype=bool))
    # Tokens that nothing tells apart are looked at once, and so are lengths.
    flat = np.concatenate([local.reshape(n_tokens, -1) for local in involved], axis=1)
    _, kept, same = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    constant = all((local == local[:, -1:])[:, inside].all() for local in involved)
    lengths = [n - 1] if constant else list(range(n))
    if len(kept) > MOST_TOKENS or len(lengths) * (len(kept) * n) ** 2 > MOST_PAIRS:
        return None
    cut = [local[kept][:, lengths].transpose(1, 0, 2) for local in involved]
    met = _met(chosen(cut[: len(sides)]), None if values is None else cut[-1], n_values)
    if len(kept) * n * n * len(met.choices) > MOST_PAIRS:
        return None
    if not met.choices:  # nothing is ever chosen
        return Choices(((),), np.where(inside, 0, np.full((n_tokens, n, n), -1)))
    counts = _counted(met, causal=causal)[:, inside]
    rows = counts.reshape(-1, len(met.choices))
    unique, inverse = np.unique(rows, axis=0, return_inverse=True)
    where = np.full((len(kept), n, n), -1, dtype=np.int64)
    where[:, inside] = inverse.reshape(len(kept), -1)
    patterns = [tuple((met.choices[c], int(row[c])) for c in np.flatnonzero(row)) for row in unique]
    return Choices(tuple(patterns), where[same.reshape(-1)])


@dataclass(frozen=True)
class _Met:
    """Which of `choices` each key position is, by its index, -1 for one that contributes nothing.

    Fields:
        others: (length, query token, query index, key index) of another position than the query's,
            whose token is free.
        own: (length, query token, query index) of the query's own.
    """

    choices: list[Choice]
    others: np.ndarray
    own: np.ndarray


def _met(pairs: np.ndarray, values: np.ndarray | None, n_values: int) -> _Met:
    """The choices behind `pairs` (length, query token, query index, key token, key index), where
    the key has `values` (length, key token, key index)."""
    _, n_tokens, n, _, _ = pairs.shape
    if values is None:
        columns, column = np.zeros((1, n_tokens), dtype=np.int64), np.zeros(1, dtype=np.int64)
    else:
        pairs = pairs & ((values >= 0) & (values < n_values))[:, None, None]
        by_place = values.transpose(0, 2, 1).reshape(-1, n_tokens)
        columns, column = np.unique(by_place, axis=0, return_inverse=True)
        column = column.reshape(len(pairs), 1, 1, n)
    # Which tokens would be chosen, as bits, and which values they would have there.
    bits = np.einsum("lqikj,k->lqij", pairs, 1 << np.arange(n_tokens, dtype=np.int64))
    keys, others = np.unique(bits * len(columns) + column, return_inverse=True)
    every = tuple(range(n_values))
    choices: dict[Choice, int] = {}

    def index_of(choice: Choice) -> int:
        return choices.setdefault(choice, len(choices)) if choice.taken else -1

    indices = []
    for key in keys.tolist():
        members, codes = key // len(columns), columns[key % len(columns)].tolist()
        there = [codes[token] for token in range(n_tokens) if members >> token & 1]
        taken = every if values is None and there else tuple(sorted(set(there)))
        indices.append(index_of(Choice(len(there) < n_tokens, taken)))
    token, place = np.ogrid[:n_tokens, :n]
    itself = pairs[:, token, place, token, place]
    own = np.full(itself.shape, -1)
    if values is None:
        own[itself] = index_of(Choice(False, every))
    else:
        single = {k: index_of(Choice(False, (k,))) for k in np.unique(values[itself]).tolist()}
        own[itself] = [single[k] for k in values[itself].tolist()]
    return _Met(list(choices), np.array(indices)[others.reshape(bits.shape)], own)


def _counted(met: _Met, *, causal: bool) -> np.ndarray:
    """(token, length - 1, index, choice) how many of the positions that a query sees are which."""
    n_lengths, n_tokens, n, _ = met.others.shape
    n_kinds = len(met.choices) + 1  # the last counts those that contribute nothing
    counts = np.zeros((n_tokens, n, n, n_kinds), dtype=np.int32)
    for length in range(1, n + 1):
        which = 0 if n_lengths == 1 else length - 1
        place = np.arange(length)
        seen = place != place[:, None]
        if causal:
            seen &= place < place[:, None]
        others = np.where(seen, met.others[which, :, :length, :length], -1)
        kinds = np.concatenate([others, met.own[which, :, :length, None]], axis=2) % n_kinds
        row = np.arange(n_tokens * length).reshape(n_tokens, length, 1) * n_kinds
        size = n_tokens * length * n_kinds
        flat = np.bincount((row + kinds).ravel(), minlength=size)
        counts[:, length - 1, :length] = flat.reshape(n_tokens, length, n_kinds)
    return counts[..., :-1]
