"""Runs in which chosen edges carry what their writers wrote in another run.

The input of a reader is the residual stream plus, for each chosen edge, what the source wrote minus
what the writer writes now. Norms are applied to that sum, as the reader does. Writers compute on
with what they read, so effects go on downstream. Many sets of edges run as one batch, and what no
edge has touched yet runs once for all of them: patching every edge into one reader alone costs one
pass over what follows the reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from groundtruth.errors import InputError, UnknownName, reject
from groundtruth.models import graph
from groundtruth.models.attention import Attention
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer, TransformerBlock

Source = Mapping[str, torch.Tensor]


def writer_outputs(model: Transformer, tokens: Any) -> dict[str, torch.Tensor]:
    """What every writer writes, by node name: (batch, position, d_model), detached.

    Their sum, with every b_O, is the last residual vector.
    """
    written = [(node, node.site) for node in graph.nodes(model) if node.site is not None]
    _, cache = model.run_with_cache(tokens, sorted({site for _, site in written}))
    return {
        node.name: cache[site] if node.head is None else cache[site][:, :, node.head]
        for node, site in written
    }


def run_with_edges(
    model: Transformer, tokens: Any, source: Source, edges: Sequence[Edge], chosen: Any = None
) -> torch.Tensor:
    """The outputs, with the chosen edges carrying what `source` says.

    All edges chosen give the source's outputs, none give those of `tokens`. Memory grows with
    sets times batch: give many sets in pieces.

    Args:
        model: the model.
        tokens: (batch, position).
        source: what to carry, by writer, broadcasting to (batch, position, d_model): another run's
            `writer_outputs`, their means, or zeros.
        edges: from `graph.edges`, of either granularity; a head as reader is all three of its
            reads.
        chosen: (set, edge), each entry how much of the source the edge carries, 0 or 1 or between;
            differentiable. One set with all of `edges` if None.

    Returns:
        (set, batch, position, n_outputs).

    Raises:
        InputError: an edge that the model has not, or twice; a writer that the source lacks; sets
            of another shape.

    Example, the effect of every edge into the outputs, each patched alone:
        >>> import numpy as np
        >>> from groundtruth.models import Weights
        >>> eye = np.eye(3)
        >>> model = Transformer(Weights(eye, 0 * eye, (), eye, np.zeros(3), bos=0, pad=1))
        >>> into = [edge for edge in graph.edges(model) if edge.reader == "logits"]
        >>> source = {"embed": torch.ones(3), "pos_embed": torch.ones(3)}
        >>> patched = run_with_edges(model, [[0, 2]], source, into, torch.eye(len(into)))
        >>> patched[:, 0, 1].tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 2.0]]
    """
    tokens = model.as_tokens(tokens)
    run = _Run(model, tokens, source, edges, chosen)
    for name, output in zip(("embed", "pos_embed"), model.embed(tokens)):
        run.write(name, output[None])
    mask = model.mask(tokens)
    for i, block in enumerate(model.each_block()):
        if block.attn is not None:
            _attend(run, block, block.attn, i, mask)
        if block.mlp is not None:
            name = graph.mlp_name(i)
            run.write(name, block.mlp(block.ln2(run.read([name]).get(name, run.residual))))
    last = run.read([graph.LOGITS]).get(graph.LOGITS, run.residual)
    return model.unembed(last).expand(run.n_sets, -1, -1, -1)


class _Run:
    """The residual stream on its way.

    Fields:
        residual: (set, batch, position, d_model), with one set for as long as all are equal.
        readers, writers: names of those that an edge joins, with their place in `shares`.
        shares: (set, reader, writer) how much of the source the edge carries.
        written: what each of `writers` has written, shape of `residual`.
    """

    def __init__(
        self,
        model: Transformer,
        tokens: torch.Tensor,
        source: Source,
        edges: Sequence[Edge],
        chosen: Any,
    ) -> None:
        like = model.W_E
        weights = torch.ones(1, len(edges)) if chosen is None else torch.as_tensor(chosen)
        if weights.ndim != 2 or weights.shape[1] != len(edges):
            raise reject("chosen", tuple(weights.shape), f"shape (set, {len(edges)})")
        joins = _joins(model, edges)
        self.readers = _numbered(reader for reader, _ in joins)
        self.writers = _numbered(writer for _, writer in joins)
        shape = (*tokens.shape, like.shape[1])
        self.source = {w: _carried(source, w, like, shape) for w in self.writers}
        self.n_sets = len(weights)
        self.shares = like.new_zeros(self.n_sets, len(self.readers), len(self.writers))
        rows = [self.readers[reader] for reader, _ in joins]
        columns = [self.writers[writer] for _, writer in joins]
        self.shares[:, rows, columns] = weights.to(like)[:, list(joins.values())]
        self.residual = like.new_zeros(1, *shape)
        self.written: dict[str, torch.Tensor] = {}

    def write(self, name: str, output: torch.Tensor) -> None:
        """Add `output` to the residual stream, and keep it if an edge begins there."""
        if name in self.writers:
            self.written[name] = output
        self.residual = self.residual + output

    def read(self, readers: Sequence[str]) -> dict[str, torch.Tensor]:
        """The inputs of those of `readers` that an edge enters; the others read `residual`."""
        entered = [reader for reader in readers if reader in self.readers]
        if not entered:
            return {}
        n = max(len(output) for output in self.written.values())
        changes = [self.source[w] - output for w, output in self.written.items()]
        stacked = torch.stack([change.expand(n, *change.shape[1:]) for change in changes])
        rows = [self.readers[reader] for reader in entered]
        columns = [self.writers[writer] for writer in self.written]
        shares = self.shares[:, rows][:, :, columns]
        moved = torch.einsum("srw,wsbpd->rsbpd", shares, stacked)
        return dict(zip(entered, self.residual + moved))


def _attend(
    run: _Run, block: TransformerBlock, attention: Attention, i: int, mask: torch.Tensor
) -> None:
    """The heads of block `i`: each reads its own input and writes."""
    heads = [graph.head_name(i, h) for h in range(block.n_heads)]
    batch = mask.shape[0]
    inputs = run.read([read for head in heads for read in graph.reads_of(head)])
    parts = attention.project(block.ln1(run.residual.flatten(0, 1)))
    if inputs:
        copies = run.n_sets * batch // len(parts[0][0])
        parts = [tuple(part.repeat(copies, 1, 1, 1) for part in group) for group in parts]
    for h, head in enumerate(heads):
        for letter, read in enumerate(graph.reads_of(head)):
            if read in inputs:
                x = block.ln1(inputs[read].flatten(0, 1))
                attention.replace(parts, h, letter, x)
    n = len(parts[0][0]) // batch
    zs = attention.attend(parts, mask.repeat(n, 1, 1, 1))
    if run.writers.keys().isdisjoint(heads):
        run.residual = run.residual + attention.write(zs).unflatten(0, (n, batch))
        return
    results = attention.results(zs).unflatten(0, (n, batch))
    for head, result in zip(heads, results.unbind(-2)):
        run.write(head, result)
    run.residual = run.residual + attention.b_O


def _joins(model: Transformer, edges: Sequence[Edge]) -> dict[tuple[str, str], int]:
    """(reader, writer) -> which of `edges` joins them; a head is its three reads."""
    known = set(graph.edges(model, "head")) | set(graph.edges(model, "qkv"))
    whole = {node.name for node in graph.nodes(model) if node.site and node.head is not None}
    joins: dict[tuple[str, str], int] = {}
    for number, (writer, reader) in enumerate(edges):
        if (writer, reader) not in known:
            raise UnknownName("edge", f"{writer} > {reader}", (f"{w} > {r}" for w, r in known))
        for read in graph.reads_of(reader) if reader in whole else (reader,):
            if (read, writer) in joins:
                raise InputError(f"edges: expected each edge once, got {writer} > {read} twice.")
            joins[read, writer] = number
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
