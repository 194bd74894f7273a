"""The best few partners of every truth and of every latent, without the whole matrix.

A dictionary of F features against k latents has F * k cosines; matching needs only each one's
best few. `top_edges` passes once over blocks of latents and keeps those.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike

from groundtruth.errors import reject
from groundtruth.inference.arrays import as_matrix

# Columns are first reduced in groups of this many; 16 and 32 were fastest, 8 half as fast.
GROUP = 16
# A block of cosines that stays in the processor's cache; merging the truths' best of many small
# blocks would cost more than that saves.
ONE_SIDED_BLOCK = 256


@dataclass(frozen=True)
class TopEdges:
    """Each latent's best truths and each truth's best latents, best first.

    `latent_truth[j, 0]` and `latent_similarity[j, 0]` are the row argmax and max of latent j;
    `truth_latent[i, 0]` and `truth_similarity[i, 0]` those of truth i.
    """

    latent_truth: torch.Tensor  # (k, m) int64
    latent_similarity: torch.Tensor  # (k, m)
    truth_latent: torch.Tensor  # (F, m') int64
    truth_similarity: torch.Tensor  # (F, m')


def top_per_row(matrix: torch.Tensor, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The m largest entries of every row of (R, N): values and columns, both (R, m), best first.

    Cut the N columns into groups: the m largest entries lie in the m groups of largest maximum,
    because an entry outside them is below m maxima.
    """
    m = min(m, matrix.shape[1])
    if matrix.shape[1] < 2 * GROUP * max(m, 1):
        values, columns = matrix.topk(m, dim=1)
        return values, columns
    if matrix.stride(1) != 1:
        return _top_per_strided_row(matrix, m)
    n_groups = matrix.shape[1] // GROUP
    # A group is every n_groups-th column, so that the maxima are taken in one vectorised pass.
    grouped = matrix[:, : n_groups * GROUP].unflatten(1, (GROUP, n_groups))
    best_groups = grouped.amax(dim=1).topk(m, dim=1).indices  # (R, m)
    within = torch.arange(GROUP, device=matrix.device) * n_groups
    candidates = (best_groups[:, :, None] + within).reshape(len(matrix), m * GROUP)
    return _best_of(matrix, candidates, n_groups * GROUP, m)


def _top_per_strided_row(matrix: torch.Tensor, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`top_per_row` for a transposed matrix, in one pass that reads memory in order."""
    n_rows, n_columns = matrix.shape
    n_groups = n_columns // GROUP
    grouped = matrix.T[: n_groups * GROUP].reshape(n_groups, GROUP, n_rows)
    best_groups = grouped.amax(dim=1).T.contiguous().topk(m, dim=1).indices  # (R, m)
    within = torch.arange(GROUP, device=matrix.device)
    candidates = (best_groups[:, :, None] * GROUP + within).reshape(n_rows, m * GROUP)
    return _best_of(matrix, candidates, n_groups * GROUP, m)


def _best_of(
    matrix: torch.Tensor, candidates: torch.Tensor, n_grouped: int, m: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The m largest among `candidates` (R, c) and the columns that are in no group."""
    n_rows, n_columns = matrix.shape
    rest = torch.arange(n_grouped, n_columns, device=matrix.device).expand(n_rows, -1)
    candidates = torch.cat([candidates, rest], dim=1)
    rows = torch.arange(n_rows, device=matrix.device)[:, None]
    values, places = matrix[rows, candidates].topk(m, dim=1)
    return values, candidates.gather(1, places)


def unit_rows(matrix: torch.Tensor) -> torch.Tensor:
    """Rows divided by their length; a zero row stays zero, so that its cosines are 0."""
    length = matrix.norm(dim=1, keepdim=True)
    if bool(((length > 1e-12) & (length < 1e12)).all()):
        return matrix / length
    # Dividing by the largest entry first keeps the squares from over- and underflowing.
    largest = matrix.abs().amax(dim=1, keepdim=True)
    scaled = matrix / torch.where(largest > 0, largest, torch.ones_like(largest))
    return scaled / scaled.norm(dim=1, keepdim=True).clamp_min(1e-30)


def as_directions(
    directions: ArrayLike | torch.Tensor, latents: ArrayLike | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """True directions (F, d) and latents (k, d), checked, of unit rows and one dtype."""
    truths, claims = as_matrix("directions", directions), as_matrix("latents", latents)
    if truths.shape[1] != claims.shape[1] or truths.shape[1] == 0:
        raise reject(
            "latents",
            tuple(claims.shape),
            f"rows as wide as those of directions, which has shape {tuple(truths.shape)}",
        )
    dtype = torch.promote_types(truths.dtype, claims.dtype)
    return unit_rows(truths.to(dtype)), unit_rows(claims.to(truths.device, dtype))


def top_edges(
    directions: ArrayLike | torch.Tensor,
    latents: ArrayLike | torch.Tensor,
    m: int = 16,
    *,
    absolute: bool,
    block: int = 2048,
    both: bool = True,
) -> TopEdges:
    """Each latent's top-m truths and each truth's top-m latents by cosine.

    The cosine of truth i and latent j is <d_i, l_j> / (|d_i| |l_j|), 0 where either is zero, and
    its size when `absolute`. Holds block * F cosines at a time, never F * k.

    Args:
        directions: true directions, (F, d).
        latents: claimed directions, (k, d).
        m: how many partners to keep; fewer are kept when there are fewer.
        absolute: whether a direction and its negative are the same.
        block: how many latents to compare at a time.
        both: keep the truths' best latents too; without them the pass takes half the time, and
            the edges of each truth are (F, 0).

    Returns:
        `TopEdges` with (k, min(m, F)) and (F, min(m, k)) entries.

    Raises:
        InputError: not two-dimensional, widths differ, entries not finite, m or block below 1.

    Example:
        >>> import numpy as np
        >>> edges = top_edges(np.eye(3), np.eye(3)[[2, 0]], m=1, absolute=False)
        >>> edges.latent_truth.tolist(), edges.truth_latent.tolist()
        ([[2], [0]], [[1], [0], [0]])

    Source: the standard blockwise search for nearest neighbours; "Billion-scale similarity search
        with GPUs" (2017), https://arxiv.org/abs/1702.08734.
    """
    if m < 1 or block < 1:
        raise reject("m, block", (m, block), "whole numbers of at least 1")
    truths, claims = as_directions(directions, latents)
    return unit_top_edges(truths, claims, m, absolute=absolute, block=block, both=both)


def unit_top_edges(
    truths: torch.Tensor,
    claims: torch.Tensor,
    m: int,
    *,
    absolute: bool,
    block: int,
    both: bool = True,
) -> TopEdges:
    """`top_edges` of unit rows."""
    if not both:
        block = min(block, ONE_SIDED_BLOCK)
    per_latent = [_no_edges(truths, 0, min(m, len(truths)))]
    per_truth = _no_edges(truths, len(truths), 0)
    room = claims.new_empty((min(block, len(claims)), len(truths)))
    for start in range(0, len(claims), block):
        some = claims[start : start + block]
        cosines = torch.mm(some, truths.T, out=room[: len(some)])  # (block, F)
        if absolute:
            cosines.abs_()
        per_latent.append(top_per_row(cosines, m))
        if both:
            values, found = top_per_row(cosines.T, m)
            per_truth = _best(per_truth, (values, found + start), m)
    similarity, partner = (torch.cat(part) for part in zip(*per_latent))
    return TopEdges(partner, similarity, per_truth[1], per_truth[0])


def _no_edges(like: torch.Tensor, n_rows: int, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    empty = like.new_empty((n_rows, m))
    return empty, empty.to(torch.int64)


def _best(
    old: tuple[torch.Tensor, torch.Tensor], new: tuple[torch.Tensor, torch.Tensor], m: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The m best of two lists of edges per row."""
    values, partners = torch.cat([old[0], new[0]], 1), torch.cat([old[1], new[1]], 1)
    kept, places = values.topk(min(m, values.shape[1]), dim=1)
    return kept, partners.gather(1, places)
