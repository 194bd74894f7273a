"""Maximum-sum one-to-one assignment of latents to truths, exact, for matrices of any size.

Small matrices go to scipy's dense solver. Large ones are solved on each row's best entries and
proved optimal by prices (`sparse_assignment`); the dense solver is the way back when that fails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from groundtruth.errors import MemoryRefused, reject
from groundtruth.inference.arrays import as_tensor, check_finite
from groundtruth.inference.sparse_assignment import Side, candidates, solve
from groundtruth.inference.top_edges import TopEdges, as_directions, top_per_row, unit_top_edges

# Up to this many entries the dense solver takes a fraction of a second, and has no bad cases.
DENSE_ENTRIES = 1 << 22
FIRST_CANDIDATES = 16
MEMORY_LIMIT = 4 << 30


@dataclass(frozen=True)
class Assignment:
    """min(F, k) pairs in increasing order of truth, and whether their sum is proved maximal."""

    truth: np.ndarray  # (min(F, k),) int64
    latent: np.ndarray  # (min(F, k),) int64
    similarity: np.ndarray  # (min(F, k),) float64
    certified: bool

    def __post_init__(self) -> None:
        for part in (self.truth, self.latent, self.similarity):
            part.setflags(write=False)


def assign(similarity: ArrayLike | torch.Tensor, *, memory_limit: int = MEMORY_LIMIT) -> Assignment:
    """The one-to-one assignment of largest sum.

    max over one-to-one sets P of sum over (i, j) in P of similarity[i, j], with |P| = min(F, k).
    The sum is the maximum to rounding; where several assignments reach it, one is returned.

    Args:
        similarity: (F, k), truths by latents, any real numbers.
        memory_limit: bytes the dense solver may take, should it be needed.

    Returns:
        `Assignment`; empty when F or k is 0.

    Raises:
        InputError: not two-dimensional, or an entry is not finite.
        MemoryRefused: the dense solver is needed and would take more than `memory_limit`.

    Example:
        >>> import numpy as np
        >>> found = assign(np.array([[0.9, 0.8], [0.8, 0.1], [0.0, 0.0]]))
        >>> found.truth.tolist(), found.latent.tolist(), found.certified
        ([0, 1], [1, 0], True)

    Source: "The Hungarian method for the assignment problem" (1955),
        https://doi.org/10.1002/nav.3800020109; sparse solver: "A shortest augmenting path
        algorithm for dense and sparse linear assignment problems" (1987),
        https://doi.org/10.1007/BF02278710.
    """
    matrix = as_tensor("similarity", similarity)
    if matrix.ndim != 2:
        raise reject("similarity", tuple(matrix.shape), "a two-dimensional array (truths, latents)")
    low, high = check_finite("similarity", matrix)
    if matrix.numel() <= DENSE_ENTRIES:
        return _dense(matrix, memory_limit)
    flipped = matrix.shape[0] > matrix.shape[1]
    rows = matrix.T if flipped else matrix
    side = _side(rows, low, high)
    columns = solve(side, candidates(*top_per_row(rows, FIRST_CANDIDATES)), FIRST_CANDIDATES)
    if columns is None:
        return _dense(matrix, memory_limit)
    values = rows[torch.arange(len(rows)), torch.from_numpy(columns)]
    return _oriented(columns, values, flipped)


def assign_directions(
    directions: ArrayLike | torch.Tensor,
    latents: ArrayLike | torch.Tensor,
    *,
    absolute: bool,
    edges: TopEdges | None = None,
    block: int = 2048,
    memory_limit: int = MEMORY_LIMIT,
) -> Assignment:
    """`assign` of the cosines of two sets of directions, without holding the matrix.

    Cosines are compared at the precision of the inputs: the sum is maximal to the rounding of
    their products.

    Args:
        directions: true directions, (F, d).
        latents: claimed directions, (k, d); a zero row has cosine 0 with everything.
        absolute: whether a direction and its negative are the same.
        edges: what `top_edges` gave for the same arguments, if it is at hand; the edges of the
            side with fewer rows suffice.
        block: how many rows to compare at a time, at most.
        memory_limit: bytes the dense solver may take, should it be needed.

    Returns:
        `Assignment`; empty when F or k is 0.

    Raises:
        InputError: not two-dimensional, widths differ, or an entry is not finite.
        MemoryRefused: the dense solver is needed and would take more than `memory_limit`.

    Example:
        >>> import numpy as np
        >>> found = assign_directions(np.eye(3), -np.eye(3)[[2, 0]], absolute=True)
        >>> found.truth.tolist(), found.latent.tolist(), found.similarity.tolist()
        ([0, 2], [1, 0], [1.0, 1.0])

    Source: as `assign`.
    """
    truths, claims = as_directions(directions, latents)
    if len(truths) * len(claims) <= DENSE_ENTRIES:
        return _dense(_cosines(truths, claims, absolute), memory_limit)
    flipped = len(truths) > len(claims)
    few, many = (claims, truths) if flipped else (truths, claims)
    if edges is None:
        found = unit_top_edges(
            many, few, FIRST_CANDIDATES, absolute=absolute, block=block, both=False
        )
        best = (found.latent_similarity, found.latent_truth, found.latent_bound)
    elif flipped:
        best = (edges.latent_similarity, edges.latent_truth, edges.latent_bound)
    else:
        best = (edges.truth_similarity, edges.truth_latent, edges.truth_bound)
    # A product repeated in a block of another shape may differ in its last bits.
    tolerance = 16 * torch.finfo(few.dtype).eps
    side = Side(
        len(few),
        len(many),
        lambda index: _cosines(few[torch.from_numpy(index)], many, absolute),
        -1.0,
        1.0,
        tolerance,
    )
    columns = solve(side, candidates(*best), best[0].shape[1])
    if columns is None:
        _refuse_above(memory_limit, len(truths), len(claims))
        return _dense(_cosines(truths, claims, absolute), memory_limit)
    values = (few * many[torch.from_numpy(columns)]).sum(dim=1)
    return _oriented(columns, values.abs() if absolute else values, flipped)


def _side(rows: torch.Tensor, low: float, high: float) -> Side:
    # Sums of up to 1e5 float64 differences: the similarities themselves are taken as exact.
    tolerance = 1e-10 * max(abs(low), abs(high))
    n_rows, n_columns = rows.shape
    return Side(
        n_rows, n_columns, lambda index: rows[torch.from_numpy(index)], low, high, tolerance
    )


def _cosines(rows: torch.Tensor, columns: torch.Tensor, absolute: bool) -> torch.Tensor:
    cosines = rows @ columns.T
    return cosines.abs_() if absolute else cosines


def _oriented(columns: np.ndarray, values: torch.Tensor, flipped: bool) -> Assignment:
    rows = np.arange(len(columns))
    truth, latent = (columns, rows) if flipped else (rows, columns)
    order = np.argsort(truth)
    similarity = values.to("cpu", torch.float64).numpy()
    return Assignment(truth[order], latent[order], similarity[order], certified=True)


def _dense(matrix: torch.Tensor, memory_limit: int) -> Assignment:
    """The assignment by scipy's dense solver, which is exact by construction."""
    _refuse_above(memory_limit, *matrix.shape)
    values = matrix.to("cpu", torch.float64).numpy()
    truth, latent = linear_sum_assignment(values, maximize=True)
    return Assignment(truth, latent, values[truth, latent].copy(), certified=True)


def _refuse_above(memory_limit: int, n_truths: int, n_latents: int) -> None:
    """Refuse a dense solution whose float64 copy and negative do not fit."""
    needed = 2 * 8 * n_truths * n_latents
    if needed > memory_limit:
        raise MemoryRefused(
            f"assignment of {n_truths} truths and {n_latents} latents: the candidate edges did not "
            f"suffice (many equal similarities do this) and the dense solver needs {needed:,} "
            f"bytes, above memory_limit={memory_limit:,}. Remove duplicated or zero latents, or "
            f"raise memory_limit."
        )
