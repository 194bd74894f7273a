"""Which known geometry a group of features is, by the angles between them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from groundtruth.generators.polytopes import (
    GEOMETRIES,
    cosines,
    factors,
    feature_dimensionality,
    vertices,
)

INTERFERENCE = 0.07
"""Largest |cosine| that counts as orthogonal: half the least |cosine| within a known geometry, that
of the square antiprism, sqrt(2) / 3 - 1 / 3 = 0.138."""

SEARCHED = 0.3
"""Cosine error beyond which a geometry is not considered."""

UNKNOWN = "unknown"


class Match(NamedTuple):
    """A known geometry; `error` is max |cos(W_i, W_j) - cos of the geometry| over pairs.

    If none matches within `SEARCHED`, the name is `UNKNOWN` and the error infinite.
    """

    name: str
    error: float


@cache
def irreducible() -> dict[str, np.ndarray]:
    """Cosines (n, n) of the known geometries that are no product of others, by name."""
    known = {name: vertices(name) for name in GEOMETRIES}
    return {name: cosines(W) for name, W in known.items() if len(factors(W)) == 1}


@cache
def plateaus() -> tuple[float, ...]:
    """The dimensionalities that features have in known geometries, descending.

    Example:
        >>> [round(value, 4) for value in plateaus()]
        [1.0, 0.8, 0.75, 0.6667, 0.5, 0.4, 0.375, 0.3333, 0.25]
    """
    values = np.concatenate([feature_dimensionality(vertices(name)) for name in GEOMETRIES])
    return tuple(sorted(set(values.round(12).tolist()), reverse=True))


def match(cosine: np.ndarray) -> Match:
    """The known geometry with these cosines (k, k) between its features, under any labels.

    Example:
        >>> match(cosines(vertices("pentagon")[:, ::-1])).name
        'pentagon'
    """
    same_size = {name: c for name, c in irreducible().items() if len(c) == len(cosine)}
    found = [Match(name, _least_error(cosine, c)) for name, c in same_size.items()]
    best = min(found, key=lambda m: m.error, default=Match(UNKNOWN, np.inf))
    return best if np.isfinite(best.error) else Match(UNKNOWN, np.inf)


def _least_error(cosine: np.ndarray, target: np.ndarray) -> float:
    """min over relabellings of max |cosine - target|, by branch and bound; inf from `SEARCHED`."""
    best = SEARCHED

    def extend(chosen: list[int], worst: float) -> None:
        nonlocal best
        i = len(chosen)
        if i == len(target):
            best = worst
            return
        gap = np.abs(target[:, chosen] - cosine[i, :i]).max(axis=1, initial=worst)
        for vertex in np.argsort(gap, kind="stable"):
            if gap[vertex] >= best:
                return
            if vertex not in chosen:
                extend([*chosen, int(vertex)], float(gap[vertex]))

    extend([], 0.0)
    return best if best < SEARCHED else np.inf
