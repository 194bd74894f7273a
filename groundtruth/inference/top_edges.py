"""The best few partners of every truth and of every latent, without the whole matrix.

A dictionary of F features against k latents has F * k cosines; matching needs only each one's
best few. `top_edges` passes once over blocks of latents and keeps those. Where the processor
multiplies bfloat16 faster, large searches are made in it: the cosines of what they find are
computed again, what they may have missed is bounded, and a row whose best partner this does not
prove is searched anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from groundtruth.errors import reject
from groundtruth.inference.arrays import as_matrix

# Columns are first reduced in groups of this many; 16 and 32 were fastest, 8 half as fast.
GROUP = 16
# Latents at a time: a block of cosines that stays in the processor's cache.
ONE_SIDED_BLOCK = 256
# Bytes of a block where the truths' best are kept too: finding them costs each block as much as
# it costs all at once, which exceeds what the cache would save.
BLOCK_BYTES = 1 << 28
# Shorter lists seldom reach below the best cosine by more than the rounding of bfloat16.
LEAST_LISTED = 8
# A cosine computed again, whose row has to be fetched, costs as much as 50 to 100 in a product.
LISTED_COST = 128


@dataclass(frozen=True)
class TopEdges:
    """Each latent's best truths and each truth's best latents, best first.

    `latent_truth[j, 0]` and `latent_similarity[j, 0]` are the row argmax and max of latent j;
    `truth_latent[i, 0]` and `truth_similarity[i, 0]` those of truth i. Nothing that is left out
    of a list exceeds its bound.
    """

    latent_truth: torch.Tensor  # (k, m) int64
    latent_similarity: torch.Tensor  # (k, m)
    truth_latent: torch.Tensor  # (F, m') int64
    truth_similarity: torch.Tensor  # (F, m')
    latent_bound: torch.Tensor  # (k,)
    truth_bound: torch.Tensor  # (F,)


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
    # Unit rows that were rounded to this type: dividing would only round them again.
    if bool(((length - 1).abs() <= 4 * torch.finfo(matrix.dtype).eps).all()):
        return matrix
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
    block: int | None = None,
    both: bool = True,
) -> TopEdges:
    """Each latent's top-m truths and each truth's top-m latents by cosine.

    The cosine of truth i and latent j is <d_i, l_j> / (|d_i| |l_j|), 0 where either is zero, and
    its size when `absolute`. Holds block * F cosines at a time, never F * k.

    The first of each list is the best of all. A large search on a processor that multiplies
    bfloat16 fast may have missed later ones by its rounding, about 0.005; the similarities are
    those of the input's precision all the same, and the bounds say what the lists may lack.

    Args:
        directions: true directions, (F, d).
        latents: claimed directions, (k, d).
        m: how many partners to keep; fewer are kept when there are fewer.
        absolute: whether a direction and its negative are the same.
        block: how many latents to compare at a time; if None, as many as take `BLOCK_BYTES`.
        both: keep the truths' best latents too; without them the pass takes half the time, and
            the edges of each truth are (F, 0).

    Returns:
        `TopEdges` with (k, min(m, F)) and (F, min(m, k)) entries; bounds of empty lists are inf.

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
    if m < 1 or (block is not None and block < 1):
        raise reject("m, block", (m, block), "whole numbers of at least 1")
    truths, claims = as_directions(directions, latents)
    return unit_top_edges(truths, claims, m, absolute=absolute, block=block, both=both)


def unit_top_edges(
    truths: torch.Tensor,
    claims: torch.Tensor,
    m: int,
    *,
    absolute: bool,
    block: int | None = None,
    both: bool = True,
) -> TopEdges:
    """`top_edges` of unit rows."""
    how = {"absolute": absolute, "block": block, "both": both}
    if not _bfloat16_pays(truths, claims, m, both):
        return _as_edges(*_search(truths, claims, m, **how))
    short_truths, short_claims = truths.bfloat16(), claims.bfloat16()
    latent, truth = _search(short_truths, short_claims, m, **how)
    lost_truth, lost_claim = _lost(truths, short_truths), _lost(claims, short_claims)
    latent = _settle(claims, truths, latent, lost_claim + lost_truth.max(), absolute)
    if both:
        truth = _settle(truths, claims, truth, lost_truth + lost_claim.max(), absolute)
    return _as_edges(latent, truth)


@dataclass(frozen=True)
class _Lists:
    """Each row's best partners (R, m), best first, and a bound (R,) on those left out."""

    similarity: torch.Tensor
    partner: torch.Tensor
    bound: torch.Tensor


def _as_edges(latent: _Lists, truth: _Lists) -> TopEdges:
    return TopEdges(
        latent.partner,
        latent.similarity,
        truth.partner,
        truth.similarity,
        latent.bound,
        truth.bound,
    )


def _search(
    truths: torch.Tensor,
    claims: torch.Tensor,
    m: int,
    *,
    absolute: bool,
    block: int | None,
    both: bool,
) -> tuple[_Lists, _Lists]:
    """The latents' and the truths' lists, by products in the type of the rows."""
    if block is None:
        block = BLOCK_BYTES // max(1, len(truths) * truths.element_size())
        block = max(ONE_SIDED_BLOCK, block) if both else ONE_SIDED_BLOCK
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
    return _listed(similarity, partner), _listed(*per_truth)


def _listed(similarity: torch.Tensor, partner: torch.Tensor) -> _Lists:
    if similarity.shape[1] == 0:
        return _Lists(similarity, partner, similarity.new_full((len(similarity),), np.inf))
    return _Lists(similarity, partner, similarity[:, -1])


def _bfloat16_pays(truths: torch.Tensor, claims: torch.Tensor, m: int, both: bool) -> bool:
    """Whether what a search in bfloat16 saves outweighs computing its lists again."""
    if m < LEAST_LISTED or truths.device.type != "cpu" or not fast_bfloat16():
        return False
    return min(len(truths), len(claims) if both else len(truths)) >= LISTED_COST * m


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 at twice the rate of float32."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot say
    return torch.backends.mkldnn.is_available() and bool(capabilities.get("avx512_bf16"))


def _lost(rows: torch.Tensor, short: torch.Tensor) -> torch.Tensor:
    """Length (R,) of what rounding took from each row; by blocks that stay in cache."""
    pairs = zip(rows.split(512), short.split(512))
    return torch.cat([(exact - rounded).norm(dim=1) for exact, rounded in pairs])


def _settle(
    rows: torch.Tensor, others: torch.Tensor, rough: _Lists, lost: torch.Tensor, absolute: bool
) -> _Lists:
    """Lists made in bfloat16 with their cosines computed again; every first one is the best.

    |<a, b> - <a', b'>| <= |a - a'| |b| + |a'| |b - b'|, where a' is a rounded: `lost` in all, to
    which the float32 sum of d products and its rounding to bfloat16 add theirs. A row whose best
    listed cosine does not reach what this leaves possible elsewhere is searched again.
    """
    table, index = others.numpy(), rough.partner.numpy()
    # Row by row: the partners of one row fit the cache.
    cosines = np.stack([table[some] @ row for some, row in zip(index, rows.numpy())])
    exact = torch.from_numpy(np.abs(cosines) if absolute else cosines)
    similarity, order = exact.sort(dim=1, descending=True)
    partner = rough.partner.gather(1, order)
    last = rough.bound.to(rows.dtype)
    summed = rows.shape[1] * torch.finfo(torch.float32).eps
    # 1 % for the lengths, which are 1 to rounding.
    bound = last + last.abs() / 2**8 + 1.01 * (lost + summed)
    doubtful = (similarity[:, 0] < bound).nonzero()[:, 0]
    if len(doubtful):
        how = {"absolute": absolute, "block": None, "both": False}
        again, _ = _search(others, rows[doubtful], index.shape[1], **how)
        similarity[doubtful], partner[doubtful] = again.similarity, again.partner
        bound[doubtful] = again.bound
    return _Lists(similarity, partner, bound)


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
