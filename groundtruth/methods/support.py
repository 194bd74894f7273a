"""Codes by their active entries, at a cost that grows with how many are active.

The encoder's dense product cannot be avoided, for it decides who is active. Everything after it
(values, decoding, the gradients of both weight matrices) touches only the active entries: at 20
active of 3,200 a training step then costs about twice the encoder's product, where dense products
would cost five times.

On the CPU the search for active entries is numpy's, which scans a mask several times faster than
torch; on other devices it is torch's. Both give the same entries.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

with warnings.catch_warnings():
    # torch announces once per process that CSR tensors are in beta; nothing a user could act on.
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


@dataclass(frozen=True, eq=False)
class Support:
    """The active entries of codes (n, k), ascending: nnz of them.

    Fields:
        shape: (n, k).
        flat: (nnz,) row * k + col.
        rows, cols: (nnz,).
        starts: (n + 1,) row i holds entries starts[i] to starts[i + 1].
    """

    shape: tuple[int, int]
    flat: torch.Tensor
    rows: torch.Tensor
    cols: torch.Tensor
    starts: torch.Tensor

    @cached_property
    def by_column(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The order (nnz,) that sorts entries by column and then row, and starts (k + 1,)."""
        if self.cols.device.type == "cpu":
            entry = np.arange(len(self.cols), dtype=np.int64)
            turned = sp.csr_array(
                (entry, self.cols.numpy(), self.starts.numpy()), self.shape
            ).tocsc()
            return torch.from_numpy(turned.data), torch.from_numpy(turned.indptr.astype(np.int64))
        order = torch.argsort(self.cols, stable=True)
        return order, _starts(self.cols, self.shape[1])

    def where(self, kept: torch.Tensor) -> Support:
        """The entries for which `kept` (nnz,) holds."""
        return _support(self.flat[kept], *self.shape)


def above(pre: torch.Tensor, least: torch.Tensor | float) -> Support:
    """Entries of `pre` (n, k) greater than `least`, which may be a number, (k,) or (n, 1)."""
    n, k = pre.shape
    if pre.device.type != "cpu":
        return _support((pre > least).view(-1).nonzero().view(-1), n, k)
    limit = least.detach().numpy() if isinstance(least, torch.Tensor) else least
    return _from_numpy(np.flatnonzero(pre.numpy() > limit), n, k)


def largest(pre: torch.Tensor, count: int, guess: float = 0.0) -> tuple[Support, float]:
    """The `count` largest positive entries of `pre` (n, k), and the smallest of them.

    All entries that tie with the smallest stay. With fewer positive entries, all of them.

    Args:
        guess: where it lies below the answer and few entries lie above it, less is searched.
    """
    flat = pre.view(-1)
    support = above(pre, max(guess, 0.0))
    if len(support.flat) < count and guess > 0:
        support = above(pre, 0.0)
    values = flat[support.flat]
    if len(values) > count:
        kept = values >= _smallest(values, len(values) - count)
        support, values = support.where(kept), values[kept]
    return support, values.min().item() if len(values) else 0.0


def largest_per_row(pre: torch.Tensor, count: int) -> Support:
    """The `count` largest positive entries of each row of `pre` (n, k); ties with the smallest
    stay."""
    n, k = pre.shape
    if count >= k:
        return above(pre, 0.0)
    tiny = torch.finfo(pre.dtype).tiny
    # torch reduces over strides that are multiples of 32 four times faster than over others.
    stride = 32 * max(4, -(-count // 8))
    if pre.device.type != "cpu" or 4 * stride > k:
        least = pre.topk(count, dim=1, sorted=False).values.amin(1, keepdim=True)
        return above(pre, least.clamp_(min=tiny).nextafter(least.new_zeros(())))
    # At least `count` groups of columns hold an entry as large as the count-th largest group
    # maximum, so no entry below that can be among the largest: few are left to compare.
    groups = k // stride
    best = pre[:, : groups * stride].view(n, groups, stride).amax(1)
    best = torch.cat([best, pre[:, groups * stride :]], 1).numpy()
    low = np.partition(best, best.shape[1] - count, axis=1)[:, -count:].min(1)
    values = pre.numpy()
    found = np.flatnonzero(values >= np.maximum(low, tiny)[:, None])
    support = _from_numpy(found, n, k)
    in_row = np.diff(support.starts.numpy())
    if in_row.max(initial=0) <= count:
        return support
    table = np.zeros((n, in_row.max()), values.dtype)
    starts, rows = support.starts.numpy(), support.rows.numpy()
    at = values.reshape(-1)[found]
    table[rows, np.arange(len(found)) - starts[rows]] = at
    least = np.partition(table, table.shape[1] - count, axis=1)[:, -count:].min(1)
    return _from_numpy(found[at >= least[rows]], n, k)


def pre_at(
    support: Support, pre: torch.Tensor, x: torch.Tensor, W_enc: torch.Tensor, b_enc: torch.Tensor
) -> torch.Tensor:
    """Pre-activations (nnz,) on the support, differentiable in the encoder.

    Args:
        pre: (n, k) = x W_enc^T + b_enc, already computed; no gradient flows through it.
        x: (n, d) what the encoder saw.
        W_enc, b_enc: (k, d) and (k,).
    """
    return _PreAt.apply(support, pre, x, W_enc, b_enc)  # pyright: ignore[reportReturnType]


def decode_at(support: Support, values: torch.Tensor, W_dec: torch.Tensor) -> torch.Tensor:
    """codes W_dec (n, d) for codes with `values` (nnz,) on the support; differentiable in both."""
    return _DecodeAt.apply(support, values, W_dec)  # pyright: ignore[reportReturnType]


def relu_codes(
    pre: torch.Tensor, x: torch.Tensor, W_enc: torch.Tensor, b_enc: torch.Tensor
) -> torch.Tensor:
    """relu(pre) (n, k), dense, written into `pre`; differentiable in the encoder, once.

    For codes too dense to be worth a `Support`. Arguments as for `pre_at`.
    """
    # Detached, or the memory that steps share would carry the history of every step.
    return _ReluCodes.apply(pre.detach(), x, W_enc, b_enc)  # pyright: ignore[reportReturnType]


class _ReluCodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        pre, x, _, _ = inputs
        codes = pre.clamp_(min=0)
        ctx.mark_dirty(pre)
        ctx.save_for_backward(x, codes)
        return codes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slope,) = grad_outputs
        x, codes = ctx.saved_tensors
        # One pass for mask and product; a separate comparison would write a mask first.
        slope = torch.ops.aten.threshold_backward(slope, codes, 0.0)
        return None, None, slope.T @ x, slope.sum(0)


class _PreAt(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        support, pre, x, W_enc, _ = inputs
        ctx.support, ctx.width = support, len(W_enc)
        ctx.save_for_backward(x)
        return pre.reshape(-1)[support.flat]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slope,) = grad_outputs
        (x,) = ctx.saved_tensors
        d_enc = d_bias = None
        if ctx.needs_input_grad[3]:
            d_enc = _sum_by_column(ctx.support, slope, x)
        if ctx.needs_input_grad[4]:
            d_bias = slope.new_zeros(ctx.width).index_add_(0, ctx.support.cols, slope)
        return None, None, None, d_enc, d_bias


class _DecodeAt(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        support, values, W_dec = inputs
        ctx.support = support
        ctx.save_for_backward(values, W_dec)
        return _bags(support.cols, W_dec, support.starts, values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,) = grad_outputs
        values, W_dec = ctx.saved_tensors
        d_values = d_dec = None
        if ctx.needs_input_grad[1]:
            d_values = products(ctx.support, grad.contiguous(), W_dec)
        if ctx.needs_input_grad[2]:
            d_dec = _sum_by_column(ctx.support, values, grad.contiguous())
        return None, d_values, d_dec


def products(support: Support, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """left_row . right_col (nnz,) for each entry, with left (n, d) and right (k, d)."""
    mkl = left.device.type == "cpu" and torch.backends.mkl.is_available()
    if mkl or left.is_cuda:
        pattern = torch.sparse_csr_tensor(
            support.starts,
            support.cols,
            torch.zeros(len(support.cols), dtype=left.dtype, device=left.device),
            support.shape,
            check_invariants=False,
        )
        return torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()
    # index_select is several times faster than left[rows].
    return torch.linalg.vecdot(
        left.index_select(0, support.rows), right.index_select(0, support.cols)
    )


def _sum_by_column(support: Support, weight: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """(k, d): row c is the sum of weight_e table_row(e) over the entries e of column c."""
    order, starts = support.by_column
    return _bags(support.rows[order], table, starts, weight[order])


def _bags(
    index: torch.Tensor, table: torch.Tensor, starts: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Row b: the sum of weight[j] table[index[j]] over bag b."""
    return embedding_bag(
        index, table, starts, per_sample_weights=weight, mode="sum", include_last_offset=True
    )


def _support(flat: torch.Tensor, n: int, k: int) -> Support:
    if flat.device.type == "cpu":
        return _from_numpy(flat.numpy(), n, k)
    rows = torch.div(flat, k, rounding_mode="floor")
    return Support((n, k), flat, rows, flat - rows * k, _starts(rows, n))


def _from_numpy(flat: np.ndarray, n: int, k: int) -> Support:
    row_starts = np.arange(n + 1, dtype=flat.dtype) * k
    starts = np.searchsorted(flat, row_starts)
    # Repeating is faster than dividing.
    rows = np.repeat(np.arange(n), np.diff(starts))
    parts = (flat, rows, flat - rows * k, starts)
    return Support((n, k), *(torch.from_numpy(part) for part in parts))


def _smallest(values: torch.Tensor, below: int) -> float:
    """The entry of `values` (m,) with `below` entries under it in sorted order."""
    if values.device.type == "cpu":
        return float(np.partition(values.numpy(), below)[below])
    return values.kthvalue(below + 1).values.item()


def _starts(index: torch.Tensor, n: int) -> torch.Tensor:
    counts = torch.bincount(index, minlength=n)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
