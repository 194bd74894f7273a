"""What a query can choose: at each key position a value, one of several, or nothing.

Where keys, queries and values are functions of the token, the index and the length alone ("local"),
tokens at different positions vary freely, so what a query can meet is a multiset of choices, one
for each position, and all that follows is exact. Elsewhere every visible position gets the choices
that the domains allow, which is a superset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

MOST_PAIRS = 20_000_000
"""Pairs of (query token and position, key token and position, length) that are looked at."""

MOST_TOKENS = 40
MOST_STEPS = 200_000

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
        chosen: from the codes of `sides`, cut to some tokens and lengths, whether a pair is
            chosen: (length, query token, query index, key token, key index).
        sides: the local s-ops that the selector compares.
        values: what is aggregated; None if it is not local and may be any of `n_values` values.
        n_values: number of values; codes from there on are None and contribute nothing.
    """
    involved = [*sides, *([] if values is None else [values])]
    n_tokens, n, _ = involved[0].shape
    flat = np.concatenate([local.reshape(n_tokens, -1) for local in involved], axis=1)
    _, kept, same = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    # Where the length does not matter, the greatest stands for all.
    valid = np.tril(np.ones((n, n), dtype=bool))
    constant = all((local == local[:, -1:])[:, valid].all() for local in involved)
    lengths = [n - 1] if constant else list(range(n))
    if len(lengths) * (len(kept) * n) ** 2 > MOST_PAIRS or len(kept) > MOST_TOKENS:
        return None
    cut = [local[kept][:, lengths] for local in involved]
    pairs = chosen(cut[: len(sides)])
    classes, choices = _classes(pairs, None if values is None else cut[-1], n_values)
    return _patterns(classes, choices, same.reshape(-1), causal=causal)


def _classes(
    pairs: np.ndarray, values: Local | None, n_values: int
) -> tuple[tuple[np.ndarray, np.ndarray], list[Choice]]:
    """The choice of each key position, as an index: for another position than the query's, whose
    token is free, (length, query token, query index, key index); and for the query's own
    (length, query token, query index)."""
    n_tokens, n = pairs.shape[1], pairs.shape[2]
    if values is not None:
        contributes = (values >= 0) & (values < n_values)
        pairs = pairs & contributes.transpose(1, 0, 2)[:, None, None]
        columns, column = np.unique(
            values.transpose(1, 2, 0).reshape(-1, n_tokens), axis=0, return_inverse=True
        )
        column = column.reshape(len(pairs), 1, 1, n)
    else:
        columns, column = np.zeros((1, n_tokens), dtype=np.int64), np.zeros(1, dtype=np.int64)
    bits = np.einsum("lqikj,k->lqij", pairs, 1 << np.arange(n_tokens, dtype=np.int64))
    keys, others = np.unique(bits * len(columns) + column, return_inverse=True)
    everything = tuple(range(n_values))
    choices: dict[Choice, int] = {}

    def index_of(choice: Choice) -> int:
        return choices.setdefault(choice, len(choices)) if choice.taken else -1

    found = []
    for key in keys.tolist():
        members, codes = key // len(columns), columns[key % len(columns)]
        there = [t for t in range(n_tokens) if members >> t & 1]
        taken = tuple(sorted({int(codes[t]) for t in there})) if values is not None else everything
        found.append(index_of(Choice(len(there) < n_tokens, taken if there else ())))
    tokens, places = np.arange(n_tokens), np.arange(n)
    itself = pairs[:, tokens[:, None], places, tokens[:, None], places]  # (length, token, index)
    if values is None:
        own = np.where(itself, index_of(Choice(False, everything)), -1)
    else:
        single = np.array([index_of(Choice(False, (k,))) for k in range(n_values)] + [-1])
        own = np.where(itself, single[values.transpose(1, 0, 2)], -1)
    return (np.array(found)[others.reshape(bits.shape)], own), list(choices)


def _patterns(
    classes: tuple[np.ndarray, np.ndarray],
    choices: list[Choice],
    same: np.ndarray,
    *,
    causal: bool,
) -> Choices:
    """Count, for each length and query, the choices at the positions that it sees."""
    others, own = classes
    n_lengths, n_tokens, n, _ = others.shape
    rows, places = [], []
    for length in range(1, n + 1):
        which = 0 if n_lengths == 1 else length - 1
        i = np.arange(length)
        seen = (i <= i[:, None]) if causal else np.ones((length, length), dtype=bool)
        seen = seen & (i != i[:, None])
        met = np.where(seen, others[which, :, :length, :length], -1)
        counts = np.stack([(met == c).sum(axis=-1) for c in range(len(choices))], axis=-1)
        itself = own[which, :, :length, None] == np.arange(len(choices))
        rows.append((counts + itself).reshape(-1, len(choices)))
        places.append((length - 1, length))
    unique, inverse = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    where = np.full((n_tokens, n, n), -1, dtype=np.int64)
    start = 0
    for last, length in places:
        size = n_tokens * length
        block = inverse.reshape(-1)[start : start + size]
        where[:, last, :length] = block.reshape(n_tokens, length)
        start += size
    patterns = [tuple((choices[c], int(row[c])) for c in np.flatnonzero(row)) for row in unique]
    return Choices(tuple(patterns), where[same])


# --- what can come of a pattern --------------------------------------------------------------


def widths(pattern: Pattern) -> range:
    """How many positions can be chosen: every number between those that must and those that may."""
    least = sum(many for choice, many in pattern if not choice.skipped)
    return range(least, sum(many for _, many in pattern) + 1)


def shared(pattern: Pattern) -> tuple[set[int], bool]:
    """The values that all chosen positions can share, and whether two that differ can be chosen."""
    union = {value for choice, _ in pattern for value in choice.taken}
    common = {
        value
        for value in union
        if all(choice.skipped or value in choice.taken for choice, _ in pattern)
    }
    several = sum(many for _, many in pattern) > 1
    return common, several and len(union) > 1


def extremes(pattern: Pattern, *, greatest: bool) -> set[int]:
    """The codes that can be the greatest (or the least) among the chosen."""
    sign = 1 if greatest else -1
    union = {value for choice, _ in pattern for value in choice.taken}
    # A position that must be chosen keeps the greatest from falling below its least value.
    least = [min(sign * v for v in choice.taken) for choice, _ in pattern if not choice.skipped]
    return {value for value in union if all(sign * value >= bound for bound in least)}


class TooMany(Exception):
    """More sums than are worth listing."""


@dataclass
class Sums:
    """Which (number of chosen positions, sum of their values) a pattern can reach.

    Values are whole numbers from `least` on. A set of sums is one integer, whose bit s stands for
    the sum s + count * least, so that adding a value to all of them is a shift.
    """

    scaled: list[int]
    least: int = field(init=False)
    steps: int = 0
    known: dict[Pattern, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.least = min(self.scaled)

    def reached(self, pattern: Pattern) -> dict[int, int]:
        """count -> set of sums."""
        start, todo = pattern, []
        while start and start not in self.known:
            *rest, (choice, many) = start
            todo.append((start, choice))
            start = (*rest, (choice, many - 1)) if many > 1 else tuple(rest)
        reached = self.known[start] if start else {0: 1}
        for longer, choice in reversed(todo):
            reached = self._with(reached, choice)
            self.known[longer] = reached
        return reached

    def _with(self, reached: dict[int, int], choice: Choice) -> dict[int, int]:
        """One more position."""
        bits = max(reached.values(), default=0).bit_length() + max(self.scaled) - self.least
        self.steps += len(reached) * len(choice.taken) * (1 + bits // 4096)
        if self.steps > MOST_STEPS:
            raise TooMany
        out = dict(reached) if choice.skipped else {}
        for count, sums in reached.items():
            shifted = 0
            for value in choice.taken:
                shifted |= sums << (self.scaled[value] - self.least)
            out[count + 1] = out.get(count + 1, 0) | shifted
        return out

    def listed(self, count: int, members: int) -> Iterator[int]:
        """The sums in a set."""
        size = (members.bit_length() + 7) // 8
        flags = np.frombuffer(members.to_bytes(size, "little"), dtype=np.uint8)
        for bit in np.flatnonzero(np.unpackbits(flags, bitorder="little")).tolist():
            yield bit + count * self.least
