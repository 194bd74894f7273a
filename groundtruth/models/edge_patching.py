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
from groundtruth.models.attending import as_rows, from_rows
from groundtruth.models.attention import Attention
from groundtruth.models.clean_run import clean_run
from groundtruth.models.edge_plan import EdgePlan, Source
from groundtruth.models.edge_run import EdgeRun
from groundtruth.models.graph import Edge
from groundtruth.models.layers import affine
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
            name = graph.mlp_name(i)
            moved = run.moved(name)
            run.branch([moved.sets])
            if len(rows := run.seeing(name, moved)) > 1:
                x = block.ln2(run.read(name, f"blocks.{i}.hook_resid_mid", rows, moved))
                given, wanted = plan.reading[name].given, plan.writing[name].wanted
                run.write(name, rows, block.mlp(x, given, wanted))
    return _outputs(run, model)


def _attend(
    run: EdgeRun, block: TransformerBlock, attention: Attention, i: int, mask: torch.Tensor
) -> None:
    """The heads of block `i`: each reads its own inputs, and all write when all have read."""
    plan = run.plan
    site = f"blocks.{i}.hook_resid_pre"
    heads = [graph.head_name(i, h) for h in range(block.n_heads)]
    entering = {read: run.moved(read) for head in heads for read in graph.reads_of(head)}
    run.branch(moved.sets for moved in entering.values())
    written = []
    for h, head in enumerate(heads):
        seeing = {read: run.seeing(read, entering[read]) for read in graph.reads_of(head)}
        rows = torch.cat([*seeing.values()]).unique()
        if len(rows) == 1:
            continue
        q, k, v = (
            _repeated(attention.read(h, letter, block.ln1(x), given), len(rows), len(seen))
            for letter, (read, own) in enumerate(seeing.items())
            for given in [plan.reading[read].given]
            # What no row sees is the same for all, and the clean run stands for them.
            for seen in [rows if len(own) > 1 else own]
            for x in [run.read(read, site, seen, entering[read])]
        )
        output = attention.write_one(h, q, k, v, mask, plan.writing[head].wanted)
        written.append((head, rows, output))
    for each in written:
        run.write(*each)


def _repeated(x: torch.Tensor, n: int, given: int) -> torch.Tensor:
    """What is (batch, position, width) of the clean run alone, for `n` rows."""
    if given == n:
        return x
    return from_rows(as_rows(x).expand(-1, -1, n, -1), x.shape[1])


def _outputs(run: EdgeRun, model: Transformer) -> torch.Tensor:
    """(set, batch, position, n_outputs)."""
    clean, given = run.plan.clean.outputs, run.plan.reading[graph.LOGITS].given
    moved = run.moved(graph.LOGITS)
    run.branch([moved.sets])
    rows = torch.arange(len(run.touched), device=run.row_of.device)
    x = model.ln_final(run.read(graph.LOGITS, graph.LOGITS, rows, moved))
    read = affine(x, model.W_U[given], model.b_U).unflatten(0, (len(rows), -1))
    return (clean + (read - read[:1])).index_select(0, run.row_of)
