"""Second moments of activations whose features fire by a structure, from the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from groundtruth import kin
from groundtruth.structure import Structure

_CELLS = 1e9  # that an average over the factors may compute, in (point, pair) and (point, x) cells


def covariance(
    structure: Structure, directions: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """(d, d) Cov(sum_i a_i d_i), noise not included.

    With m_i(eps) = E[a_i | factors],

        Cov = Cov_eps(sum_i m_i d_i) + sum_(i, j in one tree) (E[a_i a_j] - E[m_i m_j]) d_i d_j^T,

    since features of different trees are independent given the factors. Exact without loadings;
    else averaged over 1,024 to 16,384 quasi-random points, as many as the size allows.

    Args:
        first, second: (n,) moments of a feature's value, given that it fires.
    """
    pairs = _Pairs(structure, first, second)
    d, n_points = directions.shape[1], 0
    between, total, within = np.zeros((d, d)), np.zeros(d), np.zeros(len(pairs.one))
    cost = 1024 * (len(pairs.one) + structure.n_features * d)
    for chance in _chances(structure, most=max(1, int(_CELLS / cost))):
        activity = (chance * first) @ directions
        between += activity.T @ activity
        total += activity.sum(axis=0)
        within += pairs.excess(chance)
        n_points += len(chance)
    mean = total / n_points
    shape = (structure.n_features,) * 2
    extra = sp.csr_array((within / n_points, (pairs.one, pairs.other)), shape)
    cov = between / n_points - np.outer(mean, mean) + directions.T @ (extra @ directions)
    return (cov + cov.T) / 2


def _chances(structure: Structure, most: int) -> Iterator[np.ndarray]:
    """P(fires | factors) in pieces (s, n), of `most` scramblings; a single row where nothing
    depends on the factors."""
    if not structure.loaded.any():
        yield structure.marginal.value[None]
        return
    for replicate, points in structure.points():
        if replicate == most:
            return
        yield structure.given(points).T


class _Pairs:
    """Ordered pairs of features of one family, each with itself too, and what their joint moment
    needs."""

    def __init__(self, structure: Structure, first: np.ndarray, second: np.ndarray) -> None:
        own = np.arange(structure.n_features)
        pairs = [(own, own), *kin.family_pairs(kin.families(structure))]
        self.one, self.other = (np.concatenate(part) for part in zip(*pairs, strict=True))
        met = kin.meeting(structure, self.one, self.other)
        self.meet = met.node
        self.separate = first[self.one] * first[self.other]
        # A feature meets itself: E[a_i^2].
        product = self.separate * kin.carried(met, first, second)
        self.product = np.where(met.compatible, product, 0.0)

    def excess(self, chance: np.ndarray) -> np.ndarray:
        """(m,) sum over rows of E[a_i a_j | factors] - E[a_i | factors] E[a_j | factors]."""
        out = np.zeros(len(self.one))
        for row in chance:
            both = row[self.one] * row[self.other]
            shared = np.append(row, 1.0)[self.meet]
            given_shared = np.divide(both, shared, out=np.zeros_like(both), where=shared > 0)
            out += given_shared * self.product - both * self.separate
        return out
