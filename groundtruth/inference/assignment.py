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
from groundtruth.inference.sparse_assignment import ROWS, Side, candidates, joined, solve
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
    flipped = matrix.shape[0] > matrix.shape[1]
    rows = matrix.T if flipped else matrix
    # Sums of up to 1e5 float64 differences: the similarities themselves are taken as exact.
    tolerance = 1e-10 * max(abs(low), abs(high))
    n_rows, n_columns = rows.shape
    side = Side(
        n_rows, n_columns, lambda some, columns: rows[some][:, columns], low, high, tolerance
    )
    found = None
    if matrix.numel() > DENSE_ENTRIES:
        found = solve(side, candidates(*top_per_row(rows, FIRST_CANDIDATES)), FIRST_CANDIDATES)
    found = _dense(side, flipped, memory_limit) if found is None else found
    return _oriented(found, rows[torch.arange(len(rows)), torch.from_numpy(found)], flipped)


def assign_directions(
    directions: ArrayLike | torch.Tensor,
    latents: ArrayLike | torch.Tensor,
    *,
    absolute: bool,
    edges: TopEdges | None = None,
    block: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Assignment:
    """`assign` of the cosines of two sets of directions, without holding the matrix.

    A pair that points away counts 0: the sum is that of max(C, 0), or of |C| when `absolute`.
    Cosines are compared at the precision of the inputs: the sum is maximal to the rounding of
    their products.

    Args:
        directions: true directions, (F, d).
        latents: claimed directions, (k, d); a zero row has cosine 0 with everything.
        absolute: whether a direction and its negative are the same.
        edges: what `top_edges` gave for the same arguments, if it is at hand; the edges of the
            side with fewer rows suffice.
        block: as in `top_edges`.
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
        return assign(_cosines(truths, claims, absolute), memory_limit=memory_limit)
    flipped = len(truths) > len(claims)
    few, many = (claims, truths) if flipped else (truths, claims)
    if edges is None:
        how = {"absolute": absolute, "block": block, "both": False}
        of_many, of_few = _lists(unit_top_edges(many, few, FIRST_CANDIDATES, **how))
    else:
        of_few, of_many = _lists(edges)[::-1] if flipped else _lists(edges)
    # A product repeated in a block of another shape may differ in its last bits.
    tolerance = 16 * torch.finfo(few.dtype).eps
    side = Side(
        len(few),
        len(many),
        lambda rows, columns: _cosines(few[rows], many[columns], absolute),
        0.0,
        1.0,
        tolerance,
    )
    # As many again from the other side, at most: they spare a round where its lists are at hand.
    m = of_few[0].shape[1]
    more = m * len(few) // max(1, len(many))
    others = candidates(of_many[0][:, :more], of_many[1][:, :more], of_many[2])
    found = solve(side, joined(candidates(*of_few), others, len(many)), m)
    found = _dense(side, flipped, memory_limit) if found is None else found
    values = (few * many[torch.from_numpy(found)]).sum(dim=1)
    return _oriented(found, _counted(values, absolute), flipped)


def _lists(edges: TopEdges) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Similarities, partners and bounds of the truths, and of the latents."""
    return (
        (edges.truth_similarity.clamp_min(0), edges.truth_latent, edges.truth_bound.clamp_min(0)),
        (
            edges.latent_similarity.clamp_min(0),
            edges.latent_truth,
            edges.latent_bound.clamp_min(0),
        ),
    )


def _cosines(rows: torch.Tensor, columns: torch.Tensor, absolute: bool) -> torch.Tensor:
    return _counted(rows @ columns.T, absolute)


def _counted(cosines: torch.Tensor, absolute: bool) -> torch.Tensor:
    return cosines.abs_() if absolute else cosines.clamp_min_(0)


def _oriented(columns: np.ndarray, values: torch.Tensor, flipped: bool) -> Assignment:
    rows = np.arange(len(columns))
    truth, latent = (columns, rows) if flipped else (rows, columns)
    order = np.argsort(truth)
    similarity = values.to("cpu", torch.float64).numpy()
    return Assignment(truth[order], latent[order], similarity[order], certified=True)


def _dense(side: Side, flipped: bool, memory_limit: int) -> np.ndarray:
    """Every row's column by scipy's dense solver, which is exact by construction.

    Costs of few rows by many columns are what that solver takes without a copy of its own.
    """
    needed = 8 * side.n_rows * side.n_columns
    if needed > memory_limit:
        n_latents, n_truths = (side.n_rows, side.n_columns)[:: 1 if flipped else -1]
        raise MemoryRefused(
            f"assignment of {n_truths} truths and {n_latents} latents: the candidate edges did not "
            f"suffice (many equal similarities do this) and the dense solver needs {needed:,} "
            f"bytes, above memory_limit={memory_limit:,}. Remove duplicated or zero latents, or "
            f"raise memory_limit."
        )
    cost, every = np.empty((side.n_rows, side.n_columns)), np.arange(side.n_columns)
    for start in range(0, side.n_rows, ROWS):
        rows = np.arange(start, min(start + ROWS, side.n_rows))
        np.negative(side.read(rows, every).numpy(force=True), out=cost[start : start + ROWS])
    return linear_sum_assignment(cost)[1]
