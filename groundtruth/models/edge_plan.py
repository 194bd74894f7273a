"""What runs with patched edges share, whichever edges are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from groundtruth.errors import InputError, UnknownName
from groundtruth.models import graph
from groundtruth.models.clean_run import CleanRun
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer

Source = Mapping[str, torch.Tensor]


class EdgePlan:
    """Edges of a model between a clean run and a source.

    Fields:
        model, clean: what is patched.
        n_edges: how many edges there are to choose from.
        writers: names of those that an edge begins at.
        changes: (writer, batch, position, d_model) the source less the clean run.
        into: reader -> (writers, edges), the numbers of both for each edge that ends there.
        begin: writer -> the numbers of its edges.

    Raises:
        InputError, UnknownName: what `run_with_edges` refuses.
    """

    def __init__(
        self, model: Transformer, clean: CleanRun, source: Source, edges: Sequence[Edge]
    ) -> None:
        self.model, self.clean, self.n_edges = model, clean, len(edges)
        joins = _joins(model, edges)
        self.writers = list(dict.fromkeys(writer for _, writer in joins))
        place = {writer: number for number, writer in enumerate(self.writers)}
        like = clean.entering[graph.LOGITS]
        carried = [_carried(source, w, like) - clean.written[w] for w in self.writers]
        self.changes = torch.stack(carried) if carried else like[:0, None]
        self._support = self.changes.flatten(1, 2).any(1)
        into: dict[str, list[tuple[int, int]]] = {}
        begin: dict[str, set[int]] = {}
        for (reader, writer), edge in joins.items():
            into.setdefault(reader, []).append((place[writer], edge))
            begin.setdefault(writer, set()).add(edge)
        self.into = {
            reader: torch.tensor(pairs, device=like.device).T for reader, pairs in into.items()
        }
        self.begin = {
            writer: torch.tensor(sorted(numbers), device=like.device)
            for writer, numbers in begin.items()
        }
        self._seen: dict[str, torch.Tensor] = {}

    def seen(self, reader: str, weight: torch.Tensor | None) -> torch.Tensor:
        """Which of the edges `into` the reader carry a change that it sees.

        Args:
            reader: its name.
            weight: (d_model, width) what it multiplies its input by, if it does so at once: a
                change that `weight` maps to zero is none.
        """
        if reader not in self._seen:
            writers = self.into[reader][0]
            found = self._support[writers].any(1)
            if weight is not None:
                # Most are told apart by coordinates alone, without a product.
                found = (self._support[writers] & weight.any(1)).any(1)
                for i in found.nonzero().flatten().tolist():
                    found[i] = (self.changes[writers[i]] @ weight).any()
            self._seen[reader] = found
        return self._seen[reader]


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


def _carried(source: Source, writer: str, like: torch.Tensor) -> torch.Tensor:
    if writer not in source:
        raise InputError(f"source: expected what {writer} writes, got {', '.join(source)}.")
    value, shape = torch.as_tensor(source[writer]).to(like), like.shape
    if any(n not in (1, side) for n, side in zip(value.shape[::-1], shape[::-1])):
        raise InputError(
            f"source: {writer}: expected shape {tuple(shape)}, or what broadcasts to it, got "
            f"{tuple(value.shape)}. Patch between batches of equal size and length."
        )
    return value
