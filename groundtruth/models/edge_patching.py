"""Runs in which chosen edges carry what their writers wrote in another run.

The input of a reader is the residual stream plus, for each chosen edge, what the source wrote minus
what the writer writes now. Norms are applied to that sum, as the reader does. Writers go on from
what they read, so effects run downstream. Many sets of edges run as one batch (`edge_run`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from groundtruth.models import graph
from groundtruth.models.attention import Attention
from groundtruth.models.clean_run import clean_run
from groundtruth.models.edge_plan import EdgePlan, Source
from groundtruth.models.edge_run import EdgeRun
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer, TransformerBlock


def run_with_edges(
    model: Transformer, tokens: Any, source: Source, edges: Sequence[Edge], chosen: Any = None
) -> torch.Tensor:
    """The outputs, with the chosen edges carrying what `source` says.

    All edges chosen give the source's outputs, none give those of `tokens`. Memory grows with the
    sets that differ from the clean run, times the batch: give many sets in pieces, to one plan
    (`run_plan`). The gradient with respect to `chosen` at zero is what edge attribution patching
    estimates effects by.

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
    return run_plan(EdgePlan(model, clean_run(model, tokens), source, edges), chosen)


def run_plan(plan: EdgePlan, chosen: Any = None) -> torch.Tensor:
    """The same, of a plan that is kept; `chosen` and what is returned are as there."""
    model, run = plan.model, EdgeRun(plan, chosen)
    mask = model.mask(plan.clean.tokens)[:, 0]
    for i, block in enumerate(model.each_block()):
        if block.attn is not None:
            _attend(run, block, block.attn, i, mask)
        if block.mlp is not None:
            name, weight = graph.mlp_name(i), block.mlp.W_in if _is_linear(block.ln2) else None
            moved = run.moved(name, weight)
            run.branch([moved.sets])
            if len(rows := run.seeing(weight, moved)):
                clean = plan.clean.entering[f"blocks.{i}.hook_resid_mid"]
                output = block.mlp(block.ln2(run.read(clean, rows, moved)))
                run.write(name, rows, output, block.mlp.W_out.any(0))
    moved = run.moved(graph.LOGITS, model.W_U if _is_linear(model.ln_final) else None)
    run.branch([moved.sets])
    rows = torch.arange(len(run.touched), device=run.row_of.device)
    read = model.unembed(run.read(plan.clean.entering[graph.LOGITS], rows, moved))
    return (plan.clean.outputs + (read - read[:1]))[run.row_of + 1]


def _attend(
    run: EdgeRun, block: TransformerBlock, attention: Attention, i: int, mask: torch.Tensor
) -> None:
    """The heads of block `i`: each reads its own inputs, and all write when all have read."""
    clean = run.plan.clean.entering[f"blocks.{i}.hook_resid_pre"]
    heads = [graph.head_name(i, h) for h in range(block.n_heads)]
    entering = {}
    for h, head in enumerate(heads):
        for letter, read in enumerate(graph.reads_of(head)):
            weight = attention.weight(h, letter) if _is_linear(block.ln1) else None
            entering[h, letter] = weight, run.moved(read, weight)
    run.branch(moved.sets for _, moved in entering.values())
    written = []
    for h, head in enumerate(heads):
        seeing = [run.seeing(*entering[h, letter]) for letter in range(3)]
        if not len(rows := torch.cat(seeing).unique()):
            continue
        # What no row sees is the same for all, and one row stands for them.
        qkv = [
            attention.read(
                h, letter, block.ln1(run.read(clean, rows, moved) if len(own) else clean)
            )
            for letter, own in enumerate(seeing)
            for _, moved in [entering[h, letter]]
        ]
        written.append(
            (
                head,
                rows,
                attention.write_one(h, *qkv, mask),
                attention.W_O[attention.layout.rows(h)].any(0),
            )
        )
    for each in written:
        run.write(*each)


def _is_linear(norm: torch.nn.Module) -> bool:
    return isinstance(norm, torch.nn.Identity)
