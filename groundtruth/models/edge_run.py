"""The residual streams of many sets of patched edges, side by side.

Row 0 is the clean run. A set has no row of its own until one of its edges changes what a reader
reads; up to there, and for ever if none does, row 0 stands for it. So a batch of single edges costs
one clean pass, and for each edge that matters what follows its reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from groundtruth.errors import InputError, UnknownName, reject
from groundtruth.models import graph
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer

Source = Mapping[str, torch.Tensor]


class EdgeRun:
    """A run on its way through the blocks.

    Fields:
        residual: (row, batch, position, d_model).
        row_of: (set,) each set's row.
        readers, writers: names of those that an edge joins, with their place in `shares`.
        shares: (set, reader, writer) how much of the source the edge carries.
        written: what each of `writers` has written, as `residual` was then.

    Raises:
        InputError, UnknownName: what `run_with_edges` refuses.
    """

    def __init__(
        self,
        model: Transformer,
        tokens: torch.Tensor,
        source: Source,
        edges: Sequence[Edge],
        chosen: Any,
    ) -> None:
        like, shape = model.W_E, (*tokens.shape, model.W_E.shape[1])
        chosen = torch.ones(1, len(edges)) if chosen is None else torch.as_tensor(chosen)
        if chosen.ndim != 2 or chosen.shape[1] != len(edges):
            raise reject("chosen", tuple(chosen.shape), f"shape (set, {len(edges)})")
        joins = _joins(model, edges)
        self.readers = _numbered(reader for reader, _ in joins)
        self.writers = _numbered(writer for _, writer in joins)
        self.source = {w: _carried(source, w, like, shape) for w in self.writers}
        self.shares = like.new_zeros(len(chosen), len(self.readers), len(self.writers))
        rows = [self.readers[reader] for reader, _ in joins]
        columns = [self.writers[writer] for _, writer in joins]
        self.shares[:, rows, columns] = chosen.to(like)[:, list(joins.values())]
        # A share of 0 that is to have a gradient is a chosen edge like any other.
        self.keeps_zeros = chosen.requires_grad
        self.row_of = torch.zeros(len(chosen), dtype=torch.long, device=like.device)
        self.residual = like.new_zeros(1, *shape)
        self.written: dict[str, torch.Tensor] = {}

    def add(self, output: torch.Tensor) -> None:
        self.residual = self.residual + output

    def write(self, name: str, output: torch.Tensor) -> None:
        """Add `output` to the residual streams, and keep it if an edge begins there."""
        self.keep(name, output)
        self.add(output)

    def keep(self, name: str, output: torch.Tensor) -> None:
        if name in self.writers:
            self.written[name] = output

    def rows_read(self, writers: Iterable[str]) -> int:
        """How many rows of what these write an edge may still carry; the first, if no set that has
        left the clean run chose one."""
        columns = [self.writers[name] for name in writers if name in self.writers]
        share = self.shares[self.row_of > 0][:, :, columns].flatten(1)
        return len(self.residual) if len(self._chosen(share)) else min(1, len(columns))

    def read(self, reader: str, weight: torch.Tensor | None) -> torch.Tensor:
        """The inputs of `reader`, (row, batch, position, d_model); for `weight` see `moved`."""
        sets, moved = self.moved(reader, weight)
        self.branch([sets])
        return self.residual.index_add(0, self.row_of[sets], moved)

    def moved(self, reader: str, weight: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The sets whose edges change what `reader` reads, and by how much.

        Args:
            reader: its name.
            weight: (d_model, width) what it multiplies its input by, if it does so at once: a
                change that `weight` maps to zero is none.

        Returns:
            (n,) sets and (n, batch, position, d_model) changes.
        """
        nothing = self.row_of[:0], self.residual[:0]
        if reader not in self.readers:
            return nothing
        share = self.shares[:, self.readers[reader]]
        sets = self._chosen(share)
        changes = {}
        for name in self.written:
            column = share[:, [self.writers[name]]]
            if len(self._chosen(column)):
                change = self._change(name, sets)
                if self.keeps_zeros or _sees(weight, change):
                    changes[name] = change
        share = share[:, [self.writers[name] for name in changes]]
        left = self._chosen(share[sets])
        if not changes or not len(left):
            return nothing
        kept = [change if len(change) == 1 else change[left] for change in changes.values()]
        stacked = torch.stack(torch.broadcast_tensors(*kept))
        return sets[left], torch.einsum("sw,wsbpd->sbpd", share[sets[left]], stacked)

    def _chosen(self, share: torch.Tensor) -> torch.Tensor:
        """Rows of `share` (row, writer) with an entry that counts."""
        if self.keeps_zeros:
            return torch.arange(len(share), device=share.device)
        return share.any(1).nonzero().flatten()

    def _change(self, writer: str, sets: torch.Tensor) -> torch.Tensor:
        """(set, batch, position, d_model): what the source wrote minus what is written now; once
        for all sets where all are clean."""
        written, rows = self.written[writer], self.row_of[sets]
        if not rows.any():
            return self.source[writer] - written[:1]
        # A row that has come since is the clean one.
        return self.source[writer] - written[torch.where(rows < len(written), rows, 0)]

    def branch(self, groups: Iterable[torch.Tensor]) -> None:
        """Give every set in `groups` a row, a copy of the clean run if it had none."""
        sets = torch.cat([self.row_of.new_zeros(0), *groups]).unique()
        new = sets[self.row_of[sets] == 0]
        n = len(self.residual)
        self.row_of[new] = torch.arange(n, n + len(new), device=new.device)
        clean = self.residual[:1].expand(len(new), -1, -1, -1)
        self.residual = torch.cat([self.residual, clean])


def _sees(weight: torch.Tensor | None, change: torch.Tensor) -> bool:
    return bool((change if weight is None else change @ weight).any())


def _joins(model: Transformer, edges: Sequence[Edge]) -> dict[tuple[str, str], int]:
    """(reader, writer) -> which of `edges` joins them; a head is its three reads."""
    written, apart = graph.writers(model), graph.readers(model, "qkv")
    read = graph.readers(model) | apart
    joins: dict[tuple[str, str], int] = {}
    for number, (writer, reader) in enumerate(edges):
        if writer not in written:
            raise UnknownName("writer", writer, written)
        if reader not in read:
            raise UnknownName("reader", reader, read)
        if written[writer] >= read[reader]:
            raise InputError(f"edges: expected writers before readers, got {writer} > {reader}.")
        for part in (reader,) if reader in apart else graph.reads_of(reader):
            if (part, writer) in joins:
                raise InputError(f"edges: expected each edge once, got {writer} > {part} twice.")
            joins[part, writer] = number
    return joins


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _carried(
    source: Source, writer: str, like: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    if writer not in source:
        raise InputError(f"source: expected what {writer} writes, got {', '.join(source)}.")
    value = torch.as_tensor(source[writer]).to(like)
    if any(n not in (1, side) for n, side in zip(value.shape[::-1], shape[::-1])):
        raise InputError(
            f"source: {writer}: expected shape {shape}, or what broadcasts to it, got "
            f"{tuple(value.shape)}. Patch between batches of equal size and length."
        )
    return value.expand(shape)
