"""Heads of unequal width in one matrix: heads of one width lie side by side and run as one batch.

For each width, in order of the first head that has it: the columns of Q of all its heads, then K,
then V. One matrix product projects all heads; nothing is padded. The functions here only slice and
reshape, so NumPy, torch and JAX arrays all go through them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from groundtruth.models.weights import Head


@dataclass(frozen=True)
class Group:
    """Heads of one width.

    Fields:
        heads: their numbers in the block.
        d_head, d_value: of each.
        column: where its columns of Q begin.
        row: where its rows of W_O begin.
    """

    heads: tuple[int, ...]
    d_head: int
    d_value: int
    column: int
    row: int

    def slices(self) -> tuple[slice, slice, slice]:
        """Columns of Q, K and V of all heads."""
        n = len(self.heads)
        q = self.column
        k = q + n * self.d_head
        v = k + n * self.d_head
        return slice(q, k), slice(k, v), slice(v, v + n * self.d_value)


@dataclass(frozen=True)
class HeadLayout:
    """Where each head's columns lie.

    Fields:
        widths: (d_head, d_value) of each head.
    """

    widths: tuple[tuple[int, int], ...]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        groups, column, row = [], 0, 0
        for d_head, d_value in dict.fromkeys(self.widths):
            heads = tuple(h for h, w in enumerate(self.widths) if w == (d_head, d_value))
            groups.append(Group(heads, d_head, d_value, column, row))
            column += len(heads) * (2 * d_head + d_value)
            row += len(heads) * d_value
        return tuple(groups)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """For each head its place among all heads, group after group."""
        placed = [head for group in self.groups for head in group.heads]
        return tuple(placed.index(head) for head in range(len(placed)))

    def columns(self, head: int) -> tuple[slice, slice, slice]:
        """Columns of Q, K and V of one head."""
        group = next(g for g in self.groups if head in g.heads)
        i, wide = group.heads.index(head), (group.d_head, group.d_head, group.d_value)
        q, k, v = (
            slice(part.start + i * w, part.start + (i + 1) * w)
            for part, w in zip(group.slices(), wide)
        )
        return q, k, v

    def rows(self, head: int) -> slice:
        """Rows of W_O of one head."""
        group = next(g for g in self.groups if head in g.heads)
        start = group.row + group.heads.index(head) * group.d_value
        return slice(start, start + group.d_value)

    def split(self, projected: Any) -> list[tuple[Any, Any, Any]]:
        """(batch, position, columns) -> q, k, v (batch, head, position, width) of each group."""
        batch, position, _ = projected.shape

        def part(columns: slice, heads: int, width: int) -> Any:
            return projected[..., columns].reshape(batch, position, heads, width).swapaxes(1, 2)

        return [
            (part(q, n, group.d_head), part(k, n, group.d_head), part(v, n, group.d_value))
            for group in self.groups
            for q, k, v in [group.slices()]
            for n in [len(group.heads)]
        ]


def side_by_side(z: Any) -> Any:
    """(batch, head, position, width) -> (batch, position, head * width)."""
    batch, heads, position, width = z.shape
    return z.swapaxes(1, 2).reshape(batch, position, heads * width)


def pack(heads: Sequence[Head]) -> tuple[HeadLayout, np.ndarray, np.ndarray, np.ndarray]:
    """The layout of `heads` and W_QKV (d_model, columns), b_QKV (columns,), W_O (rows, d_model)."""
    layout = HeadLayout(tuple((h.W_Q.shape[1], h.W_V.shape[1]) for h in heads))
    placed = [[heads[i] for i in group.heads] for group in layout.groups]

    def joined(names: Iterable[str]) -> np.ndarray:
        parts = [getattr(h, name) for group in placed for name in names for h in group]
        return np.concatenate(parts, axis=-1)

    W_O = np.concatenate([h.W_O for group in placed for h in group])
    return layout, joined(["W_Q", "W_K", "W_V"]), joined(["b_Q", "b_K", "b_V"]), W_O


def unpack(
    layout: HeadLayout, W_QKV: np.ndarray, b_QKV: np.ndarray, W_O: np.ndarray
) -> tuple[Head, ...]:
    """The heads that `pack` packed."""
    heads = []
    for head in range(len(layout.widths)):
        q, k, v = layout.columns(head)
        arrays = [array for part in (q, k, v) for array in (W_QKV[:, part], b_QKV[part])]
        heads.append(Head(*arrays, W_O=W_O[layout.rows(head)]))
    return tuple(heads)
