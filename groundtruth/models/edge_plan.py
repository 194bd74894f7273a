"""What runs with patched edges share, whichever edges are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from groundtruth.errors import InputError, UnknownName
from groundtruth.models import graph
from groundtruth.models.attending import as_rows
from groundtruth.models.clean_run import CleanRun
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer

Source = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a reader sees of the residual stream.

    Fields:
        sees: (d_model,) coordinates that make a difference to it; all, if a norm comes first.
        given: the coordinates from the first to the last of these.
        writers, edges: numbers of the writers and edges that end there; (n,) each.
        changed: (n,) which of them carry a change that it sees.
    """

    sees: torch.Tensor
    given: slice
    writers: torch.Tensor
    edges: torch.Tensor
    changed: torch.Tensor


@dataclass(frozen=True, eq=False)
class Writing:
    """Where a writer writes.

    Fields:
        writes: (d_model,) coordinates that it can write to.
        wanted: those from the first to the last of these.
        edges: numbers of those that begin there.
    """

    writes: torch.Tensor
    wanted: slice
    edges: torch.Tensor


class EdgePlan:
    """Edges of a model between a clean run and a source.

    Fields:
        model, clean: what is patched.
        n_edges: how many edges there are to choose from.
        length: positions of an input.
        writers: names of those that an edge begins at.
        changes: (writer, d_model, outer, inner) the source less the clean run, outer and inner as
            in `attending.as_rows`.
        entering: by site of the clean run, (d_model, outer, 1, inner).
        changed: (edge,) whether it carries a change that its reader sees.
        reading: of every reader, by name.
        writing: of every head and MLP, by name.

    Raises:
        InputError, UnknownName: what `run_with_edges` refuses.
    """

    def __init__(
        self, model: Transformer, clean: CleanRun, source: Source, edges: Sequence[Edge]
    ) -> None:
        self.model, self.clean, self.n_edges = model, clean, len(edges)
        joins = _joins(model, edges)
        self.writers = list(dict.fromkeys(writer for _, writer in joins))
        self.length = clean.tokens.shape[1]
        self.entering = {site: as_rows(x) for site, x in clean.entering.items()}
        like = clean.entering[graph.LOGITS]
        changes = [_carried(source, w, like) - clean.written[w] for w in self.writers]
        outer = [as_rows(change)[:, :, 0] for change in changes]
        self.changes = (
            torch.stack(outer) if outer else self.entering[graph.LOGITS][None, :, :, 0][:0]
        )
        moves = self._moves = self.changes.flatten(2).any(2)
        place = {writer: number for number, writer in enumerate(self.writers)}
        into: dict[str, list[tuple[int, int]]] = {}
        begin: dict[str, set[int]] = {}
        for (reader, writer), edge in joins.items():
            into.setdefault(reader, []).append((place[writer], edge))
            begin.setdefault(writer, set()).add(edge)
        with torch.no_grad():
            self.reading = {
                name: self._reading(weight, into.get(name, []))
                for name, weight in _read_by(model).items()
            }
            self.changed = moves.new_zeros(len(edges))
            for reading in self.reading.values():
                self.changed[reading.edges] |= reading.changed
            self.writing = {
                name: Writing(
                    found, _span(found), like.new_tensor(sorted(begin.get(name, ()))).long()
                )
                for name, found in _written_to(model).items()
            }

    def _reading(self, weight: torch.Tensor | None, into: list[tuple[int, int]]) -> Reading:
        moves = self._moves
        writers, edges = moves.new_zeros(2, len(into), dtype=torch.long).copy_(
            torch.tensor(into, dtype=torch.long).reshape(-1, 2).T
        )
        if weight is None:
            sees = moves.new_ones(moves.shape[1])
            return Reading(sees, slice(None), writers, edges, moves[writers].any(1))
        sees = weight.any(1)
        # Most edges are told apart by coordinates alone, without a product.
        changed = (moves[writers] & sees).any(1)
        for i in changed.nonzero().flatten().tolist():
            changed[i] = (weight.T @ self.changes[writers[i]].flatten(1)).any()
        return Reading(sees, _span(sees), writers, edges, changed)


def _read_by(model: Transformer) -> dict[str, torch.Tensor | None]:
    """What each reader multiplies its input by at once, (d_model, width); None: it has a norm."""
    found: dict[str, torch.Tensor | None] = {}
    for i, block in enumerate(model.each_block()):
        if block.attn is not None:
            for h in range(block.n_heads):
                for letter, read in enumerate(graph.reads_of(graph.head_name(i, h))):
                    weight = block.attn.weight(h, letter)
                    found[read] = weight if _is_linear(block.ln1) else None
        if block.mlp is not None:
            found[graph.mlp_name(i)] = block.mlp.W_in if _is_linear(block.ln2) else None
    return found | {graph.LOGITS: model.W_U if _is_linear(model.ln_final) else None}


def _written_to(model: Transformer) -> dict[str, torch.Tensor]:
    """(d_model,) where each head and MLP can write what changes with what it reads."""
    found = {}
    for i, block in enumerate(model.each_block()):
        if block.attn is not None:
            for h in range(block.n_heads):
                rows = block.attn.layout.rows(h)
                found[graph.head_name(i, h)] = block.attn.W_O[rows].any(0)
        if block.mlp is not None:
            found[graph.mlp_name(i)] = block.mlp.W_out.any(0)
    return found


def _is_linear(norm: torch.nn.Module) -> bool:
    return isinstance(norm, torch.nn.Identity)


def _span(flags: torch.Tensor) -> slice:
    """From the first to the last that is True."""
    at = flags.nonzero().flatten().tolist()
    return slice(at[0], at[-1] + 1) if at else slice(0, 0)


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
