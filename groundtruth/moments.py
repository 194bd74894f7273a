"""Second moments of activations whose features fire by a structure, from the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

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
    """Ordered pairs of features that can depend on each other beyond the factors: those of one
    tree, and of trees whose roots exclude each other."""

    def __init__(self, structure: Structure, first: np.ndarray, second: np.ndarray) -> None:
        root = _family(structure)
        order = np.argsort(root, kind="stable")
        _, start, count = np.unique(root[order], return_index=True, return_counts=True)
        one, other = [], []
        for size in np.unique(count):
            trees = order[start[count == size][:, None] + np.arange(size)]
            one.append(np.repeat(trees, size, axis=1).ravel())
            other.append(np.tile(trees, (1, size)).ravel())
        self.one, self.other = np.concatenate(one), np.concatenate(other)
        meet, compatible = _meeting(structure, self.one, self.other)
        self.meet = meet
        product = _joint_moment(structure, self.one, self.other, first, second)
        self.product = np.where(compatible, product, 0.0)
        self.separate = first[self.one] * first[self.other]

    def excess(self, chance: np.ndarray) -> np.ndarray:
        """(m,) sum over rows of E[a_i a_j | factors] - E[a_i | factors] E[a_j | factors]."""
        out = np.zeros(len(self.one))
        for row in chance:
            both = row[self.one] * row[self.other]
            shared = np.append(row, 1.0)[self.meet]
            given_shared = np.divide(both, shared, out=np.zeros_like(both), where=shared > 0)
            out += given_shared * self.product - both * self.separate
        return out


def _family(structure: Structure) -> np.ndarray:
    """(n,) the root of each feature's tree; of exclusive roots, the first."""
    root = np.where(structure.parent < 0, np.arange(structure.n_features), structure.parent)
    for members in structure.groups:
        on_top = members[structure.parent[members[:, 0]] < 0]
        root[on_top] = on_top[:, :1]
    while np.any(root[root] != root):
        root = root[root]
    return root


def _meeting(
    structure: Structure, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(m,) the last common node of two paths (n_features for none), and whether both features can
    fire at once."""
    n = structure.n_features
    parent = np.where(structure.parent < 0, n, structure.parent)
    a, b, depth = one.copy(), other.copy(), np.append(structure.depth, -1)
    below_a, below_b = np.full(len(a), -1), np.full(len(b), -1)
    while np.any(a != b):
        up_a, up_b = (a != b) & (depth[a] >= depth[b]), (a != b) & (depth[b] >= depth[a])
        below_a, below_b = np.where(up_a, a, below_a), np.where(up_b, b, below_b)
        a, b = (
            np.where(up_a, np.append(parent, n)[a], a),
            np.where(up_b, np.append(parent, n)[b], b),
        )
    branched = (below_a >= 0) & (below_b >= 0)
    group_a, group_b = structure.exclusive[below_a], structure.exclusive[below_b]
    return a, ~(branched & (group_a >= 0) & (group_a == group_b))


def _joint_moment(
    structure: Structure, one: np.ndarray, other: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """(m,) E[a_i a_j | both fire]: a scaled child carries its parent's value in its own.

    Walked up from the deeper of the two: each scaled step takes out the ratio of mean values and
    goes on with the parent; at a step that is not scaled, or at another tree's end, the two are
    independent.
    """
    factor, a, b = np.ones(len(one)), one.copy(), other.copy()
    done, out = np.zeros(len(one), dtype=bool), np.zeros(len(one))
    depth = structure.depth
    while not done.all():
        same = ~done & (a == b)
        out[same] = factor[same] * second[a[same]]
        done |= same
        swap = depth[b] > depth[a]
        a, b = np.where(swap, b, a), np.where(swap, a, b)
        free = ~done & ~structure.scaled[a]
        out[free] = factor[free] * first[a[free]] * first[b[free]]
        done |= free
        up = ~done
        above = structure.parent[a[up]]
        mean_above = np.where(first[above] == 0, 1.0, first[above])
        factor[up] *= first[a[up]] / mean_above
        a[up] = above
    return out
