"""Which planted features are correlated with which, from the law of firing and not from samples.

Features of one tree, or of trees whose roots exclude each other, are taken pair by pair. Others
can depend on each other only through the factors of the structure, and are taken as a product of
two matrices, in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from groundtruth import kin
from groundtruth.errors import Undefined
from groundtruth.evaluators.once import once
from groundtruth.population import Population
from groundtruth.structure import Structure
from groundtruth.truth import FeatureTruth

LEAST_CORRELATION = 0.1
MOST_PARTNERS = 16
"""Correlated features that are looked at for each feature: those of largest |correlation|."""
INDEPENDENT = "features fire independently in this world"

_CELLS = 3e8  # (point, pair) cells, and a hundredth of (point, F, F) ones, that an average may cost
_ROWS = 512


@dataclass(frozen=True)
class Correlations:
    """Corr(a_i, a_j) where it matters.

    Fields:
        partner: (F, MOST_PARTNERS) the features most correlated with i, of |correlation| >=
            LEAST_CORRELATION, the largest first; -1 beyond the last.
        value: (F, MOST_PARTNERS) Corr(a_i, a_partner); 0 beyond the last.
        source: "exact", or how the average over the factors was taken.
    """

    partner: np.ndarray
    value: np.ndarray
    source: str

    @property
    def any(self) -> np.ndarray:
        """(F,) bool: features that some other is correlated with."""
        return self.partner[:, 0] >= 0


@once
def planted(truth: FeatureTruth) -> Correlations:
    """The correlations of a world's features.

    Without factors exact, at a cost of the squared sizes of the trees. With factors also F^2
    products for each of 256 to 16,384 quasi-random points, as many as `_CELLS` allows.

    Raises:
        Undefined: features fire independently, or have signs of their own.
    """
    if truth.population is not None:
        return _strongest(truth.n_features, [_listed(truth.population)], "exact")
    if truth.structure is None:
        raise Undefined(INDEPENDENT)
    if truth.signed:
        raise Undefined("features have signs of their own, and no correlation")
    law = _Law(truth, truth.structure)
    found = list(law.within_families())
    if law.n_points > 1:
        found += law.across_families()
    source = f"average over {law.n_points} quasi-random points" if law.n_points > 1 else "exact"
    return _strongest(truth.n_features, found, source)


def _listed(population: Population) -> Found:
    """All pairs of a population's features, each in both orders."""
    correlation = population.correlation()
    np.fill_diagonal(correlation, 0.0)
    one, other = np.nonzero(np.abs(correlation) >= LEAST_CORRELATION)
    return one, other, correlation[one, other]


def _strongest(n_features: int, found: list[Found], source: str) -> Correlations:
    """The partners of each feature, the most correlated first."""
    first, second, value = (np.concatenate(part) for part in zip(*found))
    order = np.lexsort((-np.abs(value), first))
    first, second, value = first[order], second[order], value[order]
    place = np.arange(len(first)) - np.searchsorted(first, first)
    kept = place < MOST_PARTNERS
    partner = np.full((n_features, MOST_PARTNERS), -1)
    partner[first[kept], place[kept]] = second[kept]
    strength = np.zeros(partner.shape)
    strength[first[kept], place[kept]] = value[kept]
    return Correlations(partner, strength, source)


Found = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Law:
    """Chances and moments of one world, given points of its factors; one row where it has none."""

    def __init__(self, truth: FeatureTruth, structure: Structure) -> None:
        self.structure = structure
        magnitude = truth.magnitude
        self.first, self.second = structure.scaled_moments(magnitude.mean, magnitude.second_moment)
        self.family = kin.families(structure)
        self.chance = self._chances()  # (s, n) P(fires | factors)
        p = self.chance.mean(axis=0)
        self.mean = p * self.first
        spread = p * self.second - self.mean**2
        # A feature that does not vary correlates with none.
        self.scale = np.where(spread > 1e-12 * self.second * p, 1 / np.sqrt(_safe(spread)), 0.0)

    @property
    def n_points(self) -> int:
        return len(self.chance)

    def within_families(self) -> Iterator[Found]:
        """Pairs of one family, each in both orders."""
        for one, other in kin.family_pairs(self.family):
            met = kin.meeting(self.structure, one, other)
            both = np.zeros(len(one))
            for row in self.chance:
                shared = np.append(row, 1.0)[met.node]
                both += np.where(shared > 0, row[one] * row[other] / _safe(shared), 0.0)
            values = self.first[one] * self.first[other] * kin.carried(met, self.first, self.second)
            moment = both / self.n_points * values
            covariance = np.where(met.compatible, moment, 0.0) - self.mean[one] * self.mean[other]
            yield _strong(one, other, covariance * self.scale[one] * self.scale[other])

    def across_families(self) -> Iterator[Found]:
        """Pairs of different families, which only the factors connect."""
        n = self.structure.n_features
        activity = ((self.chance * self.first - self.mean) * self.scale).astype(np.float32)
        activity /= np.float32(np.sqrt(self.n_points))
        for start in range(0, n, _ROWS):
            rows = slice(start, start + _ROWS)
            block = activity[:, rows].T @ activity
            block[self.family[rows, None] == self.family] = 0.0
            one, other = np.nonzero(np.abs(block) >= LEAST_CORRELATION)
            yield _strong(one + start, other, block[one, other].astype(np.float64))

    def _chances(self) -> np.ndarray:
        if not self.structure.loaded.any():
            return self.structure.marginal.value[None]
        n = self.structure.n_features
        sizes = np.bincount(self.family)
        most = int(np.clip(_CELLS / (float(sizes @ sizes) + n * n / 100), 256, 16_384))
        pieces, held = [], 0
        for _, points in self.structure.points():
            pieces.append(self.structure.given(points[: most - held]).T.astype(np.float64))
            held += len(pieces[-1])
            if held == most:
                break
        return np.concatenate(pieces)


def _strong(one: np.ndarray, other: np.ndarray, value: np.ndarray) -> Found:
    kept = np.abs(value) >= LEAST_CORRELATION
    return one[kept], other[kept], value[kept]


def _safe(value: np.ndarray) -> np.ndarray:
    return np.where(value > 0, value, 1.0)
