"""Runs in which chosen edges carry what their writers wrote in another run.

The input of a reader is the residual stream plus, for each chosen edge, what the source wrote minus
what the writer writes now. Norms are applied to that sum, as the reader does. Writers go on from
what they read, so effects run downstream. Many sets of edges run as one batch; a set joins it where
it first differs from the clean run (`edge_run`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from groundtruth.models import graph
from groundtruth.models.attending import arranged
from groundtruth.models.attention import Attention
from groundtruth.models.edge_run import EdgeRun, Source
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer, TransformerBlock


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

    All edges chosen give the source's outputs, none give those of `tokens`. Memory grows with the
    sets that differ from the clean run, times the batch: give many sets in pieces. The gradient
    with respect to `chosen` at zero is what edge attribution patching estimates effects by.

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
    run = EdgeRun(model, tokens, source, edges, chosen)
    for name, output in zip(("embed", "pos_embed"), model.embed(tokens)):
        run.write(name, output[None])
    mask = model.mask(tokens)
    for i, block in enumerate(model.each_block()):
        if block.attn is not None:
            _attend(run, block, block.attn, i, mask)
        if block.mlp is not None:
            name = graph.mlp_name(i)
            weight = block.mlp.W_in if _is_linear(block.ln2) else None
            hidden = torch.nn.Sequential(block.ln2, block.mlp)
            run.write(name, _as_in_a_run(hidden, run.read(name, weight)))
    weight = model.W_U if _is_linear(model.ln_final) else None
    return _as_in_a_run(model.unembed, run.read(graph.LOGITS, weight))[run.row_of]


def _attend(
    run: EdgeRun, block: TransformerBlock, attention: Attention, i: int, mask: torch.Tensor
) -> None:
    """The heads of block `i`: each reads its own inputs and writes."""
    heads = [graph.head_name(i, h) for h in range(block.n_heads)]
    entering = {}
    for h, head in enumerate(heads):
        for letter, read in enumerate(graph.reads_of(head)):
            weight = attention.weight(h, letter) if _is_linear(block.ln1) else None
            entering[h, letter] = run.moved(read, weight)
    run.branch(sets for sets, _ in entering.values())
    parts = attention.project(block.ln1(arranged(run.residual.flatten(0, 1))))
    for (h, letter), (sets, moved) in entering.items():
        if len(sets):
            rows = run.row_of[sets]
            attention.replace(parts, h, letter, rows, block.ln1(run.residual[rows] + moved))
    n = len(run.residual)
    zs = attention.attend(parts, mask.repeat(n, 1, 1, 1))
    if kept := run.rows_read(heads) * len(mask):
        results = attention.results([z[:kept] for z in zs]).unflatten(0, (-1, len(mask)))
        for head, result in zip(heads, results.unbind(-2)):
            run.keep(head, result)
    run.add(attention.write(zs).unflatten(0, (n, -1)))


def _as_in_a_run(layer: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """`layer` of `x` (row, batch, position, d_model), arranged in memory as in a plain run, so that
    the clean row has its numbers to the last digit."""
    return layer(arranged(x.flatten(0, 1))).unflatten(0, x.shape[:2])


def _is_linear(norm: torch.nn.Module) -> bool:
    return isinstance(norm, torch.nn.Identity)
