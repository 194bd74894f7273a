"""Selectors as disjoint conjunctions: what one attention head can choose by.

A head adds up the scores of its terms, so keys that meet all terms of a conjunction have one score
and all others less. A selector is covered by conjunctions of which no two choose the same pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, permutations

import numpy as np

from groundtruth.compiled_models.expressions import (
    Expression,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SOp,
)

MOST_ORDERS = 24
"""Ways to split a selector that are tried: all of them for up to four pairs of s-ops."""

Sides = tuple[SOp, SOp]
"""Keys and queries."""


@dataclass(frozen=True)
class Condition:
    """What a conjunction asks of one pair of s-ops.

    Fields:
        chosen: (keys, queries) whether the pair of codes is wanted; None's are the last.
    """

    keys: SOp
    queries: SOp
    chosen: np.ndarray


Conjunction = tuple[Condition, ...]
"""All of these; of none of them, every pair."""


@dataclass(frozen=True)
class Selection:
    """A selector as a function of the pairs of s-ops that it compares.

    Args:
        tables: of each Select in it, (keys, queries), without the None of s-ops that have none.
    """

    selector: Selector
    tables: Mapping[Select, np.ndarray]

    @cached_property
    def sides(self) -> tuple[Sides, ...]:
        """The distinct pairs of keys and queries."""
        return tuple(dict.fromkeys((s.keys, s.queries) for s in self._selects))

    def conjunctions(self) -> tuple[Conjunction, ...]:
        """The fewest that were found by splitting the pairs of s-ops in each order."""
        orders = islice(permutations(range(len(self.sides))), MOST_ORDERS)
        return min((self._cover(order) for order in orders), key=len)

    def joint(self, keys: tuple[SOp, ...], queries: tuple[SOp, ...]) -> np.ndarray:
        """(keys, queries) whether combinations of codes of all `keys` and all `queries`, numbered
        with the last code running fastest, are chosen."""
        sizes = [self._size(sop, 0) for sop in keys] + [self._size(sop, 1) for sop in queries]
        codes = np.indices(sizes, sparse=True)
        met = tuple(
            self._cells[a][codes[keys.index(k)], codes[len(keys) + queries.index(q)]]
            for a, (k, q) in enumerate(self.sides)
        )
        n_keys = int(np.prod(sizes[: len(keys)]))
        return np.broadcast_to(self._truth[met], sizes).reshape(n_keys, -1)

    @cached_property
    def _selects(self) -> tuple[Select, ...]:
        return tuple(dict.fromkeys(_selects(self.selector)))

    @cached_property
    def _cells(self) -> list[np.ndarray]:
        """Of each pair of s-ops, (keys, queries): a number for what its Selects say together."""
        return [self._patterns(sides)[1] for sides in self.sides]

    def _patterns(self, sides: Sides) -> tuple[np.ndarray, np.ndarray]:
        """(pattern, Select) the distinct answers of the Selects on `sides`, and where each is."""
        tables = [self.tables[s] for s in self._selects if (s.keys, s.queries) == sides]
        stacked = np.stack([table.ravel() for table in tables], axis=1)
        patterns, where = np.unique(stacked, axis=0, return_inverse=True)
        return patterns, where.reshape(tables[0].shape)

    @cached_property
    def _truth(self) -> np.ndarray:
        """Whether it chooses, by the cell of each pair of s-ops: one axis for each."""
        answers: dict[Select, np.ndarray] = {}
        for axis, sides in enumerate(self.sides):
            patterns = self._patterns(sides)[0]
            selects = [s for s in self._selects if (s.keys, s.queries) == sides]
            for column, select in zip(patterns.T, selects):
                shape = [1] * len(self.sides)
                shape[axis] = -1
                answers[select] = column.reshape(shape)
        shape = [len(self._patterns(sides)[0]) for sides in self.sides]
        return np.broadcast_to(_combined(self.selector, answers), shape)

    def _cover(self, order: tuple[int, ...]) -> tuple[Conjunction, ...]:
        covers = []
        for masks in _boxes(self._truth.transpose(order)):
            conditions = [
                Condition(*self.sides[axis], mask[self._cells[axis]])
                for axis, mask in zip(order, masks)
                if not mask.all()
            ]
            covers.append(tuple(conditions))
        return tuple(covers)

    def _size(self, sop: SOp, side: int) -> int:
        at = next(a for a, sides in enumerate(self.sides) if sides[side] is sop)
        return self._cells[at].shape[side]


def _boxes(truth: np.ndarray) -> list[list[np.ndarray]]:
    """Disjoint boxes, a mask for each axis, that together are `truth`: along the first axis, what
    has the same remainder is taken together."""
    if not truth.any():
        return []
    if truth.ndim == 0:
        return [[]]
    rows, which = np.unique(truth.reshape(len(truth), -1), axis=0, return_inverse=True)
    found = []
    for k, row in enumerate(rows):
        rest = _boxes(row.reshape(truth.shape[1:]))
        found += [[which.reshape(-1) == k, *masks] for masks in rest]
    return found


def _combined(part: Expression, answers: Mapping[Select, np.ndarray]) -> np.ndarray:
    match part:
        case SelectorAnd():
            return _combined(part.first, answers) & _combined(part.second, answers)
        case SelectorOr():
            return _combined(part.first, answers) | _combined(part.second, answers)
        case SelectorNot():
            return ~_combined(part.selector, answers)
        case Select():
            return answers[part]
    raise AssertionError(part)


def _selects(part: Expression) -> list[Select]:
    if isinstance(part, Select):
        return [part]
    return [found for parent in part.parents for found in _selects(parent)]
