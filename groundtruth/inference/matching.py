"""One-to-one matchings of edge lists: as many pairs as possible, and the greedy one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from groundtruth.errors import reject


def maximum_matching(
    edges_truth: ArrayLike, edges_latent: ArrayLike, n_truths: int, n_latents: int
) -> tuple[np.ndarray, np.ndarray]:
    """A matching with the largest number of pairs.

    max |M| over sets M of edges in which no truth and no latent occurs twice.

    Args:
        edges_truth: truth of each edge, (E,) whole numbers below n_truths; may repeat.
        edges_latent: latent of each edge, (E,) whole numbers below n_latents.
        n_truths: number of truths.
        n_latents: number of latents.

    Returns:
        Matched truths, increasing, and their latents: two int64 arrays (M,).

    Raises:
        InputError: lengths differ, or an entry is not a whole number in its range.

    Example:
        >>> truth, latent = maximum_matching([0, 0, 1], [0, 1, 0], 2, 2)
        >>> truth.tolist(), latent.tolist()
        ([0, 1], [1, 0])

    Source: "An n^(5/2) algorithm for maximum matchings in bipartite graphs" (1973),
        https://doi.org/10.1137/0202019.
    """
    truth, latent = _edges(edges_truth, edges_latent, n_truths, n_latents)
    graph = csr_array((np.ones(len(truth), dtype=bool), (truth, latent)), (n_truths, n_latents))
    if graph.nnz == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    partner = np.asarray(maximum_bipartite_matching(graph, perm_type="column"), dtype=np.int64)
    matched = np.flatnonzero(partner >= 0)
    return matched, partner[matched]


def greedy_matching(
    edges_truth: ArrayLike,
    edges_latent: ArrayLike,
    n_truths: int,
    n_latents: int,
    weight: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """The matching that takes edges by falling weight while both ends are free.

    It has at least half as many pairs as `maximum_matching`, and at least half the weight of the
    best matching. Use it as a bound; `maximum_matching` and `assign` are exact.

    Args:
        edges_truth: truth of each edge, (E,).
        edges_latent: latent of each edge, (E,).
        n_truths: number of truths.
        n_latents: number of latents.
        weight: weight of each edge, (E,); equal weights are taken in the order given.

    Returns:
        Matched truths, increasing, and their latents: two int64 arrays (M,).

    Raises:
        InputError: lengths differ, an index is out of range, or a weight is not finite.

    Example:
        >>> truth, latent = greedy_matching([0, 0, 1], [0, 1, 0], 2, 2, [0.9, 0.8, 0.8])
        >>> truth.tolist(), latent.tolist()
        ([0], [0])

    Source: "An Analysis of the Greedy Heuristic for Independence Systems" (1978),
        https://doi.org/10.1016/S0167-5060(08)70322-4.
    """
    truth, latent = _edges(edges_truth, edges_latent, n_truths, n_latents)
    weights = np.asarray(weight, dtype=np.float64)
    if weights.shape != truth.shape or not np.isfinite(weights).all():
        raise reject("weight", weight, f"{len(truth)} finite numbers, one per edge")
    partner = np.full(n_truths, -1, dtype=np.int64)
    taken = np.zeros(n_latents, dtype=bool)
    for edge in np.argsort(-weights, kind="stable"):
        if partner[truth[edge]] < 0 and not taken[latent[edge]]:
            partner[truth[edge]] = latent[edge]
            taken[latent[edge]] = True
    matched = np.flatnonzero(partner >= 0)
    return matched, partner[matched]


def _edges(
    edges_truth: ArrayLike, edges_latent: ArrayLike, n_truths: int, n_latents: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the edges as int64, in range."""
    ends = []
    for name, value, size in (
        ("edges_truth", edges_truth, n_truths),
        ("edges_latent", edges_latent, n_latents),
    ):
        end = np.asarray(value)
        whole = end.size == 0 or end.dtype.kind in "iu"
        if end.ndim != 1 or not whole or (end.size and not 0 <= end.min() <= end.max() < size):
            raise reject(name, value, f"a list of whole numbers from 0 to {size - 1}")
        ends.append(end.astype(np.int64))
    if len(ends[0]) != len(ends[1]):
        raise reject("edges_truth, edges_latent", (len(ends[0]), len(ends[1])), "equal lengths")
    return ends[0], ends[1]
