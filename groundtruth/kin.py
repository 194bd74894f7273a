"""Features that depend on each other beyond shared factors: those of one tree, and of trees whose
roots exclude each other. Pair by pair: where their paths meet, and what that says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from groundtruth.structure import Structure

_PAIRS = 1 << 20  # at a time


class Meeting(NamedTuple):
    """Of pairs (m,).

    Fields:
        node: where the two paths to the root meet; n_features if nowhere.
        compatible: whether both can fire at once.
        tied: whether both values are the meeting feature's times something of their own.
    """

    node: np.ndarray
    compatible: np.ndarray
    tied: np.ndarray


def families(structure: Structure) -> np.ndarray:
    """(n,) the root of each feature's tree; of roots that exclude each other, the first."""
    n = structure.n_features
    above = np.where(structure.parent < 0, np.arange(n), structure.parent)
    for members in structure.groups:
        roots = members[structure.parent[members[:, 0]] < 0]
        above[roots] = roots[:, :1]
    while np.any(above[above] != above):
        above = above[above]
    return above


def family_pairs(family: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All ordered pairs of different features of one family, about a million at a time."""
    order = np.argsort(family, kind="stable")
    _, start, count = np.unique(family[order], return_index=True, return_counts=True)
    yield order[:0], order[:0]
    for size in map(int, np.unique(count[count > 1])):
        trees = order[start[count == size][:, None] + np.arange(size)]
        rows = trees.ravel()
        step = max(1, _PAIRS // size)
        for begin in range(0, len(rows), step):
            one = np.repeat(rows[begin : begin + step], size)
            other = trees[np.arange(begin, min(begin + step, len(rows))) // size].ravel()
            yield one[one != other], other[one != other]


def meeting(structure: Structure, one: np.ndarray, other: np.ndarray) -> Meeting:
    """Where the paths of each pair meet."""
    n = structure.n_features
    above = np.append(np.where(structure.parent < 0, n, structure.parent), n)
    depth, scaled = np.append(structure.depth, -1), np.append(structure.scaled, False)
    a, b = one.copy(), other.copy()
    below = np.stack([np.full(len(a), -1), np.full(len(a), -2)])
    tied = np.ones(len(a), dtype=bool)
    while np.any(a != b):
        up = (a != b) & (depth[a] >= depth[b]), (a != b) & (depth[b] >= depth[a])
        for node, rises, last in zip((a, b), up, below, strict=True):
            tied[rises] &= scaled[node[rises]]
            last[rises] = node[rises]
            node[rises] = above[node[rises]]
    group = np.append(structure.exclusive, [-2, -1])[below]  # of none: -1 or -2, never equal
    exclusive = (group[0] == group[1]) & (group[0] >= 0)
    return Meeting(a, ~exclusive, tied & (a < n))


def carried(met: Meeting, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(m,) E[a_i a_j | both fire] / (E[a_i | fires] E[a_j | fires]).

    1, but E[a^2] / E[a]^2 of the meeting feature where both values carry its own.

    Args:
        first, second: (n,) moments of a feature's value, given that it fires.
    """
    twice, once = np.append(second, 1.0)[met.node], np.append(first, 1.0)[met.node]
    return np.where(met.tied, twice / np.where(once > 0, once, 1.0) ** 2, 1.0)
