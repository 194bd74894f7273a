"""Attention on queries, keys and values (batch, head, position, width).

Of short sequences the batch comes last in memory, and products are sums that run along it: the
kernels of matrix products and of softmax take a hundred nanoseconds for each sequence or row,
however small it is, which would be most of a run.
"""

from __future__ import annotations

import torch

SHORT = 16
"""Positions from which on a row of attention fills a vector register."""

MOST_PRODUCTS = 2048
"""Products of single numbers, of a sequence and head, that are kept before they are added up. Not a
bound of the whole batch, so that a sequence's numbers do not depend on what is run beside it."""


def arranged(x: torch.Tensor) -> torch.Tensor:
    """`x` (batch, position, width) with the width first in memory, and the batch last if short."""
    if x.shape[1] < SHORT:
        return x.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    return x.movedim(-1, 0).contiguous().movedim(0, -1)


def scores_of(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """q k', (batch, head, query, key)."""
    if not _batch_last(q) or q[0, 0].numel() * k.shape[2] > MOST_PRODUCTS:
        return q @ k.transpose(-1, -2)
    q, k = q.permute(1, 3, 2, 0), k.permute(1, 3, 2, 0)  # (head, width, position, batch)
    return (q.unsqueeze(3) * k.unsqueeze(2)).sum(1).permute(3, 0, 1, 2)


def softmax(scores: torch.Tensor) -> torch.Tensor:
    """Over keys."""
    if not _batch_last(scores):
        return scores.softmax(-1)
    return scores.permute(1, 2, 3, 0).softmax(2).permute(3, 0, 1, 2)


def averaged(pattern: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """pattern v, (batch, head, query, width)."""
    if not _batch_last(pattern) or pattern[0, 0].numel() * v.shape[-1] > MOST_PRODUCTS:
        return pattern @ v
    pattern, v = pattern.permute(1, 2, 3, 0), v.permute(1, 3, 2, 0)
    return (pattern.unsqueeze(1) * v.unsqueeze(2)).sum(3).permute(3, 0, 2, 1)


def as_rows(x: torch.Tensor, n: int = 1) -> torch.Tensor:
    """(n batch, position, width) of `n` runs of a batch, as (width, outer, run, inner): a view, if
    `x` is arranged as activations are. Of short sequences outer is the position and inner the
    batch, of long ones inner is both."""
    if x.shape[1] < SHORT:
        return x.permute(2, 1, 0).unflatten(2, (n, -1))
    return x.permute(2, 0, 1).reshape(x.shape[2], 1, n, -1)


def from_rows(rows: torch.Tensor, length: int) -> torch.Tensor:
    """Back: (n batch, position, width)."""
    if length < SHORT:
        return rows.flatten(2).permute(2, 1, 0)
    return rows.reshape(len(rows), -1, length).permute(1, 2, 0)


def _batch_last(x: torch.Tensor) -> bool:
    return x.stride(0) == 1
