"""Attention in torch: heads of one width run as one batch."""

from __future__ import annotations

import torch
from torch.nn import functional

from groundtruth.models.attending import averaged, scores_of, softmax
from groundtruth.models.head_layout import pack, side_by_side, unpack
from groundtruth.models.hooks import HookPoint
from groundtruth.models.layers import affine, parameter, to_array
from groundtruth.models.weights import Block, Head


class Attention(torch.nn.Module):
    """Heads side by side, packed as in `groundtruth.models.head_layout`."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.layout, *packed = pack(block.heads)
        self.W_QKV, self.b_QKV, self.W_O = (parameter(array) for array in packed)
        self.b_O = parameter(block.b_O)
        # No site, since its columns are laid out as it suits the matrix product.
        self.projected = torch.nn.Identity()
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern = HookPoint(), HookPoint()
        self.hook_z, self.hook_result = HookPoint(), HookPoint()

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        zs = self.attend(self.project(x), mask)
        if self.hook_result.hooked:
            return self.hook_result(self.results(zs)).sum(-2) + self.b_O
        return self.write(zs)

    def project(self, x: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """q, k, v (batch, head, position, width) of each group of heads."""
        projected = self.projected(affine(x, self.W_QKV, self.b_QKV))
        parts = self.layout.split(projected)
        points = (self.hook_q, self.hook_k, self.hook_v)
        if not any(point.hooked for point in points):
            return parts
        return list(zip(*(self._through(p, list(t)) for p, t in zip(points, zip(*parts)))))

    def attend(
        self, parts: list[tuple[torch.Tensor, ...]], mask: torch.Tensor
    ) -> list[torch.Tensor]:
        """z = softmax(q k' + mask) v (batch, head, position, d_value) of each group."""
        scores = [scores_of(q, k).add_(mask) for q, k, _ in parts]
        scores = self._through(self.hook_attn_scores, scores, by_position=False)
        patterns = [softmax(score) for score in scores]
        patterns = self._through(self.hook_pattern, patterns, by_position=False)
        return self._through(self.hook_z, [averaged(p, v) for p, (_, _, v) in zip(patterns, parts)])

    def results(self, zs: list[torch.Tensor]) -> torch.Tensor:
        """What each head writes, (batch, position, head, d_model), without b_O."""
        written = []
        for group, z in zip(self.layout.groups, zs):
            n = len(group.heads)
            rows = self.W_O[group.row : group.row + n * group.d_value]
            W_O = rows.reshape(n, group.d_value, rows.shape[1])
            written.append(torch.einsum("bhpv,hvd->bphd", z, W_O))
        return torch.cat(written, -2)[:, :, self.layout.order]

    def write(self, zs: list[torch.Tensor]) -> torch.Tensor:
        """What all heads write together, with b_O."""
        rows = [side_by_side(z) for z in zs]
        joined = torch.cat(rows, -1) if len(rows) > 1 else rows[0]
        return affine(joined, self.W_O, self.b_O)

    def weight(self, head: int, letter: int) -> torch.Tensor:
        """W_Q, W_K or W_V of one head (`letter` 0 to 2): (d_model, width)."""
        return self.W_QKV[:, self.layout.columns(head)[letter]]

    def read(self, head: int, letter: int, x: torch.Tensor, given: slice) -> torch.Tensor:
        """q, k or v of one head from the `given` coordinates x (batch, position, width) of what it
        reads."""
        columns = self.layout.columns(head)[letter]
        return affine(x, self.W_QKV[given, columns], self.b_QKV[columns])

    def write_one(
        self,
        head: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor,
        wanted: slice,
    ) -> torch.Tensor:
        """The `wanted` coordinates of what one head writes, without b_O, from its q, k and v of n
        runs of a batch, (n batch, position, width), under one mask (batch, 1 or query, key)."""
        scores = scores_of(q[:, None], k[:, None])[:, 0]
        scores.unflatten(0, (-1, len(mask))).add_(mask)
        z = averaged(softmax(scores[:, None]), v[:, None])[:, 0]
        W_O = self.W_O[self.layout.rows(head), wanted]
        return affine(z, W_O, W_O.new_zeros(W_O.shape[1]))

    def _through(
        self, point: HookPoint, parts: list[torch.Tensor], *, by_position: bool = True
    ) -> list[torch.Tensor]:
        """`parts`, (batch, head, position, width) of each group, as hooks on `point` leave them."""
        if not point.hooked:
            return parts
        widths = [part.shape[-1] for part in parts]
        padded = [functional.pad(part, (0, max(widths) - part.shape[-1])) for part in parts]
        wide = torch.cat(padded, 1)[:, self.layout.order]
        wide = point(wide.transpose(1, 2)).transpose(1, 2) if by_position else point(wide)
        groups = self.layout.groups
        return [wide[:, group.heads, :, :width] for group, width in zip(groups, widths)]

    def to_heads(self) -> tuple[Head, ...]:
        return unpack(self.layout, to_array(self.W_QKV), to_array(self.b_QKV), to_array(self.W_O))
